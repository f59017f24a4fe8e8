"""What starts pods, and what scales and limits them: documents of a seeded world.

Controllers leave them as they are until somebody writes to them. Sources: Kubernetes API
reference, apps/v1, batch/v1, autoscaling/v2 and core/v1; `pkg/controller/controller_utils.go` and
client-go `tools/record/events_cache.go` for what controllers write about refused pods.
"""

from __future__ import annotations

import zlib

from mnslib.sandbox.kube import events, inside
from mnslib.sandbox.kube.keeper import reference
from mnslib.sandbox.kube.quotas import refusal
from mnslib.sandbox.state import State, kube_time
from mnslib.sandbox.wire import Json

_VERSIONS = {kind: "apps/v1" for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")}
_VERSIONS |= {"CronJob": "batch/v1", "Job": "batch/v1"}
_STEADY = "25%/25%"  # Source: apps/v1 defaults, maxSurge and maxUnavailable
_REVISED = {"deployment.kubernetes.io/revision": "1"}
_SAFE = "bcdfghjklmnpqrst"  # sixteen of the letters that Kubernetes makes names of

Pods = tuple[Json, Json]  # spec and labels
Counts = tuple[int, int]  # running, wanted
Made = tuple[Json, Json, Json]  # the workload, what owns its pods, labels of the pods


class Workloads:
    """Stores the workloads of one cluster; `refuse` at the end, when quotas have been counted."""

    def __init__(self, state: State, cluster: str) -> None:
        self.state, self.cluster = state, cluster
        self._refused: list[tuple[Json, Json, Json]] = []

    def start(
        self, namespace: str, name: str, template: Json, *, count: int, about: Json
    ) -> tuple[Json, Json]:
        """Store a workload that runs `count` pods; return labels and owner of each pod.

        Args:
            namespace: of the workload and its pods.
            name: of the workload.
            template: spec of its pods.
            count: pods that run.
            about: what the world says: `kind`, `wanted` (pods, where they are more than run),
                `surge` ("maxSurge/maxUnavailable"), `scale` (least and most pods), `schedule`,
                `refused` (how often, first and last minutes ago).
        """
        labels = {"app": name}
        counts = (count, about.get("wanted", count))
        make = _MAKERS[about.get("kind", "Deployment")]
        stored, owner, labels = make(self, namespace, name, (template, labels), counts, about)
        if "scale" in about:
            self._scale(stored, least=about["scale"][0], most=about["scale"][1], current=count)
        if "refused" in about:
            self._refused.append((owner, {"spec": template}, about["refused"]))
        return labels, reference(owner)

    def _deployment(
        self, namespace: str, name: str, pods: Pods, counts: Counts, about: Json
    ) -> Made:
        template, labels = pods
        surge, unavailable = about.get("surge", _STEADY).split("/")
        rolling = {"maxSurge": _count(surge), "maxUnavailable": _count(unavailable)}
        strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
        spec, status = _replicas(pods, counts)
        status["updatedReplicas"] = counts[0]
        stored = self._put("Deployment", namespace, name, spec | {"strategy": strategy}, status)
        hashed = _letters(f"{namespace}/{name}")
        labels = labels | {"pod-template-hash": hashed}
        spec, status = _replicas((template, labels), counts)
        owned = f"{name}-{hashed}"
        owner = self._put("ReplicaSet", namespace, owned, spec, status, owner=stored)
        return stored, owner, labels

    def _stateful_set(self, namespace: str, name: str, pods: Pods, counts: Counts, _: Json) -> Made:
        spec, status = _replicas(pods, counts)
        spec |= {"serviceName": name, "updateStrategy": {"type": "RollingUpdate"}}
        stored = self._put("StatefulSet", namespace, name, spec, status)
        return stored, stored, pods[1]

    def _daemon_set(
        self, namespace: str, name: str, pods: Pods, counts: Counts, about: Json
    ) -> Made:
        count, wanted = counts
        surge, unavailable = about.get("surge", "0/1").split("/")
        rolling = {"maxSurge": _count(surge), "maxUnavailable": _count(unavailable)}
        spec = _selecting(pods)
        spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
        status = {"desiredNumberScheduled": wanted, "currentNumberScheduled": count}
        status |= {"numberReady": count, "numberMisscheduled": 0}
        stored = self._put("DaemonSet", namespace, name, spec, status)
        return stored, stored, pods[1]

    def _cron_job(self, namespace: str, name: str, pods: Pods, counts: Counts, about: Json) -> Made:
        spec = {"jobTemplate": {"spec": _parallel(pods, counts)}, "concurrencyPolicy": "Forbid"}
        spec["schedule"] = about.get("schedule", "0 2 * * *")
        stored = self._put("CronJob", namespace, name, spec, {})
        run = f"{name}-{int(self.state.now() // 60)}"
        return stored, self._job(namespace, run, pods, counts, {}, owner=stored)[1], pods[1]

    def _job(
        self,
        namespace: str,
        name: str,
        pods: Pods,
        counts: Counts,
        _: Json,
        *,
        owner: Json | None = None,
    ) -> Made:
        status = {"active": counts[0], "startTime": kube_time(self.state.now())}
        spec = _parallel(pods, counts)
        stored = self._put("Job", namespace, name, spec, status, owner=owner)
        return stored, stored, pods[1]

    def _put(
        self,
        kind: str,
        namespace: str,
        name: str,
        spec: Json,
        status: Json,
        *,
        owner: Json | None = None,
    ) -> Json:
        owners = [reference(owner)] if owner else []
        labels = spec.get("template", {}).get("metadata", {}).get("labels", {"app": name})
        metadata = inside.metadata(
            self.state,
            name,
            namespace,
            labels=labels,
            annotations=_REVISED if kind in ("Deployment", "ReplicaSet") else None,
            ownerReferences=owners,
        )
        doc = {"apiVersion": _VERSIONS[kind], "kind": kind, "metadata": metadata}
        plural = f"{kind.lower()}s"
        return self.state.put_object(
            self.cluster, plural, doc | {"spec": spec} | ({"status": status} if status else {})
        )

    def _scale(self, of: Json, *, least: int, most: int, current: int) -> None:
        name, namespace = of["metadata"]["name"], of["metadata"]["namespace"]
        target = {key: of[key] for key in ("apiVersion", "kind")} | {"name": name}
        goal = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
        self.state.put_object(
            self.cluster,
            "horizontalpodautoscalers",
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": inside.metadata(self.state, name, namespace),
                "spec": {
                    "scaleTargetRef": target,
                    "minReplicas": least,
                    "maxReplicas": most,
                    "metrics": [{"type": "Resource", "resource": goal}],
                },
                "status": {"currentReplicas": current, "desiredReplicas": current},
            },
        )

    def limit(self, namespace: str, amounts: Json) -> None:
        """Store a LimitRange.

        Args:
            namespace: of it.
            amounts: defaults of a container by quota key, `requests.cpu` and so on.
        """
        limits: Json = {"type": "Container"}
        for key, text in amounts.items():
            kind, _, resource = key.partition(".")
            word = "defaultRequest" if kind == "requests" else "default"
            limits.setdefault(word, {})[resource] = text
        self.state.put_object(
            self.cluster,
            "limitranges",
            {
                "apiVersion": "v1",
                "kind": "LimitRange",
                "metadata": inside.metadata(self.state, "container-defaults", namespace),
                "spec": {"limits": [limits]},
            },
        )

    def refuse(self) -> None:
        """Write the events of the pods that the quotas, as they are now, refuse.

        Each names another pod, so the recorder keeps nine of them, and one more that counts all
        that follow; what has not changed for an hour is gone.

        Raises:
            KeyError: if the world says of a pod that it was refused, and no quota refuses it.
        """
        for owner, pod, said in self._refused:
            namespace, of = owner["metadata"]["namespace"], owner["metadata"]["name"]
            first, last = (self.state.now() - 60 * minutes for minutes in said["minutes"])
            quotas = self.state.objects(self.cluster, "resourcequotas", namespace)
            if not (text := refusal(pod, quotas)):
                raise KeyError(f"{namespace}/{of}: no quota refuses its pods")
            if owner["kind"] == "StatefulSet":  # whose next pod always has the same name
                name, begin = f"{of}-0", f"create Pod {of}-0 in StatefulSet {of} failed error"
                message = f'{begin}: pods "{name}" is forbidden: {text}'
                self._event(owner, message, number=0, count=said["times"], times=(first, last))
                continue
            single = min(said["times"], events.ALONE)
            for index in range(single):
                name = f"{of}-{_letters(f'{of}{index}')[:5]}"
                message = f'Error creating: pods "{name}" is forbidden: {text}'
                self._event(owner, message, number=index, count=1, times=(first, first))
            if more := said["times"] - single:
                message = f"(combined from similar events): {message}"
                self._event(owner, message, number=single, count=more, times=(first, last))

    def _event(
        self, about: Json, message: str, *, number: int, count: int, times: tuple[float, float]
    ) -> None:
        if times[1] < self.state.now() - events.LIFE:
            return
        of, component = about["metadata"], f"{about['kind'].lower()}-controller"
        doc = events.event(about, "FailedCreate", message, warns=True, by=component, times=times)
        with self.state.at(times[0]):
            name = f"{of['name']}.{int(times[0] * 1e9) + number:x}"
            doc["metadata"] = inside.metadata(self.state, name, of["namespace"])
        self.state.put_object(self.cluster, "events", doc | {"count": count})


_MAKERS = {
    "Deployment": Workloads._deployment,
    "StatefulSet": Workloads._stateful_set,
    "DaemonSet": Workloads._daemon_set,
    "CronJob": Workloads._cron_job,
    "Job": Workloads._job,
}


def _selecting(pods: Pods) -> Json:
    return {"selector": {"matchLabels": pods[1]}, "template": _template(pods)}


def _template(pods: Pods) -> Json:
    return {"metadata": {"labels": pods[1]}, "spec": pods[0]}


def _replicas(pods: Pods, counts: Counts) -> tuple[Json, Json]:
    """Return spec and status of what keeps a number of pods."""
    count, wanted = counts
    status = {"replicas": count, "readyReplicas": count, "availableReplicas": count}
    return {"replicas": wanted} | _selecting(pods), status


def _parallel(pods: Pods, counts: Counts) -> Json:
    return {"parallelism": counts[1], "template": _template(pods)}


def _count(text: str) -> int | str:
    return text if text.endswith("%") else int(text)


def _letters(text: str) -> str:
    """Return letters that depend on nothing but the text, as generated names have them."""
    return "".join(_SAFE[int(digit, 16)] for digit in f"{zlib.crc32(text.encode()):08x}")
