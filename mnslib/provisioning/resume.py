"""Go on with a run that ended early: only the rest, under the approval that it had.

The journal says what was planned, begun and finished. What is finished is left alone; what was
begun is decided by reading the item itself, never the list, which trails; what the service still
works on is waited for beside the rest; what nobody touched is written as it was approved; what
somebody else has changed since is skipped as stale.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from mnslib import results
from mnslib.errors import ConfigError, SpecError, StalePlanError, cut
from mnslib.models import DeletePolicy, NamespaceSpec
from mnslib.provisioning.apply import RELEASED, STOOD
from mnslib.provisioning.changes import Change, is_as_recorded, planned_item, without_added, words
from mnslib.provisioning.journal import JOURNAL_NAME, Story, read_events, read_stories
from mnslib.provisioning.observe import ObservedState
from mnslib.provisioning.plan import Plan, make_plan, recorded_digest
from mnslib.provisioning.risks import OF_CONTENT, OF_PLAN
from mnslib.provisioning.writing import NOT_GRANTED, STALE, STALE_REMEDY, is_made_anew, is_under_way
from mnslib.resource_ids import ManagedNamespaceId
from mnslib.results import DONE_OUTCOME, ApplyResult, ChangeKind, ItemOutcome, OutcomeKind, Resumed

if TYPE_CHECKING:
    from mnslib.azure.client import AzureClient


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRun:
    """What the journal says of a run that ended early.

    Attributes:
        name: of its directory.
        digest: of the plan that was approved.
        risks: names of those that were accepted with it.
        items: what was planned, by key.
        finished: outcomes of the items that ended as requested, by key.
        is_torn: the journal's last line was cut off; the item it was about is read.
    """

    name: str
    digest: str
    risks: frozenset[str]
    items: dict[str, Story]
    finished: dict[str, ItemOutcome]
    is_torn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What is left of an earlier plan.

    Attributes:
        earlier: the run that is resumed.
        plan: what is to be written, under the digest that was approved.
        decided: outcomes of what needs no write now, by reading it.
    """

    earlier: EarlierRun
    plan: Plan
    decided: tuple[ItemOutcome, ...]

    @property
    def failed_before(self) -> frozenset[str]:
        """Keys of the items that failed before and were not found to be as requested now."""
        still = {change.id.key for change in self.plan.changes}
        still |= {item.id.key for item in self.decided if item.outcome is OutcomeKind.FAILED}
        return frozenset(key for key in still if self.earlier.items[key].has_failed)

    def complete(self, result: ApplyResult) -> ApplyResult:
        """Return the result over all items of the earlier plan, in its order."""
        before = (*self.earlier.finished.values(), *self.decided)
        outcomes = sorted((*before, *result.outcomes), key=lambda item: item.id.key)
        resumed = Resumed(
            run=self.earlier.name,
            written=Counter(i.outcome for i in before if i.outcome in results.WRITTEN_OUTCOMES),
            is_rest_empty=not result.outcomes,
            risks=tuple(sorted(self.earlier.risks)),
        )
        return replace(result, outcomes=tuple(outcomes), resumed=resumed)


def read_earlier(run_directory: Path) -> EarlierRun:
    """Return what the journal of a run says.

    Raises:
        ConfigError: if the run wrote nothing, so that there is nothing to resume.
    """
    events, is_torn = read_events(run_directory / JOURNAL_NAME)
    plans = [event for event in events if event["event"] == "plan" and event["may_write"]]
    if not any(plan["items"] for plan in plans):
        raise ConfigError(f"{run_directory.name} wrote nothing: run it anew.")
    stories = {key: story for key, story in read_stories(events).items() if story.planned}
    return EarlierRun(
        name=run_directory.name,
        digest=plans[-1]["digest"],
        risks=frozenset(risk for plan in plans for risk in plan["risks"]),
        items=stories,
        finished={key: ended for key, story in stories.items() if (ended := story.outcome)},
        is_torn=is_torn,
    )


def require_untouched(earlier: EarlierRun, plan_file: Path) -> None:
    """Refuse to go on where the files of a run say other than what was approved.

    Args:
        plan_file: `plan.json` of the run that was planned, the first of those that were resumed.

    Raises:
        ConfigError: naming the file.
    """
    try:
        plan = json.loads(plan_file.read_text(encoding="utf-8"))
        lines = {ManagedNamespaceId.parse(one["id"]).key: one for one in plan["changes"]}
        risks = {risk["name"] for part in (plan, *plan["changes"]) for risk in part["risks"]}
        is_approved = recorded_digest(plan) == earlier.digest and earlier.risks <= risks
        is_approved = is_approved and all(
            is_as_recorded(item, lines[key])
            for key, story in earlier.items.items()
            # what was begun may be planned again with what a policy has added by then
            for item in (story.planned[:1] if story.begun else story.planned)
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        is_approved = False  # whatever somebody made of it
    if not is_approved:
        facts = {"file": plan_file, "run": earlier.name, "digest": earlier.digest}
        why = words("refusals")["tampered"].format_map(facts)
        raise ConfigError(f"Nothing was written: {why}")


def result_so_far(run_directory: Path) -> ApplyResult:
    """Return what came of a run by its journal alone; without outcomes where it wrote nothing."""
    try:
        earlier = read_earlier(run_directory)
    except ConfigError:
        return ApplyResult(outcomes=())
    items = [_so_far(story) for _, story in sorted(earlier.items.items())]
    return ApplyResult(outcomes=tuple(items), plan_risks=tuple(earlier.risks & OF_PLAN))


def _so_far(story: Story) -> ItemOutcome:
    if story.outcome is not None:
        return story.outcome
    if since := story.ended[story.ended_before :]:
        return ItemOutcome.from_json(since[-1])
    if story.begun:
        return story.as_ended(OutcomeKind.FAILED, **words("left")["begun"])
    return story.as_ended(OutcomeKind.NOT_ATTEMPTED, **words("left")["planned"])


def require_same_requests(specs: Sequence[NamespaceSpec], earlier: EarlierRun) -> None:
    """Refuse a request file that is about other namespaces than the earlier plan.

    Raises:
        StalePlanError: naming how many were added or are gone.
    """
    asked = {spec.id.key for spec in specs}
    added, gone = asked - earlier.items.keys(), earlier.items.keys() - asked
    if added or gone:
        told = words("refusals")["other-requests"].format(added=len(added), gone=len(gone))
        raise StalePlanError(f"Nothing was written: {told}")


def read_in_flight(
    observed: ObservedState, earlier: EarlierRun, *, azure: AzureClient
) -> ObservedState:
    """Return what was observed, with each item that was begun as one read of it finds it."""
    begun = [
        story.id
        for key, story in earlier.items.items()
        if story.begun and key not in earlier.finished and story.id.cluster in observed.clusters
    ]
    return observed.with_items(begun, azure)


def plan_rest(
    specs: Sequence[NamespaceSpec],
    observed: ObservedState,
    earlier: EarlierRun,
    *,
    max_commitment: Decimal | None,
) -> Rest:
    """Return what is left of the earlier plan, and the outcome of everything else."""
    decided: list[ItemOutcome] = []
    still_open = []
    for spec in specs:
        item = earlier.items[spec.id.key]
        is_made = item.kind in (ChangeKind.CREATE, ChangeKind.ADOPT) and observed.find(spec.id)
        if spec.id.key not in earlier.finished:  # the roles of its tier are assigned once it stands
            still_open.append(spec.in_full if is_made else spec)
    try:
        plan = make_plan(still_open, observed, max_commitment=max_commitment, is_begun=True)
    except SpecError as error:
        # The world moved so that these cannot be planned any more; the others can.
        reasons = {problem.row: problem.message for problem in error.problems}
        for spec in [s for s in still_open if s.origin.row in reasons]:
            reason = f"stale: {cut(reasons[spec.origin.row])}"
            item = earlier.items[spec.id.key]
            decided.append(item.as_ended(OutcomeKind.SKIPPED, reason, STALE_REMEDY))
        still_open = [s for s in still_open if s.origin.row not in reasons]
        plan = make_plan(still_open, observed, max_commitment=max_commitment, is_begun=True)
    to_write = []
    for change in plan.changes:
        item = earlier.items[change.id.key]
        is_begun = bool(item.writes) and is_under_way(change.before)
        is_settled = change.kind is ChangeKind.NO_CHANGE
        if item.is_of_another and (change.grants or change.companions):
            kind = OutcomeKind.SKIPPED if item.has_stood else OutcomeKind.FAILED
            decided.append(item.as_ended(kind, NOT_GRANTED, STALE_REMEDY))
        elif is_settled and not is_begun:
            decided.append(_settled(item))
        elif is_settled or any(_is_approved(one, item, earlier) for one in _seen(change, item)):
            accepted = tuple(risk for risk in change.risks if risk.name in earlier.risks)
            change = replace(change, kind=item.kind, is_begun=is_begun, risks=accepted)
            to_write.append(change)
        else:
            decided.append(item.as_ended(OutcomeKind.SKIPPED, STALE, STALE_REMEDY))
    rest = replace(plan, changes=tuple(to_write), plan_risks=(), digest=earlier.digest)
    return Rest(earlier=earlier, plan=rest, decided=tuple(decided))


def _settled(item: Story) -> ItemOutcome:
    """Return the outcome of an item that nothing is left to do for."""
    if not item.begun:
        return item.as_ended(OutcomeKind.UNCHANGED, "it was as requested when the run was resumed")
    if any(
        event["change"] == ChangeKind.DELETE
        and event["before"]["delete_policy"] != DeletePolicy.DELETE
        for event in item.writes
    ):
        return item.as_ended(OutcomeKind.RELEASED, RELEASED)
    if item.has_stood:
        return item.as_ended(OutcomeKind.UNCHANGED, STOOD)
    if item.is_of_another:
        return item.as_ended(OutcomeKind.UPDATED, words("told")["replaced"])
    return item.as_ended(DONE_OUTCOME[item.kind])


def _seen(change: Change, item: Story) -> list[Change]:
    """Return the change as it is, and without what a policy has added to the write; that stays."""
    return [change, *(without_added(change, write) for write in item.writes[-1:])]


def _is_approved(change: Change, item: Story, earlier: EarlierRun) -> bool:
    """Return whether writing it does no other than what was approved, to what was seen then."""
    now, was = planned_item(change), item.planned[-1]
    is_other = (
        now["after"] != was["after"]
        or any(set(now.get(n, ())) - {*was.get(n, ())} for n in ("grants", "revoked", "companions"))
        or not set(change.risk_names) - OF_CONTENT <= earlier.risks
        # what was to be created exists on the cluster by now: nobody approved that
        or (change.before is None and change.kind is not item.kind)
    )
    if is_other:
        return False
    if (now["etag"], now["before"]) == (was["etag"], was["before"]):
        return True
    # its own write may have left it with another eTag, or as failed
    is_same = bool(item.begun) and not is_made_anew(change.kind, change.before)
    return is_same and now["before"] in (was["before"], was["after"])
