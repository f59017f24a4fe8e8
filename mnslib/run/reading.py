"""The run of a notebook that only reads: what was read, its tables, what is shown of them.

What is judged is judged in `capacity`. Tables are written by a thread while the next cells compute;
the record makes and saves those that no cell asked for, and waits.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mnslib
from mnslib.capacity.changed import Earlier, new_findings, read_earlier
from mnslib.capacity.layers import absent_labels
from mnslib.capacity.refusals import refusal_findings
from mnslib.capacity.summaries import utilization_findings
from mnslib.capacity.tables import Tables
from mnslib.capacity.utilization import verdict_counts
from mnslib.errors import ConfigError
from mnslib.results import CheckResult, RunStatus
from mnslib.run.project import write_whole
from mnslib.run.record import Run
from mnslib.run.runs import (
    SNAPSHOT_FOLDER,
    SOURCES,
    TABLES_FOLDER,
    differences,
    find_run,
    last_alike,
    record_of,
)
from mnslib.run.steps import read_usage
from mnslib.show.displays import Sentence, Stack, Table
from mnslib.show.show import show
from mnslib.show.templates import render_part
from mnslib.show.views import reading_checks, said

if TYPE_CHECKING:
    import pandas as pd

    from mnslib.capacity.snapshot import Snapshot
    from mnslib.show.cells import TextColumn

WORKBOOK = "tables.xlsx"
"""Of the folder with the tables: all of them."""

FOR_LATER_CELLS = (
    "mnslib.capacity.store",
    "mnslib.show.cells",
    "mnslib.show.owner_pages",
    "mnslib.show.workbook",
)
"""What an analysis needs once it has read the clusters: half a second to load while they answer."""

_OF_READING = (
    "subscription_ids", "clusters", "inventory", "history", "prometheus_endpoint",
    "prometheus_token_env", "owner_label", "lookback_days", "step_minutes",
)  # fmt: skip
_OF_TABLES = ("group_by", "new_cpu", "new_memory", "new_region", "pod_cpu", "pod_memory")
"""Parameters that say what is read, and what is asked of it."""


class Reading(Run):
    """A run from a fleet to its tables.

    Attributes:
        tables: of what was read, each made on first use; None before.
    """

    tables: Tables | None = None

    def __init__(self, notebook: str, cells: Mapping[str, Any]) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="tables")
        self._saved: dict[str, tuple[pd.DataFrame, Future[list[TextColumn]]]] = {}
        super().__init__(notebook, cells)

    def read(self) -> Sentence:
        """Return in short what was read: quotas, requests and use, now and over the lookback.

        What is read is written to `snapshot/` in the run directory, before anything is made of it.
        With `snapshot_run` it is what that run has read, and nothing is asked.

        Raises:
            ConfigError: if that run has no snapshot, or was made on another target, or there is
                no run to compare with of the name in `compare_run`.
        """
        asked = self.asked(*_OF_TABLES)
        snapshot = self._snapshot()
        gc.freeze()  # 20,000 namespaces are a million objects, to be walked again and again
        earlier = self.earlier(str(self.parameters["compare_run"]))
        self.tables = Tables(snapshot, earlier=earlier, **asked)
        spaces = snapshot.namespaces
        read = (len(spaces), spaces["cluster_name"].nunique(), len(snapshot.errors))
        said = render_part("run.txt.j2", "reading", *read, snapshot.history_note)
        return Sentence(said.strip())

    def _snapshot(self) -> Snapshot:
        if snapshot_run := self.parameters["snapshot_run"]:
            from mnslib.capacity.store import read_snapshot

            run = find_run(snapshot_run, runs_dir=self.directory.parent)
            return read_snapshot(run / SNAPSHOT_FOLDER)
        loaded = self._writer.submit(lambda: [*map(import_module, FOR_LATER_CELLS)])
        snapshot = read_usage(self.target, **self.asked(*_OF_READING))
        loaded.result()
        from mnslib.capacity.store import write_snapshot

        folder = self.directory / SNAPSHOT_FOLDER
        write_snapshot(snapshot, folder, written_by=f"mnslib {mnslib.__version__}")
        return snapshot

    def earlier(self, compare_run: str) -> Earlier:
        """Return the run to compare with: the one before this, or before the reading it analyzes.

        Args:
            compare_run: its name or path; empty for the last of this notebook and environment that
                read the same clusters from the same sources.

        Raises:
            ConfigError: if that name is of no run that can be compared.
        """
        runs_dir, read_by = self.directory.parent, self.directory
        if origin := self.parameters["snapshot_run"]:
            read_by = find_run(origin, runs_dir=runs_dir)
        if not compare_run:
            last, note = last_alike(self.directory, read_by=read_by)
            return _tables_of(last) if last else Earlier(note=note)
        found = find_run(compare_run, runs_dir=runs_dir)
        earlier = _tables_of(found)
        if earlier.table is None:
            raise ConfigError(f"compare_run: {earlier.note}")
        differs = differences(record_of(read_by), record_of(found))
        if not differs:
            return earlier
        judged = not set(SOURCES).isdisjoint(differs)
        note = render_part("run.txt.j2", "difference", found.name, differs, judged)
        return replace(
            earlier,
            note=note.strip(),
            is_common_only=True,
            is_judged_only=judged,
            refused=None if "inventory" in differs else earlier.refused,
        )

    def save_table(self, name: str, table: pd.DataFrame) -> None:
        """Write the table as `tables/<name>.csv` (cores and bytes) while the next cells compute.

        What fails then is raised by the record, until it was saved again.
        """
        (self.directory / TABLES_FOLDER).mkdir(exist_ok=True)
        # a copy shares the values until somebody changes them
        later = self._writer.submit(self._write_table, name, table.copy(deep=False))
        self._saved[name] = table, later

    def _write_table(self, name: str, table: pd.DataFrame) -> list[TextColumn]:
        from mnslib.show.cells import csv_parts, text_columns

        columns = text_columns(table)
        write_whole(self.directory / TABLES_FOLDER / f"{name}.csv", csv_parts(columns))
        return columns

    @property
    def _read_tables(self) -> Tables:
        self.asked()
        if self.tables is None:
            raise ConfigError("Nothing was read yet: run the cells above first.")
        return self.tables

    def show(self, name: str) -> Stack:
        """Return what the analysis answers to one question; its tables are saved.

        Raises:
            ConfigError: if there is no view of that name.
        """
        tables = self._read_tables
        shown = show(tables, name)
        self._save_made(tables.made())
        return self.with_pictures(shown)

    def _save_made(self, tables: Mapping[str, pd.DataFrame]) -> None:
        for name, table in tables.items():
            if name not in self._saved or self._saved[name][0] is not table:
                self.save_table(name, table)

    def owners(self) -> Stack:
        """Return the owners, after writing a page for each and `portfolio.html` over all."""
        from mnslib.show.owner_pages import OWNERS_FOLDER, owner_pages, owners_table

        tables = self._read_tables
        (self.directory / OWNERS_FOLDER).mkdir(exist_ok=True)
        badge = "sandbox" if self.parameters["target"] == "sandbox" else ""
        for name, html in owner_pages(tables, run=self.directory.name, sandbox=badge):
            write_whole(self.directory / name, html)
        return Stack([owners_table(tables)], fold="A page for each owner")

    def record(self) -> Table:
        """Return the figures of the run, after every table, asked for or not, is written."""
        status, headline, numbers = RunStatus.DONE, "Nothing was read.", dict[str, int]()
        checks: list[CheckResult] = []
        if (tables := self.tables) is not None:
            self._save_made(tables.all())
            new = new_findings(tables.changed, tables.refusals, tables.earlier)
            absent = absent_labels(tables.layers, tables.group_by)
            checks = reading_checks(tables.snapshot, absent, tables.placement)
            headline = f"{said('utilization', utilization_findings(tables.worst))}."
            numbers = verdict_counts(tables.worst) | refusal_findings(tables.refusals) | new
            status = RunStatus.FINDINGS if sum(new.values()) else status
        self._settle()
        if self._saved:
            from mnslib.show.workbook import workbook

            columns = {name: later.result() for name, (_, later) in self._saved.items()}
            write_whole(self.directory / TABLES_FOLDER / WORKBOOK, workbook(columns))
        return self._finish(status, headline, numbers, checks)

    def _settle(self) -> None:
        wait([later for _, later in self._saved.values()])


def _tables_of(run: Path) -> Earlier:
    try:
        tables = run / TABLES_FOLDER
        utilization = (tables / "utilization.csv").read_text(encoding="utf-8")
        refusals = tables / "refusals.csv"
        refused = refusals.read_text(encoding="utf-8") if refusals.is_file() else ""
    except (OSError, ValueError) as error:
        return Earlier(run=run.name, note=f"No tables of {run.name} can be read: {error}.")
    return read_earlier(run.name, utilization=utilization, refusals=refused)
