"""Whom `access` names: by name or id, in a notebook's parameters and in a request file."""

from __future__ import annotations

import csv

import pytest
import yaml

from .conftest import CAPS, writes

GROUP, ADA = "00000000-0000-4000-9000-000000000001", "00000000-0000-4000-9100-000000000001"
NOBODY = "00000000-0000-4000-9100-00000000dead"
WRONG = {
    "group:grp-paymnts": "Write group:grp-payments.",
    "group:grp-reporting": "more than one group is called grp-reporting",
    f"group:{ADA}": f"it is user Ada Fischer ({ADA}, ada.fischer@contoso.example)",
    f"user:{NOBODY}": f"the directory has nobody with the object id {NOBODY}",
}


@pytest.fixture
def request_file(tmp_path, sandbox):
    """Write a request file: a row for each text of `access`, each on an existing namespace."""
    names = ["payments-api", "payments-ledger", "search-index", "web-checkout"]

    def write(*access):
        path = tmp_path / "requests.csv"
        rows = [
            {**sandbox.cluster("aks-prod-weu-1").columns, "namespace_name": name, "access": text}
            for name, text in zip(names, access, strict=False)
        ]
        with path.open("w", newline="", encoding="utf-8") as file:
            sheet = csv.DictWriter(file, rows[0])
            sheet.writeheader()
            sheet.writerows(rows)
        return path

    return write


def graph_calls(sandbox):
    return [one["path"] for one in sandbox.requests() if one["path"].startswith("/graph/")]


def test_names_of_a_notebooks_parameter_are_planned_as_ids(run_notebook, sandbox, tmp_path):
    sandbox.control("DELETE", "requests")
    given = {"namespace_name": "e2e-names", "dry_run": "true"}
    named = run_notebook("20", **given, access="[group:GRP-payments=writer]")
    assert named.code == 0, named.output
    assert len(graph_calls(sandbox)) == 1
    by_id = run_notebook("20", **given, access=f"[group:{GROUP}=writer]")
    assert by_id.plan["digest"] == named.plan["digest"]
    (grant,) = named.plan["changes"][0]["grants"]
    assert (grant["principal_id"], named.plan["principals"][GROUP]["name"]) == (
        GROUP,
        "grp-payments",
    )
    assert f"group grp-payments ({GROUP})" in named.report


def test_who_is_not_asked_about_is_not_looked_up(run_notebook, sandbox):
    sandbox.control("DELETE", "requests")
    done = run_notebook("20", namespace_name="e2e-none", dry_run="true", access="[]")
    assert done.code == 0, done.output
    assert graph_calls(sandbox) == []


def test_a_parameter_that_nobody_can_be_meant_by_is_refused(run_notebook, sandbox):
    access = yaml.safe_dump([f"{who}=reader" for who in WRONG], default_flow_style=True).strip()
    sandbox.control("DELETE", "requests")
    refused = run_notebook("20", namespace_name="e2e-wrong", access=access)
    assert refused.code == 6, refused.output
    told = " ".join(refused.output.split())
    assert told.count("parameter access:") >= 4
    for words in WRONG.values():
        assert words in told
    assert writes(sandbox.requests()) == []


def test_a_file_is_refused_with_row_and_column_and_given_back(run_notebook, sandbox, request_file):
    sandbox.control("DELETE", "requests")
    file = request_file(*(f"{who}=reader" for who in WRONG))
    refused = run_notebook("30", request_file=file, **CAPS)
    assert refused.code == 6, refused.output
    told = " ".join(refused.output.split())
    for row, words in enumerate(WRONG.values(), 2):
        assert f"requests.csv, row {row}, column access:" in told
        assert words in told
    assert writes(sandbox.requests()) == []
    given_back = (refused.directory / "requests.csv").read_text(encoding="utf-8")
    assert "Ada Fischer" in given_back


def test_a_file_that_names_is_carried_out_and_shown_with_names(
    run_notebook, mns, sandbox, request_file
):
    file = request_file("group:grp-search=reader;user:ada.fischer@contoso.example=writer")
    done = run_notebook("30", request_file=file, allow="[access-granted]", **CAPS)
    assert done.code == 0, done.output
    assert done.result["items"][0]["outcome"] == "updated"
    assert f"user Ada Fischer ({ADA})" in done.report
    assert "1 user gets roles as a person" in done.report
    journal = (done.directory / "journal.jsonl").read_text(encoding="utf-8")
    assert '"principal_name": "Ada Fischer"' in journal
    undone = mns("undo", done.directory.name, "--runs", str(mns.folder / "runs"))
    assert undone.returncode == 0, undone.stderr
    given = {"request_file": done.directory / "undo.yaml", "allow": "[access-removed]", **CAPS}
    back = run_notebook("30", **given)
    assert back.code == 0, back.output
    assert f"taken from user Ada Fischer ({ADA})" in back.report


def test_a_principal_that_azure_does_not_know_yet_is_ridden_out(
    run_notebook, sandbox, request_file
):
    error = {"code": "PrincipalNotFound", "message": f"Principal {GROUP} does not exist."}
    error["status"] = 400
    fault = {
        "name": "replication",
        "match": {"method": "PUT", "path": "roleAssignments"},
        "effect": error,
        "times": 2,
    }
    sandbox.control("POST", "faults", {"faults": [fault]})
    file = request_file("group:grp-search=reader")
    done = run_notebook("30", request_file=file, allow="[access-granted]", **CAPS)
    hits = sandbox.control("GET", "faults")
    sandbox.control("POST", "faults", {})
    assert done.code == 0, done.output
    assert [one["hits"] for one in hits["faults"]] == [2]
