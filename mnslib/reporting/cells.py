"""The cells of a large table as text, column by column: what its CSV file and its sheet hold.

Millions of cells in seconds: pyarrow writes the numbers, and every text, day or truth value that
occurs again and again is written once. Knows no column by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import (
    is_bool_dtype,
    is_datetime64_any_dtype,
    is_integer_dtype,
    is_numeric_dtype,
)

ROWS_AT_ONCE = 20_000
"""Rows that are text at the same time, some megabytes. Our choice."""

_PLAIN = (1e-4, 1e10)
"""Between these pyarrow writes a number as Python does, beyond them with an exponent."""


def is_amount(column: pd.Series[Any]) -> bool:
    """Return whether a column holds numbers; truth values are words."""
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def number_texts(column: pd.Series[Any]) -> pa.Array:
    """Return numbers as Python writes them, so that they read back as they are; null for NaN."""
    if is_integer_dtype(column):
        return pc.cast(pa.array(column.to_numpy()), pa.string())
    values = column.to_numpy(dtype=np.float64)
    size = np.abs(values)
    with np.errstate(invalid="ignore"):
        is_whole = (values == np.floor(values)) & (size < 2**53)
        is_odd = (size < _PLAIN[0]) | (size >= _PLAIN[1]) & np.isfinite(values)
    is_odd &= ~is_whole | np.signbit(values)
    wholes = pa.array(np.where(is_whole, values, 0).astype(np.int64))
    texts = pc.cast(pa.array(values, mask=np.isnan(values)), pa.string())
    whole = pc.binary_join_element_wise(pc.cast(wholes, pa.string()), ".0", "")
    texts = pc.if_else(pa.array(is_whole), whole, texts)
    odd = pa.array([repr(value) for value in values[is_odd].tolist()], pa.string())
    return pc.replace_with_mask(texts, pa.array(is_odd), odd)


def word_texts(column: pd.Series[Any], word: Callable[[str], str]) -> pa.Array:
    """Return all that is no number, each different text once through `word`; null for none.

    Several days are written with a blank between them, moments in UTC by the second.
    """
    codes, values = pd.factorize(column)  # -1 is unknown
    if is_datetime64_any_dtype(column):
        values = pd.DatetimeIndex(values).strftime("%Y-%m-%dT%H:%M:%SZ")
    texts = pa.array([word(_text(value)) for value in values], pa.string())
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, texts)


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def joined_rows(
    columns: Sequence[pa.Array],
    *,
    between: str,
    around: tuple[str, str] = ("", "\n"),
    empty: str = "",
) -> Iterator[str]:
    """Yield rows one after the other, some thousands at a time.

    Args:
        columns: the cells of each column, from the functions above.
        between: what stands between two cells of a row.
        around: what stands before and after each row.
        empty: what stands for null.
    """
    begin, end = around
    for first in range(0, len(columns[0]) if columns else 0, ROWS_AT_ONCE):
        part = [pc.cast(column.slice(first, ROWS_AT_ONCE), pa.string()) for column in columns]
        rows = pc.binary_join_element_wise(
            *part, between, null_handling="replace", null_replacement=empty
        )
        yield begin + f"{end}{begin}".join(rows.to_pylist()) + end
