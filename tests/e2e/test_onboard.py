"""Notebook 20 from the outside: one namespace, proven, handed over, and no secret anywhere."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from html import unescape

import pytest
import yaml

from mnslib.errors import ConfigError
from mnslib.run.handover import write_pack
from mnslib.run.targets import open_target

from .conftest import ROOT

NAME = f"e2e-{os.getpid()}"
"""Other processes that run tests here hand over to the same folder."""

HANDOVER = ROOT / "handover" / "aks-prod-weu-2" / NAME


@pytest.fixture
def handover():
    yield HANDOVER
    shutil.rmtree(HANDOVER, ignore_errors=True)


def test_one_namespace_is_onboarded_and_handed_over(
    run_notebook, sandbox, handover, environment, tmp_path
):
    own = tmp_path / "config"
    # without `kind`, and with a user without a name, which kubectl reads as well
    own.write_text("preferences: {}\nusers:\n- user: {token: abc}\ncurrent-context: mine\n")
    done = run_notebook("20", namespace_name=NAME, kubeconfig=own)
    assert done.code == 0, done.output
    assert done.result["headline"] == f"{NAME} is as requested: created."
    assert "the next cell is a form" not in done.report  # which is on no page
    (item,) = done.result["items"]
    assert (item["change"], item["outcome"], item["risks"]) == ("Create", "created", [])

    kubeconfig = handover / "kubeconfig"
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
    assert stat.S_IMODE(handover.stat().st_mode) == 0o700
    assert (handover / "cluster-id").read_text().endswith("/managedClusters/aks-prod-weu-2\n")
    content = yaml.safe_load(kubeconfig.read_text())
    (context,) = content["contexts"]
    assert context["name"] == f"aks-prod-weu-2-{NAME}"
    assert context["context"]["namespace"] == NAME
    merged = yaml.safe_load(own.read_text())
    assert (merged["kind"], merged["users"][0]) == ("Config", {"user": {"token": "abc"}})
    assert merged["users"][1]["name"] == f"aks-prod-weu-2-{NAME}"
    assert merged["current-context"] == "mine"
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is absent: the kubeconfig was not tried")
    asked = subprocess.run(
        ["kubectl", "--kubeconfig", str(kubeconfig), "get", "resourcequota", "-o", "json"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    (quota,) = json.loads(asked.stdout)["items"]
    assert quota["metadata"]["name"] == "defaultresourcequota"
    assert quota["spec"]["hard"]["requests.cpu"] == "1500m"


def test_a_kubeconfig_that_was_asked_for_and_not_merged_makes_the_run_partly(
    run_notebook, sandbox, handover, tmp_path
):
    own = tmp_path / "config"
    content = f"users: [{{name: aks-prod-weu-2-{NAME}, user: {{token: t}}}}]\n"
    own.write_text(content)
    done = run_notebook("20", namespace_name=NAME, kubeconfig=own)
    assert (done.code, done.result["status"], done.result["exit_code"]) == (3, "partly", 3)
    (item,) = done.result["items"]
    assert item["outcome"] == "created"
    assert item["reason"].startswith("its kubeconfig was not merged: ")
    for told in (item["reason"], done.result["headline"], done.report):
        assert "has a user aks-prod" in told
    assert "make the plan again" not in done.report
    assert "To go on; what is done stays:\n" in done.output
    assert "   mns run 20 " in done.output, "a log's line, then the indent"
    assert own.read_text() == content
    assert (handover / "kubeconfig").exists()


def test_a_pack_that_cannot_be_written_makes_the_run_partly(run_notebook, sandbox, handover):
    (handover / "kubeconfig").mkdir(parents=True)
    done = run_notebook("20", namespace_name=NAME)
    assert (done.code, done.result["status"]) == (3, "partly")
    assert f"{NAME} is as requested: created. Not handed over: " in done.result["headline"]
    assert done.result["items"][0]["reason"].startswith("its kubeconfig was not written: ")
    (handover / "kubeconfig").rmdir()
    done = run_notebook("20", namespace_name=NAME)
    assert (done.code, done.result["status"]) == (0, "done")


@pytest.mark.parametrize(
    ("step", "cell", "code", "said"),
    [
        ("run.apply()", "import os; os._exit(7)", 5, "Then: The notebook's process ended: "),
        ("run.record()", "1 / 0", 4, "Then: ZeroDivisionError: division by zero"),
    ],
)
def test_what_was_written_is_told_whatever_ends_the_notebook(
    mns, sandbox, handover, tmp_path, step, cell, code, said
):
    original = ROOT / "notebooks" / "20_onboard_namespace.ipynb"
    notebook = json.loads(original.read_text(encoding="utf-8"))
    (place,) = [n for n, own in enumerate(notebook["cells"]) if "".join(own["source"]) == step]
    added = notebook["cells"][place] | {"id": "added", "metadata": {}, "source": cell}
    notebook["cells"].insert(place + 1, added)
    copy = tmp_path / original.name
    copy.write_text(json.dumps(notebook), encoding="utf-8")
    given = ROOT / "parameters" / "20_onboard_namespace.sandbox.yaml"
    words = ["-f", str(given), "-p", f"namespace_name={NAME}", "--runs", str(tmp_path / "runs")]
    done = mns("run", str(copy), *words)
    assert done.returncode == code, done.stderr
    assert "has changed; make the plan again" not in done.stderr
    (file,) = (tmp_path / "runs").glob("*/result.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    assert [item["outcome"] for item in record["items"]] == ["created"]
    assert record["headline"].startswith(f"{NAME} is as requested: created. ")
    assert said in record["headline"]


def test_where_a_kubeconfig_cannot_be_merged_is_known_before_anything_starts(
    run_notebook, sandbox, tmp_path
):
    named = f"{tmp_path}/a:{tmp_path}/b"
    done = run_notebook("20", namespace_name=NAME, kubeconfig=named, kubectl_login="gcloud")
    assert (done.code, done.result["status"]) == (6, "refused")
    assert "kubectl_login is 'gcloud': write one of mns, kubelogin." in done.output
    assert f"kubeconfig is '{named}': it is no path of one file" in done.output
    assert sandbox.requests() == []
    assert not list(tmp_path.glob("a*"))


def test_a_namespace_that_stands_is_handed_over_without_a_change(
    mns, sandbox, environment, tmp_path
):
    place = ROOT / "handover" / "aks-prod-weu-1" / "payments-api"
    cluster = sandbox.cluster("aks-prod-weu-1")
    given = {
        "subscription_id": cluster.subscription_id, "resource_group": cluster.resource_group,
        "cluster_name": cluster.cluster_name, "namespace_name": "payments-api", "dry_run": "false",
    }  # fmt: skip
    words = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    try:
        done = mns("run", "20", *words, "-p", "dry_run=true", "--runs", str(tmp_path / "runs"))
        assert done.returncode == 0, done.stderr
        assert not place.exists()
        done = mns("run", "20", *words, "--runs", str(tmp_path / "runs"))
        assert done.returncode == 0, done.stderr
        assert (place / "kubeconfig").exists()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    assert sandbox.requests("PUT") == []


def test_a_dry_run_shows_what_to_write_and_writes_nothing(run_notebook, sandbox, handover):
    done = run_notebook("20", namespace_name=NAME, dry_run="true")
    assert (done.code, done.result["status"]) == (0, "findings")
    digest = json.loads((done.directory / "plan.json").read_text())["digest"]
    assert f'approved_digest: "{digest}"' in unescape(done.report)
    assert "Nothing to prove yet" in done.report
    assert not handover.exists()


def test_a_grant_without_effect_is_a_finding_before_and_after_it_is_made(run_notebook, sandbox):
    folder = ROOT / "handover" / "aks-prod-neu-1" / NAME
    asked = {"cluster_name": "aks-prod-neu-1", "namespace_name": NAME}
    try:
        for dry_run in ("true", "false"):
            done = run_notebook("20", "--detailed-exitcode", dry_run=dry_run, **asked)
            assert (done.code, done.result["status"]) == (2, "findings"), done.output
            assert "1 warning: aks-prod-neu-1: Azure RBAC is off" in done.result["headline"]
        assert done.result["headline"].startswith(f"{NAME} is as requested: created.")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_pack_of_another_cluster_of_that_name_is_left_alone(
    sandbox, sandbox_file, monkeypatch, handover
):
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))
    namespace = sandbox.cluster("aks-prod-weu-2").namespace(NAME)
    target = open_target("sandbox", cloud="public", credential="default")
    handover.mkdir(parents=True)
    note = handover / "cluster-id"
    note.write_text(str(namespace.cluster).replace("rg-platform", "rg-other"))
    with target.azure, pytest.raises(ConfigError, match=r"of another cluster: .*rg-other"):
        write_pack(namespace, target, cloud="public")
    assert [path.name for path in handover.iterdir()] == ["cluster-id"]
