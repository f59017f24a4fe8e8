"""What changes do to their cluster: what it promises before and after, and whether that fits.

Pure: the sums are `mnslib.commitment`'s. A cluster that was not read, or has no ready node, is
unknown here, neither full nor empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from mnslib.commitment import Commitment, committed_by_namespace
from mnslib.errors import ConfigError
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_KEYS, DeletePolicy, QuotaStatus
from mnslib.provisioning.changes import Change, Risk, RiskName
from mnslib.provisioning.observed import KubernetesView, ObservedCluster
from mnslib.quantities import ZERO
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


def before_and_after(observed: ObservedCluster, changes: Sequence[Change]) -> BeforeAndAfter | None:
    """Return what a cluster promises before and after the changes; None where that is unknown."""
    view = observed.kubernetes
    if view is None:
        return None
    return view.commitments(), _view_after(view, _of(observed, changes)).commitments()


def with_overcommit(
    observed: ObservedCluster, changes: Sequence[Change], max_commitment: Decimal | None
) -> list[Change]:
    """Return all changes; those that raise a promise of this cluster too far carry the risk.

    Too far is more than `max_commitment` times what ready nodes give, with all changes done, or
    for a single namespace more than all nodes together. Counted are request quotas, since pods are
    placed by their requests. Source: kubernetes-mixin, KubeCPUQuotaOvercommit (memory alike).
    """
    if observed.kubernetes is None:
        return list(changes)
    mine = _of(observed, changes)
    found: dict[str, str] = {}
    for resource in ("cpu", "memory"):
        for key, sentence in _overcommit(observed, mine, resource, max_commitment):
            found[key] = f"{found[key]}; {sentence}" if key in found else sentence
    return [
        _with_risk(change, found[change.id.key]) if change.id.key in found else change
        for change in changes
    ]


def _with_risk(change: Change, sentence: str) -> Change:
    risk = Risk(name=RiskName.OVERCOMMIT, detail=f"{sentence}.")
    return replace(change, risks=(*change.risks, risk))


def _overcommit(
    observed: ObservedCluster,
    changes: Sequence[Change],
    resource: str,
    max_commitment: Decimal | None,
) -> Iterator[tuple[str, str]]:
    """Yield key and sentence of each change that raises a promise too far."""
    view = observed.kubernetes
    if view is None:
        return
    then = _view_after(view, changes)
    before, after = view.commitments()[resource], then.commitments()[resource]
    nodes, name = after.allocatable, observed.cluster.id.cluster_name
    if not nodes:
        return
    is_over = max_commitment is not None and after.committed > max_commitment * nodes
    is_over = is_over and after.committed > before.committed
    held = committed_by_namespace(view.quotas, resource)
    asked = committed_by_namespace(then.quotas, resource)
    gives = f"the {_amount(resource, nodes)} that its nodes give"
    for change in changes:
        namespace = change.id.namespace_name
        own = asked.get(namespace, ZERO)
        was = max(held.get(namespace, ZERO), _set(change, resource))
        if change.kind is ChangeKind.NO_CHANGE or own <= was:
            continue
        if own > nodes:
            words = "CPU requests" if resource == "cpu" else "memory requests"
            yield change.id.key, f"{_amount(resource, own)} of {words}; {name} has but {gives}"
        elif is_over:
            yield (
                change.id.key,
                f"{_amount(resource, own - was)} more; {name} would promise "
                f"{_amount(resource, after.committed)}, {after.committed / nodes:.2f} × {gives}, "
                f"and max_commitment is {max_commitment}",
            )


def _set(change: Change, resource: str) -> Decimal:
    """Return the request quota that ARM holds: the cluster's own quota object may trail."""
    quota = change.before.default_resource_quota.values() if change.before else {}
    return quota.get(f"{resource}_request", ZERO)


def _amount(resource: str, value: Decimal) -> str:
    number, unit = (value, "cores") if resource == "cpu" else (value / 2**30, "GiB")
    return f"{number:,.2f}".rstrip("0").rstrip(".") + f" {unit}"


def _of(observed: ObservedCluster, changes: Sequence[Change]) -> list[Change]:
    return [change for change in changes if change.id.cluster == observed.cluster.id]


def _view_after(view: KubernetesView, changes: Sequence[Change]) -> KubernetesView:
    """Return the cluster as it is once all its changes are done."""
    rewritten = {c.id.namespace_name for c in changes if c.after is not None}
    # Whether the quota object outlives a deletion with Keep is unconfirmed: count it as staying.
    gone = {
        change.id.namespace_name
        for change in changes
        if change.kind is ChangeKind.DELETE and change.stored_delete_policy is DeletePolicy.DELETE
    }
    kept = [
        quota
        for quota in view.quotas
        if quota.namespace_name not in gone
        and not (quota.namespace_name in rewritten and quota.name == MANAGED_QUOTA_NAME)
    ]
    promised = [
        QuotaStatus(
            namespace_name=change.id.namespace_name,
            name=MANAGED_QUOTA_NAME,
            hard={
                QUOTA_KEYS[f]: v for f, v in change.after.default_resource_quota.values().items()
            },
            used={},
        )
        for change in changes
        if change.after is not None
    ]
    pods = tuple(pod for pod in view.pods if pod.namespace_name not in gone)
    return replace(view, quotas=(*kept, *promised), pods=pods)
