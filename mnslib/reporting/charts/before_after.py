"""What a change does to what clusters have promised: before and after on one scale.

One cluster is drawn in detail in cores and GiB; several as one row each, over their own nodes, so
that nodes and the 1.5 line stand at the same place for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO, Commitment
from mnslib.reporting import wording
from mnslib.reporting.charts.before_after_bars import (
    HEADINGS,
    Pair,
    draw_many,
    draw_one,
    order,
    short_name,
)
from mnslib.reporting.charts.canvas import Canvas, Chart

Commitments = Mapping[str, Mapping[str, Commitment]]
"""By cluster name, then by resource: `cpu` and `memory`."""


def commitment_before_after(
    before: Commitments,
    after: Commitments,
    *,
    subject: str,
    moment: datetime,
    unknown: Mapping[str, str] | None = None,
    note: str = "",
    family: str | None = None,
) -> Chart:
    """Return the chart of what clusters have promised before and after a change.

    Args:
        before: what is promised now.
        after: what would be, for the same clusters.
        subject: what is added, as the title names it: `payments-api`, `12 namespaces`.
        moment: when clusters were read.
        unknown: clusters that could not be read, with the reason.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    subject, reasons = short_name(subject), dict(unknown or {})
    pairs: list[Pair] = []
    for name in before:
        found = [Pair(name, before[name][key], after[name][key]) for key in before[name]]
        bad = next((pair.before for pair in found if pair.before.committed_ratio is None), None)
        if bad is None:
            pairs += found
        else:
            reasons[name] = wording.unknown_reason(bad.verdict) or ""
    clusters = list(dict.fromkeys(pair.cluster for pair in pairs))
    canvas = Canvas(family=family)
    at = wording.moment(moment)
    canvas.heading(_title(pairs, reasons, subject), _subtitle(pairs, reasons, at))
    if len(clusters) + len(reasons) > 1:
        draw_many(canvas, pairs, reasons, subject)
    elif clusters:
        draw_one(canvas, pairs, subject)
    else:
        words = [f"{name}: {reason}." for name, reason in reasons.items()]
        canvas.note(" ".join(words) or "No cluster is part of this change.")
    bare = sum(pair.before.uncounted for pair in pairs if pair.resource == "cpu")
    namespaces = wording.count(bare, "namespace")
    left_out = f"Promised leaves out {namespaces} without a CPU quota. " if bare else ""
    source = (
        f"Source: node allocatable, ResourceQuota and pod requests, {at}. Free: allocatable "
        f"without the largest node minus requested, and {QUOTA_OVERCOMMIT_RATIO:f} × allocatable "
        "minus promised, whichever is smaller; after, as if the new quota were requested in full. "
        f"{left_out}{note}"
    )
    return canvas.finish(source=source.strip(), alt=_alt(pairs, reasons, subject))


def _title(pairs: list[Pair], reasons: Mapping[str, str], subject: str) -> str:
    clusters = list(dict.fromkeys(pair.cluster for pair in pairs))
    if not clusters:
        if len(reasons) == 1:
            return f"Whether {subject} can be carried by {short_name(*reasons)} is unknown"
        are = f"All {wording.count(len(reasons), 'cluster')} are unknown"
        return are if reasons else f"{subject}: no cluster is touched"
    short = [pair for pair in pairs if not pair.fits]
    if len(clusters) == 1 and not reasons:
        return _title_of_one(pairs, short, subject)
    tail = f"; {len(reasons):,} {'is' if len(reasons) == 1 else 'are'} unknown" if reasons else ""
    total = wording.count(len(clusters) + len(reasons), "cluster")
    if not short:
        who = f"{len(clusters):,} of {total}" if reasons else f"All {total}"
        who = "Both clusters" if who == "All 2 clusters" else who
        return f"{who} can carry {subject}{tail}"
    names = list(dict.fromkeys(pair.cluster for pair in short))
    who = short_name(names[0]) if len(names) == 1 else f"{len(names):,} of {total}"
    return f"{who} cannot carry {subject}: {_shortage(short)}{tail}"


def _title_of_one(pairs: list[Pair], short: list[Pair], subject: str) -> str:
    is_many = subject[:1].isdigit() and not subject.startswith("1 ")
    where = f"on {short_name(pairs[0].cluster)}"
    if short:
        return f"{subject} {'do' if is_many else 'does'} not fit {where}: {_shortage(short)}"
    if all(pair.added <= 0 for pair in pairs):
        freed = wording.listing([pair.amount(-pair.added) for pair in pairs if pair.added])
        verb, change = ("give", f"back {freed}") if freed else ("change", "no promise")
        return f"{subject} {verb}{'' if is_many else 's'} {change} {where}"
    remain = [f"{pair.bare(pair.free)} of {_of(pair)}" for pair in pairs]
    return f"{subject} fit{'' if is_many else 's'} {where}: {wording.listing(remain)} remain"


def _of(pair: Pair) -> str:
    amount = pair.bare(pair.before.room)
    return f"{amount} free cores" if pair.resource == "cpu" else f"{amount} GiB"


def _shortage(short: list[Pair]) -> str:
    """Return what is missing: the largest share of its nodes speaks for all."""
    worst = max(short, key=lambda pair: pair.missing / pair.after.allocatable)
    missing = worst.amount(worst.missing)
    kind = "" if worst.resource == "cpu" else " of memory"
    count = len({pair.cluster for pair in short})
    return f"short of {missing}{kind}" + (f" on {short_name(worst.cluster)}" if count > 1 else "")


def _subtitle(pairs: list[Pair], reasons: Mapping[str, str], at: str) -> str:
    if len({pair.cluster for pair in pairs}) + len(reasons) > 1:
        return (
            "What each cluster has promised over its nodes, before and after, "
            f"least free first, {at}"
        )
    added = [pair.amount(pair.added) for pair in pairs if pair.added > 0]
    what = f" ({', '.join(added)} of requests)" if added else ""
    return f"What is promised on the cluster before and after{what}, against its nodes, {at}"


def _alt(pairs: list[Pair], reasons: Mapping[str, str], subject: str) -> str:
    title = _title(pairs, reasons, subject)
    steps = [
        f"{HEADINGS[pair.resource]} promised on {pair.cluster}: from "
        f"{wording.times(pair.before.committed_ratio)} to "
        f"{wording.times(pair.after.committed_ratio)} its nodes"
        for pair in sorted(pairs, key=order)[:2]
    ]
    return f"{title}. {'; '.join(steps)}." if steps else f"{title}."
