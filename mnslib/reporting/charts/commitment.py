"""Whether clusters can carry what they promised: nodes as range, quota as tick, load as bar.

One panel per resource; words and thresholds are the mixin's, see `mnslib.commitment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.reporting import wording
from mnslib.reporting.charts.canvas import (
    AXIS,
    CRITICAL,
    GRID,
    HATCH,
    INK,
    MARGIN,
    MUTED,
    NODES,
    REQUESTED,
    RIGHT,
    SMALL,
    TEXT,
    USED,
    WARNING_TEXT,
    Canvas,
    Chart,
    Fill,
    Stroke,
    ticks,
)

MOST_ROWS, TOP_ROWS = 30, 20
"""Of each resource."""
_NODES, _REQUESTED, _USED = Fill(NODES), Fill(REQUESTED), Fill(USED)
_PROMISED, _WITHOUT_LARGEST = Stroke(INK, 5), Stroke(CRITICAL, 3, (2.6, 1.6))
_HEADINGS = {"cpu": "CPU, cores", "memory": "Memory, GiB"}
_UNITS = {"cpu": 1.0, "memory": float(wording.GIB)}
_LIMIT = float(QUOTA_OVERCOMMIT_RATIO)

Row = dict[str, Any]


def cluster_commitment(
    table: pd.DataFrame, *, moment: datetime, note: str = "", family: str | None = None
) -> Chart:
    """Return the chart of promised, requested and used against what the nodes can give.

    Args:
        table: from `capacity.commitment_table`.
        moment: when clusters were read.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    at = wording.moment(moment)
    canvas = Canvas(family=family)
    canvas.heading(
        _title(rows),
        "Promised (sum of hard quotas), requested and used against what the nodes can give, "
        f"fullest first, {at}",
    )
    if rows:
        _legend(canvas, rows)
        for resource in ("cpu", "memory"):
            found = [row for row in rows if row["resource"] == resource]
            if found:
                _draw_panel(canvas, resource, sorted(found, key=_order), rows)
    else:
        canvas.note("Looked for clusters in the subscriptions given; none was found.")
    return canvas.finish(source=_source(rows, at, note), alt=_alt(rows))


def _order(row: Row) -> tuple[bool, bool, float, float, str]:
    """Those that cannot lose a node first, then by what is requested; unknown ones last."""
    ratios = [
        0.0 if wording.is_unknown(row[name]) else float(row[name])
        for name in ("requested_ratio", "committed_ratio")
    ]
    over = row["verdict"] in ("overcommit", "quota overcommit")
    return (_is_unknown(row), not over, -ratios[0], -ratios[1], row["cluster_name"])


def _is_unknown(row: Row) -> bool:
    return wording.unknown_reason(row["verdict"]) is not None


def _title(rows: list[Row]) -> str:
    names = list(dict.fromkeys(row["cluster_name"] for row in rows))
    known = [row for row in rows if not _is_unknown(row)]
    total = wording.count(len(names), "cluster")
    if not rows:
        return "No cluster was found"
    if not known:
        reasons = {wording.unknown_reason(row["verdict"]) for row in rows}
        why = f": {reasons.pop()}" if len(reasons) == 1 else ""
        return f"{'The only cluster is' if len(names) == 1 else f'All {total} are'} unknown{why}"
    fragile = _worst(known, "requested_ratio", above=1.0)
    generous = _worst(known, "committed_ratio", above=_LIMIT)
    unknown = len(set(names) - {row["cluster_name"] for row in known})
    title = _finding(fragile, generous, total=total)
    if not title:
        name, ratio = max(_worst(known, "committed_ratio", above=-1.0).items(), key=_ratio)
        title = f"No cluster is overcommitted: {_short(name)} comes nearest, it has promised "
        title += f"{_promise(ratio)}"
    return title + (f"; {unknown:,} {'is' if unknown == 1 else 'are'} unknown" if unknown else "")


def _ratio(item: tuple[str, float]) -> float:
    return item[1]


def _worst(rows: list[Row], column: str, *, above: float) -> dict[str, float]:
    """Return the largest ratio of each cluster over its resources, where it is above a bound."""
    found: dict[str, float] = {}
    for row in rows:
        if not wording.is_unknown(row[column]) and row[column] > above:
            name = row["cluster_name"]
            found[name] = max(found.get(name, 0.0), float(row[column]))
    return found


def _finding(fragile: dict[str, float], generous: dict[str, float], *, total: str) -> str:
    parts = []
    if len(fragile) == 1:
        parts.append(f"{_short(next(iter(fragile)))} cannot lose its largest node")
    elif fragile:
        parts.append(f"{len(fragile):,} of {total} cannot lose their largest node")
    if len(generous) == 1:
        name, ratio = next(iter(generous.items()))
        if set(generous) == set(fragile):
            return f"{parts[0]} and has promised {_promise(ratio)}"
        parts.append(f"{_short(name)} has promised {_promise(ratio)}")
    elif generous:
        most = wording.times(max(generous.values()))
        who = f"{len(generous):,}" if fragile else f"{len(generous):,} of {total}"
        parts.append(f"{who} have promised over {_LIMIT:g} times their nodes, at most {most}")
    return "; ".join(parts)


def _short(name: str) -> str:
    return wording.cut_middle(name, 32)


def _promise(ratio: float) -> str:
    return f"{wording.times(ratio).removesuffix('×')} times its nodes"


def _amount(resource: str, value: float) -> str:
    return wording.number(value / _UNITS[resource])


def _sums(rows: list[Row], resource: str) -> str:
    known = [row for row in rows if row["resource"] == resource and not _is_unknown(row)]
    promised, requested, nodes = (
        sum(row[name] for row in known) for name in ("committed", "requested", "allocatable")
    )
    unit = "cores" if resource == "cpu" else "GiB"
    return (
        f"{_amount(resource, promised)} {unit} promised and {_amount(resource, requested)} "
        f"requested of {_amount(resource, nodes)} on {wording.count(len(known), 'cluster')}"
    )


def _alt(rows: list[Row]) -> str:
    if all(_is_unknown(row) for row in rows):
        return f"{_title(rows)}."
    return f"{_title(rows)}. CPU: {_sums(rows, 'cpu')}; memory: {_sums(rows, 'memory')}."


def _source(rows: list[Row], at: str, note: str) -> str:
    uncounted = [
        row["uncounted"]
        for row in rows
        if row["resource"] == "cpu" and not wording.is_unknown(row.get("uncounted"))
    ]
    bare = int(sum(uncounted))
    bare_words = wording.count(bare, "namespace")
    left_out = f"Promised leaves out {bare_words} without a CPU quota. " if bare else ""
    is_used = any(not wording.is_unknown(row["used"]) for row in rows)
    used = "used = 95th percentile of 7 days" if is_used else "use is unknown: no history"
    return (
        f"Source: node allocatable, ResourceQuota and pod requests, {at}; {used}. {left_out}"
        f"Words and thresholds as in kubernetes-mixin: quota overcommit above {_LIMIT:g}; "
        f"overcommit when requests exceed allocatable minus the largest node. {note}"
    ).strip()


def _legend(canvas: Canvas, rows: list[Row]) -> None:
    known = [row for row in rows if not _is_unknown(row)]
    is_used = [not wording.is_unknown(row["used"]) for row in known]
    entries: list[tuple[Fill | Stroke, str, bool]] = [
        (_USED, "used", any(is_used)),
        (_REQUESTED, "requested", bool(known)),
        (_PROMISED, "promised (sum of hard)", bool(known)),
        (_NODES, "nodes now", bool(known)),
        (_WITHOUT_LARGEST, "without the largest node (N−1)", bool(known)),
        (HATCH, "use unknown" if len(known) == len(rows) else "unknown",
         len(known) < len(rows) or not all(is_used)),
    ]  # fmt: skip
    canvas.legend((mark, label) for mark, label, is_there in entries if is_there)
    canvas.y += 18


@dataclass(frozen=True, slots=True)
class _Panel:
    """Where one resource's columns lie, and its scale."""

    resource: str
    name_width: float
    bar: float
    end: float
    promised: float
    requested: float
    verdict: float
    highest: float

    def x(self, amount: float) -> float:
        return self.bar + (self.end - self.bar) * amount / self.highest


def _panel(canvas: Canvas, resource: str, rows: list[Row], everything: list[Row]) -> _Panel:
    """Lay out one panel; names and verdicts of all rows decide, so that both panels align."""
    known = [row for row in rows if not _is_unknown(row)]
    layers = ("allocatable", "committed", "requested", "used")
    amounts = [
        float(row[name]) for row in known for name in layers if not wording.is_unknown(row[name])
    ]
    names = canvas.widest(row["cluster_name"] for row in everything)
    words = canvas.widest((_verdict(row)[0] for row in everything), bold=True)
    verdict = RIGHT - min(max(words, 120), 260)
    requested = verdict - 28
    promised = requested - max(canvas.width("requested", SMALL), canvas.width("unknown")) - 24
    end = promised - max(canvas.width("promised", SMALL), canvas.width("unknown")) - 36
    name_width = min(max(names, 120), 260)
    return _Panel(
        resource=resource, name_width=name_width, bar=MARGIN + name_width + 28, end=end,
        promised=promised, requested=requested, verdict=verdict,
        highest=max([*amounts, 0.0]) * 1.02 or 1.0,
    )  # fmt: skip


def _draw_panel(canvas: Canvas, resource: str, rows: list[Row], everything: list[Row]) -> None:
    shown = rows if len(rows) <= MOST_ROWS else rows[:TOP_ROWS]
    panel = _panel(canvas, resource, shown, everything)
    canvas.text(MARGIN, canvas.y, _HEADINGS[resource], size=12, bold=True)
    if len(shown) < len(rows):
        canvas.text(panel.bar, canvas.y - 6, _sums(rows, resource), color=TEXT)
        canvas.y += 28
    for x, words in ((panel.promised, "promised"), (panel.requested, "requested")):
        canvas.text(x, canvas.y, words, size=SMALL, color=MUTED, align="right")
    canvas.y += 24
    for x, words in ((panel.promised, "÷ nodes"), (panel.requested, "÷ N−1")):
        canvas.text(x, canvas.y, words, size=SMALL, color=MUTED, align="right")
    canvas.text(panel.verdict, canvas.y, "verdict", size=SMALL, color=MUTED)
    height = 52 if len(shown) <= 6 else 40 if len(shown) <= 12 else 32
    top = canvas.y + 20
    if not all(_is_unknown(row) for row in shown):
        _draw_axis(canvas, panel, top, top + height * len(shown))
    for index, row in enumerate(shown):
        _draw_row(canvas, panel, row, top + height * (index + 0.5), height)
    canvas.y = top + height * len(shown) + 24
    if len(shown) < len(rows):
        canvas.note(_rest(rows[len(shown) :]))
    canvas.y += 24


def _rest(rows: list[Row]) -> str:
    over = sum(row["verdict"] in ("overcommit", "quota overcommit") for row in rows)
    unknown = sum(_is_unknown(row) for row in rows)
    parts = [f"{over:,} overcommitted"] * bool(over) + [f"{unknown:,} unknown"] * bool(unknown)
    of = f", of which {wording.listing(parts)}" if parts else ", all less requested than these"
    return (
        f"{len(rows):,} more {'cluster' if len(rows) == 1 else 'clusters'}{of}: in the table below"
    )


def _draw_axis(canvas: Canvas, panel: _Panel, top: float, bottom: float) -> None:
    unit = _UNITS[panel.resource]
    for value in ticks(panel.highest / unit):
        x = panel.x(value * unit)
        canvas.line(x, top, x, bottom, Stroke(GRID, 2))
        canvas.text(
            x, canvas.y, wording.exact(round(value, 3)), size=SMALL, color=MUTED, align="center"
        )


def _draw_row(canvas: Canvas, panel: _Panel, row: Row, y: float, height: float) -> None:
    canvas.text(MARGIN, y, row["cluster_name"], limit=panel.name_width)
    words, color = _verdict(row)
    is_over = color != TEXT
    canvas.text(panel.verdict, y, words, color=color, bold=is_over, limit=RIGHT - panel.verdict)
    if _is_unknown(row):
        canvas.box(panel.bar, y - height * 0.24, panel.end, y + height * 0.24, HATCH)
        for x in (panel.promised, panel.requested):
            canvas.text(x, y, wording.UNKNOWN, align="right")
        return
    _draw_bars(canvas, panel, row, y, height)
    for x, name, bound, alarm in (
        (panel.promised, "committed_ratio", _LIMIT, WARNING_TEXT),
        (panel.requested, "requested_ratio", 1.0, CRITICAL),
    ):
        ratio = row[name]
        is_none = wording.is_unknown(ratio)
        is_high = not is_none and ratio > bound
        words = "–" if is_none else wording.times(ratio)
        canvas.text(x, y, words, color=alarm if is_high else INK, bold=is_high, align="right")


def _draw_bars(canvas: Canvas, panel: _Panel, row: Row, y: float, height: float) -> None:
    outer, middle, inner = height * 0.36, height * 0.21, height * 0.1
    canvas.box(panel.x(0), y - outer, panel.x(row["allocatable"]), y + outer, _NODES)
    canvas.box(panel.x(0), y - middle, panel.x(row["requested"]), y + middle, _REQUESTED)
    if wording.is_unknown(row["used"]):
        canvas.box(panel.x(0), y - inner, panel.x(row["requested"]), y + inner, HATCH)
    else:
        canvas.box(panel.x(0), y - inner, panel.x(row["used"]), y + inner, _USED)
    rest, promised = panel.x(row["without_largest_node"]), panel.x(row["committed"])
    canvas.line(rest, y - height * 0.42, rest, y + height * 0.42, _WITHOUT_LARGEST)
    canvas.line(promised, y - height * 0.32, promised, y + height * 0.32, _PROMISED)
    canvas.line(panel.x(0), y - height / 2, panel.x(0), y + height / 2, Stroke(AXIS, 2))


def _verdict(row: Row) -> tuple[str, str]:
    """Return the words of the last column and their color."""
    reason = wording.unknown_reason(row["verdict"])
    if reason is not None:
        return reason, TEXT
    if row["verdict"] == "overcommit":
        return row["verdict"], CRITICAL
    if row["verdict"] == "quota overcommit":
        return row["verdict"], WARNING_TEXT
    if not row["room"]:
        return "no room", TEXT
    return f"room for {wording.quantity(row['resource'], row['room'])}", TEXT
