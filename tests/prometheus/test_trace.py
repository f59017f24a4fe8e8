"""A month of a production cluster, from a real Prometheus: the figures equal the file's own.

Planted into it: samples that are missing for days, also at the end, a quota that changed, counters
that are zero while pods run, always, for some days or from then on, a namespace that was really
scaled to zero, and one born on the last day.
"""

from __future__ import annotations

import csv
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from mnslib.azure.prometheus import plain_prometheus
from mnslib.capacity.inventory import collect_from_metrics
from tests.prometheus.trace import COLUMNS, DAY, HOUR, TRACE, read_month
from tests.tables import crossings_of, daily_of, utilization_of

SCRAPE_SECONDS = 1800
FIELDS = {
    "cpu_request": "requests.cpu", "cpu_limit": "limits.cpu",
    "memory_request": "requests.memory", "memory_limit": "limits.memory",
}  # fmt: skip
BORN = "born-yesterday"
PLANTS = ("gap", "ended", "raised", "dead", "died", "revived", "rested")

pytestmark = pytest.mark.skipif(not TRACE.is_file(), reason=f"needs the trace {TRACE.name}")


@pytest.fixture(scope="module")
def plants():
    """Namespaces that something was done to, chosen among those whose use goes on to the end."""
    return {}


@pytest.fixture(scope="module")
def month(plants):
    found = read_month(int(time.time()) // HOUR * HOUR, SCRAPE_SECONDS)
    end = found.times[-1]
    steady = [name for name in found.with_quota if found.used[name, "requests.cpu"].min() > 0]
    plants |= dict(zip(PLANTS, steady, strict=False))
    for key in COLUMNS:
        gap = (found.times > end - 12 * DAY) & (found.times <= end - 9 * DAY)
        found.used[plants["gap"], key][gap] = np.nan
        found.used[plants["ended"], key][found.times > end - 2 * DAY] = np.nan
        found.hard[plants["raised"], key][found.times > end - 15 * DAY - 5 * SCRAPE_SECONDS] *= 2
        found.used[plants["rested"], key][days_of_rest(found)] = 0
        newborn = np.where(found.times > end - 20 * HOUR, 2.0, np.nan)
        found.used[BORN, key], found.hard[BORN, key] = newborn, np.full(len(newborn), 4.0)
    return found


def days_of_rest(month):
    end = month.times[-1]
    return (month.times > end - 20 * DAY) & (month.times <= end - 17 * DAY)


@pytest.fixture(scope="module")
def untrue(month, plants):
    """When the counters of a namespace are zero while its pods run."""
    always, late = month.times > 0, month.times > month.times[-1] - 12 * DAY
    when = {"dead": always, "died": late, "revived": days_of_rest(month)}
    return {plants[name]: steps for name, steps in when.items()}


@pytest.fixture(scope="module")
def shown(month, untrue):
    """What the server was given: as the month, but for the counters that are untrue."""
    return {
        place: np.where(untrue.get(place[0], False), 0, used) for place, used in month.used.items()
    }


@pytest.fixture(scope="module")
def known(month, untrue):
    """What can be known of the month: what was untrue is as if it had not been scraped."""
    used = {
        place: np.where(untrue.get(place[0], False), np.nan, samples)
        for place, samples in month.used.items()
    }
    return replace(month, used=used)


@pytest.fixture(scope="module")
def endpoint(serve_month, month, shown):
    return serve_month(month, counters=shown)


@pytest.fixture(scope="module")
def snapshot(endpoint, month):
    """Notebook 40's own path, in steps of one scrape."""
    return collect_from_metrics(
        plain_prometheus(endpoint),
        clusters=[],
        lookback_days=32,
        step_minutes=SCRAPE_SECONDS // 60,
        now=datetime.fromtimestamp(month.times[-1] + 600, UTC),
    )


@pytest.fixture(scope="module")
def table(snapshot):
    return utilization_of(snapshot)


def differences(table, month, *, step, leave_out):
    """Return each figure that is not the file's; a peak's time is its sample's or step's."""
    found = []
    for row in table.to_dict("records"):
        place = row["namespace_name"], FIELDS[row["resource"]]
        if place not in month.hard or place[0] in leave_out:
            continue
        used, hard = month.used[place], month.hard[place]
        peak = int(np.nanargmax(used))
        expected = {
            "used": used[-1],
            "hard": hard[-1],
            "utilization_ratio": used[-1] / hard[-1],
            "peak_used": used[peak],
            "peak_hard": hard[peak],
            "peak_utc": -(-month.times[peak] // step) * step,
        }
        if float(row["peak_within_minutes"]) == 0:
            expected["peak_utc"] = month.times[peak]
        moment = pd.Timestamp(row["peak_utc"]).timestamp()
        got = {name: float(row[name]) for name in expected if name != "peak_utc"}
        found += [
            (place, name, got[name], value)
            for name, value in expected.items()
            if name != "peak_utc" and not np.isclose(got[name], value, rtol=1e-6, atol=1e-3)
        ]
        if moment != expected["peak_utc"]:
            found.append((place, "peak_utc", moment, expected["peak_utc"]))
    return found


def test_utilization_peaks_and_their_times_equal_the_file(table, known, plants):
    compared = table[table["namespace_name"].isin(known.with_quota)]
    assert len(compared) == 4 * 61
    gone = (plants["ended"], plants["dead"], plants["died"])
    assert differences(table, known, step=SCRAPE_SECONDS, leave_out=gone) == []


def test_each_crossing_of_a_threshold_is_that_of_the_file(snapshot, known):
    expected = set()
    for place, hard in known.hard.items():
        is_known = ~np.isnan(known.used[place])
        times, ratio = known.times[is_known], (known.used[place] / hard)[is_known]
        for threshold in (0.9, 1.0):
            over = ratio >= threshold - 1e-9
            turns = np.flatnonzero(over[1:] != over[:-1]) + 1
            expected |= {
                (*place, threshold, "up" if over[turn] else "down", int(times[turn]))
                for turn in turns.tolist()
            }
    found = {
        (row["namespace_name"], FIELDS[row["resource"]], row["threshold"], row["direction"],
         int(row["crossed_utc"].timestamp()))
        for row in crossings_of(snapshot).to_dict("records")
    }  # fmt: skip
    assert len(expected) > 100
    assert found == expected


def test_namespaces_that_never_had_a_quota_are_unknown_for_that_reason(table, month):
    without = set(month.namespaces) - set(month.with_quota)
    rows = table[table["namespace_name"].isin(without)]
    assert (len(without), set(rows["verdict"])) == (18, {"unknown: no quota"})
    assert len(rows) == 4 * 18
    assert set(table["namespace_name"]) == set(month.namespaces)


def test_a_namespace_without_samples_at_the_end_is_unknown_since_then(table, month, plants):
    rows = table[table["namespace_name"] == plants["ended"]]
    last = datetime.fromtimestamp(month.times[-1], UTC) - timedelta(days=2)
    assert len(rows) == 4
    for verdict in rows["verdict"]:
        assert verdict == f"unknown: no sample since {last.day} {last:%b %H:%M} UTC"
    assert rows[["used", "utilization_ratio"]].isna().all().all()
    peaks = rows.set_index("resource")["peak_used"]
    for field, key in FIELDS.items():
        assert peaks[field] == pytest.approx(np.nanmax(month.used[plants["ended"], key]), rel=1e-6)


def test_a_counter_that_is_always_zero_is_no_figure(table, plants):
    rows = table[table["namespace_name"] == plants["dead"]]
    assert all(verdict.startswith("unknown: all zero") for verdict in rows["verdict"])
    assert rows[["used", "peak_used"]].isna().all().all()


def test_a_counter_that_died_is_unknown_since_then_and_its_peak_is_that_of_before(
    table, known, plants
):
    rows = table[table["namespace_name"] == plants["died"]].set_index("resource")
    since = datetime.fromtimestamp(known.times[-1], UTC) - timedelta(days=12)
    reason = f"zero while its pods ask for more, since {since.day} {since:%b %H:%M} UTC"
    assert set(rows["verdict"]) == {f"unknown: {reason}"}
    assert rows["used"].isna().all()
    for field, key in FIELDS.items():
        peak = np.nanmax(known.used[plants["died"], key])
        assert rows["peak_used"][field] == pytest.approx(peak, rel=1e-6)


def test_days_of_untrue_zeros_are_unknown_and_those_of_rest_are_zero(snapshot, known, plants):
    daily = daily_of(snapshot).set_index("namespace_name")
    days = sorted({
        datetime.fromtimestamp(at - SCRAPE_SECONDS, UTC).date()
        for at in known.times[days_of_rest(known)]
    })[1:-1]  # fmt: skip
    assert len(days) >= 2
    assert daily.loc[plants["revived"], days].isna().all()
    assert (daily.loc[plants["rested"], days] == 0).all()


def test_gap_change_and_birth_are_shown_for_what_they_are(table, plants):
    by_name = table.groupby("namespace_name")["evidence"].agg(set)
    assert by_name[plants["gap"]] == by_name[plants["revived"]] == {"gaps"}
    assert by_name[plants["rested"]] == {"sound"}
    assert by_name[plants["raised"]] == {"quota changed"}
    assert by_name[BORN] == {"new"}
    assert by_name[plants["dead"]] <= {"dead sensor", "all zero"}


def test_the_notebook_comes_to_the_same_and_asks_nobody_else(
    endpoint, known, plants, mns, tmp_path
):
    given = {
        "target": "azure", "inventory": "history", "history": "prometheus",
        "prometheus_endpoint": endpoint, "lookback_days": 32, "runs_dir": tmp_path,
    }  # fmt: skip
    words = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    done = mns("run", "40", *words)
    assert done.returncode == 0, done.stdout + done.stderr

    run = next(tmp_path.glob("2*-40_*"))
    with (run / "tables" / "utilization.csv").open(encoding="utf-8", newline="") as file:
        rows = [{k: v or "nan" for k, v in row.items()} for row in csv.DictReader(file)]
    gone = (plants["ended"], plants["dead"], plants["died"])
    assert len(rows) == 4 * 79
    assert differences(pd.DataFrame(rows), known, step=HOUR, leave_out=gone) == []
    assert "management.azure.com" not in (run / "report.html").read_text(encoding="utf-8")
