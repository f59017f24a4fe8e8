"""What makes a quota usable, from request to pod: made, used, changed, taken back, refused."""

from __future__ import annotations

import csv
import shlex

import pytest

from tests.sandbox.client import Client

from .conftest import CAPS, writes

CLUSTER, NAME = "aks-prod-weu-2", "payments-disputes"  # of the parameter file
OBJECTS = f"/api/v1/namespaces/{NAME}"
APPLY = {"Content-Type": "application/apply-patch+yaml"}
BARE = {"name": "app", "image": "x:1"}


@pytest.fixture
def kube(sandbox):
    client = Client(sandbox.connection)

    def kube(method, path, body=None, **options):
        return client.kube(CLUSTER, method, path, body, **options)

    yield kube
    client.session.close()


@pytest.fixture
def companions(kube):
    """Return what the two objects say; None for one that is not there."""

    def companions():
        defaults = kube("GET", f"{OBJECTS}/limitranges/mnslib-defaults").json()
        quota = kube("GET", f"{OBJECTS}/resourcequotas/mnslib-companion").json()
        (limits,) = defaults.get("spec", {}).get("limits", [None])
        return limits, quota.get("spec", {}).get("hard")

    return companions


@pytest.fixture
def request_file(sandbox, tmp_path):
    def request_file(**cells):
        cluster = sandbox.cluster(CLUSTER)
        place = {n: getattr(cluster, n) for n in ("subscription_id", "resource_group")}
        row = place | {"cluster_name": CLUSTER, "namespace_name": NAME} | cells
        path = tmp_path / "requests.csv"
        with path.open("w", newline="") as file:
            lines = csv.DictWriter(file, list(row))
            lines.writeheader()
            lines.writerow(row)
        return path

    return request_file


def pod(name):
    spec = {"containers": [BARE]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def outcome(done):
    (item,) = done.result["items"]
    return item["outcome"], item["reason"]


def test_a_pod_that_says_nothing_is_let_in_and_the_21st_is_refused(
    run_notebook, kube, companions, mns, sandbox
):
    bare = run_notebook("20")
    assert bare.code == 0, bare.output
    assert kube("POST", f"{OBJECTS}/pods", pod("early")).status_code == 403
    asked = {"limit_range": "auto", "companion_quota": "{pods: 20}"}
    more = {"cpu_request": "4", "cpu_limit": "8", "memory_request": "8Gi", "memory_limit": "16Gi"}
    done = run_notebook("20", **asked, **more)
    assert done.code == 0, done.output
    requests, limits = {"cpu": "250m", "memory": "256Mi"}, {"cpu": "500m", "memory": "512Mi"}
    item = {"type": "Container", "defaultRequest": requests, "default": limits}
    assert companions() == (item, {"pods": "20"})
    small = run_notebook("20", limit_range="50m/50m 64Mi/64Mi")
    assert small.code == 0, small.output
    for number in range(20):
        made = kube("POST", f"{OBJECTS}/pods", pod(f"app-{number}"))
        assert made.status_code == 201, made.text
    refused = kube("POST", f"{OBJECTS}/pods", pod("app-20"))
    assert refused.status_code == 403
    told = "exceeded quota: mnslib-companion, requested: pods=1, used: pods=20, limited: pods=20"
    assert told in refused.json()["message"]


def test_both_are_changes_like_any_other(
    run_notebook, request_file, companions, mns, sandbox, tmp_path
):
    amounts = {"cpu_request": "1", "cpu_limit": "2", "memory_request": "1Gi", "memory_limit": "4Gi"}
    wanted = {"limit_range": "auto", "companion_quota": "pods=20;services.loadbalancers=1"}
    made = run_notebook("30", request_file=request_file(**amounts, **wanted), **CAPS)
    assert made.code == 0, made.output
    requests, limits = {"cpu": "120m", "memory": "128Mi"}, {"cpu": "240m", "memory": "512Mi"}
    item = {"type": "Container", "defaultRequest": requests, "default": limits}
    assert companions() == (item, {"pods": "20", "services.loadbalancers": "1"})
    (change,) = made.plan["changes"]
    assert [one["path"] for one in change["differences"]][-3:] == [
        "limit_range",
        "companion_quota[pods]",
        "companion_quota[services.loadbalancers]",
    ]

    sandbox.control("DELETE", "requests")
    again = run_notebook("30", request_file=request_file(**wanted), **CAPS)
    assert (again.code, outcome(again)) == (0, ("unchanged", ""))
    assert [r for r in sandbox.requests() if r["method"] in ("PUT", "PATCH", "DELETE")] == []

    wanted = {"limit_range": "-", "companion_quota": "pods=10;services.loadbalancers-"}
    file = request_file(**wanted)
    refused = run_notebook("30", request_file=file, **CAPS)
    assert (refused.code, "keys-removed" in refused.output) == (4, True)
    changed = run_notebook("30", request_file=file, allow="[keys-removed]", **CAPS)
    assert outcome(changed) == ("updated", "")
    assert companions() == (None, {"pods": "10"})
    assert [r for r in writes(sandbox.requests()) if "managednamespaces" in r["path"].lower()] == []

    asked = mns("undo", changed.directory.name, "--runs", str(tmp_path / "runs"))
    assert asked.returncode == 0, asked.stderr
    assert shlex.split(asked.stdout.strip().splitlines()[-1])[:3] == ["mns", "run", "30"]
    back = run_notebook("30", request_file=changed.directory / "undo.yaml", **CAPS)
    assert outcome(back) == ("updated", "")
    assert companions() == (item, {"pods": "20", "services.loadbalancers": "1"})


def test_what_others_manage_is_never_forced(run_notebook, kube, companions):
    assert run_notebook("20", companion_quota="{pods: 20}").code == 0
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "30"}}}
    path = f"{OBJECTS}/resourcequotas/mnslib-companion?fieldManager=argocd&force=true"
    taken = kube("PATCH", path, body | {"metadata": {"name": "mnslib-companion"}}, headers=APPLY)
    assert taken.status_code == 200, taken.text
    theirs = {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}
    other = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "team-defaults"}}
    made = kube("POST", f"{OBJECTS}/limitranges", other | {"spec": {"limits": [theirs]}})
    assert made.status_code == 201, made.text
    done = run_notebook("20", companion_quota="{pods: 20}", limit_range="auto")
    assert done.code == 4, done.output
    kind, reason = outcome(done)
    assert kind == "failed"
    assert 'conflict with "argocd": .spec.hard.pods' in reason
    assert companions() == (None, {"pods": "30"})
    assert "is left as it is: payments-disputes (team-defaults)" in done.output + done.report


def test_a_cluster_out_of_reach_is_refused_only_where_one_is_asked_for(run_notebook, sandbox):
    """As somebody who may write in Azure and sees nothing inside the cluster."""
    match = {"surface": "kubernetes", "path": f"/{CLUSTER}/"}
    effect = {"status": 403, "code": "Forbidden"}
    fault = {"name": "closed", "match": match, "effect": effect}
    sandbox.control("POST", "faults", {"faults": [fault]})
    sandbox.control("DELETE", "requests")
    refused = run_notebook("20", limit_range="auto")
    asked = writes(sandbox.requests())
    done = run_notebook("20", allow="[overcommit]")
    sandbox.control("POST", "reset", {"clear": ["faults"]})
    assert refused.code == 4, refused.output
    assert f"{NAME} ask for limit_range or companion_quota" in refused.output
    assert asked == []
    assert done.code == 0, done.output
