"""Sign-in: discovery, keys, client-credentials tokens."""

from __future__ import annotations

import hmac
import json
from urllib.parse import parse_qsl

from mnslib.sandbox import directory
from mnslib.sandbox.offers import offers
from mnslib.sandbox.tokens import (
    KEY_ID,
    TOKEN_SECONDS,
    audiences,
    claims_of,
    credential,
    sign,
)
from mnslib.sandbox.wire import Answer, Call, Json, entra_error, routes


def _tenant(call: Call) -> str:
    """Return the tenant of the path: the world's own, or the other one that nothing here trusts."""
    tenant = call.params["tenant"].lower()
    if tenant not in (call.state.meta("tenant_id"), call.state.meta("other_tenant_id")):
        text = f"Tenant '{call.params['tenant']}' not found. Check to make sure you have the "
        text += "correct tenant ID and are signing into the correct cloud. Check with your "
        text += "subscription administrator, this may happen if there are no active subscriptions "
        raise entra_error(400, "invalid_tenant", 90002, f"{text}for the tenant.")
    return tenant


def _issuer(origin: str, tenant: str) -> str:
    return f"{origin}/entra/{tenant}/v2.0"


def discovery(call: Call) -> Answer:
    """Return the OpenID configuration of the tenant; `az logout` asks for the shared one."""
    shared = call.params["tenant"] in ("common", "organizations")
    tenant = call.state.meta("tenant_id") if shared else _tenant(call)
    base = f"{call.origin}/entra/{tenant}"
    body = {
        "issuer": _issuer(call.origin, tenant),
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        **offers()["openid"],
    }
    return Answer(body=body)


def keys(call: Call) -> Answer:
    """Return the public key that tokens are signed with."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from jwt.algorithms import RSAAlgorithm

    _tenant(call)
    public = load_pem_public_key(call.state.meta("keys")["jwt_public"].encode())
    key = json.loads(RSAAlgorithm.to_jwk(public))  # type: ignore[arg-type]  # an RSA key
    return Answer(body={"keys": [key | {"kid": KEY_ID, "use": "sig", "alg": "RS256"}]})


def token(call: Call) -> Answer:
    """Return an access token for a client's id and secret."""
    tenant = _tenant(call)
    form = dict(parse_qsl(call.body.decode("utf-8", "replace")))
    for name in ("grant_type", "client_id", "scope"):
        if name not in form:
            text = f"The request body must contain the following parameter: '{name}'."
            raise entra_error(400, "invalid_request", 900144, text)
    if form["grant_type"] != "client_credentials":
        text = f"The app requested an unsupported grant type '{form['grant_type']}'."
        raise entra_error(400, "unsupported_grant_type", 70003, text)
    identity = _client(call, form)
    resource = form["scope"].removesuffix("/.default")
    if resource == form["scope"]:
        text = f"The provided value for scope {resource} is not valid. Client credential flows "
        text += "must have a scope value with /.default suffixed to the resource identifier "
        raise entra_error(400, "invalid_scope", 1002012, f"{text}(application ID URI).")
    return issued(call, tenant, resource, identity["object_id"])


def issued(call: Call, tenant: str, resource: str, object_id: str) -> Answer:
    """Return a token of somebody for a resource, or that there is no such resource."""
    if resource.rstrip("/") not in audiences(call.origin):
        text = f"The resource principal named {resource} was not found in the tenant named "
        text += f"{tenant}. This can happen if the application has not been installed by the "
        text += "administrator of the tenant or consented to by any user in the tenant. You might "
        text += "have sent your authentication request to the wrong tenant."
        raise entra_error(400, "invalid_resource", 500011, text)
    claims = {"aud": resource, "iss": _issuer(call.origin, tenant), "tid": tenant}
    claims |= claims_of(call.state, object_id)
    seconds = {"expires_in": TOKEN_SECONDS, "ext_expires_in": TOKEN_SECONDS}
    return Answer(
        body={"token_type": "Bearer", **seconds, "access_token": sign(call.state, claims)}
    )


def _client(call: Call, form: dict[str, str]) -> Json:
    given = form.get("client_id", "")
    identities: Json = call.state.meta("identities")
    own = [one["object_id"] for one in identities.values() if one["client_id"] == given.lower()]
    found = [*own, *directory.called(call.state, given)]
    identity = credential(call.state, found[0]) if found else None
    if identity is None or identity["client_id"] != given.lower():
        text = f"Application with identifier '{given}' was not found in the directory "
        text += f"'{call.params['tenant']}'. This can happen if the application has not been "
        text += "installed by the administrator of the tenant or consented to by any user in the "
        text += "tenant. You may have sent your authentication request to the wrong tenant."
        raise entra_error(400, "unauthorized_client", 700016, text)
    if "client_secret" not in form:
        text = "The request body must contain the following parameter: 'client_assertion' or "
        raise entra_error(401, "invalid_client", 7000218, f"{text}'client_secret'.")
    secret, sent = identity["client_secret"].encode(), form["client_secret"].encode()
    if not hmac.compare_digest(secret, sent):
        text = "Invalid client secret provided. Ensure the secret being sent in the request is the "
        text += (
            f"client secret value, not the client secret ID, for a secret added to app '{given}'."
        )
        raise entra_error(401, "invalid_client", 7000215, text)
    return identity


_TABLE = (
    ("GET", "/v2.0/.well-known/openid-configuration", discovery),
    ("GET", "/discovery/v2.0/keys", keys),
    ("POST", "/oauth2/v2.0/token", token),
)
ROUTES = routes("entra", "/entra/{tenant}", _TABLE)
