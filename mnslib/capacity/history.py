"""What the metrics remember of one cluster: quotas, requests and measured use, as arrays.

The endpoint may be Azure Monitor managed Prometheus or any other; the client that is given knows
which. Peaks are the server's `max_over_time`: samples an hour apart would miss them.

A range query over any length of time is sent in parts that respect the endpoint's limits. How many
series it reads is counted first, so that a part stays below them by construction; one that is
refused for its size all the same is halved. A part is small enough that its JSON is no second copy
of everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnslib.capacity.promql import (
    QUOTA_LABELS,
    STEP_MINUTES,
    history_queries,
    peak_now,
    requests_query,
)
from mnslib.errors import ConfigError, PrometheusError, QueryTooLargeError
from mnslib.kube_models import QuotaStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mnslib.azure.prometheus import PrometheusClient, Series
    from mnslib.capacity.promql import RangeQuery
    from mnslib.capacity.snapshot import Values

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

COUNT_STEP = timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Series and their samples: a row per series, a value per time, NaN without a sample."""

    series: tuple[tuple[str, ...], ...]
    rows: tuple[Values, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterHistory:
    """One cluster's history; quota series are (namespace, quota object, key as it is written).

    `latest` is the highest `used` of the step under way, which the blocks do not have yet;
    `is_rare`: in some steps `requested` also counts pods that were gone at the step's end.
    """

    used: Block
    hard: Block
    requested: Block
    usage_cpu: Block
    usage_memory: Block
    latest: Mapping[tuple[str, ...], float] = field(default_factory=dict)
    is_rare: bool = False

    @property
    def is_empty(self) -> bool:
        """True where no query found a series."""
        blocks = (self.used, self.hard, self.requested, self.usage_cpu, self.usage_memory)
        return not any(block.series for block in blocks)

    def last_seen(self) -> dict[str, dict[tuple[str, ...], tuple[float, int]]]:
        """Return the last sample of each series of `hard` and of `used`, and its place in time."""
        return {"hard": _last_values(self.hard), "used": _last_values(self.used)}

    def last_quotas(self, *, step: timedelta) -> list[QuotaStatus]:
        """Return the quotas as last seen, of those seen within `RECENT`."""
        seen, rows = self.last_seen(), max(1, RECENT // step)
        return [
            quota_status(series, amount, seen["used"].get(series, (None, 0))[0])
            for series, (amount, place) in seen["hard"].items()
            if place >= len(self.hard.rows[0]) - rows
        ]


def quota_status(series: tuple[str, ...], hard: float, used: float | None) -> QuotaStatus:
    """Return a quota object's status of one value; `used` is None where it was never counted."""
    namespace, name, key = series
    counted = {} if used is None else {key: Decimal(str(used))}
    return QuotaStatus(
        namespace_name=namespace, name=name, hard={key: Decimal(str(hard))}, used=counted
    )


def time_grid(now: datetime, *, lookback_days: int, step_minutes: int) -> pd.DatetimeIndex:
    """Return the UTC times to ask for: whole steps since 1970, the last one at or before `now`.

    Raises:
        ConfigError: if the lookback is under a day, or the step under a minute or over a day.
    """
    if lookback_days < 1:
        raise ConfigError(f"lookback_days is {lookback_days}; write 1 or more")
    shortest, longest = STEP_MINUTES
    if not shortest <= step_minutes <= longest:
        raise ConfigError(f"step_minutes is {step_minutes}; write {shortest} to {longest}")
    step = step_minutes * 60
    last = int(now.timestamp()) // step
    count = lookback_days * 24 * 3600 // step
    seconds = np.arange(last - count + 1, last + 1, dtype=np.int64) * step
    return pd.DatetimeIndex(seconds.astype("datetime64[s]")).as_unit("ns").tz_localize("UTC")


def read_history(
    prometheus: PrometheusClient,
    cluster: str,
    *,
    times: pd.DatetimeIndex,
    step: timedelta,
    now: datetime | None = None,
) -> ClusterHistory:
    """Return what the endpoint holds of one cluster at `times`; reads only.

    Args:
        cluster: the value of the label `cluster`, empty for series without it.
        now: end of the step under way; None for the end of the last one.

    Raises:
        PrometheusError: if a query is refused or the endpoint cannot be reached.
    """
    blocks = {
        name: read_block(prometheus, query, times=times, step=step)
        for name, query in history_queries(cluster).items()
    }
    unseen = np.ones(len(times), dtype=bool)
    for row in blocks["requested"].rows:
        unseen &= np.isnan(row)
    is_rare = False
    if unseen.any():
        seen = read_block(prometheus, requests_query(cluster), times=times, step=step)
        blocks["requested"], is_rare = _filled(blocks["requested"], seen, where=unseen)
    return ClusterHistory(
        **blocks,
        latest=_latest(prometheus, cluster, since=times[-1], now=now or times[-1]),
        is_rare=is_rare,
    )


def _filled(exact: Block, seen: Block, *, where: NDArray[np.bool_]) -> tuple[Block, bool]:
    """Return `exact` with the samples of `seen` at the times `where`, and whether it has any.

    One target has the requests of all pods, so a time is either seen by all of a cluster's series
    or by none; a namespace alone that shows nothing then has no pods.
    """
    found = dict(zip(exact.series, exact.rows, strict=True))
    is_used = False
    for series, samples in zip(seen.series, seen.rows, strict=True):
        if np.isnan(samples[where]).all():
            continue
        is_used = True
        row = found.setdefault(series, np.full(len(samples), np.nan, dtype=np.float32))
        row[where] = samples[where]
    return Block(tuple(found), tuple(found.values())), is_used


def _latest(
    prometheus: PrometheusClient, cluster: str, *, since: datetime, now: datetime
) -> dict[tuple[str, ...], float]:
    seconds = ceil((now - since).total_seconds())
    found = prometheus.query(peak_now(cluster, seconds=seconds), at=now) if seconds > 0 else []
    return {
        tuple(one.labels.get(name, "") for name in QUOTA_LABELS): one.points[-1][1] for one in found
    }


def _last_values(block: Block) -> dict[tuple[str, ...], tuple[float, int]]:
    found = {}
    for series, samples in zip(block.series, block.rows, strict=True):
        known = np.flatnonzero(~np.isnan(samples))
        if known.size:
            place = int(known[-1])
            found[series] = (samples[place].item(), place)
    return found


# One range query, in parts


def read_block(
    prometheus: PrometheusClient, query: RangeQuery, *, times: pd.DatetimeIndex, step: timedelta
) -> Block:
    """Return what a query gives at `times`, which are `step` apart; reads only.

    Raises:
        PrometheusError: if it is refused, also for a single time, or nobody answers.
    """
    seconds = int(step.total_seconds())
    found: dict[tuple[str, ...], Values] = {}
    longest = min(LONGEST_QUERY // step, MOST_POINTS)
    for first in range(0, len(times), longest):
        last = min(first + longest, len(times))
        count = _count_series(prometheus, query, times[first:last], seconds)
        window = timedelta(seconds=query.window or seconds)
        size = most_rows(count, step=step, window=window)
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
            _fill(found, answer, query=query, times=times, step=step, part=(start, end))
            size = min(size, most_rows(len(found), step=step, window=window))
            start = end
    return Block(tuple(found), tuple(found.values()))


def most_rows(series: int, *, step: timedelta, window: timedelta) -> int:
    """Return how many times one query may ask for, if it reads so many series.

    Args:
        window: what each value looks back over.
    """
    seconds = window.total_seconds()
    read = max(series, 1)
    return max(
        1,
        min(
            LONGEST_QUERY // step,  # rows - 1 steps, and one more that the selector reaches back
            MOST_POINTS,
            MOST_COST * COST_UNIT // read,
            int(MOST_SAMPLES * SCRAPE_SECONDS / (read * max(seconds, SCRAPE_SECONDS))),
            MOST_VALUES // read,
        ),
    )


def _count_series(
    prometheus: PrometheusClient, query: RangeQuery, times: pd.DatetimeIndex, seconds: int
) -> int:
    """Return the most series at one of the days.

    Prometheus looks back 5 minutes; where no moment sees any, scrapes are rare, and those within
    a step of so many `seconds` are few enough to be counted at once.
    """
    days = (times[-1] - times[0]) // COUNT_STEP
    for window in (None, query.window or seconds):
        counted = prometheus.query_range(
            query.count(window),
            start=(times[-1] - days * COUNT_STEP).to_pydatetime(),
            end=times[-1].to_pydatetime(),
            step_seconds=int(COUNT_STEP.total_seconds()),
        )
        if most := int(max((value for one in counted for _, value in one.points), default=0)):
            return most
    return 0


def _fill(
    found: dict[tuple[str, ...], Values],
    answer: list[Series],
    *,
    query: RangeQuery,
    times: pd.DatetimeIndex,
    step: timedelta,
    part: tuple[int, int],
) -> None:
    start, end = part
    first, seconds = times[0].timestamp(), step.total_seconds()
    while answer:  # and each is let go once it is read
        series = answer.pop()
        key = tuple(series.labels.get(label, "") for label in query.labels)
        if key not in found:
            found[key] = np.full(len(times), np.nan, dtype=np.float32)
        pairs = chain.from_iterable(series.points)
        flat = np.fromiter(pairs, np.float64, count=2 * len(series.points))
        places = np.rint((flat[0::2] - first) / seconds).astype(np.int64)
        if places.size and not (start <= places.min() and places.max() < end):
            raise PrometheusError(
                f"The answer holds times outside the range asked for: {query.selector}"
            )
        found[key][places] = np.where(flat[1::2] < 0, np.nan, flat[1::2])  # no amount is negative
