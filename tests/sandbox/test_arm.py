"""Managed namespaces as ARM answers them: forms, operations, pages, refusals."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
import yaml

from mnslib.sandbox.lifecycle import latencies
from mnslib.sandbox.resources import QUOTA_KEYS
from mnslib.sandbox.server import open_state
from tests.sandbox.client import (
    PROD,
    Client,
    cluster_id,
    decode,
    make_body,
    make_pod,
    namespace_id,
)
from tests.sandbox.in_process import Clock, send


def test_deleting_takes_adopted_content_and_role_assignments_along(sandbox: Client) -> None:
    path = namespace_id("payments-api")
    scope = f"{path}/providers/Microsoft.Authorization/roleAssignments"
    filters = {"$filter": "principalId eq '00000000-0000-4000-9000-000000000001'"}
    listed = sandbox.arm("GET", scope, version="2022-04-01", params=filters)
    assert len(listed.json()["value"]) == 2
    properties = sandbox.get("payments-api")["properties"] | {"deletePolicy": "Delete"}
    sandbox.put("payments-api", {"location": "westeurope", "properties": properties})
    sandbox.arm("DELETE", path)
    sandbox.finish()
    pods = sandbox.kube("aks-prod-weu-1", "GET", "/api/v1/namespaces/payments-api/pods").json()
    assert pods["items"] == []
    everywhere = f"/subscriptions/{PROD}/providers/Microsoft.Authorization/roleAssignments"
    left = sandbox.arm("GET", everywhere, version="2022-04-01", params=filters).json()["value"]
    assert not any("payments-api" in one["id"] for one in left)


def test_always_keeps_running_pods_and_foreign_labels(sandbox: Client) -> None:
    body = make_body(adoptionPolicy="Always", labels={"tier": "gold"})
    quota = {
        "cpuRequest": "4000m",
        "cpuLimit": "8000m",
        "memoryRequest": "8Gi",
        "memoryLimit": "16Gi",
    }
    body["properties"]["defaultResourceQuota"] = quota
    sandbox.put("legacy-crm", body)
    cluster = "aks-prod-weu-1"
    labels = sandbox.kube(cluster, "GET", "/api/v1/namespaces/legacy-crm").json()["metadata"]
    assert {"owner": "crm", "tier": "gold"}.items() <= labels["labels"].items()
    path = "/api/v1/namespaces/legacy-crm/resourcequotas/defaultresourcequota"
    used = sandbox.kube(cluster, "GET", path).json()["status"]["used"]
    assert used["requests.cpu"] == "1500m"
    assert sandbox.get("legacy-crm")["properties"]["defaultResourceQuota"] == quota


def test_full_quota_is_lowered_without_eviction(sandbox: Client) -> None:
    sandbox.put("payments-api", make_body())
    path = "/api/v1/namespaces/payments-api/resourcequotas/defaultresourcequota"
    status = sandbox.kube("aks-prod-weu-1", "GET", path).json()["status"]
    assert (status["hard"]["requests.cpu"], status["used"]["requests.cpu"]) == ("500m", "12")
    pod = make_pod(requests={"cpu": "1m", "memory": "1Mi"}, limits={"cpu": "1m", "memory": "1Mi"})
    path = "/api/v1/namespaces/payments-api/pods"
    assert sandbox.kube("aks-prod-weu-1", "POST", path, pod).status_code == 403


# refusals


@pytest.mark.parametrize(
    ("name", "change", "status", "code"),
    [
        ("Upper", {}, 400, "InvalidParameter"),
        ("a" * 64, {}, 400, "InvalidParameter"),
        ("kube-system", {}, 400, "BadRequest"),
        ("ok", {"location": None}, 400, "LocationRequired"),
        ("ok", {"location": "eastus"}, 409, "InvalidResourceLocation"),
        ("ok", {"location": 7}, 400, "InvalidRequestContent"),
        ("ok", {"colour": "red"}, 400, "InvalidRequestContent"),
        ("ok", {"tags": {"a": 1}}, 400, "InvalidRequestContent"),
        ("ok", {"properties": {"quota": {}}}, 400, "InvalidRequestContent"),
        ("ok", {"properties": {"labels": ["a"]}}, 400, "InvalidRequestContent"),
        ("ok", {"properties": {"labels": {"a b": "c"}}}, 400, "InvalidParameter"),
        ("ok", {"properties": {"labels": {"a": "-c"}}}, 400, "InvalidParameter"),
        ("ok", {"properties": {"deletePolicy": "Maybe"}}, 400, "InvalidParameter"),
        ("ok", {"properties": {"deletePolicy": 1}}, 400, "InvalidRequestContent"),
        (
            "ok",
            {"properties": {"defaultNetworkPolicy": {"ingress": "Some"}}},
            400,
            "InvalidParameter",
        ),
        (
            "ok",
            {"properties": {"defaultResourceQuota": {"cpuRequest": "lots"}}},
            400,
            "InvalidParameter",
        ),
        (
            "ok",
            {"properties": {"defaultResourceQuota": {"cpuRequest": 1}}},
            400,
            "InvalidRequestContent",
        ),
        (
            "ok",
            {"properties": {"defaultResourceQuota": {"cpu": "1"}}},
            400,
            "InvalidRequestContent",
        ),
    ],
)
def test_bad_bodies_are_refused(
    sandbox: Client, name: str, change: dict[str, Any], status: int, code: str
) -> None:
    body = {key: value for key, value in (make_body() | change).items() if value is not None}
    answer = sandbox.arm("PUT", namespace_id(name), body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    listed = sandbox.arm("GET", f"{cluster_id()}/managedNamespaces").json()["value"]
    assert name not in {one["name"] for one in listed}


def test_location_was_optional_in_the_first_version(sandbox: Client) -> None:
    body = {"properties": make_body()["properties"]}
    answer = sandbox.arm("PUT", namespace_id("old-style"), body, version="2025-09-01")
    assert (answer.status_code, answer.json()["location"]) == (201, "westeurope")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (dict.fromkeys(QUOTA_KEYS), "CPU request"),
        ({"cpuRequest": None}, "CPU request"),
        ({"cpuLimit": None}, "CPU limit"),
        ({"memoryRequest": None}, "Memory request"),
        ({"memoryLimit": None}, "Memory limit"),
        ({"cpuRequest": "1"}, "CPU request"),
        ({"cpuLimit": "0.5"}, "CPU limit"),
        ({"cpuLimit": "0m"}, "CPU limit"),
        ({"cpuRequest": "1.5m"}, "CPU request"),
    ],
)
def test_all_four_amounts_are_demanded_and_cpu_in_millicores(
    sandbox: Client, changes: dict[str, Any], word: str
) -> None:
    body = make_body()
    body["properties"]["defaultResourceQuota"] |= changes
    answer = sandbox.arm("PUT", namespace_id("partial"), body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"{word} number is not valid"
    assert sandbox.arm("GET", namespace_id("partial")).status_code == 404


def test_worlds_hold_cpu_in_millicores(sandbox: Client) -> None:
    items = sandbox.arm("GET", f"{cluster_id()}/managedNamespaces").json()["value"]
    quotas = [one["properties"]["defaultResourceQuota"] for one in items]
    assert {text[-1] for one in quotas for key, text in one.items() if "cpu" in key} == {"m"}
    body = {"location": items[0]["location"], "properties": items[0]["properties"]}
    assert sandbox.arm("PUT", items[0]["id"], body).status_code == 200


def test_a_body_that_is_no_json_object_is_refused(sandbox: Client) -> None:
    for data in (b"{", b"[]", b""):
        answer = sandbox.arm("PUT", namespace_id("ok"), data=data)
        assert answer.json()["error"]["code"] == "InvalidRequestContent"


@pytest.mark.parametrize(
    ("path", "version", "status", "code"),
    [
        (cluster_id(), "", 400, "MissingApiVersionParameter"),
        (cluster_id(), "2020-01-01", 400, "InvalidApiVersionParameter"),
        (f"{cluster_id()}/agentPools", "2026-08-01", 404, "NotFound"),
        ("/nothing", "2026-08-01", 404, "NotFound"),
        (cluster_id("nowhere"), "2026-08-01", 404, "ResourceNotFound"),
        (f"{cluster_id('nowhere')}/managedNamespaces", "2026-08-01", 404, "ParentResourceNotFound"),
        (namespace_id("nobody"), "2026-08-01", 404, "ResourceNotFound"),
        ("/subscriptions/00000000-0000-4000-8000-0000000000ff", "2022-12-01", 404, None),
    ],
)
def test_unknown_things_are_refused(
    sandbox: Client, path: str, version: str, status: int, code: str | None
) -> None:
    answer = sandbox.arm("GET", path, version=version)
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        status,
        code or "SubscriptionNotFound",
    )
    assert {"x-ms-request-id", "x-ms-correlation-request-id"} <= set(answer.headers)


def test_wrong_method_is_refused(sandbox: Client) -> None:
    assert sandbox.arm("PATCH", cluster_id()).status_code == 405


def test_ids_are_compared_without_case(sandbox: Client) -> None:
    lower = sandbox.arm("GET", namespace_id("payments-api").lower().replace("aks-", "AKS-"))
    assert lower.json() == sandbox.get("payments-api")


def test_operation_urls_work_only_as_given(sandbox: Client) -> None:
    answer = sandbox.arm("PUT", namespace_id("new-team"), make_body())
    url = answer.headers["Azure-AsyncOperation"]
    assert re.search(r"\?api-version=2025-03-01&t=\d{18}&c=.{2500,}&s=.{300,}&h=.{40,}$", url)
    assert sandbox.arm("GET", url[:-1]).status_code == 403


# lists and credentials


def test_the_signature_of_one_operation_opens_no_other() -> None:
    state = open_state(":memory:", world="default", latency="documented", clock=Clock())
    mine, other = (  # at the same moment, so that only the address tells them apart
        send(state, "PUT", namespace_id(name), make_body()).headers["Azure-AsyncOperation"]
        for name in ("mine", "other")
    )
    signature = mine.partition("?")[2]
    assert send(state, "GET", mine).status == 200
    assert send(state, "GET", f"{other.partition('?')[0]}?{signature}").status == 403
    state.close()


def test_an_operation_ends_in_its_time_whenever_it_is_asked_for() -> None:
    clock = Clock()
    state = open_state(":memory:", world="default", latency="documented", clock=clock)
    url = send(state, "PUT", namespace_id("new"), make_body()).headers["Azure-AsyncOperation"]
    clock.time += 3600
    ended = send(state, "GET", url).body
    start, end = (datetime.fromisoformat(ended[name]) for name in ("startTime", "endTime"))
    assert (end - start).total_seconds() == latencies()["documented"]["create"]
    state.close()


def test_lists_end_with_an_empty_page(sandbox: Client) -> None:
    pages = read_pages(sandbox, f"{cluster_id()}/managedNamespaces", "2026-08-01", {})
    assert [len(page) for page in pages] == [4, 0]


def test_generic_list_hides_its_hits_among_empty_pages(sandbox: Client) -> None:
    kind = "Microsoft.ContainerService/managedClusters/managedNamespaces"
    query = {
        "$filter": f"resourceType eq '{kind}' and resourceGroup eq 'RG-PLATFORM'",
        "$expand": "createdTime,changedTime,provisioningState",
    }
    pages = read_pages(sandbox, f"/subscriptions/{PROD}/resources", "2024-11-01", query)
    assert [len(page) for page in pages] == [0, 0, 10, 0, 0]
    item = next(one for one in pages[2] if one["name"] == "aks-prod-weu-1/web-checkout")
    assert item["provisioningState"] == "Succeeded"
    assert item["tags"] == {"cost-center": "cc-4711"}
    assert not {"properties", "eTag"} & set(item)


def read_pages(
    sandbox: Client, path: str, version: str, query: dict[str, str]
) -> list[list[dict[str, Any]]]:
    body = sandbox.arm("GET", path, version=version, params=query).json()
    pages = [body["value"]]
    while "nextLink" in body:
        body = sandbox.arm("GET", body["nextLink"]).json()
        pages.append(body["value"])
    return pages


def test_clusters_differ_where_onboarding_must_look(sandbox: Client) -> None:
    path = f"/subscriptions/{PROD}/providers/Microsoft.ContainerService/managedClusters"
    found = {one["name"]: one for one in sandbox.arm("GET", path).json()["value"]}
    assert set(found) == {"aks-prod-weu-1", "aks-prod-weu-2", "aks-prod-neu-1"}
    properties = {name: one["properties"] for name, one in found.items()}
    assert not properties["aks-prod-neu-1"]["aadProfile"]["enableAzureRBAC"]
    assert properties["aks-prod-weu-2"]["apiServerAccessProfile"]["enablePrivateCluster"]
    test = sandbox.arm("GET", cluster_id("aks-test-weu-1")).json()["properties"]
    assert test["networkProfile"]["networkPolicy"] == "none"
    group = f"/subscriptions/{PROD}/resourceGroups/rg-nothing/providers"
    missing = sandbox.arm("GET", f"{group}/Microsoft.ContainerService/managedClusters")
    assert missing.json()["error"]["code"] == "ResourceGroupNotFound"


def test_credential_is_the_clusters_and_names_no_namespace(sandbox: Client) -> None:
    answer = sandbox.arm("POST", f"{namespace_id('payments-api')}/listCredential").json()
    assert answer["kubeconfigs"][0]["name"] == "clusterUser"
    config = yaml.safe_load(decode(answer["kubeconfigs"][0]["value"]))
    assert config["contexts"][0] == {
        "name": "aks-prod-weu-1",
        "context": {
            "cluster": "aks-prod-weu-1",
            "user": "clusterUser_rg-platform_aks-prod-weu-1",
        },
    }
    endpoints = [c["kubernetes_endpoint"] for c in sandbox.connection["clusters"]]
    assert config["clusters"][0]["cluster"]["server"] in endpoints
    assert config["users"][0]["user"]["exec"]["command"] == "kubelogin"
    whole = sandbox.arm("POST", f"{cluster_id()}/listClusterUserCredential").json()
    assert whole == answer


def test_system_data_names_the_application_by_its_client_id(sandbox: Client) -> None:
    created = sandbox.put("new", make_body()).json()["systemData"]
    client_id = sandbox.connection["identities"]["admin"]["client_id"]
    assert (created["createdBy"], created["createdByType"]) == (client_id, "Application")


@pytest.mark.parametrize("kind", ["Authorization/roleAssignments", "Resources/resourceGroups"])
def test_generic_list_holds_resources_only(sandbox: Client, kind: str) -> None:
    query = {"$filter": f"resourceType eq 'Microsoft.{kind}'", "$skiptoken": "2"}
    path = f"/subscriptions/{PROD}/resources"
    answer = sandbox.arm("GET", path, version="2024-11-01", params=query)
    assert (answer.status_code, answer.json()["value"]) == (200, [])


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("", 13),
        ("resourceGroup eq 'RG-Platform'", 13),
        ("resourceGroup eq 'rg-none'", 0),
        ("resourceType eq 'Microsoft.ContainerService/managedClusters'", 3),
        (
            "resourceGroup eq 'rg-platform' and resourceType eq 'microsoft.containerservice/"
            "managedclusters/managednamespaces'",
            10,
        ),
    ],
)
def test_generic_list_by_type_and_group(sandbox: Client, condition: str, count: int) -> None:
    query = {"$filter": condition} if condition else {}
    pages = read_pages(sandbox, f"/subscriptions/{PROD}/resources", "2024-11-01", query)
    assert sum(map(len, pages)) == count


def test_generic_list_refuses_other_filters(sandbox: Client) -> None:
    for condition in ("name eq 'x'", "resourceGroup eq 'a' and resourceGroup eq 'b'"):
        answer = sandbox.arm(
            "GET",
            f"/subscriptions/{PROD}/resources",
            version="2024-11-01",
            params={"$filter": condition},
        )
        assert answer.json()["error"]["code"] == "InvalidFilterInQueryString"


@pytest.mark.parametrize("token", ["\N{SUPERSCRIPT TWO}", "9" * 5000, "-1"])
def test_a_skip_token_that_is_none_is_refused(sandbox: Client, token: str) -> None:
    answer = sandbox.arm("GET", f"{cluster_id()}/managedNamespaces", params={"$skiptoken": token})
    assert answer.json()["error"]["code"] == "InvalidSkipToken"


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"a/b": ""}, "InvalidTagNameCharacters"),
        ({"a" * 513: ""}, "InvalidTagName"),
        ({"": "x"}, "InvalidTagName"),
        ({"a": "x" * 257}, "InvalidTagValue"),
        ({f"k{number}": "" for number in range(51)}, "InvalidTagCount"),
        ({"a": "1", "A": "2"}, "InvalidRequestContent"),
    ],
)
def test_tags_beyond_arms_limits_are_refused(
    sandbox: Client, tags: dict[str, str], code: str
) -> None:
    for method, name, body in (("PUT", "new", make_body()), ("PATCH", "payments-api", {})):
        answer = sandbox.arm(method, namespace_id(name), body | {"tags": tags})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_tags_at_arms_limits_are_kept(sandbox: Client) -> None:
    tags = {f"k{number}": "x" * 256 for number in range(49)} | {"a" * 512: ""}
    assert sandbox.put("new", make_body() | {"tags": tags}).json()["tags"] == tags


@pytest.mark.parametrize(
    ("size", "media", "status"),
    [
        (262_143, "application/json; charset=utf-8", 201),
        (262_144, "application/json", 400),
        (5_000_000, "application/json", 413),
        (1, "text/plain", 415),
    ],
)
def test_bodies_that_are_too_large_or_no_json_are_refused(
    sandbox: Client, size: int, media: str, status: int
) -> None:
    body = make_body(annotations={"a": "x" * size})
    answer = sandbox.arm("PUT", namespace_id("new"), body, headers={"Content-Type": media})
    assert answer.status_code == status


@pytest.mark.parametrize(("name", "status"), [("payments%2Dapi", 200), ("payments%252Dapi", 404)])
def test_addresses_are_decoded_once(sandbox: Client, name: str, status: int) -> None:
    assert sandbox.arm("GET", namespace_id(name)).status_code == status
