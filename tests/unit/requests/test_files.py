"""A request file becomes rows of text that remember the line they stand on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnslib.errors import SpecError
from mnslib.requests.files import Rows, read_rows


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Rows]:
    def read_text(text: str | bytes, name: str = "requests.csv") -> Rows:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_rows(path)

    return read_text


def numbered(rows: Rows) -> list[Any]:
    return list(rows.rows)


def test_comma_and_semicolon_files_read_alike(read: Callable[..., Rows]) -> None:
    wanted = [(2, {"a": "1", "b": "x;y"})]
    assert numbered(read("a,b\n1,x;y\n")) == wanted
    assert numbered(read('a;b\r\n1;"x;y"\r\n')) == wanted


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "sep=; ", "sep=;;"])
def test_the_line_by_which_excel_is_told_the_delimiter_is_no_row(
    read: Callable[..., Rows], line: str, encoding: str, end: str
) -> None:
    rows = read(end.join([line, "a;b,c", "", "1;2,3", ""]).encode(encoding))
    assert (rows.delimiter, rows.header, rows.header_row) == (";", ("a", "b,c"), 2)
    assert numbered(rows) == [(4, {"a": "1", "b,c": "2,3"})]


def test_other_delimiters_are_read_where_the_file_says_so(read: Callable[..., Rows]) -> None:
    assert numbered(read("sep=|\na|b\n1|2\n")) == [(3, {"a": "1", "b": "2"})]
    assert numbered(read("sep=\t\na\tb\n1\t2\n")) == [(3, {"a": "1", "b": "2"})]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_unicode_text_as_excel_writes_it_is_read(read: Callable[..., Rows], encoding: str) -> None:
    text = ("" if encoding == "utf-16" else "\ufeff") + "a\tb\r\n1,5\tZürich\r\n"
    assert numbered(read(text.encode(encoding))) == [(2, {"a": "1,5", "b": "Zürich"})]


HEADER = ("subscription_id", "resource_group", "cluster_name", "namespace_name")


@pytest.mark.parametrize(
    ("delimiter", "first", "told"),
    [("|", "", "'|'"), (":", "", "':'"), (" ", "", "' '"), (";", "sep=,\n", "';'")],
)
def test_another_delimiter_is_one_mistake_that_names_it(
    read: Callable[..., Rows], delimiter: str, first: str, told: str
) -> None:
    with pytest.raises(SpecError) as caught:
        read(first + "\n".join([delimiter.join(HEADER), *[delimiter.join("abcd")] * 9]))
    assert [str(problem) for problem in caught.value.problems] == [
        f"requests.csv, row {1 + bool(first)}: the header is one cell: its columns are separated "
        f"by {told}. Write each cell apart, in CSV with commas, semicolons or tabs between."
    ]


def test_titles_above_the_header_are_no_requests(read: Callable[..., Rows]) -> None:
    table = read("Requests, as of May; thanks,,\n\nteam;crm\ncluster_name;namespace_name\na;b\n")
    assert (table.delimiter, table.header_row) == (";", 4)
    assert table.rows == [(5, {"cluster_name": "a", "namespace_name": "b"})]


def test_a_byte_order_mark_is_no_part_of_the_first_column(read: Callable[..., Rows]) -> None:
    assert read(b"\xef\xbb\xbfa,b\n1,2\n").header == ("a", "b")


def test_a_row_is_known_by_the_line_it_starts_on(read: Callable[..., Rows]) -> None:
    text = '\n\na,b\n"one\ntwo",2\n\n,\n3,4\n'
    rows = read(text)
    assert rows.header_row == 3
    assert numbered(rows) == [(4, {"a": "one\ntwo", "b": "2"}), (8, {"a": "3", "b": "4"})]


def test_cells_stay_text_without_the_space_around_them(read: Callable[..., Rows]) -> None:
    text = "a,b\n =1+1 , 007\n"
    assert numbered(read(text)) == [(2, {"a": "=1+1", "b": "007"})]


def test_empty_columns_that_a_spreadsheet_left_behind_are_no_columns(
    read: Callable[..., Rows],
) -> None:
    rows = read("a,b,,\n1,2,,\n3,4\n")
    assert rows.header == ("a", "b")
    assert numbered(rows) == [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": "4"})]


def test_ragged_rows_are_named_and_the_others_read(read: Callable[..., Rows]) -> None:
    rows = read("a,b\n1\n2,3\n4,5,6\n")
    assert [number for number, _ in rows.rows] == [3]
    assert [(p.row, p.message) for p in rows.problems] == [
        (2, "the row has 1 cells, the header has 2."),
        (4, "the row has 3 cells, the header has 2."),
    ]


def test_a_quote_that_is_never_closed_swallows_nothing_silently(read: Callable[..., Rows]) -> None:
    rows = read('a,b\n1,2\n"3,4\n5,6\n')
    assert [number for number, _ in rows.rows] == [2]
    assert [p.row for p in rows.problems] == [3]


def test_a_broken_header_is_the_only_mistake_told(read: Callable[..., Rows]) -> None:
    with pytest.raises(SpecError) as caught:
        read('"a"b,c\n1,2\n')
    assert [p.row for p in caught.value.problems] == [1]


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", ",,\n"])
def test_an_empty_file_is_refused(read: Callable[..., Rows], text: str) -> None:
    with pytest.raises(SpecError, match="holds no header and no request"):
        read(text)


def test_a_file_that_is_not_utf_8_names_the_line(read: Callable[..., Rows]) -> None:
    with pytest.raises(SpecError, match=r"requests\.csv, row 2: the file is not UTF-8\. Write"):
        read("a,b\n1,Zürich\n".encode("latin-1"))
    with pytest.raises(SpecError, match="row 2: the file is not UTF-16"):
        read("a,b\n1,2\n".encode("utf-16")[:-1])
    for encoding in ("utf-16-le", "utf-32"):
        with pytest.raises(SpecError) as caught:
            read("a,b\n1,2\n".encode(encoding))
        (told,) = caught.value.problems
        assert str(told) == (
            "requests.csv: the file holds zero bytes, as UTF-16 without a byte order mark or "
            "UTF-32 does. Write it anew as UTF-8 (in Excel: the type CSV UTF-8)."
        )
    with pytest.raises(SpecError, match=r"not UTF-8\. Write it anew as UTF-8\.$"):
        read("a: Zürich\n".encode("latin-1"), "requests.yaml")


@pytest.mark.parametrize("name", ["requests.xls", "requests.json", "requests"])
def test_other_formats_are_refused(read: Callable[..., Rows], name: str) -> None:
    with pytest.raises(SpecError, match=r"cannot be read. Write the requests as CSV"):
        read("a\n1\n", name)


def test_a_workbook_under_another_name_is_known_for_one(read: Callable[..., Rows]) -> None:
    with pytest.raises(SpecError, match=r"is a workbook, not \.csv\. Write its name with \.xlsx"):
        read(b"PK\x03\x04 and so on")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.csv cannot be read: No such file"):
        read_rows(tmp_path / "gone.csv")


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_bytes(b"a" * (32 * 2**20 + 1))
    with pytest.raises(SpecError, match="the file is larger than 32 MiB"):
        read_rows(path)
