"""Tables, key figures, boxes and tags: escaped, accessible, readable as plain text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from mnslib.show.displays import (
    Callout,
    Column,
    Figure,
    KeyFigures,
    Parts,
    Table,
    Tag,
    tag,
)
from mnslib.show.outputs import is_plain_html

EVIL = '<script>alert("x")</script>'
DISPLAYS = [
    Table(columns=[EVIL, "b"], rows=[[EVIL, Tag(EVIL)], [Parts([EVIL], EVIL, href=EVIL), None]],
          caption=EVIL, note=EVIL),
    Table(columns=[Column(EVIL, header=True)], rows=[[Parts([EVIL, tag(EVIL)])]]),
    Table(columns=["a"], rows=[], caption=EVIL, empty=EVIL),
    KeyFigures([Figure(EVIL, EVIL, EVIL, "critical")]),
    Callout(title=EVIL, text=EVIL, code=EVIL, tags=[EVIL], tone="warning"),
    tag(EVIL),
]  # fmt: skip


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: type(display).__name__)
def test_text_from_outside_is_escaped(display: object) -> None:
    html = display._repr_html_()  # type: ignore[attr-defined]
    assert "script" not in [name for name, _ in Elements(html).found]
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: type(display).__name__)
def test_a_report_takes_every_display_as_it_is(display: object) -> None:
    assert is_plain_html(display._repr_html_())  # type: ignore[attr-defined]


def test_numbers_stand_right_and_names_head_their_rows() -> None:
    table = Table(
        columns=[Column("Namespace", header=True), "Pods", "Note"],
        rows=[["payments-api", 1204, "x"], ["web", None, "y"]],
    )
    elements = Elements(table._repr_html_())
    assert [th["scope"] for th in elements.all("th")] == ["col", "col", "col", "row", "row"]
    aligned = [cell["style"].partition("text-align:")[2][:5] for cell in elements.all("td")]
    assert aligned == ["right", "left;", "right", "left;"]
    assert "1,204" in table._repr_html_()


def test_plain_text_stands_in_columns() -> None:
    table = Table(
        columns=["Namespace", "Cores"], rows=[["payments-api", 4.25], ["web", -3.0]], caption="All"
    )
    assert repr(table).splitlines() == [
        "All",
        "Namespace     Cores",
        "payments-api    4.3",
        "web              −3",
    ]


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    table = Table(columns=["n"], rows=[[n] for n in range(10)], total=300, note="All: all.csv.")
    assert len(Elements(table._repr_html_()).all("td")) == 10
    assert "10 of 300 shown. All: all.csv." in table._repr_html_()
    assert repr(table).endswith("10 of 300 shown. All: all.csv.")


def test_a_table_without_rows_is_a_sentence() -> None:
    table = Table(columns=["n"], rows=[], caption="Risks", empty="No risk was found.")
    assert "<table" not in table._repr_html_()
    assert "No risk was found." in table._repr_html_()
    assert repr(table) == "Risks\nNo risk was found."


def test_no_text_of_a_table_steers_a_terminal() -> None:
    steering = "\x1b[2J"
    told = {"caption": steering, "note": steering, "empty": steering}
    for rows in ([], [[steering]]):
        assert "\x1b" not in repr(Table(columns=[steering], rows=rows, **told))


@pytest.mark.parametrize(
    ("word", "text", "tone"),
    [
        ("full", "full", "critical"),
        ("tight", "tight", "warning"),
        ("ok", "ok", "calm"),
        ("unknown: not reachable", "? unknown: not reachable", "unknown"),
        ("not_attempted", "– not attempted", "unknown"),
        ("done", "✓ done", "good"),
        ("quota-below-use", "quota-below-use", "calm"),
    ],
)
def test_a_tag_never_speaks_by_color_alone(word: str, text: str, tone: str) -> None:
    assert (tag(word).text, tag(word).tone) == (text, tone)


def test_the_edge_of_a_tag_stays_one_box_also_where_its_words_need_two_lines():
    short, long = (tag(f"unknown: {why}")._repr_html_() for why in ("no quota", "why " * 20))

    assert "white-space:nowrap" in short
    assert "white-space:nowrap" not in long
    assert "display:inline-block" in long


def test_boxes_and_figures_read_as_text() -> None:
    box = Callout(title="2 deletions", text="38 pods go", code="allow: []", tags=["deletion"])
    assert repr(box) == "2 deletions [deletion]\n38 pods go\nallow: []"
    assert repr(KeyFigures([Figure("7", "full", "of 77"), Figure("59 %", "idle")])) == (
        "7 of 77 full · 59 % idle"
    )


def test_a_name_of_two_lines_is_broken_only_where_one_of_them_is_long():
    def style(first, second):
        return (
            Table(columns=["Workload"], rows=[[Parts([first], second)]])
            ._repr_html_()
            .split("<td")[1]
        )

    assert "white-space:nowrap" in style("api (Deployment)", "payments-api, aks-prod-weu-1")
    assert "white-space:nowrap" not in style("api", "a" * 63)


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "java\tscript:x", "https://elsewhere.example", "//elsewhere"]
)
def test_a_link_leads_nowhere_but_beside_the_page(href: str) -> None:
    assert Parts(["x"], href=href)._repr_html_() == '<a href="#">x</a>'


def test_displays_stand_in_a_template_as_html_and_in_a_page_as_text() -> None:
    assert Tag("<b>").__html__() == Tag("<b>")._repr_html_()
    assert Tag("<b>")._repr_html_() + "<i>" == f"{Tag('<b>')._repr_html_()}<i>"
