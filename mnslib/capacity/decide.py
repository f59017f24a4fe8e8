"""What to do: what each namespace needs next, and what a planner has to decide.

At most one step a namespace: more quota, smaller requests, or giving back what it never asked for.
Its owner's page and the planner's decisions are made of the same steps, worked out once: who is
told to lower requests is offered no quota. Pure: frames in, values out; a step is a kind, amounts
and a why, and knows nothing of sentences. The amounts are explained, with examples, in
`docs/capacity.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, NamedTuple

import pandas as pd

from mnslib.capacity.advice import FIX, SHRINK
from mnslib.capacity.evidence import worst_evidence
from mnslib.capacity.evidence_words import NEEDS_SOMEBODY
from mnslib.capacity.fit import AUTOSCALER, LIMITED, NEXT_POD, NO, ROLLING_UPDATE, YES
from mnslib.capacity.quota_values import FULL, SPACE, TIGHT, TIGHT_RATIO
from mnslib.capacity.refusals import EXCEEDED, WORKLOAD
from mnslib.capacity.snapshot import Snapshot
from mnslib.capacity.utilization import tightest
from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.models import (
    MANAGED_QUOTA_NAME,
    QUOTA_ALIASES,
    QUOTA_FIELDS,
    QUOTA_KEYS,
    format_quota_value,
)
from mnslib.quantities import GIB, MIB, RESOURCE_WORDS, parse_quantity, rounded_text

RAISE, UNBLOCK = "raise", "let pods start"
LOWER, GIVE_BACK = "lower requests", "give back"

REQUESTS = ("cpu_request", "memory_request")
BYTES_PER_CORE = 4 * GIB
"""Memory that orders like one core. Source: Azure, sizes of the D series, 4 GiB a vCPU."""

PEAK_SHARE_KEPT = 0.8
"""Share of a lowered quota that its peak may be; our choice, well below what is tight (0.9)."""

REFUSED, SHORT, NO_NODE, NOT_LET_IN = "refused", "short", "no node", "not let in"
UNUSED, NEVER_ASKED = "unused", "never asked"
"""Why a step is asked for, beside `FULL` and `TIGHT`."""

STEPS_COLUMNS = (
    *SPACE, "owner", "kind", "resource", "from", "to", "request", "reason",
)  # fmt: skip
REQUEST_COLUMNS = ("subscription_id", "resource_group", *SPACE, *QUOTA_FIELDS)

QUOTA_FIELD_OF = {key: name for name, key in QUOTA_KEYS.items()}
QUOTA_FIELD_OF |= {
    alias: QUOTA_FIELD_OF[key] for alias, key in QUOTA_ALIASES.items() if key in QUOTA_FIELD_OF
}
"""Quota key, in either spelling, to quota field."""

_LEFT = {name: f"left_{name}" for name in QUOTA_FIELDS}
_VALUE = ("resource", "hard", "used", "peak_used", "verdict")
_LAYER = ("resource", "requested", "usage", "peak_usage", "requested_unused")
_NOTHING_TO_MEND = "gaps"

Row = Mapping[Any, Any]
Place = tuple[str, str]
Changes = Mapping[str, tuple[float, float]]


class Why(NamedTuple):
    """One reason of a step.

    Attributes:
        code: `REFUSED`, `FULL`, `TIGHT`, `SHORT`, `NO_NODE`, `NOT_LET_IN`, `UNUSED`, `NEVER_ASKED`.
        subject: the value that is short, or the workload whose next pod does not start.
        amount: times refused, what is short, or what that pod requests of CPU.
        memory: what that pod requests of memory.
        missing: why that pod is never let in.
    """

    code: str
    subject: str = ""
    amount: float = math.nan
    memory: float = math.nan
    missing: str = ""

    @property
    def is_stuck(self) -> bool:
        """Whether no higher quota helps."""
        return self.code in (NO_NODE, NOT_LET_IN)

    @property
    def text(self) -> str:
        """The reason in a few words, as the column `reason` has it."""
        return _REASONS[self.code](self)


class Amount(NamedTuple):
    """One amount of a step: a quota as it is and should be, or requests that are not used.

    Attributes:
        resource: a quota value; of unused requests `cpu` or `memory`.
        now, then: in cores or bytes; `then` is NaN where there is no target.
        request: `then` as a request file says it; empty where such a file cannot change the value.
        usage, peak_usage, unused: of unused requests.
    """

    resource: str
    now: float
    then: float = math.nan
    request: str = ""
    usage: float = math.nan
    peak_usage: float = math.nan
    unused: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one namespace needs next.

    Attributes:
        kind: `RAISE`, `UNBLOCK`, `LOWER` or `GIVE_BACK`.
        rank: the most urgent first: refused pods, full, tight, idle; then the largest.
        amounts: what changes; none where what is short is no value that Azure manages.
        is_stuck: whether the next pod of a workload does not fit, in the quota or on a node.
    """

    cluster_name: str
    namespace_name: str
    owner: str
    kind: str
    rank: tuple[float, float]
    amounts: tuple[Amount, ...] = ()
    whys: tuple[Why, ...] = ()
    is_stuck: bool = False

    @property
    def place(self) -> Place:
        """Its cluster and namespace."""
        return self.cluster_name, self.namespace_name

    @property
    def codes(self) -> set[str]:
        """The codes of its reasons."""
        return {why.code for why in self.whys}

    @property
    def refused(self) -> int:
        """How often pods were refused."""
        return int(sum(why.amount for why in self.whys if why.code == REFUSED))

    @property
    def stuck(self) -> list[str]:
        """Why next pods do not start whatever the quota, in a few words each."""
        return [why.text for why in self.whys if why.is_stuck]

    @property
    def is_in_file(self) -> bool:
        """Whether a request file says some of it."""
        return any(amount.request for amount in self.amounts)

    @property
    def largest(self) -> Amount | None:
        """The quota that changes by the largest share of itself; None where none does."""
        return max(self.amounts, key=_share, default=None)


class Shortage(NamedTuple):
    """A cluster that cannot give what its namespaces need together."""

    cluster_name: str
    resource: str
    headroom: float
    wanted: float


class Excess(NamedTuple):
    """What a cluster has committed beyond a bound: `verdict` says which."""

    cluster_name: str
    resource: str
    verdict: str
    amount: float
    committed_ratio: float


class Fault(NamedTuple):
    """Figures that somebody has to mend: a word of evidence, of how many, and where."""

    evidence: str
    total: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What there is to do.

    Attributes:
        steps: of each namespace that needs one, the most urgent first.
        shortages: clusters that have less headroom than the raises of their namespaces need.
        excesses: clusters to which nothing more should be committed, in the order of the clusters.
        most_headroom: another cluster and its headroom in cores; None where none has any.
        faults: what has to be mended before figures are trusted.
        no_history: clusters of which the history was asked for in vain.
    """

    steps: tuple[Step, ...]
    shortages: tuple[Shortage, ...] = ()
    excesses: tuple[Excess, ...] = ()
    most_headroom: tuple[str, float] | None = None
    faults: tuple[Fault, ...] = ()
    no_history: tuple[str, ...] = ()

    def of(self, kind: str) -> list[Step]:
        """Return the steps of one kind, the most urgent first."""
        return [step for step in self.steps if step.kind == kind]


def decide(
    snapshot: Snapshot,
    *,
    utilization: pd.DataFrame,
    layers: pd.DataFrame,
    refusals: pd.DataFrame,
    fit: pd.DataFrame,
    commitments: pd.DataFrame,
    evidence: pd.DataFrame,
) -> Decided:
    """Return what there is to do.

    Args:
        snapshot: what was read; its quota objects say what a request file can change.
        utilization: with advice, from `capacity.advice.with_advice`.
        layers: from `capacity.layers.layers_table`.
        refusals: from `capacity.refusals.refusals_table`.
        fit: from `capacity.fit.fit_table`.
        commitments: from `capacity.clusters.commitment_table`.
        evidence: from `capacity.evidence.evidence_table`.
    """
    steps = _steps(
        _managed_quotas(snapshot),
        utilization=utilization,
        layers=layers,
        refusals=refusals,
        fit=fit,
    )
    excesses = tuple(_excesses(commitments))
    return Decided(
        steps=steps,
        shortages=tuple(_shortages(steps, commitments)),
        excesses=excesses,
        most_headroom=_most_headroom(commitments, {each.cluster_name for each in excesses}),
        faults=tuple(_faults(evidence)),
        no_history=tuple(sorted(snapshot.no_history)),
    )


def steps_table(decided: Decided) -> pd.DataFrame:
    """Return what every namespace needs next, the most urgent first: a row for each amount.

    Returns:
        `STEPS_COLUMNS`, `from` and `to` in cores or bytes, NaN where there is no amount. `request`
        is `to` as a request file says it; empty where such a file cannot change the value: the
        namespace is not managed by Azure, or another quota object than Azure's decides.
    """
    rows = [
        [*step.place, step.owner, step.kind, *amount[:4], "; ".join(why.text for why in step.whys)]
        for step in decided.steps
        for amount in step.amounts or (Amount("", math.nan),)
    ]
    return pd.DataFrame(rows, columns=list(STEPS_COLUMNS))


def step_requests(decided: Decided, snapshot: Snapshot) -> pd.DataFrame:
    """Return the request file of the steps: a row per namespace, cells only for what changes.

    Args:
        snapshot: of the same run; it says where each cluster is.
    """
    where = {place(row): row for row in records(snapshot.namespaces)}
    rows = []
    for step in decided.steps:
        if step.is_in_file:
            cells = {amount.resource: amount.request for amount in step.amounts}
            group = [where[step.place][name] for name in REQUEST_COLUMNS[:2]]
            # names that two clusters share are told apart by their ids
            names = [step.cluster_name.rpartition("/")[2], step.namespace_name]
            rows.append([*group, *names, *(cells.get(name, "") for name in QUOTA_FIELDS)])
    return pd.DataFrame(rows, columns=list(REQUEST_COLUMNS))


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


def place(row: Row) -> Place:
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


def smallest_raise(row: Row) -> float:
    """Return what a quota value lacks for all missing pods, or for one where no more is known."""
    return float(
        max(0.0 if math.isnan(row[name]) else row[name] for name in ("raise_one", "raise_all"))
    )


# The step of a namespace


def _steps(
    managed: Mapping[Place, Mapping[str, Decimal]],
    *,
    utilization: pd.DataFrame,
    layers: pd.DataFrame,
    refusals: pd.DataFrame,
    fit: pd.DataFrame,
) -> tuple[Step, ...]:
    over = by_space(layers[layers["region"] == FIX], _LAYER)
    refused, gaps, kept = by_space(refusals), _gaps(fit), _left_of(fit)
    values = by_space(_asking(utilization, [*refused, *gaps]), _VALUE)
    found = []
    for space in records(tightest(utilization)):
        at = place(space)
        step = _step(
            space,
            values=values.get(at, ()),
            over=over.get(at, ()),
            exceeded=[row for row in refused.get(at, ()) if row["problem"] == EXCEEDED],
            gaps=gaps.get(at, ()),
            left=kept.get(at, {}),
            managed=managed.get(at, {}),
        )
        if step is not None:
            found.append(step)
    return tuple(sorted(found, key=lambda step: step.rank))


def _gaps(fit: pd.DataFrame) -> dict[Place, list[Row]]:
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
    exceeded: Sequence[Row],
    gaps: Sequence[Row],
    left: Mapping[str, float],
    managed: Mapping[str, Decimal],
) -> Step | None:
    verdict, stuck = space["verdict"], tuple(_stuck(gaps))
    about = {name: space[name] for name in (*SPACE, "owner")} | {"is_stuck": bool(gaps)}
    short = [row for row in values if row["verdict"] in (FULL, TIGHT)]
    if space["advice"] == FIX and over:
        urgency = 1.5 if verdict == FULL else 2.5 if verdict == TIGHT else 3.0
        return Step(
            **about,
            kind=LOWER,
            rank=(urgency, -_size(over[0]["resource"], over[0]["requested_unused"])),
            amounts=tuple(_unused(row) for row in over),
            whys=(Why(UNUSED), *stuck),
        )
    if short or exceeded or any(row[f"left_{name}"] < 0 for row in gaps for name in LIMITED):
        urgency = 0.0 if exceeded else 1.0 if verdict == FULL or gaps else 2.0
        raises = _raises(values, short=short, refusals=exceeded, gaps=gaps)
        return Step(
            **about,
            kind=RAISE,
            rank=(urgency, -sum(_size(row["resource"], row["hard"]) for row in short[:1])),
            amounts=_amounts(raises, managed),
            whys=(*_reasons(short, exceeded, gaps), *stuck),
        )
    if gaps:
        return Step(**about, kind=UNBLOCK, rank=(1.0, 0.0), whys=stuck)
    if space["advice"] == SHRINK and (quotas := _give_backs(values, left)):
        most = max(_size(name, now - then) for name, (now, then) in quotas.items())
        amounts = _amounts(quotas, managed)
        whys = (Why(NEVER_ASKED),)
        return Step(**about, kind=GIVE_BACK, rank=(4.0, -most), amounts=amounts, whys=whys)
    return None


def _raises(
    values: Sequence[Row],
    *,
    short: Sequence[Row],
    refusals: Sequence[Row],
    gaps: Sequence[Row],
) -> Changes:
    """Return what each value must be for all that is asked for, was refused or comes next."""
    hard = {row["resource"]: row["hard"] for row in values if not math.isnan(row["hard"])}
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
        if name not in REQUESTS or math.isnan(hard):
            continue
        peak = row["used"] if math.isnan(row["peak_used"]) else row["peak_used"]
        enough = needed_for(float(peak), name, share=PEAK_SHARE_KEPT)
        enough = max(enough, _rounded_up(hard - left.get(name, hard), name))
        if enough < hard:
            found[name] = (hard, enough)
    return found


def _unused(row: Row) -> Amount:
    return Amount(
        row["resource"],
        row["requested"],
        usage=row["usage"],
        peak_usage=row["peak_usage"],
        unused=row["requested_unused"],
    )


def _amounts(changes: Changes, managed: Mapping[str, Decimal]) -> tuple[Amount, ...]:
    return tuple(
        Amount(name, now, then, _request(name, then) if _is_own(managed, name, now) else "")
        for name, (now, then) in changes.items()
    )


def _is_own(managed: Mapping[str, Decimal], name: str, now: float) -> bool:
    """Return whether Azure's own quota object is the one that decides."""
    return float(managed.get(QUOTA_KEYS[name], math.nan)) == now


def _request(name: str, amount: float) -> str:
    """Return an amount as a request file says it, rounded up to whole millicores or KiB."""
    unit = parse_quantity("1m" if name.startswith("cpu") else "1Ki")
    exact = Decimal(str(amount)) / unit
    return format_quota_value(name, exact.to_integral_value(ROUND_CEILING) * unit)


def _managed_quotas(snapshot: Snapshot) -> dict[Place, Mapping[str, Decimal]]:
    """Return what Azure's own quota object says, of the namespaces that Azure manages."""
    namespaces = snapshot.namespaces
    is_managed = namespaces["is_managed"].astype(bool) & (namespaces["subscription_id"] != "")
    managed = {place(row) for row in records(namespaces[is_managed])}
    return {
        (cluster, quota.namespace_name): quota.hard
        for cluster, quotas in snapshot.quotas.items()
        for quota in quotas
        if quota.name == MANAGED_QUOTA_NAME and (cluster, quota.namespace_name) in managed
    }


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


def _size(resource: str, amount: float) -> float:
    """Return an amount of either resource in cores, so that they can be ordered together."""
    return amount if resource.startswith("cpu") else amount / BYTES_PER_CORE


def _share(amount: Amount) -> float:
    """Return by how much of itself a quota changes."""
    return abs(amount.then - amount.now) / amount.now if amount.now else math.inf


# Why


def _reasons(short: Sequence[Row], exceeded: Sequence[Row], gaps: Sequence[Row]) -> Iterator[Why]:
    if exceeded:
        yield Why(REFUSED, amount=times_refused(exceeded))
    if short:
        yield Why(FULL if any(row["verdict"] == FULL for row in short) else TIGHT)
    lacks: dict[str, float] = {}
    for row in gaps:
        for name in LIMITED:
            if (left := row[f"left_{name}"]) < 0:
                lacks[name] = max(-left, lacks.get(name, 0.0))
    for name, lack in lacks.items():
        yield Why(SHORT, name, lack)


def _stuck(gaps: Iterable[Row]) -> Iterator[Why]:
    """Yield why the next pods do not start whatever the quota: no node, or what is not set."""
    for row in gaps:
        if row["unplaced_pods"] > 0:
            yield Why(NO_NODE, row["workload_name"], row["pod_cpu"], row["pod_memory"])
        elif row["reason"] != "quota":
            yield Why(NOT_LET_IN, row["workload_name"], missing=_kinds_missing(row["reason"]))


def _kinds_missing(reason: str) -> str:
    """Return `must specify limits` for `must specify limits.cpu, limits.memory`."""
    words, _, keys = reason.partition("must specify ")
    kinds = dict.fromkeys(key.partition(".")[0] for key in keys.split(", "))
    return reason if words else f"must specify {' and '.join(kinds)}"


def _plural(amount: float, noun: str) -> str:
    return f"{int(amount):,} {noun}{'' if amount == 1 else 's'}"


def _lack_text(why: Why) -> str:
    if why.subject == "pods":
        return _plural(why.amount, "pod")
    return f"{rounded_text(why.subject, why.amount)} of {RESOURCE_WORDS[why.subject]}"


_REASONS: Mapping[str, Callable[[Why], str]] = {
    REFUSED: lambda why: f"pods were refused {_plural(why.amount, 'time')}",
    FULL: lambda why: "full",
    TIGHT: lambda why: "nearly full",
    SHORT: lambda why: f"short of {_lack_text(why)} for the next pod",
    NO_NODE: lambda why: (
        f"no node has room for the next pod of {why.subject} "
        f"({rounded_text('cpu', why.amount)}, {rounded_text('memory', why.memory)})"
    ),
    NOT_LET_IN: lambda why: f"the next pod of {why.subject} {why.missing}",
    UNUSED: lambda why: "its requests are not used",
    NEVER_ASKED: lambda why: "never asked for",
}


# What a planner decides beside the steps


def _shortages(steps: Iterable[Step], commitments: pd.DataFrame) -> Iterator[Shortage]:
    """Yield where a cluster has less headroom than its raises need; unknown is left out."""
    wanted: dict[tuple[str, str], float] = {}
    for step in steps:
        for amount in step.amounts if step.kind == RAISE else ():
            if amount.resource in REQUESTS:
                at = (step.cluster_name, amount.resource)
                wanted[at] = wanted.get(at, 0.0) + amount.then - amount.now
    headroom = {
        (row["cluster_name"], f"{row['resource']}_request"): row["headroom"]
        for row in records(commitments)
    }
    for at, more in wanted.items():
        if more > headroom.get(at, math.nan):
            yield Shortage(*at, headroom[at], more)


def _excesses(commitments: pd.DataFrame) -> Iterator[Excess]:
    for row in records(commitments):
        amount = row["requested"] - row["without_largest_node"]
        if row["verdict"] == "quota overcommit":
            amount = row["committed"] - float(QUOTA_OVERCOMMIT_RATIO) * row["allocatable"]
        if row["verdict"] in ("overcommit", "quota overcommit"):
            about = (row["cluster_name"], row["resource"], row["verdict"])
            yield Excess(*about, amount, row["committed_ratio"])


def _most_headroom(commitments: pd.DataFrame, full: Collection[str]) -> tuple[str, float] | None:
    free = [
        (row["cluster_name"], row["headroom"])
        for row in records(commitments[commitments["resource"] == "cpu"])
        if row["headroom"] > 0 and row["cluster_name"] not in full
    ]
    return max(free, key=lambda each: each[1], default=None)


def _faults(evidence: pd.DataFrame) -> Iterator[Fault]:
    worst = worst_evidence(evidence)
    bad = worst[worst["evidence"].isin(NEEDS_SOMEBODY) & (worst["evidence"] != _NOTHING_TO_MEND)]
    for word, rows in bad.groupby("evidence", sort=False):
        names = rows["cluster_name"] if word == "not read" else rows["namespace_name"]
        yield Fault(str(word), len(rows), tuple(dict.fromkeys(names)))
