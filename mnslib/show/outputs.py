"""An executed notebook -> what it found, as data: no code, no prompts, nothing that can run.

Works on the notebook's JSON and on what its outputs say of themselves (`displays`: fold, chart,
whether anything was found). HTML is taken as it is only where every tag and attribute is one that
text, tables and pictures need; all else is shown as its plain text. Knows nothing of pages.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree

import mistune

from mnslib import errors
from mnslib.secrets import hide_secrets
from mnslib.show.displays import CARD, CHART, EMPTY, FOLD, NOTHING, Callout
from mnslib.show.svg import inlined
from mnslib.show.tables import told
from mnslib.show.templates import as_html, is_local

RUNNER_TAG = "papermill-error-cell-tag"
"""Cells that papermill adds to a failed notebook; the report says it in its own way."""

SESSION_TAGS = frozenset({"setup", "result"})
"""Cells whose output the page has in its own places: its bar, its key figures and its footer."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
_PANDAS_STYLE = re.compile(r"<style scoped>.*?</style>", re.DOTALL)
_TAGS, _ATTRIBUTES = (frozenset(told("allowed")["html"][kind].split())
                      for kind in ("tags", "attributes"))  # fmt: skip
_HEADING = re.compile(r"\s*(#+)\s+(.+?)\s*#*(?:\n|$)")


@dataclass(frozen=True, slots=True)
class Shown:
    """One output, as a report's templates take it.

    Attributes:
        kind: how it is shown: `html`, `svg`, `image` or `plain`.
        content: markup that was looked through, the address of an image, or text.
        words: its plain text; of a picture what stands for it.
        about: what it says of itself, see `displays`.
    """

    kind: str
    content: str
    words: str
    about: Mapping[str, Any]


@dataclass(slots=True)
class Section:
    """What stands below a heading.

    Attributes:
        title: the heading, as HTML; empty without one.
        about: the text below it, as HTML.
        tags: of its cells.
    """

    title: str = ""
    about: str = ""
    outputs: list[Shown] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)

    @property
    def groups(self) -> Iterator[tuple[str, list[Shown], str]]:
        """The outputs beside each other that one line folds together, or none.

        With each line its outputs, and where nothing at all was found, that in a line.
        """
        folds = groupby(self.outputs, key=lambda shown: str(shown.about.get(FOLD, "")))
        for fold, outputs in [(fold, list(found)) for fold, found in folds]:
            yield fold, outputs, _nothing(outputs)

    @property
    def said(self) -> str:
        """Where nothing at all was found: that, in a line; empty elsewhere."""
        return _nothing(self.outputs) if self.title else ""

    @property
    def has_chart(self) -> bool:
        """Whether it holds a picture."""
        return any(shown.kind in ("svg", "image") for shown in self.outputs)


def read_body(notebook: Mapping[str, Any], *, charts: Path, headline: str) -> dict[str, Any]:
    """Return what an executed notebook shows, cut after the last cell that ran.

    Args:
        notebook: its JSON.
        charts: folder with the charts as SVG; a chart that is not there stays an image.
        headline: of the page; no chart says it again.

    Returns:
        `title`: the first heading of the first markdown cell, empty without one; `about`, that cell
        as HTML; `sections`, the other cells from each heading cell to the next: what is to be
        decided first; where there is a plan, first it and its approval, last what was read before
        it; `error`, the box of what ended it; `left_out`, how many code cells did not run.
    """
    cells = [
        {"outputs": (), **cell, "source": joined(cell["source"])}
        | {"tags": frozenset(cell.get("metadata", {}).get("tags", ()))}
        for cell in notebook["cells"]
    ]
    cells = [cell for cell in cells if RUNNER_TAG not in cell["tags"]]
    code = [cell for cell in cells if cell["cell_type"] == "code" and cell["source"].strip()]
    code = [cell for cell in code if "parameters" not in cell["tags"]]  # which take no step
    ran = [cell for cell in code if cell.get("execution_count") is not None]
    left_out = len(code) - len(ran)
    while left_out and cells and cells[-1] not in ran:
        cells.pop()
    kinds = [{one["output_type"] for one in cell["outputs"]} for cell in cells]
    failed = [cell["outputs"] for cell, has in zip(cells, kinds, strict=True) if "error" in has]
    first = next((cell for cell in cells if cell["cell_type"] == "markdown"), {"source": ""})
    sections = _sections([cell for cell in cells if cell is not first], charts, headline)
    while left_out and sections and not sections[-1].outputs:
        sections.pop()  # nothing is said of steps that did not come
    heading = re.search(r"^#+\s+(.+)$", first["source"], re.MULTILINE)
    # as whoever decides reads them, which a notebook cannot show before what they were made of
    places = {tag: place for place, section in enumerate(sections) for tag in section.tags}
    plan = places.get("plan", 0)
    head = [places.get("decisions", plan), plan, places.get("approve", plan)]
    order = dict.fromkeys([*head, *range(plan, len(sections)), *range(plan)])
    return {
        "title": heading[1].strip() if heading else "",
        "about": as_html(markdown_html(first["source"], shift=2)),
        "sections": [sections[place] for place in order if place < len(sections)],
        "error": _card(failed[-1]) if failed else None,
        "left_out": left_out,
    }


def markdown_html(text: str, *, shift: int = 0) -> str:
    """Return markdown as HTML, headings moved down by `shift`; raw HTML is shown as text.

    Links that leave the folder become their words: a page holds no external address.
    """
    return str(mistune.create_markdown(renderer=_Markdown(shift), plugins=["table"])(text))


def is_plain_html(text: str) -> bool:
    """Return whether HTML holds nothing but balanced text, tables and embedded pictures.

    It must be XML as well: what a browser would mend or take for something else is none.
    """
    if re.search(r"<[!?]|<(?!(?:br|hr|img)\b)[^<>]*/>", text):
        return False
    try:
        root = ElementTree.fromstring(f"<div>{text}</div>")
    except (ElementTree.ParseError, ValueError):
        return False
    return all(
        node.tag in _TAGS and all(_is_harmless(*pair) for pair in node.items())
        for node in root.iter()
    )


def joined(text: str | Sequence[str]) -> str:
    """Return a notebook's multi-line text, which is a string or a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def _nothing(outputs: Sequence[Shown]) -> str:
    """Return what outputs say that all found nothing, in a line; empty where one found something.

    Each thing is said once; the sentence that names nothing only where it is alone.
    """
    if not all(shown.about.get(EMPTY) for shown in outputs):
        return ""
    lines = dict.fromkeys(shown.words for shown in outputs)
    return " ".join([line for line in lines if line != NOTHING] or lines)


def _sections(cells: Sequence[Mapping[str, Any]], charts: Path, headline: str) -> list[Section]:
    found = [Section()]
    for place, cell in enumerate(cells):
        text, last = cell["source"], found[-1]
        if not SESSION_TAGS.isdisjoint(cell["tags"]):
            continue
        if cell["cell_type"] == "markdown":
            heading = _HEADING.match(text)
            if heading and len(heading[1]) < 3:
                title = markdown_html(heading[2])[len("<p>") :].rpartition("</p>")[0]
                found.append(Section(as_html(title), as_html(markdown_html(text[heading.end() :]))))
            elif heading:
                found.append(Section(about=as_html(markdown_html(text))))
            else:
                last.about = as_html(last.about + markdown_html(text))
        else:
            shown = [_shown(one, charts, headline, f"chart{place}-{n}-")
                     for n, one in enumerate(cell["outputs"])]  # fmt: skip
            last.outputs += filter(None, shown)
            last.tags |= cell["tags"] if any(shown) else set()
    return [section for section in found if section.title or section.about or section.outputs]


def _shown(output: Mapping[str, Any], charts: Path, headline: str, prefix: str) -> Shown | None:
    if output["output_type"] == "stream":
        # stderr carries progress, which is of no use to whom reads afterwards
        return _plain(joined(output["text"])) if output["name"] == "stdout" else None
    data = {kind: joined(value) for kind, value in output.get("data", {}).items() if value}
    about, text = output.get("metadata", {}), data.get("text/plain", "")
    if CARD in about or "application/vnd.jupyter.widget-view+json" in data:
        return None
    if kind := next((kind for kind in _IMAGES if kind in data), ""):
        words = "Chart; its numbers are in the table beside it." if text[:1] == "<" else text
        name = str(about.get(CHART, ""))
        file = charts / f"{name}.svg"
        if re.fullmatch(r"\w+", name, re.ASCII) and file.is_file():
            svg = file.read_text(encoding="utf-8", errors="replace")
            if markup := inlined(svg, prefix=prefix, words=words, headline=headline):
                return Shown("svg", as_html(markup), words, about)
        is_text = kind == "image/svg+xml"
        base64 = b64encode(data[kind].encode()).decode() if is_text else data[kind]
        return Shown("image", f"data:{kind};base64,{''.join(base64.split())}", words, about)
    html = _PANDAS_STYLE.sub("", data.get("text/html", ""))
    if html and is_plain_html(html):
        return Shown("html", as_html(html), text, about)
    return None if text.startswith("<IPython.core.display") else _plain(text)


def _plain(text: str) -> Shown | None:
    clean = _ANSI.sub("", text).strip("\n")
    return Shown("plain", clean, clean, {}) if clean.strip() else None


def error_card(name: str, message: str, *, code: str = "") -> Callout:
    """Return an error as a box; one without words of its own has those of the kind above it.

    The first line of its message is a sentence, the others are details; `code` is what to copy.
    """
    texts = told("report")
    kind = {**vars(errors), "KeyboardInterrupt": KeyboardInterrupt}.get(name)
    parents = [parent.__name__ for parent in getattr(kind, "__mro__", ())]
    titles = [texts["errors"][parent] for parent in parents if parent in texts["errors"]]
    said, _, details = _ANSI.sub("", hide_secrets(message)).partition("\n")
    what_next = texts["following"].get(name, "") if titles else texts["unexpected"]
    if details and what_next:
        said = f"{said.rstrip(':')}."  # which is not followed by them at once
    return Callout(
        title=titles[0] if titles else f"Unexpected error: {name}",
        text="\n".join(filter(None, [said, what_next])),
        code="\n".join(filter(None, [dedent(details), code])),
        tone="critical",
    )


def _card(outputs: Sequence[Mapping[str, Any]]) -> Any:
    """Return the card that a failed cell has shown, else one of its error."""
    shown = [one["data"]["text/html"] for one in outputs if CARD in one.get("metadata", {})]
    if shown and is_plain_html(joined(shown[-1])):
        return as_html(joined(shown[-1]))
    error = next(one for one in outputs if one["output_type"] == "error")
    return error_card(error["ename"], error["evalue"])


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


def _is_harmless(name: str, value: str) -> bool:
    text = value.strip().lower()
    if name == "href":
        return is_local(text)
    if name == "src":
        return text.startswith(("data:image/png", "data:image/jpeg", "data:image/svg+xml"))
    if name == "style":
        return not re.search(r"url|@|expression|\\|/\*|position", text)
    return name in _ATTRIBUTES or name.startswith("aria-")
