"""Pages that can be mailed: the report of a run and the index over all runs.

One file each, no script, no external address (the page itself forbids both), for screen and paper.
Knows neither how a notebook is run nor where directories lie; works on the record that
`result.json` holds.

    >>> html = page(what="Runs", headline="No run yet", body="")
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal
from urllib.parse import quote

from mnslib.results import NOT_APPROVED, WRITTEN_OUTCOMES, OutcomeKind, RunStatus, utc_now
from mnslib.show import wording
from mnslib.show.displays import (
    Callout,
    Figure,
    KeyFigures,
    Link,
    Table,
    Tag,
    Tags,
    right,
    tag,
)
from mnslib.show.outputs import Body, linked, read_body
from mnslib.show.templates import as_html, render
from mnslib.show.tokens import FONTS, TOKENS

MOST_FIGURES = 5

_LEADS = {
    RunStatus.DONE: "Everything this run was asked for is done.",
    RunStatus.FINDINGS: "The run is done and found what somebody should look at.",
    RunStatus.PARTLY: "Some items were not brought to what was requested; each says why. "
    "What is done stays: the same run again does only what is left.",
    RunStatus.FAILED: "The run did not reach its end. The box below says why.",
    RunStatus.STOPPED: "The process that ran the notebook died. "
    "What was done until then stays: the same run again does only what is left.",
    RunStatus.REFUSED: "The parameters or the input file have mistakes. Correct what the box "
    "below lists and run it again.",
    RunStatus.INTERRUPTED: "Somebody stopped the run. What was under way was awaited. "
    "What is done stays: the same run again does only what is left.",
}
PORTFOLIO = "portfolio.html"
"""Of a run that looked at quotas: the page over all owners."""

_NEXT = {
    RunStatus.FINDINGS: "see the findings",
    RunStatus.PARTLY: "run again",
    RunStatus.FAILED: "see why",
    RunStatus.STOPPED: "run again",
    RunStatus.REFUSED: "correct the input",
    RunStatus.INTERRUPTED: "run again",
}
_UNCHANGED = {OutcomeKind.UNCHANGED.value}
_AS_REQUESTED = _UNCHANGED | {kind.value for kind in WRITTEN_OUTCOMES}
_COUNT_WORDS = ("None", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_MARGINS = {"landscape": "10mm", "portrait": "14mm"}
"""Above and below; charts need the height, so that their words stay above 6.5 pt."""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(
    *,
    what: str,
    headline: str,
    body: str,
    scope: str = "",
    sandbox: str = "",
    moment: str = "",
    lead: str = "",
    figures: Sequence[Figure] = (),
    footer: str = "",
    paper: Literal["landscape", "portrait"] = "portrait",
) -> str:
    """Return one self-contained page.

    Args:
        what: kind of page, first in its bar.
        headline: the finding, as a sentence.
        body: HTML; everything else is text and is escaped here, but `footer`, which is HTML too.
        scope: environment, clusters or file the page is about.
        sandbox: word of the badge on every page made against the sandbox; empty elsewhere.
        moment: when what it says was true, with the time zone.
        paper: landscape for charts, portrait for text.
    """
    badge = f'<span class="badge">{escape(sandbox)}</span>' if sandbox else ""
    key_figures = KeyFigures(figures)._repr_html_() if figures else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(headline)} · {escape(what)}</title>
<style>
@page {{ size: A4 {paper}; margin: {_MARGINS[paper]} 15mm; }}
{_style_sheet()}</style>
</head>
<body>
<header class="bar"><div><b>{escape(what)}</b><span>{escape(scope)}</span>{badge}</div>
<div>{escape(moment)}</div></header>
<main>
<h1>{escape(headline)}</h1>
{f'<p class="lead">{escape(lead)}</p>' if lead else ""}
{key_figures}
{body}
</main>
<footer>{footer}</footer>
</body>
</html>
"""


def report_html(notebook_path: Path, result: Mapping[str, Any]) -> str:
    """Return the report of a run: its executed notebook as a reader wants it, without code.

    Args:
        notebook_path: the executed notebook; a run refused before it began has none.
        result: what the run's `result.json` holds.
    """
    body = _EMPTY
    if notebook_path.is_file():
        with suppress(ValueError):  # a full disk may have cut it off
            body = read_body(json.loads(notebook_path.read_text(encoding="utf-8")))
    status = RunStatus(result["status"])
    files = [name for name in result["artifacts"] if name != "report.html"]
    sections = [_section(linked(text, files), place) for place, text in enumerate(body.sections)]
    folded = render("folded.html.j2", summary="About this notebook", outputs=[as_html(body.about)])
    about = f'<section class="about">{folded}</section>'
    finding, _, more = _first_line(result).partition(". ")
    contents = _contents(body.sections)
    first = int(any('<ol class="actions">' in text for text in body.sections[:1]))  # decisions
    sections.insert(first, contents)
    parts = [_trouble(body, status, result), *sections, about if body.about else ""]
    return page(
        what=body.title or notebook_title(result["notebook"]),
        scope=_own_word(result),
        sandbox="sandbox" if result["target"] == "sandbox" else "",
        moment=_moment(result["finished_utc"] or result["started_utc"]),
        headline=finding.rstrip(".") or _LEADS[status].split(":")[0].rstrip("."),
        lead=f"{more} {_lead(status, result)}".strip(),
        # a plan that waits for approval brings figures of its own
        figures=() if _is_waiting_plan(status, result) else _summary_figures(result["summary"]),
        body="\n".join(filter(None, parts)),
        footer=_run_footer(notebook_path.parent.name, result),
        paper="landscape" if any("<img" in text for text in body.sections) else "portrait",
    )


def run_index_html(
    records: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    made: datetime | None = None,
    earlier: int = 0,
) -> str:
    """Return the page over all runs: those that need somebody first, newest first.

    Args:
        records: directory name and record of each run, in any order; `is_resumable` in one says
            that `mns resume` goes on with it.
        made: moment of the page; None = now.
        earlier: how many runs before these are not looked at.
    """
    newest = sorted(records, key=lambda record: (record[1]["started_utc"], record[0]), reverse=True)
    done = [record for record in newest if record[1]["status"] == RunStatus.DONE]
    closed = _closed_by_later_runs(newest)
    attention = [record for record in newest if record not in done and record not in closed]
    parts = (("Needs attention", attention), ("Done", done), ("Closed by a later run", closed))
    tables = [
        f'<section class="runs"><h2>{title}</h2>{_runs_table(found)}</section>'
        for title, found in parts
        if found
    ]
    return page(
        what="Runs",
        moment="made " + wording.moment(made or utc_now()),
        headline=_index_headline(len(attention), len(newest)),
        lead=_index_lead(newest, earlier),
        body=_status_counts([*attention, *done]) + "\n".join(tables),
        footer="Status words follow the exit code: 0 done or no change, 2 findings or approval (a "
        "plan that waits for it), 3 partly, 4 failed or not approved, 5 stopped, 6 refused, 130 "
        "and 143 interrupted. Closed: a later run of the same notebook on the same file, namespace "
        "or clusters reached its end. Times are UTC.",
    )


def notebook_title(stem: str) -> str:
    """Return a notebook's name as words: `30_provision_in_bulk` -> `Provision in bulk`."""
    words = stem.lstrip("0123456789_").replace("_", " ").strip()
    return (words[:1].upper() + words[1:]) or stem


FEW_SECTIONS = 5
"""Headings from which a page begins with links to them. Our choice: fewer are on one screen."""

_EMPTY = Body(title="", about="", sections=(), error="", left_out=0)


@cache
def _style_sheet() -> str:
    tokens = "".join(f" --{name}: {value};" for name, value in TOKENS.items())
    css = resources.files("mnslib.show").joinpath("page.css").read_text(encoding="utf-8")
    return f":root {{{tokens} --fonts: {FONTS}; }}\n{css}"


def _section(text: str, place: int) -> str:
    kind = "charts" if "<img" in text else "words"
    return f'<section class="{kind}" id="part-{place}">{text}</section>'


def _contents(sections: Sequence[str]) -> str:
    """Return links to the sections by their headings; nothing where a page has few of them."""
    headings = [re.search(r"<h2[^>]*>(.*?)</h2>", text, re.DOTALL) for text in sections]
    links = [
        f'<li><a href="#part-{place}">{re.sub("<[^>]*>", "", found.group(1))}</a></li>'
        for place, found in enumerate(headings)
        if found is not None
    ]
    if len(links) < FEW_SECTIONS:
        return ""
    return f'<nav class="contents" aria-label="On this page"><ul>{"".join(links)}</ul></nav>'


def _lead(status: RunStatus, result: Mapping[str, Any]) -> str:
    if _is_dry_run(result) and status in (RunStatus.DONE, RunStatus.FINDINGS):
        return "Nothing has been changed: this was a dry run, which only reads and plans."
    return _LEADS[status]


def _is_dry_run(result: Mapping[str, Any]) -> bool:
    return "approval" in result["parameters"] and result["parameters"].get("dry_run") is True


def _is_waiting_plan(status: RunStatus, result: Mapping[str, Any]) -> bool:
    is_any_to_do = {item["outcome"] for item in result["items"]} != _UNCHANGED
    return _is_dry_run(result) and status is RunStatus.FINDINGS and is_any_to_do


def _trouble(body: Body, status: RunStatus, result: Mapping[str, Any]) -> str:
    """Return what ended the run early: its error, or the rest of the headline; and what is left."""
    box = body.error
    if not box and status in (RunStatus.REFUSED, RunStatus.FAILED, RunStatus.STOPPED):
        _, _, details = result["headline"].partition("\n")
        if details:
            box = Callout(
                title="What is wrong", code=dedent(details), tone="critical"
            )._repr_html_()
    if not body.left_out:
        return box
    count = wording.count(body.left_out, "step")
    are = wording.are(body.left_out)
    return f'{box}<p class="note">{count} of the notebook did not run and {are} not shown.</p>'


def _summary_figures(summary: Mapping[str, Any]) -> list[Figure]:
    return [_summary_figure(name, value) for name, value in list(summary.items())[:MOST_FIGURES]]


def _summary_figure(name: str, value: Any) -> Figure:
    words, _, unit = name.rpartition("_")
    shown = {
        "ratio": wording.percent,
        "seconds": wording.duration,
        "bytes": wording.memory,
        "cores": wording.cores,
    }.get(unit)
    tone: Literal["critical", "calm"] = "critical" if name == "failed" and value else "calm"
    if shown is None:
        label = name.removesuffix("_count")
        return Figure("unknown" if value is None else value, label.replace("_", " "), tone=tone)
    return Figure(shown(value), words.replace("_", " "), tone=tone)


def _run_footer(directory: str, result: Mapping[str, Any]) -> str:
    files = dict.fromkeys([*result["artifacts"], "result.json"])
    links = [
        f'<a href="{quote(name)}">{escape(name)}</a>' for name in files if name != "report.html"
    ]
    said = [f"Run {escape(directory)}", f"target {escape(result['target'])}"]
    return " · ".join([*said, *links, '<a href="../index.html">all runs</a>'])


def _index_headline(attention: int, total: int) -> str:
    if total == 0:
        return "No run yet"
    if total == 1:
        return f"The only run so far {'needs somebody' if attention else 'is done'}"
    word = _COUNT_WORDS[attention] if attention < len(_COUNT_WORDS) else f"{attention:,}"
    verb = "need" if attention > 1 else "needs"
    return f"{word} of {wording.count(total, 'run')} {verb} somebody"


def _index_lead(newest: Sequence[tuple[str, Mapping[str, Any]]], earlier: int) -> str:
    if not newest:
        return "A notebook that is run leaves its report here."
    last, first = (_instant(newest[i][1]["started_utc"]).date() for i in (0, -1))
    span = wording.day_of_year(first) if first == last else wording.period(first, last)
    rest = wording.count(earlier, "earlier run")
    left_out = f" {rest} {wording.are(earlier)} not listed: see the folder." if earlier else ""
    return (
        f"Runs of {span}, newest first. Every line opens its report, or else its record.{left_out}"
    )


def _status_counts(records: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    words = [_status_word(record) for _, record in records]
    tags = [Tag(f"{tag(word).text} {words.count(word)}", tag(word).tone)
            for word in dict.fromkeys(words)]  # fmt: skip
    return f'<p class="counts">{" ".join(word._repr_html_() for word in tags)}</p>'


def _closed_by_later_runs(
    newest: Sequence[tuple[str, Mapping[str, Any]]],
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the runs that need nobody any more, since a later one of the same kind got through.

    The input of a refused run is corrected in any file; a later run of the same environment that
    got through stands for it. A dry run wrote nothing: it stands for dry and refused runs alone,
    never for an apply that was left halfway.
    """
    got_through: set[tuple[str, ...]] = set()
    planned: set[tuple[str, ...]] = set()
    closed = []
    for name, record in newest:
        kind = (record["notebook"], record["target"])
        where = (*kind, "environment", record["environment"])
        is_refused = record["status"] == RunStatus.REFUSED or not record["parameters"]
        what = where if is_refused else (*kind, "subject", _subject(record))
        is_dry = _is_dry_run(record)
        stand_for_it = got_through | planned if is_refused or is_dry else got_through
        if record["status"] != RunStatus.DONE and what in stand_for_it:
            closed.append((name, record))
        if record["status"] in (RunStatus.DONE, RunStatus.FINDINGS):
            (planned if is_dry else got_through).update({what, where})
    return closed


def _subject(record: Mapping[str, Any]) -> str:
    """Return what a run was about: its file, its namespace, or its clusters; empty if unknown."""
    given = record["parameters"]
    if given.get("namespace_name"):
        return f"{given['namespace_name']} on {given.get('cluster_name', '')}"
    clusters = [str(name).rpartition("/")[2] for name in given.get("clusters") or ()]
    places = [*clusters, *map(str, given.get("subscription_ids") or ())]
    return str(given.get("request_file") or ", ".join(sorted(places)))


def _runs_table(records: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    titles = ("Status", "Started, UTC", "What, and what came of it", "Environment")
    rows = [_run_row(*record) for record in records]
    table = Table(
        columns=[*titles, *right("As requested", "Took"), "Next"], rows=rows, limit=len(rows)
    )
    return table._repr_html_()


def _run_row(directory: str, record: Mapping[str, Any]) -> list[Any]:
    # plain papermill and JupyterLab leave no report
    page_name = "report.html" if "report.html" in record["artifacts"] else "result.json"
    report = f"{quote(directory)}/{page_name}"
    status = RunStatus(record["status"])
    word = _status_word(record)
    started = _instant(record["started_utc"])
    sandbox = [Tag("sandbox", "sandbox")] if record["target"] == "sandbox" else []
    following = "decide" if word in ("approval", "not approved") else _NEXT.get(status)
    if record.get("is_resumable"):
        following = "resume it (mns resume)"
    then = Link(following, report) if following else Tags([])
    if PORTFOLIO in record["artifacts"] and status in (RunStatus.DONE, RunStatus.FINDINGS):
        then = Link("tell the owners", f"{quote(directory)}/{PORTFOLIO}")
    title = ": ".join(filter(None, [notebook_title(record["notebook"]), _subject(record)]))
    took = (_instant(record["finished_utc"]) - started).total_seconds()
    return [
        tag(word),
        f"{wording.day(started)} {started:%H:%M}",
        Link(title, report, _first_line(record)),
        Tags([*filter(None, [_own_word(record)]), *sandbox]),
        _as_requested(record),
        wording.duration(took),
        then,
    ]


def _own_word(record: Mapping[str, Any]) -> str:
    """Return the environment, empty where the sandbox badge says the same."""
    environment = str(record["environment"])
    return "" if environment == record["target"] == "sandbox" else environment


def _status_word(record: Mapping[str, Any]) -> str:
    """Return the status as the index names it: what waits for approval, what changed nothing."""
    status = str(record["status"])
    if _is_waiting_plan(RunStatus(status), record):
        return "approval"
    if status == RunStatus.FAILED and record["headline"].startswith(NOT_APPROVED):
        return "not approved"
    outcomes = {item["outcome"] for item in record["items"]}
    if status == RunStatus.DONE and outcomes == _UNCHANGED:
        return "no change"
    return status


def _as_requested(record: Mapping[str, Any]) -> str:
    items = record["items"]
    if items:
        kept = sum(item["outcome"] in _AS_REQUESTED for item in items)
        return f"{kept:,} of {len(items):,}"
    return "" if "approval" in record["parameters"] or not record["parameters"] else "read only"


def _first_line(record: Mapping[str, Any]) -> str:
    return str(record["headline"]).partition("\n")[0].rstrip(":")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _moment(text: str) -> str:
    return wording.moment(_instant(text))
