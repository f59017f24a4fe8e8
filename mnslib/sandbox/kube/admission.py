"""Resource quota admission: what a pod asks for, what a quota still allows, and the refusals.

Pure. Sources: Kubernetes documentation, "Resource Quotas" and "Sidecar Containers" (resource
sharing within containers); texts as seen in clusters (facts page, BLOG) and apiserver
`plugin/pkg/admission/resourcequota/controller.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from mnslib.sandbox.amounts import canonical, is_binary, parse
from mnslib.sandbox.resources import QUOTA_KEYS
from mnslib.sandbox.wire import Json

Need = dict[str, Fraction]
COMPUTE_KEYS = tuple(QUOTA_KEYS.values())
_ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory"}


def default_requests(pod: Json) -> None:
    """Fill in missing requests from limits, as the API server's defaulting does."""
    for container in _containers(pod):
        resources = container.setdefault("resources", {})
        if limits := resources.get("limits"):
            resources["requests"] = {**limits, **resources.get("requests", {})}


def pod_need(pod: Json) -> Need:
    """Return what a pod counts for: max(sum of containers and sidecars, init peak) + overhead.

    Source: Kubernetes documentation, "Init Containers" and "Sidecar Containers", resource sharing.
    """
    return {key: _pod_need(pod["spec"], key) for key in COMPUTE_KEYS}


def _pod_need(spec: Json, key: str) -> Fraction:
    running = sum((_amount(c, key) for c in spec["containers"]), Fraction(0))
    peak = sidecars = Fraction(0)
    for container in spec.get("initContainers", []):
        if container.get("restartPolicy") == "Always":
            sidecars += _amount(container, key)
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + _amount(container, key))
    need = max(running + sidecars, peak)
    overhead = spec.get("overhead", {}).get(key.split(".")[1], "0")
    counts_too = overhead != "0" and (key.startswith("requests") or need)
    return need + parse(str(overhead)) if counts_too else need


def _amount(container: Json, key: str) -> Fraction:
    kind, resource = key.split(".")
    return parse(str(container.get("resources", {}).get(kind, {}).get(resource, "0")))


def _containers(pod: Json) -> Iterator[Json]:
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]


def counts(pod: Json) -> bool:
    """Return whether a pod counts against quotas: finished ones do not."""
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def total_need(pods: Iterable[Json]) -> Need:
    """Return the sum over the pods that count, with their number under `pods`."""
    total = dict.fromkeys((*COMPUTE_KEYS, "pods"), Fraction(0))
    for pod in filter(counts, pods):
        total["pods"] += 1
        for key, value in pod_need(pod).items():
            total[key] += value
    return total


def used_texts(hard: Mapping[str, str], total: Need) -> dict[str, str]:
    """Return `status.used` for these `hard` keys; kinds that the sandbox does not hold are "0"."""
    amounts = {key: total.get(_ALIASES.get(key, key), Fraction(0)) for key in hard}
    return {key: canonical(amounts[key], binary=is_binary_key(key, hard[key])) for key in hard}


def is_binary_key(key: str, text: str) -> bool:
    """Return whether an amount of this key is written with powers of 1024."""
    return is_binary(text) or key.endswith("memory")


def refusal(pod: Json, quotas: Iterable[Json]) -> str:
    """Return why the quotas refuse one more pod, or an empty text.

    What counts is the quotas' own `status.used`, as in the API server.

    Args:
        pod: the new pod, requests already defaulted.
        quotas: ResourceQuota objects of its namespace, by name, with their status.
    """
    need = {**pod_need(pod), "pods": Fraction(1)}
    for quota in quotas:
        hard = quota["spec"].get("hard", {})
        if text := _missing(pod, hard):
            return f"failed quota: {quota['metadata']['name']}: must specify {text}"
        used = {key: parse(text) for key, text in quota["status"]["used"].items()}
        if text := _exceeded(need, hard, used):
            return f"exceeded quota: {quota['metadata']['name']}, {text}"
    return ""


def _missing(pod: Json, hard: Mapping[str, str]) -> str:
    wanted = sorted(key for key in hard if _ALIASES.get(key, key) in COMPUTE_KEYS)
    parts = []
    for key in wanted:
        kind, resource = _ALIASES.get(key, key).split(".")
        names = [
            container["name"]
            for container in _containers(pod)
            if resource not in container.get("resources", {}).get(kind, {})
        ]
        if names:
            parts.append(f"{key} for: {','.join(names)}")
    return "; ".join(parts)


def _exceeded(need: Need, hard: Mapping[str, str], present: Need) -> str:
    over = [
        key
        for key in sorted(hard)
        if (real := _ALIASES.get(key, key)) in need
        and need[real] > 0
        and present[key] + need[real] > parse(hard[key])
    ]
    if not over:
        return ""
    name = {key: _ALIASES.get(key, key) for key in over}
    binary = {key: is_binary_key(key, hard[key]) for key in over}
    requested = ",".join(f"{k}={canonical(need[name[k]], binary=binary[k])}" for k in over)
    used = ",".join(f"{k}={canonical(present[k], binary=binary[k])}" for k in over)
    limited = ",".join(f"{key}={hard[key]}" for key in over)
    return f"requested: {requested}, used: {used}, limited: {limited}"
