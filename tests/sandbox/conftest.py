"""One real sandbox process per session; reset for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from mnslib.sandbox.switches import Switches
from tests.sandbox.client import ROOT, Client, Process


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    running = Process(tmp_path_factory.mktemp("sandbox"))
    yield running
    running.end()


@pytest.fixture
def sandbox(process: Process) -> Iterator[Client]:
    """A client of a freshly seeded sandbox with every switch at its default."""
    client = Client(process.connection)
    client.switch(**asdict(Switches()))
    client.control("POST", "reset")
    client.control("DELETE", "requests")
    yield client
    client.session.close()


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start further processes; all are ended."""
    started: list[Process] = []

    def start(*options: str) -> Process:
        started.append(Process(tmp_path, *options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded facts; named by MNS_SHARED, or beside the repository."""
    folder = Path(os.environ.get("MNS_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder of recorded facts (set MNS_SHARED)")
    return folder
