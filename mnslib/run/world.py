"""A world for the sandbox from a cluster that was read: by allow-list, nobody's name in it.

Kinds, amounts, counts and Azure's own words are taken over. Namespaces, workloads, nodes and the
cluster get numbers in a random order that is kept nowhere; what is not named here is left out.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal
from itertools import count
from typing import Any

from mnslib import kube_models as own
from mnslib.kube.client import KubeClient
from mnslib.models import QUOTA_KEYS, ManagedCluster, ManagedNamespace
from mnslib.pods import charge

_KEYS = ("requests.cpu", "limits.cpu", "requests.memory", "limits.memory")
_SYSTEM = {"kube-system": "once", "gatekeeper-system": "gatekeeper"}
"""Namespaces that every cluster has, and where a world says what runs in them."""


def world_of(
    cluster: ManagedCluster,
    managed: Iterable[ManagedNamespace],
    kube: KubeClient,
    *,
    base: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the world of one cluster, as a document of the sandbox.

    Args:
        managed: its managed namespaces, as Azure has them.
        base: a fictional world, which lends subscription, identities and directory.

    Raises:
        KubeError: if the cluster cannot be read.
    """
    pools = Counter(map(_node, kube.nodes()))
    sizes: dict[str, Any] = {}
    document: dict[str, Any] = {"nodes": {}, "taints": {}, "autoscaler": {}}
    for number, ((pool, cores, size, is_closed), nodes) in enumerate(pools.items(), 1):
        whole = {"cpu": cores, "memory": size}  # what the system keeps for itself is not told
        sizes[f"size-{number:03d}"] = whole | {f"allocatable_{k}": v for k, v in whole.items()}
        document["nodes"][f"size-{number:03d}"] = nodes
        if is_closed:
            document["taints"][f"pool{number}"] = ["NoSchedule"]
        if most := cluster.most_nodes.get(pool):
            document["autoscaler"][f"pool{number}"] = [nodes, max(nodes, most)]
    of_space = _Spaces(kube)
    in_azure = {one.id.namespace_name: one for one in managed}
    names = sorted({*in_azure, *of_space.used} - {*_SYSTEM})
    random.SystemRandom().shuffle(names)
    spaces: dict[str, dict[str, Any]] = {"managed": {}, "unmanaged": {}}
    for number, name in enumerate(names, 1):
        found = of_space.document(name)
        if one := in_azure.get(name):
            quota = {QUOTA_KEYS[field]: amount for field, amount in one.quota.items()}
            both = one.ingress_policy or "AllowSameNamespace", one.egress_policy or "AllowAll"
            found |= {"quota": _text(quota), "policy": "/".join(both)}
            for name in ("adoption_policy", "delete_policy"):
                found |= {name: str(getattr(one, name))} if getattr(one, name) else {}
        spaces["managed" if one else "unmanaged"][f"ns-{number:03d}"] = found
    document |= {
        "name": "cluster-001",
        "subscription": base["subscriptions"][0]["id"],
        "location": base["location"],
        "network_policy": cluster.network_policy_engine or "none",
        "azure_rbac": True,
        **spaces,
    }
    system = {part: of_space.document(name)["workloads"] for name, part in _SYSTEM.items()}
    return {
        **base,
        "subscriptions": base["subscriptions"][:1],
        "node_sizes": sizes or base["node_sizes"],
        "system": {"per node": {}, **system},
        "clusters": [document],
    }


class _Spaces:
    """What is in the namespaces of a cluster, as a world says it."""

    def __init__(self, kube: KubeClient) -> None:
        self._pods: dict[str, Counter[str]] = defaultdict(Counter)
        for pod in kube.pods():
            if pod.holds_quota:
                self._pods[pod.namespace_name][_text(charge(pod))] += 1
        self._workloads = _by_space(kube.workloads())
        self._quotas = _by_space(kube.resource_quotas())
        self._ranges = _by_space(one for one in kube.limit_ranges() if one.kind == "Container")
        self._scalers = {
            (one.namespace_name, one.workload_kind, one.workload_name): [one.least, one.most]
            for one in kube.autoscalers()
        }
        self.used = {*self._pods, *self._workloads, *self._quotas, *self._ranges}

    def document(self, name: str) -> dict[str, Any]:
        """Return what a namespace holds; of several quotas, the least of each amount."""
        left, number = self._pods[name].copy(), count(1)
        workloads, about = {}, {}
        for one in self._workloads[name]:
            text = _text(charge(one.template))
            running = 0 if one.kind == "CronJob" else min(one.running, left[text])
            left[text] -= running
            called = f"w-{next(number):03d}"
            workloads[called] = f"{running} x {text}"
            about[called] = self._about(one, running)
        for text, pods in left.items():  # of bare pods, and of rollouts that go on
            if pods:
                workloads[f"w-{next(number):03d}"] = f"{pods} x {text}"
        found: dict[str, Any] = {"workloads": workloads, "about": about}
        hard: dict[str, Decimal] = {}
        for quota in self._quotas[name]:
            for key, amount in {} if quota.is_scoped else quota.hard.items():
                hard[key] = min(amount, hard.get(key, amount))
        found |= {"quota": _text(hard)} if {*hard} & {*_KEYS} else {}
        for limits in self._ranges[name]:
            both = {"requests": limits.default_requests, "limits": limits.default_limits}
            defaults = {f"{kind}.{what}": n for kind, of in both.items() for what, n in of.items()}
            found["limit_range"] = _text(defaults)
        return found

    def _about(self, one: own.Workload, running: int) -> dict[str, Any]:
        about: dict[str, Any] = {"kind": one.kind}
        if one.replicas > running and one.kind != "CronJob":
            about["wanted"] = one.replicas
        if one.kind in ("Deployment", "DaemonSet") and one.unavailable is not None:
            about["surge"] = f"{one.surge}/{one.unavailable}"
        scale = self._scalers.get((one.namespace_name, one.kind, one.name))
        return about | ({"scale": scale} if scale else {})


def _by_space(items: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for one in items:
        found[one.namespace_name].append(one)
    return found


def _node(node: own.Node) -> tuple[str, str, str, bool]:
    room = _amount("cpu", node.allocatable_cores), _amount("memory", node.allocatable_bytes)
    return node.pool, *room, bool(node.taints) or node.is_cordoned


def _text(amounts: Mapping[str, Decimal]) -> str:
    texts = [_amount(key, amounts[key]) if key in amounts else "-" for key in _KEYS]
    return "{}/{} {}/{}".format(*texts)


def _amount(key: str, amount: Decimal) -> str:
    """Return a quantity in Mi or millicores, else in whole units or, rounded up, billionths."""
    large = (2**20, "Mi") if key.endswith("memory") else (Decimal("1e-3"), "m")
    for unit, suffix in (large, (1, "")):
        if amount % unit == 0:
            return f"{int(amount / unit)}{suffix}"
    return f"{int((amount * 10**9).to_integral_value(ROUND_CEILING))}n"
