"""The commands that write request files: the empty one, and the one of what exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mnslib.cli.choices import CLOUD, CREDENTIAL, TARGET
from mnslib.errors import printable
from mnslib.run.project import write_whole


@click.command()
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


@click.command()
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
@click.option("--target", type=TARGET, help="Default: sandbox.")
@click.option("--cloud", type=CLOUD)
@click.option("--credential", type=CREDENTIAL)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def export(file: Path, *, parameters: Path | None, overwrite: bool, **options: Any) -> None:
    """Write the managed namespaces that exist as a request file.

    FILE ends in .csv, .xlsx or .yaml. Planned as it is it changes nothing; edited, it changes
    what was edited. What a request file cannot say is named, left out, and left alone.
    """
    from mnslib.run.exporting import export_requests
    from mnslib.run.parameters import read_parameter_file

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
