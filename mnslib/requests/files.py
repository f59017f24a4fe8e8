"""Request files: from CSV to rows of text that remember their line.

Mistakes of form (ragged rows, open quotes) are collected beside the rows that could be read, so
that one run shows them all. Knows no column by name; a cell is text and stays text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnslib.errors import Problem, SpecError
from mnslib.requests.rules import Finding

DELIMITERS = (",", ";")
"""Excel writes one or the other, as the computer's region says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record: the line it starts on (1 is the file's first), and its cells by column."""

    number: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A file's records, its header, and what is wrong with its form."""

    file: str
    header: tuple[str, ...]
    header_row: int
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...] = ()


def read_rows(path: Path) -> Rows:
    """Return the records of a request file; empty lines are passed over.

    Reads UTF-8 with or without a byte order mark, comma or semicolon as the header has it.

    Raises:
        SpecError: if the file cannot be read at all: missing, another format, no UTF-8, empty.
    """
    text = _read_text(path)
    found: list[Problem] = []
    records = list(_records(text, path.name, found))
    if found and (not records or (found[0].row or 0) < records[0][0]):
        raise SpecError(found)  # without its header nothing can be said of the rows
    if not records:
        raise _file_error(path, "the file holds no header and no request", row=None)
    (header_row, names), *body = records
    header = tuple(name.strip() for name in names)
    while header and not header[-1]:  # columns that a spreadsheet left behind
        header = header[:-1]
    rows = []
    for number, cells in body:
        while len(cells) > len(header) and not cells[-1]:
            cells.pop()
        if len(cells) == len(header):
            rows.append(Row(number=number, cells=dict(zip(header, cells, strict=True))))
            continue
        message = f"the row has {len(cells)} cells, the header has {len(header)}"
        fix = "one cell for each column, in double quotes if it holds the separator"
        found.append(problem(path.name, number, None, (message, fix)))
    return Rows(
        file=path.name,
        header=header,
        header_row=header_row,
        rows=tuple(rows),
        problems=tuple(found),
    )


def _read_text(path: Path) -> str:
    if path.suffix.lower() != ".csv":
        raise _file_error(
            path,
            f"files of type {path.suffix or '(none)'} cannot be read; XLSX and YAML come in a "
            "later version",
            fix="the requests as CSV (UTF-8)",
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _file_error(path, f"{path} cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _file_error(
            path, "the file is not UTF-8", row=line, fix="it anew as 'CSV UTF-8'"
        ) from error


def _records(text: str, file: str, found: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line each record starts on and its cells; empty records are left out."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            finding = (f"the row is no CSV: {error}", 'a quote inside as ""')
            found.append(problem(file, number, None, finding))
            continue
        if any(cells):
            yield number, cells


def problem(file: str, row: int | None, column: str | None, finding: Finding) -> Problem:
    """Return a finding with its place."""
    message, suggestion = finding
    return Problem(file=file, row=row, column=column, message=f"{message}.", suggestion=suggestion)


def _file_error(path: Path, message: str, *, row: int | None = None, fix: str = "") -> SpecError:
    return SpecError([problem(path.name, row, None, (message, fix))])
