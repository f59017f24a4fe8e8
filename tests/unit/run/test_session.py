"""The last word of a run: what its status says of outcomes, of what is left, and of warnings."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from mnslib.errors import ApplyError
from mnslib.provisioning.plan import Plan, make_plan
from mnslib.results import (
    ApplyResult,
    ChangeKind,
    CheckResult,
    CheckStatus,
    ItemOutcome,
    OutcomeKind,
)
from mnslib.run.change_steps import ChangeSteps
from mnslib.run.project import RUN_DIRECTORY_VARIABLE
from mnslib.run.session import Session
from tests.unit.provisioning.factories import make_observed, make_spec

WARNING = CheckResult(name="aks-1: x", status=CheckStatus.WARNING, detail="It has no effect.")


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    return Session("30_provision_in_bulk", {})


def plan_of(*names: str) -> Plan:
    return make_plan([make_spec(name) for name in names], make_observed())


def ended(*outcomes: OutcomeKind, signal: int | None = None) -> ApplyResult:
    cluster = make_spec().id.cluster
    items = [
        ItemOutcome(id=cluster.namespace(f"n{i}"), change=ChangeKind.CREATE, outcome=outcome)
        for i, outcome in enumerate(outcomes)
    ]
    return ApplyResult(outcomes=tuple(items), interrupted_by_signal=signal)


def recorded(session: Session) -> tuple[str, int]:
    result = json.loads((session.directory / "result.json").read_text(encoding="utf-8"))
    return result["status"], result["exit_code"]


def test_a_warning_of_what_was_read_is_a_finding_and_in_the_headline(session: Session) -> None:
    session.record(headline="Nothing is full.", checks=[WARNING])
    record = json.loads((session.directory / "result.json").read_text(encoding="utf-8"))
    assert record["status"] == "findings"
    assert record["warnings"] == ["aks-1: It has no effect."]
    assert record["headline"] == "Nothing is full. 1 warning: aks-1: It has no effect."


def test_all_as_requested_and_nothing_left_is_done(session: Session) -> None:
    session.record(result=ended(OutcomeKind.CREATED), plan=plan_of("n0"), left=plan_of())
    assert recorded(session) == ("done", 0)


def test_a_warning_is_a_finding(session: Session) -> None:
    created = ended(OutcomeKind.CREATED)
    session.record(result=created, plan=plan_of("n0"), left=plan_of(), checks=[WARNING])
    assert recorded(session) == ("findings", 0)


@pytest.mark.parametrize(
    ("second", "status"), [(OutcomeKind.UNCHANGED, "done"), (OutcomeKind.CREATED, "findings")]
)
def test_a_warning_of_the_run_before_is_no_finding_of_an_unchanged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: OutcomeKind, status: str
) -> None:
    outcomes = {"20260101T000000Z": OutcomeKind.UNCHANGED, "20260102T000000Z": second}
    for stamp, outcome in outcomes.items():
        run = tmp_path / f"{stamp}-30_provision_in_bulk-sandbox"
        run.mkdir()
        monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(run))
        session = Session("30_provision_in_bulk", {})
        session.started += timedelta(days="0102" in stamp)
        plan = plan_of("n0") if outcome is OutcomeKind.CREATED else plan_of()
        session.record(result=ended(outcome), plan=plan, left=plan_of(), checks=[WARNING])
        if "0101" in stamp:
            assert recorded(session) == ("findings", 0)
    assert recorded(session) == (status, 0)


def test_a_plan_is_shown_anew_with_its_outcomes_only_where_it_was_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    steps, plan = ChangeSteps("30_provision_in_bulk", {}), plan_of("n0")
    steps.show_plan(plan, ended(OutcomeKind.CREATED))
    assert capsys.readouterr().out == ""
    steps.show_plan(plan)
    steps.show_plan(plan, ended(OutcomeKind.CREATED))
    assert capsys.readouterr().out.count("1 change, none with a named risk.") == 2


def test_what_is_left_when_planned_again_makes_the_run_partly(session: Session) -> None:
    with pytest.raises(ApplyError, match="Planned again: "):
        session.record(result=ended(OutcomeKind.CREATED), plan=plan_of("n0"), left=plan_of("n0"))
    assert recorded(session) == ("partly", 3)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (ended(OutcomeKind.CREATED, OutcomeKind.FAILED), ("partly", 3)),
        (ended(OutcomeKind.UNCHANGED, OutcomeKind.FAILED), ("failed", 4)),
        (ended(OutcomeKind.SKIPPED), ("failed", 4)),
        (ended(OutcomeKind.CREATED, signal=2), ("interrupted", 130)),
    ],
)
def test_what_is_not_as_requested_is_no_success(
    session: Session, result: ApplyResult, expected: tuple[str, int]
) -> None:
    with pytest.raises(ApplyError):
        session.record(result=result, plan=plan_of("n0"), left=plan_of())
    assert recorded(session) == expected
