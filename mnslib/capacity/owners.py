"""What is known of each owner's namespaces: a row per owner and per namespace, the worst first.

Pure: the tables of an analysis in, frames out. The amounts are explained, with examples, in
`docs/capacity.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from mnslib.capacity.evidence_words import NEEDS_SOMEBODY
from mnslib.capacity.quota_values import BARE, FULL, SPACE, TIGHT
from mnslib.capacity.refusals import WORKLOAD
from mnslib.requests.sheets import plain
from mnslib.verdicts import UNKNOWN, unknown_reason, word

if TYPE_CHECKING:
    from mnslib.capacity.decide import Step
    from mnslib.capacity.tables import Tables

UNMEASURED = "unmeasured"
"""A doubt beside the words of evidence and `UNKNOWN`: what is really used is not known."""

_COUNTS = ["namespaces", "measured", "left_out", "without_quota"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """The owners and what is theirs.

    Attributes:
        table: a row per owner, those with full namespaces first and nobody last: how many `spaces`
            and how many of them are `full`, `tight`, `unknown`, `stuck` and `doubted`; `refused`,
            how often pods were (NaN where events do not tell); and of the CPU layers the sums and
            counts of `roll_up`.
        spaces: a row per namespace as `tightest` has them; `head`, the word of its verdict; whether
            its next pod `is_stuck`; and of what is unknown `doubt` (a word of evidence, `UNKNOWN`
            or `UNMEASURED`; empty without one), `doubt_resource` and `doubt_reason`.
        refusals: rows of the table of refusals, those of the worst namespace first.
        changes: rows of the table of changes with their `owner`; of what is gone the owner is who
            it was then, if it is known. None without a run to compare with.
        steps: by owner, what its namespaces need next, the most urgent first.
        unread: cluster, kind and reason of what could not be read.
    """

    table: pd.DataFrame
    spaces: pd.DataFrame
    refusals: pd.DataFrame
    changes: pd.DataFrame | None
    steps: dict[str, list[Step]]
    unread: list[tuple[str, str, str]]


def owners_of(tables: Tables) -> Owners:
    """Return the owners of one reading."""
    snapshot, steps = tables.snapshot, tables.decided.steps
    worst = tables.worst
    heads = worst["verdict"].map(word)
    places = pd.MultiIndex.from_frame(worst[SPACE])
    is_stuck = places.isin([step.place for step in steps if step.is_stuck])
    is_told = worst["cluster_name"].isin(list(snapshot.events))
    spaces = worst.assign(head=heads, is_stuck=is_stuck, is_told=is_told)
    spaces = spaces.merge(_doubts(spaces, tables), on=SPACE, how="left").fillna({"doubt": ""})
    theirs = tables.refusals.drop(columns="owner")
    refusals = spaces[[*SPACE, "owner"]].merge(theirs, on=SPACE)
    unread = dict(snapshot.unread)
    unread |= {(name, "nodes and pods"): why for name, why in snapshot.no_commitment.items()}
    by_owner: dict[str, list[Step]] = {}
    for step in steps:
        by_owner.setdefault(step.owner, []).append(step)
    return Owners(
        table=_by_owner(spaces, refusals, tables.sums["by_owner"]),
        spaces=spaces,
        refusals=refusals,
        changes=_changes(spaces, tables),
        steps=by_owner,
        unread=[(*place, why) for place, why in sorted(unread.items())],
    )


def _by_owner(spaces: pd.DataFrame, refusals: pd.DataFrame, sums: pd.DataFrame) -> pd.DataFrame:
    marks = {name: spaces["head"] == name for name in (FULL, TIGHT, UNKNOWN)}
    marks |= {"spaces": spaces["owner"].notna(), "doubted": spaces["doubt"] != ""}
    marks |= {"stuck": spaces["is_stuck"]}
    marks |= {"untold": ~spaces["is_told"]}
    table = pd.DataFrame(marks, index=spaces.index).groupby(spaces["owner"]).sum()
    times = refusals.drop_duplicates(list(WORKLOAD)).groupby("owner")["count"].sum()
    refused = times.reindex(table.index, fill_value=0).where(table["untold"] == 0)
    sums = sums[sums["resource"] == "cpu"].set_index("owner").reindex(table.index)
    table = table.assign(refused=refused).join(sums.fillna(dict.fromkeys(_COUNTS, 0)))
    order = table.assign(nobody=table.index == "", idle=table["idle"].fillna(0)).reset_index()
    order = order.sort_values(
        ["nobody", FULL, TIGHT, "idle", "owner"], ascending=[True, False, False, False, True]
    )
    return table.loc[order["owner"]].reset_index()


def _doubts(spaces: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """Return of each namespace what is unknown: what is wrong says more than what it withholds."""
    worst, layers = tables.worst_evidence, tables.layers
    faults = worst[worst["evidence"].isin(NEEDS_SOMEBODY)]
    blind = spaces.loc[spaces["head"] == UNKNOWN, [*SPACE, "verdict"]]
    unused = layers[~layers["reason"].isin(["", BARE])].sort_values("resource")  # CPU speaks first
    parts = [
        faults.assign(doubt=faults["evidence"]),
        blind.assign(doubt=UNKNOWN, reason=blind["verdict"].map(unknown_reason), resource=""),
        unused.assign(doubt=UNMEASURED, resource=""),
    ]
    found = pd.concat([part[[*SPACE, "doubt", "resource", "reason"]] for part in parts])
    names = {"resource": "doubt_resource", "reason": "doubt_reason"}
    return found.drop_duplicates(SPACE).rename(columns=names)


def _changes(spaces: pd.DataFrame, tables: Tables) -> pd.DataFrame | None:
    known = tables.earlier.table
    if known is None:
        return None
    owners = [spaces[[*SPACE, "owner"]]]
    if "owner" in known:
        owners.append(known[[*SPACE, "owner"]].assign(owner=known["owner"].map(plain)))
    return tables.changed.merge(pd.concat(owners).drop_duplicates(SPACE), on=SPACE)
