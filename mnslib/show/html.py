"""Pages that can be mailed: how each is laid out, and the report of a run.

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

from mnslib.results import OutcomeKind, RunStatus
from mnslib.show import wording
from mnslib.show.displays import (
    Callout,
    Figure,
    KeyFigures,
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
    finding, _, more = first_line(result).partition(". ")
    contents = _contents(body.sections)
    first = int(any('<ol class="actions">' in text for text in body.sections[:1]))  # decisions
    sections.insert(first, contents)
    parts = [_trouble(body, status, result), *sections, about if body.about else ""]
    return page(
        what=body.title or notebook_title(result["notebook"]),
        scope=own_word(result),
        sandbox="sandbox" if result["target"] == "sandbox" else "",
        moment=_moment(result["finished_utc"] or result["started_utc"]),
        headline=finding.rstrip(".") or _LEADS[status].split(":")[0].rstrip("."),
        lead=f"{more} {_lead(status, result)}".strip(),
        # a plan that waits for approval brings figures of its own
        figures=() if is_waiting_plan(result) else _summary_figures(result["summary"]),
        body="\n".join(filter(None, parts)),
        footer=_run_footer(notebook_path.parent.name, result),
        paper="landscape" if any("<img" in text for text in body.sections) else "portrait",
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
    if is_dry_run(result) and status in (RunStatus.DONE, RunStatus.FINDINGS):
        return "Nothing has been changed: this was a dry run, which only reads and plans."
    return _LEADS[status]


def is_dry_run(result: Mapping[str, Any]) -> bool:
    """Return whether a run that may change something was told not to."""
    return "approval" in result["parameters"] and result["parameters"].get("dry_run") is True


def is_waiting_plan(result: Mapping[str, Any]) -> bool:
    """Return whether a run ended with a plan that waits for approval."""
    is_any_to_do = {item["outcome"] for item in result["items"]} != {OutcomeKind.UNCHANGED.value}
    return is_dry_run(result) and result["status"] == RunStatus.FINDINGS and is_any_to_do


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


def own_word(record: Mapping[str, Any]) -> str:
    """Return the environment, empty where the sandbox badge says the same."""
    environment = str(record["environment"])
    return "" if environment == record["target"] == "sandbox" else environment


def first_line(record: Mapping[str, Any]) -> str:
    """Return what a run found, in one line."""
    return str(record["headline"]).partition("\n")[0].rstrip(":")


def instant(text: str) -> datetime:
    """Return a moment of a record."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _moment(text: str) -> str:
    return wording.moment(instant(text))
