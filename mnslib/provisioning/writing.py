"""The life of one change: written, awaited, granted and revoked; tried again where that may help.

`Writer.carry_out` reads from top to bottom; the scheduler decides when each of its calls is made.
Whatever was sent once is read before it is sent again, so that nothing is written twice. Knows
nothing of other items, outcomes or stop rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mnslib.azure.operations import OPERATION_TIMEOUT_SECONDS
from mnslib.azure.scheduler import Call, LeaveLane, Pause, Scheduler, Work
from mnslib.errors import (
    ArmConflictError,
    ArmError,
    ArmPreconditionError,
    ArmServerError,
    ArmThrottledError,
    ArmUnreachableError,
    OperationFailedError,
    OperationTimeoutError,
)
from mnslib.models import ROLE_NAMES, AccessGrant, ManagedNamespace, RoleAssignment
from mnslib.provisioning.changes import Change, differences, namespace_to_json
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.lookout import (
    STALE,
    Lookout,
    StaleItemError,
    is_made_anew,
    is_untouched,
)
from mnslib.provisioning.observe import item_now
from mnslib.provisioning.verify import is_under_way
from mnslib.results import ChangeKind

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.azure.operations import Operation

RETRY_DELAYS_SECONDS = (2.0, 5.0, 15.0, 30.0)
"""Waits before an item is tried again: another operation on the cluster needs its time, and so does
an outage, which each try outlasts for half a minute more (`azure.pipeline.Retries`)."""

LONGEST_DELAY_SECONDS = 300.0
"""A service that asks for more is not waited for; as `Retries.total_seconds`."""

_TRANSIENT = (
    ArmConflictError, ArmUnreachableError, ArmServerError, ArmThrottledError,
    ArmPreconditionError,  # after a read: our own first attempt may have arrived since
)  # fmt: skip
_TRANSIENT_CODES = frozenset({
    "InternalError", "InternalServerError", "InternalOperationError", "RetryableError",
    "ServerTimeout", "ServiceUnavailable", "GatewayTimeout", "TooManyRequests",
})  # fmt: skip
"""Of failed operations: what the service blames on itself. Source: ARM's common error codes, and
AKS issue 5410 for InternalError. A canceled one is not among them: somebody meant it."""

_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 1.0, 10.0


@dataclass(slots=True)
class Item:
    """One change on its way.

    Attributes:
        started: the scheduler's clock when its first write went out; None before.
        is_sent: a write went out, so that the next one is preceded by a read.
        is_accepted: the service was seen to work on it.
        granting: the namespace stands, roles are being assigned and taken away.
    """

    change: Change
    started: float | None = None
    is_sent: bool = False
    is_accepted: bool = False
    granting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Carries changes out. Only what it hands to a `Call` runs on other threads."""

    azure: AzureClient
    journal: Journal
    lookout: Lookout
    scheduler: Scheduler

    def carry_out(self, item: Item) -> Work[None]:
        """Write, await, grant and revoke.

        Raises:
            StaleItemError: if somebody else changed the item.
            MnsError: if it failed and trying again does not help, or helped too rarely.
        """
        change = item.change
        if change.writes_namespace or change.kind is ChangeKind.DELETE:
            yield from self._patiently(partial(self._write, item))
        yield LeaveLane()
        item.granting = True
        for grant in change.grants:
            path = f"{change.id}/providers/Microsoft.Authorization/roleAssignments/new"
            call = Call("PUT", path, partial(self._grant, item, grant))
            yield from self._patiently(partial(_one, call))
        for held in change.revoked:  # after what is granted, so that nobody is without meanwhile
            call = Call("DELETE", held.id, partial(self._revoke, item, held))
            yield from self._patiently(partial(_one, call))

    def _patiently(self, attempt: Callable[[], Work[None]]) -> Work[None]:
        """Try again, a few times, what may go well later."""
        for delay in RETRY_DELAYS_SECONDS:
            try:
                return (yield from attempt())
            except ArmError as error:
                asked = error.retry_after_seconds or delay
                is_in_vain = not _is_transient(error) or asked > LONGEST_DELAY_SECONDS
                if is_in_vain or self.scheduler.is_stopped:
                    raise
                yield Pause(asked, before_retry=True)
        return (yield from attempt())

    def _write(self, item: Item) -> Work[None]:
        """Make the namespace as requested, unless it is by now."""
        change, was_sent = item.change, item.is_sent
        if not was_sent:
            yield from self.lookout.check(change)
            try:
                return (yield from self._send_and_follow(item, over=change.before))
            except ArmPreconditionError:
                pass  # the pipeline sends again what got no answer, and that meets the first one
        found = yield from self._at_rest(item)
        if _stands(change, found):
            return
        is_ours = found is not None and not differences(change.after, found)
        if was_sent and not is_made_anew(change.kind, found):
            is_ours |= not differences(change.before, found)  # a write of ours failed
        if not is_ours and not is_untouched(change, found):
            raise StaleItemError(STALE)
        yield from self._send_and_follow(item, over=found)

    def _send_and_follow(self, item: Item, *, over: ManagedNamespace | None) -> Work[None]:
        method = "DELETE" if item.change.after is None else "PUT"
        operation = yield Call(method, str(item.change.id), partial(self._send, item, over))
        if operation is not None:
            item.is_accepted = True
            yield from self.azure.operations.follow(operation)

    def _at_rest(self, item: Item) -> Work[ManagedNamespace | None]:
        """Return the item as it is once the service no longer works on it."""
        target, pause = item.change.id, _FIRST_LOOK_SECONDS
        left = OPERATION_TIMEOUT_SECONDS
        found: ManagedNamespace | None
        while True:
            found = yield Call("GET", str(target), partial(item_now, target, self.azure))
            if found is None or not is_under_way(found):
                return found
            item.is_accepted = True
            if left <= 0:
                raise OperationTimeoutError(
                    f"{target} is still {found.provisioning_state} after"
                    f" {OPERATION_TIMEOUT_SECONDS:.0f} s."
                )
            yield Pause(pause)
            left -= pause
            pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS)

    # Calls, each on a thread of its own

    def _send(self, item: Item, over: ManagedNamespace | None) -> Operation | None:
        """Send the write over what was read; None where nothing is left to wait for."""
        change, item.started = item.change, item.started or self.scheduler.clock()
        self.journal.write(
            "started",
            id=str(change.id),
            change=change.kind.value,
            before=namespace_to_json(change.before),
            after=namespace_to_json(change.after),
        )
        item.is_sent = True
        client, etag = self.azure.managed_namespaces, over.etag if over else None
        operation: Operation | None
        if change.after is None:
            operation = client.begin_delete(change.id, if_match=etag)
        else:
            operation = client.begin_create_or_update(
                change.after, if_match=etag, must_be_new=over is None
            )
        self.journal.write("accepted", id=str(change.id))
        return operation

    def _grant(self, item: Item, grant: AccessGrant) -> None:
        """Create a missing role assignment."""
        change, item.started = item.change, item.started or self.scheduler.clock()
        self.journal.write(
            "granting",
            id=str(change.id),
            principal_type=grant.principal_type.value,
            principal_id=grant.principal_id,
            role=grant.role,
        )
        self.azure.role_assignments.create(
            str(change.id), grant, subscription_id=change.id.cluster.subscription_id
        )

    def _revoke(self, item: Item, held: RoleAssignment) -> None:
        """Delete a role assignment."""
        change, item.started = item.change, item.started or self.scheduler.clock()
        self.journal.write(
            "revoking",
            id=str(change.id),
            principal_type=held.principal_type,
            principal_id=held.principal_id,
            role=ROLE_NAMES[held.role_guid],
            assignment_id=held.id,
            has_condition=bool(held.condition),
        )
        self.azure.role_assignments.delete(held, subscription_id=change.id.cluster.subscription_id)


def _one(call: Call) -> Work[Any]:
    return (yield call)


def _is_transient(error: ArmError) -> bool:
    if isinstance(error, OperationFailedError):
        return error.code in _TRANSIENT_CODES
    return isinstance(error, _TRANSIENT)


def _stands(change: Change, found: ManagedNamespace | None) -> bool:
    if found is None:
        return change.after is None
    return found.provisioning_state == "Succeeded" and not differences(change.after, found)
