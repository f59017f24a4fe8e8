"""OpenAPI v3 of each API version, made of the kinds' fields: what `kubectl explain` reads.

As much as kubectl asks of it: schemas, and the operations by which it finds a kind, its patches
and whether it may send `dryRun` and `fieldValidation`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version

from mnslib.sandbox.kube.kinds import Kind, served
from mnslib.sandbox.kube.schema import Shape, data, description, fields, is_atomic, model_of
from mnslib.sandbox.wire import Json

_REFS = "#/components/schemas/"


def index(prefix: str) -> Json:
    """Return where the document of each API version lies; `prefix` is the server's own path."""
    seed = version("lightkube-models").encode()
    paths = {}
    for one in served():
        path = f"apis/{one}" if "/" in one else f"api/{one}"
        digest = hashlib.sha256(seed + one.encode()).hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"{prefix}/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


@cache
def document(group_version: str) -> bytes:
    """Return the document of an API version that is served."""
    kinds = served()[group_version].values()
    words = data("words").values()
    schemas: Json = {word["name"]: word["schema"] for word in words if "name" in word}
    paths: Json = {}
    for kind in kinds:
        _add(schemas, model_of(group_version, kind.word))
        name = _name(model_of(group_version, kind.word))
        schemas[name]["x-kubernetes-group-version-kind"] = [_gvk(kind)]
        paths |= _paths(kind, name)
    info = {"title": "Kubernetes", "version": "unversioned"}
    body = {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}
    return json.dumps(body, separators=(",", ":")).encode()


def _name(model: str) -> str:
    module, _, name = model.partition(".")
    group, _, number = module.rpartition("_")
    return f"{data('places').get(group, f'io.k8s.api.{group}')}.{number}.{name}"


def _add(schemas: Json, model: str) -> None:
    """Add the schema of a model and of all that it holds."""
    if _name(model) in schemas:
        return
    known = fields(model)
    properties = {name: _property(shape) for name, shape in known.items()}
    schema = {"type": "object", "description": description(model), "properties": properties}
    if required := [name for name, shape in known.items() if shape.required]:
        schema["required"] = required
    if is_atomic(Shape(of=model)):
        schema["x-kubernetes-map-type"] = "atomic"
    schemas[_name(model)] = schema
    for shape in known.values():
        if "." in shape.of:
            _add(schemas, shape.of)


def _property(shape: Shape) -> Json:
    found = _single(shape)
    if shape.form == "list":
        found = {"type": "array", "items": found}
    elif shape.form == "map":
        found = {"type": "object", "additionalProperties": found}
    elif "$ref" in found:  # nothing may stand beside a reference
        found = {"allOf": [found]}
    merge = {
        "patch-strategy": shape.merge.get("patch"),
        "patch-merge-key": shape.merge.get("key"),
        "list-type": shape.merge.get("list", "atomic" if shape.form == "list" else None),
        "list-map-keys": shape.merge.get("keys", "").split(),
        "map-type": shape.merge.get("map"),
    }
    extensions = {f"x-kubernetes-{key}": value for key, value in merge.items() if value}
    text = shape.description
    if shape.enum and shape.form == "one":
        found = found | {"enum": list(shape.enum)}
        values = [f' - `"{name}"` {said}'.rstrip() for name, said in shape.enum.items()]
        text += "\n\n" + "\n".join(["Possible enum values:", *values])
    return found | {"description": text} | extensions


def _single(shape: Shape) -> Json:
    if "." in shape.of:
        return {"$ref": _REFS + _name(shape.of)}
    word = data("words")[shape.of]
    if "name" in word:
        return {"$ref": _REFS + word["name"]}
    return dict(word["schema"]) | ({"format": "int64"} if shape.go == "int64" else {})


def _gvk(kind: Kind) -> Json:
    return {"group": kind.group, "version": kind.version.rpartition("/")[2], "kind": kind.word}


def _paths(kind: Kind, name: str) -> Json:
    base = f"/{'apis' if kind.group else 'api'}/{kind.version}"
    base += "/namespaces/{namespace}" if kind.namespaced else ""
    places = (f"{base}/{kind.plural}", f"{base}/{kind.plural}/{{name}}")
    schema = {"schema": {"$ref": _REFS + name}}
    told = data("operations")
    query = [{"name": one, "in": "query", "schema": {"type": "string"}} for one in told["query"]]
    read: Json = {
        "x-kubernetes-group-version-kind": _gvk(kind),
        "parameters": query,
        "responses": {"200": {"description": "OK", "content": {"application/json": schema}}},
    }
    write = read | {"requestBody": {"content": {"*/*": schema}}}
    patch = read | {"requestBody": {"content": {form: schema for form in told["patches"]}}}
    verbs = {"list": (0, "get", read), "create": (0, "post", write), "get": (1, "get", read)}
    verbs |= {"update": (1, "put", write), "patch": (1, "patch", patch)}
    verbs |= {"delete": (1, "delete", read)}
    found: Json = {}
    for verb, (one, method, operation) in verbs.items():
        if verb in kind.verbs:
            found.setdefault(places[one], {})[method] = operation
    return found
