"""The last run of a notebook and environment as metrics, for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mnslib.results import OutcomeKind, RunStatus
from mnslib.run.project import write_whole


def item_counts(record: Mapping[str, Any]) -> dict[str, int]:
    """Return how many items of a run ended in each way, those that did not occur too."""
    told = [item.get("outcome") for item in record["items"]]
    return {kind.value: told.count(kind.value) for kind in OutcomeKind}


def write_metrics(directory: Path, record: Mapping[str, Any]) -> None:
    """Write `mnslib-<notebook>-<environment>.prom` beside a run directory, whole or not at all."""
    from mnslib.show.templates import render

    began, ended = (
        int(datetime.fromisoformat(record[name]).timestamp())
        for name in ("started_utc", "finished_utc")
    )
    facts = {"began": began, "ended": ended, "counts": item_counts(record)}
    text = render("metrics.txt.j2", record=record, statuses=[*RunStatus], **facts)
    name = directory.name.partition("Z-")[2].partition(".")[0]  # without the second's number
    write_whole(directory.parent / f"mnslib-{name}.prom", f"{text.rstrip()}\n")
