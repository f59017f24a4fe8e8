"""The command `mns`: options, exit codes, nothing else; the work is in the library.

`running` has what makes or follows runs, `files` what writes request files, `sandboxes` the
sandbox's own commands. Usage errors end with 6, as all bad input does; click's own 2 means
"findings" here.
"""

from __future__ import annotations

import sys
from typing import Any

import click

import mnslib
from mnslib.cli.choices import CLOUD, CREDENTIAL, TARGET
from mnslib.cli.files import export, template
from mnslib.cli.running import demo, open_, resume, run, runs, undo
from mnslib.cli.sandboxes import sandbox
from mnslib.errors import MnsError, printable
from mnslib.results import EXIT_CODES, RunStatus

REFUSED = EXIT_CODES[RunStatus.REFUSED]


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


@main.command()
@click.option("--target", type=TARGET, default="azure")
@click.option("--cloud", type=CLOUD, default="public")
@click.option("--credential", type=CREDENTIAL, default="default")
def token(*, target: str, cloud: str, credential: str) -> None:
    """Print a token for AKS clusters, for kubectl.

    This is kubectl's exec credential plugin; the kubeconfigs of mnslib name it.
    """
    from mnslib.kube.kubeconfig import exec_credential_json
    from mnslib.run.targets import open_target

    azure = open_target(target, cloud=cloud, credential=credential).azure
    found = azure.access_token(azure.cloud.kubernetes_scope)
    click.echo(exec_credential_json(found.token, found.expires_on))


for command in (run, resume, undo, open_, demo, runs, template, export, sandbox):
    main.add_command(command)
