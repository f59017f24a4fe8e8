"""Kubernetes quantities: parse, compare, and write in the form that ARM takes, or people read.

A quantity is a `Decimal` in cores or in bytes; the field that holds it says which. Compare these
numbers, never text: the API server rewrites `0.9Gi`. Knows nothing of Azure or of files.

    >>> format_cpu(parse_quantity("1.5"))
    '1500m'
    >>> format_memory(parse_quantity("1024Mi"))
    '1Gi'
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, ROUND_UP, Context, Decimal
from functools import lru_cache, partial
from typing import SupportsFloat

from mnslib.verdicts import UNKNOWN

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal("1e3"), "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"),
    "P": Decimal("1e15"), "E": Decimal("1e18"),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
"""Source: Kubernetes API reference, resource.Quantity grammar."""
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")

_GRAMMAR = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?:[eE](?P<exponent>[+-]?\d{1,3})|(?P<suffix>[a-zA-Z]*))",
    re.ASCII,
)
_TWO_WAYS = re.compile(r"([1-9]\d{0,2})[.,](\d{3})\s*([A-Za-z]*)", re.ASCII)
ZERO = Decimal(0)
MINUS = "−"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

RESOURCE_WORDS = {
    "cpu_request": "CPU requests",
    "cpu_limit": "CPU limits",
    "memory_request": "memory requests",
    "memory_limit": "memory limits",
    "cpu_usage": "CPU use",
    "memory_usage": "memory use",
    "cpu": "CPU",
    "memory": "memory",
}
MIB, GIB = 2**20, 2**30
LARGEST = Decimal(2**63 - 1)
"""Kubernetes keeps quantities as 64-bit integers. Source: resource.Quantity, `MaxInt64`."""

LONGEST = 100
"""Characters and digits; our choice, some three times what 2^63 - 1 nanocores need. A number of a
million digits is beyond what Decimal can compare."""

WIDE = Context(prec=2 * LONGEST)
"""To round amounts that any team may write, beyond the digits that Decimal counts in."""

_MILLI = Decimal("0.001")
_STEPS = {size.adjusted(): name for name, size in _SUFFIXES.items() if name not in _BINARY}
"""Power of ten to the suffix that is written for it."""


class Amount(Decimal):
    """An amount that an API server keeps, in base units.

    Attributes:
        form: how it is written (`server_text`): with `binary` suffixes, an `exponent` or
            `decimal` suffixes.
    """

    form: str = "decimal"


def in_form(amount: Decimal, like: Decimal | str) -> Amount:
    """Return an amount that is written in a form, or as another is."""
    found = Amount(amount)
    found.form = like if isinstance(like, str) else getattr(like, "form", "decimal")
    return found


@lru_cache(maxsize=4096)  # a fleet has few sizes, and each stands in thousands of answers
def parse_quantity(text: str) -> Decimal:
    """Return the amount in base units (cores or bytes), exactly.

    Raises:
        ValueError: if `text` is no Kubernetes quantity, is negative, or exceeds 2^63 - 1.
    """
    amount, _ = _parsed(text)
    if amount < 0:
        raise ValueError(f"{text.strip()!r} is negative")
    if amount > LARGEST:
        raise ValueError(f"{text.strip()!r} is larger than 2^63 - 1")
    return amount


@lru_cache(maxsize=4096)
def read_quantity(text: str) -> Amount:
    """Return an amount of an object as the API server counts it: of any sign and size.

    It is rounded up to thousandths, and with a binary suffix it is 2^63 - 1 at most. Source:
    resource.ParseQuantity; core/v1, SetDefaults_ResourceList.

    Raises:
        ValueError: if `text` is no Kubernetes quantity, or has more than `LONGEST` digits.
    """
    amount, form = _parsed(text)
    if abs(amount.adjusted()) > LONGEST:
        raise ValueError(f"{text.strip()[:40]!r} is beyond what can be counted")
    if form == "binary":
        amount = min(amount, LARGEST)
    if int(amount.as_tuple().exponent) < -3:
        amount = amount.quantize(_MILLI, ROUND_UP, WIDE)
    return in_form(amount, like=form)


def _parsed(text: str) -> tuple[Decimal, str]:
    """Return the exact amount, and the form that it is written in."""
    match = _GRAMMAR.fullmatch(text.strip()) if len(text) <= LONGEST else None
    suffix = (match["suffix"] or "") if match else "?"
    if match is None or suffix not in _SUFFIXES:
        raise ValueError(f"{text.strip()[:40]!r} is not a quantity")
    amount = Decimal(match["number"]).scaleb(int(match["exponent"] or 0)) * _SUFFIXES[suffix]
    form = "exponent" if match["exponent"] else "binary" if suffix in _BINARY else "decimal"
    return amount, form


def server_text(amount: Decimal) -> str:
    """Return an amount as the API server writes it: `1536Mi`, `1500m`, `1129145600`, `1e30`.

    Source: resource.Quantity, CanonicalizeBytes: a binary suffix only from 1,024 on and without a
    fraction.
    """
    form, whole = getattr(amount, "form", "decimal"), amount.to_integral_value()
    if form == "binary" and abs(amount) >= 1024 and whole == amount:
        suffix = next((name for name in _BINARY if whole % _SUFFIXES[name] == 0), "")
        return f"{int(whole / _SUFFIXES[suffix])}{suffix}"
    exponent = int(amount.normalize(WIDE).as_tuple().exponent) if amount else 0
    exponent = max(-9, exponent // 3 * 3)
    if form != "exponent":
        exponent = min(exponent, max(_STEPS))
    ending = _STEPS[exponent] if form != "exponent" else f"e{exponent}" if exponent else ""
    return f"{int(amount.scaleb(-exponent, WIDE))}{ending}"


def two_readings(text: str) -> tuple[str, ...]:
    """Return both amounts that a text may mean, if it may mean two; nothing else is one of them.

    What is a decimal sign in one region separates thousands in another: `1.000m` is 1m or 1000m.
    """
    match = _TWO_WAYS.fullmatch(text.strip())
    if match is None:
        return ()
    before, after, unit = match.groups()
    less = Decimal(f"{before}.{after}").normalize()
    return f"{less:f}{unit}", f"{before}{after}{unit}"


def format_cpu(cores: Decimal) -> str:
    """Return cores as ARM takes them, in whole millicores: `500m`.

    Raises:
        ValueError: if the amount is no whole number of millicores.

    Source: `az aks namespace add`, whose validator demands the suffix `m`.
    """
    millicores = cores * 1000
    if millicores != millicores.to_integral_value():
        raise ValueError(f"{cores.normalize():f} cores is not a whole number of millicores")
    return f"{int(millicores)}m"


def format_memory(amount_bytes: Decimal) -> str:
    """Return bytes as ARM takes them, with the largest binary suffix that divides them: `512Mi`.

    Raises:
        ValueError: if the amount is no whole number of KiB.

    Source: `az aks namespace add`, whose validator wants digits and Ki, Mi, Gi, Ti, Pi or Ei.
    """
    if amount_bytes == 0:
        return "0Mi"
    for suffix in _BINARY:
        count = amount_bytes / _SUFFIXES[suffix]
        if count == count.to_integral_value():
            return f"{int(count)}{suffix}"
    raise ValueError(f"{amount_bytes.normalize():f} bytes is not a whole number of KiB")


def size_problems(texts: Mapping[str, str]) -> dict[str, str]:
    """Return by parameter what is wrong with a size; nothing where all are empty, or all are set.

    Args:
        texts: Kubernetes quantities by the parameters' names; either all are given, or none.
    """
    if not any(texts.values()):
        return {}
    found = {}
    for name, text in texts.items():
        others = " and ".join(sorted(texts.keys() - {name}))
        try:
            parse_quantity(text)
        except ValueError as error:
            found[name] = f"{name}: {error}; write a size such as 500m or 1Gi."
        if meant := " or ".join(two_readings(text)):
            found[name] = f"{name}: {text!r} may mean {meant}; write a size such as 500m or 1Gi."
        if not text:
            found[name] = f"{name} is empty, {others} is not: give both or neither."
    return found


def is_unknown(value: SupportsFloat | None) -> bool:
    """Return whether there is no number: None, NaN or pandas' NA."""
    try:
        return value is None or math.isnan(value)
    except TypeError:
        return True


def memory_unit(amount_bytes: SupportsFloat) -> tuple[int, str]:
    """Return divisor and unit an amount of memory reads best in."""
    return (MIB, "MiB") if 0 < abs(float(amount_bytes)) < GIB else (GIB, "GiB")


def amount_text(resource: str, amount: SupportsFloat | None) -> str:
    """Return cores or bytes in words, to the third decimal: `4 cores`, `1.5 GiB`, `512 MiB`.

    Args:
        resource: a name that says which, such as `cpu_limit`.
    """
    return _with_unit(resource, amount, partial(decimal_text, places=3))


def rounded_text(resource: str, amount: SupportsFloat | None) -> str:
    """Return cores or bytes for reading, rounded as `number_text` does: `0.25 cores`, `3.2 GiB`."""
    return _with_unit(resource, amount, number_text)


def _with_unit(
    resource: str, amount: SupportsFloat | None, write: Callable[[SupportsFloat], str]
) -> str:
    if amount is None or is_unknown(amount):
        return UNKNOWN
    divisor, unit = (1, "cores") if resource.startswith("cpu") else memory_unit(amount)
    text = write(amount if divisor == 1 else float(amount) / divisor)
    return f"{text} {'core' if (text, unit) == ('1', 'cores') else unit}"


def count_text(amount: float, noun: str) -> str:
    """Return a count with its noun in the right number: `1 namespace`, `1,204 namespaces`."""
    return f"{int(amount):,} {noun}{'' if amount == 1 else 's'}"


def day_text(value: date) -> str:
    """Return a day without its year: `2 Nov`."""
    return f"{value.day} {MONTHS[value.month - 1]}"


def number_text(value: SupportsFloat | None) -> str:
    """Return a number for reading: 0.01 under 1, one decimal under 100, none above."""
    if value is None or is_unknown(value):
        return UNKNOWN
    size = abs(float(value))
    if 0 < size < 0.01:
        return "under 0.01" if float(value) > 0 else f"over {MINUS}0.01"
    return decimal_text(value, places=2 if size < 1 else 1 if size < 100 else 0)


def decimal_text(value: SupportsFloat | None, *, places: int) -> str:
    """Return a number with at most so many decimals."""
    if value is None or is_unknown(value):
        return UNKNOWN
    amount = value if isinstance(value, Decimal) else Decimal(str(float(value)))
    if not amount.is_finite():
        return f"{MINUS if amount < 0 else ''}∞"
    step = Decimal(1).scaleb(-places)
    text = f"{amount.quantize(step, ROUND_HALF_UP, WIDE):,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text.replace("-", MINUS)
