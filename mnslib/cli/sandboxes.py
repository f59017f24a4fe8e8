"""The commands of the built-in sandbox: serve, look, stop, reset."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


@click.group()
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


def _running(name: str | None) -> Mapping[str, Any]:
    from mnslib.run.targets import sandbox_file, sandbox_files
    from mnslib.sandbox.launcher import find_running

    files = sandbox_files()
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
    from mnslib.run.targets import sandbox_file, sandbox_files
    from mnslib.sandbox.launcher import find_running

    for name, file in sandbox_files().items():
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
