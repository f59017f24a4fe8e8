"""Who holds which role where: an index of the role assignments that follows what is written.

Knows scopes and principals; nothing of what a request does, and no words of a refusal. Rights of
several assignments add up; `not...` lists subtract within their own role.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from mnslib.sandbox import directory
from mnslib.sandbox.resources import ASSIGNMENT_TYPE
from mnslib.sandbox.roles import role_allows
from mnslib.sandbox.state import State, seconds
from mnslib.sandbox.wire import Json

_WITHDRAWN_TYPE = "sandbox/withdrawnAssignments"
_FOLLOWED = (ASSIGNMENT_TYPE.lower(), _WITHDRAWN_TYPE.lower())


@lru_cache(maxsize=65536)
def _chain(scope: str) -> tuple[str, ...]:
    """Return a scope and all above it, lower-case; "" is the root."""
    parts = scope.lower().rstrip("/").split("/")
    return tuple("/".join(parts[:count]) for count in range(1, len(parts) + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One role assignment as decisions need it; in seconds, `until` is when it was removed."""

    id: str
    name: str
    principal: str
    role: str
    scope: str
    since: float
    until: float = math.inf


def _grant(doc: Json) -> Grant:
    of = doc["properties"]
    return Grant(
        id=doc["id"],
        name=doc["name"],
        principal=of["principalId"].lower(),
        role=of["roleDefinitionId"].rsplit("/", 1)[-1].lower(),
        scope=of["scope"].lower().rstrip("/"),
        since=seconds(of["createdOn"]),
        until=doc.get("withdrawn", math.inf),
    )


def _subscription(scope: str) -> str:
    """Return the subscription's own scope; "" for what lies above it."""
    return "/".join(scope.split("/")[:3])


class Grants:
    """Decides by the assignments of a state; its index follows what is written or taken back."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._people: dict[str, Json] = {}
        self._principals: dict[str, list[str]] = {}
        self.subscriptions: set[str] = set()
        self._grants: dict[str, Grant] = {}  # by id of the stored document
        self._at: dict[tuple[str, str], dict[str, Grant]] = defaultdict(dict)
        self._of: dict[str, dict[str, Grant]] = defaultdict(dict)
        self._named: dict[str, str] = {}  # ids by name
        self._taken: Counter[str] = Counter()  # by subscription
        self._settings = state.follow("settings")
        self._news = [state.follow(kind) for kind in _FOLLOWED]
        self._settings.add("all")

    def _refresh(self) -> None:
        if self._settings:
            self._settings.clear()
            self._people = self._state.meta("identities", {})
            self._principals.clear()
            subscriptions = self._state.meta("subscriptions", [])
            self.subscriptions = {one["subscriptionId"].lower() for one in subscriptions}
        for news in self._news:
            while news:
                self._renew(news.pop())

    def _renew(self, key: str) -> None:
        """Bring what the index knows of one document up to what is stored."""
        if old := self._grants.pop(key, None):
            del self._at[old.principal, old.scope][key], self._of[old.principal][key]
            if self._named.get(old.name) == key:
                del self._named[old.name]
                self._taken[_subscription(old.scope)] -= 1
        doc = self._state.resource(key)
        if doc is None:
            return
        grant = self._grants[key] = _grant(doc)
        self._at[grant.principal, grant.scope][key] = self._of[grant.principal][key] = grant
        if "withdrawn" not in doc:
            self._named[grant.name] = key
            self._taken[_subscription(grant.scope)] += 1

    def named(self, name: str) -> Json | None:
        """Return the assignment of this name, wherever it is."""
        self._refresh()
        return self._state.resource(self._named.get(name, ""))

    def same(self, principal: str, role: str, scope: str) -> Grant | None:
        """Return the assignment of this role to this principal at this very scope."""
        self._refresh()
        held = self._at.get((principal, scope.lower().rstrip("/")), {}).values()
        return next((one for one in held if one.role == role and one.until == math.inf), None)

    def taken(self, scope: str) -> int:
        """Return how many assignments there are in the subscription of a scope."""
        self._refresh()
        return self._taken[_subscription(scope.lower())]

    def person(self, caller: str | None) -> tuple[str, str]:
        """Return object id and client id of whoever is signed in; of a user its principal name."""
        self._refresh()
        if found := self._people.get(caller or ""):
            return found["object_id"], found["client_id"]
        entry = directory.find(self._state, caller or "") or {}
        name = entry.get("userPrincipalName") or entry.get("appId") or caller or ""
        return caller or "", name

    def principals(self, object_id: str) -> list[str]:
        """Return an object's id and those of the groups it is in, through other groups too."""
        self._refresh()
        if object_id not in self._principals:
            groups = directory.groups_of(self._state, object_id)
            self._principals[object_id] = [object_id.lower(), *sorted(groups)]
        return self._principals[object_id]

    def _effective(self, grants: Iterable[Grant], *, data: bool) -> Iterator[Grant]:
        switches, now = self._state.switches, self._state.now()
        delay = switches.assignment_delay_seconds
        delay = switches.data_assignment_delay_seconds if data else delay
        return (one for one in grants if one.since + delay <= now < one.until + delay)

    def held(self, object_id: str, *scopes: str, data: bool = False) -> Iterator[Grant]:
        """Return what an object or its groups hold at these scopes or above, once each."""
        principals = self.principals(object_id)
        places = dict.fromkeys(place for scope in scopes for place in _chain(scope))
        for principal in principals:
            for place in places:
                if grants := self._at.get((principal, place)):
                    yield from self._effective(grants.values(), data=data)

    def allows(
        self, caller: str | None, action: str, *scopes: str, data: bool = False
    ) -> Grant | None:
        """Return an assignment that lets an identity do this at any of the scopes, or None."""
        for grant in self.held(self.person(caller)[0], *scopes, data=data):
            if role_allows(grant.role, action, data=data):
                return grant
        return None

    def sees(self, caller: str | None, subscription: str) -> bool:
        """Return whether an identity holds anything at, above or below a subscription."""
        top = f"/subscriptions/{subscription.lower()}"
        principals = self.principals(self.person(caller)[0])
        mine = [grant for one in principals for grant in self._of.get(one, {}).values()]
        found = self._effective(mine, data=False)
        return any(grant.scope == "" or f"{grant.scope}/".startswith(f"{top}/") for grant in found)


def of(state: State) -> Grants:
    """Return the one index of a state."""
    if "grants" not in state.derived:
        state.derived["grants"] = Grants(state)
    found: Grants = state.derived["grants"]
    return found


def withdraw(state: State, assignment: Json) -> None:
    """Remove a role assignment; it goes on counting for as long as the switches say."""
    now, switches = state.now(), state.switches
    delay = max(switches.assignment_delay_seconds, switches.data_assignment_delay_seconds)
    for old in state.resources(_WITHDRAWN_TYPE):
        if old["withdrawn"] + delay <= now:
            state.delete_resource(old["id"])
    state.delete_resource(assignment["id"])
    if delay:
        doc = assignment | {"id": f"/withdrawn/{state.new_guid()}", "type": _WITHDRAWN_TYPE}
        state.put_resource(doc | {"withdrawn": now})
