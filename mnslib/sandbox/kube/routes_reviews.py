"""What a caller may do, asked by the caller: Kubernetes' self reviews."""

from __future__ import annotations

from mnslib.sandbox import access
from mnslib.sandbox.kube import bodies
from mnslib.sandbox.wire import Answer, Call, Json, kube_error, routes

_VERSION = "authorization.k8s.io/v1"


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
    if not spec.get("namespace"):
        raise _bad("no namespace on request")
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
    spec: Json = bodies.read(call, _VERSION, kind).get("spec", {})
    return spec


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
