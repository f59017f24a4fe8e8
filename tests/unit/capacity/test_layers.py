"""The examples of docs/capacity.md, by hand: what is granted, asked for and used."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnslib.capacity.evidence import with_evidence
from mnslib.capacity.layers import (
    DEAD_SENSOR,
    TOO_SHORT,
    layers_by_day,
    layers_table,
    parts_of,
    roll_up,
    roll_ups,
)
from tests.tables import days_of, layers_of, utilization_of

WEEK = 7 * 24


@pytest.fixture
def weigh(make_snapshot, make_quota):
    """Layers of one namespace `web` with a CPU quota, from its samples of the last hours."""

    def weigh(hard, *, used, usage, now=None, **others):
        counter = [used] * WEEK if isinstance(used, int | float) else used
        measured = [usage] * WEEK if isinstance(usage, int | float) else usage
        last = next((value for value in reversed(counter) if not np.isnan(value)), 0)
        quota = make_quota("web", {"requests.cpu": hard}, {"requests.cpu": now or last})
        snapshot = make_snapshot(
            {"aks-1": [quota]},
            used={("aks-1", "web", "requests.cpu"): counter},
            hard={("aks-1", "web", "requests.cpu"): [hard] * len(counter)},
            usage_cpu={("aks-1", "web"): measured} if measured else {},
            **others,
        )
        layers = layers_of(snapshot)
        return layers.set_index(["namespace_name", "resource"]).loc[("web", "cpu")]

    return weigh


def test_the_layers_make_up_the_quota(weigh):
    row = weigh(10, used=6, usage=2)

    assert row[["hard", "requested", "usage"]].tolist() == [10, 6, 2]
    assert row[["unrequested", "requested_unused", "idle"]].tolist() == [4, 4, 8]
    assert row[["requested_ratio", "usage_ratio"]].tolist() == pytest.approx([0.6, 1 / 3])
    assert row["reason"] == ""


def test_requested_and_usage_are_quantiles_of_the_same_week(weigh):
    calm, busy = [1.0] * (WEEK + 40), [8.0] * 40
    row = weigh(10, used=calm[:WEEK] + busy, usage=[0.5] * WEEK + [4.0] * 40)
    old = weigh(10, used=busy + calm[:WEEK], usage=[4.0] * 40 + [0.5] * WEEK)

    assert row[["requested", "usage", "peak_usage"]].tolist() == [8, 4, 4]
    assert old[["requested", "usage", "peak_usage"]].tolist() == [1, 0.5, 0.5]


def test_a_quantile_lies_between_two_samples(weigh):
    ramp = [float(n) for n in range(1, WEEK + 1)]  # position 0.95 x 167 = 158.65 after the first

    assert weigh(200, used=ramp, usage=[n / 2 for n in ramp])["requested"] == pytest.approx(159.65)


def test_only_steps_with_both_count(weigh):
    nan = float("nan")
    row = weigh(10, used=[9.0] * 100 + [5.0] * 68, usage=[nan] * 100 + [2.0] * 68)

    assert row[["requested", "usage"]].tolist() == [5, 2]


def test_use_above_what_is_requested_is_said_and_not_free_to_promise(weigh):
    row = weigh(10, used=4, usage=6)

    assert row["bursting"] == 2
    assert row[["unrequested", "requested_unused", "idle"]].tolist() == [4, 0, 4]
    assert weigh(10, used=4, usage=12)[["unrequested", "idle"]].tolist() == [0, 0]


def test_requests_above_a_lowered_quota_are_said(weigh):
    row = weigh(12, used=15, usage=3, now=10)

    assert row["over_hard"] == 3
    assert row[["unrequested", "requested_unused", "idle"]].tolist() == [0, 9, 9]
    assert row["requested_ratio"] == 1.25


@given(*[st.floats(0, 1e6)] * 3)
def test_the_parts_are_never_negative_and_always_add_up_to_the_quota(hard, requested, usage):
    parts = parts_of(*(np.array([amount]) for amount in (hard, requested, usage)))
    named = {name: float(amount[0]) for name, amount in parts.items()}

    assert min(named.values()) >= 0
    whole = named["unrequested"] + named["requested_unused"] + min(usage, hard)
    assert whole == pytest.approx(hard)
    assert named["idle"] == pytest.approx(named["unrequested"] + named["requested_unused"])


# unknown


def test_without_samples_of_use_requested_is_that_of_now(weigh):
    row = weigh(10, used=[], usage=[], now=7)

    assert row["requested"] == 7
    assert row["reason"] == "no history was read"
    assert row[["usage", "unrequested", "requested_unused", "idle"]].isna().all()


@pytest.mark.parametrize(
    ("hours", "reason"), [(47, "too short: 47 hours of samples, advice needs 2 days"), (48, "")]
)
def test_use_is_unknown_under_two_days(weigh, hours, reason):
    row = weigh(10, used=[6.0] * hours, usage=[2.0] * hours)

    assert row["reason"] == reason
    assert np.isnan(row["usage"]) == bool(reason)


def test_two_days_of_the_last_week_are_needed_however_long_the_history(weigh):
    thin = [2.0] * 240 + [2.0 if n % 5 == 4 else float("nan") for n in range(160)]

    assert weigh(10, used=[6.0] * 400, usage=thin)["reason"] == TOO_SHORT


def test_a_sensor_that_died_within_the_lookback_is_dead(weigh):
    row = weigh(10, used=6, usage=[1.0] * 300 + [0.0] * WEEK)

    assert row["reason"] == "zero while its pods run, since 26 Oct 06:00 UTC"


def test_zeros_of_a_sensor_that_came_back_are_no_use(weigh):
    """Two of seven days at zero: the busy hours are those of the other five."""
    row = weigh(10, used=6, usage=[2.0] * 48 + [0.0] * 48 + [2.0] * 72)

    assert (row["reason"], row["usage"], row["peak_usage"]) == ("", 2, 2)


def test_zeros_of_a_counter_while_pods_ask_are_not_what_was_requested(weigh):
    died = [6.0] * 96 + [0.0] * 50 + [6.0] * (WEEK - 146)

    row = weigh(10, used=died, usage=2, requested={("aks-1", "web", "requests.cpu"): [6.0] * WEEK})

    assert (row["reason"], row["requested"], row["usage"]) == ("", 6, 2)


def test_use_of_zero_beside_requests_is_a_dead_sensor(weigh):
    row = weigh(10, used=6, usage=0)

    assert row["reason"] == DEAD_SENSOR
    assert row["requested"] == 6
    assert np.isnan(row["usage"])


def test_where_nothing_was_requested_and_others_are_seen_nothing_is_used(make_snapshot, make_quota):
    still = make_quota("wiki", {"requests.cpu": 40}, {"requests.cpu": 0})
    counter = {("aks-1", "wiki", "requests.cpu"): [0.0] * WEEK}
    others = {("aks-1", "web"): [1.0] * WEEK}

    def layers(usage):
        snapshot = make_snapshot(
            {"aks-1": [still]}, used=counter, usage_cpu=usage, more_namespaces=[("aks-1", "web")]
        )
        found = layers_of(snapshot)
        return found.set_index(["namespace_name", "resource"]).loc[("wiki", "cpu")]

    assert layers(others)[["requested", "usage", "idle"]].tolist() == [0, 0, 40]
    assert layers({})["reason"] == "all zero"


def test_a_namespace_without_a_quota_has_requests_and_use_but_no_quota_to_claim(
    make_snapshot, make_quota
):
    snapshot = make_snapshot(
        {},
        more_namespaces=[("aks-1", "busy")],
        requested={("aks-1", "busy", "requests.cpu"): [3.0] * WEEK},
        usage_cpu={("aks-1", "busy"): [1.0] * WEEK},
    )

    row = layers_of(snapshot).iloc[0]

    assert row[["requested", "usage", "usage_ratio"]].tolist() == pytest.approx([3, 1, 1 / 3])
    assert row["reason"] == "no quota"
    assert row[["hard", "idle", "requested_ratio", "tightest_ratio"]].isna().all()


def test_a_cluster_that_could_not_be_read_is_unknown_and_says_why(make_snapshot):
    snapshot = make_snapshot(
        {},
        more_namespaces=[("aks-2", "shop")],
        usage_cpu={("aks-2", "shop"): [1.0] * WEEK},
        unreachable={"aks-2": "cluster not reachable"},
    )

    layers = layers_of(snapshot)

    assert set(layers["reason"]) == {"cluster not reachable"}
    assert set(layers["advice"]) == {""}


# sums


@pytest.fixture
def fleet(make_snapshot, make_quota):
    """Two owners: web and api known, dead with a dead sensor, bare without a quota."""
    hard = {"web": 10, "api": 20, "dead": 30}
    used = {"web": 6.0, "api": 5.0, "dead": 9.0}
    usage = {"web": 2.0, "api": 4.0, "dead": 0.0, "bare": 1.0}
    labels = {"web": "cost-center=47,tier=1", "api": "cost-center=11", "bare": "a/cost-center=9"}
    snapshot = make_snapshot(
        {"aks-1": [make_quota(n, {"requests.cpu": hard[n]}, {"requests.cpu": used[n]})
                   for n in hard]},
        more_namespaces=[("aks-1", "bare")],
        used={("aks-1", n, "requests.cpu"): [used[n]] * WEEK for n in hard},
        hard={("aks-1", n, "requests.cpu"): [hard[n]] * WEEK for n in hard},
        requested={("aks-1", "bare", "requests.cpu"): [3.0] * WEEK},
        usage_cpu={("aks-1", n): [usage[n]] * WEEK for n in usage},
    )  # fmt: skip
    spaces = snapshot.namespaces
    spaces["owner"] = spaces["namespace_name"].map({"web": "shop", "api": "shop"}).fillna("")
    spaces["labels"] = spaces["namespace_name"].map(labels).fillna("")
    return snapshot


@pytest.fixture
def layers(fleet):
    return layers_of(fleet)


def test_every_quota_is_summed_and_of_use_what_was_measured_each_with_its_count(layers):
    sums = roll_up(layers, "cluster_name").set_index("resource").loc["cpu"]

    counts = ["namespaces", "measured", "left_out", "without_quota"]
    assert sums[counts].tolist() == [3, 2, 0, 1]
    assert sums[["hard", "measured_hard"]].tolist() == [60, 30]
    assert sums[["requested", "usage", "idle"]].tolist() == [11, 6, 24]
    assert sums[["unrequested", "requested_unused"]].tolist() == [19, 5]
    assert sums[["requested_ratio", "usage_ratio", "idle_ratio"]].tolist() == pytest.approx(
        [11 / 30, 6 / 11, 0.8]
    )
    assert sums[["requested_without_quota", "usage_without_quota"]].tolist() == [3, 1]


def test_sums_of_nothing_known_are_unknown_and_not_zero(layers):
    nobody = roll_up(layers, "owner").set_index(["owner", "resource"]).loc[("", "cpu")]

    assert nobody[["namespaces", "measured", "without_quota"]].tolist() == [1, 0, 1]
    assert nobody["hard"] == 30
    assert nobody[["measured_hard", "usage", "idle", "idle_ratio"]].isna().all()


def test_a_quota_that_could_not_be_read_is_in_no_sum_and_counted(layers):
    layers.loc[layers["namespace_name"] == "web", ["hard", "reason"]] = float("nan"), "not read"

    cpu = roll_up(layers, "cluster_name").set_index("resource").loc["cpu"]

    assert cpu[["hard", "namespaces", "left_out"]].tolist() == [50, 2, 1]


def test_sums_by_a_label_take_its_whole_name_and_value(layers):
    sums = roll_up(layers, "cost-center")
    cpu = sums[sums["resource"] == "cpu"].set_index("cost-center")

    assert cpu.index.tolist() == ["11", "47", ""]  # most idle first, unknown last
    assert cpu["idle"].tolist()[:2] == [16, 8]
    assert cpu.loc["", "without_quota"] == 1


def test_a_label_may_be_named_like_a_column_of_the_sums(layers):
    layers["labels"] = "hard=yes"

    assert roll_up(layers, "hard")["label hard"].tolist() == ["yes", "yes"]


def test_every_roll_up_sums_to_the_same_fleet(layers):
    tables = roll_ups(layers, ["cost-center", "example.com/team"])

    assert list(tables) == [
        "by_owner", "by_cluster", "by_subscription", "by_cost-center", "by_example.com_team",
    ]  # fmt: skip
    wanted = ["namespaces", "measured", "hard", "idle"]
    assert {tuple(found[wanted].sum()) for found in tables.values()} == {(3, 2, 60, 24)}


def test_labels_that_name_one_file_have_a_table_each(layers):
    tables = roll_ups(layers, ["a/b", "a_b", "A_B", "owner", "a/b"])

    assert [name for name in tables if name not in ("by_cluster", "by_subscription")] == [
        "by_owner", "by_a_b", "by_a_b_2", "by_A_B_3", "by_owner_2",
    ]  # fmt: skip
    assert tables["by_a_b_2"].columns[0] == "a_b"
    assert set(tables["by_owner_2"]["owner"]) == {""}  # the label of that name, which nobody has


# over time


def test_a_day_is_summed_over_the_namespaces_known_on_it(make_snapshot, make_quota, now):
    nan, hours = float("nan"), 48 + 6  # two whole days and six hours of today
    used = {"web": [6.0] * hours, "late": [nan] * 30 + [2.0] * 24}
    usage = {"web": [3.0] * 30 + [nan] * 24, "late": [nan] * 30 + [1.0] * 24}
    hard = {"web": [10.0] * 40 + [12.0] * 14, "late": [nan] * 30 + [4.0] * 24}
    snapshot = make_snapshot(
        {"aks-1": [make_quota(n, {"requests.cpu": 12}, {"requests.cpu": 6}) for n in used]},
        **{
            name: {("aks-1", n, "requests.cpu"): values for n, values in found.items()}
            for name, found in (("used", used), ("hard", hard))
        },
        usage_cpu={("aks-1", n): values for n, values in usage.items()},
    )

    days = days_of(snapshot)
    cpu = days[days["resource"] == "cpu"].set_index("day")

    first = now.date() - timedelta(days=2)
    assert cpu.index.tolist() == [first, first + timedelta(days=1), now.date()]
    assert cpu["hard"].tolist() == [10, 4, 4]
    assert cpu["usage"].tolist() == [3, 1, 1]
    assert cpu["measured"].tolist() == [1, 1, 1]
    assert cpu["left_out"].tolist() == [0, 1, 1]
    memory = days[days["resource"] == "memory"]
    assert memory["hard"].isna().all()
    assert isinstance(days["day"].iloc[0], date)


def test_of_a_day_the_sample_of_midnight_is_the_last(make_snapshot, make_quota, now):
    """10 cores, raised to 12 in the hour before midnight, then to 20."""
    series = ("aks-1", "web", "requests.cpu")
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"requests.cpu": 20}, {"requests.cpu": 6})]},
        used={series: [6.0] * 30}, usage_cpu={("aks-1", "web"): [3.0] * 30},
        hard={series: [10.0] * 23 + [12.0] + [20.0] * 6},
    )  # fmt: skip

    cpu = days_of(snapshot).query("resource == 'cpu'").set_index("day")

    assert cpu["hard"].to_dict() == {now.date() - timedelta(days=1): 12, now.date(): 20}


def test_a_sensor_that_dies_at_zero_takes_no_quota_and_no_use_with_it(make_snapshot, make_quota):
    """Dead for the last 12 hours of each of nine days: a gap in all three layers."""
    cpu, memory = ("aks-1", "web", "requests.cpu"), ("aks-1", "web", "requests.memory")
    hours = 9 * 24 + 6
    alive = np.arange(hours) % 24 < 12
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {cpu[2]: 40, memory[2]: 40}, {cpu[2]: 20, memory[2]: 20})]},
        used={cpu: 20.0 * alive},
        hard={cpu: 40.0 * alive, memory: [40.0] * hours},
        requested={cpu: [20.0] * hours, memory: [20.0] * hours},
        usage_cpu={("aks-1", "web"): [3.0] * hours},
        usage_memory={("aks-1", "web"): (np.arange(hours) % 24 + 1) * alive},
    )

    days = days_of(snapshot).set_index("resource")

    assert days.loc["cpu", "hard"].tolist() == [40] * 10
    assert days.loc["cpu", "requested"].tolist() == [20] * 10
    assert days.loc["memory", "usage"].tolist() == [*[11.45] * 9, 5.75]  # 0.95 of 1 to 12, to 6


def test_what_evidence_doubts_gets_no_figure_and_enters_no_day(make_snapshot, make_quota):
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"requests.cpu": 10}, {"requests.cpu": 6})]},
        used={("aks-1", "web", "requests.cpu"): [6.0] * WEEK},
        hard={("aks-1", "web", "requests.cpu"): [10.0] * WEEK},
        usage_cpu={("aks-1", "web"): [2.0] * WEEK},
    )
    table, (evidence, clean) = utilization_of(snapshot), with_evidence(snapshot)
    wrong = evidence.assign(evidence="wrong counter", unknown_history="unknown: wrong counter")

    row = layers_table(clean, table, evidence=wrong).iloc[0]
    days = layers_by_day(clean, evidence=wrong)

    assert (row["reason"], row["advice"]) == ("wrong counter", "")
    assert days.loc[days["resource"] == "cpu", "left_out"].tolist() == [1] * 8
    assert layers_by_day(clean, evidence=evidence)["measured"].max() == 1


def test_without_history_there_is_no_day(make_snapshot, make_quota):
    snapshot = make_snapshot({"aks-1": [make_quota("web", {"requests.cpu": 4}, {})]})

    assert days_of(snapshot).empty
    assert isinstance(layers_of(snapshot), pd.DataFrame)
