"""What a planner is asked to decide: five things at most, each with the amounts of the tables."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import pytest

from mnslib.capacity.clusters import COMMITMENT_COLUMNS
from mnslib.capacity.evidence import EVIDENCE_COLUMNS
from mnslib.capacity.fit import FIT_COLUMNS
from mnslib.capacity.layers import LAYER_COLUMNS
from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.refusals import REFUSALS_COLUMNS
from mnslib.capacity.snapshot import NAMESPACE_COLUMNS, Snapshot, no_series
from mnslib.capacity.tables import Tables
from mnslib.capacity.utilization import UTILIZATION_COLUMNS
from mnslib.kube_models import QuotaStatus
from mnslib.quantities import GIB
from mnslib.show.show import decisions

NAN = float("nan")
EMPTY = {
    "fit": FIT_COLUMNS, "utilization": UTILIZATION_COLUMNS, "layers": LAYER_COLUMNS,
    "refusals": REFUSALS_COLUMNS, "evidence": EVIDENCE_COLUMNS, "commitment": COMMITMENT_COLUMNS,
}  # fmt: skip


def read(spaces, no_history):
    """A snapshot of `aks-1`, where Azure manages all namespaces but `foreign`, as they stand."""
    keys = {"cpu_request": "requests.cpu", "cpu_limit": "limits.cpu"}
    keys |= {"memory_request": "requests.memory", "memory_limit": "limits.memory"}
    quotas = [
        QuotaStatus(
            namespace_name=row["namespace_name"], name="defaultresourcequota",
            hard={keys[row["resource"]]: Decimal(str(row["hard"]))}, used={},
        )
        for row in spaces
    ]  # fmt: skip
    names = dict.fromkeys(row["namespace_name"] for row in spaces)
    rows = [["aks-1", name, "subscription", "group", "web", name != "foreign", ""]
            for name in names]  # fmt: skip
    return Snapshot(
        read_utc=datetime(2026, 11, 2, 6, tzinfo=UTC),
        namespaces=pd.DataFrame(rows, columns=list(NAMESPACE_COLUMNS)),
        quotas={"aks-1": quotas},
        commitments={},
        used=no_series(SPACE),
        hard=no_series(SPACE),
        usage_cpu=no_series(SPACE),
        usage_memory=no_series(SPACE),
        no_history=dict.fromkeys(no_history, "off"),
    )


@pytest.fixture
def decided():
    """Decides on the rows given; `aks-1` is the cluster where none is named."""

    def call(*, no_history=(), **rows):
        tables = {
            name: pd.DataFrame(
                [dict.fromkeys(columns, NAN) | {"cluster_name": "aks-1", "owner": ""} | row
                 for row in rows.get(name, ())],
                columns=list(columns),
            )
            for name, columns in EMPTY.items()
        }  # fmt: skip
        reading = Tables(read(rows.get("utilization", ()), no_history))
        vars(reading).update(tables)
        return decisions(reading.decided)

    return call


def space(name, hard, used, verdict, advice, owner="web", peak=None):
    return {
        "namespace_name": name, "resource": "cpu_request", "hard": hard, "used": used,
        "utilization_ratio": used / hard, "peak_used": peak or used, "verdict": verdict,
        "advice": advice, "owner": owner,
    }  # fmt: skip


def cluster(name, verdict, room=0.0, resource="cpu", out=""):
    return {
        "cluster_name": name, "resource": resource, "allocatable": 40.0, "headroom": room,
        "without_largest_node": 32.0, "requested": 35.0, "committed": 66.0,
        "committed_ratio": 1.65, "verdict": verdict, "nodes_left_out": out,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "title"),
    [
        ([{"namespace_name": "web", "evidence": "no history"}], "Repair what reads or counts 1 "),
        ([{"namespace_name": "web", "evidence": "new"}], "Bring back the history of 1 cluster"),
    ],
)
def test_what_cannot_be_decided_without_history_is_said(decided, evidence, title):
    (found,) = decided(evidence=evidence, no_history=["aks-1"]).actions
    assert found[0].startswith(title)
    assert "whose requests to lower and what quota to take back cannot be decided" in found[1]


def test_what_is_short_is_raised_and_what_is_idle_taken_back_by_amount(decided):
    found = decided(
        utilization=[
            space("full", 9.0, 9.0, "full", "grow"),
            space("idle", 20.0, 2.0, "ok", "shrink", peak=4.5),
            space("calm", 10.0, 7.0, "ok", "healthy"),
        ]
    ).actions
    assert [title for title, _ in found] == [
        "Give 1 core more to 1 namespace that runs short",
        "Take back 5 cores from 1 namespace that never asked for it",
    ]
    assert "full (CPU requests from 9 cores to 10 cores)" in found[0][1]
    assert "idle (CPU requests from 20 cores to 15 cores)" in found[1][1]


def test_the_largest_raise_is_named_and_a_quota_at_exactly_90_percent_grows(decided):
    limit = {"namespace_name": "risk", "resource": "cpu_limit", "advice": "grow"}
    limit |= {"hard": 20.0, "used": 18.0, "utilization_ratio": 0.9, "verdict": "tight"}
    memory = limit | {"resource": "memory_limit", "hard": 32.0 * GIB, "used": 32.0 * GIB}
    memory |= {"utilization_ratio": 1.0, "verdict": "full"}
    (both,) = decided(utilization=[limit, memory]).actions
    assert (
        both[1]
        == "risk (memory limits from 32 GiB to 35.75 GiB). As a request file: tables/requests.csv."
    )
    (alone,) = decided(utilization=[limit]).actions
    assert (
        alone[1]
        == "risk (CPU limits from 20 cores to 20.1 cores). As a request file: tables/requests.csv."
    )


def test_whose_requests_are_unused_is_asked_to_lower_them_and_given_nothing(decided):
    layer = {
        "namespace_name": "wasteful", "resource": "cpu", "region": "fix requests",
        "requested": 6.0, "usage": 1.5, "requested_unused": 4.5,
    }  # fmt: skip
    (found,) = decided(
        utilization=[space("wasteful", 6.0, 6.0, "full", "fix requests")], layers=[layer]
    ).actions
    assert found[0] == (
        "Ask 1 owner to lower the requests of 1 namespace before it gets more quota"
    )
    assert found[1] == (
        "4.5 cores are requested there and not used: wasteful asks for 6 cores of CPU and uses "
        "1.5 cores."
    )


def test_refused_pods_are_the_reason_and_a_cluster_without_room_is_named(decided):
    refusal = {
        "namespace_name": "full", "workload_kind": "Deployment", "workload_name": "api",
        "count": 41, "problem": "quota exceeded", "key": "requests.cpu", "limited": 9.0,
        "raise_one": 0.5, "raise_all": 2.0,
    }  # fmt: skip
    found = decided(
        utilization=[space("full", 9.0, 9.0, "full", "grow")],
        refusals=[refusal],
        commitment=[cluster("aks-1", "room", room=0.5), cluster("aks-2", "unknown: off", NAN)],
    ).actions
    assert found[0][0] == "Give 2 cores more to 1 namespace that runs short"
    assert found[0][1] == (
        "Pods were refused 41 times there. full (CPU requests from 9 cores to 11 cores). "
        "Not all of it fits: aks-1 has headroom for 0.5 cores of the 2 cores. "
        "As a request file: tables/requests.csv."
    )


def test_clusters_that_promised_too_much_get_nothing_more_and_another_is_named(decided):
    (found,) = decided(
        commitment=[
            cluster("aks-1", "overcommit"),
            cluster("aks-2", "quota overcommit"),
            cluster("aks-3", "room", room=5.0),
            cluster("aks-4", "room", room=8.0),
        ]
    ).actions
    assert found[0] == "Commit nothing more on 2 clusters"
    assert found[1] == (
        "aks-1: requests 3 cores of CPU more than its nodes without the largest give; aks-2: "
        "commits 1.65× its CPU, 6 cores above 1.5×. Most headroom: aks-4, 8 cores."
    )


def test_one_cluster_alone_is_named_once(decided):
    over = cluster("aks-2", "quota overcommit", out="n3: cordoned")
    (found,) = decided(commitment=[over]).actions
    assert found[0] == "Commit nothing more on aks-2"
    said = "It commits 1.65× its CPU, 6 cores above 1.5× (not counted: n3: cordoned)."
    assert found[1] == f"{said} No cluster has headroom."


def test_memory_is_not_taken_for_the_larger_because_it_is_counted_in_bytes(decided):
    small = space("small", 4.0 * 2**30, 2.0**30, "ok", "shrink") | {"resource": "memory_request"}
    (found,) = decided(utilization=[small, space("large", 48.0, 1.8, "ok", "shrink")]).actions
    assert found[1].index("large (CPU requests from 48 cores") < found[1].index("small (")


def test_what_must_be_repaired_is_counted_by_what_is_wrong_and_a_gap_is_not(decided):
    (found,) = decided(
        evidence=[
            {"namespace_name": name, "resource": "cpu_request", "evidence": word}
            for name, word in (("a", "dead sensor"), ("b", "dead sensor"), ("c", "not read"),
                               ("d", "gaps"), ("e", "sound"))
        ]
    ).actions  # fmt: skip
    assert found[0] == "Repair what reads or counts 3 namespaces before their figures are trusted"
    assert found[1] == "2 dead sensors (a, b) and 1 not read (aks-1)."


def test_of_many_the_most_urgent_are_named_and_the_rest_counted(decided):
    rows = [space(f"s{n}", 9.0 + n, 9.0 + n, "full", "grow") for n in range(6)]
    (found,) = decided(utilization=rows).actions
    assert found[1].startswith("s5 (")
    assert found[1].endswith(
        "more (all 6: tables/steps.csv). As a request file: tables/requests.csv."
    )


def stuck(name, workload, reason, **left):
    return {
        "namespace_name": name, "workload_kind": "Deployment", "workload_name": workload,
        "question": "next_pod", "pods": 1.0, "pod_cpu": 1.0, "pod_memory": 1.0 * GIB,
        "verdict": "no", "reason": reason, "tightest": "",
    } | {"unplaced_pods": 0.0} | left  # fmt: skip


def test_a_raise_lets_the_next_pod_in_and_says_where_no_node_has_room_for_it(decided):
    found = decided(
        utilization=[space("full", 9.5, 9.0, "tight", "grow")],
        fit=[stuck("full", "indexer", "quota and nodes", left_cpu_request=-2.0, unplaced_pods=1)],
    ).actions
    assert "full (CPU requests from 9.5 cores to 11.5 cores)" in found[0][1]
    assert "no node has room for the next pod of indexer (1 core, 1 GiB)" in found[0][1]


def test_a_next_pod_that_no_quota_helps_is_a_decision_of_its_own(decided):
    (found,) = decided(
        utilization=[space("ledger", 8.0, 6.0, "ok", "healthy"),
                     space("unset", 8.0, 6.0, "ok", "healthy")],
        fit=[stuck("ledger", "web", "nodes", unplaced_pods=1.0),
              stuck("unset", "job", "must specify limits.cpu for: app; limits.memory for: app")],
    ).actions  # fmt: skip
    assert found[0] == (
        "Let pods start in 2 namespaces whose next pods do not start, where no higher quota helps"
    )
    assert "ledger: no node has room for the next pod of web" in found[1]
    assert "unset: the next pod of job must specify limits" in found[1]


def test_what_a_request_file_cannot_change_is_counted(decided):
    rows = [space(name, 9.0, 9.0, "full", "grow") for name in ("full", "foreign")]
    (found,) = decided(utilization=rows).actions
    assert "tables/requests.csv asks for it in 1 of 2" in found[1]
    (alone,) = decided(utilization=rows[1:]).actions
    assert "no request file changes it" in alone[1]


def test_what_fits_now_still_fits_once_the_rest_is_taken_back(decided):
    update = stuck("idle", "web", "") | {"question": "rolling_update", "verdict": "yes"}
    (found,) = decided(
        utilization=[space("idle", 20.0, 2.0, "ok", "shrink", peak=4.0)],
        fit=[update | {"left_cpu_request": 4.0}],
    ).actions
    assert "idle (CPU requests from 20 cores to 16 cores)" in found[1]


def test_nothing_to_decide_is_said(decided):
    assert "Nothing has to be decided" in decided()._repr_html_()
