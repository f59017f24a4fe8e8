"""The words of evidence, each with its one meaning, and the sentences that say why.

Pure text: takes a row whose facts are known (`evidence`), decides no word itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
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

EVIDENCE = {
    "wrong counter": "the quota counter is far from what the pods there ask for",
    "dead sensor": "all samples are zero while something else says that there is use",
    "all zero": "all samples are zero, and nothing says whether that is true",
    "not read": "the cluster could not be read, so nothing is known of now",
    "not counted": "the quota controller has not counted yet",
    "stale": "the last sample is too old, or what came after it is zero and cannot be",
    "no history": "there is no sample in the lookback",
    "new": "first seen within the lookback, and too short ago for advice",
    "gaps": "samples are missing, or zero and cannot be, for a day or more or over 5 % of the time",
    "too short": "less than two days of samples, though it is not new",
    "quota changed": "the hard quota changed in the lookback; each step is held against its own",
    "no pods": "all samples are zero, and that is true: no pod asks for anything",
    "sound": "nothing speaks against the figures",
    "no quota": "no quota object names this value",
}
"""The words of evidence, each with its one meaning, in the order in which one outdoes another."""

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
    reason = _REASONS[row["word"]](row)
    if not row["has_quota"]:
        return reason, NO_QUOTA, NO_QUOTA
    return reason, _unknown(_why_not_now(row)), _unknown(_why_no_history(row))


def _unknown(reason: str) -> str:
    return unknown(reason) if reason else ""


def _why_not_now(row: Row) -> str:
    if row["cut_off"]:
        return str(row["cut_off"])
    if not row["is_counted"]:
        return UNCOUNTED
    if row["is_doubted"] and not (row["is_wrong"] and row["counted"] > 0):
        return _zero(row)
    if row["is_wrong"]:
        return _wrong(row)
    if not row["is_live"] and row["word"] in ("stale", "no history"):
        return _REASONS[row["word"]](row)
    return ""


def _why_no_history(row: Row) -> str:
    if not row["lookback"]:
        return "no history was read"
    if row["is_wrong"] and not row["is_zero"]:
        return _wrong(row)
    if row["is_zero"] and not row["is_empty"]:
        return _zero(row)
    if row["word"] == "no history" or (row["word"] == "stale" and row["is_old"]):
        return _REASONS[row["word"]](row)
    if row["seen"] == 0 and row["is_empty"]:
        return ""
    if row["seen_for"] < LEAST_HISTORY:
        return f"too short: {_samples(row)}"
    if row["coverage"] < LEAST_COVERAGE:
        return f"gaps: samples for {row['coverage']:.0%} of the time".replace("%", " %")
    return ""


# In words


def _wrong(row: Row) -> str:
    counted = amount_text(row["resource"], row["counted"])
    asked = amount_text(row["resource"], row["asked"]) if row["asked"] else "nothing"
    if row["resource"].startswith("cpu") and row["asked"]:
        asked = asked.removesuffix(" cores").removesuffix(" core")
    return f"the quota counter says {counted}, pods ask for {asked}"


def _zero(row: Row) -> str:
    if row["resource"] in USAGE_FIELDS:
        return "all zero: dead sensor"
    if row["asked"] > 0:
        return f"all zero while pods ask for {amount_text(row['resource'], row['asked'])}"
    if row["is_live"] and row["counted"] > 0:
        return f"all zero while now {amount_text(row['resource'], row['counted'])} are counted"
    return "all zero while there are series of its pods" if row["is_dead"] else "all zero"


def _stale(row: Row) -> str:
    what = _missing(row, row["late_untrue"], none="no sample")
    return f"{what} since {_moment(row['last_sample_utc'])}"


def _missing(row: Row, share: float, *, none: str) -> str:
    """Return what a gap is made of, of which a share are zeros that cannot be true."""
    if not share:
        return none
    zeros = "zero while its pods " + ("run" if row["resource"] in USAGE_FIELDS else "ask for more")
    return f"{zeros}," if share == 1 else f"{none}, or {zeros},"


def _no_history(row: Row) -> str:
    return f"no sample in {_length(row['lookback'])}"


def _gaps(row: Row) -> str:
    length = _length(row["gap_for"])
    until = row["gap_until_utc"]
    end: str = f" to {_moment(until)}" if not pd.isna(until) else " on"
    what = _missing(row, row["gap_untrue"], none="no samples")
    return (
        f"{what} for {length} from {_moment(row['gap_from_utc'])}{end}, "
        f"{row['coverage']:.0%} of the time seen"
    ).replace("%", " %")


def _samples(row: Row) -> str:
    length = _length(row["seen_for"])
    return f"{length} of samples, advice needs {_length(LEAST_HISTORY)}"


def _new(row: Row) -> str:
    first = row["first_sample_utc"]
    begin: str = "no sample yet" if pd.isna(first) else f"first sample {_moment(first)}"
    return f"{begin}: too short for advice, which needs {_length(LEAST_HISTORY)}"


def _changed(row: Row) -> str:
    before, after = (amount_text(row["resource"], row[side]) for side in ("before", "after"))
    last = f", the last of {row['changes']} changes" if row["changes"] > 1 else ""
    return f"quota changed {_moment(row['changed_utc'])} from {before} to {after}{last}"


_REASONS: dict[str, Callable[[Row], str]] = {
    "wrong counter": _wrong,
    "dead sensor": _zero,
    "all zero": _zero,
    "not read": lambda row: str(row["cut_off"]),
    "not counted": lambda row: UNCOUNTED,
    "stale": _stale,
    "no history": _no_history,
    "gaps": _gaps,
    "new": _new,
    "too short": _samples,
    "quota changed": _changed,
    "no pods": lambda row: "zero, and that is true: no pod asks for anything",
    "sound": lambda row: "",
    "no quota": lambda row: BARE,
}


def _length(time: timedelta) -> str:
    hours = round(time / timedelta(hours=1))
    amount, unit = (hours // 24, "day") if hours >= 24 and hours % 24 == 0 else (hours, "hour")
    if amount > 48 and unit == "hour":
        amount, unit = round(hours / 24), "day"
    return f"{amount:,} {unit}{'' if amount == 1 else 's'}"


def _moment(value: Any) -> str:
    return f"{value.day} {_MONTHS[value.month - 1]} {value:%H:%M} UTC"
