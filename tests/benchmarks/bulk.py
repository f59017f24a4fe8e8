"""`python -m tests.benchmarks.bulk [NAME]...`: bulk runs against a sandbox that throttles.

Prints for each what the token buckets allow (B), the wall time, their ratio and its bound, what was
refused with 429, provider calls per namespace, and the memory of the applying process. All but
`serialized` leave out the limits' row `writes_per_cluster`: B is what the buckets alone allow.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import yaml

from mnslib.sandbox.throttle import load_limits
from tests.benchmarks.sandbox import processor_seconds
from tests.benchmarks.world import GROUP, write_requests, write_world
from tests.sandbox.client import Client, Process

OPERATION_SECONDS = 0.5
LATENCY = dict.fromkeys(
    ("first_create", "create", "update", "delete", "cluster_create", "cluster_update",
     "cluster_delete", "cluster_start", "cluster_stop", "group_delete", "register"),
    OPERATION_SECONDS,
) | {"retry_after_seconds": None}  # fmt: skip
LISTED = 4
"""List pages of a warmed cluster: one that holds something and an empty one, before and after."""

FAST = {"other": [60, 5], "operation_status": [200, 10]}
ACCESS = f"group:{GROUP}=namespace-user;group:{GROUP}=writer"
COLUMNS = ("run", "B s", "wall s", "ratio", "bound", "429", "calls each", "polls each", "own cpu s",
           "sandbox cpu s", "MiB", "outcome")  # fmt: skip


def sandbox_limits(rates, share=1.0):
    """Return the documented buckets with other rates for two rows, as the sandbox takes them."""
    buckets = load_limits("documented")
    del buckets["writes_per_cluster"]  # buckets alone are the bound
    rows = {"operation_status": "operation-status", "other": "other"}
    return buckets | {
        rows[name]: {"burst": burst * share, "per_minute": per_second * 60 * share}
        for name, (burst, per_second) in rates.items()
    }


def allowed(*, calls, burst, per_second):
    """Return the seconds that a bucket needs for so many calls, and one operation."""
    return max(0.0, calls - burst) / per_second + OPERATION_SECONDS


class Bench:
    """A sandbox in a process of its own, and runs in other processes against it."""

    def __init__(self, folder, *, operation_seconds=OPERATION_SECONDS, **world):
        self.folder = Path(folder)
        self.folder.mkdir()
        profile = {key: value and operation_seconds for key, value in LATENCY.items()}
        (self.folder / "latency.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
        file = write_world(self.folder / "world.yaml", **world)
        latency = str(self.folder / "latency.yaml")
        self.process = Process(self.folder, "--world", str(file), "--latency", latency)
        self.connection = self.process.connection
        self.client = Client(self.connection)

    def throttle(self, limits):
        self.client.control("POST", "limits", limits).raise_for_status()

    def run(self, name, *, per_cluster, expected, bound, known, control=None, **columns):
        """Run one job and print its line.

        Args:
            expected: seconds, or what tells them by the log.
            known: the buckets that the client is told of.
        """
        requests = self.folder / f"{name.replace(' ', '-')}.csv"
        write_requests(requests, self.connection, per_cluster=per_cluster, **columns)
        self.client.control("DELETE", "requests")
        used = processor_seconds(self.process.process.pid)
        command = [sys.executable, "-m", "tests.benchmarks.job", str(self.process.file)]
        command += [str(requests), json.dumps(known), *([json.dumps(control)] if control else [])]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        report = json.loads(done.stdout)
        log = self.client.control("GET", "requests").json()["value"]
        expected = expected(log) if callable(expected) else expected
        count = per_cluster * len(self.connection["clusters"])
        seen = Counter(kind_of(entry) for entry in log if entry["status"] != 429)
        refused = sum(entry["status"] == 429 for entry in log)
        busy = processor_seconds(self.process.process.pid) - used
        outcomes = ", ".join(f"{number} {kind}" for kind, number in report["outcomes"].items())
        line = (
            name, f"{expected:.1f}", f"{report['wall']:.1f}", f"{report['wall'] / expected:.3f}",
            bound, f"{refused} of {len(log)}", f"{seen['provider'] / count:.3f}",
            f"{seen['poll'] / count:.2f}", f"{report['processor']:.1f}", f"{busy:.1f}",
            f"{report['mib']:.0f}", outcomes,
        )  # fmt: skip
        print("|", " | ".join(line), "|", flush=True)

    def end(self):
        self.client.session.close()
        self.process.end()


def kind_of(entry):
    """Return what a logged request counts as: `provider` calls are those that AKS throttles."""
    path = entry["path"].lower()
    if entry["surface"] != "arm" or "/providers/microsoft.containerservice/" not in path:
        return "else"
    if "/providers/microsoft.authorization/" in path:
        return "grant"
    if "/locations/" in path:
        return "poll"
    return "cluster" if re.search(r"/managedclusters/[^/]+$", path) else "provider"


def creations(folder, name, *, expected, bound, share=1.0, access=""):
    """Return the bench after 1,000 creations over 4 subscriptions with 5 clusters each."""
    bench = Bench(folder, subscriptions=4, clusters=5)
    bench.throttle({"limits": sandbox_limits(FAST)})
    control = {"limits": sandbox_limits(FAST, share)} if share < 1 else None
    bench.run(name, per_cluster=50, expected=expected, bound=bound, known=FAST, control=control,
              access=access)  # fmt: skip
    return bench


def plain(folder):
    expected = allowed(calls=250 + 5 * LISTED, burst=60, per_second=5)
    bench = creations(folder, "1,000 creations", expected=expected, bound="1.05")
    bench.throttle({"limits": sandbox_limits(FAST)})
    bench.run("1,000 updates", per_cluster=50, expected=expected, bound="-", known=FAST,
              labels="stage=two")  # fmt: skip
    bench.end()


def granting(folder):
    expected = (750 - 200) / 10
    name = "1,000 creations with two role assignments each"
    creations(folder, name, expected=expected, bound="1.10", access=ACCESS).end()


def halved(folder):
    expected = allowed(calls=250 + 5 * LISTED, burst=30, per_second=2.5)
    name = "1,000 creations with buckets halved behind the client's back"
    creations(folder, name, expected=expected, bound="1.25", share=0.5).end()


def documented(folder):
    bench = Bench(folder, subscriptions=1, clusters=2)
    bench.throttle({"name": "documented"})
    expected = allowed(calls=90 + 2 * LISTED, burst=60, per_second=1)
    bench.run("90 creations under documented buckets", per_cluster=45, expected=expected,
              bound="no 429", known={})  # fmt: skip
    bench.end()


def serialized(folder):
    """Run where a cluster takes one write at a time; the bound is known by the log afterwards."""
    bench = Bench(folder, subscriptions=1, clusters=3, operation_seconds=5.0)
    bench.throttle({"limits": {"writes_per_cluster": 1}})
    free = dict.fromkeys(("reads", "writes", "cluster_get", "other", "operation_status"))
    bench.run("30 creations, one at a time on each of 3 clusters", per_cluster=10,
              expected=busiest, bound="1.05", known=free)  # fmt: skip
    bench.end()


def busiest(log):
    """Return the most seconds that the operations of one cluster took, accept to end."""
    accepted = Counter(
        re.sub(r"/managednamespaces/.*", "", entry["path"].lower())
        for entry in log
        if entry["method"] == "PUT" and entry["status"] in (200, 201)
    )
    return 5.0 * max(accepted.values())


def nothing(folder):
    bench = Bench(folder, subscriptions=4, clusters=25, namespaces=100)
    free = dict.fromkeys(("reads", "writes", "cluster_get", "other", "operation_status"))
    bench.run("no-op over 10,000 namespaces", per_cluster=100, expected=5.0,
              bound="5 s of own cpu", known=free)  # fmt: skip
    bench.end()


RUNS = {"plain": plain, "granting": granting, "halved": halved, "documented": documented,
        "serialized": serialized, "nothing": nothing}  # fmt: skip


def main(*chosen):
    for row in (COLUMNS, ["---"] * len(COLUMNS)):
        print("|", " | ".join(row), "|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen or RUNS:
            RUNS[name](Path(folder) / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
