"""Claims of docs/capacity.md on what clusters promised; the examples there are the numbers here."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from mnslib.capacity.clusters import COMMITMENT_COLUMNS, commitment_table
from mnslib.commitment import Commitment


def test_a_fleet_without_clusters_gives_an_empty_table(make_snapshot):
    table = commitment_table(make_snapshot({}))

    assert tuple(table.columns) == COMMITMENT_COLUMNS
    assert table.empty


def make_commitment(**changes):
    figures = {
        "allocatable": 24, "largest_node": 8, "committed": 30, "requested": 10, **changes
    }  # fmt: skip
    amounts = {name: Decimal(str(amount)) for name, amount in figures.items()}
    return Commitment(resource="cpu", **amounts, uncounted=2)


def commitments(**changes):
    found = make_commitment(**changes)
    return {"aks-1": {"cpu": found, "memory": found}}


def test_commitment_ratios_room_and_words_of_one_cluster(make_snapshot):
    """24 cores in nodes, the largest 8; 30 promised, 10 requested."""
    table = commitment_table(make_snapshot({}, commitments=commitments()))

    row = table.iloc[0]
    assert (row["cluster_name"], row["resource"]) == ("aks-1", "cpu")
    assert row["without_largest_node"] == 16.0
    assert row["committed_ratio"] == 1.25  # 30 / 24
    assert row["requested_ratio"] == 0.625  # 10 / 16
    assert row["headroom"] == 6.0  # min(16 - 10, 1.5 x 24 - 30)
    assert row["verdict"] == "room"
    assert row["uncounted"] == 2
    assert math.isnan(row["usage"])


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"committed": "36"}, "room"),
        ({"committed": "36.1"}, "quota overcommit"),
        ({"requested": "16"}, "room"),
        ({"requested": "16.1"}, "overcommit"),
        ({"allocatable": "0", "largest_node": "0"}, "unknown: no ready node"),
    ],
)
def test_clusters_are_judged_in_the_words_of_kubernetes_mixin(make_snapshot, changes, verdict):
    table = commitment_table(make_snapshot({}, commitments=commitments(**changes)))

    assert table.loc[0, "verdict"] == verdict


def test_nodes_that_teams_cannot_use_are_named(make_snapshot):
    out = replace(make_commitment(), left_out={"n3": "cordoned", "vn": "virtual"})
    found = {"aks-1": {"cpu": out, "memory": make_commitment()}}
    table = commitment_table(make_snapshot({}, commitments=found))

    assert list(table["nodes_left_out"]) == ["n3: cordoned, vn: virtual", ""]


def test_the_autoscalers_maximum_is_judged_in_the_same_words(make_snapshot):
    """24 cores now, 40 at the maximum; 44 promised, 17 requested, the largest node 8."""
    tight = commitments(committed=44, requested=17, autoscaled=40)
    row = commitment_table(make_snapshot({}, commitments=tight)).iloc[0]

    assert row["verdict"] == "overcommit"  # 17 of 24 - 8
    assert row["autoscaled_committed_ratio"] == 1.1  # 44 / 40
    assert row["autoscaled_requested_ratio"] == 0.53125  # 17 / (40 - 8)
    assert row["autoscaled_verdict"] == "room"
    fixed = commitment_table(make_snapshot({}, commitments=commitments())).iloc[0]
    assert fixed["autoscaled_verdict"] == ""
    assert math.isnan(fixed["autoscaled_committed_ratio"])


def test_a_cluster_without_nodes_has_no_room_to_speak_of(make_snapshot):
    nothing = commitments(allocatable=0, largest_node=0)

    assert math.isnan(commitment_table(make_snapshot({}, commitments=nothing)).loc[0, "headroom"])


def test_usage_of_a_cluster_is_the_95th_percentile_of_its_sum_over_seven_days(make_snapshot):
    """Sums 1 to 61 in the last 61 hours: position 0.95 x 60 = 57, so the 58th value, 58."""
    old = [500.0] * 3 + [float("nan")] * (7 * 24 - 61)
    last = [float(number) for number in range(61)]
    snapshot = make_snapshot(
        {},
        commitments=commitments(),
        usage_cpu={
            ("aks-1", "web"): [*old, *last],
            ("aks-1", "kube-system"): [*old, *[1.0] * 61],
        },
    )

    table = commitment_table(snapshot)

    assert table.loc[0, "usage"] == 58.0
    assert math.isnan(table.loc[1, "usage"])  # memory: no series


def test_a_cluster_whose_usage_is_all_zero_has_a_dead_sensor(make_snapshot):
    snapshot = make_snapshot(
        {}, commitments=commitments(), usage_cpu={("aks-1", "web"): [0.0] * 100}
    )

    assert math.isnan(commitment_table(snapshot).loc[0, "usage"])


@pytest.mark.parametrize(("samples", "usage"), [(47, math.nan), (48, 3.0)])
@pytest.mark.parametrize("none", [0.0, math.nan])
def test_usage_of_a_cluster_needs_two_days_of_samples(make_snapshot, samples, usage, none):
    """A sensor that dies within the week leaves zeros, which are none."""
    own = {("aks-1", "web"): [*[3.0] * samples, *[none] * (168 - samples)]}
    snapshot = make_snapshot({}, commitments=commitments(), usage_cpu=own)

    assert commitment_table(snapshot).loc[0, "usage"] == pytest.approx(usage, nan_ok=True)


def test_clusters_that_could_not_be_read_are_listed_with_the_reason(make_snapshot):
    snapshot = make_snapshot(
        {},
        commitments=commitments(),
        unreachable={"aks-2": "cluster not reachable"},
        no_commitment={"aks-3": "no permission"},
    )

    table = commitment_table(snapshot)

    assert table["cluster_name"].tolist() == ["aks-1"] * 2 + ["aks-2"] * 2 + ["aks-3"] * 2
    assert table.loc[2, "verdict"] == "unknown: cluster not reachable"
    assert table.loc[4, "verdict"] == "unknown: no permission"
    assert table.loc[2:, "allocatable":"headroom"].isna().all(axis=None)
