"""The processes of one run: what signals do to them, and how often they look for garbage.

The first signal interrupts the cell, the second kills. No request to stop is lost: the runner heeds
one that comes between two cells, and its kernels, which load this module as an IPython extension,
remember one that finds no statement running. A cell that is interrupted may await what is under way
and go on to record it. Standard library only; knows nothing of notebooks and results.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnslib.run.kernel import Kernel


MOST_NEW_OBJECTS = 50_000
"""Python collects after so many, else after 700: a tenth of an analysis. Our choice: garbage that
is in cycles waits longer, a few MB of it."""


class InterruptedRunError(Exception):
    """A signal came while no cell ran; the next one is not started."""


@dataclass(slots=True)
class Watch:
    """Signals of one run: interrupts the kernel once, kills it at the second signal."""

    kernel: Kernel | None = None
    number: int | None = None
    is_heard: bool = False
    runs_cell: bool = False

    def on_signal(self, number: int, _frame: object) -> None:
        is_first, self.number = self.number is None, self.number or number
        if self.kernel is None:
            return
        if not is_first:
            self.kernel.kill()
        elif self.runs_cell:
            self.is_heard = True
            self.kernel.interrupt()

    def on_cell_execute(self, **_: Any) -> None:
        self.runs_cell = True  # from here on the kernel hears a signal; one before is heeded here
        if self.number is not None and not self.is_heard:
            self.runs_cell = False
            raise InterruptedRunError

    def on_cell_executed(self, **_: Any) -> None:
        self.runs_cell = False


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


def collect_rarely() -> None:
    """Have this process look for garbage less often: loading makes a million objects and none."""
    gc.set_threshold(MOST_NEW_OBJECTS)


def load_ipython_extension(shell: Any) -> None:
    """Have a kernel keep an interrupt that finds no statement running for the next cell.

    ipykernel ignores one while it is idle, and loses the cell's reply where one meets its own code.
    """
    collect_rarely()
    runs_statements = is_pending = False
    run_statements = shell.run_ast_nodes

    def on_interrupt(_number: int, _frame: object) -> None:
        nonlocal is_pending
        if runs_statements:
            raise KeyboardInterrupt
        is_pending = True

    async def run_ast_nodes(*args: Any, **kwargs: Any) -> Any:
        nonlocal runs_statements, is_pending
        runs_statements = True
        try:
            if is_pending:
                is_pending = False
                raise KeyboardInterrupt
            return await run_statements(*args, **kwargs)
        finally:
            runs_statements = False

    shell.run_ast_nodes = run_ast_nodes
    # these would put ipykernel's own handler in place for each message
    shell.kernel.pre_handler_hook = shell.kernel.post_handler_hook = lambda: None
    signal.signal(signal.SIGINT, on_interrupt)
