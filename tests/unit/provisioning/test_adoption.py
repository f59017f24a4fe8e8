"""What an adoption does to what runs there: each rule with a case that is worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mnslib.errors import ConfigError, KubeError, UnsafePlanError
from mnslib.kube_models import (
    Autoscaler,
    Container,
    Entrance,
    KubernetesNamespace,
    LimitRange,
    NetworkPolicy,
    Pod,
    QuotaStatus,
    Workload,
)
from mnslib.models import AdoptionPolicy, NetworkRule
from mnslib.provisioning.adoption import Line, State, impact, smallest_quota
from mnslib.provisioning.approval import decide
from mnslib.provisioning.changes import Change
from mnslib.provisioning.observe import ObservedCluster, ObservedState
from mnslib.provisioning.plan import make_plan
from mnslib.quantities import parse_quantity

from .factories import (
    CLUSTER,
    GROUP,
    amounts,
    make_assignment,
    make_cluster,
    make_namespace,
    make_observed,
    make_spec,
    make_view,
)

SHOP = "shop"
ROOM = {"cpu_request": "8", "cpu_limit": "16", "memory_request": "32Gi", "memory_limit": "64Gi"}
"""More than anything here asks for."""

REFUSED = KubeError("refused", status=403)
ADMIN = "3498e952-d568-435e-9b2c-8d77e338d7f7"


def size(cpu: str, memory: str) -> dict[str, Any]:
    asked = {"cpu": cpu, "memory": memory}
    return {name: parse_quantity(text) for name, text in asked.items() if text != "-"}


def make_workload(name: str = "web", kind: str = "Deployment", **fields: Any) -> Workload:
    """Return four pods of 500m/1 and 1Gi/2Gi, an update of which starts one before it stops one."""
    asked = size(fields.pop("cpu", "500m"), fields.pop("memory", "1Gi"))
    limits = size(fields.pop("cpu_limit", "1"), fields.pop("memory_limit", "2Gi"))
    container = Container(name="app", requests=asked, limits=limits)
    template = Pod(namespace_name=SHOP, name=name, phase="Pending", containers=(container,))
    template = replace(template, runtime_class=fields.pop("runtime_class", ""))
    steps = {"surge": 1, "unavailable": 0} if kind == "Deployment" else {}
    fields = {"replicas": 4, "running": fields.get("replicas", 4), **steps, **fields}
    return Workload(kind=kind, namespace_name=SHOP, name=name, template=template, **fields)


def world(
    *workloads: Workload,
    pods: tuple[Pod, ...] | None = None,
    quotas: tuple[QuotaStatus, ...] = (),
    labels: Mapping[str, str] = {},
    apart: tuple[str, ...] = (),
    engine: str | None = "cilium",
    **inside: Any,
) -> ObservedState:
    """Return a cluster where the workloads run in an unmanaged namespace."""
    own = tuple(
        replace(one.template, name=f"{one.name}-{n}", phase="Running")
        for one in workloads
        for n in range(one.running)
    )
    there = KubernetesNamespace(name=SHOP, labels=labels)
    pods = own if pods is None else pods
    view = make_view(namespaces=(there,), pods=pods, quotas=quotas, set_apart=apart)
    observed = make_observed(view=view, cluster=make_cluster(network_policy_engine=engine))
    inside["workloads"] = inside.get("workloads", workloads)
    cluster = replace(observed.clusters[CLUSTER], inside=inside)
    return replace(observed, clusters={CLUSTER: cluster})


def adopted(observed: ObservedState, *, quota: Mapping[str, str] = ROOM, **asked: Any) -> Change:
    """Return the change that takes the namespace over; with policies that cut nothing."""
    open_ = dict.fromkeys(("ingress_policy", "egress_policy"), NetworkRule.ALLOW_ALL)
    asked = {"adoption_policy": AdoptionPolicy.ALWAYS, **open_, **asked}
    plan = make_plan([make_spec(SHOP, quota=amounts(**ROOM | quota), **asked)], observed)
    return plan.changes[0]


def lines(observed: ObservedState, **asked: Any) -> list[Line]:
    return impact(adopted(observed, **asked), observed.clusters[CLUSTER])


def told(observed: ObservedState, rule: str, **asked: Any) -> list[tuple[str, str]]:
    """Return state and subject of the lines of a rule."""
    return [(one.state.value, one.subject) for one in lines(observed, **asked) if one.rule == rule]


def only(observed: ObservedState, rule: str, **asked: Any) -> Line:
    (found,) = [one for one in lines(observed, **asked) if one.rule == rule]
    return found


def risks(observed: ObservedState, **asked: Any) -> dict[str, str]:
    found = {risk.name.value: risk.detail for risk in adopted(observed, **asked).risks}
    return {name: text for name, text in found.items() if name.startswith("adoption-")}


# What is asked for, against the quota


def test_what_pods_ask_for_is_held_against_each_of_the_four_values():
    there = world(make_workload())  # 4 x 500m/1 and 1Gi/2Gi: 2 and 4 cores, 4 and 8 GiB
    quota = {"cpu_request": "2", "cpu_limit": "3999m", "memory_request": "4Gi"}
    assert told(there, "quota", quota=quota | {"memory_limit": "8191Mi"}) == [
        ("OK", "cpu_request"), ("BLOCK", "cpu_limit"),
        ("OK", "memory_request"), ("BLOCK", "memory_limit"),
    ]  # fmt: skip
    detail = risks(there, quota=quota)["adoption-over-quota"]
    assert detail.startswith("Above the quota: CPU limits 4 cores, quota 3.999 cores; ")


def test_a_pod_that_is_finished_asks_for_nothing():
    web = make_workload(replicas=0)
    ended = replace(web.template, name="ended", phase="Succeeded")
    line = lines(world(web, pods=(ended,)))[0]
    assert (line.rule, line.state, line.facts["requested"]) == ("quota", State.OK, "0 cores")


def test_an_object_that_cannot_be_read_is_unknown():
    there = world(make_workload(), apart=("Pod shop/odd (?)", "Pod other/odd (?)"))
    line = only(there, "objects")
    assert (line.state, line.facts["reason"]) == (State.UNKNOWN, "Pod shop/odd (?)")


# Containers that lack a value


def test_a_container_that_lacks_a_value_is_refused_when_it_starts_anew():
    there = world(make_workload(cpu_limit="-", memory_limit="-"), make_workload("api"))
    line = only(there, "values")
    assert (line.state, line.subject) == (State.BLOCK, "Deployment web")
    assert line.facts["lacks"] == "limits.cpu for: app; limits.memory for: app"
    assert told(there, "replicas") == [("OK", "Deployment api")], "its own cause is told"
    assert risks(there) == {
        "adoption-missing-values": "Refused when it starts anew, for its containers do not say all "
        "that a quota demands: Deployment web (limits.cpu for: app; limits.memory for: app)."
    }


def test_what_a_limit_range_gives_is_not_lacking():
    gives = LimitRange(
        namespace_name=SHOP, name="defaults", default_limits=size("1", "2Gi"),
        default_requests=size("100m", "128Mi"),
    )  # fmt: skip
    there = world(make_workload(cpu_limit="-", memory_limit="-"), limit_ranges=(gives,))
    assert told(there, "values") == [("OK", "")]
    other = replace(gives, namespace_name="other")
    there = world(make_workload(cpu_limit="-", memory_limit="-"), limit_ranges=(other,))
    assert told(there, "values") == [("BLOCK", "Deployment web")]


def test_what_the_limit_range_gives_that_the_same_request_asks_for_is_not_lacking():
    bare = {"cpu": "-", "cpu_limit": "-", "memory": "-", "memory_limit": "-"}
    there = world(make_workload(**bare))
    view = replace(there.clusters[CLUSTER].kubernetes, limit_ranges=())
    there = replace(there, clusters={CLUSTER: replace(there.clusters[CLUSTER], kubernetes=view)})
    asked = {"limit_range": "100m/200m 128Mi/256Mi"}
    assert told(there, "values", **asked) == [("OK", "")]
    # four pods and one beside them: 500m
    assert told(there, "rollout", quota={"cpu_request": "499m"}, **asked)[0][0] == "BLOCK"
    assert told(there, "rollout", quota={"cpu_request": "500m"}, **asked)[0][0] == "OK"
    # and what it takes away is lacking
    sides = {"default_requests": size("100m", "1Gi"), "default_limits": size("1", "2Gi")}
    ours = LimitRange(namespace_name=SHOP, name="mnslib-defaults", **sides)
    there = world(make_workload(**bare), limit_ranges=(ours,))
    view = replace(there.clusters[CLUSTER].kubernetes, limit_ranges=(ours,))
    there = replace(there, clusters={CLUSTER: replace(there.clusters[CLUSTER], kubernetes=view)})
    assert told(there, "values") == [("OK", "")]
    assert told(there, "values", limit_range="-") == [("BLOCK", "Deployment web")]


def test_a_default_limit_below_what_a_container_requests_is_told():
    """`auto` gives 250m/500m and 256Mi/512Mi, a limit below what a container of api requests."""
    web = make_workload(cpu_limit="-", memory="256Mi", memory_limit="-")
    there = world(web, make_workload("api", memory_limit="-"))
    seen = there.clusters[CLUSTER]
    view = replace(seen.kubernetes, limit_ranges=())
    there = replace(there, clusters={CLUSTER: replace(seen, kubernetes=view)})
    assert len(told(there, "values")) == 2
    line = only(there, "values", limit_range="auto")
    assert (line.state, line.subject) == (State.BLOCK, "Deployment api")
    assert line.facts["lacks"] == "requests more memory than the default limit"


def test_what_deployment_safeguards_give_is_not_lacking_and_counts():
    bare = {"cpu": "-", "cpu_limit": "-", "memory": "-", "memory_limit": "-"}
    web = make_workload(replicas=2, **bare)
    there = world(web, safeguards=("kube-system",))
    assert told(there, "values") == [("OK", "")]
    # 500m and 2Gi each: two pods and the one beside them of an update are 1.5 cores and 6 GiB
    line = only(there, "rollout", quota={"cpu_request": "1", "memory_request": "4Gi"})
    assert line.state is State.BLOCK
    # though the pods that run were let in without, and count for nothing until they are replaced
    assert told(there, "quota")[0] == ("OK", "cpu_request")
    assert line.needs["cpu_request"] == parse_quantity("1500m")
    assert line.needs["memory_request"] == parse_quantity("6Gi")
    assert told(world(web, safeguards=(SHOP,)), "values") == [("BLOCK", "Deployment web")]
    # a memory request alone gets no limit
    half = make_workload(**bare | {"memory": "1Gi"})
    lacks = only(world(half, safeguards=()), "values").facts["lacks"]
    assert lacks == "limits.memory for: app"


def test_a_pod_that_no_workload_starts_is_told_by_itself():
    bare = Pod(
        namespace_name=SHOP, name="debug", phase="Running", containers=(Container(name="sh"),)
    )
    web = make_workload(cpu_limit="-", replicas=1)
    there = world(web, pods=(bare, replace(web.template, name="web-0", phase="Running")))
    assert told(there, "values") == [("BLOCK", "Deployment web"), ("BLOCK", "Pod debug")]


@pytest.mark.parametrize("kind", ["limit_ranges", "safeguards"])
def test_what_might_be_given_by_what_could_not_be_read_is_unknown(kind):
    there = world(make_workload(cpu_limit="-"), **{kind: REFUSED})
    assert set(told(there, "values")) == {("unknown", "Deployment web"), ("unknown", kind)}
    assert risks(there) == {}
    assert told(world(**{kind: REFUSED}), "values") == [("unknown", kind)]


# Pods that start anew


def test_replicas_start_as_far_as_the_quota_goes_beside_the_others():
    # 4 x 500m of web and 2 x 500m of api are 3 cores; of 2750m the others leave web 1750m: 3 pods
    there = world(make_workload(), make_workload("api", replicas=2))
    web, api = (one for one in lines(there, quota={"cpu_request": "2750m"})
                if one.rule == "replicas")  # fmt: skip
    assert (web.state, web.facts["fits"], web.facts["of"]) == (State.BLOCK, 3, 4)
    assert (api.state, api.facts["fits"], api.facts["of"]) == (State.BLOCK, 1, 2)
    assert web.needs["cpu_request"] == 3
    detail = risks(there, quota={"cpu_request": "2750m"})["adoption-over-quota"]
    assert "Deployment web starts 3 of 4 pods" in detail


def test_replicas_that_are_still_to_come_count():
    # 2 of 4 are there, which ask for 1 core; all four need 2
    there = world(make_workload(running=2))
    assert told(there, "quota", quota={"cpu_request": "1500m"})[0] == ("OK", "cpu_request")
    line = only(there, "replicas", quota={"cpu_request": "1500m"})
    assert (line.state, line.facts["fits"]) == (State.BLOCK, 3)
    assert told(there, "replicas", quota={"cpu_request": "2"}) == [("OK", "Deployment web")]


def test_a_cron_jobs_next_run_comes_beside_what_runs():
    # web has 2 cores; three pods of a run need 1.5 more: of 3 cores two of them fit
    job = make_workload("nightly", "CronJob", replicas=3, running=0)
    there = world(make_workload(), job)
    line = only(there, "cron-job", quota={"cpu_request": "3"})
    assert (line.state, line.facts["fits"], line.facts["of"]) == (State.BLOCK, 2, 3)
    assert line.needs["cpu_request"] == parse_quantity("3500m")
    assert told(there, "cron-job", quota={"cpu_request": "3500m"}) == [("OK", "CronJob nightly")]
    assert told(there, "replicas", quota={"cpu_request": "2"}) == [("OK", "Deployment web")]
    assert told(world(replace(job, replicas=0)), "cron-job") == [], "suspended"


# Updates


def test_an_update_needs_room_for_its_first_new_pod():
    # 2 cores run; one pod comes before one goes: 2.5 cores
    there = world(make_workload())
    assert told(there, "rollout", quota={"cpu_request": "2499m"}) == [("BLOCK", "Deployment web")]
    assert told(there, "rollout", quota={"cpu_request": "2500m"}) == [("OK", "Deployment web")]
    assert risks(there, quota={"cpu_request": "2"}) == {
        "adoption-rollout": "The next update cannot go on: Deployment web. The smallest quota that "
        "passes: cpu_request 2500m, cpu_limit 5000m, memory_request 5Gi, memory_limit 10Gi."
    }


def test_an_update_that_may_stop_a_pod_first_goes_on_in_steps():
    # surge 2, one may stop: at once 3 cores, at the least the 2 that are there
    there = world(make_workload(surge=2, unavailable=1))
    assert told(there, "rollout", quota={"cpu_request": "2"}) == [("WARN", "Deployment web")]
    assert told(there, "rollout", quota={"cpu_request": "3"}) == [("OK", "Deployment web")]
    # two may stop first, and none comes beside: 1 core less will do for the update, not for them
    there = world(make_workload(surge=0, unavailable=2))
    assert told(there, "rollout", quota={"cpu_request": "1500m"})[0][0] == "WARN"
    assert told(there, "rollout", quota={"cpu_request": "1499m"})[0][0] == "BLOCK"


def test_a_stateful_set_needs_nothing_beside_and_jobs_do_not_roll():
    there = world(make_workload("db", "StatefulSet", unavailable=1), make_workload("once", "Job"))
    # 8 pods of 500m
    assert told(there, "rollout", quota={"cpu_request": "4"}) == [("OK", "StatefulSet db")]


# Autoscalers


def test_an_autoscaler_reaches_as_many_pods_as_the_quota_lets_in():
    scaler = Autoscaler(namespace_name=SHOP, name="web", workload_kind="Deployment",
                        workload_name="web", least=2, most=10, current=4)  # fmt: skip
    # 4 x 500m of web and 1 x 500m of api; of 4 cores api leaves 3.5: 7 pods of web, 10 need 5.5
    there = world(make_workload(), make_workload("api", replicas=1), autoscalers=(scaler,))
    line = only(there, "autoscaler", quota={"cpu_request": "4"})
    assert (line.state, line.facts["fits"], line.facts["of"]) == (State.BLOCK, 7, 10)
    assert line.needs["cpu_request"] == parse_quantity("5500m")
    (name, detail), *_ = risks(there, quota={"cpu_request": "4"}).items()
    assert name == "adoption-autoscaler"
    assert detail.startswith("Stops below its maximum: Deployment web reaches 7 of 10 pods. The ")
    assert "cpu_request 5500m" in detail
    assert told(there, "autoscaler", quota={"cpu_request": "5500m"}) == [("OK", "Deployment web")]
    there = world(autoscalers=(scaler,))
    assert told(there, "autoscaler") == [("unknown", "Deployment web")]


# What is taken for the smallest quota


def test_the_smallest_quota_passes_and_anything_less_does_not():
    scaler = Autoscaler(namespace_name=SHOP, name="web", workload_kind="Deployment",
                        workload_name="web", least=2, most=6, current=4)  # fmt: skip
    job = make_workload(
        "nightly", "CronJob", replicas=3, running=0, memory="3Gi", memory_limit="3Gi"
    )
    there = world(make_workload(running=3), job, autoscalers=(scaler,))
    found = smallest_quota(lines(there))
    # CPU: 4 of web and 3 of a run, 3.5 and 7; 6 of web would be 3 and 6. Memory: 4 + 9, 8 + 9 GiB
    texts = {"cpu_request": "3500m", "cpu_limit": "7"}
    texts |= {"memory_request": "13Gi", "memory_limit": "17Gi"}
    assert found == amounts(**texts)
    again = lines(there, quota=texts)
    assert [one for one in again if one.state is State.BLOCK] == []
    for name, less in (("cpu_request", "3499m"), ("cpu_limit", "6999m"),
                       ("memory_request", "13311Mi"), ("memory_limit", "17407Mi")):  # fmt: skip
        assert any(one.state is State.BLOCK for one in lines(there, quota=texts | {name: less}))


def test_the_smallest_quota_is_what_arm_takes():
    # 1 x 1.5m: rounded up to 2m; 1 byte to 1Mi; no limit: that of the request
    bare = {"cpu_limit": "-", "memory_limit": "-"}
    odd = make_workload(cpu="1500u", memory="1", replicas=1, surge=0, unavailable=1, **bare)
    texts = {"cpu_request": "2m", "cpu_limit": "2m", "memory_request": "1Mi", "memory_limit": "1Mi"}
    assert smallest_quota(lines(world(odd))) == amounts(**texts)
    nothing = smallest_quota(lines(world()))
    assert (nothing["cpu_request"], nothing["memory_limit"]) == (parse_quantity("1m"), 0)


# What differs, and what is replaced


def test_if_identical_trips_over_what_differs():
    held = QuotaStatus(
        namespace_name=SHOP, name="defaultresourcequota", used={},
        hard={"requests.cpu": parse_quantity("8"), "limits.cpu": parse_quantity("16"),
              "requests.memory": parse_quantity("32Gi"), "limits.memory": parse_quantity("64Gi")},
    )  # fmt: skip
    policy = NetworkPolicy(namespace_name=SHOP, name="defaultnetworkpolicy", filters=("Ingress",))
    same = world(labels={"owner": "web"}, quotas=(held,), network_policies=(policy,))
    asked = {"adoption_policy": AdoptionPolicy.IF_IDENTICAL}
    assert told(same, "replaced", **asked) == [("OK", "")]
    line = only(same, "replaced", labels={"stage": "prod"}, quota={"cpu_limit": "9"}, **asked)
    assert (line.state, line.facts["names"]) == (
        State.WARN, ["labels[stage]", "defaultresourcequota"],
    )  # fmt: skip
    bare = only(world(), "replaced", annotations={"a": "b"}, **asked)
    assert bare.facts["names"] == ["annotations[a]", "defaultresourcequota", "defaultnetworkpolicy"]


def test_always_replaces_what_is_there_and_adds_the_rest():
    held = QuotaStatus(namespace_name=SHOP, name="defaultresourcequota", used={},
                       hard={"requests.cpu": parse_quantity("1")})  # fmt: skip
    there = world(labels={"owner": "web", "stage": "test"}, quotas=(held,))
    line = only(there, "replaced", labels={"stage": "prod", "new": "1"})
    assert (line.state, line.facts["names"]) == (
        State.WARN, ["labels[stage]", "defaultresourcequota"],
    )  # fmt: skip
    assert told(world(), "replaced", labels={"new": "1"}) == [("OK", "")]


# Traffic


def entrance(kind: str, name: str, namespace_name: str = SHOP) -> Entrance:
    return Entrance(kind=kind, namespace_name=namespace_name, name=name)


SAME = {"ingress_policy": NetworkRule.ALLOW_SAME_NAMESPACE}


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort", "Ingress", "HTTPRoute"])
def test_what_leads_in_from_outside_is_cut_off(kind):
    there = world(services=(entrance(kind, "web"), entrance(kind, "other", "elsewhere")))
    line = only(there, "ingress", **SAME)
    assert (line.state, line.subject, line.facts["names"]) == (State.BLOCK, kind, "web")
    assert risks(there, **SAME) == {
        "adoption-traffic": f"Cut off at once: from outside to {kind} web (ingress "
        "AllowSameNamespace)."
    }
    assert told(there, "ingress") == [("OK", "")], "AllowAll"


def test_who_calls_a_cluster_ip_is_not_seen_but_nobody_can_under_deny_all():
    there = world(services=(entrance("ClusterIP", "web"),))
    assert told(there, "ingress", **SAME) == [("WARN", "ClusterIP")]
    assert told(there, "ingress", ingress_policy=NetworkRule.DENY_ALL) == [("BLOCK", "ClusterIP")]


def test_restricted_egress_stops_name_resolution_of_what_runs():
    asked = {"egress_policy": NetworkRule.ALLOW_SAME_NAMESPACE}
    line = only(world(make_workload()), "egress", **asked)
    assert (line.state, line.facts["pods"]) == (State.BLOCK, 4)
    assert "adoption-traffic" in risks(world(make_workload()), **asked)
    assert told(world(), "egress", **asked) == [("OK", "")], "nothing runs"
    assert told(world(make_workload()), "egress") == [("OK", "")], "AllowAll"


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "OK"),  # filters all pods already: policies add up, so that nothing more is cut off
        ({"opens": ("Ingress",)}, "OK"),  # and what it lets through stays
        ({"filters": ()}, "BLOCK"),
        ({"filters": ("Egress",)}, "BLOCK"),
        ({"namespace_name": "other"}, "BLOCK"),
        ({"name": "defaultnetworkpolicy"}, "OK"),  # of an adoption before
        ({"name": "defaultnetworkpolicy", "opens": ("Ingress",)}, "BLOCK"),  # which is replaced
    ],
)
def test_pods_that_are_filtered_already_lose_nothing(fields, state):
    policy = {"namespace_name": SHOP, "name": "own", "filters": ("Ingress",)} | fields
    there = world(
        services=(entrance("Ingress", "web"),), network_policies=(NetworkPolicy(**policy),)
    )
    assert [one for one, _ in told(there, "ingress", **SAME)] == [state]


def test_without_an_engine_nothing_is_cut_off_until_there_is_one():
    there = world(services=(entrance("Ingress", "web"),), engine=None)
    assert told(there, "ingress", **SAME) == [("WARN", "Ingress")]
    assert risks(there, **SAME) == {}


# Roles at the older scope


def test_roles_at_the_older_scope_go_on_to_count():
    old = make_assignment(f"{CLUSTER}/namespaces/{SHOP}", GROUP, ADMIN)
    other = make_assignment(f"{CLUSTER}/namespaces/other", GROUP, ADMIN)
    line = only(world(roles=(old, other)), "roles")
    assert (line.state, line.facts["roles"]) == (State.WARN, [old])
    assert told(world(), "roles") == [("OK", "")]


# What could not be read


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        ("workloads", ["replicas", "rollout", "cron-job"]),
        ("autoscalers", ["autoscaler"]),
        ("network_policies", ["replaced"]),
        ("roles", ["roles"]),
        ("http_routes", ["ingress"]),
        ("services", ["ingress"]),
        ("ingresses", ["ingress"]),
    ],
)
def test_what_could_not_be_read_is_unknown_and_never_ok(kind, rules):
    there = world(**{kind: REFUSED})
    for rule in rules:
        line = only(there, rule, **SAME)
        assert (line.state, line.subject) == (State.UNKNOWN, kind)
        assert line.facts["reason"] == "no permission"
    assert risks(there, **SAME) == {}


def test_routes_are_of_no_account_where_everything_is_let_in():
    assert told(world(http_routes=REFUSED), "ingress") == [("OK", "")]


def test_a_runtime_class_that_was_not_read_makes_unknown_what_would_fit():
    there = world(make_workload(runtime_class="kata"), overheads=REFUSED)
    assert told(there, "replicas") == [("unknown", "overheads")]
    blocked = told(there, "replicas", quota={"cpu_request": "1"})
    assert blocked == [("BLOCK", "Deployment web"), ("unknown", "overheads")]


# What comes of it


def test_nothing_is_said_where_nothing_was_read():
    there = world(make_workload())
    unread: ObservedCluster = replace(there.clusters[CLUSTER], inside={})
    assert impact(adopted(there), unread) == []


def test_a_creation_that_failed_takes_it_over_with_the_next_write():
    there = world(make_workload())
    failed = make_namespace(SHOP, provisioning_state="Failed")
    cluster = replace(there.clusters[CLUSTER], managed={SHOP: failed})
    there = replace(there, clusters={CLUSTER: cluster})
    # the namespace's own quota is 1 core, and 2 run
    spec = make_spec(SHOP, quota={}, adoption_policy=AdoptionPolicy.ALWAYS)
    found = make_plan([spec], there).changes[0].risk_names
    assert {"adoption", "adoption-over-quota", "adoption-rollout"} <= set(found)


def test_a_block_is_refused_unless_its_very_name_is_allowed():
    there = world(make_workload())
    asked = {
        "adoption_policy": AdoptionPolicy.ALWAYS,
        "quota": amounts(**ROOM | {"cpu_request": "2"}),
    }
    asked |= dict.fromkeys(("ingress_policy", "egress_policy"), NetworkRule.ALLOW_ALL)
    plan = make_plan([make_spec(SHOP, **asked)], there)
    assert plan.risk_names() == ("adoption", "adoption-rollout")
    words = {"dry_run": False, "approval": "digest", "approved_digest": plan.digest}
    with pytest.raises(UnsafePlanError, match="not accepted: adoption-rollout"):
        decide(plan, allow=["adoption"], **words)
    assert decide(plan, allow=["adoption", "adoption-rollout"], **words).may_write
    with pytest.raises(ConfigError, match="unknown risks adoption-rollouts"):
        decide(plan, allow=["adoption-rollouts"], **words)


def test_if_identical_carries_no_such_risk_for_nothing_changes_then():
    there = world(make_workload())
    asked = {"adoption_policy": AdoptionPolicy.IF_IDENTICAL, "quota": {"cpu_request": "1"}}
    assert risks(there, **asked) == {}
    assert told(there, "quota", **asked)[0] == ("BLOCK", "cpu_request"), "told all the same"


def test_a_risk_names_four_and_counts_the_rest():
    there = world(*(make_workload(f"w{n}", replicas=1) for n in range(6)))  # 3 cores, and 500m more
    detail = risks(there, quota={"cpu_request": "3"})["adoption-rollout"]
    assert "Deployment w2; Deployment w3; 2 more. The smallest" in detail
