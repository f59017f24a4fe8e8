"""Since when and how often namespaces were at their quota, and whether a change helped.

One cell a day: the day's peak of a namespace's tightest quota value over the quota of that same
day, in five bands that can be named.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import DOTTED, HATCH, MARGIN, SMALL, Column, Floats, Grid, Look, Sheet
from mnslib.show.tokens import HEAT_FROM

MOST_ROWS = 32
LONG_DAYS = 7
"""A week at 90 % or more is what the title counts; in a shorter period, one day."""
_BOUNDS = np.array(HEAT_FROM) - 1e-6
"""Between the bands; ratios come from float32 samples."""
_BANDS = ("under 50 %", "50–70 %", "70–90 %", "90–100 %", "at the quota")
_TIGHT, _FULL, _NO_SAMPLES, _NOT_BORN = 3, 4, 5, 6
_LOOKS = (
    *map(Look, colors.HEAT[:3]), Look(colors.HEAT[3], foot=colors.WARNING_TEXT),
    Look(colors.HEAT[4]), HATCH,
)  # fmt: skip
_TICK, _WEEK = Look(colors.INK, line=5), Look(colors.AXIS, line=1.5, style=DOTTED)


def utilization_heatmap(daily: pd.DataFrame, *, period: tuple[date, date], note: str = "") -> Chart:
    """Return the chart of daily peaks over that day's quota.

    Args:
        daily: from `capacity.daily.daily_peaks`; its order is kept.
        period: first and last day.
        note: sentences that the source line ends with, such as step and origin of the history.
    """
    names: list[Any] = daily.columns.tolist()
    days = [name for name in names if isinstance(name, date)]
    bands, rows = _banded(daily, days)
    tight, is_long = rows["tight"], len(days) >= LONG_DAYS
    new = int(rows["is_new"].sum())
    unknown = int(rows["has_none"].sum()) - new
    sheet = Sheet(
        "utilization_heatmap",
        {
            "total": len(rows), "new": new, "unknown": unknown, "new_and_unknown": new + unknown,
            "tight": int((tight >= (LONG_DAYS if is_long else 1)).sum()),
            "how_long": "a week or more" if is_long else "at least a day",
            "since": wording.day_until(days[0], days[-1]) if days else "", "period": period,
            "full": int((rows["full"] > 0).sum()), "note": note,
            "longest": rows[:1][~rows["has_none"][:1]].to_dict("records"),
        },
    )  # fmt: skip
    if rows.empty or not days:
        return sheet.nothing()
    has_bands = not rows["has_none"].iloc[0]
    marks = zip((Look(colors.HEAT[0], colors.AXIS), *_LOOKS[1:5]), _BANDS, strict=True)
    sheet.legend(
        [
            *((look, words, has_bands) for look, words in marks),
            (HATCH, "unknown: no samples, or wrong ones", (bands == _NO_SAMPLES).any()),
            (_TICK, "quota changed", any(map(len, rows["quota_changed"]))),
        ]
    )
    others = bands[MOST_ROWS:]
    grid = _draw_rows(sheet, rows[:MOST_ROWS], bands, days, foot=330 if len(others) else 220)
    if len(others):
        _draw_others(sheet, grid, others)
    return sheet.finish()


def _banded(daily: pd.DataFrame, days: list[date]) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Return the bands (namespaces x days), and the rows with what is counted of them."""
    ratios = daily[days].to_numpy(dtype=np.float64)
    bands = np.searchsorted(_BOUNDS, ratios, side="right")
    bands[np.isnan(ratios)] = _NO_SAMPLES
    seen = daily["first_seen"]
    born = seen.astype(object).where(seen.notna(), None).to_numpy(dtype="datetime64[D]")
    bands[np.array(days, dtype="datetime64[D]") < born[:, None]] = _NOT_BORN
    rows = daily.drop(columns=days).assign(
        full=(bands == _FULL).sum(axis=1),
        tight=np.isin(bands, (_TIGHT, _FULL)).sum(axis=1),
        has_none=bands.min(axis=1, initial=_NOT_BORN) >= _NO_SAMPLES,
        is_new=~np.isnat(born) & np.isnan(ratios).all(axis=1),
        last=ratios[:, -1] if days else np.nan,
    )
    return bands, rows if "reason" in rows else rows.assign(reason="")


def day_cells(grid: Grid, days: int) -> tuple[Floats, Floats]:
    """Return both edges of each day's cell; the gap shrinks with the cell, then closes."""
    edges = grid.x(np.arange(days + 1) / max(days, 1))
    wide = (grid.right - grid.left) / max(days, 1)
    return edges[:-1], edges[1:] - (min(2.0, wide / 8) if wide >= 4 else 0.0)


def draw_weeks(sheet: Sheet, grid: Grid, days: list[date]) -> None:
    """Name the Mondays, as many as have room; the first day where no Monday is."""
    free, (lefts, _) = grid.left, day_cells(grid, len(days))
    for index in [index for index, day in enumerate(days) if day.weekday() == 0] or [0]:
        x, words = lefts[index], wording.weekday(days[index])
        words += "" if days[index].year == days[-1].year else f" {days[index].year}"
        width = sheet.width(words, SMALL)
        if x >= free and x + width <= grid.right:
            sheet.label(x, grid.top - 18, words)
            sheet.vlines(x - 1, grid.top - 4, grid.bottom, _WEEK)
            free = x + width + 16


def _draw_rows(
    sheet: Sheet, rows: pd.DataFrame, bands: NDArray[np.int64], days: list[date], *, foot: float
) -> Grid:
    is_double, none = rows["namespace_name"].duplicated(keep=False), rows["has_none"]
    changed = np.array([[day in found for day in days] for found in rows["quota_changed"]])
    full, last = rows["full"].astype(str).replace("0", "–"), rows["last"].map(wording.percent)
    last += np.where(changed[:, -1], ", quota changed", "")
    word = rows["is_new"].map({True: "new", False: wording.UNKNOWN})
    red = np.where(rows["full"] > 0, colors.CRITICAL, colors.MUTED)
    grid = sheet.grid(
        [
            Column(rows["namespace_name"], least=160, most=270),
            Column(rows["cluster_name"].where(is_double, ""), "", colors.MUTED, most=170),
            Column(rows["resource"].map(wording.RESOURCE_WORDS).fillna(""), "tightest\nvalue",
                   colors.TEXT),
        ],
        [
            Column(rows["tight"].astype(str).mask(none, word), "days\n≥ 90 %",
                   np.where(none, colors.TEXT, colors.INK), rows["tight"] >= LONG_DAYS, "right"),
            Column(full.mask(none, ""), "days\nfull", red, align="right"),
            Column(last.mask(none, ""), "last day", colors.TEXT, align="right"),
        ],
        foot=foot,
    )  # fmt: skip
    draw_weeks(sheet, grid, days)
    (row, day), (lefts, rights) = (
        np.nonzero(bands[: len(rows)] < _NOT_BORN),
        day_cells(grid, len(days)),
    )
    looks = [_LOOKS[band] for band in bands[row, day]]
    sheet.bars(lefts[day], rights[day], grid.ys[row] - 1, grid.step - 2, looks)
    row, day = np.nonzero(changed)
    top, middles = grid.ys[row] - grid.step / 2, (lefts + rights) / 2
    sheet.vlines(middles[day], top, top + grid.step - 2, _TICK)
    for y, reason, is_new in zip(
        grid.ys[none], rows.loc[none, "reason"], rows.loc[none, "is_new"], strict=True
    ):
        words = "new, no history yet" if is_new else reason
        (shown,) = sheet.wrap(words, grid.right - grid.left - 40, lines=1)
        sheet.text(grid.left + 18, y - 1, shown, color=colors.TEXT, ground=colors.WHITE)
    sheet.y += 22
    return grid


def _draw_others(sheet: Sheet, grid: Grid, others: NDArray[np.int64]) -> None:
    """Draw the rows that have no line of their own as shares per day, worst band at the bottom."""
    top, height = sheet.y + 4, 84
    sheet.text(MARGIN, top + 12, f"The other {len(others):,}", bold=True)
    for y, words in ((38, "share of namespaces"), (60, "in each band, per day")):
        sheet.label(MARGIN, top + y, words)
    lefts, rights = day_cells(grid, others.shape[1])
    bottom = np.full(others.shape[1], top + height)
    for band in (_FULL, _TIGHT, 2, 1, 0, _NO_SAMPLES):
        share = (others == band).mean(axis=0) * height
        sheet.bars(lefts, np.where(share, rights, np.nan), bottom - share / 2, share, _LOOKS[band])
        bottom -= share
    for y, words in ((6, "100 %"), (height - 6, "0 %")):
        sheet.label(grid.right + 12, top + y, words)
    sheet.y = top + height + 18
