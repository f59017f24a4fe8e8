from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mnslib.capacity.utilization import tightest, verdict_counts
from mnslib.show.charts import utilization_now
from tests.unit.show.palette import CALM, CALM_LOWER, CRITICAL, PANEL, WARNING, WHITE

FIELDS = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")


def table_of(**ratios):
    """One namespace per keyword: its CPU request ratio, or its verdict if that is a text."""
    rows = []
    for name, ratio in ratios.items():
        for field in FIELDS:
            if isinstance(ratio, str):
                row = {"hard": np.nan, "used": np.nan, "utilization_ratio": np.nan}
                row["verdict"] = ratio
            else:
                own = ratio if field == "cpu_request" else ratio / 2
                verdict = "full" if own >= 1 else "tight" if own >= 0.9 else "ok"
                row = {"hard": 8.0, "used": 8 * own, "utilization_ratio": own, "verdict": verdict}
            space = {"cluster_name": "aks-1", "namespace_name": name.replace("_", "-")}
            rows.append(space | {"resource": field} | row)
    columns = ["cluster_name", "namespace_name", "resource", "hard", "used", "utilization_ratio"]
    return pd.DataFrame(rows, columns=[*columns, "verdict"])


@pytest.fixture
def draw(frames):
    return lambda table: utilization_now(table, moment=frames.moment)


@pytest.mark.parametrize(
    ("ratios", "title"),
    [
        ({"a": 1.0, "b": 0.95, "c": 0.5, "d": "unknown: no answer"},
         "1 of 4 namespaces is at its quota (no pod of any size starts), "
         "1 more is at 90 % or above, 1 is unknown"),
        ({"a": 1.0, "b": 1.2}, "2 of 2 namespaces are at their quota (no pod of any size starts)"),
        ({"a": 0.95, "b": 0.5},
         "No namespace is at its quota, 1 of 2 namespaces is at 90 % or above"),
        ({"a": 0.899, "b": 0.5}, "No namespace is at its quota: the fullest of 2 stands at 89 %"),
        ({"a": "unknown: no answer"}, "The only namespace is unknown: no answer"),
        ({"a": "unknown: x", "b": "unknown: y"}, "All 2 namespaces are unknown"),
        ({"a": 0.5, "b": "unknown: no quota"},
         "No namespace is at its quota: the fullest of 2 stands at 50 %, 1 is unknown "
         "(1 without a quota)"),
        ({"a": 0.5, "b": "unknown: no quota", "c": "unknown: no quota"},
         "No namespace is at its quota: the fullest of 3 stands at 50 %, 2 are unknown "
         "(all without a quota)"),
        ({}, "No namespace was found"),
    ],
)  # fmt: skip
def test_the_title_is_the_finding(draw, ratios, title):
    assert draw(table_of(**ratios)).title == title


def test_bars_are_colored_by_verdict_and_unknown_is_hatched(draw, ruler):
    chart = draw(
        table_of(
            full=1.0,
            tight=0.93,
            half=0.6,
            calm=0.4,
            lost="unknown: no answer",
            bare="unknown: no quota",
        )
    )
    found = ruler(chart)
    last = {name: found.fills_beside(name)[-1] for name in ("full", "tight", "half", "calm")}
    assert last == {"full": CRITICAL, "tight": WARNING, "half": CALM, "calm": CALM_LOWER}
    assert found.fills_beside("lost")[-1] == WHITE
    assert found.fills_beside("bare")[-1] == PANEL
    assert "no answer" in found.texts
    assert {"100 %", "93 %", "40 %", "unknown", "–"} <= set(found.texts)


def test_worst_come_first_and_unknown_ones_last(draw, ruler):
    texts = ruler(draw(table_of(calm=0.4, lost="unknown: no answer", tight=0.93, full=1.0))).texts
    names = [text for text in texts if text in ("full", "tight", "calm", "lost")]
    assert names == ["full", "tight", "calm", "lost"]


def test_what_is_left_is_said_in_units(draw, ruler):
    texts = ruler(draw(table_of(full=1.0, over=1.5, tight=0.975))).texts
    assert {"0 left of 8 cores", "4 cores over 8 cores", "0.2 cores left of 8 cores"} <= set(texts)


def test_a_quota_of_zero_that_is_in_use_is_full(draw, ruler):
    table = table_of(a=0.5)
    table.loc[0, ["hard", "used", "utilization_ratio", "verdict"]] = [0.0, 2.0, np.nan, "full"]
    chart = draw(table)
    assert chart.title == "1 of 1 namespace is at its quota (no pod of any size starts)"
    assert "2 cores over a quota of 0" in ruler(chart).texts


@pytest.mark.parametrize("count", [5, 12, 30])
def test_up_to_thirty_namespaces_all_have_a_row(draw, ruler, frames, count):
    texts = ruler(draw(frames.utilization(count))).texts
    assert sum(text.startswith("aks-") for text in texts) == count
    assert not any("more" in text for text in texts[2:])


@pytest.mark.parametrize("count", [50, 200, 500])
def test_above_thirty_the_rest_is_a_sentence_and_the_strip_counts_all(draw, ruler, frames, count):
    table = frames.utilization(count)
    texts = ruler(draw(table)).texts
    counts = verdict_counts(tightest(table))
    rows = sum(text.startswith("aks-") for text in texts)
    assert rows == 26
    assert f"All {count} namespaces" in texts
    assert {f"{counts['full']} full or over", f"{counts['unknown']} unknown"} <= set(texts)
    assert f"and {counts['unknown'] - 2} more unknown for the same reason" in texts
    rest = next(text for text in texts if "more namespaces" in text)
    assert rest.endswith(": in tables/utilization.csv")
    assert rest.startswith(f"{count - counts['unknown'] - 24} more namespaces, ")


def test_the_alt_text_names_the_fullest(draw):
    assert draw(table_of(a_b=1.0, c=0.5)).alt == (
        "1 of 2 namespaces is at its quota (no pod of any size starts). "
        "Fullest: a-b on aks-1, CPU requests 100 %, 0 left of 8 cores."
    )


def test_different_reasons_among_the_rest_are_counted(draw, ruler):
    lost = {f"lost_{n}": f"unknown: reason {n % 4}" for n in range(12)}
    texts = ruler(draw(table_of(**lost, **{f"calm_{n}": 0.3 for n in range(40)}))).texts
    (sentence,) = [text for text in texts if text.startswith("and 10 more unknown: ")]
    counted = [int(word) for word in sentence.replace(",", " ").split() if word.isdigit()]
    assert counted[0] == sum(counted[1:]) == 10


def test_one_unknown_value_is_named_with_its_reason_beside_the_known_ones(draw, ruler):
    wrong = "unknown: the quota counter says 1.25 cores, pods ask for 0.5"
    table = table_of(web=0.8, calm=0.2)
    table.loc[3, ["used", "utilization_ratio", "verdict"]] = [np.nan, np.nan, wrong]

    chart = draw(table)

    assert chart.title == (
        "No namespace is at its quota: the fullest of 2 stands at 80 %, 1 is known in part"
    )
    reason = "memory limits (the quota counter says 1.25 cores, pods ask for 0.5)"
    texts = ruler(chart).texts
    assert {"80 %", "CPU requests, 1 unknown"} <= set(texts)
    assert f"Not known of web on aks-1: {reason}." in " ".join(texts)
    assert f"Not known of web on aks-1: {reason}." in chart.alt


def test_a_long_reason_is_cut_at_a_word(draw, ruler):
    reason = "no samples for 11.25 hours and then none " * 4
    texts = ruler(draw(table_of(a=0.5, lost=f"unknown: {reason}"))).texts
    (shown,) = [text for text in texts if text.startswith("no samples")]
    assert shown.endswith(" …")
    assert shown.removesuffix(" …").split() == reason.split()[: len(shown.split()) - 1]
