"""What Azure refuses, through the command line: said whole, sent once, no more failed than is."""

from __future__ import annotations

import csv

import pytest

GROUP = "00000000-0000-4000-9000-000000000001"
PUT = {"surface": "arm", "method": "PUT"}
LOCK = (
    "/subscriptions/x/resourceGroups/rg-platform/providers/Microsoft.Authorization/locks/hands-off"
)
POLICY = "/providers/Microsoft.Authorization/policyAssignments/3f9d2c41ab5e4f0b9c77"
EXISTING = "0f0e0d0c0b0a09080706050403020100"
FAULTS = {
    "locked": (
        "/managedNamespaces/locked$",
        {"status": 409, "code": "ScopeLocked", "message": f"The scope is locked: '{LOCK}'."},
    ),
    "forbidden": (
        "/managedNamespaces/forbidden$",
        {
            "status": 403,
            "code": "RequestDisallowedByPolicy",
            "message": "Resource 'forbidden' was disallowed by policy.",
            "additional_info": [
                {"type": "PolicyViolation", "info": {"policyAssignmentId": POLICY}}
            ],
        },
    ),
    "locked-below": (
        "/managedNamespaces/locked-below$",
        {"status": 409, "code": "Conflict", "message": f"The scope(s) are locked: '{LOCK}'."},
    ),
    "under-condition": (
        "/managedNamespaces/under-condition$",
        {
            "status": 403,
            "code": "AuthorizationFailed",
            "message": "The client 'me' does not have authorization or an ABAC condition not "
            "fulfilled to perform action 'a/write' over scope '/s' or the scope is invalid.",
        },
    ),
    "tagged": ("/managedNamespaces/tagged$", {"policy_tags": {"cost-center": "42"}}),
    "name-taken": (
        "/managedNamespaces/name-taken/.*/roleAssignments/",
        {"status": 400, "code": "RoleAssignmentUpdateNotPermitted", "message": "Not allowed."},
    ),
    "given": (
        "/managedNamespaces/given/.*/roleAssignments/",
        {
            "status": 409,
            "code": "RoleAssignmentExists",
            "message": f"The ID of the existing role assignment is {EXISTING}.",
        },
    ),
}


@pytest.fixture
def faults(sandbox):
    script = [
        {"name": name, "match": PUT | {"path": path}, "effect": effect}
        for name, (path, effect) in FAULTS.items()
    ]
    sandbox.control("POST", "faults", {"faults": script})
    yield script
    sandbox.control("POST", "reset", {"clear": ["faults"]})


@pytest.fixture
def request_file(sandbox, tmp_path):
    cluster = sandbox.cluster("aks-prod-weu-1")
    row = {
        "subscription_id": cluster.subscription_id,
        "resource_group": cluster.resource_group,
        "cluster_name": cluster.cluster_name,
        "cpu_request": "100m",
        "cpu_limit": "100m",
        "memory_request": "64Mi",
        "memory_limit": "64Mi",
    }
    rows = [
        row
        | {
            "namespace_name": name,
            "access": f"group:{GROUP}=reader" if "roleAssignments" in path else "",
        }
        for name, (path, _) in FAULTS.items()
    ]
    file = tmp_path / "requests.csv"
    with file.open("w", newline="", encoding="utf-8") as output:
        writer = csv.DictWriter(output, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_a_refusal_is_sent_once_and_says_what_refused_and_what_helps(
    run_notebook, sandbox, request_file, faults
):
    done = run_notebook("30", request_file=request_file, max_failures="100%")
    assert done.code == 3, done.output
    items = {item["namespace_name"]: item for item in done.result["items"]}
    outcomes = {name: item["outcome"] for name, item in items.items()}
    assert outcomes == dict.fromkeys(FAULTS, "failed") | {"tagged": "created"}
    sent = [r["path"].rpartition("/")[2] for r in sandbox.requests() if r["method"] == "PUT"]
    refused = ("locked", "forbidden", "locked-below", "under-condition")
    assert [sent.count(name) for name in refused] == [1] * 4
    said = {name: item["reason"] for name, item in items.items()}
    for name, words in {
        "locked": [LOCK, "A lock forbids it", "taken away"],
        "forbidden": [POLICY, "Azure Policy forbids it", "no role helps"],
        "locked-below": [LOCK, "A lock forbids it", "taken away"],
        "under-condition": ["client 'me'", "under a condition that excludes it, or no role"],
        "name-taken": ["is taken by another role assignment", "Find out whose it is"],
        "given": [EXISTING, "is not assigned", "assigned already"],
        "tagged": ["not asked for, by a policy or somebody else: tags[cost-center] is 42"],
    }.items():
        assert [word for word in words if word not in said[name]] == []
        assert "exists already" not in said[name]
        assert "Get a role" not in said[name]
    assert LOCK in done.report
    assert POLICY in done.report
