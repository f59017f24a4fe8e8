"""A report: the finding first, no code, no stack, nothing that runs or loads."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest

from mnslib.show.displays import CHART, Actions
from mnslib.show.html import page, report_html
from mnslib.show.outputs import is_plain_html, markdown_html

PICTURE = "iVBORw0KGgo="
ABOUT = (
    "# Provision in bulk\n\nFor operators.\n\n## Roles\n\nReader, see [docs](https://example.org)"
)


def markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source.splitlines(keepends=True)}


def code(*outputs: dict[str, Any], ran: bool = True) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {},
        "source": "secret_code()",
        "execution_count": 1 if ran else None,
        "outputs": list(outputs),
    }


def shown(**data: str) -> dict[str, Any]:
    kinds = {"html": "text/html", "text": "text/plain", "png": "image/png", "svg": "image/svg+xml"}
    bundle = {kinds.get(name, name): value for name, value in data.items()}
    return {"output_type": "display_data", "metadata": {}, "data": bundle}


def stream(name: str, text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def error(name: str, message: str) -> dict[str, Any]:
    stack = ["\x1b[31mTraceback\x1b[0m", "File secret.py"]
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": stack}


def make_result(**changes: Any) -> dict[str, Any]:
    return {
        "notebook": "30_provision_in_bulk",
        "environment": "prod",
        "target": "azure",
        "started_utc": "2026-11-02T06:00:00Z",
        "finished_utc": "2026-11-02T06:12:43Z",
        "status": "done",
        "exit_code": 0,
        "headline": "36 of 36 as requested",
        "parameters": {},
        "summary": {"created": 30, "unchanged": 1204, "read_seconds": 43.0, "idle_ratio": 0.599},
        "items": [],
        "artifacts": ["notebook.ipynb", "report.html", "plan.json", "tables/a b.csv"],
    } | changes


@pytest.fixture
def report(tmp_path: Path):
    def make(*cells: dict[str, Any], **changes: Any) -> str:
        directory = tmp_path / "20261102T060000Z-30_provision_in_bulk-prod"
        directory.mkdir(exist_ok=True)
        notebook = {"cells": [markdown(ABOUT), *cells], "nbformat": 4, "nbformat_minor": 5}
        (directory / "notebook.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        return report_html(directory / "notebook.ipynb", make_result(**changes))

    return make


def without_pictures(html: str) -> str:
    return re.sub(r"data:image/[^\"]+", "", html)


def test_the_finding_comes_first_and_the_purpose_last(report) -> None:
    html = report(markdown("## What changed"), code(stream("stdout", "30 created")))
    order = ["<h1>36 of 36 as requested</h1>", ">1,204<", "What changed", "About this notebook"]
    places = [html.index(text) for text in order]
    assert places == sorted(places)
    assert "<h3>Provision in bulk</h3>" in html
    assert "<title>36 of 36 as requested · Provision in bulk</title>" in html
    assert "2 Nov 2026 06:12 UTC" in html


def test_a_long_finding_is_a_title_and_a_text_below(report) -> None:
    html = report(headline="All 36 stand. 1 warning: aks-1 has no engine.")
    assert "<h1>All 36 stand</h1>" in html
    assert '<p class="lead">1 warning: aks-1 has no engine. ' in html


def test_key_figures_carry_their_units(report) -> None:
    html = report(code())
    assert ">43 s</span><br/>" in html
    assert ">60 %</span><br/>" in html
    assert ">read</span>" in html


def test_there_is_no_code_no_progress_and_no_stack(report) -> None:
    html = report(
        code(stream("stderr", "PROGRESS 3 of 9"), stream("stdout", "\x1b[1mplain\x1b[0m words")),
        code(error("ValueError", "bad <value>")),
        status="failed",
    )
    assert "secret" not in html
    assert "PROGRESS" not in html
    assert "\x1b" not in html
    assert "<pre>plain words</pre>" in html
    assert "<b>Unexpected error: ValueError</b>" in html
    assert "bad &lt;value&gt;" in html


def test_nothing_runs_and_nothing_is_loaded(report) -> None:
    html = report(
        markdown("![x](https://example.org/x.png) <script>1</script> [y](javascript:z)"),
        code(
            shown(html="<script src='https://example.org/a.js'></script>", text="as text"),
            shown(html="<img src='https://example.org/b.png'>", text="picture as text"),
            shown(svg="<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", text="drawn"),
        ),
    )
    assert not re.search(r"<script|<link|<iframe|(?:src|href)=[\"'](?!data:image|[\w./%-]+[\"'])",
                         html)  # fmt: skip
    assert "http" not in without_pictures(html).replace("http-equiv", "")
    assert "default-src 'none'" in html
    assert "form-action 'none'" in html  # which default-src does not cover
    assert "<pre>as text</pre>" in html
    assert 'alt="drawn"' in html


def test_what_scrolls_by_itself_on_a_small_screen_is_reached_by_keys(report) -> None:
    table = shown(html="<table><tr><td>wide</td></tr></table>", text="wide")
    text = report(markdown("## What is asked"), code(table), result=make_result())
    assert re.search(r'<section class="words" id="part-\d+" tabindex="0">', text)


def test_a_chart_has_its_finding_as_alternative_text(report) -> None:
    html = report(markdown("## Who"), code(shown(png=PICTURE, text='7 of 77 are "full"')))
    assert f'src="data:image/png;base64,{PICTURE}" alt="7 of 77 are &#34;full&#34;"' in html
    assert "size: A4 landscape" in html


SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="3"/>{}</svg>'


def chart(name: str) -> dict[str, Any]:
    return code(shown(png=PICTURE, text="7 of 77") | {"metadata": {CHART: name}})


@pytest.fixture
def charts(tmp_path: Path) -> Path:
    """The folder with the charts of the run that `report` is of."""
    folder = tmp_path / "20261102T060000Z-30_provision_in_bulk-prod" / "charts"
    folder.mkdir(parents=True)
    (tmp_path / "outside.svg").write_text(SVG)
    return folder


def test_a_chart_is_its_svg_under_ids_of_its_own(report, charts) -> None:
    own = '<g id="a"><rect x="1"/></g><use href="#a"/>'
    (charts / "now.svg").write_text(SVG.format(own))
    html = report(markdown("## Who"), chart("now"), chart("now"))
    assert "<img" not in html
    ids = re.findall(r'<g id="([^"]+)"', html)
    assert len(set(ids)) == len(ids) == 2
    assert all(f'href="#{name}"' in html for name in ids)
    assert "<title>7 of 77</title>" in html
    assert "size: A4 landscape" in html
    assert "default-src 'none'; img-src data:" in html


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("now", "<script>alert(1)</script>"),
        ("now", '<image href="https://example.org/x.png"/>'),
        ("missing", ""),
        ("../../outside", ""),
        ("", ""),
    ],
)
def test_a_chart_whose_svg_is_missing_or_odd_stays_an_image(report, charts, name, inside) -> None:
    (charts / "now.svg").write_text(SVG.format(inside))
    html = report(markdown("## Who"), chart(name))
    assert f'<img src="data:image/png;base64,{PICTURE}" alt="7 of 77">' in html
    assert "<svg" not in html
    assert "example.org" not in html


def test_svg_out_of_a_cell_stays_an_image(report) -> None:
    html = report(markdown("## Who"), code(shown(svg=SVG.format(""), text="drawn")))
    assert '<img src="data:image/svg+xml;base64,' in html
    assert "<svg" not in html


def test_a_refused_run_shows_every_mistake_and_no_step_that_did_not_run(report) -> None:
    html = report(
        markdown("## What is asked for"),
        code(error("SpecError", "2 mistakes:\n  a.csv, row 3\n  a.csv, row 9")),
        markdown("## What would change"),
        code(ran=False),
        code(ran=False),
        status="refused",
        headline="2 mistakes:",
    )
    assert "<h1>2 mistakes</h1>" in html
    assert html.index("a.csv, row 3\na.csv, row 9") < html.index("About this notebook")
    assert "What would change" not in html
    assert "What is asked for" not in html
    assert "2 steps of the notebook did not run and are not shown." in html


def test_an_error_that_nobody_foresaw_says_what_to_do_and_where_its_trace_is(report) -> None:
    html = report(code(error("AttributeError", "no attribute 'managed'")), status="failed")
    assert "Unexpected error: AttributeError" in html
    assert "run the notebook again" in html
    assert "`mns resume`" in html
    assert "trace: notebook.ipynb" in html


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("SpecError", "Mistakes in what was asked for"),
        ("StalePlanError", "The plan was not applied"),
        ("ArmForbiddenError", "Azure refused, or could not be reached"),
        ("KeyboardInterrupt", "Stopped by somebody"),
    ],
)
def test_the_box_of_a_known_error_is_called_in_words(report, name, title) -> None:
    html = report(code(error(name, "what happened")), status="failed")
    assert f"<b>{title}</b>" in html
    assert name not in html


def test_a_run_refused_before_its_kernel_has_a_report_too(tmp_path: Path) -> None:
    headline = "1 parameter is refused; nothing was begun:\n  dry_rum: did you mean dry_run?"
    record = make_result(status="refused", headline=headline, summary={}, artifacts=["report.html"])
    html = report_html(tmp_path / "notebook.ipynb", record)
    assert "<h1>1 parameter is refused; nothing was begun</h1>" in html
    assert "dry_rum: did you mean dry_run?" in html
    assert "notebook.ipynb" not in html


def test_every_page_made_against_the_sandbox_says_so(report) -> None:
    html = report(code(), target="sandbox", environment="sandbox")
    assert '<span class="badge">sandbox</span>' in html


def test_whoever_decides_reads_the_plan_and_its_approval_first(report) -> None:
    said = [("read", ()), ("planned", ("plan",)), ("clusters", ()), ("decision", ("approve",))]
    cells = []
    for word, tags in said:
        cell = code(shown(text=f"what is {word}"))
        cell["metadata"]["tags"] = list(tags)
        cells += [markdown(f"## {word.capitalize()}"), cell]
    dry_run = {"parameters": {"dry_run": True, "approval": "digest"}, "status": "findings"}
    html = report(*cells, summary={"not_attempted": 7}, **dry_run)
    order = re.findall("what is ([a-z]+)", html)
    assert order == ["planned", "decision", "clusters", "read"]
    assert "not attempted" not in html


def test_what_is_to_be_decided_comes_before_what_it_follows_from(report) -> None:
    last = code(shown(**{"text/plain": "raise it"})) | {"metadata": {"tags": ["decisions"]}}
    html = report(
        markdown("# Analyze"),
        markdown("## What was read"),
        code(shown(**{"text/plain": "77 namespaces"})),
        markdown("## What to decide"),
        last,
    )
    order = [html.index(word) for word in ("What to decide", "raise it", "What was read")]
    assert order == sorted(order)


def test_a_dry_run_says_that_nothing_was_changed(report) -> None:
    html = report(code(), status="findings", parameters={"approval": "digest", "dry_run": True})
    assert "Nothing has been changed" in html


def test_files_beside_the_report_are_linked(report) -> None:
    html = report(code())
    for address in ("notebook.ipynb", "result.json", "plan.json", "tables/a%20b.csv"):
        assert f'href="{address}"' in html
    assert 'href="../index.html"' in html


@pytest.mark.parametrize(
    "html",
    [
        "<script>1</script>",
        "<b onclick='x'>y</b>",
        "<a href='https://example.org'>x</a>",
        "<a href='//example.org'>x</a>",
        "<a href=' javascript:x'>x</a>",
        "<a href='java&#9;script:x'>x</a>",
        "<a href='&#1;javascript:x'>x</a>",
        "<a href='ht\ntps://example.org'>x</a>",
        "<img src='x.png'>",
        "<p style='background:url(x)'>y</p>",
        "<p style='position:fixed'>y</p>",
        "</div></div>",
        "<b>open",
        "<!-- x -->",
        "<!-- x",
        "<p>y</p><script",
        "<p>y</p><img src=x onerror=alert(1) ",
        "<svg><style></style></svg>",
        "<iframe srcdoc='x'></iframe>",
        "<form><input></form>",
        "<!--><script>1</script>-->",
        "<![CDATA[<script>1</script>]]>",
        "<?xml version='1.0'?><b>x</b>",
        "<!DOCTYPE div [<!ENTITY x 'y'>]><b>&x;</b>",
        "<b/>open",
        "<x:script xmlns:x='http://www.w3.org/1999/xhtml'>1</x:script>",
        "<p>\ud800</p>",
    ],
)
def test_foreign_html_is_held_back(html: str) -> None:
    assert not is_plain_html(html)


def test_names_of_files_beside_the_report_lead_to_them(report) -> None:
    files = ["tables/a.csv", "tables/by_x<y>&'z.csv", "portfolio.html", "report.html"]
    html = report(
        markdown("# Title"),
        markdown("## Files\n\nAll: `portfolio.html`, or [here](portfolio.html)."),
        code(
            shown(html="<p title='tables/a.csv> tables/a.csv'>See tables/a.csv.</p>"),
            shown(html="<p>Not /tmp/tables/a.csv, tables/a.csv.gz, report.html</p>"),
            shown(html=f"<p>{escape(files[1])}</p>"),
            shown(html='<a href="b.csv">on <b>tables/a.csv</b></a>'),
        ),
        artifacts=files,
    )
    body = html.partition("<footer>")[0]
    assert '<code><a href="portfolio.html">portfolio.html</a></code>' in body
    assert 'See <a href="tables/a.csv">tables/a.csv</a>.</p>' in body
    assert "<p title='tables/a.csv> tables/a.csv'>" in body
    assert "Not /tmp/tables/a.csv, tables/a.csv.gz, report.html" in body
    assert (
        '<a href="tables/by_x%3Cy%3E%26%27z.csv">tables/by_x&lt;y&gt;&amp;&#x27;z.csv</a>' in body
    )
    assert '<a href="b.csv">on <b>tables/a.csv</b></a>' in body


def test_a_frame_of_pandas_is_shown_as_a_table(report) -> None:
    frame = (
        "<div>\n<style scoped>.a {b: c}</style>\n<table border='1' class='dataframe'></table></div>"
    )
    html = report(code(shown(html=frame, text="a b")))
    assert "class='dataframe'" in html
    assert "scoped" not in html


def test_markdown_keeps_tables_and_local_links() -> None:
    html = markdown_html("# a\n\n|x|\n|-|\n|1|\n\n[plan](plan.json)", shift=2)
    assert "<h3>a</h3>" in html
    assert "<table>" in html
    assert '<a href="plan.json">plan</a>' in html


def test_a_page_escapes_all_its_words() -> None:
    evil = "<i>x</i>"
    html = page(what=evil, headline=evil, body="", scope=evil, moment=evil, lead=evil)
    assert evil not in html


def test_a_long_report_begins_with_links_to_each_of_its_sections(report) -> None:
    titles = [f"Question {number} & <b>more</b>" for number in range(6)]
    cells = [cell for title in titles for cell in (markdown(f"## {title}"), code())]
    html = report(*cells)

    links = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', html)
    assert len(links) == 6
    for place, title in links:
        section = html.split(f'id="{place}"')[1]
        assert title in section.split("</h2>")[0]
    assert html.index("<nav") > html.index("<h1>")


def test_a_short_report_needs_no_contents(report) -> None:
    assert "<nav" not in report(markdown("## What changed"), code())


def test_links_to_the_sections_stand_below_what_is_to_be_decided(report) -> None:
    steps = Actions(actions=[("Raise it", "It is full.")])._repr_html_()
    last = code(shown(**{"text/html": steps})) | {"metadata": {"tags": ["decisions"]}}
    many = [markdown(f"## Question {n}") for n in range(12)]
    html = report(markdown("# Analyze"), *many, markdown("## What to decide"), last)
    assert html.index("Raise it") < html.index('<nav class="contents"') < html.rindex("Question 0")


def items(*outcomes: str) -> list[dict[str, Any]]:
    names = ("subscription_id", "resource_group", "cluster_name", "namespace_name")
    rest = {"change": "Create", "reason": "", "risks": [], "duration_seconds": 0.0}
    return [dict.fromkeys(names, "x") | rest | {"outcome": one} for one in outcomes]


GIVEN = {"approval": "digest", "resume_run": "", "dry_run": False}
DRY = {"parameters": GIVEN | {"dry_run": True}, "status": "findings"}


@pytest.mark.parametrize(
    ("record", "calls_for", "can_be_undone"),
    [
        (DRY | {"items": items("not_attempted")}, "Write what Decision says", False),
        (DRY | {"items": items("unchanged")}, "so there is nothing to approve", False),
        ({"items": items("created")}, "Everything is as requested", True),
        ({"items": items("unchanged")}, "Everything is as requested", False),
        ({"status": "partly", "items": items("failed", "created")}, "mns resume 2026", True),
        ({"status": "interrupted", "items": items("not_attempted")}, "mns resume 2026", False),
        ({"status": "failed", "items": items("skipped")}, "make the plan again", False),
        ({"status": "failed"}, "run it again", False),
    ],
)
def test_what_next_is_what_this_run_calls_for(report, record, calls_for, can_be_undone) -> None:
    asked = {"parameters": GIVEN} | record
    html = report(code(), markdown("## What next\n\nOther notebooks."), **asked)
    (said,) = re.findall(r"<h2>What next</h2>(.*?)</section>", html, re.S)
    assert calls_for in said
    assert ("mns undo 20261102T060000Z-30" in said) is can_be_undone
    assert "Other notebooks." in said
    assert said.count("<p>") == 2


def test_what_next_of_a_run_that_did_not_come_to_it_is_said_all_the_same(report) -> None:
    html = report(code(ran=False), parameters=GIVEN, status="stopped", items=items("failed"))
    assert "To go on with the rest" in html.partition("<h2>What next</h2>")[2]


def test_what_next_of_a_reading_is_what_its_notebook_says(report) -> None:
    html = report(code(), markdown("## What next\n\nOther notebooks."))
    (said,) = re.findall(r"<h2>What next</h2>(.*?)</section>", html, re.S)
    assert said.split() == ["<p>Other", "notebooks.</p>"]
