"""Samples of many series: in the order of a table's rows, and each against its own quota.

Pure numpy over float32 arrays (times x series, NaN without a sample), a few thousand series at a
time where a copy is needed; all tables read samples in this one way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SERIES_AT_ONCE = 4096
"""Series worked on together: a month of hours of them is 12 MB, which two caches hold. Ours."""

FLOAT32_NOISE = 1e-6
"""Share by which a sample, kept in float32, may differ from what was counted."""

MOST = {"cpu": 5e6, "memory": 2e17}
"""Cores and bytes that no cluster has; a sample of more is none, such as a counter that fell below
0. Source: AKS, 5,000 nodes a cluster; Azure's largest sizes have under 1,000 cores and 32 TiB."""

MOST_WRITTEN = 2.0**63
"""Source: Kubernetes, "Quantity": no number is above 2^63 - 1."""

Values = NDArray[np.float32]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


def most_of(kind: str, name: str) -> float:
    """Return the largest sample that can be true of what `name` says is CPU or memory.

    Args:
        kind: of the samples; a `hard` quota may be as large as Kubernetes can write.
    """
    return MOST_WRITTEN if kind == "hard" else MOST["memory" if "memory" in name else "cpu"]


def possible(values: Values, most: Any) -> Flags:
    """Return which samples can be true: neither missing nor infinite, from 0 to the largest."""
    found: Flags = (values >= 0) & (values <= most)
    return found


def in_order(frame: pd.DataFrame, series: pd.MultiIndex, times: pd.Index) -> pd.DataFrame:
    """Return a frame with exactly these columns and times; copies only where it has others."""
    frame = frame if frame.index.equals(times) else frame.reindex(times)
    values, count = frame.to_numpy(dtype=np.float32, copy=False), frame.shape[1]
    places = frame.columns.get_indexer(series) if count else np.arange(0)
    if not count:
        values = np.full((len(times), len(series)), np.nan, dtype=np.float32)
    elif not np.array_equal(places, np.arange(count)):
        values = values.take(places, axis=1, mode="clip")  # twice as fast as with bounds checked
        values[:, places < 0] = np.nan
    return pd.DataFrame(values, index=times, columns=series, copy=False)


def chunks(count: int) -> Iterator[slice]:
    """Yield the places of so many columns, a few thousand at a time: see `SERIES_AT_ONCE`."""
    for start in range(0, count, SERIES_AT_ONCE):
        yield slice(start, min(start + SERIES_AT_ONCE, count))


def parts(places: Places) -> Iterator[Places]:
    """Yield so many places at a time that their samples stay in the caches."""
    return (places[part] for part in chunks(len(places)))


def times_of(frame: pd.DataFrame) -> NDArray[np.datetime64]:
    """Return the times of a frame's rows, in UTC and without a zone, as numpy compares them."""
    return pd.DatetimeIndex(frame.index).tz_localize(None).to_numpy(dtype="datetime64[ns]")


def highest(values: Values) -> Values:
    """Return the highest sample of each column; NaN for one without a sample."""
    found: Values = np.fmax.reduce(values, axis=0, initial=np.nan)
    return found


def lowest(values: Values) -> Values:
    """Return the lowest sample of each column; NaN for one without a sample."""
    found: Values = np.fmin.reduce(values, axis=0, initial=np.nan)
    return found


def last_known(known: Flags) -> NDArray[np.int32]:
    """Return for each row the last row up to it that has a sample, -1 where there is none."""
    rows = np.arange(len(known), dtype=np.int32)[:, None]
    return np.maximum.accumulate(np.where(known, rows, np.int32(-1)), axis=0)


def changes(hard: Values) -> tuple[Places, Places, Values]:
    """Return where a hard quota is another than in the sample before it, gaps left out.

    Returns:
        Column and row of each such sample, by column and time, and the value before it.
    """
    some = np.flatnonzero(highest(hard) > lowest(hard))  # few change at all
    filled = pd.DataFrame(hard[:, some]).ffill().to_numpy()
    is_new = (filled[1:] != filled[:-1]) & ~np.isnan(filled[:-1])
    columns, rows = np.nonzero(is_new.T)
    return some[columns], rows + 1, filled[rows, columns]


def against_quota(used: Values, hard: Values) -> tuple[Values, Values, Values]:
    """Return `used`, `hard` and their ratio, each step held against the quota it was used under.

    Of a step `used` is the highest and `hard` the last. What was used at the end of one in which
    the quota was lowered is no more than the highest of the next step; what was used before may
    have been under the quota before: the fuller of these two stays. Over a hard quota of 0 the
    ratio is infinite, and 0 where nothing is used.
    """
    rows, columns = np.nonzero(hard[1:] < hard[:-1])
    if len(rows):
        used, hard, rows = used.copy(), hard.copy(), rows + 1
        before, then, most = hard[rows - 1, columns], hard[rows, columns], used[rows, columns]
        later = used[np.minimum(rows + 1, len(used) - 1), columns]
        kept = np.minimum(most, np.where(np.isnan(later), most, later))
        is_before = most * then > kept * before
        used[rows, columns] = np.where(is_before, most, kept)
        hard[rows, columns] = np.where(is_before, before, then)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Values = used / hard
    ratio[(hard == 0) & (used == 0)] = 0
    return used, hard, ratio
