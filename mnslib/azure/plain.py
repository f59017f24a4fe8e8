"""The door to a Prometheus server of one's own, by http or https: nothing of Azure's is sent there.

The same pipeline as for Azure, without its tokens: errors, retries, waiting after a 429, logging.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mnslib.azure.client import DEFAULT_WORKERS
from mnslib.azure.pipeline import (
    AnyPolicy,
    AnyRequest,
    AnyResponse,
    Rest,
    Retries,
    build_pipeline,
    build_transport,
)
from mnslib.azure.prometheus import PrometheusClient
from mnslib.azure.throttle import NO_LIMITS, Throttle
from mnslib.errors import ConfigError, cut

if TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpTransport

_TOKEN = re.compile(r"[\x21-\x7e]+")
_REMEDY = (
    "Check the parameter prometheus_endpoint; a server that asks for a token gets the one in the"
    " environment variable that prometheus_token_env names."
)


class _BearerPolicy(AnyPolicy):
    """Adds the one token that was given for this server; the transport follows no redirect."""

    def __init__(self, token: str) -> None:
        self._header = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, request: AnyRequest) -> AnyResponse:
        """Return the answer to the request."""
        request.http_request.headers.update(self._header)
        return self.next.send(request)


def plain_prometheus(
    endpoint: str,
    *,
    token: str = "",
    retries: Retries | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    transport: HttpTransport[Any, Any] | None = None,
) -> PrometheusClient:
    """Return a client of one's own server; asks nothing yet.

    Args:
        endpoint: the address that `/api/v1` follows on; http is allowed here alone.
        token: sent as bearer token; empty for none.
        retries: bounds of repeating; None for our defaults.
        clock: seconds that never go back.
        transport: another way to send, for tests.

    Raises:
        ConfigError: if the address is none, or a token would travel unencrypted.
    """
    is_loopback = _check(endpoint, token=token)
    retries = retries or Retries()
    throttle = Throttle(
        NO_LIMITS, clock=clock, sleep=sleep, longest_wait_seconds=retries.longest_wait_seconds
    )
    pipeline = build_pipeline(
        transport or build_transport(connections=DEFAULT_WORKERS, is_loopback=is_loopback),
        credential_name=None,
        sign=_BearerPolicy(token),
        throttle=throttle,
        retries=retries,
        clock=clock,
        sleep=sleep,
    )
    return PrometheusClient(Rest(pipeline), endpoint=endpoint, remedy=_REMEDY)


def _check(endpoint: str, *, token: str) -> bool:
    """Return whether the address is on this machine."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    is_plain_address = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not host or not is_plain_address:
        raise ConfigError(
            f"prometheus_endpoint is {cut(endpoint, 120)!r}: write the address of the server, "
            "http(s)://<host>:<port>, without user, password or query."
        )
    is_loopback = _is_loopback(host)
    if token and parts.scheme == "http" and not is_loopback:
        raise ConfigError(
            f"prometheus_endpoint is {cut(endpoint, 120)!r}: the token would travel unencrypted. "
            "Use https, or leave prometheus_token_env empty."
        )
    if token and not _TOKEN.fullmatch(token):
        raise ConfigError(
            "The variable that prometheus_token_env names holds what cannot be a token: it has "
            "spaces, line breaks or signs outside ASCII."
        )
    return is_loopback


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
