"""What changes do to their cluster: what it promises before and after, and whether that fits.

Pure: the sums are `mnslib.commitment`'s. A cluster that was not read, or has no ready node, is
unknown here, neither full nor empty; to raise a promise there is a risk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from mnslib.commitment import Commitment, shortage
from mnslib.errors import ConfigError
from mnslib.kube_models import QuotaStatus
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_KEYS, ManagedNamespace
from mnslib.provisioning.changes import Change, Risk, RiskName
from mnslib.provisioning.observed import KubernetesView, ObservedCluster
from mnslib.quantities import RESOURCE_WORDS, ZERO, amount_text
from mnslib.resource_ids import ClusterId
from mnslib.results import ChangeKind

BeforeAndAfter = tuple[dict[str, Commitment], dict[str, Commitment]]


def read_max_commitment(text: str) -> Decimal | None:
    """Return how often a cluster may promise what its nodes give; None where text is empty.

    Raises:
        ConfigError: if the text is no number above 0.
    """
    if not text.strip():
        return None
    try:
        limit = Decimal(text.strip())
    except InvalidOperation:
        limit = ZERO
    if not limit.is_finite() or limit <= 0:
        raise ConfigError(f"max_commitment is {text!r}: write a number such as 1.5, or nothing.")
    return limit


def by_cluster(changes: Iterable[Change]) -> dict[ClusterId, list[Change]]:
    """Return the changes of each cluster, in their order."""
    found: dict[ClusterId, list[Change]] = defaultdict(list)
    for change in changes:
        found[change.id.cluster].append(change)
    return found


def before_and_after(
    observed: ObservedCluster, changes: Sequence[Change], max_commitment: Decimal | None
) -> BeforeAndAfter | None:
    """Return what a cluster promises before and after its changes; None where that is unknown."""
    view = observed.kubernetes
    if view is None:
        return None
    before = _promising(view, [change.before for change in changes])
    after = _promising(_without_deleted(view, changes), [change.after for change in changes])
    return before.commitments(max_commitment), after.commitments(max_commitment)


def with_overcommit(
    observed: ObservedCluster, changes: Sequence[Change], max_commitment: Decimal | None
) -> list[Change]:
    """Return a cluster's changes; those that raise one of its promises too far carry the risk.

    Too far is what does not fit (`commitment.shortage`) with all changes done; whether it fits may
    be unknown too. Counted are request quotas, since pods are placed by their requests. Source:
    kubernetes-mixin, KubeCPUQuotaOvercommit (memory alike).
    """
    both = before_and_after(observed, changes, max_commitment)
    name = observed.cluster.id.cluster_name
    found: dict[str, str] = {}
    for resource in ("cpu", "memory"):
        if both is None or not both[1][resource].allocatable:
            why = "Kubernetes was not read" if both is None else "no ready node"
            sentence = f"unknown whether its quota fits on {name}: {why}"
            found |= {change.id.key: sentence for change in changes if _raises(change, resource)}
            continue
        for key, sentence in _overcommit(name, changes, both[0][resource], both[1][resource]):
            found[key] = f"{found[key]}; {sentence}" if key in found else sentence
    return [
        _with_risk(change, found[change.id.key]) if change.id.key in found else change
        for change in changes
    ]


def _with_risk(change: Change, sentence: str) -> Change:
    risk = Risk(name=RiskName.OVERCOMMIT, detail=f"{sentence}.")
    return replace(change, risks=(*change.risks, risk))


def _overcommit(
    name: str, changes: Sequence[Change], before: Commitment, after: Commitment
) -> Iterator[tuple[str, str]]:
    """Yield key and sentence of each change that raises a promise too far."""
    if not shortage(before, after):
        return
    resource, nodes = after.resource, after.allocatable
    is_over = after.committed > before.committed and (after.over_limit or ZERO) > 0
    words = RESOURCE_WORDS[f"{resource}_request"]
    gives = f"the {amount_text(resource, nodes)} that its nodes give"
    over = f"{name} then commits {amount_text(resource, after.committed)} of {words}, "
    over += f"{after.committed / nodes:.2f} × {gives}; at most {after.max_ratio} × is allowed"
    for change in changes:
        own = after.by_namespace.get(change.id.namespace_name, ZERO)
        was = before.by_namespace.get(change.id.namespace_name, ZERO)
        if own <= was:
            continue
        if own > nodes:
            yield change.id.key, f"{amount_text(resource, own)} of {words}; {name} has but {gives}"
        elif is_over:  # nothing of its own, so that a page says it once of all
            yield change.id.key, over


def _raises(change: Change, resource: str) -> bool:
    was, becomes = (
        state.default_resource_quota.values().get(f"{resource}_request", ZERO) if state else ZERO
        for state in (change.before, change.after)
    )
    return becomes > was


def _without_deleted(view: KubernetesView, changes: Sequence[Change]) -> KubernetesView:
    # Whether the quota object outlives a deletion with Keep is unconfirmed: count it as staying.
    gone = {
        change.id.namespace_name
        for change in changes
        if change.kind is ChangeKind.DELETE and not change.is_release
    }
    quotas = tuple(quota for quota in view.quotas if quota.namespace_name not in gone)
    pods = tuple(pod for pod in view.pods if pod.namespace_name not in gone)
    return replace(view, quotas=quotas, pods=pods)


def _promising(view: KubernetesView, managed: Sequence[ManagedNamespace | None]) -> KubernetesView:
    """Return the cluster with these quotas as ARM has them: its own quota objects may trail."""
    promised = {
        namespace.id.namespace_name: QuotaStatus(
            namespace_name=namespace.id.namespace_name,
            name=MANAGED_QUOTA_NAME,
            hard={
                QUOTA_KEYS[name]: amount
                for name, amount in namespace.default_resource_quota.values().items()
            },
            used={},
        )
        for namespace in managed
        if namespace is not None
    }
    kept = [
        quota
        for quota in view.quotas
        if quota.namespace_name not in promised or quota.name != MANAGED_QUOTA_NAME
    ]
    return replace(view, quotas=(*kept, *promised.values()))
