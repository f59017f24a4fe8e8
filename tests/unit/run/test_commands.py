"""What commands say of what is not there, in process."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from mnslib.cli import main
from mnslib.results import ChangeKind
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


def test_the_dry_run_of_a_release_says_release() -> None:
    item = {"change": ChangeKind.DELETE.value, "risks": []}
    kept, gone = (item | {"before": {"delete_policy": policy}} for policy in ("Keep", "Delete"))
    target = make_spec("web").id
    said = render_part("run.txt.j2", "dry_run", [(kept, target), (gone, target)], 0, "")
    assert "  release web on" in said
    assert "  delete  web on" in said
