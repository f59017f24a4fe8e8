"""Request files that are written: of what exists, of rows, the workbook to fill in, and the very
file that was read, given back with what came of each of its rows.

What the reader of a request file would refuse (a value that looks like a secret, a tag that Azure
made for itself) is left out and named; a key left out is left alone. Cells of a workbook are text,
so that no spreadsheet makes a date of `1-2`. What is given back keeps its format, as far as
openpyxl can (YAML gets a CSV beside it); its answers are passed over when it is read again.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mnslib import models
from mnslib.errors import SpecError, cut
from mnslib.requests import cells, columns, sheets
from mnslib.requests.columns import COLUMNS, VALUE_COLUMNS, column_words, read_cell, written
from mnslib.requests.files import MOST_ROWS, YAML, read_bytes, read_rows
from mnslib.requests.rules import CellError
from mnslib.requests.sheets import LONGEST_CELL, SHEET_NAME, csv_bytes, write_text
from mnslib.requests.spec import Tiers, specs_from_rows
from mnslib.resource_ids import ID_COLUMNS, ManagedNamespaceId
from mnslib.results import DONE_OUTCOME, OPEN_OUTCOMES, ItemOutcome

Value = TypeVar("Value", str, str | None)

LONGEST_HINT = 255
"""Characters of a hint at a cell. Source: Excel, `promptText` of a data validation."""

_HEADER_GROUND = "DDE7F0"
_WIDTHS = {"status": 10, "outcome": 14, "duration_seconds": 18, "message": 60}
"""Of columns that are new in a workbook, in characters."""

Answers = Mapping[int, ItemOutcome | str]
"""What came of the request that a file has in that row; a text says what is wrong with it."""


def request_rows(
    namespaces: Iterable[models.ManagedNamespace],
    grants: Mapping[ManagedNamespaceId, Sequence[models.AccessGrant]],
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
        if suffix not in YAML:
            row = {name: written(name, value) for name, value in row.items()}
        if _accepted(row, namespace.id, left_out):
            rows.append(row)
    return rows, left_out


def request_file(rows: Sequence[Mapping[str, Any]], *, suffix: str) -> bytes:
    """Return rows as a file: YAML, XLSX or CSV, as the suffix says; no cell starts a formula."""
    if suffix in YAML:
        return "".join(map(_entry, rows)).encode() or b"[]\n"
    texts = [{name: written(name, value) for name, value in row.items()} for row in rows]
    if suffix == ".xlsx":
        return request_workbook(texts)
    return csv_bytes([COLUMNS, *([row.get(name, "") for name in COLUMNS] for row in texts)])


def _entry(row: Mapping[str, Any]) -> str:
    # the writer leaves signs such as U+0085 as they are, and a reader takes them for line ends
    is_plain = json.dumps(row, ensure_ascii=False).isprintable()
    return yaml.safe_dump([dict(row)], allow_unicode=is_plain, sort_keys=False)


def _row(
    namespace: models.ManagedNamespace, grants: Sequence[models.AccessGrant], left_out: list[str]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        **namespace.id.columns,
        **{name: getattr(namespace, name) for name in models.POLICY_FIELDS},
        "access": [cells.grant_text(grant) for grant in grants],
    }
    for name, amount in namespace.quota.items():
        try:
            row[name] = written(name, amount)
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
            read_cell(column, {key: value})
        except CellError as error:
            left_out.append(cut(f"{where}: {key}: {error}"))
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
            wrong = {problem.column or "" for problem in error.problems} & set(row)
            if not wrong or wrong & set(ID_COLUMNS):
                return False
            for name in wrong:
                del row[name]
        else:
            return True


def request_workbook(
    rows: Sequence[Mapping[str, str]] = (), *, tiers: Tiers | None = None
) -> bytes:
    """Return a workbook with the rows, ready for more; without any it is the template.

    It has lists to choose from, and a sheet that explains each column.

    Args:
        tiers: the sizes to choose from; they get a sheet that lists them.
    """
    from openpyxl import Workbook

    book, tiers = Workbook(), tiers or {}
    sheet = book.active
    sheet.title = SHEET_NAME
    _fill(sheet, [COLUMNS, *([row.get(name, "") for name in COLUMNS] for row in rows)])
    _fill(book.create_sheet(sheets.GUIDES[0]), [*_explanations()])
    if tiers:
        _fill(book.create_sheet(sheets.GUIDES[1]), [("tier", *VALUE_COLUMNS), *_tier_lines(tiers)])
    lists = {name: [word.value for word in words] for name, words in columns.COLUMN_WORDS.items()}
    lists["tier"] = list(tiers)
    for number, name in enumerate(COLUMNS, start=1):
        _guide(sheet, number, name, lists.get(name, []))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _fill(sheet: Any, lines: Sequence[Sequence[str]]) -> None:
    """Write lines of text, the first one a header that stays in sight."""
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    for row, line in enumerate(lines, start=1):
        for column, text in enumerate(line, start=1):
            if text == "":
                continue
            cell = sheet.cell(row, column)
            write_text(cell, text)
            cell.number_format = "@"
            if row == 1:
                cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor=_HEADER_GROUND)
            elif sheet.title != SHEET_NAME:
                cell.alignment = Alignment(wrap_text=True, vertical="top")
    for column in range(1, len(lines[0]) + 1):
        longest = max(len(line[column - 1]) for line in lines[:50])
        shape = sheet.column_dimensions[get_column_letter(column)]
        shape.width, shape.number_format = min(max(longest + 2, 14), 60), "@"
    sheet.freeze_panes = "A2"


def _explanations() -> Iterator[Sequence[str]]:
    yield "column", "needed", "what it holds", "example"
    for name in COLUMNS:
        of_new = "for a new namespace" if name in models.QUOTA_FIELDS else ""
        words = column_words()[name]
        yield name, "always" if name in ID_COLUMNS else of_new, words["help"], words["example"]
    for short, full in models.ROLE_SHORT_NAMES.items():
        yield "access", "", f"the role {short}", full


def _tier_lines(tiers: Tiers) -> Iterator[Sequence[str]]:
    for name, tier in tiers.items():
        said = {column: getattr(tier, column) for column in tier.model_fields_set}
        said["access"] = [cells.grant_text(one, is_granted=now) for one, now in tier.access.items()]
        yield name, *(written(column, said.get(column, "")) for column in VALUE_COLUMNS)


def _guide(sheet: Any, number: int, name: str, words: Sequence[str]) -> None:
    """Give a column its hint, and its list where it takes one word of a few."""
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    choice = f"tiers!$A$2:$A${len(words) + 1}" if name == "tier" else f'"{",".join(words)}"'
    letter = get_column_letter(number)
    guide = DataValidation(
        sqref=f"{letter}2:{letter}{MOST_ROWS + 1}",
        type="list" if words else None,
        formula1=choice if words else None,
        allow_blank=True,
        showInputMessage=True,
        showErrorMessage=True,
        promptTitle=name,
        prompt=column_words()[name]["help"][:LONGEST_HINT],
        errorTitle=name,
        error=f"One of: {', '.join(words)}"[:LONGEST_HINT],
    )
    sheet.add_data_validation(guide)


# The request file given back


def answered_file(path: Path, answers: Answers, *, data: bytes | None = None) -> tuple[str, bytes]:
    """Return suffix and content of the request file with what came of each row.

    Args:
        path: a request file whose rows could be read.
        data: its content, if that was read before; None reads it.
    """
    data = read_bytes(path) if data is None else data
    table = read_rows(path, data)
    if path.suffix.lower() == ".xlsx":
        return ".xlsx", _workbook(path, data, table.header_row, answers)
    names = table.header or dict.fromkeys(name for _, cells in table.rows for name in cells)
    kept = [name for name in names if name not in columns.ANSWER_COLUMNS]
    lines: list[list[Any]] = [[*kept, *columns.ANSWER_COLUMNS]]
    for number, row in table.rows:
        texts = [written(name, row.get(name, "")) for name in kept]
        lines.append([*texts, *_answer(answers.get(number or 0))])
    return ".csv", csv_bytes(lines, delimiter=table.delimiter)


def refusals(error: SpecError) -> dict[int, str]:
    """Return what is wrong with each row, as `answered_file` takes it."""
    found: dict[int, str] = {}
    for mistake in error.problems:
        if mistake.row is not None:
            text = mistake.told(mistake.column or "")
            found[mistake.row] = "\n".join(filter(None, [found.get(mistake.row), text]))
    return found


def _answer(item: ItemOutcome | str | None) -> list[Any]:
    """Return the cells of the answer columns; `status` is what to filter by."""
    if item is None:
        return [""] * len(columns.ANSWER_COLUMNS)
    if isinstance(item, str):
        return ["refused", "", "", item]
    if item.is_dry_run:
        risks = f", with {', '.join(item.risks)}" if item.risks else ""
        return ["planned", item.outcome.value, "", f"would be {DONE_OUTCOME[item.change]}{risks}"]
    is_open = item.outcome in OPEN_OUTCOMES
    seconds = round(item.duration_seconds, 3)
    return ["open" if is_open else "done", item.outcome.value, seconds, item.explanation]


def _workbook(path: Path, data: bytes, header_row: int, answers: Answers) -> bytes:
    from openpyxl.utils import get_column_letter

    book = sheets.load_book(path, data)
    sheet, _ = sheets.request_sheet(path, book)
    for merged in list(sheet.merged_cells.ranges):  # of merged cells only the first is written
        if not {header_row, *answers}.isdisjoint(range(merged.min_row, merged.max_row + 1)):
            sheet.unmerge_cells(str(merged))
    names = {str(cell.value or "").strip(): cell.column for cell in sheet[header_row]}
    after = max(column for name, column in names.items() if name)
    for name in columns.ANSWER_COLUMNS:
        if name not in names:
            after += 1
            names[name] = after
            sheet.column_dimensions[get_column_letter(after)].width = _WIDTHS[name]
        head = sheet.cell(header_row, names[name])
        write_text(head, name)
        head._style = copy(sheet.cell(header_row, 1)._style)
    for row, item in answers.items():
        if row == header_row:
            continue
        for name, value in zip(columns.ANSWER_COLUMNS, _answer(item), strict=True):
            cell = sheet.cell(row, names[name])
            cell.value = None
            if isinstance(value, str) and value:
                write_text(cell, value)
            elif value != "":
                cell.value = value
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
