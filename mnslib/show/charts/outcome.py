"""What came of each request of a run, what to do now, and on which clusters.

One bar with all outcomes, then what is not done by reason with its remedy, then clusters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from mnslib.resource_ids import ClusterId, short_names
from mnslib.results import OPEN_OUTCOMES, ApplyResult, ItemOutcome, OutcomeKind
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import BODY, MARGIN, RIGHT, SMALL, Canvas, Chart, top_rows
from mnslib.show.charts.marks import HATCH, Column, Fill, Stroke, Words

MOST_REASONS = 12
FILLS = {
    OutcomeKind.CREATED: Fill(colors.GOOD),
    OutcomeKind.ADOPTED: Fill(colors.GOOD_TINT, colors.GOOD),
    OutcomeKind.UPDATED: Fill(colors.GOOD_SOFT),
    OutcomeKind.DELETED: Fill(colors.CALM, colors.INK),
    OutcomeKind.RELEASED: Fill(colors.PANEL, colors.AXIS),
    OutcomeKind.UNCHANGED: Fill(colors.CALM_LOWER),
    OutcomeKind.FAILED: Fill(colors.CRITICAL, foot=colors.INK),
    OutcomeKind.SKIPPED: Fill(colors.WARNING, foot=colors.WARNING_TEXT),
    OutcomeKind.NOT_ATTEMPTED: HATCH,
}
"""In drawing order: what is as requested, then what is not."""

Items = Sequence[ItemOutcome]
Group = tuple[OutcomeKind, str, str, int]
"""Outcome, reason, remedy and how many changes."""


def bulk_outcome(
    result: ApplyResult, *, moment: datetime, note: str = "", family: str | None = None
) -> Chart:
    """Return the chart of what came of every change.

    Args:
        result: the outcomes of one apply.
        moment: when the run was started.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    items, groups = result.outcomes, _groups(result.outcomes)
    canvas = Canvas("bulk_outcome", family=family)
    title, at = _title(items), wording.moment(moment)
    canvas.heading(
        title, f"Outcome of every change of the run of {at}; each has exactly one outcome"
    )
    if items:
        counts = _counts(items)
        canvas.strip(
            [(n, wording.outcome(kind), FILLS[kind]) for kind, n in counts.items()], height=54
        )
        canvas.y += 18
    else:
        canvas.note("The plan held no change, so there was nothing to do.")
    if groups:
        _draw_reasons(canvas, groups)
    if len({item.id.cluster for item in items}) > 1:
        _draw_clusters(canvas, items, panels=2 if groups else 1)
    most = [f"Most often {wording.outcome(kind)}: {reason or 'no reason given'} ({amount:,})."
            for kind, reason, _, amount in groups[:1]]  # fmt: skip
    source = f"Source: result.json and journal of the run. {note}".strip()
    return canvas.finish(source=source, alt=" ".join([f"{title}.", *most]))


def _counts(items: Items) -> dict[OutcomeKind, int]:
    """Return how many ended in each outcome, in drawing order, none that did not occur."""
    found = Counter(item.outcome for item in items)
    return {kind: found[kind] for kind in FILLS if found[kind]}


def _unfinished(items: Items) -> int:
    return sum(item.outcome in OPEN_OUTCOMES for item in items)


def _title(items: Items) -> str:
    if not items:
        return "There was nothing to do"
    counts, total = _counts(items), wording.count(len(items), "change")
    verbs = {
        kind: "" if kind is OutcomeKind.FAILED else "was " if counts[kind] == 1 else "were "
        for kind in OPEN_OUTCOMES if kind in counts
    }  # fmt: skip
    parts = [f"{counts[kind]:,} {verb}{wording.outcome(kind)}" for kind, verb in verbs.items()]
    done = [
        f"{amount:,} {wording.outcome(kind)}"
        for kind, amount in counts.items()
        if kind not in OPEN_OUTCOMES
    ]
    if not parts:
        every = wording.every(len(items), "change")
        return f"{every} as requested: {wording.listing(done)}"
    if not done and len(parts) == 1:
        every = "The only change" if len(items) == 1 else f"All {total}"
        return f"{every} {parts[0].partition(' ')[2]}"
    amount = len(items) - _unfinished(items)
    who = f"{amount:,}" if amount else "None"
    return f"{who} of {total} {wording.are(amount)} as requested; {wording.listing(parts)}"


def _groups(items: Items) -> list[Group]:
    """Return what is not done by its reason: failures first, many first."""
    found = Counter(
        (item.outcome, item.reason, item.remedy) for item in items if item.outcome in OPEN_OUTCOMES
    )
    groups = [(kind, reason, remedy, amount) for (kind, reason, remedy), amount in found.items()]
    return sorted(groups, key=lambda group: (OPEN_OUTCOMES.index(group[0]), -group[3], group[1]))


def _draw_reasons(canvas: Canvas, groups: list[Group]) -> None:
    kinds = [[group for group in groups if group[0] is kind] for kind in OPEN_OUTCOMES]
    share = MOST_REASONS if len(groups) <= MOST_REASONS else MOST_REASONS // sum(map(bool, kinds))
    shown = [group for found in kinds for group in found[:share]]
    canvas.section("What is not done, and what to do")
    canvas.y += 38
    has_remedy = any(remedy for _, _, remedy, _ in shown)
    columns = (MARGIN, 250, 830 if has_remedy else RIGHT)
    for x, words in zip(columns, ("Changes", "Reason", "Remedy"), strict=True):
        if x < RIGHT:
            canvas.text(x, canvas.y, words, size=SMALL, color=colors.MUTED)
    canvas.y += 20
    largest = max(amount for *_, amount in shown)
    for group in shown:
        _draw_reason(canvas, group, columns, largest)
    canvas.line(MARGIN, canvas.y, RIGHT, canvas.y, Stroke(colors.GRID, 2))
    canvas.y += 30
    rest = [amount for group in groups if group not in shown for amount in group[3:]]
    if rest:
        reasons = wording.count(len(rest), "more reason")
        canvas.note(f"{reasons} for {wording.count(sum(rest), 'change')}: in the table below")
    canvas.y += 20


def _draw_reason(canvas: Canvas, group: Group, columns: tuple[int, int, int], largest: int) -> None:
    kind, reason, remedy, amount = group
    left, middle, right = columns
    why = canvas.wrap(reason or "no reason given", right - middle - 24, BODY, lines=2)
    what = canvas.wrap(remedy, max(RIGHT - right, 1), BODY, lines=2) if remedy else []
    canvas.line(MARGIN, canvas.y, RIGHT, canvas.y, Stroke(colors.GRID, 2))
    y, end = canvas.y + 21, left + 10 + 110 * amount / largest
    canvas.box(left, y - 9, end, y + 9, FILLS[kind])
    canvas.text(end + 10, y, f"{amount:,}", bold=True)
    for x, rows, color in ((middle, why, colors.INK), (right, what, colors.TEXT)):
        for index, row in enumerate(rows):
            canvas.text(x, y + 28 * index, row, color=color)
    canvas.y += 28 * max(len(why), len(what)) + 14


def _draw_clusters(canvas: Canvas, items: Items, *, panels: int) -> None:
    by_cluster: dict[ClusterId, list[ItemOutcome]] = {}
    for item in items:
        by_cluster.setdefault(item.id.cluster, []).append(item)
    labels = short_names(by_cluster)
    rows = sorted(
        ((labels[cluster], found) for cluster, found in by_cluster.items()),
        key=lambda row: (-_unfinished(row[1]), -len(row[1]), row[0]),
    )
    shown, largest = top_rows(rows, panels=panels), max(map(len, by_cluster.values()))
    canvas.section("By cluster, worst first")
    canvas.y += 40
    grid = canvas.grid(
        [Column(cells=[Words(label) for label, _ in shown], least=150, most=300)],
        [Column(cells=[_state(found) for _, found in shown])],
    )
    for (_, found), y in zip(shown, grid.middles, strict=True):
        x = grid.left
        for kind, amount in _counts(found).items():
            end = max(x + amount * (grid.right - grid.left) / largest - 2, x + 3)
            canvas.box(x, y - 11, end, y + 11, FILLS[kind])
            x = end + 2
    canvas.y += 24
    if rest := rows[len(shown) :]:
        changes = wording.count(sum(len(found) for _, found in rest), "change")
        open_count = sum(_unfinished(found) for _, found in rest)
        state = f"{open_count:,} of them not done" if open_count else "all done"
        canvas.note(wording.more(len(rest), "cluster", {}, otherwise=f" with {changes}, {state}"))


def _state(items: Items) -> Words:
    missing, has_failed = _unfinished(items), OutcomeKind.FAILED in _counts(items)
    words = f"{len(items):,}, {f'{missing:,} not done' if missing else 'all done'}"
    return Words(words, colors.CRITICAL if has_failed else colors.TEXT, missing > 0)
