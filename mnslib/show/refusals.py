"""Refused pods to read: whose, what was short, what helps. Knows nothing of how it was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mnslib.capacity.decide import QUOTA_FIELD_OF
from mnslib.capacity.refusals import EXCEEDED, MISSING, WORKLOAD, refusal_findings
from mnslib.capacity.snapshot import Snapshot
from mnslib.errors import cut
from mnslib.show import wording
from mnslib.show.displays import Lines, Stack, Table, named, right

_FORGOTTEN = (
    "Kubernetes forgets an event an hour after it last happened: what was refused before does not "
    "show, and a count is the least it can have been."
)

_Row = Mapping[Any, Any]


def refusals_report(snapshot: Snapshot, table: pd.DataFrame, *, limit: int = 20) -> Stack:
    """Return whose pods were refused, with the smallest raise or what else helps.

    Args:
        snapshot: what was read; it says where events are unknown.
        table: from `capacity.refusals.refusals_table`.
        limit: workloads shown; all are in the CSV.
    """
    groups = [part.to_dict("records") for _, part in table.groupby(list(WORKLOAD), sort=False)]
    rows = Table(
        columns=[named("Workload"), "Owner", *right("Refused"), "Last", "Short of", "What helps"],
        rows=[
            [
                Lines(f"{rows[0]['workload_name']} ({rows[0]['workload_kind']})", _place(rows[0])),
                rows[0]["owner"],
                wording.count(rows[0]["count"], "time"),
                "unknown" if pd.isna(rows[0]["last_utc"]) else wording.moment(rows[0]["last_utc"]),
                short_of(rows),
                _remedy(rows),
            ]
            for rows in groups
        ],
        note=f"{_FORGOTTEN} All rows, in cores and bytes: tables/refusals.csv.",
        empty=_FORGOTTEN,
        limit=limit,
    )
    return Stack([f"{refusals_finding(snapshot, table)}.", rows])


def refusals_finding(snapshot: Snapshot, table: pd.DataFrame) -> str:
    """Return the finding without its full stop: whose pods were refused, and what is unknown."""
    unread = {place: why for (place, kind), why in snapshot.unread.items() if kind == "events"}
    unread = dict(sorted({**unread, **snapshot.unreachable}.items()))
    counts = refusal_findings(table)
    if counts["refused_workloads"]:
        worst = table.iloc[0]
        workloads = wording.count(counts["refused_workloads"], "workload")
        finding = f"Pods of {workloads} were refused, most often those of "
        finding += f"{worst['workload_name']} in {worst['namespace_name']}"
    elif unread and not snapshot.events:
        finding = "Whether pods were refused is unknown"
    else:
        finding = "No pod was refused within the last hour"
    if unread:
        said = [f"{place} ({why})" for place, why in unread.items()]
        finding += f"; unknown of {wording.examples(said, joint=', ')}"
    return finding


def short_of(rows: Sequence[_Row]) -> str:
    """Return what one pod was short of, or what its containers do not say."""
    first = rows[0]
    if first["problem"] == EXCEEDED:
        short = [row for row in rows if row["raise_one"] > 0]
        return "; ".join(map(_exceeded, short or rows)) + f" ({first['quota_name']})"
    if first["problem"] == MISSING:
        keys = wording.listing([row["key"] for row in rows])
        names = sorted({name for row in rows for name in row["containers"].split(",") if name})
        where = f" of {'container' if len(names) == 1 else 'containers'} {', '.join(names)}"
        return f"{keys}{where if names else ''}: not set"
    return cut(first["message"])


def _place(row: _Row) -> str:
    return f"{row['namespace_name']}, {row['cluster_name']}"


def _exceeded(row: _Row) -> str:
    name, what = QUOTA_FIELD_OF.get(row["key"], ""), row["key"]
    if name:
        what = wording.RESOURCE_WORDS[name]
        asks, used, limited = (
            wording.quota(name, row[column]) for column in ("pod_requested", "used", "limited")
        )
    else:
        asks, used, limited = (
            wording.exact(row[column]) for column in ("pod_requested", "used", "limited")
        )
    return f"{what}: a pod asks for {asks}, {used} of {limited} are taken"


def _remedy(rows: Sequence[_Row]) -> str | Lines:
    first = rows[0]
    if first["problem"] == MISSING:
        return "Set them on the containers, or add a LimitRange with defaults"
    if first["problem"] != EXCEEDED:
        return "Not the quota: read the message"
    one = [_value(row, "quota_one") for row in rows if row["raise_one"] > 0]
    every = [_value(row, "quota_all") for row in rows if row["raise_all"] > 0]
    pods = first["missing_pods"]
    if not every or not pods > 1:  # unknown is no more than one
        return ", ".join(one)
    return Lines(
        f"{', '.join(one)} for one pod", f"for all {int(pods)} missing: {', '.join(every)}"
    )


def _value(row: _Row, column: str) -> str:
    name = row["request_column"] or f"{row['quota_name']}: {row['key']}"
    return f"{name}={row[column]}"
