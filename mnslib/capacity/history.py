"""What the metrics remember of one cluster: four range queries, stitched into arrays.

The endpoint may be Azure Monitor managed Prometheus or any other; the client that is given knows
which. Peaks are the server's `max_over_time`: samples an hour apart would miss them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from math import isnan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnslib.errors import ConfigError, PrometheusError
from mnslib.models import QuotaStatus
from mnslib.resource_ids import CLUSTER_NAME

if TYPE_CHECKING:
    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.capacity.snapshot import Values

LONGEST_QUERY = timedelta(days=32)
"""Of one range query, range selector included. Source: Azure Monitor limits, query_range."""

MOST_POINTS = 11_000
"""Points per series in one answer. Source: Prometheus, `web/api/v1`, query_range."""

SHORTEST_STEP_MINUTES = 1
"""Source: Azure Monitor limits: step of at least 60 s where the range is 48 h or more."""

RECENT = timedelta(days=1)
"""A quota seen within it still counts as present where only history speaks; our choice."""

_QUERIES = {
    "used": "max by (namespace, resourcequota, resource) "
    '(max_over_time(kube_resourcequota{{cluster="{cluster}",type="used"}}[{step}s]))',
    "hard": "max by (namespace, resourcequota, resource) "
    '(last_over_time(kube_resourcequota{{cluster="{cluster}",type="hard"}}[{step}s]))',
    "usage_cpu": "sum by (namespace) "
    '(rate(container_cpu_usage_seconds_total{{cluster="{cluster}",container!=""}}[{step}s]))',
    "usage_memory": "sum by (namespace) (max_over_time("
    'container_memory_working_set_bytes{{cluster="{cluster}",container!=""}}[{step}s]))',
}
"""One metric name per query, which Azure Monitor demands."""

_QUOTA_LABELS = ("namespace", "resourcequota", "resource")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Series and their samples: `values` is times x series, NaN without a sample."""

    series: tuple[tuple[str, ...], ...]
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterHistory:
    """One cluster's history; quota series are (namespace, quota object, key as it is written)."""

    used: Block
    hard: Block
    usage_cpu: Block
    usage_memory: Block

    @property
    def is_empty(self) -> bool:
        """True where no query found a series."""
        blocks = (self.used, self.hard, self.usage_cpu, self.usage_memory)
        return not any(block.series for block in blocks)

    def last_quotas(self, *, step: timedelta) -> list[QuotaStatus]:
        """Return the quotas as last seen, of those seen within `RECENT`."""
        rows = max(1, RECENT // step)
        hard, used = _last_values(self.hard, rows), _last_values(self.used, rows)
        return [
            QuotaStatus(
                namespace_name=namespace,
                name=quota,
                hard={key: amount},
                used={key: used[series]} if (series := (namespace, quota, key)) in used else {},
            )
            for (namespace, quota, key), amount in hard.items()
        ]


def time_grid(now: datetime, *, lookback_days: int, step_minutes: int) -> pd.DatetimeIndex:
    """Return the UTC times to ask for: whole steps since 1970, the last one at or before `now`.

    Raises:
        ConfigError: if the lookback is under a day, or the step under a minute or over a day.
    """
    if lookback_days < 1:
        raise ConfigError(f"lookback_days is {lookback_days}; write 1 or more")
    if not SHORTEST_STEP_MINUTES <= step_minutes <= 24 * 60:
        raise ConfigError(f"step_minutes is {step_minutes}; write {SHORTEST_STEP_MINUTES} to 1440")
    step = step_minutes * 60
    last = int(now.timestamp()) // step
    count = lookback_days * 24 * 3600 // step
    seconds = np.arange(last - count + 1, last + 1, dtype=np.int64) * step
    return pd.DatetimeIndex(seconds.astype("datetime64[s]")).as_unit("ns").tz_localize("UTC")


def queries(cluster_name: str, *, step_seconds: int) -> dict[str, str]:
    """Return the four range queries by what they fill: `used`, `hard` and the two usages.

    Raises:
        ConfigError: if the name is none that a managed cluster can have.
    """
    if not CLUSTER_NAME.fullmatch(cluster_name):
        raise ConfigError(f"{cluster_name[:100]!r} cannot be the name of a managed cluster")
    return {
        name: text.format(cluster=cluster_name, step=step_seconds)
        for name, text in _QUERIES.items()
    }


def read_history(
    prometheus: PrometheusClient, cluster_name: str, *, times: pd.DatetimeIndex, step: timedelta
) -> ClusterHistory:
    """Return what the endpoint holds of one cluster at `times`; reads only.

    Raises:
        PrometheusError: if a query is refused or the endpoint cannot be reached.
    """
    return ClusterHistory(
        **{
            name: _read_block(
                prometheus,
                query,
                ("namespace",) if name.startswith("usage") else _QUOTA_LABELS,
                times=times,
                step=step,
            )
            for name, query in queries(cluster_name, step_seconds=int(step.total_seconds())).items()
        }
    )


def _read_block(
    prometheus: PrometheusClient,
    query: str,
    labels: tuple[str, ...],
    *,
    times: pd.DatetimeIndex,
    step: timedelta,
) -> Block:
    step_seconds = int(step.total_seconds())
    first = int(times[0].timestamp())
    columns: dict[tuple[str, ...], Values] = {}
    for start, end in _parts(len(times), step=step):
        for found in prometheus.query_range(
            query,
            start=times[start].to_pydatetime(),
            end=times[end - 1].to_pydatetime(),
            step_seconds=step_seconds,
        ):
            key = tuple(found.labels.get(label, "") for label in labels)
            if key not in columns:
                columns[key] = np.full(len(times), np.nan, dtype=np.float32)
            flat = np.fromiter(
                chain.from_iterable(found.points), np.float64, count=2 * len(found.points)
            )
            rows = np.rint((flat[0::2] - first) / step_seconds).astype(np.int64)
            if rows.size and not (start <= rows.min() and rows.max() < end):
                raise PrometheusError(
                    f"The answer holds times outside the range asked for: {query}"
                )
            columns[key][rows] = flat[1::2]
    empty = np.empty((len(times), 0), dtype=np.float32)
    return Block(tuple(columns), np.column_stack(list(columns.values())) if columns else empty)


def _parts(count: int, *, step: timedelta) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges of rows, each within what one query may span."""
    # (rows - 1) steps from first to last, and one more that the range selector reaches back.
    rows = min(LONGEST_QUERY // step, MOST_POINTS)
    for start in range(0, count, rows):
        yield start, min(start + rows, count)


def _last_values(block: Block, rows: int) -> Mapping[tuple[str, ...], Decimal]:
    recent = pd.DataFrame(block.values[-rows:]).ffill().iloc[-1:].to_numpy()[0]
    return {
        series: Decimal(str(value))
        for series, value in zip(block.series, recent.tolist(), strict=True)
        if not isnan(value)
    }
