"""What a pod asks for, as the API server and the scheduler reckon it.

Pure, and nobody else's arithmetic. Sources: Kubernetes 1.34, `pkg/apis/core/v1/defaults.go`,
`pkg/apis/core/v1/helper/qos`, `component-helpers/resource/helpers.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import reduce

from mnslib.sandbox.amounts import ZERO, Amount, read
from mnslib.sandbox.resources import QUOTA_KEYS
from mnslib.sandbox.state import seconds
from mnslib.sandbox.wire import Json

Amounts = dict[str, Amount]
COMPUTE_KEYS = tuple(QUOTA_KEYS.values())
KINDS = ("requests", "limits")


def listed(found: Json | None) -> Amounts:
    """Return the amounts of a resource list."""
    return {name: read(text) for name, text in (found or {}).items()}


def added(first: Amounts, second: Amounts) -> Amounts:
    """Return the sum of two resource lists, by name."""
    return first | {name: first.get(name, ZERO) + more for name, more in second.items()}


def _larger(first: Amounts, second: Amounts) -> Amounts:
    more = {
        name: amount
        for name, amount in second.items()
        if name not in first or amount.value > first[name].value
    }
    return first | more


def pod_amounts(pod: Json, kind: str, *, spec_only: bool = False) -> Amounts:
    """Return what a pod asks for.

    Args:
        pod: with its status, which counts while a resize in place is under way.
        kind: `requests` or `limits`.
        spec_only: leave out the status and the overhead, as LimitRanges do.
    """
    spec = pod["spec"]
    total = container_amounts(pod, kind, spec_only=spec_only)
    if sets_pod_level(spec):
        own = listed(spec["resources"].get(kind))
        total |= {name: amount for name, amount in own.items() if is_pod_level(name)}
    if spec_only:
        return total
    for name, more in listed(spec.get("overhead")).items():
        if kind == "requests" or (name in total and total[name].value):
            total[name] = total.get(name, ZERO) + more
    return total


def is_pod_level(name: str) -> bool:
    """Return whether a pod may ask for this resource as a whole."""
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def sets_pod_level(spec: Json) -> bool:
    """Return whether a pod asks for resources as a whole."""
    resources = spec.get("resources") or {}
    return any(is_pod_level(name) for kind in KINDS for name in resources.get(kind) or {})


def container_amounts(pod: Json, kind: str, *, spec_only: bool = False) -> Amounts:
    """Return what the containers ask for: the sum of those that run, or the init peak."""
    spec, status = pod["spec"], {} if spec_only else pod.get("status") or {}
    statuses = {
        one.get("name"): one
        for key in ("containerStatuses", "initContainerStatuses")
        for one in status.get(key) or []
    }
    pending = [one for one in status.get("conditions") or [] if one["type"] == "PodResizePending"]
    infeasible = bool(pending) and pending[0].get("reason") == "Infeasible"

    def need(container: Json) -> Amounts:
        own = _listed(container, kind)
        found = statuses.get(container["name"], {})
        if found.get("resources") is None:
            return own
        seen = [_listed(found, kind)]
        if kind == "requests":
            seen.append(listed(found.get("allocatedResources")))
        return reduce(_larger, seen if infeasible else [own, *seen])

    total: Amounts = reduce(added, map(need, spec.get("containers") or []), {})
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            own = need(container)
            total, sidecars = added(total, own), added(sidecars, own)
            peak = _larger(peak, sidecars)
        else:
            peak = _larger(peak, added(_listed(container, kind), sidecars))
    return _larger(total, peak)


def _listed(owner: Json, kind: str) -> Amounts:
    return listed((owner.get("resources") or {}).get(kind))


def containers(spec: Json) -> Iterator[Json]:
    """Yield the containers of a pod, then its init containers."""
    yield from spec.get("containers") or []
    yield from spec.get("initContainers") or []


def qos_class(pod: Json) -> str:
    """Return Guaranteed, Burstable or BestEffort; what is 0 is not asked for."""
    spec = pod["spec"]
    owners = [spec] if sets_pod_level(spec) else list(containers(spec))
    asked = [
        {name: amount.value for name, amount in _listed(owner, kind).items() if amount.value > 0}
        for owner in owners
        for kind in KINDS
    ]
    if not any(found.keys() & {"cpu", "memory"} for found in asked):
        return "BestEffort"
    for requests, limits in zip(asked[::2], asked[1::2], strict=True):
        for name in ("cpu", "memory"):
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                return "Burstable"
    return "Guaranteed"


def default_requests(pod: Json) -> None:
    """Fill in missing requests from limits, as the API server's defaulting does."""
    for container in containers(pod["spec"]):
        resources = container.setdefault("resources", {})
        if limits := resources.get("limits"):
            resources["requests"] = {**limits, **(resources.get("requests") or {})}
    resources = pod["spec"].get("resources") or {}
    if not (resources.get("limits") and sets_pod_level(pod["spec"])):
        return
    for name, amount in container_amounts(pod, "limits", spec_only=True).items():
        if name.startswith("hugepages-"):
            resources["limits"].setdefault(name, str(amount))
    requests = resources.setdefault("requests", {})
    found = container_amounts(pod, "requests", spec_only=True)
    given = {name: str(amount) for name, amount in found.items() if name in ("cpu", "memory")}
    for name, text in {**resources["limits"], **given}.items():
        if is_pod_level(name):
            requests.setdefault(name, text)


def counts(pod: Json, now: float = 0.0) -> bool:
    """Return whether a pod counts: not a finished one, nor one that outlived its deletion."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    deleted = pod["metadata"].get("deletionTimestamp") if "metadata" in pod else None
    grace = pod["metadata"].get("deletionGracePeriodSeconds") if deleted else None
    if deleted is None or grace is None:
        return True
    # Source: pkg/quota/v1/evaluator/core/pods.go: the time has the grace in it, and gets it again
    return now <= seconds(deleted) + int(grace)


def pod_need(pod: Json) -> dict[str, Fraction]:
    """Return what a pod counts for under the four keys of a default quota, in base units."""
    found = {kind: pod_amounts(pod, kind) for kind in KINDS}
    keys = {key: key.split(".") for key in COMPUTE_KEYS}
    return {key: found[kind].get(name, ZERO).value for key, (kind, name) in keys.items()}


def total_need(pods: Iterable[Json], now: float = 0.0) -> dict[str, Fraction]:
    """Return the sum over the pods that count, with their number under `pods`."""
    total = dict.fromkeys((*COMPUTE_KEYS, "pods"), Fraction(0))
    for pod in pods:
        if counts(pod, now):
            total["pods"] += 1
            for key, value in pod_need(pod).items():
                total[key] += value
    return total
