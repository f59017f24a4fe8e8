"""Read what the capacity questions need, of many clusters in parallel, into one `Snapshot`.

Reads only. A cluster that cannot be read is named with the reason, and what is known of it without
asking it (its managed namespaces, its history) is kept. Decides nothing: that is `utilization`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnslib.capacity.history import cluster_names, read_history, time_grid, with_peak_times
from mnslib.capacity.promql import UNLABELED, ClusterNames
from mnslib.capacity.quota_values import SPACE, tightest_quotas
from mnslib.capacity.snapshot import NAMESPACE_COLUMNS, QUOTA_SERIES, Snapshot, wide_frame
from mnslib.commitment import commitments
from mnslib.errors import (
    NOT_SERVED,
    ArmError,
    ConfigError,
    KubeError,
    KubeUnreachableError,
    PrometheusError,
    cut,
    few_words,
)
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_KEYS, ManagedCluster
from mnslib.packaged import packaged
from mnslib.requests.rules import SYSTEM_NAMESPACES
from mnslib.resource_ids import CLUSTER_NAME, short_names
from mnslib.secrets import shown
from mnslib.signals import Readers

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.capacity.history import Grid, History, Name, Samples
    from mnslib.kube.client import KubeClient
    from mnslib.kube_models import KubernetesNamespace, QuotaStatus
    from mnslib.models import ManagedNamespace
    from mnslib.resource_ids import ClusterId

WORKERS = 8
"""Clusters read at once; each is a handful of requests, and two cores can parse no more."""

_SERIES = {
    "used": QUOTA_SERIES, "hard": QUOTA_SERIES, "requested": QUOTA_SERIES,
    "usage_cpu": SPACE, "usage_memory": SPACE,
}  # fmt: skip

NAMESAKE = "metrics know clusters by name only, and another one has this name"


@dataclass(slots=True, kw_only=True, eq=False)
class ClusterReading:
    """What one worker found out about one cluster.

    Attributes:
        facts: by the field of `Snapshot` that holds it for all clusters; reasons among them.
        unread: such a field to the reason, where only that could not be read.
        managed: None where Azure did not list them.
        busy: namespaces that have pods.
        is_remembered: the quotas are what the metrics showed last.
        label: what metrics call the cluster.
    """

    id: ClusterId
    name: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    managed: Mapping[str, ManagedNamespace] | None = None
    namespaces: Mapping[str, KubernetesNamespace] = field(default_factory=dict)
    busy: frozenset[str] = frozenset()
    is_remembered: bool = False
    label: ClusterNames = UNLABELED
    history: History | None = None
    errors: list[str] = field(default_factory=list)


Watched = Callable[[Iterable[ClusterReading], int], Iterable[ClusterReading]]


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
    about: Callable[[str], PrometheusClient] | None = None,
    watched: Watched = lambda found, _: found,
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
        about: returns the client for one cluster, by its id; None for `prometheus`.
        watched: hands on what is read of so many clusters, and may tell how far it is.

    Raises:
        ArmError: if the clusters of a subscription cannot be listed.
        ConfigError: if nothing is asked for, or a cluster's name, the lookback or the step is
            none that can be.
    """
    grid = time_grid(now, lookback_days=lookback_days, step_minutes=step_minutes)
    targets = _targets(azure, subscription_ids=subscription_ids, clusters=clusters)
    uses = Counter(target.cluster_name.casefold() for target in targets)
    called = _names_at(prometheus, grid)

    def read(target: ClusterId) -> ClusterReading:
        reading = ClusterReading(id=target)
        door = about(str(target)) if about else prometheus
        _read_present(reading, azure, kube_for, targets[target])
        if uses[target.cluster_name.casefold()] > 1 and door is prometheus:
            reading.facts["no_history"] = NAMESAKE
        elif door is not None:
            _read_past(reading, door, called if door is prometheus else _names_at(door, grid), grid)
        return reading

    with Readers(max_workers=WORKERS) as pool:
        readings = list(watched(pool.map(read, targets), len(targets)))
    _name(readings)
    labels = {one.name: one.label for one in readings if one.history is not None}
    note = history_note(readings, grid) if prometheus else "No history asked for."
    snapshot = assemble(readings, grid, owner_label=owner_label, history_note=note)
    return snapshot if prometheus is None else with_peak_times(snapshot, prometheus, labels=labels)


def _names_at(door: PrometheusClient | None, grid: Grid) -> dict[str, ClusterNames]:
    with suppress(PrometheusError):  # the queries of each cluster meet the same, and tell it
        return cluster_names(door, grid) if door is not None else {}
    return {}


def _read_past(
    reading: ClusterReading, door: PrometheusClient, known: Mapping[str, ClusterNames], grid: Grid
) -> None:
    name = reading.id.cluster_name
    add_history(reading, door, known.get(name.lower(), ClusterNames((name,))), grid)


def _name(readings: Sequence[ClusterReading]) -> None:
    """Give each reading the name under which it is shown."""
    names = short_names(reading.id for reading in readings)
    for reading in readings:
        reading.name = names[reading.id]


def _targets(
    azure: AzureClient, *, subscription_ids: Sequence[str], clusters: Sequence[ClusterId]
) -> dict[ClusterId, ManagedCluster | None]:
    """Return the clusters to read, those that were listed with what Azure says of them."""
    targets: dict[ClusterId, ManagedCluster | None] = dict.fromkeys(clusters)
    if not targets:
        for subscription_id in dict.fromkeys(map(str.lower, subscription_ids)):
            targets |= {one.id: one for one in azure.managed_clusters.list(subscription_id)}
    if not targets:
        raise ConfigError(
            "No cluster to analyze: name some in `clusters`, or subscriptions that have clusters "
            "in `subscription_ids`"
        )
    for name in (target.cluster_name for target in targets):
        if not CLUSTER_NAME.fullmatch(name):
            raise ConfigError(f"{name[:100]!r} cannot be the name of a managed cluster")
    return targets


# The present of one cluster


def _read_present(
    reading: ClusterReading,
    azure: AzureClient,
    kube_for: Callable[[ManagedCluster], KubeClient],
    cluster: ManagedCluster | None,
) -> None:
    """Fill in what Azure and the Kubernetes API say; what was known before a failure is kept."""
    facts = reading.facts
    try:
        cluster = cluster or azure.managed_clusters.get(reading.id)
        reading.id = cluster.id  # in Azure's spelling, which is also that of the metrics
        facts["regions"] = cluster.location
        found = azure.managed_namespaces.list_by_managed_cluster(reading.id)
        reading.managed = {space.id.namespace_name: space for space in found}
        if cluster.is_stopped:
            facts["unreachable"] = "cluster is stopped"
            return
        kube = kube_for(cluster)
        reading.namespaces = {space.name: space for space in kube.namespaces()}
        facts["quotas"] = kube.resource_quotas()
    except (ArmError, KubeError) as error:
        facts["unreachable"] = _reason(error)
        reading.errors.append(str(error))
        return
    _add_lists(reading, kube)
    if facts.get("workloads"):
        _add_safeguards(reading, azure)
    if apart := [one for found in kube.set_apart.values() for one in found]:
        reading.errors.append(cut(f"not read, and counted nowhere: {', '.join(apart)}"))
    pods, nodes = facts.get("pods"), facts.get("nodes")
    reading.busy = frozenset(pod.namespace_name for pod in pods or () if not pod.is_finished)
    # A reader of namespaces may not see nodes; the quotas are worth keeping all the same.
    if pods is None or nodes is None:
        facts["no_commitment"] = reading.unread.get("pods") or reading.unread["nodes"]
        return
    facts["commitments"] = commitments(
        nodes=nodes, quotas=facts["quotas"], pods=pods, most_nodes=cluster.most_nodes
    )


def _add_lists(reading: ClusterReading, kube: KubeClient) -> None:
    """Read what is worth having besides the quotas; one that may not be read spoils no other."""
    reads: dict[str, Callable[[], Any]] = {
        "pods": kube.pods,
        "nodes": kube.nodes,
        "limit_ranges": kube.limit_ranges,
        "workloads": kube.workloads,
        "autoscalers": kube.autoscalers,
        "events": kube.refused_pods,
        "runtime_classes": lambda: kube.overheads() if _names_class(reading.facts) else {},
    }
    for kind, read in reads.items():
        try:
            reading.facts[kind] = read()
        except KubeError as error:
            reading.errors.append(str(error))
            if isinstance(error, KubeUnreachableError):  # each further try would take a minute
                unasked = [one for one in reads if one not in reading.facts | reading.unread]
                reading.unread |= dict.fromkeys(unasked, _reason(error))
                return
            reading.unread[kind] = NOT_SERVED if error.status == 404 else _reason(error)


def _add_safeguards(reading: ClusterReading, azure: AzureClient) -> None:
    """Read which namespaces enforced Deployment Safeguards leave out, if they are enforced."""
    try:
        left_out = azure.managed_clusters.guarded_except(reading.id)
    except ArmError as error:
        reading.errors.append(str(error))
        reading.unread["safeguards"] = _reason(error)
        return
    if left_out is not None:
        reading.facts["safeguards"] = left_out


def _names_class(facts: Mapping[str, Any]) -> bool:
    return any(one.template.runtime_class for one in facts.get("workloads", ()))


def _reason(error: ArmError | KubeError) -> str:
    """Return a few words for a verdict; the whole message goes to `Snapshot.errors`."""
    return "cluster not found" if error.status == 404 else few_words(error)


# Its history


def add_history(
    reading: ClusterReading, prometheus: PrometheusClient, label: ClusterNames, grid: Grid
) -> None:
    """Fill in a cluster's history, or the reason why there is none.

    Args:
        label: what metrics call the cluster.
    """
    reading.label = label
    try:
        history = read_history(prometheus, label, grid)
    except PrometheusError as error:
        reading.facts["no_history"] = "query failed"
        reading.errors.append(str(error))
        return
    if any(history.samples.values()):
        reading.history = history
    else:
        reading.facts["no_history"] = "no samples"


def history_note(readings: Sequence[ClusterReading], grid: Grid) -> str:
    """Return what the history covers, and which clusters have none and why."""
    minutes, say = int(grid.step / timedelta(minutes=1)), packaged("mnslib.capacity", "words")
    every = "hour" if minutes == 60 else f"{minutes} minutes"
    days = (len(grid.times) * grid.step).days
    told: list[tuple[str, dict[str, Any]]] = [("span", {"days": days, "every": every})]
    if rare := [one.name for one in readings if one.history and one.history.is_rare]:
        told.append(("rare", {"names": ", ".join(rare)}))
    for source in ("requested", "listed"):
        if plain := [one.name for one in readings if one.history and one.history.source == source]:
            told.append((source, {"names": ", ".join(plain)}))
    for one in readings:
        own = one.id.cluster_name
        others = [label for label in one.label.values if label not in ("", own)]
        if others and one.history is not None:
            told.append(("spelled", {"own": own, "others": " and ".join(others)}))
        if one.label.is_renamed:
            told.append(("renamed", {"own": own}))
    reasons = {one.name: one.facts.get("no_history") for one in readings}
    if missing := [f"{name} ({reason})" for name, reason in reasons.items() if reason]:
        told.append(("missing", {"names": ", ".join(missing)}))
    return " ".join(say["history"][what].format_map(facts) for what, facts in told)


# From the readings of many clusters to one snapshot


def assemble(
    readings: Sequence[ClusterReading], grid: Grid, *, owner_label: str, history_note: str
) -> Snapshot:
    """Return one snapshot of all readings, each under its display name `reading.name`."""
    rows: list[dict[str, object]] = []
    past: dict[str, Samples] = {name: {} for name in _SERIES}
    latest: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for reading in readings:
        cluster, history, reading.history = reading.name, reading.history, None
        quotas = reading.facts.get("quotas")
        if quotas is None:
            quotas = history.last_quotas(step=grid.step) if history else ()
        found = _namespace_rows(reading, quotas, owner_label=owner_label)
        rows += found
        names = {row["namespace_name"] for row in found}
        # of a value that series counts whose object is the tightest now
        counts: dict[Name, Name] = {
            (name, value.quota_name, value.key): (name, key)
            for (name, key), value in tightest_quotas(quotas).items()
            if name in names
        }
        for kind, samples in history.samples.items() if history else ():
            for series, values in samples.items():
                if kind == "requested":
                    past[kind][cluster, series[0], f"requests.{series[1]}"] = values
                elif place := counts.get(series) if kind in ("used", "hard") else series:
                    past[kind][cluster, *place] = values
        for series, amount in history.latest.items() if history else ():
            if place := counts.get(series):
                latest[cluster, place[0]][place[1]] = amount
    namespaces = pd.DataFrame(rows, columns=list(NAMESPACE_COLUMNS))
    fields: dict[str, Any] = {"quotas": {}, "commitments": {}}
    for one in readings:
        for name, fact in one.facts.items():
            if fact != "":
                fields.setdefault(name, {})[one.name] = fact
    for name in _SERIES:  # its rows are let go once they are in the frame
        fields[name] = _frame(name, past.pop(name), grid)
    return Snapshot(
        read_utc=grid.now.astimezone(UTC),
        namespaces=namespaces.sort_values(SPACE, ignore_index=True),
        **fields,
        latest_peaks=dict(latest),
        remembered=[one.name for one in readings if one.is_remembered],
        unread={(one.name, kind): why for one in readings for kind, why in one.unread.items()},
        step_minutes=int(grid.step / timedelta(minutes=1)),
        errors={one.name: "\n".join(one.errors) for one in readings if one.errors},
        created={
            (one.name, space.name): space.created_utc
            for one in readings
            for space in one.namespaces.values()
            if space.created_utc is not None
        },
        granted={
            (one.name, name): quota for one in readings for name, quota in _not_yet_there(one)
        },
        history_note=history_note,
    )


def _frame(name: str, samples: Samples, grid: Grid) -> pd.DataFrame:
    values = np.empty((len(grid.times), len(samples)), dtype=np.float32)
    for number, row in enumerate(samples.values()):
        values[:, number] = row
    return wide_frame(grid.times, list(samples), values, names=_SERIES[name])


def _not_yet_there(reading: ClusterReading) -> Iterator[tuple[str, dict[str, Decimal]]]:
    """Yield the namespaces whose quota object shows other values than Azure holds, with those."""
    shown = {
        quota.namespace_name: quota.hard
        for quota in reading.facts.get("quotas", ())
        if quota.name == MANAGED_QUOTA_NAME
    }
    for name, space in (reading.managed or {}).items():
        hard = shown.get(name, {})
        found = {
            field: amount
            for field, amount in space.quota.items()
            if hard.get(QUOTA_KEYS[field], amount) != amount
        }
        if found:
            yield name, found


def _namespace_rows(
    reading: ClusterReading, quotas: Sequence[QuotaStatus], *, owner_label: str
) -> list[dict[str, object]]:
    """Return the namespaces of one cluster.

    Where Azure did not list the managed ones, those count that look so; where the cluster was not
    read, labels are those that Azure holds.
    """
    look_so = {quota.namespace_name for quota in quotas if quota.name == MANAGED_QUOTA_NAME}
    managed = look_so - SYSTEM_NAMESPACES if reading.managed is None else set(reading.managed)
    others = {quota.namespace_name for quota in quotas} | reading.busy
    spaces: dict[str, Any] = {**(reading.managed or {}), **reading.namespaces}
    rows: list[dict[str, object]] = []
    for name in managed | (others - SYSTEM_NAMESPACES):
        labels = spaces[name].labels if name in spaces else {}
        rows.append(
            {
                "cluster_name": reading.name,
                "namespace_name": name,
                "subscription_id": reading.id.subscription_id,
                "resource_group": reading.id.resource_group,
                "owner": shown(owner_label, labels.get(owner_label, "")),
                "is_managed": name in managed,
                # as kubectl writes them: no key or value holds either sign
                "labels": ",".join(f"{key}={shown(key, labels[key])}" for key in sorted(labels)),
            }
        )
    return rows
