"""The command `mns` as a user runs it: a process of its own, against a sandbox process.

What many tests only read is run once: `analyzed`, `planned` and `provisioned`, each in a world that
was seeded anew. Whoever changes a file of theirs, or runs something beside it, takes a copy.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from mnslib.azure.client import AzureClient
from mnslib.azure.clouds import sandbox_cloud
from mnslib.azure.credentials import sandbox_credential
from mnslib.provisioning.changes import RiskName, fields_of

from ..conftest import sandbox_process, seeded
from ..unit.run.test_notify import Webhook

ROOT = Path(__file__).resolve().parents[2]
HOOK = "MNS_NOTIFY_URL"
WRITES = ("PUT", "PATCH", "DELETE")
RISKS = ", ".join(set(RiskName) - {RiskName.ADOPTION, RiskName.FOREIGN_OWNER})
CAPS = {"max_changes": "100%", "max_deletions": "100%", "max_failures": "0"}


@dataclass(frozen=True)
class Run:
    """What one `mns run` left behind, and what it asked of the sandbox where that was kept."""

    code: int
    output: str
    directory: Path
    asked: tuple = ()

    @property
    def result(self):
        return json.loads((self.directory / "result.json").read_text(encoding="utf-8"))

    @property
    def report(self):
        return (self.directory / "report.html").read_text(encoding="utf-8")

    @property
    def plan(self):
        return json.loads((self.directory / "plan.json").read_text(encoding="utf-8"))

    def copied(self, runs):
        """Return the same run, copied below another folder of runs."""
        return replace(self, directory=shutil.copytree(self.directory, runs / self.directory.name))


@dataclass(frozen=True)
class Mns:
    """Runs `mns ...` from a folder that is not the project's."""

    folder: Path
    environment: dict

    def __call__(self, *words, timeout=180):
        return subprocess.run(
            [sys.executable, "-m", "mnslib", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run(self, number, *words, file=None, **parameters):
        """Run a notebook with its sandbox parameters and some of one's own."""
        name = next(p.stem for p in (ROOT / "notebooks").glob(f"{number}_*.ipynb"))
        file = file or ROOT / "parameters" / f"{name}.sandbox.yaml"
        given = [word for k, v in parameters.items() for word in ("-p", f"{k}={v}")]
        runs = str(self.folder / "runs")
        done = self("run", number, "-f", str(file), "--runs", runs, *given, *words)
        last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
        return Run(done.returncode, done.stdout + done.stderr, Path(last or "."))


def writes(asked):
    """Return the writes to Azure among requests."""
    return [r for r in asked if r["method"] in WRITES and "/subscriptions/" in r["path"].lower()]


@dataclass
class Story:
    """One bulk run and what followed; `listed` holds the namespaces before, after and undone."""

    mns: Mns
    listed: list = field(default_factory=list)
    first: Run | None = None
    second: Run | None = None
    undo: subprocess.CompletedProcess | None = None
    undo_planned: subprocess.CompletedProcess | None = None
    back: Run | None = None


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
def environment(sandbox_file, tmp_path):
    locks = str(tmp_path / "locks")
    return {**os.environ, "MNS_SANDBOX": str(sandbox_file), "MNS_LOCKS_DIR": locks}


@pytest.fixture
def mns(environment, tmp_path):
    return Mns(tmp_path, environment)


@pytest.fixture
def webhook(environment):
    found = Webhook()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    environment[HOOK] = found.url
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def with_hook(file, folder):
    """Return a parameter file with the webhook's variable and no relative path, in a folder."""
    text = file.read_text().replace(": parameters/", f": {ROOT}/parameters/")
    copy = folder / file.name
    copy.write_text(f"{text}\nnotify_url_env: {HOOK}\n")
    return copy


@pytest.fixture
def run_notebook(mns):
    return mns.run


# Runs that are shared


@pytest.fixture(scope="session")
def anew(sandbox_file, sandbox_connection, tmp_path_factory):
    """Return a context of a sandbox that was seeded anew, and `mns` in a folder of its own."""

    @contextmanager
    def anew(name):
        environment = {**os.environ, "MNS_SANDBOX": str(sandbox_file)}
        with seeded(sandbox_connection) as sandbox:
            yield sandbox, Mns(tmp_path_factory.mktemp(name), environment)

    return anew


@pytest.fixture(scope="session")
def analyzed(anew):
    """Notebook 40 over the seeded world."""
    with anew("analyzed") as (sandbox, mns):
        done = mns.run("40", "--detailed-exitcode")
        return replace(done, asked=tuple(sandbox.requests()))


@pytest.fixture(scope="session")
def planned(anew):
    """A dry run of the sample requests, for a run that is approved by digest."""
    with anew("planned") as (_, mns):
        return mns.run("30", "--detailed-exitcode", dry_run="true", approval="digest")


@pytest.fixture(scope="session")
def provisioned(anew):
    """The sample requests provisioned, again, undone."""
    with anew("provisioned") as (sandbox, mns):
        story = Story(mns)
        story.listed.append(listed(sandbox))
        story.first = replace(mns.run("30"), asked=tuple(sandbox.requests()))
        story.listed.append(listed(sandbox))
        sandbox.control("DELETE", "requests")
        story.second = replace(mns.run("30"), asked=tuple(sandbox.requests()))
        runs = mns.folder / "runs"
        story.undo = mns("undo", story.first.directory.name, "--runs", str(runs))
        command = shlex.split(story.undo.stdout.strip().splitlines()[-1])
        assert command[:3] == ["mns", "run", "30"]
        story.undo_planned = mns(*command[1:], "-p", f"runs_dir={runs}")
        file = story.first.directory / "undo.yaml"
        words = {"request_file": file, "allow": f"[{RISKS}]", **CAPS}
        story.back = mns.run("30", **words)
        story.listed.append(listed(sandbox))
        return story


def listed(sandbox):
    """Return every managed namespace, as ARM lists it."""
    cloud, credential = sandbox_cloud(sandbox.connection), sandbox_credential(sandbox.connection)
    with AzureClient(cloud, credential) as azure:
        clusters = [sandbox.cluster(item["name"]) for item in sandbox.connection["clusters"]]
        found = [n for c in clusters for n in azure.managed_namespaces.list_by_managed_cluster(c)]
        return {n.id.key: fields_of(n) for n in found}
