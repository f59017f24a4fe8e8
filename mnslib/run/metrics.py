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

    labels = {name: record[name] for name in ("notebook", "environment", "target")}
    of = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    numbers = {_escaped(k): v for k, v in record["summary"].items() if isinstance(v, int | float)}
    started, ended = (
        int(datetime.fromisoformat(record[name]).timestamp())
        for name in ("started_utc", "finished_utc")
    )
    text = render(
        "metrics.txt.j2",
        of=of,
        exit_code=record["exit_code"],
        status=record["status"],
        statuses=[*RunStatus],
        started=started,
        ended=ended,
        item_counts=item_counts(record),
        figures={name: float(number) for name, number in numbers.items()},
    )
    name = directory.name.partition("Z-")[2].partition(".")[0]  # without the second's number
    write_whole(directory.parent / f"mnslib-{name}.prom", text.rstrip("\n") + "\n")


def _escaped(value: str) -> str:
    """Return the value of a label as both formats write it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
