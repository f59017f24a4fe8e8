"""Is everything there that the requests rely on? Judged from what was read; asks nothing more.

A failed check stops a run before anything is written; a warning says what will have no effect.
"""

from collections.abc import Iterable, Iterator, Sequence

from mnslib.errors import PreflightError, cut
from mnslib.models import ROLES_INSIDE, Ensure, NamespaceSpec
from mnslib.provisioning import companions
from mnslib.provisioning.observe import ObservedCluster, ObservedState
from mnslib.provisioning.plan import inherited_only, merge
from mnslib.provisioning.readiness import cluster_lines, told
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
            told(
                "undone", {"about": spec.id.namespace_name, "name": spec.id.namespace_name, **facts}
            )
            for spec in mine
            if spec.origin.is_undo
            for facts in inherited_only(spec, observed)
        ]
    return worst_first(found)


def worst_first(checks: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """Return checks by their verdicts, those of one in the order that they had."""
    return tuple(sorted(checks, key=lambda check: _ORDER.index(check.status)))


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
    rest_on = {
        "runs": True,
        "kubernetes": True,
        "objects": bool(observed.kubernetes and observed.kubernetes.set_apart),
        "roles": any(grant.role in ROLES_INSIDE for spec in specs for grant in spec.in_full.access),
        "policies": any(spec.ensure is Ensure.PRESENT for spec in specs),
    }
    yield from cluster_lines(observed, [check for check, is_so in rest_on.items() if is_so])
    if any(spec.tier for spec in specs):
        kept = sorted(s.id.namespace_name for s in specs if _keeps_other_than_tier(s, observed))
        facts = {"about": observed.cluster.id.cluster_name, "kept": cut(", ".join(kept), 200)}
        yield told("tiers", facts, is_well=not kept)
    yield from _companions(specs, observed)


def _companions(specs: Sequence[NamespaceSpec], observed: ObservedCluster) -> Iterator[CheckResult]:
    """Yield the checks of what goes along with a quota; none where no request asks for it."""
    # what only a tier asks for is of no matter where the namespace is there
    by_name = {s.id.namespace_name: s if observed.find(s.id) else s.in_full for s in specs}
    asked = {name: kinds for name, spec in by_name.items() if (kinds := companions.asked(spec))}
    view, unknown = observed.kubernetes, observed.kubernetes_unknown.rstrip(".")
    id = observed.cluster.id
    facts = {"about": id.cluster_name, "scope": id, "unknown": unknown}

    def judged(check: str, names: Iterable[str]) -> CheckResult:
        listed = cut(", ".join(sorted(names)), 300)
        return told(check, {**facts, "names": listed}, is_well=not listed)

    if asked:
        yield judged("companions", () if view else asked)
    for kind, column in companions.COLUMNS.items():
        names = [name for name, kinds in asked.items() if kind in kinds]
        if view and names:
            yield judged(column, [name for name in names if (name, kind) in view.lacking])
    left = {name: companions.left_names(name, (view and view.limit_ranges) or ()) for name in asked}
    if there := [f"{n} ({', '.join(left[n])})" for n in left if left[n] and by_name[n].limit_range]:
        yield judged("left", there)


def _keeps_other_than_tier(spec: NamespaceSpec, observed: ObservedCluster) -> bool:
    before = observed.find(spec.id)
    if before is None or spec.when_new is None:
        return False
    return merge(spec.when_new, before) != merge(spec, before)
