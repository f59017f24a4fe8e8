"""What a run proves of a namespace: its cluster and Azure are asked, `provisioning` judges.

Nothing is left behind. Asks as the run itself what holds for everybody (quota, policy), and for
access only ever as whoever it is about.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import yaml

from mnslib.errors import ArmForbiddenError, MnsError
from mnslib.models import ManagedCluster, ManagedNamespace, PrincipalType, RoleAssignment
from mnslib.provisioning import proof
from mnslib.provisioning.proof import Proven
from mnslib.provisioning.rights import Held, rights_of
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.run.targets import Target
from mnslib.show.handover import first_pod, starter
from mnslib.signals import pause

SETTLE_SECONDS = 5.0
"""After which a pod beyond the quota is tried again; our choice. A new quota holds only once its
controller has seen it. Source: apiserver, resourcequota/controller.go, which goes by `status`."""


def prove(
    asked: ManagedNamespace,
    cluster: ManagedCluster,
    target: Target,
    *,
    credential: str = "",
    has_defaults: bool = False,
) -> Proven:
    """Return what is proven of a namespace, and of whoever has a role at it; makes nothing.

    Args:
        asked: as it shall be.
        credential: of somebody of the team, as `Target.as_one_of` takes it.
        has_defaults: whether containers were to have defaults.
    """
    name, azure = asked.id.namespace_name, target.azure
    access = _access(asked, cluster, target, credential)
    try:
        kube = target.kube_for(cluster)
        quotas, ranges = kube.resource_quotas(name), kube.limit_ranges(name)
        left_out = None
        with suppress(ArmForbiddenError):  # it only changes small pods, and what is told of these
            left_out = azure.managed_clusters.guarded_except(cluster.id)
        is_guarded = left_out is not None and name not in left_out
        policies = {policy.name for policy in kube.network_policies(name)}
        template = yaml.safe_load(starter(asked.id, first_pod()))["spec"]["template"]
        bare = kube.try_pod(proof.trial_pod(name, template))
        large = None
        if cores := asked.quota.get("cpu_request"):
            beyond = proof.trial_pod(name, template, beyond=cores)
            large = kube.try_pod(beyond)
            if not large and not pause(SETTLE_SECONDS):
                large = kube.try_pod(beyond)
        proofs = (
            proof.of_quota(asked, quotas),
            proof.of_bare_pod(bare, ranges, is_guarded=is_guarded, has_defaults=has_defaults),
            proof.of_large_pod(large),
            proof.of_network(asked, policies, cluster.network_policy_engine),
        )
    except MnsError as error:
        problem = proof.unread(str(error), "quota", "bare", "over", "network")
        return replace(access, proofs=problem + access.proofs)
    return replace(
        access,
        proofs=proofs + access.proofs,
        quotas=quotas,
        ranges=ranges,
        is_guarded=is_guarded,
    )


def _access(
    asked: ManagedNamespace, cluster: ManagedCluster, target: Target, credential: str
) -> Proven:
    """Return what is proven of whoever has a role at the namespace itself, and their rights."""
    id, doors = asked.id, target.azure.role_assignments
    where: Any = {"subscription_id": id.cluster.subscription_id}
    try:
        held = doors.list_for_subscription(**where)
        team = {one.principal_id.lower(): one for one in held if one.scope.lower() in id.own_scopes}
        acting = [one for one in held if one.principal_id.lower() in team]
        roles = {guid: doors.of_role(guid, **where) for guid in {a.role_guid for a in acting}}
    except MnsError as error:
        return Proven(proofs=proof.unread(str(error), "access"))
    names, proofs, somebody = _names(team, target), [], ""
    rights: dict[str, Sequence[Held]] = {}
    for principal, own in sorted(team.items(), key=lambda one: names.get(one[0], one[0])):
        worked_out = rights_of(
            principal, acting, roles, of=id, has_azure_rbac=cluster.has_azure_rbac
        )
        kind = {"serviceprincipal": "service principal"}.get(own.principal_type.lower())
        who = f"{kind or own.principal_type.lower()} {names.get(principal, principal)}"
        who += f" ({principal})" if who in rights else ""  # several may bear one name
        try:
            rights[who], by = _reviewed(worked_out, own, id, cluster, target, credential)
        except MnsError as error:
            rights[who], by = worked_out, str(error).rstrip(".")
        if rights[who] is not worked_out:
            somebody, by = somebody or by, _names([by], target).get(by.lower(), by)
        proofs.append(proof.of_access(who, rights[who], asked_as=by))
    return Proven(proofs=tuple(proofs), rights=rights, somebody=somebody)


def _names(ids: Iterable[str], target: Target) -> dict[str, str]:
    """Return what the directory calls some principals, as far as it may be read."""
    with suppress(MnsError):  # a caller without rights in the directory sees ids
        return {one.id: one.name for one in target.azure.directory.by_ids(ids).values()}
    return {}


def _reviewed(
    rights: Sequence[Held],
    of: RoleAssignment,
    id: ManagedNamespaceId,
    cluster: ManagedCluster,
    target: Target,
    credential: str,
) -> tuple[Sequence[Held], str]:
    """Return rights with what is answered to the principal itself, or to somebody in the group.

    Beside it as whom that was asked, else why nobody was.
    """
    principal, ids = of.principal_id.lower(), [of.principal_id.lower()]
    if of.principal_type == PrincipalType.GROUP:
        ids = [one.id for one in target.azure.directory.members(principal)]
    azure = target.as_one_of(ids, credential)
    if azure is None:
        return rights, proof.unasked("no_credential" if ids else "nobody")
    with azure:
        kube = target.kube_as(azure, cluster)
        with closing(kube):
            who = kube.whoami()
            if principal not in map(str.lower, who):
                return rights, proof.unasked("somebody_else", who=who[0])
            found, own = [], azure.role_assignments.permissions(str(id))
            for held in rights:
                right, said = held.right, ""
                where = {} if right.is_of_cluster else {"namespace": id.namespace_name}
                if right.asks:
                    is_allowed, said = kube.may(**right.asks, **where)
                else:
                    is_allowed = any(one.allows(right.needed) for one in own)
                found.append(replace(held, proven=is_allowed, said=said))
            return found, who[0]
