"""Sends calls as fast as their buckets allow and never faster: one loop, a few threads.

A piece of work is a generator: it yields the next call and is handed its answer or its error, so
that its whole life reads from top to bottom and holds no thread while it waits. A call is given to
a thread only with a token of each of its buckets, so no thread waits for one bucket while another
has tokens. What was begun goes before what was not. Knows buckets, nothing of what a call does.

    scheduler.add(lane=cluster, work=onboard(namespace), skipped=print)
    while scheduler.has_work:
        scheduler.turn()
"""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from queue import Empty, Queue
from typing import Any, TypeVar

from mnslib.azure.throttle import ATTEMPTS, FIRST_WAIT_SECONDS, BucketKey, Throttle, is_over
from mnslib.errors import ArmThrottledError, OperationTimeoutError

LONGEST_TURN_SECONDS = 0.5
"""So long a turn waits at most, so that who calls it can look after other things."""

STOPPED_WAIT_SECONDS = 2.0
"""So long a call waits for its turn at most once a run was told to end; our choice."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `send` makes it on a thread, once the buckets of method and path allow it."""

    method: str
    path: str
    send: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Some seconds of waiting; before another try, a stop ends it."""

    seconds: float
    before_retry: bool = False


@dataclass(frozen=True, slots=True)
class LeaveLane:
    """What follows does not count towards those that may run side by side."""


@dataclass(frozen=True, slots=True)
class TakeTurns:
    """From now on nothing runs side by side in this lane, and what follows waits for its turn.

    A lane that has not run two at once by then does not try it: it starts with one at a time.
    It is handed whether it had to wait for others of ours; alone in its lane it goes on at once.
    """


Step = Call | Pause | LeaveLane | TakeTurns
Work = Generator[Step, Any, T]


class ThreadPool:
    """What carries calls out; `free` is how many more may be started."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="mnslib")
        # not SimpleQueue: up to Python 3.12 a signal handler that outlasts the timeout of its `get`
        # makes that wait without end
        self._ended: Queue[tuple[Job, Future[Any]]] = Queue()

    def start(self, job: Job, send: Callable[[], Any]) -> None:
        """Carry a call out on a thread."""
        self.free -= 1
        future = self._pool.submit(send)
        future.add_done_callback(lambda ended: self._ended.put((job, ended)))

    def finished(self, seconds: float) -> list[tuple[Job, Future[Any]]]:
        """Return the calls that ended, as soon as there is one; none after so many seconds."""
        found = []
        with suppress(Empty):
            found.append(self._ended.get(timeout=seconds))
            while True:
                found.append(self._ended.get_nowait())
        self.free += len(found)
        return found

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.shutdown()


@dataclass(slots=True, eq=False)
class _Lane:
    most: int
    waiting: deque[Job] = field(default_factory=deque)
    running: int = 0


@dataclass(slots=True, eq=False)
class Job:
    """A piece of work on its way; begun once its first call was made.

    Before that it may have given its place in the lane back, to start one at a time.
    """

    work: Work[None]
    skipped: Callable[[str], None]
    lane: _Lane | None = None
    call: Call = field(init=False)
    gave_way: bool = False
    is_begun: bool = False
    refused_since: float | None = None
    refusals: int = 0


class Scheduler:
    """Drives work until none is left. Everything but the calls happens in the calling thread.

    Attributes:
        running: pieces of work that were begun and are not done.
        clock: seconds that never go back.
        ends_at: by it, nothing is waited for after a stop; None where it is.
    """

    def __init__(
        self,
        throttle: Throttle,
        *,
        clock: Callable[[], float],
        threads: ThreadPool,
        most_per_lane: int,
    ) -> None:
        self._throttle = throttle
        self.clock = clock
        self._threads = threads
        self._most_per_lane = most_per_lane
        self._lanes: dict[Hashable, _Lane] = {}
        self._may_start: OrderedDict[_Lane, None] = OrderedDict()
        self._ready: dict[bool, OrderedDict[tuple[BucketKey, ...], deque[Job]]] = {
            True: OrderedDict(), False: OrderedDict(),  # by whether they are begun
        }  # fmt: skip
        self._pauses: list[tuple[float, int, Job, Pause]] = []
        self._order = itertools.count()
        self._jobs: dict[Job, None] = {}
        self.running = 0
        self.is_stopped = False
        self.ends_at: float | None = None

    @property
    def has_work(self) -> bool:
        """Whether something waits or runs."""
        return bool(self._jobs)

    @property
    def waiting(self) -> int:
        """The number of pieces of work of which no call was made yet."""
        return len(self._jobs) - self.running

    def add(self, work: Work[None], *, lane: Hashable, skipped: Callable[[str], None]) -> None:
        """Accept a piece of work, which must raise nothing; those of a lane start in their order.

        Args:
            skipped: is told the reason if the work is never begun.
        """
        place = self._lanes.setdefault(lane, _Lane(self._most_per_lane))
        job = Job(work=work, skipped=skipped)
        self._jobs[job] = None
        place.waiting.append(job)
        self._may_start[place] = None

    def stop(self, reason: str, *, within: float | None = None) -> None:
        """Begin nothing new; what was begun goes on to its end.

        Args:
            within: seconds, after which it is handed an `OperationTimeoutError` wherever it waits.
        """
        self.is_stopped = True
        self.ends_at = self.clock() + within if within is not None else self.ends_at
        for job in [job for job in self._jobs if not job.is_begun]:
            job.work.close()
            self._end(job)
            job.skipped(reason)
        for lane in self._lanes.values():
            lane.waiting = deque(job for job in lane.waiting if job in self._jobs)
        self._ready[False].clear()
        self._pauses = [
            (self.clock() if pause.before_retry else at, number, job, pause)
            for at, number, job, pause in self._pauses
            if job in self._jobs
        ]
        heapify(self._pauses)

    def turn(self) -> None:
        """Start what may start and go on with what was answered; wait where neither is there."""
        while self._pauses and self._pauses[0][0] <= self.clock():
            self._advance(heappop(self._pauses)[2])
        self._enter_lanes()
        if self.ends_at is not None and self.clock() >= self.ends_at:
            self._wait_no_longer()
        wait = self._send_ready()
        if self._pauses:
            wait = min(wait, self._pauses[0][0] - self.clock())
        for job, future in self._threads.finished(max(wait, 0.0)):
            self._answered(job, future)

    def _wait_no_longer(self) -> None:
        again = "run again: what is done is not repeated"
        jobs = [job for _, _, job, _ in self._pauses]
        self._pauses.clear()
        for queues in self._ready.values():
            jobs += itertools.chain.from_iterable(queues.values())
            queues.clear()
        for job in jobs:
            self._advance(job, error=OperationTimeoutError("the run was stopped", remedy=again))

    def _enter_lanes(self) -> None:
        while self._may_start:  # in turns, so that a slow lane blocks no other
            lane, _ = self._may_start.popitem(last=False)
            if lane.waiting and lane.running < lane.most:
                job = lane.waiting.popleft()
                job.lane, lane.running = lane, lane.running + 1
                self._may_start[lane] = None
                if job.gave_way:
                    job.gave_way = False
                    self._queue(job, job.call)
                else:
                    self._advance(job, job.is_begun or None)  # it waited for its turn, or is new

    def _send_ready(self) -> float:
        """Send every call that has a thread and its tokens; return seconds until another may."""
        wait = LONGEST_TURN_SECONDS
        for queues in (self._ready[True], self._ready[False]):
            dry: set[tuple[BucketKey, ...]] = set()
            while self._threads.free and (keys := next((k for k in queues if k not in dry), None)):
                try:
                    seconds = self._throttle.reserve(keys)
                    if self.ends_at is not None and seconds > STOPPED_WAIT_SECONDS:
                        raise ArmThrottledError("Not sent: the run was stopped while it waited.")
                except ArmThrottledError as error:
                    self._advance(_next(queues, keys), error=error)
                    wait = 0.0
                    continue
                if seconds:
                    dry.add(keys)
                    wait = min(wait, seconds)
                    continue
                job = _next(queues, keys)
                self.running += not job.is_begun
                job.is_begun = True
                self._threads.start(job, job.call.send)
        return wait

    def _answered(self, job: Job, future: Future[Any]) -> None:
        error = future.exception()
        if isinstance(error, ArmThrottledError) and error.is_transient:
            job.refused_since = job.refused_since or self.clock()
            asked, waited = error.retry_after_seconds or 0.0, self.clock() - job.refused_since
            job.refusals += asked < FIRST_WAIT_SECONDS  # where none is sound, six are the end
            error.is_transient = job.refusals < ATTEMPTS
            if self.ends_at is None and not is_over(job.refusals, asked, waited):
                self._queue(job, job.call)  # at the end: not always the same one tries first
                return
        job.refused_since, job.refusals = None, 0
        self._advance(job, None if error else future.result(), error=error)

    def _advance(self, job: Job, value: Any = None, *, error: BaseException | None = None) -> None:
        """Hand the work an answer, and note what it wants next."""
        while True:
            try:
                step = job.work.throw(error) if error else job.work.send(value)
            except StopIteration:
                self._end(job)
                return
            if isinstance(step, Call):
                self._queue(job, step)
                return
            if isinstance(step, Pause):
                seconds = 0.0 if step.before_retry and self.is_stopped else step.seconds
                at = self.clock() + seconds
                heappush(self._pauses, (at, next(self._order), job, step))
                return
            lane, value, error = job.lane, False, None
            if isinstance(step, LeaveLane):
                self._leave_lane(job)
            elif lane is not None:
                lane.most = 1
                self._start_singly()
                if lane.running > 1:
                    self._leave_lane(job)
                    lane.waiting.appendleft(job)
                    return

    def _start_singly(self) -> None:
        """Hold every lane in which no two run to one at a time; what is too many waits again."""
        self._most_per_lane = 1
        begun = Counter(job.lane for job in self._jobs if job.is_begun)
        for lane in self._lanes.values():
            lane.most = lane.most if begun[lane] > 1 else 1
        for keys, queue in [*self._ready[False].items()]:
            for job in reversed([*queue]):
                if job.lane is not None and job.lane.running > job.lane.most == 1:
                    queue.remove(job)
                    job.lane.waiting.appendleft(job)
                    job.gave_way = True
                    self._leave_lane(job)
            if not queue:
                del self._ready[False][keys]

    def _queue(self, job: Job, call: Call) -> None:
        job.call, keys = call, self._throttle.keys(call.method, call.path)
        self._ready[job.is_begun].setdefault(keys, deque()).append(job)

    def _end(self, job: Job) -> None:
        self._jobs.pop(job)
        self.running -= job.is_begun
        self._leave_lane(job)

    def _leave_lane(self, job: Job) -> None:
        lane, job.lane = job.lane, None
        if lane is not None:
            lane.running -= 1
            self._may_start[lane] = None


def _next(queues: OrderedDict[Any, deque[Job]], keys: Any) -> Job:
    """Take the first of a queue; its turn comes again after the others'."""
    job = queues[keys].popleft()
    queues.move_to_end(keys)
    if not queues[keys]:
        del queues[keys]
    return job
