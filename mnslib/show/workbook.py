"""All tables of a run as one workbook: a sheet that explains the columns, then one per table.

Figures are those of the CSV files, in cores and bytes, as numbers, times and truth values that a
spreadsheet can reckon with; the header names the unit. openpyxl makes
the sheets with their headers; the rows, up to millions of plain cells, are put into its files as
text, which takes a twentieth of the time or less.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from html import escape
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter

from mnslib.requests.sheets import cell_text
from mnslib.show.cells import TextColumn, joined_rows, rewritten
from mnslib.show.tables import column as words_of

MOST_ROWS = 1_048_576
"""Of a sheet, its header among them. Source: Excel specifications and limits."""

LONGEST_SHEET_NAME = 31
"""Source: as above."""

_ABOUT = "columns"
_ABOUT_HEADER = ("table", "rows", "column", "unit", "what it holds")
_HEADER_GROUND = "DDE7F0"
_EMPTY = "<c/>"
_PLAIN_CELL = ('<c t="inlineStr"><is><t>', "</t></is></c>")
_END = b"</sheetData>"

_DAYS_TO_1970 = 25_569.0
"""Of a spreadsheet, which counts days from 30 December 1899. Source: ECMA-376, 18.17.4.1."""


def workbook(tables: Mapping[str, Sequence[TextColumn]], *, most_rows: int = MOST_ROWS) -> bytes:
    """Return the tables by name as an XLSX file; beyond `most_rows` it says what is left out."""
    titles = _sheet_names(tables)
    book, styles = _headers(tables, titles, most_rows)
    made, filled = io.BytesIO(), io.BytesIO()
    book.save(made)
    files = {f"xl/worksheets/sheet{n}.xml": columns for n, columns in enumerate(tables.values(), 2)}
    with (
        zipfile.ZipFile(made) as empty,
        zipfile.ZipFile(filled, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as full,
    ):
        for name in empty.namelist():
            content = empty.read(name)
            with full.open(name, "w", force_zip64=True) as file:
                head, end, tail = content.partition(_END if name in files else content)
                file.write(head)
                for part in _rows(files.get(name, ()), most_rows - 1, styles):
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
    tables: Mapping[str, Sequence[TextColumn]], titles: Mapping[str, str], most: int
) -> Iterator[tuple[int | str, ...]]:
    yield _ABOUT_HEADER
    for name, columns in tables.items():
        rows: int | str = _length(columns)
        if most < _length(columns):
            rows = f"first {most:,} of {rows:,}: all are in {name}.csv"
        called = name if titles[name] == name else f"{name} (sheet {titles[name]})"
        for column in columns:
            words = words_of(column.name)
            yield called, rows, column.name, words.unit, words.meaning


def _length(columns: Sequence[TextColumn]) -> int:
    return len(columns[0]) if columns else 0


def _headers(
    tables: Mapping[str, Sequence[TextColumn]], titles: Mapping[str, str], most_rows: int
) -> tuple[Any, dict[str, int]]:
    """Return the workbook with everything but the tables' rows, and the place of each format."""
    book = Workbook()
    sheet, about = book.active, list(_explanations(tables, titles, most_rows - 1))
    sheet.title = _ABOUT
    for line in about:
        sheet.append([cell if isinstance(cell, int) else cell_text(cell) for cell in line])
    widths = [max(len(str(cell)) for cell in column) for column in zip(*about, strict=True)]
    _shape(sheet, widths, rows=len(about))
    styles: dict[str, int] = {}
    for name, columns in tables.items():
        sheet = book.create_sheet(titles[name])
        words = [words_of(column.name) for column in columns]
        heads = [f"{column.name} ({told.unit})" if told.unit else column.name
                 for column, told in zip(columns, words, strict=True)]  # fmt: skip
        for place, told in enumerate(words, start=1):  # the workbook keeps each format it has seen
            cell = sheet.cell(1, place)
            cell.number_format = told.format or "General"
            styles[told.format] = cell.style_id
            cell._style = copy(cell._style)
            cell.number_format = "General"
            cell.value = cell_text(heads[place - 1])
        widths = [_width(*pair) for pair in zip(columns, heads, strict=True)]
        _shape(sheet, widths, rows=min(_length(columns) + 1, most_rows))
    return book, styles


def _width(column: TextColumn, head: str) -> int:
    first = column.cells(column.texts).slice(0, 50).dictionary_decode()
    return max(len(head), pc.max(pc.utf8_length(first)).as_py() or 0)


def _shape(sheet: Any, widths: Sequence[int], *, rows: int) -> None:
    """Give a sheet its widths and a header that stays in sight, with filters."""
    for place, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(place)].width = min(max(width + 2, 10), 60)
        cell = sheet.cell(1, place)
        cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor=_HEADER_GROUND)
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    sheet.freeze_panes = "A2"
    if widths:
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(widths))}{rows}"


def _rows(
    columns: Sequence[TextColumn], most: int, styles: Mapping[str, int]
) -> Iterator[memoryview]:
    """Yield the rows of a sheet, as a workbook's file writes them, some thousands at a time."""
    cells = [column.cells(_cells(column, styles)).slice(0, most) for column in columns]
    yield from joined_rows(cells, begin="<row>", end="</row>", empty=_EMPTY)


def _cells(column: TextColumn, styles: Mapping[str, int]) -> pa.Array:
    """Return the cells of a column's texts: numbers, times and truth values as such."""
    texts = column.texts
    if column.kind == "text":
        return rewritten(texts, _text_cell, around=_PLAIN_CELL)
    if column.kind == "truth":
        bits = pc.if_else(pc.equal(texts, "True"), "1", "0")
        return pc.binary_join_element_wise('<c t="b"><v>', bits, "</v></c>", "")
    if column.kind == "moment":
        moments = pc.strptime(texts, format="%Y-%m-%dT%H:%M:%SZ", unit="s")
        seconds = pc.cast(pc.cast(moments, pa.int64()), pa.float64())
        texts = pc.cast(pc.add(pc.divide(seconds, 86_400.0), _DAYS_TO_1970), pa.string())
    style = styles[words_of(column.name).format]
    cells = pc.binary_join_element_wise(f'<c s="{style}"><v>', texts, "</v></c>", "")
    return pc.if_else(pc.ends_with(texts, "inf"), _EMPTY, cells)


def _text_cell(words: str) -> str:
    if not words:
        return _EMPTY
    text = escape(cell_text(words), quote=False)
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
