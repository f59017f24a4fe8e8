"""Request files: from CSV, XLSX or YAML to rows that remember their line; each format one reader.

Mistakes of form (ragged rows, open quotes, formulas) are collected beside the rows that could be
read, so that one run shows them all. Knows no column by name; a cell is text and stays text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from mnslib.errors import Problem, SpecError
from mnslib.requests.rows import MOST_ROWS, Row, Rows, decode, file_error, problem, read_bytes
from mnslib.requests.sheets import LONGEST_CELL, plain, read_sheet
from mnslib.requests.yaml_files import read_yaml_rows

DELIMITERS = (",", ";")
"""Excel writes one or the other, as the computer's region says."""

FORMATS = (".csv", ".xlsx", ".yaml", ".yml")


def read_rows(path: Path, data: bytes | None = None) -> Rows:
    """Return the records of a request file; empty lines are passed over.

    Reads YAML, XLSX, and CSV in UTF-8 with or without a byte order mark, comma or semicolon as
    the header has it.

    Args:
        data: its content, if that was read before; None reads it.

    Raises:
        SpecError: if the file cannot be read at all: missing, another format, no UTF-8, empty.
    """
    if path.suffix.lower() not in FORMATS:
        raise file_error(
            path,
            f"files of type {path.suffix or '(none)'} cannot be read",
            fix="the requests as CSV (UTF-8), XLSX or YAML",
        )
    data = read_bytes(path) if data is None else data
    match path.suffix.lower():
        case ".xlsx":
            found: list[Problem] = []
            return _rows(path, read_sheet(path, data, found), found, is_sheet=True)
        case ".csv":
            return _read_csv(path, data)
    return read_yaml_rows(path, data)


def _read_csv(path: Path, data: bytes) -> Rows:
    found: list[Problem] = []
    records = list(_records(decode(path, data), path.name, found))
    if found and (not records or (found[0].row or 0) < records[0][0]):
        raise SpecError(found)  # without its header nothing can be said of the rows
    return _rows(path, records, found)


def _rows(
    path: Path,
    records: Iterable[tuple[int, list[str]]],
    found: list[Problem],
    *,
    is_sheet: bool = False,
) -> Rows:
    """Return records as rows; the first one is the header."""
    (header_row, names), *body = list(islice(records, MOST_ROWS + 2)) or [(0, [])]
    header = tuple(name.strip() for name in names)
    while header and not header[-1]:  # columns that a spreadsheet left behind
        header = header[:-1]
    if not header:
        raise (
            SpecError(found)
            if found
            else file_error(path, "the file holds no header and no request")
        )
    if len(body) > MOST_ROWS:
        raise file_error(path, f"the file has more than {MOST_ROWS:,} rows", fix="several files")
    rows = []
    for number, cells in body:
        while len(cells) > len(header) and not cells[-1]:
            cells.pop()
        cells += [""] * (len(header) - len(cells) if is_sheet else 0)
        if len(cells) != len(header):
            message = f"the row has {len(cells)} cells, the header has {len(header)}"
            fix = "one cell for each column, in double quotes if it holds the separator"
            found.append(problem(path.name, number, None, (message, fix)))
            continue
        named = dict(zip(header, map(plain, cells), strict=True))
        for name, cell in named.items():
            if len(cell) > LONGEST_CELL:
                message = f"the cell has {len(cell):,} characters; {LONGEST_CELL:,} fit"
                found.append(problem(path.name, number, name, (message, "less, or YAML")))
                named[name] = ""
        rows.append(Row(number=number, cells=named))
    return Rows(
        file=path.name,
        header=header,
        header_row=header_row,
        rows=tuple(rows),
        problems=tuple(found),
        is_sheet=is_sheet,
    )


def delimiter_of(text: str) -> str:
    """Return what separates the cells of a CSV file, as its header has it."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(DELIMITERS, key=first.count)


def _records(text: str, file: str, found: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line each record starts on and its cells; empty records are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text), strict=True)
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
