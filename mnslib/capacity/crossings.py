"""When namespaces came to their quota and when they left it: every crossing of 0.9 and of 1.0.

Pure, as `utilization` is. Each step is held against its own hard quota, and what happened while no
sample was taken is never made up: a crossing over a gap says that it lies somewhere in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.evidence_words import NO_PEAK, USAGE_FIELDS
from mnslib.capacity.quota_values import SPACE, TIGHT_RATIO
from mnslib.capacity.samples import (
    against_quota,
    chunks,
    highest,
    last_known,
    lowest,
    series_of,
    times_of,
)
from mnslib.capacity.snapshot import CleanSnapshot, Values

THRESHOLDS = (float(TIGHT_RATIO), 1.0)
"""Used over hard from which a value is tight, and from which it is full. Source: kubernetes-mixin,
KubeQuotaAlmostFull and KubeQuotaFullyUsed, here with the threshold itself included."""

RATIO_NOISE = 5e-7
"""How far below a threshold a ratio may lie and still count as at it, as rounding to 6 decimals
does. Used, hard and their quotient are float32: three roundings of 6e-8 each at most."""

_LEAST = [np.float32(threshold - RATIO_NOISE) for threshold in THRESHOLDS]

CROSSING_COLUMNS = (
    "cluster_name",
    "namespace_name",
    "resource",
    "threshold",
    "direction",
    "crossed_utc",
    "within_minutes",
    "is_over_gap",
    "used",
    "hard",
    "utilization_ratio",
)


def crossings_table(snapshot: CleanSnapshot, *, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return each time that a quota value came to 0.9 or 1.0 of its hard quota, or fell below it.

    Args:
        snapshot: what was read.
        evidence: from `evidence_table`, of the same snapshot. Values whose samples are wrong as a
            whole (`NO_PEAK`) have no crossings.

    Returns:
        `CROSSING_COLUMNS`: `direction` is `up` or `down`; it happened in the `within_minutes`
        before `crossed_utc`, the end of the first step on the other side: one step, or where
        samples are missing (`is_over_gap`) the time since the sample before; `used` and `hard` of
        that step, cores or bytes, and their ratio (infinite where anything is used of a quota of
        0). Where a series begins nothing is crossed. Order: cluster, namespace, resource, time.
    """
    is_meant = ~evidence["evidence"].isin(NO_PEAK) & ~evidence["resource"].isin(USAGE_FIELDS)
    rows = evidence.loc[is_meant, [*SPACE, "resource"]]
    rows = rows.iloc[_near(snapshot, series_of(rows))].reset_index(drop=True)
    parts = [_crossings(*np.empty((3, 0, 0), dtype=np.float32))]
    for part, *samples in against_quota(snapshot, series_of(rows)):
        crossed = _crossings(*samples)
        crossed["place"] += part.start
        parts.append(crossed)
    table = pd.DataFrame(_joined(parts)).sort_values(["place", "row", "level"])
    table = table.join(rows, on="place")
    steps = table["row"] - table["before"]
    moments = times_of(snapshot.used)[table["row"].to_numpy()]
    return table.assign(
        crossed_utc=pd.DatetimeIndex(moments).tz_localize("UTC"),
        within_minutes=steps * snapshot.step_minutes,
        is_over_gap=steps > 1,
    )[list(CROSSING_COLUMNS)].reset_index(drop=True)


def _crossings(used: Values, hard: Values, ratio: Values) -> dict[str, NDArray[Any]]:
    """Return the crossings of columns (times x series): their place, and the rows around each."""
    known = ~(np.isnan(used) | np.isnan(hard))
    level = (ratio >= _LEAST[0]).astype(np.int8) + (ratio >= _LEAST[1])
    last = last_known(known)[:-1]
    earlier = np.take_along_axis(level, np.maximum(last, 0), axis=0)
    rows, places = np.nonzero(known[1:] & (last >= 0) & (level[1:] != earlier))
    before, after = earlier[rows, places], level[rows + 1, places]
    parts = []
    for number, threshold in enumerate(THRESHOLDS, start=1):
        crossed = (before < number) != (after < number)
        row, place = rows[crossed] + 1, places[crossed]
        part = {
            "place": place, "row": row, "before": last[row - 1, place],
            "level": np.full(len(row), number), "threshold": np.full(len(row), threshold),
            "direction": np.where(after[crossed] >= number, "up", "down"),
        }  # fmt: skip
        for name, values in (("used", used), ("hard", hard), ("utilization_ratio", ratio)):
            part[name] = values[row, place].astype(np.float64).round(6)
        parts.append(part)
    return _joined(parts)


def _joined(parts: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _near(snapshot: CleanSnapshot, series: pd.MultiIndex) -> NDArray[np.int64]:
    """Return which series may come to a threshold and fall below it; few do."""
    found = [np.empty(0, dtype=np.int64)]
    for (part, used), (_, hard) in zip(
        chunks(snapshot.used, series), chunks(snapshot.hard, series), strict=True
    ):
        with np.errstate(divide="ignore", invalid="ignore"):
            is_low = highest(used) / lowest(hard) < _LEAST[0]
            is_high = lowest(used) / highest(hard) >= _LEAST[1]
        found.append(np.flatnonzero(~(is_low | is_high)) + part.start)
    return np.concatenate(found)
