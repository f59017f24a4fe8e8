from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from mnslib.kube_models import KubernetesNamespace
from mnslib.models import (
    NAMESPACE_USER,
    AccessGrant,
    AdoptionPolicy,
    DeletePolicy,
    Ensure,
    NetworkRule,
    Origin,
    Principal,
    PrincipalType,
)
from mnslib.provisioning.apply import RELEASED
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.changes import FieldDifference, Risk, RiskName
from mnslib.provisioning.observe import ObservedCluster, ObservedState
from mnslib.provisioning.plan import make_plan, plan_to_json
from mnslib.results import (
    DRY_RUN,
    ApplyResult,
    ChangeKind,
    CheckResult,
    CheckStatus,
    ItemOutcome,
    OutcomeKind,
    Resumed,
)
from mnslib.show.displays import Callout, Parts
from mnslib.show.plans import (
    approval_report,
    changes_table,
    checks_table,
    clusters_table,
    observed_table,
    outcome_report,
    outcome_sentence,
    plan_chart,
    plan_report,
    plan_sentence,
    requests_table,
    short_for_now,
    still_open,
    warning_lines,
)
from mnslib.show.tables import told
from mnslib.show.templates import sentence
from tests.unit.provisioning.factories import (
    CLUSTER,
    GROUP,
    QUOTA,
    amounts,
    make_cluster,
    make_grant,
    make_namespace,
    make_observed,
    make_pod,
    make_spec,
    make_view,
)


def outcome(name, kind=OutcomeKind.CREATED, reason="", **fields):
    reason, _, remedy = reason.partition("; ")
    fields |= {"reason": reason, "remedy": remedy}
    return ItemOutcome(id=CLUSTER.namespace(name), change=ChangeKind.CREATE, outcome=kind, **fields)


def test_a_plan_reads_in_cores_and_gib_with_risks_first():
    held = [make_namespace("a"), make_namespace("b")]
    specs = [
        make_spec("a", quota=amounts(cpu_limit="3")),
        make_spec("b", ensure=Ensure.ABSENT),
    ]
    plan = make_plan(specs, make_observed(*held))
    text = repr(changes_table(plan))
    assert plan_sentence(plan) == "2 changes, 1 with a named risk (deletion)."
    assert "Deletion of the Azure resource: 1 namespace [deletion]" in repr(plan_report(plan))
    assert text.index("release  b") < text.index("CPU limits 2 cores → 3 cores")
    assert plan.digest in text


def test_risks_are_told_by_their_worst_and_each_sentence_once():
    held = [make_namespace(name, delete_policy=DeletePolicy.KEEP) for name in "abcdef"]
    gone = make_namespace("z", delete_policy=DeletePolicy.DELETE)
    specs = [make_spec(name, ensure=Ensure.ABSENT) for name in "abcdefz"]
    pods = (make_pod("f"), make_pod("f"))
    plan = make_plan(specs, make_observed(*held, gone, view=make_view(pods=pods)))
    assert plan_sentence(plan) == "7 changes, 7 with a named risk (delete-policy and deletion)."
    box = plan_report(plan).parts[2]
    *lines, remedy = box.text.splitlines()
    assert remedy.startswith("Export first")
    assert lines == [
        "z: The Kubernetes namespace goes too, with no running pods.",
        "f: The Kubernetes namespace stays, unmanaged, with 2 running pods.",
        "a, b, c, d, and 1 more: The Kubernetes namespace stays, unmanaged, with no running pods.",
    ]


def test_every_change_with_a_risk_is_shown_and_some_without():
    names = [f"team-{number}" for number in range(40)]
    held = [make_namespace(name) for name in names[:3]]
    specs = [make_spec(name) for name in names[3:]]
    specs += [make_spec(name, ensure=Ensure.ABSENT) for name in names[:3]]
    table = changes_table(make_plan(specs, make_observed(*held), max_commitment=None))
    assert [row[0].text for row in table.rows[:4]] == ["release"] * 3 + ["create"]
    assert "33 of 40 shown." in repr(table)


def test_a_headline_names_few_risks_and_counts_many():
    there = KubernetesNamespace(name="c", labels={"argocd.argoproj.io/instance": "x", "old": "x"})
    specs = [
        make_spec("a", ensure=Ensure.ABSENT),
        make_spec("b", quota=amounts(cpu_request="500m")),
        make_spec("c", labels={"old": None}, adoption_policy=AdoptionPolicy.ALWAYS),
    ]
    held = [make_namespace("a", delete_policy=DeletePolicy.DELETE), make_namespace("b")]
    view = make_view(namespaces=(there,))
    plan = make_plan(specs, make_observed(*held, view=view))
    assert len(plan.risk_names()) == 5
    assert plan_sentence(plan) == "3 changes, 2 with a named risk (5 kinds)."


def test_a_risk_of_the_plan_as_a_whole_is_not_said_of_the_changes_that_have_one():
    names = [f"team-{number}" for number in range(12)]
    specs = [make_spec(name, quota=amounts(cpu_limit="3")) for name in names[1:]]
    specs.append(make_spec(names[0], ensure=Ensure.ABSENT))
    plan = make_plan(specs, make_observed(*map(make_namespace, names)))
    assert plan_sentence(plan) == (
        "12 changes, 1 with a named risk (deletion); of the plan as a whole: many-changes."
    )


def test_the_fullest_cluster_comes_first_and_the_unknown_last():
    lost, some, full = (replace(CLUSTER, cluster_name=f"aks-{n}") for n in (1, 2, 3))
    views = {lost: None, some: make_view(), full: make_view()}
    clusters = {
        id: ObservedCluster(cluster=make_cluster(id), managed={}, read_utc="", kubernetes=view)
        for id, view in views.items()
    }
    specs = [make_spec("a", cluster=cluster) for cluster in clusters]
    specs.append(make_spec("b", cluster=full))
    observed = ObservedState(clusters=clusters)
    lines = repr(clusters_table(make_plan(specs, observed))).splitlines()
    assert [line.split()[0] for line in lines[2:]] == [
        name for name in ("aks-3", "aks-2", "aks-1") for _ in range(2)
    ]


def test_what_several_clusters_passed_is_one_line():
    passed = [
        CheckResult(name=f"aks-{n}: runs", status=CheckStatus.PASSED, detail="Running.")
        for n in range(3)
    ]
    odd = CheckResult(name="aks-7: runs", status=CheckStatus.FAILED, detail="Stopped.", remedy="x")
    assert repr(checks_table([*passed, odd])).splitlines() == [
        "4 checks: 1 failed, 0 to know about",
        "Result    Check        Found           What to do",
        "✕ failed  aks-7: runs  Stopped.        x",
        "✓ passed  runs         On 3 clusters.  –",
    ]


def test_text_from_outside_is_escaped():
    spec = make_spec(labels={"x": "<script>alert(1)</script>"})
    html = changes_table(make_plan([spec], make_observed()))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_decision_says_exactly_what_to_write():
    plan = make_plan([make_spec("b", ensure=Ensure.ABSENT)], make_observed(make_namespace("b")))
    box = approval_report(Approval(plan=plan, may_write=False))
    in_file = f'dry_run: false\napproved_digest: "{plan.digest}"\nallow: [deletion]'
    assert (box.code, box.elsewhere) == (in_file, ("", ""))
    box = approval_report(Approval(plan=plan, may_write=False), in_notebook=True)
    assert box.code == f'dry_run = False\napproved_digest = "{plan.digest}"\nallow = ["deletion"]'
    assert box.elsewhere == ("Or, in a parameter file (YAML):", in_file)
    assert "(YAML):\ndry_run: false\n" in repr(box)
    assert approval_report(Approval(plan=plan, may_write=True)).title.startswith("Approved")


def test_of_a_plan_that_nobody_has_read_it_is_not_said_that_it_was_approved():
    plan = make_plan([make_spec("b", ensure=Ensure.ABSENT)], make_observed(make_namespace("b")))
    box = approval_report(Approval(plan=plan, may_write=True, is_unattended=True))
    assert box.title == "Applied unattended: nobody has read this plan"
    assert "pproved" not in repr(box)
    assert plan.digest in box.text


def test_outcomes_in_a_sentence():
    one = ApplyResult(outcomes=(outcome("a"),))
    failed = outcome("b", OutcomeKind.FAILED, "no permission; ask for it")
    assert outcome_sentence(one) == "a is as requested: created."
    assert outcome_sentence(ApplyResult(outcomes=(failed,))) == (
        "b is not as requested: failed (no permission)."
    )
    both = ApplyResult(outcomes=(outcome("a"), failed))
    assert outcome_sentence(both) == "1 of 2 are as requested: 1 created, 1 failed."


@pytest.mark.parametrize(
    ("cores", "limit", "title"),
    [
        ("20", "1.5", "does not fit on aks-1: short of 4 cores"),
        ("16", "1.5", "fits on aks-1, but requested in full no node may be lost"),
        ("16", "0.5", "does not fit on aks-1: short of 8 cores"),
        ("16", None, "fits on aks-1, but requested in full no node may be lost"),
        ("4", "0.5", "fits on aks-1: headroom left for 4 of 8 cores and 31 of 32 GiB"),
    ],
)
def test_risk_table_and_picture_agree_on_what_fits(cores, limit, title):
    quota = amounts(cpu_request=cores, cpu_limit="99", memory_request="1Gi", memory_limit="1Gi")
    ratio = limit and Decimal(limit)
    plan = make_plan([make_spec(quota=quota)], make_observed(), max_commitment=ratio)
    is_short = "short of" in title
    assert plan_chart(plan).title == f"team-a {title}"
    assert plan.risk_names() == (("overcommit",) if is_short else ())
    assert ("short of" in repr(clusters_table(plan))) is is_short


def test_a_plan_that_fits_once_nodes_are_back_says_so_and_names_them():
    """20 cores of one node's 8, by 1.5 at most 12; with the cordoned one back at most 24."""
    quota = amounts(cpu_request="16", cpu_limit="99", memory_request="1Gi", memory_limit="1Gi")
    view = make_view()
    (node, other), virtual = view.nodes, Decimal(1000)
    nodes = (
        node,
        replace(other, is_cordoned=True),
        replace(other, name="v", is_virtual=True, allocatable_cores=virtual),
    )
    plan = make_plan([make_spec(quota=quota)], make_observed(view=replace(view, nodes=nodes)))
    assert plan.risk_names() == ()
    said = "aks-1 lacks 8 cores of CPU while nodes are cordoned or not ready (n2); with them back"
    (check,) = short_for_now(plan)
    assert (check.status, check.name) == (CheckStatus.WARNING, "nodes")
    assert check.detail.startswith(said)
    report = repr(plan_report(plan))
    assert "Does not fit before nodes are back" in report
    assert said in report
    table = repr(clusters_table(plan))
    assert "short of 8 cores now; fits once nodes are back" in table
    assert "v: virtual, n2: cordoned" in table
    title = "team-a does not fit on aks-1: short of 8 cores until nodes are back"
    assert plan_chart(plan).title == title
    assert "1 of 3" in repr(observed_table(plan.observed))
    all_there = replace(view, nodes=(node, other))
    whole = make_plan([make_spec(quota=quota)], make_observed(view=all_there))
    assert short_for_now(whole) == []
    assert whole.digest == plan.digest  # an upgrade asks nobody to approve anew


def test_overcommit_is_on_top_of_the_plan_and_in_both_headlines():
    quota = amounts(cpu_request="500", cpu_limit="500", memory_request="1Gi", memory_limit="1Gi")
    plan = make_plan([make_spec(quota=quota)], make_observed())
    assert plan_sentence(plan) == "1 change, 1 with a named risk (overcommit)."
    text = repr(plan_report(plan))
    assert "More committed than is known to fit: 1 namespace [overcommit]" in text
    assert "team-a: 500 cores of CPU requests; aks-1 has but the 16 cores" in text
    assert "short of 484 cores" in repr(clusters_table(plan))
    assert plan_chart(plan).title == "team-a does not fit on aks-1: short of 484 cores"
    done = replace(outcome("team-a"), risks=("overcommit",))
    after = repr(plan_report(plan, ApplyResult(outcomes=(done,))))
    assert "More committed than is known to fit: 1 namespace, done [overcommit]" in after
    assert outcome_sentence(ApplyResult(outcomes=(done,))) == (
        "team-a is as requested: created. Risks accepted: overcommit on 1."
    )


def test_after_an_apply_risks_are_told_of_what_was_done():
    names = [f"n{number:02}" for number in range(10)]
    plan = make_plan(
        [make_spec(name, ensure=Ensure.ABSENT) for name in names],
        make_observed(*map(make_namespace, names)),
    )
    ends = [OutcomeKind.RELEASED] * 4 + [OutcomeKind.FAILED] * 6
    items = tuple(outcome(n, end, risks=("deletion",)) for n, end in zip(names, ends, strict=True))
    result = ApplyResult(outcomes=items, plan_risks=("many-changes",))
    before, after = repr(plan_report(plan)), repr(plan_report(plan, result))
    assert "Deletion of the Azure resource: 10 namespaces [deletion]" in before
    assert "10 of 10 existing managed namespaces would change." in before
    assert "Deletion of the Azure resource: 4 namespaces, done [deletion]" in after
    assert "Much changed at once, done [many-changes]\n4 existing managed" in after
    assert "would" not in after
    assert outcome_sentence(result).endswith("Risks accepted: deletion on 4 and many-changes.")
    none = tuple(replace(item, outcome=OutcomeKind.FAILED) for item in items)
    nothing = ApplyResult(outcomes=none, plan_risks=("many-changes",))
    assert "deletion" not in repr(plan_report(plan, nothing)).partition("\n")[2]
    assert "Risks" not in outcome_sentence(nothing)
    waits = ApplyResult(outcomes=tuple(replace(item, is_dry_run=True) for item in none))
    assert repr(plan_report(plan, waits)) == before


def test_a_plan_says_where_it_is_unknown_whether_quotas_fit():
    known = repr(plan_report(make_plan([make_spec()], make_observed())))
    lost = repr(plan_report(make_plan([make_spec()], make_observed(unknown="not reachable"))))
    idle = make_observed(view=replace(make_view(), nodes=()))
    assert "unknown whether its quota fits on aks-1: Kubernetes was not read" in lost
    assert "on aks-1: no ready node." in repr(plan_report(make_plan([make_spec()], idle)))
    assert "known to fit" not in known


def test_both_grants_to_one_group_are_shown_each_item_on_its_line():
    access = (make_grant(), make_grant(NAMESPACE_USER))
    spec = make_spec(access=access, labels={"owner": "web"}, tags={"cost": "1"})
    html = changes_table(make_plan([spec], make_observed()))._repr_html_()
    expected = [
        "CPU requests 1 core, CPU limits 2 cores, memory requests 1 GiB, memory limits 2 GiB",
        "ingress AllowSameNamespace, egress AllowAll, adoption policy Never, delete policy Keep",
        "label owner = web",
        "tag cost = 1",
        f"Namespace User for group {GROUP}",
        f"RBAC Writer for group {GROUP}",
    ]
    assert [line for line in expected if f"{line}<br/>" not in html] == expected[-1:]
    assert f"{expected[-1]}</td>" in html


def test_a_value_from_a_tier_says_so_in_requests_and_changes():
    own = {"tier": "medium", "access": (make_grant(),), "quota": amounts(cpu_request="3")}
    in_full = {
        "tier": "medium",
        "quota": amounts(**{**QUOTA, "cpu_request": "3", "cpu_limit": "4"}),
        "egress_policy": NetworkRule.DENY_ALL,
        "labels": {"owner": "web"},
        "access": (make_grant(), make_grant(NAMESPACE_USER)),
    }
    spec = make_spec(**own, when_new=make_spec(**in_full))
    plan = make_plan([spec], make_observed())
    cells = changes_table(plan).rows[0][3]
    assert cells.splitlines() == [
        "CPU requests 3 cores, CPU limits 4 cores from tier medium, "
        "memory requests 1 GiB from tier medium, memory limits 2 GiB from tier medium",
        "ingress AllowSameNamespace, egress DenyAll from tier medium, "
        "adoption policy Never, delete policy Keep",
        "label owner = web from tier medium",
        f"Namespace User for group {GROUP} from tier medium",
        f"RBAC Writer for group {GROUP}",
    ]
    row = requests_table([spec]).rows[0]
    assert [repr(cell) if isinstance(cell, Parts) else cell for cell in row[3:-1]] == [
        "medium",
        "3 cores",
        "4 cores (from tier medium)",
        "1 GiB (from tier medium)",
        "2 GiB (from tier medium)",
        "web (from tier medium)",
        "2 (from tier medium)",
    ][: len(row[3:-1])]


def test_a_value_of_many_lines_looks_like_no_other_change():
    spec = make_spec(annotations={"note": "x\nlabel owner = web" + "!" * 1_000})
    (row,) = changes_table(make_plan([spec], make_observed(make_namespace()))).rows
    assert row[3] == "annotation note = x label owner = web" + "!" * 180 + "…"


def test_an_adoption_shows_what_it_removes():
    there = KubernetesNamespace(name="team-a", labels={"stage": "x"})
    spec = make_spec(labels={"stage": None}, adoption_policy=AdoptionPolicy.ALWAYS)
    plan = make_plan([spec], make_observed(view=make_view(namespaces=(there,))))
    assert "label stage removed (was x)" in repr(changes_table(plan))


def test_a_grant_says_that_it_is_not_verified_and_when_namespace_user_is_missing():
    writer, user = make_grant(), make_grant(NAMESPACE_USER)

    def shown(*access, scope=None):
        held = set() if scope is None else {(scope, GROUP, user.role_guid)}
        specs = [make_spec(access=access)]
        return repr(plan_report(make_plan(specs, make_observed(grants=frozenset(held)))))

    alone = shown(writer)
    assert "1 role assignment to 1 principal: not verified" in alone
    assert "1 grant without namespace-user\nThat role acts" in alone
    assert f"team-a: group {GROUP} gets RBAC Writer only" in alone
    assert "2 role assignments to 1 principal: not verified" in shown(writer, user)
    for text in (
        shown(writer, user),
        shown(user),
        shown(writer, scope=str(CLUSTER.namespace("team-a")).lower()),
        shown(writer, scope=str(CLUSTER).lower()),
        shown(writer, scope=""),  # the whole tenant
        shown(writer, scope="/providers/microsoft.management/managementgroups/all"),
        shown(writer, scope=f"{CLUSTER}/namespaces/team-a".lower()),  # the older form
    ):
        assert "without namespace-user" not in text
    assert "not verified" not in shown()


def test_whoever_gets_a_role_is_shown_by_name_and_a_group_is_recommended():
    ada = "00000000-0000-4000-9100-000000000001"
    who = {
        GROUP: Principal(kind=PrincipalType.GROUP, id=GROUP, name="grp-crm"),
        ada: Principal(kind=PrincipalType.USER, id=ada, name="Ada", handle="ada@x.example"),
    }
    access = (make_grant(), AccessGrant.of(PrincipalType.USER, ada, NAMESPACE_USER))
    observed = replace(make_observed(), principals=who)
    plan = make_plan([make_spec(access=access)], observed)
    told = repr(plan_report(plan))
    assert "2 role assignments to 2 principals\n" in told
    assert f"group grp-crm ({GROUP})\n" in told
    assert f"user Ada ({ada})\n" in told
    assert "1 user gets roles as a person: give them to a group" in told
    assert f"team-a: group grp-crm ({GROUP}) gets RBAC Writer only" in told
    assert "not verified" not in told
    assert f"RBAC Writer for group grp-crm ({GROUP})" in repr(changes_table(plan))
    record = plan_to_json(plan, created_utc="now")
    assert record["principals"][ada]["handle"] == "ada@x.example"
    assert record["digest"] == make_plan([make_spec(access=access)], make_observed()).digest

    held = replace(make_observed(make_namespace()), principals=who)
    (box,) = _boxes(plan_report(make_plan([make_spec(access=access[:1])], held)), "access-granted")
    assert f"Group grp-crm ({GROUP})" in box


def _boxes(report, name):
    return [repr(part) for part in report.parts if isinstance(part, Callout) and name in part.tags]


def test_a_namespace_that_kubernetes_keeps_is_released_not_gone():
    def planned(policy):
        held = make_namespace("b", delete_policy=policy)
        plan = make_plan([make_spec("b", ensure=Ensure.ABSENT)], make_observed(held))
        return repr(changes_table(plan))

    kept, gone = planned(DeletePolicy.KEEP), planned(DeletePolicy.DELETE)
    assert "release  b" in kept
    assert "the Kubernetes namespace stays, unmanaged" in kept
    assert "delete  b" in gone
    assert "goes too, with all that runs in it" in gone
    item = outcome("b", OutcomeKind.RELEASED, RELEASED)
    assert outcome_sentence(ApplyResult(outcomes=(item,))) == (
        "b is as requested: released (the Kubernetes namespace stays, unmanaged)."
    )
    both = ApplyResult(outcomes=(item, outcome("c", OutcomeKind.DELETED)))
    assert outcome_sentence(both) == "All 2 are as requested: 1 deleted, 1 released."


def test_warnings_are_a_sentence_and_passed_checks_none():
    def check(status):
        return CheckResult(name="aks-1: roles", status=status, detail="Azure RBAC is off.")

    def warnings_sentence(checks):
        return sentence("plans.txt.j2", "warnings", warning_lines(checks))

    assert warnings_sentence([check(CheckStatus.PASSED)]) == ""
    odd = [check(CheckStatus.WARNING), check(CheckStatus.UNKNOWN)]
    assert warnings_sentence(odd[:1]) == "1 warning: aks-1: Azure RBAC is off."
    assert warnings_sentence(odd).startswith("2 warnings: ")


def test_what_is_left_is_named():
    done = make_plan([make_spec()], make_observed(make_namespace()))
    nothing = make_plan([], make_observed())
    ended = ApplyResult(outcomes=(outcome("team-a"),))
    assert still_open(done, ended).tone == "good"
    left = still_open(make_plan([make_spec()], make_observed()), ended)
    assert (left.title, left.text) == ("1 change still to do", "create team-a")
    failed = outcome("team-b", OutcomeKind.FAILED, "reads back differently: x; look at it")
    left = still_open(nothing, ApplyResult(outcomes=(failed,)))
    assert left.tone == "critical"
    assert (left.title, left.text) == (
        "1 request not as requested",
        "team-b: reads back differently: x; look at it",
    )


def test_after_a_dry_run_nothing_is_reported_as_not_started():
    plan = make_plan([make_spec("a"), make_spec("b", row=3)], make_observed())
    waits = [outcome(n, OutcomeKind.NOT_ATTEMPTED, DRY_RUN, is_dry_run=True) for n in "ab"]
    result = ApplyResult(outcomes=tuple(waits))
    assert result.is_dry_run
    text = repr(outcome_report(result)) + repr(still_open(plan, result))
    assert "Dry run: 2 changes wait for approval" in text
    assert "Dry run: there is nothing to prove" in text
    for word in ("not started", "not attempted", "still to do"):
        assert word not in text


def test_tables_say_unknown_where_kubernetes_was_not_read():
    plan = make_plan([make_spec()], make_observed(unknown="not reachable"))
    assert "unknown" in repr(clusters_table(plan))
    assert "Row" in repr(requests_table([make_spec()]))
    alone = replace(make_spec(), origin=Origin(file="parameters", row=None))
    text = repr(requests_table([alone]))
    assert "1 request from parameters" in text
    assert "Row" not in text
    assert "file" not in text


@pytest.mark.parametrize(
    ("written", "is_rest_empty", "sentence"),
    [
        (2, True, "Nothing was left to do: 2 created before, by run first."),
        (1, False, "All 2 are as requested: 2 created. 1 created before, by run first."),
    ],
)
def test_a_resumed_run_says_what_was_done_before_it_and_the_risks_of_the_plan(
    written, is_rest_empty, sentence
) -> None:
    done = (outcome("team-a"), outcome("team-b"))
    resumed = Resumed(
        run="first",
        written={OutcomeKind.CREATED: written},
        is_rest_empty=is_rest_empty,
        risks=("deletion", "many-changes"),
    )
    said = outcome_sentence(ApplyResult(outcomes=done, resumed=resumed))
    assert said == f"{sentence} Risks accepted with the plan: deletion and many-changes."


def test_one_namespace_is_spoken_of_as_one():
    spec = make_spec(quota=amounts(cpu_limit="4"), delete_policy=DeletePolicy.DELETE)
    text = repr(plan_report(make_plan([spec], make_observed(make_namespace()))))
    assert "Delete policy that takes along all that runs there: 1 namespace [" in text


def test_every_risk_and_kind_of_change_has_its_words():
    assert set(RiskName) <= set(told("risks"))
    assert {*ChangeKind, "release"} == set(told("changes"))


def test_no_name_from_outside_acts_in_a_box_or_steers_a_terminal():
    hostile = "<b>\x1b[31m"
    plan = make_plan([make_spec()], make_observed())
    failed = outcome(hostile, OutcomeKind.FAILED, hostile)
    ended = ApplyResult(outcomes=(failed, outcome("b")), plan_risks=(hostile,))
    check = CheckResult(name=hostile, status=CheckStatus.WARNING, detail=hostile, remedy=hostile)
    spec = replace(make_spec(hostile), labels={"owner": hostile}, tier=hostile)
    risky = replace(plan.changes[0], risks=(Risk(name=RiskName.ADOPTION, detail=hostile),))
    difference = FieldDifference(operation="add", path=f"tags[{hostile}]", old=None, new=hostile)
    changed = replace(plan, changes=(replace(risky, differences=(difference,)),))
    for shown in (
        still_open(plan, ended),
        outcome_report(ended),
        checks_table([check]),
        requests_table([spec]),
        plan_report(changed),
        changes_table(changed),
    ):
        html = shown._repr_html_()
        assert "&lt;b&gt;" in html
        assert "<b>\ufffd" not in html
        assert "\x1b" not in html + repr(shown)


def test_a_role_that_goes_says_from_whom():
    path = f"access[Group {GROUP}]"
    gone = FieldDifference(operation="remove", path=path, old=make_grant().role, new=None)
    plan = make_plan([make_spec()], make_observed())
    changed = replace(plan, changes=(replace(plan.changes[0], differences=(gone,)),))
    assert changes_table(changed).rows[0][3] == f"RBAC Writer taken from group {GROUP}"
