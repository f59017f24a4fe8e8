"""Runs a notebook through papermill and leaves a whole run directory, whatever happens.

The notebook's run writes `result.json`; this module reads it, decides the exit code, and writes
the record itself where there is none: refused parameters, a dead kernel. Each end is listed,
measured and told from here. Knows nothing of Azure.
papermill takes seconds to import, so it is imported while the kernel starts.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

from mnslib.errors import ConfigError, LockedError, SpecError, cut
from mnslib.results import EXIT_CODES, LOCKED_EXIT_CODE, RunRecord, RunStatus, utc_now, utc_text
from mnslib.run import project, runs
from mnslib.run.interruption import collect_rarely
from mnslib.run.log import Log, tell
from mnslib.run.notify import notify, write_metrics
from mnslib.run.parameters import (
    PARAMETERS_TAG,
    TARGETS,
    check_parameters,
    filled,
    read_parameters,
    recordable,
)
from mnslib.secrets import hide_secrets
from mnslib.signals import signals_to

if TYPE_CHECKING:
    from mnslib.run.kernel import Kernel

DETAILED_FINDINGS = 2
SAVE_AFTER_SECONDS = 0.1
"""A cell that runs longer is run over a notebook saved as it began. Our choice: tables take less,
so what a killed run can lose is what its last tenths of a second showed."""

_UNAPPROVED = {"dry_run": True, "approval": "digest", "approved_digest": "", "allow": []}
Ending = tuple[RunStatus, str]
"""How an execution ended, seen from outside the kernel, and the headline; DONE where the last cell
ran."""

_REFUSING = {ConfigError.__name__, SpecError.__name__}
_NO_LAST_WORDS = {
    RunStatus.DONE: {RunStatus.STOPPED},
    RunStatus.FAILED: {RunStatus.STOPPED, RunStatus.DONE},
    RunStatus.REFUSED: {RunStatus.STOPPED, RunStatus.DONE},
    RunStatus.INTERRUPTED: set(RunStatus) - {RunStatus.INTERRUPTED},
    RunStatus.STOPPED: set(RunStatus),
}
"""By how the execution ended: what a run may not say of it; its first `stopped` is no word yet."""


class InterruptedRunError(Exception):
    """A signal came while no cell ran; the next one is not started."""


@dataclass(slots=True)
class Watch:
    """Signals of one run, and its notebook on disk, while its cells run.

    The first signal interrupts the cell, the second kills the kernel; one that comes between two
    cells is heeded before the next. papermill would save the notebook before and after every cell,
    with the kernel waiting: a second of an analysis. What could not be saved while a cell ran is
    told by the last time, which is papermill's own.
    """

    path: Path = Path()
    kernel: Kernel | None = None
    notebook: Any = None
    number: int | None = None
    is_heard: bool = False
    runs_cell: bool = False
    next_save: asyncio.TimerHandle | None = None
    error_name: str = ""
    is_late: bool = False

    def on_time_limit(self) -> None:
        """Do what SIGTERM does, unless a signal came before; called in a thread."""
        if self.number is None:
            self.is_late = True
            self.on_signal(signal.SIGTERM, None)

    def on_signal(self, number: int, _frame: object) -> None:
        is_first, self.number = self.number is None, self.number or number
        if self.kernel is None:
            return
        if not is_first:
            self.kernel.kill("by a second signal")
        elif self.runs_cell:
            self.is_heard = True
            self.kernel.interrupt()

    def on_notebook_start(self, *, notebook: Any) -> None:
        self.notebook = notebook

    def on_cell_execute(self, **_: Any) -> None:
        """Heed a signal that came before; have the notebook saved if this cell takes longer."""
        self.runs_cell = True  # from here on the kernel hears a signal; one before is heeded here
        if self.number is not None and not self.is_heard:
            self.runs_cell = False
            raise InterruptedRunError
        self.forget()
        if self.notebook is not None:
            loop = asyncio.get_running_loop()
            self.next_save = loop.call_later(SAVE_AFTER_SECONDS, self.save)

    def on_cell_executed(self, **_: Any) -> None:
        self.runs_cell = False

    def save(self) -> None:
        """Write the notebook as it is now; nothing where no cell was begun."""
        if self.notebook is not None:
            import nbformat  # takes as long as papermill, which is imported by then

            text = nbformat.writes(self.notebook)  # type: ignore[no-untyped-call]
            with suppress(OSError):
                project.write_whole(self.path, text)

    def forget(self) -> None:
        if self.next_save is not None:
            self.next_save.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended; `message` says why where it is not done, else the headline.

    Attributes:
        notice: why nobody was notified of it; empty where all is well.
        is_late: it was stopped by its time limit.
    """

    directory: Path
    exit_code: int
    status: RunStatus
    message: str
    notice: str = ""
    is_late: bool = False


def run_notebook(
    notebook: str | Path,
    *,
    parameters: Mapping[str, Any],
    environment: str,
    runs_dir: str | Path,
    detailed_exitcode: bool = False,
    time_limit_minutes: float | None = None,
    on_begin: Callable[[str], object] = str,
) -> RunOutcome:
    """Run a notebook in a fresh directory below `runs_dir`, which is whole when this returns.

    Refused parameters start no kernel. While it runs, SIGINT and SIGTERM interrupt the cell, whose
    run awaits what is under way; a second signal kills the kernel.

    Args:
        notebook: path, name, or number under `notebooks/`, as `find_notebook` takes it.
        parameters: by name; those left out keep their defaults.
        environment: last part of the directory's name, such as "prod".
        runs_dir: relative paths are taken from the project folder.
        detailed_exitcode: findings end with 2 instead of 0.
        time_limit_minutes: after so long it is stopped as by SIGTERM; None for never.
        on_begin: is given the name of the run directory.

    Raises:
        ConfigError: no such notebook, or no project folder; there is no run directory then.
    """
    path = find_notebook(notebook)
    declared = read_parameters(path)
    folder, started = project.resolve_path(runs_dir), utc_now()
    asked = {known.name: known.default for known in declared} | dict(parameters)
    watch = Watch()
    limit = Timer((time_limit_minutes or 0) * 60, watch.on_time_limit)
    with signals_to(watch.on_signal, signal.SIGINT, signal.SIGTERM):
        directory = _new_directory(folder, path.stem, environment, started, asked)
        on_begin(directory.name)
        watch.path = directory / "notebook.ipynb"
        try:
            if time_limit_minutes is not None:
                limit.start()
            refused = runs.refused(asked, notebook=path.stem, runs_dir=folder)
            given = check_parameters(declared, parameters, refused=refused)
            ending = _execute(path, given, watch, environment)
        except ConfigError as error:
            ending = RunStatus.REFUSED, str(error)
        except Exception as error:  # such as no memory for a kernel: that is an end, too
            ending = RunStatus.STOPPED, _said(error)
        finally:
            limit.cancel()
        own = _from_outside(path.stem, environment, asked, ending, started)
        result = _last_word(own, directory, watch, detailed_exitcode)
        notice = _end(directory, result, asked)
    return RunOutcome(
        directory=directory,
        exit_code=result["exit_code"],
        status=RunStatus(result["status"]),
        message=result["headline"],
        notice=notice,
        is_late=watch.is_late,
    )


def _new_directory(
    folder: Path, notebook: str, environment: str, started: datetime, asked: Mapping[str, Any]
) -> Path:
    try:
        return project.new_run_directory(
            folder, notebook=notebook, environment=environment, started=started
        )
    except ConfigError as error:
        raise told_refusal(error, notebook, environment, asked) from error


def _end(directory: Path, result: dict[str, Any], asked: Mapping[str, Any]) -> str:
    """Write, measure, list and tell how a run ended; return what of that could not be done."""
    said = [runs.write_end(directory, result)]
    for what, write in (
        ("metrics", partial(write_metrics, directory, result)),
        ("index", partial(runs.write_index, directory.parent)),
    ):
        try:
            write()
        except Exception as error:  # of whatever run it is, this one has ended
            said.append(f"The {what} cannot be written: {_said(error)}.")
    said.append(notify(result, run=directory.name, parameters=asked))
    return " ".join(filter(None, said))


def told_refusal(
    error: ConfigError, notebook: str, environment: str, asked: Mapping[str, Any]
) -> ConfigError:
    """Return why no run could begin, after whoever is named was told of it.

    Args:
        asked: the parameters, as far as they can be read.
    """
    own = _from_outside(notebook, environment, asked, (RunStatus.REFUSED, str(error)), utc_now())
    return ConfigError(f"{error} {notify(own.to_json(), run='', parameters=asked)}".strip())


def _from_outside(
    notebook: str, environment: str, asked: Mapping[str, Any], ending: Ending, started: datetime
) -> RunRecord:
    """Return the record of a run as it looks from outside its kernel."""
    status, headline = ending
    return RunRecord(
        notebook=notebook,
        environment=environment,
        target=str(asked["target"]) if asked.get("target") in TARGETS else "",
        started_utc=utc_text(started),
        finished_utc=utc_text(utc_now()),
        status=status,
        exit_code=EXIT_CODES[status],
        headline=headline,
        parameters=recordable(asked) if status is RunStatus.REFUSED else asked,
    )


def find_notebook(notebook: str | Path) -> Path:
    """Return the path of a notebook.

    Args:
        notebook: a path (from the project folder, else from the working directory), a file name
            or stem under `notebooks/`, or its number (`30`).

    Raises:
        ConfigError: there is none, or more than one.
    """
    given, root = Path(notebook), project.find_project_root()
    for path in (root / given, given.absolute()):
        if path.suffix == ".ipynb" and path.is_file():
            return path
    name = given.name.removesuffix(".ipynb")
    known = sorted((root / "notebooks").glob("[0-9]*.ipynb"))
    found = [path for path in known if path.stem == name or path.stem.startswith(f"{name}_")]
    if len(found) != 1:
        problem = "names more than one notebook" if found else "is no notebook"
        names = ", ".join(path.stem for path in known) or "none"
        raise ConfigError(f"{notebook} {problem}; those in {root / 'notebooks'} are: {names}.")
    return found[0]


def environment_name(parameter_file: Path | None, target: str) -> str:
    """Return a run's environment: `prod` of `30_provision_in_bulk.prod.yaml`, else the target."""
    parts = parameter_file.name.split(".") if parameter_file else []
    # a target that does not exist is refused later, and may be a secret in the wrong place
    return parts[-2] if len(parts) > 2 else target if target in TARGETS else "unknown"


def open_copy(notebook: str | Path, *, parameters: Mapping[str, Any], runs_dir: str | Path) -> Path:
    """Return a copy of a notebook with those parameters, to be worked in.

    It lies in `open/` below `runs_dir`, so that no tracked notebook is edited. The parameters stand
    in the notebook's own cell. It is a dry run without approval, whatever they say: who opens it
    has read no plan yet. Code is folded away, but for the parameters where no form asks for them.
    """
    path = find_notebook(notebook)
    given = dict(check_parameters(read_parameters(path), parameters))
    given |= {name: value for name, value in _UNAPPROVED.items() if name in given}
    folder = project.resolve_path(runs_dir) / "open"
    directory = project.new_run_directory(folder, notebook=path.stem, environment="open")
    copy = directory / path.name
    content = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    has_form = any("run.form(" in "".join(cell["source"]) for cell in code)
    for cell in code:
        is_asked_here = PARAMETERS_TAG in cell["metadata"].get("tags", ())
        if is_asked_here:
            cell["source"] = filled("".join(cell["source"]), given)
        if has_form or not is_asked_here:
            cell["metadata"]["jupyter"] = {"source_hidden": True}
    project.write_whole(copy, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return copy


def _execute(path: Path, parameters: Mapping[str, Any], watch: Watch, environment: str) -> Ending:
    collect_rarely()
    from mnslib.run.kernel import Kernel

    told = {
        project.RUN_DIRECTORY_VARIABLE: str(watch.path.parent),
        project.RUN_ENVIRONMENT_VARIABLE: environment,
    }
    watch.kernel = kernel = Kernel(told)
    try:
        status, headline = _through_papermill(path, parameters, watch, kernel)
    finally:
        watch.forget()
        kernel.stop(is_busy=watch.runs_cell)
        watch.kernel = None
    if status is RunStatus.DONE:
        cells = json.loads(watch.path.read_text(encoding="utf-8"))["cells"]
        sources = [c["source"] for c in cells if c.get("execution_count", 0) is None]
        if left := sum(bool("".join(source).strip()) for source in sources):
            # papermill takes `SystemExit(0)` in a cell for success
            headline = f"The notebook ended itself early; {left} of its code cells did not run"
            return RunStatus.FAILED, headline
    elif watch.number is not None:
        headline = f"Interrupted by {signal.Signals(watch.number).name}"
        headline += f", then killed {kernel.killed}" if kernel.killed else ""
        return RunStatus.INTERRUPTED, headline
    return status, headline


def _through_papermill(
    path: Path, parameters: Mapping[str, Any], watch: Watch, kernel: Kernel
) -> Ending:
    papermill = _papermill()
    try:
        papermill.execute_notebook(
            # which takes every path for a format string
            *(str(one).replace("{", "{{").replace("}", "}}") for one in (path, watch.path)),
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stdout_file=Log(sys.stdout),
            stderr_file=Log(sys.stderr),
            request_save_on_cell_execute=False,
            km=kernel,
            on_notebook_start=watch.on_notebook_start,
            on_cell_start=_tell_section,
            on_cell_execute=watch.on_cell_execute,
            on_cell_executed=watch.on_cell_executed,
        )
        return RunStatus.DONE, "The notebook ran to its end"
    except papermill.PapermillExecutionError as error:  # with which papermill saves it
        watch.error_name = error.ename
        status = RunStatus.REFUSED if error.ename in _REFUSING else RunStatus.FAILED
        return status, hide_secrets(f"{error.ename}: {error.evalue}")
    except InterruptedRunError:
        watch.save()
        return RunStatus.INTERRUPTED, ""
    except OSError as error:
        return RunStatus.STOPPED, runs.unwritable(error)
    except (TypeError, ValueError) as error:  # what was done stands, and so does its record
        return RunStatus.FAILED, f"The notebook cannot be saved: {error}"
    except RuntimeError as error:  # nbclient's base for a dead kernel, at its start and later
        watch.save()
        return RunStatus.STOPPED, f"The notebook's process ended: {error}"


def _last_word(
    own: RunRecord, directory: Path, watch: Watch, detailed_exitcode: bool
) -> dict[str, Any]:
    """Return the record of a run that ended: its own, where that can be trusted, and exit code."""
    (directory / runs.UNDER_WAY_NAME).unlink(missing_ok=True)  # the kernel's, which has ended
    recorded = project.read_result(directory) or {}
    if recorded and recorded["status"] in _NO_LAST_WORDS[own.status]:
        if own.status is RunStatus.DONE:
            headline = "The notebook ended without recording its result"
            own = replace(own, status=RunStatus.FAILED, headline=headline)
        if recorded["items"]:  # they stand, whatever ended the notebook after them
            own = replace(own, headline=f"{recorded['headline']} Then: {own.headline}")
        for name in ("status", "headline", "finished_utc"):
            del recorded[name]
    result, _ = runs.by_journal(directory, own.to_json() | recorded)
    result["exit_code"] = EXIT_CODES[RunStatus(result["status"])]
    if result["status"] == RunStatus.FINDINGS and detailed_exitcode:
        result["exit_code"] = DETAILED_FINDINGS
    if result["status"] == RunStatus.FAILED and watch.error_name == LockedError.__name__:
        result["exit_code"] = LOCKED_EXIT_CODE
    if result["status"] == RunStatus.INTERRUPTED and watch.number is not None:
        result["exit_code"] = 128 + watch.number
        if watch.is_late:
            result["headline"] = f"It reached its time limit. {result['headline']}"
    return result


def _tell_section(*, cell: Any, **_: Any) -> None:
    """Print the headings of a text cell that the notebook has come to, as its report has them."""
    lines = cell.source.splitlines() if cell.cell_type == "markdown" else ()
    for line in lines:
        if line.startswith("## "):
            tell(f"{line[3:]} ...")


def _said(error: Exception) -> str:
    return hide_secrets(cut(f"{type(error).__name__}: {error}"))


def _papermill() -> Any:
    """Return papermill, imported without what no notebook of a folder needs.

    Where rfc3987_syntax is installed, as JupyterLab does, jsonschema builds 39 grammars to check
    addresses: two thirds of papermill's import time. A third of the rest is for notebooks in HDFS
    and in Azure's blobs.
    """
    hidden = {"rfc3987_syntax", "pyarrow", "papermill.abs"} - sys.modules.keys()
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]  # None reads as not installed
    try:
        import papermill
    finally:
        for name in hidden:
            del sys.modules[name]
    return papermill
