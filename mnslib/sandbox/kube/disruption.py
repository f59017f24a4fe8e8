"""PodDisruptionBudgets: how many of their pods may go at a time.

Source: controller-manager 1.34, `pkg/controller/disruption/disruption.go`.
"""

from __future__ import annotations

from mnslib.sandbox.kube.deployments import share
from mnslib.sandbox.kube.keeper import Keeper, controller_of
from mnslib.sandbox.kube.scheduling import is_active, is_ready
from mnslib.sandbox.kube.selectors import matches
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Json

_SCALED = {"ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}


def sync(keeper: Keeper, doc: Json) -> None:
    """Write down how many pods a budget has, and how many of them may go."""
    known = doc.get("status", {})
    figures = count(keeper.state, keeper.cluster, doc)
    allowed = figures["disruptionsAllowed"] > 0
    words = ("SufficientPods", "True") if allowed else ("InsufficientPods", "False")
    conditions = keeper.condition(
        known.get("conditions", []), "DisruptionAllowed", words[1], words[0], ""
    )
    number = doc["metadata"].get("generation", 1)
    status = figures | {"conditions": conditions, "observedGeneration": number}
    keeper.put("poddisruptionbudgets", doc | {"status": status})


def count(state: State, cluster: str, doc: Json) -> dict[str, int]:
    """Return the figures of a budget's status."""
    pods = covered(state, cluster, doc)
    healthy, expected = sum(map(is_ready, pods)), len(pods)
    spec = doc["spec"]
    if "maxUnavailable" in spec or str(spec.get("minAvailable", "")).endswith("%"):
        expected = _expected(state, cluster, pods)
    if "maxUnavailable" in spec:
        desired = max(0, expected - share(spec["maxUnavailable"], expected, up=True))
    else:
        desired = share(spec.get("minAvailable", 1), expected, up=True)
    allowed = max(0, healthy - desired) if expected else 0
    figures = {"currentHealthy": healthy, "desiredHealthy": desired}
    return figures | {"disruptionsAllowed": allowed, "expectedPods": expected}


def covered(state: State, cluster: str, doc: Json) -> list[Json]:
    """Return the pods that a budget covers and that are not done."""
    pods = state.objects(cluster, "pods", doc["metadata"]["namespace"])
    return [pod for pod in pods if is_active(pod) and covers(doc, pod)]


def covers(doc: Json, pod: Json) -> bool:
    """Return whether a budget is for a pod; one without a selector is for none."""
    selector = doc["spec"].get("selector")
    return selector is not None and matches(selector, pod["metadata"].get("labels") or {})


def _expected(state: State, cluster: str, pods: list[Json]) -> int:
    """Return how many pods those who control them want, and one for each of nobody's."""
    total, seen = 0, set()
    for pod in pods:
        owner = controller_of(pod)
        plural = _SCALED.get(owner["kind"]) if owner else None
        if owner is None or plural is None:
            total += 1
        elif owner["uid"] not in seen:
            seen.add(owner["uid"])
            found = state.object(cluster, plural, pod["metadata"]["namespace"], owner["name"])
            total += found["spec"].get("replicas", 1) if found else 0
    return total
