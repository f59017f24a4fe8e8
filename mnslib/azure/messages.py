"""What a failed request means: answers, operations and dropped connections as errors of mnslib.

The one place that decides, by code and additional information (`messages.yaml`), whether something
is tried again, why it failed and what helps. A message says what was tried, where (full id), what
came back and what to do next. It takes from an answer only what a known error form says and names,
whole, without anything that looks like a token.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import wraps
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from azure.core.exceptions import AzureError

from mnslib import errors
from mnslib.errors import LONGEST_REFUSAL, LONGEST_TEXT, ArmError, ArmUnreachableError, cut
from mnslib.packaged import packaged
from mnslib.secrets import hide_secrets

Value = TypeVar("Value")

_ACTION = re.compile(
    r"perform action(?:\(s\))? '([^']+)' (?:over|on)(?: the linked)? scope(?:\(s\))? '([^']+)'"
)
_ACTIONS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_NAMING = re.compile(r"(?i)(id|name|path|scope)$")
_MOST_DEEP = 9
_LONGEST_CODE = 80
_FOREIGN = {"code": "NotFromAzure"}
"""Stands for an error whose body has none of the services' forms."""

_DELAYS = {"retry-after-ms": 0.001, "x-ms-retry-after-ms": 0.001, "Retry-After": 1.0}

_UNANSWERED = "An attempt of this request ended unclear and may have been accepted: read it first."


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
                why = error if isinstance(error, ValueError) else "a part is missing or another"
                raise ArmError(
                    f"ARM answered {redact(str(name))!r}, which cannot be read as {what}: {why}."
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
                seconds = float(headers[name]) * scale
                return max(0.0, seconds) if math.isfinite(seconds) else None
            with suppress(ValueError, TypeError):
                sent = parsedate_to_datetime(headers.get("Date", ""))
                return max(0.0, (parsedate_to_datetime(headers[name]) - sent).total_seconds())
            return None  # neither number nor date: as if it were not there
    return None


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


def refusal(
    error: Any,
    *,
    kind: type[ArmError] | None = None,
    head: str = "",
    remedy: str = "",
    method: str = "",
    path: str = "",
    status: int | None = None,
    facts: Mapping[str, str] = MappingProxyType({}),
    **more: Any,
) -> ArmError:
    """Return the error that a refusal means, by its codes, texts and additional information.

    Args:
        error: as the body of an answer or of an operation's status holds it.
        kind: by default the status's; also decides whether it is transient where nothing else does.
        head: what was tried; the code follows.
        remedy: what to do after what the words say.
        method, path: of the request that was refused.
        status: of the answer; None for an operation that failed.
        facts: what else the words for a status may tell.
        more: of the error, as it is.
    """
    parts = list(_parts(error))
    codes = [code for code, _ in parts if code]
    code, said = "" if error is _FOREIGN else "".join(codes[:1]), _joined(text for _, text in parts)
    statuses = _words("statuses")
    alone = statuses.get(status) or statuses.get((status or 0) // 100, {})
    entry = next((one for one in _words("refusals") if _fits(one, codes, said)), alone)
    # that something is there or not, a proxy does not know
    named = alone.get("foreign" if error is _FOREIGN else "error") or alone.get("error", "ArmError")
    kind = kind or getattr(errors, named)
    action, scope = (cut(fact) for fact in denied_action(method, path, said))
    role = _words("roles").get(action.lower())
    known = {
        "action": action,
        "scope": scope,
        "such": f", such as {role}" if role else "",
        "name": path.rpartition("/")[2],
        "provider": action.partition("/")[0],
        **facts,
    }
    why, following = (
        text.format_map(known) if action or "{action}" not in text else ""
        for text in (entry.get("why", ""), entry.get("next", alone.get("next", "")))
    )
    again = entry.get("again", "never" if entry is not alone else "as status")
    return kind(
        " ".join(part for part in (f"{head} {code}".rstrip() + ".", said, why) if part),
        remedy=f"{following} {remedy}".strip(),
        status=status,
        code=code,
        said=said,
        is_transient=None if again == "as status" else again != "never",
        is_busy=again == "in turn",
        **more,
    )


def _parts(value: Any, depth: int = 0, *, is_info: bool = False) -> Iterator[tuple[str, str]]:
    """Yield code and text of an error and of all that is inside it.

    The text of additional information is what it names: ids, names, scopes and paths, by their
    keys.

    Source: ARM RPC, error response content: `details`, `innererror`, `additionalInfo`.
    """
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping) or depth > _MOST_DEEP:
        return
    text = str(value.get("message") or "")
    inside = dict(value)
    if text.lstrip().startswith("{"):  # the body of whoever the service asked
        text, inside["message"] = "", _parsed(text)
    if is_info:
        named = ((key, one) for key, one in value.items() if _NAMING.search(str(key)))
        text = ", ".join(f"{key} {one!r}" for key, one in named if one and isinstance(one, str))
    yield cut(str(value.get("code") or value.get("type") or ""), _LONGEST_CODE), text
    for key, one in inside.items():
        yield from _parts(one, depth + 1, is_info=is_info or key == "info")


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
    return (
        status in errors.TRANSIENT_STATUSES
        and refusal(_parsed(body()), kind=errors.ArmServerError).is_transient
    )


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
    path, error, delay = path_of(url), _parsed(body), server_delay_seconds(headers)
    request_id = headers.get("x-ms-request-id") or headers.get("x-ms-correlation-request-id") or ""
    asked = f" The service asks for {delay:.0f} s." if delay else ""
    return refusal(
        error,
        head=f"Could not {_verb(method)} {path}: {status}",
        remedy=_UNANSWERED if unanswered else "",
        method=method,
        path=path,
        status=status,
        facts={"request_id": request_id or "unknown", "delay": asked},
        request_id=request_id,
        retry_after_seconds=delay,
        is_unclear=unanswered,
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
        + (f" {_UNANSWERED}" if unanswered else "")
    )
