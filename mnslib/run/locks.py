"""One process writes to a cluster at a time; across machines the eTags decide.

The locks of a user lie in one place of the machine, wherever the runs are. The operating system
holds a lock for the process that writes and lets go when that ends, however it ends: no lock goes
stale, and a process id that is used again means nothing. The note beside it is for people.
"""

import hashlib
import json
import os
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mnslib.azure.operations import OPERATION_TIMEOUT_SECONDS
from mnslib.errors import ConfigError, LockedError
from mnslib.resource_ids import ClusterId
from mnslib.results import utc_now, utc_text
from mnslib.run.project import message, write_whole

LOCKS_VARIABLE = "MNS_LOCKS_DIR"
"""Environment variable that names another folder for the locks, such as one that machines share."""


@contextmanager
def only_writer(
    clusters: Iterable[ClusterId],
    *,
    endpoint: str,
    run_directory: Path,
    tell: Callable[[str], object] | None = None,
) -> Iterator[None]:
    """Hold the clusters for this process.

    Args:
        endpoint: of ARM: another cloud, or sandbox, has other clusters of the same ids.
        run_directory: of the run, for whoever is refused.
        tell: to wait for a holder as long as an operation may take; is given who that is.

    Raises:
        LockedError: if another process holds one; it names process, host, start and run.
        ConfigError: if there is no place for locks.
    """
    note = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since_utc": utc_text(utc_now()),
        "run": str(run_directory),
    }
    with ExitStack() as held:
        # always in the same order, so that two runs never wait for each other
        for cluster in sorted(set(clusters), key=lambda c: c.key):
            digest = hashlib.sha256(f"{endpoint} {cluster.key}".encode()).hexdigest()[:12]
            name = f"{cluster.cluster_name.lower()}-{digest}"  # Azure ignores the case of a name
            lock = FileLock(locks_folder() / f"{name}.lock")
            noted = Path(lock.lock_file).with_suffix(".json")
            _try(lock, seconds=0)
            if tell and not lock.is_locked:
                tell(f"{_holder(noted)} is writing to cluster {cluster.cluster_name}: waiting.")
                _try(lock, seconds=OPERATION_TIMEOUT_SECONDS)
            if not lock.is_locked:
                who = {"holder": _holder(noted), "cluster": cluster.cluster_name}
                raise LockedError(message("writing", **who))
            held.callback(lock.release)
            write_whole(noted, json.dumps(note))
            held.callback(noted.unlink, missing_ok=True)
        yield


def locks_folder() -> Path:
    """Return where this user's locks lie on this machine.

    Raises:
        ConfigError: if they cannot lie there; names the variable that names another place.
    """
    named = os.environ.get(LOCKS_VARIABLE, "")
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    folder = Path(os.path.expanduser(named)).absolute() if named else Path(state, "mnslib", "locks")
    problem = "" if folder.is_absolute() else "this user has no home"
    try:
        if not problem:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            found, own = folder.lstat(), getattr(os, "getuid", lambda: 0)()
            # whoever follows a link writes, and sets a mode, where somebody else says
            if not named and (not stat.S_ISDIR(found.st_mode) or found.st_uid != own):
                problem = "it is a link, or another user's"
            elif not os.access(folder, os.W_OK):
                problem = "it cannot be written"
            elif not named:
                folder.chmod(0o700)
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise ConfigError(message("no_locks", place=f"locks cannot lie in {folder}", why=problem))
    return folder


def _try(lock: FileLock, *, seconds: float) -> None:
    """Take a lock unless another process holds it for so long."""
    try:
        with suppress(Timeout):
            lock.acquire(timeout=seconds)
    except OSError as error:  # as where it is another user's, in a folder that users share
        place = f"{lock.lock_file} cannot be locked"
        raise ConfigError(message("no_locks", place=place, why=error.strerror)) from error


def _holder(noted: Path) -> str:
    """Return who holds a lock."""
    try:
        note = json.loads(noted.read_text(encoding="utf-8"))
        process, host, run, since = (note[key] for key in ("process", "host", "run", "since_utc"))
    except (OSError, ValueError, KeyError, TypeError):  # not noted yet, just let go, another's
        return "another process"
    return f"process {process} on {host}, which runs {run} since {since},"
