"""The controllers of ReplicaSets, StatefulSets and DaemonSets: as many pods as are asked for.

Sources: controller-manager 1.34, `pkg/controller/{replicaset,statefulset,daemon}`.
"""

from __future__ import annotations

import re

from mnslib.sandbox.kube import inside
from mnslib.sandbox.kube.deployments import share
from mnslib.sandbox.kube.keeper import MISSED, Keeper, age, hashed, reference, starts
from mnslib.sandbox.kube.scheduling import is_active, is_ready, selects, taints, tolerates
from mnslib.sandbox.wire import Json

_REVISION = "controller-revision-hash"
_TOLERATED = ("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure")
_DAEMONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
    for key, effect in [(key, "NoExecute") for key in _TOLERATED[:2]]
    + [(key, "NoSchedule") for key in (*_TOLERATED[2:], "unschedulable")]
]


def sync_replica_set(keeper: Keeper, doc: Json) -> float | None:
    """Create and delete a ReplicaSet's pods; return when to look again, if at all."""
    spec = doc["spec"]
    pods = [pod for pod in keeper.owned("pods", doc) if is_active(pod)]
    wanted = spec.get("replicas", 1)
    name, failure = f"{doc['metadata']['name']}-", ""
    for _ in starts(wanted - len(pods)):
        failure = keeper.start(doc, name, spec["template"]) or failure
        if failure:
            break
    for pod in sorted(pods, key=_worth)[: max(0, len(pods) - wanted)]:
        keeper.stop(doc, pod)
    conditions = doc.get("status", {}).get("conditions", [])
    if failure and not conditions:
        conditions = keeper.condition([], "ReplicaFailure", "True", "FailedCreate", failure)
        conditions[0].pop("lastUpdateTime")
    available, again = keeper.available(pods, spec)
    keeper.status(
        "replicasets",
        doc,
        replicas=len(pods),
        fullyLabeledReplicas=len(pods) or None,
        readyReplicas=sum(map(is_ready, pods)) or None,
        availableReplicas=available or None,
        conditions=conditions if failure else [],
    )
    return MISSED if failure else again


def _worth(pod: Json) -> tuple[bool, bool, tuple[int, ...]]:
    """Return a key that sorts the pods first whose end costs least, newer ones before older."""
    newest = tuple(-ord(letter) for letter in "".join(age(pod)))
    return "nodeName" in pod["spec"], is_ready(pod), newest


def revise(keeper: Keeper, doc: Json) -> tuple[str, list[Json]]:
    """Return the name of the present template's revision, stored if it is new, and all of them."""
    template, meta = doc["spec"]["template"], doc["metadata"]
    name = f"{meta['name']}-{hashed(template)}"
    known = keeper.owned("controllerrevisions", doc)
    if name not in [one["metadata"]["name"] for one in known]:
        base = {"apiVersion": "apps/v1", "kind": "ControllerRevision"}
        labels = template.get("metadata", {}).get("labels", {})
        owners = [reference(doc)]
        own = inside.metadata(
            keeper.state, name, meta["namespace"], labels=labels, ownerReferences=owners
        )
        data = {"spec": {"template": template | {"$patch": "replace"}}}
        number = max((one["revision"] for one in known), default=0) + 1
        made = base | {"metadata": own, "data": data, "revision": number}
        inside.create(keeper.state, keeper.cluster, "controllerrevisions", made)
        known.append(made)
    return name, known


def _is_of(pod: Json, template: Json, mark: str) -> bool:
    """Return whether a pod is of a template; a world's pods do not tell their revision."""
    told = pod["metadata"].get("labels", {}).get(_REVISION)
    if told:
        return bool(told == mark)
    keys = ("name", "image", "resources")
    bare = [
        [[one.get(key) for key in keys] for one in spec["containers"]]
        for spec in (pod["spec"], template["spec"])
    ]
    return bool(bare[0] == bare[1])


def sync_stateful_set(keeper: Keeper, doc: Json) -> float | None:
    """Create and delete a StatefulSet's pods in their order."""
    spec, name = doc["spec"], doc["metadata"]["name"]
    first = spec.get("ordinals", {}).get("start", 0)
    ordinals = range(first, first + spec.get("replicas", 1))
    update, revisions = revise(keeper, doc)
    status = doc.get("status", {})
    current = status.get("currentRevision", update)
    pods = {_ordinal(pod): pod for pod in keeper.owned("pods", doc) if is_active(pod)}
    one_by_one = spec.get("podManagementPolicy") != "Parallel"
    rolling = spec.get("updateStrategy", {}).get("rollingUpdate") or {}
    partition = rolling.get("partition", 0)
    failure, waits = "", False
    left = starts(len(ordinals) - len(pods))
    for ordinal in ordinals[: len(pods) + len(left)]:
        if failure or (waits and one_by_one):
            break
        if ordinal in pods:
            waits = waits or not is_ready(pods[ordinal])
            continue
        mark = current if ordinal < partition else update
        old = [r["data"]["spec"]["template"] for r in revisions if r["metadata"]["name"] == mark]
        template = old[0] if old else spec["template"]
        labels = {_REVISION: mark, "apps.kubernetes.io/pod-index": str(ordinal)}
        labels |= {"statefulset.kubernetes.io/pod-name": f"{name}-{ordinal}"}
        failure = keeper.start(doc, f"{name}-{ordinal}", template, labels=labels) or failure
        waits = True
    extra = sorted((one for one in pods if one not in ordinals), reverse=True)
    stale = [
        one
        for one in sorted(pods, reverse=True)
        if one in ordinals and one >= partition and not _is_of(pods[one], spec["template"], update)
    ]
    if spec.get("updateStrategy", {}).get("type") == "OnDelete" or waits or extra:
        stale = [one for one in stale if not is_ready(pods[one])][: 0 if extra else 1]
    for one in extra[: 1 if one_by_one else None] or stale[:1]:
        keeper.stop(doc, pods[one])
    own = [pods[one] for one in sorted(pods) if one in ordinals]
    updated = sum(_is_of(pod, spec["template"], update) for pod in own)
    ready = sum(map(is_ready, own))
    if updated == ready == len(ordinals):
        current = update
    available, again = keeper.available(own, spec)
    keeper.status(
        "statefulsets",
        doc,
        replicas=len(pods),
        readyReplicas=ready or None,
        availableReplicas=available,
        currentReplicas=(updated if current == update else len(own) - updated) or None,
        updatedReplicas=updated or None,
        currentRevision=current,
        updateRevision=update,
        collisionCount=0,
    )
    return MISSED if failure else again


def _ordinal(pod: Json) -> int:
    digits = re.search(r"-([0-9]+)$", pod["metadata"]["name"])
    return int(digits[1]) if digits else -1


def sync_daemon_set(keeper: Keeper, doc: Json) -> float | None:
    """Run a DaemonSet's pod on every node that fits, and on no other."""
    spec, name = doc["spec"], doc["metadata"]["name"]
    update, _ = revise(keeper, doc)
    template = spec["template"]
    wishes = template["spec"].get("tolerations", []) + _DAEMONS
    shape = {"spec": template["spec"] | {"tolerations": wishes}}
    fitting = [
        node["metadata"]["name"]
        for node in keeper.state.objects(keeper.cluster, "nodes")
        if selects(template["spec"], node)
        and all(
            tolerates(shape, one) for one in taints(node) if one["effect"] != "PreferNoSchedule"
        )
    ]
    pods: dict[str, Json] = {}
    for pod in keeper.owned("pods", doc):
        node = pod["spec"].get("nodeName") or _meant_for(pod)
        if not is_active(pod) or node not in fitting or node in pods:
            if "deletionTimestamp" not in pod["metadata"]:
                keeper.stop(doc, pod)
        else:
            pods[node] = pod
    failure = ""
    for node in fitting:
        if node not in pods and not failure:
            labels, affinity = {_REVISION: update.removeprefix(f"{name}-")}, _at(node)
            failure = keeper.start(
                doc, f"{name}-", template, labels=labels, tolerations=wishes, affinity=affinity
            )
    mark = update.removeprefix(f"{name}-")
    stale = [pod for pod in pods.values() if not _is_of(pod, template, mark)]
    ready = sum(map(is_ready, pods.values()))
    rolling = spec.get("updateStrategy", {}).get("rollingUpdate") or {}
    least = share(rolling.get("maxUnavailable", 1), len(fitting), up=True)
    if spec.get("updateStrategy", {}).get("type") != "OnDelete":
        may = max(0, (least or 1) - (len(fitting) - ready))
        sick = [pod for pod in stale if not is_ready(pod)]
        for pod in sick + [pod for pod in stale if is_ready(pod)][:may]:
            keeper.stop(doc, pod)
    available, again = keeper.available(list(pods.values()), spec)
    keeper.status(
        "daemonsets",
        doc,
        currentNumberScheduled=len(pods),
        desiredNumberScheduled=len(fitting),
        numberAvailable=available or None,
        numberMisscheduled=0,
        numberReady=ready,
        numberUnavailable=(len(fitting) - available) or None,
        updatedNumberScheduled=(len(pods) - len(stale)) or None,
    )
    return MISSED if failure else again


def _at(node: str) -> Json:
    fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def _meant_for(pod: Json) -> str:
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    for term in required.get("nodeSelectorTerms", ()):
        for field in term.get("matchFields", ()):
            return str(field["values"][0])
    return ""
