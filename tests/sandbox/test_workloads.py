"""What starts pods, what limits them, what was refused, and a quota counter that is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mnslib.sandbox.world import load
from tests.sandbox.client import AKS_SERVER_ID, Client, cluster_id, make_pod

WEU, TEST_WEU = "aks-prod-weu-1", "aks-test-weu-1"
APPS, EVENTS = "/apis/apps/v1", "/api/v1/events"
READER = "7f6c6a51-bcf8-42ba-9220-52d62157d7db"
KINDS = (
    f"{APPS}/deployments",
    f"{APPS}/replicasets",
    f"{APPS}/statefulsets",
    f"{APPS}/daemonsets",
    "/apis/batch/v1/jobs",
    "/apis/batch/v1/cronjobs",
    "/apis/autoscaling/v2/horizontalpodautoscalers",
    "/api/v1/limitranges",
    EVENTS,
)


def items(sandbox: Client, path: str, cluster: str = WEU, **query: str) -> list[dict[str, Any]]:
    answer = sandbox.kube(cluster, "GET", path, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def owner_of(doc: dict[str, Any]) -> tuple[str, str]:
    (owner,) = doc["metadata"]["ownerReferences"]
    return owner["kind"], owner["name"]


def test_every_pod_is_owned_by_what_runs_it(sandbox: Client) -> None:
    pods = items(sandbox, "/api/v1/pods")
    sets = {("ReplicaSet", doc["metadata"]["name"]): doc for doc in items(sandbox, KINDS[1])}
    running = Counter(owner_of(pod) for pod in pods)
    assert {kind for kind, _ in running} == {"ReplicaSet", "StatefulSet", "DaemonSet", "Job"}
    for owner, count in running.items():
        if owner[0] == "ReplicaSet":
            assert sets[owner]["status"]["replicas"] == count
            assert owner_of(sets[owner])[0] == "Deployment"
    (job,) = items(sandbox, "/apis/batch/v1/jobs")
    assert owner_of(job) == ("CronJob", "batch")


def test_a_replica_set_selects_the_pods_that_it_owns(sandbox: Client) -> None:
    path = "/namespaces/payments-api"
    (found,) = items(sandbox, f"{APPS}{path}/replicasets", labelSelector="app=api")
    wanted = found["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in wanted.items())
    pods = items(sandbox, f"/api/v1{path}/pods", labelSelector=selector)
    assert {owner_of(pod) for pod in pods} == {("ReplicaSet", found["metadata"]["name"])}
    assert (len(pods), found["spec"]["replicas"]) == (16, 20)


def test_refused_pods_leave_the_events_of_the_last_hour(sandbox: Client) -> None:
    found = items(sandbox, EVENTS, fieldSelector="reason=FailedCreate,type=Warning")
    by_namespace = {event["metadata"]["namespace"]: event for event in found}
    assert set(by_namespace) == {"payments-api", "search-index"}
    event = by_namespace["payments-api"]
    assert event["message"].startswith('(combined from similar events): Error creating: pods "api-')
    assert event["message"].endswith(
        "is forbidden: exceeded quota: defaultresourcequota, requested: requests.cpu=500m, "
        "used: requests.cpu=12, limited: requests.cpu=12"
    )
    assert event["count"] == 32  # after nine that stood alone, five hours ago
    assert event["firstTimestamp"] < event["lastTimestamp"]
    assert by_namespace["search-index"]["message"].endswith(
        "failed quota: defaultresourcequota: must specify limits.cpu for: reindex; "
        "limits.memory for: reindex"
    )
    recent = items(sandbox, EVENTS, "aks-prod-neu-1")
    assert [event["count"] for event in recent] == [1] * 7
    assert len({event["message"] for event in recent}) == 7


@pytest.mark.parametrize("path", KINDS)
def test_reader_of_a_namespace_lists_every_kind_and_writes_none(sandbox: Client, path: str) -> None:
    prefix, _, plural = path.rpartition("/")
    place = f"{prefix}/namespaces/payments-api/{plural}"
    user = sandbox.another("namespace_user")
    assert user.kube(WEU, "GET", place).status_code == 403
    sandbox.grant(f"{cluster_id()}/managedNamespaces/payments-api", READER)
    assert user.kube(WEU, "GET", place).status_code == 200
    assert user.kube(WEU, "GET", path).status_code == 403
    assert user.kube(WEU, "POST", place, {"metadata": {"name": "x"}}).status_code == 403


def test_kinds_are_got_by_name_and_listed_in_pages(sandbox: Client) -> None:
    everything = items(sandbox, KINDS[0])
    first = sandbox.kube(WEU, "GET", KINDS[0], params={"limit": "3"}).json()
    rest = items(sandbox, KINDS[0], **{"continue": first["metadata"]["continue"]})
    assert [*first["items"], *rest] == everything
    name = everything[0]["metadata"]["name"]
    place = f"{APPS}/namespaces/{everything[0]['metadata']['namespace']}/deployments"
    assert sandbox.kube(WEU, "GET", f"{place}/{name}").json() == everything[0]
    missing = sandbox.kube(WEU, "GET", f"{place}/nothing").json()
    assert missing["message"] == 'deployments.apps "nothing" not found'


def test_kubectl_gets_all_of_them(sandbox: Client, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl is not installed")
    endpoint = next(c for c in sandbox.connection["clusters"] if c["name"] == WEU)
    (tmp_path / "none").touch()
    options = {
        "--server": endpoint["kubernetes_endpoint"],
        "--certificate-authority": sandbox.connection["ca_file"],
        "--token": sandbox.token(AKS_SERVER_ID),
        "--kubeconfig": str(tmp_path / "none"),
        "--cache-dir": str(tmp_path),
    }
    command = [kubectl, *(f"{key}={value}" for key, value in options.items())]
    kinds = "deploy,rs,sts,ds,jobs,cj,hpa,limits,ev"
    done = subprocess.run(
        [*command, "get", kinds, "-A", "-o", "json"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    kinds_found = Counter(doc["kind"] for doc in json.loads(done.stdout)["items"])
    assert len(kinds_found) == len(KINDS)
    assert kinds_found["HorizontalPodAutoscaler"] == 2


def counted(sandbox: Client) -> tuple[str, str]:
    (quota,) = items(sandbox, "/api/v1/namespaces/ml-test/resourcequotas", TEST_WEU)
    return quota["status"]["used"]["requests.cpu"], quota["status"]["used"]["requests.memory"]


def test_pods_leave_a_wrong_counter_wrong_and_a_write_of_the_quota_mends_it(
    sandbox: Client,
) -> None:
    assert counted(sandbox) == ("1700m", "6Gi")  # one pod of 500m and 1Gi
    place = "/api/v1/namespaces/ml-test"
    small = make_pod("x", limits={"cpu": "200m", "memory": "1Gi"})
    assert sandbox.kube(TEST_WEU, "POST", f"{place}/pods", small).status_code == 201
    assert counted(sandbox) == ("1900m", "7Gi")
    more = make_pod("y", limits={"cpu": "200m", "memory": "1Gi"})
    refused = sandbox.kube(TEST_WEU, "POST", f"{place}/pods", more)
    assert "used: requests.cpu=1900m, limited: requests.cpu=2" in refused.json()["message"]
    assert sandbox.kube(TEST_WEU, "DELETE", f"{place}/pods/x").status_code == 200
    assert counted(sandbox) == ("1700m", "6Gi")
    patch = {"content-type": "application/merge-patch+json"}
    sandbox.kube(
        TEST_WEU,
        "PATCH",
        f"{place}/resourcequotas/team-quota",
        {"metadata": {"labels": {"touched": "yes"}}},
        headers=patch,
    )
    assert counted(sandbox) == ("500m", "1Gi")


def test_a_world_that_refuses_pods_which_fit_is_not_sound(sandbox: Client) -> None:
    about = {"app": {"refused": {"times": 1, "minutes": [2, 1]}}}
    small = {"workloads": {"app": "1 x 100m/100m 64Mi/64Mi"}, "about": about}
    cluster = {
        "name": "aks-small",
        "subscription": "00000000-0000-4000-8000-00000000a001",
        "location": "westeurope",
        "nodes": {"Standard_D4s_v5": 1},
        "network_policy": "none",
        "azure_rbac": True,
        "managed": {},
        "unmanaged": {"one": small},
    }
    world = load("default") | {"clusters": [cluster]}
    answer = sandbox.control("POST", "world", {"world": world})
    assert answer.status_code == 400
    assert "no quota refuses its pods" in answer.text
