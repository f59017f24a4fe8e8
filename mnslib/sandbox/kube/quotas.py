"""ResourceQuotas: what an object counts for, what is used, and why a quota refuses.

Pure. Sources: Kubernetes 1.34, `pkg/quota/v1/evaluator/core`, apiserver
`plugin/pkg/admission/resourcequota/controller.go`; the texts as real servers give them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

from mnslib.sandbox.amounts import ONE, ZERO, Amount, read
from mnslib.sandbox.kube.arithmetic import (
    KINDS,
    Amounts,
    added,
    containers,
    counts,
    listed,
    pod_amounts,
    qos_class,
    sets_pod_level,
)
from mnslib.sandbox.kube.kinds import kind_of
from mnslib.sandbox.wire import Json

_PODS, _SERVICES, _CLAIMS = "pods", "services", "persistentvolumeclaims"
_COUNTED = (
    "configmaps",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    _CLAIMS,
)
_REQUIRED = tuple(
    f"{prefix}{name}" for name in ("cpu", "memory") for prefix in ("", "requests.", "limits.")
)
_ALSO = ("ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage")
_CLASS = ".storageclass.storage.k8s.io/"
_CLAIM_KEYS = (_CLAIMS, "requests.storage")


def is_extended(name: str) -> bool:
    """Return whether a resource is none of Kubernetes' own, as `example.com/gpu`."""
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")


def tracks(full: str, key: str) -> bool:
    """Return whether objects of a kind count under this key of a quota.

    Args:
        full: plural of the kind with its group, `deployments.apps`.
        key: of the quota.
    """
    if key == f"count/{full}" or (key == full and full in _COUNTED):
        return True
    if full == _PODS:
        huge = key.startswith(("hugepages-", "requests.hugepages-"))
        extended = key.startswith("requests.") and is_extended(key.removeprefix("requests."))
        return key in (_PODS, *_REQUIRED, *_ALSO) or huge or extended
    if full == _SERVICES:
        return key in ("services.nodeports", "services.loadbalancers")
    if full == _CLAIMS:
        return key == "requests.storage" or key.endswith(tuple(_CLASS + k for k in _CLAIM_KEYS))
    return False


def usage(full: str, doc: Json, now: float) -> Amounts:
    """Return what an object counts for, by every key under which it may."""
    counted = {f"count/{full}": ONE}
    if full in _COUNTED:
        counted[full] = ONE
    more = _USAGE.get(full)
    return counted | (more(doc, now) if more else {})


def _pod(doc: Json, now: float) -> Amounts:
    if not counts(doc, now):
        return {}
    requests, limits = (pod_amounts(doc, kind) for kind in KINDS)
    return {_PODS: ONE} | _compute(requests, limits)


def _compute(requests: Amounts, limits: Amounts) -> Amounts:
    found: Amounts = {}
    for name, amount in requests.items():
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            found |= {name: amount, f"requests.{name}": amount}
        elif is_extended(name):
            found[f"requests.{name}"] = amount
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    return found


def _service(doc: Json, now: float) -> Amounts:
    spec = doc.get("spec") or {}
    kind, ports = spec.get("type"), spec.get("ports") or []
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        ports = [port for port in ports if port.get("nodePort")]
    open_ports = len(ports) if kind in ("NodePort", "LoadBalancer") else 0
    balancers = int(kind == "LoadBalancer")
    found = {"services.nodeports": open_ports, "services.loadbalancers": balancers}
    return {key: Amount(Fraction(number)) for key, number in found.items()}


def _claim(doc: Json, now: float) -> Amounts:
    spec, status = doc.get("spec") or {}, doc.get("status") or {}
    found: Amounts = {_CLAIMS: ONE}
    if storage := listed((spec.get("resources") or {}).get("requests")).get("storage"):
        allocated = listed(status.get("allocatedResources")).get("storage", ZERO)
        larger = allocated if allocated.value > storage.value else storage
        found["requests.storage"] = Amount(Fraction(-(-larger.value // 1)), larger.form)
    if name := storage_class(doc):
        found |= {f"{name}{_CLASS}{key}": found[key] for key in _CLAIM_KEYS if key in found}
    return found


def storage_class(claim: Json) -> str:
    """Return the name of a claim's storage class; empty without one."""
    old = (claim["metadata"].get("annotations") or {}).get(
        "volume.beta.kubernetes.io/storage-class"
    )
    return str(old or (claim.get("spec") or {}).get("storageClassName") or "")


_USAGE: dict[str, Callable[[Json, float], Amounts]] = {
    _PODS: _pod,
    _SERVICES: _service,
    _CLAIMS: _claim,
}


def covers(quota: Json, full: str, doc: Json) -> bool:
    """Return whether an object lies in a quota's scopes; without scopes all do."""
    spec = quota.get("spec") or {}
    selectors = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or []]
    selectors += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(full == _PODS and _in_scope(selector, doc) for selector in selectors)


def _in_scope(selector: Json, pod: Json) -> bool:
    spec, scope = pod["spec"], str(selector["scopeName"])
    if scope.endswith("BestEffort"):
        return (qos_class(pod) == "BestEffort") != scope.startswith("Not")
    if scope.endswith("Terminating"):
        return ("activeDeadlineSeconds" in spec) != scope.startswith("Not")
    if scope == "CrossNamespacePodAffinity":
        return _reaches_out(spec.get("affinity") or {})
    name, values = str(spec.get("priorityClassName") or ""), list(selector.get("values") or [])
    operator = str(selector["operator"])
    if operator in ("Exists", "DoesNotExist"):
        return bool(name) == (operator == "Exists")
    return (name in values) == (operator == "In") if name else operator == "NotIn"


def _reaches_out(affinity: Json) -> bool:
    for key in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(key) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or [])
        preferred = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        terms += [one.get("podAffinityTerm") or {} for one in preferred]
        if any(term.get("namespaces") or "namespaceSelector" in term for term in terms):
            return True
    return False


# what is used


def used(
    quota: Json, objects: Callable[[str], list[Json]], now: float, surplus: Mapping[str, str]
) -> dict[str, str]:
    """Return `status.used`; keys under which nothing is ever counted are not in it.

    Args:
        quota: the quota.
        objects: returns the namespace's objects of a kind, by its plural with the group.
        now: seconds, for pods that outlived their deletion.
        surplus: by key, what a wrong counter has too much.
    """
    hard = (quota.get("spec") or {}).get("hard") or {}
    found: Amounts = {}
    for full in _tracked(hard):
        keys = [key for key in hard if tracks(full, key)]
        total = dict.fromkeys(keys, ZERO)
        for doc in objects(full):
            if covers(quota, full, doc):
                total = added(total, _only(usage(full, doc, now), keys))
        found |= total
    wrong = {key: read(text) for key, text in surplus.items() if key in found}
    return {key: str(amount) for key, amount in sorted(added(found, wrong).items())}


def charged(quota: Json, full: str, doc: Json, now: float) -> dict[str, str]:
    """Return what is used by a quota's keys once an object has been admitted: those that move."""
    present = listed((quota.get("status") or {}).get("used"))
    if not covers(quota, full, doc):
        return {}
    more = _only(usage(full, doc, now), [key for key in present if tracks(full, key)])
    return {key: str(amount) for key, amount in added(_only(present, more), more).items()}


def _only(found: Mapping[str, Amount], keys: Iterable[str]) -> Amounts:
    return {key: found[key] for key in keys if key in found}


def _tracked(hard: Iterable[str]) -> list[str]:
    """Return the kinds that count under some key, each as plural with group."""
    named = {key.removeprefix("count/") for key in hard if key.startswith("count/")}
    known = {full for full in named if is_counted(full)}
    return [
        full for full in sorted({_PODS, *_COUNTED, *known}) if any(tracks(full, k) for k in hard)
    ]


def is_counted(full: str) -> bool:
    """Return whether the server has this kind of object, in namespaces, and counts it."""
    plural, _, group = full.partition(".")
    kind = kind_of(plural)
    served = kind is not None and kind.namespaced and kind.group == group
    return served and full not in ("events", "bindings")


# what is refused


def refusal(
    doc: Json, quotas: Iterable[Json], *, full: str = _PODS, old: Json | None = None, now: float = 0
) -> str:
    """Return why the quotas refuse an object, or an empty text.

    What counts is the quotas' own `status`, as in the API server; an update is charged what it
    needs more than before.

    Args:
        doc: the object as admitted, its requests defaulted.
        quotas: ResourceQuota objects of its namespace, by name, with their status.
        full: plural of its kind, with the group.
        old: the object before, for an update.
        now: seconds.
    """
    touched = []
    for quota in quotas:
        status = quota.get("status") or {}
        hard = listed(status.get("hard", quota["spec"].get("hard")))
        keys = sorted(key for key in hard if tracks(full, key))
        if not keys or not covers(quota, full, doc):
            continue
        name, present = quota["metadata"]["name"], listed(status.get("used"))
        if full == _PODS and (missing := _missing(doc, keys)):
            return f"failed quota: {name}: must specify {missing}"
        if any(key not in present for key in keys):
            return f"status unknown for quota: {name}, resources: {','.join(keys)}"
        touched.append((name, hard, present))
    need = usage(full, doc, now)
    if negative := sorted(key for key, amount in need.items() if amount.value < 0):
        return f"quota usage is negative for resource(s): {','.join(negative)}"
    before = usage(full, old, now) if old else {}
    need = {key: amount - before.get(key, ZERO) for key, amount in need.items()}
    for name, hard, present in touched:
        over = [
            key
            for key in sorted(hard)
            if key in need
            and need[key].value > 0
            and present.get(key, ZERO).value + need[key].value > hard[key].value
        ]
        if over:
            parts = {"requested": need, "used": present, "limited": hard}
            texts = [f"{word}: {_written(found, over)}" for word, found in parts.items()]
            return f"exceeded quota: {name}, {', '.join(texts)}"
    return ""


def _written(found: Amounts, keys: list[str]) -> str:
    return ",".join(f"{key}={found[key]}" for key in keys if key in found)


def _missing(pod: Json, keys: list[str]) -> str:
    """Return what each container must say because a quota has these keys."""
    if sets_pod_level(pod["spec"]):
        return ""
    silent: dict[str, list[str]] = {}
    for container in containers(pod["spec"]):
        requests, limits = (listed((container.get("resources") or {}).get(k)) for k in KINDS)
        said = _compute(requests, limits)
        for key in keys:
            if key in _REQUIRED and key not in said:
                silent.setdefault(key, []).append(container["name"])
    each = [f"{key} for: {','.join(sorted(set(names)))}" for key, names in sorted(silent.items())]
    return "; ".join(each)
