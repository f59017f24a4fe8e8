"""Notebook 30 from the outside: the file of 36, again, and everything that must be refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from .conftest import ROOT, writes


def test_the_sample_is_provisioned(provisioned):
    first = provisioned.first
    assert first.code == 0, first.output
    result = first.result
    assert result["status"] == "findings"  # one cluster has no engine for network policies
    assert "Risks accepted: adoption on 1 and overcommit on 5." in result["headline"]
    counts = {k: v for k, v in result["summary"].items() if k != "risks"}
    assert sum(counts.values()) == len(result["items"]) == 36
    assert counts["adopted"] == 1
    assert {"created", "updated", "unchanged"} <= set(counts)
    assert len(writes(first.asked)) > 36  # namespaces and role assignments
    assert "sandbox" in first.report
    risk = "More committed than is known to fit: 5 namespaces"  # told in place, as done
    assert (first.report.count(risk), first.report.count(f"{risk}, done")) == (1, 1)
    assert first.plan
    assert "requests.csv" in result["artifacts"]
    given_back = (first.directory / "requests.csv").read_text(encoding="utf-8-sig").splitlines()
    sample = (ROOT / "parameters/requests.sample.csv").read_text().splitlines()
    assert len(given_back) == len(sample)
    for before, after in zip(sample[1:], given_back[1:], strict=True):
        assert before.split(",")[:4] == after.split(",")[:4]
        assert ",done," in after
    assert (first.directory / "journal.jsonl").exists()


def test_a_second_time_it_changes_nothing(provisioned):
    second = provisioned.second
    assert (second.code, second.result["summary"]["unchanged"]) == (0, 36)
    assert second.result["headline"].startswith("36 unchanged. 1 warning: ")
    assert writes(second.asked) == []
    index = (second.directory.parent / "index.html").read_text(encoding="utf-8")
    assert index.count("report.html") >= 2


def test_plain_papermill_works_from_any_folder(environment, sandbox, tmp_path):
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(ROOT / "notebooks/30_provision_in_bulk.ipynb"),
    ]
    command += ["out.ipynb", "-f", str(ROOT / "parameters/30_provision_in_bulk.sandbox.yaml")]
    command += ["-p", "runs_dir", str(tmp_path / "runs"), "--no-progress-bar"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "runs").glob("2*")  # beside the locks
    result = json.loads((directory / "result.json").read_text())
    assert (result["status"], len(result["items"])) == ("findings", 36)
    assert (tmp_path / "out.ipynb").exists()


def test_labels_annotations_and_tags_of_others_survive_an_update(run_notebook, sandbox, tmp_path):
    cluster = sandbox.cluster("aks-prod-weu-1")
    path = f"{cluster}/managedNamespaces/web-checkout".lower()
    url = f"{sandbox.connection['arm_endpoint'].rstrip('/')}{path}?api-version=2026-08-01"
    token = arm_token(sandbox)
    before = sandbox.session.get(url, headers={"Authorization": f"Bearer {token}"}).json()
    assert before["properties"]["labels"]
    assert before["properties"]["annotations"]
    assert before["tags"]
    file = tmp_path / "one.csv"
    file.write_text(
        "subscription_id,resource_group,cluster_name,namespace_name,cpu_limit\n"
        f"{cluster.subscription_id},{cluster.resource_group},aks-prod-weu-1,web-checkout,20\n"
    )
    done = run_notebook("30", request_file=file)
    assert done.code == 0, done.output
    after = sandbox.session.get(url, headers={"Authorization": f"Bearer {token}"}).json()
    assert after["properties"]["defaultResourceQuota"]["cpuLimit"] == "20000m"
    assert after["properties"]["labels"] == before["properties"]["labels"]
    assert after["properties"]["annotations"] == before["properties"]["annotations"]
    assert after["tags"] == before["tags"]
    (put,) = [r for r in writes(sandbox.requests()) if r["method"] == "PUT"]
    assert put["body"]["tags"] == before["tags"]


def arm_token(sandbox):
    from mnslib.azure.clouds import sandbox_cloud
    from mnslib.azure.credentials import sandbox_credential

    cloud = sandbox_cloud(sandbox.connection)
    return sandbox_credential(sandbox.connection).get_token(cloud.arm_scope).token


MISTAKES = """\
subscription_id,resource_group,cluster_name,namespace_name,cpu_request,cpu_limit,memory_request,memory_limit,ingress_policy,labels,access,owner,cpu_reqest
S,rg-platform,aks-prod-weu-1,Payments,1,2,1Gi,2Gi,,,,,
S,rg-platform,aks-prod-weu-1,kube-system,1,2,1Gi,2Gi,,,,,
S,rg-platform,aks-prod-weu-1,ns-a,1x,2,1Gi,2Gi,,,,,
S,rg-platform,aks-prod-weu-1,ns-b,4,2,1Gi,2Gi,,,,,
S,rg-platform,aks-prod-weu-1,ns-c,1,2,1Gi,2Gi,allowall,,,,
S,rg-platform,aks-prod-weu-1,ns-d,1,2,1Gi,2Gi,,-bad=x,,,
S,rg-platform,aks-prod-weu-1,ns-e,1,2,1Gi,2Gi,,,team:payments=writer,,
S,rg-platform,aks-prod-weu-1,ns-f,1,2,1Gi,2Gi,,,group:00000000-0000-4000-9000-000000000001=Owner,,
S,rg-platform,aks-prod-weu-1,ns-c,1,2,1Gi,2Gi,,,,,
""".replace("S,", "00000000-0000-4000-8000-00000000a001,")


def test_ten_mistakes_are_named_at_once_and_nothing_is_written(run_notebook, sandbox, tmp_path):
    file = tmp_path / "wrong.csv"
    file.write_text(MISTAKES)
    done = run_notebook("30", request_file=file)
    assert done.code == 6
    assert done.result["status"] == "refused"
    expected = [
        ("row 1", "cpu_reqest"), ("row 2", "namespace_name"), ("row 3", "namespace_name"),
        ("row 4", "cpu_request"), ("row 5", "cpu_limit"), ("row 6", "ingress_policy"),
        ("row 7", "labels"), ("row 8", "access"), ("row 9", "access"), ("row 10", "namespace_name"),
    ]  # fmt: skip
    for text in (done.output, done.report):
        for row, column in expected:
            assert f"{row}, column {column}:" in text, (row, column)
    assert "10 mistakes" in done.output
    assert writes(sandbox.requests()) == []


def test_a_misspelled_parameter_starts_no_kernel(run_notebook, tmp_path):
    file = tmp_path / "30_provision_in_bulk.test.yaml"
    file.write_text("target: sandbox\ndry_rum: false\n")
    began = time.monotonic()
    done = run_notebook("30", file=file)
    assert done.code == 6
    assert "did you mean dry_run" in done.output
    assert not (done.directory / "notebook.ipynb").exists()
    assert time.monotonic() - began < 60


def test_a_digest_of_a_plan_that_has_changed_is_refused(planned, run_notebook, sandbox):
    assert (planned.code, planned.result["status"]) == (2, "findings")
    assert {item["outcome"] for item in planned.result["items"]} == {"not_attempted", "unchanged"}
    digest = planned.plan["digest"]
    assert digest in planned.report

    cluster = sandbox.cluster("aks-prod-weu-2")
    path = f"{cluster}/managedNamespaces/ml-serving"
    url = f"{sandbox.connection['arm_endpoint'].rstrip('/')}{path}?api-version=2026-08-01"
    headers = {"Authorization": f"Bearer {arm_token(sandbox)}"}
    sandbox.session.patch(url, headers=headers, json={"tags": {"by": "others"}}).raise_for_status()
    sandbox.control("DELETE", "requests")

    stale = run_notebook("30", approval="digest", approved_digest=digest)
    assert (stale.code, stale.result["status"]) == (4, "failed")
    assert "is not the present one" in stale.output
    assert writes(sandbox.requests()) == []

    fresh = stale.plan["digest"]
    assert fresh != digest
    assert run_notebook("30", approval="digest", approved_digest=fresh).code == 0


def test_a_risk_that_is_not_allowed_is_refused(run_notebook, sandbox):
    done = run_notebook("30", allow="[]")
    assert done.code == 4
    assert "not accepted: adoption, overcommit" in done.output
    assert writes(sandbox.requests()) == []


def test_a_stopped_cluster_stops_the_run_before_anything_is_written(run_notebook, sandbox):
    cluster = sandbox.cluster("aks-prod-weu-1")
    url = f"{sandbox.connection['arm_endpoint'].rstrip('/')}{cluster}"
    headers = {"Authorization": f"Bearer {arm_token(sandbox)}"}
    asked = {"params": {"api-version": "2026-08-01"}, "headers": headers}
    assert sandbox.session.post(f"{url}/stop", **asked).status_code == 202
    sandbox.control("POST", "clock", {"seconds": 600})
    assert sandbox.session.get(url, **asked).json()["properties"]["powerState"]["code"] == "Stopped"
    sandbox.control("DELETE", "requests")
    done = run_notebook("30")
    assert (done.code, done.result["status"]) == (4, "failed"), done.output
    assert "Nothing was written. aks-prod-weu-1: runs: Power state Stopped" in done.output
    assert "az aks start -g rg-platform -n aks-prod-weu-1" in done.result["headline"]
    assert writes(sandbox.requests()) == []
