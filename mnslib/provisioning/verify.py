"""Read back: is every item that was reported as done really as requested, field by field?

The list that was read again decides; where it disputes, one read of the item itself does, since
the list can trail. Changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mnslib.errors import ArmNotFoundError
from mnslib.models import ManagedNamespace
from mnslib.provisioning.changes import Change, FieldDifference, differences
from mnslib.provisioning.observed import ObservedState
from mnslib.provisioning.plan import Plan
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.results import DONE_OUTCOME, ApplyResult, ChangeKind, ItemOutcome, OutcomeKind

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient

_UNDER_WAY = frozenset({"Creating", "Updating", "Deleting"})
"""Source: azure-mgmt-containerservice, `NamespaceProvisioningState`."""


def read_back(
    plan: Plan, result: ApplyResult, *, again: ObservedState, azure: AzureClient
) -> ApplyResult:
    """Return the result with every item failed that does not read back as it was planned.

    Outcomes of an earlier run, of items outside the plan, stay as they are.
    """
    changes = {change.id: change for change in plan.changes}
    checked = tuple(
        _check(changes[outcome.id], outcome, again, azure) if outcome.id in changes else outcome
        for outcome in result.outcomes
    )
    return replace(result, outcomes=checked)


def _check(
    change: Change, outcome: ItemOutcome, again: ObservedState, azure: AzureClient
) -> ItemOutcome:
    is_written = change.kind is not ChangeKind.NO_CHANGE
    if not is_written or outcome.outcome is not DONE_OUTCOME[change.kind]:
        return outcome
    wrong = differences(change.after, again.clusters[change.id.cluster].find(change.id))
    if wrong:
        wrong = differences(change.after, item_now(change.id, azure))
    missing = [g.role for g in change.grants if not again.has_grant(str(change.id), g)]
    if not wrong and not missing:
        return outcome
    found = [_sentence(d) for d in wrong] + [f"role {role} is not assigned" for role in missing]
    reason = f"reads back differently: {', '.join(found)}; look at it before running again"
    return replace(outcome, outcome=OutcomeKind.FAILED, reason=reason)


def item_now(target: ManagedNamespaceId, azure: AzureClient) -> ManagedNamespace | None:
    """Return a managed namespace as one read of it finds it, None if there is none."""
    try:
        return azure.managed_namespaces.get(target)
    except ArmNotFoundError:
        return None


def is_under_way(namespace: ManagedNamespace) -> bool:
    """Return whether the service still works on it."""
    return namespace.provisioning_state in _UNDER_WAY


def _sentence(difference: FieldDifference) -> str:
    return f"{difference.path} is {difference.new or 'absent'}, not {difference.old or 'absent'}"
