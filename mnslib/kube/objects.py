"""From the Kubernetes API's objects, as lightkube reads them, to our own values.

lightkube types every part as optional. `Any` here: where a part is missing that Kubernetes always
sends, attribute access raises, and the client says which list it was. Knows no cluster.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mnslib import kube_models as own
from mnslib.quantities import ZERO, parse_quantity
from mnslib.secrets import hide_secrets

_COUNTED = ("cpu", "memory")
_STEADY = "25%"
"""maxSurge of a Deployment that does not say. Source: apps/v1, DeploymentStrategy."""


def namespace(item: Any) -> own.KubernetesNamespace:
    """Return a namespace."""
    return own.KubernetesNamespace(
        name=item.metadata.name,
        created_utc=item.metadata.creationTimestamp,
        labels=item.metadata.labels or {},
        annotations=item.metadata.annotations or {},
    )


def quota(item: Any) -> own.QuotaStatus:
    """Return a ResourceQuota with its counters."""
    # `status` trails `spec` until the quota controller has looked at a new object.
    status, spec = item.status, item.spec
    return own.QuotaStatus(
        namespace_name=item.metadata.namespace,
        name=item.metadata.name,
        hard=_amounts((status and status.hard) or (spec and spec.hard)),
        used=_amounts(status and status.used),
        is_scoped=bool(spec and (spec.scopes or spec.scopeSelector)),
        created_utc=item.metadata.creationTimestamp,
    )


_POOL_LABEL = "kubernetes.azure.com/agentpool"
"""Source: AKS, reserved system labels of nodes."""

_VIRTUAL_LABEL = ("type", "virtual-kubelet")
"""Source: virtual-kubelet, which AKS' virtual nodes are."""

_KEEPS_AWAY = ("NoSchedule", "NoExecute")


def node(item: Any) -> own.Node:
    """Return a node with what it offers."""
    offered = _amounts(item.status and item.status.allocatable, only=(*_COUNTED, "pods"))
    conditions = (item.status and item.status.conditions) or []
    taints = (item.spec and item.spec.taints) or []
    labels = item.metadata.labels or {}
    return own.Node(
        name=item.metadata.name,
        allocatable_cores=offered.get("cpu", ZERO),  # absent until a new node has reported
        allocatable_bytes=offered.get("memory", ZERO),
        is_ready=any(c.type == "Ready" and c.status == "True" for c in conditions),
        pool=labels.get(_POOL_LABEL, ""),
        most_pods=int(offered["pods"]) if "pods" in offered else None,
        is_cordoned=bool(item.spec and item.spec.unschedulable),
        is_virtual=_VIRTUAL_LABEL in labels.items(),
        taints=tuple(taint.key for taint in taints if taint.effect in _KEEPS_AWAY),
    )


def pod(item: Any) -> own.Pod:
    """Return a pod."""
    phase = (item.status and item.status.phase) or "Pending"
    return _pod(item.metadata, item.spec, phase=phase)


def _pod(metadata: Any, spec: Any, *, phase: str = "Pending") -> own.Pod:
    requests, limits = _resources(spec.resources)
    return own.Pod(
        namespace_name=metadata.namespace,
        name=metadata.name,
        phase=phase,
        containers=tuple(_container(c) for c in spec.containers),
        init_containers=tuple(_container(c) for c in spec.initContainers or ()),
        overhead=_amounts(spec.overhead, only=_COUNTED),
        pod_requests=requests,
        pod_limits=limits,
        node_name=spec.nodeName or "",
    )


def _container(item: Any) -> own.Container:
    requests, limits = _resources(item.resources)
    # Only an init container may say so, and then it is a sidecar.
    return own.Container(
        requests=requests, limits=limits, is_sidecar=item.restartPolicy == "Always"
    )


def limit_range(item: Any) -> own.LimitRange:
    """Return what a LimitRange says of containers; of pods and claims it says nothing here."""
    parts = {"default_requests": "defaultRequest", "default_limits": "default"}
    parts |= {"least": "min", "most": "max"}
    found: dict[str, dict[str, Decimal]] = {name: {} for name in parts}
    for limit in item.spec.limits:
        if limit.type == "Container":
            for name, part in parts.items():
                found[name] |= _amounts(getattr(limit, part), only=_COUNTED)
    return own.LimitRange(namespace_name=item.metadata.namespace, name=item.metadata.name, **found)


def deployment(item: Any) -> own.Workload:
    """Return a Deployment; its surge is that of a rolling update, never above its replicas."""
    wanted, running = _or_one(item.spec.replicas), (item.status and item.status.replicas) or 0
    surge = _surge(item.spec.strategy, wanted, default=_STEADY)
    return _workload("Deployment", item, replicas=wanted, running=running, surge=surge)


def stateful_set(item: Any) -> own.Workload:
    """Return a StatefulSet, which replaces its pods one by one and never beside the old one."""
    wanted, running = _or_one(item.spec.replicas), (item.status and item.status.replicas) or 0
    return _workload("StatefulSet", item, replicas=wanted, running=running)


def daemon_set(item: Any) -> own.Workload:
    """Return a DaemonSet, which wants a pod on each of its nodes."""
    status = item.status
    wanted = (status and status.desiredNumberScheduled) or 0
    running = (status and status.currentNumberScheduled) or 0
    surge = _surge(item.spec.updateStrategy, wanted, default=0)
    return _workload("DaemonSet", item, replicas=wanted, running=running, surge=surge)


def cron_job(item: Any) -> own.Workload:
    """Return a CronJob with the pods of one run; none while it is suspended."""
    spec = item.spec.jobTemplate.spec
    wanted = 0 if item.spec.suspend else _side_by_side(spec, succeeded=0)
    return _workload("CronJob", item, replicas=wanted, running=0, template=spec.template)


def job(item: Any) -> own.Workload:
    """Return a Job; one that is finished or suspended wants no pod."""
    spec, status = item.spec, item.status
    conditions = (status and status.conditions) or []
    over = any(c.type in ("Complete", "Failed") and c.status == "True" for c in conditions)
    wanted = _side_by_side(spec, succeeded=(status and status.succeeded) or 0)
    wanted = 0 if over or spec.suspend else wanted
    return _workload("Job", item, replicas=wanted, running=(status and status.active) or 0)


def _side_by_side(spec: Any, *, succeeded: int) -> int:
    """Return how many pods of a job run at once. Source: batch/v1, `parallelism`."""
    most = _or_one(spec.parallelism)
    return most if spec.completions is None else min(most, max(0, spec.completions - succeeded))


def _workload(
    kind: str, item: Any, *, replicas: int, running: int, surge: int = 0, template: Any = None
) -> own.Workload:
    metadata = item.metadata
    return own.Workload(
        kind=kind,
        namespace_name=metadata.namespace,
        name=metadata.name,
        replicas=replicas,
        running=running,
        template=_pod(metadata, (template or item.spec.template).spec),
        surge=surge,
    )


def maker(item: Any) -> tuple[str, tuple[str, str]]:
    """Return an object's name, and kind and name of the controller that made it, or empty texts."""
    for owner in item.metadata.ownerReferences or ():
        if owner.controller:
            return item.metadata.name, (owner.kind, owner.name)
    return item.metadata.name, ("", "")


def autoscaler(item: Any) -> own.Autoscaler:
    """Return a HorizontalPodAutoscaler; without a least number that is 1. Source: autoscaling/v2"""
    target = item.spec.scaleTargetRef
    return own.Autoscaler(
        namespace_name=item.metadata.namespace,
        name=item.metadata.name,
        workload_kind=target.kind,
        workload_name=target.name,
        least=_or_one(item.spec.minReplicas),
        most=item.spec.maxReplicas,
        current=(item.status and item.status.currentReplicas) or 0,
    )


def event(item: Any) -> own.Event:
    """Return an event, in the form of core/v1 or with the times and series of events.k8s.io."""
    about, series = item.involvedObject, item.series
    first = item.firstTimestamp or item.eventTime
    return own.Event(
        namespace_name=item.metadata.namespace,
        reason=item.reason or "",
        message=hide_secrets(item.message or ""),  # an admission webhook may quote the pod
        object_kind=about.kind or "",
        object_name=about.name or "",
        count=item.count or (series and series.count) or 1,
        first_utc=first,
        last_utc=item.lastTimestamp or (series and series.lastObservedTime) or first,
    )


def made_by(event: own.Event, makers: Mapping[tuple[str, str, str], tuple[str, str]]) -> own.Event:
    """Return the event with the workload that made its object; `makers` by kind and full name."""
    found = makers.get((event.object_kind, event.namespace_name, event.object_name), ("", ""))
    return replace(event, workload_kind=found[0], workload_name=found[1])


def _or_one(count: int | None) -> int:
    """Return a number of pods; 1 where it is not said. Source: apps/v1, batch/v1."""
    return 1 if count is None else count


def _surge(strategy: Any, wanted: int, *, default: int | str) -> int:
    """Return the pods that a rolling update starts beside the old ones; a share is rounded up.

    A new ReplicaSet never has more than the replicas. Source: NewRSNewReplicas.
    """
    if strategy is not None and strategy.type not in (None, "RollingUpdate"):
        return 0
    said = strategy and strategy.rollingUpdate and strategy.rollingUpdate.maxSurge
    text = str(default if said is None else said)
    count = math.ceil(int(text[:-1]) * wanted / 100) if text.endswith("%") else int(text)
    return min(count, wanted)


def _resources(item: Any) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal]]:
    if item is None:
        return {}, {}
    return _amounts(item.requests, only=_COUNTED), _amounts(item.limits, only=_COUNTED)


def _amounts(
    texts: Mapping[str, Any] | None, *, only: Iterable[str] | None = None
) -> dict[str, Decimal]:
    """Return quantities by key; with `only`, those that are there of these keys."""
    said = texts or {}
    keys = said if only is None else [key for key in only if key in said]
    return {key: parse_quantity(str(said[key])) for key in keys}
