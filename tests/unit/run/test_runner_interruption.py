"""Signals: the first interrupts a cell, or stops before the next; the second kills."""

from __future__ import annotations

import signal

import pytest

from mnslib.run.runner import InterruptedRunError, Watch
from mnslib.signals import signals_to


class FakeKernel:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def interrupt(self) -> None:
        self.calls.append("interrupt")

    def kill(self, _why: str) -> None:
        self.calls.append("kill")


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


@pytest.fixture
def watch(kernel: FakeKernel) -> Watch:
    return Watch(
        kernel=kernel,  # type: ignore[arg-type]
    )


def test_a_signal_interrupts_the_cell_once_and_the_session_may_go_on(
    watch: Watch, kernel: FakeKernel
) -> None:
    watch.on_cell_execute()
    watch.on_signal(signal.SIGTERM, None)
    watch.on_cell_executed()
    watch.on_cell_execute()
    assert kernel.calls == ["interrupt"]


def test_a_signal_between_cells_starts_no_further_cell(watch: Watch, kernel: FakeKernel) -> None:
    watch.on_cell_execute()
    watch.on_cell_executed()
    watch.on_signal(signal.SIGINT, None)
    with pytest.raises(InterruptedRunError):
        watch.on_cell_execute()
    assert kernel.calls == []


def test_a_second_signal_kills_and_the_first_one_counts(watch: Watch, kernel: FakeKernel) -> None:
    watch.on_cell_execute()
    watch.on_signal(signal.SIGTERM, None)
    watch.on_signal(signal.SIGINT, None)
    assert kernel.calls == ["interrupt", "kill"]
    assert watch.number == signal.SIGTERM


def test_a_signal_before_the_kernel_is_remembered() -> None:
    watch = Watch()
    watch.on_signal(signal.SIGINT, None)
    with pytest.raises(InterruptedRunError):
        watch.on_cell_execute()


def test_handlers_are_put_back(watch: Watch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals_to(watch.on_signal, signal.SIGINT, signal.SIGTERM):
        assert signal.getsignal(signal.SIGTERM) == watch.on_signal
    assert signal.getsignal(signal.SIGTERM) == before
