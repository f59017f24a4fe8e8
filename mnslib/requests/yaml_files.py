"""YAML as people mean it: every value is the text that was written, `null` is nothing.

So `no`, `1.10`, `0123` and `2026-01-31` stay what they look like. Each record remembers its line;
keys written twice, anchors and Python objects are refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from mnslib.errors import Problem, SpecError
from mnslib.requests.rows import MOST_ROWS, Row, Rows, decode, file_error, problem, read_bytes

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = "tag:yaml.org,2002:null"
_NULL_FORM = re.compile(r"(?:~|null|Null|NULL|)\Z")

DEEPEST = 20
"""Levels of lists and mappings; our choice, five being useful."""


class _Loader(_Base):  # type: ignore[misc]  # the faster of the two, chosen above
    """The safe loader without implicit types but null, and with each key once."""

    yaml_implicit_resolvers = {sign: [(_NULL, _NULL_FORM)] for sign in ("~", "n", "N", "")}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        found: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _NULL:
                raise _refusal("a key is no text", key)
            if key.value in found:
                raise _refusal(f"the key {key.value[:60]!r} is written twice", key)
            found.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml_rows(path: Path, data: bytes) -> Rows:
    """Return the records of a list of mappings, known by the line each starts on.

    Raises:
        SpecError: if the file is no YAML, or no list.
    """
    loader, root = _compose(path, data)
    if not isinstance(root, yaml.SequenceNode):
        row = root.start_mark.line + 1 if root else None
        raise file_error(path, "the file is no list of requests", row=row, fix="- in front of each")
    if len(root.value) > MOST_ROWS:
        raise file_error(path, f"the file has more than {MOST_ROWS:,} requests", fix="several")
    rows: list[Row] = []
    found: list[Problem] = []
    for node in root.value:
        number, known = node.start_mark.line + 1, len(found)
        value = _value(loader, node, path, found)
        if isinstance(value, dict):
            rows.append(Row(number=number, cells=value))
        elif len(found) == known:
            message = "the entry is no mapping of columns to values"
            found.append(problem(path.name, number, None, (message, "cluster_name: <its name>")))
    return Rows(file=path.name, header=None, header_row=1, rows=tuple(rows), problems=tuple(found))


def read_yaml_mapping(path: Path) -> dict[str, tuple[int, Any]]:
    """Return line and value of each entry of a mapping, an empty file being an empty one.

    Raises:
        SpecError: with every mistake of form.
    """
    loader, root = _compose(path, read_bytes(path))
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise file_error(path, "the file is no mapping", row=1, fix="<name>: in front of each")
    found: list[Problem] = []
    # only to check the keys: what the entries hold is read one by one, for every mistake at once
    _value(loader, yaml.MappingNode(root.tag, [(k, k) for k, _ in root.value]), path, found)
    entries = {
        str(getattr(key, "value", "")): (
            key.start_mark.line + 1,
            _value(loader, value, path, found),
        )
        for key, value in root.value
    }
    if found:
        raise SpecError(found)
    return entries


def _compose(path: Path, data: bytes) -> tuple[Any, yaml.Node | None]:
    text = decode(path, data)
    try:
        _refuse_hostile(path, text)
        loader = _Loader(text)
        root: yaml.Node | None = loader.get_single_node()
    except yaml.YAMLError as error:
        raise SpecError([_yaml_problem(path, error)]) from error
    return loader, root


def _refuse_hostile(path: Path, text: str) -> None:
    """Return if nodes can be made of the text: deep nests break the C library that makes them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            raise file_error(path, "anchors and aliases are not taken", row=line, fix="it in full")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise file_error(path, "the file is nested too deeply", row=line)


def _value(loader: Any, node: yaml.Node, path: Path, found: list[Problem]) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except yaml.YAMLError as error:
        found.append(_yaml_problem(path, error))
    except ValueError as error:  # of a tag such as !!int
        line = node.start_mark.line + 1
        found.append(problem(path.name, line, None, (f"the value cannot be read: {error}", "")))
    return None


def _refusal(message: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)


def _yaml_problem(path: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    message = getattr(error, "problem", None) or str(error)
    row = mark.line + 1 if mark is not None else None
    return problem(path.name, row, None, (f"the file is no YAML that is taken: {message}", ""))
