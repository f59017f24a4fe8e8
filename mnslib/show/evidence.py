"""How far the figures can be trusted, and when quotas were reached, as something to read.

Rows that need somebody come with what to do; what many namespaces share is one row.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from mnslib.capacity.daily import THRESHOLDS
from mnslib.capacity.evidence import evidence_counts
from mnslib.capacity.evidence_words import EVIDENCE, NEEDS_SOMEBODY
from mnslib.capacity.quota_values import SPACE
from mnslib.show import wording
from mnslib.show.displays import (
    Figure,
    KeyFigures,
    Lines,
    Stack,
    Table,
    Tag,
    named,
    right,
)
from mnslib.show.tokens import Tone

FEW_NAMESPACES = 3
"""Namespaces with the same reason that are still told apart; of more, so many are named."""

_REMEDIES = {
    "wrong counter": "Change a value of the quota and set it back: then Kubernetes counts anew. "
    "Until then it refuses pods by this counter.",
    "dead sensor": "Restart what measures it: kube-state-metrics for quotas, the metrics add-on "
    "of the nodes for use.",
    "all zero": "See whether pods run there, or let this run list pods.",
    "not read": "See what was read, above.",
    "not counted": "Run again in some minutes; if it stays, look at the quota's events.",
    "stale": "See whether the cluster still sends kube_resourcequota to the metrics' store; where "
    "it sends zeros, restart kube-state-metrics.",
    "no history": "Wait if the quota is younger than its first sample would be; else see whether "
    "the cluster sends its metrics, kube_resourcequota among them.",
    "gaps": "Nothing to mend afterwards; a peak in the gap is unseen.",
}
_COUNTED = {"gaps": "with gaps", "no history": "without history"}
_NOW_UNKNOWN = ("wrong counter", "all zero", "not read", "not counted")


def _finding(counts: Mapping[str, int]) -> str:
    """Return in a sentence how many namespaces can be trusted as they stand, and what is not."""
    total, bad = sum(counts.values()), {w: counts[w] for w in NEEDS_SOMEBODY if w in counts}
    if not total:
        return "No namespace was found."
    if not bad:
        return f"Nothing speaks against the figures of {wording.count(total, 'namespace')}."
    words = [counted_words(word, amount) for word, amount in bad.items()]
    amount = sum(bad.values())
    needs = "needs" if amount == 1 else "need"
    return f"{amount:,} of {wording.count(total, 'namespace')} {needs} somebody: " + (
        f"{wording.listing(words)}."
    )


def counted_words(word: str, amount: int) -> str:
    """Return how many namespaces a word of evidence is said of: `2 dead sensors`, `1 with gaps`."""
    if word in ("wrong counter", "dead sensor"):
        return wording.count(amount, word)
    return f"{amount:,} {_COUNTED.get(word, word)}"


def evidence_report(evidence: pd.DataFrame) -> Stack:
    """Return the finding, the shares, and the rows that need somebody with what to do.

    Args:
        evidence: from `capacity.evidence.evidence_table`.
    """
    counts = evidence_counts(evidence)
    total = sum(counts.values())
    bad = {word: counts.get(word, 0) for word in NEEDS_SOMEBODY}
    now = sum(bad[word] for word in _NOW_UNKNOWN)
    past = sum(bad.values()) - now
    fine = {word: counts.get(word, 0) for word in EVIDENCE if word not in NEEDS_SOMEBODY}
    figures: list[tuple[int, str, Tone]] = [
        (fine["sound"] + fine["no pods"], "sound", "calm"),
        (fine["quota changed"] + fine["new"] + fine["too short"],
         "sound, but new, too short, or with a changed quota", "calm"),
        (past, "with gaps, a dead sensor or no history", "warning"),
        (now, "unknown now", "unknown"),
        (fine["no quota"], "without a quota", "calm"),
    ]  # fmt: skip
    shown = [
        Figure(amount, label, of=f"of {total:,}" if not place else "", tone=tone)
        for place, (amount, label, tone) in enumerate(figures)
        if amount or not place
    ]
    return Stack((_finding(counts), KeyFigures(shown), _rows(evidence)))


def _rows(evidence: pd.DataFrame) -> Table:
    bad = evidence[evidence["evidence"].isin(NEEDS_SOMEBODY)]
    ranks = {word: place for place, word in enumerate(EVIDENCE)}
    groups = sorted(
        _grouped(bad), key=lambda found: (ranks[found[2]], -found[5], found[1], found[0])
    )
    return Table(
        columns=[named("Namespace"), "Value", "Evidence", "What is wrong", "What to do"],
        rows=[
            [
                Lines(name, cluster),
                value,
                Tag(f"? {word}", "unknown"),
                reason,
                _REMEDIES[word],
            ]
            for name, cluster, word, reason, value, _ in groups
        ],
        caption="What needs somebody" if len(bad) else "",
        note="Every namespace and value: tables/evidence.csv.",
        empty="Nothing needs somebody: every value was read, counted and measured as it should be.",
    )


def _grouped(bad: pd.DataFrame) -> list[tuple[str, str, str, str, str, int]]:
    """Return name or names, cluster, word, reason, values and how many namespaces share them."""
    spaces: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for row in bad.to_dict("records"):
        key = (row["cluster_name"], row["namespace_name"], row["evidence"])
        spaces.setdefault(key, []).append((row["resource"], row["reason"]))
    shared: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for (cluster, name, word), found in spaces.items():
        value = wording.listing([wording.RESOURCE_WORDS[resource] for resource, _ in found])
        value = "all values" if len(found) > FEW_NAMESPACES else value
        shared.setdefault((word, found[0][1], value), []).append((cluster, name))
    groups = []
    for (word, reason, value), places in shared.items():
        if len(places) > FEW_NAMESPACES:
            first = ", ".join(name for _, name in places[:FEW_NAMESPACES])
            title = f"{wording.count(len(places), 'namespace')}: {first} …"
            clusters = dict.fromkeys(cluster for cluster, _ in places)
            where = wording.count(len(clusters), "cluster") if len(clusters) > 1 else places[0][0]
            groups.append((title, where, word, reason, value, len(places)))
        else:
            groups += [(name, cluster, word, reason, value, 1) for cluster, name in places]
    return groups


def crossings_rows(crossings: pd.DataFrame, *, limit: int = 20) -> Table:
    """Return the latest time each quota value was reached or left, the newest first, to read.

    Args:
        crossings: from `capacity.daily.crossings_table`.
        limit: rows shown; all are in the CSV.
    """
    value = [*SPACE, "resource"]
    times = crossings[crossings["direction"] == "up"].groupby([*value, "threshold"]).size()
    last = crossings.sort_values(["crossed_utc", "threshold"]).drop_duplicates(value, keep="last")
    last = last.sort_values(["crossed_utc", *value], ascending=[False, True, True, True])
    return Table(
        columns=[
            named("Namespace"), "Value", "Last crossing", "When",
            *right("Requested", "Quota then", "Reached 90 %", "Reached 100 %"),
        ],
        rows=[
            [
                Lines(row["namespace_name"], row["cluster_name"]),
                wording.RESOURCE_WORDS[row["resource"]],
                _crossing_tag(row["threshold"], row["direction"]),
                _when(row["crossed_utc"], row["within_minutes"], is_over_gap=row["is_over_gap"]),
                wording.quantity(row["resource"], row["used"]),
                wording.quota(row["resource"], row["hard"]),
                *(int(times.get((*(row[name] for name in value), at), 0)) for at in THRESHOLDS),
            ]
            for row in last.head(limit).to_dict("records")
        ],
        note="Each crossing, up and down: tables/crossings.csv.",
        empty="No quota was reached or left in the lookback.",
        limit=limit,
        total=len(last),
    )  # fmt: skip


def _crossing_tag(threshold: float, direction: str) -> Tag:
    share = wording.percent(threshold)
    if direction == "down":
        return Tag(f"fell below {share}", "calm")
    return Tag(f"came to {share}", "critical" if threshold >= 1 else "warning")


def _when(moment: pd.Timestamp, minutes: int, *, is_over_gap: bool) -> str:
    text = wording.moment(moment.to_pydatetime())
    hours = f"{minutes // 60} hours" if minutes >= 120 else f"{minutes} minutes"
    return f"{text}, or in the {hours} without samples before it" if is_over_gap else text
