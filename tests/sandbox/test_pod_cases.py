"""Pods under quotas and LimitRanges: what a real API server charged and how it refused, each case.

The cases were read off kube-apiserver 1.34.4; `claims_made` and `pod_before` are written first.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mnslib.sandbox.kube import inside
from mnslib.sandbox.kube.admission import admit
from mnslib.sandbox.server import open_state
from mnslib.sandbox.state import State, kube_time
from mnslib.sandbox.wire import Answer
from tests.sandbox.in_process import Clock, send

FACTS = json.loads((Path(__file__).parents[1] / "data/kubernetes-1.34-pod-cases.json").read_text())
CASES = {case["name"]: case for case in FACTS["cases"]}


class Server:
    """A cluster's API server in process, with a namespace `x`."""

    def __init__(self, state: State) -> None:
        self.state = state
        found = state.resources("Microsoft.ContainerService/managedClusters")
        cluster = next(one for one in found if one["name"] == "aks-prod-weu-1")
        _, _, subscription, _, group, *_ = cluster["id"].split("/")
        self.key = cluster["id"].lower()
        self.root = f"/kubernetes/{subscription}/{group}/{cluster['name']}"
        self.post("/api/v1/namespaces", "v1/Namespace", "x")
        for name, value in FACTS["about"]["priority_classes"].items():
            kind = "scheduling.k8s.io/v1/PriorityClass"
            self.post(f"/apis/{kind.rpartition('/')[0]}/priorityclasses", kind, name, value=value)
        overhead = {"podFixed": FACTS["about"]["runtime_class_heavy_overhead"]}
        kind, path = "node.k8s.io/v1/RuntimeClass", "/apis/node.k8s.io/v1/runtimeclasses"
        self.post(path, kind, "heavy", handler="heavy", overhead=overhead)

    def send(self, method: str, path: str, body: Any = None, media: str = "") -> Answer:
        headers = {"content-type": media} if media else None
        return send(
            self.state, method, self.root + path, body, surface="kubernetes", headers=headers
        )

    def post(self, path: str, kind: str, name: str, **fields: Any) -> Answer:
        version, _, word = kind.rpartition("/")
        doc = {"apiVersion": version, "kind": word, "metadata": {"name": name}, **fields}
        return self.send("POST", path, doc)

    def in_x(self, plural: str, kind: str, name: str, **fields: Any) -> Answer:
        prefix = "/api/v1" if kind.startswith("v1/") else f"/apis/{kind.rpartition('/')[0]}"
        return self.post(f"{prefix}/namespaces/x/{plural}", kind, name, **fields)

    def pod(self, spec: Any, name: str = "p") -> Answer:
        return self.in_x("pods", "v1/Pod", name, spec=copy.deepcopy(spec))

    def claim(self, name: str, size: str, storage_class: str) -> Answer:
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class}
        spec["resources"] = {"requests": {"storage": size}}  # type: ignore[assignment]
        return self.in_x("persistentvolumeclaims", "v1/PersistentVolumeClaim", name, spec=spec)

    def quota(self, name: str, spec: Any) -> Answer:
        return self.in_x("resourcequotas", "v1/ResourceQuota", name, spec=copy.deepcopy(spec))

    def used(self) -> dict[str, Any]:
        found = self.state.objects(self.key, "resourcequotas", "x")
        return {one["metadata"]["name"]: one["status"]["used"] for one in found}

    def change(self, verb: str, **fields: Any) -> None:
        """Change what a kubelet, or a subresource, changes of pod `p`."""
        pod = self.state.object(self.key, "pods", "x", "p")
        assert pod is not None
        changed = copy.deepcopy(pod) | fields
        if verb == "resize":
            admit(self.state, self.key, changed, pod, verb=verb)
        self.state.put_object(self.key, "pods", changed)
        inside.recount(self.state, self.key, "x")


@pytest.fixture(scope="module")
def fresh() -> Iterator[Server]:
    state = open_state(":memory:", world="default", latency="fast", clock=Clock())
    yield Server(state)
    state.close()


@pytest.fixture
def server(fresh: Server) -> Iterator[Server]:
    """The server with nothing in its namespace."""
    yield fresh
    for plural in ("pods", "resourcequotas", "limitranges", "persistentvolumeclaims", "services"):
        for doc in fresh.state.objects(fresh.key, plural, "x"):
            fresh.state.delete_object(fresh.key, plural, "x", doc["metadata"]["name"])


def said(text: str) -> list[str]:
    """Return a refusal's parts: a real server lists several problems in any order."""
    head, bracket, rest = text.rstrip("]").partition("[")
    several = bracket and head.endswith(": ")
    return [head, *sorted(re.split(", (?=spec|maximum|minimum)", rest))] if several else [text]


def resources(spec: Any) -> Any:
    """Return what admission fills in of a pod's spec."""
    found = {
        key: spec[key] for key in ("resources", "overhead", "priorityClassName") if key in spec
    }
    for key in ("containers", "initContainers"):
        found[key] = [(one["name"], one.get("resources")) for one in spec.get(key, [])]
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_pod_is_charged_and_refused_as_by_a_real_server(server: Server, name: str) -> None:
    case = CASES[name]
    for key, limits in case.get("limit_ranges", {}).items():
        stored = server.in_x("limitranges", "v1/LimitRange", key, spec={"limits": limits}).body
        assert stored["spec"]["limits"] == case["limit_ranges_as_stored"][key]
    first = {"q": {"hard": {"requests.cpu": "100"}}} if "hard_lowered_to" in case else {}
    for key, spec in (first or case["quota_hard"]).items():
        assert server.quota(key, spec).status == 201
    if "pod_before" in case:
        assert server.pod(case["pod_before"], "before").status == 201
    if "hard_lowered_to" in case:
        path = "/api/v1/namespaces/x/resourcequotas/q"
        patch = {"spec": {"hard": case["hard_lowered_to"]}}
        assert server.send("PATCH", path, patch, "application/merge-patch+json").status == 200
    claims = [server.claim("a", "3Gi", "fast"), server.claim("b", "3Gi", "fast")]
    if not case.get("claims_made"):
        for claim in "ab":
            server.send("DELETE", f"/api/v1/namespaces/x/persistentvolumeclaims/{claim}")

    answer = server.pod(case["pod_spec"])
    assert answer.status == case["real_status_code"]
    if case["name"] == "two-quotas-both-exceeded":  # any one's text is right
        assert re.search(r"exceeded quota: (a|b), ", answer.body["message"])
    elif case["real_refusal"]:
        assert said(answer.body["message"]) == said(case["real_refusal"])
    else:
        after_pod(server, case)
    if case.get("claims_made"):
        assert [[c.status, c.body.get("message")] for c in claims] == [n[1:] for n in case["notes"]]
    assert server.used() == case["real_used"]


def after_pod(server: Server, case: dict[str, Any]) -> None:
    """Go on as the real pod did: its status, a resize, a delete; and compare it."""
    if case["pod_status"]:
        server.change("status", status=case["pod_status"])
    if "resized_to_requests_limits" in case:
        found = server.state.object(server.key, "pods", "x", "p")
        assert found is not None
        requests, limits = case["resized_to_requests_limits"]
        found["spec"]["containers"][0]["resources"] = {"requests": requests, "limits": limits}
        server.change("resize", spec=found["spec"])
    if "status_after_resize" in case:
        server.change("status", status=case["pod_status"] | case["status_after_resize"])
    pod = server.state.object(server.key, "pods", "x", "p")
    assert pod is not None
    if grace := case.get("deleted_with_grace_seconds"):
        deleted = {"deletionTimestamp": kube_time(server.state.now() + grace)}
        deleted["deletionGracePeriodSeconds"] = grace
        server.change("delete", metadata=pod["metadata"] | deleted)
    if "pod_spec_as_admitted" in case:
        assert resources(pod["spec"]) == resources(case["pod_spec_as_admitted"])
