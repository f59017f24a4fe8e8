"""Runs a notebook through papermill and leaves a whole run directory, whatever happens.

The notebook's session writes `result.json`; this module reads it, decides the exit code, and writes
the record itself where there is none: refused parameters, a dead kernel. Knows nothing of Azure.
papermill takes seconds to import, so it is imported while the kernel starts.

    >>> run_notebook("30", parameters={}, environment="sandbox", runs_dir="runs").exit_code
    0
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnslib.errors import ConfigError, SpecError
from mnslib.interruption import InterruptedRunError, Watch, signals_to
from mnslib.parameters import (
    PARAMETERS_TAG,
    Parameter,
    check_parameters,
    parse_assignment,
    read_parameter_file,
    read_parameters,
)
from mnslib.project import (
    RUN_DIRECTORY_VARIABLE,
    find_project_root,
    new_run_directory,
    read_result,
    resolve_path,
    run_directories,
    write_result,
    write_whole,
)
from mnslib.results import EXIT_CODES, RunRecord, RunStatus, utc_text

__all__ = [
    "Parameter",
    "RunOutcome",
    "check_parameters",
    "environment_name",
    "find_notebook",
    "find_project_root",
    "open_copy",
    "parse_assignment",
    "read_parameter_file",
    "read_parameters",
    "resolve_path",
    "run_notebook",
    "write_index",
]

DETAILED_FINDINGS = 2
_LAST_WORDS = set(RunStatus) - {RunStatus.DONE, RunStatus.STOPPED}
"""What a session's record may say of a cell that failed; `stopped` is only provisional."""

_REFUSING = {ConfigError.__name__, SpecError.__name__}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended; `message` says why where it is not done, else the headline."""

    directory: Path
    exit_code: int
    status: RunStatus
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """How the execution ended, as seen from outside the kernel.

    Attributes:
        status: DONE where the last cell ran.
        headline: what happened, for a run without a record of its own.
    """

    status: RunStatus
    headline: str = ""


def run_notebook(
    notebook: str | Path,
    *,
    parameters: Mapping[str, Any],
    environment: str,
    runs_dir: str | Path,
    detailed_exitcode: bool = False,
    timeout_seconds: float | None = None,
    cell_timeout_seconds: float | None = None,
) -> RunOutcome:
    """Run a notebook in a fresh directory below `runs_dir`, which is whole when this returns.

    Refused parameters start no kernel. While it runs, SIGINT and SIGTERM interrupt the cell, whose
    session awaits what is under way; a second signal kills the kernel.

    Args:
        notebook: path, name, or number under `notebooks/`, as `find_notebook` takes it.
        parameters: by name; those left out keep their defaults.
        environment: last part of the directory's name, such as "prod".
        runs_dir: relative paths are taken from the project folder.
        detailed_exitcode: findings end with 2 instead of 0.
        timeout_seconds: for the whole run; None = no bound.
        cell_timeout_seconds: for each cell; None = no bound.

    Raises:
        ConfigError: no such notebook, or no project folder; there is no run directory then.
    """
    path = find_notebook(notebook)
    declared = read_parameters(path)
    runs = resolve_path(runs_dir)
    started = datetime.now(UTC)
    directory = new_run_directory(
        runs, notebook=path.stem, environment=environment, started=started
    )
    watch = Watch(
        deadline=time.monotonic() + (timeout_seconds or math.inf),
        cell_timeout_seconds=cell_timeout_seconds or math.inf,
    )
    defaults = {known.name: known.default for known in declared}
    with signals_to(watch):
        try:
            given = check_parameters(declared, parameters)
        except ConfigError as error:
            given, ending = {}, _Ending(status=RunStatus.REFUSED, headline=str(error))
        else:
            ending = _execute(path, directory, given, watch)
        own = RunRecord(
            notebook=path.stem,
            environment=environment,
            target=str((defaults | given).get("target", "")),
            started_utc=utc_text(started),
            finished_utc=utc_text(datetime.now(UTC)),
            status=ending.status,
            exit_code=EXIT_CODES[ending.status],
            headline=ending.headline,
            # nothing of what was refused is written down: it may hold a secret
            parameters={} if ending.status is RunStatus.REFUSED else defaults | given,
        ).to_json()
        result = _settled(own, read_result(directory), ending)
        result["exit_code"] = _exit_code(result["status"], watch.number, detailed=detailed_exitcode)
        _write_pages(directory, result)
        write_index(runs)
    return RunOutcome(
        directory=directory,
        exit_code=result["exit_code"],
        status=RunStatus(result["status"]),
        message=result["headline"],
    )


def find_notebook(notebook: str | Path, *, root: Path | None = None) -> Path:
    """Return the path of a notebook.

    Args:
        notebook: a path (from the project folder, else from the working directory), a file name
            or stem under `notebooks/`, or its number (`30`).
        root: the project folder; None = the one of `find_project_root`.

    Raises:
        ConfigError: there is none, or more than one.
    """
    given = Path(notebook)
    if given.is_absolute() and given.is_file():
        return given
    root = root or find_project_root()
    if given.suffix == ".ipynb":
        for path in (root / given, given.resolve()):
            if path.is_file():
                return path
    name = given.name.removesuffix(".ipynb")
    known = sorted((root / "notebooks").glob("[0-9]*.ipynb"))
    found = [path for path in known if path.stem == name or path.stem.startswith(f"{name}_")]
    if len(found) != 1:
        names = ", ".join(path.stem for path in known)
        raise ConfigError(f"{notebook} names {len(found)} notebooks; there are: {names or 'none'}.")
    return found[0]


def environment_name(parameter_file: Path | None, target: str) -> str:
    """Return a run's environment: `prod` of `30_provision_in_bulk.prod.yaml`, else the target."""
    parts = parameter_file.name.split(".") if parameter_file else []
    return parts[-2] if len(parts) > 2 else target


def open_copy(notebook: str | Path, *, parameters: Mapping[str, Any], runs_dir: str | Path) -> Path:
    """Return a copy of a notebook with those parameters, without outputs, to be worked in.

    It lies in `open/` below `runs_dir`, so that no tracked notebook is edited.

    Raises:
        ConfigError: no such notebook, or parameters it does not take.
    """
    path = find_notebook(notebook)
    given = check_parameters(read_parameters(path), parameters)
    content = json.loads(path.read_text(encoding="utf-8"))
    cells = content["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    place = 1 + next(
        index
        for index, cell in enumerate(cells)
        if PARAMETERS_TAG in cell["metadata"].get("tags", ())
    )
    if given:
        lines = [f"{name} = {value!r}" for name, value in given.items()]
        cells.insert(place, _injected("\n".join(["# Parameters", *lines]), content))
    folder = resolve_path(runs_dir) / "open"
    directory = new_run_directory(
        folder, notebook=path.stem, environment="open", started=datetime.now(UTC)
    )
    copy = directory / path.name
    write_whole(copy, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return copy


def write_index(runs_dir: str | Path) -> Path:
    """Write `index.html` over all runs below `runs_dir` and return its path."""
    from mnslib.reporting.html import run_index_html

    runs = resolve_path(runs_dir)
    runs.mkdir(parents=True, exist_ok=True)
    found = [(path.name, read_result(path)) for path in run_directories(runs)]
    index = runs / "index.html"
    write_whole(index, run_index_html([(name, result) for name, result in found if result]))
    return index


def _execute(path: Path, directory: Path, parameters: Mapping[str, Any], watch: Watch) -> _Ending:
    from mnslib.kernel import Kernel

    executed = directory / "notebook.ipynb"
    watch.kernel = Kernel({RUN_DIRECTORY_VARIABLE: str(directory)})
    try:
        ending = _through_papermill(path, executed, parameters, watch)
    finally:
        watch.kernel.stop(is_busy=watch.runs_cell)
        watch.kernel = None
    if ending.status is RunStatus.DONE and (left := _cells_not_run(executed)):
        # papermill takes `SystemExit(0)` in a cell for success
        ending = _Ending(
            status=RunStatus.FAILED,
            headline=f"The notebook ended itself early; {left} of its code cells did not run",
        )
    if watch.number is not None and ending.status is not RunStatus.DONE:
        name = signal.Signals(watch.number).name
        ending = _Ending(status=RunStatus.INTERRUPTED, headline=f"Interrupted by {name}")
    return ending


def _through_papermill(
    path: Path, executed: Path, parameters: Mapping[str, Any], watch: Watch
) -> _Ending:
    import papermill

    assert watch.kernel is not None
    try:
        papermill.execute_notebook(
            _literal(path),
            _literal(executed),
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            km=watch.kernel.manager,
            timeout_func=watch.timeout,
            on_cell_execute=watch.on_cell_execute,
            on_cell_executed=watch.on_cell_executed,
        )
    except papermill.PapermillExecutionError as error:
        status = RunStatus.REFUSED if error.ename in _REFUSING else RunStatus.FAILED
        return _Ending(status=status, headline=f"{error.ename}: {error.evalue}")
    except InterruptedRunError:
        return _Ending(status=RunStatus.INTERRUPTED)
    except TimeoutError:
        return _Ending(status=RunStatus.STOPPED, headline="The run took longer than it was allowed")
    except RuntimeError as error:  # nbclient's base for a dead kernel, at its start and later
        return _Ending(status=RunStatus.STOPPED, headline=f"The notebook's process ended: {error}")
    return _Ending(status=RunStatus.DONE, headline="The notebook ran to its end")


def _literal(path: Path) -> str:
    """Return a path for papermill, which takes every path for a format string."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _cells_not_run(notebook: Path) -> int:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return sum(
        cell["cell_type"] == "code"
        and bool("".join(cell["source"]).strip())
        and cell["execution_count"] is None
        for cell in cells
    )


def _settled(
    own: Mapping[str, Any], recorded: Mapping[str, Any] | None, ending: _Ending
) -> dict[str, Any]:
    """Return the run's record: the session's where it has the last word, else corrected by ours.

    A session leaves a provisional `stopped` at its start, which is no word at all.
    """
    if recorded is None:
        return dict(own)
    result = {**own, **recorded}
    status = RunStatus(result["status"])
    if ending.status is RunStatus.DONE and status is not RunStatus.STOPPED:
        return result
    if ending.status in (RunStatus.FAILED, RunStatus.REFUSED) and status in _LAST_WORDS:
        return result
    if ending.status is status is RunStatus.INTERRUPTED:
        return result
    corrected, headline = ending.status, ending.headline
    if ending.status is RunStatus.DONE:
        corrected, headline = RunStatus.FAILED, "The notebook ended without recording its result"
    result.update(
        status=corrected.value, headline=headline, finished_utc=utc_text(datetime.now(UTC))
    )
    return result


def _exit_code(status: str, signal_number: int | None, *, detailed: bool) -> int:
    if status == RunStatus.FINDINGS and detailed:
        return DETAILED_FINDINGS
    if status == RunStatus.INTERRUPTED and signal_number is not None:
        return 128 + signal_number
    return EXIT_CODES[RunStatus(status)]


def _write_pages(directory: Path, result: dict[str, Any]) -> None:
    """Write `result.json`, then the report made of it."""
    from mnslib.reporting.html import report_html

    made = ["notebook.ipynb", "report.html"] if (directory / "notebook.ipynb").is_file() else []
    result["artifacts"] = list(dict.fromkeys([*(made or ["report.html"]), *result["artifacts"]]))
    write_result(directory, result)
    write_whole(directory / "report.html", report_html(directory / "notebook.ipynb", result))


def _injected(source: str, notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return a code cell as papermill would inject it; formats from 4.5 on want an id."""
    cell: dict[str, Any] = {
        "cell_type": "code",
        "metadata": {"tags": ["injected-parameters"]},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    has_ids = (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)
    return {"id": "injected-parameters", **cell} if has_ids else cell
