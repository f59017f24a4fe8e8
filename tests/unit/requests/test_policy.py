"""A policy file: each rule that a request breaks is a mistake with its row and column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnslib.errors import SpecError
from mnslib.requests.policy import Policy, read_policy
from mnslib.requests.spec import read_tiers, specs_from_rows

PARAMETERS = Path(__file__).parents[3] / "parameters"
ID = {
    "subscription_id": "00000000-0000-4000-8000-00000000a001",
    "resource_group": "rg",
    "cluster_name": "aks-1",
    "namespace_name": "team-web",
}
GROUP = "00000000-0000-4000-9000-000000000001"
CLUSTER = "/subscriptions/00000000-0000-4000-8000-00000000A001/resourcegroups/RG/providers/"
CLUSTER += "Microsoft.ContainerService/managedClusters/aks-1"
GOOD = {
    "labels": {"owner": "crm"}, "tags": {"Cost-Center": "cc-3100"}, "cpu_limit": "32",
    "access": [f"group:{GROUP}=reader"],
}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Policy]:
    def write_text(text: str) -> Policy:
        path = tmp_path / "policy.yaml"
        path.write_text(text, "utf-8")
        return read_policy(path)

    return write_text


@pytest.fixture
def policy() -> Policy:
    return read_policy(PARAMETERS / "policy.sample.yaml")


def mistakes(policy: Policy, **cells: Any) -> list[tuple[str | None, str, str]]:
    tiers = read_tiers(PARAMETERS / "tiers.sample.yaml")
    row = {**ID, **GOOD, **cells}
    try:
        specs_from_rows([row], file="parameters", policy=policy, tiers=tiers)
    except SpecError as error:
        return [(p.column, p.message, p.suggestion) for p in error.problems]
    return []


def test_a_request_that_keeps_to_the_policy_is_taken(policy: Policy) -> None:
    assert mistakes(policy) == []
    assert mistakes(policy, labels={}, owner="crm") == []


@pytest.mark.parametrize(
    ("cells", "column", "message", "fix"),
    [
        ({"namespace_name": "web"}, "namespace_name", "pattern", "a name such as payments-api"),
        ({"labels": ""}, "labels", "requires 'owner'", "owner=<value>"),
        ({"labels": "owner="}, "labels", "requires 'owner'", "owner=<value>"),
        ({"labels": "owner-"}, "labels", "requires 'owner'", "owner=<value>"),
        (
            {"tags": "cost-center=cc-1"},
            "tags",
            "does not allow 'cc-1' for 'cost-center'",
            "cost-center=cc-3100 or cost-center=cc-3200",
        ),
        ({"cpu_request": "17", "cpu_limit": ""}, "cpu_request", "17000m is more", "16000m or less"),
        ({"delete_policy": "Delete"}, "delete_policy", "does not allow Delete", "Keep"),
        (
            {"access": [f"group:{GROUP}=admin"]},
            "access",
            "the role Azure Kubernetes Service RBAC Admin",
            "Azure Kubernetes Service Namespace User or ",
        ),
        ({"access": [f"user:{GROUP}=reader"]}, "access", "a role for a user", "group or sp"),
    ],
)
def test_each_rule_names_column_and_what_to_write(
    policy: Policy, cells: dict[str, Any], column: str, message: str, fix: str
) -> None:
    ((found_column, found_message, found_fix),) = mistakes(policy, **cells)
    assert found_column == column
    assert message in found_message
    assert found_fix.startswith(fix)


def test_what_an_empty_cell_means_for_a_new_namespace_counts(
    write: Callable[[str], Policy],
) -> None:
    strict = write("allowed_policies: {egress_policy: [DenyAll]}")
    ((column, message, fix),) = mistakes(strict)
    assert (column, fix) == ("egress_policy", "DenyAll")
    assert "an empty cell, which means AllowAll on a new namespace" in message
    assert mistakes(strict, tier="isolated", cpu_limit="") == []


def test_tiers_are_allowed_by_name_and_judged_by_what_they_ask(
    write: Callable[[str], Policy],
) -> None:
    only = write("allowed_tiers: [small]\nmaximum_quota: {memory_limit: 4Gi}\n")
    found = mistakes(only, tier="medium")
    assert [(column, fix) for column, _, fix in found] == [
        ("tier", "small"), ("memory_limit", "4Gi or less")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("allowed", "is_free"),
    [
        ("AKS-1", True),
        (CLUSTER, True),
        ("aks-2, aks-1", True),
        ("aks-2", False),
        (CLUSTER.replace("RG", "rg-2"), False),
        (CLUSTER.replace("aks-1", "aks-10"), False),
        ("", False),
    ],
)
def test_a_request_names_a_cluster_that_is_listed_also_to_delete(
    write: Callable[[str], Policy], allowed: str, is_free: bool
) -> None:
    listed = write(f"allowed_clusters: [{allowed}]")
    for cells in ({}, {"ensure": "absent"}):
        found = mistakes(listed, **cells)
        assert [column for column, _, _ in found] == ["cluster_name"] * (not is_free)
        assert [fix for _, _, fix in found] == [allowed.lower()] * (not is_free)


def test_roles_go_to_a_kind_or_to_single_principals_that_are_listed(
    write: Callable[[str], Policy],
) -> None:
    other = GROUP.replace("9000", "9009")
    only = write(f"allowed_principals: [sp, 'group:{GROUP.upper()}']")
    free = [f"group:{GROUP}=admin", f"sp:{other}=reader", f"user:{other[:-1]}2=reader-"]
    assert mistakes(only, access=free) == []
    found = mistakes(only, access=[*free, f"group:{other}=reader", f"user:{GROUP}=reader"])
    assert [column for column, _, _ in found] == ["access", "access"]
    assert f"a role for a group ({other})" in found[0][1]
    assert f"a role for a user ({GROUP})" in found[1][1]
    assert {fix for _, _, fix in found} == {f"sp or group:{GROUP}"}


def test_what_shall_go_may_go(policy: Policy) -> None:
    assert mistakes(policy, namespace_name="OLD".lower(), labels="", tags="", ensure="absent") == []


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            "naming: {pattern: '[', example: a}",
            "row 1, column naming.pattern",
            "valid regular expression",
        ),
        ("naming: {pattern: '[a-z]+', example: A1}", "column naming.example", "does not follow"),
        ("naming: {pattern: a, example_: a}", "column naming.example_", "Write example"),
        ("\nrequired_label: {}", "row 2, column required_label", "Write required_labels"),
        ("required_tags: {a: b}", "column required_tags.a", "valid list"),
        ("maximum_quota: {cpu_limit: 4x}", "column maximum_quota", "is not an amount of CPU"),
        (
            "maximum_quota: {memory_limit: 1.000Gi}",
            "column maximum_quota",
            "may mean 1Gi or 1000Gi",
        ),
        ("maximum_quota: {gpu: 4}", "column maximum_quota", "there is no rule 'gpu'"),
        ("allowed_roles: [Owner]", "column allowed_roles.0", "is Azure's own role"),
        ("allowed_principals: [robot]", "column allowed_principals.0", "'group', 'user' or 'sp'"),
        ("allowed_principals: ['group:team']", "allowed_principals.0", "group:<object id> for one"),
        ("allowed_clusters: [aks 1]", "column allowed_clusters.0", "is not the name of a cluster"),
        ("allowed_clusters: [a, /b/c]", "column allowed_clusters.1", "is not the ARM id of a"),
        (
            f"allowed_clusters: [{CLUSTER}/managedNamespaces/a]",
            "clusters.0",
            "is not the id of a cluster",
        ),
        (
            "allowed_policies: {egress_policy: [Some]}",
            "column allowed_policies",
            "Input should be 'AllowAll'",
        ),
        ("- a", "row 1", "the file is no mapping"),
        ("allowed_tiers: [a]\nallowed_tiers: [b]", "row 2", "is written twice"),
    ],
)
def test_a_mistake_in_the_policy_file_is_told_with_its_path(
    write: Callable[[str], Policy], text: str, place: str, words: str
) -> None:
    with pytest.raises(SpecError) as caught:
        write(text)
    told = "\n".join(map(str, caught.value.problems))
    assert "policy.yaml" in told
    assert place in told
    assert words in told


def test_an_empty_policy_asks_for_nothing(write: Callable[[str], Policy]) -> None:
    assert write("") == Policy()
    assert mistakes(write(""), namespace_name="x", labels="") == []
