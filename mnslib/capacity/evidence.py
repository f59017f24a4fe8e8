"""How far each figure can be trusted, and the snapshot without the samples that cannot be true.

The one place that decides whether a figure may be shown at all: every other table takes its
`unknown: <reason>` from here, reads a `CleanSnapshot`, and does not know how samples became NaN.
A sensor that dies leaves zeros behind: a counter at 0 while pods ask for more, memory at 0 while
they run. Such a step is no sample. Pure: a snapshot in, frames out. The rules, with unit and worked
example, are in `docs/capacity.md`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.evidence_words import (
    EVIDENCE,
    GOOD_COVERAGE,
    LATE,
    LATE_STEPS,
    LEAST_HISTORY,
    LONG_GAP,
    NEW_FOR,
    USAGE_FIELDS,
    texts,
)
from mnslib.capacity.quota_values import SPACE, names_of
from mnslib.capacity.samples import (
    Flags,
    chunks,
    highest,
    last_known,
    lowest,
    samples_of,
    series_of,
    taken,
)
from mnslib.capacity.snapshot import CleanSnapshot, Snapshot, Values
from mnslib.models import QUOTA_FIELDS, QUOTA_KEYS
from mnslib.pods import COMPUTE_KEYS
from mnslib.quantities import ZERO

COUNTER_TOLERANCE = Decimal("0.25")
"""Share of the larger figure by which counter and pods may differ. Quotas and pods are read one
after the other, and meanwhile a rolling update starts and ends so many pods at most. Source:
Kubernetes, Deployment, `maxSurge` and `maxUnavailable`, whose default is 25 %."""

EVIDENCE_COLUMNS = (
    "cluster_name",
    "namespace_name",
    "resource",
    "evidence",
    "reason",
    "unknown_now",
    "unknown_history",
    "coverage",
    "first_sample_utc",
    "last_sample_utc",
    "longest_gap_hours",
    "gap_from_utc",
    "gap_until_utc",
    "is_all_zero",
    "untrue_zeros",
    "quota_changes",
    "changed_utc",
    "changed_from",
    "changed_to",
    "counted",
    "asked",
)
_LIMITS = [name for name in QUOTA_FIELDS if name.endswith("limit")]

Untrue = tuple[NDArray[np.int64], Flags]
"""The few columns that may have untrue zeros, and their steps x these columns."""


class Span(NamedTuple):
    """The ends of the first and of the last step of a run of untrue zeros."""

    first: pd.Timestamp
    last: pd.Timestamp

    def __str__(self) -> str:
        """Return an ISO 8601 interval."""
        return f"{self.first:%Y-%m-%dT%H:%M:%SZ}/{self.last:%Y-%m-%dT%H:%M:%SZ}"


def evidence_table(snapshot: Snapshot) -> pd.DataFrame:
    """Return how far the figures of each namespace and value can be trusted.

    Returns:
        `EVIDENCE_COLUMNS`, one row per cluster, namespace and quota field, and where usage was
        measured, one per `USAGE_FIELDS`. `evidence` is a word of `EVIDENCE` (the first that
        holds), `reason` says it with figures; `unknown_now` and `unknown_history` are empty where
        the figures of now and those of the lookback hold, else `unknown: <reason>`; `coverage` is
        the share of the steps since the first sample that have one; times are the ends of steps,
        a gap lasts from the last sample before it until the first one after it (NaT: it lasts);
        `untrue_zeros` are the `Span`s in which the samples are zero and something else says that
        they cannot be: they count as no samples, unless all are zero (`is_all_zero`);
        `quota_changes` counts those of the lookback, the `changed_...` tell of the last;
        `counted` is the quota counter, `asked` what the pods there ask for, in cores or bytes.
    """
    return with_evidence(snapshot)[0]


def with_evidence(snapshot: Snapshot) -> tuple[pd.DataFrame, CleanSnapshot]:
    """Return what `evidence_table` does, and the snapshot without the samples that it doubts.

    They are NaN there. Where a counter is untrue, a hard quota of 0 beside it is so as well.
    """
    spaces = _spaces(snapshot)
    counted = _quota_rows(snapshot, spaces)
    series = series_of(counted)
    untrue = counted["untrue_zeros"]
    frames = {name: _without(getattr(snapshot, name), series, untrue) for name in ("used", "hard")}
    clean = CleanSnapshot.of(snapshot, **frames)
    parts = [counted.join(_changes(clean.hard, series))]
    if len(snapshot.usage_cpu.columns) or len(snapshot.usage_memory.columns):
        for name, field in zip(("usage_cpu", "usage_memory"), USAGE_FIELDS, strict=True):
            rows = _usage_rows(clean, field, getattr(snapshot, name), spaces)
            own = pd.MultiIndex.from_frame(rows[SPACE])
            frames[name] = _without(getattr(snapshot, name), own, rows["untrue_zeros"])
            parts.append(rows)
    table = pd.concat([_judged(part, snapshot) for part in parts], ignore_index=True)
    order = np.concatenate([part["place"] for part in parts])  # of a namespace the fields in order
    table = table.iloc[order.argsort(kind="stable")].reset_index(drop=True)
    return table, CleanSnapshot.of(snapshot, **frames)


def worst_evidence(table: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each namespace that outdoes its others, those that need somebody first."""
    codes, words = pd.factorize(table["evidence"])
    rank = np.array([list(EVIDENCE).index(word) for word in words], dtype=np.int64)[codes]
    keys = table[SPACE].assign(rank=rank).sort_values(["rank", *SPACE], kind="stable")
    return table.loc[keys.drop_duplicates(SPACE).index].reset_index(drop=True)


def evidence_counts(table: pd.DataFrame) -> dict[str, int]:
    """Return how many namespaces stand under each word of `EVIDENCE` that occurs, in its order."""
    found = worst_evidence(table)["evidence"].value_counts()
    return {word: int(found[word]) for word in EVIDENCE if word in found}


def _without(frame: pd.DataFrame, series: pd.MultiIndex, untrue: pd.Series[Any]) -> pd.DataFrame:
    """Return a wide frame without the untrue zeros (`Span`s) of some series."""
    some = np.flatnonzero(untrue.map(bool))
    if not len(some):
        return frame
    values, times = frame.to_numpy(dtype=np.float32, copy=True), frame.index
    places = frame.columns.get_indexer(series[some])
    for place, spans in zip(places, untrue.iloc[some], strict=True):
        for span in spans if place >= 0 else ():
            end = times.searchsorted(span.last, side="right")
            part = values[times.searchsorted(span.first) : end, place]
            part[part == 0] = np.nan
    return pd.DataFrame(values, index=times, columns=frame.columns, copy=False)


# What each row is judged by


def _spaces(snapshot: Snapshot) -> pd.DataFrame:
    """Return one row per namespace, with its place and what all of its values are judged by."""
    spaces = snapshot.namespaces[SPACE].reset_index(drop=True)
    clusters, names = spaces["cluster_name"], list(names_of(spaces))
    signs = _signs_of_pods(snapshot)
    running = {
        (cluster, pod.namespace_name)
        for cluster, pods in snapshot.pods.items()
        for pod in pods
        if not pod.is_finished
    }
    made: list[tuple[tuple[str, ...], datetime | None]] = [*snapshot.created.items()]
    made += [
        ((cluster, quota.namespace_name), quota.created_utc)
        for cluster, quotas in snapshot.quotas.items()
        for quota in quotas
    ]
    fresh = {place for place, moment in made if moment and snapshot.read_utc - moment < NEW_FOR}
    flags = {
        name: np.fromiter((place in places for place in names), dtype=bool)
        for name, places in (("has_pods", signs), ("is_running", running), ("is_fresh", fresh))
    }
    return spaces.assign(
        place=np.arange(len(spaces)),
        cut_off=[snapshot.unreachable.get(cluster, "") for cluster in clusters],
        is_watched=clusters.isin({cluster for cluster, _ in signs}),
        is_asked=clusters.isin(snapshot.requested.columns.unique(level=0)),
        is_read=clusters.isin(list(snapshot.pods)),
        **flags,
    )


def _signs_of_pods(snapshot: Snapshot) -> set[tuple[str, ...]]:
    """Return the namespaces in which a history of pods says that there were any."""
    found: set[tuple[str, ...]] = set()
    for frame in (snapshot.requested, snapshot.usage_cpu, snapshot.usage_memory):
        most = highest(frame.to_numpy(dtype=np.float32, copy=False))
        is_sign = ~np.isnan(most) if frame is snapshot.requested else most > 0
        index = frame.columns[is_sign]
        found.update(zip(*(index.get_level_values(level) for level in (0, 1)), strict=True))
    return found


def _quota_rows(snapshot: Snapshot, spaces: pd.DataFrame) -> pd.DataFrame:
    """Return one row per namespace and quota field: its counter, facts of its samples, flags.

    The flags, in the order in which they rest on one another: `is_wrong`, the counter is far from
    its pods; `is_dead`, all is zero and something says that it cannot be; `is_empty`, all is zero
    and that is true; `is_doubted`, all is zero and nothing says which.
    """
    rows = spaces.loc[spaces.index.repeat(len(QUOTA_FIELDS))].reset_index(drop=True)
    rows["resource"] = list(QUOTA_FIELDS) * len(spaces)
    rows = rows.join(_counters(snapshot, rows))
    rows = rows.join(_counter_facts(snapshot, rows))
    is_known, asks = rows["asked"].notna(), rows["asked"] > 0
    counts = rows["is_live"] & (rows["counted"] > 0)
    had_pods = rows["has_pods"].mask(rows["is_asked"], rows["untrue_zeros"].map(bool))
    says_none = is_known | (rows["is_watched"] & ~had_pods)
    is_stuck = (rows["late_untrue"] > 0) & _is_old(rows, snapshot) & (rows["counted"] == 0)
    zero, is_whole = rows["is_zero"], ~rows["is_scoped"]
    rows["has_counter"] = True
    rows["has_quota"] |= rows["cut_off"] != ""
    rows["is_wrong"] |= is_stuck & asks
    rows["is_dead"] = zero & (is_whole & (asks | had_pods) | counts)
    rows["is_empty"] = zero & ~rows["is_dead"] & is_whole & says_none
    agrees = rows["is_live"] & (is_known & ~rows["is_wrong"] | counts)
    rows["is_doubted"] = zero & ~rows["is_empty"] & ~agrees
    return rows


def _counters(snapshot: Snapshot, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the tightest quota has counted, and what pods ask for, beside each of `rows`.

    Kubernetes' `status.used`, done again: the counter is known to be wrong in the field
    (kubernetes/kubernetes#71450, #98071), and a quota refuses pods by it all the same.

    Returns:
        `counted` and `asked` in cores or bytes, NaN where there is none or it was not read;
        `is_live`: the quota was read from the cluster; `is_scoped`: it counts only some of the
        pods, which cannot be done again here; `is_wrong`: counter and pods are further apart than
        what comes and goes explains: by more than `COUNTER_TOLERANCE` of the larger figure, and by
        more than the largest pod, finished ones too.
    """
    needs: dict[tuple[str, str], list[Mapping[str, Decimal]]] = defaultdict(list)
    totals: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(
        lambda: dict.fromkeys(COMPUTE_KEYS, ZERO)
    )
    for cluster, pods in snapshot.pods.items():
        for pod, need in zip(pods, snapshot.pod_needs[cluster], strict=True):
            place = cluster, pod.namespace_name
            needs[place].append(need)
            if not pod.is_finished:
                total = totals[place]
                for key, amount in need.items():
                    total[key] += amount
    live = snapshot.quotas.keys() - set(snapshot.remembered)
    nothing = dict.fromkeys(COMPUTE_KEYS, ZERO)
    found = []
    for cluster, name, field in names_of(rows, *SPACE, "resource"):
        key, is_live, is_wrong = QUOTA_KEYS[field], cluster in live, False
        quota = snapshot.tightest_quotas.get(cluster, {}).get((name, key))
        counted = None if quota is None else quota.used
        is_scoped = quota is not None and quota.is_scoped
        asked = totals.get((cluster, name), nothing)[key] if cluster in snapshot.pods else None
        if counted is not None and asked is not None and is_live and not is_scoped:
            apart = abs(counted - asked)
            is_wrong = apart > COUNTER_TOLERANCE * max(counted, asked) and apart > max(
                (need[key] for need in needs.get((cluster, name), ())), default=ZERO
            )
        flags = quota is not None, counted is not None, is_live, is_scoped, is_wrong
        found.append((counted, asked, *flags))
    kinds = {"counted": float, "asked": float}
    kinds |= dict.fromkeys(("has_quota", "is_counted", "is_live", "is_scoped", "is_wrong"), bool)
    return pd.DataFrame(found, columns=list(kinds), index=rows.index).astype(kinds)


def _counter_facts(snapshot: Snapshot, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the facts of the samples of counters, of which some zeros cannot be true.

    A limit's zeros are true where pods have no limits, and those up to now where none asks.
    """
    series = series_of(rows)
    asks_nothing = (rows["asked"] == 0).to_numpy(dtype=bool)
    is_limit = rows["resource"].isin(_LIMITS).to_numpy(dtype=bool)
    is_true = rows["is_scoped"].to_numpy(dtype=bool) | asks_nothing & is_limit

    def untrue(part: slice, values: Values) -> Untrue:
        some, steps = _untrue_counters(snapshot, series[part], values)
        places = some + part.start
        steps[:, is_true[places]] = False
        up_to_now = np.logical_and.accumulate(steps[::-1])[::-1]
        return some, steps & ~(up_to_now & asks_nothing[places])

    return _facts(snapshot.used, series, untrue=untrue)


def _usage_rows(
    snapshot: CleanSnapshot, field: str, frame: pd.DataFrame, namespaces: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per namespace on what was measured; nodes never idle at zero.

    Where pods run by night only, nothing is used by day: a sample that is missing while the
    counter is at 0 is no gap, unless the counter is always at 0.
    """
    rows = namespaces.assign(resource=field)
    spaces = pd.MultiIndex.from_frame(rows[SPACE])
    series = series_of(rows.assign(resource="cpu_request"))
    least = LONG_GAP // snapshot.step if field == "cpu_usage" else 1  # a pod may sleep for hours

    def untrue(part: slice, values: Values) -> Untrue:
        found = _untrue_usage(snapshot, spaces[part], values, least=least)
        some = _with_gaps(values)
        counted, missing = samples_of(snapshot.used, series[part][some]), np.isnan(values[:, some])
        works = (np.fmax.reduce(counted, axis=0, initial=0) > 0) & ~missing.all(axis=0)
        values[:, some] = np.where(missing & (counted == 0) & works, 0, values[:, some])
        return found

    rows = rows.join(_facts(frame, spaces, untrue=untrue))
    is_idle = np.where(rows["is_read"], ~rows["is_running"], rows["is_watched"] & ~rows["has_pods"])
    return rows.assign(
        cut_off="", has_quota=True, is_counted=True, is_live=False, is_wrong=False,
        has_counter=False, counted=np.nan, asked=np.nan,
        changes=0, row=-1, before=np.nan, after=np.nan,
        is_dead=rows["is_zero"], is_doubted=rows["is_zero"],
        is_empty=(rows["seen"] == 0) & is_idle,
    )  # fmt: skip


# Facts of samples


def _facts(
    frame: pd.DataFrame, series: pd.MultiIndex, *, untrue: Callable[[slice, Values], Untrue]
) -> pd.DataFrame:
    """Return what the samples of each series say once their untrue zeros are forgotten.

    Args:
        frame: time x series.
        series: the columns that are looked at.
        untrue: says of a part of them at which steps their zeros cannot be true; it may put zeros
            in their samples where one is missing for a good reason.

    Returns:
        `seen`: samples; `first`, `last`: row of the first and last, -1 without any; `gap_steps`:
        rows of the longest gap after the first sample, `gap_start` its first row (of equal ones
        the earliest; it may reach the end); `is_zero`: all are; `untrue_zeros`; `late_untrue`,
        `gap_untrue`: the share of these in what follows the last sample and in the longest gap.
        Where all is zero, none is forgotten.
    """
    nothing = np.empty((len(frame), 0), dtype=np.float32)
    parts = [_facts_of(nothing, (_with_gaps(nothing), nothing.astype(bool)), frame.index)]
    for part, values in chunks(frame, series):
        parts.append(_facts_of(values, untrue(part, values), frame.index))
    return pd.concat(parts, ignore_index=True).astype({"is_zero": bool})


def _facts_of(values: Values, untrue: Untrue, times: pd.Index) -> pd.DataFrame:
    total, count = values.shape
    is_zero = (highest(values) == 0) & (lowest(values) == 0)
    spans = np.empty(count, dtype=object)
    spans.fill(())
    torn, begun = {}, []
    for place, steps in zip(untrue[0], untrue[1].T, strict=True):
        spans[place] = tuple(Span(times[first], times[end - 1]) for first, end in _runs(steps))
        if spans[place] and not is_zero[place]:
            torn[place] = steps
            first = (~np.isnan(values[:, place])).argmax()
            values[steps, place] = np.nan
            if steps[first]:
                values[first, place] = 0  # stands for the sample that a gap comes after
                begun.append(place)
    facts = {
        "seen": np.full(count, total), "first": np.full(count, 0 if total else -1),
        "last": np.full(count, total - 1), "gap_steps": np.zeros(count, dtype=np.int64),
        "gap_start": np.zeros(count, dtype=np.int64),
    }  # fmt: skip
    some = _with_gaps(values)
    if len(some):
        known = ~np.isnan(values[:, some])
        seen = known.sum(axis=0)
        facts["seen"][some] = seen
        facts["first"][some] = np.where(seen, known.argmax(axis=0), -1)
        facts["last"][some] = np.where(seen, total - 1 - known[::-1].argmax(axis=0), -1)
        torn_later = np.flatnonzero((seen > 0) & (seen < total - facts["first"][some]))
        found = _longest_gaps(known[:, torn_later])
        facts["gap_steps"][some[torn_later]], facts["gap_start"][some[torn_later]] = found
    facts["seen"][begun] -= 1
    late, gap = np.zeros(count), np.zeros(count)
    for place, steps in torn.items():
        start, length = facts["gap_start"][place], facts["gap_steps"][place]
        late[place] = _share(steps[facts["last"][place] + 1 :])
        gap[place] = _share(steps[start : start + length])
    more = {"is_zero": is_zero, "untrue_zeros": spans, "late_untrue": late, "gap_untrue": gap}
    return pd.DataFrame(facts | more)


def _share(flags: Flags) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _with_gaps(values: Values) -> NDArray[np.int64]:
    """Return which columns miss a sample: what has all is most, and quickly done."""
    return np.flatnonzero(np.isnan(np.add.reduce(values, axis=0)))  # a sum with NaN is NaN


def _longest_gaps(known: Flags) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return length and first row of the longest gap behind a sample, of columns that have one."""
    before = last_known(known)
    # the end ends a gap as well
    ends = np.vstack([known[1:], np.ones((1, known.shape[1]), dtype=bool)])
    rows = np.arange(len(known), dtype=np.int32)[:, None]
    length = np.where(ends & (before >= 0), rows - before, 0)
    at = length.argmax(axis=0)
    steps = np.take_along_axis(length, at[None, :], axis=0)[0].astype(np.int64)
    return steps, at.astype(np.int64) + 1 - steps


def _changes(hard: pd.DataFrame, series: pd.MultiIndex) -> pd.DataFrame:
    """Return how often each hard quota changes its value, gaps left out, and the last change.

    Returns:
        `changes`; `row` of the last change, -1 without one; `before` and `after`, NaN without one.
    """
    values = hard.to_numpy(dtype=np.float32, copy=False)
    places = hard.columns.get_indexer(series)
    is_moved = np.append(highest(values) > lowest(values), False)  # the last: what is not there
    some = np.flatnonzero(is_moved[places])
    facts = pd.DataFrame(
        {"changes": 0, "row": -1, "before": np.nan, "after": np.nan}, index=range(len(series))
    )
    if len(some):  # few change at all
        filled = pd.DataFrame(taken(values, places[some])).ffill().to_numpy()
        changed = (filled[1:] != filled[:-1]) & ~np.isnan(filled[:-1])
        last, at = len(values) - 1 - changed[::-1].argmax(axis=0), np.arange(len(some))
        facts.loc[some, "changes"], facts.loc[some, "row"] = changed.sum(axis=0), last
        facts.loc[some, "before"] = filled[last - 1, at].astype(np.float64)
        facts.loc[some, "after"] = filled[last, at].astype(np.float64)
    return facts


# Which zeros cannot be true


def _untrue_counters(snapshot: Snapshot, series: pd.MultiIndex, used: Values) -> Untrue:
    """Return at which steps a quota counter is 0 while pods ask for more of the same resource.

    What has ended is still asked for as long as it is listed, but counts in no quota. So a zero is
    true where containers of the cluster are seen in a step, and none of this namespace.

    Args:
        snapshot: what was read.
        series: columns of `snapshot.used`.
        used: their samples, times x series.
    """
    some = np.flatnonzero((lowest(used) == 0) & (snapshot.requested.shape[1] > 0))
    if not len(some):
        return some, np.empty((len(used), 0), dtype=bool)
    clusters, names, keys = (series[some].get_level_values(level) for level in range(3))
    keys = keys.str.replace("limits.", "requests.", regex=False)
    asked = samples_of(snapshot.requested, pd.MultiIndex.from_arrays([clusters, names, keys]))
    found = (used[:, some] == 0) & (asked > 0)
    doubted = np.flatnonzero(found.any(axis=0))
    some, found = some[doubted], found[:, doubted]
    if len(some):
        spaces = pd.MultiIndex.from_arrays([clusters[doubted], names[doubted]])
        found &= ~_at_rest(snapshot, spaces)
    return some, found


def _untrue_usage(
    snapshot: Snapshot, spaces: pd.MultiIndex, usage: Values, *, least: int
) -> Untrue:
    """Return at which steps nothing is used while pods ask for something or a quota counts them.

    Args:
        snapshot: what was read.
        spaces: columns of `snapshot.usage_cpu` or `usage_memory`.
        usage: their samples, times x namespaces.
        least: steps that zeros have to last.
    """
    some = np.flatnonzero(lowest(usage) == 0)
    places = [spaces[some].get_level_values(level) for level in (0, 1)]
    runs = np.zeros((len(usage), len(some)), dtype=bool)
    for key in ("requests.cpu", "requests.memory") if len(some) else ():
        series = pd.MultiIndex.from_arrays([*places, [key] * len(some)])
        for frame in (snapshot.requested, snapshot.used):
            runs |= samples_of(frame, series) > 0
    found = (usage[:, some] == 0) & runs
    for steps in found.T:
        for first, end in _runs(steps):
            steps[first:end] = end - first >= least
    return some, found


def _at_rest(snapshot: Snapshot, spaces: pd.MultiIndex) -> Flags:
    """Return at which steps no container of a namespace is seen, while others of its cluster are.

    A cluster whose use is not measured says nothing.
    """
    frames = [one for one in (snapshot.usage_cpu, snapshot.usage_memory) if one.shape[1]]
    is_quiet = np.ones((len(snapshot.used), len(spaces)), dtype=bool)
    for frame in frames:
        is_quiet &= np.isnan(samples_of(frame, spaces))
    clusters = spaces.get_level_values(0)
    for cluster in clusters.unique():
        is_seen = np.zeros(len(snapshot.used), dtype=bool)
        for frame in frames:
            of_it = np.flatnonzero(frame.columns.get_level_values(0) == cluster)
            is_seen |= ~np.isnan(frame.to_numpy(copy=False)[:, of_it]).all(axis=1)
        is_quiet[np.ix_(~is_seen, clusters == cluster)] = False
    return is_quiet


def _runs(steps: Flags) -> Iterator[tuple[int, int]]:
    """Yield of each run of true steps its first, and the one behind it."""
    edges = np.diff(steps.astype(np.int8), prepend=0, append=0)
    yield from zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)


# The verdict


def _judged(rows: pd.DataFrame, snapshot: Snapshot) -> pd.DataFrame:
    """Return `EVIDENCE_COLUMNS` of rows whose facts and flags are known."""
    step, count = snapshot.step, len(snapshot.used)
    is_seen, has_gap = rows["seen"] > 0, rows["gap_steps"] > 0
    gap_end = rows["gap_start"] + rows["gap_steps"]
    stamps = pd.Series(snapshot.used.index, dtype="datetime64[ns, UTC]")
    for name, places in (
        ("first_sample_utc", rows["first"]),
        ("last_sample_utc", rows["last"]),
        ("gap_from_utc", (rows["gap_start"] - 1).where(has_gap, -1)),
        ("gap_until_utc", gap_end.where(has_gap, -1)),
        ("changed_utc", rows["row"]),
    ):
        rows[name] = stamps.reindex(places).array  # NaT for what is no row
    hours = rows["gap_steps"] * (step / timedelta(hours=1))
    rows = rows.assign(
        coverage=rows["seen"] / (count - rows["first"].where(is_seen)),
        longest_gap_hours=hours.where(is_seen),
        lookback=count * step,
        seen_for=rows["seen"] * step,
        gap_for=rows["gap_steps"] * step,
        is_old=_is_old(rows, snapshot),
    )
    rows["word"] = _words(rows, snapshot)
    names = ["reason", "unknown_now", "unknown_history"]
    rows[names] = ""
    told = rows[(rows["word"] != "sound") | (count == 0)]  # of what is sound nothing is to be said
    found = [texts(row) for row in told.to_dict("records")]
    rows.loc[told.index, names] = pd.DataFrame(found, index=told.index, columns=names)
    named = {
        "evidence": rows["word"], "is_all_zero": rows["is_zero"], "quota_changes": rows["changes"],
        "changed_from": rows["before"], "changed_to": rows["after"],
    }  # fmt: skip
    return rows.assign(**named)[list(EVIDENCE_COLUMNS)]


def _words(rows: pd.DataFrame, snapshot: Snapshot) -> NDArray[Any]:
    """Return the first word of `EVIDENCE` that holds for each row."""
    count = len(snapshot.used)
    is_seen, quota = rows["seen"] > 0, rows["has_quota"]
    is_short = rows["seen_for"] < LEAST_HISTORY
    is_begun = is_seen & (rows["first"] > 0)
    is_begun &= (count - rows["first"]) * snapshot.step < LEAST_HISTORY
    is_lying = (rows["late_untrue"] > 0) & rows["has_counter"] & ~rows["is_live"]
    is_torn = (rows["coverage"] < GOOD_COVERAGE) | (rows["gap_for"] >= LONG_GAP)
    holds = {
        "wrong counter": rows["is_wrong"] & ~rows["is_zero"],
        "dead sensor": rows["is_dead"],
        "all zero": rows["is_zero"] & ~rows["is_empty"],
        "not read": rows["cut_off"] != "",
        "not counted": ~rows["is_counted"],
        "stale": is_seen & (rows["is_old"] | is_lying),
        "no history": ~is_seen & ~rows["is_empty"] & ~rows["is_fresh"] & (count > 0),
        "new": is_short & (is_begun | rows["is_fresh"]),
        "gaps": is_seen & is_torn,
        "too short": is_seen & is_short & ~rows["is_empty"],
        "quota changed": rows["changes"] > 0,
        "no pods": rows["is_empty"],
        "sound": pd.Series(data=True, index=rows.index),
    }
    flags = [(found & quota).to_numpy(dtype=bool) for found in holds.values()]
    return np.select(flags, list(holds), default="no quota")


def _is_old(rows: pd.DataFrame, snapshot: Snapshot) -> pd.Series[bool]:
    """Return whether too many steps are missing behind the last sample; true without any."""
    late = max(LATE_STEPS, -(-LATE // snapshot.step))
    return len(snapshot.used) - 1 - rows["last"] >= late
