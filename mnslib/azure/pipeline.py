"""The one way a request goes out: our own policies, instead of the SDKs' default ones.

The default pipeline registers resource providers unasked and retries 429 by itself. Ours, from the
outside in: error mapping, JSON, hooks, retry, token, throttle, log, transport. Every SDK client and
every small REST call goes through the same pipeline. Knows nothing of particular resources.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import (
    AzureError,
    DecodeError,
    IncompleteReadError,
    ServiceRequestError,
)
from azure.core.pipeline import Pipeline, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    ContentDecodePolicy,
    CustomHookPolicy,
    HTTPPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.core.rest import HttpRequest
from requests.adapters import HTTPAdapter

from mnslib import __version__
from mnslib.azure.clouds import Cloud
from mnslib.azure.credentials import Tokens, refused_token
from mnslib.azure.messages import (
    answer_error,
    path_of,
    read_service_error,
    server_delay_seconds,
    unreachable_error,
)
from mnslib.azure.throttle import Throttle
from mnslib.errors import ArmError

LOGGER = logging.getLogger("mnslib.azure")

CONNECT_TIMEOUT_SECONDS = 20
READ_TIMEOUT_SECONDS = 120
"""Our choice; azure-core waits 300 s for either, longer than a person believes in."""

SCOPE_OPTION = "mnslib_scope"
"""Option of a single call: another token scope than ARM's."""

_UNANSWERED = "mnslib_unanswered"
_RESERVED = "mnslib_reserved"
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Worth repeating; all our requests are safe to repeat. Source: azure-core, RetryPolicy."""

_CLAIMS = re.compile(r'\bclaims="([^"]+)"')

# azure-core types a policy by the request and response classes of one SDK generation; ours serve
# both, as the two SDKs that we use are of different ones.
AnyRequest = PipelineRequest[Any]
AnyResponse = PipelineResponse[Any, Any]
AnyPolicy = HTTPPolicy[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """Bounds of repeating one request: attempts, seconds of all waits, seconds of the longest.

    Our choice: throttled calls to AKS earn one token a second, so a minute clears any queue of
    ours, and what lasts five minutes wants a person.
    """

    attempts: int = 6
    total_seconds: float = 300.0
    longest_wait_seconds: float = 120.0
    first_wait_seconds: float = 0.5


class ErrorPolicy(AnyPolicy):
    """Turns answers of 400 or more, and no answer at all, into the errors of mnslib."""

    def __init__(self, credential_name: str | None) -> None:
        """None where no credential of Azure's is used: then 401 is an answer like others."""
        self._credential_name = credential_name

    def send(self, request: AnyRequest) -> AnyResponse:
        """Return the answer of a request that succeeded; raise for any other."""
        sent = request.http_request
        try:
            response = self.next.send(request)
        except AzureError as error:
            if isinstance(error, DecodeError) and not isinstance(error, IncompleteReadError):
                raise ArmError(
                    f"{sent.method} {path_of(sent.url)} was not answered in JSON; a proxy may be"
                    " in between."
                ) from error
            raise unreachable_error(
                sent.method, sent.url, error, unanswered=bool(request.context.get(_UNANSWERED))
            ) from error
        answer = response.http_response
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise self._error(request, answer)
        if answer.status_code >= 300 or not _is_json(answer):
            raise ArmError(
                f"{sent.method} {path_of(sent.url)} was answered {answer.status_code} with"
                f" {answer.headers.get('Content-Type', 'no content type')}, not in JSON; a proxy"
                " may be in between.",
                status=answer.status_code,
            )
        return response

    def _error(self, request: AnyRequest, answer: Any) -> Exception:
        sent = request.http_request
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._credential_name is not None:
            said = read_service_error(answer.text())
            return refused_token(
                self._credential_name,
                where=urlsplit(sent.url).netloc,
                text=f"{said.code} {said.text}".strip(),
            )
        return answer_error(
            sent.method,
            sent.url,
            status=answer.status_code,
            headers=answer.headers,
            body=answer.text(),
            unanswered=bool(request.context.get(_UNANSWERED)),
        )


@dataclass(eq=False, kw_only=True)
class RetryPolicy(AnyPolicy):
    """Repeats what is transient: 429, 408, 5xx and dropped connections, within bounds.

    The server's delay wins; without one the wait doubles, with jitter. A 429 pauses every worker
    on its bucket, not only this one.
    """

    retries: Retries
    throttle: Throttle
    sleep: Callable[[float], None]
    jitter: Callable[[], float]

    def send(self, request: AnyRequest) -> AnyResponse:
        """Return the first answer that is not transient, or the last one."""
        waited = 0.0  # not a deadline: a clock that jumps leaves no request untried
        attempt = 1
        while True:
            try:
                response = self.next.send(request)
                _read(response.http_response)
            except AzureError as error:
                if not isinstance(error, ServiceRequestError):  # that one was never sent
                    request.context[_UNANSWERED] = True
                wait = self._backoff_seconds(attempt)
                if not self._may_wait(wait, attempt=attempt, waited=waited):
                    raise
                self.sleep(wait)
            else:
                answer = response.http_response
                if answer.status_code not in _TRANSIENT:
                    return response
                asked = server_delay_seconds(answer.headers)
                wait = self._backoff_seconds(attempt) if asked is None else asked
                is_throttled = answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
                if is_throttled:
                    self._pause(request, answer, wait)
                else:
                    request.context[_UNANSWERED] = True
                if is_throttled and request.context.get(_RESERVED):
                    return response  # who reserved it waits for others, too
                if not self._may_wait(wait, attempt=attempt, waited=waited):
                    return response
                if not is_throttled:  # a 429 is waited for at its bucket
                    self.sleep(wait)
            attempt, waited = attempt + 1, waited + wait

    def _backoff_seconds(self, attempt: int) -> float:
        doubled = self.retries.first_wait_seconds * 2.0 ** (attempt - 1)
        return min(doubled, self.retries.longest_wait_seconds) * (0.5 + self.jitter() / 2)

    def _may_wait(self, seconds: float, *, attempt: int, waited: float) -> bool:
        return (
            attempt < self.retries.attempts
            and seconds <= self.retries.longest_wait_seconds
            and waited + seconds <= self.retries.total_seconds
        )

    def _pause(self, request: AnyRequest, answer: Any, seconds: float) -> None:
        """Pause the bucket that refused: ARM's own where its gateway answered, else the AKS one."""
        keys = _keys(self.throttle, request)
        from_arm = answer.headers.get("x-ms-failure-cause") == "gateway"
        self.throttle.pause(keys[0] if from_arm else keys[-1], seconds)


class TokenPolicy(AnyPolicy):
    """Adds the token; a refused one is renewed once. No token leaves the cloud's own hosts."""

    def __init__(self, tokens: Tokens, *, cloud: Cloud) -> None:
        self._tokens = tokens
        self._scope = cloud.arm_scope
        self._host = urlsplit(cloud.arm_endpoint).netloc.lower()

    def send(self, request: AnyRequest) -> AnyResponse:
        """Return the answer to the request, sent with a token."""
        scope = self._scope_of(request)
        self._check_address(request.http_request.url, scope=scope)
        token = self._tokens.get(scope).token
        response = self._send_with(request, token)
        if response.http_response.status_code != HTTPStatus.UNAUTHORIZED:
            return response
        _read(response.http_response)
        renewed = self._tokens.renew(scope, refused=token, claims=_claims(response.http_response))
        return self._send_with(request, renewed.token)

    def _send_with(self, request: AnyRequest, token: str) -> AnyResponse:
        request.http_request.headers["Authorization"] = f"Bearer {token}"
        return self.next.send(request)

    def _scope_of(self, request: AnyRequest) -> str:
        given = request.context.options.pop(SCOPE_OPTION, None)  # the transport must not see it
        if given is not None:
            request.context[SCOPE_OPTION] = given
        scope: str = request.context.get(SCOPE_OPTION) or self._scope
        return scope

    def _check_address(self, url: str, *, scope: str) -> None:
        parts = urlsplit(url)
        host = parts.netloc.lower()
        is_ours = host == self._host or host.endswith("." + self._host)
        if parts.scheme != "https" or (scope == self._scope and not is_ours):
            raise ArmError(
                f"Refused to send a token to {parts.scheme}://{parts.netloc}: it is not"
                f" https://{self._host}. Check the cloud, and who answers in its name."
            )


class ThrottlePolicy(AnyPolicy):
    """Waits for the buckets that a request draws from, and lets them learn from the answer."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle

    def send(self, request: AnyRequest) -> AnyResponse:
        """Return the answer to the request, sent once its buckets allow it."""
        keys = _keys(self._throttle, request)
        ticket = self._throttle.acquire(keys)
        request.context[_RESERVED] = ticket.was_reserved
        headers: Mapping[str, str] = {}
        try:
            response = self.next.send(request)
            headers = response.http_response.headers
            return response
        finally:
            self._throttle.learn(keys, ticket, headers)


class LogPolicy(AnyPolicy):
    """Logs method, path, status and milliseconds of each attempt; never more."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def send(self, request: AnyRequest) -> AnyResponse:
        """Return the answer to the request."""
        started = self._clock()
        status: object = "no answer"
        try:
            response = self.next.send(request)
            status = response.http_response.status_code
            return response
        finally:
            sent, spent = request.http_request, (self._clock() - started) * 1000
            LOGGER.debug("%s %s %s %.0f ms", sent.method, path_of(sent.url), status, spent)


class Rest:
    """Sends small requests that no SDK covers; the URL is not touched."""

    def __init__(self, pipeline: Pipeline[Any, Any]) -> None:
        self._pipeline = pipeline

    def get(self, url: str) -> Any:
        """Return the answer to a GET.

        Raises:
            ArmError: if it was refused or nobody answered.
        """
        return self._send(HttpRequest("GET", url), scope=None)

    def post_form(self, url: str, form: Mapping[str, str], *, scope: str | None = None) -> Any:
        """Return the answer to a POST of a form; for queries, so it may be repeated.

        Raises: as `get`.
        """
        return self._send(HttpRequest("POST", url, data=dict(form)), scope=scope)

    def json(self, response: Any) -> Any:
        """Return an answer's content; None where it is empty.

        Raises:
            ArmError: if it is no JSON.
        """
        text = response.text()
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise ArmError(
                f"The answer of {path_of(str(response.request.url))} is no JSON."
            ) from error

    def _send(self, request: HttpRequest, *, scope: str | None) -> Any:
        # streamed: the body is read once, by our retry policy, and not parsed a second time
        options = {"stream": True} | ({} if scope is None else {SCOPE_OPTION: scope})
        return self._pipeline.run(request, **options).http_response


def build_pipeline(
    transport: HttpTransport[Any, Any],
    *,
    credential_name: str | None,
    sign: AnyPolicy,
    throttle: Throttle,
    retries: Retries,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Pipeline[Any, Any]:
    """Return the one pipeline of a client.

    Args:
        credential_name: None where no credential of Azure's is used.
        sign: the policy that adds the token.
    """
    policies: list[Any] = [  # the outermost first
        ErrorPolicy(credential_name),
        RequestIdPolicy(),
        UserAgentPolicy(sdk_moniker=f"mnslib/{__version__}"),
        ContentDecodePolicy(),
        CustomHookPolicy(),
        RetryPolicy(retries=retries, throttle=throttle, sleep=sleep, jitter=random.random),
        sign,
        ThrottlePolicy(throttle),
        LogPolicy(clock),
    ]
    return Pipeline(transport, policies)


def build_transport(
    *, connections: int, is_loopback: bool, ca_file: str | None = None
) -> HttpTransport[Any, Any]:
    """Return a transport whose pool holds a connection for each worker.

    Args:
        is_loopback: whether what is asked is on this machine, which no proxy leads to.
        ca_file: PEM file of the authority to trust; None for the system's own.
    """
    session = requests.Session()
    session.trust_env = not is_loopback
    session.auth = lambda request: request  # nothing of .netrc goes out
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=max(connections, 10), max_retries=0))
    transport: HttpTransport[Any, Any] = RequestsTransport(
        session=session,
        connection_verify=ca_file or True,
        connection_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
    )
    return transport


def _keys(throttle: Throttle, request: AnyRequest) -> Any:
    parts = urlsplit(request.http_request.url)
    return throttle.keys(request.http_request.method, parts.path, host=parts.netloc)


def _read(answer: Any) -> None:
    """Load a streamed body, so that a connection dropped in it is repeated like any other."""
    if hasattr(answer, "read"):
        answer.read()


def _claims(answer: Any) -> str | None:
    """Return the claims that a continuous access evaluation challenge asks for."""
    found = _CLAIMS.search(answer.headers.get("WWW-Authenticate", ""))
    if found is None:
        return None
    return base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)).decode()


def _is_json(answer: Any) -> bool:
    kind = answer.headers.get("Content-Type", "").lower()
    return "json" in kind or not answer.text()
