"""What a planner has to decide, each in a sentence with its amounts and its evidence.

At most six decisions, the most urgent first, in the words of `decisions.txt.j2`. What is asked of a
namespace is its step, so that its owner's page asks for the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from mnslib.capacity.decide import (
    GIVE_BACK,
    LOWER,
    PEAK_SHARE_KEPT,
    RAISE,
    REQUESTS,
    UNBLOCK,
    Decided,
    Step,
)
from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.show import wording
from mnslib.show.displays import Action, Actions
from mnslib.show.templates import render_part
from mnslib.show.views import said

_KINDS = {
    "raise": RAISE,
    "let_pods_start": UNBLOCK,
    "lower_requests": LOWER,
    "spare_clusters": "",
    "repair": "",
    "give_back": GIVE_BACK,
}
"""Macros of the template, and of which kind their steps are."""


def decisions(decided: Decided) -> Actions:
    """Return what there is to decide: quotas, pods, requests, clusters, measuring, what is idle."""
    clusters = groupby(decided.excesses, lambda excess: excess.cluster_name)
    about = {
        "decided": decided,
        "clusters": [(name, list(found)) for name, found in clusters],
        "faults": [
            (said("counted", each.evidence, each.total), each.names) for each in decided.faults
        ],
        "limit": f"{QUOTA_OVERCOMMIT_RATIO:g}",
        "share_kept": PEAK_SHARE_KEPT,
    }
    actions = []
    for macro, kind in _KINDS.items():
        steps = decided.of(kind)
        values = about | {"steps": steps, "amounts": _amounts(steps)}
        title, _, why = render_part("decisions.txt.j2", macro, values).strip().partition("\n")
        if title:
            actions.append(Action(title=title, text=" ".join(why.split())))
    return Actions(
        actions=actions,
        empty="Nothing has to be decided: no quota is short or idle, no cluster is overcommitted, "
        "every next pod fits, and every figure holds.",
    )


def _amounts(steps: Iterable[Step]) -> list[str]:
    """Return what changes in all, or is not used, of CPU and memory: `43 cores`, `120 GiB`."""
    total = dict.fromkeys((*REQUESTS, "cpu", "memory"), 0.0)
    for step in steps:
        for amount in step.amounts:
            if amount.resource in total:
                change = abs(amount.then - amount.now)
                total[amount.resource] += amount.unused if step.kind == LOWER else change
    return [wording.quantity(name, value) for name, value in total.items() if value > 0]
