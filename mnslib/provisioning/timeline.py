"""When each change of an apply was written and when it ended, read from the run's journal.

Pure: give it events, get values. Knows nothing of how they are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mnslib.resource_ids import ClusterId, ManagedNamespaceId
from mnslib.results import OutcomeKind


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
    began, *later = events[plans[-1] :]
    zero = _moment(began)
    firsts: dict[str, float] = {}
    writes: dict[str, list[float]] = {}
    found = []
    for event in later:
        at = (_moment(event) - zero).total_seconds()
        if event["event"] in ("started", "granting", "revoking"):
            key = ManagedNamespaceId.parse(event["id"]).key
            firsts.setdefault(key, at)
            if event["event"] == "started":
                writes.setdefault(key, []).append(at)
        elif event["event"] == "finished" and (id_ := _id(event)).key in firsts:
            found.append(
                Stretch(
                    id=id_,
                    outcome=OutcomeKind(event["outcome"]),
                    started=firsts[id_.key],
                    ended=at,
                    writes=tuple(writes.get(id_.key, ())),
                )
            )
    return tuple(sorted(found, key=lambda one: (one.started, one.ended)))


def _moment(event: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(event["utc"])


def _id(event: Mapping[str, Any]) -> ManagedNamespaceId:
    cluster = ClusterId(event["subscription_id"], event["resource_group"], event["cluster_name"])
    return cluster.namespace(event["namespace_name"])
