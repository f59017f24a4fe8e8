"""Who is at the quota, on which of the four values, and what is left.

One bar for the tightest value of each namespace, dots for the others, all namespaces in the strip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pandas as pd

from mnslib.capacity.quota_values import FULL, OK, TIGHT, TIGHT_RATIO
from mnslib.capacity.summaries import utilization_findings
from mnslib.capacity.utilization import tightest
from mnslib.models import QUOTA_FIELDS
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import AXIS_LINE, DASHED, HATCH, MARGIN, Column, Look, Sheet, top_rows
from mnslib.show.views import said
from mnslib.verdicts import unknown_reason

TOP = 26
NO_QUOTA = "no quota"
_LOOKS = {
    FULL: (Look(colors.CRITICAL), "full or over"),
    TIGHT: (Look(colors.WARNING, foot=colors.WARNING_TEXT), "at 90–100 %"),
    OK: (Look(colors.CALM), "at 50–90 %"),
    "low": (Look(colors.CALM_LOWER), "under 50 %"),
    NO_QUOTA: (Look(colors.PANEL, colors.AXIS), "without a quota"),
    wording.UNKNOWN: (HATCH, "unknown"),
}
_COLORS = {FULL: colors.CRITICAL, TIGHT: colors.WARNING_TEXT}
_OTHERS = Look(edge=colors.INK, dot=9)
_LINES = {
    0.5: (Look(colors.GRID, line=2), colors.MUTED, "center"),
    0.0: (AXIS_LINE, colors.MUTED, "left"),
    float(TIGHT_RATIO): (Look(colors.WARNING, line=3, style=DASHED), colors.WARNING_TEXT, "right"),
    1.0: (Look(colors.CRITICAL, line=3), colors.CRITICAL, "left"),
}


def utilization_now(table: pd.DataFrame, *, moment: datetime, note: str = "") -> Chart:
    """Return the chart of requested over hard quota, one row per namespace.

    Args:
        table: from `capacity.utilization.utilization_table`.
        moment: when the quotas were read.
        note: sentences that the source line ends with, such as where the history is from.
    """
    worst = tightest(table)
    rows = _worded(worst)
    fullest = rows[:1][rows["is_known"][:1]].to_dict("records")
    sheet = Sheet(
        "utilization_now",
        {
            "finding": said("utilization", utilization_findings(worst)),
            "moment": moment,
            "note": note,
            "fullest": fullest,
        },
    )
    if rows.empty:
        return sheet.nothing()
    counts = Counter(rows["kind"])
    sheet.text(MARGIN, sheet.y, f"All {wording.count(len(rows), 'namespace')}", bold=True)
    sheet.y += 20
    parts = [(counts[kind], words, look) for kind, (look, words) in _LOOKS.items()]
    sheet.strip(parts, height=26, others=[(_OTHERS, "the other quota values", fullest)])
    sheet.y += 10
    known, unknown = rows[rows["is_known"]], rows[~rows["is_known"]]
    often = unknown["reason"].map(unknown["reason"].value_counts())
    order = np.lexsort((-often, unknown["reason"] == NO_QUOTA))
    ordered = pd.concat([known, unknown.take(order)])
    shown, rest = top_rows(ordered, rows["is_known"], top=TOP)
    _draw_rows(sheet, shown)
    for sentence in _rest(shown, rest):
        sheet.note(sentence)
    return sheet.finish()


def _worded(worst: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with what they show: `kind` of bar, its `length`, and the texts beside it."""
    verdict, ratio = worst["verdict"], worst["utilization_ratio"]
    is_full = verdict == FULL  # a quota of 0 has no ratio
    reason = verdict.map(unknown_reason).astype(object)
    is_known = reason.isna()
    length = ratio.fillna(is_full.astype(float)).where(is_known, 1.0)
    kind = verdict.where(is_known, reason.where(reason == NO_QUOTA, wording.UNKNOWN))
    percent = ratio.map(wording.percent).mask(ratio.isna(), np.where(is_full, FULL, "0 %"))
    amounts = zip(worst["resource"], worst["hard"], worst["used"], strict=True)
    return worst.assign(
        is_known=is_known,
        reason=reason,
        length=length,
        kind=kind.mask((kind == OK) & (length < 0.5), "low"),
        percent=percent.where(is_known, kind.replace(NO_QUOTA, "–")),
        value=worst["resource"].map(wording.RESOURCE_WORDS).where(is_known, reason),
        left=np.where(is_known, [_left(*one) for one in amounts], ""),
    )


def _left(resource: str, hard: float, used: float) -> str:
    of = wording.quota(resource, hard) if hard else "a quota of 0"
    if used > hard:
        return f"{wording.quantity(resource, used - hard)} over {of}"
    return f"{wording.quantity(resource, hard - used) if hard > used else '0'} left of {of}"


def _draw_rows(sheet: Sheet, rows: pd.DataFrame) -> None:
    kind = rows["kind"]
    strong = kind.isin(_COLORS)
    words = np.where(strong, colors.INK, colors.TEXT)
    grid = sheet.grid(
        [
            Column(rows["namespace_name"], "Namespace", bold=strong, most=280),
            Column(rows["cluster_name"], "Cluster", colors.MUTED),
        ],
        [
            Column(rows["percent"], "", kind.map(_COLORS).fillna(colors.TEXT), strong, "right"),
            Column(rows["value"], "Tightest value", colors.TEXT),
            Column(rows["left"], "What is left", words, least=230, most=400),
        ],
        striped=True,
    )
    looks = [_LOOKS[one][0] for one in kind]
    for share, (line, color, align) in _LINES.items():
        x, label = grid.x(share), wording.percent(share)
        sheet.label(x, grid.top - 18, label, color=color, bold=share > 0.5, align=align)
        sheet.vlines(x, grid.top, grid.bottom, line)
        if share == 0.5:  # lies below the bars
            ends = grid.x(rows["length"].clip(upper=1)) + 10 * (rows["length"] > 1)
            sheet.bars(grid.left, ends, grid.ys, 14, looks)
    for field in QUOTA_FIELDS:
        others = rows[f"{field}_ratio"].where(rows["resource"] != field).clip(upper=1)
        sheet.dots(grid.x(others), grid.ys, _OTHERS)
    sheet.y += 24


def _rest(shown: pd.DataFrame, rest: pd.DataFrame) -> Iterator[str]:
    """Yield one sentence on unknown ones left out, and one on the others."""
    known, unknown = rest[rest["is_known"]], Counter(rest["reason"].dropna())
    if unknown:
        is_same = set(unknown) == set(shown["reason"].dropna()) and len(unknown) == 1
        words = "unknown for the same reason" if is_same else f"unknown: {_reasons(unknown)}"
        words = "without a quota" if is_same and NO_QUOTA in unknown else words
        yield f"and {unknown.total():,} more {words}"
    if len(known):
        counts, highest = Counter(known["kind"]), int(known["length"].max() * 100 + 1e-5) + 1
        parts = {"full": counts[FULL], "at 90 % or above": counts[TIGHT]}
        under, where = f", all under {highest} %", "in tables/utilization.csv"
        yield wording.more(len(known), "namespace", parts, otherwise=under, where=where)


def _reasons(unknown: Counter[str]) -> str:
    found = unknown.most_common()
    words = [f"{amount:,} ({wording.cut_middle(reason, 60)})" for reason, amount in found[:3]]
    others = sum(amount for _, amount in found[3:])
    return wording.listing([*words, *([f"{others:,} for other reasons"] if others else [])])
