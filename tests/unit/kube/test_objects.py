"""What starts pods, limits them and was refused, as the Kubernetes API says it, in our values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from mnslib.errors import KubeError
from mnslib.kube.client import KubeClient
from mnslib.kube_models import Autoscaler, Entrance, LimitRange, Workload
from mnslib.pods import charge
from mnslib.secrets import HIDDEN

if TYPE_CHECKING:
    from tests.unit.kube.conftest import ApiServer

Make = Callable[..., KubeClient]

APP = {
    "name": "app",
    "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "1"}},
}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [APP]}}
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job")


def make_item(name: str, *, owner: str = "", **more: Any) -> dict[str, Any]:
    kind, _, owner_name = owner.partition("/")
    owners = [
        {"apiVersion": "v1", "kind": "Other", "name": "no-controller", "uid": "1"},
        {"apiVersion": "v1", "kind": kind, "name": owner_name, "uid": "2", "controller": True},
    ]
    metadata = {"name": name, "namespace": "shop"} | ({"ownerReferences": owners} if owner else {})
    return {"metadata": metadata, **more}


def make_list(*items: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "List", "metadata": {}, "items": list(items)}


@pytest.fixture
def read_one(api_server: ApiServer, make_client: Make) -> Callable[..., Workload]:
    """Reads one workload of a kind; the lists of all other kinds are empty."""

    def read(kind: str, spec: dict[str, Any], *, status: Any = None, owner: str = "") -> Workload:
        item = make_item("web", owner=owner, spec=spec, status=status)
        for one in KINDS:
            api_server.answer(200, make_list(item) if one == kind else make_list())
        (found,) = make_client().workloads()
        return found

    return read


@pytest.mark.parametrize(
    ("replicas", "strategy", "steps"),
    [
        (10, None, (3, 2)),  # 25 % of 10, rounded up and down
        (4, {}, (1, 1)),
        (3, {}, (1, 0)),
        (10, {"type": "RollingUpdate"}, (3, 2)),
        (10, {"rollingUpdate": {"maxSurge": "15%"}}, (2, 2)),
        (10, {"rollingUpdate": {"maxSurge": 4, "maxUnavailable": "19%"}}, (4, 1)),
        (10, {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}, (0, 1)),
        (10, {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 3}}, (0, 3)),
        (3, {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "30%"}}, (0, 1)),  # both are 0
        (3, {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "100%"}}, (1, 3)),
        (10, {"type": "Recreate"}, (0, 10)),
        (2, {"rollingUpdate": {"maxSurge": 5}}, (2, 0)),  # the new ReplicaSet wants no more than 2
        (None, None, (1, 0)),
        (0, None, (0, 0)),
    ],
)
def test_the_steps_of_a_deployment_are_rounded_as_the_server_does(
    read_one: Callable[..., Workload], replicas: int | None, strategy: Any, steps: tuple[int, int]
) -> None:
    spec = {"replicas": replicas, "strategy": strategy, "selector": {}, "template": TEMPLATE}
    found = read_one("Deployment", spec, status={"replicas": 7})
    assert (found.surge, found.unavailable) == steps
    assert (found.replicas, found.running) == (1 if replicas is None else replicas, 7)


def test_the_template_is_read_as_a_pod_is(read_one: Callable[..., Workload]) -> None:
    found = read_one("Deployment", {"selector": {}, "template": TEMPLATE})
    assert (found.kind, found.namespace_name, found.name) == ("Deployment", "shop", "web")
    assert (found.template.phase, found.template.namespace_name) == ("Pending", "shop")
    assert charge(found.template) == {
        "requests.cpu": Decimal("0.25"),
        "cpu": Decimal("0.25"),
        "requests.memory": 64 * 2**20,
        "memory": 64 * 2**20,
        "limits.cpu": 1,
        "limits.memory": 0,
        "pods": 1,
        "count/pods": 1,
    }


@pytest.mark.parametrize(
    ("strategy", "unavailable"),
    [
        (None, 1),
        ({"type": "OnDelete"}, 1),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, 1),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 5}}, 0),  # none is replaced
        ({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}}, 2),
        ({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}, 1),
        ({"rollingUpdate": {"partition": 4, "maxUnavailable": 3}}, 1),
    ],
)
def test_a_stateful_set_never_surges_and_replaces_those_above_its_partition(
    read_one: Callable[..., Workload], strategy: Any, unavailable: int
) -> None:
    spec = {"replicas": 5, "serviceName": "web", "selector": {}, "template": TEMPLATE}
    found = read_one("StatefulSet", spec | {"updateStrategy": strategy}, status={"replicas": 2})
    assert (found.replicas, found.running) == (5, 2)
    assert (found.surge, found.unavailable) == (0, unavailable)


@pytest.mark.parametrize(
    ("strategy", "steps"),
    [
        (None, (0, 1)),
        ({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}, (0, 1)),
        ({"rollingUpdate": {"maxUnavailable": "10%"}}, (0, 2)),  # rounded up, as of no other kind
        ({"rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 0}}, (2, 0)),
        ({"type": "OnDelete"}, (0, 1)),
    ],
)
def test_a_daemon_set_wants_a_pod_on_each_of_its_nodes(
    read_one: Callable[..., Workload], strategy: Any, steps: tuple[int, int]
) -> None:
    spec = {"selector": {}, "template": TEMPLATE, "updateStrategy": strategy}
    counts = {"desiredNumberScheduled": 12, "currentNumberScheduled": 11}
    found = read_one("DaemonSet", spec, status=counts | {"numberMisscheduled": 0, "numberReady": 9})
    assert (found.replicas, found.running) == (12, 11)
    assert (found.surge, found.unavailable) == steps


@pytest.mark.parametrize(
    ("spec", "status", "wanted"),
    [
        ({}, None, 1),
        ({"parallelism": 5}, {"active": 2}, 5),
        ({"parallelism": 5, "completions": 8}, {"active": 1, "succeeded": 6}, 2),
        ({"parallelism": 5, "suspend": True}, None, 0),
        ({"parallelism": 5}, {"conditions": [{"type": "Complete", "status": "True"}]}, 0),
        ({"parallelism": 5}, {"conditions": [{"type": "Suspended", "status": "False"}]}, 5),
    ],
)
def test_a_job_wants_the_pods_that_still_run_side_by_side(
    read_one: Callable[..., Workload], spec: dict[str, Any], status: Any, wanted: int
) -> None:
    found = read_one("Job", spec | {"template": TEMPLATE}, status=status)
    assert found.replicas == wanted
    assert found.running == (status or {}).get("active", 0)


@pytest.mark.parametrize(("suspend", "wanted"), [(False, 3), (True, 0)])
def test_a_cron_job_wants_the_pods_of_one_run(
    read_one: Callable[..., Workload], suspend: bool, wanted: int
) -> None:
    run = {"spec": {"parallelism": 4, "completions": 3, "template": TEMPLATE}}
    spec = {"schedule": "0 2 * * *", "suspend": suspend, "jobTemplate": run}
    found = read_one("CronJob", spec)
    assert (found.replicas, found.running, found.surge) == (wanted, 0, 0)
    assert charge(found.template)["requests.cpu"] == Decimal("0.25")


def test_an_autoscaler_names_what_it_scales(api_server: ApiServer, make_client: Make) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    full = {"minReplicas": 2, "maxReplicas": 9, "scaleTargetRef": target}
    status = {"currentReplicas": 4, "desiredReplicas": 4}
    bare = {"maxReplicas": 3, "scaleTargetRef": target}
    api_server.answer(200, make_list(make_item("a", spec=full, status=status)))
    assert make_client().autoscalers() == [
        Autoscaler(
            namespace_name="shop",
            name="a",
            workload_kind="Deployment",
            workload_name="web",
            least=2,
            most=9,
            current=4,
        )
    ]
    api_server.answer(200, make_list(make_item("b", spec=bare)))
    (found,) = make_client().autoscalers()
    assert (found.least, found.current) == (1, 0)
    assert api_server.paths[0] == "/apis/autoscaling/v2/horizontalpodautoscalers?limit=500"


def test_a_limit_range_says_what_each_kind_gets(api_server: ApiServer, make_client: Make) -> None:
    limits = [
        {"type": "Pod", "max": {"cpu": "8"}, "maxLimitRequestRatio": {"cpu": "4"}},
        {
            "type": "Container",
            "default": {"cpu": "1", "ephemeral-storage": "1Gi"},
            "defaultRequest": {"memory": "1Ki"},
        },
    ]
    api_server.answer(200, make_list(make_item("defaults", spec={"limits": limits})))
    assert make_client().limit_ranges() == [
        LimitRange(
            namespace_name="shop",
            name="defaults",
            kind="Pod",
            most={"cpu": Decimal(8)},
            most_ratio={"cpu": Decimal(4)},
        ),
        LimitRange(
            namespace_name="shop",
            name="defaults",
            default_requests={"memory": Decimal(1024)},
            default_limits={"cpu": Decimal(1), "ephemeral-storage": Decimal(2**30)},
        ),
    ]


def make_event(kind: str, name: str, **more: Any) -> dict[str, Any]:
    about = {"kind": kind, "name": name, "namespace": "shop"}
    base = {"involvedObject": about, "reason": "FailedCreate", "message": "no", "eventTime": None}
    return make_item(f"{name}.17", **(base | more))


def test_events_of_refused_pods_name_the_workload_behind_their_object(
    api_server: ApiServer, make_client: Make
) -> None:
    at = {"firstTimestamp": "2026-11-02T05:00:00Z", "lastTimestamp": "2026-11-02T05:50:00Z"}
    api_server.answer(
        200,
        make_list(
            make_event("ReplicaSet", "web-6f9", count=31, **at),
            make_event("ReplicaSet", "bare"),
            make_event("Job", "nightly-29", count=2, **at),
            make_event("StatefulSet", "db", count=2, **at),
            make_event("ReplicaSet", "gone-5d7"),
        ),
    )
    spec = {"selector": {}, "template": TEMPLATE}
    nightly = make_item("nightly-29", owner="CronJob/nightly", spec=spec | {"parallelism": 3})
    web = make_item(
        "web-6f9", owner="Deployment/web", spec=spec | {"replicas": 5}, status={"replicas": 3}
    )
    api_server.answer(200, make_list(nightly))
    api_server.answer(200, make_list(web, make_item("bare", spec=spec)))
    found = make_client().refused_pods()
    assert api_server.paths == [
        "/api/v1/events?limit=500&fieldSelector=reason%3DFailedCreate",
        "/apis/batch/v1/namespaces/shop/jobs?limit=500",
        "/apis/apps/v1/namespaces/shop/replicasets?limit=500",
    ]
    assert [(one.object_name, one.workload_kind, one.workload_name) for one in found] == [
        ("web-6f9", "Deployment", "web"),
        ("bare", "", ""),
        ("nightly-29", "CronJob", "nightly"),
        ("db", "", ""),
        ("gone-5d7", "", ""),
    ]
    assert [one.lacking for one in found] == [2, 1, 3, None, 0]
    first, last = datetime(2026, 11, 2, 5, tzinfo=UTC), datetime(2026, 11, 2, 5, 50, tzinfo=UTC)
    assert (found[0].count, found[0].first_utc, found[0].last_utc) == (31, first, last)
    assert (found[1].count, found[1].first_utc, found[1].last_utc) == (1, None, None)


def test_times_of_a_new_kind_of_event_are_those_of_its_series(
    api_server: ApiServer, make_client: Make
) -> None:
    series = {"count": 7, "lastObservedTime": "2026-11-02T05:59:00.000000Z"}
    new = {"eventTime": "2026-11-02T05:01:00.000000Z", "series": series}
    api_server.answer(200, make_list(make_event("DaemonSet", "agent", **new)))
    (found,) = make_client().refused_pods()
    assert found.count == 7
    assert found.first_utc == datetime(2026, 11, 2, 5, 1, tzinfo=UTC)
    assert found.last_utc == datetime(2026, 11, 2, 5, 59, tzinfo=UTC)


def test_no_secret_that_a_refusal_quotes_is_kept(api_server: ApiServer, make_client: Make) -> None:
    said = 'admission webhook "policy" denied it: env DB_PASS' + "WORD=hunter2hunter2 of app"
    api_server.answer(200, make_list(make_event("DaemonSet", "agent", message=said)))
    (found,) = make_client().refused_pods()
    assert found.message.startswith('admission webhook "policy" denied it')
    assert found.message.endswith(f"{HIDDEN} of app")


def test_services_and_ingresses_are_ways_in(api_server: ApiServer, make_client: Make) -> None:
    services = [make_item("web", spec={"type": "LoadBalancer"}), make_item("inner", spec={})]
    api_server.answer(200, make_list(*services))
    assert make_client().entrances("services") == [
        Entrance(kind="LoadBalancer", namespace_name="shop", name="web"),
        Entrance(kind="ClusterIP", namespace_name="shop", name="inner"),
    ]
    api_server.answer(200, make_list(make_item("web", spec={"rules": []})))
    assert make_client().entrances("ingresses") == [
        Entrance(kind="Ingress", namespace_name="shop", name="web")
    ]


def test_a_route_leads_to_each_namespace_that_its_gateway_is_not_in(
    api_server: ApiServer, make_client: Make
) -> None:
    def route(name: str, gateways: list[str], backends: list[str]) -> dict[str, Any]:
        at = {name: {"namespace": name} if name else {} for name in [*gateways, *backends]}
        rules = [{"backendRefs": [{"name": "web", **at[one]}]} for one in backends]
        parents = [{"name": "gateway", **at[one]} for one in gateways]
        return make_item(name, spec={"parentRefs": parents, "rules": [{}, *rules]})

    api_server.answer(
        200,
        make_list(
            route("own", [""], ["", "shop"]),  # its Gateway is beside it
            route("from-elsewhere", ["gateways"], [""]),
            route("to-others", [""], ["", "crm", "docs"]),
            route("of-both", ["", "gateways"], [""]),
        ),
    )
    assert [(one.namespace_name, one.name) for one in make_client().entrances("http_routes")] == [
        ("shop", "from-elsewhere"),
        ("crm", "shop/to-others"),
        ("docs", "shop/to-others"),
        ("shop", "of-both"),
    ]
    assert api_server.paths[0] == "/apis/gateway.networking.k8s.io/v1/httproutes?limit=500"


def test_an_odd_route_is_set_apart(api_server: ApiServer, make_client: Make) -> None:
    client = make_client()
    api_server.answer(200, make_list(make_item("odd", spec=None)))
    assert client.entrances("http_routes") == []
    (told,) = client.set_apart["HTTPRoute"]
    assert told.startswith("HTTPRoute shop/odd (")


@pytest.mark.parametrize(
    ("spec", "filters", "opens"),
    [
        ({"podSelector": {}}, ("Ingress",), ()),
        ({"podSelector": {}, "egress": [{}]}, ("Ingress", "Egress"), ("Egress",)),
        ({"podSelector": {}, "policyTypes": ["Egress"]}, ("Egress",), ()),
        ({"podSelector": {"matchLabels": {"a": "b"}}}, (), ()),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
            (), (),
        ),
        ({"podSelector": {}, "ingress": [{}]}, ("Ingress",), ("Ingress",)),
        ({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}, ("Ingress",), ()),
        ({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}, ("Ingress",), ()),
    ],
)  # fmt: skip
def test_a_network_policy_says_whom_it_filters_and_what_it_lets_through(
    api_server: ApiServer, make_client: Make, spec: dict[str, Any], filters: tuple[str, ...],
    opens: tuple[str, ...],
) -> None:  # fmt: skip
    api_server.answer(200, make_list(make_item("own", spec=spec)))
    (found,) = make_client().network_policies()
    assert (found.filters, found.opens) == (filters, opens)


def test_an_api_that_is_not_served_is_a_refusal_with_its_status(
    api_server: ApiServer, make_client: Make
) -> None:
    api_server.answer(404, {"kind": "Status", "message": "the server could not find it"})
    with pytest.raises(KubeError, match="horizontalpodautoscalers was answered 404") as raised:
        make_client().autoscalers()
    assert raised.value.status == 404
