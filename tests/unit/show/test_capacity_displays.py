from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from mnslib.capacity.clusters import COMMITMENT_COLUMNS
from mnslib.capacity.evidence import EVIDENCE_COLUMNS
from mnslib.capacity.utilization import UTILIZATION_COLUMNS
from mnslib.show import wording
from mnslib.show.capacity import commitment_rows, daily_rows, utilization_rows
from tests.tables import csv_text

DAYS = [date(2026, 11, 1) + timedelta(days=number) for number in range(4)]
NAN = float("nan")
NO_EVIDENCE = pd.DataFrame(columns=list(EVIDENCE_COLUMNS))


def utilization(**changes):
    row = {
        "cluster_name": "aks-1", "namespace_name": "web-checkout", "resource": "cpu_limit",
        "hard": 12.0, "used": 10.0, "utilization_ratio": 10 / 12, "peak_used": 11.0,
        "peak_hard": 12.0, "verdict": "ok", "owner": "team-web", **changes,
    }  # fmt: skip
    table = pd.DataFrame([row], columns=list(UTILIZATION_COLUMNS))
    return utilization_rows(table, evidence=NO_EVIDENCE)


def cell(table, title):
    """The cell of the first row under a title, as text."""
    titles = [column if isinstance(column, str) else column.title for column in table.columns]
    return str(table.rows[0][titles.index(title)])


def test_whom_to_ask_stands_beside_the_namespace():
    assert cell(utilization(), "Owner") == "team-web"
    assert "<td" in utilization(owner="")._repr_html_()


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "ok"),
        ({"peak_used": 15.0, "peak_hard": 16.0},
         "ok, ! peak 15 cores was under an older quota of 16 cores"),
        ({"peak_used": 13.0, "peak_hard": 12.0}, "ok, ! peak 13 cores was above this quota"),
        ({"peak_used": 13.0, "peak_hard": NAN}, "ok, ! peak 13 cores was above this quota"),
        ({"peak_used": 12.000001, "hard": 12.0}, "ok"),
        ({"peak_used": NAN, "peak_hard": NAN}, "ok"),
        ({"hard": NAN, "peak_used": 15.0, "verdict": "unknown: no permission"},
         "? unknown: no permission"),
    ],
)  # fmt: skip
def test_a_peak_above_the_quota_of_now_is_marked_and_explained(changes, verdict):
    assert cell(utilization(**changes), "Verdict") == verdict


def test_a_quota_that_changed_in_the_lookback_is_marked_with_its_last_change():
    space = {"cluster_name": "aks-1", "resource": "cpu_limit"}
    table = pd.DataFrame(
        [space | {"namespace_name": name, "hard": 12.0, "used": 3.0, "utilization_ratio": 0.25,
                  "peak_used": 3.0, "verdict": "ok", "owner": ""} for name in ("moved", "still")],
        columns=list(UTILIZATION_COLUMNS),
    )  # fmt: skip
    changed = {"quota_changes": 2, "changed_utc": datetime(2026, 10, 12, tzinfo=UTC)}
    changed |= {"changed_from": 8.0, "changed_to": 12.0}
    evidence = pd.DataFrame(
        [space | {"namespace_name": "moved"} | changed,
         space | {"namespace_name": "still", "quota_changes": 0}],
    )  # fmt: skip

    rows = utilization_rows(table, evidence=evidence).rows

    assert str(rows[0][-1]) == "ok, quota changed 12 Oct from 8 cores to 12 cores"
    assert str(rows[1][-1]) == "ok"


def test_below_a_picture_the_first_ten_rows_and_where_all_are(frames):
    for table, where in (
        (utilization_rows(frames.utilization(12), evidence=NO_EVIDENCE), "tables/utilization.csv"),
        (daily_rows(frames.daily(48)), "tables/daily.csv"),
    ):
        assert len(table.rows) == 10
        assert repr(table).splitlines()[-1].startswith("10 of 48 shown. All of them, ")
        assert where in repr(table)


def daily(*rows):
    columns = ["cluster_name", "namespace_name", "resource", "first_seen", "quota_changed", *DAYS]
    return pd.DataFrame(
        [["aks-1", name, resource, seen, (), *ratios] for name, resource, seen, ratios in rows],
        columns=pd.Index(columns, dtype=object),
    )


def test_days_are_counted_apart_from_those_before_a_namespace_was_there():
    table = daily_rows(
        daily(
            ("late", "memory_limit", DAYS[2], [NAN, NAN, 0.9, 1.0]),
            ("gap", "cpu_request", DAYS[0], [0.5, NAN, 0.5, 0.375]),
            ("made", "cpu_request", DAYS[3], [NAN] * 4),
            ("lost", "", None, [NAN] * 4),
        )
    )
    found = [[row[0].first, *row[1:]] for row in table.rows]
    assert found == [
        ["late", "memory limits", 1, 2, 0, 2, "100 %"],
        ["gap", "CPU requests", 0, 0, 1, 0, "50 %"],
        ["made", "CPU requests", None, None, 1, 3, "new, no history yet"],
        ["lost", None, None, None, 4, 0, "unknown"],
    ]


def commitment(verdict, **changes):
    row = {"cluster_name": "aks-1", "resource": "cpu", "verdict": verdict, "headroom": 32.6}
    row |= {"committed_ratio": 1.6, "autoscaled_verdict": ""} | changes
    return commitment_rows(pd.DataFrame([row], columns=list(COMMITMENT_COLUMNS)))


def test_verdicts_on_clusters_have_the_tone_of_the_chart():
    found = {
        word: commitment(word).rows[0][-2]
        for word in ("overcommit", "quota overcommit", "room", "unknown: no permission")
    }
    assert [(tag.text, tag.tone) for tag in found.values()] == [
        ("cannot lose a node", "critical"),
        ("commits 1.60 × what it has", "warning"),
        ("headroom 32.6 cores", "calm"),
        ("? unknown: no permission", "unknown"),
    ]
    assert commitment("room", headroom=0.0).rows[0][-2].text == "no headroom"


def test_what_the_autoscaler_can_mend_stands_beside_the_verdict_of_now():
    grown = {"autoscaled_verdict": "room", "autoscaled_committed_ratio": 1.1}
    row = commitment("quota overcommit", **grown).rows[0]
    assert (row[5], row[-1].text) == ("1.10×", "room")
    assert commitment("overcommit").rows[0][-1] is None


def test_room_is_defined_below_the_clusters():
    assert wording.ROOM in commitment("room").note


def test_days_on_which_a_quota_changed_are_dates_in_the_csv():
    frame = daily(("web", "cpu_request", DAYS[0], [0.5] * 4))
    frame.at[0, "quota_changed"] = (DAYS[1], DAYS[2])
    row = csv_text(frame).splitlines()[1]
    assert row.startswith("aks-1,web,cpu_request,2026-11-01,2026-11-02 2026-11-03,0.5,")


@pytest.mark.parametrize(("coverage", "is_marked"), [(0.9, True), (0.96, False), (1.0, False)])
def test_a_peak_that_may_be_incomplete_says_how_much_of_the_time_was_seen(coverage, is_marked):
    words = "? peak: only 90 % of the time was seen"

    assert (words in repr(utilization(coverage=coverage))) == is_marked
    assert words not in repr(utilization(coverage=coverage, peak_used=NAN))


def test_the_words_of_the_file_are_tied_to_those_of_the_page():
    note = commitment("overcommit").note
    assert '"overcommit" is what cannot lose a node' in note
    assert "`" not in note
    assert '"quota overcommit" what promises over 1.5 × what it has' in note
