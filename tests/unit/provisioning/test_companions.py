"""A LimitRange and a quota of objects: what they shall be, hand-worked; who they are left to."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mnslib.errors import KubeError, KubeUnreachableError, SpecError
from mnslib.kube_models import LimitRange, QuotaStatus
from mnslib.models import Ensure
from mnslib.provisioning import companions
from mnslib.provisioning.apply import read_back
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.journal import read_events
from mnslib.provisioning.observe import observe
from mnslib.provisioning.plan import make_plan
from mnslib.provisioning.preflight import preflight
from mnslib.provisioning.resume import plan_rest, read_earlier
from mnslib.provisioning.undo import undo
from mnslib.quantities import read_quantity
from mnslib.results import CheckStatus

from .factories import (
    FakeAzure,
    amounts,
    carry_out,
    make_cluster,
    make_namespace,
    make_observed,
    make_spec,
    make_view,
    now,
)

NAMES = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")
ASKED = {"limit_range": "100m/200m 128Mi/256Mi", "companion_quota": {"pods": "20"}}


def quota(text):
    return amounts(**dict(zip(NAMES, text.split(), strict=True)))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        # an eighth: 125m and 128Mi; twice and four times that of what was rounded down
        ("1 2 1Gi 4Gi", "120m/240m 128Mi/512Mi"),
        # at the lower bounds: an eighth would be 12m and 16Mi
        ("100m 200m 128Mi 128Mi", "50m/100m 64Mi/64Mi"),
        # at the upper bounds: an eighth would be 2 cores and 4Gi; 1.5 times 250m is 375m
        ("16 24 32Gi 40Gi", "250m/370m 256Mi/320Mi"),
        # between two steps: 118m and 100Mi; 110m x 3 / 0.95 is 347.4m, 96Mi x 1.25 is 120Mi
        ("950m 3 800Mi 1000Mi", "110m/340m 96Mi/112Mi"),
        # no request is worth anything: as much limit as request
        ("1 1 0 2Gi", "120m/120m 64Mi/64Mi"),
    ],
)
def test_auto_is_an_eighth_of_the_quota_within_bounds_and_steps(asked, found):
    assert companions.automatic(quota(asked)) == found


def limit_range(text, *, name="mnslib-defaults", **fields):
    cpu, cpu_limit, memory, memory_limit = map(read_quantity, text.replace("/", " ").split())
    return LimitRange(
        namespace_name="team-a",
        name=name,
        default_requests={"cpu": cpu, "memory": memory},
        default_limits={"cpu": cpu_limit, "memory": memory_limit},
        **fields,
    )


OURS = limit_range("100m/200m 128Mi/256Mi")
OTHERS = limit_range("50m/50m 64Mi/64Mi", name="team-defaults")


def planned(spec, *ranges, quotas=()):
    return [*companions.planned(spec, quota("1 2 1Gi 4Gi"), ranges, quotas)]


@pytest.mark.parametrize("text", ["100m/200m 128Mi/256Mi", ""])
def test_what_is_as_asked_or_not_asked_for_is_no_change(text):
    assert planned(make_spec(limit_range=text), OURS) == []


def test_amounts_compare_as_numbers():
    same = limit_range("0.1/0.2 134217728/262144Ki")
    assert planned(make_spec(limit_range="100m/200m 128Mi/256Mi"), same) == []


def test_a_limit_range_of_others_is_left_and_ours_is_not_put_beside():
    spec = make_spec(limit_range="auto")
    assert planned(spec, OTHERS) == []
    # ours may go all the same, and one without defaults gives none
    (gone,) = planned(make_spec(limit_range="-"), OTHERS, OURS)
    assert (gone.before["limit_range"], gone.after) == ("100m/200m 128Mi/256Mi", {})
    bounds = replace(OTHERS, default_requests={}, default_limits={})
    (made,) = planned(spec, bounds)
    assert made.after == {"limit_range": "120m/240m 128Mi/512Mi"}


def test_what_will_hold_for_a_pod_is_known_before_it_is_written():
    there = [OURS, replace(OTHERS, default_requests={}, default_limits={})]
    more = planned(make_spec(limit_range="auto"), *there)
    ours = replace(limit_range("120m/240m 128Mi/512Mi"), namespace_name="")
    assert companions.ranges_after(there, more) == [there[1], ours]
    gone = planned(make_spec(limit_range="-"), OURS)
    assert companions.ranges_after([OURS], gone) == []
    assert companions.ranges_after([OURS], []) == [OURS]


def test_ours_is_what_it_gives_containers_whatever_else_was_added():
    bounds = replace(OURS, kind="Pod", default_requests={}, default_limits={})
    assert planned(make_spec(limit_range="100m/200m 128Mi/256Mi"), OURS, bounds) == []
    edited = replace(OURS, default_limits={"cpu": read_quantity("1")})
    (change,) = planned(make_spec(limit_range="auto"), edited)
    assert change.before == {"limit_range": "100m/1 128Mi/0"}


def companion(hard, **fields):
    hard = {key: read_quantity(text) for key, text in hard.items()}
    return QuotaStatus(
        namespace_name="team-a", name="mnslib-companion", hard=hard, used={}, **fields
    )


def test_keys_of_the_quota_are_merged_and_the_last_takes_it_along():
    there = companion({"pods": "20", "requests.storage": "1Ti"})
    more = make_spec(companion_quota={"services": "3", "pods": None})
    (change,) = planned(more, quotas=[there])
    assert change.after == {
        "companion_quota[requests.storage]": "1Ti",
        "companion_quota[services]": "3",
    }
    assert change.manifest("team-a")["spec"] == {
        "hard": {"requests.storage": "1Ti", "services": "3"}
    }
    none = make_spec(companion_quota={"requests.storage": None, "pods": None})
    assert planned(none, quotas=[there])[0].after == {}
    assert planned(make_spec(companion_quota={"pods": "20"}), quotas=[there]) == []


def test_what_the_counters_have_not_followed_yet_is_what_was_written_last():
    there = companion({"pods": "10"}, asked={"pods": read_quantity("20")})
    assert planned(make_spec(companion_quota={"pods": "20"}), quotas=[there]) == []


class FakeKube:
    """The companions of one namespace in memory; `errors` are raised by the next writes."""

    def __init__(self, *, may=lambda verb, resource, namespace: True):
        self.ranges, self.quotas, self.written, self.errors = [], [], [], []
        self.may_do, self.asked, self.set_apart = may, [], {}

    def limit_ranges(self, namespace="*"):
        self.asked.append(namespace)
        return list(self.ranges)

    def resource_quotas(self, namespace="*"):
        return list(self.quotas)

    def namespaces(self, name=""):
        return []

    nodes = pods = namespaces

    def may(self, *, verb, resource, namespace=""):
        return self.may_do(verb, resource, namespace), ""

    def apply(self, manifest):
        self.written.append(manifest["kind"])
        if self.errors:
            raise self.errors.pop(0)
        if manifest["kind"] == "LimitRange":
            (item,) = manifest["spec"]["limits"]
            both = [
                {n: read_quantity(t) for n, t in item[k].items()}
                for k in ("defaultRequest", "default")
            ]
            ours = LimitRange(namespace_name="team-a", name=manifest["metadata"]["name"])
            self.ranges = [replace(ours, default_requests=both[0], default_limits=both[1])]
        else:
            self.quotas = [companion(manifest["spec"]["hard"])]

    def delete(self, kind, name, *, namespace):
        self.written.append(f"{kind} gone")
        if kind == "LimitRange":
            self.ranges = []
        else:
            self.quotas = []


class Azure(FakeAzure):
    def get(self, target):
        return super().get(target) if hasattr(target, "namespace_name") else make_cluster(target)


def seen(specs, azure, kube):
    return observe(specs, azure=azure, kube_for=kube and (lambda _: kube), now=now)


def run(specs, azure, kube, journal):
    plan = make_plan(specs, seen(specs, azure, kube))
    approval = Approval(plan=plan, may_write=True)
    result = carry_out(approval, azure, journal, kube_for=lambda _: kube)
    return read_back(plan, result, specs, again=seen(specs, azure, kube), azure=azure)


@pytest.mark.parametrize("held", [(), (make_namespace(),)])
def test_they_are_written_once_the_namespace_stands_and_a_second_run_writes_nothing(held, journal):
    azure, kube, specs = Azure(*held), FakeKube(), [make_spec(**ASKED)]
    result, left = run(specs, azure, kube, journal)
    assert result.counts() == {"updated" if held else "created": 1}
    assert [left.to_do, kube.written] == [(), ["LimitRange", "ResourceQuota"]]
    again = make_plan(specs, seen(specs, azure, kube))
    assert again.to_do == ()
    assert [method for method, _ in azure.requests].count("PUT") == (not held)


def test_a_request_that_names_neither_asks_the_cluster_nothing(journal):
    azure, kube = Azure(make_namespace()), FakeKube()
    observed = seen([make_spec()], azure, kube)
    (cluster,) = observed.clusters.values()
    assert (kube.asked, cluster.kubernetes.limit_ranges) == ([], None)
    plan = make_plan([make_spec()], observed)

    assert plan.to_do == ()


def test_an_undo_gives_back_what_was_there_before(journal):
    azure, kube = Azure(make_namespace()), FakeKube()
    kube.quotas = [companion({"pods": "5", "services": "1"})]
    wanted = {"limit_range": "auto", "companion_quota": {"pods": "20", "services": None}}
    run([make_spec(**wanted)], azure, kube, journal)
    (row,), lost = undo(read_events(journal.path)[0])
    assert (row["limit_range"], row["companion_quota"]) == ("-", {"pods": "5", "services": "1"})
    assert lost == []
    back = make_spec(limit_range="-", companion_quota=row["companion_quota"])
    result, left = run([back], azure, kube, journal)
    assert (result.counts(), left.to_do, kube.ranges) == ({"updated": 1}, (), [])
    assert kube.quotas == [companion({"pods": "5", "services": "1"})]


def test_of_a_namespace_that_was_made_both_stay_and_it_is_said(journal):
    azure, kube = Azure(), FakeKube()
    run([make_spec(**ASKED)], azure, kube, journal)
    (row,), lost = undo(read_events(journal.path)[0])
    assert row["ensure"] == Ensure.ABSENT
    assert not {"limit_range", "companion_quota"} & row.keys()
    assert [str(one) for one in lost if "mnslib-" in str(one)] == [
        "team-a on aks-1: what it got beside its quota stays in the Kubernetes namespace"
        f" as long as that does: {name}"
        for name in ("mnslib-companion", "mnslib-defaults")
    ]


CONFLICT = KubeError(
    'cluster aks-1: 409: conflict with "kubectl-edit" using v1: .spec.hard.pods.',
    status=409,
)


def test_a_field_of_another_manager_fails_the_item_by_name_and_is_no_undo(journal):
    azure, kube = Azure(make_namespace()), FakeKube()
    kube.quotas, kube.errors = [companion({"pods": "30"})], [CONFLICT]
    result, _ = run([make_spec(companion_quota={"pods": "20"})], azure, kube, journal)
    (item,) = result.outcomes
    assert item.outcome == "failed"
    assert "the namespace is as requested, but companion_quota is not" in item.reason
    assert '"kubectl-edit"' in item.reason
    assert undo(read_events(journal.path)[0])[0] == []


@pytest.mark.parametrize(
    "error", [KubeUnreachableError("no answer"), KubeError("no such namespace", status=404)]
)
def test_what_may_go_well_later_is_tried_again(error, journal):
    azure, kube = Azure(), FakeKube()
    kube.errors = [error]
    result, left = run([make_spec(**ASKED)], azure, kube, journal)
    assert (result.counts(), left.to_do) == ({"created": 1}, ())
    assert kube.written == ["LimitRange", "LimitRange", "ResourceQuota"]


def test_what_somebody_else_changed_since_is_not_written_over(journal):
    azure, kube, specs = Azure(make_namespace()), FakeKube(), [make_spec(limit_range="-")]
    kube.ranges = [OURS]
    plan = make_plan(specs, seen(specs, azure, kube))
    kube.ranges = [limit_range("1/1 1Gi/1Gi")]
    approval = Approval(plan=plan, may_write=True)
    (item,) = carry_out(approval, azure, journal, kube_for=lambda _: kube).outcomes
    assert (item.outcome, item.reason) == (
        "skipped",
        "stale: somebody else changed mnslib-defaults after it was read",
    )
    assert kube.written == []


def test_a_write_whose_answer_was_lost_is_undone_all_the_same(journal):
    azure, kube = Azure(make_namespace()), FakeKube()
    apply_it = kube.apply

    def lose_the_answer(manifest):
        kube.apply = apply_it
        apply_it(manifest)
        raise KubeUnreachableError("no answer")

    kube.apply = lose_the_answer
    result, _ = run([make_spec(**ASKED)], azure, kube, journal)
    (row,), _ = undo(read_events(journal.path)[0])
    assert (result.counts(), kube.written) == ({"updated": 1}, ["LimitRange", "ResourceQuota"])
    assert (row["limit_range"], row["companion_quota"]) == ("-", {"pods": None})


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_run_that_was_killed_is_resumed_and_writes_each_once(done, journal):
    """Killed before the first, between the two, and before their end was told."""
    azure, kube, specs = Azure(), FakeKube(), [make_spec(**ASKED)]
    plan = make_plan(specs, seen(specs, azure, kube))
    carry_out(Approval(plan=plan, may_write=True), azure, journal, kube_for=lambda _: kube)
    lines = journal.path.read_text().splitlines(keepends=True)
    events = [json.loads(line)["event"] for line in lines]
    ends = [events.index("accepted"), events.index("applied"), len(events) - 3]
    journal.path.write_text("".join(lines[: ends[done] + 1]))
    kube.ranges, kube.quotas = kube.ranges * (done > 0), kube.quotas * (done > 1)
    kube.written.clear()
    earlier = read_earlier(journal.path.parent)
    rest = plan_rest(specs, seen(specs, azure, kube), earlier, max_commitment=None)
    approval = Approval(plan=rest.plan, may_write=True)
    result = rest.complete(carry_out(approval, azure, journal, kube_for=lambda _: kube))
    assert result.counts() == {"created": 1}
    assert kube.written == ["LimitRange", "ResourceQuota"][done:]
    assert [method for method, _ in azure.requests].count("PUT") == 1


def test_a_resumed_run_writes_no_other_than_was_approved(journal):
    azure, kube, specs = Azure(make_namespace()), FakeKube(), [make_spec(limit_range="auto")]
    plan = make_plan(specs, seen(specs, azure, kube))
    kube.errors = [KubeError("refused", status=403)]
    carry_out(Approval(plan=plan, may_write=True), azure, journal, kube_for=lambda _: kube)
    lines = journal.path.read_text().splitlines(keepends=True)
    journal.path.write_text("".join(line for line in lines if '"finished"' not in line))
    kube.ranges = [limit_range("1/1 1Gi/1Gi")]
    rest = plan_rest(
        specs, seen(specs, azure, kube), read_earlier(journal.path.parent), max_commitment=None
    )
    assert [(one.outcome, one.reason[:5]) for one in rest.decided] == [("skipped", "stale")]
    assert rest.plan.changes == ()


def test_the_digest_tells_one_from_another():
    plans = [
        make_plan([make_spec(**fields)], make_observed(view=make_view(limit_ranges=())))
        for fields in ({}, ASKED, {"limit_range": "auto"})
    ]
    assert len({plan.digest for plan in plans}) == 3


@pytest.mark.parametrize("held", [(), (make_namespace(quota=amounts(cpu_limit="2")),)])
def test_auto_needs_all_four_values(held):
    observed = make_observed(*held, view=make_view(limit_ranges=()))
    spec = make_spec(quota=amounts(cpu_request="1"), limit_range="auto")
    with pytest.raises(SpecError) as refused:
        make_plan([spec], observed)
    columns = ["cpu_limit"] * (not held) + ["memory_limit", "memory_request"]
    assert [problem.column for problem in refused.value.problems] == columns
    make_plan([make_spec(quota={}, companion_quota={"pods": "1"})] * len(held), observed)


# What is said before any write


def checks(spec, observed, status=CheckStatus.FAILED):
    return [check for check in preflight([spec], observed) if check.status is status]


def test_kubernetes_out_of_reach_is_refused_by_name_where_one_is_asked_for():
    there = make_observed(make_namespace(), unknown="no answer from aks-1")
    (check,) = checks(make_spec(**ASKED), there)
    assert check.detail.startswith("team-a ask for limit_range or companion_quota")
    assert "no answer from aks-1" in check.remedy
    assert checks(make_spec(), there) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_a_tier_asks_only_for_a_namespace_that_is_new(is_there):
    spec = make_spec(tier="small")
    spec = replace(spec, when_new=replace(spec, **ASKED))
    observed = make_observed(*[make_namespace()] * is_there, unknown="no answer")
    assert len(checks(spec, observed)) == (not is_there)


def test_a_right_that_is_lacking_is_named_with_the_role_and_the_scope():
    kube = FakeKube(
        may=lambda verb, kind, namespace: kind == "limitranges" and namespace == "team-a"
    )
    spec = make_spec(**ASKED)
    observed = seen([spec], Azure(), kube)
    (check,) = checks(spec, observed)
    assert check.detail == "You may not write a ResourceQuota in team-a."
    assert "Azure Kubernetes Service RBAC Cluster Admin" in check.remedy
    assert check.remedy.endswith("/managedClusters/aks-1")


def test_a_limit_range_that_is_left_is_said():
    observed = make_observed(make_namespace(), view=make_view(limit_ranges=(OTHERS,)))
    (check,) = checks(make_spec(limit_range="auto"), observed, CheckStatus.WARNING)
    assert "team-a (team-defaults)" in check.detail
