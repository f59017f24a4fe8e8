from __future__ import annotations

from dataclasses import replace

from mnslib.models import Ensure
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.plan import make_plan
from mnslib.reporting.provisioning import (
    approval_report,
    clusters_table,
    outcome_sentence,
    plan_report,
    plan_sentence,
    requests_table,
    still_open,
)
from mnslib.results import ApplyResult, ChangeKind, ItemOutcome, OutcomeKind
from tests.unit.provisioning.factories import (
    CLUSTER,
    amounts,
    make_namespace,
    make_observed,
    make_spec,
    make_view,
)


def outcome(name, kind=OutcomeKind.CREATED, reason=""):
    return ItemOutcome(
        id=CLUSTER.namespace(name), change=ChangeKind.CREATE, outcome=kind, reason=reason
    )


def test_a_plan_reads_in_cores_and_gib_with_risks_first():
    held = [make_namespace("a"), make_namespace("b")]
    specs = [
        make_spec("a", quota=amounts(cpu_limit="3")),
        make_spec("b", ensure=Ensure.ABSENT),
    ]
    plan = make_plan(specs, make_observed(*held))
    text = repr(plan_report(plan))
    assert plan_sentence(plan) == "2 changes, 1 with a named risk (deletion)."
    assert "cpu_limit 2 cores → 3 cores" in text
    assert text.index("would be deleted [deletion]") < text.index("All changes, risks first")
    assert plan.digest in text


def test_text_from_outside_is_escaped():
    spec = make_spec(labels={"x": "<script>alert(1)</script>"})
    html = plan_report(make_plan([spec], make_observed()))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_decision_says_exactly_what_to_write():
    plan = make_plan([make_spec("b", ensure=Ensure.ABSENT)], make_observed(make_namespace("b")))
    box = approval_report(Approval(plan=plan, may_write=False))
    assert box.code == f'dry_run: false\napproved_digest: "{plan.digest}"\nallow: [deletion]'
    assert approval_report(Approval(plan=plan, may_write=True)).title.startswith("Approved")


def test_outcomes_in_a_sentence():
    one = ApplyResult(outcomes=(outcome("a"),))
    failed = outcome("b", OutcomeKind.FAILED, "no permission; ask for it")
    assert outcome_sentence(one) == "a is as requested: created."
    assert outcome_sentence(ApplyResult(outcomes=(failed,))) == (
        "b is not as requested: failed (no permission)."
    )
    both = ApplyResult(outcomes=(outcome("a"), failed))
    assert outcome_sentence(both) == "1 of 2 are as requested: 1 created, 1 failed."


def test_overcommit_is_on_top_of_the_plan_and_in_both_headlines():
    quota = amounts(cpu_request="500", cpu_limit="500", memory_request="1Gi", memory_limit="1Gi")
    plan = make_plan([make_spec(quota=quota)], make_observed())
    assert plan_sentence(plan) == "1 change, 1 with a named risk (overcommit)."
    text = repr(plan_report(plan))
    title = "1 namespace would promise more than its cluster can give [overcommit]"
    assert text.index(title) < text.index("All changes")
    assert "team-a: 500.0 cores of CPU requests; aks-1 has but the 16.0 cores" in text
    done = replace(outcome("team-a"), risks=("overcommit",))
    assert outcome_sentence(ApplyResult(outcomes=(done,))) == (
        "team-a is as requested: created. Risks accepted: overcommit on 1."
    )


def test_a_plan_says_where_it_is_unknown_whether_quotas_fit():
    known = repr(plan_report(make_plan([make_spec()], make_observed())))
    lost = repr(plan_report(make_plan([make_spec()], make_observed(unknown="not reachable"))))
    idle = make_observed(view=replace(make_view(), nodes=()))
    assert "unknown on 1 cluster\naks-1: not reachable." in lost
    assert "aks-1: no ready node." in repr(plan_report(make_plan([make_spec()], idle)))
    assert "Whether the quotas fit" not in known


def test_what_is_left_is_named():
    assert still_open(make_plan([make_spec()], make_observed(make_namespace()))).tone == "good"
    left = still_open(make_plan([make_spec()], make_observed()))
    assert (left.title, left.text) == ("1 change still to do", "create team-a")


def test_tables_say_unknown_where_kubernetes_was_not_read():
    plan = make_plan([make_spec()], make_observed(unknown="not reachable"))
    assert "unknown" in repr(clusters_table(plan))
    assert "team-a" in repr(requests_table([make_spec()]))
