"""Role assignments in ARM: list, create each at most once, delete; what a role allows.

Source: azure-mgmt-authorization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mnslib.azure.messages import read_as
from mnslib.errors import ArmNotFoundError
from mnslib.models import AccessGrant, Permission, RoleAssignment
from mnslib.resource_ids import role_assignment_name, role_definition_id

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient

API_VERSION = "2022-04-01"


class RoleAssignments:
    """The role assignments of every subscription that the credential may see."""

    def __init__(self, client: AzureClient) -> None:
        self._client, self._sdk = client, client.authorization

    def list_for_subscription(self, subscription_id: str) -> list[RoleAssignment]:
        """Return all role assignments at, above and below a subscription.

        Raises:
            ArmError: if it was refused.
        """
        path = f"/subscriptions/{subscription_id}/providers/Microsoft.Authorization/roleAssignments"
        return [from_wire(item) for item in self._client.items(path, api_version=API_VERSION)]

    def permissions(self, scope: str) -> list[Permission]:
        """Return what the caller may do at a scope, of its own roles and of its groups'.

        Conditions and deny assignments are not in it.

        Raises:
            ArmNotFoundError: if there is nothing at the scope.
            ArmError: if it was refused.
        """
        path = f"{scope}/providers/Microsoft.Authorization/permissions"
        return [_permission(item) for item in self._client.items(path, api_version=API_VERSION)]

    def of_role(self, role_guid: str, *, subscription_id: str) -> list[Permission]:
        """Return what a role allows, a built-in one or one of the subscription's own.

        Raises:
            ArmError: if it was refused, or there is no such role.
        """
        path = role_definition_id(subscription_id, role_guid)
        return _of_role(self._client.get(path, api_version=API_VERSION))

    def create(self, scope: str, grant: AccessGrant, *, subscription_id: str) -> None:
        """Assign a role at a scope.

        The name is made of scope, principal and role, so a repeated call is the same request.

        Raises:
            ArmConflictError: `RoleAssignmentExists` where the principal has that role there by
                an assignment of another name.
            ArmError: if it was refused.
        """
        from azure.mgmt.authorization.v2022_04_01 import models

        name = role_assignment_name(
            scope=scope, principal_id=grant.principal_id, role_guid=grant.role_guid
        )
        body = models.RoleAssignmentCreateParameters(
            role_definition_id=role_definition_id(subscription_id, grant.role_guid),
            principal_id=grant.principal_id,
            principal_type=grant.principal_type.value,  # spares the service a directory look-up
        )
        self._sdk(subscription_id).role_assignments.create(scope.strip("/"), name, body)

    def delete(self, assignment: RoleAssignment, *, subscription_id: str) -> bool:
        """Take a role assignment away; return whether it was still there.

        Raises:
            ArmError: if it was refused.
        """
        operations = self._sdk(subscription_id).role_assignments
        try:
            return operations.delete_by_id(assignment.id.strip("/")) is not None
        except ArmNotFoundError:  # it went with what it was assigned on
            return False


@read_as("a role assignment")
def from_wire(item: Any) -> RoleAssignment:
    """Return a role assignment as ARM answered it."""
    properties = item["properties"]
    return RoleAssignment(
        id=str(item["id"]),
        scope=str(properties["scope"]),
        principal_id=str(properties["principalId"]),
        principal_type=str(properties.get("principalType") or ""),
        role_guid=str(properties["roleDefinitionId"]).rstrip("/").rpartition("/")[2].lower(),
        condition=str(properties.get("condition") or ""),
    )


@read_as("a list of permissions")
def _permission(item: Any) -> Permission:
    names = ("actions", "notActions", "dataActions", "notDataActions")
    actions, not_actions, data_actions, not_data_actions = (
        tuple(map(str, item.get(name) or ())) for name in names
    )
    return Permission(
        actions=actions,
        not_actions=not_actions,
        data_actions=data_actions,
        not_data_actions=not_data_actions,
    )


@read_as("a role definition")
def _of_role(item: Any) -> list[Permission]:
    return [_permission(one) for one in item["properties"]["permissions"]]
