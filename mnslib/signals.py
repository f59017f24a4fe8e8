"""Signals that are sent elsewhere for a while; how long a stop may take. Standard library only."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP_SECONDS = 900.0
"""A run has ended so long after it was told to, as `docs/schedules` gives it before SIGKILL. Our
choice: first creations on a cluster take 91 s, bad cases minutes."""

STOP_VARIABLE = "MNS_STOP_SECONDS"
"""Environment variable with another number of whole seconds, for who gives a run less time."""


def stop_seconds() -> float:
    """Return how long after a signal a run may go on."""
    text = os.environ.get(STOP_VARIABLE, "")
    return float(text) if text.isdecimal() else STOP_SECONDS


@contextmanager
def signals_to(handler: Callable[[int, object], None], *numbers: int) -> Iterator[None]:
    """Send these signals to the handler meanwhile; only the main thread may, others keep theirs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
