"""What to do: what each namespace needs next, and what a planner has to decide.

At most one step a namespace: more quota, smaller requests, or giving back what it never asked for.
Its owner's page and the planner's decisions are made of the same steps, worked out once: who is
told to lower requests is offered no quota. Pure: frames in, values out; a step is a kind, amounts
and a why. The amounts are explained, with examples, in `docs/capacity.md`.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from mnslib.capacity.advice import FIX, SHRINK
from mnslib.capacity.evidence import worst_evidence
from mnslib.capacity.evidence_words import NEEDS_SOMEBODY
from mnslib.capacity.fit import AUTOSCALER, LIMITED, NEXT_POD, NO, ROLLING_UPDATE, YES
from mnslib.capacity.quota_values import FULL, SPACE, TIGHT, TIGHT_RATIO, names_of
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

if TYPE_CHECKING:
    from mnslib.capacity.tables import Tables

    Numbers = pd.Series[float]
    Texts = pd.Series[str]

RAISE, UNBLOCK = "raise", "let pods start"
LOWER, GIVE_BACK = "lower requests", "give back"

REQUESTS = ("cpu_request", "memory_request")
BYTES_PER_CORE = 4 * GIB
"""Memory that orders like one core. Source: Azure, sizes of the D series, 4 GiB a vCPU."""

PEAK_SHARE_KEPT = 0.8
"""Share of a lowered quota that its peak may be; our choice, well below what is tight (0.9)."""

STEPS_COLUMNS = (
    *SPACE, "owner", "kind", "resource", "from", "to", "request", "reason",
)  # fmt: skip
REQUEST_COLUMNS = ("subscription_id", "resource_group", *SPACE, *QUOTA_FIELDS)

QUOTA_FIELD_OF = {key: name for name, key in QUOTA_KEYS.items()}
QUOTA_FIELD_OF |= {
    alias: QUOTA_FIELD_OF[key] for alias, key in QUOTA_ALIASES.items() if key in QUOTA_FIELD_OF
}
"""Quota key, in either spelling, to quota field."""

_VALUE = [*SPACE, "resource"]
_TEXTS = dict.fromkeys(_VALUE, "str")
_LEFT = {f"left_{name}": name for name in LIMITED}
_NOTHING_TO_MEND = "gaps"

Place = tuple[str, str]


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
        amounts: what changes; none where what is short is no value that Azure manages.
        whys: the reasons, in a few words each.
        stuck: those of them that no higher quota helps.
        is_full: whether a value that shall be raised is at its quota.
        is_stuck: whether the next pod of a workload does not fit, in the quota or on a node.
        refused: how often pods were refused for what shall be raised.
    """

    cluster_name: str
    namespace_name: str
    owner: str
    kind: str
    amounts: tuple[Amount, ...] = ()
    whys: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    is_full: bool = False
    is_stuck: bool = False
    refused: int = 0

    @property
    def place(self) -> Place:
        """Its cluster and namespace."""
        return self.cluster_name, self.namespace_name

    @property
    def is_in_file(self) -> bool:
        """Whether a request file says some of it."""
        return any(amount.request for amount in self.amounts)

    @property
    def largest(self) -> Amount | None:
        """The quota that changes by the largest share of itself; None where none does."""

        def share(amount: Amount) -> float:
            return abs(amount.then - amount.now) / amount.now if amount.now else math.inf

        return max(self.amounts, key=share, default=None)


class Fault(NamedTuple):
    """Figures that somebody has to mend: a word of evidence, of how many, and where."""

    evidence: str
    total: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What there is to do.

    Attributes:
        steps: of each namespace that needs one, the most urgent first: refused pods, full, tight,
            idle; then the largest.
        shortages: by cluster and request value `headroom`, and what is `wanted` beyond it: what the
            raises of its namespaces need together.
        excesses: rows of the commitment table to which nothing more should be committed, with the
            `amount` beyond the bound.
        most_headroom: another cluster and its headroom in cores; None where none has any.
        faults: what has to be mended before figures are trusted.
        no_history: clusters of which the history was asked for in vain.
    """

    steps: tuple[Step, ...]
    shortages: tuple[Any, ...] = ()
    excesses: tuple[Any, ...] = ()
    most_headroom: tuple[str, float] | None = None
    faults: tuple[Fault, ...] = ()
    no_history: tuple[str, ...] = ()

    def of(self, kind: str) -> list[Step]:
        """Return the steps of one kind, the most urgent first."""
        return [step for step in self.steps if step.kind == kind]


def decide(tables: Tables) -> Decided:
    """Return what there is to do by the tables of one reading."""
    steps = tuple(_steps(tables))
    excesses = tuple(_excesses(tables.commitment))
    full = {each.cluster_name for each in excesses}
    return Decided(
        steps=steps,
        shortages=tuple(_shortages(steps, tables.commitment)),
        excesses=excesses,
        most_headroom=_most_headroom(tables.commitment, full),
        faults=tuple(_faults(tables.evidence)),
        no_history=tuple(sorted(tables.snapshot.no_history)),
    )


def steps_table(steps: Iterable[Step]) -> pd.DataFrame:
    """Return what every namespace needs next, the most urgent first: a row for each amount.

    Returns:
        `STEPS_COLUMNS`, `from` and `to` in cores or bytes, NaN where there is no amount. `request`
        is `to` as a request file says it; empty where such a file cannot change the value: the
        namespace is not managed by Azure, or another quota object than Azure's decides.
    """
    rows = [
        [*step.place, step.owner, step.kind, *amount[:4], "; ".join(step.whys)]
        for step in steps
        for amount in step.amounts or (Amount("", math.nan),)
    ]
    return pd.DataFrame(rows, columns=list(STEPS_COLUMNS))


def step_requests(steps: Iterable[Step], snapshot: Snapshot) -> pd.DataFrame:
    """Return the request file of the steps: a row per namespace, cells only for what changes.

    Args:
        snapshot: of the same run; it says where each cluster is.
    """
    names = [*SPACE, *REQUEST_COLUMNS[:2]]
    groups = rows_of(snapshot.namespaces[names])
    where = {(cluster, name): group for cluster, name, *group in groups}
    rows = []
    for step in steps:
        if step.is_in_file:
            cells = {amount.resource: amount.request for amount in step.amounts}
            # names that two clusters share are told apart by their ids
            place = [step.cluster_name.rpartition("/")[2], step.namespace_name]
            requests = [cells.get(name, "") for name in QUOTA_FIELDS]
            rows.append([*where[step.place], *place, *requests])
    return pd.DataFrame(rows, columns=list(REQUEST_COLUMNS))


def needed_for(used: Numbers, resource: Texts, *, share: float = float(TIGHT_RATIO)) -> Numbers:
    """Return the quotas of which what is asked for is at most a share, in cores or bytes.

    Rounded up to 0.1 cores (under 1 core 0.01) or 0.25 GiB (under 1 GiB 1 MiB), so that they can be
    written as they are read.
    """
    return _rounded_up(used / share, resource)


def smallest_raises(refusals: pd.DataFrame) -> Numbers:
    """Return what each value lacks for all missing pods, or for one where no more is known."""
    return refusals[["raise_one", "raise_all"]].astype(float).fillna(0.0).max(axis=1)


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Return the rows of a table, each with its columns as attributes; pandas' own way is slow."""
    row = namedtuple("row", table.columns, rename=True)  # type: ignore[misc]
    return map(row._make, zip(*(table[name].tolist() for name in table), strict=True))


# The step of a namespace


def _steps(tables: Tables) -> Iterator[Step]:
    values = tables.utilization.astype(_TEXTS)  # without a row pandas knows no types
    over = tables.layers[tables.layers["region"] == FIX]
    exceeded = tables.refusals[tables.refusals["problem"] == EXCEEDED]
    fit = tables.fit[tables.fit["workload_name"] != ""]
    gaps = fit[(fit["question"] == NEXT_POD) & (fit["verdict"] == NO)]
    lacks = _left(gaps)
    lacks = lacks[lacks["left"] < 0]
    gives = _give_backs(values[values["advice"] == SHRINK], fit)
    amounts = {
        LOWER: _amounts(over.rename(columns={"requested": "now", "requested_unused": "unused"})),
        RAISE: _amounts(_in_file(_raises(values, lacks, exceeded), tables.snapshot)),
        GIVE_BACK: _amounts(_in_file(gives, tables.snapshot)),
    }
    whys = {LOWER: ["its requests are not used"], GIVE_BACK: ["never asked for"]}
    verdicts = {FULL: ["full"], TIGHT: ["nearly full"]}
    times = exceeded.drop_duplicates(list(WORKLOAD)).groupby(SPACE)["count"].sum().to_dict()
    short, stuck = _short(lacks), _stuck(gaps)
    asking = {"over": over, "exceeded": exceeded, "gaps": gaps, "lacks": lacks, "gives": gives}
    for row in rows_of(_ordered(values, asking)):
        at, kind = (row.cluster_name, row.namespace_name), row.kind
        why, refused = whys.get(kind, []), 0
        if kind == RAISE:
            refused = int(times.get(at, 0))
            said = [f"pods were refused {_plural(refused, 'time')}"] if refused else []
            why = [*said, *verdicts.get(row.verdict, []), *short.get(at, [])]
        yield Step(
            cluster_name=at[0],
            namespace_name=at[1],
            owner=row.owner,
            kind=kind,
            amounts=tuple(amounts.get(kind, {}).get(at, ())),
            whys=(*why, *stuck.get(at, ())),
            stuck=tuple(stuck.get(at, ())),
            is_full=row.verdict == FULL,
            is_stuck=at in stuck,
            refused=refused,
        )


def _ordered(values: pd.DataFrame, asking: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of `tightest` that need a step with its kind, the most urgent first."""
    worst = tightest(values)
    places = pd.MultiIndex.from_frame(worst[SPACE])
    is_full, is_tight = (worst["verdict"] == verdict for verdict in (FULL, TIGHT))
    over, gives = asking["over"], asking["gives"]
    among = {
        name: places.isin(pd.MultiIndex.from_frame(rows[SPACE])) for name, rows in asking.items()
    }
    cases: dict[str, Any] = {
        LOWER: among["over"] & (worst["advice"] == FIX),
        RAISE: is_full | is_tight | among["exceeded"] | among["lacks"],
        UNBLOCK: among["gaps"],
        GIVE_BACK: among["gives"],
    }
    kind = np.select(list(cases.values()), list(cases), "")
    wasted = np.select([is_full, is_tight], [1.5, 2.5], 3.0)
    raised = np.select([among["exceeded"], is_full | among["gaps"]], [0.0, 1.0], 2.0)
    urgency: dict[str, Any] = {LOWER: wasted, RAISE: raised, UNBLOCK: 1.0, GIVE_BACK: 4.0}
    short = values[values["verdict"].isin([FULL, TIGHT])]
    sizes = {
        LOWER: _size(over, over["requested_unused"]).first(),
        RAISE: _size(short, short["hard"]).first(),
        GIVE_BACK: _size(gives, gives["now"] - gives["then"]).max(),
    }
    found = {name: size.reindex(places).to_numpy(dtype=float) for name, size in sizes.items()}
    found[UNBLOCK] = np.zeros(len(worst))
    chosen = [kind == name for name in cases]
    rows: pd.DataFrame = worst.assign(
        kind=kind,
        urgency=np.select(chosen, [urgency[name] for name in cases], 5.0),
        size=np.nan_to_num(np.select(chosen, [-found[name] for name in cases], 0.0)),
    )
    return rows[rows["kind"] != ""].sort_values(["urgency", "size"], kind="stable")


def _size(rows: pd.DataFrame, amount: Numbers) -> Any:
    """Return amounts of either resource in cores by namespace, so that they can be compared."""
    size = amount.astype(float).where(_is_cpu(rows["resource"]), amount / BYTES_PER_CORE)
    return size.groupby([rows[name] for name in SPACE])


def _left(fit: pd.DataFrame) -> pd.DataFrame:
    """Return what is left of each value, a row each in the order of the rows and values."""
    left: Any = fit[list(_LEFT)].rename(columns=_LEFT).astype(float).stack()
    rows = left.rename("left").rename_axis([None, "resource"]).reset_index(1)
    return fit[SPACE].join(rows).astype(_TEXTS)


def _raises(values: pd.DataFrame, lacks: pd.DataFrame, exceeded: pd.DataFrame) -> pd.DataFrame:
    """Return what each value must be for all that is asked for, was refused or comes next."""
    known = values.loc[values["hard"].notna(), [*_VALUE, "hard"]]
    short = values[values["verdict"].isin([FULL, TIGHT])]
    lacks = lacks.merge(known, on=_VALUE)
    refused = exceeded.assign(resource=exceeded["key"].map(QUOTA_FIELD_OF), now=exceeded["limited"])
    refused = refused[refused["resource"].notna()].astype(_TEXTS)
    # a quota of which what is asked for is exactly 90 % grows by one unit
    grown = _rounded(short["hard"] + _unit(short["hard"], short["resource"]), short["resource"])
    needed = np.maximum(needed_for(short["used"], short["resource"]), grown)
    wanted = [
        short.assign(then=needed),
        lacks.assign(then=_rounded_up(lacks["hard"] - lacks["left"], lacks["resource"])),
        refused.assign(then=refused["limited"] + smallest_raises(refused)),
    ]
    rows = pd.concat([one.reindex(columns=[*_VALUE, "now", "then"]) for one in wanted])
    requests = rows[rows["resource"].isin(REQUESTS)]  # Azure refuses a limit below its request
    limits = requests["resource"].str.replace("request", "limit")
    rows = pd.concat([rows, requests.assign(resource=limits, now=math.nan)])
    rows[["now", "then"]] = rows[["now", "then"]].astype(float)
    found = rows.groupby(_VALUE, as_index=False).agg({"now": "first", "then": "max"})
    found = found.merge(known, on=_VALUE, how="left")
    found["now"] = found["hard"].astype(float).fillna(found["now"])
    return found[found["then"] > found["now"]]


def _give_backs(idle: pd.DataFrame, fit: pd.DataFrame) -> pd.DataFrame:
    """Return what request values may be lowered to, by their peak and what fits now and has to."""
    asked = fit["question"].isin([NEXT_POD, ROLLING_UPDATE, AUTOSCALER]) & (fit["verdict"] == YES)
    left = _left(fit[asked].groupby(SPACE)[list(_LEFT)].min().reset_index())
    rows = idle[idle["resource"].isin(REQUESTS) & idle["hard"].notna()]
    rows = rows.merge(left[left["left"] >= 0], on=_VALUE, how="left")
    hard, resource = rows["hard"].astype(float), rows["resource"]
    peak = rows["peak_used"].astype(float).fillna(rows["used"])
    enough = np.maximum(
        needed_for(peak, resource, share=PEAK_SHARE_KEPT),
        _rounded_up(hard - rows["left"].astype(float).fillna(hard), resource),
    )
    return rows.assign(now=hard, then=enough)[enough < hard]


def _in_file(changes: pd.DataFrame, snapshot: Snapshot) -> pd.DataFrame:
    """Return changes in the order of the values, each as a request file says it where one can."""
    spaces = snapshot.namespaces
    spaces = spaces[spaces["is_managed"].astype(bool) & (spaces["subscription_id"] != "")]
    managed = set(names_of(spaces))
    own = {
        (cluster, quota.namespace_name, name): float(quota.hard[key])
        for cluster, quotas in snapshot.quotas.items()
        for quota in quotas
        if quota.name == MANAGED_QUOTA_NAME and (cluster, quota.namespace_name) in managed
        for name, key in QUOTA_KEYS.items()
        if key in quota.hard
    }
    texts = [
        _request(name, then) if own.get((cluster, space, name)) == now else ""
        for cluster, space, name, now, then in rows_of(changes[[*_VALUE, "now", "then"]])
    ]
    order = changes["resource"].map({name: at for at, name in enumerate(QUOTA_FIELDS)})
    return changes.assign(request=texts, order=order).sort_values("order", kind="stable")


def _request(name: str, amount: float) -> str:
    """Return an amount as a request file says it, rounded up to whole millicores or KiB."""
    unit = parse_quantity("1m" if name.startswith("cpu") else "1Ki")
    exact = Decimal(str(amount)) / unit
    return format_quota_value(name, exact.to_integral_value(ROUND_CEILING) * unit)


def _amounts(changes: pd.DataFrame) -> dict[Place, list[Amount]]:
    columns = [name for name in Amount._fields if name in changes]
    found: dict[Place, list[Amount]] = {}
    for cluster, name, *row in rows_of(changes[[*SPACE, *columns]]):
        found.setdefault((cluster, name), []).append(Amount(**dict(zip(columns, row, strict=True))))
    return found


def _is_cpu(resource: Texts) -> pd.Series[bool]:
    return resource.isin(["cpu", "cpu_request", "cpu_limit"])


def _unit(amount: Numbers, resource: Texts) -> Any:
    cores, memory = np.where(amount >= 1, 0.1, 0.01), np.where(amount >= GIB, GIB / 4, MIB)
    return np.where(_is_cpu(resource), cores, memory)


def _rounded_up(amount: Numbers, resource: Texts) -> Numbers:
    unit = _unit(amount.astype(float), resource)
    return _rounded(np.ceil((amount.astype(float) / unit).round(6)) * unit, resource)


def _rounded(amount: Numbers, resource: Texts) -> Numbers:
    """Return cores without the noise of adding tenths; bytes have none."""
    return amount.astype(float).round(6).where(_is_cpu(resource), amount)


# Why


def _short(lacks: pd.DataFrame) -> dict[Place, list[str]]:
    """Return of what each namespace is short for its next pods."""
    found: dict[Place, list[str]] = {}
    most = lacks.groupby(_VALUE, sort=False)["left"].min()
    for cluster, name, resource, left in rows_of(most.reset_index()):
        words = _plural(-left, "pod")
        if resource != "pods":
            words = f"{rounded_text(resource, -left)} of {RESOURCE_WORDS[resource]}"
        found.setdefault((cluster, name), []).append(f"short of {words} for the next pod")
    return found


def _stuck(gaps: pd.DataFrame) -> dict[Place, list[str]]:
    """Return why next pods do not start whatever the quota: no node, or what is not set."""
    found: dict[Place, list[str]] = {}
    for row in rows_of(gaps):
        own = found.setdefault((row.cluster_name, row.namespace_name), [])
        pod = f"the next pod of {row.workload_name}"
        if row.unplaced_pods > 0:
            size = f"{rounded_text('cpu', row.pod_cpu)}, {rounded_text('memory', row.pod_memory)}"
            own.append(f"no node has room for {pod} ({size})")
        elif row.reason != "quota":
            # `must specify limits` for `must specify limits.cpu, limits.memory`
            before, _, keys = str(row.reason).partition("must specify ")
            kinds = dict.fromkeys(key.partition(".")[0] for key in keys.split(", "))
            own.append(f"{pod} {before or 'must specify ' + ' and '.join(kinds)}")
    return found


def _plural(amount: float, noun: str) -> str:
    return f"{int(amount):,} {noun}{'' if amount == 1 else 's'}"


# What a planner decides beside the steps


def _shortages(steps: Sequence[Step], commitments: pd.DataFrame) -> Iterator[Any]:
    """Return where a cluster has less headroom than its raises need; unknown is left out."""
    asked = steps_table(steps)
    asked = asked[(asked["kind"] == RAISE) & asked["resource"].isin(REQUESTS)]
    asked = asked.assign(wanted=asked["to"] - asked["from"])
    by = ["cluster_name", "resource"]
    wanted: Any = asked.groupby(by, sort=False, as_index=False)["wanted"].sum()
    given = commitments[[*by, "headroom"]].astype(dict.fromkeys(by, "str"))
    given = given.assign(resource=given["resource"] + "_request")
    found = wanted.astype(dict.fromkeys(by, "str")).merge(given, on=by)
    return rows_of(found[found["wanted"] > found["headroom"]])


def _excesses(commitments: pd.DataFrame) -> Iterator[Any]:
    is_quota = commitments["verdict"] == "quota overcommit"
    above = commitments["committed"] - float(QUOTA_OVERCOMMIT_RATIO) * commitments["allocatable"]
    amount = commitments["requested"] - commitments["without_largest_node"]
    rows = commitments.assign(amount=amount.mask(is_quota, above))
    return rows_of(rows[is_quota | (rows["verdict"] == "overcommit")])


def _most_headroom(commitments: pd.DataFrame, full: Iterable[str]) -> tuple[str, float] | None:
    free = commitments[(commitments["resource"] == "cpu") & (commitments["headroom"] > 0)]
    free = free[~free["cluster_name"].isin(list(full))]
    most = max(rows_of(free), key=lambda row: row.headroom, default=None)
    return None if most is None else (most.cluster_name, most.headroom)


def _faults(evidence: pd.DataFrame) -> Iterator[Fault]:
    worst = worst_evidence(evidence)
    bad = worst[worst["evidence"].isin(NEEDS_SOMEBODY) & (worst["evidence"] != _NOTHING_TO_MEND)]
    for word, rows in bad.groupby("evidence", sort=False):
        names = rows["cluster_name"] if word == "not read" else rows["namespace_name"]
        yield Fault(str(word), len(rows), tuple(dict.fromkeys(names)))
