"""Sign-in: discovery, keys, client-credentials tokens; and the check of bearer tokens."""

from __future__ import annotations

import hmac
import json
import time
from typing import Any
from urllib.parse import parse_qsl

from mnslib.sandbox.routes_clusters import AKS_SERVER_ID
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Answer, Call, Json, Route, entra_error

TOKEN_SECONDS = 3600
PROMETHEUS_AUDIENCE = "https://prometheus.monitor.azure.com"
ARM_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
_KEY_ID = "sandbox-1"


def audiences(origin: str) -> dict[str, str]:
    """Return which surface an audience opens, written without trailing slashes."""
    opened = {name: "arm" for name in (origin, *ARM_AUDIENCES)}
    opened |= {AKS_SERVER_ID: "kubernetes", PROMETHEUS_AUDIENCE: "prometheus"}
    return opened | {f"{origin}/graph": "graph", "https://graph.microsoft.com": "graph"}


def _tenant(call: Call) -> str:
    tenant = str(call.state.meta("tenant_id"))
    if call.params["tenant"].lower() != tenant:
        text = f"Tenant '{call.params['tenant']}' not found."
        raise entra_error(400, "invalid_request", 90002, text)
    return tenant


def _issuer(origin: str, tenant: str) -> str:
    return f"{origin}/entra/{tenant}/v2.0"


def discovery(call: Call) -> Answer:
    """Return the OpenID configuration of the tenant."""
    tenant = _tenant(call)
    base = f"{call.origin}/entra/{tenant}"
    body = {
        "issuer": _issuer(call.origin, tenant),
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    }
    return Answer(body=body)


def keys(call: Call) -> Answer:
    """Return the public key that tokens are signed with."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from jwt.algorithms import RSAAlgorithm

    _tenant(call)
    public = load_pem_public_key(call.state.meta("keys")["jwt_public"].encode())
    key = json.loads(RSAAlgorithm.to_jwk(public))  # type: ignore[arg-type]  # an RSA key
    return Answer(body={"keys": [key | {"kid": _KEY_ID, "use": "sig", "alg": "RS256"}]})


def token(call: Call) -> Answer:
    """Return an access token for a client's id and secret."""
    tenant = _tenant(call)
    form = dict(parse_qsl(call.body.decode("utf-8", "replace")))
    if form.get("grant_type") != "client_credentials":
        text = "The request body must contain grant_type=client_credentials."
        raise entra_error(400, "unsupported_grant_type", 70003, text)
    identity = _client(call, form)
    resource, found, _ = form.get("scope", "").partition("/.default")
    if not found or resource.rstrip("/") not in audiences(call.origin):
        text = f"The resource principal named {resource} was not found in the tenant."
        raise entra_error(400, "invalid_resource", 500011, text)
    claims = {
        "aud": resource,
        "iss": _issuer(call.origin, tenant),
        "tid": tenant,
        "oid": identity["object_id"],
        "sub": identity["object_id"],
        "appid": identity["client_id"],
        "idtyp": "app",
        "ver": "2.0",
    }
    seconds = {"expires_in": TOKEN_SECONDS, "ext_expires_in": TOKEN_SECONDS}
    return Answer(
        body={"token_type": "Bearer", **seconds, "access_token": sign(call.state, claims)}
    )


def _client(call: Call, form: dict[str, str]) -> Json:
    identities: Json = call.state.meta("identities")
    given = form.get("client_id", "")
    identity = next((i for i in identities.values() if i["client_id"] == given.lower()), None)
    if identity is None:
        text = f"Application with identifier '{given}' was not found in the directory."
        raise entra_error(400, "unauthorized_client", 700016, text)
    if not hmac.compare_digest(identity["client_secret"], form.get("client_secret", "")):
        text = "Invalid client secret provided. Ensure the secret being sent in the request is the "
        text += (
            f"client secret value, not the client secret ID, for a secret added to app '{given}'."
        )
        raise entra_error(401, "invalid_client", 7000215, text)
    return dict(identity)


def sign(state: State, claims: Json) -> str:
    """Return a signed token; it holds for an hour of real time, which clients also go by."""
    import jwt

    now = int(time.time())
    times = {"iat": now, "nbf": now - 300, "exp": now + TOKEN_SECONDS}
    private = state.meta("keys")["jwt_private"]
    return jwt.encode(claims | times, private, algorithm="RS256", headers={"kid": _KEY_ID})


class Verifier:
    """Checks bearer tokens; remembers those that were good until they expire."""

    def __init__(self, state: State) -> None:
        self._public = state.meta("keys")["jwt_public"]
        self._identities = {
            identity["object_id"]: name for name, identity in state.meta("identities").items()
        }
        self._good: dict[str, Json] = {}

    def identity(self, bearer: str, surface: str, origin: str) -> str | None:
        """Return the identity's name, or None if the token does not open this surface."""
        claims = self._claims(bearer)
        if claims is None or claims["exp"] <= time.time():
            return None
        if audiences(origin).get(claims["aud"].rstrip("/")) != surface:
            return None
        return self._identities.get(claims["oid"])

    def _claims(self, bearer: str) -> Json | None:
        import jwt

        if bearer in self._good:
            return self._good[bearer]
        options: Any = {"verify_aud": False, "require": ["exp", "aud", "oid"]}
        try:
            claims: Json = jwt.decode(bearer, self._public, algorithms=["RS256"], options=options)
        except jwt.InvalidTokenError:
            return None
        self._good[bearer] = claims
        return claims


_T = "/entra/{tenant}"
ROUTES = [
    Route(surface="entra", method=method, template=_T + template, handler=handler, open=True)
    for method, template, handler in (
        ("GET", "/v2.0/.well-known/openid-configuration", discovery),
        ("GET", "/discovery/v2.0/keys", keys),
        ("POST", "/oauth2/v2.0/token", token),
    )
]
