"""What still fits, in words and as a picture."""

from __future__ import annotations

import pandas as pd
import pytest

from mnslib.capacity.clusters import (
    PLACEMENT_COLUMNS,
    absent_region,
    placement_findings,
    placement_rows,
)
from mnslib.capacity.fit import FIT_COLUMNS, fit_findings, fit_rows, given_pod, judged, own_answers
from mnslib.show.charts import state_grid
from mnslib.show.views import said, view
from tests.unit.show.gallery import drawn_in
from tests.unit.show.palette import CRITICAL, GOOD_TEXT, MUTED, WARNING_TEXT

GIB = 2**30
NAN = float("nan")


def fit_view(rows):
    failing = fit_rows(pd.DataFrame(rows))
    given = said("given_pod", given_pod(pd.DataFrame(rows)))
    return view("fit", failing, answers=len(failing), given=given)


def fit_finding(table):
    return said("fit", fit_findings(own_answers(table)))


def place_finding(table):
    return said("placement", placement_findings(table))


def place_view(table):
    absent = said("absent_region", absent_region(table))
    return view("placement", placement_rows(table), absent=absent)


def make_answer(verdict="yes", question="next_pod", **changes):
    row = dict.fromkeys(FIT_COLUMNS, NAN) | {
        "cluster_name": "aks-1", "namespace_name": "web", "workload_kind": "", "workload_name": "",
        "question": question, "pods": 1, "pod_cpu": 0.5, "verdict": verdict, "reason": "",
        "decided_by": "", "tightest": "cpu_request", "left_cpu_request": 1.5, "unplaced_pods": 0,
    }  # fmt: skip
    return row | changes


@pytest.mark.parametrize(
    ("changes", "words", "tone"),
    [
        ({"fits_quota": 4, "fits_nodes": 9}, "✓ 4 of 0.5 cores fit", "good"),
        ({"fits_quota": 4, "fits_nodes": 1}, "! 1 of 0.5 cores fits", "warning"),
        ({"question": "rolling_update"}, "✓ 1.5 cores to spare", "good"),
        ({"question": "rolling_update", "left_cpu_request": 0.0}, "! exactly fits", "warning"),
        ({"question": "rolling_update", "pods": 0}, "✓ replaces in place", "good"),
        ({"question": "autoscaler_maximum", "pods": 0}, "✓ at its maximum", "good"),
        ({"question": "rolling_update", "tightest": ""}, "✓ fits, no quota", "good"),
        ({"verdict": "none", "reason": "no autoscaler"}, "– no autoscaler", "calm"),
        ({"verdict": "unknown: no permission"}, "? unknown: no permission", "unknown"),
        ({"verdict": "no", "reason": "quota", "left_cpu_request": -4.0},
         "✕ short 4 cores", "critical"),
        ({"verdict": "no", "reason": "quota", "tightest": "memory_limit",
          "left_memory_limit": -2.0 * GIB}, "✕ short 2 GiB of limits", "critical"),
        ({"verdict": "no", "reason": "quota", "tightest": "pods", "left_pods": -1.0},
         "✕ short 1 pod", "critical"),
        ({"verdict": "no", "reason": "nodes", "unplaced_pods": 3},
         "✕ no node for 3 pods", "critical"),
        ({"verdict": "no", "reason": "quota and nodes", "left_cpu_request": -4.0,
          "unplaced_pods": 3}, "✕ short 4 cores, no node", "critical"),
        ({"verdict": "no",
          "reason": "failed quota: q: must specify limits.cpu for: a,b; requests.cpu for: b"},
         "✕ must specify requests and limits", "critical"),
        ({"verdict": "no", "reason": "asks for more cpu than LimitRange l lets a container"},
         "✕ asks for more cpu than LimitRange l lets a container", "critical"),
    ],
)  # fmt: skip
def test_an_answer_says_what_is_short_or_to_spare(changes, words, tone):
    answers = judged(pd.DataFrame([make_answer(**changes)]))
    found = view("fit", answers, answers=1, given="").rows[0][4]
    assert (found.text, found.tone) == (words, tone)


def test_the_finding_counts_each_question_and_what_is_unknown(frames):
    assert fit_finding(frames.room(50)) == (
        "9 of 50 namespaces cannot start the next pod of a workload (quota or nodes), "
        "19 cannot roll out one workload, 24 cannot reach the autoscaler maximum; 5 are unknown"
    )
    assert fit_finding(frames.room(0)) == "No namespace was found"
    calm = frames.room(4).assign(verdict="yes")
    assert fit_finding(calm) == "All that was asked fits in 4 namespaces"
    lost = frames.room(4).assign(verdict="unknown: no permission")
    assert fit_finding(lost) == "All 4 namespaces are unknown: no permission"


def test_the_table_names_the_workloads_that_do_not_fit():
    rows = [
        make_answer("no", workload_kind="Deployment", workload_name="api", reason="quota",
                    left_cpu_request=-1.0),
        make_answer("no", workload_kind="CronJob", workload_name="nightly", tightest="",
                    reason="must specify limits.cpu for: app"),
        make_answer("yes", workload_kind="Deployment", workload_name="web"),
        make_answer("no", reason="quota", left_cpu_request=-1.0),
    ]  # fmt: skip
    table = fit_view(rows)
    assert [(row[1], row[4].text, row[5]) for row in table.rows] == [
        ("CronJob nightly", "✕ must specify limits", "must specify limits.cpu for: app"),
        ("Deployment api", "✕ short 1 core", "the quota"),
    ]
    assert table.note.startswith("2 answers of a workload are no. All answers")


def test_what_is_most_urgent_comes_first_whatever_the_cluster_is_called():
    """5 GiB of memory are 1.25 cores; who cannot start the next pod comes before all updates."""
    short = {"reason": "quota", "workload_kind": "Deployment"}
    rows = [
        make_answer("no", "rolling_update", **short, workload_name="d", left_cpu_request=-9.0),
        make_answer("no", **short, workload_name="c", left_cpu_request=-1.0),
        make_answer("no", **short, workload_name="b", tightest="memory_limit",
                    left_memory_limit=-5.0 * GIB, cluster_name="aks-2"),
        make_answer("no", workload_kind="CronJob", workload_name="a", tightest="",
                    reason="must specify limits.cpu for: app", cluster_name="aks-3"),
    ]  # fmt: skip
    found = fit_view(rows).rows
    assert [row[1] for row in found[:3]] == ["CronJob a", "Deployment b", "Deployment c"]


def test_how_many_pods_of_the_given_size_fit_is_said_per_cluster():
    size = {"question": "given_pod", "pod_cpu": 0.25, "pod_memory": float(GIB)}
    rows = [
        make_answer(**size, fits_quota=4, fits_nodes=112),
        make_answer(**size, namespace_name="api", fits_quota=0, fits_nodes=112),
        make_answer(**size, cluster_name="aks-2", fits_quota=NAN, fits_nodes=31),
        make_answer("unknown: no permission", **size, cluster_name="aks-3"),
    ]
    assert (
        "Of pods of 0.25 cores and 1 GiB the nodes take 112 on aks-1, 31 on aks-2; the quota of "
        "1 of 3 namespaces takes none." in fit_view(rows).note
    )


def test_of_those_that_fit_the_one_with_least_to_spare_comes_first(frames, ruler):
    table = frames.room(3).assign(verdict="yes", reason="")
    table["fits_quota"] = table["namespace_name"].map({"payments-api": 3, "payments-ledger": 9})
    texts = ruler(state_grid(table, moment=frames.moment)).texts
    assert texts.index("payments-api") < texts.index("payments-ledger")


# state_grid


def test_cells_say_the_amount_in_the_color_of_their_answer(frames, ruler):
    found = ruler(state_grid(frames.room(12), moment=frames.moment))
    colors = {artist.get_text(): artist.get_color() for artist, _ in found.boxes}
    assert colors["short 4 cores"] == CRITICAL
    assert colors["exactly fits"] == WARNING_TEXT
    assert colors["28 cores to spare"] == GOOD_TEXT
    assert colors["no autoscaler"] == MUTED
    assert found.texts.count("unknown: cluster not reachable") == 1  # one box across the row


def test_heads_count_all_namespaces_and_a_sentence_the_rest(frames, ruler):
    chart = state_grid(frames.room(50), moment=frames.moment)
    texts = ruler(chart).texts
    assert "9 no, 36 yes (10 just), 5 unknown" in texts
    assert (
        "30 more namespaces, of which 13 with something that does not fit and 5 unknown: "
        "in tables/fit.csv" in texts
    )
    assert chart.alt.startswith(f"{chart.title}. Next pod: 9 no, 36 yes (10 just), 5 unknown; ")


@pytest.mark.parametrize(
    ("count", "shown"), [(5, {"short 48 cores", "no node"}), (12, {"short 48 cores"})]
)
def test_a_cell_that_is_too_narrow_keeps_the_amount_whole(frames, ruler, count, shown):
    table = frames.room(count).assign(
        namespace_name=lambda room: frames.long_name + room["namespace_name"],
        verdict="no", reason="quota and nodes", unplaced_pods=1, tightest="cpu_request",
        left_cpu_request=-48.0,
    )  # fmt: skip
    with drawn_in("DejaVu Sans"):
        texts = ruler(state_grid(table, moment=frames.moment)).texts
    assert shown <= set(texts)
    assert not any("no …" in text or "no…" in text for text in texts)


def test_above_150_rows_are_patterns_with_count_example_median_and_largest(frames, ruler):
    texts = ruler(state_grid(frames.room(500), moment=frames.moment)).texts
    assert {"95 namespaces", "short 12 cores", "at most 48 cores"} <= set(texts)
    assert any(text.startswith("such as ") for text in texts)
    counted = [int(text.split()[0]) for text in texts if text.endswith(" namespaces")]
    assert sum(counted) == 500


@pytest.mark.parametrize("count", [0, 5, 50, 500])
@pytest.mark.parametrize("family", [None, "DejaVu Sans"])
def test_nothing_leaves_the_sheet(frames, ruler, count, family):
    with drawn_in(family):
        found = ruler(state_grid(frames.room(count), moment=frames.moment))
    assert all(box.x1 <= 1600 for _, box in found.boxes)


# placement


def make_place(verdict="fits", **changes):
    row = dict.fromkeys(PLACEMENT_COLUMNS, NAN) | {
        "rank": 1, "cluster_name": "aks-1", "location": "westeurope", "verdict": verdict,
        "reason": "cpu: N-1", "left_cpu": 8.0, "left_memory": 20.0 * GIB,
        "new_cpu": 4.0, "new_memory": 16.0 * GIB, "new_region": "",
    }  # fmt: skip
    return pd.DataFrame([row | changes])


def test_where_the_next_namespace_should_go_is_a_sentence_with_its_reason():
    assert place_finding(make_place()) == (
        "A new namespace with a quota of 4 cores and 16 GiB should go to aks-1: leaves a headroom "
        "of 8 cores and 20 GiB; CPU decides, by what its nodes without the largest can carry"
    )
    grown = make_place("fits once it grows", grown_left_cpu=22.0, grown_left_memory=1.0 * GIB)
    assert place_finding(grown).startswith(
        "A new namespace with a quota of 4 cores and 16 GiB fits nowhere now; on aks-1 once "
        "the autoscaler has added nodes: leaves a headroom of 22 cores"
    )
    assert place_finding(make_place("does not fit", new_region="northeurope")) == (
        "A new namespace with a quota of 4 cores and 16 GiB in northeurope fits on no cluster "
        "that could be asked"
    )
    assert place_finding(make_place()[:0]) == "No size was given, so no cluster was asked"


def test_a_cluster_that_does_not_take_it_says_what_is_short():
    short = make_place("does not fit", reason="cpu: committed", left_cpu=-2.0)
    row = place_view(short).rows[0]
    assert row[3].text == "✕ does not fit"
    assert row[4] == "short of 2 cores, by 1.5 × its nodes against what is committed"
    assert row[5] is None
    unknown = place_view(make_place("unknown: no permission")).rows[0]
    assert (unknown[3].text, unknown[4]) == ("? unknown: no permission", None)
    pod = make_place("does not fit", reason="no node has room for its largest pod")
    assert place_view(pod).rows[0][4] == "no node has room for its largest pod"


def test_a_region_that_no_cluster_is_in_is_said():
    there = make_place(location="westeurope", new_region="WestEurope")
    assert absent_region(there) == {}
    wrong = make_place("other region", location="westeurope", new_region="westeuroppe")
    told = "No cluster is in the region westeuroppe (new_region); they are in westeurope."
    assert place_view(wrong).note.endswith(told)
    assert said("absent_region", absent_region(wrong)) == told
    unknown = make_place(location="", new_region="westeurope")  # metrics name no region
    assert absent_region(unknown) == {}
