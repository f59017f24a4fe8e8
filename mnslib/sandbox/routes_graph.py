"""Microsoft Graph: looking up users, groups and service principals.

Reads only. Forms and texts follow the Graph v1.0 reference (users, groups, servicePrincipals,
directoryObjects: getByIds); what `$filter` and the other options cannot do here is refused.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from urllib.parse import urlencode

from mnslib.sandbox import directory, grants
from mnslib.sandbox.state import utc_text
from mnslib.sandbox.wire import Answer, Call, Json, Refusal, parsed, routes

# Application permissions that open a collection. Source: Graph permissions reference.
_PERMISSIONS = {
    "users": {"Directory.Read.All", "User.Read.All", "User.ReadBasic.All"},
    "groups": {"Directory.Read.All", "Group.Read.All"},
    "servicePrincipals": {"Directory.Read.All", "Application.Read.All"},
    "directoryObjects": {"Directory.Read.All"},
}
_KINDS = {"users": "User", "groups": "Group", "servicePrincipals": "ServicePrincipal"}
_TYPES = {"User": "user", "Group": "group", "ServicePrincipal": "servicePrincipal"}
_TEXT = r"'(?:[^']|'')*'"
_CONDITION = re.compile(
    rf"(?P<eq>\w+)\s+eq\s+(?P<v1>{_TEXT})"
    rf"|(?P<in>\w+)\s+in\s*\((?P<v2>\s*{_TEXT}\s*(?:,\s*{_TEXT}\s*)*)\)"
    rf"|startswith\(\s*(?P<start>\w+)\s*,\s*(?P<v3>{_TEXT})\s*\)"
    rf"|(?P<any>\w+)/any\((?P<x>\w+):\s*(?P=x)\s+eq\s+(?P<v4>{_TEXT})\)",
    re.IGNORECASE,
)
_MOST_CONDITIONS = 15  # joined by `or`. Source: Microsoft Graph, known issues of `$filter`
_PAGE, _LARGEST_PAGE = 100, 999  # Source: Microsoft Graph, list users, groups, members
_IDS_LIMIT = 1000  # Source: directoryObjects: getByIds
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def list_objects(call: Call) -> Answer:
    """Return the objects of a collection that meet the filter."""
    kind = _kind(call)
    found = _filtered(call, kind, _of_kind(call, kind))
    return _page(call, call.params["collection"], found, lambda page: _selected(call, kind, page))


def get_object(call: Call) -> Answer:
    """Return one object by id; a user also by user principal name."""
    kind, wanted = _kind(call), call.params["key"].lower()
    for one in _of_kind(call, kind):
        if wanted in (one["id"], one.get("userPrincipalName", "").lower()):
            context = f"{call.origin}/graph/v1.0/$metadata#{call.params['collection']}/$entity"
            return Answer(body={"@odata.context": context} | _selected(call, kind, [one])[0])
    raise _not_found(call)


def list_members(call: Call) -> Answer:
    """Return the direct members of a group."""
    return _page(call, "directoryObjects", _typed(call, _group(call).get("members", [])))


def list_transitive_members(call: Call) -> Answer:
    """Return the members of a group and of the groups in it."""
    _group(call)
    return _page(
        call, "directoryObjects", _typed(call, directory.members_of(call.state, call.params["key"]))
    )


def get_by_ids(call: Call) -> Answer:
    """Return the objects of these ids; ids that nobody has are left out."""
    _allow(call, "directoryObjects")
    body = parsed(call)
    ids, types = body.get("ids"), body.get("types")
    if not isinstance(ids, list) or not 0 < len(ids) <= _IDS_LIMIT:
        text = f"The 'ids' must be a collection of 1 to {_IDS_LIMIT} ids."
        raise _error(call, 400, "Request_BadRequest", text)
    for one in ids:
        if not isinstance(one, str) or not _GUID.fullmatch(one):
            raise _error(call, 400, "Request_BadRequest", f"Invalid GUID:{one}")
    found = _typed(call, ids)
    if isinstance(types, list) and "directoryObject" not in types:
        names = {str(name).lower() for name in types}
        found = [one for one in found if one["@odata.type"].rpartition(".")[2].lower() in names]
    context = f"{call.origin}/graph/v1.0/$metadata#directoryObjects"
    return Answer(body={"@odata.context": context, "value": found})


def me(call: Call) -> Answer:
    """Return the signed-in user; an application is nobody."""
    guid, caller = _caller(call)
    if caller.get("kind") == "User":
        context = f"{call.origin}/graph/v1.0/$metadata#users/$entity"
        return Answer(body={"@odata.context": context} | _shown(guid, caller))
    text = "/me request is only valid with delegated authentication flow."
    raise _error(call, 400, "BadRequest", text)


def _group(call: Call) -> Json:
    _allow(call, "groups")
    _only(call, "$top", "$skiptoken")
    group = directory.find(call.state, call.params["key"])
    if group is None or group["kind"] != "Group":
        raise _not_found(call)
    return group


def _page(
    call: Call,
    collection: str,
    found: list[Json],
    shown: Callable[[list[Json]], list[Json]] = lambda page: page,
) -> Answer:
    """Return one page of objects, and where the next one is."""
    asked, token = call.query.get("$top", str(_PAGE)), call.query.get("$skiptoken", "0")
    if not re.fullmatch(r"[1-9]\d{0,2}", asked):
        text = f"Invalid page size specified: '{asked[:20]}'. Must be between 1 and {_LARGEST_PAGE}"
        raise _error(call, 400, "Request_UnsupportedQuery", f"{text} inclusive.")
    if not re.fullmatch(r"\d{1,9}", token):
        text = "The specified page token value has expired and can no longer be included in your "
        raise _error(call, 400, "Directory_ExpiredPageToken", f"{text}request.")
    start, end = int(token), int(token) + int(asked)
    body: Json = {"@odata.context": f"{call.origin}/graph/v1.0/$metadata#{collection}"}
    if end < len(found):
        query = urlencode({**call.query, "$skiptoken": end}, safe="$")
        body["@odata.nextLink"] = f"{call.origin}{call.path}?{query}"
    return Answer(body=body | {"value": shown(found[start:end])})


def _only(call: Call, *known: str) -> None:
    """Refuse the options of a query that are not imitated."""
    unknown = {option for option in call.query if option.startswith("$")} - {*known}
    if unknown:
        text = f"The query option '{min(unknown)}' is not imitated."
        raise _error(call, 400, "BadRequest", text)


def _kind(call: Call) -> str:
    """Return the kind of objects in the path's collection, if the caller may read them."""
    name = call.params["collection"]
    if name not in _KINDS:
        text = f"Resource not found for the segment '{name}'."
        raise _error(call, 400, "BadRequest", text)
    _allow(call, name)
    _only(call, "$filter", "$select", "$top", "$skiptoken")
    return _KINDS[name]


def _caller(call: Call) -> tuple[str, Json]:
    guid, _ = grants.of(call.state).person(call.identity)
    return guid, directory.find(call.state, guid) or {}


def _allow(call: Call, collection: str) -> None:
    _, caller = _caller(call)
    if caller.get("kind") == "User":  # Source: Entra ID, default permissions of member users
        return
    if not _PERMISSIONS[collection] & set(caller.get("graph", [])):
        text = "Insufficient privileges to complete the operation."
        raise _error(call, 403, "Authorization_RequestDenied", text)


def _of_kind(call: Call, kind: str) -> list[Json]:
    known = directory.entries(call.state)
    return [_shown(guid, known[guid]) for guid in sorted(known) if known[guid]["kind"] == kind]


def _shown(guid: str, entry: Json) -> Json:
    """Return the properties that Graph answers by default, as far as they are imitated."""
    shown: Json = {"id": guid, "displayName": entry["displayName"]}
    since = f"{utc_text(entry['since'])[:19]}Z"
    if entry["kind"] == "User":
        name = entry["userPrincipalName"]
        given, _, surname = entry["displayName"].partition(" ")
        shown |= {"userPrincipalName": name, "mail": name, "givenName": given, "surname": surname}
    elif entry["kind"] == "Group":
        shown |= {"createdDateTime": since, "description": None, "groupTypes": []}
        shown |= {
            "mail": entry.get("mail"),
            "mailEnabled": "mail" in entry,
            "mailNickname": entry["displayName"],
        }
        shown |= {"securityEnabled": True, "visibility": None}
    else:
        shown |= {"appId": entry["appId"], "accountEnabled": True, "createdDateTime": since}
        shown |= {"appDisplayName": entry["displayName"], "servicePrincipalNames": [entry["appId"]]}
        shown["servicePrincipalType"] = entry.get("servicePrincipalType", "Application")
    return shown


def _typed(call: Call, ids: Iterable[str]) -> list[Json]:
    """Return the objects of these ids, each with its type, as collections of all kinds have it."""
    known = directory.entries(call.state)
    return [
        {"@odata.type": f"#microsoft.graph.{_TYPES[known[guid]['kind']]}"}
        | _shown(guid, known[guid])
        for guid in dict.fromkeys(one.lower() for one in ids)
        if guid in known
    ]


def _filtered(call: Call, kind: str, found: list[Json]) -> list[Json]:
    """Return what meets `$filter`: every condition of one of its clauses; case is ignored."""
    text = call.query.get("$filter", "").strip()
    if not text:
        return found
    clauses = [
        [_condition(call, kind, part.strip()) for part in _split(clause, "and")]
        for clause in _split(text, "or")
    ]
    count = sum(len(values) for clause in clauses for _, values, _ in clause)
    if count > _MOST_CONDITIONS:
        text = "Too many child clauses specified in search filter expression containing 'OR' "
        text += f"operators: {count}. Max allowed: {_MOST_CONDITIONS}."
        raise _error(call, 400, "Request_UnsupportedQuery", text)
    return [
        one
        for one in found
        if any(all(_meets(one, condition) for condition in clause) for clause in clauses)
    ]


def _split(text: str, word: str) -> list[str]:
    """Return what a word joins, outside of texts."""
    return re.split(rf"\s+{word}\s+(?=(?:[^']|'[^']*')*$)", text, flags=re.IGNORECASE)


def _condition(call: Call, kind: str, part: str) -> tuple[str, list[str], bool]:
    """Return a condition: the property, the texts it may be, whether it need only begin so."""
    match = _CONDITION.fullmatch(part)
    if not match:
        raise _error(call, 400, "BadRequest", f"Invalid filter clause: '{part}'.")
    name = match["eq"] or match["in"] or match["start"] or match["any"]
    names = {"User": "userPrincipalName mail", "Group": "mailNickname mail"}
    allowed = [*names.get(kind, "appId").split(), "id", "displayName"]
    if match["any"]:
        allowed = ["servicePrincipalNames"] if kind == "ServicePrincipal" else []
    if name not in allowed:
        text = "Unsupported or invalid query filter clause specified for property "
        text += f"'{name}' of resource '{kind}'."
        raise _error(call, 400, "Request_UnsupportedQuery", text)
    said = match["v1"] or match["v2"] or match["v3"] or match["v4"]
    values = [one[1:-1].replace("''", "'").lower() for one in re.findall(_TEXT, said)]
    return name, values, bool(match["start"])


def _meets(one: Json, condition: tuple[str, list[str], bool]) -> bool:
    name, values, is_start = condition
    value = one[name]
    texts = [text.lower() for text in (value if isinstance(value, list) else [value or ""])]
    return any(text.startswith(values[0]) if is_start else text in values for text in texts)


def _selected(call: Call, kind: str, found: list[Json]) -> list[Json]:
    names = [name.strip() for name in call.query.get("$select", "").split(",") if name.strip()]
    if not names:
        return found
    for one in found:
        for name in names:
            if name not in one:
                text = f"Could not find a property named '{name}' on type "
                raise _error(call, 400, "BadRequest", f"{text}'microsoft.graph.{_TYPES[kind]}'.")
    return [{name: one[name] for name in names} for one in found]


def _not_found(call: Call) -> Refusal:
    text = f"Resource '{call.params['key']}' does not exist or one of its queried "
    text += "reference-property objects are not present."
    return _error(call, 404, "Request_ResourceNotFound", text)


def _error(call: Call, status: int, code: str, message: str) -> Refusal:
    """Return the error form of Microsoft Graph."""
    request_id = str(uuid.uuid4())
    inner = {
        "date": utc_text(call.state.now())[:19],
        "request-id": request_id,
        "client-request-id": call.headers.get("client-request-id", request_id),
    }
    body = {"error": {"code": code, "message": message, "innerError": inner}}
    return Refusal(Answer(status=status, body=body))


_TABLE = (
    ("GET", "/me", me),
    ("POST", "/directoryObjects/getByIds", get_by_ids),
    ("GET", "/groups/{key}/members", list_members),
    ("GET", "/groups/{key}/transitiveMembers", list_transitive_members),
    ("GET", "/{collection}", list_objects),
    ("GET", "/{collection}/{key}", get_object),
)
ROUTES = routes("graph", "/graph/v1.0", _TABLE)
