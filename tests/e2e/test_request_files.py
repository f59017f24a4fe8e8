"""Request files as people keep them, through notebook 30: what they see is what is planned."""

from __future__ import annotations

import openpyxl
import pytest

COLUMNS = (
    "subscription_id", "resource_group", "cluster_name", "namespace_name",
    "cpu_request", "cpu_limit", "memory_request", "memory_limit",
)  # fmt: skip
CLUSTER = ("00000000-0000-4000-8000-00000000a001", "rg-platform", "aks-prod-weu-1")
HELD = ("payments-api", "payments-ledger", "web-checkout")


@pytest.fixture
def workbook(tmp_path):
    """A sheet that raises a limit of three namespaces, changed by the test and saved."""

    def save(change):
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = "requests"
        for line in (COLUMNS, *((*CLUSTER, name, None, 30) for name in HELD)):
            sheet.append(line)
        change(sheet)
        path = tmp_path / "requests.xlsx"
        book.save(path)
        return path

    return save


@pytest.fixture
def planned(run_notebook):
    """What a dry run of a request file says: exit code, and the words of its record."""

    def planned(path):
        run = run_notebook("30", request_file=path, dry_run="true")
        return run, " ".join(run.result["headline"].split())

    return planned


def test_no_size_is_guessed(planned, tmp_path):
    sizes = {
        "a": ("1,5", "1Gi"), "b": ("1.000m", "1Gi"), "c": ("1", "1.000Mi"), "d": ("1", "1.024Mi"),
        "e": ("1", "4GB"), "f": ("2.500", "1Gi"), "g": ("0.125", "1Gi"), "h": ("1", "1.024,5Mi"),
    }  # fmt: skip
    lines = [(*CLUSTER, name, cpu, "8", memory, "2Ti") for name, (cpu, memory) in sizes.items()]
    path = tmp_path / "german.csv"
    text = "".join(";".join(line) + "\r\n" for line in (["sep=;"], COLUMNS, *lines))
    path.write_text(text, encoding="utf-8-sig", newline="")
    run, said = planned(path)
    assert (run.code, run.result["status"]) == (6, "refused")
    assert "7 mistakes" in said
    assert "'1.000m' may mean 1m or 1000m" in said
    assert "Write 1 or 1000" not in said
    assert "Write 1Mi or 1000Mi." in said
    assert "1049Ki" not in said
    assert "row 3, column cpu_request: '1,5'" in said
    assert "row 9" not in said


def test_merged_cells_and_formats_that_show_another_number_are_refused(planned, workbook):
    def change(sheet):
        sheet.merge_cells("F2:F4")
        for cell, value, code in (("E2", 7, "000"), ("E3", 0.5, "0%"), ("E4", 1500, '0"m"')):
            sheet[cell], sheet[cell].number_format = value, code

    run, said = planned(workbook(change))
    assert run.code == 6
    assert "4 mistakes " in said
    assert "cell F2, column cpu_limit: the cells F2:F4 are merged" in said
    for held, seen in (("7", "007"), ("0.5", "50%"), ("1500", "1500m")):
        assert f"the cell holds '{held}', but shows '{seen}'" in said


def test_what_is_hidden_is_planned_and_told_with_the_sheets_that_are_not_read(planned, workbook):
    def change(sheet):
        sheet.auto_filter.ref = "A1:H4"
        sheet.row_dimensions[3].hidden = True
        sheet.parent.create_sheet("last year").sheet_state = "hidden"

    run, said = planned(workbook(change))
    assert (run.code, len(run.plan["changes"])) == (0, 3)
    told = "Row 3 is hidden in the sheet, and planned like the others. Not read: sheet "
    assert f"{told}'last year' (hidden)." in said
    assert run.report.count(told) >= 1


def test_unicode_text_as_excel_writes_it_is_read(planned, tmp_path):
    lines = [(*CLUSTER, name, "", "30", "", "") for name in HELD]
    text = "sep=\t\r\n" + "\r\n".join("\t".join(line) for line in (COLUMNS, *lines)) + "\r\n"
    path = tmp_path / "unicode.csv"
    path.write_bytes(text.encode("utf-16"))
    run, _ = planned(path)
    assert (run.code, len(run.plan["changes"])) == (0, 3)
