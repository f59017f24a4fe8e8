"""What a change does to what clusters have committed: before and after on one scale.

One cluster is drawn in detail; several as one row each. All bars are shares of the cluster's own
nodes, so that nodes and the limit stand at the same place for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from mnslib.commitment import Commitment, shortage
from mnslib.quantities import GIB, ZERO
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.commitment import ROWS, WITHOUT_LARGEST
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import (
    AXIS_LINE,
    DOTTED,
    HATCH,
    SMALL,
    Column,
    Grid,
    Look,
    Sheet,
    row_height,
    spread,
    top_rows,
)
from mnslib.verdicts import unknown_reason

HEADINGS = {"cpu": "CPU requests", "memory": "Memory requests"}
_REQUESTED, _COMMITTED = Look(colors.REQUESTED), Look(colors.UNREQUESTED)
_ADDED, _GIVEN_BACK = Look(colors.GOOD), Look(colors.PANEL, colors.AXIS)
_NODES, _LIMIT = Look(colors.INK, line=3), Look(colors.WARNING, line=3, style=DOTTED)

_SHARES = ("was", "now", "requested_before", "requested", "rest")
_TEXTS = ("change", "left", "after")

Commitments = Mapping[str, Mapping[str, Commitment]]
"""By cluster, as it is called in the picture, then by resource: `cpu` and `memory`."""
Changes = Mapping[str, Sequence[str]]
"""Names of the namespaces that change, by cluster."""
_Label = tuple[float, str, str, Look, float]
"""Where a line stands, its label, its color, its look, and how much of the label is left of it."""


def commitment_before_after(
    before: Commitments,
    after: Commitments,
    *,
    changes: Changes,
    moment: datetime,
    unknown: Mapping[str, str] | None = None,
) -> Chart:
    """Return the chart of what clusters have committed before and after a change.

    Args:
        before: what is committed now.
        after: what would be, for the same clusters.
        changes: what is changed, which titles name or count.
        moment: when clusters were read.
        unknown: clusters that could not be read, with the reason.
    """
    found, reasons = [], dict(unknown or {})
    for name, now in before.items():
        bad = [one.verdict for one in now.values() if one.committed_ratio is None]
        if bad:
            reasons[name] = unknown_reason(bad[0]) or ""
        else:
            found += [_compared(name, one, after[name][key]) for key, one in now.items()]
    facts = _facts(found, reasons, changes)
    limit = found[0]["limit"] if found else None
    sheet = Sheet(
        "commitment_before_after",
        facts | {"moment": moment, "limit": limit},
    )
    if not found and len(reasons) < 2:
        return sheet.nothing()
    sheet.legend(
        [
            (_REQUESTED, "requested now", True),
            (_COMMITTED, "committed, not requested", True),
            (_ADDED, facts["subject"], any(row["added"] > 0 for row in found)),
            (_GIVEN_BACK, "given back", any(row["added"] < 0 for row in found)),
            (WITHOUT_LARGEST, "nodes without the largest", True),
            (_NODES, "nodes now", True),
            (_LIMIT, f"{limit} × nodes", limit),
            (HATCH, "unknown", reasons),
        ]
    )
    sheet.y += 18
    for resource in HEADINGS:
        own = [row for row in found if row["resource"] == resource]
        if facts["total"] == 1:
            for row in own:
                _draw_one(sheet, row)
        else:
            none: dict[str, Any] = {"is_known": False, "fits": True, "is_over": False}
            none |= dict.fromkeys([*_SHARES, "order"], np.nan) | dict.fromkeys(_TEXTS, "")
            lost = [none | {"cluster": name, "before": f"unknown: {reason}"}
                    for name, reason in reasons.items()]  # fmt: skip
            rows = pd.DataFrame([*own, *lost]).sort_values(
                ["is_known", "fits", "order", "cluster"], ascending=[False, True, True, True]
            )
            _draw_many(sheet, resource, rows, limit)
    return sheet.finish()


def _compared(cluster: str, before: Commitment, after: Commitment) -> dict[str, Any]:
    """Return what is drawn of one cluster and resource; shares are of its nodes."""
    resource, nodes, limit = before.resource, after.allocatable, after.max_ratio
    added, missing = after.committed - before.committed, shortage(before, after)
    # what remains once the new quota is requested in full
    left = max(ZERO, min(before.headroom - added, after.headroom))

    def amount(value: Decimal) -> str:
        return wording.quantity(resource, value)

    def bare(value: Decimal) -> str:
        return wording.number(value if resource == "cpu" else value / GIB)

    sign = f"+{amount(added)}" if added > 0 else f"{wording.MINUS}{amount(-added)}"
    amounts = {
        "was": before.committed, "now": after.committed, "rest": after.without_largest_node,
        "requested_before": before.requested, "requested": after.requested,
    }  # fmt: skip
    return {
        "cluster": cluster, "resource": resource, "is_known": True, "limit": limit,
        "fits": not missing, "missing": float(missing / nodes), "short": amount(missing),
        # what does not fit first, by how much is short; then by the headroom left over
        "order": float((-missing or left) / nodes), "added": added, "freed": amount(-added),
        "needs_all": not missing and added > 0 and added > before.headroom,
        "is_held": before.without_largest_node < before.requested,
        "is_over": (after.over_limit or 0) > 0, "uncounted": before.uncounted,
        "change": sign if added else "–", "left": amount(left), "headroom": amount(before.headroom),
        "of": f"{bare(left)} of {bare(before.headroom)} {'cores' if resource == 'cpu' else 'GiB'}",
        "before": wording.times(before.committed_ratio),
        "after": wording.times(after.committed_ratio),
        "nodes": bare(nodes), "most": bare(nodes * (limit or 1)),
        "bare": {name: bare(value) for name, value in amounts.items()},
        **{name: float(value / nodes) for name, value in amounts.items()},
    }  # fmt: skip


def _facts(
    found: list[dict[str, Any]], reasons: Mapping[str, str], changes: Changes
) -> dict[str, Any]:
    def clusters(name: str, *, without: Sequence[str] = ()) -> list[str]:
        names = dict.fromkeys(row["cluster"] for row in found if row[name])
        return [name for name in names if name not in without]

    def subject(names: Sequence[str], own: str = "") -> str:
        changed = [name for cluster in names for name in changes.get(cluster, ())]
        many = f"{own} {wording.count(len(changed), 'change')}".strip()
        return wording.short(changed[0]) if len(changed) == 1 else many

    known, held = clusters("is_known"), clusters("is_held")
    lacking = [row for row in found if not row["fits"]]
    short, words = list(dict.fromkeys(row["cluster"] for row in lacking)), ""
    if lacking:  # the largest share of its nodes speaks for all
        worst = max(lacking, key=lambda row: row["missing"])
        kind = "" if worst["resource"] == "cpu" else " of memory"
        where = "" if len(short) == 1 else f" on {wording.short(worst['cluster'])}"
        words = f"short of {worst['short']}{kind}{where}"
    return {
        "clusters": known, "reasons": dict(reasons), "total": len(known) + len(reasons),
        "changes": sum(map(len, changes.values())), "subject": subject(list(changes)),
        "short": short, "short_subject": subject(short, "its" if len(short) == 1 else "their"),
        "shortage": words, "held": held, "needs_all": clusters("needs_all"),
        "since": clusters("needs_all", without=held),
        "gives_back": all(row["added"] <= 0 for row in found),
        "freed": [row["freed"] for row in found if row["added"]],
        "left": [row["of"] for row in found],
        "added": [row["change"][1:] for row in found if row["added"] > 0],
        "steps": sorted(found, key=lambda row: (row["fits"], row["order"], row["cluster"]))[:2],
        "uncounted": sum(row["uncounted"] for row in found if row["resource"] == "cpu"),
        "headings": HEADINGS,
    }  # fmt: skip


def _scale(grid: Grid, rows: pd.DataFrame, limit: Decimal | None) -> Callable[[Any], Any]:
    """Return where a share of the nodes lies; 1 is all nodes."""
    least = float(limit or 1) * 1.06
    highest = np.nanmax([least, *rows[[*_SHARES]].to_numpy(dtype=float).ravel()]) * 1.02
    return lambda share: grid.x(share / highest)


def _draw_bars(
    sheet: Sheet, x: Callable[[Any], Any], rows: pd.DataFrame, ys: Any, half: float
) -> None:
    """Draw what is committed and in it requested; at the end what is new, or given back."""
    zero, was, now = x(0.0), x(rows["was"]).to_numpy(), x(rows["now"]).to_numpy()
    lower = np.minimum(was, now)
    upper = np.maximum(np.maximum(was, now), lower + 2)
    sheet.bars(zero, lower, ys, 2 * half, _COMMITTED)
    sheet.bars(lower, np.where(now > was, upper, np.nan), ys, 2 * half, _ADDED)
    sheet.bars(lower, np.where(now < was, upper, np.nan), ys, 2 * half, _GIVEN_BACK)
    sheet.bars(zero, x(rows["requested"]), ys, 1.2 * half, _REQUESTED)


def _draw_lines(sheet: Sheet, grid: Grid, labels: Sequence[_Label]) -> None:
    """Draw lines over all rows, each with its label."""
    widths = [sheet.width(label, SMALL) for _, label, *_ in labels]
    wanted = [x - part * width + 12 * (0.5 - part)
              for (x, *_, part), width in zip(labels, widths, strict=True)]  # fmt: skip
    places = spread(wanted, widths, low=grid.left + 30, high=grid.right + 30, gap=14)
    for place, (x, label, color, look, _) in zip(places, labels, strict=True):
        sheet.label(place, grid.top - 18, label, color=color)
        sheet.vlines(x, grid.top - 2, grid.bottom, look)


def _draw_one(sheet: Sheet, row: dict[str, Any]) -> None:
    """Draw a before and an after bar, and the lines with their amounts."""
    sheet.section(HEADINGS[row["resource"]])
    sheet.y += 34
    bare, limit = row["bare"], row["limit"]
    red, last = colors.INK if row["fits"] else colors.CRITICAL, [False, True]

    def column(head: str, texts: list[str], color: Any = colors.INK, bold: Any = False) -> Column:
        return Column(texts, head, color, bold, "right", 90)

    grid = sheet.grid(
        [Column(["Before", "After"], bold=last, least=150)],
        [
            column("requested", [bare["requested_before"], bare["requested"]]),
            column("committed", [bare["was"], bare["now"]]),
            column("÷ nodes", [row["before"], row["after"]], bold=last),
            column("headroom", [row["headroom"], f"{row['left']} left"], [colors.INK, red],
                   last)._replace(least=150),
        ],
        height=66,
    )  # fmt: skip
    states = pd.DataFrame([row | {"now": row["was"], "requested": row["requested_before"]}, row])
    x = _scale(grid, states, limit)
    _draw_bars(sheet, x, states, grid.ys, 22)
    labels: list[_Label] = [
        (x(row["rest"]), f"N−1: {bare['rest']}", colors.CRITICAL, WITHOUT_LARGEST, 1),
        (x(1.0), f"nodes: {row['nodes']}", colors.INK, _NODES, 0),
    ]
    if limit:
        words = f"{limit}× = {row['most']}"
        labels.append((x(float(limit)), words, colors.WARNING_TEXT, _LIMIT, 0.5))
    _draw_lines(sheet, grid, labels)
    if row["added"]:  # beside the bar, on white where a line passes
        end, color = x(max(row["was"], row["now"])) + 9, _change_color(row["change"])
        sheet.text(end, grid.ys[1], row["change"], color=color, bold=True, ground=colors.WHITE)
    sheet.y += 40


def _change_color(change: str) -> str:
    return colors.GOOD if change.startswith("+") else colors.TEXT


def _draw_many(sheet: Sheet, resource: str, rows: pd.DataFrame, limit: Decimal | None) -> None:
    """Draw one row for each cluster."""
    shown, rest = top_rows(rows, rows["is_known"], panels=2)
    known, fits = shown["is_known"].to_numpy(), shown["fits"]
    sheet.section(HEADINGS[resource])
    sheet.y += 34
    after = np.where(shown["is_over"], colors.WARNING_TEXT, colors.INK)
    left = np.where(fits, colors.INK, colors.CRITICAL)
    grid = sheet.grid(
        [Column(shown["cluster"], bold=~fits.astype(bool), least=120)],
        [
            Column(shown["before"], "before", colors.TEXT, align="right", least=90),
            Column(shown["after"], "after", after, True, "right", 90),
            Column(shown["change"], "change", shown["change"].map(_change_color), False, "right",
                   120),
            Column(shown["left"], "headroom\nleft", left, ~fits.astype(bool), "right", 130),
        ],
        height=row_height(len(shown), ROWS / 2),
    )  # fmt: skip
    x, half = _scale(grid, shown, limit), min(15, grid.step / 2)
    _draw_bars(sheet, x, shown, grid.ys, half * 0.8)
    sheet.vlines(x(shown["rest"]), grid.ys - half, grid.ys + half, WITHOUT_LARGEST)
    sheet.bars(grid.left, np.where(known, np.nan, grid.right), grid.ys, 20, HATCH)
    if known.any():
        sheet.label(grid.left, grid.top - 18, "0")
        sheet.vlines(grid.left, grid.top, grid.bottom, AXIS_LINE)
        labels: list[_Label] = [(x(1.0), "nodes", colors.INK, _NODES, 0.5)]
        if limit:
            labels.append((x(float(limit)), f"{limit}×", colors.WARNING_TEXT, _LIMIT, 0.5))
        _draw_lines(sheet, grid, labels)
    sheet.y += 24
    if len(rest):
        short, unknown = (int(one.sum()) for one in (~rest["fits"], ~rest["is_known"]))
        parts = {"without headroom for it": short, "unknown": unknown}
        same = ", all with more headroom than these"
        sheet.note(wording.more(len(rest), "cluster", parts, otherwise=same))
    sheet.y += 20
