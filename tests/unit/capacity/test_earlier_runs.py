"""Which earlier run an analysis reads again or is compared with, and which it refuses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mnslib.capacity.store import FACTS_FILE, write_snapshot
from mnslib.errors import ConfigError
from mnslib.project import RUN_DIRECTORY_VARIABLE, write_result
from mnslib.read_steps import SNAPSHOT_FOLDER, ReadSteps
from mnslib.results import RunRecord, RunStatus, utc_text

NOTEBOOK = "40_analyze_quota_utilization"
STARTED = utc_text(datetime(2026, 11, 2, 6, 0, tzinfo=UTC))
ASKED = {"subscription_ids": [], "clusters": [], "history": "none", "prometheus_endpoint": ""}


@pytest.fixture
def snapshot(make_snapshot, make_quota):
    return make_snapshot({"aks-1": [make_quota("web", {"requests.cpu": 4}, {"requests.cpu": 4})]})


@pytest.fixture
def leave_run(snapshot, tmp_path):
    """Leave a run directory behind, as a reading notebook does."""

    def leave(name="first", **parameters):
        write_snapshot(snapshot, tmp_path / name / SNAPSHOT_FOLDER, written_by="0.1.0")
        record = RunRecord(
            notebook=NOTEBOOK, environment="sandbox", target="sandbox", started_utc=STARTED,
            finished_utc=STARTED, status=RunStatus.DONE, exit_code=0, parameters=parameters,
        )  # fmt: skip
        write_result(tmp_path / name, record.to_json())
        return tmp_path / name

    return leave


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begin a run beside the others."""

    def begin(**cells):
        directory = tmp_path / f"20261103T060000Z-{NOTEBOOK}-sandbox"
        directory.mkdir()
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(directory))
        return ReadSteps(NOTEBOOK, {"target": "sandbox", **cells})

    return begin


@pytest.mark.parametrize("is_path", [False, True])
def test_an_earlier_run_is_read_again_by_its_name_or_its_path(begin, leave_run, snapshot, is_path):
    first = leave_run()
    run = str(first) if is_path else first.name
    read = begin(snapshot_run=run).collect(**ASKED, snapshot_run=run)
    assert read.quotas == snapshot.quotas


def test_an_analysis_of_another_target_is_not_passed_off_as_azures(begin, leave_run):
    run = leave_run().name
    steps = begin(snapshot_run=run, target="azure")
    with pytest.raises(ConfigError, match="was made on sandbox; write target: sandbox"):
        steps.collect(**ASKED, snapshot_run=run)


def test_a_run_that_read_nothing_itself_names_the_one_that_did(begin, leave_run):
    leave_run("second", snapshot_run="first")
    with pytest.raises(ConfigError, match="it analyzed first; name that run"):
        begin(snapshot_run="second").collect(**ASKED, snapshot_run="second")


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        (f"{SNAPSHOT_FOLDER}/{FACTS_FILE}", "no whole snapshot"),
        ("result.json", "has no record of a run"),
    ],
)
def test_a_run_without_a_whole_snapshot_or_record_is_refused(begin, leave_run, lost, why):
    first = leave_run()
    (first / lost).unlink()
    with pytest.raises(ConfigError, match=why):
        begin(snapshot_run="first").collect(**ASKED, snapshot_run="first")


def test_a_run_that_is_not_there_is_refused_by_name(begin):
    with pytest.raises(ConfigError, match="no run 20200101T0"):
        begin(snapshot_run="20200101T0").collect(**ASKED, snapshot_run="20200101T0")


@pytest.mark.parametrize(("text", "said"), [("nothing", "cannot be read"), (None, "can be read")])
def test_a_run_to_compare_with_that_is_damaged_is_a_note(begin, leave_run, text, said):
    first = leave_run()
    (first / "tables").mkdir()
    if text is not None:
        (first / "tables" / "utilization.csv").write_text(text, encoding="utf-8")
    earlier = begin(compare_run="first").earlier("first")
    assert earlier.table is None
    assert "first" in earlier.note
    assert said in earlier.note
