"""Read what the capacity questions need, of many clusters in parallel; reads only.

A cluster that cannot be read is named with the reason, and what is known of it without asking it
(its managed namespaces, its history) is kept. Decides nothing: that is `utilization`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnslib.capacity.history import Block, ClusterHistory, queries, read_history, time_grid
from mnslib.capacity.snapshot import (
    NAMESPACE_COLUMNS,
    QUOTA_SERIES,
    USAGE_SERIES,
    Snapshot,
    wide_frame,
)
from mnslib.capacity.utilization import tightest_quotas
from mnslib.commitment import Commitment, commitments
from mnslib.errors import (
    ArmError,
    ArmUnreachableError,
    ConfigError,
    KubeError,
    KubeUnreachableError,
    PrometheusError,
    cut,
)
from mnslib.models import MANAGED_QUOTA_NAME, ManagedCluster
from mnslib.requests.rules import SYSTEM_NAMESPACES
from mnslib.resource_ids import short_names
from mnslib.secrets import shown

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.capacity.snapshot import Values
    from mnslib.kube.client import KubeClient
    from mnslib.models import KubernetesNamespace, ManagedNamespace, QuotaStatus
    from mnslib.resource_ids import ClusterId

WORKERS = 8
"""Clusters read at once; each is a handful of requests, and two cores can parse no more."""

LONGEST_REASON = 80
"""Characters of a reason in a verdict; the whole message is in `Snapshot.errors`."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Reading:
    """What one worker found out about one cluster; the reasons say what it did not."""

    id: ClusterId
    name: str = ""
    managed: Mapping[str, ManagedNamespace] | None = None
    namespaces: Mapping[str, KubernetesNamespace] = field(default_factory=dict)
    quotas: Sequence[QuotaStatus] | None = None
    busy: frozenset[str] = frozenset()
    commitments: Mapping[str, Commitment] | None = None
    history: ClusterHistory | None = None
    unreachable: str = ""
    no_commitment: str = ""
    no_history: str = ""
    errors: list[str] = field(default_factory=list)


def collect(
    azure: AzureClient,
    kube_for: Callable[[ManagedCluster], KubeClient],
    *,
    subscription_ids: Sequence[str],
    clusters: Sequence[ClusterId],
    prometheus: PrometheusClient | None,
    lookback_days: int,
    step_minutes: int,
    now: datetime,
    owner_label: str,
) -> Snapshot:
    """Return what quotas, pods, nodes and metrics say at `now` and in the time before it.

    Namespaces are all managed ones, and the others that have a quota or a pod that is not
    finished; system namespaces are left out.

    Args:
        azure: lists clusters and managed namespaces.
        kube_for: a client of one cluster, called from several threads; it may raise ArmError or
            KubeError. Who gives the client also closes it.
        subscription_ids: all clusters in them are read if `clusters` is empty.
        clusters: the clusters to read.
        prometheus: None for no history.
        lookback_days: days of history.
        step_minutes: distance of two samples, and the length that each stands for.
        now: an aware time.
        owner_label: label of the Kubernetes namespace that names its owner.

    Raises:
        ArmError: if the clusters of a subscription cannot be listed.
        ConfigError: if nothing is asked for, or a cluster's name, the lookback or the step is
            none that can be.
    """
    times = time_grid(now, lookback_days=lookback_days, step_minutes=step_minutes)
    step = timedelta(minutes=step_minutes)
    targets = _targets(azure, subscription_ids=subscription_ids, clusters=clusters)
    uses = Counter(_id_of(target).cluster_name.casefold() for target in targets)

    def read(target: ClusterId | ManagedCluster) -> _Reading:
        reading = _read_cluster(azure, kube_for, target)
        if uses[reading.id.cluster_name.casefold()] > 1:
            reading.no_history = "metrics know clusters by name only, and another one has this name"
        elif prometheus is not None:
            _add_history(reading, prometheus, times=times, step=step)
        return reading

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        readings = list(pool.map(read, targets))
    names = short_names(reading.id for reading in readings)
    for reading in readings:
        reading.name = names[reading.id]
    note = _history_note(readings, times, step) if prometheus else "No history asked for."
    return _snapshot(
        readings, times=times, step=step, now=now, owner_label=owner_label, history_note=note
    )


def _targets(
    azure: AzureClient, *, subscription_ids: Sequence[str], clusters: Sequence[ClusterId]
) -> list[ClusterId | ManagedCluster]:
    targets: list[ClusterId | ManagedCluster] = list(dict.fromkeys(clusters))
    if not targets:
        for subscription_id in dict.fromkeys(map(str.lower, subscription_ids)):
            targets += azure.managed_clusters.list(subscription_id)
    if not targets:
        raise ConfigError(
            "No cluster to analyze: name some in `clusters`, or subscriptions that have clusters "
            "in `subscription_ids`"
        )
    for cluster_id in map(_id_of, targets):
        queries(cluster_id.cluster_name, step_seconds=60)  # refuses a name that is none
    return targets


def _id_of(target: ClusterId | ManagedCluster) -> ClusterId:
    return target.id if isinstance(target, ManagedCluster) else target


def _read_cluster(
    azure: AzureClient,
    kube_for: Callable[[ManagedCluster], KubeClient],
    target: ClusterId | ManagedCluster,
) -> _Reading:
    reading = _Reading(id=_id_of(target))
    try:
        cluster = (
            target if isinstance(target, ManagedCluster) else azure.managed_clusters.get(reading.id)
        )
        reading.id = cluster.id  # in Azure's spelling, which is also that of the metrics
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
        _add_commitments(reading, kube, quotas=reading.quotas, most_nodes=cluster.most_nodes)
    return reading


def _add_commitments(
    reading: _Reading,
    kube: KubeClient,
    *,
    quotas: Sequence[QuotaStatus],
    most_nodes: Mapping[str, int],
) -> None:
    # A reader of namespaces may not see nodes; the quotas are worth keeping all the same.
    try:
        pods = kube.pods()
        reading.busy = frozenset(pod.namespace_name for pod in pods if not pod.is_finished)
        nodes = kube.nodes()
    except KubeError as error:
        reading.no_commitment = _reason(error)
        reading.errors.append(str(error))
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


def _add_history(
    reading: _Reading, prometheus: PrometheusClient, *, times: pd.DatetimeIndex, step: timedelta
) -> None:
    try:
        history = read_history(prometheus, reading.id.cluster_name, times=times, step=step)
    except PrometheusError as error:
        reading.no_history = "query failed"
        reading.errors.append(str(error))
        return
    if history.is_empty:
        reading.no_history = "no samples"
    else:
        reading.history = history


def _snapshot(
    readings: Sequence[_Reading],
    *,
    times: pd.DatetimeIndex,
    step: timedelta,
    now: datetime,
    owner_label: str,
    history_note: str,
) -> Snapshot:
    rows: list[dict[str, object]] = []
    used, hard, usage_cpu, usage_memory = (_Columns() for _ in range(4))
    for reading in readings:
        cluster, quotas = reading.name, _quotas_of(reading, step=step)
        found = _namespace_rows(reading, quotas, owner_label=owner_label)
        rows += found
        if reading.history is not None:
            wanted = _quota_series(cluster, quotas, {row["namespace_name"] for row in found})
            used.add(reading.history.used, wanted)
            hard.add(reading.history.hard, wanted)
            for columns, block in (
                (usage_cpu, reading.history.usage_cpu),
                (usage_memory, reading.history.usage_memory),
            ):
                columns.add(block, {series: (cluster, *series) for series in block.series})
    namespaces = pd.DataFrame(rows, columns=list(NAMESPACE_COLUMNS))
    named = {reading.name: reading for reading in readings}
    return Snapshot(
        read_utc=now.astimezone(UTC),
        namespaces=namespaces.sort_values(list(USAGE_SERIES), ignore_index=True),
        quotas={n: r.quotas for n, r in named.items() if r.quotas is not None},
        commitments={n: r.commitments for n, r in named.items() if r.commitments is not None},
        used=used.frame(times, names=QUOTA_SERIES),
        hard=hard.frame(times, names=QUOTA_SERIES),
        usage_cpu=usage_cpu.frame(times, names=USAGE_SERIES),
        usage_memory=usage_memory.frame(times, names=USAGE_SERIES),
        step_minutes=int(step / timedelta(minutes=1)),
        unreachable={n: r.unreachable for n, r in named.items() if r.unreachable},
        no_commitment={n: r.no_commitment for n, r in named.items() if r.no_commitment},
        errors={n: "\n".join(r.errors) for n, r in named.items() if r.errors},
        created={
            (reading.name, space.name): space.created_utc
            for reading in readings
            for space in reading.namespaces.values()
            if space.created_utc is not None
        },
        history_note=history_note,
    )


class _Columns:
    """Chosen series of many clusters, to become one wide frame."""

    def __init__(self) -> None:
        self._series: list[tuple[str, ...]] = []
        self._values: list[Values] = []

    def add(self, block: Block, wanted: Mapping[tuple[str, ...], tuple[str, ...]]) -> None:
        places = [place for place, series in enumerate(block.series) if series in wanted]
        self._series += [wanted[block.series[place]] for place in places]
        self._values.append(block.values[:, places])

    def frame(self, times: pd.DatetimeIndex, *, names: Sequence[str]) -> pd.DataFrame:
        empty = np.empty((len(times), 0), dtype=np.float32)
        values = np.concatenate([empty, *self._values], axis=1)
        return wide_frame(times, self._series, values, names=names)


def _quotas_of(reading: _Reading, *, step: timedelta) -> Sequence[QuotaStatus]:
    """Return the live quotas, or where the cluster was not read, those that history saw last."""
    if reading.quotas is not None:
        return reading.quotas
    return reading.history.last_quotas(step=step) if reading.history is not None else ()


def _managed_names(reading: _Reading, quotas: Sequence[QuotaStatus]) -> frozenset[str]:
    """Return the managed namespaces, or where Azure did not list them, those that look so."""
    if reading.managed is not None:
        return frozenset(reading.managed)
    return frozenset(quota.namespace_name for quota in quotas if quota.name == MANAGED_QUOTA_NAME)


def _namespace_rows(
    reading: _Reading, quotas: Sequence[QuotaStatus], *, owner_label: str
) -> list[dict[str, object]]:
    managed = _managed_names(reading, quotas)
    others = {quota.namespace_name for quota in quotas} | reading.busy
    return [
        {
            "cluster_name": reading.name,
            "namespace_name": name,
            "subscription_id": reading.id.subscription_id,
            "resource_group": reading.id.resource_group,
            "owner": shown(owner_label, _labels(reading, name).get(owner_label, "")),
            "is_managed": name in managed,
        }
        for name in managed | (others - SYSTEM_NAMESPACES)
    ]


def _labels(reading: _Reading, name: str) -> Mapping[str, str]:
    """Return the labels on the cluster, or where it was not read, those that Azure holds."""
    found = reading.namespaces.get(name) or (reading.managed or {}).get(name)
    return found.labels if found is not None else {}


def _quota_series(
    cluster_name: str, quotas: Sequence[QuotaStatus], namespaces: Container[object]
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return the column for each series that counts: that of the tightest quota object now."""
    return {
        (namespace, value.quota_name, value.key): (cluster_name, namespace, key)
        for (namespace, key), value in tightest_quotas(quotas).items()
        if namespace in namespaces
    }


def _history_note(readings: Sequence[_Reading], times: pd.DatetimeIndex, step: timedelta) -> str:
    minutes = int(step / timedelta(minutes=1))
    every = "hour" if minutes == 60 else f"{minutes} minutes"
    missing = [
        f"{reading.name} ({reading.no_history})" for reading in readings if reading.no_history
    ]
    note = f"{(len(times) * step).days} days, one sample every {every}."
    return note + (f" No history of {', '.join(missing)}." if missing else "")
