"""What still fits where: one row per namespace, one column per question, words in the cell.

Above 150 namespaces the rows would look alike, so that they become patterns: how many namespaces
have the same four answers, one of them by name, and how much they are short of.
"""

from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mnslib.capacity import fit
from mnslib.capacity.fit import ALL_UPDATES, AUTOSCALER, NEXT_POD, QUESTIONS, ROLLING_UPDATE
from mnslib.show import wording
from mnslib.show.charts.picture import Chart
from mnslib.show.charts.sheet import LOOKS, MARGIN, MOST_ROWS, RIGHT, SMALL, TOP_ROWS, Sheet
from mnslib.show.views import said

MOST_NAMESPACES = 150
"""Namespaces above which rows become patterns. Source: our visual standard."""
_HEADS = {
    NEXT_POD: "Next pod",
    ROLLING_UPDATE: "Roll out one workload",
    ALL_UPDATES: "Roll out all at once",
    AUTOSCALER: "Autoscaler maximum",
}
_KINDS = ("no", "just", "yes", "none", "unknown")
_EACH, _GAP = len(QUESTIONS), 16
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
    answers = _in_order(fit.own_answers(table))
    kinds = fit.kinds_of(answers)
    is_patterns = len(kinds) > MOST_NAMESPACES
    counts = [Counter(column) for column in kinds.T.tolist()]
    questions = [
        {"head": head, "counts": {**dict.fromkeys(_KINDS, 0), **each, "total": each.total(),
                                  "yes": each["yes"] + each["just"]}}
        for head, each in zip(_HEADS.values(), counts, strict=True)
    ]  # fmt: skip
    found = said("fit", fit.fit_findings(answers))
    sheet = Sheet("state_grid", finding=found, questions=questions, moment=moment,
                  is_patterns=is_patterns)  # fmt: skip
    if not len(kinds):
        return sheet.nothing()
    shown = len(kinds) if is_patterns or len(kinds) <= MOST_ROWS else TOP_ROWS
    if is_patterns:
        _draw(sheet, counts, _patterns(answers, kinds))
    else:
        cells: list[Any] = answers[: shown * _EACH].to_dict("records")
        words = [(one["kind"], said("answer", one)) for one in cells]
        names = [one["namespace_name"] for one in cells]
        _draw(sheet, counts, [(names[at], words[at : at + _EACH])
                              for at in range(0, len(cells), _EACH)])  # fmt: skip
    rest = kinds[shown:]
    fails, lost = ((rest == kind).any(axis=1) for kind in ("no", "unknown"))
    sheet.tell("more_rows", amount=len(rest), fails=fails.sum(), lost=(lost & ~fails).sum())
    return sheet.finish()


def _in_order(answers: pd.DataFrame) -> pd.DataFrame:
    """Return all answers, those of the namespaces in which most urgent things fail first."""
    kinds = fit.kinds_of(answers)
    short = np.fmax(-answers["left"].to_numpy(), 0).reshape(kinds.shape)
    first = answers[answers["question"] == NEXT_POD]
    keys = [
        (kinds == "unknown").any(axis=1) & ~(kinds == "no").any(axis=1),
        *(kinds != "no").T, *(kinds != "just").T, *-short.T, first["fits"].fillna(float("inf")),
        first["namespace_name"].astype(str), first["cluster_name"].astype(str),
    ]  # fmt: skip
    places = np.lexsort([np.asarray(key) for key in reversed(keys)])
    return answers.take((places[:, None] * _EACH + np.arange(_EACH)).ravel())


def _patterns(answers: pd.DataFrame, kinds: fit.Kinds) -> list[Row]:
    """Return one row for each combination of answers, those with a no first, the largest first."""
    merged = pd.DataFrame(np.where(kinds == "just", "yes", kinds))
    alike: dict[Any, Any] = merged.groupby([*merged], sort=False).indices
    ordered = sorted(
        alike.items(), key=lambda item: ("unknown" in item[0], "no" not in item[0], -len(item[1]))
    )
    first = answers["namespace_name"].iloc[::_EACH]
    return [
        (
            f"{wording.count(len(places), 'namespace')}\nsuch as {first.iloc[places[0]]}",
            [(kind, _pattern_words(answers.take(places * _EACH + question), kind))
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
        texts = Counter(answers["verdict" if kind == "unknown" else "reason"])
        return str(texts.most_common(1)[0][0]).replace(": ", "\n")
    short = answers[answers["left"] < 0]
    if short.empty:
        words = Counter(said("answer", row) for row in answers.to_dict("records"))
        return words.most_common(1)[0][0]
    field = str(Counter(short["tightest"]).most_common(1)[0][0])
    amounts = (-answers.loc[answers["tightest"] == field, "left"]).clip(lower=0)
    typical, most = (
        f"{value:,.0f} pods" if field == "pods" else wording.rounded_text(field, value)
        for value in (amounts.median(), amounts.max())
    )
    return f"short {typical}\nat most {most}" if len(answers) > 1 else f"short {most}"


def _draw(sheet: Sheet, counts: list[Counter[str]], rows: list[Row]) -> None:
    names = min(330.0, max(sheet.width(line) for name, _ in rows for line in name.split("\n")))
    left = MARGIN + names + 24
    width = (RIGHT - left - _GAP * (_EACH - 1)) / _EACH
    edges = [left + place * (width + _GAP) for place in range(_EACH)]
    _draw_heads(sheet, counts, edges, width)
    is_high = len(rows) <= _FEW or any("\n" in words for _, cells in rows for _, words in cells)
    height = 60 if is_high else 34 if len(rows) <= 24 else 30
    drawn: list[tuple[float, float, float, str, str]] = []  # both edges, middle, look and words
    for name, cells in rows:
        y, lost = sheet.y + height / 2, len(set(cells)) == 1 and cells[0][0] == "unknown"
        sheet.y += height
        _write(sheet, MARGIN, y, name, limit=names + 1)
        cells, end = (cells[:1], RIGHT - left) if lost else (cells, width)
        drawn += [(x, x + end, y, f"{kind}_cell", words)
                  for x, (kind, words) in zip(edges, cells, strict=False)]  # fmt: skip
    lefts, ends, ys, looks, _ = zip(*drawn, strict=True)
    sheet.bars(lefts, ends, ys, height - 4, looks)
    for x, end, y, kind, words in drawn:
        look, limit, (first, _, second) = LOOKS[kind], end - x - 54, words.partition("\n")
        if sheet.width(first, bold=True) > limit:  # what is short; the end can be missed best
            first, _, rest = first.partition(", ")
            second = second or rest if is_high else second
        (second,) = sheet.wrap(second, limit, SMALL, lines=1)
        shown: Any = {"color": look.words, "ground": "white" if look.hatch else ""}
        sheet.text(
            x + 22, y - (11 if second else 0), look.symbol, bold=True, align="center", **shown
        )
        bold = kind == "no_cell"
        _write(sheet, x + 44, y, f"{first}\n{second}", limit=limit, bold=bold, **shown)
    sheet.y += 18


def _draw_heads(sheet: Sheet, counts: list[Counter[str]], edges: list[float], width: float) -> None:
    """Write each question, how many have which answer, and draw those as one bar."""
    questions = sheet.facts["questions"]
    lines = [sheet.wrap(sheet.say("counted", one["counts"]), width, SMALL) for one in questions]
    below = sheet.y + 26 * max(map(len, lines))
    for x, head, written, each in zip(edges, _HEADS.values(), lines, counts, strict=True):
        sheet.text(x, sheet.y, head, bold=True, limit=width)
        for place, line in enumerate(written, start=1):
            sheet.label(x, sheet.y + 26 * place, line, color="ink")
        found = {kind: each[kind] for kind in _KINDS}
        sheet.stack(found, x, x + width, below + 20.5, 9, least=4, gap=2)
    sheet.y = below + 42


def _write(sheet: Sheet, x: float, y: float, words: str, *, limit: float, **look: Any) -> None:
    """Write one line in the middle, or two of which the second is smaller."""
    first, _, second = words.partition("\n")
    sheet.text(x, y - (11 if second else 0), first, limit=limit, **look)
    sheet.text(x, y + 13, second, size=SMALL, limit=limit, **look | {"bold": False})
