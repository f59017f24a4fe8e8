"""The pack that notebook 20 leaves is enough for a team: kubectl and its own eyes."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from html import unescape

import pytest

import mnslib

from .conftest import ROOT

WALK = f"walk-{os.getpid()}"
OTHER = f"other-{os.getpid()}"
CLUSTER = ROOT / "handover" / "aks-prod-weu-2"
MEMBER = "00000000-0000-4000-b100-000000000003"
"""The service principal of the sandbox's identity `namespace_user`."""

QUOTA = {"cpu_request": "1", "cpu_limit": "2", "memory_request": "512Mi", "memory_limit": "1Gi"}
ROLES = [f"sp:{MEMBER}=namespace-user", f"sp:{MEMBER}=writer"]
REASON = (
    "exceeded quota: defaultresourcequota, requested: limits.memory=512Mi,requests.memory=256Mi, "
    "used: limits.memory=1Gi,requests.memory=512Mi, "
    "limited: limits.memory=1Gi,requests.memory=512Mi"
)


@pytest.fixture(scope="module")
def handed_over(anew, tmp_path_factory):
    """Two namespaces of one cluster, the first with the walk-through's quota, in one kubeconfig."""
    folder = tmp_path_factory.mktemp("team")
    with anew("handed-over") as (_, mns):
        runs = [
            mns.run("20", namespace_name=name, kubeconfig=folder / "config", access=ROLES, **quota)
            for name, quota in ((WALK, QUOTA), (OTHER, {}))
        ]
        assert [run.code for run in runs] == [0, 0], runs[0].output + runs[1].output
        yield runs[0], folder
    for name in (WALK, OTHER):
        shutil.rmtree(CLUSTER / name, ignore_errors=True)


def with_kubectl(config):
    """Return kubectl with a kubeconfig of the team's."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is absent")

    def kubectl(*words):
        return subprocess.run(
            ["kubectl", "--kubeconfig", str(config), *words],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    return kubectl


def test_of_three_pods_two_start_as_the_pack_says_and_kubectl_says_why(handed_over):
    pack = CLUSTER / WALK
    head = (pack / "starter.yaml").read_text().partition("apiVersion")[0]
    assert "# 2 of its 3 pods of 250m and 256Mi start; the next is refused:\n" in head
    assert f"# {REASON}\n" in head
    page = unescape((pack / "handover.html").read_text())
    assert "2 of its 3 pods of 250m and 256Mi start" in page
    assert REASON in page
    kubectl = with_kubectl(pack / "kubeconfig")
    who = json.loads(kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    assert who["username"] == MEMBER, "never the administrator"
    applied = kubectl("apply", "-f", str(pack / "starter.yaml"))
    assert applied.stdout == "deployment.apps/starter created\n", applied.stderr
    pods = kubectl("get", "pods", "--no-headers").stdout.splitlines()
    assert [line.split()[1:3] for line in pods] == [["1/1", "Running"]] * 2
    events = kubectl("get", "events", "-o", "jsonpath={.items[*].message}").stdout
    assert REASON in events
    assert kubectl("get", "pods", "-n", "ml-serving").returncode == 1


def test_two_namespaces_live_in_one_kubeconfig_and_kubectl_uses_each(handed_over):
    _, folder = handed_over
    kubectl = with_kubectl(folder / "config")
    for name in (WALK, OTHER):
        found = kubectl("--context", f"aks-prod-weu-2-{name}", "get", "quota", "-o", "json")
        (quota,) = json.loads(found.stdout)["items"]
        assert quota["metadata"]["namespace"] == name
        expected = {WALK: "512Mi", OTHER: "3Gi"}[name]
        assert quota["spec"]["hard"]["requests.memory"] == expected


def test_what_was_proven_is_in_the_report_the_record_and_the_page(handed_over):
    run, _ = handed_over
    told = run.result["summary"]
    assert (told["proofs"], told["proofs_failed"]) == (5, 0)
    assert (told["rights_proven"], told["rights_computed"]) == (12, 0)
    report, page = (
        unescape(text) for text in (run.report, (CLUSTER / WALK / "handover.html").read_text())
    )
    for text in (report, page):
        assert "must specify limits.cpu for: app" in text, "how a pod without resources is refused"
        assert "exceeded quota: defaultresourcequota, requested: requests.cpu=1010m" in text
        assert "azure enforces it" in text
        assert "app-namespace-user" in text
    assert "mns-proof" not in page


def test_the_page_needs_nothing_from_outside_and_tells_no_secret(handed_over):
    page = (CLUSTER / WALK / "handover.html").read_text()
    assert re.findall(r"(?:src|href|action)=", page) == []
    assert "://" not in page
    assert "/subscriptions/" not in page, "the platform's words"
    with (CLUSTER / WALK / "request.csv").open(encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert {name: row[name] for name in QUOTA} == {**QUOTA, "cpu_request": "1", "cpu_limit": "2"}
    assert row["namespace_name"] == WALK


def test_a_pack_goes_with_its_namespace_and_takes_nothing_else_along(
    sandbox, sandbox_file, monkeypatch, tmp_path
):
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))
    monkeypatch.setenv("MNS_LOCKS_DIR", str(tmp_path / "locks"))
    fleet = mnslib.connect(runs_dir=str(tmp_path / "runs"), history="none")
    packs = {
        name: ROOT / "handover" / "aks-prod-weu-1" / name
        for name in ("payments-ledger", "web-checkout")
    }
    cluster = str(sandbox.cluster("aks-prod-weu-1"))
    try:
        for name, pack in packs.items():
            pack.mkdir(parents=True)
            owner = cluster if name == "payments-ledger" else cluster.replace("rg-", "other-")
            for file, text in {"cluster-id": owner, "kubeconfig": "k", "notes.txt": "mine"}.items():
                (pack / file).write_text(text)
        for name in packs:
            plan = fleet.namespace("aks-prod-weu-1", name).delete()
            plan.apply(approve=plan.digest, allow=list(plan.risks["risk"].unique()))
        left = {name: sorted(one.name for one in pack.iterdir()) for name, pack in packs.items()}
        assert left == {
            "payments-ledger": ["notes.txt"],
            "web-checkout": ["cluster-id", "kubeconfig", "notes.txt"],
        }
    finally:
        fleet.close()
        for pack in packs.values():
            shutil.rmtree(pack, ignore_errors=True)
