"""A plan as something to read before deciding: its sentence, risks first, changes, clusters.

Knows nothing of how it was made. All text is escaped by the displays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from mnslib.commitment import shortage
from mnslib.provisioning.approval import Approval, to_go_ahead
from mnslib.provisioning.changes import Change, RiskName
from mnslib.provisioning.effect import BeforeAndAfter
from mnslib.provisioning.plan import Plan
from mnslib.provisioning.risks import TOUCHING
from mnslib.resource_ids import ClusterId, short_names
from mnslib.results import ApplyResult
from mnslib.show import change_words, wording
from mnslib.show.change_words import KIND_WORDS
from mnslib.show.displays import (
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
from mnslib.show.tokens import Tone

if TYPE_CHECKING:
    from mnslib.show.charts import Chart


@dataclass(frozen=True, slots=True)
class _RiskTitle:
    """What a risk's box says of namespaces that would carry it, and of those that did."""

    planned: str
    done: str
    tone: Tone


RISK_TITLES = {
    RiskName.DELETION: _RiskTitle(
        "would be deleted as Azure resources", "were deleted as Azure resources", "critical"
    ),
    RiskName.DELETE_POLICY: _RiskTitle(
        "may take all that runs in them along when deleted",
        "had or got the delete policy Delete",
        "critical",
    ),
    RiskName.OVERCOMMIT: _RiskTitle(
        "would promise more than their clusters can give",
        "were promised more than their clusters can give",
        "critical",
    ),
    RiskName.QUOTA_BELOW_USE: _RiskTitle(
        "would get a quota below what is requested now",
        "got a quota below what was requested",
        "critical",
    ),
    RiskName.ADOPTION: _RiskTitle(
        "would be taken over from whoever runs them now",
        "were taken over from whoever ran them",
        "warning",
    ),
    RiskName.FOREIGN_OWNER: _RiskTitle(
        "are written by somebody else too", "are written by somebody else too", "warning"
    ),
    RiskName.POLICY_TIGHTENED: _RiskTitle(
        "would get a tighter network policy while pods run",
        "got a tighter network policy while pods ran",
        "warning",
    ),
    RiskName.KEYS_REMOVED: _RiskTitle(
        "would lose fields, labels, annotations or tags",
        "lost fields, labels, annotations or tags",
        "warning",
    ),
}


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


def plan_report(plan: Plan, result: ApplyResult | None = None) -> Stack:
    """Return what to read of a plan before deciding: sentence, figures, risks.

    Args:
        result: what came of it; then its risks are told of what was done, and as done.
    """
    counts = plan.counts()
    tones: dict[str, Tone] = {"Delete": "critical", "Adopt": "warning"}
    figures = KeyFigures(
        [
            Figure(counts[kind], word, tone=tones.get(kind, "calm") if counts[kind] else "calm")
            for kind, word in KIND_WORDS.items()
        ]
    )
    boxes = (*_risks(plan, result), *_unknown_fit(plan), *change_words.access_boxes(plan))
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
                Tags([Tag(risk.name.value, RISK_TITLES[risk.name].tone) for risk in change.risks]),
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


def plan_chart(plan: Plan) -> Chart:
    """Return the picture of what clusters have promised before and after the plan."""
    from mnslib.show.charts import commitment_before_after

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


def approval_report(approval: Approval) -> Callout:
    """Return what was decided; in a dry run, exactly what to write in order to go ahead."""
    plan = approval.plan
    if not plan.to_do:
        return Callout(title="Nothing to approve", text=plan_sentence(plan), tone="good")
    if approval.may_write:
        text = f"{plan_sentence(plan)} Digest {plan.digest}"
        return Callout(title="Approved: this plan, and no other", text=text, tone="good")
    risks = plan.risk_names()
    accepted = f" and accept {wording.listing(risks)}" if risks else ""
    return Callout(
        title="Dry run: nothing is written",
        text=f"{plan_sentence(plan)} To go ahead, name the plan that you read{accepted}:",
        code=to_go_ahead(plan.digest, risks),
        tone="warning",
    )


def _risks(plan: Plan, result: ApplyResult | None) -> list[Callout]:
    """Return a box for each named risk, with its worst examples; of a result, what was done."""
    is_done = result is not None and not result.is_dry_run
    done = {item.id for item in result.done} if result else set()
    by_name: dict[RiskName, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for change in _worst_first(plan):
        for risk in change.risks if not is_done or change.id in done else ():
            by_name[risk.name][risk.detail].append(change.id.namespace_name)
    boxes = [
        Callout(
            title=_risk_title(
                sum(map(len, by_name[name].values())), words.done if is_done else words.planned
            ),
            text=_risk_examples(by_name[name]),
            tags=(Tag(name.value, words.tone),),
            tone=words.tone,
        )
        for name, words in RISK_TITLES.items()
        if name in by_name
    ]
    touched = sum(change.kind in TOUCHING and change.id in done for change in plan.changes)
    was = f"{wording.count(touched, 'existing managed namespace')} changed." if is_done else ""
    return boxes + [
        Callout(
            title="Much changed at once" if is_done else "Much would change at once",
            text=was or risk.detail,
            tags=(Tag(risk.name.value, "warning"),),
            tone="warning",
        )
        for risk in (plan.plan_risks if touched or not is_done else ())
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


def _risk_title(number: int, words: str) -> str:
    title = f"{wording.count(number, 'namespace')} {words}"
    if number == 1:
        for many, one in (
            (" are ", " is "),
            (" were ", " was "),
            ("runs them", "runs it"),
            ("ran them", "ran it"),
            ("runs in them", "runs in it"),
            ("their clusters", "its cluster"),
            ("Azure resources", "Azure resource"),
        ):
            title = title.replace(many, one)
    return title
