"""Where pods run: nodes by room, taints and selectors; the scheduler's words where none will do.

Sources: kube-scheduler 1.34, `pkg/scheduler/framework/types.go` (FitError),
`framework/plugins/{nodeunschedulable,nodename,tainttoleration,nodeaffinity,noderesources}` and
`framework/preemption/preemption.go`. Volumes, ports, spreading and affinity between pods are not
imitated.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction

from mnslib.sandbox.amounts import parse
from mnslib.sandbox.kube.arithmetic import counts, pod_amounts, qos_class
from mnslib.sandbox.kube.selectors import holds
from mnslib.sandbox.state import State, kube_time
from mnslib.sandbox.wire import Json

SCHEDULER = "default-scheduler"
_READY = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
_NOT_READY = "node.kubernetes.io/not-ready"
_UNREACHABLE = "node.kubernetes.io/unreachable"
_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_HARD = ("NoSchedule", "NoExecute")


class Nodes:
    """The nodes of one cluster, and what is taken on them."""

    def __init__(self, state: State, cluster: str) -> None:
        self.nodes = state.objects(cluster, "nodes")
        self.taken: dict[str, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        for pod in state.objects(cluster, "pods"):
            if "nodeName" in pod["spec"] and counts(pod):
                self.take(pod["spec"]["nodeName"], pod)

    def take(self, node: str, pod: Json) -> None:
        """Count a pod on a node."""
        for name, amount in _wants(pod).items():
            self.taken[node][name] += amount

    def choose(self, pod: Json) -> tuple[str, str]:
        """Return the node with most free CPU that takes a pod, or why there is none."""
        fits, reasons, helpless = {}, Counter[str](), Counter[str]()
        for node in self.nodes:
            name = node["metadata"]["name"]
            against, final = self._against(pod, node)
            if not against:
                room = parse(node["status"]["allocatable"]["cpu"]) - self.taken[name]["cpu"]
                fits[name] = room
                continue
            reasons.update(against)
            hopeless = "Preemption is not helpful for scheduling"
            helpless[hopeless if final else "No preemption victims found for incoming pod"] += 1
        if fits:
            return max(fits, key=lambda name: (fits[name], name)), ""
        if not self.nodes:
            return "", "no nodes available to schedule pods"
        never = pod["spec"].get("preemptionPolicy") == "Never"
        more = "not eligible due to preemptionPolicy=Never." if never else self._said(helpless)
        return "", f"{self._said(reasons)} preemption: {more}"

    def _said(self, reasons: Counter[str]) -> str:
        parts = sorted(f"{count} {reason}" for reason, count in reasons.items())
        return f"0/{len(self.nodes)} nodes are available: {', '.join(parts)}."

    def _against(self, pod: Json, node: Json) -> tuple[list[str], bool]:
        """Return why a node does not take a pod, and whether no other pod's end would help."""
        spec, name = pod["spec"], node["metadata"]["name"]
        closed = node.get("spec", {}).get("unschedulable")
        if closed and not tolerates(pod, _UNSCHEDULABLE):
            return ["node(s) were unschedulable"], True
        for taint in taints(node):
            if taint["effect"] in _HARD and not tolerates(pod, taint):
                where = f"{{{taint['key']}: {taint.get('value', '')}}}"
                return [f"node(s) had untolerated taint {where}"], True
        if not selects(spec, node):
            return ["node(s) didn't match Pod's node affinity/selector"], True
        allocatable = node["status"]["allocatable"]
        short, final = [], False
        for what, amount in _wants(pod).items():
            room = parse(str(allocatable.get(what, "0")))
            if amount and amount > room - self.taken[name][what]:
                short.append("Too many pods" if what == "pods" else f"Insufficient {what}")
                final = final or amount > room
        return short, final


def _wants(pod: Json) -> dict[str, Fraction]:
    wanted = pod_amounts(pod, "requests")
    return {"pods": Fraction(1)} | {name: amount.value for name, amount in wanted.items()}


def taints(node: Json) -> Iterator[Json]:
    """Yield the taints of a node, those among them that its condition brings along."""
    present = node.get("spec", {}).get("taints", [])
    yield from present
    ready = [c for c in node["status"].get("conditions", ()) if c["type"] == "Ready"]
    status = ready[0]["status"] if ready else "True"
    key = {"False": _NOT_READY, "Unknown": _UNREACHABLE}.get(status)
    if key and key not in [taint["key"] for taint in present]:
        yield from ({"key": key, "effect": effect} for effect in _HARD)


def tolerates(pod: Json, taint: Json) -> Json | None:
    """Return the toleration of a pod that takes a taint."""
    for one in pod["spec"].get("tolerations", ()):
        exists = one.get("operator", "Equal") == "Exists"
        same_key = one.get("key", "") == taint["key"] or (exists and not one.get("key"))
        same_value = exists or one.get("value", "") == taint.get("value", "")
        if same_key and same_value and one.get("effect") in (None, "", taint["effect"]):
            return dict(one)
    return None


def patience(pod: Json, node: Json) -> float | None:
    """Return how many seconds a pod stays under its node's NoExecute taints; None: for ever."""
    found = [tolerates(pod, one) for one in taints(node) if one["effect"] == "NoExecute"]
    seconds = [one.get("tolerationSeconds") if one else 0 for one in found]
    return min((max(0.0, float(one)) for one in seconds if one is not None), default=None)


def selects(spec: Json, node: Json) -> bool:
    """Return whether name, selector and required affinity of a pod's spec take a node."""
    meta = node["metadata"]
    labels = meta.get("labels", {})
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    names = {"metadata.name": meta["name"]}
    return any(
        all(_holds(one, labels) for one in term.get("matchExpressions") or ())
        and all(_holds(one, names) for one in term.get("matchFields") or ())
        for term in required.get("nodeSelectorTerms", ())
        if term.get("matchExpressions") or term.get("matchFields")
    )


def _holds(asked: Json, labels: Json) -> bool:
    return holds(asked["operator"], labels.get(asked["key"]), asked.get("values"))


def await_node(pod: Json, moment: float, message: str = "") -> None:
    """Write the status of a pod that runs nowhere yet, with the scheduler's words if it has any."""
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod)}
    reason = "Unschedulable"
    if pod["spec"].get("schedulingGates"):
        reason = "SchedulingGated"
        message = "Scheduling is blocked due to non-empty scheduling gates"
    if message:
        condition = {"type": "PodScheduled", "status": "False", "reason": reason}
        condition |= {"message": message, "lastTransitionTime": kube_time(moment)}
        pod["status"]["conditions"] = [condition]


def place(pod: Json, node: str, moment: float) -> None:
    """Write the status of a pod that runs on this node."""
    at = kube_time(moment)
    number = zlib.crc32(pod["metadata"]["uid"].encode())
    address = f"10.244.{number // 250 % 250}.{number % 250 + 1}"
    pod["spec"]["nodeName"] = node
    running = {"ready": True, "started": True, "restartCount": 0, "lastState": {}, "imageID": ""}
    running["state"] = {"running": {"startedAt": at}}
    pod["status"] = {
        "phase": "Running",
        "startTime": at,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "qosClass": qos_class(pod),
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": at}
            for kind in _READY
        ],
        "containerStatuses": [
            {"name": one["name"], "image": one.get("image", ""), **running}
            | ({"resources": one["resources"]} if one.get("resources") else {})
            for one in pod["spec"]["containers"]
        ],
    }


def resized(pod: Json) -> bool:
    """Let a running pod have the resources that a resize in place has written; return if so."""
    specs = {one["name"]: one.get("resources") or {} for one in pod["spec"]["containers"]}
    known = pod["status"].get("containerStatuses", ())
    stale = [one for one in known if one.get("resources", specs[one["name"]]) != specs[one["name"]]]
    for one in stale:
        one["resources"] = specs[one["name"]]
    return bool(stale)


def end(pod: Json, moment: float, phase: str = "Succeeded") -> None:
    """Write the status of a pod whose containers have come to their end."""
    status, at = pod["status"], kube_time(moment)
    status["phase"] = phase
    for condition in status.get("conditions", ()):
        if condition["type"] in ("Ready", "ContainersReady"):
            condition |= {"status": "False", "reason": "PodCompleted", "lastTransitionTime": at}
    for one in status.get("containerStatuses", ()):
        ended = {"exitCode": int(phase == "Failed"), "finishedAt": at}
        ended |= {"startedAt": status.get("startTime"), "reason": "Completed"}
        one |= {"ready": False, "started": False, "state": {"terminated": ended}}


def is_active(pod: Json) -> bool:
    """Return whether a pod is neither done nor being deleted."""
    phase = pod.get("status", {}).get("phase")
    return phase not in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]


def is_ready(pod: Json) -> bool:
    """Return whether a pod is ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
