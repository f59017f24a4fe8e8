"""Since when, day by day: how near each namespace came to the quota value that is tightest for it.

Pure, as `utilization` is. Days are whole UTC days; a sample stands for the step before it, so that
of midnight belongs to the day that ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.evidence_words import NEW_FOR, NO_PEAK
from mnslib.capacity.quota_values import FULL, NO_QUOTA, SPACE, TIGHT, TIGHT_RATIO, names_of
from mnslib.capacity.samples import against_quota, highest, lowest, samples_of, series_of, times_of
from mnslib.capacity.snapshot import CleanSnapshot, Snapshot, Values
from mnslib.capacity.utilization import ratio_now

_FLOAT32_NOISE = 1e-6
NO_HARD = "no samples of the hard quota"


def daily_peaks(
    snapshot: CleanSnapshot, table: pd.DataFrame, *, evidence: pd.DataFrame
) -> pd.DataFrame:
    """Return how near each namespace came to its tightest quota value on each day of the history.

    Its tightest value is the fullest now where that is full or tight, else the one that came
    nearest to its quota on any day.

    Args:
        snapshot: the reading that `table` was made from.
        table: from `utilization_table`; namespaces without any quota are left out.
        evidence: from `evidence_table`, of the same snapshot.

    Returns:
        One row per namespace: `cluster_name`, `namespace_name`, `resource` (the quota field that is
        tightest, empty where nothing is known), `first_seen` (day of the first sample; where the
        whole cluster has none before it, the day the namespace was made if that is known; without
        any, the day a new namespace was made; else None), `quota_changed` (tuple of days, that of
        the reading too where the quota is another than in the last sample), `reason`
        (why no day is known, else empty), then one
        column per UTC day (`datetime.date`) with the highest ratio of used to the hard quota of
        the same step; NaN without samples, and where those are wrong (`NO_PEAK`). Order: most days
        full, then at 90 % or more, then the last day's ratio; then those too new for samples,
        unknown ones last.
    """
    rows = table[table["verdict"] != NO_QUOTA].reset_index(drop=True)
    days = (times_of(snapshot.used) - np.timedelta64(snapshot.step)).astype("datetime64[D]")
    names, starts = np.unique(days, return_index=True)
    peaks = np.full((len(names), len(rows)), np.nan)
    for part, _, _, ratio in against_quota(snapshot, series_of(rows)):
        ratio[np.isinf(ratio)] = 1  # anything used of a quota of 0
        peaks[:, part] = _highest_of(ratio, starts).astype(np.float64).round(6)
    peaks[:, rows["evidence"].isin(NO_PEAK)] = np.nan
    chosen = _tightest_places(rows, peaks)
    rows, peaks = rows.iloc[chosen].reset_index(drop=True), peaks[:, chosen]
    has_none = np.all(np.isnan(peaks), axis=0)
    facts = _facts(snapshot, rows, days, has_none=has_none, evidence=evidence)
    by_day = pd.DataFrame(peaks.T, columns=pd.Index(names.tolist(), dtype=object))
    return facts.join(by_day).iloc[_most_urgent_first(facts, peaks)].reset_index(drop=True)


def _facts(
    snapshot: CleanSnapshot,
    rows: pd.DataFrame,
    days: NDArray[np.datetime64],
    *,
    has_none: NDArray[np.bool_],
    evidence: pd.DataFrame,
) -> pd.DataFrame:
    """Return what stands before the days of each row of a utilization table."""
    first = _first_days(snapshot, rows, evidence)
    unseen = np.flatnonzero(pd.isna(first))
    places = list(names_of(rows))
    _forget_where_clusters_begin(first, snapshot, places, start=min(days, default=None))
    for row, place in zip(unseen, names_of(rows.iloc[unseen]), strict=True):
        first[row] = _day_made(snapshot, place)
    hard = samples_of(snapshot.hard, series_of(rows))
    changed = _change_days(hard, days)
    today = snapshot.read_utc.astimezone(UTC).date()
    for row in np.flatnonzero(_is_another(hard, rows["hard"].to_numpy(dtype=np.float32))):
        changed[row] = tuple(dict.fromkeys((*changed[row], today)))
    reason = rows["unknown_history"].str.removeprefix("unknown: ")
    facts: dict[str, pd.Series[Any]] = {
        "resource": rows["resource"].mask(has_none & rows["used"].isna(), ""),
        "first_seen": pd.Series(first, index=rows.index, dtype=object).mask(
            rows["evidence"].isin(NO_PEAK), None
        ),
        "quota_changed": pd.Series(changed, index=rows.index, dtype=object),
        "reason": reason.mask(reason == "", NO_HARD).where(has_none, ""),
    }
    return rows[SPACE].assign(**facts)


def _highest_of(values: Values, starts: NDArray[np.int64]) -> Values:
    """Return the highest value of each day, of which `starts` are the first rows."""
    parts = np.split(values, starts[1:]) if len(starts) else []
    days = [np.fmax.reduce(part, axis=0) for part in parts]  # ten times as fast as `reduceat`
    return np.array(days, dtype=np.float32).reshape(len(starts), values.shape[1])


def _tightest_places(rows: pd.DataFrame, peaks: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the place of each namespace's tightest value; `peaks` are days x rows."""
    rank = rows["verdict"].map({FULL: 0, TIGHT: 1}).fillna(2)
    now, nearest = ratio_now(rows), np.fmax.reduce(peaks, axis=0, initial=-1.0)
    keys = rows[SPACE].assign(rank=rank, near=np.where(rank < 2, now, nearest), now=now)
    ordered = keys.sort_values(
        ["rank", "near", "now"], ascending=[True, False, False], kind="stable"
    )
    return np.sort(ordered.drop_duplicates(SPACE).index.to_numpy(dtype=np.int64))


def _most_urgent_first(facts: pd.DataFrame, peaks: NDArray[np.float64]) -> NDArray[np.int64]:
    has_none = pd.Series(np.all(np.isnan(peaks), axis=0), index=facts.index)
    last = peaks[-1] if len(peaks) else np.full(len(facts), np.nan)
    keys = facts[SPACE].assign(
        has_none=has_none,
        is_unknown=has_none & facts["first_seen"].isna(),
        full=-np.sum(peaks >= 1, axis=0),
        tight=-np.sum(peaks >= float(TIGHT_RATIO), axis=0),
        last=-np.nan_to_num(last, nan=-1.0),
    )
    order = ["has_none", "is_unknown", "full", "tight", "last", "namespace_name", "cluster_name"]
    return keys.sort_values(order, kind="stable").index.to_numpy(dtype=np.int64)


def _day_made(snapshot: Snapshot, place: tuple[str, ...]) -> date | None:
    """Return the day a namespace without samples was made, None unless it is too new for any."""
    made = snapshot.created.get((place[0], place[1]))
    is_new = made is not None and snapshot.read_utc - made < NEW_FOR
    return made.astimezone(UTC).date() if made is not None and is_new else None


def _forget_where_clusters_begin(
    first: NDArray[np.object_],
    snapshot: Snapshot,
    places: Sequence[tuple[str, ...]],
    *,
    start: np.datetime64 | None,
) -> None:
    """Put the day a namespace was made, or None, where nothing of its cluster was seen before.

    What was not kept longer than that says nothing of a namespace's beginning.
    """
    began: dict[str, date] = {}
    for (cluster, _), day in zip(places, first, strict=True):
        if day is not None:
            began[cluster] = min(began.get(cluster, day), day)
    for row, (cluster, name) in enumerate(places):
        day = first[row]
        if day is not None and start is not None and day == began[cluster] != start.item():
            made = snapshot.created.get((cluster, name))
            first[row] = None if made is None else min(made.astimezone(UTC).date(), day)


def _first_days(
    snapshot: Snapshot, rows: pd.DataFrame, evidence: pd.DataFrame
) -> NDArray[np.object_]:
    """Return the day of the first sample of each row, None without any."""
    key = [*SPACE, "resource"]
    first = rows[key].join(evidence.set_index(key)["first_sample_utc"], on=key)["first_sample_utc"]
    days = (first - snapshot.step).dt.date
    return np.array([None if pd.isna(day) else day for day in days], dtype=object)


def _is_another(hard: Values, now: Values) -> NDArray[np.bool_]:
    """Return where the quota of now is another than that of the last sample."""
    if not len(hard):
        return np.zeros(len(now), dtype=bool)
    known = ~np.isnan(hard)
    last = hard[len(hard) - 1 - known[::-1].argmax(axis=0), np.arange(len(now))]
    is_another: NDArray[np.bool_] = np.abs(now - last) > np.maximum(now, last) * _FLOAT32_NOISE
    return is_another


def _change_days(hard: Values, days: NDArray[np.datetime64]) -> list[tuple[date, ...]]:
    some = np.flatnonzero(highest(hard) > lowest(hard))
    known = pd.DataFrame(hard[:, some]).ffill().to_numpy()
    times, columns = np.nonzero((known[1:] != known[:-1]) & ~np.isnan(known[:-1]))
    changed: list[list[date]] = [[] for _ in range(hard.shape[1])]
    for row, column in zip(times + 1, some[columns], strict=True):
        changed[column].append(days[row].item())
    return [tuple(dict.fromkeys(found)) for found in changed]
