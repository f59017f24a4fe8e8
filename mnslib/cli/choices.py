"""What options of several commands may say. Known without loading Azure's libraries.

The same words are in `azure.credentials` and `azure.clouds`, which refuse any other.
"""

from __future__ import annotations

import click

from mnslib.run.targets import TARGETS

TARGET = click.Choice(TARGETS)
CLOUD = click.Choice(["public", "usgov", "china"])
CREDENTIAL = click.Choice(
    ["default", "environment", "workload-identity", "managed-identity", "cli"]
)
