"""The request file given back: the very rows, each with what came of it in columns of its own.

A workbook keeps its other cells, sheets and formats as far as openpyxl can; CSV stays CSV, and YAML
gets a CSV beside it. No text starts a formula. The columns are passed over when it is read again.
"""

import io
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

from mnslib.errors import SpecError
from mnslib.requests.columns import ANSWER_COLUMNS, written
from mnslib.requests.files import read_bytes, read_rows
from mnslib.requests.sheets import csv_bytes, load_book, request_sheet, write_text
from mnslib.results import DONE_OUTCOME, OPEN_OUTCOMES, ItemOutcome

_WIDTHS = {"status": 10, "outcome": 14, "duration_seconds": 18, "message": 60}
"""Of columns that are new in a workbook, in characters."""

Answers = Mapping[int, ItemOutcome | str]
"""What came of the request that a file has in that row; a text says what is wrong with it."""


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
    kept = [name for name in names if name not in ANSWER_COLUMNS]
    lines: list[list[Any]] = [[*kept, *ANSWER_COLUMNS]]
    for number, cells in table.rows:
        texts = [written(name, cells.get(name, "")) for name in kept]
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
        return [""] * len(ANSWER_COLUMNS)
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

    book = load_book(path, data)
    sheet, _ = request_sheet(path, book)
    for merged in list(sheet.merged_cells.ranges):  # of merged cells only the first is written
        if not {header_row, *answers}.isdisjoint(range(merged.min_row, merged.max_row + 1)):
            sheet.unmerge_cells(str(merged))
    names = {str(cell.value or "").strip(): cell.column for cell in sheet[header_row]}
    after = max(column for name, column in names.items() if name)
    for name in ANSWER_COLUMNS:
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
        for name, value in zip(ANSWER_COLUMNS, _answer(item), strict=True):
            cell = sheet.cell(row, names[name])
            cell.value = None
            if isinstance(value, str) and value:
                write_text(cell, value)
            elif value != "":
                cell.value = value
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
