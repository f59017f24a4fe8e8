"""`mns sandbox snapshot`: the world of a cluster, with nobody's name in it."""

from __future__ import annotations

import copy
import stat
from collections import Counter

import pytest
import yaml

from mnslib.sandbox.amounts import parse
from tests.sandbox.client import PROD, Client, Process, cluster_id, make_body

CLUSTER = "aks-prod-weu-1"
CANARY = "canary"


def figures(connection, cluster):
    """Return how often a namespace has such pods, quotas and counters; and what nodes offer."""
    client = Client(connection)
    listed = {
        kind: client.kube(cluster, "GET", f"/api/v1/{kind}").json()["items"]
        for kind in ("pods", "resourcequotas", "nodes", "limitranges")
    }
    client.session.close()
    found: dict[str, list] = {}
    for pod in listed["pods"]:
        found.setdefault(pod["metadata"]["namespace"], []).append(("pod",))
    for quota in listed["resourcequotas"]:
        amounts = [
            (part, key, parse(text))
            for part in ("hard", "used")
            for key, text in quota["status"][part].items()
        ]
        found.setdefault(quota["metadata"]["namespace"], []).append(tuple(sorted(amounts)))
    for one in listed["limitranges"]:
        limits = one["spec"]["limits"][0]
        amounts = [
            (w, k, parse(v)) for w in ("default", "defaultRequest") for k, v in limits[w].items()
        ]
        found.setdefault(one["metadata"]["namespace"], []).append(tuple(sorted(amounts)))
    nodes = [one["status"]["allocatable"] for one in listed["nodes"]]
    offered = Counter((parse(one["cpu"]), parse(one["memory"])) for one in nodes)
    return Counter(tuple(sorted(one, key=repr)) for one in found.values()), offered


def snapshot(mns, tmp_path, cluster=CLUSTER):
    file = tmp_path / "world.yaml"
    done = mns("sandbox", "snapshot", "--cluster", cluster_id(cluster), str(file))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return file


def test_a_cluster_that_is_served_again_gives_the_same_figures(mns, sandbox, tmp_path):
    file = snapshot(mns, tmp_path)
    process = Process(tmp_path, "--world", str(file))
    try:
        again = figures(process.connection, "cluster-001")
        managed = Client(process.connection).arm(
            "GET", f"{cluster_id('cluster-001')}/managedNamespaces"
        )
    finally:
        process.end()
    assert again == figures(sandbox.connection, CLUSTER)
    names = {one["name"] for one in managed.json()["value"]}
    assert len(names) == 4
    assert all(name.startswith("ns-") for name in names)
    refused = mns("sandbox", "snapshot", "--cluster", cluster_id(CLUSTER), str(file))
    assert refused.returncode == 6
    assert "--overwrite" in refused.stderr


def planted():
    """Yield path and object of each kind, with the canary wherever one may write a text."""
    keys = {f"{CANARY}.example/{CANARY}": CANARY}

    def metadata(name):
        return {"name": f"{CANARY}-{name}", "labels": keys, "annotations": keys}

    amounts = {"requests": {"cpu": "10m", f"{CANARY}.example/gpu": "1"}}
    amounts["limits"] = amounts["requests"] | {"cpu": "20m"}
    container = {
        "name": CANARY, "image": f"{CANARY}.example/x:{CANARY}", "resources": amounts,
        "args": [CANARY], "command": [CANARY], "workingDir": f"/{CANARY}",
        "env": [{"name": "CANARY", "value": CANARY}],
    }  # fmt: skip
    spec = {
        "containers": [container],
        "initContainers": [{**container, "name": f"{CANARY}-init"}],
        "tolerations": [{"key": CANARY, "value": CANARY, "effect": "NoSchedule"}],
        "nodeSelector": keys,
        "serviceAccountName": CANARY,
        "hostname": CANARY,
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": [CANARY]}],
        "imagePullSecrets": [{"name": CANARY}],
        "volumes": [{"name": CANARY, "configMap": {"name": CANARY}}],
    }
    space = f"{CANARY}-space"
    yield "/api/v1/namespaces", {"metadata": metadata("space")}
    yield f"/api/v1/namespaces/{space}/serviceaccounts", {"metadata": {"name": CANARY}}
    yield f"/api/v1/namespaces/{space}/pods", {"metadata": metadata("pod"), "spec": spec}
    hard = {"requests.cpu": "4", f"{CANARY}.storageclass.storage.k8s.io/requests.storage": "1Gi"}
    hard[f"requests.{CANARY}.example/gpu"] = "4"
    quota = {"metadata": metadata("quota"), "spec": {"hard": hard}}
    yield f"/api/v1/namespaces/{space}/resourcequotas", quota
    limits = {"type": "Container", "default": {"cpu": "20m", f"{CANARY}.example/gpu": "1"}}
    ranges = {"metadata": metadata("range"), "spec": {"limits": [limits]}}
    yield f"/api/v1/namespaces/{space}/limitranges", ranges
    template = {"metadata": {"labels": keys, "annotations": keys}, "spec": spec}
    workload = {"selector": {"matchLabels": keys}, "template": template}
    workload["replicas"] = 1
    for kind in ("deployments", "statefulsets", "daemonsets"):
        own = copy.deepcopy(workload)
        if kind == "daemonsets":
            del own["replicas"]
        body = {"metadata": metadata(kind), "spec": own}
        yield f"/apis/apps/v1/namespaces/{space}/{kind}", body
    target = {"kind": "Deployment", "apiVersion": "apps/v1", "name": f"{CANARY}-deployments"}
    scaler = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3}
    path = f"/apis/autoscaling/v2/namespaces/{space}/horizontalpodautoscalers"
    yield path, {"metadata": metadata("scaler"), "spec": scaler}
    event = {"metadata": metadata("event"), "reason": CANARY, "message": CANARY, "type": "Warning"}
    about = {"kind": "Pod", "name": f"{CANARY}-pod", "namespace": space}
    yield f"/api/v1/namespaces/{space}/events", event | {"involvedObject": about}
    storage = {"metadata": metadata("storage"), "provisioner": CANARY}
    yield "/apis/storage.k8s.io/v1/storageclasses", storage


def test_nothing_but_what_is_listed_gets_into_the_file(mns, sandbox, tmp_path):
    client = Client(sandbox.connection)
    body = make_body(labels={CANARY: CANARY}, annotations={CANARY: CANARY})
    body["tags"] = {CANARY: CANARY}
    path = f"{cluster_id(CLUSTER)}/managedNamespaces/{CANARY}-managed"
    assert client.arm("PUT", path, body).status_code == 201
    client.finish(5)
    for path, planned in planted():
        answer = client.kube(CLUSTER, "POST", path, planned)
        assert answer.status_code in (200, 201), (path, answer.text)
    client.finish(5)
    client.session.close()
    file = snapshot(mns, tmp_path)
    text = file.read_text("utf-8")
    world = yaml.safe_load(text)
    (cluster,) = world["clusters"]
    assert CANARY not in text.lower()
    own = yaml.safe_dump(cluster)
    for name in ("payments", "crm", "checkout", "ledger", "aks-prod", "contoso", "vmss", "D8s"):
        assert name not in own
    spaces = [*cluster["managed"].values(), *cluster["unmanaged"].values()]
    found = [one for one in spaces if one.get("quota") == "4000m/- -/-"]
    assert len(found) == 1  # what may be told of the namespace is there
    kinds = sorted(one["kind"] for one in found[0]["about"].values())
    assert kinds == ["DaemonSet", "Deployment", "StatefulSet"]


def test_names_have_another_order_each_time(mns, sandbox, tmp_path):
    orders = set()
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        (cluster,) = yaml.safe_load(snapshot(mns, folder).read_text("utf-8"))["clusters"]
        spaces = [*cluster["managed"].values(), *cluster["unmanaged"].values()]
        orders.add(yaml.safe_dump(spaces))
    assert len(orders) > 1


@pytest.mark.parametrize("named", [f"/subscriptions/{PROD}", "aks-prod-weu-1"])
def test_what_is_no_cluster_is_refused(mns, sandbox, tmp_path, named):
    done = mns("sandbox", "snapshot", "--cluster", named, str(tmp_path / "world.yaml"))
    assert done.returncode == 6, done.stderr
    assert not (tmp_path / "world.yaml").exists()
