"""Which proposals are held back or made smaller, and why: one filter over what `decide` proposes.

A quota that is cut too far stops pods weeks later, when nobody looks at this report. So nothing is
cut over gaps, below a peak of the lookback, or by more than a quarter at once, and nothing is
proposed again that was done. Pure: frames in, frames out; the words are in `show`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.refusals import QUOTA_FIELD_OF, smallest_raises
from mnslib.capacity.samples import FLOAT32_NOISE, highest

if TYPE_CHECKING:
    from mnslib.capacity.snapshot import CleanSnapshot, Snapshot

MOST_CUT = 0.25
"""Share of a quota that is taken back at once. Our choice: what was not foreseen is felt before the
next quarter goes."""

GAPS, PEAK, QUARTER = "gaps", "peak", "quarter"
MADE, OUTDATED = "made", "outdated"
"""Why: samples are missing; a peak was higher; no more at once; Azure holds another value already;
pods were refused before the quota was last changed."""

_WHOLE = ("sound", "quota changed", "no pods", "no quota")
"""Words of evidence under which nothing of the lookback is unseen."""

_RESOURCE_OF = {
    "cpu_request": "cpu", "cpu_usage": "cpu", "memory_request": "memory", "memory_usage": "memory",
}  # fmt: skip
"""Rows of evidence that say something of a resource's peaks, and quota values that may be cut."""


def restrained(
    proposals: pd.DataFrame,
    clean: CleanSnapshot,
    *,
    evidence: pd.DataFrame,
    rounded_up: Callable[[Any, Any], Any],
) -> pd.DataFrame:
    """Return proposals as they may be made.

    Args:
        proposals: a row for each value: `cluster_name`, `namespace_name`, `resource`, `now` and
            `then` (NaN where requests shall fall, but not to what), `is_cut`.
        rounded_up: of amounts and resources, the next amounts that can be written.

    Returns:
        The same rows with `then`, `why` (a word of above, empty where they are as proposed) and
        `is_withheld`.
    """
    rows = proposals.reset_index(drop=True)
    base, is_cut = rows["resource"].replace(_RESOURCE_OF), rows["is_cut"].to_numpy(dtype=bool)
    now, then = (rows[name].to_numpy(dtype=np.float64) for name in ("now", "then"))
    peak = np.full(len(rows), np.nan)
    for resource, is_quota in product(("cpu", "memory"), (True, False)):
        is_own = is_cut & (base == resource).to_numpy() & (np.isfinite(then) == is_quota)
        own = np.flatnonzero(is_own)
        kinds = ("used", "requested", "usage") if is_quota else ("usage",)
        peak[own] = _peaks(rows.iloc[own], clean, resource, kinds)
    quarter = now * (1 - MOST_CUT)
    least = rounded_up(pd.Series(np.fmax(peak, quarter)), rows["resource"]).to_numpy()
    is_less = is_cut & (then < least)
    then = np.where(is_less, least, then)
    torn = evidence[~evidence["evidence"].isin(_WHOLE)]
    torn = torn.assign(base=torn["resource"].map(_RESOURCE_OF)).dropna(subset="base")
    is_torn = is_cut & _is_in(rows.assign(base=base), torn, "base")
    is_peak = is_cut & np.where(
        np.isnan(then), peak >= now * (1 - FLOAT32_NOISE), is_less & (peak > quarter)
    )
    is_made = _is_in(rows, _held_by_azure(clean), "resource")
    why = np.select([is_made, is_torn, is_peak, is_less], [MADE, GAPS, PEAK, QUARTER], "")
    is_no_cut = is_cut & ((then >= now) | (np.isnan(then) & is_peak))
    return rows.assign(then=then, why=why, is_withheld=is_made | is_torn | is_no_cut)


def is_outdated(
    refusals: pd.DataFrame, snapshot: Snapshot, *, evidence: pd.DataFrame
) -> pd.Series[bool]:
    """Return of rows on exceeded quotas whether the quota was changed after the refusal.

    It was where `refusals_table` says no raise, since the message names another limit than there is
    now, or where the last change that the history saw ended in a step after it.
    """
    changed = evidence.loc[evidence["changed_utc"].notna(), [*SPACE, "resource", "changed_utc"]]
    fields = refusals[[*SPACE, "last_utc"]].assign(resource=refusals["key"].map(QUOTA_FIELD_OF))
    keys = [*SPACE, "resource"]
    texts = dict.fromkeys(keys, object)
    both = fields.astype(texts).merge(changed.astype(texts), on=keys, how="left")
    ended = pd.to_datetime(both["changed_utc"], utc=True) - snapshot.step
    is_before = (pd.to_datetime(both["last_utc"], utc=True) <= ended).to_numpy()
    return (smallest_raises(refusals) == 0) | is_before


def _peaks(rows: pd.DataFrame, clean: CleanSnapshot, resource: str, kinds: Sequence[str]) -> Any:
    """Return the highest of some samples in the lookback, and of what the rows tell of now."""
    spaces = pd.MultiIndex.from_frame(clean.namespaces[SPACE])
    places = spaces.get_indexer(pd.MultiIndex.from_frame(rows[SPACE]))
    found = np.full(len(rows), np.nan)
    is_there = np.flatnonzero(places >= 0)
    for kind in kinds:
        values = highest(clean.samples(kind, resource)[:, places[is_there]])
        found[is_there] = np.fmax(found[is_there], values.astype(np.float64))
    told = rows.reindex(columns=["peak_used", "used"]).to_numpy(dtype=np.float64)
    return np.fmax(found * (1 - FLOAT32_NOISE), np.fmax.reduce(told, axis=1))


def _held_by_azure(snapshot: Snapshot) -> pd.DataFrame:
    """Return the values of which Azure holds another quota than the cluster shows."""
    rows = [(*place, name) for place, quota in snapshot.granted.items() for name in quota]
    return pd.DataFrame(rows, columns=[*SPACE, "resource"], dtype=object)


def _is_in(rows: pd.DataFrame, others: pd.DataFrame, name: str) -> Any:
    columns = [*SPACE, name]
    wanted = pd.MultiIndex.from_frame(others[columns].drop_duplicates())
    return pd.MultiIndex.from_frame(rows[columns]).isin(wanted)
