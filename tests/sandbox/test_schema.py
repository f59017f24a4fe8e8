"""Bodies are read as strictly as the published schema says; its examples pass."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.client import Client, cluster_id, namespace_id

Wrong = tuple[str, Any, str]  # what is wrong, the body, the member that the answer must name
CODES = {"InvalidRequestContent", "InvalidParameter", "LocationRequired"}
# read by the JSON reader as missing if a service is careless: empty values of another type
NO_TEXT: tuple[Any, ...] = (7, 0, True, False, ["x"], [], {"a": "b"}, {})
NO_OBJECT: tuple[Any, ...] = (7, 0, True, False, ["x"], [], "x", "")


@cache
def schema(shared: Path) -> dict[str, Any]:
    file = shared / "facts" / "data" / "openapi-subset-reconstructed.json"
    if not file.is_file():
        pytest.skip(f"no {file.name} among the recorded facts")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def examples(shared: Path) -> list[Path]:
    found = sorted((shared / "facts" / "data" / "examples-2025-09-01").glob("*.json"))
    if not found:
        pytest.skip("no examples among the recorded facts")
    return found


def example(shared: Path, name: str) -> Any:
    return json.loads(next(f for f in examples(shared) if f.stem.endswith(name)).read_text())


def good_body(shared: Path) -> dict[str, Any]:
    """Return the example's body, which holds every member that may be written."""
    body: dict[str, Any] = example(shared, "Create_Update")["parameters"]["parameters"]
    return body | {"location": "westeurope"}


def members(shared: Path, definition: str, path: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield path and rule of every member that may be written, objects before their members."""
    for name, rule in schema(shared)["definitions"][definition]["properties"].items():
        if rule.get("readOnly"):
            continue
        yield (*path, name), rule
        if "$ref" in rule:
            yield from members(shared, rule["$ref"].rsplit("/", 1)[-1], (*path, name))


def changed(body: Any, path: tuple[str, ...], value: Any) -> Any:
    body = copy.deepcopy(body)
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return body


def wrong_bodies(shared: Path, definition: str, body: Any) -> Iterator[Wrong]:
    """Yield bodies with one mistake each."""
    yield "unknown member", body | {"nonsense": 1}, "nonsense"
    for path, rule in members(shared, definition):
        where = ".".join(path)
        texts = "enum" in rule or rule.get("type") == "string"
        for value in NO_TEXT if texts else NO_OBJECT:
            yield f"{where} is {value!r}", changed(body, path, value), where
        if "enum" in rule:
            yield f"{where} is no word of its own", changed(body, path, "Perhaps"), where
        if "additionalProperties" in rule:
            for value in (7, True, ["x"], {"a": "b"}):
                yield f"{where} holds {value!r}", changed(body, path, {"key": value}), where
        if "$ref" in rule:
            unknown = (*path, "nonsense")
            yield f"{where} has an unknown member", changed(body, unknown, 1), ".".join(unknown)


def test_every_wrong_body_is_refused_and_the_member_named(sandbox: Client, shared: Path) -> None:
    bodies = list(wrong_bodies(shared, "ManagedNamespace", good_body(shared)))
    assert len(bodies) > 90
    for what, body, member in bodies:
        check_refused(sandbox.arm("PUT", namespace_id("strict"), body), what, member)
    assert sandbox.arm("GET", namespace_id("strict")).status_code == 404


def test_every_wrong_body_of_tags_is_refused_and_the_member_named(
    sandbox: Client, shared: Path
) -> None:
    before = sandbox.get("payments-api")
    for what, body, member in wrong_bodies(shared, "TagsObject", {"tags": {"a": "b"}}):
        check_refused(sandbox.arm("PATCH", namespace_id("payments-api"), body), what, member)
    assert sandbox.get("payments-api") == before


def check_refused(answer: Any, what: str, member: str) -> None:
    assert answer.status_code == 400, (what, answer.text)
    error = answer.json()["error"]
    assert error["code"] in CODES, (what, error)
    assert f"'{member}" in error["message"], (what, error)


def test_a_missing_location_is_refused_since_it_is_required(sandbox: Client, shared: Path) -> None:
    required = schema(shared)["x-api-versions"]["location_required_from"]
    body = {key: value for key, value in good_body(shared).items() if key != "location"}
    check_location = sandbox.arm("PUT", namespace_id("strict"), body, version=required)
    assert check_location.status_code == 400
    assert check_location.json()["error"]["code"] == "LocationRequired"
    first = schema(shared)["x-api-versions"]["first_GA"]
    assert sandbox.arm("PUT", namespace_id("strict"), body, version=first).status_code == 201


def test_names_keep_to_pattern_and_length(sandbox: Client, shared: Path) -> None:
    rule = next(p for p in schema(shared)["parameters"] if p["name"] == "managedNamespaceName")
    longest = "a" * rule["maxLength"]
    for name in ("-a", "a-", "A", "a_b", "a.b", "ä", f"{longest}a"):
        answer = sandbox.arm("PUT", namespace_id(name), good_body(shared))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidParameter")
        assert f"'{name}'" in answer.json()["error"]["message"]
    for name in ("a", "0", "a-b", longest):
        assert sandbox.arm("PUT", namespace_id(name), good_body(shared)).status_code == 201


def test_every_good_body_passes(sandbox: Client, shared: Path) -> None:
    sandbox.switch(quota_missing="accept")  # the schema demands no amount, the service does
    body = good_body(shared)
    bodies = [body]
    for path, rule in members(shared, "ManagedNamespace"):
        if path != ("location",):
            bodies.append(changed(body, path, None))
        for word in rule.get("enum", ()):
            bodies += [changed(body, path, word), changed(body, path, word.lower())]
    assert len(bodies) > 25
    for one in bodies:
        answer = sandbox.put("strict", one)
        assert answer.status_code in (200, 201), (one, answer.text)


def test_read_only_members_are_taken_and_change_nothing(sandbox: Client, shared: Path) -> None:
    first = sandbox.put("strict", good_body(shared)).json()
    again = sandbox.put("strict", first).json()
    assert again["id"] == first["id"]
    assert again["properties"] | {"provisioningState": ""} == first["properties"] | {
        "provisioningState": ""
    }


# the examples: request accepted, answer of that form

CALLS = {
    "Create_Update": ("PUT", ""),
    "Delete": ("DELETE", ""),
    "Get": ("GET", ""),
    "List": ("GET", None),
    "ListCredentialResult": ("POST", "/listCredential"),
    "UpdateTags": ("PATCH", ""),
}


def shape(value: Any, key: str = "") -> Any:
    """Return the members of a document without their values."""
    if key in ("tags", "labels", "annotations"):
        return "texts by name"
    if isinstance(value, dict):
        return {name: shape(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value).__name__


def holds(ours: Any, theirs: Any) -> bool:
    """Return whether every member of the example is in our answer, with its type."""
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and all(
            name in ours and holds(ours[name], one) for name, one in theirs.items()
        )
    if isinstance(theirs, list):
        return isinstance(ours, list) and all(holds(ours[0], one) for one in theirs)
    return bool(ours == theirs)


@pytest.mark.parametrize("operation", CALLS)
def test_the_published_example_comes_back_in_its_form(
    sandbox: Client, shared: Path, operation: str
) -> None:
    published = example(shared, f"ManagedNamespaces{operation}")
    if operation != "Create_Update":
        start = example(shared, "Create_Update")["parameters"]["parameters"]
        sandbox.arm("PUT", namespace_id("a"), start, version="2025-09-01")
        sandbox.finish()
    method, rest = CALLS[operation]
    path = f"{cluster_id()}/managedNamespaces" if rest is None else namespace_id("a") + rest
    body = published["parameters"].get("parameters")
    answer = sandbox.arm(method, path, body, version="2025-09-01")
    expected = published["responses"][str(answer.status_code)]
    assert {name.lower() for name in expected.get("headers", {})} <= set(
        name.lower() for name in answer.headers
    )
    if "body" in expected:
        assert holds(shape(answer.json()), shape(expected["body"])), answer.text
