"""What is written in a file is what is asked for, through the command line; else it is refused."""

from __future__ import annotations

import shutil

import pytest

from .conftest import ROOT

IDS = "00000000-0000-4000-8000-00000000a001,rg-platform,aks-prod-weu-1"
HEADER = (
    "subscription_id,resource_group,cluster_name,namespace_name,"
    "cpu_request,cpu_limit,memory_request,memory_limit,tags"
)


@pytest.fixture
def handover():
    yield
    shutil.rmtree(ROOT / "handover" / "aks-prod-weu-2" / "2026-01-01", ignore_errors=True)


@pytest.mark.usefixtures("sandbox", "handover")
def test_what_looks_like_a_date_or_a_number_is_a_name_and_a_label(mns, tmp_path):
    file = tmp_path / "20_onboard_namespace.test.yaml"
    file.write_text(
        "target: sandbox\nsubscription_id: 00000000-0000-4000-8000-00000000a001\n"
        "resource_group: rg-platform\ncluster_name: aks-prod-weu-2\nnamespace_name: 2026-01-01\n"
        "cpu_request: 01\ncpu_limit: 1\nmemory_request: 1Gi\nmemory_limit: 1Gi\n"
        "labels: {a: 010, b: on, c: 1.10, d: 2026-01-01, e: 1_000}\nowner: 007\n"
        "dry_run: false\napproval: unattended\n"
    )
    done = mns.run("20", file=file)
    assert done.code == 0, done.output
    assert done.result["status"] == "done"
    assert "2026-01-01" in done.report
    (item,) = done.result["items"]
    assert (item["namespace_name"], item["outcome"]) == ("2026-01-01", "created")
    assert done.result["parameters"]["namespace_name"] == "2026-01-01"
    assert done.result["parameters"]["owner"] == "007"
    labels = {"a": "010", "b": "on", "c": "1.10", "d": "2026-01-01", "e": "1_000"}
    assert done.plan["changes"][0]["after"]["labels"] == labels | {"owner": "007"}


def test_what_nobody_sees_in_a_sheet_is_refused_with_the_clean_text(mns, tmp_path):
    rows = [
        f"{IDS},hc\u2011one,1,2,1Gi,2Gi,",
        f"{IDS},\u200bhc-two,1,2,1Gi,2Gi,",
        f"{IDS},hc-three,1,2,1Gi,2Gi,\u200bcost center=42",
        f"{IDS},hc-four,1,2,1Gi,2Gi,note=Это русское предложение",
        f"{IDS},hc-five,1,2,1Gi,2Gi,note=the \u0441ost",
    ]
    file = tmp_path / "requests.csv"
    file.write_text("\n".join(["\u200b" + HEADER, *rows]) + "\n", encoding="utf-8")
    done = mns.run("30", request_file=str(file))
    assert done.code == 6
    for told in (
        "5 mistakes in requests.csv; nothing was written:",
        "row 1, column subscription_id: the name holds U+200B ZERO WIDTH SPACE. "
        "Write subscription_id.",
        "row 2, column namespace_name: the text holds U+2011 NON-BREAKING HYPHEN. Write hc-one.",
        "row 3, column namespace_name: the text holds U+200B ZERO WIDTH SPACE. Write hc-two.",
        "row 4, column tags: the key holds U+200B ZERO WIDTH SPACE. Write cost center.",
        "row 6, column tags: the value of 'note' holds U+0441 CYRILLIC SMALL LETTER ES. "
        "Write the cost.",
    ):
        assert told in done.output
