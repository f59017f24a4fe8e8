"""Long-running operations: how long each takes, when it starts, how its state is shown.

Times are data (latencies.yaml); what the end of an operation does is in `completion`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mnslib.sandbox.offers import packaged, read
from mnslib.sandbox.resources import NAMESPACE_TYPE
from mnslib.sandbox.rules import MANAGED_LABEL, NAME_LABEL
from mnslib.sandbox.state import State, utc_text
from mnslib.sandbox.wire import Call, Json


def latencies() -> Json:
    """Return the profiles of latencies.yaml."""
    return packaged("latencies.yaml")


def load_latency(name_or_file: str) -> Json:
    """Return a latency profile by name, or from a JSON or YAML file with the same keys.

    Raises:
        ValueError: if the file lacks a key or has one too many.
    """
    return latencies().get(name_or_file) or read(Path(name_or_file), _checked)


def _checked(profile: Any) -> Json:
    known = latencies()["fast"]
    if not isinstance(profile, dict) or set(profile) != set(known):
        raise ValueError(f"needs exactly {', '.join(known)}")
    return profile


def retry_after(state: State) -> dict[str, str]:
    """Return the Retry-After header of operations, if one is sent."""
    seconds = state.switches.retry_after_seconds
    if seconds is None:
        seconds = state.latency["retry_after_seconds"]
    return {} if seconds is None else {"Retry-After": str(seconds)}


def next_poll(state: State) -> dict[str, str]:
    """Return the header of a status answer that says when to ask again, if one is sent.

    azure-core takes a Retry-After of 0 for "not said" and waits 30 s; milliseconds it believes.
    """
    header = retry_after(state)
    return {"x-ms-retry-after-ms": "100"} if header == {"Retry-After": "0"} else header


def start(call: Call, kind: str, resource: Json, cluster: Json) -> Json:
    """Store and return a new operation.

    Args:
        call: that starts it; a scripted fault may have an effect on its end.
        kind: `create`, `update` or `delete` of a managed namespace; else a key of a profile.
        resource: as accepted.
        cluster: the managed cluster's resource; for a resource group, the group itself.
    """
    state, speed = call.state, kind
    if kind == "create" and not state.notes(cluster["id"]).get("prepared"):
        speed = "first_create"
    operation = {
        "id": state.new_guid(),
        "kind": kind,
        "resource": resource["id"].lower(),
        "cluster": cluster["id"].lower(),
        "location": cluster["location"].lower(),
        "subscription": cluster["id"].split("/")[2].lower(),
        "start": state.now(),
        "due": state.now() + state.latency[speed],
    }
    if call.effect:
        operation["effect"] = call.effect
        if call.effect.get("operation") == "hangs":
            operation["due"] = math.inf
    state.put_operation(operation)
    return operation


def failed_state(operation: Json) -> str:
    """Return the state in which an operation that did not succeed ends."""
    is_cancelled = operation.get("effect", {}).get("operation") == "cancelled"
    return "Canceled" if is_cancelled else "Failed"


def status_body(operation: Json) -> Any:
    """Return the operation as its status URL shows it."""
    if "answer" in operation.get("effect", {}):
        return operation["effect"]["answer"]
    body = {"name": operation["id"], "status": "InProgress"}
    body["startTime"] = utc_text(operation["start"])
    if "endTime" in operation:
        body["status"] = failed_state(operation) if "error" in operation else "Succeeded"
        body["endTime"] = utc_text(operation["endTime"])
    if "error" in operation:
        body["error"] = operation["error"]
    return body


def shown(resource: Json, state: State) -> Json:
    """Return a resource as it is answered; namespaces with labels that the service may add."""
    extra = {}
    if state.switches.name_label_returned:
        extra[NAME_LABEL] = resource["name"]
    if state.switches.managed_label_returned:
        extra[MANAGED_LABEL] = "true"
    if not extra or resource["type"] != NAMESPACE_TYPE:
        return resource
    properties = resource["properties"]
    labels = extra | properties.get("labels", {})
    return resource | {"properties": {**properties, "labels": labels}}


def store(
    state: State, resource: Json, cluster_id: str, effect: Json, notes: Json | None = None
) -> None:
    """Store a changed managed namespace with a new eTag; lists may trail, a policy may add tags."""
    if tags := effect.get("policy_tags"):
        resource["tags"] = resource.get("tags", {}) | tags
    trail(state, resource["id"], cluster_id, effect)
    resource["eTag"] = state.new_guid()
    state.put_resource(resource, parent=cluster_id, notes=notes)


def trail(state: State, resource_id: str, cluster_id: str, effect: Json) -> None:
    """Let lists trail the item before it changes, if a switch or a scripted fault says so."""
    if lag := effect.get("list_trails", state.switches.list_lag_seconds):
        state.trail(resource_id, cluster_id, state.now() + lag)
