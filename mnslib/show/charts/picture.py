"""A finished chart as PNG, which a notebook shows, and as SVG, and the letters of both.

Both are drawn from the same figure, one after the other: matplotlib's figures know no threads.
Sizes of texts are pixels at 150 dpi, measured once.
"""

from __future__ import annotations

import io
import re
from base64 import b64encode
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager, get_font
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
    """Measures a text once: what was measured to find its place is not measured to draw it."""

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        return measured(s, prop)


@lru_cache(maxsize=10_000)
def measured(text: str, font: FontProperties) -> tuple[float, float, float]:
    """Return width, height and descent of a line of text: half a millisecond, most of a chart's."""
    ruler: Any = RendererAgg(1, 1, DPI)  # type: ignore[no-untyped-call]
    width, height, descent = ruler.get_text_width_height_descent(text, font, False)
    return float(width), float(height), float(descent)


def font_of(text: str, size: float, *, bold: bool) -> FontProperties:
    """Return the font that a text is written with, which takes from others what it has not."""
    is_known = text.isascii() or characters(families()).issuperset(map(ord, text))
    return _font(families(is_all=not is_known), size, bold)


@lru_cache(maxsize=100)
def _font(names: tuple[str, ...], size: float, bold: bool) -> FontProperties:
    return FontProperties(family=names, size=size, weight="bold" if bold else "normal")


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
