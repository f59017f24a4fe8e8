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

from mnslib.sandbox.wire import Json

SURFACES = ("arm", "entra", "graph", "kubernetes", "prometheus")
_METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE")

Check = tuple[Callable[[Any], bool], str]


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < 10**9


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False


def _one_of(*words: str) -> Check:
    return (lambda value: value in words), f"one of {', '.join(words)}"


def is_number(value: Any) -> bool:
    """Return whether a figure of a script or of limits is a sound number of at least 0."""
    return type(value) in (int, float) and 0 <= value < 1e9


_TEXT: Check = (lambda value: isinstance(value, str)), "a text"
_SECONDS: Check = is_number, "a number of seconds"
_COUNT: Check = (lambda value: _is_whole(value, 1)), "a whole number of at least 1"

_SCRIPT = {
    "seed": ((lambda value: _is_whole(value, 0)), "a whole number of at least 0"),
    "faults": ((lambda value: isinstance(value, list)), "a list"),
}
_FAULT: dict[str, Check] = {
    "name": _TEXT,
    "match": ((lambda value: isinstance(value, dict)), "a mapping"),
    "after": ((lambda value: _is_whole(value, 0)), "a whole number of at least 0"),
    "every": _COUNT,
    "times": _COUNT,
    "probability": ((lambda value: is_number(value) and value <= 1), "a number from 0 to 1"),
    "effect": ((lambda value: isinstance(value, dict)), "a mapping"),
}
_MATCH = {
    "surface": _one_of(*SURFACES),
    "method": _one_of(*_METHODS),
    "path": (_is_pattern, "a regular expression"),
    "identity": _TEXT,
}
_STATUS: Check = (
    (lambda value: _is_whole(value, 400) and value < 600),
    "a number from 400 to 599",
)
_DELAY: Check = (lambda value: is_number(value) or isinstance(value, str)), "seconds, or any text"
_ANYTHING: Check = (lambda _: True), "anything"
_TAGS: Check = (
    (lambda value: isinstance(value, dict) and all(isinstance(v, str) for v in value.values())),
    "a mapping of texts",
)
_ADDITIONAL: Check = (
    (lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value)),
    "a list of mappings",
)
# The first key of an effect says which one it is; the others go with it.
_EFFECTS: dict[str, dict[str, Check]] = {
    "status": {
        "status": _STATUS,
        "code": _TEXT,
        "message": _TEXT,
        "additional_info": _ADDITIONAL,
        "retry_after": _DELAY,
    },
    "body": {"body": _ANYTHING},
    "inflated": {"inflated": _COUNT},
    "drop": {"drop": _one_of("before", "after")},
    "hang": {"hang": _SECONDS},
    "slow": {"slow": _SECONDS},
    "operation": {
        "operation": _one_of("fails", "hangs", "cancelled", "answers"),
        "answer": _ANYTHING,
        "code": _TEXT,
        "message": _TEXT,
        "additional_info": _ADDITIONAL,
    },
    "policy_tags": {"policy_tags": _TAGS},
    "list_trails": {"list_trails": _SECONDS},
    "token": {"token": _one_of("expires")},
}


def check_script(given: Any) -> Json:
    """Return a script whose every entry is sound.

    Raises:
        ValueError: with a sentence for each mistake, naming the entry.
    """
    if not isinstance(given, dict):
        raise ValueError("faults must be a mapping of seed and faults")
    problems = _problems("the script", given, _SCRIPT)
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
        problems += _problems(where, fault, _FAULT, ("name", "effect"))
        if isinstance(fault.get("match"), dict):
            problems += _problems(f"{where}: match", fault["match"], _MATCH)
        if isinstance(fault.get("effect"), dict):
            problems += _effect_problems(f"{where}: effect", fault["effect"])
    if problems:
        raise ValueError("; ".join(problems))
    return given


def _effect_problems(where: str, effect: Json) -> list[str]:
    kinds = [kind for kind in _EFFECTS if kind in effect]
    if len(kinds) != 1:
        return [f"{where} needs exactly one of {', '.join(_EFFECTS)}"]
    return _problems(where, effect, _EFFECTS[kinds[0]])


def _problems(
    where: str, given: Json, known: dict[str, Check], needed: tuple[str, ...] = ()
) -> list[str]:
    problems = [f"{where} needs {key}" for key in needed if key not in given]
    for key, value in given.items():
        if key not in known:
            problems.append(f"{where} has an unknown key {key!r}; there are {', '.join(known)}")
        elif not known[key][0](value):
            problems.append(f"{where}: {key} must be {known[key][1]}, not {value!r}")
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
