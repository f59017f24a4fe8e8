"""What came of each request of a run, what to do now, and where its time went.

One bar with all outcomes, then what is not done by reason with its remedy, then clusters; and
writes against the limit above one line per change, on the same clock. Above 500 changes every k-th
line is drawn, and all that failed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from mnslib.azure.throttle import Pace
from mnslib.provisioning.journal import Stretch
from mnslib.resource_ids import ClusterId, short_names
from mnslib.results import OPEN_OUTCOMES, ApplyResult, OutcomeKind
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import MARGIN, MOST_HEIGHT, RIGHT, SMALL, Grid, Sheet, top_rows
from mnslib.show.tables import told

MOST_REASONS = 12


def bulk_outcome(result: ApplyResult, *, moment: datetime) -> Chart:
    """Return the chart of what came of every change.

    Args:
        result: the outcomes of one apply.
        moment: when the run was started.
    """
    labels = short_names(item.id.cluster for item in result.outcomes)
    items = pd.DataFrame(
        [(item.outcome.value, item.reason, item.remedy, labels[item.id.cluster])
         for item in result.outcomes],
        columns=["outcome", "reason", "remedy", "cluster"],
    )  # fmt: skip
    found = Counter(items["outcome"])
    counts = {kind: found[kind] for kind in told("outcomes")}
    missing = items[items["outcome"].isin(OPEN_OUTCOMES)]
    groups = missing.groupby(["outcome", "reason", "remedy"]).size().rename("amount").reset_index()
    groups["rank"] = groups["outcome"].map(OPEN_OUTCOMES.index)  # failures first, many first
    groups = groups.sort_values(["rank", "amount", "reason"], ascending=[True, False, True])
    share = MOST_REASONS // max(groups["rank"].nunique(), 1)
    shown = groups if len(groups) <= MOST_REASONS else groups.groupby("rank").head(share)
    sheet = Sheet(
        "bulk_outcome", changes=len(items), kept=len(items) - len(missing), moment=moment,
        done={kind: n for kind, n in counts.items() if n and kind not in OPEN_OUTCOMES},
        open={kind: counts[kind] for kind in OPEN_OUTCOMES if counts[kind]},
        rest=groups.drop(index=shown.index)["amount"].tolist(), most=groups[:1].to_dict("records"),
    )  # fmt: skip
    if items.empty:
        return sheet.nothing()
    sheet.strip(counts, height=54)
    sheet.y += 18
    if len(groups):
        _draw_reasons(sheet, shown)
    if items["cluster"].nunique() > 1:
        _draw_clusters(sheet, items, panels=2 if len(groups) else 1)
    return sheet.finish()


def _draw_reasons(sheet: Sheet, groups: pd.DataFrame) -> None:
    sheet.section("What is not done, and what to do", height=38)
    middle, right = 250, 830 if groups["remedy"].any() else RIGHT
    heads = {MARGIN: "Changes", middle: "Reason", right: "Remedy"}
    for x, words in heads.items():
        sheet.label(x, sheet.y, words if x < RIGHT else "")
    sheet.y += 20
    rows: list[Any] = groups.to_dict("records")
    for row in rows:
        why = sheet.wrap(row["reason"] or "no reason given", right - middle - 24, lines=2)
        what = sheet.wrap(row["remedy"], RIGHT - right, lines=2) if row["remedy"] else []
        sheet.lines(MARGIN, sheet.y, RIGHT, sheet.y, "grid")
        y, end = sheet.y + 21, MARGIN + 10 + 110 * row["amount"] / groups["amount"].max()
        sheet.bars(MARGIN, end, y, 18, row["outcome"])
        sheet.text(end + 10, y, f"{row['amount']:,}", bold=True)
        for x, texts, color in ((middle, why, "ink"), (right, what, "text")):
            for index, text in enumerate(texts):
                sheet.text(x, y + 28 * index, text, color=color)
        sheet.y += 28 * max(len(why), len(what)) + 14
    sheet.lines(MARGIN, sheet.y, RIGHT, sheet.y, "grid")
    sheet.y += 30
    sheet.tell("more_reasons")
    sheet.y += 20


def _draw_clusters(sheet: Sheet, items: pd.DataFrame, *, panels: int) -> None:
    """Draw what came of the changes of each cluster, worst first."""
    counts = pd.crosstab(items["cluster"], items["outcome"])
    counts = counts.reindex(columns=told("outcomes"), fill_value=0)
    missing, failed = counts[[*OPEN_OUTCOMES]].sum(axis=1), counts[OutcomeKind.FAILED] > 0
    tone, changes = np.where(failed, "crit", "text"), counts.sum(axis=1)
    rows = counts.assign(changes=changes, missing=missing, tone=tone).reset_index()
    rows = rows.sort_values(["missing", "changes", "cluster"], ascending=[False, False, True])
    shown, rest = top_rows(rows, [True] * len(rows), panels=panels)
    sheet.section("By cluster, worst first", height=40)
    grid = sheet.grid(shown)
    each: list[Any] = shown[told("outcomes")].to_dict("records")
    ends = grid.x(shown["changes"] / shown["changes"].max())
    for y, found, end in zip(grid.ys, each, ends, strict=True):
        sheet.stack(found, grid.left, end, y, 22, least=3, gap=2)
    sheet.tell("more_clusters", others=rest.to_dict("records"))


MOST_LINES, MOST_NAMED = 200, 40
LEFT, _LEAST_NAMED = 430, 20
"""Pixels: where the clock begins, before which names stand; the height of a line with a name."""
_BINS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_MOST_BINS, _MOST_TICKS, _HEIGHT, _CLIPPED_AT = 60, 8, 110, 3

Paces = Mapping[ClusterId, "Pace"]
"""What each cluster's writes were held to; clusters of a subscription and region share a bucket."""


def bulk_timeline(stretches: Sequence[Stretch], *, moment: datetime, paces: Paces) -> Chart:
    """Return the chart of when each change was written and how long it took.

    Args:
        moment: when the run was started.
        paces: of every cluster that was written to.
    """
    labels = short_names(one.id.cluster for one in stretches)
    rows = pd.DataFrame(
        [(labels[one.id.cluster], one.id.namespace_name, one.outcome.value, one.started, one.ended,
          bool(one.writes)) for one in stretches],
        columns=["cluster", "name", "outcome", "started", "ended", "is_written"],
    )  # fmt: skip
    writes = [(at, paces[one.id.cluster]) for one in stretches for at in one.writes]
    span = float(rows["ended"].max()) if rows["ended"].any() else 1.0
    every = ceil(len(rows) / MOST_LINES)
    facts = _facts(rows, writes, span, {paces[one.id.cluster] for one in stretches})
    sheet = Sheet("bulk_timeline", moment=moment, every=every, **facts)
    if rows.empty:
        return sheet.finish()
    outcomes, lines, clusters = set(rows["outcome"]), len(rows), rows["cluster"].nunique()
    named = min(30.0, (MOST_HEIGHT - 520 - 50 * clusters) / lines)
    named = named if lines <= MOST_NAMED and named >= _LEAST_NAMED else 0.0
    there = {kind: kind in outcomes for kind in told("outcomes")}
    sheet.legend(waiting=named, **there, failed_here=there[OutcomeKind.FAILED])
    sheet.y += 14
    _draw_rate(sheet, writes, span)
    _draw_stretches(sheet, rows, span, every, named)
    return sheet.finish()


def _facts(
    rows: pd.DataFrame, writes: Sequence[tuple[float, Pace]], span: float, used: set[Pace]
) -> dict[str, Any]:
    rates, numbers = [pace.rate for pace in used if pace.rate], Counter(pace for _, pace in writes)
    lasting = rows["ended"] - rows["started"]
    edges = sorted([*((at, 1) for at in rows["started"]), *((at, -1) for at in rows["ended"])])
    return {
        "changes": len(rows), "span": span, "half": span / 2,
        "is_paced": any((number - pace.rate.burst) / pace.rate.per_second > span / 2
                        for pace, number in numbers.items() if pace.rate),
        "slowest": rows["name"].iloc[int(lasting.argmax())] if len(rows) else "",
        "longest": lasting.max(),
        "side_by_side": int(np.max(np.cumsum([step for _, step in edges]), initial=0)),
        "begun": len(writes), "again": len(writes) - int(rows["is_written"].sum()),
        "buckets": len(used), "learned": sum(pace.is_learned for pace in used),
        "refused": sum(pace.refused for pace in used),
        "at_once": [f"{value:.3g}" for value in sorted(rate.burst for rate in rates)],
        "each_second": [f"{value:.3g}" for value in sorted(rate.per_second for rate in rates)],
    }  # fmt: skip


def _draw_rate(sheet: Sheet, writes: Sequence[tuple[float, Pace]], span: float) -> None:
    width = next((one for one in _BINS if span / one <= _MOST_BINS), _BINS[-1])
    amounts = np.bincount([int(at // width) for at, _ in writes] or [0])
    numbers, bins = Counter(pace for _, pace in writes), np.arange(len(amounts))
    last = {pace: int(at // width) for at, pace in sorted(writes, key=lambda write: write[0])}
    # what the buckets earn while they have writes left, a step down where one has none
    bounds = sum(
        (pace.rate.per_second * width * (bins <= end) for pace, end in last.items() if pace.rate),
        start=np.zeros(len(bins)),
    )
    highest, most = max(int(amounts.max()), 1), float(bounds.max())
    is_felt = any(pace.rate and number > pace.rate.burst for pace, number in numbers.items())
    top = min(highest, most * _CLIPPED_AT) if is_felt and most >= 1 else highest
    grid = Grid(LEFT, RIGHT, sheet.y, sheet.y + _HEIGHT)
    sheet.text(MARGIN, sheet.y, "Writes begun", bold=True)
    sheet.label(MARGIN, sheet.y + 28, f"per {width:g} s")
    sheet.levels(grid, top, more="+" if highest > top else "")
    lefts, rights = (grid.x(np.minimum(ends * width / span, 1)) for ends in (bins, bins + 1))
    high = np.minimum(amounts, top) / top * _HEIGHT
    ends = np.where(amounts > 0, np.maximum(rights - 1, lefts + 1), np.nan)
    sheet.bars(lefts, ends, grid.bottom - high / 2, high, "writes")
    if is_felt and most <= top:
        ys = grid.y(bounds / top)
        for look in ("bound_edge", "bound"):  # light around dark, for it lies on dark bars
            sheet.lines(lefts, ys, rights, ys, look)
            sheet.vlines(lefts[1:], ys[:-1], ys[1:], look)
        sheet.label(RIGHT, sheet.y - 18, sheet.say("bound"), color="crit", align="right")
    sheet.y = grid.bottom + 34


def _draw_stretches(
    sheet: Sheet, rows: pd.DataFrame, span: float, every: int, named: float
) -> None:
    """Draw each cluster's changes; `named` is how high a line with its name is, 0 without."""
    height, head, top = named or (8 if len(rows) <= 80 else 3), 34 if named else 0, sheet.y
    heads, drawn = [], []
    for label, own in rows.groupby("cluster"):
        is_open = own["outcome"].isin(OPEN_OUTCOMES)
        shown = own[(np.arange(len(own)) % every == 0) | is_open]
        heads.append((sheet.y + 10, str(label), len(own), int(is_open.sum())))
        drawn.append(shown.assign(y=sheet.y + head + height * (np.arange(len(shown)) + 0.5)))
        sheet.y += max(head + height * len(shown), 34 if named else 62) + 16
    grid = Grid(LEFT, RIGHT, top, sheet.y)
    step = next((step for step in _BINS if span / step <= _MOST_TICKS), _BINS[-1])
    places = [step * number for number in range(int(span / step) + 1)]
    for at in places:
        x, whole, is_last = grid.x(at / span), int(at), at == places[-1]
        words = f"{at:g}{' s' * is_last}"
        if span >= 90:
            words = f"{whole // 60}:{whole % 60:02}{' min:s' * is_last}"
        align = "right" if x > RIGHT - 60 else "center" if at else "left"
        sheet.vlines(x, top - 8, grid.bottom, "grid")
        sheet.label(x, grid.bottom + 20, words, align=align)
    for y, label, number, missing in heads:
        words = f"{missing:,} not done" if missing else ""
        room = LEFT - MARGIN - 110 - (sheet.width(words, SMALL) if named else 0)
        end = sheet.text(MARGIN, y, label, bold=True, limit=room)
        sheet.text(LEFT - 24, y, f"{number:,}", color="text", align="right")
        x, below = (end + 16, 0) if named else (MARGIN, 28)
        sheet.label(x, y + below, words, color="crit")
    lines = pd.concat(drawn)
    starts, ends = (grid.x(lines[name] / span).to_numpy() for name in ("started", "ended"))
    if named:
        sheet.bars(LEFT, starts, lines["y"], 2, "waiting")
        for name, y in zip(lines["name"], lines["y"], strict=True):
            sheet.label(MARGIN + 20, y, name, color="text", limit=LEFT - MARGIN - 50)
    gap = 4 if named else 1 if height > 3 else 0
    outcomes = lines["outcome"].tolist()
    sheet.bars(starts, np.maximum(ends, starts + 3), lines["y"], height - 2 * gap, outcomes)
    failed = (lines["outcome"] == OutcomeKind.FAILED).to_numpy()
    # above all lines, which are thinner than a dot
    sheet.dots(ends[failed], lines["y"][failed], "failed_here")
    sheet.y += 44 + 20 * (every > 1)
    sheet.tell("every")
