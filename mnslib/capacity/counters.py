"""The quota counter against the pods that it counts: Kubernetes' `status.used`, done again.

The counter is known to be wrong in the field (kubernetes/kubernetes#71450, #98071), and a quota
refuses pods by it all the same. Pure: a snapshot in, a frame out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import pandas as pd

from mnslib.capacity.quota_values import names_of
from mnslib.capacity.snapshot import Snapshot
from mnslib.models import QUOTA_KEYS
from mnslib.quantities import ZERO

COUNTER_TOLERANCE = Decimal("0.25")
"""Share of the larger figure by which counter and pods may differ. Quotas and pods are read one
after the other, and meanwhile a rolling update starts and ends so many pods at most. Source:
Kubernetes, Deployment, `maxSurge` and `maxUnavailable`, whose default is 25 %."""

_NAN = float("nan")
COUNTER_COLUMNS = (
    "counted",
    "asked",
    "has_quota",
    "is_counted",
    "is_live",
    "is_scoped",
    "is_wrong",
)


def counters(snapshot: Snapshot, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the tightest quota has counted, and what pods ask for, beside each of `rows`.

    Args:
        rows: `cluster_name`, `namespace_name` and `resource` (a quota field).

    Returns:
        `COUNTER_COLUMNS`: `counted` and `asked` in cores or bytes, NaN where there is none or it
        was not read; `is_live`: the quota was read from the cluster; `is_scoped`: it counts only
        some of the pods, which cannot be done again here; `is_wrong`: see `is_wrong`.
    """
    values = snapshot.tightest_quotas
    spaces: dict[tuple[str, str], list[tuple[bool, Mapping[str, Decimal]]]] = {}
    for cluster, pods in snapshot.pods.items():
        for pod, need in zip(pods, snapshot.pod_needs[cluster], strict=True):
            spaces.setdefault((cluster, pod.namespace_name), []).append((pod.is_finished, need))
    found = []
    for cluster, name, field in names_of(rows, "cluster_name", "namespace_name", "resource"):
        key = QUOTA_KEYS[field]
        value = values.get(cluster, {}).get((name, key))
        counted = value.used if value is not None else None
        is_scoped = value is not None and value.is_scoped
        own = spaces.get((cluster, name), ())
        asked = (
            sum((need[key] for is_finished, need in own if not is_finished), ZERO)
            if cluster in snapshot.pods
            else None
        )
        is_live = cluster in values and cluster not in snapshot.remembered
        wrong = (
            is_live
            and not is_scoped
            and counted is not None
            and asked is not None
            and is_wrong(counted, asked, needs=(need[key] for _, need in own))
        )
        figures = (_NAN if amount is None else float(amount) for amount in (counted, asked))
        flags = (value is not None, counted is not None, is_live, is_scoped, wrong)
        found.append((*figures, *flags))
    frame = pd.DataFrame(found, columns=list(COUNTER_COLUMNS), index=rows.index)
    return frame.astype({"counted": "float64", "asked": "float64"})


def is_wrong(counted: Decimal, asked: Decimal, *, needs: Iterable[Decimal]) -> bool:
    """Return whether a counter is further from its pods than what comes and goes explains.

    That is more than `COUNTER_TOLERANCE` of the larger figure, and more than the largest pod,
    finished ones too: one that ends or starts meanwhile is no alarm.

    Args:
        counted, asked: cores or bytes.
        needs: what each pod of the namespace needs, in the same unit.
    """
    difference = abs(counted - asked)
    if difference <= COUNTER_TOLERANCE * max(counted, asked):
        return False
    return difference > max(needs, default=ZERO)
