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
from mnslib.show.tokens import FONTS

DPI = 150
_STACK = ("Arial", "Liberation Sans", "Helvetica", "DejaVu Sans")
FAMILY: ContextVar[str] = ContextVar("family", default="")
"""The font to draw with; empty for the first installed of the pages."""
_CJK = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK TC",
    "Source Han Sans SC", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
    "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "IPAexGothic", "NanumGothic",
    "Arial Unicode MS", "Unifont",
)  # fmt: skip
"""Fonts of Linux, Windows and macOS with Chinese, Japanese or Korean characters. Source: Debian's
`fonts-noto-cjk`, `fonts-wqy-*`, `fonts-nanum`, `fonts-ipaexfont`; the systems' own."""
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
        renderer: Any = Renderer(*size)
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
        with _drawing:
            text = svg_of(self.figure, salt=self.name)
        return text

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        data = {"image/png": b64encode(self.png()).decode("ascii"), "text/plain": self.alt}
        return data, {CHART: self.name}

    def __repr__(self) -> str:
        return self.alt


def svg_of(figure: Figure, *, salt: str) -> str:
    """Return a figure as SVG; equal figures and salts give equal texts."""
    buffer, dpi = io.StringIO(), figure.dpi
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        try:
            FigureCanvasSVG(figure).print_svg(buffer, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
        finally:
            figure.dpi = dpi
    return _FAMILY.sub(f"font-family: {FONTS}", buffer.getvalue())


class Renderer(RendererAgg):
    """Measures a text once: what was measured to find its place is not measured to draw it."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(width, height, DPI)  # type: ignore[no-untyped-call]

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
    is_known = text.isascii() or _characters(_families()).issuperset(map(ord, text))
    return _font(_families() if is_known else (*_families(), *_cjk()), size, bold)


def characters() -> frozenset[int]:
    """Return all that can be written."""
    return _characters((*_families(), *_cjk()))


@lru_cache(maxsize=100)
def _font(families: tuple[str, ...], size: float, bold: bool) -> FontProperties:
    return FontProperties(family=families, size=size, weight="bold" if bold else "normal")


def _families() -> tuple[str, ...]:
    """Return the first installed family of the pages; DejaVu Sans comes with matplotlib."""
    first = FAMILY.get() or next(name for name in _STACK if name in _installed())
    return (first, "DejaVu Sans")


@cache
def _cjk() -> tuple[str, ...]:
    return tuple(name for name in _CJK if name in _installed())


@cache
def _characters(families: tuple[str, ...]) -> frozenset[int]:
    paths = [findfont(FontProperties(family=name)) for name in families]
    return frozenset(code for path in paths for code in get_font(path).get_charmap())


@cache
def _installed() -> frozenset[str]:
    """Return all families, those too that came after matplotlib had written its list of fonts."""
    listed = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - listed):
        with suppress(OSError, RuntimeError):  # matplotlib passes over what it cannot read, too
            fontManager.addfont(path)
    return frozenset(font.name for font in fontManager.ttflist)
