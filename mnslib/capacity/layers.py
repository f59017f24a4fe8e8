"""What is granted, asked for and used: the three layers of every quota, and what to do about them.

hard >= requested >= usage, each of one window, so that they can be compared. Pure: a snapshot and
its utilization table in, frames out; formulas with examples are in `docs/capacity.md`. NaN is
"unknown", enters no sum, and the row's `reason` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.advice import advice_of, regions
from mnslib.capacity.clusters import USAGE_QUANTILE, USAGE_WINDOW
from mnslib.capacity.evidence_words import LEAST_HISTORY, NO_PEAK
from mnslib.capacity.quota_values import NO_QUOTA, SPACE
from mnslib.capacity.samples import Flags, highest, taken
from mnslib.capacity.snapshot import CleanSnapshot, Values
from mnslib.capacity.utilization import ratio_now
from mnslib.verdicts import unknown_reason

LEAST_OF_DAY = 0.5
"""Share of a day's steps that a figure of that day needs. Our choice."""

NO_USAGE, DEAD_SENSOR = "no samples of use", "all zero: dead sensor"
TOO_SHORT = f"under {LEAST_HISTORY.days} days of samples"

LAYER_COLUMNS = (
    "cluster_name",
    "namespace_name",
    "resource",
    "hard",
    "requested",
    "usage",
    "peak_usage",
    "unrequested",
    "requested_unused",
    "idle",
    "bursting",
    "over_hard",
    "requested_ratio",
    "usage_ratio",
    "tightest_ratio",
    "region",
    "advice",
    "reason",
    "owner",
    "subscription_id",
    "labels",
)
PARTS = ("hard", "requested", "usage", "unrequested", "requested_unused", "idle", "bursting")
"""Amounts that are summed; by day, each over the same namespaces."""
DAY_COLUMNS = ("day", "resource", "measured", "left_out", *PARTS)

Floats = NDArray[np.float64]
Reasons = NDArray[np.object_]


def layers_table(
    snapshot: CleanSnapshot, table: pd.DataFrame, *, evidence: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per namespace and resource (`cpu`, `memory`), in that order.

    Args:
        snapshot: the reading that `table` was made from.
        table: from `utilization_table`.
        evidence: from `evidence_table`, of the same snapshot. What it calls unknown over the
            lookback is unknown here, with its reason.

    Returns:
        `LAYER_COLUMNS`, cores or bytes: `hard` as of now; `requested` and `usage` the
        `USAGE_QUANTILE` over `USAGE_WINDOW` of the steps that have both (`requested` is that of
        now where usage is unknown and its own samples are too few); `peak_usage` the highest of
        the window; the parts `unrequested`, `requested_unused` and usage up to the quota make up
        `hard`, and none is negative; `idle` is hard minus usage; `bursting` is usage above what
        is requested, `over_hard` what is requested above the quota; `requested_ratio` is
        requested over hard, `usage_ratio` usage over requested, `tightest_ratio` the fullest of
        requested over hard and of the resource's two quota values now; `region` is what the
        ratios of this resource say, `advice` what those of the namespace do, both empty where
        unknown; `reason` is why something is unknown, else empty.
    """
    spaces = pd.MultiIndex.from_frame(snapshot.namespaces[SPACE])
    rows = [
        _resource_layers(snapshot, table, spaces, resource=resource, evidence=evidence)
        for resource in ("cpu", "memory")
    ]
    layers = pd.concat(rows).sort_values([*SPACE, "resource"], kind="stable", ignore_index=True)
    layers["advice"] = advice_of(layers)["advice"]
    return layers[list(LAYER_COLUMNS)]


def layers_by_day(snapshot: CleanSnapshot, *, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return the sums of the layers for each UTC day of the history and each resource.

    Args:
        snapshot: what was read.
        evidence: as `layers_table` takes it; series whose samples are wrong enter no sum.

    Returns:
        `DAY_COLUMNS`: `day` (`datetime.date`), then sums over the `measured` namespaces, of which
        the layers of that day are known: the last `hard` of it, `USAGE_QUANTILE` of `requested`
        and `usage` over the steps that have both, at least `LEAST_OF_DAY` of them; `left_out` had
        a quota on that day or before, but no such figures.
    """
    spaces = pd.MultiIndex.from_frame(snapshot.namespaces[SPACE])
    times = _times(snapshot)
    stamps = times.tz_localize(None).to_numpy() - np.timedelta64(snapshot.step)
    days, starts = np.unique(stamps.astype("datetime64[D]"), return_index=True)
    ends = np.append(starts[1:], len(stamps))[: len(starts)]
    wrong = evidence[evidence["evidence"].isin(NO_PEAK)]
    rows: list[dict[str, object]] = []
    for resource in ("cpu", "memory"):
        series = _Series.of(snapshot, spaces, times, resource=resource)
        doubts = _doubts(wrong, spaces, resource)
        hard = np.full(len(spaces), np.nan)
        for day, first, end in zip(days, starts, ends, strict=True):
            found = series.between(int(first), int(end))
            granted = _last(found.hard)
            hard = np.where(np.isnan(granted), hard, granted)
            measured = _measured(found, least=ceil(int(end - first) * LEAST_OF_DAY), doubts=doubts)
            parts = parts_of(granted, measured.requested, measured.usage)
            is_whole = ~np.isnan(parts["unrequested"])
            counts = {"measured": is_whole.sum(), "left_out": (~np.isnan(hard) & ~is_whole).sum()}
            sums = {name: _sum(amounts[is_whole]) for name, amounts in parts.items()}
            rows.append({"day": day.item(), "resource": resource, **counts, **sums})
    by_day = pd.DataFrame(rows, columns=list(DAY_COLUMNS))
    return by_day.sort_values(["day", "resource"], ignore_index=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Samples:
    """Samples of one resource, times x namespaces; those of pods where no quota counts them."""

    clusters: NDArray[np.int64]
    hard: Values
    requested: Values
    usage: Values


class _Columns(NamedTuple):
    """Some series: the samples of a frame, and where each lies there; -1 for those that do not."""

    samples: Values
    places: NDArray[np.intp]

    def between(self, first: int, end: int) -> Values:
        """Return the samples of some steps."""
        return taken(self.samples[first:end], self.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """The series of one resource, whose samples are taken when they are asked for.

    What pods request stands for the counter of those that none counts, the `uncounted`.
    """

    clusters: NDArray[np.int64]
    hard: _Columns
    counted: _Columns
    requested: _Columns
    usage: _Columns
    uncounted: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        snapshot: CleanSnapshot,
        spaces: pd.MultiIndex,
        times: pd.DatetimeIndex,
        *,
        resource: str,
    ) -> _Series:
        key = pd.Index([f"requests.{resource}"] * len(spaces))
        series = pd.MultiIndex.from_arrays([*map(spaces.get_level_values, (0, 1)), key])
        usage = snapshot.usage_cpu if resource == "cpu" else snapshot.usage_memory
        counted = _at(snapshot.used, series, times)
        (most,) = taken(highest(counted.samples)[None, :], counted.places)
        uncounted = np.flatnonzero(np.isnan(most))
        return cls(
            clusters=pd.factorize(spaces.get_level_values(0))[0],
            hard=_at(snapshot.hard, series, times),
            counted=counted,
            requested=_at(snapshot.requested, series[uncounted], times),
            usage=_at(usage, spaces, times),
            uncounted=uncounted,
        )

    def between(self, first: int, end: int) -> _Samples:
        """Return the samples of some steps."""
        requested = self.counted.between(first, end)
        requested[:, self.uncounted] = self.requested.between(first, end)
        return _Samples(
            clusters=self.clusters,
            hard=self.hard.between(first, end),
            requested=requested,
            usage=self.usage.between(first, end),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What was requested and used over some steps; NaN where unknown, and why."""

    requested: Floats
    usage: Floats
    peak: Floats
    reason: NDArray[np.object_]


def _measured(samples: _Samples, *, least: int, doubts: tuple[Reasons, Reasons]) -> _Measured:
    """Return the quantiles of the steps with both samples; usage needs `least` of them."""
    has_use, has_request = ~np.isnan(samples.usage), ~np.isnan(samples.requested)
    counted, used = _count(has_request), _count(has_use)
    asked, most = (highest(one).astype(np.float64) for one in (samples.requested, samples.usage))
    doubted, unsure = doubts
    # A counter that says 0 all along, and no container where others are seen: nothing runs.
    seen = np.bincount(samples.clusters, weights=used, minlength=1) > 0
    is_still = (counted >= least) & (asked == 0) & (used == 0) & seen[samples.clusters]
    is_still &= doubted == ""
    both = has_use & has_request
    paired = _count(both) >= least
    reason = np.select(
        [is_still, unsure != "", doubted != "", used == 0, (most == 0) & ~(asked == 0), ~paired],
        ["", unsure, doubted, NO_USAGE, DEAD_SENSOR, TOO_SHORT],
        default="",
    ).astype(object)
    is_known = reason == ""
    own = _quantile(has_request & (has_use | ~(paired & is_known)), samples.requested)
    usage = _quantile(both, samples.usage)
    # float32 blurs the millicore it was counted in; Kubernetes knows none smaller.
    return _Measured(
        requested=np.where((counted >= least) & (doubted == ""), own, np.nan).round(3),
        usage=np.where(is_still, 0.0, np.where(is_known, usage, np.nan)).round(3),
        peak=np.where(is_still, 0.0, np.where(is_known, most, np.nan)).round(3),
        reason=reason,
    )


def _resource_layers(
    snapshot: CleanSnapshot,
    table: pd.DataFrame,
    spaces: pd.MultiIndex,
    *,
    resource: str,
    evidence: pd.DataFrame,
) -> pd.DataFrame:
    """Return the layers of one resource, the advice of the namespace left out."""
    figures = table[["resource", "hard", "used", "verdict"]].assign(_ratio=ratio_now(table))
    by_space = figures.set_index(pd.MultiIndex.from_frame(table[SPACE]))
    now, limits = (
        by_space[by_space["resource"] == f"{resource}_{kind}"].reindex(spaces)
        for kind in ("request", "limit")
    )
    times = _times(snapshot)
    recent = times[times > pd.Timestamp(snapshot.read_utc) - USAGE_WINDOW]
    series = _Series.of(snapshot, spaces, recent, resource=resource)
    doubts = _doubts(evidence, spaces, resource)
    samples, least = series.between(0, len(recent)), ceil(LEAST_HISTORY / snapshot.step)
    measured = _measured(samples, least=least, doubts=doubts)
    hard, counter = (now[name].to_numpy(dtype=np.float64) for name in ("hard", "used"))
    # Without usage beside it no window has to be shared, and the counter of now is the best known.
    is_stale = np.isnan(measured.requested) & np.isnan(measured.usage)
    requested = np.where(is_stale, counter, measured.requested)
    parts = parts_of(hard, requested, measured.usage)
    reason, unread = measured.reason, np.flatnonzero(np.isnan(hard))
    reason[unread] = [unknown_reason(verdict) for verdict in now["verdict"].iloc[unread]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = {"requested_ratio": requested / hard, "usage_ratio": measured.usage / requested}
    known = [by["_ratio"].where(by["_ratio"] >= 0) for by in (now, limits)]
    claims = np.vstack([ratios["requested_ratio"], *known])
    layers = pd.DataFrame(
        {
            **parts,
            **ratios,
            "peak_usage": measured.peak,
            "over_hard": np.maximum(requested - hard, 0),
            "tightest_ratio": np.where(np.isnan(hard), np.nan, np.fmax.reduce(claims)),
            "reason": reason,
            "resource": resource,
        }
    )
    layers["region"] = regions(layers)
    facts = snapshot.namespaces[[*SPACE, "owner", "subscription_id", "labels"]]
    return layers.join(facts.reset_index(drop=True))


def _doubts(
    evidence: pd.DataFrame, spaces: pd.MultiIndex, resource: str
) -> tuple[Reasons, Reasons]:
    """Return why what was requested and what was used is unknown; empty where nothing says so."""
    is_doubted = ~evidence["unknown_history"].isin(["", NO_QUOTA])
    found = []
    for kind in ("request", "usage"):
        rows = evidence[is_doubted & (evidence["resource"] == f"{resource}_{kind}")]
        reasons = [unknown_reason(verdict) or "" for verdict in rows["unknown_history"]]
        by_space = pd.Series(reasons, index=pd.MultiIndex.from_frame(rows[SPACE]), dtype=object)
        found.append(by_space.reindex(spaces, fill_value="").to_numpy(dtype=object))
    return found[0], found[1]


def parts_of(hard: Floats, requested: Floats, usage: Floats) -> dict[str, Floats]:
    """Return the amounts of `PARTS`; what is used beyond the claim is not free to promise."""
    return {
        "hard": hard,
        "requested": requested,
        "usage": usage,
        "unrequested": np.maximum(hard - np.maximum(requested, usage), 0),
        "requested_unused": np.maximum(np.minimum(requested, hard) - usage, 0),
        "idle": np.maximum(hard - usage, 0),
        "bursting": np.maximum(usage - requested, 0),
    }


def _times(snapshot: CleanSnapshot) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(max((snapshot.used.index, snapshot.usage_cpu.index), key=len))


def _at(frame: pd.DataFrame, series: pd.MultiIndex, times: pd.DatetimeIndex) -> _Columns:
    """Return `series` at `times`."""
    rows = frame.index.get_indexer(times)
    if len(rows) and rows[0] >= 0 and (np.diff(rows) == 1).all():  # a slice copies nothing
        frame = frame.iloc[rows[0] : rows[-1] + 1]
    else:
        frame = frame.reindex(times)
    values = frame.to_numpy(dtype=np.float32, copy=False)
    return _Columns(values, frame.columns.get_indexer(series))


def _quantile(wanted: Flags, samples: Values) -> Floats:
    """Return `USAGE_QUANTILE` of each column's wanted samples, linearly between two of them."""
    if not len(samples):
        return np.full(samples.shape[1], np.nan)
    ordered = np.sort(np.where(wanted, samples, np.float32(np.inf)), axis=0)
    counts = _count(wanted)
    last = np.maximum(counts - 1, 0)
    place = USAGE_QUANTILE * last
    low = np.floor(place).astype(np.int64)
    at = np.arange(samples.shape[1])
    ends = (ordered[rows, at].astype(np.float64) for rows in (low, np.minimum(low + 1, last)))
    below, above = (np.where(counts, end, np.nan) for end in ends)
    found: Floats = below + (above - below) * (place - low)
    return found


def _count(flags: Flags) -> NDArray[np.int32]:
    counts: NDArray[np.int32] = flags.sum(axis=0, dtype=np.int32)
    return counts


def _last(samples: Values) -> Floats:
    """Return the last sample of each column, NaN where there is none."""
    last = np.full(samples.shape[1], np.nan)
    for values in samples:
        np.copyto(last, values, where=~np.isnan(values))
    return last


def _sum(amounts: Floats) -> float:
    return float(amounts.sum()) if len(amounts) else float("nan")
