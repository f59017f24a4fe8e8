"""Whether quota that is requested and not used grows: the three layers of each day.

One panel per resource, a column a day, nested as in `three_layers`; who requests most of it stands
beside it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from mnslib.quantities import GIB
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import RIGHT, SMALL, Canvas, Chart, spread, ticks
from mnslib.show.charts.heatmap import day_cell, draw_weeks
from mnslib.show.charts.marks import HATCH, Fill, Grid, Stroke
from mnslib.show.layers import claimed_finding

MOST_NAMED = 5
_HEIGHT, _LEFT, _NAMES = 250, 120, 1290
"""Pixels: how high a panel is, where its days begin, where the names begin."""
_UNITS = {"cpu": (1.0, "CPU, cores"), "memory": (float(GIB), "Memory, GiB")}
_PARTS = (
    ("used", "used", Fill(colors.USED)),
    ("requested_unused", "requested, not used", Fill(colors.REQUESTED)),
    ("unrequested", "not requested", Fill(colors.UNREQUESTED)),
)
"""From the bottom up; together they are the hard quota."""
_HARD = Stroke(colors.INK, 4)

Row = dict[str, Any]


def layers_over_time(
    by_day: pd.DataFrame,
    layers: pd.DataFrame,
    *,
    moment: datetime,
    note: str = "",
    family: str | None = None,
) -> Chart:
    """Return the chart of hard, requested and used by day, of all namespaces together.

    Args:
        by_day: from `capacity.layers.layers_by_day`.
        layers: from `capacity.layers.layers_table`; names who requests most and does not use it.
        moment: when the quotas were read.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    canvas, title = Canvas("layers_over_time", family=family), claimed_finding(by_day)
    canvas.heading(
        title,
        "Hard quota of each day in its layers, summed over the namespaces measured on it; "
        "requested and used: 95th percentile of the day",
    )
    known = by_day[by_day["hard"] > 0]
    if known.empty:
        canvas.note("Looked for days with samples of quota, requests and use for half of the day.")
    else:
        canvas.legend(_marks(by_day))
        panels: dict[str, list[Any]] = {
            name: by_day[by_day["resource"] == name].to_dict("records") for name in _UNITS
        }
        words = [text for name, rows in panels.items() for text in _amount_words(rows, name)]
        end = _NAMES - 56 - canvas.widest(words, bold=True)
        for resource, rows in panels.items():
            own = layers[layers["resource"] == resource]
            _draw_panel(canvas, resource, rows, own, end=end)
    source = _source(by_day, known, moment)
    alt = " ".join([f"{title}.", *_last_day(known)])
    return canvas.finish(source=f"{source} {note}".strip(), alt=alt)


def _marks(by_day: pd.DataFrame) -> list[tuple[Fill | Stroke, str]]:
    marks: list[tuple[Fill | Stroke, str]] = [(fill, label) for _, label, fill in _PARTS]
    marks.append((_HARD, "hard quota"))
    is_missing = bool((by_day["measured"] == 0).any())
    return [*marks, *([(HATCH, "unknown: nothing was measured")] if is_missing else [])]


def _source(by_day: pd.DataFrame, known: pd.DataFrame, moment: datetime) -> str:
    days = [*by_day["day"], moment.date()]
    source = f"Source: ResourceQuota and measured use, {wording.period(min(days), max(days))}, "
    source += "days in UTC. "
    if len(known):
        least, most = known["measured"].min(), known["measured"].max()
        span = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        source += f"Measured: {span} namespaces a day; unknown and left out: at most "
        source += f"{by_day['left_out'].max():,}. "
    return source + (
        "Compared: the median share of the first week with that of the last. All days: "
        "tables/layers_by_day.csv."
    )


def _last_day(known: pd.DataFrame) -> list[str]:
    """Return the layers of the last day that has them, as a sentence per resource."""
    return [
        f"{_UNITS[name][1].partition(',')[0]} on {wording.day(row['day'])}: hard "
        f"{wording.quantity(name, row['hard'])}, requested "
        f"{wording.quantity(name, row['requested'])}, used {wording.quantity(name, row['usage'])}."
        for name in _UNITS
        for row in known[known["resource"] == name].tail(1).to_dict("records")
    ]


def _amount_words(rows: list[Row], resource: str) -> list[str]:
    """Return the last known day's quota, and its parts from the top down with their shares."""
    known = [row for row in rows if row["measured"]]
    if not known:
        return []
    row, divisor, amounts = known[-1], _UNITS[resource][0], _amounts(known[-1])
    words = [f"hard {wording.exact(row['hard'] / divisor)} on {wording.day(row['day'])}"]
    for name, label, _ in reversed(_PARTS):
        share = f" ({wording.percent(amounts[name] / row['hard'])})" if row["hard"] else ""
        words.append(f"{label} {wording.number(amounts[name] / divisor)}{share}")
    return words


def _draw_panel(
    canvas: Canvas, resource: str, rows: list[Row], layers: pd.DataFrame, *, end: float
) -> None:
    divisor, heading = _UNITS[resource]
    canvas.y += 14
    canvas.section(heading)
    canvas.y += 54
    grid, days = Grid(_LEFT, end, canvas.y, _HEIGHT, 1), [row["day"] for row in rows]
    known = [row for row in rows if row["measured"]]
    highest = max((row["hard"] for row in known), default=0.0) * 1.05 or divisor
    for value in ticks(highest / divisor):
        y = grid.bottom - _HEIGHT * value * divisor / highest
        canvas.line(_LEFT, y, end, y, Stroke(colors.GRID, 2))
        words = wording.exact(round(value, 3))
        canvas.text(_LEFT - 14, y, words, size=SMALL, color=colors.MUTED, align="right")
    draw_weeks(canvas, grid, days)
    for index, row in enumerate(rows):
        _draw_day(canvas, day_cell(grid, index, len(rows)), row, grid, highest)
    canvas.line(_LEFT, grid.bottom, end, grid.bottom, Stroke(colors.AXIS, 2))
    if known:
        _draw_amounts(canvas, known[-1], grid, highest, _amount_words(rows, resource))
    _draw_names(canvas, layers, grid.top, divisor)
    canvas.y = grid.bottom + 36


def _amounts(row: Row) -> dict[str, float]:
    """Return what each part holds; what is used above the quota is not drawn."""
    used = row["hard"] - row["unrequested"] - row["requested_unused"]
    return {
        "used": used,
        "requested_unused": row["requested_unused"],
        "unrequested": row["unrequested"],
    }


def _draw_day(
    canvas: Canvas, edges: tuple[float, float], row: Row, grid: Grid, highest: float
) -> None:
    left, right = edges
    if not row["measured"]:
        canvas.box(left, grid.top, right, grid.bottom, HATCH)
        return
    amounts, y = _amounts(row), grid.bottom
    for name, _, fill in _PARTS:
        top = y - _HEIGHT * amounts[name] / highest
        canvas.box(left, top, right, y, fill)
        y = top
    canvas.line(left, y, right, y, _HARD)


def _draw_amounts(canvas: Canvas, row: Row, grid: Grid, highest: float, words: list[str]) -> None:
    """Write beside the last day what its quota and each of its parts hold."""
    amounts, below, middles = _amounts(row), 0.0, []
    for name, _, _ in _PARTS:
        middles.append(grid.bottom - _HEIGHT * (below + amounts[name] / 2) / highest)
        below += amounts[name]
    wanted = [grid.bottom - _HEIGHT * below / highest - 14, *reversed(middles)]
    edges = spread(
        [y - 14 for y in wanted], [28] * 4, low=grid.top - 14, high=grid.bottom + 14, gap=0
    )
    for edge, text in zip(edges, words, strict=True):
        bold = text.startswith("requested")  # what the title is about
        canvas.text(grid.right + 16, edge + 14, text, bold=bold)


def _draw_names(canvas: Canvas, layers: pd.DataFrame, top: float, divisor: float) -> None:
    """Name who requests most and does not use it, over the last 7 days."""
    rows = layers[layers["requested_unused"] > 0].sort_values(
        ["requested_unused", "namespace_name"], ascending=[False, True]
    )
    if rows.empty:
        return
    for above, words in ((44, "requested and not used most"), (18, "in the last 7 days")):
        canvas.text(_NAMES, top - above, words, size=SMALL, color=colors.MUTED)
    y = top + 14
    for row in rows.head(MOST_NAMED).to_dict("records"):
        amount = wording.number(row["requested_unused"] / divisor)
        canvas.text(RIGHT, y, amount, bold=True, align="right")
        room = RIGHT - _NAMES - canvas.width(amount, bold=True) - 16
        canvas.text(_NAMES, y, row["namespace_name"], limit=room)
        y += 34
    rest = rows["requested_unused"].iloc[MOST_NAMED:]
    if len(rest):
        amount = wording.number(rest.sum() / divisor)
        canvas.text(_NAMES, y, f"{len(rest):,} more", color=colors.TEXT)
        canvas.text(RIGHT, y, amount, color=colors.TEXT, align="right")
