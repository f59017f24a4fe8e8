"""Answers that are odd, endless or too large, delays that are none: through the command line."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from mnslib.errors import LARGEST_ANSWER_BYTES

from .conftest import ROOT

GROUP = "00000000-0000-4000-9000-000000000001"
WEU, NEU = "aks-prod-weu-1", "aks-prod-neu-1"
ROLES = "/.*/roleAssignments/"
YEAR = "31536000"


def refused(delay, **more):
    return {"status": 429, "code": "Throttled", "message": "Slow down.", "retry_after": delay}


def answers(body):
    return {"operation": "answers", "answer": body}


# item: its cluster, what is struck, how, how often, its outcome, and what is said
ITEMS = {
    "zero": (WEU, ROLES, refused("0"), None, "failed", ["429 Throttled", "Slow down"]),
    "nan": (WEU, ROLES, refused("nan"), 1, "created", []),
    "below": (WEU, ROLES, refused("-5"), 1, "created", []),
    "text": (WEU, "$", answers("x"), None, "failed", ["how it stands; its outcome is unknown"]),
    "list": (WEU, "$", answers([7]), None, "failed", ["how it stands; its outcome is unknown"]),
    "mute": (WEU, "$", answers({}), None, "failed", ["how it stands; its outcome is unknown"]),
    "bomb": (WEU, "$", {"inflated": LARGEST_ANSWER_BYTES + 1}, None, "failed", ["is larger than"]),
    "well": (WEU, "$", {"slow": 0}, None, "created", []),
    "year": (NEU, "$", refused(YEAR), None, "failed", ["429", f"{YEAR} s"]),
    "next": (NEU, "$", refused(YEAR), None, "failed", ["429", " s"]),
}


@pytest.fixture
def storm(sandbox):
    def storm(*faults):
        script = [
            {"name": f"{number}", "match": match, "effect": effect, **more}
            for number, (match, effect, more) in enumerate(faults)
        ]
        sandbox.control("POST", "faults", {"faults": script})

    yield storm
    sandbox.control("POST", "reset", {"clear": ["faults"]})


@pytest.fixture
def request_file(sandbox, tmp_path):
    def write(items):
        file = tmp_path / "requests.csv"
        rows = []
        for name, (cluster, path, *_) in items.items():
            where = sandbox.cluster(cluster)
            rows.append(
                {
                    "subscription_id": where.subscription_id,
                    "resource_group": where.resource_group,
                    "cluster_name": where.cluster_name,
                    "namespace_name": name,
                    "cpu_request": "100m",
                    "cpu_limit": "100m",
                    "memory_request": "64Mi",
                    "memory_limit": "64Mi",
                    "access": f"group:{GROUP}=reader" if path == ROLES else "",
                }
            )
        with file.open("w", newline="", encoding="utf-8") as output:
            writer = csv.DictWriter(output, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return file

    return write


def test_each_oddity_is_one_failed_item_of_a_run_that_goes_on(
    run_notebook, sandbox, request_file, storm
):
    storm(
        *(
            (
                {"surface": "arm", "method": "PUT", "path": f"/managedNamespaces/{name}{path}"},
                effect,
                {} if times is None else {"times": times},
            )
            for name, (_, path, effect, times, *_) in ITEMS.items()
        )
    )
    done = run_notebook("30", request_file=request_file(ITEMS), max_failures="100%")
    assert (done.code, done.result["status"]) == (3, "partly"), done.output
    items = {item["namespace_name"]: item for item in done.result["items"]}
    assert {name: item["outcome"] for name, item in items.items()} == {
        name: outcome for name, (*_, outcome, _) in ITEMS.items()
    }
    for name, (*_, words) in ITEMS.items():
        said = items[name]["reason"]
        assert [word for word in words if word not in said] == []
        assert "nothing was sent" not in said
    assert "Traceback" not in done.output
    sent = [r["path"] for r in sandbox.requests("PUT")]
    tried = Counter(path.partition("/managedNamespaces/")[2].partition("/")[0] for path in sent)
    assert tried["zero"] + tried["nan"] + tried["below"] <= 6 + 2 + 2 + 4  # and their own writes
    assert tried["year"] + tried["next"] <= 2


def test_what_a_cluster_answers_oddly_is_unknown_and_the_others_are_analyzed(run_notebook, storm):
    lists = {"surface": "arm", "method": "GET"}
    page = {"value": [], "nextLink": "{next}"}
    odd = {"status": "success", "data": {"resultType": "vector", "result": [
        {"metric": {"namespace": "a"}, "value": [1, "many"]}]}}  # fmt: skip
    storm(
        (lists | {"path": f"/{WEU}/managedNamespaces$"}, {"body": page}, {}),
        (lists | {"path": f"/{NEU}/managedNamespaces$"}, {"body": page | {"nextLink": "x"}}, {}),
        (
            {"surface": "kubernetes", "path": "/aks-test-weu-1/api/v1/pods"},
            {"inflated": LARGEST_ANSWER_BYTES + 1},
            {},
        ),
        ({"surface": "prometheus"}, {"body": odd}, {"times": 4}),
    )
    done = run_notebook("40")
    assert (done.code, done.result["status"]) == (0, "findings"), done.output
    assert "Traceback" not in done.output
    for words in ["pages that do not end", "nextLink that is no address", "is larger than"]:
        assert words in done.report
    assert "aks-prod-weu-2" in done.report


def on(method, path, effect):
    return {"surface": "arm", "method": method, "path": path}, effect, {}


READS = [
    on("GET", f"/{WEU}/managedNamespaces$", refused("100")),
    on("GET", f"/{NEU}/managedNamespaces$", {"hang": 100}),
    on("GET", "/aks-prod-weu-2/managedNamespaces$", {"status": 503, "retry_after": 100}),
    on("GET", "/aks-test-weu-1/managedNamespaces$", {"body": {"value": [], "nextLink": "{next}"}}),
]


@pytest.mark.parametrize(
    ("number", "faults"),
    [
        ("40", READS),
        ("30", [on("PUT", "/roleAssignments/", refused("0"))]),
        ("30", [on("PUT", "/roleAssignments/", refused("100"))]),
        ("30", [on("PUT", "/managedNamespaces/", {"status": 503, "retry_after": 100})]),
    ],
)
def test_a_signal_is_heard_within_seconds_whatever_is_waited_for(
    mns, sandbox, storm, number, faults
):
    storm(*faults)
    name = next(p.stem for p in (ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    file = ROOT / "parameters" / f"{name}.sandbox.yaml"
    words = ["run", number, "-f", str(file), "--runs", str(mns.folder / "runs")]
    process = subprocess.Popen(
        [sys.executable, "-m", "mnslib", *words],
        cwd=mns.folder,
        env=mns.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not any("fault" in request for request in sandbox.requests()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)  # it waited for minutes
    assert process.returncode == 143, output
