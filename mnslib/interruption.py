"""Signals and time bounds of one notebook run: the first interrupts the cell, the second kills.

Standard library only. A cell that is interrupted may await what is under way and go on to record
it. Knows nothing of notebooks and results.

One gap is left: a signal in the milliseconds between sending a cell and its first statement finds
the kernel idle, which ignores it; the run then goes on until the next signal.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnslib.kernel import Kernel


class InterruptedRunError(Exception):
    """A signal came while no cell ran; the next one is not started."""


@dataclass(slots=True)
class Watch:
    """Signals and time of one run: interrupts the kernel once, kills it at the second signal."""

    deadline: float
    cell_timeout_seconds: float
    kernel: Kernel | None = None
    number: int | None = None
    is_heard: bool = False
    runs_cell: bool = False
    clock: Callable[[], float] = time.monotonic

    def on_signal(self, number: int, _frame: object) -> None:
        is_first, self.number = self.number is None, self.number or number
        if self.kernel is None:
            return
        if not is_first:
            self.kernel.kill()
        elif self.runs_cell:
            self.is_heard = True
            self.kernel.interrupt()

    def on_cell_start(self, **_: Any) -> None:
        # an idle kernel ignores an interrupt, so a signal between two cells is heeded here;
        # one that a cell received is the session's, which may go on to record what was done
        if self.number is not None and not self.is_heard:
            raise InterruptedRunError

    def on_cell_execute(self, **_: Any) -> None:
        self.runs_cell = True

    def on_cell_executed(self, **_: Any) -> None:
        self.runs_cell = False

    def timeout(self, _cell: object) -> int:
        left = min(self.deadline - self.clock(), self.cell_timeout_seconds)
        return 0 if math.isinf(left) else max(1, math.ceil(left))


@contextmanager
def signals_to(watch: Watch) -> Iterator[None]:
    """Send SIGINT and SIGTERM to the watch; only the main thread can, elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, watch.on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
