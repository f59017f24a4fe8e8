"""Nodes that teams cannot use, through the command line: in a plan, and in the analysis."""

from __future__ import annotations

import csv
import os

import pytest

from mnslib.sandbox.state import State
from tests.conftest import sandbox_process

from .conftest import Mns

CLUSTER = "aks-prod-weu-2"  # 8 nodes of 7.82 cores
TAINT = {"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"}


@pytest.fixture
def upgraded(tmp_path):
    """A sandbox in which six of eight nodes are out of use in a way, and a virtual one is there."""
    state = tmp_path / "state.sqlite"
    with sandbox_process(tmp_path, state=state) as connection:
        there = State(str(state))
        (key,) = (
            one["id"].lower()
            for one in there.resources("Microsoft.ContainerService/managedClusters")
            if one["name"] == CLUSTER
        )
        nodes = there.objects(key, "nodes")
        virtual = {**nodes[0], "metadata": {**nodes[0]["metadata"], "name": "virtual"}}
        virtual["metadata"]["labels"] = {"type": "virtual-kubelet"}
        virtual["status"] = {**virtual["status"], "allocatable": {"cpu": "1k", "memory": "9Ti"}}

        def set_out(**spec):
            for node in nodes[2:]:
                there.put_object(key, "nodes", {**node, "spec": {**node["spec"], **spec}})
            there.put_object(key, "nodes", virtual)

        environment = {**os.environ, "MNS_SANDBOX": str(connection)}
        yield set_out, Mns(tmp_path, {**environment, "MNS_LOCKS_DIR": str(tmp_path / "locks")})


def test_what_an_upgrade_takes_away_is_told_and_what_stays_away_is_a_risk(upgraded):
    set_out, mns = upgraded
    asked = {"dry_run": "true", "approval": "digest", "cluster_name": CLUSTER}

    set_out(unschedulable=True)
    during = mns.run("20", **asked)
    assert during.code == 0, during.output
    assert during.plan["changes"][0]["risks"] == []
    (warning,) = [line for line in during.result["warnings"] if line.startswith("nodes")]
    assert f"{CLUSTER} lacks" in warning
    assert "with them back, all of it fits" in warning
    assert "Does not fit before nodes are back" in during.report
    assert "2 of 9" in during.report
    assert "virtual (virtual), aks-" in during.report

    set_out(taints=[TAINT])
    closed = mns.run("20", **asked)
    assert [risk["name"] for risk in closed.plan["changes"][0]["risks"]] == ["overcommit"]

    analysis = mns.run("40", history="none")
    with (analysis.directory / "tables" / "commitment.csv").open(newline="") as file:
        rows = {(row["cluster_name"], row["resource"]): row for row in csv.DictReader(file)}
    row = rows[CLUSTER, "cpu"]
    assert float(row["allocatable"]) == pytest.approx(2 * 7.82)
    assert row["verdict"].endswith("overcommit")
    assert row["nodes_left_out"].count(": closed") == 6
    assert "virtual: virtual" in row["nodes_left_out"]
    assert rows["aks-prod-weu-1", "cpu"]["nodes_left_out"] == ""
