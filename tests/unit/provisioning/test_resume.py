"""A run that was cut off anywhere goes on: nothing twice, nothing lost, one outcome per item."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mnslib.errors import ArmForbiddenError, ConfigError, StalePlanError, UnsafePlanError
from mnslib.kube_models import KubernetesNamespace
from mnslib.models import DeletePolicy, Ensure
from mnslib.provisioning.apply import apply
from mnslib.provisioning.approval import Approval, Caps, decide
from mnslib.provisioning.changes import differences, planned_item
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.observe import observe
from mnslib.provisioning.plan import make_plan
from mnslib.provisioning.resume import (
    plan_rest,
    read_earlier,
    read_in_flight,
    require_same_requests,
    result_so_far,
)

from .factories import (
    CLUSTER,
    QUOTA,
    FakeAzure,
    amounts,
    carry_out,
    make_assignment,
    make_cluster,
    make_grant,
    make_namespace,
    make_observed,
    make_spec,
    make_view,
    now,
    writes,
)

HELD = (
    make_namespace("keep", labels={"theirs": "1"}),
    make_namespace("drop", delete_policy=DeletePolicy.DELETE),
    make_namespace("same"),
)
SPECS = (
    make_spec("new", row=2),
    make_spec("keep", row=3, quota=amounts(cpu_limit="4"), access=(make_grant(),)),
    make_spec("drop", row=4, quota={}, ensure=Ensure.ABSENT),
    make_spec("same", row=5),
)


class Seen(FakeAzure):
    """ARM as `FakeAzure`, with a cluster that can be read."""

    def get(self, target):
        return super().get(target) if hasattr(target, "namespace_name") else make_cluster(target)


def start(journal, specs=SPECS, *held):
    azure = Seen(*(held or HELD))
    plan = make_plan(specs, make_observed(*azure.store.values(), unknown="not read"))
    first = apply(Approval(plan=plan, may_write=True), azure=azure, journal=journal)
    return azure, first


def go_on(azure, journal, specs=SPECS):
    earlier = read_earlier(journal.path.parent)
    require_same_requests(specs, earlier)
    seen = observe(specs, azure=azure, kube_for=None, now=now)
    seen = read_in_flight(seen, earlier, azure=azure)
    rest = plan_rest(specs, seen, earlier, max_commitment=None)
    azure.requests.clear()
    approval = Approval(plan=rest.plan, may_write=True)
    return rest.complete(apply(approval, azure=azure, journal=journal))


def outcomes(result):
    return {o.id.namespace_name: o.outcome.value for o in result.outcomes}


def written(azure):
    return [name for method, name in azure.requests if method in ("PUT", "DELETE")]


def events(journal):
    return [json.loads(line) for line in journal.path.read_text().splitlines()]


def test_a_run_that_finds_nothing_left_claims_nothing_for_itself(journal):
    azure, first = start(journal)
    result = go_on(azure, journal)
    assert written(azure) == []
    assert result.resumed.is_rest_empty
    assert result.resumed.run == journal.path.parent.name
    counts = {kind.value: number for kind, number in result.resumed.written.items()}
    assert counts == {k: n for k, n in first.counts().items() if k != "unchanged"}
    planned = next(event for event in events(journal) if event["event"] == "plan")
    assert list(result.resumed.risks) == sorted(planned["risks"])
    assert {"deletion", "overcommit"} <= set(result.resumed.risks)


def test_cut_off_anywhere_it_goes_on_to_the_same_end(journal, tmp_path):
    azure, first = start(journal)
    lines = journal.path.read_text().splitlines(keepends=True)
    for cut in range(1, len(lines) + 1):
        for arrived in (True, False):  # the last request that was journaled
            kept = [json.loads(line) for line in lines[:cut]]
            begun = {e["id"] for e in kept if e["event"] == "started"}
            done = {e["id"] for e in kept if e["event"] == "accepted"}
            folder = tmp_path / f"{cut}-{arrived}"
            folder.mkdir()
            again = Journal(folder / "journal.jsonl", now=now)
            again.path.write_text("".join(lines[:cut]) + lines[0][:20])  # and a torn line
            world = Seen(*HELD)
            for key in done | begun if arrived else done:
                name = key.rpartition("/")[2]
                final = azure.store.get(make_namespace(name).id.key)
                world.store.pop(make_namespace(name).id.key, None)
                if final:
                    world.store[final.id.key] = final
            result = go_on(world, again)
            assert outcomes(result) == outcomes(first), (cut, arrived)
            assert {
                k: differences(v, azure.store[k]) for k, v in world.store.items()
            } == dict.fromkeys(azure.store, ())
            finished = {e["namespace_name"] for e in kept if e["event"] == "finished"}
            assert not finished & set(written(world)), (cut, arrived)
            if arrived:
                assert not {i.rpartition("/")[2] for i in begun} & set(written(world))


@pytest.mark.parametrize(
    ("again", "ends", "reason"),
    [
        ((1, 4), "created failed created created failed created", ""),  # 2 went well: uncounted
        (
            (1, 2, 3),
            "created failed failed failed not_attempted not_attempted",
            "stop rule: 3 failed (2 of them in the run that is resumed already), max_failures is 3",
        ),
    ],
)
def test_what_failed_before_counts_until_it_is_as_requested(journal, again, ends, reason):
    names = [f"n{number}" for number in range(6)]
    specs, azure = [make_spec(name) for name in names], Seen()

    def go(approval, failing):
        azure.errors = {names[i]: [ArmForbiddenError("no", status=403)] for i in failing}
        return carry_out(approval, azure, journal, max_parallel_per_cluster=1)

    plan = make_plan(specs, make_observed(unknown="not read"), max_commitment=None)
    go(Approval(plan=plan, may_write=True, max_failures=3), (0, 1, 2))
    azure.store[specs[0].id.key] = make_namespace("n0")  # somebody made it meanwhile
    earlier = read_earlier(journal.path.parent)
    seen = observe(specs, azure=azure, kube_for=None, now=now)
    rest = plan_rest(specs, seen, earlier, max_commitment=None)

    def approve(most):
        return decide(
            rest.plan,
            dry_run=False,
            approval="digest",
            approved_digest=earlier.digest,
            allow=list(earlier.risks),
            caps=Caps(max_failures=most),
            failed_before=rest.failed_before,
        )

    with pytest.raises(UnsafePlanError, match=r"2 failed in the run .* max_failures is 2\."):
        approve("2")
    for outcome in rest.decided:
        journal.write("finished", **outcome.to_json())
    result = rest.complete(go(approve("3"), again))
    assert list(outcomes(result).values()) == ends.split()
    assert result.outcomes[-1].reason == reason
    failed = {specs[i].id.key for i in again}
    items = read_earlier(journal.path.parent).items
    assert {key for key, item in items.items() if item.has_failed} == failed


HANGING = [f"hang-{number}" for number in range(5)]  # more than run side by side on a cluster


def hanging(journal):
    """Return ARM and requests of a run that died while it still worked on some."""
    specs = [make_spec(name) for name in (*HANGING, *(f"ready-{n:02}" for n in range(12)))]
    azure = Seen()
    plan = make_plan(specs, make_observed(unknown="not read"), max_commitment=None)
    carry_out(Approval(plan=plan, may_write=True), azure, journal)
    lines = journal.path.read_text().splitlines(keepends=True)
    of_ready = [line for line in lines[1:] if "ready-" in line]
    ends = [line for line in lines if json.loads(line)["event"] in ("finished", "end")]
    journal.path.write_text("".join(x for x in lines if x not in (*of_ready, *ends)))
    azure.store = {
        key: replace(held, provisioning_state="Creating")
        for key, held in azure.store.items()
        if held.id.namespace_name in HANGING
    }
    azure.slept = 0.0
    return azure, specs


def rest_of(azure, journal, specs):
    earlier = read_earlier(journal.path.parent)
    seen = observe(specs, azure=azure, kube_for=None, now=now)
    seen = read_in_flight(seen, earlier, azure=azure)
    return plan_rest(specs, seen, earlier, max_commitment=None)


def test_what_still_hangs_keeps_nothing_waiting_and_ends_as_failed(journal):
    azure, specs = hanging(journal)
    told, done_at = [], {}

    def observer(progress):
        told.append(progress)
        done_at.setdefault(progress.done, azure.slept)

    rest = rest_of(azure, journal, specs)
    azure.requests.clear()
    assert azure.slept == 0  # nothing is waited for before the rest is planned
    result = carry_out(Approval(plan=rest.plan, may_write=True), azure, journal, observer=observer)
    result = rest.complete(result)
    assert done_at[12] < 60
    assert 1790 <= azure.slept < 1900  # the processor takes some of the half hour
    assert outcomes(result) == dict.fromkeys(HANGING, "failed") | {
        f"ready-{n:02}": "created" for n in range(12)
    }
    assert not set(written(azure)) & set(HANGING)
    failed = result.outcomes[0]
    assert failed.reason.startswith("started, but ")
    assert failed.reason.endswith("is still Creating after 1800 s")
    assert failed.remedy == "its outcome is unknown: run again, it is read first"
    assert not told[0].awaited
    last = [progress for progress in told if progress.awaited][-1]
    assert {id_.namespace_name for id_, _ in last.awaited} <= set(HANGING)
    assert last.awaited[0][1] >= 29
    # and it can be resumed once more, when they have come to rest
    azure.store = {
        key: replace(held, provisioning_state="Succeeded") for key, held in azure.store.items()
    }
    assert set(outcomes(go_on(azure, journal, specs)).values()) == {"created"}
    assert written(azure) == []


def test_what_ends_meanwhile_ends_as_it_was_planned_and_is_not_written_again(journal):
    azure, specs = hanging(journal)
    rest = rest_of(azure, journal, specs)
    get = azure.get

    def ending(target):
        if azure.slept > 100 and target.key in azure.store:
            azure.store[target.key] = replace(
                azure.store[target.key], provisioning_state="Succeeded"
            )
        return get(target)

    azure.get = ending
    azure.requests.clear()
    result = carry_out(Approval(plan=rest.plan, may_write=True), azure, journal)
    assert set(outcomes(rest.complete(result)).values()) == {"created"}
    assert not set(written(azure)) & set(HANGING)
    assert azure.slept < 120


def test_what_fails_meanwhile_is_written_again_as_approved(journal):
    azure, specs = hanging(journal)
    rest = rest_of(azure, journal, specs)
    azure.store = {
        key: replace(held, provisioning_state="Failed") for key, held in azure.store.items()
    }
    azure.requests.clear()
    result = carry_out(Approval(plan=rest.plan, may_write=True), azure, journal)
    assert set(outcomes(rest.complete(result)).values()) == {"created"}
    assert sorted(written(azure))[: len(HANGING)] == HANGING


def test_what_somebody_changed_since_is_skipped_and_the_rest_goes_on(journal):
    azure, _ = start(journal)
    journal.path.write_text(journal.path.read_text().splitlines(keepends=True)[0])
    theirs = make_namespace("keep", etag="theirs", labels={"theirs": "2"})
    azure.store = {n.id.key: n for n in (*HELD, theirs)}
    result = go_on(azure, journal)
    assert outcomes(result) == {
        "drop": "deleted", "keep": "skipped", "new": "created", "same": "unchanged",
    }  # fmt: skip
    (skipped,) = [o for o in result.outcomes if o.outcome == "skipped"]
    assert skipped.reason.startswith("stale:")
    assert azure.store[theirs.id.key] == theirs


def test_a_write_that_failed_half_way_is_made_again_as_approved(journal):
    azure, _ = start(journal)
    lines = journal.path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"event": "plan"' in line or '"event": "started"' in line]
    journal.path.write_text("".join(kept))
    failed = replace(
        azure.store[make_namespace("new").id.key], provisioning_state="Failed", etag="e-9"
    )
    azure.store[failed.id.key] = failed
    again = Journal(journal.path.with_name("again") / "journal.jsonl", now=now)
    again.path.parent.mkdir()
    again.path.write_text(journal.path.read_text())
    go_on(azure, again)
    # and that one was killed before it came to it
    journal.path.write_text(
        "".join(again.path.read_text().splitlines(keepends=True)[: len(kept) + 1])
    )
    azure.store[failed.id.key] = failed
    result = go_on(azure, journal)
    assert outcomes(result)["new"] == "created"
    assert written(azure) == ["new"]


@pytest.mark.parametrize("name", ["new", "keep"])
@pytest.mark.parametrize("is_cut_off_twice", [False, True])
def test_what_a_policy_adds_to_a_write_that_failed_is_no_other_change(
    journal, name, is_cut_off_twice
):
    azure, _ = start(journal)
    ended = '"event": "finished"'
    lines = journal.path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if ended not in line or f'"{name}"' not in line]
    journal.path.write_text("".join(kept))
    there = azure.store[make_namespace(name).id.key]
    tags = {**there.tags, "by": "policy"}
    failed = replace(there, tags=tags, provisioning_state="Failed", etag="e-9")
    azure.store[failed.id.key] = failed
    if is_cut_off_twice:  # before it came to the write
        again = Journal(journal.path.with_name("again") / "journal.jsonl", now=now)
        again.path.parent.mkdir()
        again.path.write_text("".join(kept))
        held = dict(azure.store)
        go_on(azure, again)
        azure.store = held
        journal.path.write_text(
            "".join(again.path.read_text().splitlines(keepends=True)[: len(kept) + 1])
        )
    result = go_on(azure, journal)
    assert outcomes(result)[name] in ("created", "updated")
    assert written(azure) == [name]
    assert azure.store[failed.id.key].tags == tags


@pytest.mark.parametrize(
    ("etag", "state", "outcome"),
    [
        ("etag-1", "Succeeded", "deleted"),  # our deletion never arrived
        ("etag-9", "Failed", "deleted"),  # it arrived and failed
        ("etag-9", "Succeeded", "skipped"),  # it went well, and somebody made the same name again
    ],
)
def test_what_was_made_again_since_is_not_deleted_a_second_time(journal, etag, state, outcome):
    azure, _ = start(journal)
    lines = journal.path.read_text().splitlines(keepends=True)
    ended = '"event": "finished"'
    journal.path.write_text("".join(x for x in lines if ended not in x or '"drop"' not in x))
    drop = next(n for n in HELD if n.id.namespace_name == "drop")
    azure.store[drop.id.key] = replace(drop, etag=etag, provisioning_state=state)
    assert outcomes(go_on(azure, journal))["drop"] == outcome
    assert (drop.id.key in azure.store) is (outcome == "skipped")


def test_what_nobody_knew_of_at_the_time_is_not_taken_over(journal):
    azure, _ = start(journal)
    journal.path.write_text(journal.path.read_text().splitlines(keepends=True)[0])
    azure.store = {n.id.key: n for n in (*HELD, make_namespace("new", etag="theirs"))}
    specs = [replace(s, labels={"a": "b"}) if s.id.namespace_name == "keep" else s for s in SPECS]
    result = go_on(azure, journal, specs)
    assert outcomes(result)["new"] == "unchanged"  # it is as requested, by somebody else
    assert outcomes(result)["keep"] == "skipped"  # the request is another one by now
    assert written(azure) == ["drop"]


def test_a_role_that_nobody_approved_is_not_granted(journal):
    azure, _ = start(journal)
    journal.path.write_text(journal.path.read_text().splitlines(keepends=True)[0])
    azure.store, azure.assignments = {n.id.key: n for n in HELD}, []
    admin = make_grant("Azure Kubernetes Service RBAC Admin")
    specs = [replace(SPECS[0], access=(admin,)), *SPECS[1:]]
    result = go_on(azure, journal, specs)
    assert outcomes(result) == {
        "drop": "deleted", "keep": "updated", "new": "skipped", "same": "unchanged",
    }  # fmt: skip
    assert [a.role_guid for a in azure.assignments] == [make_grant().role_guid]


def test_other_requests_are_refused(journal):
    start(journal)
    earlier = read_earlier(journal.path.parent)
    with pytest.raises(StalePlanError, match="1 namespaces that the resumed run did not plan"):
        require_same_requests([*SPECS[1:], make_spec("other")], earlier)


def test_a_dry_run_leaves_nothing_to_resume(journal):
    azure = FakeAzure()
    plan = make_plan(SPECS[:1], make_observed())
    apply(Approval(plan=plan, may_write=False), azure=azure, journal=journal)
    with pytest.raises(ConfigError, match="wrote nothing: run it anew"):
        read_earlier(journal.path.parent)
    with pytest.raises(ConfigError, match="holds no"):
        read_earlier(journal.path.parent / "elsewhere")


def test_a_risk_that_nobody_accepted_is_not_taken_when_it_goes_on(journal):
    spec = make_spec("keep", quota=amounts(cpu_limit="4"))
    _azure, _ = start(journal, [spec])
    journal.path.write_text(journal.path.read_text().splitlines(keepends=True)[0])
    argo = KubernetesNamespace(
        name="keep", annotations={"argocd.argoproj.io/tracking-id": "x"}, labels={}
    )
    for namespaces, kept in (((), 1), ((argo,), 0)):
        seen = make_observed(*HELD, view=make_view(namespaces=namespaces))
        earlier = read_earlier(journal.path.parent)
        rest = plan_rest([spec], seen, earlier, max_commitment=None)
        assert (len(rest.plan.changes), len(rest.decided)) == (kept, 1 - kept)


def test_what_was_approved_before_its_risk_had_a_name_goes_on_as_approved(journal):
    specs = [
        make_spec("keep", labels={"theirs": "2"}, ingress_policy="AllowAll", access=(make_grant(),))
    ]
    azure, _ = start(journal, specs)
    named = "access-granted, labels-changed, policy-loosened"
    planned = events(journal)[0]
    assert sorted(planned["risks"]) == named.split(", ")
    journal.path.write_text(json.dumps({**planned, "risks": []}) + "\n")
    azure.store, azure.assignments = {one.id.key: one for one in HELD}, []
    result = go_on(azure, journal, specs)
    assert outcomes(result) == {"keep": "updated"}
    assert result.resumed.risks == result.outcomes[0].risks == ()
    journal.path.write_text(json.dumps({**planned, "risks": []}) + "\n")
    azure.store = {one.id.key: one for one in HELD}
    other = [replace(specs[0], labels={"theirs": "3"})]
    assert outcomes(go_on(azure, journal, other)) == {"keep": "skipped"}


@pytest.mark.parametrize("above", [(), (CLUSTER.key,)], ids=["alone", "inherited too"])
def test_a_role_is_taken_away_once_wherever_the_run_was_cut_off(journal, tmp_path, above):
    grant, name = make_grant(), CLUSTER.namespace("keep")
    inherited = [make_assignment(scope, *grant.key) for scope in above]
    specs = [make_spec("keep", labels={"k": "v"}, revoked=(grant,))]

    def world():
        azure = Seen(*HELD)
        azure.assignments = [make_assignment(scope, *grant.key) for scope in name.own_scopes]
        azure.assignments += inherited
        return azure

    azure = world()
    plan = make_plan(specs, observe(specs, azure=azure, kube_for=None, now=now))
    carry_out(Approval(plan=plan, may_write=True), azure, journal)
    lines = journal.path.read_text().splitlines(keepends=True)
    kinds = [json.loads(line)["event"] for line in lines]
    both = ["revoking", "revoked"] * 2
    assert kinds == ["plan", "started", "accepted", *both, "finished", "end"]
    for cut in range(1, len(lines)):
        for arrived in (True, False):  # the last request that was journaled
            again = world()
            sent = kinds[: cut if arrived else cut - 1]
            if "started" in sent or "accepted" in kinds[:cut]:
                again.store[name.key] = azure.store[name.key]
            again.assignments = again.assignments[sent.count("revoking") :]
            folder = tmp_path / f"{cut}-{arrived}"
            folder.mkdir()
            kept = Journal(folder / "journal.jsonl", now=now)
            kept.path.write_text("".join(lines[:cut]))
            left = len(again.assignments) - len(above) if "finished" not in kinds[:cut] else 0
            result = go_on(again, kept, specs)
            (outcome,) = result.outcomes
            is_untouched = cut == 1 and not left
            assert outcome.outcome in ("updated", "unchanged" if is_untouched else "updated")
            assert [m for m, _ in writes(again)].count("REVOKE") == left
            if "finished" not in kinds[:cut]:
                assert again.assignments == inherited


def test_a_role_that_was_assigned_anew_since_is_not_what_was_approved(journal):
    azure, grant, name = Seen(*HELD), make_grant(), CLUSTER.namespace("keep")
    azure.assignments = [make_assignment(name.own_scopes[0], *grant.key)]
    specs = [make_spec("keep", revoked=(grant,))]
    plan = make_plan(specs, observe(specs, azure=azure, kube_for=None, now=now))
    carry_out(Approval(plan=plan, may_write=True), azure, journal)
    lines = journal.path.read_text().splitlines(keepends=True)
    journal.path.write_text("".join(line for line in lines if '"finished"' not in line))
    theirs = replace(make_assignment(name.own_scopes[0], *grant.key), id="/theirs")
    azure.assignments = [theirs]
    (outcome,) = go_on(azure, journal, specs).outcomes
    assert (outcome.outcome, azure.assignments) == ("skipped", [theirs])


def test_a_role_of_a_tier_is_assigned_to_what_the_run_created_before_it_was_cut_off(journal):
    azure, grant = Seen(), make_grant()
    spec = make_spec("new", tier="small", when_new=make_spec("new", access=(grant,)))
    azure.errors["grant"] = [ArmForbiddenError("no")]
    plan = make_plan([spec], observe([spec], azure=azure, kube_for=None, now=now))
    carry_out(Approval(plan=plan, may_write=True), azure, journal)
    azure.errors.clear()
    result = go_on(azure, journal, [spec])
    assert result.counts() == {"created": 1}
    assert [one.principal_id for one in azure.assignments] == [grant.principal_id]


def test_what_was_done_by_an_earlier_plan_of_the_run_is_open_once_it_is_planned_again(journal):
    specs = SPECS[1:2]
    azure, _ = start(journal, specs)  # it is done, and then changed by somebody else
    key = specs[0].id.key
    azure.store[key] = replace(azure.store[key], quota=amounts(**QUOTA | {"cpu_limit": "9"}))
    plan = make_plan(specs, make_observed(*azure.store.values(), unknown="not read"))
    items = [planned_item(change) for change in plan.changes]
    journal.write(
        "plan", digest=plan.digest, may_write=True, risks=plan.risk_names(), items=items
    )  # and then it was cut off
    result = go_on(azure, journal, specs)
    assert outcomes(result) == {"keep": "updated"}
    assert written(azure) == ["keep"]


@pytest.mark.parametrize("has_roles", [False, True])
@pytest.mark.parametrize("event", ["replaced", "stood"])
def test_what_somebody_else_made_meanwhile_ends_as_in_a_live_run(journal, event, has_roles):
    """A creation that was answered with 200, or found as requested: nobody is let in."""
    access = (make_grant(),) if has_roles else ()
    specs = [make_spec("new", row=2, access=access)]
    azure, _ = start(journal, specs)
    azure.assignments.clear()
    lines = [one for one in events(journal) if one["event"] in ("plan", "started")]
    lines.append({"utc": lines[-1]["utc"], "event": "accepted", "replaced": True})
    if event == "stood":
        lines[-1]["event"] = "stood"
    lines[-1]["id"] = str(specs[0].id)
    journal.path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (done,) = go_on(azure, journal, specs).outcomes
    assert (azure.assignments, written(azure)) == ([], [])
    if has_roles:
        assert done.outcome == ("skipped" if event == "stood" else "failed")
        assert "no role was assigned" in done.reason
    else:
        assert done.outcome == ("unchanged" if event == "stood" else "updated")
        assert done.reason


def test_a_run_that_was_killed_tells_the_risks_of_its_plan(journal):
    start(journal)
    events_of = [one | {"risks": ["deletion", "many-changes"]} if one["event"] == "plan" else one
                 for one in events(journal)]  # fmt: skip
    journal.path.write_text("".join(f"{json.dumps(line)}\n" for line in events_of))
    told = result_so_far(journal.path.parent)
    assert told.plan_risks == ("many-changes",)
    assert len(told.outcomes) == len(SPECS)
