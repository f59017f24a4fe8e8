"""Text in the cells of a spreadsheet, there and back, and the reading of workbooks.

No text of ours starts a formula, in any CSV or XLSX file: `neutral` is the one place. Knows no
column by name. The library for workbooks is loaded when one is read or written.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from mnslib.errors import Problem, SpecError
from mnslib.requests.rules import Finding, file_error, problem

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Text that a spreadsheet would run. Source: OWASP, "CSV Injection"."""

LONGEST_CELL = 32_767
"""Characters. Source: Excel specifications and limits."""

LARGEST_UNPACKED_BYTES = 256 * 2**20
"""Of a workbook, which is a packed file; our choice, against one made to fill the memory."""

MOST_COLUMNS = 200
"""Our choice; more columns hold nothing that is asked for."""

SHEET_NAME = "requests"
"""The sheet that is read; without one of this name the first that is not hidden."""


def neutral(cell: Any) -> Any:
    """Return the cell so that no spreadsheet takes it for a formula; numbers stay numbers."""
    return f"'{cell}" if isinstance(cell, str) and _starts_formula(cell.lstrip("'")) else cell


def plain(cell: str) -> str:
    """Return the text that `neutral` made harmless; any other as it is."""
    return cell[1:] if cell.startswith("'") and neutral(cell[1:]) != cell[1:] else cell


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


def read_sheet(path: Path, data: bytes, found: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield row number and cells of a workbook's request sheet; empty rows are left out.

    Values only: a cell with a formula, a date or an error is added to `found` and left empty.

    Raises:
        SpecError: if it is no workbook, or too large.
    """
    header: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about extras of the workbook that are not read
            for number, cells in enumerate(_sheet(path, data).iter_rows(), 1):
                texts, findings = _texts(cells[:MOST_COLUMNS])
                for index, finding in findings:
                    column = header[index] if index < len(header) else None
                    found.append(problem(path.name, number, column, finding))
                header = header or (texts if any(texts) else [])
                if any(texts) or findings:
                    yield number, texts
    except SpecError:
        raise
    except Exception as error:  # whatever breaks in a file from outside is the file's fault
        message, fix = _unreadable(data)
        raise file_error(path, message, fix=fix) from error


def _unreadable(data: bytes) -> Finding:
    """Return what is wrong with a file that the library for workbooks breaks at."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            names = packed.namelist()
    except zipfile.BadZipFile:
        message = "the file is no XLSX workbook, or it is protected by a password"
        return message, "it anew as .xlsx without a password, or as CSV"
    if any(name.startswith("xl/chartsheets/") for name in names):
        message = "the workbook has a chart sheet that cannot be read here"
        return message, "it anew without sheets that are charts, or as CSV"
    return "the workbook is damaged, or of a kind that cannot be read here", "it anew, or as CSV"


def unpacked_bytes(data: bytes) -> int:
    """Return the size of a workbook's parts together, as they say it themselves."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return sum(part.file_size for part in packed.infolist())


def _sheet(path: Path, data: bytes) -> Any:
    from openpyxl import load_workbook

    if unpacked_bytes(data) > LARGEST_UNPACKED_BYTES:
        size = f"{LARGEST_UNPACKED_BYTES // 2**20} MiB"
        raise file_error(path, f"the workbook is larger than {size} when it is unpacked")
    book = load_workbook(io.BytesIO(data), read_only=True, keep_links=False)
    sheet = request_sheet(path, book)
    sheet.reset_dimensions()  # some programs write wrong ones, and then cells would be lost
    return sheet


def _texts(cells: Any) -> tuple[list[str], list[tuple[int, Finding]]]:
    texts: list[str] = []
    findings: list[tuple[int, Finding]] = []
    for index, cell in enumerate(cells):
        text, finding = _text(cell)
        texts.append(text)
        if finding is not None:
            findings.append((index, finding))
    return texts, findings


def _text(cell: Any) -> tuple[str, Finding | None]:
    """Return a cell as people read it, or what is wrong with it."""
    value = cell.value
    if value is None:
        return "", None
    if cell.data_type == "f":
        return "", ("the cell holds a formula", "its value")
    if cell.data_type == "e":
        return "", (f"the cell holds the spreadsheet's error {str(value)[:20]}", "a value")
    if isinstance(value, date | time | timedelta):
        message = "the spreadsheet made a date of what was typed"
        return "", (message, "it again, after formatting the cell as text")
    if isinstance(value, bool):
        return str(value).lower(), None
    if isinstance(value, float):  # 15 digits are what a spreadsheet shows
        return f"{Decimal(f'{value:.15g}').normalize():f}", None
    # a workbook's way to say that what looks like an escaped sign, such as _x0041_, is none
    return str(value).replace("_x005F_", "_").strip(), None
