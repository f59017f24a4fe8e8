"""Who may do what: roles against requests, scopes, groups, delays, lists; and every route."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mnslib.sandbox import access, grants
from mnslib.sandbox.app import ROUTES, Sandbox
from mnslib.sandbox.roles import built_in_roles, role_allows
from mnslib.sandbox.server import open_state
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Answer, Call, Refusal, Route
from tests.sandbox.client import AKS_SERVER_ID, PROD, PROMETHEUS, Client, cluster_id, namespace_id

WEU, NEU = "aks-prod-weu-1", "aks-prod-neu-1"
ROLES = {role["name"]: guid for guid, role in built_in_roles().items()}
AKS = "Azure Kubernetes Service"
GROUP = "00000000-0000-4000-9000-000000000008"  # holds grp-identity, which holds namespace_user
ORIGIN = "https://127.0.0.1:1"
NOBODY = "00000000-0000-4000-b100-00000000dead"
PODS = "/api/v1/namespaces/payments-api/pods"
DENIED = "User does not have access to the resource in Azure. Update role assignment to allow"
ARM = "Microsoft.ContainerService/managedClusters"
NAMESPACES = f"{ARM}/managedNamespaces"
ASSIGN = "Microsoft.Authorization/roleAssignments"


# roles alone: (what, is it data) against who has it


@pytest.mark.parametrize(
    ("action", "roles"),
    [
        (
            f"{NAMESPACES}/read",
            "Namespace Contributor|Namespace User|Contributor Role|*O|*C|*R|*U|*A",
        ),
        (f"{NAMESPACES}/write", "Namespace Contributor|Contributor Role|*O|*C"),
        (f"{NAMESPACES}/delete", "Namespace Contributor|Contributor Role|*O|*C"),
        (
            f"{NAMESPACES}/listCredential/action",
            "Namespace Contributor|Namespace User|Contributor Role|*O|*C",
        ),
        (
            f"{ARM}/read",
            "Cluster User Role|Cluster Admin Role|Cluster Monitoring User|Contributor Role"
            "|*O|*C|*R|*U|*A",
        ),
        (f"{ARM}/write", "Contributor Role|*O|*C"),
        (
            f"{ARM}/listClusterUserCredential/action",
            "RBAC Admin|RBAC Cluster Admin|Cluster User Role|Contributor Role|*O|*C",
        ),
        (f"{ARM}/listClusterAdminCredential/action", "Cluster Admin Role|Contributor Role|*O|*C"),
        (f"{ASSIGN}/write", "*O|*U|*A"),
        (f"{ASSIGN}/delete", "*O|*U|*A"),
        (
            f"{ASSIGN}/read",
            "Namespace Contributor|RBAC Reader|RBAC Writer|RBAC Admin|RBAC Cluster Admin"
            "|Contributor Role|*O|*C|*R|*U|*A",
        ),
    ],
)
def test_arm_actions_by_role(action: str, roles: str) -> None:
    short = {"*O": "Owner", "*C": "Contributor", "*R": "Reader"}
    short |= {"*U": "User Access Administrator", "*A": "Role Based Access Control Administrator"}
    expected = {short.get(name, f"{AKS} {name}") for name in roles.split("|")}
    found = {n for n, guid in ROLES.items() if role_allows(guid, action.upper())}
    assert found == expected


@pytest.mark.parametrize(
    ("verb", "group", "plural", "roles"),
    [
        ("list", "", "pods", "Reader Writer Admin Cluster"),
        ("create", "", "pods", "Writer Admin Cluster"),
        ("deletecollection", "", "pods", "Writer Admin Cluster"),
        ("get", "", "namespaces", "Reader Writer Admin Cluster"),
        ("patch", "", "namespaces", "Cluster"),
        ("delete", "", "namespaces", "Cluster"),
        ("list", "", "nodes", "Admin Cluster"),
        ("watch", "", "resourcequotas", "Reader Writer Admin Cluster"),
        ("update", "", "resourcequotas", "Cluster"),
        ("get", "", "secrets", "Writer Admin Cluster"),
        ("list", "networking.k8s.io", "networkpolicies", "Reader Writer Admin Cluster"),
        ("update", "networking.k8s.io", "networkpolicies", "Writer Admin Cluster"),
        ("list", "rbac.authorization.k8s.io", "roles", "Admin Cluster"),
        ("*", "*", "*", "Cluster"),
        ("dance", "", "pods", ""),
    ],
)
def test_data_actions_by_role(verb: str, group: str, plural: str, roles: str) -> None:
    actions = access.data_actions(access.Ask(verb, group, plural, "", "", ""))
    found = {
        name
        for name, guid in ROLES.items()
        if actions and all(role_allows(guid, one, data=True) for one in actions)
    }
    full = {"Cluster": "RBAC Cluster Admin"} | {n: f"RBAC {n}" for n in ("Reader", "Writer")}
    assert found == {f"{AKS} {full.get(one, f'RBAC {one}')}" for one in roles.split()}


# assignments


def statuses(client: Client) -> list[int]:
    """Return how ARM and the cluster answer to reads of one namespace and of its cluster."""
    return [
        client.arm("GET", namespace_id("payments-api")).status_code,
        client.arm("GET", cluster_id()).status_code,
        client.kube(WEU, "GET", PODS).status_code,
        client.kube(WEU, "GET", "/api/v1/pods").status_code,
    ]


@pytest.mark.parametrize(
    ("scope", "role", "expected"),
    [
        (f"/subscriptions/{PROD}", "Reader", [200, 200, 403, 403]),
        (f"/subscriptions/{PROD}/resourceGroups/RG-platform", "Reader", [200, 200, 403, 403]),
        (cluster_id(), "Reader", [200, 200, 403, 403]),
        (namespace_id("payments-api"), "Reader", [200, 403, 403, 403]),
        (namespace_id("payments-api"), f"{AKS} Namespace User", [200, 403, 403, 403]),
        (namespace_id("payments-api"), f"{AKS} RBAC Reader", [403, 403, 200, 403]),
        (f"{cluster_id()}/namespaces/payments-api", f"{AKS} RBAC Reader", [403, 403, 200, 403]),
        (cluster_id(), f"{AKS} RBAC Reader", [403, 403, 200, 200]),
        (namespace_id("payments-ledger"), f"{AKS} RBAC Cluster Admin", [403] * 4),
        (cluster_id("aks-prod-weu-2"), "Owner", [403] * 4),
        (cluster_id(), "Owner", [200, 200, 403, 403]),
    ],
)
def test_a_right_counts_at_its_scope_and_below(
    sandbox: Client, scope: str, role: str, expected: list[int]
) -> None:
    user = sandbox.another("namespace_user")
    assert statuses(user) == [403] * 4
    assert sandbox.grant(scope, ROLES[role]).status_code == 201
    assert statuses(user) == expected
    user.session.close()


def test_rights_of_two_assignments_add_up(sandbox: Client) -> None:
    """Contributor may not assign roles, but what one role leaves out another one gives."""
    contributor = sandbox.another("contributor")
    writer = ROLES[f"{AKS} RBAC Writer"]
    assert contributor.grant(cluster_id(), writer).status_code == 403
    sandbox.grant(cluster_id(), ROLES["Role Based Access Control Administrator"], "contributor")
    assert contributor.grant(cluster_id(), writer).status_code == 201
    contributor.session.close()


def test_groups_in_groups_pass_their_rights_on(sandbox: Client) -> None:
    user = sandbox.another("namespace_user")
    reader = ROLES[f"{AKS} RBAC Reader"]
    answer = sandbox.grant(namespace_id("payments-api"), reader, GROUP, principalType="Group")
    assert answer.status_code == 201
    assert statuses(user) == [403, 403, 200, 403]
    path = f"{cluster_id()}/providers/Microsoft.Authorization/roleAssignments"
    me = sandbox.connection["identities"]["namespace_user"]["object_id"]
    for name, count in (("principalId eq '{}'", 0), ("assignedTo('{}')", 1)):
        query = {"$filter": name.format(me)}
        found = sandbox.arm("GET", path, version="2022-04-01", params=query).json()["value"]
        assert len(found) == count
    user.session.close()


def test_a_right_at_the_root_counts_everywhere(state: State) -> None:
    grant = {"principalId": NOBODY, "principalType": "User", "scope": "/"}
    role = f"/providers/Microsoft.Authorization/roleDefinitions/{ROLES['Reader']}"
    known = grants.of(state)
    assert not known.sees(NOBODY, PROD)
    stored = {"roleDefinitionId": role, "createdOn": "2020-01-01T00:00:00.0000000Z"} | grant
    doc = {"id": f"/providers/{ASSIGN}/x", "name": "x", "type": ASSIGN, "properties": stored}
    state.put_resource(doc)
    assert known.sees(NOBODY, PROD)
    assert known.allows(NOBODY, f"{ARM}/read", cluster_id())
    assert not known.allows(NOBODY, f"{ARM}/write", cluster_id())


def test_assignments_taken_back_or_cleared_away_count_no_more() -> None:
    """A right is lost with its document: by rollback, by deletion of what it is on, by reset."""
    state = open_state(":memory:", world="default", latency="fast")
    known, action = grants.of(state), f"{ARM}/write"
    properties = {"principalId": NOBODY, "scope": cluster_id(), "createdOn": "2020-01-01T00:00:00Z"}
    properties["roleDefinitionId"] = next(
        g for g, r in built_in_roles().items() if r["name"] == "Owner"
    )
    doc = {"id": f"{cluster_id()}/providers/{ASSIGN}/x", "name": "x", "type": ASSIGN}
    doc["properties"] = properties
    before = known.taken(cluster_id())
    with contextlib.suppress(KeyError), state.transaction():
        state.put_resource(doc)
        assert known.allows(NOBODY, action, cluster_id())
        raise KeyError
    assert not known.allows(NOBODY, action, cluster_id())
    state.put_resource(doc)
    with contextlib.suppress(KeyError), state.transaction():
        state.delete_with_content(cluster_id())
        assert not known.allows(NOBODY, action, cluster_id())
        raise KeyError
    assert known.allows(NOBODY, action, cluster_id())
    assert (known.taken(cluster_id()), known.named("x")) == (before + 1, doc)
    state.clear_world()
    assert not known.allows(NOBODY, action, cluster_id())
    assert (known.taken(cluster_id()), known.named("x")) == (0, None)


def test_a_withdrawn_right_lasts_as_long_as_a_new_one_takes(sandbox: Client) -> None:
    user = sandbox.another("namespace_user")
    made = sandbox.grant(namespace_id("payments-api"), ROLES[f"{AKS} RBAC Reader"])
    sandbox.switch(data_assignment_delay_seconds=300)
    seen = [user.kube(WEU, "GET", PODS).status_code]
    sandbox.finish(301)
    seen.append(user.kube(WEU, "GET", PODS).status_code)
    sandbox.arm("DELETE", made.json()["id"], version="2022-04-01")
    seen.append(user.kube(WEU, "GET", PODS).status_code)
    sandbox.finish(301)
    seen.append(user.kube(WEU, "GET", PODS).status_code)
    assert seen == [403, 200, 200, 403]
    user.session.close()


def test_what_was_rolled_back_grants_nothing(state: State) -> None:
    known, me = grants.of(state), state.meta("identities")["reader"]["object_id"]
    before = len(list(known.held(me, cluster_id())))

    def withdraw_all() -> None:
        with state.transaction():
            for doc in state.resources(ASSIGN):
                grants.withdraw(state, doc)
            assert not list(known.held(me, cluster_id()))
            raise Refusal(Answer())

    with pytest.raises(Refusal):
        withdraw_all()
    assert len(list(known.held(me, cluster_id()))) == before > 0


# texts


def test_arm_refuses_in_azures_words_and_before_it_says_what_exists(sandbox: Client) -> None:
    user = sandbox.another("namespace_user")
    who = sandbox.connection["identities"]["namespace_user"]
    for name in ("payments-api", "not-there"):
        answer = user.arm("PUT", namespace_id(name), {})
        assert answer.status_code == 403
        assert answer.json()["error"] == {
            "code": "AuthorizationFailed",
            "message": f"The client '{who['client_id']}' with object id '{who['object_id']}' does "
            f"not have authorization to perform action '{NAMESPACES}/write' over scope "
            f"'{namespace_id(name)}' or the scope is invalid. If access was recently granted, "
            "please refresh your credentials.",
        }
    user.session.close()


@pytest.mark.parametrize(
    ("cluster", "path", "what"),
    [
        (
            WEU,
            "/api/v1/namespaces",
            'namespaces is forbidden: User "{}" cannot list resource '
            '"namespaces" in API group "" at the cluster scope: ',
        ),
        (
            WEU,
            f"{PODS}/x",
            'pods "x" is forbidden: User "{}" cannot get resource "pods" in API '
            'group "" in the namespace "payments-api": ',
        ),
        (
            WEU,
            "/apis/networking.k8s.io/v1/networkpolicies",
            "networkpolicies.networking.k8s.io is "
            'forbidden: User "{}" cannot list resource "networkpolicies" in API group '
            '"networking.k8s.io" at the cluster scope: ',
        ),
        (
            NEU,
            "/api/v1/namespaces",
            'namespaces is forbidden: User "{}" cannot list resource '
            '"namespaces" in API group "" at the cluster scope',
        ),
    ],
)
def test_clusters_refuse_in_their_words(
    sandbox: Client, cluster: str, path: str, what: str
) -> None:
    user = sandbox.another("namespace_user")
    oid = sandbox.connection["identities"]["namespace_user"]["object_id"]
    answer = user.kube(cluster, "GET", path)
    body = answer.json()
    assert (answer.status_code, body["reason"], body["code"]) == (403, "Forbidden", 403)
    reason = f"{DENIED} access." if what.endswith(": ") else ""
    assert body["message"] == what.format(oid) + reason
    assert user.kube(cluster, "GET", "/api").status_code == 200
    user.session.close()


def test_without_azure_rbac_only_the_admin_group_gets_in(sandbox: Client) -> None:
    assert sandbox.kube(NEU, "GET", "/api/v1/nodes").status_code == 200
    reader = sandbox.another("reader")
    assert reader.kube(NEU, "GET", "/api/v1/pods").status_code == 403
    assert reader.kube(WEU, "GET", "/api/v1/pods").status_code == 200
    reader.session.close()


def review(client: Client, verb: str, resource: str, namespace: str = "") -> dict[str, Any]:
    wanted = {"verb": verb, "resource": resource, "namespace": namespace}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = client.kube(WEU, "POST", path, {"spec": {"resourceAttributes": wanted}})
    assert answer.status_code == 201
    return dict(answer.json()["status"])


def test_reviews_say_what_requests_would_meet(sandbox: Client) -> None:
    user = sandbox.another("namespace_user")
    denied = {"allowed": False, "reason": f"{DENIED} access."}
    assert review(user, "list", "pods", "payments-api") == denied
    made = sandbox.grant(namespace_id("payments-api"), ROLES[f"{AKS} RBAC Reader"]).json()
    allowed = review(user, "list", "pods", "payments-api")
    assert allowed["allowed"]
    assert made["name"].replace("-", "") in allowed["reason"]
    assert review(user, "delete", "pods", "payments-api") == denied
    assert review(user, "list", "pods") == denied
    user.session.close()


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize(("verb", "allowed"), [("list", True), ("delete", False)])
def test_reviews_are_read_in_protobuf_as_kubectl_sends_them(
    sandbox: Client, verb: str, allowed: bool
) -> None:
    asked = field(1, b"payments-api") + field(2, verb.encode()) + field(5, b"pods")
    review = field(1, b"") + field(2, field(1, asked))
    body = b"k8s\x00" + field(1, b"") + field(2, review)
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    reader = sandbox.another("reader")
    protobuf = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    answer = reader.kube(WEU, "POST", path, data=body, headers=protobuf)
    assert answer.json()["status"]["allowed"] is allowed
    broken = reader.kube(WEU, "POST", path, data=b"k8s\x00\x12\xff", headers=protobuf)
    assert broken.status_code == 400
    reader.session.close()


def test_metrics_need_the_data_reader(sandbox: Client) -> None:
    query = {"query": "up", "start": 0, "end": 60, "step": 60}
    for identity, status in (("reader", 400), ("contributor", 403), ("namespace_user", 403)):
        client = sandbox.another(identity)
        answer = client.prometheus(**query)
        assert answer.status_code == status
        client.session.close()
    assert "microsoft.monitor/accounts/data/metrics/read" in answer.json()["error"]


# lists


def listed(client: Client, path: str, version: str, **params: str) -> list[str]:
    """Return the ids on all pages of a list."""
    url, found = path, []
    while url:
        answer = client.arm("GET", url, version=version, params=params)
        assert answer.status_code == 200, answer.text
        found += [one["id"].split("/")[-1] for one in answer.json()["value"]]
        url, params = answer.json().get("nextLink", ""), {}
    return found


def everything(client: Client) -> list[list[str]]:
    condition = {"$filter": f"resourceType eq '{NAMESPACES}'"}
    top = f"/subscriptions/{PROD}"
    return [
        listed(client, "/subscriptions", "2022-12-01"),
        listed(client, f"{top}/providers/{ARM}", "2026-08-01"),
        listed(client, f"{top}/resourceGroups/rg-platform/providers/{ARM}", "2026-08-01"),
        listed(client, f"{cluster_id()}/managedNamespaces", "2026-08-01"),
        listed(client, f"{top}/resources", "2024-11-01", **condition),
    ]


def test_lists_show_what_the_caller_may_read(sandbox: Client) -> None:
    user = sandbox.another("namespace_user")
    assert everything(user) == [[], [], [], [], []]
    sandbox.grant(namespace_id("payments-api"), ROLES[f"{AKS} Namespace User"])
    mine = ["payments-api"]
    assert everything(user) == [[PROD], [], [], mine, mine]
    assert [len(found) for found in everything(sandbox)] == [2, 3, 3, 4, 10]
    user.session.close()


def test_permissions_at_a_scope_are_the_callers_own(sandbox: Client) -> None:
    user = sandbox.another("namespace_user")
    path = f"{namespace_id('payments-api')}/providers/Microsoft.Authorization/permissions"
    assert user.arm("GET", path, version="2022-04-01").json() == {"value": []}
    sandbox.grant(cluster_id(), ROLES[f"{AKS} RBAC Admin"])
    (found,) = user.arm("GET", path, version="2022-04-01").json()["value"]
    assert found["dataActions"] == [f"{ARM}/*"]
    assert f"{ARM}/namespaces/delete" in found["notDataActions"]
    user.session.close()


# every route

OPEN = {
    "/entra/{tenant}/v2.0/.well-known/openid-configuration",
    "/entra/{tenant}/discovery/v2.0/keys",
    "/entra/{tenant}/oauth2/v2.0/token",
    "/metadata/endpoints",
    "/healthz",
    "/livez",
    "/readyz",
}
_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
# Routes that answer an identity without any role with an empty list.
FILTERED = {
    ("GET", "/subscriptions"),
    ("GET", "/subscriptions/{subscription}/resourceGroups"),
    ("GET", "/subscriptions/{subscription}/resources"),
    ("GET", f"/subscriptions/{{subscription}}/providers/{ARM}"),
    ("GET", f"{_GROUP}/providers/{ARM}"),
    ("GET", f"{_GROUP}/providers/{ARM}/{{cluster}}/managedNamespaces"),
    ("GET", "{scope*}/providers/Microsoft.Authorization/permissions"),
}
# Routes that tell nothing of anybody else: discovery of a cluster, questions about oneself.
_C = "/kubernetes/{subscription}/{group}/{cluster}"
_PATHS = ("version", "healthz", "livez", "readyz", "api", "apis", "api/v1")
_PATHS += ("apis/{api_group}", "apis/{api_group}/{version}")
_OPENAPI = ("v2", "v3", "v3/api/v1", "v3/apis/{api_group}/{version}")
_PATHS += tuple(f"openapi/{path}" for path in _OPENAPI)
ANYBODYS = {("GET", f"{_C}/{path}") for path in _PATHS}
ANYBODYS |= {("GET", "/graph/v1.0/me"), ("GET", "/tenants")}
ANYBODYS |= {
    ("POST", f"{_C}/apis/authorization.k8s.io/v1/selfsubject{what}reviews")
    for what in ("access", "rules")
}
ANYBODYS |= {("POST", f"{_C}/apis/authentication.k8s.io/v1/selfsubjectreviews")}
VALUES = {
    "subscription": PROD,
    "group": "rg-platform",
    "cluster": WEU,
    "namespace": "payments-api",
    "api_group": "networking.k8s.io",
    "version": "v1",
    "plural": "pods",
    "name": "x",
    "scope*": cluster_id(),
    "collection": "users",
    "key": NOBODY,
}


def address(route: Route) -> str:
    path = route.template
    for name, value in VALUES.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def send(sandbox: Sandbox, route: Route, token: str) -> Answer:
    """Handle a call of this route in process, as it would come over the wire."""
    query = {"api-version": min(route.api_versions)} if route.api_versions else {}
    if route.template.endswith("/resources"):
        query["$filter"] = f"resourceType eq '{ARM}'"
    call = Call(
        state=sandbox.state,
        runtime=sandbox.runtime,
        method=route.method,
        origin=ORIGIN,
        path=address(route),
        raw_query="",
        query=query,
        headers={"authorization": f"Bearer {token}"} if token else {},
        body=b"{}" if route.method in ("POST", "PUT", "PATCH") else b"",
    )
    try:
        return sandbox.handle(call, route.surface)
    except Refusal as refused:
        return refused.answer


@cache
def private_key(pem: str) -> Any:
    return load_pem_private_key(pem.encode(), None)


def token(state: State, route: Route, identity: str, **changes: Any) -> str:
    """Return a token for the route's surface, good but for the changes."""
    known = {"kubernetes": AKS_SERVER_ID, "prometheus": PROMETHEUS, "graph": f"{ORIGIN}/graph"}
    claims = {
        "aud": known.get(route.surface, ORIGIN),
        "oid": state.meta("identities")[identity]["object_id"],
        "tid": state.meta("tenant_id"),
        "exp": int(time.time()) + 3600,
    }
    key = changes.pop("key", None) or private_key(state.meta("keys")["jwt_private"])
    return jwt.encode(claims | changes, key, algorithm="RS256")


each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.template}")


@each_route
def test_no_route_answers_without_a_good_token(
    running: Sandbox, stranger: Any, route: Route
) -> None:
    assert route.open == (route.template in OPEN)
    if route.open:
        return
    state = running.state
    flawed = {
        "none": "",
        "nonsense": "a.b.c",
        "expired": token(state, route, "admin", exp=int(time.time()) - 1),
        "other tenant": token(state, route, "admin", tid=state.meta("other_tenant_id")),
        "other audience": token(state, route, "admin", aud="https://elsewhere.example"),
        "other signature": token(state, route, "admin", key=stranger),
    }
    found = {why: send(running, route, text).status for why, text in flawed.items()}
    assert found == dict.fromkeys(flawed, 401)


@each_route
def test_no_route_serves_an_identity_without_roles(running: Sandbox, route: Route) -> None:
    answer = send(running, route, token(running.state, route, "namespace_user"))
    if route.open or route.surface == "control":  # for everybody; for the control token alone
        assert route.template in OPEN or answer.status == 401
    elif (route.method, route.template) in FILTERED:
        assert (answer.status, answer.body["value"]) == (200, [])
    elif (route.method, route.template) in ANYBODYS:
        assert answer.status in (200, 201, 400)  # 400: an empty body
    else:
        assert answer.status == 403, answer.body


@pytest.fixture
def state() -> Iterator[State]:
    opened = open_state(":memory:", world="default", latency="fast")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    opened = open_state(":memory:", world="default", latency="fast")
    yield Sandbox(opened)
    opened.close()


@pytest.fixture(scope="module")
def stranger() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
