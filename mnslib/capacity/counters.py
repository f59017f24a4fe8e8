"""The quota counter against the pods that it counts: Kubernetes' `status.used`, done again.

The counter is known to be wrong in the field (kubernetes/kubernetes#71450, #98071), and a quota
refuses pods by it all the same. Pure: a snapshot in, a frame out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity.quota_values import SPACE, names_of
from mnslib.capacity.snapshot import Snapshot
from mnslib.models import QUOTA_KEYS
from mnslib.pods import COMPUTE_KEYS
from mnslib.quantities import ZERO

COUNTER_TOLERANCE = Decimal("0.25")
"""Share of the larger figure by which counter and pods may differ. Quotas and pods are read one
after the other, and meanwhile a rolling update starts and ends so many pods at most. Source:
Kubernetes, Deployment, `maxSurge` and `maxUnavailable`, whose default is 25 %."""

_NAN = float("nan")
_ROUNDING = 0.999  # what is as far apart as that is compared exactly
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
    spaces: dict[tuple[str, ...], list[tuple[bool, Mapping[str, Decimal]]]] = {}
    for cluster, pods in snapshot.pods.items():
        for pod, need in zip(pods, snapshot.pod_needs[cluster], strict=True):
            spaces.setdefault((cluster, pod.namespace_name), []).append((pod.is_finished, need))
    totals = {place: _total(found) for place, found in spaces.items()}
    nothing = _total(())
    quotas, asked = [], []
    keys = rows["resource"].map(QUOTA_KEYS)
    for cluster, name, key in names_of(rows.assign(key=keys), *SPACE, "key"):
        quotas.append(values.get(cluster, {}).get((name, key)))
        is_read = cluster in snapshot.pods
        asked.append(totals.get((cluster, name), nothing)[key] if is_read else None)
    counted = [None if value is None else value.used for value in quotas]
    frame = pd.DataFrame(index=rows.index)
    frame["counted"], frame["asked"] = _floats(counted), _floats(asked)
    frame["has_quota"] = np.fromiter((value is not None for value in quotas), dtype=bool)
    frame["is_counted"] = frame["counted"].notna()
    scoped = (value is not None and value.is_scoped for value in quotas)
    frame["is_scoped"] = np.fromiter(scoped, dtype=bool)
    is_live = rows["cluster_name"].isin(snapshot.quotas.keys() - set(snapshot.remembered))
    most = float(COUNTER_TOLERANCE) * frame[["counted", "asked"]].max(axis=1)
    is_far = (frame["counted"] - frame["asked"]).abs() > most * _ROUNDING
    wrong = np.zeros(len(rows), dtype=bool)
    for place in np.flatnonzero(is_far & is_live & ~frame["is_scoped"]):
        cluster, name = rows[SPACE].iloc[place]
        own = (need[keys.iloc[place]] for _, need in spaces.get((cluster, name), ()))
        said, needed = counted[place], asked[place]
        if said is not None and needed is not None:
            wrong[place] = is_wrong(said, needed, needs=own)
    return frame.assign(is_live=is_live, is_wrong=wrong)[list(COUNTER_COLUMNS)]


def _floats(amounts: Iterable[Decimal | None]) -> NDArray[np.float64]:
    return np.fromiter((_NAN if one is None else float(one) for one in amounts), dtype=np.float64)


def _total(pods: Iterable[tuple[bool, Mapping[str, Decimal]]]) -> dict[str, Decimal]:
    """Return what the pods that are not finished need together."""
    total = dict.fromkeys(COMPUTE_KEYS, ZERO)
    for is_finished, need in pods:
        if not is_finished:
            for key, amount in need.items():
                total[key] += amount
    return total


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
