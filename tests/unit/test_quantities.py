"""Amounts are read exactly and written in the form that ARM takes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnslib.quantities import (
    LARGEST,
    amount_text,
    format_cpu,
    format_memory,
    parse_quantity,
    read_quantity,
    server_text,
    size_problems,
    two_readings,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500m", "0.5"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("2.", "2"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1E", "1000000000000000000"),
        ("12e-3", "0.012"),
        ("100u", "0.0001"),
        ("5n", "0.000000005"),
        ("1k", "1000"),
        ("1Ki", "1024"),
        ("0.9Gi", "966367641.6"),
        ("0", "0"),
        (" 2Gi ", "2147483648"),
        ("+3", "3"),
    ],
)
def test_every_form_of_the_grammar_is_read_exactly(text: str, amount: str) -> None:
    assert parse_quantity(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text", ["", "m", "1gi", "1GB", "0,5", "1 Gi", "1e", "1Kim", "--1", "NaN", "٣"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


def test_negative_and_too_large_amounts_are_refused() -> None:
    with pytest.raises(ValueError, match="is negative"):
        parse_quantity("-1m")
    assert parse_quantity("9223372036854775807") == LARGEST
    with pytest.raises(ValueError, match="larger than"):
        parse_quantity("8Ei")


@pytest.mark.parametrize("text", ["9" * 2_000_000, "0." + "0" * 2_000_000 + "1"])
def test_a_number_beyond_all_counting_is_refused_like_any_other(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("1.000m", ("1m", "1000m")),
        (" 1,000 Mi ", ("1Mi", "1000Mi")),
        ("125.500", ("125.5", "125500")),
        *[
            (text, ())
            for text in ("0.125", "01.000", "1.00", "1.0000", "1000.000", "1.000.000", "٣.٠٠٠")
        ],
    ],
)
def test_a_decimal_sign_that_may_separate_thousands_leaves_two_readings(
    text: str, readings: tuple[str, ...]
) -> None:
    assert two_readings(text) == readings


def test_a_size_that_may_mean_two_is_refused_with_both() -> None:
    found = size_problems({"new_cpu": "1.000", "new_memory": "1,024Gi"})
    assert {name: text.split(";")[0] for name, text in found.items()} == {
        "new_cpu": "new_cpu: '1.000' may mean 1 or 1000",
        "new_memory": "new_memory: '1,024Gi' may mean 1.024Gi or 1024Gi",
    }


def test_the_same_amount_in_other_words_is_the_same_number() -> None:
    assert parse_quantity("1024Mi") == parse_quantity("1Gi") == parse_quantity("1073741824")


def test_amounts_are_written_as_arm_takes_them() -> None:
    assert format_cpu(Decimal("1.5")) == "1500m"
    assert format_cpu(Decimal(0)) == "0m"
    assert format_memory(Decimal(2**30) * Decimal("1.5")) == "1536Mi"
    assert format_memory(Decimal(0)) == "0Mi"


def test_amounts_that_arm_cannot_take_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.0005 cores is not a whole number of millicores"):
        format_cpu(Decimal("0.0005"))
    with pytest.raises(ValueError, match="1000 bytes is not a whole number of KiB"):
        format_memory(Decimal(1000))


@given(st.integers(min_value=0, max_value=10**12))
def test_cpu_comes_back_from_its_own_text(millicores: int) -> None:
    cores = Decimal(millicores) / 1000
    assert parse_quantity(format_cpu(cores)) == cores


@given(st.integers(min_value=0, max_value=2**53 - 1))
def test_memory_comes_back_from_its_own_text(kibibytes: int) -> None:
    amount = Decimal(kibibytes * 1024)
    text = format_memory(amount)
    assert parse_quantity(text) == amount
    assert text[-2:] in {"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}


@pytest.mark.parametrize(
    ("resource", "amount", "words"),
    [
        ("cpu_request", 1.0, "1 core"),
        ("cpu_limit", 1260.5, "1,260.5 cores"),
        ("memory_request", 0, "0 GiB"),
        ("memory_limit", 512 * 2**20, "512 MiB"),
        ("memory_limit", 1088 * 2**20, "1.063 GiB"),
        ("cpu_request", float("inf"), "∞ cores"),
    ],
)
def test_an_amount_is_read_with_its_unit_to_the_third_decimal(resource, amount, words):
    assert amount_text(resource, amount) == words


@pytest.mark.parametrize(
    ("text", "amount", "written"),
    [
        ("1536Mi", 1536 * 2**20, "1536Mi"),
        ("1000000", 10**6, "1M"),
        ("0.5", "0.5", "500m"),
        ("1500u", "0.002", "2m"),  # rounded up to thousandths
        ("0.9Gi", "966367641.6", "966367641600m"),
        ("512", 512, "512"),
        ("0.5Ki", 512, "512"),
        ("8Ei", 2**63 - 1, "9223372036854775807"),
        ("100E", 10**20, "100E"),
        ("1e30", 10**30, "1e30"),
        ("1e3", 1000, "1e3"),
        ("0.5e3", 500, "500"),
        ("-2Gi", -(2**31), "-2Gi"),
        ("0", 0, "0"),
    ],
)
def test_an_amount_of_an_api_server_is_read_and_written_as_it_does(
    text: str, amount: int | str, written: str
) -> None:
    found = read_quantity(text)
    assert found == Decimal(amount)
    assert server_text(found) == written


@pytest.mark.parametrize("text", ["1e400", "?", "1" * 101])
def test_an_amount_that_cannot_be_counted_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|beyond"):
        read_quantity(text)


def test_an_amount_of_any_size_has_words() -> None:
    assert amount_text("cpu", read_quantity("1e30")).endswith("000 cores")
