"""The words of evidence, each with its one meaning, and the sentences that say why.

Pure text: takes a row whose facts are known (`evidence`), decides no word itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from mnslib.capacity.quota_values import BARE, NO_QUOTA, UNCOUNTED
from mnslib.quantities import amount_text
from mnslib.verdicts import unknown

USAGE_FIELDS = ("cpu_usage", "memory_usage")
"""Rows on what pods were measured to use; the others are on quota counters."""

LEAST_HISTORY = timedelta(days=2)
"""Samples that advice needs. Source: Kruize, whose term of 7 days needs 2 days of data."""

LEAST_COVERAGE = 0.5
"""Share of the steps since the first sample that advice needs. Source: Kruize, 8 of 15 days."""

GOOD_COVERAGE = 0.95
LONG_GAP = timedelta(days=1)
"""A series has gaps under that share, or with a gap of that length: a whole day's peak may then be
unseen. Our choice."""

LATE_STEPS = 3
LATE = timedelta(hours=1)
"""The last sample is too old when both are missing behind it: a scrape and its ingestion take
minutes. Our choice."""

NEW_FOR = timedelta(days=1)
"""A namespace without samples is new for so long after it or a quota of it was made, and unknown
after that. Our choice: a scrape and its ingestion take minutes, a fault that lasts a day is one."""

_REASONS = {
    "wrong counter": "the quota counter says {counted}, pods ask for {asked}",
    "dead sensor": "{zero}",
    "all zero": "{zero}",
    "not read": "{cut_off}",
    "not counted": UNCOUNTED,
    "stale": "{late} since {last_sample_utc}",
    "no history": "no sample in {lookback}",
    "new": "{begin}: too short for advice, which needs {least}",
    "gaps": "{torn} for {gap_for} from {gap_from_utc} {end}, {coverage} of the time seen",
    "too short": "{seen_for} of samples, advice needs {least}",
    "quota changed": "quota changed {changed_utc} from {before} to {after}{last}",
    "no pods": "zero, and that is true: no pod asks for anything",
    "sound": "",
    "no quota": BARE,
}
"""What is said under each word of evidence; docs/capacity.md tells what the words mean."""

EVIDENCE = tuple(_REASONS)
"""The words of evidence in the order in which one outdoes another."""

NEEDS_SOMEBODY = (
    "wrong counter", "dead sensor", "all zero", "not read", "not counted", "stale", "no history",
    "gaps",
)  # fmt: skip
"""Words that ask for somebody to mend something; after the others time does, or nothing has to."""

NO_PEAK = ("wrong counter", "dead sensor", "all zero")
"""Words under which the samples themselves are wrong, so that no peak is known."""

Row = Mapping[Any, Any]
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def texts(row: Row) -> tuple[str, str, str]:
    """Return a row's reason, and the verdicts on its figures of now and of the lookback.

    A verdict is empty where the figures hold, else `unknown: <reason>`.
    """
    reason = _said(row["evidence"], row)
    if not row["has_quota"]:
        return reason, NO_QUOTA, NO_QUOTA
    now, history = (
        unknown(why) if why else "" for why in (_why_not_now(row), _why_no_history(row))
    )
    return reason, now, history


def _said(word: str, row: Row) -> str:
    return _REASONS[word].format_map(_Facts(row))


def _why_not_now(row: Row) -> str:
    if row["cut_off"]:
        return str(row["cut_off"])
    if not row["is_counted"]:
        return UNCOUNTED
    if row["is_doubted"] and not (row["is_wrong"] and row["counted"] > 0):
        return _zero(row)
    if row["is_wrong"]:
        return _said("wrong counter", row)
    is_lost = not row["is_live"] and row["evidence"] in ("stale", "no history")
    return _said(row["evidence"], row) if is_lost else ""


def _why_no_history(row: Row) -> str:
    if not row["lookback"]:
        return "no history was read"
    if row["is_wrong"] and not row["is_zero"]:
        return _said("wrong counter", row)
    if row["is_zero"] and not row["is_empty"]:
        return _zero(row)
    if row["evidence"] == "no history" or (row["evidence"] == "stale" and row["is_old"]):
        return _said(row["evidence"], row)
    if row["seen"] == 0 and row["is_empty"]:
        return ""
    if row["seen_for"] < LEAST_HISTORY:
        return f"too short: {_said('too short', row)}"
    return (
        f"gaps: samples for {_share(row)} of the time" if row["coverage"] < LEAST_COVERAGE else ""
    )


class _Facts:
    """The facts of a row in words, each when it is asked for: others may be unknown."""

    def __init__(self, row: Row) -> None:
        self._row = row

    def __getitem__(self, name: str) -> str:
        if name in _WORDS:
            return _WORDS[name](self._row)
        value = self._row[name]
        if isinstance(value, timedelta):
            return _length(value)
        if isinstance(value, datetime):
            return _moment(value)
        return value if isinstance(value, str) else amount_text(self._row["resource"], value)


def _asked(row: Row) -> str:
    asked = amount_text(row["resource"], row["asked"]) if row["asked"] else "nothing"
    return asked.removesuffix(" cores").removesuffix(" core")


def _zero(row: Row) -> str:
    if row["resource"] in USAGE_FIELDS:
        return "all zero: dead sensor"
    if row["asked"] > 0:
        return f"all zero while pods ask for {amount_text(row['resource'], row['asked'])}"
    if row["is_live"] and row["counted"] > 0:
        return f"all zero while now {amount_text(row['resource'], row['counted'])} are counted"
    return "all zero while there are series of its pods" if row["is_dead"] else "all zero"


def _missing(row: Row, share: float, none: str) -> str:
    """Return what a gap is made of, of which a share are zeros that cannot be true."""
    if not share:
        return none
    zeros = "zero while its pods " + ("run" if row["resource"] in USAGE_FIELDS else "ask for more")
    return f"{zeros}," if share == 1 else f"{none}, or {zeros},"


def _share(row: Row) -> str:
    return f"{row['coverage']:.0%}".replace("%", " %")


def _begin(row: Row) -> str:
    first = row["first_sample_utc"]
    return "no sample yet" if pd.isna(first) else f"first sample {_moment(first)}"


def _end(row: Row) -> str:
    until = row["gap_until_utc"]
    return "on" if pd.isna(until) else f"to {_moment(until)}"


def _length(time: timedelta) -> str:
    hours = round(time / timedelta(hours=1))
    amount, unit = (hours // 24, "day") if hours >= 24 and hours % 24 == 0 else (hours, "hour")
    if amount > 48 and unit == "hour":
        amount, unit = round(hours / 24), "day"
    return f"{amount:,} {unit}{'' if amount == 1 else 's'}"


def _moment(value: datetime) -> str:
    return f"{value.day} {_MONTHS[value.month - 1]} {value:%H:%M} UTC"


_WORDS: Mapping[str, Callable[[Row], str]] = {
    "asked": _asked,
    "begin": _begin,
    "coverage": _share,
    "end": _end,
    "last": lambda row: f", the last of {row['changes']} changes" if row["changes"] > 1 else "",
    "late": lambda row: _missing(row, row["late_untrue"], "no sample"),
    "least": lambda _: _length(LEAST_HISTORY),
    "torn": lambda row: _missing(row, row["gap_untrue"], "no samples"),
    "zero": _zero,
}
