from __future__ import annotations

from mnslib.provisioning.journal import read_timeline
from mnslib.resource_ids import ClusterId
from mnslib.results import OutcomeKind

CLUSTER = ClusterId("s1", "rg", "aks-1")


def event(second, name, space="", **details):
    given = {"utc": f"2026-11-02T06:00:{second:02}.500000Z", "event": name, **details}
    if name in ("started", "granting", "accepted"):
        given["id"] = str(CLUSTER.namespace(space))
    if name == "finished":
        given |= {"subscription_id": "S1", "resource_group": "RG", "cluster_name": "aks-1"}
        given |= {"namespace_name": space, "change": "Update", "reason": "", "risks": []}
        given["duration_seconds"] = 0.0
    return given


def test_a_change_lasts_from_its_first_write_to_its_end():
    events = [
        event(0, "plan"), event(1, "started", "b"), event(2, "granting", "a"),
        event(3, "started", "b"), event(4, "finished", "a", outcome="updated"),
        event(9, "finished", "b", outcome="failed"),
    ]  # fmt: skip
    b, a = read_timeline(events)
    assert (b.id.namespace_name, b.started, b.ended, b.writes) == ("b", 1, 9, (1, 3))
    assert (a.started, a.ended, a.writes) == (2, 4, ())  # only a role was assigned
    assert (a.outcome, b.outcome) == (OutcomeKind.UPDATED, OutcomeKind.FAILED)


def test_what_was_never_begun_has_no_line():
    assert read_timeline([event(0, "plan"), event(1, "finished", "a", outcome="unchanged")]) == ()
    assert read_timeline([]) == ()


def test_of_a_resumed_run_only_the_rest_is_drawn():
    before = [
        event(0, "plan"),
        event(1, "started", "a"),
        event(2, "finished", "a", outcome="created"),
    ]
    later = [
        event(20, "plan"),
        event(25, "started", "b"),
        event(27, "finished", "b", outcome="created"),
    ]
    (only,) = read_timeline([*before, *later])
    assert (only.id.namespace_name, only.started, only.ended) == ("b", 5, 7)
