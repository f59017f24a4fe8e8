"""From the Kubernetes API's objects, as lightkube reads them, to our own values.

lightkube types every part as optional. `Any` here: where a part is missing that Kubernetes always
sends, attribute access raises, and the client says which list it was. Knows no cluster.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec

from mnslib import kube_models as own
from mnslib.errors import cut
from mnslib.pods import largest
from mnslib.quantities import ZERO, read_quantity
from mnslib.secrets import hide_secrets

_COUNTED = ("cpu", "memory")
LONGEST_REASON = 100
"""Characters of why an object could not be read; our choice."""
_STEADY = "25%"
"""maxSurge and maxUnavailable of a Deployment that says none. Source: apps/v1, its strategy."""


def set_apart(kind: str, item: Any, error: Exception) -> str:
    """Return which object, typed or as JSON, cannot be read and why; one without a name is none.

    `Pod web/odd ('?' is not a quantity)`.
    """
    metadata = msgspec.to_builtins(item)["metadata"]
    where = f"{metadata.get('namespace') or ''}/{metadata['name']}".lstrip("/")
    return f"{kind} {where} ({cut(hide_secrets(str(error)), LONGEST_REASON)})"


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
    written = [one for one in item.metadata.managedFields or () if one.subresource != "status"]
    is_counted = not (status and status.hard and spec) or status.hard == spec.hard
    return own.QuotaStatus(
        namespace_name=item.metadata.namespace,
        name=item.metadata.name,
        hard=_amounts((status and status.hard) or (spec and spec.hard)),
        used=_amounts(status and status.used),
        is_scoped=bool(spec and (spec.scopes or spec.scopeSelector)),
        scopes=tuple(_scopes(spec)) if spec else (),
        asked={} if is_counted else _amounts(spec.hard),
        created_utc=item.metadata.creationTimestamp,
        changed_utc=max((one.time for one in written if one.time), default=None),
    )


def _scopes(spec: Any) -> Iterator[own.Scope]:
    yield from (own.Scope(name=name) for name in spec.scopes or ())
    for one in (spec.scopeSelector and spec.scopeSelector.matchExpressions) or ():
        yield own.Scope(name=one.scopeName, operator=one.operator, values=tuple(one.values or ()))


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
    """Return a pod; a container that is resized in place counts for what it has, or shall have."""
    ends, grace = item.metadata.deletionTimestamp, item.metadata.deletionGracePeriodSeconds
    is_leaving = ends is not None and grace is not None
    is_past = is_leaving and time.time() > ends.timestamp() + grace
    return replace(_pod(item.metadata, item.spec, status=item.status), is_past_grace=is_past)


def _pod(metadata: Any, spec: Any, *, status: Any = None) -> own.Pod:
    requests, limits = (_of_the_pod(one) for one in _resources(spec.resources))
    conditions = (status and status.conditions) or ()
    pending = next((c.reason for c in conditions if c.type == "PodResizePending"), "")
    states = {
        one.name: one
        for part in ("containerStatuses", "initContainerStatuses")
        for one in (status and getattr(status, part)) or ()
    }

    def read(one: Any, *, keeps_running: bool = True) -> own.Container:
        state = states.get(one.name) if keeps_running else None  # nothing else is resized
        return _container(one, state, is_stuck=pending == "Infeasible")

    init = spec.initContainers or ()
    return own.Pod(
        namespace_name=metadata.namespace,
        name=metadata.name,
        phase=(status and status.phase) or "Pending",
        containers=tuple(map(read, spec.containers)),
        init_containers=tuple(
            read(one, keeps_running=one.restartPolicy == "Always") for one in init
        ),
        overhead=_amounts(spec.overhead),
        pod_requests=requests,
        pod_limits=limits,
        node_name=spec.nodeName or "",
        runtime_class=spec.runtimeClassName or "",
        priority_class=spec.priorityClassName or "",
        has_deadline=spec.activeDeadlineSeconds is not None,
        crosses_namespaces=any(
            one.namespaces or one.namespaceSelector is not None for one in _affinities(spec)
        ),
    )


def _of_the_pod(amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return what may stand in `spec.resources`. Source: IsSupportedPodLevelResource."""
    return {n: a for n, a in amounts.items() if n in _COUNTED or n.startswith("hugepages-")}


def _affinities(spec: Any) -> Iterator[Any]:
    """Yield the terms that say which pods a pod wants to be near to, or away from."""
    for part in ("podAffinity", "podAntiAffinity"):
        if side := spec.affinity and getattr(spec.affinity, part):
            yield from side.requiredDuringSchedulingIgnoredDuringExecution or ()
            for one in side.preferredDuringSchedulingIgnoredDuringExecution or ():
                yield one.podAffinityTerm


def _container(item: Any, state: Any, *, is_stuck: bool) -> own.Container:
    """Return a container with the largest of what it asks for, was given and has.

    Args:
        is_stuck: whether its resize can never be done, so that what it asks for counts for nothing.

    Source: component-helpers/resource/helpers.go, determineContainerReqs.
    """
    requests, limits = _resources(item.resources)
    if state is not None and state.resources is not None:
        has, given = _resources(state.resources), _amounts(state.allocatedResources)
        asked = ({}, {}) if is_stuck else ({**limits, **requests}, limits)
        limits = largest(asked[1], has[1])
        # with 0 for the rest, so that what it has of limits stands for no request
        requests = dict.fromkeys(limits, ZERO) | largest(asked[0], has[0], given)
    # Only an init container may say so, and then it is a sidecar.
    return own.Container(
        name=item.name,
        requests=requests,
        limits=limits,
        is_sidecar=item.restartPolicy == "Always",
    )


def runtime_class(item: Any) -> tuple[str, Mapping[str, Decimal]]:
    """Return the name of a RuntimeClass, and what each pod of it takes besides."""
    return item.metadata.name, _amounts(item.overhead and item.overhead.podFixed)


def limit_range(item: Any) -> list[own.LimitRange]:
    """Return what a LimitRange says of each kind; source of the parts: core/v1, LimitRangeItem."""
    return [
        own.LimitRange(
            namespace_name=item.metadata.namespace,
            name=item.metadata.name,
            kind=limit.type,
            default_requests=_amounts(limit.defaultRequest),
            default_limits=_amounts(limit.default),
            least=_amounts(limit.min),
            most=_amounts(limit.max),
            most_ratio=_amounts(limit.maxLimitRequestRatio),
        )
        for limit in item.spec.limits
    ]


def deployment(item: Any) -> own.Workload:
    """Return a Deployment; its surge is that of a rolling update, never above its replicas."""
    wanted, running = _or_one(item.spec.replicas), (item.status and item.status.replicas) or 0
    strategy = item.spec.strategy
    if strategy is not None and strategy.type == "Recreate":
        steps = 0, wanted
    else:
        steps = _steps(strategy, wanted, surge=_STEADY, unavailable=_STEADY)
    return _workload("Deployment", item, replicas=wanted, running=running, steps=steps)


def stateful_set(item: Any) -> own.Workload:
    """Return a StatefulSet, which replaces its pods one by one and never beside the old one."""
    wanted, running = _or_one(item.spec.replicas), (item.status and item.status.replicas) or 0
    strategy = item.spec.updateStrategy
    rolling = strategy and strategy.rollingUpdate
    replaced = max(0, wanted - ((rolling and rolling.partition) or 0))
    _, unavailable = _steps(strategy, wanted)
    steps = 0, min(unavailable, replaced)
    return _workload("StatefulSet", item, replicas=wanted, running=running, steps=steps)


def daemon_set(item: Any) -> own.Workload:
    """Return a DaemonSet, which wants a pod on each of its nodes."""
    status = item.status
    wanted = (status and status.desiredNumberScheduled) or 0
    running = (status and status.currentNumberScheduled) or 0
    steps = _steps(item.spec.updateStrategy, wanted, rounded=math.ceil)
    return _workload("DaemonSet", item, replicas=wanted, running=running, steps=steps)


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
    kind: str,
    item: Any,
    *,
    replicas: int,
    running: int,
    steps: tuple[int, int] = (0, 0),
    template: Any = None,
) -> own.Workload:
    metadata = item.metadata
    return own.Workload(
        kind=kind,
        namespace_name=metadata.namespace,
        name=metadata.name,
        replicas=replicas,
        running=running,
        template=_pod(metadata, (template or item.spec.template).spec),
        surge=steps[0],
        unavailable=steps[1],
    )


def maker(item: Any) -> tuple[str, tuple[str, str, int]]:
    """Return the name of a ReplicaSet or Job, what made it, and how many pods it still wants.

    That is kind and name of its controller, empty texts without one.
    """
    is_job = hasattr(item.spec, "parallelism")
    wanted, there = (
        (job(item).replicas, job(item).running)
        if is_job
        else (_or_one(item.spec.replicas), (item.status and item.status.replicas) or 0)
    )
    owners = [one for one in item.metadata.ownerReferences or () if one.controller]
    kind, name = (owners[0].kind, owners[0].name) if owners else ("", "")
    return item.metadata.name, (kind, name, max(0, wanted - there))


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


def entrances(item: Any) -> list[own.Entrance]:
    """Return where a Service, an Ingress or an HTTPRoute leads to; a route's Gateway is elsewhere.

    Source: core/v1, ServiceSpec, a type that is not said; Gateway API, `parentRefs` and
    `backendRefs`: without a namespace, the route's own.
    """
    home, name, spec = item.metadata.namespace, item.metadata.name, item.spec
    if type(item).__name__ != "HTTPRoute":
        kind = getattr(spec, "type", "Ingress") or "ClusterIP"
        return [own.Entrance(kind=kind, namespace_name=home, name=name)]
    gateways = {ref.get("namespace") or home for ref in spec.get("parentRefs") or ()}
    backends = [ref for rule in spec.get("rules") or () for ref in rule.get("backendRefs") or ()]
    return [
        own.Entrance(
            kind="HTTPRoute", namespace_name=one, name=name if one == home else f"{home}/{name}"
        )
        for one in sorted({ref.get("namespace") or home for ref in backends})
        if gateways - {one}
    ]


def network_policy(item: Any) -> own.NetworkPolicy:
    """Return a NetworkPolicy. Source: networking/v1, `policyTypes`, of one that names none."""
    spec, selector = item.spec, item.spec.podSelector
    is_of_all = not (selector and (selector.matchLabels or selector.matchExpressions))
    kinds = spec.policyTypes or ["Ingress", *(["Egress"] if spec.egress else [])]
    rules = {"Ingress": spec.ingress or (), "Egress": spec.egress or ()}
    return own.NetworkPolicy(
        namespace_name=item.metadata.namespace,
        name=item.metadata.name,
        filters=tuple(kinds if is_of_all else ()),
        opens=tuple(
            way
            for way, of in rules.items()
            if any(not any(msgspec.to_builtins(rule).values()) for rule in of)
        ),
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


def made_by(
    event: own.Event, makers: Mapping[tuple[str, str, str], tuple[str, str, int]]
) -> own.Event:
    """Return the event with what is known of its object; `makers` by kind and full name."""
    found = makers.get((event.object_kind, event.namespace_name, event.object_name), ("", "", 0))
    return replace(event, workload_kind=found[0], workload_name=found[1], lacking=found[2])


def _or_one(count: int | None) -> int:
    """Return a number of pods; 1 where it is not said. Source: apps/v1, batch/v1."""
    return 1 if count is None else count


def _steps(
    strategy: Any,
    wanted: int,
    *,
    surge: int | str = 0,
    unavailable: int | str = 1,
    rounded: Callable[[float], int] = math.floor,
) -> tuple[int, int]:
    """Return how many pods an update starts beside the old ones, and how many it may stop first.

    Args:
        strategy: of a rolling update; any other replaces pods one by one, when they are deleted.
        surge, unavailable: what holds where it does not say. A share of the surge is rounded up.
        rounded: of a share that may be unavailable.

    Source: `ResolveFenceposts` and `NewRSNewReplicas` (no new ReplicaSet has more than the
    replicas), `getStatefulSetMaxUnavailable`, and `UnavailableCount` of DaemonSets, rounded up;
    where both come to 0, one may be unavailable.
    """
    if strategy is not None and strategy.type not in (None, "RollingUpdate"):
        return 0, min(1, wanted)
    rolling = strategy and strategy.rollingUpdate
    beside = _count_of(getattr(rolling, "maxSurge", None), surge, wanted, math.ceil)
    stopped = _count_of(getattr(rolling, "maxUnavailable", None), unavailable, wanted, rounded)
    if not beside and not stopped:
        stopped = 1
    return min(beside, wanted), min(stopped, wanted)


def _count_of(
    said: int | str | None, default: int | str, wanted: int, rounded: Callable[[float], int]
) -> int:
    text = str(default if said is None else said)
    return rounded(int(text[:-1]) * wanted / 100) if text.endswith("%") else int(text)


def _resources(item: Any) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal]]:
    if item is None:
        return {}, {}
    return _amounts(item.requests), _amounts(item.limits)


def _amounts(
    texts: Mapping[str, Any] | None, *, only: Iterable[str] | None = None
) -> dict[str, Decimal]:
    """Return quantities by key; with `only`, those that are there of these keys."""
    said = texts or {}
    keys = said if only is None else [key for key in only if key in said]
    return {key: read_quantity(str(said[key])) for key in keys}
