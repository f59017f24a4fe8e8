from __future__ import annotations

import pytest

from mnslib.resource_ids import ClusterId
from mnslib.results import ApplyResult, ChangeKind, ItemOutcome, OutcomeKind
from mnslib.show.charts import bulk_outcome
from tests.unit.show.palette import CALM_LOWER, CRITICAL, GOOD, WARNING, WARNING_TEXT


def result_of(*groups):
    """Groups of (how many, outcome, reason[, cluster])."""
    outcomes = []
    for amount, kind, reason, *cluster in groups:
        where = ClusterId("0", "rg", cluster[0] if cluster else "aks-1")
        outcomes += [
            ItemOutcome(
                id=where.namespace(f"ns-{n}"), change=ChangeKind.CREATE,
                outcome=OutcomeKind(kind), reason=reason.partition("; ")[0],
                remedy=reason.partition("; ")[2],
            )
            for n in range(amount)
        ]  # fmt: skip
    return ApplyResult(outcomes=tuple(outcomes))


@pytest.fixture
def draw(frames):
    return lambda *groups: bulk_outcome(result_of(*groups), moment=frames.moment)


@pytest.mark.parametrize(
    ("groups", "title"),
    [
        ([(212, "created", ""), (9, "failed", "x"), (4, "skipped", "y"), (1, "not_attempted", "z")],
         "212 of 226 changes are as requested; 9 failed, 4 were skipped and 1 was not attempted"),
        ([(2, "created", ""), (1, "unchanged", "")],
         "All 3 changes are as requested: 2 created and 1 unchanged"),
        ([(1, "updated", "")], "The only change is as requested: 1 updated"),
        ([(3, "not_attempted", "dry run")], "All 3 changes were not attempted"),
        ([(1, "failed", "x")], "The only change failed"),
        ([(1, "created", ""), (1, "failed", "x")],
         "1 of 2 changes is as requested; 1 failed"),
        ([(1, "skipped", "y"), (1, "failed", "x")],
         "None of 2 changes are as requested; 1 failed and 1 was skipped"),
        ([], "There was nothing to do"),
    ],
)  # fmt: skip
def test_the_title_counts_each_outcome(draw, groups, title):
    assert draw(*groups).title == title


def test_one_bar_holds_all_outcomes_done_first(draw, ruler):
    found = ruler(
        draw((3, "failed", "x"), (9, "created", ""), (4, "unchanged", ""), (2, "skipped", "y"))
    )
    colors = [color for color in found.fills_beside("9") if color != WARNING_TEXT]
    assert colors == [GOOD, CALM_LOWER, CRITICAL, WARNING]
    assert {"9 created", "4 unchanged", "3 failed", "2 skipped"} <= set(found.texts)


def test_equal_reasons_are_one_row_with_its_remedy_failures_first(draw, ruler):
    found = ruler(
        draw(
            (6, "not_attempted", "stop rule reached; resume the run"),
            (1, "failed", "no answer"),
            (4, "failed", "role refused; ask the owner; then resume"),
            (5, "created", ""),
        )
    )
    texts = found.texts
    order = ["role refused", "ask the owner; then resume", "no answer", "stop rule reached"]
    assert [text for text in texts if text in order] == order
    assert "resume the run" in texts


def test_clusters_come_worst_first_and_only_where_there_are_several(draw, ruler):
    texts = ruler(
        draw((5, "created", "", "aks-a"), (3, "created", "", "aks-b"), (2, "failed", "x", "aks-b"))
    ).texts
    assert texts.index("aks-b") < texts.index("aks-a")
    assert {"5, 2 not done", "5, all done"} <= set(texts)
    assert "By cluster, worst first" not in ruler(draw((5, "created", ""))).texts


def test_many_different_reasons_leave_room_for_each_kind(draw, ruler):
    groups = [(1, "failed", f"failure {n}") for n in range(40)]
    texts = ruler(draw(*groups, (3, "skipped", "stale"))).texts
    assert sum(text.startswith("failure ") for text in texts) == 6
    assert "stale" in texts
    assert "34 more reasons for 34 changes: in the table below" in texts


def test_many_clusters_end_in_a_sentence(draw, ruler):
    texts = ruler(draw(*[(2, "created", "", f"aks-{n:02}") for n in range(50)])).texts
    assert "30 more clusters with 60 changes, all done: in the table below" in texts


def test_the_alt_text_says_why(draw):
    chart = draw((9, "created", ""), (3, "failed", "role refused; ask the owner"))
    assert chart.alt.endswith("Most often failed: role refused (3).")
