"""What a pod counts for, and whether an API server lets it in: the one place with that arithmetic.

Kubernetes' scheduler and its quota admission count the same way: the sum of what runs side by
side, or the peak while init containers run, whichever is larger, plus the pod's overhead; a value
set on the pod itself replaces the containers' sum.

    charge(pod)["requests.cpu"]
    refusal(with_defaults(pod, ranges), quotas, ranges)  # in the server's words; empty: let in

Source: kube-apiserver 1.34: component-helpers/resource/helpers.go (PodRequests, PodLimits),
quota/v1/evaluator/core/pods.go, admission plugins ResourceQuota and LimitRanger; core/v1,
SetDefaults_Pod. Pure: standard library only.
"""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from types import MappingProxyType

from mnslib.kube_models import Container, LimitRange, Pod, QuotaStatus, Scope
from mnslib.models import QUOTA_KEYS
from mnslib.quantities import ZERO, in_form, read_quantity, server_text

COMPUTE_KEYS = tuple(QUOTA_KEYS.values())
"""Keys of a quota that ARM holds; every `charge` has them."""

_ONE = Decimal(1)
_MUST_SAY = {name: ("requests", name) for name in ("cpu", "memory")}
_MUST_SAY |= {key: (key.split(".")[0], key.split(".")[1]) for key in COMPUTE_KEYS}
"""Keys that each container must say where a quota has them. Source: pod evaluator."""

_BARE_POD = {"pods": _ONE, "count/pods": _ONE, **dict.fromkeys(COMPUTE_KEYS, ZERO)}
_SAFEGUARDS = {
    "cpu": (read_quantity("500m"), read_quantity("100m")),
    "memory": (read_quantity("2Gi"), read_quantity("100Mi")),
}
"""What Deployment Safeguards give a container that says nothing, and their least."""

_NONE: Mapping[str, Mapping[str, Decimal]] = MappingProxyType({})

Amounts = Mapping[str, Decimal]


def charge(pod: Pod) -> dict[str, Decimal]:
    """Return what a pod counts for in a quota, by each key that a quota may have.

    Cores, bytes and counts; `cpu` is `requests.cpu`. What is not there is 0; `COMPUTE_KEYS` are.
    Whether it is counted at all is `Pod.holds_quota`.
    """
    found = dict(_BARE_POD)
    for kind in ("requests", "limits"):
        asked = _asked(pod, kind)
        if pod.overhead:  # of limits, it joins only those that are set
            more = {n: a for n, a in pod.overhead.items() if kind == "requests" or asked.get(n)}
            asked = _sum(asked, more)
        for name, amount in asked.items():
            for key in _keys(kind, name):
                found[key] = amount
    return found


@cache
def _keys(kind: str, name: str) -> tuple[str, ...]:
    """Return the keys that count a resource; extended ones have only that of their requests."""
    if name in ("cpu", "memory", "ephemeral-storage"):
        return (name, f"requests.{name}") if kind == "requests" else (f"limits.{name}",)
    if kind == "limits":
        return ()
    return (name, f"requests.{name}") if name.startswith("hugepages-") else (f"requests.{name}",)


def _asked(part: Pod | Container, kind: str) -> dict[str, Decimal]:
    """Return the `requests` or `limits` of a container, or of a pod without its overhead."""
    if isinstance(part, Container):
        # one that names only a limit requests that much: Kubernetes defaults it so
        return {**part.limits, **part.requests} if kind == "requests" else {**part.limits}
    own = [_asked(each, kind) for each in part.containers]
    total = own[0] if own else {}
    for more in own[1:]:  # most pods have one
        total = _sum(total, more)
    beside: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for each in part.init_containers:  # one after the other, beside the sidecars before them
        begun = _asked(each, kind)
        if each.is_sidecar:
            total, beside = _sum(total, begun), _sum(beside, begun)
        peak = largest(peak, beside if each.is_sidecar else _sum(begun, beside))
    total = largest(total, peak) if peak else total
    if not (part.pod_requests or part.pod_limits):
        return total
    if kind == "limits":
        return {**total, **part.pod_limits}
    return {**part.pod_limits, **total, **part.pod_requests}


def _sum(some: Amounts, more: Amounts) -> dict[str, Decimal]:
    both = {
        name: in_form(some[name] + more[name], like=some[name] or more[name])
        for name in some.keys() & more.keys()
    }
    return {**some, **more, **both}


def largest(*lists: Amounts) -> dict[str, Decimal]:
    """Return the largest amount of each resource."""
    found: dict[str, Decimal] = {}
    for each in lists:
        found |= {name: max(found.get(name, amount), amount) for name, amount in each.items()}
    return found


def total_charge(pods: Iterable[Pod]) -> dict[str, Decimal]:
    """Return the sum of `charge` over the pods that hold quota, for `COMPUTE_KEYS`."""
    needs = [charge(pod) for pod in pods if pod.holds_quota]
    return {key: sum((need[key] for need in needs), ZERO) for key in COMPUTE_KEYS}


def with_defaults(
    pod: Pod,
    ranges: Iterable[LimitRange],
    overheads: Mapping[str, Amounts] = _NONE,
    *,
    is_guarded: bool = False,
) -> Pod:
    """Return the pod as it is let in where these LimitRanges hold.

    A container without a limit gets the default limit; one without a request gets its own limit,
    else the default request, else the default limit. Of several LimitRanges the first by name
    that says a default gives it. Requests of the pod itself are settled before that.

    Args:
        overheads: what a pod of a RuntimeClass takes besides, by its name.
        is_guarded: Deployment Safeguards change it, too, after the LimitRanges.

    Source: Kubernetes, "Limit Ranges": "If you specify a Container's limit, but not its request",
    and SetDefaults_Pod, which runs before the LimitRanger; admission plugin RuntimeClass.
    """
    if pod.pod_limits:
        names = {"cpu", "memory", *pod.pod_limits}
        level = {name: amount for name, amount in _asked(pod, "requests").items() if name in names}
        pod = replace(pod, pod_requests=level)
    if pod.runtime_class in overheads and not pod.overhead:
        pod = replace(pod, overhead=overheads[pod.runtime_class])
    requests: dict[str, Decimal] = {}
    limits: dict[str, Decimal] = {}
    for one in sorted(ranges, key=lambda one: one.name):
        requests = {**one.default_requests, **requests}
        limits = {**one.default_limits, **limits}
    if not requests and not limits and not is_guarded:
        return pod

    def let_in(each: Container) -> Container:
        asked = {**limits, **requests, **each.limits, **each.requests}
        each = replace(each, requests=asked, limits={**limits, **each.limits})
        return _guarded(each) if is_guarded else each

    containers, init = (tuple(map(let_in, some)) for some in (pod.containers, pod.init_containers))
    return replace(pod, containers=containers, init_containers=init)


def _guarded(each: Container) -> Container:
    """Return a container as enforced Deployment Safeguards leave it.

    One that says nothing of a resource gets both values; what is less than the least is raised.
    Source: AKS documentation, "Deployment Safeguards", mutations.
    """
    requests, limits = dict(each.requests), dict(each.limits)
    for name, (given, least) in _SAFEGUARDS.items():
        if name not in requests | limits:
            requests[name] = limits[name] = given
        for part in (requests, limits):
            if name in part:
                part[name] = max(part[name], least)
    return replace(each, requests=requests, limits=limits)


def holds(quota: QuotaStatus, pod: Pod) -> bool:
    """Return whether a quota counts a pod: all its scopes must match. Source: generic.Matches."""
    if not quota.scopes:
        return not quota.is_scoped
    return all(_matches(scope, pod) for scope in quota.scopes)


def _matches(scope: Scope, pod: Pod) -> bool:
    if scope.name == "PriorityClass":
        if scope.operator in ("Exists", "DoesNotExist"):
            return bool(pod.priority_class) == (scope.operator == "Exists")
        return (pod.priority_class in scope.values) == (scope.operator == "In")
    is_such = {
        "Terminating": pod.has_deadline,
        "NotTerminating": not pod.has_deadline,
        "BestEffort": _is_best_effort(pod),
        "NotBestEffort": not _is_best_effort(pod),
        "CrossNamespacePodAffinity": pod.crosses_namespaces,
    }
    return is_such.get(scope.name, False)


def _is_best_effort(pod: Pod) -> bool:
    """Return whether nothing asks for CPU or memory. Source: qos.ComputePodQOS."""
    said = [pod.pod_requests, pod.pod_limits]
    if not any(said):
        for each in (*pod.containers, *pod.init_containers):
            said += [each.requests, each.limits]
    return not any(one.get(name, ZERO) > 0 for one in said for name in ("cpu", "memory"))


def refusal(pod: Pod, quotas: Iterable[QuotaStatus], ranges: Iterable[LimitRange] = ()) -> str:
    """Return why a pod is not let in now, in the server's words; empty where it is.

    A key that is over its quota refuses only a pod that needs more than 0 of it. One that is not
    counted yet refuses none: so quotas without `used` say why a pod is never let in.

    Args:
        pod: with its defaults, see `with_defaults`.
        quotas, ranges: those of its namespace.

    Source: apiserver, resourcequota/controller.go, CheckRequest; what must be said comes first. A
    limit below its request is refused by the API itself.
    """
    if pod.overhead and not pod.runtime_class:
        return "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
    containers = (*pod.containers, *pod.init_containers)
    for each in containers:
        for resource, limit in each.limits.items():
            if each.requests.get(resource, limit) > limit:
                return f"requests more {resource} than the default limit"
    for one in ranges:
        parts: Mapping[str, Sequence[Pod | Container]] = {"Container": containers, "Pod": (pod,)}
        texts = (text for part in parts.get(one.kind, ()) for text in _out_of_range(one, part))
        said = [*dict.fromkeys(texts)]
        if said:
            return said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    need, holding = charge(pod), [quota for quota in quotas if holds(quota, pod)]
    for quota in holding:
        if missing := unsaid(quota, pod):
            return f"failed quota: {quota.name}: must specify {'; '.join(missing)}"
    for quota in holding:
        short = [
            key
            for key, hard in sorted(quota.hard.items())
            if need.get(key) and key in quota.used and quota.used[key] + need[key] > hard
        ]
        if short:
            requested, used, limited = (
                ",".join(f"{key}={server_text(amounts[key])}" for key in short)
                for amounts in (need, quota.used, quota.hard)
            )
            told = f"requested: {requested}, used: {used}, limited: {limited}"
            return f"exceeded quota: {quota.name}, {told}"
    return ""


def let_in(
    pod: Pod, number: int, quotas: Iterable[QuotaStatus], ranges: Iterable[LimitRange] = ()
) -> tuple[int, str]:
    """Return how many of so many equal pods are let in, and what refuses the next of them.

    Args:
        pod: with its defaults, see `with_defaults`.
        number: of pods, one after the other, as a ReplicaSet makes them.
        quotas, ranges: those of its namespace, with what is used now.
    """
    need, now, ranges = charge(pod), list(quotas), list(ranges)
    for so_far in range(number):
        if said := refusal(pod, now, ranges):
            return so_far, said
        more = {quota.name: {k: need[k] for k in quota.used if k in need} for quota in now}
        now = [
            replace(quota, used=_sum(quota.used, more[quota.name])) if holds(quota, pod) else quota
            for quota in now
        ]
    return number, ""


def unsaid(quota: QuotaStatus, pod: Pod) -> list[str]:
    """Return what a quota has containers say that do not: `limits.cpu for: app`."""
    missing = []
    for key in sorted(quota.hard.keys() & _MUST_SAY.keys()):
        kind, resource = _MUST_SAY[key]
        each = (*pod.containers, *pod.init_containers)
        if names := sorted({one.name for one in each if resource not in _asked(one, kind)}):
            missing.append(f"{key} for: {','.join(names)}")
    return [] if pod.pod_requests or pod.pod_limits else missing


def _out_of_range(one: LimitRange, part: Pod | Container) -> Iterator[str]:
    """Yield what a LimitRange has against amounts. Source: LimitRanger, PodValidateLimitFunc."""
    said = {"request": _asked(part, "requests"), "limit": _asked(part, "limits")}
    for word, bounds, is_beyond, sides in (
        ("minimum", one.least, operator.lt, ("request", "limit")),
        ("maximum", one.most, operator.gt, ("limit", "request")),
    ):
        for name, bound in sorted(bounds.items()):
            begin = f"{word} {name} usage per {one.kind} is {server_text(bound)}"
            beyond = [side for side in sides if is_beyond(said[side].get(name, bound), bound)]
            if name not in said[sides[0]]:
                yield f"{begin}.  No {sides[0]} is specified"
            elif beyond:
                yield f"{begin}, but {beyond[0]} is {server_text(said[beyond[0]][name])}"
    for name, ratio in sorted(one.most_ratio.items()):
        request, limit = said["request"].get(name), said["limit"].get(name)
        begin = f"{name} max limit to request ratio per {one.kind} is {server_text(ratio)}, but"
        if not request or not limit:
            side = "limit" if request else "request"
            yield f"{begin} no {side} is specified or {side} is 0"
        elif limit / request > ratio:
            yield f"{begin} provided ratio is {float(limit / request):.6f}"
