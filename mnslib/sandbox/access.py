"""Who may do what: role assignments become decisions for ARM, Kubernetes and metrics.

Knows what a request asks of Azure's roles, and the words of a refusal; no route and nothing of
what a request does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mnslib.sandbox import grants
from mnslib.sandbox.kube.kinds import served
from mnslib.sandbox.resources import cluster_id
from mnslib.sandbox.roles import CLUSTER_DATA
from mnslib.sandbox.state import State
from mnslib.sandbox.tokens import MASTER
from mnslib.sandbox.wire import Call, Hangup, Json, Route, arm_error, kube_error, prometheus_error

READ_METRICS = "microsoft.monitor/accounts/data/metrics/read"
READ_OF_RESOURCE = "Microsoft.Insights/metrics/read"  # which Reader and Monitoring Reader hold
_SCOPING = re.compile(
    r"(?P<id>/subscriptions/[^/]+(/resourcegroups/[^/]+(/providers/microsoft\.containerservice"
    r"/managedclusters/[^/]+)?)?)(/(managed)?namespaces/(?P<namespace>[^/]+))?"
)
READ_SUBSCRIPTION = "Microsoft.Resources/subscriptions/read"
# Source: kubeguard/guard, the authorizer of AKS
NO_ACCESS = (
    "User does not have access to the resource in Azure. Update role assignment to allow access."
)

# Source: kubeguard/guard, getActionName
_DATA_VERBS = {"get": "read", "list": "read", "watch": "read"}
_DATA_VERBS |= {"create": "write", "update": "write", "patch": "write"}
_DATA_VERBS |= {"delete": "delete", "deletecollection": "delete"}
_DATA_VERBS |= {verb: f"{verb}/action" for verb in ("bind", "escalate", "use", "impersonate")}
# Source: Kubernetes' default roles system:discovery, system:public-info-viewer, system:basic-user
_ANYBODYS = re.compile(
    r"GET /(version|(health|live|ready)z|api(/v1)?|apis(/[^/]+){0,2}|openapi(/.*)?)"
    r"|POST /apis/authorization\.k8s\.io/v1/selfsubject(access|rules)reviews"
    r"|POST /apis/authentication\.k8s\.io/v1/selfsubjectreviews"
)


class Ask(NamedTuple):
    """What somebody wants of a cluster; `namespace` is empty for the whole cluster."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str


class Verdict(NamedTuple):
    """A decision of a cluster with the reason that a review shows."""

    allowed: bool
    reason: str


def kubernetes(state: State, caller: str | None, cluster: Json, ask: Ask) -> Verdict:
    """Return what a cluster decides: by Azure's roles, or by itself where those are off."""
    if caller == MASTER:
        return Verdict(True, "")
    known = grants.of(state)
    object_id, _ = known.person(caller)
    profile = cluster["properties"].get("aadProfile") or {}
    admins = {one.lower() for one in profile.get("adminGroupObjectIDs") or ()}
    for group in sorted(admins.intersection(known.principals(object_id))):
        binding = 'ClusterRoleBinding "aks-cluster-admin-binding-aad" of ClusterRole '
        return Verdict(True, f'RBAC: allowed by {binding}"cluster-admin" to Group "{group}"')
    if not profile.get("enableAzureRBAC"):
        return Verdict(False, "")
    scopes = [cluster["id"]]
    if ask.namespace:
        forms = ("managedNamespaces", "namespaces")
        scopes = [f"{cluster['id']}/{form}/{ask.namespace}" for form in forms]
    grant = None
    for action in data_actions(ask):
        grant = known.allows(caller, action, *scopes, data=True)
        if grant is None:
            return Verdict(False, NO_ACCESS)
    if grant is None:  # a verb that no data action stands for
        return Verdict(False, NO_ACCESS)
    name, role = (text.replace("-", "") for text in (grant.name, grant.role))
    text = f"Access allowed by Azure RBAC Role Assignment {name} of Role {role}"
    return Verdict(True, f"{text} to user {object_id}")


def data_actions(ask: Ask) -> list[str]:
    """Return the data actions that a Kubernetes request needs, all of them."""
    verbs = ["read", "write", "delete"] if ask.verb == "*" else [_DATA_VERBS.get(ask.verb, "")]
    if (ask.resource, ask.subresource) == ("pods", "exec"):
        verbs = ["exec/action"]
    kinds = {(ask.group, ask.resource)}
    if "*" in (ask.group, ask.resource):
        known = {(kind.group, plural) for of in served().values() for plural, kind in of.items()}
        groups = {group for group, _ in known} if ask.group in ("", "*") else {ask.group}
        kinds = {one for one in known if one[0] in groups and ask.resource in ("*", one[1])}
    return [
        f"{CLUSTER_DATA}{f'{group}/' if group else ''}{resource}/{verb}"
        for group, resource in sorted(kinds)
        for verb in verbs
        if verb
    ]


def is_anybodys(verb: str, path: str) -> bool:
    """Return whether every token may do this to a path: discovery, health, reviews of oneself."""
    method = {"create": "POST"}.get(verb.lower(), verb.upper())
    return bool(_ANYBODYS.fullmatch(f"{method} {path}"))


def of_path(verb: str, path: str) -> Ask:
    """Return what a path without a kind is asked for; guard makes an action of the path itself."""
    return Ask(verb.lower(), "", path.strip("/"), "", "", "")


# the step in the pipeline


def check(call: Call, route: Route) -> None:
    """Refuse a call that its caller's roles do not allow; what exists does not matter yet.

    Raises:
        Refusal: 403 in the form of the surface; 404 for a subscription that is not there.
    """
    if route.surface == "arm":
        _check_arm(call, route.action)
    elif route.surface == "kubernetes" and not route.open:
        check_kubernetes(call)
    elif route.surface == "prometheus":
        _check_metrics(call)


def _check_arm(call: Call, action: str) -> None:
    known, parts = grants.of(call.state), call.path.split("/")
    known.person(call.identity)
    if len(parts) > 2 and parts[1].lower() == "subscriptions":
        if parts[2].lower() not in known.subscriptions:
            text = f"The subscription '{parts[2]}' could not be found."
            raise arm_error(404, "SubscriptionNotFound", text)
        if action == READ_SUBSCRIPTION and known.sees(call.identity, parts[2]):
            return
    if action:
        require(call, action.format_map(call.params), _asked_scope(call.path))


def require(call: Call, action: str, scope: str) -> None:
    """Refuse a caller without this action at this scope.

    Raises:
        Refusal: 403 AuthorizationFailed.
    """
    known = grants.of(call.state)
    if known.allows(call.identity, action, scope):
        return
    object_id, client = known.person(call.identity)
    text = f"The client '{client}' with object id '{object_id}' does not have authorization to "
    text += f"perform action '{action}' over scope '{scope or '/'}' or the scope is invalid. If "
    text += "access was recently granted, please refresh your credentials."
    raise arm_error(403, "AuthorizationFailed", text)


def visible(call: Call, docs: Iterable[Json]) -> list[Json]:
    """Return those resources that the caller may read: how Azure shortens lists."""
    known = grants.of(call.state)
    return [doc for doc in docs if known.allows(call.identity, f"{doc['type']}/read", doc["id"])]


def _asked_scope(path: str) -> str:
    """Return the resource that a path names, without the list or action at its end."""
    parts = path.split("/")[1:]
    marks = [index for index, part in enumerate(parts) if part.lower() == "providers"]
    start = marks[-1] if marks else len(parts)
    if not marks:
        parts = parts[: len(parts) // 2 * 2]
    elif len(parts) - start > 3:
        parts = parts[: start + 2 + (len(parts) - start - 2) // 2 * 2]
    else:
        parts = parts[:start]
    return "".join(f"/{part}" for part in parts)


def check_kubernetes(call: Call) -> None:
    """Refuse what a cluster would; discovery and reviews of oneself are anybody's.

    Raises:
        Refusal: 403, whatever the path names or does not.
    """
    cluster, user = cluster_of(call), grants.of(call.state).person(call.identity)[0]
    path = "/" + "/".join(call.path.split("/")[5:])
    if is_anybodys(call.method, path):
        return
    named = _ask(call)
    ask = named or of_path(call.method, path)
    verdict = kubernetes(call.state, call.identity, cluster, ask)
    if verdict.allowed:
        return
    because = f": {verdict.reason}" if verdict.reason else ""
    if named is None:
        text = f'forbidden: User "{user}" cannot {ask.verb} path "{path}"{because}'
        raise kube_error(403, "Forbidden", text)
    resource = f"{ask.resource}.{ask.group}" if ask.group else ask.resource
    what = f'{resource} "{ask.name}"' if ask.name else resource
    where = f'in the namespace "{ask.namespace}"' if ask.namespace else "at the cluster scope"
    asked = f"{ask.resource}/{ask.subresource}" if ask.subresource else ask.resource
    text = f'{what} is forbidden: User "{user}" cannot {ask.verb} resource "{asked}" '
    text += f'in API group "{ask.group}" {where}{because}'
    details = {"name": ask.name, "group": ask.group, "kind": ask.resource}
    details = {key: value for key, value in details.items() if value}
    raise kube_error(403, "Forbidden", text, details)


def cluster_of(call: Call) -> Json:
    """Return the cluster that a Kubernetes path names.

    Raises:
        Refusal: 404; 401 where Entra ID does not sign anybody in.
        Hangup: while the cluster is stopped.
    """
    found = call.state.resource(cluster_id(call))
    if found is None:
        raise kube_error(404, "NotFound", f"no cluster at {call.path}")
    if found["properties"]["powerState"]["code"] != "Running":
        raise Hangup
    if call.identity != MASTER and not found["properties"].get("aadProfile"):
        raise kube_error(401, "Unauthorized", "Unauthorized")
    return found


def _ask(call: Call) -> Ask | None:
    """Return verb, kind and place of a Kubernetes request; None if its path names no kind.

    Source: apiserver, pkg/endpoints/request/requestinfo.go.
    """
    prefix, *rest = call.path.split("/")[5:] or [""]
    group = rest.pop(0) if prefix == "apis" and rest else ""
    version, *rest = rest or [""]
    if prefix not in ("api", "apis") or not version or not rest:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch"}
    verbs |= {"GET": "get", "DELETE": "delete"} if name else {"DELETE": "deletecollection"}
    verb = verbs.get(call.method, "list")
    if not name and verb in ("list", "deletecollection"):
        chosen = re.search(r"(?:^|,)metadata\.name==?([^,]+)", call.query.get("fieldSelector", ""))
        name = chosen[1] if chosen else ""
    if verb == "list" and wants_watch(call):
        verb = "watch"
    return Ask(verb, group, resource, subresource, namespace, name)


def wants_watch(call: Call) -> bool:
    """Return whether a list is to be watched: as the API server reads it, all but 0 and false."""
    return call.query.get("watch", "0").lower() not in ("0", "false")


def metrics_scope(call: Call) -> tuple[str, str]:
    """Return what `x-ms-azure-scoping` bounds a query to: an id's beginning, and a namespace.

    Raises:
        Refusal: 400 if it is no id of a subscription, group, cluster or namespace of one.
    """
    given = call.headers.get("x-ms-azure-scoping", "").strip().rstrip("/").lower()
    if not given:
        return "", ""
    found = _SCOPING.fullmatch(given)
    if not found or (found["namespace"] and "/managedclusters/" not in found["id"]):
        text = "The value of the header x-ms-azure-scoping is no id of a resource that is scoped."
        raise prometheus_error(400, "BadArgumentError", text)
    return found["id"], found["namespace"] or ""


def _check_metrics(call: Call) -> None:
    """The workspace holds all clusters: the right at any subscription opens it.

    A query that is scoped to a resource needs to read that alone.
    """
    known = grants.of(call.state)
    known.person(call.identity)
    scope, namespace = metrics_scope(call)
    if scope:
        kinds = ("managedNamespaces", "namespaces")
        asked = [f"{scope}/{kind}/{namespace}" for kind in kinds] if namespace else [scope]
        if known.allows(call.identity, READ_OF_RESOURCE, *asked):
            return
        text = f"The caller has insufficient access to read the metrics of {asked[-1]}."
        raise prometheus_error(403, "InsufficientAccessError", text)
    scopes = [f"/subscriptions/{one}" for one in sorted(known.subscriptions)]
    if known.allows(call.identity, READ_METRICS, *scopes, data=True):
        return
    text = f"User '{known.person(call.identity)[0]}' does not have access to perform any of the "
    text += f"following actions '{READ_METRICS}' on resource '{scopes[0]}'."
    raise prometheus_error(403, "Forbidden", text)
