"""Builds managed clusters: the ARM resource with its defaults, nodes, and the system's own pods.

Serves clusters of a seeded world and those that a request creates. What a node can hold and what
the system runs is data of the world, kept as the setting "building".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mnslib.sandbox.amounts import parse
from mnslib.sandbox.kube import inside
from mnslib.sandbox.kube.arithmetic import COMPUTE_KEYS, pod_need
from mnslib.sandbox.kube.scheduling import await_node, place
from mnslib.sandbox.kube.workloads import Workloads
from mnslib.sandbox.offers import offers, packaged
from mnslib.sandbox.resources import CLUSTER_TYPE, SYSTEM_NAMESPACES
from mnslib.sandbox.state import State, kube_time
from mnslib.sandbox.wire import Json

_NODES = 3  # of a pool; Source: az aks create --node-count


def managed_cluster(state: State, resource_id: str, given: Json) -> Json:
    """Return a new managed cluster as it is stored and answered, with the service's defaults.

    Args:
        state: the store.
        resource_id: of the cluster.
        given: `location`, `properties` and what else the request or the world says; checked.
    """
    parts, place = resource_id.split("/"), given["location"]
    subscription, group, name = parts[2], parts[4], parts[8]
    wanted = given["properties"]
    dns = wanted.get("dnsPrefix") or f"{name}-{group}-{subscription[-4:]}"
    version = ".".join(
        (wanted.get("kubernetesVersion") or offers()["default_version"]).split(".")[:2]
    )
    exact = offers()["kubernetes_versions"][version]
    access = {"enablePrivateCluster": False} | wanted.get("apiServerAccessProfile", {})
    network = {"networkPlugin": "azure", "networkPluginMode": "overlay", "networkPolicy": "none"}
    network |= {"networkDataplane": "azure"} | wanted.get("networkProfile", {})
    pools = wanted.get("agentPoolProfiles") or [{"name": "nodepool1"}]
    pools = [_pool(state, pool, index, exact) for index, pool in enumerate(pools, start=1)]
    private = {"privateFQDN": f"{dns}.privatelink.{place}.azmk8s.io"}
    properties = {
        "provisioningState": "Succeeded",
        "powerState": {"code": "Running"},
        "kubernetesVersion": version,
        "currentKubernetesVersion": exact,
        "dnsPrefix": dns,
        "fqdn": f"{dns}.hcp.{place}.azmk8s.io",
        **(private if access["enablePrivateCluster"] else {}),
        "nodeResourceGroup": f"MC_{group}_{name}_{place}",
        "enableRBAC": True,
        "identityProfile": {"kubeletidentity": _kubelet_identity(state, parts, place)},
        "disableLocalAccounts": False,
        "resourceUID": state.new_guid().replace("-", ""),
    }
    own = ("dnsPrefix", "kubernetesVersion")
    properties |= {key: value for key, value in wanted.items() if key not in own}
    properties |= {"networkProfile": network, "apiServerAccessProfile": access}
    return {
        "id": resource_id,
        "name": name,
        "type": CLUSTER_TYPE,
        "location": place,
        **({"tags": given["tags"]} if given.get("tags") else {}),
        "sku": {"name": "Base", "tier": "Free"} | given.get("sku", {}),
        **({"identity": given["identity"]} if "identity" in given else {}),
        "eTag": state.new_guid(),
        "properties": with_tenant(state, properties | {"agentPoolProfiles": pools}),
    }


def with_tenant(state: State, properties: Json) -> Json:
    """Return properties whose Entra profile, if there is one, names the tenant."""
    profile = properties.get("aadProfile")
    if not profile:
        return properties
    filled = {"managed": True, "enableAzureRBAC": False} | profile
    return properties | {"aadProfile": filled | {"tenantID": state.meta("tenant_id")}}


def _kubelet_identity(state: State, parts: list[str], place: str) -> Json:
    """Return the identity that nodes use; the Azure CLI reads it before every update."""
    group = f"/subscriptions/{parts[2]}/resourcegroups/MC_{parts[4]}_{parts[8]}_{place}"
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    ids = {"clientId": state.new_guid(), "objectId": state.new_guid()}
    return {"resourceId": f"{group}/providers/{kind}/{parts[8]}-agentpool", **ids}


def _pool(state: State, given: Json, index: int, version: str) -> Json:
    defaults = {
        "name": f"nodepool{index}",
        "count": _NODES,
        "vmSize": list(state.meta("building")["node_sizes"])[-1],
        "osType": "Linux",
        "mode": "System" if index == 1 else "User",
        "orchestratorVersion": version,
        "provisioningState": "Succeeded",
        "powerState": {"code": "Running"},
    }
    return defaults | given


class Builder:
    """Fills one cluster with nodes, the system's namespaces and pods."""

    def __init__(self, state: State, resource: Json) -> None:
        self.state, self.key, self.resource = state, resource["id"].lower(), resource
        self.facts: Json = state.meta("building")
        self.free: dict[str, dict[str, Any]] = {}
        self.workloads = Workloads(state, self.key)

    def build(self) -> Json:
        """Store nodes, system namespaces and their pods; return the namespaces' history as data."""
        self.nodes()
        for name in SYSTEM_NAMESPACES:
            inside.create_namespace(self.state, self.key, name, {}, {})
        return self.system()

    def recount(self) -> None:
        """Bring quotas and metrics of every namespace up to what is there now."""
        for namespace in self.state.objects(self.key, "namespaces"):
            inside.recount(self.state, self.key, namespace["metadata"]["name"])

    def nodes(self) -> None:
        """Store the nodes of every pool."""
        short = self.resource["name"][-5:].strip("-").lower()
        for pool in self.resource["properties"]["agentPoolProfiles"]:
            facts = self.facts["node_sizes"][pool["vmSize"]]
            for index in range(pool["count"]):
                name = f"aks-{pool['name']}-{short}-vmss{index:06d}"
                self.state.put_object(self.key, "nodes", self._node(name, pool, facts))
                room = {"cpu": facts["allocatable_cpu"], "memory": facts["allocatable_memory"]}
                self.free[name] = {kind: parse(text) for kind, text in room.items()}

    def _node(self, name: str, pool: Json, facts: Json) -> Json:
        labels = {
            "agentpool": pool["name"],
            "kubernetes.azure.com/agentpool": pool["name"],
            "kubernetes.io/hostname": name,
            "node.kubernetes.io/instance-type": pool["vmSize"],
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/region": self.resource["location"],
        }
        taints = [_taint(str(text)) for text in pool.get("nodeTaints") or ()]
        spec = {"providerID": f"azure:///sandbox/{name}"} | ({"taints": taints} if taints else {})
        at = kube_time(self.state.now())
        version = f"v{self.resource['properties']['currentKubernetesVersion']}"
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        capacity = {"cpu": facts["cpu"], "memory": facts["memory"], "pods": "250"}
        allocatable = {"cpu": facts["allocatable_cpu"], "memory": facts["allocatable_memory"]}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": inside.metadata(self.state, name, labels=labels),
            "spec": spec,
            "status": {
                "capacity": capacity,
                "allocatable": {**allocatable, "pods": "250"},
                "conditions": [{**ready, "lastTransitionTime": at, "lastHeartbeatTime": at}],
                "nodeInfo": offers()["node_info"]
                | {"kubeProxyVersion": version, "kubeletVersion": version},
            },
        }

    def system(self) -> Json:
        """Run the system's own pods and return the history of their namespaces."""
        system = self.facts["system"]
        workloads = []
        for name, text in system["per node"].items():
            everywhere = f"{len(self.free)} x {text}"
            about = {"kind": "DaemonSet"}
            workloads.append(
                self.workload("kube-system", name, everywhere, about=about, nodes=list(self.free))
            )
        for name, text in system["once"].items():
            workloads.append(self.workload("kube-system", name, text))
        gatekeeper = [
            self.workload("gatekeeper-system", name, text)
            for name, text in system["gatekeeper"].items()
        ]
        steady = {"quotas": {}, "shape": "flat", "cpu": 0.5, "memory": 0.7}
        running = {"kube-system": workloads, "gatekeeper-system": gatekeeper}
        return {name: steady | {"workloads": of} for name, of in running.items()}

    def workload(
        self,
        namespace: str,
        name: str,
        text: str,
        *,
        about: Json | None = None,
        nodes: Sequence[str] = (),
    ) -> Json:
        """Run a workload's pods and return it as history needs it.

        Args:
            namespace: of the workload.
            name: of the workload.
            text: as the world writes it.
            about: what else the world says of it, see `Workloads.start`.
            nodes: where its pods run, one on each; empty for where there is room.
        """
        count, _, amounts = text.partition(" x ")
        about = about or {}
        image = f"registry.example/{name}:1"
        container = {"name": name, "image": image, "resources": _resources(amounts)}
        restart = "OnFailure" if about.get("kind", "").endswith("Job") else "Always"
        spec: Json = {"containers": [container], "restartPolicy": restart}
        spec["tolerations"] = packaged("kube/defaults.yaml")["tolerations"]
        if about.get("kind") == "DaemonSet":
            spec["tolerations"] = [{"operator": "Exists"}]
        labels, owner = self.workloads.start(namespace, name, spec, count=int(count), about=about)
        for index in range(int(count)):
            metadata = inside.metadata(
                self.state, f"{name}-{index:05d}", namespace, labels=labels, ownerReferences=[owner]
            )
            self._pod(metadata, dict(spec), nodes[index] if nodes else None)
        return {"replicas": int(count), "need": _need(amounts)}

    def _pod(self, metadata: Json, spec: Json, node: str | None) -> None:
        pod: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        need = pod_need(pod)
        wanted = {kind: need[f"requests.{kind}"] for kind in ("cpu", "memory")}
        fits = [n for n, room in self.free.items() if all(room[k] >= wanted[k] for k in wanted)]
        node = node or max(fits, key=lambda n: (self.free[n]["cpu"], n), default=None)
        if node is None:
            said = f"0/{len(self.free)} nodes are available: {len(self.free)} Insufficient cpu."
            await_node(pod, self.state.now(), said)
        else:
            place(pod, node, self.state.now())
            for kind, value in wanted.items():
                self.free[node][kind] -= value
        self.state.put_object(self.key, "pods", pod)


def _taint(text: str) -> Json:
    """Return what `key=value:effect` of a node pool is on its nodes."""
    named, _, effect = text.rpartition(":")
    key, _, value = named.partition("=")
    return {"key": key, "effect": effect} | ({"value": value} if value else {})


def amounts(text: str) -> dict[str, str]:
    """Return the four values of "cpu request/limit memory request/limit"; "-" is left out."""
    values = re.split(r"[/ ]", text)
    return {key: value for key, value in zip(COMPUTE_KEYS, values, strict=True) if value != "-"}


def _resources(text: str) -> Json:
    resources: Json = {}
    for key, value in amounts(text).items():
        kind, _, name = key.partition(".")
        resources.setdefault(kind, {})[name] = value
    return resources


def _need(text: str) -> dict[str, float]:
    values = amounts(text)
    return {key: float(parse(values.get(key, "0"))) for key in COMPUTE_KEYS}
