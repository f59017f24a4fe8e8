"""Each switch makes the difference that docs/sandbox.md says; some are shown by lifecycle rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnslib.sandbox.switches import Switches
from tests.sandbox.client import PROD, Client, cluster_id, make_body, namespace_id

WEU = "aks-prod-weu-1"
NAMESPACE_USER = "c9f76ca8-b262-4b10-8ed2-09cf0948aa35"
RBAC_READER = "7f6c6a51-bcf8-42ba-9220-52d62157d7db"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"


def retry_after(s: Client) -> Any:
    return s.arm("PUT", namespace_id("a"), make_body()).headers["Retry-After"]


def adopt_bare(s: Client, policy: str = "Never", **labels: str) -> dict[str, Any]:
    metadata = {"name": "bare", "labels": labels}
    s.kube(WEU, "POST", "/api/v1/namespaces", {"metadata": metadata})
    answer = s.put("bare", make_body(adoptionPolicy=policy))
    return {"status": answer.status_code, "code": answer.json().get("error", {}).get("code")} | (
        {"operation": s.operation(answer)} if answer.ok else {}
    )


def adopt_named(s: Client) -> Any:
    """Adopt a namespace whose only own label is the one that Kubernetes sets."""
    s.switch(identical_compares="labels-and-annotations")
    return adopt_bare(s, "IfIdentical")["operation"]["status"]


def two_writes_on_a_namespace(s: Client) -> Any:
    s.arm("PUT", namespace_id("a"), make_body())
    return s.arm("PUT", namespace_id("a"), make_body()).status_code


def put(**change: Any) -> Callable[[Client], Any]:
    def status(s: Client) -> Any:
        body = {k: v for k, v in (make_body() | change).items() if v is not None}
        return s.arm("PUT", namespace_id("a"), body).status_code

    return status


def scheduler_series(s: Client) -> Any:
    text = f'count(kube_pod_resource_requests{{cluster="{WEU}",namespace="payments-api"}})'
    now = s.control("GET", "health").json()["now"]
    answer = s.prometheus(text, start=now, end=now, step=60).json()
    return bool(answer["data"]["result"])


def put_without_provider(s: Client) -> Any:
    path = f"/subscriptions/{PROD}/providers/Microsoft.ContainerService/unregister"
    s.arm("POST", path, version="2021-04-01")
    s.finish(10)
    return put()(s)


def quota(**texts: str) -> Callable[[Client], Any]:
    """Put the usual quota with other amounts."""
    both = make_body()["properties"]["defaultResourceQuota"] | texts
    return put(properties={"defaultResourceQuota": both})


def stored(name: str) -> Callable[[Client], Any]:
    return lambda s: s.put("a", make_body()).json()["properties"][name]


def returned_labels(s: Client) -> Any:
    return sorted(s.put("a", make_body()).json()["properties"].get("labels", {}))


def quota_objects(s: Client) -> Any:
    s.switch(quota_missing="accept")
    s.put("a", {"location": "westeurope", "properties": {}})
    return len(s.kube(WEU, "GET", "/api/v1/namespaces/a/resourcequotas").json()["items"])


def open_policy_objects(s: Client) -> Any:
    both = {"ingress": "AllowAll", "egress": "AllowAll"}
    s.put("a", make_body(defaultNetworkPolicy=both))
    return len(s.kube(WEU, "GET", POLICIES.format("a")).json()["items"])


def same_namespace_peer(s: Client) -> Any:
    s.put("a", make_body())
    spec = s.kube(WEU, "GET", POLICIES.format("a")).json()["items"][0]["spec"]
    return list(spec["ingress"][0]["from"][0])


def private_update(s: Client) -> Any:
    answer = s.put("search-query", make_body(), cluster="aks-prod-weu-2")
    return s.operation(answer).get("error", {}).get("code")


def assignments_after_delete(s: Client) -> Any:
    s.arm("DELETE", namespace_id("payments-api"))
    s.finish()
    path = f"{cluster_id()}/providers/Microsoft.Authorization/roleAssignments"
    found = s.arm("GET", path, version="2022-04-01").json()["value"]
    return sum("payments-api" in one["id"] for one in found)


def repeated_assignment(s: Client) -> Any:
    name = "00000000-0000-4000-c000-000000000001"
    scope = f"{cluster_id()}/providers/Microsoft.Authorization"
    role = f"{scope}/roleDefinitions/7f6c6a51-bcf8-42ba-9220-52d62157d7db"
    properties = {"principalId": name, "principalType": "Group", "roleDefinitionId": role}
    path, body = f"{scope}/roleAssignments/{name}", {"properties": properties}
    s.arm("PUT", path, body, version="2022-04-01")
    return s.arm("PUT", path, body, version="2022-04-01").status_code


def missing_cluster(s: Client) -> Any:
    answer = s.arm("PUT", namespace_id("a", "nowhere"), make_body())
    return answer.json()["error"]["code"]


def listed_at_once(s: Client) -> Any:
    s.put("a", make_body())
    items = s.arm("GET", f"{cluster_id()}/managedNamespaces").json()["value"]
    return "a" in {one["name"] for one in items}


def read_after_grant(s: Client) -> Any:
    assert s.grant(namespace_id("payments-api"), NAMESPACE_USER).status_code == 201
    return s.another("namespace_user").arm("GET", namespace_id("payments-api")).status_code


def pods_after_grant(s: Client) -> Any:
    assert s.grant(namespace_id("payments-api"), RBAC_READER).status_code == 201
    path = "/api/v1/namespaces/payments-api/pods"
    return s.another("namespace_user").kube(WEU, "GET", path).status_code


def grant_without_type(s: Client) -> Any:
    answer = s.grant(cluster_id(), RBAC_READER, principalType=None)
    return answer.json().get("error", {}).get("code", "created")


def list_without_right(s: Client) -> Any:
    path = f"{cluster_id()}/managedNamespaces"
    return s.another("namespace_user").arm("GET", path).status_code


def poll_of_a_stranger(s: Client) -> Any:
    answer = s.arm("PUT", namespace_id("a"), make_body())
    url = answer.headers["Azure-AsyncOperation"]
    return s.another("namespace_user").arm("GET", url).status_code


# switch: what is done, the other value, what is seen by default and then
CASES: dict[str, tuple[Callable[[Client], Any], Any, Any, Any]] = {
    "scheduler_metrics": (scheduler_series, True, False, True),
    "retry_after_seconds": (retry_after, 30, "0", "30"),
    "identical_compares": (
        lambda s: adopt_bare(s, "IfIdentical")["operation"]["status"],
        "labels-and-annotations",
        "Failed",
        "Succeeded",
    ),
    "identical_ignores_name_label": (adopt_named, False, "Succeeded", "Failed"),
    "existing_namespace_code": (
        lambda s: adopt_bare(s)["operation"]["error"]["code"],
        "NamespaceExists",
        "BadRequest",
        "NamespaceExists",
    ),
    "system_namespace_code": (
        lambda s: s.arm("PUT", namespace_id("default"), make_body()).json()["error"]["code"],
        "Reserved",
        "BadRequest",
        "Reserved",
    ),
    "missing_cluster_code": (
        missing_cluster,
        "ResourceNotFound",
        "ParentResourceNotFound",
        "ResourceNotFound",
    ),
    "write_during_operation": (two_writes_on_a_namespace, "accept", 409, 200),
    "cpu_form": (quota(cpuRequest="0.5"), "kubernetes", 400, 201),
    "request_over_limit": (quota(cpuRequest="2000m", cpuLimit="1000m"), "refuse", 201, 400),
    "unknown_properties": (put(colour="red"), "ignore", 400, 201),
    "location_missing": (put(location=None), "accept", 400, 201),
    "location_different": (put(location="eastus"), "accept", 409, 201),
    "default_adoption_policy": (stored("adoptionPolicy"), "Always", "Never", "Always"),
    "default_delete_policy": (stored("deletePolicy"), "Delete", "Keep", "Delete"),
    "name_label_returned": (returned_labels, True, [], ["kubernetes.io/metadata.name"]),
    "managed_label_returned": (returned_labels, True, [], ["kubernetes.azure.com/managedByArm"]),
    "quota_object_when_empty": (quota_objects, True, 0, 1),
    "policy_object_when_allow_all": (open_policy_objects, False, 1, 0),
    "same_namespace_rule": (
        same_namespace_peer,
        "pod-selector",
        ["namespaceSelector"],
        ["podSelector"],
    ),
    "private_cluster_updates_fail": (private_update, True, None, "InternalError"),
    "assignments_end_with_namespace": (assignments_after_delete, False, 0, 2),
    "repeated_assignment_status": (repeated_assignment, 200, 201, 200),
    "list_lag_seconds": (listed_at_once, 60, True, False),
    "assignment_delay_seconds": (read_after_grant, 60, 200, 403),
    "data_assignment_delay_seconds": (pods_after_grant, 60, 200, 403),
    "principal_delay_seconds": (grant_without_type, 400 * 86400, "created", "PrincipalNotFound"),
    "role_assignments_per_subscription": (
        lambda s: s.grant(cluster_id(), RBAC_READER).json().get("error", {}).get("code", "created"),
        5,
        "created",
        "RoleAssignmentLimitExceeded",
    ),
    "namespace_list": (list_without_right, "refused", 200, 403),
    "feature_flag_required": (put(), True, 201, 400),
    "provider_registration_required": (put_without_provider, False, 409, 201),
    "operation_read": (poll_of_a_stranger, "role", 200, 403),
}


def test_every_switch_has_a_case_here_or_a_lifecycle_rule() -> None:
    files = (Path(__file__).with_name("data") / "lifecycle").glob("*.yaml")
    rules = [rule for file in files for rule in yaml.safe_load_all(file.read_text("utf-8"))]
    ruled = {switch for rule in rules for switch in rule.get("switches", {})}
    assert not ruled & set(CASES)
    assert ruled | set(CASES) == {field.name for field in fields(Switches)}


@pytest.mark.parametrize("name", CASES)
def test_switch_makes_a_difference(sandbox: Client, name: str) -> None:
    act, value, by_default, switched = CASES[name]
    assert act(sandbox) == by_default
    sandbox.control("POST", "reset")
    sandbox.switch(**{name: value})
    assert act(sandbox) == switched


@pytest.mark.parametrize(
    "body",
    [
        {"if_macht": "ignored"},
        {"if_match": "perhaps"},
        {"list_lag_seconds": "long"},
        {"keep_leaves_objects": 1},
        {"repeated_assignment_status": 404},
    ],
)
def test_unknown_switches_and_values_are_refused(sandbox: Client, body: dict[str, Any]) -> None:
    before = sandbox.control("GET", "switches").json()
    assert sandbox.control("POST", "switches", body).status_code == 400
    assert sandbox.control("GET", "switches").json() == before


def test_list_catches_up_after_its_lag(sandbox: Client) -> None:
    sandbox.switch(list_lag_seconds=60)
    sandbox.put("a", make_body())
    sandbox.finish(61)
    path = f"{cluster_id()}/managedNamespaces"
    listed = {one["name"]: one for one in sandbox.arm("GET", path).json()["value"]}
    assert listed["a"] == sandbox.get("a")
    sandbox.arm("DELETE", namespace_id("a"))
    sandbox.finish()
    assert sandbox.arm("GET", namespace_id("a")).status_code == 404
    assert "a" in {one["name"] for one in sandbox.arm("GET", path).json()["value"]}
