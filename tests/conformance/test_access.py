"""The published walk-through's end: the other user gets in, and sees only the one namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conformance.client import Az
from tests.sandbox.client import ROOT, Client, namespace_id

WHERE = "-g rg-platform --cluster-name aks-prod-weu-1"
DENIED = "Update role assignment to allow access."


@pytest.fixture(scope="module")
def as_team(az: Az, sandbox: Client) -> Az:
    """Three roles at the scope of one namespace for somebody who had none."""
    scope, who = namespace_id("payments-api"), az.object_id("namespace_user")
    to = f"--assignee-object-id {who} --assignee-principal-type ServicePrincipal --scope {scope}"
    for role in ("Namespace Contributor", "Namespace User", "RBAC Writer"):
        line = f"role assignment create {to} --role 'Azure Kubernetes Service {role}'"
        assert az("admin", line).json["principalId"] == who
    return az


def names(az: Az, line: str) -> list[str]:
    return az("namespace_user", f"{line} --query [].name -o tsv").out.split()


def test_lists_show_only_the_one_namespace(as_team: Az) -> None:
    assert names(as_team, "aks namespace list") == ["aks-prod-weu-1/payments-api"]
    assert names(as_team, f"aks namespace list {WHERE}") == ["payments-api"]
    assert names(as_team, "aks list") == []
    other = as_team("namespace_user", f"aks namespace show {WHERE} -n search-index")
    assert other.rc == 1
    assert "managedNamespaces/read" in other.err


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_kubectl_with_our_token_sees_only_the_one_namespace(
    as_team: Az, sandbox: Client, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    line = f"aks namespace get-credentials {WHERE} -n payments-api -f {config}"
    assert as_team("namespace_user", line).rc == 0
    mine = sandbox.connection["identities"]["namespace_user"]
    connection = tmp_path / "connection.json"
    connection.write_text(json.dumps(sandbox.connection | {"identities": {"admin": mine}}))
    content = yaml.safe_load(config.read_text())
    execute = content["users"][0]["user"]["exec"]
    execute |= {"command": sys.executable, "args": ["-m", "mnslib", "token"]}
    execute["args"] += ["--target", "sandbox"]
    execute |= {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    settings = {"MNS_SANDBOX": str(connection), "PYTHONPATH": str(ROOT)}
    execute["env"] = [{"name": key, "value": value} for key, value in settings.items()]
    config.write_text(yaml.safe_dump(content))

    def kubectl(line: str) -> tuple[int, str]:
        words = ["kubectl", "--kubeconfig", str(config), *line.split()]
        environment = os.environ | {"HOME": str(tmp_path)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, text = kubectl("get namespace payments-api")
    assert code == 0, text
    assert "api-00000" in kubectl("get pods -n payments-api")[1]
    for line in ("get namespaces", "get pods -A", "get pods -n search-index", "get nodes"):
        code, text = kubectl(line)
        assert (code, "Forbidden" in text, DENIED in text) == (1, True, True), text
    assert kubectl("auth can-i create pods -n payments-api") == (0, "yes\n")
    code, text = kubectl("auth can-i update resourcequotas -n payments-api")
    assert (code, text.split(" - ")[0]) == (1, "no"), text
