"""The queries as they are sent, and what becomes of the answers."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from mnslib.capacity.history import (
    COST_UNIT,
    LONGEST_QUERY,
    MOST_COST,
    MOST_POINTS,
    MOST_SAMPLES,
    MOST_VALUES,
    SCRAPE_SECONDS,
    Grid,
    History,
    most_rows,
    read_history,
    read_samples,
    time_grid,
)
from mnslib.capacity.promql import HISTORY, REQUESTED, ClusterNames, query_of
from mnslib.errors import ConfigError, PrometheusError, QueryTooLargeError

HOUR = timedelta(hours=1)
AKS_1 = ClusterNames(("aks-1",))


class Recorder:
    """Answers with series whose value is the time, and keeps what was asked.

    `most` values are all that it gives at once; it counts `count` series.
    """

    def __init__(self, *, points=None, count=1, most=10**9):
        self.asked = []
        self.counted = []
        self._points = points
        self._count = count
        self._most = most

    def query_range(self, query, *, start, end, step_seconds):
        times = np.arange(start.timestamp(), end.timestamp() + 1, step_seconds).tolist()
        if query.startswith("count("):
            self.counted.append((query, start, end, step_seconds))
            return [SimpleNamespace(labels={}, points=[(at, float(self._count)) for at in times])]
        if len(times) > self._most:
            raise QueryTooLargeError("too many samples")
        self.asked.append((query, start, end, step_seconds))
        labels = {"namespace": "web", "resourcequota": "q", "resource": "requests.cpu"}
        points = self._points or [(at, at / 3600) for at in times]
        return [SimpleNamespace(labels=labels, points=points)]


CPU_OR_MEMORY = '{cluster="aks-prod-weu-1",resource=~"cpu|memory"}'


def test_the_queries_count_each_pod_once_and_escape_the_cluster():
    cluster = ClusterNames(("aks-prod-weu-1",))
    names = (*HISTORY, *REQUESTED)
    assert {name: query_of(name, cluster).text(3600) for name in names} == {
        "used": "max by (namespace, resourcequota, resource) (max_over_time("
        'kube_resourcequota{cluster="aks-prod-weu-1",type="used"}[3599999ms]))',
        "hard": "max by (namespace, resourcequota, resource) (last_over_time("
        'kube_resourcequota{cluster="aks-prod-weu-1",type="hard"}[3599999ms]))',
        "usage_cpu": "sum by (namespace) (max by (namespace, pod, container, id) (rate("
        'container_cpu_usage_seconds_total{cluster="aks-prod-weu-1",container!=""}[3600s])))',
        "usage_memory": "sum by (namespace) (max by (namespace, pod, container) (max_over_time("
        "container_memory_working_set_bytes"
        '{cluster="aks-prod-weu-1",container!=""}[3599999ms])))',
        "scheduled": "sum by (namespace, resource) (max by (namespace, pod, resource) ("
        '{cluster="aks-prod-weu-1",__name__=~"kube_pod_resource_requests?",'
        'resource=~"cpu|memory"}))',
        "requested": "sum by (namespace, resource) (max by (namespace, pod, resource) "
        "(label_replace(sum by (namespace, pod, resource) (max by (namespace, pod, container, "
        f"resource) (kube_pod_container_resource_requests{CPU_OR_MEMORY})), "
        '"of", "containers", "pod", ".*") or max by (namespace, pod, resource) '
        f"(kube_pod_init_container_resource_requests{CPU_OR_MEMORY})) "
        "unless on (namespace, pod) (max by (namespace, pod) (kube_pod_status_phase"
        '{cluster="aks-prod-weu-1",phase=~"Succeeded|Failed"}) == 1))',
        "listed": "sum by (namespace, resource) (max by (namespace, pod, container, resource) "
        f"(kube_pod_container_resource_requests{CPU_OR_MEMORY}))",
    }
    odd = query_of("used", ClusterNames(('a"} or up{x="\\\n',))).selector
    assert odd == r'kube_resourcequota{cluster="a\"} or up{x=\"\\\n",type="used"}'


def test_two_spellings_of_a_cluster_count_once_and_a_renamed_namespace_as_its_own():
    """What Prometheus makes of these texts was tried: twice the same pod is one."""
    names = ClusterNames(("AKS-1", "aks-1"))
    assert query_of("listed", names).text(60) == (
        "sum by (namespace, resource) (max by (namespace, pod, container, resource) "
        '(kube_pod_container_resource_requests{cluster=~"AKS-1|aks-1",resource=~"cpu|memory"}))'
    )
    renamed = ClusterNames(("aks-1",), is_renamed=True)
    names = ("namespace", "pod", "container")
    replaced = "".join(f', "{name}", "$1", "exported_{name}", "(.+)")' for name in names)
    assert query_of("usage_cpu", renamed).text(60) == (
        "sum by (namespace) (max by (namespace, pod, container, id) (label_replace(label_replace("
        'label_replace(rate(container_cpu_usage_seconds_total{cluster="aks-1",container!=""}[60s])'
        f"{replaced}))"
    )
    nodes = query_of("nodes", renamed).text(60)
    assert nodes.endswith(
        '{cluster="aks-1",resource=~"cpu|memory"}, "node", "$1", "exported_node", "(.+)"))'
    )


def test_the_grid_holds_whole_steps_and_covers_the_lookback():
    times = time_grid(
        datetime(2026, 11, 2, 6, 25, tzinfo=UTC), lookback_days=30, step_minutes=60
    ).times

    assert len(times) == 720
    assert times[-1] == datetime(2026, 11, 2, 6, tzinfo=UTC)
    assert times[0] - HOUR == datetime(2026, 10, 3, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lookback_days", "step_minutes", "named"),
    [
        (0, 60, "lookback_days"),
        (549, 60, "write 1 to 548"),
        (30, 0, "step_minutes"),
        (30, 1441, "step_minutes"),
    ],
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
    times = time_grid(now, lookback_days=lookback_days, step_minutes=step_minutes).times
    prometheus = Recorder()

    history = read_history(prometheus, AKS_1, Grid(times, step, times[-1]))

    used = [(start, end) for query, start, end, _ in prometheus.asked if '"used"' in query]
    assert len(used) == parts
    assert len(prometheus.asked) == 5 * parts
    assert all(end - start < LONGEST_QUERY for _, start, end, _ in prometheus.counted)
    assert all(end - start + step <= LONGEST_QUERY for start, end in used)
    assert all((end - start) // step + 1 <= MOST_POINTS for start, end in used)
    assert all(later - end == step for (_, end), (later, _) in pairwise(used))
    expected = np.array([at.timestamp() / 3600 for at in times], dtype=np.float32)
    (row,) = history.samples["used"].values()
    np.testing.assert_array_equal(row, expected)
    assert list(history.samples["used"]) == [("web", "q", "requests.cpu")]
    assert list(history.samples["usage_cpu"]) == [("web",)]


def test_times_without_a_sample_stay_unknown(now):
    times = time_grid(now, lookback_days=1, step_minutes=60).times
    points = [(times[3].timestamp(), 2.0), (times[23].timestamp(), 0.0)]

    history = read_history(Recorder(points=points), AKS_1, Grid(times, HOUR, times[-1]))

    (row,) = history.samples["hard"].values()
    known = ~np.isnan(row)
    assert np.flatnonzero(known).tolist() == [3, 23]
    assert row[known].tolist() == [2.0, 0.0]


class Requests:
    """Some times show what pods request at them, all times what was requested in their step."""

    def __init__(self, *, seen_at):
        self._seen_at = seen_at

    def query_range(self, query, *, start, end, step_seconds):
        times = np.arange(start.timestamp(), end.timestamp() + 1, step_seconds).tolist()
        if query.startswith("count(") or "resource_requests" not in query:
            return []
        if "last_over_time" not in query:
            points = [(at, 1.0) for at in times if at in self._seen_at]
            return [SimpleNamespace(labels={"namespace": "web", "resource": "cpu"}, points=points)]
        return [
            SimpleNamespace(
                labels={"namespace": name, "resource": "cpu"}, points=[(at, 5.0) for at in times]
            )
            for name in ("web", "jobs")
        ]


def test_what_a_step_saw_of_requests_counts_only_where_its_end_shows_no_pod_of_the_cluster(now):
    times = time_grid(now, lookback_days=1, step_minutes=60).times
    seen = [at.timestamp() for at in times[:20]]
    history = read_history(Requests(seen_at=seen), AKS_1, Grid(times, HOUR, times[-1]))
    found = history.samples["requested"]
    assert found["web", "cpu"].tolist() == [1.0] * 20 + [5.0] * 4
    assert np.flatnonzero(~np.isnan(found["jobs", "cpu"])).tolist() == [20, 21, 22, 23]
    assert history.is_rare
    often = [at.timestamp() for at in times]
    assert not read_history(Requests(seen_at=often), AKS_1, Grid(times, HOUR, times[-1])).is_rare


def test_an_answer_about_other_times_is_an_error(now):
    times = time_grid(now, lookback_days=1, step_minutes=60).times
    points = [(times[0].timestamp() - 3600, 2.0)]

    with pytest.raises(PrometheusError, match="outside the range"):
        read_history(Recorder(points=points), AKS_1, Grid(times, HOUR, times[-1]))


@pytest.mark.parametrize("step_minutes", [1, 60])
@pytest.mark.parametrize("count", [100, 2_000, 80_000])
def test_many_series_are_asked_for_in_parts_below_every_limit(now, count, step_minutes):
    step = timedelta(minutes=step_minutes)
    times = time_grid(now, lookback_days=7, step_minutes=step_minutes).times
    prometheus = Recorder(count=count)

    read_samples(prometheus, query_of("used", AKS_1), Grid(times, step, times[-1]))

    spans = [(end - start + step) // step for _, start, end, _ in prometheus.asked]
    assert sum(spans) == len(times)
    for rows in spans:
        assert count * rows / COST_UNIT <= MOST_COST
        assert count * rows <= MOST_VALUES
        assert count * rows * step.total_seconds() / SCRAPE_SECONDS <= MOST_SAMPLES


def test_a_query_refused_for_its_size_is_halved_until_it_passes_and_nothing_is_lost(now):
    times = time_grid(now, lookback_days=30, step_minutes=60).times
    prometheus = Recorder(most=100)

    (row,) = read_samples(
        prometheus, query_of("used", AKS_1), Grid(times, HOUR, times[-1])
    ).values()

    expected = np.array([at.timestamp() / 3600 for at in times], dtype=np.float32)
    np.testing.assert_array_equal(row, expected)
    assert all((end - start) / HOUR + 1 <= 100 for _, start, end, _ in prometheus.asked)
    assert len(prometheus.asked) == 8  # 720, 360, 180 are refused, 90 passes
    with pytest.raises(QueryTooLargeError):
        read_samples(Recorder(most=0), query_of("used", AKS_1), Grid(times, HOUR, times[-1]))


def test_the_documented_example_of_a_large_fleet_holds():
    assert most_rows(80_000, step=HOUR) == 3
    assert MOST_COST * COST_UNIT // 80_000 == 937
    assert MOST_SAMPLES // (80_000 * 3600 // SCRAPE_SECONDS) == 5


@pytest.mark.parametrize(("hours_ago", "found"), [(23, ["web"]), (24, [])])
def test_a_quota_that_history_saw_within_the_last_day_is_still_there(hours_ago, found):
    hard = np.full(100, np.nan, dtype=np.float32)
    hard[-1 - hours_ago] = 4
    samples = {"used": {}, "hard": {("web", "team-quota", "requests.cpu"): hard}}
    history = History(samples=samples)

    assert [quota.namespace_name for quota in history.last_quotas(step=HOUR)] == found


def test_a_negative_sample_is_kept_for_evidence_to_tell_but_never_the_last_one(now):
    times = time_grid(now, lookback_days=1, step_minutes=60).times
    values = [
        (time.timestamp(), value) for time, value in zip(times, [2.0, -1.0, 0.0], strict=False)
    ]
    query = query_of("usage_cpu", AKS_1)

    (row,) = read_samples(Recorder(points=values), query, Grid(times, HOUR, times[-1])).values()

    assert row[:3].tolist() == pytest.approx([2, -1, 0])


@pytest.mark.parametrize("wrong", [math.inf, -math.inf, -1.0, 1e300, 1.8e19])
def test_the_last_sample_that_can_be_counts_where_only_history_speaks(now, wrong):
    times = time_grid(now, lookback_days=1, step_minutes=60).times
    values = [(time.timestamp(), 2.0) for time in times]
    values[-1] = (values[-1][0], wrong)
    samples = read_samples(
        Recorder(points=values), query_of("used", AKS_1), Grid(times, HOUR, times[-1])
    )
    assert list(History(samples={"used": samples}).last_seen("used").values()) == [2.0]
