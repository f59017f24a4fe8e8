"""All tables of a run as one workbook: a sheet that explains the columns, then one per table.

Figures are those of the CSV files, in cores and bytes, as numbers, times and truth values that a
spreadsheet can reckon with; the header names the unit. openpyxl makes
the sheets with their headers; the rows, up to millions of plain cells, are put into its files as
text, which takes a twentieth of the time or less.
"""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from copy import copy
from html import escape
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

_HEADER_GROUND = "DDE7F0"
_EMPTY = "<c/>"
_PLAIN_CELL = ('<c t="inlineStr"><is><t>', "</t></is></c>")
_END = b"</sheetData>"

_DAYS_TO_1970 = 25_569.0
"""Of a spreadsheet, which counts days from 30 December 1899. Source: ECMA-376, 18.17.4.1."""


def workbook(tables: Mapping[str, Sequence[TextColumn]], *, most_rows: int = MOST_ROWS) -> bytes:
    """Return the tables by name as an XLSX file; beyond `most_rows` it says what is left out."""
    book, styles = _headers(tables, most_rows)
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
                cells = [
                    column.cells(_cells(column, styles)).slice(0, most_rows - 1)
                    for column in files.get(name, ())
                ]
                file.writelines(joined_rows(cells, begin="<row>", end="</row>", empty=_EMPTY))
                file.write(end + tail)
    return filled.getvalue()


def _headers(
    tables: Mapping[str, Sequence[TextColumn]], most_rows: int
) -> tuple[Any, dict[str, int]]:
    """Return the workbook with everything but the tables' rows, and the place of each format."""
    book, styles = Workbook(), dict[str, int]()
    first: Any = book.active
    first.title, about = "columns", list[tuple[Any, ...]]()
    about.append(("table", "rows", "column", "unit", "what it holds"))
    for name, columns in tables.items():
        sheet = book.create_sheet(_title(name, book.sheetnames))
        total = len(columns[0]) if columns else 0
        rows: Any = total
        if total >= most_rows:
            rows = f"first {most_rows - 1:,} of {total:,}: all are in {name}.csv"
        called = name if sheet.title == name else f"{name} (sheet {sheet.title})"
        for place, column in enumerate(columns, start=1):
            words = words_of(column.name)
            about.append((called, rows, column.name, words.unit, words.meaning))
            cell = sheet.cell(1, place)
            cell.number_format = words.sheet or "General"
            styles[words.sheet] = cell.style_id  # the workbook keeps each format it has seen
            cell._style = copy(cell._style)
            cell.value = cell_text(f"{column.name} ({words.unit})" if words.unit else column.name)
        texts = [column.cells(column.texts).slice(0, 50).dictionary_decode() for column in columns]
        _shape(sheet, [pc.max(pc.utf8_length(text)).as_py() or 0 for text in texts], total + 1)
    for line in about:
        first.append([cell if isinstance(cell, int) else cell_text(cell) for cell in line])
    _shape(first, [max(len(str(cell)) for cell in column) for column in zip(*about, strict=True)],
           len(about))  # fmt: skip
    return book, styles


def _title(name: str, taken: Sequence[str]) -> str:
    """Return the name of a table's sheet; of names that are one when cut, later get a number."""
    bare = re.sub(r"[\[\]:*?/\\']", "-", name)
    if bare[:LONGEST_SHEET_NAME].casefold() in map(str.casefold, taken):
        number = f"~{len(taken)}"
        return bare[: LONGEST_SHEET_NAME - len(number)] + number
    return bare[:LONGEST_SHEET_NAME]


def _shape(sheet: Any, widths: Sequence[int], rows: int) -> None:
    """Give a sheet its widths and a header that stays in sight, with filters."""
    for place, width in enumerate(widths, start=1):
        cell = sheet.cell(1, place)
        wide = max(width, len(cell.value)) + 2
        sheet.column_dimensions[get_column_letter(place)].width = min(max(wide, 10), 60)
        cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor=_HEADER_GROUND)
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    sheet.freeze_panes = "A2"
    if widths:
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(widths))}{min(rows, MOST_ROWS)}"


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
    style = styles[words_of(column.name).sheet]
    cells = pc.binary_join_element_wise(f'<c s="{style}"><v>', texts, "</v></c>", "")
    return pc.if_else(pc.ends_with(texts, "inf"), _EMPTY, cells)


def _text_cell(words: str) -> str:
    if not words:
        return _EMPTY
    text = escape(cell_text(words), quote=False)
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
