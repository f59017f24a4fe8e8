"""One sheet for every chart: a matplotlib Axes over the whole figure, in pixels from the top left.

Bars, lines and dots are the Axes' own, a column at a time; what is drawn later lies on top. Uses no
pyplot and no global state, so figures neither leak nor meet across threads. Knows nothing of
namespaces or clusters.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.collections import Collection, LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from mnslib.show.charts.colors import AXIS, DARK, GRID, INK, MUTED, PANEL, TEXT, WHITE
from mnslib.show.charts.picture import DPI, Chart, characters, font_of, measured
from mnslib.show.templates import render_part
from mnslib.show.wording import cut_middle, exact

WIDTH, MARGIN = 1600, 40
RIGHT = WIDTH - MARGIN
ROOM = RIGHT - MARGIN
TITLE, SUBTITLE, BODY, SMALL, SOURCE = 16, 10.5, 9.5, 9, 8.5
"""Points; nothing is smaller than the source line."""
POINTS = 72 / DPI
"""Of a pixel."""
MOST_ROWS, TOP_ROWS, LEAST_UNKNOWN = 30, 20, 2
MOST_HEIGHT = 1280
"""Pixels: what is higher is shrunk on paper (`page.css`) until its source line is under 6.5 pt."""
LEAST_ROW, _GAP = 24, 24
DASHED, DOTTED = (0, (5.0, 3.0)), (0, (1.0, 1.6))
_NOT_WRITTEN = (
    r"Codes such as \u65e5 stand for characters that no font of the computer which drew this has; "
    "the tables have them. Install fonts-noto-cjk or the like."
)

Floats = NDArray[np.floating[Any]]


class Look(NamedTuple):
    """How an area looks, or a line or dot: those have a `line` width or a `dot` diameter in pixels.

    A `foot`, a dark strip at the bottom, tells orange from blue where colors are not seen.
    """

    color: str = WHITE
    edge: str = "none"
    foot: str = ""
    hatch: str = ""
    line: float = 0
    style: Any = "-"
    dot: float = 0


HATCH = Look(WHITE, AXIS, hatch="////")
Looks = Look | Sequence[Look]
GRID_LINE, AXIS_LINE = Look(GRID, line=2), Look(AXIS, line=2)


class Column(NamedTuple):
    """A column of texts beside the bars: as wide as they and its head, within `least` and `most`.

    A text flows over empty cells to its right, as in a spreadsheet.
    """

    texts: Iterable[str]
    head: str = ""
    color: Any = INK  # of all, or of each
    bold: Any = False
    align: str = "left"
    least: float = 0
    most: float = 260


class Grid(NamedTuple):
    """Where the bars of a grid lie: between `left` and `right`, in rows around `ys`."""

    left: float
    right: float
    top: float
    step: float
    ys: Floats

    @property
    def bottom(self) -> float:
        return self.top + self.step * len(self.ys)

    def x(self, share: Any) -> Any:
        """Return the place of a share (0 to 1) of the scale, or of many."""
        return self.left + (self.right - self.left) * share


def spread(
    wanted: Iterable[float], widths: Sequence[float], *, low: float, high: float, gap: float
) -> list[float]:
    """Return left edges near those wanted, in the same order, that keep `gap` between labels."""
    edges: list[float] = []
    free = low
    for start, width in zip(wanted, widths, strict=True):
        edges.append(max(start, free))
        free = edges[-1] + width + gap
    end = high
    for index in reversed(range(len(edges))):
        edges[index] = max(low, min(edges[index], end - widths[index]))
        end = edges[index] - gap
    return edges


def ticks(highest: float) -> list[float]:
    """Return round axis values from 0 up to at most `highest`, five steps or fewer."""
    values = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(0, highest)
    return [float(value) for value in values if 0 <= value <= highest]


def top_rows(
    rows: pd.DataFrame, is_known: Iterable[bool], *, top: int = TOP_ROWS, panels: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to draw, and those left to a sentence: none where there are few.

    Args:
        is_known: of each row; unknown ones come last, and get at least two of `top` rows.
        panels: below each other, that share what one picture can hold.
    """
    known = sum(is_known)
    if len(rows) <= MOST_ROWS // panels:
        return rows, rows[:0]
    few = min(len(rows) - known, max(LEAST_UNKNOWN, top // panels - known))
    places = [*range(top // panels - few), *range(known, known + few)]
    return rows.iloc[places], rows.drop(index=rows.index[places])


def row_height(rows: int, room: float) -> float:
    """Return how high each of some rows is, in pixels, so that all fit in `room` if they can."""
    return min(44 if rows <= 6 else 36 if rows <= 12 else 30, max(LEAST_ROW, room / max(rows, 1)))


def shares(
    amounts: Sequence[float], left: float, right: float, *, least: float = 0, gap: float = 0
) -> list[tuple[float, float]]:
    """Return both ends of each amount's share of a line, each of at least so many pixels."""
    room, found = right - left - (least + gap) * len(amounts) + gap, []
    for amount in amounts:
        found.append((left, left + least + room * amount / (sum(amounts) or 1)))
        left = found[-1][1] + gap
    return found


class Sheet:
    """A sheet that grows downward; `y` is where the next thing goes."""

    def __init__(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write title (two lines at most) and subtitle.

        Args:
            name: of the template that makes all its sentences.
            facts: what they say.
        """
        self.name, self.facts, self.y = name, facts, float(MARGIN)
        self.figure = Figure(figsize=(WIDTH / DPI, 1), dpi=DPI, facecolor=WHITE)
        self.ax = self.figure.add_axes((0, 0, 1, 1), autoscale_on=False)
        self.ax.axis("off")
        self._order = itertools.count(1)
        self._is_coded = False  # whether a character had no font
        self.title = self.say("title")
        # two lines read best when about equally long
        rows = [self.wrap(self.title, ROOM * n, TITLE, bold=True) for n in (0.6, 0.7, 0.8, 0.9)]
        rows.append(self.wrap(self.title, ROOM, TITLE, bold=True, lines=2))
        self._lines(min(rows, key=lambda found: len(list(found))), TITLE, INK, 42, bold=True)
        self._lines(self.wrap(self.say("subtitle"), ROOM, SUBTITLE), SUBTITLE, TEXT, 30)
        self.y += 28

    def say(self, macro: str, facts: Any = None) -> str:
        """Return one of the chart's sentences, on all `facts` or on some."""
        said = render_part(f"chart_{self.name}.txt.j2", macro, facts or self.facts)
        return " ".join(said.split())

    # text

    def width(self, text: str, size: float = BODY, *, bold: bool = False) -> float:
        """Return how many pixels wide a line of text is."""
        return measured(text, font_of(text, size, bold=bold))[0]

    def widest(self, texts: Iterable[str], size: float = BODY, *, bold: bool = False) -> float:
        """Return the width of the widest line; 0 without any."""
        return max((self.width(text, size, bold=bold) for text in set(texts)), default=0.0)

    def clean(self, text: str) -> str:
        """Return text on one line, with the code of each character that no font has."""
        line = " ".join(text.split())
        missing = set() if line.isascii() else set(map(ord, line)) - characters()
        self._is_coded |= bool(missing)
        return line.translate({code: ascii(chr(code))[1:-1] for code in missing})

    def text(
        self, x: float, y: float, text: str, *, size: float = BODY, color: str = INK,
        bold: bool = False, align: str = "left", limit: float | None = None, ground: str = "",
    ) -> float:  # fmt: skip
        """Write one line, `y` at half the height of its capitals; return where it ends.

        Longer than `limit` pixels, it is cut in the middle. `ground` is the color of what lies
        under it where it would stand on lines or dots.
        """
        shown = self.clean(text) if limit is None else self.cut(text, limit, size, bold=bold)
        if not shown:
            return x
        self.ax.text(
            x, y + 0.36 * size / POINTS, shown, color=color, ha=align, va="baseline",
            fontproperties=font_of(shown, size, bold=bold), parse_math=False, usetex=False,
            zorder=next(self._order),
            bbox={"fc": ground, "ec": "none", "alpha": 0.8, "pad": 1} if ground else None,
        )  # fmt: skip
        return x + (self.width(shown, size, bold=bold) if align == "left" else 0.0)

    def cut(self, text: str, limit: float, size: float = BODY, *, bold: bool = False) -> str:
        """Return the text, cut in the middle until it is at most `limit` pixels wide."""
        shown = text = self.clean(text)
        length = len(text)
        while length > 3 and (width := self.width(shown, size, bold=bold)) > limit:
            length = max(3, min(length - 1, int(len(shown) * limit / width) + 1))
            shown = cut_middle(text, length)
        return shown

    def wrap(
        self, text: str, limit: float, size: float = BODY, *, bold: bool = False, lines: int = 99
    ) -> list[str]:
        """Return the text in lines of at most `limit` pixels; what exceeds `lines` ends in `…`."""
        space = self.width("n n", size, bold=bold) - 2 * self.width("n", size, bold=bold)
        rows, free = list[str](), 0.0
        for word in re.split(" (?!%)", self.clean(text)):
            width = self.width(word, size, bold=bold) + space
            if not rows or width - space > free:
                if len(rows) == lines:
                    while self.width(f"{rows[-1]} …", size, bold=bold) > limit and " " in rows[-1]:
                        rows[-1] = rows[-1].rpartition(" ")[0]
                    rows[-1] += " …"
                    break
                rows.append(self.cut(word, limit, size, bold=bold))
                free = limit
            else:
                rows[-1] += f" {word}"
            free -= width
        return rows

    def note(self, text: str, *, size: float = SMALL) -> None:
        """Write a sentence in as many lines as it needs."""
        if text:
            self._lines(self.wrap(text, ROOM, size), size, MUTED, 27)

    def label(self, x: float, y: float, text: str, *, color: str = MUTED, **look: Any) -> None:
        """Write what explains a mark: an axis value, a head, a date."""
        self.text(x, y, text, size=SMALL, color=color, **look)

    def section(self, title: str, beside: str = "") -> None:
        """Write the heading of a part."""
        self.text(MARGIN, self.y, title, size=12, bold=True)
        self.text(330, self.y, beside, color=TEXT)

    def _lines(
        self, rows: Iterable[str], size: float, color: str, step: float, *, bold: bool = False
    ) -> None:
        for row in rows:
            self.text(MARGIN, self.y, row, size=size, color=color, bold=bold)
            self.y += step

    # marks

    def bars(
        self, x0: ArrayLike, x1: ArrayLike, y: ArrayLike, height: ArrayLike, look: Looks
    ) -> None:
        """Fill areas from `x0` to `x1` around `y`; one that has no end (NaN) is left out."""
        ends = np.stack(np.broadcast_arrays(*np.atleast_1d(x0, x1, y, height))).astype(float)
        looks = [look] * ends.shape[1] if isinstance(look, Look) else look
        order, there = next(self._order), np.isfinite(ends).all(axis=0)
        for one in dict.fromkeys(looks):
            own = there & np.array([other == one for other in looks])
            left, right, middle, high = ends[:, own]
            y0, y1 = middle - high / 2, middle + high / 2
            corners: list[Any] = list(np.transpose([[left, right, right, left], [y0, y0, y1, y1]]))
            self._add(PolyCollection(
                corners, facecolors=one.color, edgecolors=one.edge, zorder=order,
                hatch=one.hatch or None, linewidths=0.6 * (one.edge != "none"), clip_on=False,
            ))  # fmt: skip
            if one.foot:
                foot = np.minimum(4, high / 4)
                self.bars(left, right, middle + (high - foot) / 2, foot, Look(one.foot))

    def lines(self, x0: ArrayLike, y0: ArrayLike, x1: ArrayLike, y1: ArrayLike, look: Look) -> None:
        """Draw straight lines; those with an end that is NaN are left out."""
        ends = np.stack(np.broadcast_arrays(*np.atleast_1d(x0, y0, x1, y1)), axis=-1)
        found = ends[np.isfinite(ends.astype(float)).all(axis=1)].reshape(-1, 2, 2)
        self._add(LineCollection(
            found, colors=look.color, linewidths=look.line * POINTS, linestyles=[look.style],
            zorder=next(self._order), clip_on=False,
        ))  # fmt: skip

    def vlines(self, x: ArrayLike, y0: ArrayLike, y1: ArrayLike, look: Look) -> None:
        """Draw vertical lines."""
        self.lines(x, y0, x, y1, look)

    def dots(
        self, x: ArrayLike, y: ArrayLike, look: Look, *, sizes: ArrayLike | None = None
    ) -> None:
        """Draw dots as large as their look says, or translucent ones of diameters in pixels."""
        wide, alpha = (look.dot, 1.0) if sizes is None else (np.asarray(sizes), 0.6)
        self.ax.scatter(
            x, y, (wide * POINTS) ** 2, look.color, edgecolors=look.edge, linewidths=alpha,
            alpha=alpha, zorder=next(self._order), clip_on=False,
        )  # fmt: skip

    # what charts are made of

    def legend(self, entries: Iterable[tuple[Look, str, Any]]) -> None:
        """Write what repeats, in drawing order, where it is there; wraps at the right margin."""
        x = float(MARGIN)
        for look, label, is_there in entries:
            if not is_there:
                continue
            width = 26 + self.width(label, SMALL)
            if x > MARGIN and x + width > RIGHT:
                x, self.y = MARGIN, self.y + 30
            if look.line:
                self.vlines(x + 9, self.y - 12, self.y + 12, look)
            elif look.dot:
                self.dots(x + 9, self.y, look)
            else:
                self.bars(x, x + 18, self.y, 18, look)
            self.text(x + 26, self.y, label, size=SMALL)
            x += width + 28
        self.y += 40

    def strip(
        self, parts: Iterable[tuple[int, str, Look]], *, height: float,
        others: Iterable[tuple[Look, str, Any]] = (),
    ) -> None:  # fmt: skip
        """Draw how many are of each kind as one bar, and below it the legend with `others`."""
        found = [part for part in parts if part[0]]
        amounts, middle = [amount for amount, *_ in found], self.y + height / 2
        places = shares(amounts, MARGIN, RIGHT, least=8, gap=4)
        for (amount, _, look), (x, end) in zip(found, places, strict=True):
            self.bars(x, end, middle, height, look)
            if self.width(f"{amount:,}", bold=True) + 12 <= end - x:
                self.text(
                    (x + end) / 2, middle, f"{amount:,}", bold=True, align="center",
                    color=WHITE if look.color in DARK else INK, ground=WHITE if look.hatch else "",
                )  # fmt: skip
        self.y += height + 28
        labels = [(look, f"{amount:,} {label}", True) for amount, label, look in found]
        self.legend([*labels, *others])

    def grid(
        self, before: Iterable[Column], after: Iterable[Column], *, height: float = 0,
        foot: float = 220, striped: bool = False,
    ) -> Grid:  # fmt: skip
        """Write the columns before and after the bars, and return where the bars lie.

        All columns hold the same number of texts; one without any takes no room. `height` of a row
        is in pixels; 0 gives few rows more room than many, and many what `MOST_HEIGHT` leaves above
        a `foot` of that height. `y` moves below the grid.
        """
        columns = [
            [one._replace(texts=list(one.texts)) for one in each] for each in (before, after)
        ]
        rows = len(next(list(one.texts) for group in columns for one in group))
        groups = [[one for one in group if any(one.texts)] for group in columns]
        heads = [column.head for group in groups for column in group]
        head = self.y + 26 * max((words.count("\n") for words in heads), default=0)
        top = head + (18 if any(heads) else -16)
        step = height or row_height(rows, MOST_HEIGHT - foot - top)
        ys = np.asarray(top + step * (np.arange(rows) + 0.5))
        if striped:
            self.bars(MARGIN - 10, RIGHT + 10, ys[::2], step, Look(PANEL))
        widths = [self._widths(group) for group in groups]
        left, right = (sum(group) + _GAP * len(group) for group in widths)
        self._write(groups[0], widths[0], MARGIN, head, ys)
        self._write(groups[1], widths[1], RIGHT - right + _GAP, head, ys)
        self.y = top + step * rows
        return Grid(MARGIN + left, RIGHT - right - 10, top, step, ys)

    def axis(self, grid: Grid, highest: float, *, unit: str = "", divisor: float = 1) -> None:
        """Write round values over the bars, the unit once after the last, and their lines."""
        values = np.array(ticks(highest / divisor))
        xs = grid.x(values * divisor / highest)
        self.vlines(xs, grid.top, grid.bottom, GRID_LINE)
        labels = [exact(round(value, 3)) for value in values]
        for x, label in zip(xs, labels, strict=True):
            self.label(x, grid.top - 18, label, align="center")
        end = xs[-1] + self.width(labels[-1], SMALL) / 2 + 6
        self.label(end, grid.top - 18, unit)

    def nothing(self) -> Chart:
        """Return the chart of no row at all: what was looked for."""
        self.note(self.say("nothing"))
        return self.finish()

    def finish(self, name: str = "") -> Chart:
        """Write the source line, cut the sheet to its content and return the chart.

        Args:
            name: of the chart, where it is not that of its template.
        """
        self.y += 22
        self.note(self.say("source"), size=SOURCE)
        self.note(_NOT_WRITTEN if self._is_coded else "", size=SOURCE)
        height = round(self.y + 5)
        self.figure.set_size_inches(WIDTH / DPI, height / DPI)
        self.ax.set(xlim=(0, WIDTH), ylim=(height, 0))
        alt = f"{self.title}. {self.say('alt')}".strip()
        return Chart(self.figure, name or self.name, self.title, alt)

    def _add(self, marks: Collection) -> None:
        self.ax.add_collection(marks, autolim=False)

    def _widths(self, columns: Sequence[Column]) -> list[float]:
        found = []
        for column, beside in zip(columns, [*columns[1:], *columns[-1:]], strict=True):
            # what may flow to the right decides no width
            pairs = zip(column.texts, beside.texts, strict=True)
            kept = [self.clean(text) for text, other in pairs if other]
            wide = self.widest(kept, bold=bool(np.any(column.bold)))
            wide = max(wide, self.widest(column.head.split("\n"), SMALL), column.least)
            found.append(min(wide, column.most))
        return found

    def _write(
        self, columns: Sequence[Column], widths: Sequence[float], left: float, head: float,
        ys: Floats,
    ) -> None:  # fmt: skip
        """Write columns from `left` on, row by row, each text up to the next one in its row."""
        lefts = left + np.cumsum([0, *(width + _GAP for width in widths)])
        ends = np.full(len(ys), lefts[-1])
        cells: list[tuple[int, float, str, dict[str, Any]]] = []
        for column, x, width in reversed(list(zip(columns, lefts, widths, strict=False))):
            at = x + width if column.align == "right" else x
            for number, line in enumerate(reversed(column.head.split("\n"))):
                self.label(at, head - 26 * number, line, align=column.align)
            colors, bolds = (np.broadcast_to(one, len(ys)) for one in column[2:4])
            for row, text in enumerate(column.texts):
                look: dict[str, Any] = {"color": str(colors[row]), "bold": bool(bolds[row])}
                if self.width(self.clean(text), bold=look["bold"]) <= width + 1:
                    cells.append((row, at, text, look | {"align": column.align}))
                else:
                    cells.append((row, x, text, look | {"limit": ends[row] - _GAP - x + 1}))
                ends[row] = x if text else ends[row]
        for row, x, text, look in sorted(cells, key=lambda cell: cell[:2]):
            self.text(x, ys[row], text, **look)
