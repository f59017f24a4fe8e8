"""Small values with defaults, and an in-memory stand-in for the Azure door."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from mnslib.azure.operations import OperationKind
from mnslib.azure.scheduler import Call, Scheduler, ThreadPool, Work
from mnslib.azure.throttle import NO_LIMITS, Throttle
from mnslib.errors import ArmError, ArmNotFoundError, ArmPreconditionError
from mnslib.kube_models import Container, KubernetesNamespace, LimitRange, Node, Pod, QuotaStatus
from mnslib.models import (
    AccessGrant,
    ManagedCluster,
    ManagedNamespace,
    NamespaceSpec,
    NetworkRule,
    Origin,
    PrincipalType,
    RoleAssignment,
)
from mnslib.provisioning.apply import apply
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.observe import KubernetesView, ObservedCluster, ObservedState
from mnslib.quantities import parse_quantity
from mnslib.resource_ids import ClusterId, ManagedNamespaceId, role_assignment_name
from mnslib.results import ApplyResult
from tests.operations import SameThread

CLUSTER = ClusterId("00000000-0000-4000-8000-000000000001", "rg", "aks-1")
OTHER_CLUSTER = ClusterId("00000000-0000-4000-8000-000000000001", "rg", "aks-2")
QUOTA = {"cpu_request": "1", "cpu_limit": "2", "memory_request": "1Gi", "memory_limit": "2Gi"}
GROUP = "00000000-0000-4000-9000-000000000001"


def amounts(**quota: str | None) -> dict[str, Any]:
    return {name: None if v is None else parse_quantity(v) for name, v in quota.items()}


def make_spec(
    name: str = "team-a", *, cluster: ClusterId = CLUSTER, **fields: Any
) -> NamespaceSpec:
    fields.setdefault("quota", amounts(**QUOTA))
    origin = Origin(file="requests.csv", row=fields.pop("row", 2))
    return NamespaceSpec(id=cluster.namespace(name), origin=origin, **fields)


def make_namespace(
    name: str = "team-a", *, cluster: ClusterId = CLUSTER, **fields: Any
) -> ManagedNamespace:
    from mnslib.models import AdoptionPolicy, DeletePolicy

    defaults: dict[str, Any] = {
        "location": "westeurope",
        "quota": amounts(**QUOTA),
        "ingress_policy": NetworkRule.ALLOW_SAME_NAMESPACE,
        "egress_policy": NetworkRule.ALLOW_ALL,
        "adoption_policy": AdoptionPolicy.NEVER,
        "delete_policy": DeletePolicy.KEEP,
        "etag": "etag-1",
        "provisioning_state": "Succeeded",
    }
    return ManagedNamespace(id=cluster.namespace(name), **(defaults | fields))


def make_cluster(cluster: ClusterId = CLUSTER, **fields: Any) -> ManagedCluster:
    defaults: dict[str, Any] = {
        "location": "westeurope",
        "kubernetes_version": "1.33",
        "provisioning_state": "Succeeded",
        "power_state": "Running",
        "has_entra_id": True,
        "has_azure_rbac": True,
        "network_policy_engine": "cilium",
    }
    return ManagedCluster(id=cluster, **(defaults | fields))


def make_pod(namespace_name: str, *, cpu: str = "100m", memory: str = "128Mi") -> Pod:
    asked = {"cpu": parse_quantity(cpu), "memory": parse_quantity(memory)}
    container = Container(requests=asked, limits=asked)
    return Pod(namespace_name=namespace_name, name="p", phase="Running", containers=(container,))


def make_view(
    *,
    namespaces: tuple[KubernetesNamespace, ...] = (),
    quotas: tuple[QuotaStatus, ...] = (),
    pods: tuple[Pod, ...] = (),
    set_apart: tuple[str, ...] = (),
    limit_ranges: tuple[LimitRange, ...] | None = None,
) -> KubernetesView:
    node = Node(
        name="n1", allocatable_cores=parse_quantity("8"), allocatable_bytes=parse_quantity("32Gi")
    )
    return KubernetesView(
        namespaces={n.name: n for n in namespaces},
        quotas=quotas,
        nodes=(node, replace(node, name="n2")),
        pods=pods,
        set_apart=set_apart,
        limit_ranges=limit_ranges,
    )


def make_observed(
    *managed: ManagedNamespace,
    view: KubernetesView | None = None,
    unknown: str = "",
    cluster: ManagedCluster | None = None,
    grants: Iterable[tuple[str, str, str]] = (),
) -> ObservedState:
    found = cluster or make_cluster()
    observed = ObservedCluster(
        cluster=found,
        managed={n.id.namespace_name: n for n in managed},
        read_utc="2026-11-02T06:00:00Z",
        kubernetes=None if unknown else view or make_view(),
        kubernetes_unknown=unknown,
    )
    assignments = [make_assignment(*triple) for triple in grants]
    return ObservedState(
        clusters={found.id: observed},
        grants={(a.scope, a.principal_id, a.role_guid): a for a in assignments},
    )


def make_assignment(scope: str, principal_id: str, role_guid: str) -> RoleAssignment:
    name = role_assignment_name(scope=scope, principal_id=principal_id, role_guid=role_guid)
    return RoleAssignment(
        id=f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}",
        scope=scope,
        principal_id=principal_id,
        principal_type="Group",
        role_guid=role_guid,
    )


def make_grant(role: str = "Azure Kubernetes Service RBAC Writer") -> AccessGrant:
    from mnslib.models import BUILT_IN_ROLES

    return AccessGrant(
        principal_type=PrincipalType.GROUP,
        principal_id=GROUP,
        role=role,
        role_guid=BUILT_IN_ROLES[role],
    )


@dataclass(frozen=True)
class FakeOperation:
    number: int
    kind: OperationKind = OperationKind.CREATE


class FakeAzure:
    """ARM in memory: eTags, If-Match, operations that end at the first poll.

    `errors[name]` is a list of errors raised by the next writes of that namespace, `failing[name]`
    of those that its next operations end with, which leaves it as Failed.
    """

    def __init__(self, *managed: ManagedNamespace) -> None:
        self.store = {n.id.key: n for n in managed}
        self.assignments: list[RoleAssignment] = []
        self.requests: list[tuple[str, str]] = []
        self.errors: dict[str, list[Exception]] = {}
        self.failing: dict[str, list[ArmError]] = {}
        self.slept = 0.0
        self.on_start: Any = None
        self.most_running = 0
        self.on_poll: Any = None
        self._running: dict[FakeOperation, ArmError | None] = {}
        self._numbers = itertools.count(2)
        self._lock = threading.Lock()
        self.managed_namespaces = self
        self.managed_clusters = self
        self.role_assignments = self
        self.operations = self

    def list_by_managed_cluster(self, cluster: ClusterId) -> list[ManagedNamespace]:
        self.requests.append(("LIST", cluster.cluster_name))
        return [n for n in self.store.values() if n.id.cluster == cluster]

    def get(self, target: ManagedNamespaceId) -> ManagedNamespace:
        self.requests.append(("GET", target.namespace_name))
        if target.key not in self.store:
            raise ArmNotFoundError("gone", status=404)
        return self.store[target.key]

    def begin_create_or_update(
        self, namespace: ManagedNamespace, *, if_match: str | None, must_be_new: bool = False
    ) -> FakeOperation:
        if must_be_new and namespace.id.key in self.store:
            raise ArmPreconditionError("exists", status=412)
        return self._write("PUT", namespace.id, if_match, namespace)

    def begin_delete(self, target: ManagedNamespaceId, *, if_match: str | None) -> FakeOperation:
        return self._write("DELETE", target, if_match, None)

    def _write(
        self,
        method: str,
        target: ManagedNamespaceId,
        if_match: str | None,
        becomes: ManagedNamespace | None,
    ) -> FakeOperation:
        with self._lock:
            name = target.namespace_name
            self.requests.append((method, name))
            if self.on_start:
                self.on_start(name)
            if self.errors.get(name):
                raise self.errors[name].pop(0)
            held = self.store.get(target.key)
            if if_match is not None and (held is None or held.etag != if_match):
                raise ArmPreconditionError("etag", status=412)
            number = next(self._numbers)
            if becomes is None:
                self.store.pop(target.key, None)
                self.assignments = [a for a in self.assignments if a.scope.lower() != target.key]
            else:
                state = "Failed" if self.failing.get(name) else "Succeeded"
                self.store[target.key] = replace(
                    becomes, etag=f"etag-{number}", provisioning_state=state
                )
            kind = OperationKind.UPDATE if held else OperationKind.CREATE
            operation = FakeOperation(number, kind if becomes else OperationKind.DELETE)
            self._running[operation] = self.failing[name].pop(0) if self.failing.get(name) else None
            self.most_running = max(self.most_running, len(self._running))
            return operation

    def clock(self) -> float:
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def scheduler(self, threads: ThreadPool, *, most_per_lane: int) -> Scheduler:
        throttle = Throttle(NO_LIMITS, clock=self.clock, sleep=self.sleep)
        return Scheduler(throttle, clock=self.clock, threads=threads, most_per_lane=most_per_lane)

    def follow(self, operation: FakeOperation) -> Work[None]:
        def ask() -> None:
            if self.on_poll:
                self.on_poll()
            with self._lock:
                error = self._running.pop(operation)
            if error:
                raise error

        yield Call("GET", "/subscriptions/s/operations/1", ask)

    def create(self, scope: str, grant: AccessGrant, *, subscription_id: str) -> bool:
        self.requests.append(("GRANT", scope.rsplit("/", 1)[1]))
        for error in self.errors.get("grant", []):
            raise error
        self.assignments.append(make_assignment(scope, *grant.key))
        return True

    def delete(self, assignment: RoleAssignment, *, subscription_id: str) -> bool:
        self.requests.append(("REVOKE", assignment.scope.rsplit("/", 1)[1]))
        for error in self.errors.get("revoke", []):
            raise error
        held = len(self.assignments)
        self.assignments = [a for a in self.assignments if a.id.lower() != assignment.id.lower()]
        return len(self.assignments) < held

    def list_for_subscription(self, subscription_id: str) -> list[RoleAssignment]:
        return list(self.assignments)


def now() -> datetime:
    return datetime(2026, 11, 2, 6, 0, tzinfo=UTC)


def carry_out(
    approval: Approval, azure: FakeAzure, journal: Journal, **options: Any
) -> ApplyResult:
    """Apply one call after the other; waiting is the clock's."""
    options = {"threads": SameThread(azure.sleep)} | options
    return apply(approval, azure=azure, journal=journal, **options)


def writes(azure: FakeAzure) -> list[tuple[str, str]]:
    return [
        request for request in azure.requests if request[0] in ("PUT", "DELETE", "GRANT", "REVOKE")
    ]
