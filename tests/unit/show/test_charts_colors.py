"""Every chart is read by people who see no red, no green or no color at all, and on grey paper."""

from __future__ import annotations

from io import BytesIO

import pytest
from matplotlib.colors import to_hex

from tests.unit.show import palette as colors
from tests.unit.show.conftest import areas
from tests.unit.show.gallery import charts
from tests.unit.show.vision import MATRICES, contrast, difference, simulated

VISIONS = list(MATRICES)
NEIGHBORS = [
    (colors.WHITE, colors.UNREQUESTED),
    (colors.UNREQUESTED, colors.REQUESTED),
    (colors.REQUESTED, colors.USED),
    (colors.NODES, colors.REQUESTED),
    (colors.UNREQUESTED, colors.GOOD),
    (colors.REQUESTED, colors.GOOD),
    *zip(colors.HEAT[:2], colors.HEAT[1:3], strict=True),
    (colors.HEAT[3], colors.HEAT[4]),
    (colors.CRITICAL, colors.WARNING),
    (colors.CRITICAL, colors.CALM),
    (colors.CALM, colors.CALM_LOWER),
    (colors.GOOD, colors.GOOD_SOFT),
    (colors.GOOD_SOFT, colors.CALM_LOWER),
]
"""Areas that touch, or lie on one another, without any other mark between them."""


@pytest.fixture(scope="module")
def gallery(frames):
    return charts(frames, 50)


def patches(chart):
    """The filled areas of a chart, from the bottom up: color, left, top, right and bottom."""
    return [
        (to_hex(patch.get_facecolor()).upper(), x, y, x + patch.get_width(), y + patch.get_height())
        for patch in areas(chart.figure)
        for x, y in [patch.get_xy()]
    ]


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(("one", "other"), NEIGHBORS)
def test_areas_that_touch_differ_in_lightness_whoever_looks(one, other, vision):
    assert contrast(one, other, vision) >= 1.2


def test_orange_has_a_dark_foot_since_without_color_it_is_a_grey_among_others(gallery):
    assert contrast(colors.WARNING, colors.CALM, "grey") < 1.2
    for name, chart in gallery.items():
        areas = patches(chart)
        feet = {(x0, x1, y1) for color, x0, _, x1, y1 in areas if color == colors.WARNING_TEXT}
        orange = [area for area in areas if area[0] in (colors.WARNING, colors.HEAT[3])]
        assert all((x0, x1, y1) in feet for _, x0, _, x1, y1 in orange), name


def test_what_failed_has_a_black_foot_since_without_color_it_is_like_what_was_done(gallery):
    assert contrast(colors.CRITICAL, colors.GOOD, "grey") < 1.5
    areas = patches(gallery["outcome"])
    feet = {(x0, x1, y1) for color, x0, _, x1, y1 in areas if color == colors.INK}
    failed = [area for area in areas if area[0] == colors.CRITICAL]
    assert failed
    assert all((x0, x1, y1) in feet for _, x0, _, x1, y1 in failed)


def test_every_text_stands_out_from_what_it_lies_on(gallery, ruler):
    for name, chart in gallery.items():
        areas, found = patches(chart), ruler(chart)
        for text, box in found.boxes:
            x, y = (box.x0 + box.x1) / 2, found.height - (box.y0 + box.y1) / 2
            under = [
                area[0] for area in areas if area[1] <= x <= area[3] and area[2] <= y <= area[4]
            ]
            ground, color = under[-1] if under else colors.WHITE, to_hex(text.get_color())
            for vision in VISIONS:
                seen = contrast(color, ground, vision)
                assert seen >= 4.5, f"{name}: {text.get_text()!r} on {ground}, {vision}: {seen:.2f}"


def test_charts_bring_their_own_white_ground_into_a_dark_notebook(gallery):
    image = pytest.importorskip("PIL.Image")
    for chart in gallery.values():
        picture = image.open(BytesIO(chart.png())).convert("RGBA")
        corners = [(x, y) for x in (0, picture.width - 1) for y in (0, picture.height - 1)]
        assert {picture.getpixel(corner) for corner in corners} == {(255, 255, 255, 255)}


def test_the_regions_of_the_quadrant_stay_apart_by_words_and_place(frames, ruler):
    found = ruler(charts(frames, 50)["quadrant"])
    titles = ["Shrink the quota", "Healthy", "Grow the quota", "Fix the requests"]
    places = [found.find(title).get_position() for title in titles]
    assert len(set(places)) == 4


def test_the_simulation_takes_red_from_green_and_leaves_grey_alone():
    assert difference("#B42318", "#0F7B6C") > 80
    assert difference("#D00000", "#8A7000", "protanopia") < difference("#D00000", "#8A7000") / 2
    for vision in VISIONS:
        assert simulated((0.5, 0.5, 0.5), vision) == pytest.approx([0.5] * 3, abs=0.01)
