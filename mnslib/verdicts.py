"""Verdicts as texts: a word, or `unknown: <reason>`; made and taken apart here and nowhere else.

Knows none of the words but `unknown`; which there are is the business of who judges.

    >>> word(unknown("no quota")), unknown_reason("unknown: no quota"), unknown_reason("full")
    ('unknown', 'no quota', None)
"""

from collections.abc import Iterable

UNKNOWN = "unknown"


def unknown(reason: str) -> str:
    """Return the verdict on what could not be judged."""
    return f"{UNKNOWN}: {reason}"


def word(verdict: str) -> str:
    """Return a verdict's word, without a reason."""
    return verdict.partition(":")[0].strip()


def unknown_reason(verdict: str) -> str | None:
    """Return why a verdict is unknown, None if it is not."""
    if word(verdict) != UNKNOWN:
        return None
    return verdict.partition(":")[2].strip() or "no reason given"


def one_reason(verdicts: Iterable[str]) -> str:
    """Return why all of them are unknown, empty where the reasons differ."""
    reasons = {unknown_reason(verdict) for verdict in verdicts}
    return (reasons.pop() or "") if len(reasons) == 1 else ""
