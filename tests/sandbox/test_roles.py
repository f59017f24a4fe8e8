"""Role definitions and assignments."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.sandbox.client import PROD, Client, cluster_id, namespace_id

VERSION = "2022-04-01"
WRITER = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
GROUP = "00000000-0000-4000-9000-000000000008"
NAME = "00000000-0000-4000-c000-00000000000{}"
AUTH = "/providers/Microsoft.Authorization"


def put(
    sandbox: Client, scope: str, number: int = 1, version: str = VERSION, **properties: Any
) -> requests.Response:
    role = f"/subscriptions/{PROD}{AUTH}/roleDefinitions/{WRITER}"
    wanted = {"principalId": GROUP, "principalType": "Group", "roleDefinitionId": role}
    path = f"{scope}{AUTH}/roleAssignments/{NAME.format(number)}"
    return sandbox.arm("PUT", path, {"properties": wanted | properties}, version=version)


def names(sandbox: Client, scope: str, condition: str = "") -> set[str]:
    params = {"$filter": condition} if condition else {}
    path = f"{scope}{AUTH}/roleAssignments"
    answer = sandbox.arm("GET", path, version=VERSION, params=params)
    return {one["name"] for one in answer.json()["value"]}


def test_assignment_lives_from_put_to_delete(sandbox: Client) -> None:
    created = put(sandbox, namespace_id("payments-api"))
    assert created.status_code == 201
    path = f"{namespace_id('payments-api')}{AUTH}/roleAssignments/{NAME.format(1)}"
    assert sandbox.arm("GET", path, version=VERSION).json() == created.json()
    deleted = sandbox.arm("DELETE", path, version=VERSION)
    assert (deleted.status_code, deleted.json()) == (200, created.json())
    assert sandbox.arm("DELETE", path, version=VERSION).status_code == 204
    missing = sandbox.arm("GET", path, version=VERSION)
    assert missing.json()["error"]["code"] == "RoleAssignmentNotFound"


def test_same_triple_under_another_name_exists_already(sandbox: Client) -> None:
    put(sandbox, namespace_id("payments-api"))
    answer = put(sandbox, namespace_id("payments-api"), 2)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "RoleAssignmentExists")
    assert NAME.format(1).replace("-", "") in answer.json()["error"]["message"]


def test_same_name_with_other_content_may_not_be_updated(sandbox: Client) -> None:
    put(sandbox, namespace_id("payments-api"))
    for scope, change in (
        (namespace_id("payments-api"), {"principalId": NAME.format(7)}),
        (cluster_id("aks-test-weu-1"), {}),
    ):
        answer = put(sandbox, scope, **change)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "RoleAssignmentUpdateNotPermitted"


def test_list_reaches_above_and_below_unless_at_scope(sandbox: Client) -> None:
    put(sandbox, f"/subscriptions/{PROD}", 1, principalId=NAME.format(8))
    put(sandbox, cluster_id(), 2)
    put(sandbox, namespace_id("payments-api"), 3)
    put(sandbox, cluster_id("aks-prod-weu-2"), 4)
    ours = {NAME.format(n) for n in range(1, 5)}
    assert names(sandbox, cluster_id()) & ours == {NAME.format(n) for n in (1, 2, 3)}
    assert names(sandbox, cluster_id(), "atScope()") & ours == {NAME.format(n) for n in (1, 2)}
    one = names(sandbox, cluster_id(), f"principalId eq '{GROUP}'")
    assert one == {NAME.format(n) for n in (2, 3)}
    both = names(sandbox, cluster_id(), f"atScope() and principalId eq '{GROUP}'")
    assert both == {NAME.format(2)}


def test_old_form_of_the_namespace_scope_counts(sandbox: Client) -> None:
    assert put(sandbox, f"{cluster_id()}/namespaces/anything").status_code == 201


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"principalType": None}, 201, None),
        ({"principalType": None, "principalId": NAME.format(9)}, 400, "PrincipalNotFound"),
        ({"principalType": "Robot"}, 400, "InvalidPrincipalType"),
        ({"principalId": None}, 400, "InvalidRequestContent"),
        ({"color": "red"}, 400, "InvalidRequestContent"),
        ({"roleDefinitionId": NAME.format(9)}, 404, "RoleDefinitionDoesNotExist"),
    ],
)
def test_content_is_checked(
    sandbox: Client, change: dict[str, Any], status: int, code: str | None
) -> None:
    answer = put(sandbox, cluster_id(), **change)
    assert (answer.status_code, answer.json().get("error", {}).get("code")) == (status, code)


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        (f"/subscriptions/{NAME.format(1)}", "SubscriptionNotFound"),
        (f"/subscriptions/{PROD}/resourceGroups/rg-none", "ResourceGroupNotFound"),
        (namespace_id("nobody"), "ResourceNotFound"),
    ],
)
def test_scope_must_exist(sandbox: Client, scope: str, code: str) -> None:
    answer = put(sandbox, scope)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)


def test_name_must_be_a_guid(sandbox: Client) -> None:
    path = f"{cluster_id()}{AUTH}/roleAssignments/mine"
    answer = sandbox.arm("PUT", path, {"properties": {}}, version=VERSION)
    assert answer.json()["error"]["code"] == "InvalidRoleAssignmentId"


def test_definitions_by_name_and_by_id(sandbox: Client) -> None:
    path = f"{cluster_id()}{AUTH}/roleDefinitions"
    query = {"$filter": "roleName eq 'azure kubernetes service rbac writer'"}
    found = sandbox.arm("GET", path, version="2022-05-01-preview", params=query).json()["value"]
    assert [one["name"] for one in found] == [WRITER]
    assert sandbox.arm("GET", f"{path}/{WRITER}", version=VERSION).json() == found[0]
    everything = sandbox.arm("GET", path, version=VERSION).json()["value"]
    assert len(everything) == 16
    unknown = sandbox.arm("GET", f"{path}/{NAME.format(1)}", version=VERSION)
    assert unknown.json()["error"]["code"] == "RoleDefinitionDoesNotExist"


def test_filters_that_are_not_imitated_are_refused(sandbox: Client) -> None:
    for kind in ("roleAssignments", "roleDefinitions"):
        query = {"$filter": "createdBy('x')"}
        answer = sandbox.arm("GET", f"{cluster_id()}{AUTH}/{kind}", version=VERSION, params=query)
        assert answer.status_code == 400


def test_six_managed_namespaces_have_team_access(sandbox: Client) -> None:
    answer = sandbox.arm("GET", f"/subscriptions/{PROD}{AUTH}/roleAssignments", version=VERSION)
    scopes = [one["properties"]["scope"] for one in answer.json()["value"]]
    assert len({scope for scope in scopes if "managedNamespaces" in scope}) == 6


@pytest.mark.parametrize("end", ["foo", "resourceGroups"])
def test_what_is_no_scope_takes_no_assignment(sandbox: Client, end: str) -> None:
    assert sandbox.grant(f"/subscriptions/{PROD}/{end}", WRITER).status_code == 404


def test_a_long_list_of_assignments_has_pages(sandbox: Client) -> None:
    for number in range(210):
        group = f"00000000-0000-4000-a000-{number:012d}"
        assert sandbox.grant(cluster_id(), WRITER, group, principalType="Group").status_code == 201
    path = f"{cluster_id()}/providers/Microsoft.Authorization/roleAssignments"
    first = sandbox.arm("GET", path, version="2022-04-01").json()
    second = sandbox.arm("GET", first["nextLink"]).json()
    assert (len(first["value"]), "nextLink" in second) == (200, False)
    ids = {one["id"] for one in first["value"] + second["value"]}
    assert len(ids) == len(first["value"]) + len(second["value"]) >= 210


def test_who_may_not_delete_assignments_is_refused_and_nothing_is_gone(sandbox: Client) -> None:
    created = put(sandbox, namespace_id("payments-api")).json()
    contributor = sandbox.another("contributor")
    for path in (created["id"], created["id"].replace(NAME.format(1), NAME.format(2))):
        refused = contributor.arm("DELETE", path, version=VERSION)
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            403,
            "AuthorizationFailed",
        )
        assert "Microsoft.Authorization/roleAssignments/delete" in refused.text
    contributor.session.close()
    assert sandbox.arm("GET", created["id"], version=VERSION).json() == created


def test_an_assignment_that_nobody_made_is_deleted_with_204(sandbox: Client) -> None:
    for scope in (namespace_id("payments-api"), f"{cluster_id()}/namespaces/anything"):
        path = f"{scope}{AUTH}/roleAssignments/{NAME.format(5)}"
        assert sandbox.arm("DELETE", path, version=VERSION).status_code == 204
