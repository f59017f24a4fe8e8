"""All tables of a run as one workbook: a sheet that explains the columns, then one per table.

Figures are those of the CSV files, in cores and bytes; the header names the unit. openpyxl makes
the sheets with their headers; the rows, up to millions of plain cells, are put into its files as
text, which takes a twentieth of the time.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mnslib.reporting.cells import is_amount, joined_rows, number_texts, word_texts
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
    """Return the tables by name as an XLSX file; beyond `most_rows` it says what is left out."""
    shown = {name: table.iloc[: most_rows - 1] for name, table in tables.items()}
    titles = _sheet_names(tables)
    about = [_ABOUT_HEADER, *_explanations(tables, shown, titles)]
    rows = [_rows(table) for table in shown.values()]
    made = io.BytesIO()
    _headers(about, {titles[name]: table for name, table in shown.items()}).save(made)
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


def _sheet_names(names: Iterable[str]) -> dict[str, str]:
    """Return the sheet of each table; of names that are one when cut, the later get a number."""
    titles: dict[str, str] = {}
    taken = {_ABOUT}
    for name in names:
        bare = "".join("-" if sign in "[]:*?/\\'" else sign for sign in name)
        title = bare[:LONGEST_SHEET_NAME]
        for number in count(2):
            if title.casefold() not in taken:
                break
            title = f"{bare[: LONGEST_SHEET_NAME - 1 - len(str(number))]}~{number}"
        taken.add(title.casefold())
        titles[name] = title
    return titles


def _explanations(
    tables: Mapping[str, pd.DataFrame],
    shown: Mapping[str, pd.DataFrame],
    titles: Mapping[str, str],
) -> Iterator[tuple[str, int | str, str, str, str]]:
    for name, table in tables.items():
        rows: int | str = len(table)
        if len(shown[name]) < len(table):
            rows = f"first {len(shown[name]):,} of {rows:,}: all are in {name}.csv"
        called = name if titles[name] == name else f"{name} (sheet {titles[name]})"
        for column in map(str, table.columns):
            yield (called, rows, column, *column_words(column))


def _headers(about: Sequence[Sequence[int | str]], tables: Mapping[str, pd.DataFrame]) -> Any:
    """Return the workbook with everything but the tables' rows."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = _ABOUT
    for line in about:
        sheet.append([cell if isinstance(cell, int) else cell_text(cell) for cell in line])
    widths = [max(len(str(cell)) for cell in column) for column in zip(*about, strict=True)]
    _shape(sheet, widths, rows=len(about))
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


def _rows(table: pd.DataFrame) -> Iterator[bytes]:
    """Yield the rows of a sheet, as a workbook's file writes them, some thousands at a time."""
    cells = [_cells(table.iloc[:, place]) for place in range(table.shape[1])]
    for part in joined_rows(cells, between="", around=("<row>", "</row>"), empty=_EMPTY):
        yield part.encode()


def _cells(column: pd.Series[Any]) -> pa.Array:
    """Return a column's cells; numbers as numbers, what is unknown empty, all else as text."""
    if not is_amount(column):
        return word_texts(column, _text_cell)
    texts = number_texts(column.where(np.isfinite(column)))
    return pc.binary_join_element_wise("<c><v>", texts, "</v></c>", "")


def _text_cell(words: str) -> str:
    if not words:
        return _EMPTY
    text = escape(cell_text(words), quote=False)
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
