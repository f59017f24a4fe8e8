"""What is granted, asked for and used, and where the idle quota sits.

Bars nested in one hue, light to dark as committed to real; the totals on top cover all namespaces.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity import summaries
from mnslib.capacity.clusters import USAGE_WINDOW
from mnslib.capacity.quota_values import BARE
from mnslib.quantities import GIB
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import (
    HATCH,
    MARGIN,
    RIGHT,
    Column,
    Grid,
    Look,
    Sheet,
    shares,
    top_rows,
)
from mnslib.show.views import finding

MOST_REASON = 330
"""Pixels of the last column."""
USED, REQUESTED, UNREQUESTED = map(Look, (colors.USED, colors.REQUESTED, colors.UNREQUESTED))
_HARD, _HIGHEST = Look(colors.INK, line=5), Look(colors.INK, line=2)
UNITS = {"cpu": (1.0, "cores"), "memory": (float(GIB), "GiB")}


def three_layers(
    layers: pd.DataFrame, *, moment: datetime, resource: str = "cpu", note: str = ""
) -> Chart:
    """Return the chart of hard, requested and used, one row per namespace, most idle first.

    Args:
        layers: from `capacity.layers.layers_table`.
        moment: when the quotas were read; the window ends there.
        resource: `cpu` or `memory`.
        note: sentences that the source line ends with.
    """
    divisor, unit = UNITS[resource]
    own = layers[layers["resource"] == resource]
    granted = own[own["reason"] != BARE].assign(known=lambda frame: frame["reason"] == "")
    order = ["known", "idle", "hard", "cluster_name", "namespace_name"]
    rows = granted.sort_values(order, ascending=[False, False, False, True, True])
    shown, rest = top_rows(rows, rows["known"])
    known, totals = rest[rest["known"]], summaries.total_layers(layers, resource)
    hard, idle = float(known["hard"].sum()), float(known["idle"].sum())
    sheet = Sheet(
        "three_layers",
        {
            "finding": finding("layers", layers, resource=resource), "moment": moment, "note": note,
            "first": moment - USAGE_WINDOW, "resource": f"{resource}_request", "unit": unit,
            "totals": totals, "all": len(own), "rows": len(rows), "bare": len(own) - len(rows),
            "unmeasured": len(rows) - np.nan_to_num(totals["measured"]), "rest": len(known),
            "rest_hard": hard, "rest_idle": wording.number(idle / divisor),
            "rest_ratio": idle / (hard or 1),
        },
    )  # fmt: skip
    if totals["measured"] > 0 and totals["measured_hard"] > 0:
        _draw_totals(sheet, totals, divisor)
    if rows.empty:
        return sheet.nothing()
    _draw_rows(sheet, shown, divisor, unit)
    sheet.note(sheet.say("rest"))
    if unknown := len(rest) - len(known):
        sheet.note(f"and {unknown:,} more unknown")
    sheet.y += 12
    is_unread = shown["hard"].isna()
    sheet.legend(
        [
            (USED, "used, P95", shown["known"].any()),
            (REQUESTED, "requested", not is_unread.all()),
            (UNREQUESTED, "not requested, up to the quota", not is_unread.all()),
            (_HARD, "hard quota", not is_unread.all()),
            (_HIGHEST, "highest use", shown["known"].any()),
            (HATCH, "unknown" if is_unread.any() else "use unknown", not shown["known"].all()),
        ]
    )
    return sheet.finish(f"three_layers_{resource}")


def _draw_totals(sheet: Sheet, totals: dict[str, Any], divisor: float) -> None:
    """Draw the sums of all that was measured as one bar, and what it leaves out of the quotas."""
    end = sheet.text(MARGIN, sheet.y, sheet.say("together"), bold=True)
    sheet.text(end + 24, sheet.y, sheet.say("measured"), color=colors.MUTED)
    whole, y = totals["measured_hard"], sheet.y + 44
    unused = totals["requested_unused"]
    used = whole - totals["unrequested"] - unused
    parts = {"used": used, "requested, not used": unused, "not requested": totals["unrequested"]}
    places = shares(list(parts.values()), MARGIN, RIGHT, gap=4)
    looks = (USED, REQUESTED, UNREQUESTED)
    for (label, amount), (x, end), look in zip(parts.items(), places, looks, strict=True):
        sheet.bars(x, end, y, 44, look)
        is_used, number = look is USED, wording.number(amount / divisor)
        value = f"{number} ({wording.percent(amount / whole)})"
        for text in (f"{label}  {value}", value, number):
            if sheet.width(text, bold=is_used) + 24 <= end - x:
                color = colors.WHITE if is_used else colors.INK
                sheet.text(x + 12, y, text, bold=is_used, color=color)
                break
    sheet.y += 106


def _draw_rows(sheet: Sheet, rows: pd.DataFrame, divisor: float, unit: str) -> None:
    known = rows["known"]
    amounts = rows[["hard", "requested", "usage", "peak_usage"]]
    texts = (amounts / divisor).map(wording.number)
    hard = (rows["hard"] / divisor).map(wording.exact)
    layers = texts["usage"] + " / " + texts["requested"] + " / " + hard
    ratio = (rows["idle"] / rows["hard"]).where(rows["hard"] > 0).map(wording.percent)
    # what follows a comma in a long reason can be missed best
    reasons = [reason if sheet.width(reason) <= MOST_REASON else reason.partition(", ")[0]
               for reason in rows["reason"]]  # fmt: skip
    grid = sheet.grid(
        [
            Column(rows["namespace_name"], "Namespace", most=280),
            Column(rows["owner"], "Owner", colors.MUTED, most=180),
        ],
        [
            Column((rows["idle"] / divisor).map(wording.number).where(known, wording.UNKNOWN),
                   "Idle", np.where(known, colors.INK, colors.TEXT), known, "right", 90),
            Column(ratio.mask(~(rows["hard"] > 0), "–").where(known, ""), "of quota", colors.TEXT,
                   align="right"),
            Column(layers.where(known, reasons), "used / requested / hard", colors.TEXT,
                   most=MOST_REASON),
        ],
    )  # fmt: skip
    values = amounts[rows["hard"].notna()].to_numpy(dtype=float)
    highest = float(np.max(values[np.isfinite(values)], initial=0.0)) * 1.12  # with the unit
    if highest:
        sheet.axis(grid, highest, unit=unit, divisor=divisor)
    _draw_bars(sheet, grid, amounts / (highest or 1.0))
    sheet.y += 24


def _draw_bars(sheet: Sheet, grid: Grid, amounts: pd.DataFrame) -> None:
    """Draw the layers from the outside in; what is unknown is hatched."""
    hard, requested, usage, peak = grid.x(amounts).to_numpy().T
    half, none = grid.step * 0.3, grid.x(amounts["hard"] * np.nan).to_numpy()
    is_known, is_asked, is_used = (np.isfinite(one) for one in (hard, requested, usage))
    ends = np.where(is_asked & (requested > grid.left), requested, hard)
    sheet.bars(grid.left, np.where(is_known, none, grid.right), grid.ys, 2 * half, HATCH)
    sheet.bars(grid.left, hard, grid.ys, 2 * half, UNREQUESTED)
    sheet.bars(grid.left, np.where(is_known, requested, none), grid.ys, 1.6 * half, REQUESTED)
    hatched = is_known & ~(is_asked & is_used)
    sheet.bars(grid.left, np.where(hatched, ends, none), grid.ys, 0.8 * half, HATCH)
    sheet.bars(grid.left, np.where(is_known, usage, none), grid.ys, 0.7 * half, USED)
    sheet.vlines(peak, grid.ys - 0.7 * half, grid.ys + 0.7 * half, _HIGHEST)
    sheet.vlines(hard, grid.ys - 1.25 * half, grid.ys + 1.25 * half, _HARD)
