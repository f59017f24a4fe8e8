"""Text in the cells of a spreadsheet, there and back, and the reading of workbooks.

No text of ours starts a formula, in any CSV or XLSX file: `neutral` is the one place. Knows of the
columns only which a header has. The library for workbooks is loaded when one is read or written.
"""

import csv
import io
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import islice
from pathlib import Path
from typing import Any

from mnslib.errors import Problem, SpecError
from mnslib.requests.rules import say
from mnslib.resource_ids import ID_COLUMNS

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Text that a spreadsheet would run. Source: OWASP, "CSV Injection"."""

LONGEST_CELL = 32_767
"""Characters. Source: Excel specifications and limits."""

LARGEST_UNPACKED_BYTES = 64 * 2**20
"""Of a workbook, which is a packed file; our choice, four times what 20,000 full rows need: to read
and to write it takes all of it into memory, some 20 bytes for each."""

MOST_MERGED_CELLS = 100_000
"""Our choice, five columns of 20,000 rows; openpyxl makes each of them, a column in a minute."""

_MERGED = re.compile(rb'<(?:\w+:)?mergeCell [^>]*?ref="([A-Z]+\d+:[A-Z]+\d+)"')

SHEET_NAME = "requests"
"""The sheet that is read; without one of this name the only one that holds requests."""

MOST_TITLE_ROWS = 20
"""Rows with text that may stand above the header, and it with them; our choice."""

GUIDES = ("columns", "tiers")
"""Sheets that only explain, in a workbook to fill in."""


PLAIN = ("General", "@")
"""Formats that show a text as it is, and a number but for very large ones."""

_TEXT = r'"([^"]*)"|\\(.)|\[\$([^]-]*)[^]]*\]|\[[A-Za-z]+ ?\d*\]|[_*].'
"""Text in quotes, behind a backslash and of a currency; colors and gaps, which are no text."""

_AROUND = rf"((?:{_TEXT}|[-+$€£¥() ])*)"
_USUAL = re.compile(
    rf"{_AROUND}(?P<digits>General|@|(?:#,#)?#*0*(?:\.[0#]*)?)(?P<percent> ?%)?(?P<after>{_AROUND})"
)


def file_error(path: Path, message: str, fix: str = "", *, row: int | None = None) -> SpecError:
    """Return the error of a file of which nothing can be used."""
    found = Problem(file=path.name, row=row, column=None, message=f"{message}.", suggestion=fix)
    return SpecError([found])


def number_text(value: float) -> str:
    """Return a number as a spreadsheet shows it, with 15 digits; a whole one without a point."""
    return f"{Decimal(f'{value:.15g}').normalize():f}"


def displayed(value: str | float, code: str) -> str | None:
    """Return what a cell shows by its number format; None where that format is not usual.

    Usual are digits with zeros, decimals, thousands and percent, and text around them; it knows
    nothing of dates. Spaces around it are left out.

        >>> displayed(7, "000"), displayed(1500, '0"m"'), displayed(7, "# ?/?")
        ('007', '1500m', None)

    Source: ECMA-376-1, 18.8.31, numFmts.
    """
    sections = code.split(";")
    place = 3 if isinstance(value, str) else 2 if value == 0 else int(value < 0)
    section = sections[place] if place < len(sections) else sections[0]
    if place == 3 and len(sections) < 4:  # the last one is of text where it says so
        section = sections[-1] if "@" in sections[-1] else "@"
    found = _USUAL.fullmatch(section)
    if found is None or re.search(r"\[[<>=]", code):
        return None
    text = _digits(value, found["digits"], bool(found["percent"]))
    sign = "-" if place == 1 and len(sections) == 1 else ""
    before, after = (re.sub(_TEXT, r"\1\2\3", around) for around in (found[1], found["after"]))
    return f"{sign}{before}{text}{found['percent'] or ''}{after}".strip()


def _digits(value: str | float, digits: str, is_percent: bool) -> str:
    """Return a text, or a number without its sign."""
    if isinstance(value, str) or not digits:
        return str(value) if digits else ""
    number = abs(Decimal(number_text(value))).scaleb(2 * is_percent)
    if digits in PLAIN:
        is_large = digits == "General" and number >= 10**11
        return f"{number:.6G}" if is_large else f"{number:f}"
    whole, point, places = digits.partition(".")
    with localcontext(rounding=ROUND_HALF_UP):
        text = f"{number:{',' if ',' in whole else ''}.{len(places)}f}"
    text = text.zfill(whole.count("0") + len(point + places)) if "0" in whole else text.lstrip("0")
    return re.sub(rf"0{{0,{places.count('#')}}}$", "", text)


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
        raise file_error(path, *say("no_sheet", name=SHEET_NAME))
    found = [sheet for sheet in visible if sheet.title.strip().lower() == SHEET_NAME]
    if not found:
        found = [sheet for sheet in visible if len(visible) == 1 or _holds_requests(sheet)]
    if len(found) != 1:
        titles = ", ".join(repr(sheet.title) for sheet in found or visible)
        wrong = "which_sheet" if found else "no_request_sheet"
        raise file_error(path, *say(wrong, name=SHEET_NAME, titles=titles))
    worksheets = {sheet.title: sheet.sheet_state for sheet in book.worksheets}
    unread = (
        f"{title!r}" + {"visible": "", None: " (a chart)"}.get(worksheets.get(title), " (hidden)")
        for title in book.sheetnames
        if title != found[0].title and title not in GUIDES
    )
    return found[0], tuple(unread)


def _holds_requests(sheet: Any) -> bool:
    rows = islice(sheet.iter_rows(values_only=True), MOST_TITLE_ROWS)
    return any(named_in(row) == len(ID_COLUMNS) for row in rows)


def named_in(row: Iterable[object]) -> int:
    """Return how many of the columns that say which namespace is meant a row of cells names."""
    text = "\n".join(str(cell) for cell in row if cell is not None)
    return sum(name in text for name in ID_COLUMNS)


def header_at(rows: Iterable[Iterable[object]]) -> int:
    """Return the place of the header among the first rows, above which there may be titles."""
    found = [named_in(row) for row in rows]
    return found.index(max(found, default=0)) if found else 0


def load_book(path: Path, data: bytes, *, read_only: bool = False) -> Any:
    """Return a workbook of openpyxl.

    Args:
        read_only: it has the cells alone, in the order of the file.

    Raises:
        SpecError: if it is too large, or more cells of it are merged than anybody needs.
    """
    from openpyxl import load_workbook
    from openpyxl.worksheet.cell_range import CellRange

    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        size = sum(part.file_size for part in packed.infolist())  # as they say it themselves
        if size > LARGEST_UNPACKED_BYTES:
            raise file_error(path, *say("large_workbook", most=LARGEST_UNPACKED_BYTES // 2**20))
        texts = [packed.read(name) for name in packed.namelist() if name.endswith(".xml")]
    found = [CellRange(ref.decode()) for text in texts for ref in _MERGED.findall(text)]
    sizes = {one.coord: one.size["rows"] * one.size["columns"] for one in found}
    if sum(sizes.values()) > MOST_MERGED_CELLS:
        raise file_error(path, *say("merged", cells=max(sizes, key=lambda ref: sizes[ref])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about extras of the workbook that are not kept
        return load_workbook(io.BytesIO(data), read_only=read_only, keep_links=not read_only)
