"""What is said of the columns, and that the page about them says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnslib.show.tables import ColumnWords, column, told
from tests.docs.columns import columns_page

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_about_the_tables_is_made_of_the_columns():
    assert (ROOT / "docs/tables.md").read_text(encoding="utf-8") == columns_page()


@pytest.mark.parametrize("name", told("columns"))
def test_each_column_has_a_meaning_and_a_unit_that_has_a_format(name):
    words = column(name)
    assert words.meaning
    assert words.sheet or words.unit in ("", "UTC day", "UTC days")


def test_a_column_of_a_day_is_explained_and_one_nobody_knows_is_not():
    assert column("2026-11-02").sheet == "0.0%"
    assert column("label-of-theirs") == ColumnWords()
