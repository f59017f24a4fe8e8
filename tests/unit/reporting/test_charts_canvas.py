from __future__ import annotations

import subprocess
import sys
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from matplotlib.font_manager import FontProperties, fontManager

from mnslib.reporting.charts import (
    bulk_outcome,
    cluster_commitment,
    commitment_before_after,
    quadrant,
    three_layers,
    utilization_heatmap,
    utilization_now,
)
from mnslib.reporting.charts.canvas import Canvas, spread, ticks

INSTALLED = {font.name for font in fontManager.ttflist}
FAMILIES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(name not in INSTALLED, reason=f"{name} is not installed"),
    )
    for name in ("DejaVu Sans", "Liberation Sans")
]


def charts(frames, count, family=None):
    """Each of the charts with `count` rows."""
    look = {"moment": frames.moment, "family": family}
    before = {
        f"aks-{n}": {key: frames.commitment(key) for key in ("cpu", "memory")} for n in range(count)
    }
    after = {
        name: {key: frames.commitment(key, committed=655 + 30 * n) for key in ("cpu", "memory")}
        for n, name in enumerate(before)
    }
    daily = frames.daily(count)
    days = [daily.columns[5], daily.columns[-1]]
    return {
        "now": utilization_now(frames.utilization(count), **look),
        "heatmap": utilization_heatmap(daily, period=tuple(days), family=family),
        "commitment": cluster_commitment(frames.commitments(count), **look),
        "before_after": commitment_before_after(
            before, after, changes={name: [frames.long_name] for name in before}, **look
        ),
        "layers": three_layers(frames.layers(count), **look),
        "quadrant": quadrant(frames.layers(count), **look),
        "outcome": bulk_outcome(frames.result(count, clusters=min(count, 40)), **look),
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [1, 12, 200])
def test_no_two_texts_overlap_and_none_leaves_the_figure(frames, ruler, count, family):
    for name, chart in charts(frames, count, family).items():
        assert ruler(chart).complaints() == [], name


def test_pictures_are_1600_pixels_wide_and_carry_the_alt_text(frames):
    image = pytest.importorskip("PIL.Image")
    for chart in charts(frames, 5).values():
        bundle = chart._repr_mimebundle_()
        picture = image.open(BytesIO(b64decode(bundle["image/png"])))
        assert picture.width == 1600
        assert bundle["text/plain"] == chart.alt == picture.text["Description"]
        assert chart.alt.startswith(chart.title)


def test_no_text_is_smaller_than_the_source_line(frames, ruler):
    for chart in charts(frames, 50).values():
        assert min(text.get_fontsize() for text, _ in ruler(chart).boxes) == 8.5


def test_text_from_outside_is_escaped_and_never_read_as_mathematics(ruler):
    canvas = Canvas()
    canvas.heading("<b>$x^2$</b> & \n more", "tab\tand 日")
    chart = canvas.finish(source="$", alt="<script>alert(1)</script>")
    assert ruler(chart).texts == ["<b>$x^2$</b> & more", "tab and ?", "$"]


def test_threads_draw_the_same_picture(frames):
    table = frames.utilization(12)

    def draw(_):
        return utilization_now(table, moment=frames.moment).png()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(8)))) == 1


def test_matplotlib_waits_until_a_chart_is_drawn_and_pyplot_is_never_needed():
    code = (
        "import sys, mnslib; assert 'matplotlib' not in sys.modules;"
        "import mnslib.reporting.charts; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_labels_are_moved_apart_and_kept_inside():
    assert spread([0, 5, 90], [20, 20, 20], low=0, high=100, gap=2) == [0, 22, 80]


@pytest.mark.parametrize("highest", [0, 0.3, 1, 37, 999, 6100, 9e6])
def test_axis_values_are_few_and_within_the_scale(highest):
    values = ticks(highest)
    assert values[0] == 0
    assert len(values) <= 6
    assert max(values) <= highest or highest == 0


def test_measured_width_is_what_is_drawn(ruler):
    canvas = Canvas()
    canvas.text(40, 40, "payments-recommendation", bold=True)
    width = canvas.width("payments-recommendation", bold=True)
    (_, box), *_ = ruler(canvas.finish(source="s", alt="a")).boxes
    assert abs(box.width - width) <= 1
    assert FontProperties(family=canvas.family).get_family() == [canvas.family]
