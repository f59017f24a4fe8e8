"""All tables of a run as one workbook: a sheet that explains the columns, then one per table.

Figures are those of the CSV files, in cores and bytes; the header names the unit. openpyxl makes
the sheets with their headers; the rows, up to millions of plain cells, are put into its files as
text, which takes a twentieth of the time.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from mnslib.reporting.column_words import column_words
from mnslib.requests.sheets import cell_text

MOST_ROWS = 1_048_576
"""Of a sheet, its header among them. Source: Excel specifications and limits."""

LONGEST_SHEET_NAME = 31
"""Source: as above."""

_ABOUT = "columns"
_ABOUT_HEADER = ("table", "rows", "column", "unit", "what it holds")
_HEADER_GROUND = "DDE7F0"
_EMPTY = "<c/>"
_END = b"</sheetData>"


def workbook(tables: Mapping[str, pd.DataFrame], *, most_rows: int = MOST_ROWS) -> bytes:
    """Return the tables by name as an XLSX file; beyond `most_rows` it says what is left out.

    Raises:
        ValueError: if two names are one sheet's name.
    """
    shown = {name: table.iloc[: most_rows - 1] for name, table in tables.items()}
    titles = [_sheet_name(name) for name in tables]
    if len({_ABOUT, *map(str.casefold, titles)}) <= len(titles):
        raise ValueError(f"two tables would be one sheet: {', '.join(tables)}")
    about = [_ABOUT_HEADER, *_explanations(tables, shown)]
    rows = [_rows(table) for table in shown.values()]
    made = io.BytesIO()
    _headers(about, dict(zip(titles, shown.values(), strict=True))).save(made)
    filled = io.BytesIO()
    with (
        zipfile.ZipFile(made) as empty,
        zipfile.ZipFile(filled, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as full,
    ):
        by_file = {f"xl/worksheets/sheet{n}.xml": found for n, found in enumerate(rows, start=2)}
        for name in empty.namelist():
            content = empty.read(name)
            with full.open(name, "w", force_zip64=True) as file:
                head, end, tail = content.partition(_END if name in by_file else content)
                file.write(head)
                for part in by_file.get(name, ()):
                    file.write(part)
                file.write(end + tail)
    return filled.getvalue()


def _sheet_name(name: str) -> str:
    return "".join("-" if sign in "[]:*?/\\'" else sign for sign in name)[:LONGEST_SHEET_NAME]


def _explanations(
    tables: Mapping[str, pd.DataFrame], shown: Mapping[str, pd.DataFrame]
) -> Iterator[tuple[str, str, str, str, str]]:
    for name, table in tables.items():
        rows = f"{len(table):,}"
        if len(shown[name]) < len(table):
            rows = f"first {len(shown[name]):,} of {rows}: all are in {name}.csv"
        for column in map(str, table.columns):
            yield (name, rows, column, *column_words(column))


def _headers(about: Sequence[Sequence[str]], tables: Mapping[str, pd.DataFrame]) -> Any:
    """Return the workbook with everything but the tables' rows."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = _ABOUT
    for line in about:
        sheet.append([cell_text(text) for text in line])
    _shape(sheet, [max(map(len, column)) for column in zip(*about, strict=True)], rows=len(about))
    for title, table in tables.items():
        sheet = book.create_sheet(title)
        heads = [_head(str(column)) for column in table.columns]
        sheet.append([cell_text(head) for head in heads])
        _shape(sheet, _widths(table, heads), rows=len(table) + 1)
    return book


def _head(column: str) -> str:
    unit, _ = column_words(column)
    return f"{column} ({unit})" if unit else column


def _widths(table: pd.DataFrame, heads: Sequence[str]) -> list[int]:
    sample = table.head(50)
    return [
        max(len(head), *(len(str(cell)) for cell in sample.iloc[:, place]), 0)
        for place, head in enumerate(heads)
    ]


def _shape(sheet: Any, widths: Sequence[int], *, rows: int) -> None:
    """Give a sheet its widths and a header that stays in sight, with filters."""
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    for place, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(place)].width = min(max(width + 2, 10), 60)
        cell = sheet.cell(1, place)
        cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor=_HEADER_GROUND)
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    sheet.freeze_panes = "A2"
    if widths:
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(widths))}{rows}"


def _rows(table: pd.DataFrame, *, at_once: int = 10_000) -> Iterator[bytes]:
    """Yield the rows of a sheet, as a workbook's file writes them, some thousands at a time."""
    cells = [_cells(table.iloc[:, place]) for place in range(table.shape[1])]
    for first in range(0, len(table), at_once):
        part = [column.slice(first, at_once) for column in cells]
        rows = pc.binary_join_element_wise("<row>", *part, "</row>", "")
        yield "".join(rows.to_pylist()).encode()


def _cells(column: pd.Series[Any]) -> pa.Array:
    """Return a column's cells; numbers as numbers, what is unknown empty, all else as text."""
    if is_numeric_dtype(column) and not is_bool_dtype(column):
        numbers = pa.array(column.to_numpy(dtype=np.float64), mask=~np.isfinite(column.to_numpy()))
        texts = pc.cast(numbers, pa.string())
        return pc.fill_null(pc.binary_join_element_wise("<c><v>", texts, "</v></c>", ""), _EMPTY)
    if is_datetime64_any_dtype(column):
        column = column.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    codes, values = pd.factorize(column)  # the same again and again; -1 is unknown
    texts = pa.array([*map(_text_cell, values), _EMPTY], pa.string())
    return texts.take(pa.array(np.where(codes < 0, len(values), codes)))


def _text_cell(value: Any) -> str:
    words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    if not words:
        return _EMPTY
    text = escape(cell_text(words), quote=False)
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
