"""What a cluster has committed, against what its nodes can give: overcommit and N-1.

`committed` is the sum of hard request quotas, `requested` what pods ask for now, `allocatable`
what the nodes offer that teams can use. Pure: standard library only; plan and capacity use the same
figures.

Source: kubernetes-mixin, alerts KubeCPUQuotaOvercommit and KubeCPUOvercommit (memory alike).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import attrgetter

from mnslib.kube_models import Node, Pod, QuotaStatus
from mnslib.pods import total_charge
from mnslib.quantities import ZERO
from mnslib.verdicts import unknown

QUOTA_OVERCOMMIT_RATIO = Decimal("1.5")
"""Committed over allocatable above which kubernetes-mixin warns of quota overcommit."""

_OFFERS = {"cpu": attrgetter("allocatable_cores"), "memory": attrgetter("allocatable_bytes")}

CORDONED, NOT_READY, VIRTUAL, CLOSED = "cordoned", "not ready", "virtual", "closed"
PASSING = frozenset({CORDONED, NOT_READY})
"""Reasons that pass: upgrades cordon nodes one after the other. The others stay."""

_VIRTUAL_TAINT, _VIRTUAL_NAMES = "virtual-kubelet.io/provider", ("virtual-node-", "virtual-kubelet")
"""Of nodes that promise 1,000 cores. Source: virtual-kubelet; AKS, virtual nodes."""

_CLOSED_NAMES = ("aks-hostedpool-", "aks-system-surge-")
"""Of nodes that are not the customer's. Source: AKS Automatic, managed system node pools."""

_PASSING_TAINT = re.compile(r"node\.((cloudprovider\.)?kubernetes|cilium)\.io/|remediator\.")
_CORDON_TAINT = "node.kubernetes.io/unschedulable"
_TOLERATED_TAINT = "node.kubernetes.io/memory-pressure"
"""Of conditions, which pass. Every pod that requests something tolerates the last, and a quota
takes no other. Source: Kubernetes, "Taint Nodes by Condition"; AKS, "Node auto-repair"."""


def left_out_for(node: Node) -> str:
    """Return why an ordinary pod finds no place on a node; empty where it does.

    `VIRTUAL`, `CLOSED` (a taint that no ordinary pod tolerates), `NOT_READY` or `CORDONED`: what
    stays before what passes.
    """
    taints = [key for key in node.taints if key != _TOLERATED_TAINT]
    if node.is_virtual or _VIRTUAL_TAINT in taints or node.name.startswith(_VIRTUAL_NAMES):
        return VIRTUAL
    if node.name.startswith(_CLOSED_NAMES) or not all(map(_PASSING_TAINT.match, taints)):
        return CLOSED
    if not node.is_ready or set(taints) - {_CORDON_TAINT}:
        return NOT_READY
    return CORDONED if node.is_cordoned or taints else ""


def left_out_of(nodes: Iterable[Node]) -> dict[str, str]:
    """Return the nodes that teams cannot use, each with the reason; those first that stay so."""
    reasons = {node.name: left_out_for(node) for node in nodes}
    names = sorted(filter(reasons.get, reasons), key=lambda name: reasons[name] in PASSING)
    return {name: reasons[name] for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """One cluster and one resource (`cpu` in cores, `memory` in bytes).

    Attributes:
        largest_node: allocatable of the largest such node, to ask what its loss would mean.
        autoscaled: allocatable once every pool is at its autoscaler's maximum; None without one.
        uncounted: namespaces without a quota on this resource; they may ask for anything.
        by_namespace: what is committed to each.
        max_ratio: committed over allocatable that is still accepted; None for no limit.
        left_out: nodes that are not counted, each with the reason of `left_out_for`.
        returning: allocatable of each of those that are left out for a time (`PASSING`).
    """

    resource: str
    allocatable: Decimal
    largest_node: Decimal
    committed: Decimal
    requested: Decimal
    uncounted: int = 0
    autoscaled: Decimal | None = None
    by_namespace: Mapping[str, Decimal] = field(default_factory=dict)
    max_ratio: Decimal | None = QUOTA_OVERCOMMIT_RATIO
    left_out: Mapping[str, str] = field(default_factory=dict)
    returning: tuple[Decimal, ...] = ()

    @property
    def nodes_left_out(self) -> str:
        """The nodes that are not counted, as `name: reason`, joined by commas."""
        return ", ".join(f"{name}: {why}" for name, why in self.left_out.items())

    @property
    def with_nodes_back(self) -> Commitment:
        """The same commitment once the nodes are back that are left out for a time."""
        return replace(
            self,
            allocatable=sum(self.returning, self.allocatable),
            largest_node=max((self.largest_node, *self.returning)),
            left_out={name: why for name, why in self.left_out.items() if why not in PASSING},
            returning=(),
        )

    @property
    def without_largest_node(self) -> Decimal:
        """Allocatable minus the largest node (N-1)."""
        return self.allocatable - self.largest_node

    @property
    def committed_ratio(self) -> Decimal | None:
        """Committed over allocatable; None without nodes."""
        return self.committed / self.allocatable if self.allocatable else None

    @property
    def requested_ratio(self) -> Decimal | None:
        """Requested over allocatable without the largest node; None with one node or none."""
        rest = self.without_largest_node
        return self.requested / rest if rest > 0 else None

    @property
    def headroom(self) -> Decimal:
        """What can still be committed, in cores or bytes: `balance`, but never below 0."""
        return max(ZERO, self.balance)

    @property
    def balance(self) -> Decimal:
        """The smaller of N-1 minus requested and limit minus committed; below 0 what is lacking."""
        unrequested, over = self.without_largest_node - self.requested, self.over_limit
        return unrequested if over is None else min(unrequested, -over)

    @property
    def over_limit(self) -> Decimal | None:
        """Committed minus the limit, below 0 where more may be committed; None without a limit."""
        return (
            None if self.max_ratio is None else self.committed - self.max_ratio * self.allocatable
        )

    @property
    def at_most(self) -> Commitment | None:
        """The same commitment once every pool is at its autoscaler's maximum; None without one."""
        grown = self.autoscaled
        return None if grown is None else replace(self, allocatable=grown, autoscaled=None)

    @property
    def verdict(self) -> str:
        """`overcommit`, `quota overcommit`, `room` or `unknown: <reason>`; the mixin's words."""
        if self.committed_ratio is None:
            return unknown("no ready node")
        if self.requested_ratio is not None and self.requested_ratio > 1:
            return "overcommit"
        if self.over_limit is not None and self.over_limit > 0:
            return "quota overcommit"
        return "room"


def lacking(before: Commitment, after: Commitment) -> dict[str, Decimal]:
    """Return by namespace what a cluster lacks for its raised quota; one that fits is left out.

    What is committed to all must stay within the limit, to one namespace within all nodes.
    What pods request now decides the headroom that is left, not what may be committed.
    """
    found = {
        name: max(_over(before, after), own - after.allocatable)
        for name, own in after.by_namespace.items()
        if own > before.by_namespace.get(name, ZERO)
    }
    return {name: amount for name, amount in found.items() if amount > 0}


def shortage(before: Commitment, after: Commitment) -> Decimal:
    """Return how much a cluster lacks for all that is raised; 0 where it fits."""
    return max(_over(before, after), *lacking(before, after).values(), ZERO)


def _over(before: Commitment, after: Commitment) -> Decimal:
    """Return what is committed beyond the limit, where more is committed than before."""
    return (after.over_limit or ZERO) if after.committed > before.committed else ZERO


def shortage_later(before: Commitment, after: Commitment) -> Decimal:
    """Return how much it lacks once the nodes are back that are left out for a time."""
    return shortage(before.with_nodes_back, after.with_nodes_back)


def committed_by_namespace(quotas: Iterable[QuotaStatus], resource: str) -> dict[str, Decimal]:
    """Return the hard request quota of each namespace that has one.

    Where several quota objects name the resource all must hold, so the smallest counts. `cpu` and
    `requests.cpu` are the same thing. Source: Kubernetes, ResourceQuota.
    """
    smallest: dict[str, Decimal] = {}
    for quota in quotas:
        for key in (resource, f"requests.{resource}"):
            if key in quota.hard:
                amount = quota.hard[key]
                known = smallest.get(quota.namespace_name, amount)
                smallest[quota.namespace_name] = min(known, amount)
    return smallest


def commitments(
    *,
    nodes: Iterable[Node],
    quotas: Iterable[QuotaStatus],
    pods: Iterable[Pod],
    most_nodes: Mapping[str, int] | None = None,
    max_ratio: Decimal | None = QUOTA_OVERCOMMIT_RATIO,
) -> dict[str, Commitment]:
    """Return what one cluster has committed of `cpu` and of `memory`.

    Nodes that teams cannot use (`left_out_for`) count for nothing, nor do pods that are finished,
    or run where teams never can. A pool grows by nodes of the size it has; one without a node in
    use is left out, for its size is not known.

    Args:
        most_nodes: the autoscaler's maximum, by pool.
        max_ratio: committed over allocatable that is still accepted; None for no limit.
    """
    there = list(nodes)
    left_out = left_out_of(there)
    used = [node for node in there if node.name not in left_out]
    returning = [node for node in there if left_out.get(node.name) in PASSING]
    elsewhere = {name for name, why in left_out.items() if why not in PASSING}
    hard, running = list(quotas), list(pods)
    requested = total_charge(pod for pod in running if pod.node_name not in elsewhere)
    sizes, counts = {node.pool: node for node in used}, Counter(node.pool for node in used)
    growing = [
        (sizes[pool], max(0, most - counts[pool]))
        for pool, most in (most_nodes or {}).items()
        if pool in sizes
    ]
    found = {}
    for resource, offer in _OFFERS.items():
        offers = [offer(node) for node in used]
        growth = sum((offer(node) * count for node, count in growing), ZERO)
        committed = committed_by_namespace(hard, resource)
        found[resource] = Commitment(
            resource=resource,
            allocatable=sum(offers, ZERO),
            largest_node=max(offers, default=ZERO),
            committed=sum(committed.values(), ZERO),
            requested=requested[f"requests.{resource}"],
            autoscaled=sum(offers, growth) if growing else None,
            uncounted=len({pod.namespace_name for pod in running} - set(committed)),
            by_namespace=committed,
            max_ratio=max_ratio,
            left_out=left_out,
            returning=tuple(offer(node) for node in returning),
        )
    return found
