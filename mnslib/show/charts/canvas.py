"""One sheet for every chart: text, marks, and the frame of title and source.

Coordinates are pixels at 150 dpi from the top left, so that what is measured is what is drawn; what
is drawn later lies on top. Uses no pyplot and no global state, so figures neither leak nor meet
across threads. Knows nothing of namespaces or clusters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate, takewhile
from typing import TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D, IdentityTransform
from numpy.typing import NDArray

from mnslib.show.charts.colors import AXIS, DARK, INK, MUTED, PANEL, TEXT, WHITE
from mnslib.show.charts.letters import font_of as old_font
from mnslib.show.charts.letters import fonts_of
from mnslib.show.charts.marks import Column, Dot, Fill, Grid, Stroke
from mnslib.show.charts.picture import DPI, _families, measured
from mnslib.show.charts.picture import Chart as Chart
from mnslib.show.wording import cut_middle

WIDTH, MARGIN = 1600, 40
RIGHT = WIDTH - MARGIN
TITLE_SIZE, SUBTITLE_SIZE, BODY, SMALL, SOURCE_SIZE = 16, 10.5, 9.5, 9, 8.5
"""Points; nothing is smaller than the source line."""
_NOT_WRITTEN = (
    r"Codes such as \u65e5 stand for characters that no font of the computer which drew this has; "
    "the tables have them. Install fonts-noto-cjk or the like."
)
_HATCH_STEP = 11
_DOT = Path.unit_circle().transformed(Affine2D().scale(0.5))


def spread(
    wanted: Sequence[float], widths: Sequence[float], *, low: float, high: float, gap: float
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


MOST_ROWS, TOP_ROWS = 30, 20
MOST_HEIGHT = 1280
"""Pixels: what is higher is shrunk on paper (`page.css`) until its source line is under 6.5 pt."""
LEAST_ROW = 24
_Row = TypeVar("_Row")
Floats = NDArray[np.float64]


def top_rows(rows: Sequence[_Row], *, panels: int = 1) -> Sequence[_Row]:
    """Return all rows where they are few, else the first, which a sentence on the rest follows.

    Panels below each other share what one picture can hold.
    """
    return rows if len(rows) <= MOST_ROWS // panels else rows[: TOP_ROWS // panels]


def row_height(rows: int, room: float) -> float:
    """Return how high each of some rows is, in pixels, so that all fit in `room` if they can."""
    return min(44 if rows <= 6 else 36 if rows <= 12 else 30, max(LEAST_ROW, room / max(rows, 1)))


class Canvas:
    """A sheet that grows downward; `y` is where the next thing goes."""

    def __init__(self, name: str = "chart", *, family: str | None = None) -> None:
        """Start an empty sheet; `family` None takes the first installed of `FONT_STACK`."""
        self.name = name
        self.family = family or _families()[0]
        self.y: float = MARGIN
        self.figure = Figure(figsize=(WIDTH / DPI, 1), dpi=DPI, facecolor=WHITE)
        self.figure.set_layout_engine("none")
        self._pixels = Affine2D()  # to inches from the bottom left, once the height is known
        self._to_figure = self._pixels + self.figure.dpi_scale_trans
        self._order = 0
        self._title = ""
        self._fonts = fonts_of(self.family)
        self._known = frozenset().union(*self._fonts.values())
        self._is_coded = False  # whether a character had no font

    # text

    def width(self, text: str, size: float = BODY, *, bold: bool = False) -> float:
        """Return how many pixels wide a line of text is."""
        shown = self._clean(text)
        return measured(shown, old_font(self._families(shown), size, bold=bold))[0]

    def widest(self, texts: Iterable[str], size: float = BODY, *, bold: bool = False) -> float:
        """Return the width of the widest line; 0 without any."""
        return max((self.width(text, size, bold=bold) for text in set(texts)), default=0.0)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = BODY,
        color: str = INK,
        bold: bool = False,
        align: str = "left",
        limit: float | None = None,
        ground: str = "",
    ) -> float:
        """Write one line, `y` at half the height of its capitals; return where it ends.

        Longer than `limit` pixels, it is cut in the middle. `ground` is the color of a box around
        the line, where lines or dots lie under it.
        """
        shown = self.cut(text, limit, size, bold=bold) if limit is not None else self._clean(text)
        if not shown:
            return x
        box = (
            {"facecolor": ground, "edgecolor": "none", "alpha": 0.75, "pad": 1} if ground else None
        )
        self._add(Text(
            x, y + 0.36 * size * DPI / 72, shown, bbox=box if ground else None,
            fontproperties=old_font(self._families(shown), size, bold=bold), color=color, ha=align,
            va="baseline", parse_math=False, usetex=False,
        ))  # fmt: skip
        return x + (self.width(shown, size, bold=bold) if align == "left" else 0.0)

    def cut(self, text: str, limit: float, size: float = BODY, *, bold: bool = False) -> str:
        """Return the text, cut in the middle until it is at most `limit` pixels wide."""
        shown = text = self._clean(text)
        length = len(text)
        while length > 3 and (width := self.width(shown, size, bold=bold)) > limit:
            length = max(3, min(length - 1, int(len(shown) * limit / width) + 1))
            shown = cut_middle(text, length)
        return shown

    def wrap(
        self, text: str, limit: float, size: float, *, bold: bool = False, lines: int = 99
    ) -> list[str]:
        """Return the text in lines of at most `limit` pixels; what exceeds `lines` ends in `…`."""
        words, rows = re.split(" (?!%)", self._clean(text)), list[str]()
        while words and len(rows) < lines:
            count = self._fitting(words, limit, size, bold=bold)
            rows.append(" ".join(words[:count]) or self.cut(words[0], limit, size, bold=bold))
            words = words[max(count, 1) :]
        if words:
            last = rows[-1]
            while self.width(f"{last} …", size, bold=bold) > limit and " " in last:
                last = last.rsplit(" ", 1)[0]
            rows[-1] = f"{last} …"
        return rows or [""]

    def _fitting(self, words: Sequence[str], limit: float, size: float, *, bold: bool) -> int:
        """Return how many of the words fit in a line, 0 where the first alone is too long.

        Guessed from each word's own width, since measuring a line takes as long as it is.
        """
        space = self.width("n n", size, bold=bold) - 2 * self.width("n", size, bold=bold)
        ends = accumulate(self.width(word, size, bold=bold) + space for word in words)
        count = sum(1 for _ in takewhile(lambda end: end - space <= limit, ends))
        while count and self.width(" ".join(words[:count]), size, bold=bold) > limit:
            count -= 1
        while (
            count < len(words)
            and self.width(" ".join(words[: count + 1]), size, bold=bold) <= limit
        ):
            count += 1
        return count

    # marks

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Fill) -> None:
        """Fill the rectangle between the top left and the bottom right corner."""
        patch = Rectangle(
            (x0, y0), x1 - x0, y1 - y0, facecolor=fill.color, edgecolor=fill.edge or "none",
            linewidth=0.6 if fill.edge else 0,
        )  # fmt: skip
        self._add(patch)
        if fill.foot:
            self.box(x0, y1 - min(4, (y1 - y0) / 4), x1, y1, Fill(fill.foot))
        if fill.is_hatched:
            self._hatch(x0, y0, x1, y1)

    def line(self, x0: float, y0: float, x1: float, y1: float, stroke: Stroke) -> None:
        """Draw a straight line."""
        artist = Line2D(
            [x0, x1], [y0, y1], color=stroke.color, linewidth=stroke.width * 72 / DPI,
            solid_capstyle="butt", dash_capstyle="butt",
            linestyle=(0, stroke.dash) if stroke.dash else "-",
        )  # fmt: skip
        self._add(artist)

    def dots(self, xs: Sequence[float], y: float, dot: Dot) -> None:
        """Draw dots at one height."""
        if xs:
            artist = Line2D(
                list(xs), [y] * len(xs), linestyle="none", marker="o",
                markersize=dot.diameter * 72 / DPI, markeredgewidth=2 * 72 / DPI,
                markerfacecolor=dot.color, markeredgecolor=dot.edge,
            )  # fmt: skip
            self._add(artist)

    def bubbles(self, xs: Floats, ys: Floats, diameters: Floats, color: str) -> None:
        """Draw translucent dots of diameters in pixels, as one mark: there may be thousands."""
        artist = PathCollection(
            [_DOT], (diameters * 72 / DPI) ** 2, facecolors=color, alpha=0.6,
            edgecolors=WHITE, linewidths=0.5, offsets=np.column_stack((xs, ys)),
            offset_transform=self._to_figure,
        )  # fmt: skip
        artist.set_transform(IdentityTransform())
        self._add(artist)

    # the frame

    def heading(self, title: str, subtitle: str) -> None:
        """Write the title in at most two lines, and the subtitle under it."""
        self._title = title
        room = RIGHT - MARGIN
        rows = self.wrap(title, room, TITLE_SIZE, bold=True, lines=2)
        for share in (0.9, 0.8, 0.7, 0.6):  # two lines read best when about equally long
            closer = self.wrap(title, room * share, TITLE_SIZE, bold=True, lines=3)
            if len(rows) < 2 or len(closer) > 2:
                break
            rows = closer
        for row in rows:
            self.text(MARGIN, self.y, row, size=TITLE_SIZE, bold=True)
            self.y += 42
        for row in self.wrap(subtitle, room, SUBTITLE_SIZE):
            self.text(MARGIN, self.y, row, size=SUBTITLE_SIZE, color=TEXT)
            self.y += 30
        self.y += 28

    def legend(self, entries: Iterable[tuple[Fill | Stroke | Dot, str]]) -> None:
        """Write what repeats, in drawing order; wraps at the right margin."""
        x: float = MARGIN
        for mark, label in entries:
            width = 26 + self.width(label, SMALL)
            if x > MARGIN and x + width > RIGHT:
                x, self.y = MARGIN, self.y + 30
            self._key(x, self.y, mark)
            self.text(x + 26, self.y, label, size=SMALL)
            x += width + 28
        self.y += 40

    def note(self, text: str, *, size: float = SMALL) -> None:
        """Write a sentence in as many lines as it needs."""
        for row in self.wrap(text, RIGHT - MARGIN, size):
            self.text(MARGIN, self.y, row, size=size, color=MUTED)
            self.y += 27

    def section(self, title: str) -> None:
        """Write the heading of a part; the heads of a grid may stand beside it."""
        self.text(MARGIN, self.y, title, size=12, bold=True)

    def strip(
        self,
        parts: Sequence[tuple[int, str, Fill]],
        *,
        height: float,
        others: Sequence[tuple[Fill | Stroke | Dot, str]] = (),
    ) -> None:
        """Draw how many are of each kind as one bar, and below it the legend with `others`."""
        smallest, gap = 8, 4
        room = RIGHT - MARGIN - (smallest + gap) * len(parts) + gap
        total, x = sum(amount for amount, _, _ in parts), float(MARGIN)
        for amount, _, fill in parts:
            end = x + smallest + room * amount / total
            self.box(x, self.y, end, self.y + height, fill)
            words, middle, y = f"{amount:,}", (x + end) / 2, self.y + height / 2
            half = self.width(words, bold=True) / 2
            if 2 * half + 12 <= end - x:
                if fill.is_hatched:
                    self.box(middle - half - 4, y - 13, middle + half + 4, y + 13, Fill())
                color = WHITE if fill.color in DARK else INK
                self.text(middle, y, words, color=color, bold=True, align="center")
            x = end + gap
        self.y += height + 28
        self.legend([*((fill, f"{amount:,} {label}") for amount, label, fill in parts), *others])

    def grid(
        self,
        before: Sequence[Column],
        after: Sequence[Column],
        *,
        height: float = 0,
        foot: float = 220,
        striped: bool = False,
    ) -> Grid:
        """Write the columns before and after the bars, and return where the bars lie.

        All columns hold the same number of cells. `height` of a row is in pixels; 0 gives few rows
        more room than many, and many what `MOST_HEIGHT` leaves above a `foot` of that height.
        `y` moves below the grid.
        """
        gap, rows = 24, len((*before, *after)[0].cells)
        heads = [column.head.split("\n") for column in (*before, *after)]
        lines = max(map(len, heads))
        top = self.y + 26 * (lines - 1) + (18 if any(map(any, heads)) else -16)
        height = height or row_height(rows, MOST_HEIGHT - foot - top)
        if striped:
            for y in (top + height * index for index in range(0, rows, 2)):
                self.box(MARGIN - 10, y, RIGHT + 10, y + height, Fill(PANEL))
        left = float(MARGIN)
        for column in before:
            width = self._column_width(column)
            self._write(column, left, left + width, top=top, height=height, lines=lines)
            left += width + gap if width else 0
        widths = [self._column_width(column) for column in after]
        x = right = RIGHT - sum(width + gap for width in widths if width)
        for column, width in zip(after, widths, strict=True):
            self._write(column, x + gap, x + gap + width, top=top, height=height, lines=lines)
            x += width + gap if width else 0
        self.y = top + height * rows
        return Grid(left, right - 10, top, height, rows)

    def finish(self, *, source: str, alt: str) -> Chart:
        """Write the source line, cut the sheet to its content and return the chart."""
        self.y += 22
        self.note(source, size=SOURCE_SIZE)
        if self._is_coded:
            self.note(_NOT_WRITTEN, size=SOURCE_SIZE)
        height = round(self.y + 5)
        self.figure.set_size_inches(WIDTH / DPI, height / DPI)
        self._pixels.scale(1 / DPI, -1 / DPI).translate(0, height / DPI)
        return Chart(self.figure, self.name, self._title, alt)

    # inside

    def _families(self, text: str) -> tuple[str, ...]:
        """Return the chart's font, and behind it those that have what it has not."""
        families: list[str] = []
        missing = set(map(ord, text))
        for name, characters in self._fonts.items():
            if not families or missing & characters:
                families.append(name)
                missing -= characters
        return tuple(families)

    def _column_width(self, column: Column) -> float:
        texts = [*column.like, *(cell.text for cell in column.cells if not cell.spans)]
        widths = (
            self.widest(texts, bold=bool(column.like) or any(cell.bold for cell in column.cells)),
            self.widest(column.head.split("\n"), SMALL),
        )
        return min(max(*widths, column.least), column.most) if any(widths) else 0

    def _write(
        self, column: Column, left: float, right: float, *, top: float, height: float, lines: int
    ) -> None:
        x = right if column.align == "right" else left
        heads = column.head.split("\n")
        for line, head in enumerate(heads, start=lines - len(heads)):
            y = self.y + 26 * line
            self.text(x, y, head, size=SMALL, color=MUTED, align=column.align)
        for index, cell in enumerate(column.cells):
            y = top + height * (index + 0.5)
            if cell.spans:
                self.text(left, y, cell.text, color=cell.color, limit=RIGHT - left)
            else:
                self.text(
                    x, y, cell.text, color=cell.color, bold=cell.bold, align=column.align,
                    limit=right - left + 1,
                )  # fmt: skip

    def _clean(self, text: str) -> str:
        """Return text on one line, with the code of each character that no font has."""
        line = " ".join(text.split())
        missing = set(map(ord, line)) - self._known
        self._is_coded |= bool(missing)
        return line.translate({code: ascii(chr(code))[1:-1] for code in missing})

    def _add(self, artist: Artist) -> None:
        """Lay it on top; on the figure, since a sheet's axes would only clip and keep limits."""
        self._order += 1
        artist.set_zorder(self._order)
        if not artist.is_transform_set():
            artist.set_transform(self._to_figure)
        self.figure.add_artist(artist)

    def _hatch(self, x0: float, y0: float, x1: float, y1: float) -> None:
        first = int((x0 + y0) // _HATCH_STEP) + 1
        last = int((x1 + y1) // _HATCH_STEP)
        segments = []
        for c in (index * _HATCH_STEP for index in range(first, last + 1)):
            left, right = max(x0, c - y1), min(x1, c - y0)
            segments.append([(left, c - left), (right, c - right)])
        self._add(LineCollection(segments, colors=AXIS, linewidths=0.6))

    def _key(self, x: float, y: float, mark: Fill | Stroke | Dot) -> None:
        if isinstance(mark, Fill):
            self.box(x, y - 9, x + 18, y + 9, mark)
        elif isinstance(mark, Stroke):
            self.line(x + 9, y - 12, x + 9, y + 12, mark)
        else:
            self.dots([x + 9], y, mark)
