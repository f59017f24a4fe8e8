"""When within its step a peak fell: the server shows the samples of that step alone.

Without an answer a peak stays at the end of its step, which `utilization` says; so nothing that
fails here is an error. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from math import ceil
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from mnslib.capacity.promql import QUOTA_LABELS, samples_query
from mnslib.capacity.utilization import tightest_peaks
from mnslib.errors import PrometheusError
from mnslib.models import QUOTA_KEYS

if TYPE_CHECKING:
    from mnslib.azure.prometheus import PrometheusClient, Series
    from mnslib.capacity.snapshot import Snapshot

MOST_QUERIES = 200
"""Of one run. Eight at a time they take seconds, and the values of 50 namespaces fall into so many
steps at most; what a planner looks at first is among them. Our choice."""

MOST_VALUES = 2_000
"""Of one run: those of the 500 namespaces nearest to their quota. Our choice; to look for the peaks
of a large fleet takes seconds."""

VALUES_AT_ONCE = 100
"""Of one query: an hour of so many namespaces is a megabyte of JSON. Our choice."""

AT_ONCE = 8
"""Queries under way together; as many as clusters are read at once."""

MILLICORE, FLOAT32 = 1e-3, 1e-6
"""What amounts are rounded to, and the share that float32 rounds at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Peaks of one cluster that fall into one step.

    `peaks`: (namespace, quota object, key as it is written) to the key that counts, and amount.
    """

    cluster_name: str
    end: datetime
    seconds: int
    peaks: Mapping[tuple[str, str, str], tuple[str, float]]


def with_peak_times(
    snapshot: Snapshot, prometheus: PrometheusClient, *, labels: Mapping[str, str]
) -> Snapshot:
    """Return the snapshot with `peak_times` of its tightest values, from `MOST_QUERIES` steps.

    Args:
        labels: what metrics call each cluster that has a history.
    """
    refused = Event()

    def ask(step: _Step) -> list[Series]:
        if refused.is_set():
            return []
        names = sorted({name for name, _, _ in step.peaks})
        query = samples_query(labels[step.cluster_name], names, seconds=step.seconds)
        try:
            return prometheus.samples(query, at=step.end)
        except PrometheusError:
            refused.set()  # whoever refuses or fails one is not asked for the others
            return []

    steps = _steps(snapshot, labels)
    times: dict[tuple[str, str], dict[str, datetime]] = {}
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for step, answer in zip(steps, pool.map(ask, steps), strict=True):
            for name, key, at in _first_highest(answer, step):
                times.setdefault((step.cluster_name, name), {})[key] = at
    return replace(snapshot, peak_times=times)


def _first_highest(answer: list[Series], step: _Step) -> Iterator[tuple[str, str, datetime]]:
    """Yield namespace, key and time of the first sample that holds a peak, where one does."""
    samples: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for one in answer:
        name, quota, resource = (one.labels.get(label, "") for label in QUOTA_LABELS)
        samples.setdefault((name, quota, resource), []).extend(one.points)
    for series, (key, amount) in step.peaks.items():
        points = samples.get(series, [])
        highest = max((value for _, value in points), default=-np.inf)
        if highest >= amount * (1 - FLOAT32) - MILLICORE:
            top = np.float32(highest)  # sums of pods differ in the last bit
            at = min(at for at, value in points if np.float32(value) == top)
            yield series[0], key, datetime.fromtimestamp(at, UTC)


def _steps(snapshot: Snapshot, labels: Mapping[str, str]) -> list[_Step]:
    """Return the steps to look into, those of the tightest values first."""
    clusters = labels.keys() & snapshot.quotas.keys()
    table = tightest_peaks(snapshot, clusters=clusters, most=MOST_VALUES)
    table = table[table["peak_utc"].notna()]
    place = ["cluster_name", "peak_utc"]
    table = table.assign(part=table.groupby(place).cumcount() // VALUES_AT_ONCE)
    last = snapshot.used.index[-1].to_pydatetime() if len(snapshot.used) else snapshot.read_utc
    groups = iter(table.groupby([*place, "part"], sort=False))
    steps = []
    for _, rows in islice(groups, MOST_QUERIES):
        cluster, end = str(rows["cluster_name"].iloc[0]), rows["peak_utc"].iloc[0].to_pydatetime()
        length = end - last if end > last else snapshot.step
        peaks = {}
        for row in rows.to_dict("records"):
            name, key = row["namespace_name"], QUOTA_KEYS[row["resource"]]
            quota = snapshot.tightest_quotas[cluster][name, key]
            peaks[name, quota.quota_name, quota.key] = key, row["peak_used"]
        steps.append(
            _Step(
                cluster_name=cluster,
                end=end,
                seconds=ceil(length.total_seconds()),
                peaks=peaks,
            )
        )
    return steps
