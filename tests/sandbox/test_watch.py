"""Watches of a cluster: what happens to objects, as lines that come while it happens."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sandbox.client import AKS_SERVER_ID, Client, Process, make_pod

WEU = "aks-prod-weu-1"
PODS = "/api/v1/namespaces/team-sandbox/pods"
SMALL = {"cpu": "100m", "memory": "64Mi"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def watch(client: Client, query: str, path: str = PODS, **headers: str) -> Iterator[dict[str, Any]]:
    """The events of a watch, as they come."""
    answer = client.kube(
        WEU, "GET", f"{path}?watch=1&timeoutSeconds=10&{query}", stream=True, headers=headers
    )
    assert answer.status_code == 200, answer.text
    for line in answer.iter_lines():
        yield json.loads(line)


def version(client: Client) -> str:
    return str(client.kube(WEU, "GET", PODS).json()["metadata"]["resourceVersion"])


def create(client: Client, name: str, **labels: str) -> None:
    pod = make_pod(name, limits=SMALL)
    pod["metadata"]["labels"] = labels
    assert client.kube(WEU, "POST", PODS, pod).status_code == 201


def test_a_pod_comes_runs_and_goes(sandbox: Client) -> None:
    events = watch(sandbox, f"resourceVersion={version(sandbox)}")
    create(other := sandbox.another("admin"), "x")
    first, second = next(events), next(events)
    assert (first["type"], first["object"]["status"]["phase"]) == ("ADDED", "Pending")
    assert (second["type"], second["object"]["status"]["phase"]) == ("MODIFIED", "Running")
    other.kube(WEU, "DELETE", f"{PODS}/x")
    third, last = next(events), next(events)
    assert (third["type"], last["type"]) == ("MODIFIED", "DELETED")
    assert "deletionTimestamp" in third["object"]["metadata"]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in (first, second, last)]
    assert versions == sorted(versions)


def test_without_a_version_it_begins_with_what_is_there(sandbox: Client) -> None:
    create(sandbox, "x", app="a")
    create(sandbox, "y", app="b")
    events = list(watch(sandbox, "labelSelector=app%3Da&timeoutSeconds=1"))
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "x")]


def test_what_a_selector_no_longer_chooses_is_deleted_to_it(sandbox: Client) -> None:
    create(sandbox, "x", app="a")
    events = watch(sandbox, f"resourceVersion={version(sandbox)}&labelSelector=app%3Da")
    other = sandbox.another("admin")
    change = {"Content-Type": "application/merge-patch+json"}
    for app in ("b", "a"):
        body = {"metadata": {"labels": {"app": app}}}
        other.kube(WEU, "PATCH", f"{PODS}/x", body, headers=change)
    assert [next(events)["type"] for _ in range(2)] == ["DELETED", "ADDED"]


def test_the_end_of_what_is_there_is_marked(sandbox: Client) -> None:
    create(sandbox, "x")
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = watch(sandbox, query)
    found = next(e for e in events if e["type"] == "BOOKMARK")
    assert found["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_what_is_forgotten_is_expired(sandbox: Client) -> None:
    event = next(watch(sandbox, "resourceVersion=1"))
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert event["object"]["reason"] == "Expired"


@pytest.mark.parametrize(
    ("query", "status"),
    [("resourceVersion=x", 400), ("sendInitialEvents=true", 422), ("labelSelector=a%3Db%3Dc", 400)],
)
def test_what_does_not_hold_together_is_refused(sandbox: Client, query: str, status: int) -> None:
    assert sandbox.kube(WEU, "GET", f"{PODS}?watch=1&{query}").status_code == status


def test_tables_tell_their_columns_once(sandbox: Client) -> None:
    create(sandbox, "x", app="a")
    create(sandbox, "y", app="a")
    events = watch(sandbox, "timeoutSeconds=1&labelSelector=app%3Da", Accept=TABLE)
    first, second = next(events), next(events)
    assert first["object"]["columnDefinitions"][0]["name"] == "Name"
    assert second["object"]["columnDefinitions"] is None
    assert [e["object"]["rows"][0]["cells"][0] for e in (first, second)] == ["x", "y"]


def test_who_may_not_watch_is_refused(sandbox: Client) -> None:
    answer = sandbox.another("namespace_user").kube(WEU, "GET", f"{PODS}?watch=1")
    assert answer.status_code == 403
    assert "cannot watch resource" in answer.json()["message"]


def test_a_sandbox_ends_though_somebody_watches(start_process: Callable[..., Process]) -> None:
    process = start_process()
    client = Client(process.connection)
    events = watch(client, "", "/api/v1/nodes")
    next(events)
    assert process.end(signal.SIGTERM) == 0
    assert client.token(AKS_SERVER_ID)
