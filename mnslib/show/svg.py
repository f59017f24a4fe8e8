"""A chart's SVG as a page takes it in: nothing that runs, that loads or that leads elsewhere.

What a chart is drawn with is listed in `allowed.yaml`; a picture with anything else is not taken in
at all. What is taken is written anew, so that no spelling of the file reaches the page.

    >>> inlined('<svg xmlns="http://www.w3.org/2000/svg" onload="x"/>', prefix="a-", words="A")
    ''
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from mnslib.show.tables import told

LARGEST = 1_500_000
"""Characters of a picture that a page takes in. Our choice: larger than any chart of ours."""

MOST_IN_NAMED = 100
"""Elements of what is referred to by its id; our choice, some ten times what a chart needs."""

_TAGS, _ATTRIBUTES, _PROPERTIES, _FUNCTIONS, _LEFT_OUT, _PASSED_OVER = (
    frozenset(names.split()) for names in told("allowed")["svg"].values()
)
_SVG, _HREFS = "{http://www.w3.org/2000/svg}", ("href", "{http://www.w3.org/1999/xlink}href")
_XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_OF_ROOT = frozenset({"width", "height", "id"})

_PROLOG = re.compile(r"\s*(<\?xml [^<>?]*\?>)?\s*(<!DOCTYPE svg PUBLIC [^<>\[]*>)?\s*")
_ID = re.compile(r"[\w.-]+", re.ASCII)
_OWN_HREF = re.compile(r"#[\w.-]+", re.ASCII)
_OWN = re.compile(r"""url\(\s*["']?#([\w.-]+)["']?\s*\)""", re.ASCII)
_SIGNS = re.compile(r"[\w\s#.,%+()-]*", re.ASCII)
_CALLED = re.compile(r"([\w-]*)\s*\(", re.ASCII)


def inlined(svg: str, *, prefix: str, words: str, headline: str = "") -> str:
    """Return a picture as markup for a page; empty where it holds what no chart needs.

    Args:
        prefix: begins every id, so that the pictures of a page do not meet.
        words: what it shows, for whoever does not see it.
        headline: of the page; a picture with the same title is cut below it.
    """
    bare = _PROLOG.sub("", svg, count=1)
    if len(svg) > LARGEST or "<!" in bare or "<?" in bare:  # no entity can be declared
        return ""
    try:
        root = ElementTree.fromstring(bare)
        meant = {name for node in root.iter() for name in _meant(node)}
        for node in root.iter():
            if node.get("id") not in meant:
                node.attrib.pop("id", None)
        if root.tag != f"{_SVG}svg" or any(_is_heavy(child) for child in root):
            return ""
        _cut_title(root, headline)
        shown = "".join(_written(child, prefix) for child in root)
        said = "".join(_said(root, prefix, without=_OF_ROOT))
    except (ElementTree.ParseError, ValueError, RecursionError):
        return ""
    # round joins are what the picture's own style sheet says of all lines
    title = f"<title>{escape(words)}</title>"
    return f'<svg{said} role="img" stroke-linejoin="round">{title}{shown}</svg>'


def _is_heavy(node: Element) -> bool:
    """Return whether what is drawn again and again is itself large, or refers to something."""
    if "id" not in node.attrib:
        return any(_is_heavy(child) for child in node)
    inner = list(node.iter())
    return len(inner) > MOST_IN_NAMED or any(_meant(one) for one in inner)


def _cut_title(root: Element, title: str) -> None:
    """Take away the first lines of text where they are that title, and the ground they stand on."""
    texts = list(root.iter(f"{_SVG}text"))[:3]
    for count in range(1, len(texts) + 1):
        if title and " ".join(node.text or "" for node in texts[:count]) == title:
            left, _, width, height = root.get("viewBox", "").split()
            end = float(texts[count - 1].get("y", ""))
            root.set("viewBox", f"{left} {end:g} {width} {float(height) - end:g}")
            for node in texts[:count]:
                node.text = ""
            return


def _meant(node: Element) -> list[str]:
    """Return the ids that an element refers to."""
    found = [node.attrib[name][1:] for name in _HREFS if name in node.attrib]
    said = " ".join(node.attrib.values())
    return [*found, *_OWN.findall(said)] if "url" in said else found


def _written(node: Element, prefix: str) -> str:
    tag = node.tag.removeprefix(_SVG)
    if tag in _LEFT_OUT:
        return ""
    if tag == node.tag or tag not in _TAGS:
        raise ValueError(tag)
    texts = [node.text, *(child.tail for child in node)]
    words = [escape(text) if text and text.strip() else "" for text in texts]
    inner = [_written(child, prefix) for child in node]
    shown = "".join(part for pair in zip(words, [*inner, ""], strict=True) for part in pair)
    said = "".join(_said(node, prefix))
    return f"<{tag}{said}>{shown}</{tag}>" if said or tag != "g" else shown


def _said(node: Element, prefix: str, without: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the attributes of an element, as a page has them."""
    for name, value in node.items():
        if name in without or name in _PASSED_OVER or name == _XML_SPACE:
            continue
        if name == "id":
            text = prefix + _whole(_ID, value)
        elif name in _HREFS:
            name, text = "href", f"#{prefix}{_whole(_OWN_HREF, value)[1:]}"
        elif name == "style":
            text = _style(value, prefix)
        elif name in _ATTRIBUTES or name in _PROPERTIES:
            text = _value(value, prefix)
        else:
            raise ValueError(name)
        yield f' {name}="{escape(text)}"'


@lru_cache(maxsize=1_000)  # of hundreds of dots nearly all have the same
def _style(value: str, prefix: str) -> str:
    said = [part.partition(":") for part in value.split(";") if part.strip()]
    kept = {
        name.strip(): text.strip() for name, _, text in said if name.strip() not in _PASSED_OVER
    }
    if not kept.keys() <= _PROPERTIES:
        raise ValueError(value)
    return ";".join(f"{name}:{_value(text, prefix)}" for name, text in kept.items())


def _value(value: str, prefix: str) -> str:
    rest = _whole(_SIGNS, _OWN.sub(" ", value))
    if "(" in rest and not _FUNCTIONS.issuperset(_CALLED.findall(rest)):
        raise ValueError(value)
    return _OWN.sub(lambda own: f"url(#{prefix}{own[1]})", " ".join(value.split()))


def _whole(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text
