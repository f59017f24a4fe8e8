"""The present of one cluster: what Azure and its Kubernetes API say now; reads only.

A cluster that cannot be read keeps the reason, and what was known before the failure. Knows nothing
of metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mnslib.commitment import Commitment, commitments
from mnslib.errors import ArmError, ArmUnreachableError, KubeError, KubeUnreachableError, cut
from mnslib.models import ManagedCluster

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.capacity.history import ClusterHistory
    from mnslib.kube.client import KubeClient
    from mnslib.kube_models import KubernetesNamespace, QuotaStatus
    from mnslib.models import ManagedNamespace
    from mnslib.resource_ids import ClusterId

LONGEST_REASON = 80
"""Characters of a reason in a verdict; the whole message is in `Snapshot.errors`."""

NOT_SERVED = "not served by this cluster"
"""Of an API version that a cluster does not know, which it answers with 404."""


@dataclass(slots=True, kw_only=True, eq=False)
class Reading:
    """What one worker found out about one cluster; the reasons say what it did not.

    Attributes:
        lists: what the cluster listed, by the field of `Snapshot` that it becomes.
        unread: such a field to the reason, where only that could not be read.
        is_remembered: the quotas are what the metrics showed last.
    """

    id: ClusterId
    name: str = ""
    region: str = ""
    managed: Mapping[str, ManagedNamespace] | None = None
    namespaces: Mapping[str, KubernetesNamespace] = field(default_factory=dict)
    quotas: Sequence[QuotaStatus] | None = None
    busy: frozenset[str] = frozenset()
    is_remembered: bool = False
    commitments: Mapping[str, Commitment] | None = None
    lists: dict[str, Sequence[Any]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    history: ClusterHistory | None = None
    unreachable: str = ""
    no_commitment: str = ""
    no_history: str = ""
    errors: list[str] = field(default_factory=list)


def id_of(target: ClusterId | ManagedCluster) -> ClusterId:
    """Return a cluster's id, whether it is known by that alone or was listed."""
    return target.id if isinstance(target, ManagedCluster) else target


def read_present(
    azure: AzureClient,
    kube_for: Callable[[ManagedCluster], KubeClient],
    target: ClusterId | ManagedCluster,
) -> Reading:
    """Return what one cluster says; what it did not say is in the reading's reasons.

    Args:
        kube_for: a client of one cluster; it may raise ArmError or KubeError.
    """
    reading = Reading(id=id_of(target))
    try:
        cluster = (
            target if isinstance(target, ManagedCluster) else azure.managed_clusters.get(reading.id)
        )
        reading.id = cluster.id  # in Azure's spelling, which is also that of the metrics
        reading.region = cluster.location
        found = azure.managed_namespaces.list_by_managed_cluster(reading.id)
        reading.managed = {space.id.namespace_name: space for space in found}
        if cluster.power_state.lower() == "stopped":
            reading.unreachable = "cluster is stopped"
            return reading
        kube = kube_for(cluster)
        reading.namespaces = {space.name: space for space in kube.namespaces()}
        reading.quotas = kube.resource_quotas()
    except (ArmError, KubeError) as error:
        reading.unreachable = _reason(error)
        reading.errors.append(str(error))
    else:
        _add_lists(reading, kube)
        _add_commitments(reading, quotas=reading.quotas, most_nodes=cluster.most_nodes)
    return reading


def _add_lists(reading: Reading, kube: KubeClient) -> None:
    """Read what is worth having besides the quotas; one that may not be read spoils no other."""
    reads: dict[str, Callable[[], Sequence[Any]]] = {
        "pods": kube.pods,
        "nodes": kube.nodes,
        "limit_ranges": kube.limit_ranges,
        "workloads": kube.workloads,
        "autoscalers": kube.autoscalers,
        "events": kube.refused_pods,
    }
    for kind, read in reads.items():
        try:
            reading.lists[kind] = read()
        except KubeError as error:
            reading.errors.append(str(error))
            if isinstance(error, KubeUnreachableError):  # each further try would take a minute
                unasked = [one for one in reads if one not in reading.lists | reading.unread]
                reading.unread |= dict.fromkeys(unasked, _reason(error))
                return
            reading.unread[kind] = NOT_SERVED if error.status == 404 else _reason(error)


def _add_commitments(
    reading: Reading, *, quotas: Sequence[QuotaStatus], most_nodes: Mapping[str, int]
) -> None:
    # A reader of namespaces may not see nodes; the quotas are worth keeping all the same.
    pods, nodes = (reading.lists.get(kind) for kind in ("pods", "nodes"))
    reading.busy = frozenset(pod.namespace_name for pod in pods or () if not pod.is_finished)
    if pods is None or nodes is None:
        reading.no_commitment = reading.unread.get("pods") or reading.unread["nodes"]
        return
    reading.commitments = commitments(nodes=nodes, quotas=quotas, pods=pods, most_nodes=most_nodes)


def _reason(error: ArmError | KubeError) -> str:
    """Return a few words for a verdict; the whole message goes to `Snapshot.errors`."""
    if isinstance(error, KubeUnreachableError):
        return "cluster not reachable"
    if isinstance(error, ArmUnreachableError):
        return "Azure not reachable"
    if error.status in (401, 403):
        return "no permission"
    return "cluster not found" if error.status == 404 else cut(str(error), LONGEST_REASON)
