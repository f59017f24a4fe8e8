"""What a namespace needs next: more quota, smaller requests, or to give back what it never asked.

At most one step each, the same on its owner's page and among the planner's decisions: who is told
to lower requests is offered no quota. Pure: frames in, values out; knows nothing of sentences. The
amounts are explained, with examples, in `docs/capacity.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mnslib.capacity.advice import FIX, SHRINK
from mnslib.capacity.fit import AUTOSCALER, NEXT_POD, NO, ROLLING_UPDATE, YES
from mnslib.capacity.quota_values import FULL, SPACE, TIGHT, TIGHT_RATIO
from mnslib.capacity.refusals import EXCEEDED, WORKLOAD
from mnslib.capacity.utilization import tightest
from mnslib.models import QUOTA_FIELDS
from mnslib.quantities import GIB, MIB
from mnslib.show import wording
from mnslib.show.refusals import QUOTA_FIELD_OF

RAISE, UNBLOCK = "raise", "let pods start"
LOWER, GIVE_BACK = "lower requests", "give back"

REQUESTS = ("cpu_request", "memory_request")
BYTES_PER_CORE = 4 * GIB
"""Memory that orders like one core. Source: Azure, sizes of the D series, 4 GiB a vCPU."""

PEAK_SHARE_KEPT = 0.8
"""Share of a lowered quota that its peak may be; our choice, well below what is tight (0.9)."""

_LEFT = {name: f"left_{name}" for name in QUOTA_FIELDS}
_VALUE = ("resource", "hard", "used", "peak_used", "verdict")
_LAYER = ("resource", "requested", "usage", "peak_usage", "requested_unused")

Row = Mapping[str, Any]
Place = tuple[str, str]
Changes = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one namespace needs next.

    Attributes:
        kind: `RAISE`, `UNBLOCK`, `LOWER` or `GIVE_BACK`.
        rank: the most urgent first: refused pods, full, tight, idle; then the largest.
        space: the namespace's row of `tightest`.
        rows: quota values that are short, layers with unused requests, or values with spare quota.
        refusals: rows of refused pods that more quota would let in.
        gaps: rows of workloads whose next pod does not fit, in the quota or on a node.
        quotas: each quota value that changes, as it is and as it should be, in cores or bytes.
    """

    kind: str
    rank: tuple[float, float]
    space: Row
    rows: Sequence[Row] = ()
    refusals: Sequence[Row] = ()
    gaps: Sequence[Row] = ()
    quotas: Changes = field(default_factory=dict)


def steps_of(tables: Mapping[str, pd.DataFrame]) -> dict[Place, Step]:
    """Return the step of each namespace that needs one.

    Args:
        tables: by name, as notebook 40 saves them: `utilization`, and as far as they are there
            `layers`, `refusals` and `fit`.
    """
    utilization, layers = tables["utilization"], tables.get("layers")
    over = {} if layers is None else by_space(layers[layers["region"] == FIX], _LAYER)
    refused = by_space(tables["refusals"]) if "refusals" in tables else {}
    gaps = gaps_of(tables["fit"]) if "fit" in tables else {}
    kept = _left_of(tables["fit"]) if "fit" in tables else {}
    values = by_space(_asking(utilization, [*refused, *gaps]), _VALUE)
    found: dict[Place, Step] = {}
    for space in records(tightest(utilization)):
        at = place(space)
        step = _step(
            space,
            values=values.get(at, ()),
            over=over.get(at, ()),
            refusals=refused.get(at, ()),
            gaps=gaps.get(at, ()),
            left=kept.get(at, {}),
        )
        if step is not None:
            found[at] = step
    return found


def gaps_of(fit: pd.DataFrame) -> dict[Place, list[Row]]:
    """Return by namespace the rows of workloads whose next pod does not fit."""
    is_gap = (fit["question"] == NEXT_POD) & (fit["verdict"] == NO)
    return by_space(fit[is_gap & (fit["workload_name"] != "")])


def _left_of(fit: pd.DataFrame) -> dict[Place, dict[str, float]]:
    """Return by namespace what is left of each value after the largest thing that fits now."""
    asked = fit["question"].isin([NEXT_POD, ROLLING_UPDATE, AUTOSCALER])
    fitting = fit[asked & (fit["verdict"] == YES) & (fit["workload_name"] != "")]
    least = fitting.groupby(SPACE)[list(_LEFT.values())].min().reset_index()
    return {
        place(row): {name: row[left] for name, left in _LEFT.items() if row[left] >= 0}
        for row in records(least)
    }


def beyond_room(
    steps: Iterable[Step], commitments: pd.DataFrame
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return by cluster and request value its room and what its namespaces need, if that is more.

    Args:
        commitments: from `capacity.promises.commitment_table`; unknown room is left out.
    """
    wanted: dict[tuple[str, str], float] = {}
    for step in steps:
        for resource in set(REQUESTS) & set(step.quotas if step.kind == RAISE else ()):
            now, then = step.quotas[resource]
            at = (step.space["cluster_name"], resource)
            wanted[at] = wanted.get(at, 0.0) + then - now
    rooms = {
        (row["cluster_name"], f"{row['resource']}_request"): row["headroom"]
        for row in records(commitments)
    }
    return {at: (rooms[at], more) for at, more in wanted.items() if more > rooms.get(at, math.nan)}


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


def needed_for(used: float, resource: str, *, share: float = float(TIGHT_RATIO)) -> float:
    """Return the quota of which what is asked for is at most a share, in cores or bytes.

    Rounded up to 0.1 cores (under 1 core 0.01) or 0.25 GiB (under 1 GiB 1 MiB), so that it can be
    written as it is read.
    """
    return _rounded_up(used / share, resource)


def _rounded_up(amount: float, resource: str) -> float:
    unit = _unit(amount, resource)
    return round(math.ceil(round(amount / unit, 6)) * unit, 6)


def _larger(hard: float, used: float, resource: str) -> float:
    """Return `needed_for` what is used; a quota of which that is exactly 90 % grows by one unit."""
    return max(needed_for(used, resource), round(hard + _unit(hard, resource), 6))


def _unit(amount: float, resource: str) -> float:
    if resource.startswith("cpu"):
        return 0.1 if amount >= 1 else 0.01
    return GIB / 4 if amount >= GIB else MIB


def smallest_raise(row: Row) -> float:
    """Return what a quota value lacks for all missing pods, or for one where no more is known."""
    return float(
        max(0.0 if math.isnan(row[name]) else row[name] for name in ("raise_one", "raise_all"))
    )


def _asking(table: pd.DataFrame, places: Sequence[Place]) -> pd.DataFrame:
    """Return the rows of a utilization table of the namespaces that may ask for something."""
    matters = table["verdict"].isin([FULL, TIGHT]) | (table["advice"] == SHRINK)
    spaces = pd.MultiIndex.from_frame(table[SPACE])
    return table[spaces.isin([*spaces[matters].unique(), *places])]


def _step(
    space: Row,
    *,
    values: Sequence[Row],
    over: Sequence[Row],
    refusals: Sequence[Row],
    gaps: Sequence[Row],
    left: Mapping[str, float],
) -> Step | None:
    verdict = space["verdict"]
    short = [row for row in values if row["verdict"] in (FULL, TIGHT)]
    exceeded = [row for row in refusals if row["problem"] == EXCEEDED]
    if space["advice"] == FIX and over:
        urgency = 1.5 if verdict == FULL else 2.5 if verdict == TIGHT else 3.0
        rank = (urgency, -_size(over[0], over[0]["requested_unused"]))
        return Step(kind=LOWER, rank=rank, space=space, rows=over, gaps=gaps)
    is_gap = any(row[name] < 0 for row in gaps for name in (*_LEFT.values(), "left_pods"))
    if short or exceeded or is_gap:
        urgency = 0.0 if exceeded else 1.0 if verdict == FULL or gaps else 2.0
        return Step(
            kind=RAISE,
            rank=(urgency, -sum(_size(row, row["hard"]) for row in short[:1])),
            space=space,
            rows=short,
            refusals=exceeded,
            gaps=gaps,
            quotas=_raises(values, short=short, refusals=exceeded, gaps=gaps),
        )
    if gaps:
        return Step(kind=UNBLOCK, rank=(1.0, 0.0), space=space, gaps=gaps)
    if space["advice"] == SHRINK and (quotas := _give_backs(values, left)):
        spare = [row for row in values if row["resource"] in quotas]
        most = max(_size(row, row["hard"] - quotas[row["resource"]][1]) for row in spare)
        return Step(kind=GIVE_BACK, rank=(4.0, -most), space=space, rows=spare, quotas=quotas)
    return None


def _raises(
    values: Sequence[Row],
    *,
    short: Sequence[Row],
    refusals: Sequence[Row],
    gaps: Sequence[Row],
) -> Changes:
    """Return what each value must be for all that is asked for, was refused or comes next."""
    hard = {row["resource"]: row["hard"] for row in values if not wording.is_unknown(row["hard"])}
    wanted = {row["resource"]: _larger(row["hard"], row["used"], row["resource"]) for row in short}
    for row in gaps:
        for name in hard:
            if row[_LEFT[name]] < 0:
                enough = _rounded_up(hard[name] - row[_LEFT[name]], name)
                wanted[name] = max(enough, wanted.get(name, 0.0))
    for row in refusals:
        if name := QUOTA_FIELD_OF.get(row["key"], ""):
            hard.setdefault(name, row["limited"])
            wanted[name] = max(row["limited"] + smallest_raise(row), wanted.get(name, 0.0))
    for request in REQUESTS:  # Azure refuses a limit below its request
        limit = request.replace("request", "limit")
        if request in wanted and wanted[request] > hard.get(limit, math.inf):
            wanted[limit] = max(wanted[request], wanted.get(limit, 0.0))
    return {
        name: (hard[name], wanted[name])
        for name in QUOTA_FIELDS
        if name in wanted and wanted[name] > hard[name]
    }


def _give_backs(values: Sequence[Row], left: Mapping[str, float]) -> Changes:
    """Return what request values may be lowered to, by their peak and what fits now and has to."""
    found = {}
    for row in values:
        name, hard = row["resource"], row["hard"]
        if name not in REQUESTS or wording.is_unknown(hard):
            continue
        enough = needed_for(_peak(row), name, share=PEAK_SHARE_KEPT)
        enough = max(enough, _rounded_up(hard - left.get(name, hard), name))
        if enough < hard:
            found[name] = (hard, enough)
    return found


def _size(row: Row, amount: float) -> float:
    """Return an amount of either resource in cores, so that they can be ordered together."""
    return amount if row["resource"].startswith("cpu") else amount / BYTES_PER_CORE


def _peak(row: Row) -> float:
    return float(row["used"] if wording.is_unknown(row["peak_used"]) else row["peak_used"])
