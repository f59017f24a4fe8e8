"""What the quota of a namespace says: the value that counts, and the words for how full it is.

Pure, below all questions: `evidence`, `utilization` and the rest read quotas in this one way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

import pandas as pd

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


class QuotaValue(NamedTuple):
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
    def verdict(self) -> str:
        """`full`, `tight`, `ok` or why it is unknown."""
        if self.used is None:
            return unknown(UNCOUNTED)
        if self.used >= self.hard:
            return FULL
        return TIGHT if self.hard and self.used >= self.hard * TIGHT_RATIO else OK

    @property
    def tightness(self) -> tuple[Decimal, Decimal]:
        """To compare by: the ratio, then how little is left."""
        if self.used is None:
            return Decimal(-1), Decimal(0)
        if not self.hard:  # one that forbids some pods says nothing of the others
            return Decimal(0 if self.is_scoped else "Infinity"), self.used
        return self.used / self.hard, self.used - self.hard


def tightest_quotas(quotas: Iterable[QuotaStatus]) -> dict[tuple[str, str], QuotaValue]:
    """Return the value that counts, by (namespace, quota key): the one with the largest ratio.

    All quota objects of a namespace must hold, so the tightest decides. Other keys than the four
    of `QUOTA_KEYS` are left out.

    Source: Kubernetes, ResourceQuota: several objects in one namespace.
    """
    found: dict[tuple[str, str], QuotaValue] = {}
    for quota in quotas:
        for key, hard in quota.hard.items():
            place = quota.namespace_name, QUOTA_ALIASES.get(key, key)
            if place[1] not in QUOTA_KEYS.values():
                continue
            value = QuotaValue(quota.name, key, hard, quota.used.get(key), quota.is_scoped)
            if place not in found or value.tightness > found[place].tightness:
                found[place] = value
    return found


def names_of(table: pd.DataFrame, *columns: str) -> Iterator[tuple[str, ...]]:
    """Return the texts of each row, cluster and namespace unless told; pandas' own way is slow."""
    wanted = columns or SPACE
    return zip(*(table[name].to_numpy(dtype=object) for name in wanted), strict=True)
