"""Since when: how near each namespace came to its quota day by day, and each crossing of 90 %.

Pure, as `utilization` is. Each step is held against its own hard quota. Days are whole UTC days; a
sample stands for the step before it, so that of midnight belongs to the day that ended. What
happened while no sample was taken is never made up: a crossing over a gap says so.
"""

from __future__ import annotations

from datetime import UTC, date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity import samples
from mnslib.capacity.evidence_words import NEW_FOR, NO_PEAK, USAGE_FIELDS
from mnslib.capacity.quota_values import FULL, NO_QUOTA, OK, SPACE, TIGHT, TIGHT_RATIO, names_of
from mnslib.capacity.samples import Flags, Places, Values
from mnslib.capacity.snapshot import CleanSnapshot
from mnslib.capacity.utilization import ratio_now
from mnslib.packaged import packaged

THRESHOLDS = (float(TIGHT_RATIO), 1.0)
"""Used over hard from which a value is tight, and from which it is full. Source: kubernetes-mixin,
KubeQuotaAlmostFull and KubeQuotaFullyUsed, here with the threshold itself included."""

RATIO_NOISE = 5e-7
"""How far below a threshold a ratio may lie and still count as at it, as rounding to 6 decimals
does. Used, hard and their quotient are float32: three roundings of 6e-8 each at most."""

CROSSING_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["crossings"])
NO_HARD = "no samples of the hard quota"
_LEAST = [np.float32(threshold - RATIO_NOISE) for threshold in THRESHOLDS]

Days = NDArray[np.datetime64]


def daily_peaks(
    snapshot: CleanSnapshot, table: pd.DataFrame, *, evidence: pd.DataFrame
) -> pd.DataFrame:
    """Return how near each namespace came to its tightest quota value on each day of the history.

    Its tightest value is the fullest now where that is full or tight, else the one that came
    nearest to its quota on any day, of those known now where there are any.

    Args:
        snapshot: the reading that `table` was made from.
        table: from `utilization_table`; namespaces without any quota are left out.
        evidence: from `with_evidence`, of the same snapshot.

    Returns:
        One row per namespace (docs/tables.md). `first_seen` is the day of the first sample; where
        the whole cluster has none before it, the day the namespace was made if that is known;
        without any, the day a new namespace was made; else None. `quota_changed` is a tuple of
        days, that of the reading too where the quota is another than in the last sample. Days
        are `datetime.date`; NaN where samples are wrong (`NO_PEAK`). Order: most days full, then at
        90 % or more, then the last day's ratio; then those too new for samples, unknown ones last.
    """
    days = (samples.times_of(snapshot.used) - np.timedelta64(snapshot.step)).astype("datetime64[D]")
    names, starts = np.unique(days, return_index=True)
    peaks = np.full((len(names), len(table)), np.nan)
    for part in samples.chunks(len(table)):
        ratio = snapshot.ratio(part)
        ratio[np.isinf(ratio)] = 1  # anything used of a quota of 0
        for day, steps in enumerate(np.split(ratio, starts[1:]) if len(starts) else ()):
            peaks[day, part] = samples.highest(steps)  # `reduceat` takes ten times as long
    peaks = peaks.round(6)
    peaks[:, table["evidence"].isin(NO_PEAK)] = np.nan
    chosen = _tightest_places(table, peaks)
    rows, peaks = table.iloc[chosen].reset_index(drop=True), peaks[:, chosen]
    has_none: Flags = np.isnan(peaks).all(axis=0)
    begun = evidence.loc[~evidence["resource"].isin(USAGE_FIELDS), "first_sample_utc"]
    reason = rows["unknown_history"].str.removeprefix("unknown: ")
    table = rows[SPACE].assign(
        resource=rows["resource"].mask(has_none & rows["used"].isna(), ""),
        first_seen=_first_seen(snapshot, rows, names, begun.iloc[chosen]),
        quota_changed=pd.Series(_changed_days(snapshot, rows, days, chosen), dtype=object),
        reason=reason.mask(reason == "", NO_HARD).where(has_none, ""),
    )
    found = table.join(pd.DataFrame(peaks.T, columns=pd.Index(names.tolist(), dtype=object)))
    keys = counted_days(found).assign(
        is_unknown=has_none & found["first_seen"].isna(),
        last=np.nan_to_num(peaks[-1], nan=-1.0) if len(peaks) else -1.0,
    )
    order = ["has_none", "is_unknown", "days_full", "days_tight", "last", *reversed(SPACE)]
    rising = [True, True, False, False, False, True, True]
    keys = keys.sort_values(order, ascending=rising, kind="stable")
    return found.loc[keys.index].reset_index(drop=True)


def _tightest_places(table: pd.DataFrame, peaks: NDArray[np.float64]) -> Places:
    """Return the place of each namespace's tightest value; `peaks` are days x rows."""
    rank = table["verdict"].map({FULL: 0, TIGHT: 1, OK: 2}).fillna(3)  # a known one speaks
    now, nearest = ratio_now(table), np.fmax.reduce(peaks, axis=0, initial=-1.0)
    keys = table[SPACE].assign(rank=rank, near=np.where(rank < 2, now, nearest), now=now)
    keys = keys[table["verdict"] != NO_QUOTA]
    ordered = keys.sort_values(
        ["rank", "near", "now"], ascending=[True, False, False], kind="stable"
    )
    return np.sort(ordered.drop_duplicates(SPACE).index.to_numpy(dtype=np.intp))


def _first_seen(
    snapshot: CleanSnapshot, rows: pd.DataFrame, days: Days, begun: pd.Series[Any]
) -> NDArray[np.object_]:
    """Return the day from which on each row is known; None where nothing tells.

    Where nothing of its cluster was seen before, that is the day it was made: what was not kept
    longer says nothing of its beginning. So it is for one too new for samples.
    """
    first = (begun.reset_index(drop=True) - snapshot.step).dt.floor("D")
    times = [snapshot.created.get((cluster, name)) for cluster, name in names_of(rows)]
    made = pd.to_datetime(pd.Series(times, index=rows.index, dtype=object), utc=True)
    day_made = made.dt.floor("D")
    begins = first == first.groupby(rows["cluster_name"]).transform("min")
    if len(days):
        begins &= first != pd.Timestamp(days[0], tz="UTC")
    found = first.mask(begins, day_made.where(~(day_made > first), first))
    found = found.mask(first.isna(), day_made.where(snapshot.read_utc - made < NEW_FOR))
    found = found.mask(rows["evidence"].isin(NO_PEAK))
    return np.array([None if pd.isna(day) else day for day in found.dt.date], dtype=object)


def _changed_days(
    snapshot: CleanSnapshot, rows: pd.DataFrame, days: Days, places: Places
) -> list[tuple[date, ...]]:
    """Return the days on which each row's quota changed; `places` are those of its samples."""
    hard, now = snapshot.hard.to_numpy(copy=False)[:, places], rows["hard"].to_numpy(np.float32)
    changed: list[dict[date, None]] = [{} for _ in range(len(rows))]
    if not len(hard):
        return [() for _ in changed]
    columns, times, _ = samples.changes(hard)
    for row, day in zip(columns, days[times].tolist(), strict=True):
        changed[row][day] = None
    backward = np.isnan(hard)[::-1].argmin(axis=0)
    last = hard[len(hard) - 1 - backward, np.arange(len(now))]
    is_another = np.abs(now - last) > np.maximum(now, last) * samples.FLOAT32_NOISE
    for row in np.flatnonzero(is_another):
        changed[row][snapshot.read_utc.astimezone(UTC).date()] = None
    return [tuple(found) for found in changed]


def counted_days(daily: pd.DataFrame) -> pd.DataFrame:
    """Return `daily` with its `days` in one column, below 0 before a namespace was there.

    `days_full`, `days_tight` and `days_unseen` count them; `has_none`: nothing is known of any.
    """
    labels: list[Any] = daily.columns.tolist()
    days = [label for label in labels if isinstance(label, date)]
    ratios, seen = daily[days].to_numpy(dtype=np.float64, copy=True), daily["first_seen"]
    born = seen.astype(object).where(seen.notna(), None).to_numpy(dtype="datetime64[D]")
    ratios[np.array(days, dtype="datetime64[D]") < born[:, None]] = -1
    return daily.drop(columns=days).assign(
        days=list(ratios),
        days_full=(ratios >= 1).sum(axis=1),
        days_tight=(ratios >= float(TIGHT_RATIO)).sum(axis=1),
        days_unseen=np.isnan(ratios).sum(axis=1),
        has_none=np.logical_not((ratios >= 0).any(axis=1)),
    )


# When they came to their quota and when they left it


def crossings_table(snapshot: CleanSnapshot, *, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return each time that a quota value came to 0.9 or 1.0 of its hard quota, or fell below it.

    Args:
        snapshot: what was read.
        evidence: from `with_evidence`, of the same snapshot. Values whose samples are wrong as a
            whole (`NO_PEAK`) have no crossings.

    Returns:
        `CROSSING_COLUMNS` (docs/tables.md): `within_minutes` is one step, or where samples are
        missing (`is_over_gap`) the time since the sample before; the ratio is infinite where
        anything is used of a quota of 0. Where a series begins nothing is crossed. Order: cluster,
        namespace, resource, time.
    """
    rows = evidence[~evidence["resource"].isin(USAGE_FIELDS)].reset_index(drop=True)
    used, hard = (frame.to_numpy(copy=False) for frame in (snapshot.used, snapshot.hard))
    with np.errstate(divide="ignore", invalid="ignore"):  # most can cross nothing
        is_low = samples.highest(used) / samples.lowest(hard) < _LEAST[0]
        is_high = samples.lowest(used) / samples.highest(hard) >= _LEAST[1]
    near = np.flatnonzero(~(is_low | is_high) & ~rows["evidence"].isin(NO_PEAK))
    found = [_crossings(used[:, part], hard[:, part], part) for part in samples.parts(near)]
    found = found or [_crossings(used[:, :0], hard[:, :0], near)]
    table = pd.concat(found).sort_values(["place", "row", "level"])
    table = table.join(rows[[*SPACE, "resource"]], on="place")
    steps = table["row"] - table["before"]
    moments = samples.times_of(snapshot.used)[table["row"].to_numpy()]
    return table.assign(
        crossed_utc=pd.DatetimeIndex(moments).tz_localize("UTC"),
        within_minutes=steps * snapshot.step_minutes,
        is_over_gap=steps > 1,
    )[list(CROSSING_COLUMNS)].reset_index(drop=True)


def _crossings(used: Values, hard: Values, places: Places) -> pd.DataFrame:
    """Return the crossings of columns (times x series): their place, and the rows around each."""
    used, hard, ratio = samples.against_quota(used, hard)
    known = ~np.isnan(ratio)
    level = (ratio >= _LEAST[0]).astype(np.int8) + (ratio >= _LEAST[1])
    last = samples.last_known(known)[:-1]
    earlier = np.take_along_axis(level, np.maximum(last, 0), axis=0)
    rows, columns = np.nonzero(known[1:] & (last >= 0) & (level[1:] != earlier))
    before, after = earlier[rows, columns], level[rows + 1, columns]
    steps = {"place": places[columns], "row": rows + 1, "before": last[rows, columns]}
    for name, values in (("used", used), ("hard", hard), ("utilization_ratio", ratio)):
        steps[name] = values[rows + 1, columns].astype(np.float64).round(6)
    found: list[pd.DataFrame] = []
    for number, threshold in enumerate(THRESHOLDS, start=1):
        direction = np.where(after >= number, "up", "down")
        part = pd.DataFrame(steps).assign(level=number, threshold=threshold, direction=direction)
        found.append(part[(before < number) != (after < number)])
    return pd.concat(found)
