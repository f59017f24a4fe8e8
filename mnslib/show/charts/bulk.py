"""What came of each request of a run, what to do now, and where its time went.

One bar with all outcomes, then what is not done by reason with its remedy, then clusters; and
writes against the limit above one line per change, on the same clock. Above 500 changes every k-th
line is drawn, and all that failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnslib.provisioning.journal import Stretch
from mnslib.resource_ids import ClusterId, short_names
from mnslib.results import OPEN_OUTCOMES, ApplyResult, OutcomeKind
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import (
    GRID_LINE,
    HATCH,
    MARGIN,
    MOST_HEIGHT,
    RIGHT,
    SMALL,
    Column,
    Look,
    Sheet,
    shares,
    ticks,
    top_rows,
)

if TYPE_CHECKING:
    from mnslib.azure.throttle import Pace

MOST_REASONS = 12
LOOKS = {
    OutcomeKind.CREATED: Look(colors.GOOD),
    OutcomeKind.ADOPTED: Look(colors.GOOD_TINT, colors.GOOD),
    OutcomeKind.UPDATED: Look(colors.GOOD_SOFT),
    OutcomeKind.DELETED: Look(colors.CALM, colors.INK),
    OutcomeKind.RELEASED: Look(colors.PANEL, colors.AXIS),
    OutcomeKind.UNCHANGED: Look(colors.CALM_LOWER),
    OutcomeKind.FAILED: Look(colors.CRITICAL, foot=colors.INK),
    OutcomeKind.SKIPPED: Look(colors.WARNING, foot=colors.WARNING_TEXT),
    OutcomeKind.NOT_ATTEMPTED: HATCH,
}
"""In drawing order: what is as requested, then what is not."""

Group = tuple[tuple[int, str, str], int]
"""Place in `OPEN_OUTCOMES`, reason and remedy, and how many changes."""


def bulk_outcome(result: ApplyResult, *, moment: datetime) -> Chart:
    """Return the chart of what came of every change.

    Args:
        result: the outcomes of one apply.
        moment: when the run was started.
    """
    items = result.outcomes
    counts = Counter(item.outcome for item in items)
    reasons = Counter(
        (OPEN_OUTCOMES.index(item.outcome), item.reason, item.remedy) for item in result.unfinished
    )
    # failures first, many first
    groups = sorted(reasons.items(), key=lambda group: (group[0][0], -group[1], group[0][1]))
    share = MOST_REASONS // (len({kind for (kind, *_), _ in groups}) or 1)
    seen: Counter[int] = Counter()
    shown: list[Group] = []
    rest: list[Group] = []
    for group in groups:
        seen[group[0][0]] += 1
        is_shown = len(groups) <= MOST_REASONS or seen[group[0][0]] <= share
        (shown if is_shown else rest).append(group)
    clusters, others = _clusters(result, panels=2 if groups else 1)
    verbs = {kind: "was " if counts[kind] == 1 else "were " for kind in OPEN_OUTCOMES}
    verbs[OutcomeKind.FAILED] = ""
    ended = {
        kind: f"{verbs[kind]}{wording.outcome(kind)}" for kind in OPEN_OUTCOMES if counts[kind]
    }
    sheet = Sheet(
        "bulk_outcome",
        {
            "changes": len(items), "kept": len(items) - len(result.unfinished), "moment": moment,
            "done": [f"{counts[kind]:,} {wording.outcome(kind)}" for kind in LOOKS
                     if counts[kind] and kind not in OPEN_OUTCOMES],
            "open": [f"{counts[kind]:,} {words}" for kind, words in ended.items()],
            "all_open": "".join(ended.values()), "rest": [amount for _, amount in rest],
            "rest_clusters": others.to_dict("records"),
            "most": next(({"word": wording.outcome(OPEN_OUTCOMES[kind]), "reason": reason,
                           "amount": amount} for (kind, reason, _), amount in groups), None),
        },
    )  # fmt: skip
    if items:
        parts = [(counts[kind], wording.outcome(kind), look) for kind, look in LOOKS.items()]
        sheet.strip(parts, height=54)
        sheet.y += 18
    else:
        sheet.note(sheet.say("nothing"))
    if groups:
        _draw_reasons(sheet, shown)
    if len(clusters) > 1:
        _draw_clusters(sheet, clusters)
    return sheet.finish()


def _draw_reasons(sheet: Sheet, groups: list[Group]) -> None:
    sheet.section("What is not done, and what to do")
    sheet.y += 38
    has_remedy = any(remedy for (_, _, remedy), _ in groups)
    middle, right = 250, 830 if has_remedy else RIGHT
    heads = {MARGIN: "Changes", middle: "Reason"} | ({right: "Remedy"} if has_remedy else {})
    for x, words in heads.items():
        sheet.label(x, sheet.y, words)
    sheet.y += 20
    largest = max(amount for _, amount in groups)
    for (kind, reason, remedy), amount in groups:
        why = sheet.wrap(reason or "no reason given", right - middle - 24, lines=2)
        what = sheet.wrap(remedy, RIGHT - right, lines=2) if remedy else []
        sheet.lines(MARGIN, sheet.y, RIGHT, sheet.y, GRID_LINE)
        y, end = sheet.y + 21, MARGIN + 10 + 110 * amount / largest
        sheet.bars(MARGIN, end, y, 18, LOOKS[OPEN_OUTCOMES[kind]])
        sheet.text(end + 10, y, f"{amount:,}", bold=True)
        for x, rows, color in ((middle, why, colors.INK), (right, what, colors.TEXT)):
            for index, row in enumerate(rows):
                sheet.text(x, y + 28 * index, row, color=color)
        sheet.y += 28 * max(len(why), len(what)) + 14
    sheet.lines(MARGIN, sheet.y, RIGHT, sheet.y, GRID_LINE)
    sheet.y += 30
    sheet.note(sheet.say("more_reasons"))
    sheet.y += 20


def _clusters(result: ApplyResult, *, panels: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row for each cluster, worst first: those to draw, and those that are left."""
    found: dict[Any, Counter[OutcomeKind]] = {}
    for item in result.outcomes:
        found.setdefault(item.id.cluster, Counter())[item.outcome] += 1
    labels = short_names(found)
    rows = [
        (labels[cluster], one, one.total(), sum(one[kind] for kind in OPEN_OUTCOMES))
        for cluster, one in found.items()
    ]
    table = pd.DataFrame(rows, columns=["name", "counts", "changes", "missing"])
    order = ["missing", "changes", "name"]
    table = table.sort_values(order, ascending=[False, False, True])
    return top_rows(table, [True] * len(table), panels=panels)


def _draw_clusters(sheet: Sheet, rows: pd.DataFrame) -> None:
    sheet.section("By cluster, worst first")
    sheet.y += 40
    missing = rows["missing"].map("{:,} not done".format).where(rows["missing"] > 0, "all done")
    red = [colors.CRITICAL if one[OutcomeKind.FAILED] else colors.TEXT for one in rows["counts"]]
    grid = sheet.grid(
        [Column(rows["name"], least=150, most=300)],
        [Column(rows["changes"].map("{:,}, ".format) + missing, "", red, rows["missing"] > 0)],
    )
    for y, counts, items in zip(grid.ys, rows["counts"], rows["changes"], strict=True):
        found = [kind for kind in LOOKS if counts[kind]]
        end = grid.x(items / rows["changes"].max())
        places = shares([counts[kind] for kind in found], grid.left, end, least=3, gap=2)
        for kind, (x, end) in zip(found, places, strict=True):
            sheet.bars(x, end, y, 22, LOOKS[kind])
    sheet.y += 24
    sheet.note(sheet.say("more_clusters"))


MOST_LINES, MOST_NAMED = 200, 40
_LEAST_NAMED = 20
"""Pixels of a line with its name."""
LEFT = 430
"""Where the clock begins, in pixels; names stand before it."""
_BINS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_MOST_BINS, _MOST_TICKS, _HEIGHT, _CLIPPED_AT = 60, 8, 110, 3
_WAITING, _FAILED = Look(colors.GRID), Look(colors.CRITICAL, colors.WHITE, dot=12)
_WRITES, _EDGE = Look(colors.USED), Look(colors.WHITE, line=8)
_LIMIT = Look(colors.CRITICAL, line=3)

Stretches = Sequence[Stretch]
Paces = Mapping[ClusterId, "Pace"]
"""What each cluster's writes were held to; clusters of a subscription and region share a bucket."""


def bulk_timeline(stretches: Stretches, *, moment: datetime, paces: Paces) -> Chart:
    """Return the chart of when each change was written and how long it took.

    Args:
        moment: when the run was started.
        paces: of every cluster that was written to.
    """
    span = max((one.ended for one in stretches), default=0.0) or 1.0
    every = ceil(len(stretches) / MOST_LINES)
    facts = _facts(stretches, span, paces) | {"moment": moment, "every": every}
    sheet = Sheet("bulk_timeline", facts)
    if not stretches:
        return sheet.finish()
    found, high = {one.outcome for one in stretches}, _named_height(stretches)
    sheet.legend(
        [
            (_WAITING, "waits for its turn", high),
            *((look, wording.outcome(kind), kind in found) for kind, look in LOOKS.items()),
            (_FAILED, "failed here", OutcomeKind.FAILED in found),
        ]
    )
    sheet.y += 14
    _draw_rate(sheet, stretches, span, paces)
    _draw_stretches(sheet, stretches, span, every)
    return sheet.finish()


def _facts(stretches: Stretches, span: float, paces: Paces) -> dict[str, Any]:
    used = {paces[one.id.cluster] for one in stretches}
    rates = [pace.rate for pace in used if pace.rate]
    writes = Counter(paces[one.id.cluster] for one in stretches for _ in one.writes)
    slowest = max(stretches, key=lambda one: one.ended - one.started, default=None)
    edges = sorted([(s.started, 1) for s in stretches] + [(s.ended, -1) for s in stretches])
    begun = writes.total()
    return {
        "changes": len(stretches), "span": span, "half": span / 2,
        "is_paced": any((n - pace.rate.burst) / pace.rate.per_second > span / 2
                        for pace, n in writes.items() if pace.rate),
        "slowest": slowest.id.namespace_name if slowest else "",
        "longest": slowest.ended - slowest.started if slowest else 0,
        "side_by_side": int(np.max(np.cumsum([step for _, step in edges]), initial=0)),
        "begun": begun, "again": begun - sum(bool(one.writes) for one in stretches),
        "buckets": len(used), "learned": sum(pace.is_learned for pace in used),
        "refused": sum(pace.refused for pace in used),
        "at_once": [f"{value:.3g}" for value in sorted(rate.burst for rate in rates)],
        "each_second": [f"{value:.3g}" for value in sorted(rate.per_second for rate in rates)],
    }  # fmt: skip


def _x(seconds: Any, span: float) -> Any:
    return LEFT + (RIGHT - LEFT) * np.minimum(seconds, span) / span


def _draw_rate(sheet: Sheet, stretches: Stretches, span: float, paces: Paces) -> None:
    width = next((b for b in _BINS if span / b <= _MOST_BINS), _BINS[-1])
    drawn = sorted((at, paces[one.id.cluster]) for one in stretches for at in one.writes)
    last = {pace: int(at // width) for at, pace in drawn}
    amounts = np.bincount([int(at // width) for at, _ in drawn] or [0])
    writes, bins = Counter(pace for _, pace in drawn), np.arange(len(amounts))
    # what the buckets earn while they have writes left, a step down where one has none
    bounds = sum(
        (pace.rate.per_second * width * (bins <= end) for pace, end in last.items() if pace.rate),
        start=np.zeros(len(bins)),
    )
    highest, most = max(int(amounts.max()), 1), float(bounds.max())
    is_felt = any(pace.rate and number > pace.rate.burst for pace, number in writes.items())
    top = min(highest, most * _CLIPPED_AT) if is_felt and most >= 1 else highest
    base, scale = sheet.y + _HEIGHT, _HEIGHT / top
    sheet.text(MARGIN, sheet.y, "Writes begun", bold=True)
    sheet.label(MARGIN, sheet.y + 28, f"per {width:g} s")
    for value in ticks(top):
        y, more = base - value * scale, "+" if highest > top and value == ticks(top)[-1] else ""
        sheet.lines(LEFT, y, RIGHT, y, GRID_LINE)
        label = f"{value:g}{more}"
        sheet.label(LEFT - 14, y, label, align="right")
    lefts, rights = _x(bins * width, span), _x((bins + 1) * width, span)
    high = np.minimum(amounts, top) * scale
    ends = np.where(amounts > 0, np.maximum(rights - 1, lefts + 1), np.nan)
    sheet.bars(lefts, ends, base - high / 2, high, _WRITES)
    if is_felt and most <= top:
        ys = base - bounds * scale
        for look in (_EDGE, _LIMIT):  # light around dark, for it lies on dark bars
            sheet.lines(lefts, ys, rights, ys, look)
            sheet.vlines(lefts[1:], ys[:-1], ys[1:], look)
        words = sheet.say("bound")
        sheet.label(RIGHT, sheet.y - 18, words, color=colors.CRITICAL, align="right")
    sheet.y = base + 34


def _named_height(stretches: Stretches) -> float:
    """Return how high a line is that has its name; 0 where the sheet has no room for names."""
    clusters, lines = len({one.id.cluster for one in stretches}), len(stretches)
    height = min(30.0, (MOST_HEIGHT - 520 - 50 * clusters) / max(lines, 1))
    return height if lines <= MOST_NAMED and height >= _LEAST_NAMED else 0.0


def _draw_stretches(sheet: Sheet, stretches: Stretches, span: float, every: int) -> None:
    named = _named_height(stretches)
    height, head = named or (8 if len(stretches) <= 80 else 3), 34 if named else 0
    by_cluster: dict[ClusterId, list[Stretch]] = {}
    for one in stretches:
        by_cluster.setdefault(one.id.cluster, []).append(one)
    labels, top = short_names(by_cluster), sheet.y
    lines: list[tuple[Stretch, float]] = []
    heads = []
    for cluster in sorted(by_cluster, key=lambda cluster: labels[cluster]):
        shown = [
            one for number, one in enumerate(by_cluster[cluster])
            if number % every == 0 or one.outcome in OPEN_OUTCOMES
        ]  # fmt: skip
        heads.append((labels[cluster], by_cluster[cluster], sheet.y + 10))
        lines += [(one, sheet.y + head + height * (n + 0.5)) for n, one in enumerate(shown)]
        sheet.y += max(head + height * len(shown), 34 if named else 62) + 16
    _draw_clock(sheet, span, top)
    for label, found, y in heads:
        missing = sum(one.outcome in OPEN_OUTCOMES for one in found)
        words = f"{missing:,} not done" if missing else ""
        room = LEFT - MARGIN - 110 - (sheet.width(words, SMALL) if named else 0)
        end = sheet.text(MARGIN, y, label, bold=True, limit=room)
        sheet.text(LEFT - 24, y, f"{len(found):,}", color=colors.TEXT, align="right")
        x, below = (end + 16, 0) if named else (MARGIN, 28)
        sheet.label(x, y + below, words, color=colors.CRITICAL)
    ys = np.array([y for _, y in lines])
    starts, ends = (_x(np.array([getattr(one, name) for one, _ in lines]), span)
                    for name in ("started", "ended"))  # fmt: skip
    if named:
        sheet.bars(LEFT, starts, ys, 2, _WAITING)
        for one, y in lines:
            name, limit = one.id.namespace_name, LEFT - MARGIN - 50
            sheet.label(MARGIN + 20, y, name, color=colors.TEXT, limit=limit)
    gap = 4 if named else 1 if height > 3 else 0
    looks = [LOOKS[one.outcome] for one, _ in lines]
    sheet.bars(starts, np.maximum(ends, starts + 3), ys, height - 2 * gap, looks)
    failed = [one.outcome is OutcomeKind.FAILED for one, _ in lines]
    sheet.dots(ends[failed], ys[failed], _FAILED)  # above all lines, which are thinner than a dot
    sheet.y += 44 + 20 * (every > 1)
    sheet.note(sheet.say("every"))


def _draw_clock(sheet: Sheet, span: float, top: float) -> None:
    step = next((step for step in _BINS if span / step <= _MOST_TICKS), _BINS[-1])
    places = [step * number for number in range(int(span / step) + 1)]
    is_short = span < 90
    for at in places:
        x, whole = _x(at, span), int(at)
        words = f"{at:g}" if is_short else f"{whole // 60}:{whole % 60:02}"
        if at == places[-1]:
            words += " s" if is_short else " min:s"
        align = "right" if x > RIGHT - 60 else "center" if at else "left"
        sheet.vlines(x, top - 8, sheet.y, GRID_LINE)
        sheet.label(x, sheet.y + 20, words, align=align)
