"""Long-running operations: one place that waits for all of them.

A write is started with `polling=False` and leaves an `Operation`; nothing but its URL is needed to
follow it, so operations in flight hold no thread. The URL is signed and used as it came. Knows
nothing of what an operation changes.

    client.operations.track(operation)
    for finished in client.operations.next_finished(timeout_seconds=1.0):
        ...
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mnslib.azure.messages import redact, server_delay_seconds
from mnslib.errors import (
    ArmError,
    ArmServerError,
    ArmThrottledError,
    ArmUnreachableError,
    OperationFailedError,
    OperationTimeoutError,
)

if TYPE_CHECKING:
    from mnslib.azure.rest import Rest

OPERATION_TIMEOUT_SECONDS = 1800.0
"""Our choice: first creations on a cluster take 91 s, bad cases minutes. Source: recordings."""

SHORTEST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 30.0
"""Source: the SDK's default `polling_interval`, 30 s; updates take 0.5 s, so start small."""

_SLICE_SECONDS = 0.1
_REMEMBERED = 5
_DONE = "succeeded"
_FAILED = frozenset({"failed", "canceled", "cancelled"})
_TRANSIENT = (ArmUnreachableError, ArmServerError, ArmThrottledError)


class OperationKind(StrEnum):
    """What an operation does; those of a kind take about the same time."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A write that the service accepted and works on.

    Attributes:
        id: full id of what is written.
        url: where its status is read; signed, never shown.
        started: the client's clock when it was accepted.
        retry_after_seconds: delay before the first poll that the service asked for, None without.
    """

    id: str
    url: str
    kind: OperationKind
    started: float
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedOperation:
    """An operation that came to an end, or whose time ran out (then its outcome is unknown)."""

    operation: Operation
    error: ArmError | None


@dataclass(slots=True)
class _Tracked:
    operation: Operation
    due: float
    deadline: float
    last_error: ArmError | None = None


def started_operation(
    response: Any, *, target: str, kind: OperationKind, started: float
) -> Operation:
    """Return the operation that an accepted write started.

    Without an operation URL the resource itself is read, which says `provisioningState`.
    """
    headers: Mapping[str, str] = response.http_response.headers
    url = headers.get("Azure-AsyncOperation") or headers.get("Location")
    return Operation(
        id=target,
        url=url or str(response.http_request.url),
        kind=kind,
        started=started,
        retry_after_seconds=server_delay_seconds(headers),
    )


class Operations:
    """Follows the operations of one client.

    `track` may be called from any thread; `next_finished` polls in the calling one.
    """

    def __init__(
        self, rest: Rest, *, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._sleep = sleep
        self._tracked: dict[Operation, _Tracked] = {}
        self._taken: dict[OperationKind, deque[float]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED)
        )
        self._lock = threading.Lock()

    def track(
        self, operation: Operation, *, timeout_seconds: float = OPERATION_TIMEOUT_SECONDS
    ) -> None:
        """Follow an operation; `next_finished` hands it out once it ended."""
        deadline = operation.started + timeout_seconds
        due = self._clock() + self._spacing(operation, operation.retry_after_seconds)
        with self._lock:
            self._tracked[operation] = _Tracked(operation, min(due, deadline), deadline)

    def next_finished(self, timeout_seconds: float) -> list[FinishedOperation]:
        """Return the tracked operations that ended, as soon as there is one, each exactly once.

        Polls those that are due, one after the other. Returns an empty list after the timeout,
        also where nothing is tracked (another thread may be starting something).
        """
        until = self._clock() + timeout_seconds
        while True:
            finished = [end for tracked in self._due() if (end := self._poll(tracked))]
            now = self._clock()
            if finished or now >= until:
                return finished
            with self._lock:
                wake = min((t.due for t in self._tracked.values()), default=until)
            self._sleep(min(max(wake - now, 0.0), until - now, _SLICE_SECONDS))

    def _due(self) -> list[_Tracked]:
        now = self._clock()
        with self._lock:
            due = [tracked for tracked in self._tracked.values() if tracked.due <= now]
        return sorted(due, key=lambda tracked: tracked.due)

    def _poll(self, tracked: _Tracked) -> FinishedOperation | None:
        """Return the operation if it ended, else None and note when to ask again."""
        operation, is_finished = tracked.operation, False
        error: ArmError | None = None
        seconds: float | None = None
        delay: float | None = None
        try:
            response = self._rest.get(operation.url)
            body = self._rest.json(response) or {}
            state = _state(body, response.status_code)
            is_finished = state == _DONE or state in _FAILED
            error = _failure(operation, state, body) if state in _FAILED else None
            seconds, delay = _server_seconds(body), server_delay_seconds(response.headers)
        except _TRANSIENT as transient:  # says nothing about the operation itself
            tracked.last_error, asked = transient, transient.retry_after_seconds
            delay = LONGEST_POLL_SECONDS if asked is None else asked
        except ArmError as refusal:
            is_finished, error = True, refusal
        now = self._clock()
        if not is_finished and now >= tracked.deadline:
            is_finished, error = True, _too_late(tracked)
        if not is_finished:
            tracked.due = min(now + self._spacing(operation, delay), tracked.deadline)
            return None
        with self._lock:
            self._tracked.pop(operation, None)
            if error is None:
                spent = now - operation.started
                self._taken[operation.kind].append(spent if seconds is None else seconds)
        return FinishedOperation(operation=operation, error=error)

    def _spacing(self, operation: Operation, retry_after: float | None) -> float:
        """Return the seconds to the next poll.

        The server's delay wins. Else the first poll comes when the quickest of the last few of its
        kind would be done, and later ones ever more rarely.
        """
        if retry_after:
            return retry_after
        elapsed = self._clock() - operation.started
        with self._lock:
            quickest = min(self._taken[operation.kind], default=None)
        if quickest is not None and elapsed < quickest:
            wait = quickest - elapsed
        else:
            wait = max(elapsed / 2, SHORTEST_POLL_SECONDS if retry_after == 0 else 1.0)
        return min(max(wait, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS)


def _state(body: Mapping[str, Any], status: int) -> str:
    pending = "inprogress" if status == 202 else _DONE
    properties = body.get("properties") or {}
    return str(body.get("status") or properties.get("provisioningState") or pending).lower()


def _failure(operation: Operation, state: str, body: Mapping[str, Any]) -> OperationFailedError:
    said = body.get("error") or {}
    code = str(said.get("code") or f"Operation{state.capitalize()}")
    return OperationFailedError(
        f"The {operation.kind} of {operation.id} was accepted and then {state}: {code}:"
        f" {redact(str(said.get('message') or 'no reason given'))}"
        " Read the namespace before you try again: it may be half done.",
        code=code,
    )


def _too_late(tracked: _Tracked) -> OperationTimeoutError:
    operation = tracked.operation
    error = OperationTimeoutError(
        f"The {operation.kind} of {operation.id} did not end within"
        f" {tracked.deadline - operation.started:.0f} s; its outcome is unknown."
        " Read it later and run again: what is done is not repeated."
    )
    error.__cause__ = tracked.last_error
    return error


def _server_seconds(body: Mapping[str, Any]) -> float | None:
    """Return what the operation took by the service's own clock, None where it does not say."""
    try:
        started, ended = (
            datetime.fromisoformat(str(body[key])) for key in ("startTime", "endTime")
        )
        return max(0.0, (ended - started).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None
