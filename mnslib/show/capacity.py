"""What the capacity questions found, as something to read.

Knows nothing of how it was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd

from mnslib import verdicts
from mnslib.capacity.evidence_words import GOOD_COVERAGE
from mnslib.capacity.quota_values import FULL, NO_QUOTA, OK, SPACE, TIGHT, TIGHT_RATIO
from mnslib.capacity.snapshot import Snapshot
from mnslib.capacity.utilization import tightest, verdict_counts
from mnslib.results import CheckResult, CheckStatus
from mnslib.show import wording
from mnslib.show.displays import (
    Callout,
    Cell,
    Figure,
    KeyFigures,
    Lines,
    Stack,
    Table,
    Tag,
    Tags,
    commitment_tag,
    named,
    right,
    tag,
)
from mnslib.show.tokens import Tone

FLOAT32_NOISE = 1e-6
"""Share by which a sample, kept in float32, may lie above what was counted."""

_VALUE = [*SPACE, "resource"]
_CHANGE = ["quota_changes", "changed_utc", "changed_from", "changed_to"]


def snapshot_report(snapshot: Snapshot) -> Table | Stack:
    """Return what was read of each cluster, and what was not, with the reason and the remedy."""
    reasons = snapshot.uncommitted
    clusters = snapshot.namespaces["cluster_name"]
    names = {*clusters, *snapshot.quotas, *reasons, *snapshot.no_history}
    spaces = snapshot.namespaces.groupby("cluster_name")["is_managed"]
    namespaces, managed = spaces.size(), spaces.sum()
    table = Table(
        columns=[named("Cluster"), "Namespaces", "Managed", "Quota objects", "Read", "History"],
        rows=[
            [
                name,
                int(namespaces.get(name, 0)),
                int(managed.get(name, 0)),
                _quota_objects(snapshot, name),
                tag(verdicts.unknown(reasons[name]) if name in reasons else "passed"),
                _history_tag(snapshot, name),
            ]
            for name in sorted(names)
        ],
        note=f"Read {wording.moment(snapshot.read_utc)}. {snapshot.history_note}",
        empty="No cluster was found.",
    )
    if not snapshot.errors:
        return table
    said: dict[str, list[str]] = {}
    for name, text in sorted(snapshot.errors.items()):
        # a failed query is quoted with the cluster's name in it
        said.setdefault(text.replace(f'cluster="{name}"', 'cluster="…"'), []).append(name)
    lines = [f"{', '.join(clusters)}: {text}" for text, clusters in said.items()]
    failed = Callout(title="Not everything was read", text="\n".join(lines), tone="warning")
    return Stack([table, failed])


def _quota_objects(snapshot: Snapshot, cluster: str) -> int | None:
    """Return how many there are; metrics tell of each of an object's values apart."""
    if cluster not in snapshot.quotas:
        return None
    return len({(quota.namespace_name, quota.name) for quota in snapshot.quotas[cluster]})


def _history_tag(snapshot: Snapshot, cluster: str) -> Tag | None:
    """Return whether a cluster has a history, or why not; None where none was asked for."""
    if cluster in snapshot.no_history:
        return tag(verdicts.unknown(snapshot.no_history[cluster]))
    frames = (snapshot.used, snapshot.requested, snapshot.usage_cpu, snapshot.usage_memory)
    has_any = any(cluster in frame.columns.unique(level=0) for frame in frames)
    return tag("passed") if has_any else None


def history_checks(snapshot: Snapshot) -> list[CheckResult]:
    """Return a warning with the clusters that have no history and why; none where all have one."""
    said: dict[str, list[str]] = {}
    for name, reason in sorted(snapshot.no_history.items()):
        said.setdefault(reason, []).append(name)
    if not said:
        return []
    whose = wording.count(len(snapshot.no_history), "cluster")
    lines = [f"{reason} ({wording.examples(names, joint=', ')})" for reason, names in said.items()]
    return [
        CheckResult(
            name=f"no history of {whose}",
            status=CheckStatus.WARNING,
            detail=f"{wording.listing(lines)}.",
        )
    ]


def utilization_finding(worst: pd.DataFrame) -> str:
    """Return the finding without its full stop: how many namespaces are full, tight, unknown.

    Args:
        worst: from `capacity.utilization.tightest`.
    """
    if worst.empty:
        return "No namespace was found"
    counts, total = verdict_counts(worst), wording.count(len(worst), "namespace")
    full, tight, unknown = counts[FULL], counts[TIGHT], counts[verdicts.UNKNOWN]
    if unknown == len(worst):
        return wording.all_unknown(worst["verdict"], len(worst), "namespace")
    if full:
        whose = "is at its quota" if full == 1 else "are at their quota"
        finding = f"{full:,} of {total} {whose} (no pod of any size starts)"
        finding += f", {tight:,} more {wording.are(tight)} at 90 % or above" if tight else ""
    elif tight:
        finding = f"No namespace is at its quota, {tight:,} of {total} {wording.are(tight)} "
        finding += "at 90 % or above"
    else:
        ratio = worst["utilization_ratio"].fillna(0).iloc[0]
        finding = f"No namespace is at its quota: the fullest of {len(worst):,} stands at "
        finding += wording.percent(ratio)
    bare = int((worst["verdict"] == NO_QUOTA).sum())
    if unknown:
        finding += f", {unknown:,} {wording.are(unknown)} unknown"
    if bare:
        finding += f" ({'all' if bare == unknown > 1 else f'{bare:,}'} without a quota)"
    return finding


def utilization_sentence(table: pd.DataFrame) -> str:
    """Return the finding in a sentence: how many namespaces are full, tight, unknown."""
    return f"{utilization_finding(tightest(table))}."


def utilization_report(table: pd.DataFrame) -> Stack:
    """Return the finding with its numbers."""
    worst = tightest(table)
    counts = verdict_counts(worst)
    labels: list[tuple[str, str, Tone]] = [
        (FULL, "full: no further pod starts", "critical"),
        (TIGHT, "at 90 % or above", "warning"),
        (OK, "under 90 %", "calm"),
        (verdicts.UNKNOWN, "unknown", "unknown"),
    ]
    figures = [
        Figure(
            counts[word],
            label,
            of=f"of {counts['namespaces']}" if word == FULL else "",
            tone=tone if counts[word] else "calm",
        )
        for word, label, tone in labels
    ]
    return Stack((f"{utilization_finding(worst)}.", KeyFigures(figures)))


def utilization_rows(table: pd.DataFrame, *, evidence: pd.DataFrame, limit: int = 10) -> Table:
    """Return the utilization table to read, the order of the frame kept.

    Args:
        table: from `capacity.utilization.utilization_table`.
        evidence: from `capacity.evidence.evidence_table`; tells which quotas changed.
        limit: rows shown; all are in the CSV.
    """
    shown = table.head(limit).merge(evidence[[*_VALUE, *_CHANGE]], on=_VALUE, how="left")
    right_columns = right("Hard", "Requested", "of hard", "Peak")
    return Table(
        columns=[named("Namespace"), "Owner", "Value", *right_columns, "Verdict"],
        rows=[
            [
                Lines(row["namespace_name"], row["cluster_name"]),
                row["owner"],
                wording.RESOURCE_WORDS[row["resource"]],
                wording.quota(row["resource"], row["hard"]),
                wording.quantity(row["resource"], row["used"]),
                wording.percent(row["utilization_ratio"]),
                wording.quantity(row["resource"], row["peak_used"]),
                Tags([tag(row["verdict"]), *_requoted(row), *_above_hard(row), *_partly_seen(row)]),
            ]
            for row in shown.to_dict("records")
        ],
        note="All of them, with all four values, in cores and bytes: tables/utilization.csv.",
        limit=limit,
        total=len(table),
    )


def _requoted(row: Mapping[Any, Any]) -> list[Tag]:
    """Return the mark of a quota that changed within the lookback, with its last change."""
    if not row["quota_changes"] > 0:
        return []
    before, after = (
        wording.quota(row["resource"], row[f"changed_{way}"]) for way in ("from", "to")
    )
    return [Tag(f"quota changed {wording.day(row['changed_utc'])} from {before} to {after}")]


def _above_hard(row: Mapping[Any, Any]) -> list[Tag]:
    """Return the mark of a peak above the quota of now, with the quota it was under."""
    resource, hard, peak = row["resource"], row["hard"], row["peak_used"]
    if not peak > hard * (1 + FLOAT32_NOISE):
        return []
    words = f"peak {wording.quantity(resource, peak)} was "
    if row["peak_hard"] > hard * (1 + FLOAT32_NOISE):
        words += f"under an older quota of {wording.quota(resource, row['peak_hard'])}"
    else:
        words += "above this quota"
    return [Tag(f"! {words}", "warning")]


def _partly_seen(row: Mapping[Any, Any]) -> list[Tag]:
    """Return the mark of a peak that was looked for in a part of the time only."""
    if wording.is_unknown(row["peak_used"]) or not row["coverage"] < GOOD_COVERAGE:
        return []
    return [Tag(f"? peak: only {wording.percent(row['coverage'])} of the time was seen", "unknown")]


def commitment_rows(table: pd.DataFrame) -> Table:
    """Return what each cluster has promised, to read.

    Args:
        table: from `capacity.clusters.commitment_table`.
    """
    amounts = right("Nodes give", "Promised", "÷ nodes", "÷ maximum", "Requested", "÷ N−1", "Used")
    return Table(
        columns=[named("Cluster"), "Resource", *amounts, "Verdict", "At autoscaler maximum"],
        rows=[
            [
                row["cluster_name"],
                wording.RESOURCE_WORDS[row["resource"]],
                wording.quantity(row["resource"], row["allocatable"]),
                wording.quantity(row["resource"], row["committed"]),
                wording.times(row["committed_ratio"]),
                _at_most(row),
                wording.quantity(row["resource"], row["requested"]),
                wording.times(row["requested_ratio"]),
                wording.quantity(row["resource"], row["usage"]),
                _commitment_tag(row),
                _at_most_verdict(row),
            ]
            for row in table.to_dict("records")
        ],
        note=f"{wording.ROOM} In cores and bytes: tables/commitment.csv, where the "
        'verdict "overcommit" is what cannot lose a node, and "quota overcommit" what promises '
        "over 1.5 × what it has.",
    )


def _at_most(row: Mapping[Any, Any]) -> str | None:
    ratio = row["autoscaled_committed_ratio"]
    return None if wording.is_unknown(ratio) else wording.times(ratio)


def _at_most_verdict(row: Mapping[Any, Any]) -> Tag | None:
    verdict = row["autoscaled_verdict"]
    return commitment_tag(verdict, row["autoscaled_committed_ratio"]) if verdict else None


def _commitment_tag(row: Mapping[Any, Any]) -> Tag:
    if row["verdict"] == "room":
        return tag(wording.room(row["resource"], row["headroom"]))
    return commitment_tag(row["verdict"], row["committed_ratio"])


def daily_rows(daily: pd.DataFrame, *, limit: int = 10) -> Table:
    """Return how many days each namespace spent at or near its tightest quota value, to read.

    Args:
        daily: from `capacity.daily.daily_peaks`; its order is kept, which is that of the chart.
        limit: rows shown; all are in the CSV.
    """
    labels: list[Any] = daily.columns.tolist()
    days = [label for label in labels if isinstance(label, date)]
    counts = (
        "Days full",
        "Days at 90 % or above",
        "Days without samples",
        "Days before it existed",
    )
    return Table(
        columns=[named("Namespace"), "Tightest value", *right(*counts, "Highest day")],
        rows=[
            [
                Lines(row["namespace_name"], row["cluster_name"]),
                wording.RESOURCE_WORDS.get(row["resource"]),
                *_day_counts(row, days),
            ]
            for row in daily.head(limit).to_dict("records")
        ],
        note="All of them, day by day: tables/daily.csv.",
        limit=limit,
        total=len(daily),
    )


def _day_counts(row: Mapping[Any, Any], days: Sequence[date]) -> list[Cell]:
    """Return days full, at 90 %, without samples and before it was there, and the highest."""
    born = None if pd.isna(row["first_seen"]) else row["first_seen"]
    existing = [day for day in days if born is None or day >= born]
    peaks = [row[day] for day in existing if not wording.is_unknown(row[day])]
    if not peaks:
        word = wording.UNKNOWN if born is None else "new, no history yet"
        return [None, None, len(existing), len(days) - len(existing), word]
    return [
        sum(peak >= 1 for peak in peaks),
        sum(peak >= float(TIGHT_RATIO) for peak in peaks),
        len(existing) - len(peaks),
        len(days) - len(existing),
        wording.percent(max(peaks)),
    ]
