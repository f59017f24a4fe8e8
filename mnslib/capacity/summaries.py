"""What the tables of an analysis come to: counts, shares and worst rows, and the rows of views.

Pure: frames in, values out. What is said of them, and which columns are shown, is the business of
`show`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.advice import FIX, GROW, GROW_FROM, HEALTHY, SHRINK, advice_of
from mnslib.capacity.changed import Earlier
from mnslib.capacity.clusters import FITS_GROWN
from mnslib.capacity.daily import RATIO_NOISE
from mnslib.capacity.decide import BYTES_PER_CORE, QUOTA_FIELD_OF
from mnslib.capacity.evidence import evidence_counts
from mnslib.capacity.evidence_words import EVIDENCE, GOOD_COVERAGE, NEEDS_SOMEBODY
from mnslib.capacity.fit import ALL_UPDATES, GIVEN_POD, LIMITED, NEXT_POD, NO, NONE, QUESTIONS, YES
from mnslib.capacity.layers import roll_up
from mnslib.capacity.quota_values import BARE, FULL, NO_QUOTA, SPACE, TIGHT, TIGHT_RATIO
from mnslib.capacity.refusals import WORKLOAD, refusal_findings
from mnslib.capacity.samples import against_quota, series_of
from mnslib.capacity.snapshot import CleanSnapshot, Snapshot
from mnslib.capacity.tables import Tables
from mnslib.capacity.utilization import ratio_now, verdict_counts
from mnslib.verdicts import UNKNOWN, unknown, unknown_reason, word

WEEK = 7
"""Days at both ends of a period that are compared, so that each weekday counts once. Our choice."""
LEAST_CHANGE = 0.02
"""Share of the quota by which weeks differ before more or less is said. Our choice."""
FEW_NAMESPACES = 3
"""Namespaces with the same reason that are still told apart; of more, so many are named."""
FLOAT32_NOISE = 1e-6
"""Share by which a sample, kept in float32, may lie above what was counted."""
JUST = "just"
"""A yes after which nothing more fits."""

MUST_SPECIFY = "must specify "
"""How an API server's refusal begins. Source: apiserver, resourcequota/controller.go."""

Values = dict[str, Any]
Kinds = NDArray[np.object_]


def one_reason(verdicts: Iterable[str]) -> str:
    """Return why all of them are unknown, empty where the reasons differ."""
    reasons = {unknown_reason(verdict) for verdict in verdicts}
    return (reasons.pop() or "") if len(reasons) == 1 else ""


# Who is at the quota


def utilization(worst: pd.DataFrame) -> Values:
    """Return how many namespaces are full, tight and unknown.

    Args:
        worst: from `utilization.tightest`.
    """
    return verdict_counts(worst) | {
        "bare": int((worst["verdict"] == NO_QUOTA).sum()),
        "highest": float(worst["utilization_ratio"].fillna(0).head(1).sum()),
        "reason": one_reason(worst["verdict"]),
    }


def at_quota(tables: Tables, *, limit: int) -> pd.DataFrame:
    """Return the namespaces nearest to their quota: now, day by day, in hours, and since when.

    Returns:
        The columns of `tables.utilization` for the value that `tables.daily` holds of each, the
        last change of its quota and the last crossing, and: `hours_full`, `days`, `days_full`,
        `days_tight` and `days_unseen` as `since` counts them, and how often it
        `reached` the quota; what is odd about its peak: `peak_quota` ("older" or "now") and
        `is_partly_seen`. Order: full now, then tight, then most days full; unknown ones last.
    """
    value = [*SPACE, "resource"]
    daily = counted_days(tables.daily).assign(resource=_known(tables.daily, tables.utilization))
    kept = [*value, "days", "days_full", "days_tight", "days_unseen"]
    rows = daily[kept].merge(tables.utilization, on=value)
    rank = rows["verdict"].map(word).map({FULL: 0, TIGHT: 1, UNKNOWN: 3}).fillna(2)
    rows = rows.assign(_rank=rank, _now=ratio_now(rows))
    order = ["_rank", "days_full", "days_tight", "_now"]
    rows = rows.sort_values(order, ascending=[True, False, False, False], kind="stable").head(limit)
    changes = ["quota_changes", "changed_utc", "changed_from", "changed_to"]
    rows = rows.merge(tables.evidence[[*value, *changes]], on=value, how="left")
    last = tables.crossings.sort_values(["crossed_utc", "threshold"])
    reached = last[(last["direction"] == "up") & (last["threshold"] >= 1)].groupby(value).size()
    last = last.drop_duplicates(value, keep="last")
    last = last.drop(columns=["used", "hard", "utilization_ratio"])
    rows = rows.merge(last.join(reached.rename("reached"), on=value), on=value, how="left")
    most = rows["hard"] * (1 + FLOAT32_NOISE)
    above = np.where(rows["peak_hard"] > most, "older", "now")
    return rows.assign(
        hours_full=_hours_full(tables.clean, rows),
        peak_quota=np.where(rows["peak_used"] > most, above, ""),
        is_partly_seen=rows["peak_used"].notna() & (rows["coverage"] < GOOD_COVERAGE),
        direction=rows["direction"].fillna(""),
        reached=rows["reached"].fillna(0).astype(int),
        is_over_gap=rows["is_over_gap"].eq(True),
    )


def _known(daily: pd.DataFrame, table: pd.DataFrame) -> pd.Series[str]:
    """Return the quota value of each namespace, the first that it has where none is known."""
    granted = table[table["verdict"] != NO_QUOTA].drop_duplicates(SPACE).set_index(SPACE)
    first = daily[SPACE].join(granted["resource"], on=SPACE)["resource"]
    return daily["resource"].where(daily["resource"] != "", first)


def counted_days(daily: pd.DataFrame) -> pd.DataFrame:
    """Return `daily` with its `days` in one column, below 0 before a namespace was there.

    `days_full`, `days_tight` and `days_unseen` count them.
    """
    labels: list[Any] = daily.columns.tolist()
    days = [label for label in labels if isinstance(label, date)]
    ratios, seen = daily[days].to_numpy(dtype=np.float64, copy=True), daily["first_seen"]
    born = seen.astype(object).where(seen.notna(), None).to_numpy(dtype="datetime64[D]")
    ratios[np.array(days, dtype="datetime64[D]") < born[:, None]] = -1
    return daily.drop(columns=days).assign(
        days=list(ratios),
        days_full=(ratios >= 1).sum(axis=1),
        days_tight=(ratios >= float(TIGHT_RATIO)).sum(axis=1),
        days_unseen=np.isnan(ratios).sum(axis=1),
        has_none=np.logical_not((ratios >= 0).any(axis=1)),
    )


def since(daily: pd.DataFrame) -> Values:
    """Return how many namespaces were at 90 % or above for a week or more, or at least a day.

    Args:
        daily: from `daily.daily_peaks`.
    """
    rows = counted_days(daily)
    is_long = bool(len(rows)) and len(rows["days"].iloc[0]) >= WEEK
    is_new = rows["has_none"] & rows["first_seen"].notna()
    return {
        "namespaces": len(rows),
        "tight": int((rows["days_tight"] >= (WEEK if is_long else 1)).sum()),
        "full": int((rows["days_full"] > 0).sum()),
        "is_long": is_long,
        "new": int(is_new.sum()),
        "unknown": int((rows["has_none"] & ~is_new).sum()),
        "has_none": bool(rows["has_none"].all()),
    }


def _hours_full(snapshot: CleanSnapshot, rows: pd.DataFrame) -> list[float]:
    """Return for how many hours of the lookback each value was full; NaN without samples."""
    found: list[float] = []
    for _, _, _, ratio in against_quota(snapshot, series_of(rows)):
        steps = np.count_nonzero(ratio >= 1 - RATIO_NOISE, axis=0)
        hours = np.where(np.isnan(ratio).all(axis=0), np.nan, steps * snapshot.step_minutes / 60)
        found += hours.tolist()
    return found


# What is granted, requested and used


def total_layers(layers: pd.DataFrame, resource: str) -> Values:
    """Return the sums over all namespaces, as `roll_up` names them; all unknown without any."""
    sums = roll_up(layers.assign(owner="all"), "owner")
    rows: list[Any] = sums[sums["resource"] == resource].to_dict("records")
    return rows[0] if rows else dict.fromkeys(sums.columns, float("nan"))


def layers(table: pd.DataFrame, *, resource: str = "cpu") -> Values:
    """Return what share of a resource is used, and in how many namespaces half of the rest is.

    Args:
        table: from `layers.layers_table`.
    """
    own = table[table["resource"] == resource]
    granted = own[own["reason"] != BARE]
    known = granted[granted["reason"] == ""]
    hard, idle = float(known["hard"].sum()), known["idle"].to_numpy()
    halves = np.cumsum(np.sort(idle)[::-1])
    half = int(np.searchsorted(halves, idle.sum() / 2)) + 1
    return {
        "resource": resource,
        "namespaces": len(own),
        "granted": len(granted),
        "unknown": len(granted) - len(known),
        "reason": one_reason(map(unknown, granted["reason"])),
        "hard": hard,
        "used_ratio": 1 - float(idle.sum()) / hard if hard else None,
        "half": half if idle.sum() > 0 and len(known) > 1 else 0,
    }


def layer_rows(table: pd.DataFrame, *, resource: str) -> pd.DataFrame:
    """Return the layers of one resource, most idle first, and whether there `is_granted` any."""
    own = table[table["resource"] == resource].sort_values("idle", ascending=False, kind="stable")
    is_whole = own["reason"] == ""
    return own.assign(
        idle_ratio=own["idle"] / own["hard"],
        is_granted=own["reason"] != BARE,
        bursting=own["bursting"].where(is_whole),
        over_hard=own["over_hard"].where(is_whole),
    )


def trend(by_day: pd.DataFrame) -> Values:
    """Return whether what is requested for nothing grows: medians of the first and last `WEEK`.

    Args:
        by_day: from `layers.layers_by_day`.
    """
    known = by_day[by_day["hard"] > 0]
    shares = {
        str(name): (rows["requested_unused"] / rows["hard"]).to_numpy()
        for name, rows in known.groupby("resource")
    }
    found = []
    for resource, own in shares.items():
        first, last = float(np.median(own[:WEEK])), float(np.median(own[-WEEK:]))
        way = "up" if last > first else "down"
        way = "steady" if abs(last - first) < LEAST_CHANGE else way
        amounts = {"first": first, "last": last, "median": float(np.median(own))}
        found.append({"resource": resource, "way": way, **amounts})
    least = min(map(len, shares.values()), default=0)
    return {
        "resources": found,
        "least": least,
        "is_short": least < 2 * WEEK,
        "days": (known["day"].max() - known["day"].min()).days + 1 if found else 0,
    }


# One advice each


def advised(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per namespace: that of the resource which decided its advice.

    Returns:
        The columns of `layers_table`, and `cores`, the namespace's CPU quota (0 where it has none).
        Namespaces without advice come with the row that says why.
    """
    decides_not = table["resource"] != advice_of(table)["advice_resource"]
    says_why = table["reason"].isin(["", BARE])
    keys = table.assign(_decides=decides_not, _why=says_why)
    found = keys.sort_values(["_decides", "_why"], kind="stable").drop_duplicates(SPACE)
    cores = table[table["resource"] == "cpu"].set_index(SPACE)["hard"].fillna(0).rename("cores")
    found = found.sort_values(SPACE).drop(columns=["_decides", "_why"])
    return found.join(cores, on=SPACE).reset_index(drop=True)


def advice(table: pd.DataFrame) -> Values:
    """Return how many namespaces are near their quota, and of these how many request too much."""
    spaces = advised(table)
    known = spaces[spaces["advice"] != ""]
    near = known[known["tightest_ratio"] >= GROW_FROM]
    is_unknown = ~spaces["reason"].isin(["", BARE]) & (spaces["advice"] == "")
    reasons = (unknown(reason or "nothing requested") for reason in spaces["reason"])
    calm = {name: int((known["advice"] == name).sum()) for name in (SHRINK, FIX, HEALTHY)}
    return {
        "namespaces": len(spaces),
        "known": len(known),
        "unknown": int(is_unknown.sum()),
        "reason": one_reason(reasons),
        "near": len(near),
        "asking": int((near["advice"] == FIX).sum()),
        "calm": {name: number for name, number in calm.items() if number},
    }


def advice_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return `advised`, what needs somebody first, then by CPU quota."""
    spaces = advised(table)
    ranks = {"": 4, HEALTHY: 3, SHRINK: 2, FIX: 1, GROW: 0}
    keys = spaces.assign(_rank=spaces["advice"].map(ranks))
    order = ["_rank", "cores", *SPACE]
    return keys.sort_values(order, ascending=[True, False, True, True])


# What still fits


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
    return table.assign(kind=kind, left=left, fits=fits, unset=table["reason"].map(_unset))


def _unset(reason: str) -> list[str]:
    """Return `limits` of `must specify limits.cpu, limits.memory`."""
    _, _, keys = reason.partition(MUST_SPECIFY)
    is_said = reason.startswith(MUST_SPECIFY)
    return [*dict.fromkeys(key.partition(".")[0] for key in keys.split(", "))] if is_said else []


def own_answers(table: pd.DataFrame) -> pd.DataFrame:
    """Return what namespaces were answered: a row for each of `QUESTIONS`, `judged`."""
    is_own = (table["workload_name"] == "") & table["question"].isin(QUESTIONS)
    return judged(table[is_own])


def kinds_of(own: pd.DataFrame) -> Kinds:
    """Return the kinds of `own_answers`, namespaces x `QUESTIONS`."""
    return own["kind"].to_numpy(dtype=object).reshape(-1, len(QUESTIONS))


def fit(table: pd.DataFrame) -> Values:
    """Return of how many namespaces which question is answered no.

    Args:
        table: from `fit.fit_table`.
    """
    own = own_answers(table)
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


def given_pod(table: pd.DataFrame) -> Values:
    """Return how many pods of the given size nodes take, and how many quotas none; empty: no size.

    Args:
        table: from `fit.fit_table`.
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


def placement(table: pd.DataFrame) -> Values:
    """Return the first of `placement_rows` and how many clusters are `unknown`."""
    best: list[Any] = placement_rows(table.head(1)).to_dict("records")
    return {"best": best, "unknown": int((table["verdict"].map(word) == UNKNOWN).sum())}


def placement_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `placement_table` with what decides each.

    Returns:
        Its columns, and `resource` and `limit` of the reason (empty where it is another), `left`
        by resource, now or grown, and `short`: by how much below 0 that is.
    """
    rows: list[Any] = table.to_dict("records")
    for row in rows:
        grown = "grown_" if row["verdict"] == FITS_GROWN else ""
        left = {name: row[f"{grown}left_{name}"] for name in ("cpu", "memory")}
        is_known = word(row["verdict"]) != UNKNOWN
        resource, _, limit = row["reason"].partition(": ") if is_known else ("", "", "")
        row |= {"resource": resource, "limit": limit, "left": left, "is_known": is_known}
        row["short"] = {name: -amount for name, amount in left.items() if amount < 0}
    return pd.DataFrame(rows)


def absent_region(table: pd.DataFrame) -> Values:
    """Return the region asked for and those that clusters are in; empty where it is one of them.

    Args:
        table: from `clusters.placement_table`; metrics name no region.
    """
    there = sorted({*table["location"]} - {""})
    asked = next(iter(table["new_region"]), "")
    is_absent = there and asked and asked.casefold() not in map(str.casefold, there)
    return {"asked": asked, "there": there} if is_absent else {}


# What was refused, what changed


def refusals(snapshot: Snapshot, table: pd.DataFrame) -> Values:
    """Return whose pods were refused most, and of which clusters that is unknown and why."""
    unread = {place: why for (place, kind), why in snapshot.unread.items() if kind == "events"}
    return {
        "workloads": refusal_findings(table)["refused_workloads"],
        "worst": table.head(1).to_dict("records"),
        "unread": dict(sorted({**unread, **snapshot.unreachable}.items())),
        "is_read": bool(snapshot.events),
    }


def refused_parts(parts: Sequence[Mapping[Any, Any]]) -> Values:
    """Return of a workload its first refusal and, of the quota's values, all `parts`.

    A part says the `field` of the quota, or is empty there. `short` are those that one pod more
    needs a raise of, `every` those that all missing pods do.
    """
    parts = [{**part, "field": QUOTA_FIELD_OF.get(part["key"], "")} for part in parts]
    names = {name for part in parts for name in part["containers"].split(",") if name}
    return {
        **parts[0],
        "parts": parts,
        "names": sorted(names),
        "short": [part for part in parts if part["raise_one"] > 0],
        "every": [part for part in parts if part["raise_all"] > 0],
    }


def refusal_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return `refused_parts` of each workload in `refusals_table`."""
    groups = table.groupby(list(WORKLOAD), sort=False)
    return pd.DataFrame([refused_parts(group.to_dict("records")) for _, group in groups])


def changed(table: pd.DataFrame, earlier: Earlier) -> Values:
    """Return how many changes are new findings, by the word of what they are now."""
    new = table[table["is_finding"]]
    heads = [word(verdict) for verdict in new["after"]]
    found = {name: heads.count(name) for name in (FULL, TIGHT, UNKNOWN) if name in heads}
    is_first = earlier.table is None
    return {"found": found, "others": len(table) - len(new), "is_first": is_first,
            "run": earlier.run, "note": earlier.note}  # fmt: skip


# How far the figures can be trusted


def evidence(table: pd.DataFrame) -> Values:
    """Return how many namespaces stand under each word of evidence, and which need somebody."""
    counts = evidence_counts(table)
    bad = {name: number for name, number in counts.items() if name in NEEDS_SOMEBODY}
    fine = {name: number for name, number in counts.items() if name not in NEEDS_SOMEBODY}
    return {"namespaces": sum(counts.values()), "bad": bad, "fine": fine,
            "needing": sum(bad.values())}  # fmt: skip


def evidence_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return what needs somebody, the worst first; what many namespaces share is one row.

    Returns:
        `evidence`, `reason`, `resources` (empty: all of the quota's values), `names` (the first
        of them), `namespaces`, `clusters` and `cluster_name` of the first.
    """
    bad = table[table["evidence"].isin(NEEDS_SOMEBODY)]
    spaces = bad.groupby([*SPACE, "evidence"], sort=False).agg(
        resources=("resource", lambda found: tuple(found) if len(found) <= FEW_NAMESPACES else ()),
        reason=("reason", "first"),
    )
    spaces = spaces.reset_index().assign(_own=range(len(spaces)))
    shared = ["evidence", "reason", "resources"]
    is_many = spaces.groupby(shared)["_own"].transform("size") > FEW_NAMESPACES
    spaces["_own"] = spaces["_own"].mask(is_many, -1)
    rows = spaces.groupby([*shared, "_own"], sort=False, as_index=False).agg(
        names=("namespace_name", lambda found: tuple(found)[:FEW_NAMESPACES]),
        namespaces=("namespace_name", "size"),
        clusters=("cluster_name", "nunique"),
        cluster_name=("cluster_name", "first"),
    )
    rank = rows["evidence"].map({name: place for place, name in enumerate(EVIDENCE)})
    rows = rows.assign(_rank=rank, _many=-rows["namespaces"])
    return rows.sort_values(["_rank", "_many", "cluster_name", "names"])


def reading(snapshot: Snapshot) -> pd.DataFrame:
    """Return a row per cluster: how many namespaces and quota objects, and what was not read.

    Returns:
        `cluster_name`, `namespaces`, `managed`, `quota_objects` (None: unknown); `read` and
        `history`: `passed` or `unknown: <reason>`, the latter empty where none was asked for.
    """
    reasons = {name: unknown(why) for name, why in snapshot.uncommitted.items()}
    past = {name: unknown(why) for name, why in snapshot.no_history.items()}
    frames = (snapshot.used, snapshot.requested, snapshot.usage_cpu, snapshot.usage_memory)
    seen = {name for frame in frames for name in frame.columns.unique(level=0)}
    clusters = snapshot.namespaces["cluster_name"]
    spaces = snapshot.namespaces.groupby("cluster_name")["is_managed"]
    namespaces, managed = spaces.size(), spaces.sum()
    rows = [
        {
            "cluster_name": name,
            "namespaces": int(namespaces.get(name, 0)),
            "managed": int(managed.get(name, 0)),
            # metrics tell of each of an object's values apart
            "quota_objects": len({(one.namespace_name, one.name) for one in quotas}),
            "read": reasons.get(name, "passed"),
            "history": past.get(name, "passed" if name in seen else ""),
            "is_listed": name in snapshot.quotas,
        }
        for name in sorted({*clusters, *snapshot.quotas, *reasons, *past})
        for quotas in [snapshot.quotas.get(name, ())]
    ]
    return pd.DataFrame(rows)


def by_text(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """Return which clusters a text is said of, by the text."""
    said: dict[str, list[str]] = {}
    for name, text in sorted(texts.items()):
        # a failed query is quoted with the cluster's name in it
        said.setdefault(text.replace(f'cluster="{name}"', 'cluster="…"'), []).append(name)
    return said
