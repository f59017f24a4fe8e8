"""How far figures can be trusted: the worked examples of docs/capacity.md are the numbers here."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from mnslib.capacity.evidence import (
    EVIDENCE_COLUMNS,
    worst_evidence,
)
from mnslib.capacity.evidence_words import EVIDENCE, NEEDS_SOMEBODY
from mnslib.capacity.tables import Tables
from mnslib.models import QUOTA_FIELDS
from mnslib.show.show import show
from tests.tables import crossings_of, daily_of, evidence_of, layers_of, utilization_of

MONTH = 30 * 24
NAN = float("nan")
CPU = ("aks-1", "web", "requests.cpu")
SPACE = ("aks-1", "web")


def row_of(table, field="cpu_request", namespace="web"):
    found = table[(table["namespace_name"] == namespace) & (table["resource"] == field)]
    assert len(found) == 1
    return found.iloc[0]


def at(now, hours_before):
    return pd.Timestamp(now - timedelta(hours=hours_before))


@pytest.fixture
def web(make_quota, make_snapshot, make_pod):
    """One namespace with a quota of 10 cores, 4 counted, and 4 pods that ask for a core each."""

    def make(used, *, counted="4", hard=None, pods=4, live=True, **others):
        quota = make_quota("web", {"requests.cpu": "10"}, {"requests.cpu": counted})
        hard = [10.0 if value == value else NAN for value in used] if hard is None else hard
        if isinstance(pods, int):
            pods = {"aks-1": [make_pod("web") for _ in range(pods)]}
        return make_snapshot(
            {"aks-1": [quota]},
            used={CPU: used},
            hard={CPU: hard},
            remembered=() if live else ("aks-1",),
            pods=pods or {},
            **others,
        )

    return make


def test_a_month_without_a_missing_sample_is_sound(web, now):
    table = evidence_of(web([4.0] * MONTH))

    row = row_of(table)
    assert tuple(table.columns) == EVIDENCE_COLUMNS
    assert table["resource"].tolist() == list(QUOTA_FIELDS)
    assert (row["evidence"], row["reason"]) == ("sound", "")
    assert (row["unknown_now"], row["unknown_history"]) == ("", "")
    assert (row["coverage"], row["longest_gap_hours"]) == (1.0, 0)
    assert (row["counted"], row["asked"]) == (4, 4)
    assert row["last_sample_utc"] == at(now, 0)
    assert row["first_sample_utc"] == at(now, MONTH - 1)


def test_a_gap_of_three_days_is_named_with_its_place_and_the_history_still_holds(web, now):
    """Hours 241 to 312 of 720 are missing: 72 of 720, so 90 % are there."""
    used = [4.0] * 240 + [NAN] * 72 + [4.0] * (MONTH - 312)

    row = row_of(evidence_of(web(used)))

    assert row["evidence"] == "gaps"
    assert row["coverage"] == 0.9
    assert row["longest_gap_hours"] == 72
    assert (row["gap_from_utc"], row["gap_until_utc"]) == (at(now, 480), at(now, 407))
    assert row["reason"] == (
        "no samples for 3 days from 13 Oct 06:00 UTC to 16 Oct 07:00 UTC, 90 % of the time seen"
    )
    assert (row["unknown_now"], row["unknown_history"]) == ("", "")


def test_an_hour_without_a_sample_is_no_gap_to_speak_of(web):
    row = row_of(evidence_of(web([4.0] * 100 + [NAN] + [4.0] * (MONTH - 101))))

    assert (row["evidence"], row["longest_gap_hours"]) == ("sound", 1)
    assert row["coverage"] == pytest.approx(719 / 720)


@pytest.mark.parametrize(("missing", "word"), [(36, "sound"), (37, "gaps")])
def test_from_95_percent_of_the_samples_on_a_history_is_sound(web, missing, word):
    used = [4.0] * MONTH
    used[10 : 10 + 19 * missing : 19] = [NAN] * missing

    assert row_of(evidence_of(web(used)))["evidence"] == word


@pytest.mark.parametrize(("hours", "word"), [(23, "sound"), (24, "gaps")])
def test_a_gap_of_a_day_is_one_however_long_the_history(web, hours, word):
    used = [4.0] * 100 + [NAN] * hours + [4.0] * (MONTH - 100 - hours)

    assert row_of(evidence_of(web(used)))["evidence"] == word


@pytest.mark.parametrize(("hours", "word"), [(47, "too short"), (48, "sound")])
def test_two_days_of_samples_are_long_enough(web, hours, word):
    assert row_of(evidence_of(web([4.0] * hours)))["evidence"] == word


def test_a_history_that_is_mostly_gaps_gives_no_advice(web):
    """Every third of 720 hours: 240 samples are ten days, but a third of the time."""
    row = row_of(evidence_of(web([4.0, NAN, NAN] * 240)))

    assert row["evidence"] == "gaps"
    assert row["unknown_history"] == "unknown: gaps: samples for 33 % of the time"
    assert row["unknown_now"] == ""


def test_a_namespace_born_yesterday_holds_now_and_is_too_short_for_advice(web, now):
    snapshot = web([NAN] * (MONTH - 23) + [4.0] * 23)

    row = row_of(evidence_of(snapshot))

    assert row["evidence"] == "new"
    assert row["first_sample_utc"] == at(now, 22)
    assert row["coverage"] == 1.0
    assert row["unknown_now"] == ""
    assert row["unknown_history"] == (
        "unknown: too short: 23 hours of samples, advice needs 2 days"
    )
    assert row_of(utilization_of(snapshot))["verdict"] == "ok"


def test_a_namespace_made_an_hour_ago_is_new_even_without_a_sample(web, now):
    row = row_of(evidence_of(web([NAN] * 48, created={SPACE: now - timedelta(hours=1)})))

    assert row["evidence"] == "new"
    assert row["unknown_history"].startswith("unknown: too short")


@pytest.mark.parametrize(("hours", "word"), [(1, "new"), (30, "no history")])
def test_a_quota_too_young_for_samples_is_new_in_a_namespace_however_old(
    make_quota, make_snapshot, now, hours, word
):
    quota = make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "2"})
    snapshot = make_snapshot(
        {"aks-1": [replace(quota, created_utc=now - timedelta(hours=hours))]},
        used={("aks-1", "other", "requests.cpu"): [1.0] * 72},
        created={("aks-1", "web"): now - timedelta(days=60)},
    )

    assert worst_evidence(evidence_of(snapshot))["evidence"].tolist() == [word]


def test_a_namespace_without_a_sample_has_no_history(web):
    row = row_of(evidence_of(web([NAN] * MONTH)))

    assert (row["evidence"], row["reason"]) == ("no history", "no sample in 30 days")
    assert (row["unknown_now"], row["unknown_history"]) == ("", "unknown: no sample in 30 days")


def test_a_short_lookback_is_too_short_and_nothing_is_new_in_it(web):
    row = row_of(evidence_of(web([4.0] * 30)))

    assert row["evidence"] == "too short"
    assert row["reason"] == "30 hours of samples, advice needs 2 days"


def test_without_history_the_figures_of_now_stand_alone(web):
    row = row_of(evidence_of(web([])))

    assert row["evidence"] == "sound"
    assert row["unknown_history"] == "unknown: no history was read"


def test_a_quota_changed_in_the_middle_is_told_with_moment_from_and_to(web, now):
    hard = [8.0] * 200 + [12.0] * 160 + [10.0] * 360

    row = row_of(evidence_of(web([4.0] * MONTH, hard=hard)))

    assert row["evidence"] == "quota changed"
    assert row["quota_changes"] == 2
    assert (row["changed_from"], row["changed_to"]) == (12, 10)
    assert row["changed_utc"] == at(now, 359)
    assert row["reason"] == (
        "quota changed 18 Oct 07:00 UTC from 12 cores to 10 cores, the last of 2 changes"
    )
    assert (row["unknown_now"], row["unknown_history"]) == ("", "")


def test_a_change_behind_a_gap_counts_once_at_the_first_sample_that_shows_it(web, now):
    hard = [8.0] * 200 + [NAN] * 20 + [10.0] * 500

    row = row_of(evidence_of(web([4.0] * MONTH, hard=hard)))

    assert (row["quota_changes"], row["changed_utc"]) == (1, at(now, 499))


def test_the_last_sample_too_old_leaves_a_live_reading_standing(web, now):
    used = [4.0] * (MONTH - 72) + [NAN] * 72

    live, remembered = (
        row_of(evidence_of(web(used, live=live, pods=4 if live else None)))
        for live in (True, False)
    )

    assert live["evidence"] == remembered["evidence"] == "stale"
    assert live["reason"] == "no sample since 30 Oct 06:00 UTC"
    assert live["unknown_now"] == ""
    assert remembered["unknown_now"] == "unknown: no sample since 30 Oct 06:00 UTC"
    assert live["unknown_history"] == remembered["unknown_now"]
    assert pd.isna(live["gap_until_utc"])


def test_a_cluster_that_cannot_be_read_keeps_what_its_history_says(web, make_snapshot):
    used = [4.0] * MONTH
    snapshot = make_snapshot(
        {},
        more_namespaces=[SPACE],
        used={CPU: used},
        hard={CPU: [10.0] * MONTH},
        unreachable={"aks-1": "cluster not reachable"},
    )

    row = row_of(evidence_of(snapshot))

    assert (row["evidence"], row["reason"]) == ("not read", "cluster not reachable")
    assert (row["unknown_now"], row["unknown_history"]) == ("unknown: cluster not reachable", "")
    assert row["coverage"] == 1.0


# Zero


def zero(web, **others):
    snapshot = web([0.0] * MONTH, **others)
    row = row_of(evidence_of(snapshot))
    return row, row_of(utilization_of(snapshot))


def test_a_counter_always_at_zero_while_pods_ask_for_something_is_a_dead_sensor(web):
    row, figures = zero(web, counted="0")

    assert row["evidence"] == "dead sensor"
    assert figures["verdict"] == "unknown: all zero while pods ask for 4 cores"
    assert row["unknown_history"] == figures["verdict"]
    assert figures[["used", "utilization_ratio", "peak_used"]].isna().all()


def test_metrics_dead_at_zero_leave_a_live_counter_standing(web):
    row, figures = zero(web, counted="4")

    assert row["evidence"] == "dead sensor"
    assert (figures["verdict"], figures["used"]) == ("ok", 4)
    assert row["unknown_history"] == "unknown: all zero while pods ask for 4 cores"
    assert np.isnan(figures["peak_used"])


@pytest.mark.parametrize("live", [True, False])
def test_series_of_its_pods_convict_a_zero_that_nobody_can_count_again(web, live):
    row, figures = zero(
        web, counted="0", pods=None, live=live, requested={CPU: [NAN] * 700 + [4.0] * 20}
    )

    assert row["evidence"] == "dead sensor"
    assert figures["verdict"] == "unknown: all zero while there are series of its pods"


def test_a_namespace_without_pods_is_truly_at_zero(web):
    row, figures = zero(web, counted="0", pods=0)

    assert row["evidence"] == "no pods"
    assert (row["unknown_now"], row["unknown_history"]) == ("", "")
    assert (figures["verdict"], figures["peak_used"]) == ("ok", 0)


def test_metrics_that_see_pods_elsewhere_only_vouch_for_a_zero(web):
    other = {("aks-1", "other", "requests.cpu"): [1.0] * MONTH}

    row, figures = zero(web, counted="0", pods=None, live=False, requested=other)

    assert (row["evidence"], figures["verdict"]) == ("no pods", "ok")


def test_a_zero_that_nothing_vouches_for_is_unknown(web):
    row, figures = zero(web, counted="0", pods=None)

    assert row["evidence"] == "all zero"
    assert figures["verdict"] == "unknown: all zero"


def test_measured_use_of_zero_is_a_dead_sensor_for_nodes_never_idle_at_zero(web):
    usage = {SPACE: [0.0] * MONTH, ("aks-1", "other"): [1.0] * MONTH}

    table = evidence_of(web([4.0] * MONTH, usage_cpu=usage))

    row = row_of(table, "cpu_usage")
    assert (row["evidence"], row["reason"]) == ("dead sensor", "all zero: dead sensor")
    assert row["unknown_history"] == "unknown: all zero: dead sensor"
    assert row_of(table)["evidence"] == "sound"  # its counter is another sensor


def test_nothing_is_used_while_no_pod_runs_so_that_is_no_gap(web):
    used = ([4.0] * 8 + [0.0] * 16) * 30
    usage = {SPACE: [3.0 if value else NAN for value in used]}

    row = row_of(evidence_of(web(used, usage_cpu=usage)), "cpu_usage")

    assert (row["evidence"], row["coverage"]) == ("sound", 1.0)


# Zeros that cannot be true


def dies(begin, length, *, total=MONTH, level=4.0):
    """A counter that is zero for some hours while its pods go on."""
    samples = [level] * total
    samples[begin : begin + length] = [0.0] * length
    return samples


ASKED = {CPU: [4.0] * MONTH}


def test_a_counter_that_dies_and_comes_back_has_a_gap_with_its_place(web, now):
    snapshot = web(dies(240, 72), requested=ASKED)

    row = row_of(evidence_of(snapshot))

    assert (row["evidence"], row["coverage"]) == ("gaps", 0.9)
    assert row["reason"] == (
        "zero while its pods ask for more, for 3 days from 13 Oct 06:00 UTC to 16 Oct 07:00 UTC, "
        "90 % of the time seen"
    )
    assert row["untrue_zeros"] == ("2026-10-13T07:00:00Z/2026-10-16T06:00:00Z",)
    assert (row["unknown_now"], row["unknown_history"]) == ("", "")
    daily = daily_of(snapshot).iloc[0]
    assert daily[[day for day in daily.index if str(day) == "2026-10-14"]].isna().all()


def test_a_counter_that_died_is_unknown_since_then_and_keeps_its_peak(web):
    """The quota is known from the metrics alone, so the zero of now is theirs."""
    snapshot = web([5.0, *dies(300, 419, total=719)], counted="0", pods=None, live=False,
                   requested=ASKED)  # fmt: skip

    row, figures = row_of(evidence_of(snapshot)), row_of(utilization_of(snapshot))

    assert row["evidence"] == "stale"
    assert row["reason"] == "zero while its pods ask for more, since 15 Oct 19:00 UTC"
    assert figures["verdict"] == f"unknown: {row['reason']}"
    assert row["unknown_history"] == figures["verdict"]
    assert np.isnan(figures["used"])
    assert figures["peak_used"] == 5


def test_a_counter_that_died_an_hour_ago_is_unknown_now_but_its_history_holds(web):
    row = row_of(
        evidence_of(
            web(dies(719, 1), counted="0", pods=None, live=False, requested=ASKED),
        )
    )

    assert row["unknown_now"].startswith("unknown: zero while its pods ask for more, since 2 Nov")
    assert row["unknown_history"] == ""


def test_a_live_counter_at_zero_for_days_beside_one_small_pod_is_wrong(web):
    """One pod may come and go while quotas and pods are read, but not for five days."""
    snapshot = web(dies(600, 120, level=1.0), counted="0", pods=1, requested={CPU: [1.0] * MONTH})

    row = row_of(evidence_of(snapshot))

    assert row["unknown_now"] == "unknown: the quota counter says 0 cores, pods ask for 1"


def test_a_counter_that_begins_with_untrue_zeros_has_a_gap_there(web, now):
    row = row_of(evidence_of(web(dies(0, 72), requested=ASKED)))

    assert (row["evidence"], row["coverage"]) == ("gaps", 0.9)
    assert row["first_sample_utc"] == at(now, 719)


def test_zeros_while_nothing_is_asked_for_are_true(web):
    """Scaled to zero, the pods' series end; where all ask for nothing, they say 0."""
    ended, zero = ([4.0] * 240 + [none] * 72 + [4.0] * 408 for none in (NAN, 0.0))

    for asked in (ended, zero):
        row = row_of(evidence_of(web(dies(240, 72), requested={CPU: asked})))
        assert (row["evidence"], row["untrue_zeros"]) == ("sound", ())


def test_zeros_beside_jobs_that_have_ended_are_true_where_no_container_is_seen(web):
    """What has ended is still asked for; containers of others are seen, none of these."""
    others = {SPACE: dies(240, 72), ("aks-1", "other"): [1.0] * MONTH}
    others[SPACE][240:312] = [NAN] * 72

    row = row_of(evidence_of(web(dies(240, 72), requested=ASKED, usage_memory=others)))

    assert (row["evidence"], row["coverage"]) == ("sound", 1.0)


def test_zeros_up_to_now_are_true_where_the_pods_that_were_read_have_all_ended(web, make_pod):
    ended = {"aks-1": [make_pod("web", phase="Succeeded")] * 4}

    row = row_of(evidence_of(web(dies(600, 120), counted="0", pods=ended, requested=ASKED)))

    assert (row["evidence"], row["unknown_now"], row["unknown_history"]) == ("sound", "", "")


def test_a_quota_of_some_pods_only_may_be_at_zero_while_others_ask(web):
    snapshot = web(dies(240, 72), requested=ASKED)
    scoped = [replace(quota, is_scoped=True) for quota in snapshot.quotas["aks-1"]]

    row = row_of(evidence_of(replace(snapshot, quotas={"aks-1": scoped})))

    assert (row["evidence"], row["untrue_zeros"]) == ("sound", ())


@pytest.mark.parametrize(("pods", "word"), [(None, "dead sensor"), (4, "no pods")])
def test_limits_of_zero_are_true_where_the_pods_that_were_read_have_none(
    make_quota, make_snapshot, make_pod, pods, word
):
    """Pods that are older than their quota may lack what it asks of new ones."""
    series = ("aks-1", "web", "limits.cpu")
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", {"limits.cpu": "10"}, {"limits.cpu": "0"})]},
        used={series: [0.0] * MONTH}, hard={series: [10.0] * MONTH}, requested=ASKED,
        pods={"aks-1": [make_pod("web")] * pods} if pods else {},
    )  # fmt: skip

    assert row_of(evidence_of(snapshot), "cpu_limit")["evidence"] == word


def test_without_a_history_of_requests_a_zero_halfway_stands(web):
    row = row_of(evidence_of(web(dies(240, 72))))

    assert (row["evidence"], row["coverage"]) == ("sound", 1.0)


def test_a_quota_of_zero_beside_untrue_zeros_is_no_change(web):
    row = row_of(evidence_of(web(dies(240, 72), hard=dies(240, 72, level=10.0), requested=ASKED)))

    assert (row["quota_changes"], row["evidence"]) == (0, "gaps")


def test_memory_is_never_zero_while_pods_run_and_cpu_not_for_a_day(web):
    def weigh(kind, length):
        snapshot = web([4.0] * MONTH, **{kind: {SPACE: dies(240, length, level=1.0)}})
        return row_of(evidence_of(snapshot), kind.removeprefix("usage_") + "_usage")

    assert weigh("usage_memory", 72)["reason"] == (
        "zero while its pods run, for 3 days from 13 Oct 06:00 UTC to 16 Oct 07:00 UTC, "
        "90 % of the time seen"
    )
    assert weigh("usage_memory", 23)["coverage"] == pytest.approx(697 / 720)
    assert weigh("usage_cpu", 72)["evidence"] == "gaps"
    assert weigh("usage_cpu", 24)["evidence"] == "gaps"
    assert weigh("usage_cpu", 23)["coverage"] == 1  # a pod may sleep for hours


def test_use_of_zero_is_true_while_no_pod_runs(web):
    used = [4.0] * 240 + [0.0] * 72 + [4.0] * 408

    row = row_of(
        evidence_of(web(used, usage_memory={SPACE: dies(240, 72, level=1.0)})), "memory_usage"
    )

    assert (row["evidence"], row["coverage"]) == ("sound", 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_zeros_are_untrue_exactly_where_pods_ask_for_more(make_quota, make_snapshot, seed):
    """Whatever is zero and asked for: no step of it is in any table, and every other one is."""
    rng = np.random.default_rng(seed)
    shape = (200, 6)
    used = rng.choice([0.0, 3.0, 9.5, 10.0, NAN], shape, p=[0.3, 0.3, 0.15, 0.15, 0.1])
    asked = rng.choice([0.0, 2.0, NAN], shape)
    used[0], asked[0] = 3.0, 3.0
    series = [("aks-1", f"ns-{n}", "requests.cpu") for n in range(shape[1])]
    quotas = [make_quota(name, {"requests.cpu": 10}, {"requests.cpu": 3}) for _, name, _ in series]
    frames = {"hard": np.full(shape, 10.0), "requested": asked}
    shown, known = (
        make_snapshot(
            {"aks-1": quotas},
            used=dict(zip(series, samples.T, strict=True)),
            **{kind: dict(zip(series, found.T, strict=True)) for kind, found in frames.items()},
        )
        for samples in (used, np.where((used == 0) & (asked > 0), NAN, used))
    )

    for table_of in (crossings_of, daily_of, layers_of):
        pd.testing.assert_frame_equal(table_of(shown), table_of(known))
    ours, theirs = (evidence_of(one)["coverage"] for one in (shown, known))
    pd.testing.assert_series_equal(ours, theirs)


# The counter, done again


@pytest.mark.parametrize(
    ("counted", "pods", "reason"),
    [
        ("44", 4, "the quota counter says 44 cores, pods ask for 4"),
        ("4", 0, "the quota counter says 4 cores, pods ask for nothing"),
        ("0", 4, "the quota counter says 0 cores, pods ask for 4"),
        ("5", 4, ""),  # one pod more: it has just ended, or is about to start
        ("20", 16, ""),  # a fifth: a rolling update is under way
        ("22", 16, "the quota counter says 22 cores, pods ask for 16"),
    ],
)
def test_a_counter_far_from_its_pods_is_unknown_and_a_slow_one_is_not(web, counted, pods, reason):
    snapshot = web([4.0] * MONTH, counted=counted, pods=pods)

    row, figures = row_of(evidence_of(snapshot)), row_of(utilization_of(snapshot))

    assert row["reason"] == reason
    assert row["unknown_now"] == (f"unknown: {reason}" if reason else "")
    assert row["unknown_history"] == row["unknown_now"]
    assert (row["evidence"] == "wrong counter") == bool(reason)
    assert np.isnan(figures["used"]) == np.isnan(figures["peak_used"]) == bool(reason)
    assert not np.isnan(figures["hard"])  # a wrong counter says nothing against the quota


def test_finished_pods_are_not_asked_for_but_one_that_ends_is_no_alarm(web, make_pod):
    def counting(number):
        ended = {"aks-1": [make_pod("web", phase="Succeeded")] * number}
        return row_of(evidence_of(web([4.0] * MONTH, counted=str(number), pods=ended)))

    one, many = counting(1), counting(4)

    assert (one["asked"], one["evidence"]) == (0, "sound")
    assert many["reason"] == "the quota counter says 4 cores, pods ask for nothing"


def test_a_quota_of_some_pods_only_cannot_be_counted_again(make_quota, make_snapshot, make_pod):
    quota = make_quota("web", {"requests.cpu": "10"}, {"requests.cpu": "1"})
    snapshot = make_snapshot(
        {"aks-1": [replace(quota, is_scoped=True)]},
        pods={"aks-1": [make_pod("web") for _ in range(8)]},
    )

    assert row_of(utilization_of(snapshot))["verdict"] == "ok"


# All of it


def test_every_word_has_one_meaning_and_a_row_has_one_word(web, make_snapshot):
    table = evidence_of(web([4.0] * MONTH))

    assert set(table["evidence"]) == {"sound", "no quota"}
    assert worst_evidence(table)["evidence"].tolist() == ["sound"]
    assert set(NEEDS_SOMEBODY) < set(EVIDENCE)
    assert len(set(EVIDENCE)) == len(EVIDENCE)
    assert evidence_of(make_snapshot({})).empty


def test_a_fleet_of_mixed_facts_keeps_each_to_its_own_series(make_quota, make_snapshot, make_pod):
    """9,000 namespaces are looked at in parts; every third has a gap of a day, elsewhere."""
    names = [f"ns-{number:04}" for number in range(9000)]
    samples = np.full((48, len(names)), 1.0, dtype=np.float32)
    for place in range(0, len(names), 3):
        samples[place % 20 + 1 : place % 20 + 1 + 5, place] = np.nan
    series = {("aks-1", name, "requests.cpu"): samples[:, i] for i, name in enumerate(names)}
    quotas = [make_quota(name, {"requests.cpu": "4"}, {"requests.cpu": "1"}) for name in names]

    table = evidence_of(make_snapshot({"aks-1": quotas}, used=series))

    rows = table[table["resource"] == "cpu_request"].reset_index(drop=True)
    torn = rows.index % 3 == 0
    assert (rows.loc[torn, "longest_gap_hours"] == 5).all()
    assert (rows.loc[~torn, "longest_gap_hours"] == 0).all()
    hours = (rows.loc[torn, "gap_from_utc"] - rows.loc[torn, "first_sample_utc"]).dt.total_seconds()
    assert (hours / 3600 == rows.index[torn] % 20).all()


def test_days_of_a_dead_sensor_are_unknown(web):
    snapshot = web([0.0] * MONTH, counted="0")

    daily = daily_of(snapshot)

    assert daily[[name for name in daily if not isinstance(name, str)]].isna().all(axis=None)
    assert daily.loc[0, "first_seen"] is None  # which would read as new
    assert daily.loc[0, "reason"] == "all zero while pods ask for 4 cores"


def test_what_is_said_of_the_time_before_begins_where_the_history_does(make_quota, make_snapshot):
    """Thirty days are asked for; the first sample of all is of the last five."""
    quotas = [make_quota(name, {"requests.cpu": "8"}, {"requests.cpu": "4"}) for name in "ab"]
    series = {("aks-1", "a", "requests.cpu"): [NAN] * 600 + [4.0] * 120}

    snapshot = make_snapshot({"aks-1": quotas}, used=series, history_note="30 days.")

    assert snapshot.history == "30 days. The history begins 28 Oct 2026: no sample is older."
    reasons = evidence_of(snapshot).set_index(["namespace_name", "resource"])["reason"]
    assert reasons["b", "cpu_request"] == "no sample in 5 days"
    whole = make_snapshot({"aks-1": quotas}, used={key: [4.0] * 720 for key in series})
    assert whole.history == whole.history_note


@pytest.mark.parametrize("kind", ["used", "requested", "usage_cpu", "usage_memory", "hard"])
def test_samples_that_cannot_be_are_none_and_told(make_snapshot, make_quota, kind):
    """One of each kind in 30 days of hours."""
    wrong = {100: math.inf, 200: -math.inf, 300: 1e30, 400: -3.0}
    place, key = ("aks-1", "web"), "requests.cpu"
    quotas = {"aks-1": [make_quota("web", {key: "4"}, {key: "2"})]}
    series = {"used": (*place, key), "requested": (*place, key), "hard": (*place, key)}
    flat = {"used": 2.0, "requested": 2.0, "hard": 4.0, "usage_cpu": 1.5, "usage_memory": 2.0**30}
    frames = {name: {series.get(name, place): [value] * 720} for name, value in flat.items()}
    sound = Tables(make_snapshot(quotas, **frames))
    frames[kind] = {
        key: [wrong.get(at, value) for at, value in enumerate(row)]
        for key, row in frames[kind].items()
    }
    tables = Tables(make_snapshot(quotas, **frames))

    table = tables.evidence
    assert table["impossible_samples"].sum() == 4
    assert table["evidence"].tolist() == sound.evidence["evidence"].tolist()
    columns = ["verdict", "peak_used", "advice"]
    assert tables.utilization[columns].equals(sound.utilization[columns])
    assert tables.layers["usage"].equals(sound.layers["usage"])
    said = "4 samples of web cannot be (infinite, negative, or more than a cluster has)"
    assert said in repr(show(tables, "evidence"))


def test_a_key_that_no_pod_asks_for_is_judged_by_itself(make_snapshot, make_quota, make_pod):
    """Pods ask for CPU and use it, but nobody sets a limit: its counter at 0 is true."""
    hard, used = {"requests.cpu": 4, "limits.cpu": 8}, {"requests.cpu": 1, "limits.cpu": 0}
    place = ("aks-1", "web")
    snapshot = make_snapshot(
        {"aks-1": [make_quota("web", hard, used)]},
        used={(*place, "requests.cpu"): [1.0] * 72, (*place, "limits.cpu"): [0.0] * 72},
        hard={(*place, "requests.cpu"): [4.0] * 72, (*place, "limits.cpu"): [8.0] * 72},
        usage_cpu={place: [0.5] * 72},
        pods={"aks-1": [make_pod("web")]},
    )
    found = evidence_of(snapshot).set_index("resource")
    assert found.loc["cpu_limit", ["evidence", "unknown_now"]].tolist() == ["no pods", ""]
    assert found.loc["cpu_request", "evidence"] == "sound"
