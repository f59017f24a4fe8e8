"""OpenAPI v3 as kubectl reads it: schemas, paths, and `kubectl explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mnslib.sandbox.kube.kinds import served
from mnslib.sandbox.kube.openapi import document
from tests.sandbox.client import Client
from tests.sandbox.kube_calls import kube, make_cluster
from tests.sandbox.kubectl import Kubectl, missing

REFERENCE = "#/components/schemas/"


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        inner = [references(one) for one in value.values()]
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*inner)
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_document_is_whole_and_has_its_kinds() -> None:
    state = make_cluster()
    paths = kube(state, "GET", "/openapi/v3").body["paths"]
    assert len(paths) == len(served())
    for version, kinds in served().items():
        path = f"apis/{version}" if "/" in version else f"api/{version}"
        url = paths[path]["serverRelativeURL"]
        assert f"/aks-prod-weu-1/openapi/v3/{path}?hash=" in url
        answer = kube(state, "GET", f"/openapi/v3/{path}")
        found = json.loads(answer.body)
        schemas = found["components"]["schemas"]
        missing = {ref for ref in references(found) if ref.removeprefix(REFERENCE) not in schemas}
        assert missing == set()
        told = {
            one["kind"]
            for schema in schemas.values()
            for one in schema.get("x-kubernetes-group-version-kind", ())
        }
        assert told == {kind.word for kind in kinds.values()}
    assert kube(state, "GET", "/openapi/v3/apis/foo/v1").status == 404


def test_a_document_tells_types_merge_keys_and_what_a_patch_may_be() -> None:
    found = json.loads(document("v1"))
    schemas = found["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.PodSpec"]
    assert spec["required"] == ["containers"]
    containers = spec["properties"]["containers"]
    assert containers["items"] == {"$ref": f"{REFERENCE}io.k8s.api.core.v1.Container"}
    extensions = {key: containers[key] for key in containers if key.startswith("x-")}
    assert extensions == {
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": "name",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    seconds = spec["properties"]["activeDeadlineSeconds"]
    assert (seconds["type"], seconds["format"]) == ("integer", "int64")
    policy = spec["properties"]["restartPolicy"]
    assert policy["enum"] == ["Always", "Never", "OnFailure"]
    values = '\n\nPossible enum values:\n - `"Always"`\n - `"Never"`\n - `"OnFailure"`'
    assert policy["description"].endswith(values)
    patch = found["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert {"dryRun", "fieldValidation"} <= {one["name"] for one in patch["parameters"]}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    assert patch["x-kubernetes-group-version-kind"] == kind


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_kubectl_explains_applies_on_the_server_and_checks(sandbox: Client, tmp_path: Path) -> None:
    kubectl = Kubectl.of(sandbox, tmp_path)

    def run(line: str, given: str = "") -> tuple[int, str, str]:
        done = kubectl(f"kubectl -n docs-site {line}", given)
        return done.rc, done.out, done.err

    code, told, _ = run("explain quota.spec.hard")
    assert (code, "FIELD: hard <map[string]Quantity>" in told) == (0, True)
    code, told, _ = run("explain deployment.spec.strategy --recursive")
    assert (code, "  rollingUpdate\t<RollingUpdateDeployment>" in told) == (0, True)
    code, _, told = run("explain pod.foo")
    assert (code, told) == (1, 'error: field "foo" does not exist\n')

    code, told, _ = run("create deployment web --image=x:1 --replicas=2")
    assert (code, told) == (0, "deployment.apps/web created\n")
    given = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n"
    code, _, told = run("apply --server-side -f -", given)
    conflict = 'Apply failed with 1 conflict: conflict with "kubectl-create" using apps/v1: '
    assert (code, f"{conflict}.spec.replicas" in told) == (1, True)
    code, told, _ = run("apply --server-side --force-conflicts -f -", given)
    assert (code, told) == (0, "deployment.apps/web serverside-applied\n")
    assert run("apply -f -", given.replace("replicas: 3", "replica: 3"))[0] == 1
    quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\n"
    quota += "spec: {hard: {pods: '5'}, a: 1}\n"
    code, _, told = run("create -f -", quota)
    assert (code, 'strict decoding error: unknown field "spec.a"' in told) == (1, True)
    code, made, told = run("create --validate=warn -f -", quota)
    assert (code, made) == (0, "resourcequota/q created\n")
    assert 'Warning: unknown field "spec.a"' in told
