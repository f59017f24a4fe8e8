"""What samples say about themselves, which of them cannot be true, and the series without those.

A sensor that dies leaves zeros behind: a counter at 0 while pods ask for more, memory at 0 while
they run. Such a step is no sample. `evidence` says where they are, `cleaned` makes gaps of them,
and whoever reads a `CleanSnapshot` knows nothing of it. Pure numpy over wide float32 frames, a few
thousand series at a time, so that no second copy of the whole is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.evidence_words import USAGE_FIELDS
from mnslib.capacity.quota_values import SERIES_AT_ONCE, SPACE, samples_of, series_of, taken
from mnslib.capacity.snapshot import CleanSnapshot, Snapshot, Values
from mnslib.models import QUOTA_FIELDS

Flags = NDArray[np.bool_]
Found = tuple[NDArray[np.int64], Flags]
"""The few columns that may have untrue zeros, and their steps x these columns."""

_NONE = np.empty(0, dtype=np.int64)


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


def against_quota(
    snapshot: CleanSnapshot, series: pd.MultiIndex
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


class Span(NamedTuple):
    """The ends of the first and of the last step of a run of untrue zeros."""

    first: pd.Timestamp
    last: pd.Timestamp

    def __str__(self) -> str:
        """Return an ISO 8601 interval."""
        return f"{self.first:%Y-%m-%dT%H:%M:%SZ}/{self.last:%Y-%m-%dT%H:%M:%SZ}"


def cleaned(snapshot: Snapshot, evidence: pd.DataFrame) -> CleanSnapshot:
    """Return the snapshot without the samples that `evidence` says cannot be true: they are NaN.

    Where a counter is untrue, a hard quota of 0 beside it is so as well.
    """
    rows = evidence[evidence["untrue_zeros"].map(bool).astype(bool)]
    counters = rows[rows["resource"].isin(QUOTA_FIELDS)]
    found = dict.fromkeys(("used", "hard"), (counters, series_of(counters)))
    for name, field in zip(("usage_cpu", "usage_memory"), USAGE_FIELDS, strict=True):
        own = rows[rows["resource"] == field]
        found[name] = own, pd.MultiIndex.from_frame(own[SPACE])
    frames = {
        name: _without(getattr(snapshot, name), series, own["untrue_zeros"])
        for name, (own, series) in found.items()
    }
    return CleanSnapshot.of(snapshot, **frames)


def _without(
    frame: pd.DataFrame, series: pd.MultiIndex, untrue: Iterable[Sequence[Span]]
) -> pd.DataFrame:
    """Return a wide frame without the untrue zeros of some series."""
    if series.empty:
        return frame
    values, times = frame.to_numpy(dtype=np.float32, copy=True), frame.index
    for place, spans in zip(frame.columns.get_indexer(series), untrue, strict=True):
        for span in spans if place >= 0 else ():
            end = times.searchsorted(span.last, side="right")
            part = values[times.searchsorted(span.first) : end, place]
            part[part == 0] = np.nan
    return pd.DataFrame(values, index=times, columns=frame.columns, copy=False)


def _spans(steps: Flags, times: pd.DatetimeIndex) -> tuple[Span, ...]:
    """Return the runs of true `steps` of one series."""
    return tuple(Span(times[first], times[end - 1]) for first, end in _runs(steps))


def counters_untrue(snapshot: Snapshot, series: pd.MultiIndex, used: Values) -> Found:
    """Return at which steps a quota counter is 0 while pods ask for more of the same resource.

    What has ended is still asked for as long as it is listed, but counts in no quota. So a zero is
    true where containers of the cluster are seen in a step, and none of this namespace.

    Args:
        snapshot: what was read.
        series: columns of `snapshot.used`.
        used: their samples, times x series.
    """
    some = _with_zeros(used) if snapshot.requested.shape[1] else _NONE
    if not len(some):
        return some, np.empty((len(used), 0), dtype=bool)
    names = [series.take(some).get_level_values(level) for level in range(3)]
    keys = names[2].str.replace("limits.", "requests.", regex=False)
    spaces = pd.MultiIndex.from_arrays(names[:2])
    found = (used[:, some] == 0) & (_asked(snapshot.requested, spaces, keys) > 0)
    doubted = np.flatnonzero(found.any(axis=0))
    found = found[:, doubted]
    if len(doubted):
        found &= ~_at_rest(snapshot, spaces.take(doubted))
    return some[doubted], found


def usage_untrue(
    snapshot: Snapshot, spaces: pd.MultiIndex, usage: Values, *, least: int = 1
) -> Found:
    """Return at which steps nothing is used while pods ask for something or a quota counts them.

    Args:
        snapshot: what was read.
        spaces: columns of `snapshot.usage_cpu` or `usage_memory`.
        usage: their samples, times x namespaces.
        least: steps that zeros have to last.
    """
    some = _with_zeros(usage)
    runs = np.zeros((len(usage), len(some)), dtype=bool)
    for name in ("requests.cpu", "requests.memory") if len(some) else ():
        for frame in (snapshot.requested, snapshot.used):
            runs |= _asked(frame, spaces.take(some), pd.Index([name] * len(some))) > 0
    found = (usage[:, some] == 0) & runs
    for steps in found.T:
        for first, end in _runs(steps):
            steps[first:end] = end - first >= least
    return some, found


def true_facts(values: Values, found: Found, times: pd.DatetimeIndex) -> pd.DataFrame:
    """Return what `values` say once the untrue zeros `found` in them are forgotten.

    Returns:
        `sample_facts`; `is_zero`; `untrue_zeros`; `late_untrue` and `gap_untrue`, the share of
        these in what follows the last sample and in the longest gap. Where all is zero, none is
        forgotten.
    """
    is_zero = is_all_zero(values)
    untrue = np.empty(values.shape[1], dtype=object)
    untrue.fill(())
    late, gap = (np.zeros(values.shape[1]) for _ in range(2))
    torn, begun = {}, []
    for place, steps in zip(found[0], found[1].T, strict=True):
        untrue[place] = _spans(steps, times)
        if untrue[place] and not is_zero[place]:
            torn[place] = steps
            first = (~np.isnan(values[:, place])).argmax()
            values[steps, place] = np.nan
            if steps[first]:
                values[first, place] = 0  # stands for the sample that a gap comes after
                begun.append(place)
    facts = sample_facts(values)
    facts["seen"][begun] -= 1
    for place, steps in torn.items():
        start, length = facts["gap_start"][place], facts["gap_steps"][place]
        late[place] = _share(steps[facts["last"][place] + 1 :])
        gap[place] = _share(steps[start : start + length])
    more = {"is_zero": is_zero, "untrue_zeros": untrue, "late_untrue": late, "gap_untrue": gap}
    return pd.DataFrame(facts | more)


def _share(flags: Flags) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _with_zeros(values: Values) -> NDArray[np.int64]:
    return np.flatnonzero(lowest(values) == 0)


def _asked(frame: pd.DataFrame, spaces: pd.MultiIndex, keys: pd.Index) -> Values:
    names = [spaces.get_level_values(level) for level in (0, 1)]
    return samples_of(frame, pd.MultiIndex.from_arrays([*names, keys]))


def _at_rest(snapshot: Snapshot, spaces: pd.MultiIndex) -> Flags:
    """Return at which steps no container of a namespace is seen, while others of its cluster are.

    A cluster whose use is not measured says nothing.
    """
    frames = [one for one in (snapshot.usage_cpu, snapshot.usage_memory) if one.shape[1]]
    is_quiet = np.ones((len(snapshot.used), len(spaces)), dtype=bool)
    for frame in frames:
        is_quiet &= np.isnan(samples_of(frame, spaces))
    clusters = spaces.get_level_values(0)
    for cluster in clusters.unique():
        is_seen = np.zeros(len(snapshot.used), dtype=bool)
        for frame in frames:
            of_it = np.flatnonzero(frame.columns.get_level_values(0) == cluster)
            is_seen |= ~np.isnan(frame.to_numpy(copy=False)[:, of_it]).all(axis=1)
        is_quiet[np.ix_(~is_seen, clusters == cluster)] = False
    return is_quiet


def _runs(steps: Flags) -> Iterator[tuple[int, int]]:
    """Yield of each run of true steps its first, and the one behind it."""
    edges = np.diff(steps.astype(np.int8), prepend=0, append=0)
    yield from zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
