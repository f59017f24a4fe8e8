"""For any world and any requests: applied once is enough, order is nothing, undo gives it back."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mnslib.kube_models import KubernetesNamespace
from mnslib.models import (
    ROLE_NAMES,
    AdoptionPolicy,
    DeletePolicy,
    Ensure,
    NetworkRule,
    Origin,
)
from mnslib.provisioning.apply import apply
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.changes import differences
from mnslib.provisioning.journal import Journal, read_events
from mnslib.provisioning.plan import make_plan
from mnslib.provisioning.undo import undo
from mnslib.requests.export import request_file
from mnslib.requests.spec import parse_requests

from .factories import (
    CLUSTER,
    FakeAzure,
    amounts,
    make_assignment,
    make_grant,
    make_namespace,
    make_observed,
    make_spec,
    make_view,
    now,
)

NAMES = ["a", "b", "c", "d", "e"]
READER, USER = "Azure Kubernetes Service RBAC Reader", "Azure Kubernetes Service Namespace User"
CPU = st.sampled_from(["500m", "1", "1500m"])
MEMORY = st.sampled_from(["512Mi", "1Gi"])
VALUES = st.sampled_from(["", "x", "team-1", "no", "1.10", "2026-01-31"])
TEXTS = VALUES | st.sampled_from(['say "a=b;c"', "=1+1", " two\nlines ", "ä€", "null", "{}"])
SECRET = {"password": "hunter2-hunter2"}
KEYS = st.sampled_from(["k1", "example.com/k2", "k3", "owner"])
QUOTA = st.fixed_dictionaries(
    {"cpu_request": CPU, "cpu_limit": CPU, "memory_request": MEMORY, "memory_limit": MEMORY}
).map(
    lambda q: (
        amounts(**q) | {"cpu_limit": amounts(c="2")["c"], "memory_limit": amounts(m="2Gi")["m"]}
    )
)
RULES, ADOPTION, DELETION = map(st.sampled_from, (NetworkRule, AdoptionPolicy, DeletePolicy))
HELD = st.builds(
    make_namespace,
    st.sampled_from(NAMES),
    labels=st.dictionaries(KEYS, VALUES),
    annotations=st.dictionaries(KEYS, TEXTS) | st.just(SECRET),
    tags=st.dictionaries(KEYS, TEXTS),
    quota=QUOTA,
    ingress_policy=st.none() | RULES,
    egress_policy=st.none() | RULES,
    adoption_policy=ADOPTION,
    delete_policy=DELETION,
)
ASKED = st.builds(
    make_spec,
    st.sampled_from(NAMES),
    quota=QUOTA,
    labels=st.dictionaries(KEYS, st.none() | VALUES),
    annotations=st.dictionaries(KEYS | st.just("password"), st.none() | VALUES),
    tags=st.dictionaries(KEYS, st.none() | VALUES),
    ingress_policy=st.none() | RULES,
    adoption_policy=st.none() | ADOPTION,
    delete_policy=st.none() | DELETION,
    access=st.just(()) | st.just((make_grant(),)),
    revoked=st.just(()) | st.just((make_grant(READER), make_grant(USER))),
)
GONE = st.builds(
    make_spec, st.sampled_from(NAMES), quota=st.just({}), ensure=st.just(Ensure.ABSENT)
)
HOLDING = st.sets(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from([0, 1]),  # the two forms of a scope
        st.sampled_from([make_grant(), make_grant(READER), make_grant(USER)]),
    ),
    max_size=4,
)
WORLDS = st.lists(HELD, unique_by=lambda n: n.id.key, max_size=3)
UNMANAGED = st.dictionaries(st.sampled_from(NAMES), st.dictionaries(KEYS, VALUES), max_size=2)
REQUESTS = st.lists(ASKED | GONE, unique_by=lambda s: s.id.key, min_size=1, max_size=3)


class World(FakeAzure):
    """ARM and a cluster: each Kubernetes namespace by name, what is in it told apart by a number.

    What is managed is on the cluster, some that is not beside it, which may be adopted; where both
    have a name, the cluster's has labels that ARM does not know of.
    """

    def __init__(self, managed, unmanaged, holding=()):
        super().__init__(*managed)
        for name, form, grant in holding:
            target = CLUSTER.namespace(name)
            if form or target.key in self.store:  # the older form needs no resource
                self.assignments.append(make_assignment(target.own_scopes[form], *grant.key))
        self.labels = {n.id.namespace_name: {} for n in managed} | unmanaged
        self.content = {name: number for number, name in enumerate(self.labels)}

    def _write(self, method, target, if_match, becomes):
        name, held = target.namespace_name, self.store.get(target.key)
        operation = super()._write(method, target, if_match, becomes)
        if becomes is not None:
            self.content.setdefault(name, 1000 + len(self.requests))
        elif held.delete_policy is DeletePolicy.DELETE:
            del self.content[name]
        return operation

    def asked(self, specs):
        """Return the requests as they may be planned: what exists unmanaged must be adopted."""
        managed = {n.id.namespace_name for n in self.store.values()}
        free = self.content.keys() - managed
        return [
            replace(s, adoption_policy=AdoptionPolicy.ALWAYS)
            if s.id.namespace_name in free and s.ensure is Ensure.PRESENT
            else s
            for s in specs
        ]


def roles_on(azure, target):
    """Return who has which role on a namespace, by either form of its scope."""
    held = {a for a in azure.assignments if a.scope.lower() in target.own_scopes}
    return {(a.principal_id, ROLE_NAMES[a.role_guid]) for a in held}


def seen(azure):
    grants = {(a.scope.lower(), a.principal_id, a.role_guid) for a in azure.assignments}
    namespaces = tuple(
        KubernetesNamespace(name=name, labels=azure.labels.get(name, {})) for name in azure.content
    )
    view = make_view(namespaces=namespaces)
    return make_observed(*azure.store.values(), view=view, grants=frozenset(grants))


def carry_out(specs, azure, folder):
    journal = Journal(Path(folder) / "journal.jsonl", now=now)
    plan = make_plan(specs, seen(azure), max_commitment=None)
    result = apply(Approval(plan=plan, may_write=True), azure=azure, journal=journal)
    assert result.unfinished == ()
    return read_events(journal.path)[0]


@given(WORLDS, UNMANAGED, REQUESTS, HOLDING)
@settings(max_examples=40, deadline=None)
def test_a_plan_after_its_own_apply_is_empty(managed, unmanaged, specs, holding):
    azure = World(managed, unmanaged, holding)
    specs = azure.asked(specs)
    with tempfile.TemporaryDirectory() as folder:
        carry_out(specs, azure, folder)
    assert make_plan(specs, seen(azure), max_commitment=None).to_do == ()


@given(WORLDS, UNMANAGED, REQUESTS, HOLDING, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_does_not_matter(managed, unmanaged, specs, holding, chance):
    azure = World(managed, unmanaged, holding)
    specs = azure.asked(specs)
    shuffled = specs.copy()
    chance.shuffle(shuffled)
    one, other = (
        make_plan(
            [replace(s, origin=Origin(file="r.csv", row=row)) for row, s in enumerate(some, 2)],
            seen(azure),
            max_commitment=None,
        )
        for some in (specs, shuffled)
    )
    assert (one.changes, one.digest) == (other.changes, other.digest)


@given(WORLDS, UNMANAGED, REQUESTS, HOLDING)
@example([], {"a": {}}, [make_spec("a", delete_policy=DeletePolicy.DELETE)], ())
@example(
    [make_namespace("a")], {"a": {"k1": "x"}}, [make_spec("a", quota={}, ensure=Ensure.ABSENT)], ()
)
@example(
    [make_namespace("a")], {}, [make_spec("a", revoked=(make_grant(),))], {("a", 0, make_grant())}
)
@example(
    [make_namespace("a")], {}, [make_spec("a", access=(make_grant(),))], {("a", 1, make_grant())}
)
@settings(max_examples=60, deadline=None)
def test_undo_gives_back_every_managed_namespace_and_names_what_it_cannot(
    managed, unmanaged, specs, holding
):
    azure = World(managed, unmanaged, holding)
    content = dict(azure.content)
    held = {spec.id: roles_on(azure, spec.id) for spec in specs}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as back:
        events = carry_out(azure.asked(specs), azure, folder)
        rows, lost = undo(events)
        file = Path(back) / "undo.yaml"
        file.write_bytes(request_file(rows, suffix=".yaml"))
        if rows:
            carry_out(parse_requests(file), azure, back)

    def says(name, *words):
        place = f"{name} on aks-1: "
        return any(s.startswith(place) and all(w in s for w in words) for s in map(str, lost))

    adopted = {e["namespace_name"] for e in events if e.get("outcome") == "adopted"}
    before = {n.id.key: n for n in managed}
    left = {k for k, n in azure.store.items() if k not in before}
    assert before.keys() <= azure.store.keys()
    for key in left:  # taken over with delete policy Delete: giving it back would take it along
        name = azure.store[key].id.namespace_name
        assert name in adopted
        assert says(name, "it stays managed")
    for key, was in before.items():
        for difference in differences(was, azure.store[key]):
            field = difference.path.partition("[")[0]
            assert says(was.id.namespace_name, field), (difference, lost)
    for target, roles in held.items():
        for principal, role in roles ^ roles_on(azure, target):
            name = target.namespace_name
            assert says(name, role, principal) or says(name, "role assignments on it went with it")
    for name in adopted:
        assert says(name, "what its adoption overwrote")
    for name in azure.content.keys() - content.keys():
        assert says(name, "the Kubernetes namespace stays, unmanaged")
    for name, number in content.items():
        if azure.content.get(name) != number:
            assert says(name, "what was in the Kubernetes namespace is lost")
