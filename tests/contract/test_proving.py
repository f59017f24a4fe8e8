"""What is proven of namespaces of the sandbox, and that nothing of it is left behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnslib.models import AccessGrant, PrincipalType
from mnslib.run.proving import prove
from mnslib.run.targets import Target

GROUP, SP = PrincipalType.GROUP, PrincipalType.SERVICE_PRINCIPAL
WRITER = "Azure Kubernetes Service RBAC Writer"
PAYMENTS = "00000000-0000-4000-9000-000000000001"
SEARCH = "00000000-0000-4000-9000-000000000002"
PLATFORM = "00000000-0000-4000-9000-000000000008"
MEMBER = "00000000-0000-4000-b100-000000000003"
ADMIN = "00000000-0000-4000-b100-000000000001"


@pytest.fixture
def target(azure_client, sandbox):
    found = Target(azure=azure_client, sandbox=sandbox.connection)
    yield found
    for kube in found._kube.values():
        kube.close()


@pytest.fixture
def proven(target, sandbox):
    """Return what is proven of a namespace, by the key of each proof, and its rights."""

    def of(cluster_name, name, *grants, **changes):
        cluster = target.azure.managed_clusters.get(sandbox.cluster(cluster_name))
        asked = target.azure.managed_namespaces.get(cluster.id.namespace(name))
        for kind, principal, role in grants:
            grant = AccessGrant.of(kind, principal, role)
            where = cluster.id.subscription_id
            target.azure.role_assignments.create(str(asked.id), grant, subscription_id=where)
        found = prove(replace(asked, **changes), cluster, target)
        return {one.about or one.key: one for one in found.proofs}, found.rights

    return of


def states(proofs):
    return {key: one.state for key, one in proofs.items()}


def test_defaults_let_a_pod_in_and_the_quota_refuses_the_large_one(proven, sandbox):
    proofs, _ = proven("aks-prod-weu-1", "payments-ledger")
    assert states(proofs) == {
        "quota": "works", "bare": "works", "over": "works", "network": "works",
        "group grp-payments": "works",
    }  # fmt: skip
    assert proofs["bare"].why.startswith("LimitRange ")
    assert proofs["over"].said.startswith("exceeded quota: defaultresourcequota, requested: ")
    posts = sandbox.requests("POST", containing="/namespaces/payments-ledger/pods")
    assert [one["query"] for one in posts] == ["dryRun=All", "dryRun=All"]


def test_without_an_engine_the_policy_is_told_to_act_on_nothing(proven):
    proofs, _ = proven("aks-test-weu-1", "web-session")
    assert proofs["network"].state == "not enforced"


def test_what_the_cluster_holds_otherwise_than_asked_has_failed(proven, target, sandbox):
    asked = target.azure.managed_namespaces.get(
        sandbox.cluster("aks-prod-weu-1").namespace("payments-ledger")
    )
    other = {**asked.quota, "cpu_limit": asked.quota["cpu_limit"] + 1}
    proofs, _ = proven("aks-prod-weu-1", "payments-ledger", quota=other)
    assert (proofs["quota"].state, proofs["quota"].why) == (
        "failed", "It holds limits.cpu 16, not 17.",
    )  # fmt: skip


def test_what_nobody_asked_for_is_not_disproved(proven):
    proofs, _ = proven("aks-prod-weu-1", "payments-ledger", quota={})
    assert (proofs["quota"].state, proofs["over"].state) == ("works", "not provable")


def test_a_group_is_proven_by_somebody_in_a_group_of_it(proven):
    proofs, rights = proven("aks-prod-weu-2", "ml-serving", (GROUP, PLATFORM, WRITER))
    assert proofs["group grp-platform"].state == "works"
    assert proofs["group grp-platform"].why.startswith("Asked as app-namespace-user, 12 times")
    held = {one.right.name: one for one in rights["group grp-platform"]}
    assert [held[name].proven for name in ("deploy workloads", "change quotas on the cluster")] == [
        True, False,
    ]  # fmt: skip
    assert "User does not have access" in held["list all namespaces"].said
    assert held["fetch the kubeconfig"].proven is False, "Writer alone does not give it"


def test_a_user_of_the_group_proves_it_as_well(proven):
    proofs, _ = proven("aks-prod-weu-2", "ml-serving", (GROUP, PAYMENTS, WRITER))
    assert proofs["group grp-payments"].state == "works"
    assert proofs["group grp-payments"].why.startswith("Asked as Ada Fischer, ")


def test_whoever_cannot_be_asked_is_told_why(proven):
    grants = [(GROUP, SEARCH, WRITER), (SP, ADMIN, WRITER)]
    proofs, _ = proven("aks-prod-weu-2", "ml-serving", *grants)
    empty, other = proofs["group grp-search"], proofs["service principal app-admin"]
    assert (empty.state, other.state) == ("computed only", "computed only")
    assert "nobody is in it" in empty.why
    assert "proof_credential" in other.why


def test_a_role_that_is_assigned_and_not_in_effect_waits(proven, sandbox):
    sandbox.control("POST", "switches", {"data_assignment_delay_seconds": 300})
    found, _ = proven("aks-prod-weu-2", "ml-serving", (SP, MEMBER, WRITER))
    late = found["service principal app-namespace-user"]
    assert late.state == "not yet effective"
    assert "deploy workloads" in late.why
    assert late.said.startswith("User does not have access")


def test_without_azure_rbac_the_cluster_alone_says_who_may_do_what(proven):
    proofs, rights = proven("aks-prod-neu-1", "logistics-tracking", (SP, MEMBER, WRITER))
    held = {one.right.name: one for one in rights["service principal app-namespace-user"]}
    assert (held["deploy workloads"].is_allowed, held["deploy workloads"].proven) == (None, False)
    assert proofs["service principal app-namespace-user"].state == "works"


def test_nothing_is_proven_on_a_cluster_that_is_stopped(proven, sandbox, target):
    cluster = sandbox.cluster("aks-prod-weu-1")
    stop = target.azure.containers(cluster.subscription_id).managed_clusters
    stop.begin_stop(cluster.resource_group, cluster.cluster_name, polling=False)
    sandbox.sleep(600)
    proofs, _ = proven("aks-prod-weu-1", "payments-ledger")
    asked = ("quota", "bare", "over", "network")
    assert [proofs[key].state for key in asked] == ["not provable"] * 4
    assert "no answer" in proofs["bare"].why


def test_principals_of_one_name_are_told_apart_and_roles_elsewhere_are_not_looked_up(
    proven, sandbox
):
    twins = [f"00000000-0000-4000-9000-{number:012}" for number in (9, 10)]
    _, rights = proven("aks-prod-weu-2", "ml-serving", *((GROUP, one, WRITER) for one in twins))
    assert [who for who in rights if "grp-reporting" in who] == [
        "group grp-reporting", f"group grp-reporting ({twins[1]})",
    ]  # fmt: skip
    assert len([one for one in sandbox.requests("GET", containing="/roleDefinitions/")]) == 2
