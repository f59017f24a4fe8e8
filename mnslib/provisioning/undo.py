"""From the journal of a run to the requests that restore what it changed, and what none can.

Only the fields that the run changed are asked for, so that what others have done since stays. Pure;
the requests go through plan and approval like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mnslib.models import (
    BUILT_IN_ROLES,
    POLICY_FIELDS,
    QUOTA_FIELDS,
    AccessGrant,
    AdoptionPolicy,
    DeletePolicy,
    Ensure,
    PrincipalType,
)
from mnslib.provisioning.changes import OWNED_MAPPINGS
from mnslib.requests.cells import grant_text, revocation_text
from mnslib.requests.export import PAIR_READERS, kept
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.results import ChangeKind, ItemOutcome, OutcomeKind
from mnslib.secrets import HIDDEN

Image = Mapping[str, Any]
"""A managed namespace as `namespace_to_json` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """Requests by column, as YAML holds them, and sentences about what stays as it is."""

    rows: tuple[dict[str, Any], ...]
    lost: tuple[str, ...]


def undo(events: Iterable[Mapping[str, Any]]) -> Undo:
    """Return what restores the namespaces as the journal found them."""
    first: dict[str, Mapping[str, Any]] = {}
    last: dict[str, Mapping[str, Any]] = {}
    roles: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    outcomes: dict[str, OutcomeKind] = {}
    accepted: set[str] = set()
    lost: list[str] = []
    for event in events:
        match event["event"]:
            case "started":
                key = ManagedNamespaceId.parse(event["id"]).key
                first.setdefault(key, event)
                last[key] = event
            case "accepted":
                accepted.add(ManagedNamespaceId.parse(event["id"]).key)
            case "granting" | "revoking":
                whose = event["principal_id"], event["role"]
                of_item = roles.setdefault(ManagedNamespaceId.parse(event["id"]).key, {})
                of_item.setdefault(whose, event)
            case "finished":
                outcome = ItemOutcome.from_json(event)
                outcomes[outcome.id.key] = outcome.outcome
    rows = []
    for key in sorted(first.keys() | roles.keys()):
        events_of_roles = list(roles.get(key, {}).values())
        event = first.get(key) or events_of_roles[0]
        row = _Restoring(ManagedNamespaceId.parse(event["id"]), lost)
        cells: dict[str, Any] = {}
        if key in first and row.is_ours(outcomes.get(key), is_accepted=key in accepted):
            cells = row.cells(event["change"], event["before"], last[key]["after"])
        cells |= row.access(events_of_roles, stays="ensure" not in cells)
        rows += [row.identity() | cells] if cells else []
    return Undo(rows=tuple(rows), lost=tuple(dict.fromkeys(lost)))


def _place(name: ManagedNamespaceId) -> str:
    return f"{name.namespace_name} on {name.cluster.cluster_name}"


@dataclass(frozen=True, slots=True)
class _Restoring:
    """The request that restores one namespace; says in `lost` what it cannot."""

    id: ManagedNamespaceId
    lost: list[str]

    def identity(self) -> dict[str, str]:
        cluster = self.id.cluster
        return {
            "subscription_id": cluster.subscription_id,
            "resource_group": cluster.resource_group,
            "cluster_name": cluster.cluster_name,
            "namespace_name": self.id.namespace_name,
        }

    def cells(self, change: str, before: Image | None, after: Image | None) -> dict[str, Any]:
        """Return what to ask for beside the identity; nothing where nothing can or need be done."""
        if before is None:
            return self._take_away(change, after or {})
        if after is None:
            return self._make_again(before)
        return self._changed(before, after)

    def is_ours(self, outcome: OutcomeKind | None, *, is_accepted: bool) -> bool:
        """Return whether what stands there is what the run wrote, and not somebody else's."""
        if outcome is OutcomeKind.SKIPPED:  # found changed by somebody else
            if is_accepted:
                self._say("somebody else changed it after this run: it stays")
            return False
        if outcome is OutcomeKind.FAILED and not is_accepted:
            self._say("its write was not seen to be accepted: what is there stays")
            return False
        return True

    def access(self, events: Sequence[Mapping[str, Any]], *, stays: bool) -> dict[str, list[str]]:
        """Return what to ask for, so that whoever had a role has it, and nobody else.

        Args:
            events: the first of each role of each principal.
            stays: False where the namespace goes, and with it the roles that were granted on it.
        """
        entries = []
        for event in events:
            is_granted = event["event"] == "granting"
            kind = event.get("principal_type", "")  # which journals of before do not say
            what = f"({event['role']} of {event['principal_id']})"
            if not stays and is_granted:
                continue
            if not stays or event.get("has_condition") or kind not in list(PrincipalType):
                self._say(f"a role {'stays' if is_granted else 'is not granted again'} {what}")
                continue
            grant = AccessGrant(
                principal_type=PrincipalType(kind),
                principal_id=event["principal_id"],
                role=event["role"],
                role_guid=BUILT_IN_ROLES[event["role"]],
            )
            entries.append(revocation_text(grant) if is_granted else grant_text(grant))
        return {"access": entries} if entries else {}

    def _say(self, sentence: str) -> None:
        self.lost.append(f"{_place(self.id)}: {sentence}")

    def _take_away(self, change: str, after: Image) -> dict[str, str]:
        keeps = after.get("delete_policy") != DeletePolicy.DELETE
        if change == ChangeKind.ADOPT:
            self._say("what its adoption overwrote on the Kubernetes namespace stays overwritten")
            if not keeps:
                self._say(
                    "it was there before the run, and its delete policy is Delete, which would "
                    "take all of it along: it stays managed; set delete_policy to Keep first, then "
                    "ensure to absent"
                )
                return {}
        elif keeps:
            self._say("the Kubernetes namespace stays, unmanaged")
        return {"ensure": Ensure.ABSENT.value}

    def _make_again(self, before: Image) -> dict[str, Any]:
        if before["delete_policy"] == DeletePolicy.DELETE:
            self._say("what was in the Kubernetes namespace is lost; an empty one is made")
        else:
            self._say("its Kubernetes namespace stayed: labels and annotations there come along")
            if before["adoption_policy"] in (None, AdoptionPolicy.NEVER):
                self._say("to take it over again, adoption_policy comes back as Always")
                before = {**before, "adoption_policy": AdoptionPolicy.ALWAYS.value}
        missing = [name for name in QUOTA_FIELDS if name not in before["default_resource_quota"]]
        if missing:
            self._say(f"it had no {', '.join(missing)}, and cannot be made again without")
            return {}
        if unset := [name for name in POLICY_FIELDS if name not in _plain(before)]:
            self._say(f"{', '.join(unset)} had no value, and comes back as the default")
        self._say("role assignments on it went with it, and are not made again")
        return self._changed(before, {})

    def _changed(self, before: Image, after: Image) -> dict[str, Any]:
        row: dict[str, Any] = {}
        was, becomes = _plain(before), _plain(after)
        for name in (*QUOTA_FIELDS, *POLICY_FIELDS):
            if was.get(name) == becomes.get(name):
                continue
            if name in was or name in QUOTA_FIELDS:
                row[name] = was.get(name)  # null removes a quota value
            else:
                self._say(f"{name} was not set, and cannot be unset again")
        for mapping in OWNED_MAPPINGS:
            if changed := self._pairs(mapping, before[mapping], after.get(mapping, {})):
                row[mapping] = changed
        return row

    def _pairs(
        self, name: str, was: Mapping[str, str], becomes: Mapping[str, str]
    ) -> dict[str, str | None]:
        """Return what to set, and as None what to remove."""
        keys = sorted(was.keys() | becomes.keys())
        changed = {key: was.get(key) for key in keys if was.get(key) != becomes.get(key)}
        # where both are hidden, whether it changed was not kept either
        for key in [key for key in keys if was.get(key) == HIDDEN]:
            self._say(f"{name}[{key}] was not kept, as it looks like a secret")
            changed.pop(key, None)
        return kept(changed, PAIR_READERS[name], f"{_place(self.id)}: {name}", self.lost)


def _plain(image: Image) -> dict[str, str]:
    """Return quota and policies by column."""
    policy = image.get("default_network_policy", {})
    found = {
        **image.get("default_resource_quota", {}),
        "ingress_policy": policy.get("ingress"),
        "egress_policy": policy.get("egress"),
        "adoption_policy": image.get("adoption_policy"),
        "delete_policy": image.get("delete_policy"),
    }
    return {name: value for name, value in found.items() if value is not None}
