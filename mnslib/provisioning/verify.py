"""Read back: is every item that was reported as done really as requested, field by field?

The list that was read again decides; where it disputes, one read of the item itself does, since
the list can trail. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from mnslib.errors import MnsError, SpecError, cut
from mnslib.models import ROLE_NAMES, ManagedNamespace, NamespaceSpec
from mnslib.provisioning.changes import Change, FieldDifference, differences
from mnslib.provisioning.observe import READERS, item_now
from mnslib.provisioning.observed import ObservedState
from mnslib.provisioning.plan import Plan, make_plan
from mnslib.results import WRITTEN_OUTCOMES, ApplyResult, ChangeKind, ItemOutcome, OutcomeKind

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient

_UNDER_WAY = frozenset({"Creating", "Updating", "Deleting"})
"""Source: azure-mgmt-containerservice, `NamespaceProvisioningState`."""


def read_disputed(
    plan: Plan, result: ApplyResult, *, again: ObservedState, azure: AzureClient
) -> ObservedState:
    """Return what was read again, each item that the list disputes as one read of it finds it."""
    outcomes = {outcome.id: outcome for outcome in result.outcomes}
    disputed = [
        change.id
        for change in plan.changes
        if _is_written(change, outcomes[change.id]) and _wrong(change, again)
    ]
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        found = pool.map(lambda target: item_now(target, azure), disputed)
        return again.with_items(dict(zip(disputed, found, strict=True)))


def read_back(plan: Plan, result: ApplyResult, *, again: ObservedState) -> ApplyResult:
    """Return the result with every item failed that does not read back as it was planned.

    Outcomes of an earlier run, of items outside the plan, stay as they are.
    """
    changes = {change.id: change for change in plan.changes}
    checked = tuple(
        _check(changes[outcome.id], outcome, again) if outcome.id in changes else outcome
        for outcome in result.outcomes
    )
    return replace(result, outcomes=checked)


def plan_again(
    specs: Sequence[NamespaceSpec], result: ApplyResult, *, again: ObservedState
) -> Plan:
    """Return what is left to change of the items that are as requested: nothing, if all is well.

    Raises:
        MnsError: if somebody changed one meanwhile so that it cannot even be planned.
    """
    left_out = {item.id for item in result.unfinished}
    try:
        return make_plan([spec for spec in specs if spec.id not in left_out], again)
    except SpecError as error:  # whose own text says that nothing was written
        found = "; ".join(map(str, error.problems))
        raise MnsError(
            "The outcomes stand, but somebody changed what was asked for since it was read: "
            f"{cut(found)} Run it again."
        ) from error


def _check(change: Change, outcome: ItemOutcome, again: ObservedState) -> ItemOutcome:
    if not _is_written(change, outcome):
        return outcome
    wrong = _wrong(change, again)
    found = [_sentence(d) for d in wrong]
    for grant in change.grants:
        if not again.has_grant(str(change.id), grant):
            found.append(f"role {grant.role} is not assigned")
    for held in change.revoked:
        if (held.scope.lower(), held.principal_id.lower(), held.role_guid) in again.grants:
            found.append(f"role {ROLE_NAMES[held.role_guid]} is still assigned at {held.scope}")
    if not found:
        return outcome
    return replace(
        outcome,
        outcome=OutcomeKind.FAILED,
        reason=f"reads back differently: {', '.join(found)}",
        remedy="look at it before running again",
    )


def _is_written(change: Change, outcome: ItemOutcome) -> bool:
    return change.kind is not ChangeKind.NO_CHANGE and outcome.outcome in WRITTEN_OUTCOMES


def _wrong(change: Change, again: ObservedState) -> tuple[FieldDifference, ...]:
    return differences(change.after, again.clusters[change.id.cluster].find(change.id))


def is_under_way(namespace: ManagedNamespace) -> bool:
    """Return whether the service still works on it."""
    return namespace.provisioning_state in _UNDER_WAY


def _sentence(difference: FieldDifference) -> str:
    return f"{difference.path} is {difference.new or 'absent'}, not {difference.old or 'absent'}"
