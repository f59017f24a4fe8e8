"""Every run has an end: a true record, a line in the index, and somebody who is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from filelock import FileLock

from .conftest import HOOK, ROOT, with_hook

FILE = ROOT / "parameters/30_provision_in_bulk.sandbox.yaml"


@pytest.mark.parametrize("log", ["full", "closed", "none"])
def test_a_log_that_takes_nothing_ends_no_run(environment, sandbox, tmp_path, log):
    command = [sys.executable, "-m", "mnslib", "run", "30", "-f", str(FILE)]
    command += ["--runs", str(tmp_path / "runs")]
    out = os.open("/dev/full", os.O_WRONLY)
    if log == "closed":
        reads, out = os.pipe()
        os.close(reads)
    if log == "none":
        command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command]
    done = subprocess.run(
        command, env=environment, stdout=out, stderr=out, timeout=120, check=False
    )
    os.close(out)
    assert done.returncode == 0
    (file,) = tmp_path.glob("runs/*/result.json")
    record = json.loads(file.read_text())
    assert (record["status"], record["exit_code"], len(record["items"])) == ("findings", 0, 36)


@pytest.mark.usefixtures("sandbox")
def test_a_record_that_cannot_be_read_ends_no_later_run_and_is_shown(planned, mns, tmp_path):
    bad = {
        "0": "no JSON",
        "1": "[]",
        "2": "{}",
        "3": "[" * 100_000,
        "4": json.dumps({**planned.result, "started_utc": "yesterday"}),
        "5": json.dumps({**planned.result, "items": [{"outcome": []}]}),
        "6": json.dumps({**planned.result, "warnings": 3}),
        "7": json.dumps({**planned.result, "parameters": []}),
        "8": json.dumps({**planned.result, "finished_utc": "0001-01-01T00:00:00+14:00"}),
    }
    for name, text in bad.items():
        directory = tmp_path / f"runs/2026010{name}T000000Z-30_provision_in_bulk-sandbox"
        directory.mkdir(parents=True)
        (directory / "result.json").write_text(text)
    odd = tmp_path / "runs/20260110T000000Z-30_provision_in_bulk-sandbox"
    odd.mkdir()
    (odd / "journal.jsonl").write_text('{"event": "plan", "may_write": true, "items": [3]}\n')
    (odd / "result.json").write_text(
        json.dumps({**planned.result, "status": "stopped", "items": []})
    )
    done = mns.run("30")
    assert (done.code, done.result["status"]) == (0, "findings"), done.output
    index = (done.directory.parent / "index.html").read_text()
    assert index.count("Unreadable record: ") == len(bad)
    assert "its warnings is missing, or of another kind" in index


@pytest.mark.parametrize("what", ["no yaml", "refused", "no folder"])
def test_where_no_run_can_begin_somebody_is_told(mns, tmp_path, webhook, what):
    file, runs = with_hook(FILE, tmp_path), tmp_path / "runs"
    if what == "no yaml":
        file.write_text(f"a: [\nnotify_url_env: '{HOOK}'\n")
    elif what == "refused":
        file.write_text(f"{file.read_text()}\nno_such: 1\n")
    else:
        runs.write_text("")
    done = mns("run", "30", "-f", str(file), "--runs", str(runs))
    assert done.returncode == 6, done.stderr
    ((*_, body),) = webhook.received
    assert (body["status"], body["exit_code"]) == ("refused", 6)
    assert body["headline"].split("\n")[0] in done.stderr


def test_only_old_runs_that_have_ended_are_deleted(planned, mns, tmp_path):
    runs, old, new = tmp_path / "runs", "20200101T000000Z", f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    past, record = "2020-01-01T00:00:00Z", {**planned.result}
    tomorrow = f"{datetime.now(UTC) + timedelta(1):%Y-%m-%dT%H:%M:%SZ}"

    def make(name, **changed):
        (runs / name).mkdir(parents=True)
        told = {**record, "started_utc": past, "finished_utc": past, **changed}
        (runs / name / "result.json").write_text(json.dumps(told))
        return runs / name

    make(f"{old}-done")
    (runs / f"{old}-done/report.html").write_text("")
    kept = [
        make(f"{old}-unfinished", status="stopped"),
        make(f"{old}-ended-in-the-future", finished_utc=tomorrow),
        make(f"{old}-clock-was-set-back", finished_utc=record["finished_utc"]),
        make(f"{new}-new"),
        make(f"{old}-no-kind", items={}),
        runs / f"{old}-precious",
        runs / f"{old}-link",
    ]
    kept[-2].mkdir()
    (kept[-2] / "result.json").write_text('{"total": 3}')
    kept[-1].symlink_to(make("elsewhere"))
    locked = make(f"{old}-under-way")
    with FileLock(locked / ".under-way"):
        done = mns("runs", "--prune", "30", "--runs", str(runs))
    assert (done.returncode, done.stderr) == (0, "1 deleted\n")
    assert all(path.exists() for path in (*kept, locked, runs / "elsewhere/result.json"))
    assert not (runs / f"{old}-done").exists()
