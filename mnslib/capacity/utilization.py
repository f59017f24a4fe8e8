"""From a snapshot to answers: who is at the quota, and how high it came.

Pure: frames in, frames out; knows neither Azure nor Kubernetes' API. Every formula, with its unit
and a worked example, is in `docs/capacity.md`. NaN and NaT in a frame mean "unknown"; the row's
`verdict` says why.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.evidence_words import NO_PEAK
from mnslib.capacity.quota_values import FULL, NO_QUOTA, OK, SPACE, TIGHT, names_of
from mnslib.capacity.samples import Values, in_order, times_of
from mnslib.capacity.snapshot import CleanSnapshot, Snapshot, series_of
from mnslib.models import QUOTA_FIELDS, QUOTA_KEYS
from mnslib.packaged import packaged
from mnslib.verdicts import UNKNOWN, unknown_reason, word

UTILIZATION_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["utilization"])
_VERDICT_RANK = {FULL: 0, TIGHT: 1, OK: 2, UNKNOWN: 3}
_CHOICE_RANK = {FULL: 0, TIGHT: 1, OK: 2, UNKNOWN: 3, NO_QUOTA: 4}
"""Which value speaks for its namespace: the tightest one that is known, where any is."""


def utilization_table(snapshot: CleanSnapshot, *, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cluster, namespace and quota field, in that order.

    Args:
        snapshot, evidence: from `with_evidence`. Its verdict stands where a figure of now does not
            hold; a counter that is wrong says nothing against the quota, which stays known.

    Returns:
        `UTILIZATION_COLUMNS` (docs/tables.md): `utilization_ratio` is NaN where hard is 0;
        `verdict` is `full`, `tight`, `ok` or `unknown: <reason>`; `advice*` stay empty until
        usage is weighed; a peak was looked for in the share `coverage` of the steps.
    """
    table = snapshot.quota_rows.copy()
    found = evidence[evidence["resource"].isin(QUOTA_FIELDS)].reset_index(drop=True)
    unknown = found["unknown_now"] != ""
    table["verdict"] = table["verdict"].mask(unknown, found["unknown_now"])
    figures = ["used", "utilization_ratio"]
    table[figures] = table[figures].mask(unknown)
    is_wrong = found["evidence"].isin(NO_PEAK)
    is_counter = is_wrong | (found["evidence"] == "not counted")
    table["hard"] = table["hard"].mask(unknown & ~is_counter)
    kept = ["evidence", "unknown_history", "coverage"]
    table[kept] = found[kept]
    for name in ("owner", "is_managed"):
        table[name] = snapshot.namespaces[name].repeat(len(QUOTA_FIELDS)).array
    peaks = _peaks(table, snapshot, snapshot.used, snapshot.hard)
    table[peaks.columns] = peaks.mask(is_wrong)
    return table.reindex(columns=list(UTILIZATION_COLUMNS), fill_value="")


def tightest_peaks(snapshot: Snapshot, *, clusters: Collection[str], most: int) -> pd.DataFrame:
    """Return the `most` tightest values of some clusters, each peak at the end of its step.

    Without evidence; of the step under way a peak is at the reading.
    """
    table = snapshot.quota_rows
    table = table[table["hard"].notna() & table["cluster_name"].isin(list(clusters))]
    table = table.iloc[np.argsort(-ratio_now(table), kind="stable")[:most]].reset_index(drop=True)
    series, times = series_of(table), snapshot.used.index
    used, hard = (in_order(frame, series, times) for frame in (snapshot.used, snapshot.hard))
    return table.join(_peaks(table, snapshot, used, hard))


def _peaks(
    table: pd.DataFrame, snapshot: Snapshot, used: pd.DataFrame, hard: pd.DataFrame
) -> pd.DataFrame:
    """Return the peaks of the rows; the first of equal ones counts. NaN and NaT without history.

    Args:
        used, hard: samples, a column for each row.
    """
    columns = ("peak_used", "peak_hard", "peak_within_minutes")
    if table.empty or used.empty:
        never = pd.Series(pd.NaT, index=table.index, dtype="datetime64[ns, UTC]")
        return pd.DataFrame(dict.fromkeys(columns, np.nan), index=table.index).assign(
            peak_utc=never
        )
    raw, places = _first_highest(used.to_numpy(copy=False))
    # float32 blurs the millicore it was counted in; Kubernetes knows none smaller.
    most = raw.astype(np.float64).round(3)
    quotas, at = hard.to_numpy(copy=False), np.arange(len(table))
    last, before = (quotas[np.maximum(places - n, 0), at] for n in (0, 1))
    # lowered within the step: what is above it was used under the quota before
    then = np.where((raw > last) & (before > last), before, last).astype(np.float64).round(3)
    now, granted = (table[name].to_numpy(dtype=np.float64) for name in ("used", "hard"))
    latest = np.array(_told(snapshot.latest_peaks, table, math.nan))
    is_read, now = ~(now <= latest), np.fmax(now, latest)
    is_now = now.astype(np.float32) > raw  # else bytes that float32 rounds down would be a peak now
    read = pd.DatetimeIndex([snapshot.read_utc]).tz_convert(None).as_unit("ns").to_numpy()[0]
    times, step = times_of(used), np.timedelta64(snapshot.step_minutes, "m")
    moment = np.where(is_now, read, times[places])
    length = np.where(is_now, np.where(is_read, np.timedelta64(0), read - times[-1]), step)
    samples = pd.to_datetime(_told(snapshot.peak_times, table, pd.NaT), utc=True)
    exact = samples.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    holds = (moment - length < exact) & (exact <= moment)
    minutes = np.where(holds, 0, np.ceil(length / np.timedelta64(1, "m")))
    figures = (np.where(is_now, now, most), np.where(is_now, granted, then), minutes)
    found = pd.DataFrame(dict(zip(columns, figures, strict=True)), index=table.index)
    found["peak_utc"] = pd.DatetimeIndex(np.where(holds, exact, moment)).tz_localize("UTC")
    return found.where(pd.Series(raw > -np.inf, index=table.index))


def _first_highest(samples: Values) -> tuple[Values, NDArray[np.int64]]:
    """Return the highest sample of each column, -inf without any, and the first row that has it."""
    highest = np.full(samples.shape[1], -np.inf, dtype=np.float32)
    places = np.zeros(samples.shape[1], dtype=np.int64)
    for row, values in enumerate(samples):
        is_higher = values > highest
        np.copyto(highest, values, where=is_higher)
        places[is_higher] = row
    return highest, places


def _told(
    told: Mapping[tuple[str, str], Mapping[str, Any]], table: pd.DataFrame, none: Any
) -> list[Any]:
    """Return what is told of each row, `none` where nothing is."""
    if not told:
        return [none] * len(table)
    names = names_of(table, *SPACE, "resource")
    return [told.get((space, name), {}).get(QUOTA_KEYS[key], none) for space, name, key in names]


def tightest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the row that speaks for each namespace in `table`, worst first, unknown ones last.

    The tightest value that is known speaks; one whose figure does not hold where none is known, one
    without a quota last.

    Returns:
        The columns of `utilization_table` and, for the other values beside it, the four ratios
        as `<field>_ratio` (NaN where there is none) and as `unknown_values` those of the quota that
        are unknown beside a known one, pairs of resource and reason. Order: full, tight, ok,
        unknown; then ratio, CPU request quota, cluster and name.
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
    is_lost = np.array([one != NO_QUOTA and word(one) == UNKNOWN for one in verdicts], dtype=bool)
    lost = np.flatnonzero(is_lost[codes] & (rank[first[groups]] < _VERDICT_RANK[UNKNOWN]))
    values: list[tuple[tuple[str, str], ...]] = [()] * count
    for place, (field, verdict) in zip(
        groups[lost], names_of(table.iloc[lost], "resource", "verdict"), strict=True
    ):
        values[place] += ((field, unknown_reason(verdict) or ""),)
    unknown_values = pd.Series([values[place] for place in order], dtype=object)
    worst = table.iloc[first[order]].reset_index(drop=True)
    return worst.assign(**ratios, unknown_values=unknown_values)


def ratio_now(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return each row's ratio to sort by: -1 where it is unknown, infinite over a quota of 0."""
    ratio = table["utilization_ratio"].to_numpy(dtype=np.float64)
    ratio = np.where(np.isnan(ratio) & (table["verdict"] == FULL).to_numpy(), np.inf, ratio)
    return np.where(np.isnan(ratio), -1.0, ratio)


def verdict_counts(worst: pd.DataFrame) -> dict[str, int]:
    """Return how many namespaces are `full`, `tight`, `ok`, `unknown`, and `namespaces` in all.

    A namespace is what its tightest known value is, and unknown where all four are.

    Args:
        worst: from `tightest`.
    """
    words = [word(verdict) for verdict in worst["verdict"].tolist()]
    return {"namespaces": len(words), **{name: words.count(name) for name in _VERDICT_RANK}}
