"""Which earlier run an analysis reads again or is compared with, and which it refuses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mnslib.capacity.store import FACTS_FILE, write_snapshot
from mnslib.errors import ConfigError
from mnslib.results import RunRecord, RunStatus, utc_text
from mnslib.run import start
from mnslib.run.parameters import refused_values
from mnslib.run.project import RUN_DIRECTORY_VARIABLE, read_result, write_result
from mnslib.run.runs import SNAPSHOT_FOLDER, TABLES_FOLDER

NOTEBOOK = "40_analyze_quota_utilization"
STARTED = utc_text(datetime(2026, 11, 2, 6, 0, tzinfo=UTC))
ASKED = {"subscription_ids": [], "clusters": [], "history": "none", "prometheus_endpoint": ""}


FIRST, LAST = (f"2026110{day}T060000Z-{NOTEBOOK}-sandbox" for day in (1, 2))
TABLE = "cluster_name,namespace_name,resource,verdict,hard,utilization_ratio\n"


@pytest.fixture
def snapshot(make_snapshot, make_quota):
    return make_snapshot({"aks-1": [make_quota("web", {"requests.cpu": 4}, {"requests.cpu": 4})]})


@pytest.fixture
def leave_run(snapshot, tmp_path):
    """Leave a run directory behind, as a reading notebook does."""

    def leave(name="first", *, tables="", about=(), **parameters):
        directory = tmp_path / name
        write_snapshot(snapshot, directory / SNAPSHOT_FOLDER, written_by="0.1.0")
        if tables:
            (directory / TABLES_FOLDER).mkdir()
            (directory / TABLES_FOLDER / "utilization.csv").write_text(tables, encoding="utf-8")
        record = RunRecord(
            notebook=NOTEBOOK, environment="sandbox", target="sandbox", started_utc=STARTED,
            finished_utc=STARTED, status=RunStatus.DONE, exit_code=0, sandbox="project",
            parameters={"inventory": "azure", "history": "auto", **parameters},
        )  # fmt: skip
        write_result(directory, {**record.to_json(), **dict(about)})
        return directory

    return leave


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begin a run beside the others."""

    def begin(**cells):
        directory = tmp_path / f"20261103T060000Z-{NOTEBOOK}-sandbox"
        directory.mkdir()
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(directory))
        monkeypatch.delenv("MNS_SANDBOX", raising=False)
        return start(NOTEBOOK, {"target": "sandbox", **cells})

    return begin


@pytest.mark.parametrize("is_path", [False, True])
def test_an_earlier_run_is_read_again_by_its_name_or_its_path(begin, leave_run, snapshot, is_path):
    first = leave_run()
    run = str(first) if is_path else first.name
    steps = begin(snapshot_run=run)
    steps.read()
    assert steps.tables.snapshot.quotas == snapshot.quotas


def test_an_analysis_of_another_target_is_not_passed_off_as_azures(begin, leave_run):
    run = leave_run().name
    with pytest.raises(ConfigError, match="was made on sandbox; write target: sandbox"):
        begin(snapshot_run=run, target="azure")


def test_a_run_that_read_nothing_itself_names_the_one_that_did(begin, leave_run):
    leave_run("second", snapshot_run="first")
    with pytest.raises(ConfigError, match="it analyzed first; name that run"):
        begin(snapshot_run="second")


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
        begin(snapshot_run="first")


def test_a_run_that_is_not_there_is_refused_by_name(begin):
    with pytest.raises(ConfigError, match="snapshot_run: There is no run 20200101T0"):
        begin(snapshot_run="20200101T0")


def test_a_run_to_compare_with_that_is_damaged_is_refused_by_name_and_else_a_note(begin, leave_run):
    leave_run(FIRST, tables="nothing")
    steps = begin()
    found = steps.earlier("")
    assert (found.run, found.table) == (FIRST, None)
    assert "cannot be read" in found.note
    with pytest.raises(ConfigError, match=f"compare_run: The tables of {FIRST} cannot be read"):
        steps.earlier(FIRST)


def test_a_run_to_compare_with_is_refused_before_anything_is_read(begin, leave_run):
    leave_run()
    with pytest.raises(ConfigError, match="compare_run: first has no table to compare with"):
        begin(compare_run="first")


@pytest.mark.parametrize(
    ("about", "asked"),
    [
        ({"target": "azure"}, {}),
        ({"sandbox": "demo"}, {}),
        ({}, {"clusters": ["aks-1"]}),
        ({}, {"subscription_ids": ["s-1"]}),
        ({}, {"inventory": "history"}),
        ({}, {"history": "none"}),
    ],
)
def test_only_a_run_that_read_the_same_is_compared_with(begin, leave_run, about, asked):
    leave_run(FIRST, tables=TABLE, about=about, **asked)
    last = leave_run(LAST, tables=TABLE)
    steps = begin()
    assert steps.earlier("").run == LAST
    write_result(last, {**read_result(last), "status": "failed"})
    found = steps.earlier("")
    assert (found.run, found.table) == ("", None)
    said = f"the last one, {FIRST}, {'was made on' if about else f'differs in {next(iter(asked))}'}"
    assert said in found.note


@pytest.mark.parametrize("about", [{"target": "azure"}, {"sandbox": "demo"}])
def test_a_run_of_another_world_is_never_compared_with(begin, leave_run, about):
    leave_run(tables=TABLE, about=about)
    with pytest.raises(ConfigError, match=r"was made on .*, this run on sandbox \(project\)"):
        begin(compare_run="first")


def test_of_a_run_with_another_scope_that_is_named_only_what_both_read_is_compared(
    begin, leave_run
):
    leave_run(tables=TABLE, clusters=["aks-1"], inventory="history")
    found = begin(compare_run="first").earlier("first")
    assert (found.is_common_only, found.is_judged_only, found.refused) == (True, True, None)
    assert "first differs in inventory and clusters" in found.note


def test_before_the_first_reading_there_is_none_to_compare_with(begin, leave_run):
    leave_run(FIRST, tables=TABLE)
    leave_run(LAST, tables=TABLE)
    said = f"No run of this notebook and environment is there before that reading ({FIRST})."
    assert begin(snapshot_run=FIRST).earlier("").note == said


def test_all_that_cannot_be_asked_is_said_at_once_before_anything_is_read(begin, leave_run):
    leave_run()
    write_result(tmp := leave_run("other"), {**read_result(tmp), "notebook": "20_onboard"})
    wrong = {
        "inventory": "all", "history": "prom", "lookback_days": 0, "step_minutes": 2000,
        "new_cpu": "four", "new_memory": "16 Gigs", "pod_cpu": "500m",
        "snapshot_run": "nowhere", "compare_run": "other",
    }  # fmt: skip
    with pytest.raises(ConfigError) as raised:
        begin(**wrong)
    text = str(raised.value)
    assert text.startswith("9 parameters are refused; nothing was begun:")
    assert [name for name in wrong if name != "pod_cpu" and f"\n  {name}" not in text] == []
    assert "pod_memory is empty, pod_cpu is not: give both or neither" in text
    assert "compare_run: other is a run of 20_onboard; name one of 40_" in text


def test_metrics_that_the_sandbox_would_not_ask_are_refused():
    asked = {
        "target": "sandbox", "inventory": "azure", "history": "auto",
        "prometheus_endpoint": "http://127.0.0.1:9090",
    }  # fmt: skip
    assert list(refused_values(asked)) == ["prometheus_endpoint"]
    assert refused_values({**asked, "history": "prometheus"}) == {}
    assert refused_values({**asked, "target": "azure"}) == {}


@pytest.mark.parametrize(
    ("history", "refused"),
    [
        ({"history": "azure-monitor"}, ["prometheus_endpoint"]),
        ({"history": "prometheus"}, ["prometheus_endpoint"]),
        ({"history": "auto", "prometheus_token_env": "MNS_TOKEN"}, ["prometheus_token_env"]),
        ({"history": "azure-monitor", "snapshot_run": FIRST}, []),
        ({"history": "auto"}, []),
    ],
)
def test_a_history_that_cannot_be_asked_is_refused_before_a_kernel_starts(history, refused):
    assert list(refused_values({"target": "azure", "inventory": "azure", **history})) == refused
