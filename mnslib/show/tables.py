"""What people read of the tables, as `tables.yaml` says it: columns, their units and formats.

Notebook, report, workbook and `docs/tables.md` are made from that one file.

    >>> column("peak_within_minutes").unit
    'minutes'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class ColumnWords:
    """What is said of a column of the tables.

    Attributes:
        unit: empty for text.
        meaning: what it holds; empty for a column that nobody explained.
        format: how a spreadsheet writes its numbers; empty for as they are.
        heading: what it is called in views; empty for its machine name in words.
        words: the filter of templates that writes its values; empty for as they are.
    """

    unit: str = ""
    meaning: str = ""
    format: str = ""
    heading: str = ""
    words: str = ""


def column(name: str) -> ColumnWords:
    """Return what is said of a column by its machine name; of a day, what holds for each day."""
    is_day = re.fullmatch(r"\d{4}-\d\d-\d\d", name)
    words = told("day_column") if is_day else told("columns").get(name, {})
    unit, said = words.get("unit", ""), {"sheet": "", "words": ""}
    said |= told("formats").get(unit, {})
    heading = words.get("heading", "")
    return ColumnWords(unit, words.get("meaning", ""), said["sheet"], heading, said["words"])


def told(section: str) -> Any:
    """Return a section of the file, such as `risks`."""
    return _told()[section]


_FILES = ("tables", "words", "tokens", "allowed")


@cache
def _told() -> Mapping[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    files = [resources.files("mnslib.show").joinpath(f"{name}.yaml") for name in _FILES]
    read = [yaml.load(file.read_text(encoding="utf-8"), loader) for file in files]
    return {section: words for file in read for section, words in file.items()}
