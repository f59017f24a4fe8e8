"""Signals sent elsewhere for a while, waits that an interrupt ends."""

import math
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from mnslib.errors import ConfigError, cut

_PAUSES = threading.Condition()
_longest = math.inf


def pause(seconds: float) -> bool:
    """Wait, on any thread; return whether that was cut short by `end_pauses`."""
    with _PAUSES:
        return _PAUSES.wait(min(seconds, _longest)) or seconds > _longest


def end_pauses(longest: float = math.inf) -> None:
    """Let every thread that is in a `pause` go on at once; later ones last so long at most."""
    global _longest
    with _PAUSES:
        _longest = longest
        _PAUSES.notify_all()


class Readers(ThreadPoolExecutor):
    """Threads that read side by side; an interrupt waits for none of them."""

    def __exit__(self, kind: Any, *rest: Any) -> None:
        """Wait for what runs, unless the wait for its results was interrupted."""
        if kind is KeyboardInterrupt:
            end_pauses()
            self.shutdown(wait=False, cancel_futures=True)
        else:
            super().__exit__(kind, *rest)


STOP_SECONDS = 900.0
"""A run has ended so long after it was told to, as `docs/schedules` gives it before SIGKILL. Our
choice: first creations on a cluster take 91 s, bad cases minutes."""

STOP_VARIABLE = "MNS_STOP_SECONDS"
"""Environment variable with another number of whole seconds, for who gives a run less time."""


def stop_seconds() -> float:
    """Return how long after a signal a run may go on.

    Raises:
        ConfigError: if the variable holds no number of seconds.
    """
    text = os.environ.get(STOP_VARIABLE, "").strip() or f"{STOP_SECONDS:.0f}"
    if not re.fullmatch(r"[1-9]\d{0,5}", text, re.ASCII):
        what = "write whole seconds in digits alone, such as 900, or unset it."
        raise ConfigError(f"The environment variable {STOP_VARIABLE} is {cut(text, 40)!r}: {what}")
    return float(text)


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
