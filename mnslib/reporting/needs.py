"""What a namespace needs next: more quota, smaller requests, or to give back what it never asked.

At most one step each, the same on its owner's page and among the planner's decisions: who is told
to lower requests is offered no quota. Pure: frames in, values out; knows nothing of sentences. The
amounts are explained, with examples, in `docs/capacity.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mnslib.capacity.advice import FIX, SHRINK
from mnslib.capacity.quota_values import FULL, SPACE, TIGHT, TIGHT_RATIO
from mnslib.capacity.refusals import EXCEEDED, WORKLOAD
from mnslib.capacity.utilization import tightest
from mnslib.models import QUOTA_FIELDS
from mnslib.quantities import GIB, MIB
from mnslib.reporting import wording
from mnslib.reporting.refusals import QUOTA_FIELD_OF

RAISE, LOWER, GIVE_BACK = "raise", "lower requests", "give back"

REQUESTS = ("cpu_request", "memory_request")
BYTES_PER_CORE = 4 * GIB
"""Memory that orders like one core. Source: Azure, sizes of the D series, 4 GiB a vCPU."""

_VALUE = ("resource", "hard", "used", "peak_used", "verdict")
_LAYER = ("resource", "requested", "usage", "peak_usage", "claimed_unused")

Row = Mapping[str, Any]
Place = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one namespace needs next.

    Attributes:
        kind: `RAISE`, `LOWER` or `GIVE_BACK`.
        rank: the most urgent first: refused pods, full, tight, idle; then the largest.
        space: the namespace's row of `tightest`.
        rows: quota values that are short, layers with unused requests, or values with spare quota.
        refusals: rows of refused pods that more quota would let in.
    """

    kind: str
    rank: tuple[float, float]
    space: Row
    rows: Sequence[Row]
    refusals: Sequence[Row] = ()

    def quotas(self) -> dict[str, tuple[float, float]]:
        """Return each quota value that changes, as it is and as it should be, in cores or bytes."""
        if self.kind == LOWER:
            return {}
        if self.kind == GIVE_BACK:
            return {row["resource"]: (row["hard"], needed_for(_peak(row), row["resource"]))
                    for row in self.rows}  # fmt: skip
        wanted = {
            row["resource"]: (row["hard"], _larger(row["hard"], row["used"], row["resource"]))
            for row in self.rows
        }
        for row in self.refusals:
            resource = QUOTA_FIELD_OF.get(row["key"])
            if resource is not None:
                least = max(row["limited"] + smallest_raise(row), wanted.get(resource, (0, 0))[1])
                wanted[resource] = (row["limited"], least)
        return {resource: wanted[resource] for resource in QUOTA_FIELDS if resource in wanted}


def steps_of(tables: Mapping[str, pd.DataFrame]) -> dict[Place, Step]:
    """Return the step of each namespace that needs one.

    Args:
        tables: by name, as notebook 40 saves them: `utilization`, and as far as they are there
            `layers` and `refusals`.
    """
    utilization, layers = tables["utilization"], tables.get("layers")
    values = by_space(utilization[_matters(utilization)], _VALUE)
    over = {} if layers is None else by_space(layers[layers["region"] == FIX], _LAYER)
    refused = by_space(tables["refusals"]) if "refusals" in tables else {}
    found: dict[Place, Step] = {}
    for space in records(tightest(utilization)):
        at = place(space)
        step = _step(
            space, values=values.get(at, ()), over=over.get(at, ()), refusals=refused.get(at, ())
        )
        if step is not None:
            found[at] = step
    return found


def by_space(table: pd.DataFrame, columns: Sequence[str] = ()) -> dict[Place, list[Row]]:
    """Return the rows of each namespace, of these columns or of all."""
    found: dict[Place, list[Row]] = {}
    for row in records(table[[*SPACE, *columns]] if columns else table):
        found.setdefault(place(row), []).append(row)
    return found


def records(table: pd.DataFrame) -> Iterator[dict[Any, Any]]:
    """Yield each row by its columns, in plain values; what pandas makes of it takes longer."""
    names = table.columns.tolist()
    values = [table.iloc[:, at].tolist() for at in range(len(names))]
    return (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))


def place(row: Mapping[Any, Any]) -> Place:
    """Return the cluster and namespace of a row."""
    return row["cluster_name"], row["namespace_name"]


def times_refused(refusals: Sequence[Row]) -> int:
    """Return how often pods were refused; a workload has one row for each value it lacked."""
    workloads = {tuple(row[name] for name in WORKLOAD): int(row["count"]) for row in refusals}
    return sum(workloads.values())


def needed_for(used: float, resource: str) -> float:
    """Return the quota of which what is asked for now is at most 90 %, in cores or bytes.

    Rounded up to 0.1 cores (under 1 core 0.01) or 0.1 GiB (under 1 GiB 1 MiB), so that it can be
    written as it is read.
    """
    exact = used / float(TIGHT_RATIO)
    unit = _unit(exact, resource)
    return round(math.ceil(round(exact / unit, 6)) * unit, 6)


def _larger(hard: float, used: float, resource: str) -> float:
    """Return `needed_for` what is used; a quota of which that is exactly 90 % grows by one unit."""
    return max(needed_for(used, resource), round(hard + _unit(hard, resource), 6))


def _unit(amount: float, resource: str) -> float:
    if resource.startswith("cpu"):
        return 0.1 if amount >= 1 else 0.01
    return GIB / 10 if amount >= GIB else MIB


def smallest_raise(row: Row) -> float:
    """Return what a quota value lacks for all missing pods, or for one where no more is known."""
    return float(
        max(0.0 if math.isnan(row[name]) else row[name] for name in ("raise_one", "raise_all"))
    )


def _matters(table: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows of a utilization table may ask for something."""
    is_spare = (table["advice"] == SHRINK) & table["resource"].isin(REQUESTS)
    return table["verdict"].isin([FULL, TIGHT]) | is_spare


def _step(
    space: Row, *, values: Sequence[Row], over: Sequence[Row], refusals: Sequence[Row]
) -> Step | None:
    verdict = space["verdict"]
    short = [row for row in values if row["verdict"] in (FULL, TIGHT)]
    exceeded = [row for row in refusals if row["problem"] == EXCEEDED]
    if space["advice"] == FIX and over:
        urgency = 1.5 if verdict == FULL else 2.5 if verdict == TIGHT else 3.0
        rank = (urgency, -_size(over[0], over[0]["claimed_unused"]))
        return Step(kind=LOWER, rank=rank, space=space, rows=over)
    if short or exceeded:
        urgency = 0.0 if exceeded else 1.0 if verdict == FULL else 2.0
        rank = (urgency, -sum(_size(row, row["hard"]) for row in short[:1]))
        return Step(kind=RAISE, rank=rank, space=space, rows=short, refusals=exceeded)
    spare = [row for row in values if _spare(row) > 0]
    if space["advice"] == SHRINK and spare:
        return Step(
            kind=GIVE_BACK,
            rank=(4.0, -max(_size(row, _spare(row)) for row in spare)),
            space=space,
            rows=spare,
        )
    return None


def _size(row: Row, amount: float) -> float:
    """Return an amount of either resource in cores, so that they can be ordered together."""
    return amount if row["resource"].startswith("cpu") else amount / BYTES_PER_CORE


def _peak(row: Row) -> float:
    return float(row["used"] if wording.is_unknown(row["peak_used"]) else row["peak_used"])


def _spare(row: Row) -> float:
    """Return what a quota has beyond what its peak needs; 0 where it is unknown."""
    if wording.is_unknown(row["hard"]):
        return 0.0
    return float(row["hard"]) - needed_for(_peak(row), row["resource"])
