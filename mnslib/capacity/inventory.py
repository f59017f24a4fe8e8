"""Clusters and namespaces as the metrics name them, for who may read nothing but those.

What metrics cannot say (pods, workloads, the autoscaler's maximum, labels) is unknown with that
reason. Asks neither Azure Resource Manager nor Kubernetes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from mnslib.capacity import history as past
from mnslib.capacity.collect import WORKERS, ClusterReading, add_history, assemble, history_note
from mnslib.capacity.evidence_words import LATE, LATE_STEPS
from mnslib.capacity.promql import QUOTAS, REQUESTED, REQUESTS, ClusterNames, query_of
from mnslib.capacity.quota_values import tightest_quotas
from mnslib.commitment import commitments
from mnslib.errors import ConfigError, PrometheusError
from mnslib.kube_models import Container, Node, Pod, QuotaStatus
from mnslib.resource_ids import ClusterId
from mnslib.signals import Readers

if TYPE_CHECKING:
    from mnslib.azure.prometheus import PrometheusClient
    from mnslib.capacity.snapshot import Snapshot

UNNAMED = "(no cluster label)"
"""What a cluster is called whose series have no label `cluster`, as on a server of its own."""

NOT_IN_METRICS = "metrics do not say"
_STATES = ("cordoned", "ready")
_UNKNOWN_KINDS = ("pods", "limit_ranges", "workloads", "autoscalers", "events", "pools", "owner")


def collect_from_metrics(
    prometheus: PrometheusClient,
    *,
    clusters: Sequence[str],
    lookback_days: int,
    step_minutes: int,
    now: datetime,
) -> Snapshot:
    """Return what the metrics say at `now` and in the time before it; asks for nothing else.

    Namespaces are those with a quota, or with pods that ask for anything, at any time of the
    lookback; system namespaces are left out. Quotas are what the metrics showed last.

    Args:
        clusters: names or ARM ids; empty for all that the metrics name.
        lookback_days, step_minutes, now: as `collect` takes them.

    Raises:
        ConfigError: if no cluster is found, or what is named cannot be told apart by metrics.
        PrometheusError: if the clusters cannot be looked for.
    """
    grid = past.time_grid(now, lookback_days=lookback_days, step_minutes=step_minutes)
    called, found = past.cluster_names(prometheus, grid, ever=not clusters), _named(clusters)
    if not clusters:
        last = {name: own.values[-1] for name, own in called.items()}
        found = {name: ClusterId("", "", label or UNNAMED) for name, label in last.items()}
    if not found:
        raise ConfigError(
            f"No cluster to analyze: {prometheus.endpoint} holds neither {QUOTAS} nor {REQUESTS}"
            " in the lookback. Check that kube-state-metrics is scraped."
        )

    def read(name: str) -> ClusterReading:
        return _read(found[name], called.get(name, ClusterNames((name,))), prometheus, grid)

    with Readers(max_workers=WORKERS) as pool:
        readings = list(pool.map(read, found))
    note = history_note(readings, grid) + " Clusters and namespaces as the metrics name them."
    snapshot = assemble(readings, grid, owner_label="", history_note=note)
    labels = {reading.name: reading.label for reading in readings}
    return past.with_peak_times(snapshot, prometheus, labels=labels)


def _read(
    cluster: ClusterId, label: ClusterNames, prometheus: PrometheusClient, grid: past.Grid
) -> ClusterReading:
    reading = ClusterReading(id=cluster, name=cluster.cluster_name)
    reading.unread = dict.fromkeys(_UNKNOWN_KINDS, NOT_IN_METRICS)
    add_history(reading, prometheus, label, grid)
    if reading.history is None:
        reading.facts["unreachable"] = reading.facts["no_history"]
        return reading
    try:
        spaces = past.read_samples(prometheus, query_of("namespaces", label), grid)
        reading.busy = frozenset(name for (name,) in spaces)
        recent, gone = _quotas(prometheus, label, reading.history, grid)
        with suppress(PrometheusError):  # who sets limits only says which zeros are true
            limits = past.read_samples(prometheus, query_of("limits", label), grid)
            if limits or not any(map(_counts_limits, recent + gone)):  # else: not scraped
                reading.facts["limited"] = [(name, f"limits.{kind}") for name, kind in limits]
        reading.is_remembered = True
        reading.facts["quotas"] = recent + gone
        _add_commitment(reading, prometheus, label, recent, grid)
    except PrometheusError as error:
        reading.facts["unreachable"] = "query failed"
        reading.errors.append(str(error))
    return reading


def _named(clusters: Sequence[str]) -> dict[str, ClusterId]:
    """Return the clusters that were named, by their name in lower case."""
    found: dict[str, ClusterId] = {}
    for text in clusters:
        try:
            is_id = "/subscriptions/" in text.lower()
            cluster = ClusterId.parse(text) if is_id else ClusterId("", "", text)
        except ValueError as error:
            raise ConfigError(f"clusters: {error}. Write ids or names.") from error
        label = "" if cluster.cluster_name == UNNAMED else cluster.cluster_name.lower()
        if found.setdefault(label, cluster) != cluster:
            raise ConfigError(
                f"clusters: two are called {cluster.cluster_name}, and metrics know names only."
            )
    return found


def _counts_limits(quota: QuotaStatus) -> bool:
    return any(amount for key, amount in quota.used.items() if key.startswith("limits."))


def _quotas(
    prometheus: PrometheusClient, label: ClusterNames, history: past.History, grid: past.Grid
) -> tuple[list[QuotaStatus], list[QuotaStatus]]:
    """Return the quotas that are of now, and those that were seen before.

    Evidence says of the latter that they are too old, by the same rule; where an object took the
    place of another, only the one that is there counts.
    """
    since = grid.times[-1] - max(LATE_STEPS, -(-LATE // grid.step)) * grid.step
    seconds = int((grid.now - since).total_seconds())
    hard, used = (
        past.values_at(prometheus, query_of(name, label), grid.now, seconds=seconds)
        for name in ("hard", "last_used")
    )
    counted = history.last_seen("used") | used
    before = {one: amount for one, amount in history.last_seen("hard").items() if one not in hard}
    recent, gone = past.quota_statuses(hard, counted), past.quota_statuses(before, counted)
    there = tightest_quotas(recent)
    return recent, [one for one in gone if not there.keys() & tightest_quotas([one])]


def _by_resource(values: Mapping[past.Name, float]) -> dict[past.Name, dict[str, Decimal]]:
    found: dict[past.Name, dict[str, Decimal]] = defaultdict(dict)
    for (*place, resource), amount in values.items():
        found[tuple(place)][resource] = Decimal(str(amount))
    return found


def _add_commitment(
    reading: ClusterReading,
    prometheus: PrometheusClient,
    label: ClusterNames,
    quotas: Sequence[QuotaStatus],
    grid: past.Grid,
) -> None:
    """Fill in nodes, with what keeps pods away from them, and what the cluster has committed.

    Where scrapes are too rare to be seen now, what the last step or hour saw counts.
    """
    seconds = int(max(grid.step, LATE).total_seconds())

    def seen(kind: str, *, by_node: bool = False) -> Mapping[past.Name, float]:
        now, last = (query_of(kind, label, last=at, by_node=by_node) for at in (False, True))
        return past.values_at(prometheus, now, grid.now, seconds=seconds) or past.values_at(
            prometheus, last, grid.now, seconds=seconds
        )

    def asked() -> Mapping[past.Name, float]:
        for source in REQUESTED[:-1]:
            with suppress(PrometheusError):  # the next one is plainer
                if values := seen(source, by_node=True):
                    return values
        return seen(REQUESTED[-1], by_node=True)

    cordoned, ready = ({name: is_so for (name,), is_so in seen(k).items()} for k in _STATES)
    taints: dict[str, list[str]] = defaultdict(list)
    for name, key in seen("tainted"):
        taints[name].append(key)
    nodes = [
        Node(
            name=name,
            allocatable_cores=offer["cpu"],
            allocatable_bytes=offer["memory"],
            is_ready=bool(ready.get(name, True)),
            is_cordoned=bool(cordoned.get(name)),
            taints=tuple(taints[name]),
        )
        for (name,), offer in sorted(_by_resource(seen("nodes")).items())
        if offer.keys() >= {"cpu", "memory"}
    ]
    # one stand-in for all pods of a namespace on a node: only their sum is known
    pods = [
        Pod(
            namespace_name=name,
            name="",
            phase="Running",
            node_name=node,
            containers=(Container(requests=need),),
        )
        for (name, node), need in _by_resource(asked()).items()
    ]
    if not nodes or not pods:
        missing = "nodes" if not nodes else "pod requests"
        reading.facts["no_commitment"] = f"no recent samples of {missing}"
        return
    reading.facts |= {
        "nodes": nodes,
        "commitments": commitments(nodes=nodes, quotas=quotas, pods=pods),
    }
