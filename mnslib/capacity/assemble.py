"""From the readings of many clusters to one `Snapshot`: rows of namespaces, wide frames.

Pure: asks nobody, decides nothing.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnslib.capacity.quota_values import tightest_quotas
from mnslib.capacity.snapshot import (
    NAMESPACE_COLUMNS,
    QUOTA_SERIES,
    USAGE_SERIES,
    Snapshot,
    wide_frame,
)
from mnslib.models import MANAGED_QUOTA_NAME
from mnslib.requests.rules import SYSTEM_NAMESPACES
from mnslib.secrets import shown

if TYPE_CHECKING:
    from mnslib.capacity.history import Block
    from mnslib.capacity.present import Reading
    from mnslib.capacity.snapshot import Values
    from mnslib.kube_models import QuotaStatus


def assemble(
    readings: Sequence[Reading],
    *,
    times: pd.DatetimeIndex,
    step: timedelta,
    now: datetime,
    owner_label: str,
    history_note: str,
) -> Snapshot:
    """Return one snapshot of all readings, each under its display name `reading.name`."""
    rows: list[dict[str, object]] = []
    past = _Past()
    for reading in readings:
        quotas = _quotas_of(reading, step=step)
        found = _namespace_rows(reading, quotas, owner_label=owner_label)
        rows += found
        past.take(reading, quotas, {row["namespace_name"] for row in found})
    namespaces = pd.DataFrame(rows, columns=list(NAMESPACE_COLUMNS))
    named = {reading.name: reading for reading in readings}
    return Snapshot(
        read_utc=now.astimezone(UTC),
        namespaces=namespaces.sort_values(list(USAGE_SERIES), ignore_index=True),
        quotas={n: r.quotas for n, r in named.items() if r.quotas is not None},
        regions={n: r.region for n, r in named.items() if r.region},
        commitments={n: r.commitments for n, r in named.items() if r.commitments is not None},
        used=past.used.frame(times, names=QUOTA_SERIES),
        hard=past.hard.frame(times, names=QUOTA_SERIES),
        latest_peaks=past.latest,
        requested=past.requested.frame(times, names=QUOTA_SERIES),
        usage_cpu=past.usage_cpu.frame(times, names=USAGE_SERIES),
        usage_memory=past.usage_memory.frame(times, names=USAGE_SERIES),
        nodes=_listed(named, "nodes"),
        pods=_listed(named, "pods"),
        limit_ranges=_listed(named, "limit_ranges"),
        workloads=_listed(named, "workloads"),
        autoscalers=_listed(named, "autoscalers"),
        events=_listed(named, "events"),
        remembered=[name for name, found in named.items() if found.is_remembered],
        unread={(n, kind): why for n, r in named.items() for kind, why in r.unread.items()},
        step_minutes=int(step / timedelta(minutes=1)),
        unreachable={n: r.unreachable for n, r in named.items() if r.unreachable},
        no_commitment={n: r.no_commitment for n, r in named.items() if r.no_commitment},
        no_history={n: r.no_history for n, r in named.items() if r.no_history},
        errors={n: "\n".join(r.errors) for n, r in named.items() if r.errors},
        created={
            (reading.name, space.name): space.created_utc
            for reading in readings
            for space in reading.namespaces.values()
            if space.created_utc is not None
        },
        history_note=history_note,
    )


def _listed(named: Mapping[str, Reading], kind: str) -> dict[str, Sequence[Any]]:
    return {name: found.lists[kind] for name, found in named.items() if kind in found.lists}


class _Columns:
    """Chosen series of many clusters, to become one wide frame."""

    def __init__(self) -> None:
        self._series: list[tuple[str, ...]] = []
        self._rows: list[Values] = []

    def add(self, block: Block, wanted: Mapping[tuple[str, ...], tuple[str, ...]]) -> None:
        for series, row in zip(block.series, block.rows, strict=True):
            if series in wanted:
                self._series.append(wanted[series])
                self._rows.append(row)

    def frame(self, times: pd.DatetimeIndex, *, names: Sequence[str]) -> pd.DataFrame:
        """Return the frame; each row is let go once it is in it."""
        values = np.empty((len(self._rows), len(times)), dtype=np.float32)
        for place in range(len(self._rows) - 1, -1, -1):
            values[place] = self._rows.pop()
        return wide_frame(times, self._series, values.T, names=names)


@dataclass(slots=True)
class _Past:
    """The samples of all clusters, each kind on its way into one frame."""

    used: _Columns = field(default_factory=_Columns)
    hard: _Columns = field(default_factory=_Columns)
    requested: _Columns = field(default_factory=_Columns)
    usage_cpu: _Columns = field(default_factory=_Columns)
    usage_memory: _Columns = field(default_factory=_Columns)
    latest: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    def take(
        self, reading: Reading, quotas: Sequence[QuotaStatus], namespaces: Container[object]
    ) -> None:
        """Move the history of one cluster here, so that it is held once."""
        history, reading.history = reading.history, None
        if history is None:
            return
        cluster = reading.name
        wanted = _quota_series(cluster, quotas, namespaces)
        self.used.add(history.used, wanted)
        self.hard.add(history.hard, wanted)
        for series in wanted.keys() & history.latest.keys():
            _, namespace, key = wanted[series]
            self.latest.setdefault((cluster, namespace), {})[key] = history.latest[series]
        self.requested.add(
            history.requested,
            {
                (name, kind): (cluster, name, f"requests.{kind}")
                for name, kind in history.requested.series
            },
        )
        for columns, block in (
            (self.usage_cpu, history.usage_cpu),
            (self.usage_memory, history.usage_memory),
        ):
            columns.add(block, {series: (cluster, *series) for series in block.series})


def _quotas_of(reading: Reading, *, step: timedelta) -> Sequence[QuotaStatus]:
    """Return the live quotas, or where the cluster was not read, those that history saw last."""
    if reading.quotas is not None:
        return reading.quotas
    return reading.history.last_quotas(step=step) if reading.history is not None else ()


def _managed_names(reading: Reading, quotas: Sequence[QuotaStatus]) -> frozenset[str]:
    """Return the managed namespaces, or where Azure did not list them, those that look so."""
    if reading.managed is not None:
        return frozenset(reading.managed)
    look_so = {quota.namespace_name for quota in quotas if quota.name == MANAGED_QUOTA_NAME}
    return frozenset(look_so - SYSTEM_NAMESPACES)


def _namespace_rows(
    reading: Reading, quotas: Sequence[QuotaStatus], *, owner_label: str
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
            "labels": _label_text(_labels(reading, name)),
        }
        for name in managed | (others - SYSTEM_NAMESPACES)
    ]


def _labels(reading: Reading, name: str) -> Mapping[str, str]:
    """Return the labels on the cluster, or where it was not read, those that Azure holds."""
    found = reading.namespaces.get(name) or (reading.managed or {}).get(name)
    return found.labels if found is not None else {}


def _label_text(labels: Mapping[str, str]) -> str:
    """Return labels as `key=value,...`, as kubectl writes them: no key or value holds either."""
    return ",".join(f"{key}={shown(key, value)}" for key, value in sorted(labels.items()))


def _quota_series(
    cluster_name: str, quotas: Sequence[QuotaStatus], namespaces: Container[object]
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return the column for each series that counts: that of the tightest quota object now."""
    return {
        (namespace, value.quota_name, value.key): (cluster_name, namespace, key)
        for (namespace, key), value in tightest_quotas(quotas).items()
        if namespace in namespaces
    }
