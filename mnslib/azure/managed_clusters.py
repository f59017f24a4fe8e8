"""Managed clusters in ARM: read, make, turn Azure RBAC on, and the kubeconfig that leads to one.

Source: azure-mgmt-containerservice, `managed_clusters`; fields as the AKS REST reference has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnslib.azure.managed_namespaces import kubeconfig_text
from mnslib.azure.messages import read_as
from mnslib.azure.operations import Operation
from mnslib.azure.pipeline import AS_JSON
from mnslib.errors import ArmNotFoundError, ArmPreconditionError
from mnslib.models import ManagedCluster, NewCluster
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

    def begin_create(self, wanted: NewCluster) -> Operation | None:
        """Start to make a cluster with Entra ID and Azure RBAC; return the operation to follow.

        Raises:
            ArmPreconditionError: if it exists by now.
            ArmError: if it was refused.
        """
        body = to_wire(wanted)
        return self._begin(wanted.id, body, headers={"If-None-Match": "*"})

    def begin_enable_azure_rbac(
        self, cluster: ClusterId, *, if_match: str | None
    ) -> Operation | None:
        """Start to turn Entra ID and Azure RBAC on; all else is sent as it was read just before.

        Raises:
            ArmPreconditionError: if it has another eTag than `if_match` by now.
            ArmError: if it was refused.
        """
        from azure.mgmt.containerservice import models

        operations = self._client.containers(cluster.subscription_id).managed_clusters
        found = operations.get(cluster.resource_group, cluster.cluster_name, **AS_JSON)
        if if_match is not None and found.get("eTag") != if_match:
            raise ArmPreconditionError(f"{cluster} was changed after it was read.")
        profile = found["properties"].get("aadProfile") or {}
        found["properties"]["aadProfile"] = profile | {"managed": True, "enableAzureRBAC": True}
        headers = {} if if_match is None else {"If-Match": if_match}
        return self._begin(cluster, models.ManagedCluster(found), headers=headers)

    def _begin(self, cluster: ClusterId, body: Any, *, headers: dict[str, str]) -> Operation | None:
        answers: list[Any] = []
        operations = self._client.containers(cluster.subscription_id).managed_clusters
        names = cluster.resource_group, cluster.cluster_name
        hook: Any = {"polling": False, "raw_response_hook": answers.append}
        operations.begin_create_or_update(*names, body, headers=headers, **hook)
        return Operation.started_by(answers[-1], cluster, at=self._client.clock())

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


def to_wire(wanted: NewCluster) -> dict[str, Any]:
    """Return a new cluster as ARM takes it.

    Source: what `az aks create --enable-aad --enable-azure-rbac --network-plugin azure
    --network-plugin-mode overlay` of Azure CLI 2.91.0 sends.
    """
    network = {
        "networkPlugin": "azure",
        "networkPluginMode": "overlay",
        "networkPolicy": wanted.network_policy,
        "networkDataplane": "cilium" if wanted.network_policy == "cilium" else "azure",
    }
    pool = {
        "name": "nodepool1",
        "count": wanted.node_count,
        "vmSize": wanted.node_size,
        "osType": "Linux",
        "mode": "System",
        "type": "VirtualMachineScaleSets",
    }
    group = re.sub("[^A-Za-z0-9-]", "", wanted.id.resource_group)[:16]
    name = re.sub("[^A-Za-z0-9-]", "", wanted.id.cluster_name)[:10]
    properties = {
        "dnsPrefix": f"{name}-{group}-{wanted.id.subscription_id[:6]}".lstrip("-"),
        "agentPoolProfiles": [pool],
        "aadProfile": {"managed": True, "enableAzureRBAC": True},
        "networkProfile": network,
    }
    if wanted.kubernetes_version:
        properties["kubernetesVersion"] = wanted.kubernetes_version
    identity = {"type": "SystemAssigned"}
    return {"location": wanted.location, "identity": identity, "properties": properties}


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
        etag=item.get("eTag"),
        has_metrics=bool((monitor.get("metrics") or {}).get("enabled")),
    )
