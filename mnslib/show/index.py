"""The page over all runs: those that need somebody first, newest first.

Works on the records that `result.json` holds; knows neither how a notebook is run nor where
directories lie. What it says is in `templates/index.*.j2`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mnslib.results import NOT_APPROVED, WRITTEN_OUTCOMES, OutcomeKind, RunStatus, utc_now
from mnslib.show import wording
from mnslib.show.displays import Tag, tag
from mnslib.show.html import (
    PORTFOLIO,
    first_line,
    instant,
    is_dry_run,
    is_waiting_plan,
    notebook_title,
    own_word,
    page,
)
from mnslib.show.templates import render, render_part

Record = Mapping[str, Any]

_UNCHANGED = {OutcomeKind.UNCHANGED.value}
_AS_REQUESTED = _UNCHANGED | {kind.value for kind in WRITTEN_OUTCOMES}


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
    done = [record for record in newest if record[1]["status"] == RunStatus.DONE]
    closed = _closed_by_later_runs(newest)
    attention = [record for record in newest if record not in done and record not in closed]
    parts = (("Needs attention", attention), ("Done", done), ("Closed by a later run", closed))
    counts = Counter(_status_word(record) for _, record in (*attention, *done))
    days = [instant(record["started_utc"]).date() for _, record in newest]
    return page(
        what="Runs",
        moment="made " + wording.moment(made or utc_now()),
        headline=_said("headline", len(attention), len(newest)),
        lead=_said("lead", days, earlier),
        body=render(
            "index.html.j2",
            counts=[
                Tag(f"{tag(word).text} {number}", tag(word).tone) for word, number in counts.items()
            ],
            parts=[(title, [_row(*run) for run in found]) for title, found in parts if found],
        ),
        footer=_said("footer"),
    )


def _said(macro: str, *values: Any) -> str:
    return render_part("index.txt.j2", macro, *values).strip()


def _closed_by_later_runs(newest: Sequence[tuple[str, Record]]) -> list[tuple[str, Record]]:
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
        what = where if is_refused else (*kind, "subject", *_place(record), _subject(record))
        is_dry = is_dry_run(record)
        stand_for_it = got_through | planned if is_refused or is_dry else got_through
        if record["status"] != RunStatus.DONE and what in stand_for_it:
            closed.append((name, record))
        if record["status"] in (RunStatus.DONE, RunStatus.FINDINGS):
            (planned if is_dry else got_through).update({what, where})
    return closed


def _subject(record: Record) -> str:
    """Return what a run was about: its file, its namespace, or its clusters; empty if unknown."""
    given = record["parameters"]
    if given.get("namespace_name"):
        return f"{given['namespace_name']} on {given.get('cluster_name', '')}"
    clusters = [str(name).rpartition("/")[2] for name in given.get("clusters") or ()]
    places = [*clusters, *map(str, given.get("subscription_ids") or ())]
    return str(given.get("request_file") or ", ".join(sorted(places)))


def _place(record: Record) -> list[str]:
    """Return where a namespace is: another subscription has another one of that name."""
    names = ("subscription_id", "resource_group")
    return [str(record["parameters"].get(name, "")).lower() for name in names]


def _row(directory: str, record: Record) -> dict[str, Any]:
    """Return what the line of a run shows."""
    status, following = record["status"], _status_word(record)
    # plain papermill and JupyterLab leave no report
    report = "report.html" if "report.html" in record["artifacts"] else "result.json"
    next_page = report
    if record.get("is_resumable"):
        following = "resumable"
    if PORTFOLIO in record["artifacts"] and status in (RunStatus.DONE, RunStatus.FINDINGS):
        following, next_page = "owners", PORTFOLIO
    started = instant(record["started_utc"])
    sandbox = [Tag("sandbox", "sandbox")] if record["target"] == "sandbox" else []
    return {
        "tag": tag(_status_word(record)),
        "started": f"{wording.day(started)} {started:%H:%M}",
        "title": ": ".join(filter(None, [notebook_title(record["notebook"]), _subject(record)])),
        "page": f"{directory}/{report}",
        "line": first_line(record),
        "environment": [*filter(None, [own_word(record)]), *sandbox],
        "kept": _as_requested(record),
        "seconds": (instant(record["finished_utc"]) - started).total_seconds(),
        "next": _said("next", following),
        "next_page": f"{directory}/{next_page}",
    }


def _status_word(record: Record) -> str:
    """Return the status as the index names it: what waits for approval, what changed nothing."""
    status = str(record["status"])
    if is_waiting_plan(record):
        return "approval"
    if status == RunStatus.FAILED and record["headline"].startswith(NOT_APPROVED):
        return "not approved"
    is_unchanged = {item["outcome"] for item in record["items"]} == _UNCHANGED
    return "no change" if status == RunStatus.DONE and is_unchanged else status


def _as_requested(record: Record) -> str:
    items = record["items"]
    if items:
        kept = sum(item["outcome"] in _AS_REQUESTED for item in items)
        return f"{kept:,} of {len(items):,}"
    return "" if "approval" in record["parameters"] or not record["parameters"] else "read only"
