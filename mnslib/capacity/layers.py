"""What is granted, asked for and used: the three layers of every quota, by day, and summed.

hard >= requested >= usage, each of one window, so that they can be compared. Pure: a snapshot and
its utilization table in, frames out; formulas with examples are in `docs/capacity.md`. NaN is
"unknown", enters no sum and is counted, and the row's `reason` says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain, count
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.advice import advised, regions
from mnslib.capacity.clusters import USAGE_QUANTILE, USAGE_WINDOW
from mnslib.capacity.evidence_words import LEAST_HISTORY, NO_PEAK
from mnslib.capacity.quota_values import BARE, NO_QUOTA, SPACE
from mnslib.capacity.samples import Flags, Values, highest, times_of
from mnslib.capacity.snapshot import CleanSnapshot, Snapshot
from mnslib.capacity.utilization import ratio_now
from mnslib.packaged import packaged
from mnslib.verdicts import unknown, unknown_reason

LEAST_OF_DAY = 0.5
"""Share of a day's steps that a figure of that day needs. Our choice."""

NO_USAGE, DEAD_SENSOR = "no samples of use", "all zero: dead sensor"
TOO_SHORT = f"under {LEAST_HISTORY.days} days of samples"

LAYER_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["layers"])
PARTS = ("hard", "requested", "usage", "unrequested", "requested_unused", "idle", "bursting")
"""Amounts that are summed; by day, each over the same namespaces."""
DAY_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["layers_by_day"])

SUM_COLUMNS = tuple(packaged("mnslib.capacity", "tables")["sums"])
RESOURCES = ("cpu", "memory")
_NOBODYS_LABELS = ("kubernetes.io/metadata.name", "kubernetes.azure.com/")
_PLACES = ("cluster_name", "namespace_name", "owner", "subscription_id")
_SUMMED = ("requested", "usage")

Floats = NDArray[np.float64]
Reasons = NDArray[np.object_]


def layers_table(
    snapshot: CleanSnapshot, table: pd.DataFrame, *, evidence: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per namespace and resource (`cpu`, `memory`), in that order.

    Args:
        snapshot: the reading that `table` was made from.
        table: from `utilization_table`.
        evidence: from `with_evidence`, of the same snapshot. What it calls unknown over the
            lookback is unknown here, with its reason.

    Returns:
        `LAYER_COLUMNS` (docs/tables.md): `requested` and `usage` are the `USAGE_QUANTILE` over
        `USAGE_WINDOW` of the steps that have both (`requested` is that of now where usage is
        unknown and its own samples are too few); the parts `unrequested`, `requested_unused` and
        usage up to the quota make up `hard`, and none is negative; `region` is what the ratios of
        this resource say, `advice` what those of the namespace do, both empty where unknown.
    """
    rows = [_resource_layers(snapshot, table, evidence, resource) for resource in RESOURCES]
    layers = pd.concat(rows).sort_values([*SPACE, "resource"], kind="stable", ignore_index=True)
    advice = advised(layers).set_index(SPACE)["advice"]
    return layers.join(advice, on=SPACE)[list(LAYER_COLUMNS)]


def layers_by_day(snapshot: CleanSnapshot, *, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return the sums of the layers for each UTC day of the history and each resource.

    Args:
        snapshot: what was read.
        evidence: as `layers_table` takes it; series whose samples are wrong enter no sum.

    Returns:
        `DAY_COLUMNS` (docs/tables.md), sums over the `measured` namespaces, of which the layers of
        that day are known: the last `hard` of it, `USAGE_QUANTILE` of `requested` and `usage` over
        the steps that have both, at least `LEAST_OF_DAY` of them; `left_out` had a quota on that
        day or before, but no such figures.
    """
    stamps = times_of(snapshot.used) - np.timedelta64(snapshot.step)
    days, starts = np.unique(stamps.astype("datetime64[D]"), return_index=True)
    ends = np.append(starts[1:], len(stamps))[: len(starts)]
    wrong = evidence.assign(
        unknown_history=evidence["unknown_history"].where(evidence["evidence"].isin(NO_PEAK), "")
    )
    rows: list[dict[str, object]] = []
    for resource in RESOURCES:
        quotas, samples = _samples(snapshot, wrong, resource, slice(None))
        hard = np.full(quotas.shape[1], np.nan)
        for day, first, end in zip(days, starts.tolist(), ends.tolist(), strict=True):
            own, least = slice(first, end), ceil((end - first) * LEAST_OF_DAY)
            granted = np.full(quotas.shape[1], np.nan)
            for values in quotas[own]:
                np.copyto(granted, values, where=~np.isnan(values))
            hard = np.where(np.isnan(granted), hard, granted)
            requested, usage, *_ = _measured(samples, own, least=least)
            parts = parts_of(granted, requested, usage)
            is_whole = ~np.isnan(parts["unrequested"])
            counts = {"measured": is_whole.sum(), "left_out": (~np.isnan(hard) & ~is_whole).sum()}
            sums = {
                name: float(amounts[is_whole].sum()) if is_whole.any() else np.nan
                for name, amounts in parts.items()
            }
            rows.append({"day": day.item(), "resource": resource, **counts, **sums})
    by_day = pd.DataFrame(rows, columns=list(DAY_COLUMNS))
    return by_day.sort_values(["day", "resource"], ignore_index=True)


class _Samples(NamedTuple):
    """What is requested and used of one resource, times x namespaces, and why either is doubted."""

    requested: Values
    usage: Values
    doubted: Reasons
    unsure: Reasons
    clusters: NDArray[np.intp]


def _samples(
    snapshot: CleanSnapshot, evidence: pd.DataFrame, resource: str, steps: slice
) -> tuple[Values, _Samples]:
    """Return the hard quotas of one resource at some steps, and what stands against them.

    What pods request stands for the counter of the namespaces that none counts.
    """
    hard, counted, asked, used = (
        snapshot.samples(kind, resource)[steps] for kind in ("hard", "used", "requested", "usage")
    )
    requested = np.where(np.isnan(highest(counted)), asked, counted)
    doubts = []
    for field in (f"{resource}_request", f"{resource}_usage"):
        said = evidence.loc[evidence["resource"] == field, "unknown_history"]
        reasons = said.mask(said == NO_QUOTA, "").str.removeprefix(unknown("")).to_numpy(object)
        doubts.append(reasons if len(reasons) else np.full(hard.shape[1], "", dtype=object))
    clusters = pd.factorize(snapshot.namespaces["cluster_name"])[0]
    return hard, _Samples(requested, used, doubts[0], doubts[1], clusters)


def _measured(
    samples: _Samples, steps: slice, *, least: int
) -> tuple[Floats, Floats, Floats, Reasons]:
    """Return what was requested, used and at most used over some steps, and why it is unknown.

    The quantiles of the steps with both samples; usage needs `least` of them.
    """
    requested, usage, doubted, unsure, clusters = samples
    requested, usage = requested[steps], usage[steps]
    has_use, has_request = ~np.isnan(usage), ~np.isnan(requested)
    both = has_use & has_request
    counted, used, paired = (
        one.sum(axis=0, dtype=np.int32) for one in (has_request, has_use, both)
    )
    asked, most = (highest(one).astype(np.float64) for one in (requested, usage))
    # A counter that says 0 all along, and no container where others are seen: nothing runs.
    seen = np.bincount(clusters, weights=used, minlength=1) > 0
    is_still = (counted >= least) & (asked == 0) & (used == 0) & seen[clusters]
    is_still &= doubted == ""
    is_dead = (most == 0) & ~(asked == 0)
    reason = np.select(
        [is_still, unsure != "", doubted != "", used == 0, is_dead, paired < least],
        ["", unsure, doubted, NO_USAGE, DEAD_SENSOR, TOO_SHORT],
        default="",
    ).astype(object)
    is_known = reason == ""
    own = _quantile(has_request & (has_use | ~((paired >= least) & is_known)), requested)

    def known(amounts: Floats) -> Floats:
        return np.where(is_still, 0.0, np.where(is_known, amounts, np.nan)).round(3)

    # float32 blurs the millicore it was counted in; Kubernetes knows none smaller.
    own = np.where((counted >= least) & (doubted == ""), own, np.nan).round(3)
    return own, known(_quantile(both, usage)), known(most), reason


def _resource_layers(
    snapshot: CleanSnapshot, table: pd.DataFrame, evidence: pd.DataFrame, resource: str
) -> pd.DataFrame:
    """Return the layers of one resource, the advice of the namespace left out."""
    figures = table[["resource", "hard", "used", "verdict"]].assign(_ratio=ratio_now(table))
    now, limits = (
        figures[figures["resource"] == f"{resource}_{kind}"] for kind in ("request", "limit")
    )
    since = pd.Timestamp(snapshot.read_utc) - USAGE_WINDOW
    recent = slice(int((snapshot.used.index <= since).sum()), None)
    _, samples = _samples(snapshot, evidence, resource, recent)
    least = ceil(LEAST_HISTORY / snapshot.step)
    asked, usage, peak, reason = _measured(samples, slice(None), least=least)
    hard, counter = (now[name].to_numpy(dtype=np.float64) for name in ("hard", "used"))
    # Without usage beside it no window has to be shared, and the counter of now is the best known.
    requested = np.where(np.isnan(asked) & np.isnan(usage), counter, asked)
    unread = np.flatnonzero(np.isnan(hard))
    reason[unread] = [unknown_reason(verdict) for verdict in now["verdict"].iloc[unread]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = {"requested_ratio": requested / hard, "usage_ratio": usage / requested}
    known = [by["_ratio"].where(by["_ratio"] >= 0).to_numpy() for by in (now, limits)]
    fullest = np.fmax.reduce([ratios["requested_ratio"], *known])
    layers = pd.DataFrame(
        {
            **parts_of(hard, requested, usage),
            **ratios,
            "peak_usage": peak,
            "over_hard": np.maximum(requested - hard, 0),
            "tightest_ratio": np.where(np.isnan(hard), np.nan, fullest),
            "reason": reason,
            "resource": resource,
        }
    )
    layers["region"] = regions(layers)
    facts = snapshot.namespaces[[*SPACE, "owner", "subscription_id", "labels"]]
    return layers.join(facts.reset_index(drop=True))


def parts_of(hard: Floats, requested: Floats, usage: Floats) -> dict[str, Floats]:
    """Return the amounts of `PARTS`; what is used beyond the request is not free to commit."""
    return {
        "hard": hard,
        "requested": requested,
        "usage": usage,
        "unrequested": np.maximum(hard - np.maximum(requested, usage), 0),
        "requested_unused": np.maximum(np.minimum(requested, hard) - usage, 0),
        "idle": np.maximum(hard - usage, 0),
        "bursting": np.maximum(usage - requested, 0),
    }


def _quantile(wanted: Flags, samples: Values) -> Floats:
    """Return `USAGE_QUANTILE` of each column's wanted samples, linearly between two of them.

    `np.nanquantile` takes twenty times as long.
    """
    if not len(samples):
        return np.full(samples.shape[1], np.nan)
    ordered = np.sort(np.where(wanted, samples, np.float32(np.inf)), axis=0)
    counts = wanted.sum(axis=0, dtype=np.int32)
    last = np.maximum(counts - 1, 0)
    place = USAGE_QUANTILE * last
    low = np.floor(place).astype(np.int64)
    at = np.arange(samples.shape[1])
    ends = (ordered[rows, at].astype(np.float64) for rows in (low, np.minimum(low + 1, last)))
    below, above = (np.where(counts, end, np.nan) for end in ends)
    found: Floats = below + (above - below) * (place - low)
    return found


# Summed by owner, cluster, subscription or a label


def roll_up(layers: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the sums of the layers by a column of `layers` or a label of the namespaces.

    Returns:
        `by` and `SUM_COLUMNS` (docs/tables.md), one row per value (empty: without that label) and
        resource; ratios are over what was `measured`. Order: most idle CPU first, then name.
    """
    groups = layers[by] if by in _PLACES else label_values(layers["labels"], by)
    return _sums(layers, groups, by)


def _sums(layers: pd.DataFrame, groups: pd.Series[str], by: str) -> pd.DataFrame:
    by = f"label {by}" if by in SUM_COLUMNS else by
    is_whole, is_bare = layers["reason"] == "", layers["reason"] == BARE
    is_granted = layers["hard"].notna() & ~is_bare
    counts = {"namespaces": is_granted, "measured": is_whole}
    counts |= {"left_out": ~is_granted & ~is_bare, "without_quota": is_bare}
    wanted = {name: layers[name].where(is_whole) for name in PARTS}
    wanted |= {"hard": layers["hard"].where(is_granted), "measured_hard": wanted["hard"]}
    wanted |= {f"{name}_without_quota": layers[name].where(is_bare) for name in _SUMMED}
    keys = [groups.rename(by), layers["resource"]]
    sums = pd.DataFrame(wanted).groupby(keys).sum(min_count=1)
    sums = sums.join(pd.DataFrame(counts).groupby(keys).sum().astype("int64")).reset_index()
    sums["requested_ratio"] = sums["requested"] / sums["measured_hard"]
    sums["usage_ratio"] = sums["usage"] / sums["requested"]
    sums["idle_ratio"] = sums["idle"] / sums["measured_hard"]
    idle = sums[sums["resource"] == "cpu"].set_index(by)["idle"]
    order = sums.assign(_idle=sums[by].map(idle)).sort_values(
        ["_idle", by, "resource"], ascending=[False, True, True]
    )
    return order[[by, *SUM_COLUMNS]].reset_index(drop=True)


def roll_ups(layers: pd.DataFrame, labels: Iterable[str] = ()) -> dict[str, pd.DataFrame]:
    """Return the sums by owner, cluster, subscription and each of `labels`, by table name.

    Labels whose names are one as names of files (`a/b`, `A_b`) are told apart by a number.
    """
    columns = {"by_owner": "owner", "by_cluster": "cluster_name"}
    columns |= {"by_subscription": "subscription_id"}
    tables = {name: roll_up(layers, column) for name, column in columns.items()}
    for label in dict.fromkeys(labels):
        name = f"by_{re.sub('[^A-Za-z0-9.-]', '_', label)}"
        names = chain([name], (f"{name}_{number}" for number in count(2)))
        known = {table.lower() for table in tables}
        free = next(name for name in names if name.lower() not in known)
        tables[free] = _sums(layers, label_values(layers["labels"], label), label)
    return tables


def absent_labels(layers: pd.DataFrame, labels: Iterable[str]) -> list[str]:
    """Return those of `labels` that no namespace has."""
    return [
        label
        for label in dict.fromkeys(labels)
        if not layers["labels"].str.contains(rf"(?:^|,){re.escape(label)}=").any()
    ]


def absent_owner(snapshot: Snapshot, label: str) -> dict[str, Any]:
    """Return the label that was to name owners and the others; empty where some namespace has it.

    Returns:
        `asked` and `there`: the labels that namespaces have, those first that differ in case alone,
        then those of the most namespaces; without Kubernetes' and Azure's own.
    """
    spaces = snapshot.namespaces
    unsaid = {cluster for cluster, kind in snapshot.unread if kind == "owner"}
    texts = spaces["labels"][~spaces["cluster_name"].isin(unsaid)].astype(str)
    counts = texts.str.findall(r"(?:^|,)([^=,]+)=").explode().dropna().value_counts()
    if not label or texts.empty or label in counts or (spaces["owner"] != "").any():
        return {}
    others = [key for key in counts.index if not key.startswith(_NOBODYS_LABELS)]
    there = sorted(others, key=lambda key: key.casefold() != label.casefold())
    return {"asked": label, "there": there}


def label_values(labels: pd.Series[str], label: str) -> pd.Series[str]:
    """Return the value of one label in each text of labels; empty where it is missing."""
    return labels.str.extract(rf"(?:^|,){re.escape(label)}=([^,]*)", expand=False).fillna("")
