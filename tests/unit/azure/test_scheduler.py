"""Properties of the scheduler, with a virtual clock and a simulated service; nothing waits."""

from __future__ import annotations

import heapq
import itertools
import signal
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import Future

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnslib.azure.scheduler import Call, LeaveLane, Pause, Scheduler, TakeTurns, ThreadPool
from mnslib.azure.throttle import JITTER_SECONDS, Limits, Rate, Throttle
from mnslib.errors import ArmConflictError, ArmThrottledError, OperationTimeoutError

LIMITS = Limits(other=Rate(20, 2), operation_status=Rate(50, 4), writes=Rate(40, 5))


class World:
    """Virtual time, threads, and buckets of the service's own; `storm` refuses whatever comes."""

    def __init__(self, limits=LIMITS, *, threads=4, latency=0.1, scale=1.0, storm=()):
        self.now, self.free, self.latency, self.storm = 0.0, threads, latency, storm
        self.rates = {
            name: Rate(rate.burst * scale, rate.per_second * scale)
            for name in ("other", "operation_status", "writes", "reads", "deletes")
            if (rate := getattr(limits, name))
        }
        self.tokens = {}
        self.answers, self.numbers = [], itertools.count()
        self.sent, self.refused = Counter(), 0
        self.throttle = Throttle(limits, clock=self.clock, sleep=self.sleep)

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def scheduler(self, most_per_lane=4):
        return Scheduler(self.throttle, clock=self.clock, threads=self, most_per_lane=most_per_lane)

    def start(self, job, send):
        assert self.free > 0
        self.free -= 1
        future = Future()
        try:
            future.set_result(send())
        except Exception as error:
            future.set_exception(error)
        heapq.heappush(self.answers, (self.now + self.latency, next(self.numbers), job, future))

    def finished(self, seconds):
        until = self.now + seconds
        if not self.answers or self.answers[0][0] > until:
            self.now = until
            return []
        self.now = max(self.now, self.answers[0][0])
        found = []
        while self.answers and self.answers[0][0] <= self.now:
            found.append(heapq.heappop(self.answers)[2:])
        self.free += len(found)
        return found

    def serve(self, method, path):
        """Draw from the service's buckets as the pipeline would send the call; 429 where empty."""
        keys = self.throttle.keys(method, path)
        assert self.throttle.acquire(keys).was_reserved
        found = {}
        for key in keys:
            rate = self.rates.get(key.kind)
            if rate is not None:
                tokens, since = self.tokens.get(key, (rate.burst, self.now))
                found[key] = min(rate.burst, tokens + (self.now - since) * rate.per_second)
        in_storm = any(begin <= self.now < end for begin, end in self.storm)
        if in_storm or any(tokens < 1 - 1e-6 for tokens in found.values()):
            self.refused += 1
            self.throttle.pause(keys, 1.0)
            raise ArmThrottledError("slow down", retry_after_seconds=1.0)
        for key, tokens in found.items():
            self.tokens[key] = tokens - 1, self.now
        self.sent[keys[-1]] += 1

    def run(self, scheduler, *, at_most=100_000):
        for _ in range(at_most):
            if not scheduler.has_work:
                return
            scheduler.turn()
        pytest.fail(f"not done after {self.now:.0f} s")


def cluster(number, subscription=0):
    return (
        f"/subscriptions/s{subscription}/resourceGroups/g/providers/Microsoft.ContainerService"
        f"/managedClusters/c{number}"
    )


STATUS = "/subscriptions/s{}/providers/Microsoft.ContainerService/locations/weu/operations/1"


def creation(world, path, outcomes, running, *, takes=0.5, conflicts=0, grants=0):
    """Work like a creation's: a write, polls until it is done, role assignments."""
    place = path.partition("/managedNamespaces/")[0]
    subscription = path.split("/")[2][1:]
    for _ in range(conflicts):
        try:
            yield Call("PUT", path, lambda: (world.serve("PUT", path), _conflict()))
        except ArmConflictError:
            yield Pause(2.0, before_retry=True)
    yield Call("PUT", path, lambda: (world.serve("PUT", path), running.update([place])))
    accepted = world.now
    poll = STATUS.format(subscription)
    while world.now < accepted + takes:
        yield Pause(takes)
        yield Call("GET", poll, lambda: world.serve("GET", poll))
    running[place] -= 1
    yield LeaveLane()
    grant = f"{path}/providers/Microsoft.Authorization/roleAssignments/x"
    for _ in range(grants):
        yield Call("PUT", grant, lambda: world.serve("PUT", grant))
    outcomes[path] += 1


def _conflict():
    raise ArmConflictError("busy", status=409)


def start(world, counts, *, most_per_lane=4, **how):
    """Return a scheduler with so many creations for each cluster, and where they end up."""
    scheduler, outcomes, running = world.scheduler(most_per_lane), Counter(), Counter()
    skipped = defaultdict(list)
    for (subscription, number), count in counts.items():
        place = cluster(number, subscription)
        for item in range(count):
            path = f"{place}/managedNamespaces/n{item}"
            work = creation(world, path, outcomes, running, **how)
            scheduler.add(work, lane=place, skipped=skipped[path].append)
    return scheduler, outcomes, skipped, running


plans = st.dictionaries(
    st.tuples(st.integers(0, 2), st.integers(0, 3)), st.integers(1, 30), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(counts=plans, takes=st.floats(0.1, 8), grants=st.integers(0, 2), threads=st.integers(1, 9))
def test_a_bucket_that_is_known_is_never_overdrawn(counts, takes, grants, threads):
    world = World(threads=threads)
    scheduler, outcomes, _, _ = start(world, counts, takes=takes, grants=grants)
    world.run(scheduler)
    assert world.refused == 0
    assert sum(outcomes.values()) == sum(counts.values())


@settings(max_examples=40, deadline=None)
@given(count=st.integers(30, 120), clusters=st.integers(1, 4), threads=st.integers(4, 8))
def test_it_never_idles_while_a_token_and_work_exist(count, clusters, threads):
    rate = Rate(20, 2)
    world = World(Limits(other=rate), threads=threads, latency=0.05)
    counts = {(0, number): count for number in range(clusters)}
    scheduler, *_ = start(world, counts, most_per_lane=50)
    world.run(scheduler)
    kept_back = 1 + rate.per_second * JITTER_SECONDS
    bound = (count * clusters - rate.burst + kept_back) / rate.per_second
    assert world.now <= bound + 0.5 + 4 * world.latency


@settings(max_examples=30, deadline=None)
@given(first=st.integers(30, 60))
def test_one_subscriptions_empty_bucket_holds_up_no_other(first):
    alone = World()
    world = World()
    alone.run(start(alone, {(1, 0): 30})[0])
    scheduler, outcomes, *_ = start(world, {(0, 0): 2 * first, (1, 0): 30})
    while sum(number for path, number in outcomes.items() if "/s1/" in path) < 30:
        scheduler.turn()
    assert world.now <= alone.now + 4 * world.latency


@settings(max_examples=60, deadline=None)
@given(counts=plans, most=st.integers(1, 5), stop_at=st.integers(0, 60))
def test_every_item_has_exactly_one_outcome_also_when_stopped(counts, most, stop_at):
    world = World()
    scheduler, outcomes, skipped, running = start(world, counts, most_per_lane=most, conflicts=1)
    for turn in range(100_000):
        if not scheduler.has_work:
            break
        if turn == stop_at:
            scheduler.stop("enough")
        scheduler.turn()
        assert all(number <= most for number in running.values())
    ended = [path for path, number in outcomes.items() for _ in range(number)]
    ended += [path for path, reasons in skipped.items() for _ in reasons]
    assert len(ended) == len(set(ended)) == sum(counts.values())
    assert scheduler.running == scheduler.waiting == 0


@settings(max_examples=40, deadline=None)
@given(counts=plans, begin=st.floats(0, 5), length=st.floats(0.5, 60))
def test_a_storm_of_429_is_survived_and_answered_with_few_calls(counts, begin, length):
    world = World(storm=[(begin, begin + length)], threads=8)
    scheduler, outcomes, _, _ = start(world, counts)
    world.run(scheduler)
    assert sum(outcomes.values()) == sum(counts.values())
    buckets = 2 * len({subscription for subscription, _ in counts})
    assert world.refused <= buckets * (2 * length + 12)


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.8])
def test_a_bucket_cut_behind_our_back_is_found_out_with_few_refusals(scale):
    rate = Rate(60, 5)
    limits = Limits(other=rate, operation_status=Rate(400, 10))
    world = World(limits, threads=8, latency=0.05, scale=scale)
    scheduler, outcomes, _, _ = start(world, {(0, number): 100 for number in range(5)})
    world.run(scheduler)
    assert sum(outcomes.values()) == 500
    bound = (500 - rate.burst * scale) / (rate.per_second * scale)
    assert world.now <= 1.25 * bound
    assert world.refused <= 0.01 * sum([world.refused, *world.sent.values()])


def test_what_is_refused_for_longer_than_five_minutes_fails_instead_of_waiting_for_ever():
    world = World(storm=[(0, 1e9)])
    scheduler, failed = world.scheduler(), []

    def work():
        try:
            yield Call("PUT", cluster(0), lambda: world.serve("PUT", cluster(0)))
        except ArmThrottledError as error:
            failed.append(error)

    scheduler.add(work(), lane="", skipped=failed.append)
    world.run(scheduler)
    assert len(failed) == 1
    assert 300 <= world.now < 400


def refused_work(world, failed, delay):
    """Work whose write is always refused, with a delay that is taken as it is."""

    def refuse():
        keys = world.throttle.keys("PUT", cluster(0))
        world.throttle.acquire(keys)
        world.throttle.pause(keys, delay)
        world.refused += 1
        raise ArmThrottledError("slow down", retry_after_seconds=delay)

    try:
        yield Call("PUT", cluster(0), refuse)
    except ArmThrottledError as error:
        failed.append(error)


@pytest.mark.parametrize("delay", [None, 0.0])
def test_what_is_refused_without_a_sound_delay_is_tried_six_times(delay):
    world, failed = World(), []
    scheduler = world.scheduler()
    for _ in range(8):
        scheduler.add(refused_work(world, failed, delay), lane="", skipped=failed.append)
    world.run(scheduler)
    assert [error.is_transient for error in failed] == [False] * 8
    assert world.refused == 8 * 6
    assert world.now > 10


def test_a_delay_beyond_the_bound_is_handed_on_at_once():
    world, failed = World(), []
    scheduler = world.scheduler()
    for _ in range(3):
        scheduler.add(refused_work(world, failed, 31_536_000.0), lane="", skipped=failed.append)
    world.run(scheduler)
    assert [error.retry_after_seconds for error in failed] == pytest.approx([31_536_000.0] * 3)
    assert world.now < 2


def test_a_stop_ends_the_wait_for_what_refused():
    world, failed = World(), []
    scheduler = world.scheduler()
    for _ in range(3):
        scheduler.add(refused_work(world, failed, 100.0), lane="", skipped=failed.append)
    while not world.refused:
        scheduler.turn()
    scheduler.stop("enough", within=600)
    stopped = world.now
    world.run(scheduler)
    assert len(failed) == 3
    assert world.now - stopped < 2


def test_a_stop_ends_the_wait_before_another_try():
    world = World()
    scheduler, outcomes, _, _ = start(world, {(0, 0): 1}, conflicts=1)
    while world.now < 0.05:
        scheduler.turn()
    scheduler.turn()
    scheduler.stop("enough")
    world.run(scheduler)
    assert sum(outcomes.values()) == 1
    assert world.now < 2


def in_turns(most_per_lane=4, count=4):
    """Return a scheduler whose lane's work is refused unless it runs alone, and what it did."""
    world = World()
    scheduler, running, done = world.scheduler(most_per_lane), Counter(), []

    def begin():
        if running["now"]:
            _conflict()
        running["now"] += 1

    def work(name):
        while True:
            try:
                yield Call("PUT", "/x", begin)
                break
            except ArmConflictError:
                done.append((name, (yield TakeTurns())))
        yield Pause(5.0)
        running["now"] -= 1
        done.append(name)

    for name in range(count):
        scheduler.add(work(name), lane="c", skipped=lambda reason, name=name: done.append(reason))
    return world, scheduler, done


def test_what_takes_turns_is_refused_once_and_then_runs_one_after_the_other():
    world, scheduler, done = in_turns(count=8)
    world.run(scheduler)
    assert sorted(one for one in done if isinstance(one, int)) == list(range(8))
    assert sorted(one for one in done if not isinstance(one, int)) == [(n, True) for n in (1, 2, 3)]


def test_after_the_first_refusal_no_other_lane_tries_two_at_once():
    world = World(LIMITS, threads=6)
    scheduler, busy, refused, done = world.scheduler(), Counter(), [], []

    def work(lane, name):
        def begin():
            if busy[lane]:
                _conflict()
            busy[lane] += 1

        while True:
            try:
                yield Call("PUT", f"/{lane}", begin)
                break
            except ArmConflictError:
                refused.append(lane)
                yield TakeTurns()
        yield Pause(5.0)
        busy[lane] -= 1
        done.append((lane, name))

    for name in range(5):
        for lane in "abcde" if name else "abcdefgh":
            scheduler.add(work(lane, name), lane=lane, skipped=done.append)
    world.run(scheduler)
    assert len(done) == len(set(done)) == 28
    assert len(refused) <= 4  # threads that had the second of a lane when the first was refused
    for lane in "abcde":
        assert [name for one, name in done if one == lane] == [*range(5)]


def test_what_waits_for_its_turn_goes_on_after_a_stop():
    world, scheduler, done = in_turns(count=6)
    for _ in range(8):
        scheduler.turn()
    scheduler.stop("stopped")
    world.run(scheduler)
    assert sorted(one for one in done if isinstance(one, int)) == [0, 1, 2, 3]
    assert done.count("stopped") == 2


def polls(world):
    """Calls whose refusal says nothing, as those that ask for the status of an operation."""
    for _ in range(9_000):
        try:
            yield Call("GET", cluster(0), lambda: world.serve("GET", cluster(0)))
        except ArmThrottledError:
            yield Pause(1.0)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(lambda _: [Pause(1e9)], id="an operation"),
        pytest.param(lambda _: [Pause(1.0)] * 10_000, id="looks"),
        pytest.param(lambda world: polls(world), id="tokens and refusals"),
    ],
)
@pytest.mark.parametrize("storm", [[], [(10, 1e9)]])
def test_whatever_is_waited_for_is_not_beyond_the_deadline_of_a_stop(steps, storm):
    world = World(storm=storm)
    scheduler, ended = world.scheduler(), []

    def work():
        try:
            yield Call("PUT", cluster(0), lambda: world.serve("PUT", cluster(0)))
            yield from steps(world)
        except OperationTimeoutError as error:
            ended.append((world.now, str(error)))

    for _ in range(4):
        scheduler.add(work(), lane="c", skipped=ended.append)
    while world.now < 12:
        scheduler.turn()
    scheduler.stop("enough")  # a stop rule, which waits
    scheduler.stop("interrupted", within=30)
    began = world.now
    world.run(scheduler)
    assert len(ended) == 4
    assert {text.partition(" run again")[0] for _, text in ended} == {"the run was stopped"}
    assert all(30 <= at - began < 31 for at, _ in ended)


def test_what_waits_for_its_turn_is_not_waited_for_beyond_the_deadline_either():
    world = World()
    scheduler, ended = world.scheduler(), []

    def work():
        try:
            yield Call("PUT", "/x", lambda: None)
            yield TakeTurns()
            yield Pause(1e9)
        except OperationTimeoutError:
            ended.append(world.now)

    for _ in range(4):
        scheduler.add(work(), lane="c", skipped=ended.append)
    for _ in range(8):
        scheduler.turn()
    scheduler.stop("interrupted", within=30)
    began = world.now
    world.run(scheduler)
    assert len(ended) == 4
    assert all(30 <= at - began < 32 for at in ended)


def test_alone_in_its_lane_nothing_waits_for_a_turn():
    world = World()
    scheduler, found = world.scheduler(), []

    def work():
        yield Call("PUT", "/x", lambda: None)
        found.append((yield TakeTurns()))
        yield LeaveLane()
        found.append((yield TakeTurns()))

    scheduler.add(work(), lane="c", skipped=found.append)
    world.run(scheduler)
    assert found == [False, False]


def test_a_signal_that_takes_longer_than_a_wait_does_not_make_it_endless():
    pool = ThreadPool(1)
    wakes = threading.Timer(20, lambda: pool.start(None, str))  # so that a fault ends, too
    wakes.start()
    before = signal.signal(signal.SIGALRM, lambda *_: time.sleep(0.1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert pool.finished(0.05) == []
    finally:
        signal.signal(signal.SIGALRM, before)
        wakes.cancel()
        pool.close()
