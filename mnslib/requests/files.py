"""Request files: from CSV, XLSX or YAML to rows that remember their line.

Mistakes of form (ragged rows, open quotes, formulas, keys written twice) are collected beside the
rows that could be read, so that one run shows them all. Knows of the columns only which hold
amounts; a cell is text and stays text, in YAML too: `no`, `1.10`, `0123` and `2026-01-31` stay what
they look like.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import yaml

from mnslib.errors import Problem, SpecError
from mnslib.models import QUOTA_FIELDS, Sheet
from mnslib.packaged import YAML_LOADER
from mnslib.requests import sheets
from mnslib.requests.rules import SECRET, Finding, say, show
from mnslib.requests.sheets import LONGEST_CELL, MOST_TITLE_ROWS, file_error, header_at, load_book
from mnslib.requests.signs import bare, examined
from mnslib.secrets import looks_secret

LARGEST_FILE_BYTES = 32 * 2**20
"""Our choice: some ten times what the largest useful file needs."""

MOST_ROWS = 20_000
"""Our choice: twice the largest fleet that is measured; more is a mistake or an attack."""

DELIMITERS = (",", ";", "\t")
"""Excel writes one of the first two, as the computer's region says; as Unicode text it is a tab."""

_DECLARED = re.compile(r'"?sep=([^\w\s"]|\t)"?\1*', re.IGNORECASE)
"""A first line by which Excel is told the delimiter, filled up to the last column by some."""

_AMOUNT = re.compile(r"(0|[1-9]\d*)(\.\d*)?|\.\d+", re.ASCII)
"""A number as it is typed."""

YAML = (".yaml", ".yml")
FORMATS = (".csv", ".xlsx", *YAML)

MOST_COLUMNS = 200
"""Our choice; more columns hold nothing that is asked for."""


@dataclass(slots=True, kw_only=True)
class Rows:
    """A file's records, and what is wrong with it so far.

    Attributes:
        rows: the line that each record starts on (1 is the file's first), and its cells by column;
            the line is None where there is but one record that a program has put together.
        header: empty where each record names its own columns.
        delimiter: what separates the cells of a CSV file, as its header has it.
        sheet: empty for a file that is no workbook.
        merged: the ranges of cells that are merged in it, as openpyxl has them.
    """

    file: str
    rows: list[tuple[int | None, Mapping[str, Any]]] = field(default_factory=list)
    header: tuple[str, ...] = ()
    header_row: int = 1
    delimiter: str = ","
    sheet: Sheet = field(default_factory=Sheet)
    merged: list[Any] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def name(self, row: int | None, text: str) -> str:
        """Return a heading or a key as it is meant, after telling what nobody sees in it."""
        clean, odd = examined(text, is_name=True)
        if odd:
            self.tell(row, clean or text, say("name_signs", clean, odd=odd))
        return clean or text

    def tell(self, row: int | None, column: str | None, finding: Finding) -> None:
        """Keep what is wrong in a row, or in a cell of it."""
        message, suggestion = finding
        letter = self.sheet.letters.get(column or "")
        self.problems.append(
            Problem(
                file=self.file,
                row=row,
                column=column and column[:120],
                message=f"{message}.",
                suggestion=suggestion,
                cell=f"{letter}{row}" if column and letter else "",
            )
        )


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        SpecError: if it cannot be read or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise file_error(path, *say("unreadable_file", path=path, why=error.strerror)) from error
    if len(data) > LARGEST_FILE_BYTES:
        raise file_error(path, *say("large_file", most=LARGEST_FILE_BYTES // 2**20))
    return data


def decode(path: Path, data: bytes) -> str:
    """Return UTF-8 text, with or without a byte order mark, or UTF-16 text with one.

    Raises:
        SpecError: if it is in another encoding; names the line.
    """
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    in_excel = " (in Excel: the type CSV UTF-8)" if path.suffix.lower() == ".csv" else ""
    fix = f"it anew as UTF-8{in_excel}"
    try:
        text = data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line, bits = data[: error.start].count(b"\n") + 1, 16 if is_wide else 8
        raise file_error(path, *say("encoding", fix, bits=bits), row=line) from error
    if "\0" in text:
        raise file_error(path, *say("zero_bytes", fix))
    return text


def read_rows(path: Path, data: bytes | None = None) -> Rows:
    """Return the records of a request file; empty lines are passed over.

    Reads YAML, XLSX, and CSV in UTF-8, or UTF-16 with a byte order mark; comma, semicolon or tab
    as the header has it, or what a first line `sep=;` says.

    Args:
        data: its content, if that was read before; None reads it.

    Raises:
        SpecError: if the file cannot be read at all: missing, another format, encoding or
            delimiter, empty.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise file_error(path, *say("file_type", suffix=suffix or "(none)"))
    data = read_bytes(path) if data is None else data
    if suffix != ".xlsx" and data.startswith(b"PK\x03\x04"):
        raise file_error(path, *say("workbook_name", suffix=suffix))
    table = Rows(file=path.name)
    if suffix in YAML:
        _fill_from_yaml(table, path, data)
    elif suffix == ".xlsx":
        _fill(table, path, _sheet(table, path, data))
    else:
        _fill(table, path, _records(table, decode(path, data)))
    return table


def _fill(table: Rows, path: Path, records: Iterable[tuple[int, list[Any]]]) -> None:
    """Read records into rows; what stands above the header is no request."""
    lines = list(islice(records, MOST_ROWS + 1 + MOST_TITLE_ROWS))
    (table.header_row, names), *body = _below_titles(table, lines) or [(0, [])]
    while names and not names[-1].strip():  # columns that a spreadsheet left behind
        names.pop()
    if table.problems and (not names or (table.problems[0].row or 0) < table.header_row):
        raise SpecError(table.problems)  # without its header nothing can be said of the rows
    if not names:
        raise file_error(path, *say("empty_file"))
    if len(names) == 1 and sheets.named_in(names) > 1:
        sign = re.sub(r"[\w\s\"']", "", names[0])[:1] or " "
        raise file_error(path, *say("one_cell_header", sign=repr(sign)), row=table.header_row)
    if len(body) > MOST_ROWS:
        raise file_error(path, *say("many_rows", most=MOST_ROWS))
    header = table.header = tuple(table.name(table.header_row, bare(name)) for name in names)
    for number, cells in body:
        while len(cells) > len(header) and cells[-1] == "":
            cells.pop()
        cells += [""] * (len(header) - len(cells) if table.sheet.letters else 0)
        if len(cells) != len(header):
            table.tell(number, None, say("ragged_row", count=len(cells), names=len(header)))
            continue
        named = dict(zip(header, map(sheets.plain, cells), strict=True))
        for name in [name for name, cell in named.items() if len(str(cell)) > LONGEST_CELL]:
            table.tell(number, name, say("long_cell", count=len(named[name]), most=LONGEST_CELL))
            named[name] = ""
        table.rows.append((number, named))


def _below_titles(table: Rows, lines: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Return the lines from the header on; what stands above it must just hold no secret."""
    first = lines[:MOST_TITLE_ROWS]
    rows = ((getattr(cell, "value", cell) for cell in cells) for _, cells in first)
    texts = [[str(getattr(held, "text", held)) for held in row] for row in rows]
    at = header_at(texts)
    for (number, _), row in zip(lines[:at], texts, strict=False):
        if looks_secret(row):
            table.tell(number, None, SECRET)
    return lines[at:]


def _records(table: Rows, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line each record starts on and its cells; empty records are left out."""
    lines = list(islice(filter(str.strip, text.splitlines()), MOST_TITLE_ROWS)) or [""]
    declared = _DECLARED.fullmatch(lines[0].rstrip(" "))
    header = lines[header_at([line] for line in lines)]
    table.delimiter = declared[1] if declared else max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=table.delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = [bare(cell) for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            table.tell(number, None, say("no_csv", error=error))
            continue
        if declared and any(cells):
            declared = None
        elif any(cells):
            yield number, cells


def _sheet(table: Rows, path: Path, data: bytes) -> list[tuple[int, list[Any]]]:
    """Return row number and cells of a workbook's request sheet; empty rows are left out.

    Values only, and numbers stay numbers, which are exact: a cell with a formula, a date or an
    error, and one that shows something else than it holds, is told, and left empty.

    Raises:
        SpecError: if it is no workbook, or too large.
    """
    from openpyxl.utils import get_column_letter

    try:
        book = load_book(path, data, read_only=True)
        for each in book.worksheets:  # some programs write wrong ones: cells would be lost
            each.reset_dimensions()
        sheet, unread = sheets.request_sheet(path, book)
        rows = enumerate(sheet.iter_rows(), 1)
        filled = [(number, cells) for number, cells in rows if any(map(_is_filled, cells))]
        shape = load_book(path, data)[sheet.title]
        names: list[str] = []
        lines = []
        for number, cells in _below_titles(table, filled):
            values: list[Any] = []
            for cell, name in zip_longest(cells[:MOST_COLUMNS], names[: len(cells)]):
                value, finding = _cell(cell, name in QUOTA_FIELDS)
                values.append(value)
                if finding:
                    table.tell(number, name, finding)
            lines.append((number, values))
            if not names:
                names = values[:] = [*map(str, values)]
                letters = {name: get_column_letter(at) for at, name in enumerate(names, 1)}
                table.sheet = Sheet(letters, unread=unread)
        hidden = [one for one in shape.column_dimensions.values() if one.hidden or one.width == 0]
        table.sheet = replace(
            table.sheet,
            hidden_rows=tuple(row for row, _ in lines[1:] if _is_hidden(shape.row_dimensions[row])),
            hidden_columns=tuple(
                name for one in hidden for name in names[one.min - 1 : one.max] if name
            ),
        )
        table.merged = sorted(shape.merged_cells.ranges, key=lambda one: (one.min_row, one.min_col))
        return lines
    except SpecError:
        raise
    except Exception as error:  # whatever breaks in a file from outside is the file's fault
        raise file_error(path, *say("no_workbook")) from error


def _is_hidden(row: Any) -> bool:
    return bool(row.hidden) or row.height == 0


def _is_filled(cell: Any) -> bool:
    return cell.value is not None and str(cell.value).strip() != ""


def _cell(cell: Any, is_amount: bool) -> tuple[str | float, Finding | None]:
    """Return a number or the text of a cell, or what is wrong with it.

    Args:
        is_amount: `2.00` is the amount 2; of a name it is another one.
    """
    from openpyxl.utils.datetime import to_excel

    value = cell.value
    if value is None:
        return "", None
    if cell.data_type == "f":
        # one with a secret is told as such, since the file is given back with its formulas
        is_secret = looks_secret(str(getattr(value, "text", value)))
        return "", say("secret_formula" if is_secret else "formula")
    if cell.data_type == "e":
        return "", say("error_value", error=str(value)[:20])
    if isinstance(value, date | time | timedelta):
        seen = str(value).removesuffix(" 00:00:00")
        return "", say("date_value", held=to_excel(value), seen=seen)
    if isinstance(value, bool):
        return "", say("truth_value", seen=str(value).upper())
    is_number = isinstance(value, int | float)
    if is_number or cell.number_format not in sheets.PLAIN:
        text = sheets.number_text(value) if is_number else value.strip()
        visible = sheets.displayed(value, cell.number_format)
        is_same = is_number and is_amount and _AMOUNT.fullmatch(visible or "")
        if visible != text and not (is_same and Decimal(visible or 0) == Decimal(text)):
            if visible is None:
                return "", say("shown_by_format", held=show(text), format=show(cell.number_format))
            return "", say("shown_as", held=show(text), seen=show(visible))
    if is_number:
        return value, None
    # a workbook's way to say that what looks like an escaped sign, such as _x0041_, is none
    return bare(str(value).replace("_x005F_", "_")), None


# YAML: each value is the text that was written; anchors, tags and merge keys are refused

_NULLS = ("", "~", "null", "Null", "NULL")

DEEPEST = 20
"""Levels of lists and mappings; our choice, five being useful."""


def _fill_from_yaml(table: Rows, path: Path, data: bytes) -> None:
    row, entries = _document(table, path, data)
    if not isinstance(entries, list):
        raise file_error(path, *say("no_list"), row=row)
    if len(entries) > MOST_ROWS:
        raise file_error(path, *say("many_requests", most=MOST_ROWS))
    for line, entry in entries:
        if isinstance(entry, dict):
            table.rows.append((line, entry))
        else:
            table.tell(line, None, say("entry_no_mapping"))


class Plain(str):
    """A value of a mapping that was written without quotes, so that it may be more than text."""

    __slots__ = ()


def read_yaml_mapping(path: Path, data: bytes | None = None) -> dict[str, tuple[int, Any]]:
    """Return line and value of each entry of a mapping, an empty file being an empty one.

    Values are text, `Plain` where they stand without quotes, None, or lists and mappings of these.

    Args:
        data: its content, if that was read before; None reads it.

    Raises:
        SpecError: with every mistake of form.
    """
    table = Rows(file=path.name)
    row, entries = _document(table, path, read_bytes(path) if data is None else data)
    if entries is not None and not isinstance(entries, dict):
        raise file_error(path, *say("no_mapping"), row=row)
    if table.problems:
        raise SpecError(table.problems)
    return entries or {}


def _document(table: Rows, path: Path, data: bytes) -> tuple[int | None, Any]:
    """Return the line and the outermost value, each entry of which stands with its line.

    It is made of events, since deep nests break the C library where it makes more of them.
    """
    events: Iterator[Any] = yaml.parse(decode(path, data), Loader=YAML_LOADER)

    def refuse(message: str, line: int) -> None:
        table.tell(line, None, say("no_yaml", why=message))

    def value(event: Any, depth: int) -> Any:
        line = event.start_mark.line + 1
        if event.anchor is not None:  # an alias has the name of its anchor
            raise file_error(path, *say("anchors"), row=line)
        if event.tag is not None:
            refuse(f"the tag {event.tag[:60]!r} is not taken", line)
        if isinstance(event, yaml.ScalarEvent):
            is_plain = event.implicit[0]
            if is_plain and event.value in _NULLS:
                return None
            # what lies deeper is text, whatever it looks like
            return Plain(event.value) if is_plain and depth == 1 else event.value
        if depth == DEEPEST:
            raise file_error(path, *say("deep"), row=line)
        parts = []
        for part in events:
            if isinstance(part, yaml.CollectionEndEvent):
                break
            parts.append((part.start_mark.line + 1, value(part, depth + 1)))
        if isinstance(event, yaml.SequenceStartEvent):
            return parts if depth == 0 else [made for _, made in parts]
        mapping: dict[str, Any] = {}
        for (line, key), (_, made) in zip(parts[::2], parts[1::2], strict=True):
            if not isinstance(key, str):
                refuse("a key is no text", line)
            elif key == "<<":
                refuse("merge keys are not taken", line)
            elif (name := table.name(line, key)) in mapping:
                refuse(f"the key {name[:60]!r} is written twice", line)
            else:
                mapping[name] = (line, made) if depth == 0 else made
        return mapping

    try:
        next(events)
        if isinstance(next(events), yaml.StreamEndEvent):
            return None, None
        first = next(events)
        whole = value(first, 0)
        next(events)
        if isinstance(next(events), yaml.DocumentStartEvent):
            raise file_error(path, *say("no_yaml", why="only one document is expected"))
    except yaml.YAMLError as error:
        mark, said = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        row = mark.line + 1 if mark else None
        raise file_error(path, *say("no_yaml", why=said or error), row=row) from error
    return first.start_mark.line + 1, whole
