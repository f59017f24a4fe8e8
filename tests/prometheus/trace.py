"""A month of a production cluster as samples, and what they must come to; numpy alone.

Nothing of mnslib: what it computes is held against this.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHARED = Path(os.environ.get("MNS_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TRACE = SHARED / "traces" / "pod-lifetimes.csv"
DAY, HOUR = 86400, 3600
DAYS = 31
CLUSTER = "prod"
COLUMNS = {
    "requests.cpu": ("cpu_request_cores", 1),
    "limits.cpu": ("cpu_limit_cores", 1),
    "requests.memory": ("memory_request_gib", 2**30),
    "limits.memory": ("memory_limit_gib", 2**30),
}
HEADROOM = 1.3


@dataclass
class Month:
    """Samples by namespace and key; NaN where nothing was scraped, hard only where a quota is."""

    times: np.ndarray
    used: dict[tuple[str, str], np.ndarray]
    hard: dict[tuple[str, str], np.ndarray]

    @property
    def namespaces(self):
        return sorted({name for name, _ in self.used})

    @property
    def with_quota(self):
        return sorted({name for name, _ in self.hard})


def read_month(end, scrape_seconds, *, path=TRACE):
    """Return the month so that it ends at `end`, scraped every so many seconds."""
    with path.open(encoding="utf-8", newline="") as file:
        pods = list(csv.DictReader(file))
    begin = end - DAYS * DAY
    times = np.arange(begin, end + 1, scrape_seconds)
    used = {}
    for pod in pods:
        born = begin + float(pod["created_seconds"] or -1)
        died = begin + float(pod["deleted_seconds"] or np.inf)
        lives = (times >= born) & (times < died)
        for key, (column, unit) in COLUMNS.items():
            series = used.setdefault((pod["namespace"], key), np.zeros(len(times)))
            series += lives * float(pod[column]) * unit
    first_week = times < begin + 7 * DAY
    active = {name for (name, _), series in used.items() if series[first_week].any()}
    hard = {
        place: np.full(len(times), HEADROOM * series[first_week].max())
        for place, series in used.items()
        if place[0] in active
    }
    return Month(times, used, hard)


def write_samples(month, file, *, counters=None, label=f'cluster="{CLUSTER}",'):
    """Write OpenMetrics: a sample of each scrape of quotas and of what pods ask for.

    `counters` are what quotas say is used, where that is not what pods ask for.
    """
    counters = counters or month.used
    file.write("# TYPE kube_resourcequota gauge\n")
    for (name, key), hard in month.hard.items():
        for kind, series in (("hard", hard), ("used", counters[name, key])):
            labels = (
                f'{label}namespace="{name}",resourcequota="team",resource="{key}",type="{kind}"'
            )
            _write(
                file,
                f"kube_resourcequota{{{labels}}}",
                month.times,
                series,
                gaps=month.used[name, key],
            )
    file.write("# TYPE kube_pod_container_resource_requests gauge\n")
    for (name, key), series in month.used.items():
        kind, _, resource = key.partition(".")
        if kind == "requests":
            labels = f'{label}namespace="{name}",pod="all",container="c",resource="{resource}"'
            asked = np.where(series > 0, series, np.nan)  # no pod, no series
            _write(file, f"kube_pod_container_resource_requests{{{labels}}}", month.times, asked)
    file.write("# EOF\n")


def _write(file, name, times, series, *, gaps=0.0):
    held = ~np.isnan(series + gaps)
    rows = zip(times[held].tolist(), series[held].tolist(), strict=True)
    file.writelines(f"{name} {value!r} {at}\n" for at, value in rows)
