"""What is granted, asked for and used, where the idle quota sits, and whether it grows.

Bars nested in one hue, light to dark as committed to real, one row per namespace; and a column a
day, of all together, with who requests most and does not use it.
"""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity import summaries
from mnslib.capacity.clusters import USAGE_WINDOW
from mnslib.capacity.quota_values import BARE
from mnslib.quantities import GIB
from mnslib.show import wording
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import MARGIN, RIGHT, SMALL, Grid, Sheet, spread, top_rows
from mnslib.show.views import said

HEADINGS = {"cpu": "CPU, cores", "memory": "Memory, GiB"}
UNITS = {"cpu": (1.0, "cores"), "memory": (float(GIB), "GiB")}
_PARTS = {"used": "used", "requested_unused": "requested, not used", "unrequested": "not requested"}
"""From real to committed; together they are the hard quota. What is used above it is not drawn."""


def three_layers(layers: pd.DataFrame, *, moment: datetime, note: str = "") -> Chart:
    """Return the chart of hard, requested and used CPU, one row per namespace, most idle first.

    Args:
        layers: from `capacity.layers.layers_table`.
        moment: when the quotas were read; the window ends there.
        note: sentences that the source line ends with.
    """
    own = layers[layers["resource"] == "cpu"]
    rows = own[own["reason"] != BARE]
    rows = rows.assign(known=rows["reason"] == "", idle_ratio=rows["idle"] / rows["hard"],
                       tone=np.where(rows["reason"] == "", "ink", "text"))  # fmt: skip
    order = ["known", "idle", "hard", "cluster_name", "namespace_name"]
    rows = rows.sort_values(order, ascending=[False, False, False, True, True])
    shown, rest = top_rows(rows, rows["known"])
    known, totals = rest[rest["known"]], summaries.total_layers(layers, "cpu")
    is_unread = shown["hard"].isna()
    sheet = Sheet(
        "three_layers", finding=said("layers", summaries.layer_findings(layers, "cpu")),
        moment=moment, note=note, first=moment - USAGE_WINDOW, totals=totals, all=len(own),
        rows=len(rows), bare=len(own) - len(rows), is_unread=is_unread.any(),
        unmeasured=len(rows) - np.nan_to_num(totals["measured"]), rest=len(known),
        rest_hard=known["hard"].sum(), rest_idle=known["idle"].sum(),
        rest_ratio=known["idle"].sum() / (known["hard"].sum() or 1),
        rest_unknown=len(rest) - len(known),
    )  # fmt: skip
    if totals["measured"] > 0 and totals["measured_hard"] > 0:
        _draw_totals(sheet, totals)
    if rows.empty:
        return sheet.nothing()
    # what follows a comma in a long reason can be missed best
    most = sheet.told["rows"]["right"]["usage"]["most"]
    remarks = [reason if sheet.width(reason) <= most else reason.partition(", ")[0]
               for reason in shown["reason"]]  # fmt: skip
    grid = sheet.grid(shown.assign(remark=remarks))
    amounts = shown[["hard", "requested", "usage", "peak_usage"]].astype(float)
    highest = float(np.nan_to_num(amounts[~is_unread].to_numpy()).max(initial=0)) * 1.12  # the unit
    if highest:
        sheet.axis(grid, highest, unit="cores")
    _draw_bars(sheet, grid, amounts / (highest or 1.0))
    sheet.tell("more_rows")
    sheet.tell("more_unknown")
    sheet.y += 12
    is_read, is_known = not is_unread.all(), shown["known"]
    sheet.legend(
        used=is_known.any(), requested=is_read, unrequested=is_read, hard=is_read,
        highest=is_known.any(), unknown=not is_known.all(),
    )  # fmt: skip
    return sheet.finish()


def _draw_totals(sheet: Sheet, totals: dict[str, Any]) -> None:
    """Draw the sums of all that was measured as one bar, and what it leaves out of the quotas."""
    end = sheet.text(MARGIN, sheet.y, sheet.say("together"), bold=True)
    sheet.text(end + 24, sheet.y, sheet.say("measured"), color="muted")
    whole, y = totals["measured_hard"], sheet.y + 44
    unused, rest = totals["requested_unused"], totals["unrequested"]
    parts = dict(zip(_PARTS, (whole - rest - unused, unused, rest), strict=True))
    for name, x, end in sheet.stack(parts, MARGIN, RIGHT, y, 44, gap=4):
        number, is_used = wording.number_text(parts[name]), name == "used"
        value = f"{number} ({wording.percent(parts[name] / whole)})"
        texts = (f"{_PARTS[name]}  {value}", value, number)
        fitting = (t for t in texts if sheet.width(t, bold=is_used) + 24 <= end - x)
        color = "white" if is_used else "ink"
        sheet.text(x + 12, y, next(fitting, ""), bold=is_used, color=color)
    sheet.y += 106


def _draw_bars(sheet: Sheet, grid: Grid, amounts: pd.DataFrame) -> None:
    """Draw the layers from the outside in; what is unknown is hatched."""
    hard, requested, usage, peak = grid.x(amounts).to_numpy().T
    half, is_known = grid.step * 0.3, np.isfinite(hard)
    asked, used = (np.where(is_known, one, np.nan) for one in (requested, usage))
    ends = np.where(asked > grid.left, asked, hard)
    sheet.bars(grid.left, np.where(is_known, np.nan, grid.right), grid.ys, 2 * half, "unknown")
    sheet.bars(grid.left, hard, grid.ys, 2 * half, "unrequested")
    sheet.bars(grid.left, asked, grid.ys, 1.6 * half, "requested")
    hatched = np.where(np.isfinite(asked) & np.isfinite(used), np.nan, ends)
    sheet.bars(grid.left, hatched, grid.ys, 0.8 * half, "unknown")
    sheet.bars(grid.left, used, grid.ys, 0.7 * half, "used")
    sheet.vlines(peak, grid.ys - 0.7 * half, grid.ys + 0.7 * half, "highest")
    sheet.vlines(hard, grid.ys - 1.25 * half, grid.ys + 1.25 * half, "hard")


MOST_NAMED = 5
_HEIGHT, _LEFT, _NAMES = 250, 120, 1290
"""Pixels: how high a panel is, where its days begin, where the names begin."""


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
        "layers_over_time", finding=said("trend", summaries.trend_findings(by_day)), note=note,
        first=min(days), last=max(days), least=known["measured"].min(),
        most=known["measured"].max(), left_out=by_day["left_out"].max(), days=last,
    )  # fmt: skip
    if known.empty:
        return sheet.nothing()
    is_missing = by_day["measured"] == 0
    there = dict.fromkeys([*_PARTS, "hard_by_day"], True)
    sheet.legend(**there, unknown=is_missing.any())
    used = by_day["hard"] - by_day["unrequested"] - by_day["requested_unused"]
    by_day = by_day.assign(used=used)
    lasts: list[Any] = by_day[~is_missing].groupby("resource").tail(1).to_dict("records")
    words = {row["resource"]: _amount_words(row) for row in lasts}
    widths = [sheet.width(text, bold=True) for found in words.values() for text in found]
    end = _NAMES - 56 - max(widths)
    for resource in UNITS:
        rows = by_day[by_day["resource"] == resource]
        own = layers[layers["resource"] == resource]
        _draw_panel(sheet, resource, rows, own, end=end, words=words.get(resource, []))
    return sheet.finish()


def _amount_words(row: Any) -> list[str]:
    """Return a day's quota, and its parts from the top down with their shares."""
    divisor, hard = UNITS[row["resource"]][0], row["hard"]
    words = [f"quota {wording.exact(hard / divisor)} on {wording.day(row['day'])}"]
    for name, label in reversed(_PARTS.items()):
        share = f" ({wording.percent(row[name] / hard)})" if hard else ""
        words.append(f"{label} {wording.number_text(row[name] / divisor)}{share}")
    return words


def _draw_panel(
    sheet: Sheet, resource: str, rows: pd.DataFrame, layers: pd.DataFrame, *, end: float,
    words: list[str],
) -> None:  # fmt: skip
    divisor, is_known = UNITS[resource][0], (rows["measured"] > 0).to_numpy()
    sheet.y += 14
    sheet.section(HEADINGS[resource], height=54)
    grid = Grid(_LEFT, end, sheet.y, sheet.y + _HEIGHT)
    highest = float(np.nan_to_num(rows["hard"][is_known].max())) * 1.05 or divisor
    sheet.levels(grid, highest / divisor)
    edges = grid.x(np.arange(len(rows) + 1) / max(len(rows), 1))
    lefts, wide = edges[:-1], (end - _LEFT) / max(len(rows), 1)
    rights = edges[1:] - (min(2.0, wide / 8) if wide >= 4 else 0.0)  # the gap closes with the cell
    _draw_weeks(sheet, grid, dict(zip(rows["day"], lefts, strict=True)))
    middle = (grid.top + grid.bottom) / 2
    sheet.bars(lefts[~is_known], rights[~is_known], middle, _HEIGHT, "unknown")
    parts = rows[[*_PARTS]].to_numpy(dtype=float) / highest
    tops = grid.y(np.cumsum(parts, axis=1))
    middles = tops + parts * _HEIGHT / 2
    for place, name in enumerate(_PARTS):
        sheet.bars(lefts, rights, middles[:, place], parts[:, place] * _HEIGHT, name)
    sheet.lines(lefts, tops[:, -1], rights, tops[:, -1], "hard_by_day")
    sheet.lines(_LEFT, grid.bottom, end, grid.bottom, "axis")
    if words:  # beside the last day
        last = np.flatnonzero(is_known)[-1]
        wanted = [tops[last, -1] - 28, *(middles[last, ::-1] - 14)]
        low, most = grid.top - 14, grid.bottom + 14
        edges = spread(wanted, [28] * 4, low=low, high=most, gap=0)
        for edge, text in zip(edges, words, strict=True):
            bold = text.startswith("requested")  # what the title is about
            sheet.text(end + 16, edge + 14, text, bold=bold)
    _draw_names(sheet, layers, grid.top, divisor)
    sheet.y = grid.bottom + 36


def _draw_names(sheet: Sheet, layers: pd.DataFrame, top: float, divisor: float) -> None:
    """Name who requests most and does not use it, over the last 7 days."""
    rows = layers[layers["requested_unused"] > 0].sort_values(
        ["requested_unused", "namespace_name"], ascending=[False, True]
    )
    if len(rows):
        sheet.label(_NAMES, top - 44, "requested and not used most")
        sheet.label(_NAMES, top - 18, "in the last 7 days")
    amounts = rows["requested_unused"] / divisor
    found = [*zip(rows["namespace_name"], amounts, strict=True)][:MOST_NAMED]
    if len(rows) > MOST_NAMED:
        found.append((f"{len(rows) - MOST_NAMED:,} more", amounts[MOST_NAMED:].sum()))
    for place, (name, value) in enumerate(found):
        y, is_rest = top + 14 + 34 * place, place == MOST_NAMED
        color, amount = "text" if is_rest else "ink", wording.number_text(value)
        sheet.text(RIGHT, y, amount, color=color, bold=not is_rest, align="right")
        limit = RIGHT - _NAMES - sheet.width(amount, bold=True) - 16
        sheet.text(_NAMES, y, name, color=color, limit=limit)


def _draw_weeks(sheet: Sheet, grid: Grid, days: dict[Any, float]) -> None:
    """Name the Mondays, as many as have room; the first day where no Monday is."""
    free, mondays = grid.left, [day for day in days if day.weekday() == 0]
    for day in mondays or [*days][:1]:
        year = "" if day.year == max(days).year else f" {day.year}"
        x, words = days[day], wording.weekday(day) + year
        width = sheet.width(words, SMALL)
        if x >= free and x + width <= grid.right:
            sheet.label(x, grid.top - 18, words)
            sheet.vlines(x - 1, grid.top - 4, grid.bottom, "week")
            free = x + width + 16
