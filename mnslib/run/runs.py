"""The runs below one `runs_dir`: their index, which one is meant, which was before, where one goes
on, its undo; old ones are deleted here.

Of readings also which can be analyzed again or compared with, and which read the same. A run whose
process died is ended here, by its journal.
"""

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from mnslib.errors import ConfigError, cut, nearest
from mnslib.models import UNDO_NAME
from mnslib.provisioning.journal import JOURNAL_NAME, Journal, read_events, whole_lines
from mnslib.results import EXIT_CODES, RunStatus, utc_now, utc_text
from mnslib.run import project
from mnslib.run.handover import refused_kubeconfig
from mnslib.run.log import tell
from mnslib.run.notify import TOTAL_SECONDS, notify, told_of
from mnslib.run.parameters import refused_values
from mnslib.run.targets import sandbox_name
from mnslib.secrets import hide_secrets

NOT_ENDED = "The run has not ended: its process is at work, or died."
UNDER_WAY = "The run is under way in a process of this machine."
DIED = "The process ended before the run did."
"""What a record says from the run's first moment, and which of the two the index finds it is."""

MOST_OFFERED = 3
"""Runs, the last ones, that are offered where none is called nearly so; our choice."""
MOST_LISTED = 200
"""Runs that the index reads and lists, the newest; our choice. Each run writes the index anew."""
UNDER_WAY_NAME = ".under-way"
"""In a run directory until the run ends; locked as long as its process lives."""
SNAPSHOT_FOLDER, TABLES_FOLDER = "snapshot", "tables"
"""Of a run directory: what a reading notebook has read, for `snapshot_run`; its tables as CSV."""

SOURCES = ("inventory", "history", "prometheus_endpoint")
"""Parameters that say where from: another source knows other namespaces, and less of each."""

SCOPE = ("subscription_ids", "clusters")
"""Parameters that say which clusters are read."""


def find_run(run: str, *, runs_dir: Path) -> Path:
    """Return the directory of a run, given its name below `runs_dir` or a path.

    One that was resumed goes on in another, which is meant then.

    Raises:
        ConfigError: if there is none.
    """
    named = (runs_dir / run, project.resolve_path(run), Path(run).absolute())
    places = [Path(place) for place in dict.fromkeys(map(os.path.normpath, named))]
    directory = next((place for place in places if place.is_dir()), None)
    if directory is None:
        known = [path.name for path in project.run_directories(runs_dir)]
        near = nearest(Path(run).name, known) or ", ".join(known[-MOST_OFFERED:]) or "none"
        where = ", ".join(map(str, places))
        raise ConfigError(project.message("no_run", run=run, places=where, near=near))
    return _followed(directory, _continued_in)[-1]


def run_before(
    directory: Path,
    own: Mapping[str, Any],
    like: Callable[[Mapping[str, Any]], bool] = lambda record: True,
) -> tuple[Path, Mapping[str, Any]] | None:
    """Return the last run of the same notebook and environment that ended well, and its record.

    One that analyzed the reading of another run again is none: it is as old as that.

    Args:
        directory: beside which to look.
        own: notebook, environment and start of the run; those begun then or later are not meant.
        like: what its record must be.
    """
    for found in reversed(project.run_directories(directory.parent)):
        record = project.read_result(found)
        if (
            record is not None
            and all(record[name] == own[name] for name in ("notebook", "environment"))
            and record["status"] in (RunStatus.DONE, RunStatus.FINDINGS)
            and record["started_utc"] < own["started_utc"]
            and not record["parameters"].get("snapshot_run")
            and like(record)
        ):
            return found, record
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
    project.write_whole(new / JOURNAL_NAME, text)
    if is_torn:
        project.write_whole(old / JOURNAL_NAME, text)
    journal = Journal(old / JOURNAL_NAME, now=now)
    journal.write("continued", run=os.path.relpath(new, old.parent))


def _followed(run: Path, following: Callable[[Path], Path | None]) -> list[Path]:
    """Return a run, and those that follow it one by one.

    Raises:
        ConfigError: if they lead back to one of them.
    """
    found = [run]
    while (later := following(found[-1])) is not None:
        if later in found:
            raise ConfigError(project.message("circle", run=run.name, later=later.name))
        found.append(later)
    return found


def _continued_in(directory: Path) -> Path | None:
    if not (directory / JOURNAL_NAME).exists():
        return None
    for event in read_events(directory / JOURNAL_NAME)[0]:
        if event["event"] == "continued":
            later = Path(os.path.normpath(directory.parent / str(event.get("run"))))
            if not later.is_dir():
                raise ConfigError(f"{directory.name} goes on in {later}, which is gone.")
            return later
    return None


def runs_until(directory: Path) -> tuple[Path, ...]:
    """Return a run, and before it those that it resumed; the first is the one that was planned."""

    def resumed(run: Path) -> Path | None:
        named = (project.read_result(run) or {}).get("parameters", {}).get("resume_run")
        places = (run.parent / str(named), project.resolve_path(str(named))) if named else ()
        return next((Path(os.path.normpath(path)) for path in places if path.is_dir()), None)

    def next_one(run: Path) -> Path | None:
        # one that named an earlier run may have gone on with a later
        return None if run == directory else _continued_in(run) or directory

    return tuple(_followed(_followed(directory, resumed)[-1], next_one))


def write_undo(directory: Path) -> tuple[Path, int, Mapping[str, Sequence[str]]]:
    """Write the requests that undo a run and the runs that it resumed.

    Returns the file, how many requests are in it, and by reason what they cannot restore.

    Raises:
        ConfigError: if the run wrote nothing.
    """
    from mnslib.provisioning.undo import undo
    from mnslib.requests.export import request_file

    rows, lost = undo(read_events(directory / JOURNAL_NAME)[0])
    if not rows and not lost:
        raise ConfigError(f"{directory.name} wrote nothing: there is nothing to undo.")
    file = directory / UNDO_NAME
    notes = "".join(f"# Not restored: {cut(str(one))}\n" for one in lost)
    project.write_whole(file, notes.encode() + request_file(rows, suffix=file.suffix))
    places: dict[str, list[str]] = defaultdict(list)
    for one in lost:
        places[one.reason].append(one.place)
    return file, len(rows), places


def refused(asked: Mapping[str, Any], *, notebook: str, runs_dir: Path) -> dict[str, str]:
    """Return by parameter what a run cannot be asked: its values, its files, earlier runs.

    Args:
        asked: all parameters by name; those of a wrong type are passed over.
        notebook: its name without ending.
        runs_dir: where the runs are that `snapshot_run`, `compare_run` and `resume_run` name.
    """
    found = refused_values(asked) | refused_kubeconfig(asked)
    for name in ("snapshot_run", "compare_run", "resume_run"):
        named = asked.get(name)
        try:
            run = find_run(named, runs_dir=runs_dir) if isinstance(named, str) and named else None
            problem = _unusable(name, run, asked, notebook) if run else ""
        except ConfigError as error:
            problem = str(error)
        if problem:
            found[name] = hide_secrets(f"{name}: {problem}")
    return found


def _unusable(name: str, run: Path, asked: Mapping[str, Any], notebook: str) -> str:
    """Return why a run cannot be analyzed again or compared with; empty if it can."""
    if name == "resume_run":
        return ""  # the journal says it, once nobody writes to it any more
    record = project.read_record(run)
    target, ended = record["target"], f"it ended as {record['status']}."
    if record["notebook"] != notebook:
        return f"{run.name} is a run of {record['notebook']}; name one of {notebook}."
    if name == "snapshot_run":
        if target != asked["target"]:
            what = f"write target: {target}, so that the report says so."
            return f"{run.name} was made on {target}; {what}"
        if earlier := record["parameters"].get("snapshot_run"):
            return f"{run.name} read nothing itself, it analyzed {earlier}; name that run."
        is_whole = (run / SNAPSHOT_FOLDER / "snapshot.json").is_file()
        return "" if is_whole else f"{run.name} has no whole snapshot: {ended}"
    own = {"target": asked["target"], "sandbox": sandbox_name(asked), "parameters": asked}
    if origin := str(asked.get("snapshot_run") or ""):
        with suppress(ConfigError):  # which is refused as such
            own = project.read_result(find_run(origin, runs_dir=run.parent)) or own
    if (here := world(own)) != (there := world(record)):
        return f"{run.name} was made on {there}, this run on {here}; name a run of the same target."
    is_there = (run / TABLES_FOLDER / "utilization.csv").is_file()
    return "" if is_there else f"{run.name} has no table to compare with: {ended}"


def world(record: Mapping[str, Any]) -> str:
    """Return where a run read, in words that are the same for the same place only."""
    if record["target"] == "azure":
        return f"azure ({record['parameters'].get('cloud', 'public')})"
    return f"{record['target']} ({record.get('sandbox') or 'not named'})"


def differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parameters of `SOURCES` and `SCOPE` in which two readings differ."""

    def value(record: Mapping[str, Any], name: str) -> object:
        found = record["parameters"].get(name) or ""
        return sorted(str(one).casefold() for one in found) if isinstance(found, list) else found

    return tuple(name for name in (*SOURCES, *SCOPE) if value(own, name) != value(other, name))


def last_alike(directory: Path, *, read_by: Path) -> tuple[Path | None, str]:
    """Return the last run before a reading that read the same, else a sentence why there is none.

    Args:
        directory: of this run; the others are beside it.
        read_by: of the run that made the reading, this or an earlier one.
    """

    def is_alike(other: Mapping[str, Any]) -> bool:
        return world(own) == world(other) and not differences(own, other)

    from mnslib.show.templates import render_part

    own = project.read_record(read_by)
    if found := run_before(directory, own, is_alike):
        return found[0], ""
    last, other = run_before(directory, own) or (None, own)
    worlds = world(own), world(other)
    reading = "" if read_by == directory else read_by.name
    found_is = (reading, last and last.name, worlds, differences(own, other))
    return None, render_part("run.txt.j2", "none_alike", *found_is)


def prune_runs(runs_dir: str | Path, *, days: int) -> int:
    """Return how many runs below `runs_dir` were deleted, copies for JupyterLab included.

    A run is one by its record. What is under way, has not ended or is of the future stays, and so
    does what a link leads to.

    Args:
        days: those whose last moment was earlier than so many days ago go.
    """
    runs, oldest = project.resolve_path(runs_dir), utc_now() - timedelta(days=days)
    copies = [] if (runs / "open").is_symlink() else project.run_directories(runs / "open")
    old = [path for path in project.run_directories(runs) if _has_ended(path, oldest)]
    old += [path for path in copies if any(path.glob("*.ipynb"))]
    # by whichever clock it has its name
    old = [path for path in old if path.name < f"{oldest:%Y%m%dT%H%M%SZ}" and not path.is_symlink()]
    for directory in old:
        shutil.rmtree(directory)
    return len(old)


def _has_ended(directory: Path, before: datetime) -> bool:
    """Return whether a directory is of a run that began and ended before a moment."""
    record = project.read_result(directory)
    if record is None or record["status"] == RunStatus.STOPPED or is_under_way(directory):
        return False
    moments = [datetime.fromisoformat(record[name]) for name in ("started_utc", "finished_utc")]
    return all(moment.astimezone(UTC) < before for moment in moments)


def write_index(runs_dir: str | Path) -> Path:
    """Write `index.html` over all runs below `runs_dir` and return its path.

    Of a run whose process died, the end is written first: record, report and webhook.
    """
    from mnslib.show.html import run_index_html

    runs = project.resolve_path(runs_dir)
    runs.mkdir(parents=True, exist_ok=True)
    directories = project.run_directories(runs)
    found = {path: _as_left(path) for path in directories[-MOST_LISTED:]}
    listed = {path: record for path, record in found.items() if record}
    until = time.monotonic() + TOTAL_SECONDS
    for path, record in listed.items():
        ended = record.pop("ended", None)
        # a webhook that hangs is waited for once; the rest waits for the next index
        if ended is not None and time.monotonic() < until:
            tell(write_end(path, ended))
            # those of JupyterLab have no copy of their notebook there, and tell nobody
            given = ended["parameters"] if (path / "notebook.ipynb").exists() else {}
            tell(notify(ended, run=path.name, parameters=given))
    index = runs / "index.html"
    earlier = max(0, len(directories) - MOST_LISTED)
    records = [(path.name, record) for path, record in listed.items()]
    project.write_whole(index, run_index_html(records, earlier=earlier))
    return index


def listed_runs(runs_dir: str | Path) -> list[dict[str, Any]]:
    """Return what a webhook is told of each run below `runs_dir`, the oldest first."""
    left = {
        path.name: _as_left(path)
        for path in project.run_directories(project.resolve_path(runs_dir))
    }
    return [told_of(record, run=name) for name, record in left.items() if record]


def _as_left(directory: Path) -> dict[str, Any] | None:
    """Return a run's record, with what its journal tells where its process died.

    One that cannot be read says why. None where there is none.
    """
    try:
        before = project.read_record(directory)
        if before["status"] != RunStatus.STOPPED:
            return before
        mark = mark_under_way(directory)
        before = project.read_record(directory)  # it may have ended by itself just now
    except Timeout:
        return before | {"status": "running", "headline": UNDER_WAY}
    except ConfigError as error:
        if not (file := directory / "result.json").exists():
            return None
        written = utc_text(datetime.fromtimestamp(file.stat().st_mtime, UTC))
        return project.EMPTY_RECORD | {
            "notebook": directory.name.partition("Z-")[2],
            "status": "unreadable",
            "headline": f"Unreadable record: {error}",
            "started_utc": written,
            "finished_utc": written,
        }
    told, is_resumable = by_journal(directory, before)
    record = told | {"is_resumable": is_resumable and told["status"] == RunStatus.STOPPED}
    if mark.is_locked:  # where there are no locks nobody knows who lives
        mark.release()
        (directory / UNDER_WAY_NAME).unlink(missing_ok=True)
        record["ended"] = told if told != before else None
    return record


def by_journal(directory: Path, record: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the record of a run that did not end by itself, with what its journal tells.

    Returns also whether it can be resumed: it has one, and no other run has.
    """
    told = {**record, "headline": record["headline"].replace(NOT_ENDED, DIED)}
    if not (directory / JOURNAL_NAME).exists():
        return told, False
    from mnslib.provisioning.resume import result_so_far
    from mnslib.show.plans import outcome_sentence

    try:
        result = result_so_far(directory)
        events, _ = read_events(directory / JOURNAL_NAME)
        last = utc_text(datetime.fromisoformat(events[-1]["utc"]))
    except (AttributeError, ConfigError, LookupError, OSError, TypeError, ValueError):
        return told, False  # it is none of ours, or damaged: it tells nothing
    if result.outcomes and not told["items"]:
        told["items"] = [item.to_json() for item in result.outcomes]
        told["summary"] = {**told["summary"], **result.counts()}
        told["headline"] = f"{outcome_sentence(result)} {told['headline']}"
        told["finished_utc"] = max(told["finished_utc"], last)
    is_continued = any(event["event"] == "continued" for event in events)
    return told, bool(result.outcomes) and not is_continued


def write_end(
    directory: Path, record: dict[str, Any], executed: Mapping[str, Any] | None = None
) -> str:
    """Write how a run ended, whatever ended it, and its report; return why there is no report.

    Where nothing can be written, the record becomes that of a run that was stopped by it. Its
    notebook is the one in the directory where it is not given, as JSON.
    """
    from mnslib.show.html import report_html

    notebook = directory / "notebook.ipynb"
    made = ["notebook.ipynb", "report.html"] if notebook.is_file() else ["report.html"]
    record["artifacts"] = list(dict.fromkeys([*made, *record["artifacts"]]))
    try:
        project.write_result(directory, record)
        project.write_whole(directory / "report.html", report_html(notebook, record, executed))
    except OSError as error:
        said = unwritable(error)
        if record["headline"] != said:
            said += f". Until then: {record['headline']}"
        status = RunStatus.STOPPED
        record |= {"status": status, "exit_code": EXIT_CODES[status], "headline": said}
    except Exception as error:  # the record stands, whatever a cell has shown
        return f"There is no report: {cut(f'{type(error).__name__}: {error}')}."
    return ""


def unwritable(error: OSError) -> str:
    """Return why a run is stopped whose directory cannot be written."""
    return f"The run directory cannot be written: {error.strerror or error}"


def mark_under_way(directory: Path) -> BaseFileLock:
    """Return the mark of a run whose process lives: a lock, which ends with the process.

    Raises:
        filelock.Timeout: if a process has it that lives.
    """
    mark = FileLock(directory / UNDER_WAY_NAME)
    try:
        mark.acquire(timeout=0)
    except Timeout:  # which is an OSError, too
        raise
    except (OSError, NotImplementedError):
        return mark  # on a file system without locks: there nobody knows who lives
    return mark


def is_under_way(directory: Path) -> bool:
    """Return whether a run that has not ended is in a process of this machine that lives."""
    try:
        if (directory / UNDER_WAY_NAME).exists():
            mark_under_way(directory).release()
    except Timeout:
        return True
    return False
