"""What still fits: the next pod, rolling updates, each autoscaler's maximum, pods of a size.

Pods fit in a namespace's quota, where every value must hold, and on nodes (`nodes`). Pure: a
snapshot in, a frame out; amounts are exact, every formula with its unit and a worked example is in
`docs/capacity.md`. NaN means "not limited" or "unknown"; the row's `verdict` says which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pandas as pd

from mnslib.capacity.nodes import FreeNodes, PodSize, pod_size
from mnslib.capacity.quota_values import BARE, SPACE, UNCOUNTED, names_of
from mnslib.capacity.snapshot import Snapshot, by_namespace
from mnslib.errors import ConfigError
from mnslib.kube_models import Autoscaler, Container, LimitRange, Pod, QuotaStatus, Workload
from mnslib.models import QUOTA_ALIASES, QUOTA_KEYS
from mnslib.pods import pod_need, refusal, with_defaults
from mnslib.quantities import ZERO, parse_quantity, size_problems
from mnslib.verdicts import UNKNOWN, unknown, unknown_reason, word

YES, NO, NONE = "yes", "no", "none"

LIMITED = {**QUOTA_KEYS, "pods": "pods"}
"""What a quota is asked for: name in a column to key."""

_PLACES = {key: place for place, key in enumerate(LIMITED.values())}

_NAN = float("nan")
NOTHING = (_NAN,) * len(LIMITED)
_RANK = {NONE: 0, YES: 1, UNKNOWN: 2, NO: 3}

NEXT_POD, ROLLING_UPDATE = "next_pod", "rolling_update"
ALL_UPDATES, AUTOSCALER = "all_rolling_updates", "autoscaler_maximum"
LARGEST_POD, MEDIAN_POD, GIVEN_POD = "largest_pod", "median_pod", "given_pod"
QUESTIONS = (NEXT_POD, ROLLING_UPDATE, ALL_UPDATES, AUTOSCALER)
"""What every namespace is asked; the other three ask how many pods of a size fit."""

FIT_COLUMNS = (
    "cluster_name",
    "namespace_name",
    "workload_kind",
    "workload_name",
    "question",
    "pods",
    "pod_cpu",
    "pod_memory",
    "verdict",
    "reason",
    "decided_by",
    "tightest",
    *(f"left_{name}" for name in LIMITED),
    "unplaced_pods",
    "unplaced_cpu",
    "unplaced_memory",
    "fits_quota",
    "fits_nodes",
)
_WORDS = ("verdict", "reason", "tightest")
_ASKED = (*FIT_COLUMNS[:5], "decided_by")
_ANSWERED = tuple(name for name in FIT_COLUMNS if name not in _ASKED)
_ROLLING = ("Deployment", "StatefulSet", "DaemonSet")

_Row = tuple[str, str, str, str, str, str, "Answer"]


def fit_table(
    snapshot: Snapshot,
    *,
    utilization: pd.DataFrame,
    pod_cpu: str = "",
    pod_memory: str = "",
) -> pd.DataFrame:
    """Return what still fits: rows of each namespace, after those of its workloads.

    Args:
        snapshot: what was read.
        utilization: from `utilization_table`; what the quota counts is unknown here where it is
            there, such as by a wrong counter.
        pod_cpu, pod_memory: Kubernetes quantities of a pod, request and limit alike, of which to
            say how many fit everywhere; empty for none.

    Returns:
        `FIT_COLUMNS`. A namespace's own rows name no workload. `question` is `next_pod` (of a
        CronJob: its next run), `rolling_update` (the surge pods beside the old ones; of a
        namespace: its worst workload, `decided_by`), `all_rolling_updates`, `autoscaler_maximum`,
        and for pods of one size `largest_pod`, `median_pod` (of the namespace's own templates) and
        `given_pod`. `pods` are asked for; `pod_cpu`, `pod_memory` is what the largest of them
        requests (cores, bytes). `verdict` is `yes`, `no`, `none` (nothing to ask) or
        `unknown: <reason>`; `reason` of a no is `quota`, `nodes`, `quota and nodes`, or why such a
        pod is never let in. `left_*` is what the quota leaves afterwards, below 0 what it is short
        of, NaN where it does not limit; `tightest` the one with the least share left.
        `unplaced_*`: pods that find no node, and what they ask for. `fits_quota`, `fits_nodes`: how
        many pods of this one size fit from now on, NaN without a limit or where unknown.

    Raises:
        ConfigError: if the size is none, or only half of one.
    """
    given = _pod_of(given_size(pod_cpu=pod_cpu, pod_memory=pod_memory))
    doubts = _doubts(utilization)
    rows: list[_Row] = []
    places = snapshot.namespaces[SPACE].astype(str)
    for cluster, names in places.groupby("cluster_name")["namespace_name"]:
        read = _read(snapshot, str(cluster))
        for name in names:
            place = (str(cluster), name)
            rows += _rows(place, _space(read, name, doubts.get(place, "")), given)
    return _frame(rows)


def _frame(rows: Sequence[_Row]) -> pd.DataFrame:
    """Return the rows as a frame; each answer is written once, whoever it answers."""
    asked = pd.DataFrame(rows, columns=[*_ASKED, "answer"])
    answers = {answer: place for place, answer in enumerate(dict.fromkeys(asked.pop("answer")))}
    given = pd.DataFrame([each.cells for each in answers], columns=list(_ANSWERED))
    figures = [name for name in _ANSWERED if name not in _WORDS]
    given = given.astype(dict.fromkeys(figures, "float64"))
    found = given.take([answers[row[-1]] for row in rows]).reset_index(drop=True)
    return pd.concat([asked, found], axis=1)[list(FIT_COLUMNS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cluster:
    """What one cluster says, by namespace; of what it did not say, the reason by kind."""

    quotas: Mapping[str, Sequence[QuotaStatus]]
    workloads: Mapping[str, Sequence[Workload]]
    autoscalers: Mapping[str, Sequence[Autoscaler]]
    ranges: Mapping[str, Sequence[LimitRange]]
    nodes: FreeNodes | None
    unread: Mapping[str, str]


def _read(snapshot: Snapshot, cluster: str) -> _Cluster:
    lists: dict[str, Mapping[str, Sequence[object]]] = {
        "quotas": snapshot.quotas,
        "workloads": snapshot.workloads,
        "autoscalers": snapshot.autoscalers,
        "limit_ranges": snapshot.limit_ranges,
        "nodes": snapshot.nodes,
        "pods": snapshot.pods,
    }
    whole = snapshot.unreachable.get(cluster, "")
    unread = {
        kind: whole
        or snapshot.unread.get((cluster, kind))
        or (snapshot.no_commitment.get(cluster) if kind in ("nodes", "pods") else None)
        or f"{kind.replace('_', ' ')} not read"
        for kind, by_cluster in lists.items()
        if whole or cluster not in by_cluster
    }
    return _Cluster(
        quotas=by_namespace(snapshot.quotas.get(cluster, ())),
        workloads=by_namespace(snapshot.workloads.get(cluster, ())),
        autoscalers=by_namespace(snapshot.autoscalers.get(cluster, ())),
        ranges=by_namespace(snapshot.limit_ranges.get(cluster, ())),
        nodes=None if whole else snapshot.free_nodes.get(cluster),
        unread=unread,
    )


def given_size(**texts: str) -> dict[str, Decimal] | None:
    """Return `cpu` (cores) and `memory` (bytes) of two parameters; None where both are empty.

    Args:
        texts: Kubernetes quantities by the parameters' names, CPU first.

    Raises:
        ConfigError: if one is no quantity, or empty where the other is not.
    """
    if not any(texts.values()):
        return None
    if problems := size_problems(texts):
        raise ConfigError(" ".join(problems.values()))
    return {
        resource: parse_quantity(text)
        for resource, text in zip(("cpu", "memory"), texts.values(), strict=True)
    }


def _pod_of(size: Mapping[str, Decimal] | None) -> Pod | None:
    if size is None:
        return None
    container = Container(requests=size, limits=size)
    return Pod(namespace_name="", name="", phase="Pending", containers=(container,))


@dataclass(slots=True, kw_only=True, eq=False)
class _Space:
    """One namespace: what its quota leaves, and the next pod of each of its workloads."""

    cluster: _Cluster
    quota: Quota
    ranges: Sequence[LimitRange]
    templates: Mapping[tuple[str, str], tuple[Workload, Template]]
    autoscalers: Sequence[Autoscaler]
    answers: dict[tuple[tuple[Template, int], ...], Answer] = field(default_factory=dict)

    def template(self, pod: Pod, kind: str = "") -> Template:
        return _template(pod, kind, quota=self.quota, ranges=self.ranges, cluster=self.cluster)

    def ask(self, *groups: tuple[Template, int]) -> Answer:
        """Return the answer; one and the same question comes up to four times."""
        if groups not in self.answers:
            no_nodes = self.cluster.unread.get("nodes") or self.cluster.unread.get("pods", "")
            self.answers[groups] = ask(
                groups, quota=self.quota, nodes=self.cluster.nodes, no_nodes=no_nodes
            )
        return self.answers[groups]


def _template(
    pod: Pod, kind: str, *, quota: Quota, ranges: Sequence[LimitRange], cluster: _Cluster
) -> Template:
    no_ranges = cluster.unread.get("limit_ranges", "")
    is_placed_by_node = kind == "DaemonSet"
    return template_of(
        pod, quota=quota, ranges=ranges, no_ranges=no_ranges, needs_place=not is_placed_by_node
    )


def _doubts(utilization: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """Return why what a namespace's quota counts is unknown, where it has one."""
    reasons = utilization["verdict"].map(unknown_reason)
    found = utilization.assign(reason=reasons)[reasons.notna() & (reasons != BARE)]
    found = found.drop_duplicates(SPACE)
    return dict(zip(names_of(found), found["reason"], strict=True))


def _space(cluster: _Cluster, name: str, doubt: str) -> _Space:
    why_unknown = cluster.unread.get("quotas", "") or doubt
    quota = quota_of(cluster.quotas.get(name, ()), unknown=why_unknown)
    ranges = cluster.ranges.get(name, ())
    return _Space(
        cluster=cluster,
        quota=quota,
        ranges=ranges,
        templates={
            (each.kind, each.name): (
                each,
                _template(each.template, each.kind, quota=quota, ranges=ranges, cluster=cluster),
            )
            for each in cluster.workloads.get(name, ())
        },
        autoscalers=cluster.autoscalers.get(name, ()),
    )


def _rows(place: tuple[str, str], space: _Space, given: Pod | None) -> Iterator[_Row]:
    """Return the rows of one namespace, its workloads' first."""
    found: dict[str, dict[str, Answer]] = {}
    for question, of, answer in _of_workloads(space):
        found.setdefault(question, {})[f"{of[0]} {of[1]}"] = answer
        yield *place, *of, question, "", answer
    for question, answer in _of_sizes(space, given):
        yield *place, "", "", question, "", answer
    for question in QUESTIONS:
        answer, decided_by = _of_namespace(space, question, found.get(question, {}))
        yield *place, "", "", question, decided_by, answer


def _of_workloads(space: _Space) -> Iterator[tuple[str, tuple[str, str], Answer]]:
    for of, (workload, template) in space.templates.items():
        at_once = workload.replicas if workload.kind == "CronJob" else 1
        yield NEXT_POD, of, space.ask((template, at_once))
        if workload.kind in _ROLLING:
            yield ROLLING_UPDATE, of, space.ask((template, workload.surge))
    for scaler in space.autoscalers:
        of = (scaler.workload_kind, scaler.workload_name)
        if of in space.templates:
            answer = space.ask((space.templates[of][1], _more(scaler)))
        else:
            answer = Answer(verdict=unknown(f"{' '.join(of)} was not found"))
        yield AUTOSCALER, of, answer


def _more(scaler: Autoscaler) -> int:
    return max(0, scaler.most - scaler.current)


def _of_sizes(space: _Space, given: Pod | None) -> Iterator[tuple[str, Answer]]:
    """Return how many pods of the namespace's largest and middle template, and a given one, fit."""
    own = sorted((template for _, template in space.templates.values()), key=lambda t: t.size)
    if own:
        yield LARGEST_POD, space.ask((own[-1], 1))
        yield MEDIAN_POD, space.ask((own[(len(own) - 1) // 2], 1))
    if given is not None:
        yield GIVEN_POD, space.ask((space.template(given), 1))


def _of_namespace(
    space: _Space, question: str, answers: Mapping[str, Answer]
) -> tuple[Answer, str]:
    """Return the answer for a namespace, and the workload that decided it, where one did."""
    unread = space.cluster.unread
    reason = unread.get("workloads") or (
        unread.get("autoscalers") if question == AUTOSCALER else None
    )
    if reason:
        return Answer(verdict=unknown(reason)), ""
    rolling = [(t, w.surge) for w, t in space.templates.values() if w.kind in _ROLLING]
    if question == ALL_UPDATES and rolling:
        return space.ask(*rolling), ""
    if not answers:
        return _NOTHING[question], ""
    worst = max(answers, key=lambda name: answers[name].badness)
    if question != AUTOSCALER or any(map(_is_unknown, answers.values())):
        return answers[worst], worst
    scaled = [(s.workload_kind, s.workload_name, _more(s)) for s in space.autoscalers]
    groups = [(space.templates[kind, name][1], n) for kind, name, n in scaled]
    return space.ask(*groups), worst if len(answers) == 1 else ""


def _is_unknown(answer: Answer) -> bool:
    return word(answer.verdict) == UNKNOWN


# What one question comes to


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
    """What came of one question; figures as in `FIT_COLUMNS`; equal to itself alone.

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
        """Its cells of a row, in the order of `FIT_COLUMNS`."""
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


_NO_ROLL = Answer(verdict=NONE, reason="nothing that rolls")
_NOTHING = {
    NEXT_POD: Answer(verdict=NONE, reason="no workload"),
    ROLLING_UPDATE: _NO_ROLL,
    ALL_UPDATES: _NO_ROLL,
    AUTOSCALER: Answer(verdict=NONE, reason="no autoscaler"),
}
