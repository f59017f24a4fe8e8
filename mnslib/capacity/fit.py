"""What still fits: the next pod, rolling updates, each autoscaler's maximum, pods of a size.

Pods fit in a namespace's quota, where every value must hold, and on nodes (`clusters.FreeNodes`).
Pure: a snapshot in, a frame out; amounts are exact, every formula with its unit and a worked
example is in `docs/capacity.md`. NaN means "not limited" or "unknown"; the `verdict` says which.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib import rollouts
from mnslib.capacity.clusters import PodSize, given_size, pod_size
from mnslib.capacity.quota_values import BARE, SPACE, UNCOUNTED, names_of
from mnslib.capacity.snapshot import Snapshot, by_namespace
from mnslib.kube_models import Autoscaler, Container, Pod, Workload
from mnslib.models import QUOTA_ALIASES, QUOTA_KEYS
from mnslib.packaged import packaged
from mnslib.pods import charge, holds, refusal
from mnslib.quantities import GIB, WIDE, ZERO
from mnslib.rollouts import ROLLING
from mnslib.verdicts import UNKNOWN, one_reason, unknown, unknown_reason, word

YES, NO, NONE = "yes", "no", "none"
JUST = "just"
"""A yes after which nothing more fits."""

IN_STEPS = "in steps"
"""Of a rolling update that goes on, but not with all the pods it may start at once."""

MUST_SPECIFY = "must specify "
"""How an API server's refusal begins. Source: apiserver, resourcequota/controller.go."""

BYTES_PER_CORE = 4 * GIB
"""Memory that orders like one core. Source: Azure, sizes of the D series, 4 GiB a vCPU."""

LIMITED = {**QUOTA_KEYS, "pods": "pods"}
"""What a quota is asked for: name in a column to key."""

_NAMES = {key: name for name, key in LIMITED.items()}
_RANK = {NONE: 0, YES: 1, UNKNOWN: 2, NO: 3}

NEXT_POD, ROLLING_UPDATE = "next_pod", "rolling_update"
ALL_UPDATES, AUTOSCALER = "all_rolling_updates", "autoscaler_maximum"
LARGEST_POD, MEDIAN_POD, GIVEN_POD = "largest_pod", "median_pod", "given_pod"
QUESTIONS = (NEXT_POD, ROLLING_UPDATE, ALL_UPDATES, AUTOSCALER)
"""What every namespace is asked; the other three ask how many pods of a size fit."""

FIT_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["fit"])
_WORDS = ("verdict", "reason", "tightest")
_ASKED = (*FIT_COLUMNS[:5], "decided_by")
_BY_NAMESPACE = ("quotas", "workloads", "autoscalers", "limit_ranges")

Kinds = NDArray[np.object_]


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
        `FIT_COLUMNS` (docs/tables.md). A namespace's own rows name no workload. `question` is
        `next_pod` (of a CronJob: its next run), `rolling_update` (the surge pods beside the old
        ones; of a namespace: its worst workload, `decided_by`), `all_rolling_updates`,
        `autoscaler_maximum`, and for pods of one size `largest_pod`, `median_pod` (of the
        namespace's own templates) and `given_pod`. `verdict` is `yes`, `no`, `none` (nothing to
        ask) or `unknown: <reason>`; `reason` of a no is `quota`, `nodes`, `quota and nodes`, or why
        such a pod is never let in; `in steps` of a rolling update for which not all pods fit at
        once, but that goes on: `left_*` is that of its next step. `left_*` and `fits_*` are NaN
        where nothing limits.

    Raises:
        ConfigError: if the size is none, or only half of one.
    """
    given = None
    if size := given_size(pod_cpu=pod_cpu, pod_memory=pod_memory):
        container = Container(requests=size, limits=size)
        given = Pod(namespace_name="", name="", phase="Pending", containers=(container,))
    reasons = utilization["verdict"].map(unknown_reason)
    doubted = utilization.assign(reason=reasons)[reasons.notna() & (reasons != BARE)]
    doubted = doubted.drop_duplicates(SPACE)
    doubts = dict(zip(names_of(doubted), doubted["reason"], strict=True))
    rows: list[tuple[Any, ...]] = []
    for cluster, places in groupby(names_of(snapshot.namespaces), key=itemgetter(0)):
        read = _Cluster(snapshot, cluster)
        names = [name for _, name in places]
        spaces = [_Space(read, name, doubt=doubts.get((cluster, name), "")) for name in names]
        if read.nodes is not None:
            read.nodes.prepare(one.size for space in spaces for _, one in space.workloads.values())
        for name, space in zip(names, spaces, strict=True):
            rows += [(cluster, name, *row) for row in space.rows(given)]
    return _frame(rows)


def _frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Return the rows as a frame; each answer is written once, whoever it answers."""
    asked = pd.DataFrame(rows, columns=[*_ASKED, "answer"])
    answers = {answer: place for place, answer in enumerate(dict.fromkeys(asked.pop("answer")))}
    words = {name: [getattr(each, name) for each in answers] for name in _WORDS}
    figures = {
        name: np.array([each.figures.get(name, np.nan) for each in answers], dtype="float64")
        for name in FIT_COLUMNS
        if name not in (*_ASKED, *_WORDS)
    }
    given = pd.DataFrame(words | figures).astype(dict.fromkeys(_WORDS, "str"))
    found = given.take([answers[row[-1]] for row in rows]).reset_index(drop=True)
    return pd.concat([asked, found], axis=1)[list(FIT_COLUMNS)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    """What came of one question; equal to itself alone.

    Attributes:
        figures: by their columns; those that are missing are NaN.
        least_share: of what a quota allows, the share of `tightest` that is left afterwards.
    """

    verdict: str
    reason: str = ""
    tightest: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    least_share: float = 0.0

    @property
    def badness(self) -> tuple[int, float, float]:
        """To compare by: no before unknown before yes, then by what is short."""
        short = self.figures.get("unplaced_pods", float("nan"))
        return _RANK[word(self.verdict)], -self.least_share, short


_NO_ROLL = _Answer(verdict=NONE, reason="nothing that rolls")
_NOTHING = {
    NEXT_POD: _Answer(verdict=NONE, reason="no workload"),
    ROLLING_UPDATE: _NO_ROLL,
    ALL_UPDATES: _NO_ROLL,
    AUTOSCALER: _Answer(verdict=NONE, reason="no autoscaler"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Template:
    """The next pod of a workload as it would be let in; equal to itself alone.

    Attributes:
        need: what it counts for, from `pods.charge`.
        held_by: names of the quotas that count it.
        refused: why it never is let in; empty where nothing is against it.
        unsure: why that cannot be said; empty where it can.
        needs_place: whether it must find a node; a DaemonSet's pod comes with its node.
    """

    need: Mapping[str, Decimal]
    size: PodSize
    held_by: Collection[str]
    refused: str
    unsure: str
    needs_place: bool


class _Limit(NamedTuple):
    """What one quota leaves of one key; `name` is that of `LIMITED`, or the key itself."""

    quota_name: str
    key: str
    name: str
    hard: Decimal
    free: Decimal

    def holds(self, template: _Template) -> bool:
        return self.quota_name in template.held_by

    def need_of(self, template: _Template) -> Decimal:
        return template.need.get(self.key, ZERO)


class _Cluster:
    """What one cluster says, by namespace; of what it did not say, the reason by kind."""

    def __init__(self, snapshot: Snapshot, cluster: str) -> None:
        whole = snapshot.unreachable.get(cluster, "")
        none = snapshot.no_commitment.get(cluster)
        self.unread = {
            kind: whole
            or snapshot.unread.get((cluster, kind))
            or (none if kind in ("nodes", "pods") else None)
            or f"{kind.replace('_', ' ')} not read"
            for kind in (*_BY_NAMESPACE, "nodes", "pods", "runtime_classes")
            if whole or cluster not in getattr(snapshot, kind)
        }
        self.quotas, self.workloads, self.autoscalers, self.ranges = (
            by_namespace(getattr(snapshot, kind).get(cluster, ())) for kind in _BY_NAMESPACE
        )
        self.admitted = partial(snapshot.admitted, cluster)
        unguarded = snapshot.unread.get((cluster, "safeguards"), "")
        self.undefaulted = self.unread.get("limit_ranges", "") or unguarded
        self.nodes = None if whole else snapshot.free_nodes.get(cluster)
        self.no_nodes = self.unread.get("nodes") or self.unread.get("pods", "")


class _Space:
    """One namespace: what its quota leaves, and the next pod of each of its workloads.

    All quota objects must hold, so of each value the one that leaves least decides. Source:
    Kubernetes, ResourceQuota: several objects in one namespace.
    """

    def __init__(self, cluster: _Cluster, name: str, *, doubt: str) -> None:
        self.cluster, self.name = cluster, name
        self.unknown = cluster.unread.get("quotas", "") or doubt
        self.quotas = cluster.quotas.get(name, ())
        self.limits: list[_Limit] = []
        for quota in self.quotas:
            for key, hard in quota.hard.items():
                value, used = _NAMES.get(QUOTA_ALIASES.get(key, key), key), quota.used.get(key)
                if used is not None:
                    self.limits.append(_Limit(quota.name, key, value, hard, hard - used))
                elif value in LIMITED:
                    self.unknown = UNCOUNTED
        self.ranges = cluster.ranges.get(name, ())
        self.scalers: Sequence[Autoscaler] = cluster.autoscalers.get(name, ())
        self.workloads: dict[tuple[str, str], tuple[Workload, _Template]] = {
            (each.kind, each.name): (each, self._template(each.template, each.kind))
            for each in cluster.workloads.get(name, ())
        }
        self._answers: dict[tuple[tuple[_Template, int], ...], _Answer] = {}

    def _template(self, pod: Pod, kind: str = "") -> _Template:
        """Return the pod as it would ask to be let in, with the LimitRanges' defaults."""
        pod = self.cluster.admitted(self.name, pod, self.ranges)
        need = charge(pod)
        refused = refusal(pod, [replace(one, used={}) for one in self.quotas], self.ranges)
        unread = self.cluster.undefaulted  # what may give what the pod lacks
        no_overhead = self.cluster.unread.get("runtime_classes", "") if pod.runtime_class else ""
        return _Template(
            need=need,
            size=pod_size(need),
            held_by={quota.name for quota in self.quotas if holds(quota, pod)},
            refused="" if unread else refused,
            unsure=(unread if refused else "") or no_overhead,
            needs_place=kind != "DaemonSet",
        )

    def rows(self, given: Pod | None) -> Iterator[tuple[str, str, str, str, _Answer]]:
        """Yield kind and name of the workload, question, who decided and the answer."""
        found: dict[str, dict[str, _Answer]] = defaultdict(dict)
        for question, of, answer in self._of_workloads():
            found[question][" ".join(of)] = answer
            yield *of, question, "", answer
        sizes = {}
        if own := sorted((each for _, each in self.workloads.values()), key=lambda one: one.size):
            sizes = {LARGEST_POD: own[-1], MEDIAN_POD: own[(len(own) - 1) // 2]}
        if given is not None:
            sizes[GIVEN_POD] = self._template(given)
        for question, template in sizes.items():
            yield "", "", question, "", self.ask((template, 1))
        for question in QUESTIONS:
            answer, decided_by = self._of_all(question, found[question])
            yield "", "", question, decided_by, answer

    def _of_workloads(self) -> Iterator[tuple[str, tuple[str, str], _Answer]]:
        for of, (workload, template) in self.workloads.items():
            at_once = workload.replicas if workload.kind == "CronJob" else 1
            yield NEXT_POD, of, self.ask((template, at_once))
            if workload.kind in ROLLING:
                yield ROLLING_UPDATE, of, self._roll((workload, template))
        for scaler in self.scalers:
            of = (scaler.workload_kind, scaler.workload_name)
            if of in self.workloads:
                yield AUTOSCALER, of, self.ask(self._scaled(scaler))
            else:
                yield AUTOSCALER, of, _Answer(verdict=unknown(f"{' '.join(of)} was not found"))

    def _scaled(self, scaler: Autoscaler) -> tuple[_Template, int]:
        of = (scaler.workload_kind, scaler.workload_name)
        return self.workloads[of][1], max(0, scaler.most - scaler.current)

    def _of_all(self, question: str, answers: Mapping[str, _Answer]) -> tuple[_Answer, str]:
        """Return the answer for the namespace, and the workload that decided it, where one did."""
        unread = self.cluster.unread
        if reason := unread.get("workloads") or (
            unread.get("autoscalers") if question == AUTOSCALER else None
        ):
            return _Answer(verdict=unknown(reason)), ""
        rolling = [each for each in self.workloads.values() if each[0].kind in ROLLING]
        if question == ALL_UPDATES and rolling:
            return self._roll(*rolling), ""
        if not answers:
            return _NOTHING[question], ""
        worst = max(answers, key=lambda name: answers[name].badness)
        words = {word(answer.verdict) for answer in answers.values()}
        if question != AUTOSCALER or UNKNOWN in words:
            return answers[worst], worst
        together = self.ask(*map(self._scaled, self.scalers))
        return together, worst if len(answers) == 1 else ""

    def _roll(self, *updates: tuple[Workload, _Template]) -> _Answer:
        """Return whether the updates go on: at once, or step by step.

        One that may not start all its pods is stuck only where neither those are let in that it
        needs, nor an old one may go.
        """
        rolling = [
            (workload, template) for workload, template in updates if rollouts.replaces(workload)
        ]
        if not rolling:
            return _NO_ROLL
        answer = self.ask(*((template, rollouts.at_once(one)) for one, template in rolling))
        if answer.verdict != NO:
            return answer
        needed = [(template, rollouts.needed(workload)) for workload, template in rolling]
        step = self.ask(*([each for each in needed if each[1] > 0] or needed))
        return answer if step.verdict == NO else replace(step, reason=IN_STEPS)

    def ask(self, *groups: tuple[_Template, int]) -> _Answer:
        """Return whether so many pods of each template fit beside all that is there.

        One and the same question comes up to four times.
        """
        if groups not in self._answers:
            self._answers[groups] = self._answer(groups)
        return self._answers[groups]

    def _answer(self, groups: Sequence[tuple[_Template, int]]) -> _Answer:
        largest = max((template for template, _ in groups), key=lambda each: each.size)
        figures = {
            "pods": float(sum(max(0, count) for _, count in groups)),
            "pod_cpu": float(largest.need["requests.cpu"]),
            "pod_memory": float(largest.need["requests.memory"]),
        }
        if refused := next((each.refused for each, _ in groups if each.refused), ""):
            figures |= {"fits_quota": 0.0, "fits_nodes": 0.0}
            return _Answer(verdict=NO, reason=refused, figures=figures)
        if unsure := next((each.unsure for each, _ in groups if each.unsure), self.unknown):
            return _Answer(verdict=unknown(unsure), figures=figures)
        shares: dict[str, float] = {}
        other = ""
        for one in self.limits:
            needs = [(count, one.need_of(each)) for each, count in groups if one.holds(each)]
            rest = float(one.free - sum(count * need for count, need in needs))
            is_needed = any(need for _, need in needs)  # of what none needs may be less than none
            if one.name not in LIMITED:
                is_short = is_needed and rest < 0
                other = f"exceeds {one.key} of quota {one.quota_name}" if is_short else other
            elif needs:
                left = f"left_{one.name}"
                figures[left] = min(rest, figures.get(left, rest))
                share = rest / float(one.hard) if one.hard else float("-inf") if rest < 0 else 0.0
                if is_needed or rest > 0:
                    shares[one.name] = min(share, shares.get(one.name, share))
        ranked = [name for name in LIMITED if name in shares]
        tightest = min(ranked, key=lambda name: shares[name], default="")
        figures |= self._on_nodes(groups)
        if len(groups) == 1:
            figures |= self._fits(largest)
        lacks = {"quota": min(shares.values(), default=0.0) < 0}
        lacks["nodes"] = figures.get("unplaced_pods", 0) > 0
        reason = other or " and ".join(name for name, is_short in lacks.items() if is_short)
        known = YES if self.cluster.nodes is not None else unknown(self.cluster.no_nodes)
        return _Answer(
            verdict=NO if reason else known,
            reason=reason,
            tightest=tightest,
            figures=figures,
            least_share=shares.get(tightest, 0.0),
        )

    def _on_nodes(self, groups: Sequence[tuple[_Template, int]]) -> dict[str, float]:
        """Return how many pods find no node, and the cores and bytes that they ask for."""
        if self.cluster.nodes is None:
            return {}
        wanted: Counter[PodSize] = Counter()
        for template, count in groups:
            if template.needs_place and count > 0:
                wanted[template.size] += count
        left = self.cluster.nodes.unplaced(wanted)
        return {
            "unplaced_pods": sum(left.values()),
            "unplaced_cpu": sum(size.millicores * count for size, count in left.items()) / 1000,
            "unplaced_memory": sum(size.memory_bytes * count for size, count in left.items()),
        }

    def _fits(self, template: _Template) -> dict[str, float]:
        """Return how many pods of one template fit in the quota and on the nodes, from now on."""
        counts = [
            max(ZERO, WIDE.divide_int(one.free, one.need_of(template)))
            for one in self.limits
            if one.holds(template) and one.need_of(template)
        ]
        found = {"fits_quota": float(min(counts))} if counts else {}
        if self.cluster.nodes is not None:
            found["fits_nodes"] = float(self.cluster.nodes.fits(template.size))
        return found


# What the answers come to


def unset(reason: str) -> list[str]:
    """Return `limits` of `must specify limits.cpu for: app`; empty of another reason."""
    _, is_said, keys = reason.partition(MUST_SPECIFY)
    kinds = {"limits" if key.startswith("limits.") else "requests" for key in keys.split("; ")}
    return sorted(kinds, reverse=True) if is_said else []


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Return answers of `fit_table` with what their words are made of.

    That is `kind`: `yes`, `just` (a yes after which nothing more fits), `no`, `none` or `unknown`;
    `left`: what is left of the tightest value, below 0 what is short; `fits`: how many pods do.
    Both are NaN where nothing says. `unset`: `requests`, `limits` where these have to be set.
    """
    places = pd.Index(LIMITED).get_indexer(pd.Index(table["tightest"]))
    amounts = table[[f"left_{name}" for name in LIMITED]].to_numpy("float64")
    left = np.where(places < 0, np.nan, amounts[np.arange(len(table)), places])
    fits = table[["fits_quota", "fits_nodes"]].astype("float64").min(axis=1)
    is_last = np.where(
        (table["question"] == NEXT_POD) & fits.notna(),
        fits <= table["pods"],
        (left == 0) & (table["pods"] != 0),
    )
    kind = table["verdict"].map(word)
    kind = kind.mask((kind == YES) & is_last, JUST)
    return table.assign(kind=kind, left=left, fits=fits, unset=table["reason"].map(unset))


def own_answers(table: pd.DataFrame) -> pd.DataFrame:
    """Return what namespaces were answered: a row for each of `QUESTIONS`, `judged`."""
    is_own = (table["workload_name"] == "") & table["question"].isin(QUESTIONS)
    return judged(table[is_own])


def kinds_of(own: pd.DataFrame) -> Kinds:
    """Return the kinds of `own_answers`, namespaces x `QUESTIONS`."""
    return own["kind"].to_numpy(dtype=object).reshape(-1, len(QUESTIONS))


def fit_findings(own: pd.DataFrame) -> dict[str, Any]:
    """Return of how many namespaces which question is answered no.

    Args:
        own: from `own_answers`.
    """
    kinds = kinds_of(own)
    is_known = ~np.isin(kinds, [UNKNOWN, NONE]).all(axis=1)
    is_unknown = (kinds == UNKNOWN).any(axis=1) & ~is_known
    counts = zip(QUESTIONS, (kinds == NO).sum(axis=0).tolist(), strict=True)
    return {
        "namespaces": len(kinds),
        "unknown": int(is_unknown.sum()),
        "reason": one_reason(own.loc[own["question"] == NEXT_POD, "verdict"]),
        # all at once is seldom what people do
        "failing": {name: number for name, number in counts if number and name != ALL_UPDATES},
    }


def fit_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the workloads for which something does not fit, `judged`, the most urgent first.

    Those that cannot start the next pod, of these first whose pods are never let in, then by what
    is short, with memory at `BYTES_PER_CORE`.
    """
    found = judged(table[(table["verdict"] == NO) & (table["workload_name"] != "")])
    is_memory = found["tightest"].str.startswith("memory")
    short = found["left"].mask(is_memory, found["left"] / BYTES_PER_CORE)
    found = found.assign(_asked=found["question"].map(QUESTIONS.index), _short=short)
    return found.sort_values(["_asked", "_short"], kind="stable", na_position="first")


def given_pod(table: pd.DataFrame) -> dict[str, Any]:
    """Return how many pods of the given size nodes take, and how many quotas none; empty: no size.

    Args:
        table: from `fit_table`.
    """
    found = table[table["question"] == GIVEN_POD]
    known = found[found["verdict"].map(word) != UNKNOWN]
    if known.empty:
        return {}
    nodes = known.groupby("cluster_name")["fits_nodes"].first().dropna()
    return {
        "pod_cpu": known["pod_cpu"].iloc[0],
        "pod_memory": known["pod_memory"].iloc[0],
        "nodes": nodes.to_dict(),
        "none": int((known["fits_quota"] == 0).sum()),
        "namespaces": len(known),
    }
