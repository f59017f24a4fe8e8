from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnslib.show import wording

GIB = 2**30


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"), (0.004, "under 0.01"), (0.25, "0.25"), (0.996, "1"), (7.12, "7.1"),
        (99.96, "100"), (144.5, "145"), (1260, "1,260"), (-59.5, "−59.5"), (Decimal("0.7"), "0.7"),
        (None, "unknown"), (float("nan"), "unknown"), (pd.NA, "unknown"), (float("inf"), "∞"),
    ],
)  # fmt: skip
def test_amounts_are_rounded_for_reading(amount, text):
    assert wording.number_text(amount) == text


@pytest.mark.parametrize(
    ("resource", "amount", "text"),
    [
        ("cpu_request", 1, "1 core"), ("cpu_limit", 0.25, "0.25 cores"),
        ("cpu", 0.001, "under 0.01 cores"), ("cpu", 0, "0 cores"),
        ("memory_request", 3.2 * GIB, "3.2 GiB"), ("memory", GIB // 2, "512 MiB"),
        ("memory", 0, "0 GiB"), ("memory_limit", None, "unknown"),
    ],
)  # fmt: skip
def test_quantities_carry_their_unit(resource, amount, text):
    assert wording.rounded_text(resource, amount) == text


def test_quotas_are_exact_so_that_differences_add_up():
    assert wording.amount_text("cpu_request", 374.5) == "374.5 cores"
    assert wording.amount_text("cpu_request", 0.125) == "0.125 cores"
    assert wording.amount_text("memory_limit", 1536 * GIB) == "1,536 GiB"
    assert wording.amount_text("memory_limit", None) == "unknown"


def test_percents_are_rounded():
    assert wording.percent(37.5 / 40) == "94 %"
    assert wording.percent(0.934) == "93 %"


def test_less_than_a_verdict_asks_for_never_reads_like_it():
    assert wording.percent(0.8999) == "89 %"
    assert wording.percent(0.996) == "99 %"
    assert wording.percent(1 - 1e-9) == "99 %"
    assert wording.percent(1) == "100 %"
    assert wording.percent(1.304) == "130 %"


@given(st.integers(0, 300))
def test_whole_percents_survive_the_way_through_a_ratio(percent):
    assert wording.percent(percent / 100) == f"{percent} %"


def test_ratios_without_a_number_are_unknown():
    assert wording.percent(None) == wording.times(float("nan")) == "unknown"
    assert wording.percent(float("inf")) == "over 100 %"


@pytest.mark.parametrize(
    ("resource", "amount", "text"),
    [("cpu", 172.15, "172 cores"), ("cpu", 99.75, "99.75 cores"), ("cpu", 1, "1 core"),
     ("memory", 512.25 * 2**30, "512 GiB"), ("memory", 20.75 * 2**30, "20.75 GiB"),
     ("cpu", float("nan"), "unknown"), ("cpu", None, "unknown")],
)  # fmt: skip
def test_a_sum_of_quotas_is_exact_up_to_100_and_whole_above(resource, amount, text):
    assert wording.quota_sum(resource, amount) == text


def test_overcommit():
    assert wording.times(Decimal("1.528")) == "1.53×"


def test_moments_are_said_in_utc():
    plus_two = timezone(timedelta(hours=2))
    assert wording.moment(datetime(2026, 11, 2, 8, 12, tzinfo=plus_two)) == "2 Nov 2026 06:12 UTC"
    with pytest.raises(ValueError, match="no time zone"):
        wording.moment(datetime(2026, 11, 2))


def test_days_name_the_year_once():
    assert wording.weekday(date(2026, 10, 5)) == "Mon 5 Oct"
    assert wording.period(date(2026, 10, 2), date(2026, 11, 2)) == "2 Oct to 2 Nov 2026"
    assert wording.period(date(2025, 12, 9), date(2026, 1, 2)) == "9 Dec 2025 to 2 Jan 2026"
    assert wording.day(datetime(2026, 11, 2, tzinfo=UTC)) == "2 Nov"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.2, "under 1 s"), (24, "24 s"), (59.6, "1 min 0 s"), (223, "3 min 43 s"),
     (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


def test_counts_mind_singular_and_plural():
    assert wording.count(1, "namespace") == "1 namespace"
    assert wording.count(1204, "namespace") == "1,204 namespaces"
    assert wording.listing([]) == ""
    assert wording.listing(["a"]) == "a"
    assert wording.listing(["a", "b", "c"]) == "a, b and c"


@given(st.text(min_size=1, max_size=80).filter(lambda name: " " not in name), st.integers(3, 80))
def test_long_names_keep_their_beginning_and_their_end(name, length):
    cut = wording.cut_middle(name, length)
    assert len(cut) <= max(length, 3)
    assert (cut[0], cut[-1]) == (name[0], name[-1])
    assert cut == name or "…" in cut


@given(
    st.lists(st.sampled_from(["used", "1.25", "cores", "of", "16.5"]), min_size=2),
    st.integers(8, 40),
)
def test_sentences_are_cut_at_words_so_that_no_number_is_another(words, length):
    text = " ".join(words)
    cut = wording.cut_middle(text, length)
    assert len(cut) <= length
    assert cut == text or [*words[: len(cut.split()) - 1], "…"] == cut.split()
