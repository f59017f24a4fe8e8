"""Read what the capacity questions need, of many clusters in parallel; reads only.

A cluster that cannot be read is named with the reason, and what is known of it without asking it
(its managed namespaces, its history) is kept. Decides nothing: that is `utilization`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mnslib.capacity.assemble import assemble
from mnslib.capacity.history import read_history, time_grid
from mnslib.capacity.peaks import with_peak_times
from mnslib.capacity.present import Reading, id_of, read_present
from mnslib.errors import ConfigError, PrometheusError
from mnslib.resource_ids import CLUSTER_NAME, short_names

if TYPE_CHECKING:
    import pandas as pd

    from mnslib.azure.client import AzureClient
    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.capacity.snapshot import Snapshot
    from mnslib.kube.client import KubeClient
    from mnslib.models import ManagedCluster
    from mnslib.resource_ids import ClusterId

WORKERS = 8
"""Clusters read at once; each is a handful of requests, and two cores can parse no more."""


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
    uses = Counter(id_of(target).cluster_name.casefold() for target in targets)

    def read(target: ClusterId | ManagedCluster) -> Reading:
        reading = read_present(azure, kube_for, target)
        if uses[reading.id.cluster_name.casefold()] > 1:
            reading.no_history = "metrics know clusters by name only, and another one has this name"
        elif prometheus is not None:
            add_history(
                reading, prometheus, reading.id.cluster_name, times=times, step=step, now=now
            )
        return reading

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        readings = list(pool.map(read, targets))
    names = short_names(reading.id for reading in readings)
    for reading in readings:
        reading.name = names[reading.id]
    note = history_note(readings, times, step) if prometheus else "No history asked for."
    labels = {one.name: one.id.cluster_name for one in readings if one.history is not None}
    snapshot = assemble(
        readings, times=times, step=step, now=now, owner_label=owner_label, history_note=note
    )
    return snapshot if prometheus is None else with_peak_times(snapshot, prometheus, labels=labels)


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
    for name in (id_of(target).cluster_name for target in targets):
        if not CLUSTER_NAME.fullmatch(name):
            raise ConfigError(f"{name[:100]!r} cannot be the name of a managed cluster")
    return targets


def add_history(
    reading: Reading,
    prometheus: PrometheusClient,
    label: str,
    *,
    times: pd.DatetimeIndex,
    step: timedelta,
    now: datetime,
) -> None:
    """Fill in a cluster's history, or the reason why there is none.

    Args:
        label: what metrics call the cluster.
    """
    try:
        history = read_history(prometheus, label, times=times, step=step, now=now)
    except PrometheusError as error:
        reading.no_history = "query failed"
        reading.errors.append(str(error))
        return
    if history.is_empty:
        reading.no_history = "no samples"
    else:
        reading.history = history


def history_note(readings: Sequence[Reading], times: pd.DatetimeIndex, step: timedelta) -> str:
    """Return what the history covers, and which clusters have none and why."""
    minutes = int(step / timedelta(minutes=1))
    every = "hour" if minutes == 60 else f"{minutes} minutes"
    missing = [
        f"{reading.name} ({reading.no_history})" for reading in readings if reading.no_history
    ]
    rare = [one.name for one in readings if one.history is not None and one.history.is_rare]
    note = f"{(len(times) * step).days} days, one sample every {every}."
    if rare:
        note += (
            f" Rare scrapes of {', '.join(rare)}: what a pod requests counts there until the end"
            " of the step in which it ended."
        )
    return note + (f" No history of {', '.join(missing)}." if missing else "")
