"""What is asked and what ARM holds: frozen values, without behavior beyond their own form.

Amounts are `Decimal` in cores or bytes (see `quantities`). A key or field that is absent was not
said; None means "no value", never "zero". Knows nothing of wire formats or files; what the
Kubernetes API says is in `kube_models`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Self

from mnslib.packaged import packaged
from mnslib.quantities import MIB, format_cpu, format_memory
from mnslib.resource_ids import GUID, ClusterId, ManagedNamespaceId


class NetworkRule(StrEnum):
    """What the default network policy lets through in one direction."""

    ALLOW_ALL = "AllowAll"
    ALLOW_SAME_NAMESPACE = "AllowSameNamespace"
    DENY_ALL = "DenyAll"


class AdoptionPolicy(StrEnum):
    """What happens when the Kubernetes namespace exists already."""

    NEVER = "Never"
    IF_IDENTICAL = "IfIdentical"
    ALWAYS = "Always"


NOT_TAKEN = (None, AdoptionPolicy.NEVER)
"""With these what exists already is not taken over."""


class DeletePolicy(StrEnum):
    """Whether the Kubernetes namespace goes with the ARM resource."""

    KEEP = "Keep"
    DELETE = "Delete"


class Ensure(StrEnum):
    """Whether a request wants the managed namespace to be there."""

    PRESENT = "present"
    ABSENT = "absent"


class Project(StrEnum):
    """Which program shall show a managed namespace as a project of its own."""

    AKS_DESKTOP = "aks-desktop"


class PrincipalType(StrEnum):
    """Kind of directory object a role is assigned to; the values are ARM's."""

    USER = "User"
    GROUP = "Group"
    SERVICE_PRINCIPAL = "ServicePrincipal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user, group or service principal of the directory.

    Attributes:
        id: its object id, in lower case.
        name: as the directory shows it; several may bear one.
        handle: what tells it from namesakes: a user principal name, a mail, an application id;
            empty where it has none.
    """

    kind: PrincipalType
    id: str
    name: str
    handle: str = ""


QUOTA_FIELDS = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")
QUOTA_KEYS = {
    "cpu_request": "requests.cpu",
    "cpu_limit": "limits.cpu",
    "memory_request": "requests.memory",
    "memory_limit": "limits.memory",
}
"""Quota field to key of a ResourceQuota. Source: `defaultresourcequota` as AKS writes it."""

QUOTA_ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory", "count/pods": "pods"}
"""Other spelling of a ResourceQuota's key to the usual one. Source: Kubernetes, ResourceQuota."""

MANAGED_QUOTA_NAME = "defaultresourcequota"
"""The ResourceQuota that AKS writes. Source: public write-up of 2026-09, on a live cluster."""

MANAGED_POLICY_NAME = "defaultnetworkpolicy"
"""The NetworkPolicy that AKS writes, for both directions. Source: as above."""

NEW_NAMESPACE_POLICIES: Mapping[str, Any] = {
    "ingress_policy": NetworkRule.ALLOW_SAME_NAMESPACE,
    "egress_policy": NetworkRule.ALLOW_ALL,
    "adoption_policy": AdoptionPolicy.NEVER,
    "delete_policy": DeletePolicy.KEEP,
}
"""What a new managed namespace gets where the request says nothing; shown in the plan.

Source: `az aks namespace add` of azure-cli 2.80 and later sends exactly these.
"""

POLICY_FIELDS = tuple(NEW_NAMESPACE_POLICIES)

MANAGED_LABEL = "kubernetes.azure.com/managedByArm"
"""`true` on a Kubernetes namespace that ARM manages. Source: AKS concepts, managed namespaces."""

SERVICE_LABELS = frozenset({"kubernetes.io/metadata.name", MANAGED_LABEL})
"""Labels the service adds by itself; a difference in them is nobody's. Source: BLOG 2026-09, EX."""

_ROLES = packaged("mnslib", "roles")
BUILT_IN_ROLES: Mapping[str, str] = {one["name"]: one["guid"] for one in _ROLES.values()}
"""Role name to GUID of its definition."""

ROLE_NAMES = {guid: name for name, guid in BUILT_IN_ROLES.items()}
ROLE_SHORT_NAMES: Mapping[str, str] = {short: one["name"] for short, one in _ROLES.items()}

ROLES_INSIDE = tuple(ROLE_SHORT_NAMES[short] for short in ("reader", "writer", "admin"))
"""Roles that act inside a cluster, where Azure RBAC is on.

None fetches a managed namespace's kubeconfig. Source: Azure built-in roles, containers.
"""

NAMESPACE_USER = ROLE_SHORT_NAMES["namespace-user"]
"""The role that may fetch the kubeconfig of a managed namespace. Source: as above."""


def format_quota_value(quota_field: str, amount: Decimal) -> str:
    """Return the amount as ARM takes it: millicores for CPU, binary units for memory."""
    return (format_cpu if quota_field.startswith("cpu") else format_memory)(amount)


def whole_quota_value(quota_field: str, amount: Decimal) -> Decimal:
    """Return the amount rounded up to whole millicores or MiB, which ARM takes and people read."""
    step = Decimal("0.001") if quota_field.startswith("cpu") else Decimal(MIB)
    return (amount / step).to_integral_value(ROUND_CEILING) * step


def limits_below_request(quota: Mapping[str, Decimal | None]) -> Iterator[tuple[str, str]]:
    """Yield the fields of each limit that is below its request, and of that request."""
    for limit, request in (("cpu_limit", "cpu_request"), ("memory_limit", "memory_request")):
        most, least = quota.get(limit), quota.get(request)
        if most is not None and least is not None and most < least:
            yield limit, request


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedNamespace:
    """A managed namespace as ARM holds it, or as it shall become.

    A policy is None where it is not set.

    Attributes:
        labels: Kubernetes labels without `SERVICE_LABELS`.
        quota: cores and bytes by those of `QUOTA_FIELDS` that are set (`defaultResourceQuota`).
        ingress_policy, egress_policy: `defaultNetworkPolicy`.
        etag: the body's eTag; None for one that does not exist yet.
        provisioning_state: ARM's word, None for one that does not exist yet.
    """

    id: ManagedNamespaceId
    location: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    quota: Mapping[str, Decimal] = field(default_factory=dict)
    ingress_policy: NetworkRule | None = None
    egress_policy: NetworkRule | None = None
    adoption_policy: AdoptionPolicy | None = None
    delete_policy: DeletePolicy | None = None
    etag: str | None = None
    provisioning_state: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedCluster:
    """What mnslib reads of a managed cluster.

    Attributes:
        network_policy_engine: `azure`, `calico`, `cilium`, or None where policies have no effect.
        power_state: `Running` or `Stopped`.
        most_nodes: the autoscaler's maximum, by each node pool that has one.
        is_private: its API server is reached from inside its network only.
        has_metrics: managed Prometheus collects its metrics.
        etag: as it was read; None where the service gave none.
    """

    id: ClusterId
    location: str
    kubernetes_version: str
    provisioning_state: str
    power_state: str
    has_entra_id: bool
    has_azure_rbac: bool
    network_policy_engine: str | None
    most_nodes: Mapping[str, int] = field(default_factory=dict)
    is_private: bool = False
    has_metrics: bool = True
    etag: str | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether its nodes and its API server are off."""
        return self.power_state.lower() == "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCluster:
    """What a new cluster shall be, with Entra ID and Azure RBAC.

    Attributes:
        kubernetes_version: empty for the service's default.
        network_policy: `cilium`, `azure`, `calico` or `none`.
    """

    id: ClusterId
    location: str
    kubernetes_version: str
    node_size: str
    node_count: int
    network_policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What the caller may do at a scope by one of its roles: patterns of actions, with `*`.

    What `not_...` names is left out of them again.
    """

    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()

    def allows(self, action: str, *, is_data: bool = False) -> bool:
        """Return whether it allows an action of ARM's, or a data action."""
        sides = (self.actions, self.not_actions)
        if is_data:
            sides = (self.data_actions, self.not_data_actions)
        given, taken = (
            any(fnmatchcase(action.lower(), one.lower()) for one in side) for side in sides
        )
        return given and not taken


UNDO_NAME = "undo.yaml"
"""The request file that `mns undo` writes into a run directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessGrant:
    """A role that a principal shall have on one managed namespace.

    Attributes:
        principal_id: directory object id; in a request the name may stand here that somebody wrote.
        role: full name of the built-in role.
        role_guid: its definition's GUID.
    """

    principal_type: PrincipalType
    principal_id: str
    role: str
    role_guid: str

    @classmethod
    def of(cls, kind: PrincipalType, principal_id: str, role: str) -> Self:
        """Return what grants a built-in role, by its full name."""
        guid = BUILT_IN_ROLES[role]
        return cls(principal_type=kind, principal_id=principal_id, role=role, role_guid=guid)

    @property
    def is_named(self) -> bool:
        """Whether the principal is known by a name only."""
        return not GUID.fullmatch(self.principal_id)

    @property
    def key(self) -> tuple[str, str]:
        """Whose role it is, to compare; an object id is one principal's, of whatever kind."""
        return self.principal_id.lower(), self.role_guid.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAssignment:
    """A role assignment as ARM holds it; `condition` is empty where it holds without one."""

    id: str
    scope: str
    principal_id: str
    principal_type: str
    role_guid: str
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a workbook's sheet of requests has beside its cells.

    Attributes:
        letters: of its columns, by name.
        hidden_rows, hidden_columns: with requests that nobody sees, and that count all the same.
        unread: the workbook's other sheets, each with why nobody sees it.
    """

    letters: Mapping[str, str] = field(default_factory=dict)
    hidden_rows: tuple[int, ...] = ()
    hidden_columns: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request was written: file name and row (1 is the first line of the file).

    The row is None where there is but one request, such as a notebook's parameters.

    Attributes:
        sheet: empty for a file that is no workbook.
    """

    file: str
    row: int | None
    sheet: Sheet = field(default_factory=Sheet)

    @property
    def is_undo(self) -> bool:
        """Whether the file takes a run back: what it asks for may have been done before."""
        return self.file == UNDO_NAME

    def cell(self, column: str) -> str:
        """Return the name of a sheet's cell, such as C7; empty where the file has none."""
        letter = self.sheet.letters.get(column)
        return f"{letter}{self.row}" if letter else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceSpec:
    """One validated request: what somebody asks of one managed namespace.

    What is not mentioned is left as it is: a key missing from a mapping, or a policy that is None.

    Attributes:
        quota: amounts by `QUOTA_FIELDS`.
        labels, annotations, tags: None removes the key.
        access: roles to assign.
        revoked: roles to take away at the namespace's own scope, whoever assigned them.
        limit_range: `auto`, `-` to remove it, or `100m/200m 128Mi/256Mi`: CPU and memory that a
            container requests and is limited to where it does not say; empty is not mentioned.
        companion_quota: amounts as text by key of a ResourceQuota; None removes the key.
        tier: name of the tier that the row takes values from; empty without one.
        when_new: the same request with the tier's values, for a managed namespace that does not
            exist yet; None without a tier.
    """

    id: ManagedNamespaceId
    origin: Origin
    ensure: Ensure = Ensure.PRESENT
    quota: Mapping[str, Decimal] = field(default_factory=dict)
    ingress_policy: NetworkRule | None = None
    egress_policy: NetworkRule | None = None
    adoption_policy: AdoptionPolicy | None = None
    delete_policy: DeletePolicy | None = None
    labels: Mapping[str, str | None] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    tags: Mapping[str, str | None] = field(default_factory=dict)
    access: tuple[AccessGrant, ...] = ()
    revoked: tuple[AccessGrant, ...] = ()
    limit_range: str = ""
    companion_quota: Mapping[str, str | None] = field(default_factory=dict)
    tier: str = ""
    when_new: "NamespaceSpec | None" = None

    @property
    def in_full(self) -> "NamespaceSpec":
        """The request with everything that it might ask for."""
        return self.when_new or self
