from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from xml.etree.ElementTree import fromstring

import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from mnslib.show.charts import utilization_now
from mnslib.show.charts.sheet import MOST_HEIGHT, Sheet, spread, ticks, top_rows
from mnslib.show.displays import CHART
from mnslib.show.tables import FONTS
from tests.unit.show.conftest import MOMENT
from tests.unit.show.gallery import charts, drawn_in

SVG = "{http://www.w3.org/2000/svg}"
INSTALLED = {font.name for font in fontManager.ttflist}
WIDE, NARROW = "DejaVu Sans", "Liberation Sans"


@pytest.mark.parametrize(("count", "family"), [(1, WIDE), (12, NARROW), (200, WIDE)])
def test_no_two_texts_overlap_and_none_leaves_the_figure(frames, ruler, count, family):
    if family not in INSTALLED:
        pytest.skip(f"{family} is not installed")
    with drawn_in(family):
        for name, chart in charts(frames, count, family).items():
            assert ruler(chart).complaints() == [], name


def test_pictures_are_1600_pixels_wide_and_carry_the_alt_text(frames):
    image = pytest.importorskip("PIL.Image")
    for chart in charts(frames, 5).values():
        bundle, about = chart._repr_mimebundle_()
        assert about == {CHART: chart.name}
        picture = image.open(BytesIO(b64decode(bundle["image/png"])))
        assert picture.width == 1600
        assert bundle["text/plain"] == chart.alt == picture.text["Description"]
        assert chart.alt.startswith(chart.title)


def test_the_svg_holds_its_words_as_text_in_the_fonts_of_the_pages_and_no_more(frames):
    for chart in charts(frames, 5).values():
        svg = chart.svg()
        assert svg == chart.svg()
        words = {text.get_text() for text in chart.figure.findobj(Text) if text.get_text()}
        root = fromstring(svg)
        assert {"".join(one.itertext()) for one in root.iter(f"{SVG}text")} == words
        assert FONTS in svg
        assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
            "svg", "g", "defs", "style", "text", "path", "use", "clipPath", "rect", "pattern",
        }  # fmt: skip


def test_no_text_is_smaller_than_the_source_line(frames, ruler):
    for chart in charts(frames, 50).values():
        assert min(text.get_fontsize() for text, _ in ruler(chart).boxes) == 8.5


def facts(title, note=""):
    return {"finding": title, "moment": MOMENT, "note": note, "fullest": [], "partly": []}


def test_text_from_outside_is_never_read_as_mathematics_and_is_escaped_in_svg(ruler):
    chart = Sheet("utilization_now", **facts("<b>$x^2$</b> & \n more", "tab\tand $")).finish()
    texts = ruler(chart).texts
    assert texts[0] == chart.title == "<b>$x^2$</b> & more"
    assert texts[-1].endswith("tab and $")
    assert "&lt;b&gt;$x^2$&lt;/b&gt; &amp; more" in chart.svg()


def drawn_with(*fonts):
    """What a chart that names two teams writes, and with which fonts, where only `fonts` are."""
    code = (
        "import sys; from matplotlib import font_manager as fonts;"
        "fonts.fontManager.ttflist[:] = [font for font in fonts.fontManager.ttflist"
        " if font.name in ('DejaVu Sans', 'Liberation Sans')];"
        "fonts.findSystemFonts = lambda: sys.argv[1:];"
        "from tests.unit.show.test_charts_sheet import Sheet, facts;"
        "sheet = Sheet('utilization_now', **facts('支付 owns most, 日本 the rest'));"
        "chart = sheet.finish(); chart.png();"
        "from matplotlib.text import Text;"
        "texts = [text for text in chart.figure.findobj(Text) if text.get_text()];"
        "print(*(text.get_text() for text in texts), sep='\\n');"
        "print(texts[0].get_fontfamily())"
    )
    command = [sys.executable, "-W", "error", "-X", "utf8", "-c", code, *map(str, fonts)]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    return done.stdout.splitlines()


def test_names_that_no_font_has_are_told_apart_by_codes_and_the_chart_says_so():
    title, *source, families = drawn_with()
    assert title == r"\u652f\u4ed8 owns most, \u65e5\u672c the rest"
    assert "stand for characters that no font" in " ".join(source)
    assert "Noto" not in families


def test_names_are_written_with_a_font_that_has_them_though_matplotlib_was_not_told(tmp_path):
    font = tmp_path / "font.ttf"
    make_font(font, "Noto Sans CJK SC", "支付日本")
    title, *source, families = drawn_with(font)
    assert title == "支付 owns most, 日本 the rest"
    assert "stand for characters that no font" not in " ".join(source)
    assert "Noto Sans CJK SC" in families


def make_font(path, family, characters):
    """A font with one empty square for each of the characters."""
    names = {code: f"c{code}" for code in map(ord, characters)}
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder.setupGlyf(dict.fromkeys([".notdef", *names.values()], pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names.values()], (1000, 100)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900)
    builder.setupPost()
    builder.save(path)


@pytest.mark.parametrize("count", [15, 30, 32, 500])
def test_no_chart_is_higher_than_paper_can_hold_in_readable_words(frames, count):
    heights = {
        name: chart.figure.get_figheight() * 150
        for name, chart in charts(frames, count, "DejaVu Sans").items()
    }
    assert {name: height for name, height in heights.items() if height > MOST_HEIGHT} == {}


def test_threads_draw_the_same_picture(frames):
    table = frames.utilization(12)

    def draw(_):
        return utilization_now(table, moment=frames.moment).png()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(8)))) == 1


def test_matplotlib_waits_until_a_chart_is_drawn_and_pyplot_is_never_needed():
    code = (
        "import sys, mnslib; assert 'matplotlib' not in sys.modules;"
        "import mnslib.show.charts; assert 'matplotlib.pyplot' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True)
    assert (found.returncode, found.stderr) == (0, b"")


def test_labels_are_moved_apart_and_kept_inside():
    assert spread([0, 5, 90], [20, 20, 20], low=0, high=100, gap=2) == [0, 22, 80]


@pytest.mark.parametrize("highest", [0, 0.3, 1, 37, 999, 6100, 9e6])
def test_axis_values_are_few_and_within_the_scale(highest):
    values = ticks(highest)
    assert values[0] == 0
    assert len(values) <= 6
    assert max(values) <= highest or highest == 0


def test_measured_width_is_what_is_drawn(ruler):
    sheet = Sheet("utilization_now", **facts("One"))
    sheet.text(40, 40, "payments-recommendation", bold=True)
    width = sheet.width("payments-recommendation", bold=True)
    (box,) = [box for text, box in ruler(sheet.finish()).boxes if "-" in text.get_text()]
    assert abs(box.width - width) <= 1


def test_a_text_is_cut_to_its_column_and_an_empty_column_takes_no_room(
    ruler,
):
    long = "a reason that is much longer than its own column is wide, and than the next one too"
    sheet = Sheet("utilization_now", **facts("One"))
    rows = pd.DataFrame({"first": ["1", long], "none": ["", ""], "second": ["2", "3"]})
    sheet.told = {"rows": {"left": {}, "right": {key: {"most": 200} for key in rows}}}
    grid = sheet.grid(rows)
    found = ruler(sheet.finish())
    (cut,) = [box for text, box in found.boxes if text.get_text().startswith("a reas")]
    assert 150 < cut.width <= 201
    assert grid.right == pytest.approx(1560 - 200 - 24 - sheet.width("2") - 24 - 10)
    assert found.complaints() == []


def test_unknown_rows_keep_two_places_among_many():
    rows = pd.DataFrame({"is_known": [True] * 40 + [False] * 9})
    shown, rest = top_rows(rows, rows["is_known"])
    assert (len(shown), (~shown["is_known"]).sum(), len(rest)) == (20, 2, 29)
    shown, rest = top_rows(rows[35:], rows["is_known"][35:], panels=3)
    assert (len(shown), len(rest)) == (6, 8)


def test_charts_say_quota_where_tables_do(frames, ruler):
    for name, chart in charts(frames, 5).items():
        assert not re.search(r"\bhard\b", " ".join(ruler(chart).texts) + chart.alt, re.I), name
