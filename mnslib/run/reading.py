"""The run of a notebook that only reads: what was read, its tables, what is shown of them.

A step reads or writes through the library's rooms; what is judged is judged in `capacity`. Tables
are written by a thread while the next cells compute; the record makes and saves those that no cell
asked for, and waits.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mnslib
from mnslib.errors import ConfigError
from mnslib.results import utc_now
from mnslib.run.loading import FOR_LATER_CELLS, load
from mnslib.run.project import read_result, write_whole
from mnslib.run.readings import (
    SNAPSHOT_FOLDER,
    SOURCES,
    TABLES_FOLDER,
    difference_note,
    differences,
    last_alike,
    named_run,
)
from mnslib.run.record import Run
from mnslib.run.targets import metrics_alone

if TYPE_CHECKING:
    import pandas as pd

    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.capacity.changed import Earlier
    from mnslib.capacity.snapshot import Snapshot
    from mnslib.capacity.tables import Tables
    from mnslib.results import RunStatus
    from mnslib.show.cells import TextColumn
    from mnslib.show.displays import Sentence, Stack, Table

WORKBOOK = "tables.xlsx"
"""Of the folder with the tables: all of them."""

_OF_READING = (
    "subscription_ids", "clusters", "inventory", "owner_label", "lookback_days", "step_minutes",
)  # fmt: skip
_OF_TABLES = ("group_by", "new_cpu", "new_memory", "new_region", "pod_cpu", "pod_memory")
"""Parameters that say what is read, and what is asked of it."""


class Reading(Run):
    """A run from a fleet to its tables.

    Attributes:
        tables: of what was read, each made on first use.
    """

    tables: Tables

    def __init__(self, notebook: str, cells: Mapping[str, Any]) -> None:
        self._tables: dict[str, pd.DataFrame] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="tables")
        self._written: dict[str, Future[Any]] = {}
        self._told: set[Future[Any]] = set()
        super().__init__(notebook, cells)

    def read(self) -> Sentence:
        """Return in short what was read: quotas, requests and use, now and over the lookback.

        What is read is written to `snapshot/` in the run directory, before anything is made of it.
        With `snapshot_run` it is what that run has read, and nothing is asked.

        Raises:
            ConfigError: if that run has no snapshot, or was made on another target, or there is
                no run to compare with of the name in `compare_run`.
        """
        from mnslib.capacity.tables import Tables
        from mnslib.show.displays import Sentence

        asked = self.asked(*_OF_TABLES)
        snapshot = self._snapshot()
        gc.freeze()  # 20,000 namespaces are a million objects, to be walked again and again
        earlier = self.earlier(str(self.parameters["compare_run"]))
        self.tables = Tables(snapshot, earlier=earlier, **asked)
        spaces, lost = snapshot.namespaces, len(snapshot.errors)
        said = [
            f"{len(spaces):,} namespaces on {spaces['cluster_name'].nunique():,} clusters.",
            f"Of {lost:,} clusters something could not be read." if lost else "",
            snapshot.history_note,
        ]
        return Sentence(" ".join(filter(None, said)))

    def _snapshot(self) -> Snapshot:
        if snapshot_run := str(self.parameters["snapshot_run"]):
            from mnslib.capacity.store import read_snapshot

            directory = self._named_run("snapshot_run", snapshot_run)
            return read_snapshot(directory / SNAPSHOT_FOLDER)
        loaded = self._writer.submit(load, FOR_LATER_CELLS)
        door = self.asked("history", "prometheus_endpoint", "prometheus_token_env")
        metrics = self.target.prometheus(
            door["history"], door["prometheus_endpoint"], token_env=door["prometheus_token_env"]
        )
        snapshot = self._read(metrics, **self.asked(*_OF_READING))
        loaded.result()
        from mnslib.capacity.store import write_snapshot

        folder = self.directory / SNAPSHOT_FOLDER
        write_snapshot(snapshot, folder, written_by=f"mnslib {mnslib.__version__}")
        return snapshot

    def _read(
        self,
        door: PrometheusClient | None,
        *,
        subscription_ids: Sequence[str],
        clusters: Sequence[str],
        inventory: str,
        owner_label: str,
        **window: Any,
    ) -> Snapshot:
        """Return what the clusters and the metrics say now, or the metrics alone."""
        if metrics := metrics_alone(inventory, door, subscription_ids=subscription_ids):
            from mnslib.capacity.inventory import collect_from_metrics

            return collect_from_metrics(metrics, clusters=clusters, now=utc_now(), **window)
        from mnslib.capacity.collect import collect

        subscriptions, ids = self.target.scope(subscription_ids, clusters)
        return collect(
            self.target.azure,
            self.target.kube_for,
            subscription_ids=subscriptions,
            clusters=ids,
            prometheus=door,
            now=utc_now(),
            owner_label=owner_label,
            **window,
        )

    def _named_run(self, name: str, run: str) -> Path:
        asked = {**self.parameters, name: run}
        return named_run(name, asked, notebook=self.notebook, runs_dir=self.directory.parent)

    def earlier(self, compare_run: str) -> Earlier:
        """Return the run to compare with: the one before this, or before the reading it analyzes.

        Args:
            compare_run: its name or path; empty for the last of this notebook and environment that
                read the same clusters from the same sources.

        Raises:
            ConfigError: if that name is of no run that can be compared.
        """
        from mnslib.capacity.changed import Earlier

        origin = str(self.parameters.get("snapshot_run", ""))
        read_by = self._named_run("snapshot_run", origin) if origin else self.directory
        if not compare_run:
            found, note = last_alike(self.directory, read_by=read_by)
            return self._tables_of(found) if found else Earlier(note=note)
        found = self._named_run("compare_run", compare_run)
        earlier = self._tables_of(found)
        if earlier.table is None:
            raise ConfigError(f"compare_run: {earlier.note}")
        own, other = (read_result(one) or {} for one in (read_by, found))
        differs = differences(own, other)
        return replace(
            earlier,
            note=difference_note(found.name, differs),
            is_common_only=bool(differs),
            is_judged_only=not set(SOURCES).isdisjoint(differs),
            refused=None if "inventory" in differs else earlier.refused,
        )

    def _tables_of(self, found: Path) -> Earlier:
        from mnslib.capacity.changed import Earlier, read_earlier

        try:
            tables = found / TABLES_FOLDER
            utilization = (tables / "utilization.csv").read_text(encoding="utf-8")
            refusals = tables / "refusals.csv"
            refused = refusals.read_text(encoding="utf-8") if refusals.is_file() else ""
        except (OSError, ValueError) as error:
            return Earlier(run=found.name, note=f"No tables of {found.name} can be read: {error}.")
        return read_earlier(found.name, utilization=utilization, refusals=refused)

    def save_table(self, name: str, table: pd.DataFrame) -> None:
        """Write the table as `tables/<name>.csv` (cores and bytes) while the next cells compute.

        What fails then is raised once by the next that is saved, and by the record until it was
        saved again.
        """
        (self.directory / TABLES_FOLDER).mkdir(exist_ok=True)
        self._tables[name] = table
        # a copy shares the values until somebody changes them
        self._write_later(name, self._write_table, name, table.copy(deep=False))

    def _write_table(self, name: str, table: pd.DataFrame) -> list[TextColumn]:
        from mnslib.show.cells import csv_parts, text_columns

        columns = text_columns(table)
        write_whole(self.directory / TABLES_FOLDER / f"{name}.csv", csv_parts(columns))
        return columns

    def _write_later(self, name: str, write: Callable[..., Any], *given: Any) -> None:
        others = [one for other, one in self._written.items() if other != name]
        self._written[name] = self._writer.submit(write, *given)
        for one in others:
            if one.done() and one not in self._told:
                self._told.add(one)
                one.result()

    def show(self, name: str) -> Stack:
        """Return what the analysis answers to one question; its tables are saved.

        Raises:
            ConfigError: if there is no view of that name.
        """
        from mnslib.show.show import show

        self.asked()
        shown = show(self.tables, name)
        self._save_made(self.tables.made())
        return self.with_pictures(shown)

    def _save_made(self, tables: Mapping[str, pd.DataFrame]) -> None:
        for name, table in tables.items():
            if self._tables.get(name) is not table:
                self.save_table(name, table)

    def owners(self) -> Stack:
        """Return the owners, after writing a page for each and `portfolio.html` over all."""
        from mnslib.show.displays import Stack
        from mnslib.show.owner_pages import owner_files
        from mnslib.show.portfolio import OWNERS_FOLDER, owners_table

        self.asked()
        (self.directory / OWNERS_FOLDER).mkdir(exist_ok=True)
        tables = self.tables
        badge = "sandbox" if self.parameters["target"] == "sandbox" else ""
        owners, pages = owner_files(
            tables.snapshot,
            tables.all(),
            earlier=tables.earlier,
            decided=tables.decided,
            run=self.directory.name,
            sandbox=badge,
        )
        for name, html in pages:
            write_whole(self.directory / name, html)
        return Stack([owners_table(owners)], fold="A page for each owner")

    def record(self, **about: Any) -> Table:
        """Return the figures of the run, after every table, asked for or not, is written."""
        if "tables" in vars(self):
            about = {**self._found(), **about}
            self._save_made(self.tables.all())
            self.save_workbook()
        wait(self._written.values())
        self._told.update(self._written.values())
        for one in self._written.values():
            one.result()
        return super().record(**about)

    def _found(self) -> dict[str, Any]:
        from mnslib.capacity.changed import new_findings
        from mnslib.capacity.refusals import refusal_findings
        from mnslib.capacity.roll_ups import absent_labels
        from mnslib.capacity.utilization import findings
        from mnslib.show.asked import asked_checks
        from mnslib.show.capacity import history_checks, utilization_sentence

        tables = self.tables
        new = new_findings(tables.changed, tables.refusals, tables.earlier)
        absent = absent_labels(tables.layers, tables.group_by)
        return {
            "checks": [*history_checks(tables.snapshot), *asked_checks(absent, tables.placement)],
            "headline": utilization_sentence(tables.utilization),
            "summary": findings(tables.utilization) | refusal_findings(tables.refusals) | new,
            "has_findings": sum(new.values()) > 0,
        }

    def _write(self, status: RunStatus, **about: Any) -> None:
        wait(self._written.values())  # the record lists the files that are there
        super()._write(status, **about)

    def save_workbook(self) -> None:
        """Write the saved tables into one `tables/tables.xlsx` while the next cells compute."""
        self._write_later(WORKBOOK, self._write_workbook, dict(self._written))

    def _write_workbook(self, written: Mapping[str, Future[list[TextColumn]]]) -> None:
        from mnslib.show.workbook import workbook

        # there is one thread: it has written the tables when it comes to this
        tables = {name: written[name].result() for name in written if name != WORKBOOK}
        write_whole(self.directory / TABLES_FOLDER / WORKBOOK, workbook(tables))
