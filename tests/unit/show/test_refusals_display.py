"""Refused pods as a reader sees them: whose, what was short, what helps."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from mnslib.capacity.refusals import REFUSALS_COLUMNS
from mnslib.capacity.snapshot import (
    NAMESPACE_COLUMNS,
    QUOTA_SERIES,
    USAGE_SERIES,
    Snapshot,
    no_series,
)
from mnslib.show.refusals import refusals_finding, refusals_report

GIB = 2**30
API = {
    "cluster_name": "aks-1",
    "namespace_name": "shop",
    "workload_kind": "Deployment",
    "workload_name": "api",
    "owner": "shop-team",
    "count": 40,
    "last_utc": datetime(2026, 11, 2, 5, 55, tzinfo=UTC),
    "missing_pods": 4,
    "problem": "quota exceeded",
    "quota_name": "defaultresourcequota",
    "message": "no",
}
CPU = {"key": "requests.cpu", "pod_requested": 0.5, "used": 12, "limited": 12, "raise_one": 0.5}
CPU |= {"raise_all": 2, "quota_one": "12500m", "quota_all": "14000m"}
CPU |= {"request_column": "cpu_request"}
MEMORY = {"key": "limits.memory", "pod_requested": 2 * GIB, "used": 44 * GIB, "limited": 48 * GIB}
MEMORY |= {"raise_one": 0, "raise_all": 4 * GIB, "quota_one": "48Gi", "quota_all": "52Gi"}
MEMORY |= {"request_column": "memory_limit"}


@pytest.fixture
def make_table():
    def make(*rows):
        found = [API | {"containers": ""} | row for row in rows]
        return pd.DataFrame(found, columns=list(REFUSALS_COLUMNS))

    return make


@pytest.fixture
def make_snapshot():
    """A snapshot without namespaces and samples."""

    def make(**said):
        usage = {name: no_series(USAGE_SERIES) for name in ("usage_cpu", "usage_memory")}
        quotas = {name: no_series(QUOTA_SERIES) for name in ("used", "hard")}
        return Snapshot(
            read_utc=datetime(2026, 11, 2, 6, tzinfo=UTC),
            namespaces=pd.DataFrame(columns=list(NAMESPACE_COLUMNS)),
            quotas={},
            commitments={},
            **usage,
            **quotas,
            **said,
        )

    return make


@pytest.fixture
def snapshot(make_snapshot):
    return make_snapshot(events={"aks-1": ()})


def cells(snapshot, table):
    report = refusals_report(snapshot, table)
    return [[str(cell) for cell in row] for row in report.parts[1].rows]


def test_a_workload_is_one_row_with_both_raises(snapshot, make_table):
    assert cells(snapshot, make_table(CPU, MEMORY)) == [
        [
            "api (Deployment) (shop, aks-1)",
            "shop-team",
            "40 times",
            "2 Nov 2026 05:55 UTC",
            "CPU requests: a pod asks for 0.5 cores, 12 cores of 12 cores are taken "
            "(defaultresourcequota)",
            "cpu_request=12500m for one pod (for all 4 missing: cpu_request=14000m, "
            "memory_limit=52Gi)",
        ]
    ]


@pytest.mark.parametrize("missing", [0, 1, float("nan")])
def test_one_pod_needs_one_raise(snapshot, make_table, missing):
    one = CPU | {"missing_pods": missing, "raise_all": 0.5, "quota_all": "12500m"}
    assert cells(snapshot, make_table(one))[0][-1] == "cpu_request=12500m"


def test_a_quota_that_azure_does_not_manage_is_named(snapshot, make_table):
    pods = {"key": "pods", "pod_requested": 1, "used": 7, "limited": 7, "quota_name": "count"}
    pods |= {"raise_one": 1, "raise_all": 4, "quota_one": "8", "quota_all": "11"}
    *_, short, helps = cells(snapshot, make_table(pods | {"request_column": ""}))[0]
    assert short == "pods: a pod asks for 1, 7 of 7 are taken (count)"
    assert helps == "count: pods=8 for one pod (for all 4 missing: count: pods=11)"


def test_missing_values_name_key_and_container(snapshot, make_table):
    bare = {"problem": "values missing", "last_utc": None}
    rows = [bare | {"key": key, "containers": "app"} for key in ("limits.cpu", "limits.memory")]
    *_, last, short, helps = cells(snapshot, make_table(*rows))[0]
    assert last == "unknown"
    assert short == "limits.cpu and limits.memory of container app: not set"
    assert helps == "Set them on the containers, or add a LimitRange with defaults"


def test_another_message_is_shown_escaped(snapshot, make_table):
    table = make_table({"problem": "other", "message": "violates <b>PodSecurity</b>"})
    assert cells(snapshot, table)[0][-2:] == [
        "violates <b>PodSecurity</b>",
        "Not the quota: read the message",
    ]
    page = refusals_report(snapshot, table)._repr_html_()
    assert "violates &lt;b&gt;PodSecurity" in page


def test_the_finding_names_the_workload_that_is_refused_most(snapshot, make_table):
    found = refusals_finding(snapshot, make_table(CPU, MEMORY, CPU | {"workload_name": "web"}))
    assert found == "Pods of 2 workloads were refused, most often those of api in shop"


def test_no_event_is_not_said_of_a_cluster_whose_events_are_unknown(make_snapshot, make_table):
    empty = make_table()
    read = make_snapshot(events={"aks-1": ()})
    partly = make_snapshot(
        events={"aks-1": ()},
        unread={("aks-2", "events"): "no permission", ("aks-1", "nodes"): "no permission"},
        unreachable={"aks-3": "cluster is stopped"},
    )
    nothing = make_snapshot(unread={("aks-2", "events"): "no permission"})
    assert refusals_finding(read, empty) == "No pod was refused within the last hour"
    assert refusals_finding(partly, empty) == (
        "No pod was refused within the last hour; unknown of aks-2 (no permission), "
        "aks-3 (cluster is stopped)"
    )
    assert refusals_finding(nothing, empty) == (
        "Whether pods were refused is unknown; unknown of aks-2 (no permission)"
    )
