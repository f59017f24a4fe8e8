"""Neighbors of the cases that were read off a real server: admission by the source's rules."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mnslib.sandbox.amounts import read
from mnslib.sandbox.kube.admission import admit
from mnslib.sandbox.server import open_state
from mnslib.sandbox.wire import Refusal
from tests.sandbox.client import Client, make_pod
from tests.sandbox.in_process import Clock
from tests.sandbox.test_pod_cases import Server

GIVEN = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"


@pytest.fixture
def server() -> Iterator[Server]:
    state = open_state(":memory:", world="default", latency="fast", clock=Clock())
    yield Server(state)
    state.close()


def container(name: str = "app", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "x", "resources": GIVEN} | fields


def spec(**fields: Any) -> dict[str, Any]:
    return {"containers": [container()]} | fields


@pytest.mark.parametrize(
    ("pod", "text"),
    [
        (spec(containers=[]), "spec.containers: Required value"),
        (
            spec(containers=[container(), container()]),
            'spec.containers[1].name: Duplicate value: "app"',
        ),
        (spec(containers=[container(image="")]), "spec.containers[0].image: Required value"),
        (
            spec(containers=[container("A")]),
            f'spec.containers[0].name: Invalid value: "A": {LABEL}',
        ),
        (
            spec(restartPolicy="Sometimes"),
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", '
            '"OnFailure", "Never"',
        ),
        (
            spec(activeDeadlineSeconds=0),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647",
        ),
        (
            spec(containers=[container(resources={"limits": {"example.com/gpu": "1500m"}})]),
            '[spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "1500m": must '
            "be an integer, spec.containers[0].resources.requests[example.com/gpu]: Invalid value: "
            '"1500m": must be an integer]',
        ),
        (
            spec(containers=[container(resources={"requests": {"example.com/gpu": "1"}})]),
            "spec.containers[0].resources.limits: Required value: Limit must be set for non "
            "overcommitable resources",
        ),
        (
            spec(containers=[container(resources={"limits": {"hugepages-2Mi": "4Mi"}})]),
            "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
        ),
        (
            spec(resources={"limits": {"cpu": "500m", "memory": "2Gi"}}),
            'spec.resources.containers[0][cpu].limits: Invalid value: "1": must be less than or '
            "equal to pod limits of 500m",
        ),
    ],
)
def test_a_pod_that_is_invalid_is_refused_with_every_problem(
    server: Server, pod: Any, text: str
) -> None:
    answer = server.pod(pod)
    assert answer.status == 422
    assert answer.body["message"].startswith(f'Pod "p" is invalid: {text}')
    assert answer.body["details"]["causes"][0]["field"].startswith("spec")


@pytest.mark.parametrize(
    ("quota", "pod", "used"),
    [
        (
            {"hard": {"pods": "5"}, "scopes": ["Terminating"]},
            spec(activeDeadlineSeconds=9),
            {"pods": "1"},
        ),
        (
            {"hard": {"requests.cpu": "5"}, "scopes": ["Terminating", "NotBestEffort"]},
            spec(),
            {"requests.cpu": "0"},
        ),
        (
            {
                "hard": {"limits.cpu": "5"},
                "scopeSelector": {
                    "matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": ["gold"]}
                    ]
                },
            },
            spec(priorityClassName="gold"),
            {"limits.cpu": "1"},
        ),
        (
            {"hard": {"hugepages-2Mi": "1Gi", "requests.hugepages-2Mi": "1Gi"}},
            spec(
                containers=[container(resources={"limits": {"cpu": "1", "hugepages-2Mi": "4Mi"}})]
            ),
            {"hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi"},
        ),
        (
            {"hard": {"example.com/gpu": "1", "limits.example.com/gpu": "1", "pods": "2"}},
            spec(),
            {"pods": "1"},
        ),
        (
            {"hard": {"limits.cpu": "9", "requests.memory": "9Gi"}},
            spec(
                resources={"limits": {"cpu": "4"}},
                initContainers=[container("side", restartPolicy="Always")],
            ),
            {"limits.cpu": "4", "requests.memory": "2Gi"},
        ),
    ],
)
def test_a_quota_counts_what_lies_in_its_scopes_under_keys_that_are_counted(
    server: Server, quota: Any, pod: Any, used: dict[str, str]
) -> None:
    assert server.quota("q", quota).status == 201
    answer = server.pod(pod)
    assert answer.status == 201, answer.body
    assert server.used() == {"q": used}


def test_objects_are_counted_and_refused(server: Server) -> None:
    hard = {"count/deployments.apps": "0", "configmaps": "2", "services.loadbalancers": "1"}
    hard |= {"services.nodeports": "2", "count/widgets.example.com": "1"}
    server.quota("q", {"hard": hard})
    labels = {"matchLabels": {"a": "b"}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec()}
    made = server.in_x(
        "deployments", "apps/v1/Deployment", "d", spec={"selector": labels, "template": template}
    )
    assert made.body["message"] == (
        'deployments.apps "d" is forbidden: exceeded quota: q, requested: count/deployments.apps=1,'
        " used: count/deployments.apps=0, limited: count/deployments.apps=0"
    )
    # the other one is the namespace's own, kube-root-ca.crt
    assert server.in_x("configmaps", "v1/ConfigMap", "a").status == 201
    assert server.in_x("configmaps", "v1/ConfigMap", "b").status == 403
    ports = [{"name": name, "port": port} for name, port in (("a", 80), ("b", 81), ("c", 82))]
    refused = server.in_x("services", "v1/Service", "s", spec={"type": "NodePort", "ports": ports})
    assert "requested: services.nodeports=3, used: services.nodeports=0" in refused.body["message"]
    bare = {"type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": False}
    made = server.in_x("services", "v1/Service", "s", spec=bare)
    assert made.status == 201, made.body
    assert server.used()["q"]["services.loadbalancers"] == "1"
    again = server.in_x("services", "v1/Service", "t", spec=bare)
    assert "exceeded quota: q, requested: services.loadbalancers=1" in again.body["message"]
    assert "count/widgets.example.com" not in server.used()["q"]


def test_limit_ranges_bound_pods_and_claims(server: Server) -> None:
    limits = [
        {"type": "Pod", "maxLimitRequestRatio": {"cpu": "1"}, "min": {"ephemeral-storage": "1Gi"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}},
    ]
    server.in_x("limitranges", "v1/LimitRange", "r", spec={"limits": limits})
    assert server.pod(spec()).body["message"] == (
        'pods "p" is forbidden: [minimum ephemeral-storage usage per Pod is 1Gi.  No request is '
        "specified, cpu max limit to request ratio per Pod is 1, but provided ratio is 2.000000]"
    )
    assert server.claim("a", "3Gi", "fast").body["message"] == (
        'persistentvolumeclaims "a" is forbidden: maximum storage usage per '
        "PersistentVolumeClaim is 2Gi, but request is 3Gi"
    )
    wrong = [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}, {"type": "Pod"}]
    text = server.in_x("limitranges", "v1/LimitRange", "w", spec={"limits": wrong}).body["message"]
    assert 'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max' in text


def test_the_plugins_refuse_in_the_servers_words(server: Server) -> None:
    found = server.pod(spec(serviceAccountName="robot")).body["message"]
    assert found == (
        'pods "p" is forbidden: error looking up service account x/robot: serviceaccount "robot" '
        "not found"
    )
    text = server.pod(spec(runtimeClassName="nope")).body["message"]
    assert text == 'pods "p" is forbidden: pod rejected: RuntimeClass "nope" not found'
    text = server.pod(spec(priorityClassName="gold", priority=7)).body["message"]
    assert "the integer value of priority (7) must not be provided in pod spec" in text
    made = server.pod(spec(priorityClassName="gold")).body
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (
        1000,
        "PreemptLowerPriority",
    )


def test_a_service_keeps_its_address(server: Server) -> None:
    server.in_x("services", "v1/Service", "s", spec={"ports": [{"port": 80}]})
    path, media = "/api/v1/namespaces/x/services/s", "application/merge-patch+json"
    moved = {"spec": {"clusterIP": "10.0.0.99"}}
    assert server.send("PATCH", path, moved, media).body["message"] == (
        'Service "s" is invalid: spec.clusterIPs[0]: Invalid value: ["10.0.0.99"]: may not change '
        "once set"
    )
    labeled = {"metadata": {"labels": {"a": "b"}}, "spec": {"type": "NodePort"}}
    assert server.send("PATCH", path, labeled, media).status == 200


def test_what_may_not_change_is_refused(server: Server) -> None:
    made = server.pod(spec()).body
    del made["metadata"]["resourceVersion"]  # the scheduler has written to it since
    made["spec"]["hostname"] = "other"
    path = "/api/v1/namespaces/x/pods/p"
    text = server.send("PUT", path, made).body["message"]
    assert text.startswith(
        'Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than '
        "`spec.containers[*].image`,"
    )
    labels = {"matchLabels": {"a": "b"}}
    template = {"metadata": {"labels": {"a": "c"}}, "spec": spec()}
    fields = {"selector": labels, "template": template}
    text = server.in_x("deployments", "apps/v1/Deployment", "d", spec=fields).body["message"]
    assert text == (
        'Deployment.apps "d" is invalid: spec.template.metadata.labels: Invalid value: {"a":"c"}: '
        "`selector` does not match template `labels`"
    )


@pytest.mark.parametrize(
    ("spec_of_quota", "text"),
    [
        (
            {"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort"]},
            'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
        ),
        (
            {"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]},
            'spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes',
        ),
        (
            {"hard": {"pods": "1500m"}},
            'spec.hard[pods]: Invalid value: "1500m": must be an integer',
        ),
        (
            {"hard": {"requests.cpu": "-1"}},
            'spec.hard[requests.cpu]: Invalid value: "-1": must be greater than or equal to 0',
        ),
    ],
)
def test_a_quota_that_is_invalid_is_refused(server: Server, spec_of_quota: Any, text: str) -> None:
    answer = server.quota("q", spec_of_quota)
    assert (answer.status, answer.body["message"]) == (422, f'ResourceQuota "q" is invalid: {text}')


@pytest.mark.parametrize(
    ("first", "second", "total"),
    [
        ("0", "1Gi", "1Gi"),
        ("1Gi", "1G", "2073741824"),
        ("500M", "1Mi", "501048576"),
        ("1e3", "1", "1001"),
        ("1500u", "0.5m", "3m"),
        ("16Ei", "0", "9223372036854775807"),
    ],
)
def test_a_sum_is_written_in_the_form_of_what_came_first(
    first: str, second: str, total: str
) -> None:
    assert str(read(first) + read(second)) == total


def test_twenty_at_once_never_overdraw_a_quota(sandbox: Client) -> None:
    place = "/api/v1/namespaces/docs-site"
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1", "pods": "50"}}}
    before = sandbox.kube("aks-prod-weu-1", "POST", f"{place}/resourcequotas", quota).json()
    room = 1000 - int(float(read(before["status"]["used"]["requests.cpu"]).value) * 1000)

    def create(number: int) -> int:
        pod = make_pod(f"p{number}", requests={"cpu": "100m"})
        return sandbox.kube("aks-prod-weu-1", "POST", f"{place}/pods", pod).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = sorted(pool.map(create, range(20)))
    fit = room // 100
    assert answers == [201] * fit + [403] * (20 - fit)
    after = sandbox.kube("aks-prod-weu-1", "GET", f"{place}/resourcequotas/q").json()
    assert read(after["status"]["used"]["requests.cpu"]).value <= 1


def test_a_stateful_set_and_a_claim_change_in_some_fields_only(server: Server) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec()}
    fields = {"selector": {"matchLabels": {"a": "b"}}, "template": template, "serviceName": "s"}
    made = server.in_x("statefulsets", "apps/v1/StatefulSet", "s", spec=fields).body
    path, media = "/apis/apps/v1/namespaces/x/statefulsets/s", "application/merge-patch+json"
    assert server.send("PATCH", path, {"spec": {"replicas": 3}}, media).status == 200, made
    text = server.send("PATCH", path, {"spec": {"serviceName": "t"}}, media).body["message"]
    assert "spec: Forbidden: updates to statefulset spec for fields other than 'replicas'" in text
    server.quota("q", {"hard": {"requests.storage": "4Gi"}})
    assert server.claim("a", "3Gi", "fast").status == 201
    path = "/api/v1/namespaces/x/persistentvolumeclaims/a"
    larger = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    text = server.send("PATCH", path, larger, media).body["message"]
    assert "only dynamically provisioned pvc can be resized" in text
    kind, fields = "storage.k8s.io/v1/StorageClass", {"allowVolumeExpansion": True}
    fields |= {"provisioner": "disk.csi.azure.com"}
    server.post("/apis/storage.k8s.io/v1/storageclasses", kind, "fast", **fields)
    assert server.send("PATCH", path, larger, media).body["message"] == (
        'persistentvolumeclaims "a" is forbidden: exceeded quota: q, requested: '
        "requests.storage=2Gi, used: requests.storage=3Gi, limited: requests.storage=4Gi"
    )


def test_a_resize_is_charged_the_difference_and_keeps_the_class(server: Server) -> None:
    server.quota("q", {"hard": {"requests.cpu": "1"}})
    server.pod(spec())
    pod = server.state.object(server.key, "pods", "x", "p")
    assert pod is not None

    def resized(**amounts: Any) -> str:
        changed = copy.deepcopy(pod)
        changed["spec"]["containers"][0]["resources"] = amounts
        with pytest.raises(Refusal) as refused:
            admit(server.state, server.key, changed, pod, verb="resize")
        return str(refused.value.answer.body["message"])

    limits = {"cpu": "2", "memory": "1Gi"}
    assert resized(requests={"cpu": "1500m", "memory": "1Gi"}, limits=limits) == (
        'pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: '
        "requests.cpu=500m, limited: requests.cpu=1"
    )
    text = resized(requests=limits, limits=limits)
    assert 'spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result' in text
    assert "resource limits cannot be removed" in resized(requests=GIVEN["requests"])
