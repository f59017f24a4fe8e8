"""What the metrics remember of one cluster: quotas, requests, measured use, and when peaks fell.

The endpoint may be Azure Monitor managed Prometheus or any other; the client that is given knows
which. Peaks are the server's `max_over_time`: samples an hour apart would miss them.

A range query over any length of time is sent in parts that respect the endpoint's limits. How many
series it reads is counted first, so that a part stays below them by construction; one that is
refused for its size all the same is halved. A part is small enough that its JSON is no second copy
of everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, islice
from math import ceil, inf
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from mnslib.capacity import promql
from mnslib.capacity.promql import ClusterNames, RangeQuery
from mnslib.capacity.quota_values import names_of
from mnslib.capacity.samples import FLOAT32_NOISE, most_of, possible
from mnslib.capacity.utilization import tightest_peaks
from mnslib.errors import ConfigError, PrometheusError, QueryTooLargeError
from mnslib.kube_models import QuotaStatus
from mnslib.models import QUOTA_KEYS
from mnslib.signals import Readers

if TYPE_CHECKING:
    from mnslib.azure.prometheus import PrometheusClient, Series
    from mnslib.capacity.samples import Values
    from mnslib.capacity.snapshot import Snapshot

RECENT = timedelta(days=1)
"""A quota seen within it still counts as present where only history speaks; our choice."""

LONGEST_QUERY = timedelta(days=32)
"""Of one range query, range selector included. Source: Azure Monitor limits, query_range."""

MOST_POINTS = 11_000
"""Points per series in one answer. Source: Prometheus, `web/api/v1`, query_range."""

MOST_COST, COST_UNIT = 15_000, 5_000
"""A query's cost is series x (seconds / step) / 5000. Source: Azure Monitor limits, query cost."""

MOST_SAMPLES = 50_000_000
"""Samples that one query may read. Source: Azure Monitor limits; Prometheus, query.max-samples."""

SCRAPE_SECONDS = 30
"""Assumed distance of two samples. Source: Azure Monitor, its targets' default scrape interval."""

MOST_VALUES = 250_000
"""Values that one answer may hold: about 8 MB of JSON, 60 MB once read. Our choice, since eight
answers are read at once."""

MOST_PEAK_QUERIES = 200
"""Of one run. Eight at a time they take seconds, and the values of 50 namespaces fall into so many
steps at most; what a planner looks at first is among them. Our choice."""

MOST_PEAKS = 2_000
"""Of one run: those of the 500 namespaces nearest to their quota. Our choice; to look for the peaks
of a large fleet takes seconds."""

PEAKS_AT_ONCE = 100
"""Of one query: an hour of so many namespaces is a megabyte of JSON. Our choice."""

QUERIES_AT_ONCE = 8
"""For peaks; as many as clusters are read at once."""

MILLICORE = 1e-3
"""What amounts are rounded to."""

_DAY = timedelta(days=1)

Name = tuple[str, ...]
Samples = dict[Name, "Values"]
"""A value per time of each series, NaN without a sample."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """One cluster's history.

    Attributes:
        samples: by the names of `promql.HISTORY`; quota series are (namespace, quota object, key
            as it is written).
        latest: the highest `used` of the step under way, which `samples` do not have yet.
        is_rare: in some steps `requested` also counts pods that were gone at the step's end.
        source: the last of `promql.REQUESTED` that `requested` needed; empty without any.
    """

    samples: Mapping[str, Samples]
    latest: Mapping[Name, float] = field(default_factory=dict)
    is_rare: bool = False
    source: str = ""

    def last_seen(self, kind: str, *, within: int | None = None) -> dict[Name, float]:
        """Return the last sample of each series, of so many steps before now or of all."""
        steps = slice(None if within is None else -within, None)
        known = {
            series: row[steps][possible(row[steps], most_of(kind, series[-1]))]
            for series, row in self.samples[kind].items()
        }
        return {series: row[-1].item() for series, row in known.items() if row.size}

    def last_quotas(self, *, step: timedelta) -> list[QuotaStatus]:
        """Return the quotas as last seen, of those seen within `RECENT`."""
        recent = self.last_seen("hard", within=max(1, RECENT // step))
        return quota_statuses(recent, self.last_seen("used"))


def quota_statuses(hard: Mapping[Name, float], used: Mapping[Name, float]) -> list[QuotaStatus]:
    """Return a status of each value of a quota object; its `used` is empty where none is known."""
    return [
        QuotaStatus(
            namespace_name=series[0],
            name=series[1],
            hard={series[2]: Decimal(str(amount))},
            used={series[2]: Decimal(str(used[series]))} if series in used else {},
        )
        for series, amount in hard.items()
    ]


def values_at(
    prometheus: PrometheusClient, query: RangeQuery, at: datetime, *, seconds: int
) -> dict[Name, float]:
    """Return what a query, for a step of so many seconds, gives at one moment, by its labels."""
    answer = prometheus.query(query.text(seconds), at=at)
    last = {_name(one, query.labels): one.points[-1][1] for one in answer}
    return {name: value for name, value in last.items() if 0 <= value < inf}


def _name(series: Series, labels: Sequence[str]) -> Name:
    return tuple(series.labels.get(label, "") for label in labels)


class Grid(NamedTuple):
    """The times that are asked for, in UTC and a step apart.

    Attributes:
        now: end of the step under way, which is asked for as well.
    """

    times: pd.DatetimeIndex
    step: timedelta
    now: datetime


def time_grid(now: datetime, *, lookback_days: int, step_minutes: int) -> Grid:
    """Return the times to ask for: whole steps since 1970, the last one at or before `now`.

    Raises:
        ConfigError: if the lookback is under a day, or the step under a minute or over a day.
    """
    if wrong := promql.window_problems(lookback_days=lookback_days, step_minutes=step_minutes):
        raise ConfigError(" ".join(wrong.values()))
    step = step_minutes * 60
    last = int(now.timestamp()) // step
    count = lookback_days * 24 * 3600 // step
    seconds = np.arange(last - count + 1, last + 1, dtype=np.int64) * step
    times = pd.DatetimeIndex(seconds.astype("datetime64[s]")).as_unit("ns").tz_localize("UTC")
    return Grid(times, timedelta(minutes=step_minutes), now)


def cluster_names(
    prometheus: PrometheusClient, grid: Grid, *, ever: bool = False
) -> dict[str, ClusterNames]:
    """Return what metrics call each cluster at both ends of a grid, by its name in lower case.

    Azure compares names without regard to case, labels have it.

    Args:
        ever: at any time of the grid, which reads the whole lookback of all clusters.

    Raises:
        PrometheusError: if a query is refused or the endpoint cannot be reached.
    """
    seconds = int(grid.step.total_seconds())
    labels: dict[str, set[str]] = defaultdict(set)
    renamed = set()
    for query in map(promql.clusters_query, (promql.QUOTAS, promql.REQUESTS)):
        found = (
            [read_samples(prometheus, query, grid)]
            if ever
            else [
                values_at(prometheus, query, at, seconds=seconds)
                for at in (grid.times[0].to_pydatetime(), grid.now)
            ]
        )
        for label, namespace in chain.from_iterable(found):
            labels[label.lower()].add(label)
            renamed |= {label.lower()} if namespace else set()
    return {
        name: ClusterNames(tuple(sorted(values)), name in renamed)
        for name, values in sorted(labels.items())
    }


def read_history(prometheus: PrometheusClient, cluster: ClusterNames, grid: Grid) -> History:
    """Return what the endpoint holds of one cluster; reads only.

    Raises:
        PrometheusError: if a query is refused or the endpoint cannot be reached.
    """
    samples = {
        name: read_samples(prometheus, promql.query_of(name, cluster), grid)
        for name in promql.HISTORY
    }
    samples["requested"], source, is_rare = _requested(prometheus, cluster, grid)
    latest = {}
    if seconds := ceil((grid.now - grid.times[-1]).total_seconds()):
        now = values_at(prometheus, promql.query_of("used", cluster), grid.now, seconds=seconds)
        latest = {one: value for one, value in now.items() if value <= most_of("used", one[-1])}
    return History(samples=samples, latest=latest, is_rare=is_rare, source=source)


def _requested(
    prometheus: PrometheusClient, cluster: ClusterNames, grid: Grid
) -> tuple[Samples, str, bool]:
    """Return what pods request, the last source that it needed, and whether scrapes are rare.

    One target has the requests of all pods, so a time is seen by all of a cluster's series or by
    none: what a source does not see is left to the next, and a namespace alone that shows nothing
    then has no pods.
    """
    found: Samples = {}
    unseen = np.ones(len(grid.times), dtype=bool)
    source, is_rare = "", False
    for name in promql.REQUESTED:
        try:
            for last in (False,) if name == promql.REQUESTED[0] else (False, True):
                if not unseen.any():
                    return found, source, is_rare
                query = promql.query_of(name, cluster, last=last)
                gaps = unseen.copy()
                for series, values in read_samples(prometheus, query, grid).items():
                    known = gaps & ~np.isnan(values)
                    if known.any():
                        source, is_rare = name, is_rare or last
                        row = found.setdefault(series, np.full_like(values, np.nan))
                        row[known] = values[known]
                        unseen &= ~known
        except PrometheusError:  # who takes one metric a query is asked for one
            if name == promql.REQUESTED[-1]:
                raise
        else:
            if name != promql.REQUESTED[0]:
                break
    return found, source, is_rare


# One range query, in parts


def read_samples(prometheus: PrometheusClient, query: RangeQuery, grid: Grid) -> Samples:
    """Return what a query gives at the times of a grid; reads only.

    Raises:
        PrometheusError: if it is refused, also for a single time, or nobody answers.
    """
    times, step, _ = grid
    seconds = int(step.total_seconds())
    found: Samples = defaultdict(lambda: np.full(len(times), np.nan, dtype=np.float32))
    longest = min(LONGEST_QUERY // step, MOST_POINTS)
    for first in range(0, len(times), longest):
        last = min(first + longest, len(times))
        size = most_rows(_count_series(prometheus, query, times[first:last], seconds), step=step)
        start = first
        while start < last:
            end = min(start + size, last)
            try:
                answer = prometheus.query_range(
                    query.text(seconds),
                    start=times[start].to_pydatetime(),
                    end=times[end - 1].to_pydatetime(),
                    step_seconds=seconds,
                )
            except QueryTooLargeError:
                if end - start == 1:
                    raise
                size = (end - start) // 2
                continue
            while answer:  # and each is let go once it is read
                series = answer.pop()
                pairs = chain.from_iterable(series.points)
                flat = np.fromiter(pairs, np.float64, count=2 * len(series.points))
                places = np.rint((flat[0::2] - times[0].timestamp()) / seconds).astype(np.int64)
                if places.size and not (start <= places.min() and places.max() < end):
                    raise PrometheusError(
                        f"The answer holds times outside the range asked for: {query.selector}"
                    )
                own = found[_name(series, query.labels)]
                with np.errstate(over="ignore"):  # evidence says which cannot be
                    own[places] = flat[1::2]
            size = min(size, most_rows(len(found), step=step))
            start = end
    return dict(found)


def most_rows(series: int, *, step: timedelta) -> int:
    """Return how many times one query may ask for that looks a step back, of so many series."""
    read = max(series, 1)
    most = (
        LONGEST_QUERY // step,  # rows - 1 steps, and one more that the selector reaches back
        MOST_POINTS,
        MOST_COST * COST_UNIT // read,
        int(MOST_SAMPLES * SCRAPE_SECONDS / (read * max(step.total_seconds(), SCRAPE_SECONDS))),
        MOST_VALUES // read,
    )
    return max(1, min(most))


def _count_series(
    prometheus: PrometheusClient, query: RangeQuery, times: pd.DatetimeIndex, seconds: int
) -> int:
    """Return the most series at one of the days.

    Prometheus looks back 5 minutes; where no moment sees any, scrapes are rare, and those within
    a step of so many `seconds` are few enough to be counted at once.
    """
    end = times[-1].to_pydatetime()
    start, day = end - (times[-1] - times[0]) // _DAY * _DAY, int(_DAY.total_seconds())
    for window in (None, seconds):
        text = query.count(window)
        counted = prometheus.query_range(text, start=start, end=end, step_seconds=day)
        if most := int(max((value for one in counted for _, value in one.points), default=0)):
            return most
    return 0


# When within its step a peak fell: the server shows the samples of that step alone


def with_peak_times(
    snapshot: Snapshot, prometheus: PrometheusClient, *, labels: Mapping[str, ClusterNames]
) -> Snapshot:
    """Return the snapshot with `peak_times` of its tightest values, from `MOST_PEAK_QUERIES` steps.

    Without an answer a peak stays at the end of its step, so nothing that fails here is an error.

    Args:
        labels: what metrics call each cluster that has a history; where namespaces are renamed,
            a peak stays at the end of its step.
    """
    refused = Event()

    def ask(rows: pd.DataFrame) -> list[Series]:
        if refused.is_set():
            return []
        last, end = snapshot.used.index[-1], rows["peak_utc"].iloc[0]
        seconds = ceil((end - last if end > last else snapshot.step).total_seconds())
        names, label = sorted(set(rows["namespace_name"])), labels[rows["cluster_name"].iloc[0]]
        query = promql.samples_query(label, names, seconds=seconds)
        try:
            return prometheus.samples(query, at=end.to_pydatetime())
        except PrometheusError:
            refused.set()  # whoever refuses or fails one is not asked for the others
            return []

    clusters = {name for name in labels if not labels[name].is_renamed} & snapshot.quotas.keys()
    table = tightest_peaks(snapshot, clusters=clusters, most=MOST_PEAKS)
    table = table[table["peak_utc"].notna()]
    step = ["cluster_name", "peak_utc"]  # the tightest values first
    part = table.groupby(step).cumcount() // PEAKS_AT_ONCE
    groups = table.groupby([*step, part.rename("part")], sort=False)
    steps = [rows for _, rows in islice(groups, MOST_PEAK_QUERIES)]
    times: dict[tuple[str, str], dict[str, datetime]] = defaultdict(dict)
    with Readers(max_workers=QUERIES_AT_ONCE) as pool:
        for rows, answer in zip(steps, pool.map(ask, steps), strict=True):
            points: dict[Name, list[tuple[float, float]]] = defaultdict(list)
            for one in answer:
                points[_name(one, promql.QUOTA_LABELS)] += one.points
            values = zip(names_of(rows), rows["resource"], rows["peak_used"], strict=True)
            for (cluster, name), resource, amount in values:
                key = QUOTA_KEYS[resource]
                quota = snapshot.tightest_quotas[cluster][name, key]
                at = _time_of_peak(points[name, quota.quota_name, quota.key], amount)
                if at is not None:
                    times[cluster, name][key] = at
    return replace(snapshot, peak_times=dict(times))


def _time_of_peak(points: Sequence[tuple[float, float]], amount: float) -> datetime | None:
    """Return the time of the first sample that holds a peak of this amount, if one does."""
    highest = max((value for _, value in points), default=-np.inf)
    if highest < amount * (1 - FLOAT32_NOISE) - MILLICORE:
        return None
    top = np.float32(highest)  # sums of pods differ in the last bit
    return datetime.fromtimestamp(min(at for at, value in points if np.float32(value) == top), UTC)
