"""Whether clusters can carry what they committed, and what a change does to that.

Nodes as range, quota as tick, load as bar, one panel per resource; words and thresholds are the
mixin's, see `mnslib.commitment`. Before and after a change on one scale: one cluster in detail,
several as one row each, in shares of their own nodes, which stand at the same place for all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO, Commitment, shortage, shortage_later
from mnslib.quantities import ZERO
from mnslib.show import wording
from mnslib.show.charts.layers import HEADINGS, UNITS
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import LOOKS, SMALL, Grid, Sheet, spread, top_rows
from mnslib.verdicts import one_reason, unknown_reason

_LIMIT = float(QUOTA_OVERCOMMIT_RATIO)
_TONES = {"overcommit": "crit", "quota overcommit": "warn-text"}
_LAYERS = ["allocatable", "autoscaled", "committed", "requested", "usage"]


def cluster_commitment(table: pd.DataFrame, *, moment: datetime, note: str = "") -> Chart:
    """Return the chart of committed, requested and used against what the nodes can give.

    Args:
        table: from `capacity.clusters.commitment_table`.
        moment: when clusters were read.
        note: sentences that the source line ends with.
    """
    reason = table["verdict"].map(unknown_reason).astype(object)
    rows = table.assign(
        reason=reason.fillna(""), is_known=reason.isna(), is_over=table["verdict"].isin(_TONES),
        tone=table["verdict"].map(_TONES).fillna("text"),
        grows=table["autoscaled"] > table["allocatable"],
    )  # fmt: skip
    rows = rows.assign(has_maximum=bool(rows["grows"].any()))
    for name, flag, ratio, bound, alarm in (
        ("committed", "is_generous", "committed_ratio", _LIMIT, "warn-text"),
        ("requested", "is_fragile", "requested_ratio", 1, "crit"),
        ("grown", "is_grown_over", "autoscaled_committed_ratio", _LIMIT, "warn-text"),
    ):
        rows[flag] = rows[ratio] > bound
        rows[f"{name}_tone"] = np.where(rows[flag], alarm, "ink")
    order = ["is_known", "is_over", "requested_ratio", "committed_ratio", "cluster_name"]
    rows = rows.sort_values(order, ascending=[False, False, False, False, True])
    known, used = rows[rows["is_known"]], rows["usage"].notna()
    facts = _cluster_facts(rows, known)
    sheet = Sheet("cluster_commitment", moment=moment, note=note, **facts)
    if rows.empty:
        return sheet.nothing()
    is_any = len(known) > 0
    sheet.legend(
        used=(used & rows["is_known"]).any(), requested=is_any, committed=is_any, nodes=is_any,
        grown=known["grows"].any(), without_largest_node=is_any,
        unknown=not (used & rows["is_known"]).all(),
    )  # fmt: skip
    sheet.y += 18
    panels = {
        resource: top_rows(own, own["is_known"], panels=2)
        for resource in HEADINGS
        if len(own := rows[rows["resource"] == resource])
    }
    both = pd.concat([shown for shown, _ in panels.values()])
    for resource, (shown, rest) in panels.items():
        sums, below = ("", 0) if rest.empty else (sheet.say(resource), 28)
        sheet.section(HEADINGS[resource], sums, height=below)
        grid = sheet.grid(shown, panels=2, like=both)
        _draw_bars(sheet, grid, shown, UNITS[resource][0])
        sheet.tell("more_clusters", amount=len(rest), over=int(rest["is_over"].sum()),
                   lost=len(rest) - int(rest["is_known"].sum()))  # fmt: skip
        sheet.y += 24
    return sheet.finish()


def _cluster_facts(rows: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    worst = known.groupby("cluster_name")[["requested_ratio", "committed_ratio"]].max()
    clusters, committed = rows["cluster_name"].nunique(), worst["committed_ratio"]
    sums = {}
    for resource, (divisor, unit) in UNITS.items():
        found = known[known["resource"] == resource]
        amounts = (found[_LAYERS].sum() / divisor).map(wording.number_text).to_dict()
        sums[resource] = amounts | {"unit": unit, "clusters": len(found)}
    return {
        "clusters": clusters, "known": len(worst), "unknown": clusters - len(worst),
        "reason": one_reason(rows["verdict"]), "is_all": len(rows) == len(known),
        "fragile": worst.index[worst["requested_ratio"] > 1].tolist(),
        "generous": worst.index[committed > _LIMIT].tolist(), "most": committed.max(),
        "nearest": committed.idxmax() if len(worst) else "", "limit": _LIMIT, "sums": sums,
        "is_used": rows["usage"].notna().any(),
        "uncounted": int(rows.loc[rows["resource"] == "cpu", "uncounted"].sum()),
    }  # fmt: skip


def _draw_bars(sheet: Sheet, grid: Grid, rows: pd.DataFrame, divisor: float) -> None:
    """Draw the nodes, and in them what is requested and used; what is not known is hatched."""
    amounts = rows[[*_LAYERS, "without_largest_node"]]
    highest = float(np.nan_to_num(amounts[_LAYERS].to_numpy(float)).max()) * 1.02
    if highest:
        sheet.axis(grid, highest, divisor=divisor)
    places = amounts.apply(lambda found: grid.x(found / (highest or 1.0)))
    left, ys, high, nodes = grid.left, grid.ys, grid.step, places["allocatable"]
    requested, is_known = places["requested"], rows["is_known"]
    sheet.bars(left, np.where(is_known, np.nan, grid.right), ys, high * 0.48, "unknown")
    sheet.bars(nodes, places["autoscaled"].where(rows["grows"]), ys, high * 0.72, "grown")
    sheet.bars(left, nodes, ys, high * 0.72, "nodes")
    sheet.bars(left, requested, ys, high * 0.42, "requested")
    sheet.bars(left, requested.where(rows["usage"].isna()), ys, high * 0.2, "unknown")
    sheet.bars(left, places["usage"], ys, high * 0.2, "used")
    for name, half in (("without_largest_node", high * 0.42), ("committed", high * 0.32)):
        sheet.vlines(places[name], ys - half, ys + half, name)
    if is_known.any():
        sheet.vlines(left, ys[is_known] - high / 2, ys[is_known] + high / 2, "axis")


_RESOURCES = {"cpu": "CPU requests", "memory": "Memory requests"}
_SHARES = ["was", "now", "was_requested", "requested", "rest"]

Commitments = Mapping[str, Mapping[str, Commitment]]
"""By cluster, as it is called in the picture, then by resource: `cpu` and `memory`."""
Changes = Mapping[str, Sequence[str]]
"""Names of the namespaces that change, by cluster."""
_Label = tuple[float, str, str, float]
"""Where a line stands, its label, its look, and how much of the label is left of it."""


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
    facts = _change_facts(found, reasons, changes)
    sheet = Sheet("commitment_before_after", moment=moment, **facts)
    if not found and len(reasons) < 2:
        return sheet.nothing()
    added = [row["added"] for row in found]
    sheet.legend(
        requested=True, unrequested=True, added=max(added, default=0) > 0,
        given_back=min(added, default=0) < 0, without_largest_node=True, nodes_now=True,
        limit=facts["limit"], unknown=reasons,
    )  # fmt: skip
    sheet.y += 18
    for resource, heading in _RESOURCES.items():
        own = [row for row in found if row["resource"] == resource]
        if own or facts["total"] > 1:
            sheet.section(heading)
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
        "share_missing": missing / nodes, "later": shortage_later(before, after),
        # what does not fit first, by how much is short; then by the headroom left over
        "order": float((-missing or left) / nodes), "uncounted": before.uncounted,
        "needs_all": not missing and added > 0 and added > before.headroom,
        "is_held": before.without_largest_node < before.requested,
        "is_over": (after.over_limit or 0) > 0, "tone": "crit" if missing else "ink",
        "change_tone": "good" if added > 0 else "text",
        "bare": {name: value / int(UNITS[resource][0]) for name, value in bare.items()},
        **{name: float(value / nodes) for name, value in amounts.items()},
    }  # fmt: skip


def _change_facts(
    found: list[dict[str, Any]], reasons: Mapping[str, str], changes: Changes
) -> dict[str, Any]:
    flags = ("is_known", "is_held", "is_short", "needs_all")
    known, held, short, needs_all = (
        [*dict.fromkeys(row["cluster"] for row in found if row[flag])] for flag in flags
    )
    order = sorted(found, key=lambda row: (not row["is_short"], row["order"], row["cluster"]))
    return {
        "clusters": known, "reasons": dict(reasons), "total": len(known) + len(reasons),
        "changed": [name for names in changes.values() for name in names],
        "short": short, "short_changed": [name for one in short for name in changes.get(one, ())],
        "worst": max(found, key=lambda row: row["share_missing"], default={}),
        "held": held, "since": [name for name in needs_all if name not in held],
        "needs_all": needs_all, "rows": found, "steps": order[:2], "headings": _RESOURCES,
        "limit": found[0]["limit"] if found else None,
        "uncounted": sum(row["uncounted"] for row in found if row["resource"] == "cpu"),
    }  # fmt: skip


def _draw(
    sheet: Sheet, rows: pd.DataFrame, layout: str, limit: Any, labels: Sequence[_Label],
    height: float = 0,
) -> Grid:  # fmt: skip
    """Draw what is committed and in it requested, at the end what is new or given back; and lines.

    Returns:
        Where the bars lie, scaled so that 1 is all nodes.
    """
    grid = sheet.grid(rows, layout, height=height, panels=2)
    highest = np.nanmax([float(limit or 1) * 1.06, *rows[_SHARES].to_numpy(float).ravel()]) * 1.02
    right, high = grid.right + 30, grid.step * 2 / 3
    grid = grid._replace(right=grid.x(1 / highest))
    was, now = grid.x(rows["was"]).to_numpy(float), grid.x(rows["now"]).to_numpy(float)
    lower = np.minimum(was, now)
    upper = np.maximum(np.maximum(was, now), lower + 2)
    sheet.bars(grid.left, lower, grid.ys, high, "unrequested")
    sheet.bars(lower, np.where(now > was, upper, np.nan), grid.ys, high, "added")
    sheet.bars(lower, np.where(now < was, upper, np.nan), grid.ys, high, "given_back")
    sheet.bars(grid.left, grid.x(rows["requested"]), grid.ys, 0.6 * high, "requested")
    widths = [sheet.width(words, SMALL) for _, words, *_ in labels]
    wanted = [grid.x(share) - part * width + 12 * (0.5 - part)
              for (share, *_, part), width in zip(labels, widths, strict=True)]  # fmt: skip
    places = spread(wanted, widths, low=grid.left + 30, high=right, gap=14)
    for place, (share, words, look, _) in zip(places, labels, strict=True):
        sheet.label(place, grid.top - 18, words, color=LOOKS[look].words)
        sheet.vlines(grid.x(share), grid.top - 2, grid.bottom, look)
    return grid


def _draw_one(sheet: Sheet, row: dict[str, Any]) -> None:
    """Draw a before and an after bar, and the lines with their amounts."""
    bare, limit = row["bare"], row["limit"]
    now = row | {"state": "After", "is_after": True}
    then = row | {"state": "Before", "is_after": False, "tone": "ink", "ratio": row["was_ratio"]}
    then |= {"now": row["was"], "requested": row["was_requested"]}
    then |= {"bare": bare | {"now": bare["was"], "requested": bare["was_requested"]}}
    rest, nodes = wording.number_text(bare["rest"]), wording.number_text(bare["nodes"])
    labels: list[_Label] = [
        (row["rest"], f"N−1: {rest}", "without_largest_node", 1),
        (1.0, f"nodes: {nodes}", "nodes_now", 0),
    ]
    if limit:
        words = f"{limit}× = {wording.number_text(bare['nodes'] * limit)}"
        labels.append((float(limit), words, "limit", 0.5))
    grid = _draw(sheet, pd.DataFrame([then, now]), "one", limit, labels, height=66)
    if row["added"]:  # beside the bar, on white where a line passes
        end, words = grid.x(max(row["was"], row["now"])) + 9, sheet.say("change", row)
        sheet.text(end, grid.ys[1], words, color=row["change_tone"], bold=True, ground="white")
    sheet.y += 16


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
    rows = rows.assign(after_tone=np.where(rows["is_over"], "warn-text", "ink"))
    shown, rest = top_rows(rows, rows["is_known"], panels=2)
    labels: list[_Label] = [(1.0, "nodes", "nodes_now", 0.5)]
    labels += [(float(limit), f"{limit}×", "limit", 0.5)] if limit else []
    grid = _draw(sheet, shown, "many", limit, labels)
    reach = grid.step * 0.42
    sheet.vlines(grid.x(shown["rest"]), grid.ys - reach, grid.ys + reach, "without_largest_node")
    sheet.label(grid.left, grid.top - 18, "0")
    sheet.vlines(grid.left, grid.top, grid.bottom, "axis")
    for y, row in zip(grid.ys, shown.to_dict("records"), strict=True):
        if not row["is_known"]:
            sheet.bars(grid.left, grid.x(1), y, grid.step * 0.5, "unknown")
            words = f"unknown: {row['reason']}"
            sheet.text(grid.left + 12, y, words, limit=grid.x(1) - grid.left - 24, ground="white")
    sheet.tell("more_clusters", amount=len(rest), lacking=int(rest["is_short"].sum()),
               lost=len(rest) - int(rest["is_known"].sum()))  # fmt: skip
    sheet.y += 20
