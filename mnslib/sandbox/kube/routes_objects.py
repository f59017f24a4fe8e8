"""The Kubernetes API of each cluster: objects of every kind, as quotas and ARM govern them.

JSON only. Refusals have the texts of the API server and of AKS' admission webhook.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
import re
from typing import Any

from mnslib.sandbox.access import wants_watch
from mnslib.sandbox.kube import apply, bodies, inside, watch
from mnslib.sandbox.kube.admission import admit
from mnslib.sandbox.kube.defaults import fill, suffix
from mnslib.sandbox.kube.deletion import delete
from mnslib.sandbox.kube.kinds import Kind, inward, kind_of, outward
from mnslib.sandbox.kube.patches import media, patched
from mnslib.sandbox.kube.selectors import field_tests, label_tests
from mnslib.sandbox.kube.tables import several, single
from mnslib.sandbox.kube.webhook import guard
from mnslib.sandbox.resources import cluster_id
from mnslib.sandbox.wire import Answer, Call, Json, Refusal, Rollback, kube_error, routes

_TOKEN = "meta.k8s.io/v1"  # Source: apiserver, pkg/storage/continue.go
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
# Source: apimachinery, pkg/api/meta: what a client may write of an object's metadata
_WRITABLE = ("labels", "annotations", "ownerReferences", "finalizers")

# reads


def kind_asked(call: Call) -> Kind:
    """Return the kind of the path, if this API version, scope and verb go with it.

    Raises:
        Refusal: 404, 405, or 501 for a write that nothing here would act on.
    """
    p = call.params
    version = f"{p['api_group']}/{p['version']}" if "api_group" in p else "v1"
    kind = kind_of(p["plural"], version)
    scoped, single = bool(p.get("namespace")), "name" in p
    alone = single or call.method == "POST"
    if not kind or (scoped if not kind.namespaced else alone and not scoped):
        raise kube_error(404, "NotFound", "the server could not find the requested resource")
    reads = {"GET": "get" if single else "list"}
    ends = {"DELETE": "delete" if single else "deletecollection"}
    if (_VERBS | reads | ends)[call.method] not in kind.verbs:
        text = "the server does not allow this method on the requested resource"
        raise kube_error(405, "MethodNotAllowed", text)
    if kind.frozen and call.method != "GET":
        text = f"{kind.full_name} cannot be written: the sandbox does not act on them"
        raise kube_error(501, "NotImplemented", text)
    inside.furnish_seeded(call.state, _key(call), kind.plural)
    return kind


def list_objects(call: Call) -> Answer:
    """Return objects of a kind, of one namespace or of all, in pages if `limit` asks for them."""
    kind = kind_asked(call)
    if wants_watch(call):
        return Answer(stream=watch.events(call, kind))
    items, tests = _selected(call, kind)
    limit = _limit(call)
    metadata: Json = {}
    if limit and len(items) > limit:
        last = items[limit - 1]["metadata"]
        start = f"{last.get('namespace', '')}/{last['name']}\0"
        token = json.dumps({"v": _TOKEN, "rv": call.state.sequence, "start": start})
        metadata["continue"] = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
        if not tests:
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    return Answer(body=_list(call, kind, items, **metadata))


def _list(call: Call, kind: Kind, items: list[Json], **metadata: Any) -> Json:
    metadata = {"resourceVersion": str(call.state.sequence), **metadata}
    return several(call, kind, [outward(kind, doc) for doc in items], metadata)


def _selected(call: Call, kind: Kind) -> tuple[list[Json], bool]:
    """Return the objects that a list's selectors choose, and whether there are selectors."""
    namespace = call.params.get("namespace", "")
    found = call.state.objects(_key(call), kind.plural, namespace, after=_continue_token(call))
    tests = label_tests(call) + field_tests(call, kind)
    return [doc for doc in found if all(test(doc) for test in tests)], bool(tests)


def _limit(call: Call) -> int:
    text = call.query.get("limit") or "0"
    if not re.fullmatch("-?[0-9]{1,18}", text, re.ASCII):
        text = f"strconv.ParseInt: parsing {json.dumps(text[:100])}: invalid syntax"
        raise kube_error(400, "BadRequest", text)
    return max(int(text), 0)


def _continue_token(call: Call) -> tuple[str, str]:
    """Return namespace and name of what the last page ended with.

    Raises:
        Refusal: 400. Source: apiserver, pkg/storage/continue.go.
    """
    text = call.query.get("continue", "")
    if not text:
        return ("", "")
    try:
        token = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        if token["v"] != _TOKEN:
            raise ValueError("server does not recognize this encoded version")
        namespace, _, name = token["start"].partition("/")
    except (binascii.Error, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        why = "invalid continue token: continue key is not valid"
        raise kube_error(400, "BadRequest", why) from None
    return (namespace, name.rstrip("\0"))


def get_object(call: Call) -> Answer:
    """Return one object."""
    kind = kind_asked(call)
    return Answer(body=single(call, kind, outward(kind, find(call, kind))))


def _key(call: Call) -> str:
    return cluster_id(call).lower()


def find(call: Call, kind: Kind) -> Json:
    """Return the object that the path names.

    Raises:
        Refusal: 404.
    """
    found = _present(call, kind)
    if found is None:
        raise _not_found(kind, call.params["name"])
    return found


def _present(call: Call, kind: Kind) -> Json | None:
    name, namespace = call.params["name"], call.params.get("namespace", "")
    return call.state.object(_key(call), kind.plural, namespace, name)


def _not_found(kind: Kind, name: str) -> Refusal:
    text = f'{kind.full_name} "{name}" not found'
    return kube_error(404, "NotFound", text, kind.details(name))


# writes


def create_object(call: Call) -> Answer:
    """Create an object; pods pass quota admission."""
    kind = kind_asked(call)
    return _create(call, kind, _body(call, kind))


def _create(call: Call, kind: Kind, given: Json) -> Answer:
    state = call.state
    name, namespace = given["metadata"]["name"], call.params.get("namespace", "")
    kept = {key: given["metadata"].get(key) for key in (*_WRITABLE, "generateName")}
    doc = given | {"metadata": inside.metadata(state, name, namespace, **kept)}
    if "status" in kind.subresources and kind.plural != "nodes":
        doc.pop("status", None)
    inside.receive(state, _key(call), kind, doc)
    if kind.plural == "namespaces":
        labels, annotations = kept.get("labels") or {}, kept.get("annotations") or {}
        doc = inside.create_namespace(state, _key(call), name, labels, annotations)
    _record(call, kind, {"metadata": {}}, doc, given)
    stored = state.put_object(_key(call), kind.plural, doc)
    return _written(call, kind, stored, status=201)


def _record(call: Call, kind: Kind, present: Json, doc: Json, given: Json) -> None:
    claimed = given["metadata"].get("managedFields")
    doc["metadata"] = apply.recorded(call, kind.store, kind.word, present, doc, claimed)


def _written(call: Call, kind: Kind, stored: Json, *, status: int = 200) -> Answer:
    """Return the stored object; under `dryRun=All` nothing of it stays."""
    namespace = call.params.get("namespace", "")
    if kind.plural == "resourcequotas":
        inside.miscount(call.state, _key(call), namespace, {})
    if kind.namespaced:
        inside.recount(call.state, _key(call), namespace, kind.full_name)
    name = call.params.get("name") or stored["metadata"]["name"]
    present = call.state.object(_key(call), kind.plural, namespace, name)
    body = present or stored
    if body["kind"] != "Status":
        body = single(call, kind, outward(kind, body))
    answer = Answer(status=status, body=body)
    if is_dry_run(call):
        raise Rollback(answer)
    return answer


def is_dry_run(call: Call) -> bool:
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
    return bodies.read(call, "v1", "DeleteOptions") if call.body.strip() else {}


def _check_preconditions(call: Call, kind: Kind, present: Json) -> None:
    """Refuse a delete that is meant for another object of this name, or another state of it."""
    _compare(call, kind, present, _options(call).get("preconditions") or {})


def _compare(call: Call, kind: Kind, present: Json, wanted: Json) -> None:
    for key, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        value, there = wanted.get(key), present["metadata"][key]
        if value is not None and value != there:
            name = present["metadata"]["name"]
            text = f'Operation cannot be fulfilled on {kind.full_name} "{name}": Precondition '
            text += f"failed: {word} in precondition: {value}, {word} in object meta: {there}"
            raise kube_error(409, "Conflict", text, kind.details(name))


def _body(call: Call, kind: Kind) -> Json:
    """Return the object in the body, named and in the form in which it is stored.

    Raises:
        Refusal: 400, 415 or 422.
    """
    doc = bodies.read(call, kind.version, kind.word)
    metadata = doc.setdefault("metadata", {})
    base = metadata.get("generateName")
    if not metadata.get("name") and base and isinstance(base, str) and call.method == "POST":
        metadata["name"] = base[:58] + suffix(call.state.next_number())
    _check_name(call, kind, metadata)
    return inward(kind, doc)


def _check_name(call: Call, kind: Kind, metadata: Json) -> None:
    name = metadata.get("name") or ""
    if name == "" and call.method == "POST":
        text = "metadata.name: Required value: name or generateName is required"
        raise kube_error(422, "Invalid", f'{kind.word} "" is invalid: {text}')
    if name != call.params.get("name", name):
        text = f"the name of the object ({name}) does not match the name on the URL "
        raise kube_error(400, "BadRequest", f"{text}({call.params['name']})")
    namespace = call.params.get("namespace", "")
    if (metadata.get("namespace") or namespace) != namespace:
        text = "the namespace of the provided object does not match the namespace sent on the "
        raise kube_error(400, "BadRequest", f"{text}request")


def delete_object(call: Call) -> Answer:
    """Remove an object, or begin to: pods, and what has finalizers, are marked and go later."""
    kind = kind_asked(call)
    present = find(call, kind)
    _check_preconditions(call, kind, present)
    body = _removed(call, kind, present)
    return _written(call, kind, body)


def delete_collection(call: Call) -> Answer:
    """Remove what the selectors choose, and return it as a list."""
    kind = kind_asked(call)
    items, _ = _selected(call, kind)
    _options(call)
    for doc in items:
        _removed(call, kind, doc)
    answer = Answer(body=_list(call, kind, items))
    for namespace in {doc["metadata"].get("namespace", "") for doc in items}:
        if kind.namespaced:
            inside.recount(call.state, _key(call), namespace, kind.full_name)
    if is_dry_run(call):
        raise Rollback(answer)
    return answer


def _removed(call: Call, kind: Kind, present: Json) -> Json:
    """Remove an object and return what a delete of it answers.

    Raises:
        Refusal: 400 of the webhook; 403 for a namespace of the system.
    """
    name = present["metadata"]["name"]
    guard(kind.plural, present, None)
    if kind.plural == "namespaces" and name in ("default", "kube-system", "kube-public"):
        text = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
        raise kube_error(403, "Forbidden", text, kind.details(name))
    options = _options(call)
    policy = options.get("propagationPolicy") or call.query.get("propagationPolicy", "")
    if options.get("orphanDependents"):
        policy = "Orphan"
    grace = asked_grace({**call.query, **options})
    key = _key(call)
    if left := delete(call.state, key, kind.plural, present, policy=policy, grace=grace):
        return left
    if kind.plural == "pods":
        return present
    details = kind.details(name) | {"uid": present["metadata"]["uid"]}
    body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return body | {"details": details}


def asked_grace(options: Json) -> int | None:
    """Return the seconds that a delete's options give a pod to end in; None if they do not say."""
    asked = str(options.get("gracePeriodSeconds"))
    return int(asked) if re.fullmatch("[0-9]{1,9}", asked) else None


def replace_object(call: Call) -> Answer:
    """Replace an object, but for what the server alone writes of it."""
    kind = kind_asked(call)
    present = find(call, kind)
    wanted = _body(call, kind)
    if uid := wanted["metadata"].get("uid"):
        _compare(call, kind, present, {"uid": uid})
    return change(call, kind, present, wanted)


def patch_object(call: Call) -> Answer:
    """Change an object as the patch in the body says."""
    kind = kind_asked(call)
    applies = media(call) == apply.MEDIA
    present = _present(call, kind) if applies else find(call, kind)
    live = outward(kind, present) if present else {"metadata": {}}
    make = apply.configured if applies else patched
    wanted = make(call, live, kind.version, kind.word)
    _check_name(call, kind, wanted.setdefault("metadata", {}))
    if present is None:
        return _create(call, kind, inward(kind, wanted))
    return change(call, kind, present, inward(kind, wanted))


def check_version(kind: Kind, present: Json, wanted: Json) -> None:
    """Refuse a change that was made to another state of the object.

    Raises:
        Refusal: 409.
    """
    metadata = present["metadata"]
    version = wanted.get("metadata", {}).get("resourceVersion")
    if version and version != metadata["resourceVersion"]:
        text = f'Operation cannot be fulfilled on {kind.full_name} "{metadata["name"]}": '
        text += "the object has been modified; please apply your changes to the latest version"
        details = kind.details(metadata["name"])
        raise kube_error(409, "Conflict", f"{text} and try again", details)


def change(call: Call, kind: Kind, present: Json, wanted: Json, *, verb: str = "update") -> Answer:
    """Store an object as wanted; what only the server writes stays.

    Raises:
        Refusal: 409 for another resourceVersion than the present one; 400, 422.
    """
    metadata = present["metadata"]
    check_version(kind, present, wanted)
    kept = {key: value for key, value in metadata.items() if key not in _WRITABLE}
    given = {key: wanted["metadata"][key] for key in _WRITABLE if wanted["metadata"].get(key)}
    if kind.plural == "namespaces":
        labels = given.get("labels", {}) | {"kubernetes.io/metadata.name": metadata["name"]}
        given["labels"] = labels
        wanted = wanted | {"spec": present.get("spec", {})}
    changed = wanted | {"metadata": kept | given}
    if "status" in kind.subresources:
        changed.pop("status", None)
        changed |= {"status": present["status"]} if "status" in present else {}
    fill(kind.plural, changed, call.state.sequence, present)
    before = copy.deepcopy(present)  # a world leaves out what a server would have filled in
    fill(kind.plural, before, call.state.sequence, present)
    admit(call.state, _key(call), changed, before, verb=verb)
    _record(call, kind, before, changed, wanted)
    if changed != present:
        if kind.generation and changed.get("spec") != before.get("spec"):
            changed["metadata"]["generation"] = metadata.get("generation", 1) + 1
        changed = call.state.put_object(_key(call), kind.plural, changed)
    return _written(call, kind, changed)


_C = "/kubernetes/{subscription}/{group}/{cluster}"
_OBJECTS = (
    ("GET", "/{plural}", list_objects),
    ("POST", "/{plural}", create_object),
    ("DELETE", "/{plural}", delete_collection),
    ("GET", "/{plural}/{name}", get_object),
    ("PUT", "/{plural}/{name}", replace_object),
    ("PATCH", "/{plural}/{name}", patch_object),
    ("DELETE", "/{plural}/{name}", delete_object),
)
ROUTES = [
    route
    for prefix in ("/api/v1", "/apis/{api_group}/{version}")
    for place in (prefix, f"{prefix}/namespaces/{{namespace}}")
    for route in routes("kubernetes", _C + place, _OBJECTS)
]
