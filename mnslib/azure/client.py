"""The door to Azure: one client, one credential, one pipeline for everything.

client = AzureClient(CLOUDS["public"], make_credential("cli", cloud=CLOUDS["public"]))
client.managed_namespaces.list_by_managed_cluster(cluster)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from azure.mgmt.authorization.v2022_04_01 import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient

from mnslib.azure.credentials import Tokens
from mnslib.azure.graph import Directory
from mnslib.azure.managed_clusters import ManagedClusters
from mnslib.azure.managed_namespaces import ManagedNamespaces
from mnslib.azure.operations import Operations
from mnslib.azure.pipeline import Rest, TokenPolicy, build_transport
from mnslib.azure.prometheus import PrometheusClient
from mnslib.azure.providers import Providers
from mnslib.azure.role_assignments import RoleAssignments
from mnslib.azure.scheduler import Scheduler, ThreadPool
from mnslib.azure.throttle import Limits, Throttle
from mnslib.signals import pause

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential
    from azure.core.pipeline.transport import HttpTransport

    from mnslib.azure.clouds import Cloud

API_VERSION = "2026-08-01"
"""Of all calls to the container service: the SDK's default, which lists ask for without it.
Source: azure-mgmt-containerservice 41.8."""

RESOURCES_VERSION = "2021-04-01"
"""Source: ARM REST reference, Resource Groups: Get."""

SUBSCRIPTIONS_VERSION = "2022-12-01"
"""Source: ARM REST reference, Subscriptions: List."""


class AzureClient:
    """Everything mnslib asks of Azure. Safe to use from several threads.

    Attributes:
        cloud: where it asks.
        throttle: how fast it may ask.
        containers, authorization: the SDK's client of a subscription.
        managed_clusters, managed_namespaces, role_assignments, providers: the resources.
        operations: follows what was started.
        directory: users, groups and service principals.
    """

    def __init__(
        self,
        cloud: Cloud,
        credential: TokenCredential,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], bool | None] = pause,
        transport: HttpTransport[Any, Any] | None = None,
    ) -> None:
        """Sign in nowhere yet; the first request does.

        Args:
            limits: calls per subscription; None for the documented ones.
            clock: seconds that never go back.
            transport: another way to send, for tests.
        """
        self.cloud, self.clock, self._sleep = cloud, clock, sleep
        self.throttle = Throttle(limits or Limits(), clock=clock, sleep=sleep)
        self._tokens = Tokens(credential, authority_host=cloud.authority_host)
        self._transport = transport or build_transport(
            is_loopback=cloud.name == "sandbox", ca_file=cloud.ca_file
        )
        self._rest = self._rest_for(cloud.arm_endpoint, scope=cloud.arm_scope)
        # An SDK client belongs to one subscription; all share the pipeline, whose token policy is
        # ours (`policies=[]` keeps them from building a default one).
        shared: Any = {
            "credential": credential,
            "base_url": cloud.arm_endpoint,
            "policies": [],
            "pipeline": self._rest.pipeline,
        }
        self.containers: Callable[[str], ContainerServiceClient] = cache(
            lambda name: ContainerServiceClient(
                subscription_id=name, api_version=API_VERSION, **shared
            )
        )
        self.authorization: Callable[[str], AuthorizationManagementClient] = cache(
            lambda name: AuthorizationManagementClient(subscription_id=name, **shared)
        )
        self.operations = Operations(self._rest, clock=clock)
        self.managed_clusters = ManagedClusters(self)
        self.managed_namespaces = ManagedNamespaces(self)
        self.role_assignments = RoleAssignments(self)
        self.directory = Directory(
            self._rest_for(cloud.graph_endpoint, scope=cloud.graph_scope),
            endpoint=cloud.graph_endpoint,
        )
        self.providers = Providers(self)

    def _rest_for(self, endpoint: str, *, scope: str) -> Rest:
        return Rest(
            self._transport,
            sign=TokenPolicy(self._tokens, scope=scope, endpoint=endpoint),
            throttle=self.throttle,
            clock=self.clock,
            sleep=self._sleep,
        )

    def items(self, path: str, *, api_version: str = API_VERSION) -> Iterator[Any]:
        """Yield the items of a list, by default of the container service, as JSON.

        Raises:
            ArmError: if it was refused, or is no list.
        """
        where = f"{self.cloud.arm_endpoint}{quote(path)}"
        return self._rest.items(f"{where}?api-version={api_version}")

    def get(self, path: str, *, api_version: str) -> Any:
        """Return what lies at a path that no SDK covers, as JSON.

        Raises:
            ArmNotFoundError: if there is nothing.
            ArmError: if it was refused.
        """
        where = f"{self.cloud.arm_endpoint}{quote(path)}"
        return self._rest.get(f"{where}?api-version={api_version}")[1]

    def post(self, path: str, *, api_version: str) -> Any:
        """Return what answers an action that no SDK covers, as JSON.

        Raises:
            ArmError: if it was refused.
        """
        return self._rest.post(f"{self.cloud.arm_endpoint}{quote(path)}?api-version={api_version}")

    def location_of_group(self, subscription_id: str, resource_group: str) -> str:
        """Return the region of a resource group.

        Raises:
            ArmNotFoundError: if there is none.
            ArmError: if it was refused.
        """
        path = f"/subscriptions/{subscription_id}/resourceGroups/{resource_group}"
        return str(self.get(path, api_version=RESOURCES_VERSION)["location"])

    def subscriptions(self) -> dict[str, str]:
        """Return the names of the subscriptions that the credential sees, by their ids.

        Raises:
            ArmError: if it was refused.
        """
        found = self.items("/subscriptions", api_version=SUBSCRIPTIONS_VERSION)
        return {str(one["subscriptionId"]): str(one.get("displayName") or "") for one in found}

    def scheduler(self, threads: ThreadPool, *, most_per_lane: int) -> Scheduler:
        """Return a scheduler of this client's calls, which draws from the same buckets."""
        return Scheduler(
            self.throttle, clock=self.clock, threads=threads, most_per_lane=most_per_lane
        )

    def prometheus(self, endpoint: str) -> PrometheusClient:
        """Return a client for a Prometheus query endpoint, with a token for its audience."""
        return PrometheusClient(
            self._rest_for(endpoint, scope=self.cloud.prometheus_scope),
            endpoint=endpoint,
            remedy="Check the endpoint, and that you have the role Monitoring Data Reader on it.",
        )

    def access_token(self, scope: str) -> AccessToken:
        """Return a token with the time it ends (`expires_on`, unix seconds); kept and renewed.

        Never write it anywhere.

        Raises:
            AuthError: if the credential gives none.
        """
        return self._tokens.get(scope)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
