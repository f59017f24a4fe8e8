"""What a request file holds once it is read, whatever its format: rows, and mistakes of form.

Knows no column by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnslib.errors import Problem, SpecError
from mnslib.requests.rules import Finding

LARGEST_FILE_BYTES = 32 * 2**20
"""Our choice: some ten times what the largest useful file needs."""

MOST_ROWS = 20_000
"""Our choice: twice the largest fleet that is measured; more is a mistake or an attack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record: the line it starts on (1 is the file's first), and its cells by column."""

    number: int
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A file's records, and what is wrong with its form.

    Attributes:
        header: None where each record names its own columns.
        is_sheet: whether a place is a cell, such as C7, and not only a line.
    """

    file: str
    header: tuple[str, ...] | None
    header_row: int
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...] = ()
    is_sheet: bool = False


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        SpecError: if it cannot be read or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise file_error(path, f"{path} cannot be read: {error.strerror}") from error
    if len(data) > LARGEST_FILE_BYTES:
        size = f"{LARGEST_FILE_BYTES // 2**20} MiB"
        raise file_error(path, f"the file is larger than {size}", fix="it as several files")
    return data


def decode(path: Path, data: bytes) -> str:
    """Return UTF-8 text, with or without a byte order mark.

    Raises:
        SpecError: if it is in another encoding; names the line.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise file_error(path, "the file is not UTF-8", row=line, fix="it anew as UTF-8") from error


def problem(file: str, row: int | None, column: str | None, finding: Finding) -> Problem:
    """Return a finding with its place."""
    message, suggestion = finding
    return Problem(file=file, row=row, column=column, message=f"{message}.", suggestion=suggestion)


def file_error(path: Path, message: str, *, row: int | None = None, fix: str = "") -> SpecError:
    """Return the error of a file of which nothing can be used."""
    return SpecError([problem(path.name, row, None, (message, fix))])
