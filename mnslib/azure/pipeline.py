"""The one way a request goes out: our own policies, instead of the SDKs' default ones.

The default pipeline registers resource providers unasked and retries 429 by itself. Ours, from the
outside in: error mapping, JSON, hooks, token, retry (with throttle and log), transport. Every SDK
client and every small REST call goes through it. Knows nothing of particular resources.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import AzureError, DecodeError, IncompleteReadError, ServiceRequestError
from azure.core.pipeline import Pipeline, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    ContentDecodePolicy,
    CustomHookPolicy,
    HTTPPolicy,
    RequestIdPolicy,
    SansIOHTTPPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.core.rest import HttpRequest
from requests.adapters import HTTPAdapter

from mnslib import __version__
from mnslib.azure import messages
from mnslib.azure.credentials import Tokens
from mnslib.azure.messages import answer_error, path_of, read_service_error, unreachable_error
from mnslib.azure.throttle import BucketKey, Throttle, Ticket, is_over, wait_seconds
from mnslib.errors import LARGEST_ANSWER_BYTES, ArmError

LOGGER = logging.getLogger("mnslib.azure")

CONNECT_TIMEOUT_SECONDS = 20
READ_TIMEOUT_SECONDS = 120
"""Our choice; azure-core waits 300 s for either, longer than a person believes in."""

BLOCK_BYTES = 2**18
"""Read at once of a body; azure-core's 4 KiB make a list's page of a hundred pieces."""

MOST_PAGES = 300
"""Of one list; our choice: a subscription has at most 5,000 clusters and 4,000 role assignments."""

CONNECTIONS = 32
"""Kept open, one for each thread that asks; our choice, above all threads that a run has."""

_UNANSWERED = "mnslib_unanswered"
_HOST = re.compile(r"[a-z0-9.:\[\]-]+")
"""With any other sign, such as a backslash, what we check and what is connected to may differ."""

_URL = re.compile(r"https?://[^\s/\[\]?#]+/\S*")
_CLAIMS = re.compile(r'\bclaims="([^"]+)"')

# azure-core types a policy by the request and response classes of one SDK generation; ours serve
# both, as the two SDKs that we use are of different ones.
AnyRequest = PipelineRequest[Any]
AnyResponse = PipelineResponse[Any, Any]
AnyPolicy = HTTPPolicy[Any, Any]


class ErrorPolicy(AnyPolicy):
    """Turns answers of 400 or more, and no answer at all, into the errors of mnslib."""

    def send(self, request: AnyRequest) -> AnyResponse:
        """Return the answer of a request that succeeded; raise for any other."""
        sent = request.http_request
        try:
            response = self.next.send(request)
        except AzureError as error:
            if isinstance(error, DecodeError) and not isinstance(error, IncompleteReadError):
                raise not_json(sent) from error
            raise unreachable_error(
                sent.method, sent.url, error, unanswered=bool(request.context.get(_UNANSWERED))
            ) from error
        answer = response.http_response
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise answer_error(
                sent.method,
                sent.url,
                status=answer.status_code,
                headers=answer.headers,
                body=answer.text(),
                unanswered=bool(request.context.get(_UNANSWERED)),
            )
        kind = answer.headers.get("Content-Type", "")
        if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES or (
            "json" not in kind.lower() and answer.text()
        ):
            raise not_json(sent, status=answer.status_code, kind=kind or "no content type")
        return response


def not_json(sent: Any, *, status: int | None = None, kind: str = "") -> ArmError:
    """Return the error for an answer that is none of the service's."""
    how = f" {status} with {kind}" if status else ""
    return ArmError(
        f"{sent.method} {path_of(sent.url)} was answered{how}, but not in JSON; a proxy may be in"
        " between.",
        status=status,
    )


@dataclass(eq=False, kw_only=True)
class RetryPolicy(AnyPolicy):
    """Sends a request as soon as its buckets allow, and again while what comes of it is transient.

    Transient are 429, 408, 5xx (`messages`) and dropped connections. A sound delay of the server's
    wins; without one the wait doubles, with jitter (`throttle`). A 429 pauses every worker on its
    bucket, not only this one. A wait that is cut short was the last.
    """

    throttle: Throttle
    clock: Callable[[], float]
    sleep: Callable[[float], bool | None]

    def send(self, request: AnyRequest) -> AnyResponse:
        """Return the first answer that is not transient, or the last one."""
        sent = request.http_request
        where = urlsplit(sent.url)
        keys = self.throttle.keys(sent.method, where.path, host=where.netloc)
        attempt, waited = 0, 0.0  # no deadline: a clock that jumps leaves no request untried
        while True:
            attempt += 1
            asked, is_throttled = None, False
            ticket = self.throttle.acquire(keys)
            result = self._attempt(request, keys, ticket)
            if not isinstance(result, AzureError):
                answer = result.http_response
                if not messages.is_repeated(answer.status_code, answer.text):
                    return result
                asked = messages.server_delay_seconds(answer.headers)
                is_throttled = answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
            if is_throttled:  # by ARM's own bucket where its gateway answered, else by AKS's
                from_arm = answer.headers.get("x-ms-failure-cause") == "gateway"
                refused_by = keys[:1] if from_arm else keys
                wait = self.throttle.pause(refused_by, asked, attempt=attempt)
            else:
                wait = wait_seconds(attempt, asked)
                if not isinstance(result, ServiceRequestError):  # that one was never sent
                    request.context[_UNANSWERED] = True
            waited += wait
            if (
                is_over(attempt, wait, waited)
                or (is_throttled and ticket.was_reserved)  # who reserved it waits for others, too
                or (not is_throttled and self.sleep(wait))  # a 429 is waited for at its bucket
            ):
                if isinstance(result, AzureError):
                    raise result
                return result

    def _attempt(
        self, request: AnyRequest, keys: tuple[BucketKey, ...], ticket: Ticket
    ) -> AnyResponse | AzureError:
        """Send it once; its buckets learn of the answer, and the log of no more than its status."""
        sent, started = request.http_request, self.clock()
        status: object = "no answer"
        headers: Mapping[str, str] = {}
        try:
            response = self.next.send(request)
            answer = response.http_response
            status, headers = answer.status_code, answer.headers
            if hasattr(answer, "read"):  # here, so that a body that breaks off is asked for again
                answer.read()
            return response
        except AzureError as error:
            return error
        finally:
            is_refused = status == HTTPStatus.TOO_MANY_REQUESTS
            self.throttle.learn(keys, ticket, headers, is_refused=is_refused)
            spent = (self.clock() - started) * 1000
            LOGGER.debug("%s %s %s %.0f ms", sent.method, path_of(sent.url), status, spent)


class TokenPolicy(AnyPolicy):
    """Adds the token; a refused one is renewed once. No token leaves the endpoint's own hosts."""

    def __init__(self, tokens: Tokens, *, scope: str, endpoint: str) -> None:
        self._tokens, self._scope = tokens, scope
        self._host = urlsplit(endpoint).netloc.lower()

    def send(self, request: AnyRequest) -> AnyResponse:
        """Return the answer to the request, sent with a token."""
        where = urlsplit(request.http_request.url)
        host = where.netloc.lower()
        is_ours = f".{host}".endswith(f".{self._host}") and _HOST.fullmatch(host)
        if where.scheme != "https" or not is_ours:
            raise ArmError(
                f"Refused to send a token to {where.scheme}://{where.netloc}: it is not"
                f" https://{self._host}. Check the cloud, and who answers in its name."
            )
        token = self._tokens.get(self._scope).token
        response = self._send_with(request, token)
        if response.http_response.status_code != HTTPStatus.UNAUTHORIZED:
            return response
        renewed = self._tokens.renew(self._scope, refused=token, claims=_claims(response))
        response = self._send_with(request, renewed.token)
        if response.http_response.status_code == HTTPStatus.UNAUTHORIZED:
            said = read_service_error(response.http_response.text())
            raise self._tokens.refused(where=where.netloc, text=said)
        return response

    def _send_with(self, request: AnyRequest, token: str) -> AnyResponse:
        request.http_request.headers["Authorization"] = f"Bearer {token}"
        return self.next.send(request)


def _claims(response: AnyResponse) -> str | None:
    """Return the claims that a continuous access evaluation challenge asks for."""
    found = _CLAIMS.search(response.http_response.headers.get("WWW-Authenticate", ""))
    if found is None:
        return None
    return base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)).decode()


class Rest:
    """Sends requests that no SDK covers; SDK clients use its `pipeline`.

    Args:
        sign: the policy that adds the token.
    """

    def __init__(
        self,
        transport: HttpTransport[Any, Any],
        *,
        sign: AnyPolicy | SansIOHTTPPolicy[Any, Any],
        throttle: Throttle,
        clock: Callable[[], float],
        sleep: Callable[[float], bool | None],
    ) -> None:
        policies: list[Any] = [  # the outermost first
            ErrorPolicy(),
            RequestIdPolicy(),
            UserAgentPolicy(sdk_moniker=f"mnslib/{__version__}"),
            ContentDecodePolicy(),
            CustomHookPolicy(),
            sign,
            RetryPolicy(throttle=throttle, clock=clock, sleep=sleep),
        ]
        self.pipeline: Pipeline[Any, Any] = Pipeline(transport, policies)

    def get(self, url: str) -> tuple[Any, Any]:
        """Return the answer to a GET, and its JSON, which is None where it is empty.

        Raises:
            ArmError: if it was refused or nobody answered.
        """
        answer = self._send(HttpRequest("GET", url))
        return answer, read_json(answer)

    def post_json(self, url: str, body: Any) -> Any:
        """Return what answers a POST of JSON; for queries, so it may be repeated.

        Raises: as `get`.
        """
        return read_json(self._send(HttpRequest("POST", url, json=body)))

    def post(self, url: str) -> Any:
        """Return the JSON that answers a POST without a body, None where it is empty.

        Raises: as `get`.
        """
        return read_json(self._send(HttpRequest("POST", url)))

    def post_form(
        self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Return what answers a POST of a form; for queries, so it may be repeated."""
        request = HttpRequest("POST", url, data=dict(form), headers=dict(headers or {}))
        content: bytes = self._send(request).content
        return content

    def items(self, url: str) -> Iterator[Any]:
        """Yield the items of a list to its last page, also after an empty one.

        Raises: as `get`.
        """
        what, read = f"{urlsplit(url).netloc} answered the list {path_of(url)}", set[str]()
        while url:
            read.add(url)
            _, page = self.get(url)
            if not isinstance(page, dict) or not isinstance(page.get("value"), list):
                raise ArmError(f"{what} without a list of values.")
            yield from page["value"]
            url = page.get("nextLink") or page.get("@odata.nextLink") or ""
            if not isinstance(url, str) or (url and not _URL.fullmatch(url)):
                raise ArmError(f"{what} with a nextLink that is no address.")
            if url in read or len(read) == MOST_PAGES:
                raise ArmError(f"{what} with pages that do not end.")

    def _send(self, request: HttpRequest) -> Any:
        # streamed: the body is read once, by our retry policy, and not parsed a second time
        return self.pipeline.run(request, stream=True).http_response


def read_json(answer: Any) -> Any:
    """Return an answer's content; None where it is empty.

    Raises:
        ArmError: if it is no JSON.
    """
    try:
        return json.loads(answer.content) if answer.content else None
    except (ValueError, RecursionError) as error:
        raise not_json(answer.request) from error


AS_JSON: Any = {"stream": True, "cls": lambda answer, *_: read_json(answer.http_response)}
"""Options with which a call of the container service's SDK returns the answer's JSON. Its models
take six times as long as all that we do with one, and two threads that use one for the first time
break each other (azure-mgmt-containerservice 41, `Model.__new__`)."""


class _Adapter(HTTPAdapter):
    """Reads no answer beyond `LARGEST_ANSWER_BYTES`, however small it was sent."""

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        resp.stream = partial(_bounded, resp.stream, path_of(req.url))
        return super().build_response(req, resp)


def _bounded(
    stream: Callable[..., Iterator[bytes]], path: str, *args: Any, **options: Any
) -> Iterator[bytes]:
    size = 0
    for part in stream(*args, **options):
        size += len(part)
        if size > LARGEST_ANSWER_BYTES:
            raise ArmError(
                f"The answer to {path} is larger than {LARGEST_ANSWER_BYTES:,} bytes and was not"
                " read to its end; see who answers in the service's name."
            )
        yield part


def build_transport(*, is_loopback: bool, ca_file: str | None = None) -> HttpTransport[Any, Any]:
    """Return a transport with a pool of connections.

    Args:
        is_loopback: whether what is asked is on this machine, which no proxy leads to.
        ca_file: PEM file of the authority to trust; None for the system's own.
    """
    session = requests.Session()
    session.trust_env = not is_loopback
    session.auth = lambda request: request  # nothing of .netrc goes out
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_maxsize=CONNECTIONS))
    transport: HttpTransport[Any, Any] = RequestsTransport(
        session=session,
        connection_verify=ca_file or True,
        connection_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        connection_data_block_size=BLOCK_BYTES,
    )
    return transport
