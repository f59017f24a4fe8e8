"""The four queries as they are sent, and what becomes of the answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from mnslib.capacity.history import LONGEST_QUERY, MOST_POINTS, queries, read_history, time_grid
from mnslib.errors import ConfigError, PrometheusError

HOUR = timedelta(hours=1)


class Recorder:
    """Answers each query with one series whose value is the time, and keeps what was asked."""

    def __init__(self, *, points=None):
        self.asked = []
        self._points = points

    def query_range(self, query, *, start, end, step_seconds):
        self.asked.append((query, start, end, step_seconds))
        times = np.arange(start.timestamp(), end.timestamp() + 1, step_seconds).tolist()
        labels = {"namespace": "web", "resourcequota": "q", "resource": "requests.cpu"}
        points = self._points or [(at, at / 3600) for at in times]
        return [SimpleNamespace(labels=labels, points=points)]


def test_the_four_queries_name_one_metric_each():
    assert queries("aks-prod-weu-1", step_seconds=3600) == {
        "used": "max by (namespace, resourcequota, resource) (max_over_time("
        'kube_resourcequota{cluster="aks-prod-weu-1",type="used"}[3600s]))',
        "hard": "max by (namespace, resourcequota, resource) (last_over_time("
        'kube_resourcequota{cluster="aks-prod-weu-1",type="hard"}[3600s]))',
        "usage_cpu": "sum by (namespace) (rate(container_cpu_usage_seconds_total"
        '{cluster="aks-prod-weu-1",container!=""}[3600s]))',
        "usage_memory": "sum by (namespace) (max_over_time(container_memory_working_set_bytes"
        '{cluster="aks-prod-weu-1",container!=""}[3600s]))',
    }


@pytest.mark.parametrize("name", ['a"} or up{x="', "a\\", "", "-a", "a" * 64, "a\nb"])
def test_a_name_that_no_cluster_can_have_never_reaches_a_query(name):
    with pytest.raises(ConfigError, match="cannot be the name of a managed cluster"):
        queries(name, step_seconds=60)


def test_the_grid_holds_whole_steps_and_covers_the_lookback():
    times = time_grid(datetime(2026, 11, 2, 6, 25, tzinfo=UTC), lookback_days=30, step_minutes=60)

    assert len(times) == 720
    assert times[-1] == datetime(2026, 11, 2, 6, tzinfo=UTC)
    assert times[0] - HOUR == datetime(2026, 10, 3, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lookback_days", "step_minutes", "named"),
    [(0, 60, "lookback_days"), (30, 0, "step_minutes"), (30, 1441, "step_minutes")],
)
def test_a_lookback_or_step_out_of_range_is_refused(now, lookback_days, step_minutes, named):
    with pytest.raises(ConfigError, match=named):
        time_grid(now, lookback_days=lookback_days, step_minutes=step_minutes)


@pytest.mark.parametrize(
    ("lookback_days", "step_minutes", "parts"), [(30, 60, 1), (32, 60, 1), (90, 60, 3), (30, 1, 4)]
)
def test_each_query_stays_within_32_days_and_11000_points_and_the_parts_are_stitched(
    now, lookback_days, step_minutes, parts
):
    step = timedelta(minutes=step_minutes)
    times = time_grid(now, lookback_days=lookback_days, step_minutes=step_minutes)
    prometheus = Recorder()

    history = read_history(prometheus, "aks-1", times=times, step=step)

    used = [(start, end) for query, start, end, _ in prometheus.asked if '"used"' in query]
    assert len(used) == parts
    assert len(prometheus.asked) == 4 * parts
    assert all(end - start + step <= LONGEST_QUERY for start, end in used)
    assert all((end - start) // step + 1 <= MOST_POINTS for start, end in used)
    assert all(later - end == step for (_, end), (later, _) in pairwise(used))
    expected = np.array([at.timestamp() / 3600 for at in times], dtype=np.float32)
    np.testing.assert_array_equal(history.used.values[:, 0], expected)
    assert history.used.series == (("web", "q", "requests.cpu"),)
    assert history.usage_cpu.series == (("web",),)


def test_times_without_a_sample_stay_unknown(now):
    times = time_grid(now, lookback_days=1, step_minutes=60)
    points = [(times[3].timestamp(), 2.0), (times[23].timestamp(), 0.0)]

    history = read_history(Recorder(points=points), "aks-1", times=times, step=HOUR)

    known = ~np.isnan(history.hard.values[:, 0])
    assert np.flatnonzero(known).tolist() == [3, 23]
    assert history.hard.values[known, 0].tolist() == [2.0, 0.0]


def test_an_answer_about_other_times_is_an_error(now):
    times = time_grid(now, lookback_days=1, step_minutes=60)
    points = [(times[0].timestamp() - 3600, 2.0)]

    with pytest.raises(PrometheusError, match="outside the range"):
        read_history(Recorder(points=points), "aks-1", times=times, step=HOUR)
