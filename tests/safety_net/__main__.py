"""`make compare`: the same jobs with the code of a commit and with that of the working tree.

Both sides use one interpreter, begin from copies of one sandbox state, and read the same snapshots,
written by the code of before. What they leave behind is compared cell by cell; what is meant to
differ stands in intended.yaml. Ends with 1 if anything else does.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.prometheus.trace import TRACE
from tests.safety_net.comparison import differences, load, read

ROOT = Path(__file__).resolve().parents[2]
BASE = "235447a"
SIZES = "5", "66", "500"
LARGE = "20000"
TIMEOUT = 600
EVERY = "adoption, foreign-owner, deletion, delete-policy, overcommit, quota-below-use, "
EVERY += "policy-tightened, keys-removed, many-changes"
LATER = "access-removed, access-granted, policy-loosened, owner-changed, labels-changed"
CAPS = {"max_changes": "100%", "max_deletions": "100%", "max_failures": "0"}


@dataclass
class Side:
    """The code of one side, its sandbox, and the directories of its runs by job."""

    code: Path
    folder: Path
    parameters: Path
    connection: str = "/nonexistent"
    runs: dict[str, Path] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def environment(self):
        return {
            **os.environ, "PYTHONPATH": str(self.code), "MNS_SANDBOX": self.connection,
            "MNS_SHARED": str(TRACE.parents[1]),
        }  # fmt: skip

    def python(self, *words):
        return subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.environment(),
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip

    def mns(self, job, *words):
        """Run `mns`; a run's directory, the last line that it prints, is the job's."""
        done = self.python("-m", "mnslib", *words, "--runs", str(self.folder / "runs"))
        lines = done.stdout.strip().splitlines()
        directory = self.folder / "runs" / (lines[-1] if lines else "none")
        if done.returncode or not ((lines and directory.is_dir()) or words[0] == "undo"):
            self.failed.append(f"{job} ended with {done.returncode}: {done.stderr[-1500:]}")
        elif words[0] != "undo":
            self.runs[job] = directory
        return directory

    def run(self, job, number, /, **parameters):
        (file,) = self.parameters.glob(f"{number}_*.sandbox.yaml")
        words = [word for key, value in parameters.items() for word in ("-p", f"{key}={value}")]
        return self.mns(job, "run", number, "-f", str(file), *words)

    def left(self):
        """Return the files of each job; a live one's without any moment."""
        paths = tuple(map(str, (self.folder, self.code)))
        return {
            job: read(directory, paths=paths, times=job.startswith("40 of"))
            for job, directory in self.runs.items()
        }


def live(side):
    """Run every job that asks the sandbox; each state is what the job before has left."""
    side.run("40 live", "40")
    digest = {"dry_run": "true", "approval": "digest"}
    side.run("30 dry run", "30", **digest)
    bulk = side.run("30 apply", "30")
    side.run("30 again", "30")
    side.mns("30 resumed", "resume", bulk.name)  # it goes on there: the undo file as well
    side.mns("undo", "undo", bulk.name)
    file = side.runs["30 resumed"] / "undo.yaml"
    # risks that the code of before does not know
    every = EVERY if side.code != ROOT else f"{EVERY}, {LATER}"
    undo = {"request_file": file, "allow": f"[{every}]", **CAPS}
    side.run("30 undone", "30", **undo)
    planned = side.run("20 dry run", "20", **digest)
    given = {"approval": "digest", "approved_digest": approved(planned)}
    side.run("20 apply", "20", **given)
    raised = {"request_file": side.runs["40 live"] / "tables" / "requests.csv"}
    side.run("30 of advice", "30", **raised, **digest)


def approved(directory):
    """Return the digest of a run's plan, as people take it from there."""
    plan = read(directory).get("plan.json", {})
    return str(plan.get(("digest",), ""))


def again(side, snapshots):
    """Analyze snapshots again, where nothing is asked; the smallest beside the one before it."""
    for name in snapshots:
        side.run(f"40 of {name}", "40", snapshot_run=side.folder / "runs" / name)
    if "live" in snapshots:
        origin = side.folder / "runs" / "live"
        further = {"pod_cpu": "500m", "pod_memory": "1Gi", "group_by": "[env]"}
        side.run("40 of live compared", "40", snapshot_run=origin, compare_run=origin, **further)


@contextmanager
def sandbox(side, state, *, code):
    """Serve a copy of a state to a side; one code for both sides, so that only theirs differs."""
    folder = side.folder / "sandbox"
    folder.mkdir()
    for file in state.parent.glob(f"{state.name}*"):
        shutil.copy(file, folder / file.name)
    connection = folder / "connection.json"
    with socket.socket() as free:  # the port that a state was served on is kept beside it
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["--port", port, "--state", str(folder / state.name), "--connection", str(connection)]
    environment = {**side.environment(), "PYTHONPATH": str(code)}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mnslib.sandbox", *words], cwd=folder, env=environment,
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not connection.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the sandbox did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        side.connection = str(connection)
        yield
    finally:
        side.connection = "/nonexistent"
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def checked_out(commit, folder):
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def seeded(before, folder):
    """Return a state file that a sandbox has seeded and left."""
    seed = Side(before.code, folder / "seed", before.parameters)
    seed.folder.mkdir()
    with sandbox(seed, seed.folder / "state.db", code=before.code):
        pass
    return seed.folder / "sandbox" / "state.db"


def both(function, *sides):
    """Do the same on each side at the same time: whatever the hour changes, changes for both."""
    with ThreadPoolExecutor(len(sides)) as pool:
        list(pool.map(function, sides))


def compare(options, folder, base):
    before = Side(base, folder / "before", base / "parameters")
    after = Side(ROOT, folder / "after", base / "parameters")
    for side in (before, after):
        (side.folder / "runs").mkdir(parents=True)
    if not options.only or "live" in options.only:
        state = seeded(before, folder)
        with sandbox(before, state, code=base), sandbox(after, state, code=base):
            both(live, before, after)
    snapshots = {}
    if read_live := before.runs.get("40 live"):
        snapshots["live"] = read_live
    sizes = [*SIZES, *(["trace"] if TRACE.is_file() else []), *([LARGE] if options.large else [])]
    for size in [size for size in sizes if not options.only or size in options.only]:
        snapshots[size] = folder / f"made-{size}"
        maker = Side(base, folder, before.parameters)
        done = maker.python(str(Path(__file__).with_name("made.py")), str(snapshots[size]), size)
        if done.returncode:
            sys.exit(f"no snapshot of {size}: {done.stderr[-1500:]}")
    for side in (before, after):
        for name, directory in snapshots.items():
            shutil.copytree(directory, side.folder / "runs" / name)
    both(lambda side: again(side, snapshots), before, after)
    rules = load(Path(__file__).with_name("intended.yaml").read_text("utf-8"))
    found = [f"before: {line}" for line in before.failed]
    found += [f"now: {line}" for line in after.failed]
    old, new = before.left(), after.left()
    for job in old.keys() & new.keys():
        found += differences(job, old[job], new[job], rules)
    print(f"{len(old)} jobs before, {len(new)} now: {shlex.join(sorted(new))}")
    unused = [rule for rule in rules if not rule.used] if not options.only else []
    for rule in unused:
        print(f"intended, but not seen: {rule.kind} {rule.what} ({rule.reason})")
    print(*sorted(found), sep="\n")
    print(f"{len(found)} differences that are not intended")
    return bool(found)


def main():
    parser = argparse.ArgumentParser(prog="tests.safety_net", description=__doc__)
    parser.add_argument("--base", default=BASE, help="the commit to compare with")
    parser.add_argument("--large", action="store_true", help="20,000 namespaces as well")
    parser.add_argument("--only", nargs="*", help="of live, 5, 66, 500, trace, 20000")
    parser.add_argument("--keep", type=Path, help="an empty folder for what the runs leave")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep.resolve() if options.keep else Path(made)
        folder.mkdir(exist_ok=True)
        with checked_out(options.base, Path(made) / "base") as base:
            return compare(options, folder, base)


if __name__ == "__main__":
    sys.exit(main())
