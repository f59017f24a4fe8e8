"""Endpoints, subscriptions, providers, features and resource groups."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.sandbox.client import PROD, TEST, Client, cluster_id, make_body, namespace_id

GROUP = f"/subscriptions/{TEST}/resourcegroups/rg-new"  # the CLI's spelling
PROVIDER = f"/subscriptions/{PROD}/providers/Microsoft.ContainerService"
FEATURES = f"/subscriptions/{PROD}/providers/Microsoft.Features/providers"
FEATURE = f"{FEATURES}/Microsoft.ContainerService/features/ManagedNamespacePreview"


def resources(client: Client, method: str, path: str, body: Any = None) -> requests.Response:
    return client.arm(method, path, body, version="2024-11-01")


def feature(client: Client, method: str, path: str) -> requests.Response:
    return client.arm(method, path, version="2021-07-01")


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_one_address_tells_the_others_without_a_token(sandbox: Client) -> None:
    c = sandbox.connection
    url = f"{c['arm_endpoint']}/metadata/endpoints?api-version=2022-09-01"
    found = sandbox.session.get(url).json()
    assert found["authentication"]["loginEndpoint"] == c["authority_host"]
    assert found["authentication"]["audiences"][0] == f"{c['arm_endpoint']}/"
    assert found["microsoftGraphResourceId"] == f"{c['graph_endpoint']}/"
    assert {"name", "resourceManager", "suffixes", "portal", "gallery"} <= set(found)


def test_tenants_and_locations(sandbox: Client) -> None:
    tenants = sandbox.arm("GET", "/tenants", version="2022-12-01").json()["value"]
    assert [one["tenantId"] for one in tenants] == [sandbox.connection["tenant_id"]]
    path = f"/subscriptions/{PROD}/locations"
    found = sandbox.arm("GET", path, version="2022-12-01").json()["value"]
    assert {"name", "displayName", "metadata"} <= set(found[0])
    assert "westeurope" in [one["name"] for one in found]


def test_a_provider_lists_managed_namespaces_with_the_versions_that_are_served(
    sandbox: Client,
) -> None:
    provider = resources(sandbox, "GET", PROVIDER).json()
    types = {one["resourceType"]: one["apiVersions"] for one in provider["resourceTypes"]}
    assert provider["registrationState"] == "Registered"
    for version in types["managedClusters/managedNamespaces"]:
        path = f"{cluster_id()}/managedNamespaces"
        assert sandbox.arm("GET", path, version=version).status_code == 200
    missing = resources(sandbox, "GET", f"/subscriptions/{PROD}/providers/Microsoft.Nothing")
    assert code(missing) == (404, "InvalidResourceNamespace")


def test_an_unregistered_provider_refuses_creations_until_it_is_registered(
    sandbox: Client,
) -> None:
    resources(sandbox, "POST", f"{PROVIDER}/unregister")
    sandbox.finish(10)
    assert resources(sandbox, "GET", PROVIDER).json()["registrationState"] == "Unregistered"
    refused = sandbox.arm("PUT", namespace_id("team-a"), make_body())
    assert code(refused) == (409, "MissingSubscriptionRegistration")
    sandbox.switch(provider_registration_required=False)
    assert sandbox.put("team-b", make_body()).status_code == 201
    sandbox.switch(provider_registration_required=True)
    answer = resources(sandbox, "POST", f"{PROVIDER}/register").json()
    assert answer["registrationState"] == "Registering"
    sandbox.finish(10)
    assert resources(sandbox, "GET", PROVIDER).json()["registrationState"] == "Registered"
    assert sandbox.put("team-a", make_body()).status_code == 201


def test_registering_asks_for_the_action_of_that_provider(sandbox: Client) -> None:
    reader = sandbox.another("reader")
    path = f"/subscriptions/{PROD}/providers/Microsoft.Features/register"
    refused = reader.arm("POST", path, version="2021-04-01")
    assert code(refused) == (403, "AuthorizationFailed")
    assert "'Microsoft.Features/register/action'" in refused.json()["error"]["message"]


def test_a_feature_is_registering_before_it_is_registered(sandbox: Client) -> None:
    assert feature(sandbox, "GET", FEATURE).json()["properties"]["state"] == "NotRegistered"
    first = feature(sandbox, "POST", f"{FEATURE}/register").json()
    assert first["properties"]["state"] == "Registering"
    assert first["name"] == "Microsoft.ContainerService/ManagedNamespacePreview"
    sandbox.finish(10)
    path = f"{FEATURES}/Microsoft.ContainerService/features"
    listed = feature(sandbox, "GET", path).json()["value"]
    assert {one["name"]: one["properties"]["state"] for one in listed}[first["name"]] == (
        "Registered"
    )
    wrong = feature(sandbox, "POST", f"{FEATURE}x/register")
    assert code(wrong) == (404, "FeatureNotFound")


def test_the_previews_flag_is_asked_for_only_by_its_switch(sandbox: Client) -> None:
    assert sandbox.put("team-a", make_body()).status_code == 201
    sandbox.switch(feature_flag_required=True)
    refused = sandbox.put("team-b", make_body())
    assert code(refused) == (400, "BadRequest")
    assert "ManagedNamespacePreview to be registered" in refused.json()["error"]["message"]
    feature(sandbox, "POST", f"{FEATURE}/register")
    sandbox.finish(10)
    assert sandbox.put("team-b", make_body()).status_code == 201


def test_a_resource_group_comes_and_goes(sandbox: Client) -> None:
    assert resources(sandbox, "HEAD", GROUP).status_code == 404
    body = {"location": "West Europe", "tags": {"a": "b"}}
    created = resources(sandbox, "PUT", GROUP, body)
    assert (created.status_code, created.json()["location"]) == (201, "westeurope")
    assert resources(sandbox, "PUT", GROUP, body).status_code == 200
    assert resources(sandbox, "HEAD", GROUP).status_code == 204
    names = resources(sandbox, "GET", f"/subscriptions/{TEST}/resourcegroups").json()["value"]
    assert [one["name"] for one in names] == ["rg-new", "rg-platform"]
    answer = resources(sandbox, "DELETE", GROUP)
    assert answer.status_code == 202
    assert "Azure-AsyncOperation" not in answer.headers
    assert sandbox.arm("GET", answer.headers["Location"]).status_code == 202
    assert code(resources(sandbox, "PUT", GROUP, body)) == (409, "ResourceGroupBeingDeleted")
    sandbox.finish()
    assert sandbox.arm("GET", answer.headers["Location"]).status_code == 200
    assert code(resources(sandbox, "GET", GROUP)) == (404, "ResourceGroupNotFound")


def test_deleting_a_group_takes_clusters_namespaces_and_assignments_along(
    sandbox: Client,
) -> None:
    group = f"/subscriptions/{PROD}/resourceGroups/rg-platform"
    resources(sandbox, "DELETE", group)
    sandbox.finish()
    assert resources(sandbox, "GET", group).status_code == 404
    clusters = f"/subscriptions/{PROD}/providers/Microsoft.ContainerService/managedClusters"
    assert sandbox.arm("GET", clusters).json()["value"] == []
    path = f"/subscriptions/{PROD}/providers/Microsoft.Authorization/roleAssignments"
    left = sandbox.arm("GET", path, version="2022-04-01").json()["value"]
    assert {one["properties"]["scope"] for one in left} == {f"/subscriptions/{PROD}"}
    assert sandbox.kube("aks-prod-weu-1", "GET", "/api/v1/namespaces").status_code == 404
    assert sandbox.get("web-session", cluster="aks-test-weu-1")["name"] == "web-session"


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("rg-new", {}, (400, "LocationRequired")),
        ("rg-new", {"location": "atlantis"}, (400, "LocationNotAvailable")),
        ("rg-new", {"location": "westeurope", "tags": {"a": 1}}, (400, "InvalidRequestContent")),
        ("rg new", {"location": "westeurope"}, (400, "InvalidResourceGroup")),
        ("rg-platform", {"location": "northeurope"}, (409, "InvalidResourceGroupLocation")),
    ],
)
def test_mistakes_with_groups(
    sandbox: Client, name: str, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    path = f"/subscriptions/{TEST}/resourcegroups/{name}"
    assert code(resources(sandbox, "PUT", path, body)) == expected


def test_the_world_bare_has_a_group_and_people_no_cluster_and_no_provider(sandbox: Client) -> None:
    sandbox.control("POST", "world", {"name": "bare"})
    assert resources(sandbox, "GET", PROVIDER).json()["registrationState"] == "NotRegistered"
    group = f"/subscriptions/{PROD}/resourceGroups/rg-platform"
    assert resources(sandbox, "GET", group).status_code == 200
    clusters = f"/subscriptions/{PROD}/providers/Microsoft.ContainerService/managedClusters"
    assert sandbox.arm("GET", clusters).json()["value"] == []
    sandbox.control("POST", "world", {"name": "default"})
    assert resources(sandbox, "GET", PROVIDER).json()["registrationState"] == "Registered"
