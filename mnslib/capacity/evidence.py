"""How far each figure can be trusted: coverage, gaps, dead sensors, changes, wrong counters.

The one place that decides whether a figure may be shown at all; every other table takes its
`unknown: <reason>` from here. Pure: a snapshot in, a frame out. The rules, with unit and worked
example, are in `docs/capacity.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
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
from mnslib.capacity.quota_values import (
    SPACE,
    names_of,
    samples_of,
    series_of,
    taken,
    times_of,
)
from mnslib.capacity.samples import (
    Flags,
    Found,
    change_facts,
    chunks,
    cleaned,
    counters_untrue,
    highest,
    lowest,
    true_facts,
    usage_untrue,
    with_gaps,
)
from mnslib.capacity.snapshot import CleanSnapshot, Snapshot, Values
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
    spaces = _spaces(snapshot)
    counted = _quota_rows(snapshot, spaces)
    clean = cleaned(snapshot, counted)
    parts = [counted.join(_changes(clean.hard, series_of(counted)))]
    usage = (snapshot.usage_cpu, snapshot.usage_memory)
    if any(len(frame.columns) for frame in usage):
        parts += [
            _usage_rows(clean, field, frame, spaces)
            for field, frame in zip(USAGE_FIELDS, usage, strict=True)
        ]
    table = pd.concat([_judged(part, snapshot) for part in parts], ignore_index=True)
    order = np.concatenate([part["place"] for part in parts])  # of a namespace the fields in order
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


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


# What each row is judged by


def _spaces(snapshot: Snapshot) -> pd.DataFrame:
    """Return one row per namespace, with its place and what all of its values are judged by."""
    spaces = snapshot.namespaces[SPACE].reset_index(drop=True)
    names = [(cluster, name) for cluster, name in names_of(spaces)]
    signs = _signs_of_pods(snapshot)
    watched = {cluster for cluster, _ in signs}
    asked = set(snapshot.requested.columns.unique(level=0))
    running = {
        (cluster, pod.namespace_name)
        for cluster, pods in snapshot.pods.items()
        for pod in pods
        if not pod.is_finished
    }
    now = snapshot.read_utc
    made: list[tuple[tuple[str, str], datetime | None]] = [*snapshot.created.items()]
    made += [
        ((cluster, quota.namespace_name), quota.created_utc)
        for cluster, quotas in snapshot.quotas.items()
        for quota in quotas
    ]
    fresh = {place for place, moment in made if _is_within(NEW_FOR, moment, now)}
    return spaces.assign(
        place=np.arange(len(spaces)),
        cut_off=[snapshot.unreachable.get(cluster, "") for cluster, _ in names],
        has_pods=_flags(place in signs for place in names),
        is_running=_flags(place in running for place in names),
        is_watched=_flags(cluster in watched for cluster, _ in names),
        is_asked=_flags(cluster in asked for cluster, _ in names),
        is_read=_flags(cluster in snapshot.pods for cluster, _ in names),
        is_fresh=_flags(place in fresh for place in names),
    )


def _flags(answers: Iterable[bool]) -> Flags:
    return np.fromiter(answers, dtype=bool)


def _quota_rows(snapshot: Snapshot, spaces: pd.DataFrame) -> pd.DataFrame:
    """Return one row per namespace and quota field: facts of its samples, its counter, flags."""
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
    rows["has_counter"] = True
    rows["has_quota"] |= rows["cut_off"] != ""
    zero, comparable = rows["is_zero"], ~rows["is_scoped"]
    asks, counts = rows["asked"] > 0, rows["is_live"] & (rows["counted"] > 0)
    has_pods = rows["has_pods"].mask(rows["is_asked"], rows["untrue_zeros"].map(bool))
    is_stuck = (rows["late_untrue"] > 0) & _is_old(rows, snapshot) & (rows["counted"] == 0)
    rows["is_wrong"] |= is_stuck & asks
    rows["is_dead"] = zero & (comparable & (asks | has_pods) | counts)
    says_none = rows["asked"].notna() | (rows["is_watched"] & ~has_pods)
    rows["is_empty"] = zero & ~rows["is_dead"] & comparable & says_none
    agrees = rows["is_live"] & (rows["asked"].notna() & ~rows["is_wrong"] | counts)
    rows["is_doubted"] = zero & ~rows["is_empty"] & ~agrees
    return rows


def _usage_rows(
    snapshot: CleanSnapshot, field: str, frame: pd.DataFrame, namespaces: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per namespace on what was measured; nodes never idle at zero."""
    rows = namespaces.assign(resource=field)
    spaces = pd.MultiIndex.from_frame(rows[SPACE])
    series = series_of(rows.assign(resource="cpu_request"))
    least = LONG_GAP // snapshot.step if field == "cpu_usage" else 1  # a pod may sleep for hours

    def untrue(part: slice, values: Values) -> Found:
        return usage_untrue(snapshot, spaces[part], values, least=least)

    def counter(places: NDArray[np.int64]) -> Values:
        return samples_of(snapshot.used, series.take(places))

    rows = rows.join(_sample_facts(frame, spaces, untrue=untrue, counter=counter))
    is_idle = np.where(rows["is_read"], ~rows["is_running"], rows["is_watched"] & ~rows["has_pods"])
    return rows.assign(
        cut_off="", has_quota=True, is_counted=True, is_live=False, is_wrong=False,
        has_counter=False, counted=np.nan, asked=np.nan,
        changes=0, row=-1, before=np.nan, after=np.nan,
        is_dead=rows["is_zero"], is_doubted=rows["is_zero"],
        is_empty=(rows["seen"] == 0) & is_idle,
    )  # fmt: skip


def _signs_of_pods(snapshot: Snapshot) -> Places:
    """Return the namespaces in which a history of pods says that there were any."""
    found: set[tuple[str, ...]] = set()
    asked, *used = (
        highest(frame.to_numpy(dtype=np.float32, copy=False))
        for frame in (snapshot.requested, snapshot.usage_cpu, snapshot.usage_memory)
    )
    frames = (snapshot.requested, snapshot.usage_cpu, snapshot.usage_memory)
    for frame, is_sign in zip(frames, (~np.isnan(asked), *(one > 0 for one in used)), strict=True):
        index = frame.columns[is_sign]
        found.update(zip(*(index.get_level_values(level) for level in (0, 1)), strict=True))
    return found


def _sample_facts(
    frame: pd.DataFrame,
    series: pd.MultiIndex,
    *,
    untrue: Callable[[slice, Values], Found],
    counter: Callable[[NDArray[np.int64]], Values] | None = None,
) -> pd.DataFrame:
    """Return `sample_facts` of series, `is_zero`, `untrue_zeros` and how much of gaps these are.

    Where pods run by night only, nothing is used by day: a sample that is missing while the
    counter is at 0 is no gap, unless the counter is always at 0.

    Args:
        frame: time x series.
        series: the columns that are looked at.
        untrue: says of a part of them at which steps their zeros cannot be true.
        counter: returns the quota counters beside some of them.
    """
    times = pd.DatetimeIndex(frame.index)
    nothing = np.empty((len(frame), 0), dtype=np.float32)
    no_zeros = np.empty(0, dtype=np.int64), nothing.astype(bool)
    parts = [true_facts(nothing, no_zeros, times)]
    for part, values in chunks(frame, series):
        found = untrue(part, values)
        if counter is not None:
            some = with_gaps(values)
            counted, missing = counter(some + part.start), np.isnan(values[:, some])
            works = (np.fmax.reduce(counted, axis=0, initial=0) > 0) & ~missing.all(axis=0)
            values[:, some] = np.where(missing & (counted == 0) & works, 0, values[:, some])
        parts.append(true_facts(values, found, times))
    return pd.concat(parts, ignore_index=True).astype({"is_zero": bool})


def _changes(hard: pd.DataFrame, series: pd.MultiIndex) -> pd.DataFrame:
    """Return `change_facts` of the hard quotas, of which few change at all."""
    values = hard.to_numpy(dtype=np.float32, copy=False)
    places = hard.columns.get_indexer(series)
    is_steady = np.ones(values.shape[1] + 1, dtype=bool)  # the last one is of what is not there
    is_steady[:-1] = ~(highest(values) > lowest(values))
    some = np.flatnonzero(~is_steady[places])
    found = taken(values, places[some])
    none = pd.DataFrame(change_facts(np.full((len(values), 1), np.nan, dtype=np.float32)))
    facts = none.loc[[0] * len(series)].reset_index(drop=True)
    facts.iloc[some] = pd.DataFrame(change_facts(found)).to_numpy()
    return facts.astype({"changes": int, "row": int})


# The verdict


def _judged(rows: pd.DataFrame, snapshot: Snapshot) -> pd.DataFrame:
    """Return `EVIDENCE_COLUMNS` of rows whose facts and flags are known."""
    step, count = snapshot.step, len(snapshot.used)
    times = times_of(snapshot.used)
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
    is_lying = (rows["late_untrue"] > 0) & rows["has_counter"] & ~rows["is_live"]
    is_late = rows["is_old"] | is_lying
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
