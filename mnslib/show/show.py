"""One question, one answer: of an analysis and a name, the finding, its picture and its table.

`show(tables, "utilization")` is what a cell of notebook 40 and `usage.show` in a blank notebook
return. Knows which displays belong together; makes no figure and draws nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mnslib.capacity.tables import Tables
from mnslib.errors import ConfigError, nearest
from mnslib.show.displays import Names, Sentence, Stack, Table

if TYPE_CHECKING:
    import pandas as pd


def show(tables: Tables, name: str) -> Stack:
    """Return what an analysis answers to one question.

    Args:
        name: one of `VIEWS`.

    Raises:
        ConfigError: if there is no such view; names those that are.
    """
    if name not in VIEWS:
        near = nearest(name, VIEWS)
        raise ConfigError(
            f"There is no view {name!r}: {f'did you mean {near}?' if near else 'write one of'} "
            f"{', '.join(VIEWS)}."
        )
    return Stack(tuple(VIEWS[name](tables)))


def pictures(shown: Any) -> Iterator[Any]:
    """Yield the charts in what a cell shows."""
    parts = [part for part, _ in shown.outputs()] if isinstance(shown, Stack) else [shown]
    yield from (part for part in parts if hasattr(part, "svg"))


def _folded(fold: str, *parts: Any) -> Stack:
    return Stack(parts, fold)


def _drawn(chart: Any, rows: pd.DataFrame) -> Any:
    """Return a chart, or, where there is nothing to draw, what it says of that."""
    return Sentence(f"{chart.alt}", is_empty=True) if rows.empty else chart


def _decisions(tables: Tables) -> Iterator[Any]:
    from mnslib.show.decisions import decisions

    yield decisions(tables.decided)


def _changed(tables: Tables) -> Iterator[Any]:
    from mnslib.show.changed import changes_report

    yield changes_report(tables.changed, tables.earlier)


def _utilization(tables: Tables) -> Iterator[Any]:
    from mnslib.capacity.utilization import tightest
    from mnslib.show.capacity import daily_rows, utilization_rows
    from mnslib.show.charts import utilization_heatmap, utilization_now
    from mnslib.show.evidence import crossings_rows

    table, snapshot = tables.utilization, tables.snapshot
    worst, note = tightest(table), snapshot.history_note
    yield utilization_now(table, moment=snapshot.read_utc, note=note)
    yield _folded("Fullest now, as a table", utilization_rows(worst, evidence=tables.evidence))
    yield _folded(
        "Since when, and how often: the highest share of each day",
        utilization_heatmap(tables.daily, period=snapshot.period, note=note),
        daily_rows(tables.daily),
    )
    yield _folded("When 90 % and the quota were reached and left", crossings_rows(tables.crossings))
    names = sorted(set(snapshot.namespaces["namespace_name"]))
    yield Names("All namespaces that were read", names)


def _efficiency(tables: Tables) -> Iterator[Any]:
    from mnslib.capacity.layers import absent_labels
    from mnslib.show.charts import layers_over_time, quadrant, three_layers
    from mnslib.show.layers import advice_rows, layers_rows, roll_up_rows

    layers, moment, note = tables.layers, tables.snapshot.read_utc, tables.snapshot.history_note
    yield _folded(
        "What is committed, requested and used", three_layers(layers, moment=moment, note=note)
    )
    absent = absent_labels(layers, tables.group_by)
    yield _folded("Who holds what", roll_up_rows(tables.sums["by_owner"], absent=absent))
    yield _folded(
        "Shrink, grow, fix requests or healthy",
        quadrant(layers, moment=moment, note=note),
        advice_rows(layers),
    )
    yield _folded(
        "Day by day, all namespaces together",
        layers_over_time(tables.layers_by_day, layers, moment=moment, note=note),
    )
    yield _folded("Memory, most idle first", layers_rows(layers, resource="memory"))


def _blocked(tables: Tables) -> Iterator[Any]:
    from mnslib.show.charts import state_grid
    from mnslib.show.refusals import refusals_report
    from mnslib.show.room import fit_report

    yield refusals_report(tables.snapshot, tables.refusals)
    yield _folded(
        "What still fits: the next pod, a rolling update, the autoscaler's maximum",
        state_grid(tables.fit, moment=tables.snapshot.read_utc),
        fit_report(tables.fit),
    )


def _clusters(tables: Tables) -> Iterator[Any]:
    from mnslib.show.capacity import commitment_rows
    from mnslib.show.charts import cluster_commitment
    from mnslib.show.room import placement_report

    table, snapshot = tables.commitment, tables.snapshot
    yield cluster_commitment(table, moment=snapshot.read_utc, note=snapshot.history_note)
    yield _folded("Commitment, as a table", commitment_rows(table))
    yield _folded("Which cluster takes the next namespace", placement_report(tables.placement))


def _evidence(tables: Tables) -> Iterator[Any]:
    from mnslib.show.capacity import snapshot_report
    from mnslib.show.evidence import evidence_report

    yield _folded("What was read of each cluster", snapshot_report(tables.snapshot))
    yield _folded("What holds, and what does not", evidence_report(tables.evidence))


def _files(tables: Tables) -> Iterator[Any]:
    files = Table(
        columns=["Table", "Rows"],
        rows=[[f"tables/{name}.csv", len(table)] for name, table in tables.all().items()],
        note="All of them, a sheet each: tables/tables.xlsx. Cores and bytes.",
    )
    yield _folded("Files with all figures", files)


VIEWS: dict[str, Callable[[Tables], Iterator[Any]]] = {
    "decisions": _decisions,
    "changed": _changed,
    "utilization": _utilization,
    "efficiency": _efficiency,
    "blocked": _blocked,
    "clusters": _clusters,
    "evidence": _evidence,
    "files": _files,
}
"""What can be shown of an analysis, in the order of the report."""
