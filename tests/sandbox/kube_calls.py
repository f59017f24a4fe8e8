"""Calls of a cluster's API in process, for tests of what a body or a patch does."""

from __future__ import annotations

import json
from typing import Any

from mnslib.sandbox.server import open_state
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Answer
from tests.sandbox.client import PROD
from tests.sandbox.in_process import send

WEU = f"/kubernetes/{PROD}/rg-platform/aks-prod-weu-1"
TEAM = "/api/v1/namespaces/team"
APPS = "/apis/apps/v1/namespaces/team"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


def make_cluster() -> State:
    """Return a seeded state whose first cluster has an empty namespace `team`."""
    state = open_state(":memory:", world="default", latency="documented")
    made = kube(state, "POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    assert made.status == 201, made.body
    return state


def kube(
    state: State, method: str, path: str, body: Any = None, media: str = "", **query: str
) -> Answer:
    """Send a request to the first cluster as its administrator."""
    text = "&".join(f"{key}={value}" for key, value in query.items()) or "a=b"
    headers = {"content-type": media or "application/json"}
    sent = body.encode() if isinstance(body, str) else body
    return send(state, method, WEU + path, sent, query=text, surface="kubernetes", headers=headers)


def words(answer: Answer) -> tuple[int, str]:
    """Return the status and message of a refusal; of another answer its whole body."""
    return answer.status, answer.body.get("message") or json.dumps(answer.body)


def deployment(name: str = "web", **spec: Any) -> dict[str, Any]:
    """Return a Deployment of one container."""
    container = {"name": "app", "image": "x:1"}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    base = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": base | spec,
    }
