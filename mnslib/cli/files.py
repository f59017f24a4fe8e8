"""The commands that write a file for other programs: request files, and a token for kubectl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mnslib.errors import ConfigError, printable
from mnslib.run.project import write_whole
from mnslib.run.targets import TARGETS, open_target

_TARGET = click.Choice(TARGETS)
_CLOUD = click.Choice(["public", "usgov", "china"])
_CREDENTIAL = click.Choice(
    ["default", "environment", "workload-identity", "managed-identity", "cli"]
)
"""Known without loading Azure's libraries, whose doors refuse any other word."""

_FILE = click.Path(path_type=Path)
_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")


@click.command()
@click.option("--target", type=_TARGET, default="azure")
@click.option("--cloud", type=_CLOUD, default="public")
@click.option("--credential", type=_CREDENTIAL, default="default")
def token(**way: str) -> None:
    """Print a token for AKS clusters, for kubectl.

    This is kubectl's exec credential plugin; the kubeconfigs of mnslib name it.
    """
    from mnslib.kube.kubeconfig import exec_credential_json

    azure = open_target(**way).azure
    found = azure.access_token(azure.cloud.kubernetes_scope)
    click.echo(exec_credential_json(found.token, found.expires_on))


@click.command()
@click.argument("file", type=_FILE, default="requests.xlsx")
@click.option("--tiers-file", type=_FILE, help="YAML; its tiers become a list.")
@_OVERWRITE
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
@click.argument("file", type=_FILE)
@click.option(
    "-f",
    "--file",
    "--parameters",
    "parameters",
    type=_FILE,
    help="YAML that says target, cloud, credential and where to look, as a notebook's does.",
)
@click.option("--subscription", "subscription_ids", multiple=True, metavar="ID")
@click.option("--cluster", "clusters", multiple=True, metavar="ID", help="ARM id of a cluster.")
@click.option("--target", type=_TARGET, help="Default: sandbox.")
@click.option("--cloud", type=_CLOUD)
@click.option("--credential", type=_CREDENTIAL)
@_OVERWRITE
def export(file: Path, *, parameters: Path | None, overwrite: bool, **options: Any) -> None:
    """Write the managed namespaces that exist as a request file.

    FILE ends in .csv, .xlsx or .yaml. Planned as it is it changes nothing; edited, it changes
    what was edited. What a request file cannot say is named, left out, and left alone.
    """
    from mnslib.provisioning.observe import read_namespaces
    from mnslib.requests.export import request_file, request_rows
    from mnslib.requests.files import FORMATS
    from mnslib.run.parameters import read_parameter_file

    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"The file ends in {suffix or 'nothing'}: {', '.join(FORMATS)} can be.")
    given: dict[str, Any] = {"target": "sandbox", "cloud": "public", "credential": "default"}
    given |= read_parameter_file(parameters) if parameters else {}
    given |= {name: value for name, value in options.items() if value}
    way = {name: str(given[name]) for name in ("target", "cloud", "credential")}
    target = open_target(**way)
    subscription_ids, clusters = target.scope(*_where(given))
    namespaces, grants, other_roles = read_namespaces(
        target.azure, subscription_ids=subscription_ids, clusters=clusters
    )
    rows, left_out = request_rows(namespaces, grants, suffix=suffix)
    _write(file, request_file(rows, suffix=suffix), overwrite=overwrite)
    for sentence in left_out + other_roles:
        click.echo(f"Left out, and left alone: {printable(sentence)}", err=True)
    click.echo(f"{len(rows)} managed namespaces", err=True)


def _where(given: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return subscriptions and cluster ids, also from the parameters about one cluster."""
    from mnslib.resource_ids import ClusterId

    subscriptions = [str(one) for one in given.get("subscription_ids") or ()]
    clusters = [str(one) for one in given.get("clusters") or ()]
    one = [str(given.get(n) or "") for n in ("subscription_id", "resource_group", "cluster_name")]
    if not subscriptions and not clusters and all(one):
        clusters = [str(ClusterId(*one))]
    return subscriptions, clusters


def _write(file: Path, content: bytes, *, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise click.UsageError(f"{file} exists; --overwrite replaces it.")
    write_whole(file.absolute(), content)
    click.echo(str(file))
