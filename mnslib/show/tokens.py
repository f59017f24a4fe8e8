"""The colors, each once: CSS variables of the pages and inline styles of notebook displays.

Standard library only. Color is kept for what needs somebody; all that is healthy is grey or blue.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

TOKENS = {
    "ink": "#16202B",
    "text": "#3D4A57",
    "muted": "#64717E",
    "line": "#9AA5B1",
    "grid": "#E3E8ED",
    "panel": "#F4F6F8",
    "accent": "#1F66B0",
    "crit": "#B42318",
    "crit-bg": "#FBECEA",
    "warn": "#E58A00",
    "warn-text": "#8F5300",
    "warn-bg": "#FDF3E1",
    "good": "#0F7B6C",
    "good-text": "#0B5D52",
    "good-bg": "#E8F4F2",
    "fix": "#7A3E9D",
    "fix-text": "#5E2D7A",
    "fix-bg": "#F5EFF9",
}

HEAT = ("#EEF2F6", "#C3D7EA", "#7FB0DD", "#F0A02B", "#A6201A")
HEAT_FROM = (0.5, 0.7, 0.9, 1.0)
"""Under 50, 50 to 70, 70 to 90, 90 to 100 %, at the quota; the ratio from which each begins."""

FONTS = "Arial, 'Liberation Sans', Helvetica, 'DejaVu Sans', sans-serif"

Tone = Literal["calm", "good", "warning", "critical", "fix", "unknown", "sandbox"]


class Paint(NamedTuple):
    """How one tone is drawn: the bar of a box, the ground of box and tag, the words on it."""

    bar: str
    ground: str
    words: str


_HATCH = f"repeating-linear-gradient(135deg, #fff 0 4px, {TOKENS['grid']} 4px 5px)"

PAINTS: dict[Tone, Paint] = {
    "calm": Paint(TOKENS["ink"], TOKENS["panel"], TOKENS["text"]),
    "good": Paint(TOKENS["good"], TOKENS["good-bg"], TOKENS["good-text"]),
    "warning": Paint(TOKENS["warn"], TOKENS["warn-bg"], TOKENS["warn-text"]),
    "critical": Paint(TOKENS["crit"], TOKENS["crit-bg"], TOKENS["crit"]),
    "fix": Paint(TOKENS["fix"], TOKENS["fix-bg"], TOKENS["fix-text"]),
    "unknown": Paint(TOKENS["line"], _HATCH, TOKENS["text"]),
    "sandbox": Paint(TOKENS["ink"], TOKENS["ink"], "#FFFFFF"),
}
