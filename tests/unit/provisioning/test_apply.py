from __future__ import annotations

import itertools
import json
import signal
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from mnslib.azure.scheduler import Pause
from mnslib.errors import (
    ArmConflictError,
    ArmForbiddenError,
    ArmNotFoundError,
    ArmPreconditionError,
    ArmServerError,
    AuthError,
    MnsError,
    OperationFailedError,
    OperationTimeoutError,
    SpecError,
)
from mnslib.models import DeletePolicy, Ensure
from mnslib.provisioning.apply import RELEASED, read_back
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.observe import observe
from mnslib.provisioning.plan import make_plan
from mnslib.provisioning.preflight import preflight
from mnslib.provisioning.undo import undo
from mnslib.requests.spec import specs_from_rows
from mnslib.results import ChangeKind, OutcomeKind
from mnslib.secrets import HIDDEN
from mnslib.signals import STOP_VARIABLE

from .factories import (
    CLUSTER,
    OTHER_CLUSTER,
    FakeAzure,
    amounts,
    carry_out,
    make_assignment,
    make_cluster,
    make_grant,
    make_namespace,
    make_observed,
    make_spec,
    now,
    writes,
)


def events(journal):
    return [json.loads(line) for line in journal.path.read_text().splitlines()]


def run(azure, specs, journal, *, may_write=True, max_failures=None, **options):
    plan = make_plan(specs, make_observed(*azure.store.values()))
    approval = Approval(plan=plan, may_write=may_write, max_failures=max_failures)
    return plan, carry_out(approval, azure, journal, **options)


def checked(plan, result, azure, *specs, again=None):
    """Return the result as it reads back."""
    again = again or make_observed(*azure.store.values())
    return read_back(plan, result, specs, again=again, azure=azure)[0]


def test_second_apply_changes_nothing(journal):
    azure = FakeAzure()
    specs = [make_spec(f"ns-{i}", row=i) for i in range(12)]
    _, first = run(azure, specs, journal)
    assert first.counts() == {"created": 12}
    azure.requests.clear()
    _, second = run(azure, specs, journal)
    assert second.counts() == {"unchanged": 12}
    assert writes(azure) == []


def test_a_dry_run_sends_nothing_and_says_so(journal):
    azure = FakeAzure()
    _, result = run(azure, [make_spec()], journal, may_write=False)
    assert [(o.outcome.value, o.reason) for o in result.outcomes] == [("not_attempted", "dry run")]
    assert azure.requests == []


def test_every_item_has_exactly_one_outcome_in_the_plans_order(journal):
    azure = FakeAzure(make_namespace("keep"), make_namespace("drop"), make_namespace("same"))
    azure.errors["bad"] = [ArmServerError("boom", status=500)] * 9
    specs = [
        make_spec("same"),
        make_spec("keep", quota=amounts(cpu_limit="4")),
        make_spec("drop", ensure=Ensure.ABSENT),
        make_spec("bad"),
        make_spec("new"),
    ]
    plan, result = run(azure, specs, journal)
    assert [o.id for o in result.outcomes] == [c.id for c in plan.changes]
    assert result.counts() == {
        "created": 1, "updated": 1, "released": 1, "unchanged": 1, "failed": 1,
    }  # fmt: skip
    assert sum(result.counts().values()) == len(plan.changes)
    (dropped,) = [o for o in result.outcomes if o.id.namespace_name == "drop"]
    assert dropped.reason == RELEASED  # its delete policy is Keep


def test_the_result_names_the_risks_of_the_plan_as_a_whole(journal):
    names = [f"n{number:02}" for number in range(10)]
    azure = FakeAzure(*map(make_namespace, names))
    specs = [make_spec(name, ensure=Ensure.ABSENT) for name in names]
    plan = make_plan(specs, make_observed(*azure.store.values()))
    result = carry_out(Approval(plan=plan, may_write=True), azure, journal)
    assert result.plan_risks == ("many-changes",)


def test_somebody_elses_change_is_skipped_as_stale_and_the_rest_goes_on(journal):
    azure = FakeAzure(make_namespace("a"), make_namespace("b"))
    raised = amounts(cpu_limit="4")
    specs = [make_spec("a", quota=raised), make_spec("b", quota=raised)]
    plan = make_plan(specs, make_observed(*azure.store.values()))
    key = make_namespace("a").id.key
    azure.store[key] = make_namespace("a", etag="somebody-else", labels={"theirs": "1"})
    result = carry_out(Approval(plan=plan, may_write=True), azure, journal)
    assert [o.outcome for o in result.outcomes] == [OutcomeKind.SKIPPED, OutcomeKind.UPDATED]
    assert result.outcomes[0].reason.startswith("stale:")
    assert azure.store[key].labels == {"theirs": "1"}


def test_without_an_etag_the_item_is_read_right_before_it_is_written(journal):
    azure = FakeAzure(make_namespace("a", etag=None), make_namespace("b", etag=None))
    raised = amounts(cpu_limit="4")
    specs = [make_spec("a", quota=raised), make_spec("b", quota=raised)]
    plan = make_plan(specs, make_observed(*azure.store.values()))
    theirs = make_namespace("a", etag=None, labels={"theirs": "1"})
    azure.store[theirs.id.key] = theirs
    result = carry_out(Approval(plan=plan, may_write=True), azure, journal)
    assert [o.outcome for o in result.outcomes] == [OutcomeKind.SKIPPED, OutcomeKind.UPDATED]
    assert writes(azure) == [("PUT", "b")]
    assert azure.store[theirs.id.key] == theirs


def test_one_write_asks_whether_the_service_obeys_and_then_nothing_is_read_first(journal):
    held = [make_namespace(f"ns-{i:02}") for i in range(30)]
    azure = FakeAzure(*held)
    specs = [make_spec(f"ns-{i:02}", quota=amounts(cpu_limit="4")) for i in range(30)]
    plan = make_plan(specs, make_observed(*held))
    last = held[-1].id.key
    azure.store[last] = make_namespace("ns-29", etag="theirs")
    result = carry_out(Approval(plan=plan, may_write=True), azure, journal)
    assert result.counts() == {"updated": 29, "skipped": 1}
    assert azure.store[last].etag == "theirs"
    methods = Counter(method for method, _ in azure.requests)
    # read: six before their writes and two beside the question, one after it, and the stale one
    assert methods == {"GET": 6 + 2 + 1 + 1, "PUT": 30 + 1}


def test_a_conflict_is_tried_again_and_then_reported(journal):
    azure = FakeAzure()
    busy = ArmConflictError("another operation runs", status=409, is_transient=True)
    azure.errors = {"soon": [busy], "never": [busy] * 9}
    _, result = run(azure, [make_spec("never"), make_spec("soon")], journal)
    assert [o.outcome.value for o in result.outcomes] == ["failed", "created"]
    assert azure.requests.count(("PUT", "never")) == 5


def test_refusals_are_reported_once_with_what_to_do(journal):
    azure = FakeAzure()
    azure.errors["a"] = [ArmForbiddenError("no permission", status=403, remedy="Get a role.")]
    azure.failing["b"] = [OperationFailedError("refused", code="BadRequest")]
    azure.failing["c"] = [OperationTimeoutError("still running after 30 min")]
    _, result = run(azure, [make_spec("a"), make_spec("b"), make_spec("c")], journal)
    assert [o.outcome.value for o in result.outcomes] == ["failed"] * 3
    assert azure.requests.count(("PUT", "a")) == 1
    remedies = [o.remedy for o in result.outcomes]
    assert (result.outcomes[0].reason, remedies[0]) == ("no permission", "Get a role.")
    assert "outcome is unknown" in remedies[2]


def test_a_lost_sign_in_ends_the_run_with_every_item_accounted_for(journal):
    azure = FakeAzure()
    azure.errors["ns-0"] = [AuthError("the credential gives no token")]
    specs = [make_spec(f"ns-{i}") for i in range(6)]
    _, result = run(azure, specs, journal, max_parallel_per_cluster=1)
    assert result.counts() == {"failed": 1, "not_attempted": 5}
    assert result.outcomes[-1].reason == "the sign-in was lost"


def test_a_sign_in_lost_while_waiting_leaves_the_outcome_unknown_not_done(journal):
    azure = FakeAzure()

    def refuse():
        raise AuthError("the credential gives no token")

    azure.on_poll = refuse
    _, result = run(azure, [make_spec("a")], journal)
    assert result.counts() == {"failed": 1}
    assert "outcome is unknown" in result.outcomes[0].remedy


def test_a_write_whose_answer_was_lost_is_recognized_by_reading(journal):
    azure = FakeAzure(make_namespace("a"))
    spec = make_spec("a", quota=amounts(cpu_limit="4"))
    plan = make_plan([spec], make_observed(*azure.store.values()))

    def first_attempt_lands(name):
        azure.store[plan.changes[0].id.key] = replace(
            plan.changes[0].after, etag="ours", provisioning_state="Succeeded"
        )

    azure.on_start = first_attempt_lands
    azure.errors["a"] = [ArmPreconditionError("etag", status=412, is_unclear=True)]
    result = carry_out(Approval(plan=plan, may_write=True), azure, journal)
    assert result.counts() == {"updated": 1}


def test_what_appeared_after_the_plan_is_not_overwritten_by_a_creation(journal):
    azure = FakeAzure()
    plan = make_plan([make_spec("a")], make_observed())
    theirs = make_namespace("a", labels={"team": "theirs"})
    azure.store[theirs.id.key] = theirs
    result = carry_out(Approval(plan=plan, may_write=True), azure, journal)
    assert result.counts() == {"skipped": 1}
    assert azure.store[theirs.id.key].labels == {"team": "theirs"}


def test_a_conflict_while_granting_grants_again_without_another_write(journal):
    azure = FakeAzure()
    azure.errors["grant"] = [ArmConflictError("busy", status=409, is_transient=True)]
    original = azure.create

    def once(scope, grant, *, subscription_id):
        try:
            return original(scope, grant, subscription_id=subscription_id)
        finally:
            azure.errors.pop("grant", None)

    azure.create = once
    _, result = run(azure, [make_spec("a", access=(make_grant(),))], journal)
    assert result.counts() == {"created": 1}
    assert writes(azure) == [("PUT", "a"), ("GRANT", "a"), ("GRANT", "a")]
    assert len(azure.assignments) == 1


def test_a_journal_that_cannot_be_written_starts_nothing_new_and_loses_no_outcome(journal):
    azure = FakeAzure()
    original, count = journal.write, itertools.count()

    def full(event, **details):
        if next(count) >= 3:
            raise OSError(28, "No space left on device")
        original(event, **details)

    journal.write = full
    specs = [make_spec(f"ns-{i}") for i in range(6)]
    plan, result = run(azure, specs, journal, max_parallel_per_cluster=1)
    assert len(result.outcomes) == len(plan.changes)
    assert result.counts()["not_attempted"] >= 4


def test_access_is_granted_after_the_namespace_and_a_refusal_says_what_stands(journal):
    azure = FakeAzure()
    _, result = run(azure, [make_spec("a", access=(make_grant(),))], journal)
    assert result.counts() == {"created": 1}
    assert writes(azure) == [("PUT", "a"), ("GRANT", "a")]
    azure.errors["grant"] = [ArmForbiddenError("no", status=403)]
    _, result = run(azure, [make_spec("b", access=(make_grant(),))], journal)
    assert result.has_written
    assert result.outcomes[0].reason.startswith("the namespace is as requested, but access is not")


def test_access_alone_does_not_write_the_namespace(journal):
    azure = FakeAzure(make_namespace("a"))
    _, result = run(azure, [make_spec("a", access=(make_grant(),))], journal)
    assert result.counts() == {"updated": 1}
    assert writes(azure) == [("GRANT", "a")]
    azure.errors["grant"] = [ArmForbiddenError("no", status=403)]
    other = make_grant("Azure Kubernetes Service RBAC Reader")
    _, result = run(azure, [make_spec("a", access=(other,))], journal)
    assert result.counts() == {"failed": 1}
    assert not result.has_written


def test_the_stop_rule_starts_nothing_new(journal):
    azure = FakeAzure()
    names = [f"ns-{i:02}" for i in range(30)]
    azure.errors = {name: [ArmServerError("boom", status=500)] * 9 for name in names}
    _, result = run(
        azure, [make_spec(n) for n in names], journal, max_failures=3, max_parallel_per_cluster=1
    )
    assert result.counts() == {"failed": 3, "not_attempted": 27}
    assert result.outcomes[-1].reason == "stop rule: 3 failed, max_failures is 3"


def test_an_interrupt_waits_for_what_runs_and_starts_nothing_new(journal):
    azure = FakeAzure()
    seen = []

    def observer(progress):
        seen.append(progress)
        if progress.done == 2 and not any(p.done == 2 for p in seen[:-1]):
            signal.raise_signal(signal.SIGINT)

    specs = [make_spec(f"ns-{i}") for i in range(10)]
    _, result = run(azure, specs, journal, observer=observer, max_parallel_per_cluster=1)
    assert result.interrupted_by_signal == 2
    counts = result.counts()
    assert counts["created"] + counts["not_attempted"] == 10
    assert counts["not_attempted"] >= 6
    assert len(azure.store) == counts["created"]
    last = seen[-1]
    assert (last.done, last.not_attempted) == (counts["created"], counts["not_attempted"])
    assert (last.running, last.waiting) == (0, 0)


def test_what_hangs_when_a_run_is_stopped_is_waited_for_so_long_and_its_outcome_is_unknown(
    journal, monkeypatch
):
    monkeypatch.setenv(STOP_VARIABLE, "600")
    azure = FakeAzure()

    def never(operation):
        while True:
            yield Pause(10.0)

    azure.follow = never
    seen = []

    def observer(progress):
        seen.append(progress)
        if progress.running == 4 and not any(p.running == 4 for p in seen[:-1]):
            signal.raise_signal(signal.SIGINT)

    _, result = run(azure, [make_spec(f"ns-{i}") for i in range(10)], journal, observer=observer)
    assert result.counts() == {"failed": 4, "not_attempted": 6}
    assert azure.slept == pytest.approx(0.8 * 600, abs=15)
    failed = result.outcomes[0]
    assert failed.reason == "started, but the run was stopped"
    assert failed.remedy == "its outcome is unknown: run again, it is read first"
    stopping = [p.stops_in_minutes for p in seen if p.stops_in_minutes is not None]
    assert max(stopping) == 8
    assert min(stopping) <= 1
    assert max(p.awaited for p in seen if p.running)[0][1] in (7, 8)
    assert [event["event"] for event in events(journal)][-1] == "end"


def test_writes_on_one_cluster_are_bounded_and_clusters_take_turns(journal):
    azure = FakeAzure()
    run(azure, [make_spec(f"ns-{i}") for i in range(40)], journal, max_parallel_per_cluster=3)
    assert azure.most_running <= 3
    azure = FakeAzure()
    specs = [make_spec(name) for name in "abcd"] + [make_spec("z", cluster=OTHER_CLUSTER)]
    observed = make_observed()
    both = {**observed.clusters, **make_observed(cluster=make_cluster(OTHER_CLUSTER)).clusters}
    plan = make_plan(specs, type(observed)(clusters=both))
    carry_out(Approval(plan=plan, may_write=True), azure, journal)
    assert [name for _, name in writes(azure)][:2] == ["a", "z"]


def test_the_journal_holds_the_state_before_each_write(journal):
    azure = FakeAzure(make_namespace("a", labels={"theirs": "1"}))
    run(azure, [make_spec("a", quota=amounts(cpu_limit="4"))], journal)
    kinds = [event["event"] for event in events(journal)]
    assert kinds == ["plan", "started", "accepted", "finished", "end"]
    started = events(journal)[1]
    assert started["before"]["labels"] == {"theirs": "1"}
    assert started["before"]["default_resource_quota"]["cpu_limit"] == "2000m"


def test_somebody_elses_secret_is_kept_in_azure_and_in_nothing_that_is_written_down(journal):
    theirs = {"backup": "https://me:" + "hunter2@store.example"}
    azure = FakeAzure(make_namespace("a", annotations=theirs))
    plan, result = run(azure, [make_spec("a", quota=amounts(cpu_limit="4"))], journal)
    key = plan.changes[0].id.key
    assert azure.store[key].annotations == theirs
    others = {"backup": "https://me:" + "hunter3@store.example"}
    azure.store[key] = make_namespace("a", annotations=others)
    (outcome,) = checked(plan, result, azure).outcomes
    assert f"annotations[backup] is {HIDDEN}" in outcome.reason
    assert "hunter2" not in journal.path.read_text()


def test_progress_counts_add_up(journal):
    seen = []
    run(FakeAzure(), [make_spec(f"ns-{i}") for i in range(5)], journal, observer=seen.append)
    assert all(p.done + p.running + p.waiting == p.total for p in seen)
    assert (seen[-1].done, seen[-1].failed) == (5, 0)


def test_reading_back_finds_what_the_service_did_not_keep(journal):
    azure = FakeAzure()
    spec = make_spec("a", labels={"mine": "1"})
    plan, result = run(azure, [spec], journal)
    key = plan.changes[0].id.key
    azure.store[key] = make_namespace("a", labels={})
    (outcome,) = checked(plan, result, azure).outcomes
    assert outcome.outcome is OutcomeKind.FAILED
    assert "labels[mine] is absent, not 1" in outcome.reason.replace("None", "absent")


def test_a_role_that_does_not_read_back_is_a_failure(journal):
    azure = FakeAzure()
    spec = make_spec("a", access=(make_grant(),))
    plan, result = run(azure, [spec], journal)
    assert result.counts() == {"created": 1}
    assert checked(plan, result, azure).counts() == {"failed": 1}


def test_what_cannot_be_planned_again_is_not_told_as_nothing_written(journal):
    azure = FakeAzure(make_namespace("a"), make_namespace("b"))
    specs = [make_spec("a", quota={}), make_spec("b", quota={}, labels={"mine": "1"})]
    plan, result = run(azure, specs, journal)
    assert result.counts() == {"unchanged": 1, "updated": 1}
    del azure.store[specs[0].id.key]
    with pytest.raises(MnsError, match="The outcomes stand, but") as caught:
        checked(plan, result, azure, *specs)
    assert not isinstance(caught.value, SpecError)
    assert "nothing was written" not in str(caught.value)


def test_reading_back_asks_the_item_where_the_list_trails(journal):
    azure = FakeAzure()
    plan, result = run(azure, [make_spec("a")], journal)
    back, left = read_back(plan, result, [make_spec("a")], again=make_observed(), azure=azure)
    assert back.counts() == {"created": 1}
    assert ("GET", "a") in azure.requests
    assert left.to_do == ()


def read_as(journal, held, spec, seen):
    """Return the one outcome after `seen` is what reads back."""
    azure = FakeAzure(*held)
    plan, result = run(azure, [spec], journal)
    azure.store = {seen.id.key: seen} if seen else {}
    back, left = read_back(
        plan, result, [spec], again=make_observed(*azure.store.values()), azure=azure
    )
    (outcome,) = back.outcomes
    assert (outcome.outcome is OutcomeKind.FAILED) or left.to_do == ()
    return outcome


HELD = make_namespace("a", labels={"theirs": "1"}, tags={"Owner": "it"})


@pytest.mark.parametrize(
    ("spec", "seen", "told"),
    [
        # a tag that a policy adds, to what is new, and to what was there
        (make_spec("a"), {"tags": {"by": "policy"}}, "tags[by] is policy"),
        (make_spec("a", labels={"k": "v"}), {"tags": {"Owner": "it", "by": "p"}}, "tags[by] is p"),
        # carried over, and not asked for
        (make_spec("a", labels={"k": "v"}), {"tags": {"Owner": "you"}}, "tags[owner] is you"),
        (make_spec("a", labels={"k": "v"}), {"tags": {}}, "tags[owner] is gone"),
        # ARM tells tags apart without regard to case
        (make_spec("a", tags={"owner": "me"}), {"tags": {"OWNER": "me"}}, ""),
    ],
)
def test_what_somebody_added_is_told_and_fails_nothing(journal, spec, seen, told):
    held = () if not spec.labels and not spec.tags else (HELD,)
    becomes = make_plan([spec], make_observed(*held)).changes[0].after
    outcome = read_as(journal, held, spec, replace(becomes, etag="new", **seen))
    assert outcome.outcome in (OutcomeKind.CREATED, OutcomeKind.UPDATED)
    said = f"not asked for, by a policy or somebody else: {told}" if told else ""
    assert outcome.reason == said


@pytest.mark.parametrize(
    ("spec", "seen", "wrong"),
    [
        (
            make_spec("a", tags={"by": "me"}),
            {"tags": {"by": "policy"}},
            "tags[by] is policy, not me",
        ),
        (make_spec("a", tags={"by": "me"}), {"tags": {}}, "tags[by] is absent, not me"),
        # asked for, and so before
        (
            make_spec("a", tags={"owner": "it"}, labels={"k": "v"}),
            {"tags": {"Owner": "you"}},
            "tags[owner] is you, not it",
        ),
        # asked to go
        (
            make_spec("a", labels={"theirs": None}),
            {"labels": {"theirs": "1"}},
            "labels[theirs] is 1",
        ),
        (make_spec("a", labels={"k": "v"}), {"labels": {"K": "v"}}, "labels[k] is absent, not v"),
        (
            make_spec("a", quota=amounts(cpu_limit="4")),
            {"quota": amounts(cpu_limit="3")},
            "cpu_limit is 3000m, not 4000m",
        ),
    ],
)
def test_an_asked_value_that_came_back_different_is_failed(journal, spec, seen, wrong):
    becomes = make_plan([spec], make_observed(HELD)).changes[0].after
    seen = {name: {**getattr(becomes, name), **value} if name == "quota" else value
            for name, value in seen.items()}  # fmt: skip
    outcome = read_as(journal, [HELD], spec, replace(becomes, etag="new", **seen))
    assert outcome.outcome is OutcomeKind.FAILED
    assert outcome.reason.startswith(f"reads back differently: {wrong}")


def test_amounts_are_compared_as_numbers_and_existence_as_such(journal):
    spec = make_spec("a", quota=amounts(cpu_limit="4"))
    becomes = make_plan([spec], make_observed(HELD)).changes[0].after
    same = replace(becomes, etag="new", quota=becomes.quota | {"cpu_limit": Decimal("4.000")})
    assert read_as(journal, [HELD], spec, same).outcome is OutcomeKind.UPDATED
    gone = make_spec("a", quota={}, ensure=Ensure.ABSENT)
    journal.path.unlink()
    still = read_as(journal, [HELD], gone, HELD)
    assert still.reason == f"reads back differently: it is still there; {RELEASED}"


def test_a_tag_that_a_policy_adds_does_not_make_a_second_try_stale_nor_is_it_wiped(journal):
    azure = FakeAzure(make_namespace("a"))
    spec = make_spec("a", tags={"mine": "1"})
    write, policy = azure._write, {"by": "policy"}

    def lose_the_first(method, target, if_match, becomes):
        operation = write(method, target, if_match, becomes)
        held = azure.store[target.key]
        azure.store[target.key] = replace(held, tags={**held.tags, **policy})
        if len(writes(azure)) == 1:
            failed = replace(azure.store[target.key], provisioning_state="Failed")
            azure.store[target.key] = failed
            raise ArmServerError("down", status=503)
        return operation

    azure._write = lose_the_first
    _, result = run(azure, [spec], journal)
    assert result.counts() == {"updated": 1}
    (sent,) = [e["after"]["tags"] for e in events(journal) if e["event"] == "started"][1:]
    assert sent == {"mine": "1", **policy}


class Clusters(FakeAzure):
    """One cluster beside the managed namespaces; another one is missed."""

    def get(self, target):
        if target != CLUSTER:
            raise ArmNotFoundError("gone", status=404)
        return make_cluster(target)

    def list(self, subscription_id):
        return [make_cluster()]


@pytest.mark.parametrize(
    ("group", "name", "column", "meant"),
    [
        ("rg", "aks-2", "cluster_name", "aks-1"),
        ("RG", "nowhere", "cluster_name", ""),
        ("rg-2", "aks-1", "resource_group", "rg"),
        ("r", "aks-2", "resource_group", "rg"),
        ("elsewhere", "aks-2", "resource_group", ""),
    ],
)
def test_observe_names_what_is_missing_of_a_cluster_and_what_is_meant(group, name, column, meant):
    other = replace(CLUSTER, resource_group=group, cluster_name=name)
    specs = [make_spec("a"), make_spec("b", cluster=other)]
    state = observe(specs, azure=Clusters(), kube_for=None, now=now)
    assert list(state.clusters) == [CLUSTER]
    assert state.missing == {
        other: (
            column,
            (
                f"cluster {name} was not found in resource group {group}; "
                "the subscription has: rg/aks-1",
                meant,
            ),
        )
    }


@pytest.mark.parametrize("kind", [ArmForbiddenError, ArmConflictError])
def test_a_cluster_whose_credential_is_refused_is_observed_without_its_inside(kind):
    def refuse(cluster):
        raise kind("locked: /x/locks/no")

    state = observe([make_spec("a")], azure=Clusters(), kube_for=refuse, now=now)
    (cluster,) = state.clusters.values()
    assert cluster.kubernetes is None
    assert "/x/locks/no" in cluster.kubernetes_unknown


def test_observe_reads_each_cluster_once():
    azure = Clusters(make_namespace("a"))
    specs = [make_spec("a"), make_spec("b", delete_policy=DeletePolicy.KEEP)]
    state = observe(specs, azure=azure, kube_for=None, now=now)
    assert [m for m, _ in azure.requests] == ["LIST"]
    (cluster,) = state.clusters.values()
    assert cluster.find(specs[0].id) is not None
    assert cluster.find(specs[1].id) is None


def test_a_deletion_of_what_somebody_changed_meanwhile_is_skipped(journal):
    azure = FakeAzure(make_namespace("a"))
    theirs = make_namespace("a", etag="theirs", labels={"theirs": "1"})
    azure.on_start = lambda _: azure.store.update({theirs.id.key: theirs})
    _, result = run(azure, [make_spec("a", quota={}, ensure=Ensure.ABSENT)], journal)
    assert result.counts() == {"skipped": 1}
    assert azure.store == {theirs.id.key: theirs}


@pytest.mark.parametrize(
    ("state", "times", "outcome"), [("Succeeded", 1, "unchanged"), ("Failed", 2, "updated")]
)
def test_what_stands_as_asked_is_written_again_only_if_it_failed(journal, state, times, outcome):
    azure = FakeAzure(make_namespace("a"))
    same = make_namespace("a", etag="new", labels={"b": "1"}, provisioning_state=state)
    azure.on_start = lambda _: azure.store.update({same.id.key: same})
    _, result = run(azure, [make_spec("a", labels={"b": "1"})], journal)
    assert result.counts() == {outcome: 1}
    assert writes(azure) == [("PUT", "a")] * times


def test_the_same_plan_applied_twice_says_that_it_changed_nothing(journal):
    azure = FakeAzure(make_namespace("old"))
    specs = [make_spec("new"), make_spec("old", quota=amounts(cpu_limit="4"))]
    approval = Approval(plan=make_plan(specs, make_observed(*azure.store.values())), may_write=True)
    assert carry_out(approval, azure, journal).counts() == {"created": 1, "updated": 1}
    held = dict(azure.store)
    journal.path.unlink()
    again = carry_out(approval, azure, journal)
    assert again.counts() == {"unchanged": 2}
    assert {outcome.reason for outcome in again.outcomes} == {"it was as requested already"}
    assert azure.store == held
    assert undo(events(journal))[0] == []


def test_undo_leaves_a_namespace_that_stood_though_a_role_was_assigned_on_it(journal):
    azure = FakeAzure(make_namespace("old"))
    specs = [make_spec("old", labels={"b": "1"}, access=(make_grant(),))]
    plan = make_plan(specs, make_observed(*azure.store.values()))
    approval = Approval(plan=plan, may_write=True)
    carry_out(approval, azure, journal)
    journal.path.unlink()
    azure.assignments.clear()  # as if somebody else had set the label alone
    assert carry_out(approval, azure, journal).counts() == {"updated": 1}
    [row] = undo(events(journal))[0]
    assert row.keys() == {*specs[0].id.columns, "access"}
    assert [entry[-1] for entry in row["access"]] == ["-"]


def test_nobody_is_let_into_what_somebody_else_made_since_the_plan(journal):
    azure = FakeAzure()
    specs = [make_spec("new", access=(make_grant(),))]
    approval = Approval(plan=make_plan(specs, make_observed()), may_write=True)
    carry_out(approval, azure, journal)
    journal.path.unlink()
    azure.assignments.clear()  # as if somebody else had made the namespace alone
    done = carry_out(approval, azure, journal)
    assert done.counts() == {"skipped": 1}
    assert "no role was assigned" in done.outcomes[0].reason
    assert not azure.assignments
    assert undo(events(journal))[0] == []


def test_nobody_is_let_into_what_was_there_when_it_was_written_as_new(journal):
    azure, theirs = FakeAzure(), make_namespace("new", labels={"theirs": "1"})
    azure.on_start = lambda _: azure.store.update({theirs.id.key: theirs})
    _, result = run(azure, [make_spec("new", access=(make_grant(),))], journal)
    assert result.counts() == {"failed": 1}
    assert result.outcomes[0].reason.endswith("so no role was assigned")
    assert result.has_written
    assert not azure.assignments
    assert undo(events(journal))[0] == []


def revoked(azure, specs, journal):
    """Plan and carry out with the roles that are assigned now; then read back, nothing is left."""
    seen = observe(specs, azure=azure, kube_for=None, now=now)
    plan = make_plan(specs, seen)
    done = carry_out(Approval(plan=plan, may_write=True), azure, journal)
    again = observe(specs, azure=azure, kube_for=None, now=now)
    back, left = read_back(plan, done, specs, again=again, azure=azure)
    assert left.to_do == ()
    return back


def with_clusters(*held):
    azure, get = FakeAzure(*held), FakeAzure.get
    azure.get = lambda t: get(azure, t) if hasattr(t, "namespace_name") else make_cluster(t)
    return azure


def test_roles_are_granted_before_others_are_taken_away(journal):
    azure, name = with_clusters(make_namespace("a")), CLUSTER.namespace("a")
    reader = make_grant("Azure Kubernetes Service RBAC Reader")
    azure.assignments = [make_assignment(scope, *reader.key) for scope in name.own_scopes]
    spec = make_spec("a", labels={"k": "v"}, access=(make_grant(),), revoked=(reader,))
    assert revoked(azure, [spec], journal).counts() == {"updated": 1}
    assert [method for method, _ in writes(azure)] == ["PUT", "GRANT", "REVOKE", "REVOKE"]
    assert [held.role_guid for held in azure.assignments] == [make_grant().role_guid]
    found = [event for event in events(journal) if event["event"] == "revoking"]
    assert [event["assignment_id"].lower().partition("/providers/microsoft.auth")[0]
            for event in found] == list(name.own_scopes)  # fmt: skip
    assert {event["role"] for event in found} == {reader.role}


def test_undo_takes_back_a_role_that_is_inherited_too_and_plans_nothing_more(journal):
    azure = with_clusters(make_namespace("a"))
    further_up = make_assignment(CLUSTER.key, *make_grant().key)
    azure.assignments = [further_up]
    assert revoked(azure, [make_spec("a", access=(make_grant(),))], journal).counts() == {
        "updated": 1
    }
    assert len(azure.assignments) == 2
    specs = specs_from_rows(undo(events(journal))[0], file="undo.yaml")
    assert revoked(azure, specs, journal).counts() == {"updated": 1}
    assert azure.assignments == [further_up]
    # the same file once more finds nothing to do, and says that the role is inherited
    there = observe(specs, azure=azure, kube_for=None, now=now)
    (change,) = make_plan(specs, there).changes
    assert change.kind is ChangeKind.NO_CHANGE
    (check,) = [one for one in preflight(specs, there) if one.name == "a: access"]
    assert f"by an assignment at {further_up.scope}, which acts on more" in check.detail


def test_a_role_that_reads_back_as_still_assigned_has_failed(journal):
    azure, name = with_clusters(make_namespace("a")), CLUSTER.namespace("a")
    held = make_assignment(name.own_scopes[0], *make_grant().key)
    azure.assignments = [held]
    azure.delete = lambda assignment, *, subscription_id: None
    (outcome,) = revoked(azure, [make_spec("a", revoked=(make_grant(),))], journal).outcomes
    assert outcome.outcome is OutcomeKind.FAILED
    assert f"role {make_grant().role} is still assigned at {held.scope}" in outcome.reason


def test_a_refusal_to_take_a_role_away_says_that_the_namespace_is_as_requested(journal):
    azure = with_clusters(make_namespace("a"))
    azure.assignments = [make_assignment(CLUSTER.namespace("a").key, *make_grant().key)]
    azure.errors["revoke"] = [ArmForbiddenError("no roleAssignments/delete", status=403)]
    (outcome,) = revoked(azure, [make_spec("a", revoked=(make_grant(),))], journal).outcomes
    assert outcome.outcome is OutcomeKind.FAILED
    assert outcome.reason.startswith("the namespace is as requested, but access is not: no role")
