"""What a caller may do, asked by the caller: Kubernetes' self reviews."""

from __future__ import annotations

from mnslib.sandbox import access
from mnslib.sandbox.wire import Answer, Call, Json, kube_error, routes

_VERSION = "authorization.k8s.io/v1"
_MAGIC = b"k8s\x00"
# Numbers of the members in protobuf. Source: k8s.io/api/authorization/v1/generated.proto
_RESOURCE = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_MEMBERS = {
    1: ("resourceAttributes", dict(enumerate(_RESOURCE, start=1))),
    2: ("nonResourceAttributes", {1: "path", 2: "verb"}),
}


def review_access(call: Call) -> Answer:
    """Return whether the caller's cluster would allow a request, and why: `kubectl auth can-i`."""
    spec = _spec(call, "SelfSubjectAccessReview")
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(wanted, dict):
        ask = access.Ask(*(str(wanted.get(name, "")) for name in access.Ask._fields))
        verdict = access.kubernetes(call.state, call.identity, access.cluster_of(call), ask)
    elif isinstance(path, dict):
        verdict = access.path_verdict(str(path.get("verb", "")), str(path.get("path", "")))
    else:
        raise _bad("exactly one of nonResourceAttributes or resourceAttributes must be specified")
    status: Json = {"allowed": verdict.allowed}
    if verdict.reason:
        status["reason"] = verdict.reason
    return _review("SelfSubjectAccessReview", spec, status)


def review_rules(call: Call) -> Answer:
    """Return what can be listed: nothing of Azure's roles, which the authorizer cannot tell."""
    spec = _spec(call, "SelfSubjectRulesReview")
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    rule = {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": reviews}
    paths = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version"]
    status = {
        "resourceRules": [rule],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": paths}],
        "incomplete": True,
        "evaluationError": "webhook authorizer does not support user rule resolution",
    }
    return _review("SelfSubjectRulesReview", spec, status)


def _spec(call: Call, kind: str) -> Json:
    if call.body.startswith(_MAGIC):
        return _from_protobuf(call.body, kind)
    try:
        body = call.json()
    except ValueError:
        raise _bad("the body is neither JSON nor protobuf") from None
    spec = body.get("spec") if isinstance(body, dict) else None
    if not isinstance(spec, dict) or body.get("kind", kind) != kind:
        raise _bad(f"the body must be a {kind}")
    return spec


def _from_protobuf(body: bytes, kind: str) -> Json:
    """Return the spec of a review as kubectl sends it, in protobuf whatever it is offered."""
    try:
        spec = _fields(_fields(_fields(body[len(_MAGIC) :])[2])[2])
        if kind == "SelfSubjectRulesReview":
            return {"namespace": spec.get(1, b"").decode()}
        found: Json = {}
        for number, (name, members) in _MEMBERS.items():
            if number in spec:
                values = _fields(spec[number])
                found[name] = {m: values[n].decode() for n, m in members.items() if n in values}
    except (IndexError, KeyError, ValueError):
        raise _bad("the protobuf body is no review") from None
    return found


def _fields(data: bytes) -> dict[int, bytes]:
    """Return the length-delimited members of a protobuf message by number.

    Raises:
        IndexError: at a sudden end.
    """
    found, at = {}, 0
    while at < len(data):
        key, at = _varint(data, at)
        size, at = _varint(data, at)
        if key & 7 == 2:
            found[key >> 3] = data[at : at + size]
            at += size
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 128:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


def _bad(text: str) -> Exception:
    return kube_error(400, "BadRequest", text)


def _review(kind: str, spec: Json, status: Json) -> Answer:
    body = {"kind": kind, "apiVersion": _VERSION, "metadata": {}, "spec": spec, "status": status}
    return Answer(status=201, body=body)


_PREFIX = f"/kubernetes/{{subscription}}/{{group}}/{{cluster}}/apis/{_VERSION}/"
_TABLE = (
    ("POST", "selfsubjectaccessreviews", review_access),
    ("POST", "selfsubjectrulesreviews", review_rules),
)
ROUTES = routes("kubernetes", _PREFIX, _TABLE)
