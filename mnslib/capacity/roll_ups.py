"""What is granted, asked for and used, summed by owner, cluster, subscription or a label.

Pure: the layers of namespaces in, frames out; formulas with examples are in `docs/capacity.md`.
What is unknown enters no sum and is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain, count

import pandas as pd

from mnslib.capacity.layers import PARTS
from mnslib.capacity.quota_values import BARE

SUM_COLUMNS = (
    "resource",
    "namespaces",
    "measured",
    "left_out",
    "without_quota",
    "hard",
    "measured_hard",
    *PARTS[1:],
    "requested_ratio",
    "usage_ratio",
    "idle_ratio",
    "requested_without_quota",
    "usage_without_quota",
)
_PLACES = ("cluster_name", "namespace_name", "owner", "subscription_id")
_SUMMED = ("requested", "usage")


def roll_up(layers: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the sums of the layers by a column of `layers` or a label of the namespaces.

    Returns:
        `by` and `SUM_COLUMNS`, one row per value (empty: without that label) and resource. `hard`
        is the sum of all quotas that are known, those of `namespaces`; all other amounts are sums
        over the `measured` of them, whose three layers are known and whose quotas add up to
        `measured_hard`. `left_out` have a quota that is not known, `without_quota` none, and what
        the latter request and use stands apart. The ratios are over what was measured. Order:
        most idle CPU first, then name.
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
        taken = {table.lower() for table in tables}
        free = next(name for name in names if name.lower() not in taken)
        tables[free] = _sums(layers, label_values(layers["labels"], label), label)
    return tables


def absent_labels(layers: pd.DataFrame, labels: Iterable[str]) -> list[str]:
    """Return those of `labels` that no namespace has."""
    return [
        label
        for label in dict.fromkeys(labels)
        if not layers["labels"].str.contains(rf"(?:^|,){re.escape(label)}=").any()
    ]


def label_values(labels: pd.Series[str], label: str) -> pd.Series[str]:
    """Return the value of one label in each text of labels; empty where it is missing."""
    return labels.str.extract(rf"(?:^|,){re.escape(label)}=([^,]*)", expand=False).fillna("")
