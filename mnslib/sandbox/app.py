"""The ASGI application: finds the route, checks token and api-version, answers in its form."""

from __future__ import annotations

import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from mnslib.sandbox import (
    completion,
    routes_arm,
    routes_clusters,
    routes_control,
    routes_entra,
    routes_graph,
    routes_kube,
    routes_operations,
    routes_prometheus,
    routes_roles,
    routes_subscriptions,
)
from mnslib.sandbox.state import State, utc_text
from mnslib.sandbox.wire import Answer, Call, Json, Refusal, Route, arm_error, surface_error

ROUTES: tuple[Route, ...] = (
    *routes_entra.ROUTES,
    *routes_graph.ROUTES,
    *routes_subscriptions.ROUTES,
    *routes_clusters.ROUTES,
    *routes_arm.ROUTES,
    *routes_operations.ROUTES,
    *routes_roles.ROUTES,
    *routes_kube.ROUTES,
    *routes_prometheus.ROUTES,
    *routes_control.ROUTES,
)
_PREFIXES = {
    "/entra": "entra",
    "/graph": "graph",
    "/prometheus": "prometheus",
    "/kubernetes": "kubernetes",
    "/_sandbox": "control",
}
_WRITES = ("PUT", "POST", "PATCH", "DELETE")
_SECRET_QUERY = re.compile(r"(?<![\w$])([tcsh])=[^&]*")
_log = logging.getLogger("mnslib.sandbox")

# Source: exchanges recorded 2025-11-05; constant for now.
_REMAINING = {
    "GET": {"subscription-reads": "1099", "subscription-global-reads": "16499"},
    "PUT": {"subscription-writes": "799", "subscription-global-writes": "11999"},
    "DELETE": {"subscription-deletes": "799", "subscription-global-deletes": "11999"},
}


class Sandbox:
    """Handles one request after the other on one state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.last_request = time.monotonic()
        self._verifier = routes_entra.Verifier(state)
        self._routes = [(route, route.pattern()) for route in ROUTES]

    async def answer(self, request: Request) -> Response:
        """Answer one request; what no rule foresees becomes a 500 in the surface's form."""
        body = await request.body()
        call = _call(self.state, request, body)
        surface = _surface(call.path)
        try:
            answer = self.handle(call, surface)
        except Refusal as refusal:
            answer = refusal.answer
        except Exception:
            _log.exception("%s %s", call.method, call.path)
            text = "The sandbox failed; see its log."
            answer = surface_error(surface, 500, "InternalServerError", text).answer
        self.last_request = time.monotonic()
        if surface != "control":
            self.state.requests.append(_logged(call, surface, answer))
        return _response(call, surface, answer)

    def handle(self, call: Call, surface: str) -> Answer:
        """Return the answer to a call.

        Raises:
            Refusal: whatever refuses it.
        """
        completion.settle(self.state)
        route = self._match(call, surface)
        if not (route.open if route else surface == "entra"):
            call.identity = self._authenticate(call, surface)
        route = route or self._no_route(call, surface)
        if surface == "arm":
            call.api_version = _api_version(call, route)
        if call.method == "GET":
            return route.handler(call)
        with self.state.transaction():
            return route.handler(call)

    def _authenticate(self, call: Call, surface: str) -> str:
        scheme, _, bearer = call.headers.get("authorization", "").partition(" ")
        bearer = bearer if scheme.lower() == "bearer" else ""
        if surface == "control":
            if hmac.compare_digest(bearer.encode(), self.state.meta("control_token").encode()):
                return "control"
        elif bearer and (found := self._verifier.identity(bearer, surface, call.origin)):
            return found
        code = "InvalidAuthenticationToken" if bearer else "AuthenticationFailed"
        text = "The access token is invalid, expired or meant for another audience."
        text = text if bearer else "Authentication failed. The 'Authorization' header is missing."
        refusal = surface_error(surface, 401, code, text)
        challenge = f'Bearer authorization_uri="{call.origin}/entra/{self.state.meta("tenant_id")}"'
        headers = {"WWW-Authenticate": challenge} | dict(refusal.answer.headers)
        raise Refusal(Answer(status=401, body=refusal.answer.body, headers=headers))

    def _match(self, call: Call, surface: str) -> Route | None:
        for route, pattern in self._routes:
            if (route.surface, route.method) != (surface, call.method):
                continue
            if match := pattern.fullmatch(call.path):
                call.params = match.groupdict()
                return route
        return None

    def _no_route(self, call: Call, surface: str) -> NoReturn:
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


def _surface(path: str) -> str:
    for prefix, surface in _PREFIXES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return surface
    return "arm"


def _call(state: State, request: Request, body: bytes) -> Call:
    scheme, host = request.url.scheme, request.headers.get("host", request.url.netloc)
    path = unquote(request.url.path)
    return Call(
        state=state,
        method=request.method,
        origin=f"{scheme}://{host}",
        path=path.rstrip("/") or "/",
        raw_query=request.url.query,
        query=dict(request.query_params),
        headers=dict(request.headers),
        body=body,
    )


def _logged(call: Call, surface: str, answer: Answer) -> Json:
    """Return the log's entry: no header, no form, no signature."""
    entry: Json = {
        "time": utc_text(call.state.now()),
        "surface": surface,
        "method": call.method,
        "path": call.path,
        "query": _SECRET_QUERY.sub(r"\1=...", call.raw_query),
        "identity": call.identity,
        "status": answer.status,
    }
    if call.method in _WRITES and surface in ("arm", "kubernetes"):
        entry["body"] = _readable(call)
    return entry


def _readable(call: Call) -> Any:
    try:
        return call.json()
    except ValueError:
        return f"({len(call.body)} bytes that are not JSON)"


def _response(call: Call, surface: str, answer: Answer) -> Response:
    headers = {**_common_headers(call, surface), **answer.headers}
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    content = json.dumps(answer.body, separators=(",", ":"), ensure_ascii=False)
    charset = "" if surface == "kubernetes" else "; charset=utf-8"  # as each of them sends it
    headers.setdefault("content-type", f"application/json{charset}")
    return Response(content=content, status_code=answer.status, headers=headers)


def _common_headers(call: Call, surface: str) -> Mapping[str, str]:
    if surface not in ("arm", "graph"):
        return {"cache-control": "no-cache, private"}
    request_id = str(uuid.uuid4())
    correlation = call.headers.get("x-ms-correlation-request-id", request_id)
    kind = {"PATCH": "PUT", "POST": "PUT"}.get(call.method, call.method)
    remaining = _REMAINING.get(kind, {}) if surface == "arm" else {}
    return {
        "cache-control": "no-cache",
        "x-ms-request-id": request_id,
        "x-ms-correlation-request-id": correlation,
        **{f"x-ms-ratelimit-remaining-{name}": value for name, value in remaining.items()},
    }


def create_app(state: State) -> Starlette:
    """Return the application over a prepared state; `app.state.sandbox` is the `Sandbox`."""
    app = Starlette()
    sandbox = Sandbox(state)
    methods = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]
    app.add_route("/{path:path}", sandbox.answer, methods=methods)
    app.state.sandbox = sandbox
    return app
