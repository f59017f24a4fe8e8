"""Whether pods fit into one namespace: in its quota, where every value must hold, and on nodes.

One question at a time; which questions are asked is `fit`'s. Pure; amounts are exact. What is
limited has a fixed order here, that of `LIMITED`; None is "not limited".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from mnslib.capacity.nodes import FreeNodes, PodSize, pod_size
from mnslib.capacity.quota_values import UNCOUNTED
from mnslib.kube_models import LimitRange, Pod, QuotaStatus
from mnslib.models import QUOTA_ALIASES, QUOTA_KEYS
from mnslib.pods import pod_need, refusal, with_defaults
from mnslib.quantities import ZERO
from mnslib.verdicts import UNKNOWN, unknown, word

YES, NO, NONE = "yes", "no", "none"

LIMITED = {**QUOTA_KEYS, "pods": "pods"}
"""What a quota is asked for: name in a column to key."""

_PLACES = {key: place for place, key in enumerate(LIMITED.values())}

_NAN = float("nan")
NOTHING = (_NAN,) * len(LIMITED)
_RANK = {NONE: 0, YES: 1, UNKNOWN: 2, NO: 3}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """The next pod of a workload as it would be let in; equal to itself alone.

    Attributes:
        need: in the order of `LIMITED`.
        refused: why it never is let in; empty where nothing is against it.
        unsure: why that cannot be said; empty where it can.
        needs_place: whether it must find a node; a DaemonSet's pod comes with its node.
    """

    need: tuple[Decimal, ...]
    size: PodSize
    refused: str = ""
    unsure: str = ""
    needs_place: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What came of one question; figures as in `fit.FIT_COLUMNS`; equal to itself alone.

    Attributes:
        least_share: of what a quota allows, the share of `tightest` that is left afterwards.
    """

    verdict: str
    reason: str = ""
    pods: float = _NAN
    pod: tuple[float, float] = (_NAN, _NAN)
    tightest: str = ""
    left: tuple[float, ...] = NOTHING
    unplaced: tuple[float, float, float] = (_NAN, _NAN, _NAN)
    fits: tuple[float, float] = (_NAN, _NAN)
    least_share: float = 0.0

    @property
    def cells(self) -> tuple[object, ...]:
        """Its cells of a row, in the order of `fit.FIT_COLUMNS`."""
        words = (self.verdict, self.reason, self.tightest)
        return (self.pods, *self.pod, *words, *self.left, *self.unplaced, *self.fits)

    @property
    def badness(self) -> tuple[int, float, float]:
        """To compare by: no before unknown before yes, then by what is short."""
        return _RANK[word(self.verdict)], -self.least_share, self.unplaced[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What all quota objects of a namespace leave together.

    Attributes:
        hard, free: of the object that leaves least; None where none limits it.
        unknown: why `free` is not known; empty where it is.
    """

    hard: tuple[Decimal | None, ...]
    free: tuple[Decimal | None, ...]
    unknown: str = ""

    @property
    def keys(self) -> list[str]:
        """The keys that it limits, which each container must therefore say."""
        return [k for k, hard in zip(LIMITED.values(), self.hard, strict=True) if hard is not None]


def quota_of(objects: Iterable[QuotaStatus], *, unknown: str = "") -> Quota:
    """Return what a namespace's quota objects leave: all must hold, so the least free decides.

    Args:
        unknown: why they are not known, if they are not.

    Source: Kubernetes, ResourceQuota: several objects in one namespace.
    """
    hard: list[Decimal | None] = [None] * len(LIMITED)
    free: list[Decimal | None] = [None] * len(LIMITED)
    for quota in objects:
        for key, most in quota.hard.items():
            place = _PLACES.get(QUOTA_ALIASES.get(key, key))
            if place is None:
                continue
            used = quota.used.get(key)
            if used is None:
                unknown = UNCOUNTED
            left, known = most - (used or ZERO), free[place]
            if known is None or left < known:
                hard[place], free[place] = most, left
    return Quota(hard=tuple(hard), free=tuple(free), unknown=unknown)


def template_of(
    pod: Pod,
    *,
    quota: Quota,
    ranges: Sequence[LimitRange] = (),
    no_ranges: str = "",
    needs_place: bool = True,
) -> Template:
    """Return the pod as it would ask to be let in, with the LimitRanges' defaults.

    Args:
        no_ranges: why the LimitRanges are not known; a pod that lacks a value may get it there.
    """
    pod = with_defaults(pod, ranges)
    need = pod_need(pod)
    refused = refusal(pod, keys=quota.keys, ranges=ranges)
    return Template(
        need=(*(need[key] for key in QUOTA_KEYS.values()), Decimal(1)),
        size=pod_size(need),
        refused="" if no_ranges else refused,
        unsure=no_ranges if refused else "",
        needs_place=needs_place,
    )


def ask(
    groups: Sequence[tuple[Template, int]],
    *,
    quota: Quota,
    nodes: FreeNodes | None,
    no_nodes: str = "",
) -> Answer:
    """Return whether so many pods of each template fit beside all that is there.

    Args:
        nodes: None where they could not be read, for the reason `no_nodes`.
    """
    largest = max((template for template, _ in groups), key=lambda each: each.size)
    pods = sum(count for _, count in groups)
    pod = (float(largest.need[0]), float(largest.need[2]))
    refused = next((each.refused for each, _ in groups if each.refused), "")
    if refused:
        return Answer(verdict=NO, reason=refused, pods=pods, pod=pod, fits=(0.0, 0.0))
    unsure = next((each.unsure for each, _ in groups if each.unsure), quota.unknown)
    if unsure:
        return Answer(verdict=unknown(unsure), pods=pods, pod=pod)
    left, tightest, least_share = list(NOTHING), "", 0.0
    for place, (name, hard, free) in enumerate(zip(LIMITED, quota.hard, quota.free, strict=True)):
        if free is None:
            continue
        rest = float(free - sum(count * each.need[place] for each, count in groups))
        left[place], share = rest, _share(rest, hard)
        if not tightest or share < least_share:
            tightest, least_share = name, share
    unplaced = None if nodes is None else _unplaced(groups, nodes)
    is_short = any(amount < 0 for amount in left)
    finds_no_node = None if unplaced is None else unplaced[0] > 0
    verdict, reason = _verdict(no_nodes, is_short=is_short, finds_no_node=finds_no_node)
    return Answer(
        verdict=verdict,
        reason=reason,
        pods=pods,
        pod=pod,
        tightest=tightest,
        left=tuple(left),
        unplaced=(_NAN, _NAN, _NAN) if unplaced is None else unplaced,
        fits=_fits(largest, quota=quota, nodes=nodes) if len(groups) == 1 else (_NAN, _NAN),
        least_share=least_share,
    )


def _share(amount: float, most: Decimal | None) -> float:
    if most:
        return amount / float(most)
    return float("-inf") if amount < 0 else 0.0


def _verdict(no_nodes: str, *, is_short: bool, finds_no_node: bool | None) -> tuple[str, str]:
    if is_short:
        return NO, "quota and nodes" if finds_no_node else "quota"
    if finds_no_node is None:
        return unknown(no_nodes), ""
    return (NO, "nodes") if finds_no_node else (YES, "")


def _unplaced(
    groups: Sequence[tuple[Template, int]], nodes: FreeNodes
) -> tuple[float, float, float]:
    """Return how many pods find no node, and the cores and bytes that they ask for."""
    wanted: Counter[PodSize] = Counter()
    for template, count in groups:
        if template.needs_place and count:
            wanted[template.size] += count
    left = nodes.unplaced(wanted) if wanted else {}
    return (
        sum(left.values()),
        sum(size.millicores * count for size, count in left.items()) / 1000,
        sum(size.memory_bytes * count for size, count in left.items()),
    )


def _fits(template: Template, *, quota: Quota, nodes: FreeNodes | None) -> tuple[float, float]:
    """Return how many pods of one template fit in the quota and on the nodes, from now on."""
    counts = [
        max(ZERO, free // need)
        for free, need in zip(quota.free, template.need, strict=True)
        if free is not None and need
    ]
    return (
        float(min(counts)) if counts else _NAN,
        _NAN if nodes is None else float(nodes.fits(template.size)),
    )
