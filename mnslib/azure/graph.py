"""The directory: users, groups and service principals, as Microsoft Graph tells of them.

Reads only. Source: Microsoft Graph v1.0 reference (users, groups, servicePrincipals; getByIds of
directoryObjects; transitiveMembers of a group).

    client.directory.search("grp-pay")
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mnslib.azure.messages import read_as
from mnslib.models import Principal, PrincipalType
from mnslib.resource_ids import GUID

if TYPE_CHECKING:
    from mnslib.azure.pipeline import Rest

MOST_IDS = 1000
"""Of one getByIds. Source: Microsoft Graph, directoryObject: getByIds."""

MOST_CONDITIONS = 15
"""That one `$filter` may join by `or`. Source: Microsoft Graph, limits of `$filter`."""

PAGE = 999
"""Objects that one page may hold. Source: Microsoft Graph, `$top` of users, groups, members."""

_COLLECTIONS = {
    PrincipalType.GROUP: ("groups", ("displayName", "mail")),
    PrincipalType.USER: ("users", ("displayName", "userPrincipalName", "mail")),
    PrincipalType.SERVICE_PRINCIPAL: ("servicePrincipals", ("displayName", "appId")),
}
"""Where objects of a kind are, and the properties by which people call them."""

_KINDS = {
    "#microsoft.graph.group": PrincipalType.GROUP,
    "#microsoft.graph.user": PrincipalType.USER,
    "#microsoft.graph.serviceprincipal": PrincipalType.SERVICE_PRINCIPAL,
}


class Directory:
    """The users, groups and service principals of the tenant that the caller is signed in to.

    Every method raises `ArmForbiddenError` if the caller may not read the directory, and
    `ArmError` if it cannot be asked.
    """

    def __init__(self, rest: Rest, *, endpoint: str) -> None:
        self._rest, self._base = rest, f"{endpoint}/v1.0"

    def search(
        self, text: str, *, kinds: Sequence[PrincipalType] = tuple(_COLLECTIONS), most: int = 20
    ) -> list[Principal]:
        """Return whose name, user principal name or mail begins so, groups first, then by name.

        An object id or an application id finds its one object.

        Args:
            most: objects of each kind.
        """
        text = text.strip()
        if not text:
            return []
        found = {} if not GUID.fullmatch(text) else self.by_ids([text])
        for kind in kinds:
            collection, properties = _COLLECTIONS[kind]
            begins = [f"startswith({name},{_quoted(text)})" for name in properties]
            where = f"$filter={quote(' or '.join(begins))}&$top={most}"
            # what lies on further pages is more than was asked for
            page = self._rest.get(f"{self._base}/{collection}?{where}")[1]
            found |= {one.id: one for one in _principals(page["value"], kind)}
        order = list(_COLLECTIONS)
        wanted = [one for one in found.values() if one.kind in kinds]
        return sorted(wanted, key=lambda one: (order.index(one.kind), one.name.lower(), one.id))

    def named(self, kind: PrincipalType, names: Iterable[str]) -> dict[str, list[Principal]]:
        """Return, by each name in lower case, everything of a kind that is called exactly so.

        What people call a user by is its display name, user principal name or mail; a group's
        display name or mail; a service principal's display name or application id.
        """
        collection, properties = _COLLECTIONS[kind]
        wanted = sorted({name.lower() for name in names})
        found: dict[str, dict[str, Principal]] = defaultdict(dict)
        for some in _parts(wanted, MOST_CONDITIONS // len(properties)):
            listed = ",".join(map(_quoted, some))
            where = quote(" or ".join(f"{name} in ({listed})" for name in properties))
            url = f"{self._base}/{collection}?$filter={where}&$top={PAGE}"
            for item in self._rest.items(url):
                for one in _principals([item], kind):
                    for name in {str(item.get(name) or "").lower() for name in properties}:
                        found[name][one.id] = one
        return {name: [*found[name].values()] for name in wanted if name in found}

    def by_ids(self, ids: Iterable[str]) -> dict[str, Principal]:
        """Return the objects of these object ids, by id in lower case; unknown ids are left out."""
        url = f"{self._base}/directoryObjects/getByIds"
        types = ["user", "group", "servicePrincipal"]
        found: dict[str, Principal] = {}
        for some in _parts(sorted({one.lower() for one in ids}), MOST_IDS):
            page = self._rest.post_json(url, {"ids": some, "types": types})
            found |= {one.id: one for one in _principals(page["value"])}
        return found

    def members(self, group_id: str) -> list[Principal]:
        """Return who is in a group, also through other groups, by name; those groups too.

        Raises:
            ArmNotFoundError: if there is no such group.
        """
        url = f"{self._base}/groups/{quote(group_id)}/transitiveMembers?$top={PAGE}"
        found = list(_principals(self._rest.items(url)))
        return sorted(found, key=lambda one: (one.name.lower(), one.id))


def _parts(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _principals(items: Iterable[Any], kind: PrincipalType | None = None) -> Iterator[Principal]:
    """Yield what is a principal; a group may have devices and contacts as members, too."""
    for item in items:
        known = kind or _KINDS.get(str(item.get("@odata.type")).lower())
        if known is not None:
            yield _from_wire(item | {"kind": known})


@read_as("a directory object")
def _from_wire(item: Any) -> Principal:
    handles = ("userPrincipalName", "mail", "appId")
    return Principal(
        kind=item["kind"],
        id=str(item["id"]).lower(),
        name=str(item.get("displayName") or item["id"]),
        handle=next((str(item[name]) for name in handles if item.get(name)), ""),
    )
