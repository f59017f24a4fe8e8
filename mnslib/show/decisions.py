"""What a planner has to decide, each in a sentence with its amounts and its evidence.

Pure: the tables of an analysis in, at most six decisions out, the most urgent first. What is asked
of a namespace is its step (`needs`), so that its owner's page asks for the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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

MOST_NAMED = 3
"""Namespaces or clusters that a decision names; the tables have all."""

STEPS_FILE, REQUESTS_FILE = "tables/steps.csv", "tables/requests.csv"
"""Of a run directory: the steps of all namespaces, and the request file that asks for them."""


def decisions(decided: Decided) -> Actions:
    """Return what there is to decide: quotas, pods, requests, clusters, measuring, what is idle."""
    found = [
        _raise(decided.of(RAISE), decided),
        _unblock(decided.of(UNBLOCK)),
        _lower(decided.of(LOWER)),
        _spare_clusters(decided),
        _repair(decided),
        _take_back(decided.of(GIVE_BACK)),
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


def _raise(steps: Sequence[Step], decided: Decided) -> Action | None:
    if not steps:
        return None
    refused = [step for step in steps if step.refused]
    times = wording.count(sum(step.refused for step in refused), "time")
    where = "there" if len(refused) == len(steps) else f"in {len(refused):,} of them"
    why = [f"Pods were refused {times} {where}."] if refused else []
    runs = "runs" if len(steps) == 1 else "run"
    given = _amounts(_changes(steps))
    beyond = [no_headroom(short) for short in decided.shortages]
    blocked = [words for step in steps for words in step.stuck]
    return Action(
        title=f"Give {f'{given} more' if given else 'higher limits'} to "
        f"{wording.count(len(steps), 'namespace')} that {runs} short",
        text=" ".join([
            *why,
            f"{_named(steps)}.",
            *([f"Not all of it fits: {_some(beyond)}."] if beyond else []),
            *([f"More quota alone is not enough: {_some(blocked)}."] if blocked else []),
            *_requests(steps),
        ]),
    )  # fmt: skip


def _unblock(steps: Sequence[Step]) -> Action | None:
    if not steps:
        return None
    parts = [f"{step.namespace_name}: {wording.listing(step.stuck)}" for step in steps]
    whose = "whose next pod does not start" if len(steps) == 1 else "whose next pods do not start"
    return Action(
        title=f"Let pods start in {wording.count(len(steps), 'namespace')} {whose}, which no "
        "higher quota helps",
        text=f"{_some(parts, all_in=STEPS_FILE)}.",
    )


def _requests(steps: Sequence[Step]) -> list[str]:
    """Return the sentence on what the request file says of these steps."""
    out = sum(not step.is_in_file for step in steps)
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
    unused = {resource: sum(
        amount.unused for step in steps for amount in step.amounts if amount.resource == resource
    ) for resource in ("cpu", "memory")}  # fmt: skip
    owners = {step.owner for step in steps} - {""}
    whom = f"Ask {wording.count(len(owners), 'owner')} to lower" if owners else "Lower"
    spaces = wording.count(len(steps), "namespace")
    names = [
        f"{step.namespace_name} asks for {wording.quantity(amount.resource, amount.now)} of "
        f"{wording.RESOURCE_WORDS[amount.resource]} and uses "
        f"{wording.quantity(amount.resource, amount.usage)}"
        for step in steps
        for amount in step.amounts[:1]
    ]
    return Action(
        title=f"{whom} the requests of {spaces} before any of them gets more quota",
        text=f"{_amounts(unused)} are requested there and not used: "
        f"{_some(names, all_in=STEPS_FILE)}.",
    )


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


def _take_back(steps: Sequence[Step]) -> Action | None:
    if not steps:
        return None
    spare = {name: -amount for name, amount in _changes(steps).items()}
    never = "never asked for it" if len(steps) == 1 else "never asked for them"
    return Action(
        title=f"Take back {_amounts(spare)} from {wording.count(len(steps), 'namespace')} that "
        f"{never}",
        text="What was asked for at the busiest moment is then at most "
        f"{wording.percent(PEAK_SHARE_KEPT)} of the quota, and what fits now still does: "
        f"{_named(steps)}. {' '.join(_requests(steps))}",
    )


def _changes(steps: Sequence[Step]) -> dict[str, float]:
    """Return by how much each quota on requests grows or shrinks, in cores and bytes."""
    total = dict.fromkeys(REQUESTS, 0.0)
    for step in steps:
        for amount in step.amounts:
            if amount.resource in total:
                total[amount.resource] += amount.then - amount.now
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
        words = "a limit that Azure does not manage"
        if step.largest is not None:
            resource, now, then, *_ = step.largest
            change = f"from {wording.quota(resource, now)} to {wording.quota(resource, then)}"
            words = f"{wording.RESOURCE_WORDS[resource]} {change}"
        parts.append(f"{step.namespace_name} ({words})")
    return _some(parts, joint=", ", all_in=STEPS_FILE)


def _some(parts: Iterable[str], *, joint: str = "; ", all_in: str = "") -> str:
    """Return the first of them, how many more there are, and the file that has all."""
    words = list(parts)
    more = len(words) - MOST_NAMED
    if more <= 0:
        return joint.join(words)
    where = f" (all {len(words):,}: {all_in})" if all_in else ""
    return f"{joint.join(words[:MOST_NAMED])} and {more:,} more{where}"
