"""Long-running operations: when to ask for each, and what came of it.

A write is started with `polling=False` and leaves an `Operation`; nothing but its URL is needed to
follow it, so operations in flight hold no thread. The URL is signed and used as it came. Knows
nothing of what an operation changes.

    yield from client.operations.follow(operation)  # in a piece of the scheduler's work
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mnslib import errors
from mnslib.azure.messages import path_of, refusal, server_delay_seconds
from mnslib.azure.scheduler import Call, Pause, Work
from mnslib.azure.throttle import LONGEST_WAIT_SECONDS

if TYPE_CHECKING:
    from mnslib.azure.pipeline import Rest

OPERATION_TIMEOUT_SECONDS = 1800.0
"""Our choice: first creations on a cluster take 91 s, bad cases minutes. Source: recordings."""

SHORTEST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 30.0
"""Source: the SDK's default `polling_interval`, 30 s; updates take 0.5 s, so start small."""

_SOON_SECONDS = 10.0
"""So long after an operation might have ended it is asked for a second sooner: most take seconds,
and where a cluster takes one write at a time, the next one waits for it. Our choice."""

_REMEMBERED = 5
_DONE = "succeeded"
_FAILED = frozenset({"failed", "canceled", "cancelled"})
_TRANSIENT = (errors.ArmUnreachableError, errors.ArmServerError, errors.ArmThrottledError)


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

    @classmethod
    def started_by(cls, answer: Any, target: object, *, at: float) -> Operation | None:
        """Return the operation that an accepted write started; None where nothing is left to do.

        Args:
            target: the id of what is written.

        Without an operation URL the resource itself is read, which says `provisioningState`.
        """
        sent, status = answer.http_request, answer.http_response.status_code
        if status == HTTPStatus.NO_CONTENT:
            return None
        headers: Mapping[str, str] = answer.http_response.headers
        url = headers.get("Azure-AsyncOperation") or headers.get("Location")
        written = OperationKind.CREATE if status == HTTPStatus.CREATED else OperationKind.UPDATE
        return cls(
            id=str(target),
            url=url or str(sent.url),
            kind=OperationKind.DELETE if sent.method == "DELETE" else written,
            started=at,
            retry_after_seconds=server_delay_seconds(headers),
        )


class Operations:
    """Follows the operations of one client; `follow` belongs to one thread, the scheduler's."""

    def __init__(self, rest: Rest, *, clock: Callable[[], float]) -> None:
        self._rest = rest
        self._clock = clock
        self._taken: dict[tuple[OperationKind, bool], deque[float]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED)
        )
        self._parents: set[str] = set()

    def follow(self, operation: Operation) -> Work[None]:
        """Wait until an operation has succeeded: work for the scheduler.

        Raises:
            OperationFailedError: if it failed or was canceled.
            OperationTimeoutError: if its time ran out; then its outcome is unknown.
            ArmError: if its status was refused.
            AuthError: if the sign-in was lost.
        """
        parent = operation.id.rpartition("/managedNamespaces/")[0]
        like_it = operation.kind, parent in self._parents
        left = OPERATION_TIMEOUT_SECONDS  # of waiting: a clock that jumps declares nothing late
        ask = Call("GET", path_of(operation.url), partial(self._ask, operation.url))
        delay, last_error = operation.retry_after_seconds, None
        state, why = "", ""
        while True:
            spacing = min(self._spacing(operation, delay, self._taken[like_it]), left)
            left -= spacing
            yield Pause(spacing)
            try:
                state, body, delay = yield ask
            except _TRANSIENT as error:  # says nothing about the operation itself
                last_error, asked = error, error.retry_after_seconds
                delay = LONGEST_POLL_SECONDS if asked is None else asked
                if delay > LONGEST_WAIT_SECONDS:
                    why = f"may not be asked for again for {delay:.0f} s"
            else:
                if not state:
                    why = "was answered in a form that does not say how it stands"
                if state in _FAILED:
                    raise _failure(operation, state, body)
                if state == _DONE:
                    seconds = _server_seconds(body)
                    spent = self._clock() - operation.started if seconds is None else seconds
                    self._taken[like_it].append(spent)
                    self._parents.add(parent)
                    return
            if left <= 0:
                why = f"did not end within {OPERATION_TIMEOUT_SECONDS:.0f} s"
                why += f", last {errors.cut(state, 80)!r}" if state else ""
            if why:
                raise errors.OperationTimeoutError(
                    f"The {operation.kind} of {operation.id} {why}; its outcome is unknown."
                    " Read it later and run again: what is done is not repeated."
                ) from last_error

    def _ask(self, url: str) -> tuple[str, Mapping[str, Any], float | None]:
        answer, found = self._rest.get(url)
        body = found if isinstance(found, Mapping) else {}
        properties = body.get("properties")
        state = body.get("status")
        if isinstance(properties, Mapping):  # of the resource itself
            state = state or properties.get("provisioningState") or _DONE
        if answer.status_code == HTTPStatus.ACCEPTED:
            state = state or "InProgress"
        elif found is None:
            state = _DONE
        state = state.lower() if isinstance(state, str) else ""
        return state, body, server_delay_seconds(answer.headers)

    def _spacing(
        self, operation: Operation, retry_after: float | None, taken: deque[float]
    ) -> float:
        """Return the seconds to the next poll.

        The server's delay wins. Else the first poll comes when the slowest of the last few like it
        would be done (or twice the quickest, if that is sooner), and later ones ever more rarely.
        The first ones below a parent are another kind: they take minutes where later ones take
        seconds.
        """
        if retry_after:
            return min(retry_after, LONGEST_WAIT_SECONDS)
        elapsed = self._clock() - operation.started
        expected = min(max(taken), 2 * min(taken)) if taken else 0.0
        if elapsed < expected:
            wait = expected - elapsed
        else:
            least = SHORTEST_POLL_SECONDS if retry_after == 0 else 1.0
            late = elapsed - expected
            wait = max(late / 2 - (late < _SOON_SECONDS), least)
        return min(max(wait, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS)


def _failure(operation: Operation, state: str, body: Mapping[str, Any]) -> errors.ArmError:
    given, error = body.get("error"), {"message": "No reason given"}
    if isinstance(given, Mapping):
        error |= {key: value for key, value in given.items() if value}
    return refusal(
        {"code": f"Operation{state.capitalize()}"} | error,
        kind=errors.OperationFailedError,
        head=f"The {operation.kind} of {operation.id} was accepted and then {state}:",
        remedy="Read it before you try again: it may be half done.",
        method="DELETE" if operation.kind is OperationKind.DELETE else "PUT",
        path=operation.id,
    )


def _server_seconds(body: Mapping[str, Any]) -> float | None:
    """Return what the operation took by the service's own clock, None where it does not say."""
    try:
        started, ended = (
            datetime.fromisoformat(str(body[key])) for key in ("startTime", "endTime")
        )
        return max(0.0, (ended - started).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None
