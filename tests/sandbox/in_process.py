"""The sandbox without a server: calls that its application handles, and a clock in the hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from mnslib.sandbox.app import Sandbox
from mnslib.sandbox.state import State
from mnslib.sandbox.tokens import sign
from mnslib.sandbox.wire import Answer, Call, Rollback
from tests.sandbox.client import AKS_SERVER_ID

ORIGIN = "https://127.0.0.1:1"
AUDIENCES = {"arm": ORIGIN, "kubernetes": AKS_SERVER_ID}
running = cache(Sandbox)


class Clock:
    """A clock in the hand."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@cache
def bearer(state: State, identity: str, surface: str) -> str:
    if surface == "control":
        return str(state.meta("control_token"))
    person = state.meta("identities")[identity]["object_id"]
    audience = AUDIENCES[surface]
    return sign(state, {"aud": audience, "tid": state.meta("tenant_id"), "oid": person})


def send(
    state: State,
    method: str,
    path: str,
    body: Any = None,
    *,
    query: str = "",
    identity: str = "admin",
    surface: str = "arm",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Handle a call in process; `path` may be a whole URL that an answer gave.

    A body of bytes is sent as it is, another one as JSON.
    """
    if not isinstance(body, bytes):
        body = json.dumps(body).encode() if body is not None else b""
    path, _, given = path.removeprefix(ORIGIN).partition("?")
    query = query or given or "api-version=2026-08-01"
    named = {name.lower(): value for name, value in (headers or {}).items()}
    call = Call(
        state=state,
        runtime=running(state).runtime,
        method=method,
        origin=ORIGIN,
        path=path,
        raw_query=query,
        query=dict(pair.split("=", 1) for pair in query.split("&")),
        headers={"authorization": f"Bearer {bearer(state, identity, surface)}"} | named,
        body=body,
    )
    try:
        return running(state).handle(call, surface)
    except Rollback as refused:
        return refused.answer
