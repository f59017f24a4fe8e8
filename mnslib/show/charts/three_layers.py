"""What is granted, asked for and used, and where the idle quota sits.

Bars nested in one hue, light to dark as promised to real; the totals on top cover all namespaces.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from mnslib.capacity.clusters import USAGE_WINDOW
from mnslib.capacity.quota_values import BARE
from mnslib.quantities import GIB
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import MARGIN, MOST_ROWS, RIGHT, SMALL, Canvas, Chart, ticks
from mnslib.show.charts.marks import HATCH, Column, Fill, Grid, Stroke, Words
from mnslib.show.layers import layers_finding, total_layers

TOP_KNOWN, TOP_UNKNOWN = 18, 2
MOST_REASON = 330
"""Pixels of the last column."""
_USED, _REQUESTED = Fill(colors.USED), Fill(colors.REQUESTED)
_UNREQUESTED = Fill(colors.UNREQUESTED)
_HARD, _HIGHEST = Stroke(colors.INK, 5), Stroke(colors.INK, 2)
_UNITS = {"cpu": (1.0, "cores"), "memory": (float(GIB), "GiB")}

Row = dict[str, Any]


def three_layers(
    layers: pd.DataFrame,
    *,
    moment: datetime,
    resource: str = "cpu",
    note: str = "",
    family: str | None = None,
) -> Chart:
    """Return the chart of hard, requested and used, one row per namespace, most idle first.

    Args:
        layers: from `capacity.layers.layers_table`.
        moment: when the quotas were read; the window ends there.
        resource: `cpu` or `memory`.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    own = layers[layers["resource"] == resource]
    granted = own[own["reason"] != BARE].assign(_known=lambda frame: frame["reason"] == "")
    order = ["_known", "idle", "hard", "cluster_name", "namespace_name"]
    ordered = granted.sort_values(order, ascending=[False, False, False, True, True])
    rows: list[Row] = ordered.to_dict("records")  # type: ignore[assignment]
    canvas, title = (
        Canvas(f"three_layers_{resource}", family=family),
        layers_finding(layers, resource=resource),
    )
    words, unit = wording.RESOURCE_WORDS[f"{resource}_request"], _UNITS[resource][1]
    canvas.heading(
        title,
        f"{words[0].upper()}{words[1:]} quota by layer, {unit}. Requested and used: 95th "
        "percentile of the last 7 days. Ordered by idle quota, hard minus used",
    )
    totals = total_layers(layers, resource)
    if totals["measured"] > 0 and totals["measured_hard"] > 0:
        _draw_totals(canvas, totals, resource, len(rows))
    if rows:
        _draw_rows(canvas, rows, resource)
    else:
        canvas.note(f"Looked for quotas on {words} in {wording.count(len(own), 'namespace')}.")
    bare = len(own) - len(granted)
    source = (
        f"Source: ResourceQuota and measured use, "
        f"{wording.period((moment - USAGE_WINDOW).date(), moment.date())}, hard of "
        f"{wording.moment(moment)}. Idle counts quota once: not requested, plus requested and "
        "not used. "
    )
    source += f"Not drawn: {wording.count(bare, 'namespace')} without this quota. " if bare else ""
    alt = f"{title}. {_sums(totals, resource)}".strip()
    return canvas.finish(source=f"{source}{note}".strip(), alt=alt)


def _amount(resource: str, value: float) -> str:
    return wording.number(value / _UNITS[resource][0])


def _sums(totals: Row, resource: str) -> str:
    if not totals["namespaces"] > 0:
        return ""
    hard = f"Hard {wording.quota_sum(resource, totals['hard'])}"
    if not totals["measured"]:
        return f"{hard}."
    requested, used = (wording.quantity(resource, totals[name]) for name in ("requested", "usage"))
    part = "" if totals["measured"] == totals["namespaces"] else (
        f" of the {wording.count(int(totals['measured']), 'namespace')} measured"
    )  # fmt: skip
    return f"{hard}, requested {requested}, used {used}{part}."


def _draw_totals(canvas: Canvas, totals: Row, resource: str, count: int) -> None:
    """Draw the sums of all that was measured as one bar, and what it leaves out of the quotas."""
    known, measured = int(totals["namespaces"]), int(totals["measured"])
    of = "" if known == count else f"{known:,} of "
    who = f"{of}{wording.count(count, 'namespace')} together"
    hard = f"{wording.quota_sum(resource, totals['hard'])} of quota"
    end = canvas.text(MARGIN, canvas.y, f"{who}: {hard}", bold=True)
    if measured < count:
        own = wording.quota_sum(resource, totals["measured_hard"])
        words = f"the bar is the {own} of {measured:,}; {count - measured:,} with something unknown"
        canvas.text(end + 24, canvas.y, words, color=colors.MUTED)
    canvas.y += 22
    whole = totals["measured_hard"]
    used = whole - totals["unrequested"] - totals["requested_unused"]
    parts = [
        ("used", used, _USED),
        ("requested, not used", totals["requested_unused"], _REQUESTED),
        ("not requested", totals["unrequested"], _UNREQUESTED),
    ]
    x, height = float(MARGIN), 44
    for label, amount, fill in parts:
        share = amount / whole
        end = x + (RIGHT - MARGIN - 8) * share
        canvas.box(x, canvas.y, end, canvas.y + height, fill)
        value = f"{_amount(resource, amount)} ({wording.percent(share)})"
        for text in (f"{label}  {value}", value, _amount(resource, amount)):
            if canvas.width(text, bold=fill is _USED) + 24 <= end - x:
                canvas.text(
                    x + 12, canvas.y + height / 2, text, bold=fill is _USED,
                    color=colors.WHITE if fill is _USED else colors.INK,
                )  # fmt: skip
                break
        x = end + 4
    canvas.y += height + 40


def _selected(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows to draw and the rest; unknown ones get a share of both."""
    if len(rows) <= MOST_ROWS:
        return rows, []
    known = [row for row in rows if row["_known"]]
    unknown = rows[len(known) :]
    room = max(TOP_UNKNOWN, TOP_KNOWN + TOP_UNKNOWN - len(known))
    return known[:TOP_KNOWN] + unknown[:room], known[TOP_KNOWN:] + unknown[room:]


def _draw_rows(canvas: Canvas, rows: list[Row], resource: str) -> None:
    shown, rest = _selected(rows)
    columns = zip(*(_cells(canvas, row, resource) for row in shown), strict=True)
    name, owner, idle, share, layers = columns
    grid = canvas.grid(
        [Column(head="Namespace", cells=name, most=280),
         Column(head="Owner" if any(cell.text for cell in owner) else "", cells=owner, most=180)],
        [Column(head="Idle", cells=idle, align="right", least=90),
         Column(head="of quota", cells=share, align="right"),
         Column(head="used / requested / hard", cells=layers, most=MOST_REASON)],
    )  # fmt: skip
    names = ("hard", "requested", "usage", "peak_usage")
    drawn = [row for row in shown if not wording.is_unknown(row["hard"])]
    amounts = [row[key] for row in drawn for key in names if not wording.is_unknown(row[key])]
    highest = max(amounts, default=0.0) * 1.12 or 1.0  # the unit fits after the last tick
    _draw_axis(canvas, grid, resource, highest if amounts else 0.0)
    for row, y in zip(shown, grid.middles, strict=True):
        _draw_bars(canvas, grid, {key: row[key] / highest for key in names}, y)
    canvas.y += 24
    for sentence in _rest(rest, resource):
        canvas.note(sentence)
    canvas.y += 12
    canvas.legend(_marks(shown))


def _cells(canvas: Canvas, row: Row, resource: str) -> tuple[Words, ...]:
    """Return name, owner, idle, its share, and the three layers or why one is unknown."""
    name, owner = Words(row["namespace_name"]), Words(row["owner"], colors.MUTED)
    if not row["_known"]:
        unknown = Words(wording.UNKNOWN, colors.TEXT)
        reason = row["reason"]
        if canvas.width(reason) > MOST_REASON:  # what follows a comma can be missed best
            reason = reason.partition(", ")[0]
        return name, owner, unknown, Words(), Words(reason, colors.TEXT)
    divisor = _UNITS[resource][0]
    hard = wording.exact(row["hard"] / divisor)
    layers = [_amount(resource, row[key]) for key in ("usage", "requested")]
    share = wording.percent(row["idle"] / row["hard"]) if row["hard"] else "–"
    return (
        name,
        owner,
        Words(_amount(resource, row["idle"]), bold=True),
        Words(share, colors.TEXT),
        Words(" / ".join([*layers, hard]), colors.TEXT),
    )


def _draw_axis(canvas: Canvas, grid: Grid, resource: str, highest: float) -> None:
    divisor, unit = _UNITS[resource]
    values = ticks(highest / divisor) if highest else []
    for value in values:
        x = grid.x(value * divisor / highest)
        canvas.line(x, grid.top, x, grid.bottom, Stroke(colors.GRID, 2))
        label = wording.exact(round(value, 3))
        canvas.text(x, grid.top - 18, label, size=SMALL, color=colors.MUTED, align="center")
    if values:
        half = canvas.width(wording.exact(round(values[-1], 3)), SMALL) / 2
        x = grid.x(values[-1] * divisor / highest) + half + 6
        canvas.text(x, grid.top - 18, unit, size=SMALL, color=colors.MUTED)


def _draw_bars(canvas: Canvas, grid: Grid, shares: dict[str, float], y: float) -> None:
    """Draw one namespace, from the outside in; what is unknown is hatched."""
    half = grid.height * 0.3
    if wording.is_unknown(shares["hard"]):
        canvas.box(grid.left, y - half, grid.right, y + half, HATCH)
        return
    hard, requested = grid.x(shares["hard"]), shares["requested"]
    canvas.box(grid.left, y - half, hard, y + half, _UNREQUESTED)
    if wording.is_unknown(requested):
        canvas.box(grid.left, y - half * 0.4, hard, y + half * 0.4, HATCH)
    else:
        canvas.box(grid.left, y - half * 0.8, grid.x(requested), y + half * 0.8, _REQUESTED)
        if wording.is_unknown(shares["usage"]):
            end = grid.x(requested) if requested else hard
            canvas.box(grid.left, y - half * 0.4, end, y + half * 0.4, HATCH)
    if not wording.is_unknown(shares["usage"]):
        canvas.box(grid.left, y - half * 0.35, grid.x(shares["usage"]), y + half * 0.35, _USED)
        x = grid.x(shares["peak_usage"])
        canvas.line(x, y - half * 0.7, x, y + half * 0.7, _HIGHEST)
    canvas.line(hard, y - half * 1.25, hard, y + half * 1.25, _HARD)


def _marks(shown: list[Row]) -> list[tuple[Fill | Stroke, str]]:
    is_known = any(row["_known"] for row in shown)
    has_hard = any(not wording.is_unknown(row["hard"]) for row in shown)
    is_unread = any(wording.is_unknown(row["hard"]) for row in shown)
    marks: list[tuple[Fill | Stroke, str, bool]] = [
        (_USED, "used, 95th percentile", is_known),
        (_REQUESTED, "requested", has_hard),
        (_UNREQUESTED, "not requested, up to the quota", has_hard),
        (_HARD, "hard quota", has_hard),
        (_HIGHEST, "highest use", is_known),
        (HATCH, "unknown" if is_unread else "use unknown", not all(row["_known"] for row in shown)),
    ]
    return [(mark, label) for mark, label, is_there in marks if is_there]


def _rest(rest: list[Row], resource: str) -> list[str]:
    """Return a sentence on the known rows left out, and one on the unknown ones."""
    known = [row for row in rest if row["_known"]]
    sentences = []
    if known:
        hard, idle = sum(row["hard"] for row in known), sum(row["idle"] for row in known)
        share = f" ({wording.percent(idle / hard)})" if hard else ""
        verb = "holds" if len(known) == 1 else "hold"
        sentences.append(
            f"{wording.count(len(known), 'more namespace')} {verb} "
            f"{wording.quantity(resource, hard)}, of which {_amount(resource, idle)} idle{share}: "
            "in tables/layers.csv"
        )
    if unknown := len(rest) - len(known):
        sentences.append(f"and {unknown:,} more unknown")
    return sentences
