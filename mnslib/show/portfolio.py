"""The portfolio: a line per owner in three orders, to be opened first; each leads to a page.

Knows the pages by their names alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape as escape_html
from urllib.parse import quote

from mnslib.capacity.quota_values import FULL, TIGHT
from mnslib.show import wording
from mnslib.show.displays import Cell, Figure, Lines, Link, Table, named, right
from mnslib.show.html import PORTFOLIO, page
from mnslib.show.owner_changes import NOT_COMPARED, change_counts
from mnslib.show.owner_doubts import granted, measured_part
from mnslib.show.owner_facts import OwnerFacts, step_title

OWNERS_FOLDER = "owners"
"""Of a run directory: the owners' pages."""

NOBODY = "Namespaces without an owner"
_SUMS_NOTE = (
    "Committed: the sum of all quotas that are known. Requested, used and unused: of the "
    "namespaces that were measured for two days or more; how many these are, where not all were."
)


def portfolio_page(
    owners: Sequence[OwnerFacts], *, moment: datetime, run: str, sandbox: str = ""
) -> str:
    """Return the page over all owners, in three orders to choose from, each linked to its page."""
    orders = (
        ("full", "Most at quota first", list(owners)),
        ("idle", "Most unused first", sorted(owners, key=lambda o: -_zero(o.sums["idle"]))),
        ("name", "By name", sorted(owners, key=lambda o: (not o.owner, o.owner.casefold()))),
    )
    choices = "".join(
        f'<input type="radio" name="order" id="by-{key}"{" checked" if key == "full" else ""}>'
        f'<label for="by-{key}">{escape_html(words)}</label>'
        for key, words, _ in orders
    )
    tables = "".join(
        f'<div class="order by-{key}">{_portfolio_table(found)._repr_html_()}</div>'
        for key, _, found in orders
    )
    total = sum(len(o.spaces) for o in owners)
    full, doubted = sum(o.counts[FULL] for o in owners), sum(len(o.doubts) for o in owners)
    named_owners = sum(bool(o.owner) for o in owners)
    measured = int(sum(o.sums["measured"] for o in owners))
    idle = sum(_zero(o.sums["idle"]) for o in owners) if measured else None
    hit = sum(bool(o.owner) and o.counts[FULL] > 0 for o in owners)
    headline = f"{hit:,} of {wording.count(named_owners, 'owner')} have a namespace at its quota"
    if not hit:
        headline = f"None of {wording.count(named_owners, 'owner')} has a namespace at its quota"
    return page(
        what="Owners",
        sandbox=sandbox,
        moment=wording.moment(moment),
        headline=headline,
        lead="One line per owner; each name opens the page that can be sent to that owner.",
        figures=[
            Figure(named_owners, "owners named"),
            Figure(
                full, "namespaces at quota", of=f"of {total:,}", tone="critical" if full else "calm"
            ),
            Figure(
                wording.cores(idle),
                "committed and not used",
                of=f"in {measured:,} of {total:,}" if measured else "",
            ),
            Figure(doubted, "namespaces with something unknown", of=f"of {total:,}"),
        ],
        body=f'<section class="orders"><h2>Owner by owner</h2>{choices}{tables}</section>',
        footer=f'Run {escape_html(run)} · <a href="report.html">the whole report</a> · '
        '<a href="../index.html">all runs</a>',
        paper="landscape",
    )


def _portfolio_table(owners: Sequence[OwnerFacts]) -> Table:
    return Table(
        columns=[
            named("Owner"),
            *right("Namespaces", "At quota", "Near it", "With unknowns", "Committed, CPU"),
            *right("Requested", "Used", "Unused", "Refused"),
            "Changed",
            "First thing to do",
        ],
        rows=[_portfolio_row(facts) for facts in owners],
        limit=len(owners),
        note=f"{_SUMS_NOTE} {_since(owners)}",
        empty="No namespace was found.",
    )


def _since(owners: Sequence[OwnerFacts]) -> str:
    since = next((facts.since for facts in owners), "")
    return f"Changed: since {since}." if since else f"Changed: {NOT_COMPARED}"


def _portfolio_row(facts: OwnerFacts) -> list[Cell]:
    sums = facts.sums
    return [
        Link(facts.owner or NOBODY, f"{OWNERS_FOLDER}/{quote(facts.file)}.html"),
        len(facts.spaces),
        facts.counts[FULL],
        facts.counts[TIGHT],
        len(facts.doubts),
        " ".join(filter(None, [granted(sums), measured_part(sums, "namespaces")])),
        Lines(wording.cores(sums["requested"]), measured_part(sums, "measured")),
        *(wording.cores(sums[name]) for name in ("usage", "idle")),
        "unknown" if facts.refused is None else facts.refused,
        change_counts(facts.changes),
        step_title(facts.steps[0]) if facts.steps else "",
    ]


def _zero(amount: float) -> float:
    return 0.0 if wording.is_unknown(amount) else amount


def owners_table(owners: Sequence[OwnerFacts], *, limit: int = 20) -> Table:
    """Return the owners to read in the report, those with full namespaces first."""
    table = _portfolio_table(owners)
    return Table(
        columns=table.columns,
        rows=table.rows,
        note=f"{table.note} A page for each, to be sent to them: {OWNERS_FOLDER}/; "
        f"all of them: {PORTFOLIO}.",
        empty=table.empty,
        limit=limit,
    )
