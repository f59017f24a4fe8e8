"""Claims of docs/capacity.md; the worked examples there are the numbers here."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnslib.capacity.quota_values import tightest_quotas
from mnslib.capacity.snapshot import NAMESPACE_COLUMNS, QUOTA_SERIES, Snapshot, wide_frame
from mnslib.capacity.utilization import UTILIZATION_COLUMNS, tightest, verdict_counts
from mnslib.kube_models import QuotaStatus
from mnslib.models import QUOTA_FIELDS
from tests.tables import daily_of, utilization_of

GIB = 2**30


def row_of(table, namespace, resource="cpu_request"):
    found = table[(table["namespace_name"] == namespace) & (table["resource"] == resource)]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize(
    ("hard", "used", "ratio", "verdict"),
    [
        ("4", "3.5", 0.875, "ok"),
        ("4", "3.6", 0.9, "tight"),
        ("4", "3.599", 0.89975, "ok"),
        ("4", "3.999", 0.99975, "tight"),
        ("4", "4", 1.0, "full"),
        ("4", "5", 1.25, "full"),
        ("4", "0", 0.0, "ok"),
        ("0.3", "0.27", 0.9, "tight"),
    ],
)
def test_utilization_is_used_over_hard_against_90_and_100_percent(
    make_quota, make_snapshot, hard, used, ratio, verdict
):
    quota = make_quota("web", {"requests.cpu": hard}, {"requests.cpu": used})

    row = row_of(utilization_of(make_snapshot({"aks-1": [quota]})), "web")

    assert (row["hard"], row["used"]) == (float(hard), float(used))
    assert row["utilization_ratio"] == pytest.approx(ratio)
    assert row["verdict"] == verdict


@pytest.mark.parametrize("used", ["0", "0.5"])
def test_a_quota_of_zero_has_no_ratio_and_is_full(make_quota, make_snapshot, used):
    quota = make_quota("web", {"requests.cpu": "0"}, {"requests.cpu": used})

    row = row_of(utilization_of(make_snapshot({"aks-1": [quota]})), "web")

    assert math.isnan(row["utilization_ratio"])
    assert row["verdict"] == "full"


def test_a_scoped_quota_of_zero_does_not_speak_for_the_namespace(make_quota, make_snapshot):
    forbids = make_quota("web", {"requests.cpu": "0"}, {"requests.cpu": "0"}, name="no-gold")
    forbids = replace(forbids, is_scoped=True)
    whole = make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "1"})

    row = row_of(utilization_of(make_snapshot({"aks-1": [forbids, whole]})), "web")

    assert (row["utilization_ratio"], row["verdict"]) == (0.25, "ok")


def test_the_table_has_one_row_for_each_of_the_four_values_in_cores_and_bytes(
    make_quota, make_snapshot
):
    hard = {"requests.cpu": "2", "limits.cpu": "4", "requests.memory": 2 * GIB}
    used = {"requests.cpu": "1", "limits.cpu": "1", "requests.memory": GIB}

    table = utilization_of(make_snapshot({"aks-1": [make_quota("web", hard, used)]}))

    assert tuple(table.columns) == UTILIZATION_COLUMNS
    assert tuple(table["resource"]) == QUOTA_FIELDS
    assert row_of(table, "web", "memory_request")["hard"] == 2147483648.0
    assert row_of(table, "web", "memory_limit")["verdict"] == "unknown: no quota"
    assert table["owner"].unique().tolist() == ["web-owner"]
    assert table["is_managed"].all()
    assert (table["advice"] == "").all()


def test_of_several_quota_objects_the_tightest_counts_for_each_resource(make_quota, make_snapshot):
    wide = make_quota(
        "web",
        {"requests.cpu": "10", "requests.memory": 4},
        {"requests.cpu": "5", "requests.memory": 4},
    )
    tight = make_quota(
        "web",
        {"cpu": "6", "memory": 8, "pods": 3},
        {"cpu": "5", "memory": 4, "pods": 3},
        name="extra",
    )

    table = utilization_of(make_snapshot({"aks-1": [wide, tight]}))

    assert row_of(table, "web")["hard"] == 6.0  # 5/6 is tighter than 5/10
    assert row_of(table, "web", "memory_request")["hard"] == 4.0  # 4/4 is tighter than 4/8


def test_of_equal_ratios_the_quota_with_less_left_counts(make_quota):
    quotas = [
        make_quota("web", {"cpu": hard}, {"cpu": "0"}, name=hard) for hard in ("10", "5", "20")
    ]

    assert tightest_quotas(quotas)[("web", "requests.cpu")].hard == Decimal(5)


def test_a_quota_of_zero_with_requests_is_tighter_than_any_ratio(make_quota):
    over = make_quota("web", {"cpu": "1"}, {"cpu": "3"}, name="over")
    zero = make_quota("web", {"cpu": "0"}, {"cpu": "1"}, name="zero")

    assert tightest_quotas([zero, over])[("web", "requests.cpu")].quota_name == "zero"


def test_a_value_not_counted_yet_is_unknown_and_gives_way_to_one_that_is(make_quota, make_snapshot):
    fresh = make_quota("new", {"requests.cpu": "4"}, {})
    counted = make_quota("old", {"requests.cpu": "4"}, {"requests.cpu": "1"}, name="counted")
    uncounted = make_quota("old", {"requests.cpu": "4"}, {}, name="uncounted")

    table = utilization_of(make_snapshot({"aks-1": [fresh, counted, uncounted]}))

    assert row_of(table, "new")["verdict"] == "unknown: quota not counted yet"
    assert math.isnan(row_of(table, "new")["used"])
    assert row_of(table, "old")["verdict"] == "ok"


def test_namespaces_of_an_unreachable_cluster_are_unknown_with_its_reason(make_snapshot):
    snapshot = make_snapshot(
        {}, more_namespaces=[("aks-2", "web")], unreachable={"aks-2": "cluster not reachable"}
    )

    table = utilization_of(snapshot)

    assert set(table["verdict"]) == {"unknown: cluster not reachable"}
    assert table[["hard", "used", "utilization_ratio", "peak_used"]].isna().all(axis=None)


def test_the_peak_is_the_highest_sample_of_the_history_with_its_time(
    make_quota, make_snapshot, now
):
    series = ("aks-1", "web", "requests.cpu")
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "1"})]},
        used={series: [1.0, 3.7, float("nan"), 3.7, 1.0]},
    )

    row = row_of(utilization_of(snapshot), "web")

    assert row["peak_used"] == 3.7
    assert row["peak_utc"] == pd.Timestamp(now) - pd.Timedelta(hours=3)


def test_the_peak_has_the_quota_of_its_time(make_quota, make_snapshot):
    """15 of 16 cores once, before the quota was lowered to 12."""
    series = ("aks-1", "web", "limits.cpu")
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"limits.cpu": "12"}, {"limits.cpu": "10"})]},
        used={series: [15.0, 10.0]},
        hard={series: [16.0, 12.0]},
    )
    table = utilization_of(snapshot).set_index("resource")
    found = table.loc["cpu_limit", ["hard", "peak_used", "peak_hard"]]
    assert found.tolist() == [12.0, 15.0, 16.0]
    assert table["peak_hard"].isna().sum() == 3


def test_a_peak_in_the_step_that_lowered_the_quota_was_under_the_one_before(
    make_quota, make_snapshot
):
    """15 cores is the highest and 12 the last quota of one step, after 16."""
    series = ("aks-1", "web", "limits.cpu")
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"limits.cpu": "12"}, {"limits.cpu": "10"})]},
        used={series: [14.0, 15.0, 10.0]},
        hard={series: [16.0, 12.0, 12.0]},
    )
    table = utilization_of(snapshot).set_index("resource")
    assert table.loc["cpu_limit", ["peak_used", "peak_hard"]].tolist() == [15.0, 16.0]


def test_more_used_now_than_ever_before_is_the_peak(make_quota, make_snapshot, now):
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "2.5"})]},
        used={("aks-1", "web", "requests.cpu"): [1.0, 2.0]},
    )

    row = row_of(utilization_of(snapshot), "web")

    assert (row["peak_used"], row["peak_utc"]) == (2.5, pd.Timestamp(now))


def test_without_history_no_peak_is_made_up(make_quota, make_snapshot):
    quota = make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "1"})
    gap = {("aks-1", "web", "requests.cpu"): [float("nan")] * 3}

    for snapshot in (
        make_snapshot({"aks-1": [quota]}),
        make_snapshot({"aks-1": [quota]}, used=gap),
    ):
        row = row_of(utilization_of(snapshot), "web")
        assert math.isnan(row["peak_used"])
        assert pd.isna(row["peak_utc"])


def test_a_namespace_is_what_its_tightest_value_is_worst_first(make_quota, make_snapshot):
    def quota(namespace, cpu, memory):
        hard = {"requests.cpu": "10", "requests.memory": 10}
        return make_quota(namespace, hard, {"requests.cpu": cpu, "requests.memory": memory})

    zero = make_quota("zero", {"limits.cpu": "0"}, {"limits.cpu": "1"})
    snapshot = make_snapshot(
        {"aks-1": [quota("calm", 1, 2), quota("tight", 9, 3), quota("full", 1, 10), zero]},
        more_namespaces=[("aks-1", "bare")],
    )
    table = utilization_of(snapshot)

    worst = tightest(table)

    assert worst["namespace_name"].tolist() == ["zero", "full", "tight", "calm", "bare"]
    assert worst["resource"].tolist()[1:4] == ["memory_request", "cpu_request", "memory_request"]
    assert worst.loc[1, "cpu_request_ratio"] == 0.1
    assert math.isnan(worst.loc[1, "cpu_limit_ratio"])
    assert verdict_counts(tightest(table)) == {
        "namespaces": 5,
        "full": 2,
        "tight": 1,
        "ok": 1,
        "unknown": 1,
    }


def test_namespaces_equally_tight_are_ordered_by_size_then_name(make_quota, make_snapshot):
    quotas = [
        make_quota(name, {"requests.cpu": size}, {"requests.cpu": size})
        for name, size in (("b-small", "1"), ("a-small", "1"), ("large", "8"))
    ]

    worst = tightest(utilization_of(make_snapshot({"aks-1": quotas})))

    assert worst["namespace_name"].tolist() == ["large", "a-small", "b-small"]


def test_same_namespace_name_on_two_clusters_stays_two(make_quota, make_snapshot):
    quotas = {
        "aks-1": [make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "4"})],
        "aks-2": [make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "1"})],
    }

    table = utilization_of(make_snapshot(quotas))

    assert verdict_counts(tightest(table)) == {
        "namespaces": 2,
        "full": 1,
        "tight": 0,
        "ok": 1,
        "unknown": 0,
    }


def test_a_fleet_without_namespaces_gives_empty_answers(make_snapshot):
    snapshot = make_snapshot({})
    table = utilization_of(snapshot)

    assert tuple(table.columns) == UTILIZATION_COLUMNS
    assert tightest(table).empty
    assert daily_of(snapshot).empty
    assert verdict_counts(tightest(table)) == {
        "namespaces": 0,
        "full": 0,
        "tight": 0,
        "ok": 0,
        "unknown": 0,
    }


quota_values = st.tuples(st.integers(0, 20), st.integers(0, 20))
fleets = st.dictionaries(
    st.sampled_from([f"ns-{number}" for number in range(8)]),
    st.one_of(
        st.none(),
        st.dictionaries(st.sampled_from(["requests.cpu", "limits.memory", "cpu"]), quota_values),
    ),
)


@settings(max_examples=60, deadline=None)
@given(fleet=fleets, unreachable=st.booleans())
def test_counts_add_up_to_all_namespaces_and_every_row_has_a_verdict(fleet, unreachable):
    quotas = [
        QuotaStatus(
            namespace_name=name,
            name="q",
            hard={key: Decimal(hard) for key, (hard, _) in values.items()},
            used={key: Decimal(used) for key, (_, used) in values.items()},
        )
        for name, values in fleet.items()
        if values is not None
    ]
    rows = [("aks-1", name, "s", "g", "", True, "") for name in sorted(fleet)]
    empty = wide_frame(
        pd.DatetimeIndex([], tz="UTC"), [], np.empty((0, 0), np.float32), names=QUOTA_SERIES
    )
    snapshot = Snapshot(
        read_utc=datetime(2026, 11, 2, tzinfo=UTC),
        namespaces=pd.DataFrame(rows, columns=list(NAMESPACE_COLUMNS)),
        quotas={} if unreachable else {"aks-1": quotas},
        commitments={},
        used=empty,
        hard=empty,
        usage_cpu=empty,
        usage_memory=empty,
        unreachable={"aks-1": "cluster not reachable"} if unreachable else {},
    )

    table = utilization_of(snapshot)
    counts = verdict_counts(tightest(table))

    assert len(table) == 4 * len(fleet)
    assert len(tightest(table)) == counts.pop("namespaces") == len(fleet) == sum(counts.values())
    assert table["verdict"].str.fullmatch("full|tight|ok|unknown: .+").all()
    unknown = table["verdict"].str.startswith("unknown")
    assert table.loc[unknown, "utilization_ratio"].isna().all()
    assert table.loc[~unknown, "used"].notna().all()
    if unreachable:
        assert unknown.all()


# Days


def days_of(frame):
    return [name for name in frame.columns if isinstance(name, date)]


def test_a_day_shows_its_highest_ratio_over_the_quota_of_the_same_step(make_quota, make_snapshot):
    """Quota 4, at it; raised to 8 in the same day: the day was full, the next is at 5/8."""
    series = ("aks-1", "web", "requests.cpu")
    hours = 24 + 7  # 1 Nov 00:00 to 2 Nov 06:00
    used = [2.0] + [4.0] * 12 + [4.4] * 12 + [5.0] * 6
    hard = [4.0] * 13 + [8.0] * 18
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"requests.cpu": "8"}, {"requests.cpu": "5"})]},
        used={series: used},
        hard={series: hard},
    )
    assert len(used) == len(hard) == hours

    daily = daily_of(snapshot)

    assert days_of(daily) == [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)]
    assert daily.loc[0, days_of(daily)].tolist() == [0.5, 1.0, 0.625]
    assert daily.loc[0, "quota_changed"] == (date(2026, 11, 1),)


@pytest.mark.parametrize(
    ("used", "shown"),
    [([6.0, 6.0, 3.0], 0.75), ([6.0, 6.0, 6.0], 1.5), ([6.0, 6.0, math.nan], 1.5)],
)
def test_a_lowered_quota_is_not_held_against_what_was_used_before(
    make_quota, make_snapshot, used, shown
):
    """6 of 8 cores; then of 4, from within the second step on, 3, 6 or nobody knows."""
    series = ("aks-1", "web", "requests.cpu")
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "3"})]},
        used={series: used},
        hard={series: [8.0, 4.0, 4.0 if used[-1] > 0 else math.nan]},
    )
    daily = daily_of(snapshot)
    assert daily.loc[0, days_of(daily)].tolist() == [shown]


def test_the_sample_of_midnight_belongs_to_the_day_that_ended(make_quota, make_snapshot):
    series = ("aks-1", "web", "requests.cpu")
    used = [1.0, 4.0] + [1.0] * 5  # 1 Nov 23:00 to ... with the peak at 2 Nov 00:00
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "1"})]},
        used={series: [*used, 1.0]},
        hard={series: [4.0] * 8},
    )

    daily = daily_of(snapshot)

    assert daily.loc[0, days_of(daily)].tolist() == [1.0, 0.25]


def test_days_without_the_quota_they_are_held_against_say_so(make_quota, make_snapshot):
    series = ("aks-1", "web", "requests.cpu")
    quota = make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "3"})
    daily = daily_of(make_snapshot({"aks-1": [quota]}, used={series: [3.0] * 60}))

    assert daily[days_of(daily)].isna().all(axis=None)
    assert daily.loc[0, "reason"] == "no samples of the hard quota"


@pytest.mark.parametrize(
    ("made", "first_seen"),
    [(None, None), (date(2026, 9, 1), date(2026, 9, 1)), (date(2026, 10, 31), date(2026, 10, 31))],
)
def test_before_the_first_sample_of_its_cluster_only_a_creation_tells_of_birth(
    make_quota, make_snapshot, made, first_seen
):
    used = [float("nan")] * 24 + [1.0] * 54
    born = {("aks-1", "web"): datetime(made.year, made.month, made.day, tzinfo=UTC)} if made else {}
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "2"})]},
        used={("aks-1", "web", "requests.cpu"): used},
        created=born,
    )

    assert daily_of(snapshot)["first_seen"].tolist() == [first_seen]


def test_gaps_and_the_time_before_birth_are_not_zero(make_quota, make_snapshot):
    series = ("aks-1", "web", "requests.cpu")
    nan = float("nan")
    quiet = ("aks-1", "quiet", "requests.cpu")
    used = [nan] * 24 + [1.0] * 24 + [nan] * 24 + [2.0] * 6  # 30 Oct, 31 Oct, 1 Nov, 2 Nov
    old = ("aks-1", "old", "requests.cpu")
    quotas = [
        make_quota(name, {"requests.cpu": "4"}, {"requests.cpu": "2"})
        for name in ("web", "quiet", "old")
    ]
    snapshot = make_snapshot(
        {"aks-1": quotas},
        used={series: used, quiet: [nan] * 78, old: [1.0] * 78},
        hard={series: [4.0 if value == value else nan for value in used]},
    )

    daily = daily_of(snapshot).set_index("namespace_name")

    figures = daily[days_of(daily)].to_numpy(dtype=float)
    np.testing.assert_array_equal(figures[list(daily.index).index("web")], [nan, 0.25, nan, 0.5])
    assert np.isnan(figures[list(daily.index).index("quiet")]).all()
    assert daily.loc["web", "first_seen"] == date(2026, 10, 31)
    assert daily.loc["quiet", "first_seen"] is None
    assert daily.loc["web", "quota_changed"] == ()


def test_float32_does_not_push_a_tight_day_below_90_percent(make_quota, make_snapshot):
    series = ("aks-1", "web", "requests.cpu")
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"requests.cpu": "0.5"}, {"requests.cpu": "0.45"})]},
        used={series: [0.45]},
        hard={series: [0.5]},
    )

    daily = daily_of(snapshot)

    assert daily.loc[0, date(2026, 11, 2)] == 0.9


def test_a_day_under_a_quota_of_zero_is_full_if_anything_was_requested(make_quota, make_snapshot):
    quotas = [
        make_quota(name, {"requests.cpu": "0"}, {"requests.cpu": "0"}) for name in ("busy", "idle")
    ]
    names = [("aks-1", name, "requests.cpu") for name in ("busy", "idle")]
    snapshot = make_snapshot(
        {"aks-1": quotas},
        used={names[0]: [1.0], names[1]: [0.0]},
        hard={name: [0.0] for name in names},
        pods={"aks-1": []},
    )

    daily = daily_of(snapshot)

    ratios = dict(zip(daily["namespace_name"], daily[date(2026, 11, 2)], strict=True))
    assert ratios == {"busy": 1.0, "idle": 0.0}


def test_days_are_those_of_the_value_that_is_tight_now(make_quota, make_snapshot):
    """Memory limits are full since today, CPU requests were at 3/4 all along."""
    hard = {"requests.cpu": "4", "limits.memory": 8}
    quota = make_quota("risk", hard, {"requests.cpu": "3", "limits.memory": 8})
    cpu, memory = (("aks-1", "risk", key) for key in hard)
    snapshot = make_snapshot(
        {"aks-1": [quota]},
        used={cpu: [3.0] * 30, memory: [4.0] * 24 + [8.0] * 6},
        hard={cpu: [4.0] * 30, memory: [8.0] * 30},
    )

    daily = daily_of(snapshot)

    assert daily["resource"].tolist() == ["memory_limit"]
    assert daily.loc[0, days_of(daily)].tolist() == [0.5, 1.0]


def test_where_none_is_tight_now_the_value_that_came_nearest_shows_its_days(
    make_quota, make_snapshot
):
    """CPU requests were full until the quota was raised; memory requests are the fullest now."""
    hard = {"requests.cpu": "8", "requests.memory": 8}
    quota = make_quota("web", hard, {"requests.cpu": "4", "requests.memory": 6})
    cpu, memory = (("aks-1", "web", key) for key in hard)
    snapshot = make_snapshot(
        {"aks-1": [quota]},
        used={cpu: [4.0] * 30, memory: [6.0] * 30},
        hard={cpu: [4.0] * 24 + [8.0] * 6, memory: [8.0] * 30},
    )

    daily = daily_of(snapshot)

    assert daily["resource"].tolist() == ["cpu_request"]
    assert daily.loc[0, days_of(daily)].tolist() == [1.0, 0.5]
    assert daily.loc[0, "quota_changed"] == (date(2026, 11, 2),)


def test_days_come_most_urgent_first_and_unknown_ones_last(make_quota, make_snapshot, now):
    """Samples from 1 Nov 07:00 on: 18 of that day, 6 of 2 Nov."""
    samples = {
        "calm": [1.0] * 24, "tight": [3.8] * 24, "filled": [1.0] * 18 + [4.0] * 6,
        "nearer": [2.0] * 24, "lost": [math.nan] * 24, "made": [math.nan] * 24,
    }  # fmt: skip
    quotas = [make_quota(name, {"requests.cpu": "4"}, {"requests.cpu": "1"}) for name in samples]
    snapshot = make_snapshot(
        {"aks-1": quotas},
        more_namespaces=[("aks-1", "bare")],
        used={("aks-1", name, "requests.cpu"): found for name, found in samples.items()},
        hard={("aks-1", name, "requests.cpu"): [4.0] * 24 for name in samples},
        created={("aks-1", "made"): now - timedelta(hours=2)},
    )

    daily = daily_of(snapshot)

    order = ["filled", "tight", "nearer", "calm", "made", "lost"]
    assert daily["namespace_name"].tolist() == order


def test_a_value_of_a_cluster_that_nothing_is_known_of_is_not_named(make_snapshot):
    snapshot = make_snapshot(
        {}, more_namespaces=[("aks-1", "web")], unreachable={"aks-1": "no permission"}
    )

    assert daily_of(snapshot)["resource"].tolist() == [""]


def test_peaks_of_many_namespaces_keep_to_their_own_series(make_quota, make_snapshot, now):
    names = [f"ns-{number:03}" for number in range(200)]
    quotas = [make_quota(name, {"requests.cpu": "300"}, {"requests.cpu": "0"}) for name in names]
    series = {
        ("aks-1", name, "requests.cpu"): [0.0, float(number), 0.0]
        for number, name in enumerate(reversed(names), start=1)
    }

    table = utilization_of(make_snapshot({"aks-1": quotas}, used=series))

    peaks = table[table["resource"] == "cpu_request"].set_index("namespace_name")["peak_used"]
    assert peaks["ns-199"] == 1.0
    assert peaks["ns-000"] == 200.0
    assert set(table["peak_utc"].dropna()) == {pd.Timestamp(now - timedelta(hours=1))}


def test_nothing_found_counts_as_nothing_not_as_an_error() -> None:
    empty = pd.DataFrame(columns=[*UTILIZATION_COLUMNS])
    assert verdict_counts(tightest(empty)) == {
        "namespaces": 0,
        "full": 0,
        "tight": 0,
        "ok": 0,
        "unknown": 0,
    }
    assert tightest(empty).empty


def test_a_value_that_is_unknown_does_not_hide_those_that_are_known(
    make_quota, make_snapshot, make_pod
):
    """CPU: the counter says 44 of 50 and pods ask for 4; memory requests are at half, or full."""
    hard = {"requests.cpu": "50", "requests.memory": 8192}
    quotas = [
        make_quota(name, hard, {"requests.cpu": "44", "requests.memory": memory})
        for name, memory in (("half", 4096), ("over", 8192))
    ]
    quotas.append(make_quota("lost", {"requests.cpu": "50"}, {"requests.cpu": "44"}))
    memory_of = {"half": "1024", "over": "2048", "lost": "0"}
    pods = [make_pod(name, memory=memory) for name, memory in memory_of.items()]

    snapshot = make_snapshot({"aks-1": quotas}, pods={"aks-1": pods * 4})
    worst = tightest(utilization_of(snapshot))

    wrong = "the quota counter says 44 cores, pods ask for 4"
    columns = ["namespace_name", "resource", "verdict", "unknown_values"]
    assert worst[columns].to_numpy().tolist() == [
        ["over", "memory_request", "full", (("cpu_request", wrong),)],
        ["half", "memory_request", "ok", (("cpu_request", wrong),)],
        ["lost", "cpu_request", f"unknown: {wrong}", ()],
    ]
    assert verdict_counts(worst) == {"namespaces": 3, "full": 1, "tight": 0, "ok": 1, "unknown": 1}
    told = daily_of(snapshot).set_index("namespace_name")["resource"].drop("lost").to_dict()
    assert told == {"over": "memory_request", "half": "memory_request"}


@pytest.mark.parametrize(("now", "days"), [("4", (date(2026, 11, 2),)), ("8", ())])
def test_a_quota_cut_after_the_last_sample_changed_on_the_day_of_the_reading(
    make_quota, make_snapshot, now, days
):
    quota = make_quota("web", {"requests.cpu": now}, {"requests.cpu": "4"})
    series = ("aks-1", "web", "requests.cpu")
    snapshot = make_snapshot(
        {"aks-1": [quota]}, used={series: [4.0] * 24}, hard={series: [8.0] * 24}
    )

    daily = daily_of(snapshot)

    assert daily.loc[0, "quota_changed"] == days
