"""Which steps are looked into for the time of a peak, and what becomes of the answers."""

from __future__ import annotations

from datetime import timedelta
from threading import Lock
from types import SimpleNamespace

import pandas as pd
import pytest

from mnslib.capacity.history import MOST_PEAK_QUERIES, with_peak_times
from mnslib.capacity.promql import ClusterNames
from mnslib.errors import PrometheusError
from tests.tables import utilization_of

HOUR = timedelta(hours=1)
CPU = {"requests.cpu": 10}


class Samples:
    """Shows each series at its value from 20 minutes before the end of a window on."""

    def __init__(self, values=(), *, error=None):
        self.asked = []
        self._values = dict(values)
        self._error = error
        self._lock = Lock()

    def samples(self, query, *, at):
        with self._lock:
            self.asked.append((query, at))
        if self._error:
            raise self._error
        times = [(at - timedelta(minutes=minutes)).timestamp() for minutes in (40, 20, 10)]
        return [
            SimpleNamespace(
                labels={
                    "namespace": name, "resourcequota": "team-quota", "resource": "requests.cpu",
                },
                points=list(zip(times, (0.5, value, value), strict=True)),
            )
            for name, value in self._values.items()
        ]  # fmt: skip


@pytest.fixture
def fleet(make_quota, make_snapshot):
    """Namespaces whose use now is `now`, each with a peak of its own height in an hour of its own.

    Fields of `others` go to the snapshot.
    """

    def make(now, **others):
        quotas = [make_quota(name, CPU, {"requests.cpu": used}) for name, used in now.items()]
        count = len(now) + 1
        used = {
            ("aks-1", name, "requests.cpu"): [
                9.25 if place == at else float(now[name]) for at in range(count)
            ]
            for place, name in enumerate(now)
        }
        hard = {series: [10.0] * count for series in used}
        return make_snapshot({"aks-1": quotas}, used=used, hard=hard, **others)

    return make


def cpu(snapshot):
    table = utilization_of(snapshot)
    return table[table["resource"] == "cpu_request"].set_index("namespace_name")


def test_a_peak_is_at_the_first_sample_that_holds_it(fleet, now):
    prometheus = Samples({"web": 9.25})
    found = cpu(
        with_peak_times(
            fleet({"web": 4}), prometheus, labels={"aks-1": ClusterNames(('odd"name',))}
        )
    )
    end = pd.Timestamp(now) - HOUR
    assert found.loc["web", "peak_utc"] == end - timedelta(minutes=20)
    assert (found.loc["web", "peak_used"], found.loc["web", "peak_within_minutes"]) == (9.25, 0)
    query = r'kube_resourcequota{cluster="odd\"name",type="used",namespace=~"web"}[3599999ms]'
    assert prometheus.asked == [(query, end)]


@pytest.mark.parametrize("values", [{}, {"web": 9.0}, {"api": 9.25}])
def test_without_a_sample_that_holds_it_a_peak_stays_at_the_end_of_its_step(fleet, now, values):
    found = cpu(
        with_peak_times(
            fleet({"web": 4}), Samples(values), labels={"aks-1": ClusterNames(("aks-1",))}
        )
    )
    assert found.loc["web", "peak_utc"] == pd.Timestamp(now) - HOUR
    assert found.loc["web", "peak_within_minutes"] == 60


def test_a_refusal_is_no_error_and_ends_the_questions(fleet):
    refusing = Samples(error=PrometheusError("range vectors are not for you"))
    names = {f"n{number}": 4 for number in range(60)}
    found = cpu(with_peak_times(fleet(names), refusing, labels={"aks-1": ClusterNames(("aks-1",))}))
    assert set(found["peak_within_minutes"]) == {60}
    assert len(refusing.asked) < 60


def test_the_tightest_values_come_first_and_no_more_than_the_most_are_asked_for(fleet):
    names = {f"n{number}": number * 9 / 300 for number in range(300)}
    prometheus = Samples(dict.fromkeys(names, 9.25))
    found = cpu(
        with_peak_times(fleet(names), prometheus, labels={"aks-1": ClusterNames(("aks-1",))})
    )
    exact = found.index[found["peak_within_minutes"] == 0]
    assert len(prometheus.asked) == MOST_PEAK_QUERIES
    assert set(exact) == {f"n{number}" for number in range(300 - MOST_PEAK_QUERIES, 300)}


def test_a_peak_of_the_step_under_way_is_as_old_as_that_step_or_its_sample(fleet, now):
    later = now + timedelta(minutes=30)
    snapshot = fleet(
        {"web": 4}, latest_peaks={("aks-1", "web"): {"requests.cpu": 9.5}}, read_utc=later
    )
    found = cpu(snapshot).loc["web"]
    assert (found["peak_utc"], found["peak_within_minutes"]) == (later, 30)
    prometheus = Samples({"web": 9.5})
    found = cpu(
        with_peak_times(snapshot, prometheus, labels={"aks-1": ClusterNames(("aks-1",))})
    ).loc["web"]
    assert found["peak_utc"] == later - timedelta(minutes=20)
    assert found["peak_within_minutes"] == 0
    assert prometheus.asked[0][0].endswith("[1799999ms]")


def test_a_cluster_without_metrics_is_not_asked(fleet):
    prometheus = Samples({"web": 9.25})
    assert with_peak_times(fleet({"web": 4}), prometheus, labels={}).peak_times == {}
    assert prometheus.asked == []
