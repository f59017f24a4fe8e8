"""Whether clusters can carry what they committed: nodes as range, quota as tick, load as bar.

One panel per resource; words and thresholds are the mixin's, see `mnslib.commitment`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.quantities import GIB
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import SMALL, Canvas, Chart, row_height, ticks, top_rows
from mnslib.show.charts.marks import HATCH, Column, Fill, Stroke, Words
from mnslib.verdicts import unknown_reason

_NODES, _REQUESTED, _USAGE = Fill(colors.NODES), Fill(colors.REQUESTED), Fill(colors.USED)
_GROWN = Fill(colors.PANEL, colors.AXIS)
_COMMITTED, _WITHOUT_LARGEST = Stroke(colors.INK, 5), Stroke(colors.CRITICAL, 3, (2.6, 1.6))
_HEADINGS = {"cpu": "CPU, cores", "memory": "Memory, GiB"}
_UNITS = {"cpu": 1.0, "memory": float(GIB)}
_LIMIT = float(QUOTA_OVERCOMMIT_RATIO)
_LAYERS = ("allocatable", "autoscaled", "committed", "requested", "usage")

_ROWS = 600
"""Pixels of both panels' rows: the rest of the sheet takes up to 680."""

Row = dict[str, Any]


def cluster_commitment(
    table: pd.DataFrame, *, moment: datetime, note: str = "", family: str | None = None
) -> Chart:
    """Return the chart of committed, requested and used against what the nodes can give.

    Args:
        table: from `capacity.clusters.commitment_table`.
        moment: when clusters were read.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    rows: list[Row] = table.to_dict("records")  # type: ignore[assignment]
    known = [row for row in rows if not _is_unknown(row)]
    canvas, at = Canvas("cluster_commitment", family=family), wording.moment(moment)
    title = _title(rows, known)
    canvas.heading(
        title,
        "Committed (sum of hard quotas), requested and used against what the nodes can give, "
        f"fullest first, {at}",
    )
    if rows:
        canvas.legend(_marks(rows, known))
        canvas.y += 18
    else:
        canvas.note("Looked for clusters in the subscriptions given; none was found.")
    for resource in _HEADINGS:
        found = [row for row in rows if row["resource"] == resource]
        if found:
            _draw_panel(canvas, resource, sorted(found, key=_order), rows)
    sums = f" CPU: {_sums(known, 'cpu')}; memory: {_sums(known, 'memory')}." if known else ""
    return canvas.finish(source=_source(rows, at, note), alt=f"{title}.{sums}")


def _order(row: Row) -> tuple[bool, bool, float, float, str]:
    """Those that cannot lose a node first, then by what is requested; unknown ones last."""
    requested, committed = (
        0.0 if wording.is_unknown(row[name]) else float(row[name])
        for name in ("requested_ratio", "committed_ratio")
    )
    return (_is_unknown(row), not _is_over(row), -requested, -committed, row["cluster_name"])


def _is_unknown(row: Row) -> bool:
    return unknown_reason(row["verdict"]) is not None


def _is_over(row: Row) -> bool:
    return row["verdict"] in ("overcommit", "quota overcommit")


def _title(rows: list[Row], known: list[Row]) -> str:
    names = {row["cluster_name"] for row in rows}
    if not rows:
        return "No cluster was found"
    if not known:
        return wording.all_unknown((row["verdict"] for row in rows), len(names), "cluster")
    worst = pd.DataFrame(known).groupby("cluster_name", sort=False)
    requested = worst["requested_ratio"].max().astype(float)
    committed = worst["committed_ratio"].max().astype(float)
    title = _finding(
        dict(requested[requested > 1]),
        dict(committed[committed > _LIMIT]),
        total=wording.count(len(names), "cluster"),
    )
    if not title:
        name = str(committed.idxmax())
        title = f"No cluster is overcommitted: {wording.short(name)} comes nearest, it commits "
        title += _times(committed[name])
    unknown = len(names) - len(worst)
    return title + (f"; {unknown:,} {wording.are(unknown)} unknown" if unknown else "")


def _finding(fragile: dict[str, float], generous: dict[str, float], *, total: str) -> str:
    """Return what is wrong; empty where nothing is. Both hold the worst ratio of a cluster."""
    parts = []
    if len(fragile) == 1:
        parts.append(f"{wording.short(*fragile)} cannot lose its largest node")
    elif fragile:
        parts.append(f"{len(fragile):,} of {total} cannot lose their largest node")
    if len(generous) == 1:
        ratio = f"commits {_times(*generous.values())}"
        if set(generous) == set(fragile):
            return f"{parts[0]} and {ratio}"
        parts.append(f"{wording.short(*generous)} {ratio}")
    elif generous:
        most = wording.times(max(generous.values()))
        who = f"{len(generous):,}" if fragile else f"{len(generous):,} of {total}"
        parts.append(f"{who} commit over {_LIMIT:g} × what they have, at most {most}")
    return "; ".join(parts)


def _times(ratio: float) -> str:
    return f"{wording.times(ratio).replace('×', ' ×')} what it has"


def _amount(resource: str, value: float) -> str:
    return wording.number(value / _UNITS[resource])


def _sums(known: list[Row], resource: str) -> str:
    found = [row for row in known if row["resource"] == resource]
    committed, requested, nodes = (
        _amount(resource, sum(row[name] for row in found))
        for name in ("committed", "requested", "allocatable")
    )
    unit = "cores" if resource == "cpu" else "GiB"
    clusters = wording.count(len(found), "cluster")
    return f"{committed} {unit} committed and {requested} requested of {nodes} on {clusters}"


def _source(rows: list[Row], at: str, note: str) -> str:
    counts = [row["uncounted"] for row in rows if row["resource"] == "cpu"]
    bare = int(sum(number for number in counts if not wording.is_unknown(number)))
    is_used = any(not wording.is_unknown(row["usage"]) for row in rows)
    used = "used = 95th percentile of 7 days" if is_used else "use is unknown: no history"
    return (
        f"Source: node allocatable, ResourceQuota and pod requests, {at}; {used}. {wording.ROOM} "
        f"{wording.uncounted(bare)}Thresholds as in kubernetes-mixin: quotas above {_LIMIT:g} × "
        f"the nodes; requests above the nodes without the largest. {note}"
    ).strip()


def _marks(rows: list[Row], known: list[Row]) -> list[tuple[Fill | Stroke, str]]:
    is_used = [not wording.is_unknown(row["usage"]) for row in known]
    marks: list[tuple[Fill | Stroke, str, bool]] = [
        (_USAGE, "used", any(is_used)),
        (_REQUESTED, "requested", bool(known)),
        (_COMMITTED, "committed (sum of hard)", bool(known)),
        (_NODES, "nodes now", bool(known)),
        (_GROWN, "autoscaler maximum", any(map(_grows, known))),
        (_WITHOUT_LARGEST, "without the largest node (N−1)", bool(known)),
        (HATCH, "use unknown" if len(known) == len(rows) else "unknown",
         len(known) < len(rows) or not all(is_used)),
    ]  # fmt: skip
    return [(mark, label) for mark, label, is_there in marks if is_there]


def _grows(row: Row) -> bool:
    grown = row.get("autoscaled")
    return not wording.is_unknown(grown) and grown > row["allocatable"]


def _draw_panel(canvas: Canvas, resource: str, rows: list[Row], everything: list[Row]) -> None:
    """Draw one panel; names and verdicts of all rows decide, so that both panels align."""
    shown = top_rows(rows, panels=2)
    canvas.section(_HEADINGS[resource])
    if rest := rows[len(shown) :]:
        known = [row for row in rows if not _is_unknown(row)]
        canvas.text(330, canvas.y, _sums(known, resource), color=colors.TEXT)
        canvas.y += 28
    grown = [_ratio(row, "autoscaled_committed", _LIMIT, colors.WARNING_TEXT) for row in shown]
    grid = canvas.grid(
        [Column(cells=[Words(row["cluster_name"]) for row in shown], least=120,
                like=[row["cluster_name"] for row in everything])],
        [
            Column(head="committed\n÷ nodes", align="right", like=[wording.UNKNOWN],
                   cells=[_ratio(row, "committed", _LIMIT, colors.WARNING_TEXT) for row in shown]),
            Column(head="requested\n÷ N−1", align="right", like=[wording.UNKNOWN],
                   cells=[_ratio(row, "requested", 1, colors.CRITICAL) for row in shown]),
            *([Column(head="committed\n÷ maximum", align="right", cells=grown,
                      like=[wording.UNKNOWN])] if any(map(_grows, everything)) else []),
            Column(head="verdict", cells=list(map(_verdict, shown)), least=120, most=340,
                   like=[_verdict(row).text for row in everything]),
        ],
        height=row_height(len(shown), _ROWS / 2),
    )  # fmt: skip
    amounts = [float(row[name]) for row in shown for name in _LAYERS
               if not wording.is_unknown(row.get(name))]  # fmt: skip
    highest = max(amounts, default=0.0) * 1.02 or 1.0
    for value in ticks(highest / _UNITS[resource]) if amounts else ():
        x = grid.x(value * _UNITS[resource] / highest)
        canvas.line(x, grid.top, x, grid.bottom, Stroke(colors.GRID, 2))
        label = wording.exact(round(value, 3))
        canvas.text(x, grid.top - 18, label, size=SMALL, color=colors.MUTED, align="center")
    for row, y in zip(shown, grid.middles, strict=True):
        if _is_unknown(row):
            half = grid.height * 0.24
            canvas.box(grid.left, y - half, grid.right, y + half, HATCH)
        else:
            places = {name: grid.x(0 if wording.is_unknown(row.get(name)) else row[name] / highest)
                      for name in (*_LAYERS, "without_largest_node")}  # fmt: skip
            _draw_bars(canvas, row, places, (grid.left, y, grid.height))
    canvas.y += 24
    if rest:
        over = {"overcommitted": sum(map(_is_over, rest)), "unknown": sum(map(_is_unknown, rest))}
        same = ", all less requested than these"
        where = "in tables/commitment.csv"
        canvas.note(wording.more(len(rest), "cluster", over, otherwise=same, where=where))
    canvas.y += 24


def _ratio(row: Row, name: str, bound: float, alarm: str) -> Words:
    ratio = row.get(f"{name}_ratio")
    if _is_unknown(row):
        return Words(wording.UNKNOWN)
    if ratio is None or wording.is_unknown(ratio):
        return Words("–")
    return Words(wording.times(ratio), alarm if ratio > bound else colors.INK, ratio > bound)


def _draw_bars(
    canvas: Canvas, row: Row, places: dict[str, float], at: tuple[float, float, float]
) -> None:
    """Draw one cluster at left edge, middle and height."""
    left, y, height = at
    layers = [("allocatable", 0.36, _NODES), ("requested", 0.21, _REQUESTED)]
    if wording.is_unknown(row["usage"]):
        layers.append(("requested", 0.1, HATCH))
    else:
        layers.append(("usage", 0.1, _USAGE))
    if _grows(row):
        half = height * 0.36
        canvas.box(places["allocatable"], y - half, places["autoscaled"], y + half, _GROWN)
    for name, share, fill in layers:
        canvas.box(left, y - height * share, places[name], y + height * share, fill)
    for name, share, stroke in (
        ("without_largest_node", 0.42, _WITHOUT_LARGEST),
        ("committed", 0.32, _COMMITTED),
    ):
        x = places[name]
        canvas.line(x, y - height * share, x, y + height * share, stroke)
    canvas.line(left, y - height / 2, left, y + height / 2, Stroke(colors.AXIS, 2))


def _verdict(row: Row) -> Words:
    reason = unknown_reason(row["verdict"])
    if reason is not None:
        return Words(reason, colors.TEXT)
    if _is_over(row):
        words = wording.commitment_verdict(row["verdict"], row["committed_ratio"])
        is_critical = row["verdict"] == "overcommit"
        return Words(words, colors.CRITICAL if is_critical else colors.WARNING_TEXT, bold=True)
    return Words(wording.room(row["resource"], row["headroom"]), colors.TEXT)
