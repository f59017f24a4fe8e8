"""A sandbox of its own for the Azure CLI, which `make conformance` installs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from mnslib.sandbox.switches import Switches
from tests.conformance.client import Az
from tests.sandbox.client import Client, Process


@pytest.fixture(scope="session")
def program() -> str:
    """The `az` to call; named by MNS_AZ."""
    if not (found := os.environ.get("MNS_AZ")):
        pytest.skip("needs the Azure CLI in an environment of its own: make conformance")
    return os.path.abspath(found)


@pytest.fixture(scope="session")
def proxy() -> Iterator[str]:
    """A proxy that takes no connection: nothing leaves the machine."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture(scope="session")
def session_sandbox(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    process = Process(tmp_path_factory.mktemp("sandbox"))
    client = Client(process.connection)
    yield client
    client.session.close()
    process.end()


@pytest.fixture(scope="session")
def az(
    program: str, session_sandbox: Client, proxy: str, tmp_path_factory: pytest.TempPathFactory
) -> Az:
    home = tmp_path_factory.mktemp("az")
    return Az(program, session_sandbox.connection, home, proxy)


@pytest.fixture(scope="module")
def sandbox(session_sandbox: Client) -> Client:
    """The sandbox, seeded anew for each file of tests, every switch at its default."""
    session_sandbox.switch(**asdict(Switches()))
    session_sandbox.control("POST", "reset")
    return session_sandbox
