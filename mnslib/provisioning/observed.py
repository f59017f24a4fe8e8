"""What was read of the world before a plan: values only, no reading.

A cluster whose Kubernetes API did not answer carries the reason instead of a view; plans must say
"unknown" there, never "none".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from mnslib.commitment import Commitment, commitments
from mnslib.kube_models import KubernetesNamespace, Node, Pod, QuotaStatus
from mnslib.models import (
    MANAGED_LABEL,
    AccessGrant,
    ManagedCluster,
    ManagedNamespace,
    RoleAssignment,
)
from mnslib.pods import total_need
from mnslib.resource_ids import ClusterId, ManagedNamespaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesView:
    """What runs on a cluster: namespaces by name, quotas, nodes, pods."""

    namespaces: Mapping[str, KubernetesNamespace]
    quotas: tuple[QuotaStatus, ...] = ()
    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()

    def is_managed(self, namespace_name: str) -> bool:
        """Return whether the cluster says that ARM manages a namespace."""
        found = self.namespaces.get(namespace_name)
        return found is not None and found.labels.get(MANAGED_LABEL) == "true"

    def pods_of(self, namespace_name: str) -> list[Pod]:
        """Return the pods of one namespace, finished ones included."""
        return [pod for pod in self.pods if pod.namespace_name == namespace_name]

    def commitments(self, max_ratio: Decimal | None) -> dict[str, Commitment]:
        """Return what the cluster has promised, for `cpu` and `memory`, under that limit."""
        return commitments(
            nodes=self.nodes, quotas=self.quotas, pods=self.pods, max_ratio=max_ratio
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCluster:
    """One cluster: its ARM object, its managed namespaces by lower-case name, what runs on it.

    Attributes:
        kubernetes: None where the API was not asked or did not answer; the reason says which.
    """

    cluster: ManagedCluster
    managed: Mapping[str, ManagedNamespace]
    read_utc: str
    kubernetes: KubernetesView | None = None
    kubernetes_unknown: str = "not read"

    def find(self, target: ManagedNamespaceId) -> ManagedNamespace | None:
        """Return the managed namespace as read, None if there is none."""
        return self.managed.get(target.namespace_name.lower())

    def requested(self, namespace_name: str) -> dict[str, Decimal] | None:
        """Return what the namespace's pods ask for by quota key, None if that is unknown.

        Counted from the pods, since the quota's own counter is known to be wrong at times.
        """
        if self.kubernetes is None:
            return None
        return total_need(self.kubernetes.pods_of(namespace_name))


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedState:
    """Everything a plan looks at.

    Attributes:
        missing: clusters that do not exist, with what exists instead.
        grants: each role assignment of the subscriptions whose requests say something of access,
            by its scope, principal id and role GUID in lower case.
    """

    clusters: Mapping[ClusterId, ObservedCluster]
    missing: Mapping[ClusterId, str] = field(default_factory=dict)
    grants: Mapping[tuple[str, str, str], RoleAssignment] = field(default_factory=dict)

    def with_items(
        self, found: Mapping[ManagedNamespaceId, ManagedNamespace | None]
    ) -> ObservedState:
        """Return the same with these items as they were found one by one; None where one is gone.

        Items of clusters that were not read are passed over.
        """
        managed = {key: dict(cluster.managed) for key, cluster in self.clusters.items()}
        for target, item in found.items():
            of_cluster = managed.get(target.cluster, {})
            of_cluster.pop(target.namespace_name.lower(), None)
            if item is not None:
                of_cluster[target.namespace_name.lower()] = item
        clusters = {
            key: replace(cluster, managed=managed[key]) for key, cluster in self.clusters.items()
        }
        return replace(self, clusters=clusters)

    def has_grant(self, scope: str, grant: AccessGrant) -> bool:
        """Return whether the role is assigned to the principal at exactly this scope."""
        return (scope.lower(), *grant.key) in self.grants

    def own_assignments(
        self, target: ManagedNamespaceId, grant: AccessGrant
    ) -> tuple[RoleAssignment, ...]:
        """Return the assignments of that role to that principal at the namespace's own scope."""
        found = (self.grants.get((scope, *grant.key)) for scope in target.own_scopes)
        return tuple(one for one in found if one is not None)

    def inherited_assignments(
        self, target: ManagedNamespaceId, grant: AccessGrant
    ) -> tuple[RoleAssignment, ...]:
        """Return those at scopes above it, such as its cluster or subscription."""
        return tuple(
            held
            for (scope, *key), held in self.grants.items()
            if tuple(key) == grant.key and target.is_below(scope)
        )
