"""What a caller may do, asked by the caller: Kubernetes' self reviews."""

from __future__ import annotations

from mnslib.sandbox import access, grants
from mnslib.sandbox.kube import bodies
from mnslib.sandbox.offers import packaged
from mnslib.sandbox.tokens import MASTER
from mnslib.sandbox.wire import Answer, Call, Json, kube_error, routes

_VERSION = "authorization.k8s.io/v1"
_REVIEWS = ("SelfSubjectAccessReview", "LocalSubjectAccessReview", "SubjectAccessReview")


def review_access(call: Call) -> Answer:
    """Return whether the cluster would allow a request, and why: `kubectl auth can-i`.

    Asked for oneself, or (by those who may) for the `user` of the review, by object id.
    """
    kind = next(word for word in _REVIEWS if call.path.endswith(f"/{word.lower()}s"))
    spec = _spec(call, kind)
    who = call.identity if kind.startswith("Self") else str(spec.get("user", ""))
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(wanted, dict):
        ask = access.Ask(*(str(wanted.get(name, "")) for name in access.Ask._fields))
    elif isinstance(path, dict):
        ask = access.of_path(str(path.get("verb", "")), str(path.get("path", "")))
    else:
        raise _bad("exactly one of nonResourceAttributes or resourceAttributes must be specified")
    if isinstance(path, dict) and access.is_anybodys(ask.verb, str(path.get("path", ""))):
        verdict = access.Verdict(True, "")
    else:
        verdict = access.kubernetes(call.state, who, access.cluster_of(call), ask)
    status: Json = {"allowed": verdict.allowed}
    if verdict.reason:
        status["reason"] = verdict.reason
    return _review(kind, spec, status)


def review_rules(call: Call) -> Answer:
    """Return what can be listed: nothing of Azure's roles, which the authorizer cannot tell."""
    spec = _spec(call, "SelfSubjectRulesReview")
    if not spec.get("namespace"):
        raise _bad("no namespace on request")
    listed: Json = packaged("kube/reviews.yaml")
    status = dict(listed["everybody"])
    if call.identity == MASTER:
        status["resourceRules"] = listed["admins"]["resourceRules"] + status["resourceRules"]
        status["nonResourceRules"] = (
            listed["admins"]["nonResourceRules"] + status["nonResourceRules"]
        )
        status |= {"incomplete": False}
    else:
        status["evaluationError"] = "webhook authorizer does not support user rule resolution"
    return _review("SelfSubjectRulesReview", spec, status)


def review_self(call: Call) -> Answer:
    """Return who the cluster takes the caller for: `kubectl auth whoami`; the body says nothing."""
    access.cluster_of(call)
    known = grants.of(call.state)
    object_id = known.person(call.identity)[0]
    if call.identity == MASTER:
        user: Json = {"username": MASTER, "groups": ["system:masters", "system:authenticated"]}
    else:
        groups = [*known.principals(object_id)[1:], "system:authenticated"]
        user = {"username": object_id, "groups": groups, "extra": {"oid": [object_id]}}
    body = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}}
    return Answer(status=201, body=body | {"status": {"userInfo": user}})


def _spec(call: Call, kind: str) -> Json:
    spec: Json = bodies.read(call, _VERSION, kind).get("spec", {})
    return spec


def _bad(text: str) -> Exception:
    return kube_error(400, "BadRequest", text)


def _review(kind: str, spec: Json, status: Json) -> Answer:
    body = {"kind": kind, "apiVersion": _VERSION, "metadata": {}, "spec": spec, "status": status}
    return Answer(status=201, body=body)


_PREFIX = "/kubernetes/{subscription}/{group}/{cluster}/apis/"
_TABLE = (
    ("POST", f"{_VERSION}/selfsubjectaccessreviews", review_access),
    ("POST", f"{_VERSION}/selfsubjectrulesreviews", review_rules),
    ("POST", f"{_VERSION}/subjectaccessreviews", review_access),
    ("POST", f"{_VERSION}/namespaces/{{namespace}}/localsubjectaccessreviews", review_access),
    ("POST", "authentication.k8s.io/v1/selfsubjectreviews", review_self),
)
ROUTES = routes("kubernetes", _PREFIX, _TABLE)
