"""Claims of docs/capacity.md on what still fits; the worked examples there are the numbers here."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pandas as pd
import pytest

from mnslib.capacity.clusters import FreeNodes, PodSize
from mnslib.capacity.fit import FIT_COLUMNS, QUESTIONS, fit_table
from mnslib.capacity.quota_values import SPACE
from mnslib.errors import ConfigError
from mnslib.kube_models import Autoscaler, Container, LimitRange, Pod, Scope, Workload
from mnslib.pods import charge
from tests.tables import utilization_of

GIB = 2**30
HARD = {
    "requests.cpu": "4", "limits.cpu": "8", "requests.memory": 8 * GIB, "limits.memory": 8 * GIB,
}  # fmt: skip
USED = {
    "requests.cpu": "3", "limits.cpu": "6", "requests.memory": 3 * GIB, "limits.memory": 3 * GIB,
}  # fmt: skip
NO_DOUBT = pd.DataFrame(columns=[*SPACE, "verdict"])
"""A table of utilization that calls nothing unknown."""


def make_template(cpu="1", *, limit="2", memory=GIB, namespace="web") -> Pod:
    requests = {"cpu": Decimal(cpu), "memory": Decimal(memory)}
    limits = {"cpu": Decimal(limit), "memory": Decimal(memory)}
    container = Container(requests=requests, limits=limits)
    return Pod(namespace_name=namespace, name="", phase="Pending", containers=(container,))


def make_workload(
    name="web", kind="Deployment", *, template=None, replicas=3, surge=1, missing=0, **more
) -> Workload:
    template = template or make_template()
    return Workload(
        kind=kind, namespace_name="web", name=name, replicas=replicas, template=template,
        surge=surge, running=replicas - missing, **more,
    )  # fmt: skip


def make_scaler(name="web", *, most=6, current=3) -> Autoscaler:
    return Autoscaler(
        namespace_name="web", name=f"{name}-hpa", workload_kind="Deployment", workload_name=name,
        least=1, most=most, current=current,
    )  # fmt: skip


@pytest.fixture
def fleet(make_quota, make_snapshot, make_node):
    """One namespace `web` on `aks-1` with 3 of 4 cores requested, and two nodes of 8 cores."""

    def make(workloads=(), *, autoscalers=(), ranges=(), nodes=None, pods=(), **changes):
        one = make_node("node-1", memory=str(32 * GIB))
        quotas = changes.pop("quotas", [make_quota("web", HARD, USED)])
        said = {
            "nodes": {"aks-1": [one, replace(one, name="node-2")] if nodes is None else nodes},
            "pods": {"aks-1": list(pods)},
            "workloads": {"aks-1": list(workloads)},
            "autoscalers": {"aks-1": list(autoscalers)},
            "limit_ranges": {"aks-1": list(ranges)},
        }
        return make_snapshot(
            {"aks-1": quotas}, more_namespaces=[("aks-1", "web")], **{**said, **changes}
        )

    return make


def table_of(snapshot, *, utilization=NO_DOUBT, **sizes):
    return fit_table(snapshot, utilization=utilization, **sizes)


def answer(snapshot, question, workload="", **sizes):
    table = table_of(snapshot, **sizes)
    found = table[(table["question"] == question) & (table["workload_name"] == workload)]
    assert len(found) == 1
    return found.iloc[0]


TWO = (make_workload(), make_workload("api", template=make_template("0.5", limit="1")))


def test_the_next_pod_fits_until_the_quota_is_exactly_full(fleet):
    row = answer(fleet(TWO), "next_pod", "web")

    assert (row["verdict"], row["pods"], row["pod_cpu"]) == ("yes", 1, 1.0)
    assert row["left_cpu_request"] == 0.0  # 4 - 3 - 1
    assert row["left_cpu_limit"] == 0.0  # 8 - 6 - 2
    assert row["left_memory_request"] == 4 * GIB
    assert math.isnan(row["left_pods"])  # no quota on their number
    assert (row["fits_quota"], row["fits_nodes"]) == (1, 16)


def test_a_quota_on_something_else_and_a_wider_one_limit_no_pod(fleet, make_quota):
    other = make_quota("web", {"services": 1, "requests.cpu": "9"}, {"services": 1}, name="other")
    other = replace(other, used={"services": Decimal(1), "requests.cpu": Decimal(3)})
    row = answer(fleet(TWO, quotas=[make_quota("web", HARD, USED), other]), "next_pod", "web")

    assert (row["verdict"], row["left_cpu_request"]) == ("yes", 0.0)


def test_all_updates_at_once_need_the_surge_of_each_together(fleet):
    snapshot = fleet(TWO)

    assert answer(snapshot, "rolling_update")["verdict"] == "yes"
    row = answer(snapshot, "all_rolling_updates")
    assert (row["verdict"], row["reason"], row["pods"]) == ("no", "quota", 2)
    assert row["left_cpu_request"] == -0.5  # 4 - 3 - 1 - 0.5
    assert row["left_cpu_limit"] == -1.0
    assert row["tightest"] == "cpu_request"  # -0.5 of 4 and -1 of 8: an eighth each, the first


def test_an_autoscaler_needs_the_pods_from_now_to_its_maximum(fleet):
    row = answer(fleet(TWO, autoscalers=[make_scaler()]), "autoscaler_maximum")

    assert (row["verdict"], row["pods"], row["left_cpu_request"]) == ("no", 3, -2.0)  # 1 - 3
    assert row["decided_by"] == "Deployment web"
    at_its_most = fleet(TWO, autoscalers=[make_scaler(most=3)])
    assert answer(at_its_most, "autoscaler_maximum")["verdict"] == "yes"


def test_two_autoscalers_are_asked_together(fleet):
    scalers = [make_scaler(most=4), make_scaler("api", most=4)]
    snapshot = fleet(TWO, autoscalers=scalers)

    assert answer(snapshot, "autoscaler_maximum", "web")["verdict"] == "yes"
    assert answer(snapshot, "autoscaler_maximum", "api")["verdict"] == "yes"
    row = answer(snapshot, "autoscaler_maximum")
    assert (row["verdict"], row["left_cpu_request"]) == ("no", -0.5)


def test_an_update_that_first_stops_a_pod_needs_no_room_but_a_kept_quota(fleet, make_quota):
    replaced = (make_workload(surge=0),)
    row = answer(fleet(replaced), "rolling_update", "web")
    assert (row["verdict"], row["pods"], row["left_cpu_request"]) == ("yes", 0, 1.0)

    lowered = [make_quota("web", HARD, {**USED, "requests.cpu": "5"})]
    row = answer(fleet(replaced, quotas=lowered), "rolling_update", "web")
    assert (row["verdict"], row["left_cpu_request"]) == ("no", -1.0)


FULL = {**USED, "requests.cpu": "4"}
OVER = {**USED, "requests.cpu": "5.5"}


@pytest.mark.parametrize(
    ("changes", "used", "verdict", "reason"),
    [
        # neither a new pod is let in, nor may an old one go
        ({"unavailable": 0}, FULL, "no", "quota"),
        # an old one goes first, which makes room
        ({"unavailable": 1}, FULL, "yes", "in steps"),
        ({"surge": 2, "unavailable": 0}, USED, "yes", "in steps"),  # room for one of two
        # one is missing already, so no other may go
        ({"unavailable": 1, "missing": 1}, FULL, "no", "quota"),
        ({"unavailable": 2, "missing": 1}, FULL, "yes", "in steps"),
        # the missing pod takes what room there is
        ({"unavailable": 0, "missing": 1}, USED, "no", "quota"),
        ({"unavailable": 1, "missing": 1}, USED, "yes", "in steps"),
        # the quota was lowered by one and a half pods: two have to go before one comes back
        ({"surge": 0, "unavailable": 1}, OVER, "no", "quota"),
        ({"surge": 0, "unavailable": 2}, OVER, "no", "quota"),
        ({"surge": 0, "unavailable": 3}, OVER, "yes", "in steps"),
        # under way: the pod beside the old ones is there
        ({"unavailable": 0, "missing": -1}, FULL, "yes", ""),
        # nothing is replaced
        ({"replicas": 0, "unavailable": 0}, OVER, "none", "nothing that rolls"),
        ({"kind": "StatefulSet", "surge": 0, "unavailable": 0}, OVER, "none", "nothing that rolls"),
        # a StatefulSet stops one first, but makes those that are missing before that
        ({"kind": "StatefulSet", "surge": 0, "unavailable": 1}, FULL, "yes", ""),
        ({"kind": "StatefulSet", "surge": 0, "unavailable": 1, "missing": 1}, FULL, "no", "quota"),
        ({"kind": "StatefulSet", "surge": 0, "unavailable": 2, "missing": 1}, FULL, "no", "quota"),
        ({"kind": "DaemonSet", "surge": 1, "unavailable": 0}, FULL, "no", "quota"),
        ({"kind": "DaemonSet", "surge": 0, "unavailable": 1}, FULL, "yes", ""),
        ({"kind": "DaemonSet", "surge": 0, "unavailable": 1, "missing": 1}, FULL, "no", "quota"),
        # of a run of before, which did not read what may be unavailable
        ({}, FULL, "no", "quota"),
        ({"surge": 0}, FULL, "yes", ""),
    ],
)
def test_an_update_is_stuck_where_no_pod_is_let_in_and_none_may_go(
    fleet, make_quota, changes, used, verdict, reason
):
    snapshot = fleet([make_workload(**changes)], quotas=[make_quota("web", HARD, used)])
    for name in ("web", ""):
        row = answer(snapshot, "rolling_update", name)
        assert (row["verdict"], row["reason"]) == (verdict, reason)
    assert answer(snapshot, "all_rolling_updates")["verdict"] == verdict


def test_an_update_whose_pods_find_no_node_goes_on_where_an_old_one_may_go(fleet, make_node):
    nodes = [make_node(cpu="0.5", memory=str(8 * GIB))]
    stuck, goes_on = (make_workload(str(most), unavailable=most) for most in (0, 1))
    snapshot = fleet([stuck, goes_on], nodes=nodes, quotas=[])
    row = answer(snapshot, "rolling_update", "0")
    assert (row["verdict"], row["reason"]) == ("no", "nodes")
    row = answer(snapshot, "rolling_update", "1")
    assert (row["verdict"], row["reason"], row["pods"]) == ("yes", "in steps", 0)
    assert answer(snapshot, "all_rolling_updates")["verdict"] == "no"


def test_the_next_run_of_a_cron_job_is_all_its_pods(fleet):
    nightly = make_workload("nightly", "CronJob", replicas=2, surge=0)
    snapshot = fleet([nightly])

    row = answer(snapshot, "next_pod", "nightly")
    assert (row["verdict"], row["pods"], row["left_cpu_request"]) == ("no", 2, -1.0)
    assert answer(snapshot, "rolling_update")["verdict"] == "none"


def test_whole_cluster_sums_lie_so_each_pod_needs_a_node(fleet, make_node):
    """Two nodes with 1.5 cores each: 3 in sum, but no pod of 2 cores, and two of 1."""
    nodes = [make_node(name, cpu="1.5", memory=str(8 * GIB)) for name in ("a", "b")]
    big = make_workload("big", template=make_template("2", limit="2"))

    row = answer(fleet([big, *TWO], nodes=nodes, quotas=[]), "next_pod", "big")

    assert (row["verdict"], row["reason"]) == ("no", "nodes")
    assert (row["unplaced_pods"], row["unplaced_cpu"]) == (1, 2.0)
    assert answer(fleet(TWO, nodes=nodes, quotas=[]), "next_pod", "web")["fits_nodes"] == 2


def test_what_is_short_of_both_says_both(fleet, make_node):
    nodes = [make_node(cpu="0.5", memory=str(8 * GIB))]
    row = answer(fleet(TWO, autoscalers=[make_scaler()], nodes=nodes), "autoscaler_maximum")
    assert (row["verdict"], row["reason"], row["unplaced_pods"]) == ("no", "quota and nodes", 3)


def test_of_several_quotas_the_one_that_leaves_least_decides(fleet, make_quota):
    second = make_quota("web", {"cpu": "3.5", "pods": "4"}, {"cpu": "3", "pods": "3"}, name="own")
    row = answer(fleet(TWO, quotas=[make_quota("web", HARD, USED), second]), "next_pod", "web")
    assert (row["verdict"], row["left_cpu_request"], row["left_pods"]) == ("no", -0.5, 0.0)


def test_a_pod_that_lacks_a_value_is_refused_unless_a_limit_range_gives_it(fleet):
    app = Container(name="app")
    bare = Pod(namespace_name="web", name="", phase="Pending", containers=(app,))
    workloads = [make_workload(template=bare)]
    row = answer(fleet(workloads), "next_pod", "web")
    assert row["verdict"] == "no"
    assert row["reason"] == (
        "failed quota: team-quota: must specify limits.cpu for: app; limits.memory for: app; "
        "requests.cpu for: app; requests.memory for: app"
    )

    given = {"cpu": Decimal("0.5"), "memory": Decimal(GIB)}
    default = LimitRange(
        namespace_name="web", name="l", default_requests=given, default_limits=given
    )
    row = answer(fleet(workloads, ranges=[default]), "next_pod", "web")
    assert (row["verdict"], row["pod_cpu"], row["left_cpu_request"]) == ("yes", 0.5, 0.5)

    unread = fleet(workloads, limit_ranges={}, unread={("aks-1", "limit_ranges"): "no permission"})
    assert answer(unread, "next_pod", "web")["verdict"] == "unknown: no permission"


def test_a_quota_with_scopes_holds_for_the_pods_that_it_counts(fleet, make_quota):
    spot = make_quota("web", {"pods": 3}, {"pods": 3}, name="batch")
    scope = Scope(name="PriorityClass", operator="In", values=("batch",))
    spot = replace(spot, is_scoped=True, scopes=(scope,))
    batch = make_workload("batch", template=replace(make_template(), priority_class="batch"))
    quotas = [make_quota("web", HARD, USED), spot]
    snapshot = fleet([make_workload(), batch], quotas=quotas)

    row = answer(snapshot, "next_pod", "web")
    assert (row["verdict"], row["fits_quota"]) == ("yes", 1)
    assert math.isnan(row["left_pods"])  # counts no pod of it
    row = answer(snapshot, "next_pod", "batch")
    assert (row["verdict"], row["reason"], row["tightest"]) == ("no", "quota", "pods")


def test_a_quota_on_what_is_no_column_of_the_table_refuses_too(fleet, make_quota):
    gpu = "requests.nvidia.com/gpu"
    template = make_template()
    asked = dict(template.containers[0].requests) | {"nvidia.com/gpu": Decimal(2)}
    template = replace(template, containers=(replace(template.containers[0], requests=asked),))
    quotas = [make_quota("web", HARD, USED), make_quota("web", {gpu: 4}, {gpu: 3}, name="gpus")]
    snapshot = fleet([make_workload(), make_workload("learn", template=template)], quotas=quotas)

    assert answer(snapshot, "next_pod", "web")["verdict"] == "yes"
    row = answer(snapshot, "next_pod", "learn")
    assert (row["verdict"], row["reason"]) == ("no", f"exceeds {gpu} of quota gpus")
    assert row["fits_quota"] == 0


def test_a_value_over_its_quota_refuses_only_who_needs_more_of_it(fleet, make_quota):
    lowered = make_quota("web", {"requests.cpu": "1"}, {"requests.cpu": "3"}, name="lowered")
    quotas = [make_quota("web", {"requests.memory": 8 * GIB}, {"requests.memory": 0}), lowered]
    snapshot = fleet([make_workload(template=make_template("0", limit="0"))], quotas=quotas)

    row = answer(snapshot, "next_pod", "web")
    assert (row["verdict"], row["left_cpu_request"]) == ("yes", -2.0)
    assert row["fits_quota"] == 8  # by memory


def test_the_overhead_of_a_runtime_class_joins_the_template(fleet):
    boxed = make_workload("boxed", template=replace(make_template("0.9"), runtime_class="kata"))
    kata = {"aks-1": {"kata": {"cpu": Decimal("0.25")}}}

    row = answer(fleet([boxed], runtime_classes=kata), "next_pod", "boxed")
    assert (row["verdict"], row["pod_cpu"], row["left_cpu_request"]) == ("no", 1.15, -0.15)
    unread = {("aks-1", "runtime_classes"): "no permission"}
    row = answer(fleet([boxed], unread=unread), "next_pod", "boxed")
    assert row["verdict"] == "unknown: no permission"
    assert answer(fleet(TWO, unread=unread), "next_pod", "web")["verdict"] == "yes"


def test_what_deployment_safeguards_give_a_pod_is_charged(fleet):
    """Of one that says nothing 500m and 2Gi; less than 100m and 100Mi is raised."""
    silent = replace(make_template(), containers=(Container(name="a"),))
    small = make_template("0.01", limit="0.01", memory=2**20)
    named = [make_workload("silent", template=silent), make_workload("small", template=small)]

    row = answer(fleet(named), "next_pod", "silent")
    assert (row["verdict"], row["pod_cpu"]) == ("no", 0)  # the quota wants all four said
    enforced = fleet(named, safeguards={"aks-1": ["other"]})
    row = answer(enforced, "next_pod", "silent")
    assert (row["verdict"], row["pod_cpu"], row["pod_memory"]) == ("yes", 0.5, 2 * GIB)
    row = answer(enforced, "next_pod", "small")
    assert (row["pod_cpu"], row["pod_memory"]) == (0.1, 100 * 2**20)
    left_out = fleet(named, safeguards={"aks-1": ["web"]})
    assert answer(left_out, "next_pod", "silent")["verdict"] == "no"
    unread = fleet(named, unread={("aks-1", "safeguards"): "no permission"})
    assert answer(unread, "next_pod", "silent")["verdict"] == "unknown: no permission"


def test_amounts_larger_than_any_number_blind_no_cluster(fleet, make_quota):
    huge = make_template("1e20", limit="1e30", memory="1e30")
    there = replace(huge, name="p", phase="Running", node_name="node-1")
    row = answer(fleet([*TWO, make_workload("huge", template=huge)], pods=[there]), "next_pod")
    assert (row["verdict"], row["decided_by"]) == ("no", "Deployment huge")
    row = answer(fleet(TWO, pods=[there]), "next_pod", "web")
    assert (row["verdict"], row["fits_nodes"]) == ("yes", 8)  # on the other node
    many = replace(make_scaler(most=2**31 - 1), current=0)
    other = make_scaler("api", most=2**31 - 1)
    snapshot = fleet(TWO, autoscalers=[many, other], quotas=[make_quota("web", {}, {})])
    assert answer(snapshot, "autoscaler_maximum")["verdict"] == "no"
    wide = make_quota("web", {"requests.memory": "1e30"}, {"requests.memory": 0})
    tiny = make_workload(template=make_template(memory="0.001"))
    assert answer(fleet([tiny], quotas=[wide]), "next_pod", "web")["fits_quota"] == 1e33


def test_how_many_pods_of_a_size_fit(fleet):
    """1 core free: one of the largest (1), two of the middle (0.5), four of a given 0.25."""
    workloads = [*TWO, make_workload("tiny", template=make_template("0.1", limit="0.1"))]
    size = {"pod_cpu": "250m", "pod_memory": "1Gi"}
    snapshot = fleet(workloads)

    assert answer(snapshot, "largest_pod", **size)["fits_quota"] == 1
    assert answer(snapshot, "median_pod", **size)["fits_quota"] == 2
    row = answer(snapshot, "given_pod", **size)
    assert (row["fits_quota"], row["fits_nodes"]) == (4, 64)


def test_half_a_size_is_refused(fleet):
    with pytest.raises(ConfigError, match="pod_memory is empty, pod_cpu is not"):
        table_of(fleet(), pod_cpu="250m")


def test_a_daemon_set_needs_quota_and_brings_its_node(fleet, make_node):
    full = [make_node(cpu="0.1", memory=str(GIB))]
    agent = make_workload("agent", "DaemonSet", surge=0)
    assert answer(fleet([agent], nodes=full), "next_pod", "agent")["verdict"] == "yes"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"unreachable": {"aks-1": "cluster not reachable"}, "quotas": []},
         "unknown: cluster not reachable"),
        ({"workloads": {}, "unread": {("aks-1", "workloads"): "no permission"}},
         "unknown: no permission"),
        ({"nodes": {}, "no_commitment": {"aks-1": "no permission"}}, "unknown: no permission"),
    ],
)  # fmt: skip
def test_what_was_not_read_is_unknown_with_the_reason(make_snapshot, fleet, changes, verdict):
    snapshot = fleet(TWO)
    fields = {name: {} if name == "quotas" else value for name, value in changes.items()}
    assert answer(replace(snapshot, **fields), "next_pod")["verdict"] == verdict


def test_a_quota_that_is_short_is_a_no_even_where_nodes_are_unknown(fleet):
    snapshot = replace(fleet(TWO), nodes={}, no_commitment={"aks-1": "no permission"})
    row = answer(snapshot, "all_rolling_updates")
    assert (row["verdict"], row["reason"]) == ("no", "quota")
    assert math.isnan(row["unplaced_pods"])


def test_a_quota_not_counted_yet_and_a_lost_workload_are_unknown(fleet, make_quota):
    new = fleet(TWO, quotas=[make_quota("web", HARD, {})])
    assert answer(new, "next_pod")["verdict"] == "unknown: quota not counted yet"
    lost = fleet(TWO, autoscalers=[make_scaler("gone")])
    assert answer(lost, "autoscaler_maximum")["verdict"] == "unknown: Deployment gone was not found"


def test_what_utilization_does_not_trust_is_unknown_here_too(fleet):
    """The quota counts 3 cores, and no pod is there: the counter is wrong."""
    snapshot = fleet(TWO)
    utilization = utilization_of(snapshot)
    verdict = answer(snapshot, "next_pod", utilization=utilization)["verdict"]
    assert verdict == utilization.loc[0, "verdict"]
    assert verdict.startswith("unknown: ")
    unlimited = fleet(TWO, quotas=[])
    sure = answer(unlimited, "next_pod", utilization=utilization_of(unlimited))
    assert sure["verdict"] == "yes"


def test_nothing_to_ask_is_none_and_every_namespace_has_an_answer_to_each_question(fleet):
    table = table_of(fleet())
    assert tuple(table.columns) == FIT_COLUMNS
    assert table["question"].tolist() == list(QUESTIONS)
    assert set(table["verdict"]) == {"none"}
    assert answer(fleet(TWO), "autoscaler_maximum")["reason"] == "no autoscaler"
    assert table_of(replace(fleet(), namespaces=fleet().namespaces[:0])).empty


# Nodes


def free_nodes(nodes, pods=()):
    return FreeNodes(nodes, pods, map(charge, pods))


def test_pods_take_room_where_they_run_and_finished_or_foreign_ones_none(make_node, make_pod):
    node = replace(make_node(memory=str(8 * GIB)), most_pods=4)
    cordoned = replace(node, name="closed", is_cordoned=True)
    lost = replace(node, name="lost", is_ready=False)
    running = replace(make_pod("web", cpu="6"), node_name="node-1")
    pods = [running, replace(running, phase="Succeeded"), replace(running, node_name="closed")]

    free = free_nodes([node, cordoned, lost], pods)

    assert free.fits(PodSize(1000, 0)) == 2  # 8 - 6 cores
    assert free.fits(PodSize(100, 0)) == 3  # 4 - 1 pods
    assert free.emptiest() == (2, 8 * GIB - 1024)
    assert free_nodes([lost]).emptiest() == (0, 0)


def test_pods_that_wait_for_a_node_come_before_what_is_asked(make_node, make_pod):
    free = free_nodes([make_node(cpu="3")], [make_pod("web", cpu="2")])
    assert free.fits(PodSize(1000, 0)) == 1
    hopeless = free_nodes([make_node(cpu="3")], [make_pod("web", cpu="5")])
    assert hopeless.fits(PodSize(1000, 0)) == 3


def test_largest_pods_are_put_first_so_that_small_ones_fill_the_gaps(make_node):
    """Free 3 and 2 cores: 2 x 1 first would take 2 of 3 cores, and leave none of 3 anywhere."""
    free = free_nodes([make_node("a", cpu="3"), make_node("b", cpu="2")])
    assert free.unplaced({PodSize(1000, 0): 2, PodSize(3000, 0): 1}) == {
        PodSize(3000, 0): 0, PodSize(1000, 0): 0,
    }  # fmt: skip
    assert free.unplaced({PodSize(1000, 0): 3, PodSize(3000, 0): 1})[PodSize(1000, 0)] == 1
