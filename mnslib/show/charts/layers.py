"""What is granted, asked for and used, where the idle quota sits, and whether it grows.

Bars nested in one hue, light to dark as committed to real, one row per namespace; and a column a
day, of all together, with who requests most and does not use it.
"""

from __future__ import annotations

from datetime import date, datetime
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
    AXIS_LINE,
    DOTTED,
    GRID_LINE,
    HATCH,
    MARGIN,
    RIGHT,
    SMALL,
    Column,
    Floats,
    Grid,
    Look,
    Sheet,
    shares,
    spread,
    ticks,
    top_rows,
)
from mnslib.show.views import said

MOST_REASON = 330
"""Pixels of the last column."""
USED, REQUESTED, UNREQUESTED = map(Look, (colors.USED, colors.REQUESTED, colors.UNREQUESTED))
_HARD, _HIGHEST = Look(colors.INK, line=5), Look(colors.INK, line=2)
_WEEK = Look(colors.AXIS, line=1.5, style=DOTTED)
HEADINGS = {"cpu": "CPU, cores", "memory": "Memory, GiB"}
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
            "finding": said("layers", summaries.layer_findings(layers, resource)),
            "moment": moment, "note": note,
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


MOST_NAMED = 5
_HEIGHT, _LEFT, _NAMES = 250, 120, 1290
"""Pixels: how high a panel is, where its days begin, where the names begin."""
_PARTS = {
    "used": (USED, "used"),
    "requested_unused": (REQUESTED, "requested, not used"),
    "unrequested": (UNREQUESTED, "not requested"),
}
"""From the bottom up; together they are the hard quota. What is used above it is not drawn."""
_HARD_BY_DAY = Look(colors.INK, line=4)


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
            "finding": said("trend", summaries.trend_findings(by_day)),
            "first": min(days), "last": max(days),
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
            (_HARD_BY_DAY, "hard quota", True),
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
    sheet.section(HEADINGS[resource])
    sheet.y += 54
    grid = Grid(_LEFT, end, sheet.y, _HEIGHT, np.array([sheet.y + _HEIGHT / 2]))
    known = rows[rows["measured"] > 0]
    highest = float(np.nan_to_num(known["hard"].max())) * 1.05 or divisor
    scale = _HEIGHT / highest
    for value in ticks(highest / divisor):
        y, label = grid.bottom - value * divisor * scale, wording.exact(round(value, 3))
        sheet.lines(_LEFT, y, end, y, GRID_LINE)
        sheet.label(_LEFT - 14, y, label, align="right")
    _draw_weeks(sheet, grid, list(rows["day"]))
    lefts, rights = _day_cells(grid, len(rows))
    is_known = (rows["measured"] > 0).to_numpy()
    sheet.bars(lefts[~is_known], rights[~is_known], grid.ys, _HEIGHT, HATCH)
    below = np.full(len(rows), grid.bottom)
    for name, (look, _) in _PARTS.items():
        high = rows[name].to_numpy(dtype=float) * scale
        sheet.bars(lefts, rights, below - high / 2, high, look)
        below = below - high
    sheet.lines(lefts, below, rights, below, _HARD_BY_DAY)
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


def _day_cells(grid: Grid, days: int) -> tuple[Floats, Floats]:
    """Return both edges of each day's cell; the gap shrinks with the cell, then closes."""
    edges = grid.x(np.arange(days + 1) / max(days, 1))
    wide = (grid.right - grid.left) / max(days, 1)
    return edges[:-1], edges[1:] - (min(2.0, wide / 8) if wide >= 4 else 0.0)


def _draw_weeks(sheet: Sheet, grid: Grid, days: list[date]) -> None:
    """Name the Mondays, as many as have room; the first day where no Monday is."""
    free, (lefts, _) = grid.left, _day_cells(grid, len(days))
    for index in [index for index, day in enumerate(days) if day.weekday() == 0] or [0]:
        x, words = lefts[index], wording.weekday(days[index])
        words += "" if days[index].year == days[-1].year else f" {days[index].year}"
        width = sheet.width(words, SMALL)
        if x >= free and x + width <= grid.right:
            sheet.label(x, grid.top - 18, words)
            sheet.vlines(x - 1, grid.top - 4, grid.bottom, _WEEK)
            free = x + width + 16
