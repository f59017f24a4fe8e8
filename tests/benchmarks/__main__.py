"""`make bench`: speed as ratios measured in one run, on whatever machine this is.

Nothing here passes or fails; the bounds are printed beside the figures.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mnslib.sandbox.launcher import ensure_running

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    *("pandas", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    *("mnslib.azure.client", "mnslib.kube.client"),
)
OF_TABLES = "pyarrow.parquet", "openpyxl"
"""What an analysis loads beside them."""
PARTS = "capacity", "bulk", "compare"
RUNS = 3


def seconds(command, **options):
    began = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return time.perf_counter() - began


def side_by_side(one, other, **options):
    """Return the medians of two commands, run in turns: what else the machine does meets both."""
    pairs = [(seconds(one, **options), seconds(other, **options)) for _ in range(RUNS)]
    return [statistics.median(times) for times in zip(*pairs, strict=True)]


def importing_notebook(path, libraries):
    """Write a notebook that only imports what one of the product's notebooks imports."""
    source = "\n".join(f"import {name}" for name in libraries)
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": source}
    cell |= {"outputs": [], "execution_count": None}
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": [cell], "metadata": {"kernelspec": spec}, "nbformat": 4}
    path.write_text(json.dumps(content | {"nbformat_minor": 5}))


def main():
    own, bare = side_by_side(*([sys.executable, "-c", code] for code in ("import mnslib", "pass")))
    print(f"import mnslib: {own - bare:.3f} s beyond a bare interpreter (bound 0.2 s)", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        ensure_running(home / "sandbox", idle_exit_minutes=5)
        environment = {**os.environ, "MNS_SANDBOX": str(home / "sandbox/connection.json")}
        papermill = [sys.executable, "-m", "papermill", "--no-progress-bar"]
        papermill += [str(home / "imports.ipynb"), str(home / "out.ipynb")]
        for file in sorted((ROOT / "parameters").glob("*.sandbox.yaml")):
            name = file.name.partition(".")[0]
            further = OF_TABLES if name.startswith("40") else ()
            importing_notebook(home / "imports.ipynb", LIBRARIES + further)
            run = [sys.executable, "-m", "mnslib", "run", name, "-f", str(file)]
            run += ["--runs", str(home / "runs")]
            seconds(run, env=environment)  # what it creates, it creates now
            ours, plain = side_by_side(run, papermill, env=environment)
            print(
                f"mns run {name}: {ours:.1f} s, papermill over the same imports {plain:.1f} s: "
                f"{ours / plain:.2f} x (bound 1.5 x)",
                flush=True,
            )
        os.kill(int((home / "sandbox/sandbox.pid").read_text()), signal.SIGTERM)
    for part in PARTS:  # a process each: Linux counts the memory of the parent as the child's own
        subprocess.run([sys.executable, "-m", f"tests.benchmarks.{part}"], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
