"""A page for each owner in plain words, and the portfolio: a line per owner that leads to it.

Each is a file by itself: no script, no address outside, escaped names. What is said is in the
templates `owner.*.j2`. Bars and strips are HTML, since matplotlib would take minutes for some
hundred owners.
"""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import pandas as pd

from mnslib.capacity.changed import QUOTA_CHANGED, Earlier
from mnslib.capacity.decide import PEAK_SHARE_KEPT, rows_of
from mnslib.capacity.quota_values import FULL, SPACE
from mnslib.capacity.refusals import refused_workloads
from mnslib.capacity.tables import Tables
from mnslib.show import wording
from mnslib.show.displays import Blocks, Table, Tag, tag
from mnslib.show.html import PORTFOLIO, page
from mnslib.show.tables import told
from mnslib.show.templates import as_html, render, render_part, sentence
from mnslib.show.views import bar, figures, strip, view

OWNERS_FOLDER = "owners"
"""Of a run directory: the owners' pages."""

WITHOUT_OWNER = "_without-owner"
"""File name, without ending, of the page of namespaces that nobody is named for."""

LONGEST_NAME = 63
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")  # Source: Windows, naming files

_said = partial(sentence, "owner.txt.j2")


def file_name(owner: str) -> str:
    """Return the file name, without ending, of an owner's page.

    Owners are outside text: a plain name (lower case, digits, hyphens) is kept, any other becomes
    what is left of it and a digest behind a dot, which no plain name holds. So it leads out of no
    folder, and two owners never share a file, nor where the file system folds case.
    """
    if not owner:
        return WITHOUT_OWNER
    is_plain = re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", owner) is not None
    if is_plain and len(owner) <= LONGEST_NAME and not _RESERVED.fullmatch(owner):
        return owner
    ascii_text = unicodedata.normalize("NFKD", owner).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:40].strip("-") or "owner"
    digest = hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{words}.{digest}"


def owner_pages(tables: Tables, *, run: str, sandbox: str = "") -> Iterator[tuple[str, str]]:
    """Yield every page as it is made: its path in the run directory, and HTML.

    Args:
        run: name of the run's directory.
        sandbox: word of the badge; empty on Azure.
    """
    snapshot, owners = tables.snapshot, tables.owners
    moment = wording.moment(snapshot.read_utc)
    about = {"sandbox": sandbox, "moment": moment, "paper": "landscape"}
    spaces, refused = _spaces(tables), defaultdict(list)
    for workload in refused_workloads(owners.refusals):
        refused[workload["owner"]].append(workload)
    why = ["doubt", "doubt_resource", "doubt_reason"]
    rows = owners.spaces.loc[owners.spaces["doubt"] != "", ["owner", "namespace_name", *why]]
    doubts = _listed((owner, tuple(why), name) for owner, name, *why in rows_of(rows))
    clusters = owners.spaces.groupby("owner")["cluster_name"].agg(set)
    given = {
        "since": _since(tables.earlier),
        "moment": moment,
        "period": wording.period(*snapshot.period),
        "has_history": not snapshot.used.empty,
        "share_kept": PEAK_SHARE_KEPT,
        "shortages": tables.decided.shortages,
    }
    found = _owners(tables)
    for o in found:
        owner = o["owner"]
        body = render(
            "owner.html.j2",
            o=o,
            spaces=spaces[owner],
            refused=refused[owner],
            unread=[one for one in owners.unread if one[0] in clusters[owner]],
            doubts=doubts.get(owner, {}),
            **given,
        )
        html = page(
            what="Your namespaces" if owner else "Without an owner",
            scope=o["name"],
            headline=_said("headline", o),
            lead=_said("lead", given),
            figures=figures("owner", **o),
            body=body,
            footer=render_part("portfolio.html.j2", "mailed", run),
            **about,
        )
        yield o["page"], html
    yield PORTFOLIO, _portfolio(tables, found, run=run, about=about)


def owners_table(tables: Tables) -> Table:
    """Return the owners to read in the report, those with full namespaces first."""
    return view("owners", _owners(tables), since=_since(tables.earlier))


def _portfolio(
    tables: Tables, found: list[dict[str, Any]], *, run: str, about: dict[str, str]
) -> str:
    """Return the page over all owners, in three orders to choose from, each linked to its page."""
    table, lines = tables.owners.table, view("portfolio", found, since=_since(tables.earlier))
    names = table.assign(nobody=table["owner"] == "", name=table["owner"].str.casefold())
    orders = {
        "full": table,
        "idle": table.sort_values("idle", ascending=False, kind="stable", na_position="last"),
        "name": names.sort_values(["nobody", "name"], kind="stable"),
    }
    shown = {
        key: replace(lines, rows=[lines.rows[at] for at in order.index])
        for key, order in orders.items()
    }
    sums: Any = table[["spaces", "measured", FULL, "idle", "doubted"]].sum().to_dict()
    theirs = table[table["owner"] != ""]
    return page(
        what="Owners",
        headline=_said("portfolio_headline", int((theirs[FULL] > 0).sum()), len(theirs)),
        lead="One line per owner; each name opens the page that can be sent to that owner.",
        figures=figures("portfolio", owners=len(theirs), **sums),
        body=render_part("portfolio.html.j2", "body", shown),
        footer=render_part("portfolio.html.j2", "kept", run),
        **about,
    )


def _owners(tables: Tables) -> list[dict[str, Any]]:
    """Return the rows of the owners' table, each with what else is said of the owner."""
    owners, found = tables.owners, []
    changes = _changes(owners.changes)
    for row in rows_of(owners.table):
        steps, total = owners.steps.get(row.owner, []), row.namespaces + row.left_out
        is_free = not total and row.without_quota
        total += row.without_quota
        # of how many namespaces a sum is, where it is not of all or none
        parts = [
            "" if number in (0, total) else f"in {number:,.0f} of {total:,.0f}"
            for number in (row.namespaces, row.measured)
        ]
        about = {
            "name": row.owner or "Namespaces without an owner",
            "page": f"{OWNERS_FOLDER}/{file_name(row.owner)}.html",
            "committed": "no quota" if is_free else wording.quota_sum("cpu", row.hard),
            "known": parts[0],
            "part": parts[1],
            "changes": changes.get(row.owner, {}),
            "steps": steps,
            "first": _said("title", steps[0]) if steps else "",
        }
        found.append(row._asdict() | about)
    return found


def _since(earlier: Earlier) -> str:
    """Return when the earlier run began, which its name begins with; else its name."""
    if earlier.table is None:
        return ""
    name = earlier.run.partition("-")[0]
    began = pd.to_datetime(name, format="%Y%m%dT%H%M%SZ", errors="coerce", utc=True)
    return earlier.run if pd.isna(began) else wording.moment(began)


# By owner, as the templates take it


def _listed(rows: Iterable[tuple[str, Any, str]]) -> dict[str, dict[Any, list[str]]]:
    """Return by owner and key what is listed under it."""
    found: dict[str, dict[Any, list[str]]] = {}
    for owner, key, text in rows:
        found.setdefault(owner, {}).setdefault(key, []).append(text)
    return found


def _changes(changes: pd.DataFrame | None) -> dict[str, dict[Any, list[str]]]:
    """Return the namespaces of each change, with the quotas that are other than they were."""
    quotas: dict[tuple[str, str, str], list[str]] = {}
    for row in [] if changes is None else rows_of(changes):
        own = quotas.setdefault((row.owner, row.change, row.namespace_name), [])
        if row.change == QUOTA_CHANGED:
            own.append(f"{wording.RESOURCE_WORDS[row.resource]} from {row.before} to {row.after}")
    return _listed(
        (owner, change, f"{name} ({'; '.join(own)})" if own else name)
        for (owner, change, name), own in quotas.items()
    )


def _spaces(tables: Tables) -> dict[str, list[Any]]:
    """Return by owner the namespaces, each with how it stands, its share and its days as HTML."""
    strips, found = _strips(tables.days), defaultdict(list)
    for row in rows_of(tables.owners.spaces):
        state = tag(row.verdict, told("words")["state"].get(row.verdict, ""))
        if row.is_stuck and row.verdict != FULL:
            state = Tag("next pod does not fit", "warning")
        days = strips.get((row.cluster_name, row.namespace_name), "no history")
        shown = (row, _html(state), _html(bar(row.utilization_ratio)), days)
        found[row.owner].append(shown)
    return found


def _strips(days: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return of each namespace the strip of its days since it was first seen.

    Where no day came near the quota, the highest share in words says as much.
    """
    found = dict[tuple[str, str], str]()
    is_calm = ~(days["has_none"] | (days["days_tight"] > 0) | (days["days_unseen"] > 0))
    for place, own, calm in zip(rows_of(days[SPACE]), days["days"], is_calm, strict=True):
        if calm:
            found[place] = f"{wording.percent(max(own))} at most"
        elif not (own < 0).all():
            found[place] = _html(strip(own))
    return found


@lru_cache(maxsize=10_000)  # of many namespaces most are alike
def _html(shown: Tag | Blocks) -> str:
    return as_html(shown._repr_html_())
