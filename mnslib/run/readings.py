"""What a reading notebook may be asked, and which runs read the same, so that they are compared.

Reads the records of runs; asks nothing of a service, knows no figures.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnslib.capacity.promql import STEP_MINUTES
from mnslib.errors import ConfigError
from mnslib.quantities import size_problems
from mnslib.run.project import read_result
from mnslib.run.runs import find_run, run_before
from mnslib.run.targets import HISTORIES, INVENTORIES, sandbox_name
from mnslib.secrets import hide_secrets

SNAPSHOT_FOLDER, TABLES_FOLDER = "snapshot", "tables"
"""Of a run directory: what a reading notebook has read, for `snapshot_run`; its tables as CSV."""

SCOPE = ("subscription_ids", "clusters")
"""Parameters that say which clusters are read."""

SOURCES = ("inventory", "history", "prometheus_endpoint")
"""Parameters that say where from: another source knows other namespaces, and less of each."""


def refused_values(asked: Mapping[str, Any], *, notebook: str, runs_dir: Path) -> Mapping[str, str]:
    """Return by parameter what a reading notebook cannot be asked; nothing for other notebooks.

    Args:
        asked: all parameters by name; those of a wrong type are passed over.
        notebook: its name without ending.
        runs_dir: where the runs are that `snapshot_run` and `compare_run` name.
    """
    if "inventory" not in asked:
        return {}
    found = dict(_odd_values(asked))
    for pair in (("new_cpu", "new_memory"), ("pod_cpu", "pod_memory")):
        found |= size_problems({name: _text(asked, name) for name in pair})
    for name in ("snapshot_run", "compare_run"):
        if _text(asked, name):
            try:
                named_run(name, asked, notebook=notebook, runs_dir=runs_dir)
            except ConfigError as error:
                found[name] = str(error)
    return {name: hide_secrets(problem) for name, problem in found.items()}


def _odd_values(asked: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, known in (("inventory", INVENTORIES), ("history", HISTORIES)):
        if (value := _text(asked, name)) not in known:
            yield name, f"{name} is {value!r}: write one of {', '.join(known)}."
    days, step = asked.get("lookback_days"), asked.get("step_minutes")
    if isinstance(days, int) and days < 1:
        yield "lookback_days", f"lookback_days is {days}; write 1 or more."
    shortest, longest = STEP_MINUTES
    if isinstance(step, int) and not shortest <= step <= longest:
        yield "step_minutes", f"step_minutes is {step}; write {shortest} to {longest}."
    is_asked = _text(asked, "history") in ("auto", "azure-monitor")
    if is_asked and asked.get("target") == "sandbox" and _text(asked, "prometheus_endpoint"):
        yield (
            "prometheus_endpoint",
            "prometheus_endpoint: the sandbox has its own metrics. Leave it empty, or write "
            "history: prometheus for a server of your own.",
        )


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    return value if isinstance(value, str) else ""


def named_run(name: str, asked: Mapping[str, Any], *, notebook: str, runs_dir: Path) -> Path:
    """Return the directory of the run that `snapshot_run` or `compare_run` names.

    Args:
        name: of that parameter.
        asked, notebook, runs_dir: as `refused_values` takes them.

    Raises:
        ConfigError: if there is none, or it is none that can be analyzed again or compared with.
    """
    try:
        directory = find_run(_text(asked, name), runs_dir=runs_dir)
        record = _record(directory)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    check = _check_snapshot if name == "snapshot_run" else _check_comparison
    problem = (
        f"is a run of {record['notebook']}; name one of {notebook}."
        if record["notebook"] != notebook
        else check(directory, record, asked, runs_dir)
    )
    if problem:
        raise ConfigError(f"{name}: {directory.name} {problem}")
    return directory


def _check_snapshot(
    directory: Path, record: Mapping[str, Any], asked: Mapping[str, Any], _: Path
) -> str:
    if record["target"] != asked["target"]:
        target = record["target"]
        return f"was made on {target}; write target: {target}, so that the report says so."
    if earlier := record["parameters"].get("snapshot_run"):
        return f"read nothing itself, it analyzed {earlier}; name that run."
    if not (directory / SNAPSHOT_FOLDER / "snapshot.json").is_file():
        return f"has no whole snapshot: it ended as {record['status']}."
    return ""


def _check_comparison(
    directory: Path, record: Mapping[str, Any], asked: Mapping[str, Any], runs_dir: Path
) -> str:
    own, other = (_world(one) for one in (_reading_of(asked, runs_dir=runs_dir), record))
    if own != other:
        return f"was made on {other}, this run on {own}; name a run of the same target."
    if not (directory / TABLES_FOLDER / "utilization.csv").is_file():
        return f"has no table to compare with: it ended as {record['status']}."
    return ""


def _reading_of(asked: Mapping[str, Any], *, runs_dir: Path) -> Mapping[str, Any]:
    """Return target, sandbox and parameters of the reading that a run analyzes, its own or another.

    Args:
        asked: the run's parameters.
        runs_dir: where the run is that `snapshot_run` names; one that is not there counts as none.
    """
    own = {"target": asked["target"], "sandbox": sandbox_name(asked), "parameters": asked}
    if not (origin := _text(asked, "snapshot_run")):
        return own
    try:
        return read_result(find_run(origin, runs_dir=runs_dir)) or own
    except ConfigError:
        return own


def _world(record: Mapping[str, Any]) -> str:
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
    own = _record(read_by)
    about = {name: own[name] for name in ("notebook", "environment", "started_utc")}
    found = run_before(directory, **about, like=lambda other: is_alike(own, other))
    if found is not None:
        return found, ""
    before = "" if read_by == directory else f" before that reading ({read_by.name})"
    last = run_before(directory, **about)
    if last is None:
        return None, f"No run of this notebook and environment is there{before}."
    other = _record(last)
    if _world(own) != _world(other):
        why = f"the last one, {last.name}, was made on {_world(other)}, this on {_world(own)}."
        return None, f"No run of the same target is there{before}: {why}"
    why = f"the last one, {last.name}, differs in {_listed(differences(own, other))}."
    remedy = "Name it as compare_run: what both have read is compared then."
    return None, f"No run that read the same is there{before}: {why} {remedy}"


def is_alike(own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two records are of runs that read the same clusters from the same sources."""
    return _world(own) == _world(other) and not differences(own, other)


def difference_note(run: str, differs: Collection[str]) -> str:
    """Return what of two readings is compared that differ in those parameters; empty without."""
    if not differs:
        return ""
    parts = ["only the clusters that both have read"]
    if not set(SOURCES).isdisjoint(differs):
        parts.append("of these the namespaces that both could judge")
    if "inventory" in differs:
        parts.append("no refused pods")
    return f"{run} differs in {_listed(differs)}. Compared are {', '.join(parts)}."


def _listed(names: Collection[str]) -> str:
    return " and ".join(names)


def _record(directory: Path) -> Mapping[str, Any]:
    record = read_result(directory)
    if record is None:
        raise ConfigError(f"{directory} has no record of a run.")
    return record
