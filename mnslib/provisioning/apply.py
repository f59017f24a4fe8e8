"""Carry out an approved plan: bounded, journaled, exactly one outcome per item; then read it back.

What happens to one namespace is in `writing`. An interrupt starts nothing new and waits for what
runs. Reading back, the list that was read again decides; where it disputes, one read of the item
itself does, since the list can trail.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from mnslib import errors, results
from mnslib.azure.scheduler import STOPPED_WAIT_SECONDS, ThreadPool, Work
from mnslib.models import ROLE_NAMES, ManagedCluster, NamespaceSpec
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.changes import Change, mentioned, not_as_asked, planned_item
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.observe import ObservedState
from mnslib.provisioning.plan import Plan, make_plan
from mnslib.provisioning.principals import with_names
from mnslib.provisioning.writing import STALE_REMEDY, Item, StaleItemError, Writer
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.results import DRY_RUN, WRITTEN_OUTCOMES, ApplyResult, ItemOutcome, OutcomeKind
from mnslib.signals import end_pauses, signals_to, stop_seconds

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.kube.client import KubeClient

WORKERS = 8
MAX_PARALLEL_PER_CLUSTER = 4
"""Writes in flight on one cluster. Whether the service limits it is unconfirmed: start small."""

RELEASED = "the Kubernetes namespace stays, unmanaged"
"""Reason of a release: a deletion under delete policy Keep, which is what that policy says."""

STOOD = "it was as requested already"
"""Reason of an item that somebody else had made so before anything of the run was accepted."""

RATE_ITEMS = 50
"""The rate that is shown is that of so many last items."""

AWAITED_SHARE = 0.8
"""Of the time that a stop may take, for what is under way; the rest is to read back and record."""

READ_FIRST = "its outcome is unknown: run again, it is read first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an apply is; counts of items, seconds since it began.

    Attributes:
        done: have an outcome, whichever; those that a stop left out are `not_attempted` instead.
        awaited: under way for a minute or more, with the minutes; the longest first.
        stops_in_minutes: so long, rounded up, what runs is still waited for after a stop; None
            without one.
        rate_per_second: items that lately ended; 0 before there are two.
        left_seconds: until all are done at that rate; None where it is not known.
    """

    total: int
    done: int
    running: int
    waiting: int
    failed: int
    elapsed_seconds: float
    not_attempted: int = 0
    awaited: Sequence[tuple[ManagedNamespaceId, int]] = ()
    stops_in_minutes: int | None = None
    rate_per_second: float = 0.0
    left_seconds: float | None = None


Observer = Callable[[Progress], None]
Asked = Mapping[ManagedNamespaceId, Set[str]]


def apply(
    approval: Approval,
    *,
    azure: AzureClient,
    journal: Journal,
    kube_for: Callable[[ManagedCluster], KubeClient] | None = None,
    observer: Observer | None = None,
    threads: ThreadPool | None = None,
    max_parallel_per_cluster: int = MAX_PARALLEL_PER_CLUSTER,
    is_stopped: Callable[[], bool] = lambda: False,
    writer: Callable[..., Writer] = Writer,
) -> ApplyResult:
    """Return one outcome per change of the plan; writes only if the approval says so.

    Failures are outcomes, not exceptions. A first Ctrl-C (SIGINT) stops starting and waits for
    what runs; the rest is `not_attempted`. So does `is_stopped`, where no signal comes: on another
    thread than the first.

    Args:
        kube_for: opens a cluster's Kubernetes API, where a namespace is looked for just before it
            is made or taken over; None leaves it.
        threads: what carries the requests out; None for 8 threads.
        max_parallel_per_cluster: writes in flight on one cluster; at least 1.
        writer: makes what carries a change out.

    Raises:
        ConfigError: if that is less.
        OSError: if not even the plan can be journaled; nothing was written then.
    """
    if max_parallel_per_cluster < 1:
        said = f"max_parallel_per_cluster is {max_parallel_per_cluster}: write 1 or more."
        raise errors.ConfigError(said)
    plan = approval.plan
    threads = threads or ThreadPool(WORKERS)
    carrier = writer(
        observed=plan.observed,
        azure=azure,
        kube_for=kube_for,
        journal=journal,
        scheduler=azure.scheduler(threads, most_per_lane=max_parallel_per_cluster),
    )
    run = _Run(approval, carrier, observer, is_stopped)
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


class _Run:
    """Runs the changes of one plan."""

    def __init__(
        self,
        approval: Approval,
        writer: Writer,
        observer: Observer | None,
        is_stopped: Callable[[], bool],
    ) -> None:
        self.approval, self.plan, self.observer = approval, approval.plan, observer
        self.is_stopped = is_stopped
        self.writer, self.scheduler, self.journal = writer, writer.scheduler, writer.journal
        self.began = self.scheduler.clock()
        self.outcomes: dict[str, ItemOutcome] = {}
        self.open: dict[str, Item] = {}
        self.failing = set(approval.failed_before)
        self.failed = self.not_attempted = 0
        self.has_written = False
        self.ended: deque[float] = deque(maxlen=RATE_ITEMS)
        self.interrupted_by: int | None = None
        for change in self.plan.changes:
            if change.kind is results.ChangeKind.NO_CHANGE:
                self.outcomes[change.id.key] = ItemOutcome(
                    id=change.id, change=change.kind, outcome=OutcomeKind.UNCHANGED
                )
                continue
            self.open[change.id.key] = item = Item(change)
            skipped = partial(self._finish, item, OutcomeKind.NOT_ATTEMPTED)
            self.scheduler.add(self._work(item), lane=change.id.cluster, skipped=skipped)

    def result(self) -> ApplyResult:
        """Return the outcomes in the plan's order."""
        return ApplyResult(
            outcomes=tuple(self.outcomes[change.id.key] for change in self.plan.changes),
            plan_risks=tuple(risk.name.value for risk in self.plan.plan_risks),
            has_written=self.has_written,
            interrupted_by_signal=self.interrupted_by,
        )

    def run(self) -> None:
        """Start and await until every item has its outcome."""
        if not self.approval.may_write:
            self.scheduler.stop(DRY_RUN)
            return
        with signals_to(self._on_interrupt, signal.SIGINT):
            self._report()
            while self.scheduler.has_work:
                if self.interrupted_by is None and self.is_stopped():
                    self.interrupted_by = signal.SIGINT
                if self.interrupted_by is not None:
                    end_pauses(STOPPED_WAIT_SECONDS)
                    if self.scheduler.ends_at is None:
                        self.scheduler.stop("interrupted", within=AWAITED_SHARE * stop_seconds())
                self.scheduler.turn()
                self._report()

    def _on_interrupt(self, number: int, _frame: object) -> None:
        # A flag, not an exception: it must not hit between a write and its bookkeeping.
        if self.interrupted_by is not None:
            raise KeyboardInterrupt
        self.interrupted_by = number

    def _work(self, item: Item) -> Work[None]:
        """Carry one change out, whatever happens, to exactly one outcome."""
        try:
            yield from self.writer.carry_out(item)
        except StaleItemError as error:
            self._finish(item, OutcomeKind.SKIPPED, str(error), STALE_REMEDY)
        except errors.MnsError as error:
            self._finish(item, OutcomeKind.FAILED, *_reason(item, error))
            if isinstance(error, errors.AuthError):
                self.scheduler.stop("the sign-in was lost")
        except Exception as error:
            # A full disk, a bug: the item is accounted for, and nothing new is started.
            reason = f"{type(error).__name__}: {errors.cut(str(error))}"
            self._finish(item, OutcomeKind.FAILED, reason, READ_FIRST)
            self.scheduler.stop(f"stopped by {type(error).__name__}")
        else:
            change = item.change
            if item.stood and not (change.grants or change.revoked or change.companions):
                self._finish(item, OutcomeKind.UNCHANGED, STOOD)
            elif change.is_release:
                self._finish(item, OutcomeKind.RELEASED, RELEASED)
            else:
                done = OutcomeKind.UPDATED if item.replaced else results.DONE_OUTCOME[change.kind]
                self._finish(item, done, "; ".join(item.told))

    def _finish(self, item: Item, outcome: OutcomeKind, reason: str = "", remedy: str = "") -> None:
        change, now = item.change, self.scheduler.clock()
        key = change.id.key
        del self.open[key]
        done = self.outcomes[key] = ItemOutcome(
            id=change.id,
            change=change.kind,
            outcome=outcome,
            risks=tuple(change.risk_names),
            reason=with_names(reason, self.plan.observed.principals),
            remedy=remedy,
            duration_seconds=0.0 if item.started is None else now - item.started,
            is_dry_run=not self.approval.may_write,
        )
        if outcome is OutcomeKind.FAILED:
            self.failed += 1
            self.failing.add(key)
        elif outcome not in results.OPEN_OUTCOMES:
            self.failing.discard(key)
        self.not_attempted += outcome is OutcomeKind.NOT_ATTEMPTED
        stands = (item.lacks or item.replaced) and item.is_sent and not item.stood
        self.has_written |= bool(stands) or outcome in WRITTEN_OUTCOMES
        self.ended.append(now)
        try:
            self.journal.write("finished", **done.to_json())
        except OSError as error:
            # The outcome is in the result all the same; without a journal nothing new is started.
            if not self.scheduler.is_stopped:
                self.scheduler.stop(f"the journal cannot be written: {error.strerror}")
        limit, number = self.approval.max_failures, len(self.failing)
        if limit is not None and number >= max(limit, 1) and not self.scheduler.is_stopped:
            before = len(self.failing & self.approval.failed_before)
            words = f" ({before} of them in the run that is resumed already)" if before else ""
            self.scheduler.stop(f"stop rule: {number} failed{words}, max_failures is {limit}")

    def _report(self) -> None:
        if self.observer is None:
            return
        total, now = len(self.plan.changes), self.scheduler.clock()
        done = len(self.outcomes) - self.not_attempted
        over = now - self.ended[0] if self.ended else 0.0
        rate = (len(self.ended) - 1) / over if over else 0.0
        ends_at = self.scheduler.ends_at
        begun = [(i.change.id, int(now - i.started) // 60) for i in self.open.values() if i.started]
        progress = Progress(
            total=total,
            done=done,
            running=self.scheduler.running,
            waiting=self.scheduler.waiting,
            failed=self.failed,
            elapsed_seconds=now - self.began,
            not_attempted=self.not_attempted,
            awaited=sorted((one for one in begun if one[1]), key=lambda one: -one[1]),
            stops_in_minutes=None if ends_at is None else ceil(max(ends_at - now, 0) / 60),
            rate_per_second=rate,
            left_seconds=(total - done) / rate if rate else None,
        )
        self.observer(progress)


def _reason(item: Item, error: errors.MnsError) -> tuple[str, str]:
    """Return why an item failed, and what to do next."""
    text, told = str(error), ""
    if isinstance(error, errors.ArmError):
        text, told = error.what, error.remedy
    text = text.rstrip(".")
    if item.lacks:
        text = f"the namespace is as requested, but {item.lacks} is not: {text}"
        return text, told or "run again once mended"
    if item.is_accepted and isinstance(error, errors.OperationTimeoutError | errors.AuthError):
        return f"started, but {text}", READ_FIRST
    return text, told or "mend the cause and run again: what is done is not repeated"


# Reading back


def read_back(
    plan: Plan,
    result: ApplyResult,
    specs: Sequence[NamespaceSpec],
    *,
    again: ObservedState,
    azure: AzureClient,
) -> tuple[ApplyResult, Plan]:
    """Return the result with every item failed that does not read back as it was asked.

    What else is not as it was sent, such as a tag that a policy added, is told in its reason.
    And what is left to change of the items that are as requested: nothing, if all is well.
    Outcomes of an earlier run, of items outside the plan, stay as they are.

    Args:
        again: what was read after the apply.

    Raises:
        MnsError: if somebody changed one meanwhile so that it cannot even be planned.
    """
    done = {item.id for item in result.outcomes if item.outcome in WRITTEN_OUTCOMES}
    asked = {spec.id: mentioned(spec) for spec in specs}
    written = {change.id: change for change in plan.to_do if change.id in done}
    disputed = [id_ for id_, change in written.items() if _read(change, again, asked)[0]]
    again = again.with_items(disputed, azure)
    checked = (
        _check(written[item.id], item, again, asked) if item.id in written else item
        for item in result.outcomes
    )
    result = replace(result, outcomes=tuple(checked))
    left_out = {item.id for item in result.unfinished}
    try:
        left = make_plan([s for s in specs if s.id not in left_out], again, is_begun=True)
    except errors.SpecError as error:  # whose own text says that nothing was written
        problems = "; ".join(map(str, error.problems))
        what = "The outcomes stand, but somebody changed what was asked for since it was read:"
        raise errors.MnsError(f"{what} {errors.cut(problems)} Run it again.") from error
    return result, left


def not_read_back(plan: Plan, result: ApplyResult, error: errors.MnsError) -> ApplyResult:
    """Return the result with every item failed that was written, since none can be read again."""
    written = {change.id for change in plan.to_do}
    outcomes = []
    for item in result.outcomes:
        if item.outcome in WRITTEN_OUTCOMES and item.id in written:
            reason = f"{item.outcome.value}, but it cannot be read back: {error}"
            item = replace(item, outcome=OutcomeKind.FAILED, reason=reason, remedy=READ_FIRST)
        outcomes.append(item)
    return replace(result, outcomes=tuple(outcomes))


def _read(change: Change, again: ObservedState, asked: Asked) -> tuple[list[str], list[str]]:
    """Return in what an item is not as it was asked to become, and in what else not as sent."""
    there = again.find(change.id)
    if (there is None) is not (change.after is None):
        return ["it is still there" if there else "it is not there"], []
    wrong, told = not_as_asked(change, there, asked=asked.get(change.id, ()))
    return (
        [f"{d.path} is {d.new or 'absent'}, not {d.old or 'absent'}" for d in wrong],
        [f"{d.path} is {d.new or 'gone'}" for d in told],
    )


def _check(change: Change, outcome: ItemOutcome, again: ObservedState, asked: Asked) -> ItemOutcome:
    found, told = _read(change, again, asked)
    found += [
        f"role {grant.role} is not assigned to {with_names(grant.principal_id, again.principals)}"
        for grant in change.grants
        if not again.has_grant(change.id, grant)
    ]
    found += [
        f"role {ROLE_NAMES[held.role_guid]} is still assigned at {held.scope}"
        f" to {with_names(held.principal_id, again.principals)}"
        for held in change.revoked
        if (held.scope.lower(), held.principal_id.lower(), held.role_guid) in again.grants
    ]
    cluster = again.clusters[change.id.cluster]
    if change.companions and cluster.kubernetes is None:  # else the plan made again tells
        found.append(f"its LimitRange and quota cannot be read: {cluster.kubernetes_unknown}")
    reasons = [outcome.reason] if outcome.reason else []
    if told:
        added = errors.cut(", ".join(told))
        reasons.append(f"not asked for, by a policy or somebody else: {added}")
    if found:
        reasons.insert(0, f"reads back differently: {', '.join(found)}")
        remedy = "look at it before running again"
        outcome = replace(outcome, outcome=OutcomeKind.FAILED, remedy=remedy)
    return replace(outcome, reason="; ".join(reasons))
