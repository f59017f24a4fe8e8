"""When a quota was reached and left; the worked examples of docs/capacity.md are the numbers."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from mnslib.capacity.daily import CROSSING_COLUMNS
from tests.tables import crossings_of

NAN = float("nan")
CPU = ("aks-1", "web", "requests.cpu")


@pytest.fixture
def crossed(make_quota, make_snapshot):
    """The crossings of one series as (hours before now, threshold, direction, minutes)."""

    def make(used, hard=10.0):
        hard = [hard] * len(used) if isinstance(hard, float) else hard
        quota = make_quota("web", {"requests.cpu": "10"}, {"requests.cpu": "1"})
        return crossings_of(make_snapshot({"aks-1": [quota]}, used={CPU: used}, hard={CPU: hard}))

    return make


def told(table, now):
    hours = [(now - at) / timedelta(hours=1) for at in table["crossed_utc"]]
    columns = ("threshold", "direction", "within_minutes")
    return list(zip(hours, *(table[name] for name in columns), strict=True))


def test_each_threshold_is_crossed_up_and_down_at_the_end_of_its_step(crossed, now):
    """8, 9, 10, 9.5, 8 of 10 cores."""
    table = crossed([8.0, 9.0, 10.0, 9.5, 8.0])

    assert tuple(table.columns) == CROSSING_COLUMNS
    assert told(table, now) == [
        (3, 0.9, "up", 60), (2, 1.0, "up", 60), (1, 1.0, "down", 60), (0, 0.9, "down", 60),
    ]  # fmt: skip
    assert table.loc[0, ["used", "hard", "utilization_ratio"]].tolist() == [9.0, 10.0, 0.9]
    assert set(table["resource"]) == {"cpu_request"}
    assert not table["is_over_gap"].any()


def test_one_step_may_cross_both_thresholds(crossed, now):
    assert told(crossed([5.0, 10.0]), now) == [(0, 0.9, "up", 60), (0, 1.0, "up", 60)]


def test_each_step_is_held_against_its_own_quota(crossed, now):
    """9.5 cores all along: of 10 they are tight, of 20 they are not, of 9 they are too many."""
    table = crossed([9.5] * 6, [20.0, 20.0, 10.0, 10.0, 20.0, 9.0])

    assert told(table, now) == [
        (3, 0.9, "up", 60), (1, 0.9, "down", 60), (0, 0.9, "up", 60), (0, 1.0, "up", 60),
    ]  # fmt: skip


def test_what_was_used_before_a_quota_was_lowered_is_not_held_against_the_lower_one(crossed, now):
    """6 of 8 cores, then 3 of 4: in the step between, 6 was the highest and 4 the last."""
    assert crossed([6.0, 6.0, 6.0, 3.0], [8.0, 8.0, 4.0, 4.0]).empty
    stays = crossed([6.0, 6.0, 6.0, 6.0], [8.0, 8.0, 4.0, 4.0])
    assert told(stays, now) == [(1, 0.9, "up", 60), (1, 1.0, "up", 60)]
    full_before = crossed([6.0, 6.0, 8.0, 3.0, 3.0], [8.0, 8.0, 4.0, 4.0, 4.0])
    assert full_before[full_before["direction"] == "up"]["hard"].tolist() == [8.0, 8.0]


def test_a_crossing_over_a_gap_lies_somewhere_in_it(crossed, now):
    """8 cores, three hours without a sample, then 9.5: within four hours."""
    table = crossed([8.0, NAN, NAN, NAN, 9.5, 9.5])

    assert told(table, now) == [(1, 0.9, "up", 240)]
    assert table["is_over_gap"].tolist() == [True]


def test_a_gap_with_the_same_on_both_sides_crosses_nothing(crossed):
    assert crossed([9.5, NAN, NAN, 9.5]).empty


def test_a_step_without_its_quota_is_a_gap_as_well(crossed, now):
    assert told(crossed([8.0, 9.9, 9.9], [10.0, NAN, 10.0]), now) == [(0, 0.9, "up", 120)]


def test_where_a_series_begins_nothing_is_crossed(crossed):
    assert crossed([NAN, NAN, 10.0, 10.0]).empty


@pytest.mark.parametrize("hard", [0.1, 0.3, 0.7, 1.1, 3.3, 16.1, 102.3, 1000.7, 4_000_001.0])
def test_exactly_at_the_threshold_counts_though_samples_are_float32(crossed, hard):
    """In float32, 0.9 of a quota may come out as 0.8999999."""
    directions = crossed([hard * 0.5, hard * 0.9, hard, hard * 0.9], float(hard))["direction"]

    assert directions.tolist() == ["up", "up", "down"]


@pytest.mark.parametrize("hard", [1.0, 16.1, 102.3, 1000.7])
def test_a_millicore_less_does_not_count(crossed, hard):
    assert crossed([hard * 0.5, hard * 0.9 - 0.001], float(hard)).empty
    assert (crossed([hard * 0.5, hard - 0.001], float(hard))["threshold"] == 0.9).all()


def test_noise_around_a_threshold_makes_no_crossing(crossed):
    """The same 0.9 cores of 1, written down a rounding of float32 apart."""
    near = np.float32(0.9)
    used = [near, np.nextafter(near, np.float32(0)), near, np.nextafter(near, np.float32(1))]

    assert crossed([float(value) for value in used], 1.0).empty


def test_a_quota_of_zero_is_full_once_anything_is_used(crossed, now):
    assert told(crossed([0.0, 0.5, 0.0], 0.0), now) == [
        (1, 0.9, "up", 60), (1, 1.0, "up", 60), (0, 0.9, "down", 60), (0, 1.0, "down", 60),
    ]  # fmt: skip


def test_a_dead_sensor_crosses_nothing_and_others_keep_their_own(make_quota, make_snapshot, now):
    quotas = [
        make_quota(name, {"requests.cpu": "10"}, {"requests.cpu": "1"}) for name in ("dead", "live")
    ]
    keys = {name: ("aks-1", name, "requests.cpu") for name in ("dead", "live")}
    snapshot = make_snapshot(
        {"aks-1": quotas},
        used={keys["dead"]: [0.0] * 4, keys["live"]: [1.0, 9.0, 9.0, 1.0]},
        hard={key: [10.0] * 4 for key in keys.values()},
    )

    table = crossings_of(snapshot)

    assert set(table["namespace_name"]) == {"live"}
    assert told(table, now) == [(2, 0.9, "up", 60), (0, 0.9, "down", 60)]


def test_without_history_there_is_an_empty_table(make_snapshot):
    table = crossings_of(make_snapshot({}))

    assert tuple(table.columns) == CROSSING_COLUMNS
    assert table.empty


def test_crossings_equal_those_of_a_plain_loop_over_random_walks(make_quota, make_snapshot):
    random = np.random.default_rng(7)
    names = [f"ns-{number:03}" for number in range(60)]
    walks = 8 + np.cumsum(random.integers(-1, 2, size=(200, 60)), axis=0) * 0.5
    walks[random.random(walks.shape) < 0.2] = np.nan
    hard = np.where(np.arange(200)[:, None] < 100, 10.0, 12.5) * np.ones(60)
    keys = [("aks-1", name, "requests.cpu") for name in names]
    quotas = [make_quota(name, {"requests.cpu": "10"}, {"requests.cpu": "1"}) for name in names]
    snapshot = make_snapshot(
        {"aks-1": quotas},
        used={key: walks[:, place] for place, key in enumerate(keys)},
        hard={key: hard[:, place] for place, key in enumerate(keys)},
    )

    expected = []
    for place, name in enumerate(names):
        earlier = None
        for row in range(200):
            if np.isnan(walks[row, place]):
                continue
            for share in (0.9, 1.0):
                is_over = walks[row, place] >= share * hard[row, place] - 1e-9
                was_over = earlier and earlier[1][share]
                if earlier and is_over != was_over:
                    gap = (row - earlier[0]) * 60
                    expected.append((name, row, share, "up" if is_over else "down", gap))
            over = {s: walks[row, place] >= s * hard[row, place] - 1e-9 for s in (0.9, 1.0)}
            earlier = (row, over)

    table = crossings_of(snapshot)
    rows = snapshot.used.index.get_indexer(pd.DatetimeIndex(table["crossed_utc"]))
    columns = ("threshold", "direction", "within_minutes")
    found = list(zip(table["namespace_name"], rows, *(table[c] for c in columns), strict=True))
    assert len(found) > 500
    assert found == expected
