"""The metrics of the last run are what both formats take, and say what its record says."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from mnslib.results import OutcomeKind, RunStatus
from mnslib.run.notify import write_metrics
from mnslib.run.runner import run_notebook

RECORD: dict[str, Any] = {
    "notebook": "30_provision_in_bulk",
    "environment": 'p"r\\o\nd',
    "target": "azure",
    "started_utc": "2026-11-02T06:00:00Z",
    "finished_utc": "2026-11-02T06:03:43Z",
    "status": "partly",
    "exit_code": 3,
    "summary": {"created": 2, "share": 0.25, "word": "none"},
    "items": [{"outcome": "created"}, {"outcome": "created"}, {"outcome": "failed"}],
}


@pytest.mark.parametrize("read", [parser, openmetrics], ids=["prometheus", "openmetrics"])
def test_the_file_of_the_last_run_is_read_by_both_parsers(read, tmp_path):
    directory = tmp_path / "20261102T060000Z-30_provision_in_bulk-prod.2"
    write_metrics(directory, RECORD | {"status": "failed"})
    write_metrics(directory, RECORD)
    (file,) = tmp_path.iterdir()
    assert file.name == "mnslib-30_provision_in_bulk-p-r-o-d-b5d0743b.prom"
    text = file.read_text(encoding="utf-8")
    assert text.endswith("} 0.25\n# EOF\n")
    families = {found.name: found for found in read.text_string_to_metric_families(text)}
    assert {found.type for found in families.values()} == {"gauge"}
    samples = [sample for found in families.values() for sample in found.samples]
    about = {name: RECORD[name] for name in ("notebook", "environment", "target")}
    assert all(sample.labels.items() >= about.items() for sample in samples)

    def of(name: str, label: str) -> dict[str, float]:
        return {one.labels[label]: one.value for one in samples if one.name == f"mnslib_run_{name}"}

    assert of("exit_code", "target") == {"azure": 3}
    assert of("status", "status") == {name: float(name == "partly") for name in RunStatus}
    none = dict.fromkeys(OutcomeKind, 0.0)
    assert of("items", "outcome") == {**none, "created": 2, "failed": 1}
    assert of("figure", "name") == {"created": 2, "share": 0.25}
    seconds = (
        of("end_time_seconds", "target")["azure"] - of("start_time_seconds", "target")["azure"]
    )
    assert seconds == 223


def test_no_two_notebooks_and_environments_share_a_file(tmp_path):
    names = [("30", "prod"), ("30", "a b"), ("30", "a-b"), ("30", "a/b"), ("30", "x" * 81),
             ("30", "x" * 82), ("my-30", "prod"), ("my", "30-prod")]  # fmt: skip
    for notebook, environment in names:
        directory = tmp_path / "20261102T060000Z-30-a-b"
        write_metrics(directory, RECORD | {"notebook": notebook, "environment": environment})
    files = {path.name for path in tmp_path.iterdir()}
    assert len(files) == len(names)
    assert {"mnslib-30-prod.prom", "mnslib-30-a-b.prom"} <= files


def test_an_index_that_cannot_be_written_leaves_the_metrics(tmp_path):
    (tmp_path / "index.html").mkdir()
    ended = run_notebook("30", parameters={"dry_run": 3}, environment="x", runs_dir=tmp_path)
    assert ended.status is RunStatus.REFUSED
    assert "The index cannot be written" in ended.notice
    (file,) = tmp_path.glob("*.prom")
    assert "mnslib_run_status{" in file.read_text(encoding="utf-8")
