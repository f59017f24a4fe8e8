"""What is granted, asked for and used, in sentences and tables, and what follows from it.

Knows nothing of how it was computed; the pictures are `charts.three_layers` and `charts.quadrant`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib import verdicts
from mnslib.capacity.advice import (
    ADVICE,
    FIX,
    GROW,
    GROW_FROM,
    HEALTHY,
    SHRINK,
    advice_of,
)
from mnslib.capacity.layers import roll_up
from mnslib.capacity.quota_values import BARE, SPACE
from mnslib.show import wording
from mnslib.show.asked import labels_sentence
from mnslib.show.displays import Lines, Table, Tag, Tags, named, right, tag

_WORDS = {"cpu": "CPU", "memory": "Memory"}
WEEK = 7
"""Days at both ends of a period that are compared, so that each weekday counts once. Our choice."""
LEAST_CHANGE = 0.02
"""Share of the quota by which weeks differ before more or less is said. Our choice."""


def total_layers(layers: pd.DataFrame, resource: str) -> dict[str, Any]:
    """Return the sums over all namespaces, as `roll_up` names them; all unknown without any."""
    sums = roll_up(layers.assign(owner="all"), "owner")
    rows: list[Any] = sums[sums["resource"] == resource].to_dict("records")
    return rows[0] if rows else dict.fromkeys(sums.columns, float("nan"))


def layers_finding(layers: pd.DataFrame, *, resource: str = "cpu") -> str:
    """Return the finding without its full stop: what is used of the quota, and where it idles."""
    word = "CPU" if resource == "cpu" else "memory"
    own = layers[layers["resource"] == resource]
    granted = own[own["reason"] != BARE]
    if granted.empty:
        return f"No namespace has a {word} quota" if len(own) else "No namespace was found"
    known = granted[granted["reason"] == ""]
    unknown = len(granted) - len(known)
    if known.empty:
        reasons = (verdicts.unknown(reason) for reason in granted["reason"])
        return wording.all_unknown(reasons, unknown, "namespace")
    hard, idle = known["hard"].sum(), known["idle"].to_numpy()
    if not hard:
        finding = f"No {word} is granted"
    else:
        finding = f"{wording.percent(1 - idle.sum() / hard)} of the granted {word} is used"
    if idle.sum() > 0 and len(known) > 1:
        halves = np.cumsum(np.sort(idle)[::-1])
        most = int(np.searchsorted(halves, halves[-1] / 2)) + 1
        finding += f"; half of the idle quota sits in {wording.count(most, 'namespace')}"
    return finding + (f"; {unknown:,} {wording.are(unknown)} unknown" if unknown else "")


def claimed_finding(by_day: pd.DataFrame) -> str:
    """Return the finding without its full stop: whether quota that is requested for nothing grows.

    The median share of the first `WEEK` days against that of the last, of two weeks or more.

    Args:
        by_day: from `capacity.layers.layers_by_day`.
    """
    known = by_day[by_day["hard"] > 0]
    if known.empty:
        return "On no day all three layers are known"
    shares = {
        str(resource): (rows["requested_unused"] / rows["hard"]).to_numpy()
        for resource, rows in known.groupby("resource")
    }
    least = min(map(len, shares.values()))
    if least < 2 * WEEK:
        parts = [
            f"{wording.percent(np.median(own))} of the {wording.RESOURCE_WORDS[resource]} quota"
            for resource, own in shares.items()
        ]
        too_few = f"{wording.count(least, 'day')} {'shows' if least == 1 else 'show'} no trend yet"
        return f"Requested but not used: {wording.listing(parts)}; {too_few}"
    days = (known["day"].max() - known["day"].min()).days + 1
    trends = (f"{wording.RESOURCE_WORDS[name]} {_trend(own)}" for name, own in shares.items())
    return f"Requested but not used, share of the quota: {', '.join(trends)} in {days:,} days"


def _trend(shares: NDArray[np.float64]) -> str:
    first, last = (float(np.median(shares[part])) for part in (slice(WEEK), slice(-WEEK, None)))
    now = wording.percent(last)
    if abs(last - first) < LEAST_CHANGE:
        return f"steady at {now}"
    return f"{'up' if last > first else 'down'} from {wording.percent(first)} to {now}"


def layers_rows(layers: pd.DataFrame, *, resource: str = "cpu", limit: int = 10) -> Table:
    """Return the layers of one resource to read, most idle first.

    Args:
        layers: from `capacity.layers.layers_table`.
        resource: `cpu` or `memory`.
        limit: rows shown; all are in the CSV.
    """
    own = layers[layers["resource"] == resource].sort_values("idle", ascending=False, kind="stable")
    shown = own.head(limit).assign(idle_ratio=lambda rows: rows["idle"] / rows["hard"])
    remarks = [Tags(_remarks(row)) for row in shown.to_dict("records")]
    is_said = any(remark.parts for remark in remarks)
    amounts = right(
        "Hard", "Requested", "Used", "Unclaimed", "Claimed, not used", "Idle", "of quota"
    )
    return Table(
        columns=[named("Namespace"), "Owner", *amounts, *(["Reason"] if is_said else [])],
        rows=[
            [
                Lines(row["namespace_name"], row["cluster_name"]),
                row["owner"],
                "–" if row["reason"] == BARE else wording.quota(resource, row["hard"]),
                *(_amount(row, name) for name in ("requested", "usage", "unrequested")),
                *(_amount(row, name) for name in ("requested_unused", "idle")),
                _amount(row, "idle_ratio"),
                *([remark] if is_said else []),
            ]
            for row, remark in zip(shown.to_dict("records"), remarks, strict=True)
        ],
        caption=f"{_WORDS[resource]} by layer, most idle first",
        note="Requested and used: 95th percentile of the last 7 days. All of them, CPU and memory, "
        "in cores and bytes: tables/layers.csv.",
        limit=limit,
        total=len(own),
    )


def _amount(row: Mapping[Any, Any], name: str) -> str:
    if row["reason"] == BARE and name not in ("requested", "usage"):
        return "–"
    if name == "idle_ratio":
        return wording.percent(row[name])
    return wording.quantity(row["resource"], row[name])


def _remarks(row: Mapping[Any, Any]) -> list[Tag]:
    """Return what is to be known of a row: why something is unknown, and what is out of order."""
    if row["reason"]:
        is_bare = row["reason"] == BARE
        return [Tag("– no quota") if is_bare else tag(verdicts.unknown(row["reason"]))]
    amounts = {"bursting": "uses {} more than it requests", "over_hard": "requested {} above hard"}
    return [
        Tag(words.format(wording.quantity(row["resource"], row[name])), "warning")
        for name, words in amounts.items()
        if row[name] > 0
    ]


def roll_up_rows(
    sums: pd.DataFrame, *, name: str = "Owner", absent: Sequence[str] = (), limit: int = 20
) -> Table:
    """Return sums of the layers to read, CPU and memory of one group below each other.

    Args:
        sums: from `capacity.layers.roll_up`; its order is kept.
        name: what the groups are.
        absent: labels that were to be summed by and that no namespace has.
        limit: rows shown; all are in the CSV.
    """
    by = sums.columns[0]
    amounts = right("Namespaces", "Hard", "Measured", "Requested", "Used", "Idle", "of quota")
    return Table(
        columns=[named(name), "Resource", *amounts, *right("Left out")],
        rows=[
            [
                row[by] or f"no {name.lower()}",
                wording.RESOURCE_WORDS[row["resource"]],
                f"{row['namespaces']:,}",
                wording.quota_sum(row["resource"], row["hard"]) if row["namespaces"] else "–",
                f"{row['measured']:,}",
                *(
                    wording.quantity(row["resource"], row[layer]) if row["measured"] else "–"
                    for layer in ("requested", "usage", "idle")
                ),
                wording.percent(row["idle_ratio"]) if row["measured"] else "–",
                _left_out(row),
            ]
            for row in sums.to_dict("records")
        ],
        note="Hard: the sum of all quotas that are known. Requested, used, idle and its share: of "
        "the namespaces measured, whose three layers are known. Left out of both: the quota is "
        f"unknown, or there is none. {labels_sentence(absent)}".rstrip(),
        limit=limit,
    )


def _left_out(row: Mapping[Any, Any]) -> str:
    counts = {"unknown": row["left_out"], "without quota": row["without_quota"]}
    found = [f"{count:,} {word}" for word, count in counts.items() if count]
    return ", ".join(found) or "–"


def advised(layers: pd.DataFrame) -> pd.DataFrame:
    """Return one row per namespace: that of the resource which decided its advice.

    Returns:
        The columns of `layers`, and `cores`, the namespace's CPU quota (0 where it has none).
        Namespaces without advice come with the row that says why.
    """
    decides_not = layers["resource"] != advice_of(layers)["advice_resource"]
    says_why = layers["reason"].isin(["", BARE])
    keys = layers.assign(_decides=decides_not, _why=says_why)
    found = keys.sort_values(["_decides", "_why"], kind="stable").drop_duplicates(SPACE)
    cores = layers[layers["resource"] == "cpu"].set_index(SPACE)["hard"].fillna(0).rename("cores")
    found = found.sort_values(SPACE).drop(columns=["_decides", "_why"])
    return found.join(cores, on=SPACE).reset_index(drop=True)


def advice_finding(layers: pd.DataFrame) -> str:
    """Return the finding without its full stop: who near the quota needs more of it, who not."""
    spaces = advised(layers)
    if spaces.empty:
        return "No namespace was found"
    known = spaces[spaces["advice"] != ""]
    unknown = int((~spaces["reason"].isin(["", BARE]) & (spaces["advice"] == "")).sum())
    if known.empty:
        reasons = (verdicts.unknown(reason or "no claim") for reason in spaces["reason"])
        return wording.all_unknown(reasons, len(spaces), "namespace").replace(
            "unknown", "without advice", 1
        )
    near = known[known["tightest_ratio"] >= GROW_FROM]
    count, asking = len(near), int((near["advice"] == FIX).sum())
    noun = wording.count(count, "namespace")
    if not count:
        parts = {words: int((known["advice"] == word).sum()) for word, words in _CALM.items()}
        found = [f"{number:,} {words}" for words, number in parts.items() if number]
        finding = f"No namespace is near its quota: {wording.listing(found)}"
    elif not asking:
        which = "The only namespace" if count == 1 else f"All {noun}"
        verb = "uses what it requests" if count == 1 else "use what they request"
        finding = f"{which} near the quota {verb}: more quota is needed"
    else:
        verb = "needs" if asking == 1 else "need"
        of = f"The only namespace near its quota {verb}" if count == 1 else (
            f"{asking:,} of the {noun} near their quota {verb}"
        )  # fmt: skip
        finding = f"{of} smaller requests, not more quota"
    return finding + (f"; {unknown:,} {wording.are(unknown)} unknown" if unknown else "")


_CALM = {SHRINK: "to shrink", FIX: "with requests to fix", HEALTHY: "healthy"}


def advice_rows(layers: pd.DataFrame, *, limit: int = 10) -> Table:
    """Return what each namespace is advised and why, what has to be done first, to read."""
    spaces = advised(layers)
    rank = spaces["advice"].map({word: n for n, word in enumerate((GROW, FIX, SHRINK, HEALTHY))})
    ordered = spaces.assign(_rank=rank.fillna(len(ADVICE))).sort_values(
        ["_rank", "cores", *SPACE], ascending=[True, False, True, True]
    )
    return Table(
        columns=[named("Namespace"), "Owner", "Advice", "Because of", *right("CPU quota")],
        rows=[
            [
                Lines(row["namespace_name"], row["cluster_name"]),
                row["owner"],
                advice_tag(row["advice"]),
                advice_reason(row),
                wording.quota("cpu", row["cores"]) if row["cores"] else "–",
            ]
            for row in ordered.head(limit).to_dict("records")
        ],
        note="One advice per namespace, in tables/utilization.csv; both resources of each: "
        "tables/layers.csv.",
        limit=limit,
        total=len(ordered),
    )


def advice_tag(advice: str) -> Tag:
    """Return the tag of an advice, in its color and with its symbol."""
    found = {GROW: Tag("↑ grow", "warning"), SHRINK: Tag("↓ shrink", "good"),
             FIX: Tag("≠ fix requests", "fix"), HEALTHY: Tag("healthy", "calm")}  # fmt: skip
    return found.get(advice, tag("no advice"))


def advice_reason(row: Mapping[Any, Any]) -> str:
    """Return in words what decided: `memory: 95 % claimed, 80 % of the requests used`."""
    if not row["advice"]:
        return row["reason"] or "a quota of 0 that nobody claims"
    share = wording.percent(row["tightest_ratio"])
    claim = f"{wording.RESOURCE_WORDS[row['resource']]}: {share} claimed"
    if wording.is_unknown(row["usage_ratio"]):
        return f"{claim}, nothing requested" if row["requested"] == 0 else claim
    return f"{claim}, {wording.percent(row['usage_ratio'])} of the requests used"
