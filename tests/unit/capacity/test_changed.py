"""What changed since the run before; only what is new is a finding."""

from __future__ import annotations

import pandas as pd
import pytest

from mnslib.capacity.changed import (
    CHANGED_COLUMNS,
    CHANGES,
    Earlier,
    change_findings,
    changes_since,
    earlier_tables,
    new_findings,
)
from mnslib.show.show import changes_report
from mnslib.show.views import said
from tests.tables import csv_text

RATIOS = {"full": 1.0, "tight": 0.95, "ok": 0.5}
WEB = ("aks-1", "web")
NO_REFUSALS = pd.DataFrame(columns=["cluster_name", "namespace_name"])


def table_of(verdicts, hard=10.0):
    """One value per (cluster, namespace): its verdict, or that and its quota."""
    rows = []
    for (cluster, name), found in verdicts.items():
        verdict, size = found if isinstance(found, tuple) else (found, hard)
        is_known = not verdict.startswith("unknown")
        rows.append(
            {"cluster_name": cluster, "namespace_name": name, "resource": "cpu_request",
             "hard": size if is_known or "counter" in verdict else float("nan"),
             "utilization_ratio": RATIOS.get(verdict, float("nan")), "verdict": verdict}
        )  # fmt: skip
    columns = ["cluster_name", "namespace_name", "resource", "hard", "utilization_ratio", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def changed(before, after, **others):
    return changes_since(table_of(after), Earlier(run="r1", table=table_of(before)), **others)


def told(frame):
    return [
        (row["namespace_name"], row["change"], row["is_finding"])
        for row in frame.to_dict("records")
    ]


@pytest.mark.parametrize(
    ("before", "after", "change", "is_finding"),
    [
        ("ok", "tight", "tight", True),
        ("ok", "full", "full", True),
        ("tight", "full", "full", True),
        ("full", "tight", "eased", False),
        ("full", "ok", "eased", False),
        ("tight", "ok", "eased", False),
        ("ok", "unknown: cluster not reachable", "unknown", True),
        ("full", "unknown: no quota", "unknown", False),
        ("unknown: no quota", "ok", "known again", False),
        ("unknown: cluster not reachable", "full", "full", True),
    ],
)
def test_a_step_from_one_verdict_to_another_has_one_word(before, after, change, is_finding):
    frame = changed({WEB: before}, {WEB: after})

    assert tuple(frame.columns) == CHANGED_COLUMNS
    rows = [row for row in told(frame) if row[1] != "quota changed"]
    assert rows == [("web", change, is_finding)]
    assert change in CHANGES
    assert (frame.loc[0, "before"], frame.loc[0, "after"]) == (before, after)


@pytest.mark.parametrize(
    "verdict", ["full", "tight", "ok", "unknown: no quota", "unknown: all zero"]
)
def test_what_was_so_in_the_run_before_is_no_change_and_no_finding(verdict):
    assert changed({WEB: verdict}, {WEB: verdict}).empty


def test_an_unknown_for_another_reason_is_no_change():
    assert changed({WEB: "unknown: all zero"}, {WEB: "unknown: cluster is stopped"}).empty


def test_new_and_gone_namespaces_are_told_and_a_new_one_that_is_full_is_a_finding():
    before = {WEB: "ok", ("aks-1", "old"): "full"}
    after = {WEB: "ok", ("aks-1", "calm"): "ok", ("aks-1", "fast"): "full"}

    assert told(changed(before, after)) == [
        ("fast", "new", True), ("calm", "new", False), ("old", "gone", False),
    ]  # fmt: skip


def test_a_cluster_that_an_earlier_run_spelled_otherwise_is_the_same():
    before = {("AKS-1", "web"): "full", ("AKS-1", "api"): "ok"}
    now = {("aks-1", "web"): "full", ("aks-1", "api"): "full"}
    assert told(changed(before, now)) == [("api", "full", True)]
    assert told(changed({("aks-1", "Web"): "ok"}, {("aks-1", "web"): "ok"})) == [
        ("web", "new", False), ("Web", "gone", False)
    ]  # fmt: skip
    refusals = pd.DataFrame([("aks-1", "web")], columns=["cluster_name", "namespace_name"])
    earlier = Earlier(run="r1", table=table_of(before), refused={("AKS-1", "web")})
    found = new_findings(changes_since(table_of(now), earlier), refusals, earlier)
    assert (found["new_full"], found["newly_refused"]) == (1, 0)


def test_a_namespace_of_a_cluster_that_was_not_read_is_not_gone():
    before = {WEB: "ok", ("aks-1", "own"): "ok"}

    assert told(changed(before, {WEB: "ok"}, unreachable={"aks-1"})) == []


def test_clusters_that_one_run_alone_looked_at_are_not_compared():
    before = {WEB: "ok", ("aks-2", "shop"): "ok"}
    after = {WEB: "ok", ("aks-3", "full"): "full", ("aks-3", "calm"): "ok"}

    assert told(changed(before, after)) == [("full", "full", True)]


def test_a_changed_quota_is_told_from_and_to_and_so_is_one_that_came_or_went():
    before = {("aks-1", "a"): ("ok", 10.0), ("aks-1", "b"): "unknown: no quota"}
    after = {("aks-1", "a"): ("ok", 12.0), ("aks-1", "b"): ("ok", 4.0)}

    frame = changed(before, after)
    quotas = frame[frame["change"] == "quota changed"]

    assert quotas[["namespace_name", "before", "after"]].to_numpy().tolist() == [
        ["a", "10 cores", "12 cores"], ["b", "no quota", "4 cores"],
    ]  # fmt: skip
    assert not frame["is_finding"].any()


def test_a_quota_that_could_not_be_read_has_not_changed():
    assert "quota changed" not in set(
        changed({WEB: "ok"}, {WEB: "unknown: no permission"})["change"]
    )


def test_the_first_run_has_nothing_to_compare_with_and_all_that_is_full_is_new():
    first = Earlier(note="No earlier run of this notebook and environment is there.")
    table = table_of({WEB: "full", ("aks-1", "b"): "tight", ("aks-1", "c"): "unknown: all zero"})

    frame = changes_since(table, first)

    assert told(frame) == [("web", "full", True), ("b", "tight", True)]
    assert said("changed", change_findings(frame, first)).startswith(
        "Nothing to compare with; all that needs"
    )
    assert first.note in repr(changes_report(frame, first))
    calm = changes_since(table_of({WEB: "ok"}), first)
    assert said("changed", change_findings(calm, first)).endswith("no namespace is full or at 90 %")


def test_what_needs_somebody_comes_first_in_the_report_and_is_counted():
    frame = changed({WEB: "full", ("aks-1", "b"): "ok"}, {WEB: "ok", ("aks-1", "b"): "full"})
    earlier = Earlier(run="r1", table=table_of({WEB: "full"}), refused={WEB})
    refusals = pd.DataFrame([WEB, WEB, ("aks-1", "b")], columns=NO_REFUSALS.columns)

    assert (
        said("changed", change_findings(frame, earlier)) == "Newly since r1: 1 full; 1 other change"
    )
    assert new_findings(frame, refusals, earlier) == {
        "new_full": 1, "new_tight": 0, "new_unknown": 0, "newly_refused": 1,
    }  # fmt: skip
    assert repr(changes_report(frame, earlier)).splitlines()[3].startswith("b (aks-1)")


# The file of the run before


def test_a_table_reads_back_as_it_was_written():
    table = table_of({WEB: "full", ("aks-1", "b"): "unknown: no quota"})

    earlier = earlier_tables("r1", utilization=csv_text(table))

    assert earlier.table[table.columns].equals(table)
    assert earlier.note == ""
    assert changes_since(table, earlier).empty


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing of a table",
        "cluster_name,namespace_name\naks-1,web\n",
        "cluster_name,namespace_name,resource,verdict,hard,utilization_ratio\na,b,cpu_request,full,x,1\n",
        "cluster_name,namespace_name,resource,verdict,hard,utilization_ratio\na,b,cpu_request,fine,1,1\n",
        "cluster_name,namespace_name,resource,verdict,hard,utilization_ratio\na,b,gpu,full,1,1\n",
        "cluster_name,namespace_name,resource,verdict,hard,utilization_ratio\n"
        + "a,b,cpu_request,full,1,1\n" * 2,
        'cluster_name,namespace_name,resource,verdict,hard,utilization_ratio\n"a,b',
        "\x00\x01",
    ],
)
def test_a_damaged_or_older_file_is_a_note_and_never_a_crash(text):
    earlier = earlier_tables("r1", utilization=text)

    assert earlier.table is None
    assert earlier.note.startswith("The tables of r1 cannot be read: ")
    assert told(changes_since(table_of({WEB: "full"}), earlier)) == [("web", "full", True)]


def test_hostile_text_of_an_earlier_file_does_not_act():
    text = (
        "cluster_name,namespace_name,resource,verdict,hard,utilization_ratio\n"
        'aks-1,"<script>alert(1)</script>\x1b[31m",cpu_request,"unknown: =cmd()|\x07",1,\n'
        f"aks-1,{'x' * 5000},cpu_request,ok,1,0.5\n"
    )
    earlier = earlier_tables("r1", utilization=text)
    frame = changes_since(table_of({WEB: "ok"}), earlier)

    html = changes_report(frame, earlier)._repr_html_()

    assert "<script" not in html
    assert "\x1b" not in repr(changes_report(frame, earlier))
    assert frame["namespace_name"].str.len().max() <= 253


def test_of_another_scope_only_clusters_of_both_are_compared():
    before = {WEB: "ok", ("aks-2", "gone"): "ok"}
    after = {WEB: "full", ("aks-1", "api"): "tight", ("aks-3", "web"): "full"}
    earlier = Earlier(run="r1", table=table_of(before), is_common_only=True)
    found = changes_since(table_of(after), earlier)
    assert told(found) == [("web", "full", True), ("api", "new", True)]
    refusals = pd.DataFrame(list(after)[::2], columns=NO_REFUSALS.columns)
    assert new_findings(found, refusals, earlier)["newly_refused"] == 1


def test_of_another_source_only_what_both_could_judge_is_compared():
    before = {WEB: "ok", ("aks-1", "api"): "unknown: x", ("aks-1", "gone"): "full"}
    after = {WEB: "tight", ("aks-1", "api"): "full", ("aks-1", "new"): "full"}
    earlier = Earlier(
        run="r1", table=table_of(before), refused=None, is_common_only=True, is_judged_only=True
    )
    found = changes_since(table_of(after), earlier)
    assert told(found) == [("web", "tight", True)]
    refusals = pd.DataFrame([WEB], columns=NO_REFUSALS.columns)
    assert new_findings(found, refusals, earlier)["newly_refused"] == 0
    assert changes_since(table_of({}), earlier).empty
