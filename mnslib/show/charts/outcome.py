"""What came of each request of a run, what to do now, and on which clusters.

One bar with all outcomes, then what is not done by reason with its remedy, then clusters.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pandas as pd

from mnslib.resource_ids import short_names
from mnslib.results import OPEN_OUTCOMES, ApplyResult, OutcomeKind
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import (
    GRID_LINE,
    HATCH,
    MARGIN,
    RIGHT,
    Column,
    Look,
    Sheet,
    shares,
    top_rows,
)

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


def bulk_outcome(result: ApplyResult, *, moment: datetime, note: str = "") -> Chart:
    """Return the chart of what came of every change.

    Args:
        result: the outcomes of one apply.
        moment: when the run was started.
        note: sentences that the source line ends with.
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
            "rest_clusters": others.to_dict("records"), "note": note,
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
