"""Roles that a request file takes away: planned, allowed, killed and resumed, undone."""

from __future__ import annotations

import csv
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from mnslib.azure.client import AzureClient
from mnslib.azure.clouds import sandbox_cloud
from mnslib.azure.credentials import sandbox_credential
from mnslib.models import BUILT_IN_ROLES, ROLE_NAMES, ROLE_SHORT_NAMES, AccessGrant, PrincipalType

from .conftest import CAPS, ROOT, writes
from .test_resume import holder

CLUSTER, NAMES = "aks-prod-weu-1", ["payments-api", "payments-ledger", "web-checkout"]
TEAM, OTHERS = "00000000-0000-4000-9000-000000000008", "00000000-0000-4000-9000-000000000009"
ALLOW = "[access-removed, access-granted, many-changes, foreign-owner]"


@pytest.fixture
def azure(sandbox):
    cloud, credential = sandbox_cloud(sandbox.connection), sandbox_credential(sandbox.connection)
    with AzureClient(cloud, credential) as azure:
        yield azure


@pytest.fixture
def targets(sandbox):
    return [sandbox.cluster(CLUSTER).namespace(name) for name in NAMES]


@pytest.fixture
def assign(azure, sandbox):
    def assign(scope, principal, short):
        role = ROLE_SHORT_NAMES[short]
        azure.role_assignments.create(
            scope,
            AccessGrant(
                principal_type=PrincipalType.GROUP,
                principal_id=principal,
                role=role,
                role_guid=BUILT_IN_ROLES[role],
            ),
            subscription_id=sandbox.cluster(CLUSTER).subscription_id,
        )

    return assign


@pytest.fixture
def held(azure, sandbox):
    """Return who has which role on a namespace by either form of its scope."""
    shorts = {name: short for short, name in ROLE_SHORT_NAMES.items()}

    def held(target):
        found = azure.role_assignments.list_for_subscription(target.cluster.subscription_id)
        return {
            (one.principal_id, shorts[ROLE_NAMES[one.role_guid]])
            for one in found
            if one.scope.lower() in target.own_scopes and one.principal_id in (TEAM, OTHERS)
        }

    return held


@pytest.fixture
def request_file(tmp_path, targets):
    def request_file(**access):
        path = tmp_path / "access.csv"
        own = [target for target in targets if target.namespace_name in access]
        with path.open("w", newline="") as file:
            lines = csv.writer(file)
            names = ["subscription_id", "resource_group", "cluster_name"]
            lines.writerow([*names, "namespace_name", "access"])
            for target in own:
                place = [getattr(target.cluster, name) for name in names]
                lines.writerow([*place, target.namespace_name, access[target.namespace_name]])
        return path

    return request_file


def test_roles_are_taken_away_only_if_allowed_and_undo_gives_them_back(
    run_notebook, mns, request_file, targets, assign, held, sandbox, tmp_path
):
    api, ledger, _ = targets
    for scope in api.own_scopes:  # somebody used the older form, too
        assign(scope, TEAM, "writer")
    assign(str(ledger), TEAM, "reader")
    before = [held(target) for target in targets]
    file = request_file(**{
        "payments-api": f"group:{TEAM}=reader;group:{TEAM}=writer-",
        "payments-ledger": f"group:{TEAM}=reader-;group:{OTHERS}=reader-",
        "web-checkout": f"group:{TEAM}=writer-",
    })  # fmt: skip
    sandbox.control("DELETE", "requests")
    given = {"request_file": file, **CAPS}
    refused = run_notebook("30", allow="[many-changes, foreign-owner]", **given)
    assert refused.code == 4, refused.output
    assert "access-removed" in refused.output
    assert writes(sandbox.requests()) == []

    done = run_notebook("30", allow=ALLOW, **given)
    assert done.code == 0, done.output
    assert [item["outcome"] for item in done.result["items"]] == ["updated", "updated", "unchanged"]
    assert [held(target) for target in targets] == [{(TEAM, "reader")}, set(), before[2]]
    assert "RBAC Writer taken from group" in done.report
    assert not [
        r for r in writes(sandbox.requests()) if r["path"].lower().endswith("/payments-api")
    ]

    sandbox.control("DELETE", "requests")
    again = run_notebook("30", allow=ALLOW, **given)
    assert {item["outcome"] for item in again.result["items"]} == {"unchanged"}
    assert writes(sandbox.requests()) == []

    undo = mns("undo", done.directory.name, "--runs", str(tmp_path / "runs"))
    assert undo.returncode == 0, undo.stderr
    assert shlex.split(undo.stdout.strip().splitlines()[-1])[:3] == ["mns", "run", "30"]
    given["request_file"] = done.directory / "undo.yaml"
    assert "Not restored" not in given["request_file"].read_text()
    back = run_notebook("30", allow=ALLOW, **given)
    assert back.code == 0, back.output
    assert [held(target) for target in targets] == before


def test_an_inherited_role_is_refused_with_its_scope(run_notebook, request_file, assign, sandbox):
    assign(str(sandbox.cluster(CLUSTER)), OTHERS, "reader")
    file = request_file(**{"payments-api": f"group:{OTHERS}=reader-"})
    sandbox.control("DELETE", "requests")
    refused = run_notebook("30", request_file=file, allow=ALLOW, **CAPS)
    assert refused.code not in (0, 2)
    assert "row 2, column access" in refused.output
    assert f"by an assignment at {sandbox.cluster(CLUSTER)}," in refused.output.replace("\n", " ")
    assert writes(sandbox.requests()) == []


@pytest.mark.slow
def test_a_run_that_was_killed_while_it_took_roles_away_is_resumed(
    mns, environment, request_file, targets, assign, held, sandbox, tmp_path
):
    for target in targets:
        assign(str(target), TEAM, "admin")
    file = request_file(**{name: f"group:{TEAM}=admin-" for name in NAMES})
    match = {"surface": "arm", "method": "DELETE"}
    fault = {"name": "slow", "match": match, "effect": {"slow": 5.0}, "after": 1}
    sandbox.control("POST", "faults", {"faults": [fault]})
    parameters = ROOT / "parameters/30_provision_in_bulk.sandbox.yaml"
    given = {"request_file": file, "allow": ALLOW, "runs_dir": tmp_path / "runs", **CAPS}
    words = [word for key, value in given.items() for word in ("-p", f"{key}={value}")]
    run = subprocess.Popen(
        [sys.executable, "-m", "mnslib", "run", "30", "-f", str(parameters), *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    try:
        journal = None
        while run.poll() is None and not journal:
            found = list((tmp_path / "runs").glob("*/journal.jsonl"))
            text = found[0].read_text() if found else ""
            journal = found[0] if text.count('"revoking"') == 3 and '"finished"' in text else None
            time.sleep(0.02)
        assert journal, "the run ended too early"
        os.kill(holder(tmp_path)["process"], signal.SIGKILL)
        assert run.wait(timeout=60) == 5
    finally:
        sandbox.control("POST", "reset", {"clear": ["faults"]})
        if run.poll() is None:
            run.kill()
            run.wait()
    request_file(**dict.fromkeys(NAMES, ""))  # what was approved counts, not what stands there now
    done = mns("resume", journal.parent.name, "--runs", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any((TEAM, "admin") in held(target) for target in targets)
    assert '"outcome": "failed"' not in journal.read_text()
