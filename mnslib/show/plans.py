"""Requests, plans and what came of them as something to read.

Which changes, risks and outcomes there are comes from provisioning, what they are called from
`tables.yaml`, sentences and boxes from `templates/plans.txt.j2`; here is which of them stand where.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mnslib.commitment import shortage
from mnslib.errors import cut
from mnslib.models import (
    BUILT_IN_ROLES,
    NAMESPACE_USER,
    POLICY_FIELDS,
    QUOTA_FIELDS,
    ROLES_INSIDE,
    NamespaceSpec,
)
from mnslib.provisioning.approval import Approval, to_go_ahead
from mnslib.provisioning.changes import Change, FieldDifference
from mnslib.provisioning.observed import ObservedState
from mnslib.provisioning.plan import Plan
from mnslib.provisioning.risks import TOUCHING
from mnslib.quantities import parse_quantity
from mnslib.resource_ids import short_names
from mnslib.results import (
    WRITTEN_OUTCOMES,
    ApplyResult,
    ChangeKind,
    CheckResult,
    CheckStatus,
    OutcomeKind,
)
from mnslib.show import wording
from mnslib.show.displays import (
    Callout,
    Cell,
    Column,
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
from mnslib.show.tables import told
from mnslib.show.templates import render_part
from mnslib.show.tokens import Tone

if TYPE_CHECKING:
    from mnslib.show.charts import Chart

LONGEST_VALUE = 200
"""Characters of one value on a page; our choice. `plan.json` has all of them."""

REQUESTS_SHOWN = 12

_ON_ONE_LINE = {name: names[0] for names in (QUOTA_FIELDS, POLICY_FIELDS) for name in names}
"""What has no text of others stands together; labels and roles have a line each."""


def requests_table(specs: Sequence[NamespaceSpec]) -> Table:
    """Return the requests in the file's order; an empty cell is left as it is."""
    clusters = short_names({spec.id.cluster for spec in specs})
    has_rows = any(spec.origin.row is not None for spec in specs)
    has_tiers = any(spec.tier for spec in specs)
    rows: list[list[Cell]] = []
    for spec in specs[:REQUESTS_SHOWN]:
        place: list[Cell] = [spec.origin.row] if has_rows else []
        place += [spec.id.namespace_name, clusters[spec.id.cluster]]
        place += [spec.tier] if has_tiers else []
        for own, in_full in zip(_asked(spec), _asked(spec.in_full), strict=True):
            is_own = own == in_full
            place.append(own if is_own else Lines(str(in_full), f"from tier {spec.tier}"))
        rows.append([*place, spec.ensure.value])
    files = wording.listing(sorted({spec.origin.file for spec in specs})) or "nowhere"
    notes = ["A tier fills what is empty on a new namespace."] * has_tiers
    values = [wording.RESOURCE_WORDS[name] for name in QUOTA_FIELDS]
    first: list[str | Column] = ["Row"] if has_rows else []
    first += [named("Namespace"), "Cluster", *(["Tier"] if has_tiers else [])]
    return Table(
        columns=[*first, *values, "Owner", "Roles asked", "Ensure"],
        rows=rows,
        caption=f"{wording.count(len(specs), 'request')} from {files}",
        limit=REQUESTS_SHOWN,
        total=len(specs),
        note=" ".join(notes + ["The file holds them all."] * has_rows),
    )


def _asked(spec: NamespaceSpec) -> list[Cell]:
    """Return the quota's values, the owner and how many roles are asked for; None where not."""
    quota = {
        name: "remove" if amount is None else wording.quota(name, amount)
        for name, amount in spec.quota.items()
    }
    values = [quota.get(name) for name in QUOTA_FIELDS]
    return [*values, spec.labels.get("owner"), len(spec.access) + len(spec.revoked) or None]


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
    kubernetes = right("Kubernetes namespaces")
    first: list[str | Column] = [named("Cluster"), "Region", "Managed namespaces"]
    columns = [*first, *kubernetes, "Ready nodes", "Read"]
    return Table(columns=columns, rows=rows, caption="What is there")


def checks_table(checks: Sequence[CheckResult]) -> Table:
    """Return the checks, failures first, each with what to do about it.

    A check that several clusters passed, in the same words or not, is one line.
    """
    passed: dict[str, list[CheckResult]] = defaultdict(list)
    rows: list[list[Cell]] = []
    for check in checks:
        if check.status is CheckStatus.PASSED:
            passed[check.name.partition(": ")[2] or check.name].append(check)
        else:
            rows.append([tag(check.status.value), check.name, check.detail, check.remedy])
    for words, same in passed.items():
        name, detail = same[0].name, same[0].detail
        if len(same) > 1:
            name, detail = words, f"On {wording.count(len(same), 'cluster')}."
        rows.append([tag(CheckStatus.PASSED.value), name, detail, ""])
    failed = sum(check.status is CheckStatus.FAILED for check in checks)
    known = f"{failed} failed, {len(warning_lines(checks))} to know about"
    return Table(
        columns=["Result", named("Check"), "Found", "What to do"],
        rows=rows,
        caption=f"{wording.count(len(checks), 'check')}: {known}",
    )


def warning_lines(checks: Sequence[CheckResult]) -> list[str]:
    """Return a line for each check that says what has no effect or could not be looked at."""
    odd = [check for check in checks if check.status in (CheckStatus.WARNING, CheckStatus.UNKNOWN)]
    return [f"{check.name.partition(':')[0]}: {check.detail}" for check in odd]


def warnings_sentence(checks: Sequence[CheckResult]) -> str:
    """Return those lines as a sentence; empty where all passed."""
    return _sentence("warnings", warning_lines(checks))


def plan_sentence(plan: Plan) -> str:
    """Return in one sentence what the plan would do."""
    unchanged = plan.counts()[ChangeKind.NO_CHANGE.value]
    return _sentence("plan", plan, plan.risk_names(), unchanged)


def plan_report(plan: Plan, result: ApplyResult | None = None) -> Stack:
    """Return what to read of a plan before deciding: sentence, figures, risks.

    Args:
        result: what came of it; then its risks are told of what was done, and as done.
    """
    words = told("changes")
    figures = [
        Figure(number, words[kind], tone=tag(kind).tone if number else "calm")
        for kind, number in plan.counts().items()
    ]
    boxes = (*_risks(plan, result), *_unknown_fit(plan), *_grants(plan))
    return Stack((plan_sentence(plan), KeyFigures(figures), *boxes))


def changes_table(plan: Plan) -> Table:
    """Return the changes field by field, those with the gravest risk first.

    All with a risk are shown and 30 without, but 200 at most; plan.json has the rest.
    """
    clusters = short_names({change.id.cluster for change in plan.to_do})
    risks = told("risks")
    gravest = {name: place for place, name in enumerate(risks)}

    def order(change: Change) -> tuple[int, str]:
        found = (gravest[risk.name] for risk in change.risks)
        return min(found, default=len(gravest)), change.kind.value

    limit = min(sum(bool(change.risks) for change in plan.to_do) + 30, 200)
    return Table(
        columns=["Change", named("Namespace"), "Cluster", "What changes", "Risk"],
        rows=[
            [
                Tag(_verb(change), tag(change.kind.value).tone),
                change.id.namespace_name,
                clusters[change.id.cluster],
                _said("change", _verb(change), _lines(change)),
                Tags([Tag(risk.name.value, risks[risk.name]["tone"]) for risk in change.risks]),
            ]
            for change in sorted(plan.to_do, key=order)[:limit]
        ],
        caption="Changes, risks first",
        note=f"Digest {plan.digest}. Exact to the field: plan.json.",
        empty="There is nothing to change.",
        limit=limit,
        total=len(plan.to_do),
    )


def _verb(change: Change) -> str:
    """Return what is done to the namespace; to release one is to keep it in Kubernetes."""
    words = told("changes")
    return str(words["release" if change.is_release else change.kind.value])


def _lines(change: Change) -> list[list[dict[str, Any]]]:
    """Return the differences of a change, those together that stand on one line."""
    places = enumerate(change.differences)
    lines = groupby(places, lambda at: _ON_ONE_LINE.get(at[1].path, str(at[0])))
    return [[_difference(difference) for _, difference in line] for _, line in lines]


def _difference(it: FieldDifference) -> dict[str, Any]:
    name, _, key = it.path.partition("[")
    key = key.removesuffix("]")
    if name == "access":
        kind, _, principal = key.partition(" ")
        key = f"{kind.lower()} {principal}"
    old, new = (_shown(name, value) for value in (it.old, it.new))
    words = wording.RESOURCE_WORDS.get(name) or told("fields").get(name, name)
    about = {"name": words, "key": key, "operation": it.operation, "tier": it.tier}
    return about | {"old": old, "new": new}


def _shown(field: str, value: str | None) -> str:
    # a report speaks of cores and GiB; plan.json has the text that ARM gets
    if value and field in QUOTA_FIELDS:
        return wording.quota(field, parse_quantity(value))
    # on one line, so that no text of others looks like a change of its own
    return cut(value or "", LONGEST_VALUE)


def clusters_table(plan: Plan) -> Table:
    """Return what each cluster has committed before and after, of CPU and memory requests.

    The fullest come first, those of which it is unknown last.
    """
    names = short_names(plan.observed.clusters)
    changes = Counter(change.id.cluster for change in plan.to_do)
    found: list[tuple[Decimal, str, list[list[Cell]]]] = []
    for cluster, both in plan.commitments().items():
        fullest, rows = Decimal(-1), []
        for resource in ("cpu", "memory"):
            row: list[Cell] = [names[cluster], changes[cluster], wording.RESOURCE_WORDS[resource]]
            if both is None:
                rows.append([*row, *["unknown"] * 4, tag("unknown")])
                continue
            before, after = both[0][resource], both[1][resource]
            fullest = max(fullest, after.committed_ratio or fullest)
            lacking = shortage(before, after)
            verdict = commitment_tag(after.verdict, after.committed_ratio)
            if lacking:
                verdict = Tag(f"short of {wording.quantity(resource, lacking)}", "critical")
            elif after.verdict == "room":
                verdict = Tag("fits")
            amounts = [wording.quantity(resource, x) for x in (after.allocatable, after.committed)]
            ratios = [wording.times(x.committed_ratio) for x in (before, after)]
            rows.append([*row, *amounts, *ratios, verdict])
        found.append((-fullest, names[cluster], rows))
    amounts_of = right("Nodes give", "Committed after", "÷ nodes now", "÷ nodes after")
    return Table(
        columns=[named("Cluster"), "Changes", "Resource", *amounts_of, "Verdict"],
        rows=[row for *_, rows in sorted(found, key=lambda it: it[:2]) for row in rows],
        caption="Effect on each cluster (committed = sum of hard request quotas)",
    )


def plan_chart(plan: Plan) -> Chart:
    """Return the picture of what clusters have committed before and after the plan."""
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
    plan, risks = approval.plan, approval.plan.risk_names()
    is_settled = approval.may_write or not plan.to_do
    return _box(
        "approval", plan, approval.may_write, plan_sentence(plan), risks,
        code="" if is_settled else to_go_ahead(plan.digest, risks),
        tone="good" if is_settled else "warning",
    )  # fmt: skip


def outcome_sentence(result: ApplyResult) -> str:
    """Return what came of every request, and which risks what was done carries.

    Of a resumed run also what was there before it, and the risks that were accepted with the plan.
    """
    parts = _counted((OutcomeKind(kind), number) for kind, number in result.counts().items())
    if result.resumed is not None:
        written = _counted(result.resumed.written.items())
        return _sentence("outcome", result, parts, written, result.resumed.risks)
    risks = Counter(risk for item in result.done for risk in item.risks)
    words = [f"{name} on {number}" for name, number in sorted(risks.items())]
    if any(item.outcome in WRITTEN_OUTCOMES for item in result.done):
        words += result.plan_risks
    return _sentence("outcome", result, parts, [], words)


def _counted(outcomes: Iterable[tuple[OutcomeKind, int]]) -> list[str]:
    return [f"{number} {wording.outcome(kind)}" for kind, number in outcomes]


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
        return Stack((_box("waits", result.unfinished, tone="warning"),))
    clusters = short_names({item.id.cluster for item in result.outcomes})
    table = Table(
        columns=["Outcome", named("Namespace"), "Cluster", *right("Took"), "Reason", "What to do"],
        rows=[
            [
                tag(item.outcome.value),
                item.id.namespace_name,
                clusters[item.id.cluster],
                wording.duration(item.duration_seconds) if item.duration_seconds else None,
                item.reason,
                item.remedy,
            ]
            for item in (*result.unfinished, *result.done)[:limit]
        ],
        limit=limit,
        total=len(result.outcomes),
        note="All items: result.json.",
    )
    return Stack((outcome_sentence(result), table))


def still_open(plan: Plan, result: ApplyResult) -> Callout:
    """Return what a plan made after the change finds to do, and what did not come out as asked.

    Args:
        plan: made again of what was reported as done; an empty one is the proof.
        result: the outcomes as they read back.
    """
    left = [f"{_verb(change)} {change.id.namespace_name}" for change in plan.to_do]
    tone: Tone = "calm"
    if not result.is_dry_run:
        tone = "critical" if result.unfinished else "warning" if left else "good"
    return _box("still_open", plan, result, left, tone=tone)


def _risks(plan: Plan, result: ApplyResult | None) -> list[Callout]:
    """Return a box for each named risk, with its worst examples; of a result, what was done."""
    is_done = result is not None and not result.is_dry_run
    done = {item.id for item in result.done} if result and is_done else set()
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for change in _worst_first(plan):
        for risk in change.risks if not is_done or change.id in done else ():
            found[risk.name][risk.detail].append(change.id.namespace_name)
    touched = sum(change.kind in TOUCHING and change.id in done for change in plan.changes)
    for risk in plan.plan_risks if touched or not is_done else ():
        found[risk.name][_sentence("touched", touched) if is_done else risk.detail] = []
    boxes = []
    for name, words in told("risks").items():
        details = list(found.get(name, {}).items())
        names = [one for _, who in details for one in who]
        if details:
            boxes.append(
                _box("risk", words, names, details, is_done, tone=words["tone"], tags=[name])
            )
    return boxes


def _worst_first(plan: Plan) -> list[Change]:
    """Return the changes by how many pods they reach; those first that take their pods along."""
    pods = Counter(
        (cluster, pod.namespace_name)
        for cluster, found in plan.observed.clusters.items()
        for pod in (found.kubernetes.pods if found.kubernetes else ())
        if not pod.is_finished
    )

    def order(change: Change) -> tuple[bool, int]:
        takes_along = change.kind is ChangeKind.DELETE and not change.is_release
        return not takes_along, -pods[change.id.cluster, change.id.namespace_name]

    return sorted(plan.changes, key=order)


def _unknown_fit(plan: Plan) -> list[Callout]:
    """Return the box that names clusters of which nobody knows whether the quotas fit."""
    touched = {change.id.cluster for change in plan.to_do if change.after is not None}
    names, both = short_names(plan.observed.clusters), plan.commitments()
    unread = sorted(names[cluster] for cluster in touched if both[cluster] is None)
    idle = sorted(
        names[cluster]
        for cluster in touched
        if (pair := both[cluster]) and not pair[1]["cpu"].allocatable
    )
    number = len(unread) + len(idle)
    return [_box("unknown_fit", unread, idle, number, tone="unknown")] if number else []


def _grants(plan: Plan) -> list[Callout]:
    """Return what to know of the role assignments that the plan would make."""
    grants = [(change, grant) for change in plan.to_do for grant in change.grants]
    closed = [
        (change.id.namespace_name, grant)
        for change, grant in grants
        if grant.role in ROLES_INSIDE and not _may_fetch(plan, change, grant.principal_id)
    ]
    boxes = [_box("grants", [grant for _, grant in grants])] if grants else []
    return boxes + ([_box("closed", closed, tone="warning")] if closed else [])


def _may_fetch(plan: Plan, change: Change, principal_id: str) -> bool:
    """Return whether the principal has, or gets, Namespace User on the namespace or above."""
    if any((g.principal_id, g.role) == (principal_id, NAMESPACE_USER) for g in change.grants):
        return True
    wanted, scope = (principal_id, BUILT_IN_ROLES[NAMESPACE_USER]), f"{change.id}/".lower()
    return any(
        (principal, role) == wanted and scope.startswith(f"{held}/")
        for held, principal, role in plan.observed.grants
    )


def _box(
    macro: str, *values: Any, tone: Tone = "calm", code: str = "", tags: Sequence[str] = ()
) -> Callout:
    """Return what a macro says as a box; its first line is the title."""
    title, _, text = _said(macro, *values).partition("\n")
    words = [Tag(word, tone) for word in tags]
    return Callout(title=title, text=text.strip(), code=code, tags=words, tone=tone)


def _sentence(macro: str, *values: Any) -> str:
    return " ".join(_said(macro, *values).split())


def _said(macro: str, *values: Any) -> str:
    return render_part("plans.txt.j2", macro, *values).strip()
