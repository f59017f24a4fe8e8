"""Is a cluster ready for managed namespaces? Facts in, lines out; asks nothing.

Each line says what was found, why it matters, the command that mends it, and under which name
notebook 10 does that. The checks of a plan (`preflight`) are the same lines: those its requests
rest on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mnslib.errors import (
    ArmError,
    ArmNotFoundError,
    MnsError,
    PreflightError,
    cut,
    few_words,
)
from mnslib.models import Ensure, NamespaceSpec
from mnslib.provisioning.changes import words
from mnslib.provisioning.observe import Facts, ObservedCluster
from mnslib.resource_ids import ClusterId
from mnslib.results import CheckResult, CheckStatus

MOST_ASSIGNMENTS = 4000
"""Of roles in a subscription and below. Source: Azure RBAC, "Troubleshoot Azure RBAC limits"."""

ROOM = 100
"""Role assignments left below which it is told; our choice: two for each of 50 teams."""

_OF_CLUSTER = ("runs", "kubernetes", "private", "entra", "roles", "policies", "metrics")
_KINDS = {
    "subscriptions": "subscription",
    "resourcegroups": "resource group",
    "managedclusters": "cluster",
    "managednamespaces": "namespace",
}
T = TypeVar("T")


def readiness(facts: Facts) -> tuple[CheckResult, ...]:
    """Return the lines of a cluster and of the subscription that it is in, always in one order."""
    known = _place(facts.id)
    is_registered = ("Registered", "Registering").__contains__
    lines = [_line("provider", facts.provider, is_registered, known)]
    match facts.cluster:
        case ObservedCluster() as found:
            lines.append(
                told("cluster", known | {"location": found.cluster.location}, is_well=True)
            )
            lines += cluster_lines(found)
            lines.append(_line("safeguards", facts.safeguards, lambda it: it != "Enforce", known))
        case ArmNotFoundError():
            lines.append(told("cluster", known | {"missing": facts.missing}))
            is_there = not isinstance(facts.group, ArmNotFoundError)
            group = facts.group if is_there else ""
            lines.append(_line("group", group, lambda it: bool(it), known))
        case error:
            lines.append(_unknown("cluster", error, known))
    lines.append(_line("room", facts.assignments, lambda n: n <= MOST_ASSIGNMENTS - ROOM, known))
    return tuple(lines)


def cluster_lines(
    observed: ObservedCluster, checks: Iterable[str] = _OF_CLUSTER
) -> Iterator[CheckResult]:
    """Yield those lines about a cluster that rest on what was read of it alone."""
    cluster, inside = observed.cluster, observed.kubernetes
    apart = inside.set_apart if inside else ()
    is_well = {
        "runs": not cluster.is_stopped,
        "kubernetes": inside is not None,
        "objects": not apart,
        "private": inside is not None or not cluster.is_private,
        "entra": cluster.has_entra_id,
        "roles": cluster.has_entra_id and cluster.has_azure_rbac,
        "policies": cluster.network_policy_engine is not None,
        "metrics": cluster.has_metrics,
    }
    facts = {
        **_place(cluster.id),
        "power": cluster.power_state,
        "state": cluster.provisioning_state,
        "version": cluster.kubernetes_version,
        "unknown": observed.kubernetes_unknown.rstrip("."),
        "apart": cut(", ".join(apart), 300),
        "engine": cluster.network_policy_engine,
        "reach": "Private, and reached from here" if cluster.is_private else "Public",
    }
    for check in checks:
        yield told(check, facts, is_well=is_well[check])


def steps_of(specs: Sequence[NamespaceSpec]) -> list[str]:
    """Return which of the `steps` of `words.yaml` the requests need, in their order."""
    present = any(spec.ensure is Ensure.PRESENT for spec in specs)
    needed = {
        "write": present,
        "hand-over": present,
        "delete": any(spec.ensure is Ensure.ABSENT for spec in specs),
        "grant": any(spec.in_full.access for spec in specs),
        "revoke": any(spec.in_full.revoked for spec in specs),
    }
    return [step for step, of in words("steps").items() if needed.get(step, of["always"])]


def permissions(facts: Facts, steps: Iterable[str]) -> tuple[CheckResult, ...]:
    """Return a line for each step that the caller will be refused, and one for all others.

    Each says the actions that are missing, at which scope, and which role has them. Conditions of
    role assignments and deny assignments are not seen; where Azure RBAC is off, roles decide
    nothing inside the cluster.
    """
    known, lines, may = _place(facts.id), [], []
    has_rbac = (
        not isinstance(facts.cluster, ObservedCluster) or facts.cluster.cluster.has_azure_rbac
    )
    for step in steps:
        of = words("steps")[step]
        scope, rights = facts.rights[of["at"]]
        *_, kind, name = scope.split("/")
        step_facts = known | of | {"scope": scope, "place": f"{_KINDS[kind.lower()]} {name}"}
        if isinstance(rights, MnsError):
            lines.append(_unknown("may", rights, step_facts))
            continue
        sides = ((of.get("actions", ()), False), (of.get("data", ()) if has_rbac else (), True))
        lacking = [
            action
            for actions, is_data in sides
            for action in actions
            if not any(one.allows(action, is_data=is_data) for one in rights)
        ]
        if lacking:
            short = (action.removeprefix("Microsoft.ContainerService/") for action in lacking)
            lines.append(told("may", step_facts | {"lacking": ", ".join(short)}))
        else:
            may.append(of["does"])
    if may:
        lines.append(told("permitted", known | {"may": "; ".join(may)}, is_well=True))
    return tuple(lines)


def require_permitted(lines: Sequence[CheckResult], error: MnsError) -> None:
    """Return if none of `permissions` says that a step will be refused.

    Args:
        error: of the first that was, which need not be among them.

    Raises:
        PreflightError: from it, naming every step that will be, and the role that is missing.
    """
    odd = [f"{one.detail} {one.why}" for one in lines if one.status is CheckStatus.WARNING]
    if odd:
        raise PreflightError(" ".join(["Nothing was written.", *odd, str(error)])) from error


def told(check: str, facts: Mapping[str, Any], *, is_well: bool = False) -> CheckResult:
    """Return a line in the words of `words.yaml`; `about` of the facts is what it is about."""
    found = words("checks")[check]
    return CheckResult(
        name=f"{facts['about']}: {found['name'].format_map(facts)}",
        status=CheckStatus.PASSED if is_well else CheckStatus(found["otherwise"]),
        detail=found["passed" if is_well else "found"].format_map(facts),
        remedy="" if is_well else found["remedy"].format_map(facts),
        why=found.get("why", "").format_map(facts),
        allow="" if is_well else found.get("allow", ""),
    )


def _place(cluster: ClusterId) -> dict[str, Any]:
    where = f"-g {cluster.resource_group} -n {cluster.cluster_name}"
    return {**cluster.columns, "about": cluster.cluster_name, "where": where}


def _line(
    check: str, found: T | MnsError, is_well: Callable[[T], bool], known: Mapping[str, Any]
) -> CheckResult:
    """Return the line of one fact; unknown, and why, where it could not be read."""
    if isinstance(found, MnsError):
        return _unknown(check, found, known)
    return told(check, {**known, "fact": found or "off"}, is_well=is_well(found))


def _unknown(check: str, error: MnsError, known: Mapping[str, Any]) -> CheckResult:
    found = words("checks")[check]
    what, remedy = str(error), ""
    if isinstance(error, ArmError):
        what, remedy = few_words(error), error.remedy
    return CheckResult(
        name=f"{known['about']}: {found['name'].format_map(known)}",
        status=CheckStatus.UNKNOWN,
        detail=f"unknown: {what}",
        remedy=remedy,
        why=found.get("why", "").format_map(known),
    )
