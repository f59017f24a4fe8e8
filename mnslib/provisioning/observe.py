"""What a plan is made from: clusters, managed namespaces, what runs on them, role assignments.

It changes nothing; what a write looks at just before it goes out is in `writing.py`. Kubernetes is
asked where it can be reached; a cluster whose API did not answer carries the reason instead of a
view, and plans must say "unknown" there, never "none".
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mnslib import errors, models
from mnslib.errors import ArmForbiddenError, ArmNotFoundError, KubeError, MnsError, nearest
from mnslib.kube_models import KubernetesNamespace, LimitRange, Node, Pod, QuotaStatus
from mnslib.models import ROLE_NAMES, AccessGrant, ManagedCluster, ManagedNamespace, RoleAssignment
from mnslib.provisioning import companions
from mnslib.resource_ids import ClusterId, ManagedNamespaceId
from mnslib.results import utc_text
from mnslib.signals import Readers

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.kube.client import KubeClient

Missing = tuple[str, tuple[str, str]]
"""The part of a cluster's id that names what is not there; why, and what is meant, if anything."""

ENTRANCES = ("services", "ingresses", "http_routes")
"""Kinds of what leads traffic into namespaces."""

_INSIDE = ("workloads", "autoscalers", "limit_ranges", "overheads", "network_policies")

READERS = 8
"""Clusters read side by side; our choice: the service's buckets, not threads, are the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesView:
    """What runs on a cluster: namespaces by name, quotas, nodes, pods.

    Attributes:
        set_apart: the objects that could not be read, each with the reason.
        limit_ranges: None where no request asked for a companion, so that they were not read.
        lacking: namespace and kind of the companions that the caller may not write.
    """

    namespaces: Mapping[str, KubernetesNamespace]
    quotas: tuple[QuotaStatus, ...] = ()
    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    set_apart: tuple[str, ...] = ()
    limit_ranges: tuple[LimitRange, ...] | None = None
    lacking: frozenset[tuple[str, str]] = frozenset()

    def is_managed(self, namespace_name: str) -> bool:
        """Return whether the cluster says that ARM manages a namespace."""
        found = self.namespaces.get(namespace_name)
        return found is not None and found.labels.get(models.MANAGED_LABEL) == "true"

    def is_unmanaged(self, namespace_name: str) -> bool:
        """Return whether a namespace is there that ARM does not manage."""
        return namespace_name in self.namespaces and not self.is_managed(namespace_name)

    def pods_of(self, namespace_name: str) -> list[Pod]:
        """Return the pods of one namespace, finished ones included."""
        return [pod for pod in self.pods if pod.namespace_name == namespace_name]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCluster:
    """One cluster: its ARM object, its managed namespaces by lower-case name, what runs on it.

    Attributes:
        kubernetes: None where the API was not asked or did not answer; the reason says which.
        inside: where a namespace would be taken over, by kind, what else is there, or the error
            that reading it met: what `KubeClient` lists by that name, the namespaces that
            `safeguards` leave out (None without them), and the `roles` assigned at older scopes.
    """

    cluster: ManagedCluster
    managed: Mapping[str, ManagedNamespace]
    read_utc: str
    kubernetes: KubernetesView | None = None
    kubernetes_unknown: str = "not read"
    inside: Mapping[str, Any] = field(default_factory=dict)

    def find(self, target: ManagedNamespaceId) -> ManagedNamespace | None:
        """Return the managed namespace as read, None if there is none."""
        return self.managed.get(target.namespace_name.lower())

    def on_cluster(self, target: ManagedNamespaceId) -> KubernetesNamespace | None:
        """Return the Kubernetes namespace of that name, None if there is none or it is unknown."""
        if self.kubernetes is None:
            return None
        return self.kubernetes.namespaces.get(target.namespace_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a cluster stands on; of what could not be read, why.

    Attributes:
        missing: why there is no such cluster, and which there are; empty where there is.
        group: region of the resource group; empty where it was not asked for.
        provider: how the resource provider stands in the subscription.
        safeguards: level of Deployment Safeguards; empty where off.
        assignments: how many roles are assigned in the subscription and below.
        rights: by `subscription`, `group`, `cluster` and `namespace`, the scope and what the caller
            may do there; of one that is not there yet, what it will inherit.
    """

    id: ClusterId
    cluster: ObservedCluster | MnsError
    missing: str
    group: str | MnsError
    provider: str | MnsError
    safeguards: str | MnsError
    assignments: int | MnsError
    rights: Mapping[str, tuple[str, Sequence[models.Permission] | MnsError]]


@dataclass(frozen=True, kw_only=True)
class ObservedState:
    """Everything a plan looks at.

    Attributes:
        missing: by clusters that do not exist, which part of the id, why, and what is meant.
        grants: each role assignment of the subscriptions whose requests say something of access,
            by its scope, principal id and role GUID in lower case.
        principals: whom the requests' object ids belong to; without those that nobody looked up.
    """

    clusters: Mapping[ClusterId, ObservedCluster]
    missing: Mapping[ClusterId, Missing] = field(default_factory=dict)
    grants: Mapping[tuple[str, str, str], RoleAssignment] = field(default_factory=dict)
    principals: Mapping[str, models.Principal] = field(default_factory=dict)

    def with_items(
        self, targets: Sequence[ManagedNamespaceId], azure: AzureClient
    ) -> ObservedState:
        """Return the same with these items as one read of each finds them now.

        Items of clusters that were not read are passed over.
        """
        with Readers(max_workers=READERS) as pool:
            found = pool.map(partial(item_now, azure=azure), targets)
        managed = {key: dict(cluster.managed) for key, cluster in self.clusters.items()}
        for target, item in zip(targets, found, strict=True):
            of_cluster = managed.get(target.cluster, {})
            of_cluster.pop(target.namespace_name.lower(), None)
            of_cluster |= {target.namespace_name.lower(): item} if item else {}
        clusters = {
            key: replace(cluster, managed=managed[key]) for key, cluster in self.clusters.items()
        }
        return replace(self, clusters=clusters)

    def find(self, target: ManagedNamespaceId) -> ManagedNamespace | None:
        """Return the managed namespace as read, None if there is none or its cluster is none."""
        cluster = self.clusters.get(target.cluster)
        return cluster.find(target) if cluster else None

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
            if scope.count("/") < 10:  # a namespace's has so many
                found[principal_id, role_guid].append(held)
        return found


def observe(
    specs: Iterable[models.NamespaceSpec],
    *,
    azure: AzureClient,
    kube_for: Callable[[ManagedCluster], KubeClient] | None,
    now: Callable[[], datetime],
    known: ObservedState | None = None,
) -> ObservedState:
    """Return the state of every cluster that the requests name.

    Reads as `observe_clusters` does, and one list of role assignments per subscription whose
    requests say something of access.

    Args:
        kube_for: opens a cluster's Kubernetes API; None leaves Kubernetes unread.
        known: an earlier reading, whose cluster objects are used again (for reading back).

    Raises:
        ArmError: if Azure refuses or cannot be reached. A cluster that does not exist is no
            error here: the plan reports it with the row that names it.
    """
    wanted = list(specs)
    targets: dict[ClusterId, list[ManagedNamespaceId]] = defaultdict(list)
    beside: dict[ClusterId, list[models.NamespaceSpec]] = defaultdict(list)
    for spec in wanted:
        targets[spec.id.cluster].append(spec.id)
        if companions.asked(spec.in_full):
            beside[spec.id.cluster].append(spec)
    clusters = {key: one.cluster for key, one in known.clusters.items()} if known else {}
    found = observe_clusters(
        targets,
        azure=azure,
        kube_for=kube_for,
        now=now,
        known=clusters,
        may_adopt={s.id for s in wanted if s.in_full.adoption_policy not in models.NOT_TAKEN},
        beside=beside,
    )
    for error in found.values():
        if isinstance(error, MnsError) and not isinstance(error, ArmNotFoundError):
            raise error
    asking = {s.id.cluster for s in wanted if s.in_full.access or s.in_full.revoked}
    return ObservedState(
        clusters={key: one for key, one in found.items() if not isinstance(one, MnsError)},
        missing={key: _missing(key, azure) for key, e in found.items() if isinstance(e, MnsError)},
        grants={
            (held.scope.lower(), held.principal_id.lower(), held.role_guid.lower()): held
            for held in _assignments(azure, asking)
        },
    )


def observe_clusters(
    targets: Mapping[ClusterId, Iterable[ManagedNamespaceId]],
    *,
    azure: AzureClient,
    kube_for: Callable[[ManagedCluster], KubeClient] | None,
    now: Callable[[], datetime],
    known: Mapping[ClusterId, ManagedCluster] = MappingProxyType({}),
    may_adopt: Set[ManagedNamespaceId] = frozenset(),
    watched: Callable[[Iterator[Any], int], Iterable[Any]] = lambda found, _: found,
    beside: Mapping[ClusterId, Sequence[models.NamespaceSpec]] = MappingProxyType({}),
) -> dict[ClusterId, ObservedCluster | MnsError]:
    """Return the state of each cluster in the order of their ids, or why it cannot be read.

    One GET of the cluster itself, one list, and what its Kubernetes API says. ARM's list can trail:
    what is looked for and managed by what the cluster says, but not in the list, is read by itself.

    Args:
        targets: namespaces that are looked for, by cluster.
        known: clusters that need not be read themselves.
        may_adopt: namespaces that are taken over where they are on the cluster, unmanaged; what
            that does is read as well.
        watched: hands on what is read of so many clusters, and may tell how far it is.
        beside: requests for whose companions LimitRanges and rights are read as well, by cluster.
    """
    # many clusters of one subscription may take over
    roles = cache(lambda where: tuple(azure.role_assignments.list_for_subscription(where)))

    def read(target: ClusterId) -> ObservedCluster | MnsError:
        try:
            cluster = known.get(target) or azure.managed_clusters.get(target)
            read_utc = utc_text(now())
            listed = azure.managed_namespaces.list_by_managed_cluster(target)
            view, unknown = _kubernetes(cluster, kube_for, beside.get(target, ()))
            managed = _managed(listed, targets[target], view, azure)
            taken = {
                one.own_scopes[1]
                for one in targets[target]
                if one in may_adopt and view is not None and view.is_unmanaged(one.namespace_name)
            }
            inside = {}
            if view is not None and taken and kube_for is not None:
                kube = kube_for(cluster)
                held = partial(roles, target.subscription_id)
                inside = _inside(target, azure, kube, taken, held)
                view = replace(view, set_apart=_apart(kube))
        except MnsError as error:
            return error
        return ObservedCluster(
            cluster=cluster,
            managed=managed,
            read_utc=read_utc,
            kubernetes=view,
            kubernetes_unknown=unknown,
            inside=inside,
        )

    ids = sorted(targets, key=lambda cluster: cluster.key)
    with Readers(max_workers=READERS) as pool:
        return dict(zip(ids, watched(pool.map(read, ids), len(ids)), strict=True))


def _managed(
    listed: Iterable[ManagedNamespace],
    targets: Iterable[ManagedNamespaceId],
    view: KubernetesView | None,
    azure: AzureClient,
) -> dict[str, ManagedNamespace]:
    managed = {namespace.id.namespace_name.lower(): namespace for namespace in listed}
    for one in targets:
        name = one.namespace_name.lower()
        is_unlisted = name not in managed and view is not None and view.is_managed(name)
        if is_unlisted and (read_alone := item_now(one, azure)) is not None:
            managed[name] = read_alone
    return managed


def read_namespaces(
    azure: AzureClient, *, subscription_ids: Sequence[str], clusters: Sequence[ClusterId]
) -> tuple[list[ManagedNamespace], dict[ManagedNamespaceId, list[AccessGrant]], list[str]]:
    """Return the managed namespaces, the roles that a request could ask for on each, and the rest.

    The rest are sentences about role assignments on them that no request can ask for; those that
    are wider than a namespace are nobody's here.

    Args:
        clusters: where to look; if empty, in all clusters of the subscriptions.
    """
    targets = list(clusters or clusters_of(azure, subscription_ids))
    with Readers(max_workers=READERS) as pool:
        lists = pool.map(azure.managed_namespaces.list_by_managed_cluster, targets)
        namespaces = [namespace for of_cluster in lists for namespace in of_cluster]
    by_scope = {namespace.id.key: namespace.id for namespace in namespaces}
    grants: dict[ManagedNamespaceId, list[AccessGrant]] = defaultdict(list)
    left_out: list[str] = []
    for held in _assignments(azure, targets):
        if (where := by_scope.get(held.scope.lower())) is None:
            continue
        role = ROLE_NAMES.get(held.role_guid)
        if role is None or held.principal_type not in list(models.PrincipalType):
            who = f"the role {role or held.role_guid} of {held.principal_type} {held.principal_id}"
            left_out.append(f"access of {where}: no request can ask for {who}")
            continue
        kind = models.PrincipalType(held.principal_type)
        grant = AccessGrant.of(kind, held.principal_id.lower(), role)
        if grant not in grants[where]:
            grants[where].append(grant)
    return namespaces, grants, left_out


def clusters_of(
    azure: AzureClient, subscription_ids: Iterable[str]
) -> dict[ClusterId, ManagedCluster]:
    """Return the clusters of subscriptions by id; raises ArmError if one cannot be listed."""
    return {
        found.id: found for one in subscription_ids for found in azure.managed_clusters.list(one)
    }


def item_now(target: ManagedNamespaceId, azure: AzureClient) -> ManagedNamespace | None:
    """Return a managed namespace as one read of it finds it, None if there is none."""
    try:
        return azure.managed_namespaces.get(target)
    except ArmNotFoundError:
        return None


def _assignments(azure: AzureClient, clusters: Iterable[ClusterId]) -> Iterator[RoleAssignment]:
    for subscription_id in sorted({one.subscription_id.lower() for one in clusters}):
        yield from azure.role_assignments.list_for_subscription(subscription_id)


def _kubernetes(
    cluster: ManagedCluster,
    kube_for: Callable[[ManagedCluster], KubeClient] | None,
    companions_of: Sequence[models.NamespaceSpec],
) -> tuple[KubernetesView | None, str]:
    if kube_for is None:
        return None, "not read"
    if cluster.is_stopped:
        return None, "the cluster is stopped"
    try:
        kube = kube_for(cluster)
        view = KubernetesView(
            namespaces={found.name: found for found in kube.namespaces()},
            quotas=tuple(kube.resource_quotas()),
            nodes=tuple(kube.nodes()),
            pods=tuple(kube.pods()),
            limit_ranges=tuple(kube.limit_ranges()) if companions_of else None,
            lacking=frozenset(_lacking(companions_of, kube)),
        )
        return replace(view, set_apart=_apart(kube)), ""
    except (KubeError, ArmForbiddenError, errors.ArmConflictError) as error:  # 409: locked, busy
        return None, str(error)


def _apart(kube: KubeClient) -> tuple[str, ...]:
    return tuple(one for found in kube.set_apart.values() for one in found)


def _inside(
    cluster: ClusterId,
    azure: AzureClient,
    kube: KubeClient,
    old_scopes: Set[str],
    assignments: Callable[[], Iterable[RoleAssignment]],
) -> dict[str, Any]:
    """Return what is in namespaces that would be taken over, as `ObservedCluster.inside` has it.

    The lists are of the whole cluster, for a route may lead to it from anywhere.
    """
    return _side_by_side(
        {
            **{kind: getattr(kube, kind) for kind in _INSIDE},
            **{kind: partial(kube.entrances, kind) for kind in ENTRANCES},
            "safeguards": partial(azure.managed_clusters.guarded_except, cluster),
            "roles": lambda: [one for one in assignments() if one.scope.lower() in old_scopes],
        }
    )


def observe_ground(
    cluster_id: ClusterId,
    cluster: ObservedCluster | MnsError,
    *,
    azure: AzureClient,
    namespace: ManagedNamespaceId | None = None,
) -> Facts:
    """Return what a cluster stands on, read side by side.

    Args:
        cluster: what was read of it, or why it could not be.
        namespace: where rights are asked for besides; None for what any one inherits.
    """
    subscription = f"/subscriptions/{cluster_id.subscription_id}"
    scopes = {
        "subscription": subscription,
        "group": f"{subscription}/resourceGroups/{cluster_id.resource_group}",
        "cluster": str(cluster_id),
        "namespace": str(namespace or cluster_id),
    }
    asks: dict[str, Callable[[], Any]] = {
        "provider": partial(azure.providers.state, cluster_id.subscription_id),
        "safeguards": partial(azure.managed_clusters.safeguards, cluster_id),
        "assignments": partial(_count_assignments, azure, cluster_id.subscription_id),
        "missing": partial(_missing, cluster_id, azure),
        "region": partial(
            azure.location_of_group, cluster_id.subscription_id, cluster_id.resource_group
        ),
        **{kind: partial(azure.role_assignments.permissions, s) for kind, s in scopes.items()},
    }
    if not isinstance(cluster, ArmNotFoundError):
        asks["missing"], asks["region"] = lambda: ("", ("", "")), str
    read = _side_by_side(asks)
    for above, kind in itertools.pairwise(scopes):
        if isinstance(read[kind], ArmNotFoundError):  # not made yet: it will inherit
            read[kind], scopes[kind] = read[above], scopes[above]
    missing, safeguards = read["missing"], read["safeguards"]
    return Facts(
        id=cluster_id,
        cluster=cluster,
        missing=str(missing) if isinstance(missing, MnsError) else missing[1][0],
        group=read["region"],
        provider=read["provider"],
        safeguards=safeguards if isinstance(safeguards, MnsError) else safeguards[0],
        assignments=read["assignments"],
        rights={kind: (scope, read[kind]) for kind, scope in scopes.items()},
    )


def _side_by_side(asks: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return the answer to each question, or the error that it met."""
    with Readers(max_workers=READERS) as pool:
        return dict(zip(asks, pool.map(_answer, asks.values()), strict=True))


def _answer(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except MnsError as error:
        return error


def _count_assignments(azure: AzureClient, subscription_id: str) -> int:
    """Return how many role assignments count towards the subscription's limit."""
    own = f"/subscriptions/{subscription_id}".lower()
    found = azure.role_assignments.list_for_subscription(subscription_id)
    return sum(held.scope.lower().startswith(own) for held in found)


def _lacking(specs: Iterable[models.NamespaceSpec], kube: KubeClient) -> Iterator[tuple[str, str]]:
    @cache
    def may(kind: str, name: str) -> bool:
        what = {"resource": f"{kind.lower()}s", "namespace": name}
        return all(kube.may(verb=verb, **what)[0] for verb in companions.VERBS)

    for spec in specs:
        name = spec.id.namespace_name
        for kind in companions.asked(spec.in_full):
            if not (may(kind, "") or may(kind, name)):  # a role on the cluster is asked for once
                yield name, kind


def missing_clusters(clusters: Iterable[ClusterId], azure: AzureClient) -> dict[ClusterId, Missing]:
    """Return the clusters that do not exist: which part of the id, why, and what is meant.

    Those that cannot be asked for are passed over: whoever reads them is told.
    """

    def read(cluster_id: ClusterId) -> Missing | None:
        with suppress(MnsError):
            try:
                azure.managed_clusters.get(cluster_id)
            except ArmNotFoundError:
                return _missing(cluster_id, azure)
        return None

    ids = list(clusters)
    with Readers(max_workers=READERS) as pool:
        found = zip(ids, pool.map(read, ids), strict=True)
        return {cluster: reason for cluster, reason in found if reason}


def _missing(asked: ClusterId, azure: AzureClient) -> Missing:
    try:
        found = [one.id for one in azure.managed_clusters.list(asked.subscription_id)]
    except ArmNotFoundError:
        seen = azure.subscriptions()
        known = ", ".join(sorted(f"{name} ({key})" for key, name in seen.items())) or "none"
        why = f"subscription {asked.subscription_id} was not found; you see: {errors.cut(known)}"
        by_name = [key for key, name in seen.items() if name == asked.subscription_id]
        meant = by_name[0] if by_name else nearest(asked.subscription_id, seen)
        return "subscription_id", (why, meant)
    name, group = asked.cluster_name, asked.resource_group
    inside = [one.cluster_name for one in found if one.resource_group.lower() == group.lower()]
    groups = [one.resource_group for one in found if one.cluster_name.lower() == name.lower()]
    names = ", ".join(sorted(f"{one.resource_group}/{one.cluster_name}" for one in found)) or "none"
    why = f"cluster {name} was not found in resource group {group}; the subscription has: {names}"
    if groups or not inside:
        meant = " or ".join(groups) or nearest(group, {one.resource_group for one in found})
        return "resource_group", (why, meant)
    return "cluster_name", (why, nearest(name, inside))
