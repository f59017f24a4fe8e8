from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from mnslib.show.charts import utilization_heatmap
from mnslib.show.charts.colors import HEAT, INK, WHITE
from tests.unit.show.conftest import areas

DAYS = [date(2026, 10, 26) + timedelta(days=number) for number in range(8)]
NAN = float("nan")


def daily_of(*rows):
    """Rows of (name, ratios[, first_seen[, quota_changed]])."""
    full = [(*row, *((DAYS[0], ())[len(row) - 2 :])) for row in rows]
    columns = ["cluster_name", "namespace_name", "resource", "first_seen", "quota_changed", *DAYS]
    return pd.DataFrame(
        [
            ["aks-1", name, "memory_limit", seen, changed, *ratios]
            for name, ratios, seen, changed in full
        ],
        columns=pd.Index(columns, dtype=object),
    )


def draw(daily, **options):
    return utilization_heatmap(daily, period=(DAYS[0], DAYS[-1]), **options)


def cells(found, name):
    """Band colors of a row, without the foot of the orange ones."""
    return [color for color in found.fills_beside(name) if color in (*HEAT, WHITE)]


def test_each_day_has_the_band_of_its_peak(ruler):
    ratios = [0.49, 0.5, 0.7, np.float32(0.9), 0.999, 1.0, 1.3, NAN]
    found = ruler(draw(daily_of(("a", ratios))))
    low, half, high, tight, full = HEAT
    assert cells(found, "a") == [low, half, high, tight, tight, full, full, WHITE]


def test_days_before_a_namespace_existed_stay_empty(ruler):
    found = ruler(draw(daily_of(("late", [NAN] * 5 + [0.8] * 3, DAYS[5]))))
    assert cells(found, "late") == [HEAT[2]] * 3


def test_a_namespace_too_new_for_samples_is_new_and_not_unknown(ruler):
    chart = draw(daily_of(("old", [0.5] * 8), ("made", [NAN] * 8, DAYS[-1])))
    assert chart.title.endswith("tightest quota since 26 Oct, 1 is new, without history yet")
    found = ruler(chart)
    assert "new, no history yet" in found.texts
    assert "unknown" not in found.texts
    assert cells(found, "made") == [WHITE]


def test_rows_keep_their_order_and_name_their_tightest_value(ruler):
    daily = daily_of(
        ("filled", [0.2] * 6 + [1.0] * 2), ("tight", [0.95] * 8), ("calm", [0.2] * 8),
        ("lost", [NAN] * 8, None),
    )  # fmt: skip
    daily.loc[1, "resource"], daily.loc[3, "resource"] = "cpu_limit", ""
    chart = draw(daily)
    found = ruler(chart)
    names = [text for text in found.texts if text in ("calm", "lost", "tight", "filled")]
    assert names == ["filled", "tight", "calm", "lost"]
    assert chart.title == (
        "1 namespace spent a week or more at or above 90 % of its tightest quota since 26 Oct, "
        "1 is unknown"
    )
    assert chart.alt.endswith(
        "Longest: filled on aks-1, 2 days at the quota; 1 of 4 namespaces reached theirs."
    )

    def row(name):
        y = found_y(found, name)
        return [text.get_text() for text, box in found.boxes if abs(box.y0 - y) < 8]

    assert row("filled")[:2] == ["filled", "memory limits"]
    assert row("tight") == ["tight", "CPU limits", "8", "–", "95 %"]
    assert row("lost") == ["lost", "unknown"]


def found_y(found, name):
    return next(box.y0 for text, box in found.boxes if text.get_text() == name)


def test_a_quota_change_is_a_black_tick_on_its_day():
    def ticks(chart):
        return [
            path.vertices[0, 0]
            for lines in chart.figure.findobj(LineCollection)
            if to_hex(lines.get_color()[0]).upper() == INK
            for path in lines.get_paths()
            if path.vertices[0, 0] > 300
        ]

    chart = draw(daily_of(("a", [0.5] * 8, DAYS[0], (DAYS[2], date(2020, 1, 1)))))
    _in_legend, *changed = ticks(chart)
    cells = [cell for cell in areas(chart.figure) if cell.get_x() > 300][-8:]
    assert changed == [pytest.approx(cells[2].get_x() + cells[2].get_width() / 2)]
    assert ticks(draw(daily_of(("a", [0.5] * 8)))) == []


def test_above_32_rows_the_others_become_shares(ruler, frames):
    for count in (32, 33, 500):
        found = ruler(draw(frames.daily(count, days=8)))
        assert ("share of namespaces" in found.texts) == (count > 32)
        assert (f"The other {count - 32}" in found.texts) == (count > 32)


def test_equal_names_on_two_clusters_are_told_apart(ruler):
    daily = daily_of(("web", [0.5] * 8), ("web", [0.6] * 8))
    daily["cluster_name"] = ["aks-1", "aks-2"]
    assert {"aks-1", "aks-2"} <= set(ruler(draw(daily)).texts)


def test_nothing_and_everything_unknown_are_findings(ruler):
    assert draw(daily_of()).title == "No history of a quota was found"
    assert draw(daily_of().drop(columns=DAYS)).alt
    lost = draw(daily_of(("a", [NAN] * 8, None)))
    assert lost.title == "No history of a quota was found for 1 namespace"
    assert "unknown" in ruler(lost).texts


def test_the_source_names_the_period_and_says_what_is_tightest(ruler):
    texts = ruler(draw(daily_of(("a", [0.5] * 8)), note="Hourly.")).texts
    source = " ".join(texts[-3:])
    assert "Source: ResourceQuota via Prometheus, 26 Oct to 2 Nov 2026" in source
    assert "Tightest value: of the four quota values of a namespace the fullest now" in source
    assert source.endswith("Hourly.")


def test_the_last_day_says_that_its_quota_is_another_now(ruler):
    texts = ruler(draw(daily_of(("a", [0.63] * 8, DAYS[0], (DAYS[-1],)), ("b", [0.5] * 8)))).texts

    assert "63 %, quota changed" in texts
    assert "50 %" in texts


def test_the_legend_has_a_word_for_dead_sensors_too(ruler):
    found = ruler(draw(daily_of(("dead", [NAN] * 8, None), ("b", [0.5] * 8))))

    assert "unknown: no samples, or wrong ones" in found.texts


def test_why_a_row_has_no_day_is_written_into_it_in_full(ruler):
    reason = "all zero while pods ask for 4.5 cores, which a counter of the quota must have seen"
    daily = daily_of(("dead", [NAN] * 8, None), ("b", [0.5] * 8)).assign(reason=[reason, ""])
    found = ruler(draw(daily))

    assert reason in found.texts
    assert "unknown" in found.texts
    assert found.complaints() == []


def test_a_reason_longer_than_the_row_loses_its_end(ruler):
    reason = "cluster not reachable: " + "the connection was closed by the other side " * 5
    daily = daily_of(("dead", [NAN] * 8, None)).assign(reason=reason)
    found = ruler(draw(daily))

    (shown,) = [text for text in found.texts if text.startswith("cluster not reachable")]
    assert shown.endswith("…")
    assert found.complaints() == []
