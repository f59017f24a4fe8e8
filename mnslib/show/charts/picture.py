"""A finished chart: shown by a notebook as PNG, inlined by the report as SVG.

Both are drawn from the same figure, one after the other: matplotlib's figures know no threads.
"""

from __future__ import annotations

import io
import re
from base64 import b64encode
from dataclasses import dataclass
from threading import Lock
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mnslib.show.charts.letters import DPI, Renderer
from mnslib.show.displays import CHART
from mnslib.show.tokens import FONTS

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
