"""What is held back of what the rules propose: cuts over gaps, below peaks, by too much."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from mnslib.capacity.tables import Tables
from mnslib.kube_models import Container, Event, Pod, QuotaStatus, Workload
from mnslib.models import MANAGED_QUOTA_NAME
from mnslib.show.show import show

from .conftest import NOW

HOURS = 24 * 10
CPU, MEMORY = "requests.cpu", "requests.memory"
PLACE = ("aks-1", "web")


def quota(cpu="20", used="2", name=MANAGED_QUOTA_NAME):
    hard = {CPU: Decimal(cpu), MEMORY: Decimal(2**34)}
    counted = {CPU: Decimal(used), MEMORY: Decimal(2**34) * Decimal("0.85")}
    return QuotaStatus(namespace_name="web", name=name, hard=hard, used=counted)


def flat(value, **at):
    samples = np.full(HOURS, float(value))
    for place, other in at.items():
        samples[int(place.removeprefix("h"))] = other
    return list(samples)


def history(*, used=2.0, usage=1.9, asked=2.0, hard=20.0):
    """Ten days in which 2 of 20 cores were requested and used, unless told otherwise."""
    of = {"used": used, "usage": usage, "asked": asked, "hard": hard}
    row = {name: flat(value) if np.isscalar(value) else value for name, value in of.items()}
    memory = 2**34
    return {
        "used": {(*PLACE, CPU): row["used"], (*PLACE, MEMORY): flat(0.85 * memory)},
        "hard": {(*PLACE, CPU): row["hard"], (*PLACE, MEMORY): flat(memory)},
        "requested": {(*PLACE, CPU): row["asked"], (*PLACE, MEMORY): flat(0.85 * memory)},
        "usage_cpu": {PLACE: row["usage"]},
        "usage_memory": {PLACE: flat(0.8 * memory)},
    }


def cut_of(tables):
    steps = tables.steps[tables.steps["kind"] == "give back"]
    return dict(zip(steps["resource"], steps["to"], strict=True))


@pytest.fixture
def read(make_snapshot):
    return lambda **facts: Tables(make_snapshot({"aks-1": [quota()]}, **history(**facts)))


def test_no_more_than_a_quarter_is_taken_back_at_once(read):
    tables = read()
    assert cut_of(tables) == {"cpu_request": 15.0}
    assert tables.steps["reason"].tolist() == ["never asked for; a quarter at most"]
    assert tables.requests["cpu_request"].tolist() == ["15000m"]
    assert tables.decided.withheld == {}


@pytest.mark.parametrize(
    ("facts", "to"),
    [
        ({"usage": flat(1.9, h3=17.0)}, 17.0),  # one hour of bursting, three weeks ago
        ({"asked": flat(2.0, h3=16.5)}, 16.5),  # what pods asked for, whatever was counted
        ({"used": flat(2.0, h3=13.6)}, 17.0),  # 80 % of 17
    ],
)
def test_nothing_is_taken_back_that_a_peak_needed(read, facts, to):
    assert cut_of(read(**facts)) == {"cpu_request": to}


def test_a_peak_of_all_there_is_leaves_nothing_to_take_back(read):
    tables = read(usage=flat(1.9, h3=20.5))
    assert cut_of(tables) == {}
    assert tables.decided.withheld == {"peak": ("web",)}


@pytest.mark.parametrize("name", ["used", "usage"])
def test_nothing_is_cut_over_gaps(read, name):
    """Two days are unseen, a fifth of the time; which peaks they had nobody knows."""
    torn = flat(2.0 if name == "used" else 1.9)
    torn[50:98] = [np.nan] * 48
    tables = read(**{name: torn})
    assert cut_of(tables) == {}
    assert tables.decided.withheld == {"gaps": ("web",)}
    assert tables.requests.empty


def test_requests_that_were_used_once_or_over_gaps_are_not_called_unused(read):
    asked = {"used": 16.0, "asked": 16.0}
    assert read(**asked, usage=1.0).steps["kind"].tolist() == ["lower requests"]
    once = read(**asked, usage=flat(1.0, h3=16.0))
    assert once.steps.empty
    assert once.decided.withheld == {"peak": ("web",)}


def refused(make_snapshot, limited, now, at, **facts):
    """Pods of 1 core were refused 4 times under a quota of `limited`; it is `now`."""
    pod = Pod(
        namespace_name="web",
        name="app",
        phase="Pending",
        containers=(Container(requests={"cpu": Decimal(1)}),),
    )
    workload = Workload(
        kind="ReplicaSet", namespace_name="web", name="app-1", replicas=8, running=4, template=pod
    )
    event = Event(
        namespace_name="web",
        reason="FailedCreate",
        message=f"exceeded quota: {MANAGED_QUOTA_NAME}, requested: requests.cpu=1, "
        f"used: requests.cpu={limited}, limited: requests.cpu={limited}",
        object_kind="ReplicaSet",
        object_name="app-1",
        count=4,
        first_utc=at,
        last_utc=at,
    )
    about = {"events": {"aks-1": [event]}, "workloads": {"aks-1": [workload]}, **facts}
    return Tables(make_snapshot({"aks-1": [quota(now, limited)]}, **about))


@pytest.mark.parametrize(
    ("limited", "hard", "changed", "kinds"),
    [
        ("4", "4", None, ["raise"]),
        ("4", "6", None, []),  # raised since: 4 more would be 8
        ("4", "3", None, ["raise"]),  # lowered since: full now, and that is another reason
        ("4", "4", 1, []),  # the history saw a change in its last step
        ("4", "4", 100, ["raise"]),
    ],
)
def test_a_refusal_older_than_the_quotas_last_change_proposes_nothing(
    make_snapshot, limited, hard, changed, kinds
):
    facts = {}
    if changed:
        before = [float(hard) + 1] * (HOURS - changed)
        facts = history(used=float(limited), hard=before + [float(hard)] * changed)
    at = NOW - timedelta(minutes=90)
    tables = refused(make_snapshot, limited, hard, at, **facts)
    steps = tables.steps
    if changed == 1:
        assert "refused" not in " ".join(steps["reason"])
        assert tables.decided.withheld["outdated"] == ("web",)
        return
    assert steps["kind"].drop_duplicates().tolist() == kinds
    assert ("pods were refused 4 times" in " ".join(steps["reason"])) is (limited == hard)


def test_a_refusal_under_another_limit_says_no_raise_anywhere(make_snapshot):
    tables = refused(make_snapshot, "4", "6", NOW)
    (row,) = tables.refusals.to_dict("records")
    assert (row["limited"], row["raise_one"], row["raise_all"], row["quota_all"]) == (4, 0, 0, "")
    assert "None: the quota or its pods changed since" in repr(show(tables, "blocked"))


def test_a_raise_that_was_made_is_not_proposed_again_lower(make_snapshot):
    """Azure holds 9 cores already, the cluster still shows 4, of which 4 are used."""
    full = make_snapshot({"aks-1": [quota("4", "4")]})
    assert Tables(full).requests["cpu_request"].tolist() == ["4500m"]
    made = make_snapshot({"aks-1": [quota("4", "4")]}, granted={PLACE: {"cpu_request": Decimal(9)}})
    tables = Tables(made)
    assert tables.requests.empty
    assert tables.steps.empty
    assert tables.decided.withheld == {"made": ("web",)}
