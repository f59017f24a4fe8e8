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
from mnslib.sandbox.wire import Answer, Call, Json, Refusal, entra_error, routes


def _tenant(call: Call) -> str:
    """Return the tenant of the path: the world's own, or the other one that nothing here trusts."""
    tenant = call.params["tenant"].lower()
    if tenant not in (call.state.meta("tenant_id"), call.state.meta("other_tenant_id")):
        raise _refusal(90002, tenant=call.params["tenant"])
    return tenant


def _refusal(number: int, **said: str) -> Refusal:
    row = offers()["entra"][number]
    return entra_error(row["status"], row["error"], number, row["text"].format(**said))


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
            raise _refusal(900144, name=name)
    if form["grant_type"] != "client_credentials":
        raise _refusal(70003, grant=form["grant_type"])
    identity = _client(call, form)
    resource = form["scope"].removesuffix("/.default")
    if resource == form["scope"]:
        raise _refusal(1002012, scope=resource)
    return issued(call, tenant, resource, identity["object_id"])


def issued(call: Call, tenant: str, resource: str, object_id: str) -> Answer:
    """Return a token of somebody for a resource, or that there is no such resource."""
    if resource.rstrip("/") not in audiences(call.origin):
        raise _refusal(500011, resource=resource, tenant=tenant)
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
        raise _refusal(700016, client=given, tenant=call.params["tenant"])
    if "client_secret" not in form:
        raise _refusal(7000218)
    secret, sent = identity["client_secret"].encode(), form["client_secret"].encode()
    if not hmac.compare_digest(secret, sent):
        raise _refusal(7000215, client=given)
    return identity


_TABLE = (
    ("GET", "/v2.0/.well-known/openid-configuration", discovery),
    ("GET", "/discovery/v2.0/keys", keys),
    ("POST", "/oauth2/v2.0/token", token),
)
ROUTES = routes("entra", "/entra/{tenant}", _TABLE)
