"""The command `mns`: options, exit codes, what each prints; the work is in the library.

Usage errors end with 6, as all bad input does; click's own 2 means "findings" here. What a command
needs is loaded when it runs: kubectl asks for a token again and again.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

import mnslib
from mnslib.errors import ConfigError, MnsError, printable
from mnslib.resource_ids import CLUSTER_COLUMNS, CLUSTER_FORM, ClusterId, ManagedNamespaceId
from mnslib.results import BULK_NOTEBOOK, EXIT_CODES, LIBRARY, ApplyResult, ChangeKind, RunStatus
from mnslib.run import parameters, project, targets
from mnslib.run.log import FORMATS, begin_log, end_log
from mnslib.run.parameters import CLOUDS, CREDENTIALS, TARGETS, read_parameter_file, read_parameters
from mnslib.run.project import find_project_root, read_result, resolve_path, write_whole

REFUSED = EXIT_CODES[RunStatus.REFUSED]
MOST_CHANGES = 10
"""Changes of a dry run that the terminal names; the report has them all."""
NOTEBOOK_HELP = "NOTEBOOK is a path, a name such as 30_provision_in_bulk, or its number."

_RUNS = click.option("--runs", "runs_dir", default="runs", show_default=True, metavar="DIR")
_DETAILED = click.option(
    "--detailed-exitcode", is_flag=True, help="End with 2 where there are findings."
)


def _minutes(_context: Any, _option: Any, minutes: float | None) -> float | None:
    if minutes is not None and not 0 < minutes < 525_600:  # a year; nor is it `nan`
        raise click.BadParameter(f"{minutes:g} is no number of minutes above 0 and below a year.")
    return minutes


_LIMIT = click.option(
    "--time-limit", "time_limit_minutes", metavar="MINUTES", type=float, callback=_minutes,
    help="Stop after so long, as SIGTERM does.",
)  # fmt: skip

_LOG = click.option(
    "--log-format", "on_begin", type=click.Choice(FORMATS), default="text", show_default=True,
    help="JSON: each line is an object.", 
    callback=lambda _, __, name: begin_log(name) if name == "json" else None,
)  # fmt: skip

_AS = click.option(
    "--as", "identity", metavar="IDENTITY",
    help="On the sandbox: admin, contributor, namespace_user, reader, or one of its directory.",
)  # fmt: skip

_TARGET = click.Choice(TARGETS)
_CLOUD = click.Choice(CLOUDS)
_CREDENTIAL = click.Choice(CREDENTIALS)

_FILE = click.Path(path_type=Path)
_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")


class _Group(click.Group):
    """A group whose own usage errors and whose library errors end as they should."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.exceptions.Abort:
            click.echo("Interrupted.", err=True)
            sys.exit(130)
        except click.ClickException as error:
            end_log(RunStatus.REFUSED)
            error.show()
            if isinstance(error, click.NoSuchOption) and (meant := _as_parameter(error)):
                click.echo(f"Parameters of a notebook are given so: -p {meant}", err=True)
            sys.exit(REFUSED)
        except (MnsError, OSError) as error:
            # the latter is a full disk, a taken port, a sandbox that does not answer
            status = RunStatus.REFUSED if isinstance(error, MnsError) else RunStatus.FAILED
            end_log(status)
            click.echo(printable(f"Error: {error}"), err=True)
            sys.exit(EXIT_CODES[status])


def _as_parameter(error: click.NoSuchOption) -> str:
    """Return how a notebook's parameter is given that was written as an option, if it is one."""
    name = error.option_name.lstrip("-").replace("-", "_")
    if error.ctx is None or "assignments" not in {one.name for one in error.ctx.command.params}:
        return ""  # the command takes none
    try:
        notebooks = sorted((find_project_root() / "notebooks").glob("[0-9]*.ipynb"))
        known = {one.name: one for path in notebooks for one in read_parameters(path)}
    except ConfigError:  # no project: then there is no notebook either
        return ""
    values = {"bool": "true", "list": "[...]", "dict": "{...}"}
    return f"{name}={values.get(known[name].type_name, '...')}" if name in known else ""


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
            "-f", "--file", type=_FILE, help="Parameters, YAML."
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
    given = read_parameter_file(file, declared) if file else {}
    given.update(parameters.parse_assignment(text, declared) for text in assignments)
    if runs_dir is not None:
        given["runs_dir"] = runs_dir
    return given, {known.name: known.default for known in declared} | given


@main.command(epilog=NOTEBOOK_HELP)
@_parameters
@_DETAILED
@_LIMIT
@_LOG
def run(
    notebook: str,
    *,
    file: Path | None,
    assignments: Sequence[str],
    runs_dir: str | None,
    **how: Any,
) -> None:
    """Run a notebook in a fresh directory under runs/.

    Prints that directory last.
    """
    from mnslib.run.runner import environment_name, told_refusal

    try:
        given, asked = _given(notebook, file, assignments, runs_dir)
    except ConfigError as error:
        told = _who_is_told(file, assignments)
        raise told_refusal(error, notebook, environment_name(file, ""), told) from error
    environment = environment_name(file, str(asked.get("target", "sandbox")))
    sys.exit(_execute(notebook, given, asked, environment, **how))


def _who_is_told(file: Path | None, assignments: Sequence[str]) -> dict[str, str]:
    """Return the parameters of the webhook, where not all can be read; the last one counts."""
    lines = [text.replace("=", ": ", 1) for text in assignments]
    with suppress(OSError):
        lines.insert(0, file.read_text("utf-8", "replace") if file else "")
    form = r"(?m)^(notify_url_env|notify_format): *[\"']?(\w+)"
    return dict(re.findall(form, "\n".join(lines)))


def _execute(
    notebook: str,
    given: Mapping[str, Any],
    asked: Mapping[str, Any],
    environment: str,
    on_begin: Callable[[str], None] | None = None,
    **how: Any,
) -> int:
    """Run a notebook, and say how it ended and what to do next; return the exit code.

    Args:
        how: as `run_notebook` takes it.
    """
    from mnslib.run.runner import run_notebook
    from mnslib.run.runs import by_journal

    outcome = run_notebook(
        notebook,
        parameters=given,
        environment=environment,
        runs_dir=str(asked.get("runs_dir", "runs")),
        on_begin=on_begin or begin_log("text"),
        **how,
    )
    end_log(outcome.status)
    message = printable(f"{outcome.status.value}: {outcome.message}")
    click.echo(message, err=outcome.exit_code != 0)
    if outcome.notice:
        click.echo(printable(outcome.notice), err=True)
    if outcome.status is RunStatus.FINDINGS and asked.get("dry_run"):
        click.echo(_dry_run(outcome.directory))
    if stale := _plan_again(outcome.directory, outcome.status):
        click.echo(f"What is there has changed; make the plan again:\n  {stale}", err=True)
    elif outcome.status in (RunStatus.PARTLY, RunStatus.STOPPED, RunStatus.INTERRUPTED):
        again = shlex.join(["mns", *sys.argv[1:]])
        if "resume_run" in asked and by_journal(outcome.directory, project.EMPTY_RECORD)[1]:
            again = shlex.join(["mns", "resume", str(outcome.directory)])
        elif outcome.is_late:  # what took too long takes as long again
            longer = f"--time-limit {2 * how['time_limit_minutes']:g}"
            again = re.sub(r"--time-limit[ =]\S+", longer, again)
        click.echo(f"To go on; what is done stays:\n  {again}", err=True)
    click.echo(str(outcome.directory))
    return outcome.exit_code


def _plan_again(directory: Path, status: RunStatus) -> str:
    """Return the command that plans anew what a run left because it went stale, else nothing."""
    record = read_result(directory) or {"items": ()}
    told = ApplyResult.of_record(record)
    # where all was written and it failed, a cell did after that
    is_plans = status is RunStatus.PARTLY or (status is RunStatus.FAILED and told.unfinished)
    if not told.outcomes or not is_plans or not told.needs_plan:
        return ""
    if file := min(directory.glob("requests.*"), default=None):
        return _planning(record["parameters"], file)
    return shlex.join(["mns", *sys.argv[1:], "-p", "dry_run=true"])


def _planning(given: Mapping[str, Any], file: Path) -> str:
    """Return the command that plans a file of a run where that went, and beside it."""
    same = [(name, given[name]) for name in targets.WAY if name in given]
    words = [f"{name}={value}" for name, value in (*same, ("request_file", file))]
    given_words = (part for word in words for part in ("-p", word))
    return shlex.join(["mns", "run", "30", *given_words, "--runs", str(file.parents[1])])


def _dry_run(directory: Path) -> str:
    """Return what a plan would do, and what to write in order to go ahead."""
    from mnslib.provisioning.approval import to_go_ahead
    from mnslib.show.templates import render_part

    plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    changes = [item for item in plan["changes"] if item["change"] != ChangeKind.NO_CHANGE]
    changes.sort(key=lambda item: not item["risks"])
    risks = [risk["name"] for part in (plan, *changes) for risk in part["risks"]]
    shown = [(item, ManagedNamespaceId.of_item(item["id"])) for item in changes[:MOST_CHANGES]]
    more = max(0, len(changes) - MOST_CHANGES)
    go_ahead = to_go_ahead(plan["digest"], risks)
    return render_part("run.txt.j2", "dry_run", shown, more, go_ahead)


def _found(run: str, runs_dir: str) -> tuple[Path, Mapping[str, Any], Path | None]:
    """Return a run's directory, its record, and its sandbox if runs of now would use another."""
    from mnslib.run.runs import find_run

    directory = find_run(run, runs_dir=resolve_path(runs_dir))
    record = read_result(directory) or {"parameters": {}}
    name = str(record.get("sandbox") or "")
    if not name or os.environ.get(targets.SANDBOX_VARIABLE):  # who names one knows which
        return directory, record, None
    own = targets.sandbox_files().get(name, Path(name))
    return directory, record, None if own == targets.sandbox_file() else own


@main.command()
@click.argument("run")
@_RUNS
@click.option(
    "--max-failures",
    metavar="CAP",
    help="Items that may fail, those of the earlier run included; else as that run had it.",
)
@_DETAILED
@_LIMIT
@_LOG
def resume(run: str, *, runs_dir: str, max_failures: str | None, **how: Any) -> None:
    """Go on with a run that ended early, under the approval that it had.

    RUN is the name of its directory, or a path. Waits until nobody writes any more, reads what was
    in flight, and touches only the rest; the new run's result is about all items.
    """
    directory, record, sandbox = _found(run, runs_dir)
    given = {**record["parameters"]}
    if "resume_run" not in given:
        raise ConfigError(f"{directory.name} cannot be resumed; run it anew: what is done stays.")
    given |= {"resume_run": str(directory), "runs_dir": str(directory.parent)}
    if max_failures is not None:
        given["max_failures"] = max_failures
    if sandbox is not None:
        os.environ[targets.SANDBOX_VARIABLE] = str(sandbox)
    # a library's requests are a file like any other
    notebook = BULK_NOTEBOOK if record["notebook"] == LIBRARY else record["notebook"]
    sys.exit(_execute(notebook, given, given, record["environment"], **how))


@main.command()
@click.argument("run")
@_RUNS
def undo(run: str, *, runs_dir: str) -> None:
    """Write the request file that restores what a run changed.

    RUN is the name of its directory, or a path. The file goes through plan and approval like any
    other; the command that plans it is printed. What it cannot restore is named. Where runs were
    resumed one by the other, all of them are undone together: their plan was one.
    """
    from mnslib.run.runs import runs_until, write_undo
    from mnslib.show.templates import render_part

    directory, record, sandbox = _found(run, runs_dir)
    file, count, lost = write_undo(directory)
    if told := render_part("run.txt.j2", "undone", lost, runs_until(directory)):
        click.echo(told, err=True)
    if not count:
        return
    where = f"{targets.SANDBOX_VARIABLE}={shlex.quote(str(sandbox))} " if sandbox else ""
    command = _planning(record["parameters"], file)
    click.echo(f"{count} requests in {file}; plan them with\n  {where}{command}")


@main.command(name="open", epilog=NOTEBOOK_HELP)
@_parameters
@click.option("--no-lab", is_flag=True, help="Only make the copy and print its path.")
@click.argument("lab", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF JUPYTERLAB]")
def open_(notebook: str, *, no_lab: bool, lab: Sequence[str], **options: Any) -> None:
    """Open a copy of a notebook in JupyterLab.

    The copy carries the parameters; no tracked file changes. It opens as a dry run that nobody
    approved, whatever the parameters say, with its code folded. What follows `--` goes to
    JupyterLab, such as `-- --no-browser --allow-root`. A signal that stops this command stops
    JupyterLab and its kernels too.
    """
    from mnslib.run.runner import open_copy

    given, asked = _given(notebook, **options)
    copy = open_copy(notebook, parameters=given, runs_dir=str(asked.get("runs_dir", "runs")))
    click.echo(str(copy))
    if not no_lab:
        root = copy.parents[2]  # the runs alone, wherever they lie: no home, no other folder
        page = quote(copy.relative_to(root).as_posix())  # of a file, it prints another address
        own = [f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/{page}"]
        # it would ask for leave to fetch news, over the notebook; of this start alone
        settings = [str(project.PACKAGE / "run/lab"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
        os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, settings))
        command = [sys.executable, "-m", "jupyterlab", *own, *lab]
        if sys.platform == "win32":
            sys.exit(subprocess.call(command))
        os.execv(command[0], command)  # it is told itself of each signal, and its kernels by it


@main.command()
@_RUNS
def demo(*, runs_dir: str) -> None:
    """Run the three main jobs on a fresh sandbox.

    They onboard one namespace, provision 36 and analyze quota utilization.
    """
    from mnslib.sandbox.launcher import control, ensure_running

    root = find_project_root()
    home = root / ".mns" / "demo"  # a sandbox of its own: nobody's rehearsal is reset
    control(ensure_running(home), "POST", "reset")
    os.environ[targets.SANDBOX_VARIABLE] = str(home / "connection.json")
    for file in sorted((root / "parameters").glob("[2-9]*.sandbox.yaml")):
        notebook = file.name.partition(".")[0]
        click.echo(f"\n{notebook}")
        given, asked = _given(notebook, file, (), runs_dir)
        if code := _execute(notebook, given, asked, "sandbox"):
            sys.exit(code)
    click.echo(f"\nLook at {resolve_path(runs_dir) / 'index.html'}")


@main.command()
@_RUNS
@click.option("--browse", is_flag=True, help="Open the page in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print all runs as JSON, the oldest first.")
@click.option(
    "--prune", "days", type=click.IntRange(1, 36_500), metavar="DAYS",
    help="First delete the runs, and the copies for JupyterLab, that are older.",
)  # fmt: skip
def runs(*, runs_dir: str, browse: bool, as_json: bool, days: int | None) -> None:
    """Write the index page over all runs.

    Prints where it is.
    """
    from mnslib.run.runs import listed_runs, prune_runs, write_index

    if days is not None:
        click.echo(f"{prune_runs(runs_dir, days=days)} deleted", err=True)
    index = write_index(runs_dir)
    click.echo(json.dumps(listed_runs(runs_dir), indent=1) if as_json else str(index))
    if browse:
        webbrowser.open(index.as_uri())


@main.command()
@click.option("--target", type=_TARGET, default="azure")
@click.option("--cloud", type=_CLOUD, default="public")
@click.option("--credential", type=_CREDENTIAL, default="default")
@_AS
def token(*, identity: str | None, **way: str) -> None:
    """Print a token for AKS clusters, for kubectl.

    This is kubectl's exec credential plugin; the kubeconfigs of mnslib name it. On the sandbox the
    token is of --as, else of MNS_SANDBOX_IDENTITY, else of the admin, and never of another.
    """
    from mnslib.kube.kubeconfig import exec_credential_json

    if identity and way["target"] != "sandbox":
        raise click.UsageError("--as is for the sandbox; on Azure the credential says who it is.")
    azure = targets.open_target(**way, identity=identity or "").azure
    found = azure.access_token(azure.cloud.kubernetes_scope)
    click.echo(exec_credential_json(found.token, found.expires_on))


@main.command()
@click.argument("file", type=_FILE, default="requests.xlsx")
@click.option("--tiers-file", type=_FILE, help="YAML; its tiers become a list.")
@_OVERWRITE
def template(file: Path, *, tiers_file: Path | None, overwrite: bool) -> None:
    """Write an empty workbook for requests.

    It has lists to choose from and a sheet that explains each column. FILE is requests.xlsx
    unless you name another.
    """
    from mnslib.requests.export import request_workbook
    from mnslib.requests.spec import read_tiers

    if file.suffix.lower() != ".xlsx":
        raise click.UsageError(f"{file}: a template is a workbook; name it .xlsx.")
    tiers = read_tiers(tiers_file) if tiers_file else None
    _write(file, request_workbook(tiers=tiers), overwrite=overwrite)


@main.command()
@click.argument("file", type=_FILE)
@click.option(
    "-f",
    "--file",
    "--parameters",
    "given_file",
    type=_FILE,
    help="YAML that says target, cloud, credential and where to look, as a notebook's does.",
)
@click.option("--subscription", "subscription_ids", multiple=True, metavar="ID")
@click.option("--cluster", "clusters", multiple=True, metavar="ID", help=f"{CLUSTER_FORM}.")
@click.option("--target", type=_TARGET, help="Default: sandbox.")
@click.option("--cloud", type=_CLOUD)
@click.option("--credential", type=_CREDENTIAL)
@_OVERWRITE
def export(file: Path, *, given_file: Path | None, overwrite: bool, **options: Any) -> None:
    """Write the managed namespaces that exist as a request file.

    FILE ends in .csv, .xlsx or .yaml. Planned as it is it changes nothing; edited, it changes
    what was edited. What a request file cannot say is named, left out, and left alone.
    """
    from mnslib.provisioning.observe import read_namespaces
    from mnslib.requests.export import request_file, request_rows
    from mnslib.requests.files import FORMATS

    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"The file ends in {suffix or 'nothing'}: {', '.join(FORMATS)} can be.")
    _require_free(file, overwrite=overwrite)  # before a fleet is read
    lists = ("subscription_ids", "clusters")
    kinds = dict.fromkeys((*targets.WAY, *CLUSTER_COLUMNS), "str") | dict.fromkeys(lists, "list")
    declared = [
        parameters.Parameter(name=name, type_name=kind, default=None)
        for name, kind in kinds.items()
    ]
    given: dict[str, Any] = {"target": "sandbox", "cloud": "public", "credential": "default"}
    given |= read_parameter_file(given_file, declared) if given_file else {}
    given |= {n: [*value] if n in lists else value for n, value in options.items() if value}
    given = {name: value for name, value in given.items() if name in kinds}
    parameters.check_parameters(declared, given, refused=parameters.refused_values(given))
    subscriptions, ids = (given.get(name) or () for name in lists)
    one = [given.get(name) or "" for name in CLUSTER_COLUMNS]
    if not subscriptions and not ids and all(one):  # of a notebook about one cluster
        ids = [str(ClusterId(*one))]
    target = targets.open_target(**{name: given[name] for name in targets.WAY})
    subscriptions, ids = target.scope(subscriptions, ids)
    namespaces, grants, other_roles = read_namespaces(
        target.azure, subscription_ids=subscriptions, clusters=ids
    )
    rows, left_out = request_rows(namespaces, grants, suffix=suffix)
    _write(file, request_file(rows, suffix=suffix), overwrite=overwrite)
    for sentence in left_out + other_roles:
        click.echo(f"Left out, and left alone: {printable(sentence)}", err=True)
    click.echo(f"{len(rows)} managed namespaces", err=True)


def _require_free(file: Path, *, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise click.UsageError(f"{file} exists; --overwrite replaces it.")


def _write(file: Path, content: bytes, *, overwrite: bool) -> None:
    _require_free(file, overwrite=overwrite)
    write_whole(file.absolute(), content)
    click.echo(str(file))


@main.group()
def sandbox() -> None:
    """The built-in stand-in for Azure, Kubernetes and Prometheus."""


@sandbox.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, show_default=True,
    help="0 takes a free one.",
)  # fmt: skip
@click.option("--state", default=":memory:", show_default=True, help="A file keeps it.")
@click.option("--world", default="default", show_default=True, help="What is there at the start.")
@click.option("--latency", default="fast", show_default=True, help="fast, documented or a file.")
@click.option("--limits", default="none", show_default=True, help="none, documented or a file.")
@click.option("--faults", type=_FILE, metavar="FILE", help="Scripted faults.")
@click.option("--idle-exit", "idle_exit_minutes", type=float, callback=_minutes, metavar="MINUTES")
@click.option("--connection", type=_FILE, required=True, metavar="FILE")
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


@sandbox.command()
@click.argument("file", type=_FILE)
@click.option("--cluster", "cluster_id", metavar="ID", required=True, help=f"{CLUSTER_FORM}.")
@click.option("--target", type=_TARGET, default="sandbox", help="Default: sandbox.")
@click.option("--cloud", type=_CLOUD, default="public")
@click.option("--credential", type=_CREDENTIAL, default="default")
@_OVERWRITE
def snapshot(file: Path, *, cluster_id: str, overwrite: bool, **way: Any) -> None:
    """Write the world of one cluster, for `mns sandbox serve --world FILE` (mode 0600).

    It holds kinds, amounts, counts and Azure's own words; names are numbers, in a random order.
    """
    import yaml

    from mnslib.run.world import world_of
    from mnslib.sandbox.world import load

    _require_free(file, overwrite=overwrite)  # before a cluster is read
    target = targets.open_target(**way)
    _, (asked,) = target.scope([], [cluster_id])
    cluster = target.azure.managed_clusters.get(asked)
    managed = target.azure.managed_namespaces.list_by_managed_cluster(cluster.id)
    world = world_of(cluster, managed, target.kube_for(cluster), base=load("default"))
    write_whole(file.absolute(), yaml.safe_dump(world, sort_keys=False), mode=0o600)
    click.echo(str(file))


def _running(_context: Any, _argument: Any, name: str | None) -> Mapping[str, Any]:
    """Return the connection of a running sandbox: of that name, or of the one that runs use."""
    from mnslib.sandbox.launcher import find_running

    known = targets.sandbox_files()
    if name is not None and name not in known:
        raise click.BadParameter(f"there is no sandbox {name}; there are {', '.join(known)}")
    file = targets.sandbox_file() if name is None else known[name]
    connection = find_running(file)
    if connection is None:
        raise click.ClickException(f"No sandbox is running for {file}.")
    return connection


_SANDBOX = click.argument("connection", metavar="[NAME]", required=False, callback=_running)


@sandbox.command()
@_AS
def env(*, identity: str | None) -> None:
    """Print what makes a shell act as somebody: eval "$(mns sandbox env --as IDENTITY)".

    IDENTITY is admin (the default), contributor, namespace_user or reader, or a user or service
    principal of the sandbox's directory: its principal name, name, object id or application id.
    kubectl and az of that shell have settings of their own, beside the sandbox's.
    """
    from mnslib.run.shell import acting_as

    own = targets.open_target("sandbox", cloud="public", credential="default", identity="admin")
    assert own.sandbox is not None
    variables, told = acting_as(identity or "admin", own.sandbox, file=targets.sandbox_file())
    click.echo(told, err=True)
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@sandbox.command()
def status() -> None:
    """Say which sandboxes are running, and what is in them."""
    from mnslib.sandbox.launcher import find_running

    for name, file in targets.sandbox_files().items():
        connection = find_running(file)
        used = ", used by runs" if file == targets.sandbox_file() else ""
        where = f"running at {connection['arm_endpoint']}" if connection else "not running"
        click.echo(f"{name}: {where}{used}\n  export MNS_SANDBOX={shlex.quote(str(file))}")
        for item in connection["clusters"] if connection else ():
            group, subscription = item["resource_group"], item["subscription_id"]
            click.echo(f"  {item['name']}  resource group {group}  subscription {subscription}")


@sandbox.command()
@_SANDBOX
def stop(*, connection: Mapping[str, Any]) -> None:
    """End a sandbox: the one that runs use, or NAME as `status` shows it. Its state is kept."""
    from mnslib.sandbox.launcher import stop as stop_sandbox

    stop_sandbox(connection)
    click.echo(f"Stopped {connection['arm_endpoint']}.")


@sandbox.command()
@_SANDBOX
@click.option("--world", metavar="NAME", help="Another first state from now on: default or bare.")
def reset(*, connection: Mapping[str, Any], world: str | None) -> None:
    """Put a sandbox back to its first state: the one that runs use, or NAME."""
    from mnslib.sandbox.launcher import control
    from mnslib.sandbox.world import names

    if world is None:
        control(connection, "POST", "reset")
    elif world in names():
        control(connection, "POST", "world", {"name": world})
    else:
        raise click.BadParameter(f"there is no world {world}; there are {', '.join(names())}")
    click.echo(f"{connection['arm_endpoint']} is as it was at first.")
