"""The life of one run of a notebook: its parameters, directory, target and `result.json`.

The record is there from the first moment, as `stopped`, so that a kernel that dies is known by it;
a cell that fails replaces it, and `Session.record` has the last word. Decides nothing about
namespaces, asks nothing of Azure.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnslib.errors import ApplyError, ConfigError, MnsError, PlanError, SpecError, cut
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
)
from mnslib.run.readings import refused_values
from mnslib.run.targets import TARGETS, Target, open_target, sandbox_name
from mnslib.secrets import hide_secrets

if TYPE_CHECKING:
    from mnslib.provisioning.plan import Plan
    from mnslib.show.displays import Table

ARTIFACTS = (
    "portfolio.html",
    "requests.*",
    "plan.json",
    "journal.jsonl",
    "tables/*.csv",
    "tables/*.xlsx",
)


class Session:
    """One run of one notebook.

    Attributes:
        parameters: those that the notebook declares, as they stand in its cells.
        directory: where everything of the run goes.
        is_headless: whether the runner, not a person, runs it.
        result: what came of the plan so far; None before it is applied.
    """

    def __init__(self, notebook: str, cells: Mapping[str, Any]) -> None:
        """Make the run directory and its first record.

        Args:
            notebook: its name without ending.
            cells: its `globals()`.

        Raises:
            ConfigError: if a parameter has an unknown name or a wrong value.
        """
        declared = read_parameters(find_project_root() / "notebooks" / f"{notebook}.ipynb")
        given = {known.name: cells.get(known.name, known.default) for known in declared}
        self.notebook = notebook
        self.parameters = given
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
            _refuse_misspelled(cells, list(given))
            refused = refused_values(given, notebook=notebook, runs_dir=self.directory.parent)
            check_parameters(declared, given, refused=refused)
        except ConfigError:
            self.parameters = {}  # what is refused may hold a secret
            raise
        finally:
            self._begin()

    @cached_property
    def target(self) -> Target:
        """The way to Azure or to the sandbox; a run that analyzes an earlier one never takes it."""
        return open_target(
            str(self.parameters["target"]),
            cloud=str(self.parameters["cloud"]),
            credential=str(self.parameters["credential"]),
        )

    def _begin(self) -> None:
        self._write(RunStatus.STOPPED, headline="The kernel ended before the notebook did.")
        with contextlib.suppress(ImportError):
            from IPython.core.getipython import get_ipython

            shell = get_ipython()
            if shell is not None:
                shell.events.register("post_run_cell", self._after_cell)

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
            if self.result is None:  # refused means that nothing was written
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
        from mnslib.show.plans import plan_sentence
        from mnslib.show.provisioning import (
            outcome_sentence,
            warning_lines,
            warnings_sentence,
        )

        status = RunStatus.FINDINGS if has_findings else RunStatus.DONE
        warnings = warning_lines(checks)
        numbers: dict[str, float] = dict(summary or {})
        if result is not None and plan is not None:
            self.result, status = result, _status(result, left)
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


def _status(result: ApplyResult, left: Plan | None) -> RunStatus:
    if result.interrupted_by_signal is not None:
        return RunStatus.INTERRUPTED
    if result.is_dry_run:
        return RunStatus.FINDINGS
    if not result.unfinished:
        return RunStatus.PARTLY if left is not None and left.to_do else RunStatus.DONE
    is_any_done = result.counts().keys() & {kind.value for kind in WRITTEN_OUTCOMES}
    return RunStatus.PARTLY if is_any_done else RunStatus.FAILED


def _refuse_misspelled(cells: Mapping[str, Any], names: list[str]) -> None:
    """Refuse a variable that is nearly a parameter: papermill injects what nobody declared."""
    for name, value in cells.items():
        is_literal = isinstance(value, str | int | float | list | dict) and name[0] != "_"
        near = get_close_matches(name, names, n=1, cutoff=0.8) if is_literal else []
        if near and name not in names:
            raise ConfigError(
                f"{name}: the notebook has no such parameter; did you mean {near[0]}?"
            )
