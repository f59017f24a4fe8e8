"""Managed namespaces in ARM: read, create or update, delete, credential.

A PUT replaces everything: what the value given does not hold is wiped. Merging is the caller's
duty. Knows nothing of plans.

Source: azure-mgmt-containerservice, `managed_namespaces`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from mnslib import models
from mnslib.azure.messages import read_as
from mnslib.azure.operations import Operation
from mnslib.azure.pipeline import AS_JSON
from mnslib.errors import ArmError
from mnslib.models import AdoptionPolicy, ManagedNamespace, NetworkRule, format_quota_value
from mnslib.quantities import parse_quantity
from mnslib.resource_ids import ClusterId, ManagedNamespaceId

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient

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

    def __init__(self, client: AzureClient) -> None:
        self._client = client

    def list_by_managed_cluster(self, cluster: ClusterId) -> list[ManagedNamespace]:
        """Return all managed namespaces of a cluster; the list may trail a change by a moment.

        Raises:
            ArmError: if it was refused, or an item cannot be understood.
        """
        return [from_wire(item) for item in self._client.items(f"{cluster}/managedNamespaces")]

    def get(self, namespace: ManagedNamespaceId) -> ManagedNamespace:
        """Return one managed namespace with its present eTag.

        Raises:
            ArmNotFoundError: if it does not exist.
            ArmError: if it was refused.
        """
        return from_wire(self._call("get", namespace, **AS_JSON))

    def begin_create_or_update(
        self,
        namespace: ManagedNamespace,
        *,
        if_match: str | None = None,
        must_be_new: bool = False,
    ) -> Operation | None:
        """Start to make a namespace exactly as given, and return the operation to follow.

        Args:
            if_match: eTag that it must still have; None to write whatever is there.
            must_be_new: refuse it if it exists by now (`If-None-Match: *`; whether the service
                obeys is unconfirmed).

        Raises:
            ArmPreconditionError: if it has another eTag by now.
            ArmError: if it was refused, or a quantity cannot be written in ARM's form.
        """
        self._client.throttle.learn_region(namespace.id.cluster, namespace.location)
        body = to_wire(namespace)
        headers = {"If-None-Match": "*"} if must_be_new else _if_match(if_match)
        return self._begin("begin_create_or_update", namespace.id, body, headers=headers)

    def begin_delete(
        self, namespace: ManagedNamespaceId, *, if_match: str | None = None
    ) -> Operation | None:
        """Start to delete a namespace; return the operation, None where it is gone already.

        What becomes of the Kubernetes namespace is the stored delete policy's matter.
        """
        return self._begin("begin_delete", namespace, headers=_if_match(if_match))

    def list_credential(self, namespace: ManagedNamespaceId) -> str:
        """Return the kubeconfig that leads to a namespace's cluster, as YAML text.

        Raises:
            ArmError: if it was refused, or holds no kubeconfig.
        """
        found = self._call("list_credential", namespace, **AS_JSON)
        return kubeconfig_text(found, where=str(namespace))

    def _begin(
        self, method: str, namespace: ManagedNamespaceId, *body: Any, headers: dict[str, str]
    ) -> Operation | None:
        answers: list[Any] = []
        hook = {"polling": False, "raw_response_hook": answers.append}
        self._call(method, namespace, *body, headers=headers, **hook)
        return Operation.started_by(answers[-1], namespace, at=self._client.clock())

    def _call(self, method: str, namespace: ManagedNamespaceId, *body: Any, **options: Any) -> Any:
        cluster = namespace.cluster
        operations = self._client.containers(cluster.subscription_id).managed_namespaces
        names = cluster.resource_group, cluster.cluster_name, namespace.namespace_name
        return getattr(operations, method)(*names, *body, **options)


def _if_match(etag: str | None) -> dict[str, str]:
    return {} if etag is None else {"If-Match": etag}


def kubeconfig_text(credential: Any, *, where: str) -> str:
    """Return the first kubeconfig of a credential result.

    Raises:
        ArmError: if there is none; what it holds instead is not shown.
    """
    with suppress(AttributeError, TypeError, ValueError):
        for kubeconfig in credential.get("kubeconfigs") or ():
            if kubeconfig.get("value"):
                return base64.b64decode(kubeconfig["value"]).decode()
    raise ArmError(f"{where} has no kubeconfig to give; check that the cluster is running.")


def to_wire(namespace: ManagedNamespace) -> dict[str, Any]:
    """Return a namespace as ARM takes it; what is not set is left out.

    Raises:
        ArmError: if a quantity cannot be written in ARM's form.
    """
    policy = {"ingress": namespace.ingress_policy, "egress": namespace.egress_policy}
    quota = {}
    for name, amount in namespace.quota.items():
        try:
            quota[_QUOTA_NAMES[name]] = format_quota_value(name, amount)
        except ValueError as error:
            raise ArmError(
                f"{name} of {namespace.id} cannot be sent: {error}. Ask for a value that can be"
                " written in millicores or in Ki, Mi, Gi."
            ) from error
    properties = {
        "labels": dict(namespace.labels),
        "annotations": dict(namespace.annotations),
        "defaultResourceQuota": quota or None,
        "defaultNetworkPolicy": _set(policy) or None,
        "adoptionPolicy": namespace.adoption_policy,
        "deletePolicy": namespace.delete_policy,
    }
    tags = dict(namespace.tags)
    return {"location": namespace.location, "tags": tags, "properties": _set(properties)}


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@read_as("a managed namespace")
def from_wire(item: Any) -> ManagedNamespace:
    """Return a namespace as ARM answered it.

    Raises:
        ArmError: if it, or a field of it, cannot be understood; the message names it.
    """
    where, properties = item.get("id"), item.get("properties")
    if not where or properties is None:
        raise ValueError("without id or properties")
    quota = properties.get("defaultResourceQuota") or {}
    policy = properties.get("defaultNetworkPolicy") or {}
    labels = properties.get("labels") or {}
    return ManagedNamespace(
        id=ManagedNamespaceId.parse(where),
        location=item.get("location") or "",
        labels={key: value for key, value in labels.items() if key not in models.SERVICE_LABELS},
        annotations=dict(properties.get("annotations") or {}),
        tags=dict(item.get("tags") or {}),
        quota=_quota(*map(quota.get, _QUOTA_NAMES.values())),
        ingress_policy=_choice(NetworkRule, "ingress", policy.get("ingress")),
        egress_policy=_choice(NetworkRule, "egress", policy.get("egress")),
        adoption_policy=_choice(AdoptionPolicy, "adoptionPolicy", properties.get("adoptionPolicy")),
        delete_policy=_choice(models.DeletePolicy, "deletePolicy", properties.get("deletePolicy")),
        etag=item.get("eTag"),
        provisioning_state=properties.get("provisioningState"),
    )


# A fleet has few quotas and policies, and each stands in thousands of answers.


@lru_cache(maxsize=1024)
def _quota(*texts: str | None) -> Mapping[str, Decimal]:
    amounts: dict[str, Decimal] = {}
    for name, text in zip(_QUOTA_NAMES, texts, strict=True):
        try:
            amounts |= {} if text is None else {name: parse_quantity(str(text))}
        except ValueError as error:
            raise ValueError(f"{name} of its quota is {error}") from error
    return amounts


@lru_cache(maxsize=1024)
def _choice(kind: type[_Choice], name: str, text: str | None) -> _Choice | None:
    if text is None:
        return None
    for choice in kind:
        if choice.value.lower() == text.lower():
            return choice
    raise ValueError(f"{name} is {text[:40]!r}, which this version of mnslib does not know")
