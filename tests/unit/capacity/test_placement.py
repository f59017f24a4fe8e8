"""Claims of docs/capacity.md on where a new namespace should go; the examples are the numbers."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from mnslib.capacity.clusters import PLACEMENT_COLUMNS, placement_table
from mnslib.commitment import Commitment
from mnslib.errors import ConfigError

GIB = 2**30


def cluster(memory=1000, **figures) -> dict[str, Commitment]:
    """24 cores in nodes, the largest 8; 20 promised, 4 requested; memory is never short."""
    figures = {"allocatable": 24, "largest_node": 8, "committed": 20, "requested": 4, **figures}
    amounts = {name: Decimal(str(amount)) for name, amount in figures.items()}
    plenty = {name: Decimal(memory * GIB) for name in ("allocatable", "autoscaled")}
    none = {name: Decimal(0) for name in ("largest_node", "committed", "requested")}
    return {
        "cpu": Commitment(resource="cpu", **amounts),
        "memory": Commitment(resource="memory", **plenty, **none),
    }


@pytest.fixture
def place(make_snapshot):
    def ask(clusters, *, new_cpu="4", new_memory="8Gi", others=None, **sizes):
        snapshot = make_snapshot({}, commitments=clusters, **(others or {}))
        return placement_table(snapshot, new_cpu=new_cpu, new_memory=new_memory, **sizes)

    return ask


def test_the_cluster_that_keeps_the_largest_share_of_its_nodes_comes_first(place):
    """Left after 4 cores: min(16 - 4, 36 - 20) - 4 = 8 of 24, and 4 - 4 = 0 of 24."""
    table = place({"aks-full": cluster(requested=12), "aks-idle": cluster()})

    assert table["cluster_name"].tolist() == ["aks-idle", "aks-full"]
    assert table["rank"].tolist() == [1, 2]
    assert table["verdict"].tolist() == ["fits", "fits"]
    assert table["left_cpu"].tolist() == [8.0, 0.0]
    assert table["reason"].tolist() == ["cpu: N-1", "cpu: N-1"]
    assert table.loc[0, "committed_ratio_cpu"] == 1.0  # (20 + 4) / 24


def test_every_answer_has_its_place_and_its_reason(place):
    clusters = {
        "aks-1": cluster(committed=34),  # 36 - 34 - 4 = -2
        "aks-2": cluster(committed=34, autoscaled=40),  # 60 - 34 - 4 = 22
        "aks-3": cluster(requested=15),
        "aks-4": cluster(),
        "aks-5": cluster(allocatable=0, largest_node=0),
    }
    table = place(clusters, others={"unreachable": {"aks-0": "cluster not reachable"}})

    assert table["cluster_name"].tolist() == ["aks-4", "aks-2", "aks-1", "aks-3", "aks-0", "aks-5"]
    assert table["verdict"].tolist() == [
        "fits", "fits once it grows", "does not fit", "does not fit",
        "unknown: cluster not reachable", "unknown: no ready node",
    ]  # fmt: skip
    found = table.set_index("cluster_name")
    assert found.loc["aks-1", "reason"] == "cpu: committed"
    assert (found.loc["aks-1", "headroom_cpu"], found.loc["aks-1", "left_cpu"]) == (2.0, -2.0)
    assert found.loc["aks-2", "grown_left_cpu"] == 22.0
    assert found.loc["aks-3", "left_cpu"] == -3.0  # 16 - 15 - 4
    assert math.isnan(found.loc["aks-0", "headroom_cpu"])


def test_a_region_that_will_not_do_comes_after_those_that_fit(place):
    regions = {"aks-1": "northeurope", "aks-2": "westeurope"}
    clusters = {"aks-1": cluster(), "aks-2": cluster(requested=10)}
    table = place(clusters, others={"regions": regions}, new_region="WestEurope")
    assert table["cluster_name"].tolist() == ["aks-2", "aks-1"]
    assert table["verdict"].tolist() == ["fits", "other region"]


def test_its_largest_pod_must_find_a_node(place, make_node):
    nodes = {
        "aks-1": [make_node(f"n{n}", cpu="3", memory=str(8 * GIB)) for n in range(8)],
        "aks-2": [make_node(f"n{n}", cpu="8", memory=str(64 * GIB)) for n in range(3)],
    }
    others = {"nodes": nodes, "pods": {"aks-1": [], "aks-2": []}}
    clusters = {"aks-1": cluster(), "aks-2": cluster(requested=10)}
    table = place(clusters, others=others, pod_cpu="4", pod_memory="4Gi").set_index("cluster_name")
    assert table["verdict"].to_dict() == {"aks-2": "fits", "aks-1": "does not fit"}
    assert table.loc["aks-1", "reason"] == "no node has room for its largest pod"
    assert table.loc["aks-1", "largest_pod_cpu"] == 3.0


def test_without_a_size_there_is_no_question_and_half_of_one_is_refused(place):
    assert tuple(place({"aks-1": cluster()}, new_cpu="", new_memory="").columns) == (
        PLACEMENT_COLUMNS
    )
    assert place({"aks-1": cluster()}, new_cpu="", new_memory="").empty
    with pytest.raises(ConfigError, match="new_memory"):
        place({"aks-1": cluster()}, new_memory="lots")


def test_the_answer_says_what_was_asked(place):
    row = place({"aks-1": cluster()}, new_region="westeurope").iloc[0]

    assert row[["new_cpu", "new_memory", "new_region"]].tolist() == [4.0, 8 * GIB, "westeurope"]
