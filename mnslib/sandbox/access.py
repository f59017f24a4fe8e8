"""Who may do what: role assignments become decisions for ARM, Kubernetes and metrics.

Knows roles, scopes and principals, and the words of a refusal; no route and nothing of what a
request does. Rights of several assignments add up; `not...` lists subtract within their own role.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from mnslib.sandbox import directory
from mnslib.sandbox.lifecycle import ASSIGNMENT_TYPE
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Call, Json, Route, arm_error, kube_error, prometheus_error

MASTER = "masterclient"  # whom the admin kubeconfig signs in; member of system:masters
READ_METRICS = "microsoft.monitor/accounts/data/metrics/read"
READ_SUBSCRIPTION = "Microsoft.Resources/subscriptions/read"
# Source: kubeguard/guard, the authorizer of AKS
NO_ACCESS = (
    "User does not have access to the resource in Azure. Update role assignment to allow access."
)
_CLUSTER_DATA = "Microsoft.ContainerService/managedClusters/"
_WITHDRAWN_TYPE = "sandbox/withdrawnAssignments"
_KINDS = ("actions", "notActions", "dataActions", "notDataActions")
# What the index below is made of: resource types and settings; "world" counts resets.
_SOURCES = [ASSIGNMENT_TYPE.lower(), _WITHDRAWN_TYPE.lower()]
_SOURCES += ["directory", "identities", "subscriptions", "world"]

# Source: kubeguard/guard, getActionName
_DATA_VERBS = {"get": "read", "list": "read", "watch": "read"}
_DATA_VERBS |= {"create": "write", "update": "write", "patch": "write"}
_DATA_VERBS |= {"delete": "delete", "deletecollection": "delete"}
_DATA_VERBS |= {verb: f"{verb}/action" for verb in ("bind", "escalate", "use", "impersonate")}
# What "*" stands for in a review: every kind imitated here, and secrets, which roles tell apart.
_KNOWN = {"namespaces": "", "nodes": "", "pods": "", "resourcequotas": "", "secrets": ""}
_KNOWN |= {"networkpolicies": "networking.k8s.io"}
# Source: Kubernetes' default roles system:discovery and system:basic-user
_ANYBODYS = re.compile(
    r"GET /(version|api(/v1)?|apis(/[^/]+){0,2}|openapi/v[23])"
    r"|POST /apis/authorization\.k8s\.io/v1/selfsubject(access|rules)reviews"
)


@cache
def built_in_roles() -> dict[str, Json]:
    """Return name, description and rights of the built-in roles, by GUID (roles.yaml)."""
    import yaml

    roles: dict[str, Json] = yaml.safe_load(
        Path(__file__).with_name("roles.yaml").read_text("utf-8")
    )
    for role in roles.values():
        words = role.pop("clusterData", "").split()
        role["dataActions"] = role.get("dataActions", []) + [_CLUSTER_DATA + w for w in words]
    return roles


def permission(role: str) -> Json:
    """Return the four lists of a role."""
    return {kind: built_in_roles()[role].get(kind, []) for kind in _KINDS}


@cache
def _pattern(role: str, kind: str) -> re.Pattern[str]:
    words = built_in_roles()[role].get(kind, [])
    choices = "|".join(re.escape(word).replace(r"\*", ".*") for word in words)
    return re.compile(choices or r"(?!)", re.IGNORECASE)


@lru_cache(maxsize=65536)
def role_allows(role: str, action: str, *, data: bool = False) -> bool:
    """Return whether a role by itself allows an action (or data action); case does not matter."""
    given, taken = ("dataActions", "notDataActions") if data else ("actions", "notActions")
    allowed = _pattern(role, given).fullmatch(action)
    return bool(allowed) and not _pattern(role, taken).fullmatch(action)


@lru_cache(maxsize=65536)
def _chain(scope: str) -> tuple[str, ...]:
    """Return a scope and all above it, lower-case; "" is the root."""
    parts = scope.lower().rstrip("/").split("/")
    return tuple("/".join(parts[:count]) for count in range(1, len(parts) + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One role assignment as decisions need it; in seconds, `until` is when it was removed."""

    name: str
    role: str
    scope: str
    since: float
    until: float = math.inf


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


class Access:
    """Decides by the assignments of a state; builds its index anew when one was written."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._stamp: tuple[int, ...] = ()

    def _refresh(self) -> None:
        stamp = tuple(self._state.writes[source] for source in _SOURCES)
        if self._stamp == stamp:
            return
        self._stamp = stamp
        self._people: dict[str, Json] = self._state.meta("identities", {})
        self._principals: dict[str, list[str]] = {}
        subscriptions = self._state.meta("subscriptions", [])
        self.subscriptions = {one["subscriptionId"].lower() for one in subscriptions}
        self._at: dict[tuple[str, str], list[Grant]] = defaultdict(list)
        self._of: dict[str, list[Grant]] = defaultdict(list)
        for kind in (ASSIGNMENT_TYPE, _WITHDRAWN_TYPE):
            for doc in self._state.resources(kind):
                self._add(doc)

    def _add(self, doc: Json) -> None:
        of = doc["properties"]
        grant = Grant(
            name=doc["name"],
            role=of["roleDefinitionId"].rsplit("/", 1)[-1].lower(),
            scope=of["scope"].lower().rstrip("/"),
            since=datetime.fromisoformat(of["createdOn"]).timestamp(),
            until=doc.get("withdrawn", math.inf),
        )
        principal = of["principalId"].lower()
        self._at[principal, grant.scope].append(grant)
        self._of[principal].append(grant)

    def person(self, caller: str | None) -> tuple[str, str]:
        """Return object id and client id of a signed-in identity."""
        self._refresh()
        found = self._people.get(caller or "", {})
        return found.get("object_id", caller or ""), found.get("client_id", caller or "")

    def principals(self, object_id: str) -> list[str]:
        """Return an object's id and those of the groups it is in, through other groups too."""
        self._refresh()
        if object_id not in self._principals:
            groups = directory.groups_of(self._state, object_id)
            self._principals[object_id] = [object_id.lower(), *sorted(groups)]
        return self._principals[object_id]

    def _effective(self, grants: Iterable[Grant], *, data: bool) -> Iterator[Grant]:
        switches, now = self._state.switches, self._state.now()
        delay = switches.assignment_delay_seconds
        delay = switches.data_assignment_delay_seconds if data else delay
        return (one for one in grants if one.since + delay <= now < one.until + delay)

    def held(self, object_id: str, *scopes: str, data: bool = False) -> Iterator[Grant]:
        """Return what an object or its groups hold at these scopes or above, once each."""
        principals = self.principals(object_id)
        places = dict.fromkeys(place for scope in scopes for place in _chain(scope))
        for principal in principals:
            for place in places:
                if grants := self._at.get((principal, place)):
                    yield from self._effective(grants, data=data)

    def allows(
        self, caller: str | None, action: str, *scopes: str, data: bool = False
    ) -> Grant | None:
        """Return an assignment that lets an identity do this at any of the scopes, or None."""
        for grant in self.held(self.person(caller)[0], *scopes, data=data):
            if role_allows(grant.role, action, data=data):
                return grant
        return None

    def sees(self, caller: str | None, subscription: str) -> bool:
        """Return whether an identity holds anything at, above or below a subscription."""
        top = f"/subscriptions/{subscription.lower()}"
        mine = [g for one in self.principals(self.person(caller)[0]) for g in self._of.get(one, ())]
        found = self._effective(mine, data=False)
        return any(grant.scope == "" or f"{grant.scope}/".startswith(f"{top}/") for grant in found)

    def kubernetes(self, caller: str | None, cluster: Json, ask: Ask) -> Verdict:
        """Return what a cluster decides: by Azure's roles, or by itself where those are off."""
        if caller == MASTER:
            return Verdict(True, "")
        object_id, _ = self.person(caller)
        profile = cluster["properties"].get("aadProfile") or {}
        admins = {one.lower() for one in profile.get("adminGroupObjectIDs") or ()}
        for group in sorted(admins.intersection(self.principals(object_id))):
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
            grant = self.allows(caller, action, *scopes, data=True)
            if grant is None:
                return Verdict(False, NO_ACCESS)
        if grant is None:  # a verb that no data action stands for
            return Verdict(False, NO_ACCESS)
        name, role = (text.replace("-", "") for text in (grant.name, grant.role))
        text = f"Access allowed by Azure RBAC Role Assignment {name} of Role {role}"
        return Verdict(True, f"{text} to user {object_id}")


def of(state: State) -> Access:
    """Return the one index of a state."""
    if "access" not in state.derived:
        state.derived["access"] = Access(state)
    found: Access = state.derived["access"]
    return found


def withdraw(state: State, assignment: Json) -> None:
    """Remove a role assignment; it goes on counting for as long as the switches say."""
    now, switches = state.now(), state.switches
    delay = max(switches.assignment_delay_seconds, switches.data_assignment_delay_seconds)
    for old in state.resources(_WITHDRAWN_TYPE):
        if old["withdrawn"] + delay <= now:
            state.delete_resource(old["id"])
    state.delete_resource(assignment["id"])
    if delay:
        doc = assignment | {"id": f"/withdrawn/{state.new_guid()}", "type": _WITHDRAWN_TYPE}
        state.put_resource(doc | {"withdrawn": now})


def data_actions(ask: Ask) -> list[str]:
    """Return the data actions that a Kubernetes request needs, all of them."""
    verbs = ["read", "write", "delete"] if ask.verb == "*" else [_DATA_VERBS.get(ask.verb, "")]
    if (ask.resource, ask.subresource) == ("pods", "exec"):
        verbs = ["exec/action"]
    kinds = _KNOWN if ask.resource == "*" else {ask.resource: ask.group}
    if ask.group == "*" and ask.resource != "*":
        kinds = {ask.resource: _KNOWN.get(ask.resource, "")}
    return [
        f"{_CLUSTER_DATA}{f'{group}/' if group else ''}{resource}/{verb}"
        for resource, group in kinds.items()
        for verb in verbs
        if verb
    ]


def path_verdict(method: str, path: str) -> Verdict:
    """Return whether a path without a kind is anybody's."""
    verb = {"create": "POST"}.get(method.lower(), method.upper())
    return Verdict(bool(_ANYBODYS.fullmatch(f"{verb} {path}")), "")


# the step in the pipeline


def check(call: Call, route: Route) -> None:
    """Refuse a call that its caller's roles do not allow; what exists does not matter yet.

    Raises:
        Refusal: 403 in the form of the surface; 404 for a subscription that is not there.
    """
    if route.surface == "arm":
        _check_arm(call, route.action)
    elif route.surface == "kubernetes":
        _check_kubernetes(call)
    elif route.surface == "prometheus":
        _check_metrics(call)


def _check_arm(call: Call, action: str) -> None:
    known, parts = of(call.state), call.path.split("/")
    known.person(call.identity)
    if len(parts) > 2 and parts[1].lower() == "subscriptions":
        if parts[2].lower() not in known.subscriptions:
            text = f"The subscription '{parts[2]}' could not be found."
            raise arm_error(404, "SubscriptionNotFound", text)
        if action == READ_SUBSCRIPTION and known.sees(call.identity, parts[2]):
            return
    if action:
        require(call, action, _asked_scope(call.path))


def require(call: Call, action: str, scope: str) -> None:
    """Refuse a caller without this action at this scope.

    Raises:
        Refusal: 403 AuthorizationFailed.
    """
    known = of(call.state)
    if known.allows(call.identity, action, scope):
        return
    object_id, client = known.person(call.identity)
    text = f"The client '{client}' with object id '{object_id}' does not have authorization to "
    text += f"perform action '{action}' over scope '{scope or '/'}' or the scope is invalid. If "
    text += "access was recently granted, please refresh your credentials."
    raise arm_error(403, "AuthorizationFailed", text)


def visible(call: Call, docs: Iterable[Json]) -> list[Json]:
    """Return those resources that the caller may read: how Azure shortens lists."""
    known = of(call.state)
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


def _check_kubernetes(call: Call) -> None:
    """Discovery and reviews of oneself are anybody's; all else has a kind, or is refused."""
    cluster, user = cluster_of(call), of(call.state).person(call.identity)[0]
    if "plural" not in call.params:
        path = "/" + "/".join(call.path.split("/")[5:])
        if not path_verdict(call.method, path).allowed:
            text = f'forbidden: User "{user}" cannot {call.method.lower()} path "{path}"'
            raise kube_error(403, "Forbidden", text)
        return
    ask = _ask(call)
    verdict = of(call.state).kubernetes(call.identity, cluster, ask)
    if verdict.allowed:
        return
    resource = f"{ask.resource}.{ask.group}" if ask.group else ask.resource
    what = f'{resource} "{ask.name}"' if ask.name else resource
    where = f'in the namespace "{ask.namespace}"' if ask.namespace else "at the cluster scope"
    text = f'{what} is forbidden: User "{user}" cannot {ask.verb} resource "{ask.resource}" '
    text += f'in API group "{ask.group}" {where}'
    text += f": {verdict.reason}" if verdict.reason else ""
    details = {"name": ask.name, "group": ask.group, "kind": ask.resource}
    details = {key: value for key, value in details.items() if value}
    raise kube_error(403, "Forbidden", text, details)


def cluster_of(call: Call) -> Json:
    """Return the cluster that a Kubernetes path names.

    Raises:
        Refusal: 404; 401 where Entra ID does not sign anybody in.
    """
    p = call.params
    place = f"/subscriptions/{p['subscription']}/resourceGroups/{p['group']}/providers/"
    found = call.state.resource(f"{place}{_CLUSTER_DATA}{p['cluster']}")
    if found is None:
        raise kube_error(404, "NotFound", f"no cluster at {call.path}")
    if call.identity != MASTER and not found["properties"].get("aadProfile"):
        raise kube_error(401, "Unauthorized", "Unauthorized")
    return found


def _ask(call: Call) -> Ask:
    """Return verb, kind and place of a Kubernetes request, as its API server reads them."""
    p, parts = call.params, call.path.split("/")[5:]
    name, namespace = p.get("name", ""), p.get("namespace", "")
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch"}
    verbs |= {"GET": "get", "DELETE": "delete"} if name else {"DELETE": "deletecollection"}
    verb = verbs.get(call.method, "list")
    if verb == "list" and call.query.get("watch") in ("1", "true"):
        verb = "watch"
    if p["plural"] == "namespaces":
        namespace = name
    return Ask(verb, parts[1] if parts[0] == "apis" else "", p["plural"], "", namespace, name)


def _check_metrics(call: Call) -> None:
    """The workspace holds all clusters: the right at any subscription opens it."""
    known = of(call.state)
    known.person(call.identity)
    scopes = [f"/subscriptions/{one}" for one in sorted(known.subscriptions)]
    if known.allows(call.identity, READ_METRICS, *scopes, data=True):
        return
    text = f"User '{known.person(call.identity)[0]}' does not have access to perform any of the "
    text += f"following actions '{READ_METRICS}' on resource '{scopes[0]}'."
    raise prometheus_error(403, "Forbidden", text)


def attributes(of_review: Mapping[str, str]) -> Ask:
    """Return what a review's `resourceAttributes` ask."""
    names = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Ask(*(str(of_review.get(name, "")) for name in names))
