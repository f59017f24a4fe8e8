"""Requests, plans and outcomes as something to read: sentences and tables, risks first.

Knows nothing of how they were made. All text is escaped by the displays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from mnslib.commitment import shortage
from mnslib.models import QUOTA_FIELDS, NamespaceSpec
from mnslib.provisioning.approval import Approval, to_go_ahead
from mnslib.provisioning.changes import Change, RiskName
from mnslib.provisioning.effect import BeforeAndAfter
from mnslib.provisioning.observed import ObservedState
from mnslib.provisioning.plan import Plan
from mnslib.reporting import change_words, wording
from mnslib.reporting.change_words import KIND_WORDS
from mnslib.reporting.displays import (
    Callout,
    Cell,
    Figure,
    KeyFigures,
    Lines,
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
from mnslib.resource_ids import ClusterId, short_names
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
    names = plan.risk_names()
    words = wording.listing(names) if len(names) <= wording.EXAMPLES else f"{len(names)} kinds"
    risks = f", {risky or 'none'} with a named risk{f' ({words})' if names else ''}"
    rest = f"; {unchanged} unchanged" if unchanged else ""
    return f"{wording.count(total, 'change')}{risks}{rest}."


def plan_report(plan: Plan) -> Stack:
    """Return what to read of a plan before deciding: sentence, figures, risks."""
    counts = plan.counts()
    tones: dict[str, Tone] = {"Delete": "critical", "Adopt": "warning"}
    figures = KeyFigures(
        [
            Figure(counts[kind], word, tone=tones.get(kind, "calm") if counts[kind] else "calm")
            for kind, word in KIND_WORDS.items()
        ]
    )
    boxes = (*_risks(plan), *_unknown_fit(plan), *change_words.access_boxes(plan))
    return Stack((plan_sentence(plan), figures, *boxes))


def changes_table(plan: Plan) -> Table:
    """Return the changes field by field, those with the gravest risk first.

    All with a risk are shown and 30 without, but 200 at most; plan.json has the rest.
    """
    risky = sum(bool(change.risks) for change in plan.to_do)
    clusters = short_names({change.id.cluster for change in plan.to_do})
    grave = list(RISK_TITLES)

    def order(change: Change) -> tuple[int, str]:
        found = [grave.index(risk.name) for risk in change.risks]
        return min(found, default=len(grave)), change.kind.value

    return Table(
        columns=["Change", named("Namespace"), "Cluster", "What changes", "Risk"],
        rows=[
            [
                Tag(change_words.verb(change), tag(change.kind.value).tone),
                change.id.namespace_name,
                clusters[change.id.cluster],
                "\n".join(change_words.lines(change)),
                Tags([Tag(risk.name.value, RISK_TITLES[risk.name][1]) for risk in change.risks]),
            ]
            for change in sorted(plan.to_do, key=order)
        ],
        caption="Changes, risks first",
        note=f"Digest {plan.digest}. Exact to the field: plan.json.",
        empty="There is nothing to change.",
        limit=min(risky + 30, 200),
    )


def clusters_table(plan: Plan) -> Table:
    """Return what each cluster has promised before and after, of CPU and memory requests.

    The fullest come first, those of which it is unknown last.
    """
    rows: list[list[Cell]] = []
    names = short_names(plan.observed.clusters)

    def order(item: tuple[ClusterId, BeforeAndAfter | None]) -> tuple[Decimal, str]:
        after = item[1][1].values() if item[1] else ()
        ratios = [one.committed_ratio for one in after if one.committed_ratio is not None]
        return -max(ratios, default=Decimal(-1)), names[item[0]]

    for cluster, both in sorted(plan.commitments().items(), key=order):
        name = names[cluster]
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
    accepted = f" and accept {wording.listing(risks)}" if risks else ""
    return Callout(
        title="Dry run: nothing is written",
        text=f"{plan_sentence(plan)} To go ahead, name the plan that you read{accepted}:",
        code=to_go_ahead(plan.digest, risks),
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


def _or_from_tier(spec: NamespaceSpec, read: Callable[[NamespaceSpec], Cell]) -> Cell:
    """Return what the request says, or below it that a new namespace has it from the tier."""
    own, in_full = read(spec), read(spec.in_full)
    return own if own == in_full else Lines(str(in_full), f"from tier {spec.tier}")


def _asked(quota_field: str, spec: NamespaceSpec) -> str | None:
    if quota_field not in spec.quota:
        return None
    amount = spec.quota[quota_field]
    return "remove" if amount is None else wording.quota(quota_field, amount)


def _risks(plan: Plan) -> list[Callout]:
    """Return a box for each named risk, with its worst examples."""
    by_name: dict[RiskName, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for change in _worst_first(plan):
        for risk in change.risks:
            by_name[risk.name][risk.detail].append(change.id.namespace_name)
    boxes = [
        Callout(
            title=_risk_title(sum(map(len, by_name[name].values())), sentence),
            text=_risk_examples(by_name[name]),
            tags=(Tag(name.value, tone),),
            tone=tone,
        )
        for name, (sentence, tone) in RISK_TITLES.items()
        if name in by_name
    ]
    return boxes + [
        Callout(
            title="Much would change at once",
            text=risk.detail,
            tags=(Tag(risk.name.value, "warning"),),
            tone="warning",
        )
        for risk in plan.plan_risks
    ]


def _worst_first(plan: Plan) -> list[Change]:
    """Return the changes by how many pods they reach; those first that take their pods along."""
    pods = Counter(
        (cluster, pod.namespace_name)
        for cluster, found in plan.observed.clusters.items()
        for pod in (found.kubernetes.pods if found.kubernetes else ())
        if not pod.is_finished
    )
    return sorted(
        plan.changes,
        key=lambda c: (change_words.verb(c) != "delete", -pods[c.id.cluster, c.id.namespace_name]),
    )


def _risk_examples(names: Mapping[str, Sequence[str]]) -> str:
    """Return a line for each sentence that says what a risk means, behind those it is said of."""
    lines = [f"{wording.examples(who, joint=', ')}: {sentence}" for sentence, who in names.items()]
    return wording.examples(lines, joint="\n")


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
