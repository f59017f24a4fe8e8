"""Starts, finds and ends sandboxes from outside: one detached process per home.

Knows of a sandbox what its connection file says, and some of its control routes.
"""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

CONNECTION_NAME = "connection.json"
START_SECONDS = 30.0


def ensure_running(home: Path, *, idle_exit_minutes: float = 30) -> dict[str, Any]:
    """Return the connection of the sandbox under `home`, started if none runs.

    Callers that come at the same moment share one process.

    Raises:
        TimeoutError: if it is not ready within 30 seconds; with the end of its log.
    """
    from filelock import FileLock

    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(home / "sandbox.start.lock", timeout=2 * START_SECONDS):
        return find_running(home / CONNECTION_NAME) or _spawn(home, idle_exit_minutes)


def is_home(file: Path) -> bool:
    """Return whether a connection file is one that `ensure_running` made, and can make again."""
    return file.name == CONNECTION_NAME and (file.parent / "sandbox.pid").exists()


def find_running(file: Path) -> dict[str, Any] | None:
    """Return the content of a connection file if its sandbox answers, else None."""
    try:
        connection: dict[str, Any] = json.loads(file.read_text("utf-8"))
        process = int((file.parent / "sandbox.pid").read_text("utf-8")) if is_home(file) else None
        if process is not None:
            os.kill(process, 0)
        answering = control(connection, "GET", "health")["pid"]
    except (OSError, ValueError, KeyError):
        return None  # no file, no process, or another one in its place
    return connection if process in (None, answering) else None


def stop(connection: Mapping[str, Any]) -> None:
    """End a sandbox that answers, and return when it no longer does.

    Raises:
        OSError: if it does not answer, or is not ours to end.
    """
    import signal

    os.kill(int(control(connection, "GET", "health")["pid"]), signal.SIGTERM)
    with suppress(OSError):
        while True:
            control(connection, "GET", "health")
            time.sleep(0.05)


def control(
    connection: Mapping[str, Any], method: str, route: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the answer of a control route of a running sandbox, such as `reset`.

    Raises:
        ValueError: with the sandbox's words, if it refuses what the body asks for.
        OSError: if it does not answer, or refuses else.
    """
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        f"{connection['control_endpoint']}/{route}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {connection['control_token']}",
            "Content-Type": "application/json",
        },
    )
    context = ssl.create_default_context(cafile=connection["ca_file"])
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        if body is None:
            raise
        raise ValueError(str(json.load(error)["error"]["message"])) from error


def _spawn(home: Path, idle_exit_minutes: float) -> dict[str, Any]:
    import subprocess
    import sys

    connection, log = home / CONNECTION_NAME, home / "sandbox.log"
    connection.unlink(missing_ok=True)
    command = [sys.executable, "-m", "mnslib.sandbox", "--state", str(home / "sandbox.db")]
    command += ["--connection", str(connection), "--idle-exit", str(idle_exit_minutes)]
    flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
    with os.fdopen(os.open(log, flags, 0o600), "w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    (home / "sandbox.pid").write_text(str(process.pid), "utf-8")
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if connection.exists() and (found := find_running(connection)):
            process.returncode = 0  # it outlives us on purpose: no warning about a running child
            return found
        time.sleep(0.05)
    if process.poll() is None:
        process.terminate()
    tail = log.read_text("utf-8", "replace")[-2000:]
    raise TimeoutError(f"the sandbox under {home} did not become ready; its log ends:\n{tail}")
