"""Shrink, grow, fix requests or healthy: two ratios, and one dot per namespace.

Regions are shaded and counted, the area of a dot is the CPU quota, and only the large have names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity import summaries
from mnslib.capacity.advice import (
    FIX,
    FIX_BELOW,
    GROW,
    GROW_FROM,
    HEALTHY,
    SHRINK,
    SHRINK_BELOW,
)
from mnslib.capacity.quota_values import BARE
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import MARGIN, RIGHT, SMALL, Canvas, Chart
from mnslib.show.charts.marks import DASHED, Fill, Stroke
from mnslib.show.views import finding

ACROSS, UP = 1.12, 1.22
"""Ends of the axes; what lies beyond is drawn at the edge."""
_EDGE = 0.02
HEIGHT, LARGEST, SMALLEST = 780, 54.0, 7.0
"""Pixels: of the plot, and diameters of dots."""
NAMED, MOST_COVERED = 4, 3
"""Names in each region, and small dots that one may cover; a boundary counts as two."""
_NAMED_FIRST = (GROW, FIX, SHRINK, HEALTHY)
"""Which names take their places first; one of the first region stands whatever it covers."""
_MANY = 150  # dots from which they are drawn smaller


@dataclass(frozen=True, slots=True)
class _Region:
    """A part of the plot: its corners in ratios, how it looks, and what it is called."""

    advice: str
    title: str
    corners: tuple[float, float, float, float]
    tint: str
    dot: str
    words: str


_REGIONS = (
    _Region(SHRINK, "Shrink the quota", (0, 0, SHRINK_BELOW, UP), colors.GOOD_TINT, colors.GOOD,
            colors.GOOD),
    _Region(HEALTHY, "Healthy", (SHRINK_BELOW, FIX_BELOW, GROW_FROM, UP), colors.PANEL,
            colors.CALM, colors.TEXT),
    _Region(GROW, "Grow the quota", (GROW_FROM, FIX_BELOW, ACROSS, UP), colors.WARNING_TINT,
            colors.WARNING, colors.WARNING_TEXT),
    _Region(FIX, "Fix the requests", (SHRINK_BELOW, 0, ACROSS, FIX_BELOW), colors.FIX_TINT,
            colors.FIX, colors.FIX),
)  # fmt: skip


@dataclass(slots=True)
class _Plot:
    """Where ratios lie on the sheet, and the places that names have taken."""

    top: float
    left: float = MARGIN + 110
    right: float = RIGHT
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    @property
    def bottom(self) -> float:
        return self.top + HEIGHT

    def x(self, ratio: float) -> float:
        return self.left + (self.right - self.left) * min(ratio, ACROSS - _EDGE) / ACROSS

    def edge(self, ratio: float) -> float:
        """Return the place of a region's edge, which may be the end of the axis."""
        return self.left + (self.right - self.left) * ratio / ACROSS

    def y(self, ratio: float) -> float:
        return self.bottom - HEIGHT * min(ratio, UP - _EDGE) / UP

    def is_free(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Return whether a label lies in the plot and on nothing that was placed before."""
        if x0 < self.left or x1 > self.right or y0 < self.top or y1 > self.bottom:
            return False
        return all(x1 < a or x0 > c or y1 < b or y0 > d for a, b, c, d in self.taken)


def quadrant(
    layers: pd.DataFrame, *, moment: datetime, note: str = "", family: str | None = None
) -> Chart:
    """Return the chart of how much of each quota is requested, and how much of that is used.

    Args:
        layers: from `capacity.layers.layers_table`.
        moment: when the quotas were read; the window of 7 days ends there.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    spaces, title = summaries.advised(layers), finding("advice", layers)
    canvas = Canvas("quadrant", family=family)
    canvas.heading(
        title,
        "Share of the quota that is requested (across), and of requests that are used (up). "
        "One dot per namespace, area = CPU quota",
    )
    known = spaces[spaces["advice"] != ""]
    drawn = known[known["usage_ratio"].notna()]
    if known.empty:
        canvas.note("Looked for namespaces with a quota and two days of samples of their use.")
    else:
        _draw_plot(canvas, known, drawn)
    counts = [
        f"{wording.count(int((known['advice'] == region.advice).sum()), 'namespace')} "
        f"{region.title[0].lower()}{region.title[1:]}"
        for region in _REGIONS
    ]
    alt = f"{title}. By advice: {wording.listing(counts)}." if len(known) else f"{title}."
    source = _source(spaces, known, drawn, wording.moment(moment))
    return canvas.finish(source=f"{source} {note}".strip(), alt=alt)


def _source(spaces: pd.DataFrame, known: pd.DataFrame, drawn: pd.DataFrame, at: str) -> str:
    bare = (spaces["advice"] == "") & spaces["reason"].isin(["", BARE])
    missing = {
        "that request nothing": len(known) - len(drawn),
        "without a quota": int(bare.sum()),
        "unknown": len(spaces) - len(known) - int(bare.sum()),
    }
    beyond = (drawn["tightest_ratio"] >= ACROSS - _EDGE) | (drawn["usage_ratio"] >= UP - _EDGE)
    said = [f"{count:,} {words}" for words, count in missing.items() if count]
    parts = [
        f"Source: ResourceQuota and measured use; 95th percentile of the 7 days up to {at}.",
        "Of CPU and memory the one that decides; requested: the fullest of requests in that time "
        "and of requests and limits now.",
        f"Boundaries are settings: {SHRINK_BELOW:.0%}, {GROW_FROM:.0%} across, {FIX_BELOW:.0%} up."
        .replace("%", " %"),
    ]  # fmt: skip
    if beyond.any():
        parts.append(f"At the edge: {int(beyond.sum()):,} beyond the axes.")
    return " ".join([*parts, *([f"Not drawn: {wording.listing(said)}."] if said else [])])


def _draw_plot(canvas: Canvas, known: pd.DataFrame, drawn: pd.DataFrame) -> None:
    plot = _Plot(top=canvas.y + 96)
    for region in _REGIONS:
        x0, y0, x1, y1 = region.corners
        gap = 0 if x1 == ACROSS else 3
        canvas.box(
            plot.edge(x0), plot.bottom - HEIGHT * y1 / UP, plot.edge(x1) - gap,
            plot.bottom - HEIGHT * y0 / UP - (0 if y0 == 0 else 3), Fill(region.tint),
        )  # fmt: skip
    _draw_axes(canvas, plot)
    for ratio, stroke in ((GROW_FROM, Stroke(colors.WARNING, 3, DASHED)),
                          (1.0, Stroke(colors.CRITICAL, 3))):  # fmt: skip
        canvas.line(plot.edge(ratio), plot.top, plot.edge(ratio), plot.bottom, stroke)
    ordered = _draw_dots(canvas, plot, drawn)
    for region in _REGIONS:
        _head(canvas, plot, region, known[known["advice"] == region.advice])
    _name_dots(canvas, plot, ordered)
    canvas.y = plot.bottom + 76


def _draw_axes(canvas: Canvas, plot: _Plot) -> None:
    over = f"over {(ACROSS - _EDGE) * 100:.0f}"
    canvas.text(RIGHT, plot.bottom + 20, over, size=SMALL, color=colors.MUTED, align="right")
    for ratio in (0, 0.25, 0.5, 0.75, 0.9, 1):
        canvas.text(plot.x(ratio), plot.bottom + 20, _percent(ratio, over), size=SMALL,
                    color=colors.MUTED, align="center")  # fmt: skip
    over = f"over {(UP - _EDGE) * 100:.0f}"
    for ratio in (0, 0.2, 0.4, 0.6, 0.8, 1, 2):
        label = _percent(ratio, over)
        canvas.text(plot.left - 12, plot.y(ratio) - (10 if ratio == 0 else 0), label, size=SMALL,
                    color=colors.MUTED, align="right")  # fmt: skip
    middle = (plot.left + plot.right) / 2
    canvas.text(middle, plot.bottom + 52, "Requested, share of the hard quota", size=SMALL,
                color=colors.TEXT, align="center")  # fmt: skip
    canvas.text(MARGIN, plot.top - 96, "Used, share of requested", size=SMALL, color=colors.TEXT)


def _percent(ratio: float, over: str) -> str:
    return over if ratio > 1 else f"{ratio * 100:.0f}{' %' if ratio == 1 else ''}"


def _head(canvas: Canvas, plot: _Plot, region: _Region, own: pd.DataFrame) -> None:
    """Write what a region is called and holds: above the plot, or inside at its bottom left."""
    x0, _, x1, _ = region.corners
    x, y = plot.edge(x0) + 2, plot.top - 36
    if region.advice == FIX:
        x, y = plot.edge(x0) + 14, plot.bottom - 54
    cores = wording.cores(own["cores"].sum())
    count = wording.count(len(own), "namespace")
    room = plot.edge(x1) - x
    texts = [f"{count}, {cores} of quota", f"{count}, {cores}", f"{len(own):,}, {cores}"]
    text = next((text for text in texts if canvas.width(text) <= room), f"{len(own):,}")
    ground = colors.WHITE  # inside the plot, dots may lie there
    canvas.text(x, y - 8, region.title, size=11, color=region.words, bold=True, ground=ground)
    canvas.text(x, y + 20, text, color=colors.TEXT, ground=ground)
    if region.advice == FIX:
        width = max(canvas.width(text), canvas.width(region.title, 11, bold=True))
        plot.taken.append((x - 8, y - 28, x + width + 8, y + 36))


def _draw_dots(canvas: Canvas, plot: _Plot, drawn: pd.DataFrame) -> pd.DataFrame:
    """Return where each dot lies, the large first: so they are drawn, and the small lie on them."""
    largest = LARGEST if len(drawn) <= _MANY else LARGEST * 0.6
    most = drawn["cores"].max() or 1.0
    ordered = drawn.assign(
        x=drawn["tightest_ratio"].map(plot.x),
        y=drawn["usage_ratio"].map(plot.y),
        wide=(largest * (drawn["cores"] / most) ** 0.5).clip(lower=SMALLEST),
    ).sort_values(["cores", "namespace_name"], ascending=[False, True])
    for region in _REGIONS:
        own = ordered[ordered["advice"] == region.advice]
        if len(own):
            x, y, wide = (own[name].to_numpy() for name in ("x", "y", "wide"))
            canvas.bubbles(x, y, wide, region.dot)
    return ordered


def _name_dots(canvas: Canvas, plot: _Plot, ordered: pd.DataFrame) -> None:
    """Write names where there is room, first of those that need more quota."""
    half = (ordered["wide"] / 2).to_numpy()
    places = ordered[["x", "y"]].to_numpy()
    for (x, y), radius in zip(places[: 4 * NAMED], half, strict=False):
        plot.taken.append((x - radius, y - radius, x + radius, y + radius))
    for advice in _NAMED_FIRST:
        named = ordered[ordered["advice"] == advice].head(NAMED)
        rows: list[Any] = named.to_dict("records")
        for row in rows:
            _write_name(canvas, plot, row, places)


def _write_name(
    canvas: Canvas, plot: _Plot, row: dict[str, Any], dots: NDArray[np.float64]
) -> None:
    """Write the name beside its dot where it covers least, nowhere if it would cover much.

    A boundary under it ends at its ground.
    """
    name = wording.cut_middle(row["namespace_name"], 28)
    x, y, width, half = row["x"], row["y"], canvas.width(name), row["wide"] / 2
    lines = [plot.edge(GROW_FROM), plot.edge(1.0)]
    found = []
    for left, middle in (
        (x + half + 8, y), (x - half - 8 - width, y),
        (x - width / 2, y - half - 18), (x - width / 2, y + half + 18),
        (x + half, y - half - 10), (x + half, y + half + 10),
        (x, y - half - 18), (x, y + half + 18),
        (x - width, y - half - 18), (x - width, y + half + 18),
        (x - half - width, y - half - 10), (x - half - width, y + half + 10),
    ):  # fmt: skip
        x0, y0, x1, y1 = box = (left, middle - 13, left + width, middle + 13)
        if plot.is_free(*box):
            is_under = (dots >= (x0 - 4, y0)).all(axis=1) & (dots <= (x1 + 4, y1)).all(axis=1)
            crossed = sum(x0 - 4 < line < x1 + 4 for line in lines)
            found.append((int(is_under.sum()) + 2 * crossed, box))
    is_first = row["advice"] == _NAMED_FIRST[0]
    if found and (is_first or min(found)[0] <= MOST_COVERED):
        _, box = min(found, key=lambda each: each[0])
        if any(box[0] - 4 < line < box[2] + 4 for line in lines):
            canvas.box(box[0] - 4, box[1], box[2] + 4, box[3], Fill(colors.WHITE))
        canvas.text(box[0], (box[1] + box[3]) / 2, name, ground=colors.WHITE)
        plot.taken.append(box)
