"""What is tried again within a run, and that nothing is written twice by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnslib.errors import (
    ArmForbiddenError,
    ArmServerError,
    ArmUnreachableError,
    OperationFailedError,
)
from mnslib.models import DeletePolicy, Ensure
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.journal import read_events
from mnslib.provisioning.plan import make_plan
from mnslib.provisioning.undo import undo

from .factories import (
    CLUSTER,
    GROUP,
    QUOTA,
    FakeAzure,
    amounts,
    carry_out,
    make_grant,
    make_namespace,
    make_observed,
    make_spec,
    writes,
)

LOST = ArmUnreachableError("no answer")
DOWN = ArmServerError("unavailable", status=503)
BROKEN = OperationFailedError("an internal error", code="InternalError", is_transient=True)
LARGER = amounts(cpu_limit="4")


def run(azure, specs, journal, *, max_failures=None):
    plan = make_plan(specs, make_observed(*azure.store.values()))
    approval = Approval(plan=plan, may_write=True, max_failures=max_failures)
    return carry_out(approval, azure, journal)


def lose_the_answer(azure, *, state="Succeeded"):
    """Accept each first write and lose the answer to it."""
    write, seen = azure._write, set()

    def accept(method, target, if_match, becomes):
        operation = write(method, target, if_match, becomes)
        if target in seen:
            return operation
        seen.add(target)
        if target.key in azure.store:
            azure.store[target.key] = replace(azure.store[target.key], provisioning_state=state)
        raise LOST

    azure._write = accept


@pytest.mark.parametrize("error", [DOWN, LOST, ArmServerError("down", retry_after_seconds=60)])
def test_a_request_without_an_answer_is_tried_again_within_the_run(journal, error):
    azure = FakeAzure(make_namespace("old"), make_namespace("gone"))
    azure.errors = {name: [error] for name in ("new", "old", "gone")}
    specs = [
        make_spec("new"),
        make_spec("old", quota=LARGER),
        make_spec("gone", ensure=Ensure.ABSENT),
    ]
    result = run(azure, specs, journal)
    assert result.counts() == {"released": 1, "created": 1, "updated": 1}
    assert sorted(writes(azure)) == sorted(2 * [("PUT", "new"), ("PUT", "old"), ("DELETE", "gone")])
    assert azure.slept > (error.retry_after_seconds or 2) - 1


@pytest.mark.parametrize(
    "spec",
    [make_spec("new"), make_spec("old", quota=LARGER), make_spec("old", ensure=Ensure.ABSENT)],
)
def test_a_write_whose_answer_was_lost_for_good_is_not_sent_again(journal, spec):
    azure = FakeAzure(make_namespace("old"))
    lose_the_answer(azure)
    result = run(azure, [spec], journal)
    assert result.unfinished == ()
    assert len(writes(azure)) == 1


def test_what_the_service_still_works_on_is_waited_for_and_not_written_again(journal):
    azure = FakeAzure()
    lose_the_answer(azure, state="Creating")
    get, left = azure.get, iter(range(40))

    def slowly(target):
        if next(left, None) is None:
            azure.store[target.key] = replace(
                azure.store[target.key], provisioning_state="Succeeded"
            )
        return get(target)

    azure.get = slowly
    result = run(azure, [make_spec("new")], journal)
    assert result.counts() == {"created": 1}
    assert writes(azure) == [("PUT", "new")]
    assert azure.slept > 60  # longer than the waits between tries: the service's time counts


def test_an_operation_that_failed_in_passing_is_made_again_over_what_it_left(journal):
    azure = FakeAzure(make_namespace("old", labels={"theirs": "1"}))
    azure.failing = {"new": [BROKEN], "old": [BROKEN, BROKEN]}
    result = run(azure, [make_spec("new"), make_spec("old", quota=LARGER)], journal)
    assert result.counts() == {"created": 1, "updated": 1}
    assert sorted(writes(azure)) == [("PUT", "new")] * 2 + [("PUT", "old")] * 3
    assert {n.provisioning_state for n in azure.store.values()} == {"Succeeded"}
    earlier = [e["before"] for e in read_events(journal.path)[0] if e["event"] == "started"]
    assert [b["etag"] for b in earlier if b] == ["etag-1"] * 3  # undo restores what was planned on
    (row,) = [
        row for row in undo(read_events(journal.path)[0])[0] if row["namespace_name"] == "old"
    ]
    assert row["cpu_limit"] == "2000m"


@pytest.mark.parametrize("code", ["BadRequest", "OperationCanceled"])
def test_an_operation_that_failed_for_good_is_not_made_again(journal, code):
    azure = FakeAzure()
    azure.failing["new"] = [OperationFailedError("no", code=code)]
    assert run(azure, [make_spec("new")], journal).counts() == {"failed": 1}
    assert writes(azure) == [("PUT", "new")]


def test_somebody_elses_write_between_two_tries_is_not_written_over(journal):
    azure = FakeAzure(make_namespace("old"))
    theirs = make_namespace("old", etag="theirs", labels={"theirs": "1"})
    azure.errors["old"] = [DOWN]
    azure.on_start = lambda _: azure.store.update({theirs.id.key: theirs})
    result = run(azure, [make_spec("old", quota=LARGER)], journal)
    assert result.counts() == {"skipped": 1}
    assert result.outcomes[0].reason.startswith("stale:")
    assert azure.store == {theirs.id.key: theirs}
    assert writes(azure) == [("PUT", "old")]


@pytest.mark.parametrize(
    ("state", "counts", "sent"),
    [
        ("Succeeded", {"skipped": 1}, 1),  # ours went well, and somebody made the same name again
        ("Failed", {"deleted": 1}, 2),  # ours arrived, and failed
    ],
)
def test_what_was_made_again_between_two_tries_is_not_deleted(journal, state, counts, sent):
    azure = FakeAzure(make_namespace("old", delete_policy=DeletePolicy.DELETE))
    anew = replace(*azure.store.values(), etag="anew", provisioning_state=state)
    azure.errors["old"] = [LOST]
    azure.on_start = lambda _: azure.store.update({anew.id.key: anew})
    result = run(azure, [make_spec("old", quota={}, ensure=Ensure.ABSENT)], journal)
    assert result.counts() == counts
    assert writes(azure) == [("DELETE", "old")] * sent
    assert (anew.id.key in azure.store) is (state == "Succeeded")


def test_undo_names_what_somebody_else_changed_after_a_write_of_this_run(journal):
    azure = FakeAzure(make_namespace("old"))
    theirs = make_namespace("old", etag="theirs", labels={"theirs": "1"})
    azure.failing["old"] = [BROKEN]
    azure.on_poll = lambda: azure.store.update({theirs.id.key: theirs})
    assert run(azure, [make_spec("old", quota=LARGER)], journal).counts() == {"skipped": 1}
    rows, lost = undo(read_events(journal.path)[0])
    assert rows == []
    assert [*map(str, lost)] == ["old on aks-1: somebody else changed it after this run: it stays"]


def test_undo_names_a_quota_value_that_was_not_set_and_restores_the_others(journal):
    """As older versions of the service let it be; a request for its removal would be refused."""
    less = {name: value for name, value in amounts(**QUOTA).items() if name != "cpu_limit"}
    azure = FakeAzure(make_namespace("old", quota=less))
    asked = make_spec("old", quota=amounts(cpu_request="3", cpu_limit="4"))
    assert run(azure, [asked], journal).counts() == {"updated": 1}
    ((row,), lost) = undo(read_events(journal.path)[0])
    assert row["cpu_request"] == "1000m"
    assert "cpu_limit" not in row
    assert [*map(str, lost)] == ["old on aks-1: cpu_limit was not set, and cannot be unset again"]


def test_undo_leaves_alone_what_this_run_failed_to_write(journal):
    azure = FakeAzure(make_namespace("old"))
    azure.errors = {name: [ArmForbiddenError("no", status=403)] for name in ("new", "old")}
    azure.failing["half"] = [OperationFailedError("no", code="BadRequest")]
    specs = [make_spec("new"), make_spec("old", quota=LARGER), make_spec("half")]
    assert run(azure, specs, journal).counts() == {"failed": 3}
    rows, lost = undo(read_events(journal.path)[0])
    assert [row["namespace_name"] for row in rows] == ["half"]
    why = "its write was not seen to be accepted: what is there stays"
    assert set(map(str, lost)) > {f"new on aks-1: {why}", f"old on aks-1: {why}"}


def test_a_first_write_that_arrives_after_the_read_is_recognized(journal):
    azure = FakeAzure(make_namespace("old"))
    spec = make_spec("old", quota=LARGER)
    after = make_plan([spec], make_observed(*azure.store.values())).changes[0].after
    azure.errors["old"] = [LOST]
    azure.on_start = lambda _: (
        None
        if azure.errors["old"]
        else azure.store.update(
            {after.id.key: replace(after, etag="first", provisioning_state="Succeeded")}
        )
    )
    assert run(azure, [spec], journal).counts() == {"updated": 1}
    assert azure.store[after.id.key].etag == "first"


def test_only_what_failed_for_good_counts_against_max_failures(journal):
    azure = FakeAzure()
    names = [f"ns-{number}" for number in range(12)]
    azure.errors = {name: [DOWN, LOST] for name in names[1:]} | {names[0]: [DOWN] * 9}
    result = run(azure, [make_spec(name) for name in names], journal, max_failures=2)
    assert result.counts() == {"failed": 1, "created": 11}
    assert writes(azure).count(("PUT", names[0])) == 5
    finished = [e for e in read_events(journal.path)[0] if e["event"] == "finished"]
    assert len(finished) == 12


def test_a_service_that_asks_for_an_hour_is_not_waited_for(journal):
    azure = FakeAzure()
    azure.errors["new"] = [ArmServerError("in an hour", retry_after_seconds=3600)] * 2
    assert run(azure, [make_spec("new")], journal).counts() == {"failed": 1}
    assert azure.slept < 60


def test_a_role_is_assigned_again_without_another_write_of_the_namespace(journal):
    azure = FakeAzure()
    create, errors = azure.create, [DOWN, LOST]

    def later(scope, grant, *, subscription_id):
        azure.requests.append(("GRANT", "tried"))
        if errors:
            raise errors.pop()
        create(scope, grant, subscription_id=subscription_id)

    azure.create = later
    result = run(azure, [make_spec("new", access=(make_grant(),))], journal)
    assert result.counts() == {"created": 1}
    assert [r for r in writes(azure) if r[1] == "new"] == [("PUT", "new"), ("GRANT", "new")]
    assert writes(azure).count(("GRANT", "tried")) == 3


def test_a_stop_leaves_no_time_for_further_tries(journal):
    azure = FakeAzure()
    azure.errors = {"a": [OperationFailedError("no", code="BadRequest")], "b": [DOWN] * 9}
    result = run(azure, [make_spec("b"), make_spec("a")], journal, max_failures=1)
    assert result.counts() == {"failed": 2}
    assert writes(azure).count(("PUT", "b")) <= 2


def role_event(name, event="revoking", **details):
    target = str(CLUSTER.namespace(name))
    return {
        "event": event,
        "id": target,
        "principal_id": GROUP,
        "role": make_grant().role,
    } | details


def test_undo_gives_roles_back_and_takes_away_what_was_granted():
    rows, lost = undo([
        role_event("a", principal_type="Group", has_condition=False),
        role_event("a", "revoked"),
        role_event("b", "granting", principal_type="ServicePrincipal", had_role=False),
        role_event("b", "granted"),
    ])  # fmt: skip
    assert {row["namespace_name"]: row["access"] for row in rows} == {
        "a": [f"group:{GROUP}=writer"],
        "b": [f"sp:{GROUP}=writer-"],
    }
    assert lost == []


@pytest.mark.parametrize("asked", ["granting", "revoking"])
def test_undo_touches_no_role_whose_change_was_not_answered(asked):
    rows, lost = undo([role_event("a", asked, principal_type="Group", had_role=False)])
    assert rows == []
    assert "was not seen, it stays as it is" in lost[0].reason


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (role_event("a", "granting"), "a role stays"),  # as journals of 0.1 have it
        (
            role_event("a", principal_type="Group", has_condition=True),
            "a role is not granted again",
        ),
        (role_event("a", principal_type="Device"), "a role is not granted again"),
    ],
)
def test_undo_says_which_role_no_request_can_restore(event, sentence):
    rows, lost = undo([event, role_event("a", "revoked")])
    assert rows == []
    assert lost == [("a on aks-1", sentence, f"{make_grant().role} of {GROUP}")]
