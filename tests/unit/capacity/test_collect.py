"""What is read of a fleet, and what becomes of what cannot be read."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from mnslib.capacity.clusters import PLACEMENT_COLUMNS, commitment_table
from mnslib.capacity.layers import absent_owner
from mnslib.capacity.tables import Tables
from mnslib.capacity.utilization import tightest, verdict_counts
from mnslib.errors import (
    ArmForbiddenError,
    ArmUnreachableError,
    AuthError,
    ConfigError,
    KubeError,
    KubeUnreachableError,
    PrometheusError,
)
from mnslib.kube_models import Autoscaler, Event, KubernetesNamespace, LimitRange, Workload
from mnslib.models import MANAGED_QUOTA_NAME
from mnslib.secrets import HIDDEN
from mnslib.show.show import evidence_read, show
from mnslib.show.views import reading_checks
from tests.tables import daily_of, utilization_of

NO_PLACES = pd.DataFrame(columns=list(PLACEMENT_COLUMNS))
NOW = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)


def quota_labels(namespace, resource="requests.cpu", name="defaultresourcequota"):
    return {"namespace": namespace, "resourcequota": name, "resource": resource}


@pytest.fixture
def small_world(world, make_quota, make_pod, make_node):
    """One cluster: two managed namespaces, one with its own quota, one with pods, one idle."""
    hard, used = {"requests.cpu": "4"}, {"requests.cpu": "2"}
    default = "defaultresourcequota"
    world.managed["aks-1"] = ["web", "fresh"]
    world.kube["aks-1"] = {
        "namespaces": [
            KubernetesNamespace(name=name, labels={"owner": f"team-{name}"})
            for name in ("web", "fresh", "own-quota", "busy", "idle", "finished", "kube-system")
        ],
        "quotas": [
            make_quota("web", hard, used, name=default),
            make_quota("own-quota", hard, {"requests.cpu": "0"}),
            make_quota("kube-system", hard, used),
        ],
        "pods": [
            make_pod("web", cpu="2"),
            make_pod("busy", cpu="1"),
            make_pod("kube-system", cpu="0.5"),
            make_pod("finished", cpu="7", phase="Succeeded"),
        ],
        "nodes": [make_node("n1"), make_node("n2", cpu="4")],
    }
    return world


def test_labels_are_kept_in_one_text_and_secrets_in_them_hidden(small_world, collected):
    token = "x8K2pQ9zR4mT7vB1nC6dF3gH5jL0wS8eY2uA4iO9"
    labels = {"owner": "web", "cost-center": "4711", "app.kubernetes.io/part-of": "shop"}
    small_world.kube["aks-1"]["namespaces"][:2] = [
        KubernetesNamespace(name="web", labels=labels),
        KubernetesNamespace(name="fresh", labels={"password": token}),
    ]

    found = collected().namespaces.set_index("namespace_name")["labels"]

    assert found["web"] == "app.kubernetes.io/part-of=shop,cost-center=4711,owner=web"
    assert found["fresh"] == f"password={HIDDEN}"
    assert found["own-quota"] == "owner=team-own-quota"


def test_namespaces_are_the_managed_ones_and_others_with_a_quota_or_pods(small_world, collected):
    spaces = collected().namespaces

    found = dict(zip(spaces["namespace_name"], spaces["is_managed"], strict=True))
    assert found == {"busy": False, "fresh": True, "own-quota": False, "web": True}
    assert spaces["owner"].tolist() == ["team-busy", "team-fresh", "team-own-quota", "team-web"]
    assert spaces["resource_group"].unique().tolist() == ["rg-platform"]


def test_a_managed_namespace_without_a_quota_object_is_unknown_not_empty(small_world, collected):
    table = utilization_of(collected()).set_index(["namespace_name", "resource"])

    assert table.loc[("fresh", "cpu_request"), "verdict"] == "unknown: no quota"
    assert table.loc[("web", "cpu_request"), "verdict"] == "ok"


def test_a_quota_that_azure_holds_and_the_cluster_does_not_show_yet_is_kept(
    small_world, collected, make_quota
):
    shown = make_quota("web", {"requests.cpu": "4", "limits.cpu": "8"}, {}, MANAGED_QUOTA_NAME)
    small_world.kube["aks-1"]["resource_quotas"] = [shown]
    held = {"cpu_request": Decimal(9), "cpu_limit": Decimal(8), "memory_limit": Decimal(1)}
    small_world.granted = {"web": held}
    assert collected().granted == {("aks-1", "web"): {"cpu_request": 9}}


def test_the_commitment_counts_the_whole_cluster(small_world, collected):
    """Three quotas of 4 on 12 cores; pods ask for 2 + 1 + 0.5; the larger node has 8."""
    found = collected().commitments["aks-1"]["cpu"]

    assert (found.allocatable, found.without_largest_node) == (Decimal(12), Decimal(4))
    assert (found.committed, found.requested) == (Decimal(12), Decimal("3.5"))


def test_subscriptions_are_listed_once_unless_clusters_are_named(small_world, collected):
    collected(subscription_ids=["SUB-1", "sub-1"])
    assert small_world.subscription_ids == ["sub-1"]

    twice = [small_world.cluster_id("AKS-1"), small_world.cluster_id("aks-1")]
    snapshot = collected(clusters=twice)

    assert small_world.subscription_ids == ["sub-1"]
    assert list(snapshot.quotas) == ["aks-1"]
    assert all('cluster="aks-1"' in query for query, *_ in small_world.queries)


def test_nothing_to_analyze_is_an_error_not_an_empty_report(world, collected):
    with pytest.raises(ConfigError, match="No cluster to analyze"):
        collected(subscription_ids=[])


def test_two_clusters_of_one_name_stay_apart_and_share_no_history(small_world, collected):
    small_world.samples["aks-1", "used"] = [(quota_labels("web"), lambda at: 3)]
    here = small_world.cluster_id("aks-1")
    there = type(here)(here.subscription_id, "rg-other", "AKS-1")

    snapshot = collected(clusters=[here, there])

    names = {"rg-platform/aks-1", "rg-other/aks-1"}
    assert set(snapshot.quotas) == set(snapshot.commitments) == names
    assert set(commitment_table(snapshot)["cluster_name"]) == names
    table = utilization_of(snapshot)
    assert table.groupby("cluster_name")["used"].sum().nunique() == 1
    assert table["peak_used"].isna().all()
    assert "rg-other/aks-1 (metrics know clusters by name only" in snapshot.history_note


@pytest.mark.parametrize(("hours", "day"), [(1, date(2026, 11, 2)), (30, None)])
def test_a_namespace_without_samples_is_new_for_a_day(small_world, collected, hours, day):
    names = small_world.kube["aks-1"]["namespaces"]
    made = NOW - timedelta(hours=hours)
    small_world.kube["aks-1"]["namespaces"] = [replace(n, created_utc=made) for n in names]
    small_world.samples["aks-1", "used"] = [(quota_labels("web"), lambda at: 3)]
    snapshot = collected()
    daily = daily_of(snapshot).set_index("namespace_name")
    assert daily.loc["own-quota", "first_seen"] == day
    assert daily.loc["web", "first_seen"] is not None


def test_a_cluster_name_unfit_for_a_query_is_refused_before_anything_is_read(world, collected):
    with pytest.raises(ConfigError, match="cannot be the name"):
        collected(clusters=[world.cluster_id('x"} or up{a="')])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KubeUnreachableError("no route to https://aks-2"), "cluster not reachable"),
        (ArmUnreachableError("timed out"), "Azure not reachable"),
        (KubeError("resourcequotas is forbidden", status=403), "no permission"),
        (ArmForbiddenError("no listClusterUserCredential", status=403), "no permission"),
        (KubeError("gone", status=404), "cluster not found"),
        (KubeError("odd " * 100, status=500), ("odd " * 20)[:79] + "…"),
    ],
)
def test_a_cluster_that_cannot_be_read_leaves_its_namespaces_unknown_and_the_rest_whole(
    small_world, collected, error, reason
):
    small_world.managed["aks-2"] = ["shop"]
    small_world.kube["aks-2"] = error

    snapshot = collected()
    table = utilization_of(snapshot)

    assert snapshot.unreachable == {"aks-2": reason}
    assert snapshot.errors["aks-2"] == str(error)
    shop = table[table["namespace_name"] == "shop"]
    assert set(shop["verdict"]) == {f"unknown: {reason}"}
    assert shop["used"].isna().all()
    assert set(shop["owner"]) == {"arm-shop"}
    assert verdict_counts(tightest(table))["ok"] == 2
    clusters = commitment_table(snapshot).set_index(["cluster_name", "resource"])
    assert clusters.loc[("aks-2", "cpu"), "verdict"] == f"unknown: {reason}"
    assert clusters.loc[("aks-1", "cpu"), "verdict"] != f"unknown: {reason}"


def test_a_credential_that_fails_ends_the_run(small_world, collected):
    small_world.kube["aks-1"] = AuthError("no token")

    with pytest.raises(AuthError):
        collected()


def test_a_stopped_cluster_is_not_even_asked(small_world, collected):
    small_world.stopped.add("aks-1")
    del small_world.kube["aks-1"]

    snapshot = collected()

    assert snapshot.unreachable == {"aks-1": "cluster is stopped"}
    assert set(snapshot.namespaces["namespace_name"]) == {"web", "fresh"}


def test_unreadable_nodes_cost_the_commitment_but_not_the_quotas(small_world, collected):
    small_world.kube["aks-1"]["nodes"] = KubeError("nodes is forbidden", status=403)

    snapshot = collected()

    assert snapshot.unreachable == {}
    assert snapshot.no_commitment == {"aks-1": "no permission"}
    assert snapshot.errors == {"aks-1": "nodes is forbidden"}
    assert commitment_table(snapshot).loc[0, "verdict"] == "unknown: no permission"
    assert verdict_counts(tightest(utilization_of(snapshot)))["ok"] == 2
    assert "busy" in set(snapshot.namespaces["namespace_name"])


def test_the_history_comes_out_by_cluster_namespace_and_quota_key(
    small_world, collected, hours_before_now
):
    small_world.samples = {
        ("aks-1", "used"): [
            (quota_labels("web"), lambda at: 3.5 if hours_before_now(at) == 5 else 1.5),
            (quota_labels("kube-system", name="team-quota"), lambda at: 1.0),
            (quota_labels("idle"), lambda at: 1.0),
        ],
        ("aks-1", "hard"): [(quota_labels("web"), lambda at: 4.0)],
        ("aks-1", "cpu"): [({"namespace": "web"}, lambda at: 0.5)],
        ("aks-1", "memory"): [({"namespace": "kube-system"}, lambda at: 1e9)],
    }

    snapshot = collected()
    row = (
        utilization_of(snapshot)
        .set_index(["namespace_name", "resource"])
        .loc[("web", "cpu_request")]
    )

    assert snapshot.used.columns.tolist() == [("aks-1", "web", "requests.cpu")]
    assert snapshot.used.shape == (48, 1)
    assert str(snapshot.used.dtypes.iloc[0]) == "float32"
    assert (row["peak_used"], row["peak_utc"].hour) == (3.5, 1)
    assert snapshot.usage_memory.columns.tolist() == [("aks-1", "kube-system")]
    assert commitment_table(snapshot).loc[0, "usage"] == 0.5
    assert snapshot.history_note == "2 days, one sample every hour."
    assert [step for *_, step in small_world.queries] == [3600] * 7


def test_the_history_of_several_quotas_is_that_of_the_one_that_counts_now(
    small_world, collected, make_quota
):
    small_world.kube["aks-1"]["quotas"] += [
        make_quota("web", {"cpu": "3"}, {"cpu": "2"}, name="extra")
    ]
    small_world.samples[("aks-1", "used")] = [
        (quota_labels("web"), lambda at: 1.0),
        (quota_labels("web", "cpu", "extra"), lambda at: 2.75),
    ]

    snapshot = collected()

    assert snapshot.used[("aks-1", "web", "requests.cpu")].unique().tolist() == [2.75]


def test_an_unreachable_cluster_keeps_its_history_and_names_what_only_that_knows(
    small_world, collected, hours_before_now
):
    small_world.kube["aks-1"] = KubeUnreachableError("no route")
    small_world.samples = {
        ("aks-1", "used"): [
            (quota_labels("web"), lambda at: 3.0),
            (quota_labels("own-quota", name="team-quota"), lambda at: 1.0),
        ],
        ("aks-1", "hard"): [
            (quota_labels("web"), lambda at: 4.0),
            (quota_labels("own-quota", name="team-quota"), lambda at: 2.0),
            (quota_labels("gone"), lambda at: 4.0 if hours_before_now(at) > 30 else None),
        ],
    }

    snapshot = collected()
    table = utilization_of(snapshot)
    cpu = table[table["resource"] == "cpu_request"].set_index("namespace_name")

    assert cpu["is_managed"].to_dict() == {"fresh": True, "own-quota": False, "web": True}
    assert cpu["peak_used"].dropna().to_dict() == {"own-quota": 1.0, "web": 3.0}
    assert set(table["verdict"]) == {"unknown: cluster not reachable"}
    assert cpu["utilization_ratio"].isna().all()
    daily = daily_of(snapshot).set_index("namespace_name")
    assert daily.iloc[:, -1].dropna().to_dict() == {"own-quota": 0.5, "web": 0.75}


def test_where_azure_lists_nothing_the_default_quota_marks_a_managed_namespace(
    small_world, collected
):
    small_world.managed["aks-1"] = ArmForbiddenError("no read", status=403)
    small_world.samples[("aks-1", "hard")] = [
        (quota_labels("web"), lambda at: 4.0),
        (quota_labels("own-quota", name="team-quota"), lambda at: 2.0),
    ]

    spaces = collected().namespaces

    found = dict(zip(spaces["namespace_name"], spaces["is_managed"], strict=True))
    assert found == {"web": True, "own-quota": False}


def test_without_prometheus_there_is_no_history_and_no_query(small_world, collected):
    snapshot = collected(prometheus=None)

    assert snapshot.history_note == "No history asked for."
    assert snapshot.used.empty
    assert small_world.queries == []
    assert utilization_of(snapshot)["peak_used"].isna().all()


def test_a_history_that_fails_or_is_empty_is_named_and_the_rest_is_kept(
    small_world, collected, make_quota
):
    for name in ("aks-2", "aks-3"):
        small_world.managed[name] = ["web"]
        small_world.kube[name] = {
            "quotas": [make_quota("web", {"requests.cpu": "4"}, {"requests.cpu": "1"})]
        }
    small_world.metrics_error["aks-2"] = PrometheusError("query refused")
    small_world.samples[("aks-1", "used")] = [(quota_labels("web"), lambda at: 3.0)]

    snapshot = collected(step_minutes=30)
    peaks = utilization_of(snapshot).query("resource == 'cpu_request'")

    assert snapshot.history_note == (
        "2 days, one sample every 30 minutes. "
        "No history of aks-2 (query failed), aks-3 (no samples)."
    )
    assert snapshot.no_history == {"aks-2": "query failed", "aks-3": "no samples"}
    assert snapshot.errors == {"aks-2": "query refused"}
    assert snapshot.unreachable == {}
    web = peaks[peaks["namespace_name"] == "web"].set_index("cluster_name")["peak_used"]
    assert web["aks-1"] == 3.0
    assert math.isnan(web["aks-2"])
    assert math.isnan(web["aks-3"])


def test_a_lost_history_is_said_once_for_all_clusters_it_was_lost_of(small_world, collected):
    for name in ("aks-2", "aks-3"):
        small_world.managed[name], small_world.kube[name] = ["web"], {}
        small_world.metrics_error[name] = PrometheusError(f'up{{cluster="{name}"}}: no answer')
    small_world.samples[("aks-1", "used")] = [(quota_labels("web"), lambda at: 3.0)]
    snapshot = collected()

    table, box = evidence_read(snapshot)
    (check,) = reading_checks(snapshot, [], NO_PLACES)

    read = {row[0]: str(row[-1]) for row in table.rows}
    assert read == {
        "aks-1": "✓ passed", "aks-2": "? unknown: query failed", "aks-3": "? unknown: query failed"
    }  # fmt: skip
    assert box.text == 'aks-2, aks-3: up{cluster="…"}: no answer'
    assert check.name == "no history of 2 clusters"
    assert check.detail == "query failed (aks-2, aks-3)."


def test_an_owner_label_that_nobody_has_is_told_with_those_that_there_are(small_world, collected):
    """Label keys are case-sensitive: `owner` is there, `Owner` is another."""
    snapshot = collected(owner_label="Owner", prometheus=None)
    found = absent_owner(snapshot, "Owner")
    assert found == {"asked": "Owner", "there": ["owner"]}
    (check,) = reading_checks(snapshot, [], NO_PLACES, owner=found)
    assert check.detail == (
        "No namespace has the label Owner (owner_label), so that no owner is known; "
        "labels that there are: owner."
    )
    tables = Tables(snapshot, owner_label="Owner")
    assert check.detail in repr(show(tables, "efficiency"))
    assert absent_owner(collected(prometheus=None), "owner") == {}


@pytest.mark.parametrize("labels", [("AKS-1",), ("AKS-1", "aks-1"), ("Aks-1", "AKS-1")])
def test_a_cluster_whose_label_differs_in_case_is_one_cluster(small_world, collected, labels):
    for number, label in enumerate(labels):
        series = quota_labels("web") | {"resourcequota": f"q{number}"}
        small_world.samples[label, "used"] = [(series, lambda at: 3.0)]
        small_world.samples[label, "hard"] = [(series, lambda at: 4.0)]
    snapshot = collected()

    assert snapshot.no_history == {}
    assert set(snapshot.namespaces["cluster_name"]) == {"aks-1"}
    others = " and ".join(sorted(set(labels) - {"aks-1"}))
    assert f"aks-1 is {others} in the metrics." in snapshot.history_note
    is_one = len(labels) == 1
    wanted = f'cluster="{labels[0]}"' if is_one else f'cluster=~"{"|".join(sorted(labels))}"'
    assert any(wanted in text for text in small_world.texts)


def test_a_namespace_that_the_scrape_renamed_is_never_the_scrapers(small_world, collected):
    small_world.samples["aks-1", "used"] = [(quota_labels("web"), lambda at: 3.0)]
    small_world.renamed = {"aks-1"}
    snapshot = collected()

    assert "Metrics of aks-1 have the namespace in exported_namespace" in snapshot.history_note
    asked = [text for text in small_world.texts if " by (namespace" in text]
    assert asked
    assert all('"exported_namespace", "(.+)"' in text for text in asked)
    assert snapshot.peak_times == {}


def test_no_history_is_missed_where_none_was_asked_for(small_world, collected):
    snapshot = collected(prometheus=None)

    assert reading_checks(snapshot, [], NO_PLACES) == []
    assert evidence_read(snapshot)[0].rows[0][-1] is None


def test_a_value_measured_between_whole_steps_is_not_asked_for(small_world, collected, now):
    collected(now=now.replace(minute=59))

    assert {end for _, _, end, _ in small_world.queries} == {now}


LISTS = ("pods", "nodes", "limit_ranges", "workloads", "autoscalers", "events")


@pytest.fixture
def make_lists(make_pod):
    """One object of each kind that is read besides quotas, pods and nodes."""

    def make():
        workload = Workload(
            kind="Deployment",
            namespace_name="web",
            name="web",
            replicas=2,
            template=make_pod("web"),
        )
        scaled = {"workload_kind": "Deployment", "workload_name": "web"}
        about = {"object_kind": "ReplicaSet", "object_name": "web-1"}
        return {
            "limit_ranges": [LimitRange(namespace_name="web", name="defaults")],
            "workloads": [workload],
            "autoscalers": [
                Autoscaler(namespace_name="web", name="web", least=1, most=3, current=2, **scaled)
            ],
            "events": [Event(namespace_name="web", reason="FailedCreate", message="no", **about)],
        }

    return make


def test_each_kind_is_listed_by_cluster(small_world, collected, make_lists):
    small_world.kube["aks-1"] |= make_lists()

    found = collected()

    for kind in LISTS:
        assert getattr(found, kind) == {"aks-1": small_world.kube["aks-1"][kind]}
    assert found.unread == {}


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "no permission"), (404, "not served by this cluster")]
)
@pytest.mark.parametrize("unread", LISTS)
def test_a_kind_that_may_not_be_read_spoils_no_other(
    small_world, collected, make_lists, unread, status, reason
):
    small_world.kube["aks-1"] |= make_lists() | {unread: KubeError("no such luck", status=status)}

    found = collected()

    assert found.unread == {("aks-1", unread): reason}
    assert [kind for kind in LISTS if not getattr(found, kind)] == [unread]
    assert found.errors == {"aks-1": "no such luck"}
    assert ("aks-1" in found.no_commitment) == (unread in ("pods", "nodes"))
    assert found.quotas["aks-1"][0].namespace_name == "web"


def test_a_cluster_that_falls_silent_is_not_asked_for_each_further_kind(
    small_world, collected, make_lists
):
    gone = KubeUnreachableError("no answer")
    small_world.kube["aks-1"] |= make_lists() | {"workloads": gone, "autoscalers": gone}

    found = collected()

    kinds = ("workloads", "autoscalers", "events", "runtime_classes")
    assert found.unread == {("aks-1", kind): "cluster not reachable" for kind in kinds}
    assert found.errors == {"aks-1": "no answer"}
    assert len(found.limit_ranges["aks-1"]) == 1


def test_an_object_that_is_set_apart_is_told_and_spoils_nothing(small_world, collected, make_lists):
    odd = {"Pod": ["Pod web/odd ('?' is not a quantity)"], "Node": []}
    small_world.kube["aks-1"] |= make_lists() | {"set_apart": odd}

    found = collected()

    told = "not read, and counted nowhere: Pod web/odd ('?' is not a quantity)"
    assert found.errors == {"aks-1": told}
    assert found.unread == {}
    assert "aks-1" in found.commitments


def test_runtime_classes_are_read_where_a_template_names_one(small_world, collected, make_lists):
    kata = {"kata": {"cpu": Decimal("0.25")}}
    lists = make_lists()
    small_world.kube["aks-1"] |= lists | {"runtime_classes": kata}
    assert collected().runtime_classes == {"aks-1": {}}

    (workload,) = lists["workloads"]
    named = replace(workload, template=replace(workload.template, runtime_class="kata"))
    small_world.kube["aks-1"]["workloads"] = [named]
    assert collected().runtime_classes == {"aks-1": kata}
    small_world.kube["aks-1"]["runtime_classes"] = KubeError("no", status=403)
    assert collected().unread == {("aks-1", "runtime_classes"): "no permission"}


def test_safeguards_are_kept_where_a_cluster_enforces_them(small_world, collected, make_lists):
    small_world.kube["aks-1"] |= make_lists()
    assert collected().safeguards == {}
    small_world.safeguards = ["kube-system"]
    assert collected().safeguards == {"aks-1": ["kube-system"]}
    small_world.safeguards = ArmForbiddenError("no", status=403)
    assert collected().unread == {("aks-1", "safeguards"): "no permission"}
