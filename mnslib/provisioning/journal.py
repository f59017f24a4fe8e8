"""The append-only journal of a run: one JSON line per event, on disk before the request is sent.

It says who would be restored to what (`started` carries the namespace as it was and as it shall
become) and what a run that ended early still had to do. It holds no operation URL, since that
carries a signature: what is in flight is decided by reading the item.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mnslib.errors import ConfigError
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.results import OPEN_OUTCOMES, ChangeKind, ItemOutcome, OutcomeKind

JOURNAL_NAME = "journal.jsonl"
Event = Mapping[str, Any]

BEGUN = ("started", "granting", "revoking", "applying", "preparing")
"""Events of an item whose request goes out next."""

_BEFORE_A_WRITE = frozenset({"plan", "continued", *BEGUN})
"""Events that must outlive a power failure; what a lost one of the others said is read again."""


class Journal:
    """Appends events to a file; safe to use from several threads."""

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        self.path = path
        self._now = now
        self._lock = threading.Lock()

    def write(self, event: str, **details: Any) -> None:
        """Append one event, and have it on disk before returning if a write follows it.

        Raises:
            OSError: if it cannot be written; what was to follow must not be done then.
        """
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = json.dumps({"utc": stamp, "event": event, **details}, ensure_ascii=False)
        data = f"{line}\n".encode(errors="backslashreplace")
        with self._lock, self.path.open("ab", buffering=0) as file:
            whole = file.tell()
            try:
                while data:
                    data = data[file.write(data) :]
                if event in _BEFORE_A_WRITE:
                    os.fsync(file.fileno())
            except OSError:  # a full disk took a part, to which the next line would be glued
                file.truncate(whole)
                raise


def read_events(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """Return the events of a journal, and whether its last line was torn (and is left out).

    Raises:
        ConfigError: if there is no journal, or a line before the last is no event.
    """
    lines, is_torn = whole_lines(path)
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            events.append({**event, "event": str(event["event"])})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigError(f"{path}, line {number}: no event of a journal.") from error
    return events, is_torn


def whole_lines(path: Path) -> tuple[list[str], bool]:
    """Return the lines of a journal that were written to their end, and whether one was not.

    Raises:
        ConfigError: if there is no journal.
    """
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError as error:
        raise ConfigError(f"{path.parent} holds no {path.name}: no plan was applied.") from error
    *lines, rest = text.split("\n")
    return lines, rest != ""


@dataclass(slots=True)
class Story:
    """What a journal says of one namespace; each kind of event in its order.

    Attributes:
        planned: what each apply that was allowed to write had planned, as `planned_item` says it.
        begun: requests that went out next.
        answered: writes that were accepted, or not needed for it stood as requested by then; roles
            that were assigned or taken away; companions that were applied or deleted.
        ended: its outcomes.
        ended_before: how many of them the last plan had found already.
    """

    id: ManagedNamespaceId
    planned: list[Event] = field(default_factory=list)
    begun: list[Event] = field(default_factory=list)
    answered: list[Event] = field(default_factory=list)
    ended: list[Event] = field(default_factory=list)
    ended_before: int = 0

    @property
    def kind(self) -> ChangeKind:
        """What was last planned for it."""
        return ChangeKind(self.planned[-1]["change"])

    @property
    def writes(self) -> list[Event]:
        """Of what was begun, the writes of the namespace itself."""
        return [event for event in self.begun if event["event"] == "started"]

    @property
    def has_stood(self) -> bool:
        """Whether it was found as requested before any write of it was accepted."""
        told = {event["event"] for event in self.answered}
        return "stood" in told and "accepted" not in told

    @property
    def is_of_another(self) -> bool:
        """Whether somebody else made meanwhile what was to be new."""
        is_new = self.kind in (ChangeKind.CREATE, ChangeKind.ADOPT)
        return is_new and (self.has_stood or any(one.get("replaced") for one in self.answered))

    @property
    def outcome(self) -> ItemOutcome | None:
        """How it ended as requested, None unless it did; then nothing is left to do."""
        if self.kind is ChangeKind.NO_CHANGE:
            return self.as_ended(OutcomeKind.UNCHANGED)
        since = self.ended[self.ended_before :]
        done = [event for event in since if event["outcome"] not in OPEN_OUTCOMES]
        return ItemOutcome.from_json(done[-1]) if done else None

    @property
    def has_failed(self) -> bool:
        """Whether it failed, and is not as requested since."""
        skipped = (OutcomeKind.SKIPPED, OutcomeKind.NOT_ATTEMPTED)
        told = [event["outcome"] for event in self.ended if event["outcome"] not in skipped]
        return told[-1:] == [OutcomeKind.FAILED]

    def as_ended(self, outcome: OutcomeKind, reason: str = "", remedy: str = "") -> ItemOutcome:
        """Return an outcome of what was planned."""
        done = ItemOutcome(id=self.id, change=self.kind, outcome=outcome)
        return replace(done, reason=reason, remedy=remedy)


def read_stories(events: Iterable[Event]) -> dict[str, Story]:
    """Return what a journal says by the keys of the namespaces."""
    found: dict[str, Story] = {}

    def of(event: Event) -> Story:
        id_ = ManagedNamespaceId.of_item(event["id"])
        return found.setdefault(id_.key, Story(id_))

    for event in events:
        match event["event"]:
            case "plan" if event.get("may_write"):
                for item in event["items"]:
                    story = of(item)
                    story.planned.append(item)
                    story.ended_before = len(story.ended)
            case begun if begun in BEGUN:
                of(event).begun.append(event)
            case "accepted" | "stood" | "granted" | "revoked" | "applied":
                of(event).answered.append(event)
            case "finished":
                id_ = ItemOutcome.from_json(event).id
                found.setdefault(id_.key, Story(id_)).ended.append(event)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One change on its way; seconds since the apply began.

    Attributes:
        writes: when each attempt to write the namespace was begun; none where only roles were.
    """

    id: ManagedNamespaceId
    outcome: OutcomeKind
    started: float
    ended: float
    writes: tuple[float, ...] = ()


def read_timeline(events: Sequence[Event]) -> tuple[Stretch, ...]:
    """Return the changes that were begun and ended, in the order in which they were begun.

    Args:
        events: of a journal; of one that was continued, only the last apply counts.
    """
    plans = [index for index, event in enumerate(events) if event["event"] == "plan"]
    last = events[plans[-1] :] if plans else []

    def at(event: Event) -> float:
        moment, zero = (datetime.fromisoformat(one["utc"]) for one in (event, last[0]))
        return (moment - zero).total_seconds()

    found = [
        Stretch(
            id=story.id,
            outcome=OutcomeKind(story.ended[-1]["outcome"]),
            started=at(story.begun[0]),
            ended=at(story.ended[-1]),
            writes=tuple(map(at, story.writes)),
        )
        for story in read_stories(last).values()
        if story.begun and story.ended
    ]
    return tuple(sorted(found, key=lambda one: (one.started, one.ended)))
