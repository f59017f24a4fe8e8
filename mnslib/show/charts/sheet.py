"""One sheet for every chart: a matplotlib Axes over the whole figure, in pixels from the top left.

Colors, looks, legends and columns are data (`charts.yaml`), sentences the chart's template. Marks
are drawn a column at a time; what is drawn later lies on top. Uses no pyplot and no global state,
so figures neither leak nor meet across threads. Knows nothing of namespaces or clusters.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from mnslib.show.charts.picture import DPI, Chart, Line, characters, families, font_of, letters
from mnslib.show.tables import TOKENS, told
from mnslib.show.templates import say, sentence
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
FOOT, BESIDE_PANELS = 220, 680
"""Pixels below the rows, and beside those of several panels."""
LEAST_ROW, GAP = 24, 24
Floats = NDArray[np.floating[Any]]


COLORS: Mapping[str, str] = {**TOKENS, **told("chart_colors"), "none": "none"}
LOOKS = {name: SimpleNamespace(**told("look") | about) for name, about in told("looks").items()}


class Grid(NamedTuple):
    """Where marks lie: between `left` and `right`, `top` and `bottom`, in rows around `ys`."""

    left: float
    right: float
    top: float
    bottom: float
    ys: Floats = np.empty(0)
    step: float = 0

    def x(self, share: Any) -> Any:
        """Return the place of a share (0 to 1) of the scale, or of many."""
        return self.left + (self.right - self.left) * share

    def y(self, share: Any) -> Any:
        """Return the place of a share of the scale upward, or of many."""
        return self.bottom - (self.bottom - self.top) * share


def spread(
    wanted: Iterable[float], widths: Sequence[float], *, low: float, high: float, gap: float
) -> list[float]:
    """Return left edges near those wanted, in the same order, that keep `gap` between labels."""
    edges: list[float] = []
    for start, width in zip(wanted, widths, strict=True):
        edges.append(max(start, low))
        low = edges[-1] + width + gap
    for index in reversed(range(len(edges))):
        edges[index] = min(edges[index], high - widths[index])
        high = edges[index] - gap
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


class Sheet:
    """A sheet that grows downward; `y` is where the next thing goes."""

    def __init__(self, name: str, **facts: Any) -> None:
        """Write title (two lines at most) and subtitle.

        Args:
            name: of the chart in `charts.yaml`, and of the template that makes its sentences.
            facts: what they say.
        """
        self.name, self.facts, self.y = name, facts, float(MARGIN)
        self.told: Mapping[str, Any] = told("charts").get(name, {})
        self.figure = Figure(figsize=(WIDTH / DPI, 1), dpi=DPI, facecolor=COLORS["white"])
        self.ax = self.figure.add_axes((0, 0, 1, 1), autoscale_on=False)
        self.ax.axis("off")
        self._order = count(1)
        self._is_coded = False  # whether a character had no font
        self.label = partial(self.text, size=SMALL, color="muted")  # what explains a mark
        self.title = self.say("title")
        # two lines read best when about equally long
        limits = [ROOM * share for share in (0.6, 0.7, 0.8, 0.9, 1)]
        limit = min(limits, key=lambda one: len(self.wrap(self.title, one, TITLE, bold=True)))
        self.note(self.title, TITLE, "ink", 42, limit=limit, bold=True, lines=2)
        self.note(self.say("subtitle"), SUBTITLE, "text", 30)
        self.y += 28

    def say(self, macro: str, facts: Any = None) -> str:
        """Return one of the chart's sentences, on all `facts` or on some."""
        return sentence(f"chart_{self.name}.txt.j2", macro, facts or self.facts)

    # text

    def width(self, text: str, size: float = BODY, *, bold: bool = False) -> float:
        """Return how many pixels wide a line of text is."""
        shown = self.clean(text)
        return letters(shown, font_of(shown, size, bold=bold)).width

    def clean(self, text: str) -> str:
        """Return text on one line, with the code of each character that no font has."""
        line = " ".join(text.split())
        if line.isascii():
            return line
        missing = set(map(ord, line)) - characters(families(is_all=True))
        self._is_coded |= bool(missing)
        return line.translate({code: ascii(chr(code))[1:-1] for code in missing})

    def text(
        self, x: float, y: float, text: str, *, size: float = BODY, color: str = "ink",
        bold: bool = False, align: str = "left", limit: float = np.inf, ground: str = "",
    ) -> float:  # fmt: skip
        """Write one line, `y` at half the height of its capitals; return where it ends.

        Longer than `limit` pixels, it is cut in the middle. `ground` is the color of what lies
        under it where it would stand on lines or dots.
        """
        if not (shown := self.cut(text, limit, size, bold=bold)):
            return x
        self.ax.add_artist(Line(
            x, y + 0.36 * size / POINTS, shown, color=COLORS[color], ha=align, va="baseline",
            fontproperties=font_of(shown, size, bold=bold), parse_math=False, usetex=False,
            zorder=next(self._order),
            bbox={"fc": COLORS[ground], "ec": "none", "alpha": 0.8, "pad": 1} if ground else None,
        ))  # fmt: skip
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
            width = self.width(word, size, bold=bold)
            if rows and width <= free:
                rows[-1] += f" {word}"
            else:
                rows.append(self.cut(word, limit, size, bold=bold))
                free = limit
            free -= width + space
        if len(rows) > lines:
            last = rows[lines - 1]
            while self.width(f"{last} …", size, bold=bold) > limit and " " in last:
                last = last.rpartition(" ")[0]
            rows[lines - 1 :] = [f"{last} …"]
        return rows

    def note(
        self, text: str, size: float = SMALL, color: str = "muted", step: float = 27, *,
        limit: float = ROOM, bold: bool = False, lines: int = 99,
    ) -> None:  # fmt: skip
        """Write a sentence, where there is one, in as many lines as it needs."""
        for row in self.wrap(text, limit, size, bold=bold, lines=lines) if text else ():
            self.text(MARGIN, self.y, row, size=size, color=color, bold=bold)
            self.y += step

    def tell(self, macro: str, **more: Any) -> None:
        """Write one of the chart's sentences, on its facts and more."""
        self.note(self.say(macro, {**self.facts, **more}))

    def section(self, title: str, beside: str = "", *, height: float = 34) -> None:
        """Write the heading of a part, which begins that many pixels below it."""
        self.text(MARGIN, self.y, title, size=12, bold=True)
        self.text(330, self.y, beside, color="text")
        self.y += height

    # marks

    def bars(
        self, x0: ArrayLike, x1: ArrayLike, y: ArrayLike, height: ArrayLike,
        look: str | Sequence[str], *, color: str = "",
    ) -> None:  # fmt: skip
        """Fill areas from `x0` to `x1` around `y`; one that has no end (NaN) is left out.

        Args:
            look: of all, or of each; of it nothing but the `color` where there is one.
        """
        ends = np.stack(np.broadcast_arrays(*np.atleast_1d(x0, x1, y, height))).astype(float)
        looks, order = np.broadcast_to(look, ends.shape[1]), next(self._order)
        there = np.isfinite(ends).all(axis=0)
        for name in dict.fromkeys(looks.tolist()):
            one = SimpleNamespace(**told("look") | {"color": color}) if color else LOOKS[name]
            left, right, middle, high = ends[:, there & (looks == name)]
            y0, y1 = middle - high / 2, middle + high / 2
            corners: list[Any] = list(np.transpose([[left, right, right, left], [y0, y0, y1, y1]]))
            self.ax.add_collection(PolyCollection(
                corners, facecolors=COLORS[one.color], edgecolors=COLORS[one.edge], zorder=order,
                hatch=one.hatch or None, linewidths=0.6 * (one.edge != "none"), clip_on=False,
            ), autolim=False)  # fmt: skip
            if one.foot:
                foot = np.minimum(4, high / 4)
                self.bars(left, right, middle + (high - foot) / 2, foot, name, color=one.foot)

    def lines(self, x0: ArrayLike, y0: ArrayLike, x1: ArrayLike, y1: ArrayLike, look: str) -> None:
        """Draw straight lines; those with an end that is NaN are left out."""
        ends = np.stack(np.broadcast_arrays(*np.atleast_1d(x0, y0, x1, y1)), axis=-1).astype(float)
        one, found = LOOKS[look], ends[np.isfinite(ends).all(axis=1)].reshape(-1, 2, 2)
        self.ax.add_collection(LineCollection(
            found, colors=COLORS[one.color], linewidths=one.line * POINTS, clip_on=False,
            linestyles=[(0, tuple(one.dash)) if one.dash else "-"], zorder=next(self._order),
        ), autolim=False)  # fmt: skip

    def vlines(self, x: ArrayLike, y0: ArrayLike, y1: ArrayLike, look: str) -> None:
        """Draw vertical lines."""
        self.lines(x, y0, x, y1, look)

    def dots(self, x: ArrayLike, y: ArrayLike, look: str, size: float | None = None) -> None:
        """Draw dots as large as their look says, or translucent ones of a diameter in pixels."""
        one = LOOKS[look]
        wide, alpha = (one.dot, 1.0) if size is None else (size, 0.6)
        self.ax.scatter(
            x, y, (wide * POINTS) ** 2, COLORS[one.color], edgecolors=COLORS[one.edge],
            linewidths=alpha, alpha=alpha, zorder=next(self._order), clip_on=False,
        )  # fmt: skip

    def stack(
        self, amounts: Mapping[str, float], x0: float, x1: float, y: float, height: float, *,
        least: float = 0, gap: float = 0,
    ) -> list[tuple[str, float, float]]:  # fmt: skip
        """Draw amounts by look as parts of one bar, each of at least so many pixels.

        Returns:
            The look and both ends of each part; an amount of 0 is none.
        """
        amounts, found = {look: amount for look, amount in amounts.items() if amount}, []
        room = x1 - x0 - (least + gap) * len(amounts) + gap
        for look, amount in amounts.items():
            end = x0 + least + room * amount / sum(amounts.values())
            self.bars(x0, end, y, height, look)
            found.append((look, x0, end))
            x0 = end + gap
        return found

    # what charts are made of

    def legend(self, **there: Any) -> None:
        """Write what repeats, in drawing order; wraps at the right margin.

        Args:
            there: by look, whether it is there, or how many there are.
        """
        x, labels = float(MARGIN), self.told.get("labels", {})
        for name, amount in there.items():
            if not amount:
                continue
            label = say(labels.get(name, name.replace("_", " ")), **self.facts)
            label = f"{amount:,} {label}" if type(amount) is int else label
            width = 26 + self.width(label, SMALL)
            if x > MARGIN and x + width > RIGHT:
                x, self.y = MARGIN, self.y + 30
            if LOOKS[name].line:
                self.vlines(x + 9, self.y - 12, self.y + 12, name)
            elif LOOKS[name].dot:
                self.dots(x + 9, self.y, name)
            else:
                self.bars(x, x + 18, self.y, 18, name)
            self.text(x + 26, self.y, label, size=SMALL)
            x += width + 28
        self.y += 40

    def strip(self, counts: Mapping[str, int], *, height: float, **others: Any) -> None:
        """Draw how many are of each look as one bar, and below it the legend with `others`."""
        middle = self.y + height / 2
        for name, x, end in self.stack(counts, MARGIN, RIGHT, middle, height, least=8, gap=4):
            number, look = f"{counts[name]:,}", LOOKS[name]
            if self.width(number, bold=True) + 12 <= end - x:
                ground = "white" if look.hatch else ""
                self.text((x + end) / 2, middle, number, bold=True, align="center",
                          color=look.words, ground=ground)  # fmt: skip
        self.y += height + 28
        self.legend(**counts, **others)

    def grid(
        self, rows: pd.DataFrame, layout: str = "rows", *, height: float = 0, panels: int = 1,
        like: pd.DataFrame | None = None, striped: bool = False,
    ) -> Grid:  # fmt: skip
        """Write the columns left and right of the bars, and return where these lie.

        Args:
            layout: which columns of the chart; one without any text takes no room.
            height: of a row in pixels; 0 gives few rows more room than many, and many what the
                rest of the sheet leaves.
            panels: below each other, that share it.
            like: the rows whose texts decide how wide columns are, if not these.
        """
        records = rows.to_dict("records")
        others = records if like is None else like.to_dict("records")
        left, right = (self._columns(self.told[layout][side], records, others)
                       for side in ("left", "right"))  # fmt: skip
        heads = [one.head for one in (*left, *right)]
        head = self.y + 26 * max((words.count("\n") for words in heads), default=0)
        top, many = head + (18 if any(heads) else -16), len(rows)
        room = MOST_HEIGHT - FOOT - top
        room = room if panels == 1 else (MOST_HEIGHT - BESIDE_PANELS) / panels
        most = 44 if many <= 6 else 36 if many <= 12 else 30
        step = height or min(most, max(LEAST_ROW, room / max(many, 1)))
        ys = np.asarray(top + step * (np.arange(many) + 0.5))
        if striped:
            self.bars(MARGIN - 10, RIGHT + 10, ys[::2], step, "panel")
        start, end = MARGIN, RIGHT - sum(one.width + GAP for one in right)
        for x, columns in ((start, left), (end + GAP, right)):
            for one in columns:
                at = x + one.width * (one.align == "right")
                for number, line in enumerate(reversed(one.head.split("\n"))):
                    self.label(at, head - 26 * number, line, align=one.align)
                for y, text, look in zip(ys, one.texts, one.looks, strict=True):
                    self.text(at, y, text, align=one.align, limit=one.width + 1, **look)
                x += one.width + GAP
        start += sum(one.width + GAP for one in left)
        self.y = top + step * many + 24
        return Grid(start, end - 10, top, self.y - 24, ys, step)

    def axis(self, grid: Grid, highest: float, *, unit: str = "", divisor: float = 1) -> None:
        """Write round values over the bars, the unit once after the last, and their lines."""
        values = np.array(ticks(highest / divisor))
        xs = grid.x(values * divisor / highest)
        self.vlines(xs, grid.top, grid.bottom, "grid")
        labels = [exact(round(value, 3)) for value in values]
        for x, label in zip(xs, labels, strict=True):
            self.label(x, grid.top - 18, label, align="center")
        end = xs[-1] + self.width(labels[-1], SMALL) / 2 + 6
        self.label(end, grid.top - 18, unit)

    def levels(self, grid: Grid, highest: float, *, more: str = "") -> None:
        """Write round values left of the marks, the last with what is said of `more`."""
        values = ticks(highest)
        for value in values:
            y, label = grid.y(value / highest), exact(round(value, 3))
            self.lines(grid.left, y, grid.right, y, "grid")
            self.label(grid.left - 14, y, label + more * (value == values[-1]), align="right")

    def nothing(self) -> Chart:
        """Return the chart of no row at all: what was looked for."""
        self.tell("nothing")
        return self.finish()

    def finish(self) -> Chart:
        """Write the source line, cut the sheet to its content and return the chart."""
        self.y += 22
        self.note(self.say("source"), SOURCE)
        self.note(told("not_written") if self._is_coded else "", SOURCE)
        height = round(self.y + 5)
        self.figure.set_size_inches(WIDTH / DPI, height / DPI)
        self.ax.set(xlim=(0, WIDTH), ylim=(height, 0))
        alt = f"{self.title}. {self.say('alt')}".strip()
        return Chart(self.figure, self.name, self.title, alt)

    def _columns(
        self, columns: Mapping[str, Any], rows: Sequence[Any], like: Sequence[Any]
    ) -> list[SimpleNamespace]:
        """Return the columns that hold a text, as wide as their heads and those of `like`."""
        found = []
        for name, about in columns.items():
            one = SimpleNamespace(**told("column") | about)
            one.texts, judged = (
                [self.say(one.words, row) if one.words else str(row[name]) for row in each]
                for each in (rows, like)
            )
            wide = [self.width(text, bold=bool(one.bold)) for text in {*judged}]
            wide += [self.width(line, SMALL) for line in one.head.split("\n")]
            one.width = min(max(*wide, one.least), one.most)
            keys = {"color": one.color, "bold": one.bold}
            one.looks = [{key: row.get(of, of) for key, of in keys.items()} for row in rows]
            found += [one] if any(one.texts) else []
        return found
