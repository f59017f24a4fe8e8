"""What two runs left behind, cell by cell, less what is meant to differ.

A file is cells: where each stands (keys and numbers, outermost first) to what stands there. Times,
durations, names of runs, paths and versions are left out; numbers are equal to a part in 10^9.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

Place = tuple[str, ...]
Cells = dict[Place, object]
Files = dict[str, Cells]

FILES = "tables/*.csv", "*.csv", "plan.json", "result.json", "undo.yaml"
LEFT_OUT = {
    "started_utc", "finished_utc", "created_utc", "read_utc", "duration_seconds", "sandbox",
    "runs_dir", "etag",
}  # fmt: skip
SETS = {"artifacts", "notes"}
"""Lists whose order says nothing."""
COLUMNS = "(columns)"
SHOWN = 3
TOLERANCE = 1e-9
_RUN = re.compile(r"\d{8}T\d{6}Z-[\w.-]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)")
_VERSION = re.compile(r"mnslib \d+\.\d+\.\d+\S*")


def read(directory: Path, *, paths: tuple[str, ...] = (), times: bool = True) -> Files:
    """Return the files of a run directory as cells.

    Args:
        paths: folders of which the rest of a path does not speak.
        times: False if it was read live, so that no moment is another run's.
    """

    def plain(value: object) -> object:
        if not isinstance(value, str):
            return value
        for path in paths:
            value = value.replace(path, "<folder>")
        value = _VERSION.sub("<version>", _RUN.sub("<run>", value))
        return value if times else _TIME.sub("<time>", value)

    found: Files = {}
    for path in sorted({path for pattern in FILES for path in directory.glob(pattern)}):
        cells = _READERS[path.suffix](path.read_text("utf-8-sig"))
        found[path.relative_to(directory).as_posix()] = {
            place: plain(value) for place, value in cells if not LEFT_OUT & set(place)
        }
    return found


def _table(text: str) -> Iterator[tuple[Place, object]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    for column in reader.fieldnames or ():
        yield (COLUMNS, column), column
    for number, row in enumerate(reader, 1):
        yield from (((str(number), str(column)), value) for column, value in row.items())


def _document(text: str) -> Iterator[tuple[Place, object]]:
    return _leaves(json.loads(text), ())


def _undo(text: str) -> Iterator[tuple[Place, object]]:
    notes = [line for line in text.splitlines() if line.startswith("#")]
    return _leaves({"notes": notes, "rows": yaml.safe_load(text)}, ())


def _leaves(value: object, place: Place) -> Iterator[tuple[Place, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*place, str(key)))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value, 1):
            is_set = bool(SETS & set(place))
            yield from _leaves(inner, (*place, str(inner) if is_set else str(number)))
    else:
        yield place, value


_READERS = {".csv": _table, ".json": _document, ".yaml": _undo}


@dataclass
class Intended:
    """One difference that is meant, as a mapping of intended.yaml says it.

    Attributes:
        kind: `rename_files` and `rename_columns` (old name to new, one `*` in both), `values`
            (old text to new, whole cells), `new` and `gone` (places that one side has), `changed`.
        what: those names, or patterns of places: `summary/*`; of a table's columns `*/name`.
        files, jobs: patterns, a file by its name of today; all if not given.
    """

    kind: str
    what: dict[str, str] | list[str]
    reason: str
    files: list[str] = field(default_factory=lambda: ["*"])
    jobs: list[str] = field(default_factory=lambda: ["*"])
    used: int = 0

    def covers(self, job: str, file: str, place: Place = ()) -> bool:
        if not (_matches(job, self.jobs) and _matches(file, self.files)):
            return False
        if self.kind not in ("new", "gone", "changed"):
            return True
        spots = [f"{COLUMNS}/*", "/".join(place)] if not place else ["/".join(place)]
        return any(_matches(spot, list(self.what)) for spot in spots)

    def renamed(self, name: str) -> str:
        assert isinstance(self.what, dict)
        for old, new in self.what.items():
            head, star, tail = old.partition("*")
            if name == old or (star and name.startswith(head) and name.endswith(tail)):
                self.used += 1
                return new.replace("*", name[len(head) : len(name) - len(tail)])
        return name


KINDS = "rename_files", "rename_columns", "values", "new", "gone", "changed"


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def load(text: str) -> list[Intended]:
    """Return what a file of intended differences says."""
    found = []
    for entry in yaml.safe_load(text) or []:
        (kind,) = [key for key in entry if key in KINDS]
        found.append(Intended(kind=kind, what=entry.pop(kind), **entry))
    return found


def expected(job: str, before: Files, rules: list[Intended]) -> Files:
    """Return the files of before as they are meant to be now."""
    found: Files = {}
    for file, cells in before.items():
        named = file
        for rule in rules:
            if rule.kind == "rename_files" and _matches(job, rule.jobs):
                named = rule.renamed(named)
        here = [rule for rule in rules if rule.covers(job, file)]
        found[named] = dict(_expected(cells, here, rules))
    return found


def _expected(
    cells: Cells, here: list[Intended], rules: list[Intended]
) -> Iterator[tuple[Place, object]]:
    for place, value in cells.items():
        spot, now = place, value
        if SETS & set(place):
            for rule in (rule for rule in rules if rule.kind == "rename_files"):
                now = rule.renamed(str(now))
            spot = (*place[:-1], str(now))
        for rule in here:
            if rule.kind == "rename_columns":
                spot = (*spot[:-1], rule.renamed(spot[-1])) if spot else spot
                now = spot[-1] if spot[:1] == (COLUMNS,) else now
            elif rule.kind == "values" and isinstance(now, str):
                now = rule.renamed(now)
        yield spot, now


def differences(job: str, before: Files, after: Files, rules: list[Intended]) -> list[str]:
    """Return a line for each file and column, or key, that differs and is not meant to."""
    meant = expected(job, before, rules)
    found: dict[tuple[str, str], list[str]] = {}

    def note(file: str, place: Place, kind: str, text: str) -> None:
        for rule in rules:
            if rule.kind in (kind, "changed") and rule.covers(job, file, place):
                rule.used += 1
                return
        found.setdefault((file, place[-1] if place else kind), []).append(text)

    for file in sorted({*meant, *after}):
        one, other = meant.get(file), after.get(file)
        if one is None or other is None:
            kind = "new" if one is None else "gone"
            note(file, (file,), kind, f"the file is {kind}")
            continue
        for place in {**one, **other}:
            at = " ".join(place)
            if place not in one:
                note(file, place, "new", f"{at}: new, {other[place]!r}")
            elif place not in other:
                note(file, place, "gone", f"{at}: gone, was {one[place]!r}")
            elif not equal(one[place], other[place]):
                note(file, place, "changed", f"{at}: {one[place]!r} is now {other[place]!r}")
        orders = [[p[1] for p in cells if p[0] == COLUMNS] for cells in (one, other)]
        common = [[name for name in order if name in orders[0] and name in orders[1]]
                  for order in orders]  # fmt: skip
        if common[0] != common[1]:
            note(file, (COLUMNS,), "changed", f"order of columns: {orders[0]} is now {orders[1]}")
    return [
        f"{job} {file} {key}: {len(texts)} x; " + "; ".join(texts[:SHOWN])
        for (file, key), texts in found.items()
    ]


def equal(one: object, other: object) -> bool:
    """Return whether two cells hold the same, numbers to a part in 10^9."""
    if one == other:
        return type(one) is type(other) or not {type(one), type(other)} & {bool, str}
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return False
    if isinstance(one, str) != isinstance(other, str):
        return False
    try:
        pair = float(str(one)), float(str(other))
    except ValueError:
        return False
    return math.isclose(*pair, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
