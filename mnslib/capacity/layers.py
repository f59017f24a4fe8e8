"""What is granted, asked for and used: the three layers of every quota, by day, and summed.

hard >= requested >= usage, each of one window, so that they can be compared. Pure: a snapshot and
its utilization table in, frames out; formulas with examples are in `docs/capacity.md`. NaN is
"unknown", enters no sum and is counted, and the row's `reason` says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain, count
from math import ceil
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.advice import advised, regions
from mnslib.capacity.clusters import USAGE_QUANTILE, USAGE_WINDOW
from mnslib.capacity.evidence_words import LEAST_HISTORY, NO_PEAK
from mnslib.capacity.quota_values import BARE, NO_QUOTA, SPACE
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

SUM_COLUMNS = (
    "resource",
    "namespaces",
    "measured",
    "left_out",
    "without_quota",
    "hard",
    "measured_hard",
    *PARTS[1:],
    "requested_ratio",
    "usage_ratio",
    "idle_ratio",
    "requested_without_quota",
    "usage_without_quota",
)
_PLACES = ("cluster_name", "namespace_name", "owner", "subscription_id")
_SUMMED = ("requested", "usage")

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
    advice = advised(layers).set_index(SPACE)["advice"]
    return layers.join(advice, on=SPACE)[list(LAYER_COLUMNS)]


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
        series = _Resource(snapshot, spaces, times, resource=resource, evidence=wrong)
        hard = np.full(len(spaces), np.nan)
        for day, first, end in zip(days, starts.tolist(), ends.tolist(), strict=True):
            granted = series.granted(first, end)
            hard = np.where(np.isnan(granted), hard, granted)
            measured = series.measured(first, end, least=ceil((end - first) * LEAST_OF_DAY))
            parts = parts_of(granted, measured.requested, measured.usage)
            is_whole = ~np.isnan(parts["unrequested"])
            counts = {"measured": is_whole.sum(), "left_out": (~np.isnan(hard) & ~is_whole).sum()}
            sums = {name: _sum(amounts[is_whole]) for name, amounts in parts.items()}
            rows.append({"day": day.item(), "resource": resource, **counts, **sums})
    by_day = pd.DataFrame(rows, columns=list(DAY_COLUMNS))
    return by_day.sort_values(["day", "resource"], ignore_index=True)


class _Measured(NamedTuple):
    """What was requested and used over some steps; NaN where unknown, and why."""

    requested: Floats
    usage: Floats
    peak: Floats
    reason: Reasons


class _Resource:
    """The series of one resource, of which samples are taken when they are asked for.

    What pods request stands for the counter of the namespaces that none counts.
    """

    def __init__(
        self,
        snapshot: CleanSnapshot,
        spaces: pd.MultiIndex,
        times: pd.DatetimeIndex,
        *,
        resource: str,
        evidence: pd.DataFrame,
    ) -> None:
        key = pd.Index([f"requests.{resource}"] * len(spaces))
        series = pd.MultiIndex.from_arrays([*map(spaces.get_level_values, (0, 1)), key])
        usage = snapshot.usage_cpu if resource == "cpu" else snapshot.usage_memory
        self._clusters = pd.factorize(spaces.get_level_values(0))[0]
        self._hard = _at(snapshot.hard, series, times)
        self._counted = _at(snapshot.used, series, times)
        self._usage = _at(usage, spaces, times)
        values, places = self._counted
        (most,) = taken(highest(values)[None, :], places)
        self._uncounted = np.flatnonzero(np.isnan(most))
        self._asked = _at(snapshot.requested, series[self._uncounted], times)
        self._doubts = [
            _doubts(evidence, spaces, f"{resource}_{kind}") for kind in ("request", "usage")
        ]

    def granted(self, first: int, end: int) -> Floats:
        """Return the last hard quota of some steps, NaN where there is none."""
        last = np.full(len(self._clusters), np.nan)
        for values in _taken(self._hard, first, end):
            np.copyto(last, values, where=~np.isnan(values))
        return last

    def measured(self, first: int, end: int, *, least: int) -> _Measured:
        """Return the quantiles of the steps with both samples; usage needs `least` of them."""
        usage, requested = (_taken(one, first, end) for one in (self._usage, self._counted))
        requested[:, self._uncounted] = _taken(self._asked, first, end)
        doubted, unsure = self._doubts
        has_use, has_request = ~np.isnan(usage), ~np.isnan(requested)
        counted, used = _count(has_request), _count(has_use)
        asked, most = (highest(one).astype(np.float64) for one in (requested, usage))
        # A counter that says 0 all along, and no container where others are seen: nothing runs.
        seen = np.bincount(self._clusters, weights=used, minlength=1) > 0
        is_still = (counted >= least) & (asked == 0) & (used == 0) & seen[self._clusters]
        is_still &= doubted == ""
        both = has_use & has_request
        paired = _count(both) >= least
        is_dead = (most == 0) & ~(asked == 0)
        reason = np.select(
            [is_still, unsure != "", doubted != "", used == 0, is_dead, ~paired],
            ["", unsure, doubted, NO_USAGE, DEAD_SENSOR, TOO_SHORT],
            default="",
        ).astype(object)
        is_known = reason == ""
        own = _quantile(has_request & (has_use | ~(paired & is_known)), requested)

        def known(amounts: Floats) -> Floats:
            return np.where(is_still, 0.0, np.where(is_known, amounts, np.nan)).round(3)

        # float32 blurs the millicore it was counted in; Kubernetes knows none smaller.
        return _Measured(
            requested=np.where((counted >= least) & (doubted == ""), own, np.nan).round(3),
            usage=known(_quantile(both, usage)),
            peak=known(most),
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
    series = _Resource(snapshot, spaces, recent, resource=resource, evidence=evidence)
    measured = series.measured(0, len(recent), least=ceil(LEAST_HISTORY / snapshot.step))
    hard, counter = (now[name].to_numpy(dtype=np.float64) for name in ("hard", "used"))
    # Without usage beside it no window has to be shared, and the counter of now is the best known.
    is_stale = np.isnan(measured.requested) & np.isnan(measured.usage)
    requested = np.where(is_stale, counter, measured.requested)
    reason, unread = measured.reason, np.flatnonzero(np.isnan(hard))
    reason[unread] = [unknown_reason(verdict) for verdict in now["verdict"].iloc[unread]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = {"requested_ratio": requested / hard, "usage_ratio": measured.usage / requested}
    known = [by["_ratio"].where(by["_ratio"] >= 0) for by in (now, limits)]
    fullest = np.fmax.reduce(np.vstack([ratios["requested_ratio"], *known]))
    layers = pd.DataFrame(
        {
            **parts_of(hard, requested, measured.usage),
            **ratios,
            "peak_usage": measured.peak,
            "over_hard": np.maximum(requested - hard, 0),
            "tightest_ratio": np.where(np.isnan(hard), np.nan, fullest),
            "reason": reason,
            "resource": resource,
        }
    )
    layers["region"] = regions(layers)
    facts = snapshot.namespaces[[*SPACE, "owner", "subscription_id", "labels"]]
    return layers.join(facts.reset_index(drop=True))


def _doubts(evidence: pd.DataFrame, spaces: pd.MultiIndex, field: str) -> Reasons:
    """Return why the history of one value is unknown; empty where nothing says so."""
    is_doubted = ~evidence["unknown_history"].isin(["", NO_QUOTA])
    rows = evidence[is_doubted & (evidence["resource"] == field)]
    reasons = [unknown_reason(verdict) or "" for verdict in rows["unknown_history"]]
    by_space = pd.Series(reasons, index=pd.MultiIndex.from_frame(rows[SPACE]), dtype=object)
    return by_space.reindex(spaces, fill_value="").to_numpy(dtype=object)


def parts_of(hard: Floats, requested: Floats, usage: Floats) -> dict[str, Floats]:
    """Return the amounts of `PARTS`; what is used beyond the request is not free to commit."""
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


def _at(
    frame: pd.DataFrame, series: pd.MultiIndex, times: pd.DatetimeIndex
) -> tuple[Values, NDArray[np.intp]]:
    """Return the samples of a frame at `times`, and where each of `series` lies there or -1."""
    rows = frame.index.get_indexer(times)
    if len(rows) and rows[0] >= 0 and (np.diff(rows) == 1).all():  # a slice copies nothing
        frame = frame.iloc[rows[0] : rows[-1] + 1]
    else:
        frame = frame.reindex(times)
    return frame.to_numpy(dtype=np.float32, copy=False), frame.columns.get_indexer(series)


def _taken(series: tuple[Values, NDArray[np.intp]], first: int, end: int) -> Values:
    values, places = series
    return taken(values[first:end], places)


def _quantile(wanted: Flags, samples: Values) -> Floats:
    """Return `USAGE_QUANTILE` of each column's wanted samples, linearly between two of them.

    `np.nanquantile` takes twenty times as long.
    """
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


def _sum(amounts: Floats) -> float:
    return float(amounts.sum()) if len(amounts) else float("nan")


# Summed by owner, cluster, subscription or a label


def roll_up(layers: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the sums of the layers by a column of `layers` or a label of the namespaces.

    Returns:
        `by` and `SUM_COLUMNS`, one row per value (empty: without that label) and resource. `hard`
        is the sum of all quotas that are known, those of `namespaces`; all other amounts are sums
        over the `measured` of them, whose three layers are known and whose quotas add up to
        `measured_hard`. `left_out` have a quota that is not known, `without_quota` none, and what
        the latter request and use stands apart. The ratios are over what was measured. Order:
        most idle CPU first, then name.
    """
    groups = layers[by] if by in _PLACES else label_values(layers["labels"], by)
    return _sums(layers, groups, by)


def _sums(layers: pd.DataFrame, groups: pd.Series[str], by: str) -> pd.DataFrame:
    by = f"label {by}" if by in SUM_COLUMNS else by
    is_whole, is_bare = layers["reason"] == "", layers["reason"] == BARE
    is_granted = layers["hard"].notna() & ~is_bare
    counts = {"namespaces": is_granted, "measured": is_whole}
    counts |= {"left_out": ~is_granted & ~is_bare, "without_quota": is_bare}
    wanted = {name: layers[name].where(is_whole) for name in PARTS}
    wanted |= {"hard": layers["hard"].where(is_granted), "measured_hard": wanted["hard"]}
    wanted |= {f"{name}_without_quota": layers[name].where(is_bare) for name in _SUMMED}
    keys = [groups.rename(by), layers["resource"]]
    sums = pd.DataFrame(wanted).groupby(keys).sum(min_count=1)
    sums = sums.join(pd.DataFrame(counts).groupby(keys).sum().astype("int64")).reset_index()
    sums["requested_ratio"] = sums["requested"] / sums["measured_hard"]
    sums["usage_ratio"] = sums["usage"] / sums["requested"]
    sums["idle_ratio"] = sums["idle"] / sums["measured_hard"]
    idle = sums[sums["resource"] == "cpu"].set_index(by)["idle"]
    order = sums.assign(_idle=sums[by].map(idle)).sort_values(
        ["_idle", by, "resource"], ascending=[False, True, True]
    )
    return order[[by, *SUM_COLUMNS]].reset_index(drop=True)


def roll_ups(layers: pd.DataFrame, labels: Iterable[str] = ()) -> dict[str, pd.DataFrame]:
    """Return the sums by owner, cluster, subscription and each of `labels`, by table name.

    Labels whose names are one as names of files (`a/b`, `A_b`) are told apart by a number.
    """
    columns = {"by_owner": "owner", "by_cluster": "cluster_name"}
    columns |= {"by_subscription": "subscription_id"}
    tables = {name: roll_up(layers, column) for name, column in columns.items()}
    for label in dict.fromkeys(labels):
        name = f"by_{re.sub('[^A-Za-z0-9.-]', '_', label)}"
        names = chain([name], (f"{name}_{number}" for number in count(2)))
        known = {table.lower() for table in tables}
        free = next(name for name in names if name.lower() not in known)
        tables[free] = _sums(layers, label_values(layers["labels"], label), label)
    return tables


def absent_labels(layers: pd.DataFrame, labels: Iterable[str]) -> list[str]:
    """Return those of `labels` that no namespace has."""
    return [
        label
        for label in dict.fromkeys(labels)
        if not layers["labels"].str.contains(rf"(?:^|,){re.escape(label)}=").any()
    ]


def label_values(labels: pd.Series[str], label: str) -> pd.Series[str]:
    """Return the value of one label in each text of labels; empty where it is missing."""
    return labels.str.extract(rf"(?:^|,){re.escape(label)}=([^,]*)", expand=False).fillna("")
