"""What to do: what each namespace needs next, and what a planner has to decide.

At most one step a namespace: more quota, smaller requests, or giving back what it never asked for.
Its owner's page and the planner's decisions are made of the same steps, worked out once: who is
told to lower requests is offered no quota. Pure: frames in, values out; a step is a kind, amounts
and a why. The amounts are explained, with examples, in `docs/capacity.md`.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from mnslib.capacity import fit
from mnslib.capacity.advice import FIX, SHRINK
from mnslib.capacity.evidence_words import NEEDS_SOMEBODY, WHOLE
from mnslib.capacity.quota_values import FULL, SPACE, TIGHT, TIGHT_RATIO, names_of
from mnslib.capacity.refusals import EXCEEDED, QUOTA_FIELD_OF, WORKLOAD, smallest_raises, writable
from mnslib.capacity.samples import FLOAT32_NOISE, Flags, highest
from mnslib.capacity.snapshot import CleanSnapshot, Snapshot
from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_FIELDS, QUOTA_KEYS
from mnslib.packaged import packaged
from mnslib.quantities import GIB, MIB, RESOURCE_WORDS, count_text, rounded_text

if TYPE_CHECKING:
    from mnslib.capacity.tables import Tables

    Numbers = pd.Series[float]
    Texts = pd.Series[str]

RAISE, UNBLOCK = "raise", "let pods start"
LOWER, GIVE_BACK = "lower requests", "give back"

REQUESTS = ("cpu_request", "memory_request")
PEAK_SHARE_KEPT = 0.8
"""Share of a lowered quota that its peak may be; our choice, well below what is tight (0.9)."""

STEPS_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["steps"])
REQUEST_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["requests"])

_VALUE = [*SPACE, "resource"]
_TEXTS = dict.fromkeys(_VALUE, "str")
_LEFT = {f"left_{name}": name for name in fit.LIMITED}
_NOTHING_TO_MEND = "gaps"
MOST_CUT = 0.25
"""Share of a quota that is taken back at once. Our choice: what was not foreseen is felt before the
next quarter goes."""

GAPS, PEAK, QUARTER = "gaps", "peak", "quarter"
MADE, OUTDATED = "made", "outdated"
"""Why: samples are missing; a peak was higher; no more at once; Azure holds another value already;
pods were refused before the quota was last changed."""
_SMALLER = {PEAK: "not below a peak", QUARTER: "a quarter at most"}

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
    amounts: tuple[Amount, ...]
    whys: tuple[str, ...]
    stuck: tuple[str, ...]
    is_full: bool
    is_stuck: bool
    refused: int

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What there is to do.

    Attributes:
        steps: of each namespace that needs one, the most urgent first: refused pods, full, tight,
            idle; then the largest.
        table: the same, a row for each amount: `STEPS_COLUMNS`, `from` and `to` in cores or bytes,
            NaN where there is no amount. `request` is `to` as a request file says it; empty where
            such a file cannot change the value: the namespace is not managed by Azure, or another
            quota object than Azure's decides.
        shortages: by cluster and request value `headroom`, and what is `wanted` beyond it: what the
            raises of its namespaces need together.
        excesses: rows of the commitment table to which nothing more should be committed, with the
            `amount` beyond the bound.
        most_headroom: another cluster and its headroom in cores; None where none has any.
        faults: what has to be mended before figures are trusted: a word of evidence, of how many
            namespaces, and where.
        no_history: clusters of which the history was asked for in vain.
        withheld: why something was held back, a word from `GAPS` to `OUTDATED`, to the namespaces
            where.
    """

    steps: tuple[Step, ...]
    table: pd.DataFrame
    shortages: tuple[Any, ...]
    excesses: tuple[Any, ...]
    most_headroom: tuple[str, float] | None
    faults: tuple[tuple[str, int, tuple[str, ...]], ...]
    no_history: tuple[str, ...]
    withheld: Mapping[str, tuple[str, ...]]

    def of(self, kind: str) -> list[Step]:
        """Return the steps of one kind, the most urgent first."""
        return [step for step in self.steps if step.kind == kind]


def decided(tables: Tables) -> Decided:
    """Return what there is to do by the tables of one reading."""
    asking, withheld = _candidates(tables)
    steps, commitments = tuple(_steps(tables, asking)), tables.commitment
    table = _table(steps)
    is_quota = commitments["verdict"] == "quota overcommit"
    above = commitments["committed"] - float(QUOTA_OVERCOMMIT_RATIO) * commitments["allocatable"]
    amount = commitments["requested"] - commitments["without_largest_node"]
    excesses = commitments.assign(amount=amount.mask(is_quota, above))
    excesses = excesses[is_quota | (commitments["verdict"] == "overcommit")]
    free = commitments[(commitments["resource"] == "cpu") & (commitments["headroom"] > 0)]
    free = free[~free["cluster_name"].isin(excesses["cluster_name"])]
    free = free.sort_values("headroom", ascending=False, kind="stable")
    worst = tables.worst_evidence
    bad = worst[worst["evidence"].isin(NEEDS_SOMEBODY) & (worst["evidence"] != _NOTHING_TO_MEND)]
    faults = []
    for word, rows in bad.groupby("evidence", sort=False):
        names = rows["cluster_name" if word == "not read" else "namespace_name"].unique()
        faults.append((str(word), len(rows), tuple(names)))
    return Decided(
        steps=steps,
        table=table,
        shortages=tuple(_shortages(table, commitments)),
        excesses=tuple(rows_of(excesses)),
        most_headroom=next(rows_of(free[["cluster_name", "headroom"]]), None),
        faults=tuple(faults),
        no_history=tuple(sorted(tables.snapshot.no_history)),
        withheld={
            str(why): tuple(rows["namespace_name"].unique())
            for why, rows in withheld.groupby("why", sort=False)
        },
    )


def step_requests(steps: pd.DataFrame, snapshot: Snapshot) -> pd.DataFrame:
    """Return the request file of the steps: a row per namespace, cells only for what changes.

    Args:
        steps: the table of `Decided`.
        snapshot: of the same run; it says where each cluster is.
    """
    said = steps[steps["request"] != ""]
    cells = said.pivot(index=SPACE, columns="resource", values="request")
    cells = cells.reindex(columns=list(QUOTA_FIELDS), fill_value="").fillna("")
    rows = said[SPACE].drop_duplicates().join(cells, on=SPACE).merge(snapshot.namespaces, on=SPACE)
    # names that two clusters share are told apart by their ids
    names = rows["cluster_name"].str.split("/").str[-1]
    return rows.assign(cluster_name=names)[list(REQUEST_COLUMNS)]


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Return the rows of a table, each with its columns as attributes; pandas' own way is slow."""
    row = namedtuple("row", table.columns, rename=True)  # type: ignore[misc]
    return map(row._make, zip(*(table[name].tolist() for name in table), strict=True))


# The step of a namespace


def _candidates(tables: Tables) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the rows that ask for something, by what they ask, and the proposals held back."""
    values, evidence = tables.utilization.astype(_TEXTS), tables.evidence
    exceeded = tables.refusals[tables.refusals["problem"] == EXCEEDED]
    is_old = _is_outdated(exceeded, tables.snapshot, evidence=evidence)
    answers = tables.fit[tables.fit["workload_name"] != ""]
    gaps = answers[(answers["question"] == fit.NEXT_POD) & (answers["verdict"] == fit.NO)]
    lacks = _left(gaps)
    lacks = lacks[lacks["left"] < 0]
    over = tables.layers[tables.layers["region"] == FIX]
    over = over.assign(now=over["requested"], then=math.nan, unused=over["requested_unused"])
    gives = _give_backs(values[values["advice"] == SHRINK], answers)
    raises = _raises(values, lacks, exceeded[~is_old])
    by_kind = {LOWER: over, GIVE_BACK: gives, RAISE: raises}
    proposed = pd.concat([rows.assign(kind=kind) for kind, rows in by_kind.items()])
    judged = _restrained(proposed, tables.clean, evidence=evidence)
    is_held, kind = judged["is_withheld"].astype(bool), judged["kind"]
    found = {"exceeded": exceeded[~is_old], "gaps": gaps, "lacks": lacks}
    for name, own in (("over", LOWER), ("gives", GIVE_BACK), ("raises", RAISE)):
        found[name] = judged[(kind == own) & ~is_held]
    found["made"] = judged[(kind == RAISE) & is_held]
    return found, pd.concat([judged[is_held], exceeded[is_old].assign(why=OUTDATED)])


def _steps(tables: Tables, asking: Mapping[str, pd.DataFrame]) -> Iterator[Step]:
    values = tables.utilization.astype(_TEXTS)  # without a row pandas knows no types
    over, gives, lacks, gaps = (asking[name] for name in ("over", "gives", "lacks", "gaps"))
    exceeded = asking["exceeded"]
    columns = [*SPACE, "kind", *Amount._fields]
    changes = _in_file(pd.concat([asking["raises"], gives]), tables.snapshot)
    every = pd.concat([over.assign(request=""), changes]).reindex(columns=columns)
    amounts = _by_place(every, lambda row: Amount._make(row[3:]), columns[:3])
    known = {LOWER: ["its requests are not used"], GIVE_BACK: ["never asked for"]}
    verdicts = {FULL: ["full"], TIGHT: ["nearly full"]}
    smaller = _by_place(gives[gives["why"] != ""], lambda row: _SMALLER[row.why])
    times = exceeded.drop_duplicates(list(WORKLOAD)).groupby(SPACE)["count"].sum().to_dict()
    most: Any = lacks.groupby(_VALUE, sort=False, as_index=False)["left"].min()
    short = _by_place(most, _short)
    stuck = _by_place(gaps[(gaps["unplaced_pods"] > 0) | (gaps["reason"] != "quota")], _stuck)
    for row in rows_of(_ordered(tables.worst.astype(_TEXTS), values, asking)):
        at, kind = (row.cluster_name, row.namespace_name), row.kind
        whys, refused, never = known.get(kind, []), 0, stuck.get(at, [])
        if kind == RAISE:
            refused = int(times.get(at, 0))
            said = [f"pods were refused {count_text(refused, 'time')}"] if refused else []
            whys = [*said, *verdicts.get(row.verdict, []), *short.get(at, [])]
        if kind == GIVE_BACK:
            whys = [*whys, *dict.fromkeys(smaller.get(at, []))]
        yield Step(
            cluster_name=at[0],
            namespace_name=at[1],
            owner=row.owner,
            kind=kind,
            amounts=tuple(amounts.get((*at, kind), ())),
            whys=(*whys, *never),
            stuck=tuple(never),
            is_full=row.verdict == FULL,
            is_stuck=row.is_stuck,
            refused=refused,
        )


def _table(steps: Iterable[Step]) -> pd.DataFrame:
    rows = [
        [*step.place, step.owner, step.kind, *amount[:4], "; ".join(step.whys)]
        for step in steps
        for amount in step.amounts or (Amount("", math.nan),)
    ]
    return pd.DataFrame(rows, columns=list(STEPS_COLUMNS))


def _ordered(
    worst: pd.DataFrame, values: pd.DataFrame, asking: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Return the rows of `tightest` that need a step with its kind, the most urgent first."""
    places = pd.MultiIndex.from_frame(worst[SPACE])
    is_full, is_tight = (worst["verdict"] == verdict for verdict in (FULL, TIGHT))
    has = {
        name: places.isin(pd.MultiIndex.from_frame(rows[SPACE])) for name, rows in asking.items()
    }

    def sizes(rows: pd.DataFrame, amount: Numbers) -> Any:
        """Return the amounts of either resource in cores, so that they can be compared."""
        size = amount.astype(float).where(_is_cpu(rows["resource"]), amount / fit.BYTES_PER_CORE)
        return size.groupby([rows[name] for name in SPACE])

    over, gives = asking["over"], asking["gives"]
    short = values[values["verdict"].isin([FULL, TIGHT])]
    is_made = has["made"] & ~has["raises"]
    is_short = (is_full | is_tight | has["exceeded"] | has["lacks"]) & ~is_made
    wasted = np.select([is_full, is_tight], [1.5, 2.5], 3.0)
    raised = np.select([has["exceeded"], is_full | has["gaps"]], [0.0, 1.0], 2.0)
    lowered, given = over["requested_unused"], gives["now"] - gives["then"]
    nothing: Any = pd.Series(dtype=float)
    cases: dict[str, tuple[Any, ...]] = {  # of whom, how urgent, and how large
        LOWER: (has["over"] & (worst["advice"] == FIX), wasted, sizes(over, lowered).first()),
        RAISE: (is_short, raised, sizes(short, short["hard"]).first()),
        UNBLOCK: (has["gaps"], 1.0, nothing),
        GIVE_BACK: (has["gives"], 4.0, sizes(gives, given).max()),
    }
    rows = worst.assign(is_stuck=has["gaps"], place=range(len(worst)))
    steps: pd.DataFrame = pd.concat(
        rows.assign(kind=kind, urgency=urgency, size=-size.reindex(places, fill_value=0).array)[own]
        for kind, (own, urgency, size) in cases.items()
    )
    return steps.drop_duplicates("place").sort_values(["urgency", "size", "place"])


def _left(answers: pd.DataFrame) -> pd.DataFrame:
    """Return what is left of each value, a row each in the order of the rows and values."""
    left: Any = answers[list(_LEFT)].rename(columns=_LEFT).astype(float).stack()
    rows = left.rename("left").rename_axis([None, "resource"]).reset_index(1)
    return answers[SPACE].join(rows).astype(_TEXTS)


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


def _give_backs(idle: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Return what request values may be lowered to, by their peak and what fits now and has to."""
    asked = answers["question"].isin([fit.NEXT_POD, fit.ROLLING_UPDATE, fit.AUTOSCALER])
    asked &= answers["verdict"] == fit.YES
    left = _left(answers[asked].groupby(SPACE)[list(_LEFT)].min().reset_index())
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
    """Return amounts in the order of the values, each as a request file says it where one can."""
    spaces = snapshot.namespaces
    spaces = spaces[spaces["is_managed"].astype(bool) & (spaces["subscription_id"] != "")]
    asked = set(names_of(spaces)) & set(names_of(changes))
    own = {
        (cluster, quota.namespace_name, name): float(quota.hard[key])
        for cluster, quotas in snapshot.quotas.items()
        for quota in quotas
        if quota.name == MANAGED_QUOTA_NAME and (cluster, quota.namespace_name) in asked
        for name, key in QUOTA_KEYS.items()
        if key in quota.hard
    }
    texts = [
        writable(QUOTA_KEYS[name], Decimal(str(then)))[1] if own.get((*at, name)) == now else ""
        for *at, name, now, then in rows_of(changes[[*_VALUE, "now", "then"]])
    ]
    order = changes["resource"].map({name: at for at, name in enumerate(QUOTA_FIELDS)})
    return changes.assign(request=texts, order=order).sort_values("order", kind="stable")


def _by_place(
    rows: pd.DataFrame, make: Callable[[Any], Any], by: Sequence[str] = SPACE
) -> dict[tuple[str, ...], list[Any]]:
    """Return by namespace, or by more, what is made of its rows."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for place, row in zip(names_of(rows, *by), rows_of(rows), strict=True):
        found.setdefault(place, []).append(make(row))
    return found


# What of it is held back or made smaller, and why
#
# A quota that is cut too far stops pods weeks later, when nobody looks at this report. So nothing
# is cut over gaps, below a peak of the lookback, or by more than a quarter at once, and nothing is
# proposed again that was done.


def _restrained(
    proposals: pd.DataFrame, clean: CleanSnapshot, *, evidence: pd.DataFrame
) -> pd.DataFrame:
    """Return proposals as they may be made.

    Args:
        proposals: a row for each value: `cluster_name`, `namespace_name`, `resource`, `now` and
            `then` (NaN where requests shall fall, but not to what); what is no raise is a cut.

    Returns:
        The same rows with `then`, `why` (a word of above, empty where they are as proposed) and
        `is_withheld`.
    """
    rows = _with_part(proposals.reset_index(drop=True))
    now, then = (rows[name].to_numpy(dtype=np.float64) for name in ("now", "then"))
    is_cut, is_quota = ~(then > now), ~np.isnan(then)
    torn = _with_part(evidence[~evidence["evidence"].isin(WHOLE)])
    torn = torn[~torn["resource"].astype(str).str.endswith("limit")]
    is_torn = is_cut & _among(rows, "part", names_of(torn, *SPACE, "part"))
    granted = ((*place, name) for place, quota in clean.granted.items() for name in quota)
    is_made = _among(rows, "resource", granted)
    known = rows.reindex(columns=["peak_used", "used"]).to_numpy(dtype=np.float64)
    peak = np.fmax.reduce(known, axis=1)
    spaces = pd.MultiIndex.from_frame(clean.namespaces[SPACE])
    places = spaces.get_indexer(pd.MultiIndex.from_frame(rows[SPACE]))
    for part, kind in product(("cpu", "memory"), ("usage", "used", "requested")):
        is_own = is_cut & (is_quota | (kind == "usage")) & (rows["part"] == part).to_numpy()
        is_own &= places >= 0
        most = highest(clean.samples(kind, part)[:, places[is_own]]).astype(np.float64)
        peak[is_own] = np.fmax(peak[is_own], most * (1 - FLOAT32_NOISE))
    quarter = now * (1 - MOST_CUT)
    least = _rounded_up(pd.Series(np.fmax(peak, quarter)), rows["resource"]).to_numpy()
    is_less = is_cut & (then < least)
    then = np.where(is_less, least, then)
    is_used = is_cut & ~is_quota & (peak >= now * (1 - FLOAT32_NOISE))
    is_peak = is_used | (is_less & (peak > quarter))
    why = np.select([is_made, is_torn, is_peak, is_less], [MADE, GAPS, PEAK, QUARTER], "")
    is_withheld = is_made | is_torn | is_used | (is_cut & (then >= now))
    return rows.assign(then=then, why=why, is_withheld=is_withheld)


def _with_part(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the `part` that their `resource` is about, `cpu` or `memory`."""
    return rows.assign(part=rows["resource"].astype(str).str.replace("_.*", "", regex=True))


def _among(rows: pd.DataFrame, name: str, values: Iterable[tuple[str, ...]]) -> Flags:
    """Return of which rows the place and one more column are among the values."""
    wanted = set(values)
    return np.array([one in wanted for one in names_of(rows, *SPACE, name)], dtype=np.bool_)


def _is_outdated(
    refusals: pd.DataFrame, snapshot: Snapshot, *, evidence: pd.DataFrame
) -> pd.Series[bool]:
    """Return of rows on exceeded quotas whether the quota was changed after the refusal.

    It was where `refusals_table` says no raise, since the message names another limit than there is
    now, or where the last change that the history saw ended in a step after it.
    """
    changed = evidence.loc[evidence["changed_utc"].notna(), [*SPACE, "resource", "changed_utc"]]
    fields = refusals[[*SPACE, "last_utc"]].assign(resource=refusals["key"].map(QUOTA_FIELD_OF))
    keys = [*SPACE, "resource"]
    texts = dict.fromkeys(keys, object)
    both = fields.astype(texts).merge(changed.astype(texts), on=keys, how="left")
    ended = pd.to_datetime(both["changed_utc"], utc=True) - snapshot.step
    is_before = (pd.to_datetime(both["last_utc"], utc=True) <= ended).to_numpy()
    return (smallest_raises(refusals) == 0) | is_before


# Amounts that can be written as they are read


def needed_for(used: Numbers, resource: Texts, *, share: float = float(TIGHT_RATIO)) -> Numbers:
    """Return the quotas of which what is asked for is at most a share, in cores or bytes.

    Rounded up to 0.1 cores (under 1 core 0.01) or 0.25 GiB (under 1 GiB 1 MiB), so that they can be
    written as they are read.
    """
    return _rounded_up(used / share, resource)


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


def _short(row: Any) -> str:
    """Return of what a namespace is short for its next pods."""
    words = count_text(-row.left, "pod")
    if row.resource != "pods":
        words = f"{rounded_text(row.resource, -row.left)} of {RESOURCE_WORDS[row.resource]}"
    return f"short of {words} for the next pod"


def _stuck(row: Any) -> str:
    """Return why a next pod does not start whatever the quota: no node, or what is not set."""
    pod = f"the next pod of {row.workload_name}"
    if row.unplaced_pods > 0:
        size = f"{rounded_text('cpu', row.pod_cpu)}, {rounded_text('memory', row.pod_memory)}"
        return f"no node has room for {pod} ({size})"
    kinds = fit.unset(row.reason)
    return f"{pod} {'must specify ' + ' and '.join(kinds) if kinds else row.reason}"


def _shortages(steps: pd.DataFrame, commitments: pd.DataFrame) -> Iterator[Any]:
    """Return where a cluster has less headroom than its raises need; unknown is left out."""
    asked = steps[(steps["kind"] == RAISE) & steps["resource"].isin(REQUESTS)]
    asked = asked.assign(wanted=asked["to"] - asked["from"])
    by = ["cluster_name", "resource"]
    wanted: Any = asked.groupby(by, sort=False, as_index=False)["wanted"].sum()
    given = commitments[[*by, "headroom"]].astype(dict.fromkeys(by, "str"))
    given = given.assign(resource=given["resource"] + "_request")
    found = wanted.astype(dict.fromkeys(by, "str")).merge(given, on=by)
    return rows_of(found[found["wanted"] > found["headroom"]])
