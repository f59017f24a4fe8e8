"""Deployment Safeguards of a cluster: on, off, and for which namespaces.

Source: facts of the AKS REST reference, `deploymentSafeguards`, an extension resource.
"""

from __future__ import annotations

from mnslib.sandbox.offers import arm_routes
from mnslib.sandbox.resources import (
    CLUSTER_TYPE,
    SAFEGUARDS_TYPE,
    SYSTEM_NAMESPACES,
    find_cluster,
    safeguards_id,
)
from mnslib.sandbox.wire import Answer, Call, Json, addressed, arm_error


def get_safeguards(call: Call) -> Answer:
    """Return a cluster's safeguards; 404 where there are none."""
    found = call.state.resource(safeguards_id(find_cluster(call)["id"]))
    if found is None:
        text = f"The Deployment Safeguards of '{call.params['cluster']}' were not found."
        raise arm_error(404, "ResourceNotFound", text)
    return Answer(body=found)


def put_safeguards(call: Call) -> Answer:
    """Set a cluster's safeguards, at once."""
    cluster, given = find_cluster(call), addressed(call).get("properties")
    level, left_out = _read(given if isinstance(given, dict) else {})
    properties = {
        "level": level,
        "excludedNamespaces": left_out,
        "systemExcludedNamespaces": list(SYSTEM_NAMESPACES),
        "provisioningState": "Succeeded",
    }
    doc = {"id": safeguards_id(cluster["id"]), "name": "default", "type": SAFEGUARDS_TYPE}
    call.state.put_resource(doc | {"properties": properties}, parent=cluster["id"])
    return Answer(body=doc | {"properties": properties})


def _read(given: Json) -> tuple[str, list[str]]:
    level, left_out = given.get("level"), given.get("excludedNamespaces") or []
    are_names = isinstance(left_out, list) and all(isinstance(name, str) for name in left_out)
    if level not in ("Warn", "Enforce") or not are_names:
        text = "properties.level must be Warn or Enforce, excludedNamespaces a list of names."
        raise arm_error(400, "BadRequest", text)
    return level, left_out


_PLACE = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{CLUSTER_TYPE}"
_PLACE += f"/{{cluster}}/providers/{SAFEGUARDS_TYPE}/default"
_TABLE = (("GET", _PLACE, get_safeguards, "read"), ("PUT", _PLACE, put_safeguards, "write"))
ROUTES = arm_routes("safeguards", _TABLE, prefix=f"{SAFEGUARDS_TYPE}/")
