"""Letters of the charts: which fonts there are, and how wide a line of text is, measured once.

Sizes are pixels at 150 dpi, as those of the sheet. Knows nothing of what is written.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import (
    FontProperties,
    findfont,
    findSystemFonts,
    fontManager,
    get_font,
)

DPI = 150
FONT_STACK = ("Arial", "Liberation Sans", "Helvetica", "DejaVu Sans")
CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK TC",
    "Source Han Sans SC", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
    "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "IPAexGothic", "NanumGothic",
    "Arial Unicode MS", "Unifont",
)  # fmt: skip
"""Fonts of Linux, Windows and macOS with Chinese, Japanese or Korean characters. Source: Debian's
`fonts-noto-cjk`, `fonts-wqy-*`, `fonts-nanum`, `fonts-ipaexfont`; the systems' own."""


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


@lru_cache(maxsize=100)
def font_of(families: tuple[str, ...], size: float, *, bold: bool) -> FontProperties:
    return FontProperties(family=families, size=size, weight="bold" if bold else "normal")


@cache
def default_family() -> str:
    """Return the first installed family of `FONT_STACK`; DejaVu Sans comes with matplotlib."""
    return next(name for name in FONT_STACK if name in _installed())


@cache
def _installed() -> frozenset[str]:
    """Return all families, those too that came after matplotlib had written its list of fonts."""
    listed = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - listed):
        with suppress(OSError, RuntimeError):  # matplotlib passes over what it cannot read, too
            fontManager.addfont(path)
    return frozenset(font.name for font in fontManager.ttflist)


@cache
def fonts_of(family: str) -> dict[str, frozenset[int]]:
    """Return the installed fonts a text may be written with, and the characters of each."""
    names = [family, "DejaVu Sans", *(name for name in CJK_FONTS if name in _installed())]
    paths = {name: findfont(FontProperties(family=name)) for name in names}
    return {name: frozenset(get_font(path).get_charmap()) for name, path in paths.items()}
