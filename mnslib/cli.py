"""The command `mns`: options, exit codes, nothing else; the work is in the library.

Usage errors end with 6, as all bad input does; click's own 2 means "findings" here.
"""

from __future__ import annotations

import os
import shlex
import sys
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

import mnslib
from mnslib.errors import ConfigError, MnsError, printable
from mnslib.project import write_whole
from mnslib.results import EXIT_CODES, RunStatus

REFUSED = EXIT_CODES[RunStatus.REFUSED]
DEMO_NOTEBOOKS = (
    "20_onboard_namespace",
    "30_provision_in_bulk",
    "40_analyze_quota_utilization",
)
MOST_CHANGES = 10
"""Changes of a dry run that the terminal names; the report has them all."""
NOTEBOOK_HELP = "NOTEBOOK is a path, a name such as 30_provision_in_bulk, or its number."


class _Group(click.Group):
    """A group whose own usage errors and whose library errors end as they should."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.exceptions.Abort:
            click.echo("Interrupted.", err=True)
            sys.exit(130)
        except click.ClickException as error:
            error.show()
            sys.exit(REFUSED)
        except MnsError as error:
            click.echo(printable(f"Error: {error}"), err=True)
            sys.exit(REFUSED)
        except OSError as error:  # a full disk, a taken port, a sandbox that does not answer
            click.echo(printable(f"Error: {error}"), err=True)
            sys.exit(EXIT_CODES[RunStatus.FAILED])


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mnslib.__version__, prog_name="mns")
def main() -> None:
    """Onboard, bulk-provision and capacity-plan AKS managed namespaces."""


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
    from mnslib.parameters import parse_assignment, read_parameter_file, read_parameters
    from mnslib.runner import find_notebook

    declared = read_parameters(find_notebook(notebook))
    given = read_parameter_file(file) if file else {}
    given.update(parse_assignment(text, declared) for text in assignments)
    if runs_dir is not None:
        given["runs_dir"] = runs_dir
    return given, {known.name: known.default for known in declared} | given


@main.command(epilog=NOTEBOOK_HELP)
@_parameters
@click.option("--detailed-exitcode", is_flag=True, help="End with 2 where there are findings.")
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
    from mnslib.runner import environment_name

    given, asked = _given(notebook, file, assignments, runs_dir)
    return _execute(
        notebook,
        given,
        asked=asked,
        environment=environment_name(file, str(asked.get("target", "sandbox"))),
        detailed_exitcode=detailed_exitcode,
    )


def _execute(
    notebook: str,
    given: dict[str, Any],
    *,
    asked: dict[str, Any],
    environment: str,
    detailed_exitcode: bool,
) -> int:
    from mnslib.runner import run_notebook

    outcome = run_notebook(
        notebook,
        parameters=given,
        environment=environment,
        runs_dir=str(asked.get("runs_dir", "runs")),
        detailed_exitcode=detailed_exitcode,
    )
    message = printable(f"{outcome.status.value}: {outcome.message}")
    click.echo(message, err=outcome.exit_code != 0)
    if outcome.notice:
        click.echo(printable(outcome.notice), err=True)
    if outcome.status is RunStatus.FINDINGS and asked.get("dry_run"):
        _explain_dry_run(outcome.directory)
    if outcome.status in (RunStatus.PARTLY, RunStatus.STOPPED, RunStatus.INTERRUPTED):
        again = ["mns", *sys.argv[1:]]
        if "resume_run" in asked and not asked["dry_run"]:
            again = ["mns", "resume", str(outcome.directory)]
        click.echo(f"To go on; what is done stays:\n  {shlex.join(again)}", err=True)
    click.echo(str(outcome.directory))
    return outcome.exit_code


def _explain_dry_run(directory: Path) -> None:
    """Print what a plan would do, and what to write in order to go ahead."""
    import json
    from textwrap import indent

    from mnslib.provisioning.approval import to_go_ahead
    from mnslib.resource_ids import ManagedNamespaceId
    from mnslib.results import ChangeKind

    plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    changes = [item for item in plan["changes"] if item["change"] != ChangeKind.NO_CHANGE]
    if not changes:
        click.echo("This was a dry run. Nothing is to be changed, so there is nothing to approve.")
        return
    risks = [risk["name"] for part in (plan, *changes) for risk in part["risks"]]
    click.echo("This was a dry run: nothing was written. It would")
    for item in sorted(changes, key=lambda item: not item["risks"])[:MOST_CHANGES]:
        target = ManagedNamespaceId.parse(item["id"])
        named = ", ".join(risk["name"] for risk in item["risks"])
        where = f"{target.namespace_name} on {target.cluster.cluster_name}"
        click.echo(f"  {item['change'].lower():7} {where}{named and f'  [{named}]'}")
    if len(changes) > MOST_CHANGES:
        click.echo(f"  ... and {len(changes) - MOST_CHANGES} more: plan.json")
    click.echo("Read report.html there. To go ahead, set in the parameter file:")
    click.echo(indent(to_go_ahead(plan["digest"], risks), "  "))


@main.command()
@click.argument("run")
@click.option("--runs", "runs_dir", default="runs", show_default=True, metavar="DIR")
@click.option(
    "--max-failures",
    metavar="CAP",
    help="Items that may fail, those of the earlier run included; else as that run had it.",
)
@click.option("--detailed-exitcode", is_flag=True, help="End with 2 where there are findings.")
def resume(run: str, *, runs_dir: str, max_failures: str | None, detailed_exitcode: bool) -> None:
    """Go on with a run that ended early, under the approval that it had.

    RUN is the name of its directory, or a path. Waits until nobody writes any more, reads what was
    in flight, and touches only the rest; the new run's result is about all items.
    """
    from mnslib.project import read_result, resolve_path
    from mnslib.runs import find_run

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
    code = _execute(
        result["notebook"],
        given,
        asked=given,
        environment=result["environment"],
        detailed_exitcode=detailed_exitcode,
    )
    sys.exit(code)


@main.command()
@click.argument("run")
@click.option("--runs", "runs_dir", default="runs", show_default=True, metavar="DIR")
def undo(run: str, *, runs_dir: str) -> None:
    """Write the request file that restores what a run changed.

    RUN is the name of its directory, or a path. The file goes through plan and approval like any
    other; the command that plans it is printed. What it cannot restore is named. Where runs were
    resumed one by the other, all of them are undone together: their plan was one.
    """
    from mnslib.project import read_result, resolve_path
    from mnslib.runs import find_run, runs_until, write_undo

    directory = find_run(run, runs_dir=resolve_path(runs_dir))
    file, count, lost = write_undo(directory)
    for reason, places in lost.items():
        named = ", ".join(places[:3])
        such = f"{len(places)} namespaces, such as {named}" if len(places) > 3 else named
        click.echo(printable(f"Not restored: {reason} ({such})"), err=True)
    together = runs_until(directory)
    if len(together) > 1:
        names = ", ".join(path.name for path in together)
        click.echo(
            f"This undoes {len(together)} runs together, which carried out one plan, each resuming "
            f"the one before: {names}. The file lies in the last of them.",
            err=True,
        )
    given = (read_result(directory) or {}).get("parameters", {})
    same = [(name, given[name]) for name in ("target", "cloud", "credential") if name in given]
    words = [f"{name}={value}" for name, value in (*same, ("request_file", file))]
    command = ["mns", "run", "30", *(part for word in words for part in ("-p", word))]
    click.echo(f"{count} requests in {file}; plan them with\n  {shlex.join(command)}")


@main.command(name="open", epilog=NOTEBOOK_HELP)
@_parameters
@click.option("--no-lab", is_flag=True, help="Only make the copy and print its path.")
@click.argument("lab", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF JUPYTERLAB]")
def open_(notebook: str, *, no_lab: bool, lab: Sequence[str], **options: Any) -> None:
    """Open a copy of a notebook in JupyterLab.

    The copy carries the parameters; no tracked file changes. What follows `--` goes to JupyterLab,
    such as `-- --no-browser --allow-root`. A signal that stops this command stops JupyterLab and
    its kernels too.
    """
    from mnslib.interruption import run_child
    from mnslib.project import find_project_root
    from mnslib.runner import open_copy

    given, asked = _given(notebook, **options)
    copy = open_copy(notebook, parameters=given, runs_dir=str(asked.get("runs_dir", "runs")))
    click.echo(str(copy))
    if not no_lab:
        root = os.path.commonpath([find_project_root(), copy])
        page = quote(copy.relative_to(root).as_posix())  # of a file, it prints another address
        own = [f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/{page}"]
        sys.exit(run_child([sys.executable, "-m", "jupyterlab", *own, *lab]))


@main.command()
@click.option("--runs", "runs_dir", default="runs", show_default=True, metavar="DIR")
def demo(*, runs_dir: str) -> None:
    """Run the three main jobs on a fresh sandbox.

    They onboard one namespace, provision 36 and analyze quota utilization.
    """
    from mnslib.project import find_project_root, resolve_path
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


@main.command()
@click.option("--runs", "runs_dir", default="runs", show_default=True, metavar="DIR")
@click.option("--browse", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--prune", "days", type=click.IntRange(1, 36_500), metavar="DAYS",
    help="First delete the runs, and the copies for JupyterLab, that are older.",
)  # fmt: skip
def runs(*, runs_dir: str, browse: bool, days: int | None) -> None:
    """Write the index page over all runs.

    Prints where it is.
    """
    from mnslib.runner import prune_runs, write_index

    if days is not None:
        click.echo(f"{prune_runs(runs_dir, days=days)} deleted", err=True)
    index = write_index(runs_dir)
    click.echo(str(index))
    if browse:
        webbrowser.open(index.as_uri())


@main.command()
@click.argument("file", type=click.Path(path_type=Path), default="requests.xlsx")
@click.option(
    "--tiers-file", type=click.Path(path_type=Path), help="YAML; its tiers become a list."
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def template(file: Path, *, tiers_file: Path | None, overwrite: bool) -> None:
    """Write an empty workbook for requests.

    It has lists to choose from and a sheet that explains each column. FILE is requests.xlsx
    unless you name another.
    """
    from mnslib.requests.tiers import read_tiers
    from mnslib.requests.workbook import request_workbook

    if file.suffix.lower() != ".xlsx":
        raise click.UsageError(f"{file}: a template is a workbook; name it .xlsx.")
    tiers = read_tiers(tiers_file) if tiers_file else None
    _write(file, request_workbook(tiers=tiers), overwrite=overwrite)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-f",
    "--file",
    "--parameters",
    "parameters",
    type=click.Path(path_type=Path),
    help="YAML that says target, cloud, credential and where to look, as a notebook's does.",
)
@click.option("--subscription", "subscription_ids", multiple=True, metavar="ID")
@click.option("--cluster", "clusters", multiple=True, metavar="ID", help="ARM id of a cluster.")
@click.option("--target", type=click.Choice(["azure", "sandbox"]), help="Default: sandbox.")
@click.option("--cloud", type=click.Choice(["public", "usgov", "china"]))
@click.option(
    "--credential",
    type=click.Choice(["default", "environment", "workload-identity", "managed-identity", "cli"]),
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def export(file: Path, *, parameters: Path | None, overwrite: bool, **options: Any) -> None:
    """Write the managed namespaces that exist as a request file.

    FILE ends in .csv, .xlsx or .yaml. Planned as it is it changes nothing; edited, it changes
    what was edited. What a request file cannot say is named, left out, and left alone.
    """
    from mnslib.exporting import export_requests
    from mnslib.parameters import read_parameter_file

    given = read_parameter_file(parameters) if parameters else {}
    given |= {name: value for name, value in options.items() if value}
    content, count, left_out = export_requests(given, suffix=file.suffix.lower())
    _write(file, content, overwrite=overwrite)
    for sentence in left_out:
        click.echo(f"Left out, and left alone: {printable(sentence)}", err=True)
    click.echo(f"{count} managed namespaces", err=True)


def _write(file: Path, content: bytes, *, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise click.UsageError(f"{file} exists; --overwrite replaces it.")
    write_whole(file.absolute(), content)
    click.echo(str(file))


@main.command()
@click.option("--target", type=click.Choice(["azure", "sandbox"]), default="azure")
@click.option("--cloud", type=click.Choice(["public", "usgov", "china"]), default="public")
@click.option(
    "--credential",
    type=click.Choice(["default", "environment", "workload-identity", "managed-identity", "cli"]),
    default="default",
)
def token(*, target: str, cloud: str, credential: str) -> None:
    """Print a token for AKS clusters, for kubectl.

    This is kubectl's exec credential plugin; the kubeconfigs of mnslib name it.
    """
    from mnslib.kube.kubeconfig import exec_credential_json
    from mnslib.targets import open_target

    azure = open_target(target, cloud=cloud, credential=credential).azure
    found = azure.access_token(azure.cloud.kubernetes_scope)
    click.echo(exec_credential_json(found.token, found.expires_on))


@main.group()
def sandbox() -> None:
    """The built-in stand-in for Azure, Kubernetes and Prometheus."""


@sandbox.command()
@click.option("--port", type=int, default=0, show_default=True, help="0 takes a free one.")
@click.option("--state", default=":memory:", show_default=True, help="A file keeps it.")
@click.option("--world", default="default", show_default=True, help="What is there at the start.")
@click.option("--latency", default="fast", show_default=True, help="fast, documented or a file.")
@click.option("--limits", default="none", show_default=True, help="none, documented or a file.")
@click.option("--faults", type=click.Path(path_type=Path), metavar="FILE", help="Scripted faults.")
@click.option("--idle-exit", "idle_exit_minutes", type=float, metavar="MINUTES")
@click.option("--connection", type=click.Path(path_type=Path), required=True, metavar="FILE")
def serve(**options: Any) -> None:
    """Serve on loopback until stopped.

    Writes FILE (mode 0600) once it is ready; name it in MNS_SANDBOX to use this sandbox.
    """
    from mnslib.sandbox.server import serve as serve_sandbox

    file = options["connection"].absolute()

    def ready(connection: Mapping[str, Any]) -> None:
        click.echo(f"Ready at {connection['arm_endpoint']} until Ctrl-C. To use it elsewhere:")
        click.echo(f"  export MNS_SANDBOX={shlex.quote(str(file))}")
        sys.stdout.flush()

    try:
        serve_sandbox(**options, on_ready=ready)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _sandbox_files() -> dict[str, Path]:
    """Return the connection file of each sandbox by its name, the one that is used first."""
    from mnslib.project import find_project_root
    from mnslib.targets import sandbox_file

    root = find_project_root() / ".mns"
    known = {"project": root / "connection.json", "demo": root / "demo" / "connection.json"}
    return known if sandbox_file() in known.values() else {"MNS_SANDBOX": sandbox_file(), **known}


def _running(name: str | None) -> Mapping[str, Any]:
    from mnslib.sandbox.launcher import find_running
    from mnslib.targets import sandbox_file

    files = _sandbox_files()
    if name is not None and name not in files:
        raise click.BadParameter(f"there is no sandbox {name}; there are {', '.join(files)}")
    file = sandbox_file() if name is None else files[name]
    connection = find_running(file)
    if connection is None:
        raise click.ClickException(f"No sandbox is running for {file}.")
    return connection


@sandbox.command()
def status() -> None:
    """Say which sandboxes are running, and what is in them."""
    from mnslib.sandbox.launcher import find_running
    from mnslib.targets import sandbox_file

    for name, file in _sandbox_files().items():
        connection = find_running(file)
        used = ", used by runs" if file == sandbox_file() else ""
        where = f"running at {connection['arm_endpoint']}" if connection else "not running"
        click.echo(f"{name}: {where}{used}\n  export MNS_SANDBOX={shlex.quote(str(file))}")
        for item in connection["clusters"] if connection else ():
            group, subscription = item["resource_group"], item["subscription_id"]
            click.echo(f"  {item['name']}  resource group {group}  subscription {subscription}")


@sandbox.command()
@click.argument("name", required=False)
def stop(*, name: str | None) -> None:
    """End a sandbox: the one that runs use, or NAME as `status` shows it. Its state is kept."""
    from mnslib.sandbox.launcher import stop as stop_sandbox

    connection = _running(name)
    stop_sandbox(connection)
    click.echo(f"Stopped {connection['arm_endpoint']}.")


@sandbox.command()
@click.argument("name", required=False)
def reset(*, name: str | None) -> None:
    """Put a sandbox back to its first state: the one that runs use, or NAME."""
    from mnslib.sandbox.launcher import control

    connection = _running(name)
    control(connection, "POST", "reset")
    click.echo(f"{connection['arm_endpoint']} is as it was at first.")
