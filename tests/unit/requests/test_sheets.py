"""A workbook reads as people meant it, and no text of ours starts a formula."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.chart import BarChart

from mnslib.errors import SpecError
from mnslib.requests.files import read_rows
from mnslib.requests.sheets import FORMULA_STARTS, LONGEST_CELL, neutral, plain
from mnslib.requests.spec import parse_requests
from mnslib.show.plans import requests_table

SUBSCRIPTION = "00000000-0000-4000-8000-00000000a001"
HEADER = ["subscription_id", "resource_group", "cluster_name", "namespace_name", "cpu_request"]
ROW = [SUBSCRIPTION, "rg", "aks-1", "web"]


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save_book(*lines: list[Any], **sheets: tuple[str, list[list[Any]]]) -> Path:
        book = openpyxl.Workbook()
        for line in lines:
            book.active.append(line)
        for title, (state, content) in sheets.items():
            sheet = book.create_sheet(title)
            sheet.sheet_state = state
            for line in content:
                sheet.append(line)
        path = tmp_path / "requests.xlsx"
        book.save(path)
        return path

    return save_book


def mistakes(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_requests(path)
    return [str(problem) for problem in caught.value.problems]


def test_numbers_and_text_mean_what_people_see(save: Callable[..., Path]) -> None:
    path = save(
        [*HEADER, "cpu_limit", "owner"],
        [*ROW, 0.1 + 0.2, 2.0, "true"],
        [*ROW[:3], "api", 1e-3, 7, 42],
    )
    web, api = parse_requests(path)
    assert web.quota == {"cpu_request": Decimal("0.3"), "cpu_limit": 2}
    assert (web.labels, api.labels) == ({"owner": "true"}, {"owner": "42"})
    assert api.quota["cpu_request"] == Decimal("0.001")
    assert (web.origin.row, api.origin.row) == (2, 3)
    assert (web.origin.cell("cpu_limit"), api.origin.cell("tier")) == ("F2", "")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("=1+1", "the cell holds a formula. Write its value."),
        (
            date(2026, 1, 2),
            "the cell holds 46024, but shows 2026-01-02: the spreadsheet made a date of what was "
            "typed. Write it again",
        ),
        (time(12, 0), "the cell holds 0.5, but shows 12:00:00: the spreadsheet made a date"),
        (True, "the cell shows TRUE: the spreadsheet made a truth value of what was typed. Write"),
        ("#DIV/0!", "the cell holds the spreadsheet's error #DIV/0!."),
        ("2x", "'2x' is not an amount of CPU."),
    ],
)
def test_a_cell_that_cannot_be_taken_is_named_as_the_sheet_names_it(
    save: Callable[..., Path], value: Any, words: str
) -> None:
    (mistake,) = mistakes(save(HEADER, [*ROW, value]))
    assert mistake.startswith("requests.xlsx, cell E2, column cpu_request: ")
    assert words in mistake


def test_numbers_are_exact_where_their_text_is_not(save: Callable[..., Path]) -> None:
    path = save([*HEADER, "owner"], [*ROW, 1.125, 1.125], [*ROW[:3], 7, 0, 0])
    web, seven = parse_requests(path)
    assert (web.quota, web.labels) == ({"cpu_request": Decimal("1.125")}, {"owner": "1.125"})
    assert (seven.id.namespace_name, seven.quota) == ("7", {"cpu_request": 0})
    (mistake,) = mistakes(save(HEADER, [*ROW, "1.125"]))
    assert "'1.125' may mean 1.125 or 1125: " in mistake
    assert mistake.endswith("Write 1125m or 1125.")


@pytest.fixture
def shaped(tmp_path: Path) -> Callable[..., Path]:
    def save_shaped(shape: Callable[[Any], None]) -> Path:
        book = openpyxl.Workbook()
        book.active.append([*HEADER, "cpu_limit", "owner"])
        for number in range(2, 8):
            book.active.append([*ROW[:3], f"ns-{number}", 2, 7, 5])
        shape(book.active)
        path = tmp_path / "requests.xlsx"
        book.save(path)
        return path

    return save_shaped


@pytest.mark.parametrize(
    ("cell", "value", "code", "words"),
    [
        ("E2", 7, "000", "holds '7', but shows '007'"),
        ("E2", 0.5, "0%", "holds '0.5', but shows '50%'"),
        ("E2", 1500, '0"m"', "holds '1500', but shows '1500m'"),
        ("E2", 1500, "#,##0", "holds '1500', but shows '1,500'"),
        ("E2", 1.5, "0", "holds '1.5', but shows '2'"),
        ("E2", 3, ";;;", "holds '3', but shows ''"),
        ("E2", "500", '@"m"', "holds '500', but shows '500m'"),
        ("G2", 5, "0.0", "holds '5', but shows '5.0'"),
        ("D2", 7, "000", "holds '7', but shows '007'"),
        ("E2", 7, "# ?/?", "holds '7', and its format is '# ?/?'"),
    ],
)
def test_a_cell_that_shows_something_else_is_refused_with_both(
    shaped: Callable[..., Path], cell: str, value: Any, code: str, words: str
) -> None:
    def shape(sheet: Any) -> None:
        sheet[cell], sheet[cell].number_format = value, code

    (mistake,) = mistakes(shaped(shape))
    assert f"cell {cell}, column " in mistake
    assert mistake.endswith(f"{words}. Write what is meant, after formatting the cell as text.")


@pytest.mark.parametrize("code", ["0", "0.00", "#,##0", "_(* #,##0.00_)", "@", "[Red]General"])
def test_an_amount_with_its_decimals_is_the_amount(shaped: Callable[..., Path], code: str) -> None:
    def shape(sheet: Any) -> None:
        sheet["E2"].number_format = code

    assert parse_requests(shaped(shape))[0].quota["cpu_request"] == 2


@pytest.mark.parametrize(
    ("merged", "first"),
    [
        ("E2:E4", "E2, column cpu_request"),
        ("E2:F2", "E2, column cpu_request"),
        ("F4:Z900", "F4, column cpu_limit"),
        ("E1:E2", "E2, column cpu_request"),
        ("C7:C30", "C7, column cluster_name"),
    ],
)
def test_merged_cells_of_requests_are_one_mistake_with_their_range(
    shaped: Callable[..., Path], merged: str, first: str
) -> None:
    (mistake,) = mistakes(shaped(lambda sheet: sheet.merge_cells(merged)))
    assert f"cell {first}: the cells {merged} are merged" in mistake


def test_a_whole_column_that_is_merged_is_refused_at_once(shaped: Callable[..., Path]) -> None:
    path = shaped(lambda sheet: sheet.merge_cells("E2:E3"))
    (mistake,) = mistakes(repacked(path, b'"E2:E3"', b'"E2:XFD1048576"'))
    assert "requests.xlsx: the cells E2:XFD1048576 are merged" in mistake


def test_a_title_that_is_a_number_is_a_mistake_as_any_other(shaped: Callable[..., Path]) -> None:
    def shape(sheet: Any) -> None:
        sheet["G1"] = 2026

    assert "cell G1, column 2026: there is no column '2026'." in mistakes(shaped(shape))[0]


def test_a_title_that_hides_another_is_named(shaped: Callable[..., Path]) -> None:
    told, no_name = mistakes(shaped(lambda sheet: sheet.merge_cells("E1:F1")))
    assert "row 1: column 6 has no name" in no_name + told
    assert "cell E1, column cpu_request: the cells E1:F1 are merged" in no_name + told


@pytest.mark.parametrize("merged", ["E20:E30", "H1:J9", "A9:G9", "I2:I7", "G1:J1"])
def test_merged_cells_beside_the_requests_are_nobodys_business(
    shaped: Callable[..., Path], merged: str
) -> None:
    assert len(parse_requests(shaped(lambda sheet: sheet.merge_cells(merged)))) == 6


def test_hidden_rows_and_columns_are_planned_and_named(shaped: Callable[..., Path]) -> None:
    def shape(sheet: Any) -> None:
        sheet.auto_filter.ref = "A1:G7"
        for row in (3, 20):
            sheet.row_dimensions[row].hidden = True
        sheet.row_dimensions[5].height = 1
        sheet.row_dimensions.group(6, 7, hidden=True)
        sheet.column_dimensions["F"].hidden = True
        sheet.column_dimensions.group("I", "M", hidden=True)

    specs = parse_requests(repacked(shaped(shape), b'ht="1"', b'ht="0"'))
    assert [spec.origin.row for spec in specs] == [2, 3, 4, 5, 6, 7]
    found = specs[0].origin.sheet
    assert (found.hidden_rows, found.hidden_columns) == ((3, 5, 6, 7), ("cpu_limit",))
    assert requests_table(specs).note.startswith(
        "Rows 3, 5-7 are hidden in the sheet, and planned like the others. "
        "Hidden columns count as well: cpu_limit. "
    )


@pytest.mark.parametrize("titles", [1, 19])
def test_titles_above_the_header_are_no_requests(shaped: Callable[..., Path], titles: int) -> None:
    def shape(sheet: Any) -> None:
        sheet.insert_rows(1, titles + 1)  # the last one stays empty
        for row in range(1, titles + 1):
            sheet.cell(row, 2, "=1+1").number_format = "000"
        sheet.merge_cells("A1:G1")

    specs = parse_requests(shaped(shape))
    assert [spec.origin.row for spec in specs] == [*range(titles + 3, titles + 9)]
    assert specs[0].origin.cell("cpu_limit") == f"F{titles + 3}"


@pytest.mark.parametrize(
    "value", ["password=" + "hunter2hunter2", '="password=' + 'hunter2hunter2"']
)
def test_titles_hold_no_secret(shaped: Callable[..., Path], value: str) -> None:
    def shape(sheet: Any) -> None:
        sheet.insert_rows(1)
        sheet["B1"] = value

    (mistake,) = mistakes(shaped(shape))
    assert "row 1: what is written here looks like it holds a secret" in mistake


def test_without_a_header_the_first_row_is_taken_for_one(save: Callable[..., Path]) -> None:
    told = mistakes(save(["Requests"], [*ROW]))
    assert "cell A1, column Requests: there is no column 'Requests'" in told[0]
    assert [one.partition(": ")[2] for one in told[1:5]] == [
        f"the column {name} is missing. Write it into the header." for name in HEADER[:4]
    ]


def test_a_cell_far_below_is_no_request(shaped: Callable[..., Path]) -> None:
    assert len(parse_requests(shaped(lambda sheet: sheet.cell(1_048_576, 9, " ")))) == 6


def test_what_a_run_has_added_is_passed_over_whatever_it_shows(shaped: Callable[..., Path]) -> None:
    def shape(sheet: Any) -> None:
        for cell, value, code in (("H1", "status", "@"), ("I1", "duration_seconds", "@"),
                                  ("H2", "=1+1", "@"), ("I2", 1.235, "0")):  # fmt: skip
            sheet[cell], sheet[cell].number_format = value, code

    assert len(parse_requests(shaped(shape))) == 6


def test_the_only_sheet_with_requests_is_read_and_the_others_are_named(
    save: Callable[..., Path],
) -> None:
    good = [HEADER, [*ROW, "1"]]
    notes = ("visible", [["who"], ["Kim"]])
    path = save(*good, notes=notes, old=("hidden", good), older=("veryHidden", good), tiers=notes)
    (spec,) = parse_requests(path)
    assert spec.origin.sheet.unread == ("'notes'", "'old' (hidden)", "'older' (hidden)")
    assert requests_table([spec]).note.startswith(
        "Not read: sheets 'notes', 'old' (hidden) and 'older' (hidden). "
    )
    named = save(["x"], Requests=("visible", good), more=("visible", good))
    assert parse_requests(named)[0].origin.sheet.unread == ("'Sheet'", "'more'")


def test_sheets_of_which_none_is_meant_more_than_the_others_are_refused(
    save: Callable[..., Path],
) -> None:
    good = [HEADER, [*ROW, "1"]]
    fix = "Write requests as the name of the one that is meant."
    (mistake,) = mistakes(save(*good, team=("visible", good), notes=("visible", [["x"]])))
    assert mistake.endswith(f"each of these sheets may be meant: 'Sheet', 'team'. {fix}")
    (mistake,) = mistakes(save(HEADER[1:], requests=("hidden", good), team=("visible", [["x"]])))
    none = "no sheet is called requests, and none has the columns of one: 'Sheet', 'team'. "
    assert mistake.endswith(none + fix)


def test_all_mistakes_of_a_sheet_are_told_at_once(save: Callable[..., Path]) -> None:
    found = mistakes(save(HEADER, [], ["=A1", *ROW[1:], "1"], [*ROW[:3], "Web", "=2"]))
    assert [text.split(":")[0] for text in found] == [
        "requests.xlsx, cell A3, column subscription_id",
        "requests.xlsx, cell D4, column namespace_name",
        "requests.xlsx, cell E4, column cpu_request",
    ]


def test_the_sheet_named_requests_is_read_and_hidden_ones_never(save: Callable[..., Path]) -> None:
    good = [HEADER, [*ROW, "1"]]
    path = save(["notes"], Requests=("visible", good), old=("hidden", [["x"]]))
    assert len(parse_requests(path)) == 1
    hidden = save(*good, requests=("hidden", [["x"]]))
    assert len(parse_requests(hidden)) == 1


def test_a_sheet_whose_stated_size_is_wrong_is_read_whole(save: Callable[..., Path]) -> None:
    path = repacked(save(HEADER, [*ROW, "1"]), b'ref="A1:E2"', b'ref="A1"')
    assert len(parse_requests(path)) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"subscription_id,x\n"])
def test_what_is_no_workbook_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "requests.xlsx"
    path.write_bytes(content)
    (mistake,) = mistakes(path)
    assert (
        "the file is no XLSX workbook that can be read here: it is damaged, protected by" in mistake
    )


def repacked(path: Path, old: bytes, new: bytes) -> Path:
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    assert any(old in content for content in parts.values())
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in parts.items():
            packed.writestr(name, content.replace(old, new))
    return path


def test_a_sheet_that_is_a_chart_is_passed_over_or_refused_in_plain_words(tmp_path: Path) -> None:
    path, book = tmp_path / "requests.xlsx", openpyxl.Workbook()
    for line in (HEADER, [*ROW, "1"]):
        book.active.append(line)
    book.create_chartsheet("requests", 0).add_chart(BarChart())
    book.save(path)
    (spec,) = parse_requests(path)
    assert spec.origin.sheet.unread == ("'requests' (a chart)",)
    odd = repacked(path, b"<sheetViews>", b'<sheetViews odd="1">')  # as newer programs write it
    (mistake,) = mistakes(odd)
    assert mistake == (
        "requests.xlsx: the file is no XLSX workbook that can be read here: it is damaged, "
        "protected by a password, or has sheets that are charts. "
        "Write it anew as .xlsx without these, or as CSV."
    )
    book.remove(book["Sheet"])
    book.save(path)
    (mistake,) = mistakes(path)
    assert "no worksheet that can be seen. Write the requests into a worksheet called" in mistake


def test_a_damaged_workbook_is_refused_in_plain_words(save: Callable[..., Path]) -> None:
    (mistake,) = mistakes(repacked(save(HEADER, [*ROW, "1"]), b"<sheetData>", b"<sheetDat"))
    assert "it is damaged, protected by a password, or" in mistake


def test_a_workbook_made_to_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "requests.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(5):
            packed.writestr(f"xl/{number}.xml", bytes(60 * 2**20))
    assert "larger than 64 MiB when it is unpacked" in mistakes(path)[0]


def test_too_long_a_cell_is_told_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    line = [*ROW, "x" * 100_000]
    path.write_text(",".join(HEADER) + "\n" + ",".join(line) + "\n")
    (mistake,) = mistakes(path)
    assert "row 2, column cpu_request: the cell has 100,000 characters; 32,767 fit." in mistake
    assert len(mistake) < 300


def test_too_many_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text("a\n" + "1\n" * 20_001)
    with pytest.raises(SpecError, match="more than 20,000 rows"):
        read_rows(path)


@given(st.text())
def test_neutral_text_starts_no_formula_and_comes_back(text: str) -> None:
    safe = neutral(text)
    assert not safe.startswith(FORMULA_STARTS)
    assert plain(safe) == text
    assert safe in (text, "'" + text)


@given(st.sampled_from(FORMULA_STARTS), st.text())
def test_formula_starts_are_made_harmless(start: str, rest: str) -> None:
    for text in (start + rest, f"'{start}{rest}", f" ={rest}", f"''{start}"):
        assert neutral(text) == "'" + text
        assert plain(neutral(text)) == text


def test_numbers_are_left_as_they_are() -> None:
    assert (neutral(-1), neutral(2.5), neutral(None)) == (-1, 2.5, None)
    assert LONGEST_CELL == 32_767
