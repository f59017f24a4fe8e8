"""The process: connection file, restart, crash, a port that is taken, one process per home."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mnslib.sandbox.launcher import ensure_running
from mnslib.sandbox.state import State
from tests.sandbox.client import ROOT, Client, Process, cluster_id, make_body, namespace_id

Start = Callable[..., Process]
FIELDS = [
    "version",
    "arm_endpoint",
    "authority_host",
    "graph_endpoint",
    "prometheus_endpoint",
    "control_endpoint",
    "control_token",
    "ca_file",
    "tenant_id",
    "identities",
    "subscription_ids",
    "resource_group",
    "clusters",
]


def test_connection_file_tells_everything_to_its_owner_only(process: Process) -> None:
    assert list(process.connection) == FIELDS
    assert stat.S_IMODE(process.file.stat().st_mode) == 0o600
    identities = process.connection["identities"]
    assert set(identities) == {"admin", "contributor", "namespace_user", "reader"}
    assert set(identities["admin"]) == {"client_id", "client_secret", "object_id"}
    secrets = [who["client_secret"] for who in identities.values()]
    assert all(len(secret) >= 32 and secret.isalnum() for secret in secrets)  # no option of az
    names = {"subscription_id", "resource_group", "name", "kubernetes_endpoint"}
    assert [set(cluster) for cluster in process.connection["clusters"]] == [names] * 4
    assert process.connection["arm_endpoint"].startswith("https://127.0.0.1:")


def test_nothing_listens_beside_127_0_0_1(process: Process) -> None:
    port = int(process.connection["arm_endpoint"].rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(OSError, match=r"refused|unreachable|assign|timed out"):
        socket.create_connection(("127.0.0.2", port), timeout=5)  # a wildcard address would answer


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_when_asked(start_process: Start, how: int) -> None:
    running = start_process()
    client = Client(running.connection)
    assert client.arm("GET", cluster_id()).status_code == 200  # leaves a connection open
    began = time.monotonic()
    assert running.end(how) == 0
    assert time.monotonic() - began < 5
    client.session.close()
    assert running.log.read_text() == ""


def test_accepted_writes_survive_a_kill_and_urls_stay_valid(
    start_process: Start, tmp_path: Path
) -> None:
    state = str(tmp_path / "state.db")
    first = start_process("--state", state)
    assert stat.S_IMODE(os.stat(state).st_mode) == 0o600
    client = Client(first.connection)
    answer = client.arm("PUT", namespace_id("survivor"), make_body())
    first.end(signal.SIGKILL)
    second = start_process("--state", state)
    assert second.connection == first.connection
    client.session.close()
    client.finish()
    assert client.operation(answer)["status"] == "Succeeded"
    assert client.get("survivor")["properties"]["provisioningState"] == "Succeeded"
    client.session.close()


def test_a_state_is_served_once(start_process: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    start_process("--state", state)
    (tmp_path / "other").mkdir()
    other = Process(tmp_path / "other", "--state", state)
    assert other.process.wait(timeout=30) == 1
    assert "in use by another running sandbox" in other.log.read_text()


def test_a_taken_port_is_named(start_process: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = start_process("--port", str(port))
        assert running.process.wait(timeout=30) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in running.log.read_text()


@pytest.mark.parametrize("option", ["--world", "--latency"])
def test_an_unknown_world_or_latency_is_named(start_process: Start, option: str) -> None:
    running = start_process(option, "nowhere")
    assert running.process.wait(timeout=30) == 1
    assert "nowhere" in running.log.read_text()


def test_it_ends_after_idle_minutes(start_process: Start) -> None:
    running = start_process("--idle-exit", "0.001")
    assert running.process.wait(timeout=20) == 0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / ".mns"
    yield folder
    if (folder / "sandbox.pid").exists():
        os.kill(int((folder / "sandbox.pid").read_text()), signal.SIGTERM)


def test_ensure_running_shares_one_process(home: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: ensure_running(home), range(3)))
    assert found[0] == found[1] == found[2]
    pid = int((home / "sandbox.pid").read_text())
    client = Client(found[0])
    assert client.control("GET", "health").json()["pid"] == pid
    client.session.close()
    assert stat.S_IMODE((home / "sandbox.log").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_ensure_running_replaces_a_dead_process_and_keeps_its_state(home: Path) -> None:
    before = ensure_running(home)
    client = Client(before)
    client.put("survivor", make_body())
    client.session.close()
    pid = int((home / "sandbox.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert ensure_running(home) == before
    client = Client(before)
    assert client.get("survivor")["name"] == "survivor"
    client.session.close()


def test_ensure_running_shows_why_it_could_not_start(home: Path) -> None:
    home.mkdir()
    sqlite3.connect(home / "sandbox.db").close()
    (home / "sandbox.db").write_text("this is no database, and long enough to be looked at" * 99)
    with pytest.raises(TimeoutError, match="not a database"):
        ensure_running(home)
    (home / "sandbox.pid").unlink()


# the log of requests


def test_log_shows_writes_with_bodies_and_no_secret(sandbox: Client) -> None:
    answer = sandbox.arm("PUT", namespace_id("new-team"), make_body())
    sandbox.operation(answer)
    sandbox.sign_in("6dae42f8-4368-4678-94ff-3960e28e3630")
    sandbox.kube("aks-prod-weu-1", "GET", "/api/v1/nodes")
    entries = sandbox.control("GET", "requests").json()["value"]
    put = next(entry for entry in entries if entry["method"] == "PUT")
    assert (put["status"], put["identity"], put["body"]) == (201, "admin", make_body())
    assert put["path"].endswith("/managedNamespaces/new-team")
    assert {entry["surface"] for entry in entries} == {"entra", "arm", "kubernetes"}
    text = json.dumps(entries)
    signature = answer.headers["Azure-AsyncOperation"].split("&s=")[1].split("&")[0]
    who = sandbox.connection["identities"]["admin"]["client_secret"]
    for secret in (who, signature, *sandbox._tokens.values()):
        assert secret not in text
    assert sandbox.control("DELETE", "requests").status_code == 204
    assert sandbox.control("GET", "requests").json()["value"] == []


def test_log_shows_no_kubernetes_secret_that_somebody_sends(sandbox: Client) -> None:
    body = {"kind": "Secret", "metadata": {"name": "a"}, "stringData": {"password": "hush"}}
    path = "/api/v1/namespaces/payments-api/secrets"
    assert sandbox.kube("aks-prod-weu-1", "POST", path, body).status_code == 201
    entry = sandbox.control("GET", "requests").json()["value"][-1]
    assert entry["body"] == "..."


def test_a_body_of_too_many_levels_is_refused_by_every_surface(sandbox: Client) -> None:
    body: Any = "x"
    for _ in range(400):
        body = {"spec": body}
    body["metadata"] = {"name": "deep"}
    assert sandbox.kube("aks-prod-weu-1", "POST", "/api/v1/namespaces", body).status_code == 400
    assert sandbox.arm("PUT", namespace_id("deep"), body).status_code == 400


def test_a_write_that_finds_the_disk_full_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = State(str(file))
    _keep(store, "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{file}-wal").stat().st_size, limits[1]))
    try:
        with pytest.raises(sqlite3.OperationalError):
            _keep(store, "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.meta("kept") == "old"
    _keep(store, "newer")
    store.close()


def _keep(store: State, value: str) -> None:
    with store.transaction():
        store.set_meta("kept", value)
        assert store.meta("kept") == value


def test_reset_brings_the_world_back(sandbox: Client) -> None:
    sandbox.put("new-team", make_body())
    sandbox.control("POST", "reset")
    assert sandbox.arm("GET", namespace_id("new-team")).status_code == 404
    assert sandbox.arm("GET", namespace_id("payments-api")).status_code == 200


@pytest.mark.parametrize("body", [{}, {"seconds": -1}, {"seconds": "1"}, {"seconds": True}])
def test_the_clock_only_goes_forward(sandbox: Client, body: dict[str, Any]) -> None:
    assert sandbox.control("POST", "clock", body).status_code == 400


def test_importing_the_sandbox_is_cheap() -> None:
    code = "import sys, mnslib.sandbox.launcher, mnslib.sandbox.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    heavy = {"starlette", "uvicorn", "jwt", "cryptography", "trustme", "yaml", "sqlite3", "asyncio"}
    assert not heavy & set(done.stdout.split())
