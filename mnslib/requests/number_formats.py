"""What a spreadsheet shows of a cell by its number format, as far as it is needed to see whether
that is what the cell holds.

Decimals with a point, thousands with a comma. Knows nothing of dates, which are refused before.

    >>> shown(7, "000"), shown(0.5, "0%"), shown(1500, '0"m"')
    ('007', '50%', '1500m')

Source: ECMA-376-1, 18.8.31, numFmts.
"""

from __future__ import annotations

import operator
import re
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

from mnslib.requests.sheets import number_text

PLAIN = ("General", "@")
"""Formats that show a text as it is, and a number but for very large ones."""

_LITERAL = re.compile(r'"([^"]*)"|\\(.)|\[\$([^\]-]*)[^\]]*\]|\[[^\]]*\]|[_*].')
"""Text in quotes, behind a backslash and of a currency; conditions, colors and gaps."""

_DIGITS = re.compile(r"[#0?,.]*[#0?][#0?,.]*(?:E[+-][#0?]+)?|General", re.IGNORECASE)
_CONDITION = re.compile(r"\[(<=|>=|<>|<|>|=)(-?[\d.]+)\]")
_COMPARE = {
    "<": operator.lt, "<=": operator.le, "=": operator.eq,
    "<>": operator.ne, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip

_MOST_DIGITS = Decimal(10) ** 11
"""From here on `General` is scientific. Source: Excel, "Number format codes"."""


def shown(value: str | float, code: str) -> str:
    """Return what the cell shows, without spaces around it."""
    sections = _sections(code)
    if isinstance(value, str):
        last = sections[3] if len(sections) > 3 else sections[-1]
        is_of_text = len(sections) > 3 or "@" in _masked(last)
        return _plain(last).replace("@", value).strip() if is_of_text else value
    section, number = _chosen(sections[:3], Decimal(number_text(value)))
    masked = _masked(section)
    digits = _DIGITS.search(masked)
    if digits is None:
        return _plain(section).replace("@", number_text(value)).strip()
    number = number.scaleb(2 * masked.count("%"))
    start, end = digits.span()
    fraction = re.match(r" *[?#0]+ */ *([?#0]+|\d+)", masked[end:])
    if fraction:
        end, text = end + fraction.end(), _fraction(number, fraction[1])
    else:
        text = _digits(abs(number), section[start:end])
    sign = "-" if number < 0 else ""
    return f"{sign}{_plain(section[:start])}{text}{_plain(section[end:])}".strip()


def _masked(code: str) -> str:
    return _LITERAL.sub(lambda found: "\0" * len(found[0]), code)


def _plain(code: str) -> str:
    return _LITERAL.sub(r"\1\2\3", code)


def _sections(code: str) -> list[str]:
    ends = [place for place, sign in enumerate(_masked(code)) if sign == ";"]
    return [code[start + 1 : end] for start, end in pairwise([-1, *ends, len(code)])]


def _chosen(sections: list[str], number: Decimal) -> tuple[str, Decimal]:
    """Return the section that a number is shown by, and the number without the sign that it has."""
    conditions = [_CONDITION.search(section) for section in sections]
    if any(conditions):
        for section, condition in zip(sections, conditions, strict=True):
            if condition is None or _COMPARE[condition[1]](number, Decimal(condition[2])):
                return section, number
    if number < 0 and len(sections) > 1:
        return sections[1], -number
    return sections[2 if number == 0 and len(sections) > 2 else 0], number


def _digits(number: Decimal, code: str) -> str:
    if code.lower() == "general":
        is_large = number >= _MOST_DIGITS
        return f"{float(number):.6G}" if is_large else number_text(float(number))
    body, exponent, _ = code.upper().partition("E")
    whole, point, places = body.partition(".")
    if exponent:
        return f"{float(number):.{len(places)}E}"
    scale = len(body) - len(body.rstrip(",")) or len(whole) - len(whole.rstrip(","))
    with localcontext(rounding=ROUND_HALF_UP):
        text = f"{number.scaleb(-3 * scale):.{len(places.rstrip(','))}f}"
    left, _, right = text.partition(".")
    least = whole.count("0")
    left = left.lstrip("0").rjust(least, "0")
    if left and "," in whole.rstrip(","):
        left = f"{int(left):0{least + (least - 1) // 3},d}" if least else f"{int(left):,d}"
    return left + point + right.rstrip("0").ljust(places.count("0"), "0")


def _fraction(number: Decimal, below: str) -> str:
    most = int(below) if below.isdigit() and int(below) else 10 ** len(below) - 1
    whole, part = divmod(Fraction(abs(number)).limit_denominator(most), 1)
    return " ".join([*([str(whole)] if whole or not part else []), *([str(part)] if part else [])])
