"""The colors and fonts of pages, displays and charts, as `tokens.yaml` has them.

>>> TOKENS["ink"]
'#16202B'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from mnslib.show.tables import told

TOKENS: Mapping[str, str] = told("colors")

HEAT: tuple[str, ...] = tuple(told("heat")["bands"])
HEAT_FROM: tuple[float, ...] = tuple(told("heat")["from"])
"""Under 50, 50 to 70, 70 to 90, 90 to 100 %, at the quota; the ratio from which each begins."""

FONTS: str = told("fonts")

Tone = Literal["calm", "good", "warning", "critical", "fix", "unknown", "sandbox"]


class Paint(NamedTuple):
    """How one tone is drawn: the bar of a box, the ground of box and tag, the words on it."""

    bar: str
    ground: str
    words: str


PAINTS: Mapping[Tone, Paint] = {
    tone: Paint(*(TOKENS.get(name, name) for name in names))
    for tone, names in told("paints").items()
}
