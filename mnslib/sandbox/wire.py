"""Calls, answers, routes and the error form of each surface.

Knows nothing of state or rules: handlers turn a `Call` into an `Answer` or raise a `Refusal`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from mnslib.sandbox.runtime import Runtime
    from mnslib.sandbox.state import State

Json = dict[str, Any]
_LARGEST = 4 * 2**20  # bytes of a body; Source: ARM's request limits
PAGE_SIZE = 200  # items of ARM's lists; our choice
_LEVELS = 100  # of a body; Source: none, each service has some such bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back; a `body` of None is sent as an empty one, bytes as they are.

    `stream` is sent in place of a body, part by part as they come; an empty part is a pause.
    """

    status: int = 200
    body: Any = None
    stream: Iterator[str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Rollback(Exception):  # noqa: N818 - it is an answer, not a defect
    """An answer that ends the handling of a call; what it wrote is taken back."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body)
        self.answer = answer


class Refusal(Rollback):
    """The answer is no."""

    @property
    def message(self) -> str:
        """Why, as a cluster's `Status` says it."""
        return str(self.answer.body["message"])


class Hangup(Exception):  # noqa: N818 - it stands for an answer too
    """Nobody is there to answer: the connection ends without a word."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One received request.

    `origin` is scheme, host and port as the client wrote them: URLs in answers start with it.
    `effect` is what a scripted fault does to it; `remaining` what is left in ARM's token buckets;
    `warnings` are told in the answer's headers, whatever it is (clusters only).
    """

    state: State
    runtime: Runtime
    method: str
    origin: str
    path: str
    raw_query: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    identity: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    api_version: str = ""
    effect: Json = field(default_factory=dict)
    remaining: Mapping[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def json(
        self,
        each: Callable[[Json], Json] | None = None,
        *,
        pairs: Callable[[list[tuple[str, Any]]], Json] | None = None,
    ) -> Any:
        """Return the parsed body, `each` object in it passed through; None when it is empty.

        `pairs` makes objects of their members instead, where names that stand twice matter.

        Raises:
            ValueError: if it is not JSON, or holds what no service stores: infinities, NaN, lone
                surrogates, hundreds of levels.
        """
        if not self.body.strip():
            return None
        try:
            text = self.body.decode("utf-8-sig")
            value = json.loads(
                text, parse_constant=_refuse_constant, object_hook=each, object_pairs_hook=pairs
            )
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if text.count("{") + text.count("[") > _LEVELS and is_deep(value):
            raise ValueError("it is nested too deeply")
        if b"\\u" in self.body:
            json.dumps(value, ensure_ascii=False).encode()
        return value


def is_deep(value: Any) -> bool:
    """Return whether a value has more levels than those who walk through it can take."""
    level = [value]
    for _ in range(_LEVELS):
        inside = (one.values() if isinstance(one, dict) else one for one in level if _holds(one))
        level = [inner for values in inside for inner in values]
    return any(map(_holds, level))


def _holds(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of the route table; `{name}` matches one segment, `{name*}` any text.

    `action` is what ARM asks the caller's roles for, with the path's `{names}`; empty: any
    signed-in caller, and the handler shortens what it answers. `open` routes take no token.
    """

    surface: str
    method: str
    template: str
    handler: Handler
    api_versions: frozenset[str] = frozenset()
    action: str = ""
    open: bool = False

    def pattern(self) -> re.Pattern[str]:
        """Return the compiled template; ARM ignores case, the other surfaces do not."""
        text = re.sub(r"\\{(\w+)\\\*\\}", r"(?P<\1>.*)", re.escape(self.template))
        text = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", text)
        return re.compile(text, re.IGNORECASE if self.surface == "arm" else 0)


def routes(surface: str, prefix: str, table: Iterable[tuple[str, str, Handler]]) -> list[Route]:
    """Return the routes of a surface besides ARM: method, template after the prefix, handler.

    Sign-in is open to everybody.
    """
    return [
        Route(
            surface=surface,
            method=method,
            template=prefix + rest,
            handler=handler,
            open=surface == "entra",
        )
        for method, rest, handler in table
    ]


def arm_error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Refusal:
    """Return the error form of Azure Resource Manager."""
    body = {"error": {"code": code, "message": message}}
    return Refusal(Answer(status=status, body=body, headers=headers or {}))


def parsed(call: Call) -> Json:
    """Return the body as an object.

    Raises:
        Refusal: 400 if it is no JSON object, 413 if it is too large, 415 if it says to be no JSON.
    """
    if len(call.body) > _LARGEST:
        text = f"The request content size exceeds the maximum size of {_LARGEST // 2**20} MB."
        raise arm_error(413, "RequestContentTooLarge", text)
    media = call.headers.get("content-type", "application/json").split(";")[0].strip()
    if media.lower() not in ("application/json", "text/json"):
        text = f"The content media type '{media}' is not supported. Only 'application/json' is "
        raise arm_error(415, "UnsupportedMediaType", f"{text}supported.")
    try:
        body = call.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        text = "The request content was invalid and could not be deserialized: not a JSON object."
        raise arm_error(400, "InvalidRequestContent", text)
    return body


def addressed(call: Call) -> Json:
    """Return the body of a PUT; the id and name in it, if any, must be those of the address.

    Raises:
        Refusal: as `parsed`; 400 for another id or name.
    """
    body = parsed(call)
    for key, own in (("id", call.path), ("name", call.path.rpartition("/")[2])):
        given = body.get(key)
        if given is not None and str(given).lower() != own.lower():
            text = f"The {key} '{given}' in the request body is not the '{own}' of the URL."
            raise arm_error(400, "InvalidRequestContent", text)
    return body


def paged(items: list[Json]) -> list[list[Json]]:
    """Return the items by pages."""
    return [items[i : i + PAGE_SIZE] for i in range(0, len(items), PAGE_SIZE)]


def page(call: Call, pages: list[list[Json]]) -> Json:
    """Return the page that the skip token names, with a link to the next one.

    Raises:
        Refusal: 400 for a skip token of no page.
    """
    token = call.query.get("$skiptoken", "0")
    if not re.fullmatch("[0-9]{1,9}", token) or int(token) >= len(pages):
        raise arm_error(400, "InvalidSkipToken", "The skip token is malformed.")
    body: Json = {"value": pages[int(token)]}
    if int(token) + 1 < len(pages):
        kept = [part for part in call.raw_query.split("&") if "skiptoken" not in part.lower()]
        query = "&".join([*kept, f"%24skiptoken={int(token) + 1}"])
        body["nextLink"] = f"{call.origin}{quote(call.path)}?{query}"
    return body


def kube_error(status: int, reason: str, message: str, details: Json | None = None) -> Refusal:
    """Return a Kubernetes `Status`; an empty reason is left out, as the webhook's refusals do."""
    body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    body["message"] = message
    if reason:
        body["reason"] = reason
    if details:
        body["details"] = details
    return Refusal(Answer(status=status, body=body | {"code": status}))


def prometheus_error(status: int, kind: str, message: str) -> Refusal:
    """Return the error form of the Prometheus HTTP API."""
    body = {"status": "error", "errorType": kind, "error": message}
    return Refusal(Answer(status=status, body=body))


def entra_error(status: int, error: str, number: int, message: str) -> Refusal:
    """Return the error form of the token endpoint."""
    ids = {"trace_id": str(uuid.uuid4()), "correlation_id": str(uuid.uuid4())}
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
    trace = f"Trace ID: {ids['trace_id']} Correlation ID: {ids['correlation_id']} Timestamp: {at}"
    body = {
        "error": error,
        "error_description": f"AADSTS{number}: {message} {trace}",
        "error_codes": [number],
        "timestamp": at,
        **ids,
    }
    return Refusal(Answer(status=status, body=body))


def surface_error(surface: str, status: int, code: str, message: str) -> Refusal:
    """Return a refusal in the form that clients of this surface read.

    `code` is ARM's word; Kubernetes gets its own reason for the same status.
    """
    if surface == "kubernetes":
        reasons = {401: "Unauthorized", 404: "NotFound", 405: "MethodNotAllowed"}
        reasons |= {403: "Forbidden", 409: "Conflict", 410: "Expired", 422: "Invalid"}
        reasons |= {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
        texts = {401: "Unauthorized", 404: "the server could not find the requested resource"}
        texts[405] = "the server does not allow this method on the requested resource"
        text = texts.get(status, message)
        return kube_error(status, reasons.get(status, "BadRequest"), text)
    if surface == "prometheus":
        return prometheus_error(status, "bad_data" if status < 500 else "internal", message)
    if surface == "entra":
        return entra_error(status, "invalid_request", 900144, message)
    return arm_error(status, code, message)
