"""`mns template` and `mns export` as a user runs them, and what comes back from the sandbox."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from html import unescape

import openpyxl
import pytest
import yaml

from mnslib.provisioning.observe import observe
from mnslib.provisioning.plan import make_plan
from mnslib.requests.columns import COLUMN_WORDS, COLUMNS, column_words
from mnslib.requests.sheets import FORMULA_STARTS
from mnslib.requests.spec import parse_requests
from mnslib.run.targets import open_target
from tests.sandbox.client import Client

from .conftest import ROOT

SAMPLE_TIERS = ROOT / "parameters" / "tiers.sample.yaml"


def guides(sheet):
    return {guide.promptTitle: guide for guide in sheet.data_validations.dataValidation}


def test_a_template_offers_what_may_be_chosen_and_explains_each_column(mns, tmp_path):
    done = mns("template", "new.xlsx", "--tiers-file", str(SAMPLE_TIERS))
    assert (done.returncode, done.stdout.strip()) == (0, "new.xlsx")
    book = openpyxl.load_workbook(tmp_path / "new.xlsx")
    sheet = book["requests"]
    assert [cell.value for cell in sheet[1]] == list(COLUMNS)
    assert (sheet.max_row, sheet.freeze_panes) == (1, "A2")
    assert {shape.number_format for shape in sheet.column_dimensions.values()} == {"@"}
    for name, words in COLUMN_WORDS.items():
        assert guides(sheet)[name].formula1 == f'"{",".join(word.value for word in words)}"'
    assert guides(sheet)["tier"].formula1 == "tiers!$A$2:$A$4"
    assert [cell.value for cell in book["tiers"]["A"]] == ["tier", "small", "medium", "isolated"]
    rows = 1 + len(COLUMNS)  # below them: the columns of answers
    explained = {row[0].value: row[2].value for row in book["columns"].iter_rows(max_row=rows)}
    assert {
        name: said["help"] for name, said in column_words().items()
    }.items() <= explained.items()


def test_a_template_as_it_is_asks_for_nothing(mns, run_notebook, tmp_path):
    mns("template")
    done = run_notebook("30", request_file=tmp_path / "requests.xlsx")
    assert done.code == 6
    assert "requests.xlsx: the file holds no request." in done.output


@pytest.fixture
def plan_of(sandbox_file, monkeypatch):
    """Plan a request file against what Azure holds, in this process."""
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))

    def plan_of(file):
        specs = parse_requests(file)
        target = open_target("sandbox", cloud="public", credential="default")
        with target.azure as azure:
            seen = observe(specs, azure=azure, kube_for=None, now=lambda: datetime.now(UTC))
            return make_plan(specs, seen, max_commitment=None)

    return plan_of


def test_what_says_where_to_look_is_checked_before_anything_is_read(mns, tmp_path):
    told = {
        "cloud: mars": "cloud is 'mars': write one of public, usgov, china.",
        "clusters: aks-1": "clusters: 'aks-1' is not a list. Write a list, such as [a, b].",
        "clusters: [aks-1]": "'aks-1' is not the ARM id of a managed cluster",
        "resource_group: r\u200bg": "the text holds U+200B ZERO WIDTH SPACE. Write rg.",
        "cluster_name: -a": "cluster_name: '-a' is not the name of a cluster",
    }
    file = tmp_path / "where.yaml"
    file.write_text("request_file: a.csv\n" + "\n".join(told).replace("\nclusters: aks-1", ""))
    done = mns("export", "all.csv", "-f", str(file))
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("Error: 4 parameters are refused; nothing was begun:")
    assert [words for line, words in told.items() if words not in done.stderr] == [
        told["clusters: aks-1"]
    ]
    file.write_text("clusters: aks-1")
    assert told["clusters: aks-1"] in mns("export", "all.csv", "-f", str(file)).stderr


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "yaml"])
def test_an_export_planned_as_it_is_changes_nothing(mns, plan_of, sandbox, tmp_path, suffix):
    file = tmp_path / f"all.{suffix}"
    done = mns(
        "export", str(file), "-f", str(ROOT / "parameters/30_provision_in_bulk.sandbox.yaml")
    )
    assert done.returncode == 0, done.stderr
    plan = plan_of(file)
    assert plan.to_do == ()
    assert len(plan.changes) == int(done.stderr.strip().splitlines()[-1].split()[0])


def test_what_was_edited_is_all_that_changes(mns, run_notebook, sandbox, tmp_path):
    cluster = sandbox.cluster("aks-prod-weu-1")
    file = tmp_path / "prod.csv"
    assert mns("export", str(file), "--cluster", str(cluster)).returncode == 0
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert {row["cluster_name"] for row in rows} == {"aks-prod-weu-1"}
    assert any(row["access"] for row in rows)
    (web,) = [row for row in rows if row["namespace_name"] == "web-checkout"]
    web["cpu_limit"] = "21"
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    run = run_notebook("30", request_file=file)
    assert run.code == 0, run.output
    changed = [change for change in run.plan["changes"] if change["change"] != "NoChange"]
    ((difference,),) = [change["differences"] for change in changed]
    assert (difference["path"], difference["new"]) == ("cpu_limit", "21000m")


def test_a_role_that_no_request_can_ask_for_is_named(mns, sandbox, tmp_path):
    cluster, reader = sandbox.cluster("aks-prod-weu-1"), "acdd72a7-3385-48ef-bd42-f606fba81ae7"
    somebody = "00000000-0000-4000-9000-000000000003"
    scope = f"{cluster}/managedNamespaces/web-checkout"
    granted = Client(sandbox.connection).grant(scope, reader, somebody, principalType="Group")
    assert granted.status_code == 201
    done = mns("export", str(tmp_path / "prod.csv"), "--cluster", str(cluster))
    said = f"no request can ask for the role {reader} of Group {somebody}"
    assert f"Left out, and left alone: access of {scope}: {said}" in done.stderr
    assert reader not in (tmp_path / "prod.csv").read_text(encoding="utf-8-sig")


def test_a_file_that_exists_is_replaced_only_when_asked(mns, tmp_path):
    (tmp_path / "requests.xlsx").write_text("mine")
    refused = mns("template")
    assert (refused.returncode, (tmp_path / "requests.xlsx").read_text()) == (6, "mine")
    assert "--overwrite replaces it" in refused.stderr
    assert mns("template", "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["export", "x.txt"], "The file ends in .txt"),
        (["export", "x.csv", "--target", "azure"], "Nothing says where to look"),
        (["export", "x.csv", "--cluster", "aks-1"], "is not the ARM id of a managed cluster"),
        (["template", "x.csv"], "a template is a workbook"),
    ],
)
def test_what_cannot_be_written_is_said(mns, words, why):
    done = mns(*words)
    assert done.returncode == 6
    assert why in done.stderr


def test_tiers_and_policy_reach_a_run(run_notebook, sandbox, tmp_path):
    cluster = sandbox.cluster("aks-prod-weu-2")
    row = {
        "subscription_id": cluster.subscription_id, "resource_group": cluster.resource_group,
        "cluster_name": "aks-prod-weu-2", "namespace_name": "tools-wiki", "tier": "small",
    }  # fmt: skip
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump([row]))
    words = {"request_file": file, "tiers_file": SAMPLE_TIERS}
    refused = run_notebook("30", **words, policy_file=ROOT / "parameters/policy.sample.yaml")
    assert refused.code == 6
    assert "the policy requires 'owner'. Write owner=<value>." in unescape(refused.report)
    done = run_notebook("30", **words)
    assert done.code == 0, done.output
    (change,) = done.plan["changes"]
    assert change["after"]["default_resource_quota"]["memory_limit"] == "2Gi"
    file.write_text(yaml.safe_dump([{**row, "tier": "medium"}]))
    kept = run_notebook("30", **words)
    assert kept.result["summary"]["unchanged"] == 1
    assert "not what their tier says: tools-wiki" in kept.report


HOSTILE = {
    "formula": '=HYPERLINK("http://x.example","y")', "at": "@SUM(1)", "plus": "+1", "minus": "-1",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>", "lines": "a\r\nb\n\n# c",
    "escape": "\x1b[31mred\x1b]0;title\x07", "other": "ключ 日本",
    "path": "../../etc/passwd", "long": "word " * 6_000,
}  # fmt: skip


def test_a_hostile_sheet_is_shown_harmlessly_everywhere(
    mns, run_notebook, plan_of, sandbox, tmp_path
):
    cluster = sandbox.cluster("aks-prod-weu-2")
    file = tmp_path / "requests.yaml"
    row = {
        "subscription_id": cluster.subscription_id, "resource_group": cluster.resource_group,
        "cluster_name": "aks-prod-weu-2", "namespace_name": "hostile", "tier": "small",
        "annotations": HOSTILE,
    }  # fmt: skip
    file.write_text(yaml.safe_dump([row]))
    done = run_notebook("30", request_file=file, tiers_file=SAMPLE_TIERS)
    assert done.code == 0, done.output
    assert "\x1b" not in done.output
    for page in (done.report, (done.directory.parent / "index.html").read_text()):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\x1b" not in page
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not any("passwd" in name or "script" in name for name in names)
    for suffix in ("csv", "xlsx"):
        copy = tmp_path / f"copy.{suffix}"
        assert mns("export", str(copy), "--cluster", str(cluster)).returncode == 0
        assert plan_of(copy).to_do == ()
    again = run_notebook("30", request_file=copy)
    assert set(again.result["summary"]) - {"risks"} == {"unchanged"}
    assert "\x1b" not in again.report


def test_cells_that_are_no_names_are_refused_without_being_run_or_shown_raw(
    run_notebook, sandbox, tmp_path
):
    file = tmp_path / "wrong.csv"
    with file.open("w", encoding="utf-8", newline="") as opened:
        lines = csv.writer(opened)
        lines.writerow(
            ["subscription_id", "resource_group", "cluster_name", "namespace_name", "\x1b[2J"]
        )
        for text in HOSTILE.values():
            lines.writerow(["00000000-0000-4000-8000-00000000a001", "rg-platform", text, text, ""])
    done = run_notebook("30", request_file=file)
    assert done.code == 6
    assert done.output.count("column namespace_name:") == len(HOSTILE)
    assert "\x1b" not in done.output
    assert max(map(len, done.output.splitlines())) < 1000
    assert "<script>alert" not in done.report


def test_a_very_long_text_is_cut_where_it_is_shown_and_harmless_in_what_is_given_back(
    run_notebook, sandbox, tmp_path
):
    cluster = sandbox.cluster("aks-prod-weu-2")
    file = tmp_path / "requests.yaml"
    row = {
        "subscription_id": cluster.subscription_id, "resource_group": cluster.resource_group,
        "cluster_name": "aks-prod-weu-2", "namespace_name": "hostile-long", "tier": "small",
        "annotations": {"first": "=1+1", "long": "word " * 20_000},
    }  # fmt: skip
    file.write_text(yaml.safe_dump([row]))
    done = run_notebook("30", request_file=file, tiers_file=SAMPLE_TIERS, dry_run="true")
    assert done.code == 0, done.output
    assert max(map(len, done.output.splitlines())) < 1000
    assert done.report.count("word ") < 1000
    with (done.directory / "requests.csv").open(encoding="utf-8-sig", newline="") as opened:
        csv.field_size_limit(2**20)
        cells = [cell for line in csv.reader(opened) for cell in line]
    assert "hostile-long" in cells
    assert not [cell for cell in cells if cell.startswith(FORMULA_STARTS)]


def test_hostile_names_of_files_are_shown_as_text_and_name_no_file(mns, sandbox, tmp_path):
    cluster = sandbox.cluster("aks-prod-weu-2")
    requests = tmp_path / "=<img src=x>;$(id).csv"
    with requests.open("w", encoding="utf-8", newline="") as opened:
        lines = csv.writer(opened)
        lines.writerow(["resource_group", "cluster_name", "annotations", "namespace_name"])
        lines.writerow([cluster.resource_group, "aks-prod-weu-2", "long=" + "word " * 20_000, "x"])
    parameters = tmp_path / "30_provision_in_bulk.=<b>..x y.yaml"
    parameters.write_text(yaml.safe_dump({"target": "sandbox", "request_file": str(requests)}))
    done = mns("run", "30", "-f", str(parameters), "--runs", str(tmp_path / "runs"))
    assert done.returncode == 6
    assert "column annotations: the cell has 100,004 characters; 32,767 fit." in done.stderr
    (directory,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert re.fullmatch(r"\d{8}T\d{6}Z-30_provision_in_bulk-[\w.-]+", directory.name)
    for page in (directory / "report.html", tmp_path / "runs" / "index.html"):
        html = page.read_text(encoding="utf-8")
        assert "<img src=x" not in html
        assert "<b>.." not in html
    assert "&lt;img src=x&gt;" in (directory / "report.html").read_text(encoding="utf-8")
