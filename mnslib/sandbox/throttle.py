"""Token buckets of Azure Resource Manager and the AKS provider; their figures are in limits.yaml.

A request draws from every bucket that it belongs to, or is refused and draws from none. The clock
is the sandbox's, so that advancing it refills them; they do not outlive the process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnslib.sandbox.faults import is_number
from mnslib.sandbox.offers import offers, packaged, read
from mnslib.sandbox.wire import Call, Json, Refusal, Route, arm_error

_PROVIDER = "/providers/Microsoft.ContainerService/"
_CLUSTERS = _PROVIDER + "managedClusters"
_KINDS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}
_GATEWAY = ("subscription-", "tenant-")  # rows of ARM itself
_ALMOST_ONE = 1 - 1e-9  # sums of refills are not exact


@dataclass(slots=True)
class _Bucket:
    burst: float
    per_second: float
    tokens: float
    updated: float

    def refill(self, now: float) -> None:
        earned = max(0.0, now - self.updated) * self.per_second
        self.tokens, self.updated = min(self.burst, self.tokens + earned), now


class Throttle:
    """All buckets under one set of limits; each is full when first drawn from."""

    def __init__(self, limits: Json, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._clock = clock
        self._buckets: dict[tuple[str, ...], _Bucket] = {}

    def draw(self, call: Call, route: Route) -> None:
        """Draw a token from each of the request's buckets, and note on the call what is left.

        Raises:
            Refusal: 429; the wait that it names suffices.
        """
        rows = dict(_rows(call, route, self.limits))
        found = {row: self._bucket((row, *key)) for row, key in rows.items() if row in self.limits}
        empty = {row: one for row, one in found.items() if one.tokens < _ALMOST_ONE}
        for one in () if empty else found.values():
            one.tokens -= 1
        left = {
            row: figure for row, figure in offers()["unlimited_remaining"].items() if row in rows
        }
        left |= {row: _whole(one) for row, one in found.items()}
        call.remaining = {row: n for row, n in left.items() if row.startswith(_GATEWAY)}
        if empty:
            waits = {row: (1 - one.tokens) / one.per_second for row, one in empty.items()}
            row = max(waits, key=lambda name: waits[name])
            raise _refusal(call, route, row, max(1, math.ceil(waits[row] - 1e-6)))

    def _bucket(self, key: tuple[str, ...]) -> _Bucket:
        now, limit = self._clock(), self.limits[key[0]]
        if key not in self._buckets:
            burst = float(limit["burst"])
            self._buckets[key] = _Bucket(burst, limit["per_minute"] / 60, burst, now)
        self._buckets[key].refill(now)
        return self._buckets[key]

    def report(self) -> Json:
        """Return the limits, and what is left in every bucket that was drawn from."""
        buckets = [
            {"row": row, "of": key, "remaining": _whole(self._bucket((row, *key)))}
            for row, *key in list(self._buckets)
        ]
        return {"limits": self.limits, "buckets": buckets}


def _whole(bucket: _Bucket) -> int:
    return math.floor(bucket.tokens + 1e-9)


def _rows(call: Call, route: Route, limits: Json) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield row and key of each bucket that a request belongs to; AKS' own only under limits."""
    kind, who = _KINDS.get(call.method, "writes"), call.identity or ""
    parts = call.path.lower().split("/")
    if len(parts) < 3 or parts[1] != "subscriptions":
        yield f"tenant-{kind}", (who,)
        return
    subscription, template = parts[2], route.template
    yield f"subscription-{kind}", (subscription, who)
    yield f"subscription-global-{kind}", (subscription,)
    if _PROVIDER not in template or not limits:
        return
    if template.endswith(_CLUSTERS):
        group = call.params.get("group", "").lower()
        if group:
            yield "list-clusters-in-group", (subscription, group)
        else:
            yield "list-clusters", (subscription,)
    elif template.endswith(_CLUSTERS + "/{cluster}") and call.method in ("GET", "PUT"):
        yield f"{call.method.lower()}-cluster", ("/".join(parts[:9]),)
    elif "/locations/" in template:
        region = call.params["location"].lower()
        yield ("operation-status" if "{operation}" in template else "other"), (subscription, region)
    else:
        yield "other", (subscription, _region(call, parts))


def _region(call: Call, parts: list[str]) -> str:
    cluster = call.state.resource("/".join(parts[:9]))
    return str(cluster["location"]).lower() if cluster else ""


def _refusal(call: Call, route: Route, row: str, seconds: int) -> Refusal:
    subscription = call.params.get("subscription") or "/".join(call.path.split("/")[2:3])
    headers = {"Retry-After": str(seconds)}
    if row.startswith(_GATEWAY):
        operation = "/".join(part for part in route.template.split("/") if "{" not in part)
        text = f"Number of requests for subscription '{subscription}' and operation "
        text += f"'{call.method}{operation.upper()}' exceeded the backend storage limit. "
        text += f"Please try again after '{seconds}' seconds."
        headers["x-ms-failure-cause"] = "gateway"
        return arm_error(429, "SubscriptionRequestsThrottled", text, headers)
    text = f"The {route.handler.__name__}.{call.method} request limit has been exceeded for "
    text += f"SubID='{subscription}', please retry again in {seconds} seconds. "
    text += "For more information, please visit aka.ms/aks/throttling"
    return arm_error(429, "Throttled", text, headers)


def load_limits(name_or_file: str) -> Json:
    """Return a profile of limits.yaml, or the limits of a file.

    Raises:
        ValueError: with a sentence for each mistake.
    """
    profiles = packaged("limits.yaml")
    if name_or_file in profiles:
        return dict(profiles[name_or_file])
    return read(Path(name_or_file), check_limits)


def check_limits(given: Any) -> Json:
    """Return limits that hold only known rows with sound figures.

    Raises:
        ValueError: with a sentence for each mistake.
    """
    known = load_limits("documented")
    if not isinstance(given, dict):
        raise ValueError("limits must be a mapping of rows to {burst, per_minute}")
    problems = []
    for row, limit in given.items():
        if row not in known:
            problems.append(f"{row!r} is no row; there are {', '.join(known)}")
        elif not isinstance(known[row], dict):
            if type(limit) is not int or limit < 1:
                problems.append(f"{row} must be a whole number of at least 1")
        elif not isinstance(limit, dict) or set(limit) != set(known[row]):
            problems.append(f"{row} needs exactly {' and '.join(known[row])}")
        elif not all(is_number(value) and value for value in limit.values()) or limit["burst"] < 1:
            problems.append(f"{row}: burst must be at least 1 and per_minute more than 0")
    if problems:
        raise ValueError("; ".join(problems))
    return given
