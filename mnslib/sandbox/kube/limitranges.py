"""LimitRanges: what they fill in, and what they refuse.

Pure. Sources: Kubernetes 1.34, `plugin/pkg/admission/limitranger/admission.go` and
`pkg/apis/core/v1/defaults.go`; the texts are the server's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from mnslib.sandbox.amounts import Amount
from mnslib.sandbox.kube.arithmetic import KINDS, Amounts, containers, listed, pod_amounts
from mnslib.sandbox.offers import packaged
from mnslib.sandbox.wire import Json

_NOTE = "kubernetes.io/limit-ranger"


def fill_range(doc: Json) -> None:
    """Fill in a LimitRange as it is stored: defaults of containers follow from max and min."""
    for item in (doc.get("spec") or {}).get("limits") or []:
        if item.get("type") != "Container":
            continue
        limits = {**(item.get("max") or {}), **(item.get("default") or {})}
        requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
        filled = {"default": limits, "defaultRequest": requests}
        item |= {key: found for key, found in filled.items() if found}


def fill_pod(pod: Json, ranges: Iterable[Json]) -> None:
    """Give a pod's containers what LimitRanges say of those that say nothing."""
    spec = pod["spec"]
    for found in ranges:
        given: dict[str, Json] = {"requests": {}, "limits": {}}
        for item in _items(found, "Container"):
            given["limits"] |= item.get("default") or {}
            given["requests"] |= item.get("defaultRequest") or {}
        notes: list[str] = []
        for word, key in (("container", "containers"), ("init container", "initContainers")):
            for container in spec.get(key) or []:
                notes += _filled(container, given, word)
        if notes:
            annotations = pod["metadata"].setdefault("annotations", {})
            annotations[_NOTE] = f"LimitRanger plugin set: {'; '.join(notes)}"


def _filled(container: Json, given: dict[str, Json], word: str) -> Iterator[str]:
    resources = container.setdefault("resources", {})
    for kind in KINDS:
        present = resources.get(kind) or {}
        missing = sorted(set(given[kind]) - set(present))
        if missing:
            resources[kind] = {**present, **{name: given[kind][name] for name in missing}}
            yield f"{', '.join(missing)} {kind[:-1]} for {word} {container['name']}"


def _items(found: Json, kind: str) -> list[Json]:
    limits = (found.get("spec") or {}).get("limits") or []
    return [item for item in limits if item.get("type") == kind]


def refusals(plural: str, doc: Json, found: Json) -> list[str]:
    """Return what a LimitRange finds wrong with a pod or a claim."""
    if plural == "persistentvolumeclaims":
        requests = listed(((doc.get("spec") or {}).get("resources") or {}).get("requests"))
        texts: list[str] = []
        for item in _items(found, "PersistentVolumeClaim"):
            texts += _too_small("PersistentVolumeClaim", item, requests, {})
            texts += _too_large("PersistentVolumeClaim", item, requests, None)
        return texts
    texts = []
    for item in (found.get("spec") or {}).get("limits") or []:
        kind = item.get("type")
        if kind == "Container":
            for container in containers(doc["spec"]):
                resources = container.get("resources") or {}
                texts += _outside(kind, item, *(listed(resources.get(key)) for key in KINDS))
        elif kind == "Pod":
            texts += _outside(kind, item, *(pod_amounts(doc, key, spec_only=True) for key in KINDS))
    return list(dict.fromkeys(texts))


def _outside(kind: str, item: Json, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _too_small(kind, item, requests, limits)
    yield from _too_large(kind, item, requests, limits)
    for name, ratio in _sorted(item, "maxLimitRequestRatio"):
        text = f"{name} max limit to request ratio per {kind} is {ratio}, but"
        request, limit = (found[name].value if name in found else 0 for found in (requests, limits))
        if not request:
            yield f"{text} no request is specified or request is 0"
        elif not limit:
            yield f"{text} no limit is specified or limit is 0"
        elif Fraction(limit) / Fraction(request) > ratio.value:
            yield f"{text} provided ratio is {float(Fraction(limit) / Fraction(request)):.6f}"


def _too_small(kind: str, item: Json, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, least in _sorted(item, "min"):
        text = f"minimum {name} usage per {kind} is {least}"
        if name not in requests:
            yield f"{text}.  No request is specified"
        elif requests[name].value < least.value:
            yield f"{text}, but request is {requests[name]}"
        elif name in limits and limits[name].value < least.value:
            yield f"{text}, but limit is {limits[name]}"


def _too_large(kind: str, item: Json, requests: Amounts, limits: Amounts | None) -> Iterator[str]:
    """Yield what is above the maximum; a kind whose `limits` are None has requests only."""
    first, word = (requests, "request") if limits is None else (limits, "limit")
    for name, most in _sorted(item, "max"):
        text = f"maximum {name} usage per {kind} is {most}"
        if name not in first:
            yield f"{text}.  No {word} is specified"
        elif first[name].value > most.value:
            yield f"{text}, but {word} is {first[name]}"
        elif name in requests and requests[name].value > most.value:
            yield f"{text}, but request is {requests[name]}"


def _sorted(item: Json, key: str) -> list[tuple[str, Amount]]:
    return sorted(listed(item.get(key)).items())


def problems(doc: Json) -> Iterator[tuple[str, str]]:
    """Yield what the API server finds wrong with a LimitRange: field, and its text.

    Source: `pkg/apis/core/validation`, ValidateLimitRange.
    """
    rules, seen = packaged("kube/validation.yaml")["limits"], set()
    for index, item in enumerate((doc.get("spec") or {}).get("limits") or []):
        at, kind = f"spec.limits[{index}]", item.get("type")
        if kind in seen:
            yield f"{at}.type", f'Duplicate value: "{kind}"'
        seen.add(kind)
        for key in ("default", "defaultRequest") if kind == "Pod" else ():
            if item.get(key):
                yield f"{at}.{key}", "Forbidden: may not be specified when `type` is 'Pod'"
        bounds = {key: listed(item.get(key)) for key in rules["keys"]}
        if kind == "PersistentVolumeClaim" and not any(
            "storage" in bounds[key] for key in ("min", "max")
        ):
            text = "either minimum or maximum storage value is required, but neither was provided"
            yield f"{at}.limits", f"Required value: {text}"
        for low, high, shown, field, text in rules["order"]:
            for name, least in sorted(bounds[low].items()):
                most = bounds[high].get(name)
                if most is not None and least.value > most.value:
                    value = bounds[shown][name]
                    detail = text.format(least, most)
                    yield f"{at}.{field}[{name}]", f'Invalid value: "{value}": {detail}'
        for name, ratio in sorted(bounds["maxLimitRequestRatio"].items()):
            if ratio.value < 1:
                text = f'Invalid value: "{ratio}": ratio {ratio} is less than 1'
                yield f"{at}.maxLimitRequestRatio[{name}]", text
