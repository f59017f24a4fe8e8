"""Resource providers of a subscription: whether it may use one, and its registration.

Source: ARM REST reference, Providers: Get and Register.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mnslib.azure.messages import read_as

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient

API_VERSION = "2021-04-01"
CONTAINER_SERVICE = "Microsoft.ContainerService"


class Providers:
    """The resource providers of every subscription that the credential may see."""

    def __init__(self, client: AzureClient) -> None:
        self._client = client

    def state(self, subscription_id: str, name: str = CONTAINER_SERVICE) -> str:
        """Return how a provider stands: `Registered`, `Registering`, `NotRegistered`, ...

        Raises:
            ArmNotFoundError: if there is no such subscription or provider.
            ArmError: if it was refused.
        """
        path = f"/subscriptions/{subscription_id}/providers/{name}"
        return _state(self._client.get(path, api_version=API_VERSION))

    def register(self, subscription_id: str, name: str = CONTAINER_SERVICE) -> str:
        """Begin to register a provider and return how it stands; it takes minutes.

        Raises:
            ArmError: if it was refused.
        """
        path = f"/subscriptions/{subscription_id}/providers/{name}/register"
        return _state(self._client.post(path, api_version=API_VERSION))


@read_as("a resource provider")
def _state(found: Mapping[str, Any]) -> str:
    return str(found["registrationState"])
