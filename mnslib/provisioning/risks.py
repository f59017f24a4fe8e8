"""Which named risks a change carries. Pure: looks at values that were read, reads nothing.

What could not be looked at counts as a risk, with the reason: unknown is not safe.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

from mnslib.models import (
    QUOTA_KEYS,
    DeletePolicy,
    ManagedNamespace,
    NetworkRule,
    format_quota_value,
)
from mnslib.pods import FINISHED_PHASES
from mnslib.provisioning.changes import Change, Risk, RiskName
from mnslib.provisioning.observed import ObservedCluster
from mnslib.results import ChangeKind

MANY_CHANGES_SHARE = 0.3
MANY_CHANGES_FROM = 10
"""More than this share of at least so many existing namespaces updated, adopted or deleted.

Source: octodns, `provider/plan.py`: safety threshold 30 %, from 10 existing records.
"""

STRICTNESS = (NetworkRule.ALLOW_ALL, NetworkRule.ALLOW_SAME_NAMESPACE, NetworkRule.DENY_ALL)

RECONCILERS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "meta.helm.sh/release-name": "Helm",
    "kubernetes-fleet.io/is-resource-placed": "Fleet",
    "kubernetes-fleet.io/parent-CRP": "Fleet",
    "capsule.clastix.io/tenant": "Capsule",
    "field.cattle.io/projectId": "Rancher",
}
"""Label or annotation that names an owner who writes the object again. Source: their documents."""

MANAGED_BY = {"argocd": "Argo CD", "flux": "Flux", "helm": "Helm", "terraform": "Terraform"}
"""Values of `app.kubernetes.io/managed-by`. Source: Kubernetes, recommended labels."""

AKS_DESKTOP_LABEL = "headlamp.dev/project-managed-by"
"""Source: Azure/aks-desktop, `projectLabels.ts`."""


def with_risks(change: Change, cluster: ObservedCluster) -> Change:
    """Return the change with every risk it carries."""
    finders = (_adoption, _foreign_owner, _deletion, _delete_policy, _quota, _policy, _keys)
    found = tuple(risk for finder in finders for risk in finder(change, cluster))
    return replace(change, risks=found)


def many_changes(changes: Sequence[Change], existing_count: int) -> Risk | None:
    """Return the risk that a plan touches a large share of what exists, None if it does not."""
    touching = {ChangeKind.UPDATE, ChangeKind.ADOPT, ChangeKind.DELETE}
    touched = sum(change.kind in touching for change in changes)
    if existing_count < MANY_CHANGES_FROM or touched <= MANY_CHANGES_SHARE * existing_count:
        return None
    detail = f"{touched} of {existing_count} existing managed namespaces would change."
    return Risk(name=RiskName.MANY_CHANGES, detail=detail)


def _adoption(change: Change, cluster: ObservedCluster) -> Iterator[Risk]:
    name = change.id.namespace_name
    if change.kind is ChangeKind.ADOPT:
        pods = _running(change, cluster)
        detail = f"{name} exists on the cluster with {_count(pods, 'running pod')}; AKS takes over "
        detail += "its quota, network policy, labels and annotations."
        yield Risk(name=RiskName.ADOPTION, detail=detail)
    elif _may_adopt_unseen(change, cluster):
        detail = f"Whether {name} exists on the cluster is unknown: {cluster.kubernetes_unknown}."
        yield Risk(name=RiskName.ADOPTION, detail=detail)


def _may_adopt_unseen(change: Change, cluster: ObservedCluster) -> bool:
    after = change.after
    return (
        change.kind is ChangeKind.CREATE
        and cluster.kubernetes is None
        and after is not None
        and after.adoption_policy is not None
        and after.adoption_policy.value != "Never"
    )


def _foreign_owner(change: Change, cluster: ObservedCluster) -> Iterator[Risk]:
    if change.kind in (ChangeKind.CREATE, ChangeKind.NO_CHANGE) or not change.writes_namespace:
        return
    marks = _marks(change, cluster)
    owners = {owner for key, owner in RECONCILERS.items() if key in marks}
    managed_by = marks.get("app.kubernetes.io/managed-by", "").lower()
    owners |= {owner for word, owner in MANAGED_BY.items() if word in managed_by}
    if owners:
        who = " and ".join(sorted(owners))
        detail = f"{who} writes {change.id.namespace_name} too and may put its own values back."
        yield Risk(name=RiskName.FOREIGN_OWNER, detail=detail)
    elif AKS_DESKTOP_LABEL in marks and change.kind is ChangeKind.DELETE:
        detail = f"{change.id.namespace_name} is a project of AKS desktop."
        yield Risk(name=RiskName.FOREIGN_OWNER, detail=detail)


def _marks(change: Change, cluster: ObservedCluster) -> dict[str, str]:
    marks: dict[str, str] = {}
    if change.before:
        marks |= {**change.before.labels, **change.before.annotations, **change.before.tags}
    if cluster.kubernetes and (seen := cluster.kubernetes.namespaces.get(change.id.namespace_name)):
        marks |= {**seen.labels, **seen.annotations}
    return marks


def _deletion(change: Change, cluster: ObservedCluster) -> Iterator[Risk]:
    if change.kind is not ChangeKind.DELETE or change.before is None:
        return
    pods = _running(change, cluster)
    if change.before.delete_policy is DeletePolicy.DELETE:
        detail = f"The Kubernetes namespace goes too, with {_count(pods, 'running pod')}."
    else:
        detail = f"The Kubernetes namespace stays, unmanaged, with {_count(pods, 'running pod')}."
    yield Risk(name=RiskName.DELETION, detail=detail)


def _delete_policy(change: Change, _: ObservedCluster) -> Iterator[Risk]:
    sets_it = any(d.path == "delete_policy" and d.new == "Delete" for d in change.differences)
    stored = change.before.delete_policy if change.before else None
    if sets_it or (change.kind is ChangeKind.DELETE and stored is DeletePolicy.DELETE):
        detail = "With delete_policy Delete, deleting the ARM resource deletes all that runs in it."
        yield Risk(name=RiskName.DELETE_POLICY, detail=detail)


def _quota(change: Change, cluster: ObservedCluster) -> Iterator[Risk]:
    if change.after is None or change.kind in (ChangeKind.CREATE, ChangeKind.NO_CHANGE):
        return
    was = change.before.default_resource_quota.values() if change.before else {}
    lowered = {
        name: amount
        for name, amount in change.after.default_resource_quota.values().items()
        if name not in was or amount < was[name]
    }
    requested = cluster.requested(change.id.namespace_name)
    if lowered and requested is None:
        detail = f"Quota falls, and what its pods ask for is unknown: {cluster.kubernetes_unknown}."
        yield Risk(name=RiskName.QUOTA_BELOW_USE, detail=detail)
    elif requested is not None:
        short = [
            f"{name} {_rounded_up(name, requested[QUOTA_KEYS[name]])} requested, "
            f"{format_quota_value(name, amount)} allowed"
            for name, amount in lowered.items()
            if amount < requested[QUOTA_KEYS[name]]
        ]
        if short:
            detail = (
                f"Below what runs ({'; '.join(short)}): running pods stay, the next restart or "
            )
            detail += "rollout is refused."
            yield Risk(name=RiskName.QUOTA_BELOW_USE, detail=detail)


def _policy(change: Change, cluster: ObservedCluster) -> Iterator[Risk]:
    if change.after is None or change.kind not in (ChangeKind.UPDATE, ChangeKind.ADOPT):
        return
    if _running(change, cluster) == 0:
        return
    tightened = [
        f"{direction} {was} to {becomes}"
        for direction, was, becomes in _rules(change.before, change.after)
        if STRICTNESS.index(becomes) > STRICTNESS.index(was)
    ]
    if tightened:
        detail = f"{', '.join(tightened)} while pods run: traffic that works now may stop."
        yield Risk(name=RiskName.POLICY_TIGHTENED, detail=detail)


def _rules(
    before: ManagedNamespace | None, after: ManagedNamespace
) -> Iterator[tuple[str, NetworkRule, NetworkRule]]:
    # Before adoption nothing of AKS filters; so the loosest rule is what applies.
    loosest = NetworkRule.ALLOW_ALL
    for direction in ("ingress", "egress"):
        was = getattr(before.default_network_policy, direction) if before else None
        becomes = getattr(after.default_network_policy, direction)
        yield direction, was or loosest, becomes or loosest


def _keys(change: Change, _: ObservedCluster) -> Iterator[Risk]:
    if change.after is None:
        return
    gone = [d.path for d in change.differences if d.operation == "remove"]
    if gone:
        yield Risk(name=RiskName.KEYS_REMOVED, detail=f"Removed: {', '.join(gone)}.")


def _running(change: Change, cluster: ObservedCluster) -> int | None:
    """Return how many pods run in the namespace, None if that is unknown."""
    if cluster.kubernetes is None:
        return None
    pods = cluster.kubernetes.pods_of(change.id.namespace_name)
    return sum(pod.phase not in FINISHED_PHASES for pod in pods)


def _count(number: int | None, noun: str) -> str:
    if number is None:
        return f"an unknown number of {noun}s"
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _rounded_up(quota_field: str, amount: Decimal) -> str:
    step = Decimal("0.001") if quota_field.startswith("cpu") else Decimal(2**20)
    whole = (amount / step).to_integral_value(ROUND_CEILING) * step
    return format_quota_value(quota_field, whole)
