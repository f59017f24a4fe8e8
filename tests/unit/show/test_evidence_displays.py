"""What a planner reads of the evidence and of crossings."""

from __future__ import annotations

import pandas as pd
import pytest

from mnslib.capacity.daily import CROSSING_COLUMNS
from mnslib.capacity.evidence_words import EVIDENCE, NEEDS_SOMEBODY
from mnslib.show.evidence import crossings_rows, evidence_report

FIELDS = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")


def evidence_of(**words):
    """One namespace per keyword, all four values under that word of evidence."""
    return pd.DataFrame(
        [
            {"cluster_name": "aks-1", "namespace_name": name, "resource": field,
             "evidence": word, "reason": f"{word} here"}
            for name, word in words.items()
            for field in FIELDS
        ]
    )  # fmt: skip


def test_the_finding_counts_namespaces_by_their_worst_word():
    table = evidence_of(a="sound", b="gaps", c="gaps", d="dead sensor", e="new")
    table.loc[0, "evidence"] = "wrong counter"

    assert evidence_report(table).parts[0] == (
        "4 of 5 namespaces need somebody: 1 wrong counter, 1 dead sensor and 2 with gaps."
    )
    assert evidence_report(evidence_of(a="sound", b="new")).parts[0] == (
        "Nothing speaks against the figures of 2 namespaces."
    )


@pytest.mark.parametrize("word", NEEDS_SOMEBODY)
def test_what_needs_somebody_has_a_reason_and_a_remedy(word):
    text = repr(evidence_report(evidence_of(web=word)))

    assert f"{word} here" in text
    assert "all values" in text
    assert "What to do" in text


@pytest.mark.parametrize("word", [word for word in EVIDENCE if word not in NEEDS_SOMEBODY])
def test_what_needs_nobody_has_no_row(word):
    assert "Nothing needs somebody" in repr(evidence_report(evidence_of(web=word)))


def test_five_hundred_namespaces_of_one_cluster_without_history_are_one_row():
    names = {f"ns-{number:03}": "no history" for number in range(500)}

    text = repr(evidence_report(evidence_of(**names, other="gaps")))

    assert "500 namespaces: ns-000, ns-001, ns-002 …" in text
    assert "ns-003" not in text
    assert "other" in text


def test_hostile_names_and_reasons_do_not_act():
    table = evidence_of(web="not read").assign(reason="<script>alert(1)</script>")

    assert "<script" not in evidence_report(table)._repr_html_()


def crossing(hour, threshold=0.9, direction="up", minutes=60, name="web"):
    moment = pd.Timestamp("2026-11-02", tz="UTC") + pd.Timedelta(hours=hour)
    place = ("aks-1", name, "cpu_request")
    row = (*place, threshold, direction, moment, minutes, minutes > 60, 9, 10, 0.9)
    return dict(zip(CROSSING_COLUMNS, row, strict=True))


def test_the_latest_crossing_of_each_value_is_told_newest_first():
    crossings = pd.DataFrame(
        [crossing(1), crossing(2, 1.0), crossing(5, 0.9, "down"), crossing(6, name="shop"),
         crossing(9, 0.9, "up", 240, name="late")]
    )  # fmt: skip

    lines = repr(crossings_rows(crossings)).splitlines()

    assert [line.split()[0] for line in lines[1:4]] == ["late", "shop", "web"]
    assert "or in the 4 hours without samples before it" in lines[1]
    assert "fell below 90 %" in lines[3]
    assert lines[3].split()[-2:] == ["1", "1"]  # reached each threshold once


def test_no_crossing_is_said_in_a_sentence():
    empty = pd.DataFrame(columns=list(CROSSING_COLUMNS))

    assert "No quota was reached or left" in repr(crossings_rows(empty))


def test_what_namespaces_of_many_clusters_share_is_one_row():
    table = pd.concat(
        evidence_of(**{f"ns-{n}": "dead sensor"}).assign(cluster_name=f"aks-{n}") for n in range(4)
    )
    text = repr(evidence_report(table))
    assert "4 namespaces: ns-0, ns-1, ns-2 … (4 clusters)" in text
    assert text.count("? dead sensor") == 1
