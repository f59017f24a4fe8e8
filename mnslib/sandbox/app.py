"""The ASGI application: takes every call the same way and answers in its surface's form.

A scripted fault may hit it; operations that are due are settled; route, sign-in, api-version,
throttle and access are checked in this order; the handler runs in a transaction. What it starts
(`lifecycle`) ends when a later call settles it (`completion`). docs/sandbox.md has the map.
"""

from __future__ import annotations

import asyncio
import gzip
import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mnslib.sandbox import (
    access,
    completion,
    routes_clusters,
    routes_control,
    routes_entra,
    routes_graph,
    routes_namespaces,
    routes_operations,
    routes_prometheus,
    routes_providers,
    routes_roles,
    routes_safeguards,
    routes_subscriptions,
)
from mnslib.sandbox.kube import (
    controllers,
    routes_discovery,
    routes_objects,
    routes_reviews,
    routes_subresources,
)
from mnslib.sandbox.runtime import Runtime
from mnslib.sandbox.state import State, utc_text
from mnslib.sandbox.tokens import Verifier
from mnslib.sandbox.wire import (
    Answer,
    Call,
    Hangup,
    Json,
    Refusal,
    Rollback,
    Route,
    arm_error,
    surface_error,
)

_SUBJECTS: tuple[ModuleType, ...] = (
    routes_entra,
    routes_graph,
    routes_subscriptions,
    routes_providers,
    routes_clusters,
    routes_safeguards,
)
_SUBJECTS += (routes_namespaces, routes_operations, routes_roles, routes_discovery, routes_reviews)
_SUBJECTS += (routes_subresources, routes_objects, routes_prometheus, routes_control)
ROUTES: tuple[Route, ...] = tuple(route for one in _SUBJECTS for route in one.ROUTES)
_PREFIXES = {
    "/entra": "entra",
    "/graph": "graph",
    "/prometheus": "prometheus",
    "/kubernetes": "kubernetes",
    **dict.fromkeys(routes_discovery.PROBES, "kubernetes"),
    "/_sandbox": "control",
}
_HOST = re.compile(r"[\w.-]+(:\d+)?", re.ASCII)
_WRITES = ("PUT", "POST", "PATCH", "DELETE")
_SECRET_QUERY = re.compile(r"(?<![\w$])([tcsh])=[^&]*")
# passwords in clusters' profiles and configurations, and what a Kubernetes Secret holds
_SECRETS = {"secret", "clientsecret", "serverappsecret", "adminpassword", "password", "token"}
_SECRETS |= {"data", "stringdata"}
_CODES = {429: "TooManyRequests", 503: "ServiceUnavailable", 504: "GatewayTimeout"}
_CODES |= {403: "AuthorizationFailed", 404: "ResourceNotFound", 409: "Conflict"}
_CODES |= {412: "PreconditionFailed"}
_PAUSE = 0.15  # seconds between looks for what a stream has to send
ABORT = "mnslib.abort"  # in a scope's extensions: what ends the connection at once
_log = logging.getLogger("mnslib.sandbox")


class Sandbox:
    """Handles one request after the other on one state."""

    def __init__(self, state: State, runtime: Runtime | None = None) -> None:
        self.state, self.runtime = state, runtime or Runtime(state)
        self.last_request = time.monotonic()
        self.is_closing = False  # then what streams comes to its end
        self._verifier = Verifier(state)
        self._routes = [(route, route.pattern()) for route in ROUTES]
        self._by_method: dict[tuple[str, str], list[tuple[Route, re.Pattern[str]]]] = {}
        for route, pattern in self._routes:
            self._by_method.setdefault((route.surface, route.method), []).append((route, pattern))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: faults first, then the answer, which a fault may still lose."""
        request = Request(scope, receive)
        try:
            call = _call(self, request, await request.body())
        except ClientDisconnect:
            return
        surface = _surface(call.path)
        call.effect = self._effect(call, surface)
        if "slow" in call.effect:
            await asyncio.sleep(call.effect["slow"])
        answer = None
        if "hang" in call.effect:
            await _hang(request, call.effect["hang"])
        elif call.effect.get("drop") != "before":
            answer = self._answer(call, surface)
        self.last_request = time.monotonic()
        if surface != "control":
            self.runtime.requests.append(_logged(call, surface, answer.status if answer else None))
        if answer is None or "drop" in call.effect:
            await _drop(request)
        elif answer.stream is not None:
            await self._stream(answer.stream, request, send)
        else:
            await _response(call, surface, answer)(scope, receive, send)

    async def _stream(self, parts: Iterator[str], request: Request, send: Send) -> None:
        """Send the parts of an answer as they come, until they end or the client has gone.

        Between them it drives what is due, as a request does.
        """
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.ensure_future(request.receive())
        try:
            for part in parts:
                if part:
                    body = {"type": "http.response.body", "body": part.encode()}
                    await send(body | {"more_body": True})
                await asyncio.wait([gone], timeout=_PAUSE)
                if gone.done() or self.is_closing:
                    break
                self.last_request = time.monotonic()
                self._settle()
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})

    def _settle(self) -> None:
        completion.settle(self.state)
        controllers.settle(self.state)

    def _effect(self, call: Call, surface: str) -> Json:
        faults = self.runtime.faults
        if surface == "control" or faults.is_empty:
            return {}
        bearer, facts = _bearer(call), {"surface": surface, "method": call.method}
        facts["identity"] = ""
        with suppress(Refusal):  # whom it refuses, it refuses again when no fault does
            facts["identity"] = self._verifier.identity(bearer, surface, call) or ""
        effect = faults.effect_on(facts, call.path)
        if "token" in effect:
            faults.expire(bearer)
        return effect

    def _answer(self, call: Call, surface: str) -> Answer | None:
        """Return the answer; what no rule foresees becomes a 500 in the surface's form.

        None if nobody is there to answer.
        """
        try:
            if "status" in call.effect:
                raise _scripted(call.effect, surface)
            if "body" in call.effect:
                return Answer(body=_scripted_body(call))
            if "inflated" in call.effect:
                return Answer(headers={"content-encoding": "gzip"})
            return self.handle(call, surface)
        except Rollback as ended:
            return ended.answer
        except Hangup:
            return None
        except Exception:
            _log.exception("%s %s", call.method, call.path)
            text = "The sandbox failed; see its log."
            return surface_error(surface, 500, "InternalServerError", text).answer

    def handle(self, call: Call, surface: str) -> Answer:
        """Return the answer to a call.

        Raises:
            Rollback: a refusal, or what a dry run would answer.
        """
        self._settle()
        route = self._match(call, surface)
        if not (route.open if route else surface == "entra"):
            call.identity = self._authenticate(call, surface)
        route = route or self._no_route(call, surface)
        if surface == "arm":
            call.api_version = _api_version(call, route)
            self.runtime.throttle.draw(call, route)
        access.check(call, route)
        if call.method == "GET":
            return route.handler(call)
        with self.state.transaction():
            answer = route.handler(call)
        controllers.settle(self.state)
        return answer

    def _authenticate(self, call: Call, surface: str) -> str:
        bearer = _bearer(call)
        expired = self.runtime.faults.is_expired(bearer)
        if surface == "control":
            if hmac.compare_digest(bearer.encode(), self.state.meta("control_token").encode()):
                return "control"
        elif not expired and (found := self._verifier.identity(bearer, surface, call)):
            return found
        code = "ExpiredAuthenticationToken" if expired else "InvalidAuthenticationToken"
        code = code if bearer else "AuthenticationFailed"
        text = "The access token is invalid, expired or meant for another audience."
        text = text if bearer else "Authentication failed. The 'Authorization' header is missing."
        refusal = surface_error(surface, 401, code, text)
        challenge = f'Bearer authorization_uri="{call.origin}/entra/{self.state.meta("tenant_id")}"'
        headers = {"WWW-Authenticate": challenge} | dict(refusal.answer.headers)
        raise Refusal(Answer(status=401, body=refusal.answer.body, headers=headers))

    def _match(self, call: Call, surface: str) -> Route | None:
        for route, pattern in self._by_method.get((surface, call.method), ()):
            if match := pattern.fullmatch(call.path):
                call.params = match.groupdict()
                return route
        if surface == "kubernetes":  # whose cluster it is counts for the sign-in
            names = ("subscription", "group", "cluster")
            call.params = dict(zip(names, call.path.split("/")[2:5], strict=False))
        return None

    def _no_route(self, call: Call, surface: str) -> NoReturn:
        if surface == "kubernetes" and "cluster" in call.params:
            access.check_kubernetes(call)
        if any(r.surface == surface and p.fullmatch(call.path) for r, p in self._routes):
            text = f"The requested resource does not support http method '{call.method}'."
            raise surface_error(surface, 405, "MethodNotAllowed", text)
        text = f"No route of the sandbox registered for path '{call.path}'."
        raise surface_error(surface, 404, "NotFound", text)


def _api_version(call: Call, route: Route) -> str:
    """Return the request's api-version, which must be one that the route knows.

    Raises:
        Refusal: 400.
    """
    version = call.query.get("api-version", "").lower()
    if not version:
        text = "The api-version query parameter (?api-version=) is required for all requests."
        raise arm_error(400, "MissingApiVersionParameter", text)
    if version not in route.api_versions:
        known = "', '".join(sorted(route.api_versions))
        text = f"The api-version '{version}' is invalid. The supported versions are '{known}'."
        raise arm_error(400, "InvalidApiVersionParameter", text)
    return version


def _bearer(call: Call) -> str:
    scheme, _, bearer = call.headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else ""


def _scripted(effect: Json, surface: str) -> Refusal:
    status = effect["status"]
    default = "BadRequest" if status < 500 else "InternalServerError"
    code = effect.get("code", _CODES.get(status, default))
    text = effect.get("message", "The request failed for a moment. Please try again.")
    answer = surface_error(surface, status, code, text).answer
    if "additional_info" in effect and surface == "arm":
        answer.body["error"]["additionalInfo"] = effect["additional_info"]
    wait = effect.get("retry_after")
    headers = dict(answer.headers) | ({} if wait is None else {"Retry-After": str(wait)})
    return Refusal(Answer(status=status, body=answer.body, headers=headers))


def _scripted_body(call: Call) -> Any:
    """Return the body that a fault tells; `{next}` in it is a page not yet asked for."""
    kept, _, number = call.raw_query.partition("&%24skiptoken=")
    following = f"{call.origin}{quote(call.path)}?{kept}&%24skiptoken={int(number or 0) + 1}"
    return json.loads(json.dumps(call.effect["body"]).replace("{next}", following))


async def _hang(request: Request, seconds: float) -> None:
    """Wait without an answer, until then or until the client has gone."""
    with suppress(TimeoutError):
        await asyncio.wait_for(request.receive(), seconds)


async def _drop(request: Request) -> None:
    abort = request.scope.get("extensions", {}).get(ABORT)
    if abort is None:
        raise ConnectionResetError("a scripted fault dropped the connection")
    abort()
    await request.receive()  # that it is gone; before, the server would still answer


def _surface(path: str) -> str:
    for prefix, surface in _PREFIXES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return surface
    return "arm"


def _call(sandbox: Sandbox, request: Request, body: bytes) -> Call:
    scheme, host = request.url.scheme, request.headers.get("host", "")
    if not _HOST.fullmatch(host):  # with a path in it, it would name another surface's audience
        host = "127.0.0.1:{}".format((request.scope.get("server") or ("", ""))[1])
    path = str(request.scope["path"])  # decoded once, as it must be
    return Call(
        state=sandbox.state,
        runtime=sandbox.runtime,
        method=request.method,
        origin=f"{scheme}://{host}",
        path=path.rstrip("/") or "/",
        raw_query=request.url.query,
        query=dict(request.query_params),
        headers=dict(request.headers),
        body=body,
    )


def _logged(call: Call, surface: str, status: int | None) -> Json:
    """Return the log's entry: no header, form, signature or secret; a status of None: no answer."""
    entry: Json = {
        "time": utc_text(call.state.now()),
        "surface": surface,
        "method": call.method,
        "path": call.path,
        "query": _SECRET_QUERY.sub(r"\1=...", call.raw_query),
        "identity": call.identity,
        "status": status,
    }
    if call.effect:
        entry["fault"] = call.effect
    if surface == "kubernetes" and "/secrets" in call.path:  # in whatever form it comes
        entry["body"] = "..." if call.body else None
    elif call.method in _WRITES and surface in ("arm", "kubernetes"):
        entry["body"] = _readable(call)
    return entry


def _readable(call: Call) -> Any:
    try:
        return call.json(_without_secrets)
    except ValueError:
        return f"({len(call.body)} bytes that are not JSON)"


def _without_secrets(members: Json) -> Json:
    """Return an object of a body as the log may show it."""
    return {key: "..." if key.lower() in _SECRETS else value for key, value in members.items()}


def _response(call: Call, surface: str, answer: Answer) -> Response:
    headers = {**_common_headers(call, surface), **answer.headers}
    if "content-encoding" in headers:  # spaces, which are a thousandth when they are packed
        headers["content-type"] = "application/json"
        packed = gzip.compress(b" " * call.effect["inflated"], compresslevel=1)
        return Response(content=packed, headers=headers)
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    if isinstance(answer.body, bytes):
        return Response(content=answer.body, status_code=answer.status, headers=headers)
    content = json.dumps(answer.body, separators=(",", ":"), ensure_ascii=False)
    charset = "" if surface == "kubernetes" else "; charset=utf-8"  # as each of them sends it
    headers.setdefault("content-type", f"application/json{charset}")
    return Response(content=content, status_code=answer.status, headers=headers)


def _common_headers(call: Call, surface: str) -> Mapping[str, str]:
    if surface not in ("arm", "graph"):
        warnings = ", ".join(f"299 - {json.dumps(text)}" for text in call.warnings)
        told = {"warning": warnings} if warnings else {}
        return {"cache-control": "no-cache, private"} | told
    request_id = str(uuid.uuid4())
    correlation = call.headers.get("x-ms-correlation-request-id", request_id)
    return {
        "cache-control": "no-cache",
        "x-ms-request-id": request_id,
        "x-ms-correlation-request-id": correlation,
        **{f"x-ms-ratelimit-remaining-{row}": str(n) for row, n in call.remaining.items()},
    }
