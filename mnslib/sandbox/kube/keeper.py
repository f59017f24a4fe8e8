"""What every controller does: own objects, start and stop pods, say so in events and conditions.

Sources: controller-manager 1.34, `pkg/controller/controller_utils.go`, `controller_ref_manager.go`.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from mnslib.sandbox.kube import deletion, events, inside
from mnslib.sandbox.kube.defaults import suffix
from mnslib.sandbox.kube.scheduling import is_ready
from mnslib.sandbox.kube.selectors import matches
from mnslib.sandbox.state import State, kube_time, seconds
from mnslib.sandbox.wire import Json, Refusal

MISSED = -1.0  # what a controller returns that misses pods: try again, later each time
_STARTS = 100  # pods at a time; our choice
_LETTERS = "456789bcdf"  # the digits 0 to 9 of a hash. Source: apimachinery, SafeEncodeString


class Keeper:
    """Acts on the objects of one cluster."""

    def __init__(self, state: State, cluster: str) -> None:
        self.state, self.cluster = state, cluster

    def put(self, plural: str, doc: Json) -> None:
        """Store an object if it is not so already."""
        meta = doc["metadata"]
        present = self.state.object(self.cluster, plural, meta.get("namespace", ""), meta["name"])
        if present != doc:
            self.state.put_object(self.cluster, plural, doc)

    def status(self, plural: str, doc: Json, **fields: Any) -> None:
        """Store an object's status; what is None or empty is left out."""
        fields["observedGeneration"] = doc["metadata"].get("generation", 1)
        given = {key: value for key, value in fields.items() if value not in (None, [], {})}
        self.put(plural, doc | {"status": given})

    def owned(self, plural: str, owner: Json) -> list[Json]:
        """Return what an object controls, oldest first; pods that it selects are adopted."""
        meta, found = owner["metadata"], []
        for doc in self.state.objects(self.cluster, plural, meta["namespace"]):
            controller = controller_of(doc)
            if controller is None and selects(owner, doc) and "deletionTimestamp" not in meta:
                doc["metadata"].setdefault("ownerReferences", []).append(reference(owner))
                self.put(plural, doc)
            elif controller is None or controller["uid"] != meta["uid"]:
                continue
            found.append(doc)
        return sorted(found, key=age)

    def start(self, owner: Json, name: str, template: Json, **more: Json) -> str:
        """Create a pod of a template; return why the cluster refuses it, or an empty text.

        Args:
            owner: what controls it.
            name: of the pod; one that ends with a dash gets five letters.
            template: of the pod.
            more: `labels`, and members of its `spec`.
        """
        meta = template.get("metadata", {})
        generate = {"generateName": name} if name.endswith("-") else {}
        if generate:
            name += suffix(self.state.next_number())
        pod: Json = {"apiVersion": "v1", "kind": "Pod", "spec": copy.deepcopy(template["spec"])}
        pod["metadata"] = inside.metadata(
            self.state,
            name,
            owner["metadata"]["namespace"],
            labels=meta.get("labels", {}) | more.pop("labels", {}),
            annotations=meta.get("annotations"),
            ownerReferences=[reference(owner)],
            **generate,
        )
        pod["spec"] |= more
        try:
            inside.create(self.state, self.cluster, "pods", pod)
        except Refusal as refused:
            said = f"Error creating: {refused.message}"
            if owner["kind"] == "StatefulSet":
                kept = owner["metadata"]["name"]
                said = f"create Pod {name} in StatefulSet {kept} failed error: {refused.message}"
            if refused.answer.status != 409:
                self.say(owner, "FailedCreate", said, warns=True)
            return refused.message
        said = f"Created pod: {name}"
        if owner["kind"] == "StatefulSet":
            said = f"create Pod {name} in StatefulSet {owner['metadata']['name']} successful"
        self.say(owner, "SuccessfulCreate", said)
        return ""

    def stop(self, owner: Json, pod: Json) -> None:
        """Delete a pod."""
        name = pod["metadata"]["name"]
        deletion.delete(self.state, self.cluster, "pods", pod)
        said = f"Deleted pod: {name}"
        if owner["kind"] == "StatefulSet":
            said = f"delete Pod {name} in StatefulSet {owner['metadata']['name']} successful"
        self.say(owner, "SuccessfulDelete", said)

    def say(
        self, about: Json, reason: str, message: str, *, warns: bool = False, by: str = ""
    ) -> None:
        """Write an event, of the controller of its kind if `by` names nobody else."""
        by = by or f"{about['kind'].lower()}-controller"
        events.record(self.state, self.cluster, about, reason, message, warns=warns, by=by)

    def condition(
        self, conditions: list[Json], kind: str, status: str, reason: str, message: str
    ) -> list[Json]:
        """Return conditions with this one; its times change as the API's conventions say."""
        now = kube_time(self.state.now())
        old = next((one for one in conditions if one["type"] == kind), {})
        same = old.get("status") == status
        made = {"type": kind, "status": status, "reason": reason, "message": message}
        made["lastTransitionTime"] = old["lastTransitionTime"] if same else now
        if kind in ("Available", "Progressing", "ReplicaFailure"):
            unmoved = same and old["reason"] == reason and old["message"] == message
            made["lastUpdateTime"] = old.get("lastUpdateTime", now) if unmoved else now
        return [made if one["type"] == kind else one for one in conditions] + (
            [] if old else [made]
        )

    def available(self, pods: list[Json], spec: Json) -> tuple[int, float | None]:
        """Return how many pods have been ready for long enough, and when one more will have."""
        least = spec.get("minReadySeconds", 0)
        since = [
            seconds(condition["lastTransitionTime"]) + least
            for pod in pods
            if is_ready(pod)
            for condition in pod["status"]["conditions"]
            if condition["type"] == "Ready"
        ]
        later = [moment for moment in since if moment > self.state.now()]
        return len(since) - len(later), min(later, default=None)


def controller_of(doc: Json) -> Json | None:
    """Return the reference to what controls an object."""
    owners = doc["metadata"].get("ownerReferences", ())
    return next((one for one in owners if one.get("controller")), None)


def reference(doc: Json) -> Json:
    """Return a reference to an object as its controller."""
    named = {"apiVersion": doc["apiVersion"], "kind": doc["kind"]}
    named |= {key: doc["metadata"][key] for key in ("name", "uid")}
    return named | {"controller": True, "blockOwnerDeletion": True}


def selects(owner: Json, doc: Json) -> bool:
    """Return whether a workload's selector takes an object."""
    selector = owner["spec"].get("selector")
    return bool(selector) and matches(selector, doc["metadata"].get("labels") or {})


def starts(missing: int) -> range:
    """Return the pods to start at a time; the first that is refused ends the attempt."""
    return range(max(0, min(missing, _STARTS)))


def age(doc: Json) -> tuple[str, str]:
    """Return a key that sorts objects by when they were created."""
    meta = doc["metadata"]
    return meta["creationTimestamp"], meta["name"]


def hashed(template: Json) -> str:
    """Return a pod template's hash in the letters of generated names."""
    value = 2166136261  # FNV-1a
    for byte in json.dumps(template, sort_keys=True).encode():
        value = (value ^ byte) * 16777619 % 2**32
    return "".join(_LETTERS[int(digit)] for digit in str(value))
