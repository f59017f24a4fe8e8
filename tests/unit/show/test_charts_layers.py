from __future__ import annotations

import pytest
from matplotlib.collections import PathCollection

from mnslib.show.charts import quadrant, three_layers
from tests.unit.show.palette import REQUESTED, UNREQUESTED, USED, WHITE

NAN = float("nan")
DEAD = "all zero: dead sensor"


@pytest.fixture
def draw(frames):
    def draw(chart, **spaces):
        named = {name.replace("_", "-"): amounts for name, amounts in spaces.items()}
        return chart(frames.layers_of(named), moment=frames.moment)

    return draw


# three_layers


@pytest.mark.parametrize(
    ("spaces", "title"),
    [
        ({"a": (10, 6, 4, ""), "b": (10, 5, 5, ""), "c": (20, 9, NAN, DEAD)},
         "45 % of the committed CPU is used; half of the idle quota sits in 1 namespace; "
         "1 is unknown"),
        ({"a": (10, 6, 4, "")}, "40 % of the committed CPU is used"),
        ({"a": (10, 10, 10, ""), "b": (5, 5, 5, "")}, "100 % of the committed CPU is used"),
        ({"a": (10, 6, NAN, DEAD)}, f"The only namespace is unknown: {DEAD}"),
        ({"a": (NAN, 3, 1, "no quota")}, "No namespace has a CPU quota"),
        ({"a": (0, 0, 0, "")}, "No CPU is committed"),
        ({}, "No namespace was found"),
    ],
)  # fmt: skip
def test_the_title_says_what_is_used_and_where_it_idles(draw, spaces, title):
    assert draw(three_layers, **spaces).title == title


def test_layers_are_nested_from_the_outside_in_and_unmeasured_use_is_hatched(draw, ruler):
    found = ruler(draw(three_layers, a_web=(10, 6, 4, ""), a_dead=(8, 6, NAN, DEAD)))

    assert found.fills_beside("a-web") == [UNREQUESTED, REQUESTED, USED]
    assert found.fills_beside("a-dead") == [UNREQUESTED, REQUESTED, WHITE]
    assert {"4 / 6 / 10", "60 %", DEAD, "unknown", "use unknown"} <= set(found.texts)


def test_the_totals_make_up_the_quota_and_name_what_is_left_out(draw, ruler):
    texts = ruler(
        draw(three_layers, a=(20, 12, 8, ""), b=(10, 5, 2, ""), dead=(99, 6, NAN, DEAD))
    ).texts

    assert "3 namespaces together: 129 cores of quota" in texts
    assert "the bar is the 30 cores of 2; 1 with something unknown" in texts
    assert {"used 10 (33 %)", "requested, not used 7 (23 %)", "not requested 13 (43 %)"} <= set(
        texts
    )


def test_sums_cover_all_namespaces_above_thirty(frames, ruler):
    layers = frames.layers(200)
    texts = ruler(three_layers(layers, moment=frames.moment)).texts
    own = layers[(layers["resource"] == "cpu") & layers["hard"].notna()]
    known = own[own["reason"] == ""]

    assert f"192 namespaces together: {own['hard'].sum() + 0.01:,.0f} cores of quota" in texts
    (rest,) = [text for text in texts if "more namespaces hold" in text]
    assert rest.startswith(f"{len(known) - 18} more namespaces hold ")
    assert "and 7 more unknown" in texts
    assert "Not drawn: 8 namespaces without this quota" in " ".join(texts[-3:])


def test_the_alt_text_carries_the_sums(draw):
    chart = draw(three_layers, web=(10, 6, 4, ""))

    assert chart.alt == f"{chart.title}. Quota 10 cores, requested 6 cores, used 4 cores."


# quadrant


@pytest.mark.parametrize(
    ("spaces", "title"),
    [
        ({"a": (10, 10, 2, ""), "b": (10, 9.5, 8, ""), "c": (10, 3, 2, ""), "d": (1, 1, NAN, DEAD)},
         "1 of the 2 namespaces near their quota needs smaller requests, not more quota; "
         "1 is unknown"),
        ({"a": (10, 10, 2, "")},
         "The only namespace near its quota needs smaller requests, not more quota"),
        ({"a": (10, 10, 9, ""), "b": (10, 9.5, 8, "")},
         "All 2 namespaces near the quota use what they request: more quota is needed"),
        ({"a": (10, 3, 2, ""), "b": (10, 7, 5, ""), "c": (10, 6, 1, "")},
         "No namespace is near its quota: 1 to shrink, 1 with requests to fix and 1 healthy"),
        ({"a": (10, 6, NAN, DEAD), "b": (10, 6, NAN, DEAD)},
         f"All 2 namespaces are without advice: {DEAD}"),
        ({}, "No namespace was found"),
    ],
)  # fmt: skip
def test_the_title_tells_who_needs_quota_from_who_needs_smaller_requests(draw, spaces, title):
    assert draw(quadrant, **spaces).title == title


def test_regions_are_counted_with_their_cores(draw, ruler):
    texts = ruler(
        draw(quadrant, a=(10, 10, 2, ""), b=(30, 30, 28, ""), c=(4, 1, 1, ""), d=(6, 1, 1, ""))
    ).texts

    assert {"2 namespaces, 10 cores of quota", "1 namespace, 30 cores"} <= set(texts)
    assert {"Shrink the quota", "Healthy", "Grow the quota", "Fix the requests"} <= set(texts)
    assert {"0 namespaces, 0 cores of quota", "1 namespace, 10 cores of quota"} <= set(texts)


def test_what_is_not_drawn_or_drawn_at_the_edge_is_said(draw, ruler):
    texts = ruler(
        draw(
            quadrant, a=(10, 15, 12, ""), b=(10, 6, 9, ""), still=(40, 0, 0, ""),
            bare=(NAN, 3, 1, "no quota"), dead=(8, 6, NAN, DEAD),
        )
    ).texts  # fmt: skip
    source = " ".join(texts[-3:])

    assert "At the edge: 2 beyond the axes." in source
    assert "Not drawn: 1 that request nothing, 1 without a quota and 1 unknown." in source


def test_the_source_ends_with_the_note_of_the_history(frames, ruler):
    layers = frames.layers_of({"a": (10, 10, 9, ""), "dead": (8, 6, NAN, DEAD)})
    for draw in (quadrant, three_layers):
        texts = ruler(draw(layers, moment=frames.moment, note="Two days of samples.")).texts
        assert " ".join(texts[-3:]).endswith(". Two days of samples.")


def test_the_area_of_a_dot_is_its_quota_and_only_the_large_are_named(frames, ruler):
    layers = frames.layers(200)
    chart = quadrant(layers, moment=frames.moment)
    names = set(layers["namespace_name"])
    sizes = [size for mark in chart.figure.findobj(PathCollection) for size in mark.get_sizes()]

    assert 1 <= len(names & set(ruler(chart).texts)) <= 16
    assert max(sizes) > 10 * min(sizes)


def test_who_needs_more_quota_is_named_before_whoever_is_healthy(draw, ruler):
    texts = ruler(
        draw(
            quadrant, search_index=(12, 11.3, 9.1, ""), risk_exposure=(14, 14, 10.6, ""),
            payments_api=(14, 14, 9.4, ""), data_streaming=(9, 8.7, 5.9, ""),
            logistics=(12, 9.9, 7.3, ""), payments_ledger=(10, 7.8, 6.4, ""),
        )
    ).texts  # fmt: skip

    assert {"search-index", "risk-exposure", "payments-api", "data-streaming"} <= set(texts)


def test_twenty_thousand_dots_are_a_handful_of_marks(frames):
    chart = quadrant(frames.layers(5_000), moment=frames.moment)
    marks = chart.figure.findobj(PathCollection)

    assert len(marks) < 100
    assert all(len(mark.get_sizes()) == 1 for mark in marks)  # which matplotlib draws the fastest


def test_the_alt_text_counts_every_region(draw):
    alt = draw(quadrant, a=(10, 10, 2, ""), b=(10, 3, 2, "")).alt

    assert alt.endswith(
        "By advice: 1 namespace shrink the quota, 0 namespaces healthy, "
        "0 namespaces grow the quota and 1 namespace fix the requests."
    )


def test_a_long_reason_loses_its_second_half_not_its_middle(frames, ruler):
    reason = "too short: 23 hours of samples, advice needs 2 days"
    layers = frames.layers_of({"new": (4.0, 2.0, float("nan"), reason), "old": (4.0, 2.0, 1.0, "")})
    texts = ruler(three_layers(layers, moment=frames.moment)).texts
    assert "too short: 23 hours of samples" in texts


def test_a_chart_of_thousands_of_dots_is_no_svg_that_a_page_would_refuse(draw):
    few, many = (
        draw(quadrant, **{f"s{number}": (10, 6, 4, "") for number in range(count)})
        for count in (500, 2100)
    )
    assert few.has_svg
    assert not many.has_svg
