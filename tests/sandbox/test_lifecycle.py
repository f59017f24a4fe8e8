"""The rules of a managed namespace's life, as data: tests/sandbox/data/lifecycle/*.yaml.

A document is one rule: `rule` says it, `switches` are set before, `steps` are done in order:

* `call: PUT name`, with `properties`, `headers` or a whole `body`; `status` and `answer` expected
* `advance: seconds` of the clock
* `operation:` what the status of the last accepted operation must be
* `cluster: path` of an object, `is` expected, or `absent: true`; `apply` stores it first
* `power: Stopped` turns the cluster off

Expected documents hold what must be there; `null` is a member that must not be. `<new>` is a value
never seen before, `<name>` remembers one or compares it with the one remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnslib.sandbox.server import open_state
from mnslib.sandbox.state import State
from mnslib.sandbox.switches import Switches
from mnslib.sandbox.wire import Answer
from mnslib.sandbox.world import load
from tests.sandbox.client import cluster_id, make_body, namespace_id
from tests.sandbox.in_process import Clock, send

FOLDER = Path(__file__).with_name("data") / "lifecycle"
CLUSTER = cluster_id()
RULES = [
    pytest.param(rule, id=f"{file.stem}:{rule['rule'].replace(' ', '-')}")
    for file in sorted(FOLDER.glob("*.yaml"))
    for rule in yaml.safe_load_all(file.read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def state(clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    """One cluster that never had a managed namespace, times as documented."""
    world = load("default")
    cluster = next(one for one in world["clusters"] if CLUSTER.endswith(one["name"]))
    file = tmp_path_factory.mktemp("lifecycle") / "world.yaml"
    empty = {**cluster, "managed": {}, "unmanaged": {}}
    file.write_text(yaml.safe_dump(world | {"clusters": [empty]}))
    opened = open_state(":memory:", world=str(file), latency="documented", clock=clock)
    yield opened
    opened.close()


@pytest.mark.parametrize("rule", RULES)
def test_rule(state: State, clock: Clock, rule: dict[str, Any]) -> None:
    switches = asdict(Switches()) | rule.get("switches", {})
    for name, body in (("switches", switches), ("reset", None)):
        done = send(state, "POST", f"/_sandbox/{name}", body, surface="control")
        assert done.status == 200
    run = Run(state, clock)
    for number, step in enumerate(rule["steps"], start=1):
        run.where = f"step {number}, {step}"
        kind = next(word for word in KINDS if word in step)
        getattr(run, kind)(step)


KINDS = ("call", "advance", "operation", "cluster", "power")


@dataclass
class Run:
    """One pass through the steps of a rule."""

    state: State
    clock: Clock
    where: str = ""
    accepted: Answer | None = None
    seen: set[str] = field(default_factory=set)
    names: dict[str, Any] = field(default_factory=dict)

    def call(self, step: dict[str, Any]) -> None:
        method, name = step["call"].split()
        body = step.get("body")
        if method == "PUT" and body is None:
            body = make_body(**step.get("properties", {})) | step.get("top", {})
        headers = {k: self.names.get(v, v) for k, v in step.get("headers", {}).items()}
        reply = send(self.state, method, namespace_id(name), body, headers=headers)
        if "Azure-AsyncOperation" in reply.headers:
            self.accepted = reply
        self.expect(reply.status, step["status"])
        self.expect(reply.body, step.get("answer", {}))

    def advance(self, step: dict[str, Any]) -> None:
        self.clock.time += step["advance"]

    def operation(self, step: dict[str, Any]) -> None:
        assert self.accepted is not None
        status = send(self.state, "GET", self.accepted.headers["Azure-AsyncOperation"])
        self.expect(status.body, step["operation"])
        if "result" in step:
            result = send(self.state, "GET", self.accepted.headers["Location"])
            self.expect(result.status, step["result"])

    def cluster(self, step: dict[str, Any]) -> None:
        path = step["cluster"]
        group = "/apis/networking.k8s.io/v1" if "networkpolicies" in path else "/api/v1"
        if "apply" in step:
            plural = f"{group}/{path.rpartition('/')[0]}"
            document = {"metadata": {"name": path.rpartition("/")[2]}} | step["apply"]
            self.expect(self.kube("POST", plural, document).status, 201)
            return
        reply = self.kube("GET", f"{group}/{path}")
        self.expect(reply.status, 404 if step.get("absent") else 200)
        self.expect(reply.body, step.get("is", {}))

    def kube(self, method: str, path: str, body: Any = None) -> Answer:
        parts = CLUSTER.split("/")
        path = f"/kubernetes/{parts[2]}/{parts[4]}/{parts[8]}{path}"
        return send(self.state, method, path, body, surface="kubernetes")

    def power(self, step: dict[str, Any]) -> None:
        resource = self.state.resource(CLUSTER)
        assert resource is not None
        resource["properties"]["powerState"]["code"] = step["power"]
        self.state.put_resource(resource, notes=self.state.notes(CLUSTER))

    def expect(self, found: Any, expected: Any, path: str = "") -> None:
        """Compare what must be there; other members of objects do not count."""
        where = f"{self.where}: {path}"
        if isinstance(expected, dict) and expected:
            assert isinstance(found, dict), where
            for key, value in expected.items():
                self.expect(found.get(key), value, f"{path}.{key}")
        elif isinstance(expected, str) and expected == "<new>":
            assert found not in self.seen, where
            self.seen.add(found)
        elif isinstance(expected, str) and re.fullmatch("<.+>", expected):
            assert self.names.setdefault(expected, found) == found, where
        elif isinstance(expected, str) and expected.startswith("~"):
            assert expected[1:] in found, where
        elif expected != {}:
            assert found == expected, where
