"""What a failed request means: answers and dropped connections as errors of mnslib.

A message says what was tried, where (full id), what came back and what to do next. It takes from
an answer only the code and text of a known error form, without anything that looks like a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from mnslib.errors import (
    LONGEST_TEXT,
    ArmConflictError,
    ArmError,
    ArmForbiddenError,
    ArmNotFoundError,
    ArmPreconditionError,
    ArmServerError,
    ArmThrottledError,
    ArmUnreachableError,
    cut,
)
from mnslib.packaged import packaged
from mnslib.secrets import hide_secrets

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError

Value = TypeVar("Value")

_ACTION = re.compile(r"perform action '([^']+)' over scope '([^']+)'")
_ACTIONS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_SHORTEST_TEXT = 60
_DELAYS = {"retry-after-ms": 0.001, "x-ms-retry-after-ms": 0.001, "Retry-After": 1.0}

_UNANSWERED = " An attempt of this request ended unclear and may have been accepted: read it first."
_CLASSES: dict[int, type[ArmError]] = {
    HTTPStatus.NOT_FOUND: ArmNotFoundError,
    HTTPStatus.FORBIDDEN: ArmForbiddenError,
    HTTPStatus.CONFLICT: ArmConflictError,
    HTTPStatus.PRECONDITION_FAILED: ArmPreconditionError,
    HTTPStatus.TOO_MANY_REQUESTS: ArmThrottledError,
}


def _words(section: str) -> dict[Any, str]:
    return packaged("mnslib.azure", "messages")[section]  # type: ignore[no-any-return]


def _verb(method: str) -> str:
    return _words("verbs").get(method, method)


def redact(text: str) -> str:
    """Return a foreign text, cut, without anything that looks like a secret."""
    return cut(hide_secrets(text))


def read_as(what: str) -> Callable[[Callable[[Any], Value]], Callable[[Any], Value]]:
    """Return a decorator that makes an `ArmError` of what a reader of answers stumbles over."""

    def decorated(read: Callable[[Any], Value]) -> Callable[[Any], Value]:
        @wraps(read)
        def reading(item: Any) -> Value:
            try:
                return read(item)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                name = item.get("id") if isinstance(item, Mapping) else item
                raise ArmError(
                    f"ARM answered {redact(str(name))!r}, which cannot be read as {what}: {error}."
                ) from error

        return reading

    return decorated


def path_of(url: str) -> str:
    """Return a URL's path; its query may hold a signature and is never shown."""
    return unquote(urlsplit(url).path)


def server_delay_seconds(headers: Mapping[str, str]) -> float | None:
    """Return how long the server asks to wait, None where it does not say.

    Source: azure-core, `get_retry_after`; a date is read against the answer's own `Date`.
    """
    for name, scale in _DELAYS.items():
        if name in headers:
            with suppress(ValueError):
                return max(0.0, float(headers[name]) * scale)
            with suppress(ValueError, TypeError):
                sent = parsedate_to_datetime(headers.get("Date", ""))
                return max(0.0, (parsedate_to_datetime(headers[name]) - sent).total_seconds())
            return None  # neither number nor date: as if it were not there
    return None


def read_service_error(body: str) -> tuple[str, str]:
    """Return code and text of an error body in ARM's or Prometheus' form; empty for another one.

    Source: ARM `{error: {code, message}}`; Prometheus `{status, errorType, error}`.
    """
    try:
        content = json.loads(body)
        error = content.get("error", content)
        if isinstance(error, str):
            error = {"code": content.get("errorType", ""), "message": error}
        return str(error.get("code", ""))[:80], redact(str(error.get("message", "")))
    except (ValueError, AttributeError, RecursionError):
        return "", ""


def answer_error(
    method: str,
    url: str,
    *,
    status: int,
    headers: Mapping[str, str],
    body: str,
    unanswered: bool = False,
) -> ArmError:
    """Return the error that an answer of 400 or more means.

    Args:
        unanswered: an earlier attempt of the same request got no clear answer.
    """
    code, text = read_service_error(body)
    path = path_of(url)
    where, remedy = path, _words("next").get(status, "")
    if status == HTTPStatus.FORBIDDEN:
        action, scope = denied_action(method, path, text)
        if path.lower().startswith(scope.lower()):  # the scope is said below
            where = path[len(scope) :].strip("/") or "it"
        text = "" if _ACTION.search(text) else text  # says the same, at length
        role = _words("roles").get(action.lower())
        such = f", such as {role}" if role else ""
        remedy = (
            f"Action {action} at scope {scope} is not allowed: get a role with it there{such} (it"
            " takes 5 minutes to act; sign in again), or have the lock or policy lifted."
        )
    delay = server_delay_seconds(headers)
    request_id = headers.get("x-ms-request-id") or headers.get("x-ms-correlation-request-id") or ""
    if status == HTTPStatus.TOO_MANY_REQUESTS and delay is not None:
        remedy += f" The service asks for {delay:.0f} s."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        remedy = f"Try again later; for a support case the request id is {request_id or 'unknown'}."
    if unanswered:
        remedy += _UNANSWERED
    head = f"Could not {_verb(method)} {where}: {status} {code}".rstrip() + "."
    room = max(_SHORTEST_TEXT, LONGEST_TEXT - len(head) - len(remedy) - 3)
    text = cut(text, room).rstrip(".") + "." if text else ""
    kind = _CLASSES.get(status, ArmServerError if status >= 500 else ArmError)
    return kind(
        " ".join(part for part in (head, text, remedy) if part),
        status=status,
        code=code,
        request_id=request_id,
        retry_after_seconds=delay,
        is_unclear=unanswered,
    )


def denied_action(method: str, path: str, text: str) -> tuple[str, str]:
    """Return the action and the scope that were denied, from the text or else from the request.

    Source: ARM's AuthorizationFailed text; Azure resource provider operations for the names.
    """
    named = _ACTION.search(text)
    if named:
        return named[1], named[2]
    scope, _, rest = path.rpartition("/providers/")
    provider, *parts = rest.split("/")
    kinds, names = parts[0::2], parts[1::2]
    ending = _ACTIONS.get(method, "action")
    if ending == "action" and len(kinds) > len(names):
        ending = f"{kinds.pop()}/action"
    is_extension = provider.lower() == "microsoft.authorization"
    return "/".join([provider, *kinds, ending]), (scope if is_extension else path)


def unreachable_reason(error: AzureError) -> str:
    """Return why a connection failed, in words that hold no URL (its query may be signed)."""
    text = str(error).lower()
    found = (reason for signs, reason in _words("reasons").items() if re.search(signs, text))
    return next(found, type(error.__cause__ or error).__name__)


def unreachable_error(
    method: str, url: str, error: AzureError, *, unanswered: bool
) -> ArmUnreachableError:
    """Return the error for a request that got no answer at all.

    Args:
        unanswered: the request was sent, so that it may have been accepted.
    """
    parts = urlsplit(url)
    return ArmUnreachableError(
        f"Could not {_verb(method)} {path_of(url)}: no answer from {parts.netloc},"
        f" {unreachable_reason(error)}. Check network, proxy and the parameter `cloud`."
        + (_UNANSWERED if unanswered else "")
    )
