"""One run, of a notebook or of the library: its parameters, directory, target and `result.json`.

The record is there from the first moment, as `stopped`, so that a process that dies is known by it;
what fails replaces it, and the last step has the last word. A run that ended, or after which its
kernel began another, is closed: nothing that comes later touches its record. What was written to
Azure is in it whatever fails after. Decides nothing about namespaces, asks nothing of Azure.
"""

import ast
import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar

import mnslib
from mnslib import results
from mnslib.errors import ApplyError, ConfigError, MnsError, PlanError, SpecError, cut
from mnslib.provisioning.journal import JOURNAL_NAME
from mnslib.results import ApplyResult, CheckResult, RunRecord, RunStatus, about, utc_now, utc_text
from mnslib.run import project, runs
from mnslib.run.parameters import TARGETS, Parameter, check_parameters, recordable
from mnslib.run.targets import WAY, Target, open_target, sandbox_name
from mnslib.secrets import hide_secrets
from mnslib.show.displays import Shown, Table, pictures
from mnslib.show.plans import next_steps, outcome_sentence, warning_lines
from mnslib.show.templates import render_part, sentence
from mnslib.signals import end_pauses

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


class Run(Shown):
    """One run, of a notebook or of the library.

    Attributes:
        parameters: all of the run, by name, as they were when it began.
        directory: where everything of the run goes.
        result: what came of its plan so far; None before it is applied.
        status: what its record says.
        beside: parameters of its notebook that its record does not hold, since another resumes it.
        content: digest of what it was asked to make so; empty where it reads, or was asked nothing
            yet.
    """

    open: ClassVar["Run | None"] = None
    """The run of this kernel that is told of a failing cell."""

    is_closed = has_failed = False
    result: ApplyResult | None = None
    status: RunStatus
    beside: Mapping[str, Any] = MappingProxyType({})
    content = ""

    def __init__(
        self, notebook: str, parameters: Mapping[str, Any], directory: Path, environment: str
    ) -> None:
        """Write its first record into a run directory."""
        self.notebook, self.directory, self.started = notebook, directory, utc_now()
        self.parameters = self._cells = parameters
        self.environment = environment
        self._mark = runs.mark_under_way(directory)
        self.write(RunStatus.STOPPED, runs.NOT_ENDED)

    @classmethod
    def begun(cls, notebook: str, cells: Mapping[str, Any], declared: Sequence[Parameter]) -> Self:
        """Return the run of a notebook, which hears from now on what fails in its cells.

        Args:
            notebook: its name without ending.
            cells: its `globals()`.
            declared: what its `parameters` cell declares.

        Raises:
            ConfigError: if a parameter has an unknown name or a wrong value; the run is begun.
        """
        given = {known.name: cells.get(known.name, known.default) for known in declared}
        named, runs_dir = os.environ.get(project.RUN_DIRECTORY_VARIABLE, ""), str(given["runs_dir"])
        target = given["target"] if given["target"] in TARGETS else "unknown"
        environment = os.environ.get(project.RUN_ENVIRONMENT_VARIABLE, target)
        directory, refusal = Path(named), None
        is_taken = project.read_result(directory) is not None  # by what this kernel ran before
        if not named or is_taken:
            directory = project.new_run_directory(
                directory.parent if named else project.resolve_path(runs_dir),
                notebook=notebook,
                environment=environment,
            )
        try:
            # a copy: a list that a cell adds to is another value, and would be the same object
            given = deepcopy(given)
            # the runner has checked it all, but plain papermill passes anything on
            passed = {name: cells.get(name) for name in _injected(cells.get("In", ()))} | given
            refused = runs.refused(given, notebook=notebook, runs_dir=directory.parent)
            check_parameters(declared, passed, refused=refused)
        except Exception as error:  # no value is so odd that the run has no record
            refusal, given = error, recordable(given)  # what is refused may hold a secret
            if not isinstance(error, ConfigError):
                said = cut(f"{type(error).__name__}: {error}")
                refusal = ConfigError(f"A parameter has a value that cannot be read: {said}")
        if (last := Run.open) is not None:
            if last.status is RunStatus.STOPPED:
                said = "Its kernel began another run before this one ended."
                last.write(RunStatus.STOPPED, last.behind_written(said))
            last.close()
        end_pauses()  # where the one before was interrupted, this one waits as it needs
        run = cls(notebook, given, directory, environment)
        run._cells, Run.open = cells, run
        if refusal is not None:
            run.has_failed = True
            run.write_failure(refusal)
            raise refusal
        if not given.get("snapshot_run"):
            _ = run.target  # a word that does not exist is refused here, not by a later cell
        return run

    def _shown(self) -> Table:
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
                ["Mode", render_part("run.txt.j2", "mode", self.parameters)],
                ["Run directory", str(self.directory)],
                ["mnslib", mnslib.__version__],
            ],
        )

    def with_pictures(self, shown: T) -> T:
        """Return what a cell shows, after `charts/<name>.svg` of its charts that have one."""
        for chart in [chart for chart in pictures(shown) if chart.has_svg]:
            (self.directory / CHARTS_FOLDER).mkdir(exist_ok=True)
            project.write_whole(self.directory / CHARTS_FOLDER / f"{chart.name}.svg", chart.svg())
        return shown

    def asked(self, *names: str) -> dict[str, Any]:
        """Return parameters by name, as they were when the run began."""
        self.require_open()
        return {name: {**self.beside, **self.parameters}[name] for name in names}

    def require_open(self) -> None:
        """Raise ConfigError if the run has ended, or a cell has changed a parameter since."""
        if self.is_closed:
            raise ConfigError("This run has ended: run the setup cell, which begins a new one.")
        self.require_unchanged()

    def require_unchanged(self) -> None:
        """Raise ConfigError if a cell has changed a parameter: the record is of those before."""
        for name, value in self.parameters.items():
            if self._cells.get(name, value) != value:
                raise ConfigError(project.message("changed", name=name))

    @cached_property
    def target(self) -> Target:
        """The way to Azure or to the sandbox; a run that analyzes an earlier one never takes it."""
        return open_target(**{name: str(self.parameters[name]) for name in WAY})

    def way_on(self, error: BaseException) -> str:
        """Return what to write into its parameters, or to call, to go on after an error."""
        return ""

    def close(self) -> None:
        """Let nothing that comes later in this process touch the record."""
        self.is_closed = True
        self._mark.release()
        (self.directory / runs.UNDER_WAY_NAME).unlink(missing_ok=True)

    @property
    def so_far(self) -> ApplyResult:
        """What came of its items so far."""
        return self.result or ApplyResult(outcomes=())

    def behind_written(self, then: str) -> str:
        """Return a sentence, behind what was written by then."""
        told = self.so_far
        return f"{outcome_sentence(told)} {then}" if told.outcomes and not told.is_dry_run else then

    def write(
        self,
        status: RunStatus,
        headline: str,
        summary: Mapping[str, float] | None = None,
        warnings: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the record, after writing `result.json` anew."""
        self.status = status
        record = RunRecord(
            notebook=self.notebook,
            environment=self.environment,
            target=str(self.parameters.get("target", "")),
            sandbox=sandbox_name(self.parameters),
            started_utc=utc_text(self.started),
            finished_utc=utc_text(utc_now()),
            status=status,
            exit_code=results.EXIT_CODES[status],
            parameters=self.parameters,
            headline=hide_secrets(headline),  # an error of somebody else's may quote anything
            summary=summary or {},
            items=self.so_far.outcomes,
            content=self.content,
            artifacts=[
                str(path.relative_to(self.directory))
                for pattern in ARTIFACTS
                for path in sorted(self.directory.glob(pattern))
            ],
            warnings=warnings,
        )
        project.write_result(self.directory, told := record.to_json())
        return told

    def write_failure(self, error: BaseException, *, is_own: bool = True) -> None:
        """Write how an error ended the run.

        Args:
            is_own: it came from a step of the run, which knows what it means for it.
        """
        status, headline = RunStatus.FAILED, str(error)
        if self.is_closed:
            return  # as where something is not as requested, which is recorded before it is raised
        if isinstance(error, KeyboardInterrupt):
            status, headline = RunStatus.INTERRUPTED, "Interrupted before the run ended."
        elif self.so_far.outcomes and not is_own:  # what it says was not written is something else
            headline = f"Then a cell failed that is no step of it ({type(error).__name__})."
        elif is_own and isinstance(error, PlanError):
            headline = results.NOT_APPROVED + headline
        elif isinstance(error, SpecError | ConfigError):
            # refused means that nothing was written, and the journal is there before a write is
            if self.result is None and not (self.directory / JOURNAL_NAME).exists():
                status = RunStatus.REFUSED
        elif not isinstance(error, MnsError):
            headline = cut(f"{type(error).__name__}: {error}")
        self.write(status, self.behind_written(headline), self.so_far.counts())

    def finish(
        self,
        status: RunStatus,
        headline: str,
        numbers: Mapping[str, float],
        checks: Sequence[CheckResult],
        *,
        is_unchanged: bool = False,
    ) -> Table:
        """Return the figures of the run, after its last word is written.

        Args:
            checks: of what was read; one that warns is a finding.
            is_unchanged: nothing had to be changed; a warning of the run before is none then.

        Raises:
            ApplyError: after that, if something is not as requested, so that every way of running
                the notebook ends as failed.
        """
        self.require_open()
        warnings = warning_lines(checks)
        headline = f"{headline} {sentence('plans.txt.j2', 'warnings', warnings)}".strip()
        if status is RunStatus.DONE and warnings:
            own = {"notebook": self.notebook, "environment": self.environment}
            own["started_utc"] = utc_text(self.started)
            same = about(self.parameters)
            before = runs.run_before(self.directory, own, lambda r: about(r["parameters"]) == same)
            said = before[1].get("warnings", ()) if before else ()
            if is_unchanged and set(warnings) <= set(said):
                headline += " The run before said so too."
            else:
                status = RunStatus.FINDINGS
        told = self.write(status, headline, numbers, warnings)
        self.close()
        if status in (RunStatus.PARTLY, RunStatus.FAILED, RunStatus.INTERRUPTED):
            resumed = self.directory if "resume_run" in self.parameters else None
            again = render_part("run.txt.j2", "again", self.result, resumed)
            raise ApplyError(f"{headline} {again}")
        return Table(
            columns=["Figure", "Value"],
            rows=[[name.replace("_", " "), value] for name, value in numbers.items()],
            caption=f"{status.value.capitalize()}: {headline}",
            note=next_steps(told, self.directory.name),
        )


def _injected(sources: Sequence[str]) -> list[str]:
    """Return the names that papermill injected; other names than declared are the notebook's."""
    return [
        node.id
        for source in sources
        if source.startswith(_INJECTED)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
