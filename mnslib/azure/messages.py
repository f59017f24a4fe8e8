"""What a failed request means: answers, operations and dropped connections as errors of mnslib.

The one place that decides, by code and additional information (`messages.yaml`), whether something
is tried again, why it failed and what helps. A message says what was tried, where (full id), what
came back and what to do next. It takes from an answer only what a known error form says and names,
whole, without anything that looks like a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from mnslib.errors import (
    LONGEST_REFUSAL,
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

_ACTION = re.compile(
    r"perform action(?:\(s\))? '([^']+)' (?:over|on)(?: the linked)? scope(?:\(s\))? '([^']+)'"
)
_ACTIONS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_NAMING = re.compile(r"(?i)(id|name|path|scope)$")
_MOST_DEEP = 5
_LONGEST_CODE = 80
_FOREIGN = {"code": "NotFromAzure"}
"""Stands for an error whose body has none of the services' forms."""

_REPEATED = frozenset({408, 429, 500, 502, 503, 504})
"""Worth repeating; all our requests are safe to repeat. Source: azure-core, RetryPolicy."""

_DELAYS = {"retry-after-ms": 0.001, "x-ms-retry-after-ms": 0.001, "Retry-After": 1.0}

_UNANSWERED = " An attempt of this request ended unclear and may have been accepted: read it first."
_CLASSES: dict[int, type[ArmError]] = {
    HTTPStatus.NOT_FOUND: ArmNotFoundError,
    HTTPStatus.FORBIDDEN: ArmForbiddenError,
    HTTPStatus.CONFLICT: ArmConflictError,
    HTTPStatus.PRECONDITION_FAILED: ArmPreconditionError,
    HTTPStatus.TOO_MANY_REQUESTS: ArmThrottledError,
}
_CONCLUSIVE = (ArmNotFoundError, ArmConflictError, ArmPreconditionError)


def _words(section: str) -> Any:
    return packaged("mnslib.azure", "messages")[section]


def _verb(method: str) -> str:
    return str(_words("verbs").get(method, method))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a refusal of a service means.

    Attributes:
        code: the outermost code; empty where there is none.
        said: what the service says, inner errors and what additional information names with it.
        is_transient: whether it may go well later; None where the status alone says so.
        is_busy: it waits for another operation on the same cluster.
        why: our own words for the cause; empty where the service's say it all.
        remedy: what to do next.
    """

    code: str
    said: str
    is_transient: bool | None
    is_busy: bool
    why: str
    remedy: str


def read_service_error(body: str) -> str:
    """Return code and text of an error body; empty for one of no known form."""
    found = refusal(_parsed(body))
    return f"{found.code} {found.said}".strip()


def _parsed(body: str) -> Any:
    """Return the error of a body in a known form, None for an empty one.

    Source: ARM `{error: {code, message}}`; Prometheus `{status, errorType, error}`; Kubernetes'
    `Status`, whose code is a number.
    """
    if not body.strip():
        return None
    try:
        content = json.loads(body)
        error = content.get("error", content)
    except (ValueError, AttributeError, RecursionError):
        return _FOREIGN
    if isinstance(error, str):
        return {"code": content.get("errorType", ""), "message": error}
    if content.get("kind") == "Status":
        return {"code": content.get("reason", ""), "message": content.get("message", "")}
    return error if isinstance(error, Mapping) else _FOREIGN


def refusal(error: Any, *, method: str = "", path: str = "", status: int | None = None) -> Refusal:
    """Return what an error means, by its codes, its texts and its additional information.

    Args:
        error: as the body of an answer or of an operation's status holds it.
        method, path: of the request that was refused.
        status: of the answer; None for an operation that failed.
    """
    parts = list(_parts(error))
    codes = [code for code, _ in parts if code]
    said = _joined(text for _, text in parts)
    entry = next((one for one in _words("refusals") if _fits(one, codes, said)), None)
    if entry is None:
        entry = {"again": "as status", **_words("statuses").get(status, {})}
    action, scope = (cut(fact) for fact in denied_action(method, path, said))
    role = _words("roles").get(action.lower())
    facts = {
        "action": action,
        "scope": scope,
        "such": f", such as {role}" if role else "",
        "name": path.rpartition("/")[2],
        "provider": action.partition("/")[0],
    }
    why, remedy = (
        text.format_map(facts) if action or "{action}" not in text else ""
        for text in (entry.get("why", ""), entry.get("next", ""))
    )
    again = entry.get("again", "never")
    return Refusal(
        code="" if error is _FOREIGN else "".join(codes[:1]),
        said=said,
        is_transient=None if again == "as status" else again != "never",
        is_busy=again == "in turn",
        why=why,
        remedy=remedy,
    )


def _parts(errors: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield code and text of errors, of those inside them, and of their additional information.

    Source: ARM RPC, error response content: `details`, `innererror`, `additionalInfo`.
    """
    for error in _mappings(errors, depth):
        text = str(error.get("message") or "")
        is_body = text.lstrip().startswith("{")  # of whoever the service asked
        yield cut(str(error.get("code") or ""), _LONGEST_CODE), "" if is_body else text
        for name in ("innererror", "innerError", "details"):
            yield from _parts(error.get(name), depth + 1)
        if is_body:
            yield from _parts(_parsed(text), depth + 1)
        for more in _mappings(error.get("additionalInfo"), depth):
            named = ", ".join(_named(more.get("info"), depth))
            yield cut(str(more.get("type") or ""), _LONGEST_CODE), named


def _named(info: Any, depth: int) -> Iterator[str]:
    """Yield what additional information names: ids, names, scopes and paths, by their keys."""
    for item in _mappings(info, depth):
        for key, value in item.items():
            if value and isinstance(value, str) and _NAMING.search(key):
                yield f"{key} {value!r}"
            yield from _named(value, depth + 1)


def _mappings(value: Any, depth: int) -> list[Mapping[str, Any]]:
    """Return what of a value, or of a list, can be looked into; nothing where it is too deep."""
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, Mapping) and depth <= _MOST_DEEP]


def _joined(texts: Iterable[str]) -> str:
    """Return texts as sentences, each once, without what looks like a secret."""
    whole = ""
    for text in texts:
        text = text.strip()
        if text and text.rstrip(".") not in whole:
            whole += f" {text.rstrip('.')}."
    return cut(hide_secrets(whole), LONGEST_REFUSAL - LONGEST_TEXT)


def _fits(entry: Mapping[str, str], codes: Iterable[str], said: str) -> bool:
    code, text = entry.get("code"), entry.get("said")
    fits = code is None or any(re.fullmatch(code, one, re.IGNORECASE) for one in codes)
    return fits and (text is None or re.search(text, said, re.IGNORECASE) is not None)


def is_repeated(status: int, body: Callable[[], str]) -> bool:
    """Return whether the same request is sent again at once, as its answer may pass.

    Args:
        body: returns the answer's text; read only where the status leaves it open.
    """
    return status in _REPEATED and refusal(_parsed(body())).is_transient is not False


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
    path, error = path_of(url), _parsed(body)
    found = refusal(error, method=method, path=path, status=status)
    remedy = found.remedy
    delay = server_delay_seconds(headers)
    request_id = headers.get("x-ms-request-id") or headers.get("x-ms-correlation-request-id") or ""
    if status == HTTPStatus.TOO_MANY_REQUESTS and delay is not None:
        remedy += f" The service asks for {delay:.0f} s."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and found.is_transient is not False:
        remedy = f"Try again later; for a support case the request id is {request_id or 'unknown'}."
    if unanswered:
        remedy += _UNANSWERED
    head = f"Could not {_verb(method)} {path}: {status} {found.code}".rstrip() + "."
    kind = _CLASSES.get(status, ArmServerError if status >= 500 else ArmError)
    if error is _FOREIGN and kind in _CONCLUSIVE:
        kind = ArmError  # a proxy does not know what there is
    return kind(
        " ".join(part for part in (head, found.said, found.why) if part),
        status=status,
        code=found.code,
        request_id=request_id,
        retry_after_seconds=delay,
        is_unclear=unanswered,
        remedy=remedy.strip(),
        said=found.said,
        is_transient=found.is_transient,
        is_busy=found.is_busy,
    )


def denied_action(method: str, path: str, text: str) -> tuple[str, str]:
    """Return the action and the scope that were denied, from the text or else from the request.

    Both are empty where neither names a resource.

    Source: ARM's AuthorizationFailed text; Azure resource provider operations for the names.
    """
    if named := _ACTION.findall(text):  # the last: before it may stand what is allowed
        action, scope = named[-1]
        return action, scope
    scope, separator, rest = path.rpartition("/providers/")
    if not separator:
        return "", ""
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
