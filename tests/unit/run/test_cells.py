"""What the card of an error says, and of a run also what was done and how to go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnslib.errors import ApplyError, ArmError, PlanError, Problem, SpecError
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.plan import make_plan
from mnslib.results import ApplyResult, OutcomeKind, utc_now
from mnslib.run import changing, start
from mnslib.run.cells import card_of
from mnslib.run.changing import Changing
from mnslib.run.project import RUN_DIRECTORY_VARIABLE
from mnslib.show.displays import Callout
from tests.unit.provisioning.factories import make_observed, make_spec
from tests.unit.run.test_record import ended

AGAIN = "To go on, run the notebook again from its parameters: what is done is not repeated."


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Changing:
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path / "20261201T000000Z-30-x"))
    (tmp_path / "20261201T000000Z-30-x").mkdir()
    return start("30_provision_in_bulk", {})


def card_when(run: Changing, result: ApplyResult | None) -> Callout:
    """Return the card of a run that records a result; of an interrupt where there is none yet."""
    run.specs, run.planned, run.result = (), make_plan([], make_observed()), result
    run.left = run.planned
    try:
        if result is None:
            raise KeyboardInterrupt
        Journal(run.directory / "journal.jsonl", now=utc_now)
        run.record()
    except (ApplyError, KeyboardInterrupt) as error:
        return card_of(error)
    raise AssertionError("the run did not fail")


def test_the_card_of_30_mistakes_names_each_of_them() -> None:
    mistakes = [
        Problem(file="a.csv", row=row, column="cpu_request", message=f"'{row}x' is no amount.")
        for row in range(2, 32)
    ]
    card = card_of(SpecError(mistakes))
    assert card.title == "Mistakes in what was asked for"
    assert card.text.startswith("30 mistakes in a.csv; nothing was written.\nCorrect what is named")
    assert len(card.code.splitlines()) == 30
    assert card.code.splitlines()[29] == "a.csv, row 31, column cpu_request: '31x' is no amount."


def test_text_from_outside_is_escaped_and_a_secret_is_hidden() -> None:
    card = card_of(ArmError("<script>x</script> AccountKey=ZGVmYXVsdGRlZmF1bHQ=", remedy="Ask."))
    for form in (repr(card), card._repr_html_()):
        assert "ZGVmYXVsdGRlZmF1bHQ" not in form
    assert "&lt;script&gt;" in card._repr_html_()
    assert "<script>" not in card._repr_html_()
    assert card.text.endswith("Ask.")


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        ((), "Nothing was written."),
        ((OutcomeKind.CREATED,), "Done: n0. Not done: nothing is left."),
        (
            (OutcomeKind.CREATED, OutcomeKind.NOT_ATTEMPTED),
            "Done: n0. Not done: n1 (not attempted).",
        ),
        ((OutcomeKind.NOT_ATTEMPTED,), "Done: nothing. Not done: n0 (not attempted)."),
    ],
)
def test_after_an_interrupt_the_card_says_what_was_done_and_what_was_not(
    run: Changing, outcomes: tuple[OutcomeKind, ...], told: str
) -> None:
    card = card_when(run, ended(*outcomes, signal=2) if outcomes else None)
    assert card.title == "Stopped by somebody"
    assert card.text == f"{told}\n{AGAIN}"


@pytest.mark.parametrize(
    ("is_notebook", "told"),
    [
        (True, 'resume_run = "20261201T000000Z-30-x"'),
        (False, "mns resume 20261201T000000Z-30-x"),
    ],
)
def test_what_is_to_be_pasted_is_in_the_language_of_the_place(
    run: Changing, monkeypatch: pytest.MonkeyPatch, is_notebook: bool, told: str
) -> None:
    monkeypatch.setattr(changing, "is_notebook", lambda: is_notebook)
    left = ended(OutcomeKind.CREATED, OutcomeKind.NOT_ATTEMPTED, signal=2)
    assert card_when(run, left).code == told


def test_a_plan_that_is_not_approved_comes_with_its_approval(
    run: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "is_notebook", lambda: True)
    run.take(plan := make_plan([make_spec("a")], make_observed()))
    with pytest.raises(PlanError) as caught:
        run.approve(dry_run=False, approval="digest", approved_digest="", allow=[])
    card = card_of(caught.value)
    assert card.title == "The plan was not applied"
    assert card.code == f'dry_run = False\napproved_digest = "{plan.digest}"\nallow = []'
    assert "approved_digest:" not in card.text


def test_an_error_of_no_run_is_told_all_the_same() -> None:
    result = ApplyResult(outcomes=())
    assert card_of(ApplyError("1 of 2 stand.", result=result)).text == "1 of 2 stand."
