"""Carry out an approved plan: bounded, journaled, exactly one outcome per item.

Workers start writes; this one scheduler waits for all operations, so that what runs on the
service holds no thread here. An interrupt starts nothing new and waits for what runs.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mnslib.errors import (
    ArmConflictError,
    ArmForbiddenError,
    ArmPreconditionError,
    AuthError,
    MnsError,
    OperationTimeoutError,
    cut,
)
from mnslib.models import DeletePolicy, ManagedNamespace
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.changes import Change, differences, namespace_to_json, planned_item
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.verify import is_under_way, item_now
from mnslib.resource_ids import ClusterId
from mnslib.results import DONE_OUTCOME, DRY_RUN, ApplyResult, ChangeKind, ItemOutcome, OutcomeKind

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.azure.operations import FinishedOperation, Operation

WORKERS = 8
WRITES_PER_CLUSTER = 4
"""Writes in flight on one cluster. Whether the service limits it is unconfirmed: start small."""

FRESH_FOR_WRITES = 20
"""A cluster's list is read again after so many writes on it, so that eTags stay current."""

CONFLICT_DELAYS_SECONDS = (2.0, 5.0, 15.0, 30.0)
"""Waits before a 409 is tried again: another operation on the cluster needs its time."""

RELEASED = "the Kubernetes namespace stays, unmanaged"
"""Reason of a deletion under delete policy Keep, which is what that policy says."""

STALE = "stale: somebody else changed it after it was read; make a new plan"
"""Reason of an item that is skipped, since writing it would undo somebody else's change."""

READ_FIRST = "its outcome is unknown: run again, it is read first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an apply is; counts of items, seconds since it began."""

    total: int
    done: int
    running: int
    waiting: int
    failed: int
    elapsed_seconds: float


Observer = Callable[[Progress], None]


@dataclass(slots=True, eq=False)
class _Item:
    """One change on its way; identity, not content, tells items apart."""

    change: Change
    conflicts: int = 0
    not_before: float = 0.0
    started: float | None = None
    in_lane: bool = False
    granting: bool = False


@dataclass(slots=True)
class _ClusterLane:
    """The writes on one cluster: how many run, and how old the last list is."""

    running: int = 0
    writes_since_list: int = 0
    listed: dict[str, ManagedNamespace] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


def apply(
    approval: Approval,
    *,
    azure: AzureClient,
    journal: Journal,
    observer: Observer | None = None,
    clock: Callable[[], float] = time.monotonic,
    workers: int = WORKERS,
    writes_per_cluster: int = WRITES_PER_CLUSTER,
) -> ApplyResult:
    """Return one outcome per change of the plan; writes only if the approval says so.

    Failures are outcomes, not exceptions. A first Ctrl-C (SIGINT) stops starting and waits for
    what runs; the rest is `not_attempted`.
    """
    plan = approval.plan
    scheduler = _Scheduler(
        approval=approval,
        azure=azure,
        journal=journal,
        observer=observer,
        clock=clock,
        writes_per_cluster=writes_per_cluster,
    )
    journal.write(
        "plan",
        digest=plan.digest,
        may_write=approval.may_write,
        changes=plan.counts(),
        risks=plan.risk_names(),
        items=[planned_item(change) for change in plan.changes],
    )
    if approval.may_write:
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="apply") as pool:
            scheduler.run(pool)
    else:
        scheduler.abandon(DRY_RUN)
    with suppress(OSError):  # reported by then: nothing was started after the first failure
        journal.write("end", outcomes=scheduler.result().counts())
    return scheduler.result()


@contextmanager
def _interrupts_to(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Send SIGINT to the handler meanwhile; only the main thread may, others keep theirs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def interleaved(changes: Sequence[Change]) -> list[Change]:
    """Return the changes so that clusters take turns: a slow first creation blocks no other."""
    seen: Counter[ClusterId] = Counter()
    turns = []
    for change in changes:
        seen[change.id.cluster] += 1
        turns.append((seen[change.id.cluster], change))
    return [change for _, change in sorted(turns, key=lambda turn: turn[0])]


@dataclass(slots=True, kw_only=True, eq=False)
class _Scheduler:
    """Runs the changes of one plan. Only `_start` and `_grant` run on worker threads."""

    approval: Approval
    azure: AzureClient
    journal: Journal
    observer: Observer | None
    clock: Callable[[], float]
    writes_per_cluster: int
    began: float = 0.0
    waiting: deque[_Item] = field(default_factory=deque)
    futures: dict[Future[Any], _Item] = field(default_factory=dict)
    operations: dict[Operation, _Item] = field(default_factory=dict)
    lanes: dict[ClusterId, _ClusterLane] = field(default_factory=lambda: defaultdict(_ClusterLane))
    outcomes: dict[str, ItemOutcome] = field(default_factory=dict)
    interrupted_by: int | None = None
    journal_failed: bool = False

    def __post_init__(self) -> None:
        self.began = self.clock()
        self.waiting.extend(_Item(change) for change in interleaved(self.approval.plan.to_do))
        for change in self.approval.plan.changes:
            if change.kind is ChangeKind.NO_CHANGE:
                self.outcomes[change.id.key] = _outcome(change, OutcomeKind.UNCHANGED)

    def result(self) -> ApplyResult:
        """Return the outcomes in the plan's order."""
        outcomes = tuple(self.outcomes[change.id.key] for change in self.approval.plan.changes)
        return ApplyResult(outcomes=outcomes, interrupted_by_signal=self.interrupted_by)

    def run(self, pool: ThreadPoolExecutor) -> None:
        """Start and await until every item has its outcome."""
        with _interrupts_to(self._on_interrupt):
            self._report()
            while self.waiting or self.futures or self.operations:
                if self.interrupted_by is not None:
                    self.abandon("interrupted")
                self._start_what_may(pool)
                self._collect(pool)
                self._apply_stop_rule()

    def _on_interrupt(self, number: int, _frame: object) -> None:
        # A flag, not an exception: it must not hit between a write and its bookkeeping.
        if self.interrupted_by is not None:
            raise KeyboardInterrupt
        self.interrupted_by = number

    def abandon(self, reason: str) -> None:
        """Give everything that was not started the outcome `not_attempted`."""
        while self.waiting:
            self._finish(self.waiting.popleft(), OutcomeKind.NOT_ATTEMPTED, reason)

    def _apply_stop_rule(self) -> None:
        limit = self.approval.max_failures
        failed = self._counts()[OutcomeKind.FAILED]
        if limit is not None and self.waiting and failed >= max(limit, 1):
            self.abandon(f"stop rule: {failed} failed, max_failures is {limit}")

    # Starting

    def _start_what_may(self, pool: ThreadPoolExecutor) -> None:
        held: deque[_Item] = deque()
        now = self.clock()
        while self.waiting:
            item = self.waiting.popleft()
            lane = self.lanes[item.change.id.cluster]
            if item.not_before > now or lane.running >= self.writes_per_cluster:
                held.append(item)
                continue
            lane.running += 1
            item.in_lane = True
            item.started = now if item.started is None else item.started
            step = self._grant if item.granting else self._start
            self.futures[pool.submit(step, item.change, lane)] = item
        self.waiting = held

    def _start(self, change: Change, lane: _ClusterLane) -> Operation | None:
        """Send the write; None where nothing is left to wait for. Runs on a worker."""
        if not change.writes_namespace and change.kind is not ChangeKind.DELETE:
            return None
        self._check_fresh(change, lane)
        self.journal.write(
            "started",
            id=str(change.id),
            change=change.kind.value,
            before=namespace_to_json(change.before),
            after=namespace_to_json(change.after),
        )
        client, operation = self.azure.managed_namespaces, None
        try:
            if change.after is None:
                operation = client.begin_delete(change.id, if_match=change.etag)
            else:
                operation = client.begin_create_or_update(
                    change.after, if_match=change.etag, must_be_new=change.before is None
                )
        except (ArmPreconditionError, ArmConflictError):
            # A write whose answer was lost is sent again, and then meets its own first attempt.
            if not self._stands(change):
                raise
        self.journal.write("accepted", id=str(change.id))
        return operation

    def _stands(self, change: Change) -> bool:
        present = item_now(change.id, self.azure)
        if present is None:
            return change.after is None
        is_ours = change.after is None or not differences(change.after, present)
        if is_ours and is_under_way(present):
            raise ArmConflictError(f"{change.id} is {present.provisioning_state}.")
        return present.provisioning_state == "Succeeded" and not differences(change.after, present)

    def _check_fresh(self, change: Change, lane: _ClusterLane) -> None:
        """Refuse the write if the namespace is not as it was planned on."""
        with lane.lock:
            lane.writes_since_list += 1
            if lane.writes_since_list > FRESH_FOR_WRITES:
                found = self.azure.managed_namespaces.list_by_managed_cluster(change.id.cluster)
                lane.listed = {namespace.id.key: namespace for namespace in found}
                lane.writes_since_list = 1
            listed = lane.listed
        if change.before is not None and change.etag is None:  # no If-Match will guard the write
            is_fresh = not differences(change.before, item_now(change.id, self.azure))
        else:
            # The list trails: where it disputes, only the item itself decides.
            is_fresh = (
                listed is None
                or _etag(listed.get(change.id.key)) == change.etag
                or _etag(item_now(change.id, self.azure)) == change.etag
            )
        if not is_fresh:
            raise ArmPreconditionError(f"{change.id} was changed after it was read.")

    # Collecting

    def _collect(self, pool: ThreadPoolExecutor) -> None:
        if self.operations:
            patience = 0.02 if self.futures or self.waiting else 0.5
            for finished in self._next_finished(patience):
                item = self.operations.pop(finished.operation, None)
                if item is None:
                    continue  # given up when the sign-in was lost
                if finished.error is None:
                    self._written(item, pool)
                else:
                    self._finish(item, OutcomeKind.FAILED, _reason(item, finished.error))
        if self.futures:
            patience = 0.02 if self.operations else 0.5
            done, _ = wait(self.futures, timeout=patience, return_when=FIRST_COMPLETED)
            for future in done:
                self._future_ended(self.futures.pop(future), future, pool)
        elif not self.operations and self.waiting:
            time.sleep(0.05)  # everything left waits out a conflict
        self._report()

    def _next_finished(self, patience: float) -> list[FinishedOperation]:
        try:
            return self.azure.operations.next_finished(patience)
        except AuthError as error:
            # Nothing can be asked any more: say so for each, rather than wait for ever.
            for item in list(self.operations.values()):
                reason = f"started, but the sign-in was lost: {_flat(error)}; {READ_FIRST}"
                self._finish(item, OutcomeKind.FAILED, reason)
            self.operations.clear()
            self.abandon("the sign-in was lost")
            return []

    def _future_ended(self, item: _Item, future: Future[Any], pool: ThreadPoolExecutor) -> None:
        try:
            operation = future.result()
        except ArmConflictError as error:
            self._conflict(item, error)
        except ArmPreconditionError as error:
            if item.granting:
                self._finish(item, OutcomeKind.FAILED, _reason(item, error))
                return
            self._finish(item, OutcomeKind.SKIPPED, STALE)
        except MnsError as error:
            self._finish(item, OutcomeKind.FAILED, _reason(item, error))
            if isinstance(error, AuthError):
                self.abandon("the sign-in was lost")
        except Exception as error:
            # A full disk, a bug: the item is accounted for, and nothing new is started.
            reason = f"{type(error).__name__}: {cut(str(error))}".replace(";", ",")
            self._finish(item, OutcomeKind.FAILED, f"{reason}; {READ_FIRST}")
            self.abandon(f"stopped by {type(error).__name__}")
        else:
            if operation is None:
                self._written(item, pool)
            else:
                self.operations[operation] = item
                self.azure.operations.track(operation)

    def _conflict(self, item: _Item, error: ArmConflictError) -> None:
        if item.conflicts >= len(CONFLICT_DELAYS_SECONDS) or self.interrupted_by is not None:
            self._finish(item, OutcomeKind.FAILED, _reason(item, error))
            return
        delay = error.retry_after_seconds or CONFLICT_DELAYS_SECONDS[item.conflicts]
        item.conflicts += 1
        item.not_before = self.clock() + delay
        self._leave_lane(item)
        self.waiting.append(item)

    def _written(self, item: _Item, pool: ThreadPoolExecutor) -> None:
        """The namespace is as it shall be; who may use it comes next."""
        if item.change.grants and not item.granting:
            item.granting = True
            self.futures[pool.submit(self._grant, item.change)] = item
        else:
            kind, policy = item.change.kind, item.change.stored_delete_policy
            is_released = kind is ChangeKind.DELETE and policy is not DeletePolicy.DELETE
            self._finish(item, DONE_OUTCOME[kind], RELEASED if is_released else "")

    def _grant(self, change: Change, _: _ClusterLane | None = None) -> None:
        """Create the missing role assignments. Runs on a worker."""
        for grant in change.grants:
            self.journal.write(
                "granting", id=str(change.id), principal_id=grant.principal_id, role=grant.role
            )
            self.azure.role_assignments.create(
                str(change.id), grant, subscription_id=change.id.cluster.subscription_id
            )

    def _finish(self, item: _Item, outcome: OutcomeKind, reason: str = "") -> None:
        duration = self.clock() - item.started if item.started is not None else 0.0
        self._leave_lane(item)
        done = _outcome(item.change, outcome, reason=reason, duration_seconds=duration)
        self.outcomes[item.change.id.key] = done
        try:
            self.journal.write("finished", **done.to_json())
        except OSError as error:
            # The outcome is in the result all the same; without a journal nothing new is started.
            if not self.journal_failed:
                self.journal_failed = True
                self.abandon(f"the journal cannot be written: {error.strerror}")

    def _leave_lane(self, item: _Item) -> None:
        if item.in_lane:
            self.lanes[item.change.id.cluster].running -= 1
            item.in_lane = False

    def _counts(self) -> Counter[OutcomeKind]:
        return Counter(item.outcome for item in self.outcomes.values())

    def _report(self) -> None:
        if self.observer is None:
            return
        counts = self._counts()
        self.observer(
            Progress(
                total=len(self.approval.plan.changes),
                done=len(self.outcomes),
                running=len(self.futures) + len(self.operations),
                waiting=len(self.waiting),
                failed=counts[OutcomeKind.FAILED],
                elapsed_seconds=self.clock() - self.began,
            )
        )


def _outcome(
    change: Change, outcome: OutcomeKind, *, reason: str = "", duration_seconds: float = 0.0
) -> ItemOutcome:
    return ItemOutcome(
        id=change.id,
        change=change.kind,
        outcome=outcome,
        reason=reason,
        risks=tuple(sorted({risk.name.value for risk in change.risks})),
        duration_seconds=duration_seconds,
    )


def _reason(item: _Item, error: MnsError) -> str:
    """Return why an item failed, and what to do next after the first semicolon."""
    text = _flat(error)
    if item.granting:
        return f"the namespace is as requested, but access is not: {text}; run again once mended"
    if isinstance(error, OperationTimeoutError):
        return f"{text}; {READ_FIRST}"
    if isinstance(error, ArmForbiddenError):
        return f"{text}; give the caller that permission and run again"
    return f"{text}; mend the cause and run again: what is done is not repeated"


def _flat(error: MnsError) -> str:
    # What follows the first semicolon of a reason is the remedy.
    return str(error).rstrip(".").replace(";", ",")


def _etag(namespace: ManagedNamespace | None) -> str | None:
    return namespace.etag if namespace else None
