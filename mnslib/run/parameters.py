"""The parameters of a notebook: what its `parameters` cell declares, and what may be given.

Reads the cell without running it. Values come from YAML or from `NAME=VALUE`, read as the declared
type, so that `007` stays a text where a text is declared. Starts no kernel, knows no run.
"""

import ast
import json
import re
import reprlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mnslib.capacity.promql import window_problems
from mnslib.errors import PARAMETERS, ConfigError, SpecError, cut, nearest
from mnslib.models import POLICY_FIELDS, QUOTA_FIELDS
from mnslib.quantities import size_problems
from mnslib.resource_ids import ID_COLUMNS, ClusterId
from mnslib.results import ABOUT
from mnslib.run.notify import notification_problems, variable_problem
from mnslib.run.project import existing_file, message
from mnslib.secrets import RULE, hide_secrets, looks_secret
from mnslib.signals import STOP_VARIABLE, stop_seconds

PARAMETERS_TAG = "parameters"
TARGETS = ("sandbox", "azure")
CLOUDS = ("public", "usgov", "china")
CREDENTIALS = ("default", "environment", "workload-identity", "managed-identity", "cli")
"""Known without loading Azure's libraries, whose doors refuse any other word."""
HISTORIES = ("auto", "azure-monitor", "prometheus", "none")
MOST_PARALLEL = 64
"""Writes in flight on one cluster; our choice, some times what a service takes at once."""
MOST_NODES = 1000
"""Of a node pool. Source: AKS quotas."""
_TAKEN: Mapping[str, Sequence[str] | range] = {
    "target": TARGETS,
    "cloud": CLOUDS,
    "credential": CREDENTIALS,
    "inventory": ("azure", "history"),
    "approval": ("digest", "unattended"),
    "proof_credential": (*CREDENTIALS, ""),
    "kubectl_login": ("mns", "kubelogin", ""),
    "network_policy": ("cilium", "azure", "calico", "none"),
    "node_count": range(1, MOST_NODES + 1),
    "max_parallel_per_cluster": range(1, MOST_PARALLEL + 1),
}
"""The words or numbers that a parameter takes, whatever the others are."""
_NAMES = {
    *ID_COLUMNS, *QUOTA_FIELDS, *POLICY_FIELDS, "tier", "group_by", "owner_label", "allow",
    "limit_range", "project",
    "subscription_ids", "clusters",
}  # fmt: skip
"""Parameters whose texts are compared sign by sign."""
_KEYED = {"labels", "annotations", "tags", "access", "companion_quota"}
"""Parameters in which requests have a language of their own."""

_AS_TEXT = " Put it in quotes; for papermill write -r NAME VALUE, not -p."
_TYPES: dict[str, tuple[type, str, str]] = {
    "str": (str, "a text", _AS_TEXT),
    "int": (int, "a whole number", " Write it in digits alone, such as 30."),
    "bool": (bool, "true or false", " Write true or false, in small letters."),
    "float": (float, "a number", ""),
    "list": (list, "a list", ""),
    "dict": (dict, "a mapping", ""),
}
"""By its name: the type, the same in words, and how one is written."""

_SIGNED_IN = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://\S*@")
"""A URL that may hold a token or a password, which may have any sign: none of ours needs a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter that a notebook declares."""

    name: str
    type_name: str
    default: Any


def read_parameters(notebook_path: Path) -> tuple[Parameter, ...]:
    """Return what the notebook's `parameters` cell declares, in its order; runs nothing.

    Raises:
        ConfigError: no notebook, not exactly one such cell, or a line that is not a plain
            `name: type = literal`.
    """
    try:
        notebook = json.loads(notebook_path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(f"{notebook_path} cannot be read as a notebook: {error}") from error
    cells = [
        cell
        for cell in notebook.get("cells", ())
        if PARAMETERS_TAG in cell.get("metadata", {}).get("tags", ())
    ]
    if len(cells) != 1:
        raise ConfigError(message("no_cell", notebook=notebook_path, count=len(cells)))
    place = f"{notebook_path.name}, parameters cell, line"
    found, place_of = [], place
    try:
        for statement in ast.parse("".join(cells[0]["source"])).body:
            place_of = f"{place} {statement.lineno}"
            match statement:
                case ast.AnnAssign(ast.Name(name), kind, ast.expr() as value):
                    base = kind.value if isinstance(kind, ast.Subscript) else kind
                    if (type_name := ast.unparse(base)) not in _TYPES:
                        raise ValueError(f"type {type_name} is none of {', '.join(_TYPES)}")
                    default = ast.literal_eval(value)
                    found.append(Parameter(name=name, type_name=type_name, default=default))
                case _:
                    raise ValueError("write `name: type = literal`")
    except SyntaxError as error:
        raise ConfigError(f"{place} {error.lineno}: {error.msg}") from error
    except ValueError as error:
        raise ConfigError(f"{place_of}: not a plain parameter: {error}") from error
    return tuple(found)


def filled(source: str, given: Mapping[str, Any]) -> str:
    """Return the source of a `parameters` cell with other values in place; comments stay.

    Args:
        source: of plain `name: type = literal` lines, as `read_parameters` takes it.
        given: values by name.
    """
    lines = source.splitlines(keepends=True)
    for statement in reversed(ast.parse(source).body):
        match statement:
            case ast.AnnAssign(ast.Name(name), _, ast.expr() as old) if name in given:
                first, last = old.lineno - 1, (old.end_lineno or old.lineno) - 1
                # `ast` counts in bytes
                before = lines[first].encode()[: old.col_offset].decode()
                after = lines[last].encode()[old.end_col_offset :].decode()
                value = given[name]
                is_text = isinstance(value, str)
                literal = json.dumps(value, ensure_ascii=False) if is_text else repr(value)
                lines[first : last + 1] = [before + literal + after]
    return "".join(lines)


def parse_assignment(text: str, declared: Sequence[Parameter]) -> tuple[str, Any]:
    """Return name and value of `NAME=VALUE`, the value converted as that of a file is.

    A list or a mapping is written in YAML. An unknown name keeps its text, for `check_parameters`
    to refuse.

    Raises:
        ConfigError: there is no `=`, or the value is no YAML.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"-p {text}: write NAME=VALUE, such as -p dry_run=false.")
    type_name = next((known.type_name for known in declared if known.name == name), "str")
    if type_name in ("list", "dict"):
        return name, _read(Path(name), f"{name}: {value}".encode())[name]
    return name, _converted(value, type_name)


def read_parameter_file(path: Path, declared: Sequence[Parameter] = ()) -> dict[str, Any]:
    """Return the parameters that a YAML file holds; an empty file holds none.

    Each is the text that was written, converted where it has no quotes and another type is
    declared; what cannot be converted stays a text, for `check_parameters` to refuse.

    Raises:
        ConfigError: no such file, or with every mistake of form in it.
    """
    from mnslib.requests.files import Plain

    types = {known.name: known.type_name for known in declared}
    return {
        name: _converted(str(value), types.get(name, "")) if isinstance(value, Plain) else value
        for name, value in _read(path).items()
    }


def _read(path: Path, data: bytes | None = None) -> dict[str, Any]:
    from mnslib.requests.files import read_yaml_mapping

    try:
        return {name: value for name, (_, value) in read_yaml_mapping(path, data).items()}
    except SpecError as error:
        told = [
            one.told(f"{one.file}, line {one.row}" if one.row and data is None else one.file)
            for one in error.problems
        ]
        raise ConfigError("\n  ".join(["The parameters cannot be read:", *told])) from None


def _converted(text: str, type_name: str) -> Any:
    """Return a text as the declared type, `010` as 10; as it is where that cannot be."""
    if type_name == "bool":
        return {"true": True, "false": False}.get(text, text)
    if type_name == "int" and re.fullmatch(r"[+-]?\d{1,15}", text, re.ASCII):
        return int(text)
    if type_name == "float" and re.fullmatch(r"[+-]?\d{1,15}(\.\d+)?", text, re.ASCII):
        return float(text)
    return text


def check_parameters(
    declared: Sequence[Parameter],
    given: Mapping[str, Any],
    *,
    refused: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the given values, which are of the declared types; a whole number is a number.

    Args:
        refused: what else is wrong, by name; what may hold a secret is not quoted of it.

    Raises:
        ConfigError: names every unknown name, wrong type, value that looks like a secret, and
            what else is refused.
    """
    known = {parameter.name: parameter for parameter in declared}
    found = {name: _problem(name, value, known) for name, value in given.items()}
    problems = {**refused, **{name: problem for name, problem in found.items() if problem}}
    if problems:
        count = f"{len(problems)} parameter{'s are' if len(problems) > 1 else ' is'} refused"
        said = [problems[name] for name in dict.fromkeys([*given, *refused]) if name in problems]
        raise ConfigError("\n  ".join([f"{count}; nothing was begun:", *said]))
    return dict(given)


def refused_values(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return by parameter what a notebook cannot be asked: all of it, before anything begins.

    Args:
        asked: all parameters by name; those of a wrong type are passed over.
    """
    from mnslib.provisioning.approval import cap_problems
    from mnslib.provisioning.risks import read_max_commitment

    text = _texts(asked)
    found = {n: word_problem(n, value, _TAKEN[n]) for n, value in asked.items() if n in _TAKEN}
    found |= cap_problems(text) | notification_problems(asked) | _absent_files(asked)
    limit = partial(read_max_commitment, text["max_commitment"])
    for name, read in (("max_commitment", limit), (STOP_VARIABLE, stop_seconds)):
        try:
            read()
        except ConfigError as error:
            found[name] = str(error)
    for name, problem in _refused_inside(asked):
        found[name] = "\n  ".join(filter(None, (found.get(name), problem)))
    if "inventory" in asked:
        found |= _refused_reading(asked)
    for pair in (("new_cpu", "new_memory"), ("pod_cpu", "pod_memory")):
        if asked.keys() & set(pair):
            found |= size_problems({name: _texts(asked)[name] for name in pair})
    found = {name: hide_secrets(problem) for name, problem in found.items() if problem}
    request = _refused_request(asked)
    # else they are told with what Azure says of them
    return found | request if found or request.keys() & _KEYED else found


def _refused_reading(asked: Mapping[str, Any]) -> dict[str, str]:
    found = history_problems(asked)
    window = {"lookback_days": 1, "step_minutes": 60}
    window |= {name: asked[name] for name in window if isinstance(asked.get(name), int)}
    found |= window_problems(**window)
    return found


def _refused_request(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return by parameter what is wrong with a request that a notebook's parameters make."""
    from mnslib.requests.columns import COLUMNS
    from mnslib.requests.spec import specs_from_rows

    row = {name: asked[name] for name in COLUMNS if name in asked and name != "tier"}
    row = {name: value for name, value in row.items() if not _odd_parts(value)}
    found: dict[str, list[str]] = defaultdict(list)
    try:
        specs_from_rows([row] if row else [], file=PARAMETERS)
    except SpecError as error:
        for one in error.problems:
            found[str(one.column)].append(one.told(str(one.column)))
    return {name: "\n  ".join(told) for name, told in found.items() if name in asked}


def _absent_files(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return by parameter which file is not there; a resumed run has a copy of its requests."""
    found = dict[str, str]()
    for name in ("request_file", "tiers_file", "policy_file"):
        file = asked.get(name)
        is_needed = not asked.get("resume_run") if name == "request_file" else bool(file)
        if is_needed and isinstance(file, str) and not may_be_secret(file):
            try:
                existing_file(name, file)
            except ConfigError as error:
                found[name] = str(error)
    return found


def _refused_inside(asked: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a parameter, and what is wrong with a text of it or in it."""
    from mnslib.provisioning.changes import RiskName
    from mnslib.requests import rules, signs

    readers: dict[str, Callable[[str], object]] = {
        "allow": partial(rules.one_of, words=RiskName),
        "subscription_ids": partial(rules.name, "subscription_id"),
        "clusters": str if asked.get("inventory") == "history" else ClusterId.parse,
    }
    for name, value in asked.items():
        if name in _KEYED or _odd_parts(value):  # which is told of their type
            continue
        for part in signs.texts(value):
            try:
                rules.seen(part, is_name=name in _NAMES)
                readers.get(name, str)(part)
            except ValueError as error:
                fix = error.findings[0][1] if isinstance(error, rules.CellError) else ""
                yield name, f"{name}: {error}." + (f" Write {fix}." if fix else "")


def history_problems(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return by parameter what is wrong with where the history is to be read.

    Args:
        asked: `target`, `history` and `prometheus_endpoint` by name, and what goes with them.
    """
    text, found = _texts(asked), dict[str, str]()
    history, endpoint = text["history"], text["prometheus_endpoint"]
    is_sandbox, is_own = text["target"] == "sandbox", history == "prometheus"
    is_asked = not asked.get("snapshot_run")  # else an earlier run's reading is analyzed again
    if problem := word_problem("history", history, HISTORIES):
        found["history"] = problem
    if text["inventory"] == "history" and is_asked:
        if asked.get("subscription_ids"):
            found["subscription_ids"] = message("no_subscriptions")
        if history == "none" or not (endpoint or is_sandbox):
            found["prometheus_endpoint"] = message("no_inventory")
    elif is_asked and not endpoint and (is_own or (history == "azure-monitor" and not is_sandbox)):
        found["prometheus_endpoint"] = message("no_endpoint", history=history)
    if history in ("auto", "azure-monitor") and is_sandbox and endpoint:
        found["prometheus_endpoint"] = message("sandbox_endpoint")
    found |= variable_problem(text, "prometheus_token_env", "MNS_PROMETHEUS_TOKEN", "token")
    if text["prometheus_token_env"] and is_asked and not is_own and history in HISTORIES:
        found["prometheus_token_env"] = message("no_token_here", history=history)
    if may_be_secret(endpoint):
        found["prometheus_endpoint"] = message("secret_endpoint")
    return found


def word_problem(name: str, value: object, known: Sequence[str] | range) -> str:
    """Return what is wrong with a value that must be one of some words or numbers; else nothing.

    One of another type is passed over, which is refused as such.
    """
    if value in known or not isinstance(value, type(known[0])):
        return ""
    if isinstance(known, range):
        return f"{name} is {value}; write {known[0]} to {known[-1]}."
    shown = "a secret" if may_be_secret(value) else repr(value)
    return f"{name} is {shown}: write one of {', '.join(filter(None, known))}."


def _texts(asked: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the parameters that are texts; any other is an empty one."""
    return defaultdict(str, {n: value for n, value in asked.items() if isinstance(value, str)})


def recordable(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be written down of parameters that are refused: what the run was about."""
    names = [name for name in ("target", "dry_run", *ABOUT) if name in asked]
    return {n: asked[n] for n in names if not may_be_secret(asked[n]) and not _odd_parts(asked[n])}


def may_be_secret(value: object) -> bool:
    """Return whether a value looks like a key or a token, or is a URL that may sign somebody in."""
    return looks_secret(value) or (isinstance(value, str) and bool(_SIGNED_IN.match(value)))


def _odd_parts(value: object) -> list[object]:
    """Return what is no text in a list or a mapping; a value of None removes its key there."""
    if isinstance(value, Mapping):
        value = [*value, *(part for part in value.values() if part is not None)]
    return [part for part in value if not isinstance(part, str)] if isinstance(value, list) else []


def _as_list(name: str, value: object) -> str:
    """Return what to write in place of a text where a list is declared; it would be accepted."""
    from mnslib.provisioning.changes import RiskName

    near = nearest(str(value), RiskName) if name == "allow" else ""
    for text in (value, near) if near else (value,):
        with suppress(ConfigError):
            listed = _read(Path(name), f"{name}: [{text}]".encode())[name]
            if not _odd_parts(listed) and not refused_values({name: listed}):
                return f" Write [{text}]."
    return " Write a list, such as [a, b]."


def _problem(name: str, value: object, known: Mapping[str, Parameter]) -> str:
    """Return what is wrong with a value that is given; empty if it fits."""
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else f"it knows {', '.join(known) or 'none'}."
        return f"{name}: the notebook has no such parameter; {hint}"
    if may_be_secret(value):
        return message("secret", name=name, rule=RULE)
    kind, words, hint = _TYPES[known[name].type_name]
    kinds = (int, float) if kind is float else kind
    if isinstance(value, kinds) and isinstance(value, bool) == (kind is bool):
        odd = _odd_parts(value)
        return f"{name}: {_quoted(odd[0])} in it is not a text.{_AS_TEXT}" if odd else ""
    if value is None:
        hint = " Leave it out for the default."
    elif kind is list and isinstance(value, str):
        hint = _as_list(name, value)
    elif isinstance(value, str) and type(_converted(value, known[name].type_name)) is kind:
        hint = " Write it without quotes; for papermill with -p, not -r."
    return f"{name}: {_quoted(value)} is not {words}.{hint}"


def _quoted(value: object) -> str:
    """Return a value in short; a list may be in itself, or hold more than a memory does."""
    return repr(value) if isinstance(value, str) else cut(reprlib.repr(value))
