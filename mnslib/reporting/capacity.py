"""What the capacity questions found, as something to read, and as CSV in cores and bytes.

Knows nothing of how it was read. Text in a CSV is neutralized, so that no spreadsheet runs it.
"""

from __future__ import annotations

import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity.snapshot import Snapshot
from mnslib.capacity.utilization import (
    FULL,
    NO_QUOTA,
    TIGHT,
    TIGHT_RATIO,
    UNKNOWN,
    findings,
    tightest,
)
from mnslib.reporting import wording
from mnslib.reporting.displays import (
    Cell,
    Column,
    Figure,
    KeyFigures,
    Lines,
    Stack,
    Table,
    tag,
)

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
    spaces = snapshot.namespaces
    names = sorted({*map(str, spaces["cluster_name"]), *snapshot.unreachable})
    rows: list[list[Cell]] = []
    for name in names:
        mine = spaces[spaces["cluster_name"] == name]
        reason = snapshot.unreachable.get(name) or snapshot.no_commitment.get(name)
        rows.append(
            [
                name,
                len(mine),
                int(mine["is_managed"].sum()),
                len(snapshot.quotas[name]) if name in snapshot.quotas else None,
                tag(f"unknown: {reason}") if reason else tag("passed"),
            ]
        )
    columns: list[str | Column] = [
        Column("Cluster", header=True),
        "Namespaces",
        "Managed",
        "Quota objects",
        "Read",
    ]
    note = f"Read {wording.moment(snapshot.read_utc)}. {snapshot.history_note}"
    return Table(columns=columns, rows=rows, note=note, empty="No cluster was found.")


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
    figures: list[Figure] = [
        Figure(
            counts["full"],
            "full: no further pod starts",
            of=f"of {counts['namespaces']}",
            tone="critical" if counts["full"] else "calm",
        ),
        Figure(counts["tight"], "at 90 % or above", tone="warning" if counts["tight"] else "calm"),
        Figure(counts["ok"], "under 90 %"),
        Figure(counts["unknown"], "unknown", tone="unknown" if counts["unknown"] else "calm"),
    ]
    return Stack((utilization_sentence(table), KeyFigures(figures)))


def utilization_rows(table: pd.DataFrame, *, limit: int = 20) -> Table:
    """Return the utilization table to read, the order of the frame kept.

    Args:
        table: from `capacity.utilization.utilization_table`.
        limit: rows shown; all are in the CSV.
    """
    rows: list[list[Cell]] = [
        [
            Lines(str(row["namespace_name"]), str(row["cluster_name"])),
            wording.RESOURCE_WORDS[str(row["resource"])],
            wording.quota(str(row["resource"]), row["hard"]),
            wording.quantity(str(row["resource"]), row["used"]),
            wording.percent(row["utilization_ratio"]),
            wording.quantity(str(row["resource"]), row["peak_used"]),
            tag(str(row["verdict"])),
        ]
        for row in table.to_dict("records")
    ]
    columns: list[str | Column] = [
        Column("Namespace", header=True),
        "Value",
        Column("Hard", align="right"),
        Column("Requested", align="right"),
        Column("of hard", align="right"),
        Column("Peak", align="right"),
        "Verdict",
    ]
    note = "All rows, in cores and bytes: tables/utilization.csv."
    return Table(columns=columns, rows=rows, note=note, limit=limit)


def commitment_rows(table: pd.DataFrame) -> Table:
    """Return what each cluster has promised, to read.

    Args:
        table: from `capacity.utilization.commitment_table`.
    """
    rows: list[list[Cell]] = [
        [
            row["cluster_name"],
            wording.RESOURCE_WORDS[str(row["resource"])],
            wording.quantity(str(row["resource"]), row["allocatable"]),
            wording.quantity(str(row["resource"]), row["committed"]),
            wording.times(row["committed_ratio"]),
            wording.quantity(str(row["resource"]), row["requested"]),
            wording.times(row["requested_ratio"]),
            wording.quantity(str(row["resource"]), row["used"]),
            tag(str(row["verdict"])),
        ]
        for row in table.to_dict("records")
    ]
    columns: list[str | Column] = [
        Column("Cluster", header=True),
        "Resource",
        Column("Nodes give", align="right"),
        Column("Promised", align="right"),
        Column("÷ nodes", align="right"),
        Column("Requested", align="right"),
        Column("÷ N−1", align="right"),
        Column("Used", align="right"),
        "Verdict",
    ]
    note = "In cores and bytes: tables/commitment.csv."
    return Table(columns=columns, rows=rows, note=note)


def daily_rows(daily: pd.DataFrame, *, limit: int = 20) -> Table:
    """Return how many days each namespace spent at or near its quota, to read.

    Args:
        daily: from `capacity.utilization.daily_peaks`.
        limit: rows shown; all are in the CSV.
    """
    labels: list[object] = list(daily.columns)
    days = [label for label in labels if isinstance(label, date)]
    peaks = daily[days].to_numpy(dtype=float)
    rows: list[list[Cell]] = [
        [
            Lines(str(row["namespace_name"]), str(row["cluster_name"])),
            int((found >= 1).sum()),
            int((found >= float(TIGHT_RATIO)).sum()),
            int(np.isnan(found).sum()),
            wording.percent(None if np.isnan(found).all() else float(np.nanmax(found))),
        ]
        for row, found in zip(daily.to_dict("records"), peaks, strict=True)
    ]
    columns: list[str | Column] = [
        Column("Namespace", header=True),
        Column("Days full", align="right"),
        Column("Days at 90 % or more", align="right"),
        Column("Days without samples", align="right"),
        Column("Highest", align="right"),
    ]
    return Table(columns=columns, rows=rows, note="Day by day: tables/daily.csv.", limit=limit)
