"""Kubeconfigs: one namespace's own names, and no secret."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import pytest
import yaml

from mnslib.errors import KubeError
from mnslib.kube.kubeconfig import (
    exec_credential_json,
    namespace_kubeconfig,
    read_access,
)

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KUBELOGIN_ARGS = [
    "get-token", "--environment", "AzurePublicCloud", "--server-id", "server", "--client-id",
    "client", "--tenant-id", "tenant", "--login", "devicecode",
]  # fmt: skip


def make_kubeconfig(
    *, server: str = "https://aks-1.example:443", user: dict[str, Any] | None = None
) -> str:
    """Return a kubeconfig as `listCredential` gives it."""
    signed_in = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "kubelogin",
        "args": KUBELOGIN_ARGS,
        "env": None,
        "provideClusterInfo": False,
    }
    data = base64.b64encode(PEM.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "aks-1",
        "clusters": [
            {"name": "aks-1", "cluster": {"certificate-authority-data": data, "server": server}}
        ],
        "contexts": [{"name": "aks-1", "context": {"cluster": "aks-1", "user": "clusterUser"}}],
        "users": [{"name": "clusterUser", "user": user or {"exec": signed_in}}],
    }
    return yaml.safe_dump(document)


def make_own(namespace: str = "web", *, server: str = "https://aks-1.example:443") -> str:
    return namespace_kubeconfig(
        make_kubeconfig(server=server), cluster_name="aks-1", namespace_name=namespace
    )


def test_the_access_of_a_cluster_is_read() -> None:
    access = read_access(make_kubeconfig())
    assert (access.server, access.ca_pem) == ("https://aks-1.example:443", PEM)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML"),
        ("hello", "is no kubeconfig"),
        ("kind: List", "is no kubeconfig"),
        ("kind: Config", "names no cluster"),
        ("kind: Config\nclusters: [7]", "names no cluster"),
        (make_kubeconfig(server="http://plain.example"), "no https server"),
        ("kind: Config\nclusters: [{name: a, cluster: {server: 'https://x'}}]", "no https server"),
        (
            "kind: Config\nclusters: [{name: a, cluster: {certificate-authority-data: '!'}}]",
            "holds no certificate",
        ),
    ],
)
def test_an_answer_that_is_no_access_is_refused(text: str, message: str) -> None:
    with pytest.raises(KubeError, match=message):
        read_access(text)


def test_a_namespaces_kubeconfig_has_names_of_its_own_and_the_namespace_set() -> None:
    own = yaml.safe_load(make_own())
    assert own["current-context"] == "aks-1-web"
    assert own["contexts"] == [
        {
            "name": "aks-1-web",
            "context": {"cluster": "aks-1-web", "user": "aks-1-web", "namespace": "web"},
        }
    ]
    assert own["clusters"][0]["name"] == "aks-1-web"
    assert own["clusters"][0]["cluster"]["server"] == "https://aks-1.example:443"
    assert own["users"][0]["name"] == "aks-1-web"


def test_mns_token_is_run_by_this_very_python() -> None:
    text = namespace_kubeconfig(
        make_kubeconfig(),
        cluster_name="aks-1",
        namespace_name="web",
        credential="cli",
        cloud="usgov",
        target="sandbox",
        environment={"MNS_SANDBOX": "connection.json"},
    )
    sign_in = yaml.safe_load(text)["users"][0]["user"]["exec"]
    assert sign_in == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-m", "mnslib", "token", "--target", "sandbox", "--cloud", "usgov",
                 "--credential", "cli"],
        "env": [{"name": "MNS_SANDBOX", "value": "connection.json"}],
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("credential", "login"),
    [("cli", "azurecli"), ("environment", "spn"), ("managed-identity", "msi"),
     ("workload-identity", "workloadidentity"), ("default", "azurecli")],
)  # fmt: skip
def test_kubelogin_stays_possible(credential: str, login: str) -> None:
    text = namespace_kubeconfig(
        make_kubeconfig(),
        cluster_name="aks-1",
        namespace_name="web",
        login="kubelogin",
        credential=credential,
    )
    sign_in = yaml.safe_load(text)["users"][0]["user"]["exec"]
    assert sign_in["command"] == "kubelogin"
    assert sign_in["apiVersion"] == "client.authentication.k8s.io/v1beta1"
    assert sign_in["args"] == [
        "get-token", "--environment", "AzurePublicCloud", "--server-id", "server",
        "--tenant-id", "tenant", "--login", login,
    ]  # fmt: skip


def test_kubelogin_without_arguments_gets_those_it_needs() -> None:
    text = namespace_kubeconfig(
        make_kubeconfig(user={"exec": {"command": "kubelogin"}}),
        cluster_name="aks-1",
        namespace_name="web",
        login="kubelogin",
    )
    sign_in = yaml.safe_load(text)["users"][0]["user"]["exec"]
    assert sign_in == {"command": "kubelogin", "args": ["get-token", "--login", "azurecli"]}


def test_a_certificate_is_a_secret_and_is_not_written() -> None:
    certificate = {"client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ"}
    with pytest.raises(KubeError, match="has no Entra sign-in") as caught:
        namespace_kubeconfig(
            make_kubeconfig(user=certificate), cluster_name="aks-1", namespace_name="web"
        )
    assert "S0VZ" not in str(caught.value)


def test_a_token_is_printed_as_kubectl_expects_it() -> None:
    assert json.loads(exec_credential_json("t0ken", 1_800_000_000)) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "t0ken", "expirationTimestamp": "2027-01-15T08:00:00Z"},
    }
