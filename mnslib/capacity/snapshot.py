"""One reading of a fleet, as a value: what quotas, pods and nodes said, and what history says.

Frames are wide, time x series in float32: a month of hours of 80,000 series is 230 MB so, and a
group-by over the same samples as a long table takes ten times as long. Knows nothing of where the
figures were read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from mnslib.capacity.clusters import FreeNodes
from mnslib.capacity.quota_values import NO_QUOTA, SPACE, QuotaValue, names_of, tightest_quotas
from mnslib.capacity.samples import Places, Values, against_quota
from mnslib.commitment import Commitment
from mnslib.kube_models import Autoscaler, Event, LimitRange, Node, Pod, QuotaStatus, Workload
from mnslib.models import QUOTA_FIELDS, QUOTA_KEYS
from mnslib.packaged import packaged
from mnslib.pods import charge, with_defaults
from mnslib.quantities import day_text

Item = TypeVar("Item", Pod, Workload, Autoscaler, LimitRange, QuotaStatus)

NAMESPACE_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["namespaces"])
QUOTA_SERIES = (*SPACE, "resource")
"""Names of the levels of a quota counter's column; those of measured use have but `SPACE`."""
REQUEST_FIELDS = tuple(name for name in QUOTA_FIELDS if name.endswith("_request"))
"""The quota fields that `requested` has."""


@dataclass(frozen=True, kw_only=True, eq=False)  # without slots: some properties are kept
class Snapshot:
    """What was read of some clusters at one moment, with the history before it.

    A sample stands for the step that ends at its time; NaN is "no sample", never zero.

    Attributes:
        namespaces: `NAMESPACE_COLUMNS`, one row per namespace, sorted by cluster and name;
            `owner` is empty where the label is missing; `labels` is `key=value,...` by key.
        quotas: quota objects by cluster; a cluster that could not be read is missing.
        limited: by cluster of which only metrics were asked, the namespaces and quota keys
            (`limits.cpu`) of which containers had a limit.
        remembered: clusters whose `quotas` are not live: they are what the history saw last.
        regions: where each cluster is, `westeurope`; one that Azure did not show is missing.
        commitments: by cluster, then `cpu` (cores) and `memory` (bytes).
        used, hard: quota counters, UTC times x (cluster, namespace, quota key); cores and bytes.
            The highest `used` of each step, the last `hard` of it.
        latest_peaks: (cluster, namespace), then quota key, to the highest `used` since the last
            step that ended; missing where the moment of reading is the end of a step.
        usage_cpu, usage_memory: measured use, UTC times x (cluster, namespace); mean cores and
            highest bytes of each step. System namespaces are in it.
        requested: what pods ask for, UTC times x (cluster, namespace, `requests.cpu` or
            `requests.memory`), namespaces without a quota too; cores and bytes.
        nodes, pods, limit_ranges, workloads, autoscalers, events: as each cluster lists them; a
            cluster that could not be read is missing. Events are those of refused pods.
        runtime_classes: what each adds to its pods by name, of clusters where a template names one.
        safeguards: the namespaces left out, of each cluster that enforces Deployment Safeguards.
        unread: (cluster, kind such as `events`) to the reason, where only that could not be read.
        step_minutes: distance of two samples.
        unreachable: cluster to reason, where the quotas could not be read.
        no_commitment: cluster to reason, where only nodes or pods could not be read.
        no_history: cluster to reason, where a history was asked for and there is none.
        errors: cluster to the whole messages of what failed, one a line.
        created: (cluster, namespace) to the moment it was made, where the cluster says.
        granted: (cluster, namespace), then quota field, to the quota that Azure holds, of values
            of which the cluster shows another; it follows within minutes.
        history_note: what the history covers, and which clusters have none and why.
    """

    read_utc: datetime
    namespaces: pd.DataFrame
    quotas: Mapping[str, Sequence[QuotaStatus]]
    commitments: Mapping[str, Mapping[str, Commitment]]
    used: pd.DataFrame
    hard: pd.DataFrame
    usage_cpu: pd.DataFrame
    usage_memory: pd.DataFrame
    requested: pd.DataFrame = field(default_factory=lambda: no_series(QUOTA_SERIES))
    nodes: Mapping[str, Sequence[Node]] = field(default_factory=dict)
    pods: Mapping[str, Sequence[Pod]] = field(default_factory=dict)
    limit_ranges: Mapping[str, Sequence[LimitRange]] = field(default_factory=dict)
    workloads: Mapping[str, Sequence[Workload]] = field(default_factory=dict)
    autoscalers: Mapping[str, Sequence[Autoscaler]] = field(default_factory=dict)
    events: Mapping[str, Sequence[Event]] = field(default_factory=dict)
    runtime_classes: Mapping[str, Mapping[str, Mapping[str, Decimal]]] = field(default_factory=dict)
    safeguards: Mapping[str, Sequence[str]] = field(default_factory=dict)
    latest_peaks: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    peak_times: Mapping[tuple[str, str], Mapping[str, datetime]] = field(default_factory=dict)
    limited: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    remembered: Collection[str] = ()
    unread: Mapping[tuple[str, str], str] = field(default_factory=dict)
    regions: Mapping[str, str] = field(default_factory=dict)
    step_minutes: int = 60
    unreachable: Mapping[str, str] = field(default_factory=dict)
    no_commitment: Mapping[str, str] = field(default_factory=dict)
    no_history: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    created: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    granted: Mapping[tuple[str, str], Mapping[str, Decimal]] = field(default_factory=dict)
    history_note: str = ""

    @property
    def step(self) -> timedelta:
        """Distance of two samples, and the length of time that one stands for."""
        return timedelta(minutes=self.step_minutes)

    @cached_property
    def tightest_quotas(self) -> Mapping[str, Mapping[tuple[str, str], QuotaValue]]:
        """By cluster, then (namespace, quota key): the value that counts."""
        return {cluster: tightest_quotas(quotas) for cluster, quotas in self.quotas.items()}

    @cached_property
    def quota_rows(self) -> pd.DataFrame:
        """One row per namespace and quota field: what the value says that counts for it.

        `cluster_name`, `namespace_name`, `resource` (the field); `hard` and `used`, cores or bytes,
        and `utilization_ratio`, NaN where there is none; `verdict`, as `QuotaValue` has it, and
        `is_scoped`.
        """
        spaces = self.namespaces[SPACE]
        rows = spaces.loc[spaces.index.repeat(len(QUOTA_FIELDS))].reset_index(drop=True)
        found: list[tuple[Any, ...]] = []
        for cluster, name in names_of(spaces):
            values = self.tightest_quotas.get(cluster, {})
            for key in QUOTA_KEYS.values():
                value = values.get((name, key))
                if value is None:
                    found.append((None, None, None, NO_QUOTA, False))
                    continue
                hard, used = value.hard, value.used
                ratio = used / hard if hard and used is not None else None  # 1.2 of 3 is 0.4
                found.append((hard, used, ratio, value.verdict, value.is_scoped))
        kinds: dict[str, type] = dict.fromkeys(("hard", "used", "utilization_ratio"), float)
        kinds |= {"verdict": str, "is_scoped": bool}
        figures = pd.DataFrame(found, columns=list(kinds), index=rows.index).astype(kinds)
        fields = pd.Series(list(QUOTA_FIELDS) * len(spaces), dtype=str)
        return rows.assign(resource=fields).join(figures)

    @cached_property
    def pod_needs(self) -> Mapping[str, Sequence[Mapping[str, Decimal]]]:
        """What each of a cluster's `pods` counts for, in their order: see `mnslib.pods`."""
        return {cluster: list(map(charge, pods)) for cluster, pods in self.pods.items()}

    def admitted(self, cluster: str, namespace: str, pod: Pod, ranges: Iterable[LimitRange]) -> Pod:
        """Return a pod with what the cluster gives it before quotas see it: see `mnslib.pods`."""
        guards = self.safeguards.get(cluster)
        return with_defaults(
            pod,
            ranges,
            self.runtime_classes.get(cluster, {}),
            is_guarded=guards is not None and namespace not in guards,
        )

    @cached_property
    def free_nodes(self) -> Mapping[str, FreeNodes]:
        """What nodes still have, of each cluster whose nodes and pods were read."""
        return {
            cluster: FreeNodes(nodes, self.pods[cluster], self.pod_needs[cluster])
            for cluster, nodes in self.nodes.items()
            if cluster in self.pods
        }

    @property
    def uncommitted(self) -> Mapping[str, str]:
        """Cluster to reason, where what it has committed is unknown."""
        return {**self.no_commitment, **self.unreachable}

    @property
    def period(self) -> tuple[date, date]:
        """First and last UTC day of the lookback; a sample stands for the step before it."""
        times = self.used.index
        if len(times) == 0:
            return self.read_utc.date(), self.read_utc.date()
        return (times[0] - self.step).date(), (times[-1] - self.step).date()

    @cached_property
    def begun(self) -> datetime | None:
        """When the step of the first sample of all began; None without any."""
        found: list[datetime] = []
        for frame in (self.used, self.hard, self.usage_cpu, self.usage_memory, self.requested):
            rows = zip(frame.index, frame.to_numpy(copy=False), strict=True)
            seen = (time for time, row in rows if not np.isnan(row).all())
            found += [time for time in [next(seen, None)] if time is not None]
        return min(found) - self.step if found else None

    @property
    def history(self) -> str:
        """`history_note`, and where the history begins if that is later than the lookback does."""
        if self.begun is None or self.begun.date() <= self.period[0]:
            return self.history_note
        told = f"{day_text(self.begun)} {self.begun.year}"
        return f"{self.history_note} The history begins {told}: no sample is older."


class CleanSnapshot(Snapshot):
    """A snapshot in whose samples no zero is left that cannot be true: `evidence.with_evidence`.

    `used` and `hard` have a column for each of `quota_rows`, `usage_cpu` and `usage_memory` one for
    each namespace, and `requested` two, of CPU and of memory, all in the order of `namespaces`.
    """

    def samples(self, kind: str, resource: str) -> Values:
        """Return the samples of `cpu` or `memory`, times x namespaces, without a copy.

        Args:
            kind: `usage`, or `hard`, `used` or `requested` of the request quota.
        """
        name = f"usage_{resource}" if kind == "usage" else kind
        values: Values = getattr(self, name).to_numpy(copy=False)
        return values if kind == "usage" else values[:, columns_of(kind, f"{resource}_request")]

    def ratio(self, places: slice | Places) -> Values:
        """Return used over hard of some columns, as `against_quota` holds one against the other."""
        used, hard = (frame.to_numpy(copy=False)[:, places] for frame in (self.used, self.hard))
        return against_quota(used, hard)[2]


def columns_of(kind: str, field: str) -> slice:
    """Return which columns of a `CleanSnapshot` are on one quota field, one for each namespace.

    Args:
        kind: of the frame, `used`, `hard`, or `requested`, which has `REQUEST_FIELDS` only.
    """
    fields = REQUEST_FIELDS if kind == "requested" else QUOTA_FIELDS
    return slice(fields.index(field), None, len(fields))


def series_of(table: pd.DataFrame) -> pd.MultiIndex:
    """Return the column that each row on a quota field has in `used` and `hard`."""
    keys = table["resource"].map(QUOTA_KEYS)
    return pd.MultiIndex.from_arrays([*(table[name] for name in SPACE), keys], names=QUOTA_SERIES)


def by_namespace(items: Iterable[Item]) -> Mapping[str, Sequence[Item]]:
    """Return what one cluster listed by namespace; there is none where nothing was listed."""
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.namespace_name, []).append(item)
    return found


def wide_frame(
    times: pd.DatetimeIndex,
    series: Sequence[tuple[str, ...]],
    values: Values,
    *,
    names: Sequence[str],
) -> pd.DataFrame:
    """Return `values` (times x series) as a frame whose columns are a MultiIndex `names`."""
    columns = pd.MultiIndex.from_arrays(
        [pd.Index([key[level] for key in series], dtype=object) for level in range(len(names))],
        names=list(names),
    )
    return pd.DataFrame(values, index=times, columns=columns, copy=False)


def no_series(names: Sequence[str]) -> pd.DataFrame:
    """Return a wide frame of no series at no time."""
    times = pd.DatetimeIndex([], tz="UTC").as_unit("ns")
    return wide_frame(times, [], np.empty((0, 0), dtype=np.float32), names=names)
