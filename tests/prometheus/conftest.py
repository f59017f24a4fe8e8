"""A real Prometheus server on a free port of this machine, filled through promtool."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.prometheus.trace import write_samples

START_TIMEOUT_SECONDS = 60
MONTH = "--max-block-duration=744h"  # else promtool reads the file once per two hours


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Return a function that serves a file of samples, and gives the server's address."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("needs the programs prometheus and promtool (Debian: prometheus)")
    running = []

    def start(samples):
        folder = tmp_path_factory.mktemp("prometheus")
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", MONTH]
        subprocess.run([*command, str(samples), str(folder / "data")], check=True,
                       capture_output=True, timeout=300)  # fmt: skip
        (folder / "prometheus.yml").write_text("global: {}\n", encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    "--storage.tsdb.retention.time=10y",
                    f"--web.listen-address={address}",
                ],
                stdout=log,
                stderr=log,
            )
        running.append(server)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not _is_ready(f"http://{address}/-/ready"):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"prometheus did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        return f"http://{address}"

    yield start
    for server in running:
        server.kill()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def serve_month(serve, tmp_path_factory):
    """Return a function that serves a month of the trace, and gives the server's address."""

    def start(month, **others):
        file = tmp_path_factory.mktemp("samples") / "month.txt"
        with file.open("w", encoding="utf-8") as out:
            write_samples(month, out, **others)
        address = serve(file)
        file.unlink()
        return address

    return start


def _is_ready(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def mns(tmp_path):
    """Run `mns ...` with no way out: whoever asks anybody but this machine, fails."""
    nowhere = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere}
    environment.pop("MNS_SANDBOX", None)

    def call(*words):
        return subprocess.run(
            [sys.executable, "-m", "mnslib", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call
