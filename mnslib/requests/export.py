"""From what exists to a request file that asks for exactly that: the way back.

What the reader of a request file would refuse (a value that looks like a secret, a tag that Azure
made for itself) is left out and named; a key left out is left alone. Reads nothing remote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import yaml

from mnslib.errors import SpecError, cut
from mnslib.models import POLICY_FIELDS, AccessGrant, ManagedNamespace, format_quota_value
from mnslib.requests import cells
from mnslib.requests.columns import COLUMNS, written
from mnslib.requests.rules import CellError
from mnslib.requests.sheets import LONGEST_CELL, csv_bytes
from mnslib.requests.spec import specs_from_rows
from mnslib.requests.workbook import request_workbook
from mnslib.resource_ids import ID_COLUMNS, ManagedNamespaceId
from mnslib.secrets import looks_secret

Value = TypeVar("Value", str, str | None)


def request_rows(
    namespaces: Iterable[ManagedNamespace],
    grants: Mapping[ManagedNamespaceId, Sequence[AccessGrant]],
    *,
    suffix: str,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one row for each managed namespace, and sentences about what could not be written.

    Args:
        grants: the role assignments of each, as far as a request can ask for them.
        suffix: of the file that the rows are for; one that is not YAML holds text only.
    """
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    for namespace in sorted(namespaces, key=lambda found: found.id.key):
        row = _row(namespace, grants.get(namespace.id, ()), left_out)
        if not _is_yaml(suffix):
            row = {name: cells.written(value) for name, value in row.items()}
        if _accepted(row, namespace.id, left_out):
            rows.append(row)
    return rows, left_out


def request_file(rows: Sequence[Mapping[str, Any]], *, suffix: str) -> bytes:
    """Return rows as a file: YAML, XLSX or CSV, as the suffix says; no cell starts a formula."""
    if _is_yaml(suffix):
        return "".join(map(_entry, rows)).encode() or b"[]\n"
    texts = [{name: written(name, value) for name, value in row.items()} for row in rows]
    if suffix == ".xlsx":
        return request_workbook(texts)
    return csv_bytes([COLUMNS, *([row.get(name, "") for name in COLUMNS] for row in texts)])


def _entry(row: Mapping[str, Any]) -> str:
    # the writer leaves signs such as U+0085 as they are, and a reader takes them for line ends
    is_plain = json.dumps(row, ensure_ascii=False).isprintable()
    return yaml.safe_dump([dict(row)], allow_unicode=is_plain, sort_keys=False)


def _is_yaml(suffix: str) -> bool:
    return suffix in (".yaml", ".yml")


def _row(
    namespace: ManagedNamespace, grants: Sequence[AccessGrant], left_out: list[str]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        **namespace.id.columns,
        **{name: getattr(namespace, name) for name in POLICY_FIELDS},
        "access": [cells.grant_text(grant) for grant in grants],
    }
    for name, amount in namespace.quota.items():
        try:
            row[name] = format_quota_value(name, amount)
        except ValueError as error:
            left_out.append(f"{name} of {namespace.id}: {error}")
    for name in ("labels", "annotations", "tags"):
        row[name] = kept(getattr(namespace, name), name, f"{name} of {namespace.id}", left_out)
    if row["labels"].get("owner"):
        row["owner"] = row["labels"].pop("owner")
    return {
        name: str(row[name]) if isinstance(row[name], str) else row[name]
        for name in COLUMNS
        if row.get(name)
    }


def kept(
    pairs: Mapping[str, Value], column: str, where: str, left_out: list[str]
) -> dict[str, Value]:
    """Return the pairs that a request file may hold; what it may not is named in `left_out`."""
    kept: dict[str, Value] = {}
    for key, value in pairs.items():
        try:
            cells.read_pairs(column, {key: value})
        except CellError as error:
            left_out.append(cut(f"{where}: {error}"))
            continue
        if looks_secret({key: value}):
            left_out.append(cut(f"{where}: {key} looks like a secret"))
        else:
            kept[key] = value
    return kept


def _accepted(row: dict[str, Any], where: ManagedNamespaceId, left_out: list[str]) -> bool:
    """Return whether the row can be read back, after taking out the cells that cannot."""
    for name in [name for name, cell in row.items() if isinstance(cell, str)]:
        if len(row[name]) > LONGEST_CELL:
            left_out.append(f"{name} of {where}: too long for a cell; YAML has room for it")
            del row[name]
    while True:
        try:
            specs_from_rows([row], file=str(where))
        except SpecError as error:
            left_out += [cut(str(problem)) for problem in error.problems]
            columns = {problem.column or "" for problem in error.problems} & set(row)
            if not columns or columns & set(ID_COLUMNS):
                return False
            for name in columns:
                del row[name]
        else:
            return True
