import json

import pytest

from mnslib.errors import ArmConflictError, ArmError
from mnslib.models import AccessGrant, PrincipalType, RoleAssignment
from mnslib.resource_ids import role_assignment_name, role_definition_id

GUID = "c9f76ca8-b262-4b10-8ed2-09cf0948aa35"
GROUP = "00000000-0000-4000-9000-000000000001"


@pytest.fixture
def grant():
    return AccessGrant(
        principal_type=PrincipalType.GROUP,
        principal_id=GROUP,
        role="Azure Kubernetes Service Namespace User",
        role_guid=GUID,
    )


@pytest.fixture
def scope(cluster):
    return str(cluster.namespace("payments"))


@pytest.fixture
def answer(scope):
    return {
        "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/x",
        "properties": {
            "scope": scope,
            "principalId": GROUP,
            "principalType": "Group",
            "roleDefinitionId": f"/subscriptions/sub-1/providers/x/roleDefinitions/{GUID.upper()}",
        },
    }


def test_a_grant_is_made_under_a_name_of_its_own(client, azure, grant, scope, answer, wire):
    azure.answers(wire.reply(201, answer))
    client.role_assignments.create(scope, grant, subscription_id="sub-1")
    name = role_assignment_name(scope=scope, principal_id=GROUP, role_guid=GUID)
    assert azure.received[0].path == (
        f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
    )
    assert json.loads(azure.received[0].body)["properties"] == {
        "roleDefinitionId": role_definition_id("sub-1", GUID),
        "principalId": GROUP,
        "principalType": "Group",
    }


def test_a_grant_that_is_there_already_says_so_and_is_not_repeated(
    client, azure, grant, scope, answer, wire
):
    azure.answers(
        wire.reply(200, answer),
        wire.error(409, "RoleAssignmentExists", "The role assignment already exists."),
    )
    client.role_assignments.create(scope, grant, subscription_id="sub-1")
    with pytest.raises(ArmConflictError, match="already exists") as caught:
        client.role_assignments.create(scope, grant, subscription_id="sub-1")
    assert not caught.value.is_transient
    assert [seen.path for seen in azure.received] == [azure.received[0].path] * 2


def test_another_conflict_is_an_error(client, azure, grant, scope, wire):
    azure.answers(wire.error(409, "ScopeLocked", "locked"))
    with pytest.raises(ArmConflictError, match="ScopeLocked"):
        client.role_assignments.create(scope, grant, subscription_id="sub-1")


def test_a_full_subscription_says_so(client, azure, grant, scope, wire):
    azure.answers(wire.error(400, "RoleAssignmentLimitExceeded", "No more role assignments"))
    with pytest.raises(ArmError, match="RoleAssignmentLimitExceeded"):
        client.role_assignments.create(scope, grant, subscription_id="sub-1")


def test_assignments_are_listed_to_the_last_page(client, azure, scope, answer, wire):
    link = "https://management.azure.com/subscriptions/sub-1/more?$skiptoken=x"
    azure.answers(
        wire.reply(200, {"value": [], "nextLink": link}), wire.reply(200, {"value": [answer]})
    )
    assert client.role_assignments.list_for_subscription("sub-1") == [
        RoleAssignment(
            id=answer["id"],
            scope=scope,
            principal_id=GROUP,
            principal_type="Group",
            role_guid=GUID,
        )
    ]


def test_an_assignment_is_deleted_by_its_id_and_may_be_gone(client, azure, scope, answer, wire):
    azure.answers(
        wire.reply(200, {"value": [answer]}),
        wire.reply(200, answer),
        wire.reply(204),
        wire.error(404, "ResourceNotFound", "The namespace is gone."),
        wire.error(409, "ScopeLocked", "locked"),
    )
    (held,) = client.role_assignments.list_for_subscription("sub-1")
    for _ in range(3):
        client.role_assignments.delete(held, subscription_id="sub-1")
    with pytest.raises(ArmConflictError, match="ScopeLocked"):
        client.role_assignments.delete(held, subscription_id="sub-1")
    sent = azure.received[1:]
    assert {(one.method, one.path) for one in sent} == {("DELETE", answer["id"])}


def test_the_condition_of_an_assignment_is_kept(client, azure, answer, wire):
    answer["properties"]["condition"] = "@Resource[x] StringEquals 'y'"
    azure.answers(wire.reply(200, {"value": [answer]}))
    (held,) = client.role_assignments.list_for_subscription("sub-1")
    assert held.condition.startswith("@Resource")
