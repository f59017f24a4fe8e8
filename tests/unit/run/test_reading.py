"""The tables of a run: written beside the next cells, whole, and no failure is lost."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pandas as pd
import pytest
from openpyxl import load_workbook

from mnslib.errors import ConfigError
from mnslib.run.project import RUN_DIRECTORY_VARIABLE, write_result
from mnslib.run.reading import Reading


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    return Reading("40_analyze_quota_utilization", {})


def table() -> pd.DataFrame:
    return pd.DataFrame({"namespace_name": ["web", "api"], "hard": [0.5, 2.0]})


def test_the_record_lists_the_tables_once_they_are_written(run: Reading) -> None:
    run.save_table("layers", table())
    run.save_table("daily", table().head(1))
    run.record()
    record = json.loads((run.directory / "result.json").read_text("utf-8"))
    assert record["artifacts"] == ["tables/daily.csv", "tables/layers.csv", "tables/tables.xlsx"]
    text = (run.directory / "tables" / "layers.csv").read_text("utf-8")
    assert text == "namespace_name,hard\nweb,0.5\napi,2.0\n"
    book = load_workbook(run.directory / "tables" / "tables.xlsx")
    assert book.sheetnames == ["columns", "layers", "daily"]
    assert {path.name for path in (run.directory / "tables").iterdir()} == {
        "daily.csv", "layers.csv", "tables.xlsx",
    }  # fmt: skip


def test_a_table_is_written_as_it_was_when_it_was_saved(run: Reading) -> None:
    frame = table()
    for _ in range(20):
        run.save_table("layers", frame)
    frame["hard"] = 7.0
    frame.loc[0, "namespace_name"] = "changed"
    run.record()
    assert "web,0.5" in (run.directory / "tables" / "layers.csv").read_text("utf-8")


def test_a_table_that_cannot_be_written_fails_the_record(run: Reading) -> None:
    (run.directory / "tables" / "layers.csv").mkdir(parents=True)
    run.save_table("layers", table())
    with pytest.raises(IsADirectoryError, match=r"layers\.csv"):
        run.record()
    record = json.loads((run.directory / "result.json").read_text("utf-8"))
    assert record["status"] == "stopped"


def test_what_could_not_be_written_can_be_saved_again(run: Reading) -> None:
    blocked = run.directory / "tables" / "layers.csv"
    blocked.mkdir(parents=True)
    run.save_table("layers", table())
    with pytest.raises(IsADirectoryError):
        run.record()
    blocked.rmdir()
    run.save_table("layers", table())
    run.record()
    assert blocked.is_file()
    assert {path.name for path in blocked.parent.iterdir()} == {"layers.csv", "tables.xlsx"}


def test_no_record_is_done_while_a_table_is_missing(run: Reading) -> None:
    blocked = [run.directory / "tables" / f"{name}.csv" for name in ("layers", "daily")]
    for path in blocked:
        path.mkdir(parents=True)
    run.save_table("layers", table())
    with contextlib.suppress(IsADirectoryError):  # of the other, if that was tried by now
        run.save_table("daily", table())
    for _ in range(4):
        with pytest.raises(IsADirectoryError):
            run.record()
    for path in blocked:
        path.rmdir()
    run.save_table("layers", table())
    with pytest.raises(IsADirectoryError, match=r"daily\.csv"):
        run.record()
    run.save_table("daily", table())
    run.record()
    assert sorted(path.name for path in blocked[0].parent.iterdir()) == [
        "daily.csv", "layers.csv", "tables.xlsx",
    ]  # fmt: skip


def test_a_reading_of_azure_is_not_analyzed_as_one_of_the_sandbox(
    run: Reading, tmp_path: Path
) -> None:
    other = tmp_path.parent / f"{tmp_path.name}-reading"
    other.mkdir()
    record = json.loads((run.directory / "result.json").read_text("utf-8"))
    for changes, reason in (
        ({"target": "azure"}, "was made on azure; write target: azure"),
        ({"parameters": {"snapshot_run": "first"}}, "it analyzed first; name that run"),
        ({}, "has no whole snapshot"),
    ):
        write_result(other, {**record, **changes})
        with pytest.raises(ConfigError, match=reason):
            Reading("40_analyze_quota_utilization", {"snapshot_run": other.name})
