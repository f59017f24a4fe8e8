"""Is everything there that the requests rely on? Judged from what was read; asks nothing more.

A failed check stops a run before anything is written; a warning says what will have no effect.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mnslib.errors import PreflightError, cut
from mnslib.models import ROLES_INSIDE, Ensure, NamespaceSpec
from mnslib.provisioning.changes import words
from mnslib.provisioning.observe import ObservedCluster, ObservedState
from mnslib.provisioning.plan import inherited_only, merge
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
        found += _checks(mine, cluster)
        found += [  # roles that an undo does not find any more, inherited all the same
            _told(spec.id.namespace_name, "undone", {"name": spec.id.namespace_name, **facts})
            for spec in mine
            if spec.origin.is_undo
            for facts in inherited_only(spec, observed)
        ]
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


def _checks(specs: Sequence[NamespaceSpec], observed: ObservedCluster) -> Iterator[CheckResult]:
    cluster = observed.cluster
    passed = {"runs": not cluster.is_stopped, "kubernetes": observed.kubernetes is not None}
    apart = observed.kubernetes.set_apart if observed.kubernetes else ()
    if apart:
        passed["objects"] = False
    if any(grant.role in ROLES_INSIDE for spec in specs for grant in spec.in_full.access):
        passed["roles"] = cluster.has_entra_id and cluster.has_azure_rbac
    if any(spec.ensure is Ensure.PRESENT for spec in specs):
        passed["policies"] = cluster.network_policy_engine is not None
    kept = sorted(s.id.namespace_name for s in specs if _keeps_other_than_tier(s, observed))
    if any(spec.tier for spec in specs):
        passed["tiers"] = not kept
    facts = {
        "where": f"-g {cluster.id.resource_group} -n {cluster.id.cluster_name}",
        "power": cluster.power_state,
        "state": cluster.provisioning_state,
        "version": cluster.kubernetes_version,
        "unknown": observed.kubernetes_unknown.rstrip("."),
        "apart": cut(", ".join(apart), 300),
        "engine": cluster.network_policy_engine,
        "kept": cut(", ".join(kept), 200),
    }
    for check, is_well in passed.items():
        yield _told(cluster.id.cluster_name, check, facts, is_well=is_well)


def _told(
    about: str, check: str, facts: Mapping[str, Any], *, is_well: bool = False
) -> CheckResult:
    told = words("checks")[check]
    return CheckResult(
        name=f"{about}: {told['name']}",
        status=CheckStatus.PASSED if is_well else CheckStatus(told["otherwise"]),
        detail=told["passed" if is_well else "found"].format_map(facts),
        remedy="" if is_well else told["remedy"].format_map(facts),
    )


def _keeps_other_than_tier(spec: NamespaceSpec, observed: ObservedCluster) -> bool:
    before = observed.find(spec.id)
    if before is None or spec.when_new is None:
        return False
    return merge(spec.when_new, before) != merge(spec, before)
