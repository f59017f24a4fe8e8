"""`mns undo`: a request file that restores what a bulk run changed, and what it says it cannot."""

from __future__ import annotations

import re
import shlex

import pytest

from mnslib.azure.client import AzureClient
from mnslib.azure.clouds import sandbox_cloud
from mnslib.azure.credentials import sandbox_credential
from mnslib.provisioning.changes import RiskName, fields_of

RISKS = ", ".join(set(RiskName) - {RiskName.ADOPTION, RiskName.FOREIGN_OWNER})
CAPS = {"max_changes": "100%", "max_deletions": "100%", "max_failures": "0"}


@pytest.fixture
def listed(sandbox):
    """Return every managed namespace, as ARM lists it."""
    azure = AzureClient(sandbox_cloud(sandbox.connection), sandbox_credential(sandbox.connection))

    def listed():
        clusters = [sandbox.cluster(item["name"]) for item in sandbox.connection["clusters"]]
        found = [n for c in clusters for n in azure.managed_namespaces.list_by_managed_cluster(c)]
        return {n.id.key: fields_of(n) for n in found}

    yield listed
    azure.close()


@pytest.mark.slow
def test_undo_gives_back_every_namespace_and_names_the_rest(run_notebook, mns, listed, tmp_path):
    before = listed()
    done = run_notebook("30")
    assert done.code == 0, done.output
    assert listed() != before

    undo = mns("undo", done.directory.name, "--runs", str(tmp_path / "runs"))
    assert undo.returncode == 0, undo.stderr
    assert "what its adoption overwrote on the Kubernetes namespace" in undo.stderr
    assert re.search(r"Not restored: a role stays \(\d+ namespaces, such as \S+ on ", undo.stderr)
    assert len(undo.stderr.splitlines()) < 10  # one for each reason
    notes = (done.directory / "undo.yaml").read_text()
    assert re.search(r"# Not restored: \S+ on \S+: a role stays \(Azure Kubernetes ", notes)
    command = shlex.split(undo.stdout.strip().splitlines()[-1])
    assert command[:3] == ["mns", "run", "30"]
    dry = mns(*command[1:], "-p", f"runs_dir={tmp_path / 'runs'}")
    assert dry.returncode == 0, dry.stderr
    assert "This was a dry run" in dry.stdout

    file = done.directory / "undo.yaml"
    back = run_notebook("30", request_file=file, allow=f"[{RISKS}]", **CAPS)
    assert back.code == 0, back.output
    assert listed() == before
