"""The other commands, and what they say when they are used wrongly."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from mnslib.sandbox.launcher import ensure_running, find_running, stop

from .conftest import ROOT


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "99"],
        ["run", "30", "-f", "absent.yaml"],
        ["run", "30", "-p", "dry_run"],
        ["nonsense"],
        ["sandbox", "serve", "--latency", "slow", "--connection", "x"],
        ["sandbox", "serve", "--world", "nosuch", "--connection", "x"],
        ["sandbox", "serve", "--port", "99999", "--connection", "x"],
    ],
)
def test_bad_usage_ends_with_six_and_says_why(mns, words):
    done = mns(*words)
    assert done.returncode == 6
    assert done.stderr.startswith(("Error:", "Usage:"))
    assert "Traceback" not in done.stderr


def test_token_prints_an_exec_credential(mns):
    done = mns("token", "--target", "sandbox")
    credential = json.loads(done.stdout)
    assert credential["kind"] == "ExecCredential"
    assert credential["status"]["token"].count(".") == 2
    assert credential["status"]["expirationTimestamp"].endswith("Z")


def test_open_makes_a_copy_and_leaves_the_notebook_alone(mns, tmp_path):
    tracked = (ROOT / "notebooks/30_provision_in_bulk.ipynb").read_text()
    done = mns("open", "30", "-p", "max_changes=7", "--runs", str(tmp_path / "r"), "--no-lab")
    copy = json.loads(Path(done.stdout.strip()).read_text())
    sources = ["".join(cell["source"]) for cell in copy["cells"]]
    assert sum('max_changes: str = "7"  # such as 50' in text for text in sources) == 1
    assert (ROOT / "notebooks/30_provision_in_bulk.ipynb").read_text() == tracked


def test_open_passes_on_what_jupyterlab_is_to_be_told(mns, tmp_path):
    done = mns("open", "40", "--runs", str(tmp_path / "r"), "--", "--show-config-json")
    assert done.returncode == 0, done.stderr
    copy, _, config = done.stdout.partition("\n")
    root = Path(json.loads(config)["ServerApp"]["root_dir"])
    assert root == tmp_path / "r"  # no other folder is served, whatever both lie in
    assert root in Path(copy).parents


def test_open_names_the_notebook_and_ends_jupyterlab_with_itself(environment, tmp_path):
    words = [sys.executable, "-m", "mnslib", "open", "40", "--runs", str(tmp_path / "a b")]
    lab = ["--", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([*words, *lab], env=environment, cwd=tmp_path, **pipes) as process:
        try:
            addresses = (line for line in process.stdout if "http://127.0.0.1" in line)
            address = urllib.parse.urlsplit(next(addresses).split()[-1])
        finally:
            process.terminate()
        process.stdout.read()  # ends when nobody holds the pipe any more, JupyterLab neither
    copy = next((tmp_path / "a b").glob("open/*/40_*.ipynb"))
    assert urllib.parse.unquote(address.path).startswith("/lab/tree/")
    assert urllib.parse.unquote(address.path).endswith(f"/{copy.parent.name}/{copy.name}")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port))


def test_a_dry_run_says_what_it_would_do_and_how_to_go_ahead(planned):
    done, digest = planned, planned.plan["digest"]
    assert "This was a dry run: nothing was written. It would\n" in done.output
    assert "  adopt   legacy-crm on aks-prod-weu-1  [adoption" in done.output
    assert "  ... and 18 more: plan.json\n" in done.output
    assert f'  dry_run: false\n  approved_digest: "{digest}"\n  allow: [adoption' in done.output


def test_a_dry_run_with_nothing_to_change_asks_for_no_approval(
    run_notebook, mns, sandbox, tmp_path
):
    file = tmp_path / "now.yaml"
    exported = mns("export", str(file))
    assert exported.returncode == 0, exported.stderr
    done = run_notebook("30", request_file=file, dry_run="true", tiers_file="", policy_file="")
    assert done.result["status"] == "findings", done.output  # for a warning of the checks
    assert "Nothing is to be changed, so there is nothing to approve." in done.output
    assert "approved_digest" not in done.output
    assert "approval" not in (done.directory.parent / "index.html").read_text().split("<footer")[0]


def test_a_request_file_that_is_missing_is_named_with_the_rule(run_notebook, sandbox):
    done = run_notebook("30", request_file="absent.csv")
    assert done.code == 6
    assert f"there is no file {ROOT / 'absent.csv'}. A relative path is taken from" in done.output


def test_runs_writes_an_index_even_over_nothing(mns, tmp_path):
    done = mns("runs", "--runs", str(tmp_path / "none"))
    assert done.returncode == 0
    assert "<html" in (tmp_path / "none/index.html").read_text()


@pytest.fixture
def home(environment, tmp_path):
    """A sandbox of its own, as `mns demo` and the notebooks start one."""
    home = tmp_path / "home"
    connection = ensure_running(home, idle_exit_minutes=5)
    environment["MNS_SANDBOX"] = str(home / "connection.json")
    yield connection
    if running := find_running(home / "connection.json"):
        stop(running)


def test_a_sandbox_is_shown_reset_and_stopped(mns, home, tmp_path):
    shown = mns("sandbox", "status").stdout
    assert f"MNS_SANDBOX: running at {home['arm_endpoint']}, used by runs\n" in shown
    assert f"export MNS_SANDBOX={tmp_path / 'home/connection.json'}\n" in shown
    assert "aks-prod-weu-1  resource group rg-platform  subscription 0000" in shown
    for name in ("project", "demo"):
        assert f"\n{name}: " in shown
    assert "is as it was at first" in mns("sandbox", "reset").stdout
    assert mns("sandbox", "stop").returncode == 0
    assert find_running(tmp_path / "home/connection.json") is None
    assert "MNS_SANDBOX: not running" in mns("sandbox", "status").stdout
    again = mns("sandbox", "stop")
    assert again.returncode == 6
    assert "No sandbox is running for" in again.stderr


def test_kubectl_finds_a_sandbox_that_was_stopped_started_again(mns, home, tmp_path):
    assert mns("sandbox", "stop").returncode == 0
    done = mns("token", "--target", "sandbox")
    assert json.loads(done.stdout)["kind"] == "ExecCredential"
    assert done.stderr == "Starting the sandbox, which takes some seconds ...\n"
    again = find_running(tmp_path / "home/connection.json")
    assert again["arm_endpoint"] == home["arm_endpoint"]


def test_serving_says_where_and_how_to_use_it(environment, tmp_path):
    file = tmp_path / "served.json"
    words = [sys.executable, "-m", "mnslib", "sandbox", "serve", "--connection", str(file)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = [process.stdout.readline() for _ in range(2)]
        finally:
            process.terminate()
    endpoint = json.loads(file.read_text())["arm_endpoint"]
    assert said[0].startswith(f"Ready at {endpoint} until Ctrl-C.")
    assert said[1] == f"  export MNS_SANDBOX={file}\n"


@pytest.mark.parametrize("content", [None, "{}", "served"])
def test_a_sandbox_that_is_gone_is_named_with_what_to_do(
    mns, environment, sandbox_connection, tmp_path, content
):
    gone = tmp_path / "gone.json"
    environment["MNS_SANDBOX"] = str(gone)
    if content is not None:
        nobody = {**sandbox_connection, "control_endpoint": "https://127.0.0.1:9/_sandbox"}
        gone.write_text(json.dumps(nobody) if content == "served" else content)
    done = mns("token", "--target", "sandbox")
    assert done.returncode == 6
    assert "MNS_SANDBOX names" in done.stderr
    assert "mns sandbox serve --connection" in done.stderr


def test_a_webhook_that_fails_is_said_and_does_not_change_the_outcome(run_notebook, environment):
    environment["MNS_NOTIFY_URL"] = "http://127.0.0.1:9/hook?sig=abcdefghijkl"
    run = run_notebook("30", request_file="parameters/none.csv", notify_url_env="MNS_NOTIFY_URL")
    assert (run.code, run.result["status"]) == (6, "refused")
    assert "Nobody was notified: the webhook at 127.0.0.1 was not reached" in run.output
    assert "abcdefghijkl" not in run.output + run.report
