"""How objects go: finalizers, dependents, and namespaces with all that is in them.

Sources: apiserver `pkg/registry/generic/registry/store.go`, controller-manager
`pkg/controller/{garbagecollector,namespace}`.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

from mnslib.sandbox.kube import inside
from mnslib.sandbox.kube.kinds import served
from mnslib.sandbox.kube.scheduling import is_active
from mnslib.sandbox.state import State, kube_time
from mnslib.sandbox.wire import Json

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
_LONGEST = 10**9  # seconds of grace that a time is made of; our choice
_POLICIES = {"Foreground": _FOREGROUND, "Orphan": _ORPHAN}


@cache
def namespaced() -> frozenset[str]:
    """Return the plurals of what lies in namespaces."""
    rows = [kind for kinds in served().values() for kind in kinds.values()]
    return frozenset(kind.plural for kind in rows if kind.namespaced)


def delete(
    state: State,
    cluster: str,
    plural: str,
    doc: Json,
    *,
    policy: str = "",
    grace: int | None = None,
) -> Json | None:
    """Begin an object's deletion; return it as it is marked, or None if it went at once.

    Args:
        state: the store.
        cluster: its key.
        plural: of the object's kind.
        doc: the object.
        policy: what comes of its dependents: `Background`, `Foreground` or `Orphan`.
        grace: seconds asked for; containers end at once all the same, at the next settling.
    """
    meta = doc["metadata"]
    if finalizer := _POLICIES.get(policy):
        meta["finalizers"] = sorted({*meta.get("finalizers", ()), finalizer})
    seconds = 0
    if plural == "pods" and doc["spec"].get("nodeName") and is_active(doc):
        seconds = doc["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace
    if plural == "namespaces":
        return inside.terminate(state, cluster, doc)
    if not seconds and not meta.get("finalizers"):
        _remove(state, cluster, plural, doc)
        return None
    if "deletionTimestamp" not in meta:
        meta["deletionTimestamp"] = kube_time(state.now() + min(seconds, _LONGEST))
        meta["deletionGracePeriodSeconds"] = seconds
        if "generation" in meta:
            meta["generation"] += 1
    return state.put_object(cluster, plural, doc)


def _remove(state: State, cluster: str, plural: str, doc: Json) -> None:
    namespace = doc["metadata"].get("namespace", "")
    state.delete_object(cluster, plural, namespace, doc["metadata"]["name"])


def finish(state: State, cluster: str, plural: str, doc: Json) -> None:
    """Do what still holds back an object that is being deleted; let it go if nothing does."""
    meta = doc["metadata"]
    if plural == "namespaces":
        _finish_namespace(state, cluster, doc)
        return
    left = list(meta.get("finalizers", ()))
    for kind, other in _dependents(state, cluster, doc) if left else ():
        if _ORPHAN in left:
            _disown(state, cluster, kind, other, meta["uid"])
        elif _FOREGROUND in left and "deletionTimestamp" not in other["metadata"]:
            delete(state, cluster, kind, other)
    waiting = _FOREGROUND in left and any(
        reference.get("blockOwnerDeletion")
        for _, other in _dependents(state, cluster, doc)
        for reference in other["metadata"]["ownerReferences"]
        if reference["uid"] == meta["uid"]
    )
    left = [one for one in left if one != _ORPHAN and (one != _FOREGROUND or waiting)]
    if not left:
        _remove(state, cluster, plural, doc)
    elif left != meta["finalizers"]:
        meta["finalizers"] = left
        state.put_object(cluster, plural, doc)


def collect(state: State, cluster: str, gone: Json) -> None:
    """Delete what nobody owns any more, now that an object is gone."""
    for kind, doc in _dependents(state, cluster, gone):
        if len(doc["metadata"]["ownerReferences"]) > 1:
            _disown(state, cluster, kind, doc, gone["metadata"]["uid"])
        elif "deletionTimestamp" not in doc["metadata"]:
            delete(state, cluster, kind, doc)


def _dependents(state: State, cluster: str, owner: Json) -> list[tuple[str, Json]]:
    meta = owner["metadata"]
    found = state.content(cluster, meta.get("namespace", ""), namespaced(), meta["uid"])
    return [
        (kind, doc)
        for kind, doc in found
        if any(one["uid"] == meta["uid"] for one in doc["metadata"].get("ownerReferences", ()))
    ]


def _disown(state: State, cluster: str, plural: str, doc: Json, uid: str) -> None:
    references = [one for one in doc["metadata"]["ownerReferences"] if one["uid"] != uid]
    doc["metadata"]["ownerReferences"] = references
    state.put_object(cluster, plural, doc)


def _finish_namespace(state: State, cluster: str, doc: Json) -> None:
    name = doc["metadata"]["name"]
    for kind, other in state.content(cluster, name, namespaced()):
        if not other["metadata"].get("finalizers"):
            state.delete_object(cluster, kind, name, other["metadata"]["name"])
        elif "deletionTimestamp" not in other["metadata"]:
            delete(state, cluster, kind, other)
    left = state.content(cluster, name, namespaced())
    inside.recount(state, cluster, name)
    if not left and not doc["metadata"].get("finalizers"):
        state.delete_object(cluster, "namespaces", "", name)
    elif left and "conditions" not in doc["status"]:
        doc["status"]["conditions"] = _conditions(state, left)
        state.put_object(cluster, "namespaces", doc)
    elif not left and doc["spec"].get("finalizers"):
        state.put_object(cluster, "namespaces", doc | {"spec": {}})


def _conditions(state: State, left: list[tuple[str, Json]]) -> list[Json]:
    kinds = Counter(f"{kind}." for kind, _ in left)
    holding = Counter(one for _, other in left for one in other["metadata"].get("finalizers", ()))
    contents = ", ".join(f"{kind} has {n} resource instances" for kind, n in kinds.items())
    finalizers = ", ".join(f"{one} in {n} resource instances" for one, n in holding.items())
    some = "Some content in the namespace has finalizers remaining: "
    rows = [("Content", "Resources", f"Some resources are remaining: {contents}")]
    rows.append(("Finalizers", "Finalizers", some + finalizers))
    base = {"status": "True", "lastTransitionTime": kube_time(state.now())}
    return [
        base | {"type": f"Namespace{kind}Remaining", "reason": f"Some{what}Remain", "message": text}
        for kind, what, text in rows
    ]
