"""Server-side apply, and who manages which field of an object.

A field is a path whose steps are written as in `fieldsV1`: `f:spec`, `k:{"name":"a"}`, `v:"x"`.
Source: structured-merge-diff `merge/update.go`, apimachinery `pkg/util/managedfields`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from mnslib.sandbox.kube import bodies
from mnslib.sandbox.kube.schema import Shape, fields, is_atomic, model_of
from mnslib.sandbox.state import kube_time
from mnslib.sandbox.wire import Call, Json, kube_error

MEDIA = "application/apply-patch+yaml"
Path = tuple[str, ...]
Owners = list[tuple[Json, set[Path]]]
_UNMANAGED = {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"}
_UNMANAGED |= {"selfLink", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds"}
_DEFAULTS = {"protocol": "TCP"}  # of keys that may be left out


class Conflict(Exception):  # noqa: N818 - it is an answer, not a defect
    """Others manage fields that would change; the text has the server's words."""

    def __init__(self, clashes: list[tuple[Json, Path]]) -> None:
        told = [(f"conflict with {_manager(entry)}", _written(path)) for entry, path in clashes]
        self.details = {
            "causes": [
                {"reason": "FieldManagerConflict", "message": message, "field": field}
                for message, field in told
            ]
        }
        text = f"Apply failed with 1 conflict: {': '.join(told[0])}"
        if len(told) > 1:
            lines = []
            for message in sorted({message for message, _ in told}):
                lines.append(message.replace("conflict", "conflicts", 1) + ":")
                lines += [f"- {field}" for one, field in told if one == message]
            text = f"Apply failed with {len(told)} conflicts: " + "\n".join(lines)
        super().__init__(text)


def _manager(entry: Json) -> str:
    text = json.dumps(entry["manager"])
    return text if entry["operation"] == "Apply" else f"{text} using {entry.get('apiVersion')}"


def _written(path: Path) -> str:
    forms = {"k:": lambda rest: _shown(json.loads(rest)), "v:": "[={}]".format, "f:": ".{}".format}
    return "".join(forms.get(step[:2], str)(step[2:]) for step in path)


def _shown(keys: Json) -> str:
    return f"[{','.join(f'{key}={json.dumps(value)}' for key, value in keys.items())}]"


def applied(live: Json, config: Json, model: str, entry: Json, *, force: bool) -> Json:
    """Return what applying a configuration makes of an object, managedFields included.

    What the same manager (of the `entry`) applied before and does not now is removed, if nobody
    else manages it. `live` is an object without fields when it is created.

    Raises:
        Conflict: unless forced.
    """
    shape, wanted, owners = Shape(of=model), set(_managed(config, model)), _owners(live)
    others = [(one, paths) for one, paths in owners if not _is(one, entry)]
    kept = wanted.union(*(paths for _, paths in others))
    held = {path[:level] for path in kept for level in range(1, len(path) + 1)}
    doc: Json = _pruned(_joined(live, config, shape), shape, _own(owners, entry) - held)
    before, after = _managed(live, model), _managed(doc, model)
    changed = _changed(before, after)
    clashes = [(one, path) for one, paths in others for path in sorted(paths & changed)]
    if clashes and not force:
        raise Conflict(clashes)
    managed = _entries(owners, entry, wanted, changed | (before.keys() - after.keys()))
    return doc | {"metadata": doc["metadata"] | {"managedFields": managed}}


def tracked(present: Json, doc: Json, model: str, entry: Json, given: list[Json]) -> list[Json]:
    """Return the managedFields after a write: its manager has what it changed.

    Those in the body hold, if there are some; an empty one is the way to forget them all.
    """
    owners = _owners({"metadata": {"managedFields": given}}) or _owners(present)
    owners = [] if given == [{}] else owners
    before, after = _managed(present, model), _managed(doc, model)
    changed, gone = _changed(before, after), before.keys() - after.keys()
    return _entries(owners, entry, (_own(owners, entry) - gone) | changed, changed | gone)


def _entries(owners: Owners, entry: Json, mine: set[Path], lost: set[Path]) -> list[Json]:
    """Return managedFields where `mine` are the writer's, and `lost` no other's."""
    result = [(one, paths - lost) for one, paths in owners if not _is(one, entry)]
    same = [one for one, paths in owners if _is(one, entry) and paths == mine]
    result.append((same[0] if same else entry, mine))
    result.sort(key=lambda pair: str(pair[0]["operation"]))
    form = {"fieldsType": "FieldsV1"}
    return [one | form | {"fieldsV1": _tree(paths)} for one, paths in result if paths]


def _own(owners: Owners, entry: Json) -> set[Path]:
    return {path for one, paths in owners if _is(one, entry) for path in paths}


def _changed(before: dict[Path, Any], after: dict[Path, Any]) -> set[Path]:
    return {path for path, value in after.items() if path not in before or before[path] != value}


def _is(one: Json, other: Json) -> bool:
    names = ["operation", "manager", "subresource"]
    names += ["apiVersion"] * (other["operation"] == "Update")
    return all(one.get(name, "") == other.get(name, "") for name in names)


# values and their fields


def _parts(value: Any, shape: Shape) -> list[tuple[str, Any, Shape]]:
    """Return what a value consists of, as steps, values and their shapes; nothing if it is one."""
    if isinstance(value, list) and shape.form == "list" and not is_atomic(shape):
        return [(_step(one, shape), one, shape.inner) for one in value]
    known = fields(shape.of) if shape.is_object else {}
    if not isinstance(value, dict) or is_atomic(shape) or not (known or shape.form == "map"):
        return []
    return [(f"f:{key}", one, known.get(key, shape.inner)) for key, one in value.items()]


def _step(one: Any, shape: Shape) -> str:
    if shape.merge["list"] == "set" or not isinstance(one, dict):
        return f"v:{json.dumps(one)}"
    names = sorted(shape.merge["keys"].split())
    keys = {name: one.get(name, _DEFAULTS.get(name)) for name in names}
    return f"k:{json.dumps(keys, separators=(',', ':'))}"


def _flat(value: Any, shape: Shape, at: Path = ()) -> dict[Path, Any]:
    """Return the fields of a value: its leaves, and the elements of its lists and maps."""
    found: dict[Path, Any] = {}
    for step, inner, inner_shape in _parts(value, shape):
        path = (*at, step)
        below = _flat(inner, inner_shape, path)
        if not below or shape.form != "one":
            found[path] = None if below else inner
        found |= below
    return found


def _managed(doc: Json, model: str) -> dict[Path, Any]:
    """Return the fields that a write of an object is about: not its identity, nor its status."""
    kept = {key: doc[key] for key in doc if key not in ("apiVersion", "kind", "status", "metadata")}
    metadata = {key: doc["metadata"][key] for key in doc["metadata"] if key not in _UNMANAGED}
    return _flat(kept | ({"metadata": metadata} if metadata else {}), Shape(of=model))


def _joined(live: Any, config: Any, shape: Shape) -> Any:
    there = {step: inner for step, inner, _ in _parts(live, shape)}
    parts = _parts(config, shape)
    if not there or not parts:
        return live if there and not config else config
    new = {
        step: _joined(there[step], inner, inner_shape) if step in there else inner
        for step, inner, inner_shape in parts
    }
    return _built(there | new, config)


def _pruned(value: Any, shape: Shape, doomed: set[Path], at: Path = ()) -> Any:
    parts = _parts(value, shape)
    left = {
        step: _pruned(inner, inner_shape, doomed, (*at, step))
        for step, inner, inner_shape in parts
        if (*at, step) not in doomed
    }
    return _built(left, value) if parts else value


def _built(parts: dict[str, Any], like: Any) -> Any:
    if isinstance(like, list):
        return list(parts.values())
    return {step[2:]: value for step, value in parts.items()}


# managedFields


def _owners(doc: Json) -> Owners:
    """Return the entries of an object's managedFields and what they name; none if one is odd."""
    entries = doc["metadata"].get("managedFields") or []
    kinds = {"fieldsV1": dict, "manager": str, "operation": str}
    if not all(isinstance(one.get(key), kinds[key]) for one in entries for key in kinds):
        return []
    return [(one, set(_paths(one["fieldsV1"]))) for one in entries]


def _paths(tree: Any, at: Path = ()) -> Iterable[Path]:
    if not tree or not isinstance(tree, dict):
        yield at
        return
    for step, below in tree.items():
        yield from [at] if step == "." else _paths(below, (*at, step))


def _tree(paths: set[Path]) -> Json:
    tree: Json = {}
    for path in sorted(paths):
        node = tree
        for level, step in enumerate(path):
            if path[:level] in paths:
                node["."] = {}
            node = node.setdefault(step, {})
    return tree


# requests


def configured(call: Call, live: Json, version: str, word: str) -> Json:
    """Return what the configuration in the body makes of an object, or the new one that it is.

    Raises:
        Refusal: 400; 409 with the conflicts; 422 without a manager; 500, as a real server
            answers, for fields that the kind does not have.
    """
    model, entry = model_of(version, word), _entry(call, "Apply", version)
    if not entry["manager"]:
        text = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required '
        raise kube_error(422, "Invalid", f"{text}for apply patch")
    try:
        doc = bodies.parsed(call, yaml=True)
        if not isinstance(doc, dict) or "kind" not in doc:
            raise ValueError("Object 'Kind' is missing")
        if doc.get("apiVersion") != version:
            text = "Incorrect version specified in apply patch. Specified patch version: "
            text += f"{doc.get('apiVersion', '')}, expected: {version}"
            raise kube_error(400, "BadRequest", text)
        bodies.check_type(doc, version, word)
        config, strict = bodies.decode(doc, model)
        unknown = [_undeclared(doc, text) for text in strict if text.startswith("unknown")]
        if unknown:
            raise bodies.Undecodable("\n  ".join(["errors:"] * (len(unknown) > 1) + unknown))
    except ValueError as error:
        raise kube_error(400, "BadRequest", f"error decoding YAML: {error}") from None
    except bodies.Undecodable as error:
        name = f"{call.params.get('namespace', '')}/{call.params['name']}"
        head = version if "/" in version else f"/{version}"
        text = f"failed to create typed patch object ({name}; {head}, Kind={word}): {error}"
        raise kube_error(500, "", text) from None
    if text := bodies.told(call, strict):
        raise kube_error(400, "BadRequest", f"error strict decoding YAML: {text}")
    if config.setdefault("metadata", {}).get("managedFields"):
        raise kube_error(400, "BadRequest", "metadata.managedFields must be nil")
    try:
        force = call.query.get("force") == "true"
        made = applied(live, config, model, entry, force=force)
    except Conflict as conflict:
        raise kube_error(409, "Conflict", str(conflict), conflict.details) from None
    return bodies.whole(made, version, word)


def _undeclared(doc: Any, text: str) -> str:
    """Return an unknown field's error with the names of elements in place of their numbers."""
    path = ""
    for name, number in re.findall(r"([^.\[\]]+)(?:\[(\d+)\])?\.?", text.split('"')[1]):
        path += f".{name}"
        doc = doc.get(name) if isinstance(doc, dict) else None
        if number and isinstance(doc, list):
            doc = doc[int(number)]
            path += _shown({"name": doc["name"]}) if "name" in doc else f"[{number}]"
    return f"{path}: field not declared in schema"


def recorded(call: Call, version: str, word: str, present: Json, doc: Json, given: Any) -> Json:
    """Return the metadata of an object that is about to be stored, with who manages what of it.

    `given` are the managedFields of the body, or those that applying it gave.
    """
    if call.headers.get("content-type", "").partition(";")[0] != MEDIA:
        entry = _entry(call, "Update", version)
        given = tracked(present, doc, model_of(version, word), entry, given or [])
    metadata = {key: one for key, one in doc["metadata"].items() if key != "managedFields"}
    return metadata | ({"managedFields": given} if given else {})


def _entry(call: Call, operation: str, version: str) -> Json:
    agent = call.headers.get("user-agent", "").partition("/")[0] if operation == "Update" else ""
    manager, time = call.query.get("fieldManager") or agent, kube_time(call.state.now())
    return {"manager": manager, "operation": operation, "apiVersion": version, "time": time}
