"""Pods that Kubernetes refused to create: how often, what was short, and the raise that would help.

From events, which an API server drops an hour after they last happened (kube-apiserver,
`--event-ttl`): a count is a lower bound, and no event does not prove that nothing was refused
before. Pure; amounts are exact until they become a row.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

import pandas as pd

from mnslib.capacity.snapshot import Snapshot
from mnslib.kube_models import Event, QuotaStatus, Workload
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_ALIASES, QUOTA_KEYS
from mnslib.pods import pod_need, with_defaults
from mnslib.quantities import format_cpu, format_memory, parse_quantity

REFUSALS_COLUMNS = (
    "cluster_name",
    "namespace_name",
    "workload_kind",
    "workload_name",
    "owner",
    "count",
    "first_utc",
    "last_utc",
    "missing_pods",
    "problem",
    "quota_name",
    "key",
    "containers",
    "pod_requested",
    "used",
    "limited",
    "raise_one",
    "raise_all",
    "quota_one",
    "quota_all",
    "request_column",
    "message",
)
_AMOUNTS = ("missing_pods", "pod_requested", "used", "limited", "raise_one", "raise_all")
_TEXTS = ("quota_name", "key", "containers", "quota_one", "quota_all", "request_column")
WORKLOAD = REFUSALS_COLUMNS[:4]
EXCEEDED, MISSING, OTHER = "quota exceeded", "values missing", "other"

_FIELDS = {key: name for name, key in QUOTA_KEYS.items()}
# Source: apiserver, pkg/admission/plugin/resourcequota/controller.go, CheckRequest
_EXCEEDED_TEXT = re.compile(
    r"exceeded quota: (?P<quota>[^\s,]+), requested: (?P<requested>\S+), "
    r"used: (?P<used>\S+), limited: (?P<limited>\S+)"
)
# Source: the same place; older servers name no containers: `a,b`
_MISSING_TEXT = re.compile(
    r"failed quota: (?P<quota>[^\s:]+): must specify (?P<what>.+)", re.DOTALL
)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a message says: amounts by quota key in cores, bytes or counts.

    Attributes:
        problem: `EXCEEDED`, `MISSING` or `OTHER`, which has nothing else.
        missing: quota key to the containers that do not say it, empty where not named.
    """

    problem: str
    quota_name: str = ""
    requested: Mapping[str, Decimal] | None = None
    used: Mapping[str, Decimal] | None = None
    limited: Mapping[str, Decimal] | None = None
    missing: Mapping[str, str] | None = None


def read_message(message: str) -> Refusal:
    """Return what a `FailedCreate` message says of quotas; `OTHER` for what it does not."""
    if found := _EXCEEDED_TEXT.search(message):
        try:
            requested, used, limited = (
                {
                    key: parse_quantity(text)
                    for key, _, text in (pair.partition("=") for pair in found[name].split(","))
                }
                for name in ("requested", "used", "limited")
            )
        except ValueError:
            return Refusal(problem=OTHER)
        if requested.keys() == used.keys() == limited.keys():
            return Refusal(
                problem=EXCEEDED,
                quota_name=found["quota"],
                requested=requested,
                used=used,
                limited=limited,
            )
    if found := _MISSING_TEXT.search(message):
        parts = found["what"].split("; ") if " for: " in found["what"] else found["what"].split(",")
        missing = {key: names for key, _, names in (part.partition(" for: ") for part in parts)}
        if missing.keys() <= {*_FIELDS, "cpu", "memory"}:
            return Refusal(problem=MISSING, quota_name=found["quota"], missing=missing)
    return Refusal(problem=OTHER)


def refusals_table(snapshot: Snapshot) -> pd.DataFrame:
    """Return whose pods were refused and what would have let them in, the most often first.

    Returns:
        `REFUSALS_COLUMNS`, one row per workload and what it was short of, so that `count` (times
        a pod was refused, as far as events still tell), `first_utc` and `last_utc` repeat.
        `missing_pods` are wanted and not there; 0 where only a rollout's extra pod was refused,
        NaN where the workload was not read. `key` is the quota key; `pod_requested`, `used` and
        `limited` are cores, bytes or counts as the newest message has them, and for keys that
        only all missing pods together exceed, as template and quota say now. `raise_one` lets one
        pod in and `raise_all` all missing ones, rounded up to what a request file can say;
        `quota_one`, `quota_all` are the values to write, in the request file's `request_column`
        where the quota is the managed one. `containers` do not say the `key`.
    """
    rows: list[dict[str, object]] = []
    spaces = snapshot.namespaces
    places = zip(spaces["cluster_name"], spaces["namespace_name"], strict=True)
    owners = dict(zip(places, spaces["owner"], strict=True))
    for cluster, events in snapshot.events.items():
        workloads = {
            (one.namespace_name, one.kind, one.name): one
            for one in snapshot.workloads.get(cluster, ())
        }
        for (namespace, kind, name), found in _by_workload(events).items():
            newest = max(found, key=lambda one: one.last_utc or _LONG_AGO)
            own = (namespace, newest.object_kind, newest.object_name)  # a Job knows its pods
            workload = workloads.get(own) or workloads.get((namespace, kind, name))
            times = [at for one in found for at in (one.first_utc, one.last_utc) if at]
            about = {
                "cluster_name": cluster,
                "namespace_name": namespace,
                "workload_kind": kind,
                "workload_name": name,
                "owner": owners.get((cluster, namespace), ""),
                "count": sum(one.count for one in found),
                "first_utc": min(times, default=None),
                "last_utc": max(times, default=None),
                "missing_pods": workload and max(0, workload.replicas - workload.running),
                "message": newest.message,
            }
            rows += [about | part for part in _parts(snapshot, cluster, newest, workload)]
    frame = pd.DataFrame(rows, columns=list(REFUSALS_COLUMNS))
    frame = frame.astype(dict.fromkeys(_AMOUNTS, "float64") | {"count": "int64"})
    for name in ("first_utc", "last_utc"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    order = ["count", *WORKLOAD]
    ascending = [False, *[True] * len(WORKLOAD)]
    return frame.sort_values(order, ascending=ascending, kind="stable", ignore_index=True)


def refusal_findings(table: pd.DataFrame) -> dict[str, int]:
    """Return how many workloads had pods refused, and how often.

    Args:
        table: from `refusals_table`.
    """
    once = table.drop_duplicates(list(WORKLOAD))
    return {"refused_workloads": len(once), "refused_pods": int(once["count"].sum())}


def _by_workload(events: Sequence[Event]) -> dict[tuple[str, str, str], list[Event]]:
    found: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
    for one in events:
        kind, name = one.workload_kind or one.object_kind, one.workload_name or one.object_name
        found[one.namespace_name, kind, name].append(one)
    return found


def _parts(
    snapshot: Snapshot, cluster: str, event: Event, workload: Workload | None
) -> Iterator[dict[str, object]]:
    """Yield what the newest refusal was short of, one by one."""
    refusal = read_message(event.message)
    base: dict[str, object] = dict.fromkeys(_TEXTS, "")
    base |= {"problem": refusal.problem, "quota_name": refusal.quota_name}
    if refusal.problem == OTHER:
        yield base
    for key, containers in (refusal.missing or {}).items():
        yield base | {"key": key, "containers": containers}
    if refusal.problem != EXCEEDED:
        return
    pods = None if workload is None else max(1, workload.replicas - workload.running)
    said = _said(refusal)
    for key, amounts in said.items():
        yield base | _raises(refusal.quota_name, key, amounts, pods)
    if workload is None or pods is None:
        return
    ranges = snapshot.limit_ranges.get(cluster, ())
    own = [one for one in ranges if one.namespace_name == event.namespace_name]
    need = pod_need(with_defaults(workload.template, own)) | {"pods": Decimal(1)}
    need |= {alias: need[key] for alias, key in QUOTA_ALIASES.items()}
    for quota in snapshot.quotas.get(cluster, ()):
        if quota.namespace_name != event.namespace_name or quota.is_scoped:
            continue
        known = said if quota.name == refusal.quota_name else {}
        for key, amounts in _now(quota, need).items():
            requested, used, limited = amounts
            if key not in known and used + pods * requested > limited and requested:
                yield base | _raises(quota.name, key, amounts, pods)


_Triple = tuple[Decimal, Decimal, Decimal]


def _said(refusal: Refusal) -> dict[str, _Triple]:
    """Return requested, used and limited by key, as the message has them."""
    used, limited = refusal.used or {}, refusal.limited or {}
    return {
        key: (amount, used[key], limited[key]) for key, amount in (refusal.requested or {}).items()
    }


def _now(quota: QuotaStatus, need: Mapping[str, Decimal]) -> dict[str, _Triple]:
    """Return the same of what template and quota say, in the quota's order."""
    return {
        key: (need[key], quota.used[key], hard)
        for key, hard in quota.hard.items()
        if key in need and key in quota.used
    }


def _raises(quota_name: str, key: str, amounts: _Triple, pods: int | None) -> dict[str, object]:
    requested, used, limited = amounts
    one = _sayable(key, max(limited, used + requested))
    every = None if pods is None else _sayable(key, max(limited, used + pods * requested))
    managed = quota_name == MANAGED_QUOTA_NAME
    return {
        "quota_name": quota_name,
        "key": key,
        "pod_requested": requested,
        "used": used,
        "limited": limited,
        "raise_one": one - limited,
        "raise_all": None if every is None else every - limited,
        "quota_one": _text(key, one),
        "quota_all": "" if every is None else _text(key, every),
        "request_column": _FIELDS.get(key, "") if managed else "",
    }


def _sayable(key: str, amount: Decimal) -> Decimal:
    """Return the amount rounded up to whole millicores, KiB or pieces."""
    unit = Decimal(1024) if key.endswith("memory") else Decimal(1)
    unit = Decimal("0.001") if key.endswith("cpu") else unit
    return (amount / unit).to_integral_value(ROUND_CEILING) * unit


def _text(key: str, amount: Decimal) -> str:
    if key.endswith("cpu"):
        return format_cpu(amount)
    return format_memory(amount) if key.endswith("memory") else str(int(amount))
