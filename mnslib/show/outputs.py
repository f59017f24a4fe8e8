"""An executed notebook -> what it found, as data: no code, no prompts, nothing that can run.

Works on the notebook's JSON and on what its outputs say of themselves (`displays`: kind, fold,
chart, whether anything was found). HTML is taken as it is only where every tag and attribute is one
that text, tables and pictures need; all else is shown as its plain text. Knows nothing of pages.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import mistune

from mnslib import errors
from mnslib.show.displays import CHART, EMPTY, FOLD, KIND, NOTHING, Callout
from mnslib.show.svg import inlined
from mnslib.show.tables import told
from mnslib.show.templates import as_html, is_local

LONGEST_ERROR_LINES = 300
"""Lines of an error message in a report; the executed notebook has all of them."""

RUNNER_TAG = "papermill-error-cell-tag"
"""Cells that papermill adds to a failed notebook; the report says it in its own way."""

SESSION_TAGS = frozenset({"setup", "result"})
"""Cells whose output the page has in its own places: its bar, its key figures and its footer."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TAG = re.compile(r"""(<(?:[^<>"']|"[^"]*"|'[^']*')*>)""")
_PANDAS_STYLE = re.compile(r"<style scoped>.*?</style>", re.DOTALL)
_HEADING = re.compile(r"\s*(#+)\s+(.+?)\s*#*(?:\n|$)")


@dataclass(frozen=True, slots=True)
class Shown:
    """One output, as a report's templates take it.

    Attributes:
        kind: how it is shown: `html`, `svg`, `image` or `plain`.
        content: markup that was looked through, the address of an image, or text.
        words: its plain text; of a picture what stands for it.
        display: the kind of display it is; empty for what is none of ours.
        is_empty: whether it says that nothing was found.
    """

    kind: str
    content: str
    words: str
    display: str = ""
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Outputs beside each other that one line folds together; open where `fold` is empty."""

    fold: str
    outputs: tuple[Shown, ...]

    @property
    def said(self) -> str:
        """Where nothing at all was found: that, in a line; empty elsewhere."""
        is_empty = all(output.is_empty for output in self.outputs)
        return _line(output.words for output in self.outputs) if is_empty else ""


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below a heading.

    Attributes:
        title: the heading, as HTML; empty without one.
        about: the text below it, as HTML.
        tags: of its cells.
    """

    title: str
    about: str
    groups: tuple[Group, ...]
    tags: frozenset[str]

    @property
    def said(self) -> str:
        """Where nothing at all was found: that, in a line; empty elsewhere."""
        lines = [group.said for group in self.groups]
        return _line(lines) if self.title and all(lines) else ""

    @property
    def has_chart(self) -> bool:
        """Whether it holds a picture."""
        shown = [output.kind for group in self.groups for output in group.outputs]
        return not {"svg", "image"}.isdisjoint(shown)


@dataclass(frozen=True, slots=True)
class Body:
    """What an executed notebook holds for a reader.

    Attributes:
        title: first heading of the first markdown cell; empty without one.
        about: that cell as HTML.
        sections: the other cells, a section from each heading cell to the next; what is to be
            decided first; where there is a plan, first it and its approval, last what was read
            before it.
        error: the error that ended it.
        left_out: code cells that did not run.
    """

    title: str = ""
    about: str = ""
    sections: tuple[Section, ...] = ()
    error: Callout | None = None
    left_out: int = 0


def read_body(
    notebook: Mapping[str, Any],
    *,
    files: Iterable[str] = (),
    charts: Path | None = None,
    headline: str = "",
) -> Body:
    """Return what an executed notebook shows, cut after the last cell that ran.

    Args:
        notebook: its JSON.
        files: beside the page; where texts name one, they lead to it.
        charts: folder with the charts as SVG; a chart that is not there stays an image.
        headline: of the page; no chart says it again.
    """
    cells = [cell for cell in notebook["cells"] if RUNNER_TAG not in _tags(cell)]
    first = next((cell for cell in cells if cell["cell_type"] == "markdown"), None)
    about = joined(first["source"]) if first else ""
    code = [i for i, cell in enumerate(cells) if _is_code(cell)]
    ran = [i for i in code if cells[i].get("execution_count") is not None]
    left_out = len(code) - len(ran)
    end = len(cells) if not left_out else max(ran, default=-1) + 1
    failed = [
        output
        for cell in cells[:end]
        for output in cell.get("outputs", ())
        if output["output_type"] == "error"
    ]
    heading = re.search(r"^#+\s+(.+)$", about, re.MULTILINE)
    reader = _Reader(files, charts, headline)
    sections = reader.sections(cell for cell in cells[:end] if cell is not first)
    if left_out:  # nothing is said of steps that did not come
        while sections and not sections[-1].groups:
            sections.pop()
    return Body(
        title=heading.group(1).strip() if heading else "",
        about=as_html(markdown_html(about, shift=2)),
        sections=_decisions_first(sections),
        error=_error_box(failed[-1]) if failed else None,
        left_out=left_out,
    )


def markdown_html(text: str, *, shift: int = 0) -> str:
    """Return markdown as HTML, headings moved down by `shift`; raw HTML is shown as text.

    Links that leave the folder become their words: a page holds no external address.
    """
    return str(mistune.create_markdown(renderer=_Markdown(shift), plugins=["table"])(text))


def linked(html: str, files: Iterable[str]) -> str:
    """Return HTML whose text leads to files where it names them.

    Args:
        files: paths relative to the page, as the text writes them.
    """
    hrefs = {escape(name): quote(name) for name in files}
    if not hrefs:
        return html
    names = "|".join(map(re.escape, sorted(hrefs, key=len, reverse=True)))
    named = re.compile(rf"(?<![\w./-])(?:{names})(?![\w/-]|\.\w)")
    parts = _TAG.split(html)  # texts and tags, in turns
    is_link = False
    for at, text in enumerate(parts):
        if at % 2:
            is_link = text.startswith("<a ") or (is_link and text != "</a>")
        elif not is_link:
            parts[at] = named.sub(lambda name: f'<a href="{hrefs[name[0]]}">{name[0]}</a>', text)
    return "".join(parts)


def is_plain_html(text: str) -> bool:
    """Return whether HTML holds nothing but balanced text, tables and embedded pictures."""
    scan = _Scan()
    scan.feed(text)
    scan.close()
    return scan.plain and not scan.open_tags


def joined(text: str | Sequence[str]) -> str:
    """Return a notebook's multi-line text, which is a string or a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def _line(said: Iterable[str]) -> str:
    """Return sentences as one line, each once; the one that names nothing only if it is alone."""
    lines = dict.fromkeys(said)
    return " ".join([line for line in lines if line != NOTHING] or lines)


def _tags(cell: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(cell.get("metadata", {}).get("tags", ()))


def _is_code(cell: Mapping[str, Any]) -> bool:
    return cell["cell_type"] == "code" and bool(joined(cell["source"]).strip())


def _decisions_first(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Return the sections as whoever decides reads them.

    That is: what there is to decide, plan, approval, the rest, what led to the plan. A notebook
    cannot show these before what they were made of; without them its order stays.
    """
    places = {tag: place for place, section in enumerate(sections) for tag in section.tags}
    plan = places.get("plan", 0)
    first = [places.get("decisions", plan), plan, places.get("approve", plan)]
    order = dict.fromkeys([*first, *range(plan, len(sections)), *range(plan)])
    return tuple(sections[i] for i in order if i < len(sections))


class _Reader:
    """Turns cells into sections; counts the charts, so that none is taken for another."""

    def __init__(self, files: Iterable[str], charts: Path | None, headline: str) -> None:
        self._files, self._charts, self._headline = list(files), charts, headline
        self._count = 0

    def sections(self, cells: Iterable[Mapping[str, Any]]) -> list[Section]:
        found: list[tuple[str, list[str], list[Group], set[str]]] = [("", [], [], set())]
        for cell in cells:
            text = joined(cell["source"])
            if cell["cell_type"] == "markdown":
                if heading := _HEADING.match(text):
                    is_part = len(heading[1]) < 3
                    title = self._markdown(heading[2])[len("<p>") :].rpartition("</p>")[0]
                    found.append((title if is_part else "", [], [], set()))
                    text = text[heading.end() :] if is_part else text
                found[-1][1].append(self._markdown(text))
            elif SESSION_TAGS.isdisjoint(_tags(cell)):
                groups = list(self._groups(cell.get("outputs", ())))
                found[-1][2].extend(groups)
                found[-1][3].update(_tags(cell) if groups else ())
        return [
            Section(as_html(title), as_html("".join(text)), tuple(groups), frozenset(tags))
            for title, text, groups, tags in found
            if title or groups or text
        ]

    def _markdown(self, text: str) -> str:
        return linked(markdown_html(text), self._files)

    def _groups(self, outputs: Iterable[Mapping[str, Any]]) -> Iterator[Group]:
        for fold, group in groupby(outputs, key=lambda one: one.get("metadata", {}).get(FOLD, "")):
            if shown := tuple(filter(None, map(self._shown, group))):
                yield Group(str(fold), shown)

    def _shown(self, output: Mapping[str, Any]) -> Shown | None:
        if output["output_type"] == "stream":
            # stderr carries progress, which is of no use to whom reads afterwards
            return _plain(joined(output["text"])) if output["name"] == "stdout" else None
        if output["output_type"] == "error":
            return None
        data = {kind: joined(value) for kind, value in output["data"].items() if value}
        about, text = output.get("metadata", {}), data.get("text/plain", "")
        own: Any = {"display": str(about.get(KIND, "")), "is_empty": about.get(EMPTY) is True}
        if "application/vnd.jupyter.widget-view+json" in data:
            return None
        for kind in ("image/png", "image/jpeg", "image/svg+xml"):
            if kind in data:
                return self._picture(kind, data[kind], text, str(about.get(CHART, "")))
        if "text/html" in data:
            html = _PANDAS_STYLE.sub("", data["text/html"])
            if is_plain_html(html):
                return Shown("html", as_html(linked(html, self._files)), text, **own)
        if "text/markdown" in data:
            return Shown("html", as_html(self._markdown(data["text/markdown"])), text, **own)
        return None if text.startswith("<IPython.core.display") else _plain(text)

    def _picture(self, kind: str, content: str, text: str, chart: str) -> Shown:
        words = "Chart; its numbers are in the table beside it." if text[:1] == "<" else text
        file = self._charts / f"{chart}.svg" if self._charts else None
        if file and re.fullmatch(r"\w+", chart, re.ASCII) and file.is_file():
            self._count += 1
            svg = file.read_text(encoding="utf-8", errors="replace")
            prefix, said = f"chart{self._count}-", self._headline
            if markup := inlined(svg, prefix=prefix, words=words, headline=said):
                return Shown("svg", as_html(markup), words)
        base64 = "".join(content.split())
        if kind == "image/svg+xml":
            base64 = b64encode(content.encode()).decode()
        return Shown("image", f"data:{kind};base64,{base64}", words)


def _plain(text: str) -> Shown | None:
    clean = _ANSI.sub("", text).strip("\n")
    return Shown("plain", clean, clean) if clean.strip() else None


def _error_box(output: Mapping[str, Any]) -> Callout:
    lines = _ANSI.sub("", output["evalue"]).splitlines()
    rest = len(lines) - LONGEST_ERROR_LINES
    more = [f"… {rest:,} more lines in notebook.ipynb"] if rest > 0 else []
    message = "\n".join([*lines[:LONGEST_ERROR_LINES], *more])
    texts, name = told("report"), output["ename"]
    kind = {**vars(errors), "KeyboardInterrupt": KeyboardInterrupt}.get(name)
    for parent in getattr(kind, "__mro__", ()):
        if title := texts["errors"].get(parent.__name__):
            return Callout(title=title, code=message, tone="critical")
    title = f"Unexpected error: {name}"
    return Callout(title=title, text=texts["unexpected"], code=message, tone="critical")


class _Markdown(mistune.HTMLRenderer):
    """Mistune's own renderer without external addresses and with headings moved down."""

    def __init__(self, shift: int) -> None:
        super().__init__(escape=True)
        self._shift = shift

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        return super().heading(text, min(level + self._shift, 6))

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, url, title) if is_local(url) else text

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return text


class _Scan(HTMLParser):
    """Looks for anything but the tags and attributes that displays need."""

    TAGS: ClassVar = frozenset(told("allowed")["html"]["tags"].split())
    ATTRIBUTES: ClassVar = frozenset(told("allowed")["html"]["attributes"].split())
    VOID: ClassVar = frozenset({"br", "hr", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.plain = True
        self.open_tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.plain &= tag in self.TAGS and all(_is_harmless(*pair) for pair in attrs)
        if tag not in self.VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            self.plain &= bool(self.open_tags) and self.open_tags.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.plain = False

    def handle_decl(self, decl: str) -> None:
        self.plain = False

    handle_pi = unknown_decl = handle_comment


def _is_harmless(name: str, value: str | None) -> bool:
    text = (value or "").strip().lower()
    if name == "href":
        return is_local(text)
    if name == "src":
        return text.startswith(("data:image/png", "data:image/jpeg", "data:image/svg+xml"))
    if name == "style":
        return not re.search(r"url|@|expression|\\|/\*|position", text)
    return name in _Scan.ATTRIBUTES or name.startswith("aria-")
