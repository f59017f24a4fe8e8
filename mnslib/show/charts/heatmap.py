"""Since when and how often namespaces were at their quota, and whether a change helped.

One cell a day: the day's peak of a namespace's tightest quota value over the quota of that same
day, in five bands that can be named.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import BODY, MARGIN, SMALL, Canvas, Chart
from mnslib.show.charts.marks import DOTTED, HATCH, Column, Fill, Grid, Stroke, Words
from mnslib.show.tokens import HEAT_FROM

MOST_ROWS = 32
LONG_DAYS = 7
"""A week at 90 % or more is what the title counts; in a shorter period, one day."""
_BOUNDS = np.array(HEAT_FROM) - 1e-6
"""Between the bands; ratios come from float32 samples."""
_BANDS = ("under 50 %", "50–70 %", "70–90 %", "90–100 %", "at the quota")
_TIGHT, _FULL, _NO_SAMPLES, _NOT_BORN = 3, 4, 5, 6
_FILLS = (*map(Fill, colors.HEAT[:3]), Fill(colors.HEAT[3], foot=colors.WARNING_TEXT),
          Fill(colors.HEAT[4]), HATCH)  # fmt: skip
_TICK = Stroke(colors.INK, 5)
_TIGHTEST = (
    "Tightest value: of the four quota values of a namespace the fullest now where that is at 90 % "
    "or above, else the one that came nearest to its quota on any day."
)


@dataclass(frozen=True, slots=True)
class _Space:
    """One row: its band on each day, and what stands beside it."""

    name: str
    cluster: str
    value: str
    bands: tuple[int, ...]
    changed: tuple[date, ...]
    last_ratio: float
    is_new: bool
    reason: str

    @property
    def days_full(self) -> int:
        return self.bands.count(_FULL)

    @property
    def days_tight(self) -> int:
        return self.days_full + self.bands.count(_TIGHT)

    @property
    def has_none(self) -> bool:
        """Whether there is no sample at all: unknown, or new."""
        return min(self.bands, default=_NO_SAMPLES) >= _NO_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """What is counted of all rows: bands are namespaces x days."""

    bands: NDArray[np.int64]
    is_new: NDArray[np.bool_]
    has_changes: bool

    @classmethod
    def of(cls, daily: pd.DataFrame, days: list[date]) -> _Fleet:
        ratios = daily[days].to_numpy(dtype=np.float64)
        bands = np.searchsorted(_BOUNDS, ratios, side="right")
        bands[np.isnan(ratios)] = _NO_SAMPLES
        seen = daily["first_seen"]
        born = seen.astype(object).where(seen.notna(), None).to_numpy(dtype="datetime64[D]")
        bands[np.array(days, dtype="datetime64[D]") < born[:, None]] = _NOT_BORN
        return cls(
            bands=bands,
            is_new=~np.isnat(born) & np.isnan(ratios).all(axis=1),
            has_changes=any(map(len, daily["quota_changed"])),
        )

    @property
    def has_none(self) -> NDArray[np.bool_]:
        """Return which rows have no sample at all."""
        has_none: NDArray[np.bool_] = np.all(self.bands >= _NO_SAMPLES, axis=1)
        return has_none


def utilization_heatmap(
    daily: pd.DataFrame,
    *,
    period: tuple[date, date],
    note: str = "",
    family: str | None = None,
) -> Chart:
    """Return the chart of daily peaks over that day's quota.

    Args:
        daily: from `capacity.daily.daily_peaks`; its order is kept.
        period: first and last day.
        note: sentences that the source line ends with, such as step and origin of the history.
        family: font family; None takes the first installed.
    """
    names: list[Any] = daily.columns.tolist()
    days = [name for name in names if isinstance(name, date)]
    fleet = _Fleet.of(daily, days)
    spaces = _spaces(daily[:MOST_ROWS], fleet, days)
    canvas, title = Canvas("utilization_heatmap", family=family), _title(fleet, days)
    canvas.heading(
        title,
        "Each day's highest requested over hard quota, of each namespace's tightest value; rows "
        "ordered by days at the quota, then by days at 90 % or above",
    )
    if spaces and days:
        canvas.legend(_marks(fleet))
        others = fleet.bands[MOST_ROWS:]
        grid = _draw_rows(canvas, spaces, days, foot=330 if len(others) else 220)
        if len(others):
            _draw_others(canvas, grid, others)
    else:
        canvas.note("Looked for samples of namespaces with a quota in this period.")
    source = (
        f"Source: ResourceQuota via Prometheus, {wording.period(*period)}, days in UTC. "
        f"{_TIGHTEST} White: the namespace did not exist yet. {note}"
    )
    return canvas.finish(
        source=source.strip(), alt=" ".join([f"{title}.", *_longest(spaces, fleet)])
    )


def _spaces(rows: pd.DataFrame, fleet: _Fleet, days: list[date]) -> list[_Space]:
    """Return the first rows of the fleet."""
    return [
        _Space(
            name=row["namespace_name"],
            cluster=row["cluster_name"],
            value=wording.RESOURCE_WORDS.get(row["resource"], ""),
            bands=tuple(bands.tolist()),
            changed=tuple(row["quota_changed"]),
            last_ratio=float(row[days[-1]]) if days else float("nan"),
            reason=row.get("reason", ""),
            is_new=bool(is_new),
        )
        for row, bands, is_new in zip(
            rows.to_dict("records"), fleet.bands, fleet.is_new, strict=False
        )
    ]


def _title(fleet: _Fleet, days: list[date]) -> str:
    total, new = len(fleet.bands), int(fleet.is_new.sum())
    unknown = int((fleet.has_none & ~fleet.is_new).sum())
    if new + unknown == total:
        of = f" for {wording.count(total, 'namespace')}" if total else ""
        return f"No history of a quota was found{of}"
    is_long = len(days) >= LONG_DAYS
    least, how = (LONG_DAYS, "a week or more") if is_long else (1, "at least a day")
    days_tight = np.isin(fleet.bands, (_TIGHT, _FULL)).sum(axis=1)
    amount = int((days_tight >= least).sum())
    who = wording.count(amount, "namespace") if amount else "No namespace"
    title = f"{who} spent {how} at or above 90 % of {'its' if amount <= 1 else 'their'} tightest "
    title += f"quota since {wording.day_until(days[0], days[-1])}"
    for number, word in ((unknown, "unknown"), (new, "new, without history yet")):
        title += f", {number:,} {wording.are(number)} {word}" if number else ""
    return title


def _longest(spaces: list[_Space], fleet: _Fleet) -> list[str]:
    full = int((fleet.bands == _FULL).any(axis=1).sum())
    return [
        f"Longest: {worst.name} on {worst.cluster}, "
        f"{wording.count(worst.days_full, 'day')} at the quota; {full:,} of "
        f"{wording.count(len(fleet.bands), 'namespace')} reached theirs."
        for worst in spaces[:1]
        if not worst.has_none
    ]


def _marks(fleet: _Fleet) -> list[tuple[Fill | Stroke, str]]:
    marks: list[tuple[Fill | Stroke, str]] = []
    if not fleet.has_none[0]:
        lightest = Fill(colors.HEAT[0], colors.AXIS)
        marks += zip((lightest, *_FILLS[1:_NO_SAMPLES]), _BANDS, strict=True)
    if (fleet.bands == _NO_SAMPLES).any():
        marks.append((HATCH, "unknown: no samples, or wrong ones"))
    if fleet.has_changes:
        marks.append((_TICK, "quota changed"))
    return marks


def day_cell(grid: Grid, index: int, days: int) -> tuple[float, float]:
    """Return left and right edge of a day's cell; the gap shrinks with the cell, then closes."""
    left, right = grid.x(index / days), grid.x((index + 1) / days)
    return left, right - (min(2.0, (right - left) / 8) if right - left >= 4 else 0.0)


def _draw_rows(canvas: Canvas, spaces: list[_Space], days: list[date], *, foot: float) -> Grid:
    names = Counter(space.name for space in spaces)
    clusters = [space.cluster if names[space.name] > 1 else "" for space in spaces]
    values = [Words(space.value, colors.TEXT) for space in spaces]
    tight, full, last = zip(*(_counts(space, days[-1]) for space in spaces), strict=True)
    grid = canvas.grid(
        [
            Column(cells=[Words(space.name) for space in spaces], least=160, most=270),
            Column(cells=[Words(cluster, colors.MUTED) for cluster in clusters], most=170),
            Column(head="tightest\nvalue", cells=values),
        ],
        [
            Column(head="days\n≥ 90 %", cells=tight, align="right"),
            Column(head="days\nfull", cells=full, align="right"),
            Column(head="last day", cells=last, align="right"),
        ],
        foot=foot,
    )
    draw_weeks(canvas, grid, days)
    for space, y in zip(spaces, grid.middles, strict=True):
        top, bottom = y - grid.height / 2, y + grid.height / 2 - 2
        for index, (day, band) in enumerate(zip(days, space.bands, strict=True)):
            left, right = day_cell(grid, index, len(days))
            if band != _NOT_BORN:
                canvas.box(left, top, right, bottom, _FILLS[band])
            if day in space.changed:
                canvas.line((left + right) / 2, top, (left + right) / 2, bottom, _TICK)
        if space.has_none:
            _say_why(canvas, grid, space, (top, bottom))
    canvas.y += 22
    return grid


def _say_why(canvas: Canvas, grid: Grid, space: _Space, between: tuple[float, float]) -> None:
    """Write into a row without any day why there is none; a long reason loses its end."""
    words = "new, no history yet" if space.is_new else space.reason
    (shown,) = canvas.wrap(words, grid.right - grid.left - 40, BODY, lines=1)
    if shown and not space.is_new:  # on white where it would stand on the hatch
        end = grid.left + 26 + canvas.width(shown)
        canvas.box(grid.left + 10, between[0] + 2, end, between[1] - 2, Fill())
    canvas.text(grid.left + 18, sum(between) / 2, shown, color=colors.TEXT)


def draw_weeks(canvas: Canvas, grid: Grid, days: list[date]) -> None:
    """Name the Mondays, as many as have room; the first day where no Monday is."""
    mondays = [index for index, day in enumerate(days) if day.weekday() == 0] or [0]
    free, y = grid.left, grid.top - 18
    for index in mondays:
        x, _ = day_cell(grid, index, len(days))
        words = wording.weekday(days[index])
        words += "" if days[index].year == days[-1].year else f" {days[index].year}"
        width = canvas.width(words, SMALL)
        if x >= free and x + width <= grid.right:
            canvas.text(x, y, words, size=SMALL, color=colors.MUTED)
            canvas.line(x - 1, y + 14, x - 1, grid.bottom, Stroke(colors.AXIS, 1.5, DOTTED))
            free = x + width + 16


def _counts(space: _Space, day: date) -> tuple[Words, Words, Words]:
    """Return the days at 90 % and more, those at the quota, and the last day."""
    if space.has_none:
        word = "new" if space.is_new else wording.UNKNOWN
        return Words(word, colors.TEXT, spans=True), Words(), Words()
    tight, full = space.days_tight, space.days_full
    requoted = ", quota changed" if day in space.changed else ""
    return (
        Words(f"{tight}", bold=tight >= LONG_DAYS),
        Words(f"{full or '–'}", colors.CRITICAL if full else colors.MUTED),
        Words(f"{wording.percent(space.last_ratio)}{requoted}", colors.TEXT),
    )


def _draw_others(canvas: Canvas, grid: Grid, others: NDArray[np.int64]) -> None:
    """Draw the rows that have no line of their own as shares per day, worst band at the bottom."""
    top, height = canvas.y + 4, 84
    canvas.text(MARGIN, top + 12, f"The other {len(others):,}", bold=True)
    for y, words in ((38, "share of namespaces"), (60, "in each band, per day")):
        canvas.text(MARGIN, top + y, words, size=SMALL, color=colors.MUTED)
    for index, bands in enumerate(others.T):
        left, right = day_cell(grid, index, others.shape[1])
        counts = np.bincount(bands, minlength=_NOT_BORN + 1)
        bottom = top + height
        for band in (_FULL, _TIGHT, 2, 1, 0, _NO_SAMPLES):
            share = counts[band] / len(others) * height
            if share:
                canvas.box(left, bottom - share, right, bottom, _FILLS[band])
            bottom -= share
    for y, words in ((6, "100 %"), (height - 6, "0 %")):
        canvas.text(grid.right + 12, top + y, words, size=SMALL, color=colors.MUTED)
    canvas.y = top + height + 18
