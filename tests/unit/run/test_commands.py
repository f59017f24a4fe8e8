"""What commands say of what is not there, in process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mnslib import cli
from mnslib.cli import main
from mnslib.provisioning.journal import Journal
from mnslib.results import ChangeKind, RunStatus, utc_now
from mnslib.run.runner import RunOutcome
from mnslib.show.templates import render_part
from tests.unit.provisioning.factories import make_spec


@pytest.mark.parametrize("command", ["undo", "resume"])
def test_a_run_that_is_not_found_says_where_was_looked(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(main, [command, "runs/lost", "--runs", str(tmp_path / "a")])
    assert said.exit_code == 6
    assert f"{tmp_path / 'a' / 'runs' / 'lost'}" in said.output
    assert f"{tmp_path / 'runs' / 'lost'}" in said.output
    assert "--runs" in said.output
    assert "there is none." in said.output


@pytest.mark.parametrize("command", ["undo", "resume"])
def test_a_run_that_is_not_found_offers_those_that_may_be_meant(command: str, tmp_path) -> None:
    names = [f"2026110{day}T061203Z-30_provision_in_bulk-prod" for day in range(1, 6)]
    for name in names:
        (tmp_path / name).mkdir()
    for asked, near in (("nope", ", ".join(names[-3:])), (names[1][:-2], names[1])):
        said = CliRunner().invoke(main, [command, asked, "--runs", str(tmp_path)])
        assert said.exit_code == 6
        assert f"; there is {near}. " in said.output


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "nope" / "x.xlsx"
    said = CliRunner().invoke(main, ["template", str(file)])
    assert said.exit_code == 4
    assert said.output.strip().endswith(f"No such file or directory: '{file}'")
    (folder := tmp_path / "there.xlsx").mkdir()
    said = CliRunner().invoke(main, ["template", str(folder), "--overwrite"])
    assert said.output.strip().endswith(f"Is a directory: '{folder}'")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("command", "option", "hint"),
    [
        ("run", "--dry-run", "-p dry_run=true"),
        ("open", "--lookback-days", "-p lookback_days=..."),
        ("run", "--allow", "-p allow=[...]"),
        ("run", "--nonsense", ""),
        ("undo", "--dry-run", ""),
    ],
)
def test_an_option_that_is_a_parameter_says_how_it_is_given(
    command: str, option: str, hint: str
) -> None:
    said = CliRunner().invoke(main, [command, "30", option])
    assert said.exit_code == 6
    assert ("Parameters of a notebook are given so" in said.output) is bool(hint)
    assert hint in said.output


@pytest.mark.parametrize("minutes", ["nan", "inf", "-1", "0", "1e9", "soon"])
def test_a_time_limit_is_a_number_of_minutes(minutes: str) -> None:
    for command in (["run", "30"], ["resume", "a-run"]):
        said = CliRunner().invoke(main, [*command, "--time-limit", minutes])
        assert (said.exit_code, "--time-limit" in said.output) == (6, True), said.output


def test_what_is_refused_before_a_run_is_logged_as_an_error(tmp_path: Path) -> None:
    words = ["run", "nope", "--log-format", "json", "--runs", str(tmp_path)]
    for more in ([], ["--time-limit", "nan"]):
        said = CliRunner().invoke(main, [*words, *more])
        lines = [json.loads(line) for line in said.output.splitlines()]
        assert {(one["level"], one["status"], one["run"]) for one in lines} == {
            ("error", "refused", "-")
        }


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["--time-limit", "5"], "mns run 40 --time-limit 10"),
        (["--time-limit=0.5", "-p", "a=b"], "mns run 40 --time-limit 1 -p a=b"),
    ],
)
def test_what_took_too_long_is_given_longer(words, again, monkeypatch, tmp_path, capsys) -> None:
    late = RunOutcome(directory=tmp_path, exit_code=143, status=RunStatus.INTERRUPTED, message="",
                      is_late=True)  # fmt: skip
    monkeypatch.setattr("mnslib.run.runner.run_notebook", lambda *_, **__: late)
    monkeypatch.setattr("sys.argv", ["mns", "run", "40", *words])
    minutes = float(words[0].partition("=")[2] or words[1])
    cli._execute("40", {}, {"dry_run": False}, "x", time_limit_minutes=minutes)
    assert capsys.readouterr().err.rstrip().endswith(f"  {again}")


@pytest.mark.parametrize("is_written", [False, True])
def test_a_run_is_resumed_only_where_it_has_a_plan(
    is_written, monkeypatch, tmp_path, capsys
) -> None:
    """As after a second signal, which leaves a run wherever it is."""
    ended = RunOutcome(directory=tmp_path, exit_code=143, status=RunStatus.INTERRUPTED, message="")
    monkeypatch.setattr("mnslib.run.runner.run_notebook", lambda *_, **__: ended)
    monkeypatch.setattr("sys.argv", ["mns", "run", "30"])
    if is_written:
        item = {"id": str(make_spec("web").id), "change": "Create"}
        plan = {"digest": "", "may_write": True, "risks": [], "items": [item]}
        Journal(tmp_path / "journal.jsonl", now=utc_now).write("plan", **plan)
    cli._execute("30", {}, {"dry_run": False, "resume_run": ""}, "x")
    again = f"mns resume {tmp_path}" if is_written else "mns run 30"
    assert capsys.readouterr().err.rstrip().endswith(f"  {again}")


def test_the_dry_run_of_a_release_says_release() -> None:
    item = {"change": ChangeKind.DELETE.value, "risks": []}
    kept, gone = (item | {"before": {"delete_policy": policy}} for policy in ("Keep", "Delete"))
    target = make_spec("web").id
    said = render_part("run.txt.j2", "dry_run", [(kept, target), (gone, target)], 0, "")
    assert "  release web on" in said
    assert "  delete  web on" in said
