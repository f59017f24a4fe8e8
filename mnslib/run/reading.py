"""The run of a notebook that only reads: what was read, its tables, what is shown of them.

What is judged is judged in `capacity`. A thread works out what only samples tell, and writes
tables, while the next cells compute; the record makes and saves those that no cell asked for, and
waits.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import mnslib
from mnslib.capacity.changed import Earlier, earlier_tables, new_findings
from mnslib.capacity.layers import absent_labels, absent_owner
from mnslib.capacity.refusals import refusal_findings
from mnslib.capacity.summaries import utilization_findings
from mnslib.capacity.tables import Tables
from mnslib.capacity.utilization import verdict_counts
from mnslib.errors import ConfigError
from mnslib.results import RunStatus, utc_now
from mnslib.run import runs
from mnslib.run.progress import watched
from mnslib.run.project import read_record, write_whole
from mnslib.run.record import Run
from mnslib.run.targets import Target
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

OF_READING = (
    "subscription_ids", "clusters", "inventory", "history", "prometheus_endpoint",
    "prometheus_token_env", "owner_label", "lookback_days", "step_minutes",
)  # fmt: skip
OF_TABLES = ("group_by", "new_cpu", "new_memory", "new_region", "pod_cpu", "pod_memory")
"""Parameters that say what is read, and what is asked of it."""


def read_usage(target: Target, asked: Mapping[str, Any]) -> Snapshot:
    """Return what the clusters and the metrics say now, or the metrics alone; shows progress.

    Args:
        asked: parameters of notebook 40 by name, those of `OF_READING`.

    Raises:
        ConfigError: if there can be no such history, or no cluster is named.
    """
    from mnslib.capacity.collect import collect
    from mnslib.capacity.inventory import collect_from_metrics

    where = asked["history"], asked["prometheus_endpoint"]
    metrics = target.prometheus(*where, token_env=asked["prometheus_token_env"])
    window = {name: asked[name] for name in ("lookback_days", "step_minutes")}
    if asked["inventory"] == "history" and metrics is not None:
        return collect_from_metrics(metrics, clusters=asked["clusters"], now=utc_now(), **window)
    subscriptions, ids = target.scope(asked["subscription_ids"], asked["clusters"])
    return collect(
        target.azure,
        target.kube_for,
        subscription_ids=subscriptions,
        clusters=ids,
        prometheus=metrics,
        about=metrics.about if metrics is not None else None,
        now=utc_now(),
        owner_label=asked["owner_label"],
        watched=watched,
        **window,
    )


class Reading(Run):
    """A run from a fleet to its tables.

    Attributes:
        tables: of what was read, each made on first use; None before.
    """

    tables: Tables | None = None

    def __init__(self, *about: Any, **named: Any) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="tables")
        self._saved: dict[str, tuple[pd.DataFrame, Future[list[TextColumn]]]] = {}
        self._workbook: Future[None] | None = None  # of all that is in `_saved`
        super().__init__(*about, **named)

    def read(self) -> Sentence:
        """Return in short what was read: quotas, requests and use, now and over the lookback.

        What is read is written to `snapshot/` in the run directory, before anything is made of it.
        With `snapshot_run` it is what that run has read, and nothing is asked.

        Raises:
            ConfigError: if that run has no snapshot, or was made on another target, or there is
                no run to compare with of the name in `compare_run`.
        """
        asked = self.asked(*OF_TABLES)
        snapshot = self._snapshot()
        gc.freeze()  # 20,000 namespaces are a million objects, to be walked again and again
        earlier = self.earlier(str(self.parameters["compare_run"]))
        asked["owner_label"] = self.parameters["owner_label"]
        self.tables = tables = Tables(snapshot, earlier=earlier, **asked)
        _ = tables.utilization  # what all others rest on
        # numpy is at work on these beside Python's own loops; what fails is met by who asks for it
        self._writer.submit(lambda: (tables.crossings, tables.days, tables.layers_by_day))
        spaces = snapshot.namespaces
        read = (len(spaces), spaces["cluster_name"].nunique(), len(snapshot.errors))
        return Sentence(render_part("run.txt.j2", "reading", *read, snapshot.history))

    def _snapshot(self) -> Snapshot:
        from mnslib.capacity import store

        if snapshot_run := self.parameters["snapshot_run"]:
            run = runs.find_run(snapshot_run, runs_dir=self.directory.parent)
            return store.read_snapshot(run / runs.SNAPSHOT_FOLDER)
        loaded = self._writer.submit(lambda: [*map(import_module, FOR_LATER_CELLS)])
        snapshot = read_usage(self.target, self.asked(*OF_READING))
        loaded.result()
        folder = self.directory / runs.SNAPSHOT_FOLDER
        store.write_snapshot(snapshot, folder, written_by=f"mnslib {mnslib.__version__}")
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
            read_by = runs.find_run(origin, runs_dir=runs_dir)
        if compare_run:
            run = runs.find_run(compare_run, runs_dir=runs_dir)
            differs = runs.differences(read_record(read_by), read_record(run))
        else:
            found, note = runs.last_alike(self.directory, read_by=read_by)
            if found is None:
                return Earlier(note=note)
            run, differs = found, ()
        utilization, refusals = (
            run / runs.TABLES_FOLDER / f"{name}.csv" for name in ("utilization", "refusals")
        )
        try:
            text = utilization.read_text(encoding="utf-8")
            refused = refusals.read_text(encoding="utf-8") if refusals.is_file() else ""
            earlier = earlier_tables(run.name, utilization=text, refusals=refused)
        except (OSError, ValueError) as error:
            note = f"No tables of {run.name} can be read: {error}."
            earlier = Earlier(run=run.name, note=note)
        if compare_run and earlier.table is None:
            raise ConfigError(f"compare_run: {earlier.note}")
        if not differs:
            return earlier
        judged = not set(runs.SOURCES).isdisjoint(differs)
        note = render_part("run.txt.j2", "difference", run.name, differs, judged)
        return replace(
            earlier,
            note=note,
            is_common_only=True,
            is_judged_only=judged,
            refused=None if "inventory" in differs else earlier.refused,
        )

    @property
    def _read(self) -> Tables:
        if self.tables is None:
            raise ConfigError("Nothing was read yet: run the cells above first.")
        return self.tables

    def show(self, name: str) -> Stack:
        """Return what the analysis answers to one question; its tables are saved."""
        self.require_unchanged()
        shown = show(self._read, name)
        self.save(self._read.made())
        return self.with_pictures(shown)

    def save(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Write tables as `tables/<name>.csv` (cores and bytes) while the next cells compute.

        What fails then is raised by the record, until it was saved again.
        """
        from mnslib.show.cells import csv_parts, text_columns

        folder = self.directory / runs.TABLES_FOLDER
        folder.mkdir(exist_ok=True)

        def write(name: str, table: pd.DataFrame) -> list[TextColumn]:
            columns = text_columns(table)
            write_whole(folder / f"{name}.csv", csv_parts(columns))
            return columns

        for name, table in tables.items():
            if name not in self._saved or self._saved[name][0] is not table:
                # a copy shares the values until somebody changes them
                later = self._writer.submit(write, name, table.copy(deep=False))
                self._saved[name] = table, later
                self._workbook = None

    def _save_all(self) -> Future[None]:
        """Write every table, asked for or not, and the workbook of them, beside what follows."""
        from mnslib.show.workbook import workbook

        self.save(self._read.all())
        begun = {name: later for name, (_, later) in self._saved.items()}

        def write() -> None:
            columns = {name: later.result() for name, later in begun.items()}
            write_whole(self.directory / runs.TABLES_FOLDER / WORKBOOK, workbook(columns))

        self._workbook = self._workbook or self._writer.submit(write)
        return self._workbook

    def owners(self) -> Stack:
        """Return the owners, after writing a page for each and `portfolio.html` over all."""
        from mnslib.show.owner_pages import OWNERS_FOLDER, owner_pages, owners_table

        self.require_unchanged()
        self._save_all()
        (self.directory / OWNERS_FOLDER).mkdir(exist_ok=True)
        badge = "sandbox" if self.parameters["target"] == "sandbox" else ""
        for name, html in owner_pages(self._read, run=self.directory.name, sandbox=badge):
            write_whole(self.directory / name, html)
        return Stack([owners_table(self._read)], fold="A page for each owner")

    def record(self) -> Table:
        """Return the figures of the run, after every table, asked for or not, is written.

        Raises:
            ConfigError: if nothing was read.
        """
        self.require_open()
        tables, saved = self._read, self._save_all()
        self._workbook = None  # what fails is tried again by the next record
        saved.result()
        new = new_findings(tables.changed, tables.refusals, tables.earlier)
        absent = absent_labels(tables.layers, tables.group_by)
        owner = absent_owner(tables.snapshot, tables.owner_label)
        numbers = verdict_counts(tables.worst) | refusal_findings(tables.refusals) | new
        return self.finish(
            RunStatus.FINDINGS if sum(new.values()) else RunStatus.DONE,
            f"{said('utilization', utilization_findings(tables.worst))}.",
            numbers,
            reading_checks(tables.snapshot, absent, tables.placement, owner=owner),
        )

    def write_failure(self, error: BaseException, *, is_own: bool = True) -> None:
        """Write how an error ended the run, which lists the tables that were being written."""
        begun: list[Future[Any]] = [later for _, later in self._saved.values()]
        wait([*begun, self._workbook] if self._workbook else begun)
        super().write_failure(error, is_own=is_own)
