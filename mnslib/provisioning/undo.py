"""From the journal of a run to the requests that restore what it changed, and what none can.

Only the fields that the run changed are asked for, so that what others have done since stays. Pure;
the requests go through plan and approval like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mnslib.models import POLICY_FIELDS, QUOTA_FIELDS, AdoptionPolicy, DeletePolicy, Ensure
from mnslib.provisioning.changes import OWNED_MAPPINGS
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
            case "granting":
                name = ManagedNamespaceId.parse(event["id"])
                lost.append(
                    f"{_place(name)}: a role stays ({event['role']} of {event['principal_id']})"
                )
            case "finished":
                outcome = ItemOutcome.from_json(event)
                outcomes[outcome.id.key] = outcome.outcome
    rows = []
    for key, event in sorted(first.items()):
        name = ManagedNamespaceId.parse(event["id"])
        if outcomes.get(key) is OutcomeKind.SKIPPED:  # found changed by somebody else
            if key in accepted:
                lost.append(f"{_place(name)}: somebody else changed it after this run: it stays")
            continue
        if outcomes.get(key) is OutcomeKind.FAILED and key not in accepted:
            # what stands there may be somebody else's
            why = "its write was not seen to be accepted: what is there stays"
            lost.append(f"{_place(name)}: {why}")
            continue
        row = _Restoring(name, lost)
        cells = row.cells(event["change"], event["before"], last[key]["after"])
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
