"""Who is at the quota, on which of the four values, and what is left.

One bar for the tightest value of each namespace, dots for the others, all namespaces in the strip.
"""

from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity.quota_values import BARE, FULL, OK, TIGHT, TIGHT_RATIO
from mnslib.capacity.summaries import utilization_findings
from mnslib.capacity.utilization import tightest
from mnslib.models import QUOTA_FIELDS
from mnslib.show import wording
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import MARGIN, Sheet, top_rows
from mnslib.show.views import said
from mnslib.verdicts import UNKNOWN, unknown_reason

TOP = 26
_KINDS = (FULL, TIGHT, OK, "low", BARE, UNKNOWN)
_TONES = {FULL: "crit", TIGHT: "warn-text"}
_LINES = {
    0.5: ("grid", "muted", "center"),
    0.0: ("axis", "muted", "left"),
    float(TIGHT_RATIO): ("at_90", "warn-text", "right"),
    1.0: ("at_100", "crit", "left"),
}


def utilization_now(table: pd.DataFrame, *, moment: datetime, note: str = "") -> Chart:
    """Return the chart of requested over hard quota, one row per namespace.

    Args:
        table: from `capacity.utilization.utilization_table`.
        moment: when the quotas were read.
        note: sentences that the source line ends with, such as where the history is from.
    """
    worst = tightest(table)
    rows = _with_kinds(worst)
    fullest = rows[:1][rows["is_known"][:1]].to_dict("records")
    found = said("utilization", utilization_findings(worst))
    partly = rows[rows["unknown_values"].astype(bool)].to_dict("records")
    facts: dict[str, Any] = {"finding": found, "fullest": fullest, "partly": partly}
    sheet = Sheet("utilization_now", moment=moment, note=note, **facts)
    if rows.empty:
        return sheet.nothing()
    counts = Counter(rows["kind"])
    sheet.text(MARGIN, sheet.y, f"All {wording.count(len(rows), 'namespace')}", bold=True)
    sheet.y += 20
    sheet.strip({kind: counts[kind] for kind in _KINDS}, height=26, others=fullest)
    sheet.y += 10
    known, lost = rows[rows["is_known"]], rows[~rows["is_known"]]
    often = lost["reason"].map(lost["reason"].value_counts())
    ordered = pd.concat([known, lost.take(np.lexsort((-often, lost["reason"] == BARE)))])
    shown, rest = top_rows(ordered, rows["is_known"], top=TOP)
    grid = sheet.grid(shown, striped=True)
    for share, (line, color, align) in _LINES.items():
        x, label = grid.x(share), wording.percent(share)
        sheet.label(x, grid.top - 18, label, color=color, bold=share > 0.5, align=align)
        sheet.vlines(x, grid.top, grid.bottom, line)
        if share == 0.5:  # lies below the bars
            ends = grid.x(shown["length"].clip(upper=1)) + 10 * (shown["length"] > 1)
            sheet.bars(grid.left, ends, grid.ys, 14, shown["kind"].tolist())
    for field in QUOTA_FIELDS:
        others = shown[f"{field}_ratio"].where(shown["resource"] != field).clip(upper=1)
        sheet.dots(grid.x(others), grid.ys, "others")
    lost, known = rest[~rest["is_known"]], rest[rest["is_known"]]
    reasons, drawn = Counter(lost["reason"]), {*shown["reason"][~shown["is_known"]]}
    is_same = len(reasons) == 1 and drawn == reasons.keys()
    sheet.tell("more_unknown", reasons=reasons.most_common(), is_same=is_same)
    highest = int(known["length"].max() * 100 + 1e-5) + 1 if len(known) else 0
    sheet.tell("more_known", counts=Counter(known["kind"]), amount=len(known), highest=highest)
    sheet.tell("more_values")
    return sheet.finish()


def _with_kinds(worst: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the `kind` and `length` of their bars, what is `left`, and tones."""
    verdict = worst["verdict"]
    reason = verdict.map(unknown_reason).astype(object)
    is_known = reason.isna()
    # a quota of 0 has no ratio
    length = worst["utilization_ratio"].fillna((verdict == FULL).astype(float)).where(is_known, 1.0)
    kind = verdict.where(is_known, reason.where(reason == BARE, UNKNOWN))
    kind = kind.mask((kind == OK) & (length < 0.5), "low")
    is_strong = kind.isin(_TONES)
    return worst.assign(
        is_known=is_known, reason=reason.fillna(""), length=length, kind=kind, is_strong=is_strong,
        left=worst["hard"] - worst["used"], tone=kind.map(_TONES).fillna("text"),
        words_tone=np.where(is_strong, "ink", "text"),
    )  # fmt: skip
