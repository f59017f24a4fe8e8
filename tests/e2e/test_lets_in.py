"""`allow: []` lets nobody in, and a policy file says which clusters and principals may be named."""

from __future__ import annotations

import csv

import pytest

from .conftest import CAPS, writes

CLUSTER, NAME, ENFORCE = "aks-prod-neu-1", "risk-exposure", "pod-security.kubernetes.io/enforce"
USER, GROUP = "00000000-0000-4000-9100-000000000001", "00000000-0000-4000-9000-000000000001"
RISKS = ["access-granted", "labels-changed", "owner-changed", "policy-loosened"]


@pytest.fixture
def requests(tmp_path, sandbox):
    """A row that loosens, changes hands, lets pods do all, and lets a user in."""
    asked = {
        **sandbox.cluster(CLUSTER).columns, "namespace_name": NAME,
        "ingress_policy": "AllowAll", "owner": "mallory", "labels": f"{ENFORCE}=privileged",
        "access": f"user:{USER}=admin",
    }  # fmt: skip
    path = tmp_path / "requests.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, asked)
        rows.writeheader()
        rows.writerow(asked)
    return path


def test_nobody_is_let_in_unless_each_risk_is_allowed(run_notebook, mns, requests, sandbox):
    sandbox.control("DELETE", "requests")
    given = {"request_file": requests, **CAPS}
    refused = run_notebook("30", allow="[]", **given)
    assert refused.code == 4, refused.output
    assert f"risks that are not accepted: {', '.join(RISKS)}." in refused.output
    assert writes(sandbox.requests()) == []

    done = run_notebook("30", allow=f"[{', '.join(RISKS)}]", **given)
    assert done.code == 0, done.output
    (item,) = done.result["items"]
    assert (item["outcome"], item["risks"]) == ("updated", RISKS)
    assert {risk["name"]: risk["detail"] for risk in done.plan["changes"][0]["risks"]} == {
        "policy-loosened": "ingress DenyAll to AllowAll: traffic that is stopped now gets through.",
        "access-granted": "Granted on what exists: Azure Kubernetes Service RBAC Admin to "
        f"User {USER}.",
        "owner-changed": "It belongs to risk and would belong to mallory.",
        "labels-changed": "Others may have set, or rely on: "
        f"labels[{ENFORCE}] from none to privileged.",
    }

    undone = mns("undo", done.directory.name, "--runs", str(mns.folder / "runs"))
    assert undone.returncode == 0, undone.stderr
    given["request_file"] = done.directory / "undo.yaml"
    kept = run_notebook("30", allow="[]", **given)  # its label goes, its owner changes again
    assert kept.code == 4
    for name in ("access-removed", "keys-removed", "labels-changed", "owner-changed"):
        assert name in kept.output


def test_a_policy_lists_the_clusters_and_principals_that_may_be_named(
    run_notebook, requests, sandbox, tmp_path
):
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        f"allowed_clusters: [aks-prod-weu-1]\nallowed_principals: ['group:{GROUP}', sp]\n"
    )
    sandbox.control("DELETE", "requests")
    given = {"request_file": requests, "policy_file": policy, **CAPS}
    refused = run_notebook("30", allow=f"[{', '.join(RISKS)}]", **given)
    assert refused.code == 6, refused.output
    told = " ".join(refused.output.split())
    assert "column cluster_name: the policy does not allow /subscriptions/" in told
    assert "Write aks-prod-weu-1." in told
    assert f"column access: the policy does not allow a role for a user ({USER})." in told
    assert f"Write group:{GROUP} or sp." in told
    assert writes(sandbox.requests()) == []
