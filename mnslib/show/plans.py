"""Requests, plans and what came of them as something to read.

Which changes, risks and outcomes there are comes from provisioning, what they are called from
`tables.yaml`, sentences and boxes from `templates/plans.txt.j2`; here is which of them stand where.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mnslib import models, results
from mnslib.commitment import PASSING, left_out_of, shortage, shortage_later
from mnslib.errors import cut
from mnslib.models import (
    NAMESPACE_USER,
    POLICY_FIELDS,
    QUOTA_FIELDS,
    ROLES_INSIDE,
    NamespaceSpec,
    Principal,
    PrincipalType,
)
from mnslib.provisioning.adoption import State, impact, smallest_quota
from mnslib.provisioning.approval import Approval, to_go_ahead
from mnslib.provisioning.changes import Change, FieldDifference, RiskName
from mnslib.provisioning.observe import ObservedState
from mnslib.provisioning.plan import Plan
from mnslib.provisioning.principals import with_names
from mnslib.provisioning.risks import TOUCHING
from mnslib.quantities import ZERO, parse_quantity
from mnslib.requests.cells import REMOVED, pairs_text
from mnslib.resource_ids import ClusterId, ManagedNamespaceId, short_names
from mnslib.results import WRITTEN_OUTCOMES, ApplyResult, ChangeKind, CheckResult, CheckStatus
from mnslib.show import wording
from mnslib.show.displays import Callout, Cell, Figure, KeyFigures, Parts, Stack, Table, Tag, tag
from mnslib.show.tables import Tone, told
from mnslib.show.templates import render_part, sentence
from mnslib.show.views import view

if TYPE_CHECKING:
    from mnslib.show.charts import Chart

LONGEST_VALUE = 200
"""Characters of one value on a page; our choice. `plan.json` has all of them."""

_ON_ONE_LINE = {name: names[0] for names in (QUOTA_FIELDS, POLICY_FIELDS) for name in names}
"""What has no text of others stands together; labels and roles have a line each."""

_said, _sentence = partial(render_part, "plans.txt.j2"), partial(sentence, "plans.txt.j2")


def requests_table(specs: Sequence[NamespaceSpec]) -> Table:
    """Return the requests in the file's order; an empty cell is left as it is."""
    clusters = short_names({spec.id.cluster for spec in specs})
    rows = (
        _place(spec.id, clusters)
        | _asked(spec)
        | {"row": spec.origin.row, "ensure": spec.ensure.value}
        for spec in specs
    )
    return view("requests", rows, total=len(specs), specs=specs, sheet=sheet_note(specs))


def sheet_note(specs: Sequence[NamespaceSpec]) -> str:
    """Return what the workbook of requests has that is not seen, or not read; mostly nothing."""
    return _sentence("sheet", specs[0].origin.sheet) if specs else ""


def _asked(spec: NamespaceSpec) -> dict[str, Cell]:
    """Return what the request says, or below it that a new namespace has it from the tier."""
    found: list[dict[str, Cell]] = []
    for one in (spec, spec.in_full):
        quota: dict[str, Cell] = {
            name: "remove" if amount is None else wording.amount_text(name, amount)
            for name, amount in one.quota.items()
        }
        roles = len(one.access) + len(one.revoked) or None
        about = {"tier": one.tier or None, "owner": one.labels.get("owner"), "roles": roles}
        about["limit_range"] = "remove" if one.limit_range == REMOVED else one.limit_range or None
        about["companion_quota"] = pairs_text(one.companion_quota) or None
        found.append({**dict.fromkeys(QUOTA_FIELDS), **quota, **about})
    own, in_full = found
    return {
        name: value if value == own[name] else Parts([str(value)], f"from tier {spec.tier}")
        for name, value in in_full.items()
    }


def _place(id: ManagedNamespaceId, clusters: Mapping[ClusterId, str]) -> dict[str, Any]:
    return {
        "namespace_name": id.namespace_name or "the cluster itself",
        "cluster_name": clusters[id.cluster],
    }


def observed_table(observed: ObservedState) -> Table:
    """Return what was found on each cluster, and when it was read."""
    names = short_names(observed.clusters)
    found = {names[cluster]: one for cluster, one in observed.clusters.items()}
    rows = [
        {
            "cluster_name": name,
            "found": one,
            "read_utc": datetime.fromisoformat(one.read_utc),
            "left_out": left_out_of(one.kubernetes.nodes) if one.kubernetes else {},
        }
        for name, one in sorted(found.items(), key=itemgetter(0))
    ]
    return view("observed", rows)


def checks_table(checks: Sequence[CheckResult]) -> Table:
    """Return the checks, failures first, each with what to do about it.

    A check that several clusters passed, in the same words or not, is one line.
    """
    found: dict[tuple[str, ...], list[CheckResult]] = defaultdict(list)
    for check in sorted(checks, key=lambda check: check.status is CheckStatus.PASSED):
        words = check.name.partition(": ")[2] or check.name
        is_passed = check.status is CheckStatus.PASSED
        found[(words,) if is_passed else (check.name, check.detail)].append(check)
    rows = [
        {
            "status": same[0].status.value,
            "name": words[0] if len(same) > 1 else same[0].name,
            "check": same[0],
            "number": len(same),
        }
        for words, same in found.items()
    ]
    failed = sum(check.status is CheckStatus.FAILED for check in checks)
    return view(
        "checks", rows, failed=failed, odd=len(warning_lines(checks)) - failed, checks=checks
    )


def warning_lines(checks: Sequence[CheckResult]) -> list[str]:
    """Return a line for each check that did not pass, or could not be looked at."""
    odd = [check for check in checks if check.status is not CheckStatus.PASSED]
    return [f"{check.name.partition(':')[0]}: {check.detail}" for check in odd]


def plan_sentence(plan: Plan) -> str:
    """Return in one sentence what the plan would do, and which risks whose are."""
    own = sorted({risk.name.value for change in plan.changes for risk in change.risks})
    whole = sorted(risk.name.value for risk in plan.plan_risks)
    return _sentence("plan", plan, own, whole, plan.counts()[ChangeKind.NO_CHANGE.value])


def plan_report(plan: Plan, result: ApplyResult | None = None) -> Stack:
    """Return what to read of a plan before deciding: sentence, figures, risks.

    Args:
        result: what came of it; then its risks are told of what was done, and as done.
    """
    words = told("changes")
    figures = [
        Figure(f"{number:,}", words[kind], tone=tag(kind).tone if number else "calm")
        for kind, number in plan.counts().items()
    ]
    passing = [check.detail for check in short_for_now(plan)]
    boxes = [_box("short_for_now", passing, tone="warning")] if passing else []
    boxes = [*_risks(plan, result), *boxes, *_grants(plan)]
    return Stack((plan_sentence(plan), KeyFigures(figures), *boxes))


def changes_table(plan: Plan, *, exact: str = "plan.json") -> Table:
    """Return the changes field by field, those with the gravest risk first.

    All with a risk are shown and 30 without, but 200 at most.

    Args:
        exact: what has all of them, exactly.
    """
    clusters = short_names({change.id.cluster for change in plan.to_do})
    risks = told("risks")
    gravest = [*risks, ""]

    def order(change: Change) -> tuple[int, str]:
        return min(map(gravest.index, change.risk_names or [""])), change.kind.value

    limit = sum(bool(change.risks) for change in plan.to_do) + 30
    rows = (
        _place(change.id, clusters)
        | {
            "verb": Tag(_verb(change), tag(change.kind.value).tone),
            "fields": _said("change", _verb(change), _lines(change, plan.observed.principals)),
            "risks": Parts([Tag(name, risks[name]["tone"]) for name in change.risk_names])
            if change.risks
            else None,
        }
        for change in sorted(plan.to_do, key=order)[:limit]
    )
    return view("changes", rows, total=len(plan.to_do), plan=plan, exact=exact)


def adoption_table(plan: Plan) -> Table:
    """Return what the plan's takeovers do to what runs there, those that block first.

    Of each namespace a line for all of it, then its lines, those alike that are OK as one.
    """
    clusters, worst = short_names({change.id.cluster for change in plan.to_do}), list(State)
    found = []
    for change in (one for one in plan.to_do if RiskName.ADOPTION in one.risk_names):
        lines = impact(change, plan.observed.clusters[change.id.cluster])
        lines.sort(key=lambda line: worst.index(line.state))
        found += [(change, lines)] if lines else []
    rows: list[dict[str, Any]] = []
    for change, lines in sorted(found, key=lambda one: worst.index(one[1][0].state)):
        alike = groupby(lines, lambda line: line if line.state is not State.OK else line.rule)
        for of in (lines, *(list(same) for _, same in alike)):
            first, is_whole = of[0], of is lines
            is_short = first.state is State.BLOCK and first.needs
            least = [
                (name, models.format_quota_value(name, amount))
                for name, amount in smallest_quota(of if is_whole or is_short else ()).items()
                if is_whole or (change.after and amount > change.after.quota[name])
            ]
            row = {"rule": "" if is_whole else first.rule, "state": first.state.value, "line": ""}
            what = _said("impact_of_all" if is_whole else "impact", of)
            row["what"] = with_names(what, plan.observed.principals)
            rows.append(_place(change.id, clusters) | row | {"smallest": least})
    blocked = any(lines[0].state is State.BLOCK for _, lines in found)
    return view("adoption", rows, total=len(rows), blocked=blocked)


def _verb(change: Change) -> str:
    """Return what is done to the namespace; to release one is to keep it in Kubernetes."""
    words = told("changes")
    return str(words["release" if change.is_release else change.kind.value])


def _lines(change: Change, who: Mapping[str, Principal]) -> list[list[dict[str, Any]]]:
    """Return the differences of a change as their macro takes them, those of one line together."""
    places = enumerate(change.differences)
    lines = groupby(places, lambda at: _ON_ONE_LINE.get(at[1].path, str(at[0])))
    return [[_difference(difference, who) for _, difference in line] for _, line in lines]


def _difference(it: FieldDifference, who: Mapping[str, Principal]) -> dict[str, Any]:
    name, key = it.path.partition("[")[0], it.key
    if it.is_access:
        kind, _, principal = key.partition(" ")
        key = with_names(f"{kind.lower()} {principal}", who)
    words = wording.RESOURCE_WORDS.get(name) or told("fields").get(name, name)
    values = {
        # a report speaks of cores and GiB; plan.json has the text that ARM gets. All else is on one
        # line, so that no text of others looks like a change of its own
        side: wording.amount_text(name, parse_quantity(value))
        if value and name in QUOTA_FIELDS
        else cut(value or "", LONGEST_VALUE)
        for side, value in (("old", it.old), ("new", it.new))
    }
    return {"name": words, "key": key, "operation": it.operation, "tier": it.tier} | values


def clusters_table(plan: Plan) -> Table:
    """Return what each cluster has committed before and after, of CPU and memory requests.

    The fullest come first, those of which it is unknown last.
    """
    names = short_names(plan.observed.clusters)
    changes = Counter(change.id.cluster for change in plan.to_do)
    rows: list[tuple[Any, dict[str, Any]]] = []
    for cluster, both in plan.commitments.items():
        before, after = both or ({}, {})
        ratios = [one.committed_ratio for one in after.values() if one.committed_ratio is not None]
        place = (-max(ratios, default=Decimal(-1)), names[cluster])
        about = {"cluster_name": names[cluster], "changes": changes[cluster]}
        for resource in ("cpu", "memory"):
            lacking = shortage(before[resource], after[resource]) if both else ZERO
            later = shortage_later(before[resource], after[resource]) if both else ZERO
            verdict = after[resource].verdict if both else "unknown"
            word = ("does not fit" if later else "does not fit now") if lacking else verdict
            amounts = {"before": before.get(resource), "after": after.get(resource)}
            row = {"resource": resource, "lacking": lacking, "later": later, "word": word}
            left_out = after[resource].nodes_left_out.split(", ") if both else []
            rows.append((place, about | row | amounts | {"left_out": left_out}))
    return view("effect", [row for _, row in sorted(rows, key=itemgetter(0))])


def short_for_now(plan: Plan) -> list[CheckResult]:
    """Return a warning for each cluster on which the plan fits only once nodes are back."""
    names = short_names(plan.observed.clusters)
    checks = []
    for cluster, both in plan.commitments.items() if plan.to_do else ():
        sums = [(name, before, both[1][name]) for name, before in both[0].items()] if both else []
        short = {name: shortage(*pair) for name, *pair in sums if not shortage_later(*pair)}
        if any(short.values()):
            out = [node for node, why in sums[0][2].left_out.items() if why in PASSING]
            detail = _said("short_now", names[cluster], short, out)
            checks.append(CheckResult(name="nodes", status=CheckStatus.WARNING, detail=detail))
    return checks


def plan_chart(plan: Plan) -> "Chart":
    """Return the picture of what clusters have committed before and after the plan."""
    from mnslib.show.charts import commitment_before_after

    labels = short_names(plan.observed.clusters)
    known = {labels[key]: pair for key, pair in plan.commitments.items() if pair is not None}
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


def approval_report(approval: Approval, *, in_notebook: bool = False) -> Callout:
    """Return what was decided; in a dry run, exactly what to write, and where, to go ahead."""
    plan, risks = approval.plan, approval.plan.risk_names()
    if approval.may_write or not plan.to_do:
        return _box("approval", approval, plan_sentence(plan), risks, tone="good")
    box = _box("approval", approval, plan_sentence(plan), risks, in_notebook, tone="warning")
    in_file = to_go_ahead(plan.digest, risks)
    if not in_notebook:
        return replace(box, code=in_file)
    in_cell = to_go_ahead(plan.digest, risks, in_python=True)
    return replace(box, code=in_cell, elsewhere=(_said("in_a_file"), in_file))


def outcome_sentence(result: ApplyResult) -> str:
    """Return what came of every request, and which risks what was done carries.

    Of a resumed run also what was there before it, and the risks that were accepted with the plan.
    """
    resumed = result.resumed
    risks = Counter(risk for item in result.done for risk in item.risks)
    words = [f"{name} on {number}" for name, number in sorted(risks.items())]
    if any(item.outcome in WRITTEN_OUTCOMES for item in result.done):
        words += result.plan_risks
    written = resumed.written if resumed else {}
    return _sentence(
        "outcome", result, result.counts(), written, resumed.risks if resumed else words
    )


def outcome_report(result: ApplyResult) -> Stack:
    """Return what came of every request: the sentence, then what is open, then what is done."""
    if result.is_dry_run:
        return Stack((_box("waits", result.unfinished, tone="warning"),))
    clusters = short_names({item.id.cluster for item in result.outcomes})
    rows = (
        _place(item.id, clusters) | {"outcome": item.outcome.value, "item": item}
        for item in (*result.unfinished, *result.done)
    )
    table = view("outcomes", rows, total=len(result.outcomes))
    return Stack((outcome_sentence(result), table))


def still_open(plan: Plan, result: ApplyResult) -> Callout:
    """Return what a plan made after the change finds to do, and what did not come out as asked.

    Args:
        plan: made again of what was reported as done; an empty one is the proof.
        result: the outcomes as they read back.
    """
    left = [f"{_verb(change)} {change.id.name}" for change in plan.to_do]
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
            detail = with_names(risk.detail, plan.observed.principals)
            found[risk.name][detail].append(change.id.name)
    touched = sum(change.kind in TOUCHING and change.id in done for change in plan.changes)
    for risk in plan.plan_risks if touched or not is_done else ():
        found[risk.name][_sentence("touched", touched) if is_done else risk.detail] = []
    boxes = []
    for name, words in told("risks").items():
        if details := list(found[name].items()):
            names = [one for _, who in details for one in who]
            values = (words, names, details, is_done)
            boxes.append(_box("risk", *values, tone=words["tone"], tags=[name]))
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


def _grants(plan: Plan) -> list[Callout]:
    """Return what to know of the role assignments that the plan would make."""
    grants = [(change, grant) for change in plan.to_do for grant in change.grants]
    closed = []
    for change, grant in grants:
        user = replace(grant, role=NAMESPACE_USER, role_guid=models.BUILT_IN_ROLES[NAMESPACE_USER])
        is_let_in = (
            user.key in {one.key for one in change.grants}
            or plan.observed.own_assignments(change.id, user)
            or plan.observed.inherited_assignments(change.id, user)
        )
        if grant.role in ROLES_INSIDE and not is_let_in:
            closed.append((change.id.namespace_name, grant))
    known = plan.observed.principals
    who = {grant.principal_id: grant.principal_type.value.lower() for _, grant in grants}
    told = [f"{kind} {with_names(guid, known)}" for guid, kind in who.items() if guid in known]
    users = sum(kind == PrincipalType.USER.value.lower() for kind in who.values())
    about = (len(grants), told, len(who) - len(told), users)
    boxes = [_box("grants", *about)] if grants else []
    lines = [(name, with_names(one.principal_id, known), one) for name, one in closed]
    return boxes + ([_box("closed", lines, tone="warning")] if closed else [])


def _box(
    macro: str, *values: Any, tone: Tone = "calm", code: str = "", tags: Sequence[str] = ()
) -> Callout:
    """Return what a macro says as a box; its first line is the title."""
    title, _, text = _said(macro, *values).partition("\n")
    return Callout(title=title, text=text.strip(), code=code, tags=tags, tone=tone)


# What a record tells


def is_dry_run(result: Mapping[str, Any]) -> bool:
    """Return whether a run that may change something was told not to."""
    return "approval" in result["parameters"] and result["parameters"].get("dry_run") is True


def is_waiting_plan(result: Mapping[str, Any]) -> bool:
    """Return whether a run ended with a plan that waits for approval."""
    is_any_to_do = {item["outcome"] for item in result["items"]} != {
        results.OutcomeKind.UNCHANGED.value
    }
    return is_dry_run(result) and result["status"] == results.RunStatus.FINDINGS and is_any_to_do


def next_steps(record: Mapping[str, Any], run: str) -> str:
    """Return what is to be done after a run that may change something; nothing after another.

    Args:
        record: as `result.json` holds it.
        run: name of its directory.
    """
    if "approval" not in record["parameters"] or record["status"] == results.RunStatus.REFUSED:
        return ""
    told, is_dry = ApplyResult.of_record(record), is_dry_run(record)
    has_written = any(
        item.outcome in WRITTEN_OUTCOMES and item.id.namespace_name for item in told.outcomes
    )  # what is done to a cluster itself no undo takes back
    return _sentence("next", run, record, told, is_dry, is_waiting_plan(record), has_written)
