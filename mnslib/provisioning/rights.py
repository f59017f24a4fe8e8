"""What principals may do in a managed namespace, worked out from their role assignments.

Pure, and says so: it knows nothing of RoleBindings, nor of groups that a principal is in. Only a
review that is made *as* somebody proves what that somebody may do.

    rights_of("9f..", assignments, roles, of=namespace, has_azure_rbac=True)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mnslib.models import Permission, RoleAssignment
from mnslib.packaged import packaged
from mnslib.resource_ids import ManagedNamespaceId

_DATA = "Microsoft.ContainerService/managedClusters/"


@dataclass(frozen=True, slots=True)
class Right:
    """Something to be allowed.

    Attributes:
        needed: the action that a role must allow.
        asks: of the cluster, in an access review; empty where it is ARM that decides.
        is_of_cluster: asked for all namespaces, which a role at one of them never gives.
    """

    name: str
    needed: str
    asks: Mapping[str, str] = field(hash=False)
    is_of_cluster: bool


def _right(name: str, said: Mapping[str, Any]) -> Right:
    asks = said.get("asks", {})
    return Right(name, f"{_DATA if asks else ''}{said['needs']}", asks, said.get("cluster", False))


RIGHTS = tuple(_right(name, said) for name, said in packaged(__package__, "rights").items())
"""What is asked of each principal, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Whether a principal has a right.

    Attributes:
        is_allowed: as worked out; None where roles do not decide, as without Azure RBAC.
        by: the assignments that give it: with a condition only where none is without.
        proven: what the cluster said to a review made as that principal; None without one.
        said: the reason that it gave.
    """

    right: Right
    is_allowed: bool | None
    by: tuple[RoleAssignment, ...] = ()
    proven: bool | None = None
    said: str = ""

    @property
    def is_known(self) -> bool | None:
        """What was proven, else what was worked out."""
        return self.is_allowed if self.proven is None else self.proven


def rights_of(
    principal_id: str,
    assignments: Iterable[RoleAssignment],
    roles: Mapping[str, Sequence[Permission]],
    *,
    of: ManagedNamespaceId,
    has_azure_rbac: bool,
) -> tuple[Held, ...]:
    """Return each of `RIGHTS` with whether the principal's own assignments give it.

    Those at the namespace count in both forms of its scope, those above it because it inherits
    them.

    Args:
        roles: what each allows, by GUID; one that is missing gives nothing.
        has_azure_rbac: of the cluster; without it roles decide nothing inside.
    """
    own = [held for held in assignments if held.principal_id.lower() == principal_id.lower()]
    found = []
    for right in RIGHTS:
        is_data = bool(right.asks)
        by = [
            one
            for one in own
            if _reaches(one, right, of)
            and any(p.allows(right.needed, is_data=is_data) for p in roles.get(one.role_guid, ()))
        ]
        by = [one for one in by if not one.condition] or by
        is_decided = has_azure_rbac or not is_data
        found.append(Held(right=right, is_allowed=bool(by) if is_decided else None, by=tuple(by)))
    return tuple(found)


def _reaches(held: RoleAssignment, right: Right, namespace: ManagedNamespaceId) -> bool:
    own = namespace.own_scopes[: 0 if right.is_of_cluster else 2 if right.asks else 1]
    return namespace.is_below(held.scope) or held.scope.lower() in own
