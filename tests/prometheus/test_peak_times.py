"""Scrapes every five minutes, steps of an hour: a peak's time is that of its sample."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np
import pytest

from mnslib.azure.prometheus import plain_prometheus
from mnslib.capacity.inventory import collect_from_metrics
from mnslib.capacity.store import read_snapshot, write_snapshot
from mnslib.models import QUOTA_KEYS
from tests.prometheus.trace import DAY, HOUR, TRACE, Month, read_month
from tests.tables import utilization_of

SCRAPE_SECONDS = 300
DAYS = 10

pytestmark = pytest.mark.skipif(not TRACE.is_file(), reason=f"needs the trace {TRACE.name}")


@pytest.fixture(scope="module")
def month():
    """The last days of the month; scrapes lie beside the whole hours."""
    found = read_month(int(time.time()) // HOUR * HOUR - 130, SCRAPE_SECONDS)
    late = found.times > found.times[-1] - DAYS * DAY
    used, hard = (
        {place: series[late] for place, series in side.items()} for side in (found.used, found.hard)
    )
    return Month(found.times[late], used, hard)


@pytest.fixture(scope="module")
def snapshot(serve_month, month):
    now = datetime.fromtimestamp(month.times[-1] + 190, UTC)
    door = plain_prometheus(serve_month(month))
    return collect_from_metrics(door, clusters=[], lookback_days=DAYS + 1, step_minutes=60, now=now)


def test_the_times_of_peaks_are_those_of_the_files_samples(snapshot, month):
    table = utilization_of(snapshot)
    rows = table[table["peak_within_minutes"] == 0].to_dict("records")
    wrong = []
    for row in rows:
        used = month.used[row["namespace_name"], QUOTA_KEYS[row["resource"]]]
        first = int(np.argmax(used.astype(np.float32)))
        if row["peak_utc"].timestamp() != month.times[first]:
            wrong.append((row["namespace_name"], row["resource"], row["peak_utc"]))
    has_peak = table["peak_utc"].notna()
    assert wrong == []
    assert len(rows) == has_peak.sum() > 200


def test_the_offline_repeat_has_the_same_times(snapshot, tmp_path):
    write_snapshot(snapshot, tmp_path, written_by="a test")
    again = utilization_of(read_snapshot(tmp_path))["peak_utc"]
    assert again.equals(utilization_of(snapshot)["peak_utc"])
