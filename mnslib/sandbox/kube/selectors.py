"""Label and field selectors of Kubernetes lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mnslib.sandbox.kube.kinds import Kind
from mnslib.sandbox.kube.kinds import known as known_kind
from mnslib.sandbox.wire import Call, Json, kube_error

Test = Callable[[Json], bool]
_WORDS = ("spec.unschedulable", "spec.hostNetwork")  # true or false, whether said or not


def label_tests(call: Call) -> list[Test]:
    """Return the tests of `labelSelector`, all of which must hold.

    Raises:
        Refusal: 400.
    """
    tests: list[Test] = []
    for part in re.split(r",(?![^(]*\))", call.query.get("labelSelector", "")):
        form = r"(!?)([\w./-]+)\s*(?:(==|=|!=|<|>|\bin\b|\bnotin\b)\s*([\w.-]*|\([\w., -]*\)))?"
        match = re.fullmatch(form, part.strip())
        if part.strip() and not match:
            raise kube_error(400, "BadRequest", f"unable to parse requirement: {part}")
        if match:
            absent, key, operator, text = match.groups()
            values = {value.strip() for value in (text or "").strip("() ").split(",")}
            tests.append(_label_test(key, operator, values, absent=bool(absent)))
    return tests


def _label_test(key: str, operator: str | None, values: set[str], *, absent: bool) -> Test:
    def test(doc: Json) -> bool:
        labels = doc["metadata"].get("labels", {})
        if operator is None:
            return (key in labels) != absent
        if operator in ("<", ">"):
            numbers = [labels.get(key, ""), *values]
            if not all(re.fullmatch("[0-9]{1,18}", text, re.ASCII) for text in numbers):
                return False
            here, bound = map(int, numbers)
            return here < bound if operator == "<" else here > bound
        inside = labels.get(key) in values if key in labels else False
        return inside if operator in ("=", "==", "in") else not inside

    return test


def matches(selector: Json, labels: Json) -> bool:
    """Return whether the selector of an object takes these labels; an empty one takes all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    rows = selector.get("matchExpressions") or ()
    return all(
        holds(row.get("operator", ""), labels.get(row.get("key")), row.get("values"))
        for row in rows
    )


def holds(operator: str, value: str | None, values: list[str] | None) -> bool:
    """Return whether a label's value, None where it is not there, is as an expression asks."""
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) == (operator == "Exists")
    if operator in ("In", "NotIn"):
        return (value in (values or ())) == (operator == "In")
    numbers = [str(value), *map(str, values or ())]
    if len(numbers) != 2 or not all(re.fullmatch("[0-9]{1,18}", one, re.ASCII) for one in numbers):
        return False
    here, bound = map(int, numbers)
    return here > bound if operator == "Gt" else here < bound


def field_tests(call: Call, kind: Kind) -> list[Test]:
    """Return the tests of `fieldSelector`, all of which must hold.

    Raises:
        Refusal: 400. Source: each kind's `AddFieldLabelConversionFunc`.
    """
    known = ("metadata.name", "metadata.namespace", *known_kind(kind.plural).fields)
    tests: list[Test] = []
    for part in filter(None, call.query.get("fieldSelector", "").split(",")):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", part)
        if not match:
            text = f"invalid selector: '{part}'; can't understand '{part}'"
            raise kube_error(400, "BadRequest", text)
        if match[1] not in known:
            text = f"field label not supported: {match[1]}"
            if known[2:] == ():
                text = f'"{match[1]}" is not a known field selector: only "metadata.name", '
                text += '"metadata.namespace"'
            raise kube_error(400, "BadRequest", text)
        tests.append(_field_test(match[1], match[3], same=match[2] != "!="))
    return tests


def _field_test(path: str, wanted: str, *, same: bool) -> Test:
    def test(doc: Json) -> bool:
        value: Any = doc
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if path == "source" and isinstance(value, dict):
            value = value.get("component")
        if path in _WORDS or isinstance(value, bool):
            value = str(bool(value)).lower()
        return (str(value or "") == wanted) == same

    return test
