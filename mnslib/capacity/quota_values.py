"""What the quota of a namespace says, and where its samples lie in a wide frame.

Pure, below all questions: `evidence`, `utilization` and the rest read quotas and samples in this
one way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.kube_models import QuotaStatus
from mnslib.models import QUOTA_ALIASES, QUOTA_KEYS
from mnslib.verdicts import unknown

TIGHT_RATIO = Decimal("0.9")
"""Utilization from which a quota is tight. Source: kubernetes-mixin, KubeQuotaAlmostFull."""

FULL, TIGHT, OK = "full", "tight", "ok"
SPACE = ["cluster_name", "namespace_name"]
"""Columns that say which namespace a row is about; a list, as pandas takes several names."""

BARE, UNCOUNTED = "no quota", "quota not counted yet"
NO_QUOTA = unknown(BARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaValue:
    """One value of one quota object, as it counts for its namespace.

    Attributes:
        key: as the object writes it, `requests.cpu` or `cpu`.
        used: None where the quota controller has not counted yet.
        is_scoped: whether the object counts only some of the pods.
    """

    quota_name: str
    key: str
    hard: Decimal
    used: Decimal | None
    is_scoped: bool = False

    @property
    def ratio(self) -> Decimal | None:
        """Used over hard; None where hard is 0 or used is unknown."""
        return self.used / self.hard if self.hard and self.used is not None else None

    @property
    def verdict(self) -> str:
        """`full`, `tight`, `ok` or why it is unknown."""
        if self.used is None:
            return unknown(UNCOUNTED)
        if self.used >= self.hard and (self.hard or self.used):
            return FULL
        return TIGHT if self.hard and self.used >= self.hard * TIGHT_RATIO else OK

    @property
    def tightness(self) -> tuple[Decimal, Decimal]:
        """To compare by: the ratio, then how little is left."""
        if self.used is None:
            return Decimal(-1), Decimal(0)
        if not self.hard:
            return (Decimal("Infinity") if self.used else Decimal(0)), Decimal(0)
        return self.used / self.hard, self.used - self.hard


def tightest_quotas(quotas: Iterable[QuotaStatus]) -> dict[tuple[str, str], QuotaValue]:
    """Return the value that counts, by (namespace, quota key): the one with the largest ratio.

    All quota objects of a namespace must hold, so the tightest decides. Other keys than the four
    of `QUOTA_KEYS` are left out.

    Source: Kubernetes, ResourceQuota: several objects in one namespace.
    """
    known = set(QUOTA_KEYS.values())
    found: dict[tuple[str, str], QuotaValue] = {}
    for quota in quotas:
        for key, hard in quota.hard.items():
            place = (quota.namespace_name, QUOTA_ALIASES.get(key, key))
            if place[1] not in known:
                continue
            value = QuotaValue(
                quota_name=quota.name,
                key=key,
                hard=hard,
                used=quota.used.get(key),
                is_scoped=quota.is_scoped,
            )
            if place not in found or value.tightness > found[place].tightness:
                found[place] = value
    return found


SERIES_AT_ONCE = 4096
"""Series worked on together: a month of hours of them is 12 MB, which two caches hold. Ours."""


def series_of(table: pd.DataFrame) -> pd.MultiIndex:
    """Return the column that each row of a utilization table has in `used` and `hard`."""
    return pd.MultiIndex.from_arrays(
        [table["cluster_name"], table["namespace_name"], table["resource"].map(QUOTA_KEYS)]
    )


def names_of(table: pd.DataFrame, *columns: str) -> Iterator[tuple[str, ...]]:
    """Return the texts of each row, cluster and namespace unless told; pandas' own way is slow."""
    wanted = columns or SPACE
    return zip(*(table[name].to_numpy(dtype=object) for name in wanted), strict=True)


def samples_of(frame: pd.DataFrame, series: pd.MultiIndex) -> NDArray[np.float32]:
    """Return the columns of `frame` in the order of `series`; NaN where there is none."""
    return taken(frame.to_numpy(dtype=np.float32, copy=False), frame.columns.get_indexer(series))


def taken(values: NDArray[np.float32], places: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return a copy of some columns of `values`; NaN where the place is -1."""
    if values.shape[1] == 0:
        return np.full((len(values), len(places)), np.nan, dtype=np.float32)
    found = values.take(places, axis=1, mode="clip")  # twice as fast as with bounds checked
    found[:, places < 0] = np.nan
    return found


def times_of(frame: pd.DataFrame) -> NDArray[np.datetime64]:
    """Return the times of a frame's rows, in UTC and without a zone, as numpy compares them."""
    return pd.DatetimeIndex(frame.index).tz_localize(None).to_numpy(dtype="datetime64[ns]")
