"""How numbers, dates and counts read in charts, pages and notebooks: one notation everywhere.

Pure; knows nothing of figures or HTML. Amounts are cores or bytes, ratios are 0 to 1 and more.
None and NaN are "unknown", never 0.

    >>> rounded_text("memory_request", 3.2 * 2**30)
    '3.2 GiB'
    >>> percent(0.9375)
    '94 %'
"""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import SupportsFloat

from mnslib import quantities, verdicts

UNKNOWN = verdicts.UNKNOWN
MINUS, RESOURCE_WORDS = quantities.MINUS, quantities.RESOURCE_WORDS
number_text = quantities.number_text
"""An amount for reading."""
rounded_text = quantities.rounded_text
"""Cores or bytes for reading with the unit, by the resource's name (`cpu_limit`)."""
amount_text = quantities.amount_text
"""A quota exactly, with its unit."""
cores, memory = partial(rounded_text, "cpu"), partial(rounded_text, "memory")
"""CPU for reading, `0.25 cores`; bytes in GiB, or in MiB under 1 GiB."""

count, day = quantities.count_text, quantities.day_text
"""A count with its noun, `1,204 namespaces`; a day without its year, `2 Nov`."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EXAMPLES = 4
"""Worst examples that a box names; the table below it holds all."""
_FLOAT32_NOISE = 1e-5
"""In percent: a ratio of two float32 samples may lie this much below its true value."""
_VERDICT_PERCENTS = (90, 100)
"""Where a verdict begins: what is below one of them never reads like it."""


def exact(value: SupportsFloat | None) -> str:
    """Return an amount to its third decimal, so that quotas add up: `374.5`, `0.125`, `1,260`."""
    return quantities.decimal_text(value, places=3)


def quota_sum(resource: str, value: SupportsFloat | None) -> str:
    """Return a sum of quotas with its unit: exactly, but without decimals above 100."""
    if value is None or quantities.is_unknown(value):
        return UNKNOWN
    divisor = 1 if resource.startswith("cpu") else quantities.memory_unit(value)[0]
    return (rounded_text if float(value) >= 100 * divisor else amount_text)(resource, value)


def percent(ratio: SupportsFloat | None) -> str:
    """Return a ratio as whole percent; less than 90 % or all never reads `90 %` or `100 %`."""
    if ratio is None or quantities.is_unknown(ratio):
        return UNKNOWN
    if math.isinf(float(ratio)):
        return "over 100 %"
    exactly = float(ratio) * 100 + _FLOAT32_NOISE
    whole = math.floor(exactly + 0.5)
    if exactly < whole and whole in _VERDICT_PERCENTS:
        whole -= 1
    return f"{min(whole, 99) if float(ratio) < 1 else whole:,} %".replace("-", MINUS)


def times(ratio: SupportsFloat | None) -> str:
    """Return an overcommit ratio: `1.53×`."""
    if ratio is None or quantities.is_unknown(ratio):
        return UNKNOWN
    return f"{Decimal(str(ratio)).quantize(Decimal('0.01'), ROUND_HALF_UP, quantities.WIDE):,}×"


def commitment(verdict: str, committed_ratio: SupportsFloat | None) -> str:
    """Return the verdict on a cluster (`mnslib.commitment`) in words that say what is wrong."""
    if verdict == "quota overcommit":
        return f"commits {times(committed_ratio).replace('×', ' ×')} what it has"
    return {"overcommit": "cannot lose a node", "room": "headroom"}.get(verdict, verdict)


def headroom(resource: str, amount: SupportsFloat | None) -> str:
    """Return what a cluster can still commit: `headroom 8 cores`, `no headroom`."""
    return f"headroom {rounded_text(resource, amount)}" if amount else "no headroom"


def short(name: str) -> str:
    """Return a name as it stands in titles and legends."""
    return cut_middle(name, 32)


def weekday(value: date) -> str:
    """Return a day with its weekday: `Mon 5 Oct`."""
    return f"{_WEEKDAYS[value.weekday()]} {day(value)}"


def moment(value: datetime) -> str:
    """Return a point in time: `2 Nov 2026 06:12 UTC`.

    Raises:
        ValueError: if it has no time zone.
    """
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    at = value.astimezone(UTC)
    return f"{day(at)} {at:%Y %H:%M} UTC"


def period(start: date, end: date) -> str:
    """Return a span of days, the year once: `2 Oct to 2 Nov 2026`; of one, that day."""
    first, last = (f"{day(one)} {one.year}" for one in (start, end))
    first = day(start) if start.year == end.year else first
    return last if start == end else f"{first} to {last}"


def duration(seconds: float) -> str:
    """Return a duration: `under 1 s`, `24 s`, `3 min 43 s`, `2 h 5 min`."""
    if 0 < seconds < 1:
        return "under 1 s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def listing(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def examples(lines: Sequence[str], *, joint: str) -> str:
    """Return the first lines, joined, and how many more there are."""
    more = [f"and {len(lines) - EXAMPLES} more"] if len(lines) > EXAMPLES else []
    return joint.join([*lines[:EXAMPLES], *more])


def cut_middle(text: str, length: int) -> str:
    """Return `text` in at most `length` characters, cut in the middle: prefix and suffix stay.

    A sentence is cut at its words, so that no number in it is another.
    """
    if len(text) <= length:
        return text
    if " " in text:
        if first := text[: max(0, length - 1)].rpartition(" ")[0]:
            return f"{first} …"
        return cut_middle(f"{text.partition(' ')[0]}…", length)
    tail = max(1, (length - 1) * 2 // 5)
    head = max(1, length - 1 - tail)
    return f"{text[:head]}…{text[len(text) - tail :]}"
