from __future__ import annotations

import pytest

from mnslib.errors import ConfigError, StalePlanError, UnsafePlanError
from mnslib.models import DeletePolicy, Ensure
from mnslib.provisioning.approval import Caps, decide
from mnslib.provisioning.plan import make_plan

from .factories import make_namespace, make_observed, make_spec

CAPS = Caps(max_changes="50", max_deletions="1", max_failures="20%")


def plan_of(*specs, held=()):
    return make_plan(specs or [make_spec()], make_observed(*held))


def say(plan, **values):
    defaults = {
        "dry_run": False,
        "approval": "digest",
        "approved_digest": "",
        "allow": [],
        "caps": CAPS,
    }
    return decide(plan, **(defaults | values))


def test_a_dry_run_never_writes_whatever_else_is_said():
    plan = plan_of()
    assert not say(plan, dry_run=True, approved_digest=plan.digest).may_write


def test_writing_needs_the_digest_of_this_very_plan():
    plan, other = plan_of(), plan_of(make_spec("team-b"))
    assert say(plan, approved_digest=plan.digest).may_write
    with pytest.raises(StalePlanError, match="no plan is approved"):
        say(plan)
    with pytest.raises(StalePlanError, match="is not the present one"):
        say(plan, approved_digest=other.digest)


def test_an_empty_plan_needs_no_approval():
    assert say(plan_of(held=[make_namespace()])).may_write


def test_each_risk_needs_its_own_allowance():
    held = make_namespace(delete_policy=DeletePolicy.DELETE)
    plan = plan_of(make_spec(ensure=Ensure.ABSENT), held=[held])
    with pytest.raises(UnsafePlanError, match="delete-policy, deletion"):
        say(plan, approved_digest=plan.digest)
    with pytest.raises(UnsafePlanError, match="not accepted: delete-policy"):
        say(plan, approved_digest=plan.digest, allow=["deletion"])
    allow = ["deletion", "delete-policy"]
    assert say(plan, approved_digest=plan.digest, allow=allow).may_write


def test_unattended_needs_no_digest_but_all_caps():
    plan = plan_of()
    assert say(plan, approval="unattended").may_write
    with pytest.raises(UnsafePlanError, match="needs max_deletions, max_failures"):
        say(plan, approval="unattended", caps=Caps(max_changes="5"))


def test_unattended_never_accepts_an_unnamed_risk():
    plan = plan_of(make_spec(ensure=Ensure.ABSENT), held=[make_namespace()])
    with pytest.raises(UnsafePlanError, match="deletion"):
        say(plan, approval="unattended")


def test_caps_hold_for_a_person_too():
    plan = plan_of(make_spec("a", row=2), make_spec("b", row=3))
    with pytest.raises(UnsafePlanError, match="the plan has 2 changes, max_changes allows 1"):
        say(plan, approved_digest=plan.digest, caps=Caps(max_changes="1"))


def test_deletions_have_a_cap_of_their_own():
    specs = [make_spec(name, ensure=Ensure.ABSENT) for name in ("a", "b")]
    plan = plan_of(*specs, held=[make_namespace("a"), make_namespace("b")])
    asked = {"approved_digest": plan.digest, "allow": ["deletion"]}
    assert say(plan, caps=Caps(max_deletions="2"), **asked).may_write
    with pytest.raises(UnsafePlanError, match="the plan has 2 deletions, max_deletions allows 1"):
        say(plan, caps=Caps(max_deletions="1"), **asked)


def test_part_of_a_digest_approves_nothing():
    plan = plan_of()
    for part in (plan.digest[:-1], "sha256:", plan.digest.removeprefix("sha256:")):
        with pytest.raises(StalePlanError, match="is not the present one"):
            say(plan, approved_digest=part)


def test_a_share_counts_requests_that_change_nothing_too():
    names = [f"n{i}" for i in range(5)]
    plan = plan_of(*map(make_spec, names), held=[make_namespace(name) for name in names[1:]])
    assert say(plan, approved_digest=plan.digest, caps=Caps(max_changes="20%")).may_write


def test_a_share_is_of_the_requests_rounded_down():
    assert Caps(max_changes="20%").limits(36)["max_changes"] == 7
    assert Caps(max_changes="7").limits(36)["max_changes"] == 7
    assert Caps().limits(36)["max_changes"] is None


@pytest.mark.parametrize("text", ["many", "-1", "120%", "5.5", "1.000", "٣"])
def test_a_cap_that_is_no_number_is_refused_even_in_a_dry_run(text):
    with pytest.raises(ConfigError, match="write a count such as 50"):
        say(plan_of(), dry_run=True, caps=Caps(max_failures=text))


def test_unknown_words_are_refused_even_in_a_dry_run():
    with pytest.raises(ConfigError, match="write digest or unattended"):
        say(plan_of(), dry_run=True, approval="yes")
    with pytest.raises(ConfigError, match="unknown risks everything"):
        say(plan_of(), dry_run=True, allow=["everything"])
