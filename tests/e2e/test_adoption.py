"""Taking over a namespace where a team's Deployment runs: refused, then with the quota it takes."""

from __future__ import annotations

import csv
import json
import os
import re

import pytest

from tests.sandbox import kubectl
from tests.sandbox.client import Client

from .conftest import CAPS, writes

pytestmark = pytest.mark.skipif(kubectl.missing() != "", reason=kubectl.missing())

CLUSTER, NAME = "aks-prod-weu-2", f"shop-{os.getpid()}"
CLOSED = {"ingress_policy": "AllowSameNamespace", "egress_policy": "AllowAll"}
ALONE = {"namespace_name": NAME, "access": "[]", "labels": "{}", "annotations": "{}", "owner": "",
         "adoption_policy": "Always"}  # fmt: skip
"""Of the sandbox's parameters what else is asked."""
OPEN = {"ingress_policy": "AllowAll", "egress_policy": "AllowAll"}

WORLD = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {NAME}, labels: {{owner: shop}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {NAME}}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: web
        image: contoso.example/web:1
        resources: {{requests: {{cpu: 500m, memory: 1Gi}}, limits: {{cpu: "1", memory: 2Gi}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {NAME}}}
spec: {{type: LoadBalancer, selector: {{app: web}}, ports: [{{port: 80}}]}}
"""
THREE = {"cpu_request": "1500m", "cpu_limit": "3", "memory_request": "3Gi", "memory_limit": "6Gi"}
"""What three pods ask for, to the last byte."""


@pytest.fixture
def team(sandbox, tmp_path):
    """A kubectl of the cluster where the Deployment runs, unmanaged."""
    run = kubectl.Kubectl.of(Client(sandbox.connection), tmp_path / "home", CLUSTER)
    made = run("kubectl apply -f -", WORLD)
    assert made.rc == 0, made.err
    assert rolls_out(run)
    sandbox.control("DELETE", "requests")
    return run


def rolls_out(run, seconds=30):
    done = run(f"kubectl -n {NAME} rollout status deployment/web --timeout={seconds}s")
    return done.rc == 0


def new_image(run):
    done = run(f"kubectl -n {NAME} set image deployment/web web=contoso.example/web:2")
    assert done.rc == 0, done.err


def shown(run):
    """Return what the cell `run.adoption()` showed, as text."""
    notebook = json.loads((run.directory / "notebook.ipynb").read_text(encoding="utf-8"))
    (cell,) = [c for c in notebook["cells"] if "".join(c["source"]) == "run.adoption()"]
    return "".join(cell["outputs"][0]["data"]["text/plain"])


def recommended(run):
    """Return the smallest quota that passes, as the line on all of it names it."""
    line = next(line for line in shown(run).splitlines() if "all of it" in line)
    return dict(re.findall(r"(\w+): (\S+?)(?:;|$)", line))


def test_one_adoption_is_refused_until_its_quota_lets_the_deployment_roll(
    run_notebook, sandbox, team
):
    about = {**sandbox.cluster(CLUSTER).columns, **ALONE}
    allowed = "[adoption, policy-tightened]"
    refused = run_notebook("20", allow=allowed, **about, **THREE, **CLOSED)
    assert refused.code == 4, refused.output
    assert "not accepted: adoption-rollout, adoption-traffic." in refused.output
    assert writes(sandbox.requests()) == []
    told = shown(refused)
    for line in (
        "AllowSameNamespace cuts off LoadBalancer web",
        "Deployment web: stuck",
        "CPU requests 1.5 cores of 1.5 cores",
        "Deployment web starts 3 of 3",
    ):
        assert line in told
    assert "unknown (http routes): not served by this cluster" in told
    details = {risk["name"]: risk["detail"] for risk in refused.plan["changes"][0]["risks"]}
    assert details["adoption-rollout"].startswith("The next update cannot go on: Deployment web.")

    # a fourth pod beside the three: 25 % of 3 is one, and none may stop first
    quota = recommended(refused)
    assert quota == {"cpu_request": "2000m", "cpu_limit": "4000m",
                     "memory_request": "4Gi", "memory_limit": "8Gi"}  # fmt: skip
    done = run_notebook("20", allow="[adoption]", **about, **quota, **OPEN)
    assert done.code == 0, done.output
    assert [item["risks"] for item in done.result["items"]] == [["adoption"]]
    new_image(team)
    assert rolls_out(team)
    again = run_notebook("20", allow="[]", **about, **quota, **OPEN)
    assert again.code == 0
    assert shown(again) == "Nothing is adopted."


def test_an_adoption_in_bulk_is_refused_until_each_rule_is_allowed_and_then_gets_stuck_as_told(
    run_notebook, sandbox, team, tmp_path
):
    row = {**sandbox.cluster(CLUSTER).columns, "namespace_name": NAME, **THREE, **CLOSED,
           "adoption_policy": "Always"}  # fmt: skip
    path = tmp_path / "requests.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, row)
        rows.writeheader()
        rows.writerow(row)
    given = {"request_file": path, **CAPS}
    names = ["adoption", "adoption-rollout", "adoption-traffic", "policy-tightened"]
    refused = run_notebook("30", allow="[adoption, policy-tightened]", **given)
    assert refused.code == 4, refused.output
    assert "not accepted: adoption-rollout, adoption-traffic." in refused.output
    assert writes(sandbox.requests()) == []
    done = run_notebook("30", allow=f"[{', '.join(names)}]", **given)
    assert done.code == 0, done.output
    (item,) = done.result["items"]
    assert (item["outcome"], item["risks"]) == ("adopted", names)
    new_image(team)
    assert not rolls_out(team, seconds=3)
    events = team(f"kubectl -n {NAME} get events --field-selector reason=FailedCreate").out
    assert "exceeded quota: defaultresourcequota" in events


def test_what_may_not_be_read_is_unknown_and_stops_no_adoption(run_notebook, sandbox, team):
    match = {"surface": "kubernetes", "path": "/(deployments|horizontalpodautoscalers)$"}
    fault = {"name": "narrow", "match": match, "effect": {"status": 403}}
    sandbox.control("POST", "faults", {"faults": [fault]})
    try:
        about = {**sandbox.cluster(CLUSTER).columns, **ALONE}
        done = run_notebook("20", allow="[adoption]", **about, **THREE, **OPEN)
    finally:
        sandbox.control("POST", "reset", {"clear": ["faults"]})
    assert done.code == 0, done.output
    told = shown(done)
    for line in ("unknown (workloads): no permission", "unknown (autoscalers): no permission"):
        assert line in told
    assert "adoption-" not in str(done.result["items"])
