"""Bearer tokens: whom they name, what they open, how they are made and checked. Knows no route."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from mnslib.sandbox import directory
from mnslib.sandbox.resources import cluster_id
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Call, Json, Refusal, surface_error

AKS_SERVER_ID = "6dae42f8-4368-4678-94ff-3960e28e3630"
MASTER = "masterclient"  # whom the admin kubeconfig signs in; member of system:masters
TOKEN_SECONDS = 3600
PROMETHEUS_AUDIENCE = "https://prometheus.monitor.azure.com"
ARM_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
KEY_ID = "sandbox-1"
AZURE_CLI_ID = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"  # through which people sign in


def audiences(origin: str) -> dict[str, str]:
    """Return which surface an audience opens, written without trailing slashes."""
    opened = {name: "arm" for name in (origin, *ARM_AUDIENCES)}
    opened |= {AKS_SERVER_ID: "kubernetes", PROMETHEUS_AUDIENCE: "prometheus"}
    return opened | {f"{origin}/graph": "graph", "https://graph.microsoft.com": "graph"}


def admin_token(state: State, cluster: Json) -> str:
    """Return the token that makes its bearer the admin of this cluster, until it is deleted."""
    text = f"{cluster['id'].lower()} {cluster['properties']['resourceUID']}"
    return hmac.new(state.meta("keys")["signing"].encode(), text.encode(), "sha512").hexdigest()


def credential(state: State, object_id: str) -> Json | None:
    """Return id and secret with which one of the directory signs in; None where nobody can.

    A world's identities have their own; to all others a secret is due by their id. Groups, and who
    is not there, sign in nowhere. Azure has secrets of applications only.
    """
    for one in state.meta("identities").values():
        if one["object_id"] == object_id:
            return {name: one[name] for name in ("client_id", "client_secret", "object_id")}
    entry = directory.find(state, object_id)
    if entry is None or entry["kind"] == "Group":
        return None
    key = state.meta("keys")["signing"].encode()
    secret = hmac.new(key, f"sign-in {object_id}".encode(), "sha256").hexdigest()
    client_id = entry.get("appId", object_id)
    return {"client_id": client_id, "client_secret": secret, "object_id": object_id}


def claims_of(state: State, object_id: str) -> Json:
    """Return whom a token names: an application by its id, a user by its name as well."""
    entry = directory.find(state, object_id) or {}
    claims: Json = {"oid": object_id, "sub": object_id, "ver": "2.0"}
    if entry.get("kind") == "User":
        name = {"name": entry["displayName"], "upn": entry["userPrincipalName"]}
        return claims | name | {"appid": AZURE_CLI_ID, "idtyp": "user"}
    found = credential(state, object_id) or {}
    return claims | {"appid": found.get("client_id", object_id), "idtyp": "app"}


def sign(state: State, claims: Json) -> str:
    """Return a signed token; it holds for an hour of real time, which clients also go by."""
    import jwt

    now = int(time.time())
    times = {"iat": now, "nbf": now - 300, "exp": now + TOKEN_SECONDS}
    unique = {"uti": state.new_guid()}  # else two tokens of one second were the same
    private = _private_key(state.meta("keys")["jwt_private"])
    return jwt.encode(claims | times | unique, private, algorithm="RS256", headers={"kid": KEY_ID})


@cache
def _private_key(pem: str) -> Any:
    """Return the key, whose checks cost more than all the rest of signing in."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem.encode(), None)


class Verifier:
    """Checks bearer tokens; remembers those that were good until they expire."""

    def __init__(self, state: State, *, clock: Callable[[], float] = time.time) -> None:
        self._state, self._clock = state, clock
        self._public = state.meta("keys")["jwt_public"]
        self._tenant = state.meta("tenant_id")
        self._identities = {
            identity["object_id"]: name for name, identity in state.meta("identities").items()
        }
        self._good: dict[str, Json] = {}

    def identity(self, bearer: str, surface: str, call: Call) -> str | None:
        """Return the identity's name, of anybody else the object id, or None for who is not let in.

        Raises:
            Refusal: 401 for a good token of another tenant.
        """
        if surface == "kubernetes" and _is_admin(bearer, call):
            return MASTER
        claims = self._claims(bearer)
        if claims is None or claims["exp"] <= self._clock():
            return None
        if audiences(call.origin).get(claims["aud"].rstrip("/")) != surface:
            return None
        if claims["tid"] != self._tenant:
            raise _wrong_tenant(surface, claims["tid"], self._tenant)
        object_id = claims["oid"]
        is_known = directory.find(self._state, object_id) is not None
        return self._identities.get(object_id, object_id if is_known else None)

    def _claims(self, bearer: str) -> Json | None:
        import jwt

        if bearer in self._good:
            return self._good[bearer]
        options: Any = {"verify_aud": False, "require": ["exp", "aud", "oid", "tid"]}
        try:
            claims: Json = jwt.decode(bearer, self._public, algorithms=["RS256"], options=options)
        except jwt.InvalidTokenError:
            return None
        self._good[bearer] = claims
        return claims


def _is_admin(bearer: str, call: Call) -> bool:
    """Return whether the bearer came with this cluster's admin credential, still allowed."""
    cluster = call.state.resource(cluster_id(call)) if "cluster" in call.params else None
    if cluster is None or cluster["properties"]["disableLocalAccounts"]:
        return False
    return hmac.compare_digest(bearer.encode(), admin_token(call.state, cluster).encode())


def _wrong_tenant(surface: str, wrong: str, right: str) -> Refusal:
    """Return Azure's refusal of another tenant's token."""
    text = f"The access token is from the wrong issuer 'https://sts.windows.net/{wrong}/'. It must "
    text += f"match the tenant 'https://sts.windows.net/{right}/' associated with this "
    text += "subscription. Please use the authority (URL) "
    text += f"'https://login.windows.net/{right}' to get the token. Note, if the subscription is "
    text += "transferred to another tenant there is no impact to the services, but information "
    text += "about new tenant could take time to propagate (up to an hour). If you just "
    text += "transferred your subscription and see this error message, please try back later."
    answer = surface_error(surface, 401, "InvalidAuthenticationTokenTenant", text).answer
    words = 'error="invalid_token", error_description="The access token is from the wrong issuer."'
    challenge = f'Bearer authorization_uri="https://login.windows.net/{right}", {words}'
    return Refusal(replace(answer, headers={**answer.headers, "WWW-Authenticate": challenge}))
