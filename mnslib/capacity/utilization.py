"""From a snapshot to answers: who is at the quota, and how high it came.

Pure: frames in, frames out; knows neither Azure nor Kubernetes' API. Every formula, with its unit
and a worked example, is in `docs/capacity.md`. NaN and NaT in a frame mean "unknown"; the row's
`verdict` says why.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.evidence_words import NO_PEAK
from mnslib.capacity.quota_values import (
    FULL,
    NO_QUOTA,
    OK,
    SERIES_AT_ONCE,
    TIGHT,
    QuotaValue,
    samples_of,
    series_of,
    tightest_quotas,
    times_of,
)
from mnslib.capacity.snapshot import Snapshot
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
    values = {name: tightest_quotas(quotas) for name, quotas in snapshot.quotas.items()}
    rows = []
    for space in snapshot.namespaces.to_dict("records"):
        cluster, namespace = space["cluster_name"], space["namespace_name"]
        for field_name in QUOTA_FIELDS:
            value = values.get(cluster, {}).get((namespace, QUOTA_KEYS[field_name]))
            rows.append(
                {
                    "cluster_name": cluster,
                    "namespace_name": namespace,
                    "resource": field_name,
                    "owner": space["owner"],
                    "is_managed": space["is_managed"],
                    "advice": "",
                    **_figures(value),
                }
            )
    return pd.DataFrame(rows, columns=list(UTILIZATION_COLUMNS))


def _figures(value: QuotaValue | None) -> dict[str, float | str]:
    """Return what one quota value says; the evidence decides afterwards what of it holds."""
    nan = float("nan")
    if value is None:
        return {"hard": nan, "used": nan, "utilization_ratio": nan, "verdict": NO_QUOTA}
    return {
        "hard": float(value.hard),
        "used": nan if value.used is None else float(value.used),
        "utilization_ratio": nan if value.ratio is None else float(value.ratio),
        "verdict": value.verdict,
    }


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
    """Fill in the peaks; the first of equal ones counts.

    A counter that is wrong, or always zero where something is used, has no peak.
    """
    peaks = ["peak_hard", "peak_used", "peak_within_minutes", "peak_utc"]
    table[peaks[:3]] = np.nan
    table["peak_utc"] = pd.Series(pd.NaT, index=table.index, dtype="datetime64[ns, UTC]")
    if table.empty or snapshot.used.empty:
        return table
    series = series_of(table)
    parts = [
        _peaks(snapshot, series[first:end], table[first:end])
        for first in range(0, len(table), SERIES_AT_ONCE)
        for end in [first + SERIES_AT_ONCE]
    ]
    hard, used, within, moment = map(np.concatenate, zip(*parts, strict=True))
    table["peak_hard"], table["peak_used"], table["peak_within_minutes"] = hard, used, within
    table["peak_utc"] = pd.DatetimeIndex(moment).tz_localize("UTC")
    doubted = table["evidence"].isin(NO_PEAK)
    table[peaks] = table[peaks].mask(doubted)
    return table


def _peaks(
    snapshot: Snapshot, series: pd.MultiIndex, rows: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.datetime64]]:
    """Return of some rows the quota at the peak, the peak, how exact its time is, and that.

    NaN and NaT without history.
    """
    samples, quotas = samples_of(snapshot.used, series), samples_of(snapshot.hard, series)
    has_history = ~np.isnan(samples).all(axis=0)
    np.copyto(samples, -np.inf, where=np.isnan(samples))
    places = samples.argmax(axis=0)[None, :]
    # float32 blurs the millicore it was counted in; Kubernetes knows none smaller.
    raw, quota = (np.take_along_axis(values, places, axis=0)[0] for values in (samples, quotas))
    highest, then = raw.astype(np.float64).round(3), quota.astype(np.float64).round(3)
    now, hard = (rows[name].to_numpy(dtype=np.float64) for name in ("used", "hard"))
    latest = _latest_peaks(snapshot, series)
    is_read, now = ~(now <= latest), np.fmax(now, latest)
    is_now = now.astype(np.float32) > raw  # else bytes that float32 rounds down would be a peak now
    read = np.datetime64(_utc(snapshot.read_utc).tz_localize(None), "ns")
    times = times_of(snapshot.used)
    step = np.timedelta64(snapshot.step_minutes, "m")
    moment = np.where(is_now, read, times[places[0]])
    length = np.where(is_now, np.where(is_read, np.timedelta64(0), read - times[-1]), step)
    exact = _peak_times(snapshot, series)
    holds = (moment - length < exact) & (exact <= moment)
    within = np.where(holds, 0, np.ceil(length / np.timedelta64(1, "m")))
    moment = np.where(holds, exact, moment)
    return (
        np.where(has_history, np.where(is_now, hard, then), np.nan),
        np.where(has_history, np.where(is_now, now, highest), np.nan),
        np.where(has_history, within, np.nan),
        np.where(has_history, moment, np.datetime64("NaT")),
    )


def _peak_times(snapshot: Snapshot, series: pd.MultiIndex) -> NDArray[np.datetime64]:
    """Return the time of the sample that holds the peak, NaT where nobody was asked."""
    found = np.full(len(series), np.datetime64("NaT"), dtype="datetime64[ns]")
    for place, (cluster, namespace, key) in enumerate(series if snapshot.peak_times else ()):
        at = snapshot.peak_times.get((cluster, namespace), {}).get(key)
        if at is not None:
            found[place] = _utc(at).tz_localize(None).to_datetime64()
    return found


def _latest_peaks(snapshot: Snapshot, series: pd.MultiIndex) -> NDArray[np.float64]:
    """Return the highest use since the last step that ended, NaN where there is none."""
    nan = float("nan")
    peaks = (snapshot.latest_peaks.get((c, n), {}).get(key, nan) for c, n, key in series)
    return np.fromiter(peaks, np.float64, count=len(series))


def tightest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the row that speaks for each namespace in `table`, worst first, unknown ones last.

    A full value speaks before a tight one, that before one whose figure does not hold, that before
    one that is ok; one without a quota last.

    Returns:
        The columns of `utilization_table` and, for the other values beside it, the four ratios
        as `<field>_ratio` (NaN where there is none). Order: full, tight, ok, unknown; then ratio,
        CPU request quota, cluster and name.
    """
    if table.empty:
        return table.assign(**{f"{name}_ratio": [] for name in QUOTA_FIELDS})
    rank = table["verdict"].map(word).map(_VERDICT_RANK)
    spaces = ["cluster_name", "namespace_name"]
    choice = table["verdict"].where(table["verdict"].isin(list(_CHOICE_RANK)), UNKNOWN)
    ordered = table.assign(_rank=rank, _ratio=ratio_now(table), _choice=choice.map(_CHOICE_RANK))
    ordered = ordered.sort_values(["_choice", "_ratio"], ascending=[True, False], kind="stable")
    worst = ordered.drop_duplicates(spaces)
    ratios = _by_field(table, "utilization_ratio").add_suffix("_ratio")
    size = _by_field(table, "hard")[["cpu_request"]].fillna(0).set_axis(["_size"], axis=1)
    worst = worst.join(ratios, on=spaces).join(size, on=spaces)
    order = ["_rank", "_ratio", "_size", *spaces]
    worst = worst.sort_values(order, ascending=[True, False, False, True, True])
    return worst.drop(columns=["_rank", "_ratio", "_size", "_choice"]).reset_index(drop=True)


def ratio_now(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return each row's ratio to sort by: -1 where it is unknown, infinite over a quota of 0."""
    ratio = table["utilization_ratio"].to_numpy(dtype=np.float64)
    ratio = np.where(np.isnan(ratio) & (table["verdict"] == FULL).to_numpy(), np.inf, ratio)
    return np.where(np.isnan(ratio), -1.0, ratio)


def _by_field(table: pd.DataFrame, column: str) -> pd.DataFrame:
    wide = table.pivot(index=["cluster_name", "namespace_name"], columns="resource", values=column)
    return wide.reindex(columns=list(QUOTA_FIELDS)).astype("float64")


def findings(table: pd.DataFrame) -> dict[str, int]:
    """Return how many namespaces are `full`, `tight`, `ok`, `unknown`, and `namespaces` in all.

    A namespace is what its tightest value is; it is unknown where one that has a quota is unknown
    and none is full or tight, and where all four are.
    """
    words = [word(verdict) for verdict in tightest(table)["verdict"]]
    return {"namespaces": len(words), **{name: words.count(name) for name in _VERDICT_RANK}}


def _utc(moment: datetime) -> pd.Timestamp:
    return pd.Timestamp(moment).tz_convert("UTC")
