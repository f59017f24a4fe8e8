"""What a sandbox holds besides its state, until the process ends: limits, faults, request log."""

from __future__ import annotations

from collections import deque

from mnslib.sandbox.faults import Faults
from mnslib.sandbox.query_limits import QueryLimits
from mnslib.sandbox.state import State
from mnslib.sandbox.throttle import Throttle
from mnslib.sandbox.wire import Json

REQUEST_LOG_LIMIT = 20_000


class Runtime:
    """Limits and faults may be set anew while it runs."""

    def __init__(self, state: State, *, limits: Json | None = None, script: Json | None = None):
        self.throttle = Throttle(limits or {}, state.now)
        self.faults = Faults(script or {})
        self.query_limits = QueryLimits()
        self.requests: deque[Json] = deque(maxlen=REQUEST_LOG_LIMIT)
