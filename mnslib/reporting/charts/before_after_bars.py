"""How a cluster's promises before and after a change are drawn: one in detail, several as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO, Commitment
from mnslib.reporting import wording
from mnslib.reporting.charts.canvas import (
    AXIS,
    CRITICAL,
    DOTTED,
    GOOD,
    HATCH,
    INK,
    MARGIN,
    MUTED,
    PANEL,
    REQUESTED,
    RIGHT,
    SMALL,
    TEXT,
    UNCLAIMED,
    WARNING,
    WARNING_TEXT,
    Canvas,
    Fill,
    Stroke,
    spread,
)

MOST_ROWS, TOP_ROWS = 30, 20
HEADINGS = {"cpu": "CPU requests", "memory": "Memory requests"}
_REQUESTED, _PROMISED, _ADDED = Fill(REQUESTED), Fill(UNCLAIMED), Fill(GOOD)
_GIVEN_BACK = Fill(PANEL, AXIS)
_WITHOUT_LARGEST = Stroke(CRITICAL, 3, (2.6, 1.6))
_NODES, _LIMIT_LINE = Stroke(INK), Stroke(WARNING, 3, DOTTED)
_LIMIT = QUOTA_OVERCOMMIT_RATIO
_COLUMNS = (1290.0, 1410.0, float(RIGHT))
"""Right edges of promised, its ratio and free, where one cluster is drawn."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One cluster and resource, before and after."""

    cluster: str
    before: Commitment
    after: Commitment

    @property
    def resource(self) -> str:
        return self.before.resource

    @property
    def added(self) -> Decimal:
        return self.after.committed - self.before.committed

    @property
    def free(self) -> Decimal:
        """Room that remains once the new quota is requested in full."""
        return max(Decimal(0), min(self.before.room - self.added, self.after.room))

    @property
    def fits(self) -> bool:
        return self.added <= 0 or self.added <= self.before.room

    @property
    def missing(self) -> Decimal:
        """How much more room the new quota needs; what is overcommitted already counts too."""
        now = self.before
        under_limit = now.allocatable * QUOTA_OVERCOMMIT_RATIO - now.committed
        return self.added - min(now.without_largest_node - now.requested, under_limit)

    def amount(self, value: Decimal) -> str:
        return wording.quantity(self.resource, value)

    def bare(self, value: Decimal) -> str:
        """Return an amount without its unit; memory in GiB."""
        return wording.number(value if self.resource == "cpu" else value / wording.GIB)


def short_name(name: str) -> str:
    """Return a name as it stands in titles and legends."""
    return wording.cut_middle(name, 32)


def order(pair: Pair) -> tuple[bool, Decimal, str]:
    """Return a sort key: what does not fit first, then the smallest share of nodes left free."""
    return (pair.fits, pair.free / pair.after.allocatable, pair.cluster)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From 0 at `left` to `highest` at `right`."""

    left: float
    right: float
    highest: float

    def x(self, amount: Decimal | float) -> float:
        return self.left + (self.right - self.left) * float(amount) / self.highest


def _marks(pairs: list[Pair], subject: str) -> list[tuple[Fill | Stroke, str]]:
    marks: list[tuple[Fill | Stroke, str]] = [
        (_REQUESTED, "requested now"),
        (_PROMISED, "promised, not requested"),
    ]
    if any(pair.added > 0 for pair in pairs):
        marks.append((_ADDED, subject))
    if any(pair.added < 0 for pair in pairs):
        marks.append((_GIVEN_BACK, "given back"))
    marks += [
        (_WITHOUT_LARGEST, "nodes without the largest"),
        (_NODES, "nodes now"),
        (_LIMIT_LINE, f"{_LIMIT:f} × nodes"),
    ]
    return marks


# one cluster, in its own units


def draw_one(canvas: Canvas, pairs: list[Pair], subject: str) -> None:
    """Draw one cluster: a before and an after bar for each resource."""
    canvas.legend(_marks(pairs, subject))
    canvas.y += 26
    for pair in pairs:
        _draw_pair(canvas, pair)


def _draw_pair(canvas: Canvas, pair: Pair) -> None:
    nodes, rest = pair.after.allocatable, pair.after.without_largest_node
    limit = nodes * _LIMIT
    highest = max(limit, pair.before.committed, pair.after.committed, pair.after.requested)
    at = _Scale(250, 1050, float(highest))
    canvas.text(MARGIN, canvas.y, HEADINGS[pair.resource], size=12, bold=True)
    canvas.y += 34
    top, bottom = canvas.y + 16, canvas.y + 162
    _draw_bar(canvas, pair, at, top + 40, is_after=False)
    _draw_bar(canvas, pair, at, top + 106, is_after=True)
    lines = [
        (at.x(rest), f"N−1: {pair.bare(rest)}", CRITICAL, _WITHOUT_LARGEST),
        (at.x(nodes), f"nodes: {pair.bare(nodes)}", INK, _NODES),
        (at.x(limit), f"{_LIMIT:f}× = {pair.bare(limit)}", WARNING_TEXT, _LIMIT_LINE),
    ]
    widths = [canvas.width(label, SMALL) for _, label, _, _ in lines]
    wanted = [lines[0][0] - widths[0] - 6, lines[1][0] + 6, lines[2][0] - widths[2] / 2]
    places = spread(wanted, widths, low=at.left, high=1170, gap=14)
    for place, (x, label, color, stroke) in zip(places, lines, strict=True):
        canvas.text(place, canvas.y, label, size=SMALL, color=color)
        canvas.line(x, top, x, bottom, stroke)
    for column, label in zip(_COLUMNS, ("promised", "÷ nodes", "free"), strict=True):
        canvas.text(column, canvas.y, label, size=SMALL, color=MUTED, align="right")
    if pair.added:
        _label_added(canvas, pair, at, top + 106)
    canvas.y = bottom + 40


def _draw_bar(canvas: Canvas, pair: Pair, at: _Scale, y: float, *, is_after: bool) -> None:
    state = pair.after if is_after else pair.before
    canvas.text(MARGIN, y, "After" if is_after else "Before", bold=is_after)
    _draw_promise(canvas, pair, at, (y - 22, y + 22), is_after=is_after)
    canvas.box(at.left, y - 14, at.x(state.requested), y + 14, _REQUESTED)
    canvas.text(at.left + 10, y, f"{pair.amount(state.requested)} requested")
    free = pair.free if is_after else pair.before.room
    color = CRITICAL if is_after and not pair.fits else INK
    ratio = wording.times(state.committed_ratio)
    promised, nodes, room = _COLUMNS
    canvas.text(promised, y, pair.bare(state.committed), align="right")
    canvas.text(nodes, y, ratio, bold=is_after, align="right")
    canvas.text(room, y, pair.amount(free), bold=is_after, color=color, align="right")


def _draw_promise(
    canvas: Canvas, pair: Pair, at: _Scale, edges: tuple[float, float], *, is_after: bool
) -> None:
    """Draw what is promised; the after bar shows what is new, or what is given back, at its end."""
    top, bottom = edges
    low, high = sorted((pair.before.committed, pair.after.committed))
    if not is_after:
        canvas.box(at.left, top, at.x(pair.before.committed), bottom, _PROMISED)
        return
    canvas.box(at.left, top, at.x(low), bottom, _PROMISED)
    if pair.added:
        end = max(at.x(high), at.x(low) + 2)
        canvas.box(at.x(low), top, end, bottom, _ADDED if pair.added > 0 else _GIVEN_BACK)


def _label_added(canvas: Canvas, pair: Pair, at: _Scale, y: float) -> None:
    """Write the change beside the bar, on white where a line passes."""
    words, color = _added(pair)
    x = at.x(max(pair.before.committed, pair.after.committed)) + 9
    canvas.box(x - 4, y - 14, x + canvas.width(words, bold=True) + 4, y + 14, Fill())
    canvas.text(x, y, words, color=color, bold=True)


def _added(pair: Pair) -> tuple[str, str]:
    sign = "+" if pair.added > 0 else wording.MINUS if pair.added < 0 else ""
    return f"{sign}{pair.amount(abs(pair.added))}", GOOD if pair.added > 0 else TEXT


# several clusters, each over its own nodes

_Edges = tuple[float, float, float, float]


def draw_many(canvas: Canvas, pairs: list[Pair], reasons: Mapping[str, str], subject: str) -> None:
    """Draw one row for each cluster and resource; `reasons` are clusters that are unknown."""
    canvas.legend([*_marks(pairs, subject), *([(HATCH, "unknown")] if reasons else [])])
    canvas.y += 18
    columns = _columns(canvas, pairs)
    for resource in ("cpu", "memory"):
        found = sorted((pair for pair in pairs if pair.resource == resource), key=order)
        if found or resource == "cpu":
            _draw_panel(canvas, resource, found, reasons, columns)


def _draw_panel(
    canvas: Canvas,
    resource: str,
    pairs: list[Pair],
    reasons: Mapping[str, str],
    columns: _Edges,
) -> None:
    rows = len(pairs) + len(reasons)
    shown = pairs if rows <= MOST_ROWS else pairs[:TOP_ROWS]
    unread = dict(list(reasons.items())[: None if rows <= MOST_ROWS else 3])
    names = canvas.widest([*(pair.cluster for pair in shown), *unread], bold=True)
    name_width = min(max(names, 120), 260)
    ratios = [
        float(state.committed / pair.after.allocatable)
        for pair in shown
        for state in (pair.before, pair.after)
    ]
    at = _Scale(MARGIN + name_width + 28, columns[0] - 90, max(1.6, *ratios, 0.0) * 1.02)
    canvas.text(MARGIN, canvas.y, HEADINGS[resource], size=12, bold=True)
    canvas.y += 34
    for x, label in zip(columns, ("before", "after", "change", "free"), strict=True):
        canvas.text(x, canvas.y, label, size=SMALL, color=MUTED, align="right")
    height = 44 if len(shown) + len(unread) <= 6 else 34
    top = canvas.y + 18
    bottom = top + height * len(shown)
    for index, pair in enumerate(shown):
        _draw_row(canvas, pair, at, columns, top + height * (index + 0.5), name_width)
    if shown:
        _draw_lines(canvas, at, top, bottom)
    for index, (name, reason) in enumerate(unread.items()):
        y = bottom + height * (index + 0.5)
        canvas.text(MARGIN, y, name, limit=name_width)
        canvas.box(at.left, y - 10, at.right, y + 10, HATCH)
        canvas.text(at.right + 14, y, f"unknown: {reason}", limit=RIGHT - at.right - 14)
    canvas.y = bottom + height * len(unread) + 24
    if len(shown) + len(unread) < rows:
        canvas.note(_rest(pairs[len(shown) :], len(reasons) - len(unread)))
    canvas.y += 20


def _columns(canvas: Canvas, pairs: list[Pair]) -> _Edges:
    """Return the right edges of before, after, change and free."""
    free = canvas.widest([*(pair.amount(pair.free) for pair in pairs), "9.9 GiB"], bold=True)
    change = canvas.widest([*(_added(pair)[0] for pair in pairs), "change"], bold=True)
    ratio = canvas.width("before", bold=True) + 24
    after = RIGHT - free - 28 - change - 28
    return (after - ratio, after, RIGHT - free - 28, RIGHT)


def _draw_row(
    canvas: Canvas,
    pair: Pair,
    at: _Scale,
    columns: _Edges,
    y: float,
    name_width: float,
) -> None:
    nodes = pair.after.allocatable
    own = _Scale(at.left, at.right, at.highest * float(nodes))
    canvas.text(MARGIN, y, pair.cluster, bold=not pair.fits, limit=name_width)
    _draw_promise(canvas, pair, own, (y - 12, y + 12), is_after=True)
    canvas.box(at.left, y - 6, own.x(pair.after.requested), y + 6, _REQUESTED)
    rest = own.x(pair.after.without_largest_node)
    canvas.line(rest, y - 15, rest, y + 15, _WITHOUT_LARGEST)
    before, after, change, free = columns
    words, color = _added(pair)
    is_over = (pair.after.committed_ratio or 0) > _LIMIT
    canvas.text(before, y, wording.times(pair.before.committed_ratio), color=TEXT, align="right")
    canvas.text(
        after, y, wording.times(pair.after.committed_ratio), bold=True, align="right",
        color=WARNING_TEXT if is_over else INK,
    )  # fmt: skip
    canvas.text(change, y, words if pair.added else "–", color=color, align="right")
    canvas.text(
        free, y, pair.amount(pair.free), bold=not pair.fits, align="right",
        color=INK if pair.fits else CRITICAL,
    )  # fmt: skip


def _draw_lines(canvas: Canvas, at: _Scale, top: float, bottom: float) -> None:
    one, limit = at.x(1), at.x(_LIMIT)
    canvas.line(at.left, top, at.left, bottom, Stroke(AXIS, 2))
    canvas.line(one, top - 2, one, bottom, _NODES)
    canvas.line(limit, top - 2, limit, bottom, _LIMIT_LINE)
    canvas.text(at.left, canvas.y, "0", size=SMALL, color=MUTED)
    canvas.text(one, canvas.y, "nodes", size=SMALL, align="center")
    canvas.text(limit, canvas.y, f"{_LIMIT:f}×", size=SMALL, color=WARNING_TEXT, align="center")


def _rest(pairs: list[Pair], unknown: int) -> str:
    short = sum(not pair.fits for pair in pairs)
    parts = [f"{short:,} without room for it"] * bool(short) + [f"{unknown:,} unknown"] * bool(
        unknown
    )
    of = f", of which {wording.listing(parts)}" if parts else ", all with more room than these"
    amount = len(pairs) + unknown
    return f"{amount:,} more {'cluster' if amount == 1 else 'clusters'}{of}: in the table below"
