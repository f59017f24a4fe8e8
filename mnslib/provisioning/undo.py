"""From the journal of a run to the requests that restore what it changed, and what none can.

Only the fields that the run changed are asked for, so that what others have done since stays. Pure;
the requests go through plan and approval like any other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mnslib import models
from mnslib.provisioning.changes import OWNED_MAPPINGS, Image, compared, fields_in, words
from mnslib.provisioning.companions import COLUMNS, NAMES
from mnslib.provisioning.journal import Event, Story, read_stories
from mnslib.requests.cells import REMOVED, grant_text
from mnslib.requests.export import kept
from mnslib.results import OPEN_OUTCOMES, ChangeKind, OutcomeKind
from mnslib.secrets import HIDDEN


class Lost(NamedTuple):
    """What stays of a namespace as it is, and why; one reason may have several details."""

    place: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


def undo(events: Iterable[Event]) -> tuple[list[dict[str, Any]], list[Lost]]:
    """Return requests by column that restore what the journal found, and what none can."""
    lost: list[Lost] = []
    stories = [story for _, story in sorted(read_stories(events).items())]
    for story in stories:
        if story.id == story.id.cluster.itself and story.begun:
            where = f"-g {story.id.cluster.resource_group} -n {story.id.name}"
            lost.append(Lost(story.id.name, words("undo")["cluster"].format(where=where)))
    items = [_Item(story, lost) for story in stories if story.id.namespace_name]
    rows = [item.story.id.columns | cells for item in items if (cells := item.cells())]
    return rows, [*dict.fromkeys(lost)]


@dataclass(frozen=True, slots=True)
class _Item:
    """One namespace; says in `lost` what cannot be restored of it."""

    story: Story
    lost: list[Lost]

    def say(self, what: str, detail: str = "", **facts: str) -> None:
        self.tell(words("undo")[what].format_map(facts), detail)

    def tell(self, reason: str, detail: str = "") -> None:
        place = f"{self.story.id.namespace_name} on {self.story.id.cluster.cluster_name}"
        self.lost.append(Lost(place, reason, detail))

    def cells(self) -> dict[str, Any]:
        """Return what to ask for beside the identity; nothing where nothing can or need be done."""
        roles: dict[tuple[str, str], Event] = {}
        for event in self.story.begun:
            # by its first event it is known what was there
            if event["event"] in ("granting", "revoking"):
                roles.setdefault(_role(event), event)
        cells = self._namespace_cells(self.story.writes)
        is_gone = "ensure" in cells
        access = [self._access(event, is_gone=is_gone) for event in roles.values()]
        if entries := [*filter(None, access)]:
            cells["access"] = entries
        return cells | self._companion_cells(is_gone=is_gone)

    def _namespace_cells(self, writes: Sequence[Event]) -> dict[str, Any]:
        told = {event["event"] for event in self.story.answered}
        outcome = self.story.ended[-1]["outcome"] if self.story.ended else None
        if not writes:
            return {}
        if outcome == OutcomeKind.SKIPPED:  # found changed by somebody else
            if "accepted" in told:
                self.say("changed-since")
            return {}
        is_without = "stood" in told or outcome in (OutcomeKind.FAILED, OutcomeKind.UNCHANGED)
        if is_without and "accepted" not in told:  # what stands there may be somebody else's
            self.say("not-accepted")
            return {}
        before, after = writes[0]["before"], writes[-1]["after"]
        if any(event.get("replaced") for event in self.story.answered):
            self.say("replaced")
            return {}
        if before is None:
            is_adopted = writes[0]["change"] == ChangeKind.ADOPT
            return self._take_away(after or {}, is_adopted=is_adopted)
        return self._changed(before, after) if after else self._make_again(before)

    def _companion_cells(self, *, is_gone: bool) -> dict[str, Any]:
        """Return what to ask for, so that what goes along with the quota is as before."""
        cells: dict[str, Any] = {}
        answered = {event["kind"] for event in self.story.answered if event["event"] == "applied"}
        is_open = any(event["outcome"] in OPEN_OUTCOMES for event in self.story.ended[-1:])
        for event in reversed(self.story.begun):  # by its first event it is known what was there
            if event["event"] != "applying" or (is_open and event["kind"] not in answered):
                continue  # a write of another, or one that was refused
            kind, before = event["kind"], event["before"]
            if is_gone:
                self.say("companion-stays", name=NAMES[kind])
            else:
                keys = {d.key: d.old for d in compared(before, event["after"])}
                text = before.get("limit_range") or REMOVED
                cells[COLUMNS[kind]] = keys if kind == "ResourceQuota" else text
        return cells

    def _access(self, event: Event, *, is_gone: bool) -> str:
        """Return what to ask for, so that a principal has a role, or has not, as before.

        Args:
            is_gone: the namespace goes, and with it the roles that were granted on it.
        """
        is_granted = event["event"] == "granting"
        principal_id, role = _role(event)
        detail = f"{role} of {principal_id}"
        kind = event.get("principal_type", "")  # which journals of before do not say
        if is_gone and is_granted:
            return ""
        # journals of before do not say what was answered
        is_told = not is_granted or "had_role" in event
        if is_told and _role(event) not in map(_role, self.story.answered):
            self.say("role-unseen", detail)
            return ""
        is_kept = event.get("has_condition") or event.get("had_role")
        if is_gone or is_kept or kind not in list(models.PrincipalType):
            self.say("role-stays" if is_granted else "role-is-gone", detail)
            return ""
        grant = models.AccessGrant.of(models.PrincipalType(kind), principal_id, role)
        return grant_text(grant, is_granted=not is_granted)

    def _take_away(self, after: Image, *, is_adopted: bool) -> dict[str, str]:
        keeps = after.get("delete_policy") != models.DeletePolicy.DELETE
        if is_adopted:
            self.say("overwritten")
            if not keeps:
                self.say("would-take-along")
                return {}
        elif keeps:
            self.say("kept")
        return {"ensure": models.Ensure.ABSENT.value}

    def _make_again(self, before: Image) -> dict[str, Any]:
        if before["delete_policy"] == models.DeletePolicy.DELETE:
            self.say("content-lost")
        else:
            self.say("comes-along")
            if before["adoption_policy"] in (None, models.AdoptionPolicy.NEVER):
                self.say("adopted-again")
                before = {**before, "adoption_policy": models.AdoptionPolicy.ALWAYS.value}
        missing = [
            name for name in models.QUOTA_FIELDS if name not in before["default_resource_quota"]
        ]
        if missing:
            self.say("no-quota", names=", ".join(missing))
            return {}
        if unset := [name for name in models.POLICY_FIELDS if name not in fields_in(before)]:
            self.say("no-policy", names=", ".join(unset))
        self.say("roles-went")
        return self._changed(before, {})

    def _changed(self, before: Image, after: Image) -> dict[str, Any]:
        """Return the fields that differ as they were; null removes a key.

        What was not set and is no key cannot be unset again: the service demands all four quota
        values, and has a default for the rest.
        """
        row: dict[str, Any] = {}
        pairs: dict[str, dict[str, str | None]] = {name: {} for name in OWNED_MAPPINGS}
        was = fields_in(before)
        for one in compared(was, fields_in(after)):
            name = one.path.partition("[")[0]
            if name in pairs and one.old != HIDDEN:
                pairs[name][one.key] = one.old
            elif one.old is not None:
                row |= {} if name in pairs else {name: one.old}
            else:
                self.say("cannot-unset", name=name)
        # of those that are hidden in both it was not kept whether they changed either
        for path in [path for path, value in was.items() if value == HIDDEN]:
            name, _, key = path.partition("[")
            self.say("hidden", name=name, key=key.removesuffix("]"))
        unkept: list[str] = []
        for name, changed in pairs.items():
            if restored := kept(changed, name, name, unkept):
                row[name] = restored
        for reason in unkept:
            self.tell(reason)
        return row


def _role(event: Event) -> tuple[str, str]:
    return event.get("principal_id", ""), event.get("role", "")
