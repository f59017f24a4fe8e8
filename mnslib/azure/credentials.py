"""Who asks: the credential a run was told to use, and its tokens.

`Tokens` is the only place that asks a credential. It asks once for many threads: a cold start with
24 threads made 14 sign-ins without the lock. No token is ever logged or put into a message.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError

from mnslib.azure.clouds import Cloud
from mnslib.azure.messages import redact, unreachable_reason
from mnslib.errors import ArmUnreachableError, AuthError, ConfigError

RENEW_BEFORE_SECONDS = 300.0
"""A token is renewed this long before it ends. Source: azure-core, BearerTokenCredentialPolicy."""

_REMEDY = (
    "Run `az login`, or set the parameter `credential` to what this machine has: environment"
    " (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET), workload-identity,"
    " managed-identity or cli."
)
_ATTEMPT = re.compile(r"^\s*(\w+Credential: .*)$", re.MULTILINE)


def make_credential(kind: str, *, cloud: Cloud) -> TokenCredential:
    """Return the credential of that kind; signs in nowhere yet.

    Args:
        kind: `default`, `environment`, `workload-identity`, `managed-identity` (one that is
            assigned to a user is named by AZURE_CLIENT_ID) or `cli`.

    Raises:
        ConfigError: if the kind is unknown.
        AuthError: if the machine lacks what that kind needs.
    """
    from azure import identity

    at = {"authority": cloud.authority_host}
    makers: dict[str, Callable[[], TokenCredential]] = {
        "default": lambda: identity.DefaultAzureCredential(**at),
        "environment": lambda: identity.EnvironmentCredential(**at),
        "workload-identity": lambda: identity.WorkloadIdentityCredential(**at),
        "managed-identity": lambda: identity.ManagedIdentityCredential(
            client_id=os.environ.get("AZURE_CLIENT_ID")
        ),
        "cli": identity.AzureCliCredential,  # the authority is that of `az cloud set`
    }
    if kind not in makers:
        known = ", ".join(makers)
        raise ConfigError(f"There is no credential {kind!r}; set `credential` to one of {known}.")
    try:
        return makers[kind]()
    except ValueError as error:
        raise AuthError(f"Credential {kind}: {redact(str(error))} {_REMEDY}") from error


def sandbox_credential(
    connection: Mapping[str, Any], *, identity: str = "admin"
) -> TokenCredential:
    """Return the credential of one of the sandbox's identities.

    Args:
        connection: content of the sandbox's connection file.
        identity: `admin`, `contributor`, `namespace_user` or `reader`.

    Raises:
        ConfigError: if the sandbox has no such identity.
    """
    from azure.identity import ClientSecretCredential

    if identity not in connection["identities"]:
        known = ", ".join(connection["identities"])
        raise ConfigError(f"The sandbox has no identity {identity!r}; choose one of {known}.")
    who = connection["identities"][identity]
    return ClientSecretCredential(
        connection["tenant_id"],
        who["client_id"],
        who["client_secret"],
        authority=connection["authority_host"],
        disable_instance_discovery=True,  # or the public authority would be asked
        connection_verify=connection["ca_file"],
        use_env_settings=False,  # loopback goes through no proxy
    )


class Tokens:
    """Tokens of one credential, kept by scope and renewed in time."""

    def __init__(
        self,
        credential: TokenCredential,
        *,
        authority_host: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._credential, self._name = credential, type(credential).__name__
        self._authority_host = authority_host
        self._now = now
        self._held: dict[str, AccessToken] = {}
        self._lock = threading.Lock()

    def get(self, scope: str) -> AccessToken:
        """Return a token good for some minutes; signs in only when none is held.

        Raises:
            AuthError: if the credential gives none.
            ArmUnreachableError: if the sign-in service does not answer.
        """
        with self._lock:
            held = self._held.get(scope)
            if held is None or held.expires_on - self._now() < RENEW_BEFORE_SECONDS:
                held = self._held[scope] = self._ask(scope, claims=None)
            return held

    def renew(self, scope: str, *, refused: str, claims: str | None) -> AccessToken:
        """Return another token than the refused one; threads refused together renew it once.

        Args:
            claims: the service's claims challenge, None without one.
        """
        with self._lock:
            held = self._held.get(scope)
            if held is None or held.token == refused:
                # Without claims a credential answers from its cache, with the token just refused.
                # "Not issued before now" is what a challenge of continuous access evaluation says.
                fresh = (
                    f'{{"access_token":{{"nbf":{{"essential":true,"value":"{self._now():.0f}"}}}}}}'
                )
                held = self._held[scope] = self._ask(scope, claims=claims or fresh)
            return held

    def refused(self, *, where: str, text: str) -> AuthError:
        """Return the error for a token that the service refused, also after it was renewed."""
        return AuthError(
            f"{where} refused the token of {self._name}, also a renewed one: {text} Check that the"
            f" subscription belongs to the tenant you are signed in to. {_REMEDY}"
        )

    def _ask(self, scope: str, *, claims: str | None) -> AccessToken:
        try:
            return self._credential.get_token(scope, claims=claims)
        except ClientAuthenticationError as error:
            cause = _cause(str(error)).rstrip(".")
            raise AuthError(
                f"Not signed in: {self._name} got no token for {scope} at {self._authority_host}:"
                f" {cause}. {_REMEDY}"
            ) from error
        except AzureError as error:
            raise ArmUnreachableError(
                f"{self._name} could not reach the sign-in service {self._authority_host}:"
                f" {unreachable_reason(error)}. Check network, proxy and the parameter `cloud`."
            ) from error


def _cause(text: str) -> str:
    """Return why no token came, without the attempts of a chain that had nothing to try with.

    Source: azure-identity, `ChainedTokenCredential`: a line for each attempt; a sign-in that Entra
    refused names its AADSTS number.
    """
    attempts = _ATTEMPT.findall(text)
    refused = [attempt for attempt in attempts if "AADSTS" in attempt]
    if attempts and not refused:
        return f"none of the {len(attempts)} ways to sign in is set up on this machine"
    return redact(refused[-1] if refused else text)
