"""From a snapshot to answers: who is at the quota, and how high it came.

Pure: frames in, frames out; knows neither Azure nor Kubernetes' API. Every formula, with its unit
and a worked example, is in `docs/capacity.md`. NaN and NaT in a frame mean "unknown"; the row's
`verdict` says why.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.evidence_words import NO_PEAK
from mnslib.capacity.quota_values import FULL, NO_QUOTA, OK, SPACE, TIGHT, names_of
from mnslib.capacity.samples import chunks, series_of, times_of
from mnslib.capacity.snapshot import Snapshot, Values
from mnslib.models import QUOTA_FIELDS, QUOTA_KEYS
from mnslib.verdicts import UNKNOWN, word

UTILIZATION_COLUMNS = (
    "cluster_name",
    "namespace_name",
    "resource",
    "hard",
    "used",
    "utilization_ratio",
    "peak_used",
    "peak_utc",
    "peak_within_minutes",
    "peak_hard",
    "verdict",
    "advice",
    "owner",
    "is_managed",
    "evidence",
    "unknown_history",
    "coverage",
)
_VERDICT_RANK = {FULL: 0, TIGHT: 1, OK: 2, UNKNOWN: 3}
_CHOICE_RANK = {FULL: 0, TIGHT: 1, UNKNOWN: 2, OK: 3, NO_QUOTA: 4}
"""Which value speaks for its namespace: one whose figure does not hold is not healthy."""


def utilization_table(snapshot: Snapshot, *, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cluster, namespace and quota field, in that order.

    Args:
        snapshot: what was read.
        evidence: from `evidence_table`, of the same snapshot.

    Returns:
        `UTILIZATION_COLUMNS`: `resource` is a quota field (`cpu_request`); `hard`, `used`,
        `peak_used` in cores or bytes; `utilization_ratio` is used over hard (NaN where hard is 0);
        `peak_used` the highest `used` of the history and of now, `peak_utc` the end of its step
        or the first sample that holds it: it was so in the `peak_within_minutes` before (0 for a
        sample); `peak_hard` the quota of that step, all unknown without history; `verdict` is
        `full`, `tight`, `ok` or `unknown: <reason>`; `advice` stays empty until usage is weighed;
        `evidence`, `unknown_history` and `coverage` as in `evidence_table`: a peak was looked for
        in that share of the steps.
    """
    return _with_peaks(_weighed(_rows_of(snapshot), evidence), snapshot)


def tightest_peaks(snapshot: Snapshot, *, clusters: Collection[str], most: int) -> pd.DataFrame:
    """Return the `most` tightest values of some clusters, each peak at the end of its step.

    Without evidence; of the step under way a peak is at the reading.
    """
    table = _rows_of(snapshot)
    table = table[table["hard"].notna() & table["cluster_name"].isin(list(clusters))]
    places = np.argsort(-ratio_now(table), kind="stable")[:most]
    return _with_peaks(table.iloc[places].reset_index(drop=True), replace(snapshot, peak_times={}))


def _rows_of(snapshot: Snapshot) -> pd.DataFrame:
    """Return one row per namespace and quota field with the figures of now."""
    spaces = snapshot.namespaces[[*SPACE, "owner", "is_managed"]]
    rows = spaces.loc[spaces.index.repeat(len(QUOTA_FIELDS))].reset_index(drop=True)
    rows["resource"] = list(QUOTA_FIELDS) * len(spaces)
    figures: list[tuple[Any, ...]] = []
    for cluster, name, field in names_of(rows, *SPACE, "resource"):
        value = snapshot.tightest_quotas.get(cluster, {}).get((name, QUOTA_KEYS[field]))
        if value is None:
            figures.append((None, None, None, NO_QUOTA))
        else:
            figures.append((value.hard, value.used, value.ratio, value.verdict))
    names = ["hard", "used", "utilization_ratio"]
    found = pd.DataFrame(figures, columns=[*names, "verdict"], index=rows.index)
    rows = rows.join(found.astype(dict.fromkeys(names, "float64")))
    return rows.assign(advice="").reindex(columns=list(UTILIZATION_COLUMNS))


def _weighed(table: pd.DataFrame, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the evidence's verdict where a figure of now does not hold.

    A counter that is wrong says nothing against the quota, which stays known.
    """
    found = evidence[evidence["resource"].isin(QUOTA_FIELDS)].reset_index(drop=True)
    unknown = found["unknown_now"] != ""
    table["verdict"] = table["verdict"].mask(unknown, found["unknown_now"])
    figures = ["used", "utilization_ratio"]
    table[figures] = table[figures].mask(unknown)
    is_counter = found["evidence"].isin([*NO_PEAK, "not counted"])
    table["hard"] = table["hard"].mask(unknown & ~is_counter)
    kept = ["evidence", "unknown_history", "coverage"]
    table[kept] = found[kept]
    return table


def _with_peaks(table: pd.DataFrame, snapshot: Snapshot) -> pd.DataFrame:
    """Fill in the peaks; the first of equal ones counts. NaN and NaT without history.

    A counter that is wrong, or always zero where something is used, has no peak.
    """
    if table.empty or snapshot.used.empty:
        peaks = {"peak_hard": np.nan, "peak_used": np.nan, "peak_within_minutes": np.nan}
        never = pd.Series(pd.NaT, index=table.index, dtype="datetime64[ns, UTC]")
        return table.assign(**peaks, peak_utc=never)
    series = series_of(table)
    parts = [_first_highest(samples) for _, samples in chunks(snapshot.used, series)]
    raw, places = map(np.concatenate, zip(*parts, strict=True))
    # float32 blurs the millicore it was counted in; Kubernetes knows none smaller.
    highest = raw.astype(np.float64).round(3)
    last, before = (_each_at(snapshot.hard, series, np.maximum(places - n, 0)) for n in (0, 1))
    # lowered within the step: what is above it was used under the quota before
    then = np.where((raw > last) & (before > last), before, last).astype(np.float64).round(3)
    now, hard = (table[name].to_numpy(dtype=np.float64) for name in ("used", "hard"))
    latest = np.array(_told(snapshot.latest_peaks, series, math.nan))
    is_read, now = ~(now <= latest), np.fmax(now, latest)
    is_now = now.astype(np.float32) > raw  # else bytes that float32 rounds down would be a peak now
    read = pd.DatetimeIndex([snapshot.read_utc]).tz_convert(None).as_unit("ns").to_numpy()[0]
    times = times_of(snapshot.used)
    step = np.timedelta64(snapshot.step_minutes, "m")
    moment = np.where(is_now, read, times[places])
    length = np.where(is_now, np.where(is_read, np.timedelta64(0), read - times[-1]), step)
    told = pd.to_datetime(_told(snapshot.peak_times, series, pd.NaT), utc=True)
    exact = told.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    holds = (moment - length < exact) & (exact <= moment)
    found = pd.DataFrame(
        {
            "peak_hard": np.where(is_now, hard, then),
            "peak_used": np.where(is_now, now, highest),
            "peak_within_minutes": np.where(holds, 0, np.ceil(length / np.timedelta64(1, "m"))),
            "peak_utc": pd.DatetimeIndex(np.where(holds, exact, moment)).tz_localize("UTC"),
        },
        index=table.index,
    )
    is_known = (raw > -np.inf) & ~table["evidence"].isin(NO_PEAK)
    return table.assign(**found.where(is_known))


def _first_highest(samples: Values) -> tuple[Values, NDArray[np.int64]]:
    """Return the highest sample of each column, -inf without any, and the first row that has it."""
    highest = np.full(samples.shape[1], -np.inf, dtype=np.float32)
    places = np.zeros(samples.shape[1], dtype=np.int64)
    for row, values in enumerate(samples):
        is_higher = values > highest
        np.copyto(highest, values, where=is_higher)
        places[is_higher] = row
    return highest, places


def _each_at(frame: pd.DataFrame, series: pd.MultiIndex, rows: NDArray[np.int64]) -> Values:
    """Return one sample of each series, that of its row; NaN where there is none."""
    columns = frame.columns.get_indexer(series)
    known = np.flatnonzero(columns >= 0)
    found = np.full(len(series), np.nan, dtype=np.float32)
    found[known] = frame.to_numpy(dtype=np.float32, copy=False)[rows[known], columns[known]]
    return found


def _told(
    told: Mapping[tuple[str, str], Mapping[str, Any]], series: pd.MultiIndex, none: Any
) -> list[Any]:
    """Return what is told of each series, `none` where nothing is."""
    if not told:
        return [none] * len(series)
    return [told.get((cluster, name), {}).get(key, none) for cluster, name, key in series]


def tightest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the row that speaks for each namespace in `table`, worst first, unknown ones last.

    A full value speaks before a tight one, that before one whose figure does not hold, that before
    one that is ok; one without a quota last.

    Returns:
        The columns of `utilization_table` and, for the other values beside it, the four ratios
        as `<field>_ratio` (NaN where there is none). Order: full, tight, ok, unknown; then ratio,
        CPU request quota, cluster and name.
    """
    groups = table.groupby(SPACE).ngroup().to_numpy()
    count, ratio = groups.max(initial=-1) + 1, ratio_now(table)
    codes, verdicts = pd.factorize(table["verdict"])
    choice = [_CHOICE_RANK.get(verdict, _CHOICE_RANK[UNKNOWN]) for verdict in verdicts]
    ordered = np.lexsort((-ratio, np.array(choice, dtype=int)[codes], groups))
    first = ordered[np.searchsorted(groups[ordered], np.arange(count))]
    beside = {name: np.full(count, np.nan) for name in QUOTA_FIELDS}
    cores = np.zeros(count)
    for name, own in beside.items():
        rows = np.flatnonzero(table["resource"] == name)
        own[groups[rows]] = table["utilization_ratio"].to_numpy(dtype=np.float64)[rows]
        if name == "cpu_request":
            cores[groups[rows]] = np.nan_to_num(table["hard"].to_numpy(dtype=np.float64)[rows])
    rank = np.array([_VERDICT_RANK[word(verdict)] for verdict in verdicts], dtype=int)[codes]
    order = np.lexsort((-cores, -ratio[first], rank[first]))  # and by name, as the groups are
    ratios = {f"{name}_ratio": own[order] for name, own in beside.items()}
    return table.iloc[first[order]].reset_index(drop=True).assign(**ratios)


def ratio_now(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return each row's ratio to sort by: -1 where it is unknown, infinite over a quota of 0."""
    ratio = table["utilization_ratio"].to_numpy(dtype=np.float64)
    ratio = np.where(np.isnan(ratio) & (table["verdict"] == FULL).to_numpy(), np.inf, ratio)
    return np.where(np.isnan(ratio), -1.0, ratio)


def verdict_counts(worst: pd.DataFrame) -> dict[str, int]:
    """Return how many namespaces are `full`, `tight`, `ok`, `unknown`, and `namespaces` in all.

    A namespace is what its tightest value is; it is unknown where one that has a quota is unknown
    and none is full or tight, and where all four are.

    Args:
        worst: from `tightest`.
    """
    words = [word(verdict) for verdict in worst["verdict"].tolist()]
    return {"namespaces": len(words), **{name: words.count(name) for name in _VERDICT_RANK}}
