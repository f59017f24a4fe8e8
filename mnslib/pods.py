"""What a pod really asks for: the one place with that arithmetic.

Kubernetes' scheduler and its quota admission count the same way: the sum of what runs side by
side, or the peak while init containers run, whichever is larger, plus the pod's overhead; a value
set on the pod itself replaces the containers' sum.

Source: Kubernetes, "Sidecar Containers: resource sharing within containers", "Pod Overhead", and
"Assign Pod-level CPU and memory resources". What a LimitRange changes on the way in comes before
all that. Pure: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from mnslib.kube_models import Container, LimitRange, Pod
from mnslib.models import QUOTA_KEYS
from mnslib.quantities import ZERO

COMPUTE_KEYS = tuple(QUOTA_KEYS.values())
"""Keys of a quota that containers must say. Source: Kubernetes, ResourceQuota."""

_PARTS = {key: tuple(key.split(".")) for key in COMPUTE_KEYS}


def pod_need(pod: Pod) -> dict[str, Decimal]:
    """Return what the pod counts for in a quota, by key: `requests.cpu`, `limits.memory`, ...

    Cores and bytes. A key that no container sets is 0.
    """
    need = {}
    for key, (kind, resource) in _PARTS.items():
        amount = (pod.pod_requests if kind == "requests" else pod.pod_limits).get(resource)
        if amount is None:
            own = [_of(each, kind, resource) for each in pod.containers]
            amount = own[0] if len(own) == 1 else sum(own, ZERO)  # most pods have one
            sidecars = peak = ZERO
            for each in pod.init_containers:  # what runs side by side, or while they run, if more
                begun = _of(each, kind, resource)
                peak = max(peak, sidecars + begun)
                sidecars += begun if each.is_sidecar else ZERO
            amount = max(amount + sidecars, peak) if pod.init_containers else amount
        need[key] = amount + pod.overhead.get(resource, ZERO) if pod.overhead else amount
    return need


def _of(container: Container, kind: str, resource: str) -> Decimal:
    # a container that names only a limit requests that much: Kubernetes defaults it so
    amount = container.requests.get(resource) if kind == "requests" else None
    return container.limits.get(resource, ZERO) if amount is None else amount


def total_need(pods: Iterable[Pod]) -> dict[str, Decimal]:
    """Return the sum of `pod_need` over the pods that still hold quota."""
    total = dict.fromkeys(COMPUTE_KEYS, ZERO)
    for pod in pods:
        if not pod.is_finished:
            for key, amount in pod_need(pod).items():
                total[key] += amount
    return total


def with_defaults(pod: Pod, ranges: Iterable[LimitRange]) -> Pod:
    """Return the pod as it is let in where these LimitRanges hold.

    A container without a limit gets the default limit; one without a request gets its own limit,
    else the default request, else the default limit. Of several LimitRanges the first by name
    that says a default gives it.

    Source: Kubernetes, "Limit Ranges": "If you specify a Container's limit, but not its request",
    and SetDefaults_Pod, which runs before the LimitRanger.
    """
    requests: dict[str, Decimal] = {}
    limits: dict[str, Decimal] = {}
    for one in sorted(ranges, key=lambda one: one.name):
        requests = {**one.default_requests, **requests}
        limits = {**one.default_limits, **limits}
    if not requests and not limits:
        return pod

    def let_in(containers: Sequence[Container]) -> tuple[Container, ...]:
        return tuple(
            replace(
                each,
                requests={**limits, **requests, **each.limits, **each.requests},
                limits={**limits, **each.limits},
            )
            for each in containers
        )

    return replace(
        pod,
        containers=let_in(pod.containers),
        init_containers=let_in(pod.init_containers),
    )


def refusal(pod: Pod, *, keys: Iterable[str], ranges: Iterable[LimitRange] = ()) -> str:
    """Return why a pod is never let in, whatever is free; empty where nothing is against it.

    Args:
        pod: with its defaults, see `with_defaults`.
        keys: what a quota limits (`requests.cpu`): each container must say it.
        ranges: what one container may ask for at least and at most.

    Source: Kubernetes, the quota admission ("must specify") and the LimitRanger ("maximum cpu
    usage per Container"); a limit below the request is refused by the API itself.
    """
    limited = set(keys)
    missing = [key for key in COMPUTE_KEYS if key in limited and not _says(pod, key)]
    if missing:
        return f"must specify {', '.join(missing)}"
    for container in (*pod.init_containers, *pod.containers):
        for resource, limit in container.limits.items():
            if container.requests.get(resource, limit) > limit:
                return f"requests more {resource} than the default limit"
        for one in ranges:
            for resource, most in one.most.items():
                if container.limits.get(resource, most + 1) > most:
                    return f"asks for more {resource} than LimitRange {one.name} lets a container"
            for resource, least in one.least.items():
                if _of(container, "requests", resource) < least:
                    return f"asks for less {resource} than LimitRange {one.name} wants"
    return ""


def _says(pod: Pod, key: str) -> bool:
    kind, resource = _PARTS[key]
    is_request = kind == "requests"
    if resource in pod.pod_limits or (is_request and resource in pod.pod_requests):
        return True
    return all(
        resource in each.limits or (is_request and resource in each.requests)
        for each in (*pod.init_containers, *pod.containers)
    )
