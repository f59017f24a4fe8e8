"""What the metrics show: seeded hours before the state began, the live state after it.

Each namespace is a step function: times, and what held from each time on. Before seeding the steps
are hours, computed from data (workloads and their shape) and the absolute hour, so they are the
same every time they are asked for.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mnslib.sandbox.amounts import parse
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Json

HOUR = 3600  # seconds: the grain of the seeded past
DAYS = 30  # of seeded past
_BURST_HOURS = 4
_BURST_FACTOR = 1.9
_DEFAULTS: Json = {"shape": "office", "cpu": 0.4, "memory": 0.55}
# What a container without requests is taken to use, as a stand-in: 100m and 128Mi for a pod.
_BARE = {"cpu": 0.1, "memory": 128.0 * 1024**2}
_MEASURES = {"cpu": "requests.cpu", "memory": "requests.memory"}

Row = dict[tuple[str, str, str], float]


@dataclass(slots=True)
class Steps:
    """One namespace over time: `times[i]` is when row i begins; rows end where the next begins.

    `series` has a column per measure: ("used" or "hard", quota, resource), ("requested", "", `cpu`
    or `memory`), ("usage_cpu" or "usage_memory", "", ""); None is "no sample".
    """

    times: list[float] = field(default_factory=list)
    series: dict[tuple[str, str, str], list[float | None]] = field(default_factory=dict)

    def add(self, at: float, values: Row) -> None:
        """Append a row, or replace the last one of that moment; what it lacks has no sample."""
        if self.times and self.times[-1] >= at:
            for column in self.series.values():
                column.pop()
            self.times.pop()
        for key in values.keys() - self.series.keys():
            self.series[key] = [None] * len(self.times)
        self.times.append(at)
        for key, column in self.series.items():
            column.append(values.get(key))


def cluster_steps(state: State, cluster: str) -> dict[str, Steps]:
    """Return the steps of every namespace of a cluster, up to now."""
    specs: Json = state.meta("history", {}).get(cluster, {})
    seeded = float(state.meta("seed_time"))
    past = state.history_cache.setdefault(cluster, {})
    live: dict[str, list[tuple[float, Json]]] = {}
    for namespace, at, doc in state.samples(cluster):
        live.setdefault(namespace, []).append((at, doc))
    result = {}
    for namespace in sorted(specs.keys() | live.keys()):
        spec = _DEFAULTS | specs.get(namespace, {}) | {"name": namespace}
        if namespace in specs and namespace not in past:
            past[namespace] = _past(spec, seeded)
        steps = Steps()
        if namespace in past:
            old: Steps = past[namespace]
            steps = Steps(list(old.times), {key: list(col) for key, col in old.series.items()})
        _append_live(steps, spec, live.get(namespace, []), state.now())
        result[namespace] = steps
    return result


def node_steps(state: State, cluster: str) -> Steps:
    """Return what each node gives, as if it had been there all along: ("node", name, resource)."""
    steps = Steps()
    values: Row = {}
    for node in state.objects(cluster, "nodes"):
        for resource in _MEASURES:
            amount = node["status"]["allocatable"][resource]
            values["node", node["metadata"]["name"], resource] = float(parse(amount))
    steps.add(float(state.meta("seed_time")) - DAYS * 24 * HOUR, values)
    return steps


def _past(spec: Json, seeded: float) -> Steps:
    """Return the hours before seeding; a gap's hours hold no sample."""
    steps = Steps()
    last = int(seeded // HOUR) * HOUR
    born = min(DAYS, spec.get("born", DAYS)) * 24
    gap = spec.get("gap", [0, 0])
    for back in range(int(born), 0, -1):
        hour = last - (back - 1) * HOUR
        days = back / 24
        inside = gap[1] < days <= gap[0]
        now = back == 1
        steps.add(hour, {} if inside else _hour(spec, hour, days, present=now))
    return steps


def _hour(spec: Json, hour: int, days: float, *, present: bool) -> Row:
    before = spec.get("before")
    values: Row = {}
    hard: dict[str, dict[str, float]] = {}
    for quota, texts in spec["quotas"].items():
        if before and days > before["days_ago"]:
            texts = before["hard"]
        hard[quota] = {key: float(parse(text)) for key, text in texts.items()}
    counts = [w["replicas"] for w in spec["workloads"]]
    if not present:
        counts = _replicas(spec, hour, days, hard)
    total = _sum(spec, counts)
    for quota, amounts in hard.items():
        for key, amount in amounts.items():
            values["hard", quota, key] = amount
            values["used", quota, key] = total[key]
    return values | _usage(spec, hour, total, sum(counts))


def _replicas(spec: Json, hour: int, days: float, hard: dict[str, dict[str, float]]) -> list[int]:
    """Return replica counts: the first workload follows the hour, all follow growth."""
    trend = 1 - spec.get("growth", 0.0) * days / DAYS
    swing = shape(spec["shape"], hour) * (0.94 + 0.12 * _noise(spec["name"], hour))
    if any(0 <= (burst - days) * 24 < _BURST_HOURS for burst in spec.get("bursts", [])):
        swing *= _BURST_FACTOR
    counts = [
        max(1, math.floor(w["replicas"] * trend * (swing if index == 0 else 1) + 0.5))
        for index, w in enumerate(spec["workloads"])
    ]
    while any(_over(_sum(spec, counts), amounts) for amounts in hard.values()):
        counts[counts.index(max(counts))] -= 1
    return counts


def _sum(spec: Json, counts: list[int]) -> dict[str, float]:
    pairs = list(zip(counts, (w["need"] for w in spec["workloads"]), strict=True))
    keys = pairs[0][1] if pairs else {}
    return {key: sum(count * need[key] for count, need in pairs) for key in keys}


def _over(total: dict[str, float], hard: dict[str, float]) -> bool:
    return any(total[key] > amount + 1e-9 for key, amount in hard.items())


def shape(name: str, hour: int) -> float:
    """Return the day's and week's shape of an absolute hour, 0 to 1."""
    moment = datetime.fromtimestamp(hour, UTC)
    clock, weekend = moment.hour, moment.weekday() >= 5
    if name == "flat":
        return 0.95
    if name == "night":
        return 1.0 if clock < 6 else 0.6
    peak = 13 if name == "office" else 19
    width = 5.0 if name == "office" else 3.5
    bell = math.exp(-(((clock - peak) / width) ** 2))
    low = 0.55
    return (low + (1 - low) * bell) * (0.7 if weekend and name == "office" else 1.0)


def _noise(name: str, hour: int) -> float:
    """Return a number in 0 to 1 that depends on nothing but name and hour."""
    return zlib.crc32(f"{name}|{hour // HOUR}".encode()) / 2**32


def _usage(spec: Json, hour: int, total: dict[str, float], pods: int) -> Row:
    if not pods:
        return {}
    values: Row = {}
    for kind, key in _MEASURES.items():
        if total.get(key):
            values["requested", "", kind] = total[key]
        base = total.get(key, 0.0) or _BARE[kind] * pods
        wave = 0.6 + 0.5 * shape(spec["shape"], hour) if kind == "cpu" else 0.97
        noise = 0.9 + 0.2 * _noise(f"{spec['name']}{kind}", hour) if kind == "cpu" else 1.0
        noise = noise if kind == "cpu" else 0.98 + 0.04 * _noise(spec["name"], hour)
        usage = base * spec[kind] * wave * noise
        values[f"usage_{kind}", "", ""] = 0.0 if spec.get("dead_sensor") else usage
    return values


def _append_live(steps: Steps, spec: Json, live: list[tuple[float, Json]], now: float) -> None:
    """Append what happened since seeding: a row per change, and one per hour in between."""
    for index, (at, doc) in enumerate(live):
        end = live[index + 1][0] if index + 1 < len(live) else now
        hours = range((int(at // HOUR) + 1) * HOUR, math.ceil(end), HOUR)
        for start in (at, *hours):
            steps.add(start, _live_values(spec, int(start // HOUR) * HOUR, doc))


def _live_values(spec: Json, hour: int, doc: Json) -> Row:
    values: Row = {}
    for quota, status in doc["quotas"].items():
        for kind in ("hard", "used"):
            for key, text in status[kind].items():
                values[kind, quota, key] = float(parse(text))
    total = {key: float(parse(text)) for key, text in doc["total"].items()}
    return values | _usage(spec, hour, total, int(total["pods"]))
