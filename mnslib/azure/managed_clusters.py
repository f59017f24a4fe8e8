"""Managed clusters in ARM: read, and the kubeconfig that leads to one.

Source: azure-mgmt-containerservice, `managed_clusters`; fields as the AKS REST reference has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mnslib.azure.managed_namespaces import kubeconfig_text, not_understood, text_of
from mnslib.models import ManagedCluster
from mnslib.resource_ids import ClusterId

if TYPE_CHECKING:
    from azure.mgmt.containerservice import ContainerServiceClient

    from mnslib.azure.throttle import Throttle

_ENGINES = frozenset({"azure", "calico", "cilium"})


class ManagedClusters:
    """The clusters of every subscription that the credential may see."""

    def __init__(self, sdk: Callable[[str], ContainerServiceClient], throttle: Throttle) -> None:
        self._sdk = sdk
        self._throttle = throttle

    def get(self, cluster: ClusterId) -> ManagedCluster:
        """Return one cluster.

        Raises:
            ArmNotFoundError: if it does not exist.
            ArmError: if it was refused.
        """
        operations = self._sdk(cluster.subscription_id).managed_clusters
        return self._learn(operations.get(cluster.resource_group, cluster.cluster_name))

    def list(self, subscription_id: str) -> list[ManagedCluster]:
        """Return the clusters of a subscription that the credential may see.

        Raises:
            ArmError: if it was refused.
        """
        return [self._learn(item) for item in self._sdk(subscription_id).managed_clusters.list()]

    def list_cluster_user_credential(self, cluster: ClusterId) -> str:
        """Return the user kubeconfig of a cluster, as YAML text.

        Raises:
            ArmError: if it was refused, or holds no kubeconfig.
        """
        operations = self._sdk(cluster.subscription_id).managed_clusters
        result = operations.list_cluster_user_credentials(
            cluster.resource_group, cluster.cluster_name
        )
        return kubeconfig_text(result, where=str(cluster))

    def _learn(self, item: Any) -> ManagedCluster:
        try:
            cluster = from_wire(item)
        except (AttributeError, TypeError, ValueError) as error:
            raise not_understood(item, "a managed cluster") from error
        self._throttle.learn_region(cluster.id, cluster.location)
        return cluster


def from_wire(item: Any) -> ManagedCluster:
    """Return a cluster as ARM answered it; blocks left out mean that the feature is off."""
    entra, network = item.aad_profile, item.network_profile
    engine = text_of(network.network_policy) if network else ""
    return ManagedCluster(
        id=ClusterId.parse(str(item.id)),
        location=item.location,
        kubernetes_version=item.current_kubernetes_version or item.kubernetes_version or "",
        provisioning_state=text_of(item.provisioning_state) or "",
        power_state=text_of(item.power_state and item.power_state.code) or "",
        has_entra_id=bool(entra and entra.managed),
        has_azure_rbac=bool(entra and entra.enable_azure_rbac),
        network_policy_engine=engine if engine in _ENGINES else None,
        most_nodes={
            pool.name: pool.max_count
            for pool in item.agent_pool_profiles or ()
            if pool.enable_auto_scaling and pool.max_count
        },
    )
