"""What each namespace needs next: one table, and the request file that asks for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import pytest

from mnslib.capacity.clusters import COMMITMENT_COLUMNS
from mnslib.capacity.decide import needed_for
from mnslib.capacity.evidence import EVIDENCE_COLUMNS
from mnslib.capacity.fit import FIT_COLUMNS
from mnslib.capacity.layers import LAYER_COLUMNS
from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.refusals import REFUSALS_COLUMNS
from mnslib.capacity.snapshot import NAMESPACE_COLUMNS, Snapshot, no_series
from mnslib.capacity.tables import Tables
from mnslib.capacity.utilization import UTILIZATION_COLUMNS
from mnslib.kube_models import QuotaStatus
from mnslib.provisioning.plan import make_plan
from mnslib.quantities import GIB, MIB
from mnslib.requests.spec import parse_requests
from mnslib.show.cells import csv_parts, text_columns
from tests.unit.provisioning.factories import CLUSTER, make_namespace, make_observed

NAN = float("nan")
SUBSCRIPTION, GROUP, NAME = CLUSTER.subscription_id, CLUSTER.resource_group, CLUSTER.cluster_name
HARD = {"cpu_request": 1.0, "cpu_limit": 2.0, "memory_request": 1.0 * GIB, "memory_limit": 2 * GIB}
SPACES = {"full": True, "idle": True, "foreign": False, "doubly": True}
"""Namespace to whether Azure manages it."""


def quota(name, **hard):
    keys = {"cpu_request": "requests.cpu", "cpu_limit": "limits.cpu"}
    keys |= {"memory_request": "requests.memory", "memory_limit": "limits.memory"}
    amounts = {keys[field]: Decimal(int(value)) for field, value in (HARD | hard).items()}
    return QuotaStatus(namespace_name=name, name="defaultresourcequota", hard=amounts, used={})


@pytest.fixture
def snapshot():
    rows = [[f"{GROUP}/{NAME}", name, SUBSCRIPTION, GROUP, "web", managed, ""]
            for name, managed in SPACES.items()]  # fmt: skip
    return Snapshot(
        read_utc=datetime(2026, 11, 2, 6, tzinfo=UTC),
        namespaces=pd.DataFrame(rows, columns=list(NAMESPACE_COLUMNS)),
        quotas={f"{GROUP}/{NAME}": [quota("full"), quota("idle"), quota("doubly", cpu_request=9)]},
        commitments={},
        used=no_series(SPACE),
        hard=no_series(SPACE),
        usage_cpu=no_series(SPACE),
        usage_memory=no_series(SPACE),
    )


@pytest.fixture
def tables(snapshot):
    values = [
        ("full", "cpu_request", 1.0, "full", "grow"), ("idle", "cpu_request", 0.2, "ok", "shrink"),
        ("foreign", "cpu_request", 1.0, "full", "grow"),
        ("doubly", "cpu_request", 1.0, "full", "grow"),
        *((name, "cpu_limit", 1.0, "ok", "grow") for name in ("full", "foreign", "doubly")),
    ]  # fmt: skip
    utilization = [
        dict.fromkeys(UTILIZATION_COLUMNS, NAN) | {
            "cluster_name": f"{GROUP}/{NAME}", "namespace_name": name, "resource": resource,
            "hard": HARD[resource], "used": used, "peak_used": used, "verdict": verdict,
            "utilization_ratio": used / HARD[resource], "advice": advice, "owner": "web",
        }
        for name, resource, used, verdict, advice in values
    ]  # fmt: skip
    gap = dict.fromkeys(FIT_COLUMNS, NAN) | {
        "cluster_name": f"{GROUP}/{NAME}", "namespace_name": "full", "workload_name": "broker",
        "question": "next_pod", "verdict": "no", "reason": "quota", "left_cpu_request": -1.625,
    }  # fmt: skip
    found = {
        "utilization": pd.DataFrame(utilization),
        "layers": pd.DataFrame(columns=list(LAYER_COLUMNS)),
        "refusals": pd.DataFrame(columns=list(REFUSALS_COLUMNS)),
        "fit": pd.DataFrame([gap]),
        "commitment": pd.DataFrame(columns=list(COMMITMENT_COLUMNS)),
        "evidence": pd.DataFrame(columns=list(EVIDENCE_COLUMNS)),
    }
    return reading(snapshot, found)


def reading(snapshot, found):
    """A reading whose tables are made already."""
    tables = Tables(snapshot)
    vars(tables).update(found)
    return tables


def test_every_step_is_a_row_with_its_amounts_and_why(tables):
    table = tables.steps.set_index(["namespace_name", "resource"])
    raised = table.loc[("full", "cpu_request")]
    assert raised[["kind", "from", "to", "request"]].tolist() == ["raise", 1.0, 2.7, "2700m"]
    assert raised["reason"] == "full; short of 1.6 cores of CPU requests for the next pod"
    assert table.loc[("full", "cpu_limit"), "to"] == 2.7  # a limit is never below its request
    idle = table.loc[("idle", "cpu_request")]
    assert idle[["from", "to"]].tolist() == [1.0, 0.75]
    assert idle["reason"] == "never asked for; a quarter at most"


def test_pods_that_a_quota_counts_are_a_reason_without_an_amount(tables):
    tables.fit["left_pods"] = -2.0
    reason = tables.steps.set_index("namespace_name").loc["full", "reason"].iloc[0]
    assert reason.endswith("of CPU requests for the next pod; short of 2 pods for the next pod")


def test_the_request_file_of_the_steps_plans_exactly_these_changes(tables, tmp_path):
    requests = tables.requests
    path = tmp_path / "requests.csv"
    path.write_bytes(b"".join(map(bytes, csv_parts(text_columns(requests)))))
    specs = parse_requests(path)
    plan = make_plan(specs, make_observed(make_namespace("full"), make_namespace("idle")))
    found = {
        (change.id.namespace_name, each.path): (each.old, each.new)
        for change in plan.changes
        for each in change.differences
    }
    assert found == {
        ("full", "cpu_request"): ("1000m", "2700m"), ("full", "cpu_limit"): ("2000m", "2700m"),
        ("idle", "cpu_request"): ("1000m", "750m"),
    }  # fmt: skip


def test_what_azure_does_not_manage_or_another_quota_decides_is_in_no_request(snapshot, tables):
    assert set(tables.steps["namespace_name"]) == {"full", "idle", "foreign", "doubly"}
    assert set(tables.requests["namespace_name"]) == {"full", "idle"}
    names = ("utilization", "layers", "refusals", "fit", "commitment", "evidence")
    found = {name: vars(tables)[name] for name in names}
    assert reading(replace(snapshot, quotas={}), found).requests.empty


@pytest.mark.parametrize(
    ("used", "resource", "needed"),
    [(12, "cpu_limit", 13.4), (0.25, "cpu_request", 0.28), (9, "cpu_request", 10.0),
     (9 * GIB, "memory_request", 10 * GIB), (500 * MIB, "memory_limit", 556 * MIB)],
)  # fmt: skip
def test_what_is_needed_leaves_a_tenth_and_can_be_written_down(used, resource, needed):
    (found,) = needed_for(pd.Series([used]), pd.Series([resource]))
    assert found == pytest.approx(needed)
    assert used / found <= 0.9 + 1e-9
