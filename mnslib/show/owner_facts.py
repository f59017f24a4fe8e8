"""What the tables of an analysis say of one owner, and the three things to do first.

Pure: frames in, values out. Knows nothing of pages. The amounts are explained, with examples, in
`docs/capacity.md`.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from mnslib.capacity.changed import Earlier
from mnslib.capacity.decide import (
    GIVE_BACK,
    LOWER,
    RAISE,
    UNBLOCK,
    Decided,
    Row,
    Shortage,
    Step,
    by_space,
    place,
    records,
    times_refused,
)
from mnslib.capacity.layers import SUM_COLUMNS, roll_up
from mnslib.capacity.quota_values import FULL, SPACE, TIGHT
from mnslib.capacity.snapshot import Snapshot
from mnslib.capacity.utilization import tightest
from mnslib.show.owner_changes import changes_by_owner, since_words
from mnslib.show.owner_doubts import doubts_of
from mnslib.verdicts import word

WITHOUT_OWNER = "_without-owner"
"""File name, without ending, of the page of namespaces that nobody is named for."""

LONGEST_NAME = 63
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")  # Source: Windows, naming files

MOST_ACTIONS = 3

_BORN = [*SPACE, "first_seen"]

_COUNTS = ("namespaces", "measured", "left_out", "without_quota")
_NO_SUMS = dict.fromkeys(SUM_COLUMNS, math.nan) | dict.fromkeys(_COUNTS, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerFacts:
    """What is known of one owner's namespaces.

    Attributes:
        owner: what the label says; empty for the namespaces without one.
        spaces: one row per namespace, the most urgent first: the columns of `tightest`, the
            `days` (ratio by day), and whether a next pod `is_stuck`.
        counts: how many namespaces are `full`, `tight`, `ok` or `unknown`.
        sums: of the CPU layers, as `roll_up` has them: `hard` is of all quotas that are known,
            the other amounts are of the `measured` namespaces; NaN where nothing is known.
        refusals: rows of the table of refusals; None where events could not be read.
        steps: what its namespaces need next, the most urgent first.
        shortages: by cluster and request value, where less is left than all namespaces need.
        doubts: the name of each namespace of which something is unknown, and what and why.
        unread: what could not be read, a sentence each.
        changes: rows of the table of changes, those of namespaces that are gone among them.
        since: the moment of the run compared with, in words; empty where there is none.
    """

    owner: str
    file: str
    spaces: Sequence[Row]
    counts: Counter[str]
    sums: Mapping[str, float]
    refusals: Sequence[Row] | None
    steps: Sequence[Step]
    shortages: Mapping[tuple[str, str], Shortage]
    doubts: Sequence[tuple[str, str]]
    unread: Sequence[str]
    changes: Sequence[Row]
    since: str

    @property
    def refused(self) -> int | None:
        """How often pods were refused, as far as events tell; None where they do not."""
        return None if self.refusals is None else times_refused(self.refusals)


def file_name(owner: str) -> str:
    """Return the file name, without ending, of an owner's page.

    Owners are outside text: a plain name (lower case, digits, hyphens) is kept, any other becomes
    what is left of it and a digest behind a dot, which no plain name holds. So it leads out of no
    folder, and two owners never share a file, nor where the file system folds case.
    """
    if not owner:
        return WITHOUT_OWNER
    is_plain = re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", owner) is not None
    if is_plain and len(owner) <= LONGEST_NAME and not _RESERVED.fullmatch(owner):
        return owner
    ascii_text = unicodedata.normalize("NFKD", owner).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:40].strip("-") or "owner"
    digest = hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{words}.{digest}"


def owners_of(
    snapshot: Snapshot,
    tables: Mapping[str, pd.DataFrame],
    earlier: Earlier,
    decided: Decided,
) -> list[OwnerFacts]:
    """Return the facts of each owner, those with full namespaces first and nobody last.

    Args:
        tables: by name, as notebook 40 saves them: `utilization`, and as far as they are there
            `changed`, `commitment`, `daily`, `evidence`, `layers`, `refusals` and `fit`.
        earlier: the run that `changed` compares with.
        decided: what there is to do.
    """
    layers, steps = tables.get("layers"), {step.place: step for step in decided.steps}
    refused = by_space(tables["refusals"]) if "refusals" in tables else {}
    days = _days(tables["daily"]) if "daily" in tables else {}
    sums = {} if layers is None else _sums(layers)
    beyond = {(short.cluster_name, short.resource): short for short in decided.shortages}
    spaces: dict[str, list[dict[str, Any]]] = {}
    worst = list(records(tightest(tables["utilization"])))
    doubts = doubts_of(worst, tables)
    for space in worst:
        space["days"] = days.get(place(space), {})
        space["is_stuck"] = place(space) in steps and steps[place(space)].is_stuck
        spaces.setdefault(space["owner"], []).append(space)
    changes, since = changes_by_owner(worst, tables, earlier), since_words(earlier)
    facts = []
    for owner, own in spaces.items():
        places = [place(space) for space in own]
        wanted = sorted((steps[at] for at in places if at in steps), key=lambda step: step.rank)
        clusters = {cluster for cluster, _ in places}
        is_known = "refusals" in tables and clusters <= set(snapshot.events)
        facts.append(
            OwnerFacts(
                owner=owner,
                file=file_name(owner),
                spaces=own,
                counts=Counter(word(row["verdict"]) for row in own),
                sums=sums.get(owner, _NO_SUMS),
                refusals=[row for at in places for row in refused.get(at, ())]
                if is_known
                else None,
                steps=wanted,
                shortages=beyond,
                doubts=[(at[1], doubts[at]) for at in places if at in doubts],
                unread=_unread(snapshot, clusters),
                changes=changes.get(owner, ()),
                since=since,
            )
        )
    return sorted(facts, key=_most_urgent)


def _most_urgent(facts: OwnerFacts) -> tuple[Any, ...]:
    idle = facts.sums["idle"]
    return (
        facts.owner == "",
        -facts.counts[FULL],
        -facts.counts[TIGHT],
        -(0 if math.isnan(idle) else idle),
        facts.owner,
    )


def _days(daily: pd.DataFrame) -> dict[tuple[str, str], dict[date, float]]:
    """Return the ratio of each day by namespace; days before it existed are left out."""
    labels: list[Any] = daily.columns.tolist()
    days = [label for label in labels if isinstance(label, date)]
    ratios = daily[days].to_numpy(dtype=float).tolist()
    found: dict[tuple[str, str], dict[date, float]] = {}
    for row, known in zip(records(daily[_BORN]), ratios, strict=True):
        born = row["first_seen"]
        first = 0 if pd.isna(born) else bisect_left(days, born)
        found[place(row)] = dict(zip(days[first:], known[first:], strict=True))
    return found


def _sums(layers: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return by owner the sums of the CPU layers, those of the table by owner."""
    rows: list[Any] = roll_up(layers, "owner").to_dict("records")
    return {row["owner"]: row for row in rows if row["resource"] == "cpu"}


def _unread(snapshot: Snapshot, clusters: Container[str]) -> list[str]:
    kinds = {**snapshot.unread}
    kinds |= {(name, "nodes and pods"): reason for name, reason in snapshot.no_commitment.items()}
    lines = [
        f"On {cluster} the {kind.replace('_', ' ')} could not be read: {reason}."
        for (cluster, kind), reason in sorted(kinds.items())
        if cluster in clusters
    ]
    none = "There is no history: the page knows how it is now, not how it was."
    return lines + ([none] if snapshot.used.empty else [])


def step_title(step: Step) -> str:
    """Return what is asked of an owner, in a few words."""
    return _TITLES[step.kind].format(step.namespace_name)


_TITLES = {
    RAISE: "Ask for more in {}",
    UNBLOCK: "Let the next pods start in {}",
    LOWER: "Lower what the workloads in {} request",
    GIVE_BACK: "Give back what {} does not need",
}
