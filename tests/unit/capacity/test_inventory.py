"""Clusters and namespaces as the metrics name them, where nothing else may be asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mnslib.capacity.clusters import commitment_table
from mnslib.capacity.inventory import UNNAMED, collect_from_metrics
from mnslib.errors import ConfigError, PrometheusError
from mnslib.resource_ids import ClusterId
from mnslib.run.parameters import refused_values
from mnslib.show.show import evidence_read
from tests.tables import utilization_of
from tests.unit.capacity.conftest import PrometheusDouble

NOW = datetime(2026, 11, 2, 6, 25, tzinfo=UTC)
HOUR = 3600


def labels(namespace, resource="requests.cpu", name="defaultresourcequota"):
    return {"namespace": namespace, "resourcequota": name, "resource": resource}


def always(value):
    return lambda at: value


def until(hours, value):
    """A value up to so many hours before now, and no sample after that."""
    return lambda at: value if at <= NOW.timestamp() - hours * HOUR else None


@pytest.fixture
def metrics(world):
    """One cluster: a quota of now, one whose samples ended two days ago, pods without a quota."""
    world.samples = {
        ("aks-1", "hard"): [
            (labels("web"), always(4.0)),
            (labels("gone"), until(50, 2.0)),
            (labels("kube-system"), always(1.0)),
        ],
        ("aks-1", "used"): [
            (labels("web"), lambda at: 3.0 if at == NOW.timestamp() else 2.0),
            (labels("gone"), until(50, 1.5)),
            (labels("kube-system"), always(1.0)),
        ],
        ("aks-1", "requested"): [
            ({"namespace": "web", "resource": "cpu"}, always(3.0)),
            ({"namespace": "idle", "resource": "cpu"}, always(0.5)),
        ],
        ("aks-1", "nodes"): [
            ({"node": name, "resource": resource}, always(amount))
            for name, cores in (("n1", 8.0), ("n2", 4.0))
            for resource, amount in (("cpu", cores), ("memory", cores * 2**30))
        ],
    }
    return world


@pytest.fixture
def collected_from(metrics):
    def run(*clusters, **changes):
        arguments = {"lookback_days": 3, "step_minutes": 60, "now": NOW, **changes}
        double = PrometheusDouble(metrics)
        double.endpoint = "http://prometheus.example"
        return collect_from_metrics(double, clusters=clusters, **arguments)

    return run


@pytest.mark.parametrize("clusters", [(), ("AKS-1",), ("aks-1", "Aks-1")])
def test_names_of_clusters_are_compared_without_case(metrics, collected_from, clusters):
    """Two spellings in the metrics are one cluster; so is a name that is asked for in a third."""
    metrics.samples["Aks-1", "requested"] = [({"namespace": "web", "resource": "cpu"}, always(3.0))]
    snapshot = collected_from(*clusters)
    assert snapshot.namespaces["cluster_name"].nunique() == 1
    assert snapshot.no_history == {}
    assert set(snapshot.namespaces["namespace_name"]) == {"web", "gone", "idle"}


def verdicts(snapshot):
    table = utilization_of(snapshot)
    return table[table["resource"] == "cpu_request"].set_index("namespace_name")


def test_namespaces_are_those_with_a_quota_or_with_pods_at_any_time(collected_from):
    spaces = collected_from().namespaces
    found = dict(zip(spaces["namespace_name"], spaces["is_managed"], strict=True))
    assert found == {"gone": True, "idle": False, "web": True}
    assert set(spaces["cluster_name"]) == {"aks-1"}
    assert set(spaces["subscription_id"]) == {""}


def test_a_quota_object_of_several_values_is_counted_once(metrics, collected_from):
    for kind in ("hard", "used"):
        metrics.samples["aks-1", kind].append((labels("web", "limits.cpu"), always(5.0)))
    (row,) = evidence_read(collected_from())[0].rows
    assert row[3] == 3


def test_now_is_the_last_sample_and_not_the_highest_of_its_hour(collected_from):
    found = verdicts(collected_from())
    assert (found.loc["web", "used"], found.loc["web", "hard"]) == (3.0, 4.0)
    assert found.loc["idle", "verdict"] == "unknown: no quota"


def test_a_quota_without_recent_samples_is_unknown_since_then_and_keeps_its_history(
    collected_from,
):
    found = verdicts(collected_from()).loc["gone"]
    assert found["verdict"] == "unknown: no sample since 31 Oct 04:00 UTC"
    assert found[["used", "utilization_ratio"]].isna().all()
    assert (found["peak_used"], found["peak_hard"]) == (1.5, 2.0)


@pytest.mark.parametrize(("step_minutes", "hours", "verdict"), [
    (60, 2.4, "ok"), (60, 3, "unknown"), (5, 0.9, "ok"), (5, 1.1, "unknown"), (240, 10.4, "ok"),
])  # fmt: skip
def test_three_steps_or_an_hour_without_a_sample_are_still_now(
    metrics, collected_from, step_minutes, hours, verdict
):
    metrics.samples["aks-1", "used"] = [(labels("web"), until(hours, 2.0))]
    found = verdicts(collected_from(step_minutes=step_minutes)).loc["web", "verdict"]
    assert found.partition(":")[0] == verdict


def test_a_quota_that_took_the_place_of_another_is_the_one_that_counts(metrics, collected_from):
    metrics.samples["aks-1", "hard"] += [(labels("web", name="before"), until(50, 2.0))]
    metrics.samples["aks-1", "used"] += [(labels("web", name="before"), until(50, 2.0))]
    snapshot = collected_from()
    assert verdicts(snapshot).loc["web", "verdict"] == "ok"
    assert snapshot.commitments["aks-1"]["cpu"].committed == 5


def test_a_counter_that_stopped_while_its_quota_is_shown_is_unknown_since_then(
    metrics, collected_from
):
    metrics.samples["aks-1", "used"] = [(labels("web"), until(10, 2.0))]
    found = verdicts(collected_from()).loc["web", "verdict"]
    assert found == "unknown: no sample since 1 Nov 20:00 UTC"


def test_a_peak_of_the_step_under_way_is_a_peak(metrics, collected_from):
    metrics.samples["aks-1", "latest"] = [(labels("web"), always(3.9)), (labels("gone"), always(1))]
    found = verdicts(collected_from())
    assert (found.loc["web", "peak_used"], found.loc["web", "used"]) == (3.9, 3.0)
    assert found.loc["web", "peak_utc"] == NOW
    assert found.loc["gone", "peak_used"] == 1.5


def test_what_float32_rounds_down_is_no_new_peak(metrics, collected_from):
    size, memory = 123_456_784_000.0, labels("web", "requests.memory")
    assert size > float(np.float32(size))
    metrics.samples["aks-1", "hard"].append((memory, always(2 * size)))
    metrics.samples["aks-1", "used"].append((memory, always(size)))
    table = utilization_of(collected_from()).set_index(["namespace_name", "resource"])
    found = table.loc[("web", "memory_request")]
    assert found["used"] == size
    assert found["peak_utc"] == datetime(2026, 10, 30, 7, tzinfo=UTC)


def test_nodes_and_requests_give_what_the_cluster_has_promised(collected_from):
    """Quotas of 4 and 1 on 12 cores; pods ask for 3 + 0.5; the larger node has 8."""
    snapshot = collected_from()
    cpu = commitment_table(snapshot).set_index("resource").loc["cpu"]
    assert (cpu["allocatable"], cpu["without_largest_node"]) == (12, 4)
    assert (cpu["committed"], cpu["requested"], cpu["uncounted"]) == (5, 3.5, 1)
    assert cpu["autoscaled_verdict"] == "unknown: metrics do not say"
    assert snapshot.unread["aks-1", "workloads"] == "metrics do not say"
    assert snapshot.pods == {}
    assert list(snapshot.remembered) == ["aks-1"]


def test_without_nodes_the_commitment_is_unknown_and_never_zero(metrics, collected_from):
    del metrics.samples["aks-1", "nodes"]
    table = commitment_table(collected_from())
    assert set(table["verdict"]) == {"unknown: no recent samples of nodes"}
    assert table[["allocatable", "requested", "headroom"]].isna().all().all()


def test_series_without_a_cluster_label_are_one_cluster_that_says_so(metrics, collected_from):
    metrics.samples = {("", kind): found for (_, kind), found in metrics.samples.items()}
    snapshot = collected_from()
    assert set(snapshot.namespaces["cluster_name"]) == {UNNAMED}
    assert snapshot.commitments.keys() == {UNNAMED}
    assert verdicts(collected_from(UNNAMED)).loc["web", "used"] == 3.0


def test_clusters_are_named_by_name_or_id_and_an_odd_name_is_only_a_name(metrics, collected_from):
    odd = 'prod "west"\\'
    metrics.samples |= {(odd, kind): found for (_, kind), found in metrics.samples.items()}
    by_id = str(ClusterId("s", "rg", "aks-1"))
    assert set(collected_from(by_id).namespaces["resource_group"]) == {"rg"}
    snapshot = collected_from("aks-1", "missing")
    assert snapshot.unreachable == {"missing": "no samples"}
    assert "No history of missing (no samples)" in snapshot.history_note
    with pytest.raises(ConfigError, match="metrics know names only"):
        collected_from(by_id, str(ClusterId("s", "other", "aks-1")))
    with pytest.raises(ConfigError, match=r"clusters: .* is not the ARM id"):
        collected_from("/subscriptions/s/resourceGroups/g")


def test_a_cluster_whose_queries_fail_spoils_no_other(metrics, collected_from):
    metrics.samples |= {("aks-2", kind): found for (_, kind), found in metrics.samples.items()}
    metrics.metrics_error["aks-2"] = PrometheusError("the server is tired")
    snapshot = collected_from()
    assert snapshot.unreachable == {"aks-2": "query failed"}
    assert snapshot.errors == {"aks-2": "the server is tired"}
    assert verdicts(snapshot).loc["web", "verdict"] == "ok"


def test_an_endpoint_without_these_metrics_is_an_error_not_an_empty_report(metrics, collected_from):
    metrics.samples = {}
    with pytest.raises(ConfigError, match="holds neither kube_resourcequota nor"):
        collected_from()


def test_clusters_are_looked_for_over_the_whole_lookback(metrics, collected_from):
    collected_from(lookback_days=70)
    asked = [(s, e) for query, s, e, _ in metrics.queries if query.startswith("count by (cluster")]
    assert max(end for _, end in asked) - min(start for start, _ in asked) > timedelta(days=69)
    assert all(end - start < timedelta(days=32) for start, end in asked)


ID = "00000000-0000-4000-8000-00000000a001"


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"inventory": "metrics"}, ["inventory"]),
        ({"subscription_ids": ["s"]}, ["subscription_ids"]),
        ({"subscription_ids": ["s"], "snapshot_run": ""}, ["subscription_ids"]),
        ({"history": "none"}, ["prometheus_endpoint"]),
        ({"target": "azure"}, ["prometheus_endpoint"]),
        ({"inventory": "azure", "subscription_ids": [ID], "history": "none"}, []),
    ],
)
def test_metrics_alone_are_not_asked_what_they_cannot_answer(asked, refused):
    given = {"target": "sandbox", "inventory": "history", "history": "auto", **asked}
    assert list(refused_values(given)) == refused
