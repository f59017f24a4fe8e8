"""What a planner has to decide, each in a sentence with its amounts and its evidence.

Pure: the tables of an analysis in, at most six decisions out, the most urgent first. What is asked
of a namespace is its step (`needs`), so that its owner's page asks for the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mnslib.capacity.decide import (
    GIVE_BACK,
    LOWER,
    PEAK_SHARE_KEPT,
    RAISE,
    REQUESTS,
    UNBLOCK,
    Decided,
    Shortage,
    Step,
)
from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.show import wording
from mnslib.show.displays import Action, Actions
from mnslib.show.evidence import counted_words
from mnslib.show.templates import render

MOST_NAMED = 3
"""Namespaces or clusters that a decision names; the tables have all."""

STEPS_FILE, REQUESTS_FILE = "tables/steps.csv", "tables/requests.csv"
"""Of a run directory: the steps of all namespaces, and the request file that asks for them."""


def decisions(decided: Decided) -> Actions:
    """Return what there is to decide: quotas, pods, requests, clusters, measuring, what is idle."""
    found = [
        _worded(RAISE, decided),
        _worded(UNBLOCK, decided),
        _worded(LOWER, decided),
        _spare_clusters(decided),
        _repair(decided),
        _worded(GIVE_BACK, decided),
    ]
    return Actions(
        actions=[action for action in found if action is not None],
        empty="Nothing has to be decided: no quota is short or idle, no cluster is overcommitted, "
        "every next pod fits, and every figure holds.",
    )


def no_headroom(short: Shortage) -> str:
    """Return that a cluster's headroom is smaller than what its namespaces need together."""
    resource = short.resource
    has = (
        f"headroom for {wording.quantity(resource, short.headroom)} of"
        if short.headroom
        else ("no headroom for")
    )
    return f"{short.cluster_name} has {has} the {wording.quantity(resource, short.wanted)}"


def _worded(kind: str, decided: Decided) -> Action | None:
    """Return the decision on all namespaces whose next step is of one kind."""
    steps = decided.of(kind)
    if not steps:
        return None
    text = render(
        "decisions.txt.j2",
        kind=kind,
        steps=steps,
        amounts=_amounts(steps),
        times=sum(step.refused for step in steps),
        refused=sum(step.refused > 0 for step in steps),
        shortages=_some(no_headroom(short) for short in decided.shortages),
        stuck=_some(words for step in steps for words in step.stuck),
        inside=sum(step.is_in_file for step in steps),
        owners=len({step.owner for step in steps} - {""}),
        most=MOST_NAMED,
        rest=max(0, len(steps) - MOST_NAMED),
        steps_file=STEPS_FILE,
        requests_file=REQUESTS_FILE,
        share_kept=PEAK_SHARE_KEPT,
    )
    title, _, why = text.strip().partition("\n")
    return Action(title=title, text=" ".join(why.split()))


def _spare_clusters(decided: Decided) -> Action | None:
    words: dict[str, list[str]] = {}
    for each in decided.excesses:
        resource, amount = each.resource, wording.quantity(each.resource, each.amount)
        name = wording.RESOURCE_WORDS[resource]
        said = f"requests {amount} of {name} more than its nodes without the largest give"
        if each.verdict == "quota overcommit":
            limit = float(QUOTA_OVERCOMMIT_RATIO)
            said = f"commits {wording.times(each.committed_ratio)} its {name}, "
            said += f"{amount} above {limit:g}×"
        words.setdefault(each.cluster_name, []).append(said)
    if not words:
        return None
    where = wording.count(len(words), "cluster") if len(words) > 1 else next(iter(words))
    said = _some(f"{name}: {wording.listing(parts)}" for name, parts in words.items())
    if len(words) == 1:
        ((_, parts),) = words.items()
        said = f"It {wording.listing(parts)}"
    best = decided.most_headroom
    room = "No cluster has headroom." if best is None else (
        f"Most headroom: {best[0]}, {wording.cores(best[1])}."
    )  # fmt: skip
    return Action(title=f"Commit nothing more on {where}", text=f"{said}. {room}")


def _repair(decided: Decided) -> Action | None:
    lost = _undecided(decided.no_history)
    if not decided.faults:
        whose = wording.count(len(decided.no_history), "cluster")
        title = f"Bring back the history of {whose}"
        return Action(title=title, text=" ".join(lost)) if lost else None
    parts = [
        f"{counted_words(fault.evidence, fault.total)} ({_some(fault.names, joint=', ')})"
        for fault in decided.faults
    ]
    total = sum(fault.total for fault in decided.faults)
    figures = "its figures" if total == 1 else "their figures"
    return Action(
        title=f"Repair what reads or counts {wording.count(total, 'namespace')} before "
        f"{figures} are trusted",
        text=" ".join([f"{wording.listing(parts)}.", *lost]),
    )


def _undecided(no_history: Sequence[str]) -> list[str]:
    """Return the sentence on what nobody can decide of clusters without a history."""
    if not no_history:
        return []
    whose = f"{wording.count(len(no_history), 'cluster')} ({_some(no_history, joint=', ')})"
    return [
        f"There is no history of {whose}: whose requests to lower and what quota to take back "
        "cannot be decided there."
    ]


def _amounts(steps: Sequence[Step]) -> list[str]:
    """Return what changes in all, or is not used, of CPU and memory: `43 cores`, `120 GiB`."""
    total = dict.fromkeys((*REQUESTS, "cpu", "memory"), 0.0)
    for step in steps:
        for amount in step.amounts:
            if amount.resource in total:
                change = abs(amount.then - amount.now)
                total[amount.resource] += amount.unused if step.kind == LOWER else change
    return [wording.quantity(name, value) for name, value in total.items() if value > 0]


def _some(parts: Iterable[str], *, joint: str = "; ") -> str:
    """Return the first of them, and how many more there are."""
    words = list(parts)
    more = len(words) - MOST_NAMED
    return joint.join(words[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
