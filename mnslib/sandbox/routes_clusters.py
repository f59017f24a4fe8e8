"""Azure Resource Manager: managed clusters and their credentials."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from mnslib.sandbox import directory, lifecycle
from mnslib.sandbox.access import visible
from mnslib.sandbox.building import managed_cluster, with_tenant
from mnslib.sandbox.offers import arm_routes, cluster_members, offers
from mnslib.sandbox.resources import CLUSTER_TYPE, cluster_id, find_cluster, find_group
from mnslib.sandbox.routes_operations import operation_headers
from mnslib.sandbox.routes_providers import check_registered
from mnslib.sandbox.routes_subscriptions import location
from mnslib.sandbox.rules import check_preconditions, check_tags
from mnslib.sandbox.state import State
from mnslib.sandbox.tokens import AKS_SERVER_ID, admin_token
from mnslib.sandbox.wire import Answer, Call, Json, Refusal, addressed, arm_error

_NAME = re.compile(r"[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_POOL_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
_DNS_PREFIX = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,52}[a-zA-Z0-9])?")
_POOL_LIMIT = 1000  # nodes; Source: AKS quotas
_FIXED = ("dnsPrefix", "nodeResourceGroup", "agentPoolProfiles", "kubernetesVersion")
_KINDS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "secret": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: type(value) is int,
    "float": lambda value: type(value) in (int, float),
    "list": lambda value: isinstance(value, list),
    "strings": lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
    "object": lambda value: isinstance(value, dict),
}


def list_clusters(call: Call) -> Answer:
    """Return the managed clusters that the caller may read, of a subscription or of a group."""
    if "group" in call.params:
        find_group(call)
    under = call.path.lower().partition("/providers/")[0]
    return Answer(body={"value": visible(call, call.state.resources(CLUSTER_TYPE, under=under))})


def get_cluster(call: Call) -> Answer:
    """Return one managed cluster."""
    return Answer(body=find_cluster(call))


# writes


def put_cluster(call: Call) -> Answer:
    """Create a managed cluster, or change some of its properties."""
    state, group = call.state, find_group(call, to_write=True)
    check_registered(call)
    wanted = _checked(call, addressed(call))
    resource_id = f"{group['id']}/providers/{CLUSTER_TYPE}/{call.params['cluster']}"
    present = state.resource(resource_id)
    check_preconditions(call, present)
    _check_free(state, resource_id)
    if present:
        resource = _changed(state, present, wanted)
    else:
        resource = managed_cluster(state, resource_id, _identified(state, wanted, resource_id))
    resource["properties"]["provisioningState"] = "Updating" if present else "Creating"
    return _started(call, "cluster_update" if present else "cluster_create", resource)


def delete_cluster(call: Call) -> Answer:
    """Start to delete a cluster with everything in it; 204 if there is nothing."""
    find_group(call)
    resource = call.state.resource(cluster_id(call))
    if resource is None:
        return Answer(status=204)
    _check_free(call.state, resource["id"])
    resource["properties"]["provisioningState"] = "Deleting"
    return _started(call, "cluster_delete", resource)


def switch_power(call: Call) -> Answer:
    """Start or stop a cluster."""
    resource = find_cluster(call)
    _check_free(call.state, resource["id"])
    verb = "start" if call.path.lower().endswith("/start") else "stop"
    resource["properties"]["provisioningState"] = {"start": "Starting", "stop": "Stopping"}[verb]
    return _started(call, f"cluster_{verb}", resource)


def _started(call: Call, kind: str, resource: Json) -> Answer:
    resource["eTag"] = call.state.new_guid()
    call.state.put_resource(resource)
    operation = lifecycle.start(call, kind, resource, resource)
    headers = operation_headers(call, operation)
    if kind not in ("cluster_create", "cluster_update"):
        return Answer(status=202, headers=headers)
    return Answer(status=201 if kind == "cluster_create" else 200, body=resource, headers=headers)


def _check_free(state: State, resource_id: str) -> None:
    for operation in state.running_operations(cluster=resource_id, resource=resource_id):
        text = "Operation is not allowed: Another operation "
        text += f"({operation['kind'].removeprefix('cluster_')}) is in progress, please wait for "
        text += "it to finish before starting a new operation. See "
        text += "https://aka.ms/aks-pending-operation for more details"
        raise arm_error(409, "OperationNotAllowed", text)


def _checked(call: Call, body: Json) -> Json:
    """Return the body without what is empty or only read: empty means "choose a default"."""
    if not _NAME.fullmatch(call.params["cluster"]):
        text = "The value of parameter name is invalid. It must be 1 to 63 letters, digits, "
        raise arm_error(400, "InvalidParameter", f"{text}underscores and hyphens.")
    top = _members(call, body, "top", "")
    result: Json = {"location": location(top.get("location")), "tags": check_tags(top)}
    result |= {key: _members(call, top.get(key, {}), key, key) for key in ("sku", "identity")}
    written = {
        k: v
        for k, v in top.get("properties", {}).items()
        if k not in cluster_members()["read_only"]
    }
    kept = _members(call, written, "properties", "properties")
    for name in kept.keys() & cluster_members().keys() - {"agentPoolProfiles"}:
        kept[name] = _members(call, kept[name], name, f"properties.{name}")
    if pools := kept.get("agentPoolProfiles"):
        pools = [_checked_pool(call, pool, result["location"]) for pool in pools]
        kept["agentPoolProfiles"] = pools
        if len({pool["name"] for pool in pools}) < len(pools):
            raise arm_error(400, "InvalidParameter", "The names of agent pools must be unique.")
    if not _DNS_PREFIX.fullmatch(kept.get("dnsPrefix", "a")):
        text = "The value of parameter dnsPrefix is invalid. It must be 1 to 54 letters, digits "
        raise arm_error(400, "InvalidParameter", f"{text}and hyphens, no hyphen at either end.")
    _check_version(call, kept.get("kubernetesVersion"))
    return {key: value for key, value in result.items() if value} | {"properties": kept}


def _members(call: Call, value: Any, part: str, path: str) -> Json:
    """Return those members of a part of the body that say something, without secrets.

    Raises:
        Refusal: 400 for a part that is no object, a member that is unknown or of another kind.
    """
    if not isinstance(value, dict):
        raise _invalid(f"'{path}' must be an object")
    known, kept = cluster_members()[part], {}
    for name, given in value.items():
        where = f"{path}.{name}".lstrip(".")
        if name not in known:
            if call.state.switches.unknown_properties == "refuse":
                raise _invalid(f"could not find member '{where}' on the resource type")
        elif given not in (None, ""):
            if not _KINDS[known[name]](given):
                raise _invalid(f"'{where}' must be of the kind {known[name]}")
            kept[name] = given
    return {name: given for name, given in kept.items() if known[name] != "secret"}


def _checked_pool(call: Call, given: Any, place: str) -> Json:
    pool = _members(call, given, "agentPoolProfiles", "properties.agentPoolProfiles")
    if not _POOL_NAME.fullmatch(pool.get("name", "")):
        raise _invalid("each pool must have a name of 1 to 12 small letters and digits")
    if not 0 <= pool.get("count", 1) <= _POOL_LIMIT:
        text = f"The value of parameter agentPoolProfile.count must be 0 to {_POOL_LIMIT}."
        raise arm_error(400, "InvalidParameter", text)
    sizes, size = call.state.meta("building")["node_sizes"], pool.get("vmSize")
    if size is not None and size not in sizes:
        text = f"The VM size of {size} is not allowed in your subscription in location '{place}'. "
        text += f"The available VM sizes are '{','.join(sizes)}'. For more details, please visit "
        raise arm_error(400, "BadRequest", f"{text}https://aka.ms/aks/quotas-skus-regions")
    return pool


def _check_version(call: Call, version: Any) -> None:
    known = offers()["kubernetes_versions"]
    if version is None or str(version) in {*known, *known.values()}:
        return
    text = f"Managed cluster {call.params['cluster']} is on version {version}, which is not "
    text += "supported in this region. Please use [az aks get-versions] command to get the "
    text += "supported version list in this region."
    raise arm_error(400, "K8sVersionNotSupported", text)


def _changed(state: State, present: Json, wanted: Json) -> Json:
    """Return the cluster with the new values; what the request leaves out stays."""
    if wanted["location"] != present["location"]:
        text = f"The resource '{present['name']}' already exists in location "
        text += f"'{present['location']}'. A resource with the same name cannot be created in "
        text += f"location '{wanted['location']}'. Please select a new resource name."
        raise arm_error(409, "InvalidResourceLocation", text)
    old, new = present["properties"], wanted["properties"]
    for name in _FIXED:
        if name in new and not _same(old[name], new[name]):
            text = f"Changing property 'properties.{name}' is not allowed."
            raise arm_error(400, "PropertyChangeNotAllowed", text)
    merged = old | {k: _over(old.get(k), v) for k, v in new.items() if k not in _FIXED}
    merged_sku = present["sku"] | wanted.get("sku", {})
    identity = {key: present[key] for key in ("identity",) if key in present}
    return (
        present | wanted | identity | {"sku": merged_sku, "properties": with_tenant(state, merged)}
    )


def _over(old: Any, new: Any) -> Any:
    """Return a property's new value; a profile keeps the members that the request leaves empty."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: value for key, value in new.items() if value is not None}
    return new


def _same(old: Any, new: Any) -> bool:
    """Return whether `new` repeats `old`, as far as it says anything."""
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        return all(_same(old[key], value) for key, value in new.items() if key in old)
    return bool(old == new) or str(new).startswith(f"{old}.")  # the exact version of a minor one


def _identified(state: State, wanted: Json, resource_id: str) -> Json:
    """Return the body with the identity that the service makes: new in the directory."""
    if wanted.get("identity", {}).get("type") != "SystemAssigned":
        return wanted
    principal = state.new_guid()
    entry = {"kind": "ServicePrincipal", "displayName": resource_id.rsplit("/", 1)[1]}
    entry |= {"appId": state.new_guid(), "servicePrincipalType": "ManagedIdentity"}
    directory.add(state, principal, entry)
    made = {"principalId": principal, "tenantId": state.meta("tenant_id")}
    return wanted | {"identity": {"type": "SystemAssigned", **made}}


def _invalid(what: str) -> Refusal:
    text = f"The request content was invalid and could not be deserialized: {what}."
    return arm_error(400, "InvalidRequestContent", text)


# credentials


def cluster_credential(call: Call) -> Answer:
    """Return the user kubeconfig of a cluster."""
    return user_kubeconfig(call, find_cluster(call))


def admin_credential(call: Call) -> Answer:
    """Return the admin kubeconfig of a cluster, unless local accounts are disabled."""
    cluster = find_cluster(call)
    if cluster["properties"]["disableLocalAccounts"]:
        text = "Getting static credential is not allowed because this cluster is set to disable "
        raise arm_error(400, "BadRequest", f"{text}local accounts.")
    return _kubeconfig(call, cluster, "clusterAdmin", {"token": admin_token(call.state, cluster)})


def user_kubeconfig(call: Call, cluster: Json) -> Answer:
    """Return the user kubeconfig: kubelogin, or the admin's token on a cluster without Entra ID."""
    if "aadProfile" not in cluster["properties"]:
        secret = {"token": admin_token(call.state, cluster)}
        return _kubeconfig(call, cluster, "clusterUser", secret)
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
    return _kubeconfig(call, cluster, "clusterUser", {"exec": execute})


def _kubeconfig(call: Call, cluster: Json, kind: str, secret: Json) -> Answer:
    import yaml

    name, group = cluster["name"], cluster["id"].split("/")[4]
    user = f"{kind}_{group}_{name}"
    authority = base64.b64encode(call.state.meta("keys")["ca_pem"].encode()).decode()
    server = {"certificate-authority-data": authority, "server": kube_endpoint(call, cluster)}
    config: Json = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": name,
        "clusters": [{"name": name, "cluster": server}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "users": [{"name": user, "user": secret}],
    }
    value = base64.b64encode(yaml.safe_dump(config, sort_keys=False).encode()).decode()
    return Answer(body={"kubeconfigs": [{"name": kind, "value": value}]})


def kube_endpoint(call: Call, cluster: Json) -> str:
    """Return the address of the cluster's API server in this sandbox."""
    parts = cluster["id"].split("/")
    return f"{call.origin}/kubernetes/{parts[2]}/{parts[4]}/{cluster['name']}"


_S = "/subscriptions/{subscription}"
_G = _S + "/resourceGroups/{group}"
_C = _G + f"/providers/{CLUSTER_TYPE}/{{cluster}}"
_TABLE = (
    ("GET", _S + f"/providers/{CLUSTER_TYPE}", list_clusters, ""),
    ("GET", _G + f"/providers/{CLUSTER_TYPE}", list_clusters, ""),
    ("GET", _C, get_cluster, "read"),
    ("PUT", _C, put_cluster, "write"),
    ("DELETE", _C, delete_cluster, "delete"),
    *(
        ("POST", f"{_C}/{verb}", handler, f"{verb}/action")
        for verb, handler in (
            ("start", switch_power),
            ("stop", switch_power),
            ("listClusterUserCredential", cluster_credential),
            ("listClusterAdminCredential", admin_credential),
        )
    ),
)
ROUTES = arm_routes("container_service", _TABLE, prefix=f"{CLUSTER_TYPE}/")
