"""What a change does to what clusters have committed: before and after on one scale.

One cluster is drawn in detail; several as one row each. All bars are shares of the cluster's own
nodes, so that nodes and the limit stand at the same place for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from mnslib.commitment import Commitment, shortage
from mnslib.quantities import GIB
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import (
    SMALL,
    TOP_ROWS,
    Canvas,
    Chart,
    row_height,
    spread,
    top_rows,
)
from mnslib.show.charts.marks import DOTTED, HATCH, Column, Fill, Grid, Stroke, Words
from mnslib.verdicts import unknown_reason

HEADINGS = {"cpu": "CPU requests", "memory": "Memory requests"}
_REQUESTED, _COMMITTED = Fill(colors.REQUESTED), Fill(colors.UNREQUESTED)
_ADDED, _GIVEN_BACK = Fill(colors.GOOD), Fill(colors.PANEL, colors.AXIS)
_WITHOUT_LARGEST = Stroke(colors.CRITICAL, 3, (2.6, 1.6))
_NODES, _LIMIT_LINE = Stroke(colors.INK), Stroke(colors.WARNING, 3, DOTTED)

Commitments = Mapping[str, Mapping[str, Commitment]]
"""By cluster, as it is called in the picture, then by resource: `cpu` and `memory`."""
Changes = Mapping[str, Sequence[str]]
"""Names of the namespaces that change, by cluster."""

LEAST_UNKNOWN = 2
_ROWS = 600
"""Pixels of both panels' rows: the rest of the sheet takes up to 680."""

_Line = tuple[float, str, str, Stroke, float]
"""Where it stands, label, its color, stroke, and how much of the label lies left of it."""


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
    def left_over(self) -> Decimal:
        """What remains once the new quota is requested in full."""
        return max(Decimal(0), min(self.before.headroom - self.added, self.after.headroom))

    @property
    def fits(self) -> bool:
        return not self.missing

    @property
    def missing(self) -> Decimal:
        """How much the cluster lacks for what is committed; what is overcommitted counts too."""
        return shortage(self.before, self.after)

    @property
    def needs_every_node(self) -> bool:
        """Whether the new quota fits, but requested in full it leaves no node to lose."""
        return self.fits and self.added > 0 and self.added > self.before.headroom

    @property
    def order(self) -> tuple[bool, Decimal, str]:
        """What does not fit first, by how much is short; then by the headroom left over."""
        return (
            self.fits,
            self.share(self.left_over if self.fits else -self.missing),
            self.cluster,
        )

    @property
    def change(self) -> Words:
        if not self.added:
            return Words("–", colors.TEXT)
        sign, color = ("+", colors.GOOD) if self.added > 0 else (wording.MINUS, colors.TEXT)
        return Words(f"{sign}{self.amount(abs(self.added))}", color)

    def share(self, amount: Decimal) -> Decimal:
        return amount / self.after.allocatable

    def amount(self, value: Decimal) -> str:
        return wording.quantity(self.resource, value)

    def bare(self, value: Decimal) -> str:
        """Return an amount without its unit; memory in GiB."""
        return wording.number(value if self.resource == "cpu" else value / GIB)


def commitment_before_after(
    before: Commitments,
    after: Commitments,
    *,
    changes: Changes,
    moment: datetime,
    unknown: Mapping[str, str] | None = None,
    note: str = "",
    family: str | None = None,
) -> Chart:
    """Return the chart of what clusters have committed before and after a change.

    Args:
        before: what is committed now.
        after: what would be, for the same clusters.
        changes: what is changed, which titles name or count.
        moment: when clusters were read.
        unknown: clusters that could not be read, with the reason.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    pairs, reasons = _pairs(before, after, unknown or {})
    is_one = len({pair.cluster for pair in pairs}) + len(reasons) == 1
    canvas, at = Canvas("commitment_before_after", family=family), wording.moment(moment)
    title = _title(pairs, reasons, changes)
    canvas.heading(title, _subtitle(pairs, at, is_one=is_one))
    if pairs or len(reasons) > 1:
        canvas.legend(_marks(pairs, reasons, _subject(changes)))
        canvas.y += 18
        for resource in HEADINGS:
            found = sorted((p for p in pairs if p.resource == resource), key=lambda p: p.order)
            if is_one:
                for pair in found:
                    _draw_one(canvas, pair)
            elif found or resource == "cpu":
                _draw_many(canvas, resource, found, reasons)
    else:
        words = [f"{name}: {reason}." for name, reason in reasons.items()]
        canvas.note(" ".join(words) or "No cluster is part of this change.")
    bare = sum(pair.before.uncounted for pair in pairs if pair.resource == "cpu")
    source = (
        f"Source: node allocatable, ResourceQuota and pod requests, {at}. "
        f"{wording.room_meaning(_limit(pairs))} "
        "Headroom left: after the change, as if the new quota were requested in full. "
        f"{wording.uncounted(bare)}{note}"
    )
    return canvas.finish(source=source.strip(), alt=" ".join([f"{title}.", *_steps(pairs)]))


def _pairs(
    before: Commitments, after: Commitments, unknown: Mapping[str, str]
) -> tuple[list[Pair], dict[str, str]]:
    """Return what can be compared, and the clusters that cannot with the reason."""
    pairs, reasons = [], dict(unknown)
    for name, found in before.items():
        bad = [now.verdict for now in found.values() if now.committed_ratio is None]
        if bad:
            reasons[name] = unknown_reason(bad[0]) or ""
        else:
            pairs += [Pair(name, now, after[name][resource]) for resource, now in found.items()]
    return pairs, reasons


def _subject(changes: Changes, *, own: str = "") -> str:
    """Return what changes as titles say it: a namespace's name, or how many; `own` before that."""
    names = [name for found in changes.values() for name in found]
    many = f"{own} {wording.count(len(names), 'change')}".strip()
    return wording.short(names[0]) if len(names) == 1 else many


def _title(pairs: list[Pair], reasons: Mapping[str, str], changes: Changes) -> str:
    clusters = dict.fromkeys(pair.cluster for pair in pairs)
    subject = _subject(changes)
    if not clusters:
        if len(reasons) == 1:
            return f"Whether {subject} can be carried by {wording.short(*reasons)} is unknown"
        are = f"{wording.every(len(reasons), 'cluster')} unknown"
        return are if reasons else f"{subject}: no cluster is touched"
    short = [pair for pair in pairs if not pair.fits]
    if len(clusters) == 1 and not reasons and any(changes.values()):
        is_many = sum(map(len, changes.values())) != 1
        return _title_of_one(pairs, short, subject, "" if is_many else "s")
    tail = f"; {len(reasons):,} {wording.are(len(reasons))} unknown" if reasons else ""
    total = wording.count(len(clusters) + len(reasons), "cluster")
    if not any(changes.values()):
        where = wording.short(*clusters) if total == "1 cluster" else total
        return f"Nothing changes on {where}{tail}"
    if not short:
        who = f"{len(clusters):,} of {total}" if reasons else f"All {total}"
        who = "Both clusters" if who == "All 2 clusters" else who
        return f"{who} can carry {subject}{_fragile(pairs)}{tail}"
    names = dict.fromkeys(pair.cluster for pair in short)
    what = {name: changes[name] for name in names if name in changes}
    if len(names) == 1:
        who, own = wording.short(*names), "its"
    else:
        who, own = f"{len(names):,} of {total}", "their"
    return f"{who} cannot carry {_subject(what, own=own)}: {_shortage(short)}{tail}"


def _fragile(pairs: list[Pair]) -> str:
    """Return which clusters have not the nodes to lose one, with the change or without it."""
    before = [
        pair.cluster for pair in pairs if pair.before.without_largest_node < pair.before.requested
    ]
    since = [pair.cluster for pair in pairs if pair.needs_every_node]
    held = list(dict.fromkeys(before))
    new = [name for name in dict.fromkeys(since) if name not in held]
    said = ""
    if new:
        who = wording.short(*new) if len(new) == 1 else f"{len(new):,} of them"
        said += f"; requested in full {who} could not lose a node"
    if held:
        who = wording.short(*held) if len(held) == 1 else f"{len(held):,} of them"
        said += f"; {who} could not lose a node before either"
    return said


def _title_of_one(pairs: list[Pair], short: list[Pair], subject: str, s: str) -> str:
    """Return the title for one cluster; `s` is the ending of the verb."""
    where = f"on {wording.short(pairs[0].cluster)}"
    if short:
        return f"{subject} {'does' if s else 'do'} not fit {where}: {_shortage(short)}"
    if all(pair.added <= 0 for pair in pairs):
        freed = wording.listing([pair.amount(-pair.added) for pair in pairs if pair.added])
        change = f"give{s} back {freed}" if freed else f"change{s} no commitment"
        return f"{subject} {change} {where}"
    units = {"cpu": "cores", "memory": "GiB"}
    left = [
        f"{pair.bare(pair.left_over)} of {pair.bare(pair.before.headroom)} {units[pair.resource]}"
        for pair in pairs
    ]
    if any(pair.needs_every_node for pair in pairs):
        return f"{subject} fit{s} {where}, but requested in full no node may be lost"
    return f"{subject} fit{s} {where}: headroom left for {wording.listing(left)}"


def _shortage(short: list[Pair]) -> str:
    """Return what is missing: the largest share of its nodes speaks for all."""
    worst = max(short, key=lambda pair: pair.share(pair.missing))
    kind = "" if worst.resource == "cpu" else " of memory"
    is_one = len({pair.cluster for pair in short}) == 1
    where = "" if is_one else f" on {wording.short(worst.cluster)}"
    return f"short of {worst.amount(worst.missing)}{kind}{where}"


def _subtitle(pairs: list[Pair], at: str, *, is_one: bool) -> str:
    if not is_one:
        return (
            "What each cluster has committed over its nodes, before and after, "
            f"least headroom first, {at}"
        )
    added = [pair.amount(pair.added) for pair in pairs if pair.added > 0]
    what = f" ({', '.join(added)} of requests)" if added else ""
    return f"What is committed on the cluster before and after{what}, against its nodes, {at}"


def _steps(pairs: list[Pair]) -> list[str]:
    """Return the numbers that carry the title, as a sentence."""
    steps = [
        f"{HEADINGS[pair.resource]} committed on {pair.cluster}: from "
        f"{wording.times(pair.before.committed_ratio)} to "
        f"{wording.times(pair.after.committed_ratio)} its nodes"
        for pair in sorted(pairs, key=lambda pair: pair.order)[:2]
    ]
    return [f"{'; '.join(steps)}."] if steps else []


def _marks(
    pairs: list[Pair], reasons: Mapping[str, str], subject: str
) -> list[tuple[Fill | Stroke, str]]:
    limit = _limit(pairs)
    marks: list[tuple[Fill | Stroke, str, bool]] = [
        (_REQUESTED, "requested now", True),
        (_COMMITTED, "committed, not requested", True),
        (_ADDED, subject, any(pair.added > 0 for pair in pairs)),
        (_GIVEN_BACK, "given back", any(pair.added < 0 for pair in pairs)),
        (_WITHOUT_LARGEST, "nodes without the largest", True),
        (_NODES, "nodes now", True),
        (_LIMIT_LINE, f"{limit} × nodes", bool(limit)),
        (HATCH, "unknown", bool(reasons)),
    ]
    return [(mark, label) for mark, label, is_used in marks if is_used]


def _limit(pairs: Sequence[Pair]) -> Decimal | None:
    """Return the limit of what may be committed, the same for all; None where there is none."""
    return pairs[0].after.max_ratio if pairs else None


def _scale(grid: Grid, pairs: Sequence[Pair]) -> Callable[[Decimal], float]:
    """Return where a share of the nodes lies; 1 is all nodes."""
    states = [(pair, state) for pair in pairs for state in (pair.before, pair.after)]
    shares = [pair.share(max(state.committed, state.requested)) for pair, state in states]
    least = (_limit(pairs) or Decimal(1)) * Decimal("1.06")
    highest = max(least, *shares, Decimal(0)) * Decimal("1.02")
    return lambda share: grid.x(share / highest)


def _draw_bar(
    canvas: Canvas,
    x: Callable[[Decimal], float],
    pair: Pair,
    state: Commitment,
    y: float,
    half: float,
) -> None:
    """Draw what is committed and in it requested; at the end what is new, or given back."""
    zero, was, now = (
        x(Decimal(0)),
        x(pair.share(pair.before.committed)),
        x(pair.share(state.committed)),
    )
    canvas.box(zero, y - half, min(was, now), y + half, _COMMITTED)
    if now != was:
        end = max(was, now, min(was, now) + 2)
        fill = _ADDED if now > was else _GIVEN_BACK
        canvas.box(min(was, now), y - half, end, y + half, fill)
    inner = half * 0.6
    canvas.box(zero, y - inner, x(pair.share(state.requested)), y + inner, _REQUESTED)


def _draw_lines(canvas: Canvas, grid: Grid, lines: Sequence[_Line]) -> None:
    """Draw lines over all rows, each with its label."""
    widths = [canvas.width(label, SMALL) for _, label, *_ in lines]
    wanted = [
        x - part * width + 12 * (0.5 - part)
        for (x, *_, part), width in zip(lines, widths, strict=True)
    ]
    places = spread(wanted, widths, low=grid.left + 30, high=grid.right + 30, gap=14)
    for place, (x, label, color, stroke, _) in zip(places, lines, strict=True):
        canvas.text(place, grid.top - 18, label, size=SMALL, color=color)
        canvas.line(x, grid.top - 2, x, grid.bottom, stroke)


def _draw_one(canvas: Canvas, pair: Pair) -> None:
    """Draw a before and an after bar, and the lines with their amounts."""
    canvas.section(HEADINGS[pair.resource])
    canvas.y += 34
    states = (pair.before, pair.after)
    color = colors.INK if pair.fits else colors.CRITICAL
    left = Words(f"{pair.amount(pair.left_over)} left", color, bold=True)
    ratios = [wording.times(state.committed_ratio) for state in states]
    grid = canvas.grid(
        [Column(cells=[Words("Before"), Words("After", bold=True)], least=150)],
        [
            _column("requested", [Words(pair.bare(state.requested)) for state in states]),
            _column("committed", [Words(pair.bare(state.committed)) for state in states]),
            _column("÷ nodes", [Words(ratios[0]), Words(ratios[1], bold=True)]),
            _column("headroom", [Words(pair.amount(pair.before.headroom)), left], least=150),
        ],
        height=66,
    )
    x = _scale(grid, [pair])
    for state, y in zip(states, grid.middles, strict=True):
        _draw_bar(canvas, x, pair, state, y, 22)
    nodes = pair.after.allocatable
    rest, limit = pair.after.without_largest_node, pair.after.max_ratio
    lines: list[_Line] = [
        (x(pair.share(rest)), f"N−1: {pair.bare(rest)}", colors.CRITICAL, _WITHOUT_LARGEST, 1),
        (x(Decimal(1)), f"nodes: {pair.bare(nodes)}", colors.INK, _NODES, 0),
    ]
    if limit:
        words = f"{limit}× = {pair.bare(nodes * limit)}"
        lines.append((x(limit), words, colors.WARNING_TEXT, _LIMIT_LINE, 0.5))
    _draw_lines(canvas, grid, lines)
    if pair.added:  # beside the bar, on white where a line passes
        y, words, color = grid.middles[1], pair.change.text, pair.change.color
        end = x(pair.share(max(state.committed for state in states))) + 9
        canvas.box(end - 4, y - 14, end + canvas.width(words, bold=True) + 4, y + 14, Fill())
        canvas.text(end, y, words, color=color, bold=True)
    canvas.y += 40


def _column(head: str, cells: Sequence[Words], *, least: float = 90) -> Column:
    return Column(head=head, align="right", cells=cells, least=least)


def _draw_many(
    canvas: Canvas, resource: str, pairs: list[Pair], reasons: Mapping[str, str]
) -> None:
    """Draw one row for each cluster; `reasons` are clusters that are unknown."""
    every = [*pairs, *reasons]
    is_all = len(top_rows(every, panels=2)) == len(every)
    rows = len(every) if is_all else TOP_ROWS // 2
    unread = list(reasons.items())[: max(LEAST_UNKNOWN, rows - len(pairs))]
    shown = pairs[: rows - len(unread)]
    canvas.section(HEADINGS[resource])
    canvas.y += 34
    none = [Words()] * len(unread)
    names = [Words(pair.cluster, bold=not pair.fits) for pair in shown]
    ratios = [wording.times(pair.before.committed_ratio) for pair in shown]
    grid = canvas.grid(
        [Column(cells=[*names, *(Words(name) for name, _ in unread)], least=120)],
        [
            _column("before", [*(Words(ratio, colors.TEXT) for ratio in ratios),
                               *(Words(f"unknown: {why}", spans=True) for _, why in unread)]),
            _column("after", [*map(_ratio_after, shown), *none]),
            _column("change", [*(pair.change for pair in shown), *none], least=120),
            _column("headroom\nleft", [*map(_left_over, shown), *none], least=130),
        ],
        height=row_height(len(names) + len(unread), _ROWS / 2),
    )  # fmt: skip
    x = _scale(grid, shown)
    for pair, y in zip(shown, grid.middles, strict=False):
        half = min(15, grid.height / 2)
        _draw_bar(canvas, x, pair, pair.after, y, half * 0.8)
        rest = x(pair.share(pair.after.without_largest_node))
        canvas.line(rest, y - half, rest, y + half, _WITHOUT_LARGEST)
    for y in grid.middles[len(shown) :]:
        canvas.box(grid.left, y - 10, grid.right, y + 10, HATCH)
    if shown:
        canvas.text(grid.left, grid.top - 18, "0", size=SMALL, color=colors.MUTED)
        canvas.line(grid.left, grid.top, grid.left, grid.bottom, Stroke(colors.AXIS, 2))
        lines: list[_Line] = [(x(Decimal(1)), "nodes", colors.INK, _NODES, 0.5)]
        if limit := _limit(shown):
            lines.append((x(limit), f"{limit}×", colors.WARNING_TEXT, _LIMIT_LINE, 0.5))
        _draw_lines(canvas, grid, lines)
    canvas.y += 24
    rest_unknown = len(reasons) - len(unread)
    if amount := len(pairs) - len(shown) + rest_unknown:
        short = sum(not pair.fits for pair in pairs[len(shown) :])
        parts = {"without headroom for it": short, "unknown": rest_unknown}
        same = ", all with more headroom than these"
        canvas.note(wording.more(amount, "cluster", parts, otherwise=same))
    canvas.y += 20


def _ratio_after(pair: Pair) -> Words:
    is_over = (pair.after.over_limit or 0) > 0
    color = colors.WARNING_TEXT if is_over else colors.INK
    return Words(wording.times(pair.after.committed_ratio), color, bold=True)


def _left_over(pair: Pair) -> Words:
    color = colors.INK if pair.fits else colors.CRITICAL
    return Words(pair.amount(pair.left_over), color, not pair.fits)
