"""Since when and how often namespaces were at their quota, and whether a change helped.

One cell a day: the day's peak over the quota of that same day, in five bands that can be named.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.reporting import wording
from mnslib.reporting.charts.canvas import (
    AXIS,
    CRITICAL,
    DOTTED,
    HATCH,
    HEAT,
    INK,
    MARGIN,
    MUTED,
    RIGHT,
    SMALL,
    TEXT,
    WARNING_TEXT,
    Canvas,
    Chart,
    Fill,
    Stroke,
)

MOST_ROWS = 32
LONG_DAYS = 7
"""A week at 90 % or more is what the title counts; in a shorter period, one day."""
_BOUNDS = (0.5, 0.7, 0.9, 1.0)
_NOISE = 1e-6
"""Ratios come from float32 samples."""
_BANDS = ("under 50 %", "50–70 %", "70–90 %", "90–100 %", "at the quota")
_TIGHT, _FULL, _NO_SAMPLES, _NOT_BORN = 3, 4, 5, 6
_FILLS = tuple(
    Fill(color, foot=WARNING_TEXT if band == _TIGHT else None) for band, color in enumerate(HEAT)
)
_TICK = Stroke(INK, 5)
_LEFT, _CELLS_END = 330.0, 1290.0
_QUOTA_WORDS = {
    "cpu_request": "CPU",
    "cpu_limit": "CPU limit",
    "memory_request": "memory",
    "memory_limit": "memory limit",
}
_FIELDS = ("cluster_name", "namespace_name", "first_seen", "quota_changed")


@dataclass(frozen=True, slots=True)
class _Space:
    """One row: its band on each day, and what stands beside it."""

    name: str
    cluster: str
    bands: tuple[int, ...]
    changed: tuple[date, ...]
    last_ratio: float

    @property
    def days_full(self) -> int:
        return self.bands.count(_FULL)

    @property
    def days_tight(self) -> int:
        return self.days_full + self.bands.count(_TIGHT)

    @property
    def is_unknown(self) -> bool:
        return min(self.bands, default=_NO_SAMPLES) >= _NO_SAMPLES

    @property
    def order(self) -> tuple[bool, int, int, float, str, str]:
        last = -1.0 if wording.is_unknown(self.last_ratio) else self.last_ratio
        full, tight = self.days_full, self.days_tight
        return (self.is_unknown, -full, -tight, -last, self.name, self.cluster)


def utilization_heatmap(
    daily: pd.DataFrame,
    *,
    period: tuple[date, date],
    resource: str = "cpu_request",
    note: str = "",
    family: str | None = None,
) -> Chart:
    """Return the chart of daily peaks over that day's quota, worst namespaces first.

    Args:
        daily: from `capacity.daily_peaks`.
        period: first and last day.
        resource: the quota field that `daily` was made for.
        note: sentences that the source line ends with, such as step and origin of the history.
        family: font family; None takes the first installed.
    """
    names: list[Any] = daily.columns.tolist()
    days = [name for name in names if isinstance(name, date)]
    spaces = sorted(_spaces(daily, days), key=lambda space: space.order)
    quota = _QUOTA_WORDS[resource]
    canvas = Canvas(family=family)
    canvas.heading(
        _title(spaces, len(days), quota),
        f"Highest requested {quota} of each day over the quota of that day; rows ordered by "
        " days at the quota, then by days above 90 %",
    )
    if spaces and days:
        _legend(canvas, spaces)
        _draw_rows(canvas, spaces[:MOST_ROWS], days)
        if len(spaces) > MOST_ROWS:
            _draw_others(canvas, spaces[MOST_ROWS:], len(days))
    else:
        canvas.note(f"Looked for samples of namespaces with a {quota} quota in this period.")
    source = (
        f"Source: ResourceQuota via Prometheus, {wording.period(*period)}, days in UTC. "
        f"Hatched: no samples (unknown). White: the namespace did not exist yet. {note}"
    )
    return canvas.finish(source=source.strip(), alt=_alt(spaces, len(days), quota))


def _spaces(daily: pd.DataFrame, days: list[date]) -> list[_Space]:
    ratios = daily[days].to_numpy(dtype=np.float64)
    found = []
    for place, row in enumerate(daily[list(_FIELDS)].to_dict("records")):
        bands = _bands(ratios[place])
        if not pd.isna(row["first_seen"]):
            bands[np.array([day < row["first_seen"] for day in days], dtype=bool)] = _NOT_BORN
        space = _Space(
            name=row["namespace_name"],
            cluster=row["cluster_name"],
            bands=tuple(bands.tolist()),
            changed=tuple(row["quota_changed"]),
            last_ratio=float(ratios[place][-1]) if days else float("nan"),
        )
        found.append(space)
    return found


def _bands(ratios: NDArray[np.float64]) -> NDArray[np.int64]:
    bands = np.searchsorted(np.array(_BOUNDS) - _NOISE, ratios, side="right")
    return np.where(np.isnan(ratios), _NO_SAMPLES, bands)


def _title(spaces: list[_Space], days: int, quota: str) -> str:
    unknown = sum(space.is_unknown for space in spaces)
    if unknown == len(spaces):
        total = wording.count(len(spaces), "namespace")
        return f"No history of a {quota} quota was found" + (f" for {total}" if spaces else "")
    least, how = (LONG_DAYS, "a week or more") if days >= LONG_DAYS else (1, "at least a day")
    amount = sum(space.days_tight >= least for space in spaces)
    who = wording.count(amount, "namespace") if amount else "No namespace"
    title = f"{who} spent {how} above 90 % of {'its' if amount <= 1 else 'their'} {quota} quota"
    title += f" in the last {wording.count(days, 'day')}"
    return title + (f", {unknown:,} {'is' if unknown == 1 else 'are'} unknown" if unknown else "")


def _alt(spaces: list[_Space], days: int, quota: str) -> str:
    title = _title(spaces, days, quota)
    if not spaces or spaces[0].is_unknown:
        return f"{title}."
    worst = spaces[0]
    full = sum(space.days_full > 0 for space in spaces)
    return (
        f"{title}. Longest: {worst.name} on {worst.cluster}, "
        f"{wording.count(worst.days_full, 'day')} at the quota; {full:,} of "
        f"{wording.count(len(spaces), 'namespace')} reached theirs."
    )


def _legend(canvas: Canvas, spaces: list[_Space]) -> None:
    entries: list[tuple[Fill | Stroke, str]] = []
    if not spaces[0].is_unknown:
        lightest = Fill(_FILLS[0].color, AXIS)
        entries += zip((lightest, *_FILLS[1:]), _BANDS, strict=True)
    if any(_NO_SAMPLES in space.bands for space in spaces):
        entries.append((HATCH, "no samples"))
    if any(space.changed for space in spaces):
        entries.append((_TICK, "quota changed"))
    canvas.legend(entries)


def _cell(index: int, days: int) -> tuple[float, float]:
    """Return left and right edge of a day's cell; the gap shrinks with the cell."""
    width = (_CELLS_END - _LEFT) / days
    return _LEFT + index * width, _LEFT + (index + 1) * width - min(2.0, width / 8)


def _draw_rows(canvas: Canvas, spaces: list[_Space], days: list[date]) -> None:
    height = 36 if len(spaces) <= 12 else 26
    _column_heads(canvas)
    top = canvas.y + 18
    _draw_weeks(canvas, days, canvas.y, top + height * len(spaces))
    for index, space in enumerate(spaces):
        y = top + height * index
        _draw_cells(canvas, space, days, y, y + height - 2)
        middle = y + (height - 2) / 2
        _name(canvas, space, spaces, middle)
        _counts(canvas, space, middle)
    canvas.y = top + height * len(spaces) + 22


def _column_heads(canvas: Canvas) -> None:
    full = _full_column(canvas)
    canvas.text(full - 40, canvas.y, "days", size=SMALL, color=MUTED, align="center")
    canvas.y += 26
    for x, words in ((full - 80, "≥ 90 %"), (full, "full"), (RIGHT, "last day")):
        canvas.text(x, canvas.y, words, size=SMALL, color=MUTED, align="right")


def _full_column(canvas: Canvas) -> float:
    return RIGHT - canvas.width("last day", SMALL) - 24


def _draw_weeks(canvas: Canvas, days: list[date], y: float, bottom: float) -> None:
    """Name the Mondays, as many as have room; the first day where no Monday is."""
    mondays = [index for index, day in enumerate(days) if day.weekday() == 0] or [0]
    free = _LEFT
    for index in mondays:
        x, _ = _cell(index, len(days))
        words = wording.weekday(days[index])
        width = canvas.width(words, SMALL)
        if x >= free and x + width <= _CELLS_END + 20:
            canvas.text(x, y, words, size=SMALL, color=MUTED)
            canvas.line(x - 1, y + 14, x - 1, bottom, Stroke(AXIS, 1.5, DOTTED))
            free = x + width + 16


def _draw_cells(canvas: Canvas, space: _Space, days: list[date], top: float, bottom: float) -> None:
    for index, band in enumerate(space.bands):
        left, right = _cell(index, len(days))
        if band != _NOT_BORN:
            canvas.box(left, top, right, bottom, _fill(band))
    for day in space.changed:
        if days[0] <= day <= days[-1]:
            left, right = _cell((day - days[0]).days, len(days))
            canvas.line((left + right) / 2, top, (left + right) / 2, bottom, _TICK)


def _fill(band: int) -> Fill:
    return HATCH if band == _NO_SAMPLES else _FILLS[band]


def _name(canvas: Canvas, space: _Space, spaces: list[_Space], y: float) -> None:
    """Write the name; its cluster follows where another row has the same name."""
    room = _LEFT - MARGIN - 20
    is_shared = sum(other.name == space.name for other in spaces) > 1
    if not is_shared:
        canvas.text(MARGIN, y, space.name, limit=room)
        return
    end = canvas.text(MARGIN, y, space.name, limit=room * 0.55)
    left = end + 8
    canvas.text(left, y, space.cluster, size=SMALL, color=MUTED, limit=MARGIN + room - left)


def _counts(canvas: Canvas, space: _Space, y: float) -> None:
    if space.is_unknown:
        canvas.text(RIGHT, y, wording.UNKNOWN, color=TEXT, align="right")
        return
    tight, full, x = space.days_tight, space.days_full, _full_column(canvas)
    canvas.text(x - 80, y, f"{tight}", bold=tight >= LONG_DAYS, align="right")
    canvas.text(x, y, f"{full or '–'}", color=CRITICAL if full else MUTED, align="right")
    canvas.text(RIGHT, y, wording.percent(space.last_ratio), color=TEXT, align="right")


def _draw_others(canvas: Canvas, others: list[_Space], days: int) -> None:
    """Draw the rows that have no line of their own as shares per day, worst band at the bottom."""
    top, height = canvas.y + 4, 92
    canvas.text(MARGIN, top + 12, f"The other {len(others):,}", bold=True)
    canvas.text(MARGIN, top + 38, "share of namespaces", size=SMALL, color=MUTED)
    canvas.text(MARGIN, top + 60, "in each band, per day", size=SMALL, color=MUTED)
    for index in range(days):
        left, right = _cell(index, days)
        found = [space.bands[index] for space in others]
        bottom = top + height
        for band in (_FULL, _TIGHT, 2, 1, 0, _NO_SAMPLES):
            share = found.count(band) / len(others) * height
            if share:
                canvas.box(left, bottom - share, right, bottom, _fill(band))
            bottom -= share
    canvas.text(_CELLS_END + 12, top + 6, "100 %", size=SMALL, color=MUTED)
    canvas.text(_CELLS_END + 12, top + height - 6, "0 %", size=SMALL, color=MUTED)
    canvas.y = top + height + 18
