"""What a notebook cell shows besides charts: tables, key figures, boxes, tags.

Each is a value with an HTML form (`_repr_html_`) and a plain-text form (`repr`). All text is
escaped. Styles are inline, so that JupyterLab shows them too, light or dark: only grounds of their
own bring a text color of their own. The class names are what `page.css` refines in reports.

    >>> Table(columns=["Namespace", "Pods"], rows=[["payments-api", 4]])
    Namespace     Pods
    payments-api     4
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mnslib import verdicts
from mnslib.errors import printable
from mnslib.show import wording
from mnslib.show.tables import Tone, told
from mnslib.show.templates import render_part

NOTHING = "Nothing was found."

FOLD = "mnslib_fold"
"""Metadata of an output: the line under which a report folds it together with those beside it."""
CHART = "mnslib_chart"
"""Metadata of an output: the chart in it, which is `charts/<name>.svg` of the run as well."""
EMPTY = "mnslib_empty"
"""Metadata of an output: it says that nothing was found, or could not be read."""
CARD = "mnslib_card"
"""Metadata of an output: it is the card of the error that ended its cell."""


class _Display:
    """A value that is shown by the macro of `displays.*.j2` that has its name."""

    __slots__ = ()
    holds: ClassVar[str] = ""
    """The attribute with what was found; without any, the display says so."""

    @property
    def is_empty(self) -> bool:
        """Whether it says that nothing was found."""
        return bool(self.holds) and not getattr(self, self.holds)

    def __repr__(self) -> str:
        return render_part("displays.txt.j2", type(self).__name__, self)

    def _repr_html_(self) -> str:
        return str(render_part("displays.html.j2", type(self).__name__, self))

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        data = {"text/html": self._repr_html_(), "text/plain": repr(self)}
        return data, {EMPTY: True} if self.is_empty else {}

    __html__ = _repr_html_


@dataclass(frozen=True, slots=True, repr=False)
class Tag(_Display):
    """A word on a ground: a verdict, an outcome, a risk."""

    text: str
    tone: Tone = "calm"

    def __repr__(self) -> str:
        return self.text


def tag(word: str, text: str = "") -> Tag:
    """Return the tag of a verdict, change, outcome, check or run status; others are calm.

    `unknown: <reason>` keeps its reason; `not_attempted` reads "not attempted".

    Args:
        text: what it says in place of the word.
    """
    word = word.replace("_", " ")
    tone, *symbol = told("tags").get(verdicts.word(word), ["calm"])
    return Tag(" ".join([*symbol, text or word]), tone)


@dataclass(frozen=True, slots=True, repr=False)
class Blocks(_Display):
    """A bar or a strip in a cell: blocks beside each other, each its width in pixels and ground.

    Attributes:
        words: what they show, for whoever does not see them.
        beside: what stands behind them, such as the share that they show.
    """

    parts: Sequence[tuple[int, str]]
    words: str
    beside: str = ""

    def __repr__(self) -> str:
        return self.words


@dataclass(frozen=True, slots=True, repr=False)
class Parts(_Display):
    """A cell of words, tags and bars beside each other.

    Attributes:
        second: what belongs to it, on a line below, smaller.
        href: the file beside the page that it leads to.
    """

    parts: Sequence[str | Tag | Blocks]
    second: str = ""
    href: str = ""

    def __repr__(self) -> str:
        text = ", ".join(map(str, self.parts))
        return f"{text} ({self.second})" if self.second else text


Cell = str | int | float | None | Tag | Blocks | Parts


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


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Table(_Display):
    """A table; where its rows are only the first, the line below says how many there are.

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
    empty: str = NOTHING
    total: int | None = None
    holds = "rows"

    def __repr__(self) -> str:
        if not self.rows:
            return printable("\n".join(filter(None, [self.caption, self.empty])))
        lines = [[column.title for column in self.standing]]
        lines += [[_text(cell).replace("\n", "; ") for cell in row] for row in self.rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        sides = [">" if column.align == "right" else "<" for column in self.standing]
        text = ["  ".join(f"{cell:{side}{width}}"
                          for cell, side, width in zip(line, sides, widths, strict=True)).rstrip()
                for line in lines]  # fmt: skip
        return printable("\n".join(filter(None, [self.caption, *text, self.said])))

    @property
    def shown(self) -> list[list[tuple[Column, Any, str]]]:
        """Of each row its cells with their columns and their longest line."""
        columns = self.standing
        return [
            [(column, *_shown(cell)) for column, cell in zip(columns, row, strict=True)]
            for row in self.rows
        ]

    @property
    def standing(self) -> list[Column]:
        """The columns with their alignment decided."""
        columns = [Column(one) if isinstance(one, str) else one for one in self.columns]
        found = []
        for index, column in enumerate(columns):
            kinds = {type(row[index]) for row in self.rows} - {type(None)}
            side = "right" if kinds and kinds <= {int, float} else "left"
            found.append(replace(column, align=column.align or side))
        return found

    @property
    def said(self) -> str:
        """The line below the table."""
        rows, total = len(self.rows), self.total or 0
        shown = f"{rows:,} of {total:,} shown." if rows < total else ""
        return " ".join(filter(None, [shown, self.note]))


@dataclass(frozen=True, slots=True)
class Figure:
    """One key figure: the value, what it is, and out of how many (`of 77`)."""

    value: str
    label: str
    of: str = ""
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True, repr=False)
class KeyFigures(_Display):
    """Three to five numbers side by side."""

    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Callout(_Display):
    """A box with a bar at its left: what asks for a decision, a risk, a refusal.

    Attributes:
        text: prose; its line breaks are kept.
        code: what to copy, in fixed width.
        elsewhere: another place, and what to copy there instead.
        tags: words behind the title, such as the risk's name.
    """

    title: str
    text: str = ""
    code: str = ""
    elsewhere: tuple[str, str] = ("", "")
    tags: Sequence[str] = ()
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Actions(_Display):
    """Things to do, numbered, the most urgent first; `empty` says that there is none.

    Attributes:
        actions: of each what, and why in sentences with the amounts.
    """

    actions: Sequence[tuple[str, str]]
    empty: str = "Nothing needs doing."
    holds = "actions"


@dataclass(frozen=True, slots=True, repr=False)
class Names(_Display):
    """An index of names in columns, so that a search in the page finds each of them."""

    title: str
    names: Sequence[str]
    holds = "names"


@dataclass(frozen=True, slots=True, repr=False)
class Sentence(_Display):
    """A finding in words; `is_empty` says that it is all there is to say."""

    text: str
    is_empty: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Stack(_Display):
    """Displays and charts, one below the other; in a notebook each is an output of its own.

    Attributes:
        parts: a text is a sentence of its own; what is None is left out.
        fold: the line under which a report folds them together; a notebook shows them at once.
    """

    parts: Sequence[Any]
    fold: str = ""

    def __repr__(self) -> str:
        return "\n\n".join(filter(None, [self.fold, *(repr(part) for part, _ in self.outputs())]))

    @property
    def shown(self) -> list[Any]:
        """The displays, and of a chart its picture in the page."""
        bundles = [(part, part._repr_mimebundle_()[0]) for part, _ in self.outputs()]
        return [(part, bundle.get("image/png", "")) for part, bundle in bundles]

    def outputs(self, fold: str = "") -> Iterator[tuple[Any, str]]:
        """Yield each part with the line under which it is folded."""
        for part in self.parts:
            if isinstance(part, Stack):
                yield from part.outputs(part.fold or self.fold or fold)
            elif part is not None:
                yield Sentence(part) if isinstance(part, str) else part, self.fold or fold

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for part, fold in self.outputs():
            display(part, metadata={FOLD: fold} if fold else None)  # type: ignore[no-untyped-call]


class Shown:
    """Something that shows itself as a display, which it makes of itself."""

    def _shown(self) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return repr(self._shown())

    def _repr_html_(self) -> str:
        return str(self._shown()._repr_html_())


def pictures(shown: Any) -> Iterator[Any]:
    """Yield the charts in what a cell shows."""
    parts = [part for part, _ in shown.outputs()] if isinstance(shown, Stack) else [shown]
    yield from (part for part in parts if hasattr(part, "svg"))


def _shown(cell: Cell) -> tuple[Any, str]:
    """Return what a template takes of a cell, and the longest of its lines."""
    if isinstance(cell, Parts):
        return cell, max(repr(replace(cell, second="")), cell.second, key=len)
    text = _text(cell)
    is_text = not isinstance(cell, _Display)
    return render_part("displays.html.j2", "broken", text) if is_text else cell, text


def _text(cell: Cell) -> str:
    if cell is None or cell == "":
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}".replace("-", wording.MINUS)
    return wording.number_text(cell) if isinstance(cell, float) else printable(str(cell))
