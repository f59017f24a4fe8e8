"""For any world and any requests: applied once is enough, order is nothing, undo gives it back."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mnslib.models import (
    AdoptionPolicy,
    DeletePolicy,
    Ensure,
    NetworkPolicy,
    NetworkRule,
    ResourceQuota,
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
    FakeAzure,
    amounts,
    make_grant,
    make_namespace,
    make_observed,
    make_spec,
    now,
)

NAMES = ["a", "b", "c", "d", "e"]
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
    default_resource_quota=QUOTA.map(lambda q: ResourceQuota(**q)),
    default_network_policy=st.builds(
        NetworkPolicy, ingress=st.none() | RULES, egress=st.none() | RULES
    ),
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
)
GONE = st.builds(
    make_spec, st.sampled_from(NAMES), quota=st.just({}), ensure=st.just(Ensure.ABSENT)
)
WORLDS = st.lists(HELD, unique_by=lambda n: n.id.key, max_size=3)
REQUESTS = st.lists(ASKED | GONE, unique_by=lambda s: s.id.key, min_size=1, max_size=3)


def seen(azure):
    grants = {(a.scope.lower(), a.principal_id, a.role_guid) for a in azure.assignments}
    return make_observed(*azure.store.values(), grants=frozenset(grants))


def carry_out(specs, azure, folder):
    journal = Journal(Path(folder) / "journal.jsonl", now=now)
    plan = make_plan(specs, seen(azure), max_commitment=None)
    result = apply(Approval(plan=plan, may_write=True), azure=azure, journal=journal)
    assert result.unfinished == ()
    return read_events(journal.path)[0]


@given(WORLDS, REQUESTS)
@settings(max_examples=25, deadline=None)
def test_a_plan_after_its_own_apply_is_empty(world, specs):
    azure = FakeAzure(*world)
    with tempfile.TemporaryDirectory() as folder:
        carry_out(specs, azure, folder)
    assert make_plan(specs, seen(azure), max_commitment=None).to_do == ()


@given(WORLDS, REQUESTS, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_does_not_matter(world, specs, chance):
    shuffled = specs.copy()
    chance.shuffle(shuffled)
    one, other = (
        make_plan(some, make_observed(*world), max_commitment=None) for some in (specs, shuffled)
    )
    assert (one.changes, one.digest) == (other.changes, other.digest)


@given(WORLDS, REQUESTS)
@settings(max_examples=40, deadline=None)
def test_undo_gives_back_every_managed_namespace_and_names_what_it_cannot(world, specs):
    azure = FakeAzure(*world)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as back:
        found = undo(carry_out(specs, azure, folder))
        file = Path(back) / "undo.yaml"
        file.write_bytes(request_file(found.rows, suffix=".yaml"))
        if found.rows:
            carry_out(parse_requests(file), azure, back)
    before = {n.id.key: n for n in world}
    assert azure.store.keys() == before.keys()
    for key, was in before.items():
        for difference in differences(was, azure.store[key]):
            field = difference.path.partition("[")[0]
            place = f"{was.id.namespace_name} on aks-1: "
            said = [s for s in found.lost if s.startswith(place) and field in s]
            assert said, (difference, found.lost)
    for assignment in azure.assignments:
        assert any(assignment.principal_id in sentence for sentence in found.lost)
