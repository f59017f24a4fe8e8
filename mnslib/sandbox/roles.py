"""The built-in roles (roles.yaml) and what each allows. Knows no assignment and no principal."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from mnslib.sandbox.offers import packaged
from mnslib.sandbox.wire import Json

CLUSTER_DATA = "Microsoft.ContainerService/managedClusters/"
_KINDS = ("actions", "notActions", "dataActions", "notDataActions")


@cache
def built_in_roles() -> dict[str, Json]:
    """Return name, description and rights of the built-in roles, by GUID (roles.yaml)."""
    roles: dict[str, Json] = {}
    for guid, role in packaged("roles.yaml").items():
        data = [CLUSTER_DATA + word for word in role.get("clusterData", "").split()]
        roles[guid] = role | {"dataActions": role.get("dataActions", []) + data}
    return roles


def permission(role: str) -> Json:
    """Return the four lists of a role."""
    return {kind: built_in_roles()[role].get(kind, []) for kind in _KINDS}


@cache
def _pattern(role: str, kind: str) -> re.Pattern[str]:
    words = built_in_roles()[role].get(kind, [])
    choices = "|".join(re.escape(word).replace(r"\*", ".*") for word in words)
    return re.compile(choices or r"(?!)", re.IGNORECASE)


@lru_cache(maxsize=65536)
def role_allows(role: str, action: str, *, data: bool = False) -> bool:
    """Return whether a role by itself allows an action (or data action); case does not matter."""
    given, taken = ("dataActions", "notDataActions") if data else ("actions", "notActions")
    allowed = _pattern(role, given).fullmatch(action)
    return bool(allowed) and not _pattern(role, taken).fullmatch(action)
