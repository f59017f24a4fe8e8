"""`python -m tests.safety_net.made RUN SIZE`: a run directory that holds a snapshot, to read again.

SIZE is a number of namespaces, made up as `tests.benchmarks.capacity` makes them, or `trace`.
Run with the code of before: what it wrote must still be read.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.snapshot import QUOTA_SERIES, Snapshot
from tests.benchmarks import capacity
from tests.prometheus.trace import CLUSTER, HOUR, read_month

CLUSTERS = {5: 1, 66: 3, 500: 10, 20_000: 200}


def main(run, size):
    if size == "trace":
        capacity.made_up = of_trace
    else:
        capacity.NAMESPACES, capacity.CLUSTERS = int(size), CLUSTERS[int(size)]
    capacity.write_run(Path(run))


def of_trace():
    """Return the month of the trace, scraped by the hour, as metrics alone would tell it."""
    month = read_month(int(capacity.NOW.timestamp()), HOUR)
    times = pd.DatetimeIndex(pd.to_datetime(month.times, unit="s", utc=True)).as_unit("ns")
    limited = list(month.hard)
    asked = [place for place in month.used if place[1].startswith("requests")]
    spaces = [(CLUSTER, name) for name in month.namespaces]
    return Snapshot(
        read_utc=datetime.fromtimestamp(month.times[-1], UTC),
        namespaces=capacity_rows(spaces),
        quotas={CLUSTER: ()},
        commitments={},
        used=frame(times, limited, month.used),
        hard=frame(times, limited, month.hard),
        requested=frame(times, asked, month.used),
        usage_cpu=capacity.wide(times, [], np.empty((len(times), 0)), SPACE),
        usage_memory=capacity.wide(times, [], np.empty((len(times), 0)), SPACE),
        remembered=(CLUSTER,),
        history_note="31 days, one sample every hour.",
    )


def frame(times, places, values):
    columns = [(CLUSTER, name, key) for name, key in places]
    stacked = np.stack([values[place] for place in places], axis=1)
    return capacity.wide(times, columns, stacked, QUOTA_SERIES)


def capacity_rows(spaces):
    rows = [
        {
            "cluster_name": cluster, "namespace_name": name, "subscription_id": "",
            "resource_group": "", "owner": f"owner-{number % 9}", "is_managed": True, "labels": "",
        }
        for number, (cluster, name) in enumerate(spaces)
    ]  # fmt: skip
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
