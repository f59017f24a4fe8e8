"""The Kubernetes API of each cluster: objects, and the writes that quotas and ARM govern.

JSON only. Refusals have the texts of the API server and of AKS' admission webhook.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from mnslib.sandbox.access import wants_watch
from mnslib.sandbox.kube import inside
from mnslib.sandbox.kube.admission import default_requests, pod_need, refusal
from mnslib.sandbox.kube.routes_discovery import APPS, AUTOSCALING, BATCH, KINDS, NETWORKING, Kind
from mnslib.sandbox.kube.selectors import field_tests, label_tests
from mnslib.sandbox.kube.shapes import checked, invalid, normal
from mnslib.sandbox.kube.webhook import guard
from mnslib.sandbox.resources import cluster_id
from mnslib.sandbox.wire import (
    Answer,
    Call,
    Handler,
    Json,
    Refusal,
    Rollback,
    kube_error,
    routes,
)

# reads


def _kind(call: Call) -> Kind:
    """Return the kind of the path, if this group, scope and verb go with it.

    Raises:
        Refusal: 404 or 405.
    """
    kind = KINDS.get(call.params["plural"])
    group = call.path.split("/", 5)[5]
    found = kind and group.startswith(("api/" if kind.version == "v1" else "apis/") + kind.version)
    scoped = bool(call.params.get("namespace"))
    alone = "name" in call.params or call.method == "POST"
    misplaced = kind and (scoped if not kind.namespaced else alone and not scoped)
    if not kind or not found or misplaced:
        raise kube_error(404, "NotFound", "the server could not find the requested resource")
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
    if verbs[call.method] not in kind.verbs:
        text = f"the server does not allow this method on the requested resource: {kind.plural}"
        raise kube_error(405, "MethodNotAllowed", text)
    return kind


def list_objects(call: Call) -> Answer:
    """Return objects of a kind, of one namespace or of all, in pages if `limit` asks for them."""
    kind = _kind(call)
    if wants_watch(call):
        raise kube_error(501, "NotImplemented", "watch is not imitated by the sandbox; list again")
    after = _continue_token(call)
    namespace = call.params.get("namespace", "")
    found = call.state.objects(_key(call), kind.plural, namespace, after=after)
    tests = label_tests(call) + field_tests(call)
    items = [doc for doc in found if all(test(doc) for test in tests)]
    metadata: Json = {"resourceVersion": str(call.state.sequence)}
    limit = _limit(call)
    if limit and len(items) > limit:
        last = items[limit - 1]["metadata"]
        token = json.dumps([last.get("namespace", ""), last["name"]])
        metadata["continue"] = base64.urlsafe_b64encode(token.encode()).decode()
        if not tests:
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    body = {"kind": f"{kind.word}List", "apiVersion": kind.version, "metadata": metadata}
    return Answer(body=body | {"items": items})


def _limit(call: Call) -> int:
    text = call.query.get("limit") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise kube_error(400, "BadRequest", f"limit must be a whole number, not {text!r}")
    return int(text)


def _continue_token(call: Call) -> tuple[str, str]:
    text = call.query.get("continue", "")
    if not text:
        return ("", "")
    try:
        namespace, name = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, TypeError, RecursionError):
        raise kube_error(400, "BadRequest", "continue key is not valid") from None
    return (str(namespace), str(name))


def get_object(call: Call) -> Answer:
    """Return one object."""
    return Answer(body=_find(call, _kind(call)))


def _key(call: Call) -> str:
    return cluster_id(call).lower()


def _find(call: Call, kind: Kind) -> Json:
    name, namespace = call.params["name"], call.params.get("namespace", "")
    found = call.state.object(_key(call), kind.plural, namespace, name)
    if found is None:
        raise _not_found(kind, name)
    return found


def _not_found(kind: Kind, name: str) -> Refusal:
    details = {"name": name, "kind": kind.plural}
    return kube_error(404, "NotFound", f'{kind.full_name} "{name}" not found', details)


# writes


def create_object(call: Call) -> Answer:
    """Create an object; pods pass quota admission."""
    kind = _kind(call)
    doc = normal(_body(call, kind))
    name, namespace = doc["metadata"]["name"], call.params.get("namespace", "")
    if kind.namespaced and call.state.object(_key(call), "namespaces", "", namespace) is None:
        raise _not_found(KINDS["namespaces"], namespace)
    if call.state.object(_key(call), kind.plural, namespace, name) is not None:
        details = {"name": name, "kind": kind.plural}
        raise kube_error(409, "AlreadyExists", f'{kind.plural} "{name}" already exists', details)
    given = doc["metadata"]
    if kind.plural == "namespaces":
        stored = inside.create_namespace(
            call.state, _key(call), name, given.get("labels", {}), given.get("annotations", {})
        )
    else:
        keep = {key: given.get(key) for key in ("labels", "annotations", "ownerReferences")}
        doc["metadata"] = inside.metadata(call.state, name, namespace, **keep)
        if kind.plural == "pods":
            _admit(call, doc)
        stored = call.state.put_object(_key(call), kind.plural, doc)
    return _written(call, kind, stored, status=201)


def _written(call: Call, kind: Kind, stored: Json, *, status: int = 200) -> Answer:
    """Return the stored object; under `dryRun=All` nothing of it stays."""
    namespace = call.params.get("namespace", "")
    if kind.plural == "resourcequotas":
        inside.miscount(call.state, _key(call), namespace, {})
    if kind.plural in ("pods", "resourcequotas"):
        inside.recount(call.state, _key(call), namespace)
    name = call.params.get("name") or stored["metadata"]["name"]
    present = call.state.object(_key(call), kind.plural, namespace, name)
    answer = Answer(status=status, body=present or stored)
    if _is_dry_run(call):
        raise Rollback(answer)
    return answer


def _is_dry_run(call: Call) -> bool:
    """Return whether nothing may stay: said in the query, or in the options of a delete.

    Raises:
        Refusal: 422 for another word than `All`.
    """
    asked = [call.query["dryRun"]] if "dryRun" in call.query else []
    if call.method == "DELETE":
        asked += _options(call).get("dryRun") or []
    if any(word != "All" for word in asked):
        text = (
            f' "" is invalid: dryRun: Invalid value: {json.dumps(asked)}: supported values: "All"'
        )
        raise kube_error(422, "Invalid", text)
    return bool(asked)


def _options(call: Call) -> Json:
    """Return the DeleteOptions in the body; there may be none.

    Raises:
        Refusal: 400 or 415.
    """
    options = _json(call) or {}
    wanted = options.get("preconditions") or {} if isinstance(options, dict) else None
    if not isinstance(wanted, dict) or not isinstance(options.get("dryRun") or [], list):
        raise kube_error(400, "BadRequest", "the body is no DeleteOptions")
    return dict(options)


def _check_preconditions(call: Call, kind: Kind, present: Json) -> None:
    """Refuse a delete that is meant for another object of this name, or another state of it."""
    for key, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        wanted = (_options(call).get("preconditions") or {}).get(key)
        if wanted is not None and wanted != present["metadata"][key]:
            text = f'Operation cannot be fulfilled on {kind.plural} "{call.params["name"]}": '
            text += f"Precondition failed: {word} in precondition: {wanted}, {word} in object meta:"
            raise kube_error(409, "Conflict", f"{text} {present['metadata'][key]}")


def _json(call: Call) -> Any:
    media = call.headers.get("content-type", "application/json")
    if call.body and "json" not in media:
        text = f"the sandbox reads JSON only, not {media}"
        raise kube_error(415, "UnsupportedMediaType", text)
    try:
        return call.json()
    except ValueError as error:
        raise kube_error(400, "BadRequest", f"the body is not JSON: {error}") from None


def _body(call: Call, kind: Kind) -> Json:
    doc = _json(call)
    if not isinstance(doc, dict) or not isinstance(doc.get("metadata"), dict):
        raise kube_error(400, "BadRequest", "the body must be an object with metadata")
    if (
        doc.get("kind", kind.word) != kind.word
        or doc.get("apiVersion", kind.version) != kind.version
    ):
        text = f"{doc.get('apiVersion')}, Kind={doc.get('kind')} does not match the path"
        raise kube_error(400, "BadRequest", text)
    name = doc["metadata"].get("name", "")
    form = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
    if kind.plural == "namespaces":
        form = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
    if not re.fullmatch(form, str(name)):
        text = f'{kind.word} "{name}" is invalid: metadata.name: Invalid value: "{name}"'
        raise kube_error(422, "Invalid", text)
    if name != call.params.get("name", name):
        text = f"the name of the object ({name}) does not match the name on the URL "
        raise kube_error(400, "BadRequest", f"{text}({call.params['name']})")
    namespace = call.params.get("namespace", "")
    if (doc["metadata"].get("namespace") or namespace) != namespace:
        text = "the namespace of the provided object does not match the namespace sent on the "
        raise kube_error(400, "BadRequest", f"{text}request")
    return checked(doc) | {"apiVersion": kind.version, "kind": kind.word}


def _admit(call: Call, pod: Json) -> None:
    """Default, admit and schedule a pod.

    Raises:
        Refusal: 403 with the quota's text; 422 without containers.
    """
    name, namespace = pod["metadata"]["name"], call.params["namespace"]
    if not pod.get("spec", {}).get("containers"):
        raise invalid(pod, "spec.containers: Required value")
    default_requests(pod)
    try:
        pod_need(pod)
    except ValueError as error:
        raise invalid(pod, str(error)) from None
    quotas = call.state.objects(_key(call), "resourcequotas", namespace)
    if text := refusal(pod, quotas):
        details = {"name": name, "kind": "pods"}
        raise kube_error(403, "Forbidden", f'pods "{name}" is forbidden: {text}', details)
    inside.schedule(call.state, _key(call), pod)


def delete_object(call: Call) -> Answer:
    """Remove an object at once; a namespace with all that is in it."""
    kind = _kind(call)
    present = _find(call, kind)
    name, namespace = call.params["name"], call.params.get("namespace", "")
    _check_preconditions(call, kind, present)
    guard(kind.plural, present, None)
    if kind.plural == "namespaces":
        if name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            text = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
            raise kube_error(403, "Forbidden", text)
        call.state.delete_namespace_content(_key(call), name)
        inside.recount(call.state, _key(call), name)
        return _written(call, kind, present | {"status": {"phase": "Terminating"}})
    call.state.delete_object(_key(call), kind.plural, namespace, name)
    if kind.plural == "pods":
        return _written(call, kind, present)
    details = {"name": name, "kind": kind.plural, "uid": present["metadata"]["uid"]}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return _written(call, kind, body | {"details": details})


def replace_object(call: Call) -> Answer:
    """Replace metadata texts and spec."""
    kind = _kind(call)
    present = _find(call, kind)
    wanted = _body(call, kind)
    version = wanted["metadata"].get("resourceVersion")
    if version and version != present["metadata"]["resourceVersion"]:
        text = f'Operation cannot be fulfilled on {kind.plural} "{call.params["name"]}": '
        text += "the object has been modified; please apply your changes to the latest version"
        raise kube_error(409, "Conflict", f"{text} and try again")
    texts = {key: wanted["metadata"].get(key, {}) for key in ("labels", "annotations")}
    spec = wanted["spec"] if "spec" in wanted else present.get("spec", {})
    return _change(call, kind, present, texts, spec)


def patch_object(call: Call) -> Answer:
    """Merge labels, annotations and spec; lists are replaced, under every imitated patch type."""
    kind = _kind(call)
    present = _find(call, kind)
    media = call.headers.get("content-type", "").split(";")[0]
    if media not in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
        text = f"the sandbox takes merge and strategic merge patches, not {media}"
        raise kube_error(415, "UnsupportedMediaType", text)
    try:
        patch = call.json()
    except ValueError:
        patch = None
    if not isinstance(patch, dict):
        raise kube_error(400, "BadRequest", "the patch is no JSON object")
    merged = checked(_merge(present, patch))
    texts = {key: merged.get("metadata", {}).get(key, {}) for key in ("labels", "annotations")}
    return _change(call, kind, present, texts, merged.get("spec", {}))


def _merge(base: Any, patch: Any) -> Any:
    """Return RFC 7396's merge."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _change(call: Call, kind: Kind, present: Json, texts: Json, spec: Json) -> Answer:
    if kind.plural == "namespaces":
        texts["labels"]["kubernetes.io/metadata.name"] = present["metadata"]["name"]
    metadata = {k: v for k, v in present["metadata"].items() if k not in texts}
    metadata |= {key: value for key, value in texts.items() if value}
    changed = normal(present | {"metadata": metadata, "spec": spec})
    guard(kind.plural, present, changed)
    unchanged = all(changed[key] == present.get(key) for key in ("metadata", "spec"))
    if not unchanged:
        changed = call.state.put_object(_key(call), kind.plural, changed)
    return _written(call, kind, changed)


_C = "/kubernetes/{subscription}/{group}/{cluster}"
_OBJECTS = (
    ("GET", "/{plural}", list_objects),
    ("POST", "/{plural}", create_object),
    ("GET", "/{plural}/{name}", get_object),
    ("PUT", "/{plural}/{name}", replace_object),
    ("PATCH", "/{plural}/{name}", patch_object),
    ("DELETE", "/{plural}/{name}", delete_object),
)
_READS = tuple(entry for entry in _OBJECTS if entry[0] == "GET")
_SERVED: dict[str, tuple[tuple[str, str, Handler], ...]] = {
    "/api/v1": _OBJECTS,
    f"/apis/{NETWORKING}": _OBJECTS,
}
_SERVED |= {f"/apis/{version}": _READS for version in (APPS, AUTOSCALING, BATCH)}
ROUTES = [
    route
    for prefix, table in _SERVED.items()
    for place in (prefix, f"{prefix}/namespaces/{{namespace}}")
    for route in routes("kubernetes", _C + place, table)
]
