"""What still fits where: one row per namespace, one column per question, words in the cell.

Above 150 namespaces the rows would look alike, so that they become patterns: how many namespaces
have the same four answers, one of them by name, and how much they are short of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mnslib.capacity.fit import (
    ALL_UPDATES,
    AUTOSCALER,
    NEXT_POD,
    QUESTIONS,
    ROLLING_UPDATE,
    Kinds,
    fit_findings,
    kinds_of,
    own_answers,
)
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import (
    HATCH,
    MARGIN,
    MOST_ROWS,
    RIGHT,
    SMALL,
    TOP_ROWS,
    Look,
    Sheet,
    shares,
)
from mnslib.show.views import said

MOST_NAMESPACES = 150
"""Namespaces above which rows become patterns. Source: our visual standard."""

_HEADS = {
    NEXT_POD: "Next pod",
    ROLLING_UPDATE: "Roll out one workload",
    ALL_UPDATES: "Roll out all at once",
    AUTOSCALER: "Autoscaler maximum",
}


class _Look(NamedTuple):
    """How an answer is drawn: its ground, its words' color, its symbol, its bar in the head."""

    ground: Look
    color: str
    symbol: str
    bar: Look


_ORANGE = Look(colors.WARNING, foot=colors.WARNING_TEXT)
_LOOKS = {
    "no": _Look(Look(colors.CRITICAL_TINT), colors.CRITICAL, "✕", Look(colors.CRITICAL)),
    "just": _Look(Look(colors.WARNING_TINT), colors.WARNING_TEXT, "!", _ORANGE),
    "yes": _Look(Look(colors.GOOD_TINT), colors.GOOD_TEXT, "✓", Look(colors.GOOD_SOFT)),
    "none": _Look(Look(colors.PANEL), colors.MUTED, "–", Look(colors.GRID)),
    "unknown": _Look(HATCH, colors.TEXT, "?", HATCH),
}
_GAP = 16
_FEW = 6
"""Rows up to which they are taller, and have room for two lines."""
Row = tuple[str, list[tuple[str, str]]]
"""One line of the grid: its name, and for each question the kind of answer and its words."""


def state_grid(table: pd.DataFrame, *, moment: datetime) -> Chart:
    """Return the chart of what still fits in each namespace.

    Args:
        table: from `capacity.fit.fit_table`.
        moment: when clusters were read.
    """
    answers = _in_order(own_answers(table))
    kinds = kinds_of(answers)
    is_patterns = len(kinds) > MOST_NAMESPACES
    counts = [Counter(column) for column in kinds.T.tolist()]
    questions = [
        {"head": head, "counts": {**dict.fromkeys(_LOOKS, 0), **each, "total": each.total(),
                                  "yes": each["yes"] + each["just"]}}
        for head, each in zip(_HEADS.values(), counts, strict=True)
    ]  # fmt: skip
    sheet = Sheet(
        "state_grid",
        {"finding": said("fit", fit_findings(answers)), "questions": questions,
         "is_patterns": is_patterns, "moment": moment},
    )  # fmt: skip
    if not len(kinds):
        return sheet.nothing()
    if is_patterns:
        _draw(sheet, counts, _patterns(answers, kinds))
        return sheet.finish()
    shown = len(kinds) if len(kinds) <= MOST_ROWS else TOP_ROWS
    found, each = answers[: shown * len(QUESTIONS)].to_dict("records"), len(QUESTIONS)
    rows: list[Row] = [
        (
            row["namespace_name"],
            [(one["kind"], said("answer", one)) for one in found[at : at + each]],
        )
        for at, row in enumerate(found)
        if at % each == 0
    ]
    _draw(sheet, counts, rows)
    if len(rest := kinds[shown:]):
        fails = (rest == "no").any(axis=1)
        unknown = (rest == "unknown").any(axis=1) & ~fails
        parts = {
            "with something that does not fit": int(fails.sum()),
            "unknown": int(unknown.sum()),
        }
        all_fits, where = ", in which all fits", "in tables/fit.csv"
        sheet.note(wording.more(len(rest), "namespace", parts, otherwise=all_fits, where=where))
    return sheet.finish()


def _in_order(answers: pd.DataFrame) -> pd.DataFrame:
    """Return all answers, those of the namespaces in which most urgent things fail first."""
    kinds = kinds_of(answers)
    short = np.fmax(-answers["left"].to_numpy(), 0).reshape(kinds.shape)
    first = answers[answers["question"] == NEXT_POD]
    is_unknown = (kinds == "unknown").any(axis=1) & ~(kinds == "no").any(axis=1)
    keys = [
        is_unknown, *(kinds != "no").T, *(kinds != "just").T, *-short.T,
        first["fits"].fillna(float("inf")), first["namespace_name"], first["cluster_name"],
    ]  # fmt: skip
    frame = pd.DataFrame({str(place): np.asarray(key) for place, key in enumerate(keys)})
    places = frame.sort_values(frame.columns.tolist()).index.to_numpy()
    each = np.arange(len(QUESTIONS))
    return answers.take((places[:, None] * len(QUESTIONS) + each).ravel())


def _patterns(answers: pd.DataFrame, kinds: Kinds) -> list[Row]:
    """Return one row for each combination of answers, those with a no first, the largest first."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, found in enumerate(np.where(kinds == "just", "yes", kinds).tolist()):
        alike.setdefault(tuple(found), []).append(place * len(QUESTIONS))
    ordered = sorted(
        alike.items(), key=lambda item: ("unknown" in item[0], "no" not in item[0], -len(item[1]))
    )
    return [
        (
            f"{wording.count(len(places), 'namespace')}\n"
            f"such as {answers['namespace_name'].iloc[places[0]]}",
            [(kind, _pattern_words(answers.take(np.array(places) + question), kind))
             for question, kind in enumerate(pattern)],
        )
        for pattern, places in ordered
    ]  # fmt: skip


def _pattern_words(answers: pd.DataFrame, kind: str) -> str:
    """Return what namespaces with one answer have in common; of a no the median and the most."""
    if kind == "yes":
        just = int((answers["kind"] == "just").sum())
        return f"fits\n{just:,} of them just" if just else "fits"
    if kind != "no":
        texts = answers["verdict" if kind == "unknown" else "reason"]
        return _most_common(texts).replace(": ", "\n")
    short = answers[answers["left"] < 0]
    if short.empty:
        return _most_common(said("answer", row) for row in answers.to_dict("records"))
    field = _most_common(short["tightest"])
    amounts = (-answers.loc[answers["tightest"] == field, "left"]).clip(lower=0)
    typical, most = (
        f"{value:,.0f} pods" if field == "pods" else wording.quantity(field, value)
        for value in (amounts.median(), amounts.max())
    )
    return f"short {typical}\nat most {most}" if len(answers) > 1 else f"short {most}"


def _most_common(texts: Iterable[str]) -> str:
    return Counter(texts).most_common(1)[0][0]


def _draw(sheet: Sheet, counts: list[Counter[str]], rows: list[Row]) -> None:
    names = min(sheet.widest(line for name, _ in rows for line in name.split("\n")), 330.0)
    left, number = MARGIN + names + 24, len(QUESTIONS)
    width = (RIGHT - left - _GAP * (number - 1)) / number
    edges = [left + place * (width + _GAP) for place in range(number)]
    _draw_heads(sheet, counts, edges, width)
    if len(rows) <= _FEW:  # what is too long is broken after its first comma
        rows = [
            (name, [(kind, words.replace(", ", "\n", 1) if _is_cut(sheet, words, width - 54)
                     else words) for kind, words in cells])
            for name, cells in rows
        ]  # fmt: skip
    is_double = any("\n" in words for _, cells in rows for _, words in cells)
    height = 60 if is_double else 44 if len(rows) <= _FEW else 34 if len(rows) <= 24 else 30
    drawn = []  # right edge, left edge, middle, kind and words of each cell
    for name, cells in rows:
        y = sheet.y + height / 2
        _write(sheet, MARGIN, y, name, limit=names + 1, color=colors.INK)
        if len(set(cells)) == 1 and cells[0][0] == "unknown":
            drawn.append((float(RIGHT), left, y, *cells[0]))
        else:
            drawn += [(x + width, x, y, *cell) for x, cell in zip(edges, cells, strict=True)]
        sheet.y += height
    ends, lefts, ys, kinds, _ = zip(*drawn, strict=True)
    sheet.bars(lefts, ends, ys, height - 4, [_LOOKS[kind].ground for kind in kinds])
    for end, x, y, kind, words in drawn:
        look = _LOOKS[kind]
        shown: Any = {"color": look.color, "ground": colors.WHITE * (look.ground is HATCH)}
        up = y - 11 * ("\n" in words)
        sheet.text(x + 22, up, look.symbol, bold=True, align="center", **shown)
        limit, bold = end - x - 54, kind == "no"
        _write(sheet, x + 44, y, words, limit=limit, in_cell=True, bold=bold, **shown)
    sheet.y += 18


def _draw_heads(sheet: Sheet, counts: list[Counter[str]], edges: list[float], width: float) -> None:
    """Write each question, how many have which answer, and draw those as one bar."""
    questions = sheet.facts["questions"]
    lines = [sheet.wrap(sheet.say("counted", one["counts"]), width, SMALL) for one in questions]
    below = sheet.y + 26 * max(map(len, lines))
    for x, head, written, each in zip(edges, _HEADS.values(), lines, counts, strict=True):
        sheet.text(x, sheet.y, head, bold=True, limit=width)
        for place, line in enumerate(written, start=1):
            sheet.label(x, sheet.y + 26 * place, line, color=colors.INK)
        drawn = [kind for kind in _LOOKS if each[kind]]
        places = shares([each[kind] for kind in drawn], x, x + width, least=4, gap=2)
        for kind, (start, end) in zip(drawn, places, strict=True):
            sheet.bars(start, end, below + 20.5, 9, _LOOKS[kind].bar)
    sheet.y = below + 42


def _is_cut(sheet: Sheet, words: str, limit: float) -> bool:
    return sheet.width(words.partition("\n")[0], bold=True) > limit


def _write(
    sheet: Sheet, x: float, y: float, words: str, *, limit: float, in_cell: bool = False,
    **look: Any,
) -> None:  # fmt: skip
    """Write one line in the middle, or two of which the second is smaller."""
    first, _, second = words.partition("\n")
    if in_cell and _is_cut(sheet, first, limit):
        first = first.partition(", ")[0]  # what is short; the end can be missed best
    if in_cell and second:
        (second,) = sheet.wrap(second, limit, SMALL, lines=1)
    sheet.text(x, y - (11 if second else 0), first, limit=limit, **look)
    sheet.text(x, y + 13, second, size=SMALL, limit=limit, **look | {"bold": False})
