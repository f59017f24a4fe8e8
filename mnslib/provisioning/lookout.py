"""How old is what a write rests on? A cluster is looked at again before that is too long ago.

A plan may be read for an hour before it is approved, and no eTag guards what does not exist yet.
Knows nothing of how a change is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from mnslib.azure.scheduler import Call, Pause, Work
from mnslib.errors import ArmForbiddenError, KubeError, MnsError, cut
from mnslib.kube_models import KubernetesNamespace
from mnslib.models import AdoptionPolicy, ManagedCluster, ManagedNamespace
from mnslib.provisioning.changes import Change, differences
from mnslib.provisioning.observe import item_now
from mnslib.provisioning.observed import ObservedCluster, ObservedState
from mnslib.results import ChangeKind

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient
    from mnslib.kube.client import KubeClient

FRESH_FOR_WRITES = 20
"""A cluster's list is read again after so many writes on it, so that eTags stay current."""

FRESH_FOR = timedelta(minutes=5)
"""And before a write when it is so old. Our choice: a scheduled run writes within seconds and pays
nothing for it, a person has read a plan for longer."""

LOOK_PAUSE_SECONDS = 0.1
"""Between two looks whether that list has come."""

STALE = "stale: somebody else changed it after it was read"
STALE_REMEDY = "make a new plan"
"""Reason and remedy of an item that is skipped: writing it would undo somebody else's change."""


class StaleItemError(MnsError):
    """The item is not as it was planned on; ends as its outcome, with this text as the reason."""


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What a cluster was last seen to hold.

    Attributes:
        listed: managed namespaces by key; None as long as the plan's own reading will do.
        on_cluster: Kubernetes namespaces by name; as `listed`.
        kubernetes_unknown: why those could not be read again; empty if they were.
    """

    planned: ObservedCluster
    moment: datetime
    writes_since: int = 0
    is_being_read: bool = False
    listed: dict[str, ManagedNamespace] | None = None
    on_cluster: dict[str, KubernetesNamespace] | None = None
    kubernetes_unknown: str = ""


class Lookout:
    """Refuses to write what is no more as it was planned on."""

    def __init__(
        self,
        observed: ObservedState,
        *,
        azure: AzureClient,
        kube_for: Callable[[ManagedCluster], KubeClient] | None,
        now: Callable[[], datetime],
    ) -> None:
        self._azure = azure
        self._kube_for = kube_for
        self._now = now
        self._seen = {
            cluster: _Seen(planned=found, moment=datetime.fromisoformat(found.read_utc))
            for cluster, found in observed.clusters.items()
        }

    def check(self, change: Change) -> Work[None]:
        """Look at the cluster again where that is due; work for the scheduler.

        Raises:
            StaleItemError: if the item was changed, or appeared, after the plan was made.
            ArmError: if looking was refused.
        """
        seen = self._seen[change.id.cluster]
        yield from self._look_again(change, seen)
        seen.writes_since += 1
        if change.before is not None and change.etag is None:  # no If-Match will guard the write
            is_disputed = True
        else:
            # The list trails: where it disputes, only the item itself decides.
            held = seen.listed.get(change.id.key) if seen.listed is not None else change.before
            is_disputed = not is_untouched(change, held)
        read = Call("GET", str(change.id), partial(item_now, change.id, self._azure))
        if is_disputed and not is_untouched(change, (yield read)):
            raise StaleItemError(STALE)
        if change.kind in (ChangeKind.CREATE, ChangeKind.ADOPT):
            _require_same_on_cluster(change, seen)

    def _look_again(self, change: Change, seen: _Seen) -> Work[None]:
        while seen.is_being_read:
            yield Pause(LOOK_PAUSE_SECONDS)
        # a creation overwrites nothing that was read: If-None-Match guards it
        is_old = change.before is not None and seen.writes_since >= FRESH_FOR_WRITES
        # a clock that was set back does not say how old it is
        if not is_old and abs(self._now() - seen.moment) <= FRESH_FOR:
            return
        seen.is_being_read = True
        try:
            path = f"{change.id.cluster}/managedNamespaces"
            yield Call("GET", path, partial(self._look, seen))
            seen.writes_since = 0
        finally:
            seen.is_being_read = False

    def _look(self, seen: _Seen) -> None:
        """List managed namespaces and, where the plan knew them, Kubernetes'; on a thread."""
        moment, cluster = self._now(), seen.planned.cluster
        found = self._azure.managed_namespaces.list_by_managed_cluster(cluster.id)
        if self._kube_for is not None and seen.planned.kubernetes is not None:
            try:
                seen.on_cluster = {held.name: held for held in self._kube_for(cluster).namespaces()}
                seen.kubernetes_unknown = ""
            except (KubeError, ArmForbiddenError) as error:
                seen.kubernetes_unknown = cut(str(error))
        seen.listed, seen.moment = {namespace.id.key: namespace for namespace in found}, moment


def is_untouched(change: Change, found: ManagedNamespace | None) -> bool:
    """Return whether an item is as it was planned on, by its eTag where it has one."""
    if change.before is None or found is None:
        return change.before is found
    if change.etag is None:
        return not differences(change.before, found)
    return found.etag == change.etag


def is_made_anew(kind: ChangeKind, found: ManagedNamespace | None) -> bool:
    """Return whether what a deletion meets under another eTag than planned on is another namespace.

    It is well then, with a content of its own, however equal its fields: a deletion of ours that
    came to nothing would have left it failed.
    """
    state = found and found.provisioning_state
    return kind is ChangeKind.DELETE and state == "Succeeded"


def _require_same_on_cluster(change: Change, seen: _Seen) -> None:
    """Return if nothing of the Kubernetes namespace would be taken over or overwritten unseen."""
    name, after = change.id.namespace_name, change.after
    where = f"on cluster {change.id.cluster.cluster_name}"
    if seen.on_cluster is not None and seen.planned.kubernetes is not None:
        was = seen.planned.kubernetes.namespaces.get(name)
        found = seen.on_cluster.get(name)
        if was is None and found is not None:
            raise StaleItemError(
                f"stale: a Kubernetes namespace {name} appeared {where} after it was read, and "
                "would be taken over"
            )
        if was != found:
            raise StaleItemError(
                f"stale: the Kubernetes namespace {name} {where} was changed after it was read"
            )
    may_adopt = after and after.adoption_policy not in (None, AdoptionPolicy.NEVER)
    if seen.kubernetes_unknown and may_adopt:
        raise StaleItemError(
            f"stale: whether a Kubernetes namespace {name} appeared or changed {where} since it was"
            f" read is unknown: {seen.kubernetes_unknown}"
        )
