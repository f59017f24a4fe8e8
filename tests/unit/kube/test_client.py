"""What the Kubernetes API says becomes our values; what it refuses becomes one clear error."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from mnslib.errors import LONGEST_REFUSAL, KubeError, KubeUnreachableError
from mnslib.kube.client import LONGEST_WAIT_SECONDS, KubeClient
from mnslib.kube_models import Container, KubernetesNamespace, QuotaStatus, Scope
from mnslib.pods import charge

if TYPE_CHECKING:
    from tests.unit.kube.conftest import ApiServer

Make = Callable[..., KubeClient]


def make_list(*items: dict[str, Any], following: str = "") -> dict[str, Any]:
    return {"kind": "List", "metadata": {"continue": following}, "items": list(items)}


def make_status(code: int, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "code": code,
    }


def make_item(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "web"}, **more}


def test_lists_are_read_to_the_last_page(api_server: ApiServer, make_client: Make) -> None:
    api_server.answer(200, make_list(make_item("a"), following="page-2"))
    api_server.answer(200, make_list(following="page-3"))
    api_server.answer(200, make_list(make_item("b", status={"phase": "Terminating"})))
    assert make_client().namespaces() == [
        KubernetesNamespace(name="a"),
        KubernetesNamespace(name="b"),
    ]
    assert api_server.paths == [
        "/api/v1/namespaces?limit=500",
        "/api/v1/namespaces?limit=500&continue=page-2",
        "/api/v1/namespaces?limit=500&continue=page-3",
    ]


def test_the_token_of_the_moment_is_sent(api_server: ApiServer, make_client: Make) -> None:
    tokens = iter(["one", "two"])
    client = make_client(token=lambda: next(tokens))
    for _ in range(2):
        api_server.answer(200, make_list())
        client.namespaces()
    assert api_server.tokens == ["Bearer one", "Bearer two"]


def test_a_quota_is_read_with_every_key(api_server: ApiServer, make_client: Make) -> None:
    status = {
        "hard": {"requests.cpu": "1500m", "limits.memory": "0.5Gi", "count/pods": "10"},
        "used": {"requests.cpu": "1", "limits.memory": "1Mi", "count/pods": "3"},
    }
    api_server.answer(200, make_list(make_item("q", status=status)))
    assert make_client().resource_quotas() == [
        QuotaStatus(
            namespace_name="web",
            name="q",
            hard={"requests.cpu": Decimal("1.5"), "limits.memory": 2**29, "count/pods": 10},
            used={"requests.cpu": 1, "limits.memory": 2**20, "count/pods": 3},
        )
    ]


def test_a_quota_of_some_pods_only_is_known_as_such(
    api_server: ApiServer, make_client: Make
) -> None:
    scopes = [
        {"scopes": ["NotTerminating"]},
        {
            "scopeSelector": {
                "matchExpressions": [{"operator": "Exists", "scopeName": "BestEffort"}]
            }
        },
        {},
    ]
    found = [make_item(f"q{number}", spec=spec) for number, spec in enumerate(scopes)]
    api_server.answer(200, make_list(*found))
    assert [quota.is_scoped for quota in make_client().resource_quotas()] == [True, True, False]


def test_a_new_quota_counts_by_its_spec_until_it_has_a_status(
    api_server: ApiServer, make_client: Make
) -> None:
    api_server.answer(200, make_list(make_item("q", spec={"hard": {"requests.cpu": "2"}})))
    (quota,) = make_client().resource_quotas()
    assert (quota.hard, quota.used) == ({"requests.cpu": 2}, {})


def test_a_node_offers_what_is_allocatable(api_server: ApiServer, make_client: Make) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    offered = {"cpu": "7820m", "memory": "29886972Ki", "ephemeral-storage": "1Gi", "pods": "110"}
    virtual = {"name": "d", "labels": {"type": "virtual-kubelet"}}
    taints = [
        {"key": "virtual-kubelet.io/provider", "effect": "NoSchedule"},
        {"key": "team", "effect": "NoExecute"},
        {"key": "better-not", "effect": "PreferNoSchedule"},
    ]
    api_server.answer(
        200,
        make_list(
            make_item("a", status={**ready, "allocatable": offered}),
            make_item("b", spec={"unschedulable": True}, status=ready),
            make_item("c"),
            make_item("d", spec={"taints": taints}) | {"metadata": virtual},
        ),
    )
    a, b, c, d = make_client().nodes()
    assert (d.is_virtual, d.taints) == (True, ("virtual-kubelet.io/provider", "team"))
    assert (a.is_virtual, a.taints, b.taints) == (False, (), ())
    assert (a.allocatable_cores, a.allocatable_bytes) == (Decimal("7.82"), 29886972 * 1024)
    assert [node.is_ready for node in (a, b, c)] == [True, True, False]
    assert [node.most_pods for node in (a, b, c)] == [110, None, None]
    assert [node.is_cordoned for node in (a, b, c)] == [False, True, False]


def test_a_pod_is_read_with_all_that_counts(api_server: ApiServer, make_client: Make) -> None:
    def asks(cpu: str) -> dict[str, Any]:
        return {"requests": {"cpu": cpu, "nvidia.com/gpu": "1"}, "limits": {"memory": "1Gi"}}

    spec = {
        "nodeName": "node-1",
        "containers": [{"name": "app", "resources": asks("1")}, {"name": "bare"}],
        "initContainers": [
            {"name": "proxy", "restartPolicy": "Always", "resources": asks("250m")},
            {"name": "setup", "resources": asks("2")},
        ],
        "overhead": {"cpu": "50m", "memory": "64Mi"},
    }
    api_server.answer(200, make_list(make_item("p", spec=spec, status={"phase": "Running"})))
    (pod,) = make_client().pods()
    gib = Decimal(2**30)
    assert (pod.namespace_name, pod.name, pod.phase) == ("web", "p", "Running")
    assert pod.node_name == "node-1"
    asked = {"cpu": Decimal(1), "nvidia.com/gpu": Decimal(1)}
    app = Container(name="app", requests=asked, limits={"memory": gib})
    assert pod.containers == (app, Container(name="bare"))
    assert [c.is_sidecar for c in pod.init_containers] == [True, False]
    assert charge(pod)["requests.cpu"] == Decimal("2.3")  # proxy and setup, then overhead
    assert charge(pod)["limits.memory"] == 2 * gib + 64 * 2**20


def test_a_pods_own_resources_are_read(api_server: ApiServer, make_client: Make) -> None:
    spec = {
        "containers": [{"name": "app"}],
        "resources": {"requests": {"cpu": "3"}, "limits": {"memory": "2Gi"}},
    }
    api_server.answer(200, make_list(make_item("p", spec=spec)))
    (pod,) = make_client().pods()
    assert (pod.pod_requests, pod.pod_limits, pod.phase) == (
        {"cpu": 3},
        {"memory": 2**31},
        "Pending",
    )


def test_a_forbidden_list_names_cluster_path_and_remedy_and_is_asked_once(
    api_server: ApiServer, make_client: Make
) -> None:
    said = 'pods is forbidden: User "x" cannot list resource "pods" at the cluster scope'
    api_server.answer(403, make_status(403, said))
    with pytest.raises(KubeError) as caught:
        make_client().pods()
    assert caught.value.status == 403
    for part in ("cluster aks-1", "GET /api/v1/pods", said, "RBAC Cluster Admin"):
        assert part in str(caught.value)
    assert "t0ken" not in str(caught.value)
    assert len(api_server.paths) == 1


def test_a_busy_server_is_asked_again_when_it_says(
    api_server: ApiServer, make_client: Make, waits: list[float]
) -> None:
    api_server.answer(429, make_status(429, "too many requests"), Retry_After="3")
    api_server.answer(503, b"no healthy upstream", Content_Type="text/plain")
    api_server.answer(200, make_list(make_item("a")))
    assert len(make_client().namespaces()) == 1
    assert waits == [3.0, 1.0]


def test_a_long_delay_is_cut(api_server: ApiServer, make_client: Make, waits: list[float]) -> None:
    api_server.answer(429, make_status(429, "later"), Retry_After="86400")
    api_server.answer(200, make_list())
    make_client().namespaces()
    assert waits == [LONGEST_WAIT_SECONDS]


def test_after_three_attempts_the_last_answer_counts(
    api_server: ApiServer, make_client: Make
) -> None:
    for _ in range(3):
        api_server.answer(500, make_status(500, "etcd leader changed"))
    with pytest.raises(KubeError, match="was answered 500: etcd leader changed") as caught:
        make_client().nodes()
    assert caught.value.status == 500
    assert len(api_server.paths) == 3


def test_a_dropped_connection_is_tried_again(api_server: ApiServer, make_client: Make) -> None:
    api_server.answer(0)
    api_server.answer(200, make_list(make_item("a")))
    assert len(make_client().namespaces()) == 1


def test_an_answer_that_breaks_off_is_asked_for_again(
    api_server: ApiServer, make_client: Make
) -> None:
    api_server.withheld_bytes = 10
    for _ in range(2):
        api_server.answer(200, make_list(make_item("a")))
    assert [namespace.name for namespace in make_client().namespaces()] == ["a"]
    assert len(api_server.paths) == 2


def test_a_server_that_cannot_be_reached_is_another_error(
    make_client: Make, waits: list[float]
) -> None:
    with pytest.raises(KubeUnreachableError) as caught:
        make_client(server="https://127.0.0.1:9", name="aks-private").pods()
    assert caught.value.status is None
    assert "cluster aks-private: no answer from 127.0.0.1" in str(caught.value)
    assert "A private cluster answers only from inside its network." in str(caught.value)
    assert waits == [0.5, 1.0]


def test_a_server_with_another_certificate_is_not_trusted(
    api_server: ApiServer, make_client: Make
) -> None:
    stranger = trustme.CA().cert_pem.bytes().decode()
    with pytest.raises(KubeUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        make_client(ca_pem=stranger).pods()
    assert api_server.tokens == []


def test_what_cannot_be_unpacked_is_this_clusters_error(
    api_server: ApiServer, make_client: Make
) -> None:
    for _ in range(3):
        api_server.answer(200, b"no gzip", Content_Encoding="gzip")
    with pytest.raises(KubeUnreachableError, match="DecodingError"):
        make_client().pods()


@pytest.mark.parametrize(
    "body", [b"<html>sign in</html>", b'{"kind": "Login"}', b"", b"[" * 100_000]
)
def test_a_proxys_refusal_is_not_taken_for_kubernetes(
    api_server: ApiServer, make_client: Make, body: bytes
) -> None:
    api_server.answer(407, body, Content_Type="text/html")
    with pytest.raises(KubeError, match="is a proxy in between"):
        make_client().pods()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>welcome</html>",
        {"items": [{"metadata": None}]},
        {"items": "none"},
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(
    api_server: ApiServer, make_client: Make, body: object
) -> None:
    for _ in range(2):  # read as JSON too
        api_server.answer(200, body)
    with pytest.raises(KubeError, match="cluster aks-1: the answer is no list of resource quotas"):
        make_client().resource_quotas()


ODD = {
    "a quantity": {"status": {"hard": {"pods": "5 of them"}}},
    "a time": {"metadata": {"creationTimestamp": "0000-01-01T00:00:00Z"}},
    "a list": {"spec": {"scopes": "BestEffort"}},
    "more digits than can be counted": {"status": {"hard": {"pods": "1e400"}}},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_one_odd_object_is_set_apart_and_the_rest_of_the_list_stands(
    api_server: ApiServer, make_client: Make, odd: dict[str, Any]
) -> None:
    good = make_item("good", status={"hard": {"requests.cpu": "1"}})
    bad = make_item("odd")
    bad |= {"metadata": bad["metadata"] | odd.pop("metadata", {})} | odd
    for _ in range(2):  # read as JSON too
        api_server.answer(200, make_list(bad, good))
    client = make_client()
    assert [quota.name for quota in client.resource_quotas()] == ["good"]
    (apart,) = client.set_apart["ResourceQuota"]
    assert apart.startswith("ResourceQuota web/odd (")
    api_server.answers.clear()
    api_server.answer(200, make_list(good))
    client.resource_quotas()
    assert client.set_apart == {"ResourceQuota": []}


@pytest.mark.parametrize(
    ("conditions", "charged"),
    [([], "3"), ([("Ready", "")], "3"), ([("PodResizePending", "Deferred")], "3"),
     ([("PodResizePending", "Infeasible")], "2")],
)  # fmt: skip
def test_a_pod_that_is_resized_counts_for_what_it_has_or_shall_have(
    api_server: ApiServer, make_client: Make, conditions: list[tuple[str, str]], charged: str
) -> None:
    app = {"name": "app", "resources": {"requests": {"cpu": "3"}, "limits": {"cpu": "3"}}}
    has = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    state = {"image": "", "imageID": "", "ready": True, "restartCount": 0}
    given = {"name": "app", "allocatedResources": {"cpu": "2"}, "resources": has}
    status = {
        "containerStatuses": [state | given],
        "conditions": [{"type": t, "status": "True", "reason": r} for t, r in conditions],
    }
    api_server.answer(200, make_list(make_item("p", spec={"containers": [app]}, status=status)))
    (pod,) = make_client().pods()
    need = charge(pod)
    assert (need["requests.cpu"], need["limits.cpu"]) == (Decimal(charged), Decimal(charged))


def test_a_limit_that_a_pod_has_stands_for_no_request(
    api_server: ApiServer, make_client: Make
) -> None:
    app, setup = {"name": "app"}, {"name": "setup", "resources": {"requests": {"cpu": "1"}}}
    state = {"image": "", "imageID": "", "ready": True, "restartCount": 0}
    app_has = {"name": "app", "resources": {"limits": {"cpu": "2"}}}
    setup_has = {"name": "setup", "resources": {"requests": {"cpu": "9"}}}  # it is never resized
    status = {
        "containerStatuses": [state | app_has], "initContainerStatuses": [state | setup_has],
    }  # fmt: skip
    spec = {"containers": [app], "initContainers": [setup]}
    api_server.answer(200, make_list(make_item("p", spec=spec, status=status)))
    (pod,) = make_client().pods()
    assert (charge(pod)["requests.cpu"], charge(pod)["limits.cpu"]) == (1, 2)


@pytest.mark.parametrize(
    ("begun", "grace", "counts"),
    [("2020-01-01T00:00:00Z", 30, False), ("2020-01-01T00:00:00Z", 2**62, True),
     ("2999-01-01T00:00:00Z", 30, True), (None, None, True)],
)  # fmt: skip
def test_a_pod_past_the_end_of_its_grace_holds_no_quota(
    api_server: ApiServer, make_client: Make, begun: str | None, grace: int | None, counts: bool
) -> None:
    item = make_item("p", spec={"containers": []}, status={"phase": "Running"})
    item["metadata"] |= {"deletionTimestamp": begun, "deletionGracePeriodSeconds": grace}
    api_server.answer(200, make_list(item))
    (pod,) = make_client().pods()
    assert (pod.holds_quota, pod.is_finished) == (counts, False)


def test_what_the_scopes_of_a_quota_look_at_is_read(
    api_server: ApiServer, make_client: Make
) -> None:
    term = {"topologyKey": "host", "namespaceSelector": {}}
    weighted = [{"weight": 1, "podAffinityTerm": term}]
    affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": weighted}}
    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "host"}
    ]}}  # fmt: skip
    spec = {"containers": [], "priorityClassName": "gold", "runtimeClassName": "kata"}
    first = spec | {"activeDeadlineSeconds": 60, "affinity": affinity}
    second = {"containers": [], "affinity": near}
    items = [make_item("a", spec=first), make_item("b", spec=second)]
    api_server.answer(200, make_list(*items))
    a, b = make_client().pods()
    assert (a.priority_class, a.runtime_class) == ("gold", "kata")
    assert (a.has_deadline, a.crosses_namespaces) == (True, True)
    assert (b.has_deadline, b.crosses_namespaces) == (False, False)

    expression = {"scopeName": "PriorityClass", "operator": "In", "values": ["gold"]}
    scoped = {"scopes": ["BestEffort"], "scopeSelector": {"matchExpressions": [expression]}}
    api_server.answer(200, make_list(make_item("q", spec=scoped)))
    (quota,) = make_client().resource_quotas()
    assert quota.scopes == (
        Scope(name="BestEffort"),
        Scope(name="PriorityClass", operator="In", values=("gold",)),
    )


def test_a_runtime_class_says_what_its_pods_take_besides(
    api_server: ApiServer, make_client: Make
) -> None:
    kata = {"metadata": {"name": "kata"}, "handler": "k", "overhead": {"podFixed": {"cpu": "250m"}}}
    plain = {"metadata": {"name": "plain"}, "handler": "p"}
    api_server.answer(200, make_list(kata, plain))
    assert make_client().overheads() == {"kata": {"cpu": Decimal("0.25")}, "plain": {}}
    assert api_server.paths == ["/apis/node.k8s.io/v1/runtimeclasses?limit=500"]


def test_whatever_amount_a_server_keeps_is_read(api_server: ApiServer, make_client: Make) -> None:
    texts = ["100E", "1e30", "0.5e3", "1E", "+5", ".5", "-1", "8Ei", "1500u", "5."]
    requests = {f"example.com/{text}": text for text in texts}
    spec = {"containers": [{"name": "app", "resources": {"requests": requests}}]}
    api_server.answer(200, make_list(make_item("p", spec=spec)))
    (pod,) = make_client().pods()
    (app,) = pod.containers
    assert [str(amount.normalize()) for amount in app.requests.values()] == [
        "1E+20", "1E+30", "5E+2", "1E+18", "5", "0.5", "-1", "9223372036854775807", "0.002", "5",
    ]  # fmt: skip


def test_a_token_never_goes_over_plain_http(make_client: Make) -> None:
    with pytest.raises(KubeError, match="no https server"):
        make_client(server="http://127.0.0.1:1")
    for nonsense in ("nonsense", ""):
        with pytest.raises(KubeError, match="no https server with a certificate"):
            make_client(ca_pem=nonsense)
    with pytest.raises(KubeError, match="its certificate authority is no PEM"):
        make_client(ca_pem="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")


def test_the_environments_proxy_is_used(make_client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(KubeUnreachableError, match=r"no answer from aks\.example.*refused"):
        make_client(server="https://aks.example:443").pods()


def test_a_server_that_needs_no_proxy_is_asked_directly(
    api_server: ApiServer, make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    api_server.answer(200, make_list())
    assert make_client().namespaces() == []


def test_what_a_refusal_names_stays_whole_and_so_does_what_helps(
    api_server: ApiServer, make_client: Make
) -> None:
    said = "admission webhook denied the request: " + ", ".join(f"policy-{n}" for n in range(200))
    api_server.answer(403, make_status(403, said))
    with pytest.raises(KubeError, match=r"policy-199\. Reading namespaces.*ClusterRoleBinding"):
        make_client().pods()
    api_server.answer(403, make_status(403, "x" * 99_999))
    with pytest.raises(KubeError, match=r"x…\. Reading namespaces.*ClusterRoleBinding") as caught:
        make_client().pods()
    assert len(str(caught.value)) <= LONGEST_REFUSAL


def test_a_list_that_never_ends_is_this_clusters_error(
    api_server: ApiServer, make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnslib.kube.client.MOST_PAGES", 5)
    client = make_client()
    for _ in range(2):
        for number in range(5):
            api_server.answer(200, make_list(following=f"page-{number}"))
        with pytest.raises(KubeError, match=r"aks-1: GET /api/v1/pods was answered with endless"):
            client.pods()


def test_an_answer_that_inflates_beyond_the_bound_is_not_read_to_its_end(
    api_server: ApiServer, make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnslib.kube.client.LARGEST_ANSWER_BYTES", 2**20)
    bomb = gzip.compress(b" " * 2**23)
    assert len(bomb) < 2**14
    api_server.answer(200, bomb, Content_Encoding="gzip")
    with pytest.raises(KubeError, match=r"aks-1: an answer is larger than 1,048,576 bytes"):
        make_client().pods()
    assert len(api_server.paths) == 1


@pytest.mark.parametrize("said", ["0", "-1", "nan", "soon"])
def test_a_delay_that_is_none_is_a_growing_one(
    api_server: ApiServer, make_client: Make, waits: list[float], said: str
) -> None:
    for _ in range(2):
        api_server.answer(429, make_status(429, "later"), Retry_After=said)
    api_server.answer(200, make_list())
    make_client().namespaces()
    assert waits == [0.5, 1.0]


def test_a_read_that_is_stopped_while_it_waits_is_not_sent_again(
    api_server: ApiServer, make_client: Make
) -> None:
    api_server.answer(503, b"")
    with pytest.raises(KubeUnreachableError, match="stopped"):
        make_client(sleep=lambda seconds: True).namespaces()
    assert len(api_server.paths) == 1
