"""What a run proves of a namespace: its cluster and Azure are asked, `provisioning` judges.

Nothing is left behind. Asks as the run itself what holds for everybody (quota, policy), and for
access only ever as whoever it is about.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from mnslib.errors import MnsError
from mnslib.models import ManagedCluster, ManagedNamespace, RoleAssignment
from mnslib.provisioning import proof
from mnslib.provisioning.proof import Proof, Proven
from mnslib.provisioning.rights import Held, rights_of
from mnslib.run.targets import Target
from mnslib.show.handover import starter


def prove(asked: ManagedNamespace, cluster: ManagedCluster, target: Target) -> Proven:
    """Return what is proven of a namespace, and of whoever has a role at it; makes nothing.

    Args:
        asked: as it shall be.
    """
    name, azure = asked.id.namespace_name, target.azure
    access, rights = _access(asked, cluster, target)
    try:
        kube = target.kube_for(cluster)
        quotas, ranges = kube.resource_quotas(name), kube.limit_ranges(name)
        left_out = azure.managed_clusters.guarded_except(cluster.id)
        is_guarded = left_out is not None and name not in left_out
        quota = proof.managed_quota(quotas)
        policies = {policy.name for policy in kube.network_policies(name)}
        template = yaml.safe_load(starter(asked.id))["spec"]["template"]
        bare = kube.try_pod(proof.trial_pod(name, template))
        large = kube.try_pod(proof.trial_pod(name, template, beyond=quota))
        proofs = (
            proof.of_quota(asked, quota),
            proof.of_bare_pod(bare, ranges, is_guarded=is_guarded),
            proof.of_large_pod(large),
            proof.of_network(asked, policies, cluster.network_policy_engine),
        )
    except MnsError as error:
        problem = proof.unread(str(error), "quota", "bare", "over", "network")
        return Proven(proofs=problem + access, rights=rights)
    return Proven(
        proofs=proofs + access,
        rights=rights,
        quotas=quotas,
        ranges=ranges,
        is_guarded=is_guarded,
    )


def _access(
    asked: ManagedNamespace, cluster: ManagedCluster, target: Target
) -> tuple[tuple[Proof, ...], Mapping[str, tuple[Held, ...]]]:
    """Return what is proven of whoever has a role at the namespace itself, and their rights."""
    id, doors = asked.id, target.azure.role_assignments
    where: Any = {"subscription_id": id.cluster.subscription_id}
    try:
        acting = [
            held
            for held in doors.list_for_subscription(**where)
            if id.is_below(held.scope) or held.scope.lower() in id.own_scopes
        ]
        roles = {guid: doors.of_role(guid, **where) for guid in {h.role_guid for h in acting}}
    except MnsError as error:
        return proof.unread(str(error), "access"), {}
    team = {h.principal_id.lower(): h for h in acting if h.scope.lower() in id.own_scopes}
    rights = {
        _called(held): rights_of(
            principal, acting, roles, of=id, has_azure_rbac=cluster.has_azure_rbac
        )
        for principal, held in sorted(team.items())
    }
    why = "nobody was asked as one of them"
    proofs = [proof.of_access(who, held, asked_as=why) for who, held in rights.items()]
    return tuple(proofs), rights


def _called(held: RoleAssignment) -> str:
    return f"{held.principal_type.lower()} {held.principal_id}"
