"""Which proposals are held back or made smaller, and why: one filter over what `decide` proposes.

A quota that is cut too far stops pods weeks later, when nobody looks at this report. So nothing is
cut over gaps, below a peak of the lookback, or by more than a quarter at once, and nothing is
proposed again that was done. Pure: frames in, frames out; the words are in `show`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnslib.capacity.evidence_words import WHOLE
from mnslib.capacity.quota_values import SPACE, names_of
from mnslib.capacity.refusals import QUOTA_FIELD_OF, smallest_raises
from mnslib.capacity.samples import FLOAT32_NOISE, Places, highest

if TYPE_CHECKING:
    from mnslib.capacity.snapshot import CleanSnapshot, Snapshot

MOST_CUT = 0.25
"""Share of a quota that is taken back at once. Our choice: what was not foreseen is felt before the
next quarter goes."""

GAPS, PEAK, QUARTER = "gaps", "peak", "quarter"
MADE, OUTDATED = "made", "outdated"
"""Why: samples are missing; a peak was higher; no more at once; Azure holds another value already;
pods were refused before the quota was last changed."""

_PEAK_ROWS = ("cpu_request", "cpu_usage", "memory_request", "memory_usage")
"""Rows of evidence that say whether a peak of a resource may be unseen."""


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
    now, then = (rows[name].to_numpy(dtype=np.float64) for name in ("now", "then"))
    is_cut, is_quota = rows["is_cut"].to_numpy(dtype=bool), ~np.isnan(then)
    spaces = pd.MultiIndex.from_frame(clean.namespaces[SPACE])
    torn = evidence[~evidence["evidence"].isin(WHOLE) & evidence["resource"].isin(_PEAK_ROWS)]
    places, torn_places = _places(rows, spaces), _places(torn, spaces)
    peak = np.fmax.reduce(
        rows.reindex(columns=["peak_used", "used"]).to_numpy(dtype=np.float64), axis=1
    )
    is_torn = np.zeros(len(rows), dtype=bool)
    for resource in ("cpu", "memory"):
        names = [resource, f"{resource}_request", f"{resource}_usage"]
        is_own = is_cut & rows["resource"].isin(names).to_numpy() & (places >= 0)
        of_torn = torn_places[torn["resource"].isin(names).to_numpy()]
        is_torn |= is_own & np.isin(places, of_torn)
        for kind in ("usage", "used", "requested"):
            own = np.flatnonzero(is_own & (is_quota | (kind == "usage")))
            most = highest(clean.samples(kind, resource)[:, places[own]]).astype(np.float64)
            peak[own] = np.fmax(peak[own], most * (1 - FLOAT32_NOISE))
    quarter = now * (1 - MOST_CUT)
    least = rounded_up(pd.Series(np.fmax(peak, quarter)), rows["resource"]).to_numpy()
    is_less = is_cut & (then < least)
    then = np.where(is_less, least, then)
    is_used = is_cut & ~is_quota & (peak >= now * (1 - FLOAT32_NOISE))
    is_peak = is_used | (is_less & (peak > quarter))
    held = {(*place, name) for place, quota in clean.granted.items() for name in quota}
    values = names_of(rows, *SPACE, "resource") if held else ()
    is_made = np.array([value in held for value in values] or np.zeros(len(rows)), dtype=bool)
    why = np.select([is_made, is_torn, is_peak, is_less], [MADE, GAPS, PEAK, QUARTER], "")
    is_withheld = is_made | is_torn | is_used | (is_cut & (then >= now))
    return rows.assign(then=then, why=why, is_withheld=is_withheld)


def _places(rows: pd.DataFrame, spaces: pd.MultiIndex) -> Places:
    return spaces.get_indexer(pd.MultiIndex.from_frame(rows[SPACE]))


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
