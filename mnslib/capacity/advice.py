"""Shrink, grow, fix requests or healthy: what two ratios say about a quota.

Across, how much of the quota is requested; up, how much of what is requested is used. One namespace
gets one advice. Pure; `docs/capacity.md` has the rules with examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.quota_values import BARE, SPACE, TIGHT_RATIO
from mnslib.verdicts import one_reason, unknown

SHRINK_BELOW = 0.5
"""Requested share of the quota under which it can shrink: half of it would do. Our choice."""

GROW_FROM = float(TIGHT_RATIO)
"""Share from which a quota has to grow, unless what is requested is unused."""

FIX_BELOW = 0.4
"""Usage, as a share of what is requested, under which requests are too large: two and a half times
what the busy hours need, where 1.15 to 1.25 times is a usual margin. Our choice."""

SHRINK, GROW, FIX, HEALTHY = "shrink", "grow", "fix requests", "healthy"
ZERO_QUOTA = "quota of 0"

_RANK = {GROW: 0, FIX: 1, "": 2, SHRINK: 3, HEALTHY: 4}
_NO_SAY = 5  # rank of a resource without a quota


def regions(layers: pd.DataFrame) -> NDArray[np.object_]:
    """Return what each row's ratios say by themselves; empty where they are unknown.

    Args:
        layers: `hard`, `tightest_ratio`, `usage_ratio` (NaN where nothing is requested), `reason`.
    """
    share, usage = layers["tightest_ratio"], layers["usage_ratio"]
    is_unknown = (layers["reason"] != "") | share.isna() | ((layers["hard"] == 0) & (share <= 0))
    cases = [is_unknown, share < SHRINK_BELOW, usage < FIX_BELOW, share >= GROW_FROM]
    return np.select(cases, ["", SHRINK, FIX, GROW], default=HEALTHY).astype(object)


def advised(layers: pd.DataFrame) -> pd.DataFrame:
    """Return one row per namespace: that of the resource which decides what it is advised.

    A resource that has to grow decides before one whose requests are to be fixed, that before one
    that is unknown (then nothing is advised), and that before one that can shrink; of two that
    say the same the fuller one decides, but of two that can shrink the emptier one.

    Returns:
        The columns of `layers_table`, `advice` among them; `advice_resource`, which decided (empty
        without advice); `advice_reason`, why there is none (empty with advice); `cores`, the
        namespace's CPU quota (0 where it has none). Order: that of `layers`.
    """
    is_zero = (layers["hard"] == 0) & (layers["region"] == "") & (layers["reason"] == "")
    reason = layers["reason"].mask(is_zero, ZERO_QUOTA)
    rank = layers["region"].map(_RANK).mask(reason.isin([BARE, ZERO_QUOTA]), _NO_SAY)
    share, is_advised = layers["tightest_ratio"].fillna(0), layers["region"] != ""
    rows = layers.assign(
        advice=layers["region"],
        advice_resource=layers["resource"].where(is_advised, ""),
        advice_reason=reason.mask(is_advised, ""),
        cores=layers["hard"].where(layers["resource"] == "cpu").fillna(0.0),
        _rank=rank,
        _share=share.where(layers["region"] == SHRINK, -share),
    )
    rows["cores"] = rows.groupby(SPACE)["cores"].transform("sum")
    rows = rows.sort_values(["_rank", "_share"], kind="stable").drop_duplicates(SPACE)
    return rows.drop(columns=["_rank", "_share"]).sort_index().reset_index(drop=True)


def with_advice(table: pd.DataFrame, spaces: pd.DataFrame) -> pd.DataFrame:
    """Return a utilization table with the one advice of each namespace on each of its rows.

    Args:
        spaces: from `advised`.

    Returns:
        `table` with `advice`, `advice_resource` and `advice_reason`.
    """
    found = spaces.set_index(SPACE)[["advice", "advice_resource", "advice_reason"]]
    return table.drop(columns=list(found)).join(found, on=SPACE)[list(table)]


def advice_findings(spaces: pd.DataFrame) -> dict[str, Any]:
    """Return how many namespaces are near their quota, and of these how many request too much.

    Args:
        spaces: from `advised`.
    """
    known = spaces[spaces["advice"] != ""]
    near = known[known["tightest_ratio"] >= GROW_FROM]
    is_unknown = ~spaces["reason"].isin(["", BARE]) & (spaces["advice"] == "")
    calm = {name: int((known["advice"] == name).sum()) for name in (SHRINK, FIX, HEALTHY)}
    return {
        "namespaces": len(spaces),
        "known": len(known),
        "unknown": int(is_unknown.sum()),
        "reason": one_reason(unknown(reason or "nothing requested") for reason in spaces["reason"]),
        "near": len(near),
        "asking": int((near["advice"] == FIX).sum()),
        "calm": {name: number for name, number in calm.items() if number},
    }


def advice_rows(spaces: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `advised`, what needs somebody first, then by CPU quota."""
    ranks = {"": 4, HEALTHY: 3, SHRINK: 2, FIX: 1, GROW: 0}
    keys = spaces.assign(_rank=spaces["advice"].map(ranks))
    order = ["_rank", "cores", *SPACE]
    return keys.sort_values(order, ascending=[True, False, True, True])
