"""How far each figure can be trusted: coverage, gaps, dead sensors, changes, wrong counters.

The one place that decides whether a figure may be shown at all; every other table takes its
`unknown: <reason>` from here. Pure: a snapshot in, a frame out. The rules, with unit and worked
example, are in `docs/capacity.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.counters import counters
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
from mnslib.capacity.quota_values import names_of, series_of, times_of
from mnslib.capacity.samples import change_facts, chunks, highest, is_all_zero, sample_facts
from mnslib.capacity.snapshot import Snapshot, Values
from mnslib.capacity.zeros import (
    Flags,
    Found,
    counters_untrue,
    forget,
    spans,
    untrue_counters,
    usage_untrue,
)
from mnslib.models import QUOTA_FIELDS

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
_SPACE = ["cluster_name", "namespace_name"]

Places = Collection[tuple[str, ...]]


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
    signs = _signs_of_pods(snapshot)
    counted = _quota_rows(snapshot, signs)
    parts = [counted]
    if len(snapshot.usage_cpu.columns) or len(snapshot.usage_memory.columns):
        parts += [
            _usage_rows(snapshot, field, frame, signs, counted=counted)
            for field, frame in zip(
                USAGE_FIELDS, (snapshot.usage_cpu, snapshot.usage_memory), strict=True
            )
        ]
    fields = {name: place for place, name in enumerate((*QUOTA_FIELDS, *USAGE_FIELDS))}
    table = pd.concat([_judged(part, snapshot) for part in parts], ignore_index=True)
    order = table[_SPACE].assign(field=table["resource"].map(fields))
    return table.loc[order.sort_values([*_SPACE, "field"]).index].reset_index(drop=True)


def worst_evidence(table: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each namespace that outdoes its others, those that need somebody first."""
    rank = table["evidence"].map({word: place for place, word in enumerate(EVIDENCE)})
    keys = table[_SPACE].assign(rank=rank).sort_values(["rank", *_SPACE], kind="stable")
    return table.loc[keys.drop_duplicates(_SPACE).index].reset_index(drop=True)


def evidence_counts(table: pd.DataFrame) -> dict[str, int]:
    """Return how many namespaces stand under each word of `EVIDENCE` that occurs, in its order."""
    found = worst_evidence(table)["evidence"].value_counts()
    return {word: int(found[word]) for word in EVIDENCE if word in found}


# What each row is judged by


def _quota_rows(snapshot: Snapshot, signs: Places) -> pd.DataFrame:
    """Return one row per namespace and quota field: facts of its samples, its counter, flags."""
    spaces = snapshot.namespaces[_SPACE]
    rows = spaces.loc[spaces.index.repeat(len(QUOTA_FIELDS))].reset_index(drop=True)
    rows["resource"] = list(QUOTA_FIELDS) * len(spaces)
    series = series_of(rows)
    rows = rows.join(counters(snapshot, rows))
    asks_nothing, is_scoped, is_limit = (
        flags.to_numpy(dtype=bool)
        for flags in (
            rows["asked"] == 0,
            rows["is_scoped"],
            rows["resource"].isin(["cpu_limit", "memory_limit"]),
        )
    )

    def untrue(part: slice, values: Values) -> Found:
        some, steps = counters_untrue(snapshot, series[part], values)
        places = some + part.start
        # a limit's zeros are true where pods have no limits, and those up to now where none asks
        steps[:, is_scoped[places] | asks_nothing[places] & is_limit[places]] = False
        up_to_now = np.logical_and.accumulate(steps[::-1])[::-1]
        return some, steps & ~(up_to_now & asks_nothing[places])

    rows = rows.join(_sample_facts(snapshot.used, series, untrue=untrue))
    rows = rows.join(_changes(snapshot, series, rows))
    rows["cut_off"] = [snapshot.unreachable.get(cluster, "") for cluster, _ in names_of(rows)]
    rows["has_quota"] |= rows["cut_off"] != ""
    zero, comparable = rows["is_zero"], ~rows["is_scoped"]
    asks, counts = rows["asked"] > 0, rows["is_live"] & (rows["counted"] > 0)
    has_pods, is_watched = _pods_seen(rows, signs)
    is_asked = rows["cluster_name"].isin(snapshot.requested.columns.get_level_values(0))
    has_pods = np.where(is_asked, rows["untrue_zeros"].map(bool), has_pods)
    is_stuck = (rows["late_untrue"] > 0) & _is_old(rows, snapshot) & (rows["counted"] == 0)
    rows["is_wrong"] |= is_stuck & asks
    rows["is_dead"] = zero & (comparable & (asks | has_pods) | counts)
    says_none = rows["asked"].notna() | (is_watched & ~has_pods)
    rows["is_empty"] = zero & ~rows["is_dead"] & comparable & says_none
    agrees = rows["is_live"] & (rows["asked"].notna() & ~rows["is_wrong"] | counts)
    rows["is_doubted"] = zero & ~rows["is_empty"] & ~agrees
    return rows


def _usage_rows(
    snapshot: Snapshot, field: str, frame: pd.DataFrame, signs: Places, *, counted: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per namespace on what was measured; nodes never idle at zero."""
    rows = snapshot.namespaces[_SPACE].assign(resource=field)
    spaces = pd.MultiIndex.from_frame(rows[_SPACE])
    keys = pd.Index(["requests.cpu"] * len(rows))
    levels = [spaces.get_level_values(level) for level in (0, 1)]
    least = LONG_GAP // snapshot.step if field == "cpu_usage" else 1  # a pod may sleep for hours

    def untrue(part: slice, values: Values) -> Found:
        return usage_untrue(snapshot, spaces[part], values, least=least)

    counter = _counter(snapshot, pd.MultiIndex.from_arrays([*levels, keys]), counted)
    rows = rows.join(_sample_facts(frame, spaces, untrue=untrue, counter=counter))
    has_pods, is_watched = _pods_seen(rows, signs)
    running = {
        (cluster, pod.namespace_name)
        for cluster, pods in snapshot.pods.items()
        for pod in pods
        if not pod.is_finished
    }
    is_read = rows["cluster_name"].isin(list(snapshot.pods))
    is_idle = np.where(is_read, ~_is_in(rows, running), is_watched & ~has_pods)
    return rows.assign(
        cut_off="", has_quota=True, is_counted=True, is_live=False, is_wrong=False,
        counted=np.nan, asked=np.nan,
        changes=0, row=-1, before=np.nan, after=np.nan,
        is_dead=rows["is_zero"], is_doubted=rows["is_zero"],
        is_empty=(rows["seen"] == 0) & is_idle,
    )  # fmt: skip


def _signs_of_pods(snapshot: Snapshot) -> Places:
    """Return the namespaces in which a history of pods says that there were any."""
    found: set[tuple[str, ...]] = set()
    asked = highest(snapshot.requested)
    used = [highest(snapshot.usage_cpu), highest(snapshot.usage_memory)]
    for index in (asked.index[asked.notna()], *(one.index[one > 0] for one in used)):
        found.update(names_of(index.to_frame(index=False)))
    return found


def _pods_seen(rows: pd.DataFrame, signs: Places) -> tuple[Flags, Flags]:
    """Return where series of a namespace's pods exist, and where such are known of its cluster."""
    watched = {place[0] for place in signs}
    is_watched = rows["cluster_name"].isin(list(watched)).to_numpy(dtype=bool)
    return _is_in(rows, signs), is_watched


def _is_in(rows: pd.DataFrame, places: Places) -> Flags:
    return np.fromiter((place in places for place in names_of(rows)), bool, count=len(rows))


def _sample_facts(
    frame: pd.DataFrame,
    series: pd.MultiIndex,
    *,
    untrue: Callable[[slice, Values], Found],
    counter: Iterator[Values] | None = None,
) -> pd.DataFrame:
    """Return `sample_facts` of series, `is_zero`, `untrue_zeros` and how much of gaps these are.

    Where pods run by night only, nothing is used by day: a sample that is missing while the
    counter is at 0 is no gap, unless the counter is always at 0.

    Args:
        frame: time x series.
        series: the columns that are looked at.
        untrue: says of a part of them at which steps their zeros cannot be true.
        counter: yields the quota counter beside each part.
    """
    times = pd.DatetimeIndex(frame.index)
    nothing = np.empty((len(frame), 0), dtype=np.float32)
    no_zeros = np.empty(0, dtype=np.int64), nothing.astype(bool)
    parts = [_facts_of(nothing, no_zeros, times)]
    for part, values in chunks(frame, series):
        found = untrue(part, values)
        if counter is not None:
            counted = next(counter)
            works = (np.fmax.reduce(counted, axis=0, initial=0) > 0) & ~np.isnan(values).all(axis=0)
            values[np.isnan(values) & (counted == 0) & works] = 0
        parts.append(_facts_of(values, found, times))
    return pd.concat(parts, ignore_index=True).astype({"is_zero": bool})


def _facts_of(values: Values, found: Found, times: pd.DatetimeIndex) -> pd.DataFrame:
    """Return what `values` say once the untrue zeros `found` in them are forgotten."""
    is_zero = is_all_zero(values)
    untrue = np.empty(values.shape[1], dtype=object)
    untrue.fill(())
    late, gap = (np.zeros(values.shape[1]) for _ in range(2))
    torn, begun = {}, []
    for place, steps in zip(found[0], found[1].T, strict=True):
        untrue[place] = spans(steps, times)
        if untrue[place] and not is_zero[place]:
            torn[place] = steps
            first = (~np.isnan(values[:, place])).argmax()
            values[steps, place] = np.nan
            if steps[first]:
                values[first, place] = 0  # stands for the sample that a gap comes after
                begun.append(place)
    facts = sample_facts(values)
    facts["seen"][begun] -= 1
    for place, steps in torn.items():
        start, length = facts["gap_start"][place], facts["gap_steps"][place]
        late[place] = _share(steps[facts["last"][place] + 1 :])
        gap[place] = _share(steps[start : start + length])
    more = {"is_zero": is_zero, "untrue_zeros": untrue, "late_untrue": late, "gap_untrue": gap}
    return pd.DataFrame(facts | more)


def _share(flags: Flags) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _counter(snapshot: Snapshot, series: pd.MultiIndex, counted: pd.DataFrame) -> Iterator[Values]:
    """Yield parts of the counters `series`, their untrue zeros left out."""
    untrue, times = untrue_counters(counted), snapshot.used.index
    for part, values in chunks(snapshot.used, series):
        yield forget(values, series[part], times, untrue=untrue)


def _changes(snapshot: Snapshot, series: pd.MultiIndex, counted: pd.DataFrame) -> pd.DataFrame:
    untrue, times = untrue_counters(counted), snapshot.hard.index
    parts = [
        pd.DataFrame(change_facts(forget(values, series[part], times, untrue=untrue)))
        for part, values in chunks(snapshot.hard, series)
    ]
    none = pd.DataFrame(change_facts(np.empty((0, 0), dtype=np.float32)))
    return pd.concat([none, *parts], ignore_index=True).astype({"changes": int, "row": int})


# The verdict


def _judged(rows: pd.DataFrame, snapshot: Snapshot) -> pd.DataFrame:
    """Return `EVIDENCE_COLUMNS` of rows whose facts and flags are known."""
    step, count = snapshot.step, len(snapshot.used)
    times = times_of(snapshot.used)
    made = [snapshot.created.get((cluster, name)) for cluster, name in names_of(rows)]
    rows["is_fresh"] = [_is_within(NEW_FOR, at, snapshot.read_utc) for at in made]
    since_first = count - rows["first"].where(rows["seen"] > 0)
    rows["coverage"] = rows["seen"] / since_first
    for name, at_rows in (
        ("first_sample_utc", rows["first"]),
        ("last_sample_utc", rows["last"]),
        ("gap_from_utc", (rows["gap_start"] - 1).where(rows["gap_steps"] > 0, -1)),
        ("gap_until_utc", _ends_of(rows).where(_ends_of(rows) < count, -1)),
        ("changed_utc", rows["row"]),
    ):
        rows[name] = _times_at(times, at_rows.to_numpy(dtype=np.int64))
    rows["longest_gap_hours"] = (rows["gap_steps"] * (step / timedelta(hours=1))).where(
        rows["seen"] > 0
    )
    rows = rows.assign(
        lookback=count * step, seen_for=rows["seen"] * step, gap_for=rows["gap_steps"] * step
    )
    rows["is_old"] = _is_old(rows, snapshot)
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
    count, step = len(snapshot.used), snapshot.step
    seen, quota = rows["seen"], rows["has_quota"]
    is_short = rows["seen_for"] < LEAST_HISTORY
    began = rows["first"] > 0
    has_counter = ~rows["resource"].isin(USAGE_FIELDS)
    is_late = rows["is_old"] | (rows["late_untrue"] > 0) & ~rows["is_live"] & has_counter
    is_torn = (rows["coverage"] < GOOD_COVERAGE) | (rows["gap_for"] >= LONG_GAP)
    age = (count - rows["first"]) * step
    holds = {
        "wrong counter": rows["is_wrong"] & ~rows["is_zero"],
        "dead sensor": rows["is_dead"],
        "all zero": rows["is_zero"] & ~rows["is_empty"],
        "not read": rows["cut_off"] != "",
        "not counted": quota & ~rows["is_counted"] & (rows["cut_off"] == ""),
        "stale": (seen > 0) & is_late,
        "no history": (seen == 0) & ~rows["is_empty"] & ~rows["is_fresh"] & (count > 0),
        "new": is_short & ((seen > 0) & began & (age < LEAST_HISTORY) | rows["is_fresh"]),
        "gaps": (seen > 0) & is_torn,
        "too short": (seen > 0) & is_short & ~rows["is_empty"],
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


def _is_within(span: timedelta, moment: datetime | None, now: datetime) -> bool:
    return moment is not None and now - moment < span


def _ends_of(rows: pd.DataFrame) -> pd.Series[int]:
    """Return the row of the first sample behind the longest gap, beyond the last where none is."""
    ends = rows["gap_start"] + rows["gap_steps"]
    return ends.where(rows["gap_steps"] > 0, np.iinfo(np.int64).max)


def _times_at(times: NDArray[np.datetime64], places: NDArray[Any]) -> pd.DatetimeIndex:
    """Return the times of rows, NaT where the row is -1."""
    found = np.full(len(places), np.datetime64("NaT"), dtype="datetime64[ns]")
    found[places >= 0] = times[places[places >= 0]]
    return pd.DatetimeIndex(found).tz_localize("UTC")
