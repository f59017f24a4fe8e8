"""What changed since the run before, as something to read."""

from __future__ import annotations

import pandas as pd

from mnslib.capacity.changed import CHANGES, Earlier
from mnslib.show import wording
from mnslib.show.displays import Lines, Stack, Table, Tag, named
from mnslib.show.tokens import Tone
from mnslib.verdicts import word

LIMIT = 20
"""Rows shown; all are in the CSV."""

_TONES: dict[str, Tone] = {"full": "critical", "tight": "warning", "unknown": "unknown"}


def changes_finding(changed: pd.DataFrame, earlier: Earlier) -> str:
    """Return in a sentence what is new since the run before, or that there is none."""
    new = changed[changed["is_finding"]]
    heads = [word(verdict) for verdict in new["after"]]
    words = {"full": "full", "tight": "at 90 % or above", "unknown": "unknown"}
    found = [f"{heads.count(w):,} {text}" for w, text in words.items() if w in heads]
    if earlier.table is None:
        all_new = f"all that needs somebody counts as new: {wording.listing(found)}."
        nothing = "no namespace is full or at 90 %."
        return f"Nothing to compare with; {all_new if found else nothing}"
    others = len(changed) - len(new)
    more = f"{wording.count(others, 'other change')}"
    if not found:
        return f"Nothing new that needs somebody since {earlier.run}, {more}."
    return f"Newly since {earlier.run}: {wording.listing(found)}; {more}."


def changes_report(changed: pd.DataFrame, earlier: Earlier) -> Stack:
    """Return what changed: a sentence, then the rows, those that need somebody first.

    Args:
        changed: from `capacity.changed.changes_since`.
        earlier: the run it was compared with.
    """
    table = Table(
        columns=[named("Namespace"), "Change", "Value", "Before", "Now"],
        rows=[
            [
                Lines(row["namespace_name"], row["cluster_name"]),
                Tag(CHANGES[row["change"]], _TONES.get(row["change"], "calm")),
                wording.RESOURCE_WORDS[row["resource"]],
                row["before"] or None,
                row["after"] or None,
            ]
            for row in changed.head(LIMIT).to_dict("records")
        ],
        note="All of them: tables/changed.csv.",
        empty="Nothing changed.",
        limit=LIMIT,
        total=len(changed),
    )
    notes = [earlier.note] if earlier.note else []
    return Stack((changes_finding(changed, earlier), *notes, table))
