"""What a cell shows is what a spreadsheet shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnslib.requests.sheets import displayed, number_text


@pytest.mark.parametrize(
    ("value", "code", "seen"),
    [
        (7, "000", "007"),
        (0.5, "0%", "50%"),
        (0.125, "0.0%", "12.5%"),
        (1500, '0"m"', "1500m"),
        (1500, r"0\m", "1500m"),
        (2, 'General" cores"', "2 cores"),
        (2, "0.00", "2.00"),
        (2, "#.##", "2."),
        (0.5, ".00", ".50"),
        (0, "#", ""),
        (1.5, "0", "2"),
        (1.25, "0.0", "1.3"),
        (7, "#,##0", "7"),
        (1500, "#,##0", "1,500"),
        (2, '_("$"* #,##0.00_)', "$2.00"),
        (2, "[$€-407] 0.00", "€ 2.00"),
        (-3, "0", "-3"),
        (-3, "0;(0)", "(3)"),
        (0, '0;0;"none"', "none"),
        (3, "[Red]0", "3"),
        (3, ";;;", ""),
        (3, '"x"', "x"),
        (123_456_789_012, "General", "1.23457E+11"),
        (12_345_678_901, "General", "12345678901"),
        (2, '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)', "2.00"),
        ("500m", '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)', "500m"),
        ("500", '@"m"', "500m"),
        ("500", '0;0;0;"about "@', "about 500"),
        ("500", ";;;", ""),
        ("500", '0"m"', "500"),
    ],
)
def test_a_format_shows(value: str | float, code: str, seen: str) -> None:
    assert displayed(value, code) == seen


@pytest.mark.parametrize(
    "code",
    ["# ?/?", "# ?/8", "0.00E+00", "0,", "0.0,,", "0,000", '[>=5]0,"k";0', "[<5]0;0", '0";"'],
)
def test_what_another_format_shows_is_not_guessed(code: str) -> None:
    assert displayed(7, code) is None


@given(st.integers(0, 10**9) | st.floats(0, 1e9).map(lambda one: round(one, 3)))
def test_plain_formats_show_the_number_itself(value: float) -> None:
    for code in ("General", "@", "0.######", "[Blue]0.######;-0"):
        assert displayed(value, code).rstrip(".") == number_text(value)
