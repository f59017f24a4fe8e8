"""The cells of a large table as text, column by column; the table as CSV.

Millions of cells in seconds: each different value of a column is written once, and pyarrow joins
the rows. The workbook takes its cells from here too. Knows no column by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api import types

from mnslib.requests.sheets import LONGEST_CELL, neutral

Kind = Literal["number", "moment", "truth", "text"]
"""What a spreadsheet takes a column for."""

ROWS_AT_ONCE = 50_000
"""Rows that are text at the same time, some megabytes. Our choice."""

_PLAIN = r"\A[A-Za-z0-9](?:[A-Za-z0-9 .:/()%-]*[A-Za-z0-9)%])?\z"
"""Text that is the same in every kind of file."""

_PLAIN_SIZES = (1e-4, 1e10)
"""Between these pyarrow writes a number without an exponent, as Python does."""


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn:
    """A column as text.

    Attributes:
        kind: what a spreadsheet takes it for.
        places: of each row, where its text is among `texts`; null where nothing is known.
        texts: each different value. Numbers are written as Python does, so that they read back as
            they are; several days with a blank between them; moments in UTC by the second.
    """

    name: str
    kind: Kind
    places: pa.Array
    texts: pa.Array

    def __len__(self) -> int:
        return len(self.places)

    def cells(self, texts: pa.Array) -> pa.Array:
        """Return the cell of each row, where these are written for the column's texts."""
        return pa.DictionaryArray.from_arrays(self.places, texts)


def text_columns(table: pd.DataFrame) -> list[TextColumn]:
    """Return a table's columns as text."""
    return [
        _text_column(str(name), table.iloc[:, place]) for place, name in enumerate(table.columns)
    ]


def csv_parts(columns: Sequence[TextColumn]) -> Iterator[bytes | memoryview]:
    """Yield a table as CSV with its column names; an unknown number is an empty cell, never 0.

    No text starts a formula.
    """
    cells = [
        column.cells(
            column.texts
            if column.kind == "number"
            else rewritten(column.texts, lambda text: _quoted(str(neutral(text))))
        )
        for column in columns
    ]
    yield (",".join(_quoted(column.name) for column in columns) + "\n").encode()
    yield from joined_rows(cells, between=",", end="\n")


def rewritten(
    texts: pa.Array, word: Callable[[str], str], *, around: tuple[str, str] = ("", "")
) -> pa.Array:
    """Return texts as cells: what is plain between the two of `around`, all else by `word`."""
    is_plain = pc.and_(
        pc.match_substring_regex(texts, _PLAIN), pc.less(pc.binary_length(texts), LONGEST_CELL)
    )
    is_odd = pc.invert(is_plain)
    words = [word(text) for text in texts.filter(is_odd).to_pylist()]
    plain = pc.binary_join_element_wise(around[0], texts, around[1], "")
    return pc.replace_with_mask(plain, is_odd, pa.array(words, pa.string()))


def joined_rows(
    columns: Sequence[pa.Array],
    *,
    between: str = "",
    begin: str = "",
    end: str = "",
    empty: str = "",
) -> Iterator[memoryview]:
    """Yield rows one after the other, as UTF-8, some thousands at a time.

    Args:
        columns: the cells of each column, from `TextColumn.cells`.
        between: what stands between two cells of a row.
        begin: what stands before each row.
        end: what stands after it.
        empty: what stands for null.
    """
    fill = {"null_handling": "replace", "null_replacement": empty}
    for first in range(0, len(columns[0]) if columns else 0, ROWS_AT_ONCE):
        part = [column.slice(first, ROWS_AT_ONCE).dictionary_decode() for column in columns]
        part[0] = pc.binary_join_element_wise(begin, part[0], "", **fill)
        part[-1] = pc.binary_join_element_wise(part[-1], end, "", **fill)
        rows = pc.binary_join_element_wise(*part, between, **fill)
        _, places, text = rows.buffers()
        size = int(np.frombuffer(places, dtype=np.int32)[len(rows)])
        yield memoryview(text)[:size]


def _text_column(name: str, column: pd.Series[Any]) -> TextColumn:
    kind: Kind = "text"
    if types.is_float_dtype(column):  # by their bits, so that the two zeros are two
        codes, bits = pd.factorize(column.to_numpy(dtype=np.float64).view(np.int64))
        numbers = bits.view(np.float64)
        texts, is_unknown = _number_texts(numbers), np.isnan(numbers)[codes]
        return TextColumn(name, "number", pa.array(codes.astype(np.int32), mask=is_unknown), texts)
    codes, values = pd.factorize(column)  # -1 is unknown
    if types.is_bool_dtype(column):
        kind = "truth"
    elif types.is_numeric_dtype(column):
        kind = "number"
    elif types.is_datetime64_any_dtype(column):
        kind = "moment"
        values = pd.DatetimeIndex(values).strftime("%Y-%m-%dT%H:%M:%SZ")
    texts = pa.array(map(_text, values), pa.string())
    return TextColumn(name, kind, pa.array(codes.astype(np.int32), mask=codes < 0), texts)


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _number_texts(values: np.ndarray[Any, np.dtype[np.float64]]) -> pa.Array:
    """Return numbers as Python writes them: pyarrow does, but for ".0" and exponents."""
    size = np.abs(values)
    is_odd = (size >= _PLAIN_SIZES[1]) | (size < _PLAIN_SIZES[0]) & (size > 0)
    texts = pc.cast(pa.array(values), pa.string())
    whole = pc.binary_join_element_wise(texts, ".0", "")
    texts = pc.if_else(pa.array(values == np.floor(values)), whole, texts)
    odd = pa.array(map(repr, values[is_odd].tolist()), pa.string())
    return pc.replace_with_mask(texts, pa.array(is_odd), odd)


def _quoted(text: str) -> str:
    """Return a cell as CSV writes it, quoted where it must be (RFC 4180)."""
    return '"' + text.replace('"', '""') + '"' if re.search('[,"\r\n]', text) else text
