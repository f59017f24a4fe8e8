"""What lies under an object's path: its status and scale; evictions, resizes and bindings of pods.

What a kubelet or another host would answer is refused as a cluster without one refuses it.
Sources: kube-apiserver 1.34, `pkg/registry/core/pod/{rest,storage}`, `pkg/registry/*/storage`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from mnslib.sandbox.kube import apply, bodies, disruption, scheduling
from mnslib.sandbox.kube.deletion import delete
from mnslib.sandbox.kube.kinds import Kind, inward, outward
from mnslib.sandbox.kube.patches import media, patched
from mnslib.sandbox.kube.routes_objects import (
    asked_grace,
    change,
    check_version,
    find,
    is_dry_run,
    kind_asked,
)
from mnslib.sandbox.kube.tables import single
from mnslib.sandbox.offers import packaged
from mnslib.sandbox.resources import cluster_id
from mnslib.sandbox.wire import Answer, Call, Json, Rollback, kube_error, routes

_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "POST": "create", "DELETE": "delete"}
_FAR = ("log", "exec", "attach", "portforward")  # what a kubelet answers
_PARTS = {  # the parts of an object that are written through a subresource; all else stays
    "approval": ("status",),
    "status": ("status",),
}


def answer(call: Call) -> Answer:
    """Return or change what a path names under an object.

    Raises:
        Refusal: 404 for what this kind does not have, 405, and as each of them refuses.
    """
    word = call.path.rpartition("/")[2]
    kind = kind_asked(call)
    rows: dict[str, Json] = packaged("kube/kinds.yaml")["subresources"]
    if word not in kind.subresources:
        raise kube_error(404, "NotFound", "the server could not find the requested resource")
    if _VERBS[call.method] not in rows[word]["verbs"].split():
        text = "the server does not allow this method on the requested resource"
        raise kube_error(405, "MethodNotAllowed", text)
    present = find(call, kind)
    act = _ACTS.get(word, _part)
    done = act(call, kind, present)
    if is_dry_run(call):
        raise Rollback(done)
    return done


def _key(call: Call) -> str:
    return cluster_id(call).lower()


def _wanted(call: Call, live: Json, version: str, word: str) -> Json:
    if call.method == "PUT":
        return bodies.read(call, version, word)
    made = apply.configured if media(call) == apply.MEDIA else patched
    return made(call, live, version, word)


def _part(call: Call, kind: Kind, present: Json) -> Answer:
    if call.method == "GET":
        return Answer(body=single(call, kind, outward(kind, present)))
    live = outward(kind, copy.deepcopy(present))
    wanted = inward(kind, _wanted(call, live, kind.version, kind.word))
    check_version(kind, present, wanted)
    word = call.path.rpartition("/")[2]
    if word == "resize":
        return change(call, kind, present, _resized(present, wanted), verb="resize")
    changed = copy.deepcopy(present)
    if word in _PARTS:
        changed |= {key: wanted[key] for key in _PARTS[word] if key in wanted}
    elif word == "finalize":
        changed["spec"] = wanted.get("spec", {})
    else:
        key = "ephemeralContainers"
        changed["spec"][key] = wanted["spec"].get(key, [])
    if changed != present:
        changed = call.state.put_object(_key(call), kind.plural, changed)
    return Answer(body=single(call, kind, outward(kind, changed)))


def _resized(present: Json, wanted: Json) -> Json:
    changed = copy.deepcopy(present)
    spec, given = changed["spec"], wanted.get("spec", {})
    for part in ("containers", "initContainers"):
        by_name = {one["name"]: one for one in given.get(part, ())}
        for one in spec.get(part, ()):
            for key in ("resources", "resizePolicy"):
                if key in by_name.get(one["name"], {}):
                    one[key] = by_name[one["name"]][key]
    return changed


def _scale(call: Call, kind: Kind, present: Json) -> Answer:
    live = _scale_of(present)
    if call.method == "GET":
        return Answer(body=live)
    wanted = _wanted(call, live, "autoscaling/v1", "Scale")
    check_version(kind, present, wanted)
    count = (wanted.get("spec") or {}).get("replicas", 0)
    if count < 0:
        text = f"Invalid value: {count}: must be greater than or equal to 0"
        text = f'Scale "{live["metadata"]["name"]}" is invalid: spec.replicas: {text}'
        raise kube_error(422, "Invalid", text)
    if count != present["spec"].get("replicas", 1):
        changed = copy.deepcopy(present)
        changed["spec"]["replicas"] = count
        changed["metadata"]["generation"] = changed["metadata"].get("generation", 1) + 1
        present = call.state.put_object(_key(call), kind.plural, changed)
    return Answer(body=_scale_of(present))


def _scale_of(doc: Json) -> Json:
    keys = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    meta, spec = doc["metadata"], doc["spec"]
    status: dict[str, Any] = {"replicas": doc.get("status", {}).get("replicas", 0)}
    selector = spec.get("selector", {})
    labels = selector.get("matchLabels", {}) if "template" in spec else {}
    if labels:
        status["selector"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in keys if key in meta},
        "spec": {"replicas": spec.get("replicas", 1)},
        "status": status,
    }


_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _evict(call: Call, kind: Kind, present: Json) -> Answer:
    """Delete a pod, if the budgets for it allow that.

    Raises:
        Refusal: 429 while a budget does not; 500 where two are for one pod.
    """
    asked = bodies.read(call, "policy/v1", "Eviction")
    state, key, namespace = call.state, _key(call), present["metadata"]["namespace"]
    running = scheduling.is_active(present) and present["spec"].get("nodeName")
    found = state.objects(key, "poddisruptionbudgets", namespace) if running else []
    budgets = [one for one in found if disruption.covers(one, present)]
    if len(budgets) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource "
        raise kube_error(500, "InternalError", f"{text}does not support.")
    for budget in budgets:
        figures = disruption.count(state, key, budget)
        sick = not scheduling.is_ready(present)
        may = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
        enough = figures["currentHealthy"] >= figures["desiredHealthy"] > 0
        if figures["disruptionsAllowed"] or (sick and (may or enough)):
            continue
        text = f"The disruption budget {budget['metadata']['name']} needs "
        text += f"{figures['desiredHealthy']} healthy pods and has "
        text += f"{figures['currentHealthy']} currently"
        causes = {"causes": [{"reason": "DisruptionBudget", "message": text}]}
        text = "Cannot evict pod as it would violate the pod's disruption budget."
        raise kube_error(429, "TooManyRequests", text, causes)
    options = asked.get("deleteOptions") or {}
    if options.get("dryRun"):
        raise Rollback(Answer(status=201, body=_SUCCESS))
    delete(state, key, kind.plural, present, grace=asked_grace(options))
    return Answer(status=201, body=_SUCCESS)


def _bind(call: Call, kind: Kind, present: Json) -> Answer:
    target = bodies.read(call, "v1", "Binding").get("target") or {}
    meta, node = present["metadata"], target.get("name", "")
    details = {"name": meta["name"], "kind": "pods/binding"}
    begin = f'Operation cannot be fulfilled on pods/binding "{meta["name"]}"'
    if target.get("kind", "Node") not in ("", "Node") or not node:
        text = f'Binding "{meta["name"]}" is invalid: target.name: Required value'
        raise kube_error(422, "Invalid", text)
    if "deletionTimestamp" in meta:
        text = f"{begin}: pod {meta['name']} is being deleted, cannot be assigned to a host"
        raise kube_error(409, "Conflict", text, details)
    if there := present["spec"].get("nodeName"):
        text = f'{begin}: pod {meta["name"]} is already assigned to node "{there}"'
        raise kube_error(409, "Conflict", text, details)
    present["spec"]["nodeName"] = node
    call.state.put_object(_key(call), kind.plural, present)
    return Answer(status=201, body=_SUCCESS)


def _far(call: Call, kind: Kind, present: Json) -> Answer:
    """Refuse what the kubelet of a pod's node would answer: nodes have no addresses here."""
    meta = present["metadata"]
    if not present["spec"].get("nodeName"):
        text = f"pod {meta['name']} does not have a host assigned"
        raise kube_error(400, "BadRequest", text)
    names = [one["name"] for one in present["spec"]["containers"]]
    asked = call.query.get("container") or names[0]
    if asked not in names:
        text = f"container {asked} is not valid for pod {meta['name']}"
        raise kube_error(400, "BadRequest", text)
    raise kube_error(500, "", "no preferred addresses found; known addresses: []")


def _proxy(call: Call, kind: Kind, present: Json) -> Answer:
    text = "error trying to reach service: no host of this cluster can be reached"
    raise kube_error(503, "ServiceUnavailable", text)


def _token(call: Call, kind: Kind, present: Json) -> Answer:
    text = "the sandbox signs no tokens of service accounts: sign in as an identity of the world"
    raise kube_error(501, "NotImplemented", text)


_ACTS: dict[str, Callable[[Call, Kind, Json], Answer]] = {
    "scale": _scale,
    "eviction": _evict,
    "binding": _bind,
    "proxy": _proxy,
    "token": _token,
    **dict.fromkeys(_FAR, _far),
}
_C = "/kubernetes/{subscription}/{group}/{cluster}"
_OF_CLUSTER = ("status", "finalize", "approval", "proxy")  # that no kind of a namespace is called
_PLACES = [f"/{{plural}}/{{name}}/{word}" for word in _OF_CLUSTER]
_PLACES.append("/namespaces/{namespace}/{plural}/{name}/{subresource}")
ROUTES = [
    route
    for prefix in ("/api/v1", "/apis/{api_group}/{version}")
    for place in _PLACES
    for route in routes("kubernetes", f"{_C}{prefix}{place}", [(m, "", answer) for m in _VERBS])
]
