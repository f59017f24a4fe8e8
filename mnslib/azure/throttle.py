"""How fast we may ask: one token bucket per subscription, region and kind of call, shared by all.

A 429 empties its bucket and pauses every worker on it for as long as the server says. Knows URLs,
nothing of what is in a request or of how it is sent.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from mnslib.errors import ArmThrottledError
from mnslib.resource_ids import ClusterId


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `burst` calls at once, then `per_second`."""

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Calls allowed per subscription, by kind; None where we do not hold back.

    ARM counts reads, writes (PUT, PATCH, POST) and deletes; the AKS provider counts its own kinds
    per region on top, and managed namespaces fall under `other`.

    Source: Azure Resource Manager request limits and throttling (2025); AKS quotas, SKUs and
    regions (2026-08), resource provider limits.
    """

    reads: Rate | None = Rate(250, 25)
    writes: Rate | None = Rate(200, 10)
    deletes: Rate | None = Rate(200, 10)
    cluster_list: Rate | None = Rate(500, 1)
    cluster_get: Rate | None = Rate(60, 1)
    operation_status: Rate | None = Rate(200, 2)
    other: Rate | None = Rate(60, 1)
    queries: Rate | None = None


NO_LIMITS = Limits(
    reads=None, writes=None, deletes=None, cluster_list=None, cluster_get=None,
    operation_status=None, other=None,
)  # fmt: skip
"""No holding back before the first 429; for a sandbox without limits."""


class BucketKey(NamedTuple):
    """Which bucket a call draws from; `place` is a region, a cluster, or `*` where not known."""

    subscription_id: str
    place: str
    kind: str


_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)")
_LOCATION = re.compile(r"/locations/([^/]+)/operation(?:s|results)/")
_CLUSTER = re.compile(r"/resourcegroups/[^/]+/providers/microsoft\.containerservice"
                      r"/managedclusters/[^/]+")  # fmt: skip
_PROVIDER = "/providers/microsoft.containerservice/"


def bucket_keys(
    method: str, path: str, *, host: str = "", regions: dict[str, str] | None = None
) -> tuple[BucketKey, ...]:
    """Return the buckets that a call draws from, the widest first.

    Args:
        regions: region by cluster id in lower case, as far as known.
    """
    path = path.lower()
    subscription = _SUBSCRIPTION.match(path)
    if subscription is None:
        return (BucketKey(host.lower(), "*", "queries"),)
    name = subscription[1]
    kind = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}.get(method, "writes")
    arm = BucketKey(name, "*", kind)
    if _PROVIDER not in path or "/providers/microsoft.authorization/" in path:
        return (arm,)
    location = _LOCATION.search(path)
    if location:
        return arm, BucketKey(name, location[1], "operation_status")
    if method == "GET" and path.endswith("/managedclusters"):
        return arm, BucketKey(name, "*", "cluster_list")
    cluster = _CLUSTER.search(path)
    if method == "GET" and cluster and cluster.end() == len(path):
        return arm, BucketKey(name, path, "cluster_get")
    region = (regions or {}).get(path[: cluster.end()], "*") if cluster else "*"
    return arm, BucketKey(name, region, "other")


@dataclass(slots=True)
class _Bucket:
    tokens: float
    updated: float
    paused_until: float = float("-inf")


class Throttle:
    """The buckets of one client, shared by its threads."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        longest_wait_seconds: float,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._longest_wait_seconds = longest_wait_seconds
        self._buckets: dict[BucketKey, _Bucket] = {}
        self._refused: Counter[BucketKey] = Counter()
        self._regions: dict[str, str] = {}
        self._lock = threading.Lock()

    def learn_region(self, cluster: ClusterId, region: str) -> None:
        """Remember where a cluster is, so that its calls draw from that region's bucket."""
        if region:
            self._regions[cluster.key] = region.lower().replace(" ", "")

    def keys(self, method: str, path: str, *, host: str) -> tuple[BucketKey, ...]:
        """Return the buckets that a call draws from, the widest first."""
        return bucket_keys(method, path, host=host, regions=self._regions)

    def acquire(self, keys: tuple[BucketKey, ...]) -> None:
        """Wait until each bucket gives a token.

        Raises:
            ArmThrottledError: if the server paused a bucket for longer than we wait.
        """
        for key in keys:
            while wait := self._take(key):
                self._sleep(wait)

    def pause(self, key: BucketKey, seconds: float) -> None:
        """Stop every worker on a bucket for some seconds; then one goes first.

        From then on a bucket that was not limited keeps to the documented rate.
        """
        with self._lock:
            self._refused[key] += 1
            bucket = self._bucket(key)
            bucket.paused_until = max(bucket.paused_until, self._clock() + seconds)
            bucket.tokens, bucket.updated = 1.0, bucket.paused_until

    def in_force(self, kind: str) -> tuple[Rate | None, int]:
        """Return the rate that calls of a kind are held to, None for none, and how often 429 came.

        Without a limit of ours it is the documented one, once the service has refused a call.
        """
        with self._lock:
            refused = sum(count for key, count in self._refused.items() if key.kind == kind)
        limits = Limits() if refused and getattr(self._limits, kind) is None else self._limits
        return getattr(limits, kind), refused

    def _bucket(self, key: BucketKey) -> _Bucket:
        rate = self._rate(key)
        return self._buckets.setdefault(key, _Bucket(rate.burst if rate else 0.0, self._clock()))

    def _rate(self, key: BucketKey) -> Rate | None:
        rate: Rate | None = getattr(self._limits, key.kind)
        if rate is None and key in self._refused:
            rate = getattr(Limits(), key.kind)
        return rate

    def _take(self, key: BucketKey) -> float:
        """Return 0 if a token was taken, else the seconds to wait before asking again."""
        with self._lock:
            now, bucket, rate = self._clock(), self._bucket(key), self._rate(key)
            pause = bucket.paused_until - now
            if pause > self._longest_wait_seconds:
                raise ArmThrottledError(
                    f"Azure asked to pause {key.kind} calls of subscription {key.subscription_id}"
                    f" for another {pause:.0f} s; nothing was sent. Try again then.",
                    retry_after_seconds=pause,
                )
            if pause > 0:
                return pause
            if rate is None:
                return 0.0
            earned = max(0.0, now - bucket.updated) * rate.per_second
            bucket.tokens, bucket.updated = min(rate.burst, bucket.tokens + earned), now
            if bucket.tokens >= 1 - 1e-9:  # sums of waits are not exact
                bucket.tokens -= 1
                return 0.0
            return (1 - bucket.tokens) / rate.per_second
