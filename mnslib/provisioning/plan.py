"""From what is asked and what is there to what would change: the plan, a value.

Pure. A plan made after its own full apply is empty. Reading is done before (`observe`), deciding
whether it may run after (`approval`), writing last (`apply`).

    >>> from mnslib.provisioning.observe import ObservedState
    >>> make_plan((), ObservedState(clusters={})).changes
    ()
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeVar

from mnslib import models
from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.errors import Problem, SpecError
from mnslib.models import POLICY_FIELDS, AdoptionPolicy, Ensure, ManagedNamespace, NamespaceSpec
from mnslib.provisioning import companions, risks
from mnslib.provisioning.changes import (
    Change,
    FieldDifference,
    Risk,
    access_difference,
    by_cluster,
    compared,
    differences,
    fields_in,
    fields_of,
    namespace_to_json,
    problem,
    with_tier_named,
)
from mnslib.provisioning.observe import ObservedCluster, ObservedState
from mnslib.provisioning.principals import with_names
from mnslib.quantities import ZERO
from mnslib.requests.cells import AUTO
from mnslib.resource_ids import ClusterId
from mnslib.results import ChangeKind
from mnslib.secrets import HIDDEN

PLAN_SCHEMA_VERSION = 1
_T = TypeVar("_T")

_order = attrgetter("principal_type", "principal_id", "role")

UNCARRIED_ANNOTATIONS = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
"""A copy of the object, not a statement about it; its writer would fight over it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would change, in the order of the ids.

    Its text leaves out the two that may take megabytes, and seconds to write.

    Attributes:
        changes: one per request, those without a change included.
        plan_risks: risks of the plan as a whole.
        digest: `sha256:...` of everything above and of the eTags it rests on; no times, no order
            of the file, so that an unchanged world and file give it again.
        observed: what it was made from.
        max_commitment: how often a cluster may commit what its nodes give; None for no limit.
    """

    changes: tuple[Change, ...] = field(repr=False)
    plan_risks: tuple[Risk, ...]
    digest: str
    observed: ObservedState = field(repr=False)
    max_commitment: Decimal | None = QUOTA_OVERCOMMIT_RATIO

    @property
    def to_do(self) -> tuple[Change, ...]:
        """The changes that write something."""
        return tuple(c for c in self.changes if c.kind is not ChangeKind.NO_CHANGE)

    def counts(self) -> dict[str, int]:
        """Return the number of changes of each kind; kinds that do not occur are 0."""
        found = Counter(change.kind for change in self.changes)
        return {kind.value: found[kind] for kind in ChangeKind}

    def risk_names(self) -> tuple[str, ...]:
        """Return the names of all risks in the plan, sorted."""
        found = [risk for change in self.changes for risk in change.risks]
        return tuple(sorted({risk.name.value for risk in (*found, *self.plan_risks)}))

    @cached_property
    def commitments(self) -> dict[ClusterId, risks.BeforeAndAfter | None]:
        """By cluster, what is committed before and after, of every pod; None where unknown."""
        changes = by_cluster(self.changes)
        return {
            cluster: risks.before_and_after(observed, changes.get(cluster, ()), self.max_commitment)
            for cluster, observed in self.observed.clusters.items()
        }


def make_plan(
    specs: Sequence[NamespaceSpec],
    observed: ObservedState,
    *,
    max_commitment: Decimal | None = QUOTA_OVERCOMMIT_RATIO,
    is_begun: bool = False,
) -> Plan:
    """Return what has to change so that what is there is what is asked.

    Args:
        max_commitment: how often a cluster may commit what its nodes give without being a risk;
            None for as often as one likes.
        is_begun: by a run that may have taken roles away by now; who inherits one keeps it then.

    Raises:
        SpecError: with every request that cannot be planned, such as a cluster that does not
            exist, a new namespace without all four quota values, or one that exists on the
            cluster and may not be adopted.
    """
    problems: list[Problem] = []
    changes = []
    for spec in sorted(specs, key=lambda s: s.id.key):
        cluster = observed.clusters.get(spec.id.cluster)
        if cluster is None:
            unread = "cluster_name", (f"{spec.id.cluster} was not read", "")
            column, (why, meant) = observed.missing.get(spec.id.cluster, unread)
            problems.append(problem(spec, column, "no-cluster", {"why": why, "meant": meant}))
            continue
        asked = spec if cluster.find(spec.id) else spec.in_full
        found, change = [*_findings(asked, cluster)], None
        if not is_begun and not spec.origin.is_undo:  # elsewhere the check of access tells it
            found += [("access", "inherited", facts) for facts in inherited_only(asked, observed)]
        if not found:
            change = _change(spec, asked, cluster, observed)
            found = [*_lacking(change, cluster, asked)]
        problems += [problem(spec, *finding) for finding in found]
        if change and not found:
            changes.append(risks.with_risks(change, cluster))
    if problems:
        raise SpecError(sorted(problems, key=lambda p: (p.row or 0, p.column or "")))
    changes = [
        change
        for cluster, mine in by_cluster(changes).items()  # by id, so the order stays
        for change in risks.with_overcommit(observed.clusters[cluster], mine, max_commitment)
    ]
    existing = sum(len(found.managed) for found in observed.clusters.values())
    plan_risks = risks.many_changes(changes, existing)
    return Plan(
        changes=tuple(changes),
        plan_risks=plan_risks,
        digest=_digest(map(_approved_of, changes), [risk.name for risk in plan_risks]),
        observed=observed,
        max_commitment=max_commitment,
    )


# From one request to one change


def _change(
    spec: NamespaceSpec, asked: NamespaceSpec, cluster: ObservedCluster, observed: ObservedState
) -> Change:
    """Return the change of a request; `asked` holds what it takes from its tier as well."""
    before = cluster.find(spec.id)
    if asked.ensure is Ensure.ABSENT:
        kind = ChangeKind.DELETE if before else ChangeKind.NO_CHANGE
        return Change(kind=kind, id=spec.id, before=before, differences=differences(before, None))
    held, onto = before, before or _blank(asked, cluster)
    kind = ChangeKind.UPDATE if before else ChangeKind.CREATE
    if before is None and cluster.on_cluster(spec.id):
        # what an adoption would overwrite, so that the plan shows and records it
        unset: dict[str, Any] = dict.fromkeys(POLICY_FIELDS)
        held, kind = replace(onto, **unset), ChangeKind.ADOPT
    after = merge(asked, onto)
    grants = [g for g in sorted(asked.access, key=_order) if not observed.has_grant(spec.id, g)]
    revoked = {g: observed.own_assignments(spec.id, g) for g in sorted(asked.revoked, key=_order)}
    found = [*differences(held, after)]
    if before and before.provisioning_state in ("Failed", "Canceled"):
        state = {"old": before.provisioning_state, "new": "Succeeded"}
        found.append(FieldDifference(operation="change", path="provisioning_state", **state))
    found += [access_difference(grant) for grant in grants]
    found += [access_difference(grant, there) for grant, there in revoked.items() if there]
    view, beside = cluster.kubernetes, list[companions.Companion]()
    if view is not None and view.limit_ranges is not None:  # else a check has said so
        beside = [*companions.planned(asked, after.quota, view.limit_ranges, view.quotas)]
    found += [d for one in beside for d in compared(one.before, one.after)]
    return Change(
        kind=kind if found or before is None else ChangeKind.NO_CHANGE,
        id=spec.id,
        before=before,
        after=after,
        differences=tuple(found if asked is spec else with_tier_named(found, spec)),
        grants=tuple(grants),
        revoked=tuple(one for there in revoked.values() for one in there),
        kept=tuple(
            one
            for grant, there in revoked.items()
            if there
            for one in observed.inherited_assignments(spec.id, grant)
        ),
        companions=tuple(beside),
    )


def merge(spec: NamespaceSpec, onto: ManagedNamespace) -> ManagedNamespace:
    """Return `onto` with what the request mentions; everything else stays as it is."""
    # Azure compares tag names without regard to case and keeps the first spelling.
    spelling = {name.lower(): name for name in onto.tags}
    tags = {spelling.get(name.lower(), name): value for name, value in spec.tags.items()}
    policies = {name: getattr(spec, name) for name in POLICY_FIELDS}
    return replace(
        onto,
        **{name: policy for name, policy in policies.items() if policy is not None},
        quota=_merge_keys(onto.quota, spec.quota),
        labels=_merge_keys(onto.labels, spec.labels),
        annotations=_merge_keys(onto.annotations, spec.annotations),
        tags=_merge_keys(onto.tags, tags),
    )


def _merge_keys(held: Mapping[str, _T], asked: Mapping[str, _T | None]) -> Mapping[str, _T]:
    if not asked:
        return held
    merged = {**held, **asked}
    return {key: value for key, value in merged.items() if value is not None}


def _blank(spec: NamespaceSpec, cluster: ObservedCluster) -> ManagedNamespace:
    """Return what a new one is made from: defaults, and the labels of what is taken over."""
    # Whether adoption keeps labels that the request does not repeat is unconfirmed: repeat them.
    there = cluster.on_cluster(spec.id)
    labels = dict(there.labels) if there else {}
    labels.pop("kubernetes.io/metadata.name", None)
    annotations = there.annotations if there else {}
    return ManagedNamespace(
        id=spec.id,
        location=cluster.cluster.location,
        labels=labels,
        annotations={k: v for k, v in annotations.items() if k not in UNCARRIED_ANNOTATIONS},
        **models.NEW_NAMESPACE_POLICIES,
    )


# What cannot be planned: the column, which sentences of `words.yaml`, what to fill in

_Findings = Iterator[tuple[str, str, Mapping[str, Any]]]


def _findings(spec: NamespaceSpec, cluster: ObservedCluster) -> _Findings:
    before, asked = cluster.find(spec.id), spec.delete_policy
    if spec.ensure is Ensure.ABSENT:
        if spec.revoked:
            yield "access", "goes", {}
        elif before is not None and asked not in (None, before.delete_policy):
            yield "delete_policy", "stored-policy", {"stored": before.delete_policy, "asked": asked}
    elif before is not None:
        yield from _limit_below_request(spec, before)
    elif cluster.cluster.is_stopped:
        yield "cluster_name", "stopped", {}
    elif cluster.on_cluster(spec.id) and spec.adoption_policy in (None, AdoptionPolicy.NEVER):
        yield "adoption_policy", "unmanaged", {}


def _lacking(change: Change, cluster: ObservedCluster, asked: NamespaceSpec) -> _Findings:
    """Yield the amounts without which the service refuses the write, or nothing is worked out."""
    is_needed = change.writes_namespace or change.before is None or asked.limit_range == AUTO
    if change.after is None or not is_needed:
        return
    unset = "no-quota" if cluster.kubernetes else "no-quota-listed"
    what = "quota-lacks" if change.before else unset
    amounts = {"cpu": "2 or 500m", "mem": "4Gi"}
    for column in models.QUOTA_FIELDS:
        amount = change.after.quota.get(column)
        if amount is None:
            yield column, what, {"column": column, "example": amounts[column[:3]]}
        elif not amount and column.startswith("cpu"):
            yield column, "no-cpu", {}


def inherited_only(spec: NamespaceSpec, observed: ObservedState) -> Iterator[dict[str, str]]:
    """Yield the roles that are to go, of which nothing would: they are assigned further up."""
    for grant in spec.revoked if spec.ensure is Ensure.PRESENT else ():
        if not observed.own_assignments(spec.id, grant):
            for held in observed.inherited_assignments(spec.id, grant):
                yield {
                    "principal": with_names(grant.principal_id, observed.principals),
                    "role": grant.role,
                    "id": held.id,
                    "scope": held.scope or "/",
                }


def _limit_below_request(spec: NamespaceSpec, before: ManagedNamespace) -> _Findings:
    quota = {**before.quota, **spec.quota}
    for limit, request in models.limits_below_request(quota):
        is_limit = limit in spec.quota  # what the row asks for is what can be mended there
        column, other = (limit, request) if is_limit else (request, limit)
        pair = [models.format_quota_value(name, quota[name] or ZERO) for name in (column, other)]
        facts = {"column": column, "own": pair[0], "other": other, "others": pair[1]}
        yield column, "below" if is_limit else "above", facts


# The record and its digest


def plan_to_json(plan: Plan, *, created_utc: str) -> dict[str, Any]:
    """Return the plan as `plan.json` holds it: a record, never an input."""
    return {
        "schema_version": PLAN_SCHEMA_VERSION,
        "created_utc": created_utc,
        "digest": plan.digest,
        "counts": plan.counts(),
        "risks": [asdict(risk) for risk in plan.plan_risks],
        "targets": [str(change.id) for change in plan.changes],
        "observed": [
            {
                "cluster_id": str(cluster.cluster.id),
                "read_utc": cluster.read_utc,
                "kubernetes_unknown": "" if cluster.kubernetes else cluster.kubernetes_unknown,
                "managed_namespaces": [
                    namespace_to_json(found) for _, found in sorted(cluster.managed.items())
                ],
            }
            for _, cluster in sorted(plan.observed.clusters.items(), key=lambda kv: kv[0].key)
        ],
        "principals": {guid: asdict(one) for guid, one in sorted(plan.observed.principals.items())},
        "changes": [_change_to_json(change) for change in plan.changes],
    }


def _change_to_json(change: Change) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": str(change.id),
        "change": change.kind.value,
        "before": namespace_to_json(change.before),
        "after": namespace_to_json(change.after),
        "differences": [
            {name: value for name, value in asdict(difference).items() if name != "tier" or value}
            for difference in change.differences
        ],
        "grants": [asdict(grant) for grant in change.grants],
        "risks": [asdict(risk) for risk in change.risks],
    }
    if change.revoked:
        line["revoked"] = [asdict(held) for held in change.revoked]
    if change.companions:
        line["companions"] = [asdict(one) for one in change.companions]
    return line


def recorded_digest(plan: Mapping[str, Any]) -> str:
    """Return the digest of what `plan.json` holds; where a value is hidden, the one it names."""
    fields = [[fields_in(line[when]) for when in ("before", "after")] for line in plan["changes"]]
    if any(HIDDEN in one.values() for both in fields for one in both):
        return str(plan["digest"])
    return _digest(map(_approved, plan["changes"], fields), [one["name"] for one in plan["risks"]])


def _digest(approved: Iterable[Mapping[str, Any]], plan_risks: Sequence[str]) -> str:
    return digest_of({"changes": [*approved], "risks": plan_risks})


def digest_of(content: Any) -> str:
    """Return the digest of what is approved, which is the same for equal contents."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _approved_of(change: Change) -> dict[str, Any]:
    if change.kind is ChangeKind.NO_CHANGE:  # of thousands: what is not in it is not written out
        change = replace(change, before=None, after=None)
    fields = [fields_of(change.before), fields_of(change.after)]
    return _approved(_change_to_json(change), fields)


def _approved(line: Mapping[str, Any], fields: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return what the digest holds of a change, given its line in the record.

    Args:
        fields: before and after, hidden ones too.
    """
    if line["change"] == ChangeKind.NO_CHANGE:
        # Somebody else's edit to an item that does not change leaves the approval valid.
        nothing: dict[str, Any] = dict.fromkeys(("before", "after"))
        return {**line, **nothing, "differences": [], "grants": [], "risks": []}
    found = {
        **line,
        # Pods come and go between reading and approving: a risk counts by name, not by sentence.
        "risks": sorted({risk["name"] for risk in line["risks"]}),
        "fields": fields,
        # by a tier or by the row: the value is approved
        "differences": [
            {name: value for name, value in one.items() if name != "tier"}
            for one in line["differences"]
        ],
    }
    if "revoked" in line:  # ARM does not always spell an id alike
        found["revoked"] = sorted(held["id"].lower() for held in line["revoked"])
    return found
