"""The tenant's directory: users, groups and service principals, and who belongs to what.

Stored as the setting "directory": by object id `kind`, `displayName`, `since` (seconds since 1970)
and, where it has them, `userPrincipalName`, `appId`, `mail` and `members` (of a group, object ids)
and `graph` (application permissions in Microsoft Graph). Knows no route.
"""

from __future__ import annotations

from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Json


def entries(state: State) -> dict[str, Json]:
    """Return every entry by object id."""
    found: dict[str, Json] = state.meta("directory", {})
    return found


def find(state: State, object_id: str) -> Json | None:
    """Return the entry of an object id, or None."""
    return entries(state).get(object_id.lower())


def called(state: State, text: str) -> list[str]:
    """Return the object ids of everybody whom a text names: by an id, a name or a mail."""
    wanted, known = text.strip().lower(), entries(state)
    if wanted in known:
        return [wanted]
    names = ("displayName", "userPrincipalName", "mail", "appId")
    return [
        guid
        for guid, one in known.items()
        if wanted in (str(one[name]).lower() for name in names if name in one)
    ]


def groups_of(state: State, object_id: str) -> set[str]:
    """Return the object ids of the groups that an object belongs to, also by nested groups."""
    known, found, fresh = entries(state), set[str](), {object_id.lower()}
    while fresh:
        fresh = {i for i, one in known.items() if fresh & set(one.get("members", ()))} - found
        found |= fresh
    return found


def members_of(state: State, group_id: str) -> list[str]:
    """Return the object ids of a group's members, also through groups in it, each once."""
    known, found, fresh = entries(state), dict[str, None](), [group_id.lower()]
    while fresh:
        inside = [one for i in fresh for one in known.get(i, {}).get("members", ())]
        fresh = [one for one in dict.fromkeys(inside) if one not in found]
        found |= dict.fromkeys(fresh)
    return [*found]


def add(state: State, object_id: str, entry: Json) -> None:
    """Store an entry that exists from now on."""
    state.set_meta("directory", entries(state) | {object_id: entry | {"since": state.now()}})


def remove(state: State, object_id: str) -> None:
    """Remove an entry, if it is there."""
    known = dict(entries(state))
    if known.pop(object_id, None):
        state.set_meta("directory", known)


def seeded(world: Json, moment: float) -> dict[str, Json]:
    """Return the entries of a world: its groups, its identities, and what it lists besides."""
    found: dict[str, Json] = {
        guid: {"kind": "Group", "displayName": name} for name, guid in world["groups"].items()
    }
    for name, one in world["identities"].items():
        found[one["object_id"]] = {
            "kind": "ServicePrincipal",
            "displayName": f"app-{name.replace('_', '-')}",
            "appId": one["client_id"],
            "graph": one.get("graph", []),
        }
    found |= world.get("directory", {})
    for group, members in world.get("members", {}).items():
        found[group] = found[group] | {"members": members}
    return {guid: entry | {"since": moment} for guid, entry in found.items()}
