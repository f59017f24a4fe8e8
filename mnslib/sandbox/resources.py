"""Azure's resources by type: their ids, how each is written down, and the look-ups that all share.

Knows no request's effect and no role.
"""

from __future__ import annotations

from mnslib.sandbox.state import utc_text
from mnslib.sandbox.wire import Call, Json, arm_error

GROUP_TYPE = "Microsoft.Resources/resourceGroups"
CLUSTER_TYPE = "Microsoft.ContainerService/managedClusters"
NAMESPACE_TYPE = "Microsoft.ContainerService/managedClusters/managedNamespaces"
SAFEGUARDS_TYPE = "Microsoft.ContainerService/deploymentSafeguards"
ASSIGNMENT_TYPE = "Microsoft.Authorization/roleAssignments"
DEFINITION_TYPE = "Microsoft.Authorization/roleDefinitions"
# Members of `defaultResourceQuota`, and what each is in a quota on the cluster.
QUOTA_KEYS = {
    "cpuRequest": "requests.cpu",
    "cpuLimit": "limits.cpu",
    "memoryRequest": "requests.memory",
    "memoryLimit": "limits.memory",
}

SYSTEM_NAMESPACES: tuple[str, ...] = ("default", "kube-system", "kube-public", "kube-node-lease")
SYSTEM_NAMESPACES += ("gatekeeper-system",)


def safeguards_id(cluster: str) -> str:
    """Return the id of a cluster's Deployment Safeguards."""
    return f"{cluster}/providers/{SAFEGUARDS_TYPE}/default"


def subscription(call: Call) -> Json:
    """Return the subscription that the path names; access has seen that it exists."""
    wanted = call.params["subscription"].lower()
    return next(one for one in call.state.meta("subscriptions") if one["subscriptionId"] == wanted)


def group_id(subscription_id: str, name: str) -> str:
    """Return the id of a resource group."""
    return f"/subscriptions/{subscription_id}/resourceGroups/{name}"


def find_group(call: Call, *, to_write: bool = False) -> Json:
    """Return the resource group that the path names.

    Raises:
        Refusal: 404 ResourceGroupNotFound; 409 when something is to be written into a group that
            is going away.
    """
    name = call.params["group"]
    found = call.state.resource(group_id(call.params["subscription"], name))
    if found is None:
        text = f"Resource group '{name}' could not be found."
        raise arm_error(404, "ResourceGroupNotFound", text)
    if to_write and found["properties"]["provisioningState"] == "Deleting":
        text = f"The resource group '{name}' is in deprovisioning state and cannot perform this "
        raise arm_error(409, "ResourceGroupBeingDeleted", f"{text}operation.")
    return found


def new_group(resource_id: str, place: str, tags: Json) -> Json:
    """Return a resource group as it is stored and answered."""
    return {
        "id": resource_id,
        "name": resource_id.split("/")[4],
        "type": GROUP_TYPE,
        "location": place,
        **({"tags": tags} if tags else {}),
        "properties": {"provisioningState": "Succeeded"},
    }


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


def namespace_id(call: Call) -> str:
    """Return the id of the managed namespace that the path names."""
    return f"{cluster_id(call)}/managedNamespaces/{call.params['namespace']}"


def definition_id(guid: str, scope: str) -> str:
    """Return the id of a built-in role as written below a scope."""
    parts = scope.split("/")
    top = f"/subscriptions/{parts[2]}" if len(parts) > 2 else ""
    return f"{top}/providers/{DEFINITION_TYPE}/{guid}"


def assignment(name: str, properties: Json, moment: float, by: str) -> Json:
    """Return a role assignment as stored and answered; `by` is its maker's object id."""
    at = utc_text(moment)
    absent = dict.fromkeys(("condition", "conditionVersion", "delegatedManagedIdentityResourceId"))
    stamps = {"createdOn": at, "updatedOn": at, "createdBy": by, "updatedBy": by}
    return {
        "id": f"{properties['scope'].rstrip('/')}/providers/{ASSIGNMENT_TYPE}/{name}",
        "name": name,
        "type": ASSIGNMENT_TYPE,
        "properties": {"description": None} | properties | absent | stamps,
    }


def system_data(by: str, at: float, before: Json | None = None) -> Json:
    """Return who made (unless `before` says so) and who changed a resource at a moment."""
    stamp = {"By": by, "ByType": "Application", "At": utc_text(at)}
    created = {f"created{key}": value for key, value in stamp.items()}
    return (before or created) | {f"lastModified{key}": value for key, value in stamp.items()}


def managed_namespace(cluster: Json, name: str, wanted: Json, made: Json, standing: str) -> Json:
    """Return a managed namespace as stored and answered, with an empty eTag.

    `wanted` holds properties and tags; `made` is its system data, `standing` its state.
    """
    properties = wanted["properties"]
    first = {key: properties[key] for key in ("labels", "annotations") if key in properties}
    dns, _, rest = cluster["properties"]["fqdn"].partition(".")
    return {
        "id": f"{cluster['id']}/managedNamespaces/{name}",
        "name": name,
        "type": NAMESPACE_TYPE,
        "eTag": "",
        "location": cluster["location"],
        **({"tags": wanted["tags"]} if "tags" in wanted else {}),
        "systemData": made,
        "properties": {
            **first,
            "provisioningState": standing,
            **{key: value for key, value in properties.items() if key not in first},
            "portalFqdn": f"{dns}.portal.{rest}",
        },
    }
