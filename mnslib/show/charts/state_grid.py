"""What still fits where: one row per namespace, one column per question, words in the cell.

Above 150 namespaces the rows would look alike, so that they become patterns: how many namespaces
have the same four answers, one of them by name, and how much they are short of.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnslib.capacity import summaries
from mnslib.capacity.fit import ALL_UPDATES, AUTOSCALER, NEXT_POD, QUESTIONS, ROLLING_UPDATE
from mnslib.show import wording
from mnslib.show.charts import colors
from mnslib.show.charts.canvas import MARGIN, RIGHT, SMALL, Canvas, Chart, top_rows
from mnslib.show.charts.marks import HATCH, Fill
from mnslib.show.views import finding, said

MOST_NAMESPACES = 150
"""Namespaces above which rows become patterns. Source: our visual standard."""

_HEADS = {
    NEXT_POD: "Next pod",
    ROLLING_UPDATE: "Roll out one workload",
    ALL_UPDATES: "Roll out all at once",
    AUTOSCALER: "Autoscaler maximum",
}


@dataclass(frozen=True, slots=True)
class _Look:
    """How an answer is drawn: its ground, its words' color, its symbol, its bar in the head."""

    ground: Fill
    color: str
    symbol: str
    bar: Fill
    bold: bool = False


_LOOKS = {
    "no": _Look(Fill(colors.CRITICAL_TINT), colors.CRITICAL, "✕", Fill(colors.CRITICAL), bold=True),
    "just": _Look(
        Fill(colors.WARNING_TINT),
        colors.WARNING_TEXT,
        "!",
        Fill(colors.WARNING, foot=colors.WARNING_TEXT),
    ),
    "yes": _Look(Fill(colors.GOOD_TINT), colors.GOOD_TEXT, "✓", Fill(colors.GOOD_SOFT)),
    "none": _Look(Fill(colors.PANEL), colors.MUTED, "–", Fill(colors.GRID)),
    "unknown": _Look(HATCH, colors.TEXT, "?", HATCH),
}
_GAP = 16
_FEW = 6
"""Rows up to which they are taller, and have room for two lines."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the grid: its name, and for each question the look and the words."""

    name: str
    cells: Sequence[tuple[str, str]]


def state_grid(
    table: pd.DataFrame, *, moment: datetime, note: str = "", family: str | None = None
) -> Chart:
    """Return the chart of what still fits in each namespace.

    Args:
        table: from `capacity.fit.fit_table`.
        moment: when clusters were read.
        note: sentences that the source line ends with.
        family: font family; None takes the first installed.
    """
    answers = _in_order(summaries.own_answers(table))
    kinds = summaries.kinds_of(answers)
    canvas, at = Canvas("state_grid", family=family), wording.moment(moment)
    title = finding("fit", table)
    how = "The shortest value decides; ordered by what fails first"
    if len(kinds) > MOST_NAMESPACES:
        how = "Same answers together, with what is short in the median and at most"
    canvas.heading(title, f"Does it still fit in the quota and on the nodes? {how}, {at}")
    if not len(kinds):
        canvas.note("Looked for managed namespaces, and others with a quota or running pods.")
    elif len(kinds) > MOST_NAMESPACES:
        _draw(canvas, kinds, _patterns(answers, kinds))
    else:
        shown = len(top_rows(range(len(kinds))))
        _draw(canvas, kinds, _rows(answers[: shown * len(QUESTIONS)]))
        if len(rest := kinds[shown:]):
            parts = {
                "with something that does not fit": int(_fails(rest).sum()),
                "unknown": int(_is_unknown(rest).sum()),
            }
            otherwise = ", in which all fits"
            where = "in tables/fit.csv"
            canvas.note(
                wording.more(len(rest), "namespace", parts, otherwise=otherwise, where=where)
            )
    source = (
        "Source: pods, workloads (maxSurge, rounded up), autoscalers, quotas, LimitRanges and "
        f"nodes, {at}. Nodes: by size; taints and affinity are not read. {note}"
    )
    return canvas.finish(source=source.strip(), alt=f"{title}. {_counts_of(kinds)}".strip())


def _in_order(answers: pd.DataFrame) -> pd.DataFrame:
    """Return all answers, those of the namespaces in which most urgent things fail first."""
    kinds = summaries.kinds_of(answers)
    short = np.fmax(-answers["left"].to_numpy(), 0).reshape(kinds.shape)
    first = answers[answers["question"] == NEXT_POD]
    keys = [
        _is_unknown(kinds), *(kinds != "no").T, *(kinds != "just").T, *-short.T,
        first["fits"].fillna(float("inf")), first["namespace_name"], first["cluster_name"],
    ]  # fmt: skip
    frame = pd.DataFrame({str(place): np.asarray(key) for place, key in enumerate(keys)})
    places = frame.sort_values(frame.columns.tolist()).index.to_numpy()
    each = np.arange(len(QUESTIONS))
    return answers.take((places[:, None] * len(QUESTIONS) + each).ravel())


def _fails(kinds: summaries.Kinds) -> Flags:
    found: Flags = (kinds == "no").any(axis=1)
    return found


def _is_unknown(kinds: summaries.Kinds) -> Flags:
    found: Flags = (kinds == "unknown").any(axis=1) & ~_fails(kinds)
    return found


def _rows(answers: pd.DataFrame) -> list[_Row]:
    found = answers.to_dict("records")
    each = len(QUESTIONS)
    return [
        _Row(
            found[place]["namespace_name"],
            [(row["kind"], said("answer", row)) for row in found[place : place + each]],
        )
        for place in range(0, len(found), each)
    ]


def _patterns(answers: pd.DataFrame, kinds: summaries.Kinds) -> list[_Row]:
    """Return one row for each combination of answers, those with a no first, the largest first."""
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, found in enumerate(np.where(kinds == "just", "yes", kinds).tolist()):
        alike[tuple(found)].append(place * len(QUESTIONS))
    ordered = sorted(
        alike.items(), key=lambda item: ("unknown" in item[0], "no" not in item[0], -len(item[1]))
    )
    names = answers["namespace_name"]
    return [
        _Row(
            f"{wording.count(len(places), 'namespace')}\nsuch as {names.iloc[places[0]]}",
            [
                (kind, _pattern_words(answers.take(np.array(places) + question), kind))
                for question, kind in enumerate(pattern)
            ],
        )
        for pattern, places in ordered
    ]


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
    typical, most = (_amount(field, value) for value in (amounts.median(), amounts.max()))
    return f"short {typical}\nat most {most}" if len(answers) > 1 else f"short {most}"


def _most_common(texts: Iterable[str]) -> str:
    return Counter(texts).most_common(1)[0][0]


def _amount(field: str, value: float) -> str:
    return f"{value:,.0f} pods" if field == "pods" else wording.quantity(field, value)


def _counts(kinds: summaries.Kinds) -> list[Counter[str]]:
    """Return how many namespaces have which kind of answer, by question."""
    return [Counter(column) for column in kinds.T.tolist()]


def _count_words(counts: Counter[str]) -> str:
    plain = Counter({"yes": counts["yes"] + counts["just"]}) + Counter(
        {kind: counts[kind] for kind in ("no", "none", "unknown")}
    )
    just = f" ({counts['just']:,} just)" if counts["just"] else ""
    return ", ".join(f"{plain[kind]:,} {kind}{just if kind == 'yes' else ''}"
                     for kind in ("no", "yes", "none", "unknown") if plain[kind])  # fmt: skip


def _counts_of(kinds: summaries.Kinds) -> str:
    counts = zip(_HEADS.values(), _counts(kinds), strict=True)
    parts = [f"{head}: {_count_words(each)}" for head, each in counts if each]
    return f"{'; '.join(parts)}." if parts else ""


def _draw(canvas: Canvas, kinds: summaries.Kinds, rows: list[_Row]) -> None:
    names = min(canvas.widest(line for row in rows for line in row.name.split("\n")), 330.0)
    left = MARGIN + names + 24
    width = (RIGHT - left - _GAP * (len(QUESTIONS) - 1)) / len(QUESTIONS)
    edges = [left + place * (width + _GAP) for place in range(len(QUESTIONS))]
    _draw_heads(canvas, kinds, edges, width)
    if len(rows) <= _FEW:
        rows = [_on_two_lines(canvas, row, width - 54) for row in rows]
    is_double = any("\n" in words for row in rows for _, words in row.cells)
    height = 60 if is_double else 44 if len(rows) <= _FEW else 34 if len(rows) <= 24 else 30
    for row in rows:
        top, bottom = canvas.y + 2, canvas.y + height - 2
        _write(canvas, MARGIN, (top, bottom), row.name, limit=names + 1)
        if set(row.cells) == {row.cells[0]} and row.cells[0][0] == "unknown":
            _draw_cell(canvas, (left, top, RIGHT, bottom), *row.cells[0])
        else:
            for x, (kind, words) in zip(edges, row.cells, strict=True):
                _draw_cell(canvas, (x, top, x + width, bottom), kind, words)
        canvas.y += height
    canvas.y += 18


def _draw_heads(canvas: Canvas, kinds: summaries.Kinds, edges: list[float], width: float) -> None:
    """Write each question, how many have which answer, and draw those as one bar."""
    counts = _counts(kinds)
    lines = [canvas.wrap(_count_words(each), width, SMALL) for each in counts]
    below = canvas.y + 26 * max(map(len, lines))
    for x, question, written, each in zip(edges, QUESTIONS, lines, counts, strict=True):
        canvas.text(x, canvas.y, _HEADS[question], bold=True, limit=width)
        for place, line in enumerate(written, start=1):
            canvas.text(x, canvas.y + 26 * place, line, size=SMALL)
        drawn = [kind for kind in _LOOKS if each[kind]]
        room = width - 6 * len(drawn) + 2
        for kind in drawn:
            end = x + 4 + room * each[kind] / len(kinds)
            canvas.box(x, below + 16, end, below + 25, _LOOKS[kind].bar)
            x = end + 2
    canvas.y = below + 42


def _draw_cell(
    canvas: Canvas, box: tuple[float, float, float, float], kind: str, words: str
) -> None:
    look, (x0, y0, x1, y1) = _LOOKS[kind], box
    canvas.box(x0, y0, x1, y1, look.ground)
    if look.ground.is_hatched:
        widest = min(canvas.widest(words.split("\n"), bold=look.bold), x1 - x0 - 54)
        canvas.box(x0 + 8, y0 + 3, x0 + 50 + widest, y1 - 3, Fill())
    middle = (y0 + y1) / 2 - (11 if "\n" in words else 0)
    canvas.text(x0 + 22, middle, look.symbol, color=look.color, bold=True, align="center")
    _write(canvas, x0 + 44, (y0, y1), words, limit=x1 - x0 - 54, look=look)


def _on_two_lines(canvas: Canvas, row: _Row, limit: float) -> _Row:
    """Return the row with cells that are too long broken after their first comma."""
    cells = [
        (kind, words.replace(", ", "\n", 1) if _is_cut(canvas, words, limit) else words)
        for kind, words in row.cells
    ]
    return _Row(row.name, cells)


def _is_cut(canvas: Canvas, words: str, limit: float) -> bool:
    return canvas.width(words.partition("\n")[0], bold=True) > limit


def _write(
    canvas: Canvas,
    x: float,
    between: tuple[float, float],
    words: str,
    *,
    limit: float,
    look: _Look | None = None,
) -> None:
    """Write one line in the middle, or two of which the second is smaller."""
    middle = sum(between) / 2
    first, _, second = words.partition("\n")
    color, bold = (look.color, look.bold) if look else (colors.INK, False)
    if look and _is_cut(canvas, first, limit):
        first = first.partition(", ")[0]  # what is short; the end can be missed best
    if look and second:
        second = canvas.wrap(second, limit, SMALL, lines=1)[0]
    up = 11 if second else 0
    canvas.text(x, middle - up, first, color=color, bold=bold, limit=limit)
    canvas.text(x, middle + 13, second, color=color, size=SMALL, limit=limit)
