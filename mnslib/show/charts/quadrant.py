"""Shrink, grow, fix requests or healthy: two ratios, and one dot per namespace.

Regions are shaded and counted, the area of a dot is the CPU quota, and only the large have names.
"""

from datetime import datetime
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity import advice
from mnslib.capacity.advice import FIX, FIX_BELOW, GROW, GROW_FROM, HEALTHY, SHRINK, SHRINK_BELOW
from mnslib.capacity.quota_values import BARE
from mnslib.show import wording
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import LOOKS, MARGIN, RIGHT, Floats, Grid, Sheet
from mnslib.show.views import said

ACROSS, UP, EDGE = 1.12, 1.22, 0.02
"""Ends of the axes; what lies beyond is drawn that far from the edge."""
HEIGHT, LARGEST, SMALLEST = 780, 54.0, 7.0
"""Pixels: of the plot, and diameters of dots."""
LEFT = MARGIN + 110
NAMED, MOST_COVERED = 4, 3
"""Names in each region, and small dots that one may cover; a boundary counts as two."""
_REGIONS = {
    SHRINK: ("Shrink the quota", (0, 0, SHRINK_BELOW, UP)),
    HEALTHY: ("Healthy", (SHRINK_BELOW, FIX_BELOW, GROW_FROM, UP)),
    GROW: ("Grow the quota", (GROW_FROM, FIX_BELOW, ACROSS, UP)),
    FIX: ("Fix the requests", (SHRINK_BELOW, 0, ACROSS, FIX_BELOW)),
}
"""By advice, which is its look, the title of a part of the plot, and its corners in ratios."""
_NAMED_FIRST = (GROW, FIX, SHRINK, HEALTHY)
"""Which names take their places first; one of the first region stands whatever it covers."""
_LINES = {GROW_FROM: "at_90", 1.0: "at_100"}
_Box = tuple[float, float, float, float]


def quadrant(layers: pd.DataFrame, *, moment: datetime, note: str = "") -> Chart:
    """Return the chart of how much of each quota is requested, and how much of that is used.

    Args:
        layers: from `capacity.layers.layers_table`.
        moment: when the quotas were read; the window of 7 days ends there.
        note: sentences that the source line ends with.
    """
    spaces = advice.advised(layers)
    known = spaces[spaces["advice"] != ""]
    drawn = known[known["usage_ratio"].notna()]
    bare = int(((spaces["advice"] == "") & spaces["reason"].isin(["", BARE])).sum())
    is_beyond = (drawn["tightest_ratio"] >= ACROSS - EDGE) | (drawn["usage_ratio"] >= UP - EDGE)
    sums = known.groupby("advice")["cores"].agg(["size", "sum"]).reindex(list(_REGIONS)).fillna(0)
    sheet = Sheet(
        "quadrant", finding=said("advice", advice.advice_findings(spaces)), moment=moment,
        note=note, shrink=SHRINK_BELOW, grow=GROW_FROM, fix=FIX_BELOW, beyond=is_beyond.sum(),
        counts=[(int(sums["size"][name]), title) for name, (title, _) in _REGIONS.items()],
        missing=[("that request nothing", len(known) - len(drawn)), ("without a quota", bare),
                 ("unknown", len(spaces) - len(known) - bare)], known=len(known),
    )  # fmt: skip
    if known.empty:
        return sheet.nothing()
    # scaled so that 1 is all of the quota, and of what is requested
    top, bottom = sheet.y + 96, sheet.y + 96 + HEIGHT
    plot = Grid(LEFT, LEFT + (RIGHT - LEFT) / ACROSS, bottom - HEIGHT / UP, bottom)
    for region, (_, (left, low, right, high)) in _REGIONS.items():
        end = plot.x(right) - (0 if right == ACROSS else 3)  # white lines part them
        y0, y1 = plot.y(high), plot.y(low) - (0 if low == 0 else 3)
        tint = LOOKS[region].tint
        sheet.bars(plot.x(left), end, (y0 + y1) / 2, y1 - y0, region, color=tint)
    _draw_axes(sheet, plot, top)
    for ratio, look in _LINES.items():
        sheet.vlines(plot.x(ratio), top, bottom, look)
    dots = _draw_dots(sheet, drawn, plot)
    taken: list[_Box] = []
    for region in _REGIONS:
        _head(sheet, region, sums.loc[region], plot, top, taken)
    reach = dots[["wide"]].to_numpy() / 2 * [-1, -1, 1, 1]
    taken += map(tuple, (dots[["x", "y", "x", "y"]].to_numpy() + reach)[: 4 * NAMED])
    for region in _NAMED_FIRST:
        named: list[Any] = dots[dots["advice"] == region].head(NAMED).to_dict("records")
        for row in named:
            _write_name(sheet, row, dots[["x", "y"]].to_numpy(), plot, top, taken)
    sheet.y = bottom + 76
    return sheet.finish()


def _draw_axes(sheet: Sheet, plot: Grid, top: float) -> None:
    below, beside = plot.bottom + 20, LEFT - 12
    for across, up in zip((0, 25, 50, 75, 90, 100), (0, 20, 40, 60, 80, 100), strict=True):
        unit = " %" if across == 100 else ""
        sheet.label(plot.x(across / 100), below, f"{across}{unit}", align="center")
        sheet.label(beside, plot.y(up / 100) - 10 * (up == 0), f"{up}{unit}", align="right")
    sheet.label(RIGHT, below, f"over {ACROSS - EDGE:.0%}"[:-1], align="right")
    sheet.label(beside, plot.y(UP - EDGE), f"over {UP - EDGE:.0%}"[:-1], align="right")
    middle, words = (LEFT + RIGHT) / 2, "Requested, share of the quota"
    sheet.label(middle, below + 32, words, color="text", align="center")
    sheet.label(MARGIN, top - 96, "Used, share of requested", color="text")


def _head(sheet: Sheet, region: str, sums: Any, plot: Grid, top: float, taken: list[_Box]) -> None:
    """Write what a region is called and holds: above the plot, or inside at its bottom left."""
    (title, (left, low, right, _)), look = _REGIONS[region], LOOKS[region]
    is_inside = low == 0 < left
    x, y = plot.x(left) + 2, top - 36
    if is_inside:
        x, y = x + 12, plot.bottom - 54
    number = int(sums["size"])
    count, cores = wording.count(number, "namespace"), wording.cores(sums["sum"])
    texts = (f"{count}, {cores} of quota", f"{count}, {cores}", f"{number:,}, {cores}")
    fitting = (text for text in texts if sheet.width(text) <= plot.x(right) - x)
    text, ground = next(fitting, f"{number:,}"), look.tint if is_inside else ""
    sheet.text(x, y - 8, title, size=11, color=look.words, bold=True, ground=ground)
    sheet.text(x, y + 20, text, color="text", ground=ground)  # dots may lie there
    if is_inside:
        width = max(sheet.width(text), sheet.width(title, 11, bold=True))
        taken.append((x - 8, y - 28, x + width + 8, y + 36))


def _draw_dots(sheet: Sheet, drawn: pd.DataFrame, plot: Grid) -> pd.DataFrame:
    """Return where each dot lies, the large first: so they are drawn, and the small lie on them."""
    largest = LARGEST * (0.6 if len(drawn) > 150 else 1)  # many are drawn smaller
    most = drawn["cores"].max() or 1.0
    dots = drawn.assign(
        x=plot.x(drawn["tightest_ratio"].clip(upper=ACROSS - EDGE)),
        y=plot.y(drawn["usage_ratio"].clip(upper=UP - EDGE)),
        wide=(largest * (drawn["cores"] / most) ** 0.5).clip(lower=SMALLEST).round(),
    ).sort_values(["cores", "namespace_name"], ascending=[False, True])
    for region in _REGIONS:
        own = dots[dots["advice"] == region]
        for wide in own["wide"].unique():  # three times as fast as all sizes together
            same = own[own["wide"] == wide]
            sheet.dots(same["x"], same["y"], region, float(wide))
    return dots


def _write_name(
    sheet: Sheet, row: dict[str, Any], dots: Floats, plot: Grid, top: float, taken: list[_Box]
) -> None:
    """Write the name beside its dot where it covers least, nowhere if it would cover much."""
    name = wording.cut_middle(row["namespace_name"], 28)
    width, half = sheet.width(name), row["wide"] / 2
    beside = [(half + 8, 0.0), (-half - 8 - width, 0.0)]
    beside += product((-width / 2, 0.0, -width), (-half - 18, half + 18))
    beside += product((half, -half - width), (-half - 10, half + 10))
    least, best = np.inf, None
    for right, down in beside:
        x0, y0 = row["x"] + right, row["y"] + down - 13
        x1, y1 = x0 + width, y0 + 26
        if x0 < LEFT or x1 > RIGHT or y0 < top or y1 > plot.bottom:
            continue
        if all(x1 < a or x0 > c or y1 < b or y0 > d for a, b, c, d in taken):
            is_under = (dots >= (x0 - 4, y0)).all(axis=1) & (dots <= (x1 + 4, y1)).all(axis=1)
            crossed = sum(x0 - 4 < plot.x(ratio) < x1 + 4 for ratio in _LINES)
            if (covered := is_under.sum() + 2 * crossed) < least:
                least, best = covered, (x0, y0, x1, y1)
    if best and (row["advice"] == _NAMED_FIRST[0] or least <= MOST_COVERED):
        sheet.text(best[0], best[1] + 13, name, ground="white")
        taken.append(best)
