"""The controller of Deployments: which ReplicaSet holds how many pods, and what it says of it.

Source: controller-manager 1.34, `pkg/controller/deployment` (rolling.go, recreate.go, sync.go,
progress.go, util/deployment_util.go). Several ReplicaSets are not scaled in proportion.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from mnslib.sandbox.kube import deletion, inside
from mnslib.sandbox.kube.defaults import fill
from mnslib.sandbox.kube.keeper import Keeper, hashed, reference
from mnslib.sandbox.kube.scheduling import is_active
from mnslib.sandbox.state import seconds
from mnslib.sandbox.wire import Json, Refusal

_HASH = "pod-template-hash"
_PREFIX = "deployment.kubernetes.io/"
_REVISION = f"{_PREFIX}revision"
_OWN_NOTES = ("kubectl.kubernetes.io/last-applied-configuration", _PREFIX)


def sync(keeper: Keeper, doc: Json) -> float | None:
    """Bring a Deployment's ReplicaSets one step on; return when to look again, if at all."""
    sets = keeper.owned("replicasets", doc)
    wanted, spec = doc["spec"].get("replicas", 1), doc["spec"]
    template = _full(spec["template"])
    new = next((one for one in sets if _full(_bare(one)) == template), None)
    if "deletionTimestamp" not in doc["metadata"]:
        active = [one for one in sets if one["spec"]["replicas"]]
        resized = [one for one in active[:1] if _noted(one) not in (None, str(wanted))]
        if len(active) == 1 and resized and (spec.get("paused") or active[0] is new):
            _scale(keeper, doc, active[0], wanted)
        if not spec.get("paused"):
            new = _roll(keeper, doc, sets, new, wanted)
    return _report(keeper, doc, sets, new, wanted)


def _roll(
    keeper: Keeper, doc: Json, sets: list[Json], new: Json | None, wanted: int
) -> Json | None:
    old = [one for one in sets if one is not new]
    if doc["spec"].get("strategy", {}).get("type") == "Recreate":
        for one in old:
            _scale(keeper, doc, one, 0)
        if any(is_active(pod) for one in old for pod in keeper.owned("pods", one)):
            return new
        new = _revised(keeper, doc, sets, new, wanted)
        _scale(keeper, doc, new, wanted)
        return new
    surge, unavailable = bounds(doc["spec"], wanted)
    room = max(0, wanted + surge - sum(one["spec"]["replicas"] for one in sets))
    present = new["spec"]["replicas"] if new else 0
    count = min(present, wanted) + (min(room, wanted - present) if present < wanted else 0)
    new = _revised(keeper, doc, sets, new, count)
    _scale(keeper, doc, new, count)
    _shrink(keeper, doc, sets, new, wanted - unavailable)
    return new


def _shrink(keeper: Keeper, doc: Json, sets: list[Json], new: Json, least: int) -> None:
    """Scale old ReplicaSets down as far as enough pods stay available."""
    old = [one for one in sets if one is not new]
    missing = new["spec"]["replicas"] - _count([new], "availableReplicas")
    spare = sum(one["spec"]["replicas"] for one in sets) - least - missing
    for one in old:  # first those that are not available anyway
        sick = one["spec"]["replicas"] - _count([one], "availableReplicas")
        if (cut := min(spare, sick)) > 0:
            _scale(keeper, doc, one, one["spec"]["replicas"] - cut)
            spare -= cut
    spare = min(spare, _count(sets, "availableReplicas") - least)
    for one in old:
        if (cut := min(spare, one["spec"]["replicas"])) > 0:
            _scale(keeper, doc, one, one["spec"]["replicas"] - cut)
            spare -= cut


def _revised(keeper: Keeper, doc: Json, sets: list[Json], new: Json | None, count: int) -> Json:
    revisions = [int(_notes(one).get(_REVISION, "0")) for one in sets if one is not new]
    revision = max(revisions, default=0) + 1
    if new is None:
        new = _created(keeper, doc, count)
        sets.append(new)
    if int(_notes(new).get(_REVISION, "0")) < revision:
        own = doc["metadata"].get("annotations", {})
        kept = {key: value for key, value in own.items() if not key.startswith(_OWN_NOTES)}
        new["metadata"]["annotations"] = _notes(new) | kept | {_REVISION: str(revision)}
        keeper.put("replicasets", new)
    current = _notes(new)[_REVISION]
    if doc["metadata"].get("annotations", {}).get(_REVISION) != current:
        doc["metadata"].setdefault("annotations", {})[_REVISION] = current
        keeper.put("deployments", doc)
    return new


def _created(keeper: Keeper, doc: Json, count: int) -> Json:
    spec = doc["spec"]
    mark = {_HASH: hashed(_full(spec["template"]))}
    name = f"{doc['metadata']['name']}-{mark[_HASH]}"
    template = copy.deepcopy(spec["template"])
    labels = template.setdefault("metadata", {}).get("labels", {}) | mark
    template["metadata"]["labels"] = labels
    selector = copy.deepcopy(spec["selector"])
    selector["matchLabels"] = selector.get("matchLabels", {}) | mark
    owned: dict[str, Any] = {"replicas": count, "selector": selector, "template": template}
    if "minReadySeconds" in spec:
        owned["minReadySeconds"] = spec["minReadySeconds"]
    meta = inside.metadata(
        keeper.state,
        name,
        doc["metadata"]["namespace"],
        labels=labels,
        annotations=_bookkeeping(doc),
        ownerReferences=[reference(doc)],
        generation=1,
    )
    made = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": owned}
    made["status"] = {"replicas": 0}
    try:
        inside.create(keeper.state, keeper.cluster, "replicasets", made)
    except Refusal as refused:
        said, reason = f'Failed to create new replica set "{name}": ', "ReplicaSetCreateError"
        _progress(keeper, doc, "False", reason, said + refused.message)
        keeper.put("deployments", doc)
        keeper.say(doc, reason, said + refused.message, warns=True)
        raise
    if count:
        said = f"Scaled up replica set {name} from 0 to {count}"
        keeper.say(doc, "ScalingReplicaSet", said)
    said = f'Created new replica set "{name}"'
    _progress(keeper, doc, "True", "NewReplicaSetCreated", said)
    return made


def _bookkeeping(doc: Json) -> Json:
    wanted = doc["spec"].get("replicas", 1)
    most = wanted + bounds(doc["spec"], wanted)[0]
    return {f"{_PREFIX}desired-replicas": str(wanted), f"{_PREFIX}max-replicas": str(most)}


def _scale(keeper: Keeper, doc: Json, one: Json, count: int) -> None:
    before = one["spec"]["replicas"]
    one["metadata"]["annotations"] = _notes(one) | _bookkeeping(doc)
    if count != before:
        one["spec"]["replicas"] = count
        one["metadata"]["generation"] = one["metadata"].get("generation", 1) + 1
        word = "up" if count > before else "down"
        said = f"Scaled {word} replica set {one['metadata']['name']} from {before} to {count}"
        keeper.say(doc, "ScalingReplicaSet", said)
    keeper.put("replicasets", one)


def _report(
    keeper: Keeper, doc: Json, sets: list[Json], new: Json | None, wanted: int
) -> float | None:
    """Write the status; clean up old ReplicaSets after a rollout's end."""
    before = doc.get("status", {})
    ready, available = _count(sets, "readyReplicas"), _count(sets, "availableReplicas")
    present, updated = _count(sets, "replicas"), _count([new] if new else [], "replicas")
    missing = sum(one["spec"]["replicas"] for one in sets) - available
    status = {"replicas": present, "updatedReplicas": updated, "readyReplicas": ready}
    status |= {"availableReplicas": available, "unavailableReplicas": max(0, missing)}
    enough = available >= wanted - bounds(doc["spec"], wanted)[1]
    words = ("MinimumReplicasAvailable", "Deployment has minimum availability.")
    if not enough:
        words = ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    conditions = keeper.condition(before.get("conditions", []), "Available", str(enough), *words)
    doc["status"] = before | {"conditions": conditions}
    done = present == updated == available == wanted
    moved = any(status[key] > before.get(key, 0) for key in ("updatedReplicas", "readyReplicas"))
    again = None
    if new and not doc["spec"].get("paused"):
        said, name = "ReplicaSet", f'"{new["metadata"]["name"]}"'
        until = _deadline(doc)
        if done:
            said = f"{said} {name} has successfully progressed."
            _progress(keeper, doc, "True", "NewReplicaSetAvailable", said)
        elif moved or present > updated:
            _progress(keeper, doc, "True", "ReplicaSetUpdated", f"{said} {name} is progressing.")
        if not done and (until := _deadline(doc)) <= keeper.state.now():
            said = f"{said} {name} has timed out progressing."
            _progress(keeper, doc, "False", "ProgressDeadlineExceeded", said)
        elif not done:
            again = until
    conditions = [c for c in doc["status"]["conditions"] if c["type"] != "ReplicaFailure"]
    failed = [c for one in sets for c in one.get("status", {}).get("conditions", [])]
    for one in failed[-1:]:
        conditions.append(one | {"lastUpdateTime": one["lastTransitionTime"]})
    figures = {key: value for key, value in status.items() if value}
    keeper.status("deployments", doc, **figures, conditions=conditions)
    limit = doc["spec"].get("revisionHistoryLimit", 10)
    idle = [one for one in sets if one is not new and not _count([one], "replicas")]
    idle = [one for one in idle if not one["spec"]["replicas"]]
    for one in idle[: max(0, len(idle) - limit)] if done else ():
        deletion.delete(keeper.state, keeper.cluster, "replicasets", one)
    return again


def _deadline(doc: Json) -> float:
    conditions = doc["status"].get("conditions", ())
    since = next((c["lastUpdateTime"] for c in conditions if c["type"] == "Progressing"), None)
    limit = float(doc["spec"].get("progressDeadlineSeconds", 600))
    known = [c for c in conditions if c["type"] == "Progressing" and c["status"] == "True"]
    return seconds(since) + limit if since and known else math.inf


def _progress(keeper: Keeper, doc: Json, status: str, reason: str, message: str) -> None:
    present = doc.setdefault("status", {}).get("conditions", [])
    made = keeper.condition(present, "Progressing", status, reason, message)
    doc["status"]["conditions"] = made


def bounds(spec: Json, wanted: int) -> tuple[int, int]:
    """Return the pods that a rolling update may add and miss; both 0 lets it miss one."""
    rolling = spec.get("strategy", {}).get("rollingUpdate") or {}
    surge = share(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if spec.get("strategy", {}).get("type") == "Recreate":
        return 0, 0
    return surge, min(wanted, unavailable or int(surge == 0))


def share(value: Any, whole: int, *, up: bool) -> int:
    """Return a number of pods that is written as one, or as a share of others."""
    if not str(value).endswith("%"):
        return int(value)
    part = int(str(value)[:-1]) * whole
    return -(-part // 100) if up else part // 100


def _full(template: Json) -> Json:
    """Return a pod template with its defaults, so that those filled in later change nothing."""
    holder = {"metadata": {}, "template": copy.deepcopy(template)}
    fill("podtemplates", holder, 0, None)
    made = holder["template"]
    return {"labels": made.get("metadata", {}).get("labels", {}), "spec": made["spec"]} | {
        "annotations": made.get("metadata", {}).get("annotations") or {}
    }


def _bare(one: Json) -> Json:
    template = copy.deepcopy(one["spec"]["template"])
    template.get("metadata", {}).get("labels", {}).pop(_HASH, None)
    return dict(template)


def _notes(doc: Json) -> Json:
    return dict(doc["metadata"].get("annotations", {}))


def _noted(one: Json) -> str | None:
    value = _notes(one).get(f"{_PREFIX}desired-replicas")
    return str(value) if value else None


def _count(sets: list[Json], key: str) -> int:
    return sum(one.get("status", {}).get(key, 0) for one in sets)
