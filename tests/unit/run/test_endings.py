"""What is read of other runs, how a run that died is ended, and what people read along."""

from __future__ import annotations

import json
import sys

import pytest

from mnslib.errors import ConfigError
from mnslib.results import RunRecord, RunStatus
from mnslib.run import start
from mnslib.run.log import Log, tell
from mnslib.run.project import RUN_DIRECTORY_VARIABLE, read_record, write_result
from mnslib.run.runs import NOT_ENDED, UNDER_WAY_NAME, mark_under_way, write_index

RECORD = RunRecord(
    notebook="30_provision_in_bulk",
    environment="prod",
    target="azure",
    started_utc="2026-11-02T06:12:03Z",
    finished_utc="2026-11-02T06:12:04Z",
    status=RunStatus.STOPPED,
    exit_code=5,
    headline=NOT_ENDED,
    parameters={"notify_url_env": "MNS_HOOK"},
    artifacts=[],
).to_json()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"items": [{}]}, "outcome"),
        ({"items": [3]}, "not subscriptable"),
        ({"items": [{"outcome": "made"}]}, "'made' is not a valid OutcomeKind"),
        ({"summary": None}, "its summary is missing, or of another kind"),
        ({"content": 3}, "its content is missing, or of another kind"),
        ({"artifacts": [None]}, "its artifacts or warnings are no texts"),
        ({"status": "running"}, "'running' is not a valid RunStatus"),
        ({"started_utc": "9999-12-31T23:59:59-14:00"}, "out of range"),
    ],
)
def test_a_record_is_read_where_each_part_is_of_its_kind(tmp_path, changed, why):
    write_result(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD
    write_result(tmp_path, RECORD | changed)
    with pytest.raises(ConfigError, match=f"has no record of a run: .*{why}"):
        read_record(tmp_path)


@pytest.fixture
def dead(tmp_path, monkeypatch):
    """A run of the runner's whose process died, and what the webhook is told."""
    directory = tmp_path / "20261102T061203Z-30_provision_in_bulk-prod"
    directory.mkdir()
    (directory / "notebook.ipynb").write_text('{"cells": []}')
    (directory / UNDER_WAY_NAME).write_text("")
    write_result(directory, RECORD)
    told = []
    monkeypatch.setattr(
        "mnslib.run.runs.notify", lambda record, **_: told.append(record["headline"]) or ""
    )
    return directory, told


def test_a_run_that_died_is_ended_once_by_the_index(dead):
    directory, told = dead
    for _ in range(2):
        write_index(directory.parent)
    assert told == [read_record(directory)["headline"]] == ["The process ended before the run did."]
    assert {path.name for path in directory.iterdir()} == {
        "notebook.ipynb", "report.html", "result.json",
    }  # fmt: skip


def test_a_journal_that_cannot_be_read_keeps_no_other_run_from_the_index(dead):
    directory, told = dead
    (directory / "journal.jsonl").mkdir()  # as where it is another user's, or its disk fails
    assert directory.name in write_index(directory.parent).read_text()
    assert told == ["The process ended before the run did."]


def test_a_run_that_is_under_way_is_left_alone(dead):
    directory, told = dead
    mark = mark_under_way(directory)
    assert "is under way" in write_index(directory.parent).read_text()
    mark.release()
    assert (told, read_record(directory)) == ([], RECORD)


class Unwritable:
    """A stream of a full disk, or of an encoding that lacks a letter."""

    def __init__(self, error):
        self.error = error

    def write(self, _):
        raise self.error

    def flush(self):
        raise self.error


@pytest.mark.parametrize(
    "stream",
    [None, Unwritable(OSError(28, "")), Unwritable(BrokenPipeError()), Unwritable(ValueError())],
)
def test_what_people_read_along_ends_nothing(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    tell("12 of 36 done")
    assert Log(stream).write("text") == 4
    Log(stream).flush()


@pytest.mark.parametrize(
    ("step", "first"),
    [("observe", "requests"), ("plan", "requests"), ("changes", "plan"), ("approve", "plan"),
     ("effect", "plan"), ("record", "plan")],
)  # fmt: skip
def test_a_step_out_of_order_names_the_cell_that_comes_first(tmp_path, monkeypatch, step, first):
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    run = start("30_provision_in_bulk", {})
    given = {"dry_run": True, "approval": "digest", "approved_digest": "", "allow": []}
    with pytest.raises(ConfigError, match=f"run the {first} cell first"):
        getattr(run, step)(**(given if step == "approve" else {}))
    assert not hasattr(run, "no_such_step")
    assert json.loads((tmp_path / "result.json").read_text())["items"] == []
    run.close()
