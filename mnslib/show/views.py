"""A view: what `tables.yaml` says of its columns, rows and note, made into a table of some rows.

    view("placement", tables.placement)

Findings, and cells that need more than one value, are macros of `templates/findings.txt.j2`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence, Sized
from functools import lru_cache, partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from mnslib.results import CheckResult, CheckStatus
from mnslib.show import displays
from mnslib.show.tables import HEAT, HEAT_FROM, PAINTS, TOKENS, column, told
from mnslib.show.templates import FILTERS, say, sentence

if TYPE_CHECKING:  # pandas takes its time, and the page over all runs does without
    import pandas as pd

    from mnslib.capacity.snapshot import Snapshot

Row = Mapping[Any, Any]
Told = Mapping[str, Any]

said = partial(sentence, "findings.txt.j2")
"""What a macro of the findings says of values; empty where there is nothing to say."""
_OF_RESOURCE = ("quantity", "quota", "quota_sum")
BAR = 80
"""Pixels of the whole quota."""


def view(
    name: str, rows: pd.DataFrame | Iterable[Row], *, total: int | None = None, **values: Any
) -> displays.Table:
    """Return the table of a view.

    Args:
        rows: in their order; of them, or of what makes them, only the first are asked for, as many
            as the view has.
        total: how many there are, where `rows` are fewer.
        values: what the view's headings, caption and note speak of beside the rows.
    """
    words = told("views")[name]
    limit = words.get("limit", 50)
    records = rows.head(limit).to_dict("records") if hasattr(rows, "head") else rows
    shown: list[Any] = list(islice(records, limit))
    columns = [(one, {}) if isinstance(one, str) else next(iter(one.items()))
               for one in words["columns"]]  # fmt: skip
    made = [(_heading(values, one, about), [_cell(one, about, row) for row in shown], about)
            for one, about in columns]  # fmt: skip
    kept = [(heading, cells) for heading, cells, about in made
            if not about.get("optional") or any(cell is not None for cell in cells)]  # fmt: skip
    return displays.Table(
        columns=[heading for heading, _ in kept],
        rows=list(zip(*(cells for _, cells in kept), strict=True)),
        caption=say(words.get("caption", ""), **values) if shown else "",
        note=say(words.get("note", ""), **values),
        empty=say(words.get("empty", displays.NOTHING), **values),
        total=len(rows) if total is None and isinstance(rows, Sized) else total,
    )


def figures(name: str, /, **values: Any) -> list[displays.Figure]:
    """Return the key figures of a page, as `tables.yaml` says them of values."""
    found: list[Any] = [
        {part: say(text, **values) for part, text in one.items()} for one in told("figures")[name]
    ]
    return [displays.Figure(**one) for one in found]


def section(table: displays.Table, found: str, *more: str) -> displays.Stack:
    """Return a finding above the table of its view; without rows one line says all there is."""
    if not table.rows:
        text = " ".join(filter(None, [f"{found}.", *more, table.empty]))
        return displays.Stack([displays.Sentence(text, is_empty=True)])
    return displays.Stack([f"{found}.", *filter(None, more), table])


def _heading(values: Told, name: str, about: Told) -> displays.Column:
    own, known = say(about.get("heading", ""), **values), column(name)
    title = own or known.heading or name.replace("_", " ").capitalize()
    is_plain = about.keys().isdisjoint(("words", "macro", "tag", "picture"))
    is_right = "right" in about or (is_plain and known.unit)
    return displays.Column(title, "right" if is_right else None, about.get("names", False))


def _cell(name: str, about: Told, row: Row) -> displays.Cell:
    """Return a cell: a value in its format or `words` of the row, with what stands beside it."""
    if "when" in about and not _holds(row[about["when"]]):
        return None
    cell: Any = (
        _PICTURES[about["picture"]](row[name]) if "picture" in about else _value(name, about, row)
    )
    if "tag" in about:
        cell = displays.tag(str(row[about["tag"]]), str(cell or ""))
    marks = [displays.Tag(say(mark["words"], **row), mark.get("tone", "calm"))
             for mark in about.get("marks", ()) if _holds(row[mark["when"]])]  # fmt: skip
    second = about.get("second", "")
    below = _value(name, second if isinstance(second, dict) else {"words": second}, row)
    href = say(about.get("link", ""), **row) if cell else ""
    if marks or below or href:
        shown = [cell if isinstance(cell, displays.Tag | displays.Blocks) else str(cell or "")]
        return displays.Parts([part for part in (*shown, *marks) if part], str(below), href)
    return None if cell == "" else cell


def _value(name: str, about: Told, row: Row) -> displays.Cell:
    """Return a value as its unit, or the view, has it written."""
    if "words" in about:
        return say(about["words"], **row)
    if "macro" in about:
        return said(about["macro"], row)
    value = row[name]
    if form := about.get("as") or column(name).words:
        resource = [row["resource"]] if form in _OF_RESOURCE else []
        return str(FILTERS[form](value, *resource))
    plain: displays.Cell = value.item() if hasattr(value, "item") else value
    return plain


def _holds(value: Any) -> bool:
    """Return whether a value is there: no empty text, no zero, nothing unknown."""
    return bool(value) and not (isinstance(value, float) and value != value)


def bar(ratio: float) -> displays.Blocks:
    """Return a share as a bar, in the color of its verdict."""
    words = FILTERS["percent"](ratio)
    if not ratio >= 0:
        return displays.Blocks(((BAR, PAINTS["unknown"].ground),), words, words)
    color = "crit" if ratio >= 1 else "warn" if ratio >= HEAT_FROM[2] else "line"
    full = min(BAR, max(1, int(ratio * BAR)))
    return displays.Blocks(((full, TOKENS[color]), (BAR - full, TOKENS["grid"])), words, words)


def strip(days: Iterable[float]) -> displays.Blocks:
    """Return a row of small boxes, one per day, in five bands; hatched without samples.

    Args:
        days: the ratio of each, below 0 before there was any.
    """
    return _strip(tuple(
        5 if ratio != ratio else 6 if ratio < 0 else bisect_right(HEAT_FROM, ratio)
        for ratio in days
    ))  # fmt: skip


@lru_cache(maxsize=10_000)  # of many namespaces most are alike
def _strip(bands: tuple[int, ...]) -> displays.Blocks:
    grounds, words = [*HEAT, PAINTS["unknown"].ground, "none"], told("words")["bands"]
    runs = [(5 * len(list(run)), grounds[band]) for band, run in groupby(bands)]
    counts = [f"{bands.count(band)} {words[band]}" for band in range(7) if band in bands]
    return displays.Blocks(tuple(runs), f"days: {', '.join(counts) or 'no history'}")


_PICTURES: Mapping[str, Any] = {"bar": bar, "strip": strip}


def reading_checks(
    snapshot: Snapshot,
    absent: Sequence[str],
    placement: pd.DataFrame,
    *,
    owner: Mapping[str, Any] | None = None,
) -> list[CheckResult]:
    """Return a warning for clusters without history and for each name that nothing has.

    Args:
        absent: labels, from `capacity.layers.absent_labels`.
        placement: from `capacity.clusters.placement_table`.
        owner: from `capacity.layers.absent_owner`.
    """
    from mnslib.capacity.clusters import absent_region
    from mnslib.capacity.summaries import by_text

    without = f"no history of {FILTERS['count'](len(snapshot.no_history), 'cluster')}"
    found = {without: said("no_history", by_text(snapshot.no_history)),
             "group_by": said("absent_labels", absent),
             "owner_label": said("absent_owner", owner),
             "new_region": said("absent_region", absent_region(placement))}  # fmt: skip
    return [CheckResult(name=name, status=CheckStatus.WARNING, detail=text)
            for name, text in found.items() if text]  # fmt: skip
