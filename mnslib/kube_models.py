"""What the Kubernetes API says, reduced to what is used: frozen, without behavior of its own.

Amounts are `Decimal` in cores or bytes (see `quantities`). Knows nothing of wire formats, nor of
what ARM holds (`models`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesNamespace:
    """A namespace object on a cluster; `created_utc` is None where the cluster did not say."""

    name: str
    created_utc: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a pod must be for a quota to count it: `BestEffort`, `PriorityClass` In `gold`."""

    name: str
    operator: str = "Exists"
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStatus:
    """A ResourceQuota object: amounts by key (`requests.cpu`), in cores, bytes or counts.

    Attributes:
        is_scoped: whether it counts only some of the pods, those that all its `scopes` name.
        scopes: empty too where an earlier snapshot did not keep them.
        asked: what it allows once its counters follow; empty where `hard` says that.
        created_utc: when it was made; None where that is not said.
        changed_utc: when somebody last wrote it, its counters apart; None where that is not said.
    """

    namespace_name: str
    name: str
    hard: Mapping[str, Decimal]
    used: Mapping[str, Decimal]
    is_scoped: bool = False
    scopes: tuple[Scope, ...] = ()
    asked: Mapping[str, Decimal] = field(default_factory=dict)
    created_utc: datetime | None = None
    changed_utc: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node; allocatable is smaller than capacity; `pool` is empty where it says none.

    Attributes:
        most_pods: pods that it takes; None where it does not say.
        is_cordoned: whether it takes no new pod (`spec.unschedulable`).
        is_virtual: whether it only stands for a service elsewhere, as its labels say.
        taints: keys of those that keep pods away (`NoSchedule`, `NoExecute`).
    """

    name: str
    allocatable_cores: Decimal
    allocatable_bytes: Decimal
    is_ready: bool = True
    pool: str = ""
    most_pods: int | None = None
    is_cordoned: bool = False
    is_virtual: bool = False
    taints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container's resources by name (`cpu`, `memory`, `nvidia.com/gpu`); cores, bytes, counts.

    Of one that is resized in place, what it counts for meanwhile.

    Attributes:
        is_sidecar: an init container with `restartPolicy: Always`, which keeps running.
    """

    requests: Mapping[str, Decimal] = field(default_factory=dict)
    limits: Mapping[str, Decimal] = field(default_factory=dict)
    is_sidecar: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod and what its containers ask for; `node_name` is empty until it has a place.

    Attributes:
        pod_requests, pod_limits: `spec.resources`, which stand in place of the containers'.
        runtime_class, priority_class: empty without one.
        is_past_grace: whether it was to be gone when it was read, such as on a node that is lost.
        has_deadline: whether it ends by itself (`activeDeadlineSeconds`).
        crosses_namespaces: whether its affinity names pods of other namespaces.
    """

    namespace_name: str
    name: str
    phase: str
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    overhead: Mapping[str, Decimal] = field(default_factory=dict)
    pod_requests: Mapping[str, Decimal] = field(default_factory=dict)
    pod_limits: Mapping[str, Decimal] = field(default_factory=dict)
    node_name: str = ""
    runtime_class: str = ""
    priority_class: str = ""
    is_past_grace: bool = False
    has_deadline: bool = False
    crosses_namespaces: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether it has ended. Source: Kubernetes, "non-terminal pods"."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def holds_quota(self) -> bool:
        """Whether it counts for quotas, but for `count/pods`. Source: pod evaluator, QuotaV1Pod."""
        return not (self.is_past_grace or self.is_finished)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRange:
    """What a namespace's LimitRange says of one `kind`: Container, Pod, PersistentVolumeClaim.

    Amounts by resource, in cores and bytes. A container that names no request or limit gets the
    default at admission.

    Attributes:
        least, most: what one may ask for.
        most_ratio: of its limit to its request.
    """

    namespace_name: str
    name: str
    kind: str = "Container"
    default_requests: Mapping[str, Decimal] = field(default_factory=dict)
    default_limits: Mapping[str, Decimal] = field(default_factory=dict)
    least: Mapping[str, Decimal] = field(default_factory=dict)
    most: Mapping[str, Decimal] = field(default_factory=dict)
    most_ratio: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What starts pods: a Deployment, StatefulSet, DaemonSet, CronJob or Job.

    Attributes:
        replicas: pods wanted now; of a job, those that run side by side.
        running: pods that are there now, started or waiting; of a CronJob, see its jobs.
        template: the next pod as it would ask to be let in; its phase is `Pending`.
        surge: pods that a rolling update starts beside the old ones, rounded up; 0 where it first
            stops one (StatefulSets, `Recreate`, maxSurge 0).
        unavailable: pods that it may stop first; with a surge of 0 too, it replaces none. None
            where a run of before did not read it.
    """

    kind: str
    namespace_name: str
    name: str
    replicas: int
    template: Pod
    surge: int = 0
    unavailable: int | None = None
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaler:
    """A HorizontalPodAutoscaler and the workload that it scales."""

    namespace_name: str
    name: str
    workload_kind: str
    workload_name: str
    least: int
    most: int
    current: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """What leads traffic to the pods of a namespace: a Service, an Ingress or an HTTPRoute.

    Attributes:
        kind: of a Service its type: `ClusterIP`, `NodePort`, `LoadBalancer`.
        namespace_name: where it leads to.
        name: begins with its own namespace where that is another: `gateways/shop`.
    """

    kind: str
    namespace_name: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """A NetworkPolicy.

    Attributes:
        filters: `Ingress`, `Egress` where it filters every pod of its namespace.
        opens: those directions in which it lets everything through.
    """

    namespace_name: str
    name: str
    filters: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to an object `count` times; times are None where not said.

    Attributes:
        workload_kind, workload_name: what made the object: the Deployment of a ReplicaSet, the
            CronJob of a Job; empty where nothing did.
        lacking: pods that the object still wants, 0 where it exists no more; None where that was
            not read with it.
    """

    namespace_name: str
    reason: str
    message: str
    object_kind: str
    object_name: str
    count: int = 1
    first_utc: datetime | None = None
    last_utc: datetime | None = None
    workload_kind: str = ""
    workload_name: str = ""
    lacking: int | None = None
