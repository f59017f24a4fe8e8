"""Concurrent writers that remember what was accepted, and afterwards look whether it is there."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.sandbox.client import AKS_SERVER_ID, Client, cluster_id, make_body

GROUP = "00000000-0000-4000-9000-000000000001"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
LOST = (OSError, http.client.HTTPException)


@dataclass
class Writer:
    """One client on one connection; `accepted` maps a path to what its GET must show.

    `doubtful` holds the write that was sent and not answered: it may have happened or not.
    """

    connection: dict[str, Any]
    number: int
    accepted: dict[str, Any] = field(default_factory=dict)
    operations: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    requests: int = 0

    def __post_init__(self) -> None:
        with_tokens = Client(self.connection)
        audiences = {"arm": self.connection["arm_endpoint"], "kube": AKS_SERVER_ID}
        self._tokens = {name: with_tokens.token(audience) for name, audience in audiences.items()}
        with_tokens.session.close()
        place = urlsplit(self.connection["arm_endpoint"])
        context = ssl.create_default_context(cafile=self.connection["ca_file"])
        self._http = http.client.HTTPSConnection(place.netloc, context=context, timeout=30)
        self._cluster = self.connection["clusters"][self.number % 4]
        self._kube = urlsplit(self._cluster["kubernetes_endpoint"]).path

    def close(self) -> None:
        self._http.close()

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        self.requests += 1
        token = self._tokens["kube" if path.startswith("/kubernetes") else "arm"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._http.request(method, path, json.dumps(body) if body else None, headers)
        answer = self._http.getresponse()
        text = answer.read()
        if url := answer.headers.get("Azure-AsyncOperation"):
            self.operations[path] = url.partition(self.connection["arm_endpoint"])[2]
        return answer.status, json.loads(text) if text else None

    def write(self, method: str, path: str, body: Any, expected: Any) -> None:
        """Send a write, and note what its path must show from now on."""
        self.doubtful = {path: expected}
        status, answer = self.send(method, path, body)
        self.doubtful = {}
        if status in (200, 201):
            self.accepted[_readable(path, body)] = expected
        else:
            self.wrong.append(f"{method} {path}: {status} {answer}")

    def round(self, turn: int) -> None:
        """Write one of each kind, and read back what was written."""
        name = f"load-{self.number}-{turn}"
        cluster = cluster_id(self._cluster["name"])
        path = f"{cluster}/managedNamespaces/{name}?api-version=2026-08-01"
        body = make_body() | {"tags": {"turn": str(turn)}}
        body["location"] = "northeurope" if "neu" in cluster else "westeurope"
        self.write("PUT", path, body, {"tags": {"turn": str(turn)}})
        self.write("PATCH", path, {"tags": {"turn": "patched"}}, {"tags": {"turn": "patched"}})
        self.write(
            "POST", f"{self._kube}/api/v1/namespaces", {"metadata": {"name": f"own-{name}"}}, {}
        )
        role = cluster.partition("/resourceGroups")[0] + "/providers/Microsoft.Authorization"
        definition = f"{role}/roleDefinitions/{READER}"
        scope = f"{cluster}/managedNamespaces/{name}/providers/Microsoft.Authorization"
        properties = {"principalId": GROUP, "roleDefinitionId": definition}
        properties["principalType"] = "Group"
        guid = uuid.uuid5(uuid.NAMESPACE_URL, name)
        path_of_role = f"{scope}/roleAssignments/{guid}?api-version=2022-04-01"
        self.write("PUT", path_of_role, {"properties": properties}, {"name": str(guid)})
        self.check(path, {"tags": {"turn": "patched"}})

    def check(self, path: str, expected: Any) -> None:
        """Note it if a path does not show what it must."""
        status, answer = self.send("GET", path)
        if status != 200 or any(answer.get(key) != value for key, value in expected.items()):
            self.wrong.append(f"GET {path}: {status} {answer} instead of {expected}")

    def check_all(self) -> None:
        """Look at everything accepted, and at the operations of what was."""
        self.close()  # the server ends idle connections
        for path, expected in self.accepted.items():
            doubt = self.doubtful.get(path)
            if doubt is None:
                self.check(path, expected)
        for path, url in self.operations.items():
            status, answer = self.send("GET", url)
            if status != 200 or answer["status"] not in ("Succeeded", "InProgress"):
                self.wrong.append(f"operation of {path}: {status} {answer}")


def _readable(path: str, body: Any) -> str:
    """Return the path to read what a write made."""
    return f"{path}/{body['metadata']['name']}" if path.endswith("/namespaces") else path


def run(writers: list[Writer], stop: threading.Event) -> None:
    """Let every writer write until told to stop, or until it loses its connection."""

    def work(writer: Writer) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            try:
                writer.round(turn)
            except LOST:
                writer.close()
                return

    with ThreadPoolExecutor(len(writers)) as pool:
        list(pool.map(work, writers))


def run_for(writers: list[Writer], seconds: float) -> float:
    """Run for so many seconds; return requests per second."""
    stop = threading.Event()
    began = time.monotonic()
    threading.Timer(seconds, stop.set).start()
    run(writers, stop)
    return sum(writer.requests for writer in writers) / (time.monotonic() - began)
