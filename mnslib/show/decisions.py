"""What a planner has to decide, each in a sentence with its amounts and its evidence.

Pure: the tables of an analysis in, at most six decisions out, the most urgent first. What is asked
of a namespace is its step (`needs`), so that its owner's page asks for the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from mnslib.capacity.evidence import worst_evidence
from mnslib.capacity.evidence_words import NEEDS_SOMEBODY
from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.show import wording
from mnslib.show.displays import Action, Actions
from mnslib.show.evidence import counted_words
from mnslib.show.needs import (
    GIVE_BACK,
    LOWER,
    PEAK_SHARE_KEPT,
    RAISE,
    REQUESTS,
    UNBLOCK,
    Place,
    Step,
    beyond_room,
    place,
    steps_of,
    times_refused,
)
from mnslib.show.steps import no_room, stuck

MOST_NAMED = 3
"""Namespaces or clusters that a decision names; the tables have all."""

STEPS_FILE, REQUESTS_FILE = "tables/steps.csv", "tables/requests.csv"
"""Of a run directory: the steps of all namespaces, and the request file that asks for them."""

_NOTHING_TO_MEND = "gaps"
_Row = Mapping[Any, Any]


def decisions(
    *,
    utilization: pd.DataFrame,
    layers: pd.DataFrame,
    refusals: pd.DataFrame,
    evidence: pd.DataFrame,
    commitments: pd.DataFrame,
    fit: pd.DataFrame,
    steps: pd.DataFrame,
    no_history: Collection[str] = (),
) -> Actions:
    """Return what there is to decide: quotas, pods, requests, clusters, measuring, what lies idle.

    Args:
        utilization: with advice, from `capacity.advice.with_advice`.
        layers: from `capacity.layers.layers_table`.
        refusals: from `capacity.refusals.refusals_table`.
        evidence: from `capacity.evidence.evidence_table`.
        commitments: from `capacity.promises.commitment_table`.
        fit: from `capacity.fit.fit_table`.
        steps: from `show.steps.steps_table`, which says what a request file can change.
        no_history: clusters of which the history was asked for in vain.
    """
    tables = {"utilization": utilization, "layers": layers, "refusals": refusals, "fit": fit}
    found_steps = sorted(steps_of(tables).values(), key=lambda step: step.rank)
    by_kind = {kind: [step for step in found_steps if step.kind == kind]
               for kind in (RAISE, UNBLOCK, LOWER, GIVE_BACK)}  # fmt: skip
    in_file = {place(row) for row in steps[steps["request"] != ""].to_dict("records")}
    found = [
        _raise(by_kind[RAISE], commitments, in_file),
        _unblock(by_kind[UNBLOCK]),
        _lower(by_kind[LOWER]),
        _spare_clusters(commitments),
        _repair(evidence, no_history),
        _take_back(by_kind[GIVE_BACK], in_file),
    ]
    return Actions(
        actions=[action for action in found if action is not None],
        empty="Nothing has to be decided: no quota is short or idle, no cluster is over-promised, "
        "every next pod fits, and every figure holds.",
    )


def _raise(
    steps: Sequence[Step], commitments: pd.DataFrame, in_file: Container[Place]
) -> Action | None:
    if not steps:
        return None
    refused = [step for step in steps if step.refusals]
    times = wording.count(sum(times_refused(step.refusals) for step in refused), "time")
    where = "there" if len(refused) == len(steps) else f"in {len(refused):,} of them"
    why = [f"Pods were refused {times} {where}."] if refused else []
    runs = "runs" if len(steps) == 1 else "run"
    given = _amounts(_changes(steps))
    beyond = [
        no_room(cluster, resource, room=room, wanted=wanted)
        for (cluster, resource), (room, wanted) in beyond_room(steps, commitments).items()
    ]
    blocked = [words for step in steps for words in stuck(step.gaps)]
    return Action(
        title=f"Give {f'{given} more' if given else 'higher limits'} to "
        f"{wording.count(len(steps), 'namespace')} that {runs} short",
        text=" ".join([
            *why,
            f"{_named(steps)}.",
            *([f"Not all of it fits: {_some(beyond)}."] if beyond else []),
            *([f"More quota alone is not enough: {_some(blocked)}."] if blocked else []),
            *_requests(steps, in_file),
        ]),
    )  # fmt: skip


def _unblock(steps: Sequence[Step]) -> Action | None:
    if not steps:
        return None
    parts = [f"{step.space['namespace_name']}: {wording.listing(stuck(step.gaps))}"
             for step in steps]  # fmt: skip
    whose = "whose next pod does not start" if len(steps) == 1 else "whose next pods do not start"
    return Action(
        title=f"Let pods start in {wording.count(len(steps), 'namespace')} {whose}, which no "
        "higher quota helps",
        text=f"{_some(parts, all_in=STEPS_FILE)}.",
    )


def _requests(steps: Sequence[Step], in_file: Container[Place]) -> list[str]:
    """Return the sentence on what the request file says of these steps."""
    out = sum(place(step.space) not in in_file for step in steps)
    if not out:
        return [f"As a request file: {REQUESTS_FILE}."]
    if out == len(steps):
        return ["Azure does not manage what is short or idle there, so no request file changes it."]
    return [
        f"{REQUESTS_FILE} asks for it in {len(steps) - out:,} of {len(steps):,}; of the rest "
        "Azure does not manage the quota."
    ]


def _lower(steps: Sequence[Step]) -> Action | None:
    if not steps:
        return None
    unused = {f"{resource}_request": sum(
        row["requested_unused"]
        for step in steps for row in step.rows if row["resource"] == resource
    ) for resource in ("cpu", "memory")}  # fmt: skip
    owners = {step.space["owner"] for step in steps} - {""}
    whom = f"Ask {wording.count(len(owners), 'owner')} to lower" if owners else "Lower"
    spaces = wording.count(len(steps), "namespace")
    names = [
        f"{step.space['namespace_name']} asks for "
        f"{wording.quantity(row['resource'], row['requested'])} of "
        f"{wording.RESOURCE_WORDS[row['resource']]} and uses "
        f"{wording.quantity(row['resource'], row['usage'])}"
        for step in steps
        for row in step.rows[:1]
    ]
    return Action(
        title=f"{whom} the requests of {spaces} before any of them gets more quota",
        text=f"{_amounts(unused)} are claimed there and not used: "
        f"{_some(names, all_in=STEPS_FILE)}.",
    )


def _spare_clusters(commitments: pd.DataFrame) -> Action | None:
    rows: list[Any] = commitments.to_dict("records")
    words: dict[str, list[str]] = {}
    for row in rows:
        resource, beyond = row["resource"], row["requested"] - row["without_largest_node"]
        if row["verdict"] == "overcommit":
            amount = f"{wording.quantity(resource, beyond)} of {wording.RESOURCE_WORDS[resource]}"
            said = f"requests {amount} more than its nodes without the largest give"
        elif row["verdict"] == "quota overcommit":
            limit = float(QUOTA_OVERCOMMIT_RATIO)
            beyond = wording.quantity(resource, row["committed"] - limit * row["allocatable"])
            said = f"promises {wording.times(row['committed_ratio'])} its "
            said += f"{wording.RESOURCE_WORDS[resource]}, {beyond} above {limit:g}×"
        else:
            continue
        words.setdefault(row["cluster_name"], []).append(said)
    if not words:
        return None
    where = wording.count(len(words), "cluster") if len(words) > 1 else next(iter(words))
    free = [row for row in rows if row["resource"] == "cpu" and row["headroom"] > 0]
    free = [row for row in free if row["cluster_name"] not in words]
    best = max(free, key=lambda row: row["headroom"], default=None)
    said = _some(f"{name}: {wording.listing(parts)}" for name, parts in words.items())
    if len(words) == 1:
        ((_, parts),) = words.items()
        said = f"It {wording.listing(parts)}"
    room = "No cluster has room." if best is None else (
        f"Most room: {best['cluster_name']}, {wording.cores(best['headroom'])}."
    )  # fmt: skip
    return Action(title=f"Promise nothing more on {where}", text=f"{said}. {room}")


def _repair(evidence: pd.DataFrame, no_history: Collection[str]) -> Action | None:
    worst = worst_evidence(evidence)
    bad = worst[worst["evidence"].isin(NEEDS_SOMEBODY) & (worst["evidence"] != _NOTHING_TO_MEND)]
    if bad.empty and not no_history:
        return None
    lost = _undecided(no_history)
    if bad.empty:
        whose = wording.count(len(no_history), "cluster")
        return Action(title=f"Bring back the history of {whose}", text=" ".join(lost))
    parts = []
    for word, rows in bad.groupby("evidence", sort=False):
        places = dict.fromkeys(
            rows["cluster_name"] if word == "not read" else rows["namespace_name"]
        )
        parts.append(f"{counted_words(str(word), len(rows))} ({_some(places, joint=', ')})")
    figures = "its figures" if len(bad) == 1 else "their figures"
    return Action(
        title=f"Repair what reads or counts {wording.count(len(bad), 'namespace')} before "
        f"{figures} are trusted",
        text=" ".join([f"{wording.listing(parts)}.", *lost]),
    )


def _undecided(no_history: Collection[str]) -> list[str]:
    """Return the sentence on what nobody can decide of clusters without a history."""
    if not no_history:
        return []
    whose = f"{wording.count(len(no_history), 'cluster')} ({_some(sorted(no_history), joint=', ')})"
    return [
        f"There is no history of {whose}: whose requests to lower and what quota to take back "
        "cannot be decided there."
    ]


def _take_back(steps: Sequence[Step], in_file: Container[Place]) -> Action | None:
    if not steps:
        return None
    spare = {name: -amount for name, amount in _changes(steps).items()}
    never = "never asked for it" if len(steps) == 1 else "never asked for them"
    return Action(
        title=f"Take back {_amounts(spare)} from {wording.count(len(steps), 'namespace')} that "
        f"{never}",
        text="What was asked for at the busiest moment is then at most "
        f"{wording.percent(PEAK_SHARE_KEPT)} of the quota, and what fits now still does: "
        f"{_named(steps)}. {' '.join(_requests(steps, in_file))}",
    )


def _changes(steps: Sequence[Step]) -> dict[str, float]:
    """Return by how much each quota on requests grows or shrinks, in cores and bytes."""
    total = dict.fromkeys(REQUESTS, 0.0)
    for step in steps:
        for resource, (now, then) in step.quotas.items():
            if resource in total:
                total[resource] += then - now
    return total


def _amounts(by_resource: Mapping[str, float]) -> str:
    """Return the amounts that are not zero: `43 cores and 120 GiB`."""
    return wording.listing(
        [wording.quantity(name, value) for name, value in by_resource.items() if value > 0]
    )


def _named(steps: Sequence[Step]) -> str:
    """Return the first namespaces with the largest change of their quotas, and how many more."""
    parts = []
    for step in steps:
        name = step.space["namespace_name"]
        if not step.quotas:
            parts.append(f"{name} (a limit that Azure does not manage)")
            continue
        resource, (now, then) = max(step.quotas.items(), key=_share)
        change = f"from {wording.quota(resource, now)} to {wording.quota(resource, then)}"
        parts.append(f"{name} ({wording.RESOURCE_WORDS[resource]} {change})")
    return _some(parts, joint=", ", all_in=STEPS_FILE)


def _share(change: tuple[str, tuple[float, float]]) -> float:
    """Return by how much of itself a quota changes."""
    now, then = change[1]
    return abs(then - now) / now if now else math.inf


def _some(parts: Iterable[str], *, joint: str = "; ", all_in: str = "") -> str:
    """Return the first of them, how many more there are, and the file that has all."""
    words = list(parts)
    more = len(words) - MOST_NAMED
    if more <= 0:
        return joint.join(words)
    where = f" (all {len(words):,}: {all_in})" if all_in else ""
    return f"{joint.join(words[:MOST_NAMED])} and {more:,} more{where}"
