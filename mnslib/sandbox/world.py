"""Seeds a state from a world file: subscriptions, clusters, namespaces, pods, assignments, history.

A world is data (worlds/*.yaml); the same file and moment always give the same state.
"""

from __future__ import annotations

import math
import uuid
from pathlib import Path
from typing import Any

from mnslib.sandbox import directory, resources
from mnslib.sandbox.amounts import parse
from mnslib.sandbox.building import Builder, amounts, managed_cluster
from mnslib.sandbox.kube import inside
from mnslib.sandbox.kube.controllers import leave_as_is
from mnslib.sandbox.offers import packaged, read
from mnslib.sandbox.roles import built_in_roles
from mnslib.sandbox.state import State
from mnslib.sandbox.wire import Json

_TEAM_ROLES = ("Azure Kubernetes Service Namespace User", "Azure Kubernetes Service RBAC Writer")
_CLUSTER_DAYS = 90  # age of clusters when seeded
_DIRECTORY_DAYS = 365  # age of users, groups and service principals when seeded
_NAMESPACE_DAYS = 60  # age of namespaces, unless the world says when one was born
_WITH_ACCESS = 6  # of the managed namespaces that name a group


def load(name_or_file: str) -> Json:
    """Return a world by name, or from a file; one that is like another names what differs.

    Raises:
        ValueError: if there is no such world.
    """
    if name_or_file not in names():
        return read(Path(name_or_file), lambda world: world)
    world = packaged(f"worlds/{name_or_file}.yaml")
    own = {key: value for key, value in world.items() if key != "like"}
    return load(world["like"]) | own if "like" in world else own


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
    _check_shape(world)
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


def _check_shape(world: Json) -> None:
    """Refuse keys that the world `default` has not, and values of other types than it has.

    Raises:
        ValueError: with a sentence for each mistake.
    """
    example = load("default")
    problems = _differences("the world", world, example)
    if not problems:
        known = {key: value for one in example["clusters"] for key, value in one.items()}
        known["taints"] = {}
        for number, one in enumerate(world.get("clusters", [])):
            problems += _differences(f"the world's clusters[{number}]", one, known)
    if problems:
        raise ValueError("; ".join(problems))


def _differences(where: str, given: Any, example: Json) -> list[str]:
    if not isinstance(given, dict):
        return [f"{where} must be a mapping"]
    problems = [f"{where} has an unknown key {key!r}" for key in given if key not in example]
    for key, value in given.items():
        if key in example and type(value) is not type(example[key]):
            problems.append(f"{where}: {key} must be of type {type(example[key]).__name__}")
    return problems


def seed(state: State, world: Json) -> None:
    """Fill an empty state; the moment of seeding is stored, history lies before it."""
    group = world["resource_group"]
    state.set_meta("seed_time", state.now())
    state.set_meta("tenant_id", world["tenant_id"])
    state.set_meta("other_tenant_id", world.get("other_tenant_id"))
    state.set_meta("resource_group", group)
    lacking = {"state": "NotRegistered", "due": 0.0}
    registrations = {
        f"{one['id'].lower()}/{name}": lacking
        for one in world["subscriptions"]
        for name in world.get("unregistered", ())
    }
    state.set_meta("registrations", registrations)
    state.set_meta("miscounted", {})
    state.set_meta("seeded", {})
    state.set_meta("furnished", [])
    state.set_meta("building", {key: world[key] for key in ("node_sizes", "system")})
    place = world.get("location", "westeurope")
    for one in world["subscriptions"]:
        state.put_resource(resources.new_group(resources.group_id(one["id"], group), place, {}))
    state.set_meta("subscriptions", [_subscription(one, world) for one in world["subscriptions"]])
    state.set_meta("directory", directory.seeded(world, state.now() - _DIRECTORY_DAYS * 86400))
    history: Json = {}
    for spec in world["clusters"]:
        resource = _cluster(state, spec, world)
        state.put_resource(resource, notes={"prepared": bool(spec.get("managed"))})
        key = resource["id"].lower()
        history[key] = _Cluster(state, resource, spec, world).fill()
        leave_as_is(state, key)
    state.derived.pop("controllers", None)
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
    admins = [world["groups"][spec["admin_group"]]] if "admin_group" in spec else []
    pools = [
        {"name": f"pool{index}", "count": count, "vmSize": size}
        for index, (size, count) in enumerate(spec["nodes"].items(), start=1)
    ]
    for pool in pools:
        if limits := spec.get("autoscaler", {}).get(pool["name"]):
            pool |= {"enableAutoScaling": True, "minCount": limits[0], "maxCount": limits[1]}
        if effects := spec.get("taints", {}).get(pool["name"]):
            pool["nodeTaints"] = [f"world=closed:{effect}" for effect in effects]
    dataplane = "cilium" if spec["network_policy"] == "cilium" else "azure"
    network = {"networkPolicy": spec["network_policy"], "networkDataplane": dataplane}
    properties = {
        "powerState": {"code": spec.get("power_state", "Running")},
        "agentPoolProfiles": pools,
        "disableLocalAccounts": True,
        "aadProfile": {"enableAzureRBAC": spec["azure_rbac"], "adminGroupObjectIDs": admins},
        "networkProfile": network,
        "apiServerAccessProfile": {"enablePrivateCluster": bool(spec.get("private"))},
        "azureMonitorProfile": {"metrics": {"enabled": True}},
    }
    given = {
        "location": spec["location"],
        "tags": {"environment": "test" if "-test-" in spec["name"] else "prod"},
        "sku": {"tier": "Standard"},
        "identity": {"type": "SystemAssigned", "tenantId": world["tenant_id"]},
        "properties": properties,
    }
    group = f"/subscriptions/{spec['subscription']}/resourceGroups/{world['resource_group']}"
    return managed_cluster(
        state, f"{group}/providers/{resources.CLUSTER_TYPE}/{spec['name']}", given
    )


class _Cluster(Builder):
    def __init__(self, state: State, resource: Json, spec: Json, world: Json) -> None:
        super().__init__(state, resource)
        self.spec, self.world = spec, world

    def fill(self) -> Json:
        """Store everything and return the history of each namespace, as data."""
        now = self.state.now()
        with self.state.at(now - _CLUSTER_DAYS * 86400):
            history = self.build()
        for name, spec in {**self.spec["managed"], **self.spec["unmanaged"]}.items():
            days = spec.get("history", {}).get("born", _NAMESPACE_DAYS)
            with self.state.at(now - days * 86400):
                history[name] = self._namespace(name, spec, managed=name in self.spec["managed"])
        self.state.forget_samples(self.key)  # of the building; history ends in the finished world
        self.recount()
        self.workloads.refuse()
        return history

    def _namespace(self, name: str, spec: Json, *, managed: bool) -> Json:
        quota = spec.get("quota")
        if managed:
            self._managed(name, spec)
        else:
            labels, notes = spec.get("labels", {}), spec.get("annotations", {})
            inside.create_namespace(self.state, self.key, name, labels, notes)
            if quota:
                self.state.put_object(self.key, "resourcequotas", self._team_quota(name, quota))
        if "limit_range" in spec:
            self.workloads.limit(name, amounts(spec["limit_range"]))
        about = spec.get("about", {})
        workloads = [
            self.workload(name, one, text, about=about.get(one))
            for one, text in spec["workloads"].items()
        ]
        history = dict(spec.get("history", {}))
        object_name = "defaultresourcequota" if managed else "team-quota"
        history["quotas"] = {object_name: amounts(quota)} if quota else {}
        if "before" in history:
            before = history["before"]
            history["before"] = before | {"hard": amounts(before["quota"])}
        history["workloads"] = [one for one in workloads if one["replicas"]] or workloads
        if "miscounted" in spec:
            surplus = {object_name: amounts(spec["miscounted"])}
            inside.miscount(self.state, self.key, name, surplus)
        return history

    def _managed(self, name: str, spec: Json) -> None:
        hard = amounts(spec["quota"])
        ingress, egress = spec["policy"].split("/")
        labels = {**({"owner": spec["owner"]} if "owner" in spec else {}), **spec.get("labels", {})}
        texts = {"labels": labels, "annotations": spec.get("annotations", {})}
        texts = {key: value for key, value in texts.items() if value}
        properties = texts | {
            "defaultResourceQuota": {
                word: _stored(key, hard[key])
                for word, key in resources.QUOTA_KEYS.items()
                if key in hard
            },
            "defaultNetworkPolicy": {"ingress": ingress, "egress": egress},
            "adoptionPolicy": spec.get("adoption_policy", "Never"),
            "deletePolicy": spec.get("delete_policy", "Keep"),
        }
        wanted = {"properties": properties} | {key: spec[key] for key in ("tags",) if key in spec}
        made = resources.system_data(
            self.world["identities"]["admin"]["object_id"], self.state.now()
        )
        resource = resources.managed_namespace(self.resource, name, wanted, made, "Succeeded")
        resource["eTag"] = self.state.new_guid()
        inside.apply_managed(self.state, self.key, name, resource["properties"], {})
        self.state.put_resource(resource, parent=self.key, notes={"applied": texts})

    def _team_quota(self, namespace: str, text: str) -> Json:
        metadata = inside.metadata(self.state, "team-quota", namespace)
        base = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata}
        return base | {"spec": {"hard": amounts(text)}}


def _stored(key: str, text: str) -> str:
    """Return an amount as the service keeps it: CPU in whole millicores."""
    return f"{math.ceil(parse(text) * 1000)}m" if key.endswith(".cpu") else text


def _assign(state: State, world: Json) -> None:
    role_ids = {role["name"]: guid for guid, role in built_in_roles().items()}
    admin = world["identities"]["admin"]["object_id"]
    at = state.now() - _NAMESPACE_DAYS * 86400
    for one in world["subscriptions"]:
        for identity in world["identities"].values():
            for role in identity.get("roles", ()):
                guid, scope = role_ids[role], f"/subscriptions/{one['id']}"
                principal = identity["object_id"]
                doc = _seeded(scope, guid, principal, "ServicePrincipal", at, admin)
                state.put_resource(doc)
    groups = {
        name: spec["group"]
        for cluster in world["clusters"]
        for name, spec in cluster["managed"].items()
        if "group" in spec
    }
    with_access = list(groups)[:_WITH_ACCESS]
    for resource in state.resources(resources.NAMESPACE_TYPE):
        if resource["name"] in with_access:
            principal = world["groups"][groups[resource["name"]]]
            for role in _TEAM_ROLES:
                doc = _seeded(resource["id"], role_ids[role], principal, "Group", at, admin)
                state.put_resource(doc)


def _seeded(scope: str, role: str, principal: str, kind: str, moment: float, by: str) -> Json:
    """Return an assignment of a world; its name is derived, so it is the same every time."""
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope.lower()}|{role}|{principal}"))
    properties = {"principalId": principal, "principalType": kind, "scope": scope}
    properties["roleDefinitionId"] = resources.definition_id(role, scope)
    return resources.assignment(name, properties, moment, by)
