"""Notebook 10 from somebody's first day on: no cluster, and the provider not registered."""

from __future__ import annotations

import json
import os
import re

import pytest

from ..conftest import sandbox_process, seeded
from .conftest import Mns, writes

CLUSTER = "aks-prod-weu-3"


@pytest.fixture(scope="module")
def bare_file(tmp_path_factory):
    with sandbox_process(tmp_path_factory.mktemp("bare"), world="bare") as file:
        yield file


@pytest.fixture
def bare(bare_file, tmp_path):
    with seeded(json.loads(bare_file.read_text(encoding="utf-8"))) as sandbox:
        locks = str(tmp_path / "locks")
        environment = {**os.environ, "MNS_SANDBOX": str(bare_file), "MNS_LOCKS_DIR": locks}
        yield sandbox, Mns(tmp_path, environment)


def test_from_a_bare_subscription_to_a_team_that_is_onboarded(bare):
    sandbox, mns = bare
    looked = mns.run("10", dry_run="true", approval="digest")
    assert looked.code == 0, looked.output
    assert looked.result["status"] == "findings"
    assert "NotRegistered" in looked.report
    assert "mns sandbox" not in looked.report
    assert "allow: [create-cluster, register-provider]" in looked.output
    (digest,) = re.findall(r'approved_digest: "(sha256:\w+)"', looked.output)
    assert writes(sandbox.requests()) == []

    approved = {"approval": "digest", "approved_digest": digest}
    refused = mns.run("10", **approved, allow="[register-provider]")
    assert refused.code == 4
    assert "create-cluster" in refused.result["headline"]
    posts = [one for one in sandbox.requests() if one["path"].endswith("/register")]
    assert writes(sandbox.requests()) == posts == []

    made = mns.run("10", **approved, allow="[register-provider, create-cluster]")
    assert made.code == 0, made.output
    (item,) = made.result["items"]
    assert (item["cluster_name"], item["namespace_name"], item["outcome"]) == (
        CLUSTER, "", "created",
    )  # fmt: skip
    assert made.result["warnings"] == [f"{CLUSTER}: Managed Prometheus is off."]
    assert "Planned again: 1 cluster, no change left." in made.report

    sandbox.control("DELETE", "requests")
    again = mns.run("10")
    assert again.code == 0
    assert again.result["items"][0]["outcome"] == "unchanged"
    assert again.result["status"] == "done"
    assert writes(sandbox.requests()) == []

    undone = mns("undo", str(made.directory))
    assert undone.returncode == 0
    assert "an undo deletes no cluster" in undone.stderr
    assert "plan them" not in undone.stdout
    assert "run it anew: what is done stays" in mns("resume", str(made.directory)).stderr

    team = mns.run("20", cluster_name=CLUSTER, limit_range="auto")
    assert team.code == 0, team.output
    assert team.result["items"][0]["outcome"] == "created"
    told = team.result["summary"]
    assert (told["proofs"], told["proofs_failed"], told["proofs_open"]) == (5, 0, 0)
    assert (told["rights_proven"], told["rights_computed"]) == (12, 0)


def test_a_cluster_that_is_not_there_is_named_with_what_there_is_and_none_is_made_unasked(bare):
    sandbox, mns = bare
    done = mns.run("10", create_cluster="false", cluster_name="aks-typo")
    assert done.code == 4
    assert "cluster aks-typo was not found" in done.result["headline"]
    assert "az aks create -g rg-platform -n aks-typo" in done.report
    missing = mns.run("10", resource_group="rg-typo")
    assert missing.code == 4
    assert "az group create -n rg-typo" in missing.result["headline"]
    assert writes(sandbox.requests()) == []


def test_on_a_cluster_in_use_azure_rbac_is_turned_on_behind_its_name_alone(sandbox, mns):
    asked = {"cluster_name": "aks-prod-neu-1", "create_cluster": "false"}
    refused = mns.run("10", **asked)
    assert refused.code == 4
    assert "enable-azure-rbac" in refused.result["headline"]
    before = sandbox.cluster("aks-prod-neu-1")
    done = mns.run("10", **asked, allow="[enable-azure-rbac]")
    assert done.code == 0, done.output
    assert done.result["items"][0]["outcome"] == "updated"
    (put,) = [one for one in sandbox.requests() if one["method"] == "PUT"]
    assert put["path"].lower() == str(before).lower()
    assert put["body"]["properties"]["aadProfile"]["enableAzureRBAC"] is True
    assert put["body"]["properties"]["networkProfile"]["networkPolicy"] == "calico"
    assert put["body"]["properties"]["aadProfile"]["adminGroupObjectIDs"]


def test_a_new_cluster_can_be_had_by_another_world_of_the_projects_sandbox(bare):
    _, mns = bare
    done = mns("sandbox", "reset", "--world", "default")
    assert done.returncode == 0, done.stderr
    looked = mns.run("10", dry_run="true", approval="digest", cluster_name="aks-prod-weu-2")
    assert looked.result["items"][0]["outcome"] == "unchanged"
    assert mns("sandbox", "reset", "--world", "bare").returncode == 0
    assert "there are bare, default" in mns("sandbox", "reset", "--world", "odd").stderr
