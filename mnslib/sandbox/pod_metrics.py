"""Series of single pods, containers and nodes, as kube-state-metrics, cAdvisor and kube-scheduler
show them.

A pod that is there is shown from its creation on; one that the world began with also before that,
for as long as its namespace asked for so much: what a namespace requested and used at a moment is
that of `history`, shared out by what each pod asks for. One that is gone is not shown.

Sources: kube-state-metrics, docs/metrics; kubernetes, pkg/scheduler/metrics/resources.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mnslib.sandbox.amounts import parse
from mnslib.sandbox.history import Steps, cluster_steps, node_steps
from mnslib.sandbox.kube.arithmetic import pod_need
from mnslib.sandbox.state import State, seconds
from mnslib.sandbox.wire import Json

_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_AMOUNTS = {
    f"kube_pod_{init}container_resource_{kind}": (init, kind)
    for init in ("", "init_")
    for kind in ("requests", "limits")
}
_USAGE = {
    "container_cpu_usage_seconds_total": "cpu",
    "container_memory_working_set_bytes": "memory",
}
_SCHEDULER = {
    f"kube_pod_resource_{kind}": kind.rstrip("s") + "s"
    for kind in ("request", "requests", "limit", "limits")
}
_NODE = (
    "kube_node_status_allocatable",
    "kube_node_spec_unschedulable",
    "kube_node_spec_taint",
    "kube_node_status_condition",
)
METRICS = (*_AMOUNTS, *_USAGE, *_SCHEDULER, *_NODE, "kube_pod_status_phase", "kube_pod_owner")
_UNITS = {"cpu": "core", "memory": "byte"}

Labels = dict[str, str]
Series = tuple[Labels, list[float], list[Any]]
"""Labels, when each row begins, and what holds from then on; None is no sample."""


def series(state: State, cluster: str, metric: str) -> Iterator[Series]:
    """Yield the series of one of `METRICS` of a cluster, without the label of the cluster."""
    if metric in _NODE:
        times = node_steps(state, cluster).times
        for node in state.objects(cluster, "nodes"):
            for labels, value in _of_node(node, metric):
                yield {"node": node["metadata"]["name"], **labels}, times, [value]
        return
    if metric in _SCHEDULER and not state.switches.scheduler_metrics:
        return
    for namespace, steps in cluster_steps(state, cluster).items():
        shown = _shown(state, cluster, namespace, steps)
        if kind := _USAGE.get(metric, ""):
            used = steps.series.get((f"usage_{kind}", "", ""), [])
            asked = [sum(held) for held in zip(*_held(shown, kind), strict=True)]
            whole = [
                a / n if n and a is not None else None for a, n in zip(used, asked, strict=False)
            ]
        for pod, is_there, need in shown:
            spec, about = pod["spec"], pod["metadata"]
            base = {"namespace": namespace, "pod": about["name"], "uid": about["uid"]}
            node = {"node": spec.get("nodeName", "")}
            if kind:
                parts = _shares(spec["containers"], kind) if need else {}
                for name, part in parts.items():
                    amounts = [
                        amount * need[kind] * part if there and amount is not None else None
                        for amount, there in zip(whole, is_there, strict=False)
                    ]
                    yield (
                        base | {"container": name, "id": f"/{about['uid']}/{name}"},
                        steps.times,
                        amounts,
                    )
                continue
            for labels, value in _of_pod(pod, metric, node):
                yield base | labels, steps.times, [value if there else None for there in is_there]


Shown = tuple[Json, list[bool], dict[str, float]]
"""A pod, in which rows it is there, and what it asks for; empty of one that does not run."""


def _held(shown: list[Shown], kind: str) -> Iterator[list[float]]:
    for _, is_there, need in shown:
        yield [need[kind] if need and there else 0.0 for there in is_there]


def _shown(state: State, cluster: str, namespace: str, steps: Steps) -> list[Shown]:
    pods = state.objects(cluster, "pods", namespace)
    pods.sort(key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
    running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
    needs = {pod["metadata"]["name"]: _need(pod) for pod in running}
    seeded = float(state.meta("seed_time"))
    asked = steps.series.get(("requested", "", "cpu"), [None] * len(steps.times))
    reached, found = 0.0, []
    for pod in pods:
        about = pod["metadata"]
        made = seconds(about["creationTimestamp"])
        need = needs.get(about["name"], {})
        reached += need.get("cpu", 0.0)
        is_there = [
            (made <= at) or (made <= seeded and bool(need) and (amount or 0.0) + 1e-9 >= reached)
            for at, amount in zip(steps.times, asked, strict=True)
        ]
        found.append((pod, is_there, need))
    return found


def _need(pod: Json) -> dict[str, float]:
    """Return what a pod asks for, a little where it asks for nothing, so that it has a share."""
    need = pod_need(pod)
    return {kind: float(need[f"requests.{kind}"]) or 1e-6 for kind in _UNITS}


def _shares(containers: list[Json], kind: str) -> dict[str, float]:
    asked = {
        one["name"]: float(parse(_said(one, "requests").get(kind, "0"))) or 1e-6
        for one in containers
    }
    return {name: amount / sum(asked.values()) for name, amount in asked.items()}


def _said(container: Json, kind: str) -> Json:
    resources: Json = container.get("resources") or {}
    found: Json = resources.get(kind) or {}
    return found


def _of_pod(pod: Json, metric: str, node: Labels) -> Iterator[tuple[Labels, float]]:
    spec, about = pod["spec"], pod["metadata"]
    phase = pod["status"].get("phase")
    if metric == "kube_pod_status_phase":
        yield from (({"phase": one}, float(one == phase)) for one in _PHASES)
    elif metric == "kube_pod_owner":
        for one in about.get("ownerReferences") or [{}]:
            names = {f"owner_{key}": one.get(key, "<none>") for key in ("kind", "name")}
            yield names | {"owner_is_controller": str(one.get("controller", "<none>")).lower()}, 1.0
    elif metric in _SCHEDULER:
        if phase in ("Succeeded", "Failed"):
            return
        need = pod_need(pod)
        for kind, unit in _UNITS.items():
            if amount := float(need[f"{_SCHEDULER[metric]}.{kind}"]):
                yield {**node, "resource": kind, "unit": f"{unit}s"}, amount
    else:
        init, what = _AMOUNTS[metric]
        for one in spec.get("initContainers" if init else "containers") or []:
            for kind, text in _said(one, what).items():
                if kind in _UNITS:
                    labels = {"container": one["name"], "resource": kind, "unit": _UNITS[kind]}
                    yield node | labels, float(parse(text))


def _of_node(node: Json, metric: str) -> Iterator[tuple[Labels, float]]:
    spec, status = node.get("spec") or {}, node["status"]
    if metric == "kube_node_spec_unschedulable":
        yield {}, float(bool(spec.get("unschedulable")))
    elif metric == "kube_node_spec_taint":
        for one in spec.get("taints") or []:
            yield {key: one.get(key, "") for key in ("key", "value", "effect")}, 1.0
    elif metric == "kube_node_status_condition":
        for one in status.get("conditions") or []:
            for state in ("true", "false", "unknown"):
                labels = {"condition": one["type"], "status": state}
                yield labels, float(one["status"].lower() == state)
    else:
        for kind, unit in _UNITS.items():
            labels = {"resource": kind, "unit": unit}
            yield labels, float(parse(status["allocatable"][kind]))
