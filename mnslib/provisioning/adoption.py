"""What taking a namespace over does to what runs there: a line for each thing, with its amounts.

What runs goes on; what is refused is the next pod, and what is cut off is traffic, at once. Pure:
values that were read in, lines out. Says no sentence and decides nothing: `risks` does.

    lines = impact(change, cluster)
    smallest_quota(lines)  # {"cpu_request": Decimal("2.5"), ...}
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Any

from mnslib import rollouts
from mnslib.kube_models import Pod, QuotaStatus, Workload
from mnslib.models import (
    MANAGED_POLICY_NAME,
    MANAGED_QUOTA_NAME,
    QUOTA_FIELDS,
    QUOTA_KEYS,
    AdoptionPolicy,
    ManagedNamespace,
    NetworkRule,
    limits_below_request,
    whole_quota_value,
)
from mnslib.pods import charge, holds, total_charge, unsaid, with_defaults
from mnslib.provisioning.changes import Change, RiskName
from mnslib.provisioning.observe import ENTRANCES, Inside, KubernetesView, ObservedCluster
from mnslib.quantities import WIDE, ZERO
from mnslib.results import ChangeKind


class State(StrEnum):
    """What a line comes to, the gravest first; what could not be read is unknown, never OK."""

    BLOCK = "BLOCK"
    UNKNOWN = "unknown"
    WARN = "WARN"
    OK = "OK"


class Rule(StrEnum):
    """What is looked at; each has its hand-worked cases in the tests."""

    QUOTA = "quota"
    VALUES = "values"
    REPLICAS = "replicas"
    ROLLOUT = "rollout"
    AUTOSCALER = "autoscaler"
    CRON_JOB = "cron-job"
    OTHER_QUOTAS = "other-quotas"
    IDENTICAL = "identical"
    OVERWRITTEN = "overwritten"
    INGRESS = "ingress"
    EGRESS = "egress"
    ROLES = "roles"
    OBJECTS = "objects"


RISK_OF: Mapping[Rule, RiskName] = {
    Rule.QUOTA: RiskName.ADOPTION_OVER_QUOTA,
    Rule.VALUES: RiskName.ADOPTION_MISSING_VALUES,
    Rule.REPLICAS: RiskName.ADOPTION_OVER_QUOTA,
    Rule.CRON_JOB: RiskName.ADOPTION_OVER_QUOTA,
    Rule.ROLLOUT: RiskName.ADOPTION_ROLLOUT,
    Rule.AUTOSCALER: RiskName.ADOPTION_AUTOSCALER,
    Rule.INGRESS: RiskName.ADOPTION_TRAFFIC,
    Rule.EGRESS: RiskName.ADOPTION_TRAFFIC,
}
"""The risk that a BLOCK of a rule is; the others block nothing."""

_UNREAD = {
    "workloads": (Rule.REPLICAS, Rule.ROLLOUT, Rule.CRON_JOB),
    "autoscalers": (Rule.AUTOSCALER,),
    "limit_ranges": (Rule.VALUES,),
    "safeguards": (Rule.VALUES,),
    "network_policies": (Rule.OVERWRITTEN,),
    "roles": (Rule.ROLES,),
}
"""What cannot be said where a kind could not be read."""

Amounts = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one rule finds of one thing.

    Attributes:
        subject: `Deployment web`, a quota value, a kind of entrance; empty for the namespace.
        facts: the amounts and names that its sentence speaks of; of what is unknown the `reason`.
        needs: of each quota value the least with which it blocks nothing; empty where no quota
            would help.
    """

    rule: Rule
    state: State
    subject: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    needs: Amounts = field(default_factory=dict)


def takes_over(change: Change, cluster: ObservedCluster) -> bool:
    """Return whether a change takes over a namespace that is seen on its cluster.

    So does the next write after a creation that failed before it came to that.
    """
    if change.kind is ChangeKind.ADOPT:
        return True
    before, after, view = change.before, change.after, cluster.kubernetes
    if before is None or before.provisioning_state not in ("Failed", "Canceled"):
        return False
    may_adopt = after is not None and after.adoption_policy not in (None, AdoptionPolicy.NEVER)
    return may_adopt and view is not None and view.is_unmanaged(change.id.namespace_name)


def impact(change: Change, cluster: ObservedCluster) -> tuple[Line, ...]:
    """Return what a change does to the namespace that it takes over; nothing of any other.

    The lines of a rule stand together. Those of workloads suppose that all others have the pods
    that they want.
    """
    after, inside, view = change.after, cluster.inside, cluster.kubernetes
    if after is None or inside is None or view is None or not takes_over(change, cluster):
        return ()
    there = _There(after, view, inside)
    return (
        *there.quota(),
        *there.values(),
        *there.workloads(),
        *there.autoscalers(),
        *_overwritten(change, there),
        *_traffic(after, there, is_filtered=cluster.cluster.network_policy_engine is not None),
        *_roles(change, inside),
        *there.unread(),
    )


def blocks(lines: Iterable[Line]) -> dict[RiskName, list[Line]]:
    """Return the lines that block by the risk that each is."""
    found: dict[RiskName, list[Line]] = defaultdict(list)
    for line in lines:
        if line.state is State.BLOCK:
            found[RISK_OF[line.rule]].append(line)
    return found


def smallest_quota(lines: Sequence[Line]) -> dict[str, Decimal]:
    """Return the smallest quota with which no line blocks but those that no quota helps.

    Rounded up to what ARM takes; no limit is below its request.
    """
    found = {name: Decimal("0.001") for name in QUOTA_FIELDS if name.startswith("cpu")}
    for line in lines:
        for name, amount in line.needs.items():
            found[name] = max(found.get(name, ZERO), whole_quota_value(name, amount))
    for limit, request in [*limits_below_request(found)]:
        found[limit] = found[request]
    return {name: found[name] for name in QUOTA_FIELDS if name in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A workload, and what its next pod counts for; `lacks` is what the quota has it say."""

    workload: Workload
    need: Amounts
    lacks: str

    @property
    def title(self) -> str:
        return f"{self.workload.kind} {self.workload.name}"

    @property
    def there(self) -> int:
        """Its pods that are there, and those that it is still to start; a CronJob's are none."""
        of = self.workload
        return 0 if of.kind == "CronJob" else max(of.running, of.replicas)


class _There:
    """What is in one namespace, against the quota that it would get."""

    def __init__(self, after: ManagedNamespace, view: KubernetesView, inside: Inside) -> None:
        self.name, self.view, self.inside = after.id.namespace_name, view, inside
        self.hard = {key: after.quota.get(name, ZERO) for name, key in QUOTA_KEYS.items()}
        self._quota = QuotaStatus(
            namespace_name=self.name, name=MANAGED_QUOTA_NAME, hard=self.hard, used={}
        )
        self._ranges = self.own(inside.limit_ranges)
        self.pods = [pod for pod in view.pods_of(self.name) if pod.holds_quota]
        self.parts = [self._part(one) for one in self.own(inside.workloads)]
        self.requested = total_charge(self.pods)
        self._whole = {key: self._wanted(key) for key in self.hard}

    def _wanted(self, key: str) -> Decimal:
        """Return what is asked for once all pods are there that are wanted.

        Pods that run may have been let in with less than they would ask for anew.
        """
        more = [(max(0, one.there - one.workload.running), one.need[key]) for one in self.parts]
        anew = [(one.there, one.need[key]) for one in self.parts]
        still, all_ = (sum((n * need for n, need in part), ZERO) for part in (more, anew))
        return max(self.requested[key] + still, all_)

    def own(self, values: Iterable[Any]) -> list[Any]:
        """Return those of the namespace."""
        return [one for one in values if one.namespace_name == self.name]

    def _part(self, workload: Workload) -> _Part:
        pod = self._let_in(workload.template)
        return _Part(workload=workload, need=charge(pod), lacks=self._lacking(pod))

    def _let_in(self, pod: Pod) -> Pod:
        unguarded = self.inside.unguarded
        is_guarded = unguarded is not None and self.name not in unguarded
        return with_defaults(pod, self._ranges, self.inside.overheads, is_guarded=is_guarded)

    def _lacking(self, pod: Pod) -> str:
        return "; ".join(unsaid(self._quota, pod)) if holds(self._quota, pod) else ""

    def apart(self, kind: str) -> list[str]:
        """Return the objects of a kind that could not be read, each with the reason."""
        return [one for one in self.inside.set_apart if one.startswith(f"{kind} {self.name}/")]

    def quota(self) -> Iterator[Line]:
        """Yield what the pods that are there ask for, against each value."""
        unread = self.apart("Pod")
        for name, key in QUOTA_KEYS.items():
            requested, hard = self.requested[key], self.hard[key]
            state = State.BLOCK if requested > hard else State.UNKNOWN if unread else State.OK
            facts = {"requested": requested, "hard": hard, "reason": ", ".join(unread)}
            needs = {name: requested}
            yield Line(rule=Rule.QUOTA, state=state, subject=name, facts=facts, needs=needs)
        if names := [q.name for q in self.own(self.view.quotas) if q.name != MANAGED_QUOTA_NAME]:
            yield Line(rule=Rule.OTHER_QUOTAS, state=State.WARN, facts={"names": sorted(names)})

    def values(self) -> Iterator[Line]:
        """Yield what lacks a value that a quota demands, and is refused when it starts anew."""
        found = {part.title: part.lacks for part in self.parts if part.lacks}
        for pod in self.pods:  # what no workload that was read starts
            if (lacks := self._lacking(self._let_in(pod))) and lacks not in found.values():
                found[f"Pod {pod.name}"] = lacks
        reason = next((self.inside.unread[k] for k in ("limit_ranges", "safeguards")
                       if k in self.inside.unread), "")  # fmt: skip
        for title, lacks in found.items():
            state = State.UNKNOWN if reason else State.BLOCK  # defaults may give what it lacks
            facts = {"lacks": lacks, "reason": reason}
            yield Line(rule=Rule.VALUES, state=state, subject=title, facts=facts)
        if not found and not reason:
            yield Line(rule=Rule.VALUES, state=State.OK)

    def workloads(self) -> Iterator[Line]:
        """Yield how many pods of each workload start, and whether an update goes on."""
        for part in self.parts:
            of = part.workload
            if of.replicas and not part.lacks:
                rule = Rule.CRON_JOB if of.kind == "CronJob" else Rule.REPLICAS
                yield self._starts(rule, part, of.replicas)
        for part in self.parts:
            of = part.workload
            if of.kind in rollouts.ROLLING and rollouts.replaces(of) and not part.lacks:
                yield self._starts(
                    Rule.ROLLOUT, part, of.running + rollouts.at_once(of),
                    least=of.running + rollouts.needed(of),
                )  # fmt: skip

    def autoscalers(self) -> Iterator[Line]:
        """Yield whether each autoscaler reaches its maximum."""
        parts = {(part.workload.kind, part.workload.name): part for part in self.parts}
        for scaler in self.own(self.inside.autoscalers):
            part = parts.get((scaler.workload_kind, scaler.workload_name))
            if part is None:
                title = f"{scaler.workload_kind} {scaler.workload_name}"
                facts = {"reason": "its workload was not found"}
                yield Line(rule=Rule.AUTOSCALER, state=State.UNKNOWN, subject=title, facts=facts)
            elif not part.lacks:
                yield self._starts(Rule.AUTOSCALER, part, scaler.most)

    def _starts(self, rule: Rule, part: _Part, most: int, *, least: int | None = None) -> Line:
        """Return whether so many pods of a workload may be there, beside those of all others.

        Args:
            least: with fewer it blocks, with fewer than `most` it is slow; None for all of them.
        """
        least = most if least is None else least
        others = {key: held - part.there * part.need[key] for key, held in self._whole.items()}
        room = [
            WIDE.divide(self.hard[key] - others[key], need).to_integral_value(ROUND_FLOOR)
            for key, need in part.need.items()
            if need and key in self.hard
        ]
        fits = int(min(room, default=Decimal(most)))
        state = State.OK if fits >= most else State.WARN if fits >= least else State.BLOCK
        has_class = part.workload.template.runtime_class
        reason = self.inside.unread.get("overheads", "") if has_class else ""
        state = State.UNKNOWN if reason and state is not State.BLOCK else state
        facts = {"fits": max(0, min(fits, most)), "of": most, "reason": reason}
        needs = {
            name: others[key] + least * part.need[key]
            for name, key in QUOTA_KEYS.items()
            if part.need[key]
        }
        return Line(rule=rule, state=state, subject=part.title, facts=facts, needs=needs)

    def unread(self) -> Iterator[Line]:
        """Yield what cannot be said, because it could not be read."""
        for kind, rules in _UNREAD.items():
            if kind in self.inside.unread:
                facts = {"reason": self.inside.unread[kind]}
                for rule in rules:
                    yield Line(rule=rule, state=State.UNKNOWN, subject=kind, facts=facts)
        for one in self.inside.set_apart:
            if one.split()[1].startswith(f"{self.name}/"):
                yield Line(rule=Rule.OBJECTS, state=State.UNKNOWN, facts={"reason": one})


def _overwritten(change: Change, there: _There) -> Iterator[Line]:
    """Yield what differs, which IfIdentical refuses, or what Always replaces.

    What IfIdentical compares besides labels and annotations is unconfirmed, so all is told.
    """
    is_always = change.after is not None and change.after.adoption_policy is AdoptionPolicy.ALWAYS
    found = [
        one.path
        for one in change.differences
        if one.path.startswith(("labels[", "annotations["))
        and not (is_always and one.operation == "add")
    ]
    held = [q for q in there.own(there.view.quotas) if q.name == MANAGED_QUOTA_NAME]
    policies = [
        p for p in there.own(there.inside.network_policies) if p.name == MANAGED_POLICY_NAME
    ]
    if is_always:
        found += [quota.name for quota in held if quota.hard != there.hard]
        found += [policy.name for policy in policies]
    else:
        found += [] if [quota.hard for quota in held] == [there.hard] else [MANAGED_QUOTA_NAME]
        found += [] if policies else [MANAGED_POLICY_NAME]
    rule = Rule.OVERWRITTEN if is_always else Rule.IDENTICAL
    if found or "network_policies" not in there.inside.unread:
        state = State.WARN if found else State.OK
        yield Line(rule=rule, state=state, facts={"names": found})


def _traffic(after: ManagedNamespace, there: _There, *, is_filtered: bool) -> Iterator[Line]:
    """Yield what the network policy cuts off.

    A pod that some policy filters already loses nothing by another, for policies add up. Source:
    Kubernetes, "Network Policies", the two sorts of pod isolation.

    Args:
        is_filtered: whether the cluster has an engine; without one nothing is cut off until it has.
    """
    cut = State.BLOCK if is_filtered else State.WARN
    rules = {"Ingress": after.ingress_policy, "Egress": after.egress_policy}
    is_open = {
        direction: rule in (None, NetworkRule.ALLOW_ALL)
        or any(
            policy.selects_all
            and direction in policy.directions
            # the one that is replaced says the same afterwards only if it filtered before
            and not (policy.name == MANAGED_POLICY_NAME and direction in policy.opens)
            for policy in there.own(there.inside.network_policies)
        )
        for direction, rule in rules.items()
    }
    about: dict[str, dict[str, Any]] = {
        direction: {"policy": rule, "is_open": is_open[direction], "is_filtered": is_filtered}
        for direction, rule in rules.items()
    }
    kinds: dict[str, list[str]] = defaultdict(list)
    for one in () if is_open["Ingress"] else there.own(there.inside.entrances):
        kinds[one.kind].append(one.name)
    for kind, names in sorted(kinds.items()):
        # who of other namespaces uses a ClusterIP is not seen; nobody does any more under DenyAll
        is_inner = kind == "ClusterIP" and rules["Ingress"] is not NetworkRule.DENY_ALL
        state = State.WARN if is_inner else cut
        facts: dict[str, Any] = {"names": sorted(names), "is_inner": is_inner} | about["Ingress"]
        yield Line(rule=Rule.INGRESS, state=state, subject=kind, facts=facts)
    unread = [kind for kind in ENTRANCES if kind in there.inside.unread and not is_open["Ingress"]]
    for kind in unread:
        reason = {"reason": there.inside.unread[kind]}
        yield Line(rule=Rule.INGRESS, state=State.UNKNOWN, subject=kind, facts=reason)
    if not kinds and not unread:
        yield Line(rule=Rule.INGRESS, state=State.OK, facts=about["Ingress"])
    is_safe = is_open["Egress"] or not (there.pods or there.parts)
    facts = {"pods": len(there.pods)} | about["Egress"]
    yield Line(rule=Rule.EGRESS, state=State.OK if is_safe else cut, facts=facts)


def _roles(change: Change, inside: Inside) -> Iterator[Line]:
    """Yield the role assignments at the older scope, which go on to count."""
    old = change.id.own_scopes[1]
    found = [held for held in inside.roles if held.scope.lower() == old]
    if found or "roles" not in inside.unread:
        state, facts = State.WARN if found else State.OK, {"roles": found, "scope": old}
        yield Line(rule=Rule.ROLES, state=state, facts=facts)
