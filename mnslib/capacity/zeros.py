"""Zeros that cannot be true: a counter at 0 while pods ask for more, memory at 0 while they run.

A sensor that dies leaves them behind. Such a step is no sample: `evidence` says where they are, and
whoever reads samples makes a gap of them with `forget`. Pure numpy over wide frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.quota_values import SPACE, names_of, samples_of
from mnslib.capacity.samples import is_all_zero, lowest, sample_facts
from mnslib.capacity.snapshot import Snapshot, Values
from mnslib.models import QUOTA_KEYS

Flags = NDArray[np.bool_]
Found = tuple[NDArray[np.int64], Flags]
"""The few columns that may have untrue zeros, and their steps x these columns."""

_NONE = np.empty(0, dtype=np.int64)


class Span(NamedTuple):
    """The ends of the first and of the last step of a run of untrue zeros."""

    first: pd.Timestamp
    last: pd.Timestamp

    def __str__(self) -> str:
        """Return an ISO 8601 interval."""
        return f"{self.first:%Y-%m-%dT%H:%M:%SZ}/{self.last:%Y-%m-%dT%H:%M:%SZ}"


Untrue = Mapping[tuple[str, ...], tuple[Span, ...]]
"""By series, for those few that have any."""


def untrue_counters(evidence: pd.DataFrame) -> Untrue:
    """Return the untrue zeros of quota counters, by the names of their columns."""
    rows = _rows_with_zeros(evidence)
    rows = rows[rows["resource"].isin(QUOTA_KEYS)]
    keys = rows.assign(resource=rows["resource"].map(QUOTA_KEYS))
    series = names_of(keys, *SPACE, "resource")
    return dict(zip(series, rows["untrue_zeros"], strict=True))


def untrue_usage(evidence: pd.DataFrame, field: str) -> Untrue:
    """Return the untrue zeros of a field of `USAGE_FIELDS`, by the names of their columns."""
    rows = _rows_with_zeros(evidence)
    rows = rows[rows["resource"] == field]
    return dict(zip(names_of(rows), rows["untrue_zeros"], strict=True))


def _rows_with_zeros(evidence: pd.DataFrame) -> pd.DataFrame:
    return evidence.loc[np.fromiter(map(bool, evidence["untrue_zeros"]), dtype=bool)]


def forget(values: Values, series: pd.MultiIndex, times: pd.Index, *, untrue: Untrue) -> Values:
    """Return `values` (times x series), in which untrue zeros have become NaN.

    Where a counter is untrue, a hard quota of 0 beside it is so as well.
    """
    if not untrue:
        return values
    places = np.flatnonzero(series.isin(list(untrue)))
    for place, name in zip(places, series.take(places), strict=True):
        for span in untrue[name]:
            end = times.searchsorted(span.last, side="right")
            part = values[times.searchsorted(span.first) : end, place]
            part[part == 0] = np.nan
    return values


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
