"""What a form shows of what was read and planned: clusters to choose, what a name is, what fits.

Pure; the amounts are those of plan and checks. Knows neither widgets nor runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from mnslib.commitment import Commitment, commitments
from mnslib.errors import MnsError
from mnslib.kube_models import Container, Pod, QuotaStatus
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_FIELDS, QUOTA_KEYS
from mnslib.pods import charge, let_in
from mnslib.provisioning.observe import ObservedCluster
from mnslib.provisioning.plan import Plan
from mnslib.quantities import ZERO, parse_quantity
from mnslib.requests.columns import written
from mnslib.resource_ids import ClusterId
from mnslib.show.handover import POD, REPLICAS
from mnslib.show.templates import render_part

_say = partial(render_part, "forms.html.j2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A cluster to choose, or why not.

    Attributes:
        sums: what it has committed, by resource; empty where that is not known.
        unfit: why it can take nothing, with what to do; empty where it can.
    """

    id: ClusterId
    sums: Mapping[str, Commitment] = field(default_factory=dict)
    engine: str | None = None
    unfit: str = ""


def choice(
    cluster: ClusterId, found: ObservedCluster | MnsError, max_ratio: Decimal | None
) -> Choice:
    """Return what is said of a cluster where one is chosen."""
    if isinstance(found, MnsError) or found.cluster.is_stopped:
        why = str(found) if isinstance(found, MnsError) else ""
        return Choice(id=cluster, unfit=str(_say("unfit_for", cluster, why)))
    sums: Mapping[str, Commitment] = {}
    if view := found.kubernetes:
        sums = commitments(
            nodes=view.nodes, quotas=view.quotas, pods=view.pods, max_ratio=max_ratio
        )
    return Choice(id=cluster, sums=sums, engine=found.cluster.network_policy_engine)


def name_is(found: ObservedCluster | None, name: str) -> str:
    """Return whether a name is `free`, `managed` or there `unmanaged`; empty where unknown."""
    if found is None or not name:
        return ""
    target = found.cluster.id.namespace(name)
    if found.find(target):
        return "managed"
    return "unmanaged" if found.on_cluster(target) else "free" if found.kubernetes else ""


def rooms(
    cluster: ClusterId | None, plan: Plan | None, chosen: Choice | None
) -> dict[str, tuple[Commitment, Commitment]]:
    """Return by resource what a cluster has committed before and after a plan."""
    if plan and cluster and (both := plan.commitments.get(cluster)):
        return {resource: (both[0][resource], both[1][resource]) for resource in both[0]}
    return {resource: (one, one) for resource, one in chosen.sums.items()} if chosen else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How many pods of a first Deployment start under a quota.

    Attributes:
        short: the values by which the next is refused; none where all start.
        raised: what the quota values have to be so that all start, those alone that are less.
    """

    cpu: str
    memory: str
    starts: int
    wanted: int
    short: Sequence[str]
    raised: Mapping[str, str]


def fit(found: ObservedCluster | None, plan: Plan | None) -> Fit | None:
    """Return how many start once a plan of one namespace is carried out; None if unknown."""
    after = plan.changes[0].after if plan and plan.changes else None
    if after is None:
        return None
    view, name = found.kubernetes if found else None, after.id.namespace_name
    quotas = [q for q in view.quotas if q.namespace_name == name] if view else []
    used = next((q.used for q in quotas if q.name == MANAGED_QUOTA_NAME), {})
    asked = {resource: parse_quantity(text) for resource, text in POD.items()}
    limits = {resource: amount * 2 for resource, amount in asked.items()}
    one = Container(name="app", requests=asked, limits=limits)
    pod = Pod(namespace_name=name, name="", phase="Pending", containers=(one,))
    need = charge(pod)
    hard = {QUOTA_KEYS[field]: amount for field, amount in after.quota.items()}
    used = {key: used.get(key, ZERO) for key in hard}
    quota = QuotaStatus(namespace_name=name, name=MANAGED_QUOTA_NAME, hard=hard, used=used)
    number, _ = let_in(pod, REPLICAS, [quota])
    next_one = {key: used[key] + need[key] * (number + 1) for key in hard}
    least = {key: used[key] + need[key] * REPLICAS for key in hard}
    return Fit(
        **POD,
        starts=number,
        wanted=REPLICAS,
        short=[f for f, k in QUOTA_KEYS.items() if number < REPLICAS and next_one[k] > hard[k]],
        raised={f: written(f, least[k]) for f, k in QUOTA_KEYS.items() if hard[k] < least[k]},
    )


def sizes(tiers: Mapping[str, Any] | None) -> dict[str, dict[str, str]]:
    """Return the quota values of each tier as a request writes them."""
    return {
        name: {
            f: written(f, getattr(tier, f)) for f in QUOTA_FIELDS if getattr(tier, f) is not None
        }
        for name, tier in (tiers or {}).items()
    }


def principals(access: Sequence[str]) -> dict[str, list[str]]:
    """Return the roles that are asked for, by whom they are for."""
    found: dict[str, list[str]] = {}
    for grant in access:
        principal, _, role = str(grant).rpartition("=")
        found.setdefault(principal, []).append(role)
    return found
