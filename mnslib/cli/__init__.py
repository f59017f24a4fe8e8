"""The command `mns`: options, exit codes, nothing else; the work is in the library.

`running` has what makes or follows runs, `files` what prints or writes a file, `sandboxes` the
sandbox's own commands. Usage errors end with 6, as all bad input does; click's own 2 means
"findings" here.
"""

from __future__ import annotations

import sys
from typing import Any

import click

import mnslib
from mnslib.cli.files import export, template, token
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
        except (MnsError, OSError) as error:
            click.echo(printable(f"Error: {error}"), err=True)
            # the latter is a full disk, a taken port, a sandbox that does not answer
            is_ours = isinstance(error, MnsError)
            sys.exit(REFUSED if is_ours else EXIT_CODES[RunStatus.FAILED])


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mnslib.__version__, prog_name="mns")
def main() -> None:
    """Onboard, bulk-provision and capacity-plan AKS managed namespaces."""


for command in (run, resume, undo, open_, demo, runs, template, export, token, sandbox):
    main.add_command(command)
