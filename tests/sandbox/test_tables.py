"""What `kubectl get` prints: tables as a server 1.34 makes them."""

from __future__ import annotations

from typing import Any

import pytest

from mnslib.sandbox.kube.tables import human
from tests.sandbox.client import Client, make_pod

WEU = "aks-prod-weu-1"
PLACE = "/api/v1/namespaces/docs-site"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def cells(client: Client, path: str, **query: str) -> list[dict[str, Any]]:
    """Return the rows of a table by their columns' names."""
    table = client.kube(WEU, "GET", path, headers=TABLE, params=query).json()
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    names = [column["name"] for column in table["columnDefinitions"]]
    return [dict(zip(names, row["cells"], strict=True)) for row in table["rows"]]


def made(client: Client, path: str, spec: Any = None, **members: Any) -> None:
    body = {"metadata": {"name": "one"}} | ({"spec": spec} if spec is not None else {}) | members
    answer = client.kube(WEU, "POST", path, body)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("path", "members", "wanted"),
    [
        (f"{PLACE}/configmaps", {"data": {"a": "b"}}, {"Data": 1}),
        (f"{PLACE}/secrets", {"stringData": {"a": "b", "c": "d"}}, {"Type": "Opaque", "Data": 2}),
        (f"{PLACE}/serviceaccounts", {}, {"Secrets": 0}),
        (
            f"{PLACE}/services",
            {"spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}]}},
            {"Type": "LoadBalancer", "External-IP": "<pending>", "Port(s)": "80:30080/TCP"},
        ),
        (
            f"{PLACE}/services",
            {
                "spec": {
                    "selector": {"a": "b"},
                    "ports": [{"name": "web", "port": 80}, {"name": "dns", "port": 53}],
                }
            },
            {"External-IP": "<none>", "Port(s)": "80/TCP,53/TCP", "Selector": "a=b"},
        ),
        (
            f"{PLACE}/persistentvolumeclaims",
            {
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "fast",
                    "resources": {"requests": {"storage": "1Gi"}},
                }
            },
            {"Status": "Pending", "StorageClass": "fast", "VolumeAttributesClass": "<unset>"},
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/docs-site/networkpolicies",
            {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}},
            {"Pod-Selector": "a=b"},
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/docs-site/ingresses",
            {"spec": {"rules": [{"host": "a.example"}], "tls": [{"hosts": ["a.example"]}]}},
            {"Class": "<none>", "Hosts": "a.example", "Ports": "80, 443"},
        ),
        (
            "/apis/policy/v1/namespaces/docs-site/poddisruptionbudgets",
            {"spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}},
            {"Min Available": "50%", "Max Unavailable": "N/A", "Allowed Disruptions": 0},
        ),
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            {"value": 1000},
            {"Value": 1000, "Global-Default": "false", "PreemptionPolicy": "PreemptLowerPriority"},
        ),
        ("/apis/node.k8s.io/v1/runtimeclasses", {"handler": "heavy"}, {"Handler": "heavy"}),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            {
                "provisioner": "disk.csi.azure.com",
                "metadata": {
                    "name": "one",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
            },
            {"Name": "one (default)", "ReclaimPolicy": "Delete", "AllowVolumeExpansion": "false"},
        ),
        (
            "/apis/batch/v1/namespaces/docs-site/cronjobs",
            {
                "spec": {
                    "schedule": "0 2 * * *",
                    "suspend": True,
                    "jobTemplate": {
                        "spec": {
                            "template": {
                                "spec": {
                                    "restartPolicy": "Never",
                                    "containers": [{"name": "a", "image": "x"}],
                                }
                            }
                        }
                    },
                }
            },
            {"Schedule": "0 2 * * *", "Timezone": "<none>", "Suspend": "True", "Active": 0}
            | {"Last Schedule": "<none>", "Containers": "a", "Images": "x"},
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/docs-site/rolebindings",
            {
                "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
                "subjects": [
                    {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
                    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
                ],
            },
            {"Role": "Role/r", "Users": "u", "Groups": "", "ServiceAccounts": "n/s"},
        ),
        (
            "/apis/coordination.k8s.io/v1/namespaces/docs-site/leases",
            {"spec": {"holderIdentity": "me"}},
            {"Holder": "me"},
        ),
    ],
)
def test_a_kind_has_its_columns(
    sandbox: Client, path: str, members: Any, wanted: dict[str, Any]
) -> None:
    made(sandbox, path, **members)
    row = next(row for row in cells(sandbox, path) if row["Name"].startswith("one"))
    assert {key: row[key] for key in wanted} == wanted
    assert row["Age"] in ("0s", "1s", "2s")


def test_columns_of_what_runs(sandbox: Client) -> None:
    apps = "/apis/apps/v1/namespaces/web-checkout"
    row = next(row for row in cells(sandbox, f"{apps}/deployments") if row["Name"] == "checkout")
    shown = {"Ready": "8/8", "Available": 8, "Containers": "checkout", "Selector": "app=checkout"}
    assert {key: row[key] for key in shown} == shown
    pods = cells(sandbox, "/api/v1/namespaces/web-checkout/pods")
    assert {(row["Ready"], row["Status"], row["Restarts"]) for row in pods} == {
        ("1/1", "Running", "0")
    }
    scaled = "/apis/autoscaling/v2/namespaces/web-checkout/horizontalpodautoscalers"
    (row,) = cells(sandbox, scaled)
    assert (row["Reference"], row["Targets"]) == ("Deployment/checkout", "cpu: <unknown>/70%")
    assert (row["MinPods"], row["MaxPods"]) == (6, 16)


def test_columns_of_quotas_nodes_and_events(sandbox: Client) -> None:
    (quota,) = cells(sandbox, "/api/v1/namespaces/payments-api/resourcequotas")
    assert quota["Request"] == "requests.cpu: 12/12, requests.memory: 22Gi/24Gi"
    assert quota["Limit"] == "limits.cpu: 22/24, limits.memory: 44Gi/48Gi"
    node = cells(sandbox, "/api/v1/nodes")[0]
    assert (node["Status"], node["Roles"], node["Internal-IP"]) == ("Ready", "<none>", "<none>")
    patch = {"Content-Type": "application/merge-patch+json"}
    path = f"/api/v1/nodes/{node['Name']}"
    labels = {"metadata": {"labels": {"node-role.kubernetes.io/agent": ""}}}
    sandbox.kube(WEU, "PATCH", path, labels | {"spec": {"unschedulable": True}}, headers=patch)
    (node,) = cells(sandbox, path)
    assert (node["Status"], node["Roles"]) == ("Ready,SchedulingDisabled", "agent")
    event = cells(sandbox, "/api/v1/namespaces/payments-api/events")[0]
    assert (event["Type"], event["Reason"]) == ("Warning", "FailedCreate")
    assert event["Object"].startswith("replicaset/api-")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({"phase": "Pending"}, ("0/1", "Pending")),
        ({"phase": "Failed", "reason": "Evicted"}, ("0/1", "Evicted")),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    {"name": "app", "ready": False, "restartCount": 3}
                    | {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
                ],
            },
            ("0/1", "CrashLoopBackOff"),
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}],
            },
            ("0/1", "Signal:9"),
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [{"name": "i", "state": {"running": {}}}],
            },
            ("0/1", "Init:0/1"),
        ),
    ],
)
def test_a_pod_says_how_it_is(status: dict[str, Any], wanted: tuple[str, str]) -> None:
    from mnslib.sandbox.kube.tables import _pod_ready, _pod_status

    pod = make_pod("one")
    pod["spec"]["initContainers"] = [{"name": "i"}]
    pod["status"] = status
    assert (_pod_ready(pod), _pod_status(pod)) == wanted
    pod["metadata"]["deletionTimestamp"] = "2026-11-30T00:00:00Z"
    assert _pod_status(pod) == "Terminating"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-2, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (304, "5m4s"), (600, "10m")),
        *((10_800, "3h"), (11_100, "3h5m"), (172_799, "47h"), (180_000, "2d2h")),
        *((8 * 86400, "8d"), (800 * 86400, "2y70d"), (4000 * 86400, "10y")),
    ],
)
def test_ages_are_written_as_a_server_writes_them(seconds: int, text: str) -> None:
    assert human(seconds) == text


def test_rows_hold_what_is_asked_for(sandbox: Client) -> None:
    path = "/api/v1/namespaces/docs-site"
    for include, kind in (("Object", "Namespace"), ("Metadata", "PartialObjectMetadata")):
        query = {"includeObject": include}
        table = sandbox.kube(WEU, "GET", path, headers=TABLE, params=query).json()
        assert table["rows"][0]["object"]["kind"] == kind
    table = sandbox.kube(WEU, "GET", path, headers=TABLE, params={"includeObject": "None"}).json()
    assert "object" not in table["rows"][0]


def test_metadata_alone_may_be_asked_for(sandbox: Client) -> None:
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    found = sandbox.kube(WEU, "GET", f"{PLACE}/pods", headers=accept).json()
    assert found["kind"] == "PartialObjectMetadataList"
    assert set(found["items"][0]) == {"kind", "apiVersion", "metadata"}


def test_tables_come_in_pages(sandbox: Client) -> None:
    query = {"limit": "2"}
    path = "/api/v1/namespaces"
    table = sandbox.kube(WEU, "GET", path, headers=TABLE, params=query).json()
    assert len(table["rows"]) == 2
    assert table["metadata"]["remainingItemCount"] > 0
    more = query | {"continue": table["metadata"]["continue"]}
    following = sandbox.kube(WEU, "GET", path, headers=TABLE, params=more).json()
    assert following["rows"][0]["cells"] != table["rows"][0]["cells"]


@pytest.mark.parametrize(
    ("path", "selector", "count"),
    [
        ("/api/v1/namespaces/payments-api/pods", "spec.restartPolicy=Always", 24),
        ("/api/v1/namespaces/payments-api/pods", "status.phase!=Running", 0),
        ("/api/v1/nodes", "spec.unschedulable=false", 5),
        ("/api/v1/namespaces", "status.phase=Active,metadata.name=docs-site", 1),
        ("/api/v1/namespaces/payments-api/events", "involvedObject.kind=Pod", 0),
        ("/api/v1/namespaces/docs-site/secrets", "type=Opaque", 0),
    ],
)
def test_field_selectors_of_each_kind(
    sandbox: Client, path: str, selector: str, count: int
) -> None:
    found = sandbox.kube(WEU, "GET", path, params={"fieldSelector": selector}).json()
    assert len(found["items"]) == count


@pytest.mark.parametrize(
    ("path", "selector", "text"),
    [
        ("/api/v1/pods", "spec.color=red", "field label not supported: spec.color"),
        ("/api/v1/pods", "red", "invalid selector: 'red'; can't understand 'red'"),
        (
            "/api/v1/configmaps",
            "data.a=b",
            '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
    ],
)
def test_field_selectors_that_a_kind_does_not_have(
    sandbox: Client, path: str, selector: str, text: str
) -> None:
    answer = sandbox.kube(WEU, "GET", path, params={"fieldSelector": selector})
    assert (answer.status_code, answer.json()["message"]) == (400, text)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("n>5", ["c"]),
        ("n<5", ["a"]),
        ("n in (1, 9)", ["a", "c"]),
        ("n notin (1)", ["b", "c"]),
        ("!n", ["b"]),
        ("n,n!=9", ["a"]),
    ],
)
def test_label_selectors(sandbox: Client, selector: str, names: list[str]) -> None:
    for name, labels in (("a", {"n": "1"}), ("b", {}), ("c", {"n": "9"})):
        body = {"metadata": {"name": name, "labels": labels | {"mine": "yes"}}}
        sandbox.kube(WEU, "POST", f"{PLACE}/configmaps", body)
    query = {"labelSelector": f"mine=yes,{selector}"}
    found = sandbox.kube(WEU, "GET", f"{PLACE}/configmaps", params=query).json()["items"]
    assert [one["metadata"]["name"] for one in found] == names
