"""ARM ids are built, read and compared in one way, whatever case Azure answers in."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnslib.resource_ids import (
    ClusterId,
    ManagedNamespaceId,
    role_assignment_name,
    role_definition_id,
    short_names,
)

CLUSTER = ClusterId("00000000-0000-4000-8000-00000000a001", "rg-platform", "aks-1")
NAMES = st.text(alphabet="abcdefXYZ0123456789-_", min_size=1, max_size=30)


@given(NAMES, NAMES, NAMES)
def test_an_id_comes_back_from_its_own_text(group: str, cluster: str, namespace: str) -> None:
    given_id = ClusterId("sub", group, cluster).namespace(namespace)
    read = ManagedNamespaceId.parse(str(given_id))
    assert str(read) == str(given_id)
    assert read == given_id


def test_ids_are_the_same_in_any_case() -> None:
    lower = str(CLUSTER).replace("resourceGroups", "resourcegroups").lower()
    assert ClusterId.parse(lower) == CLUSTER
    assert len({ClusterId.parse(lower), CLUSTER}) == 1
    assert CLUSTER.namespace("Web") == CLUSTER.namespace("web")
    assert len({CLUSTER.namespace("Web"), CLUSTER.namespace("web")}) == 1


def test_a_cluster_and_its_namespace_are_not_the_same() -> None:
    cluster, namespace = CLUSTER, CLUSTER.namespace("web")
    assert cluster != namespace
    assert namespace != cluster


def test_a_cluster_is_read_out_of_the_id_of_its_namespace() -> None:
    assert ClusterId.parse(str(CLUSTER.namespace("web"))) == CLUSTER
    assert ClusterId.parse(f" {CLUSTER}/ ") == CLUSTER


@pytest.mark.parametrize("text", ["", "/subscriptions/s", "aks-1", "/x" + str(CLUSTER)])
def test_other_text_is_no_cluster(text: str) -> None:
    with pytest.raises(ValueError, match="is not the ARM id of a managed cluster"):
        ClusterId.parse(text)


def test_a_cluster_is_no_managed_namespace() -> None:
    with pytest.raises(ValueError, match="is not the ARM id of a managed namespace"):
        ManagedNamespaceId.parse(str(CLUSTER))


def test_a_role_assignment_has_one_name_for_ever() -> None:
    triple = {"scope": str(CLUSTER.namespace("web")), "principal_id": "P", "role_guid": "R"}
    name = role_assignment_name(**triple)
    assert uuid.UUID(name).version == 5
    assert name == role_assignment_name(**{key: value.lower() for key, value in triple.items()})
    assert name != role_assignment_name(**{**triple, "principal_id": "other"})


def test_a_role_definition_is_named_within_the_subscription() -> None:
    assert role_definition_id("sub", "guid") == (
        "/subscriptions/sub/providers/Microsoft.Authorization/roleDefinitions/guid"
    )


def test_clusters_that_share_a_name_are_called_by_more_of_their_id() -> None:
    a, b, c = (ClusterId("s", *names) for names in [("x", "aks"), ("y", "AKS"), ("x", "b")])
    assert short_names([a, b, c]) == {a: "x/aks", b: "y/AKS", c: "b"}
    other = ClusterId("t", "x", "aks")
    assert short_names([a, other]) == {a: str(a), other: str(other)}


def test_a_namespace_has_two_scopes_and_inherits_from_all_above() -> None:
    name = CLUSTER.namespace("Web")
    new, old = name.own_scopes
    assert new == str(name).lower()
    assert old == f"{CLUSTER.key}/namespaces/web"
    above = [str(CLUSTER), f"/subscriptions/{CLUSTER.subscription_id.upper()}/", "/"]
    above += ["/providers/Microsoft.Management/managementGroups/g"]
    assert all(name.is_below(scope) for scope in above)
    beside = [new, old, f"{CLUSTER}2", str(CLUSTER.namespace("we"))]
    assert not any(name.is_below(scope) for scope in beside)
