"""What the cells of a notebook that only reads call: collect, compare, save.

A step reads or writes through the library's rooms; what is judged is judged in `capacity`. Tables
are written by a thread while the next cells compute; the record waits for it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mnslib
from mnslib.errors import ConfigError
from mnslib.loading import FOR_LATER_CELLS, load
from mnslib.project import read_result, write_whole
from mnslib.results import utc_now
from mnslib.session import Session
from mnslib.targets import metrics_alone

if TYPE_CHECKING:
    import pandas as pd

    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.capacity.changed import Earlier
    from mnslib.capacity.snapshot import Snapshot
    from mnslib.reporting.cells import TextColumn
    from mnslib.reporting.displays import Table
    from mnslib.results import RunStatus

SNAPSHOT_FOLDER = "snapshot"
"""Of a run directory: what a reading notebook has read, for `snapshot_run`."""

TABLES_FOLDER, WORKBOOK = "tables", "tables.xlsx"
"""Of a run directory: its tables as CSV, and the workbook of all of them among these."""


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

            snapshot = read_snapshot(self._earlier_snapshot(snapshot_run))
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

    def _earlier_snapshot(self, run: str) -> Path:
        """Return the folder with the snapshot of a run that was made on this run's target."""
        from mnslib.runs import find_run

        directory = find_run(run, runs_dir=self.directory.parent)
        record = read_result(directory)
        if record is None:
            raise ConfigError(f"snapshot_run: {directory} has no record of a run.")
        if record["target"] != self.parameters["target"]:
            raise ConfigError(
                f"snapshot_run: {directory.name} was made on {record['target']}; write target: "
                f"{record['target']}, so that the report says so."
            )
        if earlier := record["parameters"].get("snapshot_run"):
            raise ConfigError(
                f"snapshot_run: {directory.name} read nothing itself, it analyzed {earlier}; "
                "name that run."
            )
        return directory / SNAPSHOT_FOLDER

    def earlier(self, compare_run: str) -> Earlier:
        """Return the run to compare with: the one before this, or before the reading it analyzes.

        Args:
            compare_run: its name or path; empty for the last of this notebook and environment.

        Raises:
            ConfigError: if there is no run of that name, or it was made on another target.
        """
        from mnslib.capacity.changed import Earlier, read_earlier

        found = self._run_to_compare(compare_run)
        if found is None:
            return Earlier(note="No earlier run of this notebook and environment is there.")
        try:
            tables = found / TABLES_FOLDER
            utilization = (tables / "utilization.csv").read_text(encoding="utf-8")
            refusals = tables / "refusals.csv"
            refused = refusals.read_text(encoding="utf-8") if refusals.is_file() else ""
        except (OSError, ValueError) as error:
            return Earlier(run=found.name, note=f"No tables of {found.name} can be read: {error}.")
        return read_earlier(found.name, utilization=utilization, refusals=refused)

    def _run_to_compare(self, compare_run: str) -> Path | None:
        """Return the directory of that run, or of the one before; None where there is none."""
        from mnslib.runs import find_run, run_before

        runs_dir = self.directory.parent
        if compare_run:
            found = find_run(compare_run, runs_dir=runs_dir)
            own = self.parameters["target"]
            if (target := (read_result(found) or {}).get("target", own)) != own:
                raise ConfigError(
                    f"compare_run: {found.name} was made on {target}, this run on {own}; "
                    "name a run of the same target."
                )
            return found
        origin = str(self.parameters.get("snapshot_run", ""))
        read_by = find_run(origin, runs_dir=runs_dir) if origin else self.directory
        record = read_result(read_by) or {}
        return run_before(
            self.directory,
            notebook=self.notebook,
            environment=record.get("environment", ""),
            started_utc=record.get("started_utc", ""),
        )

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
        from mnslib.reporting.cells import csv_parts, text_columns

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
        from mnslib.reporting.displays import Table

        self._write_later(WORKBOOK, self._write_workbook, dict(self._written))
        return Table(
            columns=["Table", "Rows"],
            rows=[
                [f"{TABLES_FOLDER}/{name}.csv", len(table)] for name, table in self._tables.items()
            ],
            note=f"All of them, a sheet each: {TABLES_FOLDER}/{WORKBOOK}. Cores and bytes.",
        )

    def _write_workbook(self, written: Mapping[str, Future[list[TextColumn]]]) -> None:
        from mnslib.reporting.workbook import workbook

        # there is one thread: it has written the tables when it comes to this
        tables = {name: written[name].result() for name in written if name != WORKBOOK}
        write_whole(self.directory / TABLES_FOLDER / WORKBOOK, workbook(tables))

    def save_owner_pages(self, snapshot: Snapshot, earlier: Earlier) -> Table:
        """Return the owners, after writing a page for each and `portfolio.html` over all.

        They are made of the tables that were saved before.

        Args:
            earlier: the run that the table `changed` compares with.
        """
        from mnslib.reporting.owner_pages import owner_files
        from mnslib.reporting.portfolio import OWNERS_FOLDER, owners_table

        (self.directory / OWNERS_FOLDER).mkdir(exist_ok=True)
        badge = "sandbox" if self.parameters["target"] == "sandbox" else ""
        owners, pages = owner_files(
            snapshot, self._tables, run=self.directory.name, sandbox=badge, earlier=earlier
        )
        for name, html in pages:
            write_whole(self.directory / name, html)
        return owners_table(owners)
