"""From a snapshot to what clusters have promised, against what their nodes can give.

Pure: a snapshot in, a frame out; the arithmetic is `mnslib.commitment`, the formulas with examples
are in `docs/capacity.md`. NaN means "unknown" or "there is none"; `verdict` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import pandas as pd

from mnslib.capacity.evidence_words import LEAST_HISTORY
from mnslib.capacity.snapshot import Snapshot
from mnslib.commitment import Commitment
from mnslib.verdicts import UNKNOWN, unknown, word

USAGE_WINDOW = timedelta(days=7)
USAGE_QUANTILE = 0.95
"""A cluster's `usage` is this quantile over that window: a week has every weekday once, and 5 % of
it, eight hours, may be busier. Our choice."""

COMMITMENT_COLUMNS = (
    "cluster_name",
    "resource",
    "allocatable",
    "without_largest_node",
    "committed",
    "requested",
    "usage",
    "committed_ratio",
    "requested_ratio",
    "headroom",
    "uncounted",
    "autoscaled",
    "autoscaled_committed_ratio",
    "autoscaled_requested_ratio",
    "autoscaled_verdict",
    "verdict",
)


def commitment_table(snapshot: Snapshot) -> pd.DataFrame:
    """Return what each cluster has promised, one row per cluster and resource, in that order.

    Returns:
        `COMMITMENT_COLUMNS`: `resource` is `cpu` (cores) or `memory` (bytes); `usage` is measured,
        `USAGE_QUANTILE` of the cluster's sum over `USAGE_WINDOW`, NaN when unknown; the ratios as
        in `mnslib.commitment`; `uncounted` namespaces have no quota on it; `verdict` is
        `overcommit`, `quota overcommit`, `room` or `unknown: <reason>`; `autoscaled_*` is the same
        with every pool at its autoscaler's maximum, NaN and empty without one.
    """
    measured = {
        "cpu": _usage_by_cluster(snapshot.usage_cpu, snapshot),
        "memory": _usage_by_cluster(snapshot.usage_memory, snapshot),
    }
    reasons = snapshot.unpromised
    rows = []
    for cluster in sorted({*snapshot.commitments, *reasons}):
        for resource, usage in measured.items():
            row: dict[str, object] = {
                "cluster_name": cluster,
                "autoscaled_verdict": "",
                "resource": resource,
                "usage": usage.get(cluster, float("nan")),
            }
            if cluster in snapshot.commitments:
                row |= _commitment_row(snapshot.commitments[cluster][resource])
                if pools := snapshot.unread.get((cluster, "pools")):
                    row["autoscaled_verdict"] = unknown(pools)
            else:
                row["verdict"] = unknown(reasons[cluster])
            rows.append(row)
    frame = pd.DataFrame(rows, columns=list(COMMITMENT_COLUMNS))
    figures = [name for name in COMMITMENT_COLUMNS if name not in _COMMITMENT_WORDS]
    return frame.astype(dict.fromkeys(figures, "float64"))


_COMMITMENT_WORDS = {"cluster_name", "resource", "verdict", "autoscaled_verdict"}


def _commitment_row(found: Commitment) -> dict[str, object]:
    grown = found.at_most
    amounts: dict[str, Decimal | None] = {
        "allocatable": found.allocatable,
        "without_largest_node": found.without_largest_node,
        "committed": found.committed,
        "requested": found.requested,
        "committed_ratio": found.committed_ratio,
        "requested_ratio": found.requested_ratio,
        "autoscaled": found.autoscaled,
        "autoscaled_committed_ratio": None if grown is None else grown.committed_ratio,
        "autoscaled_requested_ratio": None if grown is None else grown.requested_ratio,
        "headroom": None if word(found.verdict) == UNKNOWN else found.headroom,
    }
    figures = {
        name: float("nan") if amount is None else float(amount) for name, amount in amounts.items()
    }
    return {
        **figures,
        "uncounted": found.uncounted,
        "autoscaled_verdict": "" if grown is None else grown.verdict,
        "verdict": found.verdict,
    }


def _usage_by_cluster(usage: pd.DataFrame, snapshot: Snapshot) -> Mapping[str, float]:
    """Return measured use of each cluster; one of under `LEAST_HISTORY` of samples is left out.

    A sum of zero is a dead sensor's and no sample.
    """
    if usage.empty:
        return {}
    recent = usage.loc[usage.index > pd.Timestamp(snapshot.read_utc) - USAGE_WINDOW]
    total = recent.astype("float64").T.groupby(level="cluster_name").sum(min_count=1).T
    total = total.where(total > 0)
    high = total.quantile(USAGE_QUANTILE).where(total.count() * snapshot.step >= LEAST_HISTORY)
    return {str(name): float(amount) for name, amount in high.dropna().items()}
