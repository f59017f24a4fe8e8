"""What a pod really asks for: the one place with that arithmetic.

Kubernetes' scheduler and its quota admission count the same way: the sum of what runs side by
side, or the peak while init containers run, whichever is larger, plus the pod's overhead; a value
set on the pod itself replaces the containers' sum.

Source: Kubernetes, "Sidecar Containers: resource sharing within containers", "Pod Overhead", and
"Assign Pod-level CPU and memory resources". What a LimitRange changes on the way in comes before
all that. Pure: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from mnslib.kube_models import Container, LimitRange, Pod
from mnslib.quantities import ZERO

COMPUTE_KEYS = ("requests.cpu", "limits.cpu", "requests.memory", "limits.memory")
"""Keys of a quota that containers must say. Source: Kubernetes, ResourceQuota."""


def pod_need(pod: Pod) -> dict[str, Decimal]:
    """Return what the pod counts for in a quota, by key: `requests.cpu`, `limits.memory`, ...

    Cores and bytes. A key that no container sets is 0.
    """
    need = {}
    for kind, side, pod_level in (
        ("requests", _requests_of, pod.pod_requests),
        ("limits", _limits_of, pod.pod_limits),
    ):
        running = [side(container) for container in pod.containers]
        begin = [(side(container), container.is_sidecar) for container in pod.init_containers]
        for resource in ("cpu", "memory"):
            if resource in pod_level:
                amount = pod_level[resource]
            elif begin or len(running) != 1:
                amount = _most(resource, running, begin)
            else:  # most pods have one container
                amount = running[0].get(resource, ZERO)
            need[f"{kind}.{resource}"] = amount + pod.overhead.get(resource, ZERO)
    return need


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
        asked = _requests_of(container)
        for resource, limit in container.limits.items():
            if asked[resource] > limit:
                return f"requests more {resource} than the default limit"
        for one in ranges:
            for resource, most in one.most.items():
                if container.limits.get(resource, most + 1) > most:
                    return f"asks for more {resource} than LimitRange {one.name} lets a container"
            for resource, least in one.least.items():
                if asked.get(resource, ZERO) < least:
                    return f"asks for less {resource} than LimitRange {one.name} wants"
    return ""


def _says(pod: Pod, key: str) -> bool:
    kind, _, resource = key.partition(".")
    if resource in pod.pod_limits or (kind == "requests" and resource in pod.pod_requests):
        return True
    containers = (*pod.init_containers, *pod.containers)
    if kind == "limits":
        return all(resource in container.limits for container in containers)
    return all(resource in each.requests or resource in each.limits for each in containers)


def _requests_of(container: Container) -> Mapping[str, Decimal]:
    # A container that names only a limit requests that much: Kubernetes defaults it so.
    if container.limits.keys() <= container.requests.keys():
        return container.requests
    return {**container.limits, **container.requests}


def _limits_of(container: Container) -> Mapping[str, Decimal]:
    return container.limits


def _most(
    resource: str,
    running: Sequence[Mapping[str, Decimal]],
    begin: Sequence[tuple[Mapping[str, Decimal], bool]],
) -> Decimal:
    """Return what runs side by side, or the peak while init containers run, if that is more.

    Args:
        running: what each container asks for.
        begin: what each init container asks for, and whether it is a sidecar.
    """
    sidecars = peak = ZERO
    for amounts, is_sidecar in begin:
        amount = amounts.get(resource, ZERO)
        if is_sidecar:
            sidecars += amount
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + amount)
    together = sidecars
    for amounts in running:
        together += amounts.get(resource, ZERO)
    return max(together, peak)
