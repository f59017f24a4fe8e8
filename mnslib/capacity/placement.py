"""Which cluster a new namespace should go to, and why: an order that each row explains.

Pure: a snapshot in, a frame out; the arithmetic is `mnslib.commitment` and `nodes`, an example is
in `docs/capacity.md`. There is no score: what decides is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import pandas as pd

from mnslib.capacity.fit import given_size
from mnslib.capacity.nodes import FreeNodes, pod_size
from mnslib.capacity.snapshot import Snapshot
from mnslib.commitment import Commitment
from mnslib.quantities import ZERO
from mnslib.verdicts import UNKNOWN, unknown, word

FITS, FITS_GROWN = "fits", "fits once it grows"
OTHER_REGION, FITS_NOT = "other region", "does not fit"
_ORDER = (FITS, FITS_GROWN, OTHER_REGION, FITS_NOT, UNKNOWN)

PLACEMENT_COLUMNS = (
    "rank",
    "cluster_name",
    "location",
    "verdict",
    "reason",
    "headroom_cpu",
    "headroom_memory",
    "left_cpu",
    "left_memory",
    "grown_left_cpu",
    "grown_left_memory",
    "committed_ratio_cpu",
    "committed_ratio_memory",
    "largest_pod_cpu",
    "largest_pod_memory",
    "new_cpu",
    "new_memory",
    "new_region",
)
_WORDS = (*PLACEMENT_COLUMNS[:5], "new_region")
_NAN = float("nan")
Size = Mapping[str, Decimal]


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

    Args:
        new_cpu, new_memory: its request quota, as Kubernetes quantities; empty for no question.
        new_region: the only region that will do; empty for any.
        pod_cpu, pod_memory: its largest pod, which must find a node now; empty for none.

    Returns:
        `PLACEMENT_COLUMNS`; no row without a size. `verdict` is `fits` (the room that can still be
        promised holds it), `fits once it grows` (at the autoscaler's maximum), `other region`,
        `does not fit` or `unknown: <reason>`; rows come in that order, then by what is left of
        the nodes, the smaller share of CPU and memory, most first. `reason` says which resource
        and which limit decided. Cores and bytes: `headroom_*` now, `left_*` after it as if it were
        requested in full (below 0: short), `grown_left_*` the same at the autoscaler's maximum,
        NaN without one; `committed_ratio_*` after it. `largest_pod_*`: what is free on the node
        with the most free cores, NaN where nodes are not known. `new_*` is what was asked.

    Raises:
        ConfigError: if a size is none, or only half of one.
    """
    size = given_size(new_cpu=new_cpu, new_memory=new_memory)
    pod = given_size(pod_cpu=pod_cpu, pod_memory=pod_memory)
    frame = pd.DataFrame(columns=list(PLACEMENT_COLUMNS))
    if size is not None:
        weigh = partial(_weigh, snapshot, size=size, pod=pod, region=new_region)
        places = [
            weigh(cluster) for cluster in sorted({*snapshot.commitments, *snapshot.unpromised})
        ]
        places.sort(key=lambda place: place.order)
        asked = {f"new_{name}": float(amount) for name, amount in size.items()}
        asked_in = {**asked, "new_region": new_region}
        rows = [{"rank": rank, **each.row, **asked_in} for rank, each in enumerate(places, start=1)]
        frame = pd.DataFrame(rows, columns=list(PLACEMENT_COLUMNS))
    return frame.astype({name: "float64" for name in PLACEMENT_COLUMNS if name not in _WORDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One cluster's row, and what it is sorted by."""

    row: dict[str, object]
    share_left: float = 0.0

    @property
    def order(self) -> tuple[int, float, str]:
        kind = word(str(self.row["verdict"]))
        return _ORDER.index(kind), -self.share_left, str(self.row["cluster_name"])


def _weigh(
    snapshot: Snapshot, cluster: str, *, size: Size, pod: Size | None, region: str
) -> _Place:
    there = snapshot.regions.get(cluster, "")
    row: dict[str, object] = {"cluster_name": cluster, "location": there, "reason": ""}
    found = snapshot.commitments.get(cluster)
    if found is None or not all(each.allocatable for each in found.values()):
        return _Place(
            row={**row, "verdict": unknown(snapshot.unpromised.get(cluster, "no ready node"))}
        )
    left = {name: each.balance - size[name] for name, each in found.items()}
    grown = {name: each.at_most for name, each in found.items()}
    later = {
        name: None if each is None else each.balance - size[name] for name, each in grown.items()
    }
    tight = min(left, key=lambda name: left[name] / found[name].allocatable)
    row |= {"reason": f"{tight}: {_limit(found[tight])}"}
    for name, each in found.items():
        more = later[name]
        row |= {
            f"headroom_{name}": float(each.headroom),
            f"left_{name}": float(left[name]),
            f"grown_left_{name}": _NAN if more is None else float(more),
            f"committed_ratio_{name}": float((each.committed + size[name]) / each.allocatable),
        }
    verdict = FITS if min(left.values()) >= 0 else FITS_NOT
    if verdict == FITS_NOT and all(more is not None and more >= 0 for more in later.values()):
        verdict = FITS_GROWN
    verdict = OTHER_REGION if region and there.casefold() != region.casefold() else verdict
    nodes = snapshot.free_nodes.get(cluster)
    if nodes is not None:
        row["largest_pod_cpu"], row["largest_pod_memory"] = map(float, nodes.roomiest())
        if pod is not None and not _finds_node(pod, nodes):
            verdict, row["reason"] = FITS_NOT, "no node has room for its largest pod"
    share = float(left[tight] / found[tight].allocatable)
    return _Place(row={**row, "verdict": verdict}, share_left=share)


def _limit(found: Commitment) -> str:
    """Return which of the two limits leaves less."""
    over = found.over_limit
    unrequested = found.without_largest_node - found.requested
    return "promised" if over is not None and -over < unrequested else "N-1"


def _finds_node(pod: Size, nodes: FreeNodes) -> bool:
    need = {"requests.cpu": pod["cpu"], "requests.memory": pod["memory"]}
    return nodes.fits(pod_size(need)) > ZERO
