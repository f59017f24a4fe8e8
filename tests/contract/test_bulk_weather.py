"""A bulk apply against the sandbox in bad weather: items are tried again, none is written twice."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mnslib.models import AdoptionPolicy, DeletePolicy, ManagedNamespace, NamespaceSpec, Origin
from mnslib.packaged import packaged
from mnslib.provisioning.apply import apply
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.journal import Journal, read_events
from mnslib.provisioning.observe import item_now as observe_item_now
from mnslib.provisioning.observe import observe
from mnslib.provisioning.plan import make_plan
from mnslib.provisioning.undo import undo
from mnslib.run.targets import Target
from tests.operations import SameThread

QUOTA = {
    "cpu_request": Decimal("0.5"),
    "cpu_limit": Decimal(2),
    "memory_request": Decimal(2**30),
    "memory_limit": Decimal(2**31),
}
NEW = [f"weather-{number}" for number in range(6)]
HELD = ["web-checkout", "search-index"]
WRITE = {"surface": "arm", "method": "PUT", "path": "/managedNamespaces/[^/]+$"}


@pytest.fixture
def weather(sandbox):
    """Set one fault; the weather is fair afterwards."""

    def storm(effect, **fault):
        fault = {"name": "storm", "match": WRITE, "effect": effect} | fault
        sandbox.control("POST", "faults", {"faults": [fault]})

    yield storm
    sandbox.control("POST", "reset", {"clear": ["limits", "faults"]})


@pytest.fixture
def specs(sandbox):
    cluster = sandbox.cluster("aks-prod-weu-1")
    names = [(name, QUOTA) for name in NEW] + [(name, {"cpu_limit": Decimal(40)}) for name in HELD]
    return [
        NamespaceSpec(id=cluster.namespace(name), quota=quota, origin=Origin(file="r.csv", row=row))
        for row, (name, quota) in enumerate(names, start=2)
    ]


@pytest.fixture
def run(sandbox, make_azure_client, specs, tmp_path):
    """Plan and apply under the sandbox's clock."""
    target = Target(azure=make_azure_client(), sandbox=sandbox.connection)
    azure = target.azure

    def plan():
        return make_plan(specs, observe(specs, azure=azure, kube_for=target.kube_for, now=now))

    def now():
        return datetime.now(UTC)

    def run(meanwhile=lambda: None, **options):
        first = plan()
        meanwhile()
        journal = Journal(tmp_path / "journal.jsonl", now=now)
        approval = Approval(plan=first, may_write=True, max_failures=1)
        options = {"threads": SameThread(sandbox.sleep)} | options
        result = apply(approval, azure=azure, journal=journal, **options)
        return result, read_events(journal.path)[0], plan().to_do

    yield run
    for kube in target._kube.values():
        kube.close()


def accepted(sandbox):
    """Return how often each namespace's write was accepted."""
    found = [r for r in sandbox.requests("PUT") if "roleAssignments" not in r["path"]]
    return Counter(r["path"].rpartition("/")[2] for r in found if r["status"] in (200, 201))


@pytest.mark.parametrize(
    ("effect", "fault"),
    [
        # more of them than the six attempts of one request
        ({"status": 503}, {"times": 16}),
        ({"status": 429, "retry_after": 100}, {"times": 16}),
        ({"drop": "before"}, {"times": 16}),
        ({"operation": "fails"}, {"times": 6}),
    ],
)
def test_an_item_is_tried_again_until_it_goes_well(run, sandbox, weather, effect, fault):
    weather(effect, **fault)
    result, events, left = run()
    assert result.counts() == {"created": len(NEW), "updated": len(HELD)}
    assert left == ()
    finished = Counter(e["namespace_name"] for e in events if e["event"] == "finished")
    assert finished == dict.fromkeys(NEW + HELD, 1)
    failed = fault["times"] if "operation" in effect else 0
    # one write asks whether the service obeys, is refused, and may use up one of the faults
    assert sum(r["status"] == 412 for r in sandbox.requests("PUT")) == 1
    assert sum(accepted(sandbox).values()) - len(NEW + HELD) in (failed, max(0, failed - 1))


@pytest.mark.parametrize("workers", [1, 4])
def test_a_cluster_that_takes_one_write_at_a_time_fails_nothing_and_is_not_besieged(
    run, sandbox, weather, workers
):
    sandbox.control("POST", "limits", {"limits": {"writes_per_cluster": 1}})
    result, _, left = run(max_parallel_per_cluster=workers)
    assert result.counts() == {"created": len(NEW), "updated": len(HELD)}
    assert left == ()
    assert accepted(sandbox) == dict.fromkeys(NEW + HELD, 1)
    refused = [item for item in sandbox.requests("PUT") if item["status"] == 409]
    # each that was under way once, and none from then on
    assert len(refused) in range(min(1, workers - 1), workers)


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        ({"status": 409, "code": "ScopeLocked", "message": "locked: '/x/locks/no'"}, "A lock"),
        (
            {
                "status": 403,
                "code": "RequestDisallowedByPolicy",
                "additional_info": [{"type": "PolicyViolation", "info": {"id": "/x/locks/no"}}],
            },
            "Azure Policy",
        ),
        (
            {"operation": "fails", "code": "ScopeLocked", "message": "locked: '/x/locks/no'"},
            "A lock",
        ),
    ],
)
def test_what_is_forbidden_is_written_once_and_told_at_once(run, sandbox, weather, effect, words):
    weather(effect, match=WRITE | {"path": f"/{NEW[0]}$"})
    began = sandbox.seconds
    result, _, _ = run()
    (failed,) = [item for item in result.outcomes if item.outcome == "failed"]
    assert words in failed.reason
    assert "'/x/locks/no'" in failed.reason
    assert failed.remedy
    puts = [r for r in sandbox.requests("PUT") if r["path"].endswith(f"/{NEW[0]}")]
    assert len(puts) == 1
    assert sandbox.seconds - began < 30


@pytest.mark.parametrize("switches", [{}, {"if_match": "ignored"}])
def test_a_lost_answer_leads_to_no_second_write(run, sandbox, weather, switches):
    sandbox.control("POST", "switches", switches)
    weather({"drop": "after"}, times=7)
    result, _, left = run()
    assert result.unfinished == ()
    assert left == ()
    times = accepted(sandbox)
    assert times.keys() == {*NEW, *HELD}
    if not switches:  # else nothing keeps the pipeline's own second attempt from counting
        assert set(times.values()) == {1}


def test_what_fails_for_good_stops_the_run_and_is_written_five_times_at_most(run, sandbox, weather):
    weather({"operation": "fails"}, match=WRITE | {"path": f"/{NEW[0]}$"})
    result, events, _ = run()
    assert result.counts()["failed"] == 1
    assert accepted(sandbox)[NEW[0]] == 5
    assert sum(e["event"] == "finished" for e in events) == len(NEW + HELD)


def test_a_plan_writes_over_nothing_that_changed_since_even_unguarded(
    run, sandbox, specs, make_azure_client
):
    sandbox.control("POST", "switches", {"if_match": "ignored"})
    client = make_azure_client()
    target = specs[-1].id

    def somebody_else():
        held = client.managed_namespaces.get(target)
        client.managed_namespaces.begin_create_or_update(replace(held, labels={"theirs": "1"}))
        sandbox.sleep(120)

    result, _, left = run(somebody_else)
    assert result.counts() == {"created": len(NEW), "updated": 1, "skipped": 1}
    assert [change.id for change in left] == [target]
    assert client.managed_namespaces.get(target).labels == {"theirs": "1"}


def write_theirs(client, target):
    """Label a namespace of ours, or make one, as somebody else would."""
    if target.namespace_name in HELD:
        held = client.managed_namespaces.get(target)
    else:
        policies = {"adoption_policy": AdoptionPolicy.NEVER, "delete_policy": DeletePolicy.KEEP}
        held = ManagedNamespace(id=target, location="westeurope", quota=QUOTA, **policies)
    theirs = replace(held, labels={"theirs": "1"})
    client.managed_namespaces.begin_create_or_update(theirs)


class Meanwhile(SameThread):
    """Somebody else acts just before a namespace is written."""

    def __init__(self, sandbox, act, *, before):
        super().__init__(sandbox.sleep)
        self.act, self.before = act, before

    def start(self, job, send):
        if self.act and job.call.path.endswith(self.before) and job.call.method == "PUT":
            act, self.act = self.act, None
            act()
        super().start(job, send)


@pytest.mark.parametrize("switches", [{}, {"if_match": "ignored"}])
@pytest.mark.parametrize("place", [0, len(NEW) - 1, len(NEW), -1])
def test_what_somebody_else_did_since_the_plan_is_not_lost_where_etags_are_ignored(
    run, sandbox, specs, make_azure_client, switches, place
):
    sandbox.control("POST", "switches", switches)
    client, target = make_azure_client(), specs[place].id

    def somebody_else():
        write_theirs(client, target)
        sandbox.sleep(120)

    threads = Meanwhile(sandbox, somebody_else, before=f"/{target.namespace_name}")
    result, _, _ = run(threads=threads)
    assert threads.act is None
    assert result.counts()["skipped"] == 1
    assert client.managed_namespaces.get(target).labels == {"theirs": "1"}


def test_what_was_made_between_look_and_write_is_told_and_no_undo_deletes_it(
    run, sandbox, specs, make_azure_client, monkeypatch
):
    sandbox.control("POST", "switches", {"if_match": "ignored"})
    client, target = make_azure_client(), specs[0].id

    def item_now(id_, azure):
        found = observe_item_now(id_, azure)
        if id_ == target and found is None:
            write_theirs(client, target)
            sandbox.sleep(120)
        return found

    monkeypatch.setattr("mnslib.provisioning.writing.item_now", item_now)
    result, events, _ = run()
    told = {item.id: item for item in result.outcomes}[target]
    assert (told.outcome, told.reason) == (
        "updated",
        packaged("mnslib.provisioning", "words")["told"]["replaced"],
    )
    assert result.counts() == {"created": len(NEW) - 1, "updated": len(HELD) + 1}
    rows, lost = undo(events)
    assert target.namespace_name not in {row["namespace_name"] for row in rows}
    assert [one for one in lost if one.place.startswith(f"{target.namespace_name} on ")]


class Asleep(SameThread):
    """After some calls the machine sleeps for an hour; its clock counts that or does not."""

    def __init__(self, sandbox, *, after, counted):
        super().__init__(sandbox.sleep)
        self.sandbox, self.left, self.counted = sandbox, after, counted

    def start(self, job, send):
        super().start(job, send)
        self.left -= 1
        if self.left == 0:
            here = self.sandbox.seconds
            self.sandbox.sleep(3600)
            if not self.counted:
                self.sandbox.seconds = here


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("after", [1, 5, 12])
def test_an_hour_of_sleep_in_between_fails_nothing(run, sandbox, after, counted):
    threads = Asleep(sandbox, after=after, counted=counted)
    result, _, left = run(threads=threads)
    assert threads.left < 0
    assert result.counts() == {"created": len(NEW), "updated": len(HELD)}
    assert left == ()
    assert accepted(sandbox) == dict.fromkeys(NEW + HELD, 1)
    refused = {item["status"] for item in sandbox.requests() if item["status"] >= 400}
    # the token has ended, and is renewed; what is new is not there yet; one write is a question
    assert refused <= {401, 404, 412}


def test_a_clock_that_jumps_alone_fails_nothing(run, sandbox):
    class Jumping(SameThread):
        def start(self, job, send):
            super().start(job, send)
            sandbox.seconds += 3600

    sandbox.control("POST", "limits", {"name": "documented"})
    result, _, left = run(threads=Jumping(sandbox.sleep))
    assert result.counts() == {"created": len(NEW), "updated": len(HELD)}
    assert left == ()
    sandbox.control("POST", "reset", {"clear": ["limits"]})


def test_a_token_that_ends_in_the_middle_is_renewed_and_nothing_else_happens(run, sandbox, weather):
    weather({"token": "expires"}, match={"surface": "arm"}, after=12, times=1)
    result, _, left = run()
    assert result.counts() == {"created": len(NEW), "updated": len(HELD)}
    assert left == ()
    assert accepted(sandbox) == dict.fromkeys(NEW + HELD, 1)
    assert [item["status"] for item in sandbox.requests()].count(401) >= 1


def test_a_second_run_while_the_list_trails_finds_what_the_first_one_made(run, sandbox, specs):
    sandbox.control("POST", "switches", {"list_lag_seconds": 600.0})
    first, _, left = run()
    assert first.counts() == {"created": len(NEW), "updated": len(HELD)}
    # the namespaces stand on the cluster: they are neither to be adopted nor to be refused
    assert {change.id.namespace_name for change in left} == set(HELD)
    sandbox.control("DELETE", "requests")
    second, _, _ = run()
    assert second.counts() == {"unchanged": len(NEW) + len(HELD)}  # nothing was written
    assert accepted(sandbox) == {}
