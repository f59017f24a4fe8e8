"""The workbook for requests: a sheet to fill in, with lists to choose from, and one that explains.

Cells are text, so that no spreadsheet makes a date of `1-2`. The words are those of `columns`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from mnslib.models import ROLE_SHORT_NAMES
from mnslib.requests.cells import grant_text
from mnslib.requests.columns import (
    COLUMN_WORDS,
    COLUMNS,
    VALUE_COLUMNS,
    column_words,
    written,
)
from mnslib.requests.files import MOST_ROWS
from mnslib.requests.sheets import SHEET_NAME, write_text
from mnslib.requests.tiers import Tiers
from mnslib.resource_ids import ID_COLUMNS

LONGEST_HINT = 255
"""Characters of a hint at a cell. Source: Excel, `promptText` of a data validation."""

_HEADER_GROUND = "DDE7F0"


def request_workbook(
    rows: Sequence[Mapping[str, str]] = (), *, tiers: Tiers | None = None
) -> bytes:
    """Return a workbook with the rows, ready for more; without any it is the template.

    Args:
        tiers: the sizes to choose from; they get a sheet that lists them.
    """
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = SHEET_NAME
    _fill(sheet, [COLUMNS, *([row.get(name, "") for name in COLUMNS] for row in rows)])
    _fill(book.create_sheet("columns"), _explanations())
    if tiers:
        _fill(book.create_sheet("tiers"), _tier_lines(tiers))
    for number, name in enumerate(COLUMNS, start=1):
        _guide(sheet, number, name, tiers=tiers or {})
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


def _explanations() -> list[Sequence[str]]:
    lines: list[Sequence[str]] = [("column", "needed", "what it holds", "example")]
    for name in COLUMNS:
        needed = "always" if name in ID_COLUMNS else ""
        if name.startswith(("cpu", "memory")):
            needed = "for a new namespace"
        words = column_words()[name]
        lines.append((name, needed, words["help"], words["example"]))
    lines += [("access", "", f"the role {short}", full) for short, full in ROLE_SHORT_NAMES.items()]
    return lines


def _tier_lines(tiers: Tiers) -> list[Sequence[str]]:
    lines: list[Sequence[str]] = [("tier", *VALUE_COLUMNS)]
    for name, tier in tiers.items():
        said = {column: getattr(tier, column) for column in tier.model_fields_set}
        said["access"] = [grant_text(one, is_granted=now) for one, now in tier.access.items()]
        texts = (written(column, said.get(column, "")) for column in VALUE_COLUMNS)
        lines.append((name, *texts))
    return lines


def _guide(sheet: Any, number: int, name: str, *, tiers: Tiers) -> None:
    """Give a column its hint, and its list where it takes one word of a few."""
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    words = [word.value for word in COLUMN_WORDS.get(name, ())] or (list(tiers) * (name == "tier"))
    choice = f"tiers!$A$2:$A${len(tiers) + 1}" if name == "tier" else f'"{",".join(words)}"'
    guide = DataValidation(
        type="list" if words else None, formula1=choice if words else None, allow_blank=True
    )
    letter = get_column_letter(number)
    guide.add(f"{letter}2:{letter}{MOST_ROWS + 1}")
    guide.promptTitle, guide.prompt = name, column_words()[name]["help"][:LONGEST_HINT]
    guide.showInputMessage = guide.showErrorMessage = True
    guide.errorTitle, guide.error = name, f"One of: {', '.join(words)}"[:LONGEST_HINT]
    sheet.add_data_validation(guide)
