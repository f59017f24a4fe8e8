"""A chart in a page is its SVG: what was drawn, and nothing that runs, loads or leads elsewhere."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from mnslib.show.svg import LARGEST, inlined
from mnslib.show.tables import told

HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:x="http://www.w3.org/1999/xhtml" viewBox="0 0 9 9">'
)
NESTED = "".join(
    [
        *(f'<use href="#n{n}"/>' for n in range(300)),
        *(f'<g id="n{n}">' for n in range(300)),
        "</g>" * 300,
    ]
)
RECT = '<rect x="1" y="1" width="3" height="3"/>'


def drawing(body: str, prolog: str = "") -> str:
    return f"{prolog}{HEAD}{body}</svg>"


def taken(body: str, prolog: str = "") -> str:
    return inlined(drawing(body, prolog), prefix="a-", words="What it shows")


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def drawn():
    """A figure with all that charts are drawn with, as matplotlib writes it."""
    figure = Figure(figsize=(4, 2))
    axes = figure.add_subplot()
    axes.scatter([1, 2], [2, 3], alpha=0.5)
    axes.bar([1], [2], hatch="//")
    axes.plot([1, 2], [2, 1], linestyle=":")
    axes.text(1, 1, "a & <b>", rotation=90)
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def test_what_matplotlib_draws_is_taken_with_its_words_as_text(drawn):
    html = inlined(drawn, prefix="chart1-", words='7 of 77 "full" <b>')

    assert html.startswith("<svg ")
    assert ' role="img"' in html[: html.index(">")]
    assert "><title>7 of 77 &quot;full&quot; &lt;b&gt;</title>" in html
    assert ">a &amp; &lt;b&gt;</text>" in html
    assert not re.search(r"<\?|<!|<style|<metadata|font-family|xmlns|http", html)
    assert len(html) < len(drawn)


def test_ids_bear_the_prefix_of_their_chart_and_everything_leads_to_them(drawn):
    html = inlined(drawn, prefix="chart1-", words="")
    ids = set(re.findall(r' id="([^"]*)"', html))
    meant = set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', html))

    assert meant
    assert all(name.startswith("chart1-") for name in ids)
    assert {one or other for one, other in meant} <= ids


def test_only_what_is_listed_reaches_the_page(drawn):
    allowed = told("allowed")["svg"]
    tags = {*allowed["tags"].lower().split(), "title", "svg"}
    attributes = {*allowed["attributes"].lower().split(), *allowed["properties"].split()}
    for tag, given in Elements(inlined(drawn, prefix="a-", words="")).found:
        assert tag in tags
        assert set(given) <= attributes | {"id", "style", "href", "role"}


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        "<script href='https://evil.example/x.js'/>",
        "<rect onload='alert(1)'/>",
        "<g onclick='alert(1)'/>",
        "<foreignObject><x:script>1</x:script></foreignObject>",
        "<x:script>alert(1)</x:script>",
        "<x:iframe srcdoc='x'/>",
        "<a href='https://evil.example'><text>x</text></a>",
        "<a xlink:href='javascript:alert(1)'><text>x</text></a>",
        "<use href='https://evil.example/x.svg#a'/>",
        "<use xlink:href='//evil.example/x.svg#a'/>",
        "<use xlink:href='data:image/svg+xml,x#a'/>",
        "<use href=' #a'/>",
        "<use href='#'/>",
        "<use href='#a b'/>",
        "<image xlink:href='https://evil.example/x.png'/>",
        "<image href='data:image/png;base64,x'/>",
        "<feImage href='https://evil.example'/>",
        "<rect fill='url(https://evil.example/x)'/>",
        "<rect fill='url(&quot;//evil.example/x#a&quot;)'/>",
        "<rect fill='URL(http://evil.example)'/>",
        "<rect fill='u\\72l(http://evil.example)'/>",
        "<rect fill='url(#a) url(http://evil.example)'/>",
        "<rect style='fill: url(http://evil.example)'/>",
        "<rect style='background: url(#a)'/>",
        "<rect style='fill: red; @import &quot;http://evil.example&quot;'/>",
        "<rect style='fill: image-set(\"x\")'/>",
        "<rect style='fill: expression(alert(1))'/>",
        "<rect style='fill: red /* x */'/>",
        "<rect style='position: fixed'/>",
        "<rect style='--x: y'/>",
        "<rect class='callout'/>",
        "<rect xml:base='https://evil.example'/>",
        "<rect filter='url(#a)'/>",
        "<animate attributeName='href' to='javascript:alert(1)'/>",
        "<set attributeName='onload' to='alert(1)'/>",
        "<svg onload='alert(1)'/>",
        "<svg/>",
        "<?xml-stylesheet href='https://evil.example/x.css'?>",
        "<use href='#b'/><g id='b'><use href='#c'/></g><g id='c'><use href='#d'/></g>",
        "<g id='b'><use href='#b'/></g>",
        f"<use href='#b'/><g id='b'>{RECT * 101}</g>",
        NESTED,
        "<pattern id='p'><rect fill='url(#p)'/></pattern>",
        "<g>",
        "&nbsp;",
        "<!-- <script> -->",
        "<text><![CDATA[</svg><script>]]></text>",
        "&undefined;",
    ],
)
def test_a_hostile_picture_is_not_taken(body):
    assert taken(RECT)
    assert taken(RECT + body) == ""


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>',
        '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE svg [<!ENTITY % a SYSTEM "http://evil.example/x.dtd"> %a;]>',
        '<!DOCTYPE svg [<!ATTLIST svg onload CDATA "alert(1)">]>',
        '<?xml-stylesheet href="https://evil.example/x.css"?>',
        "text before",
    ],
)
def test_a_hostile_prolog_is_not_taken(prolog):
    assert taken("<text>&c;</text>", prolog) == ""
    assert taken(RECT, prolog) == ""


@pytest.mark.parametrize(
    "svg",
    [
        "",
        "no markup",
        "<svg/>",
        '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        '<html xmlns="http://www.w3.org/1999/xhtml"/>',
        drawing(RECT * (LARGEST // len(RECT) + 1)),
        drawing("<rect fill='\ud800'/>"),
    ],
    ids=range(7),
)
def test_what_is_no_picture_of_ours_is_not_taken(svg):
    assert inlined(svg, prefix="a-", words="") == ""


def test_what_says_something_to_a_reader_of_the_file_alone_is_left_out():
    html = taken(
        "<style>@import 'https://evil.example'; * { fill: url(http://x) }</style>"
        "<metadata><x:script>alert(1)</x:script></metadata><title>old</title>" + RECT
    )
    assert "<rect" in html
    assert not re.search("old|unused|<g", html)
    assert not re.search("evil|script|style|import|--", html)


def test_the_words_in_a_picture_and_of_it_cannot_become_markup():
    html = inlined(
        drawing("<text>&lt;/svg&gt;<tspan>&lt;script&gt;</tspan></text>"),
        prefix="a-",
        words="</title></svg><script>",
    )
    assert [tag for tag, _ in Elements(html).found] == ["svg", "title", "text", "tspan"]


def test_a_title_that_the_page_has_as_its_headline_is_not_said_again():
    texts = "<text y='2.5'>7 of 77</text><text y='4'>are full</text><text y='6'>7 of 77</text>"
    html = inlined(drawing(texts), prefix="a-", words="", headline="7 of 77 are full")
    assert 'viewBox="0 4 9 5"' in html
    assert html.count("7 of 77") == 1
    assert "are full" not in html

    for other in ("7 of 77", "are full", ""):
        same = inlined(drawing(texts), prefix="a-", words="", headline=other)
        assert "are full" in same
