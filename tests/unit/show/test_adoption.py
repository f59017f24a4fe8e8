"""The table on adoption: every rule and state in words, those that block first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mnslib.kube_models import Autoscaler, Entrance, NetworkPolicy, QuotaStatus
from mnslib.models import AdoptionPolicy, NetworkRule
from mnslib.provisioning.plan import make_plan
from mnslib.show.plans import adoption_table
from tests.unit.provisioning.factories import (
    CLUSTER,
    GROUP,
    amounts,
    make_assignment,
    make_observed,
    make_spec,
)
from tests.unit.provisioning.test_adoption import ADMIN, REFUSED, ROOM, SHOP, make_workload, world

OPEN = dict.fromkeys(("ingress_policy", "egress_policy"), NetworkRule.ALLOW_ALL)
SAME = dict.fromkeys(OPEN, NetworkRule.ALLOW_SAME_NAMESPACE)


def shown(observed, *, quota=(), **asked):
    """Return the table of what takes the namespace over."""
    asked = {"adoption_policy": AdoptionPolicy.ALWAYS, **OPEN, **asked}
    quota = amounts(**ROOM | dict(quota))
    return adoption_table(make_plan([make_spec(SHOP, quota=quota, **asked)], observed))


def said(observed, **asked):
    """Return line, result and words of each row."""
    return [tuple(map(str, row[1:4])) for row in shown(observed, **asked).rows]


def test_a_namespace_begins_with_all_of_it_and_then_has_what_blocks():
    there = world(make_workload(), make_workload("bare", cpu_limit="-", replicas=1, running=0))
    table = shown(there, quota={"cpu_request": "2"})
    assert [str(row[0]) for row in table.rows[:2]] == ["shop (aks-1)"] * 2
    first, *rest = said(there, quota={"cpu_request": "2"})
    assert first == ("all of it", "✕ BLOCK", "3 BLOCK (1 whatever the quota), 8 OK")
    # 2 of web, 500m of bare, 500m of an update
    assert table.rows[0][4].splitlines() == [
        "cpu_request: 3000m", "cpu_limit: 5000m", "memory_request: 6Gi", "memory_limit: 12Gi",
    ]  # fmt: skip
    assert rest[:3] == [
        ("values that a quota demands", "✕ BLOCK", "Deployment bare does not say limits.cpu for: "
         "app: refused when it starts anew, whatever the quota"),
        ("pods that start anew", "✕ BLOCK", "Deployment web starts 3 of 4"),
        ("updates", "✕ BLOCK",
         "Deployment web: stuck, for no new pod fits before an old one may go"),
    ]  # fmt: skip
    assert table.rows[2][4] == "cpu_request: 2500m"
    assert "unless its risk is named in allow" in table.note


def test_what_is_ok_alike_is_one_line():
    there = world(make_workload(), make_workload("api", replicas=1))
    found = {line: words for line, _, words in said(there)}
    assert found == {
        "all of it": "13 OK",
        "what its pods ask for": "CPU requests 2.5 cores of 8 cores, CPU limits 5 cores of 16 "
        "cores, memory requests 5 GiB of 32 GiB, memory limits 10 GiB of 64 GiB",
        "values that a quota demands": "every container says all four",
        "pods that start anew": "Deployment web starts 4 of 4, Deployment api starts 1 of 1",
        "updates": "Deployment web, Deployment api: at once",
        "what differs or is replaced": "nothing",
        "traffic that comes in": "AllowAll lets everything through",
        "traffic that goes out": "AllowAll lets everything through",
        "roles at the older scope": "none",
    }
    assert "Always is refused" not in shown(there).note
    many = world(*(make_workload(f"w{n}", replicas=1) for n in range(6)))
    found = {line: words for line, _, words in said(many)}
    assert found["pods that start anew"].endswith("Deployment w3 starts 1 of 1 and 2 more")
    assert found["updates"].endswith("Deployment w3, and 2 more: at once")


SCALER = Autoscaler(namespace_name=SHOP, name="web", workload_kind="Deployment",
                    workload_name="web", least=2, most=40, current=4)  # fmt: skip
INGRESS = Entrance(kind="Ingress", namespace_name=SHOP, name="web")
INNER = Entrance(kind="ClusterIP", namespace_name=SHOP, name="web")
OWN = QuotaStatus(namespace_name=SHOP, name="team-quota", hard={}, used={})
POLICY = NetworkPolicy(namespace_name=SHOP, name="own", filters=("Ingress", "Egress"))
ROLE = make_assignment(f"{CLUSTER}/namespaces/{SHOP}", GROUP, ADMIN)


@pytest.mark.parametrize(
    ("world_of", "asked", "line"),
    [
        ({"autoscalers": (SCALER,)}, {},
         ("autoscalers", "✕ BLOCK", "Deployment web reaches 16 of 40")),
        ({"autoscalers": (replace(SCALER, workload_name="gone"),)}, {},
         ("autoscalers", "? unknown", "unknown (Deployment gone): not found")),
        ({}, {"labels": {"a": "b"}, "adoption_policy": AdoptionPolicy.IF_IDENTICAL},
         ("what differs or is replaced", "! WARN", "IfIdentical is refused where it compares "
          "these, which differ: labels[a], defaultresourcequota and defaultnetworkpolicy")),
        ({"labels": {"a": "c"}}, {"labels": {"a": "b"}},
         ("what differs or is replaced", "! WARN", "Always replaces labels[a]")),
        ({"services": (INGRESS,)}, SAME,
         ("traffic that comes in", "✕ BLOCK", "AllowSameNamespace cuts off Ingress web")),
        ({"services": (INGRESS,), "engine": None}, SAME,
         ("traffic that comes in", "! WARN", "AllowSameNamespace cuts off Ingress web, once the "
          "cluster has a network policy engine")),
        ({"services": (INNER,)}, SAME,
         ("traffic that comes in", "! WARN", "ClusterIP web: AllowSameNamespace cuts off callers "
          "in other namespaces; whether there are any is not seen")),
        ({}, SAME, ("traffic that comes in", "✓ OK",
                    "AllowSameNamespace: nothing leads in from outside")),
        ({"network_policies": (POLICY,)}, SAME,
         ("traffic that comes in", "✓ OK",
          "AllowSameNamespace: its own network policies filter it already")),
        ({}, SAME, ("traffic that goes out", "✕ BLOCK", "AllowSameNamespace stops name resolution "
                    "(DNS) and all else that leaves the namespace, for 4 pods")),
        ({"roles": (ROLE,)}, {},
         ("roles at the older scope", "! WARN", f"Group {GROUP}: what is assigned at "
          f"{ROLE.scope.lower()} goes on to count")),
        ({"http_routes": REFUSED}, SAME,
         ("traffic that comes in", "? unknown", "unknown (http routes): no permission")),
        ({"apart": ("CronJob shop/odd (?)",)}, {},
         ("objects that could not be read", "? unknown", "unknown: CronJob shop/odd (?)")),
    ],
)  # fmt: skip
def test_each_rule_has_its_words(world_of, asked, line):
    assert line in said(world(make_workload(), **world_of), **asked)


def test_an_update_in_steps_and_a_namespace_where_nothing_runs():
    there = world(make_workload(surge=2, unavailable=1))
    assert ("updates", "! WARN", "Deployment web: in steps, for not all pods fit that it may start "
            "beside the old ones") in said(there, quota={"cpu_request": "2"})  # fmt: skip
    empty = said(world(), **SAME)
    assert ("traffic that goes out", "✓ OK", "AllowSameNamespace: nothing runs there") in empty
    same = {"adoption_policy": AdoptionPolicy.IF_IDENTICAL}
    policy = replace(POLICY, name="defaultnetworkpolicy")
    hard = {"requests.cpu": 8, "limits.cpu": 16, "requests.memory": 32 * 2**30,
            "limits.memory": 64 * 2**30}  # fmt: skip
    held = replace(OWN, name="defaultresourcequota", hard=hard)
    there = world(quotas=(held,), network_policies=(policy,))
    assert ("what differs or is replaced", "✓ OK", "nothing") in said(there, **same)


def test_nothing_adopted_is_one_sentence():
    table = adoption_table(make_plan([make_spec()], make_observed()))
    assert repr(table) == "Nothing is adopted."
    beside = [make_spec("new"), make_spec(SHOP, adoption_policy=AdoptionPolicy.ALWAYS)]
    table = adoption_table(make_plan(beside, world(make_workload())))
    assert {str(row[0]) for row in table.rows} == {"shop (aks-1)"}


def test_no_name_from_outside_acts_in_the_table():
    hostile = "<b>\x1b[31m"
    there = world(make_workload(hostile), services=(replace(INGRESS, name=hostile),))
    table = shown(there, **SAME)
    html = table._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>�" not in html
    assert "\x1b" not in html + repr(table)
