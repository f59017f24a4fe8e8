"""The published walk-through, command for command: `az`, then two people's kubectl."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.client import Az
from tests.sandbox.client import ROOT, Client
from tests.sandbox.kubectl import Kubectl, missing
from tests.sandbox.second_half import DENIED, check

GROUP, CLUSTER, NAME = "rg-walk", "aks-walk", "team-walk"
WHERE = f"-g {GROUP} --cluster-name {CLUSTER}"
ADD = f"""aks namespace add {WHERE} -n {NAME}
  --cpu-request 1000m --cpu-limit 2000m --memory-request 512Mi --memory-limit 1Gi
  --labels environment=dev team=walk --annotations owner=ada contact=ada@contoso.example
  --ingress-policy AllowSameNamespace --egress-policy AllowAll
  --adoption-policy Never --delete-policy Keep"""
FEATURE = "--namespace Microsoft.ContainerService --name ManagedNamespacePreview"
ROLES = ("Namespace Contributor", "Namespace User", "RBAC Writer")


@pytest.fixture(scope="module")
def registered(az: Az, sandbox: Client) -> dict[str, Any]:
    """The feature, then the provider that shall know of it."""
    asked = az("admin", f"feature register {FEATURE}").json
    sandbox.finish(60)
    shown = az("admin", f"feature show {FEATURE}").json
    assert az("admin", "provider register --namespace Microsoft.ContainerService --wait").rc == 0
    return {"asked": asked["properties"]["state"], "shown": shown["properties"]["state"]}


@pytest.fixture(scope="module")
def cluster(az: Az, sandbox: Client, registered: dict[str, Any]) -> Any:
    """A cluster with Entra ID and Azure RBAC, in a group of its own."""
    assert az("admin", f"group create -n {GROUP} -l westeurope").rc == 0
    line = f"aks create -g {GROUP} -n {CLUSTER} --enable-aad --enable-azure-rbac"
    return az("admin", f"{line} --network-dataplane cilium --node-count 1 --no-ssh-key").json


@pytest.fixture(scope="module")
def added(az: Az, cluster: Any) -> Any:
    return az("admin", ADD).json


@pytest.fixture(scope="module")
def as_team(az: Az, added: Any) -> Az:
    """Three roles at the scope of one namespace for somebody who had none."""
    scope, who = added["id"], az.object_id("namespace_user")
    to = f"--assignee-object-id {who} --assignee-principal-type ServicePrincipal --scope {scope}"
    for role in ROLES:
        line = f"role assignment create {to} --role 'Azure Kubernetes Service {role}'"
        assert az("admin", line).json["principalId"] == who
    return az


def test_a_registration_takes_its_time(registered: dict[str, Any]) -> None:
    assert registered == {"asked": "Registering", "shown": "Registered"}


def test_the_cluster_has_entra_id_and_azure_rbac(cluster: Any) -> None:
    assert cluster["provisioningState"] == "Succeeded"
    assert (cluster["aadProfile"]["managed"], cluster["aadProfile"]["enableAzureRbac"]) == (
        True,
        True,
    )


def test_the_namespace_is_as_asked(added: Any) -> None:
    properties = added["properties"]
    expected = {
        "provisioningState": "Succeeded",
        "labels": {"environment": "dev", "team": "walk"},
        "annotations": {"owner": "ada", "contact": "ada@contoso.example"},
        "defaultResourceQuota": {
            "cpuRequest": "1000m",
            "cpuLimit": "2000m",
            "memoryRequest": "512Mi",
            "memoryLimit": "1Gi",
        },
        "defaultNetworkPolicy": {"ingress": "AllowSameNamespace", "egress": "AllowAll"},
        "adoptionPolicy": "Never",
        "deletePolicy": "Keep",
    }
    assert {key: properties[key] for key in expected} == expected


def names(az: Az, line: str) -> list[str]:
    return az("namespace_user", f"{line} --query [].name -o tsv").out.split()


def test_lists_show_only_the_one_namespace(as_team: Az) -> None:
    assert names(as_team, "aks namespace list") == [f"{CLUSTER}/{NAME}"]
    assert names(as_team, f"aks namespace list {WHERE}") == [NAME]
    assert names(as_team, "aks list") == []
    other = as_team(
        "namespace_user",
        "aks namespace show -g rg-platform --cluster-name aks-prod-weu-1 -n web-checkout",
    )
    assert other.rc == 1
    assert "managedNamespaces/read" in other.err


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_the_second_half_with_credentials_of_az(
    as_team: Az, sandbox: Client, tmp_path: Path
) -> None:
    lines = {
        "admin": f"aks get-credentials -g {GROUP} -n {CLUSTER}",
        "namespace_user": f"aks namespace get-credentials {WHERE} -n {NAME}",
    }
    found = {}
    for who, line in lines.items():
        home = tmp_path / who
        home.mkdir()
        assert as_team(who, f"{line} -f {home / 'config'}").rc == 0
        found[who] = signed_in(sandbox, who, home)
    check(
        found["admin"],
        found["namespace_user"],
        NAME,
        "kube-system",
        as_team.object_id("namespace_user"),
    )
    mine = found["namespace_user"]
    for line in ("get pods -A", "get nodes"):
        done = mine(f"kubectl {line}")
        assert (done.rc, "Forbidden" in done.err, DENIED in done.err) == (1, True, True), done.err
    assert mine(f"kubectl auth can-i create pods -n {NAME}").out == "yes\n"
    done = mine(f"kubectl auth can-i update resourcequotas -n {NAME}")
    assert (done.rc, done.out.split(" - ")[0].strip()) == (1, "no")


def signed_in(sandbox: Client, who: str, home: Path) -> Kubectl:
    """Return a kubectl with the kubeconfig of `az`, our token command in the place of kubelogin."""
    config, connection = home / "config", home / "connection.json"
    mine = sandbox.connection["identities"][who]
    connection.write_text(json.dumps(sandbox.connection | {"identities": {"admin": mine}}))
    content = yaml.safe_load(config.read_text())
    execute = content["users"][0]["user"]["exec"]
    execute |= {"command": sys.executable, "args": ["-m", "mnslib", "token"]}
    execute["args"] += ["--target", "sandbox"]
    execute |= {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    settings = {"MNS_SANDBOX": str(connection), "PYTHONPATH": str(ROOT)}
    execute["env"] = [{"name": key, "value": value} for key, value in settings.items()]
    config.write_text(yaml.safe_dump(content))
    return Kubectl(config)
