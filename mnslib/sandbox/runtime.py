"""What a sandbox holds besides its state, until the process ends: limits, faults, request log."""

from __future__ import annotations

from collections import deque

from mnslib.sandbox.faults import Faults
from mnslib.sandbox.state import State
from mnslib.sandbox.throttle import Throttle
from mnslib.sandbox.wire import Json

REQUEST_LOG_LIMIT = 20_000


class Runtime:
    """Nothing limited and no fault, unless said otherwise; both may change while it runs."""

    def __init__(self, state: State, *, limits: Json | None = None, script: Json | None = None):
        self.requests: deque[Json] = deque(maxlen=REQUEST_LOG_LIMIT)
        self._now = state.now
        self.limit(limits or {})
        self.set_faults(script or {})

    def limit(self, limits: Json) -> None:
        """Set the token buckets, all full."""
        self.throttle = Throttle(limits, self._now)

    def set_faults(self, script: Json) -> None:
        """Set the script of faults, its counters at zero."""
        self.faults = Faults(script)
