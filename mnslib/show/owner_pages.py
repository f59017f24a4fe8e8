"""One page per owner in plain words: how it stands, what to do first, each namespace.

Each is a file by itself: no script, no address outside, escaped names. The pictures are drawn by
hand as SVG, since matplotlib would take minutes for some hundred owners. Knows nothing of runs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from html import escape as escape_html
from math import isnan
from typing import Any

import pandas as pd

from mnslib.capacity.advice import FIX, GROW, HEALTHY, SHRINK
from mnslib.capacity.changed import Earlier
from mnslib.capacity.decide import (
    PEAK_SHARE_KEPT,
    QUOTA_FIELD_OF,
    RAISE,
    Decided,
    Row,
    Step,
    smallest_raise,
)
from mnslib.capacity.quota_values import FULL, OK, TIGHT, TIGHT_RATIO
from mnslib.capacity.refusals import EXCEEDED, MISSING, WORKLOAD
from mnslib.capacity.snapshot import Snapshot
from mnslib.show import wording
from mnslib.show.decisions import no_headroom
from mnslib.show.displays import (
    Callout,
    Cell,
    Figure,
    Lines,
    Picture,
    Table,
    Tag,
    named,
    right,
    tag,
)
from mnslib.show.html import PORTFOLIO, page
from mnslib.show.owner_changes import (
    CHANGE_WORDS,
    NOT_COMPARED,
    changed_names,
)
from mnslib.show.owner_doubts import granted, measured_part
from mnslib.show.owner_facts import MOST_ACTIONS, OwnerFacts, owners_of, step_title
from mnslib.show.portfolio import NOBODY, OWNERS_FOLDER, portfolio_page
from mnslib.show.refusals import short_of
from mnslib.show.templates import as_html, render
from mnslib.show.tokens import HEAT, HEAT_FROM, TOKENS
from mnslib.verdicts import UNKNOWN, word

MOST_ROWS = 200
"""Namespaces on one page; our choice: a page of that length is no longer read."""

_STATES = {FULL: "at quota", TIGHT: "near the quota", OK: "fine"}
_ADVICE = {
    SHRINK: "has more than it needs",
    GROW: "needs more",
    FIX: "requests more than it uses",
    HEALTHY: "fits",
}
_NEAR = float(TIGHT_RATIO)
_HATCH = (
    '<svg width="0" height="0" style="display:block" aria-hidden="true"><defs>'
    '<pattern id="unknown" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><path d="M0 0V5" '
    f'stroke="{TOKENS["line"]}" stroke-width="2"/></pattern></defs></svg>'
)
_KEY = (
    "Each small box is a day, the last one at the right: pale under 50 % of its "
    "quota, blue below 90 %, orange from 90 %, red when it was at it; striped where nothing is "
    "known. Where it never came near, only the highest share is said."
)


def owner_files(
    snapshot: Snapshot,
    tables: Mapping[str, pd.DataFrame],
    *,
    earlier: Earlier,
    decided: Decided,
    run: str,
    sandbox: str = "",
) -> tuple[list[OwnerFacts], Iterator[tuple[str, str]]]:
    """Return the owners, and every page as it is made: its path in the run directory, and HTML.

    Args:
        tables, earlier, decided: as `owners_of` takes them.
        run: name of the run's directory.
        sandbox: word of the badge; empty on Azure.
    """
    owners = owners_of(snapshot, tables, earlier, decided)
    about: dict[str, Any] = {"moment": snapshot.read_utc, "run": run, "sandbox": sandbox}

    def pages() -> Iterator[tuple[str, str]]:
        for facts in owners:
            html = owner_page(facts, period=wording.period(*snapshot.period), **about)
            yield f"{OWNERS_FOLDER}/{facts.file}.html", html
        yield PORTFOLIO, portfolio_page(owners, **about)

    return owners, pages()


def owner_page(
    facts: OwnerFacts,
    *,
    moment: datetime,
    period: str,
    run: str,
    sandbox: str = "",
) -> str:
    """Return an owner's page: how it stands, what to do first, and each namespace.

    Args:
        moment: when the clusters were read.
        period: the days looked at, in words.
        run: name of the run's directory.
        sandbox: word of the badge; empty on Azure.
    """
    who = facts.owner or NOBODY
    doubts: dict[str, list[str]] = {}
    for name, reason in facts.doubts:
        doubts.setdefault(reason, []).append(name)
    whom = Callout(
        title="Whom to ask",
        text="Whoever sent you this page can change a quota. Name the namespace and the amounts "
        "above. What the workloads request is in your own manifests.",
    )
    body = render(
        "owner.html.j2",
        facts=facts,
        first=[(step, step_title(step), _caveats(step, facts)) for step in _first(facts)],
        more=len(facts.steps) - len(_first(facts)),
        changes=[
            (CHANGE_WORDS[change][0], names)
            for change, names in changed_names(facts.changes).items()
        ],
        doubts=doubts,
        spaces=as_html(_spaces(facts)),
        refused=as_html(_refused(facts)) if facts.refusals else "",
        whom=whom,
        hatch=as_html(_HATCH),
        not_compared=NOT_COMPARED,
        share_kept=PEAK_SHARE_KEPT,
    )
    return page(
        what="Your namespaces" if facts.owner else "Without an owner",
        scope=who,
        sandbox=sandbox,
        moment=wording.moment(moment),
        headline=_headline(facts),
        lead=f"Read {wording.moment(moment)}; days are those of {period}. A namespace is at "
        "its quota when your workloads have requested all of it, whether they use it or not.",
        figures=_figures(facts),
        body=body,
        paper="landscape",
        footer=f"Run {escape_html(run)} · no secret is in this page, it may be forwarded",
    )


def _first(facts: OwnerFacts) -> Sequence[Step]:
    return facts.steps[:MOST_ACTIONS]


def _caveats(step: Step, facts: OwnerFacts) -> list[str]:
    """Return which cluster has less headroom than its namespaces need together."""
    if step.kind != RAISE:
        return []
    places = [(step.cluster_name, amount.resource) for amount in step.amounts]
    return [no_headroom(facts.shortages[at]) for at in places if at in facts.shortages]


def _headline(facts: OwnerFacts) -> str:
    total, full, tight = len(facts.spaces), facts.counts[FULL], facts.counts[TIGHT]
    stuck = sum(row["is_stuck"] for row in facts.spaces)
    whose = "your " if facts.owner else ""
    all_of = (
        f"{whose}{wording.count(total, 'namespace')}" if total > 1 else f"{whose}only namespace"
    )
    some = all_of if total == 1 else f"{{}} of {all_of}"
    none = f"{all_of} is not at its quota" if total == 1 else f"none of {all_of} is at its quota"
    if facts.counts[UNKNOWN] == total:
        finding = f"nothing is known of {all_of}"
    elif full:
        more = f", {tight:,} more near it" if tight else ""
        finding = (
            f"{some.format(full)} {wording.are(full)} at quota{more}: nothing more starts there"
        )
    elif tight:
        finding = f"{some.format(tight)} {wording.are(tight)} near the quota"
    elif stuck:
        finding = f"a next pod does not start in {some.format(stuck)}"
    elif facts.steps:
        finding = f"{none}; see what could be given back or requested less"
    elif facts.doubts:
        finding = f"{none}, but something is unknown"
        finding += f" of {len(facts.doubts):,} of them" if total > 1 else ""
    else:
        finding = f"{none}, and nothing needs doing"
    return finding[:1].upper() + finding[1:]


def _figures(facts: OwnerFacts) -> list[Figure]:
    full, tight = facts.counts[FULL], facts.counts[TIGHT]
    total = f"of {len(facts.spaces):,}"
    sums = facts.sums
    return [
        Figure(full, "at quota", of=total, tone="critical" if full else "calm"),
        Figure(tight, "near the quota: 90 % or above", tone="warning" if tight else "calm"),
        Figure(granted(sums), "committed to you (CPU)", of=measured_part(sums, "namespaces")),
        Figure(
            wording.cores(sums["usage"]),
            "used: not more, 95 % of the time",
            of=measured_part(sums, "measured"),
        ),
        Figure(len(facts.doubts), "with something unknown", of=total),
    ]


def _spaces(facts: OwnerFacts) -> str:
    days = sorted({day for row in facts.spaces for day in row["days"]})
    table = Table(
        columns=[
            named("Namespace"),
            "How it stands",
            "Tightest value",
            *right("Quota", "Requested", "Share"),
            "Share as a bar",
            "Day by day",
            "In short",
        ],
        rows=[_space_row(row, days) for row in facts.spaces],
        note=_KEY,
        limit=MOST_ROWS,
    )
    return table._repr_html_()


def _space_row(row: Row, days: Sequence[date]) -> list[Cell]:
    resource, verdict = row["resource"], str(row["verdict"])
    if word(verdict) == UNKNOWN:
        is_granted = not wording.is_unknown(row["hard"])
        limit = [wording.RESOURCE_WORDS[resource], wording.quota(resource, row["hard"])]
        amounts: list[Cell] = [*(limit if is_granted else ["", ""]), "", "unknown", _bar(None)]
    else:
        amounts = [
            wording.RESOURCE_WORDS[resource],
            wording.quota(resource, row["hard"]),
            wording.quantity(resource, row["used"]),
            wording.percent(row["utilization_ratio"]),
            _bar(row["utilization_ratio"]),
        ]
    return [
        Lines(row["namespace_name"], row["cluster_name"]),
        _state(verdict, is_stuck=row["is_stuck"]),
        *amounts,
        _strip(row["days"], days),
        _ADVICE.get(row["advice"], ""),
    ]


def _state(verdict: str, *, is_stuck: bool) -> Tag:
    if is_stuck and verdict != FULL:
        return Tag("next pod does not fit", "warning")
    return Tag(_STATES[verdict], tag(verdict).tone) if verdict in _STATES else tag(verdict)


def _bar(ratio: float | None) -> Picture:
    if ratio is None or wording.is_unknown(ratio):
        fill = f'<rect width="99" height="11" x=".5" y=".5" fill="url(#unknown)" stroke="{_LINE}"/>'
        return Picture(fill, "unknown", 100, 12)
    color = TOKENS["crit"] if ratio >= 1 else TOKENS["warn"] if ratio >= _NEAR else "#8FA1B3"
    width = min(100, max(1, int(ratio * 100)))
    svg = f'<rect width="100" height="12" fill="{TOKENS["grid"]}"/>'
    return Picture(
        f'{svg}<rect width="{width}" height="12" fill="{color}"/>', wording.percent(ratio), 100, 12
    )


_LINE = TOKENS["line"]


def _strip(found: Mapping[date, float], days: Sequence[date]) -> Cell:
    """Return a row of small boxes, one per day; a day before the namespace existed has none.

    Where no day came near the limit, the highest share in words says as much.
    """
    if not found:
        return "no history"
    known = [ratio for ratio in found.values() if not isnan(ratio)]
    unknown = len(found) - len(known)
    if known and not unknown and max(known) < _NEAR:
        return f"{wording.percent(max(known))} at most"
    boxes: dict[str, list[str]] = {}
    for place, day in enumerate(days):
        if day in found:
            ratio = found[day]
            fill = (
                f'url(#unknown)" stroke="{_LINE}'
                if isnan(ratio)
                else HEAT[bisect_right(HEAT_FROM, ratio)]
            )
            boxes.setdefault(fill, []).append(f"M{place * 6} 0h5v14h-5z")
    full, near = (sum(ratio >= bound for ratio in known) for bound in (1, _NEAR))
    words = (
        f"of {wording.count(len(found), 'day')} full on {full}, at 90 % or above on {near - full}, "
        f"unknown on {unknown}"
    )
    svg = "".join(f'<path fill="{fill}" d="{"".join(d)}"/>' for fill, d in boxes.items())
    return Picture(svg, words, len(days) * 6, 14)


def _refused(facts: OwnerFacts) -> str:
    programs: dict[tuple[Any, ...], list[Row]] = {}
    for row in facts.refusals or ():
        programs.setdefault(tuple(row[name] for name in WORKLOAD), []).append(row)
    table = Table(
        columns=[named("Workload"), *right("Refused"), "Last", "Short of", "What helps"],
        rows=[
            [
                Lines(rows[0]["workload_name"], rows[0]["namespace_name"]),
                wording.count(int(rows[0]["count"]), "time"),
                _at(rows[0]["last_utc"]),
                short_of(rows),
                _remedy(rows),
            ]
            for rows in programs.values()
        ],
        note="A cluster remembers refusals for an hour: there may have been more.",
    )
    return table._repr_html_()


def _remedy(rows: Sequence[Row]) -> str:
    if rows[0]["problem"] == MISSING:
        return "Set them in the workload's manifest"
    if rows[0]["problem"] != EXCEEDED:
        return "Not the quota: read the message"
    fields = [(QUOTA_FIELD_OF.get(row["key"], ""), row) for row in rows]
    return ", ".join(
        f"{wording.RESOURCE_WORDS[name]} of {wording.quota(name, row['limited'] + more)}"
        if name
        else f"{row['key']} of {wording.exact(row['limited'] + more)}"
        for name, row in fields
        if (more := smallest_raise(row)) > 0
    )


def _at(value: Any) -> str:
    return "" if pd.isna(value) else wording.moment(value)
