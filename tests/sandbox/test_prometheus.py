"""The metrics endpoint: the four query shapes, limits, and how history joins the live state."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest

from tests.sandbox.client import PROD, PROMETHEUS, Client, cluster_id, make_pod, namespace_id

DAY = 86400
WEU = "aks-prod-weu-1"
BY_QUOTA = "max by (namespace, resourcequota, resource) "
QUERIES = {
    "used": BY_QUOTA + '(max_over_time(kube_resourcequota{cluster="%s",type="used"}[3600s]))',
    "hard": BY_QUOTA + '(last_over_time(kube_resourcequota{cluster="%s",type="hard"}[3600s]))',
    "cpu": "sum by (namespace) "
    '(rate(container_cpu_usage_seconds_total{cluster="%s",container!=""}[3600s]))',
    "memory": "sum by (namespace) "
    '(max_over_time(container_memory_working_set_bytes{cluster="%s",container!=""}[3600s]))',
}
Series = dict[tuple[str, ...], dict[float, float]]


def read(sandbox: Client, what: str, *, cluster: str = WEU, days: float = 30) -> Series:
    now = sandbox.control("GET", "health").json()["now"]
    end = now // 3600 * 3600 + 3600
    fields = {"start": end - days * DAY, "end": end, "step": 3600}
    answer = sandbox.prometheus(QUERIES[what] % cluster, **fields)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["resultType"] == "matrix"
    return {
        tuple(one["metric"].values()): {t: float(text) for t, text in one["values"]}
        for one in data["result"]
    }


def test_last_point_is_the_present_state(sandbox: Client) -> None:
    quotas = sandbox.kube(WEU, "GET", "/api/v1/resourcequotas").json()["items"]
    used = read(sandbox, "used", days=1)
    assert len(quotas) == 7
    cpu = {
        quota["metadata"]["namespace"]: quota["status"]["used"]["requests.cpu"] for quota in quotas
    }
    assert cpu["payments-ledger"] == "6250m"
    key = ("payments-ledger", "defaultresourcequota", "requests.cpu")
    assert list(used[key].values())[-1] == 6.25
    assert len(used) == 28


def test_every_series_of_a_month_has_weekday_and_hour_shape(sandbox: Client) -> None:
    used = read(sandbox, "used")[("web-checkout", "defaultresourcequota", "requests.cpu")]
    assert len(used) == 30 * 24 + 1
    assert len(set(used.values())) > 3
    steps = {round(value / 0.4 % 1, 6) for value in used.values()}
    assert steps <= {0.0, 1.0}  # 400m and 200m pods, the latter in pairs of constant number
    by_hour = [sum(v for t, v in used.items() if t // 3600 % 24 == hour) for hour in range(24)]
    assert by_hour.index(max(by_hour)) in range(17, 22)


def test_used_never_exceeds_hard(sandbox: Client) -> None:
    for cluster in ("aks-prod-weu-1", "aks-prod-weu-2", "aks-prod-neu-1", "aks-test-weu-1"):
        used, hard = read(sandbox, "used", cluster=cluster), read(sandbox, "hard", cluster=cluster)
        assert set(used) == set(hard)
        for key, points in used.items():
            limit = max(hard[key].values())
            assert all(value <= limit + 1e-6 for value in points.values()), key


def test_quota_was_raised_in_the_middle_of_the_month(sandbox: Client) -> None:
    hard = read(sandbox, "hard")[("payments-api", "defaultresourcequota", "requests.cpu")]
    values = list(hard.values())
    assert (values[0], values[-1], len(set(values))) == (10, 12, 2)
    assert abs(values.index(12) - 15 * 24) <= 2


def test_gaps_are_left_out_and_births_start_late(sandbox: Client) -> None:
    gap = read(sandbox, "used")[("search-index", "defaultresourcequota", "requests.cpu")]
    assert len(gap) == pytest.approx(27 * 24, abs=2)
    times = sorted(gap)
    assert max(b - a for a, b in pairwise(times)) >= 3 * DAY
    born = read(sandbox, "cpu", cluster="aks-prod-neu-1")[("risk-exposure",)]
    assert len(born) == pytest.approx(9 * 24, abs=2)


def test_dead_sensor_is_zero_while_others_are_used(sandbox: Client) -> None:
    for what in ("cpu", "memory"):
        usage = read(sandbox, what, cluster="aks-test-weu-1")
        assert set(usage[("identity-sso",)].values()) == {0.0}
        assert min(usage[("web-session",)].values()) > 0


def test_growth_and_bursts_can_be_seen(sandbox: Client) -> None:
    used = read(sandbox, "used")[("payments-ledger", "defaultresourcequota", "requests.cpu")]
    weeks = [v for _, v in sorted(used.items())]
    assert sum(weeks[:168]) < 0.75 * sum(weeks[-168:])
    bursts = read(sandbox, "cpu", cluster="aks-prod-weu-2")[("search-query",)]
    values = sorted(bursts.values())
    assert values[-1] > 1.3 * values[len(values) // 2]


def test_history_is_the_same_every_time(sandbox: Client) -> None:
    first = read(sandbox, "cpu")
    sandbox.control("POST", "reset")
    second = read(sandbox, "cpu")
    start = min(min(points) for points in first.values()) + 2 * DAY
    key = ("web-checkout",)
    same = [
        second[key][t] == v for t, v in first[key].items() if start < t < max(second[key]) - DAY
    ]
    assert len(same) > 600
    assert all(same)


def test_hours_after_seeding_follow_the_live_state(sandbox: Client) -> None:
    sandbox.control("POST", "clock", {"seconds": 2 * 3600})
    amounts = {"cpu": "1", "memory": "1Gi"}
    path = "/api/v1/namespaces/payments-ledger/pods"
    created = sandbox.kube(WEU, "POST", path, make_pod("x", requests=amounts, limits=amounts))
    assert created.status_code == 201
    sandbox.control("POST", "clock", {"seconds": 3 * 3600})
    key = ("payments-ledger", "defaultresourcequota", "requests.cpu")
    values = list(read(sandbox, "used", days=1)[key].values())
    assert values[-1] == 7.25
    assert values[-5] == 6.25
    assert read(sandbox, "cpu", days=1)[("payments-ledger",)]


def test_several_clusters_in_one_query(sandbox: Client) -> None:
    both = read(sandbox, "used", cluster=f"{WEU}|aks-prod-weu-2".replace("|", "|"))
    assert both == {}  # with = the whole text is one name
    text = QUERIES["memory"].replace('cluster="%s"', f'cluster =~ "{WEU}|aks-prod-weu-2"')
    now = time.time()
    answer = sandbox.prometheus(text, start=now - 3600, end=now, step="60s").json()
    names = {one["metric"]["namespace"] for one in answer["data"]["result"]}
    assert {"payments-api", "ml-serving"} <= names


def test_form_post_and_time_forms(sandbox: Client) -> None:
    url = f"{sandbox.connection['prometheus_endpoint']}/api/v1/query_range"
    now = int(time.time())
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 7200))
    data = {"query": QUERIES["used"] % WEU, "start": stamp, "end": str(now), "step": "1h"}
    answer = sandbox.call("POST", url, PROMETHEUS, data=data)
    value = answer.json()["data"]["result"][0]["values"][0]
    assert isinstance(value[0], int | float)
    assert isinstance(value[1], str)


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"query": "up"}, 400, "bad_data"),
        ({"query": (QUERIES["used"] % WEU).replace("3600s", "1h")}, 400, "bad_data"),
        ({"query": (QUERIES["used"] % WEU).replace("max by", "sum by")}, 400, "bad_data"),
        ({"step": "0"}, 400, "bad_data"),
        ({"step": ""}, 400, "bad_data"),
        ({"start": "yesterday"}, 400, "bad_data"),
        ({"start": 10 * DAY, "end": 9 * DAY}, 400, "bad_data"),
        ({"start": 0, "end": 11_001, "step": "1"}, 400, "bad_data"),
        ({"start": 0, "end": 32 * DAY}, 422, "execution"),
        ({"start": 0, "end": 5 * DAY, "step": "45"}, 422, "execution"),
    ],
)
def test_what_is_not_understood_or_too_much_is_refused(
    sandbox: Client, change: dict[str, Any], status: int, kind: str
) -> None:
    fields = {"query": QUERIES["used"] % WEU, "start": 0, "end": DAY, "step": "3600"} | change
    answer = sandbox.prometheus(**fields)
    assert (answer.status_code, answer.json()["errorType"]) == (status, kind)
    assert answer.json()["status"] == "error"


def test_a_namespace_deleted_in_the_cluster_ends_its_series(sandbox: Client) -> None:
    sandbox.kube(WEU, "DELETE", "/api/v1/namespaces/crm-batch")
    sandbox.control("POST", "clock", {"seconds": 3 * 3600})
    used = read(sandbox, "used", days=1)[("crm-batch", "team-quota", "requests.cpu")]
    other = read(sandbox, "used", days=1)[("partner-portal", "team-quota", "requests.cpu")]
    assert max(used) < max(other)


@pytest.mark.parametrize("moment", ["nan", "inf", "-inf", "9" * 400])
def test_a_moment_that_is_none_is_refused(sandbox: Client, moment: str) -> None:
    answer = sandbox.prometheus("up", start=moment, end="1", step="60")
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")
    assert '"start"' in answer.json()["error"]


def test_a_window_shows_its_samples_every_thirty_seconds_of_the_named_namespaces_alone(
    sandbox: Client,
) -> None:
    url = f"{sandbox.connection['prometheus_endpoint']}/api/v1"
    end = int(time.time()) // 3600 * 3600 - 3600
    names = 'namespace=~"payments-api|web-checkout"'
    query = f'kube_resourcequota{{cluster="{WEU}",type="used",{names}}}[3599999ms]'
    data = {"query": query, "time": end}
    found = sandbox.call("POST", f"{url}/query", PROMETHEUS, data=data).json()["data"]
    assert found["resultType"] == "matrix"
    assert {one["metric"]["namespace"] for one in found["result"]} == {
        "payments-api", "web-checkout",
    }  # fmt: skip
    times = [at for at, _ in found["result"][0]["values"]]
    assert (times[0], times[-1], len(times)) == (end - 3600 + 30, end, 120)
    fields = {"query": query, "start": end - 60, "end": end, "step": 60}
    refused = sandbox.call("POST", f"{url}/query_range", PROMETHEUS, data=fields)
    assert refused.status_code == 400
    assert "range vector" in refused.json()["error"]


COUNTED = "count by(namespace)(last_over_time(kube_pod_container_resource_requests{%s}[300s]))"
"""How a test asks which namespaces there are; of one cluster, whatever bounds the query."""


def scoped(client: Client, scope: str, cluster: str = "aks-prod-weu-1") -> Any:
    query = COUNTED % f'cluster="{cluster}",resource=~"cpu|memory"'
    url = f"{client.connection['prometheus_endpoint']}/api/v1/query"
    headers = {"x-ms-azure-scoping": scope}
    return client.call("POST", url, PROMETHEUS, data={"query": query}, headers=headers)


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (cluster_id(), {"payments-api", "web-checkout"}),
        (f"{cluster_id()}/namespaces/payments-api", {"payments-api"}),
        (f"{cluster_id().upper()}/managedNamespaces/PAYMENTS-API/", {"payments-api"}),
        (f"/subscriptions/{PROD}", {"payments-api", "web-checkout"}),
        (f"/subscriptions/{PROD}/resourceGroups/rg-platform", {"payments-api", "web-checkout"}),
        (cluster_id("aks-prod-weu-2"), set()),
    ],
)
def test_a_scoped_query_sees_what_is_below(sandbox: Client, scope: str, found: set[str]) -> None:
    answer = scoped(sandbox.another("reader"), scope)
    assert answer.status_code == 200, answer.text
    named = {one["metric"]["namespace"] for one in answer.json()["data"]["result"]}
    assert named & {"payments-api", "web-checkout"} == found


def test_who_may_read_a_namespace_reads_its_metrics_and_no_others(sandbox: Client) -> None:
    reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
    assert sandbox.grant(namespace_id("payments-api"), reader).status_code == 201
    team = sandbox.another("namespace_user")
    own = f"{cluster_id()}/namespaces/payments-api"
    assert scoped(team, own).status_code == 200
    for scope in (cluster_id(), own.replace("-api", "-ledger"), f"/subscriptions/{PROD}"):
        refused = scoped(team, scope)
        assert refused.status_code == 403
        assert refused.json()["errorType"] == "InsufficientAccessError"


@pytest.mark.parametrize(
    "scope", ["aks-prod-weu-1", "/subscriptions", f"/subscriptions/{PROD}/namespaces/x", "/x/y"]
)
def test_what_is_no_scope_is_refused(sandbox: Client, scope: str) -> None:
    refused = scoped(sandbox, scope)
    assert (refused.status_code, refused.json()["errorType"]) == (400, "BadArgumentError")


def read_once(sandbox: Client, text: str) -> list[dict[str, Any]]:
    url = f"{sandbox.connection['prometheus_endpoint']}/api/v1/query"
    answer = sandbox.call("POST", url, PROMETHEUS, data={"query": text})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["result"]


def test_requests_and_use_of_single_containers_sum_up_to_those_of_the_namespace(
    sandbox: Client,
) -> None:
    where = f'{{cluster="{WEU}",namespace="payments-api",resource="cpu"}}'
    pods = read_once(sandbox, f"kube_pod_container_resource_requests{where}")
    labels = pods[0]["metric"]
    assert labels["__name__"] == "kube_pod_container_resource_requests"
    assert {"pod", "container", "uid", "node", "unit"} <= labels.keys()
    listed = sandbox.kube(WEU, "GET", "/api/v1/namespaces/payments-api/pods").json()["items"]
    assert {one["metric"]["pod"] for one in pods} == {one["metadata"]["name"] for one in listed}
    assert sum(float(one["value"][1]) for one in pods) == pytest.approx(12.0)
    limits = read_once(sandbox, f"sum by (pod) (kube_pod_container_resource_limits{where})")
    assert len(limits) == len(pods)
    use = f'container_cpu_usage_seconds_total{{cluster="{WEU}",namespace="payments-api"}}'
    each = read_once(sandbox, f"max by (namespace, pod, container) (rate({use}[60s]))")
    assert len(each) == len(pods)
    (whole,) = (
        float(one["value"][1])
        for one in read_once(sandbox, QUERIES["cpu"].replace("3600s", "60s") % WEU)
        if one["metric"]["namespace"] == "payments-api"
    )
    assert sum(float(one["value"][1]) for one in each) == pytest.approx(whole)


def test_phases_owners_and_nodes_are_shown(sandbox: Client) -> None:
    where = f'{{cluster="{WEU}",namespace="payments-api",phase!="Running"}}'
    assert {one["value"][1] for one in read_once(sandbox, f"kube_pod_status_phase{where}")} == {"0"}
    owners = read_once(sandbox, f'kube_pod_owner{{cluster="{WEU}",namespace="payments-api"}}')
    assert {one["metric"]["owner_kind"] for one in owners} == {"ReplicaSet"}
    text = f'max by (node) (kube_node_spec_unschedulable{{cluster="{WEU}",node!=""}})'
    assert {one["value"][1] for one in read_once(sandbox, text)} == {"0"}
    ready = f'kube_node_status_condition{{cluster="{WEU}",condition="Ready",status="true"}}'
    assert len(read_once(sandbox, ready)) == len(read_once(sandbox, text)) == 5


def test_the_scheduler_counts_what_a_pod_asks_for_and_only_while_it_is_not_done(
    sandbox: Client,
) -> None:
    sandbox.switch(scheduler_metrics=True)
    where = f'{{cluster="{WEU}",namespace="payments-api",resource="cpu"}}'
    pods = read_once(sandbox, f"kube_pod_resource_requests{where}")
    assert sum(float(one["value"][1]) for one in pods) == pytest.approx(12.0)


def test_a_scope_bounds_single_pods_too(sandbox: Client) -> None:
    url = f"{sandbox.connection['prometheus_endpoint']}/api/v1/query"
    headers = {"x-ms-azure-scoping": f"{cluster_id()}/namespaces/payments-api"}
    data = {"query": 'count by (namespace, cluster) (kube_pod_owner{pod!=""})'}
    found = sandbox.call("POST", url, PROMETHEUS, data=data, headers=headers).json()
    metrics = [one["metric"] for one in found["data"]["result"]]
    assert metrics == [{"namespace": "payments-api", "cluster": WEU}]


@pytest.mark.parametrize("text", [
    'container_cpu_usage_seconds_total{cluster="c"}',
    'rate(kube_pod_status_phase{cluster="c"}[60s])',
    'kube_pod_owner{cluster="c"}[60s]',
    'max_over_time(kube_pod_owner{cluster="c"})',
    'sum by (pod) (kube_pod_owner{cluster="c"}',
    'kube_pod_owner{cluster=c}',
    'kube_pod_owner{pod=~"(a+)+"}',
])  # fmt: skip
def test_what_makes_no_sense_of_single_pods_is_refused(sandbox: Client, text: str) -> None:
    url = f"{sandbox.connection['prometheus_endpoint']}/api/v1/query"
    assert sandbox.call("POST", url, PROMETHEUS, data={"query": text}).status_code == 400
