"""Managed clusters: created, changed, stopped, deleted, and their credentials."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import yaml

from tests.sandbox.client import (
    PROD,
    TEST,
    Client,
    cluster_id,
    decode,
    make_body,
    make_pod,
    namespace_id,
)

NEW = f"/subscriptions/{TEST}/resourceGroups/rg-platform/providers"
NEW += "/Microsoft.ContainerService/managedClusters/aks-new"


def make_cluster(**properties: Any) -> dict[str, Any]:
    """Return what `az aks create` sends, shortened: empty strings ask for a default."""
    pool = {"name": "nodepool1", "count": 2, "vmSize": "", "mode": "System"}
    given = {"kubernetesVersion": "", "dnsPrefix": "x", "agentPoolProfiles": [pool]}
    base = {"location": "westeurope", "identity": {"type": "SystemAssigned"}, "tags": None}
    return base | {"properties": given | properties}


def created(client: Client, **properties: Any) -> dict[str, Any]:
    assert client.arm("PUT", NEW, make_cluster(**properties)).status_code == 201
    client.finish()
    return dict(client.arm("GET", NEW).json())


def admin_session(client: Client) -> tuple[str, dict[str, str]]:
    """Return the API server's address and the headers of the cluster's own admin."""
    answer = client.arm("POST", f"{NEW}/listClusterAdminCredential")
    config = yaml.safe_load(decode(answer.json()["kubeconfigs"][0]["value"]))
    token = config["users"][0]["user"]["token"]
    return config["clusters"][0]["cluster"]["server"], {"Authorization": f"Bearer {token}"}


def kube(client: Client, path: str) -> requests.Response:
    server, headers = admin_session(client)
    return client.session.get(f"{server}{path}", headers=headers)


def test_create_runs_through_an_operation_and_fills_the_defaults(sandbox: Client) -> None:
    answer = sandbox.arm("PUT", NEW, make_cluster(aadProfile={"enableAzureRBAC": True}))
    assert answer.status_code == 201
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    assert sandbox.operation(answer)["status"] == "InProgress"
    sandbox.finish()
    assert sandbox.operation(answer)["status"] == "Succeeded"
    resource = sandbox.arm("GET", NEW).json()
    properties = resource["properties"]
    assert properties["provisioningState"] == "Succeeded"
    assert properties["currentKubernetesVersion"] == "1.32.7"
    assert properties["agentPoolProfiles"][0]["vmSize"] == "Standard_D4s_v5"
    assert properties["aadProfile"]["tenantID"] == sandbox.connection["tenant_id"]
    assert sandbox.arm("GET", answer.headers["Location"]).json() == resource


def test_nodes_and_system_pods_run_and_managed_namespaces_can_be_added(sandbox: Client) -> None:
    created(sandbox)
    assert len(kube(sandbox, "/api/v1/nodes").json()["items"]) == 2
    pods = kube(sandbox, "/api/v1/namespaces/kube-system/pods").json()["items"]
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    answer = sandbox.arm("PUT", f"{NEW}/managedNamespaces/team-a", make_body())
    sandbox.finish()
    assert sandbox.operation(answer)["status"] == "Succeeded"
    names = [one["metadata"]["name"] for one in kube(sandbox, "/api/v1/namespaces").json()["items"]]
    assert "team-a" in names


def test_its_identity_is_in_the_directory_until_it_is_deleted(sandbox: Client) -> None:
    principal = created(sandbox)["identity"]["principalId"]
    graph = sandbox.connection["graph_endpoint"]
    url = f"{graph}/v1.0/servicePrincipals/{principal}"
    assert sandbox.call("GET", url, graph).json()["servicePrincipalType"] == "ManagedIdentity"
    sandbox.arm("DELETE", NEW)
    sandbox.finish()
    assert sandbox.call("GET", url, graph).status_code == 404


def test_the_admin_credential_opens_its_own_cluster_only(sandbox: Client) -> None:
    created(sandbox)
    server, headers = admin_session(sandbox)
    assert sandbox.session.get(f"{server}/api/v1/nodes", headers=headers).status_code == 200
    other = sandbox.connection["clusters"][0]["kubernetes_endpoint"]
    assert sandbox.session.get(f"{other}/api/v1/nodes", headers=headers).status_code == 401
    arm = f"{sandbox.connection['arm_endpoint']}/subscriptions?api-version=2022-12-01"
    assert sandbox.session.get(arm, headers=headers).status_code == 401
    newest = sandbox.control("GET", "requests").json()["value"]
    assert "masterclient" in [entry["identity"] for entry in newest]


def test_an_admin_credential_ends_with_its_cluster(sandbox: Client) -> None:
    created(sandbox)
    server, headers = admin_session(sandbox)
    sandbox.arm("DELETE", NEW)
    sandbox.finish()
    created(sandbox)
    assert sandbox.session.get(f"{server}/api/v1/nodes", headers=headers).status_code == 401


def test_no_admin_credential_without_local_accounts(sandbox: Client) -> None:
    answer = sandbox.arm("POST", f"{cluster_id()}/listClusterAdminCredential")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
    assert answer.json()["error"]["message"] == (
        "Getting static credential is not allowed because this cluster is set to disable "
        "local accounts."
    )


def test_update_keeps_what_is_left_out_and_enables_azure_rbac(sandbox: Client) -> None:
    path = cluster_id("aks-prod-neu-1")
    before = sandbox.arm("GET", path).json()
    assert before["properties"]["aadProfile"]["enableAzureRBAC"] is False
    profile = {"managed": True, "enableAzureRBAC": True}
    body = {"location": "northeurope", "properties": {"aadProfile": profile}}
    answer = sandbox.arm("PUT", path, body)
    assert answer.status_code == 200
    assert answer.json()["properties"]["provisioningState"] == "Updating"
    sandbox.finish()
    after = sandbox.arm("GET", path).json()
    assert after["properties"]["aadProfile"]["enableAzureRBAC"] is True
    before["properties"]["aadProfile"]["enableAzureRBAC"] = True
    assert after == before | {"eTag": after["eTag"]}


def test_stop_and_start(sandbox: Client) -> None:
    answer = sandbox.arm("POST", f"{cluster_id()}/stop")
    assert answer.status_code == 202
    assert sandbox.arm("GET", cluster_id()).json()["properties"]["provisioningState"] == "Stopping"
    busy = sandbox.arm("POST", f"{cluster_id()}/start")
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "OperationNotAllowed")
    sandbox.finish()
    power = sandbox.arm("GET", cluster_id()).json()["properties"]["powerState"]
    assert power == {"code": "Stopped"}
    assert sandbox.arm("PUT", namespace_id("team-a"), make_body()).status_code == 409
    with pytest.raises(requests.ConnectionError):
        sandbox.kube("aks-prod-weu-1", "GET", "/version")
    sandbox.arm("POST", f"{cluster_id()}/start")
    sandbox.finish()
    assert sandbox.kube("aks-prod-weu-1", "GET", "/version").status_code == 200
    assert sandbox.arm("PUT", namespace_id("team-a"), make_body()).status_code == 201


def test_delete_takes_namespaces_objects_and_assignments_along(sandbox: Client) -> None:
    answer = sandbox.arm("DELETE", cluster_id())
    assert answer.status_code == 202
    sandbox.finish()
    assert sandbox.operation(answer)["status"] == "Succeeded"
    assert sandbox.arm("DELETE", cluster_id()).status_code == 204
    assert sandbox.arm("GET", cluster_id()).status_code == 404
    assert sandbox.kube("aks-prod-weu-1", "GET", "/api/v1/namespaces").status_code == 404
    path = f"/subscriptions/{PROD}/providers/Microsoft.Authorization/roleAssignments"
    left = sandbox.arm("GET", path, version="2022-04-01").json()["value"]
    assert not [one for one in left if cluster_id() in one["properties"]["scope"]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kubernetesVersion": "1.9.0"}, (400, "K8sVersionNotSupported")),
        ({"shoeSize": 44}, (400, "InvalidRequestContent")),
        ({"aadProfile": "yes"}, (400, "InvalidRequestContent")),
        ({"agentPoolProfiles": [{"name": "UPPER"}]}, (400, "InvalidRequestContent")),
        ({"agentPoolProfiles": [{"name": "a", "vmSize": "Huge"}]}, (400, "BadRequest")),
        ({"agentPoolProfiles": [{"name": "a", "count": -1}]}, (400, "InvalidParameter")),
        ({"agentPoolProfiles": [{"name": "a"}, {"name": "a"}]}, (400, "InvalidParameter")),
        ({"dnsPrefix": "-a"}, (400, "InvalidParameter")),
        ({"dnsPrefix": "a.b"}, (400, "InvalidParameter")),
        ({"networkProfile": {"networkPlugIn": "azure"}}, (400, "InvalidRequestContent")),
    ],
)
def test_mistakes_in_the_body(
    sandbox: Client, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = sandbox.arm("PUT", NEW, make_cluster(**changes))
    assert (answer.status_code, answer.json()["error"]["code"]) == expected
    assert sandbox.arm("GET", NEW).status_code == 404


def test_what_a_cluster_cannot_change(sandbox: Client) -> None:
    created(sandbox)
    moved = sandbox.arm("PUT", NEW, make_cluster() | {"location": "northeurope"})
    assert (moved.status_code, moved.json()["error"]["code"]) == (409, "InvalidResourceLocation")
    renamed = sandbox.arm("PUT", NEW, make_cluster(dnsPrefix="y"))
    assert renamed.json()["error"]["code"] == "PropertyChangeNotAllowed"
    nowhere = NEW.replace("rg-platform", "rg-none")
    assert sandbox.arm("PUT", nowhere, make_cluster()).json()["error"]["code"] == (
        "ResourceGroupNotFound"
    )


def test_passwords_of_a_cluster_are_neither_shown_nor_logged(sandbox: Client) -> None:
    windows = {"adminUsername": "somebody", "adminPassword": "hush-1"}
    principal = {"clientId": "x", "secret": "hush-2"}
    entra = {"managed": False, "serverAppSecret": "hush-3"}
    cluster = created(
        sandbox, windowsProfile=windows, servicePrincipalProfile=principal, aadProfile=entra
    )
    assert cluster["properties"]["windowsProfile"] == {"adminUsername": "somebody"}
    assert "hush" not in str(cluster)
    log = sandbox.control("GET", "requests").text
    assert '"adminUsername":"somebody"' in log
    assert "hush" not in log


@pytest.mark.parametrize(
    "properties",
    [
        {"aadProfile": []},
        {"aadProfile": {"adminGroupObjectIDs": 5}},
        {"aadProfile": {"adminGroupObjectIDs": [1]}},
        {"aadProfile": {"enableAzureRBAC": "false"}},
        {"disableLocalAccounts": "no"},
        {"addonProfiles": 5},
        {"networkProfile": {"podCidr": 10}},
        {"agentPoolProfiles": [{"name": "a", "enableAutoScaling": "yes"}]},
    ],
)
def test_members_of_another_type_are_refused(sandbox: Client, properties: dict[str, Any]) -> None:
    answer = sandbox.arm("PUT", NEW, make_cluster(**properties))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequestContent")


def test_the_admins_token_ends_where_local_accounts_are_disabled(sandbox: Client) -> None:
    created(sandbox)
    server, headers = admin_session(sandbox)
    url = f"{server}/api/v1/nodes"
    assert sandbox.session.get(url, headers=headers).status_code == 200
    sandbox.arm("PUT", NEW, make_cluster(disableLocalAccounts=True))
    assert sandbox.session.get(url, headers=headers).status_code == 401


@pytest.mark.parametrize("key", ["id", "name"])
@pytest.mark.parametrize(
    ("path", "version"),
    [
        (NEW, "2026-08-01"),
        (namespace_id("a"), "2026-08-01"),
        (f"/subscriptions/{PROD}/resourceGroups/another", "2025-04-01"),
    ],
)
def test_a_body_that_names_another_resource_than_the_address_is_refused(
    sandbox: Client, path: str, version: str, key: str
) -> None:
    own = {"id": path.upper(), "name": path.rpartition("/")[2]}[key]
    for given, expected in (("elsewhere", 400), (own, 201)):
        body = {"location": "westeurope", key: given}
        if "managedNamespaces" in path:
            body |= make_body()
        answer = sandbox.arm("PUT", path, body, version=version)
        assert answer.status_code == expected, answer.text


def test_enforced_safeguards_change_pods_before_the_quota_sees_them(sandbox: Client) -> None:
    place = f"{cluster_id()}/providers/Microsoft.ContainerService/deploymentSafeguards/default"
    assert sandbox.arm("GET", place, version="2025-04-01").status_code == 404
    pods, silent = "/api/v1/namespaces/docs-site/pods", make_pod("silent")
    asked = make_pod("small", requests={"cpu": "10m", "memory": "1Mi"})
    said = {"properties": {"level": "Enforce", "excludedNamespaces": ["ledger-core"]}}
    assert sandbox.arm("PUT", place, said, version="2025-04-01").status_code == 200
    found = sandbox.arm("GET", place, version="2025-07-01").json()["properties"]
    assert "kube-system" in found["systemExcludedNamespaces"]

    made = sandbox.kube("aks-prod-weu-1", "POST", f"{pods}?dryRun=All", silent).json()
    both = {"cpu": "500m", "memory": "2Gi"}
    assert made["spec"]["containers"][0]["resources"] == {"requests": both, "limits": both}
    made = sandbox.kube("aks-prod-weu-1", "POST", f"{pods}?dryRun=All", asked).json()
    least = {"requests": {"cpu": "100m", "memory": "100Mi"}}
    assert made["spec"]["containers"][0]["resources"] == least
    refused = sandbox.arm("PUT", place, {"properties": {"level": "Off"}}, version="2025-04-01")
    assert refused.status_code == 400


def test_a_write_under_another_etag_or_of_a_cluster_that_is_there_is_refused_where_so_asked(
    sandbox: Client,
) -> None:
    present = created(sandbox)
    for headers, status in (
        ({"If-None-Match": "*"}, 412),
        ({"If-Match": "00000000-0000-0000-0000-000000000000"}, 412),
        ({"If-Match": present["eTag"]}, 200),
    ):
        answer = sandbox.arm("PUT", NEW, make_cluster(), headers=headers)
        assert answer.status_code == status
