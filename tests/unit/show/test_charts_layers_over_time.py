from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mnslib.capacity.layers import DAY_COLUMNS
from mnslib.show.charts import layers_over_time
from tests.unit.show.conftest import areas
from tests.unit.show.gallery import drawn_in
from tests.unit.show.palette import REQUESTED, UNREQUESTED, USED
from tests.unit.show.vision import luminance

GIB = 2**30
NAN = float("nan")


def by_day(*cores, measured=3):
    """A row per day and resource of (hard, requested, used), the same in cores and GiB."""
    rows = []
    for number, (hard, requested, used) in enumerate(cores):
        for resource, unit in (("cpu", 1.0), ("memory", float(GIB))):
            parts = {
                "hard": hard, "requested": requested, "usage": used, "idle": hard - used,
                "unrequested": hard - requested, "requested_unused": requested - used,
                "bursting": 0,
            }  # fmt: skip
            row = {name: amount * unit for name, amount in parts.items()}
            day = date(2026, 10, 5) + timedelta(days=number)
            known = measured if hard == hard else 0
            rows.append(row | {"day": day, "resource": resource, "measured": known, "left_out": 1})
    return pd.DataFrame(rows, columns=list(DAY_COLUMNS))


@pytest.fixture
def draw(frames):
    layers = frames.layers_of({"web": (30, 20, 5, ""), "api": (10, 9, 8, "")})

    def draw(days, layers=layers):
        return layers_over_time(days, layers, moment=frames.moment)

    return draw


def drawn(found, color):
    """The areas of a color in drawing order, the key in the legend left out."""
    found = areas(found.figure)
    return [area for area in found if to_hex(area.get_facecolor()).upper() == color][1:]


@pytest.mark.parametrize(
    ("days", "title"),
    [
        ([(50, 20, 10)] * 7 + [(60, 25, 10)] * 7, "CPU up from 20 % to 25 %"),
        ([(60, 25, 10)] * 7 + [(50, 20, 10)] * 7, "CPU down from 25 % to 20 %"),
        ([(50, 20, 10)] * 7 + [(60, 22.6, 10)] * 7, "CPU steady at 21 %"),
    ],
)
def test_the_title_compares_the_first_week_with_the_last(draw, days, title):
    found = draw(by_day(*days)).title
    assert found.startswith(f"Requested but not used, share of the quota: {title}, memory ")
    assert found.endswith(" in 14 days")


def test_two_weeks_are_needed_to_speak_of_a_trend(draw):
    assert draw(by_day(*[(50, 20, 10)] * 13)).title == (
        "Requested but not used: 20 % of the CPU quota and 20 % of the memory quota; "
        "13 days show no trend yet"
    )
    assert draw(by_day((50, 20, 10))).title.endswith("; 1 day shows no trend yet")


def test_one_odd_day_is_no_trend(draw):
    days = [(50, 20, 10)] * 13 + [(50, 45, 1)]
    assert "CPU steady at 20 %" in draw(by_day(*days)).title


def test_nothing_measured_is_a_finding_and_no_picture(draw, ruler, frames):
    for days in (by_day(), by_day(*[(NAN, NAN, NAN)] * 5)):
        chart = draw(days, frames.layers(0))
        assert chart.title == "On no day all three layers are known"
        assert "Looked for days with samples of quota" in " ".join(ruler(chart).texts)


def test_each_day_holds_its_layers_from_the_bottom_up_and_a_gap_is_hatched(draw, ruler):
    found = ruler(draw(by_day((40, 30, 10), (NAN, NAN, NAN), (40, 20, 10))))
    (used, _, *_), (claimed, less, *_), (unclaimed, more, *_) = (
        drawn(found, color) for color in (USED, REQUESTED, UNREQUESTED)
    )
    assert claimed.get_height() == pytest.approx(2 * used.get_height())
    assert less.get_height() == pytest.approx(used.get_height())
    assert more.get_height() == pytest.approx(2 * unclaimed.get_height())
    assert claimed.get_y() + claimed.get_height() == pytest.approx(used.get_y())
    assert unclaimed.get_y() + unclaimed.get_height() == pytest.approx(claimed.get_y())
    assert "unknown: nothing was measured" in found.texts
    assert luminance(USED, "grey") < luminance(REQUESTED, "grey") < luminance(UNREQUESTED, "grey")


def test_cpu_and_memory_have_a_panel_each_with_amounts_and_who_claims_most(draw, ruler):
    texts = ruler(draw(by_day(*[(40, 30, 10)] * 2))).texts
    assert {"CPU, cores", "Memory, GiB"} <= set(texts)
    assert texts.count("requested, not used 20 (50 %)") == 2
    assert texts.count("quota 40 on 6 Oct") == 2
    assert texts.index("web") < texts.index("api")
    assert {"15", "60"} <= set(texts)  # of web, in cores and in GiB


def test_the_alt_text_carries_the_last_day_that_is_known(draw):
    chart = draw(by_day((40, 30, 10), (NAN, NAN, NAN)))
    assert chart.alt == (
        f"{chart.title}. CPU on 5 Oct: quota 40 cores, requested 30 cores, used 10 cores. "
        "Memory on 5 Oct: quota 40 GiB, requested 30 GiB, used 10 GiB."
    )


def test_the_source_says_how_many_are_measured_and_where_all_days_are(draw, ruler):
    days = pd.concat([by_day((40, 30, 10), measured=3), by_day((40, 30, 10), measured=5)])
    source = " ".join(ruler(draw(days)).texts[-3:])
    assert "Measured: 3 to 5 namespaces a day; unknown and left out: at most 1." in source
    assert "tables/layers_by_day.csv" in source


@pytest.mark.parametrize("family", [None, "DejaVu Sans"])
@pytest.mark.parametrize("days", [1, 6, 90, 400])
def test_amounts_of_a_large_fleet_stand_whole_beside_any_period(frames, ruler, days, family):
    with drawn_in(family):
        days, layers = frames.by_day(20_000, days=days), frames.layers(40)
        found = ruler(layers_over_time(days, layers, moment=frames.moment))

    assert found.complaints() == []
    amounts = [text for text in found.texts if text.startswith("requested, not used ")]
    assert len(amounts) == 2
    assert not any("…" in text for text in amounts)
