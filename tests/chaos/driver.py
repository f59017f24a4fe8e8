"""The cells of `30_provision_in_bulk` without a kernel: `run(parameters)` is one run of it."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mnslib.show.displays
import mnslib.show.plans
from mnslib.azure import client, operations
from mnslib.errors import MnsError
from mnslib.kube import client as kube_client
from mnslib.provisioning import resume, writing
from mnslib.results import EXIT_CODES, RunStatus
from mnslib.run import start
from mnslib.run.project import new_run_directory, read_result

NOTEBOOK = "30_provision_in_bulk"
PRELOADED = (client, kube_client, resume, mnslib.show.displays, mnslib.show.plans)
"""Imported once, before the processes that run are forked."""

LONGEST_OPERATION_SECONDS = 8.0
"""In place of half an hour, for one that hangs; those of this sandbox take half a second."""


def run(parameters: dict[str, Any]) -> int:
    """Return the exit code of one run, whose directory is a new one below `runs_dir`."""
    directory = new_run_directory(
        Path(parameters["runs_dir"]),
        notebook=NOTEBOOK,
        environment="chaos",
        started=datetime.now(UTC),
    )
    os.environ |= {"MNS_RUN_DIR": str(directory), "MNS_RUN_ENVIRONMENT": "chaos"}
    for module in (operations, writing):
        module.OPERATION_TIMEOUT_SECONDS = LONGEST_OPERATION_SECONDS  # type: ignore[attr-defined]
    try:
        _cells(parameters)
    except MnsError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        result = read_result(directory) or {}
        code: int = result.get("exit_code", EXIT_CODES[RunStatus.FAILED])
        # what raised before the record left its first word; in a kernel the session replaces it
        return EXIT_CODES[RunStatus.FAILED] if result.get("status") == "stopped" else code
    return 0


def _cells(given: dict[str, Any]) -> None:
    bulk = start(NOTEBOOK, {**given, "max_commitment": ""})
    bulk.requests()
    bulk.resume()
    bulk.observe()
    bulk.check()
    bulk.plan()
    bulk.approve(
        dry_run=False,
        approval="unattended",
        approved_digest="",
        allow=given["allow"],
        max_changes=given["max_changes"],
        max_deletions=given["max_deletions"],
        max_failures=given["max_failures"],
    )
    bulk.apply()
    bulk.read_back()
    bulk.record()
