"""A proof says what a server's answer shows, and fails only where it contradicts what was asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mnslib.kube_models import LimitRange, QuotaStatus
from mnslib.models import NetworkRule, RoleAssignment
from mnslib.provisioning import proof
from mnslib.provisioning.proof import Proven
from mnslib.provisioning.rights import RIGHTS, Held

from .factories import make_namespace

ASKED = make_namespace()
HARD = {
    "requests.cpu": Decimal(1), "limits.cpu": Decimal(2),
    "requests.memory": Decimal(2**30), "limits.memory": Decimal(2**31),
}  # fmt: skip
UNSAID = "failed quota: defaultresourcequota: must specify limits.cpu for: app"
OVER = "exceeded quota: defaultresourcequota, requested: pods=1"
WEBHOOK = 'admission webhook "validation.gatekeeper.sh" denied the request: image is not allowed'
TEMPLATE = {"spec": {"containers": [{"name": "app", "image": "i", "resources": {"limits": {}}}]}}


def make_quota(**hard: Any) -> QuotaStatus:
    values = HARD | hard
    return QuotaStatus(namespace_name="team-a", name="defaultresourcequota", hard=values, used={})


def make_range(**more: Any) -> LimitRange:
    return LimitRange(namespace_name="team-a", name="defaults", **more)


def test_the_quota_of_the_cluster_is_compared_as_numbers() -> None:
    assert proof.of_quota(ASKED, [make_quota()]).state == "works"
    found = proof.of_quota(ASKED, [make_quota(**{"limits.cpu": Decimal(3)})])
    assert (found.state, found.why) == ("failed", "It holds limits.cpu 3, not 2.")
    found = proof.of_quota(ASKED, [])
    assert found.state == "failed"
    assert "requests.cpu none, not 1" in found.why


@pytest.mark.parametrize(
    ("said", "state"),
    [("", "works"), (UNSAID, "will be refused"), (OVER, "not provable"), (WEBHOOK, "not provable")],
)
def test_a_pod_without_resources_is_told_of_as_it_comes_out(said: str, state: str) -> None:
    found = proof.of_bare_pod(said, [], is_guarded=False)
    assert (found.state, found.said) == (
        state,
        said.removeprefix('pods "mns-proof" is forbidden: '),
    )


def test_a_pod_that_is_refused_although_defaults_were_asked_for_contradicts_that() -> None:
    found = proof.of_bare_pod(UNSAID, [], is_guarded=False, has_defaults=True)
    assert (found.state, found.why.endswith("give any are none.")) == ("failed", True)
    assert proof.of_bare_pod("", [], is_guarded=False, has_defaults=True).state == "works"


def test_what_gives_a_pod_its_resources_is_named() -> None:
    giving = make_range(default_limits={"cpu": Decimal(1)})
    assert "LimitRange defaults" in proof.of_bare_pod("", [giving], is_guarded=True).why
    silent = make_range(most={"cpu": Decimal(1)})
    assert "Safeguards" in proof.of_bare_pod("", [silent], is_guarded=True).why
    assert proof.of_bare_pod("", [], is_guarded=False).why == "No quota asks for values."


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("", "failed"), (OVER, "works"), (UNSAID, "not provable"), (WEBHOOK, "not provable"),
        (None, "not provable"),
    ],
)  # fmt: skip
def test_a_pod_beyond_the_quota_must_be_refused_by_the_quota(said: str | None, state: str) -> None:
    assert proof.of_large_pod(said).state == state


@pytest.mark.parametrize(
    ("rule", "policies", "engine", "state"),
    [
        (NetworkRule.DENY_ALL, ["defaultnetworkpolicy"], "cilium", "works"),
        (NetworkRule.DENY_ALL, ["defaultnetworkpolicy"], None, "not enforced"),
        (NetworkRule.DENY_ALL, ["of-the-team"], "cilium", "failed"),
        (NetworkRule.ALLOW_ALL, [], None, "works"),
    ],
)
def test_a_network_policy_takes_the_object_and_an_engine(
    rule: NetworkRule, policies: list[str], engine: str | None, state: str
) -> None:
    asked = replace(ASKED, ingress_policy=rule, egress_policy=NetworkRule.ALLOW_ALL)
    assert proof.of_network(asked, policies, engine).state == state


def make_held(is_allowed: bool | None, proven: bool | None = None) -> Held:
    given = RoleAssignment(id="", scope="", principal_id="", principal_type="", role_guid="")
    by = (given,) if is_allowed else ()
    return Held(right=RIGHTS[1], is_allowed=is_allowed, by=by, proven=proven, said="because")


@pytest.mark.parametrize(
    ("held", "state"),
    [
        ([make_held(True)], "computed only"),
        ([make_held(True, True), make_held(False, False), make_held(True)], "works"),
        ([make_held(True, False)], "not yet effective"),
        ([make_held(False, True)], "works"),
        ([make_held(None, True)], "works"),
        ([], "computed only"),
    ],
)
def test_access_is_proven_only_by_whoever_was_asked(held: list[Held], state: str) -> None:
    found = proof.of_access("group g", held, asked_as="user ada")
    assert (found.state, found.about) == (state, "group g")


def test_what_is_late_and_what_there_is_besides_is_named() -> None:
    late = proof.of_access("group g", [make_held(True, False)], asked_as="user ada")
    assert late.why.startswith("Assigned; not in effect yet as user ada: deploy workloads.")
    assert late.said == "because"
    more = proof.of_access("group g", [make_held(False, True)], asked_as="user ada")
    assert more.why.endswith("by other roles or groups also deploy workloads.")


def test_trial_pods_differ_from_a_workload_in_their_resources_only() -> None:
    bare = proof.trial_pod("team-a", TEMPLATE)
    assert bare["metadata"] == {"name": "mns-proof", "namespace": "team-a"}
    assert bare["spec"]["containers"] == [{"name": "app", "image": "i"}]
    large = proof.trial_pod("team-a", TEMPLATE, beyond=Decimal(1))
    assert large["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1010m"


def test_what_is_not_proven_is_counted_as_such() -> None:
    proofs = (proof.of_large_pod(""), proof.of_large_pod(OVER), proof.of_large_pod(WEBHOOK))
    rights = {"group g": [make_held(True, True), make_held(True)]}
    assert proof.numbers([Proven(proofs=proofs, rights=rights)]) == {
        "proofs": 3, "proofs_failed": 1, "proofs_open": 1, "rights_proven": 1, "rights_computed": 1,
    }  # fmt: skip
    assert proof.numbers([]) == {}
    assert [one.state for one in proof.unread("no answer", "bare", "over")] == ["not provable"] * 2
