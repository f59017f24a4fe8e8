"""What the tables on quotas, layers and evidence come to: counts, shares, and the rows of views.

Pure: frames in, values out. What is said of them, and which columns are shown, is the business of
`show`; what the other tables come to is said where they are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity.daily import RATIO_NOISE
from mnslib.capacity.evidence_words import EVIDENCE, GOOD_COVERAGE, NEEDS_SOMEBODY
from mnslib.capacity.layers import roll_up
from mnslib.capacity.quota_values import BARE, FULL, NO_QUOTA, SPACE, TIGHT
from mnslib.capacity.samples import FLOAT32_NOISE
from mnslib.capacity.snapshot import Snapshot, series_of
from mnslib.capacity.tables import Tables
from mnslib.capacity.utilization import ratio_now, verdict_counts
from mnslib.verdicts import UNKNOWN, one_reason, unknown, word

WEEK = 7
"""Days at both ends of a period that are compared, so that each weekday counts once. Our choice."""
LEAST_CHANGE = 0.02
"""Share of the quota by which weeks differ before more or less is said. Our choice."""
FEW_NAMESPACES = 3
"""Namespaces with the same reason that are still told apart; of more, so many are named."""

Findings = dict[str, Any]

# Who is at the quota


def utilization_findings(worst: pd.DataFrame) -> Findings:
    """Return how many namespaces are full, tight, unknown, and unknown in `partly` one value.

    Args:
        worst: from `utilization.tightest`.
    """
    return verdict_counts(worst) | {
        "bare": int((worst["verdict"] == NO_QUOTA).sum()),
        "partly": int(worst["unknown_values"].astype(bool).sum()),
        "highest": float(worst["utilization_ratio"].fillna(0).head(1).sum()),
        "reason": one_reason(worst["verdict"]),
    }


def at_quota(tables: Tables, *, limit: int) -> pd.DataFrame:
    """Return the namespaces nearest to their quota: now, day by day, in hours, and since when.

    Returns:
        The columns of `tables.utilization` for the value that `tables.daily` holds of each (the
        first that it has where none is known), of `tables.days`, the last change of its quota and
        the last crossing, and: `hours_full` of the lookback (NaN without samples), and how often it
        `reached` the quota; what is odd about its peak: `peak_quota` ("older" or "now") and
        `is_partly_seen`. Order: full now, then tight, then most days full; unknown ones last.
    """
    value = [*SPACE, "resource"]
    table, days = tables.utilization, tables.days
    first = table[table["verdict"] != NO_QUOTA].drop_duplicates(SPACE).set_index(SPACE)["resource"]
    first = days[SPACE].join(first, on=SPACE)["resource"]
    days = days.assign(resource=days["resource"].where(days["resource"] != "", first))
    kept = [*value, "days", "days_full", "days_tight", "days_unseen"]
    rows = days[kept].merge(table, on=value)
    rank = rows["verdict"].map(word).map({FULL: 0, TIGHT: 1, UNKNOWN: 3}).fillna(2)
    rows = rows.assign(_rank=rank, _now=ratio_now(rows))
    order = ["_rank", "days_full", "days_tight", "_now"]
    rows = rows.sort_values(order, ascending=[True, False, False, False], kind="stable").head(limit)
    changes = ["quota_changes", "changed_utc", "changed_from", "changed_to"]
    rows = rows.merge(tables.evidence[[*value, *changes]], on=value, how="left")
    last = tables.crossings[tables.crossings["namespace_name"].isin(rows["namespace_name"])]
    last = last.sort_values(["crossed_utc", "threshold"])
    reached = last[(last["direction"] == "up") & (last["threshold"] >= 1)].groupby(value).size()
    last = last.drop_duplicates(value, keep="last")
    last = last.drop(columns=["used", "hard", "utilization_ratio"])
    rows = rows.merge(last.join(reached.rename("reached"), on=value), on=value, how="left")
    rows = rows.merge(tables.worst[[*SPACE, "unknown_values"]], on=SPACE)
    most = rows["hard"] * (1 + FLOAT32_NOISE)
    above = np.where(rows["peak_hard"] > most, "older", "now")
    clean = tables.clean
    ratio = clean.ratio(clean.used.columns.get_indexer(series_of(rows)))
    hours = np.count_nonzero(ratio >= 1 - RATIO_NOISE, axis=0) * clean.step_minutes / 60
    return rows.assign(
        hours_full=np.where(np.isnan(ratio).all(axis=0), np.nan, hours),
        peak_quota=np.where(rows["peak_used"] > most, above, ""),
        is_partly_seen=rows["peak_used"].notna() & (rows["coverage"] < GOOD_COVERAGE),
        direction=rows["direction"].fillna(""),
        reached=rows["reached"].fillna(0).astype(int),
        is_over_gap=rows["is_over_gap"].eq(True),
    )


def since_findings(days: pd.DataFrame) -> Findings:
    """Return how many namespaces were at 90 % or above for a week or more, or at least a day.

    Args:
        days: from `daily.counted_days`.
    """
    is_long = bool(len(days)) and len(days["days"].iloc[0]) >= WEEK
    is_new = days["has_none"] & days["first_seen"].notna()
    return {
        "namespaces": len(days),
        "tight": int((days["days_tight"] >= (WEEK if is_long else 1)).sum()),
        "full": int((days["days_full"] > 0).sum()),
        "is_long": is_long,
        "new": int(is_new.sum()),
        "unknown": int((days["has_none"] & ~is_new).sum()),
        "has_none": bool(days["has_none"].all()),
    }


# What is granted, requested and used


def total_layers(layers: pd.DataFrame, resource: str) -> Findings:
    """Return the sums over all namespaces, as `roll_up` names them; all unknown without any."""
    sums = roll_up(layers.assign(owner="all"), "owner")
    rows: list[Any] = sums[sums["resource"] == resource].to_dict("records")
    return rows[0] if rows else dict.fromkeys(sums.columns, float("nan"))


def layer_findings(layers: pd.DataFrame, resource: str) -> Findings:
    """Return what share of a resource is used, and in how many namespaces half of the rest is."""
    own = layers[layers["resource"] == resource]
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


def layer_rows(layers: pd.DataFrame, resource: str) -> pd.DataFrame:
    """Return the layers of one resource, most idle first, and whether there `is_granted` any."""
    own = layers[layers["resource"] == resource]
    own = own.sort_values("idle", ascending=False, kind="stable")
    is_whole = own["reason"] == ""
    return own.assign(
        idle_ratio=own["idle"] / own["hard"],
        is_granted=own["reason"] != BARE,
        bursting=own["bursting"].where(is_whole),
        over_hard=own["over_hard"].where(is_whole),
    )


def trend_findings(by_day: pd.DataFrame) -> Findings:
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
        first, last, median = (float(np.median(part)) for part in (own[:WEEK], own[-WEEK:], own))
        way = "steady" if abs(last - first) < LEAST_CHANGE else "up" if last > first else "down"
        amounts = {"first": first, "last": last, "median": median}
        found.append({"resource": resource, "way": way, **amounts})
    least = min(map(len, shares.values()), default=0)
    return {
        "resources": found,
        "least": least,
        "is_short": least < 2 * WEEK,
        "days": (known["day"].max() - known["day"].min()).days + 1 if found else 0,
    }


# How far the figures can be trusted


def evidence_findings(worst: pd.DataFrame) -> Findings:
    """Return how many namespaces stand under each word of evidence, and which need somebody.

    Args:
        worst: from `evidence.worst_evidence`.
    """
    found = worst["evidence"].value_counts()
    counts = {name: int(found[name]) for name in EVIDENCE if name in found}
    bad = {name: number for name, number in counts.items() if name in NEEDS_SOMEBODY}
    return {
        "namespaces": len(worst),
        "bad": bad,
        "fine": {name: number for name, number in counts.items() if name not in bad},
        "needing": sum(bad.values()),
    }


def impossible_findings(evidence: pd.DataFrame) -> dict[str, Any]:
    """Return how many `samples` cannot be, and the `names` of the namespaces that have them."""
    rows = evidence[evidence["impossible_samples"] > 0]
    names = list(dict.fromkeys(rows["namespace_name"]))
    return {"samples": int(rows["impossible_samples"].sum()), "names": names}


def evidence_rows(evidence: pd.DataFrame) -> pd.DataFrame:
    """Return what needs somebody, the worst first; what many namespaces share is one row.

    Returns:
        `evidence`, `reason`, `resources` (empty: all of the quota's values), `names` (the first
        of them), `namespaces`, `clusters` and `cluster_name` of the first.
    """
    bad = evidence[evidence["evidence"].isin(NEEDS_SOMEBODY)]
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
    reasons, past = snapshot.uncommitted, snapshot.no_history
    frames = (snapshot.used, snapshot.requested, snapshot.usage_cpu, snapshot.usage_memory)
    seen = {name for frame in frames for name in frame.columns.unique(level=0)}
    spaces = snapshot.namespaces.groupby("cluster_name")["is_managed"].agg(["size", "sum"])
    names = sorted({*spaces.index, *snapshot.quotas, *reasons, *past})
    # metrics tell of each of an object's values apart
    objects = [
        {(one.namespace_name, one.name) for one in snapshot.quotas.get(name, ())} for name in names
    ]
    return pd.DataFrame(
        {
            "cluster_name": names,
            "namespaces": spaces["size"].reindex(names, fill_value=0).to_list(),
            "managed": spaces["sum"].reindex(names, fill_value=0).astype(int).to_list(),
            "quota_objects": list(map(len, objects)),
            "read": [unknown(reasons[name]) if name in reasons else "passed" for name in names],
            "history": [
                unknown(past[name]) if name in past else "passed" if name in seen else ""
                for name in names
            ],
            "is_listed": [name in snapshot.quotas for name in names],
        }
    )


def by_text(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """Return which clusters a text is said of, by the text."""
    said: dict[str, list[str]] = {}
    for name, text in sorted(texts.items()):
        # a failed query is quoted with the cluster's name in it
        said.setdefault(text.replace(f'cluster="{name}"', 'cluster="…"'), []).append(name)
    return said
