"""What still fits, and where the next namespace should go, in words: findings, cells, tables.

Knows nothing of pictures; the chart of the same answers uses these words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.clusters import FITS, FITS_GROWN, FITS_NOT
from mnslib.capacity.decide import BYTES_PER_CORE
from mnslib.capacity.fit import (
    AUTOSCALER,
    GIVEN_POD,
    LIMITED,
    NEXT_POD,
    NO,
    NONE,
    QUESTIONS,
    ROLLING_UPDATE,
    YES,
)
from mnslib.show import wording
from mnslib.show.asked import region_sentence
from mnslib.show.displays import Lines, Stack, Table, Tag, named, right, tag
from mnslib.verdicts import UNKNOWN, word

JUST = "just"
"""A yes after which nothing more fits."""

_CANNOT = {
    NEXT_POD: "cannot start the next pod of a workload (quota or nodes)",
    ROLLING_UPDATE: "cannot roll out one workload",
    AUTOSCALER: "cannot reach the autoscaler maximum",
}
"""Questions that the finding names; all at once is seldom what people do."""

_REASONS = {"quota": "the quota", "nodes": "the nodes", "quota and nodes": "quota and nodes"}
_SYMBOLS = {YES: "✓", JUST: "!", NO: "✕", NONE: "–", UNKNOWN: "?"}
_TONES: dict[str, Any] = {
    YES: "good", JUST: "warning", NO: "critical", NONE: "calm", UNKNOWN: "unknown",
}  # fmt: skip

Answer = Mapping[Any, Any]
Kinds = NDArray[np.object_]


def own_answers(table: pd.DataFrame) -> pd.DataFrame:
    """Return what namespaces were answered: a row for each of `QUESTIONS`, `judged`."""
    is_own = (table["workload_name"] == "") & table["question"].isin(QUESTIONS)
    return judged(table[is_own])


def kinds_of(own: pd.DataFrame) -> Kinds:
    """Return the kinds of `own_answers`, namespaces x `QUESTIONS`."""
    return own["kind"].to_numpy(dtype=object).reshape(-1, len(QUESTIONS))


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Return answers with what their words are made of.

    That is `kind`: `yes`, `just` (a yes after which nothing more fits), `no`, `none` or `unknown`;
    `left`: what is left of the tightest value, below 0 what is short; `fits`: how many pods do.
    Both are NaN where nothing says.
    """
    places = pd.Index(LIMITED).get_indexer(pd.Index(table["tightest"]))
    amounts = table[[f"left_{name}" for name in LIMITED]].to_numpy("float64")
    left = np.where(places < 0, np.nan, amounts[np.arange(len(table)), places])
    fits = table[["fits_quota", "fits_nodes"]].astype("float64").min(axis=1)
    is_last = np.where(
        (table["question"] == NEXT_POD) & fits.notna(),
        fits <= table["pods"],
        (left == 0) & (table["pods"] != 0),
    )
    kind = table["verdict"].map(word)
    return table.assign(kind=kind.mask((kind == YES) & is_last, JUST), left=left, fits=fits)


def answer_words(answer: Answer) -> str:
    """Return an answer in a few words, with the amount that is short or to spare.

    Args:
        answer: a row of what `judged` returns.
    """
    kind, reason = answer["kind"], str(answer["reason"])
    if kind == UNKNOWN:
        return str(answer["verdict"])
    if kind == NONE:
        return reason
    if kind == NO:
        return _short_words(answer) if reason in _REASONS else _refused_words(reason)
    if answer["question"] == NEXT_POD:
        fits, size = answer["fits"], wording.cores(answer["pod_cpu"])
        is_one = "fits" if fits == 1 else "fit"
        return "fits" if wording.is_unknown(fits) else f"{fits:,.0f} of {size} {is_one}"
    if not answer["pods"]:
        return "at its maximum" if answer["question"] == AUTOSCALER else "replaces in place"
    if not answer["tightest"]:
        return "fits, no quota"
    return "exactly fits" if kind == JUST else f"{_amount(answer)} to spare"


def _short_words(answer: Answer) -> str:
    pods = wording.count(int(answer["unplaced_pods"] or 0), "pod") if _unplaced(answer) else ""
    if answer["reason"] == "nodes":
        return f"no node for {pods}"
    words = f"short {_amount(answer)}"
    return f"{words}, no node" if pods else words


def _refused_words(reason: str) -> str:
    """Return `must specify limits` for `must specify limits.cpu, limits.memory`."""
    words, _, keys = reason.partition("must specify ")
    kinds = dict.fromkeys(key.partition(".")[0] for key in keys.split(", "))
    return f"must specify {wording.listing([*kinds])}" if not words else reason


def _unplaced(answer: Answer) -> bool:
    return not wording.is_unknown(answer["unplaced_pods"]) and answer["unplaced_pods"] > 0


def _amount(answer: Answer) -> str:
    """Return what is short or to spare of the tightest value: `4 cores`, `2 GiB of limits`."""
    field, amount = str(answer["tightest"]), abs(answer["left"])
    if field == "pods":
        return wording.count(int(amount), "pod")
    return wording.quantity(field, amount) + (" of limits" if field.endswith("limit") else "")


def fit_finding(table: pd.DataFrame) -> str:
    """Return the finding without its full stop: how many cannot do what, how many are unknown."""
    own = own_answers(table)
    kinds = kinds_of(own)
    if not len(kinds):
        return "No namespace was found"
    total = wording.count(len(kinds), "namespace")
    has_unknown = (kinds == UNKNOWN).any(axis=1)
    unknown = int((has_unknown & ((kinds == UNKNOWN) | (kinds == NONE)).all(axis=1)).sum())
    if unknown == len(kinds):
        verdicts = own.loc[own["question"] == NEXT_POD, "verdict"]
        return wording.all_unknown(verdicts, unknown, "namespace")
    counts = dict(zip(QUESTIONS, (kinds == NO).sum(axis=0).tolist(), strict=True))
    failing = {question: counts[question] for question in _CANNOT}
    parts = [f"{number:,} {_CANNOT[q]}" for q, number in failing.items() if number]
    if parts:
        first, *more = parts
        number, _, words = first.partition(" ")
        title = ", ".join([f"{number} of {total} {words}", *more])
    else:
        title = f"All that was asked fits in {total}"
    return title + (f"; {unknown:,} {wording.are(unknown)} unknown" if unknown else "")


def fit_report(table: pd.DataFrame, *, limit: int = 20) -> Table:
    """Return the workloads for which something does not fit, and what decides, to read.

    The most urgent come first: those that cannot start the next pod, of these first whose pods are
    never let in, then by what is short, with memory at `BYTES_PER_CORE`.

    Args:
        table: from `capacity.fit.fit_table`.
        limit: rows shown; all are in the CSV.
    """
    failing = table[(table["verdict"] == NO) & (table["workload_name"] != "")]
    return Table(
        columns=[named("Namespace"), "Workload", "Question", *right("Pods"), "Answer", "Decides"],
        rows=[
            [
                Lines(row["namespace_name"], row["cluster_name"]),
                f"{row['workload_kind']} {row['workload_name']}",
                row["question"].replace("_", " "),
                int(row["pods"]),
                answer_tag(row),
                _REASONS.get(row["reason"], row["reason"]),
            ]
            for row in _most_urgent_first(failing).head(limit).to_dict("records")
        ],
        note=f"{wording.count(len(failing), 'answer')} of a workload {wording.are(len(failing))} "
        f"no. {_given_words(table)}All answers, in cores and bytes: tables/fit.csv.",
        limit=limit,
        empty="Every workload that could be asked fits.",
    )


def _most_urgent_first(failing: pd.DataFrame) -> pd.DataFrame:
    found = judged(failing)
    is_memory = found["tightest"].str.startswith("memory")
    left = found["left"].mask(is_memory, found["left"] / BYTES_PER_CORE)
    found = found.assign(asked=found["question"].map(QUESTIONS.index), left_cores=left)
    return found.sort_values(["asked", "left_cores"], kind="stable", na_position="first")


def _given_words(table: pd.DataFrame) -> str:
    """Return how many pods of the given size fit; empty where no size was given."""
    found = table[table["question"] == GIVEN_POD]
    known = found[found["verdict"].map(word) != UNKNOWN]
    if known.empty:
        return ""
    cpu, memory = (known[name].iloc[0] for name in ("pod_cpu", "pod_memory"))
    size = f"{wording.cores(cpu)} and {wording.memory(memory)}"
    by_cluster = known.groupby("cluster_name")["fits_nodes"].first().dropna()
    nodes = [f"{count:,.0f} on {name}" for name, count in by_cluster.items()]
    none = int((known["fits_quota"] == 0).sum())
    return (
        f"Of pods of {size} the nodes take {wording.examples(nodes, joint=', ') or 'unknown'}; "
        f"the quota of {none:,} of {wording.count(len(known), 'namespace')} takes none. "
    )


def answer_tag(answer: Answer) -> Tag:
    """Return a `judged` answer as a tag: symbol and words on the ground of its kind."""
    kind = answer["kind"]
    return Tag(f"{_SYMBOLS[kind]} {answer_words(answer)}", _TONES[kind])


def placement_finding(table: pd.DataFrame) -> str:
    """Return which cluster should take the next namespace, in a sentence."""
    if table.empty:
        return "No size was given, so no cluster was asked."
    best = table.to_dict("records")[0]
    size = f"{wording.quota('cpu', best['new_cpu'])} and "
    size += wording.quota("memory", best["new_memory"])
    where = f" in {best['new_region']}" if best["new_region"] else ""
    new = f"A new namespace with a quota of {size}{where}"
    if best["verdict"] == FITS:
        return f"{new} should go to {best['cluster_name']}: {_placement_words(best)}."
    if best["verdict"] == FITS_GROWN:
        return (
            f"{new} fits nowhere now; on {best['cluster_name']} once the autoscaler has added "
            f"nodes: {_placement_words(best)}."
        )
    unknown = int((table["verdict"].map(word) == UNKNOWN).sum())
    more = f"; {unknown:,} {wording.are(unknown)} unknown" if unknown else ""
    return f"{new} fits on no cluster that could be asked{more}."


def placement_report(table: pd.DataFrame) -> Stack:
    """Return which cluster should take the next namespace, and below it the order of all.

    Args:
        table: from `capacity.placement.placement_table`.
    """
    return Stack((placement_finding(table), placement_rows(table)))


def placement_rows(table: pd.DataFrame) -> Table:
    """Return the clusters in the order in which the next namespace should go to them, to read."""
    return Table(
        columns=[*right("Rank"), named("Cluster"), "Region", "Verdict", "Why", "Largest pod now"],
        rows=[
            [
                int(row["rank"]),
                row["cluster_name"],
                row["location"],
                _placement_tag(str(row["verdict"])),
                _placement_words(row),
                _largest_pod(row),
            ]
            for row in table.to_dict("records")
        ],
        note="Order: the verdict, then the share of the nodes that stays free, the smaller of CPU "
        "and memory. In cores and bytes: tables/placement.csv. "
        f"{region_sentence(table)}".rstrip(),
        empty="No size was given: set new_cpu and new_memory.",
    )


def _placement_tag(verdict: str) -> Tag:
    tones: dict[str, Any] = {FITS: "good", FITS_GROWN: "warning", FITS_NOT: "critical"}
    symbols = {FITS: "✓", FITS_GROWN: "!", FITS_NOT: "✕"}
    if verdict in tones:
        return Tag(f"{symbols[verdict]} {verdict}", tones[verdict])
    return tag(verdict)


def _placement_words(row: Answer) -> str:
    """Return why a cluster has its rank: what is left or short of both, and what decides."""
    if word(row["verdict"]) == UNKNOWN:
        return ""
    resource, _, limit = str(row["reason"]).partition(": ")
    if not limit:
        return str(row["reason"])
    grown = "grown_" if row["verdict"] == FITS_GROWN else ""
    left = {name: float(row[f"{grown}left_{name}"]) for name in ("cpu", "memory")}
    short = [wording.quantity(name, -amount) for name, amount in left.items() if amount < 0]
    by = {
        "N-1": "by what its nodes without the largest can carry",
        "promised": "by 1.5 × its nodes against what is promised",
    }[limit]
    if short:
        return f"short of {wording.listing(short)}, {by}"
    room = wording.listing([wording.quantity(name, amount) for name, amount in left.items()])
    return f"keeps room for {room}; {wording.RESOURCE_WORDS[resource]} decides, {by}"


def _largest_pod(row: Answer) -> str | None:
    if wording.is_unknown(row["largest_pod_cpu"]):
        return None
    cpu, memory = row["largest_pod_cpu"], row["largest_pod_memory"]
    return f"{wording.cores(cpu)}, {wording.memory(memory)}"
