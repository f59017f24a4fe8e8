"""Kubernetes quantities: parse, add, and write in the API server's canonical form.

Source: Kubernetes API reference, `resource.Quantity`; apimachinery `pkg/api/resource/quantity.go`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i)|([numkMGTPE]?)|[eE]([+-]?\d{1,3}))")
_SHAPE = "([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)"
_LARGEST = 2**63 - 1  # what is written with a power of 1024 or more than 18 digits ends there
_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount as an API server keeps it: a value, and the form that it is written in."""

    value: Fraction
    form: str = "decimal"  # or binary, or exponent

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.value + other.value, self.form if self.value else other.form)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.value - other.value, self.form if self.value else other.form)

    def __str__(self) -> str:
        text = canonical(self.value, binary=self.form == "binary")
        if self.form == "exponent" and self.value:
            value = _rounded(self.value)
            power = next(p for p in range(40, -4, -1) if _whole(value, p))
            text = f"{value / Fraction(1000) ** power}" + (f"e{3 * power}" if power else "")
        return text


ZERO = Amount(Fraction(0))
ONE = Amount(Fraction(1))


@lru_cache(maxsize=50_000)
def exact(text: str) -> Amount:
    """Return a quantity as it is written: its value in base units (cores, bytes), and its form.

    Raises:
        ValueError: in the API server's words, if it is not a quantity.
    """
    match = _FORM.fullmatch(text)
    if not match:
        if re.fullmatch(_SHAPE, text) and text.count(".") < 2:
            raise ValueError("unable to parse quantity's suffix")
        raise ValueError(f"quantities must match the regular expression '^{_SHAPE}$'")
    number, binary, decimal, exponent = match.groups()
    if binary:
        return Amount(Fraction(number) * Fraction(1024) ** int(_BINARY[binary]), "binary")
    power = 3 * _DECIMAL[decimal or ""] + int(exponent or 0)
    value = Fraction(number) * Fraction(10**power if power >= 0 else Fraction(1, 10**-power))
    return Amount(value, "exponent" if exponent else "decimal")


def parse(text: str) -> Fraction:
    """Return a quantity's exact value in base units.

    Raises:
        ValueError: as `exact`.
    """
    return exact(text).value


def read(given: Any) -> Amount:
    """Return an amount of a resource list, rounded up to the milli scale as API defaults do.

    Raises:
        ValueError: in the API server's words, if it is not a quantity.
    """
    return _read(str(given).strip())


@lru_cache(maxsize=50_000)
def _read(text: str) -> Amount:
    amount = exact(text)
    value, sign = amount.value, -1 if amount.value < 0 else 1
    value = sign * Fraction(-(-abs(value) * 1000 // 1), 1000)
    digits = sum(map(str.isdigit, re.split("[A-Za-z]", text)[0].lstrip("+-0")))
    if amount.form == "binary" or digits > _DIGITS:
        value = min(value, Fraction(_LARGEST))
    return Amount(value, amount.form)


def canonical(value: Fraction, *, binary: bool) -> str:
    """Return the API server's form: no fraction, the largest suffix that allows it."""
    if binary and value.denominator == 1 and abs(value) >= 1024:
        power = max(p for p in range(7) if value % 1024**p == 0)
        suffix = {power: name for name, power in _BINARY.items()}.get(power, "")
        return f"{value / 1024**power}{suffix}"
    if value == 0:
        return "0"
    value = _rounded(value)
    power = next(p for p in range(6, -4, -1) if _whole(value, p))
    suffix = {power: name for name, power in _DECIMAL.items()}[power]
    return f"{value / Fraction(1000) ** power}{suffix}"


def _rounded(value: Fraction) -> Fraction:
    return Fraction(-(-value * 10**9 // 1)) / 10**9  # finer than nano is rounded up


def _whole(value: Fraction, power: int) -> bool:
    return (value / Fraction(1000) ** power).denominator == 1
