"""Rights are worked out of assignments as Azure and AKS' authorizer do, and say what gives them."""

from __future__ import annotations

from typing import Any

import pytest

from mnslib.models import Permission, RoleAssignment
from mnslib.provisioning.rights import RIGHTS, Held, rights_of

from .factories import CLUSTER

NAMESPACE = CLUSTER.namespace("team-a")
OWN, OLD_FORM = NAMESPACE.own_scopes
SUBSCRIPTION = f"/subscriptions/{CLUSTER.subscription_id}"
DATA = "Microsoft.ContainerService/managedClusters/"
ME = "00000000-0000-4000-9000-00000000000a"
INSIDE = ("deploy workloads", "read secrets")


ROLES = {
    "writer": [Permission(data_actions=(f"{DATA}apps/*", f"{DATA}pods/*", f"{DATA}secrets/*"))],
    "all": [Permission(data_actions=(f"{DATA}*",), not_data_actions=(f"{DATA}SECRETS/*",))],
    "arm": [Permission(actions=("Microsoft.ContainerService/*/listCredential/action",))],
    "owner": [Permission(actions=("*",))],
}


def make_assignment(role: str, scope: str = OWN, **more: Any) -> RoleAssignment:
    values = {"id": "/a", "scope": scope, "principal_id": ME, "principal_type": "Group", **more}
    return RoleAssignment(role_guid=role, **values)


def held(*assignments: RoleAssignment, has_azure_rbac: bool = True) -> dict[str, Held]:
    found = rights_of(ME, assignments, ROLES, of=NAMESPACE, has_azure_rbac=has_azure_rbac)
    assert [one.right for one in found] == list(RIGHTS)
    return {one.right.name: one for one in found}


def allowed(*assignments: RoleAssignment, **more: Any) -> set[str]:
    return {name for name, one in held(*assignments, **more).items() if one.is_allowed}


@pytest.mark.parametrize(
    "scope",
    [OWN, OLD_FORM, str(CLUSTER), f"{SUBSCRIPTION}/resourceGroups/RG", f"{SUBSCRIPTION}/",
     "/providers/Microsoft.Management/managementGroups/top"],
)  # fmt: skip
def test_a_role_counts_at_both_forms_of_the_scope_and_where_it_is_inherited(scope: str) -> None:
    found = allowed(make_assignment("writer", scope))
    assert found == {*INSIDE, "see pods and read their logs", "run commands in pods"}


@pytest.mark.parametrize(
    "scope",
    [f"{CLUSTER}/managedNamespaces/team-ab", f"{CLUSTER}x", f"{SUBSCRIPTION}/resourceGroups/rg-b"],
)
def test_a_role_somewhere_else_gives_nothing(scope: str) -> None:
    assert allowed(make_assignment("all", scope)) == set()


def test_a_role_of_somebody_else_gives_nothing() -> None:
    assert allowed(make_assignment("all", principal_id="somebody")) == set()


def test_what_a_role_leaves_out_another_gives() -> None:
    assert "read secrets" not in allowed(make_assignment("all"))
    assert "read secrets" in allowed(make_assignment("all"), make_assignment("writer"))


def test_the_cluster_as_a_whole_takes_a_role_above_the_namespace() -> None:
    assert "list all namespaces" not in allowed(make_assignment("all"))
    assert "list all namespaces" in allowed(make_assignment("all", str(CLUSTER)))


def test_actions_of_azure_are_not_given_by_the_older_form_of_the_scope() -> None:
    assert allowed(make_assignment("arm")) == {"fetch the kubeconfig"}
    assert allowed(make_assignment("arm", OLD_FORM)) == set()


def test_actions_of_azure_give_nothing_inside() -> None:
    assert allowed(make_assignment("owner")) == {
        "fetch the kubeconfig", "change the managed namespace", "assign roles",
    }  # fmt: skip


def test_without_azure_rbac_roles_decide_nothing_inside() -> None:
    found = held(make_assignment("all"), make_assignment("arm"), has_azure_rbac=False)
    assert found["deploy workloads"].is_allowed is None
    assert found["fetch the kubeconfig"].is_allowed is True


def test_a_condition_is_named_where_nothing_gives_the_right_without_one() -> None:
    bound = make_assignment("writer", condition="@Resource[x] StringEquals 'y'")
    assert held(bound)["deploy workloads"].by == (bound,)
    free = make_assignment("writer", str(CLUSTER))
    assert held(bound, free)["deploy workloads"].by == (free,)


def test_a_role_that_nobody_defined_gives_nothing() -> None:
    assert allowed(make_assignment("unheard-of")) == set()
