"""What a spreadsheet shows of a cell by its number format, for the formats that are usual.

Usual are digits with zeros, decimals, thousands and percent, and text around them. Knows nothing
of dates, which are refused before.

    >>> shown(7, "000"), shown(0.5, "0%"), shown(1500, '0"m"'), shown(7, "# ?/?")
    ('007', '50%', '1500m', None)

Source: ECMA-376-1, 18.8.31, numFmts.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, localcontext

from mnslib.requests.sheets import number_text

PLAIN = ("General", "@")
"""Formats that show a text as it is, and a number but for very large ones."""

_TEXT = r'"([^"]*)"|\\(.)|\[\$([^]-]*)[^]]*\]|\[[A-Za-z]+ ?\d*\]|[_*].'
"""Text in quotes, behind a backslash and of a currency; colors and gaps, which are no text."""

_AROUND = rf"((?:{_TEXT}|[-+$€£¥() ])*)"
_USUAL = re.compile(
    rf"{_AROUND}(?P<digits>General|@|(?:#,#)?#*0*(?:\.[0#]*)?)(?P<percent> ?%)?(?P<after>{_AROUND})"
)


def shown(value: str | float, code: str) -> str | None:
    """Return what a cell shows, without spaces around it; None where its format is not usual."""
    sections = code.split(";")
    place = 3 if isinstance(value, str) else 2 if value == 0 else int(value < 0)
    section = sections[place] if place < len(sections) else sections[0]
    if place == 3 and len(sections) < 4:  # the last one is of text where it says so
        section = sections[-1] if "@" in sections[-1] else "@"
    found = _USUAL.fullmatch(section)
    if found is None or re.search(r"\[[<>=]", code):
        return None
    text = _digits(value, found["digits"], bool(found["percent"]))
    sign = "-" if place == 1 and len(sections) == 1 else ""
    before, after = (re.sub(_TEXT, r"\1\2\3", around) for around in (found[1], found["after"]))
    return f"{sign}{before}{text}{found['percent'] or ''}{after}".strip()


def _digits(value: str | float, digits: str, is_percent: bool) -> str:
    """Return a text, or a number without its sign."""
    if isinstance(value, str) or not digits:
        return str(value) if digits else ""
    number = abs(Decimal(number_text(value))).scaleb(2 * is_percent)
    if digits in PLAIN:
        is_large = digits == "General" and number >= 10**11
        return f"{number:.6G}" if is_large else f"{number:f}"
    whole, point, places = digits.partition(".")
    with localcontext(rounding=ROUND_HALF_UP):
        text = f"{number:{',' if ',' in whole else ''}.{len(places)}f}"
    text = text.zfill(whole.count("0") + len(point + places)) if "0" in whole else text.lstrip("0")
    return re.sub(rf"0{{0,{places.count('#')}}}$", "", text)
