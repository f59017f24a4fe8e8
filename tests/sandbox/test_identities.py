"""Anybody of the directory can be signed in as; a group only through somebody in it."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
import requests

from mnslib.sandbox.roles import built_in_roles
from tests.sandbox.client import AKS_SERVER_ID, Client, cluster_id

ADA = "00000000-0000-4000-9100-000000000001"
PAYMENTS = "00000000-0000-4000-9000-000000000001"
PODS = "/api/v1/namespaces/payments-api/pods"
ROLES = {role["name"]: guid for guid, role in built_in_roles().items()}


def credential(sandbox: Client, principal: str) -> dict[str, Any]:
    answer = sandbox.control("POST", "credential", {"principal": principal})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def token(sandbox: Client, principal: str, resource: str = AKS_SERVER_ID) -> str:
    body = {"principal": principal, "resource": resource}
    answer = sandbox.control("POST", "token", body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def asked(sandbox: Client, bearer: str, path: str, method: str = "GET") -> requests.Response:
    (cluster,) = (c for c in sandbox.connection["clusters"] if c["name"] == "aks-prod-weu-1")
    headers = {"Authorization": f"Bearer {bearer}"}
    return sandbox.session.request(method, cluster["kubernetes_endpoint"] + path, headers=headers)


@pytest.mark.parametrize("name", [ADA, "Ada.Fischer@contoso.example", "ada fischer", ADA.upper()])
def test_somebody_is_found_by_id_or_by_any_name(sandbox: Client, name: str) -> None:
    found = credential(sandbox, name)
    assert (found["kind"], found["name"], found["object_id"]) == ("User", "Ada Fischer", ADA)


def test_the_identities_of_the_world_keep_their_own_secrets(sandbox: Client) -> None:
    for name, own in sandbox.connection["identities"].items():
        for word in (name, own["object_id"], own["client_id"]):
            found = credential(sandbox, word)
            assert {key: found[key] for key in own} == own


def test_the_secret_signs_in_as_that_one_and_as_nobody_else(sandbox: Client) -> None:
    found = credential(sandbox, "ben.okafor@contoso.example")
    form = {name: found[name] for name in ("client_id", "client_secret")}
    signed_in = sandbox.sign_in(AKS_SERVER_ID, **form).json()["access_token"]
    claims = jwt.decode(signed_in, options={"verify_signature": False})
    assert (claims["oid"], claims["upn"]) == (found["object_id"], "ben.okafor@contoso.example")
    assert claims["idtyp"] == "user"
    other = sandbox.sign_in(AKS_SERVER_ID, **form | {"client_id": ADA})
    assert (other.status_code, other.json()["error_codes"]) == (401, [7000215])


def test_a_user_has_the_rights_of_its_groups_and_no_others(sandbox: Client) -> None:
    ada = token(sandbox, ADA)
    assert asked(sandbox, ada, PODS).status_code == 200  # grp-payments may, and she is in it
    elsewhere = PODS.replace("payments-api", "web-checkout")
    refused = asked(sandbox, ada, elsewhere)
    assert refused.status_code == 403
    assert f'User \\"{ADA}\\" cannot list' in refused.text
    assert asked(sandbox, token(sandbox, "carla nunes"), PODS).status_code == 403
    scope = f"{cluster_id()}/managedNamespaces/web-checkout"
    role = ROLES["Azure Kubernetes Service RBAC Reader"]
    assert sandbox.grant(scope, role, PAYMENTS, principalType="Group").status_code == 201
    assert asked(sandbox, ada, elsewhere).status_code == 200


def test_arm_and_graph_know_a_user(sandbox: Client) -> None:
    endpoint, graph = sandbox.connection["arm_endpoint"], sandbox.connection["graph_endpoint"]
    bearer = {"Authorization": f"Bearer {token(sandbox, ADA, endpoint)}"}
    url = f"{endpoint}{cluster_id()}?api-version=2026-08-01"
    refused = sandbox.session.get(url, headers=bearer)
    assert refused.status_code == 403
    text = f"The client 'ada.fischer@contoso.example' with object id '{ADA}'"
    assert refused.json()["error"]["message"].startswith(text)
    bearer = {"Authorization": f"Bearer {token(sandbox, ADA, graph)}"}
    me = sandbox.session.get(f"{graph}/v1.0/me", headers=bearer).json()
    assert (me["id"], me["userPrincipalName"]) == (ADA, "ada.fischer@contoso.example")
    assert sandbox.session.get(f"{graph}/v1.0/groups", headers=bearer).status_code == 200


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("grp-identity", 400, "in it are: app-namespace-user, Ben Okafor"),
        ("grp-web", 400, "in it are: nobody"),
        ("grp-reporting", 409, "2 are called 'grp-reporting'"),
        ("nobody@contoso.example", 404, "there are admin, contributor, namespace_user, reader"),
        (" ", 400, "needs a principal"),
    ],
)
def test_who_cannot_be_meant_gets_nothing(
    sandbox: Client, name: str, status: int, words: str
) -> None:
    for route, more in (("credential", {}), ("token", {"resource": AKS_SERVER_ID})):
        answer = sandbox.control("POST", route, {"principal": name} | more)
        assert answer.status_code == status, answer.text
        assert words in answer.json()["error"]["message"]
        assert "secret" not in answer.text
        assert "access_token" not in answer.text


def test_only_the_control_token_opens_it(sandbox: Client) -> None:
    url = f"{sandbox.connection['control_endpoint']}/credential"
    bearer = {"Authorization": f"Bearer {sandbox.token(sandbox.connection['arm_endpoint'])}"}
    answer = sandbox.session.post(url, json={"principal": "admin"}, headers=bearer)
    assert answer.status_code == 401
