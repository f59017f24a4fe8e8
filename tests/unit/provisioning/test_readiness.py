from __future__ import annotations

from dataclasses import replace

import pytest

from mnslib.errors import ArmForbiddenError, ArmNotFoundError
from mnslib.models import Permission
from mnslib.provisioning.changes import words
from mnslib.provisioning.observe import Facts
from mnslib.provisioning.readiness import permissions, readiness, steps_of
from mnslib.results import CheckStatus

from .factories import CLUSTER, make_cluster, make_grant, make_observed, make_spec, make_view

OWNER = (Permission(actions=("*",)), Permission(data_actions=("*",)))
NAMESPACE_CONTRIBUTOR = (
    Permission(
        actions=(
            "Microsoft.Authorization/*/read",
            "Microsoft.ContainerService/managedClusters/managedNamespaces/*",
        )
    ),
)
SUBSCRIPTION = f"/subscriptions/{CLUSTER.subscription_id}"
SCOPES = {
    "subscription": SUBSCRIPTION,
    "group": f"{SUBSCRIPTION}/resourceGroups/rg",
    "cluster": str(CLUSTER),
    "namespace": f"{CLUSTER}/managedNamespaces/team-a",
}


def make_facts(*, reached=True, rights=OWNER, cluster=None, **facts):
    about = {name: facts.pop(name) for name in [*facts] if name not in Facts.__slots__}
    observed = make_observed(
        cluster=make_cluster(**about),
        view=make_view() if reached else None,
        unknown="" if reached else "no way there",
    )
    defaults = {
        "id": CLUSTER,
        "cluster": cluster or observed.clusters[CLUSTER],
        "missing": "",
        "group": "westeurope",
        "provider": "Registered",
        "safeguards": "",
        "assignments": 12,
        "rights": {kind: (scope, rights) for kind, scope in SCOPES.items()},
    }
    return Facts(**(defaults | facts))


NOT_THERE = {
    "cluster": ArmNotFoundError("There is none."),
    "missing": "cluster aks-1 was not found in resource group rg; the subscription has: rg/aks-2",
}
WHERE = "-g rg -n aks-1"


@pytest.mark.parametrize(
    ("line", "facts", "status", "found", "remedy", "allow"),
    [
        (
            "resource provider",
            {"provider": "NotRegistered"},
            "failed",
            "Microsoft.ContainerService is NotRegistered.",
            "az provider register --namespace Microsoft.ContainerService",
            "register-provider",
        ),
        (
            "there",
            NOT_THERE,
            "failed",
            "the subscription has: rg/aks-2",
            f"az aks create {WHERE}",
            "create-cluster",
        ),
        ("runs", {"power_state": "Stopped"}, "failed", "Stopped", f"az aks start {WHERE}", ""),
        (
            "Kubernetes can be read",
            {"reached": False},
            "unknown",
            "was not read",
            "no way there",
            "",
        ),
        (
            "API server can be reached",
            {"reached": False, "is_private": True},
            "warning",
            "Private, and Kubernetes was not read.",
            f"az aks command invoke {WHERE}",
            "",
        ),
        (
            "Entra ID integration",
            {"has_entra_id": False},
            "warning",
            "Entra ID is off.",
            f"az aks update {WHERE} --enable-aad",
            "enable-azure-rbac",
        ),
        (
            "Azure roles reach inside",
            {"has_azure_rbac": False},
            "warning",
            "Azure RBAC is off",
            f"az aks update {WHERE} --enable-azure-rbac",
            "enable-azure-rbac",
        ),
        (
            "network policies act",
            {"network_policy_engine": None},
            "warning",
            "no network policy engine",
            f"az aks update {WHERE} --network-dataplane cilium",
            "",
        ),
        (
            "managed Prometheus",
            {"has_metrics": False},
            "warning",
            "Managed Prometheus is off.",
            f"az aks update {WHERE} --enable-azure-monitor-metrics",
            "",
        ),
        (
            "Deployment Safeguards",
            {"safeguards": "Enforce"},
            "warning",
            "level Enforce.",
            f"az aks safeguards update {WHERE}",
            "",
        ),
        (
            "room for role assignments",
            {"assignments": 3901},
            "warning",
            "3901 of 4,000 are taken",
            "az role assignment list --all",
            "",
        ),
    ],
)
def test_a_line_that_fails_says_what_was_found_why_it_matters_and_what_mends_it(
    line, facts, status, found, remedy, allow
):
    (well,) = [one for one in readiness(make_facts()) if one.name == f"aks-1: {line}"]
    assert (well.status, well.remedy, well.allow) == (CheckStatus.PASSED, "", "")
    (told,) = [one for one in readiness(make_facts(**facts)) if one.name == f"aks-1: {line}"]
    assert told.status == status
    assert found in told.detail
    assert remedy in told.remedy
    assert told.allow == allow
    assert told.why


def test_every_check_of_the_words_that_readiness_knows_has_a_reason_why():
    told = {one.name.partition(": ")[2] for one in readiness(make_facts())}
    assert len(told) == 11
    assert all(words("checks")[check]["why"] for check in ("may", "permitted"))


def test_room_ends_a_hundred_assignments_before_the_limit():
    def status(count):
        return readiness(make_facts(assignments=count))[-1].status

    assert status(3900) is CheckStatus.PASSED
    assert status(3901) is CheckStatus.WARNING


@pytest.mark.parametrize("fact", ["provider", "safeguards", "assignments", "cluster"])
def test_what_could_not_be_read_is_unknown_and_says_why(fact):
    refused = ArmForbiddenError("Refused.", status=403, remedy="Get the role Reader.")
    found = [
        one for one in readiness(make_facts(**{fact: refused})) if one.status is CheckStatus.UNKNOWN
    ]
    assert [one.detail for one in found] == ["unknown: no permission"]
    assert found[0].remedy == "Get the role Reader."


def test_namespace_contributor_is_told_each_step_that_will_be_refused_where_and_the_role():
    spec = make_spec(access=(make_grant("Azure Kubernetes Service RBAC Writer"),))
    steps = steps_of([spec])
    assert steps == ["read", "look-inside", "write", "grant", "hand-over"]
    lines = permissions(make_facts(rights=NAMESPACE_CONTRIBUTOR), steps)
    refused = {one.name: (one.detail, one.remedy) for one in lines if one.remedy}
    scope = SCOPES["namespace"]
    assert refused["aks-1: may give roles on the namespace"] == (
        "Will be refused on namespace team-a: Microsoft.Authorization/roleAssignments/write.",
        "az role assignment create --assignee OBJECT_ID"
        f' --role "Role Based Access Control Administrator" --scope {scope}',
    )
    assert (
        "managedClusters/read."
        in refused["aks-1: may read the cluster and its managed namespaces"][0]
    )
    assert (
        '--role "Azure Kubernetes Service RBAC Cluster Admin"'
        in refused["aks-1: may read what runs on the cluster"][1]
    )
    assert len(refused) == 3
    assert lines[-1].detail == "You may write the managed namespace; hand over a kubeconfig."
    assert lines[-1].status is CheckStatus.PASSED


def test_whoever_may_do_all_gets_one_line():
    (line,) = permissions(make_facts(), words("steps"))
    assert line.status is CheckStatus.PASSED


def test_roles_inside_count_only_where_azure_decides_there():
    reads = (Permission(actions=("Microsoft.ContainerService/*",)),)
    (line,) = permissions(make_facts(rights=reads), ["look-inside"])
    assert line.status is CheckStatus.WARNING
    assert "nodes/read" in line.detail
    (line,) = permissions(make_facts(rights=reads, has_azure_rbac=False), ["look-inside"])
    assert line.status is CheckStatus.PASSED


def test_rights_that_cannot_be_read_are_unknown():
    facts = make_facts()
    refused = (SCOPES["cluster"], ArmForbiddenError("Refused.", status=403))
    facts = replace(facts, rights={**facts.rights, "cluster": refused})
    (line,) = permissions(facts, ["read"])
    assert (line.status, line.detail) == (CheckStatus.UNKNOWN, "unknown: no permission")


def test_a_deletion_needs_other_steps_than_a_creation():
    from mnslib.models import Ensure

    assert steps_of([make_spec(ensure=Ensure.ABSENT)]) == ["read", "look-inside", "delete"]


@pytest.mark.parametrize(
    ("permission", "may"),
    [
        (Permission(actions=("*",), not_actions=("Microsoft.Authorization/*/Write",)), False),
        (Permission(actions=("microsoft.authorization/ROLEASSIGNMENTS/*",)), True),
        (Permission(data_actions=("*",)), False),
    ],
)
def test_a_permission_allows_by_patterns_without_regard_to_case(permission, may):
    assert permission.allows("Microsoft.Authorization/roleAssignments/write") is may
