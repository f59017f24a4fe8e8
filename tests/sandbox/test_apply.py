"""Server-side apply: who manages which field, what conflicts, what goes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mnslib.sandbox.state import State
from tests.sandbox.kube_calls import (
    APPLY,
    APPS,
    MERGE,
    STRATEGIC,
    TEAM,
    deployment,
    kube,
    make_cluster,
    words,
)

QUOTA = f"{TEAM}/resourcequotas/q"
WEB = f"{APPS}/deployments/web"


@pytest.fixture
def state() -> State:
    return make_cluster()


def quota(**hard: str) -> dict[str, Any]:
    named = {key.replace("_", "."): value for key, value in hard.items()}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": named},
    }


def managers(body: dict[str, Any]) -> dict[tuple[str, str], Any]:
    found = body["metadata"].get("managedFields", [])
    return {(one["manager"], one["operation"]): one["fieldsV1"] for one in found}


def test_what_is_not_there_is_created_and_what_is_the_same_stays(state: State) -> None:
    text = yaml.safe_dump(quota(requests_cpu="1", pods="2"))
    made = kube(state, "PATCH", QUOTA, text, APPLY, fieldManager="gitops")
    assert made.status == 201
    hard = {"f:pods": {}, "f:requests.cpu": {}}
    assert managers(made.body) == {("gitops", "Apply"): {"f:spec": {"f:hard": hard}}}
    again = kube(state, "PATCH", QUOTA, text, APPLY, fieldManager="gitops")
    assert again.status == 200
    assert again.body["metadata"] == made.body["metadata"]


def test_fields_of_others_conflict_unless_equal_or_forced(state: State) -> None:
    body = quota(requests_cpu="1", pods="2")
    kube(state, "POST", f"{TEAM}/resourcequotas", body, fieldManager="kubectl-create")
    same = kube(state, "PATCH", QUOTA, quota(pods="2"), APPLY, fieldManager="a")
    assert same.status == 200  # both manage it now
    one = kube(state, "PATCH", QUOTA, quota(requests_cpu="2", pods="2"), APPLY, fieldManager="a")
    assert words(one) == (
        409,
        'Apply failed with 1 conflict: conflict with "kubectl-create" using v1: '
        ".spec.hard.requests.cpu",
    )
    assert one.body["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-create" using v1',
            "field": ".spec.hard.requests.cpu",
        }
    ]
    two = kube(state, "PATCH", QUOTA, quota(requests_cpu="2", pods="3"), APPLY, fieldManager="b")
    assert words(two) == (
        409,
        "Apply failed with 3 conflicts: "
        'conflicts with "a":\n- .spec.hard.pods\n'
        'conflicts with "kubectl-create" using v1:\n- .spec.hard.pods\n- .spec.hard.requests.cpu',
    )
    forced = kube(
        state, "PATCH", QUOTA, quota(requests_cpu="2"), APPLY, fieldManager="b", force="true"
    )
    assert forced.body["spec"]["hard"] == {"requests.cpu": "2", "pods": "2"}
    fields = managers(forced.body)
    assert fields["b", "Apply"] == {"f:spec": {"f:hard": {"f:requests.cpu": {}}}}
    assert "f:requests.cpu" not in fields["kubectl-create", "Update"]["f:spec"]["f:hard"]


def test_what_is_no_longer_applied_goes_unless_another_manages_it(state: State) -> None:
    kube(state, "PATCH", QUOTA, quota(requests_cpu="1", pods="2"), APPLY, fieldManager="a")
    kube(state, "PATCH", QUOTA, quota(pods="2"), APPLY, fieldManager="b")
    left = kube(state, "PATCH", QUOTA, quota(limits_cpu="4"), APPLY, fieldManager="a").body
    assert left["spec"]["hard"] == {"limits.cpu": "4", "pods": "2"}


def test_an_update_takes_what_it_changes(state: State) -> None:
    kube(state, "PATCH", QUOTA, quota(requests_cpu="1", pods="2"), APPLY, fieldManager="a")
    change = {"spec": {"hard": {"pods": "9"}}, "metadata": {"labels": {"x": "y"}}}
    taken = kube(state, "PATCH", QUOTA, change, MERGE, fieldManager="edit").body
    assert managers(taken) == {
        ("a", "Apply"): {"f:spec": {"f:hard": {"f:requests.cpu": {}}}},
        ("edit", "Update"): {
            "f:metadata": {"f:labels": {"f:x": {}}},
            "f:spec": {"f:hard": {"f:pods": {}}},
        },
    }
    status, text = words(kube(state, "PATCH", QUOTA, quota(pods="2"), APPLY, fieldManager="a"))
    assert (status, text.endswith('"edit" using v1: .spec.hard.pods')) == (409, True)


def test_elements_of_lists_are_managed_by_their_keys(state: State) -> None:
    first = deployment(replicas=2)
    made = kube(state, "PATCH", WEB, first, APPLY, fieldManager="a")
    assert made.status == 201, made.body
    containers = managers(made.body)["a", "Apply"]["f:spec"]["f:template"]["f:spec"]
    name = 'k:{"name":"app"}'
    assert containers["f:containers"] == {name: {".": {}, "f:image": {}, "f:name": {}}}
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "log", "image": "l"}]}}}}
    kube(state, "PATCH", WEB, sidecar, STRATEGIC, fieldManager="inject")
    port = {"containerPort": 80}
    second = deployment()
    second["spec"]["template"]["spec"]["containers"][0] |= {"image": "x:2", "ports": [port]}
    changed = kube(state, "PATCH", WEB, second, APPLY, fieldManager="a").body
    spec = changed["spec"]["template"]["spec"]
    images = {one["name"]: one["image"] for one in spec["containers"]}
    assert images == {"app": "x:2", "log": "l"}
    assert changed["spec"]["replicas"] == 1  # no longer applied: the default
    third = deployment()
    third["spec"]["template"]["spec"]["containers"] = [{"name": "log", "image": "m"}]
    status, text = words(kube(state, "PATCH", WEB, third, APPLY, fieldManager="a"))
    path = '.spec.template.spec.containers[name="log"].image'
    assert (status, text.endswith(f'"inject" using apps/v1: {path}')) == (409, True)
    gone = kube(state, "PATCH", WEB, third, APPLY, fieldManager="a", force="true").body
    assert [one["name"] for one in gone["spec"]["template"]["spec"]["containers"]] == ["log"]


@pytest.mark.parametrize(
    ("body", "query", "status", "text"),
    [
        (quota(), {"fieldManager": ""}, 422, "fieldManager: Required value: is required for apply"),
        ("a: [", {}, 400, "error decoding YAML"),
        ("[]", {}, 400, "error decoding YAML"),
        ("apiVersion: v1", {}, 400, "Object 'Kind' is missing"),
        ("kind: ResourceQuota", {}, 400, "Specified patch version: , expected: v1"),
        (
            quota() | {"spec": {"foo": 1}},
            {},
            500,
            "failed to create typed patch object (team/q; /v1, Kind=ResourceQuota): .spec.foo: "
            "field not declared in schema",
        ),
        (
            quota() | {"metadata": {"name": "q", "managedFields": [{"manager": "a"}]}},
            {},
            400,
            "metadata.managedFields must be nil",
        ),
        (quota() | {"metadata": {"name": "r"}}, {}, 400, "does not match the name on the URL"),
    ],
)
def test_configurations_that_are_refused(
    state: State, body: Any, query: dict[str, str], status: int, text: str
) -> None:
    answer = kube(state, "PATCH", QUOTA, body, APPLY, **({"fieldManager": "a"} | query))
    assert (answer.status, text in answer.body["message"]) == (status, True), answer.body
    assert kube(state, "GET", QUOTA).status == 404


def test_an_unknown_field_of_an_element_is_named_by_its_key(state: State) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][0] |= {"imagee": "x", "port": 1}
    _, text = words(kube(state, "PATCH", WEB, body, APPLY, fieldManager="a"))
    place = '.spec.template.spec.containers[name="app"]'
    assert text.endswith(
        f"errors:\n  {place}.imagee: field not declared in schema"
        f"\n  {place}.port: field not declared in schema"
    )


def test_what_has_no_fields_is_managed_whole(state: State) -> None:
    path = f"{APPS}/controllerrevisions/r"
    body = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}}
    for data in ([1, 2], {"a": {"b": 1}}, {"c": 1}):
        made = kube(state, "PATCH", path, body | {"data": data}, APPLY, fieldManager="a")
        assert made.body["data"] == data
        assert managers(made.body) == {("a", "Apply"): {"f:data": {}}}


def test_a_namespace_loses_the_labels_that_are_no_longer_applied(state: State) -> None:
    path = "/api/v1/namespaces/other"
    body = {"apiVersion": "v1", "kind": "Namespace"}
    metadata = {"name": "other", "labels": {"a": "1", "b": "2"}}
    made = kube(state, "PATCH", path, body | {"metadata": metadata}, APPLY, fieldManager="x")
    assert managers(made.body)["x", "Apply"] == {"f:metadata": {"f:labels": {"f:a": {}, "f:b": {}}}}
    fewer = body | {"metadata": {"name": "other", "labels": {"a": "1"}}}
    left = kube(state, "PATCH", path, fewer, APPLY, fieldManager="x").body["metadata"]["labels"]
    assert left == {"a": "1", "kubernetes.io/metadata.name": "other"}


def test_a_dry_run_applies_nothing(state: State) -> None:
    made = kube(state, "PATCH", QUOTA, quota(pods="1"), APPLY, fieldManager="a", dryRun="All")
    assert made.status == 201
    assert kube(state, "GET", QUOTA).status == 404


def test_managed_fields_of_a_body_hold_and_an_empty_entry_forgets_them(state: State) -> None:
    kube(state, "PATCH", QUOTA, quota(pods="1"), APPLY, fieldManager="a")
    handed = [{"op": "replace", "path": "/metadata/managedFields/0/manager", "value": "b"}]
    media = "application/json-patch+json"
    changed = kube(state, "PATCH", QUOTA, handed, media).body
    assert list(managers(changed)) == [("b", "Apply")]
    forgotten = {"metadata": {"managedFields": [{}]}}
    changed = kube(state, "PATCH", QUOTA, forgotten, MERGE).body
    assert "managedFields" not in changed["metadata"]
