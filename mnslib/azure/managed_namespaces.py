"""Managed namespaces in ARM: read, create or update, delete, credential.

A PUT replaces everything: what the value given does not hold is wiped. Merging is the caller's
duty. Knows nothing of plans.

Source: azure-mgmt-containerservice, `managed_namespaces`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from mnslib.azure.messages import redact
from mnslib.azure.operations import Operation, OperationKind, started_operation
from mnslib.errors import ArmError
from mnslib.models import (
    SERVICE_LABELS,
    AdoptionPolicy,
    DeletePolicy,
    ManagedNamespace,
    NetworkPolicy,
    NetworkRule,
    ResourceQuota,
    format_quota_value,
)
from mnslib.quantities import parse_quantity
from mnslib.resource_ids import ClusterId, ManagedNamespaceId

if TYPE_CHECKING:
    from azure.mgmt.containerservice import ContainerServiceClient

    from mnslib.azure.pipeline import Rest
    from mnslib.azure.throttle import Throttle

API_VERSION = "2026-08-01"
"""Of all calls to the container service: the SDK's default, which lists ask for without it.
Source: azure-mgmt-containerservice 41.8."""

_Choice = TypeVar("_Choice", bound=StrEnum)

_QUOTA_NAMES = {
    "cpu_request": "cpuRequest",
    "cpu_limit": "cpuLimit",
    "memory_request": "memoryRequest",
    "memory_limit": "memoryLimit",
}
"""Quota field to ARM's name of it."""


class ManagedNamespaces:
    """The managed namespaces of every subscription that the credential may see."""

    def __init__(
        self,
        sdk: Callable[[str], ContainerServiceClient],
        throttle: Throttle,
        *,
        rest: Rest,
        arm_endpoint: str,
        clock: Callable[[], float],
    ) -> None:
        self._sdk = sdk
        self._throttle = throttle
        self._rest = rest
        self._arm_endpoint = arm_endpoint
        self._clock = clock

    def list_by_managed_cluster(self, cluster: ClusterId) -> list[ManagedNamespace]:
        """Return all managed namespaces of a cluster; every page is read, also after an empty one.

        The list may trail a change by a moment. It is read as JSON: the SDK makes five models of
        each item, which takes six times as long as all that we do with it.

        Raises:
            ArmError: if it was refused, or an item cannot be understood.
        """
        path = quote(f"{cluster}/managedNamespaces")
        url = f"{self._arm_endpoint.rstrip('/')}{path}?api-version={API_VERSION}"
        found: list[ManagedNamespace] = []
        read: set[str] = set()
        while url:
            if url in read:
                raise ArmError(f"ARM answered the list of {cluster} with pages in a circle.")
            read.add(url)
            page = self._rest.json(self._rest.get(url))
            if not isinstance(page, dict) or not isinstance(page.get("value"), list):
                raise ArmError(f"ARM answered the list of {cluster} without a list of values.")
            found += map(from_wire, page["value"])
            url = page.get("nextLink") or ""
        return found

    def get(self, namespace: ManagedNamespaceId) -> ManagedNamespace:
        """Return one managed namespace with its present eTag.

        Raises:
            ArmNotFoundError: if it does not exist.
            ArmError: if it was refused.
        """
        return from_wire(self._operations(namespace).get(*_names(namespace)))

    def begin_create_or_update(
        self,
        namespace: ManagedNamespace,
        *,
        if_match: str | None = None,
        must_be_new: bool = False,
    ) -> Operation:
        """Start to make a namespace exactly as given, and return the operation to follow.

        Args:
            if_match: eTag that it must still have; None to write whatever is there.
            must_be_new: refuse it if it exists by now (`If-None-Match: *`; whether the service
                obeys is unconfirmed).

        Raises:
            ArmPreconditionError: if it has another eTag by now.
            ArmError: if it was refused, or a quantity cannot be written in ARM's form.
        """
        self._throttle.learn_region(namespace.id.cluster, namespace.location)
        answers: list[Any] = []
        self._operations(namespace.id).begin_create_or_update(
            *_names(namespace.id),
            to_wire(namespace),
            polling=False,
            headers={"If-None-Match": "*"} if must_be_new else _if_match(if_match),
            raw_response_hook=answers.append,
        )
        is_new = answers[-1].http_response.status_code == 201
        kind = OperationKind.CREATE if is_new else OperationKind.UPDATE
        return self._started(answers[-1], namespace.id, kind)

    def begin_delete(
        self, namespace: ManagedNamespaceId, *, if_match: str | None = None
    ) -> Operation | None:
        """Start to delete a namespace; return the operation, None where it is gone already.

        What becomes of the Kubernetes namespace is the stored delete policy's matter.

        Raises: as `begin_create_or_update`.
        """
        answers: list[Any] = []
        self._operations(namespace).begin_delete(
            *_names(namespace),
            polling=False,
            headers=_if_match(if_match),
            raw_response_hook=answers.append,
        )
        if answers[-1].http_response.status_code == 204:
            return None
        return self._started(answers[-1], namespace, OperationKind.DELETE)

    def list_credential(self, namespace: ManagedNamespaceId) -> str:
        """Return the kubeconfig that leads to a namespace's cluster, as YAML text.

        Raises:
            ArmError: if it was refused, or holds no kubeconfig.
        """
        result = self._operations(namespace).list_credential(*_names(namespace))
        return kubeconfig_text(result, where=str(namespace))

    def _started(self, answer: Any, target: ManagedNamespaceId, kind: OperationKind) -> Operation:
        return started_operation(answer, target=str(target), kind=kind, started=self._clock())

    def _operations(self, namespace: ManagedNamespaceId) -> Any:
        return self._sdk(namespace.cluster.subscription_id).managed_namespaces


def kubeconfig_text(result: Any, *, where: str) -> str:
    """Return the first kubeconfig of a credential result.

    Raises:
        ArmError: if there is none.
    """
    for kubeconfig in result.kubeconfigs or ():
        if kubeconfig.value:
            text: str = bytes(kubeconfig.value).decode()
            return text
    raise ArmError(f"{where} has no kubeconfig to give; check that the cluster is running.")


def to_wire(namespace: ManagedNamespace) -> Any:
    """Return a namespace as the SDK takes it; what is not set is left out.

    Raises:
        ArmError: if a quantity cannot be written in ARM's form.
    """
    from azure.mgmt.containerservice import models

    policy = namespace.default_network_policy
    quota = {
        name: _quota_text(namespace.id, name, amount)
        for name, amount in namespace.default_resource_quota.values().items()
    }
    return models.ManagedNamespace(
        location=namespace.location,
        tags=dict(namespace.tags),
        properties=models.NamespaceProperties(
            labels=dict(namespace.labels),
            annotations=dict(namespace.annotations),
            default_resource_quota=models.ResourceQuota(**quota) if quota else None,
            default_network_policy=(
                models.NetworkPolicies(ingress=policy.ingress, egress=policy.egress)
                if policy.ingress or policy.egress
                else None
            ),
            adoption_policy=namespace.adoption_policy,
            delete_policy=namespace.delete_policy,
        ),
    )


def from_wire(item: Any) -> ManagedNamespace:
    """Return a namespace as ARM answered it: its JSON, or the SDK's model of it.

    Read by ARM's own names, which a model answers too, ten times as fast as by its attributes.

    Raises:
        ArmError: if it, or a field of it, cannot be understood; the message names it.
    """
    try:
        return _namespace(item)
    except (AttributeError, TypeError, ValueError) as error:
        raise not_understood(item, "a managed namespace") from error


def not_understood(item: Any, what: str) -> ArmError:
    """Return the error of an answer in which something is of a form that was never seen."""
    name = item.get("id") if isinstance(item, Mapping) else item
    return ArmError(f"ARM answered {redact(str(name))!r}, which cannot be read as {what}.")


def _namespace(item: Mapping[str, Any]) -> ManagedNamespace:
    where, properties = item.get("id"), item.get("properties")
    if not where or properties is None:
        raise ArmError(f"ARM answered without id or properties for {where or 'a namespace'}.")
    quota = properties.get("defaultResourceQuota") or {}
    policy = properties.get("defaultNetworkPolicy") or {}
    return ManagedNamespace(
        id=ManagedNamespaceId.parse(where),
        location=item.get("location") or "",
        labels={
            key: value
            for key, value in (properties.get("labels") or {}).items()
            if key not in SERVICE_LABELS
        },
        annotations=dict(properties.get("annotations") or {}),
        tags=dict(item.get("tags") or {}),
        default_resource_quota=ResourceQuota(
            **{
                name: _amount(where, name, quota.get(wire_name))
                for name, wire_name in _QUOTA_NAMES.items()
            }
        ),
        default_network_policy=NetworkPolicy(
            ingress=_choice(NetworkRule, where, "ingress", policy.get("ingress")),
            egress=_choice(NetworkRule, where, "egress", policy.get("egress")),
        ),
        adoption_policy=_choice(
            AdoptionPolicy, where, "adoptionPolicy", properties.get("adoptionPolicy")
        ),
        delete_policy=_choice(DeletePolicy, where, "deletePolicy", properties.get("deletePolicy")),
        etag=item.get("eTag"),
        provisioning_state=text_of(properties.get("provisioningState")),
    )


def _names(namespace: ManagedNamespaceId) -> tuple[str, str, str]:
    cluster = namespace.cluster
    return cluster.resource_group, cluster.cluster_name, namespace.namespace_name


def _if_match(etag: str | None) -> dict[str, str]:
    return {} if etag is None else {"If-Match": etag}


def _quota_text(namespace: ManagedNamespaceId, name: str, amount: Decimal) -> str:
    try:
        return format_quota_value(name, amount)
    except ValueError as error:
        raise ArmError(
            f"{name} of {namespace} cannot be sent: {error}. Ask for a value that can be written"
            " in millicores or in Ki, Mi, Gi."
        ) from error


def _amount(where: str, name: str, text: object) -> Decimal | None:
    if text is None:
        return None
    try:
        return parse_quantity(str(text))
    except ValueError as error:
        raise ArmError(f"defaultResourceQuota.{name} of {where} is {error}.") from error


def text_of(value: Any) -> str | None:
    """Return the text of an SDK's value, which may be an enum; None for None."""
    return None if value is None else str(getattr(value, "value", value))


def _choice(kind: type[_Choice], where: str, name: str, value: Any) -> _Choice | None:
    text = text_of(value)
    if text is None:
        return None
    for choice in kind:
        if choice.value.lower() == text.lower():
            return choice
    raise ArmError(
        f"{name} of {where} is {text[:40]!r}, which this version of mnslib does not know."
    )
