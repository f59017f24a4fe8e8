"""Notebook 40 from the outside: the finding, its tables, its charts; it writes nothing."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from urllib.parse import unquote

import pytest
from openpyxl import load_workbook

from .conftest import WRITES

COLUMNS = {
    "cluster_name", "namespace_name", "resource", "hard", "used", "utilization_ratio", "peak_used",
    "peak_utc", "verdict", "advice",
}  # fmt: skip


def rows(run, name):
    with (run.directory / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def compared(anew, analyzed):
    """Notebook 40 once more, without the history, beside the run before."""
    with anew("compared") as (sandbox, mns):
        analyzed.copied(mns.folder / "runs")
        done = mns.run(
            "40", "--detailed-exitcode", history="none", compare_run=analyzed.directory.name
        )
        return replace(done, asked=tuple(sandbox.requests()))


def test_the_seeded_world_is_judged_as_it_was_seeded(analyzed):
    done = analyzed
    assert (done.code, done.result["status"]) == (2, "findings")  # 2 where it is asked for
    summary = done.result["summary"]
    assert (summary["full"], summary["tight"]) == (2, 2)
    assert sum(summary[k] for k in ("full", "tight", "ok", "unknown")) == summary["namespaces"]

    table = rows(done, "utilization")
    assert set(table[0]) >= COLUMNS
    full = {row["namespace_name"] for row in table if row["verdict"] == "full"}
    assert full == {"payments-api", "risk-exposure"}
    unknown = [row for row in table if row["verdict"].startswith("unknown: ")]
    assert unknown
    assert all(row["used"] == row["utilization_ratio"] == "" for row in unknown)
    wrong_counters = {
        row["namespace_name"] for row in unknown if row["evidence"] == "wrong counter"
    }
    assert wrong_counters == {"ml-test"}
    advice = {row["namespace_name"]: row for row in table}
    assert {advice[name]["advice"] for name in full} == {"grow"}
    assert advice["search-query"]["advice"] == "fix requests"
    assert advice["identity-sso"]["advice"] == advice["ml-test"]["advice"] == ""
    assert advice["identity-sso"]["advice_reason"] == "all zero: dead sensor"
    assert sum(int(row["namespaces"]) for row in rows(done, "by_owner")) > 40  # CPU and memory
    refused = {row["workload_name"]: row["problem"] for row in rows(done, "refusals")}
    assert refused == {
        "api": "quota exceeded", "simulation": "quota exceeded", "reindex": "values missing",
    }  # fmt: skip
    assert (summary["refused_workloads"], summary["refused_pods"]) == (3, 56)
    days = {row["namespace_name"]: row for row in rows(done, "daily")}
    assert days["risk-exposure"]["resource"] == "memory_limit"  # full, while CPU requests are not
    assert list(days["risk-exposure"].values()).count("1.0") >= 3
    assert {row["cluster_name"] for row in rows(done, "commitment")} == {
        "aks-prod-weu-1", "aks-prod-weu-2", "aks-prod-neu-1", "aks-test-weu-1",
    }  # fmt: skip
    assert set(done.result["artifacts"]) >= {
        "tables/commitment.csv", "tables/daily.csv", "tables/utilization.csv", "tables/tables.xlsx",
        "tables/fit.csv", "tables/placement.csv",
    }  # fmt: skip

    pictures = {path.stem: path.read_text(encoding="utf-8") for path in
                (done.directory / "charts").glob("*.svg")}  # fmt: skip
    assert len(pictures) == 6
    assert all("<text" in picture for picture in pictures.values())

    assert "<pre>" not in done.report  # no value, path or quoted text as Python writes it
    alts = re.findall(r"<svg[^>]*><title>([^<]+)", done.report)
    assert len(alts) == 6
    assert alts[0].startswith("2 of ")
    assert any("cannot start the next pod" in alt for alt in alts)
    assert not [r for r in done.asked if r["method"] in WRITES]


def test_without_history_it_answers_what_a_moment_can_answer(compared):
    assert compared.result["summary"]["full"] == 2
    assert all(row["peak_used"] == "" for row in rows(compared, "utilization"))
    assert not [r for r in compared.asked if "/prometheus/" in r["path"]]


def tables(run):
    return {path.name: path.read_bytes() for path in (run.directory / "tables").glob("*.csv")}


def test_the_workbook_holds_every_table_and_explains_every_column(analyzed):
    done = analyzed
    with (done.directory / "tables" / "tables.xlsx").open("rb") as file:
        book = load_workbook(file)
        names = sorted(path.stem for path in (done.directory / "tables").glob("*.csv"))
        assert sorted(book.sheetnames) == sorted(["columns", *names])
        for name in names:
            assert book[name].max_row == len(rows(done, name)) + 1
        unexplained = [
            [c.value for c in row] for row in book["columns"].iter_rows() if not row[4].value
        ]
    assert unexplained == []


def test_each_owner_has_a_page_and_every_link_of_every_page_leads_to_a_file_beside_it(
    analyzed,
):
    done = analyzed
    pages = [done.directory / name for name in ("report.html", "portfolio.html")]
    owners = {row["owner"] for row in rows(done, "utilization")}
    pages += (found := sorted((done.directory / "owners").iterdir()))
    assert len(found) == len(owners)
    assert "portfolio.html" in done.result["artifacts"]
    for page in [*pages, done.directory.parent / "index.html"]:
        text = page.read_text("utf-8")
        links = re.findall(r'(?:href|src)="([^"]*)"', text)
        assert [to for to in links if to[0] == "#" and f'id="{to[1:]}"' not in text] == []
        local = [link for link in links if link[0] != "#" and link[:11] != "data:image/"]
        assert [link for link in local if not (page.parent / unquote(link)).is_file()] == []


def test_an_earlier_run_is_analyzed_again_with_all_doors_closed(
    run_notebook, analyzed, environment, tmp_path
):
    first = analyzed.copied(tmp_path / "runs")
    environment["MNS_SANDBOX"] = str(tmp_path / "no-such-sandbox.json")
    again = run_notebook("40", snapshot_run=first.directory.name)
    assert again.code == 0, again.output
    assert tables(again) == tables(first)
    assert again.result["headline"] == first.result["headline"]
    assert '<span class="badge">sandbox</span>' in again.report
    assert not (again.directory / "snapshot").exists()


def test_what_was_full_in_the_run_before_is_no_new_finding(analyzed, compared):
    assert (analyzed.code, analyzed.result["status"]) == (2, "findings")
    assert (compared.code, compared.result["status"]) == (0, "done")
    assert compared.result["summary"]["full"] == analyzed.result["summary"]["new_full"] == 2
    assert compared.result["summary"]["new_full"] == 0
    said = f"Nothing new that needs somebody since {analyzed.directory.name}"
    assert said in compared.report
    assert rows(compared, "changed") == []


def test_from_metrics_alone_nothing_else_is_asked_and_the_figures_are_the_same(
    run_notebook, sandbox
):
    done = run_notebook("40", inventory="history")
    assert (done.code, done.result["status"]) == (0, "findings"), done.output
    asked = {(item["surface"], item["path"]) for item in sandbox.requests()}
    asked = {path for surface, path in asked if surface not in ("entra", "control")}
    assert asked == {"/prometheus/api/v1/query", "/prometheus/api/v1/query_range"}

    table = rows(done, "utilization")
    full = {row["namespace_name"] for row in table if row["verdict"] == "full"}
    assert full == {"payments-api", "risk-exposure"}
    commitment = rows(done, "commitment")
    assert all(float(row["allocatable"]) > 0 for row in commitment)
    assert {row["autoscaled_verdict"] for row in commitment} == {"unknown: metrics do not say"}


def test_an_owner_label_that_nobody_has_is_told_in_headline_and_record(run_notebook):
    """Keys of labels are case-sensitive; the world's namespaces have `owner`."""
    done = run_notebook("40", owner_label="Owner", history="none")
    assert done.code == 0, done.output
    (said,) = [line for line in done.result["warnings"] if line.startswith("owner_label")]
    assert "No namespace has the label Owner (owner_label)" in said
    assert "labels that there are: owner" in said
    assert said in done.result["headline"]
    assert "so that no owner is known" in done.report
