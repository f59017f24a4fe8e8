"""Who is at the quota, on which of the four values, and what is left.

One bar for the tightest value of each namespace, dots for the others, all namespaces in the strip.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity.quota_values import FULL, OK, TIGHT, TIGHT_RATIO
from mnslib.capacity.utilization import tightest
from mnslib.models import QUOTA_FIELDS
from mnslib.show import wording
from mnslib.show.capacity import utilization_finding
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import MARGIN, MOST_ROWS, SMALL, Canvas, Chart
from mnslib.show.charts.marks import DASHED, HATCH, Column, Dot, Fill, Grid, Stroke, Words
from mnslib.verdicts import unknown_reason

TOP_KNOWN, TOP_UNKNOWN = 24, 2
NO_QUOTA = "no quota"
_NONE, _LOWER = Fill(colors.PANEL, colors.AXIS), Fill(colors.CALM_LOWER)
_BAR = {
    FULL: Fill(colors.CRITICAL),
    TIGHT: Fill(colors.WARNING, foot=colors.WARNING_TEXT),
    OK: Fill(colors.CALM),
}
_WORDS = {FULL: colors.CRITICAL, TIGHT: colors.WARNING_TEXT, OK: colors.TEXT}

Row = dict[str, Any]


def utilization_now(
    table: pd.DataFrame, *, moment: datetime, note: str = "", family: str | None = None
) -> Chart:
    """Return the chart of requested over hard quota, one row per namespace.

    Args:
        table: from `capacity.utilization.utilization_table`.
        moment: when the quotas were read.
        note: sentences that the source line ends with, such as where the history is from.
        family: font family; None takes the first installed.
    """
    worst = tightest(table)
    reasons = [unknown_reason(verdict) for verdict in worst["verdict"]]
    full = (worst["verdict"] == FULL).astype(float)  # a quota of 0 has no ratio
    rows = worst.assign(
        reason=pd.Series(reasons, index=worst.index, dtype=object),
        length=worst["utilization_ratio"].fillna(full),
    )
    canvas, at = Canvas("utilization_now", family=family), wording.moment(moment)
    title = utilization_finding(worst)
    canvas.heading(
        title,
        "Requested over hard quota, the tightest of the four quota values per namespace, "
        f"fullest first, {at}",
    )
    if len(rows):
        _draw_strip(canvas, rows)
        _draw_rows(canvas, rows)
    else:
        canvas.note("Looked for managed namespaces, and others with a quota or running pods.")
    source = f"Source: ResourceQuota hard and used, {at}. {note}".strip()
    return canvas.finish(source=source, alt=" ".join([f"{title}.", *_fullest(rows)]))


def _fullest(rows: pd.DataFrame) -> list[str]:
    return [
        f"Fullest: {row['namespace_name']} on {row['cluster_name']}, "
        f"{wording.RESOURCE_WORDS[row['resource']]} {_percent(row)}, {_left(row)}."
        for row in _records(rows[:1])
        if row["reason"] is None
    ]


def _records(rows: pd.DataFrame) -> list[Any]:
    return rows.to_dict("records")


def _percent(row: Row) -> str:
    if row["reason"] is not None:
        return "–" if row["reason"] == NO_QUOTA else wording.UNKNOWN
    if wording.is_unknown(row["utilization_ratio"]):
        return "full" if row["verdict"] == FULL else "0 %"
    return wording.percent(row["utilization_ratio"])


def _left(row: Row) -> str:
    resource, left = row["resource"], row["hard"] - row["used"]
    of = wording.quota(resource, row["hard"]) if row["hard"] else "a quota of 0"
    if left < 0:
        return f"{wording.quantity(resource, -left)} over {of}"
    return f"{wording.quantity(resource, left) if left else '0'} left of {of}"


def _fill(reason: str | None, verdict: str, length: float) -> Fill:
    if reason is not None:
        return _NONE if reason == NO_QUOTA else HATCH
    return _LOWER if verdict == OK and length < 0.5 else _BAR[verdict]


def _draw_strip(canvas: Canvas, rows: pd.DataFrame) -> None:
    """Draw all namespaces as one bar; its legend is also that of the rows."""
    labels = {
        _BAR[FULL]: "full or over",
        _BAR[TIGHT]: "at 90–100 %",
        _BAR[OK]: "at 50–90 %",
        _LOWER: "under 50 %",
        _NONE: "without a quota",
        HATCH: "unknown",
    }
    counts = Counter(map(_fill, rows["reason"], rows["verdict"], rows["length"]))
    canvas.text(MARGIN, canvas.y, f"All {wording.count(len(rows), 'namespace')}", bold=True)
    canvas.y += 20
    parts = [(counts[fill], label, fill) for fill, label in labels.items() if counts[fill]]
    dots = [(Dot(), "the other quota values")] if rows["reason"].iloc[0] is None else []
    canvas.strip(parts, height=26, others=dots)
    canvas.y += 10


def _selected(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to draw and those left to a sentence; unknown ones get a share of both."""
    if len(rows) <= MOST_ROWS:
        return rows, rows[:0]
    known, unknown = rows[rows["reason"].isna()], rows[rows["reason"].notna()]
    common = unknown["reason"].map(unknown["reason"].value_counts())
    unknown = unknown.iloc[np.lexsort((-common, unknown["reason"] == NO_QUOTA))]
    room = max(TOP_UNKNOWN, TOP_KNOWN + TOP_UNKNOWN - len(known))
    shown, rest = [known[:TOP_KNOWN], unknown[:room]], [known[TOP_KNOWN:], unknown[room:]]
    return pd.concat(shown), pd.concat(rest)


def _draw_rows(canvas: Canvas, rows: pd.DataFrame) -> None:
    selected, rest = _selected(rows)
    shown = _records(selected)
    cells = [_cells(row) for row in shown]
    name, cluster, percent, value, left = zip(*cells, strict=True)
    grid = canvas.grid(
        [Column(head="Namespace", cells=name, most=280), Column(head="Cluster", cells=cluster)],
        [
            Column(cells=percent, align="right"),
            Column(head="Tightest value", cells=value),
            Column(head="What is left", cells=left, least=230, most=400),
        ],
        striped=True,
    )
    _draw_axis(canvas, grid)
    for row, y in zip(shown, grid.middles, strict=True):
        length = row["length"] if row["reason"] is None else 1.0
        over = 10 if length > 1 else 0
        fill = _fill(row["reason"], row["verdict"], length)
        canvas.box(grid.left, y - 7, grid.x(min(length, 1)) + over, y + 7, fill)
    for share, stroke in (
        (0, Stroke(colors.AXIS, 2)),
        (float(TIGHT_RATIO), Stroke(colors.WARNING, 3, DASHED)),
        (1, Stroke(colors.CRITICAL)),
    ):
        canvas.line(grid.x(share), grid.top - 2, grid.x(share), grid.bottom, stroke)
    for row, y in zip(shown, grid.middles, strict=True):
        others = [row[f"{field}_ratio"] for field in QUOTA_FIELDS if field != row["resource"]]
        known = [min(ratio, 1.0) for ratio in others if not wording.is_unknown(ratio)]
        canvas.dots([*map(grid.x, known)], y, Dot())
    canvas.y += 24
    for sentence in _rest(shown, rest):
        canvas.note(sentence)


def _cells(row: Row) -> tuple[Words, Words, Words, Words, Words]:
    """Return name, cluster, percent, tightest value and what is left."""
    word, is_known = row["verdict"], row["reason"] is None
    is_bold = word in (FULL, TIGHT)
    value = wording.RESOURCE_WORDS[row["resource"]] if is_known else row["reason"]
    return (
        Words(row["namespace_name"], bold=is_bold),
        Words(row["cluster_name"], colors.MUTED),
        Words(_percent(row), _WORDS.get(word, colors.TEXT), is_bold),
        Words(value, colors.TEXT, spans=not is_known),
        Words(_left(row) if is_known else "", colors.INK if is_bold else colors.TEXT),
    )


def _draw_axis(canvas: Canvas, grid: Grid) -> None:
    canvas.line(grid.x(0.5), grid.top, grid.x(0.5), grid.bottom, Stroke(colors.GRID, 2))
    for share, color, align in (
        (0, colors.MUTED, "left"),
        (0.5, colors.MUTED, "center"),
        (float(TIGHT_RATIO), colors.WARNING_TEXT, "right"),
        (1, colors.CRITICAL, "left"),
    ):
        canvas.text(
            grid.x(share), grid.top - 18, wording.percent(share), size=SMALL, color=color,
            bold=share > 0.5, align=align,
        )  # fmt: skip


def _rest(shown: list[Row], rest: pd.DataFrame) -> list[str]:
    """Return one sentence on the rows left out, and one on unknown ones among them."""
    known = rest[rest["reason"].isna()]
    unknown = Counter(rest["reason"].dropna())
    sentences = []
    if unknown:
        is_same = set(unknown) == {row["reason"] for row in shown} - {None} and len(unknown) == 1
        words = "unknown for the same reason" if is_same else f"unknown: {_reasons(unknown)}"
        words = "without a quota" if is_same and NO_QUOTA in unknown else words
        sentences.append(f"and {unknown.total():,} more {words}")
    if len(known):
        verdicts = known["verdict"].tolist()
        parts = {"full": verdicts.count(FULL), "at 90 % or above": verdicts.count(TIGHT)}
        highest = int(known["length"].max() * 100 + 1e-5) + 1
        under = f", all under {highest} %"
        where = "in tables/utilization.csv"
        sentences.append(wording.more(len(known), "namespace", parts, otherwise=under, where=where))
    return sentences


def _reasons(unknown: Counter[str]) -> str:
    found = unknown.most_common()
    words = [f"{amount:,} ({wording.cut_middle(reason, 60)})" for reason, amount in found[:3]]
    others = sum(amount for _, amount in found[3:])
    return wording.listing([*words, *([f"{others:,} for other reasons"] if others else [])])
