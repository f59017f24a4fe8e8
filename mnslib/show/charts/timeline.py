"""Where the time of a bulk run went: writes against the limit above, one line per change below.

Both on the same clock. Above 500 changes every k-th line is drawn, and all that failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING

from mnslib.provisioning.journal import Stretch
from mnslib.resource_ids import ClusterId, short_names
from mnslib.results import OPEN_OUTCOMES, OutcomeKind
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import MARGIN, MOST_HEIGHT, RIGHT, SMALL, Canvas, Chart, ticks
from mnslib.show.charts.marks import Dot, Fill, Stroke
from mnslib.show.charts.outcome import FILLS

if TYPE_CHECKING:
    from mnslib.azure.throttle import Pace

MOST_LINES, MOST_NAMED = 200, 40
_LEAST_NAMED = 20
"""Pixels of a line with its name."""
LEFT = 430
"""Where the clock begins, in pixels; names stand before it."""

_BINS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_MOST_BINS, _MOST_TICKS, _HEIGHT, _CLIPPED_AT = 60, 8, 110, 3
_WAITING, _FAILED = Fill(colors.GRID), Dot(colors.CRITICAL, colors.WHITE, 12)
_LIMIT = Stroke(colors.CRITICAL, 3)

Stretches = Sequence[Stretch]
Paces = Mapping[ClusterId, "Pace"]
"""What each cluster's writes were held to; clusters of a subscription and region share a bucket."""


def bulk_timeline(
    stretches: Stretches, *, moment: datetime, paces: Paces, family: str | None = None
) -> Chart:
    """Return the chart of when each change was written and how long it took.

    Args:
        moment: when the run was started.
        paces: of every cluster that was written to.
        family: font family; None takes the first installed.
    """
    canvas = Canvas("bulk_timeline", family=family)
    span = max((one.ended for one in stretches), default=0.0) or 1.0
    title = _title(stretches, span, paces)
    canvas.heading(
        title,
        f"Run of {wording.moment(moment)}: above, writes that were begun; below, one line per "
        "change, by cluster, in the order in which they were begun",
    )
    if stretches:
        canvas.legend(_legend(stretches))
        canvas.y += 14
        _draw_rate(canvas, stretches, span, paces)
        _draw_lines(canvas, stretches, span)
    begun = sum(len(one.writes) for one in stretches)
    again = begun - sum(bool(one.writes) for one in stretches)
    retried = f", {again:,} of them again" if again else ""
    source = f"Source: journal of the run. {wording.count(begun, 'write')} begun{retried}."
    used = {paces[one.id.cluster] for one in stretches}
    if any(pace.rate for pace in used):
        source += f" Limit, {_limit(used)}; {wording.count(len(used), 'bucket')}."
    if refused := sum(pace.refused for pace in used):
        source += f" Answered with 429: {wording.count(refused, 'call')}."
    return canvas.finish(source=source, alt=f"{title}.")


def _limit(paces: set[Pace]) -> str:
    """Return what the buckets gave, and who says so."""
    learned = sum(pace.is_learned for pace in paces)
    origin = "documented" if not learned else "learned from 429s"
    if 0 < learned < len(paces):
        origin += f" in {learned}, else documented"
    rates = [pace.rate for pace in paces if pace.rate]
    at_once, each = _range([r.burst for r in rates]), _range([r.per_second for r in rates])
    return f"{origin}: {at_once} at once, then {each} a second"


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _title(stretches: Stretches, span: float, paces: Paces) -> str:
    """Return what took the time: the limit, one slow change, or how many ran side by side."""
    if not stretches:
        return "Nothing was written, so there is no time to show"
    head = f"{wording.count(len(stretches), 'change')} in {wording.duration(span)}"
    slowest = max(stretches, key=lambda one: one.ended - one.started)
    name, longest = wording.short(slowest.id.namespace_name), slowest.ended - slowest.started
    in_bucket = Counter(paces[one.id.cluster] for one in stretches for _ in one.writes)
    if any(
        (n - p.rate.burst) / p.rate.per_second > span / 2 for p, n in in_bucket.items() if p.rate
    ):
        return f"{head}: Azure's limit on writes set the pace"
    if longest > span / 2:
        return f"{head}: the slowest, {name}, took {wording.duration(longest)}"
    edges = sorted([(s.started, 1) for s in stretches] + [(s.ended, -1) for s in stretches])
    running = most = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return f"{head}: at most {most:,} ran side by side"


def _legend(stretches: Stretches) -> list[tuple[Fill | Dot, str]]:
    found = {one.outcome for one in stretches}
    words = [(fill, kind.value.replace("_", " ")) for kind, fill in FILLS.items() if kind in found]
    waiting = [(_WAITING, "waits for its turn")] * bool(_named_height(stretches))
    return [*waiting, *words, *([(_FAILED, "failed here")] * (OutcomeKind.FAILED in found))]


def _x(seconds: float, span: float) -> float:
    return LEFT + (RIGHT - LEFT) * seconds / span


def _clock(seconds: float, span: float) -> str:
    if span < 90:
        return f"{seconds:g}"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _draw_rate(canvas: Canvas, stretches: Stretches, span: float, paces: Paces) -> None:
    width = next((b for b in _BINS if span / b <= _MOST_BINS), _BINS[-1])
    drawn = sorted((at, paces[one.id.cluster]) for one in stretches for at in one.writes)
    begun = Counter(int(at // width) for at, _ in drawn)
    writes, last = Counter(pace for _, pace in drawn), {p: int(at // width) for at, p in drawn}
    bounds = [
        sum(p.rate.per_second * width for p, end in last.items() if p.rate and end >= number)
        for number in range(max(begun, default=0) + 1)
    ]
    highest = max(begun.values(), default=1)
    is_felt = any(p.rate and number > p.rate.burst for p, number in writes.items())
    top = min(highest, max(bounds) * _CLIPPED_AT) if is_felt and max(bounds) >= 1 else highest
    base = canvas.y + _HEIGHT
    canvas.text(MARGIN, canvas.y, "Writes begun", bold=True)
    canvas.text(MARGIN, canvas.y + 28, f"per {width:g} s", size=SMALL,
                color=colors.MUTED)  # fmt: skip
    for value in ticks(top):
        y = base - _HEIGHT * value / top
        canvas.line(LEFT, y, RIGHT, y, Stroke(colors.GRID, 2))
        more = "+" if highest > top and value == ticks(top)[-1] else ""
        canvas.text(LEFT - 14, y, f"{value:g}{more}", size=SMALL, color=colors.MUTED, align="right")
    for number, amount in begun.items():
        left, right = _x(number * width, span), _x(min((number + 1) * width, span), span)
        height = _HEIGHT * min(amount, top) / top
        canvas.box(left, base - height, max(right - 1, left + 1), base, Fill(colors.USED))
    if is_felt and max(bounds) <= top:
        heights = [base - _HEIGHT * bound / top for bound in bounds]
        _draw_limit(canvas, heights, width, span, words=_limit(set(writes)))
    canvas.y = base + 34


def _draw_limit(
    canvas: Canvas, heights: list[float], width: float, span: float, *, words: str
) -> None:
    """Draw what the buckets earn while they have writes left, a step down where one has none."""
    for number, y in enumerate(heights):
        left, right = _x(number * width, span), _x(min((number + 1) * width, span), span)
        canvas.line(left, y, right, y, _LIMIT)
        if number and heights[number - 1] != y:
            canvas.line(left, heights[number - 1], left, y, _LIMIT)
    words = f"limit in each subscription and region, {words}"
    canvas.text(RIGHT, heights[0] - 20, words, size=SMALL, color=colors.CRITICAL, align="right")


def _named_height(stretches: Stretches) -> float:
    """Return how high a line is that has its name; 0 where the sheet has no room for names."""
    clusters, lines = len({one.id.cluster for one in stretches}), len(stretches)
    height = min(30.0, (MOST_HEIGHT - 520 - 50 * clusters) / max(lines, 1))
    return height if lines <= MOST_NAMED and height >= _LEAST_NAMED else 0.0


def _draw_lines(canvas: Canvas, stretches: Stretches, span: float) -> None:
    every, has_names = ceil(len(stretches) / MOST_LINES), bool(_named_height(stretches))
    height = _named_height(stretches) or (8 if len(stretches) <= 80 else 3)
    by_cluster: dict[ClusterId, list[Stretch]] = {}
    for one in stretches:
        by_cluster.setdefault(one.id.cluster, []).append(one)
    labels, top = short_names(by_cluster), canvas.y
    step = next((step for step in _BINS if span / step <= _MOST_TICKS), _BINS[-1])
    grid_at = [step * number for number in range(int(span / step) + 1)]
    order = sorted(by_cluster, key=lambda cluster: labels[cluster])
    places = []
    for cluster in order:
        found = by_cluster[cluster]
        lines = [
            s for number, s in enumerate(found) if number % every == 0 or s.outcome in OPEN_OUTCOMES
        ]
        head = 34 if has_names else 0
        places.append((cluster, canvas.y, head, lines))
        canvas.y += max(head + height * len(lines), 34 if has_names else 62) + 16
    for at in grid_at:
        canvas.line(_x(at, span), top - 8, _x(at, span), canvas.y, Stroke(colors.GRID, 2))
        words = _clock(at, span)
        if at == grid_at[-1]:
            words += " s" if span < 90 else " min:s"
        align = "right" if _x(at, span) > RIGHT - 60 else "center" if at else "left"
        canvas.text(_x(at, span), canvas.y + 20, words, size=SMALL, color=colors.MUTED, align=align)
    for cluster, y, head, lines in places:
        _draw_cluster_head(
            canvas, labels[cluster], by_cluster[cluster], y + 10, in_one_line=has_names
        )
        for number, one in enumerate(lines):
            _draw_line(canvas, one, y + head + height * number, span, height, has_name=has_names)
        for number, one in enumerate(lines):  # above all lines, which are thinner than a dot
            if one.outcome is OutcomeKind.FAILED:
                canvas.dots([_x(one.ended, span)], y + head + height * (number + 0.5), _FAILED)
    canvas.y += 44
    if every > 1:
        canvas.y += 20
        canvas.note(f"One line in {every} is drawn, and all that are not as requested.")


def _draw_cluster_head(
    canvas: Canvas, label: str, found: Stretches, y: float, *, in_one_line: bool
) -> None:
    missing = sum(one.outcome in OPEN_OUTCOMES for one in found)
    words = f"{missing:,} not done" if missing else ""
    room = LEFT - MARGIN - 110 - (canvas.width(words, SMALL) if in_one_line else 0)
    end = canvas.text(MARGIN, y, label, bold=True, limit=room)
    canvas.text(LEFT - 24, y, f"{len(found):,}", color=colors.TEXT, align="right")
    x, below = (end + 16, 0) if in_one_line else (MARGIN, 28)
    canvas.text(x, y + below, words, color=colors.CRITICAL, size=SMALL)


def _draw_line(
    canvas: Canvas, one: Stretch, y: float, span: float, height: float, *, has_name: bool
) -> None:
    gap = 4 if has_name else 1 if height > 3 else 0
    start, end = _x(one.started, span), max(_x(one.ended, span), _x(one.started, span) + 3)
    if has_name:
        canvas.text(MARGIN + 20, y + height / 2, one.id.namespace_name, color=colors.TEXT,
                    size=SMALL, limit=LEFT - MARGIN - 50)  # fmt: skip
        canvas.box(LEFT, y + height / 2 - 1, start, y + height / 2 + 1, _WAITING)
    canvas.box(start, y + gap, end, y + height - gap, FILLS[one.outcome])
