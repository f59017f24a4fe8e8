"""Plays many scenarios side by side, each worker process on a sandbox of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any

WORKERS = 10
"""Runs wait for the service most of the time: five for each of two cores."""

_CONNECTION: dict[str, Any] = {}


def play_all(runs: int, notebooks: int, *, first_seed: int = 1) -> Any:
    """Return the sum over all runs, those through the notebook last."""
    from .scenario import Tally

    total = Tally()
    jobs = [(first_seed + number, number >= runs) for number in range(runs + notebooks)]
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        files = context.Queue()
        for number in range(min(WORKERS, len(jobs))):
            files.put(_serve(stack, folder / f"worker-{number}"))
        pool = context.Pool(min(WORKERS, len(jobs)), initializer=_prepare, initargs=(files,))
        stack.callback(pool.join)
        stack.callback(pool.close)
        for done in pool.imap_unordered(_play, jobs, chunksize=1):
            total.add(done)
            for sentence in done.wrong:
                print(sentence, file=sys.stderr, flush=True)
    return total


def _serve(stack: ExitStack, folder: Path) -> str:
    folder.mkdir()
    file = folder / "connection.json"
    server = subprocess.Popen([sys.executable, "-m", "mnslib.sandbox", "--connection", str(file)])
    stack.callback(server.wait)
    stack.callback(server.terminate)
    while not file.exists():
        if server.poll() is not None:
            raise RuntimeError("the sandbox did not start")
        time.sleep(0.05)
    return str(file)


# In each worker process


def _prepare(files: Any) -> None:
    os.environ["MNS_SANDBOX"] = file = files.get()
    _CONNECTION.update(json.loads(Path(file).read_text(encoding="utf-8")))


def _play(job: tuple[int, bool]) -> Any:
    from . import scenario

    seed, is_notebook = job
    folder = Path(os.environ["MNS_SANDBOX"]).parent / f"seed-{seed}"
    folder.mkdir()
    start = scenario.through_the_notebook if is_notebook else scenario.forked
    try:
        tally = scenario.play(seed, _CONNECTION, folder, start=start)
    except Exception:
        # as a text: an error that cannot be read back from its pickle stops the pool for good
        raise RuntimeError(f"seed {seed}\n{traceback.format_exc()}") from None
    if tally.wrong:
        tally.wrong[-1] += "\n" + (folder / "log").read_text(encoding="utf-8")[-3000:]
    return tally
