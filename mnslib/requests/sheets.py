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
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from mnslib.errors import Problem, SpecError

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Text that a spreadsheet would run. Source: OWASP, "CSV Injection"."""

LONGEST_CELL = 32_767
"""Characters. Source: Excel specifications and limits."""

SHEET_NAME = "requests"
"""The sheet that is read; without one of this name the first that is not hidden."""


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


def request_sheet(path: Path, book: Any) -> Any:
    """Return the sheet of a workbook that holds the requests.

    Raises:
        SpecError: if no sheet can be seen.
    """
    visible = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if not visible:
        fix = f"the requests into a worksheet called {SHEET_NAME}, neither hidden nor a chart"
        raise file_error(path, "the workbook has no worksheet that can be seen", fix=fix)
    named = [sheet for sheet in visible if sheet.title.strip().lower() == SHEET_NAME]
    return (named or visible)[0]


def unpacked_bytes(data: bytes) -> int:
    """Return the size of a workbook's parts together, as they say it themselves."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return sum(part.file_size for part in packed.infolist())
