"""Queries against a Prometheus endpoint, managed or one's own. Knows no particular metric.

To a server of one's own nothing of Azure's is sent, and http is allowed; the pipeline is the same
but for the token: errors, retries, waiting after a 429, logging.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
from azure.core.pipeline.policies import HeadersPolicy
from azure.core.pipeline.transport import HttpTransport

from mnslib.azure.pipeline import Rest, build_transport
from mnslib.azure.throttle import NO_LIMITS, Throttle
from mnslib.errors import ArmError, ConfigError, PrometheusError, QueryTooLargeError, cut
from mnslib.packaged import packaged
from mnslib.secrets import hide_secrets
from mnslib.signals import pause

REGIONAL = re.compile(r"query\.[a-z0-9]+\.prometheus\.monitor\.azure\.")
"""Hosts that answer about the resource which a request names, from whatever workspace holds it."""

_OF_THE_QUERY = "PromQL "
"""Begins warnings that tell of a query, not of missing data. Source: Prometheus,
`util/annotations`; storage, remote read and Thanos' stores warn where an answer is partial."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and (unix seconds, value) pairs in order of time.

    Points that are no number are left out: unknown is not zero. Infinite ones are for the reader
    to judge, and to tell.
    """

    labels: Mapping[str, str]
    points: list[tuple[float, float]]


class _Item(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] | None = None


class _Data(msgspec.Struct):
    result: list[_Item]
    kind: str = msgspec.field(name="resultType")


class _Answer(msgspec.Struct):
    status: str
    data: _Data
    warnings: list[str] = []


_DECODER = msgspec.json.Decoder(_Answer)
_DECODER.decode(b'{"status":"","data":{"resultType":"","result":[]}}')
"""Used once: msgspec 0.22 breaks where two threads use a type for the first time at once."""


class PrometheusClient:
    """Asks one endpoint.

    Source: Azure Monitor, query Prometheus metrics by using the API (`/api/v1/query` and
    `query_range`, form POST, role Monitoring Data Reader); Prometheus, HTTP API.
    """

    def __init__(self, rest: Rest, *, endpoint: str, remedy: str, scope: str = "") -> None:
        """Ask nothing yet.

        Args:
            remedy: what to do about a refusal.
            scope: id of the resource that is asked about, where the endpoint wants one.
        """
        self.endpoint = endpoint.rstrip("/")
        self._rest, self._remedy, self._scope = rest, remedy, scope

    def about(self, resource_id: str) -> Self:
        """Return a client that asks about one resource, where the endpoint is a region's.

        A workspace's holds many and is asked as it is. Source: Azure Monitor, resource-scoped
        queries (header `x-ms-azure-scoping`; Reader on the resource is enough).
        """
        if not REGIONAL.match(urlsplit(self.endpoint).hostname or ""):
            return self
        remedy = f"Check that you have the role Reader on {resource_id}."
        return type(self)(self._rest, endpoint=self.endpoint, remedy=remedy, scope=resource_id)

    def query(self, query: str, *, at: datetime) -> list[Series]:
        """Return the series that have a value at one moment, each with one point."""
        return [one for one in self._ask("query", query, "vector", time=at) if one.points]

    def samples(self, query: str, *, at: datetime) -> list[Series]:
        """Return the samples that a range selector holds, which ends at a moment."""
        return self._ask("query", query, "matrix", time=at)

    def query_range(
        self, query: str, *, start: datetime, end: datetime, step_seconds: float
    ) -> list[Series]:
        """Return the series that a query gives over a time range.

        Raises:
            QueryTooLargeError: if it was refused for its size.
            PrometheusError: if it was refused for another reason, nobody answered, or the answer
                lacks what a store of the server did not give.
        """
        step = f"{step_seconds:g}"
        return self._ask("query_range", query, "matrix", start=start, end=end, step=step)

    def _ask(self, what: str, query: str, kind: str, **form: datetime | str) -> list[Series]:
        url, shown = f"{self.endpoint}/api/v1/{what}", cut(query, 120)
        texts = {
            name: value if isinstance(value, str) else f"{value.timestamp():.3f}"
            for name, value in form.items()
        }
        try:
            sent = {"query": query, **texts}
            about = {"headers": {"x-ms-azure-scoping": self._scope}} if self._scope else {}
            answer = _DECODER.decode(self._rest.post_form(url, sent, **about))
            if answer.status != "success" or answer.data.kind != kind:
                raise ValueError(answer.data.kind)
            series = [_series(item, kind) for item in answer.data.result]
        except ArmError as error:
            signs = packaged("mnslib.azure", "messages")["too_large"].get(error.status)
            is_too_large = signs is not None and re.search(signs, str(error), re.IGNORECASE)
            raise (QueryTooLargeError if is_too_large else PrometheusError)(
                f"Query {shown!r} at {self.endpoint} failed: {error} {self._remedy}"
            ) from error
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise PrometheusError(
                f"{self.endpoint} did not answer query {shown!r} with a {kind} of numbers;"
                " check that `prometheus_endpoint` is a Prometheus query endpoint."
            ) from error
        if missing := [text for text in answer.warnings if not text.startswith(_OF_THE_QUERY)]:
            raise PrometheusError(
                f"The answer of {self.endpoint} to query {shown!r} may not be whole:"
                f" {cut(hide_secrets('; '.join(missing)))}"
            )
        return series


def _series(item: _Item, kind: str) -> Series:
    pairs = item.values if kind == "matrix" else item.value and [item.value]
    if pairs is None:
        raise ValueError("without values")
    points = [(moment, float(value)) for moment, value in pairs]
    return Series(item.metric, [point for point in points if not math.isnan(point[1])])


_TOKEN = re.compile(r"[\x21-\x7e]+")


def plain_prometheus(
    endpoint: str,
    *,
    token: str = "",
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], bool | None] = pause,
    transport: HttpTransport[Any, Any] | None = None,
) -> PrometheusClient:
    """Return a client of one's own server; asks nothing yet.

    Args:
        endpoint: the address that `/api/v1` follows on; http is allowed here alone.
        token: sent as bearer token; empty for none.
        clock: seconds that never go back.
        transport: another way to send, for tests.

    Raises:
        ConfigError: if the address is none, or a token would travel unencrypted.
    """
    is_loopback = _check(endpoint, token=token)
    rest = Rest(
        transport or build_transport(is_loopback=is_loopback),  # it follows no redirect
        sign=HeadersPolicy({"Authorization": f"Bearer {token}"} if token else {}),
        throttle=Throttle(NO_LIMITS, clock=clock, sleep=sleep),
        clock=clock,
        sleep=sleep,
    )
    return PrometheusClient(
        rest,
        endpoint=endpoint,
        remedy="Check the parameter prometheus_endpoint; a server that asks for a token gets the"
        " one in the environment variable that prometheus_token_env names.",
    )


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
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host.lower() == "localhost"
    if token and parts.scheme == "http" and not is_loopback:
        raise ConfigError(
            f"prometheus_endpoint is {cut(endpoint, 120)!r}: the token would travel unencrypted. "
            "Use https, or leave prometheus_token_env empty."
        )
    if token and ("://" in token or not _TOKEN.fullmatch(token)):  # nor is it a webhook
        raise ConfigError(
            "The variable that prometheus_token_env names holds what cannot be a token: it is "
            "an address, or has spaces, line breaks or signs outside ASCII."
        )
    return is_loopback
