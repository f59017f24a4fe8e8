from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from mnslib.commitment import shortage, shortage_later
from mnslib.errors import ConfigError, SpecError
from mnslib.kube_models import KubernetesNamespace, QuotaStatus
from mnslib.models import (
    AdoptionPolicy,
    DeletePolicy,
    Ensure,
    NetworkRule,
    Origin,
    PrincipalType,
    Sheet,
)
from mnslib.provisioning.changes import differences
from mnslib.provisioning.observe import ObservedState
from mnslib.provisioning.plan import make_plan, plan_to_json
from mnslib.provisioning.risks import read_max_commitment
from mnslib.resource_ids import ClusterId
from mnslib.results import ChangeKind
from mnslib.secrets import HIDDEN

from .factories import (
    CLUSTER,
    GROUP,
    QUOTA,
    amounts,
    make_cluster,
    make_grant,
    make_namespace,
    make_observed,
    make_pod,
    make_spec,
    make_view,
)


def only(plan):
    (change,) = plan.changes
    return change


def names(change):
    return [risk.name.value for risk in change.risks]


def test_a_new_namespace_gets_the_documented_defaults_and_shows_them():
    change = only(make_plan([make_spec()], make_observed()))
    assert change.kind is ChangeKind.CREATE
    rules = change.after.ingress_policy, change.after.egress_policy
    assert rules == (NetworkRule.ALLOW_SAME_NAMESPACE, NetworkRule.ALLOW_ALL)
    assert (change.after.adoption_policy, change.after.delete_policy) == ("Never", "Keep")
    assert change.after.location == "westeurope"
    shown = {d.path: d.new for d in change.differences}
    assert shown["cpu_request"] == "1000m"
    assert shown["ingress_policy"] == "AllowSameNamespace"
    assert names(change) == []


def test_an_update_keeps_every_key_it_does_not_mention():
    held = make_namespace(
        labels={"team": "a", "desktop": "yes"}, annotations={"who": "x"}, tags={"cost": "1"}
    )
    spec = make_spec(quota=amounts(cpu_limit="3"), labels={"team": "b"})
    change = only(make_plan([spec], make_observed(held)))
    assert change.kind is ChangeKind.UPDATE
    assert change.after.labels == {"team": "b", "desktop": "yes"}
    assert change.after.annotations == {"who": "x"}
    assert change.after.tags == {"cost": "1"}
    assert [(d.operation, d.path, d.old, d.new) for d in change.differences] == [
        ("change", "cpu_limit", "2000m", "3000m"),
        ("change", "labels[team]", "a", "b"),
    ]


def test_a_removed_key_goes_and_is_a_named_risk():
    held = make_namespace(labels={"team": "a", "old": "1"})
    change = only(make_plan([make_spec(labels={"old": None})], make_observed(held)))
    assert change.after.labels == {"team": "a"}
    assert names(change) == ["keys-removed"]


def test_quantities_compare_as_numbers():
    change = only(make_plan([make_spec()], make_observed(make_namespace())))
    assert change.kind is ChangeKind.NO_CHANGE
    assert change.differences == ()


def test_ids_compare_without_regard_to_case():
    upper = ClusterId(CLUSTER.subscription_id, "RG", "AKS-1")
    change = only(make_plan([make_spec(cluster=upper)], make_observed(make_namespace())))
    assert change.kind is ChangeKind.NO_CHANGE


def test_a_plan_of_its_own_result_is_empty():
    spec = make_spec(labels={"a": "b"}, delete_policy=DeletePolicy.DELETE)
    first = only(make_plan([spec], make_observed()))
    there = replace(first.after, etag="e", provisioning_state="Succeeded")
    assert make_plan([spec], make_observed(there)).to_do == ()


def test_a_missing_grant_is_an_update_that_does_not_write_the_namespace():
    grant = make_grant()
    change = only(make_plan([make_spec(access=(grant,))], make_observed(make_namespace())))
    assert change.kind is ChangeKind.UPDATE
    assert change.grants == (grant,)
    assert not change.writes_namespace


def test_a_grant_that_exists_is_not_made_again():
    grant, held = make_grant(), make_namespace()
    there = frozenset({(str(held.id).lower(), grant.principal_id, grant.role_guid)})
    plan = make_plan([make_spec(access=(grant,))], make_observed(held, grants=there))
    assert only(plan).kind is ChangeKind.NO_CHANGE


def test_an_existing_kubernetes_namespace_is_adopted_with_its_labels():
    view = make_view(
        namespaces=(
            KubernetesNamespace(
                name="team-a",
                labels={"owner": "crm", "kubernetes.io/metadata.name": "team-a"},
                annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "n": "1"},
            ),
        ),
        pods=(make_pod("team-a"),),
    )
    spec = make_spec(
        adoption_policy=AdoptionPolicy.ALWAYS,
        ingress_policy=NetworkRule.ALLOW_ALL,
    )
    change = only(make_plan([spec], make_observed(view=view)))
    assert change.kind is ChangeKind.ADOPT
    assert change.after.labels == {"owner": "crm"}
    assert change.after.annotations == {"n": "1"}
    assert names(change) == ["adoption"]
    assert "1 running pod;" in change.risks[0].detail


def test_an_existing_kubernetes_namespace_is_refused_without_an_adoption_policy():
    view = make_view(namespaces=(KubernetesNamespace(name="team-a"),))
    with pytest.raises(SpecError, match="row 2, column adoption_policy: team-a exists on cluster"):
        make_plan([make_spec()], make_observed(view=view))


def test_unknown_kubernetes_counts_as_a_risk_where_adoption_would_be_allowed():
    spec = make_spec(adoption_policy=AdoptionPolicy.ALWAYS)
    change = only(make_plan([spec], make_observed(unknown="not reachable")))
    assert names(change) == ["adoption", "overcommit"]
    assert "is unknown: Kubernetes was not read" in change.risks[0].detail
    never = only(make_plan([make_spec()], make_observed(unknown="not reachable")))
    assert "adoption" not in names(never)


ODD = "Pod team-a/odd ('?' is not a quantity)"


@pytest.mark.parametrize(("name", "is_risk"), [("team-a", True), ("other", False)])
def test_a_lower_quota_is_a_risk_where_a_pod_could_not_be_read(name, is_risk):
    spec = make_spec(name, quota=amounts(cpu_request="0.5"))
    observed = make_observed(make_namespace(name), view=make_view(set_apart=(ODD,)))
    change = only(make_plan([spec], observed))
    assert ("quota-below-use" in names(change)) == is_risk
    assert [ODD in risk.detail for risk in change.risks] == [True] * is_risk


def test_pods_that_were_to_be_gone_do_not_stand_against_a_lower_quota():
    spec = make_spec("team-a", quota=amounts(cpu_request="0.5"))
    lost = replace(make_pod("team-a", cpu="4"), is_past_grace=True)
    for pods, risks in ((lost,), []), ((replace(lost, is_past_grace=False),), ["quota-below-use"]):
        observed = make_observed(make_namespace("team-a"), view=make_view(pods=pods))
        assert names(only(make_plan([spec], observed))) == risks


def test_every_request_that_cannot_be_planned_is_named_at_once():
    stopped = make_cluster(power_state="Stopped")
    observed = ObservedState(
        clusters=make_observed(cluster=stopped).clusters,
        missing={ClusterId("s", "rg", "aks-x"): ("resource_group", ("not found", "rg-2"))},
    )
    specs = [
        make_spec("a", row=2),
        make_spec("b", row=3, cluster=ClusterId("s", "rg", "aks-x")),
    ]
    with pytest.raises(SpecError) as caught:
        make_plan(specs, observed)
    assert [(p.row, p.column) for p in caught.value.problems] == [
        (2, "cluster_name"),
        (3, "resource_group"),
    ]
    assert caught.value.problems[1].told("") == "not found. Write rg-2."


def test_a_new_namespace_needs_all_four_quota_values():
    spec = make_spec(quota=amounts(cpu_request="1", cpu_limit=None))
    with pytest.raises(SpecError) as caught:
        make_plan([spec], make_observed())
    assert [p.column for p in caught.value.problems] == [
        "cpu_limit",
        "memory_limit",
        "memory_request",
    ]
    assert str(caught.value.problems[0]) == (
        "requests.csv, row 2, column cpu_limit: team-a is not managed yet, so it needs all four "
        "quota values; this one is missing. Write an amount such as 2 or 500m."
    )


def test_what_looks_new_only_to_a_list_that_trails_is_refused_with_the_next_step():
    with pytest.raises(SpecError, match="if it was written moments ago, run it again"):
        make_plan([make_spec(quota={})], make_observed(unknown="forbidden"))
    with pytest.raises(SpecError) as seen:
        make_plan([make_spec(quota={})], make_observed())  # the cluster does not have it either
    assert "moments ago" not in str(seen.value)


def test_a_request_above_the_stored_limit_is_refused():
    spec = make_spec(quota=amounts(cpu_request="3"))
    with pytest.raises(SpecError) as caught:
        make_plan([spec], make_observed(make_namespace()))
    (mistake,) = caught.value.problems
    assert mistake.column == "cpu_request"
    assert mistake.message.startswith("cpu_request 3000m is above the cpu_limit 2000m set already.")


def test_what_only_azure_knows_to_be_wrong_names_the_cell_that_was_written():
    letters = {"cluster_name": "C", "cpu_limit": "F"}
    origin = Origin(file="requests.xlsx", row=7, sheet=Sheet(letters))
    limit = make_spec(quota=amounts(cpu_limit="0.5"))
    nowhere = make_spec(cluster=ClusterId("s", "rg", "aks-x"))
    observed = make_observed(make_namespace())
    why = "cluster_name", ("cluster aks-x was not found", "")
    observed = replace(observed, missing={nowhere.id.cluster: why})
    with pytest.raises(SpecError) as caught:
        make_plan([replace(spec, origin=origin) for spec in (limit, nowhere)], observed)
    assert [str(mistake).partition(". ")[0] for mistake in caught.value.problems] == [
        "requests.xlsx, cell C7, column cluster_name: cluster aks-x was not found.",
        "requests.xlsx, cell F7, column cpu_limit: cpu_limit 500m is below the cpu_request "
        "1000m set already",
    ]


def test_deletion_is_a_risk_and_says_what_goes_along():
    held = make_namespace(delete_policy=DeletePolicy.DELETE)
    view = make_view(pods=(make_pod("team-a"), make_pod("team-a")))
    change = only(make_plan([make_spec(ensure=Ensure.ABSENT)], make_observed(held, view=view)))
    assert change.kind is ChangeKind.DELETE
    assert names(change) == ["deletion", "delete-policy"]
    assert "with 2 running pods" in change.risks[0].detail


def test_an_absent_namespace_that_is_absent_needs_nothing():
    plan = make_plan([make_spec(ensure=Ensure.ABSENT)], make_observed())
    assert plan.to_do == ()


def test_the_stored_delete_policy_counts_so_another_one_is_refused():
    spec = make_spec(ensure=Ensure.ABSENT, delete_policy=DeletePolicy.DELETE)
    with pytest.raises(SpecError, match="the stored delete policy is Keep"):
        make_plan([spec], make_observed(make_namespace()))


def test_a_quota_below_what_pods_ask_for_is_a_risk():
    view = make_view(pods=(make_pod("team-a", cpu="900m"),))
    spec = make_spec(quota=amounts(cpu_request="500m"))
    change = only(make_plan([spec], make_observed(make_namespace(), view=view)))
    assert names(change) == ["quota-below-use"]
    assert "CPU requests 0.9 cores, quota 0.5 cores" in change.risks[0].detail
    raised = make_spec(quota=amounts(cpu_request="950m"))
    assert names(only(make_plan([raised], make_observed(make_namespace(), view=view)))) == []


def test_a_first_quota_below_what_pods_ask_for_is_a_risk():
    held = make_namespace(quota=dict(cpu_limit=Decimal(4)))
    view = make_view(pods=(make_pod("team-a", cpu="900m"),))
    spec = make_spec(quota=amounts(**QUOTA | {"cpu_request": "500m"}))
    assert names(only(make_plan([spec], make_observed(held, view=view)))) == ["quota-below-use"]


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        ({"labels": {"a": "1"}}, ["cpu_limit", "memory_request"]),
        ({"quota": amounts(cpu_limit="4")}, ["memory_request"]),
        ({"quota": amounts(cpu_limit="4", memory_request="1Gi")}, []),
        ({"quota": {}, "access": (make_grant(),)}, []),  # the namespace itself is not written
        ({"quota": {}}, []),
        ({"quota": {}, "ensure": Ensure.ABSENT}, []),
    ],
)
def test_one_that_lacks_an_amount_needs_it_as_soon_as_it_is_written(asked, missing):
    lacking = amounts(**{name: QUOTA[name] for name in ("cpu_request", "memory_limit")})
    observed = make_observed(make_namespace(quota=lacking))
    try:
        change, problems = only(make_plan([make_spec(**{"quota": {}} | asked)], observed)), []
    except SpecError as error:
        problems = error.problems
    else:
        assert not change.writes_namespace or change.after is None or len(change.after.quota) == 4
    assert [problem.column for problem in problems] == missing
    for problem in problems:
        assert f"has no {problem.column} in Azure" in problem.message


@pytest.mark.parametrize("there", [(), (make_namespace(),)])
def test_a_cpu_quota_is_at_least_a_millicore(there):
    spec = make_spec(quota=amounts(**QUOTA | {"cpu_request": "0"}))
    with pytest.raises(SpecError, match="column cpu_request: the service takes no CPU quota of 0"):
        make_plan([spec], make_observed(*there))


def test_pods_that_nobody_counted_are_not_told_as_none():
    observed = make_observed(make_namespace(), unknown="not reachable")
    change = only(make_plan([make_spec(ensure=Ensure.ABSENT)], observed))
    assert "an unknown number of running pods" in change.risks[0].detail


def test_a_lower_quota_is_a_risk_where_use_is_unknown():
    spec = make_spec(quota=amounts(cpu_request="500m"))
    plan = make_plan([spec], make_observed(make_namespace(), unknown="not reachable"))
    assert names(only(plan)) == ["quota-below-use"]


def test_a_tighter_policy_is_a_risk_only_where_pods_run():
    spec = make_spec(egress_policy=NetworkRule.DENY_ALL)
    live = make_view(pods=(make_pod("team-a"),))
    assert names(only(make_plan([spec], make_observed(make_namespace(), view=live)))) == [
        "policy-tightened"
    ]
    assert names(only(make_plan([spec], make_observed(make_namespace())))) == []
    unread = make_observed(make_namespace(), unknown="not reachable")
    assert names(only(make_plan([spec], unread))) == ["policy-tightened"]
    looser = make_spec(ingress_policy=NetworkRule.ALLOW_ALL)
    assert names(only(make_plan([looser], make_observed(make_namespace(), view=live)))) == [
        "policy-loosened"
    ]


@pytest.mark.parametrize(
    ("labels", "owner"),
    [
        ({"argocd.argoproj.io/instance": "x"}, "Argo CD"),
        ({"kustomize.toolkit.fluxcd.io/name": "x"}, "Flux"),
        ({"app.kubernetes.io/managed-by": "Helm"}, "Helm"),
    ],
)
def test_another_owner_is_a_risk(labels, owner):
    spec = make_spec(quota=amounts(cpu_limit="3"))
    change = only(make_plan([spec], make_observed(make_namespace(labels=labels))))
    assert names(change) == ["foreign-owner"]
    assert owner in change.risks[0].detail


def test_changing_a_large_share_is_a_risk_of_the_plan():
    held = [make_namespace(f"ns-{i}") for i in range(10)]
    raise_limit = amounts(cpu_limit="3")
    specs = [make_spec(f"ns-{i}", quota=raise_limit) for i in range(4)]
    assert make_plan(specs, make_observed(*held)).risk_names() == ("many-changes",)
    assert make_plan(specs[:3], make_observed(*held)).risk_names() == ()


def test_a_failed_namespace_is_written_again():
    held = make_namespace(provisioning_state="Failed")
    change = only(make_plan([make_spec()], make_observed(held)))
    assert change.kind is ChangeKind.UPDATE
    assert change.writes_namespace


def test_the_digest_knows_content_not_order():
    specs = [make_spec("a", row=2), make_spec("b", row=3)]
    observed = make_observed(make_namespace("a"))
    assert make_plan(specs, observed).digest == make_plan(specs[::-1], observed).digest


def test_the_digest_does_not_ask_in_which_order_roles_are_named():
    grants = tuple(replace(make_grant(), principal_id=f"{number}-4000") for number in range(3))
    observed = make_observed(make_namespace())
    digests = {
        make_plan([make_spec(access=some)], observed).digest for some in (grants, grants[::-1])
    }
    assert len(digests) == 1


def test_the_digest_moves_with_the_etag_of_a_changed_item_only():
    raised = make_spec(quota=amounts(cpu_limit="3"))
    held, newer = make_namespace(), make_namespace(etag="etag-2")
    assert (
        make_plan([raised], make_observed(held)).digest
        != make_plan([raised], make_observed(newer)).digest
    )
    assert (
        make_plan([make_spec()], make_observed(held)).digest
        == make_plan([make_spec()], make_observed(newer)).digest
    )


def test_the_digest_is_of_values_whether_a_tier_or_the_row_says_them():
    in_full = {"quota": amounts(**QUOTA), "labels": {"owner": "web"}}
    row = make_plan([make_spec(**in_full)], make_observed())
    new = make_spec(quota={}, tier="small", when_new=make_spec(**in_full, tier="small"))
    tier = make_plan([new], make_observed())
    said = {
        item["path"]: item.get("tier")
        for item in plan_to_json(tier, created_utc="")["changes"][0]["differences"]
    }
    assert said == {path: "small" if path in (*QUOTA, "labels[owner]") else None for path in said}
    assert tier.digest == row.digest


def test_a_tier_is_named_on_new_namespaces_only():
    spec = make_spec(quota={}, tier="small", labels={"x": "y"}, when_new=make_spec(tier="small"))
    (change,) = make_plan([spec], make_observed(make_namespace())).changes
    assert [(d.path, d.tier) for d in change.differences] == [("labels[x]", "")]


def test_the_text_of_a_large_plan_is_short():
    # `signal.signal` writes out what it is handed, which holds the plan that is applied
    names = [f"team-{number}" for number in range(100)]
    plan = make_plan([make_spec(name) for name in names], make_observed())
    assert plan.digest in repr(plan)
    assert len(repr(plan)) < 1_000


def test_what_is_promised_before_and_after_counts_each_namespace_once():
    held = make_namespace()
    quota = QuotaStatus(
        namespace_name="team-a",
        name="defaultresourcequota",
        hard={"requests.cpu": amounts(x="1")["x"], "requests.memory": amounts(x="1Gi")["x"]},
        used={},
    )
    specs = [make_spec(quota=amounts(cpu_request="2")), make_spec("team-b", row=3)]
    plan = make_plan(specs, make_observed(held, view=make_view(quotas=(quota,))))
    before, after = plan.commitments[CLUSTER]
    assert (before["cpu"].committed, after["cpu"].committed) == (1, 3)
    assert after["memory"].committed == 2 * 2**30


def hard(name, cpu, memory="1Gi"):
    return QuotaStatus(
        namespace_name=name,
        name="defaultresourcequota",
        hard=amounts(**{"requests.cpu": cpu, "requests.memory": memory}),
        used={},
    )


def asking(name, cpu, **fields):
    quota = amounts(**QUOTA | {"cpu_request": cpu, "cpu_limit": "100"})
    return make_spec(name, quota=quota, **fields)


def test_a_quota_that_promises_too_much_of_a_cluster_is_a_risk():
    """The cluster's nodes give 16 cores, so 24 may be promised."""
    view = make_view(quotas=(hard("other", "20"),))
    fits = only(make_plan([asking("team-a", "4")], make_observed(view=view)))
    assert names(fits) == []
    over = only(make_plan([asking("team-a", "5")], make_observed(view=view)))
    assert names(over) == ["overcommit"]
    detail = "aks-1 then commits 25 cores of CPU requests, 1.56 × the 16 cores that its nodes give"
    assert detail in over.risks[0].detail


def test_all_changes_of_a_plan_count_together_and_only_those_that_raise_carry_overcommit():
    held = [make_namespace("held"), make_namespace("label-only")]
    view = make_view(quotas=(hard("held", "1"), hard("label-only", "1"), hard("other", "14")))
    specs = [
        asking("a", "5", row=2),
        asking("b", "5", row=3),
        make_spec("held", row=4, quota=amounts(cpu_request="500m")),
        make_spec("label-only", row=5, quota={}, labels={"x": "y"}),
    ]
    plan = make_plan(specs, make_observed(*held, view=view))
    found = {c.id.namespace_name: names(c) for c in plan.changes}
    assert found == {
        "a": ["overcommit"], "b": ["overcommit"], "held": [], "label-only": []
    }  # fmt: skip
    assert make_plan(specs[1:], make_observed(*held, view=view)).risk_names() == ()


def test_the_limit_of_what_may_be_promised_can_be_moved_but_never_beyond_all_nodes_for_one():
    view, specs = make_view(quotas=(hard("other", "20"),)), [asking("team-a", "5")]
    for limit in (Decimal(2), None):
        plan = make_plan(specs, make_observed(view=view), max_commitment=limit)
        assert plan.risk_names() == ()
    plan = make_plan([asking("team-a", "17")], make_observed(), max_commitment=None)
    assert "17 cores of CPU requests; aks-1 has but the 16 cores" in only(plan).risks[0].detail


def test_a_promise_counts_from_what_azure_holds_for_the_clusters_own_object_trails():
    held = make_namespace(quota=amounts(
        cpu_request="20", cpu_limit="20", memory_request="1Gi", memory_limit="1Gi"))  # fmt: skip
    view = make_view(quotas=(hard("team-a", "1"), hard("other", "10")))
    label = make_spec(quota={}, labels={"x": "y"})
    assert make_plan([label], make_observed(held, view=view)).risk_names() == ()


def test_a_plan_that_gives_back_more_than_it_takes_is_no_overcommit():
    view = make_view(quotas=(hard("other", "30"),))
    larger = make_namespace("other", quota=amounts(
        cpu_request="30", cpu_limit="30", memory_request="1Gi", memory_limit="1Gi"))  # fmt: skip
    specs = [
        make_spec("other", row=2, quota=amounts(cpu_request="26")),
        asking("team-a", "2", row=3),
    ]
    assert make_plan(specs, make_observed(larger, view=view)).risk_names() == ()
    assert make_plan(specs[1:], make_observed(larger, view=view)).risk_names() == ("overcommit",)


@pytest.mark.parametrize(
    ("observed", "why"),
    [
        (make_observed(make_namespace(), unknown="not reachable"), "Kubernetes was not read"),
        (make_observed(make_namespace(), view=replace(make_view(), nodes=())), "no ready node"),
    ],
)
def test_a_raised_promise_is_a_risk_where_nobody_knows_whether_it_fits(observed, why):
    plan = make_plan([asking("team-b", "2000")], observed)
    (risk,) = only(plan).risks
    assert risk.name == "overcommit"
    assert risk.detail.startswith(f"unknown whether its quota fits on aks-1: {why}")
    same = make_spec(labels={"x": "y"}, quota=amounts(cpu_limit="3"))
    assert make_plan([same], observed).risk_names() == ()


def nodes(*, cordoned=0, not_ready=0, virtual=0, closed=0):
    """Two nodes of 8 cores, and so many that teams cannot use."""
    (node, other), found = make_view().nodes, []
    for count, facts in (
        (cordoned, {"is_cordoned": True}),
        (not_ready, {"is_ready": False}),
        (virtual, {"is_virtual": True, "allocatable_cores": Decimal(1000)}),
        (closed, {"taints": ("CriticalAddonsOnly",)}),
    ):
        found += [replace(node, name=f"{len(found)}{n}", **facts) for n in range(count)]
    return (node, other, *found)


@pytest.mark.parametrize(
    ("out", "asked", "risks"),
    [
        ({"virtual": 1}, "24", ["overcommit"]),  # 25 of 16 cores
        ({"closed": 3}, "24", ["overcommit"]),
        ({"cordoned": 1}, "14", []),  # 25 of 16 cores now, of 24 later: at most 36
        ({"not_ready": 1}, "14", []),
        ({"cordoned": 1, "virtual": 1}, "26", ["overcommit"]),  # 26 are more than 24 nodes give
    ],
)
def test_overcommit_is_what_holds_without_the_nodes_that_are_out_and_with_them_back(
    out, asked, risks
):
    view = replace(make_view(quotas=(hard("other", "11"),)), nodes=nodes(**out))
    plan = make_plan([asking("team-a", asked)], make_observed(view=view))
    assert names(only(plan)) == risks
    before, after = plan.commitments[CLUSTER]
    assert shortage(before["cpu"], after["cpu"]) > 0
    assert bool(shortage_later(before["cpu"], after["cpu"])) is bool(risks)


def test_the_risk_speaks_of_the_nodes_with_those_back_that_are_out_for_now():
    view = replace(make_view(quotas=(hard("other", "35"),)), nodes=nodes(cordoned=1))
    (risk,) = only(make_plan([asking("team-a", "2")], make_observed(view=view))).risks
    assert "1.54 × the 24 cores that its nodes give with those back that are" in risk.detail
    nothing = replace(view, nodes=nodes(cordoned=1)[2:])  # all there is: 8 cores for 37
    (risk,) = only(make_plan([asking("team-a", "2")], make_observed(view=nothing))).risks
    assert "4.62 × the 8 cores" in risk.detail
    closed = replace(view, nodes=nodes(closed=1)[2:])
    (risk,) = only(make_plan([asking("team-a", "2")], make_observed(view=closed))).risks
    assert risk.detail.startswith("unknown whether its quota fits on aks-1: no ready node")


@pytest.mark.parametrize(
    "text", ["lots", "0", "-1", "nan", "inf", "100.1", "1_0", "1.500", "1,5", "1e1", "٣"]
)
def test_a_limit_that_is_no_number_above_0_is_refused(text):
    with pytest.raises(ConfigError, match="write a number such as"):
        read_max_commitment(text)
    assert (read_max_commitment(" "), read_max_commitment("1.5")) == (None, Decimal("1.5"))


def test_an_adoption_that_is_refused_is_the_only_mistake_told():
    spec = make_spec(quota=amounts(cpu_limit="2"))
    there = make_view(namespaces=(KubernetesNamespace(name="team-a"),))
    with pytest.raises(SpecError) as caught:
        make_plan([spec], make_observed(view=there))
    assert [p.column for p in caught.value.problems] == ["adoption_policy"]


def test_what_is_promised_is_unknown_where_kubernetes_was_not_read():
    plan = make_plan([make_spec()], make_observed(unknown="not reachable"))
    assert plan.commitments == {CLUSTER: None}


def test_two_clusters_of_one_name_are_counted_apart():
    twin = ClusterId(CLUSTER.subscription_id, "other-group", CLUSTER.cluster_name)
    observed = make_observed()
    clusters = {**observed.clusters, **make_observed(cluster=make_cluster(twin)).clusters}
    larger = amounts(**QUOTA | {"cpu_request": "2"})
    specs = [make_spec(), make_spec("team-b", cluster=twin, quota=larger)]
    plan = make_plan(specs, replace(observed, clusters=clusters))
    after = {cluster: both[1]["cpu"] for cluster, both in plan.commitments.items()}
    assert {cluster: found.committed for cluster, found in after.items()} == {CLUSTER: 1, twin: 2}


def test_somebody_elses_secret_is_hidden_in_the_record_but_kept_and_counted():
    def planned(secret):
        held = make_namespace(annotations={"backup": f"https://me:{secret}@store.example"})
        spec = make_spec(quota=amounts(cpu_limit="3"), annotations={"contact": "x"})
        plan = make_plan([spec], make_observed(held))
        return plan, json.dumps(plan_to_json(plan, created_utc="2026-11-02T06:00:00Z"))

    (plan, record), (other, _) = planned("hunter2"), planned("hunter3")
    assert "hunter2" not in record
    assert only(plan).after.annotations["backup"] == "https://me:hunter2@store.example"
    assert plan.digest != other.digest
    leaving = make_spec(annotations={"backup": None})
    change = only(make_plan([leaving], make_observed(only(plan).before)))
    assert [(d.path, d.old) for d in change.differences] == [("annotations[backup]", HIDDEN)]


def test_the_record_is_plain_json_with_both_sides():
    change_record = plan_to_json(
        make_plan([make_spec(quota=amounts(cpu_limit="3"))], make_observed(make_namespace())),
        created_utc="2026-11-02T06:00:00Z",
    )
    record = json.loads(json.dumps(change_record))
    (change,) = record["changes"]
    assert change["before"]["default_resource_quota"]["cpu_limit"] == "2000m"
    assert change["after"]["default_resource_quota"]["cpu_limit"] == "3000m"
    assert change["before"]["etag"] == "etag-1"
    assert record["digest"].startswith("sha256:")


def test_the_difference_of_equals_is_empty():
    assert differences(make_namespace(), make_namespace(etag="other")) == ()


def test_an_adoption_shows_what_it_overwrites_and_removes():
    view = make_view(
        namespaces=(KubernetesNamespace(name="team-a", labels={"team": "x", "env": "prod"}),)
    )
    spec = make_spec(adoption_policy=AdoptionPolicy.ALWAYS, labels={"team": None, "env": "dev"})
    change = only(make_plan([spec], make_observed(view=view)))
    shown = {d.path: (d.old, d.new) for d in change.differences}
    assert shown["labels[env]"] == ("prod", "dev")
    assert shown["labels[team]"] == ("x", None)
    assert names(change) == ["adoption", "keys-removed", "labels-changed"]


def test_tag_names_compare_without_regard_to_case():
    held = make_namespace(tags={"Env": "dev", "Owner": "x"})
    change = only(make_plan([make_spec(tags={"env": "prod", "owner": None})], make_observed(held)))
    assert change.after.tags == {"Env": "prod"}


TEAM_A = CLUSTER.namespace("team-a")


def revoking(*held, **fields):
    """Return the plan that takes a role away, where these scopes assign it."""
    grant = make_grant()
    spec = make_spec(revoked=(grant,), **fields)
    triples = [(scope, *grant.key) for scope in held]
    return make_plan([spec], make_observed(make_namespace(), grants=triples))


@pytest.mark.parametrize("forms", [(0,), (1,), (0, 1)], ids=["new", "old", "both"])
def test_a_role_is_taken_away_at_either_form_of_the_scope_and_is_a_risk(forms):
    scopes = [TEAM_A.own_scopes[form] for form in forms]
    change = only(revoking(*scopes))
    assert change.kind is ChangeKind.UPDATE
    assert [held.scope for held in change.revoked] == scopes
    assert names(change) == ["access-removed"]
    assert change.risks[0].detail == f"Taken away: {make_grant().role} of Group {GROUP}."
    (difference,) = change.differences
    assert (difference.operation, difference.new) == ("remove", None)
    assert not change.writes_namespace


def test_a_role_that_is_not_there_is_no_change():
    change = only(revoking())
    assert (change.kind, change.differences, change.revoked) == (ChangeKind.NO_CHANGE, (), ())
    elsewhere = str(CLUSTER.namespace("team-b")).lower()
    assert only(revoking(elsewhere)).kind is ChangeKind.NO_CHANGE


@pytest.mark.parametrize(
    "scope",
    [
        CLUSTER.key,
        CLUSTER.key.partition("/providers")[0],
        f"/subscriptions/{CLUSTER.subscription_id}",
        "/providers/microsoft.management/managementgroups/all",
        "/",
    ],
)
def test_a_role_that_is_only_inherited_is_refused_with_its_scope(scope):
    with pytest.raises(SpecError) as refused:
        revoking(scope, row=7)
    (problem,) = refused.value.problems
    assert (problem.row, problem.column) == (7, "access")
    assert f"by an assignment at {scope}, which acts on more" in problem.message
    assert "az role assignment delete --ids" in problem.suggestion


def test_a_role_that_is_inherited_too_goes_at_its_own_scope_and_the_risk_says_that_it_stays():
    own, further_up = TEAM_A.own_scopes[0], f"/subscriptions/{CLUSTER.subscription_id}"
    change = only(revoking(own, further_up))
    assert [held.scope for held in change.revoked] == [own]
    assert change.risks[0].detail.endswith(
        "Kept all the same, by an assignment further up: "
        f"{make_grant().role} of Group {GROUP} at {further_up}."
    )
    assert names(change) == ["access-removed"]


def test_a_role_goes_from_the_kind_of_principal_that_azure_knows():
    user = replace(make_grant(), principal_type=PrincipalType.USER)
    observed = make_observed(make_namespace(), grants=[(TEAM_A.own_scopes[0], *user.key)])
    (difference,) = only(make_plan([make_spec(revoked=(user,))], observed)).differences
    assert difference.path == f"access[Group {GROUP}]"


def test_what_a_tier_takes_away_is_the_tiers():
    reader, writer = make_grant("Azure Kubernetes Service RBAC Reader"), make_grant()
    user = replace(writer, principal_type=PrincipalType.USER)
    in_full = make_spec(labels={"a": "b"}, tier="small", revoked=(reader, user))
    spec = replace(in_full, labels={}, revoked=(reader,), when_new=in_full)
    grants = [(TEAM_A.own_scopes[1], *grant.key) for grant in (reader, writer)]
    change = only(make_plan([spec], make_observed(grants=grants)))
    assert change.kind is ChangeKind.CREATE
    assert {(d.old, d.tier) for d in change.differences if d.is_access} == {
        (reader.role, ""), (writer.role, "small"),
    }  # fmt: skip


def test_of_a_namespace_that_goes_no_role_can_be_taken_away_as_well():
    spec = make_spec(quota={}, ensure=Ensure.ABSENT, revoked=(make_grant(),))
    with pytest.raises(SpecError, match=r"column access: .* is to go"):
        make_plan([spec], make_observed(make_namespace()))


def test_the_digest_of_a_plan_that_takes_no_role_away_is_that_of_before():
    grant, absent = make_grant(), {"ensure": Ensure.ABSENT, "quota": {}}
    specs = [
        make_spec("a", access=(grant,), labels={"k": "v"}),
        make_spec("b", row=3, labels={"x": None}),
        make_spec("c", row=4, **absent),
    ]
    observed = make_observed(make_namespace("b", labels={"x": "1"}), make_namespace("c"))
    plan = make_plan(specs, observed)
    assert plan.digest == "sha256:ac1d8c9878df74c429e3601ec70c6b82425f7217e70a9500585d505dd1289687"
    record = plan_to_json(plan, created_utc="2026-11-30T09:00:00Z")
    assert not any("revoked" in change for change in record["changes"])


def test_the_digest_rests_on_the_assignment_that_is_taken_away_not_on_its_spelling():
    plan = revoking(TEAM_A.own_scopes[0])
    (held,) = only(plan).revoked

    def digest(**fields):
        observed = make_observed(make_namespace())
        triple = (TEAM_A.key, held.principal_id, held.role_guid)
        grants = {triple: replace(held, **fields)}
        spec = make_spec(revoked=(make_grant(),))
        return make_plan([spec], replace(observed, grants=grants)).digest

    assert digest(id=held.id.upper()) == plan.digest
    assert digest(id=f"{held.id[:-1]}x") != plan.digest
