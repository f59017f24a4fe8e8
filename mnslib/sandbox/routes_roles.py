"""Role definitions and role assignments at any scope, as Microsoft.Authorization answers them."""

from __future__ import annotations

import re

from mnslib.sandbox import directory, grants
from mnslib.sandbox.offers import arm_routes
from mnslib.sandbox.resources import ASSIGNMENT_TYPE, DEFINITION_TYPE, assignment, definition_id
from mnslib.sandbox.roles import built_in_roles, permission
from mnslib.sandbox.wire import Answer, Call, Json, addressed, arm_error, page, paged

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PRINCIPAL_TYPES = ("User", "Group", "ServicePrincipal", "ForeignGroup", "Device")


def definition(guid: str, scope: str) -> Json:
    """Return a built-in role as answered at a scope."""
    role = built_in_roles()[guid]
    return {
        "id": definition_id(guid, scope),
        "name": guid,
        "type": DEFINITION_TYPE,
        "properties": {
            "roleName": role["name"],
            "type": "BuiltInRole",
            "description": role["description"],
            "assignableScopes": ["/"],
            "permissions": [permission(guid)],
        },
    }


def _scope(call: Call) -> str:
    """Return the scope of the path, which must exist; "" is the root.

    Raises:
        Refusal: 404.
    """
    scope = call.params["scope"].rstrip("/")
    parts = scope.lower().split("/")
    known = grants.of(call.state).subscriptions
    if scope and (len(parts) < 3 or parts[1] != "subscriptions" or parts[2] not in known):
        text = f"The subscription of scope '{scope}' could not be found."
        raise arm_error(404, "SubscriptionNotFound", text)
    group = "/".join(parts[:5])
    known_group = parts[3:4] == ["resourcegroups"] and call.state.resource(group) is not None
    if len(parts) > 3 and not known_group:
        text = f"Resource group '{''.join(parts[4:5])}' could not be found."
        raise arm_error(404, "ResourceGroupNotFound", text)
    # the old form .../namespaces/{name} counts too, and needs no ARM resource of that name
    old_form = len(parts) == 11 and parts[9] == "namespaces"
    resource = "/".join(parts[:9]) if old_form else scope
    if len(parts) > 5 and call.state.resource(resource) is None:
        text = f"The resource at scope '{scope}' was not found."
        raise arm_error(404, "ResourceNotFound", text)
    return scope


def _conditions(call: Call) -> list[tuple[str, str]]:
    """Return name and value of each part of the filter; `atScope()` has an empty value.

    Raises:
        Refusal: 400 for what is no such filter.
    """
    found = []
    text = call.query.get("$filter", "").strip()
    for part in filter(None, re.split(r"\s+and\s+", text, flags=re.IGNORECASE)):
        match = re.fullmatch(r"(\w+)(?:\s+eq\s+'([^']*)'|\(\s*(?:'([^']*)')?\s*\))", part)
        if not match:
            raise _bad_filter(part)
        found.append((match[1].lower(), match[2] or match[3] or ""))
    return found


def _bad_filter(part: str) -> Exception:
    return arm_error(400, "BadRequestFormat", f"The filter '{part}' is not imitated.")


def list_definitions(call: Call) -> Answer:
    """Return built-in roles: all, those of one name, or those of a type (no other has any)."""
    scope = _scope(call)
    roles = [definition(guid, scope) for guid in built_in_roles()]
    for name, value in _conditions(call):
        if name in ("rolename", "type"):
            key = "roleName" if name == "rolename" else "type"
            roles = [one for one in roles if one["properties"][key].lower() == value.lower()]
        elif name not in ("atscope", "atscopeandbelow"):
            raise _bad_filter(name)
    return Answer(body={"value": roles})


def get_definition(call: Call) -> Answer:
    """Return one built-in role."""
    guid = call.params["name"].lower()
    if guid not in built_in_roles():
        raise _no_role(guid)
    return Answer(body=definition(guid, _scope(call)))


def _no_role(guid: str) -> Exception:
    text = f"The specified role definition with ID '{guid}' does not exist."
    return arm_error(404, "RoleDefinitionDoesNotExist", text)


def list_assignments(call: Call) -> Answer:
    """Return assignments at, above and below a scope, shortened by the filter.

    `atScope()` leaves out those below; `principalId` and `assignedTo` name whose are wanted, the
    latter with those of the groups it is in.
    """
    scope, state = _scope(call), call.state
    found = [
        doc
        for doc in state.resources(ASSIGNMENT_TYPE)
        if _covers(doc["properties"]["scope"], scope) or _covers(scope, doc["properties"]["scope"])
    ]
    for name, value in _conditions(call):
        if name == "atscope":
            found = [doc for doc in found if _covers(doc["properties"]["scope"], scope)]
        elif name in ("principalid", "assignedto"):
            whose = {value.lower()}
            if name == "assignedto":
                whose |= directory.groups_of(state, value)
            found = [doc for doc in found if doc["properties"]["principalId"].lower() in whose]
        else:
            raise _bad_filter(name)
    return Answer(body=page(call, paged(found) or [[]]))


def _covers(outer: str, inner: str) -> bool:
    return f"{inner.lower()}/".startswith(f"{outer.lower().rstrip('/')}/")


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
    grants.withdraw(call.state, found)
    return Answer(body=found)


def put_assignment(call: Call) -> Answer:
    """Create a role assignment; the same again changes nothing."""
    state, wanted, name = call.state, _wanted(call), call.params["name"].lower()

    known, role = grants.of(state), wanted["roleDefinitionId"].rsplit("/", 1)[-1]
    same = known.same(wanted["principalId"], role, wanted["scope"])
    if present := known.named(name):
        if same and same.id == present["id"]:
            return Answer(status=state.switches.repeated_assignment_status, body=present)
        text = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise arm_error(400, "RoleAssignmentUpdateNotPermitted", text)
    if same:
        text = "The role assignment already exists. The ID of the existing role assignment is "
        raise arm_error(409, "RoleAssignmentExists", f"{text}{same.name.replace('-', '')}.")
    _check_limit(call, wanted["scope"])
    by, _ = known.person(call.identity)
    doc = assignment(name, wanted, state.now(), by)
    state.put_resource(doc)
    return Answer(status=201, body=doc)


def _check_limit(call: Call, scope: str) -> None:
    limit = call.state.switches.role_assignments_per_subscription
    if scope != "/" and grants.of(call.state).taken(scope) >= limit:
        text = "No more role assignments can be created."
        raise arm_error(400, "RoleAssignmentLimitExceeded", text)


def _wanted(call: Call) -> Json:
    if not _GUID.fullmatch(call.params["name"].lower()):
        text = f"The role assignment ID '{call.params['name']}' is not valid. It must be a GUID."
        raise arm_error(400, "InvalidRoleAssignmentId", text)
    body = addressed(call).get("properties")
    body = {k: v for k, v in body.items() if v is not None} if isinstance(body, dict) else {}
    known = {"principalId", "principalType", "roleDefinitionId", "description", "condition"}
    known |= {"conditionVersion", "delegatedManagedIdentityResourceId", "scope"}
    needed = {"principalId", "roleDefinitionId"}
    texts = all(isinstance(value, str) for value in body.values())
    if not texts or needed - set(body) or set(body) - known:
        text = "The request content was invalid: properties must hold principalId and "
        raise arm_error(400, "InvalidRequestContent", f"{text}roleDefinitionId, both strings.")
    if "condition" in body:  # kept but not asked, it would allow what Azure refuses
        text = "Conditions of role assignments are not imitated by the sandbox."
        raise arm_error(400, "InvalidRequestContent", text)
    role = body["roleDefinitionId"].rsplit("/", 1)[-1].lower()
    if role not in built_in_roles():
        raise _no_role(role)
    scope = _scope(call)
    return {
        "roleDefinitionId": definition_id(role, scope),
        "principalId": body["principalId"].lower(),
        "principalType": _principal_type(call, body),
        "scope": scope or "/",
        "description": body.get("description"),
    }


def _principal_type(call: Call, body: Json) -> str:
    """Return the given type, which must not contradict the directory; without one it is asked."""
    principal, state = body["principalId"].lower(), call.state
    spelled = {kind.lower(): kind for kind in _PRINCIPAL_TYPES}
    given = spelled.get(str(body.get("principalType", "")).lower())
    if "principalType" in body and given is None:
        text = f"The principalType '{body['principalType']}' is not valid."
        raise arm_error(400, "InvalidPrincipalType", text)
    found = directory.find(state, principal)
    if found and found["since"] + state.switches.principal_delay_seconds > state.now():
        found = None  # not copied yet to where role assignments look
    if found and given not in (None, found["kind"]):
        text = f"The PrincipalId '{principal.replace('-', '')}' has type '{found['kind']}' , which "
        text += f"is different from specified PrinciaplType '{given}'."  # Azure's spelling
        raise arm_error(400, "UnmatchedPrincipalType", text)
    if given or found:
        return given or str(found and found["kind"])
    text = f"Principal {principal.replace('-', '')} does not exist in the directory "
    text += f"{state.meta('tenant_id')}. Check that you have the correct principal ID. If you are "
    text += "creating this principal and then immediately assigning a role, this error might be "
    text += "related to a replication delay. In this case, set the role assignment principalType "
    text += "property to a value, such as ServicePrincipal, User, or Group.  See "
    raise arm_error(400, "PrincipalNotFound", f"{text}https://aka.ms/docs-principaltype")


def list_permissions(call: Call) -> Answer:
    """Return what the caller's assignments at or above a scope allow; none is an empty list."""
    known, scope = grants.of(call.state), _scope(call)
    roles = sorted({grant.role for grant in known.held(known.person(call.identity)[0], scope)})
    return Answer(body={"value": [permission(role) for role in roles]})


_SCOPE = "{scope*}/providers/Microsoft.Authorization"
_TABLE = (
    ("GET", _SCOPE + "/roleDefinitions", list_definitions, "roleDefinitions/read"),
    ("GET", _SCOPE + "/roleDefinitions/{name}", get_definition, "roleDefinitions/read"),
    ("GET", _SCOPE + "/roleAssignments", list_assignments, "roleAssignments/read"),
    ("GET", _SCOPE + "/roleAssignments/{name}", get_assignment, "roleAssignments/read"),
    ("PUT", _SCOPE + "/roleAssignments/{name}", put_assignment, "roleAssignments/write"),
    ("DELETE", _SCOPE + "/roleAssignments/{name}", delete_assignment, "roleAssignments/delete"),
    ("GET", _SCOPE + "/permissions", list_permissions, ""),
)
ROUTES = arm_routes("authorization", _TABLE, prefix="Microsoft.Authorization/")
