"""Requests, what was found and what came of them as something to read; plans are in `plans`.

Knows nothing of how they were made. All text is escaped by the displays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from mnslib.models import QUOTA_FIELDS, NamespaceSpec
from mnslib.provisioning.observed import ObservedState
from mnslib.provisioning.plan import Plan
from mnslib.resource_ids import short_names
from mnslib.results import (
    WRITTEN_OUTCOMES,
    ApplyResult,
    CheckResult,
    CheckStatus,
    OutcomeKind,
    Resumed,
)
from mnslib.show import change_words, wording
from mnslib.show.displays import (
    Callout,
    Cell,
    Lines,
    Stack,
    Table,
    named,
    right,
    tag,
)

if TYPE_CHECKING:
    from mnslib.show.charts import Chart


def requests_table(specs: Sequence[NamespaceSpec]) -> Table:
    """Return the requests in the file's order; an empty cell is left as it is."""
    clusters = short_names({spec.id.cluster for spec in specs})
    has_rows = any(spec.origin.row is not None for spec in specs)
    tiers = ["Tier"] if any(spec.tier for spec in specs) else []
    rows: list[list[Cell]] = [
        [
            *([spec.origin.row] if has_rows else []),
            spec.id.namespace_name,
            clusters[spec.id.cluster],
            *([spec.tier] if tiers else []),
            *(_or_from_tier(spec, partial(_asked, name)) for name in QUOTA_FIELDS),
            _or_from_tier(spec, lambda one: one.labels.get("owner")),
            _or_from_tier(spec, lambda one: len(one.access) or None),
            spec.ensure.value,
        ]
        for spec in specs
    ]
    values = (wording.RESOURCE_WORDS[name] for name in QUOTA_FIELDS)
    files = wording.listing(sorted({spec.origin.file for spec in specs})) or "nowhere"
    first = ["Row"] if has_rows else []
    return Table(
        columns=[
            *first,
            named("Namespace"),
            "Cluster",
            *tiers,
            *values,
            "Owner",
            "Roles asked",
            "Ensure",
        ],
        rows=rows,
        caption=f"{wording.count(len(specs), 'request')} from {files}",
        limit=12,
        note=" ".join(
            ["A tier fills what is empty on a new namespace."] * len(tiers)
            + ["The file holds them all."] * has_rows
        ),
    )


def observed_table(observed: ObservedState) -> Table:
    """Return what was found on each cluster, and when it was read."""
    rows: list[list[Cell]] = []
    for cluster, name in sorted(short_names(observed.clusters).items(), key=lambda pair: pair[1]):
        found, view = observed.clusters[cluster], observed.clusters[cluster].kubernetes
        rows.append(
            [
                name,
                found.cluster.location,
                len(found.managed),
                len(view.namespaces) if view else "unknown: see the checks",
                sum(node.is_ready for node in view.nodes) if view else None,
                wording.moment(datetime.fromisoformat(found.read_utc)),
            ]
        )
    return Table(
        columns=[
            named("Cluster"),
            "Region",
            "Managed namespaces",
            *right("Kubernetes namespaces"),
            "Ready nodes",
            "Read",
        ],
        rows=rows,
        caption="What is there",
    )


def checks_table(checks: Sequence[CheckResult]) -> Table:
    """Return the checks, failures first, each with what to do about it.

    A check that several clusters passed, in the same words or not, is one line.
    """
    open_checks = [check for check in checks if check.status is not CheckStatus.PASSED]
    rows: list[list[Cell]] = [
        [tag(c.status.value), c.name, c.detail, c.remedy] for c in open_checks
    ]
    passed: dict[str, list[CheckResult]] = defaultdict(list)
    for check in checks:
        if check.status is CheckStatus.PASSED:
            passed[check.name.partition(": ")[2] or check.name].append(check)
    for words, same in passed.items():
        name, detail = same[0].name, same[0].detail
        if len(same) > 1:
            name, detail = words, f"On {wording.count(len(same), 'cluster')}."
        rows.append([tag(CheckStatus.PASSED.value), name, detail, ""])
    failed = sum(check.status is CheckStatus.FAILED for check in checks)
    warned = sum(check.status in (CheckStatus.WARNING, CheckStatus.UNKNOWN) for check in checks)
    caption = f"{wording.count(len(checks), 'check')}: {failed} failed, {warned} to know about"
    return Table(
        columns=["Result", named("Check"), "Found", "What to do"], rows=rows, caption=caption
    )


def warning_lines(checks: Sequence[CheckResult]) -> list[str]:
    """Return a line for each check that says what has no effect or could not be looked at."""
    odd = [check for check in checks if check.status in (CheckStatus.WARNING, CheckStatus.UNKNOWN)]
    return [f"{check.name.partition(':')[0]}: {check.detail}" for check in odd]


def warnings_sentence(checks: Sequence[CheckResult]) -> str:
    """Return those lines as a sentence; empty where all passed."""
    lines = warning_lines(checks)
    if not lines:
        return ""
    return f"{wording.count(len(lines), 'warning')}: {wording.examples(lines, joint=' ')}"


def still_open(plan: Plan, result: ApplyResult) -> Callout:
    """Return what a plan made after the change finds to do, and what did not come out as asked.

    Args:
        plan: made again of what was reported as done; an empty one is the proof.
        result: the outcomes as they read back.
    """
    if result.is_dry_run:
        return Callout(title="Dry run: there is nothing to prove", text="Nothing was changed.")
    if result.unfinished:
        lines = [f"{item.id.namespace_name}: {item.explanation}" for item in result.unfinished]
        title = f"{wording.count(len(lines), 'request')} not as requested"
        return Callout(title=title, text=wording.examples(lines, joint="\n"), tone="critical")
    if not plan.to_do:
        count = wording.count(len(plan.changes), "namespace")
        text = f"Planned again: {count}, no change left."
        return Callout(title="What was reported as done is as requested", text=text, tone="good")
    lines = [f"{change_words.verb(c)} {c.id.namespace_name}" for c in plan.to_do]
    return Callout(
        title=f"{wording.count(len(lines), 'change')} still to do",
        text=wording.examples(lines, joint=", "),
        tone="warning",
    )


def outcome_sentence(result: ApplyResult) -> str:
    """Return what came of every request, and which risks what was done carries.

    Of a resumed run also what was there before it, and the risks that were accepted with the plan.
    """
    if result.resumed is not None:
        return _resumed_sentence(result, result.resumed)
    risks = Counter(risk for item in result.done for risk in item.risks)
    words = [f"{name} on {number}" for name, number in sorted(risks.items())]
    if any(item.outcome in WRITTEN_OUTCOMES for item in result.done):
        words += result.plan_risks
    return _outcomes(result) + (f" Risks accepted: {wording.listing(words)}." if words else "")


def _resumed_sentence(result: ApplyResult, resumed: Resumed) -> str:
    parts = [f"{number} {wording.outcome(kind)}" for kind, number in resumed.written.items()]
    before = f"{', '.join(parts)} before, by run {resumed.run}." if parts else ""
    is_first = resumed.is_rest_empty and not result.unfinished
    said = ["Nothing was left to do:" if is_first else _outcomes(result), before]
    if is_first and not parts:
        said = [_outcomes(result)]
    if resumed.risks:
        said.append(f"Risks accepted with the plan: {wording.listing(resumed.risks)}.")
    return " ".join(filter(None, said))


def _outcomes(result: ApplyResult) -> str:
    counts = result.counts()
    total, open_count = len(result.outcomes), len(result.unfinished)
    order = list(OutcomeKind)
    items = sorted(result.outcomes, key=lambda item: order.index(item.outcome))
    words = Counter(wording.outcome(item.outcome) for item in items)
    parts = [f"{number} {word}" for word, number in words.items()]
    if set(counts) == {OutcomeKind.UNCHANGED.value}:
        return f"{total} unchanged."
    if total == 1:
        (item,) = result.outcomes
        state = "not as requested" if open_count else "as requested"
        why = f" ({item.reason})" if item.reason else ""
        return f"{item.id.namespace_name} is {state}: {wording.outcome(item.outcome)}{why}."
    if open_count == 0:
        return f"All {total} are as requested: {', '.join(parts)}."
    return f"{total - open_count} of {total} are as requested: {', '.join(parts)}."


def outcome_chart(result: ApplyResult, *, moment: datetime) -> Chart | None:
    """Return the picture of what came of every change; None in a dry run, which has none.

    Args:
        moment: when the run was started.
    """
    from mnslib.show.charts import bulk_outcome

    return None if result.is_dry_run else bulk_outcome(result, moment=moment)


def outcome_report(result: ApplyResult, *, limit: int = 100) -> Stack:
    """Return what came of every request: the sentence, then what is open, then what is done."""
    if result.is_dry_run:
        count = wording.count(len(result.unfinished), "change")
        title = (
            f"Dry run: {count} {'waits' if len(result.unfinished) == 1 else 'wait'} for approval"
        )
        text = "Nothing was written. What to write in order to go ahead stands under Decision."
        return Stack((Callout(title=title, text=text, tone="warning"),))
    clusters = short_names({item.id.cluster for item in result.outcomes})
    rows: list[list[Cell]] = [
        [
            tag(item.outcome.value),
            item.id.namespace_name,
            clusters[item.id.cluster],
            wording.duration(item.duration_seconds) if item.duration_seconds else None,
            item.reason,
            item.remedy,
        ]
        for item in (*result.unfinished, *result.done)
    ]
    table = Table(
        columns=["Outcome", named("Namespace"), "Cluster", *right("Took"), "Reason", "What to do"],
        rows=rows,
        limit=limit,
        note="All items: result.json.",
    )
    return Stack((outcome_sentence(result), table))


def _or_from_tier(spec: NamespaceSpec, read: Callable[[NamespaceSpec], Cell]) -> Cell:
    """Return what the request says, or below it that a new namespace has it from the tier."""
    own, in_full = read(spec), read(spec.in_full)
    return own if own == in_full else Lines(str(in_full), f"from tier {spec.tier}")


def _asked(quota_field: str, spec: NamespaceSpec) -> str | None:
    if quota_field not in spec.quota:
        return None
    amount = spec.quota[quota_field]
    return "remove" if amount is None else wording.quota(quota_field, amount)
