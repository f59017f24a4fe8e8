"""Whether quota that is requested and not used grows: the three layers of each day.

One panel per resource, a column a day, nested as in `three_layers`; who requests most of it stands
beside it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.heatmap import day_cells, draw_weeks
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import (
    AXIS_LINE,
    GRID_LINE,
    HATCH,
    RIGHT,
    Grid,
    Look,
    Sheet,
    spread,
    ticks,
)
from mnslib.show.charts.three_layers import REQUESTED, UNITS, UNREQUESTED, USED
from mnslib.show.views import finding

MOST_NAMED = 5
_HEIGHT, _LEFT, _NAMES = 250, 120, 1290
"""Pixels: how high a panel is, where its days begin, where the names begin."""
_HEADINGS = {"cpu": "CPU, cores", "memory": "Memory, GiB"}
_PARTS = {
    "used": (USED, "used"),
    "requested_unused": (REQUESTED, "requested, not used"),
    "unrequested": (UNREQUESTED, "not requested"),
}
"""From the bottom up; together they are the hard quota. What is used above it is not drawn."""
_HARD = Look(colors.INK, line=4)


def layers_over_time(
    by_day: pd.DataFrame, layers: pd.DataFrame, *, moment: datetime, note: str = ""
) -> Chart:
    """Return the chart of hard, requested and used by day, of all namespaces together.

    Args:
        by_day: from `capacity.layers.layers_by_day`.
        layers: from `capacity.layers.layers_table`; names who requests most and does not use it.
        moment: when the quotas were read.
        note: sentences that the source line ends with.
    """
    days, known = [*by_day["day"], moment.date()], by_day[by_day["hard"] > 0]
    last = known.groupby("resource").tail(1).sort_values("resource").to_dict("records")
    sheet = Sheet(
        "layers_over_time",
        {
            "finding": finding("trend", by_day), "first": min(days), "last": max(days),
            "least": known["measured"].min(), "most": known["measured"].max(), "note": note,
            "left_out": by_day["left_out"].max(), "days": last,
        },
    )  # fmt: skip
    if known.empty:
        return sheet.nothing()
    is_missing = by_day["measured"] == 0
    sheet.legend(
        [
            *((look, label, True) for look, label in _PARTS.values()),
            (_HARD, "hard quota", True),
            (HATCH, "unknown: nothing was measured", is_missing.any()),
        ]
    )
    used = by_day["hard"] - by_day["unrequested"] - by_day["requested_unused"]
    by_day = by_day.assign(used=used)
    lasts = by_day[~is_missing].groupby("resource").tail(1).to_dict("records")
    words = {str(row["resource"]): _amount_words(row) for row in lasts}
    end = _NAMES - 56 - max(sheet.widest(found, bold=True) for found in words.values())
    for resource in UNITS:
        rows = by_day[by_day["resource"] == resource]
        own = layers[layers["resource"] == resource]
        _draw_panel(sheet, resource, rows, own, end=end, words=words.get(resource, []))
    return sheet.finish()


def _amount_words(row: Any) -> list[str]:
    """Return a day's quota, and its parts from the top down with their shares."""
    divisor, hard = UNITS[row["resource"]][0], row["hard"]
    words = [f"hard {wording.exact(hard / divisor)} on {wording.day(row['day'])}"]
    for name, (_, label) in reversed(_PARTS.items()):
        share = f" ({wording.percent(row[name] / hard)})" if hard else ""
        words.append(f"{label} {wording.number(row[name] / divisor)}{share}")
    return words


def _draw_panel(
    sheet: Sheet, resource: str, rows: pd.DataFrame, layers: pd.DataFrame, *, end: float,
    words: list[str],
) -> None:  # fmt: skip
    divisor = UNITS[resource][0]
    sheet.y += 14
    sheet.section(_HEADINGS[resource])
    sheet.y += 54
    grid = Grid(_LEFT, end, sheet.y, _HEIGHT, np.array([sheet.y + _HEIGHT / 2]))
    known = rows[rows["measured"] > 0]
    highest = float(np.nan_to_num(known["hard"].max())) * 1.05 or divisor
    scale = _HEIGHT / highest
    for value in ticks(highest / divisor):
        y, label = grid.bottom - value * divisor * scale, wording.exact(round(value, 3))
        sheet.lines(_LEFT, y, end, y, GRID_LINE)
        sheet.label(_LEFT - 14, y, label, align="right")
    draw_weeks(sheet, grid, list(rows["day"]))
    lefts, rights = day_cells(grid, len(rows))
    is_known = (rows["measured"] > 0).to_numpy()
    sheet.bars(lefts[~is_known], rights[~is_known], grid.ys, _HEIGHT, HATCH)
    below = np.full(len(rows), grid.bottom)
    for name, (look, _) in _PARTS.items():
        high = rows[name].to_numpy(dtype=float) * scale
        sheet.bars(lefts, rights, below - high / 2, high, look)
        below = below - high
    sheet.lines(lefts, below, rights, below, _HARD)
    sheet.lines(_LEFT, grid.bottom, end, grid.bottom, AXIS_LINE)
    if words:  # beside the last day
        parts = known[list(_PARTS)].iloc[-1].to_numpy(dtype=float) * scale
        middles = grid.bottom - np.cumsum(parts) + parts / 2
        wanted = [grid.bottom - parts.sum() - 14, *middles[::-1]]
        low, most = grid.top - 14, grid.bottom + 14
        edges = spread([y - 14 for y in wanted], [28] * 4, low=low, high=most, gap=0)
        for edge, text in zip(edges, words, strict=True):
            bold = text.startswith("requested")  # what the title is about
            sheet.text(grid.right + 16, edge + 14, text, bold=bold)
    _draw_names(sheet, layers, grid.top, divisor)
    sheet.y = grid.bottom + 36


def _draw_names(sheet: Sheet, layers: pd.DataFrame, top: float, divisor: float) -> None:
    """Name who requests most and does not use it, over the last 7 days."""
    rows = layers[layers["requested_unused"] > 0].sort_values(
        ["requested_unused", "namespace_name"], ascending=[False, True]
    )
    if rows.empty:
        return
    for above, words in ((44, "requested and not used most"), (18, "in the last 7 days")):
        sheet.label(_NAMES, top - above, words)
    amounts = rows["requested_unused"] / divisor
    found = [*zip(rows["namespace_name"], amounts, strict=True)][:MOST_NAMED]
    if len(rows) > MOST_NAMED:
        found.append((f"{len(rows) - MOST_NAMED:,} more", amounts.iloc[MOST_NAMED:].sum()))
    for place, (name, value) in enumerate(found):
        y, is_rest = top + 14 + 34 * place, place == MOST_NAMED
        color, amount = colors.TEXT if is_rest else colors.INK, wording.number(value)
        sheet.text(RIGHT, y, amount, color=color, bold=not is_rest, align="right")
        limit = RIGHT - _NAMES - sheet.width(amount, bold=True) - 16
        sheet.text(_NAMES, y, name, color=color, limit=limit)
