"""What the cells of a notebook that only reads call: collect, compare, save.

A step reads or writes through the library's rooms; what is judged is judged in `capacity`. Tables
are written by a thread while the next cells compute; the record waits for it.
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
from mnslib.run.session import Session
from mnslib.run.targets import metrics_alone

if TYPE_CHECKING:
    import pandas as pd

    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.capacity.changed import Earlier
    from mnslib.capacity.snapshot import Snapshot
    from mnslib.results import RunStatus
    from mnslib.show.cells import TextColumn
    from mnslib.show.displays import Table

WORKBOOK = "tables.xlsx"
"""Of the folder with the tables: all of them."""


class ReadSteps(Session):
    """The steps from a fleet to its tables."""

    def __init__(self, notebook: str, cells: Mapping[str, Any]) -> None:
        self._tables: dict[str, pd.DataFrame] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="tables")
        self._written: dict[str, Future[Any]] = {}
        self._told: set[Future[Any]] = set()
        super().__init__(notebook, cells)

    def collect(
        self,
        *,
        subscription_ids: Sequence[str],
        clusters: Sequence[str],
        history: str,
        prometheus_endpoint: str,
        snapshot_run: str = "",
        prometheus_token_env: str = "",
        inventory: str = "azure",
        owner_label: str = "",
        **window: Any,
    ) -> Snapshot:
        """Return quotas, requests and use of the clusters, now and over the lookback.

        What is read is written to `snapshot/` in the run directory, before anything is made of it.

        Args:
            snapshot_run: an earlier run, whose snapshot is returned instead; nothing is asked then.
            history, prometheus_endpoint, prometheus_token_env: as `Target.prometheus` takes them.
            inventory: `azure`, or `history`: clusters and namespaces as the metrics name them, and
                nothing else is asked.
            owner_label: label that names an owner; metrics know none.
            window: `lookback_days` and `step_minutes`, as `capacity.collect` takes them.

        Raises:
            ConfigError: if that run has no snapshot, or was made on another target.
        """
        if snapshot_run:
            from mnslib.capacity.store import read_snapshot

            directory = self._named_run("snapshot_run", snapshot_run)
            snapshot = read_snapshot(directory / SNAPSHOT_FOLDER)
        else:
            loaded = self._writer.submit(load, FOR_LATER_CELLS)
            snapshot = self._read(
                self.target.prometheus(
                    history, prometheus_endpoint, token_env=prometheus_token_env
                ),
                subscription_ids=subscription_ids,
                clusters=clusters,
                inventory=inventory,
                owner_label=owner_label,
                **window,
            )
            loaded.result()
            from mnslib.capacity.store import write_snapshot

            folder = self.directory / SNAPSHOT_FOLDER
            write_snapshot(snapshot, folder, written_by=f"mnslib {mnslib.__version__}")
        gc.freeze()  # 20,000 namespaces are a million objects, to be walked again and again
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

    def record(self, **about: Any) -> Table:
        """Return the figures of the run as `Session.record` does, once every table is written."""
        wait(self._written.values())
        self._told.update(self._written.values())
        for one in self._written.values():
            one.result()
        return super().record(**about)

    def _write(self, status: RunStatus, **about: Any) -> None:
        wait(self._written.values())  # the record lists the files that are there
        super()._write(status, **about)

    def save_tables(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Write each table under its name, as `save_table` does."""
        for name, table in tables.items():
            self.save_table(name, table)

    def save_workbook(self) -> Table:
        """Return which tables were saved; all go into one `tables/tables.xlsx`, as tables do."""
        from mnslib.show.displays import Table

        self._write_later(WORKBOOK, self._write_workbook, dict(self._written))
        return Table(
            columns=["Table", "Rows"],
            rows=[
                [f"{TABLES_FOLDER}/{name}.csv", len(table)] for name, table in self._tables.items()
            ],
            note=f"All of them, a sheet each: {TABLES_FOLDER}/{WORKBOOK}. Cores and bytes.",
        )

    def _write_workbook(self, written: Mapping[str, Future[list[TextColumn]]]) -> None:
        from mnslib.show.workbook import workbook

        # there is one thread: it has written the tables when it comes to this
        tables = {name: written[name].result() for name in written if name != WORKBOOK}
        write_whole(self.directory / TABLES_FOLDER / WORKBOOK, workbook(tables))

    def save_owner_pages(self, snapshot: Snapshot, earlier: Earlier) -> Table:
        """Return the owners, after writing a page for each and `portfolio.html` over all.

        They are made of the tables that were saved before.

        Args:
            earlier: the run that the table `changed` compares with.
        """
        from mnslib.show.owner_pages import owner_files
        from mnslib.show.portfolio import OWNERS_FOLDER, owners_table

        (self.directory / OWNERS_FOLDER).mkdir(exist_ok=True)
        badge = "sandbox" if self.parameters["target"] == "sandbox" else ""
        owners, pages = owner_files(
            snapshot, self._tables, run=self.directory.name, sandbox=badge, earlier=earlier
        )
        for name, html in pages:
            write_whole(self.directory / name, html)
        return owners_table(owners)
