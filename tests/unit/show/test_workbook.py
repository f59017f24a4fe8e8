"""The workbook of all tables, as a spreadsheet reads it."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from openpyxl import load_workbook

from mnslib.show import workbook as workbooks
from mnslib.show.cells import text_columns

HOSTILE = '=HYPERLINK("x")\x07_x0041_ <&>"ö'


@pytest.fixture
def tables():
    utilization = pd.DataFrame(
        {
            "cluster_name": ["aks-1", "aks-1", HOSTILE],
            "hard": [0.1, 32 * 2**30, np.nan],
            "used": np.array([1, 2, 3], dtype=np.float32),
            "is_managed": [True, False, True],
            "peak_utc": pd.to_datetime([datetime(2026, 11, 2, 6, tzinfo=UTC), None, None]),
            "verdict": ["full", "ok", "unknown: no quota"],
        }
    )
    daily = pd.DataFrame(
        [["web", (date(2026, 11, 1), date(2026, 11, 2)), 0.5], ["api", (), np.nan]],
        columns=pd.Index(["namespace_name", "quota_changed", date(2026, 11, 1)], dtype=object),
    )
    return {"utilization": utilization, "daily": daily, "nothing": utilization.head(0)}


def workbook(tables, **limits):
    columns = {name: text_columns(table) for name, table in tables.items()}
    return workbooks.workbook(columns, **limits)


def cells(content, title):
    book = load_workbook(io.BytesIO(content))
    return [[cell.value for cell in row] for row in book[title].iter_rows()]


def test_each_table_is_a_sheet_with_units_in_its_header(tables):
    content = workbook(tables)
    book = load_workbook(io.BytesIO(content))
    assert book.sheetnames == ["columns", "utilization", "daily", "nothing"]
    assert [sheet.freeze_panes for sheet in book] == ["A2"] * 4
    assert book["utilization"].auto_filter.ref == "A1:F4"
    assert book["utilization"].column_dimensions["B"].width == 23
    header, *rows = cells(content, "utilization")
    assert header == [
        "cluster_name", "hard (cores or bytes)", "used (cores or bytes)", "is_managed",
        "peak_utc (UTC)", "verdict",
    ]  # fmt: skip
    assert rows[0] == ["aks-1", 0.1, 1, True, datetime(2026, 11, 2, 6), "full"]
    assert rows[1][1] == 32 * 2**30
    formats = [cell.number_format for cell in book["utilization"][2]]
    assert formats == [
        "General", "#,##0.###", "#,##0.###", "General", "yyyy-mm-dd hh:mm:ss", "General",
    ]  # fmt: skip
    assert book["daily"]["C2"].number_format == "0.0%"
    assert not book["utilization"]["B2"].font.bold
    assert len(cells(content, "nothing")) == 1


def test_what_is_unknown_is_an_empty_cell_and_no_text_is_a_formula(tables):
    book = load_workbook(io.BytesIO(workbook(tables)))
    last = book["utilization"][4]
    assert [cell.value for cell in last[1:2]] + [last[4].value] == [None, None]
    assert last[0].data_type == "s"
    assert last[0].value == '\'=HYPERLINK("x")_x005F_x0041_ <&>"ö'
    assert cells(workbook(tables), "daily")[1:] == [
        ["web", "2026-11-01 2026-11-02", 0.5], ["api", None, None],
    ]  # fmt: skip


def test_the_first_sheet_explains_every_column_of_every_table(tables):
    lines = cells(workbook(tables), "columns")
    assert lines[0] == ["table", "rows", "column", "unit", "what it holds"]
    assert [line[0] for line in lines[1:]].count("utilization") == 6
    assert all(line[4] for line in lines[1:])
    assert lines[9][:4] == ["daily", 2, "2026-11-01", "ratio"]


def test_rows_that_no_sheet_can_hold_are_said_to_be_left_out(tables):
    content = workbook(tables, most_rows=3)
    assert len(cells(content, "utilization")) == 3
    said = {line[0]: line[1] for line in cells(content, "columns")[1:]}
    assert said["utilization"] == "first 2 of 3: all are in utilization.csv"
    assert said["daily"] == 2


def test_tables_whose_names_are_one_when_cut_get_a_sheet_each(tables):
    long = "by_example.com-cost-center-of-the-"
    names = [f"{long}team", f"{long}unit", f"{long}team".upper(), "Columns"]
    found = dict(zip(names, [tables["daily"], tables["utilization"], tables["nothing"],
                             tables["daily"]], strict=True))  # fmt: skip
    content = workbook(found)
    titles = load_workbook(io.BytesIO(content)).sheetnames[1:]
    assert titles[:2] == ["by_example.com-cost-center-of-t", "by_example.com-cost-center-of~2"]
    assert len({title.casefold() for title in titles}) == len(titles) == 4
    assert max(map(len, titles)) <= 31
    assert [len(cells(content, title)) for title in titles] == [3, 4, 1, 3]
    said = [line[0] for line in cells(content, "columns")[1:]]
    assert f"{names[1]} (sheet {titles[1]})" in said
