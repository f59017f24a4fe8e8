"""One process writes to a cluster at a time; across machines the eTags decide.

The operating system holds the lock for the process that writes and lets go when that ends, however
it ends: no lock goes stale, and a process id that is used again means nothing. The note beside it
is for people. Knows nothing of plans.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mnslib.errors import LockedError
from mnslib.resource_ids import ClusterId
from mnslib.results import utc_text
from mnslib.run.project import write_whole

LOCKS_FOLDER = ".locks"

LONGEST_WAIT_SECONDS = 1800.0
"""How long a run that is resumed is given to end: as long as its last operation may take."""


@contextmanager
def only_writer(
    clusters: Iterable[ClusterId],
    *,
    run_directory: Path,
    now: datetime,
    patience_seconds: float = 0.0,
) -> Iterator[None]:
    """Hold the clusters for this process.

    Args:
        run_directory: of the run; the locks lie beside it.
        patience_seconds: how long to wait for each cluster that is held.

    Raises:
        LockedError: if another process holds one; it names process, host, start and run.
    """
    folder = run_directory.parent / LOCKS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    note = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since_utc": utc_text(now),
        "run": run_directory.name,
    }
    with ExitStack() as held:
        # always in the same order, so that two runs never wait for each other
        for cluster in sorted(set(clusters), key=lambda c: c.key):
            name = f"{cluster.cluster_name}-{hashlib.sha256(cluster.key.encode()).hexdigest()[:12]}"
            noted = folder / f"{name}.json"
            try:
                held.enter_context(FileLock(folder / f"{name}.lock", timeout=patience_seconds))
            except Timeout:
                raise LockedError(_sentence(cluster, _read_note(noted))) from None
            write_whole(noted, json.dumps(note))
            held.callback(noted.unlink, missing_ok=True)
        yield


def wait_for_writers(
    clusters: Iterable[ClusterId],
    *,
    run_directory: Path,
    now: datetime,
    tell: Callable[[str], object],
) -> None:
    """Return once no process of this `runs_dir` writes to the clusters.

    Args:
        tell: is given the sentence that names who is waited for.

    Raises:
        LockedError: if that takes longer than an operation may.
    """
    wanted = list(clusters)
    try:
        with only_writer(wanted, run_directory=run_directory, now=now):
            return
    except LockedError as error:
        tell(f"{error} Waiting for it.")
    patience = LONGEST_WAIT_SECONDS
    with only_writer(wanted, run_directory=run_directory, now=now, patience_seconds=patience):
        return


def _read_note(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):  # taken, but not noted yet, or just let go
        return {}


def _sentence(cluster: ClusterId, note: dict[str, Any]) -> str:
    holder = "another process"
    if note:
        holder = (
            f"process {note['process']} on {note['host']}, which runs {note['run']} "
            f"since {note['since_utc']},"
        )
    return (
        f"Nothing was written: {holder} is writing to cluster {cluster.cluster_name}. "
        "Run again once it has ended."
    )
