"""The last word of a run: what its status says of outcomes, of what is left, and of warnings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from mnslib.errors import ApplyError, ConfigError, UnsafePlanError
from mnslib.provisioning.changes import planned_item
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.plan import Plan, make_plan
from mnslib.results import (
    ApplyResult,
    ChangeKind,
    CheckResult,
    CheckStatus,
    ItemOutcome,
    OutcomeKind,
    RunStatus,
    utc_now,
)
from mnslib.run import start
from mnslib.run.changing import Changing
from mnslib.run.project import RUN_DIRECTORY_VARIABLE
from mnslib.signals import end_pauses, pause
from tests.unit.provisioning.factories import make_observed, make_spec

WARNING = CheckResult(name="aks-1: x", status=CheckStatus.WARNING, detail="It has no effect.")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Changing:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    return start("30_provision_in_bulk", {})


def record(
    run: Changing, result: ApplyResult, plan: Plan, left: Plan, checks: Sequence[CheckResult] = ()
) -> None:
    run.specs, run.planned, run.left, run.checks = (), plan, left, tuple(checks)
    run.result = result
    run.record()


def plan_of(*names: str) -> Plan:
    return make_plan([make_spec(name) for name in names], make_observed())


def ended(*outcomes: OutcomeKind, signal: int | None = None) -> ApplyResult:
    cluster = make_spec().id.cluster
    items = [
        ItemOutcome(id=cluster.namespace(f"n{i}"), change=ChangeKind.CREATE, outcome=outcome)
        for i, outcome in enumerate(outcomes)
    ]
    return ApplyResult(outcomes=tuple(items), interrupted_by_signal=signal)


def recorded(run: Changing) -> tuple[str, int]:
    result = json.loads((run.directory / "result.json").read_text(encoding="utf-8"))
    return result["status"], result["exit_code"]


def test_a_warning_of_what_was_read_is_a_finding_and_in_the_headline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    run = start("40_analyze_quota_utilization", {})
    run.finish(RunStatus.DONE, "Nothing is full.", {}, [WARNING])
    record = json.loads((run.directory / "result.json").read_text(encoding="utf-8"))
    assert record["status"] == "findings"
    assert record["warnings"] == ["aks-1: It has no effect."]
    assert record["headline"] == "Nothing is full. 1 warning: aks-1: It has no effect."


def test_all_as_requested_and_nothing_left_is_done(run: Changing) -> None:
    record(run, ended(OutcomeKind.CREATED), plan_of("n0"), plan_of())
    assert recorded(run) == ("done", 0)


def test_a_warning_is_a_finding(run: Changing) -> None:
    created = ended(OutcomeKind.CREATED)
    record(run, created, plan_of("n0"), plan_of(), [WARNING])
    assert recorded(run) == ("findings", 0)


@pytest.mark.parametrize(
    ("second", "status"), [(OutcomeKind.UNCHANGED, "done"), (OutcomeKind.CREATED, "findings")]
)
def test_a_warning_of_the_run_before_is_no_finding_of_an_unchanged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: OutcomeKind, status: str
) -> None:
    outcomes = {"20260101T000000Z": OutcomeKind.UNCHANGED, "20260102T000000Z": second}
    for stamp, outcome in outcomes.items():
        directory = tmp_path / f"{stamp}-30_provision_in_bulk-sandbox"
        directory.mkdir()
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(directory))
        run = start("30_provision_in_bulk", {})
        run.started += timedelta(days="0102" in stamp)
        plan = plan_of("n0") if outcome is OutcomeKind.CREATED else plan_of()
        record(run, ended(outcome), plan, plan_of(), [WARNING])
        if "0101" in stamp:
            assert recorded(run) == ("findings", 0)
    assert recorded(run) == (status, 0)


def test_a_known_warning_stays_known_where_another_file_ran_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day, file in enumerate(("a.csv", "b.csv", "a.csv"), 1):
        (tmp_path / file).write_text("")
        directory = tmp_path / f"2026010{day}T000000Z-30_provision_in_bulk-sandbox"
        directory.mkdir()
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(directory))
        run = start("30_provision_in_bulk", {"request_file": str(tmp_path / file)})
        run.started += timedelta(days=day)
        checks = [WARNING] if file == "a.csv" else []
        record(run, ended(OutcomeKind.UNCHANGED), plan_of(), plan_of(), checks)
    assert recorded(run) == ("done", 0)


def test_a_plan_is_shown_anew_with_its_outcomes_only_where_it_was_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    run = start("30_provision_in_bulk", {})
    run.planned, run.result = plan_of("n0"), ended(OutcomeKind.CREATED)
    run._show_plan(is_update=True)
    assert capsys.readouterr().out == ""
    run._show_plan()
    run._show_plan(is_update=True)
    assert capsys.readouterr().out.count("{'text/plain': '1 change, none with a named risk.") == 2


def test_a_run_behind_one_that_was_interrupted_waits_as_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    end_pauses(0.001)  # as an apply left it that was interrupted twice, and read nothing back
    assert pause(0.01)
    start("30_provision_in_bulk", {})
    assert not pause(0.01)


def test_what_is_left_when_planned_again_makes_the_run_partly(run: Changing) -> None:
    with pytest.raises(ApplyError, match="Planned again: "):
        record(run, ended(OutcomeKind.CREATED), plan_of("n0"), plan_of("n0"))
    assert recorded(run) == ("partly", 3)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (ended(OutcomeKind.CREATED, OutcomeKind.FAILED), ("partly", 3)),
        (ended(OutcomeKind.UNCHANGED, OutcomeKind.FAILED), ("failed", 4)),
        (ended(OutcomeKind.SKIPPED), ("failed", 4)),
        (replace(ended(OutcomeKind.FAILED), has_written=True), ("partly", 3)),
        (ended(OutcomeKind.CREATED, signal=2), ("interrupted", 130)),
    ],
)
def test_what_is_not_as_requested_is_no_success(
    run: Changing, result: ApplyResult, expected: tuple[str, int]
) -> None:
    with pytest.raises(ApplyError):
        record(run, result, plan_of("n0"), plan_of())
    assert recorded(run) == expected


def test_a_parameter_that_is_changed_after_the_setup_cell_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    cells = {"max_commitment": "1.5", "namespaces": ["no parameter"]}
    run = start("30_provision_in_bulk", cells)
    assert run.asked("max_commitment") == {"max_commitment": "1.5"}
    cells["max_commitment"] = "9"
    with pytest.raises(ConfigError, match=r"max_commitment is another .* run the setup cell again"):
        run.asked("request_file")


def test_only_what_papermill_injected_has_to_be_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    own = {"In": ["", "max_change = 1"], "max_change": 1}
    start("30_provision_in_bulk", own)
    injected = {"In": ["", "# Parameters\nallow = []\nmax_change = 5\n"]}
    with pytest.raises(ConfigError, match=r"max_change: .* did you mean max_changes\?"):
        start("30_provision_in_bulk", injected)


class Unwritable:
    def __str__(self) -> str:
        raise ValueError("no words")


def test_a_record_is_written_with_what_can_be_written(tmp_path: Path) -> None:
    """Whatever a parameter or an error of somebody else's holds: what was done is on disk."""
    circle: list[object] = [date(2026, 1, 1), Path("a"), np.int64(3)]
    circle.append(circle)
    parameters = {"allow": circle, "owner": Unwritable(), "labels": {(1, 2): "pair"}}
    run = Changing("30_provision_in_bulk", parameters, tmp_path, "prod")
    run.result = ended(OutcomeKind.CREATED)
    run.write(RunStatus.DONE, "half a pair: \ud83d")
    told = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert [item["outcome"] for item in told["items"]] == ["created"]
    assert told["headline"] == "half a pair: \ud83d"
    assert told["parameters"] == {
        "allow": ["2026-01-01", "a", "3", "(itself)"],
        "owner": "(Unwritable: ValueError)",
        "labels": {"[1, 2]": "pair"},
    }


def test_a_run_that_is_closed_is_touched_by_nothing(run: Changing) -> None:
    record(run, ended(OutcomeKind.CREATED), plan_of("n0"), plan_of())
    told = (run.directory / "result.json").read_bytes()
    run.write_failure(KeyboardInterrupt())
    for step in (run.requests, run.observe, run.plan, run.apply, run.record):
        with pytest.raises(ConfigError, match="run the setup cell, which begins a new one"):
            step()
    assert (run.directory / "result.json").read_bytes() == told


def test_a_second_run_of_a_kernel_that_the_runner_started_has_a_directory_of_its_own(
    run: Changing,
) -> None:
    record(run, ended(OutcomeKind.CREATED), plan_of("n0"), plan_of())
    other = start("30_provision_in_bulk", {})
    assert recorded(other) == ("stopped", 5)
    assert recorded(run) == ("done", 0)
    assert other.directory.parent == run.directory.parent


def test_what_the_journal_tells_is_in_the_record_where_the_apply_itself_failed(
    run: Changing,
) -> None:
    """As on a disk that is full in the middle of it."""
    names = ("done", "begun", "left")
    run.planned = plan_of(*names)
    journal = Journal(run.directory / "journal.jsonl", now=utc_now)
    items = [planned_item(change) for change in run.planned.changes]
    journal.write("plan", digest="", may_write=True, risks=[], items=items)
    by_name = {change.id.namespace_name: change.id for change in run.planned.changes}
    journal.write("started", id=str(by_name["begun"]))
    made = ItemOutcome(
        id=by_name["done"], change=ChangeKind.CREATE, outcome=OutcomeKind.CREATED, reason="\ud83d"
    )
    journal.write("finished", **made.to_json())
    run._has_applied = True
    run.write_failure(OSError(28, "No space left on device"))
    told = json.loads((run.directory / "result.json").read_text(encoding="utf-8"))
    outcomes = {item["namespace_name"]: item["outcome"] for item in told["items"]}
    assert outcomes == {"done": "created", "begun": "failed", "left": "not_attempted"}
    assert told["status"] == "failed"
    assert told["headline"].endswith("OSError: [Errno 28] No space left on device")


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    yield InteractiveShell.instance(colors="nocolor", history_load_length=0)
    InteractiveShell.clear_instance()


def test_what_fails_later_in_the_kernel_is_no_failure_of_a_closed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: InteractiveShell
) -> None:
    def begin(name: str) -> Changing:
        directory = tmp_path / name
        directory.mkdir()
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(directory))
        return start("30_provision_in_bulk", {})

    before = [begin("first"), begin("second")]
    begun = begin("recorded")
    record(begun, ended(OutcomeKind.CREATED), plan_of("n0"), plan_of())
    shell.run_cell("1 / 0")
    assert [recorded(run)[0] for run in before] == ["stopped", "stopped"]
    assert recorded(begun) == ("done", 0)

    failing = begin("failing")
    shell.run_cell("1 / 0")
    assert recorded(failing) == ("failed", 4)
    assert recorded(begun) == ("done", 0)


def test_nothing_is_applied_but_the_plan_that_was_approved_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    run = start("30_provision_in_bulk", {})
    decide = {"dry_run": True, "approval": "digest", "approved_digest": "", "allow": []}
    run.planned = plan_of("n0")
    run.approve(**decide)
    run.planned = plan_of("n1", "n2")  # planned again, and not decided on
    with pytest.raises(ConfigError, match="This plan has no approval yet"):
        run.apply()
    with pytest.raises(UnsafePlanError):
        run.approve(
            **{**decide, "dry_run": False, "approval": "unattended", "allow": ["many-changes"]},
            max_changes="1", max_deletions="1", max_failures="1",
        )  # fmt: skip
    with pytest.raises(ConfigError, match="This plan has no approval yet"):
        run.apply()
    assert not (tmp_path / "journal.jsonl").exists()


def test_a_run_that_has_written_is_never_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: InteractiveShell
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    run = start("30_provision_in_bulk", {})
    refuse = "from mnslib.errors import ConfigError\nraise ConfigError('no')"
    shell.run_cell(refuse)
    assert recorded(run) == ("refused", 6)
    (tmp_path / "journal.jsonl").write_text("")
    shell.run_cell(refuse)
    assert recorded(run) == ("refused", 6)  # what follows from a failure is none of its own
    shell.run_cell("1")
    shell.run_cell(refuse)
    assert recorded(run) == ("failed", 4)
    run.close()
