"""Patches of objects: JSON patch, merge patch, strategic merge patch.

Source: RFC 6902, RFC 7396; apimachinery `pkg/util/strategicpatch/patch.go`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from mnslib.sandbox.kube import bodies
from mnslib.sandbox.kube.schema import Shape, fields, model_of
from mnslib.sandbox.wire import Call, Json, is_deep, kube_error

STRATEGIC = "application/strategic-merge-patch+json"
_UNKNOWN = "the body of the request was in an unknown format - accepted media types include: "
_REFUSED = "the server rejected our request due to an error in our request"
_ORDER, _REMOVE = "$setElementOrder/", "$deleteFromPrimitiveList/"
_MOST = 10_000  # operations; Source: apiserver, maxJSONPatchOperations
_LARGEST = 3 * 2**20  # bytes of what is copied; Source: apiserver, MaxRequestBodyBytes


class BadPatch(Exception):  # noqa: N818 - it is an answer, not a defect
    """The patch is none (400)."""


class Inapplicable(Exception):  # noqa: N818 - it is an answer, not a defect
    """The patch does not go with the object (422)."""


# RFC 7396


def merged(base: Any, patch: Any) -> Any:
    """Return a merge patch's result."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


# RFC 6902


def operated(base: Json, operations: list[Any]) -> Any:
    """Return a JSON patch's result.

    Raises:
        BadPatch: if it has other than operations, too many of them, or too large copies.
        Inapplicable: if a path is not there, or a test fails.
    """
    if not all(isinstance(one, dict) for one in operations):
        raise BadPatch("json: cannot unmarshal into Go value of type jsonpatch.Operation")
    if len(operations) > _MOST:
        text = f"The allowed maximum operations in a JSON patch is {_MOST}, got "
        raise BadPatch(f"{text}{len(operations)}")
    root: Json = {"": copy.deepcopy(base)}  # what a path begins at, so that it may be replaced
    copied = 0
    for one in operations:
        op, path = one.get("op"), _pointer(one.get("path"))
        value = one.get("value")
        if op in ("move", "copy"):
            source = _pointer(one.get("from"))
            value = copy.deepcopy(_at(root, source))
            copied += len(json.dumps(value)) if op == "copy" else 0
            if copied > _LARGEST:
                raise BadPatch(f"the accumulated size of copies exceeds the limit {_LARGEST}")
            if op == "move":
                _put(root, source, "remove", None)
            op = "add"
        if op == "test":
            if _at(root, path) != value:
                raise Inapplicable(f"testing value {one['path']} failed")
        elif op == "remove" or (op in ("add", "replace") and ("value" in one or "from" in one)):
            _put(root, path, op, copy.deepcopy(value))
        else:
            raise Inapplicable(f"Unexpected kind: {op}")
    return root.get("")


def _pointer(text: Any) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise Inapplicable("missing path")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")]


def _at(doc: Any, path: list[str]) -> Any:
    for part in path:
        doc = doc[_place(doc, part)]
    return doc


def _place(doc: Any, part: str, *, new: bool = False) -> Any:
    """Return the key or index of a path's part in what holds it; it is there, or may be new."""
    if isinstance(doc, dict) and (new or part in doc):
        return part
    if isinstance(doc, list):
        if new and part == "-":
            return len(doc)
        if part.isascii() and part.isdigit() and int(part[:9]) < len(doc) + new:
            return int(part)
    raise Inapplicable(f"missing path: {part}")


def _put(doc: Any, path: list[str], op: str, value: Any) -> None:
    holder = _at(doc, path[:-1])
    place = _place(holder, path[-1], new=op == "add")
    if op == "remove":
        del holder[place]
    elif op == "add" and isinstance(holder, list):
        holder.insert(place, value)
    else:
        holder[place] = value


# strategic merge


def strategic(base: Json, patch: Json, model: str) -> Json:
    """Return a strategic merge patch's result; lists merge by the key that their field has.

    Raises:
        BadPatch: at a directive that is none.
        Inapplicable: if an element lacks its key.
    """
    if "$patch" in patch:
        if patch["$patch"] not in ("replace", "delete", "merge"):
            raise BadPatch(f"Unknown patch type found: {patch['$patch']}")
        rest = {key: value for key, value in patch.items() if key != "$patch"}
        if patch["$patch"] != "merge":
            return rest if patch["$patch"] == "replace" else {}
        patch = rest
    known, result = fields(model) if model else {}, dict(base)
    if "$retainKeys" in patch:
        kept = patch["$retainKeys"]
        if not isinstance(kept, list) or not set(patch) - {"$retainKeys"} <= set(map(str, kept)):
            raise BadPatch("invalid patch format of retainKeys")
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in patch.items():
        if not key.startswith("$"):
            there = result.get(key)
            order = patch.get(_ORDER + key)
            taken = _merge_value(there, value, known.get(key, Shape()), order)
            result |= {key: taken}
            if taken is None:
                del result[key]
        elif key.startswith(_REMOVE) and isinstance(value, list):
            name = key.removeprefix(_REMOVE)
            if isinstance(there := result.get(name), list):
                result[name] = [one for one in there if one not in value]
        elif key.startswith(_ORDER) and key.removeprefix(_ORDER) not in patch:
            name = key.removeprefix(_ORDER)
            if isinstance(there := result.get(name), list):
                shape = known.get(name, Shape())
                result[name] = _ordered(there, value, there, shape.merge.get("key", ""))
    return result


def _merge_value(base: Any, patch: Any, shape: Shape, order: Any) -> Any:
    strategy = str(shape.merge.get("patch", "")).split(",")
    if isinstance(patch, dict):
        model = shape.of if shape.is_object else ""
        under = base if isinstance(base, dict) and "replace" not in strategy else {}
        return strategic(under, patch, model)
    if not isinstance(patch, list):
        return patch
    key, before = shape.merge.get("key", ""), base if isinstance(base, list) else []
    if "merge" not in strategy:
        return patch
    if not key:
        after = [*before, *(one for one in patch if one not in before)]
        return _ordered(after, order or patch, before, "")
    if not all(isinstance(one, dict) for one in [*patch, *before]):
        raise BadPatch("invalid patch format of a list that merges by key")
    if any(one.get("$patch") == "replace" for one in patch):
        return [one for one in patch if "$patch" not in one]
    after = list(before)
    for one in patch:
        after = _merge_element(after, one, shape)
    return _ordered(after, order or patch, before, key)


def _merge_element(after: list[Json], one: Json, shape: Shape) -> list[Json]:
    key = shape.merge["key"]
    if key not in one:
        raise Inapplicable(f"map: {one} does not contain declared merge key: {key}")
    found = next((place for place, old in enumerate(after) if old.get(key) == one[key]), None)
    if one.get("$patch") == "delete":
        return [old for old in after if old.get(key) != one[key]]
    new = strategic(after[found] if found is not None else {}, one, shape.of)
    return [*after, new] if found is None else [*after[:found], new, *after[found + 1 :]]


def _ordered(items: list[Any], wanted: Any, before: list[Any], key: str) -> list[Any]:
    """Return items in the order of a patch; those it does not name keep their place before it.

    Source: strategicpatch, normalizeElementOrder and mergeSortedSlice.
    """

    def places(of: Any) -> list[Any]:
        of = of if isinstance(of, list) else []
        return [one.get(key) if key and isinstance(one, dict) else one for one in of]

    order, there = places(wanted), places(before)
    names = dict(zip(map(id, items), places(items), strict=True))
    named = sorted(
        (i for i in items if names[id(i)] in order), key=lambda i: order.index(names[id(i)])
    )
    others = [i for i in items if names[id(i)] not in order]
    result = []
    while named and others:
        left, right = names[id(others[0])], names[id(named[0])]
        first = left in there and right in there and there.index(left) < there.index(right)
        result.append((others if first else named).pop(0))
    return result + others + named


# requests


def patched(call: Call, present: Json, version: str, word: str) -> Json:
    """Return an object as the patch in the body makes it.

    Raises:
        Refusal: 400 for a patch that is none, 415 for a form that is not read, 422 for one that
            does not go with the object, or makes something of it that is no object of its kind.
    """
    forms: dict[str, tuple[type, Callable[..., Any]]] = {
        "application/json-patch+json": (list, operated),
        "application/merge-patch+json": (dict, merged),
        STRATEGIC: (dict, partial(strategic, model=model_of(version, word))),
    }
    if media(call) not in forms:
        raise kube_error(415, "UnsupportedMediaType", _UNKNOWN + ", ".join(forms))
    container, change = forms[media(call)]
    try:
        patch = bodies.parsed(call)
        if not isinstance(patch, container):
            raise BadPatch(f"json: cannot unmarshal into Go value of type {container.__name__}")
        result = change(present, patch)
        if not isinstance(result, dict) or is_deep(result):
            raise BadPatch("the result is no object, or nested too deeply")
        bodies.check_type(result, version, word)
        found, strict = bodies.decode(result, model_of(version, word))
        if text := bodies.told(call, strict):
            raise bodies.Undecodable(text)
    except (BadPatch, RecursionError, ValueError) as error:
        raise kube_error(400, "BadRequest", str(error)) from None
    except Inapplicable:
        raise kube_error(422, "Invalid", _REFUSED) from None
    except bodies.Undecodable as error:
        converts = media(call) == STRATEGIC
        shown = _go(patch) if converts else json.dumps(result, separators=(",", ":"))
        said = error.converted if converts else str(error)
        message = f"Invalid value: {json.dumps(shown)}: {said}"
        causes = [{"reason": "FieldValueInvalid", "message": message, "field": "patch"}]
        text = f' "" is invalid: patch: {message}'
        raise kube_error(422, "Invalid", text, {"causes": causes}) from None
    return bodies.whole(found, version, word)


def media(call: Call) -> str:
    """Return the content type without its parameters."""
    return call.headers.get("content-type", "").partition(";")[0].strip().lower()


def _go(value: Any) -> str:
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_go, value))}]"
    words = {"None": "<nil>", "True": "true", "False": "false"}
    return value if isinstance(value, str) else words.get(str(value), str(value))
