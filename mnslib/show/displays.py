"""What a notebook cell shows besides charts: tables, key figures, boxes, tags.

Each is a value with an HTML form (`_repr_html_`) and a plain-text form (`repr`). All text is
escaped. Styles are inline, so that JupyterLab shows them too, light or dark: only grounds of their
own bring a text color of their own. The class names are what `page.css` refines in reports.

    >>> Table(columns=["Namespace", "Pods"], rows=[["payments-api", 4]])
    Namespace     Pods
    payments-api     4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape as escape_html
from typing import SupportsFloat

from mnslib import verdicts
from mnslib.errors import printable
from mnslib.show import wording
from mnslib.show.tokens import PAINTS, TOKENS, Tone

NONE_WORD = "–"
UNBROKEN_LENGTH = 32
"""Characters up to which a cell or tag stays on one line, so that names do not break at hyphens."""

_WORDS: dict[str, tuple[Tone, str]] = {
    # verdicts
    "full": ("critical", ""),
    "tight": ("warning", ""),
    "ok": ("calm", ""),
    "fix requests": ("fix", ""),
    # changes
    "Delete": ("critical", ""),
    "Adopt": ("warning", ""),
    # checks
    "passed": ("good", "✓"),
    "warning": ("warning", "!"),
    "unknown": ("unknown", "?"),
    # outcomes and run statuses
    "created": ("good", "✓"),
    "updated": ("good", "✓"),
    "adopted": ("good", "✓"),
    "deleted": ("good", "✓"),
    "released": ("good", "✓"),
    "unchanged": ("calm", "–"),
    "skipped": ("warning", "!"),
    "not attempted": ("unknown", "–"),
    "done": ("good", "✓"),
    "no change": ("calm", "–"),
    "findings": ("warning", "!"),
    "approval": ("warning", "!"),
    "not approved": ("warning", "!"),
    "partly": ("critical", "✕"),
    "failed": ("critical", "✕"),
    "stopped": ("unknown", "?"),
    "refused": ("critical", "✕"),
    "interrupted": ("unknown", "?"),
}


def escape(text: str) -> str:
    """Return outside text for a page: no tag acts, nor a sign that would steer a terminal."""
    return escape_html(printable(text))


@dataclass(frozen=True, slots=True, repr=False)
class Tag:
    """A word on a ground: a verdict, an outcome, a risk."""

    text: str
    tone: Tone = "calm"

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        paint = PAINTS[self.tone]
        edge = f"box-shadow:inset 0 0 0 1px {TOKENS['line']};" if self.tone == "unknown" else ""
        return (
            f'<span class="tag" style="background:{paint.ground};color:{paint.words};{edge}'
            f"{_nowrap(self.text)}font-weight:bold;font-size:13px;padding:2px 8px;"
            f'border-radius:2px;display:inline-block;line-height:1.35">'
            f"{escape(self.text)}</span>"
        )


def tag(word: str) -> Tag:
    """Return the tag of a verdict, change, outcome, check or run status; others are calm.

    `unknown: <reason>` keeps its reason; `not_attempted` reads "not attempted".
    """
    text = word.replace("_", " ")
    tone, symbol = _WORDS.get(verdicts.word(text), ("calm", ""))
    return Tag(f"{symbol} {text}".strip(), tone)


def commitment_tag(verdict: str, committed_ratio: SupportsFloat | None) -> Tag:
    """Return the tag of a verdict on a cluster: red where it cannot lose a node, as in charts."""
    tones: dict[str, Tone] = {"overcommit": "critical", "quota overcommit": "warning"}
    if verdict in tones:
        return Tag(wording.commitment_verdict(verdict, committed_ratio), tones[verdict])
    return tag(verdict)


@dataclass(frozen=True, slots=True, repr=False)
class Lines:
    """A cell of two lines: what it is, and below it, smaller, what belongs to it."""

    first: str
    second: str

    def __repr__(self) -> str:
        return f"{self.first} ({self.second})" if self.second else self.first

    def _repr_html_(self) -> str:
        second = f'<br><span class="second" style="font-size:13px">{escape(self.second)}</span>'
        return escape(self.first) + (second if self.second else "")


@dataclass(frozen=True, slots=True)
class Link:
    """A cell or sentence that leads to a file beside the page; `second` is a line below it."""

    text: str
    href: str
    second: str = ""

    def _repr_html_(self) -> str:
        below = Lines("", self.second)._repr_html_()
        return f'<a href="{escape(self.href)}">{escape(self.text)}</a>{below}'


@dataclass(frozen=True, slots=True)
class Tags:
    """A cell with words and tags beside each other, such as the risks of a change."""

    parts: Sequence[str | Tag]

    def __repr__(self) -> str:
        return ", ".join(map(str, self.parts))

    def _repr_html_(self) -> str:
        return " ".join(map(_cell_html, self.parts))


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """A small drawing in a cell.

    Attributes:
        svg: markup of our own making, in which nothing comes from outside.
        words: what it shows, for whoever does not see it.
    """

    svg: str
    words: str
    width: int
    height: int

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return (
            f'<svg role="img" aria-label="{escape(self.words)}" width="{self.width}" '
            f'height="{self.height}" viewBox="0 0 {self.width} {self.height}">{self.svg}</svg>'
        )


Cell = str | int | float | None | Tag | Tags | Lines | Link | Picture


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and how its cells stand.

    Attributes:
        align: "left" or "right"; None = right where every cell is a number.
        header: the cells name their rows: bold, `<th scope="row">`.
    """

    title: str
    align: str | None = None
    header: bool = False


def named(title: str) -> Column:
    """Return the column whose cells name their rows."""
    return Column(title, header=True)


def right(*titles: str) -> list[Column]:
    """Return columns of amounts that are words already, such as `12 cores`."""
    return [Column(title, align="right") for title in titles]


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Table:
    """A table; at most `limit` rows are shown, the line below says how many there are.

    Attributes:
        columns: titles, or `Column` values.
        rows: cells in the columns' order; numbers are formatted as amounts, None is a dash.
        note: a line below the table, such as where all rows are.
        empty: the sentence in place of a table without rows.
        total: how many rows there are, where `rows` are only the first of them.
    """

    columns: Sequence[str | Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    note: str = ""
    empty: str = "Nothing was found."
    limit: int = 50
    total: int | None = None

    def __repr__(self) -> str:
        if not self.rows:
            return "\n".join(filter(None, [self.caption, self.empty]))
        columns = self._columns()
        lines = [[column.title for column in columns]]
        lines += [
            [_cell_text(cell).replace("\n", "; ") for cell in row]
            for row in self.rows[: self.limit]
        ]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = ["  ".join(_pad(*part) for part in zip(ln, widths, columns, strict=True)).rstrip()
                for ln in lines]  # fmt: skip
        return "\n".join(filter(None, [self.caption, *text, self._note()]))

    def _repr_html_(self) -> str:
        caption = (
            f'<caption style="text-align:left;font-weight:bold;padding:4px 0;'
            f'min-width:min(48ch,80vw)">'
            f"{escape(self.caption)}</caption>"
        )
        if not self.rows:
            named = f"<b>{escape(self.caption)}</b> " if self.caption else ""
            return f'<p class="note">{named}{escape(self.empty)}</p>'
        columns = self._columns()
        head = "".join(
            f'<th scope="col" style="{_cell_style(column)}">{escape(column.title)}</th>'
            for column in columns
        )
        body = "".join(
            f"<tr>{''.join(map(_cell, columns, row))}</tr>" for row in self.rows[: self.limit]
        )
        note = f'<p class="note" style="font-size:13px">{escape(self._note())}</p>'
        return (
            '<table class="mns" style="border-collapse:collapse;'
            'font-variant-numeric:tabular-nums;margin:8px 0">'
            f"{caption if self.caption else ''}<thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>{note if self._note() else ''}"
        )

    def _columns(self) -> list[Column]:
        """Return the columns with their alignment decided by all rows, not only those shown."""
        found = []
        for index, given in enumerate(self.columns):
            column = Column(given) if isinstance(given, str) else given
            cells = [row[index] for row in self.rows if row[index] is not None]
            numeric = bool(cells) and all(
                isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells
            )
            align = column.align or ("right" if numeric else "left")
            found.append(Column(column.title, align, column.header))
        return found

    def _note(self) -> str:
        count = len(self.rows) if self.total is None else self.total
        shown = f"{self.limit:,} of {count:,} shown." if count > self.limit else ""
        return " ".join(filter(None, [shown, self.note]))


@dataclass(frozen=True, slots=True)
class Figure:
    """One key figure: the value, what it is, and out of how many (`of 77`)."""

    value: str | int | float
    label: str
    of: str = ""
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True, repr=False)
class KeyFigures:
    """Three to five numbers side by side."""

    figures: Sequence[Figure]

    def __repr__(self) -> str:
        return " · ".join(
            " ".join(filter(None, [_cell_text(figure.value), figure.of, figure.label]))
            for figure in self.figures
        )

    def _repr_html_(self) -> str:
        return (
            '<div class="figures" style="display:flex;flex-wrap:wrap;margin:12px 0;'
            f'border-top:2px solid {TOKENS["line"]};border-bottom:1px solid {TOKENS["grid"]}">'
            f"{''.join(map(_figure, self.figures))}</div>"
        )


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Callout:
    """A box with a bar at its left: what asks for a decision, a risk, a refusal.

    Attributes:
        text: prose; its line breaks are kept.
        code: what to copy, in fixed width.
        tags: words behind the title, such as the risk's name.
    """

    title: str
    text: str = ""
    code: str = ""
    tags: Sequence[Tag] = ()
    tone: Tone = "calm"

    def __repr__(self) -> str:
        title = f"{self.title} {' '.join(f'[{word.text}]' for word in self.tags)}".strip()
        parts = [title, self.text, self.code]
        return printable("\n".join(part.replace("\n", "\n  ") for part in parts if part))

    def _repr_html_(self) -> str:
        paint = PAINTS[self.tone]
        ground = "#FFFFFF" if self.tone == "unknown" else paint.ground
        tags = "".join(
            f' <span class="tag" style="background:#FFFFFF;color:{PAINTS[word.tone].words};'
            f'font-weight:bold;font-size:13px;padding:2px 8px">{escape(word.text)}</span>'
            for word in self.tags
        )
        text = escape(self.text).replace("\n", "<br>")
        return (
            f'<div class="callout" style="border:1px solid {TOKENS["grid"]};'
            f"border-left:5px solid {paint.bar};background:{ground};color:{TOKENS['ink']};"
            f'padding:12px 16px;margin:16px 0"><b>{escape(self.title)}</b>{tags}'
            + (f'<div style="margin-top:4px">{text}</div>' if text else "")
            + (_code_block(self.code) if self.code else "")
            + "</div>"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do: what, and why in sentences with the amounts."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Actions:
    """Things to do, numbered, the most urgent first; `empty` says that there is none."""

    actions: Sequence[Action]
    empty: str = "Nothing needs doing."

    def __repr__(self) -> str:
        lines = [f"{n}. {each.title}. {each.text}" for n, each in enumerate(self.actions, start=1)]
        return printable("\n".join(lines) or self.empty)

    def _repr_html_(self) -> str:
        lines = "".join(
            f"<li><b>{escape(each.title)}.</b> {escape(each.text)}</li>" for each in self.actions
        )
        return f'<ol class="actions">{lines}</ol>' if lines else f"<p>{escape(self.empty)}</p>"


@dataclass(frozen=True, slots=True, repr=False)
class Stack:
    """Several displays, one below the other; a text is a sentence of its own."""

    parts: Sequence[str | Table | KeyFigures | Callout]

    def __repr__(self) -> str:
        return "\n\n".join(map(str, self.parts))

    def _repr_html_(self) -> str:
        return "".join(
            f"<p>{escape(part)}</p>" if isinstance(part, str) else part._repr_html_()
            for part in self.parts
        )


def _code_block(code: str) -> str:
    return (
        f'<pre style="background:#FFFFFF;color:{TOKENS["ink"]};padding:8px 12px;'
        f'margin:8px 0 0;white-space:pre-wrap;overflow-wrap:anywhere">{escape(code)}</pre>'
    )


def _figure(figure: Figure) -> str:
    # the tone is a class, for `page.css`: on a dark notebook red figures would be hard to read
    beside = f' <span class="of" style="font-size:15px">{escape(figure.of)}</span>'
    return (
        '<div class="figure" style="flex:1 1 120px;padding:10px 12px 12px">'
        f'<span class="value {figure.tone}" style="font-size:28px;font-weight:bold">'
        f"{escape(_cell_text(figure.value))}</span>{beside if figure.of else ''}<br>"
        f'<span class="label" style="font-size:14px">{escape(figure.label)}</span></div>'
    )


def _cell(column: Column, cell: Cell) -> str:
    lines = (cell.first, cell.second) if isinstance(cell, Lines) else (_cell_text(cell),)
    style = _nowrap(max(lines, key=len)) + _cell_style(column)
    if column.header:
        return f'<th scope="row" style="{style};font-weight:bold">{_cell_html(cell)}</th>'
    return f'<td style="{style}">{_cell_html(cell)}</td>'


def _cell_style(column: Column) -> str:
    return f"text-align:{column.align};vertical-align:top;padding:6px 16px 6px 0"


def _nowrap(text: str) -> str:
    return "white-space:nowrap;" if len(text) <= UNBROKEN_LENGTH else ""


def _cell_html(cell: Cell) -> str:
    if isinstance(cell, Tag | Tags | Lines | Link | Picture):
        return cell._repr_html_()
    return escape_html(_cell_text(cell)).replace("\n", "<br>")  # printable it is


def _cell_text(cell: Cell) -> str:
    if cell is None or cell == "":
        return NONE_WORD
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}".replace("-", wording.MINUS)
    if isinstance(cell, float):
        return wording.number(cell)
    return printable(cell.text if isinstance(cell, Link) else str(cell))


def _pad(text: str, width: int, column: Column) -> str:
    return text.rjust(width) if column.align == "right" else text.ljust(width)
