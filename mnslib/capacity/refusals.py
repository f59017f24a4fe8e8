"""Pods that Kubernetes refused to create: how often, what was short, and the raise that would help.

From events, which an API server drops an hour after they last happened (kube-apiserver,
`--event-ttl`): a count is a lower bound, and no event does not prove that nothing was refused
before. Pure; amounts are exact until they become a row.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pandas as pd

from mnslib.capacity.quota_values import names_of
from mnslib.capacity.snapshot import Snapshot
from mnslib.kube_models import Event, QuotaStatus, Workload
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_ALIASES, QUOTA_KEYS
from mnslib.packaged import packaged
from mnslib.pods import charge, holds
from mnslib.quantities import ZERO, format_cpu, format_memory, read_quantity

REFUSALS_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["refusals"])
_AMOUNTS = ("missing_pods", "pod_requested", "used", "limited", "raise_one", "raise_all")
_TEXTS = ["quota_name", "key", "containers", "quota_one", "quota_all", "request_column"]
WORKLOAD = REFUSALS_COLUMNS[:4]
EXCEEDED, MISSING, OTHER = "quota exceeded", "values missing", "other"

QUOTA_FIELD_OF = {key: name for name, key in QUOTA_KEYS.items()}
QUOTA_FIELD_OF |= {
    alias: QUOTA_FIELD_OF[key] for alias, key in QUOTA_ALIASES.items() if key in QUOTA_FIELD_OF
}
"""Quota key, in either spelling, to quota field."""

# Source: apiserver, pkg/admission/plugin/resourcequota/controller.go, CheckRequest
_EXCEEDED_TEXT = re.compile(
    r"exceeded quota: (?P<quota>[^\s,]+), requested: (?P<requested>\S+), "
    r"used: (?P<used>\S+), limited: (?P<limited>\S+)"
)
# Source: the same place; older servers name no containers: `a,b`
_MISSING_TEXT = re.compile(
    r"failed quota: (?P<quota>[^\s:]+): must specify (?P<what>.+)", re.DOTALL
)
_UNITS: Mapping[str, tuple[Decimal, Callable[[Decimal], str]]] = {
    "cpu": (Decimal("0.001"), format_cpu),
    "memory": (Decimal(1024), format_memory),
    "": (Decimal(1), lambda amount: str(int(amount))),
}
"""Of a key's ending, what an amount is rounded up to, and how it is written."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_LISTED = frozenset({"Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"})
"""Kinds that `Snapshot.workloads` has all of."""


def read_message(message: str) -> list[dict[str, Any]]:
    """Return what a `FailedCreate` message says of quotas, in the columns of `refusals_table`.

    That is a part for each key that was short, or that containers do not say; of a message that
    says something else one part with nothing but the `problem`, `OTHER`.
    """
    if found := _EXCEEDED_TEXT.search(message):
        try:
            requested, used, limited = (
                {
                    key: read_quantity(text)
                    for key, _, text in (pair.partition("=") for pair in found[name].split(","))
                }
                for name in ("requested", "used", "limited")
            )
        except ValueError:
            return [{"problem": OTHER}]
        if requested.keys() == used.keys() == limited.keys():
            return [
                _short(
                    found["quota"], key, pod_requested=amount, used=used[key], limited=limited[key]
                )
                for key, amount in requested.items()
            ]
    if found := _MISSING_TEXT.search(message):
        parts = found["what"].split("; ") if " for: " in found["what"] else found["what"].split(",")
        missing = {key: names for key, _, names in (part.partition(" for: ") for part in parts)}
        if missing.keys() <= QUOTA_FIELD_OF.keys():
            said = {"problem": MISSING, "quota_name": found["quota"]}
            return [said | {"key": key, "containers": names} for key, names in missing.items()]
    return [{"problem": OTHER}]


def refusals_table(snapshot: Snapshot) -> pd.DataFrame:
    """Return whose pods were refused and what would have let them in, the most often first.

    Returns:
        `REFUSALS_COLUMNS` (docs/tables.md), one row per workload and what it was short of, so that
        `count`, `first_utc` and `last_utc` repeat. `missing_pods` is 0 where only a rollout's extra
        pod was refused, NaN where the workload was not read. What a pod asks for is that of the
        newest message, and for keys that only all missing pods together exceed, that of the
        template; `used` and `limited` are those of now. Raises are rounded up to what a request
        file can say, and 0 where the refusal is over: see `_is_over`.
    """
    rows: list[dict[str, object]] = []
    spaces = snapshot.namespaces
    owners = dict(zip(names_of(spaces), spaces["owner"], strict=True))
    for cluster, events in snapshot.events.items():
        workloads = {
            (one.namespace_name, one.kind, one.name): one
            for one in snapshot.workloads.get(cluster, ())
        }
        by_workload: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
        for one in events:
            kind, name = one.workload_kind or one.object_kind, one.workload_name or one.object_name
            by_workload[one.namespace_name, kind, name].append(one)
        for (namespace, kind, name), found in by_workload.items():
            about: dict[str, object] = {
                **dict.fromkeys(_TEXTS, ""),
                "cluster_name": cluster,
                "namespace_name": namespace,
                "workload_kind": kind,
                "workload_name": name,
                "owner": owners.get((cluster, namespace), ""),
            }
            rows += [about | part for part in _parts(found, snapshot, cluster, workloads)]
    frame = pd.DataFrame(rows, columns=list(REFUSALS_COLUMNS))
    frame = frame.astype(dict.fromkeys(_AMOUNTS, "float64") | {"count": "int64"})
    for name in ("first_utc", "last_utc"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    order = ["count", *WORKLOAD]
    ascending = [False, *[True] * len(WORKLOAD)]
    return frame.sort_values(order, ascending=ascending, kind="stable", ignore_index=True)


def _parts(
    found: Sequence[Event],
    snapshot: Snapshot,
    cluster: str,
    workloads: Mapping[tuple[str, str, str], Workload],
) -> list[dict[str, Any]]:
    """Return what a workload whose pods were refused is short of, a row for each of its amounts."""
    stuck = [one for one in found if _lacking(one, snapshot, cluster, workloads) != 0]
    newest = max(stuck or found, key=lambda one: one.last_utc or _LONG_AGO)
    own = (newest.namespace_name, newest.object_kind, newest.object_name)  # a Job knows its pods
    maker = (newest.namespace_name, newest.workload_kind, newest.workload_name)
    workload = workloads.get(own) or workloads.get(maker)
    times = [at for one in found for at in (one.first_utc, one.last_utc) if at]
    about = {
        "count": sum(one.count for one in found),
        "first_utc": min(times, default=None),
        "last_utc": max(times, default=None),
        "missing_pods": workload and max(0, workload.replicas - workload.running),
        "message": newest.message,
    }
    parts = read_message(newest.message)
    if parts[0]["problem"] == EXCEEDED:
        quotas, own_quotas = snapshot.quotas.get(cluster), None
        if quotas is not None:
            own_quotas = {q.name: q for q in quotas if q.namespace_name == newest.namespace_name}
        if not stuck or any(_is_over(part, newest, own_quotas) for part in parts):
            parts = [part | {"raise_one": ZERO, "raise_all": ZERO} for part in parts]
        else:
            parts = _with_raises(parts, snapshot, cluster, workload, own_quotas or {})
    return [about | part for part in parts]


def _lacking(
    event: Event,
    snapshot: Snapshot,
    cluster: str,
    workloads: Mapping[tuple[str, str, str], Workload],
) -> int | None:
    """Return how many pods the object of an event still wants, 0 where it is gone; None: unknown.

    Of a ReplicaSet that a run of before kept without its pods, what made it says so.
    """
    if event.lacking is not None or cluster not in snapshot.workloads:
        return event.lacking
    for kind, name in (
        (event.object_kind, event.object_name),
        (event.workload_kind, event.workload_name),
    ):
        if found := workloads.get((event.namespace_name, kind, name)):
            return max(0, found.replicas - found.running)
        if kind in _LISTED:
            return 0
    return None


def _is_over(
    part: Mapping[str, Any], event: Event, quotas: Mapping[str, QuotaStatus] | None
) -> bool:
    """Return whether the quota of now is another than the one that refused: gone, or changed since.

    Args:
        quotas: those of the namespace by name; None where they were not read.
    """
    if quotas is None:
        return False
    quota = quotas.get(part["quota_name"])
    if quota is None or quota.hard.get(part["key"]) != part["limited"]:
        return True
    written = [at for at in (quota.created_utc, quota.changed_utc) if at]
    return event.last_utc is not None and max(written, default=_LONG_AGO) > event.last_utc


def _with_raises(
    parts: Sequence[dict[str, Any]],
    snapshot: Snapshot,
    cluster: str,
    workload: Workload | None,
    quotas: Mapping[str, QuotaStatus],
) -> list[dict[str, Any]]:
    """Return what the newest refusal was short of, one by one, with the raise that helps now.

    First what the message says; then the keys of every quota that only all missing pods together
    exceed, as the template and the quotas say now.
    """
    now = []
    for part in parts:
        used = quotas[part["quota_name"]].used if part["quota_name"] in quotas else {}
        now.append(part | {"used": used.get(part["key"], part["used"])})
    if workload is None:
        return [part | _raises(part, one=1) for part in now]
    said = {(part["quota_name"], part["key"]) for part in parts}
    pods = max(1, workload.replicas - workload.running)
    ranges = snapshot.limit_ranges.get(cluster, ())
    own = [one for one in ranges if one.namespace_name == workload.namespace_name]
    pod = snapshot.admitted(cluster, workload.namespace_name, workload.template, own)
    need = charge(pod)
    for quota in quotas.values():
        if holds(quota, pod):
            now += [
                _short(quota.name, key, pod_requested=need[key], used=quota.used[key], limited=hard)
                for key, hard in quota.hard.items()
                if need.get(key) and key in quota.used and (quota.name, key) not in said
                if quota.used[key] + pods * need[key] > hard
            ]
    return [part | _raises(part, one=1, all=pods) for part in now]


def _short(quota_name: str, key: str, **amounts: Decimal) -> dict[str, Any]:
    """Return the part of a key that is short for one pod, or for all."""
    column = QUOTA_FIELD_OF.get(key, "") if quota_name == MANAGED_QUOTA_NAME else ""
    part = {"problem": EXCEEDED, "quota_name": quota_name, "key": key, "request_column": column}
    return part | amounts


def _raises(part: Mapping[str, Any], **pods: int) -> dict[str, Any]:
    """Return by how much a quota has to rise for so many pods, and to what."""
    row: dict[str, Any] = {}
    for name, count in pods.items():
        needed = max(part["limited"], part["used"] + count * part["pod_requested"])
        enough, row[f"quota_{name}"] = writable(part["key"], needed)
        row[f"raise_{name}"] = enough - part["limited"]
    return row


def writable(key: str, amount: Decimal) -> tuple[Decimal, str]:
    """Return an amount of a quota key, rounded up to what a request file can say, and its text."""
    unit, text = next(way for ending, way in _UNITS.items() if key.endswith(ending))
    enough = (amount / unit).to_integral_value(ROUND_CEILING) * unit
    return enough, text(enough)


# What the refusals come to


def refusal_findings(table: pd.DataFrame) -> dict[str, int]:
    """Return how many workloads had pods refused, and how often.

    Args:
        table: from `refusals_table`.
    """
    once = table.drop_duplicates(list(WORKLOAD))
    return {"refused_workloads": len(once), "refused_pods": int(once["count"].sum())}


def worst_refusals(snapshot: Snapshot, table: pd.DataFrame) -> dict[str, Any]:
    """Return whose pods were refused most, and of which clusters that is unknown and why."""
    unread = {place: why for (place, kind), why in snapshot.unread.items() if kind == "events"}
    return {
        "workloads": refusal_findings(table)["refused_workloads"],
        "worst": table.head(1).to_dict("records"),
        "unread": dict(sorted({**unread, **snapshot.unreachable}.items())),
        "is_read": bool(snapshot.events),
    }


def refused_workloads(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """Return of each workload in `refusals_table` its first row, and all of its `parts`.

    A part says the `field` of the quota (empty where it is none of Azure's), `more`: what the value
    lacks, and the quota `needed`. `short` are those that one pod more needs a raise of, `every`
    those that all missing pods do; `names` are the containers that do not say a value.
    """
    more = smallest_raises(table)
    fields = table["key"].map(QUOTA_FIELD_OF).fillna("")
    rows = table.assign(field=fields, more=more, needed=table["limited"] + more)
    found: dict[tuple[Any, ...], list[dict[Any, Any]]] = {}
    for part in rows.to_dict("records"):
        found.setdefault(tuple(part[name] for name in WORKLOAD), []).append(part)
    return [
        {
            **parts[0],
            "parts": parts,
            "names": sorted({n for part in parts for n in part["containers"].split(",") if n}),
            "short": [part for part in parts if part["raise_one"] > 0],
            "every": [part for part in parts if part["raise_all"] > 0],
        }
        for parts in found.values()
    ]


def smallest_raises(table: pd.DataFrame) -> pd.Series[float]:
    """Return what each value lacks for all missing pods, or for one where no more is known."""
    return table[["raise_one", "raise_all"]].astype(float).fillna(0.0).max(axis=1)
