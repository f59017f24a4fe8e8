"""What the tables of an analysis say of one owner, and the three things to do first.

Pure: frames in, values out. Knows nothing of pages. The amounts are explained, with examples, in
`docs/capacity.md`.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import pandas as pd

from mnslib.capacity.advice import FIX, SHRINK
from mnslib.capacity.quota_values import FULL, TIGHT, TIGHT_RATIO
from mnslib.capacity.refusals import EXCEEDED, WORKLOAD
from mnslib.capacity.snapshot import Snapshot
from mnslib.capacity.utilization import tightest
from mnslib.reporting import wording
from mnslib.reporting.refusals import QUOTA_FIELD_OF
from mnslib.verdicts import word

WITHOUT_OWNER = "_without-owner"
"""File name, without ending, of the page of namespaces that nobody is named for."""

LONGEST_NAME = 63
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")  # Source: Windows, naming files

MOST_ACTIONS = 3

_SPACE = ["cluster_name", "namespace_name"]
_VALUE = ("resource", "hard", "used", "peak_used", "verdict")
_LAYER = ("resource", "requested", "usage", "peak_usage", "claimed_unused")
_SUMMED = ("hard", "requested", "usage", "idle")
_REQUESTS = ("cpu_request", "memory_request")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do: what, and why in sentences with the amounts."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerFacts:
    """What is known of one owner's namespaces.

    Attributes:
        owner: what the label says; empty for the namespaces without one.
        spaces: one row per namespace, the most urgent first: the columns of `tightest` and the
            `days` (ratio by day).
        sums: cores of the CPU quota: `hard`, `requested`, `usage` and `idle`; NaN where unknown.
        refusals: rows of the table of refusals; None where events could not be read.
        actions: the first of them, the most urgent first; `more_actions` follow.
        unread: what could not be read, a sentence each.
    """

    owner: str
    file: str
    spaces: Sequence[Row]
    sums: Mapping[str, float]
    refusals: Sequence[Row] | None
    actions: Sequence[Action]
    more_actions: int
    unread: Sequence[str]

    def count(self, verdict: str) -> int:
        """Return how many namespaces are `full`, `tight`, `ok` or `unknown`."""
        return sum(word(row["verdict"]) == verdict for row in self.spaces)

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


def owners_of(snapshot: Snapshot, tables: Mapping[str, pd.DataFrame]) -> list[OwnerFacts]:
    """Return the facts of each owner, those with full namespaces first and nobody last.

    Args:
        tables: by name, as notebook 40 saves them: `utilization`, and as far as they are there
            `daily`, `layers` and `refusals`.
    """
    utilization, layers = tables["utilization"], tables.get("layers")
    values = _by_space(utilization[_matters(utilization)], _VALUE)
    over = {} if layers is None else _by_space(layers[layers["region"] == FIX], _LAYER)
    refused = _by_space(tables["refusals"]) if "refusals" in tables else {}
    days = _days(tables["daily"]) if "daily" in tables else {}
    sums = {} if layers is None else _sums(layers)
    spaces: dict[str, list[dict[str, Any]]] = {}
    for space in tightest(utilization).astype(object).to_dict("records"):
        found: dict[str, Any] = {str(name): value for name, value in space.items()}
        spaces.setdefault(found["owner"], []).append(found | {"days": days.get(_place(space), {})})
    facts = []
    for owner, own in spaces.items():
        places = [_place(space) for space in own]
        ranked = [
            _to_do(
                space,
                values=values.get(at, ()),
                over=over.get(at, ()),
                refusals=refused.get(at, ()),
            )
            for space, at in zip(own, places, strict=True)
        ]
        ranked.sort(key=lambda found: found[0])
        wanted = [make for _, make in ranked if make is not None]
        clusters = {cluster for cluster, _ in places}
        is_known = "refusals" in tables and clusters <= set(snapshot.events)
        facts.append(
            OwnerFacts(
                owner=owner,
                file=file_name(owner),
                spaces=own,
                sums=sums.get(owner, dict.fromkeys(_SUMMED, math.nan)),
                refusals=[row for at in places for row in refused.get(at, ())]
                if is_known
                else None,
                actions=[make() for make in wanted[:MOST_ACTIONS]],
                more_actions=max(0, len(wanted) - MOST_ACTIONS),
                unread=_unread(snapshot, clusters),
            )
        )
    return sorted(facts, key=_most_urgent)


def _matters(table: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows of a utilization table may ask for something."""
    is_spare = (table["advice"] == SHRINK) & table["resource"].isin(_REQUESTS)
    return table["verdict"].isin([FULL, TIGHT]) | is_spare


def _most_urgent(facts: OwnerFacts) -> tuple[Any, ...]:
    idle = facts.sums["idle"]
    return (
        facts.owner == "",
        -facts.count(FULL),
        -facts.count(TIGHT),
        -(0 if math.isnan(idle) else idle),
        facts.owner,
    )


def _place(row: Mapping[Any, Any]) -> tuple[str, str]:
    return row["cluster_name"], row["namespace_name"]


def _by_space(table: pd.DataFrame, columns: Sequence[str] = ()) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    wanted = table[[*_SPACE, *columns]] if columns else table
    for row in wanted.astype(object).to_dict("records"):
        found.setdefault(_place(row), []).append(row)  # type: ignore[arg-type]
    return found


def _days(daily: pd.DataFrame) -> dict[tuple[str, str], dict[date, float]]:
    """Return the ratio of each day by namespace; days before it existed are left out."""
    labels: list[Any] = daily.columns.tolist()
    days = [label for label in labels if isinstance(label, date)]
    found: dict[tuple[str, str], dict[date, float]] = {}
    for row in daily.astype(object).to_dict("records"):
        cells: Mapping[Any, Any] = row
        born = cells["first_seen"]
        known = days if pd.isna(born) else [day for day in days if day >= born]
        found[_place(row)] = {day: cells[day] for day in known}
    return found


def _sums(layers: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return by owner the sums of the CPU layers of the namespaces of which all three are known."""
    known = layers[(layers["resource"] == "cpu") & layers["idle"].notna()]
    sums = known.groupby("owner")[list(_SUMMED)].sum()
    return {str(owner): dict(zip(_SUMMED, row[1:], strict=True))
            for owner, row in zip(sums.index, sums.itertuples(), strict=True)}  # fmt: skip


def times_refused(refusals: Sequence[Row]) -> int:
    """Return how often pods were refused; a workload has one row for each value it lacked."""
    workloads = {tuple(row[name] for name in WORKLOAD): int(row["count"]) for row in refusals}
    return sum(workloads.values())


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


def _to_do(
    space: Row, *, values: Sequence[Row], over: Sequence[Row], refusals: Sequence[Row]
) -> tuple[tuple[float, float], Callable[[], Action] | None]:
    """Return what to do about a namespace, at most one thing, behind the rank to sort by."""
    verdict, name = space["verdict"], space["namespace_name"]
    short = [row for row in values if row["verdict"] in (FULL, TIGHT)]
    exceeded = [row for row in refusals if row["problem"] == EXCEEDED]
    if space["advice"] == FIX and over:
        rank = 1.5 if verdict == FULL else 2.5 if verdict == TIGHT else 3.0
        return (rank, -over[0]["claimed_unused"]), partial(_lower, name, over)
    if short or exceeded:
        rank = 0.0 if exceeded else 1.0 if verdict == FULL else 2.0
        make = partial(_raise, name, short, exceeded)
        return (rank, -sum(row["hard"] for row in short[:1])), make
    spare = [row for row in values if _spare(row) > 0]
    if space["advice"] == SHRINK and spare:
        return (4.0, -_spare(spare[0])), partial(_give_back, name, spare)
    return (5.0, 0.0), None


def _peak(row: Row) -> float:
    return float(row["used"] if wording.is_unknown(row["peak_used"]) else row["peak_used"])


def _spare(row: Row) -> float:
    """Return what a quota has beyond what its peak needs; 0 where it is unknown."""
    if wording.is_unknown(row["hard"]):
        return 0.0
    return float(row["hard"]) - needed_for(_peak(row), row["resource"])


def needed_for(used: float, resource: str) -> float:
    """Return the quota of which what is asked for now is at most 90 %, in cores or bytes.

    Rounded up to 0.1 cores (under 1 core 0.01) or 0.1 GiB (under 1 GiB 1 MiB), so that it can be
    written as it is read.
    """
    exact = used / float(TIGHT_RATIO)
    if resource.startswith("cpu"):
        unit = 0.1 if exact >= 1 else 0.01
    else:
        unit = wording.GIB / 10 if exact >= wording.GIB else wording.MIB
    return round(math.ceil(round(exact / unit, 6)) * unit, 6)


def _raise(name: str, short: Sequence[Row], exceeded: Sequence[Row]) -> Action:
    wanted = {
        row["resource"]: (row["hard"], needed_for(row["used"], row["resource"])) for row in short
    }
    for row in exceeded:
        resource = QUOTA_FIELD_OF.get(row["key"])
        if resource is not None:
            least = max(row["limited"] + smallest_raise(row), wanted.get(resource, (0, 0))[1])
            wanted[resource] = (row["limited"], least)
    begin = "Little is left there"
    if any(row["verdict"] == FULL for row in short):
        begin = "Nothing more starts there now"
    if exceeded:
        begin = f"Pods were refused there {wording.count(times_refused(exceeded), 'time')}"
    amounts = wording.listing([_from_to(resource, *both) for resource, both in wanted.items()])
    then = (
        "what was refused then starts" if exceeded else "what is asked for now is then 90 % of it"
    )
    return Action(
        title=f"Ask for more in {name}",
        text=f"{begin}. Ask to raise {amounts or 'the quota'}: {then}.",
    )


def smallest_raise(row: Row) -> float:
    """Return what a quota value lacks for all missing pods, or for one where no more is known."""
    return float(
        max(0.0 if math.isnan(row[name]) else row[name] for name in ("raise_one", "raise_all"))
    )


def _from_to(resource: str, now: float, then: float) -> str:
    words = wording.RESOURCE_WORDS[resource]
    return f"{words} from {wording.quota(resource, now)} to {wording.quota(resource, then)}"


def _lower(name: str, over: Sequence[Row]) -> Action:
    parts = [
        f"{wording.quantity(row['resource'], row['requested'])} of "
        f"{wording.RESOURCE_WORDS[row['resource']]}, of which "
        f"{wording.quantity(row['resource'], row['usage'])} are used 95 % of the time and "
        f"{wording.quantity(row['resource'], row['peak_usage'])} at the busiest"
        for row in over
    ]
    return Action(
        title=f"Lower what the programs in {name} ask for",
        text=f"They ask for {wording.listing(parts)} (last 7 days). Lower their requests before "
        "asking for more: what they hold and do not use counts as taken.",
    )


def _give_back(name: str, spare: Sequence[Row]) -> Action:
    wanted = wording.listing(
        [
            _from_to(row["resource"], row["hard"], needed_for(_peak(row), row["resource"]))
            for row in spare
        ]
    )
    return Action(
        title=f"Give back what {name} does not need",
        text=f"Ask to lower {wanted}: what was asked for at the busiest moment is then 90 % of it.",
    )
