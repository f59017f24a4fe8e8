"""An executed notebook -> the HTML of what it found: no code, no prompts, nothing that can run.

Works on the notebook's JSON. Cell outputs are taken as they are only where every tag and attribute
is one that text, tables and pictures need; all else is shown as its plain text. Knows nothing of
runs, pages or results.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from itertools import groupby
from typing import Any, ClassVar
from urllib.parse import quote

import mistune

from mnslib import errors
from mnslib.show.displays import FOLD, Callout
from mnslib.show.templates import as_html, is_local, render

LONGEST_ERROR_LINES = 300
"""Lines of an error message in a report; the executed notebook has all of them."""

RUNNER_TAG = "papermill-error-cell-tag"
"""Cells that papermill adds to a failed notebook; the report says it in its own way."""

_ERROR_TITLES: dict[type[BaseException], str] = {
    errors.ConfigError: "A parameter or a setting is wrong",
    errors.SpecError: "Mistakes in what was asked for",
    errors.AuthError: "Not signed in",
    errors.PreflightError: "A check failed before anything was changed",
    errors.PlanError: "The plan was not applied",
    errors.LockedError: "Another run writes to the same clusters",
    errors.ApplyError: "Not everything is as requested",
    errors.ArmError: "Azure refused, or could not be reached",
    errors.KubeError: "A cluster refused, or could not be reached",
    errors.PrometheusError: "The metrics could not be read",
    errors.MnsError: "The run could not go on",
    KeyboardInterrupt: "Stopped by somebody",
}
"""By kind of error, the special before the general: what its box is called."""

_UNEXPECTED = (
    "mnslib does not know this error; it may not come again. What was done before it stays: run "
    "the notebook again, or, where changes had begun, go on with `mns resume` and this run. If it "
    "comes again, report it with its trace: notebook.ipynb, at the end of the cell that failed."
)

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TAG = re.compile(r"""(<(?:[^<>"']|"[^"]*"|'[^']*')*>)""")
_PANDAS_STYLE = re.compile(r"<style scoped>.*?</style>", re.DOTALL)


SESSION_TAGS = frozenset({"setup", "result"})
"""Cells whose output the page has in its own places: its bar, its key figures and its footer."""


@dataclass(frozen=True, slots=True)
class Body:
    """What an executed notebook holds for a reader.

    Attributes:
        title: first heading of the first markdown cell; empty without one.
        about: that cell as HTML.
        sections: the other cells, a section from each heading cell to the next; what is to be
            decided first; where there is a plan, first it and its approval, last what was read
            before it.
        error: the box of the error that ended it; empty without one.
        left_out: code cells that did not run.
    """

    title: str
    about: str
    sections: tuple[str, ...]
    error: str
    left_out: int


def read_body(notebook: Mapping[str, Any]) -> Body:
    """Return what an executed notebook shows, cut after the last cell that ran."""
    cells = [
        cell
        for cell in notebook["cells"]
        if RUNNER_TAG not in cell.get("metadata", {}).get("tags", ())
    ]
    first = next((cell for cell in cells if cell["cell_type"] == "markdown"), None)
    about = joined(first["source"]) if first else ""
    code = [i for i, cell in enumerate(cells) if _is_code(cell)]
    ran = [i for i in code if cells[i].get("execution_count") is not None]
    left_out = len(code) - len(ran)
    end = len(cells) if not left_out else max(ran, default=-1) + 1
    errors = [
        output
        for cell in cells[:end]
        for output in cell.get("outputs", ())
        if output["output_type"] == "error"
    ]
    heading = re.search(r"^#+\s+(.+)$", about, re.MULTILINE)
    return Body(
        title=heading.group(1).strip() if heading else "",
        about=markdown_html(about, shift=2),
        sections=_sections(
            [cell for cell in cells[:end] if cell is not first], is_cut=bool(left_out)
        ),
        error=_error_box(errors[-1]) if errors else "",
        left_out=left_out,
    )


def markdown_html(text: str, *, shift: int = 0) -> str:
    """Return markdown as HTML, headings moved down by `shift`; raw HTML is shown as text.

    Links that leave the folder become their words: a page holds no external address.
    """
    renderer = _Markdown(shift)
    return str(mistune.create_markdown(renderer=renderer, plugins=["table"])(text))


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


def _is_code(cell: Mapping[str, Any]) -> bool:
    return cell["cell_type"] == "code" and bool(joined(cell["source"]).strip())


def _sections(cells: Sequence[Mapping[str, Any]], *, is_cut: bool) -> tuple[str, ...]:
    sections: list[list[str]] = [[]]
    places: dict[str, int] = {}  # in which section a tag is
    shown = 0  # sections up to the last with an output
    for cell in cells:
        if cell["cell_type"] == "markdown":
            source = joined(cell["source"])
            if source.lstrip().startswith("#"):
                sections.append([])
            sections[-1].append(markdown_html(re.sub(r"^# ", "## ", source, flags=re.MULTILINE)))
            continue
        tags = cell.get("metadata", {}).get("tags", ())
        if not SESSION_TAGS.isdisjoint(tags):
            continue
        if parts := list(_shown(cell.get("outputs", ()))):
            sections[-1] += parts
            shown = len(sections)
            places |= dict.fromkeys(tags, shown - 1)
    kept = ["\n".join(parts) for parts in (sections[:shown] if is_cut else sections)]
    return tuple(filter(None, _decisions_first(kept, places)))


def _shown(outputs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield outputs as HTML, those beside each other that one line folds together under it."""
    for summary, group in groupby(outputs, key=lambda one: one.get("metadata", {}).get(FOLD, "")):
        texts = [text for output in group if (text := _output(output))]
        if summary and texts:
            yield render("folded.html.j2", summary=summary, outputs=[as_html(t) for t in texts])
        else:
            yield from texts


def _decisions_first(sections: list[str], places: Mapping[str, int]) -> list[str]:
    """Return the sections as whoever decides reads them.

    That is: what there is to decide, plan, approval, the rest, what led to the plan. A notebook
    cannot show these before what they were made of; without them its order stays.
    """
    plan = places.get("plan", 0)
    first = [places.get("decisions", plan), plan, places.get("approve", plan)]
    order = dict.fromkeys([*first, *range(plan, len(sections)), *range(plan)])
    return [sections[i] for i in order if i < len(sections)]


def _output(output: Mapping[str, Any]) -> str:
    if output["output_type"] == "stream":
        # stderr carries progress, which is of no use to whom reads afterwards
        return _plain(joined(output["text"])) if output["name"] == "stdout" else ""
    if output["output_type"] == "error":
        return ""
    return _data({kind: value for kind, value in output["data"].items() if value})


def _data(data: Mapping[str, Any]) -> str:
    if "application/vnd.jupyter.widget-view+json" in data:
        return ""
    text = joined(data.get("text/plain", ""))
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return _picture(kind, "".join(joined(data[kind]).split()), text)
    if "image/svg+xml" in data:
        return _picture("image/svg+xml", _base64(joined(data["image/svg+xml"])), text)
    if "text/html" in data:
        html = _PANDAS_STYLE.sub("", joined(data["text/html"]))
        if is_plain_html(html):
            return f'<div class="shown">{html}</div>'
    if "text/markdown" in data:
        return markdown_html(joined(data["text/markdown"]))
    return "" if text.startswith("<IPython.core.display") else _plain(text)


def _picture(kind: str, base64_text: str, alt: str) -> str:
    words = "Chart; its numbers are in the table beside it." if alt.startswith("<") else alt
    return (
        f'<figure class="chart"><img src="data:{kind};base64,{base64_text}" '
        f'alt="{escape(words)}"></figure>'
    )


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _plain(text: str) -> str:
    clean = _ANSI.sub("", text).strip("\n")
    return f"<pre>{escape(clean)}</pre>" if clean.strip() else ""


def _error_box(output: Mapping[str, Any]) -> str:
    lines = _ANSI.sub("", output["evalue"]).splitlines()
    rest = len(lines) - LONGEST_ERROR_LINES
    shown = lines[:LONGEST_ERROR_LINES]
    more = [f"… {rest:,} more lines in notebook.ipynb"] if rest > 0 else []
    message = "\n".join(shown + more)
    name = output["ename"]
    kind = {**vars(errors), "KeyboardInterrupt": KeyboardInterrupt}.get(name)
    for known, title in _ERROR_TITLES.items():
        if isinstance(kind, type) and issubclass(kind, known):
            return Callout(title=title, code=message, tone="critical")._repr_html_()
    return Callout(
        title=f"Unexpected error: {name}", text=_UNEXPECTED, code=message, tone="critical"
    )._repr_html_()


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

    # fmt: off
    TAGS: ClassVar = frozenset({
        "a", "b", "br", "caption", "code", "dd", "details", "div", "dl", "dt", "em", "figcaption",
        "figure", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "li", "ol", "p", "pre",
        "progress", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td",
        "tfoot", "th", "thead", "tr", "ul",
    })
    ATTRIBUTES: ClassVar = frozenset({
        "alt", "border", "class", "colspan", "height", "max", "open", "role", "rowspan", "scope",
        "title", "value", "width",
    })
    # fmt: on
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
