"""What the capacity questions found, as something to read, and as CSV in cores and bytes.

Knows nothing of how it was read. Text in a CSV is neutralized, so that no spreadsheet runs it.
"""

from __future__ import annotations

import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from mnslib.capacity.snapshot import Snapshot
from mnslib.capacity.utilization import (
    FULL,
    NO_QUOTA,
    OK,
    TIGHT,
    TIGHT_RATIO,
    UNKNOWN,
    findings,
    tightest,
)
from mnslib.reporting import wording
from mnslib.reporting.displays import (
    Figure,
    KeyFigures,
    Lines,
    Stack,
    Table,
    named,
    right,
    tag,
)
from mnslib.reporting.tokens import Tone

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Text that a spreadsheet would run. Source: OWASP, "CSV Injection"."""


def neutral(cell: Any) -> Any:
    """Return the cell so that no spreadsheet takes it for a formula; numbers stay numbers."""
    if not isinstance(cell, str):
        return cell
    plain = unicodedata.normalize("NFKC", cell).lstrip("\ufeff \t\r\n\xa0")
    if cell.startswith(FORMULA_STARTS) or plain.startswith(FORMULA_STARTS):
        return "'" + cell
    return cell


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write the frame with its column names; an unknown number is an empty cell, never 0."""
    safe = table.map(neutral)
    safe.to_csv(path, index=False, encoding="utf-8", date_format="%Y-%m-%dT%H:%M:%SZ")


def snapshot_report(snapshot: Snapshot) -> Table:
    """Return what was read of each cluster, and what was not, with the reason."""
    reasons = {**snapshot.no_commitment, **snapshot.unreachable}
    spaces = snapshot.namespaces.groupby("cluster_name")["is_managed"]
    namespaces, managed = spaces.size(), spaces.sum()
    return Table(
        columns=[named("Cluster"), "Namespaces", "Managed", "Quota objects", "Read"],
        rows=[
            [
                name,
                int(namespaces.get(name, 0)),
                int(managed.get(name, 0)),
                len(snapshot.quotas[name]) if name in snapshot.quotas else None,
                tag(f"unknown: {reasons[name]}" if name in reasons else "passed"),
            ]
            for name in sorted({*map(str, namespaces.index), *snapshot.quotas, *reasons})
        ],
        note=f"Read {wording.moment(snapshot.read_utc)}. {snapshot.history_note}",
        empty="No cluster was found.",
    )


def utilization_finding(table: pd.DataFrame) -> str:
    """Return the finding without its full stop: how many namespaces are full, tight, unknown."""
    worst = tightest(table)
    if worst.empty:
        return "No namespace was found"
    counts, total = findings(table), wording.count(len(worst), "namespace")
    full, tight, unknown = counts[FULL], counts[TIGHT], counts[UNKNOWN]
    if unknown == len(worst):
        return wording.all_unknown(worst["verdict"], len(worst), "namespace")
    if full:
        finding = f"{full:,} of {total} can start no further pod"
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
    return f"{utilization_finding(table)}."


def utilization_report(table: pd.DataFrame) -> Stack:
    """Return the finding with its numbers."""
    counts = findings(table)
    labels: list[tuple[str, str, Tone]] = [
        (FULL, "full: no further pod starts", "critical"),
        (TIGHT, "at 90 % or above", "warning"),
        (OK, "under 90 %", "calm"),
        (UNKNOWN, "unknown", "unknown"),
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
    return Stack((utilization_sentence(table), KeyFigures(figures)))


def utilization_rows(table: pd.DataFrame, *, limit: int = 20) -> Table:
    """Return the utilization table to read, the order of the frame kept.

    Args:
        table: from `capacity.utilization.utilization_table`.
        limit: rows shown; all are in the CSV.
    """
    right_columns = right("Hard", "Requested", "of hard", "Peak")
    return Table(
        columns=[named("Namespace"), "Value", *right_columns, "Verdict"],
        rows=[
            [
                Lines(row["namespace_name"], row["cluster_name"]),
                wording.RESOURCE_WORDS[row["resource"]],
                wording.quota(row["resource"], row["hard"]),
                wording.quantity(row["resource"], row["used"]),
                wording.percent(row["utilization_ratio"]),
                wording.quantity(row["resource"], row["peak_used"]),
                tag(row["verdict"]),
            ]
            for row in table.to_dict("records")
        ],
        note="All rows, in cores and bytes: tables/utilization.csv.",
        limit=limit,
    )


def commitment_rows(table: pd.DataFrame) -> Table:
    """Return what each cluster has promised, to read.

    Args:
        table: from `capacity.utilization.commitment_table`.
    """
    amounts = right("Nodes give", "Promised", "÷ nodes", "Requested", "÷ N−1", "Used")
    return Table(
        columns=[named("Cluster"), "Resource", *amounts, "Verdict"],
        rows=[
            [
                row["cluster_name"],
                wording.RESOURCE_WORDS[row["resource"]],
                wording.quantity(row["resource"], row["allocatable"]),
                wording.quantity(row["resource"], row["committed"]),
                wording.times(row["committed_ratio"]),
                wording.quantity(row["resource"], row["requested"]),
                wording.times(row["requested_ratio"]),
                wording.quantity(row["resource"], row["used"]),
                tag(wording.commitment_verdict(row["verdict"], row["committed_ratio"])),
            ]
            for row in table.to_dict("records")
        ],
        note="In cores and bytes: tables/commitment.csv.",
    )


def daily_rows(daily: pd.DataFrame, *, limit: int = 20) -> Table:
    """Return how many days each namespace spent at or near its quota, to read.

    Args:
        daily: from `capacity.utilization.daily_peaks`.
        limit: rows shown; all are in the CSV.
    """
    labels: list[Any] = daily.columns.tolist()
    days = [label for label in labels if isinstance(label, date)]
    peaks = daily[days].astype("float64")
    counts = right("Days full", "Days at 90 % or more", "Days without samples", "Highest")
    found = zip(
        daily["namespace_name"],
        daily["cluster_name"],
        (peaks >= 1).sum(axis=1),
        (peaks >= float(TIGHT_RATIO)).sum(axis=1),
        peaks.isna().sum(axis=1),
        peaks.max(axis=1),
        strict=True,
    )
    return Table(
        columns=[named("Namespace"), *counts],
        rows=[
            [Lines(name, cluster), int(full), int(tight), int(none), wording.percent(highest)]
            for name, cluster, full, tight, none, highest in found
        ],
        note="Day by day: tables/daily.csv.",
        limit=limit,
    )
