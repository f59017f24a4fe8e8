"""Azure Resource Manager: managed clusters and their credentials."""

from __future__ import annotations

import base64

from mnslib.sandbox.access import visible
from mnslib.sandbox.lifecycle import CLUSTER_TYPE
from mnslib.sandbox.routes_subscriptions import subscription
from mnslib.sandbox.wire import Answer, Call, Json, Route, arm_error

AKS_SERVER_ID = "6dae42f8-4368-4678-94ff-3960e28e3630"

# Sources: facts page (GA versions from 2025-09-01 on, about monthly; SDK 41.8.0 sends 2026-08-01).
CONTAINER_SERVICE_VERSIONS = frozenset(
    {"2025-09-01", "2025-10-01"} | {f"2026-0{month}-01" for month in range(1, 9)}
)


def list_clusters(call: Call) -> Answer:
    """Return the managed clusters of a subscription that the caller may read."""
    subscription(call)
    under = f"/subscriptions/{call.params['subscription']}"
    return Answer(body={"value": visible(call, call.state.resources(CLUSTER_TYPE, under=under))})


def list_clusters_in_group(call: Call) -> Answer:
    """Return the managed clusters of a resource group that the caller may read."""
    subscription(call)
    group = call.params["group"]
    under = f"/subscriptions/{call.params['subscription']}/resourceGroups/{group}"
    if group.lower() not in {g.lower() for g in call.state.meta("groups")}:
        text = f"Resource group '{group}' could not be found."
        raise arm_error(404, "ResourceGroupNotFound", text)
    return Answer(body={"value": visible(call, call.state.resources(CLUSTER_TYPE, under=under))})


def get_cluster(call: Call) -> Answer:
    """Return one managed cluster."""
    return Answer(body=find_cluster(call))


def cluster_id(call: Call) -> str:
    """Return the id of the managed cluster that the path names."""
    p = call.params
    return (
        f"/subscriptions/{p['subscription']}/resourceGroups/{p['group']}"
        f"/providers/{CLUSTER_TYPE}/{p['cluster']}"
    )


def find_cluster(call: Call, *, code: str = "ResourceNotFound") -> Json:
    """Return the managed cluster that the path names.

    Raises:
        Refusal: 404 with this code.
    """
    subscription(call)
    found = call.state.resource(cluster_id(call))
    if found is None:
        raise not_found(call, f"{CLUSTER_TYPE}/{call.params['cluster']}", code)
    return found


def not_found(call: Call, what: str, code: str = "ResourceNotFound") -> Exception:
    """Return 404 in the words of the service."""
    group = call.params["group"]
    text = f"The Resource '{what}' under resource group '{group}' was not found. For more details "
    text += "please go to https://aka.ms/ARMResourceNotFoundFix"
    if code == "ParentResourceNotFound":
        text = "Failed to perform 'read' on resource(s) of type 'managedClusters/managedNamespaces'"
        text += f", because the parent resource '{what}' could not be found."
    return arm_error(404, code, text, {"x-ms-failure-cause": "gateway"})


def cluster_credential(call: Call) -> Answer:
    """Return the user kubeconfig of a cluster."""
    return user_kubeconfig(call, find_cluster(call))


def user_kubeconfig(call: Call, cluster: Json) -> Answer:
    """Return the answer with the user kubeconfig of this cluster."""
    import yaml

    name = cluster["name"]
    group = cluster["id"].split("/")[4]
    user = f"clusterUser_{group}_{name}"
    authority = base64.b64encode(call.state.meta("keys")["ca_pem"].encode()).decode()
    arguments = ["get-token", "--environment", "AzurePublicCloud", "--server-id", AKS_SERVER_ID]
    arguments += ["--client-id", "80faf920-1908-4b52-b5ef-a8e7bedfc67a"]
    arguments += ["--tenant-id", call.state.meta("tenant_id"), "--login", "devicecode"]
    hint = "\n\nkubelogin is not installed which is required to connect to AAD enabled cluster."
    execute = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "kubelogin",
        "args": arguments,
        "env": None,
        "installHint": f"{hint}\n\nTo learn more, please go to https://aka.ms/aks/kubelogin\n",
        "provideClusterInfo": False,
    }
    server = {"certificate-authority-data": authority, "server": kube_endpoint(call, cluster)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": name,
        "clusters": [{"name": name, "cluster": server}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "users": [{"name": user, "user": {"exec": execute}}],
    }
    value = base64.b64encode(yaml.safe_dump(config, sort_keys=False).encode()).decode()
    return Answer(body={"kubeconfigs": [{"name": "clusterUser", "value": value}]})


def kube_endpoint(call: Call, cluster: Json) -> str:
    """Return the address of the cluster's API server in this sandbox."""
    parts = cluster["id"].split("/")
    return f"{call.origin}/kubernetes/{parts[2]}/{parts[4]}/{cluster['name']}"


_S = "/subscriptions/{subscription}"
_G = _S + "/resourceGroups/{group}"
_C = _G + f"/providers/{CLUSTER_TYPE}/{{cluster}}"
_TABLE = (
    ("GET", _S + f"/providers/{CLUSTER_TYPE}", list_clusters, ""),
    ("GET", _G + f"/providers/{CLUSTER_TYPE}", list_clusters_in_group, ""),
    ("GET", _C, get_cluster, "read"),
    (
        "POST",
        _C + "/listClusterUserCredential",
        cluster_credential,
        "listClusterUserCredential/action",
    ),
)
ROUTES = [
    Route(
        surface="arm",
        method=method,
        template=template,
        handler=handler,
        api_versions=CONTAINER_SERVICE_VERSIONS,
        action=f"{CLUSTER_TYPE}/{verb}" if verb else "",
    )
    for method, template, handler, verb in _TABLE
]
