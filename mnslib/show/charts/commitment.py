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
from mnslib.show.charts import colors
from mnslib.show.charts.layers import HEADINGS, UNITS
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import (
    AXIS_LINE,
    HATCH,
    Column,
    Grid,
    Look,
    Sheet,
    row_height,
    top_rows,
)
from mnslib.verdicts import one_reason, unknown_reason

ROWS = 600
"""Pixels of both panels' rows: the rest of the sheet takes up to 680."""
_NODES, _REQUESTED, _USED = map(Look, (colors.NODES, colors.REQUESTED, colors.USED))
_GROWN = Look(colors.PANEL, colors.AXIS)
_COMMITTED = Look(colors.INK, line=5)
WITHOUT_LARGEST = Look(colors.CRITICAL, line=3, style=(0, (2.6, 1.6)))
_LIMIT = float(QUOTA_OVERCOMMIT_RATIO)
_VERDICTS = {"overcommit": colors.CRITICAL, "quota overcommit": colors.WARNING_TEXT}
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
    rows = table.astype(dict.fromkeys(numbers, float)).assign(
        reason=table["verdict"].map(unknown_reason),
        is_over=table["verdict"].isin(_VERDICTS),
        is_known=table["verdict"].map(unknown_reason).isna(),
        grows=lambda frame: frame["autoscaled"] > frame["allocatable"],
        words=list(map(_verdict, table.to_dict("records"))),
    )
    order = ["is_known", "is_over", "requested_ratio", "committed_ratio", "cluster_name"]
    rows = rows.sort_values(order, ascending=[False, False, False, False, True])
    known, used = rows[rows["is_known"]], rows["usage"].notna()
    sheet = Sheet("cluster_commitment", _facts(rows, known) | {"moment": moment, "note": note})
    if rows.empty:
        return sheet.nothing()
    is_all, is_any = rows["is_known"].all(), len(known) > 0
    sheet.legend(
        [
            (_USED, "used", known["usage"].notna().any()),
            (_REQUESTED, "requested", is_any),
            (_COMMITTED, "committed (sum of hard)", is_any),
            (_NODES, "nodes now", is_any),
            (_GROWN, "autoscaler maximum", known["grows"].any()),
            (WITHOUT_LARGEST, "without the largest node (N−1)", is_any),
            (HATCH, "use unknown" if is_all else "unknown", not (is_all and used.all())),
        ]
    )
    sheet.y += 18
    for resource in HEADINGS:
        if (rows["resource"] == resource).any():
            _draw_panel(sheet, resource, rows)
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
        "clusters": clusters,
        "known": len(worst),
        "unknown": clusters - len(worst),
        "reason": one_reason(rows["verdict"]),
        "fragile": worst.index[worst["requested_ratio"] > 1].tolist(),
        "generous": worst.index[committed > _LIMIT].tolist(),
        "most": committed.max(),
        "nearest": committed.idxmax() if len(worst) else "",
        "limit": _LIMIT,
        "sums": sums,
        "is_used": rows["usage"].notna().any(),
        "uncounted": int(rows.loc[rows["resource"] == "cpu", "uncounted"].sum()),
    }


def _verdict(row: Any) -> str:
    reason = unknown_reason(row["verdict"])
    if reason is not None:
        return reason
    if row["verdict"] in _VERDICTS:
        return wording.commitment_verdict(row["verdict"], row["committed_ratio"])
    return wording.headroom(row["resource"], row["headroom"])


def _draw_panel(sheet: Sheet, resource: str, every: pd.DataFrame) -> None:
    """Draw one panel; names and verdicts of all rows decide, so that both panels align."""
    rows = every[every["resource"] == resource]
    shown, rest = top_rows(rows, rows["is_known"], panels=2)
    sheet.section(HEADINGS[resource], "" if rest.empty else sheet.say(resource))
    sheet.y += 0 if rest.empty else 28
    names = max(120, sheet.widest(every["cluster_name"]))
    verdicts = max(120, sheet.widest(every["words"], bold=True))
    least = sheet.widest([wording.UNKNOWN], bold=True)

    def ratios(name: str, head: str, bound: float, alarm: str) -> Column:
        found = shown[f"{name}_ratio"]
        words = found.map(wording.times).where(found.notna(), "–")
        color = np.where(found > bound, alarm, colors.INK)
        words = words.where(shown["is_known"], wording.UNKNOWN)
        return Column(words, head, color, found > bound, "right", least)

    limited = _LIMIT, colors.WARNING_TEXT
    grown = [ratios("autoscaled_committed", "committed\n÷ maximum", *limited)]
    color = shown["verdict"].map(_VERDICTS).fillna(colors.TEXT)
    grid = sheet.grid(
        [Column(shown["cluster_name"], least=names)],
        [
            ratios("committed", "committed\n÷ nodes", *limited),
            ratios("requested", "requested\n÷ N−1", 1, colors.CRITICAL),
            *(grown if every["grows"].any() else []),
            Column(shown["words"], "verdict", color, shown["is_over"], least=verdicts, most=340),
        ],
        height=row_height(len(shown), ROWS / 2),
    )
    amounts = shown[[*_LAYERS, "without_largest_node"]]
    highest = float(np.nan_to_num(amounts[_LAYERS].to_numpy(float)).max()) * 1.02
    if highest:
        sheet.axis(grid, highest, divisor=UNITS[resource][0])
    places = amounts.apply(lambda found: grid.x(found / (highest or 1.0)))
    _draw_bars(sheet, grid, shown, places)
    sheet.y += 24
    if len(rest):
        over, unknown = (int(found.sum()) for found in (rest["is_over"], ~rest["is_known"]))
        same, where = ", all less requested than these", "in tables/commitment.csv"
        parts = {"overcommitted": over, "unknown": unknown}
        sheet.note(wording.more(len(rest), "cluster", parts, otherwise=same, where=where))
    sheet.y += 24


def _draw_bars(sheet: Sheet, grid: Grid, rows: pd.DataFrame, places: pd.DataFrame) -> None:
    """Draw the nodes, and in them what is requested and used; what is not known is hatched."""
    left, ys, high, nodes = grid.left, grid.ys, grid.step, places["allocatable"]
    requested, is_known = places["requested"], rows["is_known"]
    sheet.bars(left, np.where(is_known, np.nan, grid.right), ys, high * 0.48, HATCH)
    sheet.bars(nodes, places["autoscaled"].where(rows["grows"]), ys, high * 0.72, _GROWN)
    sheet.bars(left, nodes, ys, high * 0.72, _NODES)
    sheet.bars(left, requested, ys, high * 0.42, _REQUESTED)
    sheet.bars(left, requested.where(rows["usage"].isna()), ys, high * 0.2, HATCH)
    sheet.bars(left, places["usage"], ys, high * 0.2, _USED)
    for name, half, look in (
        ("without_largest_node", high * 0.42, WITHOUT_LARGEST),
        ("committed", high * 0.32, _COMMITTED),
    ):
        sheet.vlines(places[name], ys - half, ys + half, look)
    if is_known.any():
        sheet.vlines(left, ys[is_known] - high / 2, ys[is_known] + high / 2, AXIS_LINE)
