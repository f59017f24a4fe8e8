"""What the service refuses, with its code and text, as `az` shows it to an administrator."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from tests.conformance.client import Az, Result
from tests.sandbox.client import Client, cluster_id, make_body, make_pod, namespace_id

WEU = "-g rg-platform --cluster-name aks-prod-weu-1"
QUOTA = "--cpu-request 500m --cpu-limit 800m --memory-request 1Gi --memory-limit 2Gi"
VERSION = "?api-version=2026-06-01"


def rest(method: str, path: str, body: Any = None, query: str = VERSION) -> str:
    words = ["rest", "--method", method, "--url", path + query]
    return shlex.join([*words, *(["--body", json.dumps(body)] if body is not None else [])])


def put(name: str = "wrong", body: Any = None, cluster: str = "aks-prod-weu-1", **more: Any) -> str:
    return rest("put", namespace_id(name, cluster), body or make_body(**more))


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in make_body().items() if name != key}


# what is sent, the code, the text
CASES: dict[str, tuple[str, str, str]] = {
    "name-not-a-label": (put("Upper_Case"), "InvalidParameter", "'Upper_Case' is invalid"),
    "name-too-long": (put("a" * 64), "InvalidParameter", "1 to 63 characters"),
    "system-name": (
        f"aks namespace add {WEU} -n kube-system {QUOTA}",
        "BadRequest",
        "The namespace name cannot be the same as the name of a system namespace.",
    ),
    "bad-quantity": (
        put(defaultResourceQuota={"cpuRequest": "lots"}),
        "InvalidParameter",
        "properties.defaultResourceQuota.cpuRequest",
    ),
    "bad-policy": (
        put(defaultNetworkPolicy={"ingress": "DenySome"}),
        "InvalidParameter",
        "properties.defaultNetworkPolicy.ingress",
    ),
    "unknown-property": (
        put(body=make_body() | {"colour": "red"}),
        "InvalidRequestContent",
        "could not find member 'colour'",
    ),
    "unknown-inner-property": (
        put(quota={}),
        "InvalidRequestContent",
        "could not find member 'properties.quota'",
    ),
    "wrong-type": (
        put(labels=["a"]),
        "InvalidRequestContent",
        "properties.labels",
    ),
    "no-location": (put(body=without("location")), "LocationRequired", "location"),
    "other-location": (
        put(body=make_body() | {"location": "eastus"}),
        "InvalidResourceLocation",
        "eastus",
    ),
    "no-cluster": (put(cluster="nowhere"), "ParentResourceNotFound", "nowhere"),
    "missing-cluster": (
        "aks show -g rg-platform -n nowhere",
        "ResourceNotFound",
        "The Resource 'Microsoft.ContainerService/managedClusters/nowhere' under resource group "
        "'rg-platform' was not found.",
    ),
    "missing-group": ("aks list -g rg-nowhere", "ResourceGroupNotFound", "rg-nowhere"),
    "missing-namespace": (
        f"aks namespace get-credentials {WEU} -n nobody -f -",
        "ResourceNotFound",
        "nobody",
    ),
    "no-api-version": (
        rest("get", cluster_id(), query=""),
        "MissingApiVersionParameter",
        "api-version",
    ),
    "bad-api-version": (
        rest("get", cluster_id(), query="?api-version=2020-01-01"),
        "InvalidApiVersionParameter",
        "2020-01-01",
    ),
    "patch-of-properties": (
        rest("patch", namespace_id("payments-api"), {"properties": {}}),
        "InvalidRequestContent",
        "properties",
    ),
    "wrong-method": (rest("post", namespace_id("payments-api")), "MethodNotAllowed", "POST"),
}


@pytest.fixture(scope="module")
def answers(az: Az, sandbox: Client) -> dict[str, Result]:
    found = az.together("admin", (line for line, _, _ in CASES.values()))
    return dict(zip(CASES, found, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_request_is_refused_with_code_and_text(
    answers: dict[str, Result], case: str
) -> None:
    _, code, text = CASES[case]
    assert answers[case].rc in (1, 3)
    assert code in answers[case].err
    assert text in answers[case].err


def test_nothing_that_was_refused_is_there(answers: dict[str, Result], sandbox: Client) -> None:
    listed = sandbox.arm("GET", f"{cluster_id()}/managedNamespaces").json()["value"]
    assert "wrong" not in {one["name"] for one in listed}


# codes that no source confirms: what a switch sets is what the CLI shows


def existing(az: Az, sandbox: Client) -> Result:
    """Add a namespace that the cluster has already."""
    return az("admin", f"aks namespace add {WEU} -n docs-site {QUOTA}")


def test_an_unmanaged_namespace_of_that_name_fails_the_operation(az: Az, sandbox: Client) -> None:
    done = existing(az, sandbox)
    assert (done.rc, "(BadRequest) Namespace docs-site already exists" in done.err) == (1, True)
    assert sandbox.get("docs-site")["properties"]["provisioningState"] == "Failed"


def test_a_private_clusters_update_can_fail_with_an_internal_error(az: Az, sandbox: Client) -> None:
    sandbox.switch(private_cluster_updates_fail=True)
    line = "aks namespace update -g rg-platform --cluster-name aks-prod-weu-2 -n ml-serving"
    done = az("admin", f"{line} --cpu-limit 17000m")
    text = "KubeClient failed to update resource quota due to internal server error"
    assert (done.rc, f"(InternalError) {text}" in done.err) == (1, True)


def test_a_pod_without_requests_is_refused_by_the_quota(sandbox: Client) -> None:
    path = "/api/v1/namespaces/payments-api/pods"
    answer = sandbox.kube("aks-prod-weu-1", "POST", path, make_pod("x"))
    assert answer.json()["message"] == (
        'pods "x" is forbidden: failed quota: defaultresourcequota: must specify limits.cpu for: x;'
        " limits.memory for: x; requests.cpu for: x; requests.memory for: x"
    )


# sign-in


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"client_secret": "guess"}, "AADSTS7000215"),
        ({"client_id": "00000000-0000-4000-b000-0000000000ff"}, "AADSTS700016"),
        ({"tenant_id": "00000000-0000-4000-8000-0000000000ff"}, "AADSTS90002"),
    ],
    ids=["secret", "client", "tenant"],
)
def test_sign_in_with_something_wrong_is_refused(
    az: Az, tmp_path: Any, change: dict[str, str], text: str
) -> None:
    done = az.login("admin", tmp_path / "config", **change)
    assert (done.rc, text in done.err) == (1, True), done.err


def test_who_may_only_read_is_refused_by_name_action_and_scope(az: Az, sandbox: Client) -> None:
    done = az("reader", put("not-mine"))
    who = az.connection["identities"]["reader"]
    assert done.rc == 1
    assert "AuthorizationFailed" in done.err
    assert (
        f"The client '{who['client_id']}' with object id '{who['object_id']}' does not have "
        "authorization to perform action "
        "'Microsoft.ContainerService/managedClusters/managedNamespaces/write' over scope "
        f"'{namespace_id('not-mine')}' or the scope is invalid. If access was recently granted, "
        "please refresh your credentials."
    ) in done.err
