"""Which named risks a change carries. Pure: looks at values that were read, reads nothing.

What could not be looked at counts as a risk, with the reason: unknown is not safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

from mnslib.models import (
    QUOTA_KEYS,
    AdoptionPolicy,
    ManagedNamespace,
    NetworkRule,
)
from mnslib.provisioning.changes import Change, Risk, RiskName
from mnslib.provisioning.observed import ObservedCluster
from mnslib.quantities import RESOURCE_WORDS, amount_text
from mnslib.results import ChangeKind

MANY_CHANGES_SHARE = 0.3
MANY_CHANGES_FROM = 10
"""More than this share of at least so many existing namespaces updated, adopted or deleted.

Source: octodns, `provider/plan.py`: safety threshold 30 %, from 10 existing records.
"""

TOUCHING = frozenset({ChangeKind.UPDATE, ChangeKind.ADOPT, ChangeKind.DELETE})
"""Changes of what exists, as that risk counts them."""

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
    details = {name: finder(change, cluster) for name, finder in _FINDERS.items()}
    found = (Risk(name=name, detail=detail) for name, detail in details.items() if detail)
    return replace(change, risks=tuple(found))


def many_changes(changes: Sequence[Change], existing_count: int) -> Risk | None:
    """Return the risk that a plan touches a large share of what exists, None if it does not."""
    touched = sum(change.kind in TOUCHING for change in changes)
    if existing_count < MANY_CHANGES_FROM or touched <= MANY_CHANGES_SHARE * existing_count:
        return None
    detail = f"{touched} of {existing_count} existing managed namespaces would change."
    return Risk(name=RiskName.MANY_CHANGES, detail=detail)


# Each returns what its risk means for this namespace, empty if the change does not carry it.


def _adoption(change: Change, cluster: ObservedCluster) -> str:
    after = change.after
    if change.kind is ChangeKind.ADOPT:
        return (
            f"Exists on the cluster with {_pods(change, cluster)}; AKS takes over its quota, "
            "network policy, labels and annotations."
        )
    is_unseen = change.kind is ChangeKind.CREATE and cluster.kubernetes is None
    if is_unseen and after and after.adoption_policy not in (None, AdoptionPolicy.NEVER):
        return "Whether it exists on the cluster is unknown: Kubernetes was not read."
    return ""


def _foreign_owner(change: Change, cluster: ObservedCluster) -> str:
    if change.kind in (ChangeKind.CREATE, ChangeKind.NO_CHANGE) or not change.writes_namespace:
        return ""
    marks = _marks(change, cluster)
    owners = {owner for key, owner in RECONCILERS.items() if key in marks}
    managed_by = marks.get("app.kubernetes.io/managed-by", "").lower()
    owners |= {owner for word, owner in MANAGED_BY.items() if word in managed_by}
    if owners:
        return f"{' and '.join(sorted(owners))} writes it too and may put its own values back."
    is_project = AKS_DESKTOP_LABEL in marks and change.kind is ChangeKind.DELETE
    return "A project of AKS desktop." if is_project else ""


def _marks(change: Change, cluster: ObservedCluster) -> dict[str, str]:
    marks: dict[str, str] = {}
    if change.before:
        marks |= {**change.before.labels, **change.before.annotations, **change.before.tags}
    if cluster.kubernetes and (seen := cluster.kubernetes.namespaces.get(change.id.namespace_name)):
        marks |= {**seen.labels, **seen.annotations}
    return marks


def _deletion(change: Change, cluster: ObservedCluster) -> str:
    if change.kind is not ChangeKind.DELETE:
        return ""
    fate = "stays, unmanaged" if change.is_release else "goes too"
    return f"The Kubernetes namespace {fate}, with {_pods(change, cluster)}."


def _delete_policy(change: Change, _: ObservedCluster) -> str:
    sets_it = any(d.path == "delete_policy" and d.new == "Delete" for d in change.differences)
    if sets_it or (change.kind is ChangeKind.DELETE and not change.is_release):
        return "With the delete policy Delete, deleting the resource deletes all that runs in it."
    return ""


def _quota(change: Change, cluster: ObservedCluster) -> str:
    if change.after is None or change.kind in (ChangeKind.CREATE, ChangeKind.NO_CHANGE):
        return ""
    was = change.before.default_resource_quota.values() if change.before else {}
    lowered = {
        name: amount
        for name, amount in change.after.default_resource_quota.values().items()
        if name not in was or amount < was[name]
    }
    requested = cluster.requested(change.id.namespace_name)
    if lowered and requested is None:
        return "Quota falls, and what its pods ask for is unknown: Kubernetes was not read."
    short = [
        f"{RESOURCE_WORDS[name]} {_rounded_up(name, requested[QUOTA_KEYS[name]])}, "
        f"quota {amount_text(name, amount)}"
        for name, amount in lowered.items()
        if requested is not None and amount < requested[QUOTA_KEYS[name]]
    ]
    if not short:
        return ""
    return (
        f"Below what runs ({'; '.join(short)}): running pods stay, the next restart or rollout is "
        "refused."
    )


def _policy(change: Change, cluster: ObservedCluster) -> str:
    if change.after is None or change.kind not in (ChangeKind.UPDATE, ChangeKind.ADOPT):
        return ""
    if _running(change, cluster) == 0:
        return ""
    tightened = [
        f"{direction} {was} to {becomes}"
        for direction, was, becomes in _rules(change.before, change.after)
        if STRICTNESS.index(becomes) > STRICTNESS.index(was)
    ]
    moves = ", ".join(tightened)
    return f"{moves} while pods run: traffic that works now may stop." if tightened else ""


def _rules(
    before: ManagedNamespace | None, after: ManagedNamespace
) -> Iterator[tuple[str, NetworkRule, NetworkRule]]:
    # Before adoption nothing of AKS filters; so the loosest rule is what applies.
    loosest = NetworkRule.ALLOW_ALL
    for direction in ("ingress", "egress"):
        was = getattr(before.default_network_policy, direction) if before else None
        becomes = getattr(after.default_network_policy, direction)
        yield direction, was or loosest, becomes or loosest


def _keys(change: Change, _: ObservedCluster) -> str:
    gone = [d.path for d in change.differences if d.operation == "remove" and not d.is_access]
    return f"Removed: {', '.join(gone)}." if gone and change.after else ""


def _access(change: Change, _: ObservedCluster) -> str:
    gone = [f"{d.old} of {d.key}" for d in change.differences if d.old and d.is_access]
    return f"Taken away: {', '.join(gone)}." if gone else ""


_FINDERS: dict[RiskName, Callable[[Change, ObservedCluster], str]] = {
    RiskName.ADOPTION: _adoption,
    RiskName.FOREIGN_OWNER: _foreign_owner,
    RiskName.DELETION: _deletion,
    RiskName.DELETE_POLICY: _delete_policy,
    RiskName.QUOTA_BELOW_USE: _quota,
    RiskName.POLICY_TIGHTENED: _policy,
    RiskName.KEYS_REMOVED: _keys,
    RiskName.ACCESS_REMOVED: _access,
}


def _running(change: Change, cluster: ObservedCluster) -> int | None:
    """Return how many pods run in the namespace, None if that is unknown."""
    if cluster.kubernetes is None:
        return None
    pods = cluster.kubernetes.pods_of(change.id.namespace_name)
    return sum(not pod.is_finished for pod in pods)


def _pods(change: Change, cluster: ObservedCluster) -> str:
    number = _running(change, cluster)
    if number is None:
        return "an unknown number of running pods"
    return "1 running pod" if number == 1 else f"{number or 'no'} running pods"


def _rounded_up(quota_field: str, amount: Decimal) -> str:
    step = Decimal("0.001") if quota_field.startswith("cpu") else Decimal(2**20)
    whole = (amount / step).to_integral_value(ROUND_CEILING) * step
    return amount_text(quota_field, whole)
