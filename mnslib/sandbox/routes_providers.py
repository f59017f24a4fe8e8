"""Azure Resource Manager: resource providers and features, and their registration.

A registration is a state with the moment at which it becomes the next one.
"""

from __future__ import annotations

from mnslib.sandbox.offers import api_versions, arm_routes, offers
from mnslib.sandbox.wire import Answer, Call, Json, arm_error

CONTAINER_SERVICE = "Microsoft.ContainerService"
NAMESPACE_FEATURE = "ManagedNamespacePreview"
_NEXT = {"Registering": "Registered", "Unregistering": "Unregistered"}


def list_providers(call: Call) -> Answer:
    """Return every provider with its resource types."""
    return Answer(body={"value": [_provider(call, name) for name in offers()["providers"]]})


def get_provider(call: Call) -> Answer:
    """Return one provider."""
    return Answer(body=_provider(call, _provider_name(call)))


def change_provider(call: Call) -> Answer:
    """Start to register or unregister a provider; what is registered stays so."""
    name = _provider_name(call)
    _change(call, name)
    return Answer(body=_provider(call, name))


def list_features(call: Call) -> Answer:
    """Return the features of a provider, or of all."""
    wanted = call.params.get("provider", "").lower()
    names = [
        f"{provider}/{feature}"
        for provider, features in offers()["features"].items()
        for feature in features
        if wanted in ("", provider.lower())
    ]
    return Answer(body={"value": [_feature(call, name) for name in names]})


def get_feature(call: Call) -> Answer:
    """Return one feature."""
    return Answer(body=_feature(call, _feature_name(call)))


def change_feature(call: Call) -> Answer:
    """Start to register or unregister a feature."""
    name = _feature_name(call)
    _change(call, name)
    return Answer(body=_feature(call, name))


def check_registered(call: Call) -> None:
    """Refuse a creation while the subscription does not have the provider.

    Raises:
        Refusal: 409 MissingSubscriptionRegistration.
    """
    if not call.state.switches.provider_registration_required:
        return
    if _standing(call, CONTAINER_SERVICE) in ("Registered", "Registering"):
        return
    text = f"The subscription is not registered to use namespace '{CONTAINER_SERVICE}'. "
    text += "See https://aka.ms/rps-not-found for how to register subscriptions."
    raise arm_error(409, "MissingSubscriptionRegistration", text)


def check_feature(call: Call) -> None:
    """Refuse a managed namespace without the preview's flag, if the switch still asks for it.

    Raises:
        Refusal: 400 BadRequest.
    """
    name = f"{CONTAINER_SERVICE}/{NAMESPACE_FEATURE}"
    if not call.state.switches.feature_flag_required:
        return
    if _standing(call, name) != "Registered":
        text = f"Managed namespace requires feature flag {name} to be registered."
        raise arm_error(400, "BadRequest", text)


def _key(call: Call, name: str) -> str:
    return f"{call.params['subscription'].lower()}/{name}"


def _standing(call: Call, name: str) -> str:
    """Return how a provider, or a feature (`provider/feature`), stands in the subscription."""
    found = call.state.meta("registrations", {}).get(_key(call, name))
    if found is None:
        return "NotRegistered" if "/" in name else "Registered"
    now: str = found["state"]
    return _NEXT.get(now, now) if call.state.now() >= found["due"] else now


def _change(call: Call, name: str) -> None:
    state = call.state
    wanted = "Registering" if call.path.lower().endswith("/register") else "Unregistering"
    if _standing(call, name) in (wanted, _NEXT[wanted]):
        return
    entry = {"state": wanted, "due": state.now() + state.latency["register"]}
    known = state.meta("registrations", {})
    state.set_meta("registrations", known | {_key(call, name): entry})


def _provider_name(call: Call) -> str:
    wanted = call.params["provider"]
    for name in offers()["providers"]:
        if name.lower() == wanted.lower():
            return str(name)
    text = f"The resource namespace '{wanted}' is invalid."
    raise arm_error(404, "InvalidResourceNamespace", text)


def _provider(call: Call, name: str) -> Json:
    locations = list(offers()["locations"].values())
    types = [
        {
            "resourceType": kind,
            "locations": locations,
            "apiVersions": sorted(api_versions(versions), reverse=True),
            "capabilities": "None",
        }
        for kind, versions in offers()["providers"][name].items()
    ]
    return {
        "id": f"/subscriptions/{call.params['subscription']}/providers/{name}",
        "namespace": name,
        "resourceTypes": types,
        "registrationState": _standing(call, name),
        "registrationPolicy": "RegistrationRequired",
    }


def _feature_name(call: Call) -> str:
    wanted = f"{call.params['provider']}/{call.params['feature']}".lower()
    for provider, features in offers()["features"].items():
        for feature in features:
            if wanted == f"{provider}/{feature}".lower():
                return f"{provider}/{feature}"
    text = f"The feature '{call.params['feature']}' could not be found."
    raise arm_error(404, "FeatureNotFound", text)


def _feature(call: Call, name: str) -> Json:
    provider, _, feature = name.partition("/")
    base = f"/subscriptions/{call.params['subscription']}/providers/Microsoft.Features/providers"
    return {
        "properties": {"state": _standing(call, name)},
        "id": f"{base}/{provider}/features/{feature}",
        "type": "Microsoft.Features/providers/features",
        "name": name,
    }


_S = "/subscriptions/{subscription}/providers"
_F = _S + "/Microsoft.Features"
_ONE = _F + "/providers/{provider}/features/{feature}"
_READ = "Microsoft.Resources/subscriptions/providers/read"
_FEATURES = "Microsoft.Features/providers/features"
_FEATURE_ROUTES = (
    ("GET", _F + "/features", list_features, "Microsoft.Features/features/read"),
    ("GET", _F + "/providers/{provider}/features", list_features, f"{_FEATURES}/read"),
    ("GET", _ONE, get_feature, f"{_FEATURES}/read"),
    ("POST", _ONE + "/register", change_feature, f"{_FEATURES}/register/action"),
    ("POST", _ONE + "/unregister", change_feature, f"{_FEATURES}/unregister/action"),
)
_PROVIDER_ROUTES = (
    ("GET", _S, list_providers, _READ),
    ("GET", _S + "/{provider}", get_provider, _READ),
    *(
        ("POST", f"{_S}{path}", change_provider, f"{path[1:]}/action")
        for path in ("/{provider}/register", "/{provider}/unregister")
    ),
)
ROUTES = [*arm_routes("features", _FEATURE_ROUTES), *arm_routes("resources", _PROVIDER_ROUTES)]
