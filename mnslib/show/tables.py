"""What people read of the tables, as `tables.yaml` says it: columns, their units and formats.

Notebook, report, workbook and `docs/tables.md` are made from that one file. Beside it: short texts
of `words.yaml`, colors and fonts of `tokens.yaml`, how charts are drawn, `charts.yaml`, and what
pages take in, `allowed.yaml`.

    >>> column("peak_within_minutes").unit
    'minutes'
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

from mnslib.packaged import packaged


@dataclass(frozen=True, slots=True)
class ColumnWords:
    """What is said of a column of the tables.

    Attributes:
        unit: empty for text.
        meaning: what it holds; empty for a column that nobody explained.
        heading: what it is called in views; empty for its machine name in words.
        words: the filter of templates that writes its values; empty for as they are.
        sheet: how a spreadsheet writes its numbers; empty for as they are.
    """

    unit: str = ""
    meaning: str = ""
    heading: str = ""
    words: str = ""
    sheet: str = ""


def column(name: str) -> ColumnWords:
    """Return what is said of a column by its machine name; of a day, what holds for each day."""
    is_day = re.fullmatch(r"\d{4}-\d\d-\d\d", name)
    words = told("day_column") if is_day else told("columns").get(name, {})
    return ColumnWords(**words, **told("formats").get(words.get("unit"), {}))


def told(section: str) -> Any:
    """Return a section of the files, such as `risks`."""
    return _told()[section]


@cache
def _told() -> Mapping[str, Any]:
    found = dict[str, Any]()
    for name in ("tables", "words", "tokens", "allowed", "charts"):
        found |= packaged("mnslib.show", name)
    return found


# Colors and fonts of pages, displays and charts

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
