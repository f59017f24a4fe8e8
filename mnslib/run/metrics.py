"""The last run of a notebook and environment as metrics, for node_exporter's textfile collector."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mnslib.results import OutcomeKind, RunStatus
from mnslib.run.project import name_part, write_whole


def item_counts(record: Mapping[str, Any]) -> dict[str, int]:
    """Return how many items of a run ended in each way, those that did not occur too."""
    told = [item.get("outcome") for item in record["items"]]
    return {kind.value: told.count(kind.value) for kind in OutcomeKind}


def write_metrics(directory: Path, record: Mapping[str, Any]) -> None:
    """Write `mnslib-<notebook>-<environment>.prom` beside a run directory, whole or not at all.

    Where these are written otherwise in a file's name, a digest tells them from their namesakes.
    """
    from mnslib.show.templates import render

    began, ended = (
        int(datetime.fromisoformat(record[name]).timestamp())
        for name in ("started_utc", "finished_utc")
    )
    facts = {"began": began, "ended": ended, "counts": item_counts(record)}
    text = render("metrics.txt.j2", record=record, statuses=[*RunStatus], **facts)
    own = [record["notebook"], record["environment"]]
    names = [*map(name_part, own)]
    if names != own or "-" in own[0]:
        names.append(hashlib.sha256("/".join(own).encode()).hexdigest()[:8])
    write_whole(directory.parent / f"mnslib-{'-'.join(names)}.prom", f"{text.rstrip()}\n")
