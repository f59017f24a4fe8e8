"""How fast we may ask: one token bucket per subscription, region and kind of call, shared by all.

A 429 empties its bucket, pauses every worker on it for as long as the server says, and lowers the
rate to what the bucket was seen to give; it rises again while nothing is refused. What ARM says is
left corrects what we count. Knows URLs, nothing of what is in a request or of how it is sent.
"""

from __future__ import annotations

import random
import re
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
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
    role_assignments: Rate | None = None
    queries: Rate | None = None


ATTEMPTS = 6
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, TOTAL_WAIT_SECONDS = 0.5, 120.0, 300.0
"""Bounds of repeating one request. A server that asks for less than the first is not believed: the
wait doubles, with jitter. One that asks for more than the longest is not waited for. Our choice:
throttled calls to AKS earn one token a second, so a minute clears any queue of ours, and what lasts
five wants a person.
"""

JITTER_SECONDS = 0.4
"""Our choice: what a bucket earns in so long (at least a token) is kept back, as one request may
reach the service sooner after it was let through than another."""

SMALLEST_SHARE = 0.05
REGAINED_PER_SECOND = 0.02
HELD_SECONDS, REGAINED_AFTER_HOLD = 60.0, 0.01
"""Our choice: how a rate rises after a 429, in shares of the limit. The first 429 of a bucket says
little about its rate, so that is tried at once; from two of them it is measured, and then held."""

NO_LIMITS = Limits(**dict.fromkeys(field.name for field in fields(Limits)))
"""No holding back before the first 429; for a sandbox without limits."""


class BucketKey(NamedTuple):
    """Which bucket a call draws from; `place` is a region, a cluster, or `*` where not known."""

    subscription_id: str
    place: str
    kind: str


def wait_seconds(attempt: int, asked: float | None) -> float:
    """Return how long to wait after so many attempts: as asked for, where that is sound."""
    if asked is not None and asked >= FIRST_WAIT_SECONDS:
        return asked
    return FIRST_WAIT_SECONDS * 2.0 ** (min(attempt, ATTEMPTS) - 1) * random.uniform(0.5, 1.0)


def is_over(attempts: int, wait: float, waited: float) -> bool:
    """Return whether a request that has waited so long, and would again, is not sent any more."""
    return attempts >= ATTEMPTS or wait > LONGEST_WAIT_SECONDS or waited >= TOTAL_WAIT_SECONDS


_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)")
_LOCATION = re.compile(r"/locations/([^/]+)/operation(?:s|results)/")
_CLUSTER = re.compile(r"/resourcegroups/[^/]+/providers/microsoft\.containerservice"
                      r"/managedclusters/[^/]+")  # fmt: skip
_PROVIDER = "/providers/microsoft.containerservice/"


@dataclass(slots=True, kw_only=True)
class _Bucket:
    """What we believe of one bucket; `share` is the part of its limit that it seems to give."""

    limit: Rate | None
    tokens: float
    began: float
    updated: float
    share: float = 1.0
    taken: int = 0
    ended: int = 0
    refused: int = 0
    in_a_row: int = 0
    paused_until: float = float("-inf")
    emptied: tuple[float, int] | None = None
    is_measured: bool = False
    learned_share: float = 1.0

    @property
    def size(self) -> float:
        """Tokens at most, without those kept back."""
        if self.limit is None:
            return 0.0
        earned = self.limit.per_second * JITTER_SECONDS
        return max(1.0, self.limit.burst * self.share - max(1.0, earned))

    def refill(self, now: float) -> None:
        """Earn what is due, at a rate that recovers."""
        seconds = max(0.0, now - self.updated)
        if self.limit is None or not seconds:
            return
        if self.emptied and self.share < 1.0:
            held = self.is_measured and now < self.emptied[0] + HELD_SECONDS
            regained = REGAINED_AFTER_HOLD if self.is_measured else REGAINED_PER_SECOND
            self.share = min(1.0, self.share + (0.0 if held else regained * seconds))
        earned = seconds * self.limit.per_second * self.share
        self.tokens, self.updated = min(self.size, self.tokens + earned), now

    def wait_seconds(self, now: float) -> float:
        """Return 0 if it has a token, else the seconds until it may have one."""
        if now < self.paused_until:
            return self.paused_until - now
        self.refill(now)
        if self.limit is None or self.tokens >= 1 - 1e-9:  # sums of waits are not exact
            return 0.0
        return (1 - self.tokens) / (self.limit.per_second * self.share)

    def shrink(self, now: float) -> None:
        """Believe what it gave: between two 429s exactly, before the first one as far as known."""
        if self.limit is None:
            return
        given = self.taken - self.refused
        if self.emptied is None:
            due = self.limit.burst + self.limit.per_second * (now - self.began)
            self.share = min(0.95, max(0.5, given / due))
        else:
            since, before = self.emptied
            due = max(self.limit.per_second * (now - since), 1.0)
            seen = (given - before) / due
            self.share = max(SMALLEST_SHARE, min(0.97 * self.share, max(self.share / 2, seen)))
            self.is_measured = True
        self.emptied, self.learned_share = (now, given), self.share


class Pace(NamedTuple):
    """What a bucket gives: at once and a second; None where no limit is known.

    Attributes:
        is_learned: from what it refused, else as documented or as it was set.
        refused: how many calls were answered 429.
    """

    bucket: BucketKey
    rate: Rate | None = None
    is_learned: bool = False
    refused: int = 0


class Ticket(NamedTuple):
    """That a call was let through: as which of its ARM bucket, and whether it was reserved."""

    number: int
    was_reserved: bool


class Throttle:
    """The buckets of one client, shared by its threads."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], bool | None],
    ) -> None:
        self._limits, self._clock, self._sleep = limits, clock, sleep
        self._buckets: dict[BucketKey, _Bucket] = {}
        self._reserved: dict[tuple[BucketKey, ...], deque[int]] = defaultdict(deque)
        self._closed: dict[tuple[BucketKey, ...], float] = {}
        self._regions: dict[str, str] = {}
        self._lock = threading.Lock()

    def learn_region(self, cluster: ClusterId, region: str) -> None:
        """Remember where a cluster is, so that its calls draw from that region's bucket."""
        if region:
            self._regions[cluster.key] = region.lower().replace(" ", "")

    def keys(self, method: str, path: str, *, host: str = "") -> tuple[BucketKey, ...]:
        """Return the buckets that a call draws from, the widest first."""
        path = path.lower()
        subscription = _SUBSCRIPTION.match(path)
        if subscription is None:
            return (BucketKey(host.lower(), "*", "queries"),)
        name = subscription[1]
        kind = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}.get(method, "writes")
        arm = BucketKey(name, "*", kind)
        if "/providers/microsoft.authorization/roleassignments" in path:
            return arm, BucketKey(name, "*", "role_assignments")
        if _PROVIDER not in path:
            return (arm,)
        if location := _LOCATION.search(path):
            return arm, BucketKey(name, location[1], "operation_status")
        if method == "GET" and path.endswith("/managedclusters"):
            return arm, BucketKey(name, "*", "cluster_list")
        cluster = _CLUSTER.search(path)
        if method == "GET" and cluster and cluster.end() == len(path):
            return arm, BucketKey(name, path, "cluster_get")
        region = self._regions.get(path[: cluster.end()], "*") if cluster else "*"
        return arm, BucketKey(name, region, "other")

    def reserve(self, keys: tuple[BucketKey, ...]) -> float:
        """Return 0 after taking a token from each bucket for a call that is about to be made.

        Else nothing was taken, and it returns the seconds after which to ask again.

        Raises:
            ArmThrottledError: if the server refuses such calls for longer than we wait.
        """
        with self._lock:
            wait = self._take(keys)
            if not wait:
                self._reserved[keys].append(self._buckets[keys[0]].taken)
            return wait

    def acquire(self, keys: tuple[BucketKey, ...]) -> Ticket:
        """Wait until every bucket gives a token; a call that was reserved need not.

        Raises:
            ArmThrottledError: as `reserve`, or the wait was cut short.
        """
        while True:
            with self._lock:
                if self._reserved[keys]:
                    return Ticket(self._reserved[keys].popleft(), was_reserved=True)
                wait = self._take(keys)
                if not wait:
                    return Ticket(self._buckets[keys[0]].taken, was_reserved=False)
            if self._sleep(wait):
                raise ArmThrottledError("Not sent: it was stopped while it waited for its turn.")

    def learn(
        self,
        keys: tuple[BucketKey, ...],
        ticket: Ticket,
        headers: Mapping[str, str],
        *,
        is_refused: bool = False,
    ) -> None:
        """Correct a bucket of ARM's by what an answer says is left in it; none has no headers.

        Args:
            is_refused: it was a 429.
        """
        said = headers.get(f"x-ms-ratelimit-remaining-subscription-{keys[0].kind}", "")
        with self._lock:
            for key in () if is_refused else keys:
                self._bucket(key).in_a_row = 0
            bucket = self._bucket(keys[0])
            bucket.ended += 1
            is_paused = self._clock() < bucket.paused_until
            if bucket.limit is None or is_paused or not said.isdigit():
                return
            bucket.refill(self._clock())
            most = int(said) + 1 + bucket.limit.per_second * JITTER_SECONDS
            # Calls let through later, or still under way, may not be counted in it yet.
            uncounted = (bucket.taken - ticket.number) + (bucket.taken - bucket.ended)
            least = int(said) - uncounted
            if least > bucket.limit.burst:
                bucket.limit = Rate(least, bucket.limit.per_second)
            bucket.tokens = max(least, int(said) if bucket.tokens > most else bucket.tokens)

    def pause(self, keys: tuple[BucketKey, ...], asked: float | None, *, attempt: int = 1) -> float:
        """Stop every worker on a bucket that refused; then one goes first. Return for how long.

        From then on a bucket that was not limited keeps to the documented rate. For longer than is
        waited for only such calls are refused, of what draws from all these buckets.

        Args:
            keys: of the call; the last one refused it.
        """
        with self._lock:
            now, bucket = self._clock(), self._bucket(keys[-1])
            bucket.refused += 1
            if now >= bucket.paused_until:  # else it was under way when the first was refused
                bucket.shrink(now)
                bucket.in_a_row += 1
            seconds = wait_seconds(max(attempt, bucket.in_a_row), asked)
            if seconds > LONGEST_WAIT_SECONDS:
                self._closed[keys] = now + seconds
                return seconds
            bucket.limit = bucket.limit or getattr(Limits(), keys[-1].kind)
            bucket.paused_until = max(bucket.paused_until, now + seconds)
            bucket.tokens, bucket.updated = 1.0, bucket.paused_until
            return seconds

    def pace(self, method: str, path: str) -> Pace:
        """Return what calls of this method and path were held to, as far as it is known by now."""
        with self._lock:
            key = self.keys(method, path)[-1]
            bucket = self._bucket(key)
            limit, share = bucket.limit, bucket.learned_share
            return Pace(
                bucket=key,
                rate=limit and Rate(limit.burst * share, limit.per_second * share),
                is_learned=bucket.emptied is not None,
                refused=bucket.refused,
            )

    def _bucket(self, key: BucketKey) -> _Bucket:
        if key not in self._buckets:
            now = self._clock()
            bucket = _Bucket(
                limit=getattr(self._limits, key.kind), tokens=0, began=now, updated=now
            )
            bucket.tokens = bucket.size
            self._buckets[key] = bucket
        return self._buckets[key]

    def _take(self, keys: tuple[BucketKey, ...]) -> float:
        """Return 0 if a token was taken from each, else the seconds before asking again."""
        now = self._clock()
        closed = max(self._closed.get(refused, now) for refused in (keys[:1], keys)) - now
        if closed > LONGEST_WAIT_SECONDS:
            raise ArmThrottledError(
                f"Azure refuses {keys[0].kind} of this kind ({keys[-1].kind}) of subscription"
                f" {keys[0].subscription_id} for another {closed:.0f} s; more than"
                f" {LONGEST_WAIT_SECONDS:.0f} s are not waited for, so this one was not sent.",
                status=429,
                code="TooManyRequests",
                retry_after_seconds=closed,
                remedy="Run again then: what is done is not repeated.",
            )
        wait = max(closed, *(self._bucket(key).wait_seconds(now) for key in keys))
        for key in () if wait else keys:
            self._buckets[key].taken += 1
            self._buckets[key].tokens -= 1
        return wait
