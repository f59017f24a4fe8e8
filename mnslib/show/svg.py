"""A chart's SVG as a page takes it in: nothing that runs, that loads or that leads elsewhere.

What a chart is drawn with is listed here, by name and by sign; a picture with anything else is not
taken in at all. What is taken is written anew, so that no spelling of the file reaches the page.

    >>> inlined('<svg xmlns="http://www.w3.org/2000/svg" onload="x"/>', prefix="a-", words="A")
    ''
"""

from __future__ import annotations

import re
from html import escape
from typing import Any
from xml.parsers import expat

from mnslib.show.templates import told

LARGEST = 1_500_000
"""Characters of a picture that a page takes in. Our choice: larger than any chart of ours."""

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_TAGS, _OWN_ATTRIBUTES, _PROPERTIES, _FUNCTIONS, _LEFT_OUT, _PASSED_OVER = (
    frozenset(names.split()) for names in told("allowed")["svg"].values()
)
_ATTRIBUTES = _OWN_ATTRIBUTES | _PROPERTIES
_OF_ROOT = frozenset({"width", "height", "id"})

_ID = re.compile(r"[\w.-]+", re.ASCII)
_OWN = re.compile(r"""url\(\s*["']?#([\w.-]+)["']?\s*\)""", re.ASCII)
_SIGNS = re.compile(r"[\w\s#.,%+()-]*", re.ASCII)
_CALLED = re.compile(r"([\w-]*)\s*\(", re.ASCII)


def inlined(svg: str, *, prefix: str, words: str) -> str:
    """Return a picture as markup for a page; empty where it holds what no chart needs.

    Args:
        prefix: begins every id, so that the pictures of a page do not meet.
        words: what it shows, for whoever does not see it.
    """
    picture = _Picture(prefix, words)
    try:
        return picture.read(svg) if len(svg) <= LARGEST else ""
    except (expat.ExpatError, ValueError):
        return ""


class _NotOurs(ValueError):  # noqa: N818 - nobody sees it
    """It holds what no chart needs."""


class _Picture:
    """Reads SVG once, writing what is listed and leaving off at what is not."""

    def __init__(self, prefix: str, words: str) -> None:
        self._prefix, self._words = prefix, words
        self._written: list[str] = []
        self._open: list[str] = []  # the id of each open element, or nothing
        self._skipped = 0  # depth in what is left out
        self._meant: set[str] = set()  # ids that something refers to
        self._referring: set[str] = set()  # ids in which something refers to another

    def read(self, svg: str) -> str:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        for name in ("EntityDecl", "SkippedEntity", "ProcessingInstruction", "ExternalEntityRef"):
            setattr(parser, f"{name}Handler", _refuse)
        parser.Parse(svg, True)
        if self._meant & self._referring:  # each step of such a chain may double what is drawn
            raise _NotOurs
        return "".join(self._written)

    def _doctype(self, name: str, system: Any, public: Any, has_subset: bool) -> None:
        if has_subset:
            raise _NotOurs

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        space, _, tag = name.rpartition(" ")
        is_root = not self._open
        if self._skipped or tag in _LEFT_OUT:
            self._skipped += 1
            return
        if space != _SVG or tag not in _TAGS or (tag == "svg") != is_root:
            raise _NotOurs
        self._open.append(attributes.get("id", ""))
        said = "".join(
            f' {key}="{escape(text)}"'
            for key, value in attributes.items()
            if key not in _PASSED_OVER and not (is_root and key in _OF_ROOT)
            for key, text in [self._attribute(key, value)]
        )
        if is_root:  # what the picture's own style sheet says of all lines
            said += ' role="img" stroke-linejoin="round"'
            self._written.append(f"<svg{said}><title>{escape(self._words)}</title>")
        else:
            self._written.append(f"<{tag}{said}>")

    def _end(self, name: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        self._open.pop()
        self._written.append(f"</{name.rpartition(' ')[2]}>")

    def _text(self, text: str) -> None:
        if not self._skipped:
            self._written.append(escape(text) if text.strip() else "")

    def _attribute(self, name: str, value: str) -> tuple[str, str]:
        if name == "id":
            return name, self._prefix + _whole(_ID, value)
        if name in ("href", f"{_XLINK} href"):
            return "href", "#" + self._own(value.removeprefix("#") if value[:1] == "#" else "")
        if name == "style":
            return name, self._style(value)
        if name not in _ATTRIBUTES:
            raise _NotOurs
        return name, self._value(value)

    def _style(self, value: str) -> str:
        kept = []
        for declaration in filter(str.strip, value.split(";")):
            name, _, said = (part.strip() for part in declaration.partition(":"))
            if name in _PASSED_OVER:
                continue
            if name not in _PROPERTIES:
                raise _NotOurs
            kept.append(f"{name}:{self._value(said)}")
        return ";".join(kept)

    def _value(self, value: str) -> str:
        rest = _whole(_SIGNS, _OWN.sub(" ", value))
        if not _FUNCTIONS.issuperset(_CALLED.findall(rest)):
            raise _NotOurs
        return _OWN.sub(lambda found: f"url(#{self._own(found[1])})", " ".join(value.split()))

    def _own(self, name: str) -> str:
        self._meant.add(_whole(_ID, name))
        self._referring.update(filter(None, self._open))
        return self._prefix + name


def _whole(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise _NotOurs
    return text


def _refuse(*_: object) -> int:
    raise _NotOurs
