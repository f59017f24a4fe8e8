"""The tables of a run: written beside the next cells, whole, and no failure is lost."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pandas as pd
import pytest
from openpyxl import load_workbook

from mnslib.capacity.tables import Tables
from mnslib.errors import ConfigError
from mnslib.run import start
from mnslib.run.project import RUN_DIRECTORY_VARIABLE, write_result
from mnslib.run.reading import Reading


@pytest.fixture
def run(make_snapshot, make_quota, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    begun = start("40_analyze_quota_utilization", {})
    quota = make_quota("web", {"requests.cpu": 4}, {"requests.cpu": 4})
    begun.tables = Tables(make_snapshot({"aks-1": [quota]}))
    return begun


def table() -> pd.DataFrame:
    return pd.DataFrame({"namespace_name": ["web", "api"], "hard": [0.5, 2.0]})


def written(run: Reading) -> set[str]:
    """Return the files among the tables that are not of the analysis itself."""
    own = {f"{name}.csv" for name in run.tables.all()}
    return {path.name for path in (run.directory / "tables").iterdir()} - own


def test_nothing_that_was_not_read_is_recorded(run: Reading) -> None:
    run.tables = None
    with pytest.raises(ConfigError, match="Nothing was read yet: run the cells above first"):
        run.record()
    assert json.loads((run.directory / "result.json").read_text("utf-8"))["status"] == "stopped"


def test_the_record_lists_the_tables_once_they_are_written(run: Reading) -> None:
    run.save({"mine": table(), "other": table().head(1)})
    run.record()
    record = json.loads((run.directory / "result.json").read_text("utf-8"))
    mine = {f"tables/{name}" for name in ("mine.csv", "other.csv", "tables.xlsx")}
    assert {"tables/utilization.csv", "tables/daily.csv"} | mine <= set(record["artifacts"])
    text = (run.directory / "tables" / "mine.csv").read_text("utf-8")
    assert text == "namespace_name,hard\nweb,0.5\napi,2.0\n"
    book = load_workbook(run.directory / "tables" / "tables.xlsx")
    assert {"columns", "mine", "other", "utilization"} <= set(book.sheetnames)
    assert written(run) == {"mine.csv", "other.csv", "tables.xlsx"}


def test_a_table_is_written_as_it_was_when_it_was_saved(run: Reading) -> None:
    frame = table()
    for _ in range(20):
        run.save({"mine": frame})
    frame["hard"] = 7.0
    frame.loc[0, "namespace_name"] = "changed"
    run.record()
    assert "web,0.5" in (run.directory / "tables" / "mine.csv").read_text("utf-8")


def test_a_table_that_cannot_be_written_fails_the_record(run: Reading) -> None:
    (run.directory / "tables" / "mine.csv").mkdir(parents=True)
    run.save({"mine": table()})
    with pytest.raises(IsADirectoryError, match=r"mine\.csv"):
        run.record()
    record = json.loads((run.directory / "result.json").read_text("utf-8"))
    assert record["status"] == "stopped"


def test_what_could_not_be_written_can_be_saved_again(run: Reading) -> None:
    blocked = run.directory / "tables" / "mine.csv"
    blocked.mkdir(parents=True)
    run.save({"mine": table()})
    with pytest.raises(IsADirectoryError):
        run.record()
    blocked.rmdir()
    run.save({"mine": table()})
    run.record()
    assert blocked.is_file()
    assert written(run) == {"mine.csv", "tables.xlsx"}


def test_no_record_is_done_while_a_table_is_missing(run: Reading) -> None:
    blocked = [run.directory / "tables" / f"{name}.csv" for name in ("mine", "other")]
    for path in blocked:
        path.mkdir(parents=True)
    run.save({"mine": table()})
    with contextlib.suppress(IsADirectoryError):  # of the other, if that was tried by now
        run.save({"other": table()})
    for _ in range(4):
        with pytest.raises(IsADirectoryError):
            run.record()
    for path in blocked:
        path.rmdir()
    run.save({"mine": table()})
    with pytest.raises(IsADirectoryError, match=r"other\.csv"):
        run.record()
    run.save({"other": table()})
    run.record()
    assert written(run) == {"mine.csv", "other.csv", "tables.xlsx"}


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
            start("40_analyze_quota_utilization", {"snapshot_run": other.name})
