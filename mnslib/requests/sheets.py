"""Text in the cells of a spreadsheet, there and back, and the reading of workbooks.

No text of ours starts a formula, in any CSV or XLSX file: `neutral` is the one place. Knows no
column by name. The library for workbooks is loaded when one is read or written.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from mnslib.errors import Problem, SpecError
from mnslib.resource_ids import ID_COLUMNS

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Text that a spreadsheet would run. Source: OWASP, "CSV Injection"."""

LONGEST_CELL = 32_767
"""Characters. Source: Excel specifications and limits."""

SHEET_NAME = "requests"
"""The sheet that is read; without one of this name the only one that holds requests."""

GUIDES = ("columns", "tiers")
"""Sheets that only explain, in a workbook to fill in."""


def file_error(path: Path, message: str, *, row: int | None = None, fix: str = "") -> SpecError:
    """Return the error of a file of which nothing can be used."""
    found = Problem(file=path.name, row=row, column=None, message=f"{message}.", suggestion=fix)
    return SpecError([found])


def number_text(value: float) -> str:
    """Return a number as a spreadsheet shows it, with 15 digits; a whole one without a point."""
    return f"{Decimal(f'{value:.15g}').normalize():f}"


def neutral(cell: Any) -> Any:
    """Return the cell so that no spreadsheet takes it for a formula; numbers stay numbers."""
    return f"'{cell}" if isinstance(cell, str) and _starts_formula(cell.lstrip("'")) else cell


def plain(cell: Any) -> Any:
    """Return the text that `neutral` made harmless; anything else as it is."""
    is_marked = isinstance(cell, str) and cell.startswith("'")
    return cell[1:] if is_marked and neutral(cell[1:]) != cell[1:] else cell


def _starts_formula(text: str) -> bool:
    bare = unicodedata.normalize("NFKC", text[:100]).lstrip("\ufeff \t\r\n\xa0")
    return text.startswith(FORMULA_STARTS) or bare.startswith(FORMULA_STARTS)


def csv_bytes(lines: Sequence[Sequence[Any]], *, delimiter: str = ",") -> bytes:
    """Return lines as CSV, none of whose cells starts a formula."""
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, lineterminator="\n").writerows(
        [neutral(cell) for cell in line] for line in lines
    )
    return b"\xef\xbb\xbf" + written.getvalue().encode()  # the mark by which Excel knows UTF-8


def write_text(cell: Any, text: str) -> None:
    """Write text into a workbook's cell, as text."""
    cell.value = cell_text(text)
    cell.data_type = "s"


def cell_text(text: str) -> str:
    """Return text as a workbook's cell holds it, without signs that no workbook can hold."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    # `_x0041_` is how a workbook writes a sign it cannot hold: here it is meant as it is
    harmless = re.sub(r"_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", neutral(text))
    return str(ILLEGAL_CHARACTERS_RE.sub("", harmless))[:LONGEST_CELL]


def request_sheet(path: Path, book: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the sheet of a workbook that holds the requests, and the names of the others.

    Raises:
        SpecError: if no sheet can be seen, or not one of them is meant more than the others.
    """
    visible = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if not visible:
        fix = f"the requests into a worksheet called {SHEET_NAME}, neither hidden nor a chart"
        raise file_error(path, "the workbook has no worksheet that can be seen", fix=fix)
    found = [sheet for sheet in visible if sheet.title.strip().lower() == SHEET_NAME]
    if not found:
        is_only = len(visible) == 1
        found = [sheet for sheet in visible if is_only or set(ID_COLUMNS) <= _header(sheet)]
    if len(found) != 1:
        titles = ", ".join(repr(sheet.title) for sheet in found or visible)
        message = f"each of these sheets may be meant: {titles}"
        if not found:
            message = f"no sheet is called {SHEET_NAME}, and none has the columns of one: {titles}"
        raise file_error(path, message, fix=f"{SHEET_NAME} as the name of the one that is meant")
    worksheets = {sheet.title: sheet.sheet_state for sheet in book.worksheets}
    unread = (
        f"{title!r}" + {"visible": "", None: " (a chart)"}.get(worksheets.get(title), " (hidden)")
        for title in book.sheetnames
        if title != found[0].title and title not in GUIDES
    )
    return found[0], tuple(unread)


def _header(sheet: Any) -> set[str]:
    """Return the texts of the first row that holds any."""
    rows = sheet.iter_rows(values_only=True)
    texts = ({str(cell).strip() for cell in row if cell not in (None, "")} for row in rows)
    return next(filter(None, texts), set())


def read_sheet(sheet: Any) -> tuple[Any, Iterator[tuple[int, Sequence[Any]]]]:
    """Return what knows, once all rows are read, what a sheet has beside its cells; and the rows.

    openpyxl's own way through a large sheet gives the cells alone.
    """
    from openpyxl.worksheet._reader import WorkSheetParser

    book = sheet.parent
    parser = WorkSheetParser(
        sheet._get_source(),
        sheet._shared_strings,
        epoch=book.epoch,
        date_formats=book._date_formats,
        timedelta_formats=book._timedelta_formats,
    )
    return parser, ((number, sheet._get_row(cells)) for number, cells in parser.parse())


def is_hidden(shape: Mapping[str, str], size: str) -> bool:
    """Return whether nobody sees a row or a column, which may just have no height or width."""
    return shape.get("hidden") in ("1", "true") or float(shape.get(size, 1)) == 0


def unpacked_bytes(data: bytes) -> int:
    """Return the size of a workbook's parts together, as they say it themselves."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return sum(part.file_size for part in packed.infolist())
