"""The door to Azure: one client, one credential, one pipeline for everything.

client = AzureClient(CLOUDS["public"], make_credential("cli", cloud=CLOUDS["public"]))
client.managed_namespaces.list_by_managed_cluster(cluster)
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, MutableMapping
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from azure.mgmt.authorization.v2022_04_01 import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient, models

from mnslib.azure.credentials import Tokens
from mnslib.azure.managed_clusters import ManagedClusters
from mnslib.azure.managed_namespaces import API_VERSION, ManagedNamespaces
from mnslib.azure.operations import Operations
from mnslib.azure.pipeline import Rest, Retries, TokenPolicy, build_pipeline, build_transport
from mnslib.azure.prometheus import PrometheusClient
from mnslib.azure.role_assignments import RoleAssignments
from mnslib.azure.scheduler import Scheduler, Threads
from mnslib.azure.throttle import Limits, Throttle

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential
    from azure.core.pipeline.transport import HttpTransport

    from mnslib.azure.clouds import Cloud

DEFAULT_WORKERS = 8
"""Threads that may use the client at once; our choice: AKS earns one write a second per region."""

_ANSWERED = ("ManagedCluster", "ManagedNamespace", "CredentialResults")
_MODEL_NAME = re.compile(r"_models\.(\w+)")
_FIRST_USE = threading.Lock()


class AzureClient:
    """Everything mnslib asks of Azure. Safe to use from several threads.

    Attributes:
        cloud: where it asks.
        throttle: how fast it may ask.
        managed_clusters, managed_namespaces, role_assignments: the resources.
        operations: follows what was started.
    """

    def __init__(
        self,
        cloud: Cloud,
        credential: TokenCredential,
        *,
        limits: Limits | None = None,
        retries: Retries | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        workers: int = DEFAULT_WORKERS,
        transport: HttpTransport[Any, Any] | None = None,
    ) -> None:
        """Sign in nowhere yet; the first request does.

        Args:
            limits: calls per subscription; None for the documented ones.
            retries: bounds of repeating; None for our defaults.
            clock: seconds that never go back.
            workers: threads that will use it; sizes the connection pool.
            transport: another way to send, for tests.
        """
        self.cloud = cloud
        retries = retries or Retries()
        self._tokens = Tokens(credential, authority_host=cloud.authority_host)
        self._clock = clock
        self.throttle = throttle = Throttle(
            limits or Limits(),
            clock=clock,
            sleep=sleep,
            longest_wait_seconds=retries.longest_wait_seconds,
        )
        self._pipeline = build_pipeline(
            transport
            or build_transport(
                connections=workers + 1,  # one for who polls
                is_loopback=cloud.name == "sandbox",
                ca_file=cloud.ca_file,
            ),
            credential_name=self._tokens.credential_name,
            sign=TokenPolicy(self._tokens, cloud=cloud),
            throttle=throttle,
            retries=retries,
            clock=clock,
            sleep=sleep,
        )

        # An SDK client belongs to one subscription; all share the pipeline, whose token policy is
        # ours (`policies=[]` keeps them from building a default one).
        def sdk(kind: Callable[..., Any], **options: Any) -> Callable[[str], Any]:
            own = {"policies": [], "pipeline": self._pipeline, **options}
            return cache(lambda name: kind(credential, name, cloud.arm_endpoint, **own))

        def containers(subscription_id: str) -> ContainerServiceClient:
            with _FIRST_USE:
                _learn_models()
            return clients(subscription_id)

        clients: Callable[[str], ContainerServiceClient] = sdk(
            ContainerServiceClient, api_version=API_VERSION
        )
        self._rest = Rest(self._pipeline)
        self.operations = Operations(self._rest, clock=clock)
        self.managed_clusters = ManagedClusters(containers, throttle)
        self.managed_namespaces = ManagedNamespaces(
            containers,
            throttle,
            rest=self._rest,
            arm_endpoint=cloud.arm_endpoint,
            clock=clock,
        )
        self.role_assignments = RoleAssignments(sdk(AuthorizationManagementClient))

    def scheduler(self, threads: Threads, *, most_per_lane: int) -> Scheduler:
        """Return a scheduler of this client's calls, which draws from the same buckets."""
        return Scheduler(
            self.throttle, clock=self._clock, threads=threads, most_per_lane=most_per_lane
        )

    def prometheus(self, endpoint: str) -> PrometheusClient:
        """Return a client for a Prometheus query endpoint, with a token for its audience."""
        return PrometheusClient(
            self._rest,
            endpoint=endpoint,
            scope=self.cloud.prometheus_scope,
            remedy="Check the endpoint, and that you have the role Monitoring Data Reader on it.",
        )

    def token(self, scope: str) -> str:
        """Return a token; kept and renewed. Never write it anywhere.

        Raises:
            AuthError: if the credential gives none.
        """
        return self.access_token(scope).token

    def access_token(self, scope: str) -> AccessToken:
        """Return a token with the time it ends (`expires_on`, unix seconds).

        Raises: as `token`.
        """
        return self._tokens.get(scope)

    def close(self) -> None:
        """Close the connections."""
        self._pipeline.__exit__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def _learn_models() -> None:
    """Make one of each model that an answer can hold, which takes 0.1 seconds.

    The SDK prepares a model class at its first use, and two threads that do so at once break each
    other; it then hands out bare JSON instead (azure-mgmt-containerservice 41, `Model.__new__`).
    A cluster holds a hundred others, whichever of them a service sends. The models of role
    assignments prepare nothing.
    """
    learned: set[str] = set()
    left = set(_ANSWERED)
    while left:
        name = left.pop()
        kind = getattr(models, name)
        learned.add(name)
        if not issubclass(kind, MutableMapping):  # a choice of words
            continue
        kind({})
        for own in kind.__mro__:
            inside = " ".join(map(str, vars(own).get("__annotations__", {}).values()))
            left.update(name for name in _MODEL_NAME.findall(inside) if name not in learned)
