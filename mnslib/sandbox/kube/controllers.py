"""The controllers of every cluster: `settle` brings objects to what their specs ask for.

Nothing runs in the background: it acts on what was written since it ran last, and on what is due
by the sandbox's clock, whenever a request or an open watch asks. What a world was seeded with
stays as it is until somebody writes to it or to its pods.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from mnslib.sandbox.kube import (
    deletion,
    deployments,
    disruption,
    events,
    inside,
    jobs,
    replicas,
    scheduling,
)
from mnslib.sandbox.kube.keeper import MISSED, Keeper, controller_of
from mnslib.sandbox.kube.kinds import known
from mnslib.sandbox.kube.scheduling import (
    SCHEDULER,
    Nodes,
    await_node,
    end,
    is_active,
    patience,
    place,
)
from mnslib.sandbox.state import Change, State, seconds
from mnslib.sandbox.wire import Json, Refusal

Key = tuple[str, str, str, str]  # cluster, plural, namespace, name
JOB_SECONDS = 10  # that the pods of Jobs run; our choice
_FIRST_RETRY = 0.005  # seconds. Source: client-go, DefaultControllerRateLimiter
_LAST_RETRY = 1000.0
_SWEEP = 60  # seconds between looks for events that are too old
_MOST = 250  # objects that one settling brings on; what is left is due at the next one
_log = logging.getLogger("mnslib.sandbox")
_SEEDED = "seeded"  # setting: the version up to which each cluster's objects are a world's own


def settle(state: State) -> None:
    """Do what the controllers of all clusters have to do now."""
    known = state.derived.setdefault("controllers", Controllers(state))
    if known.is_idle():
        return
    with state.transaction():
        known.run()


def leave_as_is(state: State, cluster: str) -> None:
    """Let the present objects of a cluster be, until somebody writes to them."""
    state.set_meta(_SEEDED, state.meta(_SEEDED, {}) | {cluster: state.next_number()})


class Controllers:
    """What is to be looked at, and when."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.version = max(state.meta(_SEEDED, {}).values(), default=state.sequence)
        self.due: dict[Key, float] = {}
        self.failures = Counter[Key]()
        self.tainted: dict[Key, float] = {}  # pods under a taint that drives out, since when
        self.crowds: set[tuple[str, str]] = set()  # cluster and namespace, whose pods changed
        self.waiting: dict[Key, None] = {}  # pods without a node, workloads that miss pods
        self.swept = state.now()
        self.nodes: dict[str, Nodes] = {}

    def is_idle(self) -> bool:
        """Return whether nothing was written and nothing is due."""
        now = self.state.now()
        fresh = self.version == self.state.sequence and now < self.swept + _SWEEP
        return fresh and all(moment > now for moment in self.due.values())

    def run(self) -> None:
        """Act until nothing is left to do now, or enough has been done for one request."""
        now = self.state.now()
        if now >= self.swept + _SWEEP:
            self._sweep()
        left = _MOST
        while left > 0:
            keys = list(self._touched())
            self.nodes.clear()
            for key in keys[:left]:
                self._try(key)
            self.due |= dict.fromkeys(keys[left:], now)
            left -= len(keys)
            if not keys:
                first = min(self.due, key=lambda key: self.due[key], default=None)
                if first is not None and self.due[first] <= now:
                    left -= 1
                    with self.state.at(self.due[first]):
                        self._try(first)
                elif not self._counted():
                    return
        self._counted()

    def _counted(self) -> bool:
        """Bring quotas and metrics up to the pods that changed; return whether any did."""
        crowds, self.crowds = self.crowds, set()
        for cluster, namespace in crowds:
            inside.recount(self.state, cluster, namespace)
        return bool(crowds)

    def _touched(self) -> dict[Key, None]:
        """Return what was written since, and what that concerns, in order."""
        found: dict[Key, None] = {}
        version, self.version = min(self.version, self.state.sequence), self.state.sequence
        try:
            changes = self.state.changes(version)
        except LookupError:
            return self._everything()
        seeded = self.state.meta(_SEEDED, {})
        for change in changes:
            if change.version > seeded.get(change.cluster, 0):
                self._concern(found, change)
        return found

    def _everything(self) -> dict[Key, None]:
        """Return all that somebody has written to since the world was seeded: after a restart."""
        found: dict[Key, None] = {}
        for cluster in self.state.meta(_SEEDED, {}):
            for plural in _SYNCS:
                for doc in self.state.objects(cluster, plural):
                    if self._is_new(cluster, doc):
                        found[_key(cluster, plural, doc)] = None
        return found

    def _concern(self, found: dict[Key, None], change: Change) -> None:
        cluster, kind = change.cluster, change.kind
        for doc in filter(None, (change.old, change.new)):
            found[_key(cluster, kind, doc)] = None
            if controller := controller_of(doc):
                plural = f"{controller['kind'].lower()}s"
                namespace = doc["metadata"].get("namespace", "")
                found[cluster, plural, namespace, controller["name"]] = None
        home = change.metadata.get("namespace", "")
        if home and not (change.new and change.old) and kind not in ("pods", "events"):
            inside.recount(self.state, cluster, home, known(kind).full_name)
        if change.new is None and change.old:
            deletion.collect(self.state, cluster, change.old)
            found[cluster, "namespaces", "", home] = None
        if kind == "pods":
            self.crowds.add((cluster, home))
            for doc in self.state.objects(cluster, "poddisruptionbudgets", home):
                found[_key(cluster, "poddisruptionbudgets", doc)] = None
        if kind == "nodes":
            for doc in self.state.objects(cluster, "daemonsets"):
                if self._is_new(cluster, doc):
                    found[_key(cluster, "daemonsets", doc)] = None
            for doc in self.state.objects(cluster, "pods"):
                on_it = doc["spec"].get("nodeName") == change.metadata["name"]
                if on_it and "deletionTimestamp" not in doc["metadata"]:
                    until = self._evicted(Keeper(self.state, cluster), doc)
                    self.due |= {_key(cluster, "pods", doc): until} if until else {}
        if kind in ("nodes", "resourcequotas", "pods") and _makes_room(change):
            for key in self.waiting:
                if key[0] == cluster and (key[1] == "pods" or key[2] == home):
                    found[key] = None

    def _try(self, key: Key) -> None:
        """Bring one object on; one that cannot be read so is logged and tried again later."""
        try:
            self._sync(key)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            _log.exception("the controllers fail at %s", "/".join(key[1:]))
            self._delay(key)

    def _delay(self, key: Key) -> None:
        self.failures[key] += 1
        pause = min(_FIRST_RETRY * 2 ** min(self.failures[key] - 1, 30), _LAST_RETRY)
        self.due[key] = self.state.now() + pause

    def _sync(self, key: Key) -> None:
        cluster, plural, namespace, name = key
        self.due.pop(key, None)
        self.waiting.pop(key, None)
        doc = self.state.object(cluster, plural, namespace, name)
        if doc is None:
            self.failures.pop(key, None)
            self.tainted.pop(key, None)
            if plural in ("serviceaccounts", "configmaps"):
                home = self.state.object(cluster, "namespaces", "", namespace)
                inside.furnish(self.state, cluster, home)
            return
        if "deletionTimestamp" in doc["metadata"]:
            deletion.finish(self.state, cluster, plural, doc)
            return
        if (sync := _SYNCS.get(plural)) is None:
            return
        try:
            keeper = Keeper(self.state, cluster)
            again = self._pod(keeper, doc) if plural == "pods" else sync(keeper, doc)
        except Refusal:  # of something else than a pod; whoever wanted it has said so
            again = MISSED
        if again == MISSED:
            self.waiting[key] = None
            self._delay(key)
            return
        self.failures.pop(key, None)
        if again is not None:
            self.due[key] = again

    def _pod(self, keeper: Keeper, doc: Json) -> float | None:
        """Give a pod a node, or end one that has done what its Job wants, or may not stay."""
        cluster, spec, now = keeper.cluster, doc["spec"], self.state.now()
        status = doc.setdefault("status", {"phase": "Pending"})
        if "nodeName" in spec:
            ends = [_running(keeper, doc), self._evicted(keeper, doc)]
            return min((moment for moment in ends if moment is not None), default=None)
        if spec.get("schedulerName", SCHEDULER) != SCHEDULER:
            return None
        if cluster not in self.nodes:
            self.nodes[cluster] = Nodes(self.state, cluster)
        message = ""
        if not spec.get("schedulingGates"):
            node, message = self.nodes[cluster].choose(doc)
            if node:
                self.nodes[cluster].take(node, doc)
                spec["nodeName"] = node
                meta = doc["metadata"]
                said = f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}"
                keeper.say(doc, "Scheduled", said, by=SCHEDULER)
                place(doc, node, now)
                keeper.put("pods", doc)
                return None
            self.waiting[_key(cluster, "pods", doc)] = None
        known = [one.get("message") for one in status.get("conditions", ())]
        if message not in known:
            await_node(doc, now, message)
            keeper.put("pods", doc)
            if message:
                keeper.say(doc, "FailedScheduling", message, warns=True, by=SCHEDULER)
        return None

    def _evicted(self, keeper: Keeper, doc: Json) -> float | None:
        """Delete a pod that its node's taints drive out; return when they will.

        Source: controller-manager 1.34, `pkg/controller/tainteviction`. Its clock begins anew when
        the controller does.
        """
        key, now = _key(keeper.cluster, "pods", doc), self.state.now()
        node = self.state.object(keeper.cluster, "nodes", "", doc["spec"]["nodeName"])
        left = patience(doc, node) if node and self._is_new(keeper.cluster, node) else None
        if left is None:
            self.tainted.pop(key, None)
            return None
        until = self.tainted.setdefault(key, now) + left
        if until > now:
            return until
        said = f"Marking for deletion Pod {key[2]}/{key[3]}"
        keeper.say(doc, "TaintManagerEviction", said, by="taint-eviction-controller")
        status, why = doc["status"], "Taint manager: deleting due to NoExecute taint"
        status["conditions"] = keeper.condition(
            status.get("conditions", []), "DisruptionTarget", "True", "DeletionByTaintManager", why
        )
        deletion.delete(self.state, keeper.cluster, "pods", doc)
        return None

    def _is_new(self, cluster: str, doc: Json) -> bool:
        """Return whether somebody has written to an object since the world was seeded."""
        seeded = self.state.meta(_SEEDED, {}).get(cluster, 0)
        return bool(int(doc["metadata"]["resourceVersion"]) > seeded)

    def _sweep(self) -> None:
        """Drop events that have not changed for an hour."""
        self.swept = now = self.state.now()
        for cluster in self.state.meta(_SEEDED, {}):
            for doc in self.state.objects(cluster, "events"):
                if events.last(doc) < now - events.LIFE:
                    meta = doc["metadata"]
                    self.state.delete_object(cluster, "events", meta["namespace"], meta["name"])


def _key(cluster: str, plural: str, doc: Json) -> Key:
    return cluster, plural, doc["metadata"].get("namespace", ""), doc["metadata"]["name"]


def _makes_room(change: Change) -> bool:
    if change.kind == "pods":
        gone = change.old and is_active(change.old)
        return bool(gone and not (change.new and is_active(change.new)))
    old, new = change.old or {}, change.new or {}
    return old.get("spec") != new.get("spec") or change.kind == "nodes"


def _running(keeper: Keeper, doc: Json) -> float | None:
    if doc["status"].get("phase") == "Pending":  # bound by somebody else
        place(doc, doc["spec"]["nodeName"], keeper.state.now())
        keeper.put("pods", doc)
    elif scheduling.resized(doc):
        keeper.put("pods", doc)
    controller = controller_of(doc)
    if not controller or controller["kind"] != "Job" or not is_active(doc):
        return None
    begun = doc["status"].get("startTime") or doc["metadata"]["creationTimestamp"]
    until = seconds(begun) + JOB_SECONDS
    if until <= keeper.state.now():
        end(doc, until)
        keeper.put("pods", doc)
        return None
    return until


_SYNCS: dict[str, Callable[[Keeper, Json], float | None]] = {
    "deployments": deployments.sync,
    "replicasets": replicas.sync_replica_set,
    "statefulsets": replicas.sync_stateful_set,
    "daemonsets": replicas.sync_daemon_set,
    "jobs": jobs.sync_job,
    "cronjobs": jobs.sync_cron_job,
    "poddisruptionbudgets": disruption.sync,
    "namespaces": lambda keeper, doc: inside.furnish(keeper.state, keeper.cluster, doc),
    "pods": _running,
}
