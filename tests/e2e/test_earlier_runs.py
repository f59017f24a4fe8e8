"""Run directories that version 0.1 left: resumed, undone, compared with and analyzed again."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from mnslib.errors import ConfigError
from mnslib.provisioning.resume import read_earlier, require_untouched

from .conftest import writes

EARLIER = Path(__file__).parent / "data" / "earlier"
READ = "20261130T065551Z-40_analyze_quota_utilization-sandbox"
APPLIED = "20261130T065526Z-30_provision_in_bulk-sandbox"
STOPPED = "20261130T065527Z-30_provision_in_bulk-sandbox"
"""Killed when the first of its three requests was about to be sent."""


@pytest.fixture
def runs(tmp_path):
    return shutil.copytree(EARLIER, tmp_path / "runs")


def rows(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_reading_of_before_is_analyzed_again_and_compared_with(
    run_notebook, environment, runs, tmp_path
):
    environment["MNS_SANDBOX"] = str(tmp_path / "no-such-sandbox.json")
    again = run_notebook("40", snapshot_run=READ, compare_run=READ)
    assert again.code == 0, again.output
    tables, before = again.directory / "tables", runs / READ / "tables"
    for name in ("utilization.csv", "requests.csv", "crossings.csv", "daily.csv"):
        assert rows(tables / name) == rows(before / name)
    for step, was in zip(rows(tables / "steps.csv"), rows(before / "steps.csv"), strict=True):
        if was["kind"] == "give back":  # this version takes back a quarter at most
            least = float(was["from"]) * 3 / 4
            assert least <= float(step.pop("to")) <= least * 1.05  # as it can be written
            assert step.pop("reason") == f"{was.pop('reason')}; a quarter at most"
            assert float(was.pop("to")) < least
        assert step == was
    assert rows(tables / "changed.csv") == []
    assert again.result["summary"]["full"] == 1
    assert again.result["summary"]["new_full"] == 0


def test_a_run_of_before_is_undone_by_the_same_file(mns, runs):
    file = runs / APPLIED / "undo.yaml"
    before = file.read_text("utf-8")
    file.unlink()
    done = mns("undo", APPLIED, "--runs", str(runs))
    assert done.returncode == 0, done.stderr
    said, known = (sorted(text.splitlines()) for text in (file.read_text("utf-8"), before))
    # a namespace that goes takes the roles with it, as this version knows
    assert said == [line for line in known if ": a role stays (" not in line]


def test_an_undo_names_an_amount_that_it_cannot_take_away_and_is_planned(mns, sandbox, runs):
    unset = '"before": {"id": ', '"cpu_limit": "16000m", '  # nobody had set it
    folder = runs / APPLIED
    text = (folder / "journal.jsonl").read_text("utf-8")
    start = text.index(unset[1], text.index(unset[0]))
    text = text[:start] + text[start + len(unset[1]) :]
    (folder / "journal.jsonl").write_text(text, "utf-8")
    (folder / "undo.yaml").unlink()
    assert mns("undo", APPLIED, "--runs", str(runs)).returncode == 0
    asked = (folder / "undo.yaml").read_text("utf-8")
    assert "cpu_limit was not set, and cannot be unset again" in asked
    assert "null" not in asked
    done = mns.run("30", request_file=str(folder / "undo.yaml"))
    assert done.code == 0, done.output


@pytest.mark.usefixtures("sandbox")
def test_a_run_of_before_that_was_killed_is_resumed_under_its_approval(mns, runs):
    record = runs / STOPPED / "result.json"  # it names its request file as it was given: absolute
    file = json.dumps(str(runs / "requests.csv"))
    record.write_text(record.read_text("utf-8").replace('"requests.csv"', file, 1), "utf-8")
    done = mns("resume", STOPPED, "--runs", str(runs))
    directory = runs / done.stdout.strip().splitlines()[-1]
    result = json.loads((directory / "result.json").read_text("utf-8"))
    outcomes = {item["namespace_name"]: item["outcome"] for item in result["items"]}
    assert outcomes == {  # the one that exists has another etag in this sandbox than was planned on
        "payments-refunds": "created", "data-exports": "created", "web-checkout": "skipped",
    }, done.stderr  # fmt: skip
    assert done.returncode == 3


def forged(folder, file, old, new):
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), "utf-8")


FORGED = {
    "risk": ("journal.jsonl", '"risks": []', '"risks": ["deletion"]'),
    "digest": ("journal.jsonl", '"digest": "sha256:a2', '"digest": "sha256:a3'),
    "item": ("journal.jsonl", '"after": "c7de', '"after": "c7df'),
    "grant": ("journal.jsonl", '"grants": ["Group 0', '"grants": ["User 0'),
    "plan": ("plan.json", '"cpu_limit": "1500m"', '"cpu_limit": "1501m"'),
    "no plan": ("plan.json", "{", "["),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_run_whose_files_were_tampered_with_is_not_gone_on_with(runs, what):
    folder = runs / STOPPED
    plan = folder / "plan.json"
    require_untouched(read_earlier(folder), plan)
    forged(folder, *FORGED[what])
    with pytest.raises(ConfigError, match="were tampered with") as refused:
        require_untouched(read_earlier(folder), plan)
    assert str(plan) in str(refused.value)


def test_a_resumed_run_that_was_tampered_with_is_refused_before_a_write(mns, sandbox, runs):
    forged(runs / STOPPED, "result.json", '"requests.csv"', json.dumps(str(runs / "requests.csv")))
    forged(runs / STOPPED, *FORGED["risk"])
    done = mns("resume", STOPPED, "--runs", str(runs))
    assert done.returncode == 6, done.stderr
    assert "Run the requests anew: what is done stays." in done.stderr
    assert not writes(sandbox.requests())
