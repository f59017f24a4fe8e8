"""What lets somebody in, or takes over what others have said: which change carries which risk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnslib.kube_models import KubernetesNamespace
from mnslib.models import MANAGED_LABEL, AdoptionPolicy, DeletePolicy, Ensure, NetworkRule
from mnslib.provisioning.plan import make_plan

from .factories import make_grant, make_namespace, make_observed, make_spec, make_view

POD_SECURITY = "pod-security.kubernetes.io"
HELD = {
    "labels": {"owner": "crm", "stage": "prod", f"{POD_SECURITY}/enforce": "restricted"},
    "annotations": {"contact": "crm@contoso.example"},
    "tags": {"Cost-Center": "cc-1"},
    "ingress_policy": NetworkRule.DENY_ALL,
}


def planned(spec, *held, **world):
    """Return the names of the risks, and what is said of each."""
    (change,) = make_plan([spec], make_observed(*held, **world)).changes
    return {risk.name.value: risk.detail for risk in change.risks}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        # what nobody is let in by
        ({"labels": {"owner": "crm", "stage": "prod"}}, {}),
        ({"labels": {"new": "1"}, "annotations": {"new": "1"}, "tags": {"new": "1"}}, {}),
        ({"labels": {f"{POD_SECURITY}/warn": "baseline"}}, {}),
        ({"labels": {f"{POD_SECURITY}/enforce-version": "latest"}}, {}),
        ({"annotations": {f"{POD_SECURITY}/enforce": "privileged"}}, {}),  # nothing reads it there
        ({"delete_policy": DeletePolicy.KEEP, "tags": {"cost-center": "cc-1"}}, {}),
        ({"ensure": Ensure.ABSENT}, {"deletion": "stays, unmanaged"}),
        # access
        (
            {"access": (make_grant("Azure Kubernetes Service RBAC Admin"),)},
            {"access-granted": "RBAC Admin to Group 0000"},
        ),
        # network
        (
            {"ingress_policy": NetworkRule.ALLOW_ALL},
            {"policy-loosened": "ingress DenyAll to AllowAll"},
        ),
        (
            {"ingress_policy": NetworkRule.ALLOW_SAME_NAMESPACE},
            {"policy-loosened": "ingress DenyAll to AllowSameNamespace"},
        ),
        ({"egress_policy": NetworkRule.DENY_ALL}, {}),  # stricter, and nothing runs
        # owner
        ({"labels": {"owner": "mallory"}}, {"owner-changed": "belongs to crm and would belong to"}),
        (
            {"labels": {"owner": None}},
            {"owner-changed": "would belong to nobody", "keys-removed": "labels[owner]"},
        ),
        # what others wrote
        ({"labels": {"stage": "test"}}, {"labels-changed": "labels[stage]"}),
        ({"annotations": {"contact": ""}}, {"labels-changed": "annotations[contact]"}),
        ({"tags": {"cost-center": "cc-2"}}, {"labels-changed": "tags[Cost-Center]"}),
        ({"labels": {"stage": None}}, {"keys-removed": "labels[stage]"}),
        # what the API server admits
        (
            {"labels": {f"{POD_SECURITY}/enforce": "privileged"}},
            {"labels-changed": f"labels[{POD_SECURITY}/enforce] from restricted to privileged"},
        ),
        ({"labels": {f"{POD_SECURITY}/enforce": "baseline"}}, {"labels-changed": "to baseline"}),
        (
            {"labels": {f"{POD_SECURITY}/enforce": None}},
            {"labels-changed": "from restricted to none", "keys-removed": "enforce"},
        ),
        ({"labels": {f"{POD_SECURITY}/audit": "privileged"}}, {"labels-changed": "from none"}),
        ({"labels": {f"{POD_SECURITY}/enforce-version": "v1.22"}}, {"labels-changed": "v1.22"}),
        ({"labels": {"admission.gatekeeper.sh/ignore": "x"}}, {"labels-changed": "ignore] from"}),
        ({"labels": {"control-plane": "true"}}, {"labels-changed": "from none to true"}),
    ],
)
def test_what_a_change_of_what_exists_carries(asked, told):
    found = planned(make_spec(**{"quota": {}, **asked}), make_namespace(**HELD))
    assert found.keys() == told.keys()
    assert [name for name, words in told.items() if words not in found[name]] == []


def test_a_creation_lets_nobody_into_what_exists_but_says_where_pods_may_do_all():
    everything = {
        "labels": {"owner": "crm", "stage": "test", f"{POD_SECURITY}/enforce": "baseline"},
        "access": (make_grant(),),
        "ingress_policy": NetworkRule.ALLOW_ALL,
    }
    assert planned(make_spec(**everything)) == {}
    privileged = {f"{POD_SECURITY}/enforce": "privileged"}
    assert planned(make_spec(labels=privileged)).keys() == {"labels-changed"}


def test_what_is_taken_over_exists_and_what_may_be_there_counts_so():
    there = KubernetesNamespace(name="team-a", labels={"owner": "crm", "stage": "prod"})
    view = make_view(namespaces=(there,))
    asked = {"adoption_policy": AdoptionPolicy.ALWAYS, "access": (make_grant(),)}
    spec = make_spec(**asked, labels={"owner": "web", "stage": "test"})
    found = planned(spec, view=view)
    assert found.keys() == {"adoption", "access-granted", "owner-changed", "labels-changed"}
    unread = planned(make_spec(**asked), unknown="not reachable")
    assert {"adoption", "access-granted"} <= unread.keys()
    assert "access-granted" not in planned(make_spec(access=(make_grant(),)), unknown="no way in")


def test_what_a_failed_creation_has_not_taken_over_is_taken_over_by_the_next_write():
    there = KubernetesNamespace(name="team-a", labels={"owner": "crm"})
    failed = make_namespace(provisioning_state="Failed")
    view = make_view(namespaces=(there,))
    takes = make_spec(adoption_policy=AdoptionPolicy.ALWAYS)
    assert planned(takes, failed, view=view).keys() == {"adoption"}
    assert planned(make_spec(), failed, view=view) == {}  # under Never it is refused once more
    ours = replace(there, labels={MANAGED_LABEL: "true"})
    assert planned(takes, failed, view=make_view(namespaces=(ours,))) == {}


def test_what_others_wrote_on_the_cluster_past_arm_is_theirs_as_well():
    labels = {"owner": "crm", "stage": "prod", f"{POD_SECURITY}/enforce": "restricted"}
    there = KubernetesNamespace(name="team-a", labels=labels, annotations={"contact": "crm"})
    view = make_view(namespaces=(there,))
    asked = {"labels": labels, "annotations": {"contact": "crm"}}
    assert planned(make_spec(**asked), make_namespace(), view=view) == {}
    asked = {
        "labels": {"owner": "web", "stage": "test", f"{POD_SECURITY}/enforce": "baseline"},
        "annotations": {"contact": "web"},
    }
    found = planned(make_spec(**asked), make_namespace(), view=view)
    assert found["owner-changed"] == "It belongs to crm and would belong to web."
    changed = f"annotations[contact], labels[{POD_SECURITY}/enforce] from restricted to baseline"
    told = f"Others may have set, or rely on: {changed}, labels[stage] from prod to test."
    assert found == {"owner-changed": found["owner-changed"], "labels-changed": told}


def test_a_rule_that_is_not_known_may_have_been_the_strictest():
    held = make_namespace(ingress_policy=None, egress_policy=None)
    assert planned(make_spec(labels={"a": "b"}), held) == {}
    found = planned(make_spec(egress_policy=NetworkRule.ALLOW_ALL), held)
    assert found.keys() == {"policy-loosened"}
