"""Exchanges of the real service, recorded 2025-11-05, replayed against the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from mnslib.sandbox.world import load
from tests.sandbox.client import Client, Process, decode

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
CLUSTER, GROUP = "cliakstest000001", "clitest000001"
RECORDED_NAME, RECORDED_GROUP = "cliakstestj34xut", "clitestx7jgjkn37t"  # in the kubeconfig only
# values that differ from call to call; that they are there is what counts
PERSON = {"createdBy", "createdByType", "lastModifiedBy", "lastModifiedByType"}
VARYING = (
    (re.compile(r"https://[^/]+"), "<origin>"),
    (re.compile(r"(?!0{8})[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<guid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"[-\w]+(\.portal)?\.hcp\.westus2\.azmk8s\.io"), r"<fqdn>\1"),
    (re.compile(r"t=\d{18}&c=[^&]+&s=[^&]+&h=[^&]+"), "<signature>"),
    (re.compile(r"skiptoken=.*"), "skiptoken=<token>"),
)


@dataclass(frozen=True)
class Exchange:
    """What was recorded, and what the sandbox answers to the same request."""

    what: str
    recorded: dict[str, Any]
    answer: requests.Response

    @property
    def body(self) -> Any:
        return self.answer.json() if self.answer.content else ""


@pytest.fixture(scope="module")
def replayed(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Exchange]]:
    file = shared / "facts" / "data" / "recorded-exchanges-cli-2025-11-05.json"
    if not file.is_file():
        pytest.skip(f"no {file.name} among the recorded facts")
    folder = tmp_path_factory.mktemp("recorded")
    world = folder / "world.yaml"
    world.write_text(yaml.safe_dump(recorded_world()))
    process = Process(folder, "--world", str(world), "--latency", "documented")
    client = Client(process.connection)
    yield list(replay(client, json.loads(file.read_text())["exchanges"]))
    client.session.close()
    process.end()


def recorded_world() -> dict[str, Any]:
    """Return a world that holds the recording's cluster and nothing else."""
    cluster = {
        "name": CLUSTER,
        "subscription": SUBSCRIPTION,
        "location": "westus2",
        "nodes": {"Standard_D4s_v5": 1},
        "network_policy": "none",
        "azure_rbac": False,
        "managed": {},
        "unmanaged": {},
    }
    subscriptions = [{"id": SUBSCRIPTION, "name": "recorded"}]
    changes = {"resource_group": GROUP, "subscriptions": subscriptions, "clusters": [cluster]}
    return load("default") | changes


def replay(client: Client, exchanges: list[dict[str, Any]]) -> Iterator[Exchange]:
    """Send each request when it was sent, to the URL that the sandbox gave for it."""
    urls: dict[str, str] = {}
    last = None
    for one in exchanges:
        request, recorded = one["request"], one["response"]
        if "date" in recorded:
            now = datetime.strptime(recorded["date"], "%H:%M:%S")
            client.finish((now - last).total_seconds() if last else 0)
            last = now
        url = request["url"]
        if one["what"] == "GET of a missing cluster":
            url = url.replace(CLUSTER, "cliakstest000009")
            recorded = json.loads(json.dumps(recorded).replace(CLUSTER, "cliakstest000009"))
        answer = send(client, request["method"], urls.get(url, url), request.get("body"))
        if one["what"].startswith("list in a resource group"):
            answer = third_page(client, answer)
        for name in ("azure-asyncoperation", "location"):
            if name in recorded.get("headers", {}):
                urls[recorded["headers"][name]] = answer.headers[name]
        if answer.content and "nextLink" in answer.json():
            urls["<nextLink>"] = answer.json()["nextLink"]
        yield Exchange(one["what"], recorded, answer)


def send(client: Client, method: str, url: str, body: Any = None) -> requests.Response:
    origin = client.connection["arm_endpoint"]
    return client.arm(method, url.replace("https://management.azure.com", origin), body)


def third_page(client: Client, answer: requests.Response) -> requests.Response:
    """Return the page of the hit; the ones before are empty."""
    for _ in range(2):
        assert answer.json()["value"] == []
        answer = send(client, "GET", answer.json()["nextLink"])
    return answer


def normal(value: Any, key: str = "") -> Any:
    """Return a document without what differs from call to call."""
    if isinstance(value, dict):
        return {k: normal(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [normal(one) for one in value]
    if key in PERSON:
        return "<person>"
    if key == "nextLink" and value.startswith("<"):
        return "<more>"
    if not isinstance(value, str):
        return value
    for pattern, word in VARYING:
        value = pattern.sub(word, value)
    return value


def test_all_exchanges_are_replayed(replayed: list[Exchange]) -> None:
    assert len(replayed) == 16


def test_status_codes_are_the_recorded_ones(replayed: list[Exchange]) -> None:
    ours = [(one.what, one.answer.status_code) for one in replayed]
    assert ours == [(one.what, one.recorded["status"]) for one in replayed]


def test_recorded_headers_come_back(replayed: list[Exchange]) -> None:
    for one in replayed:
        for name, value in one.recorded.get("headers", {}).items():
            found = one.answer.headers.get(name)
            assert found is not None, (one.what, name)
            if name in ("azure-asyncoperation", "location", "content-length", "x-ms-failure-cause"):
                assert normal(found) == normal(value), (one.what, name)


def test_recorded_bodies_come_back(replayed: list[Exchange]) -> None:
    for one in replayed:
        if "kubeconfigs" in one.body:
            continue
        ours, recorded = normal(one.body), normal(one.recorded["body"])
        if recorded and recorded.get("nextLink") == "<more>":
            assert ours.pop("nextLink")
            del recorded["nextLink"]
        assert ours == recorded, one.what


def test_fields_come_in_the_recorded_order(replayed: list[Exchange]) -> None:
    for one in replayed:
        if "properties" in one.body:
            recorded = one.recorded["body"]
            assert list(one.body) == list(recorded), one.what
            assert list(one.body["properties"]) == list(recorded["properties"]), one.what


def test_states_follow_in_the_recorded_order(replayed: list[Exchange]) -> None:
    def states(bodies: Iterator[Any]) -> list[str]:
        return [
            body.get("status") or body["properties"]["provisioningState"]
            for body in bodies
            if body and ("status" in body or "properties" in body)
        ]

    ours = states(one.body for one in replayed)
    assert ours == states(one.recorded["body"] for one in replayed)
    assert ours.count("InProgress") == 3


def test_the_kubeconfig_is_the_recorded_one(replayed: list[Exchange]) -> None:
    one = next(one for one in replayed if one.what == "listCredential")
    ours = yaml.safe_load(decode(one.body["kubeconfigs"][0]["value"]))
    recorded = json.dumps(one.recorded["decoded"])
    recorded = recorded.replace(RECORDED_NAME, CLUSTER).replace(RECORDED_GROUP, GROUP)
    expected = json.loads(recorded)
    for config in (ours, expected):  # where it is, whose CA and tenant it has
        assert set(config["clusters"][0]["cluster"]) == {"certificate-authority-data", "server"}
        del config["clusters"][0]["cluster"]
    assert normal(ours)["contexts"] == normal(expected)["contexts"]
    assert {**normal(ours), "users": ""} == {**normal(expected), "users": ""}
    theirs = expected["users"][0]["user"]["exec"]
    mine = ours["users"][0]["user"]["exec"]
    tenant = theirs["args"].index("--tenant-id") + 1
    theirs["args"][tenant] = mine["args"][tenant]
    assert (ours["users"][0]["name"], mine) == (expected["users"][0]["name"], theirs)
