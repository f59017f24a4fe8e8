"""The runs below one `runs_dir`: which one is meant, which was before, where one goes on, its undo.

Knows nothing of plans.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from mnslib.errors import ConfigError, cut
from mnslib.provisioning.journal import JOURNAL_NAME, Journal, read_events, whole_lines
from mnslib.results import RunStatus
from mnslib.run.project import read_result, resolve_path, run_directories, write_whole

UNDO_NAME = "undo.yaml"


def find_run(run: str, *, runs_dir: Path) -> Path:
    """Return the directory of a run, given its name below `runs_dir` or a path.

    One that was resumed goes on in another, which is meant then.

    Raises:
        ConfigError: if there is none.
    """
    named = runs_dir / run
    directory = named if named.is_dir() else resolve_path(run)
    if not directory.is_dir():
        raise ConfigError(f"There is no run {run} below {runs_dir}.")
    while (directory / JOURNAL_NAME).exists() and (later := _continued_in(directory)):
        directory = later
    return directory


def run_before(
    directory: Path,
    *,
    notebook: str,
    environment: str,
    started_utc: str,
    like: Callable[[Mapping[str, Any]], bool] = lambda record: True,
) -> Path | None:
    """Return the last run beside `directory` of the same notebook and environment that ended well.

    One that analyzed the reading of another run again is none: it is as old as that.

    Args:
        started_utc: as a run's record has it; runs begun then or later are not meant.
        like: what its record must be.
    """
    for found in reversed(run_directories(directory.parent)):
        record = read_result(found)
        if (
            record is not None
            and (record["notebook"], record["environment"]) == (notebook, environment)
            and record["status"] in (RunStatus.DONE, RunStatus.FINDINGS)
            and record["started_utc"] < started_utc
            and not record["parameters"].get("snapshot_run")
            and like(record)
        ):
            return found
    return None


def continue_journal(old: Path, new: Path, *, now: Callable[[], datetime]) -> None:
    """Begin the journal of run `new` with all of run `old`'s, and name it there as the next.

    Raises:
        ConfigError: if another run has continued `old` already.
    """
    later = _continued_in(old)
    if later is not None:
        raise ConfigError(f"{old.name} was resumed by {later.name} meanwhile; resume that one.")
    lines, is_torn = whole_lines(old / JOURNAL_NAME)
    text = "".join(f"{line}\n" for line in lines)
    write_whole(new / JOURNAL_NAME, text)
    if is_torn:
        write_whole(old / JOURNAL_NAME, text)
    journal = Journal(old / JOURNAL_NAME, now=now)
    journal.write("continued", run=os.path.relpath(new, old.parent))


def _continued_in(directory: Path) -> Path | None:
    for event in read_events(directory / JOURNAL_NAME)[0]:
        if event["event"] == "continued":
            later = Path(os.path.normpath(directory.parent / event["run"]))
            if not later.is_dir():
                raise ConfigError(f"{directory.name} goes on in {later}, which is gone.")
            return later
    return None


def runs_until(directory: Path) -> tuple[Path, ...]:
    """Return a run, and before it those that it resumed; the first is the one that was planned."""
    first = directory
    while earlier := (read_result(first) or {}).get("parameters", {}).get("resume_run"):
        named = first.parent / str(earlier)
        path = named if named.is_dir() else resolve_path(str(earlier))
        if not path.is_dir():
            break
        first = path
    found = [first]
    while found[-1] != directory:  # one that named an earlier run may have gone on with a later
        found.append(_continued_in(found[-1]) or directory)
    return tuple(found)


class UndoFile(NamedTuple):
    """What `write_undo` wrote: the file, how many requests, and what they cannot restore."""

    path: Path
    requests: int
    lost: Mapping[str, Sequence[str]]


def write_undo(directory: Path) -> UndoFile:
    """Write the requests that undo a run and the runs that it resumed; name what they cannot.

    Raises:
        ConfigError: if the run wrote nothing.
    """
    from mnslib.provisioning.undo import undo
    from mnslib.requests.export import request_file

    found = undo(read_events(directory / JOURNAL_NAME)[0])
    if not found.rows and not found.lost:
        raise ConfigError(f"{directory.name} wrote nothing: there is nothing to undo.")
    file = directory / UNDO_NAME
    notes = "".join(f"# Not restored: {cut(sentence)}\n" for sentence in found.lost)
    write_whole(file, notes.encode() + request_file(found.rows, suffix=file.suffix))
    lost: dict[str, list[str]] = {}
    for sentence in found.lost:
        place, _, reason = sentence.partition(": ")
        lost.setdefault(reason.partition(" (")[0], []).append(place)
    return UndoFile(file, len(found.rows), lost)
