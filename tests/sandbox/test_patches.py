"""Patches of Kubernetes objects: JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

from typing import Any

import pytest

from mnslib.sandbox.kube.patches import BadPatch, Inapplicable, merged, operated, strategic
from mnslib.sandbox.kube.schema import model_of
from tests.sandbox.kube_calls import (
    APPS,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    TEAM,
    deployment,
    kube,
    make_cluster,
    words,
)

POD, SERVICE = model_of("v1", "Pod"), model_of("v1", "Service")
REFUSED = "the server rejected our request due to an error in our request"

OPERATIONS = [  # Source: RFC 6902, appendix A
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": 1}], {"foo": "bar", "baz": 1}),
    ({"a": [1, 2]}, [{"op": "add", "path": "/a/1", "value": 9}], {"a": [1, 9, 2]}),
    ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": [2]}], {"a": [1, [2]]}),
    ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
    ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
    ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
    ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
    ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
    ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
    ({"a/b": 1, "m~n": 2}, [{"op": "test", "path": "/m~0n", "value": 2}], {"a/b": 1, "m~n": 2}),
    ({"a/b": 1}, [{"op": "replace", "path": "/a~1b", "value": 3}], {"a/b": 3}),
    ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 1}}], {"b": 1}),
]


@pytest.mark.parametrize(("doc", "patch", "result"), OPERATIONS)
def test_a_json_patch_does_what_its_operations_say(doc: Any, patch: Any, result: Any) -> None:
    assert operated(doc, patch) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/x"},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/l/2", "value": 1},
        {"op": "add", "path": "/l/01x", "value": 1},
        {"op": "add", "path": "/a"},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "move", "from": "/x", "path": "/y"},
        {"op": "jump", "path": "/a"},
        {"op": "remove"},
    ],
)
def test_an_operation_that_does_not_go_with_the_object_is_refused(operation: Any) -> None:
    doc = {"a": 1, "l": [1]}
    with pytest.raises(Inapplicable):
        operated(doc, [operation])
    assert doc == {"a": 1, "l": [1]}


def test_a_merge_patch_replaces_lists_and_drops_nulls() -> None:
    base = {"a": {"b": [1, 2], "c": 1}, "d": 1}
    assert merged(base, {"a": {"b": [3], "c": None}, "e": {"f": None}}) == {
        "a": {"b": [3]},
        "d": 1,
        "e": {},
    }


def containers(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name} | more for name in names]


def test_a_strategic_patch_merges_lists_by_their_key() -> None:
    base = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}
    patch = {"spec": {"containers": [{"name": "b", "image": "z", "args": ["1"]}]}}
    assert strategic(base, patch, POD)["spec"]["containers"] == [
        {"name": "a", "image": "x"},
        {"name": "b", "image": "z", "args": ["1"]},
    ]


STRATEGIC_CASES = [
    # new elements stand before those the patch does not name, as the server puts them
    (containers("a", "b"), containers("c"), {}, ["c", "a", "b"]),
    (containers("a", "b"), [{"name": "a", "$patch": "delete"}], {}, ["b"]),
    (containers("a", "b"), [{"$patch": "replace"}, {"name": "c"}], {}, ["c"]),
    (containers("a"), [], {}, ["a"]),
    (
        containers("a", "b", "c"),
        containers("c", "a", image="x"),
        {"$setElementOrder/containers": containers("c", "b", "a")},
        ["c", "b", "a"],
    ),
    (
        containers("a", "s", "b"),
        [{"name": "b", "$patch": "delete"}, {"name": "n"}],
        {"$setElementOrder/containers": containers("a", "n")},
        ["a", "n", "s"],
    ),
]


@pytest.mark.parametrize(("before", "patch", "order", "names"), STRATEGIC_CASES)
def test_directives_delete_replace_and_order_elements(
    before: Any, patch: Any, order: Any, names: list[str]
) -> None:
    result = strategic(
        {"spec": {"containers": before}}, {"spec": {"containers": patch} | order}, POD
    )
    assert [one["name"] for one in result["spec"]["containers"]] == names
    assert "$" not in str(result)


def test_directives_of_maps_and_lists_of_words() -> None:
    base = {
        "metadata": {"finalizers": ["a", "b"], "labels": {"x": "1", "y": "2"}},
        "spec": {"tolerations": [{"key": "a"}], "volumes": [{"name": "v", "emptyDir": {}}]},
    }
    patch: dict[str, Any] = {
        "metadata": {
            "finalizers": ["c"],
            "$deleteFromPrimitiveList/finalizers": ["a"],
            "labels": {"$patch": "replace", "z": "3"},
        },
        "spec": {
            "tolerations": [{"key": "b"}],
            "volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {}}],
        },
    }
    result = strategic(base, patch, POD)
    assert sorted(result["metadata"]["finalizers"]) == ["b", "c"]
    assert result["metadata"]["labels"] == {"z": "3"}
    assert result["spec"]["tolerations"] == [{"key": "b"}]  # without a key: replaced
    assert result["spec"]["volumes"] == [{"name": "v", "secret": {}}]
    assert strategic(base, {"spec": {"$patch": "delete"}}, POD)["spec"] == {}
    with pytest.raises(BadPatch):
        strategic(base, {"spec": {"$patch": "fold"}}, POD)
    with pytest.raises(Inapplicable):
        strategic({}, {"spec": {"ports": [{"name": "http"}]}}, SERVICE)


@pytest.mark.parametrize("media", [MERGE, STRATEGIC, JSON_PATCH])
def test_each_form_of_patch_reaches_the_store(media: str) -> None:
    state = make_cluster()
    assert kube(state, "POST", f"{APPS}/deployments", deployment()).status == 201
    change: Any = {"spec": {"replicas": 3}, "metadata": {"labels": {"a": "b"}}}
    if media == JSON_PATCH:
        change = [
            {"op": "replace", "path": "/spec/replicas", "value": 3},
            {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}},
        ]
    changed = kube(state, "PATCH", f"{APPS}/deployments/web", change, media, dryRun="All")
    assert (changed.status, changed.body["spec"]["replicas"]) == (200, 3)
    assert kube(state, "GET", f"{APPS}/deployments/web").body["spec"]["replicas"] == 1
    kube(state, "PATCH", f"{APPS}/deployments/web", change, media)
    stored = kube(state, "GET", f"{APPS}/deployments/web").body
    assert (stored["spec"]["replicas"], stored["metadata"]["labels"]) == (3, {"a": "b"})


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"replicas": "x"}, '"map[spec:map[replicas:x]]": unrecognized type: int32'),
        ({"replicas": 1.5}, "cannot convert float64 to int32"),
        ({"paused": "yes"}, "unrecognized type: bool"),
        ({"template": []}, "cannot restore struct from: slice"),
        ({"selector": {"matchLabels": "a"}}, "cannot restore map from string"),
        ({"selector": {"matchLabels": {"a": 1}}}, "cannot convert int64 to string"),
        ({"template": {"spec": {"containers": {"a": 1}}}}, "cannot restore slice from map"),
    ],
)
def test_a_strategic_patch_of_another_type_is_refused_in_the_converters_words(
    spec: Any, text: str
) -> None:
    state = make_cluster()
    assert kube(state, "POST", f"{APPS}/deployments", deployment()).status == 201
    answer = kube(state, "PATCH", f"{APPS}/deployments/web", {"spec": spec}, STRATEGIC)
    assert answer.status == 422
    assert answer.body["message"].endswith(text)
    assert answer.body["details"]["causes"][0]["field"] == "patch"


def test_patches_that_are_refused() -> None:
    state = make_cluster()
    kube(state, "POST", f"{TEAM}/configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}})

    def patch(body: Any, media: str, **query: str) -> tuple[int, str]:
        return words(kube(state, "PATCH", f"{TEAM}/configmaps/c", body, media, **query))

    failing = [{"op": "test", "path": "/data/a", "value": "2"}]
    assert patch(failing, JSON_PATCH) == (422, REFUSED)
    assert patch({}, JSON_PATCH)[0] == 400
    assert patch([1], JSON_PATCH)[0] == 400
    assert patch([{"op": "remove", "path": ""}], JSON_PATCH)[0] == 400
    assert patch([{"op": "copy", "from": "", "path": "/data/a"}] * 60, JSON_PATCH)[0] == 400
    deep = [{"op": "add", "path": "/data" + "/a" * n, "value": {}} for n in range(1, 1200)]
    assert patch(deep, JSON_PATCH)[0] == 400
    assert (
        patch({"$deleteFromPrimitiveList/data": ["a"], "$setElementOrder/b": 1}, STRATEGIC)[0]
        == 200
    )
    assert patch([], MERGE)[0] == 400
    assert patch("{", STRATEGIC)[0] == 400
    assert patch({}, "application/json")[0] == 415
    status, text = patch({"data": {"a": 1}}, MERGE)
    assert (status, text.startswith(' "" is invalid: patch: Invalid value: "{')) == (422, True)
    status, text = patch({"foo": 1}, MERGE, fieldValidation="Strict")
    assert (status, text.endswith('strict decoding error: unknown field "foo"')) == (422, True)
    unknown = {"data": {"b": None}, "foo": [1, True]}
    assert patch(unknown, STRATEGIC, fieldValidation="Strict") == (
        422,
        ' "" is invalid: patch: Invalid value: "map[data:map[b:<nil>] foo:[1 true]]": strict '
        'decoding error: unknown field "foo"',
    )
    status, text = patch({"metadata": {"name": "d"}}, MERGE)
    assert (status, "does not match the name on the URL" in text) == (400, True)
    assert patch({"kind": "Secret"}, MERGE)[0] == 400
