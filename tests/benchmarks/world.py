"""A generated world: subscriptions with clusters that are warmed, and namespaces if asked."""

from pathlib import Path

import yaml

from mnslib.sandbox import world

QUOTA = "100m/200m 128Mi/256Mi"
GROUP = "00000000-0000-4000-9000-000000000001"
HEADER = (
    "subscription_id,resource_group,cluster_name,namespace_name,"
    "cpu_request,cpu_limit,memory_request,memory_limit,labels,access\n"
)


def subscription_id(number):
    return f"00000000-0000-4000-8000-{number:012x}"


def names(per_cluster):
    return [f"team-{number:04}" for number in range(per_cluster)]


def write_world(file, *, subscriptions, clusters, namespaces=0):
    """Write a world file; each cluster holds `warm` and so many namespaces."""
    spec = world.load("default")
    ids = [subscription_id(number) for number in range(1, subscriptions + 1)]
    spec["subscriptions"] = [{"id": one, "name": f"bench-{i}"} for i, one in enumerate(ids)]
    managed = {"quota": QUOTA, "policy": "AllowSameNamespace/AllowAll", "workloads": {}}
    spec["clusters"] = [
        {
            "name": f"aks-{index}-{number:02}",
            "subscription": one,
            "location": "westeurope",
            "nodes": {"Standard_D8s_v5": 3},
            "network_policy": "cilium",
            "azure_rbac": True,
            "managed": dict.fromkeys(["warm", *names(namespaces)], managed),
            "unmanaged": {},
        }
        for index, one in enumerate(ids)
        for number in range(clusters)
    ]
    dumper = yaml.SafeDumper
    dumper.ignore_aliases = lambda *_: True
    file.write_text(yaml.dump(spec, Dumper=dumper), encoding="utf-8")
    return file


def write_requests(file, connection, *, per_cluster, labels="", access=""):
    """Write a request file for the same namespaces on every cluster of a sandbox."""
    request, limit = (part.split("/") for part in QUOTA.split(" "))
    quota = ",".join([*request, *limit])
    rows = [
        f"{c['subscription_id']},{connection['resource_group']},{c['name']},{name},"
        f"{quota},{labels},{access}\n"
        for c in connection["clusters"]
        for name in names(per_cluster)
    ]
    Path(file).write_text(HEADER + "".join(rows), encoding="utf-8")
    return file
