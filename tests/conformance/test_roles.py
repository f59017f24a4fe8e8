"""`az role assignment` and `az role definition`, for people, groups and programs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import Az
from tests.sandbox.client import PROD, Client, cluster_id, namespace_id

USER = "Azure Kubernetes Service Namespace User"
WRITER = "Azure Kubernetes Service RBAC Writer"
WRITER_ID = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
SEARCH = "00000000-0000-4000-9000-000000000002"
NOBODY = "00000000-0000-4000-9000-0000000000ff"
LEDGER, API = namespace_id("payments-ledger"), namespace_id("web-checkout")


def create(who: str, role: str = USER, scope: str = LEDGER, rest: str = "") -> str:
    return f'role assignment create {who} --role "{role}" --scope {scope} {rest}'


@pytest.fixture(scope="module")
def created(az: Az, sandbox: Client) -> dict[str, Any]:
    """The first assignment, and the same again under another name."""
    line = create(f"--assignee-object-id {SEARCH} --assignee-principal-type Group")
    return {"first": az("admin", line).json, "again": az("admin", line).json}


def test_an_assignment_by_object_id_is_stored_as_asked(created: dict[str, Any]) -> None:
    first = created["first"]
    assert (first["principalId"], first["principalType"]) == (SEARCH, "Group")
    assert first["scope"].lower() == LEDGER.lower()
    assert first["roleDefinitionId"].startswith(f"/subscriptions/{PROD}/providers/Microsoft.Auth")


def test_the_same_assignment_twice_is_one(created: dict[str, Any]) -> None:
    assert created["again"]["id"] == created["first"]["id"]


@pytest.mark.parametrize(
    ("who", "kind", "identifier"),
    [
        ("ada.fischer@contoso.example", "User", "00000000-0000-4000-9100-000000000001"),
        ("00000000-0000-4000-b000-000000000004", "ServicePrincipal", "b100-000000000004"),
        ("00000000-0000-4000-9000-000000000004", "Group", "00000000-0000-4000-9000-000000000004"),
    ],
    ids=["user", "application", "group"],
)
def test_the_directory_knows_whom_a_name_means(
    az: Az, sandbox: Client, who: str, kind: str, identifier: str
) -> None:
    made = az("admin", create(f"--assignee {who}", WRITER_ID)).json
    assert (made["principalType"], made["principalId"].endswith(identifier)) == (kind, True)


def test_a_user_whom_the_directory_does_not_know_is_refused(az: Az, sandbox: Client) -> None:
    done = az("admin", create("--assignee nobody@contoso.example"))
    assert done.rc == 1
    assert "Cannot find user or service principal in graph database" in done.err


def test_a_principal_that_does_not_exist_is_refused_by_the_service(az: Az, sandbox: Client) -> None:
    done = az("admin", create(f"--assignee-object-id {NOBODY}"))
    assert done.rc == 1
    assert "(PrincipalNotFound)" in done.err
    assert f"Principal {NOBODY.replace('-', '')} does not exist in the directory" in done.err


def test_an_assignment_cannot_be_given_to_somebody_else(az: Az, created: dict[str, Any]) -> None:
    who = (
        "--assignee-object-id 00000000-0000-4000-9000-000000000005 --assignee-principal-type Group"
    )
    done = az("admin", create(who, rest=f"--name {created['first']['name']}"))
    assert done.rc == 1
    assert "(RoleAssignmentUpdateNotPermitted) Tenant ID, application ID, principal ID" in done.err


@pytest.fixture(scope="module")
def lists(az: Az, created: dict[str, Any]) -> dict[str, Any]:
    lines = {
        "scope": f"role assignment list --scope {LEDGER}",
        "inherited": f"role assignment list --scope {LEDGER} --include-inherited",
        "all": f"role assignment list --all --assignee-object-id {SEARCH}",
        "role": f'role assignment list --scope {LEDGER} --role "{USER}"',
        "by-name": f'role definition list --name "{WRITER}"',
        "by-id": f"role definition list --name {WRITER_ID} --scope {cluster_id()}",
    }
    return dict(zip(lines, (r.json for r in az.together("admin", lines.values())), strict=True))


def test_a_list_at_a_scope_holds_that_scope_only(lists: dict[str, Any]) -> None:
    assert {one["scope"].lower() for one in lists["scope"]} == {LEDGER.lower()}
    assert SEARCH in {one["principalId"] for one in lists["scope"]}


def test_inherited_assignments_are_listed_when_asked_for(lists: dict[str, Any]) -> None:
    scopes = {one["scope"].lower() for one in lists["inherited"]}
    assert f"/subscriptions/{PROD}" in scopes
    assert not any(scope.startswith(f"{API.lower()}") for scope in scopes)


def test_everything_of_one_principal_is_listed_with_names(lists: dict[str, Any]) -> None:
    found = [one for one in lists["all"] if one["scope"].lower() == LEDGER.lower()]
    assert (USER, "grp-search") in {(o["roleDefinitionName"], o["principalName"]) for o in found}
    assert {one["principalId"] for one in lists["all"]} == {SEARCH}


def test_a_list_can_be_of_one_role(lists: dict[str, Any]) -> None:
    assert {one["roleDefinitionName"] for one in lists["role"]} == {USER}


def test_a_role_is_found_by_name_and_by_id(lists: dict[str, Any]) -> None:
    assert [one["name"] for one in lists["by-name"]] == [WRITER_ID]
    assert [one["roleName"] for one in lists["by-id"]] == [WRITER]
    assert lists["by-name"][0]["permissions"][0]["dataActions"]


def test_assignments_are_deleted_by_id_and_by_what_they_say(az: Az, sandbox: Client) -> None:
    who = "00000000-0000-4000-9000-000000000006"
    given = f"--assignee-object-id {who} --assignee-principal-type Group"
    made = [az("admin", create(given, role, API)).json for role in (USER, WRITER)]
    assert az("admin", f"role assignment delete --ids {made[0]['id']}").rc == 0
    what = f'--assignee {who} --role "{WRITER}" --scope {API}'
    assert az("admin", f"role assignment delete {what}").rc == 0
    left = az("admin", f"role assignment list --scope {API}").json
    assert not {one["id"] for one in left} & {one["id"] for one in made}


def test_a_contributor_may_not_take_roles_away(az: Az, created: dict[str, Any]) -> None:
    done = az("contributor", f"role assignment delete --ids {created['first']['id']}")
    assert done.rc == 1
    assert "'Microsoft.Authorization/roleAssignments/delete' over scope" in done.err


def test_a_contributor_may_not_assign_roles(az: Az, sandbox: Client) -> None:
    who = f"--assignee-object-id {SEARCH} --assignee-principal-type Group"
    done = az("contributor", create(who, WRITER))
    client_id = az.connection["identities"]["contributor"]["client_id"]
    action = "'Microsoft.Authorization/roleAssignments/write' over scope"
    assert done.rc == 1
    assert f"(AuthorizationFailed) The client '{client_id}'" in done.err
    assert f"does not have authorization to perform action {action}" in done.err
