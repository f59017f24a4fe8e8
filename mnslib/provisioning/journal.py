"""The append-only journal of a run: one JSON line per event, on disk before the request is sent.

It says who would be restored to what (`started` carries the namespace as it was and as it shall
become) and what a run that ended early still had to do. It holds no operation URL, since that
carries a signature: what is in flight is decided by reading the item.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mnslib.errors import ConfigError
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.results import ItemOutcome, OutcomeKind

JOURNAL_NAME = "journal.jsonl"

BEGUN = ("started", "granting", "revoking")
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
        data = f"{line}\n".encode()
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
            events.append(dict(json.loads(line)))
        except ValueError as error:
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


def read_timeline(events: Sequence[Mapping[str, Any]]) -> tuple[Stretch, ...]:
    """Return the changes that were begun and ended, in the order in which they were begun.

    Args:
        events: of a journal; of one that was continued, only the last apply counts.
    """
    plans = [index for index, event in enumerate(events) if event["event"] == "plan"]
    if not plans:
        return ()
    zero = datetime.fromisoformat(events[plans[-1]]["utc"])
    firsts: dict[str, float] = {}
    writes: dict[str, list[float]] = {}
    found = []
    for event in events[plans[-1] + 1 :]:
        at = (datetime.fromisoformat(event["utc"]) - zero).total_seconds()
        if event["event"] in BEGUN:
            key = ManagedNamespaceId.parse(event["id"]).key
            firsts.setdefault(key, at)
            if event["event"] == "started":
                writes.setdefault(key, []).append(at)
        elif event["event"] == "finished":
            item = ItemOutcome.from_json(event)
            if (key := item.id.key) in firsts:
                stretch = Stretch(
                    id=item.id,
                    outcome=item.outcome,
                    started=firsts[key],
                    ended=at,
                    writes=tuple(writes.get(key, ())),
                )
                found.append(stretch)
    return tuple(sorted(found, key=lambda one: (one.started, one.ended)))
