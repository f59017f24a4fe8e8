"""Every kind that a real API server lists is served: discovered, created, changed and removed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mnslib.sandbox.kube.kinds import Kind, served
from tests.sandbox.client import Client

WEU = "aks-prod-weu-1"
PLACE = "/api/v1/namespaces/docs-site"
ALL = [kind for rows in served().values() for kind in rows.values()]
REVIEWS = ("authentication.k8s.io", "authorization.k8s.io")
SPECIAL = {"namespaces", "pods", "bindings", "componentstatuses", "resourcequotas"}
WRITTEN = [
    one for one in ALL if one.plural not in SPECIAL and one.group not in REVIEWS and not one.frozen
]

TEMPLATE = {"metadata": {"labels": {"a": "b"}}}
TEMPLATE |= {"spec": {"containers": [{"name": "a", "image": "x"}]}}  # type: ignore[dict-item]
KEPT = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}
ONCE = TEMPLATE | {"spec": TEMPLATE["spec"] | {"restartPolicy": "Never"}}  # type: ignore[dict-item]
LEAST: dict[str, Any] = dict.fromkeys(
    ("deployments", "replicasets", "statefulsets", "daemonsets"), KEPT
) | {
    "replicationcontrollers": {"spec": {"selector": {"a": "b"}, "template": TEMPLATE}},
    "jobs": {"spec": {"template": ONCE}},
    "cronjobs": {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": ONCE}}}},
    "horizontalpodautoscalers": {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 2}
    },
    "services": {"spec": {"ports": [{"port": 80}]}},
    "persistentvolumeclaims": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }
    },
    "storageclasses": {"provisioner": "disk.csi.azure.com"},
    "runtimeclasses": {"handler": "runc"},
    "events": {"involvedObject": {"kind": "Pod", "name": "a", "namespace": "docs-site"}},
    "events.events.k8s.io": {"regarding": {"kind": "Pod", "name": "a", "namespace": "docs-site"}},
    "csistoragecapacities.storage.k8s.io": {"storageClassName": "disk"},
    "volumeattributesclasses.storage.k8s.io": {"driverName": "disk.csi.azure.com"},
    "endpointslices.discovery.k8s.io": {"addressType": "IPv4"},
}


def prefix(kind: Kind) -> str:
    place = "/namespaces/docs-site" if kind.namespaced else ""
    return f"/api{'s' if kind.group else ''}/{kind.version}{place}/{kind.plural}"


def test_discovery_names_every_kind_of_every_version(sandbox: Client) -> None:
    groups = sandbox.kube(WEU, "GET", "/apis").json()["groups"]
    versions = [one["groupVersion"] for group in groups for one in group["versions"]]
    assert sorted([*versions, "v1"]) == sorted(served())
    preferred = {one["name"]: one["preferredVersion"]["version"] for one in groups}
    assert preferred["autoscaling"] == "v2"
    assert sandbox.kube(WEU, "GET", "/apis/apps").json()["kind"] == "APIGroup"
    found = []
    for version in served():
        path = f"/api{'s' if '/' in version else ''}/{version}"
        found += sandbox.kube(WEU, "GET", path).json()["resources"]
    assert len([one for one in found if "/" not in one["name"]]) == len(ALL)
    parts = {one["name"]: one for one in found if "/" in one["name"]}
    assert parts["pods/eviction"]["kind"] == "Eviction"
    assert (parts["pods/eviction"]["group"], parts["pods/eviction"]["version"]) == ("policy", "v1")
    assert parts["deployments/scale"]["kind"] == "Scale"


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.full_name)
def test_every_kind_is_stored(sandbox: Client, kind: Kind) -> None:
    own = LEAST.get(kind.full_name, LEAST.get(kind.plural, {}))
    least = {"apiVersion": kind.version, "kind": kind.word} | own
    body = least | {"metadata": {"generateName": "one-"}}
    made = sandbox.kube(WEU, "POST", prefix(kind), body)
    assert made.status_code == 201, made.text
    name = made.json()["metadata"]["name"]
    assert re.fullmatch("one-[a-z0-9]{5}", name)
    assert made.json()["metadata"].get("generation") == (1 if kind.generation else None)
    path = f"{prefix(kind)}/{name}"
    found = sandbox.kube(WEU, "GET", path).json()
    assert (found["apiVersion"], found["kind"]) == (kind.version, kind.word)
    again = sandbox.kube(WEU, "POST", prefix(kind), least | {"metadata": {"name": name}})
    text = f'{kind.full_name} "{name}" already exists'
    assert (again.status_code, again.json()["message"]) == (409, text)
    found["metadata"]["labels"] = {"a": "b"}
    assert sandbox.kube(WEU, "PUT", path, found).json()["metadata"]["labels"] == {"a": "b"}
    stale = sandbox.kube(WEU, "PUT", path, found)
    assert stale.json()["message"].startswith(
        f'Operation cannot be fulfilled on {kind.full_name} "{name}": the object has been modified'
    )
    listed = sandbox.kube(WEU, "GET", prefix(kind), params={"labelSelector": "a=b"}).json()
    assert [one["metadata"]["name"] for one in listed["items"]] == [name]
    gone = sandbox.kube(WEU, "DELETE", prefix(kind), params={"labelSelector": "a=b"})
    assert gone.status_code == 200
    assert sandbox.kube(WEU, "GET", path).status_code == 404


@pytest.mark.parametrize(
    "kind",
    [one for one in ALL if one.frozen and one.group not in REVIEWS],
    ids=lambda kind: kind.plural,
)
def test_what_nothing_acts_on_is_listed_and_not_written(sandbox: Client, kind: Kind) -> None:
    assert sandbox.kube(WEU, "GET", prefix(kind)).json()["items"] == []
    refused = sandbox.kube(WEU, "POST", prefix(kind), {"metadata": {"name": "x"}})
    assert refused.status_code == 501


def test_one_autoscaler_is_served_in_both_versions(sandbox: Client) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "docs"}
    spec = {"scaleTargetRef": target, "maxReplicas": 9, "targetCPUUtilizationPercentage": 60}
    place = "/namespaces/docs-site/horizontalpodautoscalers"
    body = {"metadata": {"name": "one"}, "spec": spec}
    made = sandbox.kube(WEU, "POST", f"/apis/autoscaling/v1{place}", body).json()
    assert made["spec"] == spec | {"minReplicas": 1}
    newer = sandbox.kube(WEU, "GET", f"/apis/autoscaling/v2{place}/one").json()
    goal = newer["spec"]["metrics"][0]["resource"]
    assert goal == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}


def test_one_event_is_served_in_both_versions(sandbox: Client) -> None:
    about = {"kind": "Pod", "name": "a", "namespace": "docs-site"}
    body = {"metadata": {"name": "one"}, "involvedObject": about, "message": "said", "count": 3}
    assert sandbox.kube(WEU, "POST", f"{PLACE}/events", body).status_code == 201
    path = "/apis/events.k8s.io/v1/namespaces/docs-site/events/one"
    other = sandbox.kube(WEU, "GET", path).json()
    assert (other["regarding"], other["note"], other["deprecatedCount"]) == (about, "said", 3)


def test_generation_counts_changes_of_the_spec(sandbox: Client) -> None:
    path = "/apis/apps/v1/namespaces/docs-site/deployments/docs"
    patch = {"Content-Type": "application/merge-patch+json"}
    before = sandbox.kube(WEU, "GET", path).json()["metadata"].get("generation", 1)
    label = {"metadata": {"labels": {"x": "y"}}}
    assert sandbox.kube(WEU, "PATCH", path, label, headers=patch).status_code == 200
    spec = {"spec": {"paused": True}}
    after = sandbox.kube(WEU, "PATCH", path, spec, headers=patch).json()
    assert after["metadata"]["generation"] == before + 1


def test_values_of_secrets_are_in_no_log(sandbox: Client) -> None:
    canary = "Y2FuYXJ5"
    noted = {"kubectl.kubernetes.io/last-applied-configuration": f'{{"data":{{"k":"{canary}"}}}}'}
    body = {"metadata": {"name": "s", "annotations": noted}, "stringData": {"k": "canary"}}
    made = sandbox.kube(WEU, "POST", f"{PLACE}/secrets", body).json()
    assert (made["data"], made["type"]) == ({"k": canary}, "Opaque")
    patch = {"Content-Type": "application/merge-patch+json"}
    sandbox.kube(WEU, "PATCH", f"{PLACE}/secrets/s", {"data": {"k": canary}}, headers=patch)
    log = sandbox.control("GET", "requests").text
    assert "/secrets" in log
    assert canary not in log
    assert "canary" not in log


def test_pods_get_what_a_server_fills_in(sandbox: Client) -> None:
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    spec = sandbox.kube(WEU, "POST", f"{PLACE}/pods", body).json()["spec"]
    container = spec["containers"][0]
    assert container["imagePullPolicy"] == "Always"
    assert container["volumeMounts"][0]["name"] == spec["volumes"][0]["name"]
    wanted = {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "enableServiceLinks": True}
    wanted |= {"serviceAccountName": "default", "terminationGracePeriodSeconds": 30}
    assert {key: spec[key] for key in wanted} == wanted
    assert [one["tolerationSeconds"] for one in spec["tolerations"]] == [300, 300]


def test_services_get_an_address_that_stays(sandbox: Client) -> None:
    body = {"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    made = sandbox.kube(WEU, "POST", f"{PLACE}/services", body).json()["spec"]
    assert made["ports"][0]["targetPort"] == 80
    assert made["ports"][0]["nodePort"] >= 30000
    again = sandbox.kube(WEU, "PUT", f"{PLACE}/services/s", body).json()["spec"]
    assert again == made
