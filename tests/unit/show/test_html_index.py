"""The index: runs that need somebody first, newest first, each with a sentence and a next step."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import pytest

from mnslib.show.html import notebook_title, run_index_html

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MADE = datetime(2026, 11, 2, 9, 41, tzinfo=UTC)


def make_run(name: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    return name, {
        "notebook": "30_provision_in_bulk",
        "environment": "prod",
        "target": "azure",
        "started_utc": "2026-11-02T06:00:00Z",
        "finished_utc": "2026-11-02T06:04:12Z",
        "status": "done",
        "headline": f"headline of {name}",
        "parameters": {"approval": "digest", "dry_run": False},
        "items": [{"outcome": "created"}, {"outcome": "unchanged"}],
        "artifacts": ["notebook.ipynb", "report.html"],
    } | changes


def test_runs_that_need_somebody_come_first_and_newest_first() -> None:
    html = run_index_html(
        [
            make_run("a", started_utc="2026-10-30T17:20:00Z", status="stopped", notebook="a"),
            make_run("b", started_utc="2026-11-02T09:00:00Z"),
            make_run("c", started_utc="2026-11-01T06:00:00Z", status="partly", notebook="c"),
            make_run("d", started_utc="2026-11-02T08:00:00Z"),
        ],
        made=MADE,
    )
    places = [html.index(f"headline of {name}") for name in "cabd"]
    assert places == sorted(places)
    assert "<h1>Two of 4 runs need somebody</h1>" in html
    assert "Runs of 30 Oct to 2 Nov 2026, newest first." in html
    assert "made 2 Nov 2026 09:41 UTC" in html


def test_a_run_has_a_sentence_a_link_and_a_next_step() -> None:
    html = run_index_html(
        [make_run("20261102T060000Z-x-y z", status="partly", headline="1 of 2 <ok>\nmore")]
    )
    assert 'href="20261102T060000Z-x-y%20z/report.html"' in html
    assert "1 of 2 &lt;ok&gt;<" in html
    assert ">run again</a>" in html
    assert ">4 min 12 s<" in html
    assert "<h1>The only run so far needs somebody</h1>" in html


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "findings", "parameters": {"approval": "digest", "dry_run": True},
          "items": [{"outcome": "unchanged"}]}, ("! findings", ">see the findings</a>")),
        ({"status": "findings", "parameters": {"approval": "digest", "dry_run": True}},
         ("! approval", ">decide</a>")),
        ({"status": "findings", "parameters": {"dry_run": True}, "items": []},
         ("! findings", "read only")),
        ({"items": [{"outcome": "unchanged"}]}, ("– no change", "1 of 1")),
        ({"items": [{"outcome": "created"}, {"outcome": "failed"}], "status": "partly"},
         ("✕ partly", "1 of 2")),
        ({"status": "failed", "headline": "Not approved: the digest is missing.", "items": []},
         ("! not approved", ">decide</a>")),
        ({"parameters": {"request_file": "requests/may.csv"}},
         (">Provision in bulk: requests/may.csv</a>",)),
        ({"parameters": {"namespace_name": "web", "cluster_name": "aks-1"}},
         (">Provision in bulk: web on aks-1</a>",)),
        ({"artifacts": ["plan.json"]}, ('href="a/result.json"',)),
        ({"target": "sandbox", "environment": "demo"}, ("demo", ">sandbox</span>")),
    ],
)  # fmt: skip
def test_a_run_is_named_by_what_came_of_it(changes: dict[str, Any], words: tuple[str]) -> None:
    html = run_index_html([make_run("a", **changes)])
    assert all(word in html for word in words)


ONE = {"namespace_name": "crm-web", "cluster_name": "aks-1", "dry_run": False}
FILE_A, FILE_B = ({"approval": "digest", "request_file": f"{name}.csv"} for name in "ab")
DRY_A = {**FILE_A, "dry_run": True}


@pytest.mark.parametrize(
    ("earlier", "later", "is_closed"),
    [
        ({"status": "failed", "parameters": FILE_A}, {"parameters": FILE_A}, True),
        ({"status": "failed", "parameters": FILE_A}, {"parameters": FILE_B}, False),
        ({"status": "failed", "parameters": FILE_A, "target": "sandbox"},
         {"parameters": FILE_A}, False),
        ({"status": "findings", "parameters": FILE_A},
         {"status": "findings", "parameters": FILE_A}, True),
        ({"status": "partly", "parameters": FILE_A},
         {"status": "failed", "parameters": FILE_A}, False),
        ({"status": "refused", "parameters": FILE_A}, {"parameters": FILE_A}, True),
        ({"status": "refused", "parameters": FILE_A}, {"parameters": FILE_B}, False),
        ({"status": "refused", "parameters": FILE_A},
         {"parameters": FILE_A, "notebook": "20_onboard_namespace"}, False),
        ({"status": "refused", "parameters": FILE_A},
         {"status": "partly", "parameters": FILE_A}, False),
        ({"status": "refused", "parameters": {}}, {"parameters": FILE_A}, False),
        ({"status": "refused", "parameters": {}}, {"parameters": {"dry_run": False}}, False),
        ({"status": "interrupted", "parameters": FILE_A},
         {"status": "findings", "parameters": DRY_A}, False),
        ({"status": "findings", "parameters": DRY_A},
         {"status": "findings", "parameters": DRY_A}, True),
        ({"status": "refused", "parameters": FILE_A}, {"parameters": DRY_A}, True),
        ({"status": "refused", "parameters": {**FILE_A, "dry_run": False}},
         {"parameters": DRY_A}, False),
        ({"status": "refused", "parameters": FILE_A, "content": "1"},
         {"parameters": FILE_A, "content": "2"}, True),
        ({"status": "partly", "parameters": FILE_A, "content": "1"},
         {"parameters": FILE_A, "content": "2"}, False),
        ({"status": "partly", "parameters": FILE_A, "content": "1"},
         {"parameters": FILE_A, "content": "1"}, True),
        ({"status": "partly", "parameters": FILE_A}, {"parameters": FILE_A, "content": "1"}, True),
        ({"status": "failed", "parameters": DRY_A, "content": "1"},
         {"parameters": DRY_A, "content": "2"}, False),
        ({"status": "failed", "parameters": DRY_A}, {"parameters": DRY_A}, True),
        *(({"status": status, "parameters": FILE_A}, {"parameters": DRY_A}, False)
          for status in ("stopped", "interrupted", "partly", "failed")),
        ({"status": "stopped", "parameters": FILE_A, "environment": "test"},
         {"parameters": FILE_A}, False),
        ({"status": "stopped", "parameters": FILE_A, "sandbox": "demo"},
         {"parameters": FILE_A, "sandbox": "project"}, False),
        ({"status": "partly", "parameters": FILE_A, "notebook": "library"},
         {"parameters": FILE_A}, True),
        ({"status": "failed", "parameters": ONE | {"subscription_id": "a"}},
         {"parameters": ONE | {"subscription_id": "b"}}, False),
        ({"status": "failed", "parameters": ONE | {"resource_group": "RG"}},
         {"parameters": ONE | {"resource_group": "rg"}}, True),
    ],
)  # fmt: skip
def test_a_later_run_of_the_same_thing_closes_an_earlier_one(
    earlier: dict[str, Any], later: dict[str, Any], is_closed: bool
) -> None:
    html = run_index_html(
        [
            make_run("old", started_utc="2026-11-01T06:00:00Z", **earlier),
            make_run("new", started_utc="2026-11-02T06:00:00Z", **later),
        ]
    )
    assert ("Closed by a later run" in html) == is_closed
    needs = html.partition("Needs attention")[2].partition("<h2>")[0]
    assert ("headline of old" in needs) != is_closed


def test_a_dry_run_that_waits_and_a_run_under_way_need_nobody() -> None:
    waits = make_run("waits", status="findings", parameters=DRY_A)
    runs = make_run("runs", status="running", parameters=FILE_B, items=[])
    html = run_index_html([waits, runs], made=MADE)
    assert ">3 h 41 min<" in html.partition("<h2>Under way</h2>")[2]  # since it was started
    assert "<h1>None of 2 runs needs somebody</h1>" in html
    for title, run in (("Waits for approval", waits), ("Under way", runs)):
        own = html.partition(f"<h2>{title}</h2>")[2].partition("<h2>")[0]
        assert run[1]["headline"] in own
    assert "<h1>The only run so far waits for approval</h1>" in run_index_html([waits])
    assert "<h1>The only run so far is under way</h1>" in run_index_html([runs])


@pytest.mark.parametrize(("is_dry_run", "is_resumed"), [(False, True), (True, False)])
def test_an_apply_that_was_interrupted_is_to_be_resumed(is_dry_run: bool, is_resumed: bool) -> None:
    given = {"approval": "digest", "dry_run": is_dry_run}
    files = ["report.html", "journal.jsonl"]
    run = make_run("a", status="interrupted", parameters=given, artifacts=files)
    assert ("resume it (mns resume)" in run_index_html([run])) is is_resumed


def test_where_nothing_is_to_be_done_no_link_leads_there() -> None:
    html = run_index_html([make_run("a"), make_run("b", items=[{"outcome": "unchanged"}])])
    assert html.count("<a ") == 2
    assert "></a>" not in html


def test_without_attention_it_says_none() -> None:
    assert "<h1>None of 2 runs needs somebody</h1>" in run_index_html(
        [make_run("a"), make_run("b")]
    )


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_on_a_narrow_screen_nothing_stands_beside_the_page(tmp_path: Path) -> None:
    file = {"approval": "digest", "request_file": f"requests/{'team-' * 20}.csv"}
    runs = [make_run("a", parameters=file), make_run("b", status="stopped", is_resumable=True)]
    frame = f'<iframe width="420" height="900" srcdoc="{escape(run_index_html(runs))}"></iframe>'
    measure = "document.title = document.querySelector('iframe').contentDocument"
    page = tmp_path / "page.html"
    page.write_text(
        f"{frame}<script>onload = () => {{ {measure}.documentElement.scrollWidth }}</script>",
        encoding="utf-8",
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom",
               "--disable-background-networking"]  # fmt: skip
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(CHROMIUM), *options, profile, page.as_uri()]
    dom = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    width = int(dom.partition("<title>")[2].partition("</title>")[0])
    assert width <= 420


def test_no_run_at_all_is_a_page_too() -> None:
    assert "<h1>No run yet</h1>" in run_index_html([])


def test_titles_are_words() -> None:
    assert notebook_title("40_analyze_quota_utilization") == "Analyze quota utilization"


def test_a_run_with_a_page_over_all_owners_leads_to_it() -> None:
    found = {"artifacts": ["report.html", "portfolio.html"], "items": []}
    link = 'href="a%20b/portfolio.html"'
    assert link in run_index_html([make_run("a b", status="findings", **found)])
    assert link in run_index_html([make_run("a b", **found)])
    assert link not in run_index_html([make_run("a b", status="failed", **found)])
    assert link not in run_index_html([make_run("a b", status="findings")])


@pytest.mark.parametrize(
    ("earlier", "words"),
    [(1, "1 earlier run is not listed"), (1204, "1,204 earlier runs are not listed")],
)
def test_runs_that_are_too_old_are_counted_not_listed(earlier: int, words: str) -> None:
    assert words in run_index_html([make_run("a")], earlier=earlier)
    assert "not listed" not in run_index_html([make_run("a")])


@pytest.mark.parametrize("place", ["headline", "environment", "notebook", "parameters"])
def test_names_from_outside_are_escaped(place: str) -> None:
    hostile: Any = '"><script>'
    if place == "parameters":
        hostile = {"request_file": hostile, "approval": "digest"}
    html = run_index_html([make_run('a"><script>', **{place: hostile})])
    assert "<script" not in html


def test_a_warning_that_stands_needs_somebody_once() -> None:
    """The newest run that tells it stands above; a plan that waits, or another warning, stays."""
    warning = "aks-1: Azure RBAC is off."
    runs = [
        make_run(f"run-{day}", started_utc=f"2026-11-0{day}T06:00:00Z", status="findings",
                 notebook=notebook, warnings=warnings)
        for day, notebook, warnings in (
            (1, "20_onboard_namespace", [warning]),
            (2, "30_provision_in_bulk", [warning]),
            (3, "20_onboard_namespace", ["aks-2: is stopped."]),
        )
    ]  # fmt: skip
    assert "<h1>Two of 3 runs need somebody</h1>" in run_index_html(runs, made=MADE)
    other = [(name, run | {"target": "sandbox"} if "1" in name else run) for name, run in runs]
    assert "<h1>Three of 3 runs need somebody</h1>" in run_index_html(other, made=MADE)
