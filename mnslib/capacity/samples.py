"""Samples of many series: where they lie in a wide frame, in parts, and against their quota.

Pure numpy over wide float32 frames (times x series, NaN without a sample), a few thousand series at
a time, so that no second copy of the whole is made; all tables read samples in this one way.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.snapshot import Snapshot, Values
from mnslib.models import QUOTA_KEYS

SERIES_AT_ONCE = 4096
"""Series worked on together: a month of hours of them is 12 MB, which two caches hold. Ours."""

Flags = NDArray[np.bool_]


def series_of(table: pd.DataFrame) -> pd.MultiIndex:
    """Return the column that each row on a quota field has in `used` and `hard`."""
    return pd.MultiIndex.from_arrays(
        [table["cluster_name"], table["namespace_name"], table["resource"].map(QUOTA_KEYS)]
    )


def samples_of(frame: pd.DataFrame, series: pd.MultiIndex) -> Values:
    """Return the columns of `frame` in the order of `series`; NaN where there is none."""
    return taken(frame.to_numpy(dtype=np.float32, copy=False), frame.columns.get_indexer(series))


def taken(values: Values, places: NDArray[np.intp]) -> Values:
    """Return a copy of some columns of `values`; NaN where the place is -1."""
    if values.shape[1] == 0:
        return np.full((len(values), len(places)), np.nan, dtype=np.float32)
    found = values.take(places, axis=1, mode="clip")  # twice as fast as with bounds checked
    found[:, places < 0] = np.nan
    return found


def chunks(frame: pd.DataFrame, series: pd.MultiIndex) -> Iterator[tuple[slice, Values]]:
    """Yield the samples of `series` in parts: which of them, and what `samples_of` returns."""
    places = frame.columns.get_indexer(series)
    values = frame.to_numpy(dtype=np.float32, copy=False)
    for start in range(0, len(series), SERIES_AT_ONCE):
        part = slice(start, min(start + SERIES_AT_ONCE, len(series)))
        yield part, taken(values, places[part])


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


def against_quota(
    snapshot: Snapshot, series: pd.MultiIndex
) -> Iterator[tuple[slice, Values, Values, Values]]:
    """Yield `used`, `hard` and their ratio of `series` in parts, as `chunks` does.

    Each step is held against the quota that it was used under. Over a hard quota of 0 the ratio is
    infinite, and 0 where nothing is used.
    """
    for (part, used), (_, hard) in zip(
        chunks(snapshot.used, series), chunks(snapshot.hard, series), strict=True
    ):
        _hold_against_their_quota(used, hard)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Values = used / hard
        ratio[(hard == 0) & (used == 0)] = 0
        yield part, used, hard, ratio


def _hold_against_their_quota(used: Values, hard: Values) -> None:
    """Change the steps in which a quota was lowered, so that nothing is held against a later one.

    Of a step `used` is the highest and `hard` the last. What was used at its end is no more than
    the highest of the next step; what was used before may have been under the quota before. The
    fuller of these two stays, in both arrays (times x series).
    """
    rows, columns = np.nonzero(hard[1:] < hard[:-1])
    rows += 1
    before, then, most = hard[rows - 1, columns], hard[rows, columns], used[rows, columns]
    later = used[np.minimum(rows + 1, len(used) - 1), columns]
    kept = np.minimum(most, np.where(np.isnan(later), most, later))
    is_before = most * then > kept * before
    used[rows, columns] = np.where(is_before, most, kept)
    hard[rows, columns] = np.where(is_before, before, then)
