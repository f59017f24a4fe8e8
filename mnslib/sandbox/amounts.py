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
_LARGEST = 2**63 - 1  # what is written with a power of 1024 or more than 18 digits ends there
_DIGITS = 18


@lru_cache(maxsize=50_000)
def parse(text: str) -> Fraction:
    """Return the exact value in base units (cores, bytes).

    Raises:
        ValueError: if it is not a quantity.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise ValueError(f"quantity {text!r} does not match Kubernetes' form")
    number, binary, decimal, exponent = match.groups()
    if binary:
        return Fraction(number) * Fraction(1024) ** int(_BINARY[binary])
    power = 3 * _DECIMAL[decimal or ""] + int(exponent or 0)
    return Fraction(number) * Fraction(10**power if power >= 0 else Fraction(1, 10**-power))


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
            powers = [power for power in range(6, -4, -1) if _whole(self.value, power)]
            power = next((p for p in range(40, 6, -1) if _whole(self.value, p)), powers[0])
            text = f"{self.value / Fraction(1000) ** power}" + (f"e{3 * power}" if power else "")
        return text


ZERO = Amount(Fraction(0))
ONE = Amount(Fraction(1))


def read(given: Any) -> Amount:
    """Return an amount of a resource list, rounded up to the milli scale as API defaults do.

    Raises:
        ValueError: in the API server's words, if it is not a quantity.
    """
    return _read(given if isinstance(given, str) else str(given))


@lru_cache(maxsize=50_000)
def _read(text: str) -> Amount:
    match = _FORM.fullmatch(text.strip())
    if not match:
        if re.fullmatch(r"[+-]?[0-9.]+[eEinumkKMGTP]*[-+]?[0-9]*", text.strip()):
            raise ValueError("unable to parse quantity's suffix")
        raise ValueError(
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    value = parse(text.strip())
    sign = -1 if value < 0 else 1
    value = sign * Fraction(-(-abs(value) * 1000 // 1), 1000)
    if match[2] or sum(map(str.isdigit, match[1].lstrip("+-0"))) > _DIGITS:
        value = min(value, Fraction(_LARGEST))
    return Amount(value, "binary" if match[2] else "exponent" if match[4] else "decimal")


def is_binary(text: str) -> bool:
    """Return whether the quantity is written with a power of 1024."""
    return text.endswith("i")


def canonical(value: Fraction, *, binary: bool) -> str:
    """Return the API server's form: no fraction, the largest suffix that allows it."""
    if binary and value.denominator == 1 and abs(value) >= 1024:
        power = max(p for p in range(7) if value % 1024**p == 0)
        suffix = {power: name for name, power in _BINARY.items()}.get(power, "")
        return f"{value / 1024**power}{suffix}"
    if value == 0:
        return "0"
    value = Fraction(-(-value * 10**9 // 1)) / 10**9  # finer than nano is rounded up
    power = next(p for p in range(6, -4, -1) if _whole(value, p))
    suffix = {power: name for name, power in _DECIMAL.items()}[power]
    return f"{value / Fraction(1000) ** power}{suffix}"


def _whole(value: Fraction, power: int) -> bool:
    return (value / Fraction(1000) ** power).denominator == 1


@lru_cache(maxsize=50_000)
def canonical_text(text: str) -> str:
    """Return a quantity as the API server would give it back."""
    return canonical(parse(text), binary=is_binary(text))
