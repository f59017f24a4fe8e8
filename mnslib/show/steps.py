"""The steps of all namespaces as a table, and those that a request file can say as one.

Pure: frames in, frames out. What a step is, is the business of `needs`; why it is asked for stands
here in a few words, as decisions and owners' pages say it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pandas as pd

from mnslib.capacity.fit import LIMITED, NO
from mnslib.capacity.quota_values import FULL, SPACE
from mnslib.capacity.snapshot import Snapshot
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_FIELDS, QUOTA_KEYS, format_quota_value
from mnslib.quantities import parse_quantity
from mnslib.show import wording
from mnslib.show.needs import (
    GIVE_BACK,
    LOWER,
    RAISE,
    Place,
    Row,
    Step,
    place,
    records,
    steps_of,
    times_refused,
)
from mnslib.show.room import answer_words

STEPS_COLUMNS = (
    *SPACE, "owner", "kind", "resource", "from", "to", "request", "reason",
)  # fmt: skip
REQUEST_COLUMNS = ("subscription_id", "resource_group", *SPACE, *QUOTA_FIELDS)


def steps_table(
    snapshot: Snapshot,
    *,
    utilization: pd.DataFrame,
    layers: pd.DataFrame,
    refusals: pd.DataFrame,
    fit: pd.DataFrame,
) -> pd.DataFrame:
    """Return what every namespace needs next, the most urgent first: a row for each amount.

    Args:
        snapshot: what was read; its quota objects say what a request can change.
        utilization, layers, refusals, fit: as notebook 40 saves them.

    Returns:
        `STEPS_COLUMNS`, `from` and `to` in cores or bytes, NaN where there is no amount. `request`
        is `to` as a request file says it; empty where such a file cannot change the value: the
        namespace is not managed by Azure, or another quota object than Azure's decides.
    """
    tables = {"utilization": utilization, "layers": layers, "refusals": refusals, "fit": fit}
    managed = _managed_quotas(snapshot)
    rows = [
        [*place(step.space), step.space["owner"], step.kind, *amount, why(step)]
        for step in sorted(steps_of(tables).values(), key=lambda step: step.rank)
        for amount in _amounts(step, managed.get(place(step.space), {}))
    ]
    return pd.DataFrame(rows, columns=list(STEPS_COLUMNS))


def step_requests(steps: pd.DataFrame, snapshot: Snapshot) -> pd.DataFrame:
    """Return the request file of the steps: a row per namespace, cells only for what changes.

    Args:
        steps: from `steps_table`.
        snapshot: of the same run; it says where each cluster is.
    """
    wanted: dict[Place, dict[str, str]] = {}
    for row in records(steps[steps["request"] != ""]):
        wanted.setdefault(place(row), {})[row["resource"]] = row["request"]
    where = {place(row): row for row in records(snapshot.namespaces)}
    rows = [
        [
            where[at]["subscription_id"],
            where[at]["resource_group"],
            at[0].rpartition("/")[2],  # names that two clusters share are told apart by their ids
            at[1],
            *(cells.get(name, "") for name in QUOTA_FIELDS),
        ]
        for at, cells in wanted.items()
    ]
    return pd.DataFrame(rows, columns=list(REQUEST_COLUMNS))


def _managed_quotas(snapshot: Snapshot) -> dict[Place, Mapping[str, Decimal]]:
    """Return what Azure's own quota object says, of the namespaces that Azure manages."""
    namespaces = snapshot.namespaces
    is_managed = namespaces["is_managed"].astype(bool) & (namespaces["subscription_id"] != "")
    managed = {place(row) for row in records(namespaces[is_managed])}
    return {
        (cluster, quota.namespace_name): quota.hard
        for cluster, quotas in snapshot.quotas.items()
        for quota in quotas
        if quota.name == MANAGED_QUOTA_NAME and (cluster, quota.namespace_name) in managed
    }


def _amounts(step: Step, managed: Mapping[str, Decimal]) -> Iterator[tuple[str, float, float, str]]:
    """Yield what changes: the resource, from, to, and the latter as a request file says it."""
    if step.kind == LOWER:
        for row in step.rows:
            yield row["resource"], row["requested"], math.nan, ""
        return
    for name, (now, then) in step.quotas.items():
        is_own = float(managed.get(QUOTA_KEYS[name], math.nan)) == now
        yield name, now, then, _request(name, then) if is_own else ""
    if not step.quotas:
        yield "", math.nan, math.nan, ""


def _request(name: str, amount: float) -> str:
    """Return an amount as a request file says it, rounded up to whole millicores or KiB."""
    unit = parse_quantity("1m" if name.startswith("cpu") else "1Ki")
    exact = Decimal(str(amount)) / unit
    return format_quota_value(name, exact.to_integral_value(ROUND_CEILING) * unit)


def why(step: Step) -> str:
    """Return in a few words why a step is asked for."""
    if step.kind == LOWER:
        return "; ".join(["its requests are not used", *stuck(step.gaps)])
    if step.kind == GIVE_BACK:
        return "never asked for"
    parts = []
    if step.refusals:
        parts.append(f"pods were refused {wording.count(times_refused(step.refusals), 'time')}")
    if step.kind == RAISE and step.rows:
        is_full = any(row["verdict"] == FULL for row in step.rows)
        parts.append("full" if is_full else "nearly full")
    parts += [f"short of {short} for the next pod" for short in _short(step.gaps)]
    return "; ".join([*parts, *stuck(step.gaps)])


def _short(gaps: Iterable[Row]) -> list[str]:
    """Return the most that a next pod lacks of each value, such as `3.5 GiB of memory requests`."""
    lacks: dict[str, float] = {}
    for row in gaps:
        for name in LIMITED:
            if (left := row[f"left_{name}"]) < 0:
                lacks[name] = max(-left, lacks.get(name, 0.0))
    return [
        wording.count(int(lack), "pod")
        if name == "pods"
        else f"{wording.quantity(name, lack)} of {wording.RESOURCE_WORDS[name]}"
        for name, lack in lacks.items()
    ]


def stuck(gaps: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return why the next pods do not start whatever the quota: no node, or what is not set."""
    found = []
    for row in gaps:
        size = f"{wording.cores(row['pod_cpu'])}, {wording.memory(row['pod_memory'])}"
        if row["unplaced_pods"] > 0:
            found.append(f"no node has room for the next pod of {row['workload_name']} ({size})")
        elif row["reason"] != "quota":
            words = answer_words({**row, "kind": NO})
            found.append(f"the next pod of {row['workload_name']} {words}")
    return found


def no_room(cluster: str, resource: str, *, room: float, wanted: float) -> str:
    """Return that a cluster's room is smaller than what its namespaces need together."""
    has = f"room for {wording.quantity(resource, room)} of" if room else "no room for"
    return f"{cluster} has {has} the {wording.quantity(resource, wanted)}"
