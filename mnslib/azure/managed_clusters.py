"""Managed clusters in ARM: read, and the kubeconfig that leads to one.

Source: azure-mgmt-containerservice, `managed_clusters`; fields as the AKS REST reference has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnslib.azure.managed_namespaces import kubeconfig_text
from mnslib.azure.messages import read_as
from mnslib.azure.pipeline import AS_JSON
from mnslib.errors import ArmNotFoundError
from mnslib.models import ManagedCluster
from mnslib.resource_ids import ClusterId

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient

ENFORCED = "Enforce"
_SAFEGUARDS_VERSION = "2025-04-01"
_PRIVATE = "enablePrivateCluster"
_ENGINES = frozenset({"azure", "calico", "cilium"})


class ManagedClusters:
    """The clusters of every subscription that the credential may see."""

    def __init__(self, client: AzureClient) -> None:
        self._client = client

    def get(self, cluster: ClusterId) -> ManagedCluster:
        """Return one cluster.

        Raises:
            ArmNotFoundError: if it does not exist.
            ArmError: if it was refused.
        """
        operations = self._client.containers(cluster.subscription_id).managed_clusters
        return self._read(operations.get(cluster.resource_group, cluster.cluster_name, **AS_JSON))

    def list(self, subscription_id: str) -> list[ManagedCluster]:
        """Return the clusters of a subscription that the credential may see.

        Raises:
            ArmError: if it was refused.
        """
        provider = f"/subscriptions/{subscription_id}/providers/Microsoft.ContainerService"
        return [self._read(item) for item in self._client.items(f"{provider}/managedClusters")]

    def guarded_except(self, cluster: ClusterId) -> Sequence[str] | None:
        """Return the namespaces that enforced Deployment Safeguards leave out; None without them.

        Raises: as `safeguards`.
        """
        level, left_out = self.safeguards(cluster)
        return left_out if level == ENFORCED else None

    def safeguards(self, cluster: ClusterId) -> tuple[str, Sequence[str]]:
        """Return the level of Deployment Safeguards, empty where off, and whom they leave out.

        Source: the AKS REST reference, `deploymentSafeguards`, which no SDK has.

        Raises:
            ArmError: if it was refused.
        """
        kind = "Microsoft.ContainerService/deploymentSafeguards"
        try:
            found = self._client.get(
                f"{cluster}/providers/{kind}/default", api_version=_SAFEGUARDS_VERSION
            )
        except ArmNotFoundError:
            return "", ()
        return _safeguards(found)

    def list_cluster_user_credential(self, cluster: ClusterId) -> str:
        """Return the user kubeconfig of a cluster, as YAML text.

        Raises:
            ArmError: if it was refused, or holds no kubeconfig.
        """
        operations = self._client.containers(cluster.subscription_id).managed_clusters
        names = cluster.resource_group, cluster.cluster_name
        found = operations.list_cluster_user_credentials(*names, **AS_JSON)
        return kubeconfig_text(found, where=str(cluster))

    def _read(self, item: Any) -> ManagedCluster:
        cluster = from_wire(item)
        self._client.throttle.learn_region(cluster.id, cluster.location)
        return cluster


@read_as("deployment safeguards")
def _safeguards(found: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
    properties = found["properties"]
    keys = ("excludedNamespaces", "systemExcludedNamespaces")
    left_out = sorted({name for key in keys for name in properties.get(key) or ()})
    return str(properties.get("level") or ""), left_out


@read_as("a managed cluster")
def from_wire(item: Mapping[str, Any]) -> ManagedCluster:
    """Return a cluster as ARM answered it; blocks left out mean that the feature is off."""
    properties = item["properties"]
    entra = properties.get("aadProfile") or {}
    monitor = properties.get("azureMonitorProfile") or {}
    engine = (properties.get("networkProfile") or {}).get("networkPolicy")
    versions = properties.get("currentKubernetesVersion"), properties.get("kubernetesVersion")
    return ManagedCluster(
        id=ClusterId.parse(item["id"]),
        location=item["location"],
        kubernetes_version=versions[0] or versions[1] or "",
        provisioning_state=properties.get("provisioningState") or "",
        power_state=(properties.get("powerState") or {}).get("code") or "",
        has_entra_id=bool(entra.get("managed")),
        has_azure_rbac=bool(entra.get("enableAzureRBAC")),
        network_policy_engine=engine if engine in _ENGINES else None,
        most_nodes={
            pool["name"]: pool["maxCount"]
            for pool in properties.get("agentPoolProfiles") or ()
            if pool.get("enableAutoScaling") and pool.get("maxCount")
        },
        is_private=bool((properties.get("apiServerAccessProfile") or {}).get(_PRIVATE)),
        has_metrics=bool((monitor.get("metrics") or {}).get("enabled")),
    )
