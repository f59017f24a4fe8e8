"""Where pods run, and what the scheduler says where no node takes them."""

from __future__ import annotations

from typing import Any

import pytest

from mnslib.sandbox.kube.scheduling import Nodes
from mnslib.sandbox.state import State


def node(name: str, *taints: dict[str, str], **more: Any) -> dict[str, Any]:
    allocatable = {"cpu": "2", "memory": "4Gi", "pods": "2"} | more.pop("allocatable", {})
    spec = {"taints": list(taints)} | more.pop("spec", {})
    meta = {"name": name, "labels": more.pop("labels", {})}
    return {"metadata": meta, "spec": spec, "status": {"allocatable": allocatable} | more}


def pod(cpu: str = "100m", **spec: Any) -> dict[str, Any]:
    container = {"name": "a", "resources": {"requests": {"cpu": cpu}}}
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"containers": [container]} | spec,
    }


def choose(wanted: dict[str, Any], *nodes: dict[str, Any]) -> tuple[str, str]:
    state = State()
    for one in nodes:
        state.put_object("c", "nodes", one)
    return Nodes(state, "c").choose(wanted)


TAINT = {"key": "team", "value": "a", "effect": "NoSchedule"}
NOT_READY = {"conditions": [{"type": "Ready", "status": "False"}]}
HOPELESS = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("wanted", "there", "said"),
    [
        (pod("3"), node("a"), "1 Insufficient cpu"),
        (pod(), node("a", TAINT), "1 node(s) had untolerated taint {team: a}"),
        (pod(), node("a", spec={"unschedulable": True}), "1 node(s) were unschedulable"),
        (
            pod(),
            node("a", **NOT_READY),
            "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }",
        ),
        (
            pod(nodeSelector={"disk": "ssd"}),
            node("a"),
            "1 node(s) didn't match Pod's node affinity/selector",
        ),
        (pod(), node("a", allocatable={"pods": "0"}), "1 Too many pods"),
    ],
)
def test_why_no_node_takes_a_pod(wanted: dict[str, Any], there: dict[str, Any], said: str) -> None:
    assert choose(wanted, there) == ("", f"0/1 nodes are available: {said}. {HOPELESS}")


def test_the_node_with_most_room_takes_it() -> None:
    assert choose(pod(), node("a"), node("b", allocatable={"cpu": "8"}), node("c"))[0] == "b"


def test_a_toleration_opens_a_node() -> None:
    wanted = pod(tolerations=[{"key": "team", "operator": "Exists"}])
    assert choose(wanted, node("a", TAINT)) == ("a", "")
    soft = TAINT | {"effect": "PreferNoSchedule"}
    assert choose(pod(), node("a", soft)) == ("a", "")


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [
        ("In", ["ssd"], True),
        ("NotIn", ["ssd"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["1"], False),
    ],
)
def test_required_affinity(operator: str, values: list[str], fits: bool) -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": operator, "values": values}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    found = choose(pod(affinity={"nodeAffinity": required}), node("a", labels={"disk": "ssd"}))
    assert bool(found[0]) == fits
