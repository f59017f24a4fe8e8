"""A scripted API server over TLS on loopback, for what the sandbox does not answer by itself."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme

from mnslib.kube.client import KubeClient


def make_access(server: str, ca_pem: str) -> str:
    """Return a kubeconfig as ARM gives it, reduced to what is read of it."""
    data = base64.b64encode(ca_pem.encode()).decode()
    cluster = {"server": server, "certificate-authority-data": data}
    return json.dumps({"kind": "Config", "clusters": [{"name": "aks-1", "cluster": cluster}]})


@dataclass
class ApiServer:
    """Answers with `answers` in turn; remembers paths and tokens."""

    url: str
    ca_pem: str
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    withheld_bytes: int = 0  # the next answer breaks off before so many bytes

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, body, named))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def api_server(authority: trustme.CA) -> Iterator[ApiServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            described.paths.append(self.path)
            described.tokens.append(self.headers.get("Authorization", ""))
            status, body, headers = described.answers.pop(0)
            if status == 0:  # drop the connection
                self.close_connection = True
                return
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data) + described.withheld_bytes))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = described.withheld_bytes > 0
            described.withheld_bytes = 0

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    described = ApiServer(
        url=f"https://127.0.0.1:{server.server_port}",
        ca_pem=authority.cert_pem.bytes().decode(),
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield described
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def make_client(api_server: ApiServer, waits: list[float]) -> Iterator[Callable[..., KubeClient]]:
    made: list[KubeClient] = []

    def make(**more: Any) -> KubeClient:
        own = {"server": api_server.url, "ca_pem": api_server.ca_pem}
        access = {name: more.pop(name, value) for name, value in own.items()}
        values: dict[str, Any] = {
            "token": lambda: "t0ken",
            "name": "aks-1",
            "sleep": waits.append,
            **more,
        }
        made.append(KubeClient(make_access(**access), **values))
        return made[-1]

    yield make
    for client in made:
        client.close()
