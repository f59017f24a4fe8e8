"""`python -m tests.benchmarks.capacity [FOLDER]`: notebook 40 over 20,000 namespaces, offline.

Makes a reading of 200 clusters up, with 30 days by the hour of hard, requested and used (80,000
quota series), and writes it as a run would. A process of its own, `mns run 40` with `snapshot_run`,
reads it and makes every table, chart and page; another one groups the 57.6 million samples of one
frame as a long table. Prints wall and processor seconds, the largest process, and the cells.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.snapshot import NAMESPACE_COLUMNS, QUOTA_SERIES, Snapshot
from mnslib.capacity.store import write_snapshot
from mnslib.commitment import commitments
from mnslib.kube_models import Container, Event, Node, Pod, QuotaStatus, Workload
from mnslib.models import QUOTA_KEYS
from mnslib.results import RunRecord, RunStatus, utc_text
from mnslib.run.project import write_result

NAMESPACES, CLUSTERS, HOURS, OWNERS = 20_000, 200, 720, 500
NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
GIB = 2**30
SEED = 20
RUN = "20261102T060000Z-40_analyze_quota_utilization-bench"
KEYS = tuple(QUOTA_KEYS.values())
LONG = """
import sys, numpy as np, pandas as pd
used = pd.read_parquet(sys.argv[1])
names = ["cluster_name", "namespace_name", "resource"]
long = used.melt(id_vars=names, var_name="time", value_name="used")
for name in (*names, "time"):
    long[name] = long[name].astype("category")
print(len(long), long.groupby(names, observed=True)["used"].max().shape)
"""


def main(folder=None):
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            return main(made)
    runs = Path(folder) / "runs"
    if not (runs / RUN).exists():
        write_run(runs / RUN)
    command = [sys.executable, "-m", "mnslib", "run", "40", "--runs", str(runs)]
    seconds, processor, mib, said = measured([*command, "-p", f"snapshot_run={RUN}"])
    directory = Path(said.strip().splitlines()[-1])
    print(
        f"utilization, {NAMESPACES:,} namespaces x {len(KEYS)} x {HOURS} h, read, analyzed, drawn "
        f"and reported: {seconds:.1f} s, {processor:.1f} s of processors, {mib:,.0f} MiB "
        "(bound 30 s and 3,072 MiB on two idle cores)"
    )
    for text, took in cells(directory / "notebook.ipynb"):
        print(f"  {took:5.1f} s  {text}")
    frame = str(runs / RUN / "snapshot" / "used.parquet")
    seconds, processor, mib, _ = measured([sys.executable, "-c", LONG, frame])
    print(
        "pandas group-by maximum of one of the frames as a long table: "
        f"{seconds:.1f} s, {processor:.1f} s of processors, {mib:,.0f} MiB"
    )


def measured(command):
    """Return wall and processor seconds, the largest process in MiB, and what it printed."""
    code = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024,"
        " done.stdout, done.stderr]))"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        env={**os.environ, "MNS_SANDBOX": "/nonexistent"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    exit_code, processor, mib, out, error = json.loads(done.stdout)
    if exit_code:
        sys.exit(f"{' '.join(command)} ended with {exit_code}:\n{error}")
    return seconds, processor, mib, out


def cells(notebook):
    """Yield what each cell that took longer than half a second begins with, and its seconds."""
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        took = cell["metadata"].get("papermill", {}).get("duration") or 0
        if cell["cell_type"] == "code" and took > 0.5:
            yield "".join(cell["source"]).splitlines()[0][:70], took


def write_run(directory):
    """Write the run directory that `snapshot_run` names."""
    directory.mkdir(parents=True)
    began = time.perf_counter()
    write_snapshot(made_up(), directory / "snapshot", written_by="a benchmark")
    record = RunRecord(
        notebook="40_analyze_quota_utilization", environment="bench", target="sandbox",
        started_utc=utc_text(NOW), finished_utc=utc_text(NOW), status=RunStatus.DONE, exit_code=0,
        parameters={},
    )  # fmt: skip
    write_result(directory, record.to_json())
    size = sum(path.stat().st_size for path in (directory / "snapshot").iterdir()) / 1e6
    print(f"made up and written: {size:.0f} MB, {time.perf_counter() - began:.1f} s")


def made_up():
    """Return a reading of 20,000 namespaces, as collecting gives it: cluster by cluster.

    Half of them follow the day of their cluster, between 70 and 100 % of their level, the others
    stay; requests come and go by whole pods. One in 20 comes to its quota. One in 50 quotas was
    doubled within the month, one in 97 namespaces has no samples, one in 20 has gaps.
    """
    rng = np.random.default_rng(SEED)
    each = NAMESPACES // CLUSTERS
    spaces = [
        (f"aks-{n // each:03}", f"team-{n // 40:03}-service-{n:05}") for n in range(NAMESPACES)
    ]
    times = pd.date_range(end=NOW, periods=HOURS, freq="h").as_unit("ns")
    cores = rng.choice([2, 4, 8, 16, 32], NAMESPACES).astype(np.float32)
    hour = np.arange(HOURS, dtype=np.float32)[:, None]
    sizes = np.stack([cores, cores * 2, cores * 4 * GIB, cores * 8 * GIB], axis=1)  # as KEYS
    share = shares(rng, hour, zone=np.arange(NAMESPACES) // each % 24)
    hard = np.repeat(sizes.reshape(1, -1), HOURS, axis=0)
    raised = rng.random(NAMESPACES * len(KEYS)) < 0.02
    hard[:, raised] /= 1 + (hour < rng.integers(1, HOURS, int(raised.sum())))
    used = np.round(np.minimum(share[:, :, None] * sizes, hard.reshape(HOURS, -1, len(KEYS))), 3)
    used = used.reshape(HOURS, -1).astype(np.float32)
    quota_series = [(*space, key) for space in spaces for key in KEYS]
    asked = [n for n, (_, _, key) in enumerate(quota_series) if key.startswith("requests")]
    run = share * rng.uniform(0.1, 0.9, NAMESPACES).astype(np.float32) * cores
    run *= 0.8 + 0.2 * rng.random((HOURS, NAMESPACES), dtype=np.float32)
    amounts = np.nan_to_num(used[-1]).reshape(-1, len(KEYS)).T
    return Snapshot(
        read_utc=NOW,
        namespaces=named(spaces),
        **objects(spaces, sizes=sizes.T, amounts=amounts),
        used=wide(times, quota_series, used, QUOTA_SERIES),
        hard=wide(times, quota_series, hard, QUOTA_SERIES),
        requested=wide(times, [quota_series[n] for n in asked], used[:, asked], QUOTA_SERIES),
        usage_cpu=wide(times, spaces, run, SPACE),
        usage_memory=wide(times, spaces, run * 4 * GIB, SPACE),
        created=dict.fromkeys(spaces, NOW - timedelta(days=400)),
        history_note="30 days, one sample every hour.",
    )


def shares(rng, hour, *, zone):
    """Return hours x namespaces: the share of the quota that is requested, NaN without a sample."""
    level = rng.choice([0.2, 0.5, 0.7, 0.85, 1.0], NAMESPACES, p=[0.2, 0.3, 0.3, 0.15, 0.05])
    swing = np.where(rng.random(NAMESPACES) < 0.5, 0.15, 0).astype(np.float32)
    pods = rng.integers(4, 40, NAMESPACES).astype(np.float32)
    found = 1 - swing + swing * np.sin((hour + zone).astype(np.float32) * np.float32(np.pi / 12))
    found *= level.astype(np.float32) * pods
    np.ceil(found, out=found)
    found /= pods
    for n in np.flatnonzero(rng.random(NAMESPACES) < 0.05):
        began = int(rng.integers(0, HOURS - 24))
        found[began : began + int(rng.integers(1, 24)), n] = np.nan
    found[:, ::97] = np.nan
    return found


def wide(times, series, values, names):
    columns = pd.MultiIndex.from_tuples(series, names=names)
    return pd.DataFrame(values.astype(np.float32), index=times, columns=columns)


def named(spaces):
    rows = [
        {
            "cluster_name": cluster,
            "namespace_name": name,
            "subscription_id": f"00000000-0000-4000-8000-{int(cluster[-3:]) // 20:012}",
            "resource_group": "rg-platform",
            "owner": f"owner-{int(name[5:8]) % OWNERS:03}" if number % 50 else "",
            "is_managed": True,
            "labels": f"owner={name[5:8]},stage=prod",
        }
        for number, (cluster, name) in enumerate(spaces)
    ]
    return pd.DataFrame(rows, columns=list(NAMESPACE_COLUMNS)).sort_values(
        ["cluster_name", "namespace_name"], ignore_index=True
    )


def objects(spaces, *, sizes, amounts):
    """Return quotas, pods, nodes, workloads and events by cluster."""
    quotas, pods, workloads, events = (
        {f"aks-{n:03}": [] for n in range(CLUSTERS)} for _ in range(4)
    )
    for n, (cluster, name) in enumerate(spaces):
        hard = {key: Decimal(str(size[n])) for key, size in zip(KEYS, sizes, strict=True)}
        used = {key: Decimal(str(found[n])) for key, found in zip(KEYS, amounts, strict=True)}
        quotas[cluster].append(
            QuotaStatus(namespace_name=name, name="defaultresourcequota", hard=hard, used=used)
        )
        need = {"cpu": used["requests.cpu"] / 3, "memory": used["requests.memory"] / 3}
        most = {"cpu": used["limits.cpu"] / 3, "memory": used["limits.memory"] / 3}
        template = Pod(
            namespace_name=name, name="web", phase="Pending",
            containers=(Container(requests=need, limits=most),),
        )  # fmt: skip
        workloads[cluster].append(
            Workload(
                kind="Deployment", namespace_name=name, name="web", replicas=3, surge=1,
                template=template,
            )
        )  # fmt: skip
        pods[cluster] += [
            Pod(
                namespace_name=name,
                name=f"web-{k}",
                phase="Running",
                containers=template.containers,
            )
            for k in range(3)
        ]
        if amounts[0][n] >= 0.99 * float(sizes[0][n]):
            events[cluster].append(
                Event(
                    namespace_name=name, reason="FailedCreate", object_kind="ReplicaSet",
                    object_name="web-5d8f", count=7, last_utc=NOW,
                    message=f'Error creating: pods "web-5d8f-x" is forbidden: exceeded quota: '
                    f"defaultresourcequota, requested: requests.cpu=1, used: requests.cpu="
                    f"{used['requests.cpu']}, limited: requests.cpu={hard['requests.cpu']}",
                )
            )  # fmt: skip
    node = {"allocatable_cores": Decimal(64), "allocatable_bytes": Decimal(256 * GIB)}
    nodes = {c: [Node(name=f"{c}-{k}", pool="user", **node) for k in range(20)] for c in quotas}
    return {
        "quotas": quotas, "pods": pods, "nodes": nodes, "workloads": workloads, "events": events,
        "limit_ranges": {c: [] for c in quotas}, "autoscalers": {c: [] for c in quotas},
        "commitments": {
            c: commitments(nodes=nodes[c], quotas=quotas[c], pods=pods[c]) for c in quotas
        },
    }  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
