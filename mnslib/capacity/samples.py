"""What the samples of many series say about themselves: first and last, gaps, zeros, changes.

Pure numpy over wide float32 frames, a few thousand series at a time, so that no second copy of the
whole is made. Knows nothing of namespaces or of what the figures mean.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.quota_values import SERIES_AT_ONCE, taken
from mnslib.capacity.snapshot import Values


def chunks(
    frame: pd.DataFrame, series: pd.MultiIndex, *, size: int = SERIES_AT_ONCE
) -> Iterator[tuple[slice, Values]]:
    """Yield the samples of `series` in parts: which of them, and times x series in float32.

    A series that the frame does not hold has no sample (NaN).
    """
    places = frame.columns.get_indexer(series)
    values = frame.to_numpy(dtype=np.float32, copy=False)
    for start in range(0, len(series), size):
        part = slice(start, min(start + size, len(series)))
        yield part, taken(values, places[part])


def sample_facts(values: Values) -> dict[str, NDArray[np.int64]]:
    """Return what each column of `values` (times x series, NaN without a sample) has.

    Returns:
        `seen`: samples; `first`, `last`: row of the first and last, -1 without any; `gap_steps`:
        rows of the longest gap after the first sample, `gap_start` its first row (of equal ones
        the earliest; it may reach the end).
    """
    total, count = values.shape
    zeros = np.zeros(count, dtype=np.int64)
    torn = with_gaps(values)
    facts = {
        "seen": zeros + total, "first": zeros - (total == 0), "last": zeros + total - 1,
        "gap_steps": zeros, "gap_start": zeros.copy(),
    }  # fmt: skip
    if len(torn):
        known = ~np.isnan(values[:, torn])
        seen = known.sum(axis=0)
        facts["seen"][torn] = seen
        facts["first"][torn] = np.where(seen, known.argmax(axis=0), -1)
        facts["last"][torn] = np.where(seen, total - 1 - known[::-1].argmax(axis=0), -1)
        late = np.flatnonzero((seen > 0) & (seen < total - facts["first"][torn]))
        steps, starts = _longest_gaps(known[:, late])
        facts["gap_steps"][torn[late]], facts["gap_start"][torn[late]] = steps, starts
    return facts


def is_all_zero(values: Values) -> NDArray[np.bool_]:
    """Return for each column whether it has samples and all are 0."""
    found: NDArray[np.bool_] = lowest(values) == 0
    found[found] = highest(values[:, found]) == 0
    return found


def with_gaps(values: Values) -> NDArray[np.int64]:
    """Return which columns miss a sample: what has all is most, and quickly done."""
    return np.flatnonzero(np.isnan(np.add.reduce(values, axis=0)))  # a sum with NaN is NaN


def _longest_gaps(known: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return length and first row of the longest gap behind a sample, of columns that have one."""
    total, columns = known.shape
    before = last_known(known)
    ends = np.vstack([known[1:], np.ones((1, columns), dtype=bool)])  # the end ends a gap as well
    rows = np.arange(total, dtype=np.int32)[:, None]
    length = np.where(ends & (before >= 0), rows - before, 0)
    at = length.argmax(axis=0)
    steps = np.take_along_axis(length, at[None, :], axis=0)[0].astype(np.int64)
    return steps, at.astype(np.int64) + 1 - steps


def last_known(known: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return for each row the last row up to it that has a sample, -1 where there is none."""
    rows = np.arange(len(known), dtype=np.int32)[:, None]
    return np.maximum.accumulate(np.where(known, rows, np.int32(-1)), axis=0)


def change_facts(values: Values) -> dict[str, NDArray[np.float64]]:
    """Return how often each column changes its value, gaps left out, and the last change.

    Returns:
        `changes`; `row` of the last change, -1 without one; `before` and `after`, NaN without one.
    """
    count = values.shape[1]
    facts = {
        "changes": np.zeros(count), "row": np.full(count, -1.0),
        "before": np.full(count, np.nan), "after": np.full(count, np.nan),
    }  # fmt: skip
    if len(values) < 2:
        return facts
    torn, filled = with_gaps(values), values
    if len(torn):
        filled, part = values.copy(), values[:, torn]
        last = last_known(~np.isnan(part))
        filled[:, torn] = np.take_along_axis(part, np.maximum(last, 0), axis=0)
    # NaN is left before the first sample, which is none to change from
    changed = (filled[1:] != filled[:-1]) & ~np.isnan(filled[:-1])
    facts["changes"] = changed.sum(axis=0).astype(np.float64)
    some = np.flatnonzero(facts["changes"])
    rows = len(values) - 1 - changed[::-1, some].argmax(axis=0)
    facts["row"][some] = rows
    facts["before"][some] = filled[rows - 1, some]
    facts["after"][some] = filled[rows, some]
    return facts


def highest(values: Values) -> Values:
    """Return the highest sample of each column; NaN for one without a sample."""
    found: Values = np.fmax.reduce(values, axis=0, initial=np.nan)
    return found


def lowest(values: Values) -> Values:
    """Return the lowest sample of each column; NaN for one without a sample."""
    found: Values = np.fmin.reduce(values, axis=0, initial=np.nan)
    return found
