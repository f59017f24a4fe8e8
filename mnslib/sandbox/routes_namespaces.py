"""Azure Resource Manager: managed namespaces and the generic resource list.

Forms and headers follow the exchanges recorded 2025-11-05.
"""

from __future__ import annotations

import re

from mnslib.sandbox import grants, lifecycle, resources
from mnslib.sandbox.access import require, visible
from mnslib.sandbox.kube.inside import check_adoption
from mnslib.sandbox.offers import arm_routes
from mnslib.sandbox.resources import (
    CLUSTER_TYPE,
    NAMESPACE_TYPE,
    cluster_id,
    find_cluster,
    namespace_id,
)
from mnslib.sandbox.routes_clusters import user_kubeconfig
from mnslib.sandbox.routes_operations import operation_headers
from mnslib.sandbox.routes_providers import check_feature, check_registered
from mnslib.sandbox.rules import check_body, check_name, check_only_tags, check_preconditions
from mnslib.sandbox.wire import Answer, Call, Json, addressed, arm_error, page, paged, parsed

_LISTED = (CLUSTER_TYPE.lower(), NAMESPACE_TYPE.lower())  # groups and assignments are no resources


def find_namespace(call: Call) -> Json:
    """Return the managed namespace that the path names.

    Raises:
        Refusal: 404, for the cluster or the namespace.
    """
    find_cluster(call, code=call.state.switches.missing_cluster_code)
    found = call.state.resource(namespace_id(call))
    if found is None:
        p = call.params
        what = f"{CLUSTER_TYPE}/{p['cluster']}/managedNamespaces/{p['namespace']}"
        raise resources.not_found(call, what)
    return found


def list_namespaces(call: Call) -> Answer:
    """Return a page; the last one is empty, and only it has no nextLink (recorded).

    Composed by ARM (inferred), so it shows those namespaces that the caller may read.
    """
    if call.state.switches.namespace_list == "refused":
        require(call, f"{NAMESPACE_TYPE}/read", cluster_id(call))
    parent = find_cluster(call, code=call.state.switches.missing_cluster_code)["id"]
    stored = {doc["id"].lower(): doc for doc in call.state.resources(NAMESPACE_TYPE, parent=parent)}
    shown = stored | call.state.trailing(parent)
    mine = visible(call, [doc for _, doc in sorted(shown.items()) if doc])
    items = [lifecycle.shown(doc, call.state) for doc in mine]
    headers = {"x-ms-original-request-ids": call.state.new_guid()}
    return Answer(body=page(call, [*paged(items), []]), headers=headers)


def get_namespace(call: Call) -> Answer:
    """Return one managed namespace."""
    return Answer(body=lifecycle.shown(find_namespace(call), call.state))


def put_namespace(call: Call) -> Answer:
    """Create or replace a managed namespace; the rest happens when the operation ends."""
    state = call.state
    cluster = find_cluster(call, code=state.switches.missing_cluster_code)
    check_registered(call)
    check_feature(call)
    name = call.params["namespace"]
    check_name(name, state.switches)
    wanted = check_body(
        addressed(call),
        location=cluster["location"],
        api_version=call.api_version,
        switches=state.switches,
    )
    present = state.resource(namespace_id(call))
    check_preconditions(call, present)
    _check_free(call, cluster)
    at_once = state.switches.adoption_refusal == "request"
    if at_once and (
        text := check_adoption(state, cluster["id"].lower(), name, wanted["properties"])
    ):
        raise arm_error(409, state.switches.existing_namespace_code, text)
    by = grants.of(state).person(call.identity)[1]
    made = resources.system_data(by, state.now(), present and present["systemData"])
    standing = "Updating" if present else "Creating"
    resource = resources.managed_namespace(cluster, name, wanted, made, standing)
    lifecycle.store(state, resource, cluster["id"], call.effect)
    operation = lifecycle.start(call, "update" if present else "create", resource, cluster)
    return Answer(
        status=200 if present else 201,
        body=lifecycle.shown(resource, state),
        headers=operation_headers(call, operation),
    )


def patch_namespace(call: Call) -> Answer:
    """Replace the tags, at once."""
    resource = find_namespace(call)
    check_preconditions(call, resource)
    resource["tags"] = check_only_tags(parsed(call))
    lifecycle.store(call.state, resource, cluster_id(call), call.effect)
    return Answer(body=lifecycle.shown(resource, call.state))


def delete_namespace(call: Call) -> Answer:
    """Start a delete; 204 if there is nothing."""
    cluster = find_cluster(call, code=call.state.switches.missing_cluster_code)
    resource = call.state.resource(namespace_id(call))
    check_preconditions(call, resource)
    if resource is None:
        return Answer(status=204)
    _check_free(call, cluster)
    resource["properties"]["provisioningState"] = "Deleting"
    lifecycle.store(call.state, resource, cluster["id"], call.effect)
    operation = lifecycle.start(call, "delete", resource, cluster)
    return Answer(status=202, headers=operation_headers(call, operation))


def _check_free(call: Call, cluster: Json) -> None:
    state = call.state
    if cluster["properties"]["powerState"]["code"] != "Running":
        text = f"Operation is not allowed: the cluster {cluster['name']} is not running."
        raise arm_error(409, state.switches.stopped_cluster_code, text)
    limit = call.runtime.throttle.limits.get("writes_per_cluster")
    text = "Operation is not allowed because there's an in progress operation on the {}."
    if limit is not None and len(state.running_operations(cluster=cluster["id"])) >= limit:
        told = text.format("managed cluster (AnotherOperationInProgress)")
        raise arm_error(409, "OperationNotAllowed", told)
    if cluster["properties"]["provisioningState"] in ("Creating", "Deleting"):
        raise arm_error(409, "OperationNotAllowed", text.format("managed cluster"))
    busy = state.running_operations(resource=namespace_id(call))
    if busy and state.switches.write_during_operation == "conflict":
        raise arm_error(409, "OperationNotAllowed", text.format("managed namespace"))


def namespace_credential(call: Call) -> Answer:
    """Return the user kubeconfig of a managed namespace: the cluster's, as recorded."""
    find_namespace(call)
    return user_kubeconfig(call, find_cluster(call))


# the generic list


_CONDITION = re.compile(r"\s*(resourceType|resourceGroup)\s+eq\s+'([^']*)'\s*", re.IGNORECASE)


def list_resources(call: Call) -> Answer:
    """Return the caller's resources: two empty pages, hits, two empty ones (recorded)."""
    wanted: dict[str, str] = {}
    text = call.query.get("$filter", "").strip()
    for part in re.split(r"\sand\s", text, flags=re.IGNORECASE) if text else ():
        match = _CONDITION.fullmatch(part)
        if not match or match[1].lower() in wanted:
            text = "Only resourceType eq '..' and resourceGroup eq '..' are imitated here."
            raise arm_error(400, "InvalidFilterInQueryString", text)
        wanted[match[1].lower()] = match[2].lower()
    under = f"/subscriptions/{call.params['subscription']}"
    under += f"/resourceGroups/{wanted['resourcegroup']}" if "resourcegroup" in wanted else ""
    kinds = [kind for kind in _LISTED if wanted.get("resourcetype", kind) == kind]
    found = [doc for kind in kinds for doc in call.state.resources(kind, under=under)]
    found.sort(key=lambda doc: doc["id"].lower())
    expand = {word.strip() for word in call.query.get("$expand", "").split(",")}
    items = [_generic(doc, expand) for doc in visible(call, found)]
    return Answer(body=page(call, [[], [], *paged(items), [], []]))


def _generic(doc: Json, expand: set[str]) -> Json:
    parts = doc["id"].split("/")[8:]
    system = doc.get("systemData", {})
    extra = {
        "createdTime": system.get("createdAt"),
        "changedTime": system.get("lastModifiedAt"),
        "provisioningState": doc["properties"].get("provisioningState"),
    }
    return {
        "id": doc["id"],
        "name": "/".join(parts[0::2]),
        "type": doc["type"],
        "location": doc["location"],
        **({"tags": doc["tags"]} if "tags" in doc else {}),
        **{key: value for key, value in extra.items() if key in expand and value},
        **({"systemData": system} if system else {}),
    }


_S = "/subscriptions/{subscription}"
_G = _S + "/resourceGroups/{group}"
_C = _G + f"/providers/{CLUSTER_TYPE}/{{cluster}}"
_N = _C + "/managedNamespaces/{namespace}"

_TABLE = (
    ("GET", _C + "/managedNamespaces", list_namespaces, ""),
    ("GET", _N, get_namespace, "read"),
    ("PUT", _N, put_namespace, "write"),
    ("PATCH", _N, patch_namespace, "write"),
    ("DELETE", _N, delete_namespace, "delete"),
    ("POST", _N + "/listCredential", namespace_credential, "listCredential/action"),
)
ROUTES = [
    *arm_routes("resources", [("GET", _S + "/resources", list_resources, "")]),
    *arm_routes("container_service", _TABLE, prefix=f"{NAMESPACE_TYPE}/"),
]
