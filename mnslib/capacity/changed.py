"""What changed since an earlier run: who is new or gone, crossed a threshold, has another quota.

Pure: the tables of two runs in, a frame out; the earlier one is text that somebody else may have
written over. Only what is new is a finding: who was full a week ago is known.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity.quota_values import BARE, FULL, NO_QUOTA, OK, SPACE, TIGHT
from mnslib.capacity.utilization import tightest
from mnslib.errors import cut
from mnslib.models import QUOTA_FIELDS
from mnslib.packaged import packaged
from mnslib.quantities import amount_text
from mnslib.verdicts import UNKNOWN, unknown, word

CHANGED_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["changed"])
QUOTA_CHANGED = "quota changed"
CHANGES = (FULL, TIGHT, UNKNOWN, "known again", "eased", QUOTA_CHANGED, "new", "gone")
"""The words of change, in their order."""

_TEXTS = [*SPACE, "resource", "verdict"]
_NUMBERS = ["hard", "utilization_ratio"]
_VERDICT = f"{FULL}|{TIGHT}|{OK}|{unknown('.+')}"
LONGEST_TEXT = 253
"""Characters of a text of an earlier file; no name in Kubernetes is longer."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Earlier:
    """The run that this one is compared with.

    Attributes:
        run: its name; empty where there is none.
        table: its utilization, None where there is none that can be read; with `owner` where that
            run wrote it.
        refused: (cluster, namespace) whose pods were refused then; None where it could not see it.
        note: why there is no table, or what of it is not compared; empty where all is.
        is_common_only: whether only clusters are compared that both have read, since it was asked
            for others.
        is_judged_only: whether only namespaces are compared that both could judge, since it read
            from another source.
    """

    run: str = ""
    table: pd.DataFrame | None = None
    refused: Collection[tuple[str, str]] | None = ()
    note: str = ""
    is_common_only: bool = False
    is_judged_only: bool = False


def earlier_tables(run: str, *, utilization: str, refusals: str = "") -> Earlier:
    """Return an earlier run from the text of its tables; one that is damaged is said to be.

    Args:
        run: its name.
        utilization: `tables/utilization.csv`.
        refusals: `tables/refusals.csv`; empty where it wrote none.
    """
    try:
        table = _utilization(utilization)
        refused = _texts(refusals, SPACE) if refusals else pd.DataFrame(columns=SPACE)
    except ValueError as error:  # pandas' own errors of parsing are such
        return Earlier(run=run, note=f"The tables of {run} cannot be read: {cut(str(error), 200)}.")
    return Earlier(run=run, table=table, refused=set(refused.itertuples(index=False, name=None)))


def _utilization(text: str) -> pd.DataFrame:
    owner = {"owner"} & set(text.partition("\n")[0].split(","))
    table = _texts(text, [*_TEXTS, *_NUMBERS, *owner])
    for name in _NUMBERS:
        table[name] = pd.to_numeric(table[name].replace("", None), errors="raise").astype("float64")
    odd = ~table["resource"].isin(QUOTA_FIELDS) | ~table["verdict"].str.fullmatch(_VERDICT)
    if odd.any():
        raise ValueError(f"line {int(odd.argmax()) + 2} is no row of a utilization table")
    if table.duplicated([*SPACE, "resource"]).any():
        raise ValueError("it names a value twice")
    return table


def _texts(text: str, names: list[str]) -> pd.DataFrame:
    """Return columns of a CSV as text, no cell longer than it can be and none that steers."""
    table = pd.read_csv(io.StringIO(text), usecols=names, dtype=str, keep_default_na=False)
    return table[names].map(lambda cell: cut(cell, LONGEST_TEXT))


def changes_since(
    table: pd.DataFrame, earlier: Earlier, *, unreachable: Collection[str] = ()
) -> pd.DataFrame:
    """Return what changed since the earlier run; all that is full or tight, where there is none.

    Clusters that only one of the runs looked at are left out, but for what is full or tight there
    where both were asked for the same.

    Args:
        table: from `utilization_table`.
        earlier: the run before.
        unreachable: clusters that were not read now: who is not listed there is not gone.

    Returns:
        `CHANGED_COLUMNS` (docs/tables.md): `change` is a word of `CHANGES`, of which a namespace
        has one at most, and `quota changed` once for each value (`resource`, elsewhere the
        tightest value).
    """
    known = table.iloc[:0] if earlier.table is None else earlier.table
    now_spelled = {name.casefold(): name for name in table["cluster_name"].unique()}
    then_spelled = known["cluster_name"].unique()
    spelled = {name: now_spelled.get(name.casefold(), name) for name in then_spelled}
    known = known.assign(cluster_name=known["cluster_name"].map(spelled).astype(object))
    if earlier.is_common_only and earlier.table is not None:
        known, table = _common(known, table, is_judged_only=earlier.is_judged_only)
    then, now = (tightest(one)[[*SPACE, "resource", "verdict"]] for one in (known, table))
    both = then.merge(now, on=SPACE, how="outer", suffixes=("_old", "_new")).fillna("")
    common = set(then["cluster_name"]) & set(now["cluster_name"])
    was, is_now = (both[f"verdict_{side}"].map(word) for side in ("old", "new"))  # empty: not there
    is_full, is_tight, is_unknown = (is_now == name for name in (FULL, TIGHT, UNKNOWN))
    is_compared, words = both["cluster_name"].isin(common), is_now.to_numpy(dtype=object)
    is_worse = is_full | is_unknown | is_tight & (was != FULL)
    cases: list[Any] = [~is_compared & (is_full | is_tight), ~is_compared | (was == is_now)]
    cases += [was == "", is_now == "", is_worse, was == UNKNOWN]
    called: list[Any] = [words, "", "new", "gone", words, "known again"]
    is_lost = is_unknown & ~was.isin(["", UNKNOWN]) & (both["verdict_new"] != NO_QUOTA)
    both = both.assign(
        resource=both["resource_new"].mask(both["resource_new"] == "", both["resource_old"]),
        change=np.select(cases, called, "eased"),
        before=both["verdict_old"],
        after=both["verdict_new"],
        is_finding=is_full & (was != FULL) | is_tight & ~was.isin([TIGHT, FULL]) | is_lost,
    )
    is_unread = (both["change"] == "gone") & both["cluster_name"].isin(list(unreachable))
    changes = both[(both["change"] != "") & ~is_unread]
    frame = pd.concat([changes, _quota_changes(known, table)])[list(CHANGED_COLUMNS)]
    frame = frame.astype({"is_finding": bool})
    rank = frame["change"].map({change: place for place, change in enumerate(CHANGES)})
    order = frame.assign(rank=rank, known=~frame["is_finding"]).sort_values(
        ["known", "rank", *SPACE, "resource"], kind="stable"
    )
    return order[list(CHANGED_COLUMNS)].reset_index(drop=True)


def new_findings(changed: pd.DataFrame, refusals: pd.DataFrame, earlier: Earlier) -> dict[str, int]:
    """Return how many namespaces are newly full, tight or unknown, or newly have pods refused."""
    heads = _new_words(changed)
    is_compared = pd.Series(data=earlier.refused is not None, index=refusals.index)
    clusters = refusals["cluster_name"].astype(str).str.casefold()
    if earlier.table is not None and earlier.is_common_only:
        is_compared &= clusters.isin(earlier.table["cluster_name"].str.casefold())
    now = refusals.assign(cluster_name=clusters).loc[is_compared, SPACE]
    before = {(cluster.casefold(), name) for cluster, name in earlier.refused or ()}
    refused = set(now.itertuples(index=False, name=None)) - before
    counts = {f"new_{head}": heads.count(head) for head in (FULL, TIGHT, UNKNOWN)}
    return {**counts, "newly_refused": len(refused)}


def change_findings(changed: pd.DataFrame, earlier: Earlier) -> dict[str, Any]:
    """Return how many changes are new findings, by the word of what they are now."""
    heads = _new_words(changed)
    found = {name: heads.count(name) for name in (FULL, TIGHT, UNKNOWN) if name in heads}
    others, is_first = len(changed) - len(heads), earlier.table is None
    return {"found": found, "others": others, "is_first": is_first, "run": earlier.run}


def _new_words(changed: pd.DataFrame) -> list[str]:
    return [word(verdict) for verdict in changed.loc[changed["is_finding"], "after"]]


def _common(
    known: pd.DataFrame, table: pd.DataFrame, *, is_judged_only: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return of both tables the clusters that both have; on demand what both could judge there."""
    key = SPACE if is_judged_only else ["cluster_name"]

    def places(one: pd.DataFrame) -> pd.DataFrame:
        worst = tightest(one)
        is_judged = worst["verdict"].map(word) != UNKNOWN
        return worst.loc[is_judged | (not is_judged_only), key].drop_duplicates()

    both = places(known).merge(places(table), on=key)
    return known.merge(both, on=key), table.merge(both, on=key)


def _quota_changes(known: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the quota values that changed, came or went, of namespaces that both runs know."""
    key, value = [*SPACE, "resource"], ["hard", "verdict"]
    both = known[[*key, *value]].merge(table[[*key, *value]], on=key, suffixes=("_old", "_new"))
    old, new = (
        both[f"hard_{side}"].round(3).where(both[f"verdict_{side}"] != NO_QUOTA, -1.0)
        for side in ("old", "new")
    )
    both = both[old.notna() & new.notna() & (old != new)]
    texts = {
        name: [
            BARE if verdict == NO_QUOTA else amount_text(resource, hard)
            for resource, hard, verdict in zip(
                both["resource"], both[f"hard_{side}"], both[f"verdict_{side}"], strict=True
            )
        ]
        for name, side in (("before", "old"), ("after", "new"))
    }
    return both[key].assign(change=QUOTA_CHANGED, **texts, is_finding=False)
