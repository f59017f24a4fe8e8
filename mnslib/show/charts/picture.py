"""A finished chart as PNG, which a notebook shows, and as SVG, and the letters of both.

Both are drawn from the same figure, one after the other: matplotlib's figures know no threads.
Sizes of texts are pixels at 150 dpi, measured once.
"""

import io
import re
from base64 import b64encode
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import RendererAgg, get_hinting_flag
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager, get_font
from matplotlib.text import Text
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mnslib.show.displays import CHART
from mnslib.show.tables import FONTS, told

DPI = 150
FAMILY: ContextVar[str] = ContextVar("family", default="")
"""The font to draw with; empty for the first installed of the pages."""
MOST_DOTS = 2_000
"""Of a chart that is kept as SVG; as many are some 1.4 MB, near what a page takes in."""
_COMPRESSION = 3
"""Of zlib: half the time of its default for pictures that are 5 % larger."""
_BEFORE = {"left": 0.0, "center": 0.5, "right": 1.0}
"""Part of a line that stands before its place."""
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_FAMILY = re.compile(r"font-family: [^;\"]*")
_drawing = Lock()


@dataclass(frozen=True, slots=True)
class Chart:
    """A finished chart, which a notebook shows by itself.

    Attributes:
        name: of its kind, such as `utilization_now`; a run keeps `charts/<name>.svg`.
        alt: the title's finding and the numbers that carry it.
    """

    figure: Figure
    name: str
    title: str
    alt: str

    def png(self) -> bytes:
        """Return the picture at 150 dpi, 1,600 pixels wide."""
        size = round(self.figure.bbox.width), round(self.figure.bbox.height)
        renderer: Any = Renderer(*size, DPI)  # type: ignore[no-untyped-call]
        with _drawing:
            self.figure.draw(renderer)
        described = PngInfo()
        for key, words in (("Title", self.title), ("Description", self.alt)):
            described.add_text(key, words)
        # nothing shows through, so a fourth channel would only be more to compress
        pixels = Image.frombuffer("RGBA", size, renderer.buffer_rgba(), "raw", "RGBA", 0, 1)
        buffer = io.BytesIO()
        pixels.convert("RGB").save(
            buffer, format="png", compress_level=_COMPRESSION, dpi=(DPI, DPI), pnginfo=described
        )
        return buffer.getvalue()

    @property
    def has_svg(self) -> bool:
        """Whether a page would take its SVG in: of tens of thousands of dots it is megabytes."""
        marks = [one for axes in self.figure.axes for one in axes.collections]
        return sum(len(one.get_offsets()) for one in marks) <= MOST_DOTS  # type: ignore[misc, arg-type]

    def svg(self) -> str:
        """Return the picture as SVG, in which text is text, written in the fonts of the pages."""
        buffer, dpi = io.StringIO(), self.figure.dpi
        canvas: Any = FigureCanvasSVG(self.figure)
        with _drawing, rc_context({"svg.fonttype": "none", "svg.hashsalt": self.name}):
            canvas.print_svg(buffer, metadata=_NO_METADATA)
            self.figure.dpi = dpi
        return _FAMILY.sub(f"font-family: {FONTS}", buffer.getvalue())

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        data = {"image/png": b64encode(self.png()).decode("ascii"), "text/plain": self.alt}
        return data, {CHART: self.name}

    def __repr__(self) -> str:
        return self.alt


class Renderer(RendererAgg):
    """Lays a text out once: what was measured to find its place is drawn as it was measured."""

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        return letters(s, prop)[:3]

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: FontProperties, *_: Any, **__: Any
    ) -> None:
        found = letters(s, prop)
        place = round(x + found.left), round(y + found.below) + 1
        self._renderer.draw_text_image(found.image, *place, 0, gc)


class Letters(NamedTuple):
    """A line of text in pixels: its size, its picture, and how far that stands from its start."""

    width: float
    height: float
    descent: float
    image: Any
    left: float
    below: float


@lru_cache(maxsize=2_000)
def letters(text: str, font: FontProperties) -> Letters:
    """Return a line of text laid out: a millisecond, most of a chart's time."""
    face = get_font(_files(font))
    face.set_size(font.get_size_in_points(), DPI)
    face.set_text(text, 0, flags=get_hinting_flag())  # type: ignore[no-untyped-call]
    face.draw_glyphs_to_bitmap()
    left, below = face.get_bitmap_offset()
    descent = face.get_descent()
    sizes = np.array([*face.get_width_height(), descent, left, below + descent]) / 64
    width, height, descent, left, below = sizes.tolist()
    return Letters(width, height, descent, face.get_image().copy(), left, below)


class Line(Text):
    """A line of text on its baseline: its place is known, so matplotlib need not find it again."""

    def draw(self, renderer: Any) -> None:
        if self.get_bbox_patch() is not None:  # what lies under it is as wide as it is
            super().draw(renderer)
            return
        renderer.open_group("text", self.get_gid())
        pen = renderer.new_gc()
        pen.set_foreground(self.get_color())
        x, y = self.get_transform().transform(self.get_position())
        text, font = self.get_text(), self.get_fontproperties()
        start = x - _BEFORE[self.get_horizontalalignment()] * letters(text, font).width
        height = renderer.get_canvas_width_height()[1]
        renderer.draw_text(pen, start, height - y, text, font, 0, mtext=self)
        pen.restore()
        renderer.close_group("text")


def font_of(text: str, size: float, *, bold: bool) -> FontProperties:
    """Return the font that a text is written with, which takes from others what it has not."""
    is_known = text.isascii() or characters(families()).issuperset(map(ord, text))
    return _font(families(is_all=not is_known), size, bold)


@lru_cache(maxsize=100)
def _font(names: tuple[str, ...], size: float, bold: bool) -> FontProperties:
    return FontProperties(family=names, size=size, weight="bold" if bold else "normal")


@lru_cache(maxsize=100)
def _files(font: FontProperties) -> list[str]:
    return [findfont(_font((name,), 1, font.get_weight() == "bold")) for name in font.get_family()]


def families(*, is_all: bool = False) -> tuple[str, ...]:
    """Return the fonts of a text: the first of the pages that is installed, and matplotlib's own.

    Args:
        is_all: those too that have what Latin fonts have not.
    """
    stack = (name.strip(" '") for name in FONTS.split(","))
    first = FAMILY.get() or next(name for name in stack if name in _installed())
    others = [name for name in told("chart_fonts") if is_all and name in _installed()]
    return (first, "DejaVu Sans", *others)


@cache
def characters(names: tuple[str, ...]) -> frozenset[int]:
    """Return all that can be written with some fonts."""
    paths = [findfont(FontProperties(family=name)) for name in names]
    return frozenset(code for path in paths for code in get_font(path).get_charmap())


@cache
def _installed() -> frozenset[str]:
    """Return all families, those too that came after matplotlib had written its list of fonts."""
    listed = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - listed):
        with suppress(OSError, RuntimeError):  # matplotlib passes over what it cannot read, too
            fontManager.addfont(path)
    return frozenset(font.name for font in fontManager.ttflist)
