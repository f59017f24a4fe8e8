"""The life of one run of a notebook: its parameters, directory, target and `result.json`.

The record is there from the first moment, as `stopped`, so that a kernel that dies is known by it;
a cell that fails replaces it, and `Run.record` has the last word. A run that ended, or after which
another was begun, is closed: no later cell touches its record. Decides nothing about namespaces,
asks nothing of Azure.
"""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import mnslib
from mnslib.errors import ApplyError, ConfigError, MnsError, PlanError, SpecError, cut, nearest
from mnslib.provisioning.journal import JOURNAL_NAME
from mnslib.results import (
    EXIT_CODES,
    NOT_APPROVED,
    WRITTEN_OUTCOMES,
    ApplyResult,
    CheckResult,
    RunRecord,
    RunStatus,
    utc_now,
    utc_text,
)
from mnslib.run.parameters import check_parameters, read_parameters
from mnslib.run.project import (
    RUN_DIRECTORY_VARIABLE,
    find_project_root,
    new_run_directory,
    read_result,
    resolve_path,
    write_result,
    write_whole,
)
from mnslib.run.readings import refused_values
from mnslib.run.targets import TARGETS, Target, open_target, sandbox_name
from mnslib.secrets import hide_secrets

if TYPE_CHECKING:
    from mnslib.provisioning.plan import Plan
    from mnslib.show.displays import Cell, Table

ARTIFACTS = (
    "portfolio.html",
    "requests.*",
    "plan.json",
    "journal.jsonl",
    "tables/*.csv",
    "tables/*.xlsx",
)


CHARTS_FOLDER = "charts"
T = TypeVar("T")
_INJECTED = "# Parameters"
"""How papermill begins the cell that it writes below the `parameters` cell."""


class Run:
    """One run of one notebook.

    Attributes:
        parameters: those that the notebook declares, as they stand in its cells.
        directory: where everything of the run goes.
        is_headless: whether the runner, not a person, runs it.
        result: what came of the plan so far; None before it is applied.
    """

    _open: ClassVar[Run | None] = None
    """The run of this kernel that a failing cell is told of: IPython has one list of listeners."""

    _heard_in: Any = None

    def __init__(self, notebook: str, cells: Mapping[str, Any]) -> None:
        """Make the run directory and its first record.

        Args:
            notebook: its name without ending.
            cells: its `globals()`.

        Raises:
            ConfigError: if a parameter has an unknown name or a wrong value.
        """
        declared = read_parameters(find_project_root() / "notebooks" / f"{notebook}.ipynb")
        # a copy: a list that a cell adds to is another value, and would be the same object
        given = deepcopy({known.name: cells.get(known.name, known.default) for known in declared})
        self.notebook = notebook
        self.parameters = given
        self._cells = cells
        self.started = utc_now()
        self.result: ApplyResult | None = None
        directory = os.environ.get(RUN_DIRECTORY_VARIABLE)
        target = str(given["target"])
        self.is_headless = directory is not None
        self.directory = Path(directory) if directory else new_run_directory(
            resolve_path(str(given["runs_dir"])),
            notebook=notebook, environment=target if target in TARGETS else "unknown",
            started=self.started,
        )  # fmt: skip
        try:
            # the runner has checked it all, but plain papermill passes anything on
            _refuse_undeclared(cells, list(given))
            refused = refused_values(given, notebook=notebook, runs_dir=self.directory.parent)
            check_parameters(declared, given, refused=refused)
        except ConfigError:
            self.parameters = {}  # what is refused may hold a secret
            raise
        finally:
            self._begin()
        if not given.get("snapshot_run"):
            _ = self.target  # a word that does not exist is refused here, not by a later cell

    def _facts(self) -> Table:
        from mnslib.show.displays import Table

        dry_run, offline = self.parameters.get("dry_run"), self.parameters.get("snapshot_run")
        mode = "dry run: writes nothing" if dry_run else "writes what is approved"
        endpoint = "none: nothing is asked"
        if offline:
            mode = f"offline: analyzes what {offline} read"
        else:
            endpoint = self.target.azure.cloud.arm_endpoint
            if self.parameters.get("inventory") == "history":
                endpoint = str(self.parameters["prometheus_endpoint"]) or "the sandbox's metrics"
            mode = "reads only" if dry_run is None else mode
        rows: list[list[Cell]] = [
            ["Target", {"azure": "Azure"}.get(word := str(self.parameters["target"]), word)],
            ["Endpoint", endpoint],
            ["Mode", mode],
            ["Run directory", str(self.directory)],
            ["mnslib", mnslib.__version__],
        ]
        return Table(columns=["This run", ""], rows=rows)

    def __repr__(self) -> str:
        return repr(self._facts())

    def _repr_html_(self) -> str:
        return self._facts()._repr_html_()

    def with_pictures(self, shown: T) -> T:
        """Return what a cell shows, after its charts are written as `charts/<name>.svg`."""
        from mnslib.show.show import pictures

        for chart in pictures(shown):
            (self.directory / CHARTS_FOLDER).mkdir(exist_ok=True)
            write_whole(self.directory / CHARTS_FOLDER / f"{chart.name}.svg", chart.svg())
        return shown

    def asked(self, *names: str) -> dict[str, Any]:
        """Return parameters by name, as they were when the run began.

        Raises:
            ConfigError: if a cell has changed any parameter since: the record would be another
                run's.
        """
        for name, value in self.parameters.items():
            if self._cells.get(name, value) != value:
                raise ConfigError(
                    f"{name} is another since this run began: run the setup cell again, which "
                    "begins a new run with it."
                )
        return {name: self.parameters[name] for name in names}

    @cached_property
    def target(self) -> Target:
        """The way to Azure or to the sandbox; a run that analyzes an earlier one never takes it."""
        return open_target(
            str(self.parameters["target"]),
            cloud=str(self.parameters["cloud"]),
            credential=str(self.parameters["credential"]),
        )

    def _begin(self) -> None:
        if Run._open is not None:
            Run._open.close()
        self._write(RunStatus.STOPPED, headline="The kernel ended before the notebook did.")
        if (shell := _shell()) is not None:
            shell.events.register("post_run_cell", self._after_cell)
            self._heard_in = shell
            Run._open = self

    def close(self) -> None:
        """Let no later cell of this kernel touch the record."""
        if Run._open is self:
            self._heard_in.events.unregister("post_run_cell", self._after_cell)
            Run._open = None

    def _after_cell(self, cell: Any) -> None:
        error = cell.error_in_exec or cell.error_before_exec
        if error is None or isinstance(
            error, ApplyError
        ):  # that one is recorded before it is raised
            return
        status, headline = RunStatus.FAILED, str(error)
        if isinstance(error, PlanError):
            headline = NOT_APPROVED + headline
        if isinstance(error, KeyboardInterrupt):
            status, headline = RunStatus.INTERRUPTED, "Interrupted before the notebook ended."
        elif isinstance(error, SpecError | ConfigError):
            # refused means that nothing was written, and the journal is there before a write is
            if self.result is None and not (self.directory / JOURNAL_NAME).exists():
                status = RunStatus.REFUSED
        elif not isinstance(error, MnsError):
            headline = cut(f"{type(error).__name__}: {error}")
        summary = self.result.counts() if self.result else {}
        self._write(status, headline=headline, summary=summary)

    def _write(
        self,
        status: RunStatus,
        *,
        headline: str,
        summary: Mapping[str, float] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        record = RunRecord(
            notebook=self.notebook,
            environment=_environment(self.directory, self.notebook),
            target=str(self.parameters.get("target", "")),
            sandbox=sandbox_name(self.parameters),
            started_utc=utc_text(self.started),
            finished_utc=utc_text(utc_now()),
            status=status,
            exit_code=EXIT_CODES[status],
            parameters=self.parameters,
            headline=hide_secrets(headline),  # an error of somebody else's may quote anything
            summary=summary or {},
            items=self.result.outcomes if self.result else (),
            artifacts=[
                str(path.relative_to(self.directory))
                for pattern in ARTIFACTS
                for path in sorted(self.directory.glob(pattern))
            ],
            warnings=warnings,
        )
        write_result(self.directory, record.to_json())

    def record(
        self,
        *,
        result: ApplyResult | None = None,
        plan: Plan | None = None,
        left: Plan | None = None,
        checks: Sequence[CheckResult] = (),
        headline: str = "",
        summary: Mapping[str, float] | None = None,
        has_findings: bool = False,
    ) -> Table:
        """Return the figures of the run, after writing them to `result.json`.

        Args:
            result: what came of a plan; its outcomes decide the status.
            plan: the plan it came of; one that waits for approval is a finding.
            left: the plan made again after the change; if it is not empty, the run is not done.
            checks: before the plan, or of what was read; one that warns is a finding, unless a
                plan had nothing to change and the run before said the same.
            headline: the finding in a sentence; made from the result where it is empty.
            summary: numbers by name.
            has_findings: whether a reading notebook found something that needs somebody.

        Raises:
            ApplyError: after the record is written, if something is not as requested, so that
                every way of running the notebook ends as failed.
        """
        from mnslib.show.displays import Table
        from mnslib.show.plans import (
            outcome_sentence,
            plan_sentence,
            warning_lines,
            warnings_sentence,
        )

        status = RunStatus.FINDINGS if has_findings else RunStatus.DONE
        warnings = warning_lines(checks)
        numbers: dict[str, float] = dict(summary or {})
        if result is not None and plan is not None:
            self.result, status = result, status_of(result, left)
            risks = result.resumed.risks if result.resumed else plan.risk_names()
            numbers = {**result.counts(), **numbers, "risks": len(risks)}
            waits = status is RunStatus.FINDINGS
            headline = headline or (plan_sentence(plan) if waits else outcome_sentence(result))
            if left is not None and left.to_do and not waits:
                headline += f" Planned again: {plan_sentence(left)}"
        headline = f"{headline} {warnings_sentence(checks)}".strip()
        if status is RunStatus.DONE and warnings:
            if plan is None or plan.to_do or not set(warnings) <= self._warnings_before():
                status = RunStatus.FINDINGS
            else:
                headline += " The run before said so too."
        self._write(status, headline=headline, summary=numbers, warnings=warnings)
        self.close()
        if status in (RunStatus.PARTLY, RunStatus.FAILED, RunStatus.INTERRUPTED):
            raise ApplyError(f"{headline} What is done is not repeated: run it again.")
        return Table(
            columns=["Figure", "Value"],
            rows=[[name.replace("_", " "), value] for name, value in numbers.items()],
            caption=f"{status.value.capitalize()}: {headline}",
        )

    def _warnings_before(self) -> set[str]:
        """Return what the checks of the run before said."""
        from mnslib.run.runs import run_before

        directory = self.directory
        before = run_before(
            directory,
            notebook=self.notebook,
            environment=_environment(directory, self.notebook),
            started_utc=utc_text(self.started),
        )
        record = read_result(before) if before else None
        return set(record.get("warnings", ())) if record else set()


def _environment(directory: Path, notebook: str) -> str:
    return directory.name.partition(f"{notebook}-")[2].partition(".")[0]


def status_of(result: ApplyResult, left: Plan | None) -> RunStatus:
    """Return how a run ended that had this result; `left` is what was planned again after it."""
    if result.interrupted_by_signal is not None:
        return RunStatus.INTERRUPTED
    if result.is_dry_run:
        return RunStatus.FINDINGS
    if not result.unfinished:
        return RunStatus.PARTLY if left is not None and left.to_do else RunStatus.DONE
    is_any_done = result.counts().keys() & {kind.value for kind in WRITTEN_OUTCOMES}
    return RunStatus.PARTLY if is_any_done else RunStatus.FAILED


def _shell() -> Any:
    """Return the IPython in which this runs; None outside of one."""
    with contextlib.suppress(ImportError):
        from IPython.core.getipython import get_ipython

        return get_ipython()
    return None


def _refuse_undeclared(cells: Mapping[str, Any], names: list[str]) -> None:
    """Refuse what papermill injected though nobody declared it; other names are the notebook's."""
    for name in _injected(cells.get("In", ())):
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean {near}?" if near else f"it knows {', '.join(names)}."
            raise ConfigError(f"{name}: the notebook has no such parameter; {hint}")


def _injected(sources: Sequence[str]) -> Iterator[str]:
    for source in sources:
        if source.startswith(_INJECTED):
            for statement in ast.parse(source).body:
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        yield node.id
