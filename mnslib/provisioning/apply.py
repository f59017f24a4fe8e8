"""Carry out an approved plan: bounded, journaled, exactly one outcome per item.

What happens to one namespace reads from top to bottom in `_Run._carry_out`; the scheduler decides
when each of its calls is made. An interrupt starts nothing new and waits for what runs.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mnslib.azure.scheduler import (
    Call,
    LeaveLane,
    Pause,
    Scheduler,
    ThreadPool,
    Threads,
    Work,
)
from mnslib.errors import (
    ArmConflictError,
    ArmForbiddenError,
    ArmPreconditionError,
    AuthError,
    ConfigError,
    MnsError,
    OperationTimeoutError,
    cut,
)
from mnslib.models import AccessGrant, DeletePolicy, ManagedNamespace
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.changes import Change, differences, namespace_to_json, planned_item
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.verify import is_under_way, item_now
from mnslib.resource_ids import ClusterId
from mnslib.results import DONE_OUTCOME, DRY_RUN, ApplyResult, ChangeKind, ItemOutcome, OutcomeKind

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.azure.operations import Operation

WORKERS = 8
MAX_PARALLEL_PER_CLUSTER = 4
"""Writes in flight on one cluster. Whether the service limits it is unconfirmed: start small."""

FRESH_FOR_WRITES = 20
"""A cluster's list is read again after so many writes on it, so that eTags stay current."""

LIST_PAUSE_SECONDS = 0.1
"""Between two looks whether that list has come."""

CONFLICT_DELAYS_SECONDS = (2.0, 5.0, 15.0, 30.0)
"""Waits before a 409 is tried again: another operation on the cluster needs its time."""

RELEASED = "the Kubernetes namespace stays, unmanaged"
"""Reason of a release: a deletion under delete policy Keep, which is what that policy says."""

STALE = "stale: somebody else changed it after it was read"
STALE_REMEDY = "make a new plan"
"""Reason and remedy of an item that is skipped: writing it would undo somebody else's change."""

RATE_ITEMS = 50
"""The rate that is shown is that of so many last items."""

READ_FIRST = "its outcome is unknown: run again, it is read first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an apply is; counts of items, seconds since it began.

    Attributes:
        rate_per_second: items that lately ended; 0 before there are two.
        left_seconds: until all are done at that rate; None where it is not known.
    """

    total: int
    done: int
    running: int
    waiting: int
    failed: int
    elapsed_seconds: float
    rate_per_second: float = 0.0
    left_seconds: float | None = None


Observer = Callable[[Progress], None]


@dataclass(slots=True)
class _Item:
    """One change on its way."""

    change: Change
    started: float | None = None
    is_accepted: bool = False
    granting: bool = False


@dataclass(slots=True)
class _ClusterList:
    """What a cluster was last listed to hold, and how many writes ago."""

    writes_since: int = 0
    is_being_read: bool = False
    listed: dict[str, ManagedNamespace] | None = None


def apply(
    approval: Approval,
    *,
    azure: AzureClient,
    journal: Journal,
    observer: Observer | None = None,
    clock: Callable[[], float] = time.monotonic,
    threads: Threads | None = None,
    max_parallel_per_cluster: int = MAX_PARALLEL_PER_CLUSTER,
) -> ApplyResult:
    """Return one outcome per change of the plan; writes only if the approval says so.

    Failures are outcomes, not exceptions. A first Ctrl-C (SIGINT) stops starting and waits for
    what runs; the rest is `not_attempted`.

    Args:
        threads: what carries the requests out; None for 8 threads.
        max_parallel_per_cluster: writes in flight on one cluster; at least 1.

    Raises:
        ConfigError: if that is less.
        OSError: if not even the plan can be journaled; nothing was written then.
    """
    if max_parallel_per_cluster < 1:
        raise ConfigError(
            f"max_parallel_per_cluster is {max_parallel_per_cluster}: write 1 or more."
        )
    plan = approval.plan
    threads = threads or ThreadPool(WORKERS)
    run = _Run(
        approval=approval,
        azure=azure,
        journal=journal,
        observer=observer,
        clock=clock,
        scheduler=azure.scheduler(threads, most_per_lane=max_parallel_per_cluster),
    )
    journal.write(
        "plan",
        digest=plan.digest,
        may_write=approval.may_write,
        changes=plan.counts(),
        risks=plan.risk_names(),
        items=[planned_item(change) for change in plan.changes],
    )
    try:
        run.run()
    finally:
        threads.close()
    with suppress(OSError):  # reported by then: nothing was started after the first failure
        journal.write("end", outcomes=run.result().counts())
    return run.result()


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


@dataclass(slots=True, kw_only=True, eq=False)
class _Run:
    """Runs the changes of one plan. Only `_send`, `_grant` and reads run on other threads."""

    approval: Approval
    azure: AzureClient
    journal: Journal
    observer: Observer | None
    clock: Callable[[], float]
    scheduler: Scheduler
    began: float = 0.0
    lists: dict[ClusterId, _ClusterList] = field(default_factory=lambda: defaultdict(_ClusterList))
    outcomes: dict[str, ItemOutcome] = field(default_factory=dict)
    failed: int = 0
    ended: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_ITEMS))
    interrupted_by: int | None = None
    journal_failed: bool = False

    def __post_init__(self) -> None:
        self.began = self.clock()
        for change in self.approval.plan.changes:
            if change.kind is ChangeKind.NO_CHANGE:
                self.outcomes[change.id.key] = _outcome(change, OutcomeKind.UNCHANGED)
                continue
            item = _Item(change)
            self.scheduler.add(
                self._work(item),
                lane=change.id.cluster,
                skipped=partial(self._finish, item, OutcomeKind.NOT_ATTEMPTED),
            )

    def result(self) -> ApplyResult:
        """Return the outcomes in the plan's order."""
        outcomes = tuple(self.outcomes[change.id.key] for change in self.approval.plan.changes)
        return ApplyResult(outcomes=outcomes, interrupted_by_signal=self.interrupted_by)

    def run(self) -> None:
        """Start and await until every item has its outcome."""
        if not self.approval.may_write:
            self.scheduler.stop(DRY_RUN)
            return
        with _interrupts_to(self._on_interrupt):
            self._report()
            while self.scheduler.has_work:
                if self.interrupted_by is not None and not self.scheduler.is_stopped:
                    self.scheduler.stop("interrupted")
                self.scheduler.turn()
                self._report()

    def _on_interrupt(self, number: int, _frame: object) -> None:
        # A flag, not an exception: it must not hit between a write and its bookkeeping.
        if self.interrupted_by is not None:
            raise KeyboardInterrupt
        self.interrupted_by = number

    # One item

    def _work(self, item: _Item) -> Work[None]:
        """Carry one change out, whatever happens, to exactly one outcome."""
        try:
            yield from self._carry_out(item)
        except ArmPreconditionError as error:
            if item.granting:
                self._finish(item, OutcomeKind.FAILED, *_reason(item, error))
                return
            self._finish(item, OutcomeKind.SKIPPED, STALE, STALE_REMEDY)
        except MnsError as error:
            self._finish(item, OutcomeKind.FAILED, *_reason(item, error))
            if isinstance(error, AuthError):
                self.scheduler.stop("the sign-in was lost")
        except Exception as error:
            # A full disk, a bug: the item is accounted for, and nothing new is started.
            reason = f"{type(error).__name__}: {cut(str(error))}"
            self._finish(item, OutcomeKind.FAILED, reason, READ_FIRST)
            self.scheduler.stop(f"stopped by {type(error).__name__}")
        else:
            kind, policy = item.change.kind, item.change.stored_delete_policy
            if kind is ChangeKind.DELETE and policy is not DeletePolicy.DELETE:
                self._finish(item, OutcomeKind.RELEASED, RELEASED)
            else:
                self._finish(item, DONE_OUTCOME[kind])

    def _carry_out(self, item: _Item) -> Work[None]:
        change = item.change
        if change.writes_namespace or change.kind is ChangeKind.DELETE:
            operation = yield from self._patiently(partial(self._write, item))
            if operation is not None:
                item.is_accepted = True
                yield from self.azure.operations.follow(operation)
        yield LeaveLane()
        item.granting = True
        for grant in change.grants:
            path = f"{change.id}/providers/Microsoft.Authorization/roleAssignments/new"
            call = Call("PUT", path, partial(self._grant, item, grant))
            yield from self._patiently(partial(_one, call))

    def _patiently(self, attempt: Callable[[], Work[Any]]) -> Work[Any]:
        """Try again after a conflict: another operation on the cluster needs its time."""
        for delay in CONFLICT_DELAYS_SECONDS:
            try:
                return (yield from attempt())
            except ArmConflictError as error:
                if self.scheduler.is_stopped:
                    raise
                yield Pause(error.retry_after_seconds or delay, before_retry=True)
        return (yield from attempt())

    def _write(self, item: _Item) -> Work[Operation | None]:
        change = item.change
        yield from self._check_fresh(change)
        method = "DELETE" if change.after is None else "PUT"
        operation: Operation | None = yield Call(method, str(change.id), partial(self._send, item))
        return operation

    def _check_fresh(self, change: Change) -> Work[None]:
        """Refuse the write if the namespace is not as it was planned on."""
        known = self.lists[change.id.cluster]
        known.writes_since += 1
        if change.before is not None:  # a creation overwrites nothing: If-None-Match guards it
            yield from self._list_again(change.id.cluster, known)
        read = Call("GET", str(change.id), partial(item_now, change.id, self.azure))
        if change.before is not None and change.etag is None:  # no If-Match will guard the write
            is_fresh = not differences(change.before, (yield read))
        else:
            # The list trails: where it disputes, only the item itself decides.
            is_fresh = (
                known.listed is None
                or _etag(known.listed.get(change.id.key)) == change.etag
                or _etag((yield read)) == change.etag
            )
        if not is_fresh:
            raise ArmPreconditionError(f"{change.id} was changed after it was read.")

    def _list_again(self, cluster: ClusterId, known: _ClusterList) -> Work[None]:
        while known.is_being_read:
            yield Pause(LIST_PAUSE_SECONDS)
        if known.writes_since <= FRESH_FOR_WRITES:
            return
        known.is_being_read = True
        try:
            find = self.azure.managed_namespaces.list_by_managed_cluster
            found = yield Call("GET", f"{cluster}/managedNamespaces", partial(find, cluster))
            known.listed = {namespace.id.key: namespace for namespace in found}
            known.writes_since = 1
        finally:
            known.is_being_read = False

    # Calls, each on a thread of its own

    def _send(self, item: _Item) -> Operation | None:
        """Send the write; None where nothing is left to wait for."""
        change, item.started = item.change, item.started or self.clock()
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

    def _grant(self, item: _Item, grant: AccessGrant) -> None:
        """Create a missing role assignment."""
        change, item.started = item.change, item.started or self.clock()
        self.journal.write(
            "granting", id=str(change.id), principal_id=grant.principal_id, role=grant.role
        )
        self.azure.role_assignments.create(
            str(change.id), grant, subscription_id=change.id.cluster.subscription_id
        )

    # Ending

    def _finish(
        self, item: _Item, outcome: OutcomeKind, reason: str = "", remedy: str = ""
    ) -> None:
        now = self.clock()
        duration = now - item.started if item.started is not None else 0.0
        done = replace(
            _outcome(item.change, outcome),
            reason=reason,
            remedy=remedy,
            duration_seconds=duration,
            is_dry_run=not self.approval.may_write,
        )
        self.outcomes[item.change.id.key] = done
        self.failed += outcome is OutcomeKind.FAILED
        self.ended.append(now)
        try:
            self.journal.write("finished", **done.to_json())
        except OSError as error:
            # The outcome is in the result all the same; without a journal nothing new is started.
            if not self.journal_failed:
                self.journal_failed = True
                self.scheduler.stop(f"the journal cannot be written: {error.strerror}")
        self._apply_stop_rule()

    def _apply_stop_rule(self) -> None:
        limit = self.approval.max_failures
        if limit is not None and self.failed >= max(limit, 1) and not self.scheduler.is_stopped:
            self.scheduler.stop(f"stop rule: {self.failed} failed, max_failures is {limit}")

    def _report(self) -> None:
        if self.observer is None:
            return
        total, done, now = len(self.approval.plan.changes), len(self.outcomes), self.clock()
        over = now - self.ended[0] if self.ended else 0.0
        rate = (len(self.ended) - 1) / over if over else 0.0
        self.observer(
            Progress(
                total=total,
                done=done,
                running=self.scheduler.running,
                waiting=self.scheduler.waiting,
                failed=self.failed,
                elapsed_seconds=now - self.began,
                rate_per_second=rate,
                left_seconds=(total - done) / rate if rate else None,
            )
        )


def _one(call: Call) -> Work[Any]:
    return (yield call)


def _outcome(change: Change, outcome: OutcomeKind) -> ItemOutcome:
    return ItemOutcome(
        id=change.id,
        change=change.kind,
        outcome=outcome,
        risks=tuple(sorted({risk.name.value for risk in change.risks})),
    )


def _reason(item: _Item, error: MnsError) -> tuple[str, str]:
    """Return why an item failed, and what to do next."""
    text = str(error).rstrip(".")
    if item.granting:
        return f"the namespace is as requested, but access is not: {text}", "run again once mended"
    if item.is_accepted and isinstance(error, OperationTimeoutError | AuthError):
        return f"started, but {text}", READ_FIRST
    if isinstance(error, ArmForbiddenError):
        return text, "give the caller that permission and run again"
    return text, "mend the cause and run again: what is done is not repeated"


def _etag(namespace: ManagedNamespace | None) -> str | None:
    return namespace.etag if namespace else None
