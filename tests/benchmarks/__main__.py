"""`make bench`: speed as ratios measured in one run, on whatever machine this is.

Nothing here passes or fails; the bounds are printed beside the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mnslib.sandbox.server import ensure_running

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = "pandas", "matplotlib", "mnslib.azure.client", "mnslib.kube.client"
RUNS = 3


def seconds(command, **options):
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, **options)
    return time.perf_counter() - began


def median(command, **options):
    return statistics.median(seconds(command, **options) for _ in range(RUNS))


def importing_notebook(path):
    """Write a notebook that only imports what the product's notebooks import."""
    source = "\n".join(f"import {name}" for name in LIBRARIES)
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": source}
    cell |= {"outputs": [], "execution_count": None}
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": [cell], "metadata": {"kernelspec": spec}, "nbformat": 4}
    path.write_text(json.dumps(content | {"nbformat_minor": 5}))


def main():
    bare = median([sys.executable, "-c", "pass"])
    light = median([sys.executable, "-c", "import mnslib"]) - bare
    print(f"import mnslib: {light:.3f} s beyond a bare interpreter (bound 0.2 s)")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        ensure_running(home / "sandbox", idle_exit_minutes=5)
        environment = {**os.environ, "MNS_SANDBOX": str(home / "sandbox/connection.json")}
        importing_notebook(home / "imports.ipynb")
        papermill = [sys.executable, "-m", "papermill", "--no-progress-bar"]
        plain = median([*papermill, str(home / "imports.ipynb"), str(home / "out.ipynb")])
        print(f"plain papermill over a notebook that imports the same: {plain:.1f} s")
        for name in (
            "20_onboard_namespace",
            "30_provision_in_bulk",
            "40_analyze_quota_utilization",
        ):
            file = ROOT / "parameters" / f"{name}.sandbox.yaml"
            run = [sys.executable, "-m", "mnslib", "run", name, "-f", str(file)]
            run += ["--runs", str(home / "runs")]
            ours = median(run, env=environment)
            print(f"mns run {name}: {ours:.1f} s = {ours / plain:.2f} x papermill (bound 1.5 x)")
        pid = int((home / "sandbox/sandbox.pid").read_text())
        os.kill(pid, 15)


if __name__ == "__main__":
    main()
