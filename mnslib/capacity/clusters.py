"""What clusters have committed, what their nodes still have, and where a new namespace should go.

Pure: a snapshot in, frames out; the arithmetic is `mnslib.commitment`, the formulas with examples
are in `docs/capacity.md`. NaN means "unknown" or "there is none"; `verdict` says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from math import ceil, floor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.evidence_words import LEAST_HISTORY
from mnslib.capacity.samples import chunks, most_of, possible
from mnslib.commitment import left_out_for
from mnslib.errors import ConfigError
from mnslib.kube_models import Node, Pod
from mnslib.packaged import packaged
from mnslib.quantities import parse_quantity, size_problems
from mnslib.verdicts import UNKNOWN, unknown, word

if TYPE_CHECKING:
    from mnslib.capacity.snapshot import Snapshot

USAGE_WINDOW = timedelta(days=7)
USAGE_QUANTILE = 0.95
"""A cluster's `usage` is this quantile over that window: a week has every weekday once, and 5 % of
it, eight hours, may be busier. Our choice."""

MOST_PODS = 2**31
"""Pods that a node takes which does not say how many: more than any has."""

MOST_OF_A_NODE = 2**50
"""Millicores and bytes that a pod is taken to ask for: more than any node has, and few enough that
many of them stay within 64 bits. Our choice."""

COMMITMENT_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["commitment"])
PLACEMENT_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["placement"])
_WORDS = {"cluster_name", "resource", "verdict", "autoscaled_verdict", "location", "reason"}
_WORDS |= {"rank", "new_region", "nodes_left_out"}
_OF_NOW = (
    "allocatable", "without_largest_node", "committed", "requested", "committed_ratio",
    "requested_ratio", "headroom", "uncounted", "autoscaled", "verdict", "nodes_left_out",
)  # fmt: skip
_OF_MOST = ("committed_ratio", "requested_ratio", "verdict")

FITS, FITS_GROWN = "fits", "fits once it grows"
OTHER_REGION, FITS_NOT = "other region", "does not fit"
_ORDER = (FITS, FITS_GROWN, OTHER_REGION, FITS_NOT, UNKNOWN)

Size = Mapping[str, Decimal]
Free = NDArray[np.int64]
"""What is free: millicores, bytes and pods x nodes."""


def commitment_table(snapshot: Snapshot) -> pd.DataFrame:
    """Return what each cluster has committed, one row per cluster and resource, in that order.

    Returns:
        `COMMITMENT_COLUMNS` (docs/tables.md): `usage` is `USAGE_QUANTILE` of the cluster's sum
        over `USAGE_WINDOW`; `verdict` is `overcommit`, `quota overcommit`, `room` or
        `unknown: <reason>`; `autoscaled_*` are NaN and empty without an autoscaler.
    """
    measured = {
        resource: _usage_by_cluster(getattr(snapshot, f"usage_{resource}"), resource, snapshot)
        for resource in ("cpu", "memory")
    }
    rows = []
    for cluster in _named(snapshot):
        for resource, usage in measured.items():
            row: dict[str, Any] = {"cluster_name": cluster, "resource": resource}
            row |= {"usage": usage.get(cluster), "autoscaled_verdict": "", "nodes_left_out": ""}
            if cluster in snapshot.commitments:
                found = snapshot.commitments[cluster][resource]
                row |= {name: getattr(found, name) for name in _OF_NOW}
                if word(found.verdict) == UNKNOWN:
                    row["headroom"] = None
                if found.at_most is not None:
                    row |= {f"autoscaled_{name}": getattr(found.at_most, name) for name in _OF_MOST}
                if pools := snapshot.unread.get((cluster, "pools")):
                    row["autoscaled_verdict"] = unknown(pools)
            else:
                row["verdict"] = unknown(snapshot.uncommitted[cluster])
            rows.append(row)
    return _frame(rows, COMMITMENT_COLUMNS)


def _named(snapshot: Snapshot) -> list[str]:
    return sorted({*snapshot.commitments, *snapshot.uncommitted})


def _frame(rows: list[dict[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    """Return the rows as a frame; what is no word is a figure, NaN where there is none."""
    frame = pd.DataFrame(rows, columns=list(columns))
    return frame.astype(dict.fromkeys((name for name in frame if name not in _WORDS), "float64"))


def _usage_by_cluster(
    usage: pd.DataFrame, resource: str, snapshot: Snapshot
) -> Mapping[str, float]:
    """Return measured use of each cluster; one of under `LEAST_HISTORY` of samples is left out.

    A sum of zero is a dead sensor's and no sample.
    """
    if usage.empty:
        return {}
    recent = usage.loc[usage.index > pd.Timestamp(snapshot.read_utc) - USAGE_WINDOW]
    recent = recent.where(possible(recent.to_numpy(copy=False), most_of("usage", resource)))
    total = recent.astype("float64").T.groupby(level="cluster_name").sum(min_count=1).T
    total = total.where(total > 0)
    high = total.quantile(USAGE_QUANTILE).where(total.count() * snapshot.step >= LEAST_HISTORY)
    return {str(name): float(amount) for name, amount in high.dropna().items()}


# Where a new namespace should go


def placement_table(
    snapshot: Snapshot,
    *,
    new_cpu: str,
    new_memory: str,
    new_region: str = "",
    pod_cpu: str = "",
    pod_memory: str = "",
) -> pd.DataFrame:
    """Return the clusters, the one that a new namespace should go to first.

    There is no score: each row says what decides.

    Args:
        new_cpu, new_memory: its request quota, as Kubernetes quantities; empty for no question.
        new_region: the only region that will do; empty for any.
        pod_cpu, pod_memory: its largest pod, which must find a node now; empty for none.

    Returns:
        `PLACEMENT_COLUMNS` (docs/tables.md); no row without a size. `verdict` is `fits` (the
        headroom holds it), `fits once it grows` (at the autoscaler's maximum), `other region`,
        `does not fit` or `unknown: <reason>`; rows come in that order, then by what is left of
        the nodes, the smaller share of CPU and memory, most first. `left_*` count it as if it
        were requested in full.

    Raises:
        ConfigError: if a size is none, or only half of one.
    """
    size = given_size(new_cpu=new_cpu, new_memory=new_memory)
    pod = given_size(pod_cpu=pod_cpu, pod_memory=pod_memory)
    rows = []
    for cluster in _named(snapshot) if size else ():
        row = _place(snapshot, cluster, size=size or {}, pod=pod, region=new_region)
        order = _ORDER.index(word(row["verdict"])), -row.pop("share_left", 0.0), cluster
        rows.append((order, row))
    asked = {f"new_{name}": amount for name, amount in (size or {}).items()}
    ordered = [row for _, row in sorted(rows, key=lambda each: each[0])]
    return _frame(
        [
            {**row, **asked, "rank": rank, "new_region": new_region}
            for rank, row in enumerate(ordered, start=1)
        ],
        PLACEMENT_COLUMNS,
    )


def _place(
    snapshot: Snapshot, cluster: str, *, size: Size, pod: Size | None, region: str
) -> dict[str, Any]:
    """Return the row of one cluster, and `share_left`, by which those of one verdict are sorted."""
    there = snapshot.regions.get(cluster, "")
    row: dict[str, Any] = {"cluster_name": cluster, "location": there, "reason": ""}
    found = snapshot.commitments.get(cluster)
    if found is None or not all(each.allocatable for each in found.values()):
        return {**row, "verdict": unknown(snapshot.uncommitted.get(cluster, "no ready node"))}
    left, later, share = {}, {}, {}
    for name, each in found.items():
        left[name] = each.balance - size[name]
        share[name] = left[name] / each.allocatable
        if (grown := each.at_most) is not None:
            later[name] = grown.balance - size[name]
        row |= {
            f"headroom_{name}": each.headroom,
            f"left_{name}": left[name],
            f"grown_left_{name}": later.get(name),
            f"committed_ratio_{name}": (each.committed + size[name]) / each.allocatable,
        }
    tight = min(share, key=lambda name: share[name])
    unrequested = found[tight].without_largest_node - found[tight].requested
    limit = "committed" if found[tight].balance < unrequested else "N-1"
    row |= {"share_left": float(share[tight]), "reason": f"{tight}: {limit}"}
    verdict = FITS if min(left.values()) >= 0 else FITS_NOT
    if verdict == FITS_NOT and later.keys() == left.keys() and min(later.values()) >= 0:
        verdict = FITS_GROWN
    verdict = OTHER_REGION if region and there.casefold() != region.casefold() else verdict
    nodes = snapshot.free_nodes.get(cluster)
    if nodes is not None:
        row["largest_pod_cpu"], row["largest_pod_memory"] = nodes.emptiest()
        if pod is not None and not nodes.fits(pod_size({f"requests.{k}": pod[k] for k in pod})):
            verdict, row["reason"] = FITS_NOT, "no node has room for its largest pod"
    return {**row, "verdict": verdict}


def placement_findings(table: pd.DataFrame) -> dict[str, Any]:
    """Return the first of `placement_rows` and how many clusters are `unknown`."""
    best: list[Any] = placement_rows(table.head(1)).to_dict("records")
    return {"best": best, "unknown": int((table["verdict"].map(word) == UNKNOWN).sum())}


def placement_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `placement_table` with what decides each.

    Returns:
        Its columns, and `resource` and `limit` of the reason (empty where it is another), `left`
        by resource, now or grown, and `short`: by how much below 0 that is.
    """
    rows: list[Any] = table.to_dict("records")
    for row in rows:
        grown = "grown_" if row["verdict"] == FITS_GROWN else ""
        left = {name: row[f"{grown}left_{name}"] for name in ("cpu", "memory")}
        is_known = word(row["verdict"]) != UNKNOWN
        resource, _, limit = row["reason"].partition(": ") if is_known else ("", "", "")
        row |= {"resource": resource, "limit": limit, "left": left, "is_known": is_known}
        row["short"] = {name: -amount for name, amount in left.items() if amount < 0}
    return pd.DataFrame(rows)


def absent_region(table: pd.DataFrame) -> dict[str, Any]:
    """Return the region asked for and those that clusters are in; empty where it is one of them.

    Args:
        table: from `placement_table`; metrics name no region.
    """
    there = sorted({*table["location"]} - {""})
    asked = next(iter(table["new_region"]), "")
    is_absent = there and asked and asked.casefold() not in map(str.casefold, there)
    return {"asked": asked, "there": there} if is_absent else {}


def given_size(**texts: str) -> dict[str, Decimal] | None:
    """Return `cpu` (cores) and `memory` (bytes) of two parameters; None where both are empty.

    Args:
        texts: Kubernetes quantities by the parameters' names, CPU first.

    Raises:
        ConfigError: if one is no quantity, or empty where the other is not.
    """
    if not any(texts.values()):
        return None
    if problems := size_problems(texts):
        raise ConfigError(" ".join(problems.values()))
    return dict(zip(("cpu", "memory"), map(parse_quantity, texts.values()), strict=True))


# What the nodes of one cluster still have


class PodSize(NamedTuple):
    """What one pod asks of a node, rounded up as the scheduler does."""

    millicores: int
    memory_bytes: int


def pod_size(need: Size) -> PodSize:
    """Return the size of a pod from its `pods.charge`."""
    asked = need["requests.cpu"] * 1000, need["requests.memory"]
    return PodSize(*(min(ceil(amount), MOST_OF_A_NODE) for amount in asked))


class FreeNodes:
    """What is free on each node of a cluster that takes pods, and whether others find a place.

    A sum over nodes lies: two nodes with one core left each start no pod of two. Here each pod is
    put on a node, largest first, on the first node that takes it. Taints, affinity, topology and
    volumes are not read: whether the scheduler would choose that node is not said.

    Args:
        nodes: those that teams cannot use (`commitment.left_out_for`) take none.
        pods: all of the cluster, system pods too; finished ones hold nothing. Those that wait for
            a node are put on one first where they find one.
        needs: what each of the pods counts for, from `pods.charge`.
    """

    def __init__(self, nodes: Iterable[Node], pods: Iterable[Pod], needs: Iterable[Size]) -> None:
        free: dict[str, list[Decimal]] = {}
        for node in nodes:
            if not left_out_for(node):
                most = Decimal(MOST_PODS if node.most_pods is None else node.most_pods)
                free[node.name] = [node.allocatable_cores, node.allocatable_bytes, most]
        waiting: Counter[PodSize] = Counter()
        for pod, need in zip(pods, needs, strict=True):
            if pod.is_finished or (pod.node_name and pod.node_name not in free):
                continue
            if pod.node_name:
                left = free[pod.node_name]
                left[0] -= need["requests.cpu"]
                left[1] -= need["requests.memory"]
                left[2] -= 1
            else:
                waiting[pod_size(need)] += 1
        rows = [
            [max(floor(one), -MOST_OF_A_NODE) for one in (cores * 1000, memory, pods)]
            for cores, memory, pods in free.values()
        ]
        self._free = np.array(rows, dtype=np.int64).reshape(len(rows), 3).T
        self._known: dict[PodSize, int] = {}
        if waiting:
            self._free, _ = _filled(self._free, waiting)

    def fits(self, size: PodSize) -> int:
        """Return how many pods of one size find a place."""
        if size not in self._known:
            self.prepare([size])
        return self._known[size]

    def prepare(self, sizes: Iterable[PodSize]) -> None:
        """Work out what `fits` returns of many sizes, which together takes a tenth of the time."""
        new = list(set(sizes) - self._known.keys())
        for part in chunks(len(new)):
            counts = _most(new[part], self._free).sum(axis=1)
            self._known.update(zip(new[part], counts.tolist(), strict=True))

    def unplaced(self, wanted: Mapping[PodSize, int]) -> dict[PodSize, int]:
        """Return how many pods of each size find no place, all put one after the other."""
        if len(wanted) <= 1:  # of one size, the order of pods and nodes is of no account
            return {size: max(0, count - self.fits(size)) for size, count in wanted.items()}
        demand = sum(
            np.array([*size, 1], dtype=np.float64) * count for size, count in wanted.items()
        )
        if (self._free >= np.reshape(demand, (3, 1))).all(axis=0).any():
            return dict.fromkeys(wanted, 0)  # one node alone takes all that others leave
        return _filled(self._free, wanted)[1]

    def emptiest(self) -> tuple[float, float]:
        """Return cores and bytes free on the node with the most free cores; 0 without a node."""
        free = self._free[:, self._free[2] > 0]
        if not free.size:
            return 0.0, 0.0
        cores, memory, _ = free[:, np.lexsort((-free[1], -free[0]))[0]].clip(0).tolist()
        return cores / 1000, float(memory)


def _filled(free: Free, wanted: Mapping[PodSize, int]) -> tuple[Free, dict[PodSize, int]]:
    """Return what is free after first-fit decreasing, and how many found no place."""
    free, left = free.copy(), {}
    millicores, memory, _ = free.max(axis=1, initial=1).tolist()
    share = {size: max(size.millicores / millicores, size.memory_bytes / memory) for size in wanted}
    for size in sorted(wanted, key=lambda size: -share[size]):
        most = _most([size], free)[0]
        before = most.cumsum() - most
        placed = np.minimum(np.maximum(wanted[size] - before, 0), most)
        free -= placed * np.array([[*size, 1]]).T
        left[size] = wanted[size] - int(placed.sum())
    return free, left


def _most(sizes: Sequence[PodSize], free: Free) -> Free:
    """Return how many pods each node takes, sizes x nodes."""
    amounts = np.array(sizes, dtype=np.int64)[:, :, None]
    most = np.where(amounts, free[:2] // np.maximum(amounts, 1), free[2]).min(axis=1)
    found: Free = np.minimum(most, free[2]).clip(0)
    return found
