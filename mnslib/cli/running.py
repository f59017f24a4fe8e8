"""The commands that make runs, go on with them, take them back or list them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from mnslib.errors import ConfigError, printable
from mnslib.results import LIBRARY, ChangeKind, RunStatus
from mnslib.run.parameters import parse_assignment, read_parameter_file, read_parameters
from mnslib.run.project import find_project_root, read_result, resolve_path

DEMO_NOTEBOOKS = (
    "20_onboard_namespace",
    "30_provision_in_bulk",
    "40_analyze_quota_utilization",
)
BULK_NOTEBOOK = "30_provision_in_bulk"
MOST_CHANGES = 10
"""Changes of a dry run that the terminal names; the report has them all."""
NOTEBOOK_HELP = "NOTEBOOK is a path, a name such as 30_provision_in_bulk, or its number."

_RUNS = click.option("--runs", "runs_dir", default="runs", show_default=True, metavar="DIR")
_DETAILED = click.option(
    "--detailed-exitcode", is_flag=True, help="End with 2 where there are findings."
)


def _parameters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--runs", "runs_dir", metavar="DIR", help="Sets runs_dir."),
        click.option(
            "-p", "--parameter", "assignments", multiple=True, metavar="NAME=VALUE",
            help="One parameter; wins over the file. May be repeated.",
        ),
        click.option(
            "-f", "--file", type=click.Path(path_type=Path), help="Parameters, YAML."
        ),
        click.argument("notebook"),
    ):  # fmt: skip
        command = option(command)
    return command


def _given(
    notebook: str, file: Path | None, assignments: Sequence[str], runs_dir: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters that are given, and all with the notebook's defaults."""
    from mnslib.run.runner import find_notebook

    declared = read_parameters(find_notebook(notebook))
    given = read_parameter_file(file) if file else {}
    given.update(parse_assignment(text, declared) for text in assignments)
    if runs_dir is not None:
        given["runs_dir"] = runs_dir
    return given, {known.name: known.default for known in declared} | given


@click.command(epilog=NOTEBOOK_HELP)
@_parameters
@_DETAILED
def run(**options: Any) -> None:
    """Run a notebook in a fresh directory under runs/.

    Prints that directory last.
    """
    sys.exit(_run(**options))


def _run(
    notebook: str,
    *,
    file: Path | None,
    assignments: Sequence[str] = (),
    runs_dir: str | None = None,
    detailed_exitcode: bool = False,
) -> int:
    from mnslib.run.runner import environment_name

    given, asked = _given(notebook, file, assignments, runs_dir)
    environment = environment_name(file, str(asked.get("target", "sandbox")))
    return _execute(notebook, given, asked, environment, detailed=detailed_exitcode)


def _execute(
    notebook: str, given: dict[str, Any], asked: dict[str, Any], environment: str, *, detailed: bool
) -> int:
    from mnslib.run.runner import run_notebook

    outcome = run_notebook(
        notebook,
        parameters=given,
        environment=environment,
        runs_dir=str(asked.get("runs_dir", "runs")),
        detailed_exitcode=detailed,
    )
    message = printable(f"{outcome.status.value}: {outcome.message}")
    click.echo(message, err=outcome.exit_code != 0)
    if outcome.notice:
        click.echo(printable(outcome.notice), err=True)
    if outcome.status is RunStatus.FINDINGS and asked.get("dry_run"):
        click.echo(_dry_run(outcome.directory), nl=False)
    if outcome.status in (RunStatus.PARTLY, RunStatus.STOPPED, RunStatus.INTERRUPTED):
        again = ["mns", *sys.argv[1:]]
        if "resume_run" in asked and not asked["dry_run"]:
            again = ["mns", "resume", str(outcome.directory)]
        click.echo(f"To go on; what is done stays:\n  {shlex.join(again)}", err=True)
    click.echo(str(outcome.directory))
    return outcome.exit_code


def _dry_run(directory: Path) -> str:
    """Return what a plan would do, and what to write in order to go ahead."""
    from mnslib.provisioning.approval import to_go_ahead
    from mnslib.resource_ids import ManagedNamespaceId
    from mnslib.show.templates import render_part

    plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    changes = [item for item in plan["changes"] if item["change"] != ChangeKind.NO_CHANGE]
    changes.sort(key=lambda item: not item["risks"])
    risks = [risk["name"] for part in (plan, *changes) for risk in part["risks"]]
    shown = [(item, ManagedNamespaceId.parse(item["id"])) for item in changes[:MOST_CHANGES]]
    more = max(0, len(changes) - MOST_CHANGES)
    go_ahead = to_go_ahead(plan["digest"], risks)
    return render_part("run.txt.j2", "dry_run", shown, more, go_ahead)


@click.command()
@click.argument("run")
@_RUNS
@click.option(
    "--max-failures",
    metavar="CAP",
    help="Items that may fail, those of the earlier run included; else as that run had it.",
)
@_DETAILED
def resume(run: str, *, runs_dir: str, max_failures: str | None, detailed_exitcode: bool) -> None:
    """Go on with a run that ended early, under the approval that it had.

    RUN is the name of its directory, or a path. Waits until nobody writes any more, reads what was
    in flight, and touches only the rest; the new run's result is about all items.
    """
    from mnslib.run.runs import find_run

    directory = find_run(run, runs_dir=resolve_path(runs_dir))
    result = read_result(directory)
    if result is None or "resume_run" not in result["parameters"]:
        raise ConfigError(f"{directory.name} cannot be resumed; run it anew: what is done stays.")
    given = result["parameters"] | {
        "resume_run": str(directory),
        "runs_dir": str(directory.parent),
    }
    if max_failures is not None:
        given["max_failures"] = max_failures
    # a library's requests are a file like any other
    notebook = BULK_NOTEBOOK if result["notebook"] == LIBRARY else result["notebook"]
    environment = result["environment"]
    sys.exit(_execute(notebook, given, given, environment, detailed=detailed_exitcode))


@click.command()
@click.argument("run")
@_RUNS
def undo(run: str, *, runs_dir: str) -> None:
    """Write the request file that restores what a run changed.

    RUN is the name of its directory, or a path. The file goes through plan and approval like any
    other; the command that plans it is printed. What it cannot restore is named. Where runs were
    resumed one by the other, all of them are undone together: their plan was one.
    """
    from mnslib.run.runs import find_run, runs_until, write_undo
    from mnslib.show.templates import render_part

    directory = find_run(run, runs_dir=resolve_path(runs_dir))
    file, count, lost = write_undo(directory)
    told = render_part("run.txt.j2", "undone", lost, runs_until(directory))
    click.echo(told, err=True, nl=False)
    given = (read_result(directory) or {}).get("parameters", {})
    same = [(name, given[name]) for name in ("target", "cloud", "credential") if name in given]
    words = [f"{name}={value}" for name, value in (*same, ("request_file", file))]
    command = ["mns", "run", "30", *(part for word in words for part in ("-p", word))]
    click.echo(f"{count} requests in {file}; plan them with\n  {shlex.join(command)}")


@click.command(name="open", epilog=NOTEBOOK_HELP)
@_parameters
@click.option("--no-lab", is_flag=True, help="Only make the copy and print its path.")
@click.argument("lab", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF JUPYTERLAB]")
def open_(notebook: str, *, no_lab: bool, lab: Sequence[str], **options: Any) -> None:
    """Open a copy of a notebook in JupyterLab.

    The copy carries the parameters; no tracked file changes. What follows `--` goes to JupyterLab,
    such as `-- --no-browser --allow-root`. A signal that stops this command stops JupyterLab and
    its kernels too.
    """
    from mnslib.run.runner import open_copy

    given, asked = _given(notebook, **options)
    copy = open_copy(notebook, parameters=given, runs_dir=str(asked.get("runs_dir", "runs")))
    click.echo(str(copy))
    if not no_lab:
        root = os.path.commonpath([find_project_root(), copy])
        page = quote(copy.relative_to(root).as_posix())  # of a file, it prints another address
        own = [f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/{page}"]
        command = [sys.executable, "-m", "jupyterlab", *own, *lab]
        if sys.platform == "win32":
            sys.exit(subprocess.call(command))
        os.execv(command[0], command)  # it is told itself of each signal, and its kernels by it


@click.command()
@_RUNS
def demo(*, runs_dir: str) -> None:
    """Run the three main jobs on a fresh sandbox.

    They onboard one namespace, provision 36 and analyze quota utilization.
    """
    from mnslib.sandbox.launcher import control, ensure_running

    root = find_project_root()
    home = root / ".mns" / "demo"  # a sandbox of its own: nobody's rehearsal is reset
    control(ensure_running(home), "POST", "reset")
    os.environ["MNS_SANDBOX"] = str(home / "connection.json")
    for notebook in DEMO_NOTEBOOKS:
        click.echo(f"\n{notebook}")
        file = root / "parameters" / f"{notebook}.sandbox.yaml"
        code = _run(notebook, file=file, runs_dir=runs_dir)
        if code != 0:
            sys.exit(code)
    click.echo(f"\nLook at {resolve_path(runs_dir) / 'index.html'}")


@click.command()
@_RUNS
@click.option("--browse", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--prune", "days", type=click.IntRange(1, 36_500), metavar="DAYS",
    help="First delete the runs, and the copies for JupyterLab, that are older.",
)  # fmt: skip
def runs(*, runs_dir: str, browse: bool, days: int | None) -> None:
    """Write the index page over all runs.

    Prints where it is.
    """
    from mnslib.run.runner import prune_runs, write_index

    if days is not None:
        click.echo(f"{prune_runs(runs_dir, days=days)} deleted", err=True)
    index = write_index(runs_dir)
    click.echo(str(index))
    if browse:
        webbrowser.open(index.as_uri())
