"""What the end of a long-running operation does.

Nothing runs in the background: `settle` ends what is due whenever a request arrives, so a restart
loses nothing.
"""

from __future__ import annotations

from mnslib.sandbox import directory, grants, lifecycle
from mnslib.sandbox.building import Builder
from mnslib.sandbox.kube.controllers import leave_as_is
from mnslib.sandbox.kube.inside import apply_managed, check_adoption, release_managed
from mnslib.sandbox.resources import ASSIGNMENT_TYPE, CLUSTER_TYPE
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Json


def settle(state: State) -> None:
    """End every operation whose time has come."""
    due = state.due_operations()
    if not due:
        return
    with state.transaction():
        for operation in due:
            error = _finish(state, operation)
            operation["endTime"] = operation["due"]
            if error:
                operation["error"] = error
            state.put_operation(operation)


def go_on(state: State) -> None:
    """Have what a fault made hang end well, now."""
    for operation in state.hanging_operations():
        state.put_operation({**operation, "due": state.now(), "effect": {}})


def _finish(state: State, operation: Json) -> Json | None:
    resource = state.resource(operation["resource"])
    cluster = state.resource(operation["cluster"])
    if resource is None or cluster is None:
        return {"code": "ResourceNotFound", "message": "The resource no longer exists."}
    if operation["kind"] in ("create", "update", "delete"):
        return _finish_namespace(state, operation, resource, cluster)
    error = _scripted_failure(operation)
    if error:
        resource["properties"]["provisioningState"] = lifecycle.failed_state(operation)
        state.put_resource(resource)
    elif operation["kind"] == "group_delete":
        for one in state.resources(CLUSTER_TYPE, under=resource["id"]):
            _remove_cluster(state, one)
        state.delete_with_content(resource["id"])
    else:
        _finish_cluster(state, operation["kind"], resource)
    return error


def _finish_cluster(state: State, kind: str, resource: Json) -> None:
    if kind == "cluster_delete":
        _remove_cluster(state, resource)
        return
    if kind == "cluster_create":
        builder = Builder(state, resource)
        builder.build()
        builder.recount()
        leave_as_is(state, resource["id"].lower())
    power = {"cluster_start": "Running", "cluster_stop": "Stopped"}
    if kind in power:
        resource["properties"]["powerState"] = {"code": power[kind]}
    resource["properties"]["provisioningState"] = "Succeeded"
    resource["eTag"] = state.new_guid()
    state.put_resource(resource)


def _remove_cluster(state: State, resource: Json) -> None:
    state.delete_cluster(resource["id"].lower())
    state.delete_with_content(resource["id"])
    directory.remove(state, resource.get("identity", {}).get("principalId", ""))


def _finish_namespace(state: State, operation: Json, resource: Json, cluster: Json) -> Json | None:
    key, name, properties = operation["cluster"], resource["name"], resource["properties"]
    notes = state.notes(resource["id"])
    error = _scripted_failure(operation) or _private_failure(state, operation, cluster)
    if error is None and operation["kind"] != "delete":
        text = check_adoption(state, key, name, properties)
        error = {"code": state.switches.existing_namespace_code, "message": text} if text else None
    if error:
        return _fail(state, operation, resource, error)
    if operation["kind"] == "delete":
        if "applied" in notes:  # else ARM has never written to that namespace: it is another's
            release_managed(state, key, name, policy=properties["deletePolicy"])
        _remove(state, operation, resource)
        return None
    apply_managed(state, key, name, properties, notes.get("applied"))
    applied = {field: properties.get(field, {}) for field in ("labels", "annotations")}
    properties["provisioningState"] = "Succeeded"
    _store(state, operation, resource, notes | {"applied": applied})
    if not (known := state.notes(cluster["id"])).get("prepared"):
        state.put_resource(cluster, notes=known | {"prepared": True})
    return None


def _scripted_failure(operation: Json) -> Json | None:
    effect = operation.get("effect", {})
    if effect.get("operation", "answers") == "answers":
        return None
    cancelled = lifecycle.failed_state(operation) == "Canceled"
    code = "OperationCanceled" if cancelled else "InternalError"
    text = "The operation was canceled." if cancelled else "An internal error has occurred."
    error = {"code": effect.get("code", code), "message": effect.get("message", text)}
    more = effect.get("additional_info")
    return error | ({} if more is None else {"additionalInfo": more})


def _private_failure(state: State, operation: Json, cluster: Json) -> Json | None:
    profile = cluster["properties"].get("apiServerAccessProfile") or {}
    private = profile.get("enablePrivateCluster") and operation["kind"] != "create"
    if not (private and state.switches.private_cluster_updates_fail):
        return None
    message = "KubeClient failed to update resource quota due to internal server error"
    return {"code": "InternalError", "message": message}


def _fail(state: State, operation: Json, resource: Json, error: Json) -> Json:
    if operation["kind"] == "create" and not state.switches.failed_create_leaves_resource:
        _remove(state, operation, resource)
    else:
        resource["properties"]["provisioningState"] = lifecycle.failed_state(operation)
        _store(state, operation, resource)
    return error


def _store(state: State, operation: Json, resource: Json, notes: Json | None = None) -> None:
    lifecycle.store(state, resource, operation["cluster"], operation.get("effect", {}), notes)


def _remove(state: State, operation: Json, resource: Json) -> None:
    effect = operation.get("effect", {})
    lifecycle.trail(state, resource["id"], operation["cluster"], effect)
    state.delete_resource(resource["id"])
    if state.switches.assignments_end_with_namespace:
        for assignment in state.resources(ASSIGNMENT_TYPE, under=resource["id"]):
            grants.withdraw(state, assignment)
