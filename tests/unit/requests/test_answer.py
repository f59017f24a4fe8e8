"""The file that comes back: the very rows, and what came of each."""

from __future__ import annotations

import csv
import io

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.comments import Comment
from openpyxl.styles import PatternFill

from mnslib.errors import SpecError
from mnslib.requests.columns import ANSWER_COLUMNS
from mnslib.requests.export import answered_file
from mnslib.requests.spec import parse_requests
from mnslib.resource_ids import ID_COLUMNS
from mnslib.results import ChangeKind, ItemOutcome, OutcomeKind
from mnslib.run import start
from mnslib.run.project import RUN_DIRECTORY_VARIABLE
from mnslib.run.runs import UNDER_WAY_NAME
from tests.unit.provisioning.factories import make_cluster, make_namespace, make_observed

HEADER = "subscription_id,resource_group,cluster_name,namespace_name,cpu_limit,labels"
SUBSCRIPTION = "00000000-0000-4000-8000-00000000a001"
EVIL = '=HYPERLINK("https://example.org";"x")\n<b>&\x07'


def line(name, cpu="4", labels=""):
    return f"{SUBSCRIPTION},rg-platform,aks-prod-weu-1,{name},{cpu},{labels}"


def outcome(spec, kind="created", reason="", risks=()):
    return ItemOutcome(
        id=spec.id, change=ChangeKind.CREATE, outcome=OutcomeKind(kind), reason=reason,
        is_dry_run=reason == "dry run",
        risks=risks, duration_seconds=1.23456,
    )  # fmt: skip


def answers(path, *given):
    specs = parse_requests(path)
    return {s.origin.row: outcome(s, *one) for s, one in zip(specs, given, strict=True)}


def read_csv(content, delimiter=","):
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=delimiter))


@pytest.fixture
def workbook(tmp_path):
    """A sheet with a title above, a gap, colors, a comment, and a sheet of somebody's own."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Requests"
    sheet.append([])
    sheet.append(HEADER.split(","))
    sheet.append(line("b-second").split(","))
    sheet.append([])
    sheet.append(line("a-first", "2").split(","))
    sheet["D3"].fill = PatternFill("solid", fgColor="FFCC00")
    sheet["D5"].comment = Comment("ask Kim", "Kim")
    book.create_sheet("notes")["A1"] = "=1+1"
    path = tmp_path / "requests.xlsx"
    book.save(path)
    return path


def test_csv_comes_back_in_its_order_with_four_more_columns(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("\n".join([HEADER, line("b", labels='"k=v;x-"'), "", line("a", "2")]))
    suffix, content = answered_file(path, answers(path, ("failed", "no; do this"), ("created",)))
    header, b, a = read_csv(content)
    assert suffix == ".csv"
    assert header == [*HEADER.split(","), *ANSWER_COLUMNS]
    assert b[3:] == ["b", "4", "k=v;x-", "open", "failed", "1.235", "no; do this"]
    assert a[3:] == ["a", "2", "", "done", "created", "1.235", ""]


def test_a_semicolon_stays_one(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("\n".join([HEADER, line("a")]).replace(",", ";"))
    _, content = answered_file(path, answers(path, ("created",)))
    assert read_csv(content, ";")[1][3] == "a"


def test_yaml_gets_a_csv_that_asks_for_the_same(tmp_path):
    path, again = tmp_path / "r.yaml", tmp_path / "again.csv"
    path.write_text(
        f"- {{subscription_id: {SUBSCRIPTION}, resource_group: rg, cluster_name: aks-1,"
        " namespace_name: a, cpu_limit: 2, labels: {k: v, gone: null}}\n"
    )
    suffix, content = answered_file(path, answers(path, ("created",)))
    again.write_bytes(content)
    ((one,), (other,)) = parse_requests(path), parse_requests(again)
    assert suffix == ".csv"
    assert (one.quota, one.labels) == (other.quota, other.labels)
    assert one.quota["cpu_limit"] == 2


def test_a_workbook_keeps_everything_and_gains_four_columns(workbook):
    given = answers(workbook, ("created",), ("skipped", "stale; make a new plan"))
    suffix, content = answered_file(workbook, given)
    book = load_workbook(io.BytesIO(content))
    sheet = book["Requests"]
    assert suffix == ".xlsx"
    assert [cell.value for cell in sheet[2]][-4:] == list(ANSWER_COLUMNS)
    assert [cell.value for cell in sheet[3]][3:] == [
        "b-second", "4", None, "done", "created", 1.235, None,
    ]  # fmt: skip
    assert [cell.value for cell in sheet[5]][6:] == [
        "open", "skipped", 1.235, "stale; make a new plan",
    ]  # fmt: skip
    assert [cell.value for cell in sheet[4]] == [None] * 10
    assert sheet["D3"].fill.fgColor.rgb == "00FFCC00"
    assert sheet["D5"].comment.text == "ask Kim"
    assert book["notes"]["A1"].value == "=1+1"


def test_the_file_can_be_mended_and_read_again_and_answered_again(workbook):
    first = answers(workbook, ("created",), ("failed", "x"))
    workbook.write_bytes(answered_file(workbook, first)[1])
    again = answers(workbook, ("unchanged",), ("created",))
    sheet = load_workbook(io.BytesIO(answered_file(workbook, again)[1]))["Requests"]
    assert sheet.max_column == 10
    assert [cell.value for cell in sheet[5]][6:] == ["done", "created", 1.235, None]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t="])
def test_no_message_is_a_formula(workbook, tmp_path, start):
    evil = start + EVIL
    given = answers(workbook, ("failed", evil), ("created",))
    cell = load_workbook(io.BytesIO(answered_file(workbook, given)[1]))["Requests"]["J3"]
    assert (cell.data_type, cell.value[:2]) == ("s", f"'{start[0]}")
    path = tmp_path / "r.csv"
    path.write_text("\n".join([HEADER, line("a")]))
    _, content = answered_file(path, answers(path, ("failed", evil)))
    assert read_csv(content)[1][-1] == f"'{evil}"


def test_a_dry_run_says_what_each_row_would_do(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("\n".join([HEADER, line("a")]))
    given = answers(path, ("not_attempted", "dry run", ("adoption", "overcommit")))
    (_, row) = read_csv(answered_file(path, given)[1])
    assert row[-4:-1] == ["planned", "not_attempted", ""]
    assert row[-1] == "would be created, with adoption, overcommit"


@pytest.mark.parametrize("cells", ["G3:J3", "J3:J5", "F2:H2"])
def test_merged_cells_keep_no_answer_out(workbook, cells):
    book = load_workbook(workbook)
    book["Requests"].merge_cells(cells)
    book.save(workbook)
    _, content = answered_file(workbook, answers(workbook, ("created",), ("failed", "403")))
    sheet = load_workbook(io.BytesIO(content))["Requests"]
    assert [cell.value for cell in sheet[2]][6:10] == list(ANSWER_COLUMNS)
    assert [cell.value for cell in sheet[3]][6:9] == ["done", "created", 1.235]
    assert [cell.value for cell in sheet[5]][6:8] == ["open", "failed"]


def test_titles_above_the_header_keep_their_place(workbook):
    book = load_workbook(workbook)
    book["Requests"]["B1"] = "What the teams ask for"
    book["Requests"].merge_cells("B1:D1")
    book.save(workbook)
    _, content = answered_file(workbook, answers(workbook, ("created",), ("failed", "403")))
    sheet = load_workbook(io.BytesIO(content))["Requests"]
    assert [cell.value for cell in sheet[1]][:3] == [None, "What the teams ask for", None]
    assert [cell.value for cell in sheet[2]][6:] == list(ANSWER_COLUMNS)
    assert [cell.value for cell in sheet[5]][6:8] == ["open", "failed"]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_refused_file_comes_back_with_the_mistakes_of_each_row(tmp_path, monkeypatch, suffix):
    path, run = tmp_path / f"asked{suffix}", tmp_path / "run"
    run.mkdir()
    lines = [HEADER, *(line(f"n-{number}", cpu="4 apples") for number in range(300)), line("good")]
    if suffix == ".csv":
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        book = Workbook()
        for text in lines:
            book.active.append(text.split(","))
        book.save(path)
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(run))
    with pytest.raises(SpecError) as refused:
        start("30_provision_in_bulk", {"request_file": str(path)}).requests()

    (mistake,) = str(refused.value).splitlines()[1:]  # the same in all rows: counted, not listed
    assert f"asked{suffix}, 300 rows (2-301), column cpu_limit: " in mistake
    if suffix == ".csv":
        rows = read_csv((run / "requests.csv").read_bytes())
    else:
        rows = list(load_workbook(run / "requests.xlsx").active.iter_rows(values_only=True))
    assert tuple(rows[0][-4:]) == ANSWER_COLUMNS
    assert {row[-4] for row in rows[1:301]} == {"refused"}
    assert all(row[-1].startswith("cpu_limit: ") for row in rows[1:301])
    assert not any(rows[301][-4:])


def test_the_copy_is_what_was_checked_and_what_cannot_be_planned_is_told_in_it(
    tmp_path, monkeypatch
):
    path, run = tmp_path / "asked.csv", tmp_path / "run"
    run.mkdir()
    checked = "\n".join([HEADER, line("good"), line("bad", cpu="0.5")]).encode()
    path.write_bytes(checked)
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(run))
    asked = {"request_file": str(path), "max_commitment": ""}
    steps = start("30_provision_in_bulk", asked)
    steps.requests()
    specs = steps.specs
    path.write_text("somebody saves it anew", encoding="utf-8")
    assert (run / "requests.csv").read_bytes() == checked

    cluster = specs[0].id.cluster
    held = [make_namespace(spec.id.namespace_name, cluster=cluster) for spec in specs]
    steps.observed = make_observed(*held, cluster=make_cluster(cluster))
    with pytest.raises(SpecError, match=r"asked\.csv, row 3, column cpu_limit"):
        steps.plan()
    _, good, bad = read_csv((run / "requests.csv").read_bytes())
    assert not any(good[-4:])
    assert bad[-4] == "refused"
    assert bad[-1].startswith("cpu_limit: cpu_limit 500m is below the cpu_request 1000m set")


@pytest.mark.parametrize("column", ["labels", "password"])
def test_a_refused_file_that_may_hold_a_secret_is_not_copied(tmp_path, monkeypatch, column):
    path, run = tmp_path / "asked.csv", tmp_path / "run"
    run.mkdir()
    labels = "password=" + "hunter2hunter2"
    header = HEADER.replace("labels", column)
    path.write_text(f"{header}\n{line('a', labels=labels)}\n", encoding="utf-8")
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(run))
    with pytest.raises(SpecError, match=r"asked\.csv may hold a secret"):
        start("30_provision_in_bulk", {"request_file": str(path)}).requests()
    assert {file.name for file in run.iterdir()} == {UNDER_WAY_NAME, "result.json"}


@pytest.mark.parametrize(
    ("names", "cells"),
    [("labels,tags", ['="password=' + 'hunter2hunter2"', "a=b"]),
     ("labels,labels", ["password=" + "hunter2hunter2", "a=b"])],
)  # fmt: skip
def test_a_refused_workbook_with_a_secret_that_is_not_read_is_not_copied(
    tmp_path, monkeypatch, names, cells
):
    path, run, book = tmp_path / "asked.xlsx", tmp_path / "run", Workbook()
    run.mkdir()
    book.active.append([*ID_COLUMNS, *names.split(",")])
    book.active.append([SUBSCRIPTION, "rg", "aks-1", "NOT good", *cells])
    book.save(path)
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(run))
    with pytest.raises(SpecError, match=r"asked\.xlsx may hold a secret"):
        start("30_provision_in_bulk", {"request_file": str(path)}).requests()
    assert {file.name for file in run.iterdir()} == {UNDER_WAY_NAME, "result.json"}


def test_the_mistakes_of_a_row_stand_in_the_order_of_its_columns(tmp_path):
    path = tmp_path / "asked.csv"
    header = "memory_limit,cpu_limit,namespace_name,cluster_name,resource_group,subscription_id"
    path.write_text(f"{header}\nx,y,NOT good,aks-1,rg,{SUBSCRIPTION}\n", encoding="utf-8")
    with pytest.raises(SpecError) as refused:
        parse_requests(path)
    columns = [mistake.column for mistake in refused.value.problems]
    assert columns == ["memory_limit", "cpu_limit", "namespace_name"]
