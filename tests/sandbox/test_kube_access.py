"""Who may do what inside a cluster: every kind, verb and subresource asks Azure's roles.

The rule is kubeguard/guard's getActionName: get, list and watch read; create, update and patch
write; subresources count as what they belong to, but for exec.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mnslib.sandbox.kube.kinds import Kind, served
from mnslib.sandbox.offers import packaged
from mnslib.sandbox.roles import built_in_roles, role_allows
from mnslib.sandbox.server import open_state
from mnslib.sandbox.state import State
from tests.sandbox.client import Client, cluster_id
from tests.sandbox.in_process import send

WEU = "aks-prod-weu-1"
MINE, OTHERS = "payments-api", "web-checkout"
DENIED = "User does not have access to the resource in Azure. Update role assignment to allow"
USER = "00000000-0000-4000-b100-000000000003"
AKS = "Microsoft.ContainerService/managedClusters"
ROLES = {
    role["name"].rpartition(" RBAC ")[2]: guid
    for guid, role in built_in_roles().items()
    if " RBAC " in role["name"]
}
REVIEWS = ("authentication.k8s.io", "authorization.k8s.io")
KINDS = [
    kind
    for rows in served().values()
    for kind in rows.values()
    if kind.namespaced and kind.group not in REVIEWS
]
VERBS = {  # method, whether one object is named, query; what Azure is asked for
    "list": ("GET", False, "limit=1", "read"),
    "watch": ("GET", False, "watch=1&timeoutSeconds=0", "read"),
    "create": ("POST", False, "x=1", "write"),
    "deletecollection": ("DELETE", False, "labelSelector=nobody=nothing", "delete"),
    "get": ("GET", True, "x=1", "read"),
    "update": ("PUT", True, "x=1", "write"),
    "patch": ("PATCH", True, "x=1", "write"),
    "delete": ("DELETE", True, "x=1", "delete"),
}
PARTS = packaged("kube/kinds.yaml")["subresources"]


@pytest.fixture(scope="module")
def state() -> Iterator[State]:
    """A world in which somebody holds one RBAC role after the other on one namespace."""
    opened = open_state(":memory:", world="default", latency="fast")
    yield opened
    opened.close()


def hold(state: State, role: str) -> None:
    """Let the namespace user hold this role alone."""
    scope = f"{cluster_id()}/managedNamespaces/{MINE}"
    name = "00000000-0000-4000-8000-0000000000aa"
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
    query = "api-version=2022-04-01"
    send(state, "DELETE", path, query=query)
    guid = ROLES[role]
    body = {
        "principalId": USER,
        "principalType": "ServicePrincipal",
        "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{guid}",
    }
    answer = send(state, "PUT", path, {"properties": body}, query=query)
    assert answer.status == 201, answer.body


def address(kind: Kind, namespace: str, name: str = "", part: str = "") -> str:
    prefix = f"/kubernetes/{cluster_id().split('/')[2]}/rg-platform/{WEU}"
    place = f"/api{'s' if kind.group else ''}/{kind.version}/namespaces/{namespace}/{kind.plural}"
    return prefix + place + f"/{name}" * bool(name) + f"/{part}" * bool(part)


def ask(state: State, verb: str, kind: Kind, namespace: str, part: str = "") -> tuple[int, str]:
    """Return status and message of a request for what is not there."""
    method, single, query, _ = VERBS[verb]
    name = "nobody" if single or part else ""
    path = address(kind, namespace, name, part)
    body = {} if method in ("POST", "PUT", "PATCH") else None
    answer = send(
        state, method, path, body, query=query, identity="namespace_user", surface="kubernetes"
    )
    text = answer.body.get("message", "") if isinstance(answer.body, dict) else ""
    return answer.status, text


@pytest.mark.parametrize("role", ["Reader", "Writer", "Admin"])
def test_every_kind_and_verb_asks_for_its_data_action(state: State, role: str) -> None:
    hold(state, role)
    for kind in KINDS:
        for verb in kind.verbs:
            group = f"{kind.group}/" if kind.group else ""
            action = f"{AKS}/{group}{kind.plural}/{VERBS[verb][3]}"
            allowed = role_allows(ROLES[role], action, data=True)
            status, text = ask(state, verb, kind, MINE)
            assert (status != 403) == allowed, (action, status, text)
            if not allowed:
                name = ' "nobody"' if VERBS[verb][1] else ""
                assert text == (
                    f'{kind.full_name}{name} is forbidden: User "{USER}" cannot {verb} resource '
                    f'"{kind.plural}" in API group "{kind.group}" in the namespace "{MINE}": '
                    f"{DENIED} access."
                )


@pytest.mark.parametrize("role", ["Reader", "Writer"])
def test_every_subresource_counts_as_what_it_belongs_to(state: State, role: str) -> None:
    hold(state, role)
    for kind in KINDS:
        for part in kind.subresources:
            for verb in set(PARTS[part]["verbs"].split()) & {"create", "get", "update", "patch"}:
                group = f"{kind.group}/" if kind.group else ""
                action = f"{AKS}/{group}{kind.plural}/{VERBS[verb][3]}"
                if part == "exec":
                    action = f"{AKS}/pods/exec/action"
                allowed = role_allows(ROLES[role], action, data=True)
                status, text = ask(state, verb, kind, MINE, part)
                assert (status != 403) == allowed, (action, part, status, text)
                if not allowed:
                    asked = f'cannot {verb} resource "{kind.plural}/{part}" in API group'
                    assert asked in text, text


def test_nothing_of_the_neighbors_is_served(state: State) -> None:
    hold(state, "Admin")
    for kind in KINDS:
        for verb in kind.verbs:
            status, text = ask(state, verb, kind, OTHERS)
            assert status == 403, (kind.plural, verb)
            assert f'in the namespace "{OTHERS}": {DENIED}' in text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "/api/v1/namespaces",
            f'namespaces is forbidden: User "{USER}" cannot list resource "namespaces" in API '
            f'group "" at the cluster scope: {DENIED} access.',
        ),
        (
            f"/api/v1/namespaces/{OTHERS}",
            f'namespaces "{OTHERS}" is forbidden: User "{USER}" cannot get resource "namespaces" '
            f'in API group "" in the namespace "{OTHERS}": {DENIED} access.',
        ),
        (
            "/api/v1/nodes/x/status",
            f'nodes "x" is forbidden: User "{USER}" cannot get resource "nodes/status" in API '
            f'group "" at the cluster scope: {DENIED} access.',
        ),
        (
            "/api/v1/pods?fieldSelector=metadata.name=p",
            f'pods "p" is forbidden: User "{USER}" cannot list resource "pods" in API group "" at '
            f"the cluster scope: {DENIED} access.",
        ),
        ("/metrics", f'forbidden: User "{USER}" cannot get path "/metrics": {DENIED} access.'),
    ],
)
def test_words_of_a_refusal(sandbox: Client, path: str, text: str) -> None:
    sandbox.grant(f"{cluster_id()}/managedNamespaces/{MINE}", ROLES["Admin"])
    answer = sandbox.another("namespace_user").kube(WEU, "GET", path)
    assert (answer.status_code, answer.json()["message"]) == (403, text)


def test_who_somebody_is(sandbox: Client) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = sandbox.another("namespace_user").kube(WEU, "POST", path, {})
    user = answer.json()["status"]["userInfo"]
    assert (user["username"], user["extra"]) == (USER, {"oid": [USER]})
    assert user["groups"][-1] == "system:authenticated"
    assert "00000000-0000-4000-9000-000000000007" in user["groups"]


def test_health_needs_no_sign_in_and_no_cluster(sandbox: Client) -> None:
    endpoint = sandbox.connection["arm_endpoint"]
    for word in ("healthz", "livez", "readyz"):
        assert sandbox.session.get(f"{endpoint}/{word}").text == "ok"
        answer = sandbox.another("namespace_user").kube(WEU, "GET", f"/{word}")
        assert (answer.status_code, answer.text) == (200, "ok")


def test_what_somebody_may_do_is_told_to_those_who_may_ask(sandbox: Client) -> None:
    sandbox.grant(f"{cluster_id()}/managedNamespaces/{MINE}", ROLES["Writer"])
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    local = f"/apis/authorization.k8s.io/v1/namespaces/{MINE}/localsubjectaccessreviews"
    for namespace, allowed in ((MINE, True), (OTHERS, False)):
        wanted = {"namespace": namespace, "verb": "create", "resource": "pods"}
        body = {"spec": {"user": USER, "resourceAttributes": wanted}}
        for place in (path, local):
            answer = sandbox.kube(WEU, "POST", place, body)
            assert answer.status_code == 201, answer.text
            assert answer.json()["status"]["allowed"] == allowed
    assert sandbox.another("namespace_user").kube(WEU, "POST", path, body).status_code == 403


def test_a_method_that_no_path_takes(sandbox: Client) -> None:
    answer = sandbox.kube(WEU, "PUT", "/api/v1/namespaces/docs-site/pods", {})
    text = "the server does not allow this method on the requested resource"
    assert (answer.status_code, answer.json()["message"]) == (405, text)
