"""A month that was scraped so rarely that whole hours never fall near a sample."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np
import pytest

from mnslib.azure.prometheus import plain_prometheus
from mnslib.capacity.inventory import collect_from_metrics
from mnslib.capacity.samples import times_of
from tests.prometheus.trace import HOUR, TRACE, read_month
from tests.tables import utilization_of

pytestmark = pytest.mark.skipif(not TRACE.is_file(), reason=f"needs the trace {TRACE.name}")


@pytest.fixture(scope="module", params=[(900, 433), (3600, 1234)], ids=["15 minutes", "an hour"])
def month(request):
    """Scrapes so many seconds apart, the last so many before a whole hour: over 5 minutes."""
    scrape_seconds, before = request.param
    return read_month(int(time.time()) // HOUR * HOUR - before, scrape_seconds)


@pytest.fixture(scope="module")
def scraped(month):
    """The namespaces that a scrape ever saw; a pod may live and die between two that are rare."""
    seen = {name for (name, _), series in month.used.items() if series.any()}
    return sorted(seen | set(month.with_quota))


@pytest.fixture(scope="module")
def snapshot(serve_month, month):
    now = datetime.fromtimestamp(month.times[-1] + 1500, UTC)
    door = plain_prometheus(serve_month(month))
    return collect_from_metrics(door, clusters=[], lookback_days=30, step_minutes=60, now=now)


def test_all_namespaces_are_found_and_those_with_a_quota_have_figures(snapshot, month, scraped):
    table = utilization_of(snapshot)
    rows = table[table["resource"] == "cpu_request"].set_index("namespace_name")
    without = rows.index[rows["verdict"] == "unknown: no quota"]
    assert sorted(rows.index) == scraped
    assert (len(month.with_quota), len(scraped)) in [(60, 78), (60, 77)]
    assert set(without) == set(scraped) - set(month.with_quota)
    for name in month.with_quota:
        assert rows.loc[name, "used"] == pytest.approx(month.used[name, "requests.cpu"][-1])
        assert rows.loc[name, "hard"] == pytest.approx(month.hard[name, "requests.cpu"][-1])


def test_what_pods_request_is_the_last_sample_of_each_step_and_says_so(snapshot, month):
    ends = times_of(snapshot.requested).astype("datetime64[s]").astype(np.int64)
    assert snapshot.requested.shape[1] > 100
    for _, name, key in snapshot.requested.columns:
        asked = month.used[name, key]
        times, values = month.times[asked > 0], asked[asked > 0]
        last = np.searchsorted(times, ends, side="right") - 1
        is_seen = (last >= 0) & (times[last] > ends - HOUR)
        expected = np.where(is_seen, values[last], np.nan)
        found = snapshot.requested["prod", name, key]
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=f"{name} {key}")
    assert "Rare scrapes of prod" in snapshot.history_note
