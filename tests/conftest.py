"""One real sandbox process for all tests that need one; seeded anew for each of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from mnslib.resource_ids import ClusterId

START_TIMEOUT_SECONDS = 30


@pytest.fixture(scope="session", autouse=True)
def locks_folder(tmp_path_factory):
    """Keep the locks of the machine's user out of the tests."""
    os.environ["MNS_LOCKS_DIR"] = str(tmp_path_factory.mktemp("locks"))


@dataclass
class Sandbox:
    """A sandbox that runs: its connection, its control, and a clock that moves the sandbox's."""

    connection: dict
    session: requests.Session
    seconds: float = 0.0

    def control(self, method, path, body=None):
        answer = self.session.request(
            method, f"{self.connection['control_endpoint']}/{path}", json=body, timeout=30
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def requests(self, method=None, *, containing=""):
        found = self.control("GET", "requests")["value"]
        return [
            item
            for item in found
            if method in (None, item["method"]) and containing.lower() in item["path"].lower()
        ]

    def clock(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds
        self.control("POST", "clock", {"seconds": seconds})

    def cluster(self, name):
        for item in self.connection["clusters"]:
            if item["name"] == name:
                return ClusterId(item["subscription_id"], item["resource_group"], name)
        raise LookupError(name)


@contextmanager
def sandbox_process(folder, *, state=":memory:", world="default"):
    """Yield the connection file of a sandbox process that runs meanwhile."""
    connection = folder / "connection.json"
    command = [sys.executable, "-m", "mnslib.sandbox", "--port", "0", "--state", str(state)]
    command += ["--world", world]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--connection", str(connection)], stdout=log, stderr=log
        )
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not connection.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            pytest.fail(f"the sandbox did not start: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.05)
    yield connection
    process.terminate()
    process.wait(timeout=10)


@pytest.fixture(scope="session")
def sandbox_file(tmp_path_factory):
    """The connection file of a running sandbox process."""
    with sandbox_process(tmp_path_factory.mktemp("sandbox")) as connection:
        yield connection


@pytest.fixture(scope="session")
def sandbox_connection(sandbox_file):
    return json.loads(Path(sandbox_file).read_text())


@contextmanager
def seeded(connection):
    """Yield the sandbox, seeded anew, its log empty; its switches are as they were afterwards."""
    with requests.Session() as session:
        session.verify = connection["ca_file"]
        session.trust_env = False
        # an idle connection may be closed at the very moment that it is used again
        again = Retry(total=3, status=0, allowed_methods=None, raise_on_status=False)
        session.mount("https://", HTTPAdapter(max_retries=again))
        session.headers["Authorization"] = f"Bearer {connection['control_token']}"
        running = Sandbox(connection, session)
        switches = running.control("GET", "switches")
        running.control("POST", "reset")
        running.control("DELETE", "requests")
        yield running
        running.control("POST", "switches", switches)


@pytest.fixture
def sandbox(sandbox_connection):
    with seeded(sandbox_connection) as running:
        yield running
