"""Which proposals are held back or made smaller, and why: one filter over what `decide` proposes.

A quota that is cut too far stops pods weeks later, when nobody looks at this report. So nothing is
cut over gaps, below a peak of the lookback, or by more than a quarter at once, and nothing is
proposed again that was done. Pure: frames in, frames out; the words are in `show`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnslib.capacity.evidence_words import WHOLE
from mnslib.capacity.quota_values import SPACE, names_of
from mnslib.capacity.refusals import QUOTA_FIELD_OF, smallest_raises
from mnslib.capacity.samples import FLOAT32_NOISE, Flags, highest

if TYPE_CHECKING:
    from mnslib.capacity.snapshot import CleanSnapshot, Snapshot

MOST_CUT = 0.25
"""Share of a quota that is taken back at once. Our choice: what was not foreseen is felt before the
next quarter goes."""

GAPS, PEAK, QUARTER = "gaps", "peak", "quarter"
MADE, OUTDATED = "made", "outdated"
"""Why: samples are missing; a peak was higher; no more at once; Azure holds another value already;
pods were refused before the quota was last changed."""


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
            `then` (NaN where requests shall fall, but not to what); what is no raise is a cut.
        rounded_up: of amounts and resources, the next amounts that can be written.

    Returns:
        The same rows with `then`, `why` (a word of above, empty where they are as proposed) and
        `is_withheld`.
    """
    rows = _with_part(proposals.reset_index(drop=True))
    now, then = (rows[name].to_numpy(dtype=np.float64) for name in ("now", "then"))
    is_cut, is_quota = ~(then > now), ~np.isnan(then)
    torn = _with_part(evidence[~evidence["evidence"].isin(WHOLE)])
    torn = torn[~torn["resource"].str.endswith("limit")]
    is_torn = is_cut & _among(rows, "part", names_of(torn, *SPACE, "part"))
    granted = ((*place, name) for place, quota in clean.granted.items() for name in quota)
    is_made = _among(rows, "resource", granted)
    known = rows.reindex(columns=["peak_used", "used"]).to_numpy(dtype=np.float64)
    peak = np.fmax.reduce(known, axis=1)
    spaces = pd.MultiIndex.from_frame(clean.namespaces[SPACE])
    places = spaces.get_indexer(pd.MultiIndex.from_frame(rows[SPACE]))
    for part, kind in product(("cpu", "memory"), ("usage", "used", "requested")):
        is_own = is_cut & (is_quota | (kind == "usage")) & (rows["part"] == part).to_numpy()
        most = highest(clean.samples(kind, part)[:, places[is_own]]).astype(np.float64)
        peak[is_own] = np.fmax(peak[is_own], most * (1 - FLOAT32_NOISE))
    quarter = now * (1 - MOST_CUT)
    least = rounded_up(pd.Series(np.fmax(peak, quarter)), rows["resource"]).to_numpy()
    is_less = is_cut & (then < least)
    then = np.where(is_less, least, then)
    is_used = is_cut & ~is_quota & (peak >= now * (1 - FLOAT32_NOISE))
    is_peak = is_used | (is_less & (peak > quarter))
    why = np.select([is_made, is_torn, is_peak, is_less], [MADE, GAPS, PEAK, QUARTER], "")
    is_withheld = is_made | is_torn | is_used | (is_cut & (then >= now))
    return rows.assign(then=then, why=why, is_withheld=is_withheld)


def _with_part(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the `part` that their `resource` is about, `cpu` or `memory`."""
    return rows.assign(part=rows["resource"].astype(str).str.split("_").str[0])


def _among(rows: pd.DataFrame, name: str, values: Iterable[tuple[str, ...]]) -> Flags:
    """Return of which rows the place and one more column are among the values."""
    wanted = set(values)
    return np.array([one in wanted for one in names_of(rows, *SPACE, name)], dtype=np.bool_)


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
