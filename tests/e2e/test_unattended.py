"""What a scheduler sees of a run: its exit code and its log."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from mnslib.resource_ids import ClusterId
from mnslib.run.locks import LOCKS_VARIABLE, only_writer
from mnslib.run.log import begin_log

from .conftest import ROOT, writes


@pytest.fixture
def held(environment, sandbox_connection, tmp_path, monkeypatch):
    """One of the clusters, to which somebody else writes."""
    monkeypatch.setenv(LOCKS_VARIABLE, environment[LOCKS_VARIABLE])
    found = next(one for one in sandbox_connection["clusters"] if one["name"] == "aks-prod-weu-1")
    cluster = ClusterId(found["subscription_id"], found["resource_group"], found["name"])
    endpoint = sandbox_connection["arm_endpoint"]
    with only_writer([cluster], endpoint=endpoint, run_directory=tmp_path / "the-other"):
        yield


LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (\S+) .*\S.*")


@pytest.mark.usefixtures("held")
def test_each_line_of_a_log_says_when_and_by_which_run(mns, tmp_path):
    words = ("run", "30", "-f", f"{ROOT}/parameters/30_provision_in_bulk.sandbox.yaml")
    done = mns(*words, "--runs", str(tmp_path / "r"))
    directory = Path(done.stdout.splitlines()[-1])
    said = [LINE.fullmatch(line) for line in done.stderr.splitlines()]
    assert len(said) > 5
    assert {found[1] for found in said} - {None} == {directory.name}
    assert said[-1][0].partition(f" {directory.name} ")[2].startswith("failed: Nothing was written")
    done = mns(*words, "--runs", str(tmp_path / "r"), "--log-format", "json")
    lines = [json.loads(line) for line in (done.stderr + done.stdout).splitlines()]
    assert {tuple(line) for line in lines} == {("utc", "run", "level", "status", "message")}
    how = [(line["level"], line["status"]) for line in lines]
    assert [*dict.fromkeys(how)] == [("info", "running"), ("error", "failed")]
    assert how[-1] == ("error", "failed")
    assert {line["run"] for line in lines} == {Path(lines[-1]["message"]).name}


def test_on_a_terminal_lines_are_as_they_are_and_text_that_is_cut_stays_one_line(monkeypatch):
    screen, file = io.StringIO(), io.StringIO()
    screen.isatty = lambda: True
    for stream in (screen, file, file):  # the last time the log of an earlier run is there
        monkeypatch.setattr("sys.stdout", io.StringIO())
        monkeypatch.setattr("sys.stderr", stream)
        begin_log("text")("another")
        begin_log("text")("a-run")
        print("What is there ...\n  in row 7", file=sys.stderr)
    assert screen.getvalue() == "What is there ...\n  in row 7\n"
    lines = file.getvalue().splitlines()
    said = ["What is there ...", "  in row 7"] * 2
    assert [line.partition("Z a-run ")[2] for line in lines] == said


@pytest.mark.usefixtures("held")
def test_a_run_beside_another_writer_ends_with_a_code_of_its_own(run_notebook, sandbox):
    done = run_notebook("30")
    assert done.code == 7, done.output
    assert (done.result["status"], done.result["exit_code"]) == ("failed", 7)
    assert "the-other since" in done.result["headline"]
    assert not writes(sandbox.requests())
