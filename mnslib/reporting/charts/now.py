"""Who is at the quota, on which of the four values, and what is left.

One bar for the tightest value of each namespace, dots for the others, all namespaces in the strip.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pandas as pd

from mnslib.capacity.utilization import FULL, OK, TIGHT, tightest
from mnslib.models import QUOTA_FIELDS
from mnslib.reporting import wording
from mnslib.reporting.charts.canvas import (
    AXIS,
    BODY,
    CALM,
    CALM_LOWER,
    CRITICAL,
    DASHED,
    GRID,
    HATCH,
    INK,
    MARGIN,
    MUTED,
    PANEL,
    RIGHT,
    SMALL,
    TEXT,
    WARNING,
    WARNING_TEXT,
    Canvas,
    Chart,
    Dot,
    Fill,
    Stroke,
    spread,
)

MOST_ROWS, TOP_KNOWN, TOP_UNKNOWN = 30, 24, 2
NO_QUOTA = "no quota"
_NONE = Fill(PANEL, AXIS)
_BAR = {FULL: Fill(CRITICAL), TIGHT: Fill(WARNING), OK: Fill(CALM)}
_WORDS = {FULL: CRITICAL, TIGHT: WARNING_TEXT, OK: TEXT}
_GAP = 20

Row = dict[str, Any]


def utilization_now(
    table: pd.DataFrame, *, moment: datetime, note: str = "", family: str | None = None
) -> Chart:
    """Return the chart of requested over hard quota, one row per namespace.

    Args:
        table: from `capacity.utilization_table`.
        moment: when the quotas were read.
        note: sentences that the source line ends with, such as where the history is from.
        family: font family; None takes the first installed.
    """
    rows = [
        {**{str(name): value for name, value in row.items()},
         "reason": wording.unknown_reason(row["verdict"])}
        for row in (tightest(table).to_dict("records") if len(table) else [])
    ]  # fmt: skip
    canvas = Canvas(family=family)
    at = wording.moment(moment)
    canvas.heading(
        _title(rows),
        "Requested over hard quota, the tightest of the four quota values per namespace, "
        f"fullest first, {at}",
    )
    if rows:
        _strip(canvas, rows)
        _draw_rows(canvas, rows)
        _legend(canvas, rows)
    else:
        canvas.note("Looked for managed namespaces, and others with a quota or running pods.")
    source = f"Source: ResourceQuota hard and used, {at}. {note}".strip()
    return canvas.finish(source=source, alt=_alt(rows))


def _title(rows: list[Row]) -> str:
    if not rows:
        return "No namespace was found"
    full, tight, unknown = (_count(rows, word) for word in (FULL, TIGHT, wording.UNKNOWN))
    total = wording.count(len(rows), "namespace")
    bare = sum(row["reason"] == NO_QUOTA for row in rows)
    if unknown == len(rows):
        reasons = {row["reason"] for row in rows}
        why = f": {reasons.pop()}" if len(reasons) == 1 else ""
        return f"{'The only namespace is' if unknown == 1 else f'All {total} are'} unknown{why}"
    if full:
        finding = f"{full:,} of {total} can start no further pod"
        finding += f", {tight:,} more {_are(tight)} at 90 % or above" if tight else ""
    elif tight:
        finding = (
            f"No namespace is at its quota, {tight:,} of {total} {_are(tight)} at 90 % or above"
        )
    else:
        top = _percent(rows[0])
        finding = f"No namespace is at its quota: the fullest of {len(rows):,} stands at {top}"
    if unknown:
        finding += f", {unknown:,} {_are(unknown)} unknown"
        part = "all" if bare == unknown > 1 else f"{bare:,}"
        finding += f" ({part} without a quota)" if bare else ""
    return finding


def _are(amount: int) -> str:
    return "is" if amount == 1 else "are"


def _count(rows: list[Row], word: str) -> int:
    return sum(row["verdict"].partition(":")[0] == word for row in rows)


def _alt(rows: list[Row]) -> str:
    known = [row for row in rows if row["reason"] is None]
    if not known:
        return f"{_title(rows)}."
    top = known[0]
    return (
        f"{_title(rows)}. Fullest: {top['namespace_name']} on {top['cluster_name']}, "
        f"{wording.RESOURCE_WORDS[top['resource']]} {_percent(top)}, {_left(top)}."
    )


def _percent(row: Row) -> str:
    if wording.is_unknown(row["utilization_ratio"]):
        return "full" if row["verdict"] == FULL else "0 %"
    return wording.percent(row["utilization_ratio"])


def _left(row: Row) -> str:
    resource, left = row["resource"], row["hard"] - row["used"]
    of = wording.quota(resource, row["hard"]) if row["hard"] else "a quota of 0"
    if left < 0:
        return f"{wording.quantity(resource, -left)} over {of}"
    return f"{wording.quantity(resource, left) if left else '0'} left of {of}"


def _strip(canvas: Canvas, rows: list[Row]) -> None:
    """Draw all namespaces as one bar, with the count of each part under it."""
    half = [row["verdict"] == OK and row["utilization_ratio"] >= 0.5 for row in rows]
    bare = sum(row["reason"] == NO_QUOTA for row in rows)
    counts = [
        (_count(rows, FULL), "full or over", _BAR[FULL], CRITICAL),
        (_count(rows, TIGHT), "at 90–100 %", _BAR[TIGHT], WARNING_TEXT),
        (sum(half), "at 50–90 %", _BAR[OK], TEXT),
        (_count(rows, OK) - sum(half), "under 50 %", Fill(CALM_LOWER), TEXT),
        (bare, "without a quota", _NONE, TEXT),
        (_count(rows, wording.UNKNOWN) - bare, "unknown", HATCH, TEXT),
    ]
    parts = [(n, f"{n:,} {words}", fill, color) for n, words, fill, color in counts if n]
    canvas.text(MARGIN, canvas.y, f"All {wording.count(len(rows), 'namespace')}", bold=True)
    top = canvas.y + 20
    room = RIGHT - MARGIN - 4 * (len(parts) - 1)
    smallest = 8
    per_row = (room - smallest * len(parts)) / len(rows)
    x, starts = float(MARGIN), []
    for amount, _, fill, _ in parts:
        end = x + smallest + amount * per_row
        canvas.box(x, top, end, top + 26, fill)
        starts.append(x)
        x = end + 4
    is_bold = [color != TEXT for *_, color in parts]
    widths = [
        canvas.width(label, BODY, bold=bold)
        for (_, label, _, _), bold in zip(parts, is_bold, strict=True)
    ]
    edges = spread(starts, widths, low=MARGIN, high=RIGHT, gap=18)
    for edge, (_, label, _, color), bold in zip(edges, parts, is_bold, strict=True):
        canvas.text(edge, top + 46, label, color=color, bold=bold)
    canvas.y = top + 92


def _selected(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows to draw and those left to a sentence; unknown ones get a share of both."""
    if len(rows) <= MOST_ROWS:
        return rows, []
    known = [row for row in rows if row["reason"] is None]
    unknown = [row for row in rows if row["reason"] is not None]
    common = Counter(row["reason"] for row in unknown)
    unknown.sort(key=lambda row: (row["reason"] == NO_QUOTA, -common[row["reason"]]))
    room = max(TOP_UNKNOWN, TOP_KNOWN + TOP_UNKNOWN - len(known))
    return known[:TOP_KNOWN] + unknown[:room], known[TOP_KNOWN:] + unknown[room:]


class _Columns:
    """Where columns lie: as wide as what stands in them, the bar takes the rest."""

    def __init__(self, canvas: Canvas, rows: list[Row]) -> None:
        names = canvas.widest((row["namespace_name"] for row in rows), bold=True)
        clusters = canvas.widest(row["cluster_name"] for row in rows)
        known = [row for row in rows if row["reason"] is None]
        left = max(canvas.widest(_left(row) for row in known), 230)
        tight = canvas.widest(wording.RESOURCE_WORDS[name] for name in QUOTA_FIELDS)
        self.name_width = min(max(names, 130), 280)
        self.cluster = MARGIN + self.name_width + _GAP
        self.cluster_width = min(max(clusters, 90), 210)
        self.bar = self.cluster + self.cluster_width + _GAP
        self.left = RIGHT - left
        self.tight = self.left - _GAP - tight
        self.percent = self.tight - 16
        self.full = self.percent - canvas.width("unknown") - 18

    def x(self, ratio: float) -> float:
        return self.bar + (self.full - self.bar) * min(ratio, 1.0)


def _draw_rows(canvas: Canvas, rows: list[Row]) -> None:
    shown, rest = _selected(rows)
    at = _Columns(canvas, shown)
    _column_heads(canvas, at)
    height = 36 if len(shown) <= 12 else 30
    top = canvas.y + 16
    bottom = top + height * len(shown)
    for index in range(0, len(shown), 2):
        y = top + height * index
        canvas.box(MARGIN - 10, y, RIGHT + 10, y + height, Fill(PANEL))
    canvas.line(at.x(0.5), top, at.x(0.5), bottom, Stroke(GRID, 2))
    for index, row in enumerate(shown):
        _draw_row(canvas, row, at, top + height * (index + 0.5))
    canvas.line(at.x(0), top, at.x(0), bottom, Stroke(AXIS, 2))
    canvas.line(at.x(0.9), top - 2, at.x(0.9), bottom, Stroke(WARNING, 3, DASHED))
    canvas.line(at.x(1), top - 2, at.x(1), bottom, Stroke(CRITICAL, 3))
    for index, row in enumerate(shown):
        _draw_dots(canvas, row, at, top + height * (index + 0.5))
    canvas.y = bottom + 24
    for sentence in _rest(shown, rest):
        canvas.note(sentence)
    canvas.y += 20


def _column_heads(canvas: Canvas, at: _Columns) -> None:
    y = canvas.y
    for x, label in (
        (MARGIN, "Namespace"), (at.cluster, "Cluster"), (at.tight, "Tightest value"),
        (at.left, "What is left"), (at.bar, "0 %"),
    ):  # fmt: skip
        canvas.text(x, y, label, size=SMALL, color=MUTED)
    canvas.text(at.x(0.5), y, "50 %", size=SMALL, color=MUTED, align="center")
    canvas.text(at.x(0.9), y, "90 %", size=SMALL, color=WARNING_TEXT, bold=True, align="right")
    canvas.text(at.x(1) - 2, y, "100 %", size=SMALL, color=CRITICAL, bold=True)


def _draw_row(canvas: Canvas, row: Row, at: _Columns, y: float) -> None:
    needs_somebody = row["verdict"] in (FULL, TIGHT)
    canvas.text(MARGIN, y, row["namespace_name"], bold=needs_somebody, limit=at.name_width)
    canvas.text(at.cluster, y, row["cluster_name"], color=MUTED, limit=at.cluster_width)
    if row["reason"] is not None:
        is_bare = row["reason"] == NO_QUOTA
        canvas.box(at.bar, y - 7, at.full, y + 7, _NONE if is_bare else HATCH)
        word = "–" if is_bare else wording.UNKNOWN
        canvas.text(at.percent, y, word, color=TEXT, align="right")
        canvas.text(at.tight, y, row["reason"], color=TEXT, limit=RIGHT - at.tight)
        return
    ratio = row["utilization_ratio"]
    if wording.is_unknown(ratio):
        ratio = 1.0 if row["verdict"] == FULL else 0.0
    over = 10 if ratio > 1 else 0
    canvas.box(at.bar, y - 7, at.x(ratio) + over, y + 7, _BAR[row["verdict"]])
    color = _WORDS[row["verdict"]]
    canvas.text(at.percent, y, _percent(row), color=color, bold=needs_somebody, align="right")
    canvas.text(at.tight, y, wording.RESOURCE_WORDS[row["resource"]], color=TEXT)
    canvas.text(at.left, y, _left(row), color=INK if needs_somebody else TEXT)


def _draw_dots(canvas: Canvas, row: Row, at: _Columns, y: float) -> None:
    others = (row[f"{name}_ratio"] for name in QUOTA_FIELDS if name != row["resource"])
    known = [ratio for ratio in others if not wording.is_unknown(ratio)]
    canvas.dots([at.x(ratio) for ratio in known], y, Dot())


def _rest(shown: list[Row], rest: list[Row]) -> list[str]:
    """Return one sentence on the rows left out, and one on unknown ones among them."""
    known = [row for row in rest if row["reason"] is None]
    unknown = [row for row in rest if row["reason"] is not None]
    sentences = []
    if unknown:
        reasons = {row["reason"] for row in shown} - {None}
        same = {row["reason"] for row in unknown} == reasons and len(reasons) == 1
        words = "unknown for the same reason" if same else f"unknown{_reasons(unknown)}"
        words = "without a quota" if same and reasons == {NO_QUOTA} else words
        sentences.append(f"and {len(unknown):,} more {words}")
    if known:
        more = f"{len(known):,} more {'namespace' if len(known) == 1 else 'namespaces'}"
        full, tight = _count(known, FULL), _count(known, TIGHT)
        parts = [f"{full:,} full"] * bool(full) + [f"{tight:,} at 90 % or above"] * bool(tight)
        if parts:
            more += f", of which {wording.listing(parts)}"
        else:
            ratios = (row["utilization_ratio"] for row in known)
            highest = max((r for r in ratios if not wording.is_unknown(r)), default=0.0)
            more += f", all under {int(highest * 100 + 1e-5) + 1} %"
        sentences.append(f"{more}: in the table below and in tables/utilization.csv")
    return sentences


def _reasons(unknown: list[Row]) -> str:
    found = Counter(row["reason"] for row in unknown).most_common()
    words = [f"{amount:,} ({wording.cut_middle(reason, 60)})" for reason, amount in found[:3]]
    others = sum(amount for _, amount in found[3:])
    return ": " + wording.listing([*words, *([f"{others:,} for other reasons"] if others else [])])


def _legend(canvas: Canvas, rows: list[Row]) -> None:
    entries: list[tuple[Fill | Dot, str, bool]] = [
        (_BAR[FULL], "at or over the quota", _count(rows, FULL) > 0),
        (_BAR[TIGHT], "90–100 %", _count(rows, TIGHT) > 0),
        (_BAR[OK], "under 90 %", _count(rows, OK) > 0),
        (_NONE, "no quota", any(row["reason"] == NO_QUOTA for row in rows)),
        (HATCH, "unknown", any(row["reason"] not in (None, NO_QUOTA) for row in rows)),
        (Dot(), "the other quota values", any(row["reason"] is None for row in rows)),
    ]
    canvas.legend([(mark, label) for mark, label, is_used in entries if is_used])
