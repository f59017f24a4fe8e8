"""Pages that can be mailed: how each is laid out, and the report of a run.

One file each, no script, no external address (the page itself forbids both), for screen and paper.
Knows neither how a notebook is run nor where directories lie; works on the record that
`result.json` holds.

    >>> html = page(what="Runs", headline="No run yet", body="")
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal

from mnslib.results import OutcomeKind, RunStatus
from mnslib.show import wording
from mnslib.show.displays import Callout, Figure, KeyFigures
from mnslib.show.outputs import Body, read_body
from mnslib.show.tables import told
from mnslib.show.templates import FILTERS, as_html, render
from mnslib.show.tokens import FONTS, TOKENS

MOST_FIGURES = 5
FEW_SECTIONS = 5
"""Headings from which a page begins with links to them. Our choice: fewer are on one screen."""

PORTFOLIO = "portfolio.html"
"""Of a run that looked at quotas: the page over all owners."""


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
    html = render(
        "page.html.j2",
        what=what,
        headline=headline,
        scope=scope,
        sandbox=sandbox,
        moment=moment,
        lead=lead,
        figures=KeyFigures(figures) if figures else None,
        body=as_html(body),
        footer=as_html(footer),
        paper=paper,
        sheet=as_html(_style_sheet()),
    )
    return str(html)


def report_html(notebook_path: Path, result: Mapping[str, Any]) -> str:
    """Return the report of a run: its executed notebook as a reader wants it, without code.

    Args:
        notebook_path: the executed notebook; a run refused before it began has none. Its charts are
            taken from `charts/` beside it.
        result: what the run's `result.json` holds.
    """
    directory, body, lead = notebook_path.parent, Body(), _lead(result)
    finding, _, more = first_line(result).partition(". ")
    headline = finding.rstrip(".") or lead.split(":")[0].rstrip(".")
    files = [name for name in result["artifacts"] if name != "report.html"]
    if notebook_path.is_file():
        with suppress(ValueError):  # a full disk may have cut it off
            notebook = json.loads(notebook_path.read_text(encoding="utf-8"))
            charts = directory / "charts"
            body = read_body(notebook, charts=charts, headline=headline)
    titled = sum(bool(section.title) for section in body.sections)
    report = {
        "body": body,
        "error": body.error or _details(result),
        "contents_after": int(any("decisions" in part.tags for part in body.sections[:1])),
        "has_contents": titled >= FEW_SECTIONS,
        "run": directory.name,
        "target": result["target"],
        "files": list(dict.fromkeys([*files, "result.json"])),
    }
    return page(
        what=body.title or notebook_title(result["notebook"]),
        scope=own_word(result),
        sandbox="sandbox" if result["target"] == "sandbox" else "",
        moment=wording.moment(instant(result["finished_utc"] or result["started_utc"])),
        headline=headline,
        lead=f"{more} {lead}".strip(),
        # a plan that waits for approval brings figures of its own
        figures=() if is_waiting_plan(result) else _summary_figures(result["summary"]),
        body=render("report.html.j2", **report),
        footer=render("report_footer.html.j2", **report),
        paper="landscape" if any(part.has_chart for part in body.sections) else "portrait",
    )


def notebook_title(stem: str) -> str:
    """Return a notebook's name as words: `30_provision_in_bulk` -> `Provision in bulk`."""
    title = stem.lstrip("0123456789_").replace("_", " ").strip()
    return (title[:1].upper() + title[1:]) or stem


@cache
def _style_sheet() -> str:
    tokens = "".join(f" --{name}: {value};" for name, value in TOKENS.items())
    css = resources.files("mnslib.show").joinpath("page.css").read_text(encoding="utf-8")
    return f":root {{{tokens} --fonts: {FONTS}; }}\n{css}"


def _lead(result: Mapping[str, Any]) -> str:
    is_through = result["status"] in (RunStatus.DONE, RunStatus.FINDINGS)
    if is_dry_run(result) and is_through:
        return str(told("report")["dry_run"])
    return str(told("report")["leads"][result["status"]])


def is_dry_run(result: Mapping[str, Any]) -> bool:
    """Return whether a run that may change something was told not to."""
    return "approval" in result["parameters"] and result["parameters"].get("dry_run") is True


def is_waiting_plan(result: Mapping[str, Any]) -> bool:
    """Return whether a run ended with a plan that waits for approval."""
    is_any_to_do = {item["outcome"] for item in result["items"]} != {OutcomeKind.UNCHANGED.value}
    return is_dry_run(result) and result["status"] == RunStatus.FINDINGS and is_any_to_do


def _details(result: Mapping[str, Any]) -> Callout | None:
    """Return what else the headline of a run says that ended early."""
    _, _, details = result["headline"].partition("\n")
    if not details or result["status"] not in ("refused", "failed", "stopped"):
        return None
    return Callout(title="What is wrong", code=dedent(details), tone="critical")


def _summary_figures(summary: Mapping[str, Any]) -> list[Figure]:
    return [_summary_figure(name, value) for name, value in list(summary.items())[:MOST_FIGURES]]


def _summary_figure(name: str, value: Any) -> Figure:
    label, _, unit = name.rpartition("_")
    tone: Literal["critical", "calm"] = "critical" if name == "failed" and value else "calm"
    if form := told("formats").get(unit, {}).get("words"):
        return Figure(FILTERS[form](value), label.replace("_", " "), tone=tone)
    shown = "unknown" if value is None else value
    return Figure(shown, name.removesuffix("_count").replace("_", " "), tone=tone)


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
