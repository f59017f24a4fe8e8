"""Many runs in one kernel, as JupyterLab has them: each record tells of its own run alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from mnslib.run.runs import write_index

BEGIN = """
import datetime
import mnslib as mns
target, runs_dir = "sandbox", {runs!r}
subscription_id, resource_group, cluster_name = {place!r}
cpu_request, cpu_limit, memory_request, memory_limit = "100m", "100m", "64Mi", "64Mi"
owner, dry_run, approval, allow, labels = "crm", False, "unattended", [], {{}}

def begin(name, **given):
    usual = dict(dry_run=False, approval="unattended", labels={{}}, allow=[])
    globals().update(namespace_name=name, **usual | given)
    return mns.start("20_onboard_namespace", globals())

def steps(run, last):
    names = "requests observe check plan approve apply read_back record".split()
    for name in names[: names.index(last) + 1]:
        if name == "approve":
            run.approve(dry_run=dry_run, approval=approval, approved_digest="", allow=allow)
        else:
            getattr(run, name)()

def from_library(name, approve):
    row = dict(cluster_name=cluster_name, namespace_name=name, cpu_request=cpu_request)
    row |= dict(cpu_limit=cpu_limit, memory_request=memory_request, memory_limit=memory_limit)
    row |= dict(subscription_id=subscription_id, resource_group=resource_group, owner=owner)
    plan = mns.connect(runs_dir=runs_dir).plan([row])
    plan.apply(approve=approve or plan.digest)
"""
WHOLE, APPLIED = "steps(run, 'record')", "steps(run, 'apply')"
IS_DONE = "{} is as requested: created."
RUNS = [
    # its cells after `run = begin(...)`, those that fail among them; what it was given;
    # status, exit code, outcomes and headline of its record
    ([WHOLE], {}, "done", 0, ["created"], IS_DONE),
    ([WHOLE, "1 / 0"], {}, "done", 0, ["created"], IS_DONE),
    ([WHOLE, "run.record()"], {}, "done", 0, ["created"], IS_DONE),
    ([WHOLE, WHOLE], {}, "done", 0, ["created"], IS_DONE),
    ([APPLIED, "run.apply()", APPLIED, "run.read_back()", "run.record()"], {},
     "done", 0, ["created"], IS_DONE),
    ([APPLIED, "1 / 0"], {}, "failed", 4, ["created"],
     IS_DONE + " Then a cell failed that is no step of it (ZeroDivisionError)."),
    ([APPLIED], {}, "stopped", 5, ["created"],
     IS_DONE + " Its kernel began another run before this one ended."),
    ([APPLIED, "raise KeyboardInterrupt"], {}, "interrupted", 130, ["created"],
     IS_DONE + " Interrupted before the run ended."),
    ([WHOLE], {"dry_run": True}, "findings", 0, ["not_attempted"],
     "1 change, none with a named risk."),
    ([WHOLE, "run.read_back()"], {"approval": "digest"}, "failed", 4, [],
     "Not approved: Nothing was written: no plan is approved."),
    ([WHOLE], {"labels": "{'since': datetime.date(2026, 1, 1)}"}, "refused", 6, [],
     "1 parameter is refused;"),
    ([WHOLE], {"allow": "(lambda a: a.append(a) or a)([])"}, "refused", 6, [], ""),
    ([APPLIED, "from_library('of-library', '')", "from_library('none', 'sha256:0')",
      "run.read_back()", "run.record()"], {}, "done", 0, ["created"], IS_DONE),
    (["steps(run, 'observe')"], {}, "stopped", 5, [],
     "The run has not ended: its process is at work, or died."),
]  # fmt: skip


@pytest.fixture
def kernel(sandbox_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("MNS_SANDBOX", str(sandbox_file))
    manager, client = start_new_kernel(kernel_name="python3")

    def run(cell: str) -> str:
        """Run a cell and return what kind of error it ended with, if any."""
        content = client.execute_interactive(cell, timeout=120, output_hook=lambda _: None)
        return content["content"].get("ename", "")

    run.kill = lambda: manager.shutdown_kernel(now=True)
    yield run
    client.stop_channels()
    run.kill()


def row_of(index: Path, name: str) -> str:
    """Return the text of a run's line in the index."""
    rows = re.findall(r"<tr.*?</tr>", index.read_text(encoding="utf-8"), re.S)
    (row,) = [row for row in rows if f": {name} on " in row]
    return unescape(re.sub(r"<[^>]+>", " ", row))


def test_each_of_14_runs_in_one_kernel_has_a_record_of_its_own(
    sandbox, kernel, tmp_path: Path
) -> None:
    cluster = sandbox.cluster("aks-prod-weu-2")
    place = cluster.subscription_id, cluster.resource_group, cluster.cluster_name
    assert kernel(BEGIN.format(runs=str(tmp_path), place=place)) == ""
    for number, (cells, given, *_) in enumerate(RUNS):
        values = "".join(
            f", {name}={value if name in ('labels', 'allow') else repr(value)}"
            for name, value in given.items()
        )
        kernel(f"run = begin('team-{number}'{values})")
        for cell in cells:
            kernel(cell)

    records, library = {}, []
    for file in tmp_path.glob("*/result.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["notebook"] == "library":
            library.append((record["status"], [item["outcome"] for item in record["items"]]))
        else:
            records[record["parameters"]["namespace_name"]] = record
    assert library == [("done", ["created"])]
    assert len(records) == len(RUNS)
    for number, (_, _, status, code, outcomes, headline) in enumerate(RUNS):
        name = f"team-{number}"
        told, items = records[name], records[name]["items"]
        found = told["status"], told["exit_code"], [item["outcome"] for item in items]
        assert (name, *found) == (name, status, code, outcomes)
        assert told["headline"].startswith(headline.format(name))
        assert {item["namespace_name"] for item in items} <= {name}

    last = f"team-{len(RUNS) - 1}"
    row = row_of(write_index(tmp_path), last)
    assert "running" in row
    assert "is under way" in row
    kernel.kill()
    row = row_of(write_index(tmp_path), last)
    assert "stopped" in row
    assert "The process ended before the run did." in row
