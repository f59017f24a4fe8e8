"""The shape of Kubernetes objects, as far as the sandbox reads into them. Knows no rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mnslib.sandbox.wire import Json, kube_error

_TEXTS = "a map of texts"
_QUANTITIES = "a map of quantities"
_SHAPES = {
    "metadata": "an object",
    "metadata.labels": _TEXTS,
    "metadata.annotations": _TEXTS,
    "metadata.resourceVersion": "a text",
    "spec": "an object",
    "spec.hard": _QUANTITIES,
    "spec.nodeName": "a text",
    "spec.overhead": _QUANTITIES,
    "status": "an object",
    "status.phase": "a text",
    **{
        f"spec.{kind}[]{path}": shape
        for kind in ("containers", "initContainers")
        for path, shape in (
            ("", "an object"),
            (".resources", "an object"),
            (".resources.requests", _QUANTITIES),
            (".resources.limits", _QUANTITIES),
        )
    },
}


def checked(doc: Any) -> Json:
    """Return an object without nulls, which the API server takes as absent.

    Raises:
        Refusal: 400 if what is read later has another type.
    """
    found: Json = _without_nulls(doc)
    for path, shape in _SHAPES.items():
        for value in _values(found, path.split(".")):
            if not _is(value, shape):
                text = f"the object cannot be decoded: {path.replace('[]', '')} must be {shape}"
                raise kube_error(400, "BadRequest", text)
    return found


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}


def _values(value: Any, path: list[str]) -> Iterator[Any]:
    """Yield what lies at a path; `None`, which fits nothing, for a list that is none."""
    if not path:
        yield value
        return
    name = path[0].removesuffix("[]")
    if not isinstance(value, dict) or name not in value:
        return
    if name == path[0]:
        yield from _values(value[name], path[1:])
    elif isinstance(value[name], list):
        for inner in value[name]:
            yield from _values(inner, path[1:])
    else:
        yield None


def _is(value: Any, shape: str) -> bool:
    if shape == "a text":
        return isinstance(value, str)
    if not isinstance(value, dict) or shape == "an object":
        return isinstance(value, dict)
    kinds = (str,) if shape == _TEXTS else (str, int, float)
    return all(isinstance(inner, kinds) for inner in value.values())
