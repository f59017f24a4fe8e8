"""Long-running operations on the wire: signed URLs, their state and their result."""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import cache

from mnslib.sandbox import lifecycle
from mnslib.sandbox.access import require
from mnslib.sandbox.offers import api_versions, arm_routes
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Answer, Call, Json, arm_error

_SIGNED = ("t", "c", "s", "h")


def operation_headers(call: Call, operation: Json) -> dict[str, str]:
    """Return the headers that an accepted write carries."""
    urls = {"Location": _operation_url(call, operation, "operationresults")}
    if operation["kind"] != "group_delete":  # Azure Resource Manager's own have a Location only
        urls["Azure-AsyncOperation"] = _operation_url(call, operation, "operations")
    identifier = {"x-ms-operation-identifier": operation["id"]}
    return urls | identifier | lifecycle.retry_after(call.state)


def _operation_url(call: Call, operation: Json, kind: str) -> str:
    path = f"/subscriptions/{operation['subscription']}"
    if operation["kind"] != "group_delete":
        path += f"/providers/Microsoft.ContainerService/locations/{operation['location']}"
    path += f"/{kind}/{operation['id']}"
    ticks = 621355968000000000 + int(operation["start"] * 10_000_000)
    values = {"t": str(ticks), **_signature(call.state, path, str(ticks))}
    query = "&".join(f"{name}={values[name]}" for name in _SIGNED)
    return f"{call.origin}{path}?api-version={max(api_versions('operations'))}&{query}"


def _signature(state: State, path: str, ticks: str) -> dict[str, str]:
    """Return c, s and h: about 3.5 kB together, as on the wire; `s` is what is checked."""
    key = state.meta("keys")["signing"].encode()
    proof = hmac.new(key, f"{path.lower()}?{ticks}".encode(), hashlib.sha512).digest()
    return {"c": _filler(key), "s": _text(proof * 4), "h": _text(hashlib.sha256(proof).digest())}


@cache
def _filler(key: bytes) -> str:
    return _text(hashlib.shake_256(key).digest(2400))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _find_operation(call: Call) -> Json:
    query = {name: call.query.get(name, "") for name in _SIGNED}
    expected = {"t": query["t"], **_signature(call.state, call.path, query["t"])}
    if query != expected:
        text = "The signature of the operation URL is not valid; use the URL as it was given."
        raise arm_error(403, "AuthorizationFailed", text)
    if call.state.switches.operation_read == "role":
        require(call, "Microsoft.ContainerService/locations/operations/read", call.path)
    operation = call.state.operation(call.params["operation"])
    if operation is None:
        text = f"The operation '{call.params['operation']}' was not found."
        raise arm_error(404, "NotFound", text)
    return operation


def get_operation(call: Call) -> Answer:
    """Return the state of a long-running operation."""
    operation = _find_operation(call)
    headers = {"x-ms-operation-identifier": operation["id"]}
    if "endTime" not in operation:
        headers |= lifecycle.next_poll(call.state)
    return Answer(body=lifecycle.status_body(operation), headers=headers)


def get_operation_result(call: Call) -> Answer:
    """Return 202 while it runs; then the resource, nothing after a delete, or the error."""
    operation = _find_operation(call)
    if "endTime" not in operation:
        headers = operation_headers(call, operation)
        headers.pop("Retry-After", None)
        return Answer(status=202, headers=headers | lifecycle.next_poll(call.state))
    if "error" in operation:
        return Answer(status=400, body={"error": operation["error"]})
    resource = call.state.resource(operation["resource"])
    if operation["kind"] == "group_delete":
        return Answer()
    if operation["kind"].endswith("delete") or resource is None:
        return Answer(status=204)
    return Answer(body=lifecycle.shown(resource, call.state))


_S = "/subscriptions/{subscription}"
_O = _S + "/providers/Microsoft.ContainerService/locations/{location}"
ROUTES = arm_routes(
    "operations",
    [
        ("GET", _O + "/operations/{operation}", get_operation, ""),
        ("GET", _O + "/operationresults/{operation}", get_operation_result, ""),
        ("GET", _S + "/operationresults/{operation}", get_operation_result, ""),
    ],
)
