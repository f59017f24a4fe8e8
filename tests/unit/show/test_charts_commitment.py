from __future__ import annotations

import pytest

from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO, Commitment
from mnslib.show.charts import cluster_commitment, commitment_before_after
from mnslib.show.views import said
from tests.unit.show.conftest import areas
from tests.unit.show.palette import (
    CRITICAL,
    GOOD,
    NODES,
    PANEL,
    REQUESTED,
    UNREQUESTED,
    USED,
    WARNING_TEXT,
    WHITE,
)


def both(frames, **amounts) -> dict[str, Commitment]:
    return {key: frames.commitment(key, **amounts) for key in ("cpu", "memory")}


# cluster_commitment


def test_the_title_names_what_cannot_be_carried(frames):
    chart = cluster_commitment(frames.commitments(5), moment=frames.moment)
    assert chart.title == (
        "aks-prod-weu-1 cannot lose its largest node; aks-prod-weu-2 commits 1.53 × what "
        "it has; 1 is unknown"
    )


def test_layers_lie_in_their_order_and_verdicts_in_their_color(frames, ruler):
    table = frames.commitments(3)
    found = ruler(cluster_commitment(table[table["resource"] == "cpu"], moment=frames.moment))
    assert found.fills_beside("aks-prod-weu-1") == [NODES, REQUESTED, USED]
    assert found.find("cannot lose a node").get_color() == CRITICAL
    assert found.find("commits 1.53 × what it has").get_color() == WARNING_TEXT
    assert found.find("1.53×").get_color() == WARNING_TEXT
    assert found.find("1.02×").get_color() == CRITICAL
    assert any(text.startswith("headroom ") for text in found.texts)
    assert "Memory, GiB" not in found.texts


def test_unmeasured_use_is_hatched_and_said(frames, ruler):
    table = frames.commitments(2)
    table["usage"] = float("nan")
    table["uncounted"] = 2
    found = ruler(cluster_commitment(table[table["resource"] == "cpu"], moment=frames.moment))
    assert found.fills_beside("aks-prod-weu-2") == [NODES, REQUESTED, WHITE]
    assert "use unknown" in found.texts
    assert "used" not in found.texts
    assert any("use is unknown: no history" in text for text in found.texts)
    assert any("leaves out 4 namespaces without a CPU quota" in text for text in found.texts)


def test_the_autoscaler_maximum_is_lighter_and_beside_the_nodes_now(frames, ruler):
    table = frames.commitments(1)
    assert "autoscaler maximum" not in ruler(cluster_commitment(table, moment=frames.moment)).texts
    table["autoscaled"] = table["allocatable"] * 2
    found = ruler(cluster_commitment(table[:1], moment=frames.moment))
    assert found.fills_beside("aks-prod-weu-1") == [NODES, REQUESTED, USED, PANEL]
    assert "autoscaler maximum" in found.texts
    table["autoscaled_committed_ratio"] = 1.62
    found = ruler(cluster_commitment(table[:1], moment=frames.moment))
    assert found.find("1.62×").get_color() == WARNING_TEXT


def test_several_findings_are_counted(frames):
    table = frames.commitments(4)
    table.loc[[0, 2], "requested_ratio"] = 1.2
    table.loc[[4, 6], "committed_ratio"] = 1.62
    chart = cluster_commitment(table, moment=frames.moment)
    assert chart.title == (
        "2 of 4 clusters cannot lose their largest node; 3 commit over 1.5 × what they "
        "have, at most 1.62×"
    )
    both_at_once = cluster_commitment(table[:1].assign(committed_ratio=1.7), moment=frames.moment)
    assert both_at_once.title == (
        "aks-prod-weu-1 cannot lose its largest node and commits 1.70 × what it has"
    )


def test_sums_cover_all_clusters_above_fifteen(frames, ruler):
    table = frames.commitments(50)
    texts = ruler(cluster_commitment(table, moment=frames.moment)).texts
    assert sum(text.startswith("aks-") for text in texts[2:]) == 20
    assert texts.count("40 more clusters, of which 8 unknown: in tables/commitment.csv") == 2
    promised = table[table["resource"] == "cpu"]["committed"].sum()
    assert any(text.startswith(f"{promised:,.0f} cores committed") for text in texts)


def test_nothing_unknown_and_calm_are_findings(frames, ruler):
    table = frames.commitments(5)
    assert cluster_commitment(table[:0], moment=frames.moment).title == "No cluster was found"
    lost = cluster_commitment(table[8:], moment=frames.moment)
    assert lost.title == "The only cluster is unknown: cluster not reachable"
    assert ruler(lost).texts.count("unknown") == 5  # twice a row and the legend
    calm = cluster_commitment(table[4:8], moment=frames.moment)
    assert calm.title.startswith("No cluster is overcommitted: aks-")


def test_a_single_node_has_no_ratio_without_it(frames, ruler):
    table = frames.commitments(1)
    table["requested_ratio"] = float("nan")
    table["verdict"] = "room"
    assert "–" in ruler(cluster_commitment(table, moment=frames.moment)).texts


# commitment_before_after


@pytest.fixture
def onboard(frames):
    def make(added, subject="payments-api", **options):
        before = {"aks-1": both(frames)}
        after = {"aks-1": both(frames, committed=655 + added)}
        changes = {"aks-1": [subject] if isinstance(subject, str) else ["web"] * subject}
        options = {"moment": frames.moment, "changes": changes} | options
        return commitment_before_after(before, after, **options)

    return make


@pytest.mark.parametrize(
    ("added", "subject", "title"),
    [
        (16, "payments-api",
         "payments-api fits on aks-1: headroom left for 92 of 108 cores and 644 of 756 GiB"),
        (16, 2, "2 changes fit on aks-1: headroom left for 92 of 108 cores and 644 of 756 GiB"),
        (150, "payments-api", "payments-api does not fit on aks-1: short of 37 cores"),
        (-60, "payments-api", "payments-api gives back 60 cores and 420 GiB on aks-1"),
        (0, 2, "2 changes change no commitment on aks-1"),
        (0, 0, "Nothing changes on aks-1"),
    ],
)  # fmt: skip
def test_the_title_says_whether_it_fits_and_what_remains(onboard, added, subject, title):
    assert onboard(added, subject).title == title


def test_only_the_new_part_is_green(onboard, ruler):
    found = ruler(onboard(16))
    assert found.fills_beside("+16 cores")[:3] == [UNREQUESTED, REQUESTED, GOOD]
    assert found.fills_beside("+112 GiB")[:3] == [UNREQUESTED, REQUESTED, GOOD]
    assert {"N−1: 480", "nodes: 512", "1.5× = 768", "671", "1.31×"} <= set(found.texts)


def test_room_and_room_left_stand_beside_their_definition(onboard, ruler):
    texts = ruler(onboard(16)).texts
    assert {"108 cores", "92 cores left"} <= set(texts)
    below = " ".join(texts[-4:])
    assert said("headroom_meaning", QUOTA_OVERCOMMIT_RATIO) in below
    assert "Headroom left: after the change, as if the new quota were requested in full." in below


def test_what_is_requested_stands_beside_the_bars_and_not_in_them(onboard, ruler):
    found = ruler(onboard(16))
    bars = [one for one in areas(found.figure) if one.get_width() > 300]
    end = max(patch.get_x() + patch.get_width() for patch in bars)
    requested = [text for text, _ in found.boxes if text.get_text() == "372"]
    assert len(requested) == 2
    assert all(text.get_position()[0] > end for text in requested)


def test_what_is_given_back_is_not_green(onboard, ruler):
    found = ruler(onboard(-60))
    assert PANEL in found.fills_beside("−60 cores")
    assert GOOD not in found.fills_beside("−60 cores")


def test_what_does_not_fit_has_no_room_left_in_red(onboard, ruler):
    assert ruler(onboard(150)).find("0 cores left").get_color() == CRITICAL


@pytest.mark.parametrize(
    ("now", "becomes", "title"),
    [
        ({"committed": 800}, {"committed": 805}, "web does not fit on aks-1: short of 37 cores"),
        ({"requested": 490}, {"requested": 490, "committed": 660},
         "web fits on aks-1, but requested in full no node may be lost"),
    ],
)  # fmt: skip
def test_what_is_overcommitted_already_counts_too(frames, now, becomes, title):
    before = {"aks-1": {"cpu": frames.commitment(**now)}}
    after = {"aks-1": {"cpu": frames.commitment(**becomes)}}
    chart = commitment_before_after(before, after, changes={"aks-1": ["web"]}, moment=frames.moment)
    assert chart.title == title


def test_several_clusters_take_one_row_each_least_room_left_first(frames, ruler):
    before = {name: both(frames) for name in ("aks-a", "aks-b", "aks-c")}
    after = {
        "aks-a": both(frames),
        "aks-b": both(frames, committed=655 + 150),
        "aks-c": both(frames, committed=655 + 40),
    }
    chart = commitment_before_after(
        before,
        after,
        changes={"aks-b": ["web"] * 7, "aks-c": ["api"] * 5},
        moment=frames.moment,
        unknown={"aks-d": "no answer"},
    )
    assert chart.title == "aks-b cannot carry its 7 changes: short of 37 cores; 1 is unknown"
    found = ruler(chart)
    names = [text for text in found.texts if text in ("aks-a", "aks-b", "aks-c", "aks-d")]
    assert names == ["aks-b", "aks-c", "aks-a", "aks-d"] * 2
    assert found.texts.count("unknown: no answer") == 2
    assert {"1.28×", "1.57×", "+150 cores", "1.5×"} <= set(found.texts)


def test_the_title_names_a_cluster_that_could_not_lose_a_node_before_the_change(frames):
    before = {"aks-a": both(frames), "aks-b": both(frames, requested=1000)}
    after = {name: both(frames, committed=651) for name in before}
    after["aks-b"] = both(frames, committed=651, requested=1000)
    changes = {name: ["web"] * 6 for name in before}
    chart = commitment_before_after(before, after, changes=changes, moment=frames.moment)
    assert chart.title == (
        "Both clusters can carry 12 changes; aks-b could not lose a node before either"
    )


def test_many_clusters_are_cut_to_the_worst_and_a_sentence(frames, ruler):
    before = {f"aks-{n}": both(frames) for n in range(60)}
    after = {f"aks-{n}": both(frames, committed=655 + n) for n in range(60)}
    chart = commitment_before_after(
        before, after, changes={name: ["web"] for name in before}, moment=frames.moment
    )
    assert chart.title == "All 60 clusters can carry 60 changes"
    texts = ruler(chart).texts
    assert (
        texts.count("50 more clusters, all with more headroom than these: in the table below") == 2
    )


def test_what_is_short_of_most_comes_first_and_nothing_to_do_is_said(frames, ruler):
    before = {f"aks-{n}": both(frames) for n in range(3)}
    after = {f"aks-{n}": both(frames, committed=955 + 100 * n) for n in range(3)}
    look = {"moment": frames.moment}
    chart = commitment_before_after(before, after, changes={n: ["web"] for n in before}, **look)
    names = [text for text in ruler(chart).texts if text in before]
    assert names == ["aks-2", "aks-1", "aks-0"] * 2
    idle = commitment_before_after(before, before, changes={}, **look)
    assert idle.title == "Nothing changes on 3 clusters"


def test_a_cluster_without_nodes_or_answer_is_unknown(frames, ruler):
    empty = {"aks-1": both(frames, allocatable=0, largest_node=0)}
    look = {"changes": {"aks-1": ["web"]}, "moment": frames.moment}
    chart = commitment_before_after(empty, empty, **look)
    assert chart.title == "Whether web can be carried by aks-1 is unknown"
    assert "aks-1: no ready node." in ruler(chart).texts
    assert commitment_before_after({}, {}, **look).title == "web: no cluster is touched"
    lost = commitment_before_after({}, {}, unknown={"a": "x", "b": "y"}, **look)
    assert lost.title == "All 2 clusters are unknown"
