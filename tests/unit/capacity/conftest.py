"""Small fleets by hand: a snapshot, and doubles of the three doors that `collect` goes through."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.snapshot import (
    NAMESPACE_COLUMNS,
    QUOTA_SERIES,
    Snapshot,
    wide_frame,
)
from mnslib.errors import PrometheusError
from mnslib.kube_models import (
    Autoscaler,
    Container,
    Event,
    KubernetesNamespace,
    LimitRange,
    Node,
    Pod,
    QuotaStatus,
    Workload,
)
from mnslib.models import ManagedCluster, ManagedNamespace
from mnslib.resource_ids import ClusterId

NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)
SUBSCRIPTION = "00000000-0000-4000-8000-00000000a001"


def amounts(values: Mapping[str, str | int]) -> dict[str, Decimal]:
    return {key: Decimal(str(value)) for key, value in values.items()}


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def make_quota() -> Callable[..., QuotaStatus]:
    def make(
        namespace: str, hard: Mapping[str, Any], used: Mapping[str, Any], name: str = "team-quota"
    ) -> QuotaStatus:
        return QuotaStatus(
            namespace_name=namespace, name=name, hard=amounts(hard), used=amounts(used)
        )

    return make


def _wide(
    samples: Mapping[tuple[str, ...], Sequence[float]], names: Sequence[str], count: int
) -> pd.DataFrame:
    times = pd.date_range(end=NOW, periods=count, freq="h").as_unit("ns")
    samples = {key: [*[np.nan] * (count - len(found)), *found] for key, found in samples.items()}
    values = np.array(list(samples.values()), dtype=np.float32).reshape(len(samples), count).T
    return wide_frame(times, list(samples), values, names=names)


@pytest.fixture
def make_snapshot() -> Callable[..., Snapshot]:
    """A snapshot of hourly samples that end at NOW; namespaces are those of the quotas."""

    def make(
        quotas: Mapping[str, Sequence[QuotaStatus]],
        *,
        more_namespaces: Sequence[tuple[str, str]] = (),
        used: Mapping[tuple[str, ...], Sequence[float]] | None = None,
        hard: Mapping[tuple[str, ...], Sequence[float]] | None = None,
        usage_cpu: Mapping[tuple[str, ...], Sequence[float]] | None = None,
        usage_memory: Mapping[tuple[str, ...], Sequence[float]] | None = None,
        requested: Mapping[tuple[str, ...], Sequence[float]] | None = None,
        **others: Any,
    ) -> Snapshot:
        places = {(c, quota.namespace_name) for c, found in quotas.items() for quota in found}
        frames = (used or {}, hard or {}, usage_cpu or {}, usage_memory or {}, requested or {})
        count = max((len(found) for frame in frames for found in frame.values()), default=0)
        rows = [
            (cluster, name, SUBSCRIPTION, "rg-platform", f"{name}-owner", True, "")
            for cluster, name in sorted(places | set(more_namespaces))
        ]
        return Snapshot(
            read_utc=others.pop("read_utc", NOW),
            namespaces=pd.DataFrame(rows, columns=list(NAMESPACE_COLUMNS)),
            quotas=quotas,
            commitments=others.pop("commitments", {}),
            used=_wide(frames[0], QUOTA_SERIES, count),
            hard=_wide(frames[1], QUOTA_SERIES, count),
            usage_cpu=_wide(frames[2], SPACE, count),
            usage_memory=_wide(frames[3], SPACE, count),
            requested=_wide(frames[4], QUOTA_SERIES, count),
            **others,
        )

    return make


@dataclass
class World:
    """What the doubles answer: per cluster an error to raise, or lists."""

    managed: dict[str, list[str] | Exception] = field(default_factory=dict)
    granted: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    safeguards: list[str] | Exception | None = None
    kube: dict[str, dict[str, Any] | Exception] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    samples: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    metrics_error: dict[str, Exception] = field(default_factory=dict)
    renamed: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    queries: list[tuple[str, datetime, datetime, int]] = field(default_factory=list)
    subscription_ids: list[str] = field(default_factory=list)

    def cluster_id(self, name: str) -> ClusterId:
        return ClusterId(SUBSCRIPTION, "rg-platform", name)

    def cluster(self, name: str) -> ManagedCluster:
        return ManagedCluster(
            id=self.cluster_id(name),
            location="westeurope",
            kubernetes_version="1.33",
            provisioning_state="Succeeded",
            power_state="Stopped" if name in self.stopped else "Running",
            has_entra_id=True,
            has_azure_rbac=True,
            network_policy_engine="cilium",
        )


def _answer(found: Any) -> Any:
    if isinstance(found, Exception):
        raise found
    return found


class AzureDouble:
    def __init__(self, world: World) -> None:
        self._world = world
        self.managed_clusters = SimpleNamespace(
            list=self._list, get=self._get, guarded_except=self._guarded
        )
        self.managed_namespaces = SimpleNamespace(list_by_managed_cluster=self._managed)

    def _list(self, subscription_id: str) -> list[ManagedCluster]:
        self._world.subscription_ids.append(subscription_id)
        return [self._world.cluster(name) for name in self._world.managed]

    def _get(self, cluster_id: ClusterId) -> ManagedCluster:
        names = {name.lower(): name for name in self._world.managed}
        name = names[cluster_id.cluster_name.lower()]
        found = ClusterId(cluster_id.subscription_id, cluster_id.resource_group, name)
        return replace(self._world.cluster(name), id=found)

    def _guarded(self, cluster_id: ClusterId) -> list[str] | None:
        return _answer(self._world.safeguards)

    def _managed(self, cluster_id: ClusterId) -> list[ManagedNamespace]:
        names = _answer(self._world.managed[cluster_id.cluster_name])
        return [
            ManagedNamespace(
                id=cluster_id.namespace(name),
                location="westeurope",
                labels={"owner": f"arm-{name}"},
                quota=self._world.granted.get(name, {}),
            )
            for name in names
        ]


class KubeDouble:
    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers
        self.set_apart: dict[str, list[str]] = answers.get("set_apart", {})

    def overheads(self) -> dict[str, dict[str, Decimal]]:
        return _answer(self._answers.get("runtime_classes", {}))

    def namespaces(self) -> list[KubernetesNamespace]:
        return _answer(self._answers.get("namespaces", []))

    def resource_quotas(self) -> list[QuotaStatus]:
        return _answer(self._answers.get("quotas", []))

    def nodes(self) -> list[Node]:
        return _answer(self._answers.get("nodes", []))

    def pods(self) -> list[Pod]:
        return _answer(self._answers.get("pods", []))

    def limit_ranges(self) -> list[LimitRange]:
        return _answer(self._answers.get("limit_ranges", []))

    def workloads(self) -> list[Workload]:
        return _answer(self._answers.get("workloads", []))

    def autoscalers(self) -> list[Autoscaler]:
        return _answer(self._answers.get("autoscalers", []))

    def refused_pods(self) -> list[Event]:
        return _answer(self._answers.get("events", []))


class PrometheusDouble:
    """Answers from `world.samples[(cluster, what)]`: (labels, function of unix seconds)."""

    def __init__(self, world: World) -> None:
        self._world = world

    def query_range(
        self, query: str, *, start: datetime, end: datetime, step_seconds: int
    ) -> list[Any]:
        if query.startswith("count("):
            return []
        self._world.queries.append((query, start, end, step_seconds))
        times = np.arange(start.timestamp(), end.timestamp() + 1, step_seconds).tolist()
        series = []
        for labels, sample in self._samples(query):
            points = [(at, value) for at in times if (value := sample(at)) is not None]
            if points:
                series.append(SimpleNamespace(labels=labels, points=points))
        return series

    def samples(self, query: str, *, at: datetime) -> list[Any]:
        raise PrometheusError("it shows no samples")

    def query(self, query: str, *, at: datetime) -> list[Any]:
        moment = at.timestamp()
        cluster = next(iter(self._world.samples), ("", ""))[0]
        latest = self._world.samples.get((cluster, "latest"), [])
        found = latest if "max_over_time" in query else self._samples(query)
        return [
            SimpleNamespace(labels=labels, points=[(moment, value)])
            for labels, sample in found
            if (value := sample(moment)) is not None
        ]

    def _samples(self, query: str) -> list[Any]:
        if query.startswith("count by (cluster"):
            kinds = {"kube_resourcequota": ("used", "hard"), "resource_requests": ("requested",)}
            wanted = next(found for part, found in kinds.items() if part in query)
            names = {cluster for cluster, kind in self._world.samples if kind in wanted}
            found = {name: {"cluster": name} if name else {} for name in sorted(names)}
            for name in self._world.renamed & names:
                found[name]["exported_namespace"] = "web"
            return [(labels, lambda at: 1.0) for labels in found.values()]
        self._world.texts.append(query)
        written = re.search(r'cluster=~?"((?:[^"\\]|\\.)*)"', query)[1]  # type: ignore[index]
        if 'cluster=~"' in query:
            parts = [query.replace(f'=~"{written}"', f'="{one}"') for one in written.split("|")]
            return [found for part in parts for found in self._samples(part)]
        cluster = re.sub(r"\\(.)", r"\1", written)
        _answer(self._world.metrics_error.get(cluster))
        kinds = {"kube_pod_resource_requests?": "scheduled", "resource_limits": "limits"}
        kinds |= {"unschedulable": "cordoned", "spec_taint": "tainted", "_condition": "ready"}
        kinds |= {'"used"': "used", '"hard"': "hard", "cpu_usage": "cpu", "working_set": "memory"}
        kinds |= {"resource_requests": "requested", "node_status": "nodes"}
        kind = next(kind for part, kind in kinds.items() if part in query)
        return self._world.samples.get((cluster, kind), [])


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def collected(world: World) -> Callable[..., Snapshot]:
    """Collects the world: all its clusters, 2 days of hours unless told otherwise."""
    from mnslib.capacity.collect import collect

    def run(**changes: Any) -> Snapshot:
        arguments: dict[str, Any] = {
            "subscription_ids": [SUBSCRIPTION],
            "clusters": [],
            "prometheus": PrometheusDouble(world),
            "lookback_days": 2,
            "step_minutes": 60,
            "now": NOW,
            "owner_label": "owner",
        }
        return collect(
            AzureDouble(world),  # type: ignore[arg-type]
            lambda cluster: KubeDouble(_answer(world.kube[cluster.id.cluster_name])),
            **{**arguments, **changes},
        )

    return run


@pytest.fixture
def make_pod() -> Callable[..., Pod]:
    def make(
        namespace: str, *, cpu: str = "1", memory: str = "1024", phase: str = "Running"
    ) -> Pod:
        need = amounts({"cpu": cpu, "memory": memory})
        return Pod(
            namespace_name=namespace,
            name=f"{namespace}-0",
            phase=phase,
            containers=(Container(requests=need),),
        )

    return make


@pytest.fixture
def make_node() -> Callable[..., Node]:
    def make(name: str = "node-1", *, cpu: str = "8", memory: str = "32768") -> Node:
        return Node(name=name, allocatable_cores=Decimal(cpu), allocatable_bytes=Decimal(memory))

    return make


@pytest.fixture
def hours_before_now() -> Callable[[float], float]:
    """Unix seconds to hours before NOW."""
    return lambda at: (NOW - datetime.fromtimestamp(at, UTC)) / timedelta(hours=1)
