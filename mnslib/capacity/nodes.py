"""What the nodes of one cluster still have, and whether pods find a place on them by size.

A sum over nodes lies: two nodes with one core left each start no pod of two. Here each pod is put
on a node, largest first, on the first node that has room for it. Taints, affinity, topology and
volumes are not read: whether the scheduler would choose that node is not said.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnslib.kube_models import Node, Pod
from mnslib.quantities import ZERO

MOST_PODS = 2**31
"""Pods that a node takes which does not say how many: more than any has."""

Free = NDArray[np.int64]
"""What is free: millicores, bytes and pods x nodes."""


class PodSize(NamedTuple):
    """What one pod asks of a node, rounded up as the scheduler does."""

    millicores: int
    memory_bytes: int


def pod_size(need: Mapping[str, Decimal]) -> PodSize:
    """Return the size of a pod from its `pods.pod_need`."""
    return PodSize(ceil(need["requests.cpu"] * 1000), ceil(need["requests.memory"]))


class FreeNodes:
    """What is free on each node of a cluster that takes pods.

    Args:
        nodes: those that are not ready, or cordoned, take none.
        pods: all of the cluster, system pods too; finished ones hold nothing. Those that wait for
            a node are put on one first where they find one.
        needs: what each of the pods counts for, from `pods.pod_need`.
    """

    def __init__(
        self, nodes: Iterable[Node], pods: Iterable[Pod], needs: Iterable[Mapping[str, Decimal]]
    ) -> None:
        taking = [node for node in nodes if node.is_ready and not node.is_cordoned]
        taken = {node.name: [ZERO, ZERO, ZERO] for node in taking}
        waiting: Counter[PodSize] = Counter()
        for pod, need in zip(pods, needs, strict=True):
            if pod.is_finished or (pod.node_name and pod.node_name not in taken):
                continue
            if pod.node_name:
                held = taken[pod.node_name]
                held[0] += need["requests.cpu"]
                held[1] += need["requests.memory"]
                held[2] += 1
            else:
                waiting[pod_size(need)] += 1
        free = [
            (
                (node.allocatable_cores - cores) * 1000,
                node.allocatable_bytes - memory,
                (MOST_PODS if node.most_pods is None else node.most_pods) - count,
            )
            for node, (cores, memory, count) in zip(taking, taken.values(), strict=True)
        ]
        self._free = np.array([[floor(each) for each in row] for row in free], dtype=np.int64)
        self._free = self._free.reshape(len(taking), 3).T
        self._known: dict[PodSize, int] = {}
        if waiting:
            self._free, _ = _filled(self._free, waiting)

    def fits(self, size: PodSize) -> int:
        """Return how many pods of one size find a place."""
        if size not in self._known:
            self._known[size] = int(_room(size, self._free).sum())
        return self._known[size]

    def unplaced(self, wanted: Mapping[PodSize, int]) -> dict[PodSize, int]:
        """Return how many pods of each size find no place, all put one after the other."""
        if len(wanted) == 1:  # of one size, the order of pods and nodes is of no account
            ((size, count),) = wanted.items()
            return {size: max(0, count - self.fits(size))}
        demand = sum(np.array([*size, 1]) * count for size, count in wanted.items())
        if (self._free >= np.reshape(demand, (3, 1))).all(axis=0).any():
            return dict.fromkeys(wanted, 0)  # one node alone takes all that others leave
        return _filled(self._free, wanted)[1]

    def roomiest(self) -> tuple[Decimal, Decimal]:
        """Return cores and bytes free on the node with the most free cores; 0 without a node."""
        open_ = self._free[:, self._free[2] > 0]
        if not open_.size:
            return ZERO, ZERO
        cores, memory, _ = open_[:, np.lexsort((-open_[1], -open_[0]))[0]].clip(0).tolist()
        return Decimal(cores) / 1000, Decimal(memory)


def _filled(free: Free, wanted: Mapping[PodSize, int]) -> tuple[Free, dict[PodSize, int]]:
    """Return what is free after first-fit decreasing, and how many found no place."""
    free, left = free.copy(), {}
    millicores, memory, _ = free.max(axis=1, initial=1).tolist()
    share = {size: max(size.millicores / millicores, size.memory_bytes / memory) for size in wanted}
    for size in sorted(wanted, key=lambda size: -share[size]):
        room = _room(size, free)
        before = room.cumsum() - room
        placed = np.minimum(np.maximum(wanted[size] - before, 0), room)
        free -= placed * np.array([[*size, 1]]).T
        left[size] = wanted[size] - int(placed.sum())
    return free, left


def _room(size: PodSize, free: Free) -> NDArray[np.int64]:
    """Return how many pods of a size each node takes."""
    room: NDArray[np.int64] = free[2]
    for row, amount in enumerate(size):
        if amount:
            room = np.minimum(room, free[row] // amount)
    return np.maximum(room, np.int64(0))
