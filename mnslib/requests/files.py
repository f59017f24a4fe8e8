"""Request files: from CSV, XLSX or YAML to rows that remember their line.

Mistakes of form (ragged rows, open quotes, formulas, keys written twice) are collected beside the
rows that could be read, so that one run shows them all. Knows no column by name; a cell is text and
stays text, in YAML too: `no`, `1.10`, `0123` and `2026-01-31` stay what they look like.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from mnslib.errors import Problem, SpecError
from mnslib.requests.rules import file_error, problem
from mnslib.requests.sheets import LONGEST_CELL, plain, read_sheet

LARGEST_FILE_BYTES = 32 * 2**20
"""Our choice: some ten times what the largest useful file needs."""

MOST_ROWS = 20_000
"""Our choice: twice the largest fleet that is measured; more is a mistake or an attack."""

DELIMITERS = (",", ";")
"""Excel writes one or the other, as the computer's region says."""

FORMATS = (".csv", ".xlsx", ".yaml", ".yml")


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


# YAML: each record remembers its line; anchors and Python objects are refused

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = "tag:yaml.org,2002:null"
_NULL_FORM = re.compile(r"(?:~|null|Null|NULL|)\Z")

DEEPEST = 20
"""Levels of lists and mappings; our choice, five being useful."""


class _Loader(_Base):  # type: ignore[misc]  # the faster of the two, chosen above
    """The safe loader without implicit types but null, and with each key once."""

    yaml_implicit_resolvers = {sign: [(_NULL, _NULL_FORM)] for sign in ("~", "n", "N", "")}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        found: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _NULL:
                raise _refusal("a key is no text", key)
            if key.value in found:
                raise _refusal(f"the key {key.value[:60]!r} is written twice", key)
            found.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml_rows(path: Path, data: bytes) -> Rows:
    """Return the records of a list of mappings, known by the line each starts on.

    Raises:
        SpecError: if the file is no YAML, or no list.
    """
    loader, root = _compose(path, data)
    if not isinstance(root, yaml.SequenceNode):
        row = root.start_mark.line + 1 if root else None
        raise file_error(path, "the file is no list of requests", row=row, fix="- in front of each")
    if len(root.value) > MOST_ROWS:
        raise file_error(path, f"the file has more than {MOST_ROWS:,} requests", fix="several")
    rows: list[Row] = []
    found: list[Problem] = []
    for node in root.value:
        number, known = node.start_mark.line + 1, len(found)
        value = _value(loader, node, path, found)
        if isinstance(value, dict):
            rows.append(Row(number=number, cells=value))
        elif len(found) == known:
            message = "the entry is no mapping of columns to values"
            found.append(problem(path.name, number, None, (message, "cluster_name: <its name>")))
    return Rows(file=path.name, header=None, header_row=1, rows=tuple(rows), problems=tuple(found))


def read_yaml_mapping(path: Path) -> dict[str, tuple[int, Any]]:
    """Return line and value of each entry of a mapping, an empty file being an empty one.

    Raises:
        SpecError: with every mistake of form.
    """
    loader, root = _compose(path, read_bytes(path))
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise file_error(path, "the file is no mapping", row=1, fix="<name>: in front of each")
    found: list[Problem] = []
    # only to check the keys: what the entries hold is read one by one, for every mistake at once
    _value(loader, yaml.MappingNode(root.tag, [(k, k) for k, _ in root.value]), path, found)
    entries = {
        str(getattr(key, "value", "")): (
            key.start_mark.line + 1,
            _value(loader, value, path, found),
        )
        for key, value in root.value
    }
    if found:
        raise SpecError(found)
    return entries


def _compose(path: Path, data: bytes) -> tuple[Any, yaml.Node | None]:
    text = decode(path, data)
    try:
        _refuse_hostile(path, text)
        loader = _Loader(text)
        root: yaml.Node | None = loader.get_single_node()
    except yaml.YAMLError as error:
        raise SpecError([_yaml_problem(path, error)]) from error
    return loader, root


def _refuse_hostile(path: Path, text: str) -> None:
    """Return if nodes can be made of the text: deep nests break the C library that makes them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            raise file_error(path, "anchors and aliases are not taken", row=line, fix="it in full")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise file_error(path, "the file is nested too deeply", row=line)


def _value(loader: Any, node: yaml.Node, path: Path, found: list[Problem]) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except yaml.YAMLError as error:
        found.append(_yaml_problem(path, error))
    except ValueError as error:  # of a tag such as !!int
        line = node.start_mark.line + 1
        found.append(problem(path.name, line, None, (f"the value cannot be read: {error}", "")))
    return None


def _refusal(message: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)


def _yaml_problem(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    message = getattr(error, "problem", None) or str(error)
    row = mark.line + 1 if mark is not None else None
    return problem(path.name, row, None, (f"the file is no YAML that is taken: {message}", ""))
