"""Whatever the service turns out to do: plan, apply, plan again finds nothing left to do."""

from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args, get_type_hints

import pytest

from mnslib.models import (
    AccessGrant,
    AdoptionPolicy,
    DeletePolicy,
    Ensure,
    NamespaceSpec,
    NetworkRule,
    Origin,
    PrincipalType,
)
from mnslib.provisioning.apply import apply
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.journal import Journal
from mnslib.provisioning.observe import observe
from mnslib.provisioning.plan import make_plan
from mnslib.run.targets import Target
from mnslib.sandbox.switches import Switches
from mnslib.sandbox.world import load
from tests.operations import SameThread
from tests.sandbox.client import PROD, Client

QUOTA = {
    "cpu_request": Decimal("0.5"),
    "cpu_limit": Decimal(2),
    "memory_request": Decimal(2**30),
    "memory_limit": Decimal(2**31),
}
WRITER = AccessGrant(
    principal_type=PrincipalType.GROUP,
    principal_id="00000000-0000-4000-9000-000000000003",
    role="Azure Kubernetes Service RBAC Writer",
    role_guid="a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb",
)
NUMBERS = {
    "retry_after_seconds": [1],
    "role_assignments_per_subscription": [500],
}
FLAG = "Microsoft.Features/providers/Microsoft.ContainerService/features/ManagedNamespacePreview"
CLUSTER = "aks-prod-weu-1"
PATIENCE_SECONDS = 3600


def settings():
    """Yield the defaults, then every switch with every other value, or one of another kind."""
    yield pytest.param("if_match", Switches().if_match, id="defaults")
    hints: dict[str, Any] = get_type_hints(Switches)
    for field in fields(Switches):
        hint = hints[field.name]
        words = [w for w in get_args(hint) if not isinstance(w, type)]
        kinds = {bool: [True, False], str: ["AnotherCode"], float: [60.0]}
        for value in words or NUMBERS.get(field.name) or kinds[hint]:
            if value != field.default:
                yield pytest.param(field.name, value, id=f"{field.name}={value}")


@pytest.fixture(scope="module", autouse=True)
def small_world(sandbox_connection):
    """One cluster with no more than these requests are about: seeded anew for each setting."""
    world = load("default")
    (cluster,) = [one for one in world["clusters"] if one["name"] == CLUSTER]
    named = ("web-checkout", "search-index", "payments-ledger", "payments-api", "docs-site")
    for kind in ("managed", "unmanaged"):
        kept = {name: one for name, one in cluster[kind].items() if name in named}
        cluster = cluster | {kind: kept}
    client = Client(sandbox_connection)
    world = world | {"clusters": [cluster]}
    assert client.control("POST", "world", {"world": world}).status_code == 200
    yield
    assert client.control("POST", "world", {"name": "default"}).status_code == 200
    client.session.close()


@pytest.fixture
def specs(sandbox):
    cluster = sandbox.cluster(CLUSTER)

    def spec(name, row, **changes):
        origin = Origin(file="requests.csv", row=row)
        return NamespaceSpec(id=cluster.namespace(name), origin=origin, **changes)

    return [
        spec("brand-new", 2, quota=QUOTA, labels={"owner": "x"}, access=(WRITER,)),
        spec("bare-new", 3, quota=QUOTA, tags={"cost": "1"}),
        spec("web-checkout", 4, quota={"cpu_limit": Decimal(17)}, annotations={"contact": "y"}),
        spec(
            "search-index", 5, egress_policy=NetworkRule.DENY_ALL, delete_policy=DeletePolicy.KEEP
        ),
        spec("docs-site", 6, quota=QUOTA, adoption_policy=AdoptionPolicy.ALWAYS),
        spec("payments-ledger", 7, ensure=Ensure.ABSENT),
        spec("payments-api", 8),
    ]


@pytest.fixture
def target(sandbox, make_azure_client):
    """The doors, with the sandbox's clock."""
    target = Target(azure=make_azure_client(), sandbox=sandbox.connection)
    yield target
    for kube in target._kube.values():
        kube.close()


def register_flag(sandbox):
    """What an administrator does once where the flag is still asked for."""
    client = Client(sandbox.connection)
    path = f"/subscriptions/{PROD}/providers/{FLAG}/register"
    assert client.arm("POST", path, version="2021-07-01").status_code == 200
    client.session.close()
    sandbox.sleep(60)


@pytest.mark.parametrize(("switch", "value"), list(settings()))
def test_plan_apply_plan_again_is_empty(sandbox, target, specs, tmp_path, switch, value):
    sandbox.control("POST", "switches", {switch: value})
    if switch == "feature_flag_required":
        register_flag(sandbox)
    azure = target.azure

    def plan():
        observed = observe(
            specs, azure=azure, kube_for=target.kube_for, now=lambda: datetime.now(UTC)
        )
        return make_plan(specs, observed)

    first = plan()
    assert len(first.to_do) == 6
    approval = Approval(plan=first, may_write=True)
    journal = Journal(tmp_path / "journal.jsonl", now=lambda: datetime.now(UTC))
    threads = SameThread(sandbox.sleep)  # waiting is the sandbox's clock's
    result = apply(approval, azure=azure, journal=journal, threads=threads)
    assert result.counts() == {
        "created": 2,
        "updated": 2,
        "adopted": 1,
        "released": 1,
        "unchanged": 1,
    }, [(one.id, one.reason) for one in result.outcomes]
    sandbox.sleep(PATIENCE_SECONDS)  # until a list that trails has caught up
    again = plan()
    assert [(one.id, one.differences) for one in again.to_do] == []
