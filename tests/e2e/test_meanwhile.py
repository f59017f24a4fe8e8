"""What somebody else writes between plan and write, where the service ignores `If-Match`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from mnslib.azure.clouds import sandbox_cloud
from mnslib.azure.credentials import sandbox_credential

from .conftest import writes

SLOW = [f"a-slow-{number}" for number in range(8)]  # two rounds before the items behind them
HELD, MADE = "web-checkout", "zz-made-meanwhile"
QUOTA = "cpu_request: 500m, cpu_limit: '2', memory_request: 2Gi, memory_limit: 2Gi"


@pytest.fixture
def unguarded(sandbox):
    slow = {"surface": "arm", "method": "PUT", "path": "/a-slow-[^/]+$"}
    fault = {"name": "slow", "match": slow, "effect": {"slow": 3.0}}
    sandbox.control("POST", "faults", {"faults": [fault]})
    sandbox.control("POST", "switches", {"if_match": "ignored"})
    yield
    sandbox.control("POST", "reset", {"clear": ["faults"]})


@pytest.fixture
def arm(sandbox):
    """Ask ARM as somebody else."""
    cloud = sandbox_cloud(sandbox.connection)
    token = sandbox_credential(sandbox.connection).get_token(cloud.arm_scope).token

    def ask(method, target, body=None):
        url = f"{cloud.arm_endpoint.rstrip('/')}{target}?api-version=2026-08-01"
        answer = sandbox.session.request(
            method, url, json=body, headers={"Authorization": f"Bearer {token}"}
        )
        answer.raise_for_status()
        return answer.json()

    return ask


@pytest.mark.slow
@pytest.mark.usefixtures("unguarded")
def test_it_is_kept_and_what_was_made_is_neither_counted_nor_undone(
    mns, run_notebook, sandbox, arm, tmp_path
):
    cluster = sandbox.cluster("aks-prod-weu-1")
    where = (
        f"subscription_id: {cluster.subscription_id}, resource_group: {cluster.resource_group}, "
        f"cluster_name: {cluster.cluster_name}"
    )
    file = tmp_path / "requests.yaml"
    rows = [f"- {{{where}, namespace_name: {name}, {QUOTA}}}\n" for name in (*SLOW, MADE)]
    rows.append(f"- {{{where}, namespace_name: {HELD}, cpu_limit: '40'}}\n")
    file.write_text("".join(rows))
    held, made = cluster.namespace(HELD), cluster.namespace(MADE)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            run_notebook, "30", request_file=file, max_failures="100%", max_changes="100%"
        )
        while not (journals := [*tmp_path.glob("runs/*/journal.jsonl")]):
            assert not running.done(), running.result().output
            time.sleep(0.02)
        theirs = arm("GET", held)
        theirs["properties"]["labels"] = {"theirs": "1"}
        arm("PUT", held, theirs)
        theirs["properties"]["labels"] = {"made-by": "them"}
        arm("PUT", made, {k: theirs[k] for k in ("location", "properties")})
        journal = journals[0].read_text()
        assert '"started"' not in "".join(x for x in journal.splitlines() if MADE in x or HELD in x)
        done = running.result()

    assert (done.code, done.result["status"]) == (3, "partly"), done.output
    outcomes = {item["namespace_name"]: item for item in done.result["items"]}
    assert {outcomes[name]["outcome"] for name in SLOW} == {"created"}
    assert done.result["summary"]["created"] == len(SLOW)
    for name in (HELD, MADE):
        assert outcomes[name]["outcome"] == "skipped"
        assert outcomes[name]["reason"].startswith("stale: somebody else changed it")
    assert arm("GET", held)["properties"]["labels"] == {"theirs": "1"}
    assert arm("GET", made)["properties"]["labels"] == {"made-by": "them"}

    undone = mns("undo", done.directory.name, "--runs", str(tmp_path / "runs"))
    assert undone.returncode == 0, undone.stderr
    asked = yaml.safe_load((done.directory / "undo.yaml").read_text())
    assert {row["namespace_name"] for row in asked} == set(SLOW)
    sandbox.control("DELETE", "requests")
    back = run_notebook(
        "30",
        request_file=done.directory / "undo.yaml",
        max_changes="100%",
        max_deletions="100%",
        max_failures="100%",
        allow="[deletion, delete-policy, many-changes]",
    )
    assert back.code == 0, back.output
    assert {request["path"].rpartition("/")[2] for request in writes(sandbox.requests())} == {*SLOW}
    assert arm("GET", made)["properties"]["labels"] == {"made-by": "them"}
