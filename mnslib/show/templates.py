"""Words and pages as templates: what values look like, in `templates/*.j2`, as HTML or as text.

Templates hold `if`, `for`, macros and filters; whatever needs a sum or a choice is a value that
Python hands over. In HTML everything is escaped, and no sign of it steers a terminal, but what
says itself that it is HTML (`__html__`, as the displays do). This is the only module that says so.

    >>> as_html("<b>") + "<i>"
    Markup('<b>&lt;i&gt;')
"""

import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, partial
from html import escape
from importlib.util import cache_from_source
from inspect import isfunction
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from mnslib.errors import cut, printable, ranges
from mnslib.quantities import server_text
from mnslib.show import tables, wording
from mnslib.show.tables import FONTS, PAINTS, TOKENS

_TAG = r"""<(?:[^<>"']|"[^"]*"|'[^']*')*>"""


def _value_first(write: Callable[[str, Any], str]) -> Callable[[Any, str], str]:
    return lambda value, resource: write(resource, value)


FILTERS: dict[str, Any] = {
    name: found
    for name, found in vars(wording).items()
    if isfunction(found) or type(found) is partial
} | {
    "number": wording.number_text,
    "quantity": _value_first(wording.rounded_text),
    "quota": _value_first(wording.amount_text),
    "quota_sum": _value_first(wording.quota_sum),
    "headroom": _value_first(wording.headroom),
    "server": server_text,
    "are": lambda amount: "is" if amount == 1 else "are",
    "every": lambda n, noun: (
        f"The only {noun} is" if n == 1 else f"All {wording.count(n, noun)} are"
    ),
    "resource": wording.RESOURCE_WORDS.__getitem__,
    "line": cut,
    "ranges": ranges,
    "moment": lambda at: wording.UNKNOWN if at is None or at != at else wording.moment(at),
    "minutes": lambda minutes: wording.duration(minutes * 60),
    "examples": lambda lines, joint="\n": wording.examples(lines, joint=joint),
    "rest": lambda lines: max(0, len(lines) - wording.EXAMPLES),
    "role": lambda name: name.removeprefix("Azure Kubernetes Service "),
    "said": lambda word, section: tables.told("words")[section].get(word, word),
    "pairs": lambda found: [f"{name} ({why})" for name, why in found.items()],
    "lines": lambda text: text.split("\n"),
    "href": quote,
    "local": lambda address: address if is_local(address) else "#",
    "linked": lambda html, files: _linked(html, files),
    "embedded": lambda address: address if address.startswith("data:image/") else "",
}
"""What templates may write behind a `|`, beside Jinja's own: the notation of `wording`."""


def render(name: str, **values: Any) -> str:
    """Return what a template makes of values; `NAME.html.j2` is HTML, `NAME.txt.j2` plain text.

    HTML comes as a text that says that it is HTML: another template takes it as it is.
    """
    is_html = name.endswith(".html.j2")
    text = _environment(is_html).get_template(name).render(values)
    return Markup(text) if is_html else text


def say(text: str, /, **values: Any) -> str:
    """Return what a line of `tables.yaml` says of values, as plain text."""
    return str(_line(text).render(values)).strip() if text else ""


def render_part(name: str, macro: str, *values: Any) -> str:
    """Return what one macro of a template makes of values, as HTML or as text like the template."""
    text = getattr(_template(name), macro)(*values)
    return Markup(text) if name.endswith(".html.j2") else str(text).strip()


def sentence(name: str, macro: str, *values: Any) -> str:
    """Return what one macro of a template says of values, in one line."""
    return " ".join(render_part(name, macro, *values).split())


def is_local(address: str) -> bool:
    """Return whether an address stays beside the page: it has no scheme, no host and no root."""
    # browsers pass over white space and control characters: `java\tscript:` is a scheme
    read = re.sub(r"[\x00-\x20]", "", address)
    return re.match(r"(?i)([a-z][a-z0-9+.-]*:|/|\\)", read) is None


def _linked(html: str, files: Iterable[str]) -> str:
    """Return HTML whose text leads to files where it names them.

    Args:
        files: paths relative to the page, as the text writes them.
    """
    hrefs = {escape(name): quote(name) for name in files}
    if not hrefs:
        return Markup(html)
    names = "|".join(map(re.escape, sorted(hrefs, key=len, reverse=True)))
    named = rf"(?<![\w./-])(?:{names})(?![\w/-]|\.\w)"
    parts = re.compile(rf"(<a .*?</a>|{_TAG})|{named}", re.DOTALL)  # links and tags stay
    return Markup(parts.sub(lambda it: it[1] or f'<a href="{hrefs[it[0]]}">{it[0]}</a>', html))


def as_html(text: str) -> str:
    """Return HTML of our own making, or looked through, as what templates take as it is."""
    return Markup(text)


@cache
def _template(name: str) -> Any:
    return _environment(name.endswith(".html.j2")).get_template(name).module


@cache
def _line(text: str) -> Any:
    return _environment(False).from_string(text)


class _Compiled(FileSystemBytecodeCache):
    """Templates as Python code, kept as Python keeps its own: beside this module's, where it may.

    To compile those of one analysis takes half a second. What is compiled as text escapes nothing:
    that of pages is kept apart, under names of its own.
    """

    def __init__(self, *, is_html: bool) -> None:
        folder = str(Path(cache_from_source(__file__)).parent)
        super().__init__(folder, f"__jinja2_%s.{'html' if is_html else 'text'}.cache")

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            with suppress(OSError):  # a folder that is only read; they are compiled each time
                super().dump_bytecode(bucket)


@cache
def _environment(is_html: bool) -> Environment:
    made = Environment(
        loader=PackageLoader("mnslib", "show/templates"),
        autoescape=True if is_html else False,  # noqa: SIM210 - explicit, for whoever looks for it
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_Compiled(is_html=is_html),
        finalize=_harmless,
    )
    made.filters.update(FILTERS)
    made.globals.update(paints=PAINTS, tokens=TOKENS, fonts=FONTS)
    return made


def _harmless(value: Any) -> Any:
    """Take from outside text what would steer a terminal; HTML has been through this already."""
    return printable(value) if type(value) is str else value
