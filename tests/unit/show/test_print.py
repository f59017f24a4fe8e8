"""A report on paper: A4 landscape, no chart cut or shrunk, as a browser prints it."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from importlib.resources import files

import pytest

from mnslib.show.charts import three_layers
from mnslib.show.charts.picture import DPI
from mnslib.show.charts.sheet import MOST_HEIGHT, SOURCE, WIDTH
from mnslib.show.html import page
from mnslib.show.svg import inlined

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CONTENT = (1009, 733)
"""CSS pixels of A4 landscape within its margins of 15 and 8 mm."""


@pytest.fixture
def printed(tmp_path):
    """Prints a report of these sections; returns its page boxes and the sizes laid out in."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")

    def call(*sections):
        body = "".join(f'<section class="charts">{section}</section>' for section in sections)
        html, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
        text = page(what="Report", headline="Found", body=body, paper="landscape")
        html.write_text(text, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                   "--disable-background-networking", "--no-pdf-header-footer",
                   f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={pdf}"]  # fmt: skip
        subprocess.run(
            [CHROMIUM, *options, html.as_uri()], check=True, capture_output=True, timeout=120
        )
        content = pdf.read_bytes()
        boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
        drawn = [_inflated(stream) for stream in streams]
        laid_out = [re.search(rb"\n0 0 (\d+) (\d+) re", text) for text in drawn]
        return (
            [tuple(round(float(edge)) for edge in box) for box in boxes],
            {tuple(map(int, found.groups())) for found in laid_out if found},
        )

    return call


def _inflated(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:  # a font or a picture that is packed in another way
        return b""


@pytest.fixture
def section(frames):
    """Makes a heading, three lines of text and a chart of so many rows; 30 are the most drawn."""

    def make(rows):
        chart = three_layers(frames.layers(rows), moment=frames.moment)
        picture = inlined(chart.svg(), prefix=f"chart{rows}-", words=chart.alt)
        assert picture
        return f'<h2>Question</h2><p>{"word " * 60}</p><figure class="chart">{picture}</figure>'

    return make


def test_the_highest_chart_stands_on_a_page_with_its_heading(printed, section):
    boxes, laid_out = printed(*[section(30)] * 3, "<p>The end.</p>")

    assert boxes == [(842, 595)] * 3  # above the first is the headline, below the last the footer
    assert laid_out == {CONTENT}


def test_small_charts_share_a_page(printed, section):
    boxes, laid_out = printed(section(3), section(4))

    assert boxes == [(842, 595)]
    assert laid_out == {CONTENT}


def test_a_table_wider_than_the_paper_does_not_shrink_the_charts(printed, section):
    cells = "".join(f"<td>column-{number}-with-a-long-name</td>" for number in range(30))
    table = f'<table class="dataframe"><tbody><tr>{cells}</tr></tbody></table>'

    boxes, laid_out = printed(section(30), table)

    assert set(boxes) == {(842, 595)}
    assert laid_out == {CONTENT}


def test_nothing_in_a_chart_is_printed_under_six_and_a_half_points():
    sheet = files("mnslib.show").joinpath("page.css").read_text(encoding="utf-8")
    ((width, height),) = re.findall(
        r"\.chart :is\(img, svg\) { width: (\d+)mm; .*max-height: (\d+)mm", sheet
    )

    for millimeters, pixels in ((width, WIDTH), (height, MOST_HEIGHT)):
        assert SOURCE * int(millimeters) / 25.4 / (pixels / DPI) >= 6.5


def test_nothing_else_is_printed_under_six_and_a_half_points():
    sheet = files("mnslib.show").joinpath("page.css").read_text(encoding="utf-8")

    on_paper = sheet.partition("@media print")[2]
    assert min(map(float, re.findall(r"font-size: ([\d.]+)pt", on_paper))) >= 6.5


@pytest.mark.parametrize(
    "rule",
    [
        "print-color-adjust: exact",
        "thead { display: table-header-group; }",
        "tr, .callout, .figures, .chart { break-inside: avoid; }",
        "tbody tr:last-child, table + .note { break-before: avoid; }",
        "footer { margin: 12px 0 0; padding-top: 6px; break-before: avoid;",
        "table.dataframe { table-layout: fixed; width: 100%;",
    ],
)
def test_the_page_carries_the_rules_of_paper(rule):
    sheet = files("mnslib.show").joinpath("page.css").read_text(encoding="utf-8")

    assert rule in sheet
