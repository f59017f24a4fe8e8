"""A plan that lay for a while: what changed or appeared meanwhile is skipped, the rest goes on."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from mnslib.errors import KubeUnreachableError
from mnslib.kube_models import KubernetesNamespace
from mnslib.models import AdoptionPolicy
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.plan import make_plan
from mnslib.results import ChangeKind

from .factories import (
    FakeAzure,
    amounts,
    carry_out,
    make_namespace,
    make_observed,
    make_spec,
    make_view,
    writes,
)

LARGER = amounts(cpu_limit="4")
ALWAYS = {"adoption_policy": AdoptionPolicy.ALWAYS}


class Unguarded(FakeAzure):
    """A service that ignores `If-Match` and `If-None-Match`."""

    def begin_create_or_update(self, namespace, *, if_match, must_be_new=False):
        return super().begin_create_or_update(namespace, if_match=None)


class Kubernetes:
    """The namespaces of a cluster now; which of them were asked for."""

    def __init__(self, *names, error=None, labels=None):
        self.names, self.error, self.asked, self.labels = names, error, [], labels or {}

    def __call__(self, cluster):
        return SimpleNamespace(namespaces=self.list)

    def list(self, name):
        self.asked.append(name)
        if self.error:
            raise self.error
        return [KubernetesNamespace(name=name, labels=self.labels)] * (name in self.names)


def run(azure, specs, journal, *, kube_for=None, meanwhile=(), unknown=""):
    """Plan, let others write, apply."""
    view = make_view(namespaces=(KubernetesNamespace(name="default"),))
    observed = make_observed(*azure.store.values(), view=view, unknown=unknown)
    plan = make_plan(specs, observed)
    azure.store |= {namespace.id.key: namespace for namespace in meanwhile}
    approval = Approval(plan=plan, may_write=True)
    return carry_out(approval, azure, journal, kube_for=kube_for)


def outcomes(result):
    return {o.id.namespace_name: o.outcome.value for o in result.outcomes}


def test_each_item_is_read_before_its_write_where_the_service_ignores_if_match(journal):
    azure = Unguarded(make_namespace("a"), make_namespace("b"))
    theirs = [
        make_namespace("a", etag="theirs", labels={"theirs": "1"}),
        make_namespace("new", labels={"theirs": "1"}),
    ]
    specs = [make_spec("a", quota=LARGER), make_spec("b", quota=LARGER), make_spec("new"),
             make_spec("newer")]  # fmt: skip
    result = run(azure, specs, journal, meanwhile=theirs)
    assert outcomes(result) == {
        "a": "skipped", "b": "updated", "new": "skipped", "newer": "created",
    }  # fmt: skip
    assert sorted(writes(azure)) == [("PUT", "b"), ("PUT", "newer")]
    assert [azure.store[one.id.key] for one in theirs] == theirs


def test_where_the_service_ignores_if_match_its_question_is_the_write_itself(journal):
    held = [make_namespace(f"ns-{number:02}") for number in range(20)]
    azure = Unguarded(*held)
    specs = [make_spec(n.id.namespace_name, quota=LARGER) for n in held]
    assert run(azure, specs, journal).counts() == {"updated": 20}
    assert Counter(method for method, _ in azure.requests) == {"GET": 20, "PUT": 20}


def test_only_what_is_made_is_looked_for_on_the_cluster_just_before_its_write(journal):
    azure, kube = FakeAzure(make_namespace("a")), Kubernetes()
    specs = [make_spec("a", quota=LARGER), make_spec("new", **ALWAYS)]
    run(azure, specs, journal, kube_for=kube)
    assert azure.requests == [("GET", "a"), ("PUT", "a"), ("GET", "new"), ("PUT", "new")]
    assert kube.asked == ["new"]


def test_a_namespace_that_appeared_on_the_cluster_is_not_taken_over_unseen(journal):
    azure, kube = FakeAzure(make_namespace("old")), Kubernetes("default", "theirs", "old")
    specs = [make_spec("theirs", **ALWAYS), make_spec("mine", **ALWAYS), make_spec("third"),
             make_spec("old", quota=LARGER)]  # fmt: skip
    result = run(azure, specs, journal, kube_for=kube)
    assert outcomes(result) == {
        "mine": "created", "old": "updated", "theirs": "skipped", "third": "created",
    }  # fmt: skip
    (skipped,) = result.unfinished
    assert skipped.reason == (
        "stale: a Kubernetes namespace theirs appeared on cluster aks-1 after it was read, and"
        " would be taken over"
    )
    assert skipped.remedy == "make a new plan"
    assert Counter(kube.asked) == {"mine": 1, "third": 1, "theirs": 2}  # that one once more


@pytest.mark.parametrize("labels", [{}, {"theirs": "1"}])
def test_what_changed_on_the_cluster_is_not_overwritten_by_an_old_adoption(journal, labels):
    azure, kube = FakeAzure(), Kubernetes("default", labels=labels)
    result = run(azure, [make_spec("default", **ALWAYS)], journal, kube_for=kube)
    assert result.outcomes[0].change is ChangeKind.ADOPT
    assert outcomes(result) == {"default": "skipped" if labels else "adopted"}
    assert len(azure.store) == (0 if labels else 1)


@pytest.mark.parametrize(("unknown", "outcome"), [("", "skipped"), ("forbidden", "created")])
def test_where_nobody_can_look_again_only_what_might_take_over_waits(journal, unknown, outcome):
    azure, kube = FakeAzure(), Kubernetes(error=KubeUnreachableError("no answer"))
    specs = [make_spec("mine", **ALWAYS), make_spec("other")]
    result = run(azure, specs, journal, kube_for=kube, unknown=unknown)
    # a plan that did not know either named it as a risk, which was accepted
    assert outcomes(result) == {"mine": outcome, "other": "created"}
    assert ("no answer" in result.outcomes[0].reason) is (outcome == "skipped")


def test_what_this_run_wrote_itself_is_not_taken_for_somebody_elses(journal):
    held = [make_namespace(f"ns-{number:02}") for number in range(45)]
    azure = FakeAzure(*held)
    specs = [make_spec(n.id.namespace_name, quota=LARGER) for n in held]
    result = run(azure, specs, journal)
    assert result.counts() == {"updated": 45}
    assert Counter(method for method, _ in azure.requests) == {"GET": 6 + 2 + 1, "PUT": 46}
