"""A report on paper: A4 landscape, one chart a page, nothing shrunk, as a browser prints it."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from base64 import b64encode
from importlib.resources import files

import pytest

from mnslib.show.charts import three_layers
from mnslib.show.charts.canvas import MOST_HEIGHT, SOURCE_SIZE
from mnslib.show.charts.letters import DPI
from mnslib.show.html import page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CONTENT = (1009, 718)
"""CSS pixels of A4 landscape within its margins of 15 and 10 mm."""


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
    """A heading, three lines of text and a chart of 30 rows, the tallest that is drawn."""
    picture = b64encode(three_layers(frames.layers(30), moment=frames.moment).png()).decode()
    image = f'<img alt="chart" src="data:image/png;base64,{picture}">'
    return f'<h2>Question</h2><p>{"word " * 60}</p><figure class="chart">{image}</figure>'


def test_each_chart_stands_on_a_page_of_its_own_with_its_heading(printed, section):
    boxes, laid_out = printed(section, section, section, "<p>The end.</p>")

    assert boxes == [(842, 595)] * 5  # the first is the headline's, the last the footer's
    assert laid_out == {CONTENT}


def test_a_table_wider_than_the_paper_does_not_shrink_the_charts(printed, section):
    cells = "".join(f"<td>column-{number}-with-a-long-name</td>" for number in range(30))
    table = f'<table class="dataframe"><tbody><tr>{cells}</tr></tbody></table>'

    boxes, laid_out = printed(section, table)

    assert boxes == [(842, 595)] * 3
    assert laid_out == {CONTENT}


def test_the_highest_chart_is_printed_with_nothing_under_six_and_a_half_points():
    sheet = files("mnslib.show").joinpath("page.css").read_text(encoding="utf-8")
    (height,) = re.findall(r"\.chart :is\(img, svg\) {[^}]*max-height: (\d+)mm", sheet)

    assert SOURCE_SIZE * int(height) / 25.4 / (MOST_HEIGHT / DPI) >= 6.5


@pytest.mark.parametrize(
    "rule",
    [
        "print-color-adjust: exact",
        "thead { display: table-header-group; }",
        "tr, .callout, .figures, .chart { break-inside: avoid; }",
        "section.charts { break-before: page; }",
        "tbody tr:last-child, table + .note { break-before: avoid; }",
        "footer { margin: 12px 0 0; padding-top: 6px; break-before: avoid;",
        "max-height: 166mm",
        "table.dataframe { table-layout: fixed; width: 100%;",
    ],
)
def test_the_page_carries_the_rules_of_paper(rule):
    sheet = files("mnslib.show").joinpath("page.css").read_text(encoding="utf-8")

    assert rule in sheet
