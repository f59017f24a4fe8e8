"""Under load, and killed in the middle of it, the sandbox loses nothing that it accepted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sandbox.client import Process
from tests.sandbox.load import Writer, run, run_for

Start = Callable[..., Process]


@pytest.fixture
def make_writers() -> Iterator[Callable[..., list[Writer]]]:
    made: list[Writer] = []

    def make(process: Process, count: int) -> list[Writer]:
        made.extend(Writer(process.connection, number) for number in range(count))
        return made[-count:]

    yield make
    for writer in made:
        writer.close()


def test_50_clients_get_right_answers_and_lose_no_write(
    start_process: Start, make_writers: Callable[..., list[Writer]]
) -> None:
    running = start_process()
    writers = make_writers(running, 50)
    run_for(writers, 3)
    for writer in writers:
        writer.check_all()
    assert [text for writer in writers for text in writer.wrong] == []
    assert sum(len(writer.accepted) for writer in writers) > 50
    assert running.process.poll() is None
    assert running.log.read_text() == ""


def test_what_was_accepted_survives_kills_in_the_middle(
    start_process: Start, make_writers: Callable[..., list[Writer]], tmp_path: Path
) -> None:
    state = str(tmp_path / "state.db")
    before: list[Writer] = []
    for seconds in (0.3, 0.7, 1.1):
        running = start_process("--state", state)
        for writer in before:
            writer.check_all()
        writers = make_writers(running, 8)
        for writer in writers:  # other names than in the rounds before
            writer.number += 100 * (len(before) + 1)
        threading.Timer(seconds, running.process.send_signal, [signal.SIGKILL]).start()
        run(writers, threading.Event())
        running.process.wait()
        before += writers
    start_process("--state", state)
    for writer in before:
        writer.check_all()
    assert [text for writer in before for text in writer.wrong] == []
    assert sum(len(writer.accepted) for writer in before) > 24
    writer = before[-1]
    writer.number += 100_000
    writer.round(1)  # and goes on
    assert writer.wrong == []
