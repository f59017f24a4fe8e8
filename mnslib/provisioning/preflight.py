"""Is everything there that the requests rely on? Judged from what was read; asks nothing more.

A failed check stops a run before anything is written; a warning says what will have no effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mnslib.errors import PreflightError, cut
from mnslib.models import ROLES_INSIDE, Ensure, NamespaceSpec
from mnslib.provisioning.observe import ObservedCluster, ObservedState
from mnslib.provisioning.plan import merge
from mnslib.results import CheckResult, CheckStatus

_ORDER = (CheckStatus.FAILED, CheckStatus.UNKNOWN, CheckStatus.WARNING, CheckStatus.PASSED)


def preflight(specs: Sequence[NamespaceSpec], observed: ObservedState) -> tuple[CheckResult, ...]:
    """Return the checks of every cluster the requests name, failures first.

    Source: "Managed namespaces in AKS", prerequisites: a running cluster; Entra ID and Azure RBAC
    where Azure roles shall grant access inside; a network policy engine where policies shall act.
    """
    found: list[CheckResult] = []
    for _, cluster in sorted(observed.clusters.items(), key=lambda pair: pair[0].key):
        mine = [spec for spec in specs if spec.id.cluster == cluster.cluster.id]
        for name, passed, otherwise, details, remedy in _checks(mine, cluster):
            found.append(
                CheckResult(
                    name=f"{cluster.cluster.id.cluster_name}: {name}",
                    status=CheckStatus.PASSED if passed else otherwise,
                    detail=details[not passed],
                    remedy="" if passed else remedy,
                )
            )
    return tuple(sorted(found, key=lambda check: _ORDER.index(check.status)))


def require_passed(checks: Sequence[CheckResult]) -> None:
    """Return if no check failed.

    Raises:
        PreflightError: naming every failed check with its remedy.
    """
    failed = [check for check in checks if check.status is CheckStatus.FAILED]
    if failed:
        lines = [f"{check.name}: {check.detail} {check.remedy}".strip() for check in failed]
        raise PreflightError("Nothing was written. " + " ".join(lines))


def _checks(
    specs: Sequence[NamespaceSpec], observed: ObservedCluster
) -> Iterator[tuple[str, bool, CheckStatus, tuple[str, str], str]]:
    """Yield name, whether it passed, what it is otherwise, what was found in each case, remedy."""
    cluster = observed.cluster
    where = f"-g {cluster.id.resource_group} -n {cluster.id.cluster_name}"
    states = f"Power state {cluster.power_state}, provisioning state {cluster.provisioning_state}."
    yield (
        "runs", not cluster.is_stopped, CheckStatus.FAILED, (states, states),
        f"Start it: az aks start {where}",
    )  # fmt: skip
    yield (
        "Kubernetes can be read", observed.kubernetes is not None, CheckStatus.UNKNOWN,
        (f"Kubernetes {cluster.kubernetes_version}.", "Kubernetes was not read."),
        f"{observed.kubernetes_unknown.rstrip('.')}. Without it the plan cannot see what runs: "
        "adoption and lower quotas count as risks, and whether quotas fit is unknown.",
    )  # fmt: skip
    if any(grant.role in ROLES_INSIDE for spec in specs for grant in spec.in_full.access):
        off = "Azure RBAC is off: RBAC Reader, Writer and Admin have no effect in the cluster."
        on = "Entra ID and Azure RBAC are on."
        yield (
            "Azure roles reach inside", cluster.has_entra_id and cluster.has_azure_rbac,
            CheckStatus.WARNING, (on, on if cluster.has_azure_rbac else off),
            f"az aks update {where} --enable-azure-rbac",
        )  # fmt: skip
    if any(spec.ensure is Ensure.PRESENT for spec in specs):
        engine = cluster.network_policy_engine
        yield (
            "network policies act", engine is not None, CheckStatus.WARNING,
            (f"Engine: {engine}.",
             "There is no network policy engine: policies have no effect."),
            "Install one (Cilium is recommended); it touches nodes, so plan it.",
        )  # fmt: skip
    if any(spec.tier for spec in specs):
        kept = sorted(s.id.namespace_name for s in specs if _keeps_other_than_tier(s, observed))
        yield (
            "tiers are what is there", not kept, CheckStatus.WARNING,
            ("No existing namespace differs from the tier that its row names.",
             "Existing namespaces keep what they have, which is not what their tier says: "
             f"{cut(', '.join(kept), 200)}."),
            "A tier fills the empty cells of new namespaces only: write the values into the row.",
        )  # fmt: skip


def _keeps_other_than_tier(spec: NamespaceSpec, observed: ObservedCluster) -> bool:
    before = observed.find(spec.id)
    if before is None or spec.when_new is None:
        return False
    return merge(spec.when_new, before) != merge(spec, before)
