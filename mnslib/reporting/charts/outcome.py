"""What came of each request of a run, what to do now, and on which clusters.

One bar with all outcomes, then what is not done by reason with its remedy, then clusters.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from mnslib.reporting import wording
from mnslib.reporting.charts.canvas import (
    BODY,
    CALM,
    CALM_LOWER,
    CRITICAL,
    GOOD,
    GOOD_SOFT,
    GOOD_TINT,
    GRID,
    HATCH,
    INK,
    MARGIN,
    MUTED,
    RIGHT,
    SMALL,
    TEXT,
    WARNING,
    WARNING_TEXT,
    WHITE,
    Canvas,
    Chart,
    Fill,
    Stroke,
)
from mnslib.resource_ids import ClusterId
from mnslib.results import ApplyResult, ItemOutcome, OutcomeKind

MOST_REASONS, MOST_CLUSTERS, TOP_CLUSTERS = 12, 30, 20
_FILLS = {
    OutcomeKind.CREATED: Fill(GOOD),
    OutcomeKind.ADOPTED: Fill(GOOD_TINT, GOOD),
    OutcomeKind.UPDATED: Fill(GOOD_SOFT),
    OutcomeKind.DELETED: Fill(CALM),
    OutcomeKind.UNCHANGED: Fill(CALM_LOWER),
    OutcomeKind.FAILED: Fill(CRITICAL),
    OutcomeKind.SKIPPED: Fill(WARNING, foot=WARNING_TEXT),
    OutcomeKind.NOT_ATTEMPTED: HATCH,
}
"""In drawing order: what is as requested, then what is not."""
_OPEN = (OutcomeKind.FAILED, OutcomeKind.SKIPPED, OutcomeKind.NOT_ATTEMPTED)
_WORDS = {OutcomeKind.NOT_ATTEMPTED: "not started"}
_LIGHT_TEXT = (OutcomeKind.CREATED, OutcomeKind.FAILED)


def bulk_outcome(
    result: ApplyResult, *, moment: datetime, note: str = "", family: str | None = None
) -> Chart:
    """Return the chart of what came of every change.

    Args:
        result: the outcomes of one apply; the remedy of a reason is what follows its first `; `.
        moment: when the run was started.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    items = result.outcomes
    canvas = Canvas(family=family)
    at = wording.moment(moment)
    canvas.heading(
        _title(items), f"Outcome of every change of the run of {at}; each has exactly one outcome"
    )
    if items:
        _draw_all(canvas, items)
        _draw_reasons(canvas, items)
        _draw_clusters(canvas, items)
    else:
        canvas.note("The plan held no change, so there was nothing to do.")
    source = f"Source: result.json and journal of the run. {note}".strip()
    return canvas.finish(source=source, alt=_alt(items))


def _word(kind: OutcomeKind) -> str:
    return _WORDS.get(kind, kind.value)


def _counts(items: tuple[ItemOutcome, ...]) -> dict[OutcomeKind, int]:
    """Return how many ended in each outcome, in drawing order, none that did not occur."""
    found = Counter(item.outcome for item in items)
    return {kind: found[kind] for kind in _FILLS if found[kind]}


def _title(items: tuple[ItemOutcome, ...]) -> str:
    if not items:
        return "There was nothing to do"
    counts = _counts(items)
    total = wording.count(len(items), "change")
    done = [f"{amount:,} {_word(kind)}" for kind, amount in counts.items() if kind not in _OPEN]
    parts = []
    for kind in (kind for kind in _OPEN if kind in counts):
        verb = "was " if counts[kind] == 1 else "were "
        verb = "" if kind is OutcomeKind.FAILED else verb
        parts.append(f"{counts[kind]:,} {verb}{_word(kind)}")
    if not parts:
        return f"{_all(total)} as requested: {wording.listing(done)}"
    if not done and len(parts) == 1:
        verb = "failed" if OutcomeKind.FAILED in counts else parts[0].partition(" ")[2]
        return f"{'The only change' if len(items) == 1 else f'All {total}'} {verb}"
    amount = sum(counts.values()) - sum(counts.get(kind, 0) for kind in _OPEN)
    who = f"{amount:,}" if amount else "None"
    are = "is" if amount == 1 else "are"
    return f"{who} of {total} {are} as requested; {wording.listing(parts)}"


def _all(total: str) -> str:
    return "The only change is" if total.startswith("1 ") else f"All {total} are"


def _alt(items: tuple[ItemOutcome, ...]) -> str:
    groups = _groups(items)
    if not groups:
        return f"{_title(items)}."
    kind, reason, _, amount = groups[0]
    return f"{_title(items)}. Most often {_word(kind)}: {reason or 'no reason given'} ({amount:,})."


def _draw_all(canvas: Canvas, items: tuple[ItemOutcome, ...]) -> None:
    counts = _counts(items)
    smallest, gap, top = 8.0, 4, canvas.y
    room = RIGHT - MARGIN - gap * (len(counts) - 1) - smallest * len(counts)
    x = float(MARGIN)
    for kind, amount in counts.items():
        end = x + smallest + room * amount / len(items)
        canvas.box(x, top, end, top + 54, _FILLS[kind])
        _write_inside(canvas, kind, amount, (x, end), top + 27)
        x = end + gap
    canvas.y = top + 82
    canvas.legend((_FILLS[kind], f"{amount:,} {_word(kind)}") for kind, amount in counts.items())
    canvas.y += 18


def _write_inside(
    canvas: Canvas, kind: OutcomeKind, amount: int, edges: tuple[float, float], y: float
) -> None:
    """Write the count into its part where there is room; the legend has it in any case."""
    words = f"{amount:,}"
    width = canvas.width(words, 12, bold=True)
    left, right = edges
    if width + 12 > right - left:
        return
    middle = (left + right) / 2
    if kind is OutcomeKind.NOT_ATTEMPTED:
        canvas.box(middle - width / 2 - 4, y - 16, middle + width / 2 + 4, y + 16, Fill())
    color = WHITE if kind in _LIGHT_TEXT else INK
    canvas.text(middle, y, words, size=12, color=color, bold=True, align="center")


def _groups(items: tuple[ItemOutcome, ...]) -> list[tuple[OutcomeKind, str, str, int]]:
    """Return outcome, reason, remedy and count of what is not done: failures first, many first."""
    found = Counter(
        (item.outcome, *item.reason.partition("; ")[::2]) for item in items if item.outcome in _OPEN
    )
    groups = [(kind, reason, remedy, amount) for (kind, reason, remedy), amount in found.items()]
    return sorted(groups, key=lambda group: (_OPEN.index(group[0]), -group[3], group[1]))


def _draw_reasons(canvas: Canvas, items: tuple[ItemOutcome, ...]) -> None:
    groups = _groups(items)
    if not groups:
        return
    kinds = {kind for kind, *_ in groups}
    share = MOST_REASONS if len(groups) <= MOST_REASONS else MOST_REASONS // len(kinds)
    shown = [group for kind in _OPEN for group in [g for g in groups if g[0] is kind][:share]]
    canvas.text(MARGIN, canvas.y, "What is not done, and what to do", size=12, bold=True)
    canvas.y += 38
    has_remedy = any(remedy for _, _, remedy, _ in shown)
    columns = (MARGIN, 250.0, 830.0 if has_remedy else float(RIGHT))
    heads = ("Changes", "Reason", "Remedy" if has_remedy else "")
    for x, words in zip(columns, heads, strict=True):
        canvas.text(x, canvas.y, words, size=SMALL, color=MUTED)
    canvas.y += 20
    largest = max(amount for *_, amount in shown)
    for group in shown:
        _draw_reason(canvas, group, columns, largest)
    canvas.line(MARGIN, canvas.y, RIGHT, canvas.y, Stroke(GRID, 2))
    canvas.y += 30
    if len(shown) < len(groups):
        rest = sum(amount for *_, amount in groups) - sum(amount for *_, amount in shown)
        other = wording.count(len(groups) - len(shown), "more reason")
        canvas.note(f"{other} for {wording.count(rest, 'change')}: in the table below")
    canvas.y += 20


def _draw_reason(
    canvas: Canvas,
    group: tuple[OutcomeKind, str, str, int],
    columns: tuple[float, float, float],
    largest: int,
) -> None:
    kind, reason, remedy, amount = group
    left, middle, right = columns
    why = canvas.wrap(reason or "no reason given", right - middle - 24, BODY, lines=2)
    what = canvas.wrap(remedy, max(RIGHT - right, 1), BODY, lines=2) if remedy else []
    height = 28 * max(len(why), len(what), 1) + 14
    canvas.line(MARGIN, canvas.y, RIGHT, canvas.y, Stroke(GRID, 2))
    y = canvas.y + 21
    width = 10 + 110 * amount / largest
    canvas.box(left, y - 9, left + width, y + 9, _FILLS[kind])
    canvas.text(left + width + 10, y, f"{amount:,}", bold=True)
    for x, rows, color in ((middle, why, INK), (right, what, TEXT)):
        for index, row in enumerate(rows):
            canvas.text(x, y + 28 * index, row, color=color)
    canvas.y += height


def _draw_clusters(canvas: Canvas, items: tuple[ItemOutcome, ...]) -> None:
    by_cluster: dict[ClusterId, list[ItemOutcome]] = {}
    for item in items:
        by_cluster.setdefault(item.id.cluster, []).append(item)
    if len(by_cluster) == 1:
        return
    rows = sorted(
        ((cluster, tuple(found)) for cluster, found in by_cluster.items()),
        key=lambda row: (-_unfinished(row[1]), -len(row[1]), row[0].cluster_name),
    )
    shown = rows if len(rows) <= MOST_CLUSTERS else rows[:TOP_CLUSTERS]
    canvas.text(MARGIN, canvas.y, "By cluster, worst first", size=12, bold=True)
    canvas.y += 40
    labels = [_label(cluster, list(by_cluster)) for cluster, _ in shown]
    left = MARGIN + min(max(canvas.widest(labels), 150), 300) + 30
    largest = max(len(found) for _, found in shown)
    scale = (RIGHT - 260 - left) / largest
    for label, (_, found) in zip(labels, shown, strict=True):
        canvas.text(MARGIN, canvas.y, label, limit=left - MARGIN - 20)
        x = left
        for kind, amount in _counts(found).items():
            end = x + max(amount * scale - 2, 3)
            canvas.box(x, canvas.y - 11, end, canvas.y + 11, _FILLS[kind])
            x = end + 2
        missing = _unfinished(found)
        words = f"{len(found):,}, {f'{missing:,} not done' if missing else 'all done'}"
        color = CRITICAL if OutcomeKind.FAILED in _counts(found) else TEXT
        canvas.text(x + 12, canvas.y, words, color=color, bold=missing > 0)
        canvas.y += 34
    if len(shown) < len(rows):
        rest = rows[TOP_CLUSTERS:]
        open_count = sum(_unfinished(found) for _, found in rest)
        changes = wording.count(sum(len(found) for _, found in rest), "change")
        state = f"{open_count:,} of them not done" if open_count else "all done"
        clusters = f"{len(rest):,} more clusters with {changes}"
        canvas.note(f"{clusters}, {state}: in the table below")


def _unfinished(found: tuple[ItemOutcome, ...]) -> int:
    return sum(item.outcome in _OPEN for item in found)


def _label(cluster: ClusterId, clusters: list[ClusterId]) -> str:
    """Return the name, with its resource group where another cluster has the same name."""
    is_shared = sum(other.cluster_name == cluster.cluster_name for other in clusters) > 1
    return (
        f"{cluster.cluster_name} in {cluster.resource_group}"
        if is_shared
        else (cluster.cluster_name)
    )
