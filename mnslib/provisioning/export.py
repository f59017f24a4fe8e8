"""Read managed namespaces and who has a role on them, to be written as a request file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mnslib.models import ROLE_NAMES, AccessGrant, ManagedNamespace, PrincipalType
from mnslib.provisioning.observe import READERS
from mnslib.resource_ids import ClusterId, ManagedNamespaceId

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient


def read_namespaces(
    azure: AzureClient, *, subscription_ids: Sequence[str], clusters: Sequence[ClusterId]
) -> tuple[list[ManagedNamespace], dict[ManagedNamespaceId, list[AccessGrant]], list[str]]:
    """Return the managed namespaces, the roles that a request could ask for on each, and the rest.

    The rest are sentences about role assignments on them that no request can ask for; those that
    are wider than a namespace are nobody's here.

    Args:
        clusters: where to look; if empty, in all clusters of the subscriptions.

    Raises:
        ArmError: if Azure refuses or cannot be reached.
    """
    targets = list(clusters) or [
        c.id for s in subscription_ids for c in azure.managed_clusters.list(s)
    ]
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        found = list(pool.map(azure.managed_namespaces.list_by_managed_cluster, targets))
    namespaces = [namespace for of_cluster in found for namespace in of_cluster]
    by_scope = {namespace.id.key: namespace.id for namespace in namespaces}
    grants: dict[ManagedNamespaceId, list[AccessGrant]] = defaultdict(list)
    left_out: list[str] = []
    for subscription_id in sorted({target.subscription_id.lower() for target in targets}):
        for held in azure.role_assignments.list_for_subscription(subscription_id):
            where, role = by_scope.get(held.scope.lower()), ROLE_NAMES.get(held.role_guid)
            if where is None:
                continue
            if role is None or held.principal_type not in list(PrincipalType):
                left_out.append(
                    f"access of {where}: no request can ask for the role {role or held.role_guid} "
                    f"of {held.principal_type} {held.principal_id}"
                )
                continue
            grant = AccessGrant(
                principal_type=PrincipalType(held.principal_type),
                principal_id=held.principal_id.lower(),
                role=role,
                role_guid=held.role_guid,
            )
            if grant not in grants[where]:
                grants[where].append(grant)
    return namespaces, dict(grants), left_out
