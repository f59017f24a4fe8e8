"""Label and field selectors of Kubernetes lists."""

from __future__ import annotations

import re
from collections.abc import Callable

from mnslib.sandbox.wire import Call, Json, kube_error

Test = Callable[[Json], bool]


def label_tests(call: Call) -> list[Test]:
    """Return the tests of `labelSelector`, all of which must hold.

    Raises:
        Refusal: 400.
    """
    tests: list[Test] = []
    for part in re.split(r",(?![^(]*\))", call.query.get("labelSelector", "")):
        form = r"(!?)([\w./-]+)\s*(?:(==|=|!=|\bin\b|\bnotin\b)\s*([\w.-]*|\([\w., -]*\)))?"
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
        inside = labels.get(key) in values if key in labels else False
        return inside if operator in ("=", "==", "in") else not inside

    return test


_FIELDS: dict[str, Callable[[Json], str]] = {
    "metadata.name": lambda doc: doc["metadata"]["name"],
    "metadata.namespace": lambda doc: doc["metadata"].get("namespace", ""),
    "status.phase": lambda doc: doc.get("status", {}).get("phase", ""),
    "spec.nodeName": lambda doc: doc.get("spec", {}).get("nodeName", ""),
}
# Source: pkg/registry/core/event/strategy.go, as far as the sandbox's events have it
_EVENT_FIELDS: dict[str, Callable[[Json], str]] = {
    "reason": lambda doc: doc["reason"],
    "type": lambda doc: doc["type"],
    "involvedObject.kind": lambda doc: doc["involvedObject"]["kind"],
    "involvedObject.name": lambda doc: doc["involvedObject"]["name"],
    "involvedObject.namespace": lambda doc: doc["involvedObject"]["namespace"],
    "involvedObject.uid": lambda doc: doc["involvedObject"]["uid"],
}


def field_tests(call: Call) -> list[Test]:
    """Return the tests of `fieldSelector`, all of which must hold.

    Raises:
        Refusal: 400.
    """
    known = _FIELDS | (_EVENT_FIELDS if call.params["plural"] == "events" else {})
    tests: list[Test] = []
    for part in filter(None, call.query.get("fieldSelector", "").split(",")):
        match = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if not match or match[1] not in known:
            text = f'field label not supported: "{part}"'
            raise kube_error(400, "BadRequest", text)
        tests.append(_field_test(known[match[1]], match[3], same=match[2] != "!="))
    return tests


def _field_test(read: Callable[[Json], str], wanted: str, *, same: bool) -> Test:
    return lambda doc: (read(doc) == wanted) == same
