"""One range query over any length of time, in parts that respect the endpoint's limits.

How many series it reads is counted first, so that a part stays below the limits by construction;
one that is refused for its size all the same is halved. Samples go into float32 arrays as they
come; a part is small enough that its JSON is no second copy of everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnslib.errors import PrometheusError, QueryTooLargeError

if TYPE_CHECKING:
    from mnslib.azure.prometheus import PrometheusClient, Series
    from mnslib.capacity.promql import RangeQuery
    from mnslib.capacity.snapshot import Values

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
