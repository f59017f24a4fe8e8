"""Azure Resource Manager: endpoints, tenants, subscriptions, regions, resource groups."""

from __future__ import annotations

import re
from dataclasses import replace

from mnslib.sandbox import access, grants, lifecycle
from mnslib.sandbox.offers import arm_routes, offers
from mnslib.sandbox.resources import GROUP_TYPE, find_group, group_id, new_group, subscription
from mnslib.sandbox.routes_operations import operation_headers
from mnslib.sandbox.rules import check_tags
from mnslib.sandbox.wire import Answer, Call, addressed, arm_error

_GROUP_NAME = re.compile(r"[-\w.()]{0,89}[-\w()]")


def get_endpoints(call: Call) -> Answer:
    """Return where sign-in and Graph are, so that one address is enough for `az cloud register`."""
    graph = f"{call.origin}/graph/"
    body = {
        "name": "Sandbox",
        "portal": call.origin,
        "authentication": {
            "loginEndpoint": f"{call.origin}/entra",
            "audiences": [f"{call.origin}/"],
            "tenant": call.state.meta("tenant_id"),
            "identityProvider": "AAD",
        },
        "resourceManager": call.origin,
        "graphAudience": graph,
        "graph": graph,
        "microsoftGraphResourceId": graph,
        "gallery": call.origin,
        "suffixes": {},
    }
    return Answer(body=body)


def list_tenants(call: Call) -> Answer:
    """Return the tenant."""
    tenant = call.state.meta("tenant_id")
    one = {"id": f"/tenants/{tenant}", "tenantId": tenant, "tenantCategory": "Home"}
    return Answer(body={"value": [one | {"displayName": "Contoso", "countryCode": "NL"}]})


def list_subscriptions(call: Call) -> Answer:
    """Return the subscriptions in which the caller holds anything."""
    sees = grants.of(call.state).sees
    every = call.state.meta("subscriptions")
    mine = [one for one in every if sees(call.identity, one["subscriptionId"])]
    return Answer(body={"value": mine})


def get_subscription(call: Call) -> Answer:
    """Return one subscription."""
    return Answer(body=subscription(call))


def list_locations(call: Call) -> Answer:
    """Return the regions."""
    base = subscription(call)["id"]
    value = [
        {
            "id": f"{base}/locations/{name}",
            "name": name,
            "type": "Region",
            "displayName": shown,
            "regionalDisplayName": shown,
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
        }
        for name, shown in offers()["locations"].items()
    ]
    return Answer(body={"value": value})


def location(text: object) -> str:
    """Return a region's name from its name or display name.

    Raises:
        Refusal: 400 if it is missing or no region.
    """
    if not isinstance(text, str) or not text:
        message = "The location property is required for this definition."
        raise arm_error(400, "LocationRequired", message)
    name = text.replace(" ", "").lower()
    if name not in offers()["locations"]:
        known = ",".join(offers()["locations"])
        message = f"The provided location '{text}' is not available. List of available regions is "
        raise arm_error(400, "LocationNotAvailable", f"{message}'{known}'.")
    return name


# resource groups


def list_groups(call: Call) -> Answer:
    """Return the resource groups of a subscription that the caller may read."""
    base = subscription(call)["id"]
    allows = grants.of(call.state).allows
    found = call.state.resources(GROUP_TYPE, under=base)
    mine = [one for one in found if allows(call.identity, f"{_GROUPS}/read", one["id"])]
    return Answer(body={"value": mine})


def get_group(call: Call) -> Answer:
    """Return one resource group."""
    return Answer(body=find_group(call))


def head_group(call: Call) -> Answer:
    """Return 204 if the resource group exists."""
    find_group(call)
    return Answer(status=204)


def put_group(call: Call) -> Answer:
    """Create a resource group or replace its tags."""
    name, body = call.params["group"], addressed(call)
    base = subscription(call)["id"].split("/")[2]
    if not _GROUP_NAME.fullmatch(name):
        text = f"The provided resource group name '{name}' has these invalid characters or length."
        raise arm_error(400, "InvalidResourceGroup", text)
    present = call.state.resource(group_id(base, name))
    if present:
        find_group(call, to_write=True)
    place = location(body.get("location") or (present or {}).get("location"))
    if present and present["location"] != place:
        text = f"Invalid resource group location '{place}'. The Resource group already exists in "
        text += f"location '{present['location']}'."
        raise arm_error(409, "InvalidResourceGroupLocation", text)
    tags = check_tags(body)
    doc = new_group(present["id"] if present else group_id(base, name), place, tags)
    call.state.put_resource(doc)
    return Answer(status=200 if present else 201, body=doc)


def delete_group(call: Call) -> Answer:
    """Start to delete a resource group with everything in it."""
    group = find_group(call)
    for operation in call.state.running_operations(resource=group["id"]):
        return Answer(status=202, headers=operation_headers(call, operation))
    group["properties"]["provisioningState"] = "Deleting"
    call.state.put_resource(group)
    operation = lifecycle.start(call, "group_delete", group, group)
    return Answer(status=202, headers=operation_headers(call, operation))


_S = "/subscriptions/{subscription}"
_G = _S + "/resourceGroups/{group}"
_GROUPS = "Microsoft.Resources/subscriptions/resourceGroups"
_SUBSCRIPTIONS = (
    ("GET", "/tenants", list_tenants, ""),
    ("GET", "/subscriptions", list_subscriptions, ""),
    ("GET", _S, get_subscription, access.READ_SUBSCRIPTION),
    ("GET", _S + "/locations", list_locations, "Microsoft.Resources/subscriptions/locations/read"),
)
_TABLE = (
    ("GET", _S + "/resourceGroups", list_groups, ""),
    ("GET", _G, get_group, f"{_GROUPS}/read"),
    ("HEAD", _G, head_group, f"{_GROUPS}/read"),
    ("PUT", _G, put_group, f"{_GROUPS}/write"),
    ("DELETE", _G, delete_group, f"{_GROUPS}/delete"),
)
_ENDPOINTS = arm_routes("metadata", [("GET", "/metadata/endpoints", get_endpoints, "")])
ROUTES = [replace(route, open=True) for route in _ENDPOINTS]
ROUTES += arm_routes("subscriptions", _SUBSCRIPTIONS) + arm_routes("resources", _TABLE)
