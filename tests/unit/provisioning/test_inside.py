"""What is read of namespaces that would be taken over, and that it is read of no others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnslib.errors import (
    NOT_SERVED,
    ArmForbiddenError,
    ArmUnreachableError,
    KubeError,
    KubeUnreachableError,
    few_words,
)
from mnslib.kube_models import Entrance, KubernetesNamespace, LimitRange
from mnslib.models import MANAGED_LABEL, AdoptionPolicy
from mnslib.provisioning.observe import observe

from .factories import (
    CLUSTER,
    GROUP,
    FakeAzure,
    make_assignment,
    make_cluster,
    make_namespace,
    make_spec,
    now,
)

ADMIN = "3498e952-d568-435e-9b2c-8d77e338d7f7"
LISTS = ("workloads", "autoscalers", "limit_ranges", "network_policies")
WAYS = ("services", "ingresses", "http_routes")


class FakeKube:
    """A cluster with the namespaces `old` and `ours`; `answers` are values, or errors to raise."""

    def __init__(self, **answers):
        self.set_apart = {"Pod": ["Pod old/odd (?)"]}
        self.answers = {name: [] for name in (*LISTS, *WAYS, "resource_quotas", "nodes", "pods")}
        ours = KubernetesNamespace(name="ours", labels={MANAGED_LABEL: "true"})
        self.answers |= {"overheads": {}, "namespaces": [KubernetesNamespace(name="old"), ours]}
        self.answers |= answers
        self.asked = []

    def __getattr__(self, name):
        return lambda: self.entrances(name)

    def entrances(self, name):
        self.asked.append(name)
        found = self.answers[name]
        if isinstance(found, Exception):
            raise found
        return found


class Azure(FakeAzure):
    def __init__(self, *managed, guards=None):
        super().__init__(*managed)
        self.guards = guards

    def get(self, target):
        return make_cluster() if target == CLUSTER else super().get(target)

    def guarded_except(self, cluster):
        if isinstance(self.guards, Exception):
            raise self.guards
        return self.guards


def inside(spec, kube=None, azure=None):
    kube, azure = kube or FakeKube(), azure or Azure()
    found = observe([spec], azure=azure, kube_for=lambda _: kube, now=now)
    return found.clusters[CLUSTER].inside


ALWAYS = {"adoption_policy": AdoptionPolicy.ALWAYS}


@pytest.mark.parametrize(
    ("spec", "managed", "is_read"),
    [
        (make_spec("old", **ALWAYS), [], True),
        (make_spec("old", adoption_policy=AdoptionPolicy.IF_IDENTICAL), [], True),
        (make_spec("old"), [], False),  # which is refused
        (make_spec("old", adoption_policy=AdoptionPolicy.NEVER), [], False),
        (make_spec("new", **ALWAYS), [], False),
        (make_spec("ours", **ALWAYS), [make_namespace("ours")], False),
        (make_spec("old", when_new=make_spec("old", **ALWAYS)), [], True),
    ],
)
def test_it_is_read_where_something_would_be_taken_over_and_nowhere_else(spec, managed, is_read):
    kube = FakeKube()
    found = inside(spec, kube, Azure(*managed))
    assert (found != {}, "workloads" in kube.asked) == (is_read, is_read)


def test_all_that_is_read_is_kept():
    entrances = [Entrance(kind=kind, namespace_name="old", name="web") for kind in "abc"]
    gives = LimitRange(namespace_name="old", name="gives")
    kube = FakeKube(
        services=entrances[:1], ingresses=entrances[1:2], http_routes=entrances[2:],
        limit_ranges=[gives], overheads={"kata": {}},
    )  # fmt: skip
    azure = Azure(guards=["kube-system"])
    old = make_assignment(f"{CLUSTER}/NAMESPACES/old", GROUP, ADMIN)
    azure.assignments = [old, replace(old, scope=f"{CLUSTER}/namespaces/other")]
    assert inside(make_spec("old", **ALWAYS), kube, azure) == {
        "workloads": [], "autoscalers": [], "limit_ranges": [gives], "overheads": {"kata": {}},
        "network_policies": [], "services": entrances[:1], "ingresses": entrances[1:2],
        "http_routes": entrances[2:], "safeguards": ["kube-system"], "roles": [old],
    }  # fmt: skip
    assert sorted(kube.asked[4:]) == sorted((*LISTS, *WAYS, "overheads"))


def test_what_may_not_be_read_has_its_error_and_the_rest_is_kept():
    errors = {
        "workloads": KubeError("no", status=403),
        "http_routes": KubeError("no", status=404),
        "overheads": KubeUnreachableError("no answer"),
    }
    guards = ArmForbiddenError("no", status=403)
    found = inside(make_spec("old", **ALWAYS), FakeKube(**errors), Azure(guards=guards))
    met = {kind: one for kind, one in found.items() if isinstance(one, Exception)}
    assert met == errors | {"safeguards": guards}
    assert {kind: few_words(one) for kind, one in met.items()} == {
        "workloads": "no permission", "http_routes": NOT_SERVED,
        "overheads": "cluster not reachable", "safeguards": "no permission",
    }  # fmt: skip


def test_an_object_that_cannot_be_read_is_told_of():
    observed = observe([make_spec("old", **ALWAYS)], azure=Azure(), now=now,
                       kube_for=lambda _: FakeKube())  # fmt: skip
    assert observed.clusters[CLUSTER].kubernetes.set_apart == ("Pod old/odd (?)",)


def test_why_something_could_not_be_read_is_said_in_few_words():
    assert few_words(ArmUnreachableError("x")) == "Azure not reachable"
    assert few_words(KubeError("odd answer", status=500)) == "odd answer"
    assert len(few_words(KubeError("long " * 100))) <= 81
