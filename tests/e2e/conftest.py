"""The command `mns` as a user runs it: a process of its own, against a sandbox process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..conftest import sandbox_process

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """What one `mns run` left behind."""

    code: int
    output: str
    directory: Path

    @property
    def result(self):
        return json.loads((self.directory / "result.json").read_text(encoding="utf-8"))

    @property
    def report(self):
        return (self.directory / "report.html").read_text(encoding="utf-8")


# A sandbox of their own: other tests move the clock of theirs, which runs on for good, and metrics
# are asked for by the clock of this machine.


@pytest.fixture(scope="session")
def sandbox_file(tmp_path_factory):
    with sandbox_process(tmp_path_factory.mktemp("sandbox")) as connection:
        yield connection


@pytest.fixture(scope="session")
def sandbox_connection(sandbox_file):
    return json.loads(sandbox_file.read_text(encoding="utf-8"))


@pytest.fixture
def environment(sandbox_file):
    return {**os.environ, "MNS_SANDBOX": str(sandbox_file)}


@pytest.fixture
def mns(environment, tmp_path):
    """Run `mns ...` from a folder that is not the project's."""

    def call(*words, timeout=180):
        done = subprocess.run(
            [sys.executable, "-m", "mnslib", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return done

    return call


@pytest.fixture
def run_notebook(mns, tmp_path):
    """Run a notebook with its sandbox parameters and some of one's own."""

    def run(number, *words, file=None, **parameters):
        name = next(p.stem for p in (ROOT / "notebooks").glob(f"{number}_*.ipynb"))
        file = file or ROOT / "parameters" / f"{name}.sandbox.yaml"
        given = [word for k, v in parameters.items() for word in ("-p", f"{k}={v}")]
        done = mns("run", number, "-f", str(file), "--runs", str(tmp_path / "runs"), *given, *words)
        last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
        return Run(done.returncode, done.stdout + done.stderr, Path(last or "."))

    return run
