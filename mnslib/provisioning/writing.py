"""The life of one change: looked at, written, awaited, granted and revoked, what goes along with
its quota applied; tried again where that may help.

`Writer.carry_out` reads from top to bottom; the scheduler decides when each of its calls is made. A
plan may be read for an hour before it is approved, and whether the service obeys `If-Match` is
unconfirmed: each item is read just before its write, until the service was seen to refuse a write
under another eTag than the item's. So is the Kubernetes namespace that a creation might take over,
which nothing guards. Whatever was sent once is read before it is sent again, so that nothing is
written twice. Knows nothing of other items, outcomes or stop rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from mnslib import errors, models
from mnslib.azure.operations import OPERATION_TIMEOUT_SECONDS, OperationKind
from mnslib.azure.scheduler import Call, LeaveLane, Pause, Scheduler, TakeTurns, Work
from mnslib.azure.throttle import TOTAL_WAIT_SECONDS
from mnslib.models import ROLE_NAMES, AccessGrant, ManagedCluster, ManagedNamespace, RoleAssignment
from mnslib.provisioning import changes
from mnslib.provisioning.changes import Change, differences, namespace_to_json, not_as_asked, words
from mnslib.provisioning.companions import COLUMNS, NAMES, Companion, found
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.observe import ObservedState, item_now
from mnslib.results import ChangeKind

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.azure.operations import Operation
    from mnslib.kube.client import KubeClient

RETRY_DELAYS_SECONDS = (2.0, 5.0, 15.0, 30.0)
"""Waits before an item is tried again: another operation on the cluster needs its time, and so does
an outage, which each try outlasts for half a minute more (`azure.pipeline`)."""

_UNDER_WAY = frozenset({"Creating", "Updating", "Deleting"})
"""Source: azure-mgmt-containerservice, `NamespaceProvisioningState`."""

_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 1.0, 10.0

READ_SINGLY = 5
"""Items that are read just before their write until the service is asked whether it obeys. Our
choice: the question costs two calls more, and is a failed write in the activity log."""

NO_ETAG = "00000000-0000-0000-0000-000000000000"
"""No item's. A service that obeys refuses a write under it; one that does not makes it, and it is
the one that was to be made."""

STALE = "stale: somebody else changed it after it was read"
NOT_GRANTED = "stale: somebody else made the namespace meanwhile, so no role was assigned"
STALE_REMEDY = "make a new plan"
"""Reason and remedy of an item that is skipped: writing it would undo somebody else's change."""


class StaleItemError(errors.MnsError):
    """The item is not as it was planned on; ends as its outcome, with this text as the reason."""


@dataclass(slots=True)
class Item:
    """One change on its way.

    Attributes:
        started: the scheduler's clock when its first write went out, or when the one of an earlier
            run was begun to be waited for; None before.
        is_sent: a write went out, so that the next one is preceded by a read.
        is_accepted: the service was seen to work on it.
        stood: it was as requested before anything of this run was accepted.
        replaced: it was to be new, and the service answered that it was there.
        lacks: what may still fail though the namespace stands: access, or a column; else empty.
        told: what is worth saying of it though it went well.
    """

    change: Change
    started: float | None = None
    is_sent: bool = False
    is_accepted: bool = False
    stood: bool = False
    replaced: bool = False
    lacks: str = ""
    told: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Writer:
    """Carries changes out. Only what it hands to a `Call` runs on other threads."""

    observed: ObservedState
    azure: AzureClient
    kube_for: Callable[[ManagedCluster], KubeClient] | None
    journal: Journal
    scheduler: Scheduler

    def __post_init__(self) -> None:
        # whether the service obeys `If-Match` and `If-None-Match`; None while that is not known
        self._obeys: bool | None = None
        self._unasked = 0  # items that were sent since that was asked

    def carry_out(self, item: Item) -> Work[None]:
        """Write, await, grant and revoke, then apply what goes along with the quota.

        Raises:
            StaleItemError: if somebody else changed the item.
            MnsError: if it failed and trying again does not help, or helped too rarely.
        """
        change = item.change
        if change.is_begun:  # it may hang: what is ready does not wait for it
            item.is_sent, item.started = True, self.scheduler.clock()
            yield LeaveLane()
        if item.is_sent or change.writes_namespace or change.kind is ChangeKind.DELETE:
            yield from self._patiently(partial(self._write, item))
        else:  # or a role would land on another namespace of that name, made since
            yield from self._patiently(partial(self._look_at, change))
        is_added_to = bool(change.grants or change.companions)
        if change.before is None and is_added_to and (item.stood or item.replaced):
            # that lets somebody into what is another's: a plan that sees it names the risk
            raise (StaleItemError if item.stood else errors.StalePlanError)(NOT_GRANTED)
        yield LeaveLane()
        item.lacks = "access"
        path = f"{change.id}/providers/Microsoft.Authorization/roleAssignments/new"
        calls = [Call("PUT", path, partial(self._grant, item, grant)) for grant in change.grants]
        for held in change.revoked:  # after what is granted, so that nobody is without meanwhile
            calls.append(Call("DELETE", held.id, partial(self._revoke, item, held)))
        for call in calls:
            yield from self._patiently(partial(_one, call))
        for one in change.companions:
            item.lacks = COLUMNS[one.kind]
            path = f"/kubernetes/{change.id.namespace_name}/{NAMES[one.kind]}"  # of no bucket
            call = Call("PATCH", path, partial(self._accompany, item, one))
            yield from self._patiently(partial(_one, call))

    def _patiently(self, attempt: Callable[[], Work[None]]) -> Work[None]:
        """Try again, a few times, what may go well later."""
        for delay in RETRY_DELAYS_SECONDS:
            try:
                return (yield from attempt())
            except errors.KubeError as error:
                # a namespace that was just made may not be there yet
                may_pass = error.status in (None, 404, *errors.TRANSIENT_STATUSES)
                if not may_pass or self.scheduler.is_stopped:
                    raise
                yield Pause(delay, before_retry=True)
            except errors.ArmError as error:
                asked = error.retry_after_seconds or delay
                is_in_vain = not error.is_transient or asked > TOTAL_WAIT_SECONDS
                if is_in_vain or self.scheduler.is_stopped:
                    raise
                if error.is_busy and (yield TakeTurns()):
                    continue  # that was an operation of ours, which has ended
                yield Pause(asked, before_retry=True)
        return (yield from attempt())

    def _write(self, item: Item) -> Work[None]:
        """Make the namespace as requested, unless it is by now."""
        change, was_sent = item.change, item.is_sent
        may_be_ours = was_sent
        if not was_sent:
            try:
                return (yield from self._send_and_follow(item, change.before))
            except errors.ArmPreconditionError as error:
                # the pipeline sends again what got no answer, and that meets the first one
                may_be_ours = error.is_unclear
            except StaleItemError:  # or it is as requested by now
                pass
        found = yield from self._at_rest(item)
        is_as_requested = (found is None) is (change.after is None)
        wrong, told = not_as_asked(change, found)
        # what somebody added tells a namesake from ours only where nothing of ours arrived
        is_as_requested &= not wrong and (may_be_ours or not told)
        if is_as_requested and (found is None or found.provisioning_state == "Succeeded"):
            item.stood = not may_be_ours
            if item.stood:  # whatever its outcome says of the roles that come next
                self.journal.write("stood", id=str(change.id))
            return
        is_ours = found is not None and is_as_requested
        if was_sent and not is_made_anew(change.kind, found):
            is_ours |= not differences(change.before, found)  # a write of ours failed
        if not is_ours and not is_untouched(change.before, found):
            raise StaleItemError(STALE)
        yield from self._send_and_follow(item, found)

    def _look_at(self, change: Change) -> Work[None]:
        read = Call("GET", str(change.id), partial(item_now, change.id, self.azure))
        if not is_untouched(change.before, (yield read)):
            raise StaleItemError(STALE)

    def _send_and_follow(self, item: Item, over: ManagedNamespace | None) -> Work[None]:
        is_question = self._obeys is None and self._unasked >= READ_SINGLY and not item.is_sent
        # an answer that says nothing is asked for again, so many items later
        self._unasked = 0 if is_question else self._unasked + (not item.is_sent)
        method = "DELETE" if item.change.after is None else "PUT"
        send = partial(self._send, item, over, is_question=is_question)
        try:
            operation = yield Call(method, str(item.change.id), send)
        except errors.ArmPreconditionError:
            self._obeys = True
            raise
        if is_question or item.replaced:
            self._obeys = False
        if item.replaced:
            item.told.append(words("told")["replaced"])
        if operation is not None:
            item.is_accepted = True
            yield from self.azure.operations.follow(operation)

    def _at_rest(self, item: Item) -> Work[ManagedNamespace | None]:
        """Return the item as it is once the service no longer works on it."""
        target, pause = item.change.id, _FIRST_LOOK_SECONDS
        look = Call("GET", str(target), partial(item_now, target, self.azure))
        left, found = OPERATION_TIMEOUT_SECONDS, item.change.before
        while is_under_way(found := (yield look)):
            item.is_accepted = True
            if left <= 0:
                raise errors.OperationTimeoutError(
                    f"{target} is still {found.provisioning_state} after"
                    f" {OPERATION_TIMEOUT_SECONDS:.0f} s."
                )
            yield Pause(pause)
            left -= pause
            pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS)
        return found

    # Calls, each on a thread of its own

    def _send(
        self, item: Item, over: ManagedNamespace | None, *, is_question: bool
    ) -> Operation | None:
        """Send the write over what was read; None where nothing is left to wait for."""
        change, client = item.change, self.azure.managed_namespaces
        after = changes.with_added(change, over)
        etag = over.etag if over else None
        is_guarded = bool(self._obeys) and (over is None or etag is not None)
        # here, on this thread: between a look and a write no token is waited for
        if not item.is_sent and change.kind in (ChangeKind.CREATE, ChangeKind.ADOPT):
            self._require_same_on_cluster(change)
        if not is_guarded and not is_untouched(over, item_now(change.id, self.azure)):
            raise StaleItemError(STALE)
        self._begin(
            item,
            "started",
            change=change.kind.value,
            before=namespace_to_json(change.before),
            after=namespace_to_json(after),
        )
        item.is_sent = True
        etag = NO_ETAG if is_question else etag
        operation: Operation | None
        if after is None:
            operation = client.begin_delete(change.id, if_match=etag)
        else:
            must_be_new = over is None and not is_question
            operation = client.begin_create_or_update(after, if_match=etag, must_be_new=must_be_new)
            is_made = operation is None or operation.kind is OperationKind.CREATE
            item.replaced = over is None and not is_made
        self.journal.write("accepted", id=str(change.id), replaced=item.replaced)
        return operation

    def _require_same_on_cluster(self, change: Change) -> None:
        """Return if nothing of the Kubernetes namespace would be taken over or overwritten unseen.

        A plan that did not see the cluster has that as a risk, which was accepted.
        """
        planned, unknown = self.observed.clusters[change.id.cluster], ""
        if self.kube_for is None or planned.kubernetes is None:
            return
        was = planned.on_cluster(change.id)
        try:
            there = self.kube_for(planned.cluster).namespaces(change.id.namespace_name)
            why = "" if there == ([was] if was else []) else "changed" if was else "appeared"
        except (errors.KubeError, errors.ArmForbiddenError, errors.ArmConflictError) as error:
            policy = change.after and change.after.adoption_policy
            why = "" if policy in (None, models.AdoptionPolicy.NEVER) else "unseen"
            unknown = errors.cut(str(error))
        if why:
            told = words("stale")[why].format(
                name=change.id.namespace_name,
                where=f"on cluster {change.id.cluster.cluster_name}",
                unknown=unknown,
            )
            raise StaleItemError(f"stale: {told}")

    def _grant(self, item: Item, grant: AccessGrant) -> None:
        """Create a missing role assignment."""
        target, kind = item.change.id, grant.principal_type.value
        who = {"principal_type": kind, "principal_id": grant.principal_id, "role": grant.role}
        who |= self._called(grant.principal_id)
        # by the older form of the scope: to take both away would be more than to undo
        had_role = bool(self.observed.own_assignments(target, grant))
        self._begin(item, "granting", **who, had_role=had_role)
        where = target.cluster.subscription_id
        try:
            self.azure.role_assignments.create(str(target), grant, subscription_id=where)
        except errors.ArmConflictError as error:
            if error.code != "RoleAssignmentExists":
                raise
            # the same grant, under a name that somebody else chose; reading back, it must be there
            item.told.append(words("told")["assigned"].format(role=grant.role, said=error.said))
        else:
            self.journal.write("granted", id=str(target), **who)

    def _revoke(self, item: Item, held: RoleAssignment) -> None:
        """Delete a role assignment."""
        target, kind, role = item.change.id, held.principal_type, ROLE_NAMES[held.role_guid]
        who = {"principal_type": kind, "principal_id": held.principal_id, "role": role}
        who |= self._called(held.principal_id)
        about = {"assignment_id": held.id, "has_condition": bool(held.condition)}
        self._begin(item, "revoking", **who, **about)
        where = target.cluster.subscription_id
        if self.azure.role_assignments.delete(held, subscription_id=where):
            self.journal.write("revoked", id=str(target), **who)

    def _accompany(self, item: Item, companion: Companion) -> None:
        """Apply or delete an object beside the quota, unless it is so by now.

        A field that somebody else has taken since is never overwritten: the server refuses that.
        """
        assert self.kube_for is not None, "what was not read has no companions planned"
        target, kind = item.change.id, companion.kind
        kube, name = self.kube_for(self.observed.clusters[target.cluster].cluster), NAMES[kind]
        own = target.namespace_name
        there = found(own, kube.limit_ranges(own), kube.resource_quotas(own))[kind]
        if there == companion.after:  # perhaps by a write of ours whose answer was lost
            self.journal.write("applied", id=str(target), kind=kind)
            return
        if there != companion.before:
            raise StaleItemError(words("stale")["companion"].format(name=name))
        self._begin(item, "applying", **asdict(companion))
        if companion.after:
            kube.apply(companion.manifest(own))
        else:
            kube.delete(kind, name, namespace=own)
        self.journal.write("applied", id=str(target), kind=kind)

    def _called(self, principal_id: str) -> dict[str, str]:
        one = self.observed.principals.get(principal_id.lower())
        return {"principal_name": one.name} if one else {}

    def _begin(self, item: Item, event: str, **details: Any) -> None:
        """Have it in the journal that a request goes out next."""
        item.started = item.started or self.scheduler.clock()
        self.journal.write(event, id=str(item.change.id), **details)


def _one(call: Call) -> Work[Any]:
    return (yield call)


def is_under_way(namespace: ManagedNamespace | None) -> bool:
    """Return whether the service still works on it."""
    return namespace is not None and namespace.provisioning_state in _UNDER_WAY


def is_untouched(was: ManagedNamespace | None, found: ManagedNamespace | None) -> bool:
    """Return whether an item is as it was read, by its eTag where it has one."""
    if was is None or found is None:
        return was is found
    return found.etag == was.etag if was.etag is not None else not differences(was, found)


def is_made_anew(kind: ChangeKind, found: ManagedNamespace | None) -> bool:
    """Return whether what a deletion meets under another eTag than planned on is another namespace.

    It is well then, with a content of its own, however equal its fields: a deletion of ours that
    came to nothing would have left it failed.
    """
    state = found and found.provisioning_state
    return kind is ChangeKind.DELETE and state == "Succeeded"
