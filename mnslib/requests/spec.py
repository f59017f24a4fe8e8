"""From rows to validated requests; every mistake of a file at once, each with its cell.

Nothing remote is read: whether a cluster exists, or a quota may shrink, is the plan's business.
What is not built yet is refused in its cell, never ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mnslib.errors import Problem, SpecError, nearest
from mnslib.models import NamespaceSpec, Origin
from mnslib.requests.columns import (
    ANSWER_COLUMNS,
    COLUMNS,
    ID_COLUMNS,
    SECRET,
    RequestRow,
    cell_findings,
    is_mentioned,
)
from mnslib.requests.files import Rows, read_rows
from mnslib.requests.policy import Policy
from mnslib.requests.rules import CellError, Finding, problem, show
from mnslib.requests.tiers import Tiers, with_tier
from mnslib.secrets import looks_secret


def parse_requests(
    path: Path,
    *,
    data: bytes | None = None,
    tiers: Tiers | None = None,
    policy: Policy | None = None,
) -> tuple[NamespaceSpec, ...]:
    """Return the requests of a CSV, XLSX or YAML file, in its order; reads nothing but the file.

    Args:
        data: its content, if that was read before; None reads it.
        tiers: the sizes that rows may name; None for none.
        policy: what every request has to keep to; None for nothing.

    Raises:
        SpecError: with every mistake of the file; then nothing of it is to be used.
    """
    table = read_rows(path, data)
    problems = [*table.problems, *_header_problems(table)]
    if not table.rows and not problems:
        problems.append(problem(table.file, None, None, ("the file holds no request", "")))
    known = [
        (row.number, {n: v for n, v in row.cells.items() if not table.header or n in COLUMNS})
        for row in table.rows
    ]
    letters = _letters(table)
    specs, found = _validate(known, file=table.file, tiers=tiers, policy=policy, letters=letters)
    absent = {n for n in ID_COLUMNS if table.header and n not in table.header}
    told = {(p.row, p.column) for p in table.problems}
    problems += [p for p in found if p.column not in absent and (p.row, p.column) not in told]
    if problems:
        placed = [
            replace(p, cell=Origin(file=p.file, row=p.row, letters=letters).cell(p.column or ""))
            for p in problems
        ]
        order = {name: number for number, name in enumerate(table.header or COLUMNS)}
        last = len(order)
        raise SpecError(sorted(placed, key=lambda p: (p.row or 0, order.get(p.column or "", last))))
    return specs


def specs_from_rows(
    rows: Sequence[Mapping[str, Any]],
    *,
    file: str,
    tiers: Tiers | None = None,
    policy: Policy | None = None,
) -> tuple[NamespaceSpec, ...]:
    """Return the requests that a program has put together, checked as those of a file are.

    Mappings and lists may stand where a file has text; None removes a quota value. An empty text,
    mapping or list mentions nothing.

    Args:
        rows: values by column; their place counts from 1.
        file: where they come from, to name in a mistake.
        tiers, policy: as `parse_requests` takes them.

    Raises:
        SpecError: with every mistake; a single row's mistakes carry no row number.
    """
    numbered = enumerate(rows, start=1)
    is_single = len(rows) == 1
    specs, problems = _validate(
        numbered, file=file, tiers=tiers, policy=policy, is_single=is_single
    )
    if problems:
        raise SpecError(problems)
    return specs


def _header_problems(table: Rows) -> list[Problem]:
    if table.header is None:
        return []
    found: list[tuple[str | None, Finding]] = []
    for position, name in enumerate(table.header):
        if not name:
            found.append((None, (f"column {position + 1} has no name", "")))
        elif name in table.header[:position]:
            found.append((name, ("the column is there twice", "")))
        elif name not in (*COLUMNS, *ANSWER_COLUMNS):
            found.append((name[:60], (f"there is no column {show(name)}", nearest(name, COLUMNS))))
    for name in ID_COLUMNS:
        if name not in table.header:
            found.append((name, (f"the column {name} is missing", "it into the header")))
    return [problem(table.file, table.header_row, column, finding) for column, finding in found]


def _letters(table: Rows) -> dict[str, str]:
    """Return the letter of each column of a sheet by its name; nothing for another file."""
    if not table.is_sheet:
        return {}
    from openpyxl.utils import get_column_letter

    names = enumerate(table.header or (), 1)
    return {name: get_column_letter(position) for position, name in names}


def _validate(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    *,
    file: str,
    tiers: Tiers | None,
    policy: Policy | None,
    is_single: bool = False,
    letters: Mapping[str, str] | None = None,
) -> tuple[tuple[NamespaceSpec, ...], list[Problem]]:
    specs: list[NamespaceSpec] = []
    problems: list[Problem] = []
    first_row: dict[str, int] = {}
    for number, values in rows:
        found: list[tuple[str, Finding]] = []
        shown = None if is_single else number
        mentioned = {name: value for name, value in values.items() if is_mentioned(name, value)}
        # before anything else looks at them, since what is refused there is quoted
        secret = [name for name in mentioned if looks_secret(mentioned[name])]
        found += [(name[:60], SECRET) for name in secret]
        for name in secret:
            del mentioned[name]
        try:
            row = RequestRow.read(mentioned)
        except ValidationError as error:
            found += [pair for pair in cell_findings(error) if pair[0] not in secret]
        else:
            spec = row.to_spec(Origin(file=file, row=shown, letters=letters or {}))
            specs.append(_agreed(spec, found, tiers=tiers, policy=policy))
        key = "/".join(str(mentioned.get(name, "")).strip().lower() for name in ID_COLUMNS)
        has_id = all(name in mentioned for name in ID_COLUMNS)
        if has_id and (earlier := first_row.setdefault(key, number)) != number:
            message = f"the same managed namespace is in row {earlier} already"
            found.append(("namespace_name", (message, "one row for each namespace")))
        problems += [problem(file, shown, column, finding) for column, finding in found]
    return tuple(specs), problems


def _agreed(
    spec: NamespaceSpec,
    found: list[tuple[str, Finding]],
    *,
    tiers: Tiers | None,
    policy: Policy | None,
) -> NamespaceSpec:
    """Return the request with its tier; what tier and policy refuse is added to `found`."""
    try:
        spec = with_tier(spec, tiers)
    except CellError as error:
        found += [("tier", finding) for finding in error.findings]
    if policy is not None:
        found += policy.violations(spec)
    return spec
