"""Committed, requested and allocatable of a cluster, each with a case worked by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mnslib.commitment import (
    Commitment,
    commitments,
    committed_by_namespace,
    lacking,
    left_out_for,
    shortage,
    shortage_later,
)
from mnslib.kube_models import Container, Node, Pod, QuotaStatus


def make_node(name: str, cores: str, **more: Any) -> Node:
    return Node(
        name=name,
        allocatable_cores=Decimal(cores),
        allocatable_bytes=Decimal(cores) * 2**30,
        **more,
    )


def make_quota(namespace: str, hard: dict[str, str], name: str = "q") -> QuotaStatus:
    amounts = {key: Decimal(value) for key, value in hard.items()}
    return QuotaStatus(namespace_name=namespace, name=name, hard=amounts, used={})


def make_pod(namespace: str, cores: str, phase: str = "Running") -> Pod:
    asks = Container(requests={"cpu": Decimal(cores)})
    return Pod(namespace_name=namespace, name="p", phase=phase, containers=(asks,))


def make_commitment(**values: str) -> Commitment:
    figures = {"allocatable": "12", "largest_node": "4", "committed": "6", "requested": "3"}
    figures |= values
    return Commitment(resource="cpu", **{k: Decimal(v) for k, v in figures.items()})


def test_a_worked_cluster() -> None:
    # three nodes of 4 cores; quotas of 6 and 9 cores; pods that ask for 3 and 2
    found = commitments(
        nodes=[make_node("a", "4"), make_node("b", "4"), make_node("c", "4")],
        quotas=[make_quota("web", {"cpu": "6"}), make_quota("data", {"requests.cpu": "9"})],
        pods=[make_pod("web", "3"), make_pod("free", "2"), make_pod("old", "8", "Succeeded")],
    )["cpu"]
    assert (found.allocatable, found.largest_node, found.without_largest_node) == (12, 4, 8)
    assert (found.committed, found.committed_ratio) == (15, Decimal("1.25"))
    assert (found.requested, found.requested_ratio) == (5, Decimal("0.625"))
    assert found.uncounted == 2  # `free` and `old` have no quota
    assert found.headroom == 3  # min(8 - 5, 1.5 x 12 - 15)
    assert found.verdict == "room"


def test_memory_is_counted_in_bytes() -> None:
    found = commitments(nodes=[make_node("a", "4")], quotas=[], pods=[])["memory"]
    assert found.allocatable == 4 * 2**30


def test_a_node_that_is_not_ready_offers_nothing() -> None:
    nodes = [make_node("a", "4"), make_node("b", "8", is_ready=False)]
    found = commitments(nodes=nodes, quotas=[], pods=[])["cpu"]
    assert (found.allocatable, found.largest_node) == (4, 4)


@pytest.mark.parametrize(
    ("name", "facts", "why"),
    [
        ("a", {}, ""),
        ("a", {"is_cordoned": True}, "cordoned"),
        ("a", {"taints": ("node.kubernetes.io/unschedulable",)}, "cordoned"),
        ("a", {"is_ready": False, "is_cordoned": True}, "not ready"),
        ("a", {"taints": ("node.kubernetes.io/disk-pressure",)}, "not ready"),
        ("a", {"taints": ("node.cloudprovider.kubernetes.io/uninitialized",)}, "not ready"),
        ("a", {"taints": ("node.kubernetes.io/memory-pressure",)}, ""),
        ("a", {"taints": ("remediator.kubernetes.azure.com/unschedulable",)}, "not ready"),
        ("a", {"taints": ("CriticalAddonsOnly",)}, "closed"),
        ("a", {"taints": ("node.ocs.openshift.io/storage",)}, "closed"),
        (
            "a",
            {"taints": ("kubernetes.azure.com/scalesetpriority",), "is_cordoned": True},
            "closed",
        ),
        ("aks-hostedpool-1", {}, "closed"),
        ("aks-system-surge-1", {"is_ready": False}, "closed"),
        ("a", {"is_virtual": True, "is_cordoned": True}, "virtual"),
        ("a", {"taints": ("virtual-kubelet.io/provider",)}, "virtual"),
        ("virtual-node-aci-linux", {}, "virtual"),
    ],
)
def test_why_teams_cannot_use_a_node(name: str, facts: dict[str, Any], why: str) -> None:
    assert left_out_for(make_node(name, "4", **facts)) == why


def test_what_is_committed_is_held_against_the_nodes_that_teams_can_use() -> None:
    """1,016 cores are listed, of which teams can use 4 now, and 12 once an upgrade is done."""
    nodes = [
        make_node("a", "4", pool="one"),
        make_node("b", "4", pool="one", is_cordoned=True),
        make_node("c", "4", pool="one", is_ready=False),
        make_node("system", "4", taints=("CriticalAddonsOnly",)),
        make_node("virtual-node-aci-linux", "1000", is_virtual=True),
    ]
    pods = [replace(make_pod("web", "1"), node_name=node.name) for node in nodes]
    found = commitments(nodes=nodes, quotas=[], pods=pods, most_nodes={"one": 5})["cpu"]

    assert (found.allocatable, found.largest_node, found.autoscaled) == (4, 4, 20)
    assert found.requested == 3  # what runs where teams never can takes nothing from them
    assert found.nodes_left_out == (
        "system: closed, virtual-node-aci-linux: virtual, b: cordoned, c: not ready"
    )
    back = found.with_nodes_back
    assert (back.allocatable, back.largest_node, back.requested) == (12, 4, 3)
    assert back.nodes_left_out == "system: closed, virtual-node-aci-linux: virtual"


def test_what_fits_once_nodes_are_back_is_short_for_now() -> None:
    nodes = [make_node("a", "4"), make_node("b", "4", is_cordoned=True)]
    before, after, beyond = (
        commitments(nodes=nodes, quotas=[make_quota("web", {"cpu": amount})], pods=[])["cpu"]
        for amount in ("4", "8", "9")
    )
    assert lacking(before, after) == {"web": 4}  # 8 of 4 cores; 1.5 x 4 are 6 for all
    assert (shortage(before, after), shortage_later(before, after)) == (4, 0)
    assert (shortage(before, beyond), shortage_later(before, beyond)) == (5, 1)


def test_several_quotas_of_a_namespace_must_all_hold() -> None:
    quotas = [
        make_quota("web", {"requests.cpu": "4"}, "team-quota"),
        make_quota("web", {"cpu": "3", "requests.memory": "1024"}, "defaultresourcequota"),
        make_quota("data", {"requests.cpu": "0"}),
        make_quota("none", {"count/pods": "10"}),
    ]
    assert committed_by_namespace(quotas, "cpu") == {"web": 3, "data": 0}
    assert committed_by_namespace(quotas, "memory") == {"web": 1024}


@pytest.mark.parametrize(
    ("figures", "verdict", "room"),
    [
        ({}, "room", 5),
        ({"requested": "8"}, "room", 0),
        ({"requested": "9"}, "overcommit", 0),
        ({"committed": "18"}, "room", 0),
        ({"committed": "18.1"}, "quota overcommit", 0),
        ({"committed": "16"}, "room", 2),
        ({"requested": "9", "committed": "20"}, "overcommit", 0),
        ({"allocatable": "0", "largest_node": "0"}, "unknown: no ready node", 0),
    ],
)
def test_verdict_and_room(figures: dict[str, str], verdict: str, room: int) -> None:
    found = make_commitment(**figures)
    assert (found.verdict, found.headroom) == (verdict, room)


def test_with_one_node_nobody_can_say_what_its_loss_leaves() -> None:
    assert make_commitment(largest_node="12").requested_ratio is None
    assert make_commitment(allocatable="0", largest_node="0").committed_ratio is None


def test_pools_with_an_autoscaler_may_grow_by_nodes_of_their_own_size():
    nodes = [make_node("a", "4", pool="system"), make_node("b", "8", pool="user")]
    most = {"user": 3, "spot": 9}
    found = commitments(nodes=nodes, quotas=[], pods=[], most_nodes=most)
    assert (found["cpu"].allocatable, found["cpu"].autoscaled) == (12, 28)
    assert found["memory"].autoscaled == 28 * 2**30
    assert commitments(nodes=nodes, quotas=[], pods=[])["cpu"].autoscaled is None
