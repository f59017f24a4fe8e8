"""What a pod really asks for: the one place with that arithmetic.

Kubernetes' scheduler and its quota admission count the same way: the sum of what runs side by
side, or the peak while init containers run, whichever is larger, plus the pod's overhead; a value
set on the pod itself replaces the containers' sum.

Source: Kubernetes, "Sidecar Containers: resource sharing within containers", "Pod Overhead", and
"Assign Pod-level CPU and memory resources". Pure: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from mnslib.models import Container, Pod
from mnslib.quantities import ZERO


def pod_need(pod: Pod) -> dict[str, Decimal]:
    """Return what the pod counts for in a quota, by key: `requests.cpu`, `limits.memory`, ...

    Cores and bytes. A key that no container sets is 0.
    """
    return {
        f"{kind}.{resource}": _need(pod, resource, side, pod_level)
        for kind, side, pod_level in (
            ("requests", _requests_of, pod.pod_requests),
            ("limits", _limits_of, pod.pod_limits),
        )
        for resource in ("cpu", "memory")
    }


def total_need(pods: Iterable[Pod]) -> dict[str, Decimal]:
    """Return the sum of `pod_need` over the pods that still hold quota."""
    total = dict.fromkeys(("requests.cpu", "requests.memory", "limits.cpu", "limits.memory"), ZERO)
    for pod in pods:
        if not pod.is_finished:
            for key, amount in pod_need(pod).items():
                total[key] += amount
    return total


def _requests_of(container: Container) -> Mapping[str, Decimal]:
    # A container that names only a limit requests that much: Kubernetes defaults it so.
    return {**container.limits, **container.requests}


def _limits_of(container: Container) -> Mapping[str, Decimal]:
    return container.limits


def _need(
    pod: Pod,
    resource: str,
    side: Callable[[Container], Mapping[str, Decimal]],
    pod_level: Mapping[str, Decimal],
) -> Decimal:
    overhead = pod.overhead.get(resource, ZERO)
    if resource in pod_level:
        return pod_level[resource] + overhead
    sidecars = peak = ZERO
    for container in pod.init_containers:
        amount = side(container).get(resource, ZERO)
        if container.is_sidecar:
            sidecars += amount
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + amount)
    running = sum((side(c).get(resource, ZERO) for c in pod.containers), ZERO) + sidecars
    return max(running, peak) + overhead
