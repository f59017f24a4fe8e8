"""Requests, plans and outcomes as something to read: sentences and tables, risks first.

Knows nothing of how they were made. All text is escaped by the displays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mnslib.commitment import shortage
from mnslib.models import QUOTA_FIELDS, NamespaceSpec
from mnslib.provisioning.approval import Approval
from mnslib.provisioning.changes import RiskName
from mnslib.provisioning.observed import ObservedState
from mnslib.provisioning.plan import Plan
from mnslib.reporting import change_words, wording
from mnslib.reporting.change_words import KIND_WORDS
from mnslib.reporting.displays import (
    Callout,
    Cell,
    Figure,
    KeyFigures,
    Stack,
    Table,
    Tag,
    Tags,
    commitment_tag,
    named,
    right,
    tag,
)
from mnslib.reporting.tokens import Tone
from mnslib.resource_ids import short_names
from mnslib.results import ApplyResult, CheckResult, CheckStatus, OutcomeKind

if TYPE_CHECKING:
    from mnslib.reporting.charts import Chart

RISK_TITLES: dict[RiskName, tuple[str, Tone]] = {
    RiskName.DELETION: ("would be deleted as Azure resources", "critical"),
    RiskName.DELETE_POLICY: ("may take all that runs in them along when deleted", "critical"),
    RiskName.OVERCOMMIT: ("would promise more than their clusters can give", "critical"),
    RiskName.QUOTA_BELOW_USE: ("would get a quota below what is requested now", "critical"),
    RiskName.ADOPTION: ("would be taken over from whoever runs them now", "warning"),
    RiskName.FOREIGN_OWNER: ("are written by somebody else too", "warning"),
    RiskName.POLICY_TIGHTENED: ("would get a tighter network policy while pods run", "warning"),
    RiskName.KEYS_REMOVED: ("would lose fields, labels, annotations or tags", "warning"),
    RiskName.MANY_CHANGES: ("would change", "warning"),
}


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
            *(_asked(spec, name) for name in QUOTA_FIELDS),
            spec.labels.get("owner"),
            len(spec.access) or None,
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
    """Return the checks, failures first, each with what to do about it."""
    rows: list[list[Cell]] = [[tag(c.status.value), c.name, c.detail, c.remedy] for c in checks]
    failed = sum(check.status is CheckStatus.FAILED for check in checks)
    warned = sum(check.status in (CheckStatus.WARNING, CheckStatus.UNKNOWN) for check in checks)
    caption = f"{wording.count(len(checks), 'check')}: {failed} failed, {warned} to know about"
    return Table(
        columns=["Result", named("Check"), "Found", "What to do"], rows=rows, caption=caption
    )


def warnings_sentence(checks: Sequence[CheckResult]) -> str:
    """Return what will have no effect or could not be looked at; empty where all passed."""
    odd = [check for check in checks if check.status in (CheckStatus.WARNING, CheckStatus.UNKNOWN)]
    lines = [f"{check.name.partition(':')[0]}: {check.detail}" for check in odd]
    if not lines:
        return ""
    return f"{wording.count(len(lines), 'warning')}: {wording.examples(lines, joint=' ')}"


def plan_sentence(plan: Plan) -> str:
    """Return in one sentence what the plan would do."""
    total, risky = len(plan.to_do), sum(bool(change.risks) for change in plan.to_do)
    if not total:
        return f"Nothing to do: {wording.count(len(plan.changes), 'namespace')} as requested."
    unchanged = len(plan.changes) - total
    names = f" ({wording.listing(plan.risk_names())})" if plan.risk_names() else ""
    risks = f", {risky or 'none'} with a named risk{names}"
    rest = f"; {unchanged} unchanged" if unchanged else ""
    return f"{wording.count(total, 'change')}{risks}{rest}."


def plan_report(plan: Plan, *, limit: int = 200) -> Stack:
    """Return the plan to read before deciding: sentence, figures, risks, every change."""
    counts = plan.counts()
    tones: dict[str, Tone] = {"Delete": "critical", "Adopt": "warning"}
    figures = KeyFigures(
        [
            Figure(counts[kind], word, tone=tones.get(kind, "calm") if counts[kind] else "calm")
            for kind, word in KIND_WORDS.items()
        ]
    )
    boxes = (*_risks(plan), *_unknown_fit(plan), *change_words.access_boxes(plan))
    return Stack((plan_sentence(plan), figures, *boxes, _changes_table(plan, limit)))


def clusters_table(plan: Plan) -> Table:
    """Return what each cluster has promised before and after, of CPU and memory requests."""
    rows: list[list[Cell]] = []
    commitments = plan.commitments()
    for cluster, name in sorted(short_names(commitments).items(), key=lambda pair: pair[1]):
        both = commitments[cluster]
        touched = sum(change.id.cluster == cluster for change in plan.to_do)
        for resource in ("cpu", "memory"):
            row: list[Cell] = [name, touched, wording.RESOURCE_WORDS[resource]]
            if both is None:
                rows.append([*row, *["unknown"] * 4, tag("unknown")])
                continue
            before, after = both[0][resource], both[1][resource]
            lacking = shortage(before, after)
            verdict = commitment_tag(after.verdict, after.committed_ratio)
            if lacking:
                verdict = Tag(f"short of {wording.quantity(resource, lacking)}", "critical")
            rows.append(
                [
                    *row,
                    wording.quantity(resource, before.allocatable),
                    wording.quantity(resource, after.committed),
                    wording.times(before.committed_ratio),
                    wording.times(after.committed_ratio),
                    verdict,
                ]
            )
    amounts = right("Nodes give", "Promised after", "÷ nodes now", "÷ nodes after")
    return Table(
        columns=[named("Cluster"), "Changes", "Resource", *amounts, "Verdict"],
        rows=rows,
        caption="Effect on each cluster (promised = sum of hard request quotas)",
    )


def approval_report(approval: Approval) -> Callout:
    """Return what was decided; in a dry run, exactly what to write in order to go ahead."""
    plan = approval.plan
    if not plan.to_do:
        return Callout(title="Nothing to approve", text=plan_sentence(plan), tone="good")
    if approval.may_write:
        text = f"{plan_sentence(plan)} Digest {plan.digest}"
        return Callout(title="Approved: this plan will be applied", text=text, tone="good")
    risks = plan.risk_names()
    code = f'dry_run: false\napproved_digest: "{plan.digest}"\nallow: [{", ".join(risks)}]'
    accepted = f" and accept {wording.listing(risks)}" if risks else ""
    return Callout(
        title="Dry run: nothing is written",
        text=f"{plan_sentence(plan)} To go ahead, name the plan that you read{accepted}:",
        code=code,
        tone="warning",
    )


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
    """Return what came of every request, and which risks what was done carries."""
    done = (item for item in result.outcomes if item not in result.unfinished)
    risks = Counter(risk for item in done for risk in item.risks)
    words = [f"{name} on {number}" for name, number in sorted(risks.items())]
    return _outcomes(result) + (f" Risks accepted: {wording.listing(words)}." if words else "")


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
    from mnslib.reporting.charts import bulk_outcome

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
    done = [item for item in result.outcomes if item not in result.unfinished]
    rows: list[list[Cell]] = [
        [
            tag(item.outcome.value),
            item.id.namespace_name,
            clusters[item.id.cluster],
            wording.duration(item.duration_seconds) if item.duration_seconds else None,
            item.reason,
            item.remedy,
        ]
        for item in (*result.unfinished, *done)
    ]
    table = Table(
        columns=["Outcome", named("Namespace"), "Cluster", *right("Took"), "Reason", "What to do"],
        rows=rows,
        limit=limit,
        note="All items: result.json.",
    )
    return Stack((outcome_sentence(result), table))


def _asked(spec: NamespaceSpec, quota_field: str) -> str | None:
    if quota_field not in spec.quota:
        return None
    amount = spec.quota[quota_field]
    return "remove" if amount is None else wording.quota(quota_field, amount)


def _risks(plan: Plan) -> list[Callout]:
    """Return a box for each named risk, with its first examples."""
    by_name: dict[RiskName, list[str]] = defaultdict(list)
    for change in plan.changes:
        for risk in change.risks:
            by_name[risk.name].append(f"{change.id.namespace_name}: {risk.detail}")
    for risk in plan.plan_risks:
        by_name[risk.name].append(risk.detail)
    return [
        Callout(
            title=_risk_title(len(by_name[name]), sentence),
            text=wording.examples(by_name[name], joint="\n"),
            tags=(Tag(name.value, tone),),
            tone=tone,
        )
        for name, (sentence, tone) in RISK_TITLES.items()
        if name in by_name
    ]


def _unknown_fit(plan: Plan) -> list[Callout]:
    """Return the box that names clusters of which nobody knows whether the quotas fit."""
    touched = {change.id.cluster for change in plan.to_do if change.after is not None}
    clusters = short_names(plan.observed.clusters)
    lines = []
    for cluster, both in plan.commitments().items():
        if cluster in touched and both is None:
            lines.append(f"{clusters[cluster]}: Kubernetes was not read; the checks say why.")
        elif cluster in touched and both and not both[1]["cpu"].allocatable:
            lines.append(f"{clusters[cluster]}: no ready node.")
    title = f"Whether the quotas fit is unknown on {wording.count(len(lines), 'cluster')}"
    text = wording.examples(sorted(lines), joint="\n")
    return [Callout(title=title, text=text, tone="unknown")] if lines else []


def _risk_title(number: int, sentence: str) -> str:
    if number == 1:
        for many, one in (
            (" are ", " is "),
            ("runs them", "runs it"),
            ("run in them", "run in it"),
            ("their clusters", "its cluster"),
            ("Azure resources", "Azure resource"),
        ):
            sentence = sentence.replace(many, one)
    return f"{wording.count(number, 'namespace')} {sentence}"


def _changes_table(plan: Plan, limit: int) -> Table:
    clusters = short_names({change.id.cluster for change in plan.to_do})
    return Table(
        columns=["Change", named("Namespace"), "Cluster", "What changes", "Risk"],
        rows=[
            [
                Tag(change_words.verb(change), tag(change.kind.value).tone),
                change.id.namespace_name,
                clusters[change.id.cluster],
                "\n".join(change_words.lines(change)),
                Tags([Tag(risk.name.value, "warning") for risk in change.risks]),
            ]
            for change in sorted(plan.to_do, key=lambda c: (not c.risks, c.kind.value))
        ],
        caption="All changes, risks first",
        note=f"Digest {plan.digest}. Exact to the field: plan.json.",
        empty="There is nothing to change.",
        limit=limit,
    )


def plan_chart(plan: Plan) -> Chart:
    """Return the picture of what clusters have promised before and after the plan."""
    from mnslib.reporting.charts import commitment_before_after

    labels = short_names(plan.observed.clusters)
    known = {labels[key]: pair for key, pair in plan.commitments().items() if pair is not None}
    changes: dict[str, list[str]] = defaultdict(list)
    for change in plan.to_do:
        changes[labels[change.id.cluster]].append(change.id.namespace_name)
    return commitment_before_after(
        {name: before for name, (before, _) in known.items()},
        {name: after for name, (_, after) in known.items()},
        changes=changes,
        moment=max(datetime.fromisoformat(c.read_utc) for c in plan.observed.clusters.values()),
        unknown={
            labels[key]: "Kubernetes was not read"
            for key, found in plan.observed.clusters.items()
            if found.kubernetes is None
        },
    )
