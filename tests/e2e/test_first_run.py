"""The first run of docs/first-run-on-azure.md: read, plan, one namespace, undone again.

On the sandbox always; on Azure with `pytest -m azure`, on the cluster that `MNS_AZURE_CLUSTER`
names by its ARM id, as whoever `MNS_AZURE_CREDENTIAL` says (default: `az login`). It writes one
namespace of a name of its own, with the delete policy Keep, and takes it away again.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

import mnslib
from mnslib.resource_ids import ClusterId

from .conftest import ROOT, Mns, Run

CLUSTER_VARIABLE, CREDENTIAL_VARIABLE = "MNS_AZURE_CLUSTER", "MNS_AZURE_CREDENTIAL"
QUOTA = {
    "cpu_request": "100m",
    "cpu_limit": "200m",
    "memory_request": "128Mi",
    "memory_limit": "256Mi",
}


@dataclass(frozen=True)
class Place:
    """Where the first run goes, and the parameters that say so."""

    target: str
    cluster: ClusterId
    mns: Mns

    def run(self, number: str, **parameters: str) -> Run:
        name = next(p.stem for p in (ROOT / "notebooks").glob(f"{number}_*.ipynb"))
        file = ROOT / "parameters" / f"{name}.{self.target}.yaml"
        way = {}
        if self.target == "azure":
            way = {"credential": os.environ.get(CREDENTIAL_VARIABLE, "cli")}
        return self.mns.run(number, file=file, **(way | parameters))

    def kubeconfig(self, name: str, file: Path) -> Path:
        """Write one that signs in as whoever runs this, not as the team."""
        way = {"clusters": [str(self.cluster)], "subscription_ids": [self.cluster.subscription_id]}
        if self.target == "azure":
            way |= {"credential": os.environ.get(CREDENTIAL_VARIABLE, "cli")}
        fleet = mnslib.connect(self.target, **way)
        return fleet.namespace(self.cluster.cluster_name, name).kubeconfig(file)


@pytest.fixture(params=["sandbox", pytest.param("azure", marks=pytest.mark.azure)])
def place(request, mns, monkeypatch):
    if request.param == "sandbox":
        sandbox = request.getfixturevalue("sandbox")
        monkeypatch.setenv("MNS_SANDBOX", mns.environment["MNS_SANDBOX"])
        yield Place("sandbox", sandbox.cluster("aks-prod-weu-2"), mns)
        return
    if "azure" not in request.config.getoption("markexpr"):
        pytest.skip("writes to Azure: only with `pytest -m azure`")
    if not (named := os.environ.get(CLUSTER_VARIABLE)):
        pytest.skip(f"set {CLUSTER_VARIABLE} to the ARM id of a cluster for tests")
    yield Place("azure", ClusterId.parse(named), mns)


@pytest.fixture
def name(place):
    name = f"mnslib-first-run-{uuid.uuid4().hex[:8]}"
    yield name
    shutil.rmtree(ROOT / "handover" / place.cluster.cluster_name / name, ignore_errors=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is absent")
@pytest.mark.slow
def test_the_first_run_reads_then_writes_one_namespace_and_takes_it_away(place, name, tmp_path):
    cluster = place.cluster
    read = place.run("40", clusters=f'["{cluster}"]', lookback_days="1", history="none")
    assert read.code == 0, read.output
    assert read.result["status"] in ("done", "findings")

    where = {
        "subscription_id": cluster.subscription_id,
        "resource_group": cluster.resource_group,
        "cluster_name": cluster.cluster_name,
    }
    asked = {"namespace_name": name, "delete_policy": "Keep", "access": "[]", "tier": "", **QUOTA}
    planned = place.run("20", **where, **asked, dry_run="true", approval="digest", allow="[]")
    assert planned.code == 0, planned.output
    (item,) = planned.result["items"]
    assert (item["change"], item["outcome"]) == ("Create", "not_attempted")

    approval = {"dry_run": "false", "approval": "digest"}
    digest = planned.plan["digest"]
    done = place.run("20", **where, **asked, **approval, approved_digest=digest, allow="[]")
    assert done.code == 0, done.output
    assert [one["outcome"] for one in done.result["items"]] == ["created"]
    kubeconfig = place.kubeconfig(name, tmp_path / "kubeconfig")  # the pack goes with the namespace
    pack = ROOT / "handover" / cluster.cluster_name / name / "kubeconfig"
    assert pack.exists()
    assert "defaultresourcequota" in kubectl(place, kubeconfig, "get", "resourcequota")

    again = place.run("20", **where, **asked, dry_run="true", approval="digest", allow="[]")
    assert [one["change"] for one in again.result["items"]] == ["NoChange"], again.output

    runs = str(place.mns.folder / "runs")
    undone = place.mns("undo", done.directory.name, "--runs", runs)
    assert undone.returncode == 0, undone.stderr
    command = shlex.split(undone.stdout.strip().splitlines()[-1])
    back = place.mns(*command[1:], "-p", f"runs_dir={runs}")
    assert back.returncode == 0, back.stdout + back.stderr
    digest = json.loads((Path(back.stdout.split()[-1]) / "plan.json").read_text())["digest"]
    approved = {**approval, "approved_digest": digest, "allow": "[deletion]"}
    words = [word for key, value in approved.items() for word in ("-p", f"{key}={value}")]
    gone = place.mns(*command[1:], "-p", f"runs_dir={runs}", *words)
    assert gone.returncode == 0, gone.stdout + gone.stderr

    assert name in kubectl(place, kubeconfig, "get", "namespace", name)  # Keep: released, not gone
    kubectl(place, kubeconfig, "delete", "namespace", name, "--wait=false")


def kubectl(place, kubeconfig, *words):
    done = subprocess.run(
        ["kubectl", "--kubeconfig", str(kubeconfig), *words],
        env=place.mns.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
