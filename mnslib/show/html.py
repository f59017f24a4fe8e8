"""Pages that can be mailed: how each is laid out, the report of a run, and the page over all runs.

One file each, no script, no external address (the page itself forbids both), for screen and paper.
Knows neither how a notebook is run nor where directories lie; works on the records that
`result.json` holds.

    >>> html = page(what="Runs", headline="No run yet", body="")
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from html import escape
from importlib import resources
from itertools import islice
from pathlib import Path
from textwrap import dedent
from typing import Any

from mnslib import results
from mnslib.results import BULK_NOTEBOOK, LIBRARY, OutcomeKind, RunStatus, about, utc_now
from mnslib.show import wording
from mnslib.show.displays import Callout, Figure, KeyFigures, Tag, tag
from mnslib.show.outputs import Section, read_body
from mnslib.show.plans import is_dry_run, is_waiting_plan, next_steps
from mnslib.show.tables import FONTS, TOKENS, Tone, told
from mnslib.show.templates import FILTERS, as_html, render, render_part
from mnslib.show.views import view

Record = Mapping[str, Any]

MOST_FIGURES = 5
FEW_SECTIONS = 5
"""Headings from which a page begins with links to them. Our choice: fewer are on one screen."""

PORTFOLIO = "portfolio.html"
"""Of a run that looked at quotas: the page over all owners."""


_UNDER_WAY, _ATTENTION, _WAITING = "Under way", "Needs attention", "Waits for approval"
_DONE, _CLOSED, _NEXT = "Done", "Closed by a later run", "What next"
_UNCHANGED = {OutcomeKind.UNCHANGED.value}
_AS_REQUESTED = _UNCHANGED | {kind.value for kind in results.WRITTEN_OUTCOMES}
_said = partial(render_part, "index.txt.j2")


def page(*, body: str, figures: Iterable[Figure] = (), **about: str) -> str:
    """Return one self-contained page.

    Args:
        body: HTML; everything else is text and is escaped here, but `footer`, which is HTML too.
        about: the other parts of `page.html.j2`, which says what each is.
    """
    about["footer"] = as_html(about.get("footer", ""))
    values = about | {"body": as_html(body), "sheet": as_html(_style_sheet())}
    return str(render("page.html.j2", figures=KeyFigures(list(figures)), **values))


def report_html(
    notebook_path: Path, result: Record, executed: Mapping[str, Any] | None = None
) -> str:
    """Return the report of a run: its executed notebook as a reader wants it, without code.

    Args:
        notebook_path: the executed notebook; a run refused before it began has none. Its charts are
            taken from `charts/` beside it.
        result: what the run's `result.json` holds.
        executed: the notebook as JSON, where no file holds it.
    """
    directory, status = notebook_path.parent, result["status"]
    notebook = executed or {"cells": []}
    is_through = status in (RunStatus.DONE, RunStatus.FINDINGS)
    leads = told("report")
    lead = leads["dry_run"] if is_dry_run(result) and is_through else leads["leads"][status]
    finding, _, more = first_line(result).partition(". ")
    headline = finding.rstrip(".") or lead.split(":")[0].rstrip(".")
    with suppress(OSError, ValueError):  # there is none, or a full disk has cut it off
        notebook = executed or json.loads(notebook_path.read_text(encoding="utf-8"))
    report = read_body(notebook, charts=directory / "charts", headline=headline)
    if text := next_steps(result, directory.name):
        last = next((one for one in report["sections"] if one.title == _NEXT), Section(_NEXT))
        last.about = as_html(f"<p>{escape(text)}</p>{last.about}")
        report["sections"] = [*(one for one in report["sections"] if one is not last), last]
    details, sections = dedent(result["headline"].partition("\n")[2]), report["sections"]
    if details and not report["error"] and status in ("refused", "failed", "stopped"):
        report["error"] = Callout(title="What is wrong", code=details, tone="critical")
    files = [name for name in result["artifacts"] if name != "report.html"]
    report |= {
        "contents_after": int(any("decisions" in part.tags for part in sections[:1])),
        "has_contents": sum(bool(part.title) for part in sections) >= FEW_SECTIONS,
        "run": directory.name,
        "target": result["target"],
        "files": [*dict.fromkeys([*files, "result.json"])],
    }
    return page(
        what=report["title"] or notebook_title(result["notebook"]),
        scope=own_word(result),
        sandbox="sandbox" if result["target"] == "sandbox" else "",
        moment=wording.moment(instant(result["finished_utc"] or result["started_utc"])),
        headline=headline,
        lead=f"{more} {lead}".strip(),
        # a plan that waits for approval brings figures of its own
        figures=() if is_waiting_plan(result) else _figures(result["summary"]),
        body=render("report.html.j2", **report),
        footer=render("report_footer.html.j2", **report),
        paper="landscape" if any(part.has_chart for part in sections) else "portrait",
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


def _figures(summary: Mapping[str, Any]) -> Iterator[Figure]:
    for name, value in islice(summary.items(), MOST_FIGURES):
        label, _, unit = name.rpartition("_")
        form = told("formats").get(unit, {}).get("words")
        label = label if form else name.removesuffix("_count")
        tone: Tone = "critical" if name == "failed" and value else "calm"
        yield Figure(FILTERS[form or "number"](value), label.replace("_", " "), tone=tone)


def own_word(record: Record) -> str:
    """Return the environment, empty where the sandbox badge says the same."""
    environment = str(record["environment"])
    return "" if environment == record["target"] == "sandbox" else environment


def first_line(record: Record) -> str:
    """Return what a run found, in one line."""
    return str(record["headline"]).partition("\n")[0].rstrip(":")


def instant(text: str) -> datetime:
    """Return a moment of a record."""
    return datetime.fromisoformat(text).astimezone(UTC)


# The page over all runs


def run_index_html(
    records: Sequence[tuple[str, Record]], *, made: datetime | None = None, earlier: int = 0
) -> str:
    """Return the page over all runs: those that need somebody first, newest first.

    Args:
        records: directory name and record of each run, in any order; `is_resumable` in one says
            that `mns resume` goes on with it.
        made: moment of the page; None = now.
        earlier: how many runs before these are not looked at.
    """
    newest = sorted(records, key=lambda record: (record[1]["started_utc"], record[0]), reverse=True)
    parts, made = _parts(newest), made or utc_now()
    counts = Counter(_word(run) for part in parts if part != _CLOSED for _, run in parts[part])
    days = [instant(record["started_utc"]).date() for _, record in newest]
    return page(
        what="Runs",
        moment="made " + wording.moment(made),
        headline=_said("headline", {name: len(own) for name, own in parts.items()}, len(newest)),
        lead=_said("lead", days, earlier),
        body=render(
            "index.html.j2",
            counts=[Tag(f"{tag(word).text} {n}", tag(word).tone) for word, n in counts.items()],
            parts={
                name: view("runs", [_row(*run, made) for run in own]) for name, own in parts.items()
            },
        ),
        footer=_said("footer"),
    )


def _parts(newest: Sequence[tuple[str, Record]]) -> dict[str, list[tuple[str, Record]]]:
    """Return the runs by the part of the page that lists them.

    A later run of the same notebook that got through closes an earlier one of the same environment
    and things, as `_closes` says.
    """
    parts: dict[str, list[tuple[str, Record]]] = {
        part: [] for part in (_UNDER_WAY, _ATTENTION, _WAITING, _DONE, _CLOSED)
    }
    later: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    warned: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, record in newest:
        status = record["status"]
        notebook = BULK_NOTEBOOK if record["notebook"] == LIBRARY else record["notebook"]
        place = record["environment"], record["target"]
        same = later[notebook, *place, about(record["parameters"])]
        if status == "running":
            part = _UNDER_WAY
        elif status == RunStatus.DONE:
            part = _DONE
        elif any(_closes(one, record) for one in same) or _is_told(record, warned[place]):
            part = _CLOSED
        else:
            part = _WAITING if is_waiting_plan(record) else _ATTENTION
        parts[part].append((name, record))
        warned[place] |= {*record.get("warnings", ())}
        if status in (RunStatus.DONE, RunStatus.FINDINGS):
            same.append(record)
    return parts


def _is_told(record: Record, warned: AbstractSet[str]) -> bool:
    """Return whether all that an apply has found are warnings that a later run tells as well."""
    is_apply = record["parameters"].get("dry_run") is False
    found = {*record.get("warnings", ())} if record["status"] == RunStatus.FINDINGS else set()
    return is_apply and bool(found) and found <= warned


def _closes(later: Record, earlier: Record) -> bool:
    """Return whether a run that got through leaves nothing to do about an earlier one.

    A dry run wrote nothing: it stands for what was to write nothing either, never for an apply.
    What was asked must be the very same, but where it was refused, which other content corrects.
    A record of before may not tell what it was about, on which sandbox, or what was asked.
    """
    given, is_refused = earlier["parameters"], earlier["status"] == RunStatus.REFUSED
    wrote_nothing = is_dry_run(earlier) or (is_refused and given.get("dry_run") is not False)
    if not given or (is_dry_run(later) and not wrote_nothing):
        return False
    told = ("sandbox",) if is_refused else ("sandbox", "content")
    pairs = ({record.get(name, "") for record in (later, earlier)} for name in told)
    return all(len(pair - {""}) < 2 for pair in pairs)


def _row(directory: str, record: Record, now: datetime) -> dict[str, Any]:
    """Return what the line of a run shows."""
    given, started = record["parameters"], instant(record["started_utc"])
    ended = now if record["status"] == "running" else instant(record["finished_utc"])
    # one that was killed in JupyterLab leaves no report
    report = "report.html" if "report.html" in record["artifacts"] else "result.json"
    following, next_page = _word(record), report
    scopes = [given.get(name) for name in ("clusters", "subscription_ids")]
    named = [str(one) for scope in scopes if isinstance(scope, list) for one in scope]
    is_apply = "journal.jsonl" in record["artifacts"] and not is_dry_run(record)
    if record.get("is_resumable") or (record["status"] == RunStatus.INTERRUPTED and is_apply):
        following = "resumable"
    if PORTFOLIO in record["artifacts"] and record["status"] in ("done", "findings"):
        following, next_page = "owners", PORTFOLIO
    return {
        "status": _word(record),
        "started": f"{wording.day(started)} {started:%H:%M}",
        "title": notebook_title(record["notebook"]),
        "given": {"namespace_name": "", "cluster_name": "", "request_file": ""} | dict(given),
        "clusters": sorted(name.rpartition("/")[2] for name in named),
        "page": f"{directory}/{report}",
        "line": first_line(record),
        "environment": own_word(record),
        "sandbox": record["target"] == "sandbox",
        "kept": _as_requested(record),
        "seconds": (ended - started).total_seconds(),
        "next": following,
        "next_page": f"{directory}/{next_page}",
    }


def _word(record: Record) -> str:
    """Return the status as the index names it: what waits for approval, what changed nothing."""
    status = str(record["status"])
    if is_waiting_plan(record):
        return "approval"
    if status == RunStatus.FAILED and record["headline"].startswith(results.NOT_APPROVED):
        return "not approved"
    is_unchanged = {item["outcome"] for item in record["items"]} == _UNCHANGED
    return "no change" if status == RunStatus.DONE and is_unchanged else status


def _as_requested(record: Record) -> str:
    if items := record["items"]:
        kept = sum(item["outcome"] in _AS_REQUESTED for item in items)
        return f"{kept:,} of {len(items):,}"
    is_reading = "approval" not in record["parameters"] and record["status"] != RunStatus.REFUSED
    return "read only" if is_reading else ""
