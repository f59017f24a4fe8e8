"""Which named risks a change carries. Pure: looks at values that were read, reads nothing.

What could not be looked at counts as a risk, with the reason: unknown is not safe.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mnslib import models
from mnslib.commitment import Commitment, commitments, lacking
from mnslib.errors import ConfigError
from mnslib.kube_models import QuotaStatus
from mnslib.models import MANAGED_QUOTA_NAME, QUOTA_KEYS, ROLE_NAMES, ManagedNamespace, NetworkRule
from mnslib.pods import total_charge
from mnslib.provisioning.adoption import State, impact, smallest_quota
from mnslib.provisioning.changes import Change, FieldDifference, Risk, RiskName, words
from mnslib.provisioning.observe import KubernetesView, ObservedCluster
from mnslib.quantities import RESOURCE_WORDS, ZERO, amount_text, two_readings
from mnslib.results import ChangeKind
from mnslib.secrets import shown

BeforeAndAfter = tuple[dict[str, Commitment], dict[str, Commitment]]

MOST_COMMITMENT = 100
"""Times what nodes give; our choice, who wants more wants no limit."""

MOST_TOLD = 4
"""Things that the sentence of a risk names; our choice, `run.adoption()` has all."""

MANY_CHANGES_SHARE = 0.3
MANY_CHANGES_FROM = 10
"""More than this share of at least so many existing namespaces updated, adopted or deleted.

Source: octodns, `provider/plan.py`: safety threshold 30 %, from 10 existing records.
"""

TOUCHING = frozenset({ChangeKind.UPDATE, ChangeKind.ADOPT, ChangeKind.DELETE})
"""Changes of what exists, as that risk counts them."""

OF_PLAN = frozenset({RiskName.MANY_CHANGES})
"""Risks of a plan as a whole, which no change of it has."""

OF_CONTENT = frozenset(
    {
        RiskName.ACCESS_GRANTED,
        RiskName.POLICY_LOOSENED,
        RiskName.OWNER_CHANGED,
        RiskName.LABELS_CHANGED,
    }
)
"""Of what is written, whatever runs there: who approved that has approved these with it."""

OWNER = "labels[owner]"

STRICTNESS = (NetworkRule.ALLOW_ALL, NetworkRule.ALLOW_SAME_NAMESPACE, NetworkRule.DENY_ALL)

AKS_DESKTOP_LABEL = "headlamp.dev/project-managed-by"
"""Source: Azure/aks-desktop, `projectLabels.ts`."""


def with_risks(change: Change, cluster: ObservedCluster) -> Change:
    """Return the change with every risk it carries on its own."""
    if change.kind is ChangeKind.NO_CHANGE:
        return change
    found = (_risk(what, **facts) for what, facts in _carried(change, cluster))
    return replace(change, risks=tuple(found))


def many_changes(changes: Sequence[Change], existing_count: int) -> tuple[Risk, ...]:
    """Return the risk that a plan touches a large share of what exists; none if it does not."""
    touched = sum(change.kind in TOUCHING for change in changes)
    if existing_count < MANY_CHANGES_FROM or touched <= MANY_CHANGES_SHARE * existing_count:
        return ()
    return (_risk("many-changes", touched=touched, existing=existing_count),)


def _risk(what: str, **facts: Any) -> Risk:
    name = RiskName(words("risk_of").get(what, what))
    return Risk(name=name, detail=_say(what, **facts))


def _say(what: str, **facts: Any) -> str:
    return str(words("risks")[what].format_map(facts))


# What a change carries: which sentence of `words.yaml`, and what to fill in

_Carried = Iterator[tuple[str, dict[str, str]]]


def _carried(change: Change, cluster: ObservedCluster) -> _Carried:
    kind, after = change.kind, change.after
    may_adopt = after is not None and after.adoption_policy not in models.NOT_TAKEN
    if kind is ChangeKind.ADOPT or (may_adopt and _is_not_yet_taken(change, cluster)):
        yield "adoption", {"pods": _pods(change, cluster)}
        yield from _blocked(change, cluster)
    elif kind is ChangeKind.CREATE and cluster.kubernetes is None and may_adopt:
        yield "adoption-unread", {}
    if kind is not ChangeKind.CREATE and change.writes_namespace:
        yield from _owners(change, cluster)
    if kind is ChangeKind.DELETE:
        what = "release" if change.is_release else "deletion"
        yield what, {"pods": _pods(change, cluster)}
    sets_it = any(d.path == "delete_policy" and d.new == "Delete" for d in change.differences)
    if sets_it or (kind is ChangeKind.DELETE and not change.is_release):
        yield "delete-policy", {}
    if after is not None and kind is not ChangeKind.CREATE:
        yield from _lowered(change.before, after, cluster)
        if _running(change, cluster) != 0:
            # Before adoption nothing of AKS filters; so the loosest rule is what applies.
            yield from _moved("policy-tightened", change.before, after, STRICTNESS)
        if change.before:
            yield from _moved("policy-loosened", change.before, after, STRICTNESS[::-1])
    gone = [d.path for d in change.differences if d.operation == "remove" and not d.is_access]
    if gone and after is not None:
        yield "keys-removed", {"gone": ", ".join(gone)}
    if after is not None:
        is_unread = cluster.kubernetes is None and may_adopt
        yield from _lets_in(change, cluster, is_there=kind is not ChangeKind.CREATE or is_unread)
    if roles := [f"{d.old} of {d.key}" for d in change.differences if d.old and d.is_access]:
        kept = [
            f"{ROLE_NAMES[held.role_guid]} of {held.principal_type} {held.principal_id} at "
            f"{held.scope or '/'}"
            for held in change.kept
        ]
        facts = {"gone": ", ".join(roles), "kept": ", ".join(kept)}
        yield "access-kept" if kept else "access-removed", facts


def _is_not_yet_taken(change: Change, cluster: ObservedCluster) -> bool:
    """Return whether a creation that failed has left what is on the cluster to the next write."""
    if change.before is None or change.before.provisioning_state not in ("Failed", "Canceled"):
        return False
    seen = cluster.on_cluster(change.id)
    return seen is not None and seen.labels.get(models.MANAGED_LABEL) != "true"


def _blocked(change: Change, cluster: ObservedCluster) -> _Carried:
    """Yield what a takeover stops; under IfIdentical nothing changes, or it is refused."""
    if change.after is None or change.after.adoption_policy is not models.AdoptionPolicy.ALWAYS:
        return
    lines, found = impact(change, cluster), defaultdict[str, list[str]](list)
    for line in lines:
        if line.state is State.BLOCK:
            said = words("impact")[line.rule]
            found[said["risk"]].append(
                said["says"].format(**{"subject": line.subject, **line.facts})
            )
    smallest = smallest_quota(lines).items()
    least = ", ".join(f"{n} {models.format_quota_value(n, amount)}" for n, amount in smallest)
    for risk, told in found.items():
        more = [f"{len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
        yield risk, {"stops": "; ".join([*told[:MOST_TOLD], *more]), "smallest": least}


def _owners(change: Change, cluster: ObservedCluster) -> _Carried:
    marks: dict[str, str] = {}
    if change.before:
        marks |= {**change.before.labels, **change.before.annotations, **change.before.tags}
    if seen := cluster.on_cluster(change.id):
        marks |= {**seen.labels, **seen.annotations}
    owners = {owner for key, owner in words("reconcilers").items() if key in marks}
    managed_by = marks.get("app.kubernetes.io/managed-by", "").lower()
    owners |= {owner for word, owner in words("managed_by").items() if word in managed_by}
    if owners:
        yield "foreign-owner", {"owners": " and ".join(sorted(owners))}
    elif AKS_DESKTOP_LABEL in marks and change.kind is ChangeKind.DELETE:
        yield "project", {}


def _lowered(
    before: ManagedNamespace | None, after: ManagedNamespace, cluster: ObservedCluster
) -> _Carried:
    was = before.quota if before else {}
    lowered = {n: amount for n, amount in after.quota.items() if n not in was or amount < was[n]}
    if lowered and (why := _unread(cluster.kubernetes, after.id.namespace_name)):
        yield "quota-unread", {"why": why}
    if not lowered or cluster.kubernetes is None:
        return
    # counted from the pods, since the quota's own counter is known to be wrong at times
    requested = total_charge(cluster.kubernetes.pods_of(after.id.namespace_name))
    asked = {n: models.whole_quota_value(n, requested[QUOTA_KEYS[n]]) for n in lowered}
    short = [
        f"{RESOURCE_WORDS[name]} {amount_text(name, asked[name])}, "
        f"quota {amount_text(name, amount)}"
        for name, amount in lowered.items()
        if amount < requested[QUOTA_KEYS[name]]
    ]
    if short:
        yield "quota-below-use", {"short": "; ".join(short)}


def _unread(view: KubernetesView | None, name: str) -> str:
    """Return why it is not known what the pods of a namespace ask for; empty where it is."""
    if view is None:
        return "Kubernetes was not read"
    return next(
        (f"not read is {one}" for one in view.set_apart if one.startswith(f"Pod {name}/")), ""
    )


def _moved(
    what: str,
    before: ManagedNamespace | None,
    after: ManagedNamespace,
    order: Sequence[NetworkRule],
) -> _Carried:
    """Yield which rules go up in an order; what is not set is the lowest, so that it is told."""
    moves = []
    for direction in ("ingress", "egress"):
        was, becomes = (
            getattr(state, f"{direction}_policy", None) or order[0] for state in (before, after)
        )
        if order.index(becomes) > order.index(was):
            moves.append(f"{direction} {was} to {becomes}")
    if moves:
        yield what, {"moves": ", ".join(moves)}


def _lets_in(change: Change, cluster: ObservedCluster, *, is_there: bool) -> _Carried:
    """Yield what lets somebody in, or takes over what others have said of it."""
    granted = [f"{d.new} to {d.key}" for d in change.differences if d.is_access and d.new]
    if granted and is_there:
        yield "access-granted", {"roles": ", ".join(granted)}
    seen, there, changed = cluster.on_cluster(change.id), {}, []
    if seen:  # what was written there, past ARM, is replaced all the same
        there = {f"labels[{key}]": value for key, value in seen.labels.items()}
        there |= {f"annotations[{key}]": value for key, value in seen.annotations.items()}
    of_others = ("labels[", "annotations[", "tags[")
    for one in (d for d in change.differences if d.path.startswith(of_others)):
        is_new = one.operation == "add"
        old = shown(one.path, there.get(one.path, "")) if is_new else one.old
        is_replaced = one.operation == "change" or (is_new and old not in ("", one.new))
        if one.path == OWNER:
            if old and old != one.new:
                yield "owner-changed", {"was": old, "becomes": one.new or "nobody"}
        elif is_replaced or _weakens(one):
            values = f" from {old or 'none'} to {one.new or 'none'}"
            changed.append(one.path + (values if one.path.startswith("labels[") else ""))
    if changed:
        yield "labels-changed", {"changed": ", ".join(changed)}


def _weakens(difference: FieldDifference) -> bool:
    """Return whether it may loosen what the API server admits: no value known as strict is set."""
    kinds, key = words("security_labels"), difference.key
    strict = kinds.get(key, kinds.get(key.partition("/")[0] + "/"))
    is_label = difference.path.startswith("labels[")
    return is_label and strict is not None and difference.new not in strict


def _running(change: Change, cluster: ObservedCluster) -> int | None:
    """Return how many pods run in the namespace, None if that is unknown."""
    if cluster.kubernetes is None:
        return None
    pods = cluster.kubernetes.pods_of(change.id.namespace_name)
    return sum(not pod.is_finished for pod in pods)


def _pods(change: Change, cluster: ObservedCluster) -> str:
    number = _running(change, cluster)
    if number is None:
        return "an unknown number of running pods"
    return "1 running pod" if number == 1 else f"{number or 'no'} running pods"


# What changes do to their cluster: what is committed before and after, and whether that fits


def read_max_commitment(text: str) -> Decimal | None:
    """Return how often a cluster may commit what its nodes give; None where text is empty.

    Raises:
        ConfigError: if the text is no number above 0, or more than `MOST_COMMITMENT`.
    """
    if not text.strip():
        return None
    found = re.fullmatch(r"\d+\.?\d*|\.\d+", text.strip(), re.ASCII)
    limit = Decimal(found[0]) if found and not two_readings(text) else ZERO
    if not 0 < limit <= MOST_COMMITMENT:
        meant = " or ".join(two_readings(text))
        why = f", which may mean {meant}" if meant else ""
        fix = f"write a number such as 1.5, at most {MOST_COMMITMENT}, or nothing."
        raise ConfigError(f"max_commitment is {text!r}{why}: {fix}")
    return limit


def before_and_after(
    observed: ObservedCluster, changes: Sequence[Change], max_commitment: Decimal | None
) -> BeforeAndAfter | None:
    """Return what a cluster has committed before and after its changes; None where unknown."""
    view = observed.kubernetes
    if view is None:
        return None

    def sums(managed: Iterable[ManagedNamespace | None], gone: Set[str]) -> dict[str, Commitment]:
        # as ARM has them: the cluster's own quota objects may trail
        hard = {one.id.namespace_name: one.quota for one in managed if one is not None}
        quotas = [
            quota
            for quota in view.quotas
            if quota.namespace_name not in gone
            and not (quota.name == MANAGED_QUOTA_NAME and quota.namespace_name in hard)
        ]
        quotas += [
            QuotaStatus(
                namespace_name=name,
                name=MANAGED_QUOTA_NAME,
                hard={QUOTA_KEYS[field]: amount for field, amount in quota.items()},
                used={},
            )
            for name, quota in hard.items()
        ]
        pods = [pod for pod in view.pods if pod.namespace_name not in gone]
        return commitments(nodes=view.nodes, quotas=quotas, pods=pods, max_ratio=max_commitment)

    # Whether the quota object outlives a deletion with Keep is unconfirmed: count it as staying.
    deleted = [c for c in changes if c.kind is ChangeKind.DELETE and not c.is_release]
    gone = {change.id.namespace_name for change in deleted}
    return sums((c.before for c in changes), set()), sums((c.after for c in changes), gone)


def with_overcommit(
    observed: ObservedCluster, changes: Sequence[Change], max_commitment: Decimal | None
) -> list[Change]:
    """Return a cluster's changes; those that commit more of it than fits carry the risk.

    Too much is what does not fit (`commitment.lacking`) with all changes done, neither now nor once
    the nodes are back that are left out for a time: a plan that fits then is short for as long as
    an upgrade takes, which is told but no risk. Whether it fits may be unknown too. Counted are
    request quotas, since pods are placed by their requests. Source: kubernetes-mixin,
    KubeCPUQuotaOvercommit (memory alike).
    """
    if all(change.kind in (ChangeKind.NO_CHANGE, ChangeKind.DELETE) for change in changes):
        return list(changes)  # nothing raises, and pods need not be added up
    both = before_and_after(observed, changes, max_commitment)
    before, after = both or ({}, {})
    short = {resource: _short(before[resource], after[resource]) for resource in after}
    found = []
    for change in changes:
        told = [_overcommit(change, resource, both, short) for resource in ("cpu", "memory")]
        if detail := "; ".join(dict.fromkeys(filter(None, told))):
            risk = Risk(name=RiskName.OVERCOMMIT, detail=f"{detail}.")
            change = replace(change, risks=(*change.risks, risk))
        found.append(change)
    return found


def _short(before: Commitment, after: Commitment) -> Set[str]:
    """Return the namespaces whose raised quota fits neither now nor once all nodes are back."""
    later = lacking(before.with_nodes_back, after.with_nodes_back)
    return lacking(before, after).keys() & later.keys()


def _overcommit(
    change: Change, resource: str, both: BeforeAndAfter | None, short: Mapping[str, Set[str]]
) -> str:
    name, field = change.id.cluster.cluster_name, f"{resource}_request"
    if both is None or not both[1][resource].with_nodes_back.allocatable:
        was, becomes = (
            state.quota.get(field, ZERO) if state else ZERO
            for state in (change.before, change.after)
        )
        why = "Kubernetes was not read" if both is None else "no ready node"
        return _say("unfit", name=name, why=why) if becomes > was else ""
    if change.id.namespace_name not in short[resource]:
        return ""
    now = both[1][resource]
    after = now.with_nodes_back
    own, nodes = after.by_namespace[change.id.namespace_name], after.allocatable
    facts = {"name": name, "words": RESOURCE_WORDS[field], "nodes": amount_text(resource, nodes)}
    facts["back"] = _say("nodes-back") if now.returning else ""
    if own > nodes:
        return _say("too-large", own=amount_text(resource, own), **facts)
    committed, ratio = amount_text(resource, after.committed), after.committed / nodes
    # nothing of its own, so that a page says it once of all
    return _say("overcommit", committed=committed, ratio=ratio, most=after.max_ratio, **facts)
