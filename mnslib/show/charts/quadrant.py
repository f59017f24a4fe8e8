"""Shrink, grow, fix requests or healthy: two ratios, and one dot per namespace.

Regions are shaded and counted, the area of a dot is the CPU quota, and only the large have names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mnslib.capacity.advice import (
    FIX,
    FIX_BELOW,
    GROW,
    GROW_FROM,
    HEALTHY,
    SHRINK,
    SHRINK_BELOW,
    advice_findings,
    advised,
)
from mnslib.capacity.quota_values import BARE
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import DASHED, MARGIN, RIGHT, Floats, Look, Sheet
from mnslib.show.views import said

ACROSS, UP, EDGE = 1.12, 1.22, 0.02
"""Ends of the axes; what lies beyond is drawn that far from the edge."""
HEIGHT, LARGEST, SMALLEST = 780, 54.0, 7.0
"""Pixels: of the plot, and diameters of dots."""
LEFT = MARGIN + 110
NAMED, MOST_COVERED = 4, 3
"""Names in each region, and small dots that one may cover; a boundary counts as two."""
_MANY = 150  # dots from which they are drawn smaller


class _Region(NamedTuple):
    """A part of the plot: its corners in ratios, how it looks, and what it is called."""

    title: str
    corners: tuple[float, float, float, float]
    tint: str
    dot: str
    words: str


_REGIONS = {
    SHRINK: _Region("Shrink the quota", (0, 0, SHRINK_BELOW, UP), colors.GOOD_TINT, colors.GOOD,
                    colors.GOOD),
    HEALTHY: _Region("Healthy", (SHRINK_BELOW, FIX_BELOW, GROW_FROM, UP), colors.PANEL,
                     colors.CALM, colors.TEXT),
    GROW: _Region("Grow the quota", (GROW_FROM, FIX_BELOW, ACROSS, UP), colors.WARNING_TINT,
                  colors.WARNING, colors.WARNING_TEXT),
    FIX: _Region("Fix the requests", (SHRINK_BELOW, 0, ACROSS, FIX_BELOW), colors.FIX_TINT,
                 colors.FIX, colors.FIX),
}  # fmt: skip
_NAMED_FIRST = (GROW, FIX, SHRINK, HEALTHY)
"""Which names take their places first; one of the first region stands whatever it covers."""
_LINES = {
    GROW_FROM: Look(colors.WARNING, line=3, style=DASHED),
    1.0: Look(colors.CRITICAL, line=3),
}
_Box = tuple[float, float, float, float]


def quadrant(layers: pd.DataFrame, *, moment: datetime, note: str = "") -> Chart:
    """Return the chart of how much of each quota is requested, and how much of that is used.

    Args:
        layers: from `capacity.layers.layers_table`.
        moment: when the quotas were read; the window of 7 days ends there.
        note: sentences that the source line ends with.
    """
    spaces = advised(layers)
    known = spaces[spaces["advice"] != ""]
    drawn = known[known["usage_ratio"].notna()]
    bare = int(((spaces["advice"] == "") & spaces["reason"].isin(["", BARE])).sum())
    missing = {
        "that request nothing": len(known) - len(drawn),
        "without a quota": bare,
        "unknown": len(spaces) - len(known) - bare,
    }
    is_beyond = (drawn["tightest_ratio"] >= ACROSS - EDGE) | (drawn["usage_ratio"] >= UP - EDGE)
    sums = known.groupby("advice")["cores"].agg(["size", "sum"]).reindex(list(_REGIONS)).fillna(0)
    counts = [f"{wording.count(int(size), 'namespace')} {region.title[0].lower()}{region.title[1:]}"
              for size, region in zip(sums["size"], _REGIONS.values(), strict=True)]  # fmt: skip
    sheet = Sheet(
        "quadrant",
        {
            "finding": said("advice", advice_findings(layers)), "moment": moment, "note": note,
            "shrink": SHRINK_BELOW, "grow": GROW_FROM, "fix": FIX_BELOW,
            "beyond": int(is_beyond.sum()), "counts": counts if len(known) else [],
            "missing": [f"{count:,} {words}" for words, count in missing.items() if count],
        },
    )  # fmt: skip
    if known.empty:
        return sheet.nothing()
    top = sheet.y + 96
    for region in _REGIONS.values():
        left, low, right, high = region.corners  # white lines part them
        end = _x(right) - (0 if right == ACROSS else 3)
        y0, y1 = _y(high, top), _y(low, top) - (0 if low == 0 else 3)
        sheet.bars(_x(left), end, (y0 + y1) / 2, y1 - y0, Look(region.tint))
    _draw_axes(sheet, top)
    for ratio, look in _LINES.items():
        sheet.vlines(_x(ratio), top, top + HEIGHT, look)
    dots = _draw_dots(sheet, drawn, top)
    taken: list[_Box] = []
    for advice, region in _REGIONS.items():
        _head(sheet, region, sums.loc[advice], top, taken)
    reach = dots[["wide"]].to_numpy() / 2 * [-1, -1, 1, 1]
    taken += map(tuple, (dots[["x", "y", "x", "y"]].to_numpy() + reach)[: 4 * NAMED])
    places = dots[["x", "y"]].to_numpy()
    for advice in _NAMED_FIRST:
        named: list[Any] = dots[dots["advice"] == advice].head(NAMED).to_dict("records")
        for row in named:
            _write_name(sheet, row, places, top, taken)
    sheet.y = top + HEIGHT + 76
    return sheet.finish()


def _x(ratio: Any) -> Any:
    return LEFT + (RIGHT - LEFT) * ratio / ACROSS


def _y(ratio: Any, top: float) -> Any:
    return top + HEIGHT - HEIGHT * ratio / UP


def _draw_axes(sheet: Sheet, top: float) -> None:
    bottom, over = top + HEIGHT, f"over {(UP - EDGE) * 100:.0f}"
    for ratio in (0, 0.25, 0.5, 0.75, 0.9, 1):
        sheet.label(_x(ratio), bottom + 20, _percent(ratio), align="center")
    sheet.label(RIGHT, bottom + 20, f"over {(ACROSS - EDGE) * 100:.0f}", align="right")
    for ratio in (0, 0.2, 0.4, 0.6, 0.8, 1):
        y = _y(ratio, top) - (10 if ratio == 0 else 0)
        sheet.label(LEFT - 12, y, _percent(ratio), align="right")
    sheet.label(LEFT - 12, _y(UP - EDGE, top), over, align="right")
    middle, words = (LEFT + RIGHT) / 2, "Requested, share of the hard quota"
    sheet.label(middle, bottom + 52, words, color=colors.TEXT, align="center")
    sheet.label(MARGIN, top - 96, "Used, share of requested", color=colors.TEXT)


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.0f}{' %' if ratio == 1 else ''}"


def _head(sheet: Sheet, region: _Region, sums: Any, top: float, taken: list[_Box]) -> None:
    """Write what a region is called and holds: above the plot, or inside at its bottom left."""
    is_inside = region.corners[1] == 0 < region.corners[0]
    x, y = _x(region.corners[0]) + 2, top - 36
    if is_inside:
        x, y = x + 12, top + HEIGHT - 54
    room, number = _x(region.corners[2]) - x, int(sums["size"])
    count, cores = wording.count(number, "namespace"), wording.cores(sums["sum"])
    texts = (f"{count}, {cores} of quota", f"{count}, {cores}", f"{number:,}, {cores}")
    text = next((text for text in texts if sheet.width(text) <= room), f"{number:,}")
    ground = region.tint if is_inside else ""  # dots may lie there
    sheet.text(x, y - 8, region.title, size=11, color=region.words, bold=True, ground=ground)
    sheet.text(x, y + 20, text, color=colors.TEXT, ground=ground)
    if is_inside:
        width = max(sheet.width(text), sheet.width(region.title, 11, bold=True))
        taken.append((x - 8, y - 28, x + width + 8, y + 36))


def _draw_dots(sheet: Sheet, drawn: pd.DataFrame, top: float) -> pd.DataFrame:
    """Return where each dot lies, the large first: so they are drawn, and the small lie on them."""
    largest = LARGEST if len(drawn) <= _MANY else LARGEST * 0.6
    most = drawn["cores"].max() or 1.0
    dots = drawn.assign(
        x=_x(drawn["tightest_ratio"].clip(upper=ACROSS - EDGE)),
        y=_y(drawn["usage_ratio"].clip(upper=UP - EDGE), top),
        wide=(largest * (drawn["cores"] / most) ** 0.5).clip(lower=SMALLEST),
    ).sort_values(["cores", "namespace_name"], ascending=[False, True])
    for advice, region in _REGIONS.items():
        own = dots[dots["advice"] == advice]
        if len(own):
            look = Look(region.dot, colors.WHITE)
            sheet.dots(own["x"], own["y"], look, sizes=own["wide"].to_numpy())
    return dots


def _write_name(
    sheet: Sheet, row: dict[str, Any], dots: Floats, top: float, taken: list[_Box]
) -> None:
    """Write the name beside its dot where it covers least, nowhere if it would cover much."""
    name = wording.cut_middle(row["namespace_name"], 28)
    x, y, width, half = row["x"], row["y"], sheet.width(name), row["wide"] / 2
    lines = [_x(ratio) for ratio in _LINES]
    beside = [(x + half + 8, y), (x - half - 8 - width, y)]
    for up in (-1, 1):
        beside.append((x - width / 2, y + up * (half + 18)))
    for left in (x, x - width):
        beside += [(left, y - half - 18), (left, y + half + 18)]
    for left in (x + half, x - half - width):
        beside += [(left, y - half - 10), (left, y + half + 10)]
    found: list[tuple[int, _Box]] = []
    for left, middle in beside:
        x0, y0, x1, y1 = box = (left, middle - 13, left + width, middle + 13)
        if x0 < LEFT or x1 > RIGHT or y0 < top or y1 > top + HEIGHT:
            continue
        if all(x1 < a or x0 > c or y1 < b or y0 > d for a, b, c, d in taken):
            is_under = (dots >= (x0 - 4, y0)).all(axis=1) & (dots <= (x1 + 4, y1)).all(axis=1)
            crossed = sum(x0 - 4 < line < x1 + 4 for line in lines)
            found.append((int(is_under.sum()) + 2 * crossed, box))
    least, box = min(found, key=lambda each: each[0], default=(np.inf, (0, 0, 0, 0)))
    if found and (row["advice"] == _NAMED_FIRST[0] or least <= MOST_COVERED):
        sheet.text(box[0], (box[1] + box[3]) / 2, name, ground=colors.WHITE)
        taken.append(box)
