"""One chaotic run: 40 mixed requests, weather, kills; resumed until done; then the truth."""

from __future__ import annotations

import csv
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from mnslib.provisioning.changes import RiskName
from mnslib.provisioning.journal import read_events
from mnslib.provisioning.observe import observe
from mnslib.provisioning.plan import make_plan
from mnslib.requests.spec import parse_requests
from mnslib.run.runs import find_run
from mnslib.run.targets import Target, open_target

from . import driver

ROWS = 40
MOST_ATTEMPTS = 12
WEATHER_ATTEMPTS = 5
"""Attempts under the scripted faults; then it clears, so that every run can end."""

LAG_SECONDS = 2.0
GROUP = "00000000-0000-4000-9000-000000000001"
ARM = {"surface": "arm"}
WRITE = {"surface": "arm", "method": "PUT", "path": "/managedNamespaces/[^/]+$"}
FAULTS: dict[str, dict[str, Any]] = {
    "throttled": {"match": ARM, "effect": {"status": 429, "retry_after": 1}, "times": 4},
    "unavailable": {"match": ARM, "effect": {"status": 503}, "times": 8},
    "lost request": {"match": ARM, "effect": {"drop": "before"}, "times": 8},
    "lost answer": {"match": WRITE, "effect": {"drop": "after"}, "times": 5},
    "slow": {"match": ARM, "effect": {"slow": 0.3}},
    "operation fails": {"match": WRITE, "effect": {"operation": "fails"}, "times": 4},
    "operation cancelled": {"match": WRITE, "effect": {"operation": "cancelled"}, "times": 4},
    "list trails": {"match": WRITE, "effect": {"list_trails": LAG_SECONDS}},
    "token expires": {"match": ARM, "effect": {"token": "expires"}, "times": 3},
    "lock": {"match": WRITE, "effect": {"status": 409, "code": "ScopeLocked"}, "times": 3},
    "policy": {
        "match": WRITE,
        "effect": {
            "status": 403,
            "code": "RequestDisallowedByPolicy",
            "additional_info": [{"type": "PolicyViolation", "info": {"policyAssignmentId": "/p"}}],
        },
        "times": 3,
    },
    "throttled for no time": {
        "match": ARM,
        "effect": {"status": 429, "retry_after": 0},
        "times": 8,
    },
    "operation hangs": {"match": WRITE, "effect": {"operation": "hangs"}, "times": 2},
    "tags of a policy": {"match": WRITE, "effect": {"policy_tags": {"by": "policy"}}},
}
SERIALIZED, FULL_DISK, UNGUARDED = "one write at a time", "full disk", "eTags ignored"
WEATHER = (*FAULTS, SERIALIZED, FULL_DISK, UNGUARDED)
DISK_BYTES = (15_000, 150_000)
"""So large a file may become on a full disk: less than a journal or a record needs, or enough."""

SYSTEM = {"default", "kube-public", "kube-node-lease"}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT)


def control(connection: dict[str, Any], method: str, route: str, body: Any = None) -> Any:
    """Return the answer of a control route of the sandbox."""
    url, token = f"{connection['control_endpoint']}/{route}", connection["control_token"]
    with requests.Session() as session:
        session.trust_env, session.verify = False, connection["ca_file"]
        headers = {"Authorization": f"Bearer {token}"}
        answer = session.request(method, url, json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@dataclass
class Tally:
    """What happened, and what is wrong with it."""

    faults: Counter[str] = field(default_factory=Counter)
    runs_with: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name in ("faults", "runs_with", "kills", "outcomes"):
            getattr(self, name).update(getattr(other, name))
        self.attempts += other.attempts
        self.wrong += other.wrong


Attempt = Callable[[dict[str, Any], Path, "int | None"], int]
"""Starts one run or resumption in a process of its own, whose files may become so large, and
returns its id."""


def forked(parameters: dict[str, Any], log: Path, disk: int | None) -> int:
    """Start the library's apply without a kernel, as a fork of this process."""
    number = os.fork()
    if number:
        return number
    code = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if disk is not None:  # Python ignores the signal, so that a write fails as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))
        code = driver.run(parameters)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def through_the_notebook(parameters: dict[str, Any], log: Path, disk: int | None) -> int:
    """Start `mns run`, or `mns resume` where the parameters name a run; its disk is never full."""
    del disk  # the kernel's own files would not be written either
    command = [sys.executable, "-m", "mnslib"]
    if run := parameters.get("resume_run"):
        command += ["resume", run, "--runs", parameters["runs_dir"]]
    else:
        file = log.with_name("30_provision_in_bulk.chaos.yaml")
        file.write_text(json.dumps(parameters))
        command += ["run", driver.NOTEBOOK, "-f", str(file)]
    with log.open("a") as output:
        return subprocess.Popen(command, stdout=output, stderr=output).pid


def play(seed: int, connection: dict[str, Any], folder: Path, *, start: Attempt) -> Tally:
    """Return what happened in the run of this seed, until it ended as done."""
    chance, tally = random.Random(seed), Tally()
    control(connection, "POST", "reset", {"clear": ["faults", "limits"]})
    control(connection, "DELETE", "requests")
    target = open_target("sandbox", cloud="public", credential="default")
    file = folder / "requests.csv"
    _write_requests(file, chance, target, connection)
    specs = parse_requests(file)
    before = observe(specs, azure=target.azure, kube_for=None, now=_now)
    weather = chance.sample(sorted(WEATHER), k=chance.randint(2, 5))
    # a kernel would wait for half an hour, and so long no other write of its cluster would be taken
    if start is through_the_notebook or SERIALIZED in weather:
        weather = [name for name in weather if name != "operation hangs"]
    script = [
        {"name": n, "probability": chance.uniform(0.03, 0.2), **FAULTS[n]}
        for n in weather
        if n in FAULTS
    ]
    if SERIALIZED in weather:
        control(connection, "POST", "limits", {"limits": {"writes_per_cluster": 1}})
    switch = "ignored" if UNGUARDED in weather else "honored"
    control(connection, "POST", "switches", {"if_match": switch})
    _count(tally, UNGUARDED, switch == "ignored")
    control(connection, "POST", "faults", {"seed": seed, "faults": script})
    parameters = {
        "target": "sandbox",
        "request_file": str(file),
        "dry_run": False,
        "approval": "unattended",
        "allow": [name.value for name in RiskName],
        "max_commitment": "",
        "max_changes": "100%",
        "max_deletions": "100%",
        "max_failures": "100%",
        "runs_dir": str(folder / "runs"),
    }
    is_full = FULL_DISK in weather and start is forked
    _until_done(parameters, chance, tally, connection, start=start, is_full=is_full)
    if SERIALIZED in weather:
        refused = [r for r in control(connection, "GET", "requests")["value"] if r["status"] == 409]
        _count(tally, SERIALIZED, sum("fault" not in request for request in refused))
    target.azure.close()
    if "list trails" in weather:
        time.sleep(LAG_SECONDS)  # a run ends as soon as single reads prove it; the judge lists
    _judge(tally, seed, specs, before, connection, folder)
    return tally


def _until_done(
    parameters: dict[str, Any],
    chance: random.Random,
    tally: Tally,
    connection: dict[str, Any],
    *,
    start: Attempt,
    is_full: bool,
) -> None:
    folder = Path(parameters["runs_dir"]).parent
    is_slow = start is through_the_notebook
    failed_writes = 0
    for attempt in range(MOST_ATTEMPTS):
        if attempt == WEATHER_ATTEMPTS:
            _count_faults(tally, connection)
            control(connection, "POST", "faults", {"faults": []})
        if (first := _first_that_wrote(folder)) is not None:
            parameters["resume_run"] = first
        is_full_now = is_full and attempt < WEATHER_ATTEMPTS and chance.random() < 0.7
        disk = chance.randint(*DISK_BYTES) if is_full_now else None
        number = start(parameters, folder / "log", disk)
        tally.attempts += 1
        if attempt < 3 and chance.random() < 0.7:
            _kill_later(number, chance, tally, least=4.0 if is_slow else 0.3)
        status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        if status == 0:
            break
        failed_writes += disk is not None and status > 0
    else:
        tally.wrong.append(f"not done after {MOST_ATTEMPTS} attempts")
    _count_faults(tally, connection)
    _count(tally, FULL_DISK, failed_writes)


def _first_that_wrote(folder: Path) -> str | None:
    """Return the run to resume; one that was killed before its first write is none."""
    for journal in sorted((folder / "runs").glob("*/journal.jsonl")):
        if any(event["event"] == "started" for event in read_events(journal)[0]):
            return journal.parent.name
    return None


def _kill_later(number: int, chance: random.Random, tally: Tally, *, least: float) -> None:
    until = time.monotonic() + chance.uniform(least, least * 8)
    while time.monotonic() < until:
        # look, and leave what ended for the one who collects it
        if os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.01)
    which = chance.choice(SIGNALS)
    os.kill(number, which)
    tally.kills[which.name] += 1


def _count_faults(tally: Tally, connection: dict[str, Any]) -> None:
    for fault in control(connection, "GET", "faults")["faults"]:
        _count(tally, fault["name"], fault["hits"])


def _count(tally: Tally, name: str, times: int) -> None:
    tally.faults[name] += times
    tally.runs_with[name] += times > 0


def _write_requests(
    file: Path, chance: random.Random, target: Target, connection: dict[str, Any]
) -> None:
    rows: list[dict[str, Any]] = []
    for cluster in target.azure.managed_clusters.list(connection["subscription_ids"][0]):
        kube = target.kube_for(cluster)
        listed = target.azure.managed_namespaces.list_by_managed_cluster(cluster.id)
        held = {found.id.namespace_name for found in listed}
        there = {found.name for found in kube.namespaces()}
        free = {name for name in there - held if not name.endswith("-system")} - SYSTEM
        rows += [_row(cluster.id, name, chance, "change") for name in sorted(held)]
        rows += [_row(cluster.id, name, chance, "adopt") for name in sorted(free)[:3]]
        new = (ROWS - len(rows)) if len(rows) > 25 else 5
        rows += [_row(cluster.id, f"new-{i:02}", chance, "create") for i in range(new)]
    rows = rows[:ROWS]
    chance.shuffle(rows)
    with file.open("w", newline="", encoding="utf-8") as output:
        writer = csv.DictWriter(output, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)


def _row(cluster: Any, name: str, chance: random.Random, kind: str) -> dict[str, Any]:
    row = {
        "subscription_id": cluster.subscription_id,
        "resource_group": cluster.resource_group,
        "cluster_name": cluster.cluster_name,
        "namespace_name": name,
    }
    if kind == "change":
        what = chance.random()
        if what < 0.2:
            return row | {"ensure": "absent"}
        if what < 0.35:
            return row
        return row | {"labels": "chaos=yes", "tags": "chaos=yes", "cpu_limit": "64"}
    row |= {"cpu_request": "1", "cpu_limit": "2", "memory_request": "1Gi", "memory_limit": "2Gi"}
    row |= {"labels": "chaos=yes", "delete_policy": chance.choice(["Keep", "Delete"])}
    if chance.random() < 0.3:
        row["access"] = f"group:{GROUP}=reader"
    return row | ({"adoption_policy": "Always"} if kind == "adopt" else {})


# The truth


def _judge(
    tally: Tally, seed: int, specs: Any, before: Any, connection: dict[str, Any], folder: Path
) -> None:
    wrong: list[str] = []
    first = _first_that_wrote(folder)
    if first is None:
        tally.wrong.append(f"seed {seed}: nothing was ever applied")
        return
    directory = find_run(first, runs_dir=folder / "runs")
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    names = Counter((i["cluster_name"], i["namespace_name"]) for i in result["items"])
    if len(names) != len(specs) or set(names.values()) != {1}:
        wrong.append(f"{len(result['items'])} outcomes for {len(specs)} items")
    tally.outcomes.update(item["outcome"] for item in result["items"])
    target = open_target("sandbox", cloud="public", credential="default")
    after = observe(specs, azure=target.azure, kube_for=target.kube_for, now=_now)
    left = make_plan(specs, after, max_commitment=None).to_do
    wrong += [f"{change.kind} of {change.id.namespace_name} is left" for change in left]
    for key, cluster in before.clusters.items():
        for name, was in cluster.managed.items():
            becomes = after.clusters[key].managed.get(name)
            for mapping in ("labels", "annotations", "tags") if becomes else ():
                if lost := getattr(was, mapping).keys() - getattr(becomes, mapping).keys():
                    wrong.append(f"{name} lost {mapping} {sorted(lost)}")
    target.azure.close()
    wrong += _written_again(read_events(directory / "journal.jsonl")[0], connection)
    tally.wrong += [f"seed {seed}: {sentence}" for sentence in wrong]


def _written_again(events: list[dict[str, Any]], connection: dict[str, Any]) -> list[str]:
    done = {"created", "updated", "adopted", "deleted", "released", "unchanged"}
    finished: dict[str, str] = {}
    for event in events:
        if event["event"] == "finished" and event["outcome"] in done:
            key = f"{event['cluster_name']}/{event['namespace_name']}".lower()
            if key in finished:
                return [f"{key} was finished twice"]
            finished[key] = event["utc"]
    found = []
    for request in control(connection, "GET", "requests")["value"]:
        parts = request["path"].lower().split("/")
        is_write = request["method"] in ("PUT", "DELETE") and parts[-2:-1] == ["managednamespaces"]
        if is_write and request["status"] in (200, 201, 202):
            key = f"{parts[-3]}/{parts[-1]}"
            if key in finished and _moment(request["time"]) > _moment(finished[key]):
                found.append(f"{key} was written again after it was finished")
    return found


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _now() -> datetime:
    return datetime.now(UTC)
