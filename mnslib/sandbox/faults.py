"""Scripted faults: which requests fail, and how, as data.

Every fault counts the requests that it matches, with a random sequence of its own from the script's
seed: the same script and the same requests always have the same effects. The first fault that is
due decides. Carrying an effect out is the application's part, and for operations `lifecycle`'s.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Callable
from typing import Any

from mnslib.sandbox.offers import packaged
from mnslib.sandbox.wire import Json

Check = tuple[Callable[[Any], bool], str]


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < 10**9


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False


def is_number(value: Any) -> bool:
    """Return whether a figure of a script or of limits is a sound number of at least 0."""
    return type(value) in (int, float) and 0 <= value < 1e9


def _are(values: Any, kind: type) -> bool:
    return all(isinstance(one, kind) for one in values)


_CHECKS: dict[str, Check] = {
    "anything": (lambda _: True, "anything"),
    "text": (lambda value: isinstance(value, str), "a text"),
    "list": (lambda value: isinstance(value, list), "a list"),
    "mapping": (lambda value: isinstance(value, dict), "a mapping"),
    "mappings": (lambda value: isinstance(value, list) and _are(value, dict), "a list of mappings"),
    "texts": (
        lambda value: isinstance(value, dict) and _are(value.values(), str),
        "a mapping of texts",
    ),
    "pattern": (_is_pattern, "a regular expression"),
    "seconds": (is_number, "a number of seconds"),
    "delay": (lambda value: is_number(value) or isinstance(value, str), "seconds, or any text"),
    "share": (lambda value: is_number(value) and value <= 1, "a number from 0 to 1"),
    "whole": (lambda value: _is_whole(value, 0), "a whole number of at least 0"),
    "count": (lambda value: _is_whole(value, 1), "a whole number of at least 1"),
    "status": (lambda value: _is_whole(value, 400) and value < 600, "a number from 400 to 599"),
}


def check_script(given: Any) -> Json:
    """Return a script whose every entry is sound.

    Raises:
        ValueError: with a sentence for each mistake, naming the entry.
    """
    if not isinstance(given, dict):
        raise ValueError("faults must be a mapping of seed and faults")
    rows = packaged("faults.yaml")
    problems = _problems("the script", given, rows["script"])
    faults = given.get("faults", [])
    names: set[Any] = set()
    for number, fault in enumerate(faults if isinstance(faults, list) else []):
        where = f"faults[{number}]"
        if not isinstance(fault, dict):
            problems.append(f"{where} must be a mapping")
            continue
        name = fault.get("name")
        if isinstance(name, str):
            where = f"{where} ({name})"
            if name in names:
                problems.append(f"{where}: that name is taken")
            names.add(name)
        problems += _problems(where, fault, rows["fault"], ("name", "effect"))
        if isinstance(fault.get("match"), dict):
            problems += _problems(f"{where}: match", fault["match"], rows["match"])
        if isinstance(fault.get("effect"), dict):
            problems += _effect_problems(f"{where}: effect", fault["effect"])
    if problems:
        raise ValueError("; ".join(problems))
    return given


def _effect_problems(where: str, effect: Json) -> list[str]:
    effects = packaged("faults.yaml")["effects"]
    kinds = [kind for kind in effects if kind in effect]
    if len(kinds) != 1:
        return [f"{where} needs exactly one of {', '.join(effects)}"]
    return _problems(where, effect, effects[kinds[0]])


def _problems(where: str, given: Json, known: Json, needed: tuple[str, ...] = ()) -> list[str]:
    problems = [f"{where} needs {key}" for key in needed if key not in given]
    for key, value in given.items():
        if key not in known:
            problems.append(f"{where} has an unknown key {key!r}; there are {', '.join(known)}")
        elif isinstance(words := known[key], list):
            if value not in words:
                text = f"{where}: {key} must be one of {', '.join(words)}, not {value!r}"
                problems.append(text)
        elif not _CHECKS[words][0](value):
            problems.append(f"{where}: {key} must be {_CHECKS[words][1]}, not {value!r}")
    return problems


class _Fault:
    def __init__(self, entry: Json, seed: int) -> None:
        self.entry = entry
        self.matched = self.hits = 0
        self._match = {"path": "", **entry.get("match", {})}
        self._path = re.compile(self._match.pop("path"), re.IGNORECASE)
        self._random = random.Random(f"{seed} {entry['name']}")

    def is_due(self, facts: Json, path: str) -> bool:
        """Return whether a request is one to be hit; counts it if it matches."""
        if any(facts[key] != value for key, value in self._match.items()):
            return False
        if not self._path.search(path):
            return False
        self.matched += 1
        turn = self.matched - self.entry.get("after", 0) - 1
        is_turn: bool = turn >= 0 and turn % self.entry.get("every", 1) == 0
        return is_turn and self._random.random() < float(self.entry.get("probability", 1))


class Faults:
    """The faults of one script, and the tokens that it made expire."""

    def __init__(self, script: Json) -> None:
        self.script = script
        self._faults = [_Fault(one, script.get("seed", 0)) for one in script.get("faults", [])]
        self._expired: set[bytes] = set()

    @property
    def is_empty(self) -> bool:
        """Whether no fault is set."""
        return not self._faults

    def effect_on(self, facts: Json, path: str) -> Json:
        """Return the effect on a request, or an empty one.

        Args:
            facts: its `surface`, `method` and `identity`.
            path: decoded.
        """
        for fault in [fault for fault in self._faults if fault.is_due(facts, path)]:
            if fault.hits < float(fault.entry.get("times", math.inf)):
                fault.hits += 1
                return dict(fault.entry["effect"])
        return {}

    def expire(self, bearer: str) -> None:
        """Refuse this token from now on."""
        self._expired.add(_digest(bearer))

    def is_expired(self, bearer: str) -> bool:
        """Return whether the token was made to expire."""
        return bool(self._expired) and _digest(bearer) in self._expired

    def report(self) -> Json:
        """Return the script with each fault's counters: requests matched, and those hit."""
        faults = [f.entry | {"matched": f.matched, "hits": f.hits} for f in self._faults]
        return {"seed": self.script.get("seed", 0), "faults": faults}


def _digest(bearer: str) -> bytes:
    return hashlib.sha256(bearer.encode()).digest()
