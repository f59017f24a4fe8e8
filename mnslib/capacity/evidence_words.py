"""The words of evidence, each with its one meaning, and the sentences that say why: `words.yaml`.

Pure text: takes a row whose facts are known (`evidence`), decides no word itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from mnslib.capacity.quota_values import NO_QUOTA, UNCOUNTED
from mnslib.packaged import packaged
from mnslib.quantities import amount_text, count_text, day_text
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

_WORDS = packaged("mnslib.capacity", "words")["evidence"]
EVIDENCE = tuple(_WORDS)
"""The words of evidence in the order in which one outdoes another."""


def _those(flag: str) -> tuple[str, ...]:
    return tuple(word for word, about in _WORDS.items() if flag in about)


NEEDS_SOMEBODY, NO_PEAK, WHOLE = map(_those, ("mend", "no_peak", "whole"))
"""Words that ask for somebody to mend something; those under which samples are wrong, so that no
peak is known; those under which nothing of the lookback is unseen."""

Row = Mapping[Any, Any]


def texts(row: Row) -> tuple[str, str, str]:
    """Return a row's reason, and the verdicts on its figures of now and of the lookback.

    A verdict is empty where the figures hold, else `unknown: <reason>`.
    """
    facts = _facts(row)
    said = {word: about["said"].format_map(facts) for word, about in _WORDS.items()}
    reason = said[row["evidence"]]
    if not row["has_quota"]:
        return reason, NO_QUOTA, NO_QUOTA
    now, history = (_why_not_now(row, said), _why_no_history(row, said))
    return reason, unknown(now) if now else "", unknown(history) if history else ""


def _why_not_now(row: Row, said: Mapping[str, str]) -> str:
    if row["cut_off"] or not row["is_counted"]:
        return said["not read"] or UNCOUNTED
    if row["is_doubted"] and not (row["is_wrong"] and row["counted"] > 0):
        return said["all zero"]
    if row["is_wrong"]:
        return said["wrong counter"]
    is_lost = not row["is_live"] and row["evidence"] in ("stale", "no history")
    return said[row["evidence"]] if is_lost else ""


def _why_no_history(row: Row, said: Mapping[str, str]) -> str:
    if not row["lookback"]:
        return "no history was read"
    if row["is_wrong"] and not row["is_zero"]:
        return said["wrong counter"]
    if row["is_zero"] and not row["is_empty"]:
        return said["all zero"]
    if row["evidence"] == "no history" or (row["evidence"] == "stale" and row["is_old"]):
        return said[row["evidence"]]
    if row["seen"] == 0 and row["is_empty"]:
        return ""
    if row["seen_for"] < LEAST_HISTORY:
        return f"too short: {said['too short']}"
    too_few = row["coverage"] < LEAST_COVERAGE
    return f"gaps: samples for {_share(row)} of the time" if too_few else ""


def _facts(row: Row) -> dict[str, str]:
    """Return the facts of a row in words, as the reasons name them."""
    facts = {name: _length(row[name]) for name in ("lookback", "seen_for", "gap_for")}
    for name in ("first_sample", "last_sample", "gap_from", "gap_until", "changed"):
        facts[f"{name}_utc"] = _moment(row[f"{name}_utc"])
    for name in ("counted", "asked", "before", "after"):
        facts[name] = amount_text(row["resource"], row[name])
    runs = row["resource"] in USAGE_FIELDS
    zeros = f"zero while its pods {'run' if runs else 'ask for more'}"

    def missing(share: float, none: str) -> str:
        """Return what a gap is made of, of which a share are zeros that cannot be true."""
        return none if not share else f"{zeros}," if share == 1 else f"{none}, or {zeros},"

    if runs:
        zero = "all zero: dead sensor"
    elif row["asked"] > 0:
        zero = f"all zero while pods ask for {facts['asked']}"
    elif row["is_live"] and row["counted"] > 0:
        zero = f"all zero while now {facts['counted']} are counted"
    else:
        zero = "all zero while there are series of its pods" if row["is_dead"] else "all zero"
    first, until = facts["first_sample_utc"], facts["gap_until_utc"]
    return facts | {
        "zero": zero,
        "cut_off": row["cut_off"],
        "asked": re.sub(" cores?$", "", facts["asked"]) if row["asked"] else "nothing",
        "begin": f"first sample {first}" if first else "no sample yet",
        "end": f"to {until}" if until else "on",
        "coverage": _share(row),
        "last": f", the last of {row['changes']} changes" if row["changes"] > 1 else "",
        "late": missing(row["late_untrue"], "no sample"),
        "torn": missing(row["gap_untrue"], "no samples"),
        "least": _length(LEAST_HISTORY),
    }


def _share(row: Row) -> str:
    return f"{row['coverage']:.0%}".replace("%", " %")


def _length(time: timedelta) -> str:
    hours = round(time / timedelta(hours=1))
    amount, unit = (hours // 24, "day") if hours >= 24 and hours % 24 == 0 else (hours, "hour")
    if amount > 48 and unit == "hour":
        amount, unit = round(hours / 24), "day"
    return count_text(amount, unit)


def _moment(value: datetime) -> str:
    """Return a moment, empty for none."""
    return "" if pd.isna(value) else f"{day_text(value)} {value:%H:%M} UTC"
