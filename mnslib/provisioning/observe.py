"""What a plan is made from: clusters, managed namespaces, what runs on them, role assignments.

The only reading part of provisioning; it changes nothing. Kubernetes is asked where it can be
reached; a cluster whose API did not answer carries the reason instead of a view, and plans must say
"unknown" there, never "none".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from mnslib.commitment import Commitment, commitments
from mnslib.errors import ArmForbiddenError, ArmNotFoundError, KubeError, MnsError
from mnslib.kube_models import KubernetesNamespace, Node, Pod, QuotaStatus
from mnslib.models import (
    MANAGED_LABEL,
    ROLE_NAMES,
    AccessGrant,
    ManagedCluster,
    ManagedNamespace,
    NamespaceSpec,
    PrincipalType,
    RoleAssignment,
)
from mnslib.pods import total_need
from mnslib.resource_ids import ClusterId, ManagedNamespaceId
from mnslib.results import utc_text

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.kube.client import KubeClient

NAMESPACE_DEPTH = 10
"""Slashes in the scope of a managed namespace; what is above has fewer."""

READERS = 8
"""Clusters read side by side; our choice: the service's buckets, not threads, are the limit."""


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
        """Return what the cluster has committed, for `cpu` and `memory`, under that limit."""
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

    def on_cluster(self, target: ManagedNamespaceId) -> KubernetesNamespace | None:
        """Return the Kubernetes namespace of that name, None if there is none or it is unknown."""
        if self.kubernetes is None:
            return None
        return self.kubernetes.namespaces.get(target.namespace_name)

    def requested(self, namespace_name: str) -> dict[str, Decimal] | None:
        """Return what the namespace's pods ask for by quota key, None if that is unknown.

        Counted from the pods, since the quota's own counter is known to be wrong at times.
        """
        if self.kubernetes is None:
            return None
        return total_need(self.kubernetes.pods_of(namespace_name))


@dataclass(frozen=True, kw_only=True)
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

    def has_grant(self, target: ManagedNamespaceId, grant: AccessGrant) -> bool:
        """Return whether the role is assigned to the principal at exactly this scope."""
        return (target.key, *grant.key) in self.grants

    def own_assignments(
        self, target: ManagedNamespaceId, grant: AccessGrant
    ) -> tuple[RoleAssignment, ...]:
        """Return the assignments of that role to that principal at the namespace's own scope."""
        found = (self.grants.get((scope, *grant.key)) for scope in target.own_scopes)
        return tuple(one for one in found if one is not None)

    def inherited_assignments(
        self, target: ManagedNamespaceId, grant: AccessGrant
    ) -> list[RoleAssignment]:
        """Return those at scopes above it, such as its cluster or subscription."""
        return [held for held in self._wide.get(grant.key, ()) if target.is_below(held.scope)]

    @cached_property
    def _wide(self) -> dict[tuple[str, str], list[RoleAssignment]]:
        found: dict[tuple[str, str], list[RoleAssignment]] = defaultdict(list)
        for (scope, principal_id, role_guid), held in self.grants.items():
            if scope.count("/") < NAMESPACE_DEPTH:
                found[principal_id, role_guid].append(held)
        return found


def observe(
    specs: Iterable[NamespaceSpec],
    *,
    azure: AzureClient,
    kube_for: Callable[[ManagedCluster], KubeClient] | None,
    now: Callable[[], datetime],
    known: ObservedState | None = None,
) -> ObservedState:
    """Return the state of every cluster that the requests name.

    One GET and one list per cluster, one list of role assignments per subscription whose
    requests say something of access. The list can trail: what is managed by what the cluster
    says, but not in it, is read by itself.

    Args:
        kube_for: opens a cluster's Kubernetes API; None leaves Kubernetes unread.
        known: an earlier reading, whose cluster objects are used again (for reading back).

    Raises:
        ArmError: if Azure refuses or cannot be reached. A cluster that does not exist is no
            error here: the plan reports it with the row that names it.
    """
    wanted = list(specs)
    targets: dict[ClusterId, list[ManagedNamespaceId]] = {}
    for spec in wanted:
        targets.setdefault(spec.id.cluster, []).append(spec.id)

    def read(cluster_id: ClusterId) -> ObservedCluster | str:
        held = known.clusters.get(cluster_id) if known else None
        try:
            cluster = held.cluster if held else azure.managed_clusters.get(cluster_id)
        except ArmNotFoundError:
            return _missing(cluster_id, azure)
        return _observe_cluster(
            cluster, azure=azure, kube_for=kube_for, now=now, named=targets[cluster_id]
        )

    ids = sorted(targets, key=lambda cluster: cluster.key)
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        found = dict(zip(ids, pool.map(read, ids), strict=True))
    asking = [spec.id for spec in wanted if spec.in_full.access or spec.in_full.revoked]
    assignments = _assignments(azure, {target.cluster.subscription_id for target in asking})
    return ObservedState(
        clusters={key: one for key, one in found.items() if not isinstance(one, str)},
        missing={key: one for key, one in found.items() if isinstance(one, str)},
        grants={
            (held.scope.lower(), held.principal_id.lower(), held.role_guid.lower()): held
            for held in assignments
        },
    )


def observe_scope(
    azure: AzureClient,
    *,
    subscription_ids: Sequence[str],
    clusters: Sequence[ClusterId],
    kube_for: Callable[[ManagedCluster], KubeClient] | None,
    now: Callable[[], datetime],
    watched: Callable[
        [Iterable[ObservedCluster | str], int], Iterable[ObservedCluster | str]
    ] = lambda found, _: found,
) -> dict[ClusterId, ObservedCluster | str]:
    """Return the state of each cluster of a scope, or the reason why it cannot be read.

    Args:
        clusters: the only ones to read; empty for all of the subscriptions.
        watched: hands on what is read of so many clusters, and may tell how far it is.

    Raises:
        ArmError: if a subscription cannot be listed.
    """
    listed = _listed(azure, subscription_ids) if not clusters else {}
    targets = [*clusters, *listed]

    def read(target: ClusterId) -> ObservedCluster | str:
        try:
            cluster = listed.get(target) or azure.managed_clusters.get(target)
            return _observe_cluster(cluster, azure=azure, kube_for=kube_for, now=now)
        except MnsError as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=READERS) as pool:
        found = watched(pool.map(read, targets), len(targets))
        return dict(sorted(zip(targets, found, strict=True), key=lambda pair: pair[0].key))


def read_namespaces(
    azure: AzureClient, *, subscription_ids: Sequence[str], clusters: Sequence[ClusterId]
) -> tuple[list[ManagedNamespace], dict[ManagedNamespaceId, list[AccessGrant]], list[str]]:
    """Return the managed namespaces, the roles that a request could ask for on each, and the rest.

    The rest are sentences about role assignments on them that no request can ask for; those that
    are wider than a namespace are nobody's here.

    Args:
        clusters: where to look; if empty, in all clusters of the subscriptions.

    Raises:
        ArmError: if Azure refuses or cannot be reached.
    """
    targets = list(clusters or _listed(azure, subscription_ids))
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        found = list(pool.map(azure.managed_namespaces.list_by_managed_cluster, targets))
    namespaces = [namespace for of_cluster in found for namespace in of_cluster]
    by_scope = {namespace.id.key: namespace.id for namespace in namespaces}
    grants: dict[ManagedNamespaceId, list[AccessGrant]] = {}
    left_out: list[str] = []
    for held in _assignments(azure, {target.subscription_id for target in targets}):
        where, role = by_scope.get(held.scope.lower()), ROLE_NAMES.get(held.role_guid)
        if where is None:
            continue
        if role is None or held.principal_type not in list(PrincipalType):
            left_out.append(
                f"access of {where}: no request can ask for the role {role or held.role_guid} "
                f"of {held.principal_type} {held.principal_id}"
            )
            continue
        kind, principal_id = PrincipalType(held.principal_type), held.principal_id.lower()
        grant = AccessGrant(
            principal_type=kind, principal_id=principal_id, role=role, role_guid=held.role_guid
        )
        of_namespace = grants.setdefault(where, [])
        of_namespace += [grant] if grant not in of_namespace else []
    return namespaces, grants, left_out


def _assignments(azure: AzureClient, subscription_ids: set[str]) -> Iterator[RoleAssignment]:
    for subscription_id in sorted({one.lower() for one in subscription_ids}):
        yield from azure.role_assignments.list_for_subscription(subscription_id)


def item_now(target: ManagedNamespaceId, azure: AzureClient) -> ManagedNamespace | None:
    """Return a managed namespace as one read of it finds it, None if there is none."""
    try:
        return azure.managed_namespaces.get(target)
    except ArmNotFoundError:
        return None


def _listed(azure: AzureClient, subscription_ids: Sequence[str]) -> dict[ClusterId, ManagedCluster]:
    return {
        found.id: found for one in subscription_ids for found in azure.managed_clusters.list(one)
    }


def _observe_cluster(
    cluster: ManagedCluster,
    *,
    azure: AzureClient,
    kube_for: Callable[[ManagedCluster], KubeClient] | None,
    now: Callable[[], datetime],
    named: Iterable[ManagedNamespaceId] = (),
) -> ObservedCluster:
    """Return the state of a cluster; what ARM's list lacks of `named` is read where it is there."""
    found = azure.managed_namespaces.list_by_managed_cluster(cluster.id)
    view, unknown = _kubernetes(cluster, kube_for)
    managed = {namespace.id.namespace_name.lower(): namespace for namespace in found}
    for target in named:
        name = target.namespace_name.lower()
        if view is None or name in managed or not view.is_managed(name):
            continue
        if (unlisted := item_now(target, azure)) is not None:
            managed[name] = unlisted
    return ObservedCluster(
        cluster=cluster,
        managed=managed,
        read_utc=utc_text(now()),
        kubernetes=view,
        kubernetes_unknown=unknown,
    )


def _kubernetes(
    cluster: ManagedCluster, kube_for: Callable[[ManagedCluster], KubeClient] | None
) -> tuple[KubernetesView | None, str]:
    if kube_for is None:
        return None, "not read"
    if cluster.is_stopped:
        return None, "the cluster is stopped"
    try:
        kube = kube_for(cluster)
        return KubernetesView(
            namespaces={namespace.name: namespace for namespace in kube.namespaces()},
            quotas=tuple(kube.resource_quotas()),
            nodes=tuple(kube.nodes()),
            pods=tuple(kube.pods()),
        ), ""
    except (KubeError, ArmForbiddenError) as error:
        return None, str(error)


def _missing(cluster_id: ClusterId, azure: AzureClient) -> str:
    try:
        found = azure.managed_clusters.list(cluster_id.subscription_id)
    except ArmNotFoundError:
        return f"subscription {cluster_id.subscription_id} was not found."
    names = sorted(f"{c.id.resource_group}/{c.id.cluster_name}" for c in found)
    return (
        f"cluster {cluster_id.cluster_name} was not found in resource group "
        f"{cluster_id.resource_group}; the subscription has: {', '.join(names) or 'none'}."
    )
