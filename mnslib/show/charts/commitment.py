"""Whether clusters can carry what they committed: nodes as range, quota as tick, load as bar.

One panel per resource; words and thresholds are the mixin's, see `mnslib.commitment`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity.clusters import COMMITMENT_COLUMNS
from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.show import wording
from mnslib.show.charts.layers import HEADINGS, UNITS
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import Grid, Sheet, top_rows
from mnslib.verdicts import one_reason, unknown_reason

_LIMIT = float(QUOTA_OVERCOMMIT_RATIO)
_TONES = {"overcommit": "crit", "quota overcommit": "warn-text"}
_LAYERS = ["allocatable", "autoscaled", "committed", "requested", "usage"]
_TEXTS = ("cluster_name", "resource", "verdict", "autoscaled_verdict")


def cluster_commitment(table: pd.DataFrame, *, moment: datetime, note: str = "") -> Chart:
    """Return the chart of committed, requested and used against what the nodes can give.

    Args:
        table: from `capacity.clusters.commitment_table`.
        moment: when clusters were read.
        note: sentences that the source line ends with.
    """
    numbers = [name for name in COMMITMENT_COLUMNS if name not in _TEXTS]
    reason = table["verdict"].map(unknown_reason).astype(object)
    rows = table.astype(dict.fromkeys(numbers, float)).assign(
        reason=reason.fillna(""),
        is_known=reason.isna(),
        is_over=table["verdict"].isin(_TONES),
        tone=table["verdict"].map(_TONES).fillna("text"),
        grows=lambda frame: frame["autoscaled"] > frame["allocatable"],
    )
    rows = rows.assign(has_maximum=bool(rows["grows"].any()))
    for name, flag, ratio, bound, alarm in (
        ("committed", "is_generous", "committed_ratio", _LIMIT, "warn-text"),
        ("requested", "is_fragile", "requested_ratio", 1, "crit"),
        ("grown", "is_grown_over", "autoscaled_committed_ratio", _LIMIT, "warn-text"),
    ):
        rows[flag] = rows[ratio] > bound
        rows[f"{name}_tone"] = np.where(rows[flag], alarm, "ink")
    order = ["is_known", "is_over", "requested_ratio", "committed_ratio", "cluster_name"]
    rows = rows.sort_values(order, ascending=[False, False, False, False, True])
    known, used = rows[rows["is_known"]], rows["usage"].notna()
    sheet = Sheet("cluster_commitment", _facts(rows, known) | {"moment": moment, "note": note})
    if rows.empty:
        return sheet.nothing()
    is_any = len(known) > 0
    sheet.legend(
        {
            "used": (used & rows["is_known"]).any(), "requested": is_any, "committed": is_any,
            "nodes": is_any, "grown": known["grows"].any(), "without_largest_node": is_any,
            "unknown": not (used & rows["is_known"]).all(),
        }
    )  # fmt: skip
    sheet.y += 18
    panels = {
        resource: top_rows(own, own["is_known"], panels=2)
        for resource in HEADINGS
        if len(own := rows[rows["resource"] == resource])
    }
    both = pd.concat([shown for shown, _ in panels.values()])
    for resource, (shown, rest) in panels.items():
        sheet.section(HEADINGS[resource], "" if rest.empty else sheet.say(resource))
        sheet.y += 0 if rest.empty else 28
        grid = sheet.grid(shown, panels=2, like=both)
        _draw_bars(sheet, grid, shown, UNITS[resource][0])
        sheet.y += 24
        sheet.tell("more_clusters", amount=len(rest), over=int(rest["is_over"].sum()),
                   lost=len(rest) - int(rest["is_known"].sum()))  # fmt: skip
        sheet.y += 24
    return sheet.finish()


def _facts(rows: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    worst = known.groupby("cluster_name")[["requested_ratio", "committed_ratio"]].max()
    clusters, committed = rows["cluster_name"].nunique(), worst["committed_ratio"]
    sums = {}
    for resource, (divisor, unit) in UNITS.items():
        found = known[known["resource"] == resource]
        amounts = (found[_LAYERS].sum() / divisor).map(wording.number).to_dict()
        sums[resource] = amounts | {"unit": unit, "clusters": len(found)}
    return {
        "clusters": clusters, "known": len(worst), "unknown": clusters - len(worst),
        "reason": one_reason(rows["verdict"]), "is_all": len(rows) == len(known),
        "fragile": worst.index[worst["requested_ratio"] > 1].tolist(),
        "generous": worst.index[committed > _LIMIT].tolist(), "most": committed.max(),
        "nearest": committed.idxmax() if len(worst) else "", "limit": _LIMIT, "sums": sums,
        "is_used": rows["usage"].notna().any(),
        "uncounted": int(rows.loc[rows["resource"] == "cpu", "uncounted"].sum()),
    }  # fmt: skip


def _draw_bars(sheet: Sheet, grid: Grid, rows: pd.DataFrame, divisor: float) -> None:
    """Draw the nodes, and in them what is requested and used; what is not known is hatched."""
    amounts = rows[[*_LAYERS, "without_largest_node"]]
    highest = float(np.nan_to_num(amounts[_LAYERS].to_numpy(float)).max()) * 1.02
    if highest:
        sheet.axis(grid, highest, divisor=divisor)
    places = amounts.apply(lambda found: grid.x(found / (highest or 1.0)))
    left, ys, high, nodes = grid.left, grid.ys, grid.step, places["allocatable"]
    requested, is_known = places["requested"], rows["is_known"]
    sheet.bars(left, np.where(is_known, np.nan, grid.right), ys, high * 0.48, "unknown")
    sheet.bars(nodes, places["autoscaled"].where(rows["grows"]), ys, high * 0.72, "grown")
    sheet.bars(left, nodes, ys, high * 0.72, "nodes")
    sheet.bars(left, requested, ys, high * 0.42, "requested")
    sheet.bars(left, requested.where(rows["usage"].isna()), ys, high * 0.2, "unknown")
    sheet.bars(left, places["usage"], ys, high * 0.2, "used")
    for name, half in (("without_largest_node", high * 0.42), ("committed", high * 0.32)):
        sheet.vlines(places[name], ys - half, ys + half, name)
    if is_known.any():
        sheet.vlines(left, ys[is_known] - high / 2, ys[is_known] + high / 2, "axis")
