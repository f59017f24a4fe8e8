"""What a change does to what clusters have committed: before and after on one scale.

One cluster is drawn in detail; several as one row each. All bars are shares of the cluster's own
nodes, so that nodes and the limit stand at the same place for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mnslib.commitment import Commitment, shortage
from mnslib.quantities import ZERO
from mnslib.show import wording
from mnslib.show.charts.layers import UNITS
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import SMALL, Grid, Sheet, spread, top_rows
from mnslib.verdicts import unknown_reason

HEADINGS = {"cpu": "CPU requests", "memory": "Memory requests"}
_SHARES = ["was", "now", "was_requested", "requested", "rest"]

Commitments = Mapping[str, Mapping[str, Commitment]]
"""By cluster, as it is called in the picture, then by resource: `cpu` and `memory`."""
Changes = Mapping[str, Sequence[str]]
"""Names of the namespaces that change, by cluster."""
_Label = tuple[float, str, str, str, float]
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
    sheet = Sheet("commitment_before_after", facts | {"moment": moment})
    if not found and len(reasons) < 2:
        return sheet.nothing()
    added = [row["added"] for row in found]
    sheet.legend(
        {
            "requested": True, "unrequested": True, "added": max(added, default=0) > 0,
            "given_back": min(added, default=0) < 0, "without_largest_node": True,
            "nodes_now": True, "limit": facts["limit"], "unknown": reasons,
        }
    )  # fmt: skip
    sheet.y += 18
    for resource, heading in HEADINGS.items():
        own = [row for row in found if row["resource"] == resource]
        if own or facts["total"] > 1:
            sheet.section(heading)
            sheet.y += 34
            if facts["total"] == 1:
                _draw_one(sheet, own[0])
            else:
                _draw_many(sheet, own, reasons, facts["limit"])
    return sheet.finish()


def _compared(cluster: str, before: Commitment, after: Commitment) -> dict[str, Any]:
    """Return what is drawn and said of one cluster and resource; shares are of its nodes."""
    resource, nodes = before.resource, after.allocatable
    added, missing = after.committed - before.committed, shortage(before, after)
    # what remains once the new quota is requested in full
    left = max(ZERO, min(before.headroom - added, after.headroom))
    amounts = {
        "was": before.committed, "now": after.committed, "rest": after.without_largest_node,
        "was_requested": before.requested, "requested": after.requested,
    }  # fmt: skip
    bare = amounts | {"left": left, "headroom": before.headroom, "nodes": nodes}
    return {
        "cluster": cluster, "resource": resource, "is_known": True, "limit": after.max_ratio,
        "was_ratio": before.committed_ratio, "ratio": after.committed_ratio, "added": added,
        "left": left, "headroom": before.headroom, "missing": missing, "is_short": missing > 0,
        "share_missing": missing / nodes,
        # what does not fit first, by how much is short; then by the headroom left over
        "order": float((-missing or left) / nodes), "uncounted": before.uncounted,
        "needs_all": not missing and added > 0 and added > before.headroom,
        "is_held": before.without_largest_node < before.requested,
        "is_over": (after.over_limit or 0) > 0, "tone": "crit" if missing else "ink",
        "change_tone": "good" if added > 0 else "text",
        "bare": {name: value / int(UNITS[resource][0]) for name, value in bare.items()},
        **{name: float(value / nodes) for name, value in amounts.items()},
    }  # fmt: skip


def _facts(
    found: list[dict[str, Any]], reasons: Mapping[str, str], changes: Changes
) -> dict[str, Any]:
    def clusters(flag: str) -> list[str]:
        return [*dict.fromkeys(row["cluster"] for row in found if row[flag])]

    known, held, short = clusters("is_known"), clusters("is_held"), clusters("is_short")
    order = sorted(found, key=lambda row: (not row["is_short"], row["order"], row["cluster"]))
    return {
        "clusters": known, "reasons": dict(reasons), "total": len(known) + len(reasons),
        "changed": [name for names in changes.values() for name in names],
        "short": short, "short_changed": [name for one in short for name in changes.get(one, ())],
        "worst": max(found, key=lambda row: row["share_missing"], default={}),
        "held": held, "needs_all": clusters("needs_all"),
        "since": [name for name in clusters("needs_all") if name not in held],
        "rows": found, "steps": order[:2], "limit": found[0]["limit"] if found else None,
        "uncounted": sum(row["uncounted"] for row in found if row["resource"] == "cpu"),
        "headings": HEADINGS,
    }  # fmt: skip


def _draw_bars(sheet: Sheet, grid: Grid, rows: pd.DataFrame, limit: Any, half: float) -> Grid:
    """Draw what is committed and in it requested; at the end what is new, or given back.

    Returns:
        The grid, scaled so that 1 is all nodes.
    """
    highest = np.nanmax([float(limit or 1) * 1.06, *rows[_SHARES].to_numpy(float).ravel()]) * 1.02
    grid = grid._replace(right=grid.x(1 / highest))
    was, now = grid.x(rows["was"]).to_numpy(float), grid.x(rows["now"]).to_numpy(float)
    lower = np.minimum(was, now)
    upper = np.maximum(np.maximum(was, now), lower + 2)
    sheet.bars(grid.left, lower, grid.ys, 2 * half, "unrequested")
    sheet.bars(lower, np.where(now > was, upper, np.nan), grid.ys, 2 * half, "added")
    sheet.bars(lower, np.where(now < was, upper, np.nan), grid.ys, 2 * half, "given_back")
    sheet.bars(grid.left, grid.x(rows["requested"]), grid.ys, 1.2 * half, "requested")
    return grid


def _draw_lines(sheet: Sheet, grid: Grid, right: float, labels: Sequence[_Label]) -> None:
    """Draw lines over all rows, each with its label."""
    widths = [sheet.width(label, SMALL) for _, label, *_ in labels]
    wanted = [grid.x(share) - part * width + 12 * (0.5 - part)
              for (share, *_, part), width in zip(labels, widths, strict=True)]  # fmt: skip
    places = spread(wanted, widths, low=grid.left + 30, high=right + 30, gap=14)
    for place, (share, label, color, look, _) in zip(places, labels, strict=True):
        sheet.label(place, grid.top - 18, label, color=color)
        sheet.vlines(grid.x(share), grid.top - 2, grid.bottom, look)


def _draw_one(sheet: Sheet, row: dict[str, Any]) -> None:
    """Draw a before and an after bar, and the lines with their amounts."""
    bare, limit = row["bare"], row["limit"]
    now = row | {"state": "After", "is_after": True}
    then = row | {"state": "Before", "is_after": False, "tone": "ink", "ratio": row["was_ratio"]}
    then |= {"now": row["was"], "requested": row["was_requested"]}
    then |= {"bare": bare | {"now": bare["was"], "requested": bare["was_requested"]}}
    states = pd.DataFrame([then, now])
    whole = sheet.grid(states, "one", height=66)
    grid = _draw_bars(sheet, whole, states, limit, 22)
    rest, nodes = wording.number(bare["rest"]), wording.number(bare["nodes"])
    labels: list[_Label] = [
        (row["rest"], f"N−1: {rest}", "crit", "without_largest_node", 1),
        (1.0, f"nodes: {nodes}", "ink", "nodes_now", 0),
    ]
    if limit:
        words = f"{limit}× = {wording.number(bare['nodes'] * limit)}"
        labels.append((float(limit), words, "warn-text", "limit", 0.5))
    _draw_lines(sheet, grid, whole.right, labels)
    if row["added"]:  # beside the bar, on white where a line passes
        end, words = grid.x(max(row["was"], row["now"])) + 9, sheet.say("change", row)
        sheet.text(end, grid.ys[1], words, color=row["change_tone"], bold=True, ground="white")
    sheet.y += 40


def _draw_many(
    sheet: Sheet, found: list[dict[str, Any]], reasons: Mapping[str, str], limit: Any
) -> None:
    """Draw one row for each cluster, those that are unknown last."""
    none: dict[str, Any] = dict.fromkeys([*_SHARES, "order"], np.nan)
    none |= dict.fromkeys(("is_known", "is_short", "is_over"), False)
    none |= {"tone": "ink", "change_tone": "text"}
    lost = [none | {"cluster": name, "reason": reason} for name, reason in reasons.items()]
    order = ["is_known", "is_short", "order", "cluster"]
    rows = pd.DataFrame([*found, *lost]).sort_values(order, ascending=[False, False, True, True])
    shown, rest = top_rows(rows, rows["is_known"], panels=2)
    known = shown["is_known"].to_numpy(bool)
    after = np.where(shown["is_over"], "warn-text", "ink")
    whole = sheet.grid(shown.assign(after_tone=after), "many", panels=2)
    half = min(15, whole.step / 2)
    grid = _draw_bars(sheet, whole, shown, limit, half * 0.8)
    ends = grid.ys - half, grid.ys + half
    sheet.vlines(grid.x(shown["rest"]), *ends, "without_largest_node")
    sheet.bars(grid.left, np.where(known, np.nan, whole.right), grid.ys, 20, "unknown")
    if known.any():
        sheet.label(grid.left, grid.top - 18, "0")
        sheet.vlines(grid.left, grid.top, grid.bottom, "axis")
        labels: list[_Label] = [(1.0, "nodes", "ink", "nodes_now", 0.5)]
        if limit:
            labels.append((float(limit), f"{limit}×", "warn-text", "limit", 0.5))
        _draw_lines(sheet, grid, whole.right, labels)
    sheet.y += 24
    sheet.tell("more_clusters", amount=len(rest), lacking=int(rest["is_short"].sum()),
               lost=len(rest) - int(rest["is_known"].sum()))  # fmt: skip
    sheet.y += 20
