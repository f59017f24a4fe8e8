"""The life of one run: its parameters, directory, target and `result.json`.

The record is there from the first moment, as `stopped`, so that a kernel that dies is known by it;
what fails replaces it, and the last step has the last word. A notebook's run that ended, or after
which another was begun, is closed: no later cell touches its record. Decides nothing about
namespaces, asks nothing of Azure.
"""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import mnslib
from mnslib.errors import ApplyError, ConfigError, MnsError, PlanError, SpecError, cut
from mnslib.provisioning.journal import JOURNAL_NAME
from mnslib.provisioning.plan import Plan
from mnslib.results import (
    EXIT_CODES,
    NOT_APPROVED,
    WRITTEN_OUTCOMES,
    ApplyResult,
    CheckResult,
    RunRecord,
    RunStatus,
    about,
    utc_now,
    utc_text,
)
from mnslib.run.parameters import check_parameters, read_parameters, recordable
from mnslib.run.project import (
    RUN_DIRECTORY_VARIABLE,
    find_project_root,
    new_run_directory,
    read_result,
    resolve_path,
    write_result,
    write_whole,
)
from mnslib.run.runs import refused_values, run_before
from mnslib.run.targets import TARGETS, Target, open_target, sandbox_name
from mnslib.secrets import hide_secrets
from mnslib.show.displays import Table, pictures
from mnslib.show.plans import outcome_sentence, plan_sentence, warning_lines
from mnslib.show.templates import render_part, sentence

ARTIFACTS = (
    "portfolio.html",
    "requests.*",
    "plan.json",
    "journal.jsonl",
    "tables/*.csv",
    "tables/*.xlsx",
)
CHARTS_FOLDER = "charts"
NOT_AS_REQUESTED = (RunStatus.PARTLY, RunStatus.FAILED, RunStatus.INTERRUPTED)
T = TypeVar("T")
_INJECTED = "# Parameters"
"""How papermill begins the cell that it writes below the `parameters` cell."""


@dataclass(kw_only=True)
class Record:
    """What is known of one run, a notebook's or the library's; each word of it is written whole.

    Attributes:
        parameters: all of the run, by name.
        result: what came of the plan so far; None before it is applied.
    """

    notebook: str
    environment: str
    directory: Path
    parameters: Mapping[str, Any]
    started: datetime = field(default_factory=utc_now)
    result: ApplyResult | None = None

    def write(
        self,
        status: RunStatus,
        headline: str,
        *,
        summary: Mapping[str, float] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        """Write `result.json` anew."""
        record = RunRecord(
            notebook=self.notebook,
            environment=self.environment,
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

    def write_failure(self, error: BaseException) -> None:
        """Write how an error ended the run."""
        status, headline = RunStatus.FAILED, str(error)
        if isinstance(error, PlanError):
            headline = NOT_APPROVED + headline
        elif isinstance(error, KeyboardInterrupt):
            status, headline = RunStatus.INTERRUPTED, "Interrupted before the run ended."
        elif isinstance(error, SpecError | ConfigError):
            # refused means that nothing was written, and the journal is there before a write is
            if self.result is None and not (self.directory / JOURNAL_NAME).exists():
                status = RunStatus.REFUSED
        elif not isinstance(error, MnsError):
            headline = cut(f"{type(error).__name__}: {error}")
        self.write(status, headline, summary=self.result.counts() if self.result else {})

    def finish(
        self,
        status: RunStatus,
        headline: str,
        numbers: Mapping[str, float],
        checks: Sequence[CheckResult],
        *,
        is_unchanged: bool,
    ) -> tuple[RunStatus, str]:
        """Write the last word of the run, and return it.

        Args:
            checks: of what was read; one that warns is a finding.
            is_unchanged: nothing had to be changed; a warning of the run before is none then.
        """
        warnings = warning_lines(checks)
        headline = f"{headline} {sentence('plans.txt.j2', 'warnings', warnings)}".strip()
        if status is RunStatus.DONE and warnings:
            if is_unchanged and set(warnings) <= self._warnings_before():
                headline += " The run before said so too."
            else:
                status = RunStatus.FINDINGS
        self.write(status, headline, summary=numbers, warnings=warnings)
        return status, headline

    def _warnings_before(self) -> set[str]:
        """Return what the checks of the run before said that was about the same."""
        before = run_before(
            self.directory,
            notebook=self.notebook,
            environment=self.environment,
            started_utc=utc_text(self.started),
            like=lambda record: about(record["parameters"]) == about(self.parameters),
        )
        record = read_result(before) if before else None
        return set(record.get("warnings", ())) if record else set()


class Run:
    """One run of one notebook.

    Attributes:
        parameters: those that the notebook declares, as they stand in its cells.
        directory: where everything of the run goes.
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
        self.parameters, self._cells = given, cells
        directory, started = os.environ.get(RUN_DIRECTORY_VARIABLE), utc_now()
        target = str(given["target"])
        self.directory = Path(directory) if directory else new_run_directory(
            resolve_path(str(given["runs_dir"])),
            notebook=notebook, environment=target if target in TARGETS else "unknown",
            started=started,
        )  # fmt: skip
        self._record = Record(
            notebook=notebook,
            environment=self.directory.name.partition(f"{notebook}-")[2].partition(".")[0],
            directory=self.directory,
            parameters=given,
            started=started,
        )
        try:
            # the runner has checked it all, but plain papermill passes anything on
            passed = {name: cells.get(name) for name in _injected(cells.get("In", ()))} | given
            refused = refused_values(given, notebook=notebook, runs_dir=self.directory.parent)
            check_parameters(declared, passed, refused=refused)
        except ConfigError:
            self._record.parameters = recordable(given)  # what is refused may hold a secret
            raise
        finally:
            self._begin()
        if not given.get("snapshot_run"):
            _ = self.target  # a word that does not exist is refused here, not by a later cell

    def _facts(self) -> Table:
        endpoint = "none: nothing is asked"
        if not self.parameters.get("snapshot_run"):
            endpoint = self.target.azure.cloud.arm_endpoint
            if self.parameters.get("inventory") == "history":
                endpoint = str(self.parameters["prometheus_endpoint"]) or "the sandbox's metrics"
        target = str(self.parameters["target"])
        return Table(
            columns=["This run", ""],
            rows=[
                ["Target", "Azure" if target == "azure" else target],
                ["Endpoint", endpoint],
                ["Mode", render_part("run.txt.j2", "mode", self.parameters).strip()],
                ["Run directory", str(self.directory)],
                ["mnslib", mnslib.__version__],
            ],
        )

    def __repr__(self) -> str:
        return repr(self._facts())

    def _repr_html_(self) -> str:
        return self._facts()._repr_html_()

    def with_pictures(self, shown: T) -> T:
        """Return what a cell shows, after `charts/<name>.svg` of its charts that have one."""
        for chart in [chart for chart in pictures(shown) if chart.has_svg]:
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
        way = {name: str(self.parameters[name]) for name in ("target", "cloud", "credential")}
        return open_target(**way)

    def _begin(self) -> None:
        if Run._open is not None:
            Run._open.close()
        self._record.write(RunStatus.STOPPED, "The kernel ended before the notebook did.")
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
        # that something is not as requested is recorded before it is raised
        if error is not None and not isinstance(error, ApplyError):
            self._settle()
            self._record.write_failure(error)

    def _settle(self) -> None:
        """Wait for what the run still writes: the record lists the files that are there."""

    def _finish(
        self,
        status: RunStatus,
        headline: str,
        numbers: Mapping[str, float],
        checks: Sequence[CheckResult],
        *,
        is_unchanged: bool = False,
    ) -> Table:
        """Return the figures of the run, after its last word is written; see `Record.finish`.

        Raises:
            ApplyError: after that, if something is not as requested, so that every way of running
                the notebook ends as failed.
        """
        status, headline = self._record.finish(
            status, headline, numbers, checks, is_unchanged=is_unchanged
        )
        self.close()
        if status in NOT_AS_REQUESTED:
            raise ApplyError(f"{headline} What is done is not repeated: run it again.")
        return Table(
            columns=["Figure", "Value"],
            rows=[[name.replace("_", " "), value] for name, value in numbers.items()],
            caption=f"{status.value.capitalize()}: {headline}",
        )


def ended(
    plan: Plan, result: ApplyResult, left: Plan | None
) -> tuple[RunStatus, str, dict[str, float]]:
    """Return how a run ended that had this result, the finding in a sentence, and its figures.

    Args:
        left: what was planned again after it; if it is not empty, the run is not done.
    """
    is_left = left is not None and bool(left.to_do)
    if result.interrupted_by_signal is not None:
        status = RunStatus.INTERRUPTED
    elif result.is_dry_run:
        status = RunStatus.FINDINGS
    elif not result.unfinished:
        status = RunStatus.PARTLY if is_left else RunStatus.DONE
    else:
        is_any_done = result.counts().keys() & {kind.value for kind in WRITTEN_OUTCOMES}
        status = RunStatus.PARTLY if is_any_done else RunStatus.FAILED
    waits = status is RunStatus.FINDINGS
    headline = plan_sentence(plan) if waits else outcome_sentence(result)
    if left is not None and is_left and not waits:
        headline += f" Planned again: {plan_sentence(left)}"
    risks = result.resumed.risks if result.resumed else plan.risk_names()
    return status, headline, {**result.counts(), "risks": len(risks)}


def _shell() -> Any:
    """Return the IPython in which this runs; None outside of one."""
    with contextlib.suppress(ImportError):
        from IPython.core.getipython import get_ipython

        return get_ipython()
    return None


def _injected(sources: Sequence[str]) -> Iterator[str]:
    """Yield the names that papermill injected; other names than declared are the notebook's own."""
    for source in sources:
        if source.startswith(_INJECTED):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
