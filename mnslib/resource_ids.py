"""ARM resource ids of clusters and managed namespaces: the only place that builds or parses them.

Azure compares ids without regard to case and answers with `resourcegroups` or `resourceGroups`;
so equality and hash here ignore case, and the text keeps what it was given.
"""

import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

CLUSTER_COLUMNS = ("subscription_id", "resource_group", "cluster_name")
ID_COLUMNS = (*CLUSTER_COLUMNS, "namespace_name")
"""What says everywhere which cluster, or which managed namespace on it."""

_CLUSTER = re.compile(
    r"/subscriptions/(?P<subscription_id>[^/]+)/resourceGroups/(?P<resource_group>[^/]+)"
    r"/providers/Microsoft\.ContainerService/managedClusters/(?P<cluster_name>[^/]+)"
    r"(?:/managedNamespaces/(?P<namespace_name>[^/]+))?/?",
    re.IGNORECASE,
)
CLUSTER_NAME = re.compile(r"[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
"""Source: REST reference, Microsoft.ContainerService, Managed Clusters, resourceName."""

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""Form of the ids of subscriptions and of objects in the directory."""

_ROLE_ASSIGNMENT_NAMES = uuid.UUID("9e0f9d5c-6f0b-5b0f-8f6e-0d6c1f6f2f5a")
"""Namespace of the UUIDv5 that names a role assignment; arbitrary, but it must never change."""


@dataclass(frozen=True, slots=True, eq=False)
class _ArmId:
    """Equality and hash by `key`, which each id makes once: plans compare ids millions of times."""

    key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", str(self).lower())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True, eq=False)
class ClusterId(_ArmId):
    """The id of a managed cluster.

    Attributes:
        key: the id in lower case, to compare and to sort by.
    """

    subscription_id: str
    resource_group: str
    cluster_name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cluster an ARM id names, also where it names a managed namespace of it.

        Raises:
            ValueError: if `text` is no id of a managed cluster.
        """
        match = _CLUSTER.fullmatch(text.strip())
        if match is None:
            what = f"is not the ARM id of a managed cluster, {CLUSTER_FORM}"
            raise ValueError(f"{text[:200]!r} {what}")
        return cls(match["subscription_id"], match["resource_group"], match["cluster_name"])

    def namespace(self, name: str) -> "ManagedNamespaceId":
        """Return the id of a managed namespace on this cluster."""
        return ManagedNamespaceId(self, name)

    @property
    def itself(self) -> "ManagedNamespaceId":
        """The cluster itself as an item of a run: its `namespace_name` is empty."""
        return ManagedNamespaceId(self, "")

    @property
    def columns(self) -> dict[str, str]:
        """What says in a request file, a table or a record which cluster it is."""
        return {name: getattr(self, name) for name in CLUSTER_COLUMNS}

    def __str__(self) -> str:
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.ContainerService/managedClusters/{self.cluster_name}"
        )


CLUSTER_FORM = str(ClusterId("ID", "GROUP", "NAME"))
"""How the id of a cluster is written."""


@dataclass(frozen=True, slots=True, eq=False)
class ManagedNamespaceId(_ArmId):
    """The id of a managed namespace; `key` as a cluster's."""

    cluster: ClusterId
    namespace_name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the managed namespace an ARM id names.

        Raises:
            ValueError: if `text` is no id of a managed namespace.
        """
        match = _CLUSTER.fullmatch(text.strip())
        if match is None or match["namespace_name"] is None:
            raise ValueError(f"{text[:200]!r} is not the ARM id of a managed namespace")
        *cluster, name = match.groups()
        return cls(_cluster(*cluster), name)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the managed namespace that the `columns` of a row or a record name."""
        cluster = ClusterId(*(values[name] for name in CLUSTER_COLUMNS))
        return cls(cluster, values["namespace_name"])

    @property
    def columns(self) -> dict[str, str]:
        """What says in a request file, a table or a record which managed namespace it is."""
        return {**self.cluster.columns, "namespace_name": self.namespace_name}

    @classmethod
    def of_item(cls, text: str) -> Self:
        """Return the item of a run that an ARM id names: a managed namespace or a cluster itself.

        Raises:
            ValueError: if `text` is neither.
        """
        match = _CLUSTER.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text[:200]!r} is no ARM id of a managed namespace or a cluster")
        *cluster, name = match.groups()
        return cls(_cluster(*cluster), name or "")

    @property
    def name(self) -> str:
        """What to call the item: the namespace, or the cluster where it is that itself."""
        return self.namespace_name or self.cluster.cluster_name

    @property
    def own_scopes(self) -> tuple[str, str]:
        """Its scope in role assignments and the older form, which counts as well; lower case.

        Source: kubeguard/guard, pull request 413.
        """
        return self.key, f"{self.cluster.key}/namespaces/{self.namespace_name.lower()}"

    def is_below(self, scope: str) -> bool:
        """Return whether it inherits what is assigned at that scope."""
        scope = scope.lower().rstrip("/")
        is_above_subscriptions = scope.startswith("/providers/microsoft.management/")
        return is_above_subscriptions or self.key.startswith(f"{scope}/")

    def __str__(self) -> str:
        own = f"/managedNamespaces/{self.namespace_name}" if self.namespace_name else ""
        return f"{self.cluster}{own}"


_cluster = lru_cache(maxsize=1024)(ClusterId)  # the namespaces of a list share theirs


def short_names(clusters: Iterable[ClusterId]) -> dict[ClusterId, str]:
    """Return what to call each cluster: its name, or more of its id where others share that."""
    forms = {c: (c.cluster_name, f"{c.resource_group}/{c.cluster_name}", str(c)) for c in clusters}
    uses = Counter(form.lower() for of_one in forms.values() for form in of_one)
    return {c: next(f for f in of_one if uses[f.lower()] == 1) for c, of_one in forms.items()}


def role_definition_id(subscription_id: str, role_guid: str) -> str:
    """Return the id of a built-in role as seen from a subscription."""
    return (
        f"/subscriptions/{subscription_id}/providers/Microsoft.Authorization"
        f"/roleDefinitions/{role_guid}"
    )


def role_assignment_name(*, scope: str, principal_id: str, role_guid: str) -> str:
    """Return the GUID that a role assignment gets, always the same for the same three.

    The name makes a second creation the same request, so that nothing is granted twice.
    """
    triple = "|".join((scope.lower(), principal_id.lower(), role_guid.lower()))
    return str(uuid.uuid5(_ROLE_ASSIGNMENT_NAMES, triple))
