"""A fake Azure at the transport seam: real requests, answers from a script, no network."""

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from mnslib.azure.client import AzureClient
from mnslib.azure.clouds import CLOUDS
from mnslib.resource_ids import ClusterId

TOKEN = "eyJhbGciOiJub25lIn0.c2VjcmV0LXRva2Vu"


class Clock:
    """Time that passes only when somebody sleeps; sleepers in other threads sleep at once."""

    def __init__(self):
        self.now = 1000.0
        self.sleeps = []
        self._lock = threading.Lock()

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        wake = self.now + seconds
        with self._lock:
            self.sleeps.append(seconds)
            self.now = max(self.now, wake)


@dataclass
class FakeCredential:
    """Counts sign-ins; each token is another one."""

    error: Exception | None = None
    lifetime: float = 1e12
    calls: list = field(default_factory=list)

    def get_token(self, *scopes, claims=None, **options):
        self.calls.append((scopes[0], claims))
        if self.error:
            raise self.error
        return AccessToken(f"{TOKEN}-{len(self.calls)}", int(self.lifetime))


class FakeAzure(BaseAdapter):
    """Answers requests from a queue, the last answer again and again; an exception drops one."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.received = []
        self._script = deque()
        self._lock = threading.Lock()

    def answers(self, *script):
        self._script.extend(script)

    def send(self, request, stream=False, timeout=None, verify=True, cert=None, proxies=None):
        with self._lock:
            seen = SimpleNamespace(
                method=request.method,
                url=request.url,
                path=request.path_url.split("?")[0],
                headers=dict(request.headers),
                body=request.body,
                at=self.clock.now,
            )
            self.received.append(seen)
            step = self._script.popleft() if len(self._script) > 1 else self._script[0]
        if callable(step):
            step = step(seen)
        if isinstance(step, Exception):
            raise step
        return _response(request, **step)

    def close(self):
        pass


def _response(request, *, status, body=None, headers=None):
    text = body if isinstance(body, str) else json.dumps(body) if body is not None else ""
    answer = requests.Response()
    answer.status_code = status
    answer.headers.update({"Content-Type": "application/json", **(headers or {})})
    answer.raw = HTTPResponse(BytesIO(text.encode()), preload_content=False, status=status)
    answer.url, answer.request, answer.reason = request.url, request, ""
    return answer


def reply(status, body=None, **headers):
    """An answer for the script; header names in snake_case."""
    return {
        "status": status,
        "body": body,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
    }


def arm_error(status, code, message="", **headers):
    return reply(status, {"error": {"code": code, "message": message}}, **headers)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def azure(clock):
    return FakeAzure(clock)


@pytest.fixture
def credential():
    return FakeCredential()


@pytest.fixture
def make_client(azure, clock, credential):
    def make(**options):
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", azure)
        options = {"clock": clock, "sleep": clock.sleep} | options
        return AzureClient(
            options.pop("cloud", CLOUDS["public"]),
            options.pop("credential", credential),
            transport=RequestsTransport(session=session),
            **options,
        )

    return make


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture
def cluster():
    return ClusterId("sub-1", "rg-1", "aks-1")


@pytest.fixture
def wire():
    """Builders of answers: `wire.reply`, `wire.error`, `wire.namespace`, `wire.cluster`."""
    return SimpleNamespace(
        reply=reply, error=arm_error, namespace=wire_namespace, cluster=wire_cluster, token=TOKEN
    )


def wire_namespace(name="payments", *, etag="etag-1", **properties):
    return {
        "id": "/subscriptions/SUB-1/resourcegroups/rg-1/providers/Microsoft.ContainerService"
        f"/managedClusters/aks-1/managedNamespaces/{name}",
        "name": name,
        "eTag": etag,
        "location": "westeurope",
        "properties": {"provisioningState": "Succeeded", **properties},
    }


def wire_cluster(name="aks-1", **properties):
    return {
        "id": "/subscriptions/sub-1/resourcegroups/rg-1/providers/Microsoft.ContainerService"
        f"/managedClusters/{name}",
        "name": name,
        "location": "westeurope",
        "properties": {
            "currentKubernetesVersion": "1.32.7",
            "provisioningState": "Succeeded",
            "powerState": {"code": "Running"},
            **properties,
        },
    }
