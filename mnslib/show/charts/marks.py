"""What a chart is drawn with, as values: fills, strokes, dots, cells of a grid and where bars lie.

Knows nothing of the sheet (`canvas`), nor of namespaces or clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import SupportsFloat

from mnslib.show.charts.colors import AXIS, INK, WHITE

DASHED, DOTTED = (5.0, 3.0), (1.0, 1.6)


@dataclass(frozen=True, slots=True)
class Fill:
    """How an area looks: a color with or without an outline, or the hatch of the unknown.

    A `foot`, a dark strip at the bottom, tells orange from blue where colors are not seen.
    """

    color: str = WHITE
    edge: str | None = None
    is_hatched: bool = False
    foot: str | None = None


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a line looks; width in pixels, dash pattern in line widths."""

    color: str
    width: float = 3
    dash: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Dot:
    """How a dot looks; diameter in pixels."""

    color: str = WHITE
    edge: str = INK
    diameter: float = 9


HATCH = Fill(WHITE, AXIS, is_hatched=True)


@dataclass(frozen=True, slots=True)
class Words:
    """One cell of a grid; one that spans also takes the columns to its right."""

    text: str = ""
    color: str = INK
    bold: bool = False
    spans: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a grid: as wide as its head and its cells, within `least` and `most` pixels.

    Attributes:
        head: its title in one line or two; a column without any text takes no room.
        like: further texts it must be wide enough for, so that the columns of two grids align.
    """

    head: str = ""
    cells: Sequence[Words]
    align: str = "left"
    least: float = 0
    most: float = 260
    like: Iterable[str] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the bars of a grid lie: between `left` and `right`, one row below the other."""

    left: float
    right: float
    top: float
    height: float
    rows: int

    @property
    def bottom(self) -> float:
        return self.top + self.height * self.rows

    @property
    def middles(self) -> list[float]:
        """The middle of each row."""
        return [self.top + self.height * (index + 0.5) for index in range(self.rows)]

    def x(self, share: SupportsFloat) -> float:
        """Return the place of a share (0 to 1) of the scale."""
        return self.left + (self.right - self.left) * float(share)
