"""What still fits: the next pod, rolling updates, each autoscaler's maximum, pods of a size.

Pods fit in a namespace's quota, where every value must hold, and on nodes (`clusters.FreeNodes`).
Pure: a snapshot in, a frame out; amounts are exact, every formula with its unit and a worked
example is in `docs/capacity.md`. NaN means "not limited" or "unknown"; the `verdict` says which.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.clusters import FreeNodes, PodSize, given_size, pod_size
from mnslib.capacity.quota_values import BARE, SPACE, UNCOUNTED, names_of
from mnslib.capacity.snapshot import Snapshot, by_namespace
from mnslib.kube_models import Autoscaler, Container, Pod, Workload
from mnslib.models import QUOTA_ALIASES, QUOTA_KEYS
from mnslib.pods import pod_need, refusal, with_defaults
from mnslib.quantities import GIB, ZERO
from mnslib.verdicts import UNKNOWN, one_reason, unknown, unknown_reason, word

YES, NO, NONE = "yes", "no", "none"
JUST = "just"
"""A yes after which nothing more fits."""

MUST_SPECIFY = "must specify "
"""How an API server's refusal begins. Source: apiserver, resourcequota/controller.go."""

BYTES_PER_CORE = 4 * GIB
"""Memory that orders like one core. Source: Azure, sizes of the D series, 4 GiB a vCPU."""

LIMITED = {**QUOTA_KEYS, "pods": "pods"}
"""What a quota is asked for: name in a column to key."""

_PLACES = {key: place for place, key in enumerate(LIMITED.values())}
_PLACES |= {alias: _PLACES[key] for alias, key in QUOTA_ALIASES.items()}
_CPU, _MEMORY = (_PLACES[f"requests.{name}"] for name in ("cpu", "memory"))
_ONE = Decimal(1)
_RANK = {NONE: 0, YES: 1, UNKNOWN: 2, NO: 3}

NEXT_POD, ROLLING_UPDATE = "next_pod", "rolling_update"
ALL_UPDATES, AUTOSCALER = "all_rolling_updates", "autoscaler_maximum"
LARGEST_POD, MEDIAN_POD, GIVEN_POD = "largest_pod", "median_pod", "given_pod"
QUESTIONS = (NEXT_POD, ROLLING_UPDATE, ALL_UPDATES, AUTOSCALER)
"""What every namespace is asked; the other three ask how many pods of a size fit."""

FIT_COLUMNS = (
    "cluster_name", "namespace_name", "workload_kind", "workload_name", "question", "pods",
    "pod_cpu", "pod_memory", "verdict", "reason", "decided_by", "tightest",
    *(f"left_{name}" for name in LIMITED), "unplaced_pods", "unplaced_cpu", "unplaced_memory",
    "fits_quota", "fits_nodes",
)  # fmt: skip
_WORDS = ("verdict", "reason", "tightest")
_ANSWERED = [name for name in FIT_COLUMNS[5:] if name != "decided_by"]
_ROLLING = ("Deployment", "StatefulSet", "DaemonSet")
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
    given = None
    if size := given_size(pod_cpu=pod_cpu, pod_memory=pod_memory):
        container = Container(requests=size, limits=size)
        given = Pod(namespace_name="", name="", phase="Pending", containers=(container,))
    reasons = utilization["verdict"].map(unknown_reason)
    doubted = utilization.assign(reason=reasons)[reasons.notna() & (reasons != BARE)]
    doubted = doubted.drop_duplicates(SPACE)
    doubts = dict(zip(names_of(doubted), doubted["reason"], strict=True))
    asks: dict[_Ask, int] = {}  # one and the same comes up to four times
    rows: list[tuple[Any, ...]] = []
    for cluster, places in groupby(names_of(snapshot.namespaces), key=itemgetter(0)):
        read = _Cluster(snapshot, cluster)
        for _, name in places:
            space = _Space(read, name, doubt=doubts.get((cluster, name), ""))
            for *row, asked in space.rows(given):
                numbers = {by: asks.setdefault(ask, len(asks)) for by, ask in asked.items()}
                rows.append((cluster, name, *row, numbers))
    answers = _answers([*asks])
    # no before unknown before yes, then by what is short
    ranks = answers["verdict"].map(word).map(_RANK)
    bad = list(zip(ranks, -answers["least_share"], answers["unplaced_pods"], strict=True))
    frame = pd.DataFrame(rows, columns=[*FIT_COLUMNS[:5], "asked"])
    every: list[dict[str, int]] = frame.pop("asked").tolist()
    decides = [_decides(numbers, bad) for numbers in every]
    chosen = [numbers[by] for numbers, by in zip(every, decides, strict=True)]
    found = answers.take(chosen).reset_index(drop=True)
    return pd.concat([frame.assign(decided_by=decides), found], axis=1)[list(FIT_COLUMNS)]


def _decides(numbers: Mapping[str, int], bad: Sequence[tuple[float, ...]]) -> str:
    """Return which of several answers is given: that to all together where each is known.

    Else the worst.
    """
    if "" in numbers and (
        len(numbers) == 1 or all(bad[number][0] != _RANK[UNKNOWN] for number in numbers.values())
    ):
        return ""
    return max(filter(None, numbers), key=lambda by: bad[numbers[by]])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Template:
    """The next pod of a workload as it would be let in; equal to itself alone.

    Attributes:
        need: in the order of `LIMITED`.
        refused: why it never is let in; empty where nothing is against it.
        unsure: why that cannot be said; empty where it can.
        needs_place: whether it must find a node; a DaemonSet's pod comes with its node.
    """

    space: _Space
    need: Sequence[Decimal]
    size: PodSize
    refused: str
    unsure: str
    needs_place: bool


_Pods = tuple[tuple[_Template, int], ...]
"""So many pods of each template, all of one namespace."""


class _Ask(NamedTuple):
    """Whether pods fit beside all that is there, or what is known of that."""

    pods: _Pods = ()
    verdict: str = ""
    reason: str = ""


_NO_ROLL = _Ask(verdict=NONE, reason="nothing that rolls")
_NOTHING = {
    NEXT_POD: _Ask(verdict=NONE, reason="no workload"),
    ROLLING_UPDATE: _NO_ROLL,
    ALL_UPDATES: _NO_ROLL,
    AUTOSCALER: _Ask(verdict=NONE, reason="no autoscaler"),
}


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
            for kind in (*_BY_NAMESPACE, "nodes", "pods")
            if whole or cluster not in getattr(snapshot, kind)
        }
        self.quotas, self.workloads, self.autoscalers, self.ranges = (
            by_namespace(getattr(snapshot, kind).get(cluster, ())) for kind in _BY_NAMESPACE
        )
        self.nodes = None if whole else snapshot.free_nodes.get(cluster)
        no_nodes = self.unread.get("nodes") or self.unread.get("pods", "")
        self.fits = YES if self.nodes is not None else unknown(no_nodes)


class _Space:
    """One namespace: what its quota leaves, and what is asked of it.

    All quota objects must hold, so of each value the one that leaves least decides. Source:
    Kubernetes, ResourceQuota: several objects in one namespace.
    """

    def __init__(self, cluster: _Cluster, name: str, *, doubt: str) -> None:
        self.cluster = cluster
        self.unknown = cluster.unread.get("quotas", "") or doubt
        # in the order of `LIMITED`, NaN where nothing limits
        self.hard, self.free = [math.nan] * len(LIMITED), [ZERO] * len(LIMITED)
        for quota in cluster.quotas.get(name, ()):
            for key, hard in quota.hard.items():
                if key not in _PLACES:
                    continue
                place, used = _PLACES[key], quota.used.get(key)
                if used is None:
                    self.unknown = UNCOUNTED
                free = hard - (used or ZERO)
                if math.isnan(self.hard[place]) or free < self.free[place]:
                    self.hard[place], self.free[place] = float(hard), free
        self.ranges = cluster.ranges.get(name, ())
        self.scalers: Sequence[Autoscaler] = cluster.autoscalers.get(name, ())
        self.workloads: dict[tuple[str, str], tuple[Workload, _Template]] = {
            (each.kind, each.name): (each, self._template(each.template, each.kind))
            for each in cluster.workloads.get(name, ())
        }

    def _template(self, pod: Pod, kind: str = "") -> _Template:
        """Return the pod as it would ask to be let in, with the LimitRanges' defaults."""
        pod = with_defaults(pod, self.ranges)
        need = pod_need(pod)
        keys = [key for key, hard in zip(LIMITED.values(), self.hard, strict=True) if hard >= 0]
        refused = refusal(pod, keys=keys, ranges=self.ranges)
        unread = self.cluster.unread.get("limit_ranges", "")  # they may give what the pod lacks
        return _Template(
            space=self,
            need=[need.get(key, _ONE) for key in LIMITED.values()],
            size=pod_size(need),
            refused="" if unread else refused,
            unsure=unread if refused else "",
            needs_place=kind != "DaemonSet",
        )

    def rows(self, given: Pod | None) -> Iterator[tuple[str, str, str, Mapping[str, _Ask]]]:
        """Yield kind and name of the workload, question, and what is asked, by who decides it."""
        found: dict[str, dict[str, _Ask]] = defaultdict(dict)
        for question, of, ask in self._of_workloads():
            found[question][" ".join(of)] = ask
            yield *of, question, {"": ask}
        sizes = {}
        if own := sorted((each for _, each in self.workloads.values()), key=lambda one: one.size):
            sizes = {LARGEST_POD: own[-1], MEDIAN_POD: own[(len(own) - 1) // 2]}
        if given is not None:
            sizes[GIVEN_POD] = self._template(given)
        for question, template in sizes.items():
            yield "", "", question, {"": _Ask(((template, 1),))}
        for question in QUESTIONS:
            yield "", "", question, self._of_all(question, found[question])

    def _of_workloads(self) -> Iterator[tuple[str, tuple[str, str], _Ask]]:
        for of, (workload, template) in self.workloads.items():
            at_once = workload.replicas if workload.kind == "CronJob" else 1
            yield NEXT_POD, of, _Ask(((template, at_once),))
            if workload.kind in _ROLLING:
                yield ROLLING_UPDATE, of, _Ask(((template, workload.surge),))
        for scaler in self.scalers:
            of = (scaler.workload_kind, scaler.workload_name)
            if of in self.workloads:
                count = max(0, scaler.most - scaler.current)
                yield AUTOSCALER, of, _Ask(((self.workloads[of][1], count),))
            else:
                yield AUTOSCALER, of, _Ask(verdict=unknown(f"{' '.join(of)} was not found"))

    def _of_all(self, question: str, asked: Mapping[str, _Ask]) -> Mapping[str, _Ask]:
        """Return what decides of the namespace: its workloads, or, without a name, all together."""
        unread = self.cluster.unread
        if reason := unread.get("workloads") or (
            unread.get("autoscalers") if question == AUTOSCALER else None
        ):
            return {"": _Ask(verdict=unknown(reason))}
        rolling = [(t, w.surge) for w, t in self.workloads.values() if w.kind in _ROLLING]
        if question == ALL_UPDATES and rolling:
            return {"": _Ask(tuple(rolling))}
        if question == AUTOSCALER and len(asked) > 1:
            return {"": _Ask(sum((ask.pods for ask in asked.values()), ())), **asked}
        return asked or {"": _NOTHING[question]}


def _answers(asks: Sequence[_Ask]) -> pd.DataFrame:
    """Return the answers: the columns of `FIT_COLUMNS` that hold them, NaN where nothing says.

    And `least_share`: of what a quota allows, the share of `tightest` that is left afterwards.
    """
    said = {number: ask[1:] for number, ask in enumerate(asks) if not ask.pods}
    fixed = pd.DataFrame(list(said.values()), list(said), ["verdict", "reason"])
    groups = {number: ask.pods for number, ask in enumerate(asks) if ask.pods}
    pods, names = list(groups.values()), np.array([*LIMITED])
    spaces = [group[0][0].space for group in pods]
    starts = np.cumsum([0, *map(len, pods)])[:-1]
    counts = _each([count for group in pods for _, count in group])
    needs = _each([each.need for group in pods for each, _ in group]).reshape(-1, len(names))
    asked = np.add.reduceat(needs * counts[:, None], starts)
    free = _each([space.free for space in spaces]).reshape(asked.shape)
    hard = np.array([space.hard for space in spaces], dtype="float64").reshape(asked.shape)
    left = np.where(np.isnan(hard), np.nan, (free - asked).astype("float64"))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(hard == 0, np.where(left < 0, -np.inf, 0.0), left / hard)
    share = np.where(np.isnan(hard), np.inf, share)
    refused = _each([next((one.refused for one, _ in of if one.refused), "") for of in pods])
    unsure = _each(
        [
            next((one.unsure for one, _ in group if one.unsure), space.unknown)
            for group, space in zip(pods, spaces, strict=True)
        ]
    )
    is_open = (refused == "") & (unsure == "")
    is_limited = is_open & np.isfinite(hard).any(axis=1)
    least = np.where(is_limited, share.min(axis=1, initial=np.inf), 0.0)
    one = needs[starts]
    limits = np.isfinite(hard) & (one != ZERO) & (np.diff(starts, append=len(needs)) == 1)[:, None]
    more = np.full(hard.shape, np.inf)
    more[limits] = free[limits] // one[limits]
    fits_quota = np.where(limits.any(axis=1), more.min(axis=1, initial=np.inf).clip(0), np.nan)
    *unplaced, fits_nodes = _on_nodes(pods).T
    figures = np.column_stack([left, *unplaced, fits_quota, fits_nodes])
    figures[~is_open] = np.nan
    figures[refused != "", -2:] = 0.0
    lacks = least < 0, figures[:, len(names)] > 0
    reason = np.select(
        [~is_open, lacks[0] & lacks[1], *lacks],
        [refused, "quota and nodes", "quota", "nodes"],
        "",
    )
    largest = [max((each for each, _ in group), key=lambda each: each.size) for group in pods]
    known = pd.DataFrame(
        {
            "verdict": np.select(
                [reason != "", ~is_open],
                [NO, _each([unknown(why) for why in unsure])],
                _each([space.cluster.fits for space in spaces]),
            ),
            "reason": reason,
            "tightest": np.where(is_limited, names[share.argmin(axis=1)], ""),
            "pods": np.add.reduceat(counts, starts),
            "pod_cpu": [each.need[_CPU] for each in largest],
            "pod_memory": [each.need[_MEMORY] for each in largest],
            "least_share": least,
            **dict(zip(FIT_COLUMNS[12:], figures.T, strict=True)),
        },
        index=list(groups),
    )
    answers = pd.concat([known, fixed]).sort_index().reindex(columns=[*_ANSWERED, "least_share"])
    answers = answers.fillna({"tightest": "", "least_share": 0.0})
    return answers.astype({name: "float64" for name in answers if name not in _WORDS})


def _each(values: Sequence[Any]) -> NDArray[np.object_]:
    return np.array(values, dtype=object)


def _on_nodes(groups: Sequence[_Pods]) -> NDArray[np.float64]:
    """Return how many pods of each group find no node, and the cores and bytes they ask for.

    And how many of its one template nodes still take; NaN where nodes are unknown.
    """
    found = np.full((len(groups), 4), np.nan)
    sizes: dict[FreeNodes, set[PodSize]] = defaultdict(set)
    for (template, _), *others in groups:
        if (nodes := template.space.cluster.nodes) is not None and not others:
            sizes[nodes].add(template.size)
    for nodes, several in sizes.items():
        nodes.look_at(several)
    for row, group in zip(found, groups, strict=True):
        nodes = group[0][0].space.cluster.nodes
        if nodes is None:
            continue
        wanted: dict[PodSize, int] = {}
        for each, count in group:
            if each.needs_place and count:
                wanted[each.size] = wanted.get(each.size, 0) + count
        left = nodes.unplaced(wanted)
        row[0] = sum(left.values())
        row[1] = sum(size.millicores * count for size, count in left.items()) / 1000
        row[2] = sum(size.memory_bytes * count for size, count in left.items())
        if len(group) == 1:
            row[3] = nodes.fits(group[0][0].size)
    return found


# What the answers come to


def unset(reason: str) -> list[str]:
    """Return `limits` of `must specify limits.cpu, limits.memory`; empty of another reason."""
    _, _, keys = reason.partition(MUST_SPECIFY)
    is_said = reason.startswith(MUST_SPECIFY)
    return [*dict.fromkeys(key.partition(".")[0] for key in keys.split(", "))] if is_said else []


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
