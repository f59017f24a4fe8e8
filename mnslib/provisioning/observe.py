"""Read what a plan needs: clusters, managed namespaces, what runs on them, role assignments.

The only reading part of provisioning; it changes nothing. Kubernetes is asked where it can be
reached; where it cannot, the plan says so instead of guessing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

from mnslib.errors import ArmForbiddenError, ArmNotFoundError, KubeError, MnsError
from mnslib.models import ManagedCluster, ManagedNamespace, NamespaceSpec, RoleAssignment
from mnslib.provisioning.observed import KubernetesView, ObservedCluster, ObservedState
from mnslib.resource_ids import ClusterId, ManagedNamespaceId
from mnslib.results import utc_text

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.kube.client import KubeClient

_Read = ObservedCluster | str
READERS = 8
"""Clusters read side by side; our choice: the service's buckets, not threads, are the limit."""


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
    cluster_ids = sorted(targets, key=lambda cluster: cluster.key)
    clusters: dict[ClusterId, ObservedCluster] = {}
    missing: dict[ClusterId, str] = {}

    def read(cluster_id: ClusterId) -> ObservedCluster | None:
        held = known.clusters.get(cluster_id) if known else None
        try:
            cluster = held.cluster if held else azure.managed_clusters.get(cluster_id)
        except ArmNotFoundError:
            return None
        return observe_cluster(
            cluster, azure=azure, kube_for=kube_for, now=now, named=targets[cluster_id]
        )

    with ThreadPoolExecutor(max_workers=READERS) as pool:
        for cluster_id, result in zip(cluster_ids, pool.map(read, cluster_ids), strict=True):
            if result is None:
                missing[cluster_id] = _missing(cluster_id, azure)
            else:
                clusters[cluster_id] = result
    return ObservedState(clusters=clusters, missing=missing, grants=_grants(wanted, azure))


def observe_cluster(
    cluster: ManagedCluster,
    *,
    azure: AzureClient,
    kube_for: Callable[[ManagedCluster], KubeClient] | None,
    now: Callable[[], datetime],
    named: Iterable[ManagedNamespaceId] = (),
) -> ObservedCluster:
    """Return the state of one cluster.

    Args:
        kube_for: as `observe` takes it.
        named: of these, what ARM's list lacks is read one by one where the cluster has it.

    Raises:
        ArmError: if Azure refuses or cannot be reached.
    """
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


def observe_scope(
    azure: AzureClient,
    *,
    subscription_ids: Sequence[str],
    clusters: Sequence[ClusterId],
    kube_for: Callable[[ManagedCluster], KubeClient] | None,
    now: Callable[[], datetime],
    watched: Callable[[Iterable[_Read], int], Iterable[_Read]] = lambda found, _: found,
) -> dict[ClusterId, _Read]:
    """Return the state of each cluster of a scope, or the reason why it cannot be read.

    Args:
        clusters: the only ones to read; empty for all of the subscriptions.
        watched: hands on what is read of so many clusters, and may tell how far it is.

    Raises:
        ArmError: if a subscription cannot be listed.
    """
    listed = [] if clusters else [
        found for one in subscription_ids for found in azure.managed_clusters.list(one)
    ]  # fmt: skip
    targets: list[ManagedCluster | ClusterId] = [*clusters, *listed]

    def read(target: ManagedCluster | ClusterId) -> _Read:
        try:
            cluster = (
                azure.managed_clusters.get(target) if isinstance(target, ClusterId) else target
            )
            return observe_cluster(cluster, azure=azure, kube_for=kube_for, now=now)
        except MnsError as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=READERS) as pool:
        results = watched(pool.map(read, targets), len(targets))
        ids = (one if isinstance(one, ClusterId) else one.id for one in targets)
        return dict(sorted(zip(ids, results, strict=True), key=lambda item: item[0].key))


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


def item_now(target: ManagedNamespaceId, azure: AzureClient) -> ManagedNamespace | None:
    """Return a managed namespace as one read of it finds it, None if there is none."""
    try:
        return azure.managed_namespaces.get(target)
    except ArmNotFoundError:
        return None


def _missing(cluster_id: ClusterId, azure: AzureClient) -> str:
    try:
        found = azure.managed_clusters.list(cluster_id.subscription_id)
    except ArmNotFoundError:
        return f"subscription {cluster_id.subscription_id} was not found."
    names = sorted(f"{c.id.resource_group}/{c.id.cluster_name}" for c in found)
    there = ", ".join(names) if names else "none"
    return (
        f"cluster {cluster_id.cluster_name} was not found in resource group "
        f"{cluster_id.resource_group}; the subscription has: {there}."
    )


def _grants(
    specs: list[NamespaceSpec], azure: AzureClient
) -> dict[tuple[str, str, str], RoleAssignment]:
    subscriptions = sorted(
        {
            spec.id.cluster.subscription_id.lower()
            for spec in specs
            if spec.in_full.access or spec.in_full.revoked
        }
    )
    return {
        (held.scope.lower(), held.principal_id.lower(), held.role_guid.lower()): held
        for subscription_id in subscriptions
        for held in azure.role_assignments.list_for_subscription(subscription_id)
    }
