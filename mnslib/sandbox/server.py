"""Serves the sandbox: keys, TLS, connection file; ends on a signal or when idle."""

from __future__ import annotations

import json
import os
import secrets
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

    from mnslib.sandbox.app import Sandbox
    from mnslib.sandbox.state import State

VERSION = 1
IDLE_CHECK_SECONDS = 1.0


def serve(
    *,
    port: int = 0,
    state: str = ":memory:",
    world: str = "default",
    latency: str = "fast",
    limits: str = "none",
    faults: Path | None = None,
    idle_exit_minutes: float | None = None,
    connection: Path,
    on_ready: Callable[[Mapping[str, Any]], object] = lambda _: None,
) -> None:
    """Serve in the foreground until SIGTERM or SIGINT; write `connection` once ready.

    Args:
        port: 0 takes the port kept beside a file state, or else any free one.
        state: a SQLite file, or `:memory:`.
        world: name or file; seeded only into an empty state.
        latency: `fast`, `documented` or a file.
        limits: token buckets: `none`, `documented` or a file.
        faults: a file of scripted faults.
        idle_exit_minutes: minutes without a request after which it ends; None never.
        connection: the file that tells clients everything; mode 0600.
        on_ready: called with its content once it is written.

    Raises:
        OSError: if the port is taken.
        ValueError: on an unknown world, or a file with a mistake.
    """
    import asyncio

    from mnslib.sandbox.app import Sandbox
    from mnslib.sandbox.faults import check_script
    from mnslib.sandbox.offers import read
    from mnslib.sandbox.runtime import Runtime
    from mnslib.sandbox.throttle import load_limits

    with _only_server(state):
        store = open_state(state, world=world, latency=latency)
        try:
            script = read(faults, check_script) if faults else {}
            runtime = Runtime(store, limits=load_limits(limits), script=script)
            sandbox = Sandbox(store, runtime)
            asyncio.run(_serve(sandbox, port, idle_exit_minutes, connection, on_ready))
        finally:
            store.close()


@contextmanager
def _only_server(state: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    if state == ":memory:":
        yield
        return
    Path(state).parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{state}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OSError(f"{state} is in use by another running sandbox") from None
    try:
        yield
    finally:
        lock.release()


def open_state(path: str, *, world: str, latency: str, **injected: Any) -> State:
    """Return a state with keys and a world; an existing file keeps its own of both.

    Args:
        path: a SQLite file, or `:memory:`.
        world: name or file, for an empty state.
        latency: profile name or file.
        injected: `clock`, for tests.
    """
    from mnslib.sandbox import lifecycle
    from mnslib.sandbox import world as worlds
    from mnslib.sandbox.state import State

    store = State(path, **injected)
    with store.transaction():
        if store.meta("keys") is None:
            spec = worlds.load(world)
            store.set_meta("keys", _new_keys())
            store.set_meta("control_token", secrets.token_hex(24))
            names = ("client_id", "object_id")
            identities = {
                name: {key: one[key] for key in names} | {"client_secret": secrets.token_hex(24)}
                for name, one in spec["identities"].items()
            }
            store.set_meta("identities", identities)
            store.set_meta("world", world)
            worlds.seed(store, spec)
        store.latency = lifecycle.load_latency(latency)
    return store


def _new_keys() -> dict[str, str]:
    import trustme
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    authority = trustme.CA(organization_name="mnslib sandbox")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = (form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(
        form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "ca_pem": authority.cert_pem.bytes().decode(),
        "ca_key": authority.private_key_pem.bytes().decode(),
        "jwt_private": key.private_bytes(form.Encoding.PEM, *plain).decode(),
        "jwt_public": public.decode(),
        "signing": secrets.token_hex(32),
    }


async def _serve(
    sandbox: Sandbox,
    port: int,
    idle_exit_minutes: float | None,
    connection: Path,
    on_ready: Callable[[Mapping[str, Any]], object],
) -> None:
    import asyncio
    import signal

    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # ours below end the server without raising the signal again

    store = sandbox.state
    listening = _bind(store, port)
    config = uvicorn.Config(
        sandbox,
        http=_protocol(),
        log_level="critical",  # the application logs its own failures; the rest is noise at the end
        access_log=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        ssl_context_factory=lambda *_: _tls(store),
    )
    server = Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _close, server, sandbox)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not running.done():
        await asyncio.sleep(0.01)
    if not running.done():
        content = describe(store, listening.getsockname()[1], connection)
        _write(connection, json.dumps(content, indent=1))
        on_ready(content)
        watching = asyncio.create_task(_end_when_idle(server, sandbox, idle_exit_minutes))
        await running
        watching.cancel()
    await running


def _close(server: Any, sandbox: Sandbox) -> None:
    """End the server, and before it the watches that would hold it."""
    server.should_exit = sandbox.is_closing = True


def _protocol() -> Any:
    """Return uvicorn's protocol with an ASGI extension that ends the connection at once."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    from mnslib.sandbox.app import ABORT

    class Protocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            served = self.app

            async def app(scope: Any, receive: Any, send: Any) -> None:
                scope["extensions"] = {ABORT: transport.abort}
                await served(scope, receive, send)

            self.app = app

    return Protocol


async def _end_when_idle(server: Any, sandbox: Sandbox, minutes: float | None) -> None:
    import asyncio

    while minutes is not None:
        await asyncio.sleep(IDLE_CHECK_SECONDS)
        if time.monotonic() - sandbox.last_request > minutes * 60:
            server.should_exit = True
            return


def _bind(store: State, port: int) -> socket.socket:
    """Return a listening socket on loopback; the port is remembered in the state."""
    import socket

    wanted = port or store.meta("port", 0)
    # with protocol 0 asyncio sets no TCP_NODELAY, which costs 40 ms a request
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", wanted))
        listening.listen(128)
    except OSError as error:
        listening.close()
        where = "the port that this state was served on" if not port else "the port asked for"
        text = f"cannot listen on 127.0.0.1:{wanted} ({where}): {error.strerror}"
        raise OSError(error.errno, f"{text}; end what uses it, or give another --port") from error
    store.set_meta("port", listening.getsockname()[1])
    return listening


def _tls(store: State) -> ssl.SSLContext:
    import trustme

    keys = store.meta("keys")
    authority = trustme.CA.from_pem(keys["ca_pem"].encode(), keys["ca_key"].encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


def describe(store: State, port: int, connection: Path) -> dict[str, Any]:
    """Return the connection file's content; writes the CA's certificate beside it."""
    from mnslib.sandbox.resources import CLUSTER_TYPE

    authority = connection.with_suffix(".ca.pem").absolute()
    _write(authority, store.meta("keys")["ca_pem"])
    origin = f"https://127.0.0.1:{port}"
    clusters = []
    for resource in store.resources(CLUSTER_TYPE):
        parts = resource["id"].split("/")
        place = {"subscription_id": parts[2], "resource_group": parts[4], "name": resource["name"]}
        endpoint = f"{origin}/kubernetes/{parts[2]}/{parts[4]}/{resource['name']}"
        clusters.append(place | {"kubernetes_endpoint": endpoint})
    return {
        "version": VERSION,
        "arm_endpoint": origin,
        "authority_host": f"{origin}/entra",
        "graph_endpoint": f"{origin}/graph",
        "prometheus_endpoint": f"{origin}/prometheus",
        "control_endpoint": f"{origin}/_sandbox",
        "control_token": store.meta("control_token"),
        "ca_file": str(authority),
        "tenant_id": store.meta("tenant_id"),
        "identities": store.meta("identities"),
        "subscription_ids": [one["subscriptionId"] for one in store.meta("subscriptions")],
        "resource_group": store.meta("resource_group"),
        "clusters": clusters,
    }


def _write(path: Path, text: str) -> None:
    """Write a file with mode 0600, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
