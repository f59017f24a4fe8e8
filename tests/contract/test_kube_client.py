"""The Kubernetes door against the sandbox: what it reads adds up, and kubectl takes our file."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from mnslib.errors import KubeError
from mnslib.kube.client import KubeClient
from mnslib.kube.kubeconfig import namespace_kubeconfig
from mnslib.models import BUILT_IN_ROLES, ROLE_SHORT_NAMES
from mnslib.pods import total_charge
from tests.sandbox.client import Client, cluster_id

KUBERNETES_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"

Connection = Mapping[str, Any]
MakeKube = Callable[..., KubeClient]


@pytest.fixture
def connection(sandbox: Any) -> Connection:
    """The connection of a sandbox seeded anew."""
    found: Connection = sandbox.connection
    return found


def sign_in(connection: Connection, scope: str) -> str:
    """Return a token, without any client of ours."""
    identity = connection["identities"]["admin"]
    answer = requests.post(
        f"{connection['authority_host']}/{connection['tenant_id']}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": identity["client_id"],
            "client_secret": identity["client_secret"],
            "scope": scope,
        },
        verify=connection["ca_file"],
        timeout=20,
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def list_credential(connection: Connection, cluster_name: str, action: str) -> str:
    """Return the kubeconfig that ARM gives for a cluster or one of its managed namespaces."""
    (cluster,) = [c for c in connection["clusters"] if c["name"] == cluster_name]
    token = sign_in(connection, f"{connection['arm_endpoint']}/.default")
    answer = requests.post(
        f"{connection['arm_endpoint']}/subscriptions/{cluster['subscription_id']}/resourceGroups/"
        f"{cluster['resource_group']}/providers/Microsoft.ContainerService/managedClusters/"
        f"{cluster_name}/{action}?api-version=2026-08-01",
        headers={"Authorization": f"Bearer {token}"},
        verify=connection["ca_file"],
        timeout=20,
    )
    answer.raise_for_status()
    return base64.b64decode(answer.json()["kubeconfigs"][0]["value"]).decode()


@pytest.fixture
def make_kube(connection: Connection) -> Iterator[MakeKube]:
    token = sign_in(connection, KUBERNETES_SCOPE)
    made: list[KubeClient] = []

    def make(cluster_name: str, *, called: str = "", **more: Any) -> KubeClient:
        values: dict[str, Any] = {
            "token": lambda: token,
            "name": cluster_name,
            "sleep": lambda _: None,
        }
        text = list_credential(connection, cluster_name, "listClusterUserCredential")
        text = text.replace(cluster_name, called or cluster_name)
        made.append(KubeClient(text, **{**values, **more}))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_everything_that_plan_and_capacity_need_is_read(make_kube: MakeKube) -> None:
    kube = make_kube("aks-prod-neu-1")
    by_name = {namespace.name: namespace for namespace in kube.namespaces()}
    for name in by_name:
        assert kube.namespaces(name) == [by_name[name]]
    assert kube.namespaces("nobodys") == []
    assert {"kube-system", "logistics-tracking", "route-planner"} <= set(by_name)
    assert by_name["logistics-tracking"].labels["kubernetes.azure.com/managedByArm"] == "true"
    managed = [q for q in kube.resource_quotas() if q.name == "defaultresourcequota"]
    assert {q.namespace_name for q in managed} == {"logistics-tracking", "risk-exposure"}
    nodes = kube.nodes()
    assert len(nodes) >= 3
    assert all(node.is_ready and node.allocatable_cores < 8 for node in nodes)


def test_used_quota_is_what_the_pods_ask_for(connection: Connection, make_kube: MakeKube) -> None:
    compared, wrong = 0, set()
    for cluster in connection["clusters"]:
        kube = make_kube(cluster["name"])
        pods = kube.pods()
        for quota in kube.resource_quotas():
            need = total_charge(p for p in pods if p.namespace_name == quota.namespace_name)
            counted = {key: need[key] for key in quota.used if key in need}
            if {key: quota.used[key] for key in counted} != counted:
                wrong.add(quota.namespace_name)
            compared += len(counted)
    assert compared > 40
    assert wrong == {"ml-test"}  # whose counter the world makes wrong


def test_what_starts_pods_wants_what_runs_but_for_refused_pods(make_kube: MakeKube) -> None:
    kube = make_kube("aks-prod-weu-1")
    running = Counter(pod.namespace_name for pod in kube.pods())
    counted: Counter[str] = Counter()
    for workload in kube.workloads():
        counted[workload.namespace_name] += workload.running
    assert counted == running
    short = {w.name: (w.replicas, w.running) for w in kube.workloads() if w.running < w.replicas}
    assert short.pop("batch") == (3, 0)  # a CronJob's pods are its Job's
    refused = {event.workload_name: event.namespace_name for event in kube.refused_pods()}
    assert short == {"api": (20, 16), "reindex": (1, 0)}
    assert refused == {"api": "payments-api", "reindex": "search-index"}
    surges = {w.name: w.surge for w in kube.workloads()}
    found = [surges[name] for name in ("api", "worker", "ledger", "basket", "kube-proxy")]
    assert found == [5, 2, 0, 1, 0]
    scaled = {a.workload_name: (a.least, a.most, a.current) for a in kube.autoscalers()}
    assert scaled == {"api": (16, 24, 16), "checkout": (6, 16, 8)}
    limits = {one.namespace_name: one.default_limits["cpu"] for one in kube.limit_ranges()}
    assert limits == {"payments-ledger": Decimal("0.5"), "web-checkout": Decimal("0.25")}


def test_what_goes_along_with_a_quota_is_written_and_never_forced(
    sandbox: Any, make_kube: MakeKube
) -> None:
    kube = make_kube("aks-prod-weu-1")
    metadata = {"name": "mnslib-companion", "namespace": "crm-batch"}
    quota: dict[str, Any] = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
    kube.apply(quota | {"spec": {"hard": {"pods": "20", "services": "3"}}})
    kube.apply(quota | {"spec": {"hard": {"pods": "10"}}})
    (found,) = (q for q in kube.resource_quotas("crm-batch") if q.name == metadata["name"])
    assert (found.asked or found.hard) == {"pods": 10}
    mine = {"kind": "ResourceQuota", "name": metadata["name"], "namespace": "crm-batch"}
    theirs = quota | {"spec": {"hard": {"pods": "30"}}}
    path = "/api/v1/namespaces/crm-batch/resourcequotas/mnslib-companion?force=true&fieldManager="
    media = {"Content-Type": "application/apply-patch+yaml"}
    taken = Client(sandbox.connection).kube(
        "aks-prod-weu-1", "PATCH", f"{path}argocd", theirs, headers=media
    )
    assert taken.status_code == 200, taken.text
    told = r'409: .*conflict with "argocd": \.spec\.hard\.pods.*Nothing was overwritten'
    with pytest.raises(KubeError, match=told) as refused:
        kube.apply(quota | {"spec": {"hard": {"pods": "10"}}})
    assert refused.value.status == 409
    kube.delete(**mine)
    with pytest.raises(KubeError, match="404"):
        kube.delete(**mine)
    assert metadata["name"] not in {q.name for q in kube.resource_quotas("crm-batch")}


def test_what_an_identity_may_write_is_asked_as_that_identity(
    sandbox: Any, make_kube: MakeKube
) -> None:
    """RBAC Admin writes LimitRanges and no quotas. Source: Azure built-in roles, containers."""
    client = Client(sandbox.connection)
    role = BUILT_IN_ROLES[ROLE_SHORT_NAMES["admin"]]
    client.grant(f"{cluster_id()}/managedNamespaces/payments-api", role, "reader")
    token = client.another("reader").token(KUBERNETES_SCOPE.removesuffix("/.default"))
    kinds = ("limitranges", "resourcequotas")
    places = ("", "payments-api", "payments-ledger")
    kube = make_kube("aks-prod-weu-1", token=lambda: token)
    found = {
        (k, p) for k in kinds for p in places if kube.may(verb="create", resource=k, namespace=p)[0]
    }
    assert found == {("limitranges", "payments-api")}
    admin = make_kube("aks-prod-weu-1")
    every = [(verb, kind) for verb in ("create", "patch", "delete") for kind in kinds]
    assert all(admin.may(verb=verb, resource=kind)[0] for verb, kind in every)


def test_the_private_cluster_is_read_through_its_own_credential(
    connection: Connection, make_kube: MakeKube
) -> None:
    kube = make_kube("aks-prod-weu-2")
    assert "gitops-portal" in {namespace.name for namespace in kube.namespaces()}


def test_a_wrong_token_is_refused_with_what_to_do(make_kube: MakeKube) -> None:
    with pytest.raises(KubeError, match="Sign in to the tenant of this cluster") as caught:
        make_kube("aks-prod-neu-1", token=lambda: "wrong").pods()
    assert caught.value.status == 401


def test_an_unknown_cluster_is_refused(make_kube: MakeKube) -> None:
    with pytest.raises(KubeError) as caught:
        make_kube("aks-prod-neu-1", called="aks-gone").nodes()
    assert caught.value.status == 404


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_reads_each_namespace_through_its_own_context_with_mns_token(
    connection: Connection, tmp_path: Path
) -> None:
    """`KUBECONFIG=a:b` is kubectl's own way to merge files, and no name in them is the same."""
    known = tmp_path / "connection.json"
    files = []
    known.write_text(json.dumps(connection), "utf-8")
    for namespace in ("logistics-tracking", "risk-exposure"):
        action = f"managedNamespaces/{namespace}/listCredential"
        own = namespace_kubeconfig(
            list_credential(connection, "aks-prod-neu-1", action),
            cluster_name="aks-prod-neu-1",
            namespace_name=namespace,
            sandbox_environment={"MNS_SANDBOX": str(known)},
        )
        files.append(tmp_path / namespace)
        files[-1].write_text(own)
    contexts = kubectl(files, "config", "get-contexts", "-o", "name").split()
    assert contexts == ["aks-prod-neu-1-logistics-tracking", "aks-prod-neu-1-risk-exposure"]
    assert kubectl(files, "config", "current-context").strip() == contexts[0]
    for context in contexts:
        found = json.loads(kubectl(files, "--context", context, "get", "pods", "-o", "json"))
        namespaces = {item["metadata"]["namespace"] for item in found["items"]}
        assert namespaces == {context.removeprefix("aks-prod-neu-1-")}
    assert "requests.cpu" in kubectl(files, "describe", "resourcequota", "defaultresourcequota")


def kubectl(files: list[Path], *arguments: str) -> str:
    done = subprocess.run(
        ["kubectl", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HOME": str(files[0].parent), "KUBECONFIG": ":".join(map(str, files))},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
