"""Azure Resource Manager: subscriptions."""

from __future__ import annotations

from mnslib.sandbox import access
from mnslib.sandbox.wire import Answer, Call, Json, Route, arm_error

SUBSCRIPTION_VERSIONS = frozenset({"2016-06-01", "2020-01-01", "2021-01-01", "2022-12-01"})


def list_subscriptions(call: Call) -> Answer:
    """Return the subscriptions in which the caller holds anything."""
    sees = access.of(call.state).sees
    every = call.state.meta("subscriptions")
    mine = [one for one in every if sees(call.identity, one["subscriptionId"])]
    return Answer(body={"value": mine})


def get_subscription(call: Call) -> Answer:
    """Return one subscription."""
    return Answer(body=subscription(call))


def subscription(call: Call) -> Json:
    """Return the subscription that the path names.

    Raises:
        Refusal: 404 SubscriptionNotFound.
    """
    wanted = call.params["subscription"]
    for one in call.state.meta("subscriptions"):
        if one["subscriptionId"] == wanted.lower():
            return dict(one)
    text = f"The subscription '{wanted}' could not be found."
    raise arm_error(404, "SubscriptionNotFound", text)


_S = "/subscriptions/{subscription}"
_TABLE = (
    ("GET", "/subscriptions", list_subscriptions, ""),
    ("GET", _S, get_subscription, access.READ_SUBSCRIPTION),
)
ROUTES = [
    Route(
        surface="arm",
        method=method,
        template=template,
        handler=handler,
        api_versions=SUBSCRIPTION_VERSIONS,
        action=action,
    )
    for method, template, handler, action in _TABLE
]
