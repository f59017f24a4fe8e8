"""Role definitions and role assignments at any scope, as Microsoft.Authorization answers them."""

from __future__ import annotations

import re
import uuid
from functools import cache
from pathlib import Path

from mnslib.sandbox import directory
from mnslib.sandbox.lifecycle import ASSIGNMENT_TYPE
from mnslib.sandbox.state import utc_text
from mnslib.sandbox.wire import Answer, Call, Json, Route, arm_error, parsed

VERSIONS = frozenset({"2022-04-01", "2022-05-01-preview"})
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PRINCIPAL_TYPES = ("User", "Group", "ServicePrincipal", "ForeignGroup", "Device")


@cache
def built_in_roles() -> dict[str, Json]:
    """Return name and rights of the built-in roles, by GUID (roles.yaml)."""
    import yaml

    roles: dict[str, Json] = yaml.safe_load(
        Path(__file__).with_name("roles.yaml").read_text("utf-8")
    )
    return roles


def definition(guid: str, subscription_id: str) -> Json:
    """Return a built-in role as answered under a subscription."""
    role = built_in_roles()[guid]
    kinds = ("actions", "notActions", "dataActions", "notDataActions")
    kind = "Microsoft.Authorization/roleDefinitions"
    return {
        "id": f"/subscriptions/{subscription_id}/providers/{kind}/{guid}",
        "name": guid,
        "type": kind,
        "properties": {
            "roleName": role["name"],
            "type": "BuiltInRole",
            "description": role["name"],
            "assignableScopes": ["/"],
            "permissions": [{key: role.get(key, []) for key in kinds}],
        },
    }


def _scope(call: Call) -> str:
    """Return the scope of the path, which must exist.

    Raises:
        Refusal: 404.
    """
    scope = "/" + call.params["scope"].strip("/")
    parts = scope.lower().split("/")
    known = {one["subscriptionId"] for one in call.state.meta("subscriptions")}
    groups = {name.lower() for name in call.state.meta("groups")}
    if len(parts) < 3 or parts[1] != "subscriptions" or parts[2] not in known:
        text = f"The subscription of scope '{scope}' could not be found."
        raise arm_error(404, "SubscriptionNotFound", text)
    if len(parts) >= 5 and (parts[3] != "resourcegroups" or parts[4] not in groups):
        text = f"Resource group '{parts[4]}' could not be found."
        raise arm_error(404, "ResourceGroupNotFound", text)
    # the old form .../namespaces/{name} counts too, and needs no ARM resource of that name
    old_form = len(parts) == 11 and parts[9] == "namespaces"
    resource = "/".join(parts[:9]) if old_form else scope
    if len(parts) > 5 and call.state.resource(resource) is None:
        text = f"The resource at scope '{scope}' was not found."
        raise arm_error(404, "ResourceNotFound", text)
    return scope


def list_definitions(call: Call) -> Answer:
    """Return built-in roles, all or those of one name."""
    subscription_id = _scope(call).split("/")[2]
    roles = [definition(guid, subscription_id) for guid in built_in_roles()]
    condition = call.query.get("$filter", "")
    if match := re.fullmatch(r"\s*roleName\s+eq\s+'([^']*)'\s*", condition, re.IGNORECASE):
        wanted = match.group(1).lower()
        roles = [role for role in roles if role["properties"]["roleName"].lower() == wanted]
    elif condition and not re.fullmatch(
        r"type\s+eq\s+'BuiltInRole'|atScope\(\)", condition.strip()
    ):
        raise arm_error(400, "BadRequestFormat", f"The filter '{condition}' is not imitated.")
    return Answer(body={"value": roles})


def get_definition(call: Call) -> Answer:
    """Return one built-in role."""
    guid = call.params["name"].lower()
    if guid not in built_in_roles():
        raise _no_role(guid)
    return Answer(body=definition(guid, _scope(call).split("/")[2]))


def _no_role(guid: str) -> Exception:
    text = f"The specified role definition with ID '{guid}' does not exist."
    return arm_error(404, "RoleDefinitionDoesNotExist", text)


def list_assignments(call: Call) -> Answer:
    """Return assignments at, above and below a scope; with `atScope()` none below it."""
    scope = _scope(call).lower()
    found = [
        doc
        for doc in call.state.resources(ASSIGNMENT_TYPE)
        if _covers(doc["properties"]["scope"], scope) or _covers(scope, doc["properties"]["scope"])
    ]
    condition = call.query.get("$filter", "").strip()
    for part in filter(None, re.split(r"\s+and\s+", condition, flags=re.IGNORECASE)):
        if re.fullmatch(r"atScope\(\)", part, re.IGNORECASE):
            found = [doc for doc in found if _covers(doc["properties"]["scope"], scope)]
        elif match := re.fullmatch(r"principalId\s+eq\s+'([^']*)'", part, re.IGNORECASE):
            wanted = match.group(1).lower()
            found = [d for d in found if d["properties"]["principalId"].lower() == wanted]
        else:
            raise arm_error(400, "BadRequestFormat", f"The filter '{part}' is not imitated.")
    return Answer(body={"value": found})


def _covers(outer: str, inner: str) -> bool:
    return f"{inner.lower()}/".startswith(f"{outer.lower()}/")


def _assignment_id(call: Call) -> str:
    return f"{_scope(call)}/providers/{ASSIGNMENT_TYPE}/{call.params['name'].lower()}"


def get_assignment(call: Call) -> Answer:
    """Return one role assignment."""
    found = call.state.resource(_assignment_id(call))
    if found is None:
        text = f"The role assignment '{call.params['name']}' is not found."
        raise arm_error(404, "RoleAssignmentNotFound", text)
    return Answer(body=found)


def delete_assignment(call: Call) -> Answer:
    """Remove one role assignment: 200 with it, or 204."""
    found = call.state.resource(_assignment_id(call))
    if found is None:
        return Answer(status=204)
    call.state.delete_resource(found["id"])
    return Answer(body=found)


def put_assignment(call: Call) -> Answer:
    """Create a role assignment; the same again changes nothing."""
    wanted = _wanted(call)
    keys = ("scope", "roleDefinitionId", "principalId")
    name = call.params["name"].lower()

    def same(doc: Json) -> bool:
        return all(doc["properties"][key].lower() == wanted[key].lower() for key in keys)

    for doc in call.state.resources_named(ASSIGNMENT_TYPE, name):
        if same(doc):
            return Answer(status=call.state.switches.repeated_assignment_status, body=doc)
        text = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise arm_error(400, "RoleAssignmentUpdateNotPermitted", text)
    for doc in filter(same, call.state.resources(ASSIGNMENT_TYPE, under=wanted["scope"])):
        text = "The role assignment already exists. The ID of the existing role assignment is "
        raise arm_error(409, "RoleAssignmentExists", f"{text}{doc['name'].replace('-', '')}.")
    moment = utc_text(call.state.now())
    stamps = {"createdOn": moment, "updatedOn": moment}
    stamps |= {"createdBy": call.identity or "", "updatedBy": call.identity or ""}
    resource_id = f"{wanted['scope']}/providers/{ASSIGNMENT_TYPE}/{name}"
    doc = {"id": resource_id, "name": name, "type": ASSIGNMENT_TYPE, "properties": wanted | stamps}
    call.state.put_resource(doc)
    return Answer(status=201, body=doc)


def _wanted(call: Call) -> Json:
    """Return the properties of a new assignment, checked."""
    if not _GUID.fullmatch(call.params["name"].lower()):
        text = f"The role assignment ID '{call.params['name']}' is not valid. It must be a GUID."
        raise arm_error(400, "InvalidRoleAssignmentId", text)
    body: Json = parsed(call).get("properties") or {}
    known = {"principalId", "principalType", "roleDefinitionId", "description", "condition"}
    known |= {"conditionVersion", "delegatedManagedIdentityResourceId"}
    needed = ("principalId", "roleDefinitionId")
    if not all(isinstance(body.get(k), str) for k in needed) or set(body) - known:
        text = "The request content was invalid: properties must hold principalId and "
        raise arm_error(400, "InvalidRequestContent", f"{text}roleDefinitionId, both strings.")
    role = body["roleDefinitionId"].rsplit("/", 1)[-1].lower()
    if role not in built_in_roles():
        raise _no_role(role)
    scope = _scope(call)
    role_id = f"/subscriptions/{scope.split('/')[2]}/providers/Microsoft.Authorization"
    return {
        "roleDefinitionId": f"{role_id}/roleDefinitions/{role}",
        "principalId": body["principalId"],
        "principalType": _principal_type(call, body),
        "scope": scope,
        "condition": body.get("condition"),
        "conditionVersion": body.get("conditionVersion"),
        "delegatedManagedIdentityResourceId": body.get("delegatedManagedIdentityResourceId"),
        "description": body.get("description"),
    }


def _principal_type(call: Call, body: Json) -> str:
    """Return the given type; without one the principal must be in the directory."""
    given = body.get("principalType")
    if given is None:
        found = directory.find(call.state, body["principalId"])
        given = found["kind"] if found else None
        if given is None:
            text = f"Principal {body['principalId']} does not exist in the directory "
            text += f"{call.state.meta('tenant_id')}. Check that you have the correct principal ID."
            text += " If you are creating this principal and then immediately assigning a role, "
            text += "set the role assignment principalType property to a value, such as "
            raise arm_error(400, "PrincipalNotFound", f"{text}ServicePrincipal, User, or Group.")
    spelled = {kind.lower(): kind for kind in _PRINCIPAL_TYPES}
    if str(given).lower() not in spelled:
        text = f"The principalType '{given}' is not valid."
        raise arm_error(400, "InvalidPrincipalType", text)
    return spelled[str(given).lower()]


def assignment(scope: str, role: str, principal: str, kind: str, moment: float, by: str) -> Json:
    """Return a seeded assignment; its name is derived, so it is the same every time."""
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope.lower()}|{role}|{principal}"))
    at = utc_text(moment)
    role_id = f"/subscriptions/{scope.split('/')[2]}/providers/Microsoft.Authorization"
    return {
        "id": f"{scope}/providers/{ASSIGNMENT_TYPE}/{name}",
        "name": name,
        "type": ASSIGNMENT_TYPE,
        "properties": {
            "roleDefinitionId": f"{role_id}/roleDefinitions/{role}",
            "principalId": principal,
            "principalType": kind,
            "scope": scope,
            "condition": None,
            "conditionVersion": None,
            "delegatedManagedIdentityResourceId": None,
            "description": None,
            "createdOn": at,
            "updatedOn": at,
            "createdBy": by,
            "updatedBy": by,
        },
    }


_SCOPE = "/{scope*}/providers/Microsoft.Authorization"
_TABLE = (
    ("GET", "/roleDefinitions", list_definitions, "roleDefinitions/read"),
    ("GET", "/roleDefinitions/{name}", get_definition, "roleDefinitions/read"),
    ("GET", "/roleAssignments", list_assignments, "roleAssignments/read"),
    ("GET", "/roleAssignments/{name}", get_assignment, "roleAssignments/read"),
    ("PUT", "/roleAssignments/{name}", put_assignment, "roleAssignments/write"),
    ("DELETE", "/roleAssignments/{name}", delete_assignment, "roleAssignments/delete"),
)
ROUTES = [
    Route(
        surface="arm",
        method=method,
        template=_SCOPE + template,
        handler=handler,
        api_versions=VERSIONS,
        action=f"Microsoft.Authorization/{action}",
    )
    for method, template, handler, action in _TABLE
]
