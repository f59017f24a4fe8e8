"""Seeds a state from a world file: subscriptions, clusters, namespaces, pods, assignments, history.

A world is data (worlds/*.yaml); the same file and moment always give the same state.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mnslib.sandbox import cluster as clusters
from mnslib.sandbox import directory
from mnslib.sandbox.access import built_in_roles
from mnslib.sandbox.admission import pod_need
from mnslib.sandbox.amounts import parse
from mnslib.sandbox.lifecycle import CLUSTER_TYPE, NAMESPACE_TYPE
from mnslib.sandbox.routes_roles import seeded
from mnslib.sandbox.state import State, kube_time, utc_text
from mnslib.sandbox.wire import Json

_SYSTEM = ("default", "kube-system", "kube-public", "kube-node-lease", "gatekeeper-system")
_KEYS = ("requests.cpu", "limits.cpu", "requests.memory", "limits.memory")
_TEAM_ROLES = ("Azure Kubernetes Service Namespace User", "Azure Kubernetes Service RBAC Writer")
_CLUSTER_DAYS = 90  # age of clusters when seeded
_DIRECTORY_DAYS = 365  # age of users, groups and service principals when seeded
_NAMESPACE_DAYS = 60  # age of namespaces, unless the world says when one was born
_WITH_ACCESS = 6  # of the managed namespaces that name a group


def load(name_or_file: str) -> Json:
    """Return a world by name, or from a file.

    Raises:
        ValueError: if there is no such world.
    """
    import yaml

    path = Path(__file__).with_name("worlds") / f"{name_or_file}.yaml"
    if not path.is_file():
        path = Path(name_or_file)
    if not path.is_file():
        raise ValueError(f"no world named {name_or_file!r} and no such file")
    world: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    return world


def names() -> list[str]:
    """Return the worlds that come with the sandbox."""
    return sorted(path.stem for path in Path(__file__).with_name("worlds").glob("*.yaml"))


def replace(state: State, name_or_world: str | Json) -> None:
    """Seed a world, by name or as a document, in place of the present one.

    Tenant, client ids, object ids and secrets stay: clients hold them.

    Raises:
        ValueError: if the document is not sound; then what was written must be rolled back.
    """
    world = load(name_or_world) if isinstance(name_or_world, str) else name_or_world
    known = {
        name: {key: one[key] for key in ("client_id", "object_id")}
        for name, one in state.meta("identities").items()
    }
    state.clear_world()
    try:
        given = world.get("identities", {})
        people = {name: {**given.get(name, {}), **one} for name, one in known.items()}
        kept = {"identities": people, "tenant_id": state.meta("tenant_id")}
        seed(state, world | kept)
    except (AttributeError, IndexError, KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"the world is not sound: {type(error).__name__} {error}") from error
    state.set_meta("world", name_or_world)


def seed(state: State, world: Json) -> None:
    """Fill an empty state; the moment of seeding is stored, history lies before it."""
    group = world["resource_group"]
    state.set_meta("seed_time", state.now())
    state.set_meta("tenant_id", world["tenant_id"])
    state.set_meta("other_tenant_id", world.get("other_tenant_id"))
    state.set_meta("groups", [group])
    state.set_meta("subscriptions", [_subscription(one, world) for one in world["subscriptions"]])
    state.set_meta("directory", directory.seeded(world, state.now() - _DIRECTORY_DAYS * 86400))
    history: Json = {}
    for spec in world["clusters"]:
        resource = _cluster(state, spec, world)
        state.put_resource(resource, notes={"prepared": bool(spec.get("managed"))})
        key = resource["id"].lower()
        history[key] = _Cluster(state, key, resource, spec, world).fill()
    state.set_meta("history", history)
    _assign(state, world)


def _subscription(one: Json, world: Json) -> Json:
    return {
        "id": f"/subscriptions/{one['id']}",
        "subscriptionId": one["id"],
        "tenantId": world["tenant_id"],
        "displayName": one["name"],
        "state": "Enabled",
        "authorizationSource": "RoleBased",
    }


def _cluster(state: State, spec: Json, world: Json) -> Json:
    """Return the managed cluster's resource."""
    group, name = world["resource_group"], spec["name"]
    dns = f"{name}-{group}-{spec['subscription'][-4:]}"
    fqdn = f"{dns}.hcp.{spec['location']}.azmk8s.io"
    private = bool(spec.get("private"))
    cilium = spec["network_policy"] == "cilium"
    admins = [world["groups"][spec["admin_group"]]] if "admin_group" in spec else []
    pools = [
        {
            "name": f"pool{index}",
            "count": count,
            "vmSize": size,
            "osType": "Linux",
            "mode": "System" if index == 1 else "User",
            "provisioningState": "Succeeded",
            "powerState": {"code": "Running"},
        }
        for index, (size, count) in enumerate(spec["nodes"].items(), start=1)
    ]
    return {
        "id": f"/subscriptions/{spec['subscription']}/resourceGroups/{group}/providers"
        f"/{CLUSTER_TYPE}/{name}",
        "name": name,
        "type": CLUSTER_TYPE,
        "location": spec["location"],
        "tags": {"environment": "test" if "-test-" in name else "prod"},
        "sku": {"name": "Base", "tier": "Standard"},
        "identity": {"type": "SystemAssigned", "tenantId": world["tenant_id"]},
        "eTag": state.new_guid(),
        "properties": {
            "provisioningState": "Succeeded",
            "powerState": {"code": spec.get("power_state", "Running")},
            "kubernetesVersion": "1.32",
            "currentKubernetesVersion": "1.32.7",
            "dnsPrefix": dns,
            "fqdn": fqdn,
            **(
                {"privateFQDN": f"{dns}.privatelink.{spec['location']}.azmk8s.io"}
                if private
                else {}
            ),
            "agentPoolProfiles": pools,
            "nodeResourceGroup": f"MC_{group}_{name}_{spec['location']}",
            "enableRBAC": True,
            "disableLocalAccounts": True,
            "aadProfile": {
                "managed": True,
                "enableAzureRBAC": spec["azure_rbac"],
                "adminGroupObjectIDs": admins,
                "tenantID": world["tenant_id"],
            },
            "networkProfile": {
                "networkPlugin": "azure",
                "networkPluginMode": "overlay",
                "networkPolicy": spec["network_policy"],
                "networkDataplane": "cilium" if cilium else "azure",
            },
            "apiServerAccessProfile": {"enablePrivateCluster": private},
        },
    }


class _Cluster:
    """Fills one cluster with nodes, namespaces and pods."""

    def __init__(self, state: State, key: str, resource: Json, spec: Json, world: Json) -> None:
        self.state, self.key, self.resource = state, key, resource
        self.spec, self.world = spec, world
        self.free: dict[str, dict[str, Any]] = {}

    def fill(self) -> Json:
        """Store everything and return the history of each namespace, as data."""
        now = self.state.now()
        with self.state.at(now - _CLUSTER_DAYS * 86400):
            self._nodes()
            for name in _SYSTEM:
                clusters.create_namespace(self.state, self.key, name, {}, {})
            history = self._system()
        for name, spec in {**self.spec["managed"], **self.spec["unmanaged"]}.items():
            days = spec.get("history", {}).get("born", _NAMESPACE_DAYS)
            with self.state.at(now - days * 86400):
                history[name] = self._namespace(name, spec, managed=name in self.spec["managed"])
        self.state.forget_samples(self.key)  # of the building; history ends in the finished world
        for name in (*_SYSTEM, *self.spec["managed"], *self.spec["unmanaged"]):
            clusters.recount(self.state, self.key, name)
        return history

    def _nodes(self) -> None:
        for pool, (size, count) in enumerate(self.spec["nodes"].items(), start=1):
            facts = self.world["node_sizes"][size]
            for index in range(count):
                name = f"aks-pool{pool}-{self.spec['name'][-5:].strip('-')}-vmss{index:06d}"
                self.state.put_object(self.key, "nodes", self._node(name, size, facts))
                room = {"cpu": facts["allocatable_cpu"], "memory": facts["allocatable_memory"]}
                self.free[name] = {kind: parse(text) for kind, text in room.items()}

    def _node(self, name: str, size: str, facts: Json) -> Json:
        labels = {"kubernetes.io/hostname": name, "node.kubernetes.io/instance-type": size}
        labels |= {
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/region": self.spec["location"],
        }
        at = kube_time(self.state.now())
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        capacity = {"cpu": facts["cpu"], "memory": facts["memory"], "pods": "250"}
        allocatable = {"cpu": facts["allocatable_cpu"], "memory": facts["allocatable_memory"]}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": clusters.metadata(self.state, name, labels=labels),
            "spec": {"providerID": f"azure:///sandbox/{name}"},
            "status": {
                "capacity": capacity,
                "allocatable": {**allocatable, "pods": "250"},
                "conditions": [{**ready, "lastTransitionTime": at, "lastHeartbeatTime": at}],
                "nodeInfo": {
                    "architecture": "amd64",
                    "bootID": "",
                    "containerRuntimeVersion": "containerd://1.7.27",
                    "kernelVersion": "5.15.0-azure",
                    "kubeProxyVersion": "v1.32.7",
                    "kubeletVersion": "v1.32.7",
                    "machineID": "",
                    "operatingSystem": "linux",
                    "osImage": "Ubuntu 22.04.5 LTS",
                    "systemUUID": "",
                },
            },
        }

    def _system(self) -> Json:
        """Run the system's own pods and return the history of their namespaces."""
        system = self.world["system"]
        workloads = []
        for name, text in system["per node"].items():
            for index, node in enumerate(self.free):
                self._pod("kube-system", f"{name}-{index:05d}", name, _resources(text), node)
            workloads.append({"replicas": len(self.free), "need": _need(text)})
        for name, text in system["once"].items():
            workloads.append(self._workload("kube-system", name, text))
        gatekeeper = [
            self._workload("gatekeeper-system", name, text)
            for name, text in system["gatekeeper"].items()
        ]
        steady = {"quotas": {}, "shape": "flat", "cpu": 0.5, "memory": 0.7}
        running = {"kube-system": workloads, "gatekeeper-system": gatekeeper}
        return {name: steady | {"workloads": of} for name, of in running.items()}

    def _namespace(self, name: str, spec: Json, *, managed: bool) -> Json:
        quota = spec.get("quota")
        if managed:
            self._managed(name, spec)
        else:
            labels, notes = spec.get("labels", {}), spec.get("annotations", {})
            clusters.create_namespace(self.state, self.key, name, labels, notes)
            if quota:
                self.state.put_object(self.key, "resourcequotas", self._team_quota(name, quota))
        workloads = [self._workload(name, *item) for item in spec["workloads"].items()]
        history: Json = {"shape": "office", "cpu": 0.4, "memory": 0.55} | spec.get("history", {})
        object_name = "defaultresourcequota" if managed else "team-quota"
        history["quotas"] = {object_name: _amounts(quota)} if quota else {}
        if "before" in history:
            history["before"]["hard"] = _amounts(history["before"]["quota"])
        history["workloads"] = workloads
        return history

    def _managed(self, name: str, spec: Json) -> None:
        hard = _amounts(spec["quota"])
        ingress, egress = spec["policy"].split("/")
        labels = {**({"owner": spec["owner"]} if "owner" in spec else {}), **spec.get("labels", {})}
        texts = {"labels": labels, "annotations": spec.get("annotations", {})}
        texts = {key: value for key, value in texts.items() if value}
        at = utc_text(self.state.now())
        by = self.world["identities"]["admin"]["object_id"]
        stamp = {"By": by, "ByType": "Application", "At": at}
        dns, _, rest = self.resource["properties"]["fqdn"].partition(".")
        words = ("cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit")
        resource = {
            "id": f"{self.resource['id']}/managedNamespaces/{name}",
            "name": name,
            "type": NAMESPACE_TYPE,
            "eTag": self.state.new_guid(),
            "location": self.resource["location"],
            **({"tags": spec["tags"]} if "tags" in spec else {}),
            "systemData": {
                **{f"created{key}": value for key, value in stamp.items()},
                **{f"lastModified{key}": value for key, value in stamp.items()},
            },
            "properties": {
                **texts,
                "provisioningState": "Succeeded",
                "defaultResourceQuota": dict(zip(words, (hard[key] for key in _KEYS), strict=True)),
                "defaultNetworkPolicy": {"ingress": ingress, "egress": egress},
                "adoptionPolicy": spec.get("adoption_policy", "Never"),
                "deletePolicy": spec.get("delete_policy", "Keep"),
                "portalFqdn": f"{dns}.portal.{rest}",
            },
        }
        clusters.apply_managed(self.state, self.key, name, resource["properties"], {})
        self.state.put_resource(resource, parent=self.key, notes={"applied": texts})

    def _team_quota(self, namespace: str, text: str) -> Json:
        metadata = clusters.metadata(self.state, "team-quota", namespace)
        base = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
        return base | {"spec": {"hard": _amounts(text)}}

    def _workload(self, namespace: str, name: str, text: str) -> Json:
        """Run a workload's pods and return it as history needs it."""
        count, _, amounts = text.partition(" x ")
        for index in range(int(count)):
            self._pod(namespace, f"{name}-{index:05d}", name, _resources(amounts))
        return {"replicas": int(count), "need": _need(amounts)}

    def _pod(
        self, namespace: str, name: str, app: str, resources: Json, node: str | None = None
    ) -> None:
        image = f"registry.example/{app}:1"
        container = {"name": app, "image": image, "resources": resources}
        pod: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": clusters.metadata(self.state, name, namespace, labels={"app": app}),
            "spec": {"containers": [container], "restartPolicy": "Always"},
        }
        need = pod_need(pod)
        wanted = {kind: need[f"requests.{kind}"] for kind in ("cpu", "memory")}
        fits = [n for n, room in self.free.items() if all(room[k] >= wanted[k] for k in wanted)]
        node = node or max(fits, key=lambda n: (self.free[n]["cpu"], n), default=None)
        clusters.place(pod, node, self.state.now())
        if node:
            for kind, value in wanted.items():
                self.free[node][kind] -= value
        self.state.put_object(self.key, "pods", pod)


def _amounts(text: str) -> dict[str, str]:
    """Return the four values of "cpu request/limit memory request/limit"; "-" is left out."""
    values = re.split(r"[/ ]", text)
    return {key: value for key, value in zip(_KEYS, values, strict=True) if value != "-"}


def _resources(text: str) -> Json:
    resources: Json = {}
    for key, value in _amounts(text).items():
        kind, _, name = key.partition(".")
        resources.setdefault(kind, {})[name] = value
    return resources


def _need(text: str) -> dict[str, float]:
    amounts = _amounts(text)
    return {key: float(parse(amounts.get(key, "0"))) for key in _KEYS}


def _assign(state: State, world: Json) -> None:
    """Store the seeded role assignments: identities on subscriptions, groups on namespaces."""
    role_ids = {role["name"]: guid for guid, role in built_in_roles().items()}
    admin = world["identities"]["admin"]["object_id"]
    at = state.now() - _NAMESPACE_DAYS * 86400
    for one in world["subscriptions"]:
        for identity in world["identities"].values():
            for role in identity.get("roles", ()):
                guid, scope = role_ids[role], f"/subscriptions/{one['id']}"
                principal = identity["object_id"]
                doc = seeded(scope, guid, principal, "ServicePrincipal", at, admin)
                state.put_resource(doc)
    groups = {
        name: spec["group"]
        for cluster in world["clusters"]
        for name, spec in cluster["managed"].items()
        if "group" in spec
    }
    with_access = list(groups)[:_WITH_ACCESS]
    for resource in state.resources(NAMESPACE_TYPE):
        if resource["name"] in with_access:
            principal = world["groups"][groups[resource["name"]]]
            for role in _TEAM_ROLES:
                doc = seeded(resource["id"], role_ids[role], principal, "Group", at, admin)
                state.put_resource(doc)
