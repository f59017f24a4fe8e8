"""Views: what tables.yaml says of a table's columns, rows and note, and what findings say."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pandas as pd
import pytest
from jinja2 import Environment, nodes

from mnslib.capacity.advice import advice_rows, advised
from mnslib.capacity.clusters import COMMITMENT_COLUMNS
from mnslib.capacity.daily import CROSSING_COLUMNS, counted_days
from mnslib.capacity.evidence import worst_evidence
from mnslib.capacity.evidence_words import EVIDENCE, NEEDS_SOMEBODY
from mnslib.capacity.layers import absent_labels, roll_up
from mnslib.capacity.quota_values import SPACE
from mnslib.capacity.refusals import REFUSALS_COLUMNS, refused_workloads, worst_refusals
from mnslib.capacity.snapshot import (
    NAMESPACE_COLUMNS,
    QUOTA_SERIES,
    CleanSnapshot,
    Snapshot,
    no_series,
)
from mnslib.capacity.summaries import (
    at_quota,
    evidence_findings,
    evidence_rows,
    layer_rows,
    since_findings,
)
from mnslib.capacity.utilization import UTILIZATION_COLUMNS, tightest
from mnslib.commitment import QUOTA_OVERCOMMIT_RATIO
from mnslib.show.tables import told as told_of
from mnslib.show.views import bar, said, section, strip, view
from tests.tables import csv_text

DAYS = [date(2026, 11, 1) + timedelta(days=number) for number in range(4)]
NAN = float("nan")
DEAD = "all zero: dead sensor"
FIELDS = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")
GIB = 2**30
API = {
    "cluster_name": "aks-1",
    "namespace_name": "shop",
    "workload_kind": "Deployment",
    "workload_name": "api",
    "owner": "shop-team",
    "count": 40,
    "last_utc": datetime(2026, 11, 2, 5, 55, tzinfo=UTC),
    "missing_pods": 4,
    "problem": "quota exceeded",
    "quota_name": "defaultresourcequota",
    "message": "no",
}
CPU = {"key": "requests.cpu", "pod_requested": 0.5, "used": 12, "limited": 12, "raise_one": 0.5}
CPU |= {"raise_all": 2, "quota_one": "12500m", "quota_all": "14000m"}
CPU |= {"request_column": "cpu_request"}
MEMORY = {"key": "limits.memory", "pod_requested": 2 * GIB, "used": 44 * GIB, "limited": 48 * GIB}
MEMORY |= {"raise_one": 0, "raise_all": 4 * GIB, "quota_one": "48Gi", "quota_all": "52Gi"}
MEMORY |= {"request_column": "memory_limit"}


def layers_view(layers, resource="cpu"):
    return view("layers", layer_rows(layers, resource), resource=resource)


def sums_view(layers, absent=()):
    return view("sums", roll_up(layers, "owner"), absent=said("absent_labels", absent))


def evidence_section(table):
    return section(
        view("evidence", evidence_rows(table)),
        said("evidence", evidence_findings(worst_evidence(table))),
    )


def first(row):
    return str(getattr(row[0], "parts", row)[0])


def cells(table, name):
    (row,) = [row for row in table.rows if first(row) == name]
    return [str(cell) for cell in row]


@pytest.mark.parametrize("name", told_of("views"))
def test_lines_of_the_file_hold_nothing_but_if_and_filters(name):
    for text in _texts(told_of("views")[name]):
        assert not list(Environment().parse(text).find_all(nodes.Call))


def _texts(told):
    if isinstance(told, str):
        yield told
    elif isinstance(told, dict | list):
        for part in told.values() if isinstance(told, dict) else told:
            yield from _texts(part)


# Who is at the quota


def quota_view(**changes):
    """One namespace, as its tables say it, in the view of who is at the quota."""
    value = {"cluster_name": "aks-1", "namespace_name": "web", "resource": "cpu_limit"}
    row = value | {
        "hard": 12.0, "used": 10.0, "utilization_ratio": 10 / 12, "peak_used": 11.0, "owner": "web",
        "peak_hard": 12.0, "verdict": "ok", "coverage": 1.0,
    }  # fmt: skip
    found = {"days": [0.5, NAN, 0.9, 1.0], "first_seen": DAYS[0], "crossed": (), "quota": {}}
    found |= {name: changes.pop(name) for name in tuple(found) if name in changes}
    utilization = pd.DataFrame([row | changes], columns=list(UTILIZATION_COLUMNS))
    daily = (
        value | {"first_seen": found["first_seen"]} | dict(zip(DAYS, found["days"], strict=True))
    )
    crossed = [dict(zip(CROSSING_COLUMNS, [*value.values(), *one], strict=True))
               for one in found["crossed"]]  # fmt: skip
    quota = {"quota_changes": 0, "changed_utc": None, "changed_from": NAN, "changed_to": NAN}
    times = pd.date_range("2026-11-01", periods=4, freq="h", tz="UTC")
    columns = pd.MultiIndex.from_tuples([("aks-1", "web", "limits.cpu")])
    used = pd.DataFrame([[10], [12], [12], [NAN]], index=times, columns=columns)
    clean = SimpleNamespace(used=used, hard=used * 0 + 12, step_minutes=30)
    clean.ratio = partial(CleanSnapshot.ratio, clean)
    tables = SimpleNamespace(
        utilization=utilization, worst=tightest(utilization),
        days=counted_days(pd.DataFrame([daily])), clean=clean,
        evidence=pd.DataFrame([value | quota | found["quota"]]),
        crossings=pd.DataFrame(crossed, columns=list(CROSSING_COLUMNS)),
    )  # fmt: skip
    return view("at_quota", at_quota(tables, limit=20), about="30 days.", period="October")


def test_a_row_says_how_full_how_long_and_how_many_days():
    name, value, now, peak, days, hours, crossed, verdict = map(str, quota_view().rows[0])

    assert name == "web (aks-1, web)"
    assert value == "CPU limits (10 cores of 12 cores)"
    assert (now, peak, hours, crossed, verdict) == ("83 %", "11 cores", "1", "None", "ok")
    assert days.endswith("(2 days at 90 %, 1 full, 1 unseen)")


def crossing(hour, threshold=0.9, direction="up", minutes=60):
    moment = pd.Timestamp("2026-11-02", tz="UTC") + pd.Timedelta(hours=hour)
    return threshold, direction, moment, minutes, minutes > 60, 9, 10, 0.9


def test_of_all_crossings_the_last_is_told_and_how_often_the_quota_was_reached():
    *_, hours, crossed, _ = quota_view(crossed=[crossing(1, 1.0), crossing(5, 0.9, "down")]).rows[0]

    assert str(hours) == "1 (reached 1 time)"
    assert str(crossed) == "fell below 90 % (2 Nov 2026 05:00 UTC)"
    late = quota_view(crossed=[crossing(9, 0.9, "up", 240)]).rows[0][-2]
    assert str(late).startswith("came to 90 %")
    assert "or in the 4 h 0 min without samples before it" in str(late)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "ok"),
        ({"peak_used": 15.0, "peak_hard": 16.0},
         "ok, ! peak 15 cores was under an older quota of 16 cores"),
        ({"peak_used": 13.0, "peak_hard": 12.0}, "ok, ! peak 13 cores was above this quota"),
        ({"peak_used": 13.0, "peak_hard": NAN}, "ok, ! peak 13 cores was above this quota"),
        ({"peak_used": 12.000001, "hard": 12.0}, "ok"),
        ({"peak_used": NAN, "peak_hard": NAN, "coverage": 0.5}, "ok"),
        ({"coverage": 0.9}, "ok, ? peak: only 90 % of the time was seen"),
        ({"coverage": 0.96}, "ok"),
        ({"hard": NAN, "peak_used": 15.0, "verdict": "unknown: no permission"},
         "? unknown: no permission"),
        ({"quota": {"quota_changes": 2, "changed_utc": datetime(2026, 10, 12, tzinfo=UTC),
                    "changed_from": 8.0, "changed_to": 12.0}},
         "ok, quota changed 12 Oct from 8 cores to 12 cores"),
    ],
)  # fmt: skip
def test_what_is_odd_about_a_peak_or_a_quota_is_marked(changes, verdict):
    assert str(quota_view(**changes).rows[0][-1]) == verdict


def test_a_strip_has_a_box_a_day_and_says_what_it_shows():
    shown = strip([-1, NAN, 0.95, 1.0])

    assert [width for width, _ in shown.parts] == [5, 5, 5, 5]
    assert shown.words == (
        "days: 1 90 to 100 %, 1 at the quota, 1 without samples, 1 before it was there"
    )
    assert strip([]).words == "days: no history"
    assert bar(NAN).words == "unknown"
    assert bar(1.2).parts[0][0] == 80


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "No history of a quota was found"),
        ([("new", "cpu_request", DAYS[3], [NAN] * 4)],
         "No history of a quota was found for 1 namespace"),
        ([("late", "memory_limit", DAYS[2], [NAN, NAN, 0.9, 1.0]),
          ("gap", "cpu_request", DAYS[0], [0.5, NAN, 0.5, 0.375]),
          ("made", "cpu_request", DAYS[3], [NAN] * 4), ("lost", "", None, [NAN] * 4)],
         "1 namespace spent at least a day at or above 90 % of its tightest quota, 1 reached it, "
         "1 is unknown, 1 is new, without history yet"),
    ],
)  # fmt: skip
def test_how_long_namespaces_were_at_their_quota_is_a_sentence(rows, words):
    assert said("since", since_findings(counted_days(daily(*rows)))) == words


# What clusters have committed


def commitment(verdict, **changes):
    row = {"cluster_name": "aks-1", "resource": "cpu", "verdict": verdict, "headroom": 32.6}
    row |= {"committed_ratio": 1.6, "autoscaled_verdict": ""} | changes
    return view(
        "commitment",
        pd.DataFrame([row], columns=list(COMMITMENT_COLUMNS)),
        headroom=said("headroom_meaning", QUOTA_OVERCOMMIT_RATIO),
    )


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
    assert (row[5], row[-1].text) == ("1.10×", "headroom")
    assert commitment("overcommit").rows[0][-1] is None


def test_headroom_is_defined_below_the_clusters():
    assert said("headroom_meaning", QUOTA_OVERCOMMIT_RATIO) in commitment("room").note


def test_the_words_of_the_file_are_tied_to_those_of_the_page():
    note = commitment("overcommit").note
    assert '"overcommit" is what cannot lose a node' in note
    assert "`" not in note
    assert '"quota overcommit" what commits over 1.5 × what it has' in note


def daily(*rows):
    columns = ["cluster_name", "namespace_name", "resource", "first_seen", "quota_changed", *DAYS]
    return pd.DataFrame(
        [["aks-1", name, resource, seen, (), *ratios] for name, resource, seen, ratios in rows],
        columns=pd.Index(columns, dtype=object),
    )


def test_days_on_which_a_quota_changed_are_dates_in_the_csv():
    frame = daily(("web", "cpu_request", DAYS[0], [0.5] * 4))
    frame.at[0, "quota_changed"] = (DAYS[1], DAYS[2])
    row = csv_text(frame).splitlines()[1]
    assert row.startswith("aks-1,web,cpu_request,2026-11-01,2026-11-02 2026-11-03,0.5,")


# What is granted, requested and used


@pytest.fixture
def layers(frames):
    return frames.layers_of(
        {
            "web-api": (10, 6, 4, ""),
            "web-burst": (10, 4, 6, ""),
            "web-low": (12, 15, 9, ""),
            "web-dead": (8, 6, NAN, DEAD),
            "bare": (NAN, 3, 1, "no quota"),
            "still": (40, 0, 0, ""),
        }
    )


def test_the_layers_read_in_units_most_idle_first(layers):
    table = layers_view(layers)

    assert [first(row) for row in table.rows][:2] == ["still", "web-api"]
    assert cells(table, "web-api")[2:9] == [
        "10 cores", "6 cores", "4 cores", "4 cores", "2 cores", "6 cores", "60 %",
    ]  # fmt: skip


def test_what_is_out_of_order_or_unknown_is_said(layers):
    table = layers_view(layers)

    assert "uses 2 cores more than it requests" in cells(table, "web-burst")[-1]
    assert "requested 3 cores above the quota" in cells(table, "web-low")[-1]
    assert f"unknown: {DEAD}" in cells(table, "web-dead")[-1]
    assert cells(table, "web-dead")[4] == "unknown"
    assert cells(table, "bare")[2:5] == ["None", "3 cores", "1 core"]
    assert "no quota" in cells(table, "bare")[-1]


def test_reasons_have_a_column_only_where_there_is_one(layers):
    assert layers_view(layers).columns[-1].title == "Reason"
    calm = layers[layers["namespace_name"].isin(["still", "web-api"])]
    assert "Reason" not in [column.title for column in layers_view(calm).columns]


def test_memory_has_a_table_that_says_so(layers):
    table = layers_view(layers, "memory")

    assert table.caption == "Memory by layer, most idle first"
    assert cells(table, "web-api")[2:4] == ["40 GiB", "24 GiB"]


def test_sums_say_how_many_are_left_out(layers):
    table = sums_view(layers)

    (cpu,) = [row for row in table.rows if list(row[:2]) == ["web", "CPU"]]
    amounts = ["25 cores", "19 cores", "13 cores", "41 %"]
    assert [str(cell) for cell in cpu[2:]] == ["4", "40 cores", "3", *amounts, "None"]
    (bare,) = [row for row in table.rows if list(row[:2]) == ["bare", "CPU"]]
    assert [str(cell) for cell in bare[2:]] == ["0", "None", "0", *["None"] * 4, "1 without quota"]


def test_a_label_that_no_namespace_has_is_named_below_the_sums(layers):
    layers["labels"] = "cost-center=7,team="
    absent = absent_labels(layers, ["cost-centre", "team", "cost-center", "center"])

    assert absent == ["cost-centre", "center"]
    said = "No namespace has a label cost-centre or center: see group_by."
    assert sums_view(layers, absent).note.endswith(said)
    assert sums_view(layers).note.endswith("there is none.")


def test_a_group_without_a_name_is_called_so(layers):
    layers["owner"] = ""

    assert sums_view(layers).rows[0][0] == "no owner"


def test_each_advice_comes_with_its_reason_what_needs_somebody_first(layers):
    table = view("advice", advice_rows(advised(layers)))

    assert next(first(row) for row in table.rows) == "web-low"
    assert cells(table, "web-low")[2:] == [
        "↑ grow", "CPU: 125 % of the quota requested, 60 % of the requests used", "12 cores",
    ]  # fmt: skip
    assert cells(table, "still")[2:4] == [
        "↓ shrink",
        "CPU: 0 % of the quota requested, nothing requested",
    ]
    assert cells(table, "web-dead")[2:4] == ["no advice", DEAD]
    assert cells(table, "bare")[3:] == ["no quota", "None"]


# How far the figures can be trusted


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

    assert str(evidence_section(table).parts[0]) == (
        "4 of 5 namespaces need somebody: 1 wrong counter, 1 dead sensor and 2 with gaps. Of the "
        "others 1 is new."
    )
    assert str(evidence_section(evidence_of(a="sound", b="new")).parts[0]) == (
        "Nothing speaks against the figures of 2 namespaces. Of these 1 is new and 1 is sound."
    )


@pytest.mark.parametrize("word", NEEDS_SOMEBODY)
def test_what_needs_somebody_has_a_reason_and_a_remedy(word):
    text = repr(evidence_section(evidence_of(web=word)))

    assert f"{word} here" in text
    assert "all values" in text
    assert "What to do" in text


@pytest.mark.parametrize("word", [word for word in EVIDENCE if word not in NEEDS_SOMEBODY])
def test_what_needs_nobody_has_no_row(word):
    assert "Nothing speaks against" in repr(evidence_section(evidence_of(web=word)))


def test_five_hundred_namespaces_of_one_cluster_without_history_are_one_row():
    names = {f"ns-{number:03}": "no history" for number in range(500)}

    text = repr(evidence_section(evidence_of(**names, other="gaps")))

    assert "500 namespaces: ns-000, ns-001, ns-002 …" in text
    assert "ns-003" not in text
    assert "other" in text


def test_hostile_names_and_reasons_do_not_act():
    table = evidence_of(web="not read").assign(reason="<script>alert(1)</script>")

    assert "<script" not in evidence_section(table)._repr_html_()


def test_what_namespaces_of_many_clusters_share_is_one_row():
    table = pd.concat(
        evidence_of(**{f"ns-{n}": "dead sensor"}).assign(cluster_name=f"aks-{n}") for n in range(4)
    )
    text = repr(evidence_section(table))
    assert "4 namespaces: ns-0, ns-1, ns-2 … (4 clusters)" in text
    assert text.count("? dead sensor") == 1


# What was refused


@pytest.fixture
def make_table():
    def make(*rows):
        found = [API | {"containers": ""} | row for row in rows]
        return pd.DataFrame(found, columns=list(REFUSALS_COLUMNS))

    return make


@pytest.fixture
def make_snapshot():
    """A snapshot without namespaces and samples."""

    def make(**said):
        usage = {name: no_series(SPACE) for name in ("usage_cpu", "usage_memory")}
        quotas = {name: no_series(QUOTA_SERIES) for name in ("used", "hard")}
        return Snapshot(
            read_utc=datetime(2026, 11, 2, 6, tzinfo=UTC),
            namespaces=pd.DataFrame(columns=list(NAMESPACE_COLUMNS)),
            quotas={},
            commitments={},
            **usage,
            **quotas,
            **said,
        )

    return make


@pytest.fixture
def snapshot(make_snapshot):
    return make_snapshot(events={"aks-1": ()})


def told(table):
    rows = view("refusals", refused_workloads(table)).rows
    return [[str(cell) for cell in row] for row in rows]


def test_a_workload_is_one_row_with_both_raises(make_table):
    assert told(make_table(CPU, MEMORY)) == [
        [
            "api (Deployment) (shop, aks-1)",
            "shop-team",
            "40 times",
            "2 Nov 2026 05:55 UTC",
            "CPU requests: a pod asks for 0.5 cores, 12 cores of 12 cores are taken "
            "(defaultresourcequota)",
            "cpu_request=12500m for one pod (for all 4 missing: cpu_request=14000m, "
            "memory_limit=52Gi)",
        ]
    ]


@pytest.mark.parametrize("missing", [0, 1, float("nan")])
def test_one_pod_needs_one_raise(make_table, missing):
    one = CPU | {"missing_pods": missing, "raise_all": 0.5, "quota_all": "12500m"}
    assert told(make_table(one))[0][-1] == "cpu_request=12500m"


def test_a_quota_that_azure_does_not_manage_is_named(make_table):
    pods = {"key": "pods", "pod_requested": 1, "used": 7, "limited": 7, "quota_name": "count"}
    pods |= {"raise_one": 1, "raise_all": 4, "quota_one": "8", "quota_all": "11"}
    *_, short, helps = told(make_table(pods | {"request_column": ""}))[0]
    assert short == "pods: a pod asks for 1, 7 of 7 are taken (count)"
    assert helps == "count: pods=8 for one pod (for all 4 missing: count: pods=11)"


def test_missing_values_name_key_and_container(make_table):
    bare = {"problem": "values missing", "last_utc": None}
    rows = [bare | {"key": key, "containers": "app"} for key in ("limits.cpu", "limits.memory")]
    *_, last, short, helps = told(make_table(*rows))[0]
    assert last == "unknown"
    assert short == "limits.cpu and limits.memory of container app: not set"
    assert helps == "Set them on the containers, or add a LimitRange with defaults"


def test_another_message_is_shown_escaped(make_table):
    table = make_table({"problem": "other", "message": "violates <b>PodSecurity</b>"})
    assert told(table)[0][-2:] == [
        "violates <b>PodSecurity</b>",
        "Not the quota: read the message",
    ]
    page = view("refusals", refused_workloads(table))._repr_html_()
    assert "violates &lt;b&gt;PodSecurity" in page


def test_the_finding_names_the_workload_that_is_refused_most(snapshot, make_table):
    found = said(
        "refusals",
        worst_refusals(snapshot, make_table(CPU, MEMORY, CPU | {"workload_name": "web"})),
    )
    assert found == "Pods of 2 workloads were refused, most often those of api in shop"


def test_no_event_is_not_said_of_a_cluster_whose_events_are_unknown(make_snapshot, make_table):
    empty = make_table()
    read = make_snapshot(events={"aks-1": ()})
    partly = make_snapshot(
        events={"aks-1": ()},
        unread={("aks-2", "events"): "no permission", ("aks-1", "nodes"): "no permission"},
        unreachable={"aks-3": "cluster is stopped"},
    )
    nothing = make_snapshot(unread={("aks-2", "events"): "no permission"})
    assert (
        said("refusals", worst_refusals(read, empty)) == "No pod was refused within the last hour"
    )
    assert said("refusals", worst_refusals(partly, empty)) == (
        "No pod was refused within the last hour; unknown of aks-2 (no permission), "
        "aks-3 (cluster is stopped)"
    )
    assert said("refusals", worst_refusals(nothing, empty)) == (
        "Whether pods were refused is unknown; unknown of aks-2 (no permission)"
    )
