"""What pods request, by a real Prometheus: pods that are done, begun anew, or seen twice."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np
import pytest

from mnslib.azure.prometheus import plain_prometheus
from mnslib.capacity.inventory import collect_from_metrics
from tests.tables import utilization_of

STEP, HOUR, DAYS = 300, 3600, 2
COUNT = DAYS * 24 * HOUR // STEP
ALL = (0, COUNT)
OLD, NEW = (0, COUNT // 2), (COUNT // 2, COUNT)
LATE = (COUNT - 3, COUNT)


def text(name, labels, value, span=ALL):
    written = ",".join(f'{key}="{one}"' for key, one in {**labels, "cluster": "aks-1"}.items())
    return name, written, value if callable(value) else lambda number: value, span


def container(pod, cpu, *, space="web", name="app", uid="1", init="", **more):
    labels = {"namespace": space, "pod": pod, "container": name, "uid": uid, "node": "n1"}
    labels |= {"resource": "cpu"} | {key: one for key, one in more.items() if key != "span"}
    metric = f"kube_pod_{init}container_resource_requests"
    return text(metric, labels, cpu, more.get("span", ALL))


def phase(pod, finished, *, space="web", **more):
    for one in ("Running", "Succeeded", "Failed"):
        labels = {"namespace": space, "pod": pod, "phase": one, **more}
        is_so = (lambda number: finished(number)) if one == "Succeeded" else (lambda number: 0)
        yield text("kube_pod_status_phase", labels, is_so)


def node(name, *, cordoned=0, ready=1, taint=""):
    base = {"node": name}
    for resource, amount in (("cpu", 8), ("memory", 2**35)):
        yield text("kube_node_status_allocatable", base | {"resource": resource}, amount)
    yield text("kube_node_spec_unschedulable", base, cordoned)
    condition = base | {"condition": "Ready", "status": "true"}
    yield text("kube_node_status_condition", condition, ready)
    if taint:
        yield text("kube_node_spec_taint", base | {"key": taint, "effect": "NoSchedule"}, 1)


def quota(resource, used):
    labels = {"namespace": "web", "resourcequota": "q", "resource": resource}
    yield text("kube_resourcequota", labels | {"type": "hard"}, 20)
    yield text("kube_resourcequota", labels | {"type": "used"}, used)


def world():
    """Namespace `web`: 4 cores asked for by pods that run, whoever counts."""
    yield from quota("requests.cpu", 4)
    yield from quota("limits.cpu", 0)  # nobody set one
    for replica in ("10.0.0.1", "10.0.0.2"):  # two of kube-state-metrics
        yield container("app-1", 1, instance=replica)
    yield container("app-2", 1, instance="10.0.0.1", span=OLD)  # made anew under another uid
    yield container("app-2", 1, uid="2", instance="10.0.0.9", span=NEW)
    yield container("app-3", 0.5)
    yield container("app-3", 2, name="migrate", init="init_")  # counts for more than its app
    yield container("job-1", 3)  # done for half of the time, still listed
    yield from phase("job-1", lambda number: number >= COUNT // 2)
    yield from phase("app-1", lambda number: 0, instance="10.0.0.1")
    yield from node("n1")
    yield from node("n2", cordoned=lambda number: number < COUNT // 2)  # some time ago
    yield from node("n3", cordoned=1)
    yield from node("n4", ready=0)
    yield from node("n5", taint="CriticalAddonsOnly")
    yield from node("aks-hostedpool-1")
    yield from node("virtual-node-aci-linux", taint="virtual-kubelet.io/provider")
    yield text("kube_pod_container_resource_requests",
               {"namespace": "kube-system", "pod": "s", "container": "s", "resource": "cpu",
                "node": "aks-hostedpool-1"}, 2)  # fmt: skip
    base = {"namespace": "web", "pod": "app-1", "container": "app"}
    for run, span in (("a", (0, COUNT - 6)), ("b", (COUNT - 6, COUNT))):  # restarted
        labels = base | {"id": f"/pod/{run}"}
        yield text("container_memory_working_set_bytes", labels, 2**30, span)
        for scraper in ("x", "y"):
            labels |= {"instance": scraper}
            yield text("container_cpu_usage_seconds_total", labels, lambda n: n * STEP / 2, span)


def scheduled():
    """The same with the scheduler, which sees a sidecar and an overhead too."""
    yield from (one for one in world())
    for pod, cpu in (("app-1", 1.5), ("app-2", 1.25), ("app-3", 2)):
        for scheduler in ("one", "two"):
            labels = {"namespace": "web", "pod": pod, "resource": "cpu", "instance": scheduler}
            yield text("kube_pod_resource_request", labels, cpu)


@pytest.fixture(scope="module")
def end():
    return int(time.time()) // HOUR * HOUR


@pytest.fixture(scope="module")
def read(serve, tmp_path_factory, end):
    def run(series):
        file = tmp_path_factory.mktemp("samples") / "requests.txt"
        with file.open("w", encoding="utf-8") as out:
            for name, labels, value, (first, last) in sorted(series, key=lambda one: one[:2]):
                for number in range(first, last):
                    at = end - (COUNT - 1 - number) * STEP
                    out.write(f"{name}{{{labels}}} {float(value(number))} {at}\n")
            out.write("# EOF\n")
        door = plain_prometheus(serve(file))
        now = datetime.fromtimestamp(end, UTC)
        return collect_from_metrics(door, clusters=[], lookback_days=1, step_minutes=60, now=now)

    return run


@pytest.fixture(scope="module")
def snapshot(read):
    return read(world())


def test_pods_that_are_done_do_not_count_and_no_other_counts_twice(snapshot):
    requested = snapshot.requested["aks-1", "web", "requests.cpu"].to_numpy()
    assert requested.tolist() == [4.0] * 24  # 1 + 1 + max(0.5, 2)
    note = snapshot.history_note
    assert "What pods request on aks-1 is what kube-state-metrics shows" in note


def test_a_container_that_was_restarted_or_scraped_twice_is_used_once(snapshot):
    np.testing.assert_allclose(snapshot.usage_memory["aks-1", "web"], 2**30)
    np.testing.assert_allclose(snapshot.usage_cpu["aks-1", "web"].iloc[:-1], 0.5, rtol=1e-3)


def test_nodes_that_teams_cannot_use_give_nothing_and_are_named(snapshot):
    cpu = snapshot.commitments["aks-1"]["cpu"]
    assert cpu.allocatable == 16  # n1, and n2, which was cordoned only some time ago
    assert cpu.requested == 4  # without what runs where teams never can
    assert cpu.left_out == {
        "aks-hostedpool-1": "closed",
        "n5": "closed",
        "virtual-node-aci-linux": "virtual",
        "n3": "cordoned",
        "n4": "not ready",
    }


def test_a_limit_that_nobody_set_is_truly_zero(snapshot):
    table = utilization_of(snapshot).set_index("resource")
    assert table.loc["cpu_limit", ["verdict", "used"]].tolist() == ["ok", 0.0]
    assert table.loc["cpu_request", ["verdict", "used"]].tolist() == ["ok", 4.0]


def test_the_scheduler_is_preferred_where_there_is_one(read):
    snapshot = read(scheduled())
    requested = snapshot.requested["aks-1", "web", "requests.cpu"].to_numpy()
    assert requested.tolist() == [4.75] * 24
    assert "kube-state-metrics" not in snapshot.history_note
    assert snapshot.commitments["aks-1"]["cpu"].requested == 4.75
