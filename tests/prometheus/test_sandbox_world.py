"""The sandbox's metrics and a real Prometheus that was given the same world say the same."""

from __future__ import annotations

import json
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import urlencode, urlsplit

import numpy as np
import pandas as pd
import pytest

from mnslib.azure.prometheus import PrometheusClient, plain_prometheus
from mnslib.capacity.clusters import commitment_table
from mnslib.capacity.history import read_history, time_grid
from mnslib.capacity.inventory import collect_from_metrics
from mnslib.capacity.promql import ClusterNames
from mnslib.errors import ArmError
from mnslib.sandbox.history import cluster_steps, node_steps
from mnslib.sandbox.query_limits import QueryLimits
from mnslib.sandbox.resources import CLUSTER_TYPE
from mnslib.sandbox.routes_prometheus import query_once, query_range
from mnslib.sandbox.server import open_state
from mnslib.sandbox.wire import Call, Refusal
from tests.sandbox.in_process import Clock
from tests.tables import utilization_of

SCRAPE_SECONDS = 300
DAYS = 2
HOUR = timedelta(hours=1)
_OBJECT = 'namespace="{n}",resourcequota="{q}",resource="{r}"'
NAMES = {
    "used": "kube_resourcequota{{{c}" + _OBJECT + ',type="used"}}',
    "hard": "kube_resourcequota{{{c}" + _OBJECT + ',type="hard"}}',
    "requested": "kube_pod_container_resource_requests"
    '{{{c}namespace="{n}",pod="all",container="c",resource="{r}"}}',
    "usage_cpu": 'container_cpu_usage_seconds_total{{{c}namespace="{n}",container="c"}}',
    "usage_memory": 'container_memory_working_set_bytes{{{c}namespace="{n}",container="c"}}',
    "node": 'kube_node_status_allocatable{{{c}node="{q}",resource="{r}"}}',
}


class InProcess:
    """The sandbox's metrics without a server: what `PrometheusClient` sends, and gets back."""

    def __init__(self, state, worker, limits):
        self._state, self._worker = state, worker
        self._runtime = SimpleNamespace(query_limits=limits)
        self.refused = []

    def post_form(self, url, form):
        path = urlsplit(url).path
        answer = query_once if path.endswith("/query") else query_range
        call = Call(
            state=self._state, runtime=self._runtime, method="POST", origin="", path=path,
            raw_query="", query={}, headers={}, body=urlencode(form).encode(),
        )  # fmt: skip
        try:
            found = self._worker.submit(answer, call).result()
        except Refusal as refusal:
            self.refused.append(refusal.answer.body["error"])
            raise ArmError(self.refused[-1], status=refusal.answer.status) from refusal
        return json.dumps(found.body).encode()


@pytest.fixture(scope="module")
def clock():
    found = Clock()
    found.time = found.time // 3600 * 3600
    return found


@pytest.fixture(scope="module")
def worker():
    """The one thread that may use the state."""
    with ThreadPoolExecutor(max_workers=1) as found:
        yield found


@pytest.fixture(scope="module")
def state(clock, worker):
    settings = {"world": "default", "latency": "fast", "clock": clock}
    opened = worker.submit(open_state, ":memory:", **settings).result()
    yield opened
    worker.submit(opened.close).result()


@pytest.fixture(scope="module")
def sandbox(state, worker):
    door = InProcess(state, worker, QueryLimits())
    yield PrometheusClient(door, endpoint="http://sandbox", remedy="")
    assert door.refused == []


@pytest.fixture(scope="module")
def server(state, worker, clock, serve, tmp_path_factory):
    file = tmp_path_factory.mktemp("samples") / "world.txt"
    with file.open("w", encoding="utf-8") as out:
        worker.submit(_write, state, out, end=clock.time).result()
    return plain_prometheus(serve(file))


def _write(state, file, *, end):
    """Write each step function as scrapes; use of CPU is summed up to a counter."""
    times = np.arange(end - (DAYS + 1) * 86400, end + 1, SCRAPE_SECONDS)
    rows = {kind: [] for kind in NAMES}
    for cluster in state.resources(CLUSTER_TYPE):
        key, label = cluster["id"].lower(), f'cluster="{cluster["name"]}",'
        for name, steps in {**cluster_steps(state, key), "": node_steps(state, key)}.items():
            places = [bisect_right(steps.times, at) - 1 for at in times.tolist()]
            for (kind, quota, resource), column in steps.series.items():
                line = NAMES[kind].format(c=label, n=name, q=quota, r=resource)
                values = [column[place] if place >= 0 else None for place in places]
                rows[kind].append((line, np.array(values, dtype=np.float64)))
    for family in (("used", "hard"), *((kind,) for kind in NAMES if kind not in ("used", "hard"))):
        name = NAMES[family[0]].partition("{")[0]
        is_counter = "usage_cpu" in family
        file.write(f"# TYPE {name.removesuffix('_total')} {'counter' if is_counter else 'gauge'}\n")
        for line, values in (row for kind in family for row in rows[kind]):
            held = ~np.isnan(values)
            if is_counter:
                spent = np.nan_to_num(values) * SCRAPE_SECONDS
                values = np.concatenate([[0.0], np.cumsum(spent)[:-1]])
            pairs = zip(times[held].tolist(), values[held].tolist(), strict=True)
            file.writelines(f"{line} {value!r} {at:.0f}\n" for at, value in pairs)
    file.write("# EOF\n")


@pytest.mark.parametrize("cluster", ["aks-prod-weu-1", "aks-prod-neu-1", "aks-test-weu-1"])
def test_the_same_queries_give_the_same_figures(sandbox, server, clock, cluster):
    now = datetime.fromtimestamp(clock.time, UTC)
    grid = time_grid(now, lookback_days=DAYS, step_minutes=60)
    grid = grid._replace(now=grid.times[-1])
    ours, theirs = (
        read_history(door, ClusterNames((cluster,)), grid) for door in (sandbox, server)
    )
    for kind in ("used", "hard", "requested", "usage_cpu", "usage_memory"):
        expected, found = theirs.samples[kind], ours.samples[kind]
        assert len(expected) > 3
        assert found.keys() == expected.keys()
        for series, row in found.items():
            np.testing.assert_allclose(row, expected[series], rtol=1e-6, err_msg=f"{kind} {series}")


def test_the_notebooks_tables_are_the_same(sandbox, server, clock):
    now = datetime.fromtimestamp(clock.time, UTC)
    snapshots = [
        collect_from_metrics(door, clusters=[], lookback_days=DAYS, step_minutes=60, now=now)
        for door in (sandbox, server)
    ]
    for table in (utilization_of, commitment_table):
        ours, theirs = map(table, snapshots)
        assert len(ours) > 7
        if "peak_utc" in ours:  # the sandbox has a sample every 30 seconds
            ours["peak_utc"] = ours["peak_utc"].dt.ceil(f"{SCRAPE_SECONDS}s")
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("limits", [QueryLimits(cost=0.1), QueryLimits(samples=50_000)])
def test_what_is_refused_for_its_size_is_asked_for_in_parts_and_gives_the_same(
    sandbox, state, worker, clock, limits
):
    door = InProcess(state, worker, limits)
    now = datetime.fromtimestamp(clock.time, UTC)
    grid = time_grid(now, lookback_days=DAYS, step_minutes=60)
    grid = grid._replace(now=grid.times[-1])
    whole, parts = (
        read_history(client, ClusterNames(("aks-prod-weu-1",)), grid)
        for client in (sandbox, PrometheusClient(door, endpoint="http://sandbox", remedy=""))
    )
    assert door.refused
    assert all("exceeds the limit of" in text for text in door.refused)
    for kind in ("used", "hard", "requested", "usage_cpu", "usage_memory"):
        expected, found = whole.samples[kind], parts.samples[kind]
        assert list(found) == list(expected)
        np.testing.assert_array_equal(list(found.values()), list(expected.values()))
