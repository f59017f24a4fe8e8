"""Advice that cuts nothing blindly: a made history, analyzed again by `mns run`."""

from __future__ import annotations

import csv
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.snapshot import (
    NAMESPACE_COLUMNS,
    QUOTA_SERIES,
    Snapshot,
    wide_frame,
)
from mnslib.capacity.store import FACTS_FILE, write_snapshot
from mnslib.kube_models import Container, Event, Pod, QuotaStatus, Workload
from mnslib.models import MANAGED_QUOTA_NAME

from .conftest import Mns
from .test_earlier_runs import EARLIER, READ

NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
HOURS, CLUSTER, GIB = 24 * 10, "aks-1", 2**30
CPU, MEMORY = "requests.cpu", "requests.memory"


def flat(value, **at):
    """Ten days of hours, of which some (`h3`) are others."""
    samples = np.full(HOURS, float(value), dtype=np.float32)
    for place, other in at.items():
        samples[int(place.removeprefix("h"))] = other
    return samples


def torn(value):
    """Two days in the middle are unseen, a fifth of the time."""
    samples = flat(value)
    samples[50:98] = np.nan
    return samples


def changed(before, after, *, steps):
    samples = flat(before)
    samples[-steps:] = after
    return samples


def idle(**history):
    """2 of 20 cores are asked for, unless told otherwise."""
    return {"hard": "20", "counted": "2", **history}


def full(hard="4", **history):
    return {"hard": hard, "counted": "4", "used": flat(4), "asked": flat(4), "usage": flat(3.8),
            **history}  # fmt: skip


def busy(**history):
    """16 of 20 cores are asked for, of which 1 is used, unless told otherwise."""
    return {"hard": "20", "counted": "16", "used": flat(16), "asked": flat(16), "usage": flat(1),
            **history}  # fmt: skip


WORLD = {
    "calm": idle(),
    "burst": idle(usage=flat(1.9, h3=17)),
    "wished": idle(asked=flat(2, h3=16.5)),
    "peaked": idle(used=flat(2, h3=13.6)),
    "filled": idle(usage=flat(1.9, h3=20.5)),
    "torn-counter": idle(used=torn(2)),
    "torn-usage": idle(usage=torn(1.9)),
    "wasteful": busy(),
    "wasteful-but-once": busy(usage=flat(1, h3=16)),
    "wasteful-over-gaps": busy(usage=torn(1)),
    "refused": full(limited="4"),
    "refused-before": full(hard="6", hards=flat(6), limited="4"),
    "refused-before-too": full(hards=changed(5, 4, steps=1), limited="4"),
    "raised": full(),
}
GRANTED = {"raised": "9"}
"""Cores that Azure holds already, while the cluster still shows 4."""


def refusal(name, limited):
    return Event(
        namespace_name=name,
        reason="FailedCreate",
        message=f"exceeded quota: {MANAGED_QUOTA_NAME}, requested: {CPU}=1, used: {CPU}={limited}, "
        f"limited: {CPU}={limited}",
        object_kind="ReplicaSet",
        object_name="app-1",
        count=4,
        first_utc=NOW - timedelta(minutes=90),
        last_utc=NOW - timedelta(minutes=90),
    )


def workload(name):
    container = Container(requests={"cpu": Decimal(1)})
    pod = Pod(namespace_name=name, name="app", phase="Pending", containers=(container,))
    return Workload(
        kind="ReplicaSet", namespace_name=name, name="app-1", replicas=8, running=4, template=pod
    )


def wide(samples, names):
    times = pd.date_range(end=NOW, periods=HOURS, freq="h").as_unit("ns")
    values = np.array(list(samples.values()), dtype=np.float32).T
    return wide_frame(times, list(samples), values, names=names)


def made_snapshot():
    memory = {CPU: None, MEMORY: 16 * GIB}
    quotas, series = [], {"used": {}, "hard": {}, "requested": {}}
    usage = {"usage_cpu": {}, "usage_memory": {}}
    for name, of in WORLD.items():
        hard = memory | {CPU: Decimal(of["hard"]), MEMORY: Decimal(memory[MEMORY])}
        counted = {CPU: Decimal(of["counted"]), MEMORY: hard[MEMORY] * 85 / 100}
        quotas.append(
            QuotaStatus(namespace_name=name, name=MANAGED_QUOTA_NAME, hard=hard, used=counted)
        )
        own = {
            "used": of.get("used", flat(2)),
            "hard": of.get("hards", flat(of["hard"])),
            "requested": of.get("asked", flat(2)),
        }
        for kind, samples in own.items():
            share = 1 if kind == "hard" else 0.85
            series[kind][CLUSTER, name, CPU] = samples
            series[kind][CLUSTER, name, MEMORY] = flat(share * memory[MEMORY])
        usage["usage_cpu"][CLUSTER, name] = of.get("usage", flat(1.9))
        usage["usage_memory"][CLUSTER, name] = flat(0.8 * memory[MEMORY])
    rows = [
        (CLUSTER, name, "sub", "rg-platform", f"{name}-owner", True, "") for name in sorted(WORLD)
    ]
    limited = {name: of["limited"] for name, of in WORLD.items() if "limited" in of}
    return Snapshot(
        read_utc=NOW,
        namespaces=pd.DataFrame(rows, columns=list(NAMESPACE_COLUMNS)),
        quotas={CLUSTER: quotas},
        commitments={},
        events={CLUSTER: [refusal(*each) for each in limited.items()]},
        workloads={CLUSTER: [workload(name) for name in limited]},
        **{kind: wide(samples, QUOTA_SERIES) for kind, samples in series.items()},
        **{kind: wide(samples, SPACE) for kind, samples in usage.items()},
    )


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The made history, analyzed as if an earlier run had read it."""
    folder = tmp_path_factory.mktemp("restraint")
    origin = shutil.copytree(EARLIER / READ, folder / "runs" / READ)
    snapshot = shutil.rmtree(origin / "snapshot") or origin / "snapshot"
    write_snapshot(made_snapshot(), snapshot, written_by="test")
    facts = json.loads((snapshot / FACTS_FILE).read_text("utf-8"))
    facts["granted"] = [
        [[CLUSTER, name], {"cpu_request": cores}] for name, cores in GRANTED.items()
    ]
    (snapshot / FACTS_FILE).write_text(json.dumps(facts), "utf-8")
    environment = {**os.environ, "MNS_SANDBOX": str(folder / "no-such-sandbox.json"),
                   "MNS_LOCKS_DIR": str(folder / "locks")}  # fmt: skip
    done = Mns(folder, environment).run("40", snapshot_run=READ)
    assert done.code == 0, done.output
    return done


def rows(run, name):
    with (run.directory / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def steps_of(run, name):
    """Return the steps of one namespace: kind, and to how many cores its quota goes."""
    return [
        (row["kind"], row["to"] and float(row["to"]))
        for row in rows(run, "steps")
        if row["namespace_name"] == name and row["resource"] in ("cpu", "cpu_request")
    ]


@pytest.mark.parametrize(
    ("name", "to"),
    [("calm", 15), ("burst", 17), ("wished", 16.5), ("peaked", 17)],
)
def test_no_cut_is_of_more_than_a_quarter_or_below_any_peak(judged, name, to):
    """Used, asked for or counted (of which a peak may be 80 %): the highest of ten days decides."""
    assert steps_of(judged, name) == [("give back", to)]
    (request,) = [row for row in rows(judged, "requests") if row["namespace_name"] == name]
    assert request["cpu_request"] == f"{to * 1000:.0f}m"


@pytest.mark.parametrize(
    "name",
    ["filled", "torn-counter", "torn-usage", "wasteful-but-once", "wasteful-over-gaps"],
)
def test_nothing_is_cut_over_gaps_or_where_a_peak_took_it_all(judged, name):
    assert steps_of(judged, name) == []
    assert name not in {row["namespace_name"] for row in rows(judged, "requests")}


def test_requests_that_no_peak_used_are_to_be_lowered(judged):
    assert steps_of(judged, "wasteful") == [("lower requests", "")]


def test_refusals_older_than_the_last_change_of_the_quota_propose_nothing(judged):
    reasons = {row["namespace_name"]: row["reason"] for row in rows(judged, "steps")}
    assert "pods were refused 4 times" in reasons["refused"]
    ((kind, to),) = steps_of(judged, "refused")
    assert (kind, to) == ("raise", 8)  # 4 more pods of a core
    assert "refused-before" not in reasons
    assert "refused" not in reasons["refused-before-too"]  # it is full now, for another reason


def test_a_raise_that_was_made_is_not_proposed_again_lower(judged):
    assert steps_of(judged, "raised") == []
    assert "raised" not in {row["namespace_name"] for row in rows(judged, "requests")}


@pytest.mark.parametrize(
    ("why", "names"),
    [
        ("Nothing is taken back where samples have gaps",
         "wasteful-over-gaps, torn-counter, torn-usage"),
        ("Nothing is taken back where a peak of the lookback needed it",
         "wasteful-but-once, filled"),
        ("Nothing is proposed where Azure holds another quota than the cluster shows yet",
         "raised"),
        ("No raise is proposed for pods refused before the quota was last changed, "
         "or that are no longer missing",
         "refused-before, refused-before-too"),
    ],
)  # fmt: skip
def test_the_report_names_where_something_is_held_back_and_why(judged, why, names):
    assert f"{why}: {names}." in judged.report
