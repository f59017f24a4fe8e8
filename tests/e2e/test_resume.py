"""A bulk run that is killed is resumed: the runner or the kernel, by real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from filelock import FileLock

from .conftest import ROOT, with_hook

FILE = ROOT / "parameters/30_provision_in_bulk.sandbox.yaml"
LIBRARY = """
from pathlib import Path
import mnslib as mns

root = Path(mns.__file__).parents[1]
fleet = mns.connect(tiers_file=root / "parameters/tiers.sample.yaml", runs_dir="runs")
plan = fleet.plan(root / "parameters/requests.sample.csv")
plan.apply(approve=plan.digest, allow=sorted(set(plan.risks["risk"])))
"""


@pytest.fixture
def slow_writes(sandbox):
    def slow(seconds):
        fault = {
            "name": "slow",
            "match": {"surface": "arm", "method": "PUT"},
            "effect": {"slow": seconds},
        }
        sandbox.control("POST", "faults", {"faults": [fault]})

    slow(0.3)
    yield slow
    sandbox.control("POST", "reset", {"clear": ["faults"]})


@pytest.fixture
def fault(sandbox):
    """Set one fault; return how often it hit."""

    def fault(effect, **options):
        one = {"name": "fault", "effect": effect} | options
        sandbox.control("POST", "faults", {"faults": [one]})
        return lambda: sandbox.control("GET", "faults")["faults"][0]["hits"]

    yield fault
    sandbox.control("POST", "reset", {"clear": ["faults"]})


@pytest.fixture
def start(environment, tmp_path):
    """Start the bulk run; return it once some items are finished, and its journal."""
    started = []

    def start(*command, finished=4, is_due=lambda: False):
        runs = str(tmp_path / "runs")
        bulk = ("-m", "mnslib", "run", "30", "-f", str(FILE), "--runs", runs)
        run = subprocess.Popen(
            [sys.executable, *(command or bulk)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
        )
        started.append(run)
        while run.poll() is None:
            found = sorted((tmp_path / "runs").glob("*/journal.jsonl"))[-1:]
            if found and found[0].read_text().count('"event": "finished"') >= finished:
                return run, found[0]
            if is_due():
                return run, None
            time.sleep(0.02)
        pytest.fail(f"the run ended too early: {run.stdout.read()}")

    yield start
    for run in started:
        if run.poll() is None:
            run.kill()
        run.wait()
        run.stdout.close()


def namespace_puts(sandbox, *, status):
    found = sandbox.requests("PUT", containing="/managedNamespaces/")
    found = [r for r in found if "roleassignments" not in r["path"].lower()]
    return Counter(r["path"].rpartition("/")[2] for r in found if r["status"] in status)


def holder(tmp_path):
    (note, *_) = (tmp_path / "locks").glob("*.json")
    return json.loads(note.read_text())


def left_by(done, runs):
    """Return the record of the run that finished the rest; each request has one good outcome."""
    assert done.returncode == 0, done.stdout + done.stderr
    directory = runs / done.stdout.strip().splitlines()[-1]
    result = json.loads((directory / "result.json").read_text())
    names = [(item["cluster_name"], item["namespace_name"]) for item in result["items"]]
    assert len(names) == len(set(names)) == 36
    assert not {"failed", "skipped", "not_attempted"} & {i["outcome"] for i in result["items"]}
    return result


@pytest.mark.slow
@pytest.mark.usefixtures("slow_writes")
@pytest.mark.parametrize(
    ("hit", "code"), [("runner", -signal.SIGKILL), ("kernel", 5)], ids=["runner", "kernel"]
)
def test_a_run_that_was_killed_is_resumed_and_writes_nothing_twice(
    start, mns, run_notebook, sandbox, tmp_path, hit, code
):
    run, journal = start()
    os.kill(run.pid if hit == "runner" else holder(tmp_path)["process"], signal.SIGKILL)
    assert run.wait(timeout=60) == code
    finished = [
        json.loads(line) for line in journal.read_text().splitlines() if '"finished"' in line
    ]
    record = json.loads((journal.parent / "result.json").read_text())
    assert record["status"] == "stopped"
    if hit == "kernel":
        told = {item["namespace_name"]: item["outcome"] for item in record["items"]}
        assert len(told) == 36
        assert {told[one["namespace_name"]] for one in finished} <= {
            "created",
            "updated",
            "adopted",
        }
        assert "failed" in told.values()  # what was under way when it died
        assert f"mns resume {journal.parent}" in run.stdout.read()

    dry = run_notebook("30", resume_run=journal.parent.name, max_failures="100%")
    assert (dry.code, dry.result["status"], len(dry.result["items"])) == (0, "findings", 36)

    resume = "resume", journal.parent.name, "--runs", str(tmp_path / "runs")
    result = left_by(mns(*resume), tmp_path / "runs")
    assert set(namespace_puts(sandbox, status=(200, 201)).values()) == {1}
    assert result["summary"]["created"] >= sum(e["outcome"] == "created" for e in finished)

    sandbox.control("DELETE", "requests")
    assert mns(*resume).returncode == 0
    assert sandbox.requests("PUT") == []


@pytest.mark.slow
@pytest.mark.usefixtures("slow_writes")
@pytest.mark.parametrize("hit", ["twice", "kernel", "runner"])
def test_a_run_that_is_ended_has_a_record_from_its_journal_and_somebody_is_told(
    start, mns, tmp_path, webhook, hit
):
    ends = {"twice": ("interrupted", 143), "kernel": ("stopped", 5), "runner": ("stopped", -9)}
    status, code = ends[hit]
    words = "-f", str(with_hook(FILE, tmp_path)), "--runs", str(tmp_path / "runs")
    run, journal = start("-m", "mnslib", "run", "30", *words)
    if hit == "kernel":
        os.kill(holder(tmp_path)["process"], signal.SIGKILL)
    elif hit == "runner":
        run.kill()
    else:
        run.terminate()
        time.sleep(0.3)  # two signals at once would be one
        run.terminate()
    assert run.wait(timeout=60) == code
    index = tmp_path / "runs" / "index.html"
    if hit == "runner":
        FileLock(journal.parent / ".under-way").acquire().lock.release()  # its kernel has ended
        for _ in range(2):  # told once
            assert mns("runs", "--runs", str(tmp_path / "runs")).returncode == 0
    record = json.loads((journal.parent / "result.json").read_text())
    assert (record["status"], len(record["items"])) == (status, 36)
    assert record["summary"]["created"] >= 1
    ((*_, body),) = webhook.received
    assert (body["status"], body["summary"]) == (status, record["summary"])
    assert record["headline"].split(".")[0] in index.read_text()
    assert not (journal.parent / ".under-way").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("slow_writes")
def test_an_apply_of_the_library_that_was_killed_is_resumed_and_undone(
    start, mns, sandbox, tmp_path
):
    run, journal = start("-c", LIBRARY)
    run.kill()
    assert run.wait(timeout=60) == -signal.SIGKILL
    directory = journal.parent
    assert json.loads((directory / "result.json").read_text())["status"] == "stopped"

    runs = str(tmp_path / "runs")
    left_by(mns("resume", directory.name, "--runs", runs), tmp_path / "runs")
    assert set(namespace_puts(sandbox, status=(200, 201)).values()) == {1}

    undone = mns("undo", directory.name, "--runs", runs)
    assert undone.returncode == 0, undone.stderr
    assert "This undoes 2 runs together" in undone.stderr
    assert re.search(r"\d+ requests in .*undo.yaml; plan them with\n  mns run 30", undone.stdout)


@pytest.mark.slow
@pytest.mark.usefixtures("slow_writes")
def test_sigterm_awaits_what_runs_and_the_same_file_finishes_the_rest(
    start, mns, sandbox, tmp_path
):
    run, journal = start()
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=60) == 143
    result = json.loads((journal.parent / "result.json").read_text())
    assert (result["status"], result["exit_code"]) == ("interrupted", 143)
    outcomes = [item["outcome"] for item in result["items"]]
    assert len(outcomes) == 36
    assert "not_attempted" in outcomes
    assert "failed" not in outcomes
    events = [json.loads(line)["event"] for line in journal.read_text().splitlines()]
    assert events[-1] == "end"
    assert events.count("finished") == 36 - outcomes.count("unchanged")

    left_by(mns("run", "30", "-f", str(FILE), "--runs", str(tmp_path / "runs")), tmp_path / "runs")
    assert set(namespace_puts(sandbox, status=(200, 201)).values()) == {1}


@pytest.mark.slow
def test_of_two_runs_at_once_the_second_is_refused_and_the_first_goes_on(
    start, run_notebook, sandbox, slow_writes, tmp_path
):
    first, journal = start()
    slow_writes(5.0)  # until the second has come to its writes
    # on a slow machine the first has come so far that the second would change most of what is
    # there, and grant the roles that are left on it
    second = run_notebook("30", allow="[adoption, overcommit, many-changes, access-granted]")
    slow_writes(0.0)
    assert (second.code, second.result["status"]) == (7, "failed"), second.output
    assert f"which runs {journal.parent} since" in second.output
    assert not (second.directory / "journal.jsonl").exists()
    assert first.wait(timeout=120) == 0
    result = json.loads((journal.parent / "result.json").read_text())
    assert not {"failed", "skipped", "not_attempted"} & {i["outcome"] for i in result["items"]}
    assert set(namespace_puts(sandbox, status=(200, 201)).values()) == {1}
    assert not list((tmp_path / "locks").glob("*.json"))


HANGS = {
    "effect": {"operation": "hangs"},
    "match": {"surface": "arm", "method": "PUT", "path": "/managedNamespaces/[^/]+$"},
    "times": 2,
}
UNKNOWN = "started, but the run was stopped; its outcome is unknown: run again, it is read first"


@pytest.mark.slow
def test_a_stop_and_a_resumption_do_not_wait_for_what_hangs(
    start, mns, environment, sandbox, fault, tmp_path
):
    fault(**HANGS)
    environment["MNS_STOP_SECONDS"] = "5"
    first, journal = start()
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=120)[0]
    assert first.returncode == 143
    assert "; stopping, for 1 min at most" in said
    result = json.loads((journal.parent / "result.json").read_text())
    assert result["status"] == "interrupted"
    hanging = [item for item in result["items"] if item["outcome"] == "failed"]
    assert len(hanging) == 2
    assert {item["reason"] for item in hanging} == {UNKNOWN}
    assert result["summary"]["not_attempted"]

    names = {item["namespace_name"] for item in hanging}
    again = "-m", "mnslib", "resume", journal.parent.name, "--runs", str(tmp_path / "runs")

    def is_rest_done():  # though both still hang
        journals = sorted((tmp_path / "runs").glob("*/journal.jsonl"))
        now = journals[-1].read_text().rpartition('"event": "plan"')[2]
        is_later = journals[-1] != journal
        return is_later and now.count('"finished"') == result["summary"]["not_attempted"]

    second, _ = start(*again, finished=1000, is_due=is_rest_done)
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=120)
    assert second.returncode == 143
    record = sorted((tmp_path / "runs").glob("*/result.json"))[-1]
    result = json.loads(record.read_text())
    left = [item for item in result["items"] if item["outcome"] == "failed"]
    assert {item["namespace_name"] for item in left} == names
    assert {item["reason"] for item in left} == {UNKNOWN}
    assert not {"skipped", "not_attempted"} & {item["outcome"] for item in result["items"]}

    sandbox.control("POST", "faults", {"faults": []})  # with which what hung goes on
    left_by(mns(*again[2:]), tmp_path / "runs")
    assert set(namespace_puts(sandbox, status=(200, 201)).values()) == {1}


@pytest.mark.slow
def test_a_stop_does_not_wait_for_an_answer_that_never_comes(start, environment, fault, tmp_path):
    hits = fault({"hang": 600}, match={"surface": "arm", "method": "GET", "path": "Namespaces$"})
    environment["MNS_STOP_SECONDS"] = "5"
    run, _ = start(is_due=lambda: hits() > 0)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=120)
    assert run.returncode == 143
    (record,) = (tmp_path / "runs").glob("*/result.json")
    assert json.loads(record.read_text())["status"] == "interrupted"
