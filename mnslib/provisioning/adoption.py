"""What taking a namespace over does to what runs there: a line for each thing, with its amounts.

What runs goes on; what is refused is the next pod, and what is cut off is traffic, at once. Pure:
values that were read in, lines out. Which risk a rule is, and its words, are in `words.yaml`.

    lines = impact(change, cluster)
    smallest_quota(lines)  # {"cpu_request": Decimal("2.5"), ...}
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from mnslib import models, rollouts
from mnslib.errors import MnsError, few_words
from mnslib.kube_models import Pod, QuotaStatus, Workload
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_FIELDS, QUOTA_KEYS, AdoptionPolicy, NetworkRule
from mnslib.pods import charge, refusal, total_charge, unsaid, with_defaults
from mnslib.provisioning import companions
from mnslib.provisioning.changes import Change, words
from mnslib.provisioning.observe import ENTRANCES, KubernetesView, ObservedCluster
from mnslib.quantities import RESOURCE_WORDS, WIDE, ZERO, amount_text


class State(StrEnum):
    """What a line comes to, the gravest first; what could not be read is unknown, never OK."""

    BLOCK = "BLOCK"
    UNKNOWN = "unknown"
    WARN = "WARN"
    OK = "OK"


@dataclass(frozen=True, slots=True)
class Line:
    """What one rule of `words.yaml` finds of one thing.

    Attributes:
        subject: `Deployment web`, a quota value, a kind of entrance; empty for the namespace.
        facts: the texts that its words speak of; of what is unknown the `reason`.
        needs: of each quota value the least with which it blocks nothing; empty where no quota
            would help.
    """

    rule: str
    state: State
    subject: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, Decimal] = field(default_factory=dict)


def impact(change: Change, cluster: ObservedCluster) -> list[Line]:
    """Return what a change with the risk `adoption` does; nothing where that was not read.

    Lines of workloads suppose that all others have the pods that they want.
    """
    after, view = change.after, cluster.kubernetes
    if after is None or view is None or not cluster.inside:
        return []
    there = _There(change, after, cluster, view)
    found = [*there.quota(), *there.values(), *there.workloads(), *there.traffic()]
    found += [there.replaced(change), there.roles()]
    unread = [(rule, kind) for kind in there.unread for rule in words("unread")[kind]]
    found = [one for one in found if one.state is not State.OK or one.rule not in dict(unread)]
    for rule, kind in unread:
        found.append(Line(rule, State.UNKNOWN, kind, {"reason": there.unread[kind]}))
    for one in view.set_apart:
        if one.split()[1].startswith(f"{there.name}/"):
            found.append(Line("objects", State.UNKNOWN, "", {"reason": one}))
    return found


def smallest_quota(lines: Iterable[Line]) -> dict[str, Decimal]:
    """Return the smallest quota with which no line blocks but those that no quota helps.

    Rounded up to what ARM takes; no limit is below its request.
    """
    found = dict(zip(QUOTA_FIELDS, map(Decimal, ("0.001", "0.001", "0", "0")), strict=True))
    for line in lines:
        for name, amount in line.needs.items():
            found[name] = max(found[name], models.whole_quota_value(name, amount))
    return found | {limit: found[name] for limit, name in models.limits_below_request(found)}


class _Part(NamedTuple):
    """A workload, what its next pod counts for, and what a quota would have it say."""

    of: Workload
    need: Mapping[str, Decimal]
    lacks: str

    @property
    def title(self) -> str:
        return f"{self.of.kind} {self.of.name}"

    @property
    def there(self) -> int:
        """Its pods, with those that are still to come; a CronJob's come and go."""
        return 0 if self.of.kind == "CronJob" else max(self.of.running, self.of.replicas)


class _There:
    """What is in one namespace, against the quota and the policies that it would get."""

    def __init__(
        self,
        change: Change,
        after: models.ManagedNamespace,
        cluster: ObservedCluster,
        view: KubernetesView,
    ) -> None:
        self.name, self.after = after.id.namespace_name, after
        met = {kind: e for kind, e in cluster.inside.items() if isinstance(e, MnsError)}
        self.inside = {kind: one for kind, one in cluster.inside.items() if kind not in met}
        self.hard = {key: after.quota[name] for name, key in QUOTA_KEYS.items()}
        self.pods = [pod for pod in view.pods_of(self.name) if pod.holds_quota]
        self.held = [
            one.hard
            for one in view.quotas
            if (one.namespace_name, one.name) == (self.name, MANAGED_QUOTA_NAME)
        ]
        self.ranges = companions.ranges_after(self._own("limit_ranges"), change.companions)
        self.parts = [_Part(one, *self._anew(one.template)) for one in self._own("workloads")]
        self.policies = self._own("network_policies")
        rules = {"Ingress": after.ingress_policy, "Egress": after.egress_policy}
        self.ingress, self.egress = (
            {
                "policy": rule,
                "is_open": rule is NetworkRule.ALLOW_ALL or self._filters(way),
                "is_filtered": cluster.cluster.network_policy_engine is not None,
            }
            for way, rule in rules.items()
        )
        spared = [*ENTRANCES] if self.ingress["is_open"] else []
        if not any(part.of.template.runtime_class for part in self.parts):
            spared.append("overheads")
        self.unread = {kind: few_words(e) for kind, e in met.items() if kind not in spared}

    def _own(self, *kinds: str) -> list[Any]:
        found = (one for kind in kinds for one in self.inside.get(kind, ()))
        return [one for one in found if one.namespace_name == self.name]

    def _anew(self, pod: Pod) -> tuple[Mapping[str, Decimal], str]:
        """Return what a pod counts for when it asks to be let in, and what it does not say."""
        unguarded, overheads = map(self.inside.get, ("safeguards", "overheads"))
        is_guarded = unguarded is not None and self.name not in unguarded
        pod = with_defaults(pod, self.ranges, overheads or {}, is_guarded=is_guarded)
        quota = QuotaStatus(
            namespace_name=self.name, name=MANAGED_QUOTA_NAME, hard=self.hard, used={}
        )
        # a default limit may be below what is requested
        return charge(pod), refusal(pod, ()) or "; ".join(unsaid(quota, pod))

    def quota(self) -> Iterator[Line]:
        """Yield what the pods that are there ask for, against each value."""
        requested = total_charge(self.pods)
        for name, key in QUOTA_KEYS.items():
            facts = {"subject": RESOURCE_WORDS[name], "hard": amount_text(name, self.hard[key])}
            asked = models.whole_quota_value(name, requested[key])
            facts["requested"] = amount_text(name, asked)
            state = State.BLOCK if requested[key] > self.hard[key] else State.OK
            yield Line("quota", state, name, facts, {name: requested[key]})

    def values(self) -> Iterator[Line]:
        """Yield what lacks a value that a quota demands, and is refused when it starts anew."""
        found = {part.title: part.lacks for part in self.parts if part.lacks}
        for pod in self.pods:  # what no workload that was read starts
            if (lacks := self._anew(pod)[1]) and lacks not in found.values():
                found[f"Pod {pod.name}"] = lacks
        why = self.unread.get("limit_ranges") or self.unread.get("safeguards")
        for title, lacks in found.items():
            state = State.UNKNOWN if why else State.BLOCK  # they may give what it lacks
            yield Line("values", state, title, {"lacks": lacks, "reason": why})
        if not found:
            yield Line("values", State.OK)

    def workloads(self) -> Iterator[Line]:
        """Yield how many pods start, whether updates go on, and how far autoscalers get."""
        parts = {(part.of.kind, part.of.name): part for part in self.parts if not part.lacks}
        for part in parts.values():
            if part.of.replicas:
                rule = "cron-job" if part.of.kind == "CronJob" else "replicas"
                yield self._starts(rule, part, part.of.replicas, part.of.replicas)
        for part in parts.values():
            if part.of.kind in rollouts.ROLLING and rollouts.replaces(part.of):
                counts = rollouts.at_once(part.of), rollouts.needed(part.of)
                yield self._starts("rollout", part, *(part.of.running + one for one in counts))
        for scaler in self._own("autoscalers"):
            of = scaler.workload_kind, scaler.workload_name
            if of in parts:
                yield self._starts("autoscaler", parts[of], scaler.most, scaler.most)
            elif of not in {(part.of.kind, part.of.name) for part in self.parts}:
                yield Line("autoscaler", State.UNKNOWN, " ".join(of), {"reason": "not found"})

    def _starts(self, rule: str, part: _Part, most: int, least: int) -> Line:
        """Return whether so many pods of a workload may be there; fewer than the least block."""
        others = {key: self._wanted(key) - part.there * part.need[key] for key in self.hard}
        room = [
            WIDE.divide(self.hard[key] - others[key], part.need[key]).to_integral_value(ROUND_FLOOR)
            for key in self.hard
            if part.need[key]
        ]
        fits = int(min(room, default=most))
        state = State.OK if fits >= most else State.WARN if fits >= least else State.BLOCK
        needs = {n: others[key] + least * part.need[key] for n, key in QUOTA_KEYS.items()}
        return Line(rule, state, part.title, {"fits": max(0, min(fits, most)), "of": most}, needs)

    def _wanted(self, key: str) -> Decimal:
        """Return what is asked for once all pods are there that are wanted.

        Pods that run may have been let in with less than they would ask for anew.
        """
        anew = sum((part.there * part.need[key] for part in self.parts), ZERO)
        come = sum(((part.there - part.of.running) * part.need[key] for part in self.parts
                    if part.there > part.of.running), ZERO)  # fmt: skip
        return max(anew, total_charge(self.pods)[key] + come)

    def _filters(self, way: str) -> bool:
        """Return whether all pods are filtered already: they lose nothing by one policy more.

        But ours is replaced, so that it counts only where it lets less than everything through.
        Source: Kubernetes, "Network Policies", the two sorts of pod isolation.
        """
        return any(
            way in one.filters and not (one.name == models.MANAGED_POLICY_NAME and way in one.opens)
            for one in self.policies
        )

    def traffic(self) -> Iterator[Line]:
        """Yield what is cut off at once, or once the cluster has a network policy engine."""
        ingress, egress = self.ingress, self.egress
        cut = State.BLOCK if ingress["is_filtered"] else State.WARN
        kinds: dict[str, list[str]] = defaultdict(list)
        for one in () if ingress["is_open"] else self._own(*ENTRANCES):
            kinds[one.kind].append(one.name)
        for kind, names in sorted(kinds.items()):
            # who of other namespaces calls it is not seen; under DenyAll nobody does any more
            is_inner = kind == "ClusterIP" and ingress["policy"] is not NetworkRule.DENY_ALL
            facts = ingress | {"names": ", ".join(sorted(names)), "is_inner": is_inner}
            yield Line("ingress", State.WARN if is_inner else cut, kind, facts)
        if not kinds:
            yield Line("ingress", State.OK, "", ingress)
        is_safe = egress["is_open"] or not (self.pods or self.parts)
        facts = egress | {"pods": len(self.pods)}
        yield Line("egress", State.OK if is_safe else cut, "", facts)

    def replaced(self, change: Change) -> Line:
        """Return what differs, on which IfIdentical is refused, or what Always replaces.

        What IfIdentical compares besides labels and annotations is unconfirmed: all is told.
        """
        is_always = self.after.adoption_policy is AdoptionPolicy.ALWAYS
        names = [
            one.path
            for one in change.differences
            if one.path.startswith(("labels[", "annotations["))
            and not (is_always and one.operation == "add")
        ]
        if self.held != [self.hard] and (self.held or not is_always):
            names.append(MANAGED_QUOTA_NAME)
        if any(one.name == models.MANAGED_POLICY_NAME for one in self.policies) == is_always:
            names.append(models.MANAGED_POLICY_NAME)
        facts = {"names": names, "policy": self.after.adoption_policy}
        return Line("replaced", State.WARN if names else State.OK, "", facts)

    def roles(self) -> Line:
        """Return the role assignments at the older scope, which go on to count."""
        old = self.after.id.own_scopes[1]
        found = [one for one in self.inside.get("roles", ()) if one.scope.lower() == old]
        facts = {"roles": found, "scope": old}
        return Line("roles", State.WARN if found else State.OK, "", facts)
